/* SPDX-License-Identifier: Apache-2.0 */
/* A queue of pointers between threads, bounded in items and in weight (bytes). Any number of
 * threads push, one pops. Ownership of an item passes with a push that succeeds. Its lock is a
 * leaf: nothing else is taken while it is held. */
#ifndef MUSTER_BASE_BQUEUE_H
#define MUSTER_BASE_BQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bqueue;
struct bqueue *bqueue_new(size_t max_items, size_t max_weight); /* 0: no bound */
void bqueue_free(struct bqueue *q); /* must be empty or its items accounted for; NULL allowed */
/* Never blocks. false when the bounds would be passed (unless it is empty: one item always fits) or
 * when it is closed; `force` passes the bounds. */
bool bqueue_push(struct bqueue *q, void *item, size_t weight, bool force);
/* Takes up to `max` items; waits up to timeout_ms (-1: for ever, 0: not) for the first. Returns how
 * many; 0 on timeout, or when closed and empty. */
size_t bqueue_pop(struct bqueue *q, void **items, size_t max, int64_t timeout_ms);
void bqueue_close(struct bqueue *q); /* pushes fail from now on, pop drains what is left */
bool bqueue_closed(struct bqueue *q);
size_t bqueue_len(struct bqueue *q);

#endif
