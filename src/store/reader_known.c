/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what is known about nodes, and said of nodes and batches: facts, saved targets, notes. */
#include "rdb.h"

#include "muster/base/alloc.h"

void node_facts_free(struct node_facts *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(v[i].node);
        free(v[i].facts);
    }
    free(v);
}

int reader_facts(struct reader *r, const char *node, struct node_facts **out, size_t *n,
                 struct err *e)
{
    size_t cap = 0;

    *out = NULL;
    *n = 0;
    int rc = reader_begin(r, e);
    if (rc <= 0)
        return rc;
    sqlite3_stmt *st = sql_get(&r->sql,
        node ? "SELECT node_name, facts, learned_at, batch_number FROM node_facts"
               " WHERE node_name = ?"
             : "SELECT node_name, facts, learned_at, batch_number FROM node_facts"
               " ORDER BY node_name");
    rc = !st ? sql_code(&r->sql) : node ? sql_bind(st, "s", node) : SQLITE_OK;
    while (rc == SQLITE_OK && sql_row(st, &rc)) {
        X_GROW(*out, cap, *n + 1);
        (*out)[(*n)++] = (struct node_facts){sql_text_dup(st, 0), sql_text_dup(st, 1),
                                             sqlite3_column_int64(st, 2),
                                             sqlite3_column_int64(st, 3)};
    }
    if (st)
        sqlite3_clear_bindings(st);
    reader_end(r);
    if (rc != SQLITE_OK) {
        node_facts_free(X_STEAL(*out), *n);
        *n = 0;
    }
    return reader_rc(r, rc, e);
}

void saved_targets_free(struct saved_targets *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(v[i].name);
        free(v[i].targets);
        free(v[i].user_id);
    }
    free(v);
}

int reader_saved(struct reader *r, const char *name, struct saved_targets **out, size_t *n,
                 struct err *e)
{
    size_t cap = 0;

    *out = NULL;
    *n = 0;
    int rc = reader_begin(r, e);
    if (rc <= 0)
        return rc;
    sqlite3_stmt *st = sql_get(&r->sql,
        name ? "SELECT name, targets, user_id, saved_at FROM saved_targets WHERE name = ?"
             : "SELECT name, targets, user_id, saved_at FROM saved_targets ORDER BY name");
    rc = !st ? sql_code(&r->sql) : name ? sql_bind(st, "s", name) : SQLITE_OK;
    while (rc == SQLITE_OK && sql_row(st, &rc)) {
        X_GROW(*out, cap, *n + 1);
        (*out)[(*n)++] = (struct saved_targets){sql_text_dup(st, 0), sql_text_dup(st, 1),
                                                sql_text_dup(st, 2), sqlite3_column_int64(st, 3)};
    }
    if (st)
        sqlite3_clear_bindings(st);
    reader_end(r);
    if (rc != SQLITE_OK) {
        saved_targets_free(X_STEAL(*out), *n);
        *n = 0;
    }
    return reader_rc(r, rc, e);
}

void notes_free(struct note *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(v[i].text);
        free(v[i].user_id);
    }
    free(v);
}

int reader_notes(struct reader *r, const char *node, int64_t batch, struct note **out, size_t *n,
                 struct err *e)
{
    size_t cap = 0;

    *out = NULL;
    *n = 0;
    int rc = reader_begin(r, e);
    if (rc <= 0)
        return rc;
    sqlite3_stmt *st = sql_get(&r->sql,
        node ? "SELECT text, user_id, written_at FROM notes WHERE node_name = ? ORDER BY id"
             : "SELECT text, user_id, written_at FROM notes WHERE batch_number = ? ORDER BY id");
    rc = !st ? sql_code(&r->sql) : node ? sql_bind(st, "s", node) : sql_bind(st, "i", batch);
    while (rc == SQLITE_OK && sql_row(st, &rc)) {
        X_GROW(*out, cap, *n + 1);
        (*out)[(*n)++] = (struct note){sql_text_dup(st, 0), sql_text_dup(st, 1),
                                       sqlite3_column_int64(st, 2)};
    }
    if (st)
        sqlite3_clear_bindings(st);
    reader_end(r);
    if (rc != SQLITE_OK) {
        notes_free(X_STEAL(*out), *n);
        *n = 0;
    }
    return reader_rc(r, rc, e);
}
