/* SPDX-License-Identifier: Apache-2.0 */
/* What a request would do, and whether it may: all is validated and expanded, and nothing is written. */
#include "service.h"

#include "input.h"
#include "plans.h"
#include "stages.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/json.h"
#include "muster/core/nodeset.h"
#include "muster/core/params.h"
#include "muster/exec/engine.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* --- validation --- */

static int check_command(const char *line, struct err *e)
{
    if (!line || line[strspn(line, " \t\n")] == '\0')
        return err_set(e, ERR_VALIDATION, "no command: say what to run (after -- on a command line)");
    size_t n = strlen(line);
    if (n > COMMAND_MAX)
        return err_set(e, ERR_VALIDATION,
                       "the command has %zu bytes; at most %d are possible: put it into a script",
                       n, COMMAND_MAX);
    if (!utf8_valid(line, n))
        return err_set(e, ERR_VALIDATION, "the command is not valid UTF-8");
    return 0;
}

/* A task is a copy or work, a plan is work, and a command is neither. */
static int check_type(const struct batch_request *r, struct err *e)
{
    bool copy = r->copy, work = r->work;
    if (copy + work != (r->type != ACTION_TYPE_COMMAND) || (copy && r->type != ACTION_TYPE_TASK))
        return err_set(e, ERR_VALIDATION, "a %s needs what it runs: a task or a plan by its name (--task, "
                       "--plan), or files to copy (muster push, muster pull)", action_type_name(r->type));
    if (work && (r->pty || r->stdin_path || r->stdin_fd))
        return err_set(e, ERR_VALIDATION, "a %s takes no input but its parameters, and no terminal",
                       action_type_name(r->type));
    return 0;
}

static int check_copy(const struct batch_request *r, struct err *e)
{
    if (!r->copy)
        return 0;
    if (r->pty || r->stdin_path || r->stdin_fd)
        return err_set(e, ERR_VALIDATION, "a copy takes no input and no terminal");
    return copy_check(r->copy, e);
}

/* What ssh itself would refuse at once is no reason to fail on every node. */
static int check_ssh(const struct batch_request *r, struct err *e)
{
    if (r->ssh_config && strcmp(r->ssh_config, "none") != 0 && access(r->ssh_config, R_OK) != 0)
        return err_set(e, ERR_VALIDATION, "-F %s: %s", r->ssh_config, strerror(errno));
    for (size_t i = 0; r->ssh_options && i < r->ssh_options->n; i++) {
        const char *option = r->ssh_options->v[i];
        CLEANUP_FREE char *name = x_strndup(option, strcspn(option, "= \t"));
        if (!engine_knows_ssh_keyword(name))
            return err_set(e, ERR_VALIDATION, "-o %s: ssh_config has no keyword %s (ssh_config(5) "
                           "lists them)", option, name);
    }
    return 0;
}

static int check_limits(const struct service *s, const struct batch_request *r, struct err *e)
{
    if (r->fanout > FANOUT_MAX)
        return err_set(e, ERR_VALIDATION, "fanout %u: 1 to %d are possible", r->fanout, FANOUT_MAX);
    if (r->retries > 100)
        return err_set(e, ERR_VALIDATION, "retries %d: 0 to 100 are possible", r->retries);
    const char *deny = config_rules_match(&s->config.deny, r->action);
    if (deny)
        return err_set(e, ERR_FORBIDDEN, "a rule of the configuration denies this command (deny: %s)",
                       deny);
    return 0;
}

/* --- expansion --- */

static int add_nodes(const struct fleet *f, bool any, const char *const *ids, size_t n,
                     struct nodeset *out, struct err *e)
{
    struct strbuf unknown;
    strbuf_init(&unknown, 0);
    size_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        if (!fleet_node(f, ids[i]) && !any) {
            strbuf_addf(&unknown, "%s%s", bad++ ? "\n" : "", ids[i]);
            continue;
        }
        nodeset_add(out, ids[i]);
    }
    if (!bad) {
        strbuf_free(&unknown);
        return 0;
    }
    CLEANUP_FREE char *list = strbuf_steal(&unknown);
    CLEANUP_FREE char *line = x_strdup(list);
    for (char *p = line; (p = strchr(p, '\n')) != NULL;)
        *p = ',';
    int rc = err_set(e, ERR_INVALID_NODES,
                     "unknown node%s: %s (muster nodes -a lists them; --any-host takes any name)",
                     bad == 1 ? "" : "s", line);
    err_details(e, X_STEAL(list));
    return rc;
}

