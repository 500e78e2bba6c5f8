/* SPDX-License-Identifier: Apache-2.0 */
/* The node overlay: groups, settings, variables and sources of a node, then everything that ran on
 * it, newest first. */
#include "vutil.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/base/vec.h"
#include "muster/core/fleet.h"
#include "muster/core/json.h"
#include "muster/store/reader.h"
#include "muster/ui/app.h"
#include "muster/ui/list.h"
#include "muster/ui/view.h"

#include <stdio.h>
#include <string.h>

#define FACTS_MAX 200
enum { COL_BATCH, COL_WHEN, COL_STATE, COL_TIME, COL_ACTION, COL_COUNT };

struct node_view {
    struct view v;
    char *node;
    struct strv facts; /* lines before the runs */
    int facts_width;
    struct list list; /* facts, a header, runs */
    struct node_run *runs;
    size_t first, n_runs, total;
    int64_t generation;
    char *error;
};

static struct node_view *self(struct view *v)
{
    return (struct node_view *) v;
}

static void node_init(struct view *v)
{
    struct node_view *n = self(v);
    n->node = x_strdup(v->app->node_name ? v->app->node_name : "");
    n->generation = -1;
}

static void drop_runs(struct node_view *n)
{
    if (n->runs)
        node_runs_free(n->runs, n->n_runs);
    n->runs = NULL;
    n->n_runs = 0;
}

static void node_fini(struct view *v)
{
    struct node_view *n = self(v);
    drop_runs(n);
    strv_clear(&n->facts);
    free(n->node);
    free(n->error);
}

/* --- facts --- */

static void add(struct strv *out, int w, const char *name, const char *text)
{
    if (out->n < FACTS_MAX)
        vu_fact(out, name, w < 60 ? 11 : 16, text, w, FACTS_MAX - out->n);
}

static void add_groups(struct strv *out, int w, const struct fleet *f, const struct fleet_node *x)
{
    struct strbuf b;
    strbuf_init(&b, 8192);
    for (size_t i = 0; i < x->n_groups; i++)
        strbuf_addf(&b, "%s@%s%s", i ? " " : "", f->groups[x->groups[i]].name,
                    f->groups[x->groups[i]].is_protected ? " (protected)" : "");
    add(out, w, "groups", x->n_groups ? b.s : "none");
    strbuf_free(&b);
}

static void add_settings(struct strv *out, int w, const struct fleet_node *x)
{
    struct settings all;
    settings_init(&all);
    settings_merge(&all, &x->base);
    settings_merge(&all, &x->over);
    for (int i = 0; i < SETTING_COUNT; i++) {
        enum setting_id id = (enum setting_id) i;
        if (!setting_is_set(&all, id))
            continue;
        char *value = setting_get(&all, id);
        /* ssh_config goes over the inventory's defaults, and under all else. */
        char *line = x_asprintf("%s%s", value,
                                setting_is_set(&x->over, id) ? "" : "  (default)");
        add(out, w, setting_key(id), line);
        free(line);
        free(value);
    }
    settings_clear(&all);
}

static void add_sources(struct strv *out, int w, const struct fleet *f, const struct fleet_node *x)
{
    for (size_t i = 0; i < f->n_sources; i++) {
        const struct fleet_source *s = &f->sources[i];
        if (!(x->sources & (UINT32_C(1) << (i < 31 ? i : 31))))
            continue;
        char *path = vu_path(s->path);
        char *line = x_asprintf("%s %s%s%s", s->type, path, s->state == SOURCE_OK ? "" : ": ",
                                s->state == SOURCE_OK ? "" : fleet_source_state_name(s->state));
        add(out, w, "source", line);
        free(path);
        free(line);
    }
}

/* Why the newest run went another way than usual, where it did. */
static void add_note(struct node_view *n, int w)
{
    struct execution x = {0};
    const char *name = n->node;
    if (n->v.app->reader && reader_last_runs(n->v.app->reader, &name, 1, &x, NULL) == 0 && x.note)
        add(&n->facts, w, "last way", x.note);
    execution_clear(&x);
}

struct fact_lines {
    struct strv *out;
    int w;
    const char *prefix;
};

/* A member of the facts, objects by their members: os.release.major. */
static int add_fact(const char *key, struct json *value, void *ctx)
{
    const struct fact_lines *l = ctx;
    CLEANUP_FREE char *name = *l->prefix ? x_asprintf("%s.%s", l->prefix, key) : x_strdup(key);
    if (json_type(value) == JSON_OBJECT) {
        struct fact_lines in = {l->out, l->w, name};
        return l->out->n < FACTS_MAX ? json_each(value, add_fact, &in) : 0;
    }
    const char *text = json_str(value);
    CLEANUP_FREE char *line = x_asprintf("%s = %s", name, text ? text : json_text(value, NULL));
    add(l->out, l->w, "fact", line);
    return 0;
}

