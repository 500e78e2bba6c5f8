/* SPDX-License-Identifier: Apache-2.0 */
/* Pulls: what their nodes send goes to a file of each node instead of the store, and from there, once
 * the node has ended well, to its place.
 *
 * Theory of operation: the service's sink hands the events of a pull's nodes to copies_emit() on the
 * engine's threads. Those of one node always go to the same of a few workers, in order, by a bounded
 * queue: a full one refuses OUTPUT, which pauses the session. The worker writes stdout to the node's
 * spool (a file without a name: it is gone whatever ends us), and tells how far it is. Its FINISH
 * makes the worker take the archive apart, check it and move it to its place; only then the event
 * goes on to the store, with what came of it. So an end that is on record has its files in place,
 * and the service is idle only when the workers are.
 *
 * Locks: copies.lock guards the list of batches, which only grows; the queues have their own. Neither
 * is held while the other is taken. A node's state belongs to its worker. */
#include "copy.h"

#include "muster/base/alloc.h"
#include "muster/base/bqueue.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/log.h"
#include "muster/base/text.h"
#include "muster/base/thread.h"
#include "muster/core/batch.h"
#include "muster/core/event.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WORKERS 4
#define QUEUE_BYTES ((size_t) 8 << 20) /* of each */
#define PROGRESS_MS 250
#define STDERR_MAX ((size_t) 64 << 10) /* LIMIT: kept of a node's stderr, for its FINISH */
#define HEAD_LOOK 4096                 /* bytes that the first line is looked for in */

struct node_pull {
    int spool; /* -1: not made yet, or it failed */
    uint64_t came, total;
    int64_t told_ms;
    char *fault;    /* why nothing is written any more, or NULL */
    bool too_much;
    struct strbuf stderr_text;
    bool cut;
};

/* A copy; of a push only whether its nodes have said something. */
struct pull {
    int64_t batch;
    char *dir; /* NULL: a push */
    bool made; /* by us: it goes again when nothing came */
    bool *spoken; /* of a push's nodes, each its reactor's */
    uint64_t max_bytes;
    struct strv nodes;
    struct node_pull **state; /* each its worker's */
};

struct worker {
    struct copies *of;
    struct bqueue *queue;
    pthread_t thread;
    bool runs;
};

struct copies {
    bool (*emit)(void *ctx, struct event *ev);
    void *ctx;
    struct worker worker[WORKERS];
    atomic_bool stop; /* give up what is not done */
    atomic_size_t n_pulls;
    char *made; /* the folder that copies_prepare() has made last, and no pull has taken over */
    pthread_mutex_t lock;
    struct pull **pulls; /* until copies_free() */
    size_t cap_pulls;
};

/* --- a node's spool --- */

static struct node_pull *node_state(struct pull *p, uint32_t position)
{
    if (!p->state[position]) {
        struct node_pull *n = x_calloc(1, sizeof *n);
        n->spool = -1;
        strbuf_init(&n->stderr_text, STDERR_MAX);
        p->state[position] = n;
    }
    return p->state[position];
}

static void node_free(struct node_pull *n)
{
    if (!n)
        return;
    if (n->spool >= 0)
        close(n->spool);
    strbuf_free(&n->stderr_text);
    free(n->fault);
    free(n);
}

static void set_fault(struct node_pull *n, const char *dir)
{
    int sys = errno;
    CLEANUP_FREE char *clean = text_clean(dir);
    n->fault = x_asprintf("cannot write into %s here: %s", clean, strerror(sys));
}

static bool open_spool(struct pull *p, struct node_pull *n)
{
    CLEANUP_FREE char *path = io_join(p->dir, ".muster-pull-XXXXXX");
    n->spool = mkostemp(path, O_CLOEXEC);
    if (n->spool < 0) {
        set_fault(n, p->dir);
        return false;
    }
    unlink(path);
    return true;
}

