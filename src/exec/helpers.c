/* SPDX-License-Identifier: Apache-2.0 */
/* The helper pool.
 *
 * Theory of operation: work waits in lanes, first come first served, under the pool's lock. How
 * much of a lane is done at once is decided by a gate: a few pieces may be quick, and one that has
 * been at it for a while is taken to hang and does not count any more. Each that hangs lets one
 * more in besides, so the number doubles with every round: a thousand names whose server is dead
 * hold up a good one for less than a second, while work that only costs CPU time stays few.
 *
 * Threads are added when work may begin and none is ready, and while any waits one is kept ready
 * to see the gate open. They are detached: the engine leaves by helpers_stop(), and the pool is
 * freed by whoever goes last. Lock order: the pool's lock, then a reactor's inbox. */
#include "helpers.h"

#include "reactor.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/thread.h"
#include "muster/exec/ask.h"

#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOOKUP_QUICK 16
#define LOOKUP_SLOW_MS 50
#define CONNECTED_QUICK 8 /* they sign: an agent answers one after the other */
#define CONNECTED_SLOW_MS 1000
#define HEAVY_SLOW_MS 250
#define READY_MAX 16 /* threads kept without work */
#define STACK_BYTES ((size_t) 512 << 10)

struct gate {
    unsigned base, n_quick, n_slow;
    int64_t slow_ms;
    struct link quick, slow; /* tickets, the oldest first */
};

struct lane {
    struct link waiting;
    size_t n;
    struct gate gate;
};

struct helpers {
    pthread_mutex_t lock;
    pthread_cond_t wake; /* work may begin */
    pthread_cond_t room; /* in the heavy gate */
    pthread_cond_t gone; /* a thread has */
    struct lane lane[LANE_COUNT];
    struct gate heavy;
    size_t max, threads, ready; /* ready: without work, or about to be */
    size_t refs;                /* each thread's and the engine's */
    bool quit;
    struct asker *asker; /* a reference, or NULL */
    void (*last)(void *ctx);
    void *ctx;
};

static int64_t now(void)
{
    return mono_ms(clock_system());
}

/* --- gates; all under the lock --- */

static void gate_init(struct gate *g, unsigned base, int64_t slow_ms)
{
    g->base = base;
    g->slow_ms = slow_ms;
    link_init(&g->quick);
    link_init(&g->slow);
}

/* How many more may enter. */
static unsigned gate_room(const struct gate *g)
{
    unsigned most = g->base + g->n_slow;
    return most > g->n_quick ? most - g->n_quick : 0;
}

static void gate_enter(struct gate *g, struct ticket *t)
{
    t->since_ms = now();
    t->slow = false;
    link_append(&g->quick, &t->link);
    g->n_quick++;
}

static void gate_leave(struct gate *g, struct ticket *t)
{
    link_remove(&t->link);
    if (t->slow)
        g->n_slow--;
    else
        g->n_quick--;
}

/* Tells the slow ones from the quick. Returns when the next will be slow; -1: there is none. */
static int64_t gate_age(struct gate *g)
{
    int64_t at = now();

    while (!link_empty(&g->quick)) {
        struct ticket *t = LINK_OF(g->quick.next, struct ticket, link);
        if (t->since_ms + g->slow_ms > at)
            return t->since_ms + g->slow_ms;
        link_remove(&t->link);
        link_append(&g->slow, &t->link);
        t->slow = true;
        g->n_quick--;
        g->n_slow++;
    }
    return -1;
}

/* --- the pool --- */

static void wait_until(struct helpers *h, pthread_cond_t *cond, int64_t at_ms)
{
    int64_t left = at_ms - now() + 1; /* what is left of this millisecond */
    struct timespec t;

    if (at_ms < 0) {
        pthread_cond_wait(cond, &h->lock);
        return;
    }
    if (left <= 0)
        return;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += left / 1000;
    t.tv_nsec += left % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(cond, &h->lock, &t);
}

