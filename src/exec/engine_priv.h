/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the engine see of it. Lock order: engine, places or the helpers' pool, a
 * reactor's inbox; the sink's own lock is a leaf below all of them. */
#ifndef MUSTER_EXEC_ENGINE_PRIV_H
#define MUSTER_EXEC_ENGINE_PRIV_H

#include "helpers.h"
#include "places.h"
#include "queue.h"
#include "reactor.h"
#include "ssh_keyring.h"

#include "muster/base/clock.h"
#include "muster/core/event.h"

#include <pthread.h>

/* What a transport's sessions share. It belongs to the helpers' pool and goes with its last thread,
 * for work that was left behind may still use it. */
struct shared {
    const struct transport_ops *ops;
    void *of; /* NULL where it has no shared_new */
};

struct engine {
    /* unchanged after engine_new */
    struct event_sink sink;
    const struct mclock *clock;
    struct clock_virtual *sim; /* NULL: threads */
    const struct transport_ops *const *transports;
    struct shared *shared; /* of each transport; the pool's */
    struct keyring *keyring; /* emptied when nothing is left to do; NULL: an inner engine's */
    int64_t stop_grace_ms;
    uint64_t seed;
    int ssh_program; /* atomic: whether PATH has one; 0: not looked yet, 1, -1 */
    bool inner;
    struct helpers *helpers;
    struct places *places;
    struct reactor *reactors;
    unsigned n_reactors;

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t idle;  /* nothing runs any more */
    struct queue queue;
    size_t *load; /* sessions of each reactor */
    bool stopped; /* no dispatch */
    bool aborted; /* what is granted now ends at once */
};

/* A job's session has ended, its event is out: frees the slot and the job. Reactor's thread. */
void engine_ended(struct engine *e, struct job *job);

#endif
