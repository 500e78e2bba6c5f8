/* SPDX-License-Identifier: Apache-2.0 */
/* From a key to what happens: the prompt, then the overlay on top or the focused pane, then the app's
 * own actions. */
#include "app_private.h"
#include "form_work.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/core/fleet.h"

#include <string.h>

static struct view *top_view(struct app *a)
{
    return a->n_overlays ? a->overlays[a->n_overlays - 1] : a->panes[a->focus];
}

/* A view that handled something loads again. It may be closed by now: then all are stale. */
static void touched(struct app *a, const struct view *v)
{
    for (size_t i = 0; i < PANE_COUNT; i++)
        if (a->panes[i] == v)
            a->priv->stale_panes[i] = true;
    for (size_t i = 0; i < a->n_overlays; i++)
        if (a->overlays[i] == v)
            a->priv->stale_overlays[i] = true;
    a->dirty = true;
}

/* A view over all others is opened, or closed when it is the one on top. */
static void toggle_overlay(struct app *a, const struct view_ops *ops)
{
    if (a->n_overlays && a->overlays[a->n_overlays - 1]->ops == ops)
        app_pop(a);
    else
        app_push(a, ops);
}

static void go_back(struct app *a, enum action act)
{
    if (a->n_overlays > 0)
        app_pop(a);
    else if (a->zoomed)
        a->zoomed = false;
    else if (a->focus != PANE_HISTORY)
        app_focus(a, PANE_HISTORY);
    else if (act == ACT_QUIT)
        app_quit_ask(a);
}

static void reload(struct app *a)
{
    service_reload(a->service);
    app_refresh_fleet(a);
    app_stale_all(a);
    if (!a->fleet_error)
        app_toast(a, "inventory read: %zu hosts, %zu groups", a->fleet->n_nodes,
                  a->fleet->n_groups);
    else
        app_toast(a, "inventory: %s", a->fleet_error);
}

static void batch_action(struct app *a, enum action act)
{
    if (a->batch == 0) {
        app_toast(a, "no batch is open: 5 shows the history, Enter opens one");
        return;
    }
    if (act == ACT_RERUN)
        app_review_rerun(a, a->batch);
    else if (act == ACT_CANCEL)
        app_cancel_batch(a, a->batch);
    else if (act == ACT_PAUSE)
        app_pause_batch(a, a->batch);
    else if (act == ACT_EXPORT)
        app_export_batch(a, a->batch);
    else if (act == ACT_NOTE)
        app_note(a, NULL, a->batch);
}

static void move_focus(struct app *a, enum action act)
{
    int f = (int) a->focus;

    if (act == ACT_NEXT_PANE || act == ACT_PREV_PANE) {
        if (a->n_overlays > 0)
            return;
        f = (f + (act == ACT_NEXT_PANE ? 1 : PANE_COUNT - 1)) % PANE_COUNT;
    } else if (act == ACT_COMPOSE) {
        static const enum form_id privilege[] = {FORM_RUN_AS, FORM_BECOME, FORM_ASK_BECOME};
        f = PANE_TARGETS;
        a->zoomed = false;
        /* Nobody runs the next one as root because the last one did. */
        for (size_t i = 0; i < ARRAY_LEN(privilege); i++)
            field_set(&a->form.fields[privilege[i]], "");
        form_work_forget(a->form.work);
        a->form.rerun_of = 0;
    } else {
        f = PANE_TARGETS + (int) act - ACT_PANE_TARGETS;
    }
    app_pop_all(a);
    app_focus(a, (enum pane) f);
}

static void app_act(struct app *a, enum action act)
{
    switch (act) {
    case ACT_NEXT_PANE:
    case ACT_PREV_PANE:
    case ACT_PANE_TARGETS:
    case ACT_PANE_ACTION:
    case ACT_PANE_PROGRESS:
    case ACT_PANE_RESULTS:
    case ACT_PANE_HISTORY:
    case ACT_COMPOSE:
        move_focus(a, act);
        break;
    case ACT_ZOOM:
        a->zoomed = !a->zoomed;
        app_stale_all(a);
        break;
    case ACT_RUN:
        app_review_form(a);
        break;
    case ACT_RERUN:
    case ACT_CANCEL:
    case ACT_PAUSE:
    case ACT_EXPORT:
    case ACT_NOTE:
        batch_action(a, act);
        break;
    case ACT_RELOAD:
        reload(a);
        break;
    case ACT_REPAINT:
        a->repaint = true;
        break;
    case ACT_SUSPEND:
        a->suspend = true;
        break;
    case ACT_MESSAGES:
        toggle_overlay(a, &view_messages);
        break;
    case ACT_HELP:
        toggle_overlay(a, &view_help);
        break;
    case ACT_BACK:
    case ACT_QUIT:
        go_back(a, act);
        break;
    default:
        break;
    }
}

