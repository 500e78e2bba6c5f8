/* SPDX-License-Identifier: Apache-2.0 */
/* Plans: made ready on the main thread (plan_run.c, plan_step.c), led from step to step on each node
 * (plans.c), and taken up again where they failed (rerun_plan.c). */
#ifndef MUSTER_SRC_SERVICE_PLANS_H
#define MUSTER_SRC_SERVICE_PLANS_H

#include "copy.h"
#include "work.h"

#include "muster/base/strbuf.h"
#include "muster/core/settings.h"
#include "muster/exec/engine.h"

struct batch;
struct batch_request;
struct batch_review;
struct config_rules;
struct err;
struct event;
struct json;
struct nodeset;
struct plan_batch;
struct plans;
struct reader;
struct service;
struct stage_plan;

/* LIMIT: for steps that refer to it, of each stream, and of a value of `eval` (json_weight()); */
#define PLAN_RESULT_MAX ((size_t) 64 << 10)
/* LIMIT: and of all such values that a node has at one time. */
#define PLAN_NODE_VALUES_MAX ((size_t) 4 << 20)

/* --- a plan that is ready (plan_run.c) --- */

/* A step, with what does not differ from node to node. */
struct plan_part {
    const struct plan_step *step; /* of plan_run.plan */
    bool *on;         /* the nodes that it is for, in order */
    bool by_node;     /* what it runs depends on results */
    bool keep;        /* a later step refers to its result */
    char *command;    /* NULL: of a command line that depends on results, or nothing runs */
    struct strv env;  /* env_vars; empty when they depend on results */
    int stdin_fd;     /* 0: none */
    struct copy_request copy;
    struct copy_files *files;
    struct task_run task; /* of a task, and of a script, which goes the same way */
};
struct plan_run {
    struct plan plan;
    char hash[65];       /* of its file */
    struct json *values; /* of parameters, the sensitive ones too */
    struct strv secret_names;
    struct strv nodes;
    char *targets;       /* what $targets is, folded; NULL: given as a parameter, or nothing */
    uint8_t *first;      /* the step that each node begins at; NULL: all with the first */
    struct json **known; /* of each node what steps before that gave; NULL: nothing */
    struct plan_part *parts;
    bool has_results;    /* something refers to one */
    const struct config_rules *deny, *confirm; /* the configuration's */
};
/* Finds, parses and checks it all: parameters, targets of each step, what steps run, rules. Puts the
 * nodes, warnings and whether a rule asks into v, whose nodes are the batch's targets ($targets). */
int plan_run_make(struct service *s, const struct batch_request *r, struct batch_review *v,
                  struct plan_run **out, struct err *e);
/* What the nodes are sent. -ERR_VALIDATION. */
int plan_run_build(struct service *s, struct plan_run *p, struct err *e);
void plan_run_free(struct plan_run *p); /* NULL allowed */
/* Parts of that, also for service_plan_check(): a file as typed, or MODULE/FILE of a module's files; */
char *plan_file(struct service *s, const char *typed);
/* what of a task's parameters can be told before there is any result (p->values NULL: or parameter); */
int plan_check_known(const struct plan_run *p, const struct plan_part *part, struct err *e);
/* whether a sensitive parameter is where it would be seen; */
int plan_check_secrets(const struct plan_run *p, const struct plan_step *st, struct err *e);
int plan_check_return(const struct plan_run *p, struct err *e);
int plan_refuse_remote(const char *name, struct err *e);
int plan_no_script(const char *typed, struct err *e);
/* and all faults, a line each, as one error. */
struct plan_run_faults {
    struct strbuf b;
    size_t n;
    int code; /* of the first */
};
void plan_run_fault(struct plan_run_faults *f, const struct plan_run *p, size_t step, struct err *why);
int plan_run_faults_err(struct plan_run_faults *f, const struct plan_run *p, struct err *e);
/* A fault for each step that it refers to and that does not run on all of its nodes; step plan.n_steps is
 * `return`. */