static void spool_write(struct pull *p, struct node_pull *n, const char *data, size_t len)
{
    if (!len || n->fault)
        return;
    if (n->came + len > p->max_bytes) {
        char size[24];
        n->too_much = true;
        n->fault = x_asprintf("more than %s came: allow more with --max-output",
                              text_size(p->max_bytes, size));
        return;
    }
    if (n->spool < 0 && !open_spool(p, n))
        return;
    int rc = io_write_all(n->spool, data, len);
    if (rc != 0) {
        errno = -rc;
        set_fault(n, p->dir);
        return;
    }
    if (!n->total && n->came < HEAD_LOOK)
        n->total = copy_head_total(data, len);
    n->came += len;
}

static void tell_progress(struct copies *c, const struct pull *p, uint32_t position,
                          struct node_pull *n, bool end)
{
    int64_t now = mono_ms(clock_system());
    if (!n->came || (!end && n->told_ms && now - n->told_ms < PROGRESS_MS))
        return;
    n->told_ms = now;
    struct event *ev = event_new(EVENT_PROGRESS, p->batch, position);
    ev->bytes_total = n->total;
    /* The archive is somewhat larger than what is in it. */
    ev->bytes_done = n->total && (end || n->came > n->total) ? n->total : n->came;
    if (!c->emit(c->ctx, ev))
        event_free(ev);
}

static void take_bytes(struct pull *p, struct node_pull *n, const struct event *ev)
{
    spool_write(p, n, ev->data[STREAM_STDOUT], ev->len[STREAM_STDOUT]);
    if (ev->len[STREAM_STDERR])
        strbuf_add(&n->stderr_text, ev->data[STREAM_STDERR], ev->len[STREAM_STDERR]);
}

/* --- the end of a node --- */

static void fail(struct event *ev, enum reason reason, char *why)
{
    free(ev->error);
    ev->error = why;
    ev->status = EXEC_FAILED;
    ev->reason = reason;
}

/* Our scripts always say why they fail. One that said nothing was not run at all. */
static void explain_silence(struct event *ev, bool spoken)
{
    bool ours = ev->exit_code >= COPY_EXIT_TOOL && ev->exit_code <= COPY_EXIT_MOVE;
    if (ev->status != EXEC_FAILED || ev->reason != REASON_EXIT || spoken || ours)
        return;
    fail(ev, REASON_EXIT, x_asprintf("exit code %d, and the node said nothing: it runs no commands "
                                     "(a forced command?), and sftp was not to be had; that takes the "
                                     "transport ssh, and no --sudo", ev->exit_code));
}

/* What came where no copy came ("this account is for sftp only") is for people. */
static void tell_what_came(struct event *ev, const struct node_pull *n)
{
    char head[HEAD_LOOK];
    ssize_t len = n->spool >= 0 && !n->total ? pread(n->spool, head, sizeof head, 0) : 0;
    if (ev->status != EXEC_FAILED || len <= 0 ||
        copy_head_total(head, (size_t) len) ||
        memmem(head, (size_t) len, COPY_PULL_MAGIC, sizeof COPY_PULL_MAGIC - 1) ||
        memmem(head, (size_t) len, COPY_PULL_LATE, sizeof COPY_PULL_LATE - 1))
        return;
    ev->data[STREAM_STDOUT] = x_memdup(head, (size_t) len);
    ev->len[STREAM_STDOUT] = (size_t) len;
    ev->truncated[STREAM_STDOUT] = n->came > (uint64_t) len;
}

/* What the files went to, as the node's stdout. */
static void tell_result(struct event *ev, struct node_pull *n, const struct copy_result *r)
{
    CLEANUP_FREE char *count = copy_count_text(r->files, r->bytes);
    char *text = x_asprintf("%s%s -> %s\n", count, r->by_sftp ? ", by sftp" : "", r->place);
    ev->data[STREAM_STDOUT] = text;
    ev->len[STREAM_STDOUT] = strlen(text);
    for (size_t i = 0; i < r->left.n; i++) {
        strbuf_adds(&n->stderr_text, r->left.v[i]);
        strbuf_addch(&n->stderr_text, '\n');
    }
}

