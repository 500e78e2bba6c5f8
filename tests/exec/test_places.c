/* SPDX-License-Identifier: Apache-2.0 */
/* Handshake places: the limit of each server, the limit in all, and those that hang. */
#include "places.h"
#include "reactor.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* A reactor that nobody turns: its inbox tells who was granted something. */
struct bench {
    struct clock_virtual clock;
    struct reactor reactor;
    struct places *places;
};

static void bench_start(struct bench *b, unsigned per_server, unsigned in_all)
{
    clock_virtual_init(&b->clock, 0);
    b->reactor = (struct reactor) {0};
    assert_int_equal(reactor_init(&b->reactor, NULL, 0, &b->clock.clock, false, NULL), 0);
    b->places = places_new(per_server, in_all);
}

/* What was granted since the last look, the messages taken. */
static size_t told(struct bench *b)
{
    size_t n = 0;

    while (b->reactor.inbox) {
        struct msg *m = b->reactor.inbox;

        b->reactor.inbox = m->next;
        assert_int_equal(m->kind, MSG_PLACE);
        places_told(b->places, m->place);
        free(m);
        n++;
    }
    b->reactor.inbox_end = &b->reactor.inbox;
    return n;
}

static struct place *ask(struct bench *b, const char *server, bool expected)
{
    static char somebody;
    bool at_once = false;
    struct place *p = places_ask(b->places, server, &b->reactor, (struct session *) (void *) &somebody,
                                 &at_once);

    assert_int_equal(at_once, expected);
    return p;
}

static void bench_stop(struct bench *b)
{
    told(b);
    places_free(b->places);
    reactor_free(&b->reactor);
}

static void each_server(void **state)
{
    struct bench b;

    bench_start(&b, 2, 100);

    struct place *p[] = {ask(&b, "a", true), ask(&b, "a", true), ask(&b, "a", false),
                         ask(&b, "b", true)};

    places_return(b.places, p[0]);
    assert_int_equal(told(&b), 1);
    for (int i = 1; i < 4; i++)
        places_return(b.places, p[i]);
    assert_int_equal(told(&b), 0);
    bench_stop(&b);
}

static void in_all(void **state)
{
    struct bench b;

    bench_start(&b, 2, 3);

    struct place *p[] = {ask(&b, "a", true), ask(&b, "a", true), ask(&b, "b", true),
                         ask(&b, "b", false), ask(&b, "c", false), ask(&b, "a", false)};

    /* Not to `a`, which has two, but to those whose turn it is. */
    places_return(b.places, p[2]);
    assert_int_equal(told(&b), 1);
    assert_true(p[3]->granted && !p[4]->granted);
    places_return(b.places, p[0]);
    assert_int_equal(told(&b), 1);
    assert_true(p[4]->granted && !p[5]->granted);
    places_return(b.places, p[4]);
    assert_int_equal(told(&b), 1);
    assert_true(p[5]->granted);
    places_return(b.places, p[1]);
    places_return(b.places, p[3]);
    places_return(b.places, p[5]);
    bench_stop(&b);
}

static void those_that_hang(void **state)
{
    struct bench b;

    bench_start(&b, 1, 2);

    struct place *p[] = {ask(&b, "a", true), ask(&b, "b", true), ask(&b, "c", false),
                         ask(&b, "a", false)};

    b.clock.now_ms += 500;
    places_look(b.places, b.clock.now_ms);
    assert_int_equal(told(&b), 0);
    b.clock.now_ms += 500;
    places_look(b.places, b.clock.now_ms);
    assert_int_equal(told(&b), 1);
    /* Its own server is as full as ever. */
    assert_true(p[2]->granted && !p[3]->granted);
    for (int i = 0; i < 4; i++)
        places_return(b.places, p[i]);
    bench_stop(&b);
}

static void gone_before_it_was_told(void **state)
{
    struct bench b;

    bench_start(&b, 1, 1);

    struct place *first = ask(&b, "a", true), *second = ask(&b, "a", false),
                 *third = ask(&b, "a", false);

    places_return(b.places, first);
    places_return(b.places, second); /* granted, its message is under way: on to the third */
    assert_true(third->granted);
    assert_int_equal(told(&b), 2);
    places_return(b.places, third);
    bench_stop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_server),
        cmocka_unit_test(in_all),
        cmocka_unit_test(those_that_hang),
        cmocka_unit_test(gone_before_it_was_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
