/* SPDX-License-Identifier: Apache-2.0 */
/* A surface: a grid of cells that views draw into and that tests read without a terminal. The curses
 * back end shows what differs from the frame before. Main thread only. */
#ifndef MUSTER_UI_SURFACE_H
#define MUSTER_UI_SURFACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ROLE(ID, name): what a cell means; themes and mono terminals map these. No state is told by a
 * role alone: there is always a word or a glyph. */
#define ROLE_TABLE(ROLE)                                                                       \
    ROLE(NORMAL, "normal")                                                                     \
    ROLE(DIM, "dim")                                                                           \
    ROLE(TITLE, "title")       /* pane titles, headers of columns */                           \
    ROLE(BORDER, "border")                                                                     \
    ROLE(FOCUS, "focus")       /* border and title of the focused pane */                      \
    ROLE(CURSOR, "cursor")     /* the focused row */                                           \
    ROLE(STATUS, "status")     /* top line */                                                  \
    ROLE(HINT, "hint")         /* footer keys */                                               \
    ROLE(OK, "ok")                                                                             \
    ROLE(FAIL, "fail")                                                                         \
    ROLE(WARN, "warn")                                                                         \
    ROLE(RUN, "run")                                                                           \
    ROLE(WAIT, "wait")                                                                         \
    ROLE(SELECTED, "selected")                                                                 \
    ROLE(FIELD, "field")       /* an input field */                                            \
    ROLE(ERROR, "error")       /* an error beside a field */

enum role {
#define ROLE(id, name) ROLE_##id,
    ROLE_TABLE(ROLE)
#undef ROLE
        ROLE_COUNT
};

struct cell {
    uint32_t cp[2]; /* the character and one combining mark or 0; cp[0] 0: right half of a wide one */
    uint8_t role;
    bool reverse;
};

struct surface {
    int cols, rows;
    struct cell *cells;   /* rows * cols */
    int cur_x, cur_y;     /* where the cursor stands: always on the focused row or field */
    bool cur_visible;     /* a text cursor (in a field) */
};

struct rect {
    int x, y, w, h;
};

void surface_init(struct surface *s, int cols, int rows);
void surface_resize(struct surface *s, int cols, int rows); /* clears */
void surface_free(struct surface *s);
void surface_clear(struct surface *s); /* spaces in ROLE_NORMAL, cursor at 0,0 */

/* All drawing is clipped to `clip` and the surface. Text is UTF-8 and is sanitised again here (so no
 * view can forget it), never wraps. Returns the columns used. */
int surface_text(struct surface *s, struct rect clip, int x, int y, enum role role,
                 const char *text);
int surface_textf(struct surface *s, struct rect clip, int x, int y, enum role role,
                  const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* Cut to w columns with '~', padded with spaces when pad. */
void surface_fit(struct surface *s, struct rect clip, int x, int y, int w, enum role role,
                 const char *text, bool pad);
void surface_fill(struct surface *s, struct rect r, enum role role, char c);
/* Gives a row (or part) the role, keeping its text: for the cursor row. Reverse where set. */
void surface_paint(struct surface *s, struct rect r, enum role role, bool reverse);
/* A border with a title on the left and another on the right ('+', '-', '|': same on every
 * terminal; the focused one has '=' for '-'). Returns the inside. */
struct rect surface_frame(struct surface *s, struct rect r, bool focused, const char *title,
                          const char *right);
void surface_cursor(struct surface *s, int x, int y, bool visible);
/* The character there; 0 outside, and for the right half of a wide one. */
uint32_t surface_at(const struct surface *s, int x, int y);

/* The whole as text: a line a row, trailing spaces dropped; caller frees. */
char *surface_dump(const struct surface *s);

#endif
