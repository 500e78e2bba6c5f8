/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks on their way to the nodes: where they lie, what of them goes to which node, and what they read
 * there. */
#ifndef MUSTER_SRC_SERVICE_WORK_H
#define MUSTER_SRC_SERVICE_WORK_H

#include "muster/service/tasks.h"

#include <stdint.h>

struct copy_list;
struct err;
struct json;
struct secret;
struct service;
struct strbuf;

/* --- where they lie (task_dirs.c) --- */

struct action_dirs {
    struct strv tasks;   /* folders of tasks, without a module */
    struct strv plans;
    struct strv plain;   /* folders given by the user, which may hold other files too */
    struct strv modules; /* folders of modules */
    char *project;       /* the project of Bolt that this is, or NULL: a module in itself, .. */
    char *project_name;  /* .. of this name; NULL: it has none, and its tasks are in `tasks` */
};
void action_dirs(struct service *s, struct action_dirs *out);
void action_dirs_clear(struct action_dirs *d);

/* A task or plan that was found and is not read yet. */
struct action_found {
    char *name, *dir, *base;
    char *meta;          /* the .json of a task; the file of a plan; or NULL */
    struct strv scripts; /* names in dir */
    char *module;        /* the module's folder, or NULL */
};
struct action_founds {
    struct action_found *v;
    size_t n, cap;
};
/* All of them; the first of a name. */
void action_find(struct service *s, bool plans, struct action_founds *out);
/* The file at path, with what belongs to it. False: there is no such file. */
bool action_find_file(const char *path, bool plan, struct action_found *out);
/* By name or path. -ERR_VALIDATION: there is none, with near names. Clear out in any case. */
int action_lookup(struct service *s, bool plan, const char *name, struct action_found *out,
                  struct err *e);
void action_list_sort(struct action_list *l);
void action_found_clear(struct action_found *f);
void action_founds_clear(struct action_founds *l);
/* "MODULE/files/x" of a task, as a path here; NULL: it is nowhere. Caller frees. */
char *task_file_path(struct service *s, const struct task *t, const char *name);

/* --- what was given (work.c) --- */

/* LIMIT: of all parameters of a task as JSON: they travel in the environment, too. */
#define WORK_PARAMS_MAX ((size_t) 64 << 10)
/* Everything that was given, secrets too: wipe with work_wipe(). Never NULL. */
struct json *work_values(const struct work_request *w);
/* Frees it; no string of it stays in memory. NULL allowed. */
void work_wipe(struct json *values);
/* A name of secret_names that `secret` has no value for, or NULL. */
const char *work_unasked(const struct work_request *w);
/* For the store: no secret; hash: of the files of a task, or NULL. Caller frees. */
struct json *work_encode(const struct work_request *w, const char *hash);
/* Into an initialised one. False: it is none. */
bool work_decode(const struct json *o, struct work_request *w);

/* --- a task on nodes (task_run.c) --- */

struct task_run {
    struct task task;
    size_t *impl;      /* of each node, in order: of task.impls */
    size_t n;
    char hash[65];     /* of its files */
    /* Made by task_run_build(). */
    char *command;
    int stdin_fd;      /* 0: none */
    struct secret *input;
    char **env;        /* for each of task.impls: what a node of it gets (engine_job.env); NULL: nothing */
};
/* Finds it and checks what was given: -ERR_VALIDATION, all faults. */
int task_run_find(struct service *s, const struct work_request *w, struct task_run *out,
                  struct err *e);
/* Whether the files that go with a task are there: those of the task itself; also those of the implementation
 * that a node takes which has only a shell; or those of all.
 * -ERR_VALIDATION: names all that are not. */
enum task_files { TASK_FILES_OWN, TASK_FILES_SHELL, TASK_FILES_ALL };
int task_files_check(struct service *s, const struct task *t, enum task_files which, struct err *e);
/* An implementation for each node. -ERR_VALIDATION: names the nodes that have none. */
int task_run_pick(struct service *s, struct task_run *r, const struct strv *nodes, struct err *e);
/* What the nodes are sent. */
int task_run_build(struct service *s, struct task_run *r, const struct work_request *w,
                   struct err *e);
/* How long it is begun again where it asks for that (struct task, retry_for); else 0. */
int64_t task_retry_ms(const struct task *t, const struct json *values); /* with its defaults */
int64_t task_run_retry_ms(const struct task_run *r, const struct work_request *w);
const char *task_run_env(const struct task_run *r, size_t node); /* or NULL */
void task_run_clear(struct task_run *r);
/* Of a file, in hex. -ERR_VALIDATION: it cannot be read. */
int work_file_hash(const char *path, char hex[65], struct err *e);
/* 0, or -ERR_VALIDATION where there are lines in faults, which it frees: "what: the first of them". */
int work_faults(struct strbuf *faults, const char *what, struct err *e);

/* --- what runs there (task_script.c) --- */

/* Of one implementation: how it is run ("e" environment, "s" standard input), by what, where it lies in
 * the folder. Caller frees. */
char *task_script_way(enum task_input input, const char *interpreter, const char *file);
/* way NULL: each node has its own in the environment (TASK_WAY=..). size: bytes of the one file that is
 * sent; 0: an archive. Caller frees. */
char *task_script(const char *way, uint64_t size, bool installdir);
#define TASK_WAY "MUSTER_TASK"
/* The two lines that it reads first. values has all, `_task` too. -ERR_VALIDATION: too long, a NUL. */
int task_script_input(struct json *values, struct secret **out, struct err *e);

#endif
