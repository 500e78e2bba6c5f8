/* SPDX-License-Identifier: Apache-2.0 */
/* Batches in stages over the transport `local`: what is started when, what stops them, what is refused;
 * pausing. Each node leaves a file `ran.NODE`. */
#include "fixture.h"

#include "muster/base/clock.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define RAN ": >\"$HOME/ran.$MUSTER_NODE\"; "
#define TEN LIST("n01", "n02", "n03", "n04", "n05", "n06", "n07", "n08", "n09", "n10")

static unsigned count_ran(struct fixture *f)
{
    unsigned n = 0;
    for (int i = 1; i <= 40; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/ran.n%02d", f->dir, i);
        n += access(path, F_OK) == 0;
    }
    return n;
}

static void settle(struct fixture *f)
{
    struct pollfd fd = {.fd = service_wake_fd(f->s), .events = POLLIN};
    poll(&fd, 1, 20);
    service_wake_drain(f->s);
}

/* Until the batch is in this state of its stages. */
static struct stage_info wait_state(struct fixture *f, int64_t number, enum stage_state state)
{
    int64_t end = mono_ms(clock_system()) + DEADLINE_MS;
    struct stage_info i;
    while (assert_true(service_stage(f->s, number, &i)), i.state != state) {
        assert_true(mono_ms(clock_system()) < end);
        settle(f);
    }
    return i;
}

static void wait_text(struct fixture *f, const char *name, char *buf, size_t n)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t got = fread(buf, 1, n - 1, file);
    buf[got] = '\0';
    fclose(file);
}

static void refuse(struct fixture *f, const struct stage_request *q, const char *const *words)
{
    struct batch_request r;
    struct batch_review v;
    ask(&r, "true", TEN, NULL);
    r.stages = *q;
    assert_int_equal(service_review(f->s, &r, &v, &f->e), -ERR_VALIDATION);
    for (; *words; words++)
        if (!strstr(f->e.msg, *words))
            fail_msg("\"%s\" is not in: %s", *words, f->e.msg);
    err_clear(&f->e);
}

static void test_all_faults_at_once(void **state)
{
    struct fixture *f = *state;
    refuse(f, &(struct stage_request){.canary_ok = 90, .waves = "1,x,0", .max_fail = "-1",
                                      .serial_by = "rack", .pause_ms = 5},
           LIST("--canary-ok", "`x`", "`0`", "--max-fail -1", "--serial-by rack"));
    refuse(f, &(struct stage_request){.canary_ok = -1, .probe = "true", .pause_ms = 5,
                                      .max_fail = "101%", .serial_by = "@web,@nix:0"},
           LIST("--probe", "--pause", "101%", "--serial-by @web,@nix:0"));
    refuse(f, &(struct stage_request){.canary_ok = -1, .serial_by = "@web,@nix"},
           LIST("unknown group: @nix"));
    refuse(f, &(struct stage_request){.canary_ok = -1, .waves = ""}, LIST("--waves"));
    refuse(f, &(struct stage_request){.canary_ok = -1, .waves = "50,1"}, LIST("`1` is no more than"));
    refuse(f, &(struct stage_request){.canary_ok = -1, .waves = "5%,5%"}, LIST("done in all by then"));
    refuse(f, &(struct stage_request){.canary_ok = -1, .waves = "5,"}, LIST("--waves 5,"));
}

static void check_text(struct fixture *f, const struct stage_request *q, const char *want)
{
    struct batch_request r;
    struct batch_review v;
    ask(&r, "true", TEN, NULL);
    r.stages = *q;
    if (service_review(f->s, &r, &v, &f->e) != 0)
        fail_msg("%s", f->e.msg);
    if (want)
        assert_string_equal(v.stages, want);
    else
        assert_null(v.stages);
    assert_int_equal(v.asks, q->canary && q->canary < 10 && q->canary_ok < 0);
    batch_review_clear(&v);
}

