/* SPDX-License-Identifier: Apache-2.0 */
/* The engine on a virtual clock against the fake transport: ten thousand nodes with every fault,
 * cancels at random times, a sink that refuses at random. A small model of the store answers the
 * claims and checks every event. */
#include "fake.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/core/batch.h"
#include "muster/core/event.h"
#include "muster/exec/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define MAX_OUTPUT 200000
#define COMMAND_MS 20000
#define GRACE_MS 2000
#define RETRIES 2

static const struct transport_ops *const fake_only[] = {&transport_fake, NULL};

struct row {
    enum { ROW_QUEUED, ROW_DROPPED, ROW_RUNNING, ROW_ENDED } state;
    bool claimed; /* asked, not answered */
    size_t got[2];
    struct event *end;
};

struct model_batch {
    unsigned n, fanout, next_claim, in_slots;
    bool cancelled;
    struct row *rows;
};

struct sim {
    struct engine *engine;
    struct clock_virtual clock;
    uint64_t seed, random;
    int only;
    size_t fanout, in_slots, most_in_slots;
    unsigned n_batches, refuse_percent;
    struct model_batch batches[64]; /* numbers from 1 */
    struct claim {
        int64_t batch;
        uint32_t position;
    } *claims; /* not answered yet */
    size_t n_claims, cap_claims, refusals;
};

