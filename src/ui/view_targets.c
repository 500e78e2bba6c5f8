/* SPDX-License-Identifier: Apache-2.0 */
/* The Targets pane: the tree of groups and nodes, picking from it, filtering while typing. */
#include "view_targets.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/fleet.h"
#include "muster/core/nodeset.h"
#include "muster/store/reader.h"
#include "muster/ui/app.h"
#include "muster/service/service.h"

#include <stdio.h>
#include <string.h>

#define FOLDED_MAX 512 /* columns of the folded selection: more than a screen is wide */

static struct targets_view *self(struct view *v)
{
    return (struct targets_view *) v;
}

static void clear_runs(struct targets_view *t)
{
    for (size_t i = 0; i < t->n_runs; i++)
        execution_clear(&t->runs[i]);
    t->n_runs = 0;
}

static int match_facts(void *ctx, const char *term, struct nodeset *out, struct err *e)
{
    return service_match(ctx, term, out, e);
}

static void targets_init(struct view *v)
{
    struct targets_view *t = self(v);
    target_tree_init(&t->tree);
    if (v->app->service)
        t->tree.facts = (struct filter_facts){match_facts, v->app->service};
    prompt_init(&t->prompt);
    t->at_kind = -1;
    t->runs_generation = -1;
}

static void targets_fini(struct view *v)
{
    struct targets_view *t = self(v);
    clear_runs(t);
    target_tree_free(&t->tree);
    prompt_free(&t->prompt);
    free(t->filter_error);
    free(t->at_name);
    free(t->at_parent);
    free(t->folded);
}

static struct trow *cursor_row(struct targets_view *t)
{
    return t->list.cursor < t->tree.n ? &t->tree.rows[t->list.cursor] : NULL;
}

static const char *parent_name(const struct targets_view *t, const struct trow *r)
{
    return r->parent == TREE_NO_PARENT ? "" : target_tree_name(&t->tree, &t->tree.rows[r->parent]);
}

static void remember(struct targets_view *t)
{
    struct trow *r = cursor_row(t);
    free(X_STEAL(t->at_name));
    free(X_STEAL(t->at_parent));
    t->at_kind = r ? r->kind : -1;
    if (r) {
        t->at_name = x_strdup(target_tree_name(&t->tree, r));
        t->at_parent = x_strdup(parent_name(t, r));
    }
}

/* Puts the cursor back on what it stood on: there, or else the same in another place. */
static void restore(struct targets_view *t)
{
    size_t other = SIZE_MAX;
    list_set_count(&t->list, t->tree.n);
    if (t->at_kind < 0 || !t->at_name)
        return;
    for (size_t i = 0; i < t->tree.n; i++) {
        const struct trow *r = &t->tree.rows[i];
        if (r->kind != t->at_kind || strcmp(target_tree_name(&t->tree, r), t->at_name) != 0)
            continue;
        if (strcmp(parent_name(t, r), t->at_parent) == 0) {
            list_move_to(&t->list, i);
            return;
        }
        if (other == SIZE_MAX)
            other = i;
    }
    if (other != SIZE_MAX)
        list_move_to(&t->list, other);
}

static void rows_changed(struct targets_view *t)
{
    t->range = false;
    t->runs_generation = -1;
    restore(t);
    remember(t);
}

static void load_runs(struct targets_view *t)
{
    struct app *app = t->v.app;
    const char *names[TARGETS_RUNS_MAX];
    struct execution found[TARGETS_RUNS_MAX];
    size_t at[TARGETS_RUNS_MAX], n = 0, rows = t->list.height;
    if (rows > TARGETS_RUNS_MAX)
        rows = TARGETS_RUNS_MAX;
    if (t->list.top + rows > t->tree.n)
        rows = t->tree.n - t->list.top;
    if (t->runs_generation == app->data_generation && t->runs_top == t->list.top &&
        t->n_runs == rows)
        return;
    clear_runs(t);
    memset(t->runs, 0, rows * sizeof *t->runs);
    for (size_t i = 0; i < rows; i++) {
        const struct trow *r = &t->tree.rows[t->list.top + i];
        if (r->kind != TROW_NODE)
            continue;
        at[n] = i;
        names[n++] = target_tree_name(&t->tree, r);
    }
    memset(found, 0, n * sizeof *found);
    if (n > 0 && app->reader && reader_last_runs(app->reader, names, n, found, NULL) == 0)
        for (size_t i = 0; i < n; i++)
            t->runs[at[i]] = found[i];
    t->n_runs = rows;
    t->runs_top = t->list.top;
    t->runs_generation = app->data_generation;
}