static void test_review_says(void **state)
{
    struct fixture *f = *state;
    check_text(f, &(struct stage_request){.canary_ok = -1}, NULL);
    check_text(f, &(struct stage_request){.canary_ok = -1, .waves = "1,11%,12%,50%", .max_fail = "25%"},
               "in waves of 1, 2, 3, 5, 10; stops at more than 2 failures");
    check_text(f, &(struct stage_request){.canary_ok = -1, .waves = "100%", .max_fail = "1"},
               "stops at more than 1 failure");
    check_text(f, &(struct stage_request){.canary = 2, .canary_ok = -1}, "2 first, then a question");
    check_text(f, &(struct stage_request){.canary = 20, .canary_ok = -1}, NULL);
    check_text(f, &(struct stage_request){.canary = 2, .canary_ok = 90, .waves = "1,50%",
                                          .pause_ms = 5000, .serial_by = "@web:2"},
               "2 first, the rest when 90% of them succeed; in waves of 2, 3, 5, 10, 5.0s between them; "
               "at most 2 at once by @web");
}

static void test_waves(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    char text[4096];
    ask(&r, RAN "[ $MUSTER_NODE != n02 ]", TEN, NULL);
    r.stages = (struct stage_request){
        .canary_ok = -1, .waves = "1,3,50%",
        .probe = "echo $MUSTER_BATCH $MUSTER_WAVE $MUSTER_NODES $MUSTER_FAILED "
                 "$(ls \"$HOME\" | grep -c ran.) >>\"$HOME/probes\""};
    int64_t n = create(f, &r);
    wait_idle(f->s);
    assert_int_equal(stats_of(f, n).success, 9);
    wait_text(f, "probes", text, sizeof text);
    assert_string_equal(text, "1 1 n01 0 1\n1 2 n[02-03] 1 3\n1 3 n[04-05] 1 5\n");
    struct stage_info i;
    assert_true(service_stage(f->s, n, &i));
    assert_int_equal(i.stage, 4);
    assert_int_equal(i.stages, 4);
}

static void test_pause_between(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    ask(&r, RAN, TEN, NULL);
    r.stages = (struct stage_request){.canary_ok = -1, .waves = "4", .pause_ms = 600};
    int64_t began = mono_ms(clock_system()), n = create(f, &r);
    struct stage_info i = wait_state(f, n, STAGE_WAITING);
    assert_int_equal(count_ran(f), 4);
    assert_true(i.wait_ms <= 600);
    wait_idle(f->s);
    assert_true(mono_ms(clock_system()) - began >= 600);
    assert_int_equal(stats_of(f, n).success, 10);
}

/* One at a time, so that the number of those that ran is exact. */
static void test_max_fail(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    struct execution x;
    f->options.engine_fanout = 1;
    fixture_reopen(f);
    ask(&r, RAN "case $MUSTER_NODE in n02|n04|n05) exit 3;; esac", TEN, NULL);
    r.stages = (struct stage_request){.canary_ok = -1, .waves = "3", .max_fail = "20%"};
    int64_t n = create(f, &r);
    wait_idle(f->s);
    struct batch b;
    get_batch(f, n, &b);
    assert_int_equal(b.status, BATCH_PARTIAL);
    assert_int_equal(b.stats.by_reason[REASON_EXIT], 3);
    assert_int_equal(b.stats.by_reason[REASON_SKIPPED], 5);
    batch_clear(&b);
    assert_int_equal(count_ran(f), 5);
    assert_int_equal(reader_execution(f->r, n, 9, &x, &f->e), 0);
    assert_string_equal(x.error, "skipped: 3 failures exceed --max-fail 2");
    assert_int_equal(x.started_ms, 0);
    execution_clear(&x);
    struct stage_info i = wait_state(f, n, STAGE_STOPPED);
    assert_string_equal(i.why, "3 failures exceed --max-fail 2");
    /* What a stop left is taken up again, with the same stages. */
    struct rerun_hold *hold;
    assert_int_equal(batch_rerun_request(f->s, n, RERUN_SKIPPED, REASON_NONE, NULL, &r, &hold, &f->e), 0);
    assert_int_equal(r.n_node_ids, 5);
    assert_string_equal(r.stages.waves, "3");
    assert_string_equal(r.stages.max_fail, "20%");
    int64_t again = create(f, &r);
    batch_request_clear(&r);
    rerun_hold_free(hold);
    wait_idle(f->s);
    assert_int_equal(stats_of(f, again).success, 5);
    assert_int_equal(count_ran(f), 10);
}

