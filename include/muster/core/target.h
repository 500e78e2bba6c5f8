/* SPDX-License-Identifier: Apache-2.0 */
/* Target expressions: `web[01-20]`, `@group`, `a,b` union, `a!b` difference, `a&b` intersection,
 * `a^b` either but not both, of equal precedence from left to right, no parentheses; `*` and `?`
 * globs, `/regex/` (POSIX extended), `^file` and `-` (standard input; one name or expression a
 * line, # comments) only as a whole comma term; results of earlier batches `@last:failed`,
 * `@42:timeout`, `@42:rc=3`, `@42:class2` (of its results, the largest is 1), `@42` (all its nodes);
 * saved ones `@saved:NAME`; nodes by variables and facts: `dc=fra`, `dc!=fra`, `os=deb*` (a glob),
 * `os~^deb` (a regex), over all explicit nodes (as -a), so that `@web&os=debian` narrows a group.
 * A fact may be named facts.NAME where a variable has the same name; NAME may go into objects with
 * dots (os.release.major), and an object is compared by its member `name`. Letters' case in a value
 * does not count. Where one of these stands, "!" followed by "=" is no difference. Commas inside brackets and regexes do not split.
 * Evaluated against a fleet; results come through a callback, so this stays pure but for reading
 * `^file` and `-`. */
#ifndef MUSTER_CORE_TARGET_H
#define MUSTER_CORE_TARGET_H

#include "muster/base/vec.h"

#include <stdbool.h>
#include <stddef.h>

struct err;
struct json;
struct fleet;
struct nodeset;

struct target_env {
    const struct fleet *fleet; /* must outlive the call */
    /* Adds the nodes of an earlier batch: batch is "last", a number or an id; what is NULL (all),
     * "failed", "success", a reason, or "rc=N". 0 or an error (-ERR_NOT_FOUND, -ERR_VALIDATION).
     * NULL: results are not to be had, and naming them is an error. */
    int (*results)(void *ctx, const char *batch, const char *what, struct nodeset *out,
                   struct err *e);
    /* Gives the expression that is saved under a name (caller frees). 0 or -ERR_NOT_FOUND. NULL: none. */
    int (*saved)(void *ctx, const char *name, char **out, struct err *e);
    /* The facts of a node: borrowed JSON, valid during target_eval(); NULL: none are known. NULL: only
     * variables are looked at. */
    const struct json *(*facts)(void *ctx, const char *node);
    void *ctx;
    bool any_host;     /* names the fleet does not know are taken as they are */
    bool stdin_taken;  /* `-` is an error: something else reads standard input */
};

struct target_set {
    struct nodeset *nodes;   /* direct names in written order, then the groups' members */
    struct strv groups;      /* groups that were named, each once, without '@' */
    struct strv warnings;    /* unknown groups, one sentence each */
    bool used_stdin;
};

/* Evaluates. 0, or -ERR_VALIDATION (syntax, a bad regex, an unreadable file: the text names the
 * place), -ERR_INVALID_NODES (details: every unknown name, one a line; the text names --any-host),
 * or what results() returned. An unknown group is a warning, but -ERR_VALIDATION when no target is
 * left because of it. No target left for another reason is not an error here. *out was initialised
 * or cleared before; on an error it is left cleared. */
int target_eval(const struct target_env *env, const char *expr, struct target_set *out,
                struct err *e);
/* All nodes of explicit inventories (`-a`). */
void target_all(const struct target_env *env, struct target_set *out);
void target_set_init(struct target_set *t);
void target_set_clear(struct target_set *t);

/* A glob with * and ? over a whole name. */
bool target_glob(const char *pattern, const char *name);

#endif
