/* SPDX-License-Identifier: Apache-2.0 */
/* States, transitions, counters, batch status and progress: examples, and the properties that hold
 * over any sequence of moves. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "muster/core/batch.h"
#include "muster/core/event.h"
#include "muster/base/alloc.h"

#include "../base/rnd.h"

#include <string.h>

static void test_names(void **state)
{
    for (int i = 0; i < EXEC_STATUS_COUNT; i++) {
        assert_int_equal(exec_status_parse(exec_status_name((enum exec_status) i)), i);
        assert_in_range(strlen(exec_status_word((enum exec_status) i)), 1, 7);
        assert_int_equal(strlen(exec_status_glyph((enum exec_status) i)), 1);
    }
    for (int i = 0; i < REASON_COUNT; i++) {
        assert_int_equal(reason_parse(reason_name((enum reason) i)), i);
        assert_in_range(strlen(reason_word((enum reason) i)), 0, 7);
        assert_int_equal(strlen(reason_glyph((enum reason) i)), 1);
        assert_int_equal(reason_exit_status((enum reason) i) != 0, i != REASON_NONE);
        assert_int_equal(*reason_meaning((enum reason) i) != '\0', i != REASON_NONE);
    }
    for (int i = 0; i < BATCH_STATUS_COUNT; i++) {
        assert_int_equal(batch_status_parse(batch_status_name((enum batch_status) i)), i);
        assert_in_range(strlen(batch_status_word((enum batch_status) i)), 1, 7);
        assert_int_equal(strlen(batch_status_glyph((enum batch_status) i)), 1);
    }
    for (int i = 0; i < REMOTE_COUNT; i++)
        assert_int_equal(remote_process_parse(remote_process_name((enum remote_process) i)), i);
    for (int i = 0; i < ACTION_TYPE_COUNT; i++)
        assert_int_equal(action_type_parse(action_type_name((enum action_type) i)), i);
    assert_string_equal(remote_process_name(REMOTE_RUNNING), "still running");
    assert_int_equal(exec_status_parse("done"), -1);
    assert_int_equal(exec_status_parse(NULL), -1);
    assert_int_equal(reason_parse("bad luck"), -1);
    assert_int_equal(batch_status_parse("done"), -1);
    assert_int_equal(remote_process_parse("gone"), -1);
    assert_int_equal(action_type_parse("chore"), -1);
}

static void test_transitions(void **state)
{
    int legal = 0;

    for (int from = 0; from < EXEC_STATUS_COUNT; from++) {
        for (int to = 0; to < EXEC_STATUS_COUNT; to++) {
            bool ok = exec_transition_ok((enum exec_status) from, (enum exec_status) to);

            legal += ok;
            if (exec_is_final((enum exec_status) from))
                assert_false(ok);
        }
    }
    assert_int_equal(legal, 4);
    assert_true(exec_transition_ok(EXEC_QUEUED, EXEC_RUNNING));
    assert_true(exec_transition_ok(EXEC_QUEUED, EXEC_FAILED));
    assert_true(exec_transition_ok(EXEC_RUNNING, EXEC_SUCCESS));
    assert_true(exec_transition_ok(EXEC_RUNNING, EXEC_FAILED));
    assert_false(exec_transition_ok((enum exec_status) 99, EXEC_FAILED));
}

#define ROWS 60

struct model {
    enum exec_status status[ROWS];
    enum reason reason[ROWS];
    struct batch_stats stats;
};

static void model_init(struct model *m)
{
    memset(m, 0, sizeof *m);
    m->stats.total = m->stats.queued = ROWS;
}

static void assert_counters_equal_rows(const struct model *m)
{
    struct batch_stats s = {.total = ROWS};
    uint32_t reasons = 0;

    for (int i = 0; i < ROWS; i++) {
        s.queued += m->status[i] == EXEC_QUEUED;
        s.running += m->status[i] == EXEC_RUNNING;
        s.success += m->status[i] == EXEC_SUCCESS;
        s.failed += m->status[i] == EXEC_FAILED;
        if (m->status[i] == EXEC_FAILED)
            s.by_reason[m->reason[i]]++;
    }
    assert_memory_equal(&s, &m->stats, sizeof s);
    for (int r = 0; r < REASON_COUNT; r++)
        reasons += m->stats.by_reason[r];
    assert_int_equal(reasons, m->stats.failed);
    assert_int_equal(m->stats.total, s.queued + s.running + s.success + s.failed);
}

/* Any sequence of moves, legal ones and others: counters equal the rows, a final state never
 * changes, progress only rises, and is 100 exactly when nothing is left. */
