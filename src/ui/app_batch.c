/* SPDX-License-Identifier: Apache-2.0 */
/* What the screen asks of the service about whole batches: review, cancel, export, delete, and
 * what becomes of them on quitting. */
#include "app_private.h"
#include "form_work.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/nodeset.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void app_pending_clear(struct app *a)
{
    struct pending_hold *h = a->priv->hold;

    a->pending = NULL;
    a->priv->hold = NULL;
    if (!h)
        return;
    batch_request_clear(&h->request);
    work_request_clear(&h->work);
    strv_clear(&h->nodes);
    strv_clear(&h->groups);
    strv_clear(&h->env);
    free(h->chdir);
    free(h->stdin_path);
    free(h->waves);
    free(h->max_fail);
    free(h->serial_by);
    free(h->probe);
    free(h->command);
    free(h->label);
    rerun_hold_free(h->rerun);
    free(h);
}

struct pending_hold *app_hold_new(struct app *a)
{
    app_pending_clear(a);
    a->priv->hold = x_calloc(1, sizeof *a->priv->hold);
    batch_request_init(&a->priv->hold->request);
    work_request_init(&a->priv->hold->work);
    return a->priv->hold;
}

void app_review(struct app *a)
{
    /* A screen shows output as it comes. */
    a->priv->hold->request.live = true;
    a->pending = &a->priv->hold->request;
    app_push(a, &view_review);
}

/* --- from the form --- */

static void nodeset_names(const struct nodeset *s, struct strv *v)
{
    for (size_t i = 0; i < nodeset_count(s); i++)
        strv_push(v, nodeset_at(s, i));
}

void app_take_selection(struct app *a, struct pending_hold *h)
{
    struct batch_request *r = &h->request;

    nodeset_names(a->sel.nodes, &h->nodes);
    nodeset_names(a->sel.groups, &h->groups);
    r->node_ids = (const char *const *) h->nodes.v;
    r->n_node_ids = h->nodes.n;
    r->group_ids = (const char *const *) h->groups.v;
    r->n_group_ids = h->groups.n;
    r->expanded = true;
}

/* A sensitive parameter of the form was asked for on the way to the review. */
static void sensitive_given(struct app *a, struct secret *answer)
{
    struct form_work *w = form_work_of(&a->form);
    size_t i = w ? form_work_unasked(w) : 0;

    if (!w || i == w->n)
        return;
    if (!answer || !secret_len(answer)) {
        app_toast(a, "it is required: nothing was run");
        return;
    }
    w->v[i].secret = secret_ref(answer);
    app_review_form(a);
}

/* False: something is missing or wrong in what is to run, which is shown at its field, or is asked
 * for. */
static bool work_is_ready(struct app *a)
{
    struct form_work *w = form_work_of(&a->form);
    size_t first;

    if (!w) {
        app_toast(a, "no %s is picked: e shows what there is", action_type_name(a->form.type));
        app_focus(a, PANE_ACTION);
        return false;
    }
    w->told = true;
    size_t n = form_work_faults(w, &first);
    if (n > 0) {
        CLEANUP_FREE char *label = form_work_label(w, first);
        CLEANUP_FREE char *fault = form_work_fault(w, first);
        app_focus(a, PANE_ACTION);
        action_show_param(a->panes[PANE_ACTION], first);
        app_toast(a, "%zu parameter%s wrong: %s %s", n, n == 1 ? " is" : "s are", label, fault);
        return false;
    }
    size_t ask = form_work_unasked(w);
    if (ask == w->n)
        return true;
    CLEANUP_FREE char *name = text_clean(form_work_param(w, ask)->name);
    CLEANUP_FREE char *text = x_asprintf("%s: ", name);
    app_ask_secret(a, text, sensitive_given);
    return false;
}

static bool command_is_ready(struct app *a)
{
    const char *command = a->form.fields[FORM_COMMAND].text;

    if (command[strspn(command, " \t\n")] != '\0')
        return true;
    app_toast(a, "no command: e edits it");
    app_focus(a, PANE_ACTION);
    return false;
}

void app_review_form(struct app *a)
{
    bool command = a->form.type == ACTION_TYPE_COMMAND;

    /* A plan may name its nodes itself. */
    if (selection_count(&a->sel) == 0 && a->form.type != ACTION_TYPE_PLAN) {
        app_toast(a, "no target: pick nodes or groups with Space");
        app_focus(a, PANE_TARGETS);
        return;
    }
    if (!(command ? command_is_ready(a) : work_is_ready(a)))
        return;
    struct pending_hold *h = app_hold_new(a);
    struct err e = ERR_INIT;
    if (form_request(&a->form, h, &e) != 0) {
        app_toast_err(a, &e);
        err_clear(&e);
        app_pending_clear(a);
        app_focus(a, PANE_ACTION);
        return;
    }
    app_take_selection(a, h);
    app_review(a);
}

