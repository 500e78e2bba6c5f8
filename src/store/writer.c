/* SPDX-License-Identifier: Apache-2.0 */
/* The writer: one thread, one queue, one read-write connection, group commit.
 *
 * Theory of operation. Any thread pushes commands into the queue: events, which nobody waits for,
 * and requests (create, cancel, delete), whose caller sleeps until they are answered. The writer's
 * thread moves commands from the queue into `pending`, in order, and works it off from the front:
 *
 *   events    as many as are there, up to the bounds of a group, are applied in one transaction;
 *             after its commit, and only then, their callbacks run;
 *   a request is a transaction of its own, between two groups.
 *
 * It never waits inside a transaction. When a group cannot be committed it is rolled back, its
 * claims are denied, and the rest of it stays in `pending` (the writer is then `failing`): every
 * second it is applied again as it was. Meanwhile the queue is still drained, so that claims and
 * requests are answered at once (no), and OUTPUT is refused at the door, which pauses the sessions;
 * so what is kept is bounded by what runs.
 *
 * At least every 250 ms, busy or not, it asks whether another process committed anything, and if so
 * whether one of its own batches is to be cancelled or paused.
 *
 * Locks: the queue's own, and a request's own; neither is held while the other is taken, nor while
 * SQLite or a callback runs. Everything else belongs to the writer's thread. */
#include "muster/store/writer.h"

#include "wdb.h"

#include "muster/base/alloc.h"
#include "muster/base/bqueue.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/log.h"
#include "muster/base/thread.h"

#include <stdatomic.h>
#include <string.h>

#define QUEUE_ITEMS 8192
#define QUEUE_BYTES ((size_t) 16 << 20)
#define GROUP_EVENTS 256
#define GROUP_BYTES ((size_t) 1 << 20)
#define GROUP_MS 25
#define TAKE 16           /* commands taken at a time: bounds what waits outside of the queue */
#define CANCEL_POLL_MS 200 /* 250 is promised */
#define RETRY_MS 1000
#define RETRY_BUSY_MS 100 /* while failing, so that claims are still answered soon */

enum request_kind { REQUEST_CREATE, REQUEST_CANCEL, REQUEST_PAUSE, REQUEST_DELETE,
                    REQUEST_SAVE, REQUEST_NOTE };

struct request {
    enum request_kind kind;
    pthread_mutex_t lock;
    pthread_cond_t done_cond;
    bool done;
    int rc;
    struct err *e;
    int64_t number;
    const struct batch_new *create;
    struct batch_ref *ref;
    struct cancel_result *cancel;
    struct pause_result *pause;
    bool on; /* of a pause */
    const char *name, *text, *user; /* of SAVE and NOTE */
};

struct command {
    struct event *ev;    /* or: */
    struct request *req; /* the caller's */
    size_t weight;
    unsigned hashed; /* see apply_output */
    bool granted;
};

struct writer {
    struct wdb db;
    struct writer_callbacks cb;
    struct bqueue *queue;
    pthread_t thread;
    atomic_bool failing;
    struct command **pending;
    size_t n_pending, cap_pending;
    int64_t retry_at, polled_at;
    int64_t data_version;
};

static int64_t now_ms(void)
{
    /* Waiting is done in real time, also where a test holds the clock of the stamps. */
    return mono_ms(clock_system());
}

static void command_free(struct command *c)
{
    event_free(c->ev);
    free(c);
}

static void request_answer(struct command *c, int rc)
{
    struct request *r = c->req;

    pthread_mutex_lock(&r->lock);
    r->rc = rc;
    r->done = true;
    pthread_cond_signal(&r->done_cond);
    pthread_mutex_unlock(&r->lock);
    free(c);
}

