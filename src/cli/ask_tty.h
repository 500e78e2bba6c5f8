/* SPDX-License-Identifier: Apache-2.0 */
/* One line typed on the terminal that muster was started from, unseen where it is a secret. The
 * terminal is as it was before whenever this process stops, ends or gives up the question. */
#ifndef MUSTER_SRC_CLI_ASK_TTY_H
#define MUSTER_SRC_CLI_ASK_TTY_H

#include "muster/base/secret.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

struct err;

struct ask_tty {
    int fd;        /* of /dev/tty; -1: not open */
    int signal_fd; /* what would leave the terminal without echo */
    sigset_t before;
    struct termios was;
    char *prompt;
    bool echo;
    size_t n;
    char line[SECRET_MAX];
};

/* Asks. all_signals: Ctrl-C and the like end this process as they would without a question; else only
 * Ctrl-Z is seen to, and the others are the caller's. 0, or -ERR_VALIDATION when there is no terminal. */
int ask_tty_open(struct ask_tty *t, const char *prompt, bool echo, bool all_signals, struct err *e);
/* False: another job has the terminal, and to ask now would stop this process. */
bool ask_tty_ready(void);
/* Two to poll. */
void ask_tty_fds(const struct ask_tty *t, struct pollfd fds[2]);
/* Reads what has come. 1: a line is there, 0: not yet, -1: the end of the terminal. */
int ask_tty_read(struct ask_tty *t);
/* The line; the caller owns the reference. */
struct secret *ask_tty_take(struct ask_tty *t);
/* Gives the terminal back and forgets what was typed. Not open: nothing. */
void ask_tty_close(struct ask_tty *t);

/* All of it: asks and waits. NULL: an error, or the terminal has ended. */
struct secret *ask_tty_line(const char *prompt, struct err *e);

#endif
