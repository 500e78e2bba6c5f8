/* SPDX-License-Identifier: Apache-2.0 */
/* The app's state: making it, keeping it up to date with the store and the inventory, overlays and
 * messages.
 *
 * The store is polled by its data version: every 100 ms while it changes, then ever more slowly, up
 * to 1 s while any batch runs and 2 s while none does. A key or a commit of this process sets that
 * back. Views load again only when something they show may have changed. */
#include "app_private.h"
#include "form_work.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/text.h"
#include "muster/core/fleet.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char *who_text(void)
{
    char host[65] = "";

    gethostname(host, sizeof host - 1);
    host[strcspn(host, ".")] = '\0';
    return x_asprintf("%s@%s", io_user_name(), host);
}

struct app *app_new(struct service *s, const struct mclock *clock, bool read_only, struct err *e)
{
    static const struct view_ops *const panes[PANE_COUNT] = {
        &view_targets, &view_action, &view_progress, &view_results, &view_history};
    struct reader *reader = reader_open(service_db_path(s), e);

    if (!reader)
        return NULL;
    struct app *a = x_calloc(1, sizeof *a);
    a->service = s;
    a->reader = reader;
    a->clock = clock;
    a->read_only = read_only;
    a->priv = x_calloc(1, sizeof *a->priv);
    a->priv->who = who_text();
    a->priv->poll_gap = POLL_MS;
    a->priv->key_ms = INT64_MIN / 2;
    a->priv->poll_at = a->priv->fleet_at = mono_ms(clock);
    field_init(&a->priv->question.field);
    selection_init(&a->sel);
    for (size_t i = 0; i < FORM_COUNT; i++)
        field_init(&a->form.fields[i]);
    service_set_can_ask(s, true);
    a->focus = PANE_HISTORY;
    a->dirty = true;
    app_refresh_fleet(a);
    for (size_t i = 0; i < PANE_COUNT; i++)
        a->panes[i] = view_new(panes[i], a);
    app_stale_all(a);
    return a;
}

void app_free(struct app *a)
{
    if (!a)
        return;
    app_pop_all(a);
    app_bury(a);
    for (size_t i = 0; i < PANE_COUNT; i++)
        view_free(a->panes[i]);
    service_set_can_ask(a->service, false); /* nobody is there to answer any more */
    app_pending_clear(a);
    question_close(a);
    field_free(&a->priv->question.field);
    for (size_t i = 0; i < FORM_COUNT; i++)
        field_free(&a->form.fields[i]);
    form_work_free(a->form.work);
    for (size_t i = 0; i < a->priv->n_messages; i++)
        free(a->priv->messages[i]);
    selection_free(&a->sel);
    batch_clear(&a->open);
    reader_close(a->reader);
    free(a->priv->who);
    free(a->priv->trouble);
    free(a->priv->reader_error);
    free(a->priv->ask_path);
    free(a->priv->note_node);
    strv_clear(&a->priv->asked);
    free(a->priv->export_text);
    free(a->priv);
    free(a->fleet_error);
    free(a->node_name);
    free(a);
}

/* --- messages --- */

const char *app_clock_text(int64_t ms, const char *fmt, char *buf, size_t n)
{
    time_t t = (time_t) (ms / 1000);
    struct tm tm;

    buf[0] = '\0';
    if (!localtime_r(&t, &tm))
        return buf;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    strftime(buf, n, fmt, &tm);
#pragma GCC diagnostic pop
    return buf;
}

void app_toast(struct app *a, const char *fmt, ...)
{
    struct app_private *p = a->priv;
    char time[16];
    va_list ap;

    va_start(ap, fmt);
    char *text = x_vasprintf(fmt, ap);
    va_end(ap);
    char *line = x_asprintf("%s %s", app_clock_text(wall_ms(a->clock), "%H:%M:%S", time, 16), text);
    snprintf(a->toast, sizeof a->toast, "%s", line);
    a->toast_until_ms = mono_ms(a->clock) + TOAST_MS;
    p->toast_new = true;
    p->toast_selection = 0;
    if (p->n_messages == MESSAGES_MAX) {
        free(p->messages[0]);
        memmove(p->messages, p->messages + 1, (MESSAGES_MAX - 1) * sizeof *p->messages);
        p->n_messages--;
    }
    p->messages[p->n_messages++] = line;
    free(text);
    a->dirty = true;
}

void app_toast_err(struct app *a, const struct err *e)
{
    size_t first = e->details ? strcspn(e->details, "\n") : 0;

    if (first)
        app_toast(a, "%s (%.*s%s)", e->msg, (int) first, e->details,
                  e->details[first] && e->details[first + 1] ? ", .." : "");
    else
        app_toast(a, "%s", e->msg ? e->msg : "something went wrong, and muster cannot say what");
}

