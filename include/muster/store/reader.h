/* SPDX-License-Identifier: Apache-2.0 */
/* Readers: read-only connections, any number, also of other processes. A reader belongs to one
 * thread. Every call is one short read transaction, or part of a snapshot. All fail with
 * -ERR_STORE (the text names the path) and, where a batch is named, -ERR_NOT_FOUND. What is returned
 * is owned by the caller, freed by the function named. */
#ifndef MUSTER_STORE_READER_H
#define MUSTER_STORE_READER_H

#include "muster/core/batch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct nodeset;
struct reader;

/* Opens read-only. A database that does not exist yet reads as empty, and is found once a writer has
 * made it. NULL on -ERR_STORE: damaged, not a database of muster, or of a newer version. */
struct reader *reader_open(const char *path, struct err *e);
void reader_close(struct reader *r);

/* True when anything was committed, by any process, since the last call (and the first time).
 * 3 us: PRAGMA data_version. */
bool reader_changed(struct reader *r);

/* One view over several calls: all until reader_end_snapshot() see the same moment. For what is read
 * at one go into memory: while it lasts no checkpoint passes it and the log beside the database
 * grows, so nothing that may wait (a pipe, a person) belongs inside. 0, also when there is no
 * database yet (each call then reads as empty), or -ERR_STORE; end it in the first case only. */
int reader_begin_snapshot(struct reader *r, struct err *e);
void reader_end_snapshot(struct reader *r);

/* A process that ran a batch has died: writer_recover() would settle it. */
bool reader_has_dead_owner(struct reader *r);

/* "last" (the newest), a number with or without '#', a full id, or an id's beginning of at least 8
 * digits when only one has it. */
int reader_resolve(struct reader *r, const char *name, int64_t *number, struct err *e);
int reader_batch(struct reader *r, int64_t number, struct batch *out, struct err *e);

struct batch_filter {
    int type;         /* enum action_type, -1: any */
    int status;       /* enum batch_status, -1: any */
    int kind;         /* 0 any, 1 single, 2 batch of several */
    int64_t since_ms, until_ms; /* created in [since, until); 0: open */
    const char *text; /* smart-case substring of action, targets, label; NULL: any */
    const char *node; /* one of its nodes; NULL: any */
    const char *user; /* NULL: any */
    bool not_success; /* any status but success */
};
#define BATCH_FILTER_ANY {-1, -1, 0, 0, 0, NULL, NULL, NULL, false}
/* Newest first. `before`: only numbers below it (keyset page), 0: from the newest. `*total` (may be
 * NULL) counts all that match, ignoring before and limit. */
int reader_batches(struct reader *r, const struct batch_filter *f, int64_t before, size_t offset,
                   size_t limit, struct batch **out, size_t *n, size_t *total, struct err *e);
void batches_free(struct batch *b, size_t n);

enum exec_sort {
    SORT_NAME, SORT_STATUS, SORT_DURATION, SORT_POSITION, SORT_FINISHED,
    SORT_ACTIVITY, /* running, failed and succeeded (the newest ends first), waiting, skipped */
    SORT_COUNT
};
int exec_sort_parse(const char *name);

struct exec_filter {
    unsigned status_mask; /* bit enum exec_status; 0: any */
    unsigned reason_mask; /* bit enum reason; 0: any */
    const char *node;     /* this very node; NULL: any */
    const char *text;     /* smart-case substring of node name or error; NULL: any */
    bool rc_set;
    int rc;               /* this exit code, when rc_set */
    bool class_set;       /* only of this output class: */
    int class_exit;       /* exit code, -1: none */
    int class_reason;     /* enum reason */
    int64_t class_out[2]; /* output ids */
};
#define EXEC_FILTER_ANY {0}
/* A page of a batch's executions; *total counts all that match. By name means natural order. */
int reader_executions(struct reader *r, int64_t number, const struct exec_filter *f,
                      enum exec_sort sort, bool reverse, size_t offset, size_t limit,
                      struct execution **out, size_t *n, size_t *total, struct err *e);
/* Those that ended after `seq` (see finished_seq), in the order of their ends. */
int reader_finished_since(struct reader *r, int64_t number, int64_t seq, size_t limit,
                          struct execution **out, size_t *n, struct err *e);
int reader_execution(struct reader *r, int64_t number, uint32_t position, struct execution *out,
                     struct err *e);
void executions_free(struct execution *x, size_t n);
/* All node names in target order. */
int reader_nodes(struct reader *r, int64_t number, struct strv *out, struct err *e);
/* Names for a target expression: what is NULL (all), "failed" (without skipped), "success", a
 * reason's name, or "rc=N". -ERR_VALIDATION when what is none of these. */
int reader_nodes_by_result(struct reader *r, int64_t number, const char *what,
                           struct nodeset *out, struct err *e);

/* Adds the nodes of the n-th class (from 1) of reader_classes(). -ERR_VALIDATION: there are fewer. */
int reader_nodes_by_class(struct reader *r, int64_t number, size_t n, struct nodeset *out,
                          struct err *e);

