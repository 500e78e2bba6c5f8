/* SPDX-License-Identifier: Apache-2.0 */
/* The controller of plans: leads each node from step to step.
 *
 * Theory of operation: every step of a node is a submission to the engine of its own, whose number has
 * the step above ENGINE_STEP_SHIFT. What the engine emits passes plans_emit() on its threads, which says
 * what of the plan it is about, gathers what later steps refer to, and decides whether a FINISH is the
 * node's last. Once that is committed, plans_finished() submits the next step (on the writer's thread),
 * so a step that is on record as ended comes before the next begins. Steps that run on no node, and
 * those that cannot be made ready, wait for their slot and their claim like others, and end here.
 *
 * A node is in one state at a time; who moves it holds the lock, and emits what follows from it within.
 * A cancel drops what waits in the engine without an event: plans_cancelled(), called after it, ends
 * the nodes that have begun. A later step that the engine then refuses ends its node in the same way.
 *
 * Locks: the engine's lock, then plans.lock, then the writer's queue. So the engine is never called with
 * the lock held. finish_emitted is counted before a job leaves the engine for an end that is ours: the
 * service is not idle in between. */
#include "plans.h"

#include "answers.h"
#include "create.h"
#include "input.h"
#include "service.h"
#include "stage_plan.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/log.h"
#include "muster/base/secret.h"
#include "muster/base/strbuf.h"
#include "muster/core/event.h"
#include "muster/core/fleet.h"
#include "muster/core/json.h"
#include "muster/store/writer.h"

#include <string.h>

enum node_state {
    NODE_NEW,     /* waits in the engine for its first step */
    NODE_QUEUED,  /* for a later one */
    NODE_CLAIMED, /* a claim is on its way */
    NODE_ACTIVE,
    NODE_BETWEEN, /* a step's end is on its way to the store, another follows */
    NODE_ENDING,  /* so is its last */
    NODE_DONE
};

struct plan_node {
    enum node_state state;
    size_t step;
    struct settings base, over;
    unsigned key;
    char *fault;           /* why the step cannot run, or NULL */
    struct json *results;
    struct strbuf out[2];  /* of a step whose result is kept */
    bool gathers;
};

/* Copies of what the request has for every step, and its nodes. */
struct plan_batch {
    int64_t number;
    struct plan_run *run;
    struct plan_node *nodes;
    size_t left; /* not done */
    bool cancelled;
    char *stopped; /* on_failure: why nothing more begins, or NULL */
    unsigned fanout, retries, limit, per_key;
    uint64_t max_output, max_pull;
    bool live;
    char *ssh_config, *chdir;
    bool has_options;
    struct strv ssh_options, env;
    struct secret *password, *become_password;
};

struct plans {
    struct service *service;
    pthread_mutex_t lock;
    struct plan_batch **v; /* under the lock, with all they hold */
    size_t n, cap;
    bool leaving;
};

struct plans *plans_new(struct service *s)
{
    struct plans *g = x_calloc(1, sizeof *g);
    g->service = s;
    pthread_mutex_init(&g->lock, NULL);
    return g;
}

static void node_clear(struct plan_node *x)
{
    for (int i = 0; x->gathers && i < 2; i++)
        strbuf_free(&x->out[i]);
    x->gathers = false;
    settings_clear(&x->base);
    settings_clear(&x->over);
    json_free(X_STEAL(x->results));
    free(X_STEAL(x->fault));
}

static void batch_free(struct plan_batch *b)
{
    for (size_t i = 0; i < b->run->nodes.n; i++)
        node_clear(&b->nodes[i]);
    free(b->nodes);
    plan_run_free(b->run);
    free(b->stopped);
    free(b->ssh_config);
    free(b->chdir);
    strv_clear(&b->ssh_options);
    strv_clear(&b->env);
    secret_unref(b->password);
    secret_unref(b->become_password);
    free(b);
}

void plans_free(struct plans *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n; i++)
        batch_free(g->v[i]);
    free(g->v);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

static struct plan_batch *find(struct plans *g, int64_t number)
{
    for (size_t i = g->n; i-- > 0;)
        if (g->v[i]->number == (number & ENGINE_BATCH_MASK))
            return g->v[i];
    return NULL;
}

/* --- ends that are ours; under the lock --- */

static void emit(struct plans *g, struct event *ev)
{
    ev->wall_ms = wall_ms(clock_system());
    atomic_fetch_add(&g->service->finish_emitted, 1);
    writer_emit(g->service->writer, ev);
}

