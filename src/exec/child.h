/* SPDX-License-Identifier: Apache-2.0 */
/* A child process of a session's: what every transport that is one needs. It leads a session and a
 * process group of its own; its end is seen on a pidfd, what it wrote before is read to the end, and
 * its input is fed from session_input(). Reactor's thread. */
#ifndef MUSTER_EXEC_CHILD_H
#define MUSTER_EXEC_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct session;

struct child_spec {
    char *const *argv; /* argv[0] is a path */
    char *const *envp; /* NULL: ours */
    bool pty;          /* in, out and err are one terminal: one stream */
    bool quiet;        /* what it writes is nobody's: /dev/null */
    bool feed;         /* its input is session_input(); else `given`, at most CHILD_GIVEN_MAX, and the end */
    const char *given;
    size_t n_given;
};
#define CHILD_GIVEN_MAX 4096 /* what a pipe takes at once */

struct child_pipe {
    int fd;     /* -1: at its end */
    char *rest; /* what was not taken yet, or NULL */
    size_t at, len;
    size_t owed; /* bytes that were there when the process ended */
};

struct child {
    struct session *s;
    /* Takes output like session_output(); NULL: that. */
    size_t (*sink)(void *ctx, int stream, const char *p, size_t n);
    void *ctx;
    pid_t pid; /* and process group; 0: not started */
    int pidfd; /* -1: gone, or none on this kernel */
    bool exited, pty;
    siginfo_t how;       /* once exited */
    int64_t drain_until; /* once exited */
    struct child_pipe pipe[2];
    int in;     /* -1: closed, or not fed */
    char *held; /* input on its way, or NULL */
    size_t held_at, held_len;
    bool in_ends, in_line;
};

void child_init(struct child *c, struct session *s);
/* Once a child_init(). 0 or an errno: then nothing runs. */
int child_spawn(struct child *c, const struct child_spec *spec);
/* Whenever the session is woken. true: it has ended, and its output has been taken. */
bool child_step(struct child *c);
/* When child_step() is to be called though nothing wakes the session (mono ms); -1: never. */
int64_t child_due(const struct child *c);
/* To its whole group. 0 or an errno. */
int child_signal(struct child *c, int sig);
/* Others of its group are alive; it has ended itself. */
bool child_group_alive(const struct child *c);
int child_status(const struct child *c); /* its exit status; -1: by a signal, or not ended */
/* Its end is the session's: session_end_exit() or session_end_signal(). */
void child_end_session(struct child *c);
/* Whatever runs is sent this signal; frees what it has. Twice is allowed. */
void child_close(struct child *c, int sig);

/* The program's path as execvp(3) finds it, or NULL. Caller frees. */
char *child_find_program(const char *name);

#endif
