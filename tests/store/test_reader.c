/* SPDX-License-Identifier: Apache-2.0 */
/* The readers: names of batches, pages and filters, classes, search, and files that are no
 * database of ours. */
#include "fixture.h"

#include "sql.h"

#include "muster/base/clock.h"
#include "muster/core/nodeset.h"
#include "muster/store/store.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct exec_filter any = EXEC_FILTER_ANY;
static const struct batch_filter any_batch = BATCH_FILTER_ANY;

static void test_missing_then_made(void **state)
{
    struct fixture *f = *state;
    struct batch *b;
    size_t n, total = 7;
    int64_t number;
    struct err e = ERR_INIT;

    struct reader *r = reader_open(f->path, &e);
    assert_non_null(r);
    assert_false(reader_changed(r));
    assert_int_equal(reader_batches(r, &any_batch, 0, 0, 10, &b, &n, &total, &e), 0);
    assert_int_equal(n + total, 0);
    assert_int_equal(reader_resolve(r, "last", &number, &e), -ERR_NOT_FOUND);
    err_clear(&e);
    assert_false(reader_has_dead_owner(r));
    fixture_open(f);
    make_batch(f, 1, "true");
    assert_true(reader_changed(r));
    assert_false(reader_changed(r));
    assert_int_equal(reader_resolve(r, "last", &number, &e), 0);
    assert_int_equal(number, 1);
    make_batch(f, 1, "true");
    assert_true(reader_changed(r));
    reader_close(r);
}

static void expect_resolve(struct fixture *f, const char *name, int64_t want)
{
    struct err e = ERR_INIT;
    int64_t number = 0;
    int rc = reader_resolve(f->r, name, &number, &e);

    if (want) {
        assert_int_equal(rc, 0);
        assert_int_equal(number, want);
    } else {
        assert_int_equal(rc, -ERR_NOT_FOUND);
        assert_non_null(e.msg);
    }
    err_clear(&e);
}

static void test_resolve(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    make_batch(f, 2, "a");
    make_batch(f, 2, "b");
    struct batch b = get_batch(f, 1);
    expect_resolve(f, "last", 2);
    expect_resolve(f, "1", 1);
    expect_resolve(f, "#2", 2);
    expect_resolve(f, "3", 0);
    expect_resolve(f, "0", 0);
    expect_resolve(f, "", 0);
    expect_resolve(f, "#", 0);
    expect_resolve(f, "-1", 0);
    expect_resolve(f, "99999999999999999999999", 0);
    expect_resolve(f, "lasts", 0);
    expect_resolve(f, b.id, 1);
    b.id[13] = 0;
    expect_resolve(f, b.id, 1);
    b.id[7] = 0;
    expect_resolve(f, b.id, 0); /* too short to be an id */
    batch_clear(&b);
}

static void finish_batch(struct fixture *f, int64_t number, size_t n, int code)
{
    size_t before = fixture_counts(f).finished;

    for (uint32_t i = 0; i < n; i++) {
        emit_claim(f, number, i);
        emit_finish(f, number, i, code, NULL, NULL);
    }
    WAIT_FOR(f, finished, before + n);
}

