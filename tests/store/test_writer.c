/* SPDX-License-Identifier: Apache-2.0 */
/* The writer: states, counters, group commit, outputs. */
#include "fixture.h"

#include "sql.h"

#include "muster/base/hash.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void test_lifecycle(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    int64_t number = make_batch(f, 3, "uname -n");
    assert_int_equal(number, 1);
    struct batch b = get_batch(f, number);
    assert_int_equal(b.status, BATCH_RUNNING);
    assert_int_equal(b.stats.queued, 3);
    assert_int_equal(b.owner, OWNER_SELF);
    assert_string_equal(b.targets, "node[1-3]");
    assert_string_equal(b.action, "uname -n");
    assert_false(b.single);
    assert_int_equal(b.started_ms, 0);
    assert_int_equal(strlen(b.id), 36);
    batch_clear(&b);

    emit_claim(f, number, 0);
    WAIT_FOR(f, granted, 1);
    struct execution x = get_execution(f, number, 0);
    assert_int_equal(x.status, EXEC_RUNNING);
    assert_string_equal(x.node, "node3");
    assert_true(x.started_ms > 0);
    execution_clear(&x);

    emit_finish(f, number, 0, 0, "out\n", NULL);
    emit_claim(f, number, 1);
    emit_finish(f, number, 1, 3, NULL, "err\n");
    emit_failure(f, number, 2, REASON_UNREACHABLE, "no route to host");
    WAIT_FOR(f, finished, 3);
    check_counters(f, number);
    b = get_batch(f, number);
    assert_int_equal(b.status, BATCH_PARTIAL);
    assert_int_equal(b.owner, OWNER_NONE);
    assert_true(b.started_ms >= b.created_ms && b.completed_ms >= b.started_ms);
    batch_clear(&b);

    x = get_execution(f, number, 1);
    assert_int_equal(x.status, EXEC_FAILED);
    assert_int_equal(x.reason, REASON_EXIT);
    assert_int_equal(x.exit_code, 3);
    assert_int_equal(x.duration_ms, 7);
    assert_int_equal(x.out_id[0], 0);
    assert_int_equal(x.out_size[1], 4);
    assert_string_equal(x.transport, "local");
    assert_string_equal(x.note, "local, because this is a test");
    size_t n;
    char *text = get_output(f, x.out_id[1], &n);
    assert_string_equal(text, "err\n");
    free(text);
    execution_clear(&x);
    x = get_execution(f, number, 2);
    assert_string_equal(x.error, "no route to host");
    assert_int_equal(x.duration_ms, -1); /* it never left the queue */
    assert_int_equal(x.exit_code, -1);
    execution_clear(&x);

    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    char side[160];
    snprintf(side, sizeof side, "%s-wal", f->path);
    assert_int_equal(stat(side, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    snprintf(side, sizeof side, "%s/state", f->dir);
    assert_int_equal(stat(side, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

static void test_progress(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    int64_t number = make_batch(f, 1, "push a /etc/");
    emit_claim(f, number, 0);
    WAIT_FOR(f, granted, 1);
    for (uint64_t done = 10; done <= 30; done += 20) {
        struct event *ev = event_new(EVENT_PROGRESS, number, 0);
        ev->bytes_done = done;
        ev->bytes_total = 40;
        assert_true(writer_emit(f->w, ev));
    }
    emit_finish(f, number, 0, 0, NULL, NULL);
    /* One that comes after the end changes nothing. */
    struct event *late = event_new(EVENT_PROGRESS, number, 0);
    late->bytes_done = 99;
    assert_true(writer_emit(f->w, late));
    WAIT_FOR(f, finished, 1);
    int64_t next = make_batch(f, 1, "after what is late");
    struct execution x = get_execution(f, number, 0);
    assert_int_equal(x.bytes_done, 30);
    assert_int_equal(x.bytes_total, 40);
    execution_clear(&x);
    x = get_execution(f, next, 0);
    assert_int_equal(x.bytes_total, 0);
    execution_clear(&x);
}

static uint32_t rnd(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t) (*seed >> 33);
}

/* Whatever comes, in whatever order, the counters are those of the rows, and an end stays. */
static void test_random_events(void **state)
{
    struct fixture *f = *state;
    uint64_t seed = 20260131;
    size_t ends = 0;

    fixture_open(f);
    for (int round = 0; round < 8; round++) {
        uint32_t n = 1 + rnd(&seed) % 40;
        int64_t number = make_batch(f, n, "true");
        uint8_t *final = x_calloc(n, 1);
        for (uint32_t i = 0; i < n * 6; i++) {
            uint32_t p = rnd(&seed) % n;
            switch (rnd(&seed) % 8) {
            case 0:
            case 1:
            case 2:
                emit_claim(f, number, p);
                break;
            case 3:
                emit_output(f, number, p, (int) (rnd(&seed) % 2), "bytes\n", 6);
                break;
            case 4:
                emit_finish(f, number, p, 0, "a", NULL);
                ends++;
                break;
            case 5:
                emit_finish(f, number, p, 1, "a", "b");
                ends++;
                break;
            case 6:
                emit_failure(f, number, p, 1 + rnd(&seed) % (REASON_COUNT - 1), "why");
                ends++;
                break;
            default:
                if (rnd(&seed) % 40 == 0) {
                    struct cancel_result c;
                    assert_int_equal(writer_cancel(f->w, number, &c, NULL), 0);
                }
            }
            if (i % 16)
                continue;
            WAIT_FOR(f, finished, ends);
            check_counters(f, number);
            for (uint32_t j = 0; j < n; j++) {
                struct execution x = get_execution(f, number, j);
                if (final[j])
                    assert_int_equal(final[j], 1 + (int) x.status * 16 + (int) x.reason);
                if (exec_is_final(x.status))
                    final[j] = (uint8_t) (1 + (int) x.status * 16 + (int) x.reason);
                execution_clear(&x);
            }
        }
        WAIT_FOR(f, finished, ends);
        check_counters(f, number);
        free(final);
    }
}

static void test_late_result(void **state)
{
    struct fixture *f = *state;
    struct cancel_result c;

    fixture_open(f);
    int64_t number = make_batch(f, 3, "sleep 9");
    emit_claim(f, number, 0);
    WAIT_FOR(f, granted, 1);
    assert_int_equal(writer_cancel(f->w, number, &c, NULL), 0);
    assert_int_equal(c.queued, 2);
    assert_int_equal(c.running, 1);
    assert_true(c.owned_here);
    assert_false(c.ended);
    assert_false(c.owner_dead);
    emit_claim(f, number, 1); /* too late: it must not start */
    WAIT_FOR(f, denied, 1);
    emit_failure(f, number, 0, REASON_CANCELLED, "Cancelled by user");
    WAIT_FOR(f, finished, 1);
    emit_finish(f, number, 0, 0, "late", NULL);
    WAIT_FOR(f, finished, 2);
    struct execution x = get_execution(f, number, 0);
    assert_int_equal(x.reason, REASON_CANCELLED);
    assert_int_equal(x.out_id[0], 0);
    execution_clear(&x);
    x = get_execution(f, number, 1);
    assert_int_equal(x.status, EXEC_FAILED);
    assert_string_equal(x.error, "Cancelled by user");
    execution_clear(&x);
    struct batch b = get_batch(f, number);
    assert_int_equal(b.status, BATCH_CANCELLED);
    assert_true(b.cancel_requested);
    batch_clear(&b);
    check_counters(f, number);
    assert_int_equal(writer_cancel(f->w, number, &c, NULL), 0);
    assert_true(c.ended);
    assert_int_equal(c.queued, 0);
    struct err e = ERR_INIT;
    assert_int_equal(writer_cancel(f->w, 99, &c, &e), -ERR_NOT_FOUND);
    assert_non_null(strstr(e.msg, "99"));
    err_clear(&e);
    /* Its own request is not told to it again. */
    assert_int_equal(fixture_counts(f).cancels, 0);
}

/* What waits is skipped in one commit, behind what was emitted before it. */
static void test_skip(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    int64_t number = make_batch(f, 500, "true");
    emit_claim(f, number, 0);
    emit_claim(f, number, 1);
    struct event *ev = event_new(EVENT_SKIP, number, 0);
    ev->wall_ms = 1700000000000;
    ev->error = x_strdup("skipped: 3 failures exceed --max-fail 2");
    writer_emit(f->w, ev);
    emit_claim(f, number, 2); /* too late */
    WAIT_FOR(f, denied, 1);
    struct batch b = get_batch(f, number);
    assert_int_equal(b.status, BATCH_RUNNING);
    assert_int_equal(b.stats.running, 2);
    assert_int_equal(b.stats.by_reason[REASON_SKIPPED], 498);
    batch_clear(&b);
    emit_finish(f, number, 0, 0, "a", NULL);
    emit_finish(f, number, 1, 7, NULL, "b");
    WAIT_FOR(f, finished, 3);
    struct execution x = get_execution(f, number, 499);
    assert_int_equal(x.reason, REASON_SKIPPED);
    assert_string_equal(x.error, "skipped: 3 failures exceed --max-fail 2");
    assert_int_equal(x.started_ms, 0);
    execution_clear(&x);
    b = get_batch(f, number);
    assert_int_equal(b.status, BATCH_PARTIAL);
    batch_clear(&b);
    check_counters(f, number);
}

static void pause_by_other(struct fixture *f, const char *sql)
{
    struct sql other;

    assert_int_equal(sql_open(&other, f->path, SQLITE_OPEN_READWRITE), SQLITE_OK);
    assert_int_equal(sql_exec(&other, sql), SQLITE_OK);
    sql_close(&other);
}

static void test_pause(void **state)
{
    struct fixture *f = *state;
    struct pause_result p;

    fixture_open(f);
    int64_t number = make_batch(f, 3, "true");
    assert_int_equal(writer_pause(f->w, number, true, &p, NULL), 0);
    assert_true(p.changed);
    assert_true(p.owned_here);
    assert_int_equal(p.queued, 3);
    assert_int_equal(writer_pause(f->w, number, true, &p, NULL), 0);
    assert_false(p.changed);
    struct batch b = get_batch(f, number);
    assert_true(b.paused);
    batch_clear(&b);
    assert_int_equal(writer_pause(f->w, number, false, &p, NULL), 0);
    assert_true(p.changed);
    /* Its own request is not told to it again; another's is. */
    pause_by_other(f, "UPDATE batch_executions SET paused = 1");
    WAIT_FOR(f, pauses, 1);
    pause_by_other(f, "UPDATE batch_executions SET paused = 0");
    WAIT_FOR(f, resumes, 1);
    assert_int_equal(fixture_counts(f).pauses, 1);
    pause_by_other(f, "UPDATE batch_executions SET paused = 1");
    WAIT_FOR(f, pauses, 2);
    for (uint32_t i = 0; i < 3; i++) {
        emit_claim(f, number, i);
        emit_finish(f, number, i, 0, NULL, NULL);
    }
    WAIT_FOR(f, finished, 3);
    b = get_batch(f, number);
    assert_int_equal(b.status, BATCH_SUCCESS);
    assert_false(b.paused); /* what has ended is not paused */
    batch_clear(&b);
    assert_int_equal(writer_pause(f->w, number, true, &p, NULL), 0);
    assert_true(p.ended);
    struct err e = ERR_INIT;
    assert_int_equal(writer_pause(f->w, 99, true, &p, &e), -ERR_NOT_FOUND);
    err_clear(&e);
}

/* Events that wait while another process holds the lock go into one commit each 256. */
static void test_group_commit(void **state)
{
    struct fixture *f = *state;
    struct sql other;

    fixture_open(f);
    int64_t number = make_batch(f, 1000, "true");
    size_t before = fixture_counts(f).committed;
    assert_int_equal(sql_open(&other, f->path, SQLITE_OPEN_READWRITE), SQLITE_OK);
    assert_int_equal(sql_begin(&other, 1000), SQLITE_OK);
    for (uint32_t i = 0; i < 1000; i++)
        emit_claim(f, number, i);
    assert_int_equal(fixture_counts(f).granted, 0); /* nothing may run before its commit */
    sql_rollback(&other);
    sql_close(&other);
    WAIT_FOR(f, granted, 1000);
    size_t commits = fixture_counts(f).committed - before;
    assert_in_range(commits, 1, 100);
    assert_int_equal(fixture_counts(f).failed, 0); /* being locked out for a while is no failure */
    check_counters(f, number);
}

static void test_equal_outputs_fold(void **state)
{
    struct fixture *f = *state;
    char bytes[] = "one\0two\xff\n";

    fixture_open(f);
    int64_t number = make_batch(f, 40, "cat");
    for (uint32_t i = 0; i < 40; i++) {
        emit_claim(f, number, i);
        if (i % 2) { /* some bring their bytes in pieces, some at the end */
            assert_true(emit_output(f, number, i, 0, bytes, 4));
            assert_true(emit_output(f, number, i, 0, bytes + 4, sizeof bytes - 5));
            emit_finish(f, number, i, 0, NULL, NULL);
        } else {
            assert_true(emit_output(f, number, i, 0, bytes, sizeof bytes - 1));
            emit_finish(f, number, i, 0, NULL, "warning\n");
        }
    }
    WAIT_FOR(f, finished, 40);
    assert_int_equal(query_int_of(f, "SELECT count(*) FROM outputs"), 2);
    assert_int_equal(query_int_of(f, "SELECT count(*) FROM outputs WHERE hash IS NULL"), 0);
    struct execution x = get_execution(f, number, 7);
    size_t n;
    char *p = get_output(f, x.out_id[0], &n);
    assert_int_equal(n, sizeof bytes - 1);
    assert_memory_equal(p, bytes, n);
    assert_int_equal(x.out_size[0], n);
    free(p);
    execution_clear(&x);

    struct output_class *c;
    size_t total;
    assert_int_equal(reader_classes(f->r, number, 0, 10, &c, &n, &total, NULL), 0);
    assert_int_equal(n, 2);
    assert_int_equal(total, 2);
    assert_int_equal(c[0].count, 20);
    assert_int_equal(c[1].count, 20);
    classes_free(c, n);
}

/* Waits until the first execution's stdout has this size for a reader. */
static void wait_for_size(struct fixture *f, int64_t number, uint64_t size)
{
    for (;;) {
        size_t seen = fixture_counts(f).committed;
        struct execution x = get_execution(f, number, 0);
        uint64_t got = x.out_size[0];
        execution_clear(&x);
        if (got == size)
            return;
        WAIT_FOR(f, committed, seen + 1);
    }
}

static void test_live_output(void **state)
{
    struct fixture *f = *state;
    size_t n;

    fixture_open(f);
    int64_t number = make_batch(f, 1, "tail");
    emit_claim(f, number, 0);
    WAIT_FOR(f, granted, 1);
    assert_true(emit_output(f, number, 0, 0, "first\n", 6));
    wait_for_size(f, number, 6);
    assert_true(reader_changed(f->r));
    struct execution x = get_execution(f, number, 0);
    assert_int_equal(x.status, EXEC_RUNNING);
    assert_int_equal(x.out_size[0], 6);
    char *p = get_output(f, x.out_id[0], &n);
    assert_string_equal(p, "first\n");
    free(p);
    int64_t live = x.out_id[0];
    execution_clear(&x);
    assert_true(emit_output(f, number, 0, 0, "second\n", 7));
    wait_for_size(f, number, 13);
    p = get_output(f, live, &n);
    assert_string_equal(p, "first\nsecond\n");
    free(p);
    emit_finish(f, number, 0, 0, "third\n", NULL);
    WAIT_FOR(f, finished, 1);
    x = get_execution(f, number, 0);
    p = get_output(f, x.out_id[0], &n);
    assert_string_equal(p, "first\nsecond\nthird\n");
    assert_int_equal(x.out_size[0], 19);
    free(p);
    execution_clear(&x);
}

static size_t memory_peak_kb(void)
{
    char line[256];
    size_t kb = 0;
    FILE *in = fopen("/proc/self/status", "r");

    while (in && fgets(line, sizeof line, in))
        if (sscanf(line, "VmHWM: %zu", &kb) == 1)
            break;
    if (in)
        fclose(in);
    return kb;
}

struct sum {
    struct sha256 *h;
    uint64_t n;
};

static bool add_piece(void *ctx, const void *p, size_t n)
{
    struct sum *s = ctx;
    sha256_add(s->h, p, n);
    s->n += n;
    return n <= (size_t) 1 << 20;
}

static void test_large_output(void **state)
{
    struct fixture *f = *state;
    const size_t piece = 100000, pieces = 524; /* 52.4 MB */
    uint8_t want[SHA256_LEN], got[SHA256_LEN];
    char *buf = x_malloc(piece);
    uint64_t seed = 7;

    fixture_open(f);
    int64_t number = make_batch(f, 1, "dd");
    emit_claim(f, number, 0);
    WAIT_FOR(f, granted, 1);
    size_t peak = memory_peak_kb();
    struct sha256 *h = sha256_new();
    int64_t deadline = now_ms() + 60000;
    for (size_t i = 0; i < pieces; i++) {
        for (size_t j = 0; j < piece; j += 4) {
            uint32_t v = rnd(&seed);
            memcpy(buf + j, &v, 4);
        }
        sha256_add(h, buf, piece);
        /* A full queue says no, as it does to a session, which then waits. */
        size_t seen = fixture_counts(f).committed;
        while (!emit_output(f, number, 0, 0, buf, piece)) {
            assert_true(now_ms() < deadline);
            WAIT_FOR(f, committed, seen + 1);
            seen = fixture_counts(f).committed;
        }
    }
    sha256_end(h, want);
    emit_finish(f, number, 0, 0, NULL, NULL);
    WAIT_FOR(f, finished, 1);
    struct execution x = get_execution(f, number, 0);
    assert_int_equal(x.out_size[0], piece * pieces);
    struct sum s = {sha256_new(), 0};
    assert_int_equal(reader_output(f->r, x.out_id[0], 0, UINT64_MAX, add_piece, &s, NULL), 0);
    sha256_end(s.h, got);
    assert_int_equal(s.n, piece * pieces);
    assert_memory_equal(want, got, SHA256_LEN);
    /* Far fewer than its bytes: the queue's 16 MiB, one group, SQLite's cache. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_in_range(memory_peak_kb() - peak, 0, 36 * 1024);
#else
    assert_true(peak > 0);
#endif
    /* A part from the middle, across the pieces. */
    s = (struct sum){sha256_new(), 0};
    assert_int_equal(reader_output(f->r, x.out_id[0], 250001, 150000, add_piece, &s, NULL), 0);
    sha256_end(s.h, got);
    assert_int_equal(s.n, 150000);
    execution_clear(&x);
    free(buf);
}

static void test_create_many(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    int64_t began = now_ms();
    int64_t number = make_batch(f, BATCH_TARGETS_MAX, "true");
    print_message("creating %d executions: %lld ms\n", BATCH_TARGETS_MAX,
                  (long long) (now_ms() - began));
    struct batch b = get_batch(f, number);
    assert_int_equal(b.stats.queued, BATCH_TARGETS_MAX);
    batch_clear(&b);
    struct cancel_result c;
    began = now_ms();
    assert_int_equal(writer_cancel(f->w, number, &c, NULL), 0);
    print_message("cancelling them: %lld ms\n", (long long) (now_ms() - began));
    assert_int_equal(c.queued, BATCH_TARGETS_MAX);
    check_counters(f, number);
}

static void test_delete(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    size_t n;

    fixture_open(f);
    int64_t first = make_batch(f, 2, "a"), second = make_batch(f, 1, "b");
    emit_claim(f, first, 0);
    emit_finish(f, first, 0, 0, "shared", "only here");
    assert_int_equal(writer_delete(f->w, first, &e), -ERR_FORBIDDEN);
    err_clear(&e);
    emit_failure(f, first, 1, REASON_TIMEOUT, "slow");
    emit_claim(f, second, 0);
    emit_finish(f, second, 0, 0, "shared", NULL);
    WAIT_FOR(f, finished, 3);
    assert_int_equal(writer_delete(f->w, first, &e), 0);
    assert_int_equal(writer_delete(f->w, first, &e), -ERR_NOT_FOUND);
    err_clear(&e);
    assert_int_equal(query_int_of(f, "SELECT count(*) FROM executions"), 1);
    assert_int_equal(query_int_of(f, "SELECT count(*) FROM outputs"), 1);
    assert_int_equal(query_int_of(f, "SELECT count(*) FROM output_chunks"), 1);
    struct execution x = get_execution(f, second, 0);
    char *p = get_output(f, x.out_id[0], &n);
    assert_string_equal(p, "shared");
    free(p);
    execution_clear(&x);
    /* A number is never used again. */
    assert_int_equal(make_batch(f, 1, "c"), 3);
}

/* Closing in the middle settles what still ran. */
static void test_close_settles(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    int64_t number = make_batch(f, 3, "sleep 9");
    emit_claim(f, number, 0);
    assert_true(emit_output(f, number, 0, 0, "so far\n", 7));
    emit_finish(f, number, 1, 2, "x", NULL);
    fixture_close(f);
    fixture_open(f);
    check_counters(f, number);
    struct batch b = get_batch(f, number);
    assert_int_equal(b.status, BATCH_FAILED);
    assert_int_equal(b.stats.by_reason[REASON_LOST], 1);
    assert_int_equal(b.stats.by_reason[REASON_SKIPPED], 1);
    batch_clear(&b);
    struct execution x = get_execution(f, number, 0);
    assert_int_equal(x.reason, REASON_LOST);
    assert_non_null(strstr(x.error, "outcome is unknown"));
    size_t n;
    char *p = get_output(f, x.out_id[0], &n);
    assert_string_equal(p, "so far\n");
    free(p);
    execution_clear(&x);
    assert_int_equal(query_int_of(f, "SELECT count(*) FROM outputs WHERE hash IS NULL"), 0);
    assert_int_equal(query_int_of(f, "SELECT count(*) FROM owners"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_progress), TEST(test_lifecycle),          TEST(test_random_events), TEST(test_late_result),
        TEST(test_group_commit),       TEST(test_live_output),   TEST(test_equal_outputs_fold),
        TEST(test_large_output),       TEST(test_create_many),   TEST(test_delete),
        TEST(test_close_settles),      TEST(test_skip),          TEST(test_pause),
    };
    return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
