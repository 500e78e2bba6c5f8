/* SPDX-License-Identifier: Apache-2.0 */
/* The Action pane: moving in the form and editing it, the history of commands, and why a run is
 * refused. */
#include "app_private.h"
#include "view_action.h"

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

#define HISTORY_MAX 500

static struct action_view *self(struct view *v)
{
    return (struct action_view *) v;
}

/* --- the rows --- */

int action_params(const struct action_view *x)
{
    const struct form_work *w = form_work_of(&x->v.app->form);
    return w ? (int) w->n : 0;
}

int action_count(const struct action_view *x)
{
    bool open = x->v.app->priv->form_open, plan = x->v.app->form.type == ACTION_TYPE_PLAN;
    int end = open ? FORM_COUNT - !plan : FORM_MORE + 1;
    return 2 + action_params(x) + end - FORM_USER;
}

struct action_item action_item(const struct action_view *x, int row)
{
    int n = action_params(x);
    if (row == 0)
        return (struct action_item) {false, FORM_TYPE};
    if (row == 1)
        return (struct action_item) {
            false, x->v.app->form.type == ACTION_TYPE_COMMAND ? FORM_COMMAND : FORM_WORK};
    if (row < 2 + n)
        return (struct action_item) {true, row - 2};
    return (struct action_item) {false, FORM_USER + row - 2 - n};
}

struct field *action_field(struct action_view *x, int row)
{
    struct action_item it = action_item(x, row);
    return it.is_param ? &form_work_of(&x->v.app->form)->v[it.id].field
                       : &x->v.app->form.fields[it.id];
}

static bool is_form(const struct action_view *x, enum form_id id)
{
    struct action_item it = action_item(x, x->at);
    return !it.is_param && it.id == (int) id;
}

