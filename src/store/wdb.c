/* SPDX-License-Identifier: Apache-2.0 */
/* The read-write connection, its transactions, and the batch rows that they touch. */
#include "wdb.h"

#include "schema.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* The file is made here, so that it is never readable for others; SQLite gives -wal and -shm the
 * same mode. Only with O_EXCL: closing a descriptor of an existing database would drop the locks
 * that another connection of this process holds on it. */
static int create_private(const char *path, struct err *e)
{
    int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0)
        close(fd);
    else if (errno != EEXIST)
        return err_set(e, ERR_STORE,
                       "The database %s cannot be made: %s. Check its folder's permissions, or "
                       "name another with --db.", path, strerror(errno));
    return 0;
}

/* The switch to WAL needs the file alone for a moment, and does not wait by itself. */
static int set_wal(struct sql *s)
{
    int64_t until = mono_ms(clock_system()) + BUSY_MAX_MS;
    int rc;

    do
        rc = sql_exec(s, "PRAGMA journal_mode=WAL");
    while ((rc & 0xff) == SQLITE_BUSY && mono_ms(clock_system()) < until);
    return rc;
}

static int configure(struct sql *s, struct err *e)
{
    bool empty = false;
    int rc = SQLITE_OK;

    /* First look whose it is: a file that is not muster's is left as it was. */
    if (schema_check(s, &empty, e))
        return -ERR_STORE;
    if (empty)
        rc = sql_exec(s, "PRAGMA page_size=8192");
    if (rc == SQLITE_OK)
        rc = set_wal(s);
    if (rc == SQLITE_OK)
        rc = sql_exec(s, "PRAGMA synchronous=FULL; PRAGMA cache_size=-4096;"
                         "PRAGMA journal_size_limit=33554432; PRAGMA temp_store=MEMORY");
    if (rc == SQLITE_OK && sqlite3_db_readonly(s->db, "main"))
        rc = SQLITE_READONLY;
    if (rc != SQLITE_OK)
        return sql_err(s, rc, "Opening", e);
    return schema_migrate(s, e);
}

int wdb_open(struct wdb *d, const char *path, const struct mclock *clock, struct err *e)
{
    memset(d, 0, sizeof *d);
    d->clock = clock ? clock : clock_system();
    if (store_check_path(path, e) || create_private(path, e))
        return -ERR_STORE;
    lease_self(&d->self);
    int rc = sql_open(&d->sql, path, SQLITE_OPEN_READWRITE);
    if (rc != SQLITE_OK)
        sql_err(&d->sql, rc, "Opening", e);
    else if (!configure(&d->sql, e))
        return 0;
    sql_close(&d->sql);
    return -ERR_STORE;
}

void wdb_close(struct wdb *d)
{
    outputs_free(d);
    sql_close(&d->sql);
    free(d->rows);
    free(d->owned);
    free(d->touched);
    memset(d, 0, sizeof *d);
}

int batch_row_get(struct wdb *d, int64_t number, struct batch_row **out)
{
    int rc;

    *out = NULL;
    for (size_t i = 0; i < d->n_rows; i++)
        if (d->rows[i].number == number) {
            *out = &d->rows[i];
            return SQLITE_OK;
        }
    sqlite3_stmt *st = sql_get(&d->sql,
        "SELECT first_execution, status, created_at, started_at, completed_at, owner,"
        " cancel_requested_at, " STATS_COLUMNS " FROM batch_executions WHERE number = ?");
    if (!st)
        return sql_code(&d->sql);
    sql_bind(st, "i", number);
    if (!sql_row(st, &rc))
        return rc;
    int status = batch_status_parse((const char *) sqlite3_column_text(st, 1));
    struct batch_row b = {
        .number = number,
        .first = sqlite3_column_int64(st, 0),
        .status = status < 0 ? BATCH_RUNNING : (enum batch_status) status,
        .created = sqlite3_column_int64(st, 2),
        .started = sqlite3_column_int64(st, 3),
        .completed = sqlite3_column_int64(st, 4),
        .owner = sqlite3_column_int64(st, 5),
        .cancel_requested = sqlite3_column_type(st, 6) != SQLITE_NULL,
    };
    stats_from_row(st, 7, &b.stats);
    sql_done(st);
    X_GROW(d->rows, d->cap_rows, d->n_rows + 1);
    d->rows[d->n_rows] = b;
    *out = &d->rows[d->n_rows++];
    return SQLITE_OK;
}

