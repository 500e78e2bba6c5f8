/* SPDX-License-Identifier: Apache-2.0 */
/* Which panes show where, on a screen of any size. Pure. */
#ifndef MUSTER_UI_LAYOUT_H
#define MUSTER_UI_LAYOUT_H

#include "muster/ui/app.h"

enum layout_mode { LAYOUT_TOO_SMALL, LAYOUT_NARROW, LAYOUT_NORMAL, LAYOUT_WIDE };

struct layout {
    enum layout_mode mode;
    bool borders;
    struct rect top, area, status, footer; /* rows across the screen; area: all between */
    struct rect panes[PANE_COUNT];         /* with their borders; w 0: not shown */
};

struct layout layout_make(int cols, int rows, enum pane focus, bool zoomed);

#endif
