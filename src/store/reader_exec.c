/* SPDX-License-Identifier: Apache-2.0 */
/* Reading executions: pages of a batch, filtered and sorted; names by result; runs of a node. */
#include "rdb.h"

#include "schema.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/core/nodeset.h"

#include <string.h>

static const char *const sort_names[SORT_COUNT] = {"name", "status", "duration", "position",
                                                   "finished", "activity"};

int exec_sort_parse(const char *name)
{
    for (int i = 0; i < SORT_COUNT; i++)
        if (!strcmp(name, sort_names[i]))
            return i;
    return -1;
}

void execution_from_row(sqlite3_stmt *st, struct execution *x)
{
    int status = exec_status_parse((const char *) sqlite3_column_text(st, 3));
    const char *reason = (const char *) sqlite3_column_text(st, 4);
    int r = reason ? reason_parse(reason) : REASON_NONE;
    int remote = remote_process_parse((const char *) sqlite3_column_text(st, 14));

    memset(x, 0, sizeof *x);
    x->batch = sqlite3_column_int64(st, 0);
    x->position = (uint32_t) sqlite3_column_int64(st, 1);
    x->node = sql_text_dup(st, 2);
    x->status = status < 0 ? EXEC_QUEUED : (enum exec_status) status;
    x->reason = r < 0 ? REASON_INTERNAL : (enum reason) r;
    x->error = sql_text_dup(st, 5);
    x->started_ms = sqlite3_column_int64(st, 6);
    x->completed_ms = sqlite3_column_int64(st, 7);
    x->duration_ms = sql_int_or(st, 8, -1);
    x->attempts = (unsigned) sqlite3_column_int64(st, 9);
    x->transport = sql_text_dup(st, 10);
    x->host = sql_text_dup(st, 11);
    x->user = sql_text_dup(st, 12);
    x->port = sqlite3_column_int(st, 13);
    x->remote = remote < 0 ? REMOTE_NONE : (enum remote_process) remote;
    x->exit_code = (int) sql_int_or(st, 15, -1);
    x->signal = sql_text_dup(st, 16);
    for (int s = 0; s < 2; s++) {
        x->out_id[s] = sqlite3_column_int64(st, 17 + s);
        x->out_size[s] = (uint64_t) sqlite3_column_int64(st, 19 + s);
        x->truncated[s] = sqlite3_column_int(st, 21 + s) != 0;
    }
    x->finished_seq = sqlite3_column_int64(st, 23);
    x->bytes_done = (uint64_t) sqlite3_column_int64(st, 24);
    x->bytes_total = (uint64_t) sqlite3_column_int64(st, 25);
    x->note = sql_text_dup(st, 26);
    x->step = (unsigned) sqlite3_column_int(st, 27);
}

struct execution *executions_push(struct execution **v, size_t *n, size_t *cap)
{
    X_GROW(*v, *cap, *n + 1);
    struct execution *x = &(*v)[(*n)++];
    memset(x, 0, sizeof *x);
    return x;
}

int executions_push_id(struct reader *r, int64_t id, struct execution **v, size_t *n, size_t *cap)
{
    sqlite3_stmt *st = sql_get(&r->sql,
                               "SELECT " EXECUTION_COLUMNS " FROM executions x WHERE x.id = ?");
    int rc = st ? sql_bind(st, "i", id) : sql_code(&r->sql);

    if (rc == SQLITE_OK && sql_row(st, &rc))
        execution_from_row(st, executions_push(v, n, cap));
    sql_done(st);
    return rc;
}

void executions_free(struct execution *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        execution_clear(&x[i]);
    free(x);
}

/* All rows of a statement that selects EXECUTION_COLUMNS. */
static int push_rows(sqlite3_stmt *st, struct execution **out, size_t *n)
{
    size_t cap = 0;
    int rc;

    while (sql_row(st, &rc))
        execution_from_row(st, executions_push(out, n, &cap));
    return rc;
}

