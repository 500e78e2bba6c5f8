/* SPDX-License-Identifier: Apache-2.0 */
/* The layouts: wide, normal, narrow, too small. */
#include "layout.h"

/* Splits a column of panes: the first takes h rows, the rest is returned. */
static struct rect take(struct rect *from, int h)
{
    struct rect r = {from->x, from->y, from->w, h};

    from->y += h;
    from->h -= h;
    return r;
}

static void wide(struct layout *l)
{
    struct rect left = l->area, right = l->area;
    int h = l->area.h;

    left.w = l->area.w * 35 / 100;
    right.x += left.w;
    right.w -= left.w;
    int history = h / 4 > 7 ? h / 4 : 7;
    l->panes[PANE_TARGETS] = take(&left, h - history);
    l->panes[PANE_HISTORY] = left;
    int action = h >= 30 ? 9 : 6;
    l->panes[PANE_ACTION] = take(&right, action);
    l->panes[PANE_PROGRESS] = take(&right, (h - action) * 45 / 100);
    l->panes[PANE_RESULTS] = right;
}

static void normal(struct layout *l, enum pane focus)
{
    struct rect r = l->area;
    int h = r.h;

    switch (focus) {
    case PANE_TARGETS:
    case PANE_ACTION:
        l->panes[PANE_TARGETS] = take(&r, h >= 19 ? h - 9 : h - 7);
        l->panes[PANE_ACTION] = r;
        break;
    case PANE_PROGRESS:
    case PANE_RESULTS:
        l->panes[PANE_PROGRESS] = take(&r, h * 45 / 100);
        l->panes[PANE_RESULTS] = r;
        break;
    case PANE_HISTORY:
    case PANE_COUNT:
        l->panes[PANE_HISTORY] = r;
        break;
    }
}

struct layout layout_make(int cols, int rows, enum pane focus, bool zoomed)
{
    struct layout l = {LAYOUT_TOO_SMALL, false, {0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0},
                       {0, 0, 0, 0}, {{0, 0, 0, 0}}};

    if (cols < 40 || rows < 10)
        return l;
    l.top = (struct rect) {0, 0, cols, 1};
    l.area = (struct rect) {0, 1, cols, rows - 3};
    l.status = (struct rect) {0, rows - 2, cols, 1};
    l.footer = (struct rect) {0, rows - 1, cols, 1};
    l.mode = cols >= 110 && rows >= 28  ? LAYOUT_WIDE
             : cols >= 60 && rows >= 16 ? LAYOUT_NORMAL
                                        : LAYOUT_NARROW;
    l.borders = l.mode != LAYOUT_NARROW;
    if (l.mode == LAYOUT_NARROW || zoomed)
        l.panes[focus] = l.area;
    else if (l.mode == LAYOUT_NORMAL)
        normal(&l, focus);
    else
        wide(&l);
    return l;
}