static void wait_ends(struct help *help)
{
    help->waited_ms += now() - help->waits_since;
    help->waits_since = -1;
}

static struct help *take(struct helpers *h)
{
    for (int i = 0; i < LANE_COUNT; i++) {
        struct lane *lane = &h->lane[i];
        gate_age(&lane->gate);
        if (!lane->n || !gate_room(&lane->gate))
            continue;
        struct help *help = LINK_OF(lane->waiting.next, struct help, link);
        link_remove(&help->link);
        lane->n--;
        gate_enter(&lane->gate, &help->place);
        help->state = HELP_WORKS;
        wait_ends(help);
        return help;
    }
    return NULL;
}

/* When there may be more to take, though nothing changes. */
static int64_t look_again(struct helpers *h)
{
    int64_t first = -1;

    for (int i = 0; i < LANE_COUNT; i++) {
        int64_t at = h->lane[i].n ? gate_age(&h->lane[i].gate) : -1;
        if (at >= 0 && (first < 0 || at < first))
            first = at;
    }
    return first;
}

/* Back to its reactor, or away when there is none any more. */
static void give_back(struct helpers *h, struct help *help)
{
    help->state = HELP_DONE;
    if (h->quit) {
        pthread_mutex_unlock(&h->lock);
        help_free(help);
        pthread_mutex_lock(&h->lock);
    } else {
        reactor_post(help->reactor, (struct msg){.kind = MSG_HELP, .help = help});
    }
}

