/* SPDX-License-Identifier: Apache-2.0 */
/* A task in Bolt's format, as its metadata and its files say. Pure: the service finds them on the disk
 * (service/tasks.h). https://puppet.com/docs/bolt/latest/writing_tasks.html */
#ifndef MUSTER_CORE_TASK_H
#define MUSTER_CORE_TASK_H

#include "muster/core/params.h"

struct err;
struct json;

/* INPUT(ID, name in metadata) */
#define TASK_INPUT_TABLE(INPUT)                                                                \
    INPUT(BOTH, "both")                                                                        \
    INPUT(STDIN, "stdin")                                                                      \
    INPUT(ENVIRONMENT, "environment")
enum task_input {
#define INPUT(id, name) TASK_INPUT_##id,
    TASK_INPUT_TABLE(INPUT)
#undef INPUT
        TASK_INPUT_COUNT
};
const char *task_input_name(enum task_input i);

struct task_impl {
    char *name;               /* the file's, "package_apt.sh" */
    char *path;               /* where it lies; filled in by who finds it */
    struct strv requirements; /* features a node must have: "shell", "puppet-agent" */
    struct strv files;        /* its own: "MODULE/files/x", a folder ends in '/' */
    int input;                /* enum task_input, or -1: the task's */
};
struct task {
    char *name;        /* "package", "apache2::install" */
    char *description; /* or NULL */
    enum task_input input;
    struct params params;
    struct task_impl *impls; /* in the order they are tried */
    size_t n_impls;
    struct strv files;
    struct strv unknown; /* keys of the metadata that are not known here */
    bool supports_noop, is_private, remote;
    /* "muster": {"retry_for": PARAMETER}, of a task that waits and may run twice: for so many seconds it
     * is begun again where a node cannot be reached or it ends with 75 (engine_batch.retry_for_ms).
     * NULL: once. */
    char *retry_for;
    char *path;     /* of the metadata, or of the script when there is none; NULL: not from a disk */
    char *dir;      /* the module's folder, in whose parent `files` are looked for; NULL: a plain folder */
};
/* Fills all but name, path, dir and the impls' paths from metadata (n bytes of JSON). Where it names no
 * implementations n_impls is 0. *out is cleared on an error: -ERR_VALIDATION, all that is wrong. */
int task_parse(const char *text, size_t n, struct task *out, struct err *e);
void task_clear(struct task *t);

/* What a task printed, when that is JSON as Bolt understands it: an object. */
struct task_output {
    char *text;  /* `_output`, or NULL */
    char *error; /* `_error`: its msg, with its kind; or NULL */
    char *rest;  /* the other members, a line each ("name: value"), or NULL */
};
/* False (and all NULL): it is no JSON object. raw, not sanitised. */
bool task_output_parse(const char *p, size_t n, struct task_output *out);
void task_output_clear(struct task_output *o);
/* The same as one text to show instead of the bytes, or NULL. Caller frees. */
char *task_output_text(const char *p, size_t n);
#define TASK_OUTPUT_MAX ((size_t) 1 << 20) /* LIMIT: more is not read as JSON */

#endif
