/* SPDX-License-Identifier: Apache-2.0 */
/* What the modules of the reader share. */
#ifndef MUSTER_STORE_RDB_H
#define MUSTER_STORE_RDB_H

#include "lease.h"
#include "sql.h"

#include "muster/base/strbuf.h"
#include "muster/core/batch.h"
#include "muster/store/reader.h"

#include <sys/types.h>

struct err;

struct reader {
    char *path;
    struct sql sql;
    bool open; /* false: there is no database yet */
    bool snapshot; /* one transaction spans the calls */
    dev_t dev; /* of the file that is open: another may take its place */
    ino_t ino;
    struct lease self;
    int64_t data_version;
    bool asked; /* reader_changed has been called for this file */
};

/* Starts the one read transaction of a call. 1: go on, and call reader_end; 0: there is no
 * database, read as empty; -ERR_STORE. */
int reader_begin(struct reader *r, struct err *e);
void reader_end(struct reader *r);
/* The error for an SQLite code, as a return value; 0 for SQLITE_OK. */
int reader_rc(struct reader *r, int rc, struct err *e);
int reader_no_batch(int64_t number, struct err *e);

/* Where a batch's executions lie. */
struct span {
    int64_t number, first, last; /* execution ids */
    struct batch_stats stats;
};
/* As reader_begin, but 1 or an error: -ERR_NOT_FOUND when there is no such batch. */
int reader_begin_batch(struct reader *r, int64_t number, struct span *s, struct err *e);

#define EXECUTION_COLUMNS                                                                      \
    "x.batch_number, x.batch_position, x.node_name, x.status, x.reason, x.error, "             \
    "x.started_at, x.completed_at, x.duration, x.attempts, x.transport, x.host, x.user, "      \
    "x.port, x.remote_process, x.exit_code, x.signal, x.stdout_id, x.stderr_id, "              \
    "x.stdout_size, x.stderr_size, x.stdout_truncated, x.stderr_truncated, x.finished_seq, "     \
    "x.bytes_done, x.bytes_total, x.note, x.step"
#define EXECUTION_N_COLUMNS 28
void execution_from_row(sqlite3_stmt *st, struct execution *x);
/* A growing array of executions. Returns the next, zeroed. */
struct execution *executions_push(struct execution **v, size_t *n, size_t *cap);
/* Adds the execution with this id, if there is one. An SQLite code. */
int executions_push_id(struct reader *r, int64_t id, struct execution **v, size_t *n,
                       size_t *cap);
/* The integers of a query's first column. Caller frees. */
int column_ints(sqlite3_stmt *st, int64_t **out, size_t *n);

/* A query put together from conditions, with its parameters. Texts must outlive it. */
#define QUERY_PARAMS_MAX 64
struct query {
    struct strbuf sql;
    struct {
        const char *text; /* NULL: the number */
        int64_t number;
    } param[QUERY_PARAMS_MAX];
    size_t n;
};
void query_init(struct query *q, const char *sql);
void query_free(struct query *q);
void query_add(struct query *q, const char *sql);
void query_int(struct query *q, const char *sql, int64_t value);
void query_text(struct query *q, const char *sql, const char *value);
/* The statement, bound; NULL: sql_code() says why. */
sqlite3_stmt *query_start(struct reader *r, struct query *q);

static inline int64_t sql_limit(size_t n)
{
    return n > (size_t) INT32_MAX ? INT32_MAX : (int64_t) n;
}

#endif
