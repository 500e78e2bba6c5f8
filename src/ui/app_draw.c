/* SPDX-License-Identifier: Apache-2.0 */
/* Drawing the whole screen: the top line, the panes or the overlay on top, the status row, the
 * footer. */
#include "app_private.h"
#include "layout.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/fleet.h"

#include <stdio.h>
#include <string.h>

static const char *const pane_names[PANE_COUNT] = {"Targets", "Action", "Progress", "Results",
                                                   "History"};

/* "#43 RUNNING 61%  t+1:12", or "". */
static void batch_text(const struct app *a, char *buf, size_t n, bool wide)
{
    const struct batch *b = &a->open;
    char time[24], state[32];

    buf[0] = '\0';
    if (a->batch == 0)
        return;
    size_t i = 0;
    for (const char *p = batch_status_name(b->status); *p && i + 1 < sizeof state; p++)
        state[i++] = *p >= 'a' && *p <= 'z' ? (char) (*p - 32) : *p;
    state[i] = '\0';
    int at = snprintf(buf, n, "#%lld %s", (long long) b->number, state);
    if (b->status == BATCH_RUNNING)
        at += snprintf(buf + at, n - (size_t) at, " %u%%", batch_progress(&b->stats));
    if (wide)
        snprintf(buf + at, n - (size_t) at, "  t+%s",
                 text_duration(batch_duration_ms(b, wall_ms(a->clock)), time));
}

static void right_text(struct surface *s, struct rect row, enum role role, const char *text)
{
    int w = (int) text_width(text);

    surface_text(s, row, row.x + row.w - w - 1, row.y, role, text);
}

static void top_wide(struct app *a, struct surface *s, struct rect row)
{
    char n[32], batch[96];
    struct strbuf b;
    const char *db = service_db_path(a->service), *base = strrchr(db, '/');

    strbuf_init(&b, 512);
    strbuf_addf(&b, " muster  %s  %s", a->priv->who, base ? base + 1 : db);
    if (a->fleet)
        strbuf_addf(&b, "  %s hosts%s", text_count(a->fleet->n_nodes, n),
                    a->fleet_error ? " (stale)" : "");
    if (selection_count(&a->sel))
        strbuf_addf(&b, "   %s selected", text_count(selection_count(&a->sel), n));
    if (a->read_only)
        strbuf_adds(&b, "   read-only");
    batch_text(a, batch, sizeof batch, true);
    surface_fit(s, row, row.x, row.y, row.w - (int) strlen(batch) - 2, ROLE_STATUS, b.s, true);
    right_text(s, row, ROLE_STATUS, batch);
    strbuf_free(&b);
}

/* "1Targets 2Action [*3Progress! 4Results] 5History": what is shown, and what has the keys. */
static void tabs_text(const struct app *a, const struct layout *l, bool brief, struct strbuf *b)
{
    bool open = false;

    for (int i = 0; i < PANE_COUNT; i++) {
        bool shown = l->panes[i].w > 0;
        if (i > 0)
            strbuf_adds(b, open && !shown ? "] " : " ");
        if (shown && !open)
            strbuf_adds(b, "[");
        open = shown;
        if (brief)
            strbuf_addf(b, "%d%c", i + 1, pane_names[i][0]);
        else
            strbuf_addf(b, "%s%d%s", i == (int) a->focus ? "*" : "", i + 1, pane_names[i]);
        if (i == PANE_PROGRESS && a->unseen_failures)
            strbuf_adds(b, "!");
    }
    if (open)
        strbuf_adds(b, "]");
}

static void top_tabs(struct app *a, const struct layout *l, struct surface *s)
{
    struct rect row = l->top;
    char batch[96], n[32], sel[48] = "";
    struct strbuf tabs, line;

    strbuf_init(&tabs, 256);
    strbuf_init(&line, 512);
    batch_text(a, batch, sizeof batch, false);
    tabs_text(a, l, row.w < 72, &tabs);
    if (selection_count(&a->sel))
        snprintf(sel, sizeof sel, "%s sel", text_count(selection_count(&a->sel), n));
    size_t room = (size_t) row.w;
    if (tabs.len + strlen(batch) + 12 <= room)
        strbuf_addf(&line, " muster %s%s", batch, batch[0] ? "  " : " ");
    else if (tabs.len + strlen(batch) + 4 <= room)
        strbuf_addf(&line, " %s%s", batch, batch[0] ? " " : "");
    strbuf_add(&line, tabs.s, tabs.len);
    surface_fit(s, row, row.x, row.y, row.w, ROLE_STATUS, line.s, true);
    if (sel[0] && line.len + strlen(sel) + 2 <= room)
        right_text(s, row, ROLE_STATUS, sel);
    strbuf_free(&tabs);
    strbuf_free(&line);
}