static void fold_selection(struct targets_view *t)
{
    const struct selection *sel = &t->v.app->sel;
    const struct fleet *f = t->v.app->fleet;
    struct strbuf b;
    if (t->folded && t->folded_generation == sel->generation)
        return;
    strbuf_init(&b, 0);
    /* In the fleet's order names are sorted already, and folding them costs a third. */
    if (f && t->tree.n_picked == nodeset_count(sel->nodes)) {
        const char **names = x_array(NULL, t->tree.n_picked + 1, sizeof *names);
        size_t n = 0;
        for (size_t i = 0; i < f->n_nodes; i++)
            if (t->tree.picked[i])
                names[n++] = f->nodes[i].name;
        nodeset_fold_names(&b, names, n, FOLDED_MAX);
        free(names);
    } else {
        nodeset_fold(&b, sel->nodes, FOLDED_MAX);
    }
    free(t->folded);
    t->folded = text_clean(b.s);
    strbuf_free(&b);
    t->folded_generation = sel->generation;
}

int targets_footer_rows(int h)
{
    return h >= 12 ? 2 : h >= 5 ? 1 : 0;
}

static void targets_load(struct view *v, int w, int h)
{
    struct targets_view *t = self(v);
    int rows = h - 1 - targets_footer_rows(h);
    if (target_tree_sync(&t->tree, v->app->fleet, &v->app->sel))
        rows_changed(t);
    list_set_count(&t->list, t->tree.n);
    list_set_height(&t->list, rows > 0 ? (size_t) rows : 0);
    load_runs(t);
    fold_selection(t);
}

/* --- picking --- */

/* Which of these nodes the filter shows, as indices; caller frees. */
static uint32_t *visible(const struct targets_view *t, const uint32_t *m, size_t n, size_t *count)
{
    uint32_t *out = x_array(NULL, n + 1, sizeof *out);
    *count = 0;
    for (size_t i = 0; i < n; i++)
        if (t->tree.match[m[i]])
            out[(*count)++] = m[i];
    return out;
}

static struct nodeset *names_of(const struct targets_view *t, const uint32_t *m, size_t n)
{
    struct nodeset *s = nodeset_new();
    for (size_t i = 0; i < n; i++)
        nodeset_add(s, t->tree.fleet->nodes[m[i]].name);
    return s;
}

static void pick(struct targets_view *t, const uint32_t *m, size_t n, bool on)
{
    struct app *a = t->v.app;
    struct nodeset *names = names_of(t, m, n);
    if (on)
        selection_add_set(&a->sel, names);
    else
        selection_remove_set(&a->sel, names);
    nodeset_free(names);
    selection_settle(&a->sel, a->fleet);
}

static bool all_picked(const struct targets_view *t, const uint32_t *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!t->tree.picked[m[i]])
            return false;
    return n > 0;
}

