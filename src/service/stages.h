/* SPDX-License-Identifier: Apache-2.0 */
/* The stages of this process's batches: told of every committed end, it decides when the next stage
 * begins and when a batch stops. */
#ifndef MUSTER_SRC_STAGES_H
#define MUSTER_SRC_STAGES_H

#include "stage_plan.h"

#include <stdbool.h>
#include <stdint.h>

struct event;
struct service;
struct stages;
struct strv;

struct stages *stages_new(struct service *s);
/* No decision is made any more; joins its thread, and ends a probe. Before the engine goes. */
void stages_stop(struct stages *g);
void stages_free(struct stages *g); /* stops it too; NULL allowed */

/* Before the batch is submitted. Copies everything. */
void stages_add(struct stages *g, int64_t number, const struct stage_request *q,
                const struct stage_plan *p, const struct strv *nodes);
/* The writer's thread. */
void stages_finished(struct stages *g, const struct event *ev);
/* It was cancelled: no decision is left. Any thread. */
void stages_cancelled(struct stages *g, int64_t number);
/* Whether somebody is there for a canary's question. */
void stages_can_ask(struct stages *g, bool can);

#endif