/* What a facts task has learned, and how long ago. */
static void add_facts(struct node_view *n, int w)
{
    struct node_facts *v = NULL;
    size_t count = 0;
    char age[32];
    if (reader_facts(n->v.app->reader, n->node, &v, &count, NULL) != 0)
        return;
    for (size_t i = 0; i < count; i++) {
        struct json *all = json_parse(v[i].facts, strlen(v[i].facts), NULL);
        struct fact_lines to = {&n->facts, w, ""};
        CLEANUP_FREE char *when =
            x_asprintf("learned %s ago by #%lld",
                       text_duration(wall_ms(n->v.app->clock) - v[i].learned_ms, age),
                       (long long) v[i].batch);
        add(&n->facts, w, "facts", when);
        if (all)
            json_each(all, add_fact, &to);
        json_free(all);
    }
    node_facts_free(v, count);
}

/* What people wrote about it, the oldest first. */
static void add_notes(struct node_view *n, int w)
{
    struct note *v = NULL;
    size_t count = 0;
    char when[32];
    if (reader_notes(n->v.app->reader, n->node, 0, &v, &count, NULL) != 0)
        return;
    for (size_t i = 0; i < count; i++) {
        CLEANUP_FREE char *line = x_asprintf("%s (%s, %s)", v[i].text, v[i].user_id,
                                             vu_time(v[i].written_ms, wall_ms(n->v.app->clock), when));
        add(&n->facts, w, "note", line);
    }
    notes_free(v, count);
}

static void make_facts(struct node_view *n, int w)
{
    const struct fleet *f = n->v.app->fleet;
    const struct fleet_node *x = f ? fleet_node(f, n->node) : NULL;
    strv_clear(&n->facts);
    n->facts_width = w;
    add_note(n, w);
    if (n->v.app->reader)
        add_notes(n, w);
    if (!x) {
        add(&n->facts, w, "inventory", "not in it now; this is what ran on it before");
        return;
    }
    add_groups(&n->facts, w, f, x);
    add_settings(&n->facts, w, x);
    for (size_t i = 0; i < x->n_vars; i++) {
        char *line = x_asprintf("%s = %s", x->vars[i].name, x->vars[i].value);
        add(&n->facts, w, "variable", line);
        free(line);
    }
    add_sources(&n->facts, w, f, x);
    if (n->v.app->reader)
        add_facts(n, w);
}

/* --- runs --- */

static size_t rows_before(const struct node_view *n)
{
    return n->facts.n + 1;
}

static void load_runs(struct node_view *n, size_t height)
{
    struct app *a = n->v.app;
    struct err e = ERR_INIT;
    size_t head = rows_before(n);
    size_t first = n->list.top > head ? n->list.top - head : 0;
    if (n->generation == a->data_generation && first >= n->first &&
        (first + height <= n->first + n->n_runs || n->first + n->n_runs >= n->total))
        return;
    drop_runs(n);
    free(X_STEAL(n->error));
    n->generation = a->data_generation;
    n->first = first;
    if (reader_node_runs(a->reader, n->node, 0, first, 2 * height, &n->runs, &n->n_runs, &n->total,
                         &e) != 0) {
        n->error = text_clean(e.msg);
        err_clear(&e);
        n->runs = NULL;
        n->n_runs = n->total = 0;
    }
}

static void node_load(struct view *v, int w, int h)
{
    struct node_view *n = self(v);
    bool at_first = n->generation < 0;
    make_facts(n, w - 1);
    list_set_height(&n->list, h > 0 ? (size_t) h : 0);
    if (v->app->reader && h > 0)
        load_runs(n, (size_t) h);
    list_set_count(&n->list, rows_before(n) + n->total);
    /* The runs are what one comes for: the cursor starts on the newest, where it is to be seen. */
    if (at_first && n->total > 0 && h > 0 && rows_before(n) < (size_t) h)
        list_move_to(&n->list, rows_before(n));
}

static const struct node_run *run_at(const struct node_view *n, size_t row)
{
    size_t head = rows_before(n);
    if (row < head || row - head < n->first || row - head - n->first >= n->n_runs)
        return NULL;
    return &n->runs[row - head - n->first];
}

/* --- drawing --- */