const char *app_message(const struct app *a, size_t i)
{
    const struct app_private *p = a->priv;

    return i < p->n_messages ? p->messages[p->n_messages - 1 - i] : NULL;
}

/* --- panes and overlays --- */

void app_stale_all(struct app *a)
{
    memset(a->priv->stale_panes, true, sizeof a->priv->stale_panes);
    memset(a->priv->stale_overlays, true, sizeof a->priv->stale_overlays);
    a->dirty = true;
}

#define FORM_PARAMS_BESIDE 1 /* parameters that the form has room for while other panes are shown */

/* All fields of the form need more rows than its pane has beside others. */
static void zoom_form(struct app *a, bool want)
{
    bool *zoomed = &a->priv->form_zoomed;

    if (want && !a->zoomed)
        a->zoomed = *zoomed = true;
    else if (!want && *zoomed)
        a->zoomed = *zoomed = false;
}

void app_focus(struct app *a, enum pane p)
{
    a->focus = p;
    const struct form_work *w = form_work_of(&a->form);
    zoom_form(a, p == PANE_ACTION && (a->priv->form_open || (w && w->n > FORM_PARAMS_BESIDE)));
    app_stale_all(a);
}

void app_push(struct app *a, const struct view_ops *ops)
{
    if (a->n_overlays > 0 && a->overlays[a->n_overlays - 1]->ops == ops)
        app_pop(a);
    if (a->n_overlays == OVERLAY_MAX) {
        app_toast(a, "too much is open on top: q closes it");
        return;
    }
    a->overlays[a->n_overlays++] = view_new(ops, a);
    app_stale_all(a);
}

void app_pop(struct app *a)
{
    if (a->n_overlays == 0)
        return;
    /* It may be this overlay's own code that asks: it is freed when that has returned. */
    if (a->priv->n_closed == ARRAY_LEN(a->priv->closed))
        app_bury(a);
    a->priv->closed[a->priv->n_closed++] = a->overlays[--a->n_overlays];
    a->overlays[a->n_overlays] = NULL;
    app_stale_all(a);
}

void app_pop_all(struct app *a)
{
    while (a->n_overlays > 0)
        app_pop(a);
}

void app_bury(struct app *a)
{
    struct app_private *p = a->priv;
    bool reviewed = false, reviewing = false;

    for (size_t i = 0; i < p->n_closed; i++) {
        reviewed |= p->closed[i]->ops == &view_review;
        view_free(p->closed[i]);
    }
    p->n_closed = 0;
    for (size_t i = 0; i < a->n_overlays; i++)
        reviewing |= a->overlays[i]->ops == &view_review;
    if (reviewed && !reviewing)
        app_pending_clear(a);
}

/* --- the inventory --- */

void app_refresh_fleet(struct app *a)
{
    struct app_private *p = a->priv;
    struct err e = ERR_INIT;
    const struct fleet *f = service_fleet(a->service, &e);
    const char *error = f ? NULL : e.msg ? e.msg : "the inventory could not be read";
    int64_t loaded = 0;

    /* What was there stays on the screen; it is the service that runs nothing on it. */
    if (!f)
        f = service_fleet_last(a->service);

    if (f)
        for (size_t i = 0; i < f->n_sources; i++)
            loaded += f->sources[i].loaded_ms;
    bool told = error ? a->fleet_error && strcmp(a->fleet_error, error) == 0 : !a->fleet_error;
    bool same = told && f == a->fleet && loaded == p->fleet_loaded_ms &&
                (f ? f->n_nodes : 0) == p->fleet_nodes;
    a->fleet = f;
    if (!same) {
        p->fleet_loaded_ms = loaded;
        p->fleet_nodes = f ? f->n_nodes : 0;
        free(a->fleet_error);
        a->fleet_error = x_strdup(error);
        size_t gone = f ? selection_prune(&a->sel, f) : 0;
        if (gone > 0)
            app_toast(a, "%zu picked %s no longer in the inventory: unpicked", gone,
                      gone == 1 ? "node is" : "nodes are");
        a->data_generation++;
        a->dirty = true;
    }
    err_clear(&e);
}

/* --- the store --- */

static void toast_end(struct app *a)
{
    const struct batch *b = &a->open;
    char time[24];

    app_toast(a, "#%lld ended (%s) after %s: %u ok, %u failed", (long long) b->number,
              batch_status_name(b->status),
              text_duration(batch_duration_ms(b, wall_ms(a->clock)), time), b->stats.success,
              b->stats.failed);
}

