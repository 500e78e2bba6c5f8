/* SPDX-License-Identifier: Apache-2.0 */
/* Reading batches: by name, one, a page of the history. */
#include "rdb.h"

#include "lease_row.h"
#include "schema.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strmap.h"
#include "muster/core/json.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define COMMANDS_LOOK_BACK 10000 /* batches; a longer history holds the same again */
#define FEW_MAX 5000 /* above, walking the history from its end beats looking up all that match */

#define BATCH_COLUMNS                                                                          \
    "number, id, type, status, single, created_at, started_at, completed_at, owner, "          \
    "cancel_requested_at, rerun_of, fanout, user_id, label, targets, action, parameters, "     \
    "target_groups, warnings, paused, step_titles, " STATS_COLUMNS
#define BATCH_STATS_COLUMN 21

static void strv_from_json(struct strv *v, const char *text)
{
    struct json *a = text ? json_parse(text, strlen(text), NULL) : NULL;

    for (size_t i = 0; a && i < json_len(a); i++)
        if (json_str(json_at(a, i)))
            strv_push(v, json_str(json_at(a, i)));
    json_free(a);
}

/* push and pull are tasks too: what they copy stands in their parameters. */
static bool has_copy(const char *parameters)
{
    struct json *o = parameters ? json_parse(parameters, strlen(parameters), NULL) : NULL;
    bool found = json_type(o) == JSON_OBJECT && json_get(o, "copy");

    json_free(o);
    return found;
}

static void batch_from_row(sqlite3_stmt *st, struct batch *b)
{
    int type = action_type_parse((const char *) sqlite3_column_text(st, 2));
    int status = batch_status_parse((const char *) sqlite3_column_text(st, 3));

    memset(b, 0, sizeof *b);
    b->number = sqlite3_column_int64(st, 0);
    lease_text(b->id, sizeof b->id, st, 1);
    b->type = type < 0 ? ACTION_TYPE_COMMAND : (enum action_type) type;
    b->status = status < 0 ? BATCH_RUNNING : (enum batch_status) status;
    b->single = sqlite3_column_int(st, 4) != 0;
    b->created_ms = sqlite3_column_int64(st, 5);
    b->started_ms = sqlite3_column_int64(st, 6);
    /* The row keeps the last end so far; the batch has ended only when all have. */
    b->completed_ms = b->status == BATCH_RUNNING ? 0 : sqlite3_column_int64(st, 7);
    b->cancel_requested = sqlite3_column_type(st, 9) != SQLITE_NULL;
    b->rerun_of = sqlite3_column_int64(st, 10);
    b->fanout = (unsigned) sqlite3_column_int64(st, 11);
    b->user_id = sql_text_dup(st, 12);
    b->label = sql_text_dup(st, 13);
    b->targets = sql_text_dup(st, 14);
    b->action = sql_text_dup(st, 15);
    b->parameters = sql_text_dup(st, 16);
    strv_from_json(&b->target_groups, (const char *) sqlite3_column_text(st, 17));
    strv_from_json(&b->warnings, (const char *) sqlite3_column_text(st, 18));
    b->paused = b->status == BATCH_RUNNING && sqlite3_column_int(st, 19) != 0;
    strv_from_json(&b->step_titles, (const char *) sqlite3_column_text(st, 20));
    b->n_steps = (unsigned) b->step_titles.n;
    b->is_copy = b->type == ACTION_TYPE_TASK && has_copy(b->parameters);
    stats_from_row(st, BATCH_STATS_COLUMN, &b->stats);
}

static int batch_owner(struct reader *r, int64_t owner, struct batch *b)
{
    struct lease l;
    int rc;

    b->owner = OWNER_NONE;
    if (b->status != BATCH_RUNNING)
        return SQLITE_OK;
    sqlite3_stmt *st = sql_get(&r->sql, "SELECT " LEASE_COLUMNS " FROM owners WHERE id = ?");
    if (!st)
        return sql_code(&r->sql);
    sql_bind(st, "i", owner);
    if (!sql_row(st, &rc)) {
        b->owner = OWNER_DEAD;
        return rc;
    }
    lease_from_row(st, 0, &l);
    sql_done(st);
    b->owner = lease_state(&l, &r->self);
    b->owner_text = x_asprintf("pid %lld on %s", (long long) l.pid, l.host);
    return SQLITE_OK;
}