static void put_in_place(struct copies *c, struct pull *p, struct node_pull *n, struct event *ev)
{
    struct err e = ERR_INIT;
    struct copy_result r;
    int rc = n->spool < 0 ? err_set(&e, ERR_VALIDATION, "nothing came from the node")
             : lseek(n->spool, 0, SEEK_SET) != 0
                 ? err_set(&e, ERR_INTERNAL, "cannot read back what came: %s", strerror(errno))
                 : 0;
    if (rc == 0) {
        rc = copy_extract(n->spool, p->dir, p->nodes.v[ev->position], p->max_bytes, &c->stop, &r, &e);
        if (rc == 0)
            tell_result(ev, n, &r);
        copy_result_clear(&r);
    }
    if (rc != 0) {
        enum reason reason = atomic_load(&c->stop) ? REASON_LOST
                             : rc == -ERR_INTERNAL ? REASON_INTERNAL
                                                   : REASON_EXIT;
        fail(ev, reason, x_strdup(e.msg));
        ev->exit_code = reason == REASON_EXIT ? COPY_EXIT_SUM : -1;
    }
    err_clear(&e);
}

static void end_node(struct copies *c, struct pull *p, struct node_pull *n, struct event *ev)
{
    take_bytes(p, n, ev);
    explain_silence(ev, n->came || n->stderr_text.len);
    free(X_STEAL(ev->data[STREAM_STDOUT]));
    free(X_STEAL(ev->data[STREAM_STDERR]));
    ev->len[STREAM_STDOUT] = ev->len[STREAM_STDERR] = 0;
    bool more = ev->truncated[STREAM_STDOUT];
    ev->truncated[STREAM_STDOUT] = false;
    if (ev->status == EXEC_SUCCESS) {
        if (more && !n->fault) {
            char size[24];
            n->too_much = true;
            n->fault = x_asprintf("more than %s came: allow more with --max-output",
                                  text_size(p->max_bytes, size));
        }
        if (n->fault) {
            fail(ev, n->too_much ? REASON_EXIT : REASON_INTERNAL, X_STEAL(n->fault));
            ev->exit_code = n->too_much ? COPY_EXIT_TAR : -1;
        } else {
            put_in_place(c, p, n, ev);
        }
    }
    tell_what_came(ev, n);
    if (n->stderr_text.len) {
        ev->truncated[STREAM_STDERR] |= n->stderr_text.truncated;
        ev->len[STREAM_STDERR] = n->stderr_text.len;
        ev->data[STREAM_STDERR] = strbuf_steal(&n->stderr_text);
    }
    tell_progress(c, p, ev->position, n, ev->status == EXEC_SUCCESS);
}

/* --- the workers --- */

struct item {
    struct pull *pull;
    struct event *ev;
};

static void work_on(struct copies *c, struct item *it)
{
    struct event *ev = it->ev;
    struct node_pull *n = node_state(it->pull, ev->position);
    if (ev->kind == EVENT_OUTPUT) {
        take_bytes(it->pull, n, ev);
        tell_progress(c, it->pull, ev->position, n, false);
        event_free(ev);
    } else {
        uint32_t position = ev->position;
        end_node(c, it->pull, n, ev);
        node_free(n);
        it->pull->state[position] = NULL;
        c->emit(c->ctx, ev); /* a FINISH is always taken */
    }
    free(it);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    void *it;
    for (;;) {
        if (bqueue_pop(w->queue, &it, 1, -1))
            work_on(w->of, it);
        else if (bqueue_closed(w->queue))
            return NULL;
    }
}

struct copies *copies_new(bool (*emit)(void *ctx, struct event *ev), void *ctx)
{
    struct copies *c = x_calloc(1, sizeof *c);
    c->emit = emit;
    c->ctx = ctx;
    pthread_mutex_init(&c->lock, NULL);
    for (int i = 0; i < WORKERS; i++)
        c->worker[i] = (struct worker){.of = c, .queue = bqueue_new(0, QUEUE_BYTES)};
    return c;
}

static void pull_free(struct pull *p)
{
    if (p->made)
        rmdir(p->dir); /* fails when something is in it */
    for (size_t i = 0; p->state && i < p->nodes.n; i++)
        node_free(p->state[i]);
    free(p->state);
    free(p->spoken);
    strv_clear(&p->nodes);
    free(p->dir);
    free(p);
}

