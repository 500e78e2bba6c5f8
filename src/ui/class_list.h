/* SPDX-License-Identifier: Apache-2.0 */
/* The classes of equal results of a batch as a list whose classes open to their nodes. Reads only
 * what is visible, so ten thousand different outputs cost no more than ten. Main thread only. */
#ifndef MUSTER_UI_CLASS_LIST_H
#define MUSTER_UI_CLASS_LIST_H

#include "muster/store/reader.h"
#include "muster/ui/list.h"
#include "muster/ui/surface.h"

#include <stdbool.h>

struct app;

#define CLASSES_OPEN_MAX 32 /* classes that are open at a time */
#define CLASS_ROWS_MAX 400  /* rows at hand: more than a screen has */

/* What makes a class, as long as its batch lives. */
struct class_key {
    int exit_code, reason;
    int64_t out_id[2];
};
struct class_row {
    size_t cls;      /* which class, from 0 */
    bool is_node;
    size_t child;    /* which of its nodes */
    struct output_class *c; /* its class; borrowed; NULL: not at hand */
    struct execution *x;    /* its node; borrowed; NULL for a class */
};
struct class_list {
    struct list list;
    int64_t batch;
    size_t n_classes;
    struct class_open {
        struct class_key key;
        size_t cls, count;
    } open[CLASSES_OPEN_MAX]; /* sorted by cls */
    size_t n_open;
    int64_t generation;     /* of the store when the rows were read */
    size_t loaded_top, loaded_height;
    bool stale;             /* what is open changed since */
    struct output_class *page;
    size_t page_first, n_page;
    struct class_nodes {
        size_t first, n;
        struct execution *x;
    } nodes[CLASS_ROWS_MAX];
    size_t n_nodes;
    struct class_row rows[CLASS_ROWS_MAX]; /* the visible ones, from list.top */
    size_t n_rows;
    bool moved; /* the cursor was put somewhere; until then the first row has it */
    bool has_at, at_node;
    struct class_key at;
    uint32_t at_position;
    char *error;
};

void class_list_free(struct class_list *l);
void class_list_load(struct class_list *l, struct app *a, int64_t batch, int height);
/* The row under the cursor, or NULL. */
const struct class_row *class_list_at(const struct class_list *l);
void class_list_toggle(struct class_list *l, bool open); /* the class under the cursor */
bool class_list_act(struct class_list *l, enum action a); /* moves, h, l */
/* Puts the cursor on a class. */
void class_list_goto(struct class_list *l, size_t cls);
void class_list_draw(const struct class_list *l, const struct app *a, struct surface *s,
                     struct rect body, bool focused);

#endif
