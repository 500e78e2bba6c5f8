/* SPDX-License-Identifier: Apache-2.0 */
/* A list of the executions of a batch that reads only what is visible: filters, sort orders, a
 * text, the cursor kept on its node. Progress and Results share it. Main thread only. */
#ifndef MUSTER_UI_EXEC_LIST_H
#define MUSTER_UI_EXEC_LIST_H

#include "vutil.h"

#include "muster/store/reader.h"
#include "muster/ui/list.h"

enum exec_show { SHOW_ALL, SHOW_RUNNING, SHOW_SUCCESS, SHOW_FAILED, SHOW_COUNT };

struct exec_list {
    struct list list;
    struct exec_filter filter; /* class_* may be set by its owner; the rest is set here */
    enum exec_show show;
    enum exec_sort sort;
    bool reverse;
    const enum exec_sort *sorts; /* the orders that `s` goes through */
    size_t n_sorts;
    struct prompt prompt;  /* the text filter */
    struct execution *rows; /* from `first` on */
    size_t first, n_rows;
    size_t total;
    int64_t batch;
    int64_t generation;     /* of the store when the rows were read */
    bool stale;             /* the rows are not those of the filter and the order */
    bool moved;             /* the cursor was put somewhere; until then the first row has it */
    bool has_at;
    uint32_t at; /* position of the node under the cursor */
    char *error; /* why it could not be read, or NULL */
};

void exec_list_init(struct exec_list *l, const enum exec_sort *sorts, size_t n);
void exec_list_free(struct exec_list *l);
/* Back to the first row with no filter: another batch is shown. */
void exec_list_reset(struct exec_list *l);
/* Reads what a list of so many rows shows, its head among them. */
void exec_list_load(struct exec_list *l, struct app *a, int64_t batch, int height);
/* The execution under the cursor, or NULL. */
const struct execution *exec_list_at(const struct exec_list *l);
bool exec_list_filtered(const struct exec_list *l); /* it does not show all */
/* Moves, `f`, `!`, `s`, `S`, `/`, Enter (opens the output), I, and Esc's filter. True when it
 * was one. */
bool exec_list_act(struct exec_list *l, struct app *a, enum action act);
/* A key while its prompt takes text. */
bool exec_list_key(struct exec_list *l, const struct key *k);
/* Head (where there is room), rows; `with_remote` adds what became of the process. `body` has at
 * least one row. */
void exec_list_draw(const struct exec_list *l, const struct app *a, struct surface *s,
                    struct rect body, bool focused, bool with_remote);
/* "failed only, slowest first" and so on, into buf: what is filtered and how it is sorted. */
char *exec_list_caption(const struct exec_list *l, char *buf, size_t n);
/* How many of them the filter shows, for the row of its prompt. */
void exec_list_note(const struct exec_list *l, uint32_t of, char *buf, size_t n);

#endif
