/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the steps of plans: those of one execution, and how far all of a batch are. */
#include "rdb.h"

#include "muster/base/alloc.h"

#include <string.h>

static void step_from_row(sqlite3_stmt *st, struct step_run *s)
{
    int status = exec_status_parse((const char *) sqlite3_column_text(st, 1));
    const char *reason = (const char *) sqlite3_column_text(st, 2);
    int r = reason ? reason_parse(reason) : REASON_NONE;
    int remote = remote_process_parse((const char *) sqlite3_column_text(st, 8));

    memset(s, 0, sizeof *s);
    s->step = (unsigned) sqlite3_column_int(st, 0);
    s->status = status < 0 ? EXEC_FAILED : (enum exec_status) status;
    s->reason = r < 0 ? REASON_INTERNAL : (enum reason) r;
    s->error = sql_text_dup(st, 3);
    s->note = sql_text_dup(st, 4);
    s->started_ms = sqlite3_column_int64(st, 5);
    s->completed_ms = sqlite3_column_int64(st, 6);
    s->duration_ms = sql_int_or(st, 7, -1);
    s->remote = remote < 0 ? REMOTE_NONE : (enum remote_process) remote;
    s->exit_code = (int) sql_int_or(st, 9, -1);
    s->signal = sql_text_dup(st, 10);
    for (int i = 0; i < 2; i++) {
        s->out_id[i] = sqlite3_column_int64(st, 11 + i);
        s->out_size[i] = (uint64_t) sqlite3_column_int64(st, 13 + i);
        s->truncated[i] = sqlite3_column_int(st, 15 + i) != 0;
    }
}

int reader_steps(struct reader *r, int64_t number, uint32_t position, struct step_run **out,
                 size_t *n, struct err *e)
{
    struct span s;
    size_t cap = 0;

    *out = NULL;
    *n = 0;
    int rc = reader_begin_batch(r, number, &s, e);
    if (rc < 0)
        return rc;
    sqlite3_stmt *st = sql_get(&r->sql,
        "SELECT step, status, reason, error, note, started_at, completed_at, duration,"
        " remote_process, exit_code, signal, stdout_id, stderr_id, stdout_size, stderr_size,"
        " stdout_truncated, stderr_truncated FROM execution_steps WHERE execution = ?"
        " ORDER BY step");
    /* Beyond the batch lie the executions of another. */
    int64_t id = position < s.stats.total ? s.first + position : 0;
    rc = st ? sql_bind(st, "i", id) : sql_code(&r->sql);
    while (rc == SQLITE_OK && sql_row(st, &rc)) {
        X_GROW(*out, cap, *n + 1);
        step_from_row(st, &(*out)[(*n)++]);
    }
    reader_end(r);
    if (rc != SQLITE_OK) {
        step_runs_free(X_STEAL(*out), *n);
        *n = 0;
    }
    return reader_rc(r, rc, e);
}

static int count_steps(struct reader *r, const struct span *s, struct step_stats *v, size_t n)
{
    sqlite3_stmt *st = sql_get(&r->sql,
        "SELECT step, status = 'running', status = 'success',"
        " reason IN ('cancelled', 'skipped') FROM execution_steps"
        " WHERE execution BETWEEN ? AND ?");
    int rc = st ? sql_bind(st, "ii", s->first, s->last) : sql_code(&r->sql);

    /* Counted here: the rows come by execution, and grouping them by step would sort them all. */
    while (rc == SQLITE_OK && sql_row(st, &rc)) {
        int64_t step = sqlite3_column_int64(st, 0);
        if (step < 1 || step > (int64_t) n)
            continue;
        struct step_stats *c = &v[step - 1];
        if (sqlite3_column_int(st, 1))
            c->running++;
        else if (sqlite3_column_int(st, 2))
            c->success++;
        else if (sqlite3_column_int(st, 3))
            c->stopped++;
        else
            c->failed++;
    }
    return rc;
}

int reader_step_stats(struct reader *r, int64_t number, struct step_stats **out, size_t *n,
                      struct err *e)
{
    struct span s;
    size_t steps = 0;

    *out = NULL;
    *n = 0;
    int rc = reader_begin_batch(r, number, &s, e);
    if (rc < 0)
        return rc;
    sqlite3_stmt *st = sql_get(&r->sql, "SELECT json_array_length(step_titles)"
                                        " FROM batch_executions WHERE number = ?");
    rc = st ? sql_bind(st, "i", number) : sql_code(&r->sql);
    if (rc == SQLITE_OK && sql_row(st, &rc))
        steps = (size_t) sqlite3_column_int64(st, 0);
    sql_done(st);
    if (rc == SQLITE_OK && steps) {
        *out = x_calloc(steps, sizeof **out);
        *n = steps;
        for (size_t i = 0; i < steps; i++)
            (*out)[i].step = (unsigned) i + 1;
        rc = count_steps(r, &s, *out, steps);
    }
    reader_end(r);
    if (rc != SQLITE_OK) {
        free(X_STEAL(*out));
        *n = 0;
    }
    return reader_rc(r, rc, e);
}