/* The end of a node beside its steps. Takes error over. */
static void end_node(struct plans *g, struct plan_batch *b, uint32_t position, enum reason reason,
                     char *error)
{
    struct event *ev = event_new(EVENT_FINISH, b->number, position);
    ev->status = reason == REASON_NONE ? EXEC_SUCCESS : EXEC_FAILED;
    ev->reason = reason;
    ev->error = error;
    ev->exit_code = -1;
    ev->last = true;
    b->nodes[position].state = NODE_ENDING;
    emit(g, ev);
}

static void end_before(struct plans *g, struct plan_batch *b, uint32_t position)
{
    CLEANUP_FREE char *where = plan_run_step(b->run, b->nodes[position].step);
    if (b->cancelled)
        end_node(g, b, position, REASON_CANCELLED, x_asprintf("Cancelled by user before %s", where));
    else
        end_node(g, b, position, REASON_SKIPPED,
                 x_asprintf("skipped %s: %s", where, b->stopped ? b->stopped : "muster left"));
}

/* --- what passes to the store --- */

static void gather(struct plan_node *x, const struct event *ev)
{
    for (int i = 0; x->gathers && i < 2; i++)
        strbuf_add(&x->out[i], ev->data[i], ev->len[i]);
}

static void keep_result(struct plan_batch *b, struct plan_node *x, struct json *result)
{
    const struct plan_step *st = b->run->parts[x->step].step;
    if (!x->results)
        x->results = json_object();
    json_put(x->results, st->name, result);
}

static void take_gathered(struct plan_batch *b, struct plan_node *x, const struct event *ev)
{
    if (!x->gathers)
        return;
    const char *const data[2] = {x->out[0].s, x->out[1].s};
    const size_t len[2] = {x->out[0].len, x->out[1].len};
    keep_result(b, x, plan_step_result(&b->run->parts[x->step], data, len, ev->exit_code));
    for (int i = 0; i < 2; i++)
        strbuf_free(&x->out[i]);
    x->gathers = false;
}

static bool is_caught(const struct plan_batch *b, const struct plan_node *x, const struct event *ev)
{
    return b->run->parts[x->step].step->catch_errors && ev->reason != REASON_CANCELLED &&
           ev->reason != REASON_SKIPPED && ev->reason != REASON_LOST;
}

/* The node's end with what `return` says, or, when its last step's failure was caught, well. */
static void end_after(struct plans *g, struct plan_batch *b, uint32_t position)
{
    CLEANUP_ERR struct err e = ERR_INIT;
    struct event *ev = event_new(EVENT_FINISH, b->number, position);
    char *text = b->run->plan.ret ? plan_step_text(b->run, b->run->plan.n_steps,
                                                   b->nodes[position].results, NULL, &e)
                                  : NULL;
    bool failed = b->run->plan.ret && !text;
    ev->status = failed ? EXEC_FAILED : EXEC_SUCCESS;
    ev->reason = failed ? REASON_INTERNAL : REASON_NONE;
    ev->error = failed ? x_asprintf("return: %s", e.msg) : NULL;
    ev->exit_code = failed ? -1 : 0;
    ev->last = true;
    ev->data[0] = text;
    ev->len[0] = text ? strlen(text) : 0;
    emit(g, ev);
}

/* Decides what a step's end is; the event goes on to the writer. */
static void step_ends(struct plans *g, struct plan_batch *b, struct event *ev)
{
    struct plan_node *x = &b->nodes[ev->position];
    bool failed = ev->status == EXEC_FAILED, caught = failed && is_caught(b, x, ev);
    size_t next = plan_run_next(b->run, ev->position, x->step + 1);
    bool over = (failed && !caught) || next == b->run->plan.n_steps;
    bool beside = over && (!failed || caught) && (caught || b->run->plan.ret);
    uint32_t position = ev->position;

    gather(x, ev);
    take_gathered(b, x, ev);
    if (failed) {
        CLEANUP_FREE char *where = plan_run_step(b->run, x->step);
        char *why = ev->error ? x_asprintf("%s: %s", where, ev->error)
                  : ev->reason == REASON_EXIT
                      ? x_asprintf("%s: exit code %d", where, ev->exit_code)
                      : x_asprintf("%s: %s", where, reason_name(ev->reason));
        free(ev->error);
        ev->error = why;
    }
    ev->last = over && !beside;
    x->state = over ? NODE_ENDING : NODE_BETWEEN;
    writer_emit(g->service->writer, ev);
    if (beside)
        end_after(g, b, position);
}

