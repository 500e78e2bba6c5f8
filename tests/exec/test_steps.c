/* SPDX-License-Identifier: Apache-2.0 */
/* Batches that are submitted in parts and in steps: what holds of all of them at once; on the virtual
 * clock. The world here submits a node's next step once the one before has ended, as a plan does. */
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

#define N 24
#define CLAIMS_MAX 400

struct claim {
    int64_t number;
    uint32_t position;
};

struct world {
    struct engine *engine;
    struct clock_virtual clock;
    struct claim claims[CLAIMS_MAX], ends[CLAIMS_MAX];
    size_t n_claims, answered, n_ends, handled;
    unsigned steps;        /* of each node */
    bool take_even;        /* even steps are done by us */
    unsigned in, most_in;  /* nodes between their first claim and their last end */
    unsigned keys, in_key[8], most_in_key;
    unsigned over, cancelled, skipped, at_step[8], refused;
};

static const struct transport_ops *const fake_only[] = {&transport_fake, NULL};

const struct transport_ops *const *engine_transports(void)
{
    return fake_only;
}

static unsigned step_of(int64_t number)
{
    return (unsigned) (number >> ENGINE_STEP_SHIFT);
}

static bool emit(void *ctx, struct event *ev)
{
    struct world *w = ctx;
    unsigned *key = w->keys ? &w->in_key[ev->position % w->keys] : NULL;
    assert_int_equal(ev->batch & ENGINE_BATCH_MASK, 1);
    if (ev->kind == EVENT_CLAIM) {
        w->claims[w->n_claims++] = (struct claim){ev->batch, ev->position};
        w->at_step[step_of(ev->batch)]++;
        if (step_of(ev->batch) == 1) {
            w->in++;
            w->most_in = w->in > w->most_in ? w->in : w->most_in;
            if (key && ++*key > w->most_in_key)
                w->most_in_key = *key;
        }
    } else if (ev->kind == EVENT_FINISH) {
        w->cancelled += ev->reason == REASON_CANCELLED;
        w->skipped += ev->reason == REASON_SKIPPED;
        w->ends[w->n_ends++] = (struct claim){ev->batch, ev->position};
    }
    event_free(ev);
    return true;
}

static void start(struct world *w, unsigned fanout, unsigned steps)
{
    const struct event_sink sink = {emit, w};
    const struct engine_config cfg = {
        .fanout = fanout, .max_queue = N, .reactors = 1, .seed = 7, .transports = fake_only};
    memset(w, 0, sizeof *w);
    w->steps = steps;
    clock_virtual_init(&w->clock, 1700000000000);
    w->engine = engine_new_sim(&cfg, &w->clock, &sink);
    assert_non_null(w->engine);
}

struct part {
    uint32_t from, n;
    unsigned step, fanout, limit, keys, per_key;
    bool later;
};

static bool submit(struct world *w, struct part p)
{
    struct engine_job jobs[N];
    char names[N][16], command[32];
    snprintf(command, sizeof command, "seed 7 only %d", FAKE_OK);
    for (uint32_t i = 0; i < p.n; i++) {
        snprintf(names[i], sizeof names[i], "n%u", p.from + i);
        jobs[i] = (struct engine_job){.position = p.from + i, .node = names[i],
                                      .key = p.keys ? 1 + (p.from + i) % p.keys : 0};
    }
    if (p.keys)
        w->keys = p.keys;
    const struct engine_batch b = {.number = 1 | (int64_t) p.step << ENGINE_STEP_SHIFT,
                                   .command = command, .max_output = 1000, .steps = p.step != 0,
                                   .later = p.later, .fanout = p.fanout, .per_key = p.per_key,
                                   .dispatch_limit = p.limit};
    if (!p.later)
        assert_int_equal(engine_reserve(w->engine, p.n, NULL), 0);
    return engine_submit(w->engine, &b, jobs, p.n);
}

/* A node's end, or what follows. */
static void next(struct world *w, struct claim c)
{
    unsigned step = step_of(c.number);
    if (!step)
        return;
    if (step < w->steps) {
        struct part p = {.from = c.position, .n = 1, .step = step + 1, .later = true};
        w->refused += !submit(w, p);
        return;
    }
    w->in--;
    if (w->keys)
        w->in_key[c.position % w->keys]--;
    engine_leave(w->engine, c.number, c.position);
    if (++w->over == N)
        engine_steps_over(w->engine, c.number);
}

static void turn(struct world *w)
{
    while (w->answered < w->n_claims || w->handled < w->n_ends) {
        while (w->answered < w->n_claims) {
            struct claim c = w->claims[w->answered++];
            if (!w->take_even || step_of(c.number) % 2)
                engine_claimed(w->engine, c.number, c.position, true);
            else if (engine_take(w->engine, c.number, c.position))
                next(w, c);
        }
        while (w->handled < w->n_ends)
            next(w, w->ends[w->handled++]);
    }
}

static void run(struct world *w)
{
    do
        turn(w);
    while (engine_sim_turn(w->engine) || w->answered < w->n_claims || w->handled < w->n_ends);
}

static void finish(struct world *w)
{
    struct engine_counts c;
    engine_counts(w->engine, &c);
    assert_int_equal(c.queued + c.claimed + c.running, 0);
    engine_free(w->engine);
}

