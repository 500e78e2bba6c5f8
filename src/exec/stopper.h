/* SPDX-License-Identifier: Apache-2.0 */
/* Stops a process that only another child process can reach: runs session_stop_command() by it, and
 * looks again until nothing of the process group is left. Reactor's thread. */
#ifndef MUSTER_EXEC_STOPPER_H
#define MUSTER_EXEC_STOPPER_H

#include "child.h"

#include "muster/base/vec.h"
#include "muster/core/state.h"

struct stopper {
    struct session *s;
    /* The words that run a line over there, in the way-th way (0, 1, ..); false: there is none. */
    bool (*words)(void *ctx, const char *line, unsigned way, struct strv *out);
    char *const *(*envp)(void *ctx); /* or NULL */
    void *ctx;
    struct child child;
    enum { STOPPER_IDLE, STOPPER_ASKED, STOPPER_RUNS, STOPPER_PAUSED, STOPPER_OVER } state;
    int sig, next_sig, last_sig;
    unsigned looks, way;
    int64_t due; /* of the next look, or the end of patience with this one */
    enum remote_process answer; /* once it is done */
};

void stopper_init(struct stopper *st, struct session *s);
/* SIGTERM or SIGKILL; answers later, in `answer`. */
void stopper_ask(struct stopper *st, int sig);
bool stopper_busy(const struct stopper *st); /* asked, and has not answered */
/* true: the answer has come just now. */
bool stopper_step(struct stopper *st);
int64_t stopper_due(const struct stopper *st); /* as child_due() */
void stopper_close(struct stopper *st);

#endif
