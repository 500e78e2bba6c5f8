/* SPDX-License-Identifier: Apache-2.0 */
/* The picker overlay: tasks, plans or saved selections, with a filter, and what the one under the cursor
 * is made of. */
#include "app_private.h"
#include "form_work.h"
#include "vutil.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/target.h"
#include "muster/ui/list.h"

#include <stdio.h>
#include <string.h>

#define PREVIEW_FROM 8   /* a body of fewer rows has no preview */
#define PREVIEW_LINES 400
#define NAME_MAX_W 28

struct pick_view {
    struct view v;
    enum pick_kind kind;
    struct action_list all;  /* saved selections too: their expression is the description */
    size_t *shown;           /* places in `all` */
    size_t n_shown;
    struct list list;
    struct prompt prompt;
    char *error;             /* why nothing could be read */
    char *previewed;         /* the name that the lines are of */
    int previewed_w;
    struct strv preview;
};

static const char *const kind_words[] = {
    [PICK_TASK] = "task", [PICK_PLAN] = "plan", [PICK_SAVED] = "saved selection"};

static struct pick_view *self(struct view *v)
{
    return (struct pick_view *) v;
}

void app_pick(struct app *a, enum pick_kind kind)
{
    a->priv->pick = kind;
    app_push(a, &view_pick);
}

static int read_saved(struct app *a, struct action_list *out, struct err *e)
{
    struct saved_targets *v = NULL;
    size_t n = 0;
    int rc = reader_saved(a->reader, NULL, &v, &n, e);
    if (rc != 0)
        return rc;
    out->v = x_calloc(n + 1, sizeof *out->v);
    out->n = n;
    for (size_t i = 0; i < n; i++) {
        out->v[i].name = x_strdup(v[i].name);
        out->v[i].description = x_strdup(v[i].targets);
    }
    saved_targets_free(v, n);
    return 0;
}

/* Which of them the filter lets through. */
static void refilter(struct pick_view *p)
{
    const char *text = p->prompt.field.text;
    p->shown = x_array(p->shown, p->all.n + 1, sizeof *p->shown);
    p->n_shown = 0;
    for (size_t i = 0; i < p->all.n; i++) {
        const struct action_entry *e = &p->all.v[i];
        if (prompt_empty(&p->prompt) || text_find(e->name, text) ||
            (e->description && text_find(e->description, text)))
            p->shown[p->n_shown++] = i;
    }
    list_set_count(&p->list, p->n_shown);
}

static void read_all(struct pick_view *p)
{
    struct app *a = p->v.app;
    struct err e = ERR_INIT;
    action_list_clear(&p->all);
    free(X_STEAL(p->error));
    int rc = p->kind == PICK_TASK   ? service_tasks(a->service, &p->all, &e)
             : p->kind == PICK_PLAN ? service_plans(a->service, &p->all, &e)
                                    : read_saved(a, &p->all, &e);
    if (rc != 0)
        p->error = text_clean(e.msg);
    err_clear(&e);
    refilter(p);
}

static void pick_init(struct view *v)
{
    struct pick_view *p = self(v);
    p->kind = v->app->priv->pick;
    prompt_init(&p->prompt);
    read_all(p);
}

static void pick_fini(struct view *v)
{
    struct pick_view *p = self(v);
    action_list_clear(&p->all);
    free(p->shown);
    free(p->error);
    free(p->previewed);
    strv_clear(&p->preview);
    prompt_free(&p->prompt);
}

static const struct action_entry *entry_at(const struct pick_view *p, size_t row)
{
    return row < p->n_shown ? &p->all.v[p->shown[row]] : NULL;
}

/* --- the preview --- */

static void say(struct pick_view *p, const char *name, const char *text)
{
    if (p->preview.n < PREVIEW_LINES)
        vu_fact(&p->preview, name, 12, text, p->previewed_w, PREVIEW_LINES - p->preview.n);
}

static void say_params(struct pick_view *p, const struct form_work *w)
{
    const struct params *all = form_work_params(w);
    if (w->n == 0)
        say(p, "parameters", "none");
    for (size_t i = 0; i < all->n; i++) {
        const struct param *q = &all->v[i];
        CLEANUP_FREE char *label = form_work_label(w, i);
        CLEANUP_FREE char *shown = form_work_shown(w, i);
        CLEANUP_FREE char *text = x_asprintf("%s%s%s", q->sensitive ? "(sensitive)" : shown,
                                             q->description ? " " : "",
                                             q->description ? q->description : "");
        say(p, label, text);
    }
    if (all->any)
        say(p, "parameters", "any, as NAME=VALUE: it says nothing of them");
}

