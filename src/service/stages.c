/* SPDX-License-Identifier: Apache-2.0 */
/* The controller of batches that run in stages.
 *
 * Theory of operation: a staged batch is submitted with the limit of its first stage. The writer's
 * thread tells of every committed end; more failures than allowed stop the batch right there, so that
 * no claim that is answered later starts anything. All else (the question of a canary, a probe, a
 * pause) takes time, and is done by a thread of its own, which waits until a stage is over, goes
 * through what stands between it and the next, and moves the engine's limit.
 *
 * To stop a batch means: the engine drops what waits, and an EVENT_SKIP behind everything that was
 * emitted before moves the queued rows. What was granted before goes on.
 *
 * Locks: g->lock, then service.engine_lock, then those of the engine and the writer's queue. The lock
 * is not held while a probe runs. */
#include "stages.h"

#include "probe.h"
#include "service.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/log.h"
#include "muster/base/strbuf.h"
#include "muster/core/event.h"
#include "muster/core/nodeset.h"
#include "muster/exec/engine.h"
#include "muster/store/writer.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define NODES_TEXT_MAX 100000 /* Linux takes no longer string than 128 KiB in an environment */

struct stage {
    int64_t number;
    struct stage_plan plan;
    int canary_ok;
    int64_t pause_ms;
    char *probe;
    struct strv nodes; /* with a probe: it is told of them */
    unsigned total;
    unsigned at;       /* the stage that runs, or ran last */
    unsigned ended, success, failed;
    enum stage_state state;
    int64_t until_ms;  /* of a pause, monotonic */
    int answer;        /* to the question: 0: none yet, 1: go on, -1: stop */
    bool over;         /* no decision is left */
    char *why;         /* it was stopped, or NULL */
};

struct stages {
    struct service *service;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct stage **all; /* under the lock, as everything below; none ever goes before stages_free */
    size_t n, cap;
    bool can_ask, closing, started;
    pthread_t thread;
};

struct stages *stages_new(struct service *s)
{
    struct stages *g = x_calloc(1, sizeof *g);
    pthread_condattr_t attr;
    g->service = s;
    pthread_mutex_init(&g->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&g->changed, &attr);
    pthread_condattr_destroy(&attr);
    return g;
}

void stages_stop(struct stages *g)
{
    pthread_mutex_lock(&g->lock);
    g->closing = true;
    bool join = g->started;
    g->started = false;
    pthread_cond_signal(&g->changed);
    pthread_mutex_unlock(&g->lock);
    if (join)
        pthread_join(g->thread, NULL);
}