/* In a transaction. SQLITE_OK with *found false when there is none. */
static int batch_read(struct reader *r, int64_t number, struct batch *out, bool *found)
{
    int rc;

    *found = false;
    sqlite3_stmt *st = sql_get(&r->sql,
                               "SELECT " BATCH_COLUMNS " FROM batch_executions WHERE number = ?");
    if (!st)
        return sql_code(&r->sql);
    sql_bind(st, "i", number);
    if (!sql_row(st, &rc))
        return rc;
    batch_from_row(st, out);
    int64_t owner = sqlite3_column_int64(st, 8);
    sql_done(st);
    *found = true;
    rc = batch_owner(r, owner, out);
    if (rc != SQLITE_OK)
        batch_clear(out);
    return rc;
}

int reader_batch(struct reader *r, int64_t number, struct batch *out, struct err *e)
{
    bool found;

    int rc = reader_begin(r, e);
    if (rc < 0)
        return rc;
    if (!rc)
        return reader_no_batch(number, e);
    rc = batch_read(r, number, out, &found);
    reader_end(r);
    if (rc != SQLITE_OK)
        return reader_rc(r, rc, e);
    return found ? 0 : reader_no_batch(number, e);
}

static int no_such(const char *name, struct err *e)
{
    return err_set(e, ERR_NOT_FOUND, "There is no batch '%s'; `muster history` lists them.", name);
}

static bool is_id_prefix(const char *name)
{
    size_t n = strlen(name);

    if (n < 8 || n > 36)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isxdigit((unsigned char) name[i]) && name[i] != '-')
            return false;
    return true;
}

static int resolve_id(struct reader *r, const char *name, int64_t *number, struct err *e)
{
    CLEANUP_FREE char *low = x_strdup(name);
    CLEANUP_FREE int64_t *found = NULL;
    size_t n = 0;

    for (char *p = low; *p; p++)
        *p = (char) tolower((unsigned char) *p);
    CLEANUP_FREE char *end = x_asprintf("%s~", low);
    sqlite3_stmt *st = sql_get(&r->sql, "SELECT number FROM batch_executions"
                                        " WHERE id >= ? AND id < ? LIMIT 2");
    int rc = st ? sql_bind(st, "ss", low, end) : sql_code(&r->sql);
    if (rc == SQLITE_OK)
        rc = column_ints(st, &found, &n);
    if (st)
        sqlite3_clear_bindings(st);
    if (rc != SQLITE_OK)
        return reader_rc(r, rc, e);
    if (n > 1)
        return err_set(e, ERR_NOT_FOUND, "Several batches have an id that begins with '%s'; give "
                                         "more of it.", name);
    if (!n)
        return no_such(name, e);
    *number = found[0];
    return 0;
}

static int resolve_in(struct reader *r, const char *name, int64_t *number, struct err *e)
{
    char *end;

    if (!strcmp(name, "last")) {
        *number = sql_int(&r->sql, "SELECT max(number) FROM batch_executions", 0);
        return *number ? 0 : err_set(e, ERR_NOT_FOUND, "There is no batch yet.");
    }
    const char *digits = *name == '#' ? name + 1 : name;
    errno = 0;
    int64_t n = strtoll(digits, &end, 10);
    if (isdigit((unsigned char) *digits) && !*end && !errno) {
        sqlite3_stmt *st = sql_get(&r->sql, "SELECT 1 FROM batch_executions WHERE number = ?");
        int rc = st ? sql_bind(st, "i", n) : sql_code(&r->sql);
        bool found = rc == SQLITE_OK && sql_row(st, &rc);
        sql_done(st);
        if (rc != SQLITE_OK && !found)
            return reader_rc(r, rc, e);
        *number = n;
        if (found)
            return 0;
    }
    return *name != '#' && is_id_prefix(name) ? resolve_id(r, name, number, e) : no_such(name, e);
}

