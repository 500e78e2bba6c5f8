/* SPDX-License-Identifier: Apache-2.0 */
/* A thin layer over one SQLite connection. */
#include "sql.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

/* One wait for a lock; sql_begin repeats it, so that a waiting thread looks up now and then. */
#define BUSY_SLICE_MS 100

int sql_open(struct sql *s, const char *path, int flags)
{
    memset(s, 0, sizeof *s);
    s->path = x_strdup(path);
    int rc = sqlite3_open_v2(path, &s->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                             NULL);
    if (rc != SQLITE_OK)
        return rc;
    sqlite3_busy_timeout(s->db, BUSY_SLICE_MS);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    return sql_exec(s, "PRAGMA trusted_schema=OFF");
}

void sql_close(struct sql *s)
{
    for (size_t i = 0; i < s->n_cache; i++) {
        sqlite3_finalize(s->cache[i].st);
        free(s->cache[i].text);
    }
    s->n_cache = 0;
    sqlite3_close(s->db);
    s->db = NULL;
    free(X_STEAL(s->path));
}

static size_t cache_slot(struct sql *s)
{
    if (s->n_cache < SQL_CACHE_MAX)
        return s->n_cache++;
    size_t oldest = 0;
    for (size_t i = 1; i < s->n_cache; i++)
        if (s->cache[i].used < s->cache[oldest].used && !sqlite3_stmt_busy(s->cache[i].st))
            oldest = i;
    sqlite3_finalize(s->cache[oldest].st);
    free(s->cache[oldest].text);
    return oldest;
}

sqlite3_stmt *sql_get(struct sql *s, const char *text)
{
    for (size_t i = 0; i < s->n_cache; i++) {
        if (strcmp(s->cache[i].text, text))
            continue;
        s->cache[i].used = ++s->tick;
        sqlite3_reset(s->cache[i].st);
        sqlite3_clear_bindings(s->cache[i].st);
        return s->cache[i].st;
    }
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v3(s->db, text, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL) != SQLITE_OK)
        return NULL;
    size_t slot = cache_slot(s);
    s->cache[slot].text = x_strdup(text);
    s->cache[slot].st = st;
    s->cache[slot].used = ++s->tick;
    return st;
}

int sql_exec(struct sql *s, const char *text)
{
    return sqlite3_exec(s->db, text, NULL, NULL, NULL);
}

int64_t sql_int(struct sql *s, const char *text, int64_t otherwise)
{
    sqlite3_stmt *st = sql_get(s, text);
    if (!st)
        return otherwise;
    if (sqlite3_step(st) == SQLITE_ROW)
        otherwise = sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    return otherwise;
}

int sql_code(const struct sql *s)
{
    int rc = sqlite3_extended_errcode(s->db);
    return rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_ERROR : rc;
}

static int bind_blob(sqlite3_stmt *st, int i, const void *p, size_t n)
{
    /* A NULL pointer would bind null where an empty blob is meant. */
    return sqlite3_bind_blob64(st, i, p ? p : "", n, SQLITE_STATIC);
}

static int bind_list(sqlite3_stmt *st, const char *format, va_list ap)
{
    int rc = SQLITE_OK;
    int64_t n;
    const void *p;

    for (int i = 1; *format && rc == SQLITE_OK; i++, format++) {
        switch (*format) {
        case 'i':
            rc = sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
            break;
        case 'd':
            rc = sqlite3_bind_int(st, i, va_arg(ap, int));
            break;
        case 's':
            rc = sqlite3_bind_text(st, i, va_arg(ap, const char *), -1, SQLITE_STATIC);
            break;
        case 'o':
        case 'm':
            n = va_arg(ap, int64_t);
            if (*format == 'o' ? n == 0 : n < 0)
                rc = sqlite3_bind_null(st, i);
            else
                rc = sqlite3_bind_int64(st, i, n);
            break;
        case 'b':
            p = va_arg(ap, const void *);
            rc = bind_blob(st, i, p, va_arg(ap, size_t));
            break;
        default:
            rc = SQLITE_MISUSE;
        }
    }
    return rc;
}

int sql_bind(sqlite3_stmt *st, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    int rc = bind_list(st, format, ap);
    va_end(ap);
    return rc;
}

int sql_run(struct sql *s, const char *text, const char *format, ...)
{
    sqlite3_stmt *st = sql_get(s, text);
    va_list ap;

    if (!st)
        return sql_code(s);
    va_start(ap, format);
    int rc = bind_list(st, format, ap);
    va_end(ap);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(st);
        if (rc == SQLITE_DONE || rc == SQLITE_ROW)
            rc = SQLITE_OK;
    }
    sqlite3_reset(st);
    /* What was bound belongs to the caller and ends with this call. */
    sqlite3_clear_bindings(st);
    return rc;
}

bool sql_row(sqlite3_stmt *st, int *rc)
{
    int step = sqlite3_step(st);

    *rc = step == SQLITE_ROW || step == SQLITE_DONE ? SQLITE_OK : step;
    if (step == SQLITE_ROW)
        return true;
    sqlite3_reset(st);
    return false;
}

void sql_done(sqlite3_stmt *st)
{
    if (st)
        sqlite3_reset(st);
}

char *sql_text_dup(sqlite3_stmt *st, int col)
{
    const unsigned char *t = sqlite3_column_text(st, col);
    return t ? x_strndup((const char *) t, (size_t) sqlite3_column_bytes(st, col)) : NULL;
}

int64_t sql_int_or(sqlite3_stmt *st, int col, int64_t if_null)
{
    return sqlite3_column_type(st, col) == SQLITE_NULL ? if_null
                                                       : sqlite3_column_int64(st, col);
}

int sql_begin(struct sql *s, int64_t wait_ms)
{
    int64_t until = mono_ms(clock_system()) + wait_ms;
    int rc;

    do
        rc = sql_run(s, "BEGIN IMMEDIATE", "");
    while ((rc & 0xff) == SQLITE_BUSY && mono_ms(clock_system()) < until);
    return rc;
}

int sql_commit(struct sql *s)
{
    int rc = sql_run(s, "COMMIT", "");
    if (rc != SQLITE_OK)
        sql_rollback(s);
    return rc;
}

void sql_rollback(struct sql *s)
{
    /* Some errors have rolled back already. */
    if (s->db && !sqlite3_get_autocommit(s->db))
        sql_exec(s, "ROLLBACK");
}

static const char *remedy(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return "Free some space, or name a database on another disk with --db";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return "Move it away to start a new history; `sqlite3 FILE .recover` may save what it "
               "holds";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return "Another process holds it locked: end that one, or name another database with --db";
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return "Check the permissions of the file and of its folder, or name another with --db";
    case SQLITE_IOERR:
        return "Check the disk and its free space, or name a database on another disk with --db";
    default:
        return "Name another database with --db";
    }
}

int sql_err(const struct sql *s, int rc, const char *doing, struct err *e)
{
    int sys = s->db ? sqlite3_system_errno(s->db) : 0;
    bool with_sys = sys && ((rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_CANTOPEN);

    return err_set(e, ERR_STORE, "%s the database %s failed: %s%s%s. %s.", doing,
                   s->path ? s->path : "", sqlite3_errstr(rc), with_sys ? ": " : "",
                   with_sys ? strerror(sys) : "", remedy(rc));
}
