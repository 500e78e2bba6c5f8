/* SPDX-License-Identifier: Apache-2.0 */
/* Leases on batches, and settling those whose owner has gone. */
#include "wdb.h"

#include "lease_row.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/log.h"
#include "muster/store/writer.h"

#include <errno.h>
#include <unistd.h>

int owner_state_of(struct wdb *d, int64_t owner, enum owner_state *state, int64_t *pid)
{
    struct lease l;
    int rc;

    *state = OWNER_NONE;
    *pid = 0;
    if (!owner)
        return SQLITE_OK;
    sqlite3_stmt *st = sql_get(&d->sql, "SELECT " LEASE_COLUMNS " FROM owners WHERE id = ?");
    if (!st)
        return sql_code(&d->sql);
    sql_bind(st, "i", owner);
    if (!sql_row(st, &rc)) {
        /* A batch whose lease is gone has nobody who could end it. */
        *state = OWNER_DEAD;
        return rc;
    }
    lease_from_row(st, 0, &l);
    sql_done(st);
    *state = lease_state(&l, &d->self);
    *pid = l.pid;
    return SQLITE_OK;
}

int settle_batch(struct wdb *d, struct batch_row *b, int64_t pid, const char *verb, int64_t when,
                 size_t *settled)
{
    static const char *const update =
        "UPDATE executions SET stdout_id = ?, stderr_id = ? WHERE id = ?";
    CLEANUP_FREE char *lost = x_asprintf(
        "muster (pid %lld) %s while it ran; its outcome is unknown, and it may still run on the node",
        (long long) pid, verb);
    CLEANUP_FREE char *skipped = x_asprintf(
        "never started: muster (pid %lld) %s first", (long long) pid, verb);
    CLEANUP_FREE struct open_execution *open = NULL;
    size_t n = 0;

    int rc = executions_open(d, b, &open, &n);
    for (size_t i = 0; i < n && rc == SQLITE_OK; i++) {
        if (open[i].of_plan)
            rc = steps_settle(d, open[i].id, EXEC_FAILED, REASON_LOST, lost, when,
                              open[i].out_id);
        for (int s = 0; s < 2 && rc == SQLITE_OK; s++)
            if (open[i].out_id[s])
                rc = output_settle(d, &open[i].out_id[s]);
        if (rc == SQLITE_OK && (open[i].out_id[0] || open[i].out_id[1]))
            rc = sql_run(&d->sql, update, "iii", open[i].out_id[0], open[i].out_id[1],
                         open[i].id);
        if (rc == SQLITE_OK && open[i].running)
            rc = execution_end(d, b, open[i].id, EXEC_RUNNING, REASON_LOST, lost, when);
        else if (rc == SQLITE_OK)
            rc = execution_end(d, b, open[i].id, EXEC_QUEUED, REASON_SKIPPED, skipped, when);
    }
    *settled += n;
    return rc;
}

int batch_last_sign(struct wdb *d, const struct batch_row *b, int64_t *when)
{
    sqlite3_stmt *st = sql_get(&d->sql,
        "SELECT max(max(coalesce(started_at, 0), coalesce(completed_at, 0))) FROM"
        " (SELECT started_at, completed_at FROM executions WHERE id BETWEEN ?1 AND ?2 UNION ALL"
        "  SELECT started_at, completed_at FROM execution_steps"
        "  WHERE execution BETWEEN ?1 AND ?2)");
    int rc;

    *when = b->created;
    if (!st)
        return sql_code(&d->sql);
    sql_bind(st, "ii", b->first, b->first + (int64_t) b->stats.total - 1);
    if (!sql_row(st, &rc))
        return rc;
    if (sqlite3_column_int64(st, 0) > *when)
        *when = sqlite3_column_int64(st, 0);
    sql_done(st);
    return SQLITE_OK;
}