/* What stands on the status row while nothing was said or asked. */
static void standing_text(struct app *a, const struct layout *l, struct surface *s)
{
    struct rect r = l->status;
    char text[192] = "";
    enum role role = ROLE_WARN;
    struct view *v = a->n_overlays ? a->overlays[a->n_overlays - 1] : a->panes[a->focus];

    if (a->priv->trouble) {
        snprintf(text, sizeof text, "%s", a->priv->trouble);
        role = ROLE_FAIL;
    } else if (a->priv->question_waits) {
        snprintf(text, sizeof text, "a question waits until nothing is typed (Esc leaves a field)");
    } else if (a->priv->quit_when_idle) {
        snprintf(text, sizeof text, "cancelled; muster quits when all has stopped");
    } else if (a->fleet_error) {
        snprintf(text, sizeof text, "%sinventory: %s", a->fleet ? "stale " : "", a->fleet_error);
        role = ROLE_FAIL;
    } else if (!l->borders && v->ops->caption) {
        role = ROLE_TITLE;
        v->ops->caption(v, text, sizeof text);
    } else if (a->batch && a->open.status == BATCH_RUNNING && a->open.stats.failed > 0) {
        snprintf(text, sizeof text, "%u failed so far; ! shows failures only",
                 a->open.stats.failed);
    } else if (a->read_only && l->mode != LAYOUT_WIDE) {
        snprintf(text, sizeof text, "read-only: nothing can be run or changed");
    }
    surface_fit(s, r, r.x + 1, r.y, r.w - 1, role, text, false);
}

/* One hint: " key word"; returns the columns it took, or would take when s is NULL. */
static int hint(struct surface *s, struct rect row, int x, const char *key, const char *word)
{
    if (s) {
        int used = surface_text(s, row, x + 1, row.y, ROLE_HINT, key);
        surface_text(s, row, x + 2 + used, row.y, ROLE_DIM, word);
    }
    return (int) (text_width(key) + text_width(word)) + 3;
}

/* Whether an action can do something here and now. */
static bool worth_a_hint(const struct app *a, const struct view *v, const struct action_row *r)
{
    bool history = v->ops->ctx == CTX_HISTORY;
    bool has_batch = history ? a->priv->any_batch : a->batch != 0;

    if (!r->footer[0] || !(r->contexts & v->ops->ctx) || r->id == ACT_HELP || r->id == ACT_QUIT ||
        ((r->flags & AF_MUTATES) && a->read_only) ||
        ((r->flags & AF_BATCH) && !has_batch))
        return false;
    switch (r->id) {
    case ACT_NEXT_PANE:
    case ACT_COMPOSE:
        return a->n_overlays == 0;
    case ACT_CANCEL:
    case ACT_PAUSE:
        return history ? a->priv->any_running : a->open.status == BATCH_RUNNING;
    case ACT_WRAP:
    case ACT_STREAM:
        return v->ops == &view_output;
    case ACT_OPEN:
        return history ? has_batch : v->ops->ctx != CTX_TEXT || v->ops == &view_node;
    default:
        return true;
    }
}

/* The footer of a question, or of a view that takes text. */
static void draw_answers(struct app *a, struct surface *s, struct rect row, const struct view *v)
{
    const struct question *q = &a->priv->question;
    const struct choice *c = q->active ? q->choice : NULL;
    int x = row.x;

    if (c) {
        for (size_t i = 0; c->keys[i]; i++)
            x += hint(s, row, x, (char[]) {c->keys[i], '\0'}, c->words[i]);
        if (strcmp(c->esc, "no") == 0)
            x += hint(s, row, x, "n", "no");
        if (x + hint(NULL, row, x, "Esc", c->esc) <= row.x + row.w + 1)
            hint(s, row, x, "Esc", c->esc);
    } else {
        if (q->active || v->ops != &view_review)
            x += hint(s, row, x, "Enter", "done");
        hint(s, row, x, "Esc", "back");
    }
}