void copies_free(struct copies *c, bool at_once)
{
    if (!c)
        return;
    atomic_store(&c->stop, at_once);
    for (int i = 0; i < WORKERS; i++) {
        bqueue_close(c->worker[i].queue);
        if (c->worker[i].runs)
            pthread_join(c->worker[i].thread, NULL);
        bqueue_free(c->worker[i].queue);
    }
    for (size_t i = 0; i < atomic_load(&c->n_pulls); i++)
        pull_free(c->pulls[i]);
    free(c->pulls);
    if (c->made)
        rmdir(c->made);
    free(c->made);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static int start_workers(struct copies *c, struct err *e)
{
    for (int i = 0; i < WORKERS; i++) {
        struct worker *w = &c->worker[i];
        int rc = w->runs ? 0 : thread_start(&w->thread, "copy", worker_main, w);
        if (rc != 0)
            return err_set(e, ERR_INTERNAL, "cannot start a thread: %s", strerror(-rc));
        w->runs = true;
    }
    return 0;
}

int copies_prepare(struct copies *c, const struct copy_request *r, struct err *e)
{
    const char *dir = r->local.v[0];
    bool there = access(dir, F_OK) == 0;
    int rc = io_mkdirs(dir, 0777);
    if (rc == 0 && access(dir, W_OK | X_OK) != 0)
        rc = -errno;
    if (rc != 0) {
        CLEANUP_FREE char *clean = text_clean(dir);
        return err_set(e, ERR_VALIDATION, "cannot write into %s: %s", clean, strerror(-rc));
    }
    if (!there) {
        free(c->made);
        c->made = x_strdup(dir);
    }
    return start_workers(c, e);
}

void copies_add(struct copies *c, int64_t batch, const struct copy_request *r,
                const struct strv *nodes)
{
    struct pull *p = x_calloc(1, sizeof *p);
    p->batch = batch;
    p->dir = r->pull ? x_strdup(r->local.v[0]) : NULL;
    p->made = p->dir && c->made && strcmp(p->dir, c->made) == 0;
    if (p->made)
        free(X_STEAL(c->made));
    p->max_bytes = r->max_bytes ? r->max_bytes : COPY_MAX_BYTES_DEFAULT;
    strv_copy(&p->nodes, nodes);
    if (r->pull)
        p->state = x_calloc(nodes->n, sizeof *p->state);
    else
        p->spoken = x_calloc(nodes->n, sizeof *p->spoken);
    pthread_mutex_lock(&c->lock);
    size_t n = atomic_load(&c->n_pulls);
    X_GROW(c->pulls, c->cap_pulls, n + 1);
    c->pulls[n] = p;
    atomic_store(&c->n_pulls, n + 1);
    pthread_mutex_unlock(&c->lock);
}

/* The newest first: that is the one that runs. */
static struct pull *find_pull(struct copies *c, int64_t batch)
{
    struct pull *found = NULL;
    pthread_mutex_lock(&c->lock);
    for (size_t i = atomic_load(&c->n_pulls); i-- > 0 && !found;)
        if (c->pulls[i]->batch == batch)
            found = c->pulls[i];
    pthread_mutex_unlock(&c->lock);
    return found;
}

bool copies_emit(struct copies *c, struct event *ev, bool *taken)
{
    *taken = false;
    if (!c || (ev->kind != EVENT_OUTPUT && ev->kind != EVENT_FINISH) ||
        !atomic_load(&c->n_pulls))
        return true;
    struct pull *p = find_pull(c, ev->batch);
    if (!p || ev->position >= p->nodes.n)
        return true;
    if (!p->dir) {
        p->spoken[ev->position] |= ev->len[STREAM_STDOUT] || ev->len[STREAM_STDERR];
        if (ev->kind == EVENT_FINISH)
            explain_silence(ev, p->spoken[ev->position]);
        return true;
    }
    *taken = true;
    struct item *it = x_malloc(sizeof *it);
    *it = (struct item){p, ev};
    bool must = ev->kind == EVENT_FINISH;
    if (bqueue_push(c->worker[ev->position % WORKERS].queue, it, event_weight(ev), must))
        return true;
    free(it);
    return false;
}
