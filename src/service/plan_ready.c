/* SPDX-License-Identifier: Apache-2.0 */
/* What the steps of a plan run: found and checked on the nodes that each is for. All that can be told before
 * anything runs is told here, and all of it at once. */
#include "plans.h"

#include "service.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/core/json.h"

#include <string.h>
#include <unistd.h>

/* A file as typed, or MODULE/FILE of a module's files. Caller frees. */
char *plan_file(struct service *s, const char *typed)
{
    CLEANUP_FREE char *path = io_expand_tilde(typed);
    const char *slash = strchr(typed, '/');
    char *found = access(path, F_OK) == 0 ? x_strdup(path) : NULL;
    if (!found && slash && slash != typed && !strstr(typed, "..")) {
        const struct task none = {0};
        CLEANUP_FREE char *name = x_asprintf("%.*s/files%s", (int) (slash - typed), typed, slash);
        found = task_file_path(s, &none, name);
    }
    return found ? found : x_strdup(path);
}

static bool secret_in(const struct plan_run *p, const struct plan_value *v)
{
    for (size_t i = 0; i < p->secret_names.n; i++)
        if (plan_value_names(v, p->secret_names.v[i]))
            return true;
    for (size_t i = 0; i < p->plan.params.n; i++)
        if (p->plan.params.v[i].sensitive && plan_value_names(v, p->plan.params.v[i].name))
            return true;
    return false;
}

/* What is shown, stored or put on a command line takes no sensitive parameter. */
int plan_check_secrets(const struct plan_run *p, const struct plan_step *st, struct err *e)
{
    const struct plan_value *const seen[] = {st->what, st->targets, st->destination, st->arguments,
                                             st->env};
    for (size_t i = 0; i < ARRAY_LEN(seen); i++)
        if (secret_in(p, seen[i]))
            return err_set(e, ERR_VALIDATION, "a sensitive parameter cannot stand here, where it would be "
                           "seen: only the parameters of a task take it");
    return 0;
}

int plan_check_return(const struct plan_run *p, struct err *e)
{
    if (!secret_in(p, p->plan.ret))
        return 0;
    return err_set(e, ERR_VALIDATION, "plan %s: `return` would show a sensitive parameter", p->plan.name);
}

static char *fixed_text(const struct plan_run *p, const struct plan_value *v, const char *what,
                        struct err *e)
{
    const struct plan_scope scope = {p->values, NULL, false};
    if (plan_value_by_node(v)) {
        err_set(e, ERR_VALIDATION, "%s cannot depend on the result of a step", what);
        return NULL;
    }
    return plan_value_text(v, &scope, e);
}

static void part_nodes(const struct plan_run *p, const struct plan_part *part, struct strv *out)
{
    for (size_t i = 0; i < p->nodes.n; i++)
        if (part->on[i])
            strv_push(out, p->nodes.v[i]);
}

/* The implementation of each node of the batch; those that the step is not for have the first. */
static int pick_impls(struct service *s, const struct plan_run *p, struct plan_part *part,
                      struct err *e)
{
    struct strv nodes = STRV_INIT;
    part_nodes(p, part, &nodes);
    int rc = task_run_pick(s, &part->task, &nodes, e);
    strv_clear(&nodes);
    if (rc != 0)
        return rc;
    size_t *all = x_calloc(p->nodes.n + 1, sizeof *all), at = 0;
    for (size_t i = 0; i < p->nodes.n; i++)
        all[i] = part->on[i] ? part->task.impl[at++] : part->task.n ? part->task.impl[0] : 0;
    free(part->task.impl);
    part->task.impl = all;
    part->task.n = p->nodes.n;
    return 0;
}

/* Of parameters that take results of steps, all that can be told before there are any. */
int plan_check_known(const struct plan_run *p, const struct plan_part *part, struct err *e)
{
    const struct params *params = &part->task.task.params;
    const struct plan_scope scope = {p->values, NULL, false};
    struct strv later = STRV_INIT;
    struct param_faults faults = {0};
    const struct plan_value *given = part->step->parameters;
    if (given && !plan_value_is_map(given))
        return 0;
    struct json *known = given ? plan_value_known(given, &scope, &later, e) : json_object();
    int rc = known ? 0 : -ERR_VALIDATION;
    if (known) {
        params_check(params, known, &later, &faults);
        for (size_t i = 0; i < later.n; i++) {
            if (params->any || params_find(params, later.v[i]))
                continue;
            faults.v = x_array(faults.v, faults.n + 1, sizeof *faults.v);
            faults.v[faults.n++] = (struct param_fault){x_strdup(later.v[i]),
                                                        x_strdup("there is no such parameter")};
        }
        rc = plan_params_err(&faults, part->task.task.name, e);
    }
    param_faults_clear(&faults);
    strv_clear(&later);
    work_wipe(known);
    return rc;
}

int plan_refuse_remote(const char *name, struct err *e)
{
    return err_set(e, ERR_VALIDATION, "task %s is a \"remote\" one, which runs on another machine for its "
                   "targets: these cannot be run here", name);
}

