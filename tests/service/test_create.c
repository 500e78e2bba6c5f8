/* SPDX-License-Identifier: Apache-2.0 */
/* Review and create: what is refused leaves nothing behind; what is made is folded, in order. */
#include "fixture.h"

#include "muster/core/json.h"

#include <stdio.h>
#include <unistd.h>

static void assert_nodes(const struct strv *got, const char *want)
{
    CLEANUP_FREE char *line = strv_join(got, " ");

    assert_string_equal(line, want);
}

/* --- review --- */

static void test_direct_nodes_first_duplicates_folded(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    struct batch_review v;

    ask(&r, "true", LIST("n05", "db1", "n02", "n05", "n02"), LIST("both", "db", "both"));
    assert_int_equal(service_review(f->s, &r, &v, &f->e), 0);
    assert_nodes(&v.nodes, "n05 db1 n02 n01 n03 n04 db2");
    assert_nodes(&v.groups, "both db");
    assert_string_equal(v.folded, "db[1-2],n[01-05]");
    assert_int_equal(v.warnings.n, 0);
    batch_review_clear(&v);
    /* Once more over its own result changes nothing. */
    assert_int_equal(service_review(f->s, &r, &v, &f->e), 0);
    struct batch_request again;
    struct batch_review w;
    ask(&again, "true", (const char *const *) v.nodes.v, LIST("both"));
    assert_int_equal(service_review(f->s, &again, &w, &f->e), 0);
    CLEANUP_FREE char *first = strv_join(&v.nodes, " ");
    assert_nodes(&w.nodes, first);
    batch_review_clear(&v);
    batch_review_clear(&w);
    assert_int_equal(count_batches(f), 0);
}

static void test_groups_of_an_expanded_request_are_only_kept(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    struct batch b;

    ask(&r, "true", LIST("n01"), LIST("web"));
    r.expanded = true;
    int64_t n = create(f, &r);
    wait_idle(f->s);
    get_batch(f, n, &b);
    assert_int_equal(b.stats.total, 1);
    assert_nodes(&b.target_groups, "web");
    assert_true(b.single);
    batch_clear(&b);
}

static void test_review_warns(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    struct batch_review v;
    struct strv before = STRV_INIT;

    strv_push(&before, "said before");
    ask(&r, "true", LIST("n01"), LIST("nosuch", "web"));
    r.warnings = &before;
    assert_int_equal(service_review(f->s, &r, &v, &f->e), 0);
    assert_int_equal(v.warnings.n, 2);
    assert_string_equal(v.warnings.v[0], "said before");
    assert_non_null(strstr(v.warnings.v[1], "@nosuch"));
    assert_nodes(&v.groups, "web");
    assert_nodes(&v.nodes, "n01 n02 n03 n04");
    batch_review_clear(&v);

    /* The same warnings are kept with the batch. */
    struct batch_created c;
    struct batch b;
    assert_int_equal(batch_create(f->s, &r, &c, &f->e), 0);
    assert_int_equal(c.warnings.n, 2);
    get_batch(f, c.number, &b);
    assert_int_equal(b.warnings.n, 2);
    assert_string_equal(b.warnings.v[1], c.warnings.v[1]);
    batch_clear(&b);
    batch_created_clear(&c);
    strv_clear(&before);
    wait_idle(f->s);
}

static void test_review_names_what_asks_to_be_confirmed(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    struct batch_review v;
    struct batch_created c;

    ask(&r, "true", LIST("n01", "key1"), NULL);
    r.fanout = 7;
    assert_int_equal(service_review(f->s, &r, &v, &f->e), 0);
    assert_nodes(&v.protected_groups, "prod");
    assert_false(v.confirm);
    assert_int_equal(v.fanout, 7);
    batch_review_clear(&v);
    int rc = batch_create(f->s, &r, &c, &f->e);
    assert_refused(f, rc, ERR_FORBIDDEN, "--expect 2");
    assert_int_equal(count_batches(f), 0);
    r.confirmed = true;
    assert_int_equal(create(f, &r), 1);
    wait_idle(f->s);
}

static void test_more_nodes_than_were_agreed_to_are_refused(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    struct batch_review v;
    struct batch_created c;

    ask(&r, "true", LIST("n01"), LIST("db"));
    assert_int_equal(service_review(f->s, &r, &v, &f->e), 0);
    r.expect_count = v.nodes.n;
    r.confirmed = true;
    batch_review_clear(&v);
    write_file(f, "inventory.yaml", "defaults: {transport: local}\nnodes: {n01: {}}\n"
                                    "groups: {db: {nodes: 'db[1-5]'}}\n");
    int rc = batch_create(f->s, &r, &c, &f->e);
    assert_refused(f, rc, ERR_VALIDATION, "3 then, 6 now");
    assert_int_equal(count_batches(f), 0);
    r.expect_count = 6;
    assert_int_equal(create(f, &r), 1);
    wait_idle(f->s);
}

