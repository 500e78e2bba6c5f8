/* SPDX-License-Identifier: Apache-2.0 */
/* The Results pane: the summary, a plain line about success or failure, the classes of equal
 * results and all nodes; the search across all outputs. */
#include "class_list.h"
#include "exec_list.h"
#include "output_find.h"
#include "vutil.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/ui/app.h"
#include "muster/ui/view.h"

#include <stdio.h>
#include <string.h>

enum { TAB_CLASSES, TAB_NODES, TAB_COUNT };
#define FIND_CLASSES 200                      /* classes that one n or N looks through */
#define FIND_BYTES ((uint64_t) 32 << 20)      /* and bytes of them */

struct results_view {
    struct view v;
    int tab;
    int64_t batch;
    struct class_list classes;
    struct exec_list nodes;
    struct prompt search;   /* of the Classes tab: across all outputs */
    char *found;            /* "37 hits on 12 nodes", or an error */
    int64_t found_generation;
    bool no_more;           /* the last n or N found no class */
    bool from_classes;      /* `!` led from the classes to the failed nodes, and leads back */
};

static const enum exec_sort sorts[] = {SORT_NAME, SORT_STATUS, SORT_DURATION};
static const char *const tab_names[TAB_COUNT] = {"Classes", "Nodes"};

static struct results_view *self(struct view *v)
{
    return (struct results_view *) v;
}

static void results_init(struct view *v)
{
    struct results_view *r = self(v);
    exec_list_init(&r->nodes, sorts, ARRAY_LEN(sorts));
    prompt_init(&r->search);
}

static void results_fini(struct view *v)
{
    struct results_view *r = self(v);
    class_list_free(&r->classes);
    exec_list_free(&r->nodes);
    prompt_free(&r->search);
    free(r->found);
}

/* --- search --- */

static void search_all(struct results_view *r)
{
    struct app *a = r->v.app;
    struct err e = ERR_INIT;
    size_t nodes = 0, hits = 0;
    bool partial = false;
    char c1[32], c2[32];
    free(X_STEAL(r->found));
    r->no_more = false;
    r->found_generation = a->data_generation;
    if (prompt_empty(&r->search) || r->batch == 0)
        return;
    if (reader_search(a->reader, r->batch, r->search.field.text, &nodes, &hits, &partial, &e)) {
        r->found = text_clean(e.msg);
        err_clear(&e);
        return;
    }
    r->found = x_asprintf("%s hit%s on %s node%s%s%s", text_count(hits, c1), hits == 1 ? "" : "s",
                          text_count(nodes, c2), nodes == 1 ? "" : "s",
                          partial ? " (in the first 64 MiB)" : "", hits ? ", n next" : "");
}

static bool class_has(struct results_view *r, const struct output_class *c, uint64_t *budget)
{
    const char *needle = r->search.field.text;
    for (int i = 0; i < 2; i++) {
        uint64_t at;
        if (c->out_id[i] == 0 || *budget == 0)
            continue;
        uint64_t len = c->out_size[i] < *budget ? c->out_size[i] : *budget;
        *budget -= len;
        if (output_find(r->v.app->reader, c->out_id[i], 0, len, needle, &at))
            return true;
    }
    return false;
}

/* Moves to the next class whose output holds the text. */
static void find_class(struct results_view *r, bool forward)
{
    struct app *a = r->v.app;
    const struct class_row *row = class_list_at(&r->classes);
    uint64_t budget = FIND_BYTES;
    size_t total = r->classes.n_classes, at = row ? row->cls : 0;
    if (prompt_empty(&r->search)) {
        app_toast(a, "nothing is searched: / searches in all outputs");
        return;
    }
    r->no_more = false;
    for (size_t k = 1; k <= total && k <= FIND_CLASSES && budget > 0; k++) {
        struct output_class *c = NULL;
        size_t n = 0, i = forward ? (at + k) % total : (at + total - k % total) % total;
        if (reader_classes(a->reader, r->batch, i, 1, &c, &n, NULL, NULL) != 0)
            break;
        bool hit = n > 0 && class_has(r, &c[0], &budget);
        classes_free(c, n);
        if (hit) {
            class_list_goto(&r->classes, i);
            return;
        }
    }
    r->no_more = true;
}

/* --- loading --- */

static bool prompt_shown(const struct results_view *r)
{
    const struct prompt *p = r->tab == TAB_CLASSES ? &r->search : &r->nodes.prompt;
    return p->typing || !prompt_empty(p);
}

static int head_rows(int h)
{
    return h >= 6 ? 2 : h >= 4 ? 1 : 0;
}

