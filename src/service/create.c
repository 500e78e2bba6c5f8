/* SPDX-License-Identifier: Apache-2.0 */
/* Creating a batch: once it was reviewed (review.c), reserve room, write, submit. */
#include "service.h"

#include "answers.h"
#include "copy.h"
#include "create.h"
#include "expand.h"
#include "input.h"
#include "plans.h"
#include "stages.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/log.h"
#include "muster/base/secret.h"
#include "muster/core/json.h"
#include "muster/exec/engine.h"
#include "muster/store/writer.h"

#include <string.h>
#include <unistd.h>

void batch_request_init(struct batch_request *r)
{
    memset(r, 0, sizeof *r);
    r->type = ACTION_TYPE_COMMAND;
    r->retries = -1;
    r->stages.canary_ok = -1;
    settings_init(&r->over);
}

void batch_request_clear(struct batch_request *r)
{
    settings_clear(&r->over);
    secret_unref(X_STEAL(r->password));
    secret_unref(X_STEAL(r->become_password));
}

void batch_review_clear(struct batch_review *r)
{
    strv_clear(&r->nodes);
    strv_clear(&r->groups);
    strv_clear(&r->warnings);
    strv_clear(&r->protected_groups);
    free(r->folded);
    free(r->stages);
    if (r->task)
        task_run_clear(r->task);
    free(r->task);
    plan_run_free(r->plan);
    memset(r, 0, sizeof *r);
}

void batch_created_clear(struct batch_created *c)
{
    strv_clear(&c->nodes);
    strv_clear(&c->warnings);
    memset(c, 0, sizeof *c);
}

/* --- writing and submitting --- */

static int write_batch(struct service *s, const struct batch_request *r,
                       const struct batch_review *v, struct batch_ref *ref, struct err *e)
{
    struct writer *w = service_writer(s, e);
    if (!w)
        return -ERR_STORE;
    if (v->plan && !r->work->targets)
        r->work->targets = x_strdup(v->plan->targets);
    const char *hash = v->task ? v->task->hash : v->plan ? v->plan->hash : NULL;
    CLEANUP_FREE char *parameters =
        expand_remember(parameters_encode(r, &s->inventories, hash), s->fleet, &v->nodes, &v->groups,
                        r->repeats);
    CLEANUP_FREE const char **titles = v->plan ? plan_run_titles(v->plan) : NULL;
    const struct batch_new b = {
        .type = r->type,
        .step_titles = titles,
        .n_steps = v->plan ? v->plan->plan.n_steps : 0,
        .action = r->action,
        .parameters = parameters,
        .target_groups = (const char *const *) v->groups.v,
        .n_target_groups = v->groups.n,
        .user_id = io_user_name(),
        .label = r->label,
        .rerun_of = r->rerun_of,
        .fanout = v->fanout,
        .warnings = (const char *const *) v->warnings.v,
        .n_warnings = v->warnings.n,
        .nodes = (const char *const *) v->nodes.v,
        .n_nodes = v->nodes.n,
    };
    return writer_create(w, &b, ref, e);
}

/* What lies under ssh_config for a node: the inventory's defaults, then the configuration's. */
void service_base_settings(const struct service *s, const struct fleet_node *node,
                           struct settings *out)
{
    settings_init(out);
    if (s->config.user)
        out->user = x_strdup(s->config.user);
    if (s->config.is_set[CONFIG_CONNECT_TIMEOUT])
        out->connect_timeout_ms = s->config.connect_timeout_ms;
    out->command_timeout_ms = s->config.command_timeout_ms;
    if (node)
        settings_merge(out, &node->base);
}

/* What a copy runs: its script, and what that reads. */
struct program {
    char *command; /* NULL: the action itself */
    int stdin_fd;  /* 0: none */
    struct copy_files *files;
};

static int program_make(struct service *s, const struct batch_request *r,
                        const struct batch_review *v, struct program *p, struct err *e)
{
    *p = (struct program){0};
    if (v->task)
        return task_run_build(s, v->task, r->work, e);
    if (!r->copy)
        return 0;
    if (r->copy->pull) {
        int rc = copies_prepare(s->copies, r->copy, e);
        if (rc != 0)
            return rc;
    }
    return copy_prepare(r->copy, &p->command, &p->stdin_fd, &p->files, e);
}