static unsigned pick(struct sim *sim, unsigned below)
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

    if (ev->kind == EVENT_OUTPUT && pick(sim, 100) < sim->refuse_percent) {
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
static void answer(struct sim *sim, size_t most)
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

static void sim_start(struct sim *sim, uint64_t seed, int only, size_t fanout)
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

static void sim_submit(struct sim *sim, unsigned n, unsigned fanout, bool live)
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

static void sim_run(struct sim *sim)
{
    do
        answer(sim, SIZE_MAX);
    while (engine_sim_turn(sim->engine) || sim->n_claims);
}

static void sim_end(struct sim *sim)
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

static int64_t run_ms(const struct fake_plan *p)
{
    return p->tick_ms * p->ticks;
}

static void check_output(const struct fake_plan *p, const struct row *row)
{
    for (int i = 0; i < 2; i++) {
        size_t want = p->bytes[i] < MAX_OUTPUT ? p->bytes[i] : MAX_OUTPUT;
        assert_int_equal(row->got[i], want);
        assert_int_equal(row->end->truncated[i], p->bytes[i] > MAX_OUTPUT);
    }
}

static void check_exact(const struct event *ev, enum reason reason, int64_t duration,
                        unsigned attempts)
{
    assert_int_equal(ev->reason, reason);
    assert_int_equal(ev->status, reason == REASON_NONE ? EXEC_SUCCESS : EXEC_FAILED);
    if (duration >= 0)
        assert_int_equal(ev->duration_ms, duration);
    assert_int_equal(ev->attempts, attempts);
}

static void check_timeout(const struct event *ev, int64_t duration, enum remote_process remote)
{
    check_exact(ev, REASON_TIMEOUT, duration, 1);
    assert_string_equal(ev->error, remote == REMOTE_NONE ? "connect timed out after 15s"
                                                         : "command timed out after 20s");
    assert_int_equal(ev->remote, remote);
}

/* Those that run into a time limit. */
static void check_hung(const struct fake_plan *p, const struct event *ev)
{
    int64_t limit = p->connect_ms + COMMAND_MS;

    if (p->kind == FAKE_HANG)
        check_timeout(ev, limit, REMOTE_STOPPED);
    else if (p->kind == FAKE_NEEDS_KILL)
        check_timeout(ev, limit + GRACE_MS, REMOTE_STOPPED);
    else if (p->kind == FAKE_STOP_SILENT)
        check_timeout(ev, limit + GRACE_MS + GRACE_MS + 5000, REMOTE_UNKNOWN);
    else if (p->kind == FAKE_STOP_UNKNOWN)
        check_timeout(ev, limit, REMOTE_UNKNOWN);
    else if (p->kind == FAKE_STUBBORN)
        check_timeout(ev, limit + GRACE_MS + 1000, REMOTE_RUNNING);
    else
        check_timeout(ev, CONNECT_TIMEOUT_DEFAULT_MS, REMOTE_NONE);
}

/* Those whose connection fails. */
static void check_failed(const struct fake_plan *p, const struct event *ev)
{
    if (p->kind == FAKE_REFUSED) {
        check_exact(ev, REASON_UNREACHABLE, -1, RETRIES + 1);
        assert_string_equal(ev->error, "connection refused");
    } else if (p->kind == FAKE_AUTH) {
        check_exact(ev, REASON_AUTH, p->connect_ms, 1);
    } else {
        check_exact(ev, REASON_LOST, p->connect_ms + run_ms(p), 1);
        assert_int_equal(ev->remote, REMOTE_UNKNOWN);
    }
}

/* What must have come of a node that nobody cancelled, to the millisecond. */
static void check_undisturbed(const struct fake_plan *p, const struct row *row)
{
    const struct event *ev = row->end;
    int64_t took = p->connect_ms + run_ms(p);

    assert_non_null(ev);
    if (p->kind >= FAKE_HANG_CONNECT) {
        check_hung(p, ev);
        return;
    }
    if (p->kind >= FAKE_REFUSED) {
        check_failed(p, ev);
        return;
    }
    if (p->kind == FAKE_EXIT) {
        check_exact(ev, REASON_EXIT, took, 1);
    } else if (p->kind == FAKE_SIGNAL) {
        check_exact(ev, REASON_SIGNAL, took, 1);
        assert_string_equal(ev->signal, "SEGV");
    } else if (p->kind == FAKE_FLAKY) {
        check_exact(ev, REASON_NONE, -1, 2);
        took += p->connect_ms;
        assert_true(ev->duration_ms > took && ev->duration_ms <= took + 250);
    } else if (p->kind == FAKE_PLACES) {
        check_exact(ev, REASON_NONE, -1, 1);
        assert_true(ev->duration_ms >= took + 3);
    } else {
        check_exact(ev, REASON_NONE, took, 1);
    }
    assert_int_equal(ev->exit_code, p->kind == FAKE_SIGNAL ? -1 : p->exit_code);
    assert_string_equal(ev->host, "fake.example");
    assert_string_equal(ev->transport, "fake");
    check_output(p, row);
}

/* Everything ends once and as planned; and no slot was ever idle while something waited, so hung
 * nodes hold back nobody: no schedule of that kind takes longer than this bound. */
static void ten_thousand(void **state)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct sim sim;
        int64_t sum = 0, longest = 0;
        unsigned seen[FAKE_KINDS] = {0};

        sim_start(&sim, seed, -1, 256);
        sim_submit(&sim, 10000, 0, seed == 2);
        sim_run(&sim);
        for (unsigned i = 0; i < 10000; i++) {
            struct fake_plan p = fake_plan(seed, -1, i);
            const struct row *row = &sim.batches[0].rows[i];
            check_undisturbed(&p, row);
            seen[p.kind]++;
            sum += row->end->duration_ms;
            if (row->end->duration_ms > longest)
                longest = row->end->duration_ms;
        }
        for (unsigned k = 0; k < FAKE_KINDS; k++)
            assert_true(seen[k] > 50);
        assert_int_equal(sim.most_in_slots, 256);
        assert_true(sim.clock.now_ms <= sum / 256 + longest);
        sim_end(&sim);
    }
}

/* One kind at a time with a sink that refuses two of three: the bytes are still exact. */
static void back_pressure(void **state)
{
    for (int only = FAKE_OK; only <= FAKE_BIG; only++) {
        struct sim sim;
        sim_start(&sim, 7, only, 50);
        sim.refuse_percent = 66;
        sim_submit(&sim, 300, 0, true);
        sim_run(&sim);
        for (unsigned i = 0; i < 300; i++) {
            struct fake_plan p = fake_plan(7, only, i);
            check_output(&p, &sim.batches[0].rows[i]);
        }
        assert_true(sim.refusals > 10);
        sim_end(&sim);
    }
}

static void cancel_one(struct sim *sim, unsigned at)
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

static void check_cancelled(const struct model_batch *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        const struct row *row = &b->rows[i];
        if (row->state == ROW_DROPPED) {
            assert_null(row->end);
            continue;
        }
        assert_int_equal(row->state, ROW_ENDED);
        if (row->end->reason != REASON_CANCELLED)
            continue;
        assert_string_equal(row->end->error, "Cancelled by user");
        assert_int_equal(row->end->status, EXEC_FAILED);
        assert_int_equal(row->end->exit_code, -1);
    }
}

