/* SPDX-License-Identifier: Apache-2.0 */
/* A line of input with a cursor: the prompt, the filter, the fields of a form. UTF-8, at most 32 KiB.
 * Emacs keys (C-a C-e C-b C-f C-d C-k C-u C-w, arrows, Home, End, Del, BS); a pasted newline is
 * inserted as a visible mark's newline, never submits. Pure. */
#ifndef MUSTER_UI_FIELD_H
#define MUSTER_UI_FIELD_H

#include "muster/ui/surface.h"

#include <stdbool.h>
#include <stddef.h>

struct key;

struct field {
    char *text; /* never NULL after field_init */
    size_t len, cap;
    size_t cursor; /* byte offset, on a character's edge */
    size_t scroll; /* columns scrolled off at the left */
};
void field_init(struct field *f);
void field_free(struct field *f);
void field_set(struct field *f, const char *text); /* cursor to the end */
bool field_key(struct field *f, const struct key *k); /* true: it was an editing key */
/* Draws in one row of w columns and, when focused, puts the text cursor there. */
void field_draw(struct field *f, struct surface *s, struct rect clip, int x, int y, int w,
                bool focused);

#endif