int reader_resolve(struct reader *r, const char *name, int64_t *number, struct err *e)
{
    int rc = reader_begin(r, e);

    if (rc < 0)
        return rc;
    if (!rc)
        return !strcmp(name, "last") ? err_set(e, ERR_NOT_FOUND, "There is no batch yet.")
                                     : no_such(name, e);
    rc = resolve_in(r, name, number, e);
    reader_end(r);
    return rc;
}

static void filter_kind(struct query *q, const struct batch_filter *f)
{
    if (f->type >= 0)
        query_text(q, " AND type = ?", action_type_name((enum action_type) f->type));
    if (f->status >= 0)
        query_text(q, " AND status = ?", batch_status_name((enum batch_status) f->status));
    if (f->not_success)
        query_text(q, " AND status <> ?", batch_status_name(BATCH_SUCCESS));
    if (f->kind)
        query_int(q, " AND single = ?", f->kind == 1);
}

static bool filter_is_kind_only(const struct batch_filter *f)
{
    return !f->since_ms && !f->until_ms && !(f->text && *f->text) && !f->node && !f->user;
}

/* Which conditions so few rows meet that it pays to look those up. */
struct few {
    bool by_date, by_node;
};

static void filter_node(struct query *q, const char *node, bool few)
{
    if (few)
        query_int(q, " AND number IN (SELECT batch_number FROM executions WHERE node_key = ?",
                  schema_node_key(node));
    else
        query_int(q, " AND EXISTS (SELECT 1 FROM executions WHERE id BETWEEN first_execution AND"
                     " first_execution + stats_total - 1 AND node_key = ?", schema_node_key(node));
    query_text(q, " AND node_name = ?)", node);
}

static void filter_rest(struct query *q, const struct batch_filter *f, const struct few *few)
{
    bool by_date = few->by_date;

    /* The plus keeps the planner off the index. */
    if (f->since_ms)
        query_int(q, by_date ? " AND created_at >= ?" : " AND +created_at >= ?", f->since_ms);
    if (f->until_ms)
        query_int(q, by_date ? " AND created_at < ?" : " AND +created_at < ?", f->until_ms);
    if (f->user)
        query_text(q, " AND user_id = ?", f->user);
    if (f->node)
        filter_node(q, f->node, few->by_node);
    if (f->text && *f->text) {
        query_text(q, " AND (smart_has(action, ?)", f->text);
        query_text(q, " OR smart_has(targets, ?)", f->text);
        query_text(q, " OR smart_has(label, ?))", f->text);
    }
}

static int one_int(struct reader *r, struct query *q, int64_t *out)
{
    sqlite3_stmt *st = query_start(r, q);
    int rc = SQLITE_OK;

    *out = 0;
    if (!st)
        return sql_code(&r->sql);
    if (sql_row(st, &rc)) {
        *out = sqlite3_column_int64(st, 0);
        sql_done(st);
        return SQLITE_OK;
    }
    return rc;
}

static int probe(struct reader *r, struct query *q, bool *few)
{
    int64_t n;

    query_int(q, " LIMIT ?)", FEW_MAX + 1);
    int rc = one_int(r, q, &n);
    query_free(q);
    *few = n <= FEW_MAX;
    return rc;
}

static int find_few(struct reader *r, const struct batch_filter *f, struct few *few)
{
    struct query q;
    int rc = SQLITE_OK;

    *few = (struct few){false, false};
    if (f->since_ms || f->until_ms) {
        query_init(&q, "SELECT count(*) FROM (SELECT 1 FROM batch_executions");
        query_int(&q, " WHERE created_at >= ?", f->since_ms);
        query_int(&q, " AND created_at < ?", f->until_ms ? f->until_ms : INT64_MAX);
        rc = probe(r, &q, &few->by_date);
    }
    if (rc == SQLITE_OK && f->node) {
        query_init(&q, "SELECT count(*) FROM (SELECT 1 FROM executions");
        query_int(&q, " WHERE node_key = ?", schema_node_key(f->node));
        rc = probe(r, &q, &few->by_node);
    }
    return rc;
}

