/* SPDX-License-Identifier: Apache-2.0 */
/* Reading classes of equal results. One pass over the ended executions in order of names groups
 * them here, since SQL would have to walk the batch again for each class's names. */
#include "rdb.h"

#include "output_key.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/core/nodeset.h"

#include <string.h>

#define NODES_TEXT_MAX 1000
#define FIRST_LINE_MAX 256
#define FIRST_LINE_LOOK 1024 /* leading empty lines are passed over as far as this */

struct member {
    char *node;
    size_t class_index;
};

struct grouping {
    struct output_class *classes;
    size_t n, cap;
    struct member *members; /* in order of names */
    size_t n_members, cap_members;
    size_t *table; /* class index + 1, open addressing */
    size_t mask;
};

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15U;
    return h ^ h >> 29;
}

static bool same_class(const struct output_class *a, const struct output_class *b)
{
    return a->status == b->status && a->reason == b->reason && a->exit_code == b->exit_code &&
           a->out_id[0] == b->out_id[0] && a->out_id[1] == b->out_id[1];
}

/* The class equal to key, added when it is new. The table is never more than half full: it has room
 * for each execution of the batch. */
static size_t class_of(struct grouping *g, const struct output_class *key, const char *error)
{
    uint64_t h = mix(mix(mix(mix(key->status, key->reason), (uint64_t) key->exit_code),
                         (uint64_t) key->out_id[0]), (uint64_t) key->out_id[1]);
    size_t i = (size_t) h & g->mask;

    for (; g->table[i]; i = (i + 1) & g->mask)
        if (same_class(&g->classes[g->table[i] - 1], key))
            return g->table[i] - 1;
    X_GROW(g->classes, g->cap, g->n + 1);
    g->classes[g->n] = *key;
    g->classes[g->n].error = x_strdup(error);
    g->table[i] = ++g->n;
    return g->n - 1;
}

static int group_rows(struct reader *r, int64_t number, struct grouping *g)
{
    sqlite3_stmt *st = sql_get(&r->sql,
        "SELECT status, reason, exit_code, stdout_id, stderr_id, stdout_size, stderr_size,"
        " node_name, error, stdout_truncated, stderr_truncated FROM executions"
        " WHERE batch_number = ? AND status IN ('success', 'failed') ORDER BY name_rank");
    int rc = st ? sql_bind(st, "i", number) : sql_code(&r->sql);

    while (rc == SQLITE_OK && sql_row(st, &rc)) {
        const char *reason = (const char *) sqlite3_column_text(st, 1);
        int parsed = reason ? reason_parse(reason) : REASON_NONE;
        struct output_class key = {
            .status = strcmp((const char *) sqlite3_column_text(st, 0), "success") ? EXEC_FAILED
                                                                                  : EXEC_SUCCESS,
            .reason = parsed < 0 ? REASON_INTERNAL : (enum reason) parsed,
            .exit_code = (int) sql_int_or(st, 2, -1),
            .out_id = {sqlite3_column_int64(st, 3), sqlite3_column_int64(st, 4)},
            .out_size = {(uint64_t) sqlite3_column_int64(st, 5),
                         (uint64_t) sqlite3_column_int64(st, 6)},
        };
        size_t i = class_of(g, &key, (const char *) sqlite3_column_text(st, 8));
        g->classes[i].count++;
        for (int s = 0; s < 2; s++)
            if (sqlite3_column_int(st, 9 + s))
                g->classes[i].truncated[s] = true;
        X_GROW(g->members, g->cap_members, g->n_members + 1);
        g->members[g->n_members++] = (struct member){sql_text_dup(st, 7), i};
    }
    return rc;
}

static void take_line(struct output_class *c, const char *p, size_t n)
{
    while (n && (*p == '\n' || *p == '\r')) {
        p++;
        n--;
    }
    const char *end = n ? memchr(p, '\n', n) : NULL;
    if (end)
        n = (size_t) (end - p);
    if (n && p[n - 1] == '\r')
        n--;
    c->first_line_len = n < FIRST_LINE_MAX ? n : FIRST_LINE_MAX;
    c->first_line = x_memdup(p, c->first_line_len);
}

static int first_line(struct reader *r, struct output_class *c)
{
    int64_t id = c->out_id[0] ? c->out_id[0] : c->out_id[1];
    int rc = SQLITE_OK;

    if (!id) {
        const char *text = c->error ? c->error : "";
        take_line(c, text, strlen(text));
        return rc;
    }
    sqlite3_stmt *st = sql_get(&r->sql, "SELECT substr(data, 1, ?) FROM output_chunks"
                                        " WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1");
    rc = st ? sql_bind(st, "iii", (int64_t) FIRST_LINE_LOOK, output_key(id, 0),
                       output_key(id + 1, 0) - 1)
            : sql_code(&r->sql);
    if (rc == SQLITE_OK && sql_row(st, &rc)) {
        const char *p = sqlite3_column_blob(st, 0);
        take_line(c, p ? p : "", (size_t) sqlite3_column_bytes(st, 0));
    }
    sql_done(st);
    if (!c->first_line)
        take_line(c, "", 0);
    return rc;
}

