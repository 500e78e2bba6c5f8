/* SPDX-License-Identifier: Apache-2.0 */
/* What a parsed type is made of, for the files that read, check and describe it. */
#ifndef MUSTER_SRC_CORE_PTYPE_H
#define MUSTER_SRC_CORE_PTYPE_H

#include "muster/base/vec.h"

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct json;
struct param;
struct ptype;

enum ptype_kind {
    PT_ANY,
    PT_DATA,
    PT_SCALAR,
    PT_UNDEF,
    PT_STRING,
    PT_INTEGER,
    PT_FLOAT,
    PT_NUMERIC,
    PT_BOOLEAN,
    PT_ARRAY,
    PT_HASH,
    PT_OPTIONAL,
    PT_ENUM,
    PT_PATTERN,
    PT_VARIANT,
    PT_STRUCT,
    PT_TUPLE,
    PT_NOTUNDEF,
    PT_SENSITIVE,
    PT_TARGETS,
    PT_COLLECTION, /* an Array or a Hash */
    PT_ITERABLE,
    PT_ADDRESS,
    PT_UNKNOWN, /* of a module's own, which would have to be read: words has its name */
    PT_NEVER /* of values that neither JSON nor text can be */
};

struct ptype {
    enum ptype_kind kind;
    struct ptype **args; /* of what it holds; of a STRUCT one for each word */
    size_t n_args;
    struct strv words;   /* of an ENUM; keys of a STRUCT; a PATTERN's as written */
    regex_t *regex;      /* of a PATTERN, one for each word */
    size_t n_regex;
    bool *key_optional;  /* of a STRUCT: Optional['key'] */
    bool any_case;       /* ENUM[.., true] */
    bool has_min, has_max;
    int64_t min, max;    /* of a value, or of a length */
    double fmin, fmax;   /* of a FLOAT */
    int truth;           /* BOOLEAN[true], [false]; -1: both */
    unsigned address;    /* of an ADDRESS: PTYPE_V4 .. */
    const char *says;    /* what it is, for people, where that is not told by its parts; or NULL */
};

enum { PTYPE_V4 = 1, PTYPE_V6 = 2, PTYPE_PLAIN = 4, PTYPE_PREFIX = 8 };

/* A type by a name of its own. */
struct ptype_alias {
    const char *name;
    const char *text; /* what it stands for; NULL: an ADDRESS */
    const char *says;
    unsigned address;
};
const struct ptype_alias *ptype_alias(const char *name); /* or NULL */
const char *ptype_alias_at(size_t i);                    /* NULL after the last */
bool ptype_is_address(unsigned kinds, const char *text);

/* A regular expression of Ruby's as one of POSIX; what cannot be said in it is an error. */
int ptype_regex(const char *ruby, regex_t *out, struct err *e);

/* One parameter's metadata (NULL or an object) into out: what is wrong with it, or NULL. Of a plan, one
 * without a type has to be given. out is to be cleared in both cases. Caller frees. */
char *param_read(const char *name, const struct json *spec, bool of_plan, struct param *out);
/* What is wrong with the keys of an object: one that is nearly one of these n. NULL: nothing. Caller
 * frees. */
char *near_key(const struct json *spec, const char *const *keys, size_t n);
void param_clear(struct param *p);
#define PARAMS_MAX 500 /* LIMIT */

#endif
