/* SPDX-License-Identifier: Apache-2.0 */
/* The History pane: every batch, newest first, with filters. Only what is visible is read. */
#include "app_private.h"
#include "vutil.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/store/reader.h"
#include "muster/ui/app.h"
#include "muster/ui/list.h"
#include "muster/ui/view.h"

#include <stdio.h>
#include <string.h>

/* What `t` goes through. */
static const char *const kinds[] = {"", "single", "batch", "command", "task", "plan"};

struct history_view {
    struct view view;
    struct list list;
    struct batch *rows; /* from `first` on */
    size_t first, n_rows;
    int64_t at; /* number of the batch under the cursor, 0: none */
    int64_t show; /* where the cursor is to go, 0: it stays */
    int status, kind;
    bool not_success;
    int64_t since_ms, until_ms;
    struct prompt text;
    char *error;
    char *note; /* the newest of the batch under the cursor, or NULL */
};

static struct history_view *self(struct view *v)
{
    return (struct history_view *) v;
}

static void init(struct view *v)
{
    self(v)->status = -1;
    prompt_init(&self(v)->text);
}

static void fini(struct view *v)
{
    struct history_view *h = self(v);

    batches_free(h->rows, h->n_rows);
    prompt_free(&h->text);
    free(h->error);
    free(h->note);
}

static bool filtered(const struct history_view *h)
{
    return h->status >= 0 || h->not_success || h->kind || h->since_ms || h->until_ms ||
           !prompt_empty(&h->text);
}

/* --- reading --- */

static bool read_page(struct history_view *h, size_t first, size_t height, size_t *total)
{
    struct batch_filter f = BATCH_FILTER_ANY;
    struct err e = ERR_INIT;

    batches_free(h->rows, h->n_rows);
    h->rows = NULL;
    h->n_rows = 0;
    h->first = first;
    f.status = h->status;
    f.not_success = h->not_success;
    f.kind = h->kind <= 2 ? h->kind : 0;
    f.type = h->kind <= 2 ? -1 : h->kind - 3 + ACTION_TYPE_COMMAND;
    f.since_ms = h->since_ms;
    f.until_ms = h->until_ms;
    f.text = prompt_empty(&h->text) ? NULL : h->text.field.text;
    free(X_STEAL(h->error));
    if (reader_batches(h->view.app->reader, &f, 0, first, height, &h->rows, &h->n_rows, total,
                       &e) == 0)
        return true;
    h->error = x_strdup(e.msg);
    err_clear(&e);
    *total = 0;
    return false;
}

static const struct batch *row_at(const struct history_view *h, size_t i)
{
    return i >= h->first && i - h->first < h->n_rows ? &h->rows[i - h->first] : NULL;
}

/* New batches come in at the top: the cursor goes down with the one it is on. */
static void follow(struct history_view *h, size_t before, size_t total)
{
    size_t want = h->list.cursor;

    if (h->at && total > before)
        want += total - before;
    for (size_t i = 0; h->at && i < h->n_rows; i++)
        if (h->rows[i].number == h->at)
            want = h->first + i;
    h->list.count = total;
    /* At the very top new ones come into view, further down the rows stand still. */
    if (h->list.top > 0 && want > h->list.cursor)
        h->list.top += want - h->list.cursor;
    list_move_to(&h->list, want);
}

void history_show(struct view *v, int64_t number)
{
    self(v)->show = number;
}

static bool on_page(const struct history_view *h, int64_t number)
{
    for (size_t i = 0; i < h->n_rows; i++)
        if (h->rows[i].number == number)
            return true;
    return false;
}

/* A batch that is shown for the first time is one of the newest, or stands on this page. */
static void go_to_show(struct history_view *h, size_t rows, size_t *total)
{
    int64_t number = h->show;
    size_t first = h->first;

    h->show = 0;
    if (!number || number == h->at)
        return;
    if (!on_page(h, number) && (!read_page(h, 0, rows, total) || !on_page(h, number))) {
        read_page(h, first, rows, total);
        return;
    }
    h->at = number;
    h->list.top = h->first;
}

/* The newest note of the batch under the cursor. */
static void load_note(struct history_view *h)
{
    struct note *v = NULL;
    size_t n = 0;

    free(X_STEAL(h->note));
    if (!h->at || reader_notes(h->view.app->reader, NULL, h->at, &v, &n, NULL) != 0 || n == 0)
        return;
    CLEANUP_FREE char *text = text_clean(v[n - 1].text);
    h->note = x_asprintf("note on #%lld: %s%s", (long long) h->at, text,
                         n > 1 ? " (3 shows more)" : "");
    notes_free(v, n);
}