static void fold_names(const struct grouping *g, size_t class_index, struct output_class *c)
{
    CLEANUP_FREE const char **names = x_array(NULL, c->count, sizeof *names);
    struct strbuf text;
    size_t n = 0;

    for (size_t i = 0; i < g->n_members && n < c->count; i++)
        if (g->members[i].class_index == class_index)
            names[n++] = g->members[i].node;
    strbuf_init(&text, 0);
    nodeset_fold_names(&text, names, n, NODES_TEXT_MAX);
    c->nodes = strbuf_steal(&text);
    strbuf_free(&text);
}

/* Larger ones first; of equal ones those that failed, then in the order of their first names. */
struct size_order {
    size_t count, index;
    bool failed;
};

static int size_cmp(const void *a, const void *b)
{
    const struct size_order *x = a, *y = b;

    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    if (x->failed != y->failed)
        return x->failed ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* Caller frees. */
static struct size_order *ordered(const struct grouping *g)
{
    struct size_order *order = x_array(NULL, g->n + 1, sizeof *order);

    for (size_t i = 0; i < g->n; i++)
        order[i] = (struct size_order){g->classes[i].count, i,
                                       g->classes[i].status == EXEC_FAILED};
    qsort(order, g->n, sizeof *order, size_cmp);
    return order;
}

static int take_page(struct reader *r, struct grouping *g, size_t offset, size_t limit,
                     struct output_class **out, size_t *n)
{
    CLEANUP_FREE struct size_order *order = ordered(g);
    int rc = SQLITE_OK;

    if (offset >= g->n || !limit)
        return rc;
    if (limit > g->n - offset)
        limit = g->n - offset;
    *out = x_calloc(limit, sizeof **out);
    for (; *n < limit && rc == SQLITE_OK; (*n)++) {
        size_t i = order[offset + *n].index;
        struct output_class *c = &(*out)[*n];
        *c = g->classes[i];
        g->classes[i].error = NULL; /* it has moved */
        fold_names(g, i, c);
        rc = first_line(r, c);
    }
    return rc;
}

static int grouping_read(struct reader *r, const struct span *s, struct grouping *g)
{
    size_t size = 16;

    while (size < (size_t) s->stats.total * 2)
        size *= 2;
    g->table = x_calloc(size, sizeof *g->table);
    g->mask = size - 1;
    return group_rows(r, s->number, g);
}

static void grouping_clear(struct grouping *g)
{
    for (size_t i = 0; i < g->n; i++)
        free(g->classes[i].error);
    for (size_t i = 0; i < g->n_members; i++)
        free(g->members[i].node);
    free(g->classes);
    free(g->members);
    free(g->table);
}

int reader_nodes_by_class(struct reader *r, int64_t number, size_t n, struct nodeset *out,
                          struct err *e)
{
    struct grouping g = {0};
    struct span s;

    int rc = reader_begin_batch(r, number, &s, e);
    if (rc < 0)
        return rc;
    rc = grouping_read(r, &s, &g);
    reader_end(r);
    rc = reader_rc(r, rc, e);
    if (!rc && n >= 1 && n <= g.n) {
        CLEANUP_FREE struct size_order *order = ordered(&g);
        for (size_t i = 0; i < g.n_members; i++)
            if (g.members[i].class_index == order[n - 1].index)
                nodeset_add(out, g.members[i].node);
    } else if (!rc) {
        rc = err_set(e, ERR_VALIDATION,
                     "Batch %lld has %zu class%s of equal results so far, counted from 1: there is no "
                     "class%zu.", (long long) number, g.n, g.n == 1 ? "" : "es", n);
    }
    grouping_clear(&g);
    return rc;
}

int reader_classes(struct reader *r, int64_t number, size_t offset, size_t limit,
                   struct output_class **out, size_t *n, size_t *total, struct err *e)
{
    struct grouping g = {0};
    struct span s;

    *out = NULL;
    *n = 0;
    if (total)
        *total = 0;
    int rc = reader_begin_batch(r, number, &s, e);
    if (rc < 0)
        return rc;
    rc = grouping_read(r, &s, &g);
    if (rc == SQLITE_OK)
        rc = take_page(r, &g, offset, limit, out, n);
    reader_end(r);
    if (total)
        *total = g.n;
    grouping_clear(&g);
    if (rc != SQLITE_OK) {
        classes_free(X_STEAL(*out), *n);
        *n = 0;
    }
    return reader_rc(r, rc, e);
}

void classes_free(struct output_class *c, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(c[i].error);
        free(c[i].nodes);
        free(c[i].first_line);
    }
    free(c);
}
