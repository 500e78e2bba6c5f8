/* SPDX-License-Identifier: Apache-2.0 */
/* What is begun again for a while (retry_for_ms), on the virtual clock: which ends are cured by waiting,
 * how long, what becomes of its output, and that nothing is begun again once it was cancelled or left. */
#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/secret.h"
#include "muster/core/batch.h"
#include "muster/core/event.h"
#include "muster/exec/engine.h"
#include "muster/exec/transport.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define TRIES_MAX 200
#define TICK_MS 50
#define GRACE_MS 2000
#define OVER_MS 1000000

/* How a try ends, TICK_MS after its beginning; the last one repeats. */
enum how { OK, NOT_YET, EXIT_1, REFUSED, LOGIN, LOST, SIGNAL, HANG, NEEDS_KILL, STUBBORN,
           HANG_CONNECT, BROKEN };

static struct play {
    const enum how *how;
    size_t n;
    unsigned opened, started;
    int64_t at[TRIES_MAX]; /* when each began */
    size_t bytes;          /* that each try prints */
} play;

struct world {
    struct engine *engine;
    struct clock_virtual clock;
    struct event *end;
    unsigned claims, answered, ends;
    size_t out; /* bytes of OUTPUT before the end */
    struct secret *password;
};

struct act {
    struct session *s;
    enum how how;
    unsigned number;
    size_t printed;
};

static struct world *the_world; /* whose clock the transport looks at */

static void *act_open(struct session *s)
{
    struct act *a = x_calloc(1, sizeof *a);
    a->s = s;
    a->number = play.opened;
    a->how = play.how[play.opened < play.n ? play.opened : play.n - 1];
    assert_true(play.opened < TRIES_MAX);
    play.at[play.opened++] = mono_ms(&the_world->clock.clock);
    return a;
}

/* False: the rest goes with WAKE_ROOM. */
static bool print(struct act *a)
{
    size_t n = play.bytes - a->printed;
    CLEANUP_FREE char *text = x_calloc(1, n + 1);
    memset(text, 'a' + (int) (a->number % 26), n);
    if (n)
        a->printed += session_output(a->s, 0, text, n);
    return a->printed == play.bytes;
}

static void act_step(void *priv, unsigned wake)
{
    struct act *a = priv;
    if (wake & WAKE_START) {
        session_timer(a->s, TICK_MS);
        return;
    }
    if (a->how == HANG_CONNECT)
        return;
    if (a->how == REFUSED || a->how == LOGIN || a->how == BROKEN) {
        session_end_failed(a->s, a->how == REFUSED ? REASON_UNREACHABLE
                                 : a->how == LOGIN ? REASON_AUTH
                                                   : REASON_HOSTKEY, true, "no");
        return;
    }
    if (wake & WAKE_TIMER) {
        session_started(a->s);
        play.started++;
    }
    if (!print(a) || a->how == HANG || a->how == NEEDS_KILL || a->how == STUBBORN)
        return;
    if (a->how == LOST)
        session_end_failed(a->s, REASON_LOST, false, "gone");
    else if (a->how == SIGNAL)
        session_end_signal(a->s, "KILL");
    else
        session_end_exit(a->s, a->how == OK ? 0 : a->how == EXIT_1 ? 1 : ENGINE_NOT_YET);
}

static void act_stop(void *priv, int sig)
{
    struct act *a = priv;
    if (a->how != NEEDS_KILL || sig == SIGKILL)
        session_stopped(a->s, a->how == STUBBORN ? REMOTE_RUNNING : REMOTE_STOPPED);
}

static void act_close(void *priv)
{
    free(priv);
}

static const struct transport_ops transport_act = {
    .name = "act", .open = act_open, .step = act_step, .stop = act_stop, .close = act_close};
static const struct transport_ops *const act_only[] = {&transport_act, NULL};

const struct transport_ops *const *engine_transports(void)
{
    return act_only;
}

static bool emit(void *ctx, struct event *ev)
{
    struct world *w = ctx;
    if (ev->kind == EVENT_CLAIM)
        w->claims++;
    if (ev->kind == EVENT_OUTPUT)
        w->out += ev->len[0];
    if (ev->kind == EVENT_FINISH) {
        assert_int_equal(w->ends++, 0);
        w->end = ev;
        return true;
    }
    event_free(ev);
    return true;
}

static int64_t now(struct world *w)
{
    return mono_ms(&w->clock.clock);
}

