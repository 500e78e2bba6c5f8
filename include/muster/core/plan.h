/* SPDX-License-Identifier: Apache-2.0 */
/* A plan in Bolt's YAML form: parameters, steps, return. Pure.
 * https://puppet.com/docs/bolt/latest/writing_yaml_plans.html
 *
 * Strings follow Bolt: a plain scalar that begins with $ is a reference, "double quotes" fill in $name
 * and ${name['key']} (\$ is a $), 'single quotes' are literal, a | block is code and refused. Plain text
 * that begins otherwise is literal with Bolt; here what it names of the plan's is filled in, and all
 * other $NAME stay for the shell of the node.
 * References are $parameter, $step (its result: the object that a task printed, or {stdout, stderr,
 * exit_code}) and ['key'] or [0] behind them; nothing else is an expression here. In a command, what
 * comes from a step's result is quoted as one word, for it was said by a node, and refused where that
 * would not hold (in quotes, `..`, a comment, behind <<); parameters go as they are. What a node said
 * chooses no targets, no task, and no file of this machine. */
#ifndef MUSTER_CORE_PLAN_H
#define MUSTER_CORE_PLAN_H

#include "muster/core/params.h"

struct err;
struct json;
struct yaml_node;

/* STEP(ID, key in the plan, what it does, runs on the nodes) */
#define PLAN_STEP_TABLE(STEP)                                                                  \
    STEP(COMMAND, "command", "a shell line", true)                                             \
    STEP(SCRIPT, "script", "a script of this machine, with arguments", true)                   \
    STEP(TASK, "task", "a task with parameters", true)                                         \
    STEP(UPLOAD, "upload", "a file or folder to destination", true)                            \
    STEP(DOWNLOAD, "download", "a file or folder of each node to destination", true)           \
    STEP(MESSAGE, "message", "a line in the step's output", false)                             \
    STEP(EVAL, "eval", "a value under a name", false)
enum plan_step_kind {
#define STEP(id, name, help, on_nodes) PLAN_STEP_##id,
    PLAN_STEP_TABLE(STEP)
#undef STEP
        PLAN_STEP_COUNT
};
const char *plan_step_kind_name(enum plan_step_kind k);
bool plan_step_on_nodes(enum plan_step_kind k);

/* What stands where a value is wanted: text with references, a list or an object of such. */
struct plan_value;

struct plan_step {
    enum plan_step_kind kind;
    char *name;               /* as given, or NULL */
    char *title;              /* for people: description, name, or what it runs; at most 60 columns */
    struct plan_value *what;  /* the line, the task's name, the file, the message, the value */
    struct plan_value *targets; /* NULL: those of the plan */
    struct plan_value *destination; /* UPLOAD, DOWNLOAD */
    struct plan_value *parameters;  /* TASK: an object, or NULL */
    struct plan_value *arguments;   /* SCRIPT: a list, or NULL */
    struct plan_value *env;   /* COMMAND, SCRIPT: env_vars, an object, or NULL */
    bool catch_errors;        /* the node goes on when it fails */
    char *run_as;             /* run_as or _run_as, or NULL */
    unsigned line;            /* in its file */
};
enum plan_on_failure { PLAN_CONTINUE, PLAN_STOP }; /* other nodes go on (the default); or the batch stops */
struct plan {
    char *name;
    char *description; /* or NULL */
    struct params params;
    struct plan_step *steps;
    size_t n_steps;        /* 1 to PLAN_STEPS_MAX */
    struct plan_value *ret; /* `return`, or NULL */
    enum plan_on_failure on_failure;
    bool is_private;
    char *path;
};
#define PLAN_STEPS_MAX 200 /* LIMIT */

/* *out is cleared on an error: -ERR_VALIDATION: all that is wrong, each with file and line; what Bolt has
 * and this has not (resources, code, apply, functions) by its name. */
int plan_parse(const char *name, const char *path, const char *text, size_t n, struct plan *out,
               struct err *e);
void plan_clear(struct plan *p);
/* The parameter that the targets of the run fill besides `targets`: Bolt's older `nodes`, where there is no
 * parameter `targets`. NULL: none. */
const char *plan_older_targets(const struct params *p);

/* The values that references mean. `targets` stands among the parameters in any plan. */
struct plan_scope {
    const struct json *params;
    const struct json *results; /* of steps: what nodes said */
    bool quote_results;         /* for a command line */
};
/* 0, or -ERR_VALIDATION: a result or key that is not there, or more than 4 MiB in all. *out NULL is undef;
 * caller frees. */
int plan_value_json(const struct plan_value *v, const struct plan_scope *scope, struct json **out,
                    struct err *e);
/* NULL and e. undef is "", what is no text is compact JSON, targets are names with commas. Caller frees. */
char *plan_value_text(const struct plan_value *v, const struct plan_scope *scope, struct err *e);
/* A text before anything has run: parameters are filled in, a step's result stays "$name". Caller frees. */
char *plan_value_template(const struct plan_value *v, const struct plan_scope *scope);
/* The same for each item of a list. */
void plan_value_template_items(const struct plan_value *v, const struct plan_scope *scope,
                               struct strv *out);
/* As it stands in the plan, for people: references are $name['key'], lists [..], mappings {..}. Caller
 * frees. */
char *plan_value_shown(const struct plan_value *v);
/* Whether it is a mapping as it stands, and no reference to one. */
bool plan_value_is_map(const struct plan_value *v);
/* Whether it refers to nothing. NULL: true */
bool plan_value_fixed(const struct plan_value *v);
/* Of a mapping the members that no step's result has a part in (without parameters: that refer to
 * nothing); the names of the others go to later. NULL and e. Caller frees. */
struct json *plan_value_known(const struct plan_value *v, const struct plan_scope *scope,
                              struct strv *later, struct err *e);
/* Whether it refers to a step's result, so that it differs from node to node. */
bool plan_value_by_node(const struct plan_value *v); /* NULL: false */
/* Whether it refers to this parameter or step. NULL: false */
bool plan_value_names(const struct plan_value *v, const char *name);

#endif