bool plans_emit(struct plans *g, struct event *ev)
{
    struct writer *w = g->service->writer;
    unsigned step = (unsigned) (ev->batch >> ENGINE_STEP_SHIFT);
    if (!step)
        return writer_emit(w, ev);
    int64_t number = ev->batch;
    bool taken = true;
    pthread_mutex_lock(&g->lock);
    struct plan_batch *b = find(g, number);
    ev->batch = number & ENGINE_BATCH_MASK;
    ev->step = step;
    if (b && ev->kind == EVENT_FINISH) {
        step_ends(g, b, ev);
    } else if (b && ev->kind == EVENT_OUTPUT) {
        struct plan_node *x = &b->nodes[ev->position];
        size_t was[2] = {x->out[0].len, x->out[1].len};
        gather(x, ev);
        taken = writer_emit(w, ev);
        for (int i = 0; !taken && x->gathers && i < 2; i++)
            x->out[i].len = was[i];
        if (!taken)
            ev->batch = number; /* it comes again */
    } else {
        if (b && ev->kind == EVENT_CLAIM)
            b->nodes[ev->position].state = NODE_CLAIMED;
        taken = writer_emit(w, ev);
    }
    pthread_mutex_unlock(&g->lock);
    return taken;
}

/* --- submitting --- */

struct outgoing {
    struct engine_batch batch;
    struct engine_job job;
    struct plan_line line;
    struct strv env;
    struct settings base, over;
    char *ssh_config, *chdir;
    struct strv ssh_options;
    struct copy_files *files;
    char *node;
};

static void outgoing_clear(struct outgoing *o)
{
    plan_line_clear(&o->line);
    strv_clear(&o->env);
    strv_clear(&o->ssh_options);
    settings_clear(&o->base);
    settings_clear(&o->over);
    secret_unref(o->batch.password);
    secret_unref(o->batch.become_password);
    copy_files_unref(o->files);
    free(o->ssh_config);
    free(o->chdir);
    free(o->node);
}

static void make_settings(const struct plan_node *x, const struct plan_step *st, struct outgoing *o)
{
    settings_init(&o->base);
    settings_init(&o->over);
    settings_merge(&o->base, &x->base);
    settings_merge(&o->over, &x->over);
    if (!st->run_as)
        return;
    free(o->over.become_user);
    o->over.become_user = x_strdup(st->run_as);
    if (!o->over.become && !o->base.become)
        o->over.become = x_strdup(become_name(BECOME_SUDO));
}

static void start_gathering(struct plan_batch *b, struct plan_node *x)
{
    const struct plan_part *part = &b->run->parts[x->step];
    if (!part->keep || plan_part_is_local(part))
        return;
    for (int i = 0; i < 2; i++)
        strbuf_init(&x->out[i], PLAN_RESULT_MAX);
    x->gathers = true;
}

/* All that the engine needs for the step that a node is at. Under the lock; the copies are ours, but
 * for the descriptor, which stays open as long as a node of the batch is not done. */