static void toggle_row(struct targets_view *t, const struct trow *r)
{
    struct app *a = t->v.app;
    size_t total, n;
    char c1[32], c2[32];
    const uint32_t *all = target_tree_members(&t->tree, r, &total);
    if (!all)
        return;
    CLEANUP_FREE uint32_t *m = visible(t, all, total, &n);
    bool on = !all_picked(t, m, n);
    if (n == 0)
        return;
    selection_save(&a->sel);
    if (on && r->kind == TROW_GROUP && n == total)
        selection_add_group(&a->sel, a->fleet, &a->fleet->groups[r->index]);
    else
        pick(t, m, n, on);
    if (r->kind == TROW_NODE)
        return;
    text_count(n, c1);
    text_count(total - n, c2);
    if (n < total)
        app_toast(a, "%s %s, %s hidden members not", c1, on ? "selected" : "unpicked", c2);
    else
        app_toast(a, "%s %s", c1, on ? "selected" : "unpicked");
}

static void toggle_range(struct targets_view *t)
{
    size_t lo = t->range_from, hi = t->list.cursor, n = 0, picked = 0;
    char count[32];
    if (lo > hi) {
        size_t swap = lo;
        lo = hi;
        hi = swap;
    }
    CLEANUP_FREE uint8_t *in = x_calloc(t->tree.fleet->n_nodes + 1, 1);
    CLEANUP_FREE uint32_t *m = x_array(NULL, t->tree.fleet->n_nodes + 1, sizeof *m);
    for (size_t i = lo; i <= hi && i < t->tree.n; i++) {
        const struct trow *r = &t->tree.rows[i];
        size_t k;
        const uint32_t *members = target_tree_members(&t->tree, r, &k);
        /* An open group stands for its header only: its rows are in the range or not. */
        if (!members || r->open)
            continue;
        for (size_t j = 0; j < k; j++) {
            uint32_t x = members[j];
            if (!t->tree.match[x] || in[x])
                continue;
            in[x] = 1;
            picked += t->tree.picked[x];
            m[n++] = x;
        }
    }
    t->range = false;
    if (n == 0)
        return;
    selection_save(&t->v.app->sel);
    pick(t, m, n, picked < n);
    text_count(n, count);
    app_toast(t->v.app, "%s %s", count, picked < n ? "selected" : "unpicked");
}

/* What `a` and `i` act on: what the filter shows, or without one the explicit inventories, so that
 * "all" is never the operator's own machine and every name in ssh_config. */
static uint32_t *universe(const struct targets_view *t, size_t *n, size_t *left_out)
{
    const struct fleet *f = t->tree.fleet;
    bool filtered = target_tree_filtered(&t->tree);
    uint32_t *out = x_array(NULL, f->n_nodes + 1, sizeof *out);
    *n = *left_out = 0;
    for (size_t i = 0; i < f->n_nodes; i++) {
        if (!t->tree.match[i])
            continue;
        if (filtered || f->nodes[i].explicit_node)
            out[(*n)++] = (uint32_t) i;
        else
            ++*left_out;
    }
    return out;
}

static void pick_all(struct targets_view *t, bool invert)
{
    struct app *a = t->v.app;
    size_t n, left_out, on = 0, off = 0;
    char c1[32], c2[32];
    CLEANUP_FREE uint32_t *m = universe(t, &n, &left_out);
    CLEANUP_FREE uint32_t *drop = x_array(NULL, n + 1, sizeof *drop);
    if (n == 0 && left_out == 0) {
        app_toast(a, "no node is visible%s",
                  target_tree_filtered(&t->tree) ? ": Esc clears the filter" : "");
        return;
    }
    if (n == 0) {
        app_toast(a, "all of these are from outside the inventory: Space picks them one by one");
        return;
    }
    selection_save(&a->sel);
    for (size_t i = 0; i < n; i++) {
        if (!t->tree.picked[m[i]])
            m[on++] = m[i];
        else if (invert)
            drop[off++] = m[i];
    }
    pick(t, m, on, true);
    if (off > 0)
        pick(t, drop, off, false);
    text_count(nodeset_count(a->sel.nodes), c1);
    text_count(left_out, c2);
    if (left_out > 0)
        app_toast(a, "%s selected; %s from outside the inventory left out (Space picks)", c1, c2);
    else
        app_toast(a, "%s selected", c1);
}