static void add_groups(const struct fleet *f, const struct batch_request *r, struct nodeset *out,
                       struct batch_review *v)
{
    for (size_t i = 0; i < r->n_group_ids; i++) {
        const char *name = r->group_ids[i];
        const struct fleet_group *g = fleet_group(f, name);
        if (!g) {
            strv_push_own(&v->warnings, x_asprintf("unknown group: @%s", name));
            continue;
        }
        if (!strv_has(&v->groups, name))
            strv_push(&v->groups, name);
        for (size_t j = 0; !r->expanded && j < g->n_all; j++)
            nodeset_add(out, f->nodes[g->all[j]].name);
    }
}

static void find_protected(const struct fleet *f, const struct nodeset *nodes,
                           struct batch_review *v)
{
    for (size_t i = 0; i < f->n_groups; i++) {
        const struct fleet_group *g = &f->groups[i];
        for (size_t j = 0; g->is_protected && j < g->n_all; j++)
            if (nodeset_has(nodes, f->nodes[g->all[j]].name)) {
                strv_push(&v->protected_groups, g->name);
                break;
            }
    }
}

static int expand(struct service *s, const struct batch_request *r, struct batch_review *v,
                  struct err *e)
{
    const struct fleet *f = service_fleet(s, e);
    if (!f)
        return -ERR_VALIDATION;
    struct nodeset *nodes = nodeset_new();
    int rc = add_nodes(f, r->any_host || s->config.any_host, r->node_ids, r->n_node_ids, nodes, e);
    if (rc == 0) {
        add_groups(f, r, nodes, v);
        size_t n = nodeset_count(nodes);
        if (n == 0 && r->type != ACTION_TYPE_PLAN)
            rc = err_set(e, ERR_VALIDATION, v->warnings.n ? "no target: %s" : "no target: pick at "
                         "least one node or group%s", v->warnings.n ? v->warnings.v[0] : "");
        else if (n > BATCH_TARGETS_MAX)
            rc = err_set(e, ERR_VALIDATION, "%zu targets: at most %d a batch are possible", n,
                         BATCH_TARGETS_MAX);
    }
    for (size_t i = 0; rc == 0 && i < nodeset_count(nodes); i++)
        strv_push(&v->nodes, nodeset_at(nodes, i));
    if (rc == 0 && r->type == ACTION_TYPE_PLAN) {
        /* Its steps may name nodes besides. */
        rc = r->work ? plan_run_make(s, r, v, &v->plan, e)
                     : err_set(e, ERR_VALIDATION, "no plan: name one (--plan)");
        for (size_t i = 0; rc == 0 && i < v->nodes.n; i++)
            nodeset_add(nodes, v->nodes.v[i]);
    }
    if (rc == 0) {
        find_protected(f, nodes, v);
        struct strbuf b;
        strbuf_init(&b, 0);
        nodeset_fold(&b, nodes, 0);
        v->folded = strbuf_steal(&b);
    }
    nodeset_free(nodes);
    return rc;
}

/* Whether what goes to the nodes is more than a command line. */
static bool sends_files(const struct batch_request *r, const struct batch_review *v)
{
    bool sends = r->copy || v->task;
    for (size_t i = 0; v->plan && i < v->plan->plan.n_steps; i++) {
        enum plan_step_kind kind = v->plan->plan.steps[i].kind;
        sends |= plan_step_on_nodes(kind) && kind != PLAN_STEP_COMMAND;
    }
    return sends;
}

/* doas takes a password from a terminal only, and a terminal harms what goes through it. */
static int check_doas(const struct service *s, const struct batch_request *r,
                      const struct batch_review *v, struct err *e)
{
    bool sends = r->become_password && sends_files(r, v);
    for (size_t i = 0; sends && i < v->nodes.n; i++) {
        const struct fleet_node *node = fleet_node(s->fleet, v->nodes.v[i]);
        const char *become = r->over.become;
        if (!become && node)
            become = node->over.become ? node->over.become : node->base.become;
        if (become && become_parse(become) == BECOME_DOAS)
            return err_set(e, ERR_VALIDATION, "%s: doas asks for its password on a terminal, and "
                           "files do not pass through one unharmed: use --sudo, or let doas ask for "
                           "none (nopass)", v->nodes.v[i]);
    }
    return 0;
}

