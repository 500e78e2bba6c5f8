/* SPDX-License-Identifier: Apache-2.0 */
/* What the views share: words and roles of states, the cursor row, empty panes, the prompt of a
 * filter, columns that drop by priority. Main thread only. */
#ifndef MUSTER_UI_VUTIL_H
#define MUSTER_UI_VUTIL_H

#include "muster/core/batch.h"
#include "muster/ui/field.h"
#include "muster/ui/surface.h"
#include "muster/ui/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct app;
struct key;
struct strbuf;
struct strv;

const char *vu_exec_word(enum exec_status s, enum reason r);  /* "ok", "run", "TIMEOUT" */
const char *vu_exec_glyph(enum exec_status s, enum reason r);
enum role vu_exec_role(enum exec_status s, enum reason r);
/* "rc=1", "signal TERM", or ""; buf of 32 bytes. Returns buf. */
char *vu_exec_code(const struct execution *x, char *buf);
/* How long it took, or has run so far; "-" when that is not known. buf of 32 bytes; returns buf. */
char *vu_exec_time(const struct execution *x, int64_t now_wall_ms, char *buf);
/* "ok 12" and so on with the glyph of each before it, only what there is. */
void vu_count(struct strbuf *out, const char *glyph, const char *word, uint32_t n);
/* Why it failed, for a list: the error, else the exit code, else the reason, and that output was
 * cut; sanitised; caller frees. "" when nothing is wrong. */
char *vu_exec_why(const struct execution *x);
/* Local time; buf of 32 bytes: "14:31:02", or with the date when it is not today. "-" for 0. */
char *vu_time(int64_t wall_ms, int64_t now_wall_ms, char *buf);

/* The column that is left free at the right of a body where a border stands: 1, else 0. */
int vu_gap(const struct surface *s, struct rect body);
/* Marks the focused row and puts the cursor on it. A `>` at its left is `.` where the keys go
 * elsewhere. */
void vu_cursor_row(struct surface *s, struct rect body, int y, bool focused);
/* What an empty pane says: n lines from the top. */
void vu_teach(struct surface *s, struct rect body, const char *const *lines, size_t n);
/* Appends text (sanitised here) to out in lines of at most w columns; breaks at spaces where it
 * can. A newline starts a line. At most max lines, the last then ends in "...". */
void vu_wrap(struct strv *out, const char *text, int w, size_t max);

/* Appends "NAME  text" with the text wrapped beside the name, name_w columns wide. */
void vu_fact(struct strv *out, const char *name, int name_w, const char *text, int w, size_t max);
/* A path with the home folder as ~; caller frees. NULL: "". */
char *vu_path(const char *path);

/* For what a view does not do with an action: says so where the key would seem dead. */
enum view_result vu_no_use(struct app *a, enum action act);
/* Opens the output of one execution, or all that is known of a node. */
void vu_open_output(struct app *a, int64_t batch, uint32_t position);
void vu_open_node(struct app *a, const char *node);

/* A one-line input of a view: a filter or a search. */
struct prompt {
    struct field field;
    bool typing;
    char *before; /* the text when typing began: Esc brings it back */
};
enum prompt_event {
    PROMPT_PASS,   /* not for the prompt: it stays open */
    PROMPT_EDITED, /* the text or the cursor changed */
    PROMPT_ENTER,  /* closed, the text stays */
    PROMPT_ESC,    /* closed, the text is as before */
    PROMPT_LEAVE   /* closed as by Enter; the key is still to be handled */
};
void prompt_init(struct prompt *p);
void prompt_free(struct prompt *p);
void prompt_start(struct prompt *p);
enum prompt_event prompt_key(struct prompt *p, const struct key *k);
bool prompt_empty(const struct prompt *p);
/* One row: "/ text", and note at the right (an error or a count). */
void prompt_draw(const struct prompt *p, struct surface *s, struct rect clip, int y, bool focused,
                 const char *empty, const char *note, enum role note_role);

/* Columns of a table. Those with the highest `drop` go first when it is too narrow; 0 never
 * goes. */
struct column {
    const char *title;
    int min, want; /* columns of the screen */
    bool flex;     /* takes what is left */
    int drop;
    bool right;    /* aligned to the right */
    int x, w;      /* out; w 0: dropped */
};
void columns_layout(struct column *c, size_t n, int width);
void columns_head(const struct column *c, size_t n, struct surface *s, struct rect row);
void columns_cell(const struct column *c, struct surface *s, struct rect row, enum role role,
                  const char *text);

#endif
