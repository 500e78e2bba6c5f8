/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of a reactor.
 *
 * Theory of operation: epoll is level-triggered and only marks sessions as woken; then messages and
 * timers do the same, and at last every woken session makes one step. A session takes a bounded
 * number of bytes a step (session_output) and is marked again for the next turn when there is more,
 * so one that floods never starves its neighbours. Sessions that ended are freed after the turn. */
#include "reactor.h"

#include "engine_priv.h"
#include "session.h"

#include "muster/base/err.h"

#include "muster/base/alloc.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_A_TURN 256

int64_t reactor_now(const struct reactor *r)
{
    return mono_ms(r->clock);
}

void reactor_post(struct reactor *r, struct msg msg)
{
    struct msg *m = x_memdup(&msg, sizeof msg);
    m->next = NULL;
    pthread_mutex_lock(&r->lock);
    bool was_empty = !r->inbox;
    *r->inbox_end = m;
    r->inbox_end = &m->next;
    pthread_mutex_unlock(&r->lock);
    if (was_empty && r->threaded)
        waker_wake(&r->waker);
}

void reactor_wake(struct reactor *r, struct session *s, unsigned wake)
{
    s->pending |= wake;
    if (!s->done && link_empty(&s->run))
        link_append(&r->run, &s->run);
}

/* fn may end the session it gets, no other. */
static void each_session(struct reactor *r, void (*fn)(struct session *), int64_t batch)
{
    struct link *next;
    for (struct link *l = r->sessions.next; l != &r->sessions; l = next) {
        struct session *s = LINK_OF(l, struct session, link);
        next = l->next;
        if (!batch || queue_same_batch(s->job->batch->number, batch))
            fn(s);
    }
}

static void place_told(struct reactor *r, struct place *place)
{
    struct session *s = places_told(r->engine->places, place);
    if (s)
        reactor_wake(r, s, WAKE_SLOT);
}

static void help_back(struct reactor *r, struct help *help)
{
    help->back = true;
    if (help->session)
        reactor_wake(r, help->session, WAKE_HELP);
    else
        help_free(help);
}

static void handle(struct reactor *r, const struct msg *m)
{
    switch (m->kind) {
    case MSG_START:
        session_start(r, m->job);
        break;
    case MSG_CANCEL:
        each_session(r, session_cancel, m->batch);
        break;
    case MSG_ABORT:
        each_session(r, session_abort, 0);
        break;
    case MSG_PLACE:
        place_told(r, m->place);
        break;
    case MSG_HELP:
        help_back(r, m->help);
        break;
    case MSG_QUIT:
        each_session(r, session_discard, 0);
        r->quit = true;
        break;
    }
}

static struct msg *take_inbox(struct reactor *r)
{
    pthread_mutex_lock(&r->lock);
    struct msg *m = r->inbox;
    r->inbox = NULL;
    r->inbox_end = &r->inbox;
    pthread_mutex_unlock(&r->lock);
    return m;
}

static bool handle_inbox(struct reactor *r)
{
    struct msg *m = take_inbox(r);
    bool any = m != NULL;

    while (m) {
        struct msg *next = m->next;
        handle(r, m);
        free(m);
        m = next;
    }
    return any;
}

static bool fire_timers(struct reactor *r)
{
    int64_t now = reactor_now(r);
    uint64_t seq = r->timers.seq; /* what is armed meanwhile waits for the next turn */
    struct timer *t;
    bool any = false;

    while ((t = timers_pop(&r->timers, now, seq))) {
        any = true;
        session_timer_due(t->session, t->which);
    }
    return any;
}

static bool step_sessions(struct reactor *r)
{
    struct link turn;
    bool any = false;

    link_take_all(&turn, &r->run);
    while (!link_empty(&turn)) {
        struct session *s = LINK_OF(turn.next, struct session, run);
        link_remove(&s->run);
        any = true;
        session_step(s);
    }
    return any;
}

static void bury(struct reactor *r)
{
    while (!link_empty(&r->dead)) {
        struct session *s = LINK_OF(r->dead.next, struct session, link);
        link_remove(&s->link);
        session_free(s);
    }
}

bool reactor_turn(struct reactor *r)
{
    bool any = handle_inbox(r);
    any |= fire_timers(r);
    any |= step_sessions(r);
    bury(r);
    return any;
}

static int wait_ms(const struct reactor *r)
{
    if (!link_empty(&r->run))
        return 0;
    int64_t next = timers_next(&r->timers);
    if (next < 0)
        return -1;
    int64_t left = next - reactor_now(r);
    return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int) left;
}

static void *reactor_main(void *arg)
{
    struct reactor *r = arg;
    struct epoll_event ev[EVENTS_A_TURN];

    while (!r->quit) {
        int n = epoll_wait(r->epoll, ev, EVENTS_A_TURN, wait_ms(r));
        for (int i = 0; i < n; i++) {
            if (!ev[i].data.ptr) {
                waker_drain(&r->waker);
                continue;
            }
            struct watch *w = ev[i].data.ptr;
            if (w->fd >= 0)
                reactor_wake(r, w->session, WAKE_FD);
        }
        reactor_turn(r);
    }
    return NULL;
}

static int start_thread(struct reactor *r, struct err *e)
{
    struct epoll_event ev = {.events = EPOLLIN, .data = {.ptr = NULL}};
    char name[16];

    int rc = waker_init(&r->waker);
    if (rc)
        return err_set(e, ERR_INTERNAL, "cannot make an eventfd: %s", strerror(-rc));
    r->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (r->epoll < 0 || epoll_ctl(r->epoll, EPOLL_CTL_ADD, r->waker.fd, &ev) != 0)
        return err_set(e, ERR_INTERNAL, "cannot set up epoll: %s", strerror(errno));
    snprintf(name, sizeof name, "muster-io%u", r->index % 1000);
    rc = thread_start(&r->thread, name, reactor_main, r);
    if (rc)
        return err_set(e, ERR_INTERNAL,
                       "cannot start a thread: %s; free memory or raise `ulimit -u`",
                       strerror(-rc));
    r->threaded = true;
    return 0;
}

int reactor_init(struct reactor *r, struct engine *engine, unsigned index,
                 const struct mclock *clock, bool threaded, struct err *e)
{
    r->engine = engine;
    r->index = index;
    r->clock = clock;
    r->epoll = r->waker.fd = -1;
    pthread_mutex_init(&r->lock, NULL);
    r->inbox_end = &r->inbox;
    link_init(&r->sessions);
    link_init(&r->run);
    link_init(&r->dead);
    return threaded ? start_thread(r, e) : 0;
}

void reactor_join(struct reactor *r)
{
    if (r->threaded)
        pthread_join(r->thread, NULL);
    else
        reactor_turn(r);
}

void reactor_free(struct reactor *r)
{
    struct msg *m = take_inbox(r);
    while (m) {
        struct msg *next = m->next;
        if (m->kind == MSG_HELP)
            help_free(m->help);
        else if (m->kind == MSG_PLACE)
            places_told(r->engine->places, m->place);
        free(m);
        m = next;
    }
    timers_free(&r->timers);
    if (r->epoll >= 0)
        close(r->epoll);
    if (r->waker.fd >= 0)
        waker_close(&r->waker);
    pthread_mutex_destroy(&r->lock);
}
