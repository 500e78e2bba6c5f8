/* SPDX-License-Identifier: Apache-2.0 */
/* Threads for what blocks. One piece of work is a `struct help`: the helper's while it works, then
 * the reactor's, to which it goes back by MSG_HELP. */
#ifndef MUSTER_EXEC_HELPERS_H
#define MUSTER_EXEC_HELPERS_H

#include <stdbool.h>

struct err;
struct helpers;
struct reactor;
struct session;

struct help {
    struct help *next;
    struct reactor *reactor;
    struct session *session; /* reactor's thread only; NULL: it has gone */
    void (*work)(void *arg);
    void (*free_arg)(void *arg);
    void *arg;
    bool back; /* reactor's thread only: MSG_HELP has come */
};

/* max 0: work is done at once by the caller (the simulation). NULL when no thread starts. */
struct helpers *helpers_new(unsigned max, struct err *e);
void helpers_free(struct helpers *h); /* joins; what has not begun is given back undone. NULL ok */
void helpers_run(struct helpers *h, struct help *help);
void help_free(struct help *help); /* and its arg */

#endif
