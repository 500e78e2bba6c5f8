/* SPDX-License-Identifier: Apache-2.0 */
/* The stages of a batch on the command line: the question after the canary, under its folded outcome,
 * and what stopped the batch. */
#ifndef MUSTER_SRC_CLI_CANARY_H
#define MUSTER_SRC_CLI_CANARY_H

#include "ask_tty.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

struct reader;
struct service;
struct strbuf;

struct canary {
    struct service *service;
    int64_t number;
    bool quiet;
    void (*clear)(void *ctx); /* makes room on the terminal */
    void *ctx;

    struct ask_tty tty; /* while it is asked */
    bool asked;
    bool told_background, told_stop;
};
/* Asks, once the canary has ended, and takes a question off that nobody wants answered any more; tells
 * once why the batch has stopped. */
void canary_check(struct canary *c, struct reader *r);
void canary_fds(const struct canary *c, struct pollfd fds[2]);
void canary_read(struct canary *c);
/* Takes the question off the terminal; it stays without an answer. */
void canary_end(struct canary *c);
/* "wave 2/3  paused", to be added to the live line. */
void canary_line(const struct canary *c, bool paused, struct strbuf *b);

#endif
