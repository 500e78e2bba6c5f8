/* SPDX-License-Identifier: Apache-2.0 */
/* What holds a batch back in the queue: a limit of what may be dispatched, a pause, a limit for each
 * key, and dropping what waits; on the virtual clock, claims answered as the store would. */
#include "fake.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/exec/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define N 40
#define BATCHES 3

struct claim {
    int64_t batch;
    uint32_t position;
};

struct world {
    struct engine *engine;
    struct clock_virtual clock;
    struct claim claims[N * BATCHES];
    size_t n_claims, answered;
    unsigned started[BATCHES], ended[BATCHES], skipped[BATCHES];
    unsigned keys, in_key[8], most_in_key;
    char text[64]; /* of the last that was skipped */
};

static const struct transport_ops *const fake_only[] = {&transport_fake, NULL};

const struct transport_ops *const *engine_transports(void)
{
    return fake_only;
}

static bool emit(void *ctx, struct event *ev)
{
    struct world *w = ctx;
    size_t b = (size_t) ev->batch - 1;
    unsigned *in_key = w->keys ? &w->in_key[ev->position % w->keys] : NULL;

    if (ev->kind == EVENT_CLAIM) {
        w->claims[w->n_claims++] = (struct claim){ev->batch, ev->position};
        w->started[b]++;
        if (in_key && ++*in_key > w->most_in_key)
            w->most_in_key = *in_key;
    } else if (ev->kind == EVENT_FINISH) {
        w->ended[b]++;
        if (in_key)
            --*in_key;
        if (ev->reason == REASON_SKIPPED) {
            w->skipped[b]++;
            snprintf(w->text, sizeof w->text, "%s", ev->error);
        }
    }
    event_free(ev);
    return true;
}

static void start(struct world *w, unsigned fanout)
{
    const struct event_sink sink = {emit, w};
    const struct engine_config cfg = {.fanout = fanout,
                                      .max_queue = 10000,
                                      .reactors = 1,
                                      .seed = 7,
                                      .transports = fake_only};

    memset(w, 0, sizeof *w);
    clock_virtual_init(&w->clock, 1700000000000);
    w->engine = engine_new_sim(&cfg, &w->clock, &sink);
    assert_non_null(w->engine);
}

/* Batch b from 1, every node an easy one. */
static void submit(struct world *w, int64_t b, unsigned limit, unsigned keys, unsigned per_key)
{
    struct engine_job jobs[N];
    char names[N][16], command[32];

    snprintf(command, sizeof command, "seed 7 only %d", FAKE_OK);
    for (unsigned i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "n%u", i);
        jobs[i] = (struct engine_job){
            .position = i, .node = names[i], .key = keys ? 1 + i % keys : 0};
    }
    w->keys = keys;
    const struct engine_batch eb = {.number = b,
                                    .command = command,
                                    .max_output = 100000,
                                    .dispatch_limit = limit,
                                    .per_key = per_key};
    assert_int_equal(engine_reserve(w->engine, N, NULL), 0);
    engine_submit(w->engine, &eb, jobs, N);
}

static void answer(struct world *w)
{
    while (w->answered < w->n_claims) {
        struct claim c = w->claims[w->answered++];
        engine_claimed(w->engine, c.batch, c.position, true);
    }
}

static void run(struct world *w)
{
    do
        answer(w);
    while (engine_sim_turn(w->engine) || w->answered < w->n_claims);
}

static void finish(struct world *w)
{
    struct engine_counts c;

    engine_counts(w->engine, &c);
    assert_int_equal(c.queued + c.claimed + c.running, 0);
    engine_free(w->engine);
}

static void limit_gates(void **state)
{
    struct world w;

    start(&w, 8);
    submit(&w, 1, 5, 0, 0);
    submit(&w, 2, 0, 0, 0);
    run(&w);
    /* The gated one let the other pass. */
    assert_int_equal(w.ended[0], 5);
    assert_int_equal(w.ended[1], N);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(w.claims[i].position, i);
    engine_set_limit(w.engine, 1, 12);
    run(&w);
    assert_int_equal(w.ended[0], 12);
    engine_set_limit(w.engine, 1, 3); /* never takes back */
    run(&w);
    assert_int_equal(w.started[0], 12);
    engine_set_limit(w.engine, 1, 0);
    run(&w);
    assert_int_equal(w.ended[0], N);
    engine_set_limit(w.engine, 1, 5); /* it is gone */
    finish(&w);
}