static void load(struct view *v, int w, int height)
{
    struct history_view *h = self(v);
    size_t rows = height > 1 ? (size_t) height - 1 : 1, total, before = h->list.count;

    if (h->text.typing || !prompt_empty(&h->text))
        rows = rows > 1 ? rows - 1 : 1;
    h->list.height = rows;
    if (!read_page(h, h->list.top, rows, &total))
        return;
    go_to_show(h, rows, &total);
    follow(h, before, total);
    list_set_height(&h->list, rows);
    if (h->list.top != h->first)
        read_page(h, h->list.top, rows, &total);
    const struct batch *b = row_at(h, h->list.cursor);
    h->at = b ? b->number : 0;
    load_note(h);
}

/* --- drawing --- */

static enum role status_role(enum batch_status s)
{
    switch (s) {
    case BATCH_RUNNING:
        return ROLE_RUN;
    case BATCH_SUCCESS:
        return ROLE_OK;
    case BATCH_FAILED:
        return ROLE_FAIL;
    default:
        return ROLE_WARN;
    }
}

/* "14:31:02" today, "Tue 14:31" within a week, else the date; in five columns "14:31", "Tue",
 * "03-31"; buf of 16 bytes. */
static const char *when(int64_t ms, int64_t now, bool brief, char *buf)
{
    char today[16], day[16];

    app_clock_text(now, "%Y-%m-%d", today, sizeof today);
    app_clock_text(ms, "%Y-%m-%d", day, sizeof day);
    if (strcmp(today, day) == 0)
        return app_clock_text(ms, brief ? "%H:%M" : "%H:%M:%S", buf, 16);
    if (now > ms && now - ms < 6 * 24 * (int64_t) 3600000)
        return app_clock_text(ms, "%a %H:%M", buf, 16);
    return memcpy(buf, day, sizeof day);
}

enum { COL_NUMBER, COL_TIME, COL_KIND, COL_STATUS, COL_DONE, COL_DURATION, COL_USER, COL_TARGETS,
       COL_ACTION, N_COLS };

/* The number and the state never go. */
static void layout(struct column *c, int width)
{
    static const struct column all[N_COLS] = {
        {"batch", 5, 6, false, 0, false, 0, 0},
        {"time", 8, 10, false, 3, false, 0, 0},
        {"type", 6, 7, false, 6, false, 0, 0},
        {"status", 8, 11, false, 0, false, 0, 0},
        {"done", 7, 11, false, 2, true, 0, 0},
        {"took", 6, 7, false, 4, true, 0, 0},
        {"user", 6, 8, false, 7, false, 0, 0},
        {"targets", 10, 28, false, 5, false, 0, 0},
        {"action", 10, 10, true, 1, false, 0, 0},
    };

    memcpy(c, all, sizeof all);
    if (width >= 70) {
        c[COL_ACTION].min = 18;
    } else {
        c[COL_TIME].min = c[COL_TIME].want = 5;
        c[COL_STATUS].want = 8;
        c[COL_DONE].want = 7;
        c[COL_NUMBER].want = 5;
    }
    columns_layout(c, N_COLS, width);
}

static void draw_row(const struct history_view *h, struct surface *s, const struct column *c,
                     struct rect row, const struct batch *b)
{
    int64_t now = wall_ms(h->view.app->clock);
    enum role role = status_role(b->status);
    char text[64], buf[24];

    snprintf(text, sizeof text, "#%lld", (long long) b->number);
    columns_cell(&c[COL_NUMBER], s, row, ROLE_NORMAL, text);
    columns_cell(&c[COL_TIME], s, row, ROLE_DIM, when(b->created_ms, now, c[COL_TIME].w < 8, buf));
    columns_cell(&c[COL_KIND], s, row, ROLE_DIM,
                 b->is_copy                        ? "copy"
                 : b->type != ACTION_TYPE_COMMAND ? action_type_name(b->type)
                 : b->single                      ? "single"
                                                  : "batch");
    snprintf(text, sizeof text, "%s %s", batch_status_glyph(b->status),
             c[COL_STATUS].w >= 11 ? batch_status_name(b->status)
                                   : batch_status_word(b->status));
    columns_cell(&c[COL_STATUS], s, row, role, text);
    int w = snprintf(text, sizeof text, "%u/%u", b->stats.success + b->stats.failed,
                     b->stats.total);
    if (w > c[COL_DONE].w)
        snprintf(text, sizeof text, "%uh", b->stats.total);
    columns_cell(&c[COL_DONE], s, row, ROLE_NORMAL, text);
    columns_cell(&c[COL_DURATION], s, row, ROLE_NORMAL,
                 text_duration(batch_duration_ms(b, now), buf));
    columns_cell(&c[COL_USER], s, row, ROLE_DIM, b->user_id ? b->user_id : "");
    columns_cell(&c[COL_TARGETS], s, row, ROLE_NORMAL, b->targets ? b->targets : "");
    columns_cell(&c[COL_ACTION], s, row, ROLE_NORMAL, b->action ? b->action : "");
}

