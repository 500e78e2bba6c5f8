/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of a plan on their way to the engine: the first one of all nodes together where it is the same on
 * all of them, each later one by itself. */
#include "plans_priv.h"

#include "answers.h"
#include "create.h"
#include "input.h"
#include "service.h"
#include "stage_plan.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/secret.h"
#include "muster/core/fleet.h"
#include "muster/core/json.h"

#include <string.h>

struct outgoing {
    struct engine_batch batch;
    struct engine_job *jobs;
    struct settings *sets; /* two of each job */
    size_t n;
    struct plan_line line;
    struct strv env, ssh_options;
    char *ssh_config, *chdir;
    struct copy_files *files;
};

static void outgoing_free(struct outgoing *o)
{
    for (size_t i = 0; i < 2 * o->n; i++)
        settings_clear(&o->sets[i]);
    for (size_t i = 0; i < o->n; i++)
        free((char *) (uintptr_t) o->jobs[i].node);
    free(o->sets);
    free(o->jobs);
    plan_line_clear(&o->line);
    strv_clear(&o->env);
    strv_clear(&o->ssh_options);
    secret_unref(o->batch.password);
    secret_unref(o->batch.become_password);
    copy_files_unref(o->files);
    free(o->ssh_config);
    free(o->chdir);
    free(o);
}

static void make_settings(const struct plan_node *x, const struct plan_step *st,
                          struct settings *base, struct settings *over)
{
    settings_init(base);
    settings_init(over);
    settings_merge(base, &x->base);
    settings_merge(over, &x->over);
    if (!st->run_as)
        return;
    free(over->become_user);
    over->become_user = x_strdup(st->run_as);
    if (!over->become && !base->become)
        over->become = x_strdup(become_name(BECOME_SUDO));
}

static void start_gathering(const struct plan_part *part, struct plan_node *x)
{
    if (!part->keep || plan_part_is_local(part))
        return;
    for (int i = 0; i < 2; i++)
        strbuf_init(&x->out[i], PLAN_RESULT_MAX);
    x->gathers = true;
}

static void make_jobs(struct plan_batch *b, const struct plan_part *part,
                      const uint32_t *positions, const char *fault, struct outgoing *o)
{
    o->jobs = x_calloc(o->n, sizeof *o->jobs);
    o->sets = x_calloc(2 * o->n, sizeof *o->sets);
    for (size_t i = 0; i < o->n; i++) {
        struct plan_node *x = &b->nodes[positions[i]];
        struct settings *base = &o->sets[2 * i], *over = &o->sets[2 * i + 1];
        x->fault = x_strdup(fault);
        start_gathering(part, x);
        make_settings(x, part->step, base, over);
        bool task = part->step->kind == PLAN_STEP_TASK;
        o->jobs[i] = (struct engine_job){
            .position = positions[i], .node = x_strdup(b->run->nodes.v[positions[i]]),
            .base = base, .over = over, .key = x->key,
            .env = task ? task_run_env(&part->task, positions[i]) : NULL};
    }
}

/* The descriptor stays open as long as a node of the batch is not done. */
struct outgoing *outgoing_make(struct plan_batch *b, const uint32_t *positions, size_t n, bool later)
{
    CLEANUP_ERR struct err e = ERR_INIT;
    struct outgoing *o = x_calloc(1, sizeof *o);
    size_t step = b->nodes[positions[0]].step;
    const struct plan_part *part = &b->run->parts[step];
    int rc = plan_part_is_local(part) ? 0
             : plan_line_make(b->run, step, b->nodes[positions[0]].results, &o->line, &e);
    o->n = n;
    make_jobs(b, part, positions, rc != 0 ? e.msg : NULL, o);
    strv_copy(&o->env, &b->env);
    for (size_t i = 0; i < o->line.env.n; i++)
        strv_push(&o->env, o->line.env.v[i]);
    strv_copy(&o->ssh_options, &b->ssh_options);
    o->ssh_config = x_strdup(b->ssh_config);
    o->chdir = x_strdup(b->chdir);
    o->files = copy_files_ref(part->files);
    int fd = part->task.stdin_fd ? part->task.stdin_fd : part->stdin_fd;
    o->batch = (struct engine_batch){
        .number = b->number | (int64_t) (step + 1) << ENGINE_STEP_SHIFT,
        .steps = true,
        .later = later,
        .command = o->line.command,
        .fanout = b->fanout,
        .max_output = part->copy.pull ? b->max_pull : b->max_output,
        .retries = b->retries,
        .live = b->live,
        .ssh_config = o->ssh_config,
        .ssh_options = b->has_options ? &o->ssh_options : NULL,
        .env = o->env.n ? &o->env : NULL,
        .chdir = o->chdir,
        .stdin_fd = fd,
        .input_secret = o->line.input,
        .retry_for_ms = o->line.retry_for_ms,
        .progress = part->stdin_fd != 0,
        .copy = o->files,
        .password = secret_ref(b->password),
        .become_password = secret_ref(b->become_password),
        .dispatch_limit = b->limit,
        .per_key = b->per_key,
    };
    return o;
}

