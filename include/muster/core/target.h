/* SPDX-License-Identifier: Apache-2.0 */
/* Target expressions: `web[01-20]`, `@group`, `a,b` union, `a!b` difference, `a&b` intersection,
 * `a^b` either but not both, of equal precedence from left to right, no parentheses; `*` and `?`
 * globs, `/regex/` (POSIX extended), `^file` and `-` (standard input; one name or expression a
 * line, # comments) only as a whole comma term; results of earlier batches `@last:failed`,
 * `@42:timeout`, `@42:rc=3`, `@42:class2` (of its results, the largest is 1), `@42` (all its nodes);
 * saved ones `@saved:NAME`; nodes by variables and facts: `dc=fra`, `dc!=fra`, `os=deb*` (a glob),
 * `os~^deb` (a regex, POSIX extended), over all explicit nodes (as -a), so that `@web&os=debian`
 * narrows a group; after & and ! over every node. A variable comes before a fact of its name, which
 * facts.NAME means; what muster has learned comes before an inventory's facts. NAME may go into
 * objects and lists with dots (os.release.major, disks.0.size); an object is compared by its member
 * `name`, a list fits when one of its members does. Letters' case in a value does not count. A node
 * without the variable is neither = nor ~, so it is !=; a name that no node has is an error, and so are
 * other operators (< > == =~ !~) behind a name.
 * A value ends at , ! & or ^ unless it stands in quotes; in a regex also in brackets, and a ^ at its
 * beginning or after | is its own. NAME!=VALUE is no difference; NAME!OTHER is one.
 * Commas inside brackets and regexes do not split.
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
     * "failed", "success", a reason, "rc=N" or "classN". 0 or an error (-ERR_NOT_FOUND, -ERR_VALIDATION).
     * NULL: results are not to be had, and naming them is an error. */
    int (*results)(void *ctx, const char *batch, const char *what, struct nodeset *out,
                   struct err *e);
    /* Gives the expression that is saved under a name (caller frees). 0 or -ERR_NOT_FOUND. NULL: none. */
    int (*saved)(void *ctx, const char *name, char **out, struct err *e);
    /* The facts of a node: borrowed JSON, valid until the next call; NULL: none are known. With a path,
     * those are enough that it can lead through. NULL: only variables are looked at. */
    const struct json *(*facts)(void *ctx, const char *node, const char *path);
    void *ctx;
    bool any_host;     /* names the fleet does not know are taken as they are */
    bool stdin_taken;  /* `-` is an error: something else reads standard input */
};

struct target_set {
    struct nodeset *nodes;   /* direct names in written order, then the groups' members */
    struct strv groups;      /* groups that were named, each once, without '@'; none of those that
                              * & or ^, or ! with a variable, has narrowed */
    struct strv warnings;    /* unknown groups, one sentence each */
    char *why_none;          /* no node is left, and a variable's or fact's value is one that none has */
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
