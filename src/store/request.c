/* SPDX-License-Identifier: Apache-2.0 */
/* What callers wait for: creating, cancelling and deleting a batch, each one transaction. */
#include "wdb.h"

#include "output_key.h"
#include "schema.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/hash.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/json.h"
#include "muster/core/nodeset.h"
#include "muster/store/writer.h"

#include <string.h>

#define TARGETS_TEXT_MAX 4096

static int take_lease(struct wdb *d)
{
    if (d->owner_id)
        return SQLITE_OK;
    return sql_run(&d->sql,
                   "INSERT INTO owners (host, boot_id, pid_ns, pid, start_time, since)"
                   " VALUES (?, ?, ?, ?, ?, ?)", "sssiii", d->self.host, d->self.boot_id,
                   d->self.pid_ns, d->self.pid, d->self.start_time, wall_ms(d->clock));
}

static char *json_list(const char *const *v, size_t n)
{
    struct json *a = json_array();

    for (size_t i = 0; i < n; i++)
        json_add_str(a, v[i]);
    char *text = x_strdup(json_text(a, NULL));
    json_free(a);
    return text;
}

static int insert_batch(struct wdb *d, const struct batch_new *b, const struct batch_ref *ref,
                        int64_t owner, int64_t first)
{
    CLEANUP_FREE char *groups = json_list(b->target_groups, b->n_target_groups);
    CLEANUP_FREE char *warnings = json_list(b->warnings, b->n_warnings);
    CLEANUP_FREE char *titles = b->n_steps ? json_list(b->step_titles, b->n_steps) : NULL;
    struct strbuf targets;

    strbuf_init(&targets, 0);
    nodeset_fold_names(&targets, b->nodes, b->n_nodes, TARGETS_TEXT_MAX);
    int rc = sql_run(&d->sql,
        "INSERT INTO batch_executions (id, type, status, single, created_at, first_execution,"
        " owner, rerun_of, fanout, stats_total, stats_queued, user_id, label, targets, action,"
        " parameters, target_groups, warnings, step_titles)"
        " VALUES (?, ?, 'running', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "ssdiiioiiissssssss", ref->id, action_type_name(b->type), (int) (b->n_nodes == 1),
        ref->created_ms, first, owner, b->rerun_of, (int64_t) b->fanout, (int64_t) b->n_nodes,
        (int64_t) b->n_nodes, b->user_id, b->label, targets.s, b->action, b->parameters, groups,
        warnings, titles);
    strbuf_free(&targets);
    return rc;
}

struct new_row {
    const char *name;
    int64_t position, rank, key;
};

static int name_cmp(const void *a, const void *b)
{
    const struct new_row *x = a, *y = b;
    return text_natcmp(x->name, y->name);
}

static int key_cmp(const void *a, const void *b)
{
    const struct new_row *x = a, *y = b;
    return (x->key > y->key) - (x->key < y->key);
}

static int insert_executions(struct wdb *d, const struct batch_new *b, int64_t number,
                             int64_t first)
{
    CLEANUP_FREE struct new_row *row = x_array(NULL, b->n_nodes, sizeof *row);
    int rc = SQLITE_OK;

    for (size_t i = 0; i < b->n_nodes; i++)
        row[i] = (struct new_row){b->nodes[i], (int64_t) i, 0, schema_node_key(b->nodes[i])};
    qsort(row, b->n_nodes, sizeof *row, name_cmp);
    for (size_t i = 0; i < b->n_nodes; i++)
        row[i].rank = (int64_t) i;
    /* In the order of the keys: that index is spread over many pages, and so each is visited once;
     * the rows' own pages are few. */
    qsort(row, b->n_nodes, sizeof *row, key_cmp);
    for (size_t i = 0; i < b->n_nodes && rc == SQLITE_OK; i++)
        rc = sql_run(&d->sql,
                     "INSERT INTO executions (id, batch_number, batch_position, name_rank, status,"
                     " node_key, node_name) VALUES (?, ?, ?, ?, 'queued', ?, ?)", "iiiiis",
                     first + row[i].position, number, row[i].position, row[i].rank, row[i].key,
                     row[i].name);
    return rc;
}

