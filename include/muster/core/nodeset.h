/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of node names in the order of their first place, the ranges that write them (`web[01-20]`,
 * `n[1-9/2,12]`, several brackets a name), their algebra and their folding. Pure; a set belongs to
 * one thread while it is changed. */
#ifndef MUSTER_CORE_NODESET_H
#define MUSTER_CORE_NODESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct strbuf;
struct nodeset; /* opaque; owns its names */

#define NODESET_MAX ((size_t) 1000000) /* names one expression may give */

struct nodeset *nodeset_new(void);
void nodeset_free(struct nodeset *s); /* NULL allowed */
bool nodeset_add(struct nodeset *s, const char *name); /* false: it was there */
bool nodeset_has(const struct nodeset *s, const char *name);
bool nodeset_remove(struct nodeset *s, const char *name); /* order of the others is kept */
size_t nodeset_count(const struct nodeset *s);
const char *nodeset_at(const struct nodeset *s, size_t i); /* valid until the set changes */

void nodeset_union(struct nodeset *s, const struct nodeset *o);     /* o's new ones at the end */
void nodeset_difference(struct nodeset *s, const struct nodeset *o);
void nodeset_intersect(struct nodeset *s, const struct nodeset *o);
void nodeset_xor(struct nodeset *s, const struct nodeset *o);

/* Adds the names that a range pattern writes ("web[01-20]", "a[1-2]b[3,5-9/2]", or a plain name).
 * Padding is kept when the first number has leading zeros; a step goes after '/'. IPv6 literals
 * in brackets ("[::1]") are plain names. 0 or -ERR_VALIDATION: empty or reversed range, unbalanced
 * bracket, more than NODESET_MAX names. On an error s is unchanged. */
int nodeset_expand(struct nodeset *s, const char *pattern, struct err *e);

/* Writes names folded ("web[01-20,22]", natural order, comma-separated), so that expanding it gives
 * the same set. `max` columns at most (0: no limit): then it ends in ",..." at a name's edge. */
void nodeset_fold_names(struct strbuf *out, const char *const *names, size_t n, size_t max);
void nodeset_fold(struct strbuf *out, const struct nodeset *s, size_t max);

#endif
