/* SPDX-License-Identifier: Apache-2.0 */
/* Readers: opening, the transaction around each call, queries put together from conditions. */
#include "rdb.h"

#include "lease_row.h"
#include "schema.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/text.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define READER_BUSY_MS 2000

/* smart_has(hay, needle): smart-case substring. */
static void fn_smart_has(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
    const char *hay = (const char *) sqlite3_value_text(argv[0]);
    const char *needle = (const char *) sqlite3_value_text(argv[1]);

    sqlite3_result_int(ctx, hay && needle && text_find(hay, needle) ? 1 : 0);
}

static void reader_shut(struct reader *r)
{
    sql_close(&r->sql);
    r->open = r->asked = false;
}

static int configure(struct reader *r)
{
    sqlite3_busy_timeout(r->sql.db, READER_BUSY_MS);
    int rc = sqlite3_create_function_v2(r->sql.db, "smart_has", 2,
                                        SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY,
                                        NULL, fn_smart_has, NULL, NULL, NULL);
    return rc == SQLITE_OK ? sql_exec(&r->sql, "PRAGMA query_only=ON") : rc;
}

/* A reader cannot read what is not there yet, so a database of an older muster is brought up to date
 * by whoever opens it first. */
static int bring_up_to_date(struct reader *r, struct err *e)
{
    struct sql s = {0};

    reader_shut(r);
    int rc = sql_open(&s, r->path, SQLITE_OPEN_READWRITE);
    rc = rc == SQLITE_OK ? schema_migrate(&s, e) : sql_err(&s, rc, "Bringing up to date", e);
    sql_close(&s);
    if (rc)
        return rc;
    rc = sql_open(&r->sql, r->path, SQLITE_OPEN_READONLY);
    if (rc == SQLITE_OK)
        rc = configure(r);
    return rc == SQLITE_OK ? 0 : sql_err(&r->sql, rc, "Opening", e);
}

/* 0, also when there is no database yet; r->open tells. */
static int reader_try_open(struct reader *r, struct err *e)
{
    struct stat st;
    bool empty = false;

    if (stat(r->path, &st)) {
        if (r->open)
            reader_shut(r);
        if (errno == ENOENT || errno == ENOTDIR)
            return 0;
        return err_set(e, ERR_STORE,
                       "The database %s cannot be read: %s. Check the permissions, or name another "
                       "with --db.", r->path, strerror(errno));
    }
    if (r->open && st.st_dev == r->dev && st.st_ino == r->ino)
        return 0;
    if (r->open)
        reader_shut(r);
    if (st.st_size == 0)
        return 0; /* a writer is just making it */
    int rc = sql_open(&r->sql, r->path, SQLITE_OPEN_READONLY);
    if (rc == SQLITE_OK)
        rc = configure(r);
    if (rc != SQLITE_OK)
        rc = sql_err(&r->sql, rc, "Opening", e);
    else
        rc = schema_check(&r->sql, &empty, e);
    if (rc == 0 && !empty && schema_is_old(&r->sql))
        rc = bring_up_to_date(r, e);
    if (rc || empty) {
        reader_shut(r);
        return rc;
    }
    r->open = true;
    r->dev = st.st_dev;
    r->ino = st.st_ino;
    return 0;
}

struct reader *reader_open(const char *path, struct err *e)
{
    struct reader *r = x_calloc(1, sizeof *r);

    r->path = x_strdup(path);
    lease_self(&r->self);
    if (!reader_try_open(r, e))
        return r;
    reader_close(r);
    return NULL;
}

void reader_close(struct reader *r)
{
    if (!r)
        return;
    if (r->open)
        reader_shut(r);
    free(r->path);
    free(r);
}

bool reader_changed(struct reader *r)
{
    bool was_open = r->open, asked = r->asked;

    if (reader_try_open(r, NULL))
        return true; /* let the next call say what is wrong */
    if (!r->open)
        return was_open;
    int64_t version = sql_int(&r->sql, "PRAGMA data_version", r->data_version);
    bool changed = !asked || !r->asked || version != r->data_version;
    r->asked = true;
    r->data_version = version;
    return changed;
}

int reader_integrity(struct reader *r, struct err *e)
{
    sqlite3_stmt *st = NULL;
    int rc = 0;

    if (!r->open)
        return 0;
    if (sqlite3_prepare_v2(r->sql.db, "PRAGMA quick_check(1)", -1, &st, NULL) != SQLITE_OK ||
        sqlite3_step(st) != SQLITE_ROW) {
        rc = err_set(e, ERR_STORE, "The database %s cannot be checked: %s", r->path,
                     sqlite3_errmsg(r->sql.db));
    } else {
        const char *told = (const char *) sqlite3_column_text(st, 0);
        if (!told || strcmp(told, "ok") != 0)
            rc = err_set(e, ERR_STORE, "The database %s is damaged: %s", r->path,
                         told ? told : "no answer");
    }
    sqlite3_finalize(st);
    return rc;
}