int request_create(struct wdb *d, const struct batch_new *b, struct batch_ref *out, struct err *e)
{
    int64_t owner = d->owner_id;

    if (!b->n_nodes || b->n_nodes > BATCH_TARGETS_MAX)
        return err_set(e, ERR_INTERNAL, "A batch has 1 to %d targets, not %zu.",
                       BATCH_TARGETS_MAX, b->n_nodes);
    random_uuid(out->id);
    out->created_ms = wall_ms(d->clock);
    int rc = sql_begin(&d->sql, BUSY_MAX_MS);
    if (rc == SQLITE_OK)
        rc = take_lease(d);
    if (rc == SQLITE_OK) {
        if (!owner)
            owner = sqlite3_last_insert_rowid(d->sql.db);
        int64_t first = sql_int(&d->sql, "SELECT coalesce(max(id), 0) + 1 FROM executions", 1);
        rc = insert_batch(d, b, out, owner, first);
        out->number = sqlite3_last_insert_rowid(d->sql.db);
        if (rc == SQLITE_OK)
            rc = insert_executions(d, b, out->number, first);
    }
    rc = wdb_end(d, rc, "Writing", e);
    if (rc != 0)
        return rc;
    d->owner_id = owner;
    X_GROW(d->owned, d->cap_owned, d->n_owned + 1);
    d->owned[d->n_owned++] = (struct owned_batch){.number = out->number};
    return 0;
}

int no_such_batch(int64_t number, struct err *e)
{
    return err_set(e, ERR_NOT_FOUND, "There is no batch %lld; `muster history` lists them.",
                   (long long) number);
}

static int cancel_row(struct wdb *d, struct batch_row *b, struct cancel_result *out)
{
    int64_t now = wall_ms(d->clock), pid, last;
    enum owner_state state;
    size_t settled = 0;

    int rc = owner_state_of(d, b->owner, &state, &pid);
    if (rc == SQLITE_OK)
        rc = sql_run(&d->sql,
                     "UPDATE batch_executions SET cancel_requested_at ="
                     " coalesce(cancel_requested_at, ?) WHERE number = ?", "ii", now, b->number);
    if (rc == SQLITE_OK)
        rc = executions_end_queued(d, b, REASON_CANCELLED, "Cancelled by user", now, &out->queued);
    out->running = b->stats.running;
    out->owned_here = d->owner_id && b->owner == d->owner_id;
    out->owner_dead = state == OWNER_DEAD || state == OWNER_NONE;
    if (rc == SQLITE_OK && out->owner_dead) {
        rc = batch_last_sign(d, b, &last);
        if (rc == SQLITE_OK)
            rc = settle_batch(d, b, pid, "went away", last, &settled);
    }
    return rc;
}

/* Begins a transaction on a batch that runs. *b NULL: there is none that does (*ended: it has ended), and
 * no transaction either. */
static int begin_on_running(struct wdb *d, int64_t number, struct batch_row **b, bool *ended,
                            struct err *e)
{
    *b = NULL;
    int rc = sql_begin(&d->sql, BUSY_MAX_MS);
    if (rc == SQLITE_OK)
        rc = batch_row_get(d, number, b);
    if (rc != SQLITE_OK)
        return wdb_end(d, rc, "Writing", e);
    if (*b && (*b)->status == BATCH_RUNNING)
        return 0;
    wdb_rollback(d);
    *ended = *b != NULL;
    *b = NULL;
    return *ended ? 0 : no_such_batch(number, e);
}

int request_cancel(struct wdb *d, int64_t number, struct cancel_result *out, struct err *e)
{
    struct batch_row *b;

    *out = (struct cancel_result){0};
    int rc = begin_on_running(d, number, &b, &out->ended, e);
    if (rc != 0 || !b)
        return rc;
    rc = wdb_end(d, cancel_row(d, b, out), "Writing", e);
    if (rc != 0)
        return rc;
    /* Who asked in this process knows already. */
    for (size_t i = 0; i < d->n_owned; i++)
        if (d->owned[i].number == number)
            d->owned[i].cancel_seen = true;
    return 0;
}

int request_pause(struct wdb *d, int64_t number, bool on, struct pause_result *out,
                  struct err *e)
{
    struct batch_row *b;

