/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs: bytes in chunks, hashed on the way, equal ones folded into one. */
#include "wdb.h"

#include "output_key.h"

#include "muster/base/alloc.h"
#include "muster/base/hash.h"

#include <string.h>

/* A stream that came in several events. What the last commit knew is kept beside what the open
 * transaction knows, so that a rollback finds back; the hash cannot go back, and need not: the
 * events that went into it are marked and applied again without it. */
struct half {
    struct sha256 *hash;
    uint8_t digest[SHA256_LEN];
    bool digested;
    int64_t id, seq;
    uint64_t size;
    int64_t committed_id, committed_seq;
    uint64_t committed_size;
};

struct stream {
    int64_t exec;
    struct half half[2];
    bool touched, ended;
    struct stream *next;
};

static struct stream **bucket(struct wdb *d, int64_t exec)
{
    return &d->streams[(uint64_t) exec % STREAM_BUCKETS];
}

static struct stream *stream_find(struct wdb *d, int64_t exec)
{
    struct stream *s = *bucket(d, exec);

    while (s && s->exec != exec)
        s = s->next;
    return s;
}

static void stream_touch(struct wdb *d, struct stream *s)
{
    if (s->touched)
        return;
    s->touched = true;
    X_GROW(d->touched, d->cap_touched, d->n_touched + 1);
    d->touched[d->n_touched++] = s;
}

static struct stream *stream_get(struct wdb *d, int64_t exec)
{
    struct stream *s = stream_find(d, exec);

    if (!s) {
        s = x_calloc(1, sizeof *s);
        s->exec = exec;
        s->next = *bucket(d, exec);
        *bucket(d, exec) = s;
    }
    stream_touch(d, s);
    return s;
}

static void stream_free(struct wdb *d, struct stream *s)
{
    struct stream **p = bucket(d, s->exec);

    while (*p != s)
        p = &(*p)->next;
    *p = s->next;
    sha256_abandon(s->half[0].hash);
    sha256_abandon(s->half[1].hash);
    free(s);
}

void outputs_committed(struct wdb *d)
{
    for (size_t i = 0; i < d->n_touched; i++) {
        struct stream *s = d->touched[i];
        s->touched = false;
        if (s->ended) {
            stream_free(d, s);
            continue;
        }
        for (int h = 0; h < 2; h++) {
            s->half[h].committed_id = s->half[h].id;
            s->half[h].committed_seq = s->half[h].seq;
            s->half[h].committed_size = s->half[h].size;
        }
    }
    d->n_touched = 0;
}

void outputs_rolled_back(struct wdb *d)
{
    for (size_t i = 0; i < d->n_touched; i++) {
        struct stream *s = d->touched[i];
        s->touched = s->ended = false;
        for (int h = 0; h < 2; h++) {
            s->half[h].id = s->half[h].committed_id;
            s->half[h].seq = s->half[h].committed_seq;
            s->half[h].size = s->half[h].committed_size;
        }
    }
    d->n_touched = 0;
}

void outputs_free(struct wdb *d)
{
    for (size_t i = 0; i < STREAM_BUCKETS; i++)
        while (d->streams[i])
            stream_free(d, d->streams[i]);
    d->n_touched = 0;
}

void outputs_drop(struct wdb *d, int64_t exec)
{
    struct stream *s = stream_find(d, exec);

    if (s) {
        stream_touch(d, s);
        s->ended = true;
    }
}

static int insert_chunks(struct wdb *d, int64_t id, int64_t *seq, const char *p, size_t n)
{
    int rc = SQLITE_OK;

    while (n && rc == SQLITE_OK) {
        size_t piece = n < OUTPUT_CHUNK_MAX ? n : OUTPUT_CHUNK_MAX;
        rc = sql_run(&d->sql, "INSERT INTO output_chunks (id, data) VALUES (?, ?)", "ib",
                     output_key(id, *seq), (const void *) p, piece);
        (*seq)++;
        p += piece;
        n -= piece;
    }
    return rc;
}

static int insert_output(struct wdb *d, const uint8_t *digest, uint64_t size, int64_t *id)
{
    int rc;

    if (digest)
        rc = sql_run(&d->sql, "INSERT INTO outputs (hash, size) VALUES (?, ?)", "bi",
                     (const void *) digest, (size_t) SHA256_LEN, (int64_t) size);
    else
        rc = sql_run(&d->sql, "INSERT INTO outputs (size) VALUES (0)", "");
    *id = sqlite3_last_insert_rowid(d->sql.db);
    return rc;
}

static int lookup(struct wdb *d, const uint8_t *digest, int64_t *id)
{
    sqlite3_stmt *st = sql_get(&d->sql, "SELECT id FROM outputs WHERE hash = ?");
    int rc;

    *id = 0;
    if (!st)
        return sql_code(&d->sql);
    sql_bind(st, "b", (const void *) digest, (size_t) SHA256_LEN);
    if (sql_row(st, &rc)) {
        *id = sqlite3_column_int64(st, 0);
        rc = SQLITE_OK;
    }
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return rc;
}

