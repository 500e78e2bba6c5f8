/* SPDX-License-Identifier: Apache-2.0 */
/* The service's questions (a passphrase, a one-time code), one after the other on the terminal. */
#ifndef MUSTER_SRC_CLI_QUESTIONS_H
#define MUSTER_SRC_CLI_QUESTIONS_H

#include "ask_tty.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

struct service;

struct questions {
    struct service *service;
    bool all_signals;        /* as ask_tty_open() has it */
    void (*clear)(void *ctx); /* makes room on the terminal for a question; or NULL */
    void *ctx;

    struct ask_tty tty;   /* while one is shown */
    uint64_t asked;       /* its id; 0: none is */
    bool told_background; /* that one waits, and another job has the terminal */
};
/* There is a terminal that they can be asked on. */
bool questions_possible(void);
/* Shows the one that waits, and no longer one that nobody wants answered any more. */
void questions_check(struct questions *q);
/* Two to poll, which may say that questions_read() has something to do. */
void questions_fds(const struct questions *q, struct pollfd fds[2]);
void questions_read(struct questions *q);
/* Takes the one that is shown off the terminal, and it still waits: for who cancels what asks. */
void questions_hide(struct questions *q);
/* The same with an answer; NULL: declined. */
void questions_end(struct questions *q, struct secret *answer);

#endif
