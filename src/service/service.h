/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the service share. */
#ifndef MUSTER_SRC_SERVICE_H
#define MUSTER_SRC_SERVICE_H

#include "muster/base/err.h"
#include "muster/base/thread.h"
#include "muster/core/config.h"
#include "muster/service/service.h"

#include <pthread.h>
#include <stdatomic.h>

struct answers;
struct asker;
struct copies;
struct engine;
struct fleet;
struct inventory_watch;
struct reader;
struct plans;
struct stages;
struct strbuf;
struct writer;

struct service {
    struct config config;
    char *db_path;
    struct strv inventories, task_path;
    char *ssh_config;
    unsigned fanout;    /* of the engine */
    unsigned max_queue;
    bool read_only, ephemeral;

    struct fleet *fleet;       /* the last that could be read */
    struct err fleet_error;    /* of the last try */
    int64_t failed_ms;         /* when that was */
    struct fleet **retired;    /* fleets before it, until service_fleet_release() */
    size_t n_retired;
    struct inventory_watch *watch;
    bool stale; /* read the inventory again at the next use */
    bool refresh_inventories;  /* at the next use, run programs too */
    char *program;             /* see service_options */
    int64_t due_ms;            /* wall clock: when an inventory's program is to run again; 0: never */

    struct waker waker;
    struct writer *writer; /* NULL until something is written */
    /* NULL until something runs. Set by the main thread under engine_lock, which the writer's
     * callbacks hold while they use it; engine_lock comes before every lock of the engine. */
    struct engine *engine;
    pthread_mutex_t engine_lock;

    struct asker *asker; /* of questions to the user; NULL: this face shows none */

    struct stages *stages; /* decides when more of a batch is started */

    struct plans *plans; /* leads the nodes of plans from step to step */

    struct answers *answers; /* what tasks say of themselves */

    struct copies *copies; /* pulls take what their nodes send; NULL once we leave */

    /* FINISH events on their way to the writer, and those it has committed: equal when nothing that has
     * ended is still unwritten. */
    atomic_size_t finish_emitted, finish_committed;

    /* --- protected by lock --- */
    pthread_mutex_t lock;
    char *trouble;    /* why dispatch has stopped, or NULL */
    /* --- main thread only --- */
    char *trouble_shown; /* what service_trouble() returned */
    /* Batches whose cancel could not be written yet. */
    int64_t *unwritten;
    size_t n_unwritten, cap_unwritten;
};

/* The writer, opened at first use (settles dead owners' batches). NULL and e when it cannot be. */
struct writer *service_writer(struct service *s, struct err *e);
/* The engine, started at first use, or anew with a larger fanout while it is idle. */
struct engine *service_engine(struct service *s, unsigned fanout, struct err *e);
/* Writes the cancels that could not be written before; called when something was committed. */
void service_write_cancels(struct service *s);
/* -ERR_FORBIDDEN when changes are refused. */
int service_may_change(const struct service *s, struct err *e);

#endif