static bool filter_is_any(const struct exec_filter *f)
{
    return !f->status_mask && !f->reason_mask && !f->node && !(f->text && *f->text) &&
           !f->rc_set && !f->class_set;
}

static void filter_masks(struct query *q, const struct exec_filter *f)
{
    if (f->status_mask) {
        query_add(q, " AND status IN (''");
        for (int s = 0; s < EXEC_STATUS_COUNT; s++)
            if (f->status_mask & 1U << s)
                query_text(q, ", ?", exec_status_name((enum exec_status) s));
        query_add(q, ")");
    }
    if (f->reason_mask) {
        query_add(q, " AND coalesce(reason, '') IN (NULL");
        for (int i = 0; i < REASON_COUNT; i++)
            if (f->reason_mask & 1U << i)
                query_text(q, ", ?", reason_name((enum reason) i));
        query_add(q, ")");
    }
}

static void filter_all(struct query *q, const struct exec_filter *f)
{
    filter_masks(q, f);
    if (f->node) {
        query_int(q, " AND node_key = ?", schema_node_key(f->node));
        query_text(q, " AND node_name = ?", f->node);
    }
    if (f->text && *f->text) {
        query_text(q, " AND (smart_has(node_name, ?)", f->text);
        query_text(q, " OR smart_has(error, ?))", f->text);
    }
    if (f->rc_set)
        query_int(q, " AND exit_code = ?", f->rc);
    if (!f->class_set)
        return;
    query_text(q, " AND status IN ('success', 'failed') AND coalesce(reason, '') = ?",
               reason_name((enum reason) f->class_reason));
    query_int(q, " AND coalesce(exit_code, -1) = ?", f->class_exit);
    query_int(q, " AND stdout_id = ?", f->class_out[0]);
    query_int(q, " AND stderr_id = ?", f->class_out[1]);
}

/* By name an index range of the batch, otherwise its range of rows. */
static void filter_batch(struct query *q, const struct span *s, const struct exec_filter *f,
                         bool by_name)
{
    if (by_name && !f->node) {
        query_int(q, " WHERE batch_number = ?", s->number);
    } else {
        query_int(q, " WHERE id BETWEEN ?", s->first);
        query_int(q, " AND ?", s->last);
    }
    filter_all(q, f);
}

static void order_by(struct query *q, enum exec_sort sort, bool reverse)
{
    const char *dir = reverse ? " DESC" : "";

    switch (sort) {
    case SORT_STATUS: /* what needs a look comes first */
        query_add(q, " ORDER BY CASE status WHEN 'failed' THEN 0 WHEN 'running' THEN 1"
                     " WHEN 'queued' THEN 2 ELSE 3 END");
        query_add(q, dir);
        query_add(q, ", name_rank");
        break;
    case SORT_DURATION: /* those that have none come last either way */
        query_add(q, " ORDER BY started_at IS NULL OR (duration IS NULL AND status <> 'running'),"
                     " CASE status WHEN 'running' THEN");
        query_int(q, " ? - started_at ELSE duration END", wall_ms(clock_system()));
        query_add(q, dir);
        query_add(q, ", name_rank");
        break;
    case SORT_POSITION:
        query_add(q, " ORDER BY id");
        query_add(q, dir);
        break;
    case SORT_FINISHED:
        query_add(q, " ORDER BY finished_seq IS NULL, finished_seq");
        query_add(q, dir);
        query_add(q, ", id");
        break;
    case SORT_ACTIVITY: /* what never started is no news: it stands last */
        query_add(q, " ORDER BY CASE status WHEN 'running' THEN 0 WHEN 'success' THEN 2"
                     " WHEN 'queued' THEN 3 ELSE iif(reason = 'skipped', 4, 1) END");
        query_add(q, dir);
        query_add(q, ", CASE status WHEN 'running' THEN started_at WHEN 'queued' THEN 0"
                     " ELSE -finished_seq END");
        query_add(q, dir);
        query_add(q, ", name_rank");
        query_add(q, dir);
        break;
    default:
        query_add(q, " ORDER BY name_rank");
        query_add(q, dir);
    }
}