static void pause_and_resume(void **state)
{
    struct world w;

    start(&w, 4);
    submit(&w, 1, 0, 0, 0);
    submit(&w, 2, 0, 0, 0);
    engine_pause(w.engine, 1, true);
    run(&w);
    /* What was claimed before goes on, nothing else starts, and the next one is not held up. */
    assert_int_equal(w.started[0], 4);
    assert_int_equal(w.ended[0], 4);
    assert_int_equal(w.ended[1], N);
    engine_pause(w.engine, 1, false);
    run(&w);
    assert_int_equal(w.ended[0], N);
    finish(&w);
}

static void paused_while_the_store_fails(void **state)
{
    struct world w;

    start(&w, 4);
    submit(&w, 1, 0, 0, 0);
    engine_stop_dispatch(w.engine);
    while (w.answered < w.n_claims) {
        struct claim c = w.claims[w.answered++];
        engine_claimed(w.engine, c.batch, c.position, false);
    }
    engine_pause(w.engine, 1, true);
    engine_resume_dispatch(w.engine);
    run(&w);
    assert_int_equal(w.started[0], 4); /* the first time; nothing was asked for again */
    assert_int_equal(w.ended[0], 0);
    engine_pause(w.engine, 1, false);
    run(&w);
    assert_int_equal(w.ended[0], N);
    finish(&w);
}

static void keys_share(void **state)
{
    struct world w;

    start(&w, 30);
    submit(&w, 1, 0, 4, 3);
    assert_int_equal(w.started[0], 12);
    run(&w);
    assert_int_equal(w.most_in_key, 3);
    assert_int_equal(w.ended[0], N);
    finish(&w);

    start(&w, 30);
    submit(&w, 1, 10, 5, 1); /* with a limit too: only of the first ten */
    run(&w);
    assert_int_equal(w.ended[0], 10);
    for (size_t i = 0; i < w.n_claims; i++)
        assert_true(w.claims[i].position < 10);
    engine_set_limit(w.engine, 1, 0);
    run(&w);
    assert_int_equal(w.most_in_key, 1);
    assert_int_equal(w.ended[0], N);
    finish(&w);
}

static void no_key_no_limit(void **state)
{
    struct world w;

    start(&w, 16);
    submit(&w, 1, 0, 0, 1);
    assert_int_equal(w.started[0], 16);
    run(&w);
    assert_int_equal(w.ended[0], N);
    finish(&w);
}

static void drop(void **state)
{
    struct world w;

    start(&w, 6);
    submit(&w, 1, 0, 4, 2);
    submit(&w, 2, 0, 0, 0);
    /* Three are granted before, what is granted after never starts. */
    for (; w.answered < 3; w.answered++)
        engine_claimed(w.engine, 1, w.claims[w.answered].position, true);
    engine_drop(w.engine, 1, "that was enough");
    w.keys = 0;
    engine_drop(w.engine, 7, "no such batch");
    run(&w);
    assert_int_equal(w.started[0], 6);
    assert_int_equal(w.ended[0], 6);
    assert_int_equal(w.skipped[0], 3);
    assert_string_equal(w.text, "that was enough");
    assert_int_equal(w.ended[1], N);
    assert_int_equal(w.skipped[1], 0);
    finish(&w);
}

static void drop_then_cancel(void **state)
{
    struct world w;

    start(&w, 6);
    submit(&w, 1, 3, 0, 0);
    answer(&w);
    engine_drop(w.engine, 1, "enough");
    assert_int_equal(engine_cancel(w.engine, 1), 3);
    run(&w);
    assert_int_equal(w.ended[0], 3);
    assert_int_equal(w.skipped[0], 0);
    submit(&w, 2, 0, 0, 0);
    engine_pause(w.engine, 2, true);
    engine_cancel(w.engine, 2);
    run(&w);
    assert_int_equal(w.ended[1], 6);
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limit_gates),     cmocka_unit_test(pause_and_resume),
        cmocka_unit_test(keys_share),      cmocka_unit_test(no_key_no_limit),
        cmocka_unit_test(drop),            cmocka_unit_test(drop_then_cancel),
        cmocka_unit_test(paused_while_the_store_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