static void program_clear(struct program *p)
{
    if (p->stdin_fd)
        close(p->stdin_fd);
    copy_files_unref(p->files);
    free(p->command);
}

static uint64_t output_limit(const struct service *s, const struct batch_request *r)
{
    if (r->copy && r->copy->pull)
        return r->copy->max_bytes ? r->copy->max_bytes : COPY_MAX_BYTES_DEFAULT;
    return r->max_output ? r->max_output : s->config.max_output;
}

static void submit(struct service *s, const struct batch_request *r, const struct batch_review *v,
                   const struct stage_plan *plan, const struct batch_ref *ref,
                   const struct program *p)
{
    size_t n = v->nodes.n;
    CLEANUP_FREE unsigned *keys = stage_plan_keys(&r->stages, &v->nodes, s->fleet);
    struct engine_job *jobs = x_calloc(n, sizeof *jobs);
    struct settings *sets = x_calloc(n * 2, sizeof *sets);
    for (size_t i = 0; i < n; i++) {
        const struct fleet_node *node = fleet_node(s->fleet, v->nodes.v[i]);
        struct settings *base = &sets[2 * i], *over = &sets[2 * i + 1];
        service_base_settings(s, node, base);
        settings_init(over);
        if (node)
            settings_merge(over, &node->over);
        settings_merge_flags(over, &r->over);
        input_imply_become(r, base, over);
        jobs[i] = (struct engine_job){
            .position = (uint32_t) i, .node = v->nodes.v[i], .base = base, .over = over,
            .key = keys ? keys[i] : 0, .env = v->task ? task_run_env(v->task, i) : NULL};
    }
    const struct engine_batch b = {
        .number = ref->number,
        .command = v->task ? v->task->command : p->command ? p->command : r->action,
        .fanout = v->fanout,
        .max_output = output_limit(s, r),
        .retries = r->retries >= 0 ? (unsigned) r->retries : s->config.retries,
        .live = r->live,
        .ssh_config = r->ssh_config ? r->ssh_config : s->ssh_config,
        .ssh_options = r->ssh_options,
        .env = r->env,
        .chdir = r->chdir,
        .pty = r->pty,
        .stdin_path = r->stdin_path,
        .stdin_fd = v->task ? v->task->stdin_fd : p->stdin_fd ? p->stdin_fd : r->stdin_fd,
        .input_secret = v->task ? v->task->input : NULL,
        .retry_for_ms = v->task ? task_run_retry_ms(v->task, r->work) : 0,
        .progress = p->stdin_fd != 0,
        .copy = p->files,
        .password = r->password,
        .become_password = r->become_password,
        .dispatch_limit = plan->n > 1 ? plan->limits[0] : 0,
        .per_key = plan->per_key,
    };
    if (v->task)
        answers_add(s->answers, ref->number, &v->task->task);
    if (r->copy)
        copies_add(s->copies, ref->number, r->copy, &v->nodes);
    if (plan->n > 1 || plan->max_fail >= 0)
        stages_add(s->stages, ref->number, &r->stages, plan, &v->nodes);
    engine_submit(s->engine, &b, jobs, n);
    for (size_t i = 0; i < 2 * n; i++)
        settings_clear(&sets[i]);
    free(sets);
    free(jobs);
}

static void submit_plan(struct service *s, const struct batch_request *r, struct batch_review *v,
                        const struct stage_plan *plan, const struct batch_ref *ref)
{
    CLEANUP_FREE unsigned *keys = stage_plan_keys(&r->stages, &v->nodes, s->fleet);
    if (plan->n > 1 || plan->max_fail >= 0)
        stages_add(s->stages, ref->number, &r->stages, plan, &v->nodes);
    plans_start(s->plans, ref->number, X_STEAL(v->plan), r, plan, keys, v->fanout);
}

static int confirmed(const struct batch_request *r, const struct batch_review *v, struct err *e)
{
    if (r->expect_count && r->expect_count != v->nodes.n)
        return err_set(e, ERR_VALIDATION, "the targets changed since they were reviewed: %zu then, "
                       "%zu now; nothing was run", r->expect_count, v->nodes.n);
    if (r->confirmed)
        return 0;
    if (v->protected_groups.n)
        return err_set(e, ERR_FORBIDDEN, "@%s is protected: confirm with --expect %zu, the number "
                       "of targets", v->protected_groups.v[0], v->nodes.n);
    if (v->confirm)
        return err_set(e, ERR_FORBIDDEN, "a rule of the configuration asks to confirm this command: "
                       "confirm with -y");
    return 0;
}