/* No filter, and an order whose places are known: the page is a range. */
static int page_by_range(struct reader *r, const struct span *s, bool by_name, bool reverse,
                         size_t offset, size_t limit, struct execution **out, size_t *n)
{
    static const char *const text[2][2] = {
        {"SELECT " EXECUTION_COLUMNS " FROM executions x WHERE x.id BETWEEN ?2 AND ?3"
         " ORDER BY x.id",
         "SELECT " EXECUTION_COLUMNS " FROM executions x WHERE x.id BETWEEN ?2 AND ?3"
         " ORDER BY x.id DESC"},
        {"SELECT " EXECUTION_COLUMNS " FROM executions x WHERE x.batch_number = ?1"
         " AND x.name_rank BETWEEN ?2 AND ?3 ORDER BY x.name_rank",
         "SELECT " EXECUTION_COLUMNS " FROM executions x WHERE x.batch_number = ?1"
         " AND x.name_rank BETWEEN ?2 AND ?3 ORDER BY x.name_rank DESC"},
    };
    size_t total = s->stats.total;

    if (offset >= total || !limit)
        return SQLITE_OK;
    if (limit > total - offset)
        limit = total - offset;
    int64_t low = (int64_t) (reverse ? total - offset - limit : offset);
    int64_t base = by_name ? 0 : s->first;
    sqlite3_stmt *st = sql_get(&r->sql, text[by_name][reverse]);
    if (!st)
        return sql_code(&r->sql);
    sqlite3_bind_int64(st, 1, s->number);
    sqlite3_bind_int64(st, 2, base + low);
    sqlite3_bind_int64(st, 3, base + low + (int64_t) limit - 1);
    return push_rows(st, out, n);
}

/* First the ids in order, then only the rows of the page: a sorter that carries whole rows is
 * slow. */
static int page_by_query(struct reader *r, const struct span *s, const struct exec_filter *f,
                         enum exec_sort sort, bool reverse, size_t offset, size_t limit,
                         struct execution **out, size_t *n)
{
    CLEANUP_FREE int64_t *ids = NULL;
    size_t n_ids = 0, cap = 0;
    struct query q;

    query_init(&q, "SELECT id FROM executions");
    filter_batch(&q, s, f, sort == SORT_NAME);
    order_by(&q, sort, reverse);
    query_int(&q, " LIMIT ?", sql_limit(limit));
    query_int(&q, " OFFSET ?", sql_limit(offset));
    sqlite3_stmt *st = query_start(r, &q);
    int rc = st ? column_ints(st, &ids, &n_ids) : sql_code(&r->sql);
    query_free(&q);
    for (size_t i = 0; i < n_ids && rc == SQLITE_OK; i++)
        rc = executions_push_id(r, ids[i], out, n, &cap);
    return rc;
}

static int count_executions(struct reader *r, const struct span *s, const struct exec_filter *f,
                            size_t *total)
{
    struct query q;
    int rc;

    if (filter_is_any(f)) {
        *total = s->stats.total;
        return SQLITE_OK;
    }
    query_init(&q, "SELECT count(*) FROM executions");
    filter_batch(&q, s, f, false);
    sqlite3_stmt *st = query_start(r, &q);
    query_free(&q);
    if (!st)
        return sql_code(&r->sql);
    if (sql_row(st, &rc))
        *total = (size_t) sqlite3_column_int64(st, 0);
    sql_done(st);
    return rc;
}

int reader_executions(struct reader *r, int64_t number, const struct exec_filter *f,
                      enum exec_sort sort, bool reverse, size_t offset, size_t limit,
                      struct execution **out, size_t *n, size_t *total, struct err *e)
{
    struct span s;

