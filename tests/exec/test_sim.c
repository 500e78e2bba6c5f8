/* SPDX-License-Identifier: Apache-2.0 */
/* The engine on a virtual clock against the fake transport: ten thousand nodes with every fault,
 * cancels at random times, a sink that refuses at random. */
#include "fake.h"
#include "sim.h"

#include "muster/base/err.h"
#include "muster/core/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

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
    else if (p->kind == FAKE_STOP_UNKNOWN || p->kind == FAKE_STOP_LOST)
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
        assert_true(ev->duration_ms >= took + FAKE_HANDSHAKE_MS);
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
            sim_answer(&sim, sim_pick(&sim, 20));
            unsigned at = sim_pick(&sim, 20);
            if (sim_pick(&sim, 200) == 0 && at % 2 && !sim.batches[at].cancelled)
                sim_cancel(&sim, at);
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

/* Many sessions on three servers (the fake checks that no server gets more than its places): the
 * places go round without a pause, first come first served, also when waiting ones are cancelled. */
static void places(void **state)
{
    struct sim sim;
    int64_t last[3] = {0};

    sim_start(&sim, 5, FAKE_PLACES, 1000);
    sim_submit(&sim, 500, 0, false);
    sim_submit(&sim, 400, 0, false);
    sim_run_until(&sim, 150);
    sim_cancel(&sim, 1);
    sim_run(&sim);
    for (unsigned i = 0; i < 500; i++) {
        struct fake_plan p = fake_plan(5, FAKE_PLACES, i);
        const struct event *ev = sim.batches[0].rows[i].end;
        check_exact(ev, REASON_NONE, -1, 1);
        int64_t waited = ev->duration_ms - p.connect_ms - FAKE_HANDSHAKE_MS - run_ms(&p);
        assert_true(waited >= 0);
        if (last[i % 3] < p.connect_ms + waited)
            last[i % 3] = p.connect_ms + waited;
    }
    /* 200 ms to come, and at most 300 handshakes, 8 at a time */
    for (unsigned k = 0; k < 3; k++)
        assert_true(last[k] > 0 && last[k] <= 200 + (300 / FAKE_PLACES_EACH + 1) * FAKE_HANDSHAKE_MS);
    check_cancelled(&sim.batches[1]);
    sim_end(&sim);
}

/* With all of them there at once, waiting is in order of arrival to the millisecond. */
static void places_in_order(void **state)
{
    struct sim sim;
    unsigned count = 0;

    sim_start(&sim, 5, FAKE_PLACES, 1000);
    sim_submit(&sim, 1000, 0, false);
    sim_run(&sim);
    for (unsigned i = 0; i < 1000; i++) {
        for (unsigned k = i % 3; k < 1000; k += 3) {
            struct fake_plan a = fake_plan(5, FAKE_PLACES, i), b = fake_plan(5, FAKE_PLACES, k);
            if (a.connect_ms >= b.connect_ms)
                continue;
            int64_t at_a = sim.batches[0].rows[i].end->duration_ms - run_ms(&a);
            int64_t at_b = sim.batches[0].rows[k].end->duration_ms - run_ms(&b);
            assert_true(at_a <= at_b); /* who came first had the place first */
            count++;
        }
    }
    assert_true(count > 10000);
    sim_end(&sim);
}

static void cancel_while(int only, int64_t want_ms, enum remote_process want)
{
    struct sim sim;

    sim_start(&sim, 5, only, 10);
    sim_submit(&sim, 1, 0, false);
    sim_run_until(&sim, 1000 + 4 * 800);
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
    cancel_while(FAKE_STOP_LOST, 0, REMOTE_UNKNOWN);
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
    sim_cancel(&sim, 0);
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
    sim_run_until(&sim, 1);
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
    sim_run_until(&sim, 1);
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
    unsigned after_start = 0, never_started = 0;

    sim_start(&sim, 5, -1, 500);
    sim_submit(&sim, 500, 0, false);
    sim_run_until(&sim, 500);
    engine_abort(sim.engine);
    for (unsigned i = 0; i < 500; i++) {
        const struct event *ev = sim.batches[0].rows[i].end;
        assert_non_null(ev);
        if (ev->reason == REASON_SKIPPED) {
            assert_string_equal(ev->error, "muster left before it was started");
            assert_int_equal(ev->remote, REMOTE_NONE);
            never_started++;
        }
        if (ev->reason != REASON_LOST)
            continue;
        assert_int_equal(ev->duration_ms <= 500 + 800, true);
        after_start += ev->remote == REMOTE_UNKNOWN;
    }
    assert_true(after_start > 100);
    assert_true(never_started > 0);
    sim_end(&sim);
}

/* The engine goes away with work in it: no event, no leak. */
static void free_in_flight(void **state)
{
    struct sim sim;

    sim_start(&sim, 9, -1, 300);
    sim_submit(&sim, 1000, 0, false);
    sim_run_until(&sim, 300);
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
    sim_run_until(&sim, 200 + 4 * 800 + 200);
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
        cmocka_unit_test(places),         cmocka_unit_test(places_in_order),
        cmocka_unit_test(random_cancels), cmocka_unit_test(cancel_each),
        cmocka_unit_test(cancel_claimed), cmocka_unit_test(queue_full),
        cmocka_unit_test(stop_dispatch),  cmocka_unit_test(abort_everything),
        cmocka_unit_test(free_in_flight), cmocka_unit_test(live_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
