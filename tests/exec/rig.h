/* SPDX-License-Identifier: Apache-2.0 */
/* An engine with a sink that grants every claim from a thread of its own, as the store's writer
 * does, and keeps the results by position. */
#ifndef MUSTER_TEST_EXEC_RIG_H
#define MUSTER_TEST_EXEC_RIG_H

#include "muster/base/bqueue.h"
#include "muster/core/event.h"
#include "muster/exec/engine.h"

#include <pthread.h>

struct rig_result {
    unsigned claims, ends, outputs;
    char *out[2]; /* all bytes, NUL-terminated */
    size_t len[2];
    struct event *end; /* without its data */
};

struct rig {
    struct engine *engine;
    struct bqueue *events;
    pthread_t writer;
    pthread_mutex_t answering; /* held while a claim is answered; guards stopped */
    bool stopped;              /* no claim is answered any more: the engine goes */
    pthread_mutex_t lock;      /* guards the rest */
    pthread_cond_t changed;
    size_t n, ended;
    struct rig_result *results;
};

/* n: positions of batch 1. */
void rig_start(struct rig *rig, const struct engine_config *cfg, size_t n);
/* Submits `count` jobs, each with the same command, named "n<position>". */
void rig_submit(struct rig *rig, const char *command, const struct settings *over, size_t count,
                uint64_t max_output, bool live);
/* Waits until `count` have ended; fails the test after `seconds`. */
void rig_wait(struct rig *rig, size_t count, int seconds);
/* Waits until no more than `left` are queued, claimed and running in the engine. */
void rig_wait_left(struct rig *rig, size_t left, int seconds);
/* Waits until position 0 has written this text. */
void rig_wait_output(struct rig *rig, const char *text, int seconds);
void rig_stop(struct rig *rig);

#endif