int plan_no_script(const char *typed, struct err *e)
{
    return err_set(e, ERR_VALIDATION, "there is no script %s that can be read", typed);
}

static int ready_task(struct service *s, const struct plan_run *p, struct plan_part *part,
                      struct err *e)
{
    CLEANUP_FREE char *name = fixed_text(p, part->step->what, "the name of the task", e);
    int rc = name ? service_task(s, name, &part->task.task, e) : -ERR_VALIDATION;
    part->task.task.params.hide = p->secret_names.n > 0;
    if (rc == 0 && part->task.task.remote)
        rc = plan_refuse_remote(name, e);
    if (rc == 0)
        rc = task_files_check(s, &part->task.task, TASK_FILES_OWN, e);
    if (rc == 0 && part->step->parameters && plan_value_by_node(part->step->parameters))
        rc = plan_check_known(p, part, e);
    return rc == 0 ? pick_impls(s, p, part, e) : rc;
}

/* A script goes as a task of one file that reads nothing. */
void plan_script_task(const char *typed, const char *path, struct task *out)
{
    const char *slash = strrchr(path, '/');
    out->name = x_strdup(typed);
    out->input = TASK_INPUT_ENVIRONMENT;
    out->params.any = true;
    out->path = x_strdup(path);
    out->impls = x_calloc(1, sizeof *out->impls);
    out->n_impls = 1;
    out->impls[0] = (struct task_impl){.name = x_strdup(slash ? slash + 1 : path),
                                       .path = x_strdup(path), .input = -1};
}

static int ready_script(struct service *s, const struct plan_run *p, struct plan_part *part,
                        struct err *e)
{
    CLEANUP_FREE char *typed = fixed_text(p, part->step->what, "the script", e);
    if (!typed)
        return -ERR_VALIDATION;
    CLEANUP_FREE char *path = plan_file(s, typed);
    if (access(path, R_OK) != 0)
        return plan_no_script(typed, e);
    plan_script_task(typed, path, &part->task.task);
    return pick_impls(s, p, part, e);
}

static int ready_copy(struct service *s, const struct plan_run *p, struct plan_part *part,
                      struct err *e)
{
    bool pull = part->step->kind == PLAN_STEP_DOWNLOAD;
    CLEANUP_FREE char *from = fixed_text(p, part->step->what, "what is copied", e);
    CLEANUP_FREE char *to = from ? fixed_text(p, part->step->destination, "the destination", e) : NULL;
    if (!to)
        return -ERR_VALIDATION;
    CLEANUP_FREE char *here = pull ? io_expand_tilde(to) : plan_file(s, from);
    const char *const local[] = {here};
    int rc = copy_request_make(&part->copy, pull, local, 1, pull ? from : to, e);
    return rc == 0 ? copy_check(&part->copy, e) : rc;
}

static int ready_kind(struct service *s, const struct plan_run *p, struct plan_part *part, struct err *e)
{
    switch (part->step->kind) {
    case PLAN_STEP_TASK:
        return ready_task(s, p, part, e);
    case PLAN_STEP_SCRIPT:
        return ready_script(s, p, part, e);
    case PLAN_STEP_UPLOAD:
    case PLAN_STEP_DOWNLOAD:
        return ready_copy(s, p, part, e);
    default:
        return 0;
    }
}

/* What does not depend on results is made once here, to see that it can be. */
static int try_line(const struct plan_run *p, size_t step, struct err *e)
{
    struct plan_part *part = &p->parts[step];
    struct plan_line line;
    bool script = part->step->kind == PLAN_STEP_SCRIPT;
    if (part->by_node || plan_part_is_local(part))
        return 0;
    if (script)
        part->task.command = x_strdup("script");
    int rc = plan_line_make(p, step, NULL, &line, e);
    if (script)
        free(X_STEAL(part->task.command));
    if (rc == 0)
        plan_line_clear(&line);
    return rc;
}

/* Faults that do not come from each other are told together. */
static void ready(struct service *s, const struct plan_run *p, size_t step, bool *asks,
                  struct plan_run_faults *f)
{
    CLEANUP_ERR struct err why = ERR_INIT;
    struct plan_part *part = &p->parts[step];
    plan_check_reach(p, step, f);
    if (plan_check_secrets(p, part->step, &why) != 0 || ready_kind(s, p, part, &why) != 0) {
        plan_run_fault(f, p, step, &why);
        return;
    }
    if (plan_rules_before(p, part, asks, &why) != 0)
        plan_run_fault(f, p, step, &why);
    if (try_line(p, step, &why) != 0)
        plan_run_fault(f, p, step, &why);
}

int plan_ready_all(struct service *s, struct plan_run *p, bool *asks, struct err *e)
{
    struct plan_run_faults f = {.n = 0};
    strbuf_init(&f.b, 0);
    for (size_t i = 0; i < p->plan.n_steps; i++)
        ready(s, p, i, asks, &f);
    plan_check_reach(p, p->plan.n_steps, &f);
    return plan_run_faults_err(&f, p, e);
}