static void random_cancels(void **state)
{
    for (uint64_t seed = 11; seed <= 14; seed++) {
        struct sim sim;
        size_t ended = 0, dropped = 0, cancelled = 0;

        sim_start(&sim, seed, -1, 200);
        sim.refuse_percent = 30;
        for (unsigned i = 0; i < 20; i++)
            sim_submit(&sim, 510, i % 3 == 0 ? 40 : 0, i % 2);
        do {
            answer(&sim, pick(&sim, 20));
            unsigned at = pick(&sim, 20);
            if (pick(&sim, 700) == 0 && at % 2 && !sim.batches[at].cancelled)
                cancel_one(&sim, at);
        } while (engine_sim_turn(sim.engine) || sim.n_claims);
        for (unsigned i = 0; i < 20; i++) {
            const struct model_batch *b = &sim.batches[i];
            if (b->cancelled)
                check_cancelled(b);
            for (unsigned k = 0; k < b->n; k++) {
                dropped += b->rows[k].state == ROW_DROPPED;
                ended += b->rows[k].end != NULL;
                cancelled += b->rows[k].end && b->rows[k].end->reason == REASON_CANCELLED;
            }
        }
        assert_int_equal(ended + dropped, 20 * 510);
        assert_true(cancelled > 10 && dropped > 100);
        sim_end(&sim);
    }
}

/* Turns until `count` run and the clock stands at `at`. */
static void run_until(struct sim *sim, int64_t at)
{
    while (sim->clock.now_ms < at) {
        answer(sim, SIZE_MAX);
        assert_true(engine_sim_turn(sim->engine));
    }
}

static void cancel_while(int only, int64_t want_ms, enum remote_process want)
{
    struct sim sim;

    sim_start(&sim, 5, only, 10);
    sim_submit(&sim, 1, 0, false);
    run_until(&sim, 1000 + 4 * 800);
    int64_t from = sim.clock.now_ms;
    assert_int_equal(engine_cancel(sim.engine, 1), 1);
    assert_int_equal(engine_cancel(sim.engine, 1), 1); /* again: nothing else happens */
    sim_run(&sim);
    const struct event *ev = sim.batches[0].rows[0].end;
    assert_int_equal(ev->reason, REASON_CANCELLED);
    assert_string_equal(ev->error, "Cancelled by user");
    assert_int_equal(ev->remote, want);
    assert_int_equal(ev->duration_ms, from + want_ms);
    sim_end(&sim);
}

static void cancel_each(void **state)
{
    cancel_while(FAKE_HANG_CONNECT, 0, REMOTE_NONE);
    cancel_while(FAKE_HANG_PLACE, 0, REMOTE_NONE);
    cancel_while(FAKE_HANG, 0, REMOTE_STOPPED);
    cancel_while(FAKE_NEEDS_KILL, GRACE_MS, REMOTE_STOPPED);
    cancel_while(FAKE_STOP_UNKNOWN, 0, REMOTE_UNKNOWN);
    cancel_while(FAKE_STOP_SILENT, GRACE_MS + GRACE_MS + 5000, REMOTE_UNKNOWN);
    cancel_while(FAKE_STUBBORN, GRACE_MS + 1000, REMOTE_RUNNING);
}

/* A claim that is answered after the cancel: granted ones end without having started. */
static void cancel_claimed(void **state)
{
    struct sim sim;

    sim_start(&sim, 5, FAKE_OK, 4);
    sim_submit(&sim, 10, 0, false);
    sim_submit(&sim, 2, 0, false);
    for (unsigned i = 0; i < 2; i++) { /* two were committed as running, two come too late */
        sim.batches[0].rows[i].state = ROW_RUNNING;
        sim.batches[0].rows[i].claimed = false;
    }
    cancel_one(&sim, 0);
    sim.n_claims -= 2;
    memmove(sim.claims, sim.claims + 2, sim.n_claims * sizeof *sim.claims);
    engine_claimed(sim.engine, 1, 0, true);
    engine_claimed(sim.engine, 1, 1, true);
    sim_run(&sim);
    for (unsigned i = 0; i < 10; i++) {
        const struct row *row = &sim.batches[0].rows[i];
        assert_int_equal(row->state, i < 2 ? ROW_ENDED : ROW_DROPPED);
        if (i < 2)
            check_exact(row->end, REASON_CANCELLED, 0, 0);
    }
    assert_int_equal(sim.batches[1].rows[1].end->status, EXEC_SUCCESS);
    sim_end(&sim);
}