/* What is most useful in a context: hints of these come first, then those of the rest. */
static const struct {
    enum ctx ctx;
    enum action acts[7];
} first[] = {
    {CTX_TARGETS, {ACT_TOGGLE, ACT_RUN, ACT_FILTER, ACT_SELECT_ALL, ACT_RANGE, ACT_CLEAR}},
    {CTX_ACTION, {ACT_EDIT, ACT_RUN}},
    {CTX_PROGRESS,
     {ACT_CANCEL, ACT_FAILED_ONLY, ACT_PAUSE, ACT_RERUN, ACT_OPEN, ACT_FILTER, ACT_EXPORT}},
    {CTX_RESULTS, {ACT_OPEN, ACT_FAILED_ONLY, ACT_RERUN, ACT_EXPORT, ACT_FILTER, ACT_SORT}},
    {CTX_HISTORY,
     {ACT_OPEN, ACT_RERUN, ACT_COMPOSE, ACT_CANCEL, ACT_FAILED_ONLY, ACT_EXPORT, ACT_FILTER}},
};

/* The actions in the order of their hints; returns how many. */
static size_t hint_order(enum ctx ctx, enum action out[ACT_COUNT])
{
    bool taken[ACT_COUNT] = {false};
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(first); i++)
        for (size_t k = 0; first[i].ctx == ctx && k < ARRAY_LEN(first[i].acts); k++)
            if (first[i].acts[k] != ACT_NONE) {
                out[n++] = first[i].acts[k];
                taken[first[i].acts[k]] = true;
            }
    for (int i = 1; i < ACT_COUNT; i++)
        if (!taken[i])
            out[n++] = (enum action) i;
    return n;
}

static void draw_footer(struct app *a, struct surface *s, struct rect row)
{
    struct view *v = a->n_overlays ? a->overlays[a->n_overlays - 1] : a->panes[a->focus];
    bool top = a->n_overlays == 0 && a->focus == PANE_HISTORY && !a->zoomed;
    const char *quit = top ? "quit" : "back";
    enum action order[ACT_COUNT];
    char key[16], last[16];
    int x = row.x;

    if (a->priv->question.active || (v->ops->takes_text && v->ops->takes_text(v))) {
        draw_answers(a, s, row, v);
        return;
    }
    action_key(ACT_HELP, key);
    action_key(ACT_QUIT, last);
    int tail = hint(NULL, row, 0, key, "help") + hint(NULL, row, 0, last, quit);
    size_t n = hint_order(v->ops->ctx, order);
    for (size_t i = 0; i < n; i++) {
        const struct action_row *r = action_row(order[i]);
        char k[16];
        if (!worth_a_hint(a, v, r))
            continue;
        const char *word =
            order[i] == ACT_TOGGLE && v->ops->ctx == CTX_TEXT ? "page" : r->footer;
        action_key(order[i], k);
        if (x + hint(NULL, row, x, k, word) + tail <= row.x + row.w)
            x += hint(s, row, x, k, word);
    }
    x += hint(s, row, x, key, "help");
    hint(s, row, x, last, quit);
}

static struct rect body_of(const struct layout *l, struct rect r)
{
    return l->borders ? (struct rect) {r.x + 1, r.y + 1, r.w - 2, r.h - 2} : r;
}

static void load_view(struct view *v, struct rect body, bool *stale, struct rect *size)
{
    if ((*stale || size->w != body.w || size->h != body.h) && v->ops->load)
        v->ops->load(v, body.w, body.h);
    *stale = false;
    *size = body;
}

/* Loads a view when it has to be, and draws it with its border. */
static void draw_view(struct app *a, struct surface *s, const struct layout *l, struct view *v,
                      struct rect r, const char *title, bool focused, bool *stale,
                      struct rect *size)
{
    struct rect body = body_of(l, r);

    if (body.w < 1 || body.h < 1)
        return;
    load_view(v, body, stale, size);
    if (l->borders) {
        char right[256] = "";
        if (v->ops->caption)
            v->ops->caption(v, right, sizeof right);
        surface_frame(s, r, focused, title, right);
    }
    if (focused)
        surface_cursor(s, body.x, body.y, false);
    v->ops->draw(v, s, body, focused);
}

static void draw_pane(struct app *a, struct surface *s, const struct layout *l, int i)
{
    bool of_batch = a->batch && (i == PANE_PROGRESS || i == PANE_RESULTS);
    char title[64], number[24] = "";

    if (l->panes[i].w == 0)
        return;
    if (of_batch)
        snprintf(number, sizeof number, " #%lld", (long long) a->batch);
    snprintf(title, sizeof title, "[%d] %s%s", i + 1, a->panes[i]->ops->title, number);
    draw_view(a, s, l, a->panes[i], l->panes[i], title, i == (int) a->focus,
              &a->priv->stale_panes[i], &a->priv->pane_sizes[i]);
}