/* What is not checked here is to be known before it runs. */
static void warn_of_types(const struct batch_request *r, const struct params *p, struct strv *warnings)
{
    for (size_t i = 0; i < p->n; i++) {
        const char *type = ptype_unknown(p->v[i].type);
        if (type && json_has(r->work->params, p->v[i].name))
            strv_push_own(warnings, x_asprintf("the type %s is not known: the parameter %s is passed "
                                               "on unchecked", type, p->v[i].name));
    }
}

/* The task, checked, with an implementation for each node. What it runs is subject to the rules too. */
static int review_task(struct service *s, const struct batch_request *r, struct batch_review *v,
                       struct err *e)
{
    if (r->type != ACTION_TYPE_TASK || !r->work)
        return 0;
    v->task = x_calloc(1, sizeof *v->task);
    int rc = task_run_find(s, r->work, v->task, e);
    if (rc == 0)
        warn_of_types(r, &v->task->task.params, &v->warnings);
    if (rc == 0)
        rc = task_run_pick(s, v->task, &v->nodes, e);
    for (size_t i = 0; rc == 0 && i < v->task->task.n_impls; i++) {
        const char *path = v->task->task.impls[i].path;
        const char *deny = config_rules_match(&s->config.deny, path);
        v->confirm |= config_rules_match(&s->config.confirm, path) != NULL;
        if (deny)
            rc = err_set(e, ERR_FORBIDDEN, "a rule of the configuration denies %s (deny: %s)", path, deny);
    }
    if (rc == 0 && r->work->hash && strcmp(r->work->hash, v->task->hash) != 0)
        strv_push_own(&v->warnings, x_asprintf("task %s has changed since #%lld ran it",
                                               v->task->task.name, (long long) r->rerun_of));
    return rc;
}

static int review_stages(const struct service *s, const struct batch_request *r,
                         struct batch_review *v, struct err *e)
{
    struct stage_plan plan;
    int rc = stage_plan_make(&r->stages, &v->nodes, s->fleet, &plan, e);
    if (rc != 0)
        return rc;
    v->stages = stage_plan_text(&r->stages, &plan);
    v->asks = plan.canary && r->stages.canary_ok < 0;
    return 0;
}

/* What runs on an old copy is to be known before it does. */
void service_fleet_warnings(const struct fleet *f, struct strv *warnings)
{
    for (size_t i = 0; i < f->n_sources; i++) {
        const struct fleet_source *x = &f->sources[i];
        if (x->state == SOURCE_STALE)
            strv_push_own(warnings, x_asprintf("the inventory %s is stale: %s", x->path ? x->path : x->type,
                                               x->error ? x->error : "its program failed"));
    }
}

/* The user may have meant the container or tunnel that ssh calls by this name. */
static void warn_of_localhost(const struct service *s, const struct batch_request *r,
                              struct batch_review *out)
{
    char *text = strv_has(&out->nodes, "localhost") ? input_unused_block(s, r, "localhost") : NULL;
    if (text)
        strv_push_own(&out->warnings, text);
}

int service_review(struct service *s, const struct batch_request *r, struct batch_review *out,
                   struct err *e)
{
    memset(out, 0, sizeof *out);
    int rc = check_command(r->action, e);
    if (rc == 0)
        rc = check_limits(s, r, e);
    if (rc == 0)
        rc = check_ssh(r, e);
    if (rc == 0)
        rc = check_type(r, e);
    if (rc == 0)
        rc = check_copy(r, e);
    if (rc == 0)
        rc = input_check(r, e);
    if (rc == 0 && r->warnings)
        for (size_t i = 0; i < r->warnings->n; i++)
            strv_push(&out->warnings, r->warnings->v[i]);
    if (rc == 0)
        rc = expand(s, r, out, e);
    if (rc == 0 && out->plan)
        warn_of_types(r, &out->plan->plan.params, &out->warnings);
    if (rc == 0)
        service_fleet_warnings(s->fleet, &out->warnings);
    if (rc == 0)
        warn_of_localhost(s, r, out);
    if (rc == 0)
        rc = review_task(s, r, out, e);
    if (rc == 0)
        rc = check_doas(s, r, out, e);
    if (rc == 0)
        rc = input_check_ways(s, r, &out->nodes, e);
    if (rc == 0)
        rc = input_check_nodes(s, r, &out->nodes, e);
    if (rc == 0)
        rc = review_stages(s, r, out, e);
    if (rc != 0) {
        batch_review_clear(out);
        return rc;
    }
    out->confirm |= config_rules_match(&s->config.confirm, r->action) != NULL;
    out->fanout = r->fanout ? r->fanout : s->fanout;
    return 0;
}