    *out = (struct pause_result){0};
    int rc = begin_on_running(d, number, &b, &out->ended, e);
    if (rc != 0 || !b)
        return rc;
    out->queued = b->stats.queued;
    out->owned_here = d->owner_id && b->owner == d->owner_id;
    rc = sql_run(&d->sql, "UPDATE batch_executions SET paused = ? WHERE number = ? AND paused <> ?",
                 "did", (int) on, number, (int) on);
    out->changed = rc == SQLITE_OK && sqlite3_changes(d->sql.db) == 1;
    rc = wdb_end(d, rc, "Writing", e);
    for (size_t i = 0; rc == 0 && i < d->n_owned; i++)
        if (d->owned[i].number == number)
            d->owned[i].paused = on;
    return rc;
}

/* The outputs of the batch that no execution of another batch points to, nor a step of one, go with it.
 * There is no index from outputs to executions, since deleting is rare and running is not: one scan. */
static int delete_outputs(struct wdb *d, const struct batch_row *b)
{
    static const char *const steps[] = {
        "CREATE TEMP TABLE IF NOT EXISTS doomed (id INTEGER PRIMARY KEY)",
        "DELETE FROM doomed",
        "INSERT OR IGNORE INTO doomed"
        " SELECT stdout_id FROM executions WHERE id BETWEEN ?1 AND ?2 AND stdout_id <> 0"
        " UNION SELECT stderr_id FROM executions WHERE id BETWEEN ?1 AND ?2"
        "  AND stderr_id <> 0"
        " UNION SELECT stdout_id FROM execution_steps WHERE execution BETWEEN ?1 AND ?2"
        "  AND stdout_id <> 0"
        " UNION SELECT stderr_id FROM execution_steps WHERE execution BETWEEN ?1 AND ?2"
        "  AND stderr_id <> 0",
        "DELETE FROM execution_steps WHERE execution BETWEEN ?1 AND ?2",
        "DELETE FROM executions WHERE id BETWEEN ?1 AND ?2",
        "DELETE FROM doomed WHERE id IN (SELECT stdout_id FROM executions)"
        " OR id IN (SELECT stderr_id FROM executions)"
        " OR id IN (SELECT stdout_id FROM execution_steps)"
        " OR id IN (SELECT stderr_id FROM execution_steps)",
        "DELETE FROM outputs WHERE id IN (SELECT id FROM doomed)",
    };
    int64_t last = b->first + (int64_t) b->stats.total - 1;
    int rc = SQLITE_OK;

    for (size_t i = 0; i < ARRAY_LEN(steps) && rc == SQLITE_OK; i++) {
        sqlite3_stmt *st = sql_get(&d->sql, steps[i]);
        if (!st)
            return sql_code(&d->sql);
        if (sqlite3_bind_parameter_count(st))
            sql_bind(st, "ii", b->first, last);
        while (sql_row(st, &rc))
            ;
    }
    if (rc != SQLITE_OK)
        return rc;
    sqlite3_stmt *st = sql_get(&d->sql, "SELECT id FROM doomed");
    if (!st)
        return sql_code(&d->sql);
    while (rc == SQLITE_OK && sql_row(st, &rc)) {
        int64_t id = sqlite3_column_int64(st, 0);
        rc = sql_run(&d->sql, "DELETE FROM output_chunks WHERE id BETWEEN ? AND ?", "ii",
                     output_key(id, 0), output_key(id + 1, 0) - 1);
    }
    sql_done(st);
    return rc;
}

int request_delete(struct wdb *d, int64_t number, struct err *e)
{
    struct batch_row *b = NULL;

    int rc = sql_begin(&d->sql, BUSY_MAX_MS);
    if (rc == SQLITE_OK)
        rc = batch_row_get(d, number, &b);
    if (rc == SQLITE_OK && (!b || b->status == BATCH_RUNNING)) {
        wdb_rollback(d);
        if (!b)
            return no_such_batch(number, e);
        return err_set(e, ERR_FORBIDDEN,
                       "Batch %lld still runs; cancel it first (`muster cancel %lld`).",
                       (long long) number, (long long) number);
    }
    if (rc == SQLITE_OK)
        rc = delete_outputs(d, b);
    if (rc == SQLITE_OK)
        rc = sql_run(&d->sql, "DELETE FROM notes WHERE batch_number = ?", "i", number);
    if (rc == SQLITE_OK)
        rc = sql_run(&d->sql, "DELETE FROM batch_executions WHERE number = ?", "i", number);
    return wdb_end(d, rc, "Writing", e);
}
