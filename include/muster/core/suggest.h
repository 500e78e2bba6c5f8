/* SPDX-License-Identifier: Apache-2.0 */
/* "Did you mean": the word of a list that is nearest to a mistyped one. Pure. */
#ifndef MUSTER_CORE_SUGGEST_H
#define MUSTER_CORE_SUGGEST_H

#include <stddef.h>

/* The nearest of n words by edits (insert, delete, replace, swap two neighbours), case ignored, or
 * NULL when none is near enough to be meant: at most a third of the letters wrong, at least one
 * edit being allowed. The first of equals wins. Borrowed from `words`. */
const char *suggest_nearest(const char *word, const char *const *words, size_t n);

#endif