static void run(struct targets_view *t)
{
    struct app *a = t->v.app;
    const struct trow *r = cursor_row(t);
    if (nodeset_count(a->sel.nodes) == 0) {
        if (!r || r->kind != TROW_NODE) {
            app_toast(a, "nothing is selected: Space picks a node or a group");
            return;
        }
        toggle_row(t, r);
    }
    app_review_form(a);
}

static void source_text(struct targets_view *t, const struct trow *r)
{
    const struct fleet_source *s = &t->tree.fleet->sources[r->index];
    app_toast(t->v.app, "%s %s is %s: %s (R reads it again)", s->type, s->path ? s->path : "",
              fleet_source_state_name(s->state), s->error ? s->error : "no reason given");
}

/* --- keys --- */

/* While a filter is typed the cursor stands on the first node that matches. */
static void to_first_match(struct targets_view *t)
{
    if (prompt_empty(&t->prompt))
        return;
    for (size_t i = 0; i < t->tree.n; i++) {
        if (t->tree.rows[i].kind == TROW_NODE) {
            list_move_to(&t->list, i);
            return;
        }
    }
    list_move_to(&t->list, 0);
}

static void set_filter(struct targets_view *t)
{
    struct err e = ERR_INIT;
    free(X_STEAL(t->filter_error));
    remember(t);
    /* What is wrong with the tree's own text the tree keeps, as a refresh may mend it. */
    if (target_tree_filter(&t->tree, t->prompt.field.text, &e) != 0 &&
        strcmp(t->prompt.field.text, t->tree.filter_text) != 0)
        t->filter_error = x_strdup(e.msg ? e.msg : "unfinished");
    err_clear(&e);
    if (t->tree.stale && t->tree.fleet) {
        target_tree_rebuild(&t->tree);
        rows_changed(t);
        to_first_match(t);
    }
}

static enum view_result targets_key(struct view *v, const struct key *k)
{
    struct targets_view *t = self(v);
    enum prompt_event event = prompt_key(&t->prompt, k);
    switch (event) {
    case PROMPT_EDITED:
    case PROMPT_ESC:
        set_filter(t);
        return VIEW_DONE;
    case PROMPT_LEAVE:
    case PROMPT_ENTER:
        /* An unfinished expression is given up for the last valid one. */
        if (t->filter_error) {
            field_set(&t->prompt.field, t->tree.filter_text);
            free(X_STEAL(t->filter_error));
        }
        set_filter(t);
        return event == PROMPT_LEAVE ? VIEW_IGNORED : VIEW_DONE;
    default:
        break;
    }
    enum action a = k->code == KEY_CODE_UP     ? ACT_UP
                    : k->code == KEY_CODE_DOWN ? ACT_DOWN
                    : k->code == KEY_CODE_PGUP ? ACT_PAGE_UP
                    : k->code == KEY_CODE_PGDN ? ACT_PAGE_DOWN
                                               : ACT_NONE;
    if (a == ACT_NONE)
        return VIEW_IGNORED;
    list_act(&t->list, a);
    remember(t);
    return VIEW_DONE;
}

static bool targets_takes_text(const struct view *v)
{
    return ((const struct targets_view *) v)->prompt.typing;
}

static void toggle_open(struct targets_view *t)
{
    remember(t);
    target_tree_toggle(&t->tree, t->list.cursor);
    rows_changed(t);
}

static void collapse(struct targets_view *t)
{
    const struct trow *r = cursor_row(t);
    if (!r)
        return;
    if (r->open)
        toggle_open(t);
    else if (r->parent != TREE_NO_PARENT)
        list_move_to(&t->list, r->parent);
}

static void expand(struct targets_view *t)
{
    const struct trow *r = cursor_row(t);
    if (!r || (r->kind != TROW_GROUP && r->kind != TROW_LOOSE))
        return;
    if (!r->open)
        toggle_open(t);
    else if (t->list.cursor + 1 < t->tree.n)
        list_move_to(&t->list, t->list.cursor + 1);
}