static void draw_empty(const struct history_view *h, struct surface *s, struct rect body)
{
    static const char *const none[] = {
        "No batch yet.", "c picks targets and composes one; x reviews and runs it.",
        "Whatever runs, here or by `muster run`, stays in this list with its results."};
    static const char *const nothing[] = {"No batch is like that.", "Esc shows all again."};

    if (h->error) {
        const char *lines[] = {h->error};
        vu_teach(s, body, lines, 1);
    } else if (filtered(h)) {
        vu_teach(s, body, nothing, ARRAY_LEN(nothing));
    } else {
        vu_teach(s, body, none, ARRAY_LEN(none));
    }
}

static void draw(struct view *v, struct surface *s, struct rect body, bool focused)
{
    struct history_view *h = self(v);
    bool asking = h->text.typing || !prompt_empty(&h->text);
    struct column c[N_COLS];

    if (asking && body.h > 1) {
        char note[48], n[32];
        snprintf(note, sizeof note, "%s found", text_count(h->list.count, n));
        prompt_draw(&h->text, s, body, body.y, focused, "", note, ROLE_DIM);
        body.y++;
        body.h--;
    }
    if (h->n_rows == 0) {
        draw_empty(h, s, body);
        return;
    }
    layout(c, body.w - 1); /* beside the mark of the cursor */
    if (body.h > 1) {
        columns_head(c, N_COLS, s, (struct rect) {body.x + 1, body.y, body.w - 1, 1});
        body.y++;
        body.h--;
    }
    if (h->note && (size_t) body.h > h->n_rows)
        surface_fit(s, body, body.x + 1, body.y + body.h - 1, body.w - 1, ROLE_SELECTED, h->note, false);
    for (int y = 0; y < body.h; y++) {
        const struct batch *b = row_at(h, h->list.top + (size_t) y);
        if (!b)
            continue;
        if (h->list.top + (size_t) y == h->list.cursor)
            surface_text(s, body, body.x, body.y + y, ROLE_CURSOR, ">");
        draw_row(h, s, c, (struct rect) {body.x + 1, body.y + y, body.w - 1, 1}, b);
    }
    vu_cursor_row(s, body, body.y + (int) (h->list.cursor - h->list.top),
                  focused && !h->text.typing);
}

static void caption(struct view *v, char *buf, size_t n)
{
    struct history_view *h = self(v);
    struct strbuf b;
    char t[16], count[32];

    strbuf_init(&b, n - 1);
    if (h->not_success)
        strbuf_adds(&b, "not success  ");
    if (h->status >= 0)
        strbuf_addf(&b, "%s  ", batch_status_name((enum batch_status) h->status));
    if (h->kind)
        strbuf_addf(&b, "%s  ", kinds[h->kind]);
    if (h->since_ms)
        strbuf_addf(&b, "since %s  ", app_clock_text(h->since_ms, "%Y-%m-%d", t, sizeof t));
    if (h->until_ms)
        strbuf_addf(&b, "until %s  ", app_clock_text(h->until_ms, "%Y-%m-%d", t, sizeof t));
    strbuf_addf(&b, "%s %s", text_count(h->list.count, count),
                h->list.count == 1 ? "batch" : "batches");
    snprintf(buf, n, "%s", b.s);
    strbuf_free(&b);
}

/* --- acting --- */

/* Another filter: from the top. */
static void refilter(struct history_view *h)
{
    h->at = 0;
    h->list.cursor = h->list.top = h->list.count = 0;
}

