/* SPDX-License-Identifier: Apache-2.0 */
/* Reading output: bytes by id, and searching a batch's. */
#include "rdb.h"

#include "output_key.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"

#include <ctype.h>
#include <string.h>

#define SEARCH_MAX ((uint64_t) 64 << 20)

/* The key of the chunk that holds `offset`, and where that chunk begins. False: none does. */
static bool find_chunk(struct reader *r, int64_t id, uint64_t offset, int64_t *key,
                       uint64_t *begins, int *rc)
{
    uint64_t at = 0;
    bool found = false;

    /* length() reads a row's header alone, not its bytes. */
    sqlite3_stmt *st = sql_get(&r->sql, "SELECT id, length(data) FROM output_chunks"
                                        " WHERE id BETWEEN ? AND ? ORDER BY id");
    *rc = st ? sql_bind(st, "ii", output_key(id, 0), output_key(id + 1, 0) - 1)
             : sql_code(&r->sql);
    while (*rc == SQLITE_OK && sql_row(st, rc)) {
        uint64_t n = (uint64_t) sqlite3_column_int64(st, 1);
        if (offset < at + n) {
            *key = sqlite3_column_int64(st, 0);
            *begins = at;
            found = true;
            break;
        }
        at += n;
    }
    sql_done(st);
    return found;
}

/* Copies the next chunk at or after *key, so that nothing is held while the caller works on it.
 * *p NULL: there is none. */
static int next_chunk(struct reader *r, int64_t id, int64_t *key, char **p, size_t *n)
{
    sqlite3_stmt *st = sql_get(&r->sql, "SELECT id, data FROM output_chunks"
                                        " WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1");
    int rc = st ? sql_bind(st, "ii", *key, output_key(id + 1, 0) - 1) : sql_code(&r->sql);

    *p = NULL;
    if (rc == SQLITE_OK && sql_row(st, &rc)) {
        *key = sqlite3_column_int64(st, 0) + 1;
        *n = (size_t) sqlite3_column_bytes(st, 1);
        *p = x_memdup(sqlite3_column_blob(st, 1), *n);
    }
    sql_done(st);
    return rc;
}

/* *has: there is a database at all. */
static int ensure_open(struct reader *r, bool *has, struct err *e)
{
    int rc = reader_begin(r, e);

    *has = rc > 0;
    if (rc > 0)
        reader_end(r);
    return rc < 0 ? rc : 0;
}

int reader_output(struct reader *r, int64_t id, uint64_t offset, uint64_t len,
                  bool (*fn)(void *ctx, const void *p, size_t n), void *ctx, struct err *e)
{
    int64_t key = output_key(id, 0);
    uint64_t begins = 0;
    bool has, more = true;
    int rc = SQLITE_OK;

    if (!id || !len)
        return 0;
    if (ensure_open(r, &has, e))
        return -ERR_STORE;
    if (!has || (offset && !find_chunk(r, id, offset, &key, &begins, &rc)))
        return reader_rc(r, rc, e);
    uint64_t skip = offset - begins;
    while (len && more) {
        char *p;
        size_t n;
        rc = next_chunk(r, id, &key, &p, &n);
        if (rc != SQLITE_OK || !p)
            break;
        uint64_t from = skip < n ? skip : n;
        uint64_t take = n - from < len ? n - from : len;
        skip -= from;
        len -= take;
        if (take)
            more = fn(ctx, p + from, (size_t) take);
        free(p);
    }
    return reader_rc(r, rc, e);
}

static bool append_piece(void *ctx, const void *p, size_t n)
{
    strbuf_add(ctx, p, n);
    return true;
}

int reader_output_all(struct reader *r, int64_t id, size_t max, char **p, size_t *n,
                      struct err *e)
{
    struct strbuf all;

    *p = NULL;
    *n = 0;
    strbuf_init(&all, max ? max : 1);
    int rc = reader_output(r, id, 0, max, append_piece, &all, e);
    if (!rc) {
        *n = all.len;
        *p = strbuf_steal(&all);
    }
    strbuf_free(&all);
    return rc;
}

/* A search over pieces: what could begin a hit that ends in the next piece is kept. */
struct search {
    char *needle;
    size_t len;
    bool fold;
    struct strbuf buf;
    size_t hits;
    uint64_t *budget;
    bool partial;
};

static void lower(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (char) tolower((unsigned char) p[i]);
}

