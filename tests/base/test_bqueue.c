/* SPDX-License-Identifier: Apache-2.0 */
/* The bounded queue: bounds, closing, timeouts, and many threads at once; threads and wakers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "muster/base/bqueue.h"
#include "muster/base/clock.h"
#include "muster/base/thread.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>

static void test_bounds_items(void **state)
{
    struct bqueue *q = bqueue_new(2, 0);
    void *got[4];
    int a, b, c;

    assert_true(bqueue_push(q, &a, 1, false));
    assert_true(bqueue_push(q, &b, 1, false));
    assert_false(bqueue_push(q, &c, 1, false));
    assert_true(bqueue_push(q, &c, 1, true));
    assert_int_equal(bqueue_len(q), 3);
    assert_int_equal(bqueue_pop(q, got, 4, 0), 3);
    assert_ptr_equal(got[0], &a);
    assert_ptr_equal(got[2], &c);
    bqueue_free(q);
}

static void test_bounds_weight(void **state)
{
    struct bqueue *q = bqueue_new(0, 100);
    void *got[1];
    int a;

    assert_true(bqueue_push(q, &a, 1000, false)); /* the only one always fits */
    assert_false(bqueue_push(q, &a, 1, false));
    assert_int_equal(bqueue_pop(q, got, 1, 0), 1);
    assert_true(bqueue_push(q, &a, 60, false));
    assert_true(bqueue_push(q, &a, 40, false));
    assert_false(bqueue_push(q, &a, 1, false));
    assert_int_equal(bqueue_pop(q, got, 1, 0), 1);
    assert_true(bqueue_push(q, &a, 60, false));
    assert_int_equal(bqueue_pop(q, got, 1, 0), 1);
    assert_int_equal(bqueue_pop(q, got, 1, 0), 1);
    bqueue_free(q);
}

static void test_order_through_growth(void **state)
{
    struct bqueue *q = bqueue_new(0, 0);
    void *got[7];
    uintptr_t in = 0, out = 0;

    for (int round = 0; round < 50; round++) {
        size_t n;

        for (int i = 0; i < 11; i++)
            assert_true(bqueue_push(q, (void *) ++in, 1, false));
        n = bqueue_pop(q, got, 7, 0);
        assert_int_equal(n, 7);
        for (size_t i = 0; i < n; i++)
            assert_int_equal((uintptr_t) got[i], ++out);
    }
    while (bqueue_pop(q, got, 1, 0))
        assert_int_equal((uintptr_t) got[0], ++out);
    assert_int_equal(in, out);
    bqueue_free(q);
}

static void test_close(void **state)
{
    struct bqueue *q = bqueue_new(0, 0);
    void *got[2];
    int a;

    assert_true(bqueue_push(q, &a, 1, false));
    bqueue_close(q);
    assert_true(bqueue_closed(q));
    assert_false(bqueue_push(q, &a, 1, true));
    assert_int_equal(bqueue_pop(q, got, 2, -1), 1); /* drains */
    assert_int_equal(bqueue_pop(q, got, 2, -1), 0); /* and does not wait */
    bqueue_free(q);
    bqueue_free(NULL);
}

static void test_timeout(void **state)
{
    struct bqueue *q = bqueue_new(0, 0);
    int64_t start = mono_ms(clock_system());
    void *got[1];

    assert_int_equal(bqueue_pop(q, got, 1, 30), 0);
    assert_true(mono_ms(clock_system()) - start >= 29);
    bqueue_free(q);
}

#define PRODUCERS 4
#define EACH 5000

struct producer {
    struct bqueue *q;
    uintptr_t base;
};

static void *produce(void *arg)
{
    struct producer *p = arg;

    for (uintptr_t i = 1; i <= EACH; i++) {
        while (!bqueue_push(p->q, (void *) (p->base + i), 1, false))
            sched_yield();
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct bqueue *q = bqueue_new(64, 0);
    struct producer p[PRODUCERS];
    pthread_t t[PRODUCERS];
    uintptr_t last[PRODUCERS] = {0};
    size_t total = 0;

    for (int i = 0; i < PRODUCERS; i++) {
        p[i] = (struct producer) {q, (uintptr_t) i * 1000000};
        assert_int_equal(thread_start(&t[i], "producer", produce, &p[i]), 0);
    }
    while (total < (size_t) PRODUCERS * EACH) {
        void *got[16];
        size_t n = bqueue_pop(q, got, 16, 10000);

        assert_true(n > 0);
        for (size_t i = 0; i < n; i++) {
            uintptr_t v = (uintptr_t) got[i];

            assert_int_equal(v % 1000000, ++last[v / 1000000]); /* each one's own order is kept */
        }
        total += n;
    }
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(bqueue_len(q), 0);
    bqueue_free(q);
}

static void *close_it(void *arg)
{
    bqueue_close(arg);
    return NULL;
}

static void test_close_wakes(void **state)
{
    struct bqueue *q = bqueue_new(0, 0);
    void *got[1];
    pthread_t t;

    assert_int_equal(thread_start(&t, "closer", close_it, q), 0);
    assert_int_equal(bqueue_pop(q, got, 1, -1), 0);
    pthread_join(t, NULL);
    bqueue_free(q);
}

struct seen {
    sigset_t mask;
    char name[32];
};

static void *look(void *arg)
{
    struct seen *s = arg;

    pthread_sigmask(SIG_SETMASK, NULL, &s->mask);
    pthread_getname_np(pthread_self(), s->name, sizeof s->name);
    return NULL;
}

static void test_thread_mask_and_name(void **state)
{
    struct seen s;
    sigset_t before, after;
    pthread_t t;

    pthread_sigmask(SIG_SETMASK, NULL, &before);
    assert_int_equal(thread_start(&t, "a-name-that-is-too-long", look, &s), 0);
    pthread_join(t, NULL);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_true(sigismember(&s.mask, SIGINT));
    assert_true(sigismember(&s.mask, SIGWINCH));
    assert_int_equal(sigismember(&before, SIGINT), sigismember(&after, SIGINT));
    assert_string_equal(s.name, "a-name-that-is-");
}

static void test_waker(void **state)
{
    struct waker w;
    struct pollfd p;

    assert_int_equal(waker_init(&w), 0);
    p = (struct pollfd) {.fd = w.fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    waker_wake(&w);
    waker_wake(&w);
    assert_int_equal(poll(&p, 1, 0), 1);
    waker_drain(&w);
    assert_int_equal(poll(&p, 1, 0), 0);
    waker_drain(&w); /* does not block */
    waker_close(&w);
    assert_int_equal(w.fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds_items),
        cmocka_unit_test(test_bounds_weight),
        cmocka_unit_test(test_order_through_growth),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_close_wakes),
        cmocka_unit_test(test_thread_mask_and_name),
        cmocka_unit_test(test_waker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