static void open_row(struct targets_view *t)
{
    const struct trow *r = cursor_row(t);
    if (!r)
        return;
    if (r->kind == TROW_NODE)
        vu_open_node(t->v.app, target_tree_name(&t->tree, r));
    else if (r->kind == TROW_SOURCE)
        source_text(t, r);
    else
        toggle_open(t);
}

static enum view_result back(struct targets_view *t)
{
    if (!prompt_empty(&t->prompt)) {
        field_set(&t->prompt.field, "");
        set_filter(t);
        return VIEW_DONE;
    }
    if (t->range) {
        t->range = false;
        return VIEW_DONE;
    }
    return VIEW_IGNORED;
}

static enum view_result act_on_selection(struct targets_view *t, enum action act)
{
    struct app *a = t->v.app;
    const struct trow *r = cursor_row(t);
    switch (act) {
    case ACT_TOGGLE:
        if (t->range) {
            toggle_range(t);
        } else if (r) {
            toggle_row(t, r);
            list_act(&t->list, ACT_DOWN);
        }
        return VIEW_DONE;
    case ACT_RANGE:
        t->range = !t->range;
        t->range_from = t->list.cursor;
        return VIEW_DONE;
    case ACT_SELECT_ALL:
    case ACT_INVERT:
        pick_all(t, act == ACT_INVERT);
        return VIEW_DONE;
    case ACT_CLEAR:
        if (nodeset_count(a->sel.nodes) > 0) {
            selection_save(&a->sel);
            selection_clear(&a->sel);
            app_toast(a, "none selected any more; z brings them back");
        } else {
            app_toast(a, "nothing is selected");
        }
        return VIEW_DONE;
    case ACT_UNDO:
        if (!selection_undo(&a->sel))
            app_toast(a, "nothing to undo");
        return VIEW_DONE;
    default:
        return VIEW_IGNORED;
    }
}

static enum view_result targets_act(struct view *v, enum action act)
{
    struct targets_view *t = self(v);
    enum view_result done = VIEW_DONE;
    /* Several keys may come between two frames, and the fleet may be another by now. */
    if (target_tree_sync(&t->tree, v->app->fleet, &v->app->sel))
        rows_changed(t);
    if (!t->tree.fleet && act != ACT_UNDO && act != ACT_CLEAR)
        return VIEW_IGNORED;
    if (list_act(&t->list, act)) {
        remember(t);
        return VIEW_DONE;
    }
    switch (act) {
    case ACT_COLLAPSE:
        collapse(t);
        break;
    case ACT_EXPAND:
        expand(t);
        break;
    case ACT_OPEN:
        open_row(t);
        break;
    case ACT_NODE:
        if (cursor_row(t) && cursor_row(t)->kind == TROW_NODE)
            open_row(t);
        else
            app_toast(t->v.app, "I shows all of a node: the cursor is on none");
        break;
    case ACT_SAVE:
        app_save_selection(v->app);
        break;
    case ACT_RECALL:
        app_recall_selection(v->app);
        break;
    case ACT_NOTE:
        if (cursor_row(t) && cursor_row(t)->kind == TROW_NODE)
            app_note(v->app, target_tree_name(&t->tree, cursor_row(t)), 0);
        else
            app_toast(v->app, "m writes a note on a node: the cursor is on none");
        break;
    case ACT_FILTER:
        prompt_start(&t->prompt);
        break;
    case ACT_RUN:
        run(t);
        break;
    case ACT_BACK:
        done = back(t);
        break;
    default:
        done = act_on_selection(t, act);
        break;
    }
    remember(t);
    return done;
}

const struct view_ops view_targets = {
    .title = "Targets",
    .ctx = CTX_TARGETS,
    .size = sizeof(struct targets_view),
    .init = targets_init,
    .fini = targets_fini,
    .load = targets_load,
    .draw = targets_draw,
    .act = targets_act,
    .key = targets_key,
    .takes_text = targets_takes_text,
    .caption = targets_caption,
};
