/* SPDX-License-Identifier: Apache-2.0 */
/* YAML 1.1 by libyaml as a tree whose nodes know their line, so that an error can name it. Aliases
 * are followed, at most 64 levels and 1,000,000 nodes. One thread a tree. */
#ifndef MUSTER_CORE_YAML_H
#define MUSTER_CORE_YAML_H

#include <stdbool.h>
#include <stddef.h>

struct err;

enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

/* How a scalar was written. */
enum yaml_style { YAML_STYLE_PLAIN, YAML_STYLE_SINGLE, YAML_STYLE_DOUBLE, YAML_STYLE_FOLDED,
                  YAML_STYLE_BLOCK };

struct yaml_node {
    enum yaml_kind kind;
    unsigned line, col; /* from 1 */
    char *scalar;       /* YAML_SCALAR */
    enum yaml_style style; /* BLOCK: behind | or > */
    bool plain;         /* the scalar was written without quotes: `true`, `null` are meant */
    struct yaml_node **items; /* values of a sequence or a mapping */
    struct yaml_node **keys;  /* YAML_MAPPING: n keys; scalars only */
    size_t n;
};

/* NULL and e ("NAME: line 3, column 5: ...") when it is not YAML, a key is not a scalar or stands
 * twice, or there is more than one document. An empty document is an empty mapping. */
struct yaml_node *yaml_parse(const char *name, const char *text, size_t n, struct err *e);
void yaml_free(struct yaml_node *root); /* NULL allowed */
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key); /* or NULL */
bool yaml_is_null(const struct yaml_node *n);
/* 1, 0, or -1 when it is no boolean (true/false/yes/no/on/off). */
int yaml_bool(const struct yaml_node *n);
/* The value as compact JSON, for variables that are not scalars; caller frees. */
char *yaml_to_json(const struct yaml_node *n);
const char *yaml_library_version(void); /* the one it runs with */

#endif