static void queue_full(void **state)
{
    struct sim sim;
    struct err e = ERR_INIT;

    sim_start(&sim, 5, FAKE_OK, 100);
    sim_submit(&sim, 10000, 0, false);
    run_until(&sim, 1);
    assert_int_equal(engine_reserve(sim.engine, 101, &e), -ERR_QUEUE_FULL);
    assert_non_null(strstr(e.msg, "100 running"));
    assert_non_null(strstr(e.msg, "9900 queued"));
    assert_non_null(strstr(e.msg, "limit 10000"));
    err_clear(&e);
    assert_int_equal(engine_reserve(sim.engine, 100, NULL), 0);
    assert_int_equal(engine_reserve(sim.engine, 1, NULL), -ERR_QUEUE_FULL);
    engine_unreserve(sim.engine, 100);
    assert_int_equal(engine_reserve(sim.engine, 100, NULL), 0);
    engine_unreserve(sim.engine, 100);
    sim_run(&sim);
    sim_end(&sim);
}

static void stop_dispatch(void **state)
{
    struct sim sim;
    struct engine_counts c;

    sim_start(&sim, 5, FAKE_OK, 10);
    sim_submit(&sim, 100, 0, false);
    run_until(&sim, 1);
    engine_stop_dispatch(sim.engine);
    sim_run(&sim);
    engine_counts(sim.engine, &c);
    assert_int_equal(c.running + c.claimed, 0);
    assert_true(c.queued > 0);
    unsigned ended = 0;
    for (unsigned i = 0; i < 100; i++)
        ended += sim.batches[0].rows[i].end != NULL;
    assert_int_equal(ended + c.queued, 100);
    assert_int_equal(engine_cancel(sim.engine, 1), 0);
    sim_end(&sim);
}

static void abort_everything(void **state)
{
    struct sim sim;
    unsigned after_start = 0;

    sim_start(&sim, 5, -1, 500);
    sim_submit(&sim, 500, 0, false);
    run_until(&sim, 500);
    engine_abort(sim.engine);
    for (unsigned i = 0; i < 500; i++) {
        const struct event *ev = sim.batches[0].rows[i].end;
        assert_non_null(ev);
        if (ev->reason != REASON_LOST)
            continue;
        assert_int_equal(ev->duration_ms <= 500 + 800, true);
        after_start += ev->remote == REMOTE_UNKNOWN;
    }
    assert_true(after_start > 100);
    sim_end(&sim);
}

/* The engine goes away with work in it: no event, no leak. */
static void free_in_flight(void **state)
{
    struct sim sim;

    sim_start(&sim, 9, -1, 300);
    sim_submit(&sim, 1000, 0, false);
    run_until(&sim, 300);
    engine_free(sim.engine);
    for (unsigned i = 0; i < 1000; i++)
        event_free(sim.batches[0].rows[i].end);
    free(sim.batches[0].rows);
    free(sim.claims);
}

/* Watched output leaves within 200 ms, though the command goes on. */
static void live_output(void **state)
{
    struct sim sim;

    sim_start(&sim, 5, FAKE_HANG, 10);
    sim_submit(&sim, 10, 0, true);
    run_until(&sim, 200 + 4 * 800 + 200);
    for (unsigned i = 0; i < 10; i++) {
        struct fake_plan p = fake_plan(5, FAKE_HANG, i);
        assert_null(sim.batches[0].rows[i].end);
        for (int k = 0; k < 2; k++)
            assert_true(sim.batches[0].rows[i].got[k] + 40 >= p.bytes[k]);
    }
    sim_run(&sim);
    sim_end(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_thousand),   cmocka_unit_test(back_pressure),
        cmocka_unit_test(random_cancels), cmocka_unit_test(cancel_each),
        cmocka_unit_test(cancel_claimed), cmocka_unit_test(queue_full),
        cmocka_unit_test(stop_dispatch),  cmocka_unit_test(abort_everything),
        cmocka_unit_test(free_in_flight), cmocka_unit_test(live_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* No other transport is linked. */
const struct transport_ops *const *engine_transports(void)
{
    return fake_only;
}
