/* SPDX-License-Identifier: Apache-2.0 */
/* Drawing of the Action pane. */
#include "app_private.h"
#include "view_action.h"

#include "muster/base/alloc.h"
#include "muster/base/text.h"
#include "muster/core/config.h"
#include "muster/core/nodeset.h"
#include "muster/service/service.h"

#include <stdio.h>
#include <string.h>

#define LABEL_W 9
#define ONE_COLUMN_ROWS 8
#define HINT_FROM 6 /* a body of fewer rows has none for what a parameter is */

/* What an empty field means; caller frees. */
static char *placeholder(const struct action_view *x, int id)
{
    const struct config *c = x->v.app->service ? service_config(x->v.app->service) : NULL;
    char ms[32];
    if (id == FORM_FANOUT && c)
        return x_asprintf("(%u)", c->fanout);
    if (id == FORM_CONNECT && c)
        return x_asprintf("(%s)", text_duration(c->connect_timeout_ms, ms));
    if (id == FORM_TIMEOUT && c)
        return x_asprintf("(%s)", c->command_timeout_ms ? text_duration(c->command_timeout_ms, ms)
                                                        : "none");
    return x_strdup(form_row(id)->empty);
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

/* "[command] task plan" */
static void draw_type(const struct action_view *x, struct surface *s, struct rect cell)
{
    int at = cell.x;
    for (int t = 0; t < ACTION_TYPE_COUNT; t++) {
        bool on = x->v.app->form.type == (enum action_type) t;
        at += surface_textf(s, cell, at, cell.y, on ? ROLE_SELECTED : ROLE_DIM, on ? "[%s]" : " %s ",
                            action_type_name((enum action_type) t));
    }
}

/* The picked task or plan, and what it says of itself. */
static void draw_work(const struct action_view *x, struct surface *s, struct rect cell)
{
    const struct form_work *w = form_work_of(&x->v.app->form);
    if (!w) {
        surface_fit(s, cell, cell.x, cell.y, cell.w, ROLE_DIM, form_row(FORM_WORK)->empty, false);
        return;
    }
    CLEANUP_FREE char *name = text_clean(w->typed), *about = form_work_about(w);
    int used = surface_text(s, cell, cell.x, cell.y, ROLE_SELECTED, name) + 2;
    if (used + 4 < cell.w)
        surface_fit(s, cell, cell.x + used, cell.y, cell.w - used, ROLE_DIM, about, false);
}

/* A field of text, with what is wrong with it at its right. */
static void draw_text(struct surface *s, struct rect cell, struct field *f, const char *empty,
                      const char *error, bool editing)
{
    int w = cell.w;
    if (error) {
        CLEANUP_FREE char *clean = text_clean(error);
        bool blank = f->len == 0 && !editing;
        int ew = (int) text_width(clean), room = w - (int) text_width(blank ? empty : f->text) - 3;
        room = room > w * 2 / 3 ? room : w * 2 / 3;
        ew = ew < room ? ew : room;
        surface_fit(s, cell, cell.x + w - ew, cell.y, ew, ROLE_ERROR, clean, false);
        w -= ew + 1;
    }
    if (f->len > 0 || editing)
        field_draw(f, s, cell, cell.x, cell.y, w, editing);
    else
        surface_fit(s, cell, cell.x, cell.y, w, ROLE_DIM, empty, false);
}

static const char *label_of(const struct action_view *x, int id)
{
    if (id != FORM_WORK)
        return form_row(id)->label;
    return x->v.app->form.type == ACTION_TYPE_PLAN ? "Plan" : "Task";
}

static void draw_param(struct action_view *x, struct surface *s, struct rect cell, int row, int i,
                       bool editing)
{
    const struct form_work *w = form_work_of(&x->v.app->form);
    CLEANUP_FREE char *error = form_work_fault(w, (size_t) i);
    CLEANUP_FREE char *empty = form_work_shown(w, (size_t) i);
    draw_text(s, cell, action_field(x, row), empty, error, editing);
}

static void draw_item(struct action_view *x, struct surface *s, struct rect cell, int row,
                      bool focused)
{
    struct action_item it = action_item(x, row);
    bool here = row == x->at, editing = here && x->editing && focused;
    struct rect value = {cell.x + 1 + LABEL_W + 1, cell.y, cell.w - LABEL_W - 2, 1};
    CLEANUP_FREE char *label = it.is_param
                                   ? form_work_label(form_work_of(&x->v.app->form), (size_t) it.id)
                                   : x_strdup(label_of(x, it.id));
    surface_text(s, cell, cell.x, cell.y, ROLE_CURSOR, here ? ">" : " ");
    surface_fit(s, cell, cell.x + 1, cell.y, LABEL_W, ROLE_TITLE, label, false);
    if (it.is_param) {
        draw_param(x, s, value, row, it.id, editing);
    } else if (it.id == FORM_COMMAND && x->searching && focused) {
        draw_search(x, s, value);
        return;
    } else if (it.id == FORM_MORE) {
        draw_more(x, s, value);
    } else if (it.id == FORM_TYPE) {
        draw_type(x, s, value);
    } else if (it.id == FORM_WORK) {
        draw_work(x, s, value);
    } else {
        CLEANUP_FREE char *empty = placeholder(x, it.id);
        draw_text(s, value, action_field(x, row), empty, form_error(&x->v.app->form, it.id), editing);
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

/* Which line a row of the form stands in: one a line, or two side by side after the parameters. */
static int line_of(const struct action_view *x, int row, bool two)
{
    int head = 2 + action_params(x);
    return !two || row < head ? row : head + (row - head) / 2;
}

static struct rect cell_of(const struct action_view *x, struct rect body, int row, int line, bool two)
{
    struct rect cell = {body.x, body.y + line, body.w, 1};
    int head = 2 + action_params(x);
    if (two && row >= head) {
        bool left = (row - head) % 2 == 0;
        cell.x = left ? body.x : body.x + body.w / 2;
        cell.w = left ? body.w / 2 - 1 : body.w - body.w / 2;
    }
    return cell;
}

/* The steps of a plan, in the lines that are left. */
static int draw_steps(const struct action_view *x, struct surface *s, struct rect area)
{
    const struct form_work *w = form_work_of(&x->v.app->form);
    int y = 0;
    for (; w && w->type == ACTION_TYPE_PLAN && y < area.h && (size_t) y < w->plan.n_steps; y++) {
        CLEANUP_FREE char *title = text_clean(w->plan.steps[y].title);
        surface_textf(s, area, area.x + 1, area.y + y, ROLE_DIM, "%s%3d %s", y ? "    " : "Step", y + 1,
                      title);
    }
    return y;
}

void action_draw(struct view *v, struct surface *s, struct rect body, bool focused)
{
    struct action_view *x = (struct action_view *) v;
    CLEANUP_FREE char *why = action_refusal(v->app);
    struct action_item here = action_item(x, x->at);
    CLEANUP_FREE char *hint = here.is_param && body.h >= HINT_FROM
                                  ? form_work_hint(form_work_of(&v->app->form), (size_t) here.id)
                                  : NULL;
    bool two = body.h < ONE_COLUMN_ROWS;
    int count = action_count(x), lines = line_of(x, count - 1, two) + 1;
    body.w -= vu_gap(s, body);
    int room = body.h - 1 - (hint != NULL), form_h = room < lines ? room : lines;
    if (form_h < 1)
        form_h = 1;
    int at = line_of(x, x->at, two), skip = at >= form_h ? at - form_h + 1 : 0;
    for (int i = 0; i < count; i++) {
        int line = line_of(x, i, two) - skip;
        if (line >= 0 && line < form_h)
            draw_item(x, s, cell_of(x, body, i, line, two), i, focused);
    }
    int y = body.y + form_h, end = body.y + body.h;
    if (hint)
        surface_fit(s, body, body.x + 1, y++, body.w - 1, ROLE_DIM, hint, false);
    if (end - y >= 2)
        draw_targets(x, s, (struct rect) {body.x, y++, body.w, 1});
    if (end - y >= 2)
        y += draw_steps(x, s, (struct rect) {body.x, y, body.w, end - y - 1});
    if (y < end)
        surface_fit(s, body, body.x + 1, y, body.w - 1, why ? ROLE_WARN : ROLE_OK,
                    why ? why : "x shows what will run, and where, before it does", false);
}