static void say_work(struct pick_view *p, const char *name)
{
    struct err e = ERR_INIT;
    struct app copy = {.service = p->v.app->service};
    enum action_type type = p->kind == PICK_PLAN ? ACTION_TYPE_PLAN : ACTION_TYPE_TASK;
    if (form_work_load(&copy, type, name, &e) != 0) {
        say(p, "broken", e.msg);
        if (e.details)
            say(p, "", e.details);
        err_clear(&e);
        return;
    }
    const struct form_work *w = copy.form.work;
    const char *about = type == ACTION_TYPE_PLAN ? w->plan.description : w->task.description;
    if (about)
        say(p, "what", about);
    say_params(p, w);
    for (size_t i = 0; type == ACTION_TYPE_PLAN && i < w->plan.n_steps; i++) {
        CLEANUP_FREE char *step = x_asprintf("step %zu", i + 1);
        say(p, step, w->plan.steps[i].title);
    }
    say(p, "from", type == ACTION_TYPE_PLAN ? w->plan.path : w->task.path);
    form_work_free(copy.form.work);
}

static void make_preview(struct pick_view *p, int w)
{
    const struct action_entry *e = entry_at(p, p->list.cursor);
    if (e && p->previewed && p->previewed_w == w && strcmp(e->name, p->previewed) == 0)
        return;
    free(X_STEAL(p->previewed));
    strv_clear(&p->preview);
    p->previewed_w = w;
    if (!e)
        return;
    p->previewed = x_strdup(e->name);
    if (p->kind == PICK_SAVED)
        say(p, "targets", e->description);
    else if (e->error)
        say(p, "broken", e->error);
    else
        say_work(p, e->name);
}

/* --- drawing --- */

static bool prompt_shown(const struct pick_view *p)
{
    return p->prompt.typing || !prompt_empty(&p->prompt);
}

/* Rows of the list; below a line, the preview. */
static int list_rows(const struct pick_view *p, int h)
{
    int room = h - prompt_shown(p);
    if (room < PREVIEW_FROM)
        return room > 0 ? room : 1;
    int half = room / 2;
    return p->n_shown < (size_t) half ? (p->n_shown ? (int) p->n_shown : 1) : half;
}

static void pick_load(struct view *v, int w, int h)
{
    struct pick_view *p = self(v);
    list_set_height(&p->list, (size_t) list_rows(p, h));
    make_preview(p, w - 2);
}

static void draw_entry(const struct pick_view *p, struct surface *s, struct rect row,
                       const struct action_entry *e, int name_w)
{
    CLEANUP_FREE char *name = text_clean(e->name);
    CLEANUP_FREE char *about = text_clean(e->error         ? e->error
                                          : e->description ? e->description
                                                           : "");
    surface_fit(s, row, row.x, row.y, name_w, ROLE_NORMAL, name, false);
    if (e->error)
        surface_textf(s, row, row.x + name_w + 1, row.y, ROLE_ERROR, "broken: %s", about);
    else if (row.w > name_w + 1)
        surface_fit(s, row, row.x + name_w + 1, row.y, row.w - name_w - 1, ROLE_DIM, about, false);
}

static void draw_nothing(const struct pick_view *p, struct surface *s, struct rect body)
{
    static const char *const none[][2] = {
        [PICK_TASK] = {"There is no task.", "They are looked for in the folders of task_path."},
        [PICK_PLAN] = {"There is no plan.", "They are looked for in the folders of task_path."},
        [PICK_SAVED] = {"No selection is saved yet.", "w in Targets saves what is picked there."}};
    static const char *const filtered[] = {"None is like that.", "Esc shows all again."};
    if (p->error) {
        const char *lines[] = {p->error};
        vu_teach(s, body, lines, 1);
    } else {
        vu_teach(s, body, p->all.n ? filtered : none[p->kind], 2);
    }
}

static void pick_draw(struct view *v, struct surface *s, struct rect body, bool focused)
{
    struct pick_view *p = self(v);
    int y = body.y, name_w = 8, rows = list_rows(p, body.h);
    if (prompt_shown(p)) {
        char note[32];
        snprintf(note, sizeof note, "%zu of %zu", p->n_shown, p->all.n);
        prompt_draw(&p->prompt, s, body, y++, focused, "", note, ROLE_DIM);
    }
    if (p->n_shown == 0)
        draw_nothing(p, s, (struct rect) {body.x, y, body.w, body.y + body.h - y});
    for (size_t i = 0; i < p->n_shown; i++) {
        int w = (int) text_width(entry_at(p, i)->name);
        name_w = w > name_w ? w : name_w;
    }
    name_w = name_w < NAME_MAX_W ? name_w : NAME_MAX_W;
    for (int i = 0; i < rows; i++, y++) {
        size_t at = p->list.top + (size_t) i;
        const struct action_entry *e = entry_at(p, at);
        if (!e)
            break;
        draw_entry(p, s, (struct rect) {body.x + 1, y, body.w - 1, 1}, e, name_w);
        if (at == p->list.cursor) {
            surface_text(s, body, body.x, y, ROLE_CURSOR, ">");
            vu_cursor_row(s, body, y, focused && !p->prompt.typing);
        }
    }
    if (p->n_shown == 0 || body.y + body.h - y < 2)
        return;
    y++;
    for (size_t i = 0; i < p->preview.n && y < body.y + body.h; i++, y++)
        surface_fit(s, body, body.x + 1, y, body.w - 1, ROLE_NORMAL, p->preview.v[i], false);
}

