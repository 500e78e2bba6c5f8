/* SPDX-License-Identifier: Apache-2.0 */
/* The rig of the engine's tests with threads. */
#include "rig.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/thread.h"
#include "muster/exec/transport.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool emit(void *ctx, struct event *ev)
{
    struct rig *rig = ctx;
    return bqueue_push(rig->events, ev, event_weight(ev), ev->kind != EVENT_OUTPUT);
}

static void keep_data(struct rig_result *r, const struct event *ev)
{
    for (int i = 0; i < 2; i++) {
        if (!ev->len[i])
            continue;
        r->out[i] = x_realloc(r->out[i], r->len[i] + ev->len[i] + 1);
        memcpy(r->out[i] + r->len[i], ev->data[i], ev->len[i]);
        r->len[i] += ev->len[i];
        r->out[i][r->len[i]] = '\0';
    }
}

static void take(struct rig *rig, struct event *ev)
{
    pthread_mutex_lock(&rig->lock);
    assert_true(ev->position < rig->n);
    struct rig_result *r = &rig->results[ev->position];
    keep_data(r, ev);
    r->claims += ev->kind == EVENT_CLAIM;
    r->outputs += ev->kind == EVENT_OUTPUT;
    if (ev->kind == EVENT_FINISH) {
        r->ends++;
        rig->ended++;
        event_free(r->end);
        r->end = ev;
    }
    pthread_cond_broadcast(&rig->changed);
    pthread_mutex_unlock(&rig->lock);
    if (ev->kind == EVENT_CLAIM) {
        pthread_mutex_lock(&rig->answering);
        if (!rig->stopped)
            engine_claimed(rig->engine, ev->batch, ev->position, true);
        pthread_mutex_unlock(&rig->answering);
    }
    if (ev->kind != EVENT_FINISH)
        event_free(ev);
}

static void *writer_main(void *arg)
{
    struct rig *rig = arg;
    void *items[64];
    size_t n;

    while ((n = bqueue_pop(rig->events, items, 64, -1)) > 0)
        for (size_t i = 0; i < n; i++)
            take(rig, items[i]);
    return NULL;
}

void rig_start(struct rig *rig, const struct engine_config *cfg, size_t n)
{
    struct event_sink sink = {emit, rig};
    struct err e = ERR_INIT;

    memset(rig, 0, sizeof *rig);
    rig->n = n;
    rig->results = x_calloc(n, sizeof *rig->results);
    rig->events = bqueue_new(1024, (size_t) 1 << 20);
    pthread_mutex_init(&rig->lock, NULL);
    pthread_mutex_init(&rig->answering, NULL);
    pthread_cond_init(&rig->changed, NULL);
    rig->engine = engine_new(cfg, &sink, &e);
    if (!rig->engine)
        fail_msg("%s", e.msg);
    assert_int_equal(thread_start(&rig->writer, "writer", writer_main, rig), 0);
}

void rig_submit(struct rig *rig, const char *command, const struct settings *over, size_t count,
                uint64_t max_output, bool live)
{
    struct engine_batch b = {
        .number = 1, .command = command, .max_output = max_output, .live = live};
    struct engine_job *jobs = x_calloc(count, sizeof *jobs);
    char **names = x_calloc(count, sizeof *names);

    for (size_t i = 0; i < count; i++) {
        names[i] = x_asprintf("n%zu", i);
        jobs[i] = (struct engine_job){.position = (uint32_t) i, .node = names[i], .over = over};
    }
    assert_int_equal(engine_reserve(rig->engine, count, NULL), 0);
    engine_submit(rig->engine, &b, jobs, count);
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
    free(jobs);
}

static struct timespec deadline_in(int seconds)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += seconds;
    return t;
}

void rig_wait(struct rig *rig, size_t count, int seconds)
{
    struct timespec t = deadline_in(seconds);
    int rc = 0;

    pthread_mutex_lock(&rig->lock);
    while (rig->ended < count && rc == 0)
        rc = pthread_cond_timedwait(&rig->changed, &rig->lock, &t);
    size_t ended = rig->ended;
    pthread_mutex_unlock(&rig->lock);
    if (ended < count)
        fail_msg("only %zu of %zu ended within %d s", ended, count, seconds);
}

void rig_wait_left(struct rig *rig, size_t left, int seconds)
{
    struct engine_counts c = {.running = 1};
    for (int i = 0; i < seconds * 1000; i++) {
        engine_counts(rig->engine, &c);
        if (c.queued + c.claimed + c.running <= left)
            return;
        usleep(1000);
    }
    fail_msg("still %zu queued, %zu claimed, %zu running", c.queued, c.claimed, c.running);
}

void rig_wait_output(struct rig *rig, const char *text, int seconds)
{
    struct timespec t = deadline_in(seconds);
    int rc = 0;
    bool seen = false;

    pthread_mutex_lock(&rig->lock);
    while (!seen && rc == 0) {
        const char *out = rig->results[0].out[0];
        seen = out && strstr(out, text);
        if (!seen)
            rc = pthread_cond_timedwait(&rig->changed, &rig->lock, &t);
    }
    pthread_mutex_unlock(&rig->lock);
    if (!seen)
        fail_msg("no output \"%s\" within %d s", text, seconds);
}

void rig_stop(struct rig *rig)
{
    pthread_mutex_lock(&rig->answering);
    rig->stopped = true;
    pthread_mutex_unlock(&rig->answering);
    engine_free(rig->engine);
    bqueue_close(rig->events);
    pthread_join(rig->writer, NULL);
    bqueue_free(rig->events);
    for (size_t i = 0; i < rig->n; i++) {
        free(rig->results[i].out[0]);
        free(rig->results[i].out[1]);
        event_free(rig->results[i].end);
    }
    free(rig->results);
    pthread_cond_destroy(&rig->changed);
    pthread_mutex_destroy(&rig->lock);
    pthread_mutex_destroy(&rig->answering);
}

/* These tests name their transports; so no other one is linked. */
const struct transport_ops *const *engine_transports(void)
{
    static const struct transport_ops *const none[] = {NULL};
    return none;
}
