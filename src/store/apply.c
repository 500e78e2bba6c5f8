/* SPDX-License-Identifier: Apache-2.0 */
/* Applies events to the rows: claims, output, ends. */
#include "wdb.h"

#include "output_key.h"

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

/* Another process may have cancelled it: only a row that still waits is taken. */
static int execution_begin(struct wdb *d, struct batch_row *b, int64_t id, int64_t when,
                           bool *begun)
{
    int rc = sql_run(&d->sql,
                     "UPDATE executions SET status = 'running', started_at = ?"
                     " WHERE id = ? AND status = 'queued'", "ii", when, id);

    *begun = rc == SQLITE_OK && sqlite3_changes(d->sql.db) == 1;
    if (!*begun)
        return rc;
    batch_stats_move(&b->stats, EXEC_QUEUED, EXEC_RUNNING, REASON_NONE);
    if (!b->started || when < b->started)
        b->started = when;
    b->dirty = true;
    return SQLITE_OK;
}

int apply_claim(struct wdb *d, const struct event *ev, bool *granted)
{
    struct batch_row *b;
    int64_t id = 0;

    *granted = false;
    int rc = locate(d, ev, &b, &id);
    if (rc != SQLITE_OK || !b)
        return rc;
    rc = execution_begin(d, b, id, ev->wall_ms, granted);
    if (rc != SQLITE_OK || !ev->step)
        return rc;
    if (*granted)
        return step_open(d, id, ev->step, ev->wall_ms);
    return b->cancel_requested ? rc : step_go_on(d, id, ev->step, ev->wall_ms, granted);
}

/* An execution as an event finds it. */
struct found {
    int status; /* -1: there is none */
    unsigned step;
    int64_t started;
    struct outputs shown;
};

static int row_find(struct wdb *d, int64_t id, struct found *x)
{
    sqlite3_stmt *st = sql_get(&d->sql,
        "SELECT status, step, started_at, stdout_id, stderr_id, stdout_size, stderr_size,"
        " stdout_truncated, stderr_truncated FROM executions WHERE id = ?");
    int rc;

    *x = (struct found){.status = -1};
    if (!st)
        return sql_code(&d->sql);
    sql_bind(st, "i", id);
    if (!sql_row(st, &rc))
        return rc;
    x->status = exec_status_parse((const char *) sqlite3_column_text(st, 0));
    x->step = (unsigned) sqlite3_column_int(st, 1);
    x->started = sqlite3_column_int64(st, 2);
    for (int s = 0; s < 2; s++) {
        x->shown.id[s] = sqlite3_column_int64(st, 3 + s);
        x->shown.size[s] = (uint64_t) sqlite3_column_int64(st, 5 + s);
        x->shown.truncated[s] = sqlite3_column_int(st, 7 + s) != 0;
    }
    sql_done(st);
    return SQLITE_OK;
}

static int output_grew(struct wdb *d, int64_t id, const struct event *ev, int stream,
                       int64_t out_id, uint64_t size)
{
    static const char *const update[2] = {
        "UPDATE executions SET stdout_id = ?, stdout_size = ? WHERE id = ?",
        "UPDATE executions SET stderr_id = ?, stderr_size = ? WHERE id = ?",
    };

    if (ev->step)
        return step_output(d, id, ev->step, stream, out_id, size);
    return sql_run(&d->sql, update[stream], "iii", out_id, (int64_t) size, id);
}

