/* SPDX-License-Identifier: Apache-2.0 */
/* The simulation's model of the store. */
#include "sim.h"

#include "fake.h"

#include "muster/base/alloc.h"
#include "muster/core/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static const struct transport_ops *const fake_only[] = {&transport_fake, NULL};

unsigned sim_pick(struct sim *sim, unsigned below)
{
    sim->random = fake_mix(sim->random);
    return (unsigned) (sim->random % below);
}

/* A claim is in order when no earlier batch could have had the slot. */
static void on_claim(struct sim *sim, const struct event *ev)
{
    struct model_batch *b = &sim->batches[ev->batch - 1];

    assert_int_equal(ev->position, b->next_claim);
    b->next_claim++;
    assert_false(b->cancelled);
    for (struct model_batch *early = sim->batches; early < b; early++)
        assert_true(early->cancelled || early->next_claim == early->n ||
                    (early->fanout && early->in_slots >= early->fanout));
    b->in_slots++;
    sim->in_slots++;
    assert_true(sim->in_slots <= sim->fanout);
    assert_true(!b->fanout || b->in_slots <= b->fanout);
    if (sim->in_slots > sim->most_in_slots)
        sim->most_in_slots = sim->in_slots;
    b->rows[ev->position].claimed = true;
    X_GROW(sim->claims, sim->cap_claims, sim->n_claims + 1);
    sim->claims[sim->n_claims++] = (struct claim){ev->batch, ev->position};
}

static void on_bytes(struct sim *sim, const struct event *ev)
{
    struct row *row = &sim->batches[ev->batch - 1].rows[ev->position];

    assert_int_equal(row->state, ROW_RUNNING);
    for (int i = 0; i < 2; i++) {
        assert_true(ev->len[i] <= 65536);
        for (size_t k = 0; k < ev->len[i]; k++)
            if (ev->data[i][k] != fake_byte(ev->position, i, row->got[i] + k))
                fail_msg("n%u stream %d byte %zu is not what was sent", ev->position, i,
                         row->got[i] + k);
        row->got[i] += ev->len[i];
        assert_true(row->got[i] <= MAX_OUTPUT);
    }
}

static void free_slot(struct sim *sim, int64_t batch)
{
    sim->in_slots--;
    sim->batches[batch - 1].in_slots--;
}

static bool emit(void *ctx, struct event *ev)
{
    struct sim *sim = ctx;
    struct row *row = &sim->batches[ev->batch - 1].rows[ev->position];

    if (ev->kind == EVENT_OUTPUT && sim_pick(sim, 100) < sim->refuse_percent) {
        sim->refusals++;
        return false;
    }
    if (ev->kind == EVENT_CLAIM) {
        on_claim(sim, ev);
    } else {
        on_bytes(sim, ev);
    }
    if (ev->kind == EVENT_FINISH) {
        assert_null(row->end);
        row->state = ROW_ENDED;
        row->end = ev;
        free_slot(sim, ev->batch);
        return true;
    }
    event_free(ev);
    return true;
}

/* The writer's turn: answers up to `most` claims, in order. */
void sim_answer(struct sim *sim, size_t most)
{
    while (sim->n_claims && most--) {
        struct claim c = sim->claims[0];
        memmove(sim->claims, sim->claims + 1, --sim->n_claims * sizeof c);
        struct row *row = &sim->batches[c.batch - 1].rows[c.position];
        bool granted = row->state == ROW_QUEUED;
        assert_true(row->claimed);
        row->claimed = false;
        if (granted)
            row->state = ROW_RUNNING;
        else
            free_slot(sim, c.batch);
        engine_claimed(sim->engine, c.batch, c.position, granted);
    }
}

void sim_start(struct sim *sim, uint64_t seed, int only, size_t fanout)
{
    struct event_sink sink = {emit, sim};
    struct engine_config cfg = {.fanout = (unsigned) fanout,
                                .max_queue = 10000,
                                .reactors = 1,
                                .handshakes_per_server = FAKE_PLACES_EACH,
                                .stop_grace_ms = GRACE_MS,
                                .seed = seed,
                                .transports = fake_only};

    memset(sim, 0, sizeof *sim);
    sim->seed = sim->random = seed;
    sim->only = only;
    sim->fanout = fanout;
    clock_virtual_init(&sim->clock, 1700000000000);
    sim->engine = engine_new_sim(&cfg, &sim->clock, &sink);
    assert_non_null(sim->engine);
}

void sim_submit(struct sim *sim, unsigned n, unsigned fanout, bool live)
{
    char command[64];
    struct settings over;
    struct engine_job *jobs = x_calloc(n, sizeof *jobs);
    char **names = x_calloc(n, sizeof *names);
    struct model_batch *b = &sim->batches[sim->n_batches++];

    assert_true(sim->n_batches <= ARRAY_LEN(sim->batches));
    *b = (struct model_batch){.n = n, .fanout = fanout, .rows = x_calloc(n, sizeof *b->rows)};
    snprintf(command, sizeof command, "seed %llu only %d", (unsigned long long) sim->seed,
             sim->only);
    settings_init(&over);
    over.command_timeout_ms = COMMAND_MS;
    for (unsigned i = 0; i < n; i++) {
        names[i] = x_asprintf("n%u", i);
        jobs[i] = (struct engine_job){.position = i, .node = names[i], .over = &over};
    }
    struct engine_batch eb = {.number = sim->n_batches,
                              .command = command,
                              .fanout = fanout,
                              .max_output = MAX_OUTPUT,
                              .retries = RETRIES,
                              .live = live};
    assert_int_equal(engine_reserve(sim->engine, n, NULL), 0);
    engine_submit(sim->engine, &eb, jobs, n);
    for (unsigned i = 0; i < n; i++)
        free(names[i]);
    free(names);
    free(jobs);
    settings_clear(&over);
}

void sim_run(struct sim *sim)
{
    do
        sim_answer(sim, SIZE_MAX);
    while (engine_sim_turn(sim->engine) || sim->n_claims);
}

void sim_end(struct sim *sim)
{
    struct engine_counts c;
    engine_counts(sim->engine, &c);
    assert_int_equal(c.queued + c.claimed + c.running, 0);
    assert_int_equal(sim->in_slots, 0);
    engine_free(sim->engine);
    for (unsigned i = 0; i < sim->n_batches; i++) {
        for (unsigned k = 0; k < sim->batches[i].n; k++)
            event_free(sim->batches[i].rows[k].end);
        free(sim->batches[i].rows);
    }
    free(sim->claims);
}

void sim_run_until(struct sim *sim, int64_t at)
{
    while (sim->clock.now_ms < at) {
        sim_answer(sim, SIZE_MAX);
        assert_true(engine_sim_turn(sim->engine));
    }
}

void sim_cancel(struct sim *sim, unsigned at)
{
    struct model_batch *b = &sim->batches[at];
    size_t in_slots = b->in_slots;

    /* as the store does: what is queued is moved first, then the engine is told */
    for (unsigned i = 0; i < b->n; i++)
        if (b->rows[i].state == ROW_QUEUED)
            b->rows[i].state = ROW_DROPPED;
    assert_int_equal(engine_cancel(sim->engine, at + 1), in_slots);
    b->cancelled = true;
}

/* No other transport is linked. */
const struct transport_ops *const *engine_transports(void)
{
    return fake_only;
}
