/* SPDX-License-Identifier: Apache-2.0 */
/* The writer: the only read-write connection of a process, on a thread of its own, with group
 * commit. Opening it brings the schema up to date and settles the batches of dead owners.
 *
 * It commits as soon as its queue is empty; 256 events, 1 MiB and 25 ms are upper bounds of a group.
 * Any thread may call; the callbacks run on the writer's thread, after the commit, and must not
 * block nor call the synchronous functions below. */
#ifndef MUSTER_STORE_WRITER_H
#define MUSTER_STORE_WRITER_H

#include "muster/core/batch.h"
#include "muster/core/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct mclock;
struct writer;

struct writer_callbacks {
    void *ctx;
    /* The answer to EVENT_CLAIM: true after the row was committed as running. */
    void (*claimed)(void *ctx, int64_t batch, uint32_t position, bool granted);
    /* A FINISH has been committed (or its row was final already: the event is dropped), or a SKIP. */
    void (*finished)(void *ctx, const struct event *ev);
    /* After each commit of anything. */
    void (*committed)(void *ctx);
    /* Another process asked to cancel a batch that this one owns; within 250 ms of the request. The
     * queued rows have been moved already. Once a batch. */
    void (*cancel_requested)(void *ctx, int64_t batch);
    /* Another process asked to pause or to resume a batch that this one owns; as soon as above. */
    void (*pause_requested)(void *ctx, int64_t batch, bool on);
    /* Writing failed (disk full, damaged, locked for over 10 s); once. From now on claims are not
     * granted, and what is reported is kept in memory (bounded by its queue) and tried again every
     * second; `recovered` comes when that worked. */
    void (*failed)(void *ctx, const struct err *e);
    void (*recovered)(void *ctx);
};

/* Opens, migrates, settles. NULL on -ERR_STORE: the text names the path, what SQLite said, and what
 * to do. The callbacks are copied. clock NULL: the system's. */
struct writer *writer_open(const char *path, const struct mclock *clock,
                           const struct writer_callbacks *cb, struct err *e);
/* Commits what is queued, gives up its leases (batches still running are settled: running ones
 * `lost`, queued ones `skipped`), closes. Joins its thread. NULL allowed. */
void writer_close(struct writer *w);

struct batch_new {
    enum action_type type;
    const char *action, *parameters; /* parameters: JSON object text, or NULL */
    const char *const *target_groups;
    size_t n_target_groups;
    const char *user_id, *label; /* label may be NULL */
    int64_t rerun_of;            /* 0: none */
    unsigned fanout;
    const char *const *warnings;
    size_t n_warnings;
    const char *const *nodes; /* n names in target order, each once */
    size_t n_nodes;           /* 1 to BATCH_TARGETS_MAX */
    const char *const *step_titles; /* of a plan */
    size_t n_steps;
};
struct batch_ref {
    int64_t number;
    char id[37];
    int64_t created_ms;
};
/* Writes the batch row and all execution rows in one transaction, and takes the lease. Waits for
 * the commit (10,000 rows: below 100 ms). 0 or -ERR_STORE. */
int writer_create(struct writer *w, const struct batch_new *b, struct batch_ref *out,
                  struct err *e);

/* Queues an event; see struct event_sink. OUTPUT is refused (false) when the queue holds over 16 MiB
 * or 8192 events. */
bool writer_emit(struct writer *w, struct event *ev);

struct cancel_result {
    size_t queued;   /* moved to cancelled by this call */
    size_t running;  /* asked to stop: their owner does it */
    bool ended;      /* the batch had ended already: nothing changed */
    bool owned_here; /* this writer holds the lease */
    bool owner_dead; /* its rows were settled instead */
};
/* In one transaction: records the request, moves queued rows to cancelled. -ERR_NOT_FOUND,
 * -ERR_STORE. */
int writer_cancel(struct writer *w, int64_t number, struct cancel_result *out, struct err *e);

struct pause_result {
    size_t queued;   /* so many wait */
    bool changed;    /* it was not so already */
    bool ended;      /* the batch had ended already: nothing changed */
    bool owned_here; /* this writer holds the lease */
};
/* Records that the batch is paused, or no longer; its owner acts on it. -ERR_NOT_FOUND, -ERR_STORE. */
int writer_pause(struct writer *w, int64_t number, bool on, struct pause_result *out,
                 struct err *e);

/* --- what is known about nodes, and said of things --- */

/* Keeps a set of targets (an expression) under a name, in place of an older one. NULL targets: forgets it;
 * then -ERR_NOT_FOUND when there is none. */
int writer_save_targets(struct writer *w, const char *name, const char *targets,
                        const char *user_id, struct err *e);
/* A note on a node (its name) or, with node NULL, on a batch (-ERR_NOT_FOUND). */
int writer_note(struct writer *w, const char *node, int64_t batch, const char *text,
                const char *user_id, struct err *e);

/* Deletes an ended batch, its executions and the outputs nothing else uses. -ERR_NOT_FOUND,
 * -ERR_FORBIDDEN when it still runs. */
int writer_delete(struct writer *w, int64_t number, struct err *e);

/* For verbs that only read: settles the batches of dead owners (see reader_has_dead_owner), with no
 * writer left open. *settled counts executions. Call it outside of a writer's thread. */
int writer_recover(const char *path, size_t *settled, struct err *e);

#endif
