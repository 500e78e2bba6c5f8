/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks and plans on the command line: from flags, words, files and prompts to a request. */
#ifndef MUSTER_SRC_CLI_WORK_H
#define MUSTER_SRC_CLI_WORK_H

#include "cli.h"

#include "muster/service/service.h"
#include "muster/service/tasks.h"

struct work {
    bool is_plan;
    struct task task; /* or */
    struct plan plan;
    const struct params *params; /* of one of them */
    struct work_request own;
    struct work_request *request; /* own, or a rerun's */
    struct strv ask;  /* sensitive ones that are asked for */
    char *text;       /* of the batch */
};

/* Finds the task or plan. again: the request of a rerun, which is filled in further; or NULL. */
int work_open(struct work *w, struct service *s, bool is_plan, const char *name,
              struct work_request *again, struct err *e);
/* Takes --params, the object (or NULL), the words KEY=VALUE and what is to be asked for, and checks all of
 * that at once. */
int work_fill(struct work *w, struct cli *c, const struct json *values, const struct strv *words,
              struct err *e);
/* What the run is of, into r. */
void work_use(struct work *w, struct batch_request *r);
/* Asks on the terminal for what is to be asked for. */
int work_ask(struct work *w, struct err *e);
void work_clear(struct work *w);

/* Of a step what it runs, as the plan has it, on one line, cut. Caller frees. */
char *work_step_runs(const struct plan_step *t);
/* The same as a line of its own, where the step's title does not say it already. */
void work_print_runs(const struct plan_step *t, int indent);
/* The features that a node must have for an implementation, or "". Caller frees. */
char *work_impl_needs(const struct task_impl *m);

const char *work_kind(const struct work *w); /* "task" or "plan" */

/* What a dry run says of it: lines, or members. */
void work_describe(const struct work *w);
void work_describe_json(const struct work *w, struct json *o);

#endif
