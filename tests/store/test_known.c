/* SPDX-License-Identifier: Apache-2.0 */
/* What is known about nodes, and said of nodes and batches; nodes by their class of results. */
#include "fixture.h"

#include "sql.h"

#include "muster/base/clock.h"
#include "muster/base/strbuf.h"
#include "muster/core/nodeset.h"

#include <string.h>

static void learn(struct fixture *f, int64_t batch, uint32_t position, const char *facts,
                  int64_t when)
{
    size_t want = fixture_counts(f).finished + 1;
    struct event *ev = event_new(EVENT_FINISH, batch, position);

    ev->status = EXEC_SUCCESS;
    ev->exit_code = 0;
    ev->wall_ms = when;
    ev->facts = x_strdup(facts);
    assert_true(writer_emit(f->w, ev));
    WAIT_FOR(f, finished, want);
}

static void check_facts(struct fixture *f, const char *node, const char *want, int64_t learned,
                        int64_t batch)
{
    struct node_facts *v;
    size_t n;

    assert_int_equal(reader_facts(f->r, node, &v, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_string_equal(v[0].node, node);
    assert_string_equal(v[0].facts, want);
    assert_int_equal(v[0].learned_ms, learned);
    assert_int_equal(v[0].batch, batch);
    node_facts_free(v, n);
}

static void test_facts(void **state)
{
    struct fixture *f = *state;
    struct node_facts *v;
    size_t n;

    fixture_open(f);
    assert_int_equal(reader_facts(f->r, NULL, &v, &n, NULL), 0);
    assert_int_equal(n, 0);
    int64_t one = make_batch(f, 2, "facts"), two = make_batch(f, 1, "facts");
    emit_claim(f, one, 0);
    emit_claim(f, one, 1);
    emit_claim(f, two, 0);
    WAIT_FOR(f, granted, 3);
    learn(f, one, 0, "{\"os\":\"debian\"}", 1000); /* node2 */
    learn(f, one, 1, "{\"os\":\"alpine\"}", 2000); /* node1 */
    check_facts(f, "node1", "{\"os\":\"alpine\"}", 2000, one);
    learn(f, two, 0, "{\"os\":\"alpine\",\"v\":3}", 3000);
    check_facts(f, "node1", "{\"os\":\"alpine\",\"v\":3}", 3000, two);
    /* What comes too late is not believed. */
    learn(f, two, 0, "{}", 4000);
    check_facts(f, "node1", "{\"os\":\"alpine\",\"v\":3}", 3000, two);
    assert_int_equal(reader_facts(f->r, "node9", &v, &n, NULL), 0);
    assert_int_equal(n, 0);
    /* They outlive their batch. */
    assert_int_equal(writer_delete(f->w, one, NULL), 0);
    assert_int_equal(reader_facts(f->r, NULL, &v, &n, NULL), 0);
    assert_int_equal(n, 2);
    assert_string_equal(v[0].node, "node1");
    assert_string_equal(v[1].node, "node2");
    node_facts_free(v, n);
}

static void test_saved(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    struct saved_targets *v;
    size_t n;

    fixture_open(f);
    assert_int_equal(writer_save_targets(f->w, "odd", "web[1-9/2]", "ops", &e), 0);
    assert_int_equal(writer_save_targets(f->w, "canary", "web1", "ops", &e), 0);
    assert_int_equal(writer_save_targets(f->w, "canary", "web2,@db", "dev", &e), 0);
    assert_int_equal(reader_saved(f->r, NULL, &v, &n, &e), 0);
    assert_int_equal(n, 2);
    assert_string_equal(v[0].name, "canary");
    assert_string_equal(v[0].targets, "web2,@db");
    assert_string_equal(v[0].user_id, "dev");
    assert_true(v[0].saved_ms > 0);
    assert_string_equal(v[1].name, "odd");
    saved_targets_free(v, n);
    assert_int_equal(writer_save_targets(f->w, "odd", NULL, "ops", &e), 0);
    assert_int_equal(reader_saved(f->r, "odd", &v, &n, &e), 0);
    assert_int_equal(n, 0);
    assert_int_equal(writer_save_targets(f->w, "odd", NULL, "ops", &e), -ERR_NOT_FOUND);
    assert_non_null(strstr(e.msg, "'odd'"));
    err_clear(&e);
    assert_int_equal(reader_saved(f->r, "canary", &v, &n, &e), 0);
    assert_int_equal(n, 1);
    saved_targets_free(v, n);
}

static void test_notes(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    struct note *v;
    size_t n;

    fixture_open(f);
    int64_t batch = make_batch(f, 1, "true");
    emit_finish(f, batch, 0, 1, NULL, NULL);
    WAIT_FOR(f, finished, 1);
    assert_int_equal(writer_note(f->w, NULL, batch, "why it failed", "ops", &e), 0);
    assert_int_equal(writer_note(f->w, NULL, batch, "and again", "dev", &e), 0);
    assert_int_equal(writer_note(f->w, "node1", 0, "new disk", "ops", &e), 0);
    assert_int_equal(writer_note(f->w, NULL, batch + 1, "nothing", "ops", &e), -ERR_NOT_FOUND);
    err_clear(&e);
    assert_int_equal(reader_notes(f->r, NULL, batch, &v, &n, &e), 0);
    assert_int_equal(n, 2);
    assert_string_equal(v[0].text, "why it failed");
    assert_string_equal(v[1].user_id, "dev");
    assert_true(v[0].written_ms > 0);
    notes_free(v, n);
    assert_int_equal(writer_delete(f->w, batch, NULL), 0);
    assert_int_equal(reader_notes(f->r, NULL, batch, &v, &n, &e), 0);
    assert_int_equal(n, 0);
    assert_int_equal(reader_notes(f->r, "node1", 0, &v, &n, &e), 0);
    assert_int_equal(n, 1);
    assert_string_equal(v[0].text, "new disk");
    notes_free(v, n);
}

static void check_class(struct fixture *f, int64_t batch, size_t which, const char *want)
{
    struct nodeset *set = nodeset_new();
    struct err e = ERR_INIT;
    struct strbuf text;

    if (reader_nodes_by_class(f->r, batch, which, set, &e))
        fail_msg("%s", e.msg);
    strbuf_init(&text, 0);
    nodeset_fold(&text, set, 1000);
    assert_string_equal(text.s, want);
    strbuf_free(&text);
    nodeset_free(set);
}

/* In the order of reader_classes(): the largest first, of equal ones those that failed. */
static void test_by_class(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;

    fixture_open(f);
    int64_t batch = make_batch(f, 6, "x");
    for (uint32_t i = 0; i < 6; i++)
        emit_claim(f, batch, i);
    emit_finish(f, batch, 0, 0, "a", NULL); /* node6 */
    emit_finish(f, batch, 1, 0, "b", NULL);
    emit_finish(f, batch, 2, 0, "b", NULL);
    emit_finish(f, batch, 3, 0, "b", NULL);
    emit_finish(f, batch, 4, 1, "a", NULL);
    WAIT_FOR(f, finished, 5);
    check_class(f, batch, 1, "node[3-5]");
    check_class(f, batch, 2, "node2");
    check_class(f, batch, 3, "node6");
    struct nodeset *set = nodeset_new();
    assert_int_equal(reader_nodes_by_class(f->r, batch, 4, set, &e), -ERR_VALIDATION);
    assert_non_null(strstr(e.msg, "3 classes"));
    err_clear(&e);
    assert_int_equal(reader_nodes_by_class(f->r, batch, 0, set, &e), -ERR_VALIDATION);
    err_clear(&e);
    assert_int_equal(reader_nodes_by_class(f->r, batch + 1, 1, set, &e), -ERR_NOT_FOUND);
    err_clear(&e);
    assert_int_equal(nodeset_count(set), 0);
    nodeset_free(set);
}

/* A database as version 4 left it: read, written to, and its copies known as such. */
static void test_version_4(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    struct sql s;

    fixture_open(f);
    int64_t batch = make_batch(f, 1, "uptime");
    emit_claim(f, batch, 0);
    emit_finish(f, batch, 0, 0, "up", NULL);
    WAIT_FOR(f, finished, 1);
    fixture_close(f);
    assert_int_equal(sql_open(&s, f->path, SQLITE_OPEN_READWRITE), SQLITE_OK);
    assert_int_equal(sql_exec(&s, "ALTER TABLE batch_executions DROP COLUMN step_titles;"
                                  "ALTER TABLE executions DROP COLUMN step;"
                                  "DROP TABLE execution_steps; DROP TABLE node_facts;"
                                  "DROP TABLE saved_targets; DROP TABLE notes;"
                                  "UPDATE batch_executions SET type = 'task', action = 'push a b',"
                                  " parameters = '{\"copy\":{\"from\":\"a\"}}';"
                                  "PRAGMA user_version=4"), SQLITE_OK);
    sql_close(&s);
    f->r = reader_open(f->path, &e);
    if (!f->r)
        fail_msg("%s", e.msg);
    struct batch b = get_batch(f, batch);
    assert_int_equal(b.n_steps, 0);
    assert_true(b.is_copy);
    batch_clear(&b);
    struct execution x = get_execution(f, batch, 0);
    assert_int_equal(x.step, 0);
    assert_int_equal(x.out_size[0], 2);
    execution_clear(&x);
    struct step_stats *stats;
    size_t n;
    assert_int_equal(reader_step_stats(f->r, batch, &stats, &n, &e), 0);
    assert_int_equal(n, 0);
    reader_close(X_STEAL(f->r));
    fixture_open(f);
    assert_int_equal(writer_note(f->w, NULL, batch, "an old one", "ops", &e), 0);
    assert_int_equal(query_int_of(f, "PRAGMA user_version"), 5);
    check_counters(f, batch);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_facts),    TEST(test_saved),     TEST(test_notes),
        TEST(test_by_class), TEST(test_version_4),
    };
    return cmocka_run_group_tests_name("known", tests, NULL, NULL);
}
