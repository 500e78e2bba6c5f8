/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of plans: a row for each that began, beside the row of their execution. At most one of an
 * execution is open, and the execution shows the output of the last step that gave any. */
#include "wdb.h"

#include "output_key.h"

int step_open(struct wdb *d, int64_t exec, unsigned step, int64_t when)
{
    int rc = sql_run(&d->sql,
                     "INSERT INTO execution_steps (execution, step, status, started_at)"
                     " VALUES (?, ?, 'running', ?)", "iii", exec, (int64_t) step, when);

    if (rc == SQLITE_OK)
        /* How far a copy was is said of the step that runs. */
        rc = sql_run(&d->sql,
                     "UPDATE executions SET step = ?, bytes_done = NULL, bytes_total = NULL"
                     " WHERE id = ?", "ii", (int64_t) step, exec);
    return rc;
}

int step_go_on(struct wdb *d, int64_t exec, unsigned step, int64_t when, bool *granted)
{
    sqlite3_stmt *st = sql_get(&d->sql,
        "SELECT 1 FROM executions WHERE id = ?1 AND status = 'running' AND coalesce(step, 0) < ?2"
        " AND NOT EXISTS (SELECT 1 FROM execution_steps WHERE execution = ?1"
        "  AND status = 'running')");
    int rc = st ? sql_bind(st, "ii", exec, (int64_t) step) : sql_code(&d->sql);

    *granted = rc == SQLITE_OK && sql_row(st, &rc);
    sql_done(st);
    if (!*granted)
        return rc;
    rc = step_open(d, exec, step, when);
    *granted = rc == SQLITE_OK;
    return rc;
}

int step_status(struct wdb *d, int64_t exec, unsigned step, int *status)
{
    sqlite3_stmt *st = sql_get(&d->sql, "SELECT status FROM execution_steps"
                                        " WHERE execution = ? AND step = ?");
    int rc = st ? sql_bind(st, "ii", exec, (int64_t) step) : sql_code(&d->sql);

    *status = -1;
    if (rc == SQLITE_OK && sql_row(st, &rc))
        *status = exec_status_parse((const char *) sqlite3_column_text(st, 0));
    sql_done(st);
    return rc;
}

static int show(struct wdb *d, int64_t exec, unsigned step)
{
    return sql_run(&d->sql,
        "UPDATE executions SET (stdout_id, stderr_id, stdout_size, stderr_size,"
        " stdout_truncated, stderr_truncated) = (SELECT stdout_id, stderr_id, stdout_size,"
        " stderr_size, stdout_truncated, stderr_truncated FROM execution_steps"
        " WHERE execution = ?1 AND step = ?2) WHERE id = ?1", "ii", exec, (int64_t) step);
}

int step_output(struct wdb *d, int64_t exec, unsigned step, int stream, int64_t id, uint64_t size)
{
    static const char *const update[2] = {
        "UPDATE execution_steps SET stdout_id = ?, stdout_size = ?"
        " WHERE execution = ? AND step = ?",
        "UPDATE execution_steps SET stderr_id = ?, stderr_size = ?"
        " WHERE execution = ? AND step = ?",
    };
    int rc = sql_run(&d->sql, update[stream], "iiii", id, (int64_t) size, exec, (int64_t) step);

    return rc == SQLITE_OK ? show(d, exec, step) : rc;
}

/* Not run by way of a claim: a message, a value, or a fault found before. What was stopped before it
 * could begin has none. */
static int make_row(struct wdb *d, int64_t exec, const struct event *ev, bool *made)
{
    *made = ev->status != EXEC_FAILED ||
            (ev->reason != REASON_CANCELLED && ev->reason != REASON_SKIPPED);
    if (!*made)
        return SQLITE_OK;
    return sql_run(&d->sql,
                   "INSERT INTO execution_steps (execution, step, status, started_at)"
                   " VALUES (?, ?, 'running', ?)", "iii", exec, (int64_t) ev->step,
                   ev->wall_ms - (ev->duration_ms > 0 ? ev->duration_ms : 0));
}

