/* SPDX-License-Identifier: Apache-2.0 */
/* A plan made ready: its parameters checked, the nodes of each step, and what they are sent. */
#include "plans.h"

#include "service.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/secret.h"
#include "muster/base/strbuf.h"
#include "muster/core/fleet.h"
#include "muster/core/json.h"
#include "muster/core/nodeset.h"
#include "muster/core/target.h"

#include <string.h>
#include <unistd.h>

void plan_run_free(struct plan_run *p)
{
    if (!p)
        return;
    for (size_t i = 0; p->parts && i < p->plan.n_steps; i++) {
        struct plan_part *part = &p->parts[i];
        free(part->on);
        free(part->command);
        strv_clear(&part->env);
        if (part->stdin_fd)
            close(part->stdin_fd);
        copy_request_clear(&part->copy);
        copy_files_unref(part->files);
        task_run_clear(&part->task);
    }
    for (size_t i = 0; p->known && i < p->nodes.n; i++)
        json_free(p->known[i]);
    free(p->known);
    free(p->first);
    free(p->targets);
    free(p->parts);
    work_wipe(p->values);
    strv_clear(&p->secret_names);
    strv_clear(&p->nodes);
    plan_clear(&p->plan);
    free(p);
}

const char **plan_run_titles(const struct plan_run *p)
{
    const char **titles = x_array(NULL, p->plan.n_steps + 1, sizeof *titles);
    for (size_t i = 0; i < p->plan.n_steps; i++)
        titles[i] = p->plan.steps[i].title;
    return titles;
}

size_t plan_run_next(const struct plan_run *p, size_t node, size_t from)
{
    while (from < p->plan.n_steps && !p->parts[from].on[node])
        from++;
    return from;
}

size_t plan_run_first(const struct plan_run *p, size_t node)
{
    return plan_run_next(p, node, p->first ? p->first[node] : 0);
}

char *plan_run_step(const struct plan_run *p, size_t step)
{
    if (step == p->plan.n_steps)
        return x_strdup("return");
    const struct plan_step *st = &p->plan.steps[step];
    return x_asprintf("step %zu (%s)", step + 1, st->name ? st->name : st->title);
}

/* --- all faults at once --- */

void plan_run_fault(struct plan_run_faults *f, const struct plan_run *p, size_t step, struct err *why)
{
    CLEANUP_FREE char *where = plan_run_step(p, step);
    if (!f->n++)
        f->code = why->code;
    strbuf_addf(&f->b, "%s%s: %s", f->b.len ? "\n" : "", where, why->msg);
    err_clear(why);
}

int plan_run_faults_err(struct plan_run_faults *f, const struct plan_run *p, struct err *e)
{
    int rc = 0;
    if (f->n) {
        CLEANUP_FREE char *first = x_strndup(f->b.s, strcspn(f->b.s, "\n"));
        CLEANUP_FREE char *more = f->n > 1 ? x_asprintf(" (and %zu more)", f->n - 1) : x_strdup("");
        rc = err_set(e, f->code, "plan %s: %s%s", p->plan.name, first, more);
        err_details(e, strbuf_steal(&f->b));
    }
    strbuf_free(&f->b);
    return rc;
}

/* --- parameters --- */

static int put_known(const char *key, struct json *value, void *ctx)
{
    struct json *o = ctx;
    if (strcmp(key, "targets") != 0)
        json_put(o, key, json_copy(value));
    return 0;
}

/* What -w names; of a rerun, what it named the first time. */
static int take_targets(struct service *s, struct plan_run *p, const struct work_request *w,
                        const struct strv *targets, struct json *given, struct err *e)
{
    struct target_set set = {0};
    struct json *names = json_array();
    const struct target_request t = {.targets = w->targets, .any_host = true};
    int rc = w->targets ? service_targets(s, &t, &set, e) : 0;
    for (size_t i = 0; w->targets && rc == 0 && i < nodeset_count(set.nodes); i++)
        json_add_str(names, nodeset_at(set.nodes, i));
    for (size_t i = 0; !w->targets && i < targets->n; i++)
        json_add_str(names, targets->v[i]);
    if (!w->targets && targets->n) {
        struct strbuf b;
        strbuf_init(&b, 0);
        nodeset_fold_names(&b, (const char *const *) targets->v, targets->n, 0);
        p->targets = strbuf_steal(&b);
    }
    target_set_clear(&set);
    json_put(given, "targets", names);
    return rc;
}

