/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what ran on a node. */
#include "rdb.h"

#include "schema.h"

#include "muster/base/alloc.h"

void node_runs_free(struct node_run *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        execution_clear(&v[i].x);
        free(v[i].action);
    }
    free(v);
}

static int count_runs(struct reader *r, const char *node, size_t *total)
{
    sqlite3_stmt *st = sql_get(&r->sql, "SELECT count(*) FROM executions WHERE node_key = ?");
    int rc = st ? sql_bind(st, "i", schema_node_key(node)) : sql_code(&r->sql);

    if (rc == SQLITE_OK && sql_row(st, &rc))
        *total = (size_t) sqlite3_column_int64(st, 0);
    sql_done(st);
    return rc;
}

/* Ids rise with the batches' numbers, so a page goes on where the index stood. */
#define RUNS_BEFORE                                                                            \
    " AND x.id < coalesce((SELECT first_execution FROM batch_executions WHERE number >= ?"     \
    " ORDER BY number LIMIT 1), 9223372036854775807)"
#define RUNS_QUERY(before)                                                                     \
    "SELECT " EXECUTION_COLUMNS ", b.action FROM executions x"                                 \
    " CROSS JOIN batch_executions b ON b.number = x.batch_number WHERE x.node_key = ?"         \
    " AND x.node_name = ?" before " ORDER BY x.id DESC LIMIT ? OFFSET ?"

static sqlite3_stmt *runs_query(struct reader *r, const char *node, int64_t before, size_t offset,
                                size_t limit, int *rc)
{
    int64_t key = schema_node_key(node), rows = sql_limit(limit), skip = sql_limit(offset);
    sqlite3_stmt *st = sql_get(&r->sql, before ? RUNS_QUERY(RUNS_BEFORE) : RUNS_QUERY(""));

    if (!st)
        *rc = sql_code(&r->sql);
    else if (before)
        *rc = sql_bind(st, "isiii", key, node, before, rows, skip);
    else
        *rc = sql_bind(st, "isii", key, node, rows, skip);
    return st;
}

int reader_node_runs(struct reader *r, const char *node, int64_t before, size_t offset,
                     size_t limit, struct node_run **out, size_t *n, size_t *total, struct err *e)
{
    size_t cap = 0;

    *out = NULL;
    *n = 0;
    if (total)
        *total = 0;
    int rc = reader_begin(r, e);
    if (rc <= 0)
        return rc;
    sqlite3_stmt *st = runs_query(r, node, before, offset, limit, &rc);
    while (rc == SQLITE_OK && sql_row(st, &rc)) {
        X_GROW(*out, cap, *n + 1);
        struct node_run *run = &(*out)[(*n)++];
        execution_from_row(st, &run->x);
        run->action = sql_text_dup(st, EXECUTION_N_COLUMNS);
    }
    if (rc == SQLITE_OK && total)
        rc = count_runs(r, node, total);
    reader_end(r);
    if (rc != SQLITE_OK) {
        node_runs_free(X_STEAL(*out), *n);
        *n = 0;
    }
    return reader_rc(r, rc, e);
}

int reader_last_runs(struct reader *r, const char *const *nodes, size_t n, struct execution *out,
                     struct err *e)
{
    int rc = reader_begin(r, e);

    if (rc <= 0)
        return rc;
    sqlite3_stmt *st = sql_get(&r->sql,
        "SELECT " EXECUTION_COLUMNS " FROM executions x WHERE x.node_key = ?"
        " AND x.node_name = ? ORDER BY x.id DESC LIMIT 1");
    rc = st ? SQLITE_OK : sql_code(&r->sql);
    for (size_t i = 0; i < n && rc == SQLITE_OK; i++) {
        sqlite3_reset(st);
        rc = sql_bind(st, "is", schema_node_key(nodes[i]), nodes[i]);
        if (rc == SQLITE_OK && sql_row(st, &rc))
            execution_from_row(st, &out[i]);
    }
    sql_done(st);
    reader_end(r);
    return reader_rc(r, rc, e);
}
