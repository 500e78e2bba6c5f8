/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Action pane share: its rows, and where the cursor stands. Main thread. */
#ifndef MUSTER_UI_VIEW_ACTION_H
#define MUSTER_UI_VIEW_ACTION_H

#include "form_work.h"
#include "vutil.h"

#include "muster/base/vec.h"
#include "muster/ui/app.h"
#include "muster/ui/view.h"

struct action_view {
    struct view v;
    int at; /* the row under the cursor */
    bool editing;
    struct strv history; /* newest first */
    size_t history_at;   /* what is shown, 1-based; 0: what was being typed */
    char *typed;         /* that, while history is shown; or what it was before a search */
    bool searching;
    struct field query;
    bool search_failed;
    char *folded;
    uint64_t folded_generation;
};

/* A row of the form: the type, the command or the task, its parameters, then the rest. */
struct action_item {
    bool is_param;
    int id; /* enum form_id, or the parameter's place */
};
int action_count(const struct action_view *x);
int action_params(const struct action_view *x); /* how many of them are parameters, from row 2 on */
struct action_item action_item(const struct action_view *x, int row);
/* What is edited there. */
struct field *action_field(struct action_view *x, int row);
/* Why x would not run it; caller frees. NULL: it would. */
char *action_refusal(struct app *a);

void action_draw(struct view *v, struct surface *s, struct rect body, bool focused);

#endif