int step_finish(struct wdb *d, int64_t exec, const struct event *ev, const struct outputs *o,
                bool *took)
{
    const char *reason = ev->status == EXEC_FAILED ? reason_name(ev->reason) : NULL;
    int status;

    int rc = step_status(d, exec, ev->step, &status);
    *took = status == EXEC_RUNNING;
    if (rc == SQLITE_OK && status < 0)
        rc = make_row(d, exec, ev, took);
    if (rc != SQLITE_OK || !*took)
        return rc;
    return sql_run(&d->sql,
        "UPDATE execution_steps SET status = ?, reason = ?, completed_at = ?, duration = ?,"
        " exit_code = ?, signal = ?, stdout_id = ?, stderr_id = ?, stdout_size = ?,"
        " stderr_size = ?, stdout_truncated = ?, stderr_truncated = ?, remote_process = ?,"
        " error = ?, note = ? WHERE execution = ? AND step = ?",
        "ssimmsiiiiddsssii", exec_status_name(ev->status), reason, ev->wall_ms, ev->duration_ms,
        (int64_t) ev->exit_code, ev->signal, o->id[0], o->id[1], (int64_t) o->size[0],
        (int64_t) o->size[1], (int) o->truncated[0], (int) o->truncated[1],
        remote_process_name(ev->remote), ev->error, ev->note, exec, (int64_t) ev->step);
}

int step_leave(struct wdb *d, int64_t exec, const struct event *ev, const struct outputs *o)
{
    int rc = sql_run(&d->sql,
        "UPDATE executions SET step = max(coalesce(step, 0), ?), attempts = max(attempts, ?),"
        " transport = coalesce(?, transport), host = coalesce(?, host),"
        " port = coalesce(?, port), user = coalesce(?, user), note = coalesce(?, note)"
        " WHERE id = ?",
        "iissossi", (int64_t) ev->step, (int64_t) ev->attempts, ev->transport, ev->host,
        (int64_t) ev->port, ev->user, ev->note, exec);

    if (rc == SQLITE_OK && (o->id[0] || o->id[1]))
        rc = show(d, exec, ev->step);
    return rc;
}

static int find_open(struct wdb *d, int64_t exec, int64_t *step, int64_t out_id[2])
{
    sqlite3_stmt *st = sql_get(&d->sql,
        "SELECT step, stdout_id, stderr_id FROM execution_steps"
        " WHERE execution = ? AND status = 'running'");
    int rc = st ? sql_bind(st, "i", exec) : sql_code(&d->sql);

    *step = 0;
    if (rc == SQLITE_OK && sql_row(st, &rc)) {
        *step = sqlite3_column_int64(st, 0);
        out_id[0] = sqlite3_column_int64(st, 1);
        out_id[1] = sqlite3_column_int64(st, 2);
    }
    sql_done(st);
    return rc;
}

int steps_settle(struct wdb *d, int64_t exec, enum exec_status status, enum reason reason,
                 const char *error, int64_t when, int64_t out_id[2])
{
    const char *why = status == EXEC_FAILED ? reason_name(reason) : NULL;
    int64_t step, old[2], id[2];

    int rc = find_open(d, exec, &step, old);
    if (rc != SQLITE_OK || !step)
        return rc;
    outputs_drop(d, stream_key(exec, (unsigned) step));
    for (int s = 0; s < 2 && rc == SQLITE_OK; s++) {
        id[s] = old[s];
        if (id[s])
            rc = output_settle(d, &id[s]);
        /* Folding may have put another in its place. */
        if (old[s] && out_id[s] == old[s])
            out_id[s] = id[s];
    }
    if (rc != SQLITE_OK)
        return rc;
    return sql_run(&d->sql,
                   "UPDATE execution_steps SET status = ?, reason = ?, error = ?,"
                   " completed_at = ?, remote_process = ?, stdout_id = ?, stderr_id = ?"
                   " WHERE execution = ? AND step = ?",
                   "sssisiiii", exec_status_name(status), why, error, when,
                   remote_process_name(reason == REASON_LOST ? REMOTE_UNKNOWN : REMOTE_NONE),
                   id[0], id[1], exec, step);
}
