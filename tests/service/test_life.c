/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a batch behind its creation: cancel from here and from elsewhere, rerun, delete, a
 * service that is closed while something runs. */
#include "fixture.h"

#include "muster/base/clock.h"

#include <poll.h>

static void check_row(struct fixture *f, int64_t batch, uint32_t position, enum reason reason,
                      enum remote_process remote)
{
    struct execution x;

    assert_int_equal(reader_execution(f->r, batch, position, &x, &f->e), 0);
    assert_int_equal(x.status, EXEC_FAILED);
    assert_int_equal(x.reason, reason);
    assert_int_equal(x.remote, remote);
    assert_non_null(x.error);
    assert_int_equal(x.started_ms == 0, reason == REASON_SKIPPED || remote == REMOTE_NONE);
    execution_clear(&x);
}

/* --- closing --- */

static void test_close_leaves_lost_and_skipped(void **state)
{
    struct fixture *f = *state;

    f->options.engine_fanout = 2;
    fixture_reopen(f);
    int64_t n = create_simple(f, HELD, LIST("n01", "n02", "n03", "n04"));
    wait_held(f, "n01");
    wait_held(f, "n02");
    assert_false(service_idle(f->s));
    service_close(f->s);
    f->s = NULL;
    struct batch b;
    get_batch(f, n, &b);
    assert_int_equal(b.status, BATCH_FAILED);
    assert_int_equal(b.owner, OWNER_NONE);
    assert_int_equal(b.stats.queued + b.stats.running, 0);
    assert_int_equal(b.stats.by_reason[REASON_LOST], 2);
    assert_int_equal(b.stats.by_reason[REASON_SKIPPED], 2);
    batch_clear(&b);
    check_row(f, n, 0, REASON_LOST, REMOTE_UNKNOWN);
    check_row(f, n, 1, REASON_LOST, REMOTE_UNKNOWN);
    check_row(f, n, 2, REASON_SKIPPED, REMOTE_NONE);
    check_row(f, n, 3, REASON_SKIPPED, REMOTE_NONE);
    /* Nothing of it runs again. */
    fixture_reopen(f);
    assert_int_equal(service_settle(f->s, &f->e), 0);
    assert_int_equal(stats_of(f, n).failed, 4);
}

static void test_close_at_any_moment(void **state)
{
    struct fixture *f = *state;

    f->options.engine_fanout = 8;
    for (int i = 0; i < 30; i++) {
        fixture_reopen(f);
        int64_t n = create_simple(f, "echo out; echo err >&2",
                                  LIST("n01", "n02", "n03", "n04", "n05", "n06", "n07", "n08",
                                       "n09", "n10", "n11", "n12"));
        struct pollfd fd = {.fd = service_wake_fd(f->s), .events = POLLIN};
        poll(&fd, 1, i);
        service_close(f->s);
        f->s = NULL;
        struct batch_stats st = stats_of(f, n);
        assert_int_equal(st.total, 12);
        assert_int_equal(st.queued + st.running, 0);
        assert_int_equal(st.success + st.by_reason[REASON_LOST] + st.by_reason[REASON_SKIPPED], 12);
    }
}

static void test_abort_records_what_ran(void **state)
{
    struct fixture *f = *state;

    f->options.engine_fanout = 3;
    fixture_reopen(f);
    int64_t n = create_simple(f, HELD, LIST("n01", "n02", "n03"));
    wait_held(f, "n01");
    wait_held(f, "n02");
    wait_held(f, "n03");
    service_abort(f->s);
    wait_idle(f->s);
    /* Idle means committed. */
    struct batch_stats st = stats_of(f, n);
    assert_int_equal(st.by_reason[REASON_LOST], 3);
    assert_int_equal(st.running, 0);
}

/* --- cancel --- */

