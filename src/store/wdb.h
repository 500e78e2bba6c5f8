/* SPDX-License-Identifier: Apache-2.0 */
/* The writing side below the queue: one read-write connection, the batch rows that the open
 * transaction has touched, and the outputs that grow. Everything here runs on the writer's thread
 * (or before it starts and after it ended), inside a transaction unless it says otherwise.
 * Functions return SQLITE_OK or an SQLite code; wdb_rollback() then undoes what is kept in memory
 * too, so that the same events can be applied again. */
#ifndef MUSTER_STORE_WDB_H
#define MUSTER_STORE_WDB_H

#include "lease.h"
#include "sql.h"

#include "muster/core/batch.h"
#include "muster/core/event.h"

struct batch_new;
struct batch_ref;
struct cancel_result;
struct err;
struct mclock;
struct pause_result;
struct stream;

#define BUSY_MAX_MS 10000 /* a lock held for longer is a failure */
#define STREAM_BUCKETS 256

/* A batch row as the transaction sees it; written back by batch_rows_flush. */
struct batch_row {
    int64_t number, first; /* first: id of its first execution */
    enum batch_status status;
    int64_t created, started, completed; /* completed: the last end so far, 0: none */
    int64_t owner;                       /* 0: none */
    bool cancel_requested;
    struct batch_stats stats;
    bool dirty;
};

struct owned_batch {
    int64_t number;
    bool cancel_seen;
    bool paused; /* as last seen */
};

struct wdb {
    struct sql sql;
    struct lease self;
    int64_t owner_id; /* the lease's row, 0 until the first batch */
    const struct mclock *clock;
    struct batch_row *rows; /* of the open transaction */
    size_t n_rows, cap_rows;
    struct owned_batch *owned; /* running ones of this process */
    size_t n_owned, cap_owned;
    struct stream *streams[STREAM_BUCKETS]; /* executions whose output grows, by execution id */
    struct stream **touched;                /* those that the open transaction changed */
    size_t n_touched, cap_touched;
};

/* Opens (0600), sets the pragmas, migrates. 0 or -ERR_STORE; closed again when it failed. */
int wdb_open(struct wdb *d, const char *path, const struct mclock *clock, struct err *e);
void wdb_close(struct wdb *d);

/* A transaction: flushes the batch rows, commits. After a code other than SQLITE_OK it is rolled
 * back, in memory too. */
int wdb_commit(struct wdb *d);
void wdb_rollback(struct wdb *d);
/* The end of a transaction whose work gave rc: commits when that is SQLITE_OK, else rolls back. 0, or
 * -ERR_STORE with what failed, `doing` before the path. */
int wdb_end(struct wdb *d, int rc, const char *doing, struct err *e);

/* *out NULL: no such batch. Valid until the next batch_row_get or the transaction's end. */
int batch_row_get(struct wdb *d, int64_t number, struct batch_row **out);
/* Ends one execution that has not ended yet, in its row and in the counters. */
int execution_end(struct wdb *d, struct batch_row *b, int64_t id, enum exec_status from,
                  enum reason reason, const char *error, int64_t when);
/* Ends all that are queued, in target order; *moved counts them. */
int executions_end_queued(struct wdb *d, struct batch_row *b, enum reason reason,
                          const char *error, int64_t when, size_t *moved);
/* Executions of b that have not ended: ids in target order, and whether each runs. Caller frees. */
struct open_execution {
    int64_t id;
    bool running;
    bool of_plan; /* one step of it has begun at least */
    int64_t out_id[2];
};
int executions_open(struct wdb *d, const struct batch_row *b, struct open_execution **out,
                    size_t *n);

/* Events (apply.c). `hashed` has a bit for each stream whose bytes went into its hash already: an
 * event that is applied again after a rollback must not add them twice. */