static void action_init(struct view *v)
{
    field_init(&self(v)->query);
    self(v)->at = 1; /* what is to run */
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
    if (x->at >= action_count(x))
        x->at = action_count(x) - 1;
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

/* What is missing of what is to run; NULL: nothing. */
static const char *nothing_to_run(const struct form *f)
{
    if (f->type == ACTION_TYPE_COMMAND)
        return blank(f->fields[FORM_COMMAND].text) ? "no command (e edits it)" : NULL;
    if (form_work_of(f))
        return NULL;
    return f->type == ACTION_TYPE_TASK ? "no task (e picks one)" : "no plan (e picks one)";
}

static char *params_refusal(const struct form_work *w)
{
    size_t first, n = form_work_faults(w, &first);
    if (n == 0)
        return NULL;
    CLEANUP_FREE char *fault = form_work_fault(w, first);
    CLEANUP_FREE char *label = form_work_label(w, first);
    CLEANUP_FREE char *text = x_asprintf("x cannot run yet: %s %s%s", label, fault,
                                         n > 1 ? ", and others are wrong" : "");
    return text_clean(text);
}

char *action_refusal(struct app *a)
{
    const char *what = nothing_to_run(&a->form);
    const struct form_work *w = form_work_of(&a->form);
    bool none = nodeset_count(a->sel.nodes) == 0 && a->form.type != ACTION_TYPE_PLAN;
    if (a->read_only)
        return x_strdup("read-only: nothing can be run");
    if (none || what)
        return x_asprintf("x cannot run yet: %s%s%s", none ? "no target (1, then Space)" : "",
                          none && what ? " and " : "", what ? what : "");
    for (int i = 0; i < FORM_COUNT; i++)
        if (form_error(&a->form, i))
            return x_strdup(i > FORM_MORE ? "x cannot run yet: a field under More is wrong"
                                          : "x cannot run yet: a field above is wrong");
    return w ? params_refusal(w) : NULL;
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
    if (!is_form(x, FORM_COMMAND))
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

static void sensitive_given(struct app *a, struct secret *answer)
{
    struct action_view *x = self(a->panes[PANE_ACTION]);
    struct action_item it = action_item(x, x->at);
    struct form_work *w = form_work_of(&a->form);
    if (!answer || !w || !it.is_param)
        return;
    secret_unref(w->v[it.id].secret);
    w->v[it.id].secret = secret_len(answer) ? secret_ref(answer) : NULL;
}

static void ask_sensitive(struct action_view *x, int i)
{
    struct app *a = x->v.app;
    CLEANUP_FREE char *name = text_clean(form_work_param(form_work_of(&a->form), (size_t) i)->name);
    CLEANUP_FREE char *text = x_asprintf("%s: ", name);
    app_ask_secret(a, text, sensitive_given);
}

/* The next of the choices under the cursor. False: there are none. */
static bool turn(struct action_view *x, int by)
{
    struct form *form = &x->v.app->form;
    struct action_item it = action_item(x, x->at);
    struct field *f = action_field(x, x->at);
    static const char *const on_failure[] = {"", "stop", "continue"};
    if (it.is_param)
        return form_work_turn(form_work_of(form), (size_t) it.id, by);
    switch (it.id) {
    case FORM_TYPE:
        form->type = (enum action_type) (((int) form->type + by + ACTION_TYPE_COUNT) %
                                         ACTION_TYPE_COUNT);
        app_focus(x->v.app, PANE_ACTION);
        return true;
    case FORM_ON_FAILURE: {
        int at = strcmp(f->text, "stop") == 0 ? 1 : f->len ? 2 : 0;
        field_set(f, on_failure[(at + by + 3) % 3]);
        return true;
    }
    default:
        if (form_row(it.id)->kind != FORM_KIND_SWITCH)
            return false;
        field_set(f, f->len ? "" : "yes");
        return true;
    }
}

/* Edits the field under the cursor; a choice is turned at once, the fold opened or closed. */
static void start_editing(struct action_view *x)
{
    struct app *a = x->v.app;
    struct action_item it = action_item(x, x->at);
    const struct param *p = it.is_param ? form_work_param(form_work_of(&a->form), (size_t) it.id) : NULL;
    if (turn(x, 1))
        return;
    if (p && p->sensitive) {
        ask_sensitive(x, it.id);
        return;
    }
    if (!it.is_param && it.id == FORM_WORK) {
        app_pick(a, a->form.type == ACTION_TYPE_PLAN ? PICK_PLAN : PICK_TASK);
        return;
    }
    if (!it.is_param && it.id == FORM_MORE) {
        a->priv->form_open = !a->priv->form_open;
        app_focus(a, PANE_ACTION);
        return;
    }
    struct field *f = action_field(x, x->at);
    x->editing = true;
    f->cursor = f->len;
    if (is_form(x, FORM_COMMAND))
        load_history(x);
}

void action_show_param(struct view *v, size_t i)
{
    self(v)->at = 2 + (int) i;
    self(v)->editing = false;
}

static void next_field(struct action_view *x, int by)
{
    x->at = (x->at + by + action_count(x)) % action_count(x);
}

/* One that text is typed into. */
static bool is_text(const struct action_view *x)
{
    struct action_item it = action_item(x, x->at);
    const struct param *p;
    CLEANUP_STRV struct strv choices = STRV_INIT;
    if (!it.is_param)
        return form_row(it.id)->kind == FORM_KIND_TEXT;
    p = form_work_param(form_work_of(&x->v.app->form), (size_t) it.id);
    return !p || (!p->sensitive && !ptype_choices(p->type, &choices));
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
        if (is_text(x))
            start_editing(x);
        return VIEW_DONE;
    }
    if (history_key(x, k))
        return VIEW_DONE;
    return field_key(action_field(x, x->at), k) ? VIEW_DONE : VIEW_IGNORED;
}

static bool action_takes_text(const struct view *v)
{
    return ((const struct action_view *) v)->editing;
}

static enum view_result action_act(struct view *v, enum action act)
{
    struct action_view *x = self(v);
    const int half = action_count(x) / 2, last = action_count(x) - 1;
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
    case ACT_PREV_CHOICE:
    case ACT_NEXT_CHOICE:
        if (!turn(x, act == ACT_NEXT_CHOICE ? 1 : -1))
            app_toast(v->app, "this field has no choices: e edits it");
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
