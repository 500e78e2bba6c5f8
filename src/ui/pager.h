/* SPDX-License-Identifier: Apache-2.0 */
/* Text of any size shown in a window: segments one after the other, each either lines at hand or an
 * output in the store, of which only the bytes around the window are read. So 50 MB, or a line of
 * 1 MB, cost what a screenful costs. A place is a segment, a byte offset at a line's start, and the
 * row in that line when long lines are wrapped. Main thread only. */
#ifndef MUSTER_UI_PAGER_H
#define MUSTER_UI_PAGER_H

#include "muster/base/vec.h"
#include "muster/ui/action.h"
#include "muster/ui/surface.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader;

#define PAGER_SEGMENTS 1280 /* of a plan: some for each of its steps */
#define PAGER_ROWS_MAX 400
#define PAGER_LINE_MAX ((uint64_t) 1 << 20) /* a longer line is shown as several */
#define PAGER_WRAP_MAX ((uint64_t) 8 << 10) /* the same when lines are wrapped */
#define PAGER_X_MAX 16384                   /* columns one can scroll sideways */

struct pager_segment {
    bool stream;
    int64_t id;        /* of an output */
    uint64_t size;     /* its bytes */
    struct strv lines; /* else these, sanitised when drawn */
    enum role role;
};
struct pager_pos {
    size_t seg;
    uint64_t off; /* byte of a stream, index of a line */
    size_t row;   /* of a wrapped line */
};
struct pager {
    struct reader *reader; /* borrowed */
    struct pager_segment seg[PAGER_SEGMENTS];
    size_t n_seg;
    struct pager_pos top;
    bool wrap, follow;
    size_t x; /* columns scrolled off at the left */
    int w, h;
    struct pager_row {
        char *text; /* sanitised, from its first column on */
        enum role role;
        bool more; /* the line goes on beyond text */
    } rows[PAGER_ROWS_MAX];
    size_t n_rows;
    struct pager_pos end; /* of the row below the window */
    bool at_top, at_end;  /* the window shows the first row, the last row */
    char *needle; /* what is searched, or NULL */
    bool has_hit; /* nothing moved since the last hit, which is at: */
    size_t hit_seg;
    uint64_t hit;
    /* The bytes at hand. */
    char *buf;
    size_t buf_len;
    int64_t buf_id;
    uint64_t buf_off;
};

void pager_init(struct pager *p);
void pager_free(struct pager *p);
/* Begins a new list of segments (the place is kept); then add them in order, then load. */
void pager_begin(struct pager *p);
struct strv *pager_add_lines(struct pager *p, enum role role);
void pager_add_stream(struct pager *p, int64_t id, uint64_t size);
/* Reads what a window of w x h shows. */
void pager_load(struct pager *p, int w, int h);
/* Moves by lines, pages, to the ends, sideways; F and W. True when it was one. */
bool pager_act(struct pager *p, enum action a);
/* Goes to the next or previous line with the needle. False: there is none. */
bool pager_find(struct pager *p, bool forward);
void pager_set_needle(struct pager *p, const char *needle); /* NULL or "": none */
void pager_draw(const struct pager *p, struct surface *s, struct rect body);
/* How much of the streams stands in the window and above it; 100 only at the end. */
int pager_percent(const struct pager *p);

#endif