static int count_batches(struct reader *r, const struct batch_filter *f, const struct few *few,
                         size_t *total)
{
    struct query q;
    int64_t n;

    if (filter_is_kind_only(f)) {
        query_init(&q, "SELECT coalesce(sum(n), 0) FROM batch_counts WHERE 1");
        filter_kind(&q, f);
    } else {
        query_init(&q, "SELECT count(*) FROM batch_executions WHERE 1");
        filter_kind(&q, f);
        filter_rest(&q, f, few);
    }
    int rc = one_int(r, &q, &n);
    query_free(&q);
    *total = (size_t) n;
    return rc;
}

static int page_numbers(struct reader *r, const struct batch_filter *f, const struct few *few,
                        int64_t before, size_t offset, size_t limit, int64_t **out, size_t *n)
{
    struct query q;

    query_init(&q, "SELECT number FROM batch_executions WHERE 1");
    filter_kind(&q, f);
    filter_rest(&q, f, few);
    if (before)
        query_int(&q, " AND number < ?", before);
    query_int(&q, " ORDER BY number DESC LIMIT ?", sql_limit(limit));
    query_int(&q, " OFFSET ?", sql_limit(offset));
    sqlite3_stmt *st = query_start(r, &q);
    int rc = st ? column_ints(st, out, n) : sql_code(&r->sql);
    query_free(&q);
    return rc;
}

int reader_batches(struct reader *r, const struct batch_filter *f, int64_t before, size_t offset,
                   size_t limit, struct batch **out, size_t *n, size_t *total, struct err *e)
{
    CLEANUP_FREE int64_t *numbers = NULL;
    size_t n_numbers = 0;
    struct few few;
    bool found;

    *out = NULL;
    *n = 0;
    if (total)
        *total = 0;
    int rc = reader_begin(r, e);
    if (rc <= 0)
        return rc;
    rc = find_few(r, f, &few);
    if (rc == SQLITE_OK)
        rc = page_numbers(r, f, &few, before, offset, limit, &numbers, &n_numbers);
    if (rc == SQLITE_OK && total)
        rc = count_batches(r, f, &few, total);
    if (n_numbers)
        *out = x_calloc(n_numbers, sizeof **out);
    for (size_t i = 0; i < n_numbers && rc == SQLITE_OK; i++) {
        rc = batch_read(r, numbers[i], &(*out)[*n], &found);
        *n += rc == SQLITE_OK && found;
    }
    reader_end(r);
    if (rc != SQLITE_OK) {
        batches_free(X_STEAL(*out), *n);
        *n = 0;
    }
    return reader_rc(r, rc, e);
}

void batches_free(struct batch *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        batch_clear(&b[i]);
    free(b);
}

int reader_commands(struct reader *r, size_t limit, struct strv *out, struct err *e)
{
    int rc = reader_begin(r, e);

    if (rc <= 0)
        return rc;
    struct strmap *seen = strmap_new();
    sqlite3_stmt *st = sql_get(&r->sql, "SELECT action FROM batch_executions"
                                        " WHERE type = 'command' ORDER BY number DESC LIMIT ?");
    rc = st ? sql_bind(st, "i", (int64_t) COMMANDS_LOOK_BACK) : sql_code(&r->sql);
    for (size_t n = 0; rc == SQLITE_OK && n < limit && sql_row(st, &rc);) {
        const char *action = (const char *) sqlite3_column_text(st, 0);
        if (action && strmap_set(seen, action, NULL)) {
            strv_push(out, action);
            n++;
        }
    }
    sql_done(st);
    reader_end(r);
    strmap_free(seen);
    return reader_rc(r, rc, e);
}