/* The numbers a query gives for one parameter. Caller frees. */
static int numbers(struct sql *s, const char *text, int64_t parameter, int64_t **out, size_t *n)
{
    size_t cap = 0;
    int rc;

    *out = NULL;
    *n = 0;
    sqlite3_stmt *st = sql_get(s, text);
    if (!st)
        return sql_code(s);
    if (sqlite3_bind_parameter_count(st))
        sql_bind(st, "i", parameter);
    while (sql_row(st, &rc)) {
        X_GROW(*out, cap, *n + 1);
        (*out)[(*n)++] = sqlite3_column_int64(st, 0);
    }
    return rc;
}

/* when 0: the last moment something is known of each batch. */
static int settle_owner(struct wdb *d, int64_t owner, int64_t pid, const char *verb, int64_t when,
                        size_t *settled)
{
    CLEANUP_FREE int64_t *batch = NULL;
    size_t n = 0;

    int rc = numbers(&d->sql, "SELECT number FROM batch_executions WHERE owner = ?", owner, &batch,
                     &n);
    for (size_t i = 0; i < n && rc == SQLITE_OK; i++) {
        struct batch_row *b;
        int64_t at = when;
        rc = batch_row_get(d, batch[i], &b);
        if (rc != SQLITE_OK || !b)
            break;
        if (!at)
            rc = batch_last_sign(d, b, &at);
        if (rc == SQLITE_OK)
            rc = settle_batch(d, b, pid, verb, at, settled);
        log_line(LOG_WARN, "store", batch[i], NULL, "settled: muster (pid %lld) %s",
                 (long long) pid, verb);
    }
    if (rc == SQLITE_OK)
        rc = sql_run(&d->sql, "DELETE FROM owners WHERE id = ?", "i", owner);
    return rc;
}

static int dead_owners(struct wdb *d, int64_t **out, size_t *n)
{
    CLEANUP_FREE int64_t *all = NULL;
    size_t n_all = 0, kept = 0;
    enum owner_state state;
    int64_t pid;

    int rc = numbers(&d->sql,
                     "SELECT id FROM owners UNION SELECT owner FROM batch_executions"
                     " WHERE owner IS NOT NULL", 0, &all, &n_all);
    for (size_t i = 0; i < n_all && rc == SQLITE_OK; i++) {
        rc = owner_state_of(d, all[i], &state, &pid);
        if (rc == SQLITE_OK && state == OWNER_DEAD)
            all[kept++] = all[i];
    }
    *n = kept;
    *out = X_STEAL(all);
    return rc;
}

int recover_dead(struct wdb *d, size_t *settled, struct err *e)
{
    CLEANUP_FREE int64_t *dead = NULL;
    enum owner_state state;
    int64_t pid;
    size_t n = 0;

    *settled = 0;
    int rc = dead_owners(d, &dead, &n);
    if (rc == SQLITE_OK && !n)
        return 0;
    if (rc == SQLITE_OK)
        rc = sql_begin(&d->sql, BUSY_MAX_MS);
    for (size_t i = 0; i < n && rc == SQLITE_OK; i++) {
        /* Another process may have settled it before this one had the lock. */
        rc = owner_state_of(d, dead[i], &state, &pid);
        if (rc == SQLITE_OK && state == OWNER_DEAD)
            rc = settle_owner(d, dead[i], pid, "went away", 0, settled);
    }
    return wdb_end(d, rc, "Settling old batches in", e);
}

int lease_release(struct wdb *d, struct err *e)
{
    size_t settled = 0;

    if (!d->owner_id)
        return 0;
    int rc = sql_begin(&d->sql, BUSY_MAX_MS);
    if (rc == SQLITE_OK)
        rc = settle_owner(d, d->owner_id, d->self.pid, "ended", wall_ms(d->clock), &settled);
    rc = wdb_end(d, rc, "Writing", e);
    if (rc != 0)
        return rc;
    d->owner_id = 0;
    return 0;
}

int writer_recover(const char *path, size_t *settled, struct err *e)
{
    struct wdb d;

    *settled = 0;
    if (access(path, F_OK) && errno == ENOENT)
        return 0;
    if (wdb_open(&d, path, NULL, e))
        return -ERR_STORE;
    int rc = recover_dead(&d, settled, e);
    wdb_close(&d);
    return rc;
}