/* With the lock held, which is gone afterwards. */
static void unref(struct helpers *h)
{
    bool last = --h->refs == 0;

    pthread_cond_broadcast(&h->gone);
    pthread_mutex_unlock(&h->lock);
    if (!last)
        return;
    h->last(h->ctx);
    asker_unref(h->asker);
    pthread_cond_destroy(&h->wake);
    pthread_cond_destroy(&h->room);
    pthread_cond_destroy(&h->gone);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static void add_threads(struct helpers *h);

static void *helper_main(void *arg)
{
    struct helpers *h = arg;

    pthread_mutex_lock(&h->lock);
    while (!h->quit) {
        struct help *help = take(h);
        if (!help && h->ready > READY_MAX)
            break;
        if (!help) {
            wait_until(h, &h->wake, look_again(h));
            continue;
        }
        h->ready--;
        add_threads(h);
        pthread_mutex_unlock(&h->lock);
        help->work(help->arg, help);
        pthread_mutex_lock(&h->lock);
        gate_leave(&h->lane[help->lane].gate, &help->place);
        give_back(h, help);
        h->ready++;
    }
    h->ready--;
    h->threads--;
    unref(h);
    return NULL;
}

/* Sees to it that as many are awake as have something to begin, and one while anything waits. One
 * that cannot be added is no loss: there is at least one. */
static void add_threads(struct helpers *h)
{
    size_t want = 0;
    int rc = 0;

    for (int i = 0; i < LANE_COUNT; i++) {
        const struct lane *lane = &h->lane[i];
        size_t room = gate_room(&lane->gate);
        want += lane->n < room ? lane->n : room;
        if (lane->n && !want)
            want = 1;
    }
    while (h->ready < want && h->threads < h->max && rc == 0) {
        rc = thread_start_detached("muster-help", STACK_BYTES, helper_main, h);
        if (rc == 0) {
            h->threads++;
            h->ready++;
            h->refs++;
        }
    }
    for (size_t i = 0; i < want && i < h->ready; i++)
        pthread_cond_signal(&h->wake);
}

static void cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

struct helpers *helpers_new(unsigned max, void (*last)(void *ctx), void *ctx, struct err *e)
{
    struct helpers *h = x_calloc(1, sizeof *h);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    pthread_mutex_init(&h->lock, NULL);
    cond_init(&h->wake);
    cond_init(&h->room);
    cond_init(&h->gone);
    for (int i = 0; i < LANE_COUNT; i++)
        link_init(&h->lane[i].waiting);
    gate_init(&h->lane[LANE_CONNECTED].gate, CONNECTED_QUICK, CONNECTED_SLOW_MS);
    gate_init(&h->lane[LANE_LOOKUP].gate, LOOKUP_QUICK, LOOKUP_SLOW_MS);
    gate_init(&h->heavy, cores > 2 ? (unsigned) cores * 2 : 4, HEAVY_SLOW_MS);
    h->max = max;
    h->refs = 1;
    h->last = last;
    h->ctx = ctx;
    if (!max)
        return h;
    /* The first one now: work would wait for ever if there could be none. */
    h->refs++;
    h->threads = h->ready = 1;
    int rc = thread_start_detached("muster-help", STACK_BYTES, helper_main, h);
    if (rc == 0)
        return h;
    err_set(e, ERR_INTERNAL, "cannot start a thread: %s; free memory or raise `ulimit -u`",
            strerror(-rc));
    pthread_mutex_destroy(&h->lock);
    free(h);
    return NULL;
}

void helpers_set_asker(struct helpers *h, struct asker *asker)
{
    h->asker = asker_ref(asker);
}

static void kill_child(struct help *help)
{
    help->abandoned = true;
    if (help->child)
        kill(-help->child, SIGKILL);
}

static void abandon_all(struct link *tickets)
{
    for (struct link *l = tickets->next; l != tickets; l = l->next)
        kill_child(LINK_OF(l, struct help, place.link));
}

void helpers_stop(struct helpers *h)
{
    struct link left;

    pthread_mutex_lock(&h->lock);
    h->quit = true;
    link_init(&left);
    for (int i = 0; i < LANE_COUNT; i++) {
        struct lane *lane = &h->lane[i];
        abandon_all(&lane->gate.quick);
        abandon_all(&lane->gate.slow);
        while (!link_empty(&lane->waiting)) {
            struct link *l = lane->waiting.next;
            link_remove(l);
            link_append(&left, l);
        }
        lane->n = 0;
    }
    pthread_cond_broadcast(&h->wake);
    pthread_cond_broadcast(&h->room);
    /* Who has no work is out at once. */
    while (h->ready)
        pthread_cond_wait(&h->gone, &h->lock);
    pthread_mutex_unlock(&h->lock);
    while (!link_empty(&left)) {
        struct help *help = LINK_OF(left.next, struct help, link);
        link_remove(&help->link);
        help_free(help);
    }
}

void helpers_unref(struct helpers *h)
{
    pthread_mutex_lock(&h->lock);
    unref(h);
}

void helpers_run(struct helpers *h, struct help *help)
{
    struct lane *lane = &h->lane[help->lane];

    help->pool = h;
    help->waits_since = now();
    link_init(&help->link);
    link_init(&help->place.link);
    link_init(&help->heavy.link);
    if (!h->max) {
        help->waits_since = -1;
        help->work(help->arg, help);
        help->state = HELP_DONE;
        reactor_post(help->reactor, (struct msg){.kind = MSG_HELP, .help = help});
        return;
    }
    pthread_mutex_lock(&h->lock);
    link_append(&lane->waiting, &help->link);
    lane->n++;
    add_threads(h);
    pthread_mutex_unlock(&h->lock);
}

void help_free(struct help *help)
{
    if (help->free_arg)
        help->free_arg(help->arg);
    free(help);
}

/* --- the reactor's thread --- */

void help_abandon(struct help *help)
{
    struct helpers *h = help->pool;

    help->session = NULL;
    pthread_mutex_lock(&h->lock);
    bool ours = help->state == HELP_WAITS || help->back;
    if (help->state == HELP_WAITS) {
        link_remove(&help->link);
        h->lane[help->lane].n--;
    } else if (help->state == HELP_WORKS) {
        kill_child(help);
        /* It may be among those that wait for room. */
        pthread_cond_broadcast(&h->room);
    }
    pthread_mutex_unlock(&h->lock);
    if (ours)
        help_free(help);
}

int64_t help_waited(struct help *help)
{
    pthread_mutex_lock(&help->pool->lock);
    int64_t ms = help->waited_ms;
    if (help->waits_since >= 0)
        ms += now() - help->waits_since;
    pthread_mutex_unlock(&help->pool->lock);
    return ms;
}

/* --- the helper's thread --- */

/* Meanwhile it keeps its place among the quick ones of its lane: this says nothing about the work,
 * and more threads would only wait here too. */
static void pause_place(struct help *help)
{
    if (!help->place.slow)
        link_remove(&help->place.link);
    help->waits_since = now();
}

static void resume_place(struct help *help)
{
    struct helpers *h = help->pool;

    wait_ends(help);
    if (help->place.slow)
        return;
    help->place.since_ms = now();
    link_append(&h->lane[help->lane].gate.quick, &help->place.link);
    if (h->lane[help->lane].n)
        pthread_cond_signal(&h->wake); /* there is a time to look again now */
}

bool help_heavy_begin(struct help *help)
{
    if (!help || !help->pool->max)
        return true;
    struct helpers *h = help->pool;
    bool go;

    pthread_mutex_lock(&h->lock);
    int64_t at = gate_age(&h->heavy);
    if (!help->abandoned && !gate_room(&h->heavy)) {
        pause_place(help);
        while (!h->quit && !help->abandoned && !gate_room(&h->heavy)) {
            wait_until(h, &h->room, at);
            at = gate_age(&h->heavy);
        }
        resume_place(help);
    }
    go = !h->quit && !help->abandoned;
    if (go)
        gate_enter(&h->heavy, &help->heavy);
    if (gate_room(&h->heavy))
        pthread_cond_signal(&h->room);
    pthread_mutex_unlock(&h->lock);
    return go;
}

void help_heavy_end(struct help *help)
{
    if (!help || !help->pool->max)
        return;
    struct helpers *h = help->pool;
    pthread_mutex_lock(&h->lock);
    gate_leave(&h->heavy, &help->heavy);
    pthread_cond_signal(&h->room);
    pthread_mutex_unlock(&h->lock);
}

bool help_child(struct help *help, pid_t pid)
{
    if (!help)
        return true;
    pthread_mutex_lock(&help->pool->lock);
    bool wanted = !help->abandoned && !help->pool->quit;
    help->child = pid;
    pthread_mutex_unlock(&help->pool->lock);
    return wanted;
}

bool help_abandoned(struct help *help)
{
    if (!help)
        return false;
    pthread_mutex_lock(&help->pool->lock);
    bool abandoned = help->abandoned || help->pool->quit;
    pthread_mutex_unlock(&help->pool->lock);
    return abandoned;
}

static bool nobody_waits(void *ctx)
{
    return help_abandoned(ctx);
}

void help_pause(struct help *help)
{
    if (!help || !help->pool->max)
        return;
    struct helpers *h = help->pool;

    pthread_mutex_lock(&h->lock);
    gate_leave(&h->lane[help->lane].gate, &help->place);
    help->waits_since = now();
    add_threads(h);
    pthread_mutex_unlock(&h->lock);
}

void help_resume(struct help *help)
{
    if (!help || !help->pool->max)
        return;
    struct helpers *h = help->pool;

    pthread_mutex_lock(&h->lock);
    wait_ends(help);
    gate_enter(&h->lane[help->lane].gate, &help->place);
    if (h->lane[help->lane].n)
        pthread_cond_signal(&h->wake); /* there is a time to look again now */
    pthread_mutex_unlock(&h->lock);
}

bool help_can_ask(const struct help *help)
{
    return help && help->pool->max && help->pool->asker;
}

struct secret *help_ask(struct help *help, const char *about, const char *text, bool echo)
{
    if (!help_can_ask(help))
        return NULL;
    help_pause(help);

    struct secret *answer = asker_ask(help->pool->asker, about, text, echo, nobody_waits, help);

    help_resume(help);
    return answer;
}
