/* SPDX-License-Identifier: Apache-2.0 */
/* The Action pane: the form of a command, with errors beside their fields, the history of commands,
 * and why a run is refused. */
#include "app_private.h"
#include "vutil.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/config.h"
#include "muster/core/nodeset.h"
#include "muster/service/service.h"
#include "muster/store/reader.h"
#include "muster/ui/app.h"
#include "muster/ui/view.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LABEL_W 9
#define HISTORY_MAX 500
#define ONE_COLUMN_ROWS 8

struct action_view {
    struct view v;
    int at; /* the field under the cursor */
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

static struct action_view *self(struct view *v)
{
    return (struct action_view *) v;
}

static struct field *field_at(struct app *a, int i)
{
    return &a->form.fields[i];
}

/* How many fields are shown. */
static int shown(const struct action_view *x)
{
    return x->v.app->priv->form_open ? FORM_COUNT : FORM_MORE + 1;
}

static void action_init(struct view *v)
{
    field_init(&self(v)->query);
}

static void action_fini(struct view *v)
{
    struct action_view *x = self(v);
    strv_clear(&x->history);
    field_free(&x->query);
    free(x->typed);
    free(x->folded);
}

static void action_load(struct view *v, int w, int h)
{
    struct action_view *x = self(v);
    const struct selection *sel = &v->app->sel;
    struct strbuf b;
    if (x->folded && x->folded_generation == sel->generation)
        return;
    strbuf_init(&b, 0);
    nodeset_fold(&b, sel->nodes, 512);
    free(x->folded);
    x->folded = text_clean(b.s);
    strbuf_free(&b);
    x->folded_generation = sel->generation;
}

/* --- what is wrong --- */

static bool blank(const char *s)
{
    return s[strspn(s, " \t\n")] == '\0';
}

/* Why x would not run it, or NULL. */
static const char *refusal(struct app *a)
{
    if (a->read_only)
        return "read-only: nothing can be run";
    if (nodeset_count(a->sel.nodes) == 0 && blank(a->form.fields[FORM_COMMAND].text))
        return "x cannot run yet: no target (1, then Space) and no command (e edits it)";
    if (nodeset_count(a->sel.nodes) == 0)
        return "x cannot run yet: no target (1, then Space)";
    if (blank(a->form.fields[FORM_COMMAND].text))
        return "x cannot run yet: no command (e edits it)";
    for (int i = 0; i < FORM_COUNT; i++)
        if (form_error(&a->form, i))
            return i > FORM_MORE ? "x cannot run yet: a field under More is wrong"
                                 : "x cannot run yet: a field above is wrong";
    return NULL;
}

/* --- drawing --- */

/* What an empty field means. */
static void placeholder(const struct action_view *x, int i, char *buf, size_t n)
{
    const struct config *c = x->v.app->service ? service_config(x->v.app->service) : NULL;
    char ms[32];
    snprintf(buf, n, "%s", form_row(i)->empty);
    if (i == FORM_FANOUT && c)
        snprintf(buf, n, "(%u)", c->fanout);
    else if (i == FORM_CONNECT && c)
        snprintf(buf, n, "(%s)", text_duration(c->connect_timeout_ms, ms));
    else if (i == FORM_TIMEOUT && c)
        snprintf(buf, n, "(%s)", c->command_timeout_ms ? text_duration(c->command_timeout_ms, ms)
                                                       : "none");
}

static void draw_search(struct action_view *x, struct surface *s, struct rect cell)
{
    const char *hint = x->search_failed ? "no command with " : "search ";
    int w = surface_text(s, cell, cell.x, cell.y, x->search_failed ? ROLE_ERROR : ROLE_TITLE, hint);
    int qw = (int) text_width(x->query.text) + 2;
    if (qw > cell.w / 2)
        qw = cell.w / 2;
    field_draw(&x->query, s, cell, cell.x + w, cell.y, qw, true);
    int used = w + qw + 1;
    char *text = text_clean(x->v.app->form.fields[FORM_COMMAND].text);
    if (cell.w > used)
        surface_fit(s, cell, cell.x + used, cell.y, cell.w - used, ROLE_DIM, text, false);
    free(text);
}

/* What the folded fields say, or that there are some. */
static void draw_more(const struct action_view *x, struct surface *s, struct rect cell)
{
    CLEANUP_FREE char *text = form_more_text(&x->v.app->form);
    const char *hint = x->v.app->priv->form_open ? "(Enter closes)" : form_row(FORM_MORE)->empty;
    bool told = *text && !x->v.app->priv->form_open;
    surface_fit(s, cell, cell.x, cell.y, cell.w, told ? ROLE_SELECTED : ROLE_DIM, told ? text : hint,
                false);
}

static void draw_field(struct action_view *x, struct surface *s, struct rect cell, int i,
                       bool focused)
{
    struct field *f = field_at(x->v.app, i);
    const char *error = form_error(&x->v.app->form, i);
    bool here = i == x->at, editing = here && x->editing && focused;
    int x0 = cell.x + 1 + LABEL_W + 1, w = cell.x + cell.w - x0;
    char hint[64];
    surface_text(s, cell, cell.x, cell.y, ROLE_CURSOR, here ? ">" : " ");
    surface_text(s, cell, cell.x + 1, cell.y, ROLE_TITLE, form_row(i)->label);
    if (i == FORM_COMMAND && x->searching && focused) {
        draw_search(x, s, (struct rect) {x0, cell.y, w, 1});
        return;
    }
    if (form_row(i)->kind == FORM_KIND_FOLD) {
        draw_more(x, s, (struct rect) {x0, cell.y, w, 1});
        if (here)
            vu_cursor_row(s, cell, cell.y, focused);
        return;
    }
    if (error) {
        int ew = (int) text_width(error), room = w - (int) text_width(f->text) - 3;
        room = room > w * 2 / 3 ? room : w * 2 / 3;
        ew = ew < room ? ew : room;
        surface_fit(s, cell, x0 + w - ew, cell.y, ew, ROLE_ERROR, error, false);
        w -= ew + 1;
    }
    if (f->len > 0 || editing) {
        field_draw(f, s, cell, x0, cell.y, w, editing);
    } else {
        placeholder(x, i, hint, sizeof hint);
        surface_fit(s, cell, x0, cell.y, w, ROLE_DIM, hint, false);
    }
    if (here && !x->editing)
        vu_cursor_row(s, cell, cell.y, focused);
}

static void draw_targets(const struct action_view *x, struct surface *s, struct rect row)
{
    char n[32];
    size_t count = nodeset_count(x->v.app->sel.nodes);
    struct rect cell = {row.x + 1, row.y, row.w - 1, 1};
    surface_text(s, cell, cell.x, cell.y, ROLE_TITLE, "Targets");
    char *text = count ? x_asprintf("%s: %s", text_count(count, n), x->folded ? x->folded : "")
                       : x_strdup("none yet (1, then Space picks)");
    surface_fit(s, cell, cell.x + LABEL_W + 1, cell.y, cell.w - LABEL_W - 1,
                count ? ROLE_SELECTED : ROLE_DIM, text, false);
    free(text);
}

/* Which row of the form a field stands in: one a row, or two side by side. */
static int row_of(int i, bool two)
{
    return !two || i == 0 ? i : 1 + (i - 1) / 2;
}

static void action_draw(struct view *v, struct surface *s, struct rect body, bool focused)
{
    struct action_view *x = self(v);
    const char *why = refusal(v->app);
    bool two = body.h < ONE_COLUMN_ROWS;
    int count = shown(x), rows = row_of(count - 1, two) + 1;
    body.w -= vu_gap(s, body);
    int form_h = body.h - 1 < rows ? body.h - 1 : rows;
    if (form_h < 1)
        form_h = 1;
    int at = row_of(x->at, two), skip = at >= form_h ? at - form_h + 1 : 0;
    for (int i = 0; i < count; i++) {
        int row = row_of(i, two) - skip;
        struct rect cell = {body.x, body.y + row, body.w, 1};
        if (row < 0 || row >= form_h)
            continue;
        if (two && i > 0) {
            bool left = i % 2 == 1;
            cell.x = left ? body.x : body.x + body.w / 2;
            cell.w = left ? body.w / 2 - 1 : body.w - body.w / 2;
        }
        draw_field(x, s, cell, i, focused);
    }
    int y = body.y + form_h;
    if (body.h - form_h >= 2)
        draw_targets(x, s, (struct rect) {body.x, y++, body.w, 1});
    if (y < body.y + body.h)
        surface_fit(s, body, body.x + 1, y, body.w - 1, why ? ROLE_WARN : ROLE_OK,
                    why ? why : "x shows what will run, and where, before it does", false);
}

static void action_caption(struct view *v, char *buf, size_t n)
{
    const struct action_view *x = (const struct action_view *) v;
    snprintf(buf, n, "%s", x->editing ? "editing" : "e edit  x run");
}

/* --- the history of commands --- */

static void load_history(struct action_view *x)
{
    strv_clear(&x->history);
    x->history_at = 0;
    if (x->v.app->reader)
        reader_commands(x->v.app->reader, HISTORY_MAX, &x->history, NULL);
}

static void keep_typed(struct action_view *x)
{
    free(x->typed);
    x->typed = x_strdup(x->v.app->form.fields[FORM_COMMAND].text);
}

static void show_history(struct action_view *x, bool older)
{
    struct field *f = &x->v.app->form.fields[FORM_COMMAND];
    if (older ? x->history_at >= x->history.n : x->history_at == 0)
        return;
    if (x->history_at == 0)
        keep_typed(x);
    x->history_at += older ? 1 : (size_t) -1;
    field_set(f, x->history_at ? x->history.v[x->history_at - 1] : x->typed ? x->typed : "");
}

/* Shows the newest command that holds the query, from the `from`th on. */
static void search_from(struct action_view *x, size_t from)
{
    x->search_failed = false;
    if (x->query.len == 0)
        return;
    for (size_t i = from; i < x->history.n; i++) {
        if (!text_find(x->history.v[i], x->query.text))
            continue;
        x->history_at = i + 1;
        field_set(&x->v.app->form.fields[FORM_COMMAND], x->history.v[i]);
        return;
    }
    x->search_failed = true;
}

static bool ctrl(const struct key *k, uint32_t c)
{
    return k->code == KEY_CODE_CHAR && k->ctrl && k->cp == c;
}

static enum view_result search_key(struct action_view *x, const struct key *k)
{
    if (ctrl(k, 'r')) {
        search_from(x, x->history_at);
    } else if (k->code == KEY_CODE_ESC || ctrl(k, 'g') || ctrl(k, 'c')) {
        field_set(&x->v.app->form.fields[FORM_COMMAND], x->typed ? x->typed : "");
        x->searching = false;
        x->history_at = 0;
    } else if (k->code == KEY_CODE_ENTER || k->code == KEY_CODE_TAB) {
        x->searching = false;
    } else if (field_key(&x->query, k)) {
        search_from(x, 0);
    } else {
        return VIEW_IGNORED;
    }
    return VIEW_DONE;
}

static bool history_key(struct action_view *x, const struct key *k)
{
    if (x->at != FORM_COMMAND)
        return false;
    if (k->code == KEY_CODE_UP || ctrl(k, 'p')) {
        show_history(x, true);
    } else if (k->code == KEY_CODE_DOWN || ctrl(k, 'n')) {
        show_history(x, false);
    } else if (ctrl(k, 'r')) {
        keep_typed(x);
        x->searching = true;
        x->search_failed = false;
        x->history_at = 0;
        field_set(&x->query, "");
    } else {
        return false;
    }
    return true;
}

/* --- keys --- */

/* Edits the field under the cursor; a switch is turned at once, the fold opened or closed. */
static void start_editing(struct action_view *x)
{
    struct field *f = field_at(x->v.app, x->at);
    if (form_row(x->at)->kind == FORM_KIND_SWITCH) {
        field_set(f, f->len ? "" : "yes");
        return;
    }
    if (form_row(x->at)->kind == FORM_KIND_FOLD) {
        x->v.app->priv->form_open = !x->v.app->priv->form_open;
        app_focus(x->v.app, PANE_ACTION);
        return;
    }
    x->editing = true;
    f->cursor = f->len;
    if (x->at == FORM_COMMAND)
        load_history(x);
}

static void next_field(struct action_view *x, int by)
{
    x->at = (x->at + by + shown(x)) % shown(x);
}

static enum view_result form_key(struct view *v, const struct key *k)
{
    struct action_view *x = self(v);
    if (x->searching)
        return search_key(x, k);
    if (k->code == KEY_CODE_ESC || ctrl(k, 'c')) {
        x->editing = false;
        return VIEW_DONE;
    }
    if (k->code == KEY_CODE_ENTER) {
        x->editing = false;
        next_field(x, 1);
        return VIEW_DONE;
    }
    if (k->code == KEY_CODE_TAB || k->code == KEY_CODE_BTAB) {
        next_field(x, k->code == KEY_CODE_TAB ? 1 : -1);
        x->editing = false;
        if (form_row(x->at)->kind == FORM_KIND_TEXT)
            start_editing(x);
        return VIEW_DONE;
    }
    if (history_key(x, k))
        return VIEW_DONE;
    return field_key(field_at(v->app, x->at), k) ? VIEW_DONE : VIEW_IGNORED;
}

static bool action_takes_text(const struct view *v)
{
    return ((const struct action_view *) v)->editing;
}

static enum view_result action_act(struct view *v, enum action act)
{
    struct action_view *x = self(v);
    const int half = shown(x) / 2, last = shown(x) - 1;
    switch (act) {
    case ACT_DOWN:
        if (x->at < last)
            x->at++;
        return VIEW_DONE;
    case ACT_UP:
        if (x->at > 0)
            x->at--;
        return VIEW_DONE;
    case ACT_HALF_DOWN:
        x->at = x->at + half < last ? x->at + half : last;
        return VIEW_DONE;
    case ACT_HALF_UP:
        x->at = x->at > half ? x->at - half : 0;
        return VIEW_DONE;
    case ACT_TOP:
    case ACT_PAGE_UP:
        x->at = 0;
        return VIEW_DONE;
    case ACT_BOTTOM:
    case ACT_PAGE_DOWN:
        x->at = last;
        return VIEW_DONE;
    case ACT_EDIT:
        start_editing(x);
        return VIEW_DONE;
    case ACT_RUN:
        app_review_form(v->app);
        return VIEW_DONE;
    default:
        return VIEW_IGNORED;
    }
}

const struct view_ops view_action = {
    .title = "Action",
    .ctx = CTX_ACTION,
    .size = sizeof(struct action_view),
    .init = action_init,
    .fini = action_fini,
    .load = action_load,
    .draw = action_draw,
    .act = action_act,
    .key = form_key,
    .takes_text = action_takes_text,
    .caption = action_caption,
};