/* Reads the batch a question is about. False, with a toast, when it cannot be. */
bool app_read_asked(struct app *a, int64_t number, struct batch *b)
{
    struct err e = ERR_INIT;

    a->priv->ask_number = number;
    if (reader_batch(a->reader, number, b, &e) == 0)
        return true;
    app_toast_err(a, &e);
    err_clear(&e);
    return false;
}

void app_choose_free(struct app *a, char *question, const struct choice *choice)
{
    app_choose(a, question, choice);
    free(question);
}

/* --- cancel --- */

static void cancel_chosen(struct app *a, char key)
{
    struct cancel_answer answer;
    struct err e = ERR_INIT;

    if (key == 0)
        return;
    if (batch_cancel(a->service, a->priv->ask_number, &answer, &e) != 0) {
        app_toast_err(a, &e);
        err_clear(&e);
        return;
    }
    if (!answer.ended)
        a->priv->tell_cancel = a->priv->ask_number;
    app_toast(a, "%s", answer.message);
}

/* Read again only when something was committed. */
static bool cancel_moot(struct app *a)
{
    struct batch b;

    if (a->priv->asked_generation == a->data_generation)
        return false;
    a->priv->asked_generation = a->data_generation;
    if (reader_batch(a->reader, a->priv->ask_number, &b, NULL) != 0)
        return false;
    bool ended = b.status != BATCH_RUNNING;
    batch_clear(&b);
    if (ended)
        app_toast(a, "#%lld has ended by itself: nothing was cancelled",
                  (long long) a->priv->ask_number);
    return ended;
}

void app_cancel_batch(struct app *a, int64_t number)
{
    static const struct choice choice = {"y", {"yes"}, "no", cancel_chosen, cancel_moot};
    struct batch b;

    if (!app_read_asked(a, number, &b))
        return;
    if (b.status != BATCH_RUNNING)
        app_toast(a, "#%lld has ended: there is nothing to cancel", (long long) number);
    else
        app_choose_free(a, x_asprintf("Cancel #%lld (%u running, %u queued)? y/n",
                                  (long long) number, b.stats.running, b.stats.queued),
                    &choice);
    a->priv->asked_generation = a->data_generation;
    batch_clear(&b);
}

/* --- pause --- */

void app_pause_batch(struct app *a, int64_t number)
{
    struct pause_answer answer;
    struct err e = ERR_INIT;
    struct batch b;

    if (a->priv->later_stage == number && service_stage_question(a->service) == number) {
        a->priv->later_stage = 0; /* it is asked again */
        return;
    }
    if (!app_read_asked(a, number, &b))
        return;
    bool on = !b.paused;
    bool ended = b.status != BATCH_RUNNING;
    batch_clear(&b);
    if (ended) {
        app_toast(a, "#%lld has ended: there is nothing to pause", (long long) number);
        return;
    }
    if (batch_pause(a->service, number, on, &answer, &e) == 0)
        app_toast(a, "%s", answer.message);
    else
        app_toast_err(a, &e);
    err_clear(&e);
}

void app_tell_cancel(struct app *a)
{
    struct exec_filter f = EXEC_FILTER_ANY;
    struct execution *x = NULL;
    size_t n = 0, by[REMOTE_COUNT] = {0};
    static const struct {
        enum remote_process remote;
        const char *name;
    } told[] = {{REMOTE_STOPPED, "stopped"},
                {REMOTE_RUNNING, "still running"},
                {REMOTE_UNKNOWN, "unknown"},
                {REMOTE_NONE, "never started"}};
    struct strbuf b;

    a->priv->tell_cancel = 0;
    f.reason_mask = 1U << REASON_CANCELLED;
    if (reader_executions(a->reader, a->batch, &f, SORT_POSITION, false, 0, BATCH_TARGETS_MAX, &x,
                          &n, NULL, NULL) != 0)
        return;
    for (size_t i = 0; i < n; i++)
        by[x[i].remote]++;
    executions_free(x, n);
    strbuf_init(&b, 0);
    for (size_t i = 0; i < ARRAY_LEN(told); i++)
        if (by[told[i].remote] > 0)
            strbuf_addf(&b, "%s%zu %s", b.len ? ", " : ": ", by[told[i].remote], told[i].name);
    app_toast(a, "#%lld cancelled%s", (long long) a->batch, b.s);
    strbuf_free(&b);
}

/* --- export --- */

static bool export_format_of(const char *path, enum export_format *f)
{
    const char *dot = strrchr(path, '.');

    if (dot && strcasecmp(dot, ".csv") == 0)
        *f = EXPORT_CSV;
    else if (dot && strcasecmp(dot, ".json") == 0)
        *f = EXPORT_JSON;
    else
        return false;
    return true;
}

static void export_write(struct app *a)
{
    struct app_private *p = a->priv;
    enum export_format format;
    struct err e = ERR_INIT;

    if (!export_format_of(p->ask_path, &format))
        return;
    if (batch_export(a->service, p->ask_number, format,
                     p->export_filtered ? &p->export_filter : NULL, p->ask_path, -1, &e) == 0)
        app_toast(a, "written: %s", p->ask_path);
    else
        app_toast_err(a, &e);
    err_clear(&e);
}

