/* SPDX-License-Identifier: Apache-2.0 */
/* The parent and the child: the parent is what the shell sees; the child, in a process group of its
 * own, has the screen and the engine. So Ctrl-Z frees the terminal while batches go on, and a child
 * that is left running outlives its parent. */
#ifndef MUSTER_UI_PARENT_H
#define MUSTER_UI_PARENT_H

#include <stdbool.h>

struct err;

/* The child's end. fd is readable when the parent said something, or is gone. */
struct parent_link {
    int fd;
    int parent_group;
};
enum parent_word {
    PARENT_NOTHING,
    PARENT_GO,      /* the terminal is the child's (again) */
    PARENT_SUSPEND, /* give the terminal back, then parent_suspended() */
    PARENT_GONE
};

/* Forks; the caller has no threads yet. `reset` restores the terminal after a child that died. In the
 * child: 0, with *link. In the parent: returns when all is over: 1, with the exit status to end with.
 * -ERR_INTERNAL, -ERR_VALIDATION (not in the foreground). */
int parent_fork(struct parent_link *link, const char *reset, int *status, struct err *e);

/* --- in the child --- */
enum parent_word parent_hear(struct parent_link *l); /* waits for one, where fd is not readable */
void parent_suspended(struct parent_link *l);        /* the terminal is free: stop, and GO after fg */
/* Becomes a session of its own without a terminal, and lets the parent return. */
void parent_leave(struct parent_link *l);
void parent_close(struct parent_link *l);

#endif