static void draw_panes(struct app *a, struct surface *s, const struct layout *l)
{
    struct app_private *p = a->priv;

    if (a->n_overlays > 0) {
        size_t i = a->n_overlays - 1;
        struct view *v = a->overlays[i];
        draw_view(a, s, l, v, l->area, v->ops->title, true, &p->stale_overlays[i],
                  &p->overlay_sizes[i]);
        return;
    }
    for (int i = 0; i < PANE_COUNT; i++)
        if (i != (int) a->focus)
            draw_pane(a, s, l, i);
    /* The focused one last: the cursor is its own. */
    draw_pane(a, s, l, (int) a->focus);
}

static struct app_state state_of(const struct app *a)
{
    return (struct app_state) {a->batch,         a->data_generation, a->node_batch,
                               a->node_position, a->sel.generation,  a->focus,
                               a->n_overlays};
}

static bool state_same(const struct app_state *x, const struct app_state *y)
{
    return x->batch == y->batch && x->data_generation == y->data_generation &&
           x->node_batch == y->node_batch && x->node_position == y->node_position &&
           x->selection == y->selection &&
           x->focus == y->focus && x->n_overlays == y->n_overlays;
}

/* All views load again when something that any may show has changed. */
static void check_state(struct app *a)
{
    struct app_state state = state_of(a);

    if (!state_same(&state, &a->priv->loaded))
        app_stale_all(a);
    a->priv->loaded = state;
}

void app_catch_up(struct app *a, struct view *v)
{
    struct app_private *p = a->priv;
    struct layout l = layout_make(p->cols, p->rows, a->focus, a->zoomed);

    if (l.mode == LAYOUT_TOO_SMALL)
        return;
    check_state(a);
    if (a->n_overlays > 0 && v == a->overlays[a->n_overlays - 1])
        load_view(v, body_of(&l, l.area), &p->stale_overlays[a->n_overlays - 1],
                  &p->overlay_sizes[a->n_overlays - 1]);
    else if (v == a->panes[a->focus])
        load_view(v, body_of(&l, l.panes[a->focus]), &p->stale_panes[a->focus],
                  &p->pane_sizes[a->focus]);
}

static void draw_too_small(struct app *a, struct surface *s)
{
    struct rect all = {0, 0, s->cols, s->rows};

    surface_textf(s, all, 0, 0, ROLE_NORMAL, "too small %dx%d", s->cols, s->rows);
    if (a->priv->question.active && s->rows > 1)
        question_draw(a, s, (struct rect) {0, 1, s->cols, 1});
    else
        surface_text(s, all, 0, 1, ROLE_DIM, "40x10 is needed; q quits");
}

/* Where there is no room for all of it, the time that it begins with goes first. */
static void draw_toast(const struct app *a, struct surface *s, struct rect row)
{
    const char *text = a->toast, *space = strchr(text, ' ');

    if ((int) text_width(text) > row.w - 1 && space)
        text = space + 1;
    surface_fit(s, row, 1, row.y, row.w - 1, ROLE_WARN, text, false);
}

void app_draw(struct app *a, struct surface *s)
{
    struct layout l = layout_make(s->cols, s->rows, a->focus, a->zoomed);

    app_bury(a);
    app_refresh_fleet(a);
    check_state(a);
    a->priv->cols = s->cols;
    a->priv->rows = s->rows;
    surface_clear(s);
    a->dirty = false;
    a->priv->too_small = l.mode == LAYOUT_TOO_SMALL;
    if (l.mode == LAYOUT_TOO_SMALL) {
        draw_too_small(a, s);
        return;
    }
    a->priv->run_visible =
        a->n_overlays == 0 && (l.panes[PANE_PROGRESS].w || l.panes[PANE_RESULTS].w);
    if (a->priv->run_visible)
        a->unseen_failures = false;
    draw_panes(a, s, &l);
    /* What is visible shows the fleet of now; what is not takes it before it does anything. */
    service_fleet_release(a->service);
    if (l.mode == LAYOUT_WIDE)
        top_wide(a, s, l.top);
    else
        top_tabs(a, &l, s);
    draw_footer(a, s, l.footer);
    if (a->priv->question.active)
        question_draw(a, s, l.status);
    else if (a->toast[0])
        draw_toast(a, s, l.status);
    else
        standing_text(a, &l, s);
}
