/* SPDX-License-Identifier: Apache-2.0 */
/* What a request says of stages, read and checked: after how many nodes each one ends, what stops the
 * batch, and which nodes take turns. Pure. */
#ifndef MUSTER_SRC_STAGE_PLAN_H
#define MUSTER_SRC_STAGE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct batch_request;
struct err;
struct fleet;
struct stage_request;
struct strv;

#define STAGES_MAX 200

struct stage_plan {
    unsigned limits[STAGES_MAX]; /* nodes in all when a stage is over; the last is every node */
    unsigned n;                  /* stages, at least one */
    unsigned canary;             /* nodes of the first stage, 0: it is no canary */
    int64_t max_fail;            /* more failures stop the batch; -1: none do */
    unsigned per_key;            /* of --serial-by, 0: not asked for */
};

/* 0, or -ERR_VALIDATION with all that is wrong. `nodes` is what the batch runs on, in order. */
int stage_plan_make(const struct stage_request *q, const struct strv *nodes, const struct fleet *f,
                    struct stage_plan *out, struct err *e);
/* The key of each node for engine_job.key; NULL where --serial-by is not asked for. Caller frees. */
unsigned *stage_plan_keys(const struct stage_request *q, const struct strv *nodes,
                          const struct fleet *f);
/* "in waves of 1, 20, 200; stops at more than 2 failures", or NULL. Caller frees. */
char *stage_plan_text(const struct stage_request *q, const struct stage_plan *p);

#endif