    *out = NULL;
    *n = 0;
    if (total)
        *total = 0;
    int rc = reader_begin_batch(r, number, &s, e);
    if (rc < 0)
        return rc;
    if (filter_is_any(f) && (sort == SORT_NAME || sort == SORT_POSITION))
        rc = page_by_range(r, &s, sort == SORT_NAME, reverse, offset, limit, out, n);
    else
        rc = page_by_query(r, &s, f, sort, reverse, offset, limit, out, n);
    if (rc == SQLITE_OK && total)
        rc = count_executions(r, &s, f, total);
    reader_end(r);
    if (rc != SQLITE_OK) {
        executions_free(X_STEAL(*out), *n);
        *n = 0;
    }
    return reader_rc(r, rc, e);
}

int reader_finished_since(struct reader *r, int64_t number, int64_t seq, size_t limit,
                          struct execution **out, size_t *n, struct err *e)
{
    struct span s;

    *out = NULL;
    *n = 0;
    int rc = reader_begin_batch(r, number, &s, e);
    if (rc < 0)
        return rc;
    sqlite3_stmt *st = sql_get(&r->sql,
        "SELECT " EXECUTION_COLUMNS " FROM executions x WHERE x.batch_number = ?"
        " AND x.finished_seq > ? ORDER BY x.finished_seq LIMIT ?");
    rc = st ? sql_bind(st, "iii", number, seq, sql_limit(limit)) : sql_code(&r->sql);
    if (rc == SQLITE_OK)
        rc = push_rows(st, out, n);
    reader_end(r);
    if (rc != SQLITE_OK) {
        executions_free(X_STEAL(*out), *n);
        *n = 0;
    }
    return reader_rc(r, rc, e);
}

int reader_execution(struct reader *r, int64_t number, uint32_t position, struct execution *out,
                     struct err *e)
{
    CLEANUP_FREE struct execution *one = NULL;
    size_t n = 0, cap = 0;
    struct span s;

    int rc = reader_begin_batch(r, number, &s, e);
    if (rc < 0)
        return rc;
    rc = SQLITE_OK;
    if (position < s.stats.total)
        rc = executions_push_id(r, s.first + position, &one, &n, &cap);
    reader_end(r);
    if (rc != SQLITE_OK)
        return reader_rc(r, rc, e);
    if (!n)
        return err_set(e, ERR_NOT_FOUND, "Batch %lld has no execution at position %u.",
                       (long long) number, position + 1);
    *out = one[0];
    return 0;
}

int reader_nodes(struct reader *r, int64_t number, struct strv *out, struct err *e)
{
    struct span s;

    int rc = reader_begin_batch(r, number, &s, e);
    if (rc < 0)
        return rc;
    sqlite3_stmt *st = sql_get(&r->sql, "SELECT node_name FROM executions WHERE id BETWEEN ? AND ?"
                                        " ORDER BY id");
    rc = st ? sql_bind(st, "ii", s.first, s.last) : sql_code(&r->sql);
    while (rc == SQLITE_OK && sql_row(st, &rc))
        strv_push_own(out, sql_text_dup(st, 0));
    reader_end(r);
    return reader_rc(r, rc, e);
}

/* The conditions for a result's name. -ERR_VALIDATION when it is none. */
static int result_filter(const char *what, struct exec_filter *f, struct err *e)
{
    char *end;
    int reason;

    *f = (struct exec_filter) EXEC_FILTER_ANY;
    if (!what)
        return 0;
    if (!strcmp(what, "failed")) {
        f->status_mask = 1U << EXEC_FAILED;
        f->reason_mask = ~(1U << REASON_SKIPPED);
        return 0;
    }
    if (!strcmp(what, "success")) {
        f->status_mask = 1U << EXEC_SUCCESS;
        return 0;
    }
    if (!strncmp(what, "rc=", 3) && what[3]) {
        long n = strtol(what + 3, &end, 10);
        if (!*end && n >= 0 && n <= INT32_MAX) {
            f->rc_set = true;
            f->rc = (int) n;
            return 0;
        }
    }
    reason = *what ? reason_parse(what) : -1;
    if (reason > 0) {
        f->reason_mask = 1U << reason;
        return 0;
    }
    return err_set(e, ERR_VALIDATION,
                   "'%s' is not a result: it is failed, success, rc=N, classN (class1, class2, .. of equal "
                   "results, the largest first), or a reason (exit, signal, timeout, unreachable, "
                   "unsupported, hostkey, auth, lost, cancelled, skipped, internal).", what);
}