static void dates_given(struct app *a, const char *text)
{
    struct history_view *h = self(a->panes[PANE_HISTORY]);
    int64_t now = wall_ms(a->clock), since = 0, until = 0;

    if (!text)
        return;
    char *copy = x_strdup(text), *to = strstr(copy, "..");
    if (to) {
        *to = '\0';
        to += 2;
    }
    if (*copy)
        since = clock_parse(copy, now);
    if (to && *to)
        until = clock_parse(to, now);
    if (since < 0 || until < 0) {
        app_ask(a, "No date. Write 2026-01-31, 3d, A..B:", text, dates_given);
    } else {
        h->since_ms = since;
        h->until_ms = until;
        refilter(h);
    }
    free(copy);
}

static bool clear_filter(struct history_view *h)
{
    if (!filtered(h))
        return false;
    if (!prompt_empty(&h->text)) {
        field_set(&h->text.field, "");
    } else {
        h->status = -1;
        h->not_success = false;
        h->kind = 0;
        h->since_ms = h->until_ms = 0;
    }
    refilter(h);
    return true;
}

static void filter_act(struct history_view *h, enum action a)
{
    switch (a) {
    case ACT_FILTER:
        prompt_start(&h->text);
        return;
    case ACT_FILTER_STATUS:
        h->not_success = false;
        h->status = h->status + 1 < BATCH_STATUS_COUNT ? h->status + 1 : -1;
        break;
    case ACT_FAILED_ONLY:
        /* Partial ones have failures too, and so may those that run or were cancelled. */
        h->not_success = !h->not_success;
        h->status = -1;
        break;
    case ACT_FILTER_KIND:
        h->kind = (h->kind + 1) % (int) ARRAY_LEN(kinds);
        break;
    default:
        app_ask(h->view.app, "Dates (today, 3d, FROM..TO or empty):", "",
                dates_given);
        return;
    }
    refilter(h);
}

/* What is done with the batch under the cursor. */
static void batch_act(struct app *app, enum action a, int64_t number)
{
    switch (a) {
    case ACT_OPEN:
        app_open_batch(app, number);
        break;
    case ACT_RERUN:
        app_review_rerun(app, number);
        break;
    case ACT_CANCEL:
        app_cancel_batch(app, number);
        break;
    case ACT_PAUSE:
        app_pause_batch(app, number);
        break;
    case ACT_EXPORT:
        app_export_batch(app, number);
        break;
    case ACT_NOTE:
        app_note(app, NULL, number);
        break;
    default:
        app_delete_batch(app, number);
        break;
    }
}

static enum view_result act(struct view *v, enum action a)
{
    struct history_view *h = self(v);

    if (list_act(&h->list, a)) {
        h->at = 0; /* where the cursor is now, not where its batch was */
        return VIEW_DONE;
    }
    switch (a) {
    case ACT_FILTER:
    case ACT_FILTER_STATUS:
    case ACT_FAILED_ONLY:
    case ACT_FILTER_KIND:
    case ACT_FILTER_DATE:
        filter_act(h, a);
        return VIEW_DONE;
    case ACT_OPEN:
    case ACT_RERUN:
    case ACT_CANCEL:
    case ACT_PAUSE:
    case ACT_EXPORT:
    case ACT_NOTE:
    case ACT_DELETE: {
        const struct batch *b = row_at(h, h->list.cursor);
        int64_t number = b ? b->number : h->at;
        if (number)
            batch_act(v->app, a, number);
        else
            app_toast(v->app, "there is no batch under the cursor");
        return VIEW_DONE;
    }
    case ACT_BACK:
        return clear_filter(h) ? VIEW_DONE : VIEW_IGNORED;
    default:
        return VIEW_IGNORED;
    }
}

static enum view_result key(struct view *v, const struct key *k)
{
    struct history_view *h = self(v);

    if (k->code == KEY_CODE_DOWN || k->code == KEY_CODE_UP) {
        list_act(&h->list, k->code == KEY_CODE_DOWN ? ACT_DOWN : ACT_UP);
        h->at = 0;
        return VIEW_DONE;
    }
    switch (prompt_key(&h->text, k)) {
    case PROMPT_EDITED:
    case PROMPT_ESC:
        refilter(h);
        return VIEW_DONE;
    case PROMPT_ENTER:
        return VIEW_DONE;
    default:
        return VIEW_IGNORED;
    }
}

static bool takes_text(const struct view *v)
{
    return ((const struct history_view *) v)->text.typing;
}

const struct view_ops view_history = {
    .title = "History",
    .ctx = CTX_HISTORY,
    .size = sizeof(struct history_view),
    .init = init,
    .fini = fini,
    .load = load,
    .draw = draw,
    .act = act,
    .key = key,
    .takes_text = takes_text,
    .caption = caption,
};