/* Reads the open batch again, and notices what happened to it. */
static void read_open(struct app *a)
{
    struct batch b;
    struct err e = ERR_INIT;

    if (a->batch == 0)
        return;
    int rc = reader_batch(a->reader, a->batch, &b, &e);
    if (rc == -ERR_NOT_FOUND) {
        a->batch = 0;
        batch_clear(&a->open);
        app_stale_all(a);
    } else if (rc == 0) {
        bool ended = a->open.number == b.number && a->open.status == BATCH_RUNNING &&
                     b.status != BATCH_RUNNING;
        if (b.stats.failed > a->open.stats.failed && !a->priv->run_visible)
            a->unseen_failures = true;
        batch_clear(&a->open);
        a->open = b;
        if (ended && a->priv->tell_cancel == a->batch)
            app_tell_cancel(a);
        else if (ended)
            toast_end(a);
    } else if (!a->priv->reader_error || strcmp(a->priv->reader_error, e.msg) != 0) {
        free(a->priv->reader_error);
        a->priv->reader_error = x_strdup(e.msg);
        app_toast_err(a, &e);
    }
    err_clear(&e);
}

static bool any_batch(struct app *a, int status)
{
    struct batch_filter f = BATCH_FILTER_ANY;
    struct batch *b = NULL;
    size_t n = 0;

    f.status = status;
    if (reader_batches(a->reader, &f, 0, 0, 1, &b, &n, NULL, NULL) != 0)
        return false;
    batches_free(b, n);
    return n > 0;
}

void app_open_batch(struct app *a, int64_t number)
{
    struct batch b;
    struct err e = ERR_INIT;

    if (reader_batch(a->reader, number, &b, &e) != 0) {
        app_toast_err(a, &e);
        err_clear(&e);
        return;
    }
    app_pop_all(a);
    batch_clear(&a->open);
    a->open = b;
    a->batch = number;
    a->node_position = 0;
    a->unseen_failures = false;
    a->priv->second_at = 0;
    history_show(a->panes[PANE_HISTORY], number);
    app_focus(a, b.status == BATCH_RUNNING ? PANE_PROGRESS : PANE_RESULTS);
}

static void poll_store(struct app *a, int64_t now)
{
    struct app_private *p = a->priv;

    p->woken = false;
    if (reader_changed(a->reader)) {
        p->poll_gap = POLL_MS;
        a->data_generation++;
        read_open(a);
        p->any_batch = any_batch(a, -1);
        p->any_running = p->any_batch && any_batch(a, BATCH_RUNNING);
        a->dirty = true;
    } else {
        int64_t most = p->any_running ? 1000 : 2000;
        p->poll_gap = p->poll_gap * 3 / 2;
        if (p->poll_gap > most)
            p->poll_gap = most;
    }
    p->poll_at = now + p->poll_gap;
}

void app_woken(struct app *a)
{
    struct app_private *p = a->priv;
    int64_t last = p->poll_at - p->poll_gap;

    p->woken = true;
    p->poll_gap = POLL_MS;
    p->poll_at = last + POLL_MS;
}

static void check_trouble(struct app *a)
{
    const char *t = service_trouble(a->service);
    char **told = &a->priv->trouble;

    if (t ? *told && strcmp(t, *told) == 0 : !*told)
        return;
    free(*told);
    *told = x_strdup(t);
    if (t)
        app_toast(a, "%s", t);
    else
        app_toast(a, "the database can be written again");
}

int64_t app_tick(struct app *a)
{
    struct app_private *p = a->priv;
    int64_t now = mono_ms(a->clock), next;

    if (a->toast[0] && now >= a->toast_until_ms) {
        a->toast[0] = '\0';
        a->dirty = true;
    }
    if (now >= p->fleet_at) {
        app_refresh_fleet(a);
        p->fleet_at = now + 2000;
    }
    if (now >= p->poll_at)
        poll_store(a, now);
    next = p->poll_at < p->fleet_at ? p->poll_at : p->fleet_at;
    if (a->batch && a->open.status == BATCH_RUNNING) {
        if (now >= p->second_at) {
            p->second_at = now + 1000;
            p->stale_panes[PANE_PROGRESS] = true;
            a->dirty = true;
        }
        if (p->second_at < next)
            next = p->second_at;
    }
    check_trouble(a);
    question_tick(a);
    if (p->quit_when_idle && (service_idle(a->service) || service_stuck(a->service)))
        a->quit = true;
    if (p->quit_when_idle && next > now + POLL_MS)
        next = now + POLL_MS;
    if (p->question_waits && next > now + POLL_MS)
        next = now + POLL_MS;
    if (a->toast[0] && a->toast_until_ms < next)
        next = a->toast_until_ms;
    return next > now ? next - now : 0;
}
