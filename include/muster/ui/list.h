/* SPDX-License-Identifier: Apache-2.0 */
/* The cursor and the scroll position of a list of `count` rows shown in `height`; pure. The rows are
 * known by their index; who keeps a cursor on its node over a refresh sets it anew. */
#ifndef MUSTER_UI_LIST_H
#define MUSTER_UI_LIST_H

#include "muster/ui/action.h"

#include <stdbool.h>
#include <stddef.h>

struct list {
    size_t count;  /* rows in all */
    size_t cursor; /* < count, or 0 */
    size_t top;    /* first row shown */
    size_t height; /* rows that fit; 0 before the first layout */
};

void list_set_count(struct list *l, size_t count); /* keeps the cursor within */
void list_set_height(struct list *l, size_t height);
void list_move_to(struct list *l, size_t row);
/* Handles ACT_DOWN, UP, TOP, BOTTOM, PAGE_DOWN, PAGE_UP, HALF_DOWN, HALF_UP; true when it was one. */
bool list_act(struct list *l, enum action a);

#endif