static void test_random_moves(void **state)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct rnd r = {seed};
        struct model m;
        unsigned progress = 0;

        model_init(&m);
        for (int step = 0; step < 600; step++) {
            uint32_t row = rnd_below(&r, ROWS);
            enum exec_status from = m.status[row];
            enum exec_status to = (enum exec_status) rnd_below(&r, EXEC_STATUS_COUNT);
            enum reason why = (enum reason) (1 + rnd_below(&r, REASON_COUNT - 1));
            struct batch_stats before = m.stats;
            unsigned now;

            if (batch_stats_move(&m.stats, from, to, why)) {
                assert_false(exec_is_final(from));
                m.status[row] = to;
                m.reason[row] = why;
            } else {
                assert_memory_equal(&before, &m.stats, sizeof before);
            }
            assert_counters_equal_rows(&m);
            now = batch_progress(&m.stats);
            assert_true(now >= progress && now <= 100);
            assert_int_equal(now == 100, m.stats.queued + m.stats.running == 0);
            assert_int_equal(batch_status_of(&m.stats) == BATCH_RUNNING, now != 100);
            progress = now;
        }
    }
}

/* The same ends in another order give the same status, counters and exit status. */
static void test_order_does_not_matter(void **state)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct rnd r = {seed};
        enum exec_status end[ROWS];
        enum reason why[ROWS];
        struct batch_stats first;
        int order[ROWS];

        for (int i = 0; i < ROWS; i++) {
            end[i] = rnd_below(&r, 3) ? EXEC_SUCCESS : EXEC_FAILED;
            why[i] = (enum reason) (1 + rnd_below(&r, REASON_COUNT - 1));
            order[i] = i;
        }
        for (int round = 0; round < 5; round++) {
            struct model m;

            model_init(&m);
            for (int i = ROWS - 1; i > 0; i--) {
                int k = (int) rnd_below(&r, (uint32_t) i + 1), t = order[i];

                order[i] = order[k];
                order[k] = t;
            }
            for (int i = 0; i < ROWS; i++) {
                int row = order[i];

                assert_int_equal(batch_status_of(&m.stats), BATCH_RUNNING);
                assert_true(batch_stats_move(&m.stats, EXEC_QUEUED, EXEC_RUNNING, REASON_NONE));
                assert_true(batch_stats_move(&m.stats, EXEC_RUNNING, end[row], why[row]));
            }
            if (!round)
                first = m.stats;
            assert_memory_equal(&first, &m.stats, sizeof first);
            assert_int_equal(batch_status_of(&first), batch_status_of(&m.stats));
            assert_int_equal(batch_exit_status(&first), batch_exit_status(&m.stats));
        }
    }
}

static void test_move_refuses_what_is_not_there(void **state)
{
    struct batch_stats s = {.total = 1, .running = 1};

    assert_false(batch_stats_move(&s, EXEC_QUEUED, EXEC_RUNNING, REASON_NONE));
    assert_false(batch_stats_move(&s, EXEC_RUNNING, EXEC_FAILED, REASON_COUNT));
    assert_int_equal(s.running, 1);
    assert_true(batch_stats_move(&s, EXEC_RUNNING, EXEC_SUCCESS, REASON_NONE));
    assert_false(batch_stats_move(&s, EXEC_SUCCESS, EXEC_FAILED, REASON_CANCELLED));
    assert_int_equal(s.success, 1);
    assert_int_equal(s.failed, 0);
}

static void test_batch_status(void **state)
{
    struct batch_stats s = {.total = 4, .success = 4};

    assert_int_equal(batch_status_of(&s), BATCH_SUCCESS);
    s = (struct batch_stats) {.total = 4, .failed = 4, .by_reason = {[REASON_EXIT] = 4}};
    assert_int_equal(batch_status_of(&s), BATCH_FAILED);
    s = (struct batch_stats) {
        .total = 4, .success = 1, .failed = 3, .by_reason = {[REASON_EXIT] = 3}};
    assert_int_equal(batch_status_of(&s), BATCH_PARTIAL);
    s = (struct batch_stats) {
        .total = 4, .success = 1, .failed = 3, .by_reason = {[REASON_CANCELLED] = 3}};
    assert_int_equal(batch_status_of(&s), BATCH_CANCELLED);
    s.running = 1;
    assert_int_equal(batch_status_of(&s), BATCH_RUNNING);
}

