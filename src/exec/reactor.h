/* SPDX-License-Identifier: Apache-2.0 */
/* A reactor: one thread with an epoll loop over many sessions. All of a session is its reactor's;
 * other threads only post messages. In the simulation there is no thread and no epoll, and the
 * caller turns the loop. */
#ifndef MUSTER_EXEC_REACTOR_H
#define MUSTER_EXEC_REACTOR_H

#include "list.h"
#include "timers.h"

#include "muster/base/thread.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct engine;
struct err;
struct help;
struct job;
struct mclock;
struct place;
struct session;

enum msg_kind {
    MSG_START,  /* job: run it */
    MSG_CANCEL, /* batch: stop its sessions */
    MSG_ABORT,  /* tear down every session, with its event */
    MSG_PLACE,  /* place: a handshake place was granted */
    MSG_HELP,   /* help: a helper's work is done */
    MSG_QUIT    /* tear down every session without an event, and end the thread */
};

struct msg {
    struct msg *next;
    enum msg_kind kind;
    union {
        struct job *job;
        int64_t batch;
        struct place *place;
        struct help *help;
    };
};

struct reactor {
    struct engine *engine;
    unsigned index;
    const struct mclock *clock;
    bool threaded;
    pthread_t thread;
    int epoll;
    struct waker waker;

    pthread_mutex_t lock; /* guards the inbox; a leaf */
    struct msg *inbox, **inbox_end;

    /* the rest is the reactor thread's */
    struct timers timers;
    struct link sessions; /* alive */
    struct link run;      /* of those, the ones to be stepped */
    struct link dead;     /* freed at the end of the turn: epoll may still have told of them */
    bool quit;
};

/* Starts the thread when `threaded`. 0 or -ERR_INTERNAL; it is to be freed in any case. */
int reactor_init(struct reactor *r, struct engine *engine, unsigned index,
                 const struct mclock *clock, bool threaded, struct err *e);
void reactor_join(struct reactor *r); /* after MSG_QUIT */
void reactor_free(struct reactor *r); /* joined, helpers too; drops what is left in the inbox */
void reactor_post(struct reactor *r, struct msg msg); /* any thread; copies msg */

/* One turn: messages, due timers, a step of each session that is woken. Returns whether anything
 * was done. The simulation's; the thread does the same after epoll_wait. */
bool reactor_turn(struct reactor *r);
void reactor_wake(struct reactor *r, struct session *s, unsigned wake); /* own thread: step it */
int64_t reactor_now(const struct reactor *r);

#endif
