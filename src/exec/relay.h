/* SPDX-License-Identifier: Apache-2.0 */
/* A child process that takes the command somewhere else: ssh, or a program of the user's. What it says
 * on stderr before the command's first line is its own, and kept apart; stopping goes through another
 * child, and when that has an answer this one goes too. Reactor's thread. */
#ifndef MUSTER_EXEC_RELAY_H
#define MUSTER_EXEC_RELAY_H

#include "child.h"
#include "stopper.h"

#include "muster/base/strbuf.h"

#define RELAY_EARLY_MAX ((size_t) 16 << 10)
#define RELAY_TAIL 300

enum relay_state {
    RELAY_RUNS,
    RELAY_OVER,    /* it has ended, and its output has been taken but for what is kept apart */
    RELAY_ANSWERED /* session_stopped() or session_end_*() has been called */
};

struct relay {
    struct session *s;
    struct child child;
    struct stopper stopper;
    struct strbuf early; /* the last of stderr before the token */
    bool raw;            /* a line without a token: nothing is kept apart */
    bool drop_early;     /* what was kept apart is not the command's, even when it ran */
    bool own_stderr;     /* all of stderr is the child's own: the command's is in stdout */
    bool told;           /* the token has come, or is not waited for: stderr passes */
    char tail[RELAY_TAIL]; /* the last of stderr that passed */
    size_t n_tail;
    int stopping;        /* the last signal, or 0 */
    bool answered;
    int64_t due; /* -1 */
};

void relay_init(struct relay *r, struct session *s);
/* 0 or an errno. words: the child's, with session_wrapped_command() among them (line). */
int relay_spawn(struct relay *r, const struct strv *words, char *const *envp, const char *line);
/* Whenever the session is woken, once it has been spawned. */
enum relay_state relay_step(struct relay *r);
int64_t relay_due(const struct relay *r); /* as child_due() */
/* What was kept apart is the command's after all. true: it has been handed on (else step again). */
bool relay_release(struct relay *r);
void relay_stop(struct relay *r, int sig);
void relay_close(struct relay *r);
/* The last lines of a text, on one line, made harmless; "" when there are none. Caller frees. */
char *relay_last_lines(const char *text, size_t n);

#endif
