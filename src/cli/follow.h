/* SPDX-License-Identifier: Apache-2.0 */
/* Following a batch to its end: printing results as they are committed, a live line on a terminal,
 * and signals. The same loop serves a batch of this process and one of another. */
#ifndef MUSTER_SRC_CLI_FOLLOW_H
#define MUSTER_SRC_CLI_FOLLOW_H

#include "canary.h"
#include "cli.h"
#include "print.h"
#include "questions.h"

struct batch_created;
struct live;

enum follow_format { FOLLOW_HUMAN, FOLLOW_JSON, FOLLOW_JSONL, FOLLOW_CSV };

struct follow {
    struct cli *cli;
    struct service *service;
    int64_t number;
    bool own; /* the batch runs in this process */
    enum follow_format format;
    const struct batch_created *created; /* for the JSON document; or NULL */

    /* --- the loop's own --- */
    struct reader *reader;
    struct printer printer;
    struct live *live; /* -L */
    struct batch batch;
    bool have_batch;
    int64_t seq; /* the last end that was printed */
    int signal_fd;
    int interrupts;
    bool trouble;    /* the store fails, and that was said */
    int64_t stuck_ms; /* when something still ran */
    bool left;       /* Ctrl-C twice: only _exit() follows */
    struct questions questions;
    struct canary canary;
    bool held;       /* what is new was not printed, as a question stood on the terminal */
    bool line_shown; /* the live line stands on the terminal */
    int64_t shown_ms;
};

/* Blocks the signals that the loop reads; call it before anything is started. */
void follow_block_signals(void);
/* Returns the exit status, or -code. */
int follow_run(struct follow *f, struct err *e);
enum follow_format follow_format_of(const struct cli *c);

#endif
