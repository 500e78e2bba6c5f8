/* SPDX-License-Identifier: Apache-2.0 */
/* Threads for what blocks. One piece of work is a `struct help`: the helper's while it works, then
 * the reactor's, to which it goes back by MSG_HELP. Work whose session or engine has gone is left
 * behind: nobody waits for it, and its helper frees it. */
#ifndef MUSTER_EXEC_HELPERS_H
#define MUSTER_EXEC_HELPERS_H

#include "list.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct asker;
struct err;
struct helpers;
struct reactor;
struct secret;
struct session;

/* Two queues, so that who holds an open connection never stands behind names that are looked up. */
enum help_lane { LANE_CONNECTED, LANE_LOOKUP, LANE_COUNT };

/* A place in a gate (helpers.c). */
struct ticket {
    struct link link;
    int64_t since_ms;
    bool slow;
};

struct help {
    struct reactor *reactor;
    struct session *session; /* reactor's thread only; NULL: it has gone */
    void (*work)(void *arg, struct help *help);
    void (*free_arg)(void *arg);
    void *arg;
    enum help_lane lane;
    bool back; /* reactor's thread only: MSG_HELP has come */

    /* the pool's, under its lock */
    struct helpers *pool;
    enum { HELP_WAITS, HELP_WORKS, HELP_DONE } state;
    struct link link; /* among those that wait */
    struct ticket place, heavy;
    bool abandoned;
    pid_t child;         /* 0: none */
    int64_t waits_since; /* -1: it does not */
    int64_t waited_ms;
};

/* max 0: work is done at once by the caller (the simulation). last(ctx) is called when the engine
 * and every helper have gone, maybe on a helper's thread: it frees what work may touch. NULL when
 * no thread starts; then last is not called. */
struct helpers *helpers_new(unsigned max, void (*last)(void *ctx), void *ctx, struct err *e);
/* Who answers questions; a reference is taken. Before any work. */
void helpers_set_asker(struct helpers *h, struct asker *asker);
/* The engine goes: nothing is posted to a reactor after this. Waits for no work. */
void helpers_stop(struct helpers *h);
void helpers_unref(struct helpers *h); /* after helpers_stop() */
void helpers_run(struct helpers *h, struct help *help);

/* --- the reactor's thread --- */

/* The session has gone: frees what has not begun, kills the child of what works. */
void help_abandon(struct help *help);
/* How long it has waited for its turn so far: that is nobody's fault but ours. */
int64_t help_waited(struct help *help);
void help_free(struct help *help); /* and its arg */

/* --- the helper's thread, for the work itself; help NULL: no limits --- */

/* A program that costs CPU time is to be run: waits until there are not too many. false: the work
 * is for nobody any more, and help_heavy_end() is not called. */
bool help_heavy_begin(struct help *help);
void help_heavy_end(struct help *help);
/* A child that leads its process group, to be killed when the work is abandoned; 0 before it is
 * reaped. false: it was abandoned already, and the caller kills it. */
bool help_child(struct help *help, pid_t pid);
bool help_abandoned(struct help *help);
/* It waits for somebody else's doing, outside of every gate and of the connect timeout; nothing of it
 * may block but that wait. In pairs. */
void help_pause(struct help *help);
void help_resume(struct help *help);
bool help_can_ask(const struct help *help); /* there is somebody to ask */
/* Asks the user (exec/ask.h), outside of every gate and of the connect timeout. The caller owns the
 * answer; NULL: nobody can be asked, declined, or abandoned. */
struct secret *help_ask(struct help *help, const char *about, const char *text, bool echo);

#endif
