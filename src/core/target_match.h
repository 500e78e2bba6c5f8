/* SPDX-License-Identifier: Apache-2.0 */
/* Terms of target expressions that choose nodes by a variable or a fact: NAME=GLOB, NAME!=GLOB,
 * NAME~REGEX. */
#ifndef MUSTER_SRC_CORE_TARGET_MATCH_H
#define MUSTER_SRC_CORE_TARGET_MATCH_H

#include <stdbool.h>

struct err;
struct nodeset;
struct target_env;

/* Whether such a term begins here. */
bool var_term_here(const char *s);
/* Where one that begins here ends: at an operator that is not of its value, or at the end. NULL and
 * an error when a quote is not closed, or a regex stands where a glob is meant. */
const char *var_term_end(const char *s, struct err *e);
/* -ERR_VALIDATION where a name is followed by an operator that there is not, as in cpus>1; else 0. */
int var_term_foreign(const char *s, struct err *e);
/* Adds the nodes that a term means, of the explicit ones, or with `everyone` of all. 0 or
 * -ERR_VALIDATION: it is none, a bad regex, or a name that no node has. */
int var_term_eval(const struct target_env *env, const char *text, bool everyone,
                  struct nodeset *set, struct err *e);
/* Of a term that is right: why it fits no node ("no node has role \"x\" (values: db, web)"), or NULL where
 * one fits. Caller frees. */
char *var_term_unmet(const struct target_env *env, const char *text);

#endif