static void request_run(struct writer *w, struct command *c)
{
    struct request *r = c->req;
    int rc;

    switch (r->kind) {
    case REQUEST_CREATE:
        rc = request_create(&w->db, r->create, r->ref, r->e);
        break;
    case REQUEST_CANCEL:
        rc = request_cancel(&w->db, r->number, r->cancel, r->e);
        break;
    case REQUEST_PAUSE:
        rc = request_pause(&w->db, r->number, r->on, r->pause, r->e);
        break;
    case REQUEST_SAVE:
        rc = request_save(&w->db, r->name, r->text, r->user, r->e);
        break;
    case REQUEST_NOTE:
        rc = request_note(&w->db, r->name, r->number, r->text, r->user, r->e);
        break;
    default:
        rc = request_delete(&w->db, r->number, r->e);
        break;
    }
    request_answer(c, rc);
    if (!rc && w->cb.committed)
        w->cb.committed(w->cb.ctx);
}

static int apply(struct wdb *d, struct command *c)
{
    switch (c->ev->kind) {
    case EVENT_CLAIM:
        return apply_claim(d, c->ev, &c->granted);
    case EVENT_OUTPUT:
        return apply_output(d, c->ev, &c->hashed);
    case EVENT_PROGRESS:
        return apply_progress(d, c->ev);
    case EVENT_FINISH:
        return apply_finish(d, c->ev, &c->hashed);
    case EVENT_SKIP:
        return apply_skip(d, c->ev);
    }
    return SQLITE_OK;
}

/* One group from the front of pending: *n commands of it were committed. */
static int commit_group(struct writer *w, size_t *n)
{
    int64_t began = 0;
    size_t weight = 0, i = 0;

    int rc = sql_begin(&w->db.sql, w->failing ? RETRY_BUSY_MS : BUSY_MAX_MS);
    if (rc != SQLITE_OK)
        return rc;
    began = now_ms();
    if (!w->n_pending)
        /* Nothing waits, since only claims had failed: try whether anything can be written. */
        rc = sql_run(&w->db.sql, "UPDATE owners SET since = since WHERE id = ?", "i",
                     w->db.owner_id);
    while (i < w->n_pending && w->pending[i]->ev && i < GROUP_EVENTS && weight < GROUP_BYTES &&
           rc == SQLITE_OK) {
        weight += w->pending[i]->weight;
        rc = apply(&w->db, w->pending[i++]);
        if (now_ms() - began >= GROUP_MS)
            break;
    }
    if (rc == SQLITE_OK)
        rc = wdb_commit(&w->db);
    else
        wdb_rollback(&w->db);
    *n = i;
    return rc;
}

static void drop_front(struct writer *w, size_t n)
{
    memmove(w->pending, w->pending + n, (w->n_pending - n) * sizeof *w->pending);
    w->n_pending -= n;
}

static void report(struct writer *w, struct command *c)
{
    const struct event *ev = c->ev;

    if (ev->kind == EVENT_CLAIM && w->cb.claimed)
        w->cb.claimed(w->cb.ctx, ev->batch, ev->position, c->granted);
    else if ((ev->kind == EVENT_FINISH || ev->kind == EVENT_SKIP) && w->cb.finished)
        w->cb.finished(w->cb.ctx, ev);
    command_free(c);
}

static void group_committed(struct writer *w, size_t n)
{
    if (w->failing) {
        atomic_store(&w->failing, false);
        log_info("store", "writing works again");
        if (w->cb.recovered)
            w->cb.recovered(w->cb.ctx);
    }
    for (size_t i = 0; i < n; i++)
        report(w, w->pending[i]);
    drop_front(w, n);
    if (w->cb.committed)
        w->cb.committed(w->cb.ctx);
}

/* While writing fails nothing may start, and nobody is kept waiting for an answer. */
static void deny(struct writer *w, size_t from)
{
    size_t kept = from;

    for (size_t i = from; i < w->n_pending; i++) {
        struct command *c = w->pending[i];
        if (c->req) {
            err_set(c->req->e, ERR_STORE,
                    "The database %s cannot be written now; the log says why. It is tried again "
                    "every second.", w->db.sql.path);
            request_answer(c, -ERR_STORE);
        } else if (c->ev->kind == EVENT_CLAIM) {
            c->granted = false;
            report(w, c);
        } else {
            w->pending[kept++] = c;
        }
    }
    w->n_pending = kept;
}