static void results_load(struct view *v, int w, int h)
{
    struct results_view *r = self(v);
    struct app *a = v->app;
    int rows = h - head_rows(h) - (prompt_shown(r) ? 1 : 0);
    if (r->batch != a->batch) {
        r->batch = a->batch;
        r->tab = TAB_CLASSES;
        exec_list_reset(&r->nodes);
        r->nodes.batch = a->batch;
        field_set(&r->search.field, "");
        r->search.typing = r->no_more = r->from_classes = false;
        free(X_STEAL(r->found));
    }
    if (a->batch == 0 || !a->reader)
        return;
    if (r->tab == TAB_CLASSES) {
        class_list_load(&r->classes, a, a->batch, rows - 1);
        if (!r->search.typing && !prompt_empty(&r->search) &&
            r->found_generation != a->data_generation)
            search_all(r);
    } else {
        exec_list_load(&r->nodes, a, a->batch, rows);
    }
}

/* --- drawing --- */

/* "30 nodes, 15.0s  . ok 25  failed 5 (! exit 3  T timeout 2)": what may be cut stands last. */
static char *summary(const struct results_view *r, const struct batch *b)
{
    const struct batch_stats *st = &b->stats;
    struct strbuf out, why;
    char num[32];
    int64_t ms = batch_duration_ms(b, wall_ms(r->v.app->clock));
    strbuf_init(&out, 1024);
    strbuf_init(&why, 512);
    strbuf_addf(&out, "%s node%s", text_count(st->total, num), st->total == 1 ? "" : "s");
    if (ms >= 0)
        strbuf_addf(&out, ", %s", text_duration(ms, num));
    strbuf_addf(&out, "  %s ok %s", exec_status_glyph(EXEC_SUCCESS), text_count(st->success, num));
    if (st->running + st->queued)
        strbuf_addf(&out, "  to come %s", text_count(st->running + st->queued, num));
    for (int k = REASON_EXIT; k < REASON_COUNT; k++)
        vu_count(&why, reason_glyph((enum reason) k), reason_name((enum reason) k),
                 st->by_reason[k]);
    if (st->failed)
        strbuf_addf(&out, "  failed %s (%s)", text_count(st->failed, num), why.s);
    strbuf_free(&why);
    return strbuf_steal(&out);
}

static char *verdict(const struct batch *b, enum role *role)
{
    const struct batch_stats *st = &b->stats;
    *role = ROLE_WARN;
    switch (b->status) {
    case BATCH_RUNNING:
        *role = ROLE_RUN;
        return x_asprintf("still running: %u%% done", batch_progress(st));
    case BATCH_SUCCESS:
        *role = ROLE_OK;
        return x_asprintf("Success: the %s succeeded on %s.", action_type_name(b->type),
                          st->total == 1 ? "the node" : "every node");
    case BATCH_FAILED:
        *role = ROLE_FAIL;
        return x_strdup("Warning: it succeeded on no node. r runs it again.");
    case BATCH_CANCELLED:
        return x_asprintf("Warning: cancelled. %u of %u nodes succeeded.", st->success, st->total);
    default:
        return x_asprintf("Warning: %u of %u nodes did not succeed. ! shows them, r runs them "
                          "again.", st->failed, st->total);
    }
}

static void results_draw(struct view *v, struct surface *s, struct rect body, bool focused)
{
    struct results_view *r = self(v);
    const struct app *a = v->app;
    int y = body.y, head = head_rows(body.h), w = body.w - 1 - vu_gap(s, body);
    enum role role;
    if (a->batch == 0) {
        const char *lines[] = {"No batch open.", "c composes one, 5 shows the history."};
        vu_teach(s, body, lines, ARRAY_LEN(lines));
        if (focused)
            surface_cursor(s, body.x, body.y, false);
        return;
    }
    char *sum = summary(r, &a->open), *plain = verdict(&a->open, &role);
    if (head > 0)
        surface_fit(s, body, body.x + 1, y++, w, ROLE_NORMAL, sum, false);
    if (head > 1)
        surface_fit(s, body, body.x + 1, y++, w, role, plain, false);
    free(sum);
    free(plain);
    if (prompt_shown(r)) {
        if (r->tab == TAB_CLASSES) {
            prompt_draw(&r->search, s, body, y, focused, "",
                        r->no_more ? "in no class near here"
                        : r->found ? r->found
                                   : "Enter searches in all outputs",
                        r->no_more ? ROLE_WARN : ROLE_DIM);
        } else {
            char note[64];
            exec_list_note(&r->nodes, a->open.stats.total, note, sizeof note);
            prompt_draw(&r->nodes.prompt, s, body, y, focused, "", note, ROLE_DIM);
        }
        y++;
    }
    struct rect rest = {body.x, y, body.w, body.y + body.h - y};
    if (rest.h < 2)
        return;
    if (r->tab == TAB_CLASSES)
        class_list_draw(&r->classes, a, s, rest, focused && !r->search.typing);
    else
        exec_list_draw(&r->nodes, a, s, rest, focused, false);
}