bool outgoing_send(struct plans *g, struct outgoing *o)
{
    struct service *s = g->service;
    pthread_mutex_lock(&s->engine_lock);
    bool added = s->engine && engine_submit(s->engine, &o->batch, o->jobs, o->n);
    pthread_mutex_unlock(&s->engine_lock);
    outgoing_free(o);
    return added;
}

static void take_request(struct service *s, struct plan_batch *b, const struct batch_request *r)
{
    b->retries = r->retries >= 0 ? (unsigned) r->retries : s->config.retries;
    b->max_output = r->max_output ? r->max_output : s->config.max_output;
    b->max_pull = r->max_output ? r->max_output : COPY_MAX_BYTES_DEFAULT;
    b->live = r->live;
    b->ssh_config = x_strdup(r->ssh_config ? r->ssh_config : s->ssh_config);
    b->has_options = r->ssh_options != NULL;
    if (r->ssh_options)
        strv_copy(&b->ssh_options, r->ssh_options);
    if (r->env)
        strv_copy(&b->env, r->env);
    b->chdir = x_strdup(r->chdir);
    b->password = secret_ref(r->password);
    b->become_password = secret_ref(r->become_password);
}

static void take_node(struct service *s, struct plan_batch *b, size_t i,
                      const struct batch_request *r)
{
    struct plan_node *x = &b->nodes[i];
    const struct fleet_node *node = fleet_node(s->fleet, b->run->nodes.v[i]);
    service_base_settings(s, node, &x->base);
    settings_init(&x->over);
    if (node)
        settings_merge(&x->over, &node->over);
    settings_merge_flags(&x->over, &r->over);
    input_imply_become(r, &x->base, &x->over);
    x->step = plan_run_first(b->run, i);
    if (b->run->known)
        x->results = X_STEAL(b->run->known[i]);
}

/* What comes of a step passes those who know what it means. */
static void hear(struct service *s, int64_t number, const struct plan_part *part,
                   const struct plan_run *run)
{
    if (part->copy.remote)
        copies_add(s->copies, number, &part->copy, &run->nodes);
    if (part->step->kind == PLAN_STEP_TASK)
        answers_add(s->answers, number, &part->task.task);
}

/* All that begin with the same step go together, in their order. */
static struct outgoing **make_first(struct plan_batch *b, size_t *n_out)
{
    size_t n = b->run->nodes.n, n_all = 0;
    struct outgoing **all = x_calloc(n + 1, sizeof(struct outgoing *));
    uint32_t *at = x_calloc(n + 1, sizeof *at);
    for (size_t step = 0; step < b->run->plan.n_steps; step++) {
        bool each = b->run->parts[step].by_node;
        size_t n_at = 0;
        for (size_t i = 0; i < n; i++) {
            if (b->nodes[i].step != step)
                continue;
            at[n_at++] = (uint32_t) i;
            if (each) {
                all[n_all++] = outgoing_make(b, at, n_at, false);
                n_at = 0;
            }
        }
        if (n_at)
            all[n_all++] = outgoing_make(b, at, n_at, false);
    }
    free(at);
    *n_out = n_all;
    return all;
}

void plans_start(struct plans *g, int64_t number, struct plan_run *run,
                 const struct batch_request *r, const struct stage_plan *stages,
                 const unsigned *keys, unsigned fanout)
{
    struct service *s = g->service;
    struct plan_batch *b = x_calloc(1, sizeof *b);
    size_t n = run->nodes.n;
    b->number = number;
    b->run = run;
    b->left = n;
    b->fanout = fanout;
    b->limit = stages->n > 1 ? stages->limits[0] : 0;
    b->per_key = stages->per_key;
    b->nodes = x_calloc(n + 1, sizeof *b->nodes);
    take_request(s, b, r);
    for (size_t i = 0; i < n; i++) {
        take_node(s, b, i, r);
        b->nodes[i].key = keys ? keys[i] : 0;
    }
    for (size_t i = 0; i < run->plan.n_steps; i++)
        hear(s, number | (int64_t) (i + 1) << ENGINE_STEP_SHIFT, &run->parts[i], run);
    size_t n_all;
    struct outgoing **all = make_first(b, &n_all);
    pthread_mutex_lock(&g->lock);
    X_GROW(g->v, g->cap, g->n + 1);
    g->v[g->n++] = b;
    pthread_mutex_unlock(&g->lock);
    for (size_t i = 0; i < n_all; i++)
        outgoing_send(g, all[i]);
    free(all);
}