int reader_nodes_by_result(struct reader *r, int64_t number, const char *what,
                           struct nodeset *out, struct err *e)
{
    struct exec_filter f;
    struct span s;
    struct query q;

    int rc = result_filter(what, &f, e);
    if (rc)
        return rc;
    rc = reader_begin_batch(r, number, &s, e);
    if (rc < 0)
        return rc;
    query_init(&q, "SELECT node_name FROM executions");
    filter_batch(&q, &s, &f, false);
    order_by(&q, SORT_POSITION, false);
    sqlite3_stmt *st = query_start(r, &q);
    query_free(&q);
    rc = st ? SQLITE_OK : sql_code(&r->sql);
    while (rc == SQLITE_OK && sql_row(st, &rc))
        nodeset_add(out, (const char *) sqlite3_column_text(st, 0));
    reader_end(r);
    return reader_rc(r, rc, e);
}

int reader_percentiles(struct reader *r, int64_t number, int64_t *p50, int64_t *p95, struct err *e)
{
    CLEANUP_FREE int64_t *ms = NULL;
    size_t n = 0;
    struct span s;

    *p50 = *p95 = -1;
    int rc = reader_begin_batch(r, number, &s, e);
    if (rc < 0)
        return rc;
    sqlite3_stmt *st = sql_get(&r->sql, "SELECT duration FROM executions WHERE id BETWEEN ? AND ?"
                                        " AND duration IS NOT NULL ORDER BY duration");
    rc = st ? sql_bind(st, "ii", s.first, s.last) : sql_code(&r->sql);
    if (rc == SQLITE_OK)
        rc = column_ints(st, &ms, &n);
    reader_end(r);
    if (rc == SQLITE_OK && n >= 20) {
        *p50 = ms[(n - 1) * 50 / 100];
        *p95 = ms[(n - 1) * 95 / 100];
    }
    return reader_rc(r, rc, e);
}

int reader_bytes(struct reader *r, int64_t number, uint64_t *done, uint64_t *total, struct err *e)
{
    struct span s;

    *done = *total = 0;
    int rc = reader_begin_batch(r, number, &s, e);
    if (rc < 0)
        return rc;
    sqlite3_stmt *st = sql_get(&r->sql, "SELECT total(bytes_done), total(bytes_total)"
                                        " FROM executions WHERE id BETWEEN ? AND ?");
    rc = st ? sql_bind(st, "ii", s.first, s.last) : sql_code(&r->sql);
    if (rc == SQLITE_OK && sql_row(st, &rc)) {
        *done = (uint64_t) sqlite3_column_double(st, 0);
        *total = (uint64_t) sqlite3_column_double(st, 1);
    }
    sql_done(st);
    reader_end(r);
    return reader_rc(r, rc, e);
}

unsigned reader_copy_progress(struct reader *r, const struct batch *b)
{
    const struct batch_stats *st = &b->stats;
    struct span s;
    double parts = 0;

    if (!st->total || reader_begin_batch(r, b->number, &s, NULL) < 0)
        return batch_progress(st);

    int rc;
    sqlite3_stmt *q = sql_get(&r->sql, "SELECT total(min(1.0, CAST(bytes_done AS REAL) / bytes_total))"
                                       " FROM executions WHERE id BETWEEN ? AND ?"
                                       " AND bytes_total > 0 AND status = 'running'");
    rc = q ? sql_bind(q, "ii", s.first, s.last) : sql_code(&r->sql);
    if (rc == SQLITE_OK && sql_row(q, &rc))
        parts = sqlite3_column_double(q, 0);
    sql_done(q);
    reader_end(r);

    unsigned percent = (unsigned) ((st->success + st->failed + parts) * 100 / st->total);

    /* The last byte is not yet the end. */
    return percent > 99 && st->running ? 99 : percent;
}