static void results_caption(struct view *v, char *buf, size_t n)
{
    const struct results_view *r = (const struct results_view *) v;
    char order[64] = "";
    if (r->tab == TAB_NODES)
        exec_list_caption(&r->nodes, order, sizeof order);
    else if (v->app->batch)
        snprintf(order, sizeof order, "largest first");
    snprintf(buf, n, r->tab == TAB_CLASSES ? "[%s] %s" : "%s [%s]", tab_names[TAB_CLASSES],
             tab_names[TAB_NODES]);
    if (*order && strlen(buf) + strlen(order) + 3 < n)
        snprintf(buf + strlen(buf), n - strlen(buf), "  %s", order);
}

/* --- keys --- */

static enum view_result act_classes(struct results_view *r, enum action act)
{
    struct app *a = r->v.app;
    const struct class_row *row = class_list_at(&r->classes);
    if (class_list_act(&r->classes, act))
        return VIEW_DONE;
    switch (act) {
    case ACT_OPEN:
        r->classes.moved = true;
        if (row && row->x) {
            vu_open_output(a, r->batch, row->x->position);
        } else if (row && row->c) {
            bool open = false;
            for (size_t i = 0; i < r->classes.n_open; i++)
                open = open || r->classes.open[i].cls == row->cls;
            class_list_toggle(&r->classes, !open);
        }
        return VIEW_DONE;
    case ACT_NODE:
        if (row && row->x)
            vu_open_node(a, row->x->node);
        return VIEW_DONE;
    case ACT_FILTER:
        prompt_start(&r->search);
        return VIEW_DONE;
    case ACT_FIND_NEXT:
    case ACT_FIND_PREV:
        find_class(r, act == ACT_FIND_NEXT);
        return VIEW_DONE;
    case ACT_FAILED_ONLY:
    case ACT_FILTER_STATUS:
    case ACT_SORT:
    case ACT_SORT_REVERSE:
        /* Classes stand largest first; filters and orders are the nodes'. */
        r->tab = TAB_NODES;
        r->from_classes = act == ACT_FAILED_ONLY;
        if (!r->from_classes || r->nodes.show != SHOW_FAILED)
            exec_list_act(&r->nodes, a, act);
        return VIEW_DONE;
    case ACT_BACK:
        if (prompt_empty(&r->search))
            return VIEW_IGNORED;
        field_set(&r->search.field, "");
        free(X_STEAL(r->found));
        return VIEW_DONE;
    default:
        return VIEW_IGNORED;
    }
}

static enum view_result results_act(struct view *v, enum action act)
{
    struct results_view *r = self(v);
    if (v->app->batch == 0)
        return VIEW_IGNORED;
    if (act == ACT_NEXT_TAB || act == ACT_PREV_TAB) {
        r->tab = r->tab == TAB_CLASSES ? TAB_NODES : TAB_CLASSES;
        r->from_classes = false;
        return VIEW_DONE;
    }
    if (act == ACT_CANCEL) {
        app_cancel_batch(v->app, v->app->batch);
        return VIEW_DONE;
    }
    if (act == ACT_EXPORT && r->tab == TAB_NODES && exec_list_filtered(&r->nodes)) {
        app_export_filtered(v->app, v->app->batch, &r->nodes.filter);
        return VIEW_DONE;
    }
    if (r->tab == TAB_CLASSES)
        return act_classes(r, act);
    if (r->from_classes && (act == ACT_FAILED_ONLY || act == ACT_BACK) &&
        prompt_empty(&r->nodes.prompt)) {
        r->nodes.show = SHOW_ALL;
        r->nodes.stale = true;
        r->from_classes = false;
        r->tab = TAB_CLASSES;
        return VIEW_DONE;
    }
    return exec_list_act(&r->nodes, v->app, act) ? VIEW_DONE : vu_no_use(v->app, act);
}

static enum view_result results_key(struct view *v, const struct key *k)
{
    struct results_view *r = self(v);
    if (r->tab == TAB_NODES)
        return exec_list_key(&r->nodes, k) ? VIEW_DONE : VIEW_IGNORED;
    switch (prompt_key(&r->search, k)) {
    case PROMPT_LEAVE:
    case PROMPT_PASS:
        return VIEW_IGNORED;
    case PROMPT_ENTER:
        search_all(r);
        return VIEW_DONE;
    default:
        free(X_STEAL(r->found));
        return VIEW_DONE;
    }
}

static bool results_takes_text(const struct view *v)
{
    const struct results_view *r = (const struct results_view *) v;
    return r->tab == TAB_CLASSES ? r->search.typing : r->nodes.prompt.typing;
}

const struct view_ops view_results = {
    .title = "Results",
    .ctx = CTX_RESULTS,
    .size = sizeof(struct results_view),
    .init = results_init,
    .fini = results_fini,
    .load = results_load,
    .draw = results_draw,
    .act = results_act,
    .key = results_key,
    .takes_text = results_takes_text,
    .caption = results_caption,
};