int reader_rc(struct reader *r, int rc, struct err *e)
{
    return rc == SQLITE_OK ? 0 : sql_err(&r->sql, rc, "Reading", e);
}

int reader_begin(struct reader *r, struct err *e)
{
    if (r->snapshot)
        return r->open;
    if (reader_try_open(r, e))
        return -ERR_STORE;
    if (!r->open)
        return 0;
    int rc = sql_run(&r->sql, "BEGIN", "");
    return rc == SQLITE_OK ? 1 : reader_rc(r, rc, e);
}

void reader_end(struct reader *r)
{
    if (!r->snapshot)
        sql_run(&r->sql, "COMMIT", "");
}

int reader_begin_snapshot(struct reader *r, struct err *e)
{
    int rc = reader_begin(r, e);

    if (rc < 0)
        return rc;
    /* BEGIN alone looks at nothing: the first read is what fixes the moment. */
    if (rc > 0 && sql_int(&r->sql, "SELECT count(*) FROM sqlite_schema", -1) < 0) {
        rc = sql_err(&r->sql, sql_code(&r->sql), "Reading", e);
        reader_end(r);
        return rc;
    }
    r->snapshot = true;
    return 0;
}

void reader_end_snapshot(struct reader *r)
{
    r->snapshot = false;
    if (r->open)
        reader_end(r);
}

int reader_no_batch(int64_t number, struct err *e)
{
    return err_set(e, ERR_NOT_FOUND, "There is no batch %lld; `muster history` lists them.",
                   (long long) number);
}

int reader_begin_batch(struct reader *r, int64_t number, struct span *s, struct err *e)
{
    int rc = reader_begin(r, e);

    if (rc < 0)
        return rc;
    if (!rc)
        return reader_no_batch(number, e);
    sqlite3_stmt *st = sql_get(&r->sql, "SELECT first_execution, " STATS_COLUMNS
                                        " FROM batch_executions WHERE number = ?");
    rc = st ? sql_bind(st, "i", number) : sql_code(&r->sql);
    if (st && sql_row(st, &rc)) {
        s->number = number;
        s->first = sqlite3_column_int64(st, 0);
        stats_from_row(st, 1, &s->stats);
        s->last = s->first + (int64_t) s->stats.total - 1;
        sql_done(st);
        return 1;
    }
    reader_end(r);
    return rc == SQLITE_OK ? reader_no_batch(number, e) : reader_rc(r, rc, e);
}

bool reader_has_dead_owner(struct reader *r)
{
    bool dead = false;
    int rc;

    if (reader_begin(r, NULL) != 1)
        return false;
    sqlite3_stmt *st = sql_get(&r->sql, "SELECT " LEASE_COLUMNS " FROM owners");
    while (st && !dead && sql_row(st, &rc)) {
        struct lease l;
        lease_from_row(st, 0, &l);
        dead = lease_state(&l, &r->self) == OWNER_DEAD;
    }
    sql_done(st);
    reader_end(r);
    return dead;
}

void query_init(struct query *q, const char *sql)
{
    strbuf_init(&q->sql, 0);
    strbuf_adds(&q->sql, sql);
    q->n = 0;
}

void query_free(struct query *q)
{
    strbuf_free(&q->sql);
}

void query_add(struct query *q, const char *sql)
{
    strbuf_adds(&q->sql, sql);
}

void query_int(struct query *q, const char *sql, int64_t value)
{
    strbuf_adds(&q->sql, sql);
    if (q->n < QUERY_PARAMS_MAX) {
        q->param[q->n].text = NULL;
        q->param[q->n++].number = value;
    }
}

void query_text(struct query *q, const char *sql, const char *value)
{
    strbuf_adds(&q->sql, sql);
    if (q->n < QUERY_PARAMS_MAX)
        q->param[q->n++].text = value;
}

sqlite3_stmt *query_start(struct reader *r, struct query *q)
{
    sqlite3_stmt *st = sql_get(&r->sql, q->sql.s);

    for (size_t i = 0; st && i < q->n; i++) {
        if (q->param[i].text)
            sqlite3_bind_text(st, (int) i + 1, q->param[i].text, -1, SQLITE_TRANSIENT);
        else
            sqlite3_bind_int64(st, (int) i + 1, q->param[i].number);
    }
    return st;
}

int column_ints(sqlite3_stmt *st, int64_t **out, size_t *n)
{
    size_t cap = 0;
    int rc;

    *out = NULL;
    *n = 0;
    while (sql_row(st, &rc)) {
        X_GROW(*out, cap, *n + 1);
        (*out)[(*n)++] = sqlite3_column_int64(st, 0);
    }
    return rc;
}
