/* SPDX-License-Identifier: Apache-2.0 */
/* Times as text and back, and the virtual clock. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "muster/base/clock.h"

#include <stdlib.h>
#include <time.h>

static void test_iso(void **state)
{
    char buf[32];

    assert_string_equal(clock_iso8601(0, buf), "1970-01-01T00:00:00.000Z");
    assert_string_equal(clock_iso8601(1769860800123, buf), "2026-01-31T12:00:00.123Z");
    assert_string_equal(clock_iso8601(-1, buf), "");
    assert_string_equal(clock_iso8601(INT64_MAX, buf), "");
}

static void test_parse(void **state)
{
    const int64_t now = 1769860800000; /* 2026-01-31T12:00:00Z, 13:00 in Berlin */
    char buf[32];

    assert_int_equal(clock_parse("2026-01-31", now), 1769814000000);
    assert_int_equal(clock_parse("2026-01-31 13:00", now), now);
    assert_int_equal(clock_parse("2026-01-31 13:00:30", now), now + 30000);
    assert_int_equal(clock_parse("2026-01-31T12:00:00Z", now), now);
    assert_int_equal(clock_parse(clock_iso8601(now + 123, buf), now), now + 123);
    assert_int_equal(clock_parse("today", now), 1769814000000);
    assert_int_equal(clock_parse("yesterday", now), 1769814000000 - 86400000);
    assert_int_equal(clock_parse("90s", now), now - 90000);
    assert_int_equal(clock_parse("15m", now), now - 900000);
    assert_int_equal(clock_parse("2h", now), now - 7200000);
    assert_int_equal(clock_parse("3d", now), now - 3 * (int64_t) 86400000);
    assert_int_equal(clock_parse("1w", now), now - 7 * (int64_t) 86400000);
}

static void test_parse_refuses(void **state)
{
    static const char *const bad[] = {
        "",           "now",        "5",        "5x",
        "-5s",        "s",          "5ss",      "99999999999s",
        "2026-02-30", "2026-13-01", "2026-1-1", "2026-01-31 25:00",
        "2026-01-31 12", "2026-01-31x", "2026-01-31 12:00 ", "2026-01-31T12:00:",
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(clock_parse(bad[i], 1769860800000), -1);
}

static void test_summer_time(void **state)
{
    /* The day on which the clocks change has 23 hours. */
    int64_t after = clock_parse("2026-03-29 12:00", 0);

    assert_int_equal(clock_parse("yesterday", after), clock_parse("2026-03-28", 0));
    assert_int_equal(clock_parse("2026-03-30", 0) - clock_parse("2026-03-29", 0), 23 * 3600000);
}

static void test_clocks(void **state)
{
    struct clock_virtual v;
    const struct mclock *c = clock_system();
    int64_t t = mono_ms(c);

    assert_true(mono_ms(c) >= t);
    assert_true(wall_ms(c) > 1600000000000);
    clock_virtual_init(&v, 1000);
    assert_int_equal(mono_ms(&v.clock), 0);
    assert_int_equal(wall_ms(&v.clock), 1000);
    v.now_ms += 250;
    assert_int_equal(mono_ms(&v.clock), 250);
    assert_int_equal(wall_ms(&v.clock), 1250);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_iso),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_summer_time),
        cmocka_unit_test(test_clocks),
    };

    /* Berlin's rules in full, as the zone files may be missing. */
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
