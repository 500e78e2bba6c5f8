/* SPDX-License-Identifier: Apache-2.0 */
/* What tasks answer: looks at their stdout on its way to the store, for `_error` makes a failure of an
 * end that looked well, and what the task `facts` says is kept of its node. */
#ifndef MUSTER_SRC_ANSWERS_H
#define MUSTER_SRC_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct answers;
struct event;
struct task;

struct answers *answers_new(void);
void answers_free(struct answers *a); /* NULL allowed */
/* Before the task is submitted under this number (of the engine: with the step of a plan in it). Main
 * thread. */
void answers_add(struct answers *a, int64_t number, const struct task *t);
/* Any thread; an event's node has no other one meanwhile. Takes what stdout brings, and changes a FINISH.
 * Returns what to give to answers_undo() when the event was refused. */
size_t answers_take(struct answers *a, struct event *ev);
void answers_undo(struct answers *a, const struct event *ev, size_t taken);

#endif