static void test_cancel(void **state)
{
    struct fixture *f = *state;
    struct cancel_answer a;

    f->options.engine_fanout = 2;
    fixture_reopen(f);
    int64_t n = create_simple(f, HELD, LIST("n01", "n02", "n03", "n04", "n05"));
    wait_held(f, "n01");
    wait_held(f, "n02");
    assert_int_equal(batch_cancel(f->s, n, &a, &f->e), 0);
    assert_int_equal(a.cancelled, 5);
    assert_int_equal(a.number, n);
    assert_false(a.ended);
    wait_idle(f->s);
    struct batch b;
    get_batch(f, n, &b);
    assert_int_equal(b.status, BATCH_CANCELLED);
    assert_int_equal(b.stats.by_reason[REASON_CANCELLED], 5);
    batch_clear(&b);
    check_row(f, n, 0, REASON_CANCELLED, REMOTE_STOPPED);
    check_row(f, n, 4, REASON_CANCELLED, REMOTE_NONE);
    assert_int_equal(batch_cancel(f->s, n, &a, &f->e), 0);
    assert_true(a.ended);
    assert_int_equal(a.cancelled, 0);
    assert_refused(f, batch_cancel(f->s, 99, &a, &f->e), ERR_NOT_FOUND, "99");
}

static void test_cancel_from_elsewhere(void **state)
{
    struct fixture *f = *state;
    struct cancel_answer a;

    f->options.engine_fanout = 2;
    fixture_reopen(f);
    int64_t n = create_simple(f, HELD, LIST("n01", "n02", "n03"));
    wait_running(f, n, 2);
    struct service *other = service_open(&f->options, &f->e);
    assert_non_null(other);
    int64_t asked = mono_ms(clock_system());
    assert_int_equal(batch_cancel(other, n, &a, &f->e), 0);
    assert_int_equal(a.cancelled, 3);
    /* The waiting ones are gone at once, the running ones as soon as their owner has seen it. */
    assert_int_equal(stats_of(f, n).queued, 0);
    wait_idle(f->s);
    assert_true(mono_ms(clock_system()) - asked < 10000);
    assert_int_equal(stats_of(f, n).by_reason[REASON_CANCELLED], 3);
    service_close(other);
}

static void test_a_cancel_while_it_ends(void **state)
{
    struct fixture *f = *state;
    struct cancel_answer a;

    for (int i = 0; i < 20; i++) {
        int64_t n = create_simple(f, "true", LIST("n01", "n02", "n03", "n04", "n05", "n06"));
        struct pollfd fd = {.fd = service_wake_fd(f->s), .events = POLLIN};
        poll(&fd, 1, i % 7);
        assert_int_equal(batch_cancel(f->s, n, &a, &f->e), 0);
        wait_idle(f->s);
        struct batch_stats st = stats_of(f, n);
        assert_int_equal(st.success + st.by_reason[REASON_CANCELLED], 6);
        assert_true(a.cancelled >= st.by_reason[REASON_CANCELLED]);
    }
}

/* --- rerun --- */

static void test_rerun_keeps_every_option(void **state)
{
    struct fixture *f = *state;
    static const char *const values[SETTING_COUNT] = {
        [SETTING_HOST] = NULL, /* belongs to the node, not to a run */
        [SETTING_TRANSPORT] = "ssh",
        [SETTING_JUMP] = "127.0.0.1:1", /* nothing listens there, and no name is looked up */
        [SETTING_PORT] = "2222",
        [SETTING_USER] = "joe",
        [SETTING_IDENTITY] = "/key,with comma",
        [SETTING_KNOWN_HOSTS] = "/known hosts",
        [SETTING_STRICT] = "accept-new",
        [SETTING_CONNECT_TIMEOUT] = "1.5",
        [SETTING_COMMAND_TIMEOUT] = "250ms",
    };
    struct batch_request r, again;
    struct rerun_hold *hold;
    struct strv options = STRV_INIT;

    ask(&r, "echo \"$MUSTER_NODE\"\n# second line", LIST("n02", "n01"), NULL);
    for (int id = 0; id < SETTING_COUNT; id++)
        if (values[id])
            assert_int_equal(setting_set(&r.over, id, values[id], &f->e), 0);
    assert_int_equal(setting_set(&r.over, SETTING_IDENTITY, "/second", &f->e), 0);
    strv_push(&options, "Compression=yes");
    r.ssh_options = &options;
    r.ssh_config = "/dev/null";
    r.fanout = 5;
    r.retries = 0;
    r.max_output = 12345;
    r.label = "note";
    r.any_host = true;
    r.live = true;
    int64_t n = create(f, &r);
    wait_idle(f->s);

    int rc = batch_rerun_request(f->s, n, RERUN_ALL, REASON_NONE, NULL, &again, &hold, &f->e);
    assert_int_equal(rc, 0);
    assert_string_equal(again.action, r.action);
    assert_int_equal(again.n_node_ids, 2);
    assert_string_equal(again.node_ids[0], "n02");
    for (int id = 0; id < SETTING_COUNT; id++) {
        CLEANUP_FREE char *was = setting_get(&r.over, id);
        CLEANUP_FREE char *is = setting_get(&again.over, id);
        assert_string_equal(is, was);
    }
    assert_int_equal(again.over.identity.n, 2);
    assert_string_equal(again.over.identity.v[0], "/key,with comma");
    assert_int_equal(again.over.connect_timeout_ms, 1500);
    assert_int_equal(again.over.command_timeout_ms, 250);
    assert_string_equal(again.ssh_config, r.ssh_config);
    assert_int_equal(again.ssh_options->n, 1);
    assert_string_equal(again.ssh_options->v[0], "Compression=yes");
    assert_int_equal(again.fanout, 5);
    assert_int_equal(again.retries, 0);
    assert_int_equal(again.max_output, 12345);
    assert_string_equal(again.label, "note");
    assert_true(again.any_host && again.live);
    assert_int_equal(again.rerun_of, n);
    /* And once more through the store. */
    int64_t m = create(f, &again);
    wait_idle(f->s);
    struct batch a, b;
    get_batch(f, n, &a);
    get_batch(f, m, &b);
    assert_string_equal(a.parameters, b.parameters);
    assert_int_equal(b.rerun_of, n);
    batch_clear(&a);
    batch_clear(&b);
    batch_request_clear(&again);
    batch_request_clear(&r);
    rerun_hold_free(hold);
    strv_clear(&options);
}