static size_t count_batches(struct fixture *f, const struct batch_filter *filter)
{
    struct batch *b;
    size_t n, total;
    struct err e = ERR_INIT;

    if (reader_batches(f->r, filter, 0, 0, 100, &b, &n, &total, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(n, total);
    for (size_t i = 1; i < n; i++)
        assert_true(b[i].number < b[i - 1].number);
    batches_free(b, n);
    return n;
}

static void test_history(void **state)
{
    struct fixture *f = *state;
    struct batch_filter q = BATCH_FILTER_ANY;
    struct batch *b;
    size_t n, total;

    fixture_open(f);
    int64_t began = wall_ms(clock_system());
    for (int i = 0; i < 10; i++) {
        int64_t number = make_batch(f, i % 2 ? 3 : 1, i < 4 ? "Uptime now" : "df -h");
        if (i != 9)
            finish_batch(f, number, i % 2 ? 3 : 1, i % 3 ? 0 : 1);
    }
    assert_int_equal(count_batches(f, &q), 10);
    q.kind = 1;
    assert_int_equal(count_batches(f, &q), 5);
    q.kind = 2;
    q.status = BATCH_RUNNING;
    assert_int_equal(count_batches(f, &q), 1);
    q = any_batch;
    q.status = BATCH_FAILED;
    assert_int_equal(count_batches(f, &q), 3); /* 0, 3, 6 */
    q = any_batch;
    q.not_success = true;
    assert_int_equal(count_batches(f, &q), 4); /* and 9, which runs */
    q.text = "df";
    assert_int_equal(count_batches(f, &q), 2);
    q = any_batch;
    q.type = ACTION_TYPE_COMMAND;
    q.text = "uptime";
    assert_int_equal(count_batches(f, &q), 4);
    q.text = "Uptime";
    assert_int_equal(count_batches(f, &q), 4);
    q.text = "UPTIME";
    assert_int_equal(count_batches(f, &q), 0);
    q.text = "node[1-3]";
    assert_int_equal(count_batches(f, &q), 5);
    q = any_batch;
    q.node = "node3";
    assert_int_equal(count_batches(f, &q), 5);
    q.node = "node1";
    q.kind = 1;
    assert_int_equal(count_batches(f, &q), 5);
    q = any_batch;
    q.user = "tester";
    q.since_ms = began;
    assert_int_equal(count_batches(f, &q), 10);
    q.until_ms = began;
    assert_int_equal(count_batches(f, &q), 0);

    assert_int_equal(reader_batches(f->r, &any_batch, 8, 1, 3, &b, &n, &total, NULL), 0);
    assert_int_equal(n, 3);
    assert_int_equal(total, 10);
    assert_int_equal(b[0].number, 6);
    assert_int_equal(b[2].number, 4);
    batches_free(b, n);

    struct strv commands = STRV_INIT;
    assert_int_equal(reader_commands(f->r, 10, &commands, NULL), 0);
    assert_int_equal(commands.n, 2);
    assert_string_equal(commands.v[0], "df -h");
    strv_clear(&commands);
}

/* Positions 0 .. 11 are node12 .. node1. By position: 0-3 succeed, 4-6 exit 2, 7 timeout,
 * 8 cancelled, 9 runs, 10 and 11 wait. */
static int64_t mixed_batch(struct fixture *f)
{
    int64_t number = make_batch(f, 12, "mixed");

    for (uint32_t i = 0; i < 10; i++)
        emit_claim(f, number, i);
    for (uint32_t i = 0; i < 4; i++)
        emit_finish(f, number, i, 0, i == 3 ? "\nThird line\n" : "same\n", NULL);
    for (uint32_t i = 4; i < 7; i++)
        emit_finish(f, number, i, 2, "same\n", "Oops oops\n");
    emit_failure(f, number, 7, REASON_TIMEOUT, "command: 5 s");
    emit_failure(f, number, 8, REASON_CANCELLED, "Cancelled by user");
    WAIT_FOR(f, finished, 9);
    WAIT_FOR(f, granted, 10);
    return number;
}

/* The positions of a page, as text. */
static char *page(struct fixture *f, int64_t number, const struct exec_filter *filter,
                  enum exec_sort sort, bool reverse, size_t offset, size_t limit, size_t want)
{
    struct execution *x;
    size_t n, total;
    struct err e = ERR_INIT;
    struct strv v = STRV_INIT;

    if (reader_executions(f->r, number, filter, sort, reverse, offset, limit, &x, &n, &total, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(total, want);
    for (size_t i = 0; i < n; i++)
        strv_push_own(&v, x_asprintf("%u", x[i].position));
    executions_free(x, n);
    char *text = strv_join(&v, " ");
    strv_clear(&v);
    return text;
}

#define PAGE(want, total, ...)                                                                 \
    do {                                                                                       \
        char *page_ = page(f, number, __VA_ARGS__, total);                                     \
        assert_string_equal(page_, want);                                                      \
        free(page_);                                                                           \
    } while (0)

static void test_pages(void **state)
{
    struct fixture *f = *state;
    struct exec_filter q = EXEC_FILTER_ANY;

    fixture_open(f);
    int64_t number = mixed_batch(f);
    PAGE("11 10 9 8 7 6 5 4 3 2 1 0", 12, &any, SORT_NAME, false, 0, 100);
    PAGE("0 1 2", 12, &any, SORT_NAME, true, 0, 3);
    PAGE("2 1 0", 12, &any, SORT_NAME, false, 9, 100);
    PAGE("", 12, &any, SORT_NAME, false, 12, 5);
    PAGE("4 5", 12, &any, SORT_POSITION, false, 4, 2);
    PAGE("7 6", 12, &any, SORT_POSITION, true, 4, 2);
    PAGE("8 7 6 5 4 9 11 10 3 2 1 0", 12, &any, SORT_STATUS, false, 0, 100);
    PAGE("3 2 1", 12, &any, SORT_STATUS, true, 0, 3);
    PAGE("0 1 2 3 4 5 6 7 8 9 10 11", 12, &any, SORT_FINISHED, false, 0, 100);
    PAGE("11 10", 12, &any, SORT_DURATION, false, 10, 2);
    PAGE("11 10", 12, &any, SORT_DURATION, true, 10, 2);
    PAGE("9 8 7 6 5 4 3 2 1 0 11 10", 12, &any, SORT_ACTIVITY, false, 0, 100);
    PAGE("10 11 0 1", 12, &any, SORT_ACTIVITY, true, 0, 4);
    q.status_mask = 1U << EXEC_FAILED;
    PAGE("8 7 6", 5, &q, SORT_NAME, false, 0, 3);
    q.reason_mask = 1U << REASON_TIMEOUT | 1U << REASON_CANCELLED;
    PAGE("7 8", 2, &q, SORT_POSITION, false, 0, 9);
    q = any;
    q.rc_set = true;
    q.rc = 2;
    PAGE("4 5 6", 3, &q, SORT_POSITION, false, 0, 9);
    q = any;
    q.text = "node1";
    PAGE("11 2 1 0", 4, &q, SORT_NAME, false, 0, 9);
    q.text = "by user";
    PAGE("8", 1, &q, SORT_NAME, false, 0, 9);
    q = any;
    q.node = "node9";
    PAGE("3", 1, &q, SORT_NAME, false, 0, 9);

    struct execution *x;
    size_t n;
    assert_int_equal(reader_finished_since(f->r, number, 7, 10, &x, &n, NULL), 0);
    assert_int_equal(n, 2);
    assert_int_equal(x[0].position, 7);
    executions_free(x, n);
    struct strv names = STRV_INIT;
    assert_int_equal(reader_nodes(f->r, number, &names, NULL), 0);
    assert_int_equal(names.n, 12);
    assert_string_equal(names.v[0], "node12");
    strv_clear(&names);
    struct err e = ERR_INIT;
    assert_int_equal(reader_nodes(f->r, 77, &names, &e), -ERR_NOT_FOUND);
    err_clear(&e);
}

static void by_result(struct fixture *f, int64_t number, const char *what, size_t want)
{
    struct nodeset *set = nodeset_new();
    struct err e = ERR_INIT;

    if (reader_nodes_by_result(f->r, number, what, set, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(nodeset_count(set), want);
    nodeset_free(set);
}

static void test_by_result(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;

    fixture_open(f);
    int64_t number = mixed_batch(f);
    by_result(f, number, NULL, 12);
    by_result(f, number, "success", 4);
    by_result(f, number, "failed", 5);
    by_result(f, number, "timeout", 1);
    by_result(f, number, "rc=2", 3);
    by_result(f, number, "rc=0", 4);
    emit_failure(f, number, 11, REASON_SKIPPED, "budget");
    WAIT_FOR(f, finished, 10);
    by_result(f, number, "failed", 5);
    by_result(f, number, "skipped", 1);
    struct nodeset *set = nodeset_new();
    assert_int_equal(reader_nodes_by_result(f->r, number, "broken", set, &e), -ERR_VALIDATION);
    assert_non_null(strstr(e.msg, "broken"));
    assert_int_equal(reader_nodes_by_result(f->r, number, "rc=x", set, &e), -ERR_VALIDATION);
    assert_int_equal(reader_nodes_by_result(f->r, number, "", set, &e), -ERR_VALIDATION);
    err_clear(&e);
    nodeset_free(set);
}

static void test_classes_and_search(void **state)
{
    struct fixture *f = *state;
    struct output_class *c;
    struct exec_filter q = EXEC_FILTER_ANY;
    size_t n, total, nodes, hits;
    bool partial;

    fixture_open(f);
    int64_t number = mixed_batch(f);
    assert_int_equal(reader_classes(f->r, number, 0, 10, &c, &n, &total, NULL), 0);
    assert_int_equal(n, 5);
    assert_int_equal(total, 5);
    assert_int_equal(c[0].count, 3);
    assert_string_equal(c[0].nodes, "node[6-8]");
    assert_int_equal(c[0].reason, REASON_EXIT);
    assert_int_equal(c[0].exit_code, 2);
    assert_string_equal(c[0].first_line, "same");
    assert_string_equal(c[1].nodes, "node[10-12]");
    assert_int_equal(c[1].status, EXEC_SUCCESS);
    assert_string_equal(c[2].nodes, "node4");
    assert_string_equal(c[2].first_line, "Cancelled by user");
    assert_string_equal(c[4].first_line, "Third line");
    q.class_set = true;
    q.class_exit = c[1].exit_code;
    q.class_reason = (int) c[1].reason;
    q.class_out[0] = c[1].out_id[0];
    q.class_out[1] = c[1].out_id[1];
    PAGE("2 1 0", 3, &q, SORT_NAME, false, 0, 9);
    classes_free(c, n);
    assert_int_equal(reader_classes(f->r, number, 4, 10, &c, &n, &total, NULL), 0);
    assert_int_equal(n, 1);
    classes_free(c, n);

    assert_int_equal(reader_search(f->r, number, "oops", &nodes, &hits, &partial, NULL), 0);
    assert_int_equal(nodes, 3);
    assert_int_equal(hits, 6);
    assert_false(partial);
    assert_int_equal(reader_search(f->r, number, "Oops", &nodes, &hits, &partial, NULL), 0);
    assert_int_equal(hits, 3);
    assert_int_equal(reader_search(f->r, number, "same", &nodes, &hits, &partial, NULL), 0);
    assert_int_equal(nodes, 6);
    assert_int_equal(reader_search(f->r, number, "absent", &nodes, &hits, &partial, NULL), 0);
    assert_int_equal(nodes + hits, 0);
}

/* A hit that lies across two chunks is found, once. */
static void test_search_across_chunks(void **state)
{
    struct fixture *f = *state;
    size_t nodes, hits;
    bool partial;

    fixture_open(f);
    int64_t number = make_batch(f, 1, "x");
    emit_claim(f, number, 0);
    assert_true(emit_output(f, number, 0, 0, "aaNEE", 5));
    assert_true(emit_output(f, number, 0, 0, "D", 1));
    assert_true(emit_output(f, number, 0, 0, "LEneedle nee", 12));
    emit_finish(f, number, 0, 0, NULL, NULL);
    WAIT_FOR(f, finished, 1);
    assert_int_equal(reader_search(f->r, number, "needle", &nodes, &hits, &partial, NULL), 0);
    assert_int_equal(nodes, 1);
    assert_int_equal(hits, 2);
    assert_int_equal(reader_search(f->r, number, "NEEDLE", &nodes, &hits, &partial, NULL), 0);
    assert_int_equal(hits, 1);
}

static void test_nodes_and_percentiles(void **state)
{
    struct fixture *f = *state;
    const char *names[] = {"node2", "never", "node30"};
    struct execution last[3] = {{0}};
    struct node_run *runs;
    size_t n, total;
    int64_t p50, p95;

    fixture_open(f);
    finish_batch(f, make_batch(f, 30, "first"), 30, 0);
    finish_batch(f, make_batch(f, 2, "second"), 2, 1);
    assert_int_equal(reader_node_runs(f->r, "node2", 0, 0, 10, &runs, &n, &total, NULL), 0);
    assert_int_equal(n, 2);
    assert_int_equal(total, 2);
    assert_string_equal(runs[0].action, "second");
    assert_int_equal(runs[1].x.batch, 1);
    node_runs_free(runs, n);
    assert_int_equal(reader_node_runs(f->r, "node2", 2, 0, 10, &runs, &n, &total, NULL), 0);
    assert_int_equal(n, 1);
    assert_int_equal(total, 2);
    assert_string_equal(runs[0].action, "first");
    node_runs_free(runs, n);
    assert_int_equal(reader_node_runs(f->r, "node2", 1, 0, 10, &runs, &n, &total, NULL), 0);
    assert_int_equal(n, 0);
    node_runs_free(runs, n);
    assert_int_equal(reader_last_runs(f->r, names, 3, last, NULL), 0);
    assert_int_equal(last[0].batch, 2);
    assert_int_equal(last[0].status, EXEC_FAILED);
    assert_int_equal(last[1].batch, 0);
    assert_int_equal(last[2].batch, 1);
    for (size_t i = 0; i < 3; i++)
        execution_clear(&last[i]);
    assert_int_equal(reader_percentiles(f->r, 1, &p50, &p95, NULL), 0);
    assert_int_equal(p50, 7);
    assert_int_equal(p95, 7);
    assert_int_equal(reader_percentiles(f->r, 2, &p50, &p95, NULL), 0);
    assert_int_equal(p50, -1);
}

static void test_snapshot(void **state)
{
    struct fixture *f = *state;
    struct execution *x;
    struct batch b;
    size_t n, total;
    struct err e = ERR_INIT;

    struct reader *r = reader_open(f->path, &e);
    assert_int_equal(reader_begin_snapshot(r, &e), 0); /* there is no database yet */
    reader_end_snapshot(r);
    fixture_open(f);
    int64_t number = make_batch(f, 3, "one");
    assert_int_equal(reader_begin_snapshot(r, &e), 0);
    finish_batch(f, number, 3, 0);
    make_batch(f, 1, "two");
    assert_int_equal(reader_batch(r, number, &b, &e), 0);
    assert_int_equal(b.stats.queued, 3);
    batch_clear(&b);
    assert_int_equal(reader_batch(r, number + 1, &b, &e), -ERR_NOT_FOUND);
    err_clear(&e);
    const struct exec_filter queued = {.status_mask = 1u << EXEC_QUEUED};
    assert_int_equal(reader_executions(r, number, &queued, SORT_STATUS, false, 0, 10, &x, &n,
                                       &total, &e), 0);
    assert_int_equal(n, 3);
    assert_int_equal(total, 3);
    executions_free(x, n);
    reader_end_snapshot(r);
    assert_int_equal(reader_batch(r, number, &b, &e), 0);
    assert_int_equal(b.stats.success, 3);
    batch_clear(&b);
    assert_int_equal(reader_batch(r, number + 1, &b, &e), 0);
    batch_clear(&b);
    reader_close(r);
}

static void expect_refused(struct fixture *f, const char *word)
{
    struct err e = ERR_INIT;

    assert_null(reader_open(f->path, &e));
    assert_non_null(strstr(e.msg, f->path));
    assert_non_null(strstr(e.msg, word));
    err_clear(&e);
    assert_null(writer_open(f->path, NULL, NULL, &e));
    assert_int_equal(e.code, ERR_STORE);
    assert_non_null(strstr(e.msg, f->path));
    assert_non_null(strstr(e.msg, word));
    err_clear(&e);
}

static void test_newer_version(void **state)
{
    struct fixture *f = *state;
    struct sql s;

    fixture_open(f);
    fixture_close(f);
    assert_int_equal(sql_open(&s, f->path, SQLITE_OPEN_READWRITE), SQLITE_OK);
    assert_int_equal(sql_exec(&s, "PRAGMA user_version=77"), SQLITE_OK);
    sql_close(&s);
    expect_refused(f, "77");
    /* Another program's database is left alone. */
    assert_int_equal(sql_open(&s, f->path, SQLITE_OPEN_READWRITE), SQLITE_OK);
    assert_int_equal(sql_exec(&s, "PRAGMA application_id=5"), SQLITE_OK);
    sql_close(&s);
    expect_refused(f, "not one of muster");
}

/* One of an older muster is brought up to date by a reader too. */
static void test_older_version(void **state)
{
    struct fixture *f = *state;
    struct execution x;
    struct sql s;

    fixture_open(f);
    int64_t batch = make_batch(f, 3, "first");
    finish_batch(f, batch, 3, 0);
    reader_close(X_STEAL(f->r));
    fixture_close(f);
    assert_int_equal(sql_open(&s, f->path, SQLITE_OPEN_READWRITE), SQLITE_OK);
    assert_int_equal(sql_exec(&s, "ALTER TABLE executions DROP COLUMN bytes_done;"
                                  "ALTER TABLE executions DROP COLUMN bytes_total;"
                                  "ALTER TABLE executions DROP COLUMN note;"
                                  "ALTER TABLE batch_executions DROP COLUMN paused;"
                                  "ALTER TABLE batch_executions DROP COLUMN step_titles;"
                                  "ALTER TABLE executions DROP COLUMN step;"
                                  "DROP TABLE execution_steps; DROP TABLE node_facts;"
                                  "DROP TABLE saved_targets; DROP TABLE notes;"
                                  "PRAGMA user_version=1"), SQLITE_OK);
    sql_close(&s);
    struct err e = ERR_INIT;
    struct reader *r = reader_open(f->path, &e);
    assert_non_null(r);
    assert_int_equal(reader_execution(r, batch, 2, &x, &e), 0);
    assert_int_equal(x.bytes_total, 0);
    execution_clear(&x);
    reader_close(r);
}

static void test_damaged(void **state)
{
    struct fixture *f = *state;
    char junk[20000];

    fixture_open(f);
    finish_batch(f, make_batch(f, 30, "first"), 30, 0);
    /* The writer last: it moves the log into the file, which would hide the damage otherwise. */
    reader_close(X_STEAL(f->r));
    fixture_close(f);
    FILE *out = fopen(f->path, "r+");
    memset(junk, 'z', sizeof junk);
    assert_int_equal(fwrite(junk, 1, sizeof junk, out), sizeof junk);
    fclose(out);
    expect_refused(f, ".recover");
}

static void test_paths(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    char path[160];

    snprintf(path, sizeof path, "%s/a/b/c.db", f->dir);
    assert_int_equal(store_check_path(path, &e), 0);
    struct stat st;
    snprintf(path, sizeof path, "%s/a/b", f->dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(store_check_path("/dev/null/x/y.db", &e), -ERR_STORE);
    assert_non_null(strstr(e.msg, "--db"));
    err_clear(&e);
    setenv("MUSTER_DB", "/some/where.db", 1);
    char *p = store_default_path();
    assert_string_equal(p, "/some/where.db");
    free(p);
    unsetenv("MUSTER_DB");
    setenv("XDG_STATE_HOME", "/state", 1);
    p = store_default_path();
    assert_string_equal(p, "/state/muster/muster.db");
    free(p);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_missing_then_made),    TEST(test_resolve),
        TEST(test_history),              TEST(test_pages),
        TEST(test_by_result),            TEST(test_classes_and_search),
        TEST(test_search_across_chunks), TEST(test_snapshot),
        TEST(test_nodes_and_percentiles),
        TEST(test_newer_version),        TEST(test_older_version),
        TEST(test_damaged),
        TEST(test_paths),
    };
    return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
