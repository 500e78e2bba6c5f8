/* SPDX-License-Identifier: Apache-2.0 */
/* What is known about nodes, and said of nodes and batches: facts, saved targets, notes. */
#include "wdb.h"

#include "muster/base/clock.h"
#include "muster/base/err.h"

int facts_learn(struct wdb *d, int64_t exec, const struct event *ev)
{
    return sql_run(&d->sql,
                   "INSERT OR REPLACE INTO node_facts (node_name, learned_at, batch_number, facts)"
                   " SELECT node_name, ?, batch_number, ? FROM executions WHERE id = ?",
                   "isi", ev->wall_ms, ev->facts, exec);
}

int request_save(struct wdb *d, const char *name, const char *targets, const char *user,
                 struct err *e)
{
    bool known = true;

    int rc = sql_begin(&d->sql, BUSY_MAX_MS);
    if (rc == SQLITE_OK && targets) {
        rc = sql_run(&d->sql,
                     "INSERT OR REPLACE INTO saved_targets (name, targets, user_id, saved_at)"
                     " VALUES (?, ?, ?, ?)", "sssi", name, targets, user ? user : "",
                     wall_ms(d->clock));
    } else if (rc == SQLITE_OK) {
        rc = sql_run(&d->sql, "DELETE FROM saved_targets WHERE name = ?", "s", name);
        known = rc != SQLITE_OK || sqlite3_changes(d->sql.db) == 1;
    }
    rc = wdb_end(d, rc, "Writing", e);
    if (rc == 0 && !known)
        return err_set(e, ERR_NOT_FOUND,
                       "No targets are saved as '%s'; `muster nodes --saved` lists them.", name);
    return rc;
}

int request_note(struct wdb *d, const char *node, int64_t batch, const char *text,
                 const char *user, struct err *e)
{
    struct batch_row *b = NULL;

    int rc = sql_begin(&d->sql, BUSY_MAX_MS);
    if (rc == SQLITE_OK && !node) {
        rc = batch_row_get(d, batch, &b);
        if (rc == SQLITE_OK && !b) {
            wdb_rollback(d);
            return no_such_batch(batch, e);
        }
    }
    if (rc == SQLITE_OK)
        rc = sql_run(&d->sql,
                     "INSERT INTO notes (node_name, batch_number, written_at, user_id, text)"
                     " VALUES (?, ?, ?, ?, ?)", "soiss", node, node ? (int64_t) 0 : batch,
                     wall_ms(d->clock), user ? user : "", text);
    return wdb_end(d, rc, "Writing", e);
}
