/* SPDX-License-Identifier: Apache-2.0 */
/* The cursor of a list and what of the list shows. */
#include "muster/ui/list.h"

static void show_cursor(struct list *l)
{
    if (l->cursor < l->top)
        l->top = l->cursor;
    if (l->height && l->cursor >= l->top + l->height)
        l->top = l->cursor - l->height + 1;
    /* No empty rows at the end while there are more above. */
    if (l->height && l->top + l->height > l->count)
        l->top = l->count > l->height ? l->count - l->height : 0;
}

void list_set_count(struct list *l, size_t count)
{
    l->count = count;
    if (l->cursor >= count)
        l->cursor = count ? count - 1 : 0;
    show_cursor(l);
}

void list_set_height(struct list *l, size_t height)
{
    l->height = height;
    show_cursor(l);
}

void list_move_to(struct list *l, size_t row)
{
    l->cursor = row < l->count ? row : l->count ? l->count - 1 : 0;
    show_cursor(l);
}

static void move_by(struct list *l, size_t n, bool down)
{
    if (down)
        list_move_to(l, n < l->count - l->cursor ? l->cursor + n : l->count);
    else
        list_move_to(l, l->cursor > n ? l->cursor - n : 0);
}

bool list_act(struct list *l, enum action a)
{
    size_t page = l->height > 1 ? l->height - 1 : 1, half = l->height > 3 ? l->height / 2 : 1;

    switch (a) {
    case ACT_DOWN:
    case ACT_UP:
        move_by(l, 1, a == ACT_DOWN);
        return true;
    case ACT_PAGE_DOWN:
    case ACT_PAGE_UP:
        move_by(l, page, a == ACT_PAGE_DOWN);
        return true;
    case ACT_HALF_DOWN:
    case ACT_HALF_UP:
        move_by(l, half, a == ACT_HALF_DOWN);
        return true;
    case ACT_TOP:
        list_move_to(l, 0);
        return true;
    case ACT_BOTTOM:
        list_move_to(l, l->count);
        return true;
    default:
        return false;
    }
}