static void start(struct world *w, const enum how *how, size_t n, int64_t for_ms)
{
    const struct event_sink sink = {emit, w};
    const struct engine_config cfg = {.fanout = 1, .max_queue = 1, .reactors = 1, .seed = 3,
                                      .stop_grace_ms = GRACE_MS, .transports = act_only};
    const struct engine_job job = {.node = "n0"};
    const struct engine_batch b = {.number = 1, .command = "x", .max_output = 1 << 24, .retries = 1,
                                   .retry_for_ms = for_ms, .live = true, .password = w->password};
    the_world = w;
    play.how = how;
    play.n = n;
    clock_virtual_init(&w->clock, 1700000000000);
    w->engine = engine_new_sim(&cfg, &w->clock, &sink);
    assert_non_null(w->engine);
    assert_int_equal(engine_reserve(w->engine, 1, NULL), 0);
    engine_submit(w->engine, &b, &job, 1);
}

/* Until its end, or until so many tries have begun. */
static void run(struct world *w, unsigned tries)
{
    int64_t end = now(w) + OVER_MS;
    while (!w->end && play.opened < tries) {
        assert_true(now(w) < end);
        if (w->answered < w->claims) {
            w->answered++;
            engine_claimed(w->engine, 1, 0, true);
        }
        engine_sim_turn(w->engine);
    }
}

static void stop(struct world *w)
{
    engine_free(w->engine);
    secret_unref(w->password);
    event_free(w->end);
}

static int setup(void **state)
{
    memset(&play, 0, sizeof play);
    *state = x_calloc(1, sizeof(struct world));
    return 0;
}

static int teardown(void **state)
{
    stop(*state);
    free(*state);
    return 0;
}

#define PLAY(...) (const enum how[]){__VA_ARGS__}, sizeof((enum how[]){__VA_ARGS__}) / sizeof(enum how)

static void test_all_that_waiting_cures(void **state)
{
    struct world *w = *state;
    play.bytes = 10;
    start(w, PLAY(REFUSED, LOGIN, NOT_YET, LOST, SIGNAL, OK), 60000);
    run(w, TRIES_MAX);
    assert_int_equal(w->end->status, EXEC_SUCCESS);
    assert_int_equal(w->end->attempts, play.opened);
    assert_true(play.opened >= 6);
    /* One place, one claim, and the output of the last try alone. */
    assert_int_equal(w->claims, 1);
    assert_int_equal(w->out, 0);
    assert_int_equal(w->end->len[0], 10);
    assert_int_equal(w->end->data[0][0], 'a' + (int) (play.opened - 1));
    assert_int_equal(w->end->duration_ms, play.at[play.opened - 1] + TICK_MS - play.at[0]);
    for (unsigned i = 1; i < play.opened; i++)
        assert_in_range(play.at[i] - play.at[i - 1], TICK_MS + 125, TICK_MS + 4000);
}

static void test_what_it_does_not_cure(void **state)
{
    struct world *w = *state;
    start(w, PLAY(NOT_YET, EXIT_1), 60000);
    run(w, TRIES_MAX);
    assert_int_equal(w->end->reason, REASON_EXIT);
    assert_int_equal(w->end->exit_code, 1);
    assert_int_equal(play.opened, 2);
}

static void test_a_changed_key_is_no_wait(void **state)
{
    struct world *w = *state;
    start(w, PLAY(BROKEN), 60000);
    run(w, TRIES_MAX);
    assert_int_equal(w->end->reason, REASON_HOSTKEY);
    assert_true(play.opened <= 2); /* its retries */
}

/* A password that was refused is not sent over and over. */
static void test_a_password_is_tried_once(void **state)
{
    struct world *w = *state;
    w->password = secret_new("x", 1);
    start(w, PLAY(LOGIN), 60000);
    run(w, TRIES_MAX);
    assert_int_equal(w->end->reason, REASON_AUTH);
    assert_true(play.opened <= 2);
}

static void test_only_so_long(void **state)
{
    struct world *w = *state;
    start(w, PLAY(NOT_YET), 30000);
    run(w, TRIES_MAX);
    assert_int_equal(w->end->reason, REASON_EXIT);
    assert_int_equal(w->end->exit_code, ENGINE_NOT_YET);
    assert_int_equal(w->end->attempts, play.opened);
    /* No try begins after the time, and none is missing before it. */
    assert_true(play.at[play.opened - 1] - play.at[0] < 30000);
    assert_true(w->end->duration_ms > 30000 - 4000 - TICK_MS);
    assert_true(w->end->duration_ms < 30000 + TICK_MS);
}

static void test_not_asked_for(void **state)
{
    struct world *w = *state;
    start(w, PLAY(NOT_YET), 0);
    run(w, TRIES_MAX);
    assert_int_equal(w->end->exit_code, ENGINE_NOT_YET);
    assert_int_equal(play.opened, 1);
}

