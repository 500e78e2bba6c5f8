/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's parts alone: the token's line, caps, timers,
 * the queue's order, helpers that outlive their session. */
#include "output.h"
#include "queue.h"
#include "rig.h"
#include "timers.h"

#include "muster/base/alloc.h"
#include "muster/base/hash.h"
#include "muster/core/batch.h"
#include "muster/exec/transport.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TOKEN "@muster-00ff"

static void feed(struct output *o, const char *p, size_t n, size_t step)
{
    for (size_t at = 0; at < n; at += step) {
        size_t part = n - at < step ? n - at : step;
        assert_int_equal(output_put(o, STREAM_STDERR, p + at, part), part);
    }
    output_end(o);
}

static void check_filter(const char *in, const char *want, int64_t pid)
{
    for (size_t step = 1; step <= strlen(in) + 1; step++) {
        struct output o;
        output_init(&o, 1000, TOKEN);
        feed(&o, in, strlen(in), step);
        assert_int_equal(o.pid, pid);
        assert_int_equal(o.stream[1].len, strlen(want));
        assert_memory_equal(o.stream[1].buf ? o.stream[1].buf : "", want, strlen(want));
        assert_int_equal(o.stream[0].len, 0);
        output_free(&o);
    }
}

static void token_line(void **state)
{
    check_filter(TOKEN " 123\n", "", 123);
    check_filter(TOKEN " 123\nafter\n", "after\n", 123);
    check_filter("motd\n" TOKEN " 4194304\nafter", "motd\nafter", 4194304);
    check_filter("no newline" TOKEN " 77\nafter", "no newlineafter", 77);
    check_filter("@@mus@muster-00f" TOKEN " 77\nx", "@@mus@muster-00fx", 77);
    check_filter("nothing @muster-00f", "nothing @muster-00f", 0);
    check_filter(TOKEN " 12", TOKEN " 12", 0);
    check_filter(TOKEN " x\n", TOKEN " x\n", 0);
    check_filter(TOKEN " \n", TOKEN " \n", 0);
    check_filter(TOKEN " 1\n", TOKEN " 1\n", 0); /* never a pid to send signals to */
    check_filter(TOKEN " 0\n" TOKEN " 55\n", TOKEN " 0\n", 55);
    check_filter(TOKEN " -5\n", TOKEN " -5\n", 0);
    check_filter(TOKEN " 99999999999\n", TOKEN " 99999999999\n", 0);
    check_filter(TOKEN " 4294967295\n", TOKEN " 4294967295\n", 0);
    check_filter(TOKEN " 5\n" TOKEN " 6\n", TOKEN " 6\n", 5); /* only the first one */
}

/* Any text in any pieces comes out as it was, less the line. */
static void token_random(void **state)
{
    static const char alphabet[] = "@muster-0f 12\n";
    for (int round = 0; round < 3000; round++) {
        char in[400], want[400];
        size_t n = random_below(120), at = random_below((uint32_t) n + 1), len = 0;
        for (size_t i = 0; i < n; i++)
            want[i] = alphabet[random_below(sizeof alphabet - 1)];
        memcpy(in, want, at);
        len = at;
        len += (size_t) sprintf(in + len, TOKEN " 4242\n");
        memcpy(in + len, want + at, n - at);
        len += n - at;

        struct output o;
        output_init(&o, 1000, TOKEN);
        feed(&o, in, len, 1 + random_below(20));
        assert_int_equal(o.pid, 4242);
        assert_int_equal(o.stream[1].len, n);
        assert_memory_equal(o.stream[1].buf ? o.stream[1].buf : "", want, n);
        output_free(&o);
    }
}

