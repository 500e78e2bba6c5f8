/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters of tasks and plans: their types, in the notation of Puppet's data types as far as task
 * metadata uses it (https://puppet.com/docs/bolt/latest/writing_tasks.html, task metadata types), and
 * checking values against them. Pure; one thread a value.
 *
 * Types: String[min,max], Integer[min,max], Float[min,max], Numeric, Boolean, Array[T,min,max],
 * Hash[K,V,min,max], Optional[T], Enum[a,b], Pattern[/re/,..], Variant[T,..], Struct[{..}], Tuple[T,..],
 * NotUndef[T], Undef, Any, Data, Scalar, ScalarData, Sensitive[T], TargetSpec, Collection[min,max],
 * Iterable[T], and the aliases of ptype_alias.c (Stdlib::Absolutepath and the like, Timestamp, SemVer). Of
 * Regexp and Default no value can be given. A type of a module's own
 * (Mine::Type) takes any value unchecked, which who asks for the run is to be told. */
#ifndef MUSTER_CORE_PARAMS_H
#define MUSTER_CORE_PARAMS_H

#include "muster/base/vec.h"

#include <stdbool.h>
#include <stddef.h>

struct err;
struct json;
struct ptype;

/* NULL and e (-ERR_VALIDATION: what in it is unknown, and where). */
struct ptype *ptype_parse(const char *text, struct err *e);
void ptype_free(struct ptype *t); /* NULL allowed */
/* What is wrong with a value (NULL is undef), for people: "expects an Integer from 1 to 10, got \"x\"".
 * NULL: it is right. Caller frees. */
char *ptype_fault(const struct ptype *t, const struct json *value);
/* What is asked for, with nothing of a value: "an Integer from 1 to 10". Caller frees. */
char *ptype_expects(const struct ptype *t);
/* Whether undef is a value of it. */
bool ptype_optional(const struct ptype *t);
/* The choices of an Enum, or of a Boolean, also within Optional; false: it has none. Borrowed words are
 * copied into out. */
bool ptype_choices(const struct ptype *t, struct strv *out);
bool ptype_sensitive(const struct ptype *t); /* Sensitive[T], also within Optional */
/* The name of a type in it, or itself, that nothing is checked by; or NULL. Borrowed. */
const char *ptype_unknown(const struct ptype *t);
bool ptype_is_target(const struct ptype *t); /* TargetSpec, also within Optional */
/* What was typed (KEY=VALUE, a field) as a value of the type: words for strings, JSON for arrays, hashes,
 * numbers and booleans; for a Variant whatever fits first. Always a value where the text is UTF-8:
 * ptype_fault() then tells what is wrong with it. Caller frees; NULL is undef. */
struct json *ptype_value(const struct ptype *t, const char *text);

struct param {
    char *name;
    char *type_text; /* as written; "Any" where none is */
    struct ptype *type;
    char *description; /* or NULL */
    struct json *fallback; /* `default`; NULL: none */
    bool sensitive;
    bool required; /* neither optional nor defaulted */
};
struct params {
    struct param *v;
    size_t n;
    bool hide; /* no fault tells a value: it may come from a secret elsewhere */
    bool any; /* there is no metadata: all names and values are taken, as strings */
};
void params_clear(struct params *p);
const struct param *params_find(const struct params *p, const char *name); /* or NULL */

/* One thing that is wrong with what was given. */
struct param_fault {
    char *name; /* the parameter */
    char *text; /* "expects ..", "is required", "there is no such parameter (did you mean ..?)" */
};
struct param_faults {
    struct param_fault *v;
    size_t n;
};
/* Checks all at once; values is an object. `given_later` (or NULL): sensitive ones that will be asked
 * for, and are not missing. */
void params_check(const struct params *p, const struct json *values, const struct strv *given_later,
                  struct param_faults *out);
void param_faults_clear(struct param_faults *f);
/* All of them as one error, -ERR_VALIDATION: one line of text, each fault a line of its details. 0: none. */
int param_faults_err(const struct param_faults *f, const char *what, struct err *e);
/* Puts the defaults of what is not given into values. */
void params_defaults(const struct params *p, struct json *values);
/* "name=nginx version='1.2 3' password=***": for people, in the order given. Caller frees. */
char *params_text(const struct params *p, const struct json *values);

#endif