int apply_claim(struct wdb *d, const struct event *ev, bool *granted);
int apply_output(struct wdb *d, const struct event *ev, unsigned *hashed);
int apply_progress(struct wdb *d, const struct event *ev);
int apply_finish(struct wdb *d, const struct event *ev, unsigned *hashed);
int apply_skip(struct wdb *d, const struct event *ev);

/* Steps of plans (steps.c). */
/* Opens a step's row; its execution stands at it from now on. */
int step_open(struct wdb *d, int64_t exec, unsigned step, int64_t when);
/* The same for a later step than its execution's last: only while that runs. */
int step_go_on(struct wdb *d, int64_t exec, unsigned step, int64_t when, bool *granted);
int step_status(struct wdb *d, int64_t exec, unsigned step, int *status); /* -1: no row */
/* Its output grew: the execution shows it. */
int step_output(struct wdb *d, int64_t exec, unsigned step, int stream, int64_t id, uint64_t size);
/* What an event's end leaves of the outputs. */
struct outputs {
    int64_t id[2];
    uint64_t size[2];
    bool truncated[2];
};
/* Closes the row (made here when the step was never claimed); *took: there is one now, and it was
 * open until now. */
int step_finish(struct wdb *d, int64_t exec, const struct event *ev, const struct outputs *o,
                bool *took);
/* The execution goes on after this step. */
int step_leave(struct wdb *d, int64_t exec, const struct event *ev, const struct outputs *o);
/* Ends rows that are open though their execution ends; an id of out_id that is theirs stays right. */
int steps_settle(struct wdb *d, int64_t exec, enum exec_status status, enum reason reason,
                 const char *error, int64_t when, int64_t out_id[2]);

/* What is known about nodes, and said of things (known.c). */
int facts_learn(struct wdb *d, int64_t exec, const struct event *ev);
int request_save(struct wdb *d, const char *name, const char *targets, const char *user,
                 struct err *e);
int request_note(struct wdb *d, const char *node, int64_t batch, const char *text,
                 const char *user, struct err *e);

/* Outputs (outputs.c); `exec` is a stream_key(). */
int output_append(struct wdb *d, int64_t exec, int stream, const struct event *ev,
                  unsigned *hashed, int64_t *id, uint64_t *size);
int outputs_finish(struct wdb *d, int64_t exec, const struct event *ev, unsigned *hashed,
                   int64_t ids[2], uint64_t sizes[2]);
/* The execution had ended already: forgets what was kept of its output. */
void outputs_drop(struct wdb *d, int64_t exec);
/* Hashes and folds an output that its writer left open; *id becomes the one that stays. */
int output_settle(struct wdb *d, int64_t *id);
void outputs_committed(struct wdb *d);
void outputs_rolled_back(struct wdb *d);
void outputs_free(struct wdb *d);

/* Synchronous work (request.c): each is a transaction of its own; 0 or -code with e set. */
int request_create(struct wdb *d, const struct batch_new *b, struct batch_ref *out,
                   struct err *e);
int request_cancel(struct wdb *d, int64_t number, struct cancel_result *out, struct err *e);
int request_pause(struct wdb *d, int64_t number, bool on, struct pause_result *out,
                  struct err *e);
int request_delete(struct wdb *d, int64_t number, struct err *e);
int no_such_batch(int64_t number, struct err *e);

/* Leases and recovery (recover.c). */
int owner_state_of(struct wdb *d, int64_t owner, enum owner_state *state, int64_t *pid);
/* Ends what has not ended: running ones lost, queued ones skipped. `verb`: "went away". */
int settle_batch(struct wdb *d, struct batch_row *b, int64_t pid, const char *verb, int64_t when,
                 size_t *settled);
/* The last moment something is known of it. */
int batch_last_sign(struct wdb *d, const struct batch_row *b, int64_t *when);
/* Settles all batches of dead owners, in one transaction of its own; cheap when there is none. */
int recover_dead(struct wdb *d, size_t *settled, struct err *e);
/* Settles what this process still runs, and takes its lease away; its own transaction. */
int lease_release(struct wdb *d, struct err *e);

#endif