static void caps(void **state)
{
    static const uint64_t limits[] = {0, 1, 99, 100, 101, 65536, 65537, 200000};
    static const size_t steps[] = {1, 7, 100, 4096, 100000};
    const size_t total = 150000;
    char *data = x_malloc(total);

    memset(data, 'x', total);
    for (size_t l = 0; l < ARRAY_LEN(limits); l++) {
        for (size_t s = 0; s < ARRAY_LEN(steps); s++) {
            struct output o;
            size_t at = 0, got = 0;
            output_init(&o, limits[l], TOKEN);
            while (at < total) {
                size_t n = total - at < steps[s] ? total - at : steps[s];
                size_t took = output_put(&o, STREAM_STDOUT, data + at, n);
                at += took;
                assert_true(o.stream[0].len <= OUTPUT_BUFFER);
                if (took < n) { /* full: emit */
                    assert_int_equal(o.stream[0].len, OUTPUT_BUFFER);
                    got += o.stream[0].len;
                    o.stream[0].len = 0;
                }
            }
            got += o.stream[0].len;
            assert_int_equal(got, total < limits[l] ? total : limits[l]);
            assert_int_equal(o.stream[0].truncated, total > limits[l]);
            assert_false(o.stream[1].truncated);
            output_free(&o);
        }
    }
    free(data);
}

static void timers_in_order(void **state)
{
    enum { N = 500 };
    static struct timer timer[N];
    struct timers t = {0};

    memset(timer, 0, sizeof timer);
    for (int round = 0; round < 3000; round++) {
        struct timer *one = &timer[random_below(N)];
        if (random_below(3) == 0)
            timers_clear(&t, one);
        else
            timers_set(&t, one, random_below(50));
    }
    size_t armed = 0, popped = 0;
    for (int i = 0; i < N; i++)
        armed += timer[i].at != 0;
    struct timer *one, *last = NULL;
    assert_null(timers_pop(&t, -1, t.seq));
    assert_null(timers_pop(&t, 100, 0));
    while ((one = timers_pop(&t, 100, t.seq))) {
        popped++;
        assert_true(!last || last->due < one->due ||
                    (last->due == one->due && last->seq < one->seq));
        last = one;
    }
    assert_int_equal(popped, armed);
    assert_int_equal(timers_next(&t), -1);
    timers_free(&t);
}

static void add_batch(struct queue *q, int64_t number, unsigned fanout, size_t n)
{
    struct engine_batch b = {.number = number, .command = "c", .fanout = fanout};
    struct engine_job jobs[16];

    for (size_t i = 0; i < n; i++)
        jobs[i] = (struct engine_job){.position = (uint32_t) i, .node = "n"};
    queue_add(q, &b, jobs, n);
}

static void expect_claim(struct queue *q, int64_t batch, uint32_t position)
{
    struct job *job = queue_claim(q);
    assert_non_null(job);
    assert_int_equal(job->batch->number, batch);
    assert_int_equal(job->position, position);
}

static void queue_order(void **state)
{
    struct queue q;

    queue_init(&q, 4, 100);
    add_batch(&q, 1, 2, 3);
    add_batch(&q, 2, 0, 3);
    expect_claim(&q, 1, 0);
    expect_claim(&q, 1, 1);
    expect_claim(&q, 2, 0); /* batch 1 fills its own fanout, so the next passes */
    expect_claim(&q, 2, 1);
    assert_null(queue_claim(&q));
    assert_null(queue_find_claimed(&q, 1, 2));
    assert_null(queue_find_claimed(&q, 3, 0));
    struct job *job = queue_find_claimed(&q, 1, 1);
    queue_start(&q, job);
    assert_null(queue_find_claimed(&q, 1, 1));
    queue_end(&q, job, true);
    expect_claim(&q, 1, 2); /* in its turn again, before batch 2 */
    queue_end(&q, queue_find_claimed(&q, 2, 0), false);
    assert_int_equal(queue_cancel(&q, 2), 1);
    assert_int_equal(queue_cancel(&q, 9), 0);
    assert_null(queue_claim(&q));
    assert_int_equal(q.waiting, 0);
    assert_int_equal(q.claimed, 3);
    queue_clear(&q);
}

/* --- helpers and places under threads, with a transport that uses both --- */

struct slow {
    struct session *s;
    int *value; /* the helper's until WAKE_HELP */
};