static void test_rules(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    struct batch_review v;
    struct batch_created c;

    CLEANUP_FREE char *path = x_asprintf("%s/muster.yaml", f->dir);
    write_file(f, "muster.yaml", "deny: ['rm -rf']\nconfirm: [reboot]\nfanout: 3\n");
    setenv("MUSTER_CONFIG", path, 1);
    fixture_reopen(f);
    unsetenv("MUSTER_CONFIG");

    ask(&r, "echo; rm -rf /", LIST("n01"), NULL);
    r.confirmed = true;
    int rc = service_review(f->s, &r, &v, &f->e);
    assert_refused(f, rc, ERR_FORBIDDEN, "rm -rf");
    rc = batch_create(f->s, &r, &c, &f->e);
    assert_refused(f, rc, ERR_FORBIDDEN, "rm -rf");

    ask(&r, "echo reboot", LIST("n01"), NULL);
    assert_int_equal(service_review(f->s, &r, &v, &f->e), 0);
    assert_true(v.confirm);
    assert_int_equal(v.fanout, 3);
    batch_review_clear(&v);
    rc = batch_create(f->s, &r, &c, &f->e);
    assert_refused(f, rc, ERR_FORBIDDEN, "-y");
    assert_int_equal(count_batches(f), 0);
    r.confirmed = true;
    create(f, &r);
    wait_idle(f->s);
}

/* --- what is refused --- */