static void dispatch(struct app *a, struct view *v, enum action act)
{
    /* Told apart before the view may change what is on top. */
    bool mutates = action_row(act)->flags & AF_MUTATES;

    if (mutates && a->read_only) {
        app_toast(a, "read-only: muster was started so, and nothing can be run or changed");
        return;
    }
    if (v->ops->act && v->ops->act(v, act) == VIEW_DONE) {
        touched(a, v);
        return;
    }
    app_act(a, act);
}

static void interrupt(struct app *a, struct view *v)
{
    struct key esc = {KEY_CODE_ESC, 0, false, NULL};

    if (v->ops->takes_text && v->ops->takes_text(v)) {
        v->ops->key(v, &esc);
        touched(a, v);
    } else if (a->n_overlays == 0 && a->focus == PANE_PROGRESS && a->batch && !a->read_only &&
               a->open.status == BATCH_RUNNING) {
        app_cancel_batch(a, a->batch);
    } else {
        app_toast(a, "q quits%s", a->priv->any_running ? "; the batch keeps running" : "");
    }
}

/* A key that does nothing here says so, and where it would do something. */
static void explain_key(struct app *a, const struct key *k)
{
    static const struct {
        enum ctx ctx;
        const char *name;
    } panes[] = {{CTX_TARGETS, "Targets"}, {CTX_ACTION, "Action"}, {CTX_PROGRESS, "Progress"},
                 {CTX_RESULTS, "Results"}, {CTX_HISTORY, "History"}, {CTX_TEXT, "a text"}};
    char name[16];

    if (k->code == KEY_CODE_PASTE)
        return;
    key_label(k, name);
    for (size_t i = 0; i < ARRAY_LEN(panes); i++) {
        enum action act = action_of_key(k, panes[i].ctx);
        if (act == ACT_NONE)
            continue;
        app_toast(a, "%s does nothing here; in %s: %s (? helps)", name, panes[i].name,
                  action_row(act)->help);
        return;
    }
    app_toast(a, "%s is no key of muster's (? shows them)", name);
}

static bool is_ctrl(const struct key *k, uint32_t c)
{
    return k->code == KEY_CODE_CHAR && k->ctrl && k->cp == c;
}

/* Text pasted into a terminal that does not bracket it: its line ends are text, and nothing in it
 * agrees to a run. True when the key is done with; else *k may be another key by now. */
static bool take_burst(struct app *a, struct view *v, struct key *k)
{
    if (a->priv->burst == BURST_NONE || !v->ops->takes_text || !v->ops->takes_text(v))
        return false;
    if (v->ops == &view_review && k->code == KEY_CODE_CHAR && k->cp == 'y') {
        app_toast(a, "that came with other keys, as from a paste: press it again, alone");
        return true;
    }
    if (k->code == KEY_CODE_ENTER && a->priv->burst == BURST_LINE)
        *k = (struct key) {KEY_CODE_PASTE, 0, false, "\n"};
    return false;
}

static void view_key(struct app *a, struct key k)
{
    struct view *v = top_view(a);

    app_catch_up(a, v);
    if (is_ctrl(&k, 'c')) {
        interrupt(a, v);
        return;
    }
    if (take_burst(a, v, &k))
        return;
    if (v->ops->takes_text && v->ops->takes_text(v)) {
        enum view_result r = v->ops->key(v, &k);
        touched(a, v);
        /* What a field does not take is a command only when it cannot have been meant as text. */
        if (r == VIEW_DONE || k.code == KEY_CODE_PASTE || (k.code == KEY_CODE_CHAR && !k.ctrl))
            return;
    }
    enum action act = action_of_key(&k, v->ops->ctx);
    if (act != ACT_NONE)
        dispatch(a, v, act);
    else
        explain_key(a, &k);
}

static void any_key(struct app *a, const struct key *k)
{
    struct app_private *p = a->priv;

    if (k->code == KEY_CODE_RESIZE) {
        app_stale_all(a);
    } else if (p->question.active) {
        struct key pasted = {KEY_CODE_PASTE, 0, false, "\n"};
        bool newline = k->code == KEY_CODE_ENTER && p->burst == BURST_LINE;
        question_key(a, newline ? &pasted : k);
    } else if (p->too_small) {
        if (k->code == KEY_CODE_CHAR && !k->ctrl && k->cp == 'q')
            app_quit_ask(a);
    } else {
        view_key(a, *k);
    }
}

void app_key(struct app *a, const struct key *k)
{
    struct app_private *p = a->priv;
    int64_t now = mono_ms(a->clock);
    uint64_t selection = a->sel.generation;

    app_bury(a);
    app_refresh_fleet(a);
    a->dirty = true;
    p->poll_gap = POLL_MS;
    p->key_ms = now;
    if (p->poll_at > now)
        p->poll_at = now;
    p->toast_new = false;
    any_key(a, k);
    /* What was said with a change of the selection is true of that one only. */
    if (p->toast_new && a->sel.generation != selection)
        p->toast_selection = a->sel.generation;
    else if (p->toast_selection && p->toast_selection != a->sel.generation)
        a->toast[0] = '\0';
}