void stages_free(struct stages *g)
{
    if (!g)
        return;
    stages_stop(g);
    for (size_t i = 0; i < g->n; i++) {
        strv_clear(&g->all[i]->nodes);
        free(g->all[i]->probe);
        free(g->all[i]->why);
        free(g->all[i]);
    }
    free(g->all);
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

static int64_t now_ms(void)
{
    return mono_ms(clock_system());
}

static struct stage *find(struct stages *g, int64_t number)
{
    for (size_t i = g->n; i-- > 0;)
        if (g->all[i]->number == number)
            return g->all[i];
    return NULL;
}

/* --- what is done to the batch; under the lock --- */

/* The event's count is taken first: the service is not idle until the rows have moved. */
static void stop(struct stages *g, struct stage *t, char *why)
{
    struct service *s = g->service;
    CLEANUP_FREE char *text = x_asprintf("skipped: %s", why);
    log_line(LOG_WARN, "stages", t->number, NULL, "stops: %s", why);
    free(t->why);
    t->why = why;
    t->over = true;
    t->state = STAGE_STOPPED;
    struct event *ev = event_new(EVENT_SKIP, t->number, 0);
    ev->wall_ms = wall_ms(clock_system());
    ev->error = x_strdup(text);
    atomic_fetch_add(&s->finish_emitted, 1);
    pthread_mutex_lock(&s->engine_lock);
    if (s->engine)
        engine_drop(s->engine, t->number, text);
    pthread_mutex_unlock(&s->engine_lock);
    writer_emit(s->writer, ev);
    waker_wake(&s->waker);
}

static void next_stage(struct stages *g, struct stage *t)
{
    struct service *s = g->service;
    t->at++;
    t->state = STAGE_RUNNING;
    log_line(LOG_INFO, "stages", t->number, NULL, "stage %u of %u: up to %u nodes", t->at + 1,
             t->plan.n, t->plan.limits[t->at]);
    pthread_mutex_lock(&s->engine_lock);
    if (s->engine)
        engine_set_limit(s->engine, t->number, t->plan.limits[t->at]);
    pthread_mutex_unlock(&s->engine_lock);
    waker_wake(&s->waker);
}

/* --- between two stages; the thread, under the lock --- */

static bool stage_over(const struct stage *t)
{
    return t->at + 1 < t->plan.n && t->ended >= t->plan.limits[t->at];
}

/* Whether a canary lets the rest follow: 1, 0 while the answer is waited for, or -1, and it is stopped. */
static int judge_canary(struct stages *g, struct stage *t)
{
    if (t->canary_ok >= 0) {
        if ((uint64_t) t->success * 100 >= (uint64_t) t->canary_ok * t->ended)
            return 1;
        stop(g, t, x_asprintf("%u of %u canaries succeeded, less than --canary-ok %d", t->success,
                              t->ended, t->canary_ok));
        return -1;
    }
    if (t->answer > 0)
        return 1;
    if (t->answer < 0 || !g->can_ask) {
        stop(g, t, x_strdup(t->answer < 0 ? "not to go on after the canary was the answer"
                                          : "nobody is there to say whether to go on after the "
                                            "canary (--canary-ok decides without a question)"));
        return -1;
    }
    return 0;
}

struct probe_watch {
    struct stages *g;
    struct stage *t;
};

static bool probe_moot(void *ctx)
{
    struct probe_watch *w = ctx;
    pthread_mutex_lock(&w->g->lock);
    bool moot = w->g->closing || w->t->over;
    pthread_mutex_unlock(&w->g->lock);
    return moot;
}

/* Not under the lock while it runs. */
static void probe(struct stages *g, struct stage *t)
{
    struct strv env = STRV_INIT;
    struct strbuf nodes;
    unsigned from = t->at ? t->plan.limits[t->at - 1] : 0;
    strbuf_init(&nodes, 0);
    nodeset_fold_names(&nodes, (const char *const *) t->nodes.v + from,
                       t->plan.limits[t->at] - from, NODES_TEXT_MAX);
    strv_push_own(&env, x_asprintf("MUSTER_BATCH=%lld", (long long) t->number));
    strv_push_own(&env, x_asprintf("MUSTER_WAVE=%u", t->at + 1));
    strv_push_own(&env, x_asprintf("MUSTER_NODES=%s", nodes.s));
    strv_push_own(&env, x_asprintf("MUSTER_FAILED=%u", t->failed));
    strbuf_free(&nodes);
    struct probe_watch watch = {g, t};
    char *why = NULL;
    pthread_mutex_unlock(&g->lock);
    bool ok = probe_run(t->probe, &env, PROBE_MAX_MS, probe_moot, &watch, t->number, &why);
    pthread_mutex_lock(&g->lock);
    strv_clear(&env);
    if (!ok && !t->over && !g->closing)
        stop(g, t, x_asprintf("the probe after wave %u %s", t->at + 1, why));
    free(why);
}

/* What stands between this stage and the next, as far as it goes. When to look again (monotonic), or 0. */
static int64_t between(struct stages *g, struct stage *t)
{
    if (t->state == STAGE_RUNNING) {
        t->state = t->plan.canary && t->at == 0 ? STAGE_ASKING : STAGE_PROBING;
        waker_wake(&g->service->waker);
    }
    if (t->state == STAGE_ASKING) {
        if (judge_canary(g, t) <= 0)
            return 0;
        t->state = STAGE_PROBING;
    }
    if (t->state == STAGE_PROBING) {
        if (t->probe)
            probe(g, t);
        if (t->over || g->closing)
            return 0;
        t->state = STAGE_WAITING;
        t->until_ms = now_ms() + t->pause_ms;
        waker_wake(&g->service->waker);
    }
    if (now_ms() < t->until_ms)
        return t->until_ms;
    next_stage(g, t);
    return 0;
}

static void *stages_main(void *arg)
{
    struct stages *g = arg;
    pthread_mutex_lock(&g->lock);
    while (!g->closing) {
        int64_t next = 0;
        for (size_t i = 0; i < g->n && !g->closing; i++) {
            struct stage *t = g->all[i];
            int64_t at = !t->over && stage_over(t) ? between(g, t) : 0;
            if (at && (!next || at < next))
                next = at;
        }
        if (g->closing)
            break;
        if (!next) {
            pthread_cond_wait(&g->changed, &g->lock);
            continue;
        }
        struct timespec ts = {.tv_sec = next / 1000, .tv_nsec = next % 1000 * 1000000};
        pthread_cond_timedwait(&g->changed, &g->lock, &ts);
    }
    pthread_mutex_unlock(&g->lock);
    return NULL;
}

/* --- what comes from outside --- */

void stages_add(struct stages *g, int64_t number, const struct stage_request *q,
                const struct stage_plan *p, const struct strv *nodes)
{
    struct stage *t = x_calloc(1, sizeof *t);
    t->number = number;
    t->plan = *p;
    t->canary_ok = q->canary_ok;
    t->pause_ms = q->pause_ms;
    t->total = (unsigned) nodes->n;
    if (q->probe && p->n > 1) {
        t->probe = x_strdup(q->probe);
        strv_copy(&t->nodes, nodes);
    }
    pthread_mutex_lock(&g->lock);
    X_GROW(g->all, g->cap, g->n + 1);
    g->all[g->n++] = t;
    if (p->n > 1 && !g->started && !g->closing)
        g->started = thread_start(&g->thread, "stages", stages_main, g) == 0;
    pthread_mutex_unlock(&g->lock);
}

void stages_finished(struct stages *g, const struct event *ev)
{
    if (ev->kind != EVENT_FINISH)
        return;
    pthread_mutex_lock(&g->lock);
    struct stage *t = find(g, ev->batch);
    if (t) {
        t->ended++;
        t->success += ev->status == EXEC_SUCCESS;
        t->failed += ev->status == EXEC_FAILED && ev->reason != REASON_SKIPPED;
        if (t->ended == t->total) {
            t->over = true;
        } else if (!t->over && t->plan.max_fail >= 0 && (int64_t) t->failed > t->plan.max_fail) {
            stop(g, t, x_asprintf("%u failure%s exceed%s --max-fail %lld", t->failed,
                                  t->failed == 1 ? "" : "s", t->failed == 1 ? "s" : "",
                                  (long long) t->plan.max_fail));
        } else if (!t->over && stage_over(t)) {
            pthread_cond_signal(&g->changed);
        }
    }
    pthread_mutex_unlock(&g->lock);
}

void stages_cancelled(struct stages *g, int64_t number)
{
    pthread_mutex_lock(&g->lock);
    struct stage *t = find(g, number);
    if (t)
        t->over = true;
    pthread_mutex_unlock(&g->lock);
}

void stages_can_ask(struct stages *g, bool can)
{
    pthread_mutex_lock(&g->lock);
    g->can_ask = can;
    pthread_cond_signal(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

/* --- for the faces --- */

bool service_stage(struct service *s, int64_t number, struct stage_info *out)
{
    struct stages *g = s->stages;
    memset(out, 0, sizeof *out);
    if (!g)
        return false;
    pthread_mutex_lock(&g->lock);
    const struct stage *t = find(g, number);
    if (t) {
        *out = (struct stage_info){.state = t->state,
                                   .stage = t->at + 1,
                                   .stages = t->plan.n,
                                   .nodes = t->plan.limits[t->at],
                                   .total = t->total,
                                   .success = t->success,
                                   .failed = t->failed,
                                   .max_fail = t->plan.max_fail,
                                   .canary = t->plan.canary && t->at == 0};
        if (t->state == STAGE_WAITING)
            out->wait_ms = t->until_ms > now_ms() ? t->until_ms - now_ms() : 0;
        if (t->why)
            snprintf(out->why, sizeof out->why, "%s", t->why);
    }
    pthread_mutex_unlock(&g->lock);
    return t != NULL;
}

int64_t service_stage_question(struct service *s)
{
    struct stages *g = s->stages;
    int64_t number = 0;
    if (!g)
        return 0;
    pthread_mutex_lock(&g->lock);
    for (size_t i = 0; i < g->n && !number; i++)
        if (g->all[i]->state == STAGE_ASKING && !g->all[i]->over && !g->all[i]->answer &&
            g->all[i]->canary_ok < 0)
            number = g->all[i]->number;
    pthread_mutex_unlock(&g->lock);
    return number;
}

void service_stage_answer(struct service *s, int64_t number, bool go_on)
{
    struct stages *g = s->stages;
    pthread_mutex_lock(&g->lock);
    struct stage *t = find(g, number);
    if (t && !t->answer)
        t->answer = go_on ? 1 : -1;
    pthread_cond_signal(&g->changed);
    pthread_mutex_unlock(&g->lock);
}