static bool search_piece(void *ctx, const void *p, size_t n)
{
    struct search *s = ctx;
    size_t had = s->buf.len, at = 0;

    if (n > *s->budget) {
        s->partial = true;
        n = (size_t) *s->budget;
    }
    *s->budget -= n;
    strbuf_add(&s->buf, p, n);
    if (s->fold)
        lower(s->buf.s + had, s->buf.len - had);
    for (;;) {
        char *hit = memmem(s->buf.s + at, s->buf.len - at, s->needle, s->len);
        if (!hit)
            break;
        s->hits++;
        at = (size_t) (hit - s->buf.s) + s->len;
    }
    size_t tail = s->buf.len - at < s->len ? s->buf.len - at : s->len - 1;
    strbuf_consume(&s->buf, s->buf.len - tail);
    return !s->partial;
}

static int id_cmp(const void *a, const void *b)
{
    int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;
    return (x > y) - (x < y);
}

struct pair {
    int64_t id[2];
};

/* The output ids of each execution that has any. */
static int batch_pairs(struct reader *r, int64_t number, struct pair **out, size_t *n,
                       struct err *e)
{
    size_t cap = 0;
    struct span s;

    *out = NULL;
    *n = 0;
    int rc = reader_begin_batch(r, number, &s, e);
    if (rc < 0)
        return rc;
    sqlite3_stmt *st = sql_get(&r->sql,
        "SELECT stdout_id, stderr_id FROM executions WHERE id BETWEEN ? AND ?"
        " AND (stdout_id <> 0 OR stderr_id <> 0) ORDER BY id");
    rc = st ? sql_bind(st, "ii", s.first, s.last) : sql_code(&r->sql);
    while (rc == SQLITE_OK && sql_row(st, &rc)) {
        X_GROW(*out, cap, *n + 1);
        (*out)[(*n)++] = (struct pair){{sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1)}};
    }
    reader_end(r);
    return reader_rc(r, rc, e);
}

static size_t unique_ids(const struct pair *pairs, size_t n, int64_t *ids)
{
    size_t n_ids = 0, kept = 0;

    for (size_t i = 0; i < n; i++)
        for (int s = 0; s < 2; s++)
            if (pairs[i].id[s])
                ids[n_ids++] = pairs[i].id[s];
    qsort(ids, n_ids, sizeof *ids, id_cmp);
    for (size_t i = 0; i < n_ids; i++)
        if (!kept || ids[i] != ids[kept - 1])
            ids[kept++] = ids[i];
    return kept;
}

static size_t hits_of(int64_t id, const int64_t *ids, const size_t *hits, size_t n)
{
    const int64_t *p = id ? bsearch(&id, ids, n, sizeof *ids, id_cmp) : NULL;
    return p ? hits[p - ids] : 0;
}

int reader_search(struct reader *r, int64_t number, const char *text, size_t *nodes, size_t *hits,
                  bool *partial, struct err *e)
{
    CLEANUP_FREE struct pair *pairs = NULL;
    uint64_t budget = SEARCH_MAX;
    size_t n = 0;

    *nodes = *hits = 0;
    *partial = false;
    int rc = batch_pairs(r, number, &pairs, &n, e);
    if (rc || !*text)
        return rc;
    CLEANUP_FREE int64_t *ids = x_array(NULL, n * 2 + 1, sizeof *ids);
    size_t n_ids = unique_ids(pairs, n, ids);
    CLEANUP_FREE size_t *found = x_calloc(n_ids + 1, sizeof *found);
    CLEANUP_FREE char *needle = x_strdup(text);
    bool fold = true;
    for (const char *p = text; *p; p++)
        fold = fold && !(*p >= 'A' && *p <= 'Z');
    for (size_t i = 0; i < n_ids && !rc && !*partial; i++) {
        struct search s = {.needle = needle, .len = strlen(needle), .fold = fold,
                           .budget = &budget};
        strbuf_init(&s.buf, 0);
        rc = reader_output(r, ids[i], 0, UINT64_MAX, search_piece, &s, e);
        strbuf_free(&s.buf);
        found[i] = s.hits;
        *partial = s.partial;
    }
    for (size_t i = 0; i < n; i++) {
        size_t h = hits_of(pairs[i].id[0], ids, found, n_ids) +
                   hits_of(pairs[i].id[1], ids, found, n_ids);
        *hits += h;
        *nodes += h > 0;
    }
    return rc;
}