static void outgoing_make(struct plan_batch *b, uint32_t position, bool later, struct outgoing *o)
{
    CLEANUP_ERR struct err e = ERR_INIT;
    struct plan_node *x = &b->nodes[position];
    const struct plan_part *part = &b->run->parts[x->step];
    memset(o, 0, sizeof *o);
    if (!plan_part_is_local(part) &&
        plan_line_make(b->run, x->step, x->results, &o->line, &e) != 0)
        x->fault = x_strdup(e.msg);
    start_gathering(b, x);
    make_settings(x, part->step, o);
    strv_copy(&o->env, &b->env);
    for (size_t i = 0; i < o->line.env.n; i++)
        strv_push(&o->env, o->line.env.v[i]);
    strv_copy(&o->ssh_options, &b->ssh_options);
    o->ssh_config = x_strdup(b->ssh_config);
    o->chdir = x_strdup(b->chdir);
    o->node = x_strdup(b->run->nodes.v[position]);
    o->files = copy_files_ref(part->files);
    int fd = part->task.stdin_fd ? part->task.stdin_fd : part->stdin_fd;
    o->batch = (struct engine_batch){
        .number = b->number | (int64_t) (x->step + 1) << ENGINE_STEP_SHIFT,
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
    o->job = (struct engine_job){
        .position = position, .node = o->node, .base = &o->base, .over = &o->over, .key = x->key,
        .env = part->step->kind == PLAN_STEP_TASK ? task_run_env(&part->task, position) : NULL};
}

static bool submit(struct plans *g, struct outgoing *o)
{
    struct service *s = g->service;
    pthread_mutex_lock(&s->engine_lock);
    bool added = s->engine && engine_submit(s->engine, &o->batch, &o->job, 1);
    pthread_mutex_unlock(&s->engine_lock);
    outgoing_clear(o);
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
    settings_merge(&x->over, &r->over);
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
    struct outgoing *all = x_calloc(n + 1, sizeof *all);
    for (size_t i = 0; i < n; i++)
        outgoing_make(b, (uint32_t) i, false, &all[i]);
    pthread_mutex_lock(&g->lock);
    X_GROW(g->v, g->cap, g->n + 1);
    g->v[g->n++] = b;
    pthread_mutex_unlock(&g->lock);
    for (size_t i = 0; i < n; i++)
        submit(g, &all[i]);
    free(all);
}

/* --- claims --- */

/* A step that runs on no node, or cannot, ends at once. Under the lock. */
static void run_here(struct plans *g, struct plan_batch *b, uint32_t position)
{
    CLEANUP_ERR struct err e = ERR_INIT;
    struct plan_node *x = &b->nodes[position];
    struct event *ev = event_new(EVENT_FINISH, b->number, position);
    struct json *value = NULL;
    char *text = NULL;
    ev->wall_ms = wall_ms(clock_system());
    ev->step = (unsigned) x->step + 1;
    ev->exit_code = -1;
    if (b->stopped) {
        event_free(ev);
        end_before(g, b, position);
        atomic_fetch_sub(&g->service->finish_emitted, 1); /* counted by both */
        return;
    }
    if (!x->fault)
        text = plan_step_text(b->run, x->step, x->results, &value, &e);
    if (text) {
        if (b->run->parts[x->step].keep)
            keep_result(b, x, X_STEAL(value));
        ev->data[0] = text;
        ev->len[0] = strlen(text);
        ev->exit_code = 0;
    } else {
        ev->status = EXEC_FAILED;
        ev->reason = REASON_INTERNAL;
        ev->error = x->fault ? X_STEAL(x->fault) : x_strdup(e.msg);
    }
    if (text)
        ev->status = EXEC_SUCCESS;
    json_free(value);
    step_ends(g, b, ev);
}

bool plans_claimed(struct plans *g, int64_t batch, uint32_t position, bool granted)
{
    struct service *s = g->service;
    bool here = false, heard = false;
    pthread_mutex_lock(&g->lock);
    struct plan_batch *b = find(g, batch);
    if (!b) {
        pthread_mutex_unlock(&g->lock);
        return false;
    }
    struct plan_node *x = &b->nodes[position];
    bool first = x->step == plan_run_first(b->run, position);
    x->state = granted ? NODE_ACTIVE : first ? NODE_NEW : NODE_QUEUED;
    here = granted && (plan_part_is_local(&b->run->parts[x->step]) || x->fault ||
                       (b->stopped && !first));
    pthread_mutex_unlock(&g->lock);
    if (here || !granted)
        atomic_fetch_add(&s->finish_emitted, 1);
    pthread_mutex_lock(&s->engine_lock);
    if (s->engine)
        heard = here ? engine_take(s->engine, batch, position)
                     : engine_claimed(s->engine, batch, position, granted);
    pthread_mutex_unlock(&s->engine_lock);
    if (granted && !here)
        return true;
    pthread_mutex_lock(&g->lock);
    if (here && heard) {
        run_here(g, b, position);
    } else {
        if (!here && !heard && (x->state == NODE_NEW || x->state == NODE_QUEUED)) {
            b->cancelled |= !g->leaving;
            end_before(g, b, position);
        }
        atomic_fetch_sub(&s->finish_emitted, 1);
    }
    pthread_mutex_unlock(&g->lock);
    return true;
}

/* --- ends that are on record --- */

/* Nothing more begins. */
static void stop(struct plan_batch *b, const struct event *ev)
{
    b->stopped = x_asprintf("%s failed on %s", ev->error ? ev->error : "a step",
                            b->run->nodes.v[ev->position]);
    log_line(LOG_WARN, "plans", b->number, NULL, "stops: %s", b->stopped);
}

/* Behind all claims that the engine has emitted before it dropped the rest. */
static void emit_skip(struct plans *g, int64_t number, const char *why)
{
    struct event *skip = event_new(EVENT_SKIP, number, 0);
    skip->error = x_asprintf("skipped: %s", why);
    emit(g, skip);
}

static void node_done(struct plan_batch *b, uint32_t position)
{
    struct plan_node *x = &b->nodes[position];
    if (x->state == NODE_DONE)
        return;
    x->state = NODE_DONE;
    node_clear(x);
    b->left--;
}

/* Takes the batch from the list when all its nodes are done. */
static struct plan_batch *take_over(struct plans *g, struct plan_batch *b)
{
    if (b->left)
        return NULL;
    for (size_t i = 0; i < g->n; i++)
        if (g->v[i] == b) {
            memmove(g->v + i, g->v + i + 1, (g->n - i - 1) * sizeof(struct plan_batch *));
            g->n--;
            break;
        }
    return b;
}

static void skipped(struct plan_batch *b)
{
    for (size_t i = 0; i < b->run->nodes.n; i++)
        if (b->nodes[i].state == NODE_NEW)
            node_done(b, (uint32_t) i);
}

/* Under the lock; true: out is to be submitted. */
static bool go_on(struct plans *g, struct plan_batch *b, uint32_t position, struct outgoing *out)
{
    struct plan_node *x = &b->nodes[position];
    if (x->state != NODE_BETWEEN)
        return false;
    x->step = plan_run_next(b->run, position, x->step + 1);
    if (b->cancelled || b->stopped || g->leaving) {
        end_before(g, b, position);
        return false;
    }
    x->state = NODE_QUEUED;
    outgoing_make(b, position, true, out);
    return true;
}

/* The engine has cancelled it. */
static void refused(struct plans *g, int64_t number, uint32_t position)
{
    pthread_mutex_lock(&g->lock);
    struct plan_batch *b = find(g, number);
    if (b && b->nodes[position].state == NODE_QUEUED) {
        b->cancelled |= !g->leaving;
        end_before(g, b, position);
    }
    pthread_mutex_unlock(&g->lock);
}

void plans_finished(struct plans *g, const struct event *ev)
{
    struct service *s = g->service;
    struct outgoing out;
    bool next = false, ended = false, drop = false;
    CLEANUP_FREE char *why = NULL;
    pthread_mutex_lock(&g->lock);
    struct plan_batch *b = find(g, ev->batch), *over = NULL;
    if (b && ev->kind == EVENT_SKIP) {
        skipped(b);
    } else if (b && ev->kind == EVENT_FINISH && ev->step && !ev->last) {
        next = go_on(g, b, ev->position, &out);
    } else if (b && ev->kind == EVENT_FINISH) {
        drop = ev->status == EXEC_FAILED && b->run->plan.on_failure == PLAN_STOP && !b->stopped &&
               !b->cancelled;
        if (drop)
            stop(b, ev);
        why = x_strdup(b->stopped);
        node_done(b, ev->position);
        ended = true;
    }
    if (b)
        over = take_over(g, b);
    pthread_mutex_unlock(&g->lock);
    if (next && !submit(g, &out))
        refused(g, ev->batch, ev->position);
    pthread_mutex_lock(&s->engine_lock);
    if (drop && s->engine)
        engine_drop(s->engine, ev->batch, why);
    if (ended && s->engine)
        engine_leave(s->engine, ev->batch, ev->position);
    if (over && s->engine)
        engine_steps_over(s->engine, ev->batch);
    pthread_mutex_unlock(&s->engine_lock);
    if (drop)
        emit_skip(g, ev->batch, why);
    if (over)
        batch_free(over);
}

/* --- what comes from outside --- */

static void sweep(struct plans *g, struct plan_batch *b)
{
    for (size_t i = 0; i < b->run->nodes.n; i++)
        if (b->nodes[i].state == NODE_QUEUED)
            end_before(g, b, (uint32_t) i);
}

void plans_cancelled(struct plans *g, int64_t batch)
{
    struct service *s = g->service;
    pthread_mutex_lock(&g->lock);
    struct plan_batch *b = find(g, batch), *over = NULL;
    if (b) {
        b->cancelled = true;
        sweep(g, b);
        skipped(b);
        over = take_over(g, b);
    }
    pthread_mutex_unlock(&g->lock);
    if (!over)
        return;
    pthread_mutex_lock(&s->engine_lock);
    if (s->engine)
        engine_steps_over(s->engine, batch);
    pthread_mutex_unlock(&s->engine_lock);
    batch_free(over);
}

void plans_left(struct plans *g)
{
    pthread_mutex_lock(&g->lock);
    g->leaving = true;
    for (size_t i = 0; i < g->n; i++)
        sweep(g, g->v[i]);
    pthread_mutex_unlock(&g->lock);
}