static void test_refused(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    struct batch_created c;
    CLEANUP_FREE char *longest = x_array(NULL, COMMAND_MAX + 2, 1);

    memset(longest, 'x', COMMAND_MAX + 1);
    longest[COMMAND_MAX + 1] = '\0';
    const char *const none[] = {NULL};
    const struct {
        const char *action;
        const char *const *nodes, *const *groups;
        enum err_code code;
        const char *word;
    } rows[] = {
        {"", LIST("n01"), NULL, ERR_VALIDATION, "no command"},
        {" \n\t", LIST("n01"), NULL, ERR_VALIDATION, "no command"},
        {NULL, LIST("n01"), NULL, ERR_VALIDATION, "no command"},
        {longest, LIST("n01"), NULL, ERR_VALIDATION, "120001"},
        {"echo \xff", LIST("n01"), NULL, ERR_VALIDATION, "UTF-8"},
        {"true", none, NULL, ERR_VALIDATION, "no target"},
        {"true", none, LIST("nosuch"), ERR_VALIDATION, "@nosuch"},
        {"true", LIST("n01", "zz1", "zz2"), NULL, ERR_INVALID_NODES, "zz1,zz2"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ask(&r, rows[i].action, rows[i].nodes, rows[i].groups);
        int rc = batch_create(f->s, &r, &c, &f->e);
        if (rows[i].code == ERR_INVALID_NODES)
            assert_string_equal(f->e.details, "zz1\nzz2");
        assert_refused(f, rc, rows[i].code, rows[i].word);
    }
    ask(&r, "true", LIST("n01"), NULL);
    r.fanout = FANOUT_MAX + 1;
    assert_refused(f, batch_create(f->s, &r, &c, &f->e), ERR_VALIDATION, "10001");
    r.fanout = 0;
    r.retries = 101;
    assert_refused(f, batch_create(f->s, &r, &c, &f->e), ERR_VALIDATION, "101");
    assert_true(access(f->db, F_OK) != 0);
}

static void test_read_only(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    struct batch_created c;
    struct cancel_answer a;

    f->options.read_only = true;
    fixture_reopen(f);
    ask(&r, "true", LIST("n01"), NULL);
    assert_refused(f, batch_create(f->s, &r, &c, &f->e), ERR_FORBIDDEN, "read-only");
    assert_refused(f, batch_cancel(f->s, 1, &a, &f->e), ERR_FORBIDDEN, "read-only");
    assert_refused(f, batch_delete(f->s, 1, &f->e), ERR_FORBIDDEN, "read-only");
    assert_true(access(f->db, F_OK) != 0);
}

static void test_a_store_that_cannot_be_written_keeps_no_room(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    struct batch_created c;

    f->options.db_path = f->dir; /* a folder */
    fixture_reopen(f);
    ask(&r, "true", LIST("n01"), NULL);
    for (int i = 0; i < 3; i++)
        assert_refused(f, batch_create(f->s, &r, &c, &f->e), ERR_STORE, f->dir);
    assert_true(service_idle(f->s));
}

/* --- the queue --- */

static void test_full_queue_writes_nothing(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    struct batch_created c;

    f->options.engine_fanout = 2;
    f->options.max_queue = 3;
    fixture_reopen(f);
    ask(&r, "true", LIST("n01", "n02", "n03", "n04", "n05", "n06"), NULL);
    assert_refused(f, batch_create(f->s, &r, &c, &f->e), ERR_QUEUE_FULL, "limit 3");
    assert_int_equal(count_batches(f), 0);

    /* Two run and three wait: that is all there is room for. */
    int64_t n = create_simple(f, HELD, LIST("n01", "n02", "n03", "n04", "n05"));
    wait_running(f, n, 2);
    ask(&r, "true", LIST("n06"), NULL);
    int rc = batch_create(f->s, &r, &c, &f->e);
    assert_non_null(strstr(f->e.msg, "2 running"));
    assert_refused(f, rc, ERR_QUEUE_FULL, "3 queued");
    assert_int_equal(count_batches(f), 1);

    open_gate(f);
    wait_idle(f->s);
    assert_int_equal(stats_of(f, n).success, 5);
    /* What was refused holds no place. */
    n = create_simple(f, "true", LIST("n01", "n02", "n03", "n04", "n05"));
    wait_idle(f->s);
    assert_int_equal(stats_of(f, n).success, 5);
    assert_int_equal(count_batches(f), 2);
}

static void test_first_in_first_out(void **state)
{
    struct fixture *f = *state;

    f->options.engine_fanout = 1;
    fixture_reopen(f);
    int64_t first = create_simple(f, HELD, LIST("n01", "n02"));
    int64_t second = create_simple(f, "true", LIST("n03", "n04"));
    wait_running(f, first, 1);
    assert_int_equal(stats_of(f, second).queued, 2);
    open_gate(f);
    wait_idle(f->s);
    struct batch a, b;
    get_batch(f, first, &a);
    get_batch(f, second, &b);
    assert_true(a.completed_ms <= b.started_ms);
    assert_int_equal(b.stats.success, 2);
    batch_clear(&a);
    batch_clear(&b);
}

struct told {
    struct fixture *f;
    int64_t number;
    size_t targets;
    unsigned queued;
};

static void on_written(void *ctx, int64_t number, size_t targets)
{
    struct told *t = ctx;

    t->number = number;
    t->targets = targets;
    t->queued = stats_of(t->f, number).queued;
}

static void test_all_is_written_before_anything_runs(void **state)
{
    struct fixture *f = *state;
    struct told t = {.f = f};
    struct batch_request r;

    ask(&r, "true", LIST("n01", "n02", "n03"), NULL);
    r.on_written = on_written;
    r.on_written_ctx = &t;
    assert_int_equal(create(f, &r), 1);
    assert_int_equal(t.number, 1);
    assert_int_equal(t.targets, 3);
    assert_int_equal(t.queued, 3);
    wait_idle(f->s);
}

static void test_the_answer(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    struct batch_created c;
    char want[64];

    ask(&r, "true", LIST("n02", "n01"), NULL);
    assert_int_equal(batch_create(f->s, &r, &c, &f->e), 0);
    struct json *j = batch_created_json(&c);
    assert_int_equal(json_int(json_get(j, "targetCount")), 2);
    assert_int_equal(json_int(json_get(j, "number")), c.number);
    assert_string_equal(json_str(json_get(j, "batchId")), c.id);
    assert_string_equal(json_str(json_at(json_get(j, "expandedNodeIds"), 0)), "n02");
    snprintf(want, sizeof want, "%s-0002", c.id);
    assert_string_equal(json_str(json_at(json_get(j, "executionIds"), 1)), want);
    json_free(j);
    batch_created_clear(&c);
    wait_idle(f->s);
}

static void test_a_larger_fanout_later(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    struct batch_created c;

    f->options.engine_fanout = 1;
    fixture_reopen(f);
    int64_t n = create_simple(f, "true", LIST("n01"));
    wait_idle(f->s);
    /* Nothing runs: the engine starts anew with it. */
    ask(&r, HELD, LIST("n01", "n02", "n03"), NULL);
    r.fanout = 3;
    n = create(f, &r);
    wait_running(f, n, 3);
    /* Something runs: the batch runs with what there is, and says so. */
    r.fanout = 9;
    assert_int_equal(batch_create(f->s, &r, &c, &f->e), 0);
    assert_int_equal(c.warnings.n, 1);
    assert_non_null(strstr(c.warnings.v[0], "fanout 9"));
    batch_created_clear(&c);
    open_gate(f);
    wait_idle(f->s);
    assert_int_equal(stats_of(f, n + 1).success, 3);
}

static void test_the_inventory_is_read_again_when_it_changes(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    struct batch_created c;

    ask(&r, "true", LIST("fresh"), NULL);
    assert_refused(f, batch_create(f->s, &r, &c, &f->e), ERR_INVALID_NODES, "fresh");
    write_file(f, "inventory.yaml", "nodes: {fresh: {transport: local}}\n");
    create(f, &r);
    wait_idle(f->s);
    write_file(f, "inventory.yaml", "nodes: [broken: {]\n");
    assert_refused(f, batch_create(f->s, &r, &c, &f->e), ERR_VALIDATION, "inventory.yaml");
    assert_int_equal(count_batches(f), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_direct_nodes_first_duplicates_folded),
        TEST(test_groups_of_an_expanded_request_are_only_kept),
        TEST(test_review_warns),
        TEST(test_review_names_what_asks_to_be_confirmed),
        TEST(test_more_nodes_than_were_agreed_to_are_refused),
        TEST(test_rules),
        TEST(test_refused),
        TEST(test_read_only),
        TEST(test_a_store_that_cannot_be_written_keeps_no_room),
        TEST(test_full_queue_writes_nothing),
        TEST(test_first_in_first_out),
        TEST(test_all_is_written_before_anything_runs),
        TEST(test_the_answer),
        TEST(test_a_larger_fanout_later),
        TEST(test_the_inventory_is_read_again_when_it_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