/* Each try has its own time to connect, and its own for the command. */
static void test_time_limits(void **state)
{
    struct world *w = *state;
    start(w, PLAY(HANG_CONNECT, HANG, OK), 300000);
    run(w, TRIES_MAX);
    assert_int_equal(w->end->status, EXEC_SUCCESS);
    assert_int_equal(w->end->attempts, 3);
    assert_in_range(play.at[1] - play.at[0], CONNECT_TIMEOUT_DEFAULT_MS,
                    CONNECT_TIMEOUT_DEFAULT_MS + 4000);
    assert_in_range(play.at[2] - play.at[1], 60000, 60000 + TICK_MS + 4000);
}

/* Not beside one that outlives KILL. */
static void test_one_at_a_time(void **state)
{
    struct world *w = *state;
    start(w, PLAY(STUBBORN, OK), 300000);
    run(w, TRIES_MAX);
    assert_int_equal(w->end->reason, REASON_TIMEOUT);
    assert_int_equal(w->end->remote, REMOTE_RUNNING);
    assert_int_equal(play.opened, 1);
}

static void wait_started(struct world *w, unsigned tries)
{
    while (!w->end && play.started < tries)
        engine_sim_turn(w->engine);
}

static void wait_until(struct world *w, int64_t at)
{
    while (!w->end && now(w) < at)
        engine_sim_turn(w->engine);
}

static void test_cancel_between_two(void **state)
{
    struct world *w = *state;
    start(w, PLAY(NOT_YET), 60000);
    run(w, 4);
    wait_until(w, play.at[3] + TICK_MS);
    assert_null(w->end);
    int64_t at = now(w);
    assert_int_equal(engine_cancel(w->engine, 1), 1);
    run(w, TRIES_MAX);
    assert_int_equal(w->end->reason, REASON_CANCELLED);
    assert_int_equal(w->end->attempts, 4);
    assert_true(now(w) - at <= TICK_MS);
    assert_int_equal(play.opened, 4);
}

static void test_cancel_while_it_runs(void **state)
{
    struct world *w = *state;
    start(w, PLAY(NOT_YET, HANG), 60000);
    run(w, 2);
    wait_started(w, 2);
    engine_cancel(w->engine, 1);
    run(w, TRIES_MAX);
    assert_int_equal(w->end->reason, REASON_CANCELLED);
    assert_int_equal(play.opened, 2);
}

/* What is stopped for its time is not begun again when it was cancelled meanwhile. */
static void test_cancel_while_it_is_stopped(void **state)
{
    struct world *w = *state;
    start(w, PLAY(NEEDS_KILL), 300000);
    run(w, 1);
    wait_until(w, play.at[0] + TICK_MS + 60000 + 10);
    assert_null(w->end);
    engine_cancel(w->engine, 1);
    run(w, TRIES_MAX);
    assert_int_equal(w->end->reason, REASON_TIMEOUT);
    assert_int_equal(play.opened, 1);
}

static void test_left_while_it_runs(void **state)
{
    struct world *w = *state;
    start(w, PLAY(HANG), 60000);
    run(w, 1);
    wait_started(w, 1);
    engine_abort(w->engine);
    run(w, TRIES_MAX);
    assert_int_equal(w->end->reason, REASON_LOST);
    assert_int_equal(play.opened, 1);
}

/* The command has run on the node by then: that is not `skipped`. */
static void test_left_between_two(void **state)
{
    struct world *w = *state;
    start(w, PLAY(NOT_YET), 60000);
    run(w, 2);
    wait_until(w, play.at[1] + TICK_MS);
    engine_abort(w->engine);
    run(w, TRIES_MAX);
    assert_int_equal(w->end->reason, REASON_LOST);
    assert_int_equal(play.opened, 2);
}

/* More than is held back has been emitted, and cannot be taken back. */
static void test_too_much_to_take_back(void **state)
{
    struct world *w = *state;
    play.bytes = (size_t) 4 << 20;
    start(w, PLAY(NOT_YET), 60000);
    run(w, TRIES_MAX);
    assert_int_equal(w->end->exit_code, ENGINE_NOT_YET);
    assert_int_equal(play.opened, 1);
    assert_int_equal(w->out + w->end->len[0], play.bytes);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_all_that_waiting_cures),
        TEST(test_what_it_does_not_cure),
        TEST(test_a_changed_key_is_no_wait),
        TEST(test_a_password_is_tried_once),
        TEST(test_only_so_long),
        TEST(test_not_asked_for),
        TEST(test_time_limits),
        TEST(test_one_at_a_time),
        TEST(test_cancel_between_two),
        TEST(test_cancel_while_it_runs),
        TEST(test_cancel_while_it_is_stopped),
        TEST(test_left_while_it_runs),
        TEST(test_left_between_two),
        TEST(test_too_much_to_take_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