static int half_append(struct wdb *d, struct half *h, const char *p, size_t n, unsigned bit,
                       unsigned *hashed)
{
    int rc = SQLITE_OK;

    if (!(*hashed & bit)) {
        if (!h->hash)
            h->hash = sha256_new();
        sha256_add(h->hash, p, n);
        *hashed |= bit;
    }
    if (!h->id)
        rc = insert_output(d, NULL, 0, &h->id);
    if (rc == SQLITE_OK)
        rc = insert_chunks(d, h->id, &h->seq, p, n);
    h->size += n;
    return rc;
}

int output_append(struct wdb *d, int64_t exec, int stream, const struct event *ev,
                  unsigned *hashed, int64_t *id, uint64_t *size)
{
    struct half *h = &stream_get(d, exec)->half[stream];

    int rc = half_append(d, h, ev->data[stream], ev->len[stream], 1U << stream, hashed);
    *id = h->id;
    *size = h->size;
    return rc;
}

/* An open output with this content either becomes the one of its hash or gives way to it. */
static int fold(struct wdb *d, const uint8_t *digest, uint64_t size, int64_t *id)
{
    int64_t same;

    int rc = lookup(d, digest, &same);
    if (rc != SQLITE_OK)
        return rc;
    if (!same)
        return sql_run(&d->sql, "UPDATE outputs SET hash = ?, size = ? WHERE id = ?", "bii",
                       (const void *) digest, (size_t) SHA256_LEN, (int64_t) size, *id);
    rc = sql_run(&d->sql, "DELETE FROM output_chunks WHERE id BETWEEN ? AND ?", "ii",
                 output_key(*id, 0), output_key(*id + 1, 0) - 1);
    if (rc == SQLITE_OK)
        rc = sql_run(&d->sql, "DELETE FROM outputs WHERE id = ?", "i", *id);
    *id = same;
    return rc;
}

static int half_finish(struct wdb *d, struct half *h, const struct event *ev, int stream,
                       unsigned *hashed, int64_t *id)
{
    int rc = SQLITE_OK;

    if (ev->len[stream])
        rc = half_append(d, h, ev->data[stream], ev->len[stream], 1U << stream, hashed);
    if (rc != SQLITE_OK)
        return rc;
    if (!h->digested) {
        sha256_end(X_STEAL(h->hash), h->digest);
        h->digested = true;
    }
    rc = fold(d, h->digest, h->size, &h->id);
    *id = h->id;
    return rc;
}

/* The usual case: all of it comes with the end. */
static int store_whole(struct wdb *d, const char *p, size_t n, int64_t *id)
{
    uint8_t digest[SHA256_LEN];
    int64_t seq = 0;

    sha256_of(p, n, digest);
    int rc = lookup(d, digest, id);
    if (rc != SQLITE_OK || *id)
        return rc;
    rc = insert_output(d, digest, n, id);
    return rc == SQLITE_OK ? insert_chunks(d, *id, &seq, p, n) : rc;
}

int outputs_finish(struct wdb *d, int64_t exec, const struct event *ev, unsigned *hashed,
                   int64_t ids[2], uint64_t sizes[2])
{
    struct stream *s = stream_find(d, exec);
    int rc = SQLITE_OK;

    if (s) {
        stream_touch(d, s);
        s->ended = true;
    }
    for (int i = 0; i < 2 && rc == SQLITE_OK; i++) {
        struct half *h = s ? &s->half[i] : NULL;
        ids[i] = 0;
        sizes[i] = ev->len[i];
        if (h && (h->hash || h->digested)) {
            rc = half_finish(d, h, ev, i, hashed, &ids[i]);
            sizes[i] = h->size;
        } else if (ev->len[i]) {
            rc = store_whole(d, ev->data[i], ev->len[i], &ids[i]);
        }
    }
    return rc;
}

int output_settle(struct wdb *d, int64_t *id)
{
    uint8_t digest[SHA256_LEN];
    uint64_t size = 0;
    int rc;

    sqlite3_stmt *st = sql_get(&d->sql, "SELECT 1 FROM outputs WHERE id = ? AND hash IS NULL");
    if (!st)
        return sql_code(&d->sql);
    sql_bind(st, "i", *id);
    if (!sql_row(st, &rc))
        return rc;
    sql_done(st);
    st = sql_get(&d->sql, "SELECT data FROM output_chunks WHERE id BETWEEN ? AND ? ORDER BY id");
    if (!st)
        return sql_code(&d->sql);
    sql_bind(st, "ii", output_key(*id, 0), output_key(*id + 1, 0) - 1);
    struct sha256 *hash = sha256_new();
    while (sql_row(st, &rc)) {
        size_t n = (size_t) sqlite3_column_bytes(st, 0);
        sha256_add(hash, sqlite3_column_blob(st, 0), n);
        size += n;
    }
    sha256_end(hash, digest);
    return rc == SQLITE_OK ? fold(d, digest, size, id) : rc;
}