/* `targets` may be given to any plan; else it is what -w names. */
static int take_values(struct service *s, struct plan_run *p, const struct work_request *w,
                       const struct strv *targets, struct err *e)
{
    struct json *given = work_values(w), *check = json_object();
    const struct params *params = &p->plan.params;
    struct param_faults faults;
    p->values = given;
    int rc = 0;
    if (!json_get(given, "targets") && (targets->n || w->targets))
        rc = take_targets(s, p, w, targets, given, e);
    const char *older = plan_older_targets(params);
    if (rc == 0 && older && !json_get(given, older) && json_get(given, "targets"))
        json_put(given, older, json_copy(json_get(given, "targets")));
    if (rc != 0) {
        json_free(check);
        return rc;
    }
    strv_copy(&p->secret_names, &w->secret_names);
    const struct json *named = params_find(params, "targets") ? json_get(given, "targets") : NULL;
    json_each(given, put_known, check);
    if (named)
        json_put(check, "targets", json_copy(named));
    params_check(params, check, &w->secret_names, &faults);
    CLEANUP_FREE char *what = x_asprintf("plan %s", p->plan.name);
    rc = param_faults_err(&faults, what, e);
    param_faults_clear(&faults);
    work_wipe(check);
    params_defaults(params, p->values);
    return rc;
}

/* --- targets --- */

static void join_names(struct strbuf *b, const struct json *v)
{
    for (size_t i = 0; json_type(v) == JSON_ARRAY && i < json_len(v); i++)
        join_names(b, json_at(v, i));
    if (json_str(v) && *json_str(v))
        strbuf_addf(b, "%s%s", b->len ? "," : "", json_str(v));
}

/* Whether it refers to the targets of the run. */
static bool names_run(const struct plan_run *p, const struct plan_value *v)
{
    const char *older = plan_older_targets(&p->plan.params);
    return plan_value_names(v, "targets") || (older && plan_value_names(v, older));
}

/* *out stays NULL where it runs on no node and names none: it is for all of the plan's then. */
static int step_nodes(struct service *s, const struct batch_request *r, const struct plan_run *p,
                      size_t step, struct nodeset **out, struct err *e)
{
    const struct plan_step *st = &p->plan.steps[step];
    const struct plan_value *v = st->targets;
    const struct plan_scope scope = {p->values, NULL, false};
    struct json *value = NULL;
    struct target_set set;
    struct strbuf expr;
    if (!v && !plan_step_on_nodes(st->kind))
        return 0;
    int rc = v ? plan_value_json(v, &scope, &value, e) : 0;
    if (rc != 0)
        return rc;
    strbuf_init(&expr, 0);
    join_names(&expr, v ? value : json_get(p->values, "targets"));
    json_free(value);
    if (!expr.len) {
        strbuf_free(&expr);
        return err_set(e, ERR_VALIDATION, "no target: %s", v && !names_run(p, v)
                                                               ? "its `targets` name no node"
                                                               : "give -w TARGETS");
    }
    const struct target_request t = {.targets = expr.s, .any_host = r->any_host || r->rerun_of};
    rc = service_targets(s, &t, &set, e);
    strbuf_free(&expr);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < nodeset_count(set.nodes) && rc == 0 && !r->rerun_of; i++)
        if (!r->any_host && !s->config.any_host && !fleet_node(s->fleet, nodeset_at(set.nodes, i)))
            rc = err_set(e, ERR_INVALID_NODES, "unknown node: %s (muster nodes -a lists them; "
                         "--any-host takes any name)", nodeset_at(set.nodes, i));
    if (rc == 0)
        *out = X_STEAL(set.nodes);
    target_set_clear(&set);
    return rc;
}

