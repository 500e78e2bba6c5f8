/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks and plans: where they are found, and running them.
 *
 * They are looked for, the first of a name winning, in: the folders of `task_path` in the configuration
 * (and --task-path before them); ./tasks, ./plans and ./modules when the current folder is a project of
 * muster's own (muster-project.yaml); the project of Bolt (muster/inventory/bolt_project.h), whose tasks are
 * PROJECT::NAME, and its modulepath; $XDG_CONFIG_HOME/muster/{tasks,plans,modules},
 * $XDG_DATA_HOME/muster/.., and the ones that come with muster. A folder of modules has MODULE/tasks,
 * MODULE/plans, MODULE/files; MODULE/tasks/init.* is the task MODULE, another MODULE::NAME.
 * A name with a '/' in it, or of a file that is there, is that file.
 *
 * Main thread. */
#ifndef MUSTER_SERVICE_TASKS_H
#define MUSTER_SERVICE_TASKS_H

#include "muster/base/vec.h"
#include "muster/core/plan.h"
#include "muster/core/task.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct json;
struct secret;
struct service;

/* One of the catalogue, for a list. */
struct action_entry {
    char *name;
    char *description; /* or NULL */
    char *path;
    char *error;       /* why it cannot be used, or NULL */
};
struct action_list {
    struct action_entry *v; /* by name */
    size_t n;
};
/* Reads the folders anew. */
int service_tasks(struct service *s, struct action_list *out, struct err *e);
int service_plans(struct service *s, struct action_list *out, struct err *e);
void action_list_clear(struct action_list *l);
/* The folders that are looked in, in order; for people who wonder. */
void service_task_path(struct service *s, struct strv *out);

/* By name or path. -ERR_VALIDATION: there is none (with near names), or it is broken. */
int service_task(struct service *s, const char *name, struct task *out, struct err *e);
int service_plan(struct service *s, const char *name, struct plan *out, struct err *e);
/* What of its steps is wrong whatever the parameters and the nodes are: tasks and files that are not there,
 * parameters that a task has not, a sensitive one where it would be seen, what a rule denies. 0, or an error
 * with a line of its details for each. */
int service_plan_check(struct service *s, const struct plan *plan, struct err *e);

/* What a batch of the type task or plan runs. Owned: work_request_clear(). */
struct work_request {
    char *name;           /* as typed */
    struct json *params;  /* object: what was given and may be seen; NULL: nothing */
    struct secret *secret; /* the sensitive ones, as the text of a JSON object; NULL: none */
    char *hash;           /* of a rerun: what the task's files were then; NULL: not known */
    struct strv secret_names; /* the names in `secret`; or, of a rerun, those that are to be asked for */
    int on_failure;       /* of a plan: enum plan_on_failure, or -1: as the plan says */
    uint8_t *first_step;  /* of a plan: where each node begins, from 0, in target order; NULL: all at 0 */
    char *targets;        /* of a rerun of a plan: what -w named (folded); NULL: the run's own nodes */
    int64_t results_of;   /* the batch whose results the steps before that have; 0: none */
};
void work_request_init(struct work_request *w);
void work_request_clear(struct work_request *w);
/* Puts KEY=VALUE into it, as the type of the parameter reads it. A sensitive one is refused here
 * (it would be on a command line): it goes by work_set_secret(). 0 or -ERR_VALIDATION. */
int work_set(struct work_request *w, const struct params *p, const char *item, struct err *e);
/* Gives a sensitive one; wipes nothing of the caller's. 0 or -ERR_VALIDATION: too long. */
int work_set_secret(struct work_request *w, const struct params *p, const char *name,
                    const struct secret *value, struct err *e);
/* All members of a JSON object (--params FILE): sensitive ones go where they belong. */
int work_set_json(struct work_request *w, const struct params *p, const struct json *values,
                  struct err *e);
/* Everything that is wrong with what was given. Sensitive ones that were given are checked too. */
void work_check(const struct work_request *w, const struct params *p, struct param_faults *out);
/* The text of the batch: "package action=status name=nginx". Caller frees. */
char *work_text(const struct work_request *w, const struct params *p);

#endif