static void overwrite_chosen(struct app *a, char key)
{
    if (key == 'y')
        export_write(a);
    else
        app_toast(a, "not exported: %s stays as it is", a->priv->ask_path);
}

static void ask_path(struct app *a, const char *initial, bool again);

static void path_given(struct app *a, const char *text)
{
    static const struct choice choice = {"y", {"yes"}, "no", overwrite_chosen, NULL};
    struct app_private *p = a->priv;
    enum export_format format;

    if (!text || !*text)
        return;
    if (!export_format_of(text, &format)) {
        ask_path(a, text, true);
        return;
    }
    free(p->ask_path);
    p->ask_path = io_expand_tilde(text);
    if (access(p->ask_path, F_OK) == 0)
        app_choose_free(a, x_asprintf("%s exists. Overwrite it? y/n", p->ask_path), &choice);
    else
        export_write(a);
}

static void ask_path(struct app *a, const char *initial, bool again)
{
    const char *what = a->priv->export_filtered ? "what is filtered" : "all";
    char *q = again ? x_strdup("The name must end in .csv or .json:")
                    : x_asprintf("Export %s to:", what);

    app_ask(a, q, initial, path_given);
    free(q);
}

void app_export_filtered(struct app *a, int64_t number, const struct exec_filter *f)
{
    struct app_private *p = a->priv;
    struct batch b;

    if (!app_read_asked(a, number, &b))
        return;
    batch_clear(&b);
    free(p->export_text);
    p->export_text = NULL;
    p->export_filtered = f != NULL;
    if (f) {
        p->export_filter = *f;
        p->export_text = x_strdup(f->text);
        p->export_filter.text = p->export_text;
        p->export_filter.node = NULL;
    }
    char *name = batch_export_name(number, EXPORT_CSV);
    ask_path(a, name, false);
    free(name);
}

void app_export_batch(struct app *a, int64_t number)
{
    app_export_filtered(a, number, NULL);
}

/* --- delete --- */

static void delete_chosen(struct app *a, char key)
{
    struct err e = ERR_INIT;
    int64_t number = a->priv->ask_number;

    if (key == 0)
        return;
    if (batch_delete(a->service, number, &e) == 0)
        app_toast(a, "#%lld and its results are deleted", (long long) number);
    else
        app_toast_err(a, &e);
    err_clear(&e);
}

void app_delete_batch(struct app *a, int64_t number)
{
    static const struct choice choice = {"y", {"yes"}, "no", delete_chosen, NULL};
    struct batch b;

    if (!app_read_asked(a, number, &b))
        return;
    if (b.status == BATCH_RUNNING)
        app_toast(a, "#%lld still runs: X cancels it, then it can be deleted", (long long) number);
    else
        app_choose_free(a, x_asprintf("Delete #%lld (%u node%s)? y/n",
                                  (long long) number, b.stats.total,
                                  b.stats.total == 1 ? "" : "s"),
                    &choice);
    batch_clear(&b);
}

/* --- quit --- */

/* Cancels every batch that this process runs. */
static void cancel_own(struct app *a)
{
    struct batch_filter f = BATCH_FILTER_ANY;
    struct batch *b = NULL;
    size_t n = 0;
    struct err e = ERR_INIT;

    f.status = BATCH_RUNNING;
    if (reader_batches(a->reader, &f, 0, 0, 1000, &b, &n, NULL, &e) != 0) {
        app_toast_err(a, &e);
        err_clear(&e);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct cancel_answer answer;
        if (b[i].owner == OWNER_SELF && batch_cancel(a->service, b[i].number, &answer, &e) != 0) {
            app_toast_err(a, &e);
            err_clear(&e);
        }
    }
    batches_free(b, n);
    a->priv->quit_when_idle = true;
}

static void quit_chosen(struct app *a, char key)
{
    if (key == 'l')
        a->priv->leave = a->quit = true;
    else if (key == 'c')
        cancel_own(a);
}

static bool quit_moot(struct app *a)
{
    if (!service_idle(a->service))
        return false;
    app_toast(a, "all batches of this muster have ended: q quits");
    return true;
}

void app_quit_ask(struct app *a)
{
    static const struct choice any = {
        "lcs", {"leave", "cancel", "stay"}, "stay", quit_chosen, quit_moot};
    static const struct choice demo = {"cs", {"cancel", "stay"}, "stay", quit_chosen, quit_moot};

    if (service_idle(a->service))
        a->quit = true;
    else if (service_is_ephemeral(a->service))
        app_choose(a, "A batch still runs, and its nodes go with this muster: c cancel, s stay?",
                   &demo);
    else
        app_choose(a, "Batches of this muster still run: l leave them running, c cancel, s stay?",
                   &any);
}