static char *when_of(const struct node_view *n, const struct node_run *r, char *buf)
{
    int64_t at = r->x.started_ms ? r->x.started_ms : r->x.completed_ms;
    return vu_time(at, wall_ms(n->v.app->clock), buf);
}

/* The widest time at hand: today's have no date. */
static int when_width(const struct node_view *n)
{
    int w = 0;
    char buf[32];
    for (size_t i = 0; i < n->n_runs; i++) {
        int have = (int) strlen(when_of(n, &n->runs[i], buf));
        w = have > w ? have : w;
    }
    return w;
}

static void draw_run(const struct node_view *n, const struct column *cols, struct surface *s,
                     struct rect row, const struct node_run *r)
{
    char buf[64], when[32];
    snprintf(buf, sizeof buf, "#%lld", (long long) r->x.batch);
    columns_cell(&cols[COL_BATCH], s, row, ROLE_NORMAL, buf);
    columns_cell(&cols[COL_WHEN], s, row, ROLE_DIM,
                 when_of(n, r, when));
    snprintf(buf, sizeof buf, "%s %s", vu_exec_glyph(r->x.status, r->x.reason),
             vu_exec_word(r->x.status, r->x.reason));
    columns_cell(&cols[COL_STATE], s, row, vu_exec_role(r->x.status, r->x.reason), buf);
    columns_cell(&cols[COL_TIME], s, row, ROLE_NORMAL,
                 vu_exec_time(&r->x, wall_ms(n->v.app->clock), when));
    char *action = text_clean(r->action);
    columns_cell(&cols[COL_ACTION], s, row, ROLE_NORMAL, action);
    free(action);
}

static void draw_head(const struct node_view *n, const struct column *cols, struct surface *s,
                      struct rect row)
{
    if (n->error)
        surface_fit(s, row, row.x, row.y, row.w, ROLE_ERROR, n->error, false);
    else if (n->total == 0)
        surface_fit(s, row, row.x, row.y, row.w, ROLE_DIM, "nothing ran on it yet", false);
    else
        columns_head(cols, COL_COUNT, s, row);
}

static void node_draw(struct view *v, struct surface *s, struct rect body, bool focused)
{
    const struct node_view *n = (const struct node_view *) v;
    struct column cols[COL_COUNT] = {{"batch", 5, 7, false, 0, false, 0, 0},
                                     {"when", 8, when_width(n), false, 2, false, 0, 0},
                                     {"state", 9, 9, false, 0, false, 0, 0},
                                     {"time", 7, 7, false, 3, true, 0, 0},
                                     {"command", 10, 20, true, 1, false, 0, 0}};
    int w = body.w - 1 - vu_gap(s, body);
    columns_layout(cols, COL_COUNT, w);
    for (int y = 0; y < body.h; y++) {
        size_t i = n->list.top + (size_t) y;
        struct rect row = {body.x + 1, body.y + y, w, 1};
        const struct node_run *r = run_at(n, i);
        if (i >= n->list.count)
            break;
        if (i < n->facts.n)
            surface_fit(s, row, row.x, row.y, row.w, ROLE_NORMAL, n->facts.v[i], false);
        else if (i == n->facts.n)
            draw_head(n, cols, s, row);
        else if (r)
            draw_run(n, cols, s, row, r);
        if (i == n->list.cursor) {
            surface_text(s, body, body.x, row.y, ROLE_CURSOR, ">");
            vu_cursor_row(s, body, row.y, focused);
        }
    }
}

static void node_caption(struct view *v, char *buf, size_t n)
{
    const struct node_view *x = (const struct node_view *) v;
    char *name = text_clean(x->node);
    snprintf(buf, n, "%s  %zu run%s", name, x->total, x->total == 1 ? "" : "s");
    free(name);
}

static enum view_result node_act(struct view *v, enum action act)
{
    struct node_view *n = self(v);
    const struct node_run *r = run_at(n, n->list.cursor);
    if (act == ACT_TOGGLE)
        act = ACT_PAGE_DOWN;
    if (act == ACT_OPEN) {
        if (r)
            vu_open_output(v->app, r->x.batch, r->x.position);
        return VIEW_DONE;
    }
    if (act == ACT_NOTE) {
        app_note(v->app, n->node, 0);
        return VIEW_DONE;
    }
    return list_act(&n->list, act) ? VIEW_DONE : vu_no_use(v->app, act);
}

const struct view_ops view_node = {
    .title = "Node",
    .ctx = CTX_TEXT,
    .size = sizeof(struct node_view),
    .init = node_init,
    .fini = node_fini,
    .load = node_load,
    .draw = node_draw,
    .act = node_act,
    .caption = node_caption,
};