static int batch_row_flush(struct wdb *d, struct batch_row *b)
{
    enum batch_status status = batch_status_of(&b->stats);
    sqlite3_stmt *st = sql_get(&d->sql,
        "UPDATE batch_executions SET started_at = ?, completed_at = ?, (" STATS_COLUMNS ") ="
        " (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) WHERE number = ?");
    int rc;

    if (!st)
        return sql_code(&d->sql);
    sql_bind(st, "oo", b->started, b->completed);
    stats_bind(st, 3, &b->stats);
    sqlite3_bind_int64(st, 3 + STATS_N, b->number);
    if (!sql_row(st, &rc) && rc != SQLITE_OK)
        return rc;
    if (status != b->status) {
        rc = sql_run(&d->sql,
                     "UPDATE batch_executions SET status = ?, owner = NULL WHERE number = ?",
                     "si", batch_status_name(status), b->number);
        b->status = status;
    }
    b->dirty = false;
    return rc;
}

static void owned_forget_ended(struct wdb *d)
{
    for (size_t r = 0; r < d->n_rows; r++) {
        if (d->rows[r].status == BATCH_RUNNING)
            continue;
        for (size_t i = 0; i < d->n_owned; i++)
            if (d->owned[i].number == d->rows[r].number)
                d->owned[i--] = d->owned[--d->n_owned];
    }
}

int wdb_commit(struct wdb *d)
{
    int rc = SQLITE_OK;

    for (size_t i = 0; i < d->n_rows && rc == SQLITE_OK; i++)
        if (d->rows[i].dirty)
            rc = batch_row_flush(d, &d->rows[i]);
    if (rc == SQLITE_OK)
        rc = sql_commit(&d->sql);
    if (rc != SQLITE_OK) {
        wdb_rollback(d);
        return rc;
    }
    outputs_committed(d);
    owned_forget_ended(d);
    d->n_rows = 0;
    return SQLITE_OK;
}

void wdb_rollback(struct wdb *d)
{
    sql_rollback(&d->sql);
    outputs_rolled_back(d);
    d->n_rows = 0;
}

int wdb_end(struct wdb *d, int rc, const char *doing, struct err *e)
{
    if (rc == SQLITE_OK)
        rc = wdb_commit(d);
    else
        wdb_rollback(d);
    return rc == SQLITE_OK ? 0 : sql_err(&d->sql, rc, doing, e);
}

int execution_end(struct wdb *d, struct batch_row *b, int64_t id, enum exec_status from,
                  enum reason reason, const char *error, int64_t when)
{
    if (!batch_stats_move(&b->stats, from, EXEC_FAILED, reason))
        return SQLITE_OK;
    b->dirty = true;
    if (when > b->completed)
        b->completed = when;
    return sql_run(&d->sql,
                   "UPDATE executions SET status = 'failed', reason = ?, error = ?,"
                   " completed_at = ?, remote_process = ?, finished_seq = ? WHERE id = ?",
                   "ssisii", reason_name(reason), error, when,
                   remote_process_name(reason == REASON_LOST ? REMOTE_UNKNOWN : REMOTE_NONE),
                   (int64_t) b->stats.success + b->stats.failed, id);
}

int executions_open(struct wdb *d, const struct batch_row *b, struct open_execution **out,
                    size_t *n)
{
    size_t cap = 0;
    int rc;

    *out = NULL;
    *n = 0;
    sqlite3_stmt *st = sql_get(&d->sql,
        "SELECT id, status = 'running', stdout_id, stderr_id, step FROM executions"
        " WHERE id BETWEEN ? AND ? AND status IN ('queued', 'running') ORDER BY id");
    if (!st)
        return sql_code(&d->sql);
    sql_bind(st, "ii", b->first, b->first + (int64_t) b->stats.total - 1);
    while (sql_row(st, &rc)) {
        X_GROW(*out, cap, *n + 1);
        (*out)[(*n)++] = (struct open_execution){
            .id = sqlite3_column_int64(st, 0),
            .running = sqlite3_column_int(st, 1) != 0,
            .of_plan = sqlite3_column_int(st, 4) != 0,
            .out_id = {sqlite3_column_int64(st, 2), sqlite3_column_int64(st, 3)},
        };
    }
    return rc;
}

int executions_end_queued(struct wdb *d, struct batch_row *b, enum reason reason,
                          const char *error, int64_t when, size_t *moved)
{
    CLEANUP_FREE struct open_execution *open = NULL;
    size_t n = 0;

    int rc = executions_open(d, b, &open, &n);
    for (size_t i = 0; i < n && rc == SQLITE_OK; i++) {
        if (open[i].running)
            continue;
        rc = execution_end(d, b, open[i].id, EXEC_QUEUED, reason, error, when);
        (*moved)++;
    }
    return rc;
}