static int write_and_submit(struct service *s, const struct batch_request *r,
                            struct batch_review *v, struct batch_ref *ref, struct err *e)
{
    struct program p;
    struct stage_plan plan;
    int rc = stage_plan_make(&r->stages, &v->nodes, s->fleet, &plan, e);
    if (rc == 0)
        rc = program_make(s, r, v, &p, e);
    if (rc == 0 && v->plan) {
        rc = plan_run_build(s, v->plan, e);
        if (rc == 0)
            rc = rerun_plan_results(s, v->plan, r->work, e);
        if (rc != 0)
            program_clear(&p);
    }
    if (rc != 0)
        return rc;
    rc = engine_reserve(s->engine, v->nodes.n, e);
    if (rc == 0) {
        rc = write_batch(s, r, v, ref, e);
        if (rc != 0)
            engine_unreserve(s->engine, v->nodes.n);
    }
    if (rc == 0) {
        if (r->on_written)
            r->on_written(r->on_written_ctx, ref->number, v->nodes.n);
        if (v->plan)
            submit_plan(s, r, v, &plan, ref);
        else
            submit(s, r, v, &plan, ref, &p);
    }
    program_clear(&p);
    return rc;
}

int batch_create(struct service *s, const struct batch_request *r, struct batch_created *out,
                 struct err *e)
{
    memset(out, 0, sizeof *out);
    struct batch_review v = {0};
    int rc = service_may_change(s, e);
    const char *trouble = service_trouble(s);
    if (rc == 0 && trouble)
        rc = err_set(e, ERR_STORE, "nothing can be started while the database fails: %s", trouble);
    if (rc == 0)
        rc = service_review(s, r, &v, e);
    if (rc == 0)
        rc = confirmed(r, &v, e);
    if (rc == 0)
        rc = input_check_secrets(r, e);
    if (rc != 0) {
        batch_review_clear(&v);
        return rc;
    }
    struct engine *engine = service_engine(s, v.fanout, e);
    if (!engine) {
        batch_review_clear(&v);
        return s->writer ? -ERR_INTERNAL : -ERR_STORE;
    }
    if (v.fanout > s->fanout) {
        strv_push_own(&v.warnings, x_asprintf("fanout %u is above the %u at which this process "
                                              "runs its other batches", v.fanout, s->fanout));
        v.fanout = s->fanout;
    }
    struct batch_ref ref;
    rc = write_and_submit(s, r, &v, &ref, e);
    if (rc != 0) {
        batch_review_clear(&v);
        return rc;
    }
    log_line(LOG_INFO, "service", ref.number, NULL, "%zu targets, fanout %u: %s", v.nodes.n,
             v.fanout, r->action);
    out->number = ref.number;
    memcpy(out->id, ref.id, sizeof out->id);
    out->target_count = v.nodes.n;
    out->nodes = v.nodes;
    out->warnings = v.warnings;
    v.nodes = (struct strv) STRV_INIT;
    v.warnings = (struct strv) STRV_INIT;
    batch_review_clear(&v);
    return 0;
}

void batch_created_members(const struct batch_created *c, struct json *o)
{
    json_put_str(o, "batchId", c->id);
    json_put_int(o, "number", c->number);
    struct json *ids = json_array(), *nodes = json_array(), *warnings = json_array();
    char id[64];
    for (size_t i = 0; i < c->nodes.n; i++) {
        json_add_str(ids, execution_id(c->id, (uint32_t) i, id));
        json_add_str(nodes, c->nodes.v[i]);
    }
    for (size_t i = 0; i < c->warnings.n; i++)
        json_add_str(warnings, c->warnings.v[i]);
    json_put(o, "executionIds", ids);
    json_put_int(o, "targetCount", (int64_t) c->target_count);
    json_put(o, "expandedNodeIds", nodes);
    json_put(o, "warnings", warnings);
}

struct json *batch_created_json(const struct batch_created *c)
{
    struct json *o = json_object();
    batch_created_members(c, o);
    return o;
}