/* The nodes of all steps in the order they are named; of a rerun only those it was given. */
static void unite(const struct batch_request *r, struct plan_run *p, struct nodeset **sets)
{
    struct nodeset *all = nodeset_new(), *only = nodeset_new();
    bool rerun = r->rerun_of && r->n_node_ids;
    for (size_t i = 0; i < r->n_node_ids; i++)
        nodeset_add(only, r->node_ids[i]);
    if (rerun)
        nodeset_union(all, only);
    for (size_t i = 0; i < p->plan.n_steps && !rerun; i++)
        if (sets[i])
            nodeset_union(all, sets[i]);
    if (nodeset_count(all) == 0)
        nodeset_union(all, only);
    size_t n = nodeset_count(all);
    for (size_t j = 0; j < n; j++)
        strv_push(&p->nodes, nodeset_at(all, j));
    for (size_t i = 0; i < p->plan.n_steps; i++) {
        p->parts[i].on = x_calloc(n + 1, sizeof(bool));
        for (size_t j = 0; j < n; j++)
            p->parts[i].on[j] = !sets[i] || nodeset_has(sets[i], p->nodes.v[j]);
    }
    nodeset_free(all);
    nodeset_free(only);
}

static int find_nodes(struct service *s, const struct batch_request *r, struct plan_run *p,
                      struct err *e)
{
    struct plan_run_faults f = {.n = 0};
    struct nodeset **sets = x_calloc(p->plan.n_steps, sizeof(struct nodeset *));
    strbuf_init(&f.b, 0);
    for (size_t i = 0; i < p->plan.n_steps; i++) {
        CLEANUP_ERR struct err why = ERR_INIT;
        if (step_nodes(s, r, p, i, &sets[i], &why) != 0)
            plan_run_fault(&f, p, i, &why);
    }
    int rc = plan_run_faults_err(&f, p, e);
    if (rc == 0)
        unite(r, p, sets);
    for (size_t i = 0; i < p->plan.n_steps; i++)
        nodeset_free(sets[i]);
    free(sets);
    if (rc == 0 && p->nodes.n == 0)
        rc = err_set(e, ERR_VALIDATION, "plan %s: no target: give -w TARGETS", p->plan.name);
    if (rc == 0 && p->nodes.n > BATCH_TARGETS_MAX)
        rc = err_set(e, ERR_VALIDATION, "%zu targets: at most %d a batch are possible", p->nodes.n,
                     BATCH_TARGETS_MAX);
    return rc;
}

/* Where each node begins. One whose last step had run, and whose end had failed, does that step again. */
static int take_first(struct plan_run *p, const struct batch_request *r, struct err *e)
{
    size_t n = p->nodes.n;
    if (r->work->first_step && r->n_node_ids == n) {
        p->first = x_calloc(n + 1, sizeof *p->first);
        memcpy(p->first, r->work->first_step, n);
    }
    for (size_t i = 0; i < n; i++) {
        while (plan_run_first(p, i) == p->plan.n_steps && p->first && p->first[i])
            p->first[i]--;
        if (plan_run_first(p, i) == p->plan.n_steps)
            return err_set(e, ERR_VALIDATION, "plan %s: no step is for %s", p->plan.name, p->nodes.v[i]);
    }
    return 0;
}

/* --- all of it --- */

/* Whether a step after this one, or the end, refers to its result. */
static bool is_referred(const struct plan *p, size_t step)
{
    const char *name = p->steps[step].name;
    for (size_t i = step + 1; name && i < p->n_steps; i++) {
        const struct plan_step *st = &p->steps[i];
        if (plan_value_names(st->what, name) || plan_value_names(st->parameters, name) ||
            plan_value_names(st->arguments, name) || plan_value_names(st->env, name) ||
            plan_value_names(st->destination, name) || plan_value_names(st->targets, name))
            return true;
    }
    return name && plan_value_names(p->ret, name);
}

static void look_at_results(struct plan_run *p)
{
    p->parts = x_calloc(p->plan.n_steps, sizeof *p->parts);
    for (size_t i = 0; i < p->plan.n_steps; i++) {
        struct plan_part *part = &p->parts[i];
        const struct plan_step *st = part->step = &p->plan.steps[i];
        part->by_node = plan_value_by_node(st->what) || plan_value_by_node(st->parameters) ||
                        plan_value_by_node(st->arguments) || plan_value_by_node(st->env);
        part->keep = is_referred(&p->plan, i);
        p->has_results |= part->keep;
    }
}

