/* SPDX-License-Identifier: Apache-2.0 */
/* A binary heap of timers, by time and then by the order of arming. */
#include "timers.h"

#include "muster/base/alloc.h"

static int before(const struct timer *a, const struct timer *b)
{
    return a->due != b->due ? a->due < b->due : a->seq < b->seq;
}

static void place(struct timers *t, size_t i, struct timer *timer)
{
    t->heap[i] = timer;
    timer->at = i + 1;
}

static void sift_up(struct timers *t, size_t i, struct timer *timer)
{
    while (i > 0 && before(timer, t->heap[(i - 1) / 2])) {
        place(t, i, t->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(t, i, timer);
}

static void sift_down(struct timers *t, size_t i, struct timer *timer)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= t->n)
            break;
        if (child + 1 < t->n && before(t->heap[child + 1], t->heap[child]))
            child++;
        if (!before(t->heap[child], timer))
            break;
        place(t, i, t->heap[child]);
        i = child;
    }
    place(t, i, timer);
}

void timers_set(struct timers *t, struct timer *timer, int64_t due)
{
    timers_clear(t, timer);
    timer->due = due;
    timer->seq = t->seq++;
    X_GROW(t->heap, t->cap, t->n + 1);
    sift_up(t, t->n++, timer);
}

void timers_clear(struct timers *t, struct timer *timer)
{
    if (!timer->at)
        return;
    size_t i = timer->at - 1;
    timer->at = 0;
    struct timer *last = t->heap[--t->n];
    if (last == timer)
        return;
    if (i > 0 && before(last, t->heap[(i - 1) / 2]))
        sift_up(t, i, last);
    else
        sift_down(t, i, last);
}

struct timer *timers_pop(struct timers *t, int64_t now, uint64_t seq)
{
    if (!t->n || t->heap[0]->due > now || t->heap[0]->seq >= seq)
        return NULL;
    struct timer *first = t->heap[0];
    timers_clear(t, first);
    return first;
}

int64_t timers_next(const struct timers *t)
{
    return t->n ? t->heap[0]->due : -1;
}

void timers_free(struct timers *t)
{
    free(t->heap);
    t->heap = NULL;
    t->n = t->cap = 0;
}