/* A fanout, a limit and keys over three parts of one number. */
static void parts_share(void **state)
{
    struct world w;
    start(&w, 20, 0);
    submit(&w, (struct part){.from = 0, .n = 8, .fanout = 5, .limit = 10});
    submit(&w, (struct part){.from = 8, .n = 8, .fanout = 5});
    assert_int_equal(w.n_claims, 5);
    submit(&w, (struct part){.from = 16, .n = 8, .fanout = 5});
    run(&w);
    assert_int_equal(w.n_ends, 10); /* two of the second part */
    for (size_t i = 0; i < w.n_claims; i++)
        assert_true(w.claims[i].position < 10);
    /* The number goes on after all that may start has ended. */
    engine_pause(w.engine, 1, true);
    engine_set_limit(w.engine, 1, 0);
    run(&w);
    assert_int_equal(w.n_ends, 10);
    engine_pause(w.engine, 1, false);
    run(&w);
    assert_int_equal(w.n_ends, N);
    finish(&w);
}

static void parts_are_cancelled(void **state)
{
    struct world w;
    start(&w, 10, 0);
    submit(&w, (struct part){.from = 0, .n = 4});
    submit(&w, (struct part){.from = 4, .n = 20});
    turn(&w);
    assert_int_equal(engine_cancel(w.engine, 1), 10);
    run(&w);
    assert_int_equal(w.n_claims, 10);
    assert_int_equal(w.cancelled, 10);
    finish(&w);
    start(&w, 2, 0);
    submit(&w, (struct part){.from = 0, .n = 4});
    submit(&w, (struct part){.from = 4, .n = 20});
    engine_drop(w.engine, 1, "enough");
    run(&w);
    assert_int_equal(w.skipped, 2);
    finish(&w);
}

static void nodes_keep_their_places(void **state)
{
    struct world w;
    start(&w, 20, 3);
    submit(&w, (struct part){.n = N, .step = 1, .fanout = 6, .keys = 4, .per_key = 1});
    run(&w);
    assert_int_equal(w.over, N);
    assert_int_equal(w.most_in, 4);
    assert_int_equal(w.most_in_key, 1);
    assert_int_equal(w.at_step[3], N);
    finish(&w);

    start(&w, 20, 4);
    w.take_even = true;
    submit(&w, (struct part){.n = N, .step = 1, .fanout = 6});
    run(&w);
    assert_int_equal(w.over, N);
    assert_int_equal(w.most_in, 6);
    finish(&w);
}

/* What has begun goes first, above the limit of what waits, and in the engine's fanout. */
static void depth_first(void **state)
{
    struct world w;
    start(&w, 3, 2);
    submit(&w, (struct part){.n = N, .step = 1, .fanout = 20});
    run(&w);
    assert_int_equal(w.over, N);
    assert_true(w.most_in <= 6);
    finish(&w);
}

static void pause_between_steps(void **state)
{
    struct world w;
    start(&w, 4, 2);
    submit(&w, (struct part){.n = N, .step = 1, .limit = 4});
    engine_pause(w.engine, 1, true);
    run(&w);
    assert_int_equal(w.at_step[1], 4);
    assert_int_equal(w.at_step[2], 0);
    engine_pause(w.engine, 1, false);
    run(&w);
    assert_int_equal(w.over, 4);
    engine_set_limit(w.engine, 1, 0); /* nothing of it was in the queue but the rest */
    run(&w);
    assert_int_equal(w.over, N);
    finish(&w);
}

/* Dropped is what has not begun; cancelled everything, and later steps are refused. */
static void drop_and_cancel(void **state)
{
    struct world w;
    start(&w, 4, 2);
    submit(&w, (struct part){.n = N, .step = 1});
    turn(&w);
    engine_drop(w.engine, 1, "enough");
    run(&w);
    assert_int_equal(w.over, 4);
    assert_int_equal(w.at_step[2], 4);
    assert_int_equal(w.skipped, 0);
    engine_steps_over(w.engine, 1);
    finish(&w);

    start(&w, 4, 2);
    submit(&w, (struct part){.n = N, .step = 1});
    turn(&w);
    assert_int_equal(engine_cancel(w.engine, 1), 4);
    run(&w);
    assert_int_equal(w.cancelled, 4);
    assert_int_equal(w.refused, 4);
    assert_int_equal(w.at_step[2], 0);
    engine_steps_over(w.engine, 1);
    finish(&w);
}

static void step_put_off(void **state)
{
    struct world w;
    start(&w, N, 2);
    submit(&w, (struct part){.n = 2, .step = 1});
    while (!w.at_step[2]) {
        turn(&w);
        engine_sim_turn(w.engine);
        while (w.handled < w.n_ends)
            next(&w, w.ends[w.handled++]);
    }
    engine_stop_dispatch(w.engine);
    while (w.answered < w.n_claims) {
        struct claim c = w.claims[w.answered++];
        assert_true(engine_claimed(w.engine, c.number, c.position, false));
    }
    engine_resume_dispatch(w.engine);
    run(&w);
    assert_int_equal(w.over, 2);
    assert_false(engine_claimed(w.engine, 1, 0, false));
    engine_steps_over(w.engine, 1);
    assert_false(submit(&w, (struct part){.n = 1, .step = 3, .later = true}));
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_share),         cmocka_unit_test(parts_are_cancelled),
        cmocka_unit_test(nodes_keep_their_places), cmocka_unit_test(depth_first),
        cmocka_unit_test(pause_between_steps), cmocka_unit_test(drop_and_cancel),
        cmocka_unit_test(step_put_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
