/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what is known about nodes, and said of nodes and batches: facts, saved targets, notes. */
#include "rdb.h"

#include "muster/base/alloc.h"

#include <string.h>

/* A list that grows: of one of the three kinds. */
struct known_list {
    void *v;
    size_t n, cap;
};

/* Puts a row behind the others. */
typedef void put_fn(sqlite3_stmt *st, struct known_list *l);

/* All rows of a query, whose one parameter (or none) is key, or number where key is NULL. */
static int read_list(struct reader *r, const char *text, const char *key, int64_t number, put_fn *put,
                     struct known_list *l, struct err *e)
{
    int rc = reader_begin(r, e);
    if (rc <= 0)
        return rc;
    sqlite3_stmt *st = sql_get(&r->sql, text);
    rc = !st                  ? sql_code(&r->sql)
         : !strchr(text, '?') ? SQLITE_OK
         : key                ? sql_bind(st, "s", key)
                              : sql_bind(st, "i", number);
    while (rc == SQLITE_OK && sql_row(st, &rc))
        put(st, l);
    if (st)
        sqlite3_clear_bindings(st);
    reader_end(r);
    return reader_rc(r, rc, e);
}

void node_facts_free(struct node_facts *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(v[i].node);
        free(v[i].facts);
    }
    free(v);
}

static void put_facts(sqlite3_stmt *st, struct known_list *l)
{
    struct node_facts *v = l->v;

    X_GROW(v, l->cap, l->n + 1);
    v[l->n++] = (struct node_facts){sql_text_dup(st, 0), sql_text_dup(st, 1),
                                    sqlite3_column_int64(st, 2), sqlite3_column_int64(st, 3)};
    l->v = v;
}

int reader_facts(struct reader *r, const char *node, struct node_facts **out, size_t *n,
                 struct err *e)
{
    struct known_list l = {.n = 0};
    int rc = read_list(r,
        node ? "SELECT node_name, facts, learned_at, batch_number FROM node_facts"
               " WHERE node_name = ?"
             : "SELECT node_name, facts, learned_at, batch_number FROM node_facts"
               " ORDER BY node_name", node, 0, put_facts, &l, e);

    if (rc != 0) {
        node_facts_free(l.v, l.n);
        l = (struct known_list){.n = 0};
    }
    *out = l.v;
    *n = l.n;
    return rc;
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

static void put_saved(sqlite3_stmt *st, struct known_list *l)
{
    struct saved_targets *v = l->v;

    X_GROW(v, l->cap, l->n + 1);
    v[l->n++] = (struct saved_targets){sql_text_dup(st, 0), sql_text_dup(st, 1), sql_text_dup(st, 2),
                                       sqlite3_column_int64(st, 3)};
    l->v = v;
}

int reader_saved(struct reader *r, const char *name, struct saved_targets **out, size_t *n,
                 struct err *e)
{
    struct known_list l = {.n = 0};
    int rc = read_list(r,
        name ? "SELECT name, targets, user_id, saved_at FROM saved_targets WHERE name = ?"
             : "SELECT name, targets, user_id, saved_at FROM saved_targets ORDER BY name", name, 0,
        put_saved, &l, e);

    if (rc != 0) {
        saved_targets_free(l.v, l.n);
        l = (struct known_list){.n = 0};
    }
    *out = l.v;
    *n = l.n;
    return rc;
}

void notes_free(struct note *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(v[i].text);
        free(v[i].user_id);
    }
    free(v);
}

static void put_note(sqlite3_stmt *st, struct known_list *l)
{
    struct note *v = l->v;

    X_GROW(v, l->cap, l->n + 1);
    v[l->n++] = (struct note){sql_text_dup(st, 0), sql_text_dup(st, 1), sqlite3_column_int64(st, 2)};
    l->v = v;
}

int reader_notes(struct reader *r, const char *node, int64_t batch, struct note **out, size_t *n,
                 struct err *e)
{
    struct known_list l = {.n = 0};
    int rc = read_list(r,
        node ? "SELECT text, user_id, written_at FROM notes WHERE node_name = ? ORDER BY id"
             : "SELECT text, user_id, written_at FROM notes WHERE batch_number = ? ORDER BY id", node,
        batch, put_note, &l, e);

    if (rc != 0) {
        notes_free(l.v, l.n);
        l = (struct known_list){.n = 0};
    }
    *out = l.v;
    *n = l.n;
    return rc;
}
