/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with a plan before anything runs: before anybody gives it parameters or nodes, and whether
 * its steps run where they find the results that they refer to. */
#include "plans.h"

#include "service.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/core/nodeset.h"

#include <string.h>
#include <unistd.h>

static int check_rules(const struct plan_run *p, const struct plan_part *part, struct err *e)
{
    bool asks = false;
    return plan_rules_before(p, part, &asks, e);
}

static int check_task(struct service *s, const struct plan_run *p, const struct plan_step *st,
                      const char *name, struct err *e)
{
    struct plan_part part = {.step = st};
    int rc = service_task(s, name, &part.task.task, e);
    if (rc == 0 && part.task.task.remote)
        rc = plan_refuse_remote(name, e);
    if (rc == 0)
        rc = task_files_check(s, &part.task.task, TASK_FILES_SHELL, e);
    if (rc == 0)
        rc = plan_check_known(p, &part, e);
    if (rc == 0)
        rc = check_rules(p, &part, e);
    task_clear(&part.task.task);
    return rc;
}

/* Arguments that are not known yet would be looked at in part. */
static int check_script(struct service *s, const struct plan_run *p, const struct plan_step *st,
                        const char *typed, struct err *e)
{
    CLEANUP_FREE char *path = plan_file(s, typed);
    struct plan_step known = *st; /* borrowed */
    struct plan_part part = {.step = &known};
    if (access(path, R_OK) != 0)
        return plan_no_script(typed, e);
    if (!plan_value_fixed(st->arguments))
        known.arguments = NULL;
    plan_script_task(typed, path, &part.task.task);
    int rc = check_rules(p, &part, e);
    task_clear(&part.task.task);
    return rc;
}

static int check_upload(struct service *s, const struct plan_step *st, const char *typed, struct err *e)
{
    const struct plan_scope scope = {NULL, NULL, false};
    if (!plan_value_fixed(st->destination))
        return 0;
    CLEANUP_FREE char *here = plan_file(s, typed);
    CLEANUP_FREE char *to = plan_value_text(st->destination, &scope, e);
    const char *const local[] = {here};
    struct copy_request copy = {0};
    int rc = to ? copy_request_make(&copy, false, local, 1, to, e) : -ERR_VALIDATION;
    if (rc == 0)
        rc = copy_check(&copy, e);
    copy_request_clear(&copy);
    return rc;
}

static int check_step(struct service *s, const struct plan_run *p, const struct plan_step *st,
                      struct err *e)
{
    const struct plan_scope scope = {NULL, NULL, false};
    int rc = plan_check_secrets(p, st, e);
    if (rc != 0 || !plan_step_on_nodes(st->kind) || !plan_value_fixed(st->what))
        return rc;
    CLEANUP_FREE char *what = plan_value_text(st->what, &scope, e);
    if (!what)
        return -ERR_VALIDATION;
    switch (st->kind) {
    case PLAN_STEP_COMMAND:
        return check_rules(p, &(struct plan_part){.step = st}, e);
    case PLAN_STEP_TASK:
        return check_task(s, p, st, what, e);
    case PLAN_STEP_SCRIPT:
        return check_script(s, p, st, what, e);
    case PLAN_STEP_UPLOAD:
        return check_upload(s, st, what, e);
    default:
        return 0;
    }
}

/* --- with nodes --- */

static bool refers(const struct plan_step *st, const char *name)
{
    const struct plan_value *const used[] = {st->what, st->parameters, st->arguments, st->env,
                                             st->destination};
    for (size_t i = 0; i < ARRAY_LEN(used); i++)
        if (plan_value_names(used[i], name))
            return true;
    return false;
}

/* The nodes of a step (NULL: all) that the one it refers to is not for. */
static int check_covered(const struct plan_run *p, const bool *on, size_t of, struct err *e)
{
    struct nodeset *without = nodeset_new();
    for (size_t i = 0; i < p->nodes.n; i++)
        if ((!on || on[i]) && !p->parts[of].on[i])
            nodeset_add(without, p->nodes.v[i]);
    size_t n = nodeset_count(without);
    if (n) {
        CLEANUP_FREE char *where = plan_run_step(p, of);
        struct strbuf b;
        strbuf_init(&b, 0);
        nodeset_fold(&b, without, 200);
        err_set(e, ERR_VALIDATION, "$%s is the result of %s, which does not run on %zu of the nodes here: %s",
                p->plan.steps[of].name, where, n, b.s);
        strbuf_free(&b);
    }
    nodeset_free(without);
    return n ? -ERR_VALIDATION : 0;
}

void plan_check_reach(const struct plan_run *p, size_t step, struct plan_run_faults *f)
{
    bool end = step == p->plan.n_steps;
    for (size_t of = 0; of < step; of++) {
        CLEANUP_ERR struct err why = ERR_INIT;
        const char *name = p->plan.steps[of].name;
        if (!p->parts[of].keep)
            continue;
        if (end ? plan_value_names(p->plan.ret, name) : refers(&p->plan.steps[step], name))
            if (check_covered(p, end ? NULL : p->parts[step].on, of, &why) != 0)
                plan_run_fault(f, p, step, &why);
    }
}

/* --- without --- */

int service_plan_check(struct service *s, const struct plan *plan, struct err *e)
{
    const struct plan_run p = {.plan = *plan, .deny = &s->config.deny,
                               .confirm = &s->config.confirm}; /* borrowed */
    struct plan_run_faults f = {.n = 0};
    int rc = plan_check_return(&p, e);
    if (rc != 0)
        return rc;
    strbuf_init(&f.b, 0);
    for (size_t i = 0; i < plan->n_steps; i++) {
        CLEANUP_ERR struct err why = ERR_INIT;
        if (check_step(s, &p, &plan->steps[i], &why) != 0)
            plan_run_fault(&f, &p, i, &why);
    }
    return plan_run_faults_err(&f, &p, e);
}
