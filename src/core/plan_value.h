/* SPDX-License-Identifier: Apache-2.0 */
/* What a value of a plan is made of, and reading it: for the files of the plan. */
#ifndef MUSTER_SRC_CORE_PLAN_VALUE_H
#define MUSTER_SRC_CORE_PLAN_VALUE_H

#include "muster/core/plan.h"

struct yaml_node;

/* All that is wrong with a plan. */
struct plan_faults {
    const char *path;
    struct strv v; /* "PATH:LINE: ..", the first PLAN_FAULTS_MAX */
    size_t n;      /* of all */
};
#define PLAN_FAULTS_MAX 100 /* LIMIT */
void plan_fault(struct plan_faults *f, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* What may be referred to so far. */
struct plan_names {
    const struct params *params;
    struct strv steps;
    unsigned char kinds[PLAN_STEPS_MAX]; /* of these: enum plan_step_kind, or PLAN_STEP_COUNT */
    const struct yaml_node *all;         /* the list of steps, for those that come later; or NULL */
    size_t n_values; /* read so far */
    const struct yaml_node *shells; /* a mapping whose names plain text leaves to the shell; or NULL */
};
#define PLAN_VALUES_MAX ((size_t) 20000) /* LIMIT: aliases of YAML make many of few */

/* One of ['key'] [0]. */
struct plan_key {
    char *key; /* NULL: index */
    long index;
};
struct plan_ref {
    char *name;
    bool of_step;
    bool of_targets; /* `targets`, or a parameter that is a TargetSpec */
    struct plan_key *keys;
    size_t n_keys;
};
struct plan_piece {
    char *text;           /* literal, or NULL */
    struct plan_ref *ref; /* or NULL */
};

enum plan_value_kind { PLAN_VALUE_LITERAL, PLAN_VALUE_REF, PLAN_VALUE_TEXT, PLAN_VALUE_LIST,
                       PLAN_VALUE_MAP };
struct plan_value {
    enum plan_value_kind kind;
    struct json *literal;      /* LITERAL; NULL: undef */
    char *as_text;             /* LITERAL: as it was written; NULL: undef */
    struct plan_piece *pieces; /* TEXT; REF: one */
    size_t n_pieces;
    struct plan_value **items; /* LIST, MAP */
    char **keys;               /* MAP */
    size_t n_items;
};

/* Never NULL; what is wrong goes to f. */
struct plan_value *plan_value_read(const struct yaml_node *node, struct plan_names *names,
                                   struct plan_faults *f);
void plan_value_free(struct plan_value *v); /* NULL allowed */
/* Reads a scalar's references into v (TEXT, REF, or LITERAL when it has none). */
void plan_refs_read(const struct yaml_node *node, const struct plan_names *names,
                    struct plan_faults *f, struct plan_value *v);
void plan_ref_free(struct plan_ref *ref);
/* Whether quoting as one word keeps what a node said apart from the rest of a command; else where it
 * would not: "in quotes". */
const char *plan_shell_fault(const struct plan_value *v);

/* One step of the list; out is to be cleared in any case. */
void plan_step_read(const struct yaml_node *node, struct plan_names *names, struct plan_faults *f,
                    struct plan_step *out);
void plan_step_clear(struct plan_step *s);
/* ", did you mean X?" or "". Caller frees. */
char *plan_near(const char *word, const char *const *words, size_t n);

#endif