static void group_failed(struct writer *w, int rc)
{
    struct err e = ERR_INIT;

    sql_err(&w->db.sql, rc, "Writing", &e);
    w->retry_at = now_ms() + RETRY_MS;
    if (!atomic_exchange(&w->failing, true)) {
        log_line(LOG_ERROR, "store", 0, NULL, "%s", e.msg);
        if (w->cb.failed)
            w->cb.failed(w->cb.ctx, &e);
    }
    err_clear(&e);
    deny(w, 0);
}

/* What another process asked of one of ours. */
static void poll_batch(struct writer *w, struct owned_batch *b)
{
    int rc;
    sqlite3_stmt *st = sql_get(&w->db.sql,
                               "SELECT cancel_requested_at IS NOT NULL, paused"
                               " FROM batch_executions WHERE number = ?");

    if (!st)
        return;
    sql_bind(st, "i", b->number);
    bool found = sql_row(st, &rc);
    bool cancel = found && sqlite3_column_int(st, 0) && !b->cancel_seen;
    bool paused = found ? sqlite3_column_int(st, 1) != 0 : b->paused;
    sql_done(st);
    if (cancel) {
        b->cancel_seen = true;
        if (w->cb.cancel_requested)
            w->cb.cancel_requested(w->cb.ctx, b->number);
    }
    bool changed = paused != b->paused;
    b->paused = paused;
    if (changed && w->cb.pause_requested)
        w->cb.pause_requested(w->cb.ctx, b->number, paused);
    if ((cancel || changed) && w->cb.committed)
        w->cb.committed(w->cb.ctx);
}

static void poll_cancels(struct writer *w)
{
    struct wdb *d = &w->db;

    w->polled_at = now_ms();
    int64_t version = sql_int(&d->sql, "PRAGMA data_version", w->data_version);
    if (version == w->data_version)
        return;
    w->data_version = version;
    for (size_t i = 0; i < d->n_owned; i++)
        poll_batch(w, &d->owned[i]);
}

static void work_off(struct writer *w)
{
    while (w->n_pending || w->failing) {
        size_t n = 0;
        if (w->n_pending && w->pending[0]->req) {
            struct command *c = w->pending[0];
            drop_front(w, 1);
            request_run(w, c);
        } else {
            int rc = commit_group(w, &n);
            if (rc != SQLITE_OK) {
                group_failed(w, rc);
                return;
            }
            group_committed(w, n);
        }
        if (now_ms() - w->polled_at >= CANCEL_POLL_MS)
            poll_cancels(w);
    }
}

/* Moves what is queued to pending, up to a group. False when the queue is closed and empty. */
static bool take(struct writer *w, int64_t timeout_ms)
{
    void *items[TAKE];
    size_t weight = 0, total = 0, n;

    do {
        n = bqueue_pop(w->queue, items, TAKE, total ? 0 : timeout_ms);
        X_GROW(w->pending, w->cap_pending, w->n_pending + n);
        for (size_t i = 0; i < n; i++) {
            w->pending[w->n_pending] = items[i];
            weight += w->pending[w->n_pending++]->weight;
        }
        total += n;
    } while (n == TAKE && total < GROUP_EVENTS && weight < GROUP_BYTES);
    return total || !bqueue_closed(w->queue) || bqueue_len(w->queue);
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    bool open = true;

    while (open) {
        if (w->failing) {
            size_t before = w->n_pending;
            int64_t wait = w->retry_at - now_ms();
            open = take(w, wait > 0 ? wait : 0);
            deny(w, before);
            if (now_ms() < w->retry_at && open)
                continue;
        } else {
            open = take(w, w->db.n_owned ? CANCEL_POLL_MS : -1);
        }
        work_off(w);
        if (now_ms() - w->polled_at >= CANCEL_POLL_MS)
            poll_cancels(w);
    }
    return NULL;
}

