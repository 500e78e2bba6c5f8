/* SPDX-License-Identifier: Apache-2.0 */
/* Running a batch again: on which of its nodes, from where, and edited first. */
#include "app_private.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"

/* False, with a toast, when it cannot be run again so. */
static bool request(struct app *a, enum rerun_which which, const struct rerun_options *o)
{
    struct pending_hold *h = app_hold_new(a);
    struct err e = ERR_INIT;

    if (batch_rerun_request(a->service, a->priv->ask_number, which, REASON_NONE, o, &h->request,
                            &h->rerun, &e) == 0)
        return true;
    app_pending_clear(a);
    app_toast_err(a, &e);
    err_clear(&e);
    return false;
}

static void run_again(struct app *a, enum rerun_which which, const struct rerun_options *o)
{
    if (request(a, which, o))
        app_review(a);
}

static enum rerun_which which_of(char key)
{
    return key == 'f' ? RERUN_FAILED : key == 's' ? RERUN_SKIPPED : RERUN_ALL;
}

/* --- edited first --- */

static void edit_chosen(struct app *a, char key)
{
    /* What is changed may not fit to results that are there. */
    const struct rerun_options from_start = {.from_start = true};

    if (key == 0 || !request(a, which_of(key), &from_start))
        return;
    if (a->priv->hold->request.copy) {
        app_pending_clear(a);
        app_toast(a, "a copy cannot be edited here: muster push and muster pull make another");
        return;
    }
    form_fill(a, &a->priv->hold->request, a->priv->hold->request.label);
    a->form.rerun_of = a->priv->ask_number;
    app_pending_clear(a);
    app_pop_all(a);
    app_focus(a, PANE_ACTION);
    app_toast(a, "#%lld is in the form: change it, x reviews it", (long long) a->form.rerun_of);
}

static void ask_edit(struct app *a)
{
    static const struct choice choice = {
        "afs", {"all", "failed", "skipped"}, "no", edit_chosen, NULL};
    app_choose_free(a, x_asprintf("Edit #%lld on which nodes: a all, f failed, s skipped?",
                                  (long long) a->priv->ask_number), &choice);
}

/* --- a plan: from where --- */

static void from_chosen(struct app *a, char key)
{
    const struct rerun_options o = {.from_start = key == 'b'};

    if (key)
        run_again(a, a->priv->rerun_which, &o);
}

static void ask_from(struct app *a, enum rerun_which which)
{
    static const struct choice choice = {
        "fb", {"failed step", "beginning"}, "no", from_chosen, NULL};
    a->priv->rerun_which = which;
    app_choose_free(a, x_asprintf("Rerun #%lld: f from each node's failed step, b from the beginning?",
                                  (long long) a->priv->ask_number), &choice);
}

/* --- the question --- */

static bool asked_is_plan(struct app *a)
{
    struct batch b;

    if (!app_read_asked(a, a->priv->ask_number, &b))
        return false;
    bool plan = b.type == ACTION_TYPE_PLAN;
    batch_clear(&b);
    return plan;
}

static void rerun_chosen(struct app *a, char key)
{
    const struct rerun_options anew = {.expand = true};

    if (key == 0)
        return;
    if (key == 'e') {
        ask_edit(a);
    } else if (key == 'g') {
        run_again(a, RERUN_ALL, &anew);
    } else if (key == 'o' && selection_count(&a->sel) == 0) {
        app_toast(a, "no node is selected: 1, then Space picks");
    } else if (key == 'o') {
        if (!request(a, RERUN_ALL, NULL))
            return;
        app_take_selection(a, a->priv->hold);
        app_review(a);
    } else if (key == 'f' && asked_is_plan(a)) {
        ask_from(a, RERUN_FAILED);
    } else {
        run_again(a, which_of(key), NULL);
    }
}

void app_review_rerun(struct app *a, int64_t number)
{
    static const struct choice plain = {
        "afsoe", {"all", "failed", "skipped", "selected", "edit"}, "no", rerun_chosen, NULL};
    static const struct choice grouped = {
        "afsoeg", {"all", "failed", "skipped", "selected", "edit", "groups"}, "no", rerun_chosen, NULL};
    struct batch b;

    if (!app_read_asked(a, number, &b))
        return;
    unsigned skipped = b.stats.by_reason[REASON_SKIPPED];
    size_t picked = selection_count(&a->sel);
    bool groups = b.target_groups.n > 0;
    char *on = picked ? x_asprintf(", o on the %zu selected", picked) : x_strdup("");
    app_choose_free(a, x_asprintf("Rerun #%lld: a all %u, f failed %u, s skipped %u%s, e edit%s?",
                                  (long long) number, b.stats.total, b.stats.failed - skipped,
                                  skipped, on, groups ? ", g its groups now" : ""),
                    groups ? &grouped : &plain);
    free(on);
    batch_clear(&b);
}