static void test_rerun_which(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    struct rerun_hold *hold;
    static const struct {
        enum rerun_which which;
        enum reason reason;
        size_t n;
        const char *first;
    } rows[] = {
        {RERUN_ALL, REASON_NONE, 3, "n03"},
        {RERUN_FAILED, REASON_NONE, 2, "n02"},
        {RERUN_REASON, REASON_EXIT, 1, "n01"},
        {RERUN_REASON, REASON_SIGNAL, 1, "n02"},
    };

    int64_t n = create_simple(f, "case $MUSTER_NODE in n01) exit 1;; n02) kill $$;; esac",
                              LIST("n03", "n02", "n01"));
    int rc = batch_rerun_request(f->s, n, RERUN_ALL, REASON_NONE, NULL, &r, &hold, &f->e);
    if (rc != 0) /* it still ran */
        assert_refused(f, rc, ERR_VALIDATION, "still runs");
    else
        rerun_hold_free(hold);
    wait_idle(f->s);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        rc = batch_rerun_request(f->s, n, rows[i].which, rows[i].reason, NULL, &r, &hold, &f->e);
        assert_int_equal(rc, 0);
        assert_int_equal(r.n_node_ids, rows[i].n);
        assert_string_equal(r.node_ids[0], rows[i].first);
        batch_request_clear(&r);
        rerun_hold_free(hold);
    }
    rc = batch_rerun_request(f->s, n, RERUN_SKIPPED, REASON_NONE, NULL, &r, &hold, &f->e);
    assert_refused(f, rc, ERR_VALIDATION, "skipped");
    rc = batch_rerun_request(f->s, 77, RERUN_ALL, REASON_NONE, NULL, &r, &hold, &f->e);
    assert_refused(f, rc, ERR_NOT_FOUND, "77");
}

/* --- delete --- */

static void test_delete(void **state)
{
    struct fixture *f = *state;

    int64_t n = create_simple(f, HELD, LIST("n01"));
    wait_running(f, n, 1);
    assert_refused(f, batch_delete(f->s, n, &f->e), ERR_FORBIDDEN, "run");
    open_gate(f);
    wait_idle(f->s);
    assert_int_equal(batch_delete(f->s, n, &f->e), 0);
    assert_int_equal(count_batches(f), 0);
    assert_refused(f, batch_delete(f->s, n, &f->e), ERR_NOT_FOUND, "1");
    /* Its number is not given to another. */
    assert_int_equal(create_simple(f, "true", LIST("n01")), n + 1);
    wait_idle(f->s);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_close_leaves_lost_and_skipped),
        TEST(test_close_at_any_moment),
        TEST(test_abort_records_what_ran),
        TEST(test_cancel),
        TEST(test_cancel_from_elsewhere),
        TEST(test_a_cancel_while_it_ends),
        TEST(test_rerun_keeps_every_option),
        TEST(test_rerun_which),
        TEST(test_delete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