static void pick_caption(struct view *v, char *buf, size_t n)
{
    const struct pick_view *p = (const struct pick_view *) v;
    snprintf(buf, n, "%zu %s%s%s", p->all.n, kind_words[p->kind], p->all.n == 1 ? "" : "s",
             p->kind == PICK_SAVED ? "  Enter picks it, Del forgets it" : "  Enter picks it");
}

/* --- picking --- */

static void pick_saved(struct app *a, const char *name)
{
    CLEANUP_FREE char *expr = x_asprintf("@saved:%s", name);
    struct target_request t = {.targets = expr};
    struct target_set found;
    struct err e = ERR_INIT;
    char n[32];
    target_set_init(&found);
    if (service_targets(a->service, &t, &found, &e) != 0) {
        app_toast_err(a, &e);
        err_clear(&e);
        return;
    }
    selection_save(&a->sel);
    selection_clear(&a->sel);
    selection_add_set(&a->sel, found.nodes);
    app_toast(a, "%s selected, as saved in %s", text_count(selection_count(&a->sel), n), name);
    target_set_clear(&found);
    app_pop(a);
}

static void pick_work(struct app *a, enum pick_kind kind, const struct action_entry *x)
{
    struct err e = ERR_INIT;
    enum action_type type = kind == PICK_PLAN ? ACTION_TYPE_PLAN : ACTION_TYPE_TASK;
    if (x->error || form_work_load(a, type, x->name, &e) != 0) {
        app_toast(a, "%s is broken: %s", x->name, x->error ? x->error : e.msg);
        err_clear(&e);
        return;
    }
    app_pop(a);
    app_focus(a, PANE_ACTION);
    if (a->form.work->n > 0)
        action_show_param(a->panes[PANE_ACTION], 0);
}

static void picked(struct pick_view *p)
{
    const struct action_entry *x = entry_at(p, p->list.cursor);
    if (!x)
        return;
    if (p->kind == PICK_SAVED)
        pick_saved(p->v.app, x->name);
    else
        pick_work(p->v.app, p->kind, x);
}

static void forget_chosen(struct app *a, char key)
{
    struct view *v = a->n_overlays ? a->overlays[a->n_overlays - 1] : NULL;
    struct err e = ERR_INIT;
    if (key != 'y' || !v || v->ops != &view_pick)
        return;
    const struct action_entry *x = entry_at(self(v), self(v)->list.cursor);
    if (!x)
        return;
    if (service_save_targets(a->service, x->name, NULL, &e) == 0)
        app_toast(a, "%s is forgotten", x->name);
    else
        app_toast_err(a, &e);
    err_clear(&e);
    read_all(self(v));
}

static void forget(struct pick_view *p)
{
    static const struct choice choice = {"y", {"yes"}, "no", forget_chosen, NULL};
    const struct action_entry *x = entry_at(p, p->list.cursor);
    if (p->kind != PICK_SAVED || !x)
        app_toast(p->v.app, "only saved selections are forgotten");
    else
        app_choose_free(p->v.app, x_asprintf("Forget the saved selection %s? y/n", x->name), &choice);
}

static enum view_result pick_act(struct view *v, enum action act)
{
    struct pick_view *p = self(v);
    if (list_act(&p->list, act == ACT_TOGGLE ? ACT_PAGE_DOWN : act))
        return VIEW_DONE;
    switch (act) {
    case ACT_OPEN:
        picked(p);
        return VIEW_DONE;
    case ACT_FILTER:
        prompt_start(&p->prompt);
        return VIEW_DONE;
    case ACT_FORGET:
        forget(p);
        return VIEW_DONE;
    case ACT_RELOAD:
        read_all(p);
        return VIEW_DONE;
    case ACT_BACK:
        if (prompt_empty(&p->prompt))
            return VIEW_IGNORED;
        field_set(&p->prompt.field, "");
        refilter(p);
        return VIEW_DONE;
    default:
        return vu_no_use(v->app, act);
    }
}

static enum view_result pick_key(struct view *v, const struct key *k)
{
    struct pick_view *p = self(v);
    if (k->code == KEY_CODE_UP || k->code == KEY_CODE_DOWN) {
        list_act(&p->list, k->code == KEY_CODE_UP ? ACT_UP : ACT_DOWN);
        return VIEW_DONE;
    }
    switch (prompt_key(&p->prompt, k)) {
    case PROMPT_EDITED:
    case PROMPT_ESC:
        refilter(p);
        return VIEW_DONE;
    case PROMPT_ENTER:
        return VIEW_DONE;
    default:
        return VIEW_IGNORED;
    }
}

static bool pick_takes_text(const struct view *v)
{
    return ((const struct pick_view *) v)->prompt.typing;
}

const struct view_ops view_pick = {
    .title = "Pick",
    .ctx = CTX_TEXT,
    .size = sizeof(struct pick_view),
    .init = pick_init,
    .fini = pick_fini,
    .load = pick_load,
    .draw = pick_draw,
    .act = pick_act,
    .key = pick_key,
    .takes_text = pick_takes_text,
    .caption = pick_caption,
};
