/* SPDX-License-Identifier: Apache-2.0 */
/* The system's clock, a virtual one, and times as text. */
#include "muster/base/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t system_mono(const struct mclock *c)
{
    return read_clock(CLOCK_MONOTONIC);
}

static int64_t system_wall(const struct mclock *c)
{
    return read_clock(CLOCK_REALTIME);
}

const struct mclock *clock_system(void)
{
    static const struct mclock clock = {system_mono, system_wall};

    return &clock;
}

static int64_t virtual_mono(const struct mclock *c)
{
    return ((const struct clock_virtual *) c)->now_ms;
}

static int64_t virtual_wall(const struct mclock *c)
{
    const struct clock_virtual *v = (const struct clock_virtual *) c;

    return v->wall_base_ms + v->now_ms;
}

void clock_virtual_init(struct clock_virtual *v, int64_t wall_base_ms)
{
    *v = (struct clock_virtual) {{virtual_mono, virtual_wall}, 0, wall_base_ms};
}

char *clock_iso8601(int64_t wall_ms, char *buf)
{
    time_t t = (time_t) (wall_ms / 1000);
    struct tm tm;

    buf[0] = '\0';
    if (wall_ms < 0 || !gmtime_r(&t, &tm) || tm.tm_year > 9999 - 1900)
        return buf;
    strftime(buf, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(buf + strlen(buf), 8, ".%03dZ", (int) (wall_ms % 1000));
    return buf;
}

/* Exactly n digits, moving *s past them. */
static bool take_number(const char **s, int n, int *out)
{
    *out = 0;
    for (; n; n--, (*s)++) {
        if (**s < '0' || **s > '9')
            return false;
        *out = *out * 10 + (**s - '0');
    }
    return true;
}

static bool take_char(const char **s, char c)
{
    if (**s != c)
        return false;
    (*s)++;
    return true;
}

/* The time of the day after a date: "12:00", "12:00:30", "12:00:30.123". */
static bool take_time(const char **s, struct tm *tm, int *ms)
{
    if (!take_number(s, 2, &tm->tm_hour) || !take_char(s, ':') ||
        !take_number(s, 2, &tm->tm_min))
        return false;
    if (take_char(s, ':') && !take_number(s, 2, &tm->tm_sec))
        return false;
    if (take_char(s, '.')) {
        int scale = 100;

        if (**s < '0' || **s > '9')
            return false;
        for (; **s >= '0' && **s <= '9'; (*s)++, scale /= 10)
            *ms += (**s - '0') * scale;
    }
    return tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec < 61;
}

static int64_t parse_date(const char *s)
{
    struct tm tm = {.tm_isdst = -1}, asked;
    bool utc = false;
    int ms = 0;
    time_t t;

    if (!take_number(&s, 4, &tm.tm_year) || !take_char(&s, '-') ||
        !take_number(&s, 2, &tm.tm_mon) || !take_char(&s, '-') ||
        !take_number(&s, 2, &tm.tm_mday))
        return -1;
    tm.tm_year -= 1900;
    tm.tm_mon--;
    if (*s) {
        if (*s != ' ' && *s != 'T')
            return -1;
        s++;
        if (!take_time(&s, &tm, &ms))
            return -1;
        utc = take_char(&s, 'Z');
    }
    if (*s)
        return -1;
    asked = tm;
    t = utc ? timegm(&tm) : mktime(&tm);
    /* The 30th of February would silently become a day in March. */
    if (t < 0 || tm.tm_mday != asked.tm_mday || tm.tm_mon != asked.tm_mon)
        return -1;
    return (int64_t) t * 1000 + ms;
}

static int64_t parse_age(const char *s, int64_t now_wall_ms)
{
    static const struct {
        char unit;
        int64_t ms;
    } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}, {'w', 604800000}};
    int64_t n = 0;
    const char *p = s;

    for (; *p >= '0' && *p <= '9'; p++) {
        if (p - s >= 9)
            return -1;
        n = n * 10 + (*p - '0');
    }
    if (p == s || !p[0] || p[1])
        return -1;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (units[i].unit == *p) {
            int64_t t = now_wall_ms - n * units[i].ms;

            return t > 0 ? t : 0;
        }
    }
    return -1;
}

int64_t clock_parse(const char *text, int64_t now_wall_ms)
{
    int back = !strcmp(text, "today") ? 0 : !strcmp(text, "yesterday") ? 1 : -1;

    if (back >= 0) {
        time_t now = (time_t) (now_wall_ms / 1000), t;
        struct tm tm;

        localtime_r(&now, &tm);
        tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
        tm.tm_mday -= back;
        tm.tm_isdst = -1;
        t = mktime(&tm);
        return t < 0 ? -1 : (int64_t) t * 1000;
    }
    if (strlen(text) >= 10 && text[4] == '-')
        return parse_date(text);
    return parse_age(text, now_wall_ms);
}
