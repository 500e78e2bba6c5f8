/* SPDX-License-Identifier: Apache-2.0 */
/* A heap of intrusive timers; one reactor's, not locked. Equal times fire in the order in which
 * they were armed. */
#ifndef MUSTER_EXEC_TIMERS_H
#define MUSTER_EXEC_TIMERS_H

#include <stddef.h>
#include <stdint.h>

struct session;

struct timer {
    struct session *session;
    int which;
    int64_t due; /* monotonic ms */
    uint64_t seq;
    size_t at; /* place in the heap from 1; 0: not armed */
};

struct timers {
    struct timer **heap; /* heap[0] is the next one */
    size_t n, cap;
    uint64_t seq; /* of the next one that is armed */
};

void timers_set(struct timers *t, struct timer *timer, int64_t due); /* arms or moves */
void timers_clear(struct timers *t, struct timer *timer);            /* harmless when not armed */
/* Takes out and returns the first timer due at `now` that was armed before `seq`, or NULL. */
struct timer *timers_pop(struct timers *t, int64_t now, uint64_t seq);
int64_t timers_next(const struct timers *t); /* time of the next one, -1: none */
void timers_free(struct timers *t);

#endif
