/* SPDX-License-Identifier: Apache-2.0 */
/* The model of the Targets pane, shared by its two halves: what keys do (view_targets.c) and how it
 * looks (view_targets_draw.c). */
#ifndef MUSTER_UI_VIEW_TARGETS_H
#define MUSTER_UI_VIEW_TARGETS_H

#include "target_tree.h"
#include "vutil.h"

#include "muster/ui/list.h"
#include "muster/ui/view.h"

#define TARGETS_RUNS_MAX 400 /* rows whose last run is kept: more than a screen has */

struct targets_view {
    struct view v;
    struct target_tree tree;
    struct list list;
    struct prompt prompt;
    char *filter_error;
    bool range;
    size_t range_from;
    /* Where the cursor is, by name: a refresh keeps it there. */
    int at_kind;
    char *at_name, *at_parent;
    /* The last runs of the visible nodes: runs[i] belongs to row runs_top + i. */
    struct execution runs[TARGETS_RUNS_MAX];
    size_t runs_top, n_runs;
    int64_t runs_generation;
    char *folded; /* the selection, as of folded_generation */
    uint64_t folded_generation;
};

void targets_draw(struct view *v, struct surface *s, struct rect body, bool focused);
void targets_caption(struct view *v, char *buf, size_t n);
int targets_footer_rows(int h);

#endif
