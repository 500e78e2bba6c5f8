/* SPDX-License-Identifier: Apache-2.0 */
/* Applies events to the rows: claims, output, ends. */
#include "wdb.h"

#include "muster/base/log.h"

/* The batch and the row's id of an event; *b NULL when there is no such execution. */
static int locate(struct wdb *d, const struct event *ev, struct batch_row **b, int64_t *id)
{
    int rc = batch_row_get(d, ev->batch, b);

    if (rc == SQLITE_OK && *b && ev->position >= (*b)->stats.total)
        *b = NULL;
    if (*b)
        *id = (*b)->first + ev->position;
    return rc;
}

int apply_claim(struct wdb *d, const struct event *ev, bool *granted)
{
    struct batch_row *b;
    int64_t id = 0;

    *granted = false;
    int rc = locate(d, ev, &b, &id);
    if (rc != SQLITE_OK || !b)
        return rc;
    /* Another process may have cancelled it: only a row that still waits is taken. */
    rc = sql_run(&d->sql,
                 "UPDATE executions SET status = 'running', started_at = ?"
                 " WHERE id = ? AND status = 'queued'", "ii", ev->wall_ms, id);
    if (rc != SQLITE_OK || sqlite3_changes(d->sql.db) != 1)
        return rc;
    batch_stats_move(&b->stats, EXEC_QUEUED, EXEC_RUNNING, REASON_NONE);
    if (!b->started || ev->wall_ms < b->started)
        b->started = ev->wall_ms;
    b->dirty = true;
    *granted = true;
    return SQLITE_OK;
}

static int row_status(struct wdb *d, int64_t id, int *status)
{
    sqlite3_stmt *st = sql_get(&d->sql, "SELECT status FROM executions WHERE id = ?");
    int rc;

    *status = -1;
    if (!st)
        return sql_code(&d->sql);
    sql_bind(st, "i", id);
    if (!sql_row(st, &rc))
        return rc;
    *status = exec_status_parse((const char *) sqlite3_column_text(st, 0));
    sql_done(st);
    return SQLITE_OK;
}

int apply_output(struct wdb *d, const struct event *ev, unsigned *hashed)
{
    static const char *const update[2] = {
        "UPDATE executions SET stdout_id = ?, stdout_size = ? WHERE id = ?",
        "UPDATE executions SET stderr_id = ?, stderr_size = ? WHERE id = ?",
    };
    struct batch_row *b;
    int64_t id = 0;
    int status;

    int rc = locate(d, ev, &b, &id);
    if (rc != SQLITE_OK || !b)
        return rc;
    rc = row_status(d, id, &status);
    if (rc != SQLITE_OK || status != EXEC_RUNNING)
        return rc;
    for (int s = 0; s < 2 && rc == SQLITE_OK; s++) {
        int64_t out_id;
        uint64_t size;
        if (!ev->len[s])
            continue;
        rc = output_append(d, id, s, ev, hashed, &out_id, &size);
        if (rc == SQLITE_OK)
            rc = sql_run(&d->sql, update[s], "iii", out_id, (int64_t) size, id);
    }
    return rc;
}

int apply_progress(struct wdb *d, const struct event *ev)
{
    struct batch_row *b;
    int64_t id = 0;

    int rc = locate(d, ev, &b, &id);
    if (rc != SQLITE_OK || !b)
        return rc;
    return sql_run(&d->sql,
                   "UPDATE executions SET bytes_done = ?, bytes_total = ?"
                   " WHERE id = ? AND status = 'running'",
                   "iii", (int64_t) ev->bytes_done, (int64_t) ev->bytes_total, id);
}

static int finish_row(struct wdb *d, int64_t id, const struct event *ev, bool started,
                      const int64_t ids[2], const uint64_t sizes[2], int64_t seq)
{
    const char *reason = ev->status == EXEC_FAILED ? reason_name(ev->reason) : NULL;

    return sql_run(&d->sql,
        "UPDATE executions SET status = ?, reason = ?, finished_seq = ?, completed_at = ?,"
        " duration = ?, exit_code = ?, signal = ?, attempts = ?, stdout_id = ?, stderr_id = ?,"
        " stdout_size = ?, stderr_size = ?, stdout_truncated = ?, stderr_truncated = ?,"
        " transport = ?, host = ?, port = ?, user = ?, remote_process = ?, error = ?, note = ?"
        " WHERE id = ?",
        "ssiimmsiiiiiddssossssi", exec_status_name(ev->status), reason, seq, ev->wall_ms,
        started ? ev->duration_ms : (int64_t) -1, (int64_t) ev->exit_code, ev->signal,
        (int64_t) ev->attempts, ids[0], ids[1], (int64_t) sizes[0], (int64_t) sizes[1],
        (int) ev->truncated[0], (int) ev->truncated[1], ev->transport, ev->host,
        (int64_t) ev->port, ev->user, remote_process_name(ev->remote), ev->error, ev->note, id);
}

int apply_finish(struct wdb *d, const struct event *ev, unsigned *hashed)
{
    struct batch_row *b;
    int64_t id = 0, ids[2];
    uint64_t sizes[2];
    int from;

    int rc = locate(d, ev, &b, &id);
    if (rc != SQLITE_OK || !b)
        return rc;
    rc = row_status(d, id, &from);
    if (rc != SQLITE_OK)
        return rc;
    struct batch_stats moved = b->stats;
    if (from < 0 || !batch_stats_move(&moved, (enum exec_status) from, ev->status, ev->reason)) {
        /* Nothing leaves a final state: a result that comes late is dropped. */
        log_line(LOG_DEBUG, "store", ev->batch, NULL, "late end of position %u dropped",
                 ev->position);
        outputs_drop(d, id);
        return SQLITE_OK;
    }
    rc = outputs_finish(d, id, ev, hashed, ids, sizes);
    if (rc == SQLITE_OK)
        rc = finish_row(d, id, ev, from == EXEC_RUNNING, ids, sizes,
                        (int64_t) moved.success + moved.failed);
    if (rc != SQLITE_OK)
        return rc;
    b->stats = moved;
    b->dirty = true;
    if (ev->wall_ms > b->completed)
        b->completed = ev->wall_ms;
    return SQLITE_OK;
}

int apply_skip(struct wdb *d, const struct event *ev)
{
    struct batch_row *b;
    size_t moved = 0;

    int rc = batch_row_get(d, ev->batch, &b);
    if (rc != SQLITE_OK || !b)
        return rc;
    return executions_end_queued(d, b, REASON_SKIPPED, ev->error, ev->wall_ms, &moved);
}