void plan_check_reach(const struct plan_run *p, size_t step, struct plan_run_faults *f);
/* As a task of one file that reads nothing; into an empty one. */
void plan_script_task(const char *typed, const char *path, struct task *out);

/* What they run (plan_ready.c): all faults at once. *asks becomes true when a `confirm` rule matches. */
int plan_ready_all(struct service *s, struct plan_run *p, bool *asks, struct err *e);

/* --- the rules (plan_rules.c) --- */

/* What runs is subject to them: a line with results as their names yet, or a script with its arguments, or
 * the files of a task. *asks becomes true when a `confirm` rule matches. 0, or -ERR_FORBIDDEN. */
int plan_rules_before(const struct plan_run *p, const struct plan_part *part, bool *asks, struct err *e);
/* The same with results in it (NULL: there are none); a `confirm` rule that did not match before forbids
 * it. Also -ERR_VALIDATION. Any thread. */
int plan_rules_now(const struct plan_run *p, const struct plan_part *part, const struct json *results,
                   struct err *e);
/* The titles of its steps; borrowed strings, the list is the caller's. */
const char **plan_run_titles(const struct plan_run *p);
/* The next step of a node from this one on (from 0); plan.n_steps: none. */
size_t plan_run_next(const struct plan_run *p, size_t node, size_t from);
/* The one that it begins with. */
size_t plan_run_first(const struct plan_run *p, size_t node);
/* "step 2 (install)", or "return" behind the last; caller frees. */
char *plan_run_step(const struct plan_run *p, size_t step);

/* --- one step of one node (plan_step.c); any thread --- */

/* What a step runs: strings and references of its own, or borrowed from the part. */
struct plan_line {
    char *command;
    struct strv env;
    struct secret *input; /* a reference, or NULL */
    int64_t retry_for_ms; /* of a task that waits; else 0 */
};
/* 0, or -ERR_VALIDATION: a result that is not there, or does not fit. */
int plan_line_make(const struct plan_run *p, size_t step, const struct json *results,
                   struct plan_line *out, struct err *e);
void plan_line_clear(struct plan_line *l);
bool plan_part_is_local(const struct plan_part *p); /* runs on no node: message, eval */
/* All that is wrong with a task's parameters, in one text. 0: nothing is. */
int plan_params_err(const struct param_faults *f, const char *task, struct err *e);
/* The text that it puts out; *value (or NULL) is what is kept under its name. NULL and e: also where the
 * value, or all of the node's, are larger than is kept. */
char *plan_step_text(const struct plan_run *p, size_t step, const struct json *results,
                     struct json **value, struct err *e);
/* What a step that ran gives those after it. */
struct json *plan_step_result(const struct plan_part *p, const char *const data[2],
                              const size_t len[2], int exit_code);

/* --- taken up again (rerun_plan.c) --- */

/* For the request of a rerun: where each node goes on, into w. -ERR_VALIDATION: the plan is another. */
int rerun_plan_steps(struct service *s, struct reader *r, const struct batch *b,
                     const struct nodeset *nodes, struct work_request *w, struct err *e);
/* What the steps before gave, from the store. */
int rerun_plan_results(struct service *s, struct plan_run *p, const struct work_request *w,
                       struct err *e);

/* --- running them (plans.c) --- */

struct plans *plans_new(struct service *s);
void plans_free(struct plans *g); /* NULL allowed */
/* Takes the run over and submits it. The main thread; room for all nodes was reserved. */
void plans_start(struct plans *g, int64_t number, struct plan_run *run,
                 const struct batch_request *r, const struct stage_plan *stages,
                 const unsigned *keys, unsigned fanout);
/* Before the writer: says what of a plan an event is about. As event_sink.emit. */
bool plans_emit(struct plans *g, struct event *ev);
/* The writer's thread. claimed: false, it is none of a plan. */
bool plans_claimed(struct plans *g, int64_t batch, uint32_t position, bool granted);
void plans_finished(struct plans *g, const struct event *ev);
/* After engine_cancel, or engine_abort of all. Any thread. */
void plans_cancelled(struct plans *g, int64_t batch);
void plans_left(struct plans *g);

#endif