/* --- plans --- */

/* The steps of one execution, in order; step_runs_free(). */
int reader_steps(struct reader *r, int64_t number, uint32_t position, struct step_run **out,
                 size_t *n, struct err *e);
/* Of all nodes, a row for each of the batch's n_steps; free(). */
int reader_step_stats(struct reader *r, int64_t number, struct step_stats **out, size_t *n,
                      struct err *e);

/* --- what is known about nodes, and said of things --- */

struct node_facts {
    char *node;
    char *facts;      /* the text of a JSON object */
    int64_t learned_ms, batch;
};
/* Of one node (*n is 0 or 1), or with NULL of all. */
int reader_facts(struct reader *r, const char *node, struct node_facts **out, size_t *n,
                 struct err *e);
void node_facts_free(struct node_facts *v, size_t n);

struct saved_targets {
    char *name, *targets, *user_id;
    int64_t saved_ms;
};
/* By name; of one name (*n is 0 or 1), or with NULL all. */
int reader_saved(struct reader *r, const char *name, struct saved_targets **out, size_t *n,
                 struct err *e);
void saved_targets_free(struct saved_targets *v, size_t n);

struct note {
    char *text, *user_id;
    int64_t written_ms;
};
/* Of a node, or with NULL of a batch; oldest first. */
int reader_notes(struct reader *r, const char *node, int64_t batch, struct note **out, size_t *n,
                 struct err *e);
void notes_free(struct note *v, size_t n);

/* Looks at every page. 0, or -ERR_STORE with the first fault. */
int reader_integrity(struct reader *r, struct err *e);

/* Classes of equal results: same reason, exit code, stdout and stderr. Largest first, ended
 * executions only. */
struct output_class {
    size_t count;
    enum exec_status status;
    enum reason reason;
    int exit_code; /* -1: none */
    int64_t out_id[2];
    uint64_t out_size[2];
    bool truncated[2]; /* of one of its nodes at least: what was not kept may differ */
    char *error;      /* of its first node, or NULL */
    char *nodes;      /* folded, at most 1 KiB */
    char *first_line; /* of stdout, else stderr, else the error; raw, at most 256 bytes */
    size_t first_line_len;
};
int reader_classes(struct reader *r, int64_t number, size_t offset, size_t limit,
                   struct output_class **out, size_t *n, size_t *total, struct err *e);
void classes_free(struct output_class *c, size_t n);

/* Output bytes, raw. id 0 is empty. Calls fn with pieces (at most 1 MiB each) from offset on, up to
 * `len` bytes in all; a piece is valid during the call; fn returns false to stop. The output of a
 * running execution grows as its chunks are committed (reader_live_output gives its ids). */
int reader_output(struct reader *r, int64_t id, uint64_t offset, uint64_t len,
                  bool (*fn)(void *ctx, const void *p, size_t n), void *ctx, struct err *e);
/* The whole of one output, at most max bytes. Caller frees *p (NUL after it). */
int reader_output_all(struct reader *r, int64_t id, size_t max, char **p, size_t *n,
                      struct err *e);
/* Executions whose stdout or stderr holds the text: their number in *nodes, its hits in *hits (each
 * output is searched once however many nodes share it). Smart-case. Reads at most 64 MiB, then
 * *partial is set. */
int reader_search(struct reader *r, int64_t number, const char *text, size_t *nodes, size_t *hits,
                  bool *partial, struct err *e);

/* Everything that ran on a node, newest first; each with its batch's action. `before`: only of
 * batches with lower numbers (keyset page), 0: from the newest; *total counts all. */
struct node_run {
    struct execution x;
    char *action;
};
int reader_node_runs(struct reader *r, const char *node, int64_t before, size_t offset,
                     size_t limit, struct node_run **out, size_t *n, size_t *total,
                     struct err *e);
void node_runs_free(struct node_run *v, size_t n);
/* The newest run of each of these nodes (n names), for the picker: out[i] has batch 0 when it never
 * ran. Caller gives n zeroed elements and clears each with execution_clear. */
int reader_last_runs(struct reader *r, const char *const *nodes, size_t n, struct execution *out,
                     struct err *e);

/* Commands used before, newest first, each once. */
int reader_commands(struct reader *r, size_t limit, struct strv *out, struct err *e);
/* Durations in ms at these percentiles of ended executions that ran: p50, p95; -1 each when fewer
 * than 20. And the slowest that run now. */
int reader_percentiles(struct reader *r, int64_t number, int64_t *p50, int64_t *p95,
                       struct err *e);
/* Bytes of a copy, of all nodes that have begun. */
int reader_bytes(struct reader *r, int64_t number, uint64_t *done, uint64_t *total, struct err *e);
/* Of a copy that still runs, in percent: what of each node's bytes is there, its ended nodes as a whole;
 * batch_progress() where nothing more can be told. */
unsigned reader_copy_progress(struct reader *r, const struct batch *b);

#endif
