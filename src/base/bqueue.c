/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded queue of pointers between threads.
 *
 * A ring under one mutex. Only the popping thread ever waits, on one condition variable timed by
 * the monotonic clock; pushing threads never do. The lock is a leaf. */
#include "muster/base/bqueue.h"

#include "muster/base/alloc.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

struct entry {
    void *item;
    size_t weight;
};

struct bqueue {
    pthread_mutex_t lock;
    pthread_cond_t more; /* something was pushed, or the queue was closed */
    struct entry *ring;
    size_t cap, head, len;
    size_t weight, max_items, max_weight;
    bool closed;
};

struct bqueue *bqueue_new(size_t max_items, size_t max_weight)
{
    struct bqueue *q = x_calloc(1, sizeof *q);
    pthread_condattr_t attr;

    pthread_mutex_init(&q->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&q->more, &attr);
    pthread_condattr_destroy(&attr);
    q->max_items = max_items;
    q->max_weight = max_weight;
    return q;
}

void bqueue_free(struct bqueue *q)
{
    if (!q)
        return;
    pthread_cond_destroy(&q->more);
    pthread_mutex_destroy(&q->lock);
    free(q->ring);
    free(q);
}

static bool has_room(const struct bqueue *q, size_t weight)
{
    if (!q->len)
        return true;
    if (q->max_items && q->len >= q->max_items)
        return false;
    return !q->max_weight || (q->weight <= q->max_weight && weight <= q->max_weight - q->weight);
}

static void grow(struct bqueue *q)
{
    size_t cap = q->cap ? q->cap * 2 : 16;
    struct entry *ring = x_array(NULL, cap, sizeof *ring);

    for (size_t i = 0; i < q->len; i++)
        ring[i] = q->ring[(q->head + i) % q->cap];
    free(q->ring);
    q->ring = ring;
    q->cap = cap;
    q->head = 0;
}

bool bqueue_push(struct bqueue *q, void *item, size_t weight, bool force)
{
    bool taken;

    pthread_mutex_lock(&q->lock);
    taken = !q->closed && (force || has_room(q, weight));
    if (taken) {
        if (q->len == q->cap)
            grow(q);
        q->ring[(q->head + q->len) % q->cap] = (struct entry) {item, weight};
        q->weight += weight;
        if (!q->len++)
            pthread_cond_signal(&q->more);
    }
    pthread_mutex_unlock(&q->lock);
    return taken;
}

static void wait_for_more(struct bqueue *q, int64_t timeout_ms)
{
    struct timespec until;

    if (timeout_ms < 0) {
        while (!q->len && !q->closed)
            pthread_cond_wait(&q->more, &q->lock);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t) (timeout_ms / 1000);
    until.tv_nsec += (long) (timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (!q->len && !q->closed) {
        if (pthread_cond_timedwait(&q->more, &q->lock, &until) == ETIMEDOUT)
            return;
    }
}

size_t bqueue_pop(struct bqueue *q, void **items, size_t max, int64_t timeout_ms)
{
    size_t n = 0;

    pthread_mutex_lock(&q->lock);
    if (!q->len && !q->closed && timeout_ms)
        wait_for_more(q, timeout_ms);
    for (; n < max && q->len; n++) {
        struct entry *e = &q->ring[q->head];

        items[n] = e->item;
        q->weight -= e->weight;
        q->head = (q->head + 1) % q->cap;
        q->len--;
    }
    pthread_mutex_unlock(&q->lock);
    return n;
}

void bqueue_close(struct bqueue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->more);
    pthread_mutex_unlock(&q->lock);
}

bool bqueue_closed(struct bqueue *q)
{
    bool closed;

    pthread_mutex_lock(&q->lock);
    closed = q->closed;
    pthread_mutex_unlock(&q->lock);
    return closed;
}

size_t bqueue_len(struct bqueue *q)
{
    size_t len;

    pthread_mutex_lock(&q->lock);
    len = q->len;
    pthread_mutex_unlock(&q->lock);
    return len;
}