int apply_output(struct wdb *d, const struct event *ev, unsigned *hashed)
{
    struct batch_row *b;
    struct found x;
    int64_t id = 0;
    int status;

    int rc = locate(d, ev, &b, &id);
    if (rc != SQLITE_OK || !b)
        return rc;
    rc = row_find(d, id, &x);
    status = x.status;
    if (rc == SQLITE_OK && ev->step && status == EXEC_RUNNING)
        rc = step_status(d, id, ev->step, &status);
    if (rc != SQLITE_OK || status != EXEC_RUNNING)
        return rc;
    for (int s = 0; s < 2 && rc == SQLITE_OK; s++) {
        int64_t out_id;
        uint64_t size;
        if (!ev->len[s])
            continue;
        rc = output_append(d, stream_key(id, ev->step), s, ev, hashed, &out_id, &size);
        if (rc == SQLITE_OK)
            rc = output_grew(d, id, ev, s, out_id, size);
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

static int finish_row(struct wdb *d, int64_t id, const struct event *ev, const struct outputs *o,
                      int64_t duration, unsigned step, int64_t seq)
{
    const char *reason = ev->status == EXEC_FAILED ? reason_name(ev->reason) : NULL;

    /* A plan's last step may be one that needs no connection: what is known of an earlier one stays. */
    return sql_run(&d->sql,
        "UPDATE executions SET status = ?, reason = ?, finished_seq = ?, completed_at = ?,"
        " duration = ?, exit_code = ?, signal = ?, attempts = max(attempts, ?), stdout_id = ?,"
        " stderr_id = ?, stdout_size = ?, stderr_size = ?, stdout_truncated = ?,"
        " stderr_truncated = ?, transport = coalesce(?, transport), host = coalesce(?, host),"
        " port = coalesce(?, port), user = coalesce(?, user), remote_process = ?, error = ?,"
        " note = coalesce(?, note), step = ? WHERE id = ?",
        "ssiimmsiiiiiddssossssoi", exec_status_name(ev->status), reason, seq, ev->wall_ms,
        duration, (int64_t) ev->exit_code, ev->signal, (int64_t) ev->attempts, o->id[0],
        o->id[1], (int64_t) o->size[0], (int64_t) o->size[1], (int) o->truncated[0],
        (int) o->truncated[1], ev->transport, ev->host, (int64_t) ev->port, ev->user,
        remote_process_name(ev->remote), ev->error, ev->note, (int64_t) step, id);
}

/* What the execution of a plan has in the end, when an event ends it: the output of that step, or what
 * the event brings beside the steps, or else what it showed so far. */
static int plan_end(struct wdb *d, int64_t id, const struct event *ev, struct found *x, bool took,
                    struct outputs *o, int64_t *duration)
{
    int rc = steps_settle(d, id, ev->status, ev->reason, ev->error, ev->wall_ms, x->shown.id);

    if (!took && !o->id[0] && !o->id[1])
        *o = x->shown;
    /* The event knows its own step's time alone. */
    *duration = ev->wall_ms - x->started > ev->duration_ms ? ev->wall_ms - x->started
                                                          : ev->duration_ms;
    return rc;
}

static int execution_finish(struct wdb *d, struct batch_row *b, int64_t id,
                            const struct event *ev, struct found *x, unsigned *hashed)
{
    struct outputs o = {.truncated = {ev->truncated[0], ev->truncated[1]}};
    struct batch_stats moved = b->stats;
    int64_t duration = x->status == EXEC_RUNNING ? ev->duration_ms : -1;
    bool ends = !ev->step || ev->last, took = false;

    if (ends)
        batch_stats_move(&moved, (enum exec_status) x->status, ev->status, ev->reason);
    int rc = outputs_finish(d, stream_key(id, ev->step), ev, hashed, o.id, o.size);
    if (rc == SQLITE_OK && ev->step)
        rc = step_finish(d, id, ev, &o, &took);
    if (rc == SQLITE_OK && ev->facts)
        rc = facts_learn(d, id, ev);
    if (rc != SQLITE_OK || !ends)
        return rc == SQLITE_OK && took ? step_leave(d, id, ev, &o) : rc;
    if (x->status == EXEC_RUNNING && (x->step || ev->step))
        rc = plan_end(d, id, ev, x, took, &o, &duration);
    if (rc == SQLITE_OK)
        rc = finish_row(d, id, ev, &o, duration, took ? ev->step : x->step,
                        (int64_t) moved.success + moved.failed);
    if (rc != SQLITE_OK)
        return rc;
    b->stats = moved;
    b->dirty = true;
    if (ev->wall_ms > b->completed)
        b->completed = ev->wall_ms;
    return SQLITE_OK;
}

int apply_finish(struct wdb *d, const struct event *ev, unsigned *hashed)
{
    enum exec_status to = ev->step && !ev->last ? EXEC_RUNNING : ev->status;
    struct batch_row *b;
    struct found x;
    int64_t id = 0;
    bool begun;

    int rc = locate(d, ev, &b, &id);
    if (rc != SQLITE_OK || !b)
        return rc;
    rc = row_find(d, id, &x);
    if (rc == SQLITE_OK && ev->step && x.status == EXEC_QUEUED && to != EXEC_FAILED) {
        /* A step that runs on no node needs no slot, so nothing claimed it. */
        x.started = ev->wall_ms - ev->duration_ms;
        rc = execution_begin(d, b, id, x.started, &begun);
        x.status = EXEC_RUNNING;
    }
    if (rc != SQLITE_OK)
        return rc;
    struct batch_stats moved = b->stats;
    if (x.status < 0 || (to == EXEC_RUNNING && x.status != EXEC_RUNNING) ||
        (to != EXEC_RUNNING &&
         !batch_stats_move(&moved, (enum exec_status) x.status, to, ev->reason))) {
        /* Nothing leaves a final state: a result that comes late is dropped. */
        log_line(LOG_DEBUG, "store", ev->batch, NULL, "late end of position %u dropped",
                 ev->position);
        outputs_drop(d, stream_key(id, ev->step));
        return SQLITE_OK;
    }
    return execution_finish(d, b, id, ev, &x, hashed);
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