static void test_progress_rounds_down(void **state)
{
    struct batch_stats s = {.total = 1000, .success = 995, .running = 5};

    assert_int_equal(batch_progress(&s), 99);
    s = (struct batch_stats) {.total = 10000, .success = 9000, .failed = 999, .queued = 1};
    assert_int_equal(batch_progress(&s), 99);
    s = (struct batch_stats) {.total = UINT32_MAX, .success = UINT32_MAX};
    assert_int_equal(batch_progress(&s), 100);
    s = (struct batch_stats) {0};
    assert_int_equal(batch_progress(&s), 0);
}

static int exit_of(enum reason a, enum reason b)
{
    struct batch_stats s = {.total = 3, .success = 1, .failed = 2};

    s.by_reason[a]++;
    s.by_reason[b]++;
    return batch_exit_status(&s);
}

static void test_exit_status(void **state)
{
    struct batch_stats s = {.total = 2, .success = 2};

    assert_int_equal(batch_exit_status(&s), 0);
    assert_int_equal(exit_of(REASON_EXIT, REASON_SIGNAL), 5);
    assert_int_equal(exit_of(REASON_EXIT, REASON_TIMEOUT), 3);
    assert_int_equal(exit_of(REASON_LOST, REASON_UNREACHABLE), 4);
    assert_int_equal(exit_of(REASON_AUTH, REASON_INTERNAL), 1);
    assert_int_equal(exit_of(REASON_SKIPPED, REASON_EXIT), 3);
    s = (struct batch_stats) {.total = 2, .success = 1, .running = 1};
    assert_int_equal(batch_exit_status(&s), 3);
    s = (struct batch_stats) {.total = 1, .failed = 1, .by_reason = {[REASON_NONE] = 1}};
    assert_int_not_equal(batch_exit_status(&s), 0);
}

static void test_durations(void **state)
{
    struct batch b = {.started_ms = 0};
    struct execution x = {.duration_ms = -1};

    assert_int_equal(batch_duration_ms(&b, 99), -1);
    b.started_ms = 1000;
    assert_int_equal(batch_duration_ms(&b, 3500), 2500);
    assert_int_equal(batch_duration_ms(&b, 500), 0); /* the clock was set back */
    b.completed_ms = 2000;
    assert_int_equal(batch_duration_ms(&b, 3500), 1000);
    batch_clear(&b);
    assert_int_equal(execution_duration_ms(&x, 99), -1);
    x.started_ms = 1000;
    x.status = EXEC_RUNNING;
    assert_int_equal(execution_duration_ms(&x, 1700), 700);
    x.status = EXEC_SUCCESS;
    x.completed_ms = 9000; /* the wall clock jumped: the monotonic measure counts */
    x.duration_ms = 750;
    assert_int_equal(execution_duration_ms(&x, 99999), 750);
    execution_clear(&x);
}

static void test_ids_and_events(void **state)
{
    char id[64];
    struct event *ev = event_new(EVENT_FINISH, 42, 7);
    size_t bare = event_weight(ev);

    assert_string_equal(execution_id("u", 0, id), "u-0001");
    assert_string_equal(execution_id("u", 9999, id), "u-10000");
    assert_string_equal(execution_id("u", UINT32_MAX, id), "u-4294967296");
    assert_int_equal(ev->exit_code, -1);
    assert_int_equal(ev->batch, 42);
    assert_int_equal(ev->position, 7);
    ev->data[1] = x_strdup("12345");
    ev->len[1] = 5;
    ev->error = x_strdup("no");
    assert_int_equal(event_weight(ev), bare + 5 + 3);
    event_free(ev);
    event_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_transitions),
        cmocka_unit_test(test_random_moves),
        cmocka_unit_test(test_order_does_not_matter),
        cmocka_unit_test(test_move_refuses_what_is_not_there),
        cmocka_unit_test(test_batch_status),
        cmocka_unit_test(test_progress_rounds_down),
        cmocka_unit_test(test_exit_status),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_ids_and_events),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