/* Whoever names targets means to run on them, and on no others. */
static int check_targets(const struct plan_run *p, const struct batch_request *r,
                         const struct batch_review *v, struct err *e)
{
    if (r->rerun_of || !v->nodes.n || params_find(&p->plan.params, "targets") ||
        plan_older_targets(&p->plan.params))
        return 0;
    for (size_t i = 0; i < p->plan.n_steps; i++) {
        const struct plan_step *st = &p->plan.steps[i];
        const struct plan_value *const used[] = {st->targets, st->what, st->parameters, st->arguments,
                                                 st->env};
        if (plan_step_on_nodes(st->kind) && !st->targets)
            return 0;
        for (size_t j = 0; j < ARRAY_LEN(used); j++)
            if (plan_value_names(used[j], "targets"))
                return 0;
    }
    return err_set(e, ERR_VALIDATION, "plan %s names the targets of each step itself, and takes no others: "
                   "leave them out (-w, -g, -a; on the screen the selection)", p->plan.name);
}

/* One of the two would be dropped without a word. */
static int check_named_once(const struct plan_run *p, const struct batch_request *r,
                            const struct batch_review *v, struct err *e)
{
    struct json *given = !r->rerun_of && v->nodes.n ? work_values(r->work) : NULL;
    const char *older = plan_older_targets(&p->plan.params);
    bool again = given && older && json_get(given, older);
    bool twice = again || (given && json_get(given, "targets"));
    work_wipe(given);
    return twice ? err_set(e, ERR_VALIDATION, "plan %s: its targets are given twice: leave out %s=, or the "
                           "others (-w, -g, -a; on the screen the selection)", p->plan.name,
                           again ? older : "targets")
                 : 0;
}

static int check_changed(struct plan_run *p, const struct batch_request *r, struct batch_review *v,
                         struct err *e)
{
    int rc = work_file_hash(p->plan.path, p->hash, e);
    if (rc == 0 && r->work->hash && strcmp(r->work->hash, p->hash) != 0)
        strv_push_own(&v->warnings, x_asprintf("plan %s has changed since #%lld ran it", p->plan.name,
                                               (long long) r->rerun_of));
    return rc;
}

int plan_run_make(struct service *s, const struct batch_request *r, struct batch_review *v,
                  struct plan_run **out, struct err *e)
{
    struct plan_run *p = x_calloc(1, sizeof *p);
    p->deny = &s->config.deny;
    p->confirm = &s->config.confirm;
    int rc = service_plan(s, r->work->name, &p->plan, e);
    if (rc == 0 && (r->stdin_path || r->stdin_fd || r->pty))
        rc = err_set(e, ERR_VALIDATION, "a plan takes no input and no terminal");
    if (rc == 0)
        rc = check_targets(p, r, v, e);
    if (rc == 0)
        rc = check_changed(p, r, v, e);
    if (rc == 0 && r->work->on_failure >= 0)
        p->plan.on_failure = (enum plan_on_failure) r->work->on_failure;
    if (rc == 0)
        rc = check_named_once(p, r, v, e);
    if (rc == 0) {
        look_at_results(p);
        rc = take_values(s, p, r->work, &v->nodes, e);
    }
    if (rc == 0)
        rc = plan_check_return(p, e);
    if (rc == 0)
        rc = find_nodes(s, r, p, e);
    if (rc == 0)
        rc = take_first(p, r, e);
    if (rc == 0)
        rc = plan_ready_all(s, p, &v->confirm, e);
    if (rc == 0) {
        strv_copy(&v->nodes, &p->nodes);
        *out = p;
        return 0;
    }
    plan_run_free(p);
    return rc;
}

int plan_run_build(struct service *s, struct plan_run *p, struct err *e)
{
    struct work_request none;
    int rc = 0;
    work_request_init(&none);
    for (size_t i = 0; i < p->plan.n_steps && rc == 0; i++) {
        struct plan_part *part = &p->parts[i];
        enum plan_step_kind kind = part->step->kind;
        if (kind == PLAN_STEP_TASK || kind == PLAN_STEP_SCRIPT) {
            rc = task_run_build(s, &part->task, &none, e);
        } else if (part->copy.remote) {
            rc = part->copy.pull ? copies_prepare(s->copies, &part->copy, e) : 0;
            if (rc == 0)
                rc = copy_prepare(&part->copy, &part->command, &part->stdin_fd, &part->files, e);
        }
    }
    return rc;
}
