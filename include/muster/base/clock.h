/* SPDX-License-Identifier: Apache-2.0 */
/* Time, injectable: everything that waits or stamps asks one of these, so tests can hold a clock
 * of their own. */
#ifndef MUSTER_BASE_CLOCK_H
#define MUSTER_BASE_CLOCK_H

#include <stdint.h>

struct mclock {
    int64_t (*mono_ms)(const struct mclock *c); /* never goes back; ms */
    int64_t (*wall_ms)(const struct mclock *c); /* ms since the epoch, UTC */
};

const struct mclock *clock_system(void); /* any thread */

/* A clock that stands until it is moved. One thread (or guard it yourself). */
struct clock_virtual {
    struct mclock clock; /* pass &v.clock */
    int64_t now_ms, wall_base_ms;
};
void clock_virtual_init(struct clock_virtual *v, int64_t wall_base_ms);

static inline int64_t mono_ms(const struct mclock *c)
{
    return c->mono_ms(c);
}
static inline int64_t wall_ms(const struct mclock *c)
{
    return c->wall_ms(c);
}

/* "2026-01-31T12:00:00.123Z"; buf has at least 32 bytes. Returns buf. Negative: "". */
char *clock_iso8601(int64_t wall_ms, char *buf);
/* Parses a date or time of the user's, local time: "2026-01-31", "2026-01-31 12:00[:30]", ISO 8601
 * with Z, "today", "yesterday", or an age as "90s", "15m", "2h", "3d", "1w". Returns ms since the
 * epoch, or -1 when it is none of these. */
int64_t clock_parse(const char *text, int64_t now_wall_ms);

#endif
