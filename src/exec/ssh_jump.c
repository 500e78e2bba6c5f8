/* SPDX-License-Identifier: Apache-2.0 */
/* Who waits for which carrier.
 *
 * Theory of operation: carriers are known by a key, the jump hosts and what else tells how they
 * are reached. Normally there is one for each key. One whose open hangs (a dead host behind the jump
 * host; the library opens one channel at a time) takes no more until that is over, and what waited
 * for it goes to others: up to SPREAD_MAX are used then, so that many dead hosts do not stop the
 * living ones one after the other. The carrier's session and this one meet in `waiting` and in an
 * eventfd. A failure stays known for a while, so that hundreds of hosts do not each try. */
#include "ssh_jump.h"

#include "ssh_dest.h"
#include "ssh_shared.h"
#include "ssh_side.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/log.h"
#include "muster/base/secret.h"
#include "muster/base/strbuf.h"
#include "muster/base/thread.h"
#include "muster/core/event.h"
#include "muster/core/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SPREAD_MAX 4
#define CARRIERS_MAX 16 /* to one jump host, when opens hang */
#define FAILURE_FRESH_MS 10000
#define RETRIES 2
#define CONNECT_MIN_MS 1000

enum carrier_state {
    CARRIER_STARTING,
    CARRIER_UP,
    CARRIER_GONE,  /* it ends because nobody needs it */
    CARRIER_FAILED /* its session has ended; kept for the answer */
};

struct carrier {
    struct link link;
    struct jumps *all;
    uint64_t id;
    char *key, *name;
    char *chain, *config;   /* how it is reached, for another one of its kind */
    struct settings base;
    struct secret *password;
    int64_t connect_ms, batch;
    struct waker waker;

    /* the lock's */
    enum carrier_state state;
    bool stuck, for_openssh;
    size_t load; /* what it carries */
    size_t n_waiting;
    struct link waiting;
    struct carrier *behind; /* while it starts: the one it is reached through */
    enum reason reason;
    char *error;
    int64_t until_ms; /* how long the failure is known */
};

struct jumps {
    pthread_mutex_t lock;
    struct ssh_shared *shared;
    struct link carriers;
    uint64_t last;
};

struct jumps *jumps_new(struct ssh_shared *shared)
{
    struct jumps *all = x_calloc(1, sizeof *all);

    pthread_mutex_init(&all->lock, NULL);
    all->shared = shared;
    link_init(&all->carriers);
    return all;
}

/* With the lock held. */
static void carrier_free(struct carrier *k)
{
    for (struct link *l = k->all->carriers.next; l != &k->all->carriers; l = l->next) {
        struct carrier *other = LINK_OF(l, struct carrier, link);

        if (other->behind == k)
            other->behind = NULL;
    }
    link_remove(&k->link);
    waker_close(&k->waker);
    free(k->key);
    free(k->name);
    free(k->chain);
    free(k->config);
    settings_clear(&k->base);
    secret_unref(k->password);
    free(k->error);
    free(k);
}

void jumps_free(struct jumps *all)
{
    if (!all)
        return;
    while (!link_empty(&all->carriers))
        carrier_free(LINK_OF(all->carriers.next, struct carrier, link));
    pthread_mutex_destroy(&all->lock);
    free(all);
}