struct writer *writer_open(const char *path, const struct mclock *clock,
                           const struct writer_callbacks *cb, struct err *e)
{
    struct writer *w = x_calloc(1, sizeof *w);
    size_t settled;

    if (wdb_open(&w->db, path, clock, e)) {
        free(w);
        return NULL;
    }
    if (recover_dead(&w->db, &settled, e))
        goto fail;
    if (cb)
        w->cb = *cb;
    w->data_version = sql_int(&w->db.sql, "PRAGMA data_version", 0);
    w->queue = bqueue_new(QUEUE_ITEMS, QUEUE_BYTES);
    int rc = thread_start(&w->thread, "store", writer_main, w);
    if (!rc)
        return w;
    err_set(e, ERR_INTERNAL, "No thread could be started: %s.", strerror(-rc));
    bqueue_free(w->queue);
fail:
    wdb_close(&w->db);
    free(w);
    return NULL;
}

void writer_close(struct writer *w)
{
    struct err e = ERR_INIT;

    if (!w)
        return;
    bqueue_close(w->queue);
    pthread_join(w->thread, NULL);
    /* What could not be written was never reported: the next process settles it as lost. */
    for (size_t i = 0; i < w->n_pending; i++)
        command_free(w->pending[i]);
    free(w->pending);
    if (lease_release(&w->db, &e))
        log_line(LOG_ERROR, "store", 0, NULL, "%s", e.msg);
    err_clear(&e);
    wdb_close(&w->db);
    bqueue_free(w->queue);
    free(w);
}

bool writer_emit(struct writer *w, struct event *ev)
{
    bool must = ev->kind == EVENT_CLAIM || ev->kind == EVENT_FINISH || ev->kind == EVENT_SKIP;

    if (!must && atomic_load(&w->failing))
        return false;
    struct command *c = x_calloc(1, sizeof *c);
    c->ev = ev;
    c->weight = event_weight(ev);
    if (bqueue_push(w->queue, c, c->weight, must))
        return true;
    free(c);
    if (!must)
        return false;
    /* Closed: the batch is being settled, nothing can be added to it any more. */
    event_free(ev);
    return true;
}

static int request_wait(struct writer *w, struct request *r)
{
    struct command *c = x_calloc(1, sizeof *c);

    c->req = r;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->done_cond, NULL);
    if (bqueue_push(w->queue, c, 0, true)) {
        pthread_mutex_lock(&r->lock);
        while (!r->done)
            pthread_cond_wait(&r->done_cond, &r->lock);
        pthread_mutex_unlock(&r->lock);
    } else {
        free(c);
        r->rc = err_set(r->e, ERR_STORE, "The database is being closed.");
    }
    pthread_cond_destroy(&r->done_cond);
    pthread_mutex_destroy(&r->lock);
    return r->rc;
}

int writer_create(struct writer *w, const struct batch_new *b, struct batch_ref *out,
                  struct err *e)
{
    struct request r = {.kind = REQUEST_CREATE, .create = b, .ref = out, .e = e};
    return request_wait(w, &r);
}

int writer_cancel(struct writer *w, int64_t number, struct cancel_result *out, struct err *e)
{
    struct request r = {.kind = REQUEST_CANCEL, .number = number, .cancel = out, .e = e};
    return request_wait(w, &r);
}

int writer_pause(struct writer *w, int64_t number, bool on, struct pause_result *out,
                 struct err *e)
{
    struct request r = {.kind = REQUEST_PAUSE, .number = number, .on = on, .pause = out, .e = e};
    return request_wait(w, &r);
}

int writer_delete(struct writer *w, int64_t number, struct err *e)
{
    struct request r = {.kind = REQUEST_DELETE, .number = number, .e = e};
    return request_wait(w, &r);
}

int writer_save_targets(struct writer *w, const char *name, const char *targets,
                        const char *user_id, struct err *e)
{
    struct request r = {.kind = REQUEST_SAVE, .name = name, .text = targets, .user = user_id,
                        .e = e};
    return request_wait(w, &r);
}

int writer_note(struct writer *w, const char *node, int64_t batch, const char *text,
                const char *user_id, struct err *e)
{
    struct request r = {.kind = REQUEST_NOTE, .name = node, .number = batch, .text = text,
                        .user = user_id, .e = e};
    return request_wait(w, &r);
}