static void test_max_fail_in_flight_finishes(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    f->options.engine_fanout = 4;
    fixture_reopen(f);
    /* n01 fails once the other three have begun; these end after the stop. */
    ask(&r, RAN "if [ $MUSTER_NODE = n01 ]; then while [ $(ls \"$HOME\" | grep -c ran.) -lt 4 ]; do "
        "sleep 0.02; done; exit 1; fi; while [ ! -e \"$HOME/gate\" ]; do sleep 0.02; done", TEN, NULL);
    r.stages = (struct stage_request){.canary_ok = -1, .max_fail = "0"};
    int64_t n = create(f, &r);
    wait_state(f, n, STAGE_STOPPED);
    open_gate(f);
    wait_idle(f->s);
    struct batch_stats st = stats_of(f, n);
    assert_int_equal(st.success, 3);
    assert_int_equal(st.by_reason[REASON_EXIT], 1);
    assert_int_equal(st.by_reason[REASON_SKIPPED], 6);
    assert_int_equal(count_ran(f), 4);
}

static int64_t canary(struct fixture *f, const char *command, int ok)
{
    struct batch_request r;
    service_set_can_ask(f->s, true);
    ask(&r, command, TEN, NULL);
    r.stages = (struct stage_request){.canary = 2, .canary_ok = ok};
    return create(f, &r);
}

static void test_canary_asks(void **state)
{
    struct fixture *f = *state;
    int64_t n = canary(f, RAN "[ $MUSTER_NODE != n01 ]", -1);
    struct stage_info i = wait_state(f, n, STAGE_ASKING);
    assert_int_equal(i.success, 1);
    assert_int_equal(i.failed, 1);
    assert_int_equal(service_stage_question(f->s), n);
    assert_int_equal(count_ran(f), 2);
    assert_false(service_idle(f->s));
    service_stage_answer(f->s, n, true);
    assert_int_equal(service_stage_question(f->s), 0);
    wait_idle(f->s);
    assert_int_equal(stats_of(f, n).success, 9);

    n = canary(f, "true", -1);
    wait_state(f, n, STAGE_ASKING);
    service_stage_answer(f->s, n, false);
    wait_idle(f->s);
    struct batch_stats st = stats_of(f, n);
    assert_int_equal(st.success, 2);
    assert_int_equal(st.by_reason[REASON_SKIPPED], 8);
}

static void test_canary_nobody_asks(void **state)
{
    struct fixture *f = *state;
    int64_t n = canary(f, "true", -1);
    wait_state(f, n, STAGE_ASKING);
    service_set_can_ask(f->s, false);
    wait_idle(f->s);
    assert_int_equal(stats_of(f, n).by_reason[REASON_SKIPPED], 8);
}

static void test_canary_ok(void **state)
{
    struct fixture *f = *state;
    int64_t n = canary(f, "[ $MUSTER_NODE != n01 ]", 50);
    wait_idle(f->s);
    assert_int_equal(stats_of(f, n).success, 9);
    n = canary(f, "[ $MUSTER_NODE != n01 ]", 51);
    wait_idle(f->s);
    assert_int_equal(stats_of(f, n).by_reason[REASON_SKIPPED], 8);
    struct stage_info i = wait_state(f, n, STAGE_STOPPED);
    assert_string_equal(i.why, "1 of 2 canaries succeeded, less than --canary-ok 51");
}

static void test_canary_cancelled(void **state)
{
    struct fixture *f = *state;
    struct cancel_answer a;
    int64_t n = canary(f, "true", -1);
    wait_state(f, n, STAGE_ASKING);
    assert_int_equal(batch_cancel(f->s, n, &a, &f->e), 0);
    assert_int_equal(a.cancelled, 8);
    assert_int_equal(service_stage_question(f->s), 0);
    wait_idle(f->s);
    assert_int_equal(stats_of(f, n).by_reason[REASON_CANCELLED], 8);
}

