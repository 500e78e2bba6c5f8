/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the user: asked on threads, answered by one, or given up. */
#include "muster/exec/ask.h"

#include "muster/base/alloc.h"
#include "muster/base/secret.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <poll.h>
#include <unistd.h>

#include <cmocka.h>

#define THREADS 8
#define DEADLINE_MS 20000

struct one {
    struct asker *asker;
    char text[32], got[32];
    bool declined;
    int gone; /* atomic */
    pthread_t thread;
};

static void wake(void *ctx)
{
    assert_int_equal(eventfd_write(*(int *) ctx, 1), 0);
}

static bool gone(void *ctx)
{
    return __atomic_load_n(&((struct one *) ctx)->gone, __ATOMIC_ACQUIRE);
}

static void *ask(void *arg)
{
    struct one *o = arg;
    struct secret *s = asker_ask(o->asker, "web01", o->text, false, gone, o);

    o->declined = !s;
    if (s)
        snprintf(o->got, sizeof o->got, "%s", secret_text(s));
    secret_unref(s);
    return NULL;
}

static void start(struct one *o, struct asker *a, const char *text)
{
    o->asker = a;
    snprintf(o->text, sizeof o->text, "%s", text);
    assert_int_equal(pthread_create(&o->thread, NULL, ask, o), 0);
}

/* The next question, however long the thread that asks it takes to come. */
static struct question next(struct asker *a, int fd)
{
    struct question q;

    while (!asker_next(a, &q)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        eventfd_t n;

        assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
        eventfd_read(fd, &n);
    }
    return q;
}

static void test_each_gets_its_own(void **state)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct asker *a = asker_new(wake, &fd);
    struct one all[THREADS] = {0};

    for (int i = 0; i < THREADS; i++) {
        char text[32];

        snprintf(text, sizeof text, "question %d", i);
        start(&all[i], a, text);
    }
    for (int i = 0; i < THREADS; i++) {
        struct question q = next(a, fd);
        char answer[64];

        assert_string_equal(q.about, "web01");
        assert_false(q.echo);
        snprintf(answer, sizeof answer, "to %s", q.text);

        struct secret *s = secret_new(answer, strlen(answer));

        asker_answer(a, q.id + THREADS, s); /* nobody's */
        asker_answer(a, q.id, s);
        secret_unref(s);
        question_clear(&q);
    }
    for (int i = 0; i < THREADS; i++) {
        char want[64];

        pthread_join(all[i].thread, NULL);
        snprintf(want, sizeof want, "to question %d", i);
        assert_false(all[i].declined);
        assert_string_equal(all[i].got, want);
    }
    asker_unref(a);
    close(fd);
}

static void test_declined_gone_and_closed(void **state)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct asker *a = asker_new(wake, &fd);
    struct one declined = {0}, left = {0}, closed = {0}, late = {0};
    struct question q;

    start(&declined, a, "declined");
    q = next(a, fd);
    asker_answer(a, q.id, NULL);
    question_clear(&q);
    pthread_join(declined.thread, NULL);
    assert_true(declined.declined);

    start(&left, a, "left");
    q = next(a, fd);
    question_clear(&q);
    __atomic_store_n(&left.gone, 1, __ATOMIC_RELEASE);
    pthread_join(left.thread, NULL);
    assert_true(left.declined);
    assert_false(asker_next(a, &q));

    start(&closed, a, "closed");
    q = next(a, fd);
    question_clear(&q);
    asker_close(a);
    pthread_join(closed.thread, NULL);
    assert_true(closed.declined);

    start(&late, a, "late");
    pthread_join(late.thread, NULL);
    assert_true(late.declined);
    assert_null(asker_ask(NULL, "", "", true, gone, &late));
    asker_unref(a);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_gets_its_own),
        cmocka_unit_test(test_declined_gone_and_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