void jump_unref(struct jump *j)
{
    if (!j || __atomic_sub_fetch(&j->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    if (j->fd >= 0)
        close(j->fd);
    free(j->via);
    free(j->host);
    free(j->error);
    free(j);
}

bool jump_failed(struct jump *j)
{
    pthread_mutex_lock(&j->all->lock);

    bool failed = j->failed;

    pthread_mutex_unlock(&j->all->lock);
    return failed;
}

/* With the lock held, or before anybody knows of it; takes error and the reference over. */
static void fail(struct jump *j, enum reason reason, bool retry, bool fallback, char *error)
{
    j->failed = true;
    j->reason = reason == REASON_AUTH || reason == REASON_HOSTKEY ? reason : REASON_UNREACHABLE;
    j->retry = retry;
    j->fallback = fallback;
    j->error = error;
    /* Only now: its end is what wakes the asker. */
    if (j->fd >= 0)
        close(j->fd);
    j->fd = -1;
    jump_unref(j);
}

void jump_fail(struct jump *j, enum reason reason, bool retry, const char *fmt, ...)
{
    struct jumps *all = j->all;
    va_list ap;

    va_start(ap, fmt);

    char *text = x_vasprintf(fmt, ap);

    va_end(ap);
    pthread_mutex_lock(&all->lock);
    fail(j, reason, retry, false, text);
    pthread_mutex_unlock(&all->lock);
}

void jump_lost(struct jump *j)
{
    jump_fail(j, REASON_UNREACHABLE, true, "the connection through %s was lost", j->via);
}

void jump_end(struct jump *j)
{
    close(j->fd);
    j->fd = -1;
    jump_unref(j);
}

/* With the lock held. */
static void fail_waiting(struct carrier *k, bool retry)
{
    while (!link_empty(&k->waiting)) {
        struct jump *j = LINK_OF(k->waiting.next, struct jump, link);

        link_remove(&j->link);
        fail(j, k->reason, retry, k->for_openssh, x_strdup(k->error));
    }
    k->n_waiting = 0;
}

static int64_t now(void)
{
    return mono_ms(clock_system());
}

/* The carrier's session has ended. */
static void carrier_done(void *ctx, const struct event *ev)
{
    struct carrier *k = ctx;
    struct jumps *all = k->all;

    pthread_mutex_lock(&all->lock);

    bool was_up = k->state == CARRIER_UP;

    k->behind = NULL;
    if (k->state == CARRIER_GONE) {
        carrier_free(k);
    } else {
        k->state = CARRIER_FAILED;
        k->reason = was_up ? REASON_UNREACHABLE : ev->reason;
        k->error = was_up ? x_asprintf("the connection through %s was lost", k->name)
                          : x_asprintf("jump host %s: %s", k->name, ev->error ? ev->error : "?");
        k->until_ms = was_up ? 0 : now() + FAILURE_FRESH_MS;
        log_line(LOG_WARN, "ssh", ev->batch, NULL, "jump host %s: %s", k->name,
                 ev->error ? ev->error : "the connection has ended");
        fail_waiting(k, was_up);
        if (was_up)
            carrier_free(k);
    }
    pthread_mutex_unlock(&all->lock);
}

/* The engine goes: so have all who waited. */
static void carrier_drop(void *ctx)
{
    struct carrier *k = ctx;
    struct jumps *all = k->all;

    pthread_mutex_lock(&all->lock);
    k->error = x_strdup("muster leaves");
    k->reason = REASON_UNREACHABLE;
    fail_waiting(k, false);
    carrier_free(k);
    pthread_mutex_unlock(&all->lock);
}

static void add_list(struct strbuf *b, const struct strv *list)
{
    for (size_t i = 0; i < list->n; i++)
        strbuf_addf(b, "%s\n", list->v[i]);
    strbuf_addch(b, '\n');
}

static char *want_key(const struct jump_want *want)
{
    struct strbuf b;

    strbuf_init(&b, 0);
    strbuf_addf(&b, "%s\n%s\n", want->chain, want->config ? want->config : "");
    add_list(&b, &want->base->identity);
    add_list(&b, &want->base->known_hosts);
    strbuf_adds(&b, want->base->strict_host_key ? want->base->strict_host_key : "");
    /* A carrier holds the one that it was made with, so no other one can have its address. */
    strbuf_addf(&b, "\n%p", (void *) want->password);
    return strbuf_steal(&b);
}

/* With the lock held. What is known of a key. */
struct census {
    struct carrier *best;   /* the least loaded one that takes more */
    struct carrier *spare;  /* the least loaded of those that hang */
    struct carrier *failed; /* lately */
    size_t usable, stuck;
};

static size_t burden(const struct carrier *k)
{
    return k->load + k->n_waiting;
}

static void count(struct jumps *all, const char *key, struct census *c)
{
    struct link *next;

    *c = (struct census) {0};
    for (struct link *l = all->carriers.next; l != &all->carriers; l = next) {
        struct carrier *k = LINK_OF(l, struct carrier, link);

        next = l->next;
        if (k->state == CARRIER_FAILED && now() >= k->until_ms) {
            carrier_free(k);
            continue;
        }
        if (k->state == CARRIER_GONE || strcmp(k->key, key) != 0)
            continue;
        if (k->state == CARRIER_FAILED) {
            c->failed = k;
        } else if (k->stuck) {
            c->stuck++;
            if (!c->spare || burden(k) < burden(c->spare))
                c->spare = k;
        } else {
            c->usable++;
            if (!c->best || burden(k) < burden(c->best))
                c->best = k;
        }
    }
}

/* "a,b" -> "b", and what it is reached through: "a", or NULL where its own settings tell. */
static void split_chain(const char *chain, char **last, char **before)
{
    const char *comma = strrchr(chain, ',');

    if (last)
        *last = x_strdup(comma ? comma + 1 : chain);
    if (before)
        *before = comma ? x_strndup(chain, (size_t) (comma - chain)) : NULL;
}

static int submit(struct carrier *k, struct err *e)
{
    CLEANUP_FREE char *id = x_asprintf("%" PRIu64, k->id);
    struct settings over;
    struct dest dest;
    struct engine_batch batch = {
        .number = k->batch,
        .command = id,
        .retries = RETRIES,
        .ssh_config = k->config,
        .raw = true,
        .password = k->password,
    };
    struct engine_job job = {.node = k->name, .base = &k->base, .over = &over};

    settings_init(&over);
    over.transport = x_strdup("carrier");
    if (dest_parse(k->name, &dest)) {
        over.host = dest.host;
        over.user = dest.user;
        over.port = dest.port;
    } else {
        over.host = x_strdup(k->name); /* refused as a name when it is looked up */
    }
    split_chain(k->chain, NULL, &over.jump);

    int rc = side_submit(k->all->shared, &batch, &job, carrier_done, carrier_drop, k, e);

    settings_clear(&over);
    return rc;
}

/* As with ssh, flags and settings of the node itself are not its jump host's. */
static void copy_want(struct carrier *k, const struct jump_want *want)
{
    k->chain = x_strdup(want->chain);
    split_chain(k->chain, &k->name, NULL);
    k->config = x_strdup(want->config);
    k->password = secret_ref(want->password);
    k->batch = want->batch;
    settings_init(&k->base);
    strv_copy(&k->base.identity, &want->base->identity);
    strv_copy(&k->base.known_hosts, &want->base->known_hosts);
    k->base.strict_host_key = x_strdup(want->base->strict_host_key);
    /* Its own end comes before the asker's, so that its text is the one that is seen. */
    k->connect_ms = want->connect_ms - want->connect_ms / 10;
    if (k->connect_ms < CONNECT_MIN_MS)
        k->connect_ms = CONNECT_MIN_MS;
    k->base.connect_timeout_ms = k->connect_ms;
}

/* With the lock held. */
static struct carrier *new_carrier(struct jumps *all, const struct jump_want *want,
                                   const char *key, struct err *e)
{
    struct carrier *k = x_calloc(1, sizeof *k);

    link_append(&all->carriers, &k->link);
    link_init(&k->waiting);
    k->all = all;
    k->id = ++all->last;
    k->key = x_strdup(key);
    copy_want(k, want);

    int rc = waker_init(&k->waker);

    if (rc != 0)
        err_set(e, ERR_INTERNAL, "cannot make an eventfd: %s", strerror(-rc));
    if (rc == 0)
        rc = submit(k, e);
    if (rc == 0)
        return k;
    carrier_free(k);
    return NULL;
}

/* With the lock held. */
static void enqueue(struct carrier *k, struct jump *j)
{
    k->n_waiting++;
    link_append(&k->waiting, &j->link);
    waker_wake(&k->waker);
}

/* A carrier that asks for one that waits for it. */
static bool goes_round(const struct carrier *asker, const struct carrier *k)
{
    for (; asker && k; k = k->behind)
        if (k == asker)
            return true;
    return false;
}

/* With the lock held. The carrier for one more, or NULL with an error or a failure. */
static struct carrier *pick(struct jumps *all, const struct jump_want *want, struct carrier **failed,
                            struct err *e)
{
    CLEANUP_FREE char *key = want_key(want);
    struct census c;

    count(all, key, &c);
    *failed = c.usable || c.stuck ? NULL : c.failed;
    if (*failed)
        return NULL;
    if (!c.usable && c.failed)
        return c.spare;
    if (c.best && c.usable >= (c.stuck + 1 < SPREAD_MAX ? c.stuck + 1 : SPREAD_MAX))
        return c.best;
    if (c.usable + c.stuck >= CARRIERS_MAX)
        return c.best ? c.best : c.spare;

    struct carrier *fresh = new_carrier(all, want, key, e);

    return fresh || !c.best ? fresh : c.best;
}

struct jump *jump_ask(struct jumps *all, const struct jump_want *want, int *fd, struct err *e)
{
    int pair[2];
    struct carrier *failed = NULL;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
        err_set(e, ERR_INTERNAL, "cannot make a socket: %s", strerror(errno));
        return NULL;
    }

    struct jump *j = x_calloc(1, sizeof *j);

    link_init(&j->link);
    j->refs = 2;
    j->all = all;
    j->fd = pair[1];
    j->host = x_strdup(want->host);
    j->port = want->port;
    split_chain(want->chain, &j->via, NULL);
    pthread_mutex_lock(&all->lock);

    struct carrier *k = pick(all, want, &failed, e);

    if (failed)
        fail(j, failed->reason, false, failed->for_openssh, x_strdup(failed->error));
    else if (k && goes_round(want->asker, k))
        fail(j, REASON_UNREACHABLE, false, false,
             x_asprintf("its ProxyJump goes round in a circle: %s would be reached through itself",
                        k->name));
    else if (k)
        enqueue(k, j);
    if (want->asker && k && !j->failed)
        want->asker->behind = k;
    pthread_mutex_unlock(&all->lock);
    *fd = pair[0];
    if (k || failed)
        return j;
    close(pair[0]);
    j->refs = 1;
    jump_unref(j);
    return NULL;
}

struct carrier *carrier_find(struct jumps *all, const char *id)
{
    uint64_t wanted = strtoull(id, NULL, 10);
    struct carrier *found = NULL;

    pthread_mutex_lock(&all->lock);
    for (struct link *l = all->carriers.next; l != &all->carriers && !found; l = l->next) {
        struct carrier *k = LINK_OF(l, struct carrier, link);

        if (k->id == wanted)
            found = k;
    }
    pthread_mutex_unlock(&all->lock);
    return found;
}

int carrier_fd(const struct carrier *k)
{
    return k->waker.fd;
}

void carrier_up(struct carrier *k)
{
    pthread_mutex_lock(&k->all->lock);
    k->state = CARRIER_UP;
    k->behind = NULL;
    pthread_mutex_unlock(&k->all->lock);
}

struct jump *carrier_next(struct carrier *k)
{
    struct jump *j = NULL;

    pthread_mutex_lock(&k->all->lock);
    if (link_empty(&k->waiting)) {
        /* Under the lock: who comes now wakes it again. */
        waker_drain(&k->waker);
    } else {
        j = LINK_OF(k->waiting.next, struct jump, link);
        link_remove(&j->link);
        k->n_waiting--;
        k->load++;
    }
    pthread_mutex_unlock(&k->all->lock);
    return j;
}

/* With the lock held: for another carrier of the same jump host. */
static void move(struct carrier *from, struct jump *j)
{
    const struct jump_want want = {
        .chain = from->chain,
        .config = from->config,
        .base = &from->base,
        .password = from->password,
        .connect_ms = from->connect_ms,
        .batch = from->batch,
    };
    struct carrier *failed;
    struct err e = ERR_INIT;
    struct carrier *k = pick(from->all, &want, &failed, &e);

    if (k)
        enqueue(k, j);
    else
        fail(j, REASON_UNREACHABLE, true, false, x_strdup(e.msg ? e.msg : "no connection is left"));
    err_clear(&e);
}

void carrier_stuck(struct carrier *k, bool stuck)
{
    struct link waiting;

    pthread_mutex_lock(&k->all->lock);
    k->stuck = stuck;
    link_init(&waiting);
    if (stuck) {
        link_take_all(&waiting, &k->waiting);
        k->n_waiting = 0;
    }
    while (!link_empty(&waiting)) {
        struct jump *j = LINK_OF(waiting.next, struct jump, link);

        link_remove(&j->link);
        move(k, j);
    }
    pthread_mutex_unlock(&k->all->lock);
}

void jump_again(struct carrier *k, struct jump *j)
{
    pthread_mutex_lock(&k->all->lock);
    move(k, j);
    pthread_mutex_unlock(&k->all->lock);
}

void carrier_loaded(struct carrier *k, size_t load)
{
    pthread_mutex_lock(&k->all->lock);
    k->load = load;
    pthread_mutex_unlock(&k->all->lock);
}

bool carrier_retire(struct carrier *k)
{
    pthread_mutex_lock(&k->all->lock);

    bool idle = link_empty(&k->waiting);

    if (idle)
        k->state = CARRIER_GONE;
    pthread_mutex_unlock(&k->all->lock);
    return idle;
}

void carrier_for_openssh(struct carrier *k)
{
    pthread_mutex_lock(&k->all->lock);
    k->for_openssh = true;
    pthread_mutex_unlock(&k->all->lock);
}