static void test_probe_stops(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    ask(&r, RAN, TEN, NULL);
    r.stages = (struct stage_request){.canary_ok = -1, .waves = "2", .probe = "echo too slow; exit 4"};
    int64_t n = create(f, &r);
    wait_idle(f->s);
    assert_int_equal(stats_of(f, n).by_reason[REASON_SKIPPED], 8);
    assert_int_equal(count_ran(f), 2);
    struct stage_info i = wait_state(f, n, STAGE_STOPPED);
    assert_string_equal(i.why, "the probe after wave 1 ended with 4 (too slow)");
}

/* Cancelling, and closing, end a probe that hangs. */
static void test_probe_hangs(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    struct cancel_answer a;
    ask(&r, RAN, TEN, NULL);
    r.stages = (struct stage_request){.canary_ok = -1, .waves = "2", .probe = "sleep 1000 & sleep 1000"};
    int64_t n = create(f, &r);
    wait_state(f, n, STAGE_PROBING);
    assert_int_equal(batch_cancel(f->s, n, &a, &f->e), 0);
    wait_idle(f->s);
    assert_int_equal(stats_of(f, n).by_reason[REASON_CANCELLED], 8);
    n = create(f, &r);
    wait_state(f, n, STAGE_PROBING);
    int64_t began = mono_ms(clock_system());
    fixture_reopen(f);
    assert_true(mono_ms(clock_system()) - began < 10000);
    assert_int_equal(stats_of(f, n).by_reason[REASON_SKIPPED], 8);
}

static void test_serial_by(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    /* Fails when another of its group runs at the same time. */
    ask(&r, "g=web; case $MUSTER_NODE in db*) g=db;; esac; mkdir \"$HOME/lock.$g\" || exit 9; "
        "sleep 0.05; rmdir \"$HOME/lock.$g\"", NULL, LIST("web", "db"));
    r.stages = (struct stage_request){.canary_ok = -1, .serial_by = "@web,db"};
    int64_t n = create(f, &r);
    wait_idle(f->s);
    assert_int_equal(stats_of(f, n).success, 6);
}

static void test_pause_and_resume(void **state)
{
    struct fixture *f = *state;
    struct pause_answer a;
    struct cancel_answer c;
    f->options.engine_fanout = 2;
    fixture_reopen(f);
    int64_t n = create_simple(f, HELD, LIST("n01", "n02", "n03", "n04", "n05"));
    wait_held(f, "n01");
    wait_held(f, "n02");
    assert_int_equal(batch_pause(f->s, n, true, &a, &f->e), 0);
    assert_true(a.paused);
    assert_non_null(strstr(a.message, "paused, 3 waiting"));
    open_gate(f);
    wait_running(f, n, 0);
    struct batch b;
    get_batch(f, n, &b);
    assert_true(b.paused);
    assert_int_equal(b.stats.success, 2);
    assert_int_equal(b.stats.queued, 3);
    batch_clear(&b);
    assert_int_equal(batch_pause(f->s, n, false, &a, &f->e), 0);
    assert_false(a.paused);
    wait_idle(f->s);
    assert_int_equal(stats_of(f, n).success, 5);
    assert_int_equal(batch_pause(f->s, n, true, &a, &f->e), 0);
    assert_true(a.ended);
    assert_refused(f, batch_pause(f->s, 99, true, &a, &f->e), ERR_NOT_FOUND, "99");
    /* A paused one can be cancelled. */
    n = create_simple(f, "sleep 0.3", LIST("n01", "n02", "n03", "n04", "n05"));
    assert_int_equal(batch_pause(f->s, n, true, &a, &f->e), 0);
    assert_int_equal(batch_cancel(f->s, n, &c, &f->e), 0);
    wait_idle(f->s);
    assert_int_equal(stats_of(f, n).queued, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_all_faults_at_once), TEST(test_review_says),      TEST(test_waves),
        TEST(test_pause_between),      TEST(test_max_fail),         TEST(test_canary_asks),
        TEST(test_canary_nobody_asks), TEST(test_canary_ok),        TEST(test_canary_cancelled),
        TEST(test_probe_stops),        TEST(test_probe_hangs),      TEST(test_serial_by),
        TEST(test_pause_and_resume),   TEST(test_max_fail_in_flight_finishes),
    };
    return cmocka_run_group_tests_name("stages", tests, NULL, NULL);
}
