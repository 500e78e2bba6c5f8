/* SPDX-License-Identifier: Apache-2.0 */
/* The filter of the target tree: a text that is parsed once and asked about nodes many times.
 *
 * Words are ANDed; `|` is OR (and binds less); `!x` is not. A word is one of
 *   web            a smart-case part of the name     ^web  web$  'web01   its start, end, whole
 *   /re/           an extended regular expression    web[001-120]         a node set
 *   @group         members, through children too; globs allowed
 *   source:hosts   nodes of a source, by type or a part of its path
 *   dc=fra dc!=fra os~^deb    a variable: equal (globs allowed), not equal, regular expression; a name
 *                  that is no variable's is a fact's, as those that were known when it was typed
 *   sel:           what is selected
 * Pure. */
#ifndef MUSTER_UI_TARGET_FILTER_H
#define MUSTER_UI_TARGET_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct fleet;
struct nodeset;
struct target_filter;

/* Where facts are known: adds the nodes that a term means (core/target.h). 0 or an error. */
struct filter_facts {
    int (*match)(void *ctx, const char *term, struct nodeset *out, struct err *e);
    void *ctx;
};

/* NULL on -ERR_VALIDATION: unfinished or naming what does not exist; the text says what. An
 * empty text gives a filter that all match. facts NULL: only variables are known. */
struct target_filter *target_filter_new(const struct fleet *f, const struct filter_facts *facts,
                                        const char *text, struct err *e);
void target_filter_free(struct target_filter *t); /* NULL allowed */
bool target_filter_any(const struct target_filter *t); /* true: everything matches */
bool target_filter_uses_selection(const struct target_filter *t);
/* on[i] is set to whether node i matches; picked[i] says whether it is selected. Returns how
 * many. */
size_t target_filter_run(const struct target_filter *t, const struct fleet *f,
                         const uint8_t *picked, uint8_t *on);

#endif
