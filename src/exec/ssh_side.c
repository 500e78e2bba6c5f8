/* SPDX-License-Identifier: Apache-2.0 */
/* The engine inside the engine.
 *
 * Theory of operation: its sessions use the ssh_shared of the engine around it, but hold no
 * reference: they end (side_stop) before that goes. Helpers that are left behind do hold one, by
 * the transports' shared_new. What is submitted is known by its position, a running number, until
 * its last event; the lock is held for looking that up only, never while a callback runs. */
#include "ssh_side.h"

#include "list.h"
#include "ssh_shared.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/core/batch.h"
#include "muster/core/event.h"
#include "muster/exec/ask.h"
#include "muster/exec/transport.h"

#include <pthread.h>

/* One that was submitted and has not ended. */
struct errand {
    struct link link;
    uint32_t number;
    void (*done)(void *ctx, const struct event *finish);
    void (*drop)(void *ctx);
    void *ctx;
};

struct side {
    /* unchanged after side_new */
    struct ssh_shared *shared;
    struct asker *asker; /* a reference, or NULL */
    unsigned handshakes;
    int64_t grace_ms;

    pthread_mutex_t lock; /* guards the rest; the engine is made under it, and its locks are not */
    struct engine *engine; /* NULL before the first use */
    bool stopped;
    uint32_t last;
    struct link errands;
};

struct side *side_new(struct ssh_shared *shared, const struct engine_config *cfg)
{
    struct side *side = x_calloc(1, sizeof *side);

    side->shared = shared;
    side->asker = asker_ref(cfg->asker);
    side->handshakes = cfg->handshakes_per_server;
    side->grace_ms = cfg->stop_grace_ms;
    pthread_mutex_init(&side->lock, NULL);
    link_init(&side->errands);
    return side;
}

/* The errand is the caller's. */
static struct errand *take_errand(struct side *side, uint32_t number)
{
    struct errand *found = NULL;

    pthread_mutex_lock(&side->lock);
    for (struct link *l = side->errands.next; l != &side->errands && !found; l = l->next) {
        struct errand *errand = LINK_OF(l, struct errand, link);

        if (errand->number == number)
            found = errand;
    }
    if (found)
        link_remove(&found->link);
    pthread_mutex_unlock(&side->lock);
    return found;
}

/* What is written comes with the last event as far as it is kept at all: it is but a few lines. */
static bool emit(void *ctx, struct event *ev)
{
    struct side *side = ctx;

    if (ev->kind == EVENT_FINISH) {
        struct errand *errand = take_errand(side, ev->position);

        if (errand)
            errand->done(errand->ctx, ev);
        free(errand);
    }
    event_free(ev);
    return true;
}

/* With the lock held. */
static struct engine *get_engine(struct side *side, struct err *e)
{
    static const struct transport_ops *const transports[] = {&transport_ssh_side,
                                                             &transport_carrier, NULL};
    const struct engine_config cfg = {
        .fanout = FANOUT_MAX,
        .inner = true,
        .reactors = 1,
        .handshakes_per_server = side->handshakes,
        .stop_grace_ms = side->grace_ms,
        .asker = side->asker,
        .shared_ctx = side->shared,
        .transports = transports,
    };
    const struct event_sink sink = {emit, side};

    if (side->stopped) {
        err_set(e, ERR_INTERNAL, "muster leaves");
        return NULL;
    }
    if (!side->engine)
        side->engine = engine_new(&cfg, &sink, e);
    return side->engine;
}

int side_submit(struct ssh_shared *shared, const struct engine_batch *b,
                const struct engine_job *job, void (*done)(void *ctx, const struct event *finish),
                void (*drop)(void *ctx), void *ctx, struct err *e)
{
    struct side *side = shared_side(shared);

    pthread_mutex_lock(&side->lock);

    struct engine *engine = get_engine(side, e);

    if (!engine) {
        pthread_mutex_unlock(&side->lock);
        return -ERR_INTERNAL;
    }

    struct errand *errand = x_calloc(1, sizeof *errand);
    struct engine_job numbered = *job;

    link_append(&side->errands, &errand->link);
    errand->number = numbered.position = ++side->last;
    errand->done = done;
    errand->drop = drop;
    errand->ctx = ctx;
    pthread_mutex_unlock(&side->lock);
    engine_submit(engine, b, &numbered, 1);
    return 0;
}

void side_stop(struct side *side)
{
    pthread_mutex_lock(&side->lock);
    side->stopped = true;
    pthread_mutex_unlock(&side->lock);
    /* Only its own reactor may be submitting still, and that ends before the engine does. */
    engine_free(side->engine);
    side->engine = NULL;
    while (!link_empty(&side->errands)) {
        struct errand *errand = LINK_OF(side->errands.next, struct errand, link);

        link_remove(&errand->link);
        errand->drop(errand->ctx);
        free(errand);
    }
}

void side_free(struct side *side)
{
    if (!side)
        return;
    asker_unref(side->asker);
    pthread_mutex_destroy(&side->lock);
    free(side);
}
