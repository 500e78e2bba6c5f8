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
#include "plans_priv.h"

#include "service.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/log.h"
#include "muster/base/secret.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/event.h"
#include "muster/core/json.h"
#include "muster/store/writer.h"

#include <string.h>

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
    ev->reason = failed ? REASON_EXIT : REASON_NONE;
    ev->error = failed ? x_asprintf("return: %s", e.msg) : NULL;
    ev->exit_code = failed ? -1 : 0;
    ev->last = true;
    ev->data[0] = text;
    ev->len[0] = text ? strlen(text) : 0;
    emit(g, ev);
}

/* A later step would get a part of what it refers to, and not know. */
static bool is_too_long(const struct plan_node *x, struct event *ev)
{
    char size[24];
    if (!x->gathers || !(x->out[0].truncated || x->out[1].truncated))
        return false;
    ev->status = EXEC_FAILED;
    ev->reason = REASON_EXIT;
    free(ev->error);
    ev->error = x_asprintf("it said more than %s, and a later step refers to its result",
                           text_size(PLAN_RESULT_MAX, size));
    return true;
}

/* Decides what a step's end is; the event goes on to the writer. */
static void step_ends(struct plans *g, struct plan_batch *b, struct event *ev)
{
    struct plan_node *x = &b->nodes[ev->position];
    bool failed = ev->status == EXEC_FAILED, caught = failed && is_caught(b, x, ev);
    size_t next = plan_run_next(b->run, ev->position, x->step + 1);

    gather(x, ev);
    if (!failed && is_too_long(x, ev)) {
        failed = true;
        caught = is_caught(b, x, ev);
    }
    bool over = (failed && !caught) || next == b->run->plan.n_steps;
    bool beside = over && (!failed || caught) && (caught || b->run->plan.ret);
    uint32_t position = ev->position;

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
        ev->reason = REASON_EXIT;
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
    b = find(g, batch); /* a cancel may have ended it meanwhile */
    x = b ? &b->nodes[position] : NULL;
    if (b && here && heard) {
        run_here(g, b, position);
    } else {
        if (b && !here && !heard && (x->state == NODE_NEW || x->state == NODE_QUEUED)) {
            /* A row that waited is gone by itself; one that runs, by a cancel of them all. */
            b->cancelled |= x->state == NODE_QUEUED && !g->leaving;
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
    b->stopped = x_asprintf("the plan stops as %s failed at %s", b->run->nodes.v[ev->position],
                            ev->error ? ev->error : "a step");
    log_line(LOG_WARN, "plans", b->number, NULL, "%s", b->stopped);
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

/* Under the lock. What is to be submitted, or NULL. */
static struct outgoing *go_on(struct plans *g, struct plan_batch *b, uint32_t position)
{
    struct plan_node *x = &b->nodes[position];
    if (x->state != NODE_BETWEEN)
        return NULL;
    x->step = plan_run_next(b->run, position, x->step + 1);
    if (b->cancelled || b->stopped || g->leaving) {
        end_before(g, b, position);
        return NULL;
    }
    x->state = NODE_QUEUED;
    return outgoing_make(b, &position, 1, true);
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

static void sweep(struct plans *g, struct plan_batch *b)
{
    for (size_t i = 0; i < b->run->nodes.n; i++)
        if (b->nodes[i].state == NODE_QUEUED)
            end_before(g, b, (uint32_t) i);
}

/* Those that wait for a later step, which the engine has dropped. All submissions of later steps and this
 * are the writer's thread's, so none is under way. */
static void sweep_stopped(struct plans *g, int64_t number)
{
    pthread_mutex_lock(&g->lock);
    struct plan_batch *b = find(g, number);
    if (b)
        sweep(g, b);
    pthread_mutex_unlock(&g->lock);
}

void plans_finished(struct plans *g, const struct event *ev)
{
    struct service *s = g->service;
    struct outgoing *next = NULL;
    bool ended = false, drop = false;
    CLEANUP_FREE char *why = NULL;
    pthread_mutex_lock(&g->lock);
    struct plan_batch *b = find(g, ev->batch), *over = NULL;
    if (b && ev->kind == EVENT_SKIP) {
        skipped(b);
    } else if (b && ev->kind == EVENT_FINISH && ev->step && !ev->last) {
        next = go_on(g, b, ev->position);
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
    if (next && !outgoing_send(g, next))
        refused(g, ev->batch, ev->position);
    pthread_mutex_lock(&s->engine_lock);
    if (drop && s->engine) {
        engine_drop(s->engine, ev->batch, why);
        engine_drop_steps(s->engine, ev->batch);
    }
    if (ended && s->engine)
        engine_leave(s->engine, ev->batch, ev->position);
    if (over && s->engine)
        engine_steps_over(s->engine, ev->batch);
    pthread_mutex_unlock(&s->engine_lock);
    if (drop) {
        sweep_stopped(g, ev->batch);
        emit_skip(g, ev->batch, why);
    }
    if (over)
        batch_free(over);
}

/* --- what comes from outside --- */

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