static void *slow_open(struct session *s)
{
    struct slow *l = x_calloc(1, sizeof *l);
    l->s = s;
    return l;
}

static void slow_work(void *arg, struct help *help)
{
    usleep(1000);
    *(int *) arg = 42;
}

static void slow_step(void *priv, unsigned wake)
{
    struct slow *l = priv;

    if (wake & WAKE_START && !session_want_handshake(l->s, "one:22"))
        return;
    if (wake & (WAKE_START | WAKE_SLOT)) {
        l->value = x_calloc(1, sizeof *l->value);
        session_help(l->s, slow_work, free, l->value);
    }
    if (wake & WAKE_HELP) {
        assert_int_equal(*l->value, 42);
        free(X_STEAL(l->value));
        session_handshake_done(l->s);
        session_started(l->s);
        session_end_exit(l->s, 0);
    }
}

static void slow_stop(void *priv, int sig)
{
}

static void slow_close(void *priv)
{
    free(priv);
}

static const struct transport_ops transport_slow = {
    .name = "slow", .open = slow_open, .step = slow_step, .stop = slow_stop, .close = slow_close};
static const struct transport_ops *const slow_only[] = {&transport_slow, NULL};

static void helpers_and_places(struct settings *over, size_t wait_for, bool cancel)
{
    struct engine_config cfg = {.fanout = 60,
                                .max_queue = 1000,
                                .reactors = 3,
                                .handshakes_per_server = 3,
                                .transports = slow_only};
    struct rig rig;

    rig_start(&rig, &cfg, 60);
    rig_submit(&rig, "x", over, 60, 100, false);
    rig_wait(&rig, wait_for, 60);
    if (cancel) {
        engine_cancel(rig.engine, 1);
        rig_wait_left(&rig, 0, 60);
        pthread_mutex_lock(&rig.lock);
        for (size_t i = 0; i < 60; i++)
            assert_true(rig.results[i].ends <= 1);
        pthread_mutex_unlock(&rig.lock);
    }
    rig_stop(&rig);
}

static void help_all(void **state)
{
    helpers_and_places(NULL, 60, false);
}

static void help_cancelled(void **state)
{
    for (int i = 0; i < 20; i++)
        helpers_and_places(NULL, 3, true);
}

static void help_freed(void **state)
{
    for (int i = 0; i < 20; i++)
        helpers_and_places(NULL, (size_t) i % 5, false);
}

static void help_timeouts(void **state)
{
    struct settings over;
    settings_init(&over);
    over.connect_timeout_ms = 8;
    helpers_and_places(&over, 60, false);
    settings_clear(&over);
}

/* --- a command that turns out not to have started --- */

static void denied_step(void *priv, unsigned wake)
{
    struct slow *l = priv;

    session_started(l->s);
    session_not_started(l->s);
    session_end_failed(l->s, REASON_UNREACHABLE, false, "refused");
}

static void not_started(void **state)
{
    static const struct transport_ops denied = {.name = "denied",
                                                .open = slow_open,
                                                .step = denied_step,
                                                .stop = slow_stop,
                                                .close = slow_close};
    static const struct transport_ops *const denied_only[] = {&denied, NULL};
    struct engine_config cfg = {.fanout = 1, .max_queue = 1, .transports = denied_only};
    struct rig rig;

    rig_start(&rig, &cfg, 1);
    rig_submit(&rig, "x", NULL, 1, 100, false);
    rig_wait(&rig, 1, 60);
    assert_int_equal(rig.results[0].end->reason, REASON_UNREACHABLE);
    assert_int_equal(rig.results[0].end->remote, REMOTE_NONE);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_line),     cmocka_unit_test(token_random),
        cmocka_unit_test(caps),           cmocka_unit_test(timers_in_order),
        cmocka_unit_test(queue_order),    cmocka_unit_test(help_all),
        cmocka_unit_test(help_cancelled), cmocka_unit_test(help_freed),
        cmocka_unit_test(help_timeouts),  cmocka_unit_test(not_started),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
