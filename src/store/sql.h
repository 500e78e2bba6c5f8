/* SPDX-License-Identifier: Apache-2.0 */
/* A thin layer over one SQLite connection: statements prepared once, values bound by a format, and
 * errors that name the file, what SQLite said and what to do. One thread a connection. */
#ifndef MUSTER_STORE_SQL_H
#define MUSTER_STORE_SQL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define SQL_CACHE_MAX 64

struct sql {
    sqlite3 *db;
    char *path;
    struct {
        char *text;
        sqlite3_stmt *st;
        uint64_t used; /* tick of the last use: the oldest makes room */
    } cache[SQL_CACHE_MAX];
    size_t n_cache;
    uint64_t tick;
};

/* Opens with these SQLITE_OPEN_* flags and the settings every connection shares. SQLITE_OK or an
 * SQLite code; s is to be closed in either case. */
int sql_open(struct sql *s, const char *path, int flags);
void sql_close(struct sql *s);

/* The statement for this text, reset, with nothing bound; it belongs to s. NULL: see sql_code. */
sqlite3_stmt *sql_get(struct sql *s, const char *text);
int sql_exec(struct sql *s, const char *text);
/* The one integer a query or pragma gives; `otherwise` when there is no row or it failed. */
int64_t sql_int(struct sql *s, const char *text, int64_t otherwise);
int sql_code(const struct sql *s); /* of the last call that failed */

/* Binds by format, from parameter 1 on: 'i' int64_t, 'd' int, 's' const char * (NULL: null), 'o'
 * int64_t with 0 as null, 'm' int64_t with a negative value as null, 'b' const void * and size_t.
 * Text and blobs must live until the statement is reset. */
int sql_bind(sqlite3_stmt *st, const char *format, ...);
/* Binds, steps a statement that gives no rows, and resets it. */
int sql_run(struct sql *s, const char *text, const char *format, ...);
/* Steps; true on a row. At the end, and on an error, it resets. *rc: SQLITE_OK but on an error. */
bool sql_row(sqlite3_stmt *st, int *rc);
void sql_done(sqlite3_stmt *st); /* resets early; NULL allowed */

/* Columns as values of our own. */
char *sql_text_dup(sqlite3_stmt *st, int col); /* NULL for null; caller frees */
int64_t sql_int_or(sqlite3_stmt *st, int col, int64_t if_null);

/* BEGIN IMMEDIATE, waiting for the lock in slices for at most wait_ms. */
int sql_begin(struct sql *s, int64_t wait_ms);
int sql_commit(struct sql *s); /* rolls back when it fails */
void sql_rollback(struct sql *s);

/* Sets e to -ERR_STORE with the path, what SQLite said and the remedy. `doing`: "writing". */
int sql_err(const struct sql *s, int rc, const char *doing, struct err *e);

#endif
