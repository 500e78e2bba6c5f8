/* SPDX-License-Identifier: Apache-2.0 */
/* The Progress pane: how far the open batch is, how fast, what is slow, what failed, and every node
 * with its state. */
#include "exec_list.h"
#include "view_progress.h"
#include "vutil.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/service/service.h"
#include "muster/ui/app.h"
#include "muster/ui/view.h"

#include <stdio.h>
#include <string.h>

#define LOW_ROWS 10 /* a body of fewer rows says only the most important above its list */

static const enum exec_sort sorts_nodes[] = {SORT_ACTIVITY, SORT_NAME, SORT_STATUS, SORT_DURATION,
                                             SORT_POSITION, SORT_FINISHED};
static const enum exec_sort sorts_slow[] = {SORT_DURATION, SORT_NAME};
static const enum exec_sort sorts_errors[] = {SORT_FINISHED, SORT_NAME, SORT_STATUS,
                                              SORT_DURATION};
static const char *const tab_names[TAB_COUNT] = {"Nodes", "Slowest", "Errors"};

static struct progress_view *self(struct view *v)
{
    return (struct progress_view *) v;
}

static void set_defaults(struct progress_view *p)
{
    p->lists[TAB_SLOWEST].reverse = true;
    p->lists[TAB_ERRORS].reverse = true;
    p->lists[TAB_ERRORS].show = SHOW_FAILED;
}

static void progress_init(struct view *v)
{
    struct progress_view *p = self(v);
    exec_list_init(&p->lists[TAB_NODES], sorts_nodes, ARRAY_LEN(sorts_nodes));
    exec_list_init(&p->lists[TAB_SLOWEST], sorts_slow, ARRAY_LEN(sorts_slow));
    exec_list_init(&p->lists[TAB_ERRORS], sorts_errors, ARRAY_LEN(sorts_errors));
    set_defaults(p);
    p->p50 = p->p95 = -1;
}

static void progress_fini(struct view *v)
{
    struct progress_view *p = self(v);
    progress_clear_facts(p);
    for (int i = 0; i < TAB_COUNT; i++)
        exec_list_free(&p->lists[i]);
}

/* Whether the speed stands behind the bar: a low pane keeps its rows for nodes. */
static bool is_low(int h)
{
    return h < LOW_ROWS;
}

/* Rows above the list in a body of h, without the bar: what must be said, and of the rest what
 * leaves the nodes most of it. */
static size_t lines_shown(const struct progress_view *p, int h)
{
    size_t room = h >= 5 ? (size_t) (is_low(h) ? 1 : h / 5) : h == 4;
    if (h >= 5 && room < p->n_must)
        room = p->n_must < (size_t) h - 3 ? p->n_must : (size_t) h - 3; /* and two rows of nodes */
    return p->n_lines < room ? p->n_lines : room;
}

static bool prompt_shown(const struct progress_view *p)
{
    const struct prompt *pr = &p->lists[p->tab].prompt;
    return pr->typing || !prompt_empty(pr);
}

static void progress_load(struct view *v, int w, int h)
{
    struct progress_view *p = self(v);
    struct app *a = v->app;
    const struct batch *b = &a->open;
    if (p->batch != a->batch) {
        progress_clear_facts(p);
        p->batch = a->batch;
        p->generation = -1;
        p->n_samples = 0;
        p->tab = TAB_NODES;
        for (int i = 0; i < TAB_COUNT; i++)
            exec_list_reset(&p->lists[i]);
        set_defaults(p);
        for (int i = 0; i < TAB_COUNT; i++)
            p->lists[i].batch = a->batch;
    }
    if (a->batch == 0 || !a->reader)
        return;
    progress_load_facts(p, b);
    progress_sample(p);
    progress_make_lines(p, b);
    exec_list_load(&p->lists[p->tab], a, a->batch,
                   h - 1 - (int) lines_shown(p, h) - (prompt_shown(p) ? 1 : 0));
}

/* --- drawing --- */

/* "27/30  90.0%", in a low pane with the speed and the time left as far as there is room. */
static char *bar_text(const struct progress_view *p, const struct batch *b, int w, bool low)
{
    const struct batch_stats *st = &b->stats;
    uint32_t done = progress_done(st);
    unsigned tenths = st->total ? (unsigned) ((uint64_t) done * 1000 / st->total) : 0;
    struct strbuf out;
    char more[64];
    strbuf_init(&out, 256);
    strbuf_addf(&out, "%u/%u  %u.%u%%", done, st->total, tenths / 10, tenths % 10);
    if (low && w >= 60) {
        int64_t ms = batch_duration_ms(b, wall_ms(p->v.app->clock));
        strbuf_addf(&out, "  %.1f/s", progress_rate(p, b));
        if (*progress_eta(p, b, more, sizeof more))
            strbuf_addf(&out, "  %s", more);
        if (ms >= 0)
            strbuf_addf(&out, "  %s", text_duration(ms, more));
    }
    return strbuf_steal(&out);
}

static void draw_bar(const struct progress_view *p, const struct batch *b, struct surface *s,
                     struct rect row, bool low)
{
    const struct batch_stats *st = &b->stats;
    uint32_t done = progress_done(st);
    char *text = bar_text(p, b, row.w, low), bar[256];
    int w = row.w - 2 - (int) strlen(text) - 3;
    if (w > (int) sizeof bar - 1)
        w = (int) sizeof bar - 1;
    if (w < 4) {
        surface_fit(s, row, row.x + 1, row.y, row.w - 1, ROLE_NORMAL, text, false);
        free(text);
        return;
    }
    int full = st->total ? (int) ((uint64_t) done * (uint64_t) w / st->total) : 0;
    for (int i = 0; i < w; i++)
        bar[i] = i < full ? '#' : i == full && done < st->total ? '>' : '.';
    bar[w] = '\0';
    surface_textf(s, row, row.x + 1, row.y, ROLE_NORMAL, "[%s] %s", bar, text);
    free(text);
}

static void progress_draw(struct view *v, struct surface *s, struct rect body, bool focused)
{
    struct progress_view *p = self(v);
    const struct app *a = v->app;
    int y = body.y;
    if (a->batch == 0) {
        const char *lines[] = {"No batch open.", "c composes one, 5 shows the history."};
        vu_teach(s, body, lines, ARRAY_LEN(lines));
        if (focused)
            surface_cursor(s, body.x, body.y, false);
        return;
    }
    draw_bar(p, &a->open, s, (struct rect) {body.x, y, body.w, 1}, is_low(body.h));
    y++;
    for (size_t i = 0; i < lines_shown(p, body.h); i++, y++) {
        char *clean = text_clean(p->lines[i]);
        surface_fit(s, body, body.x + 1, y, body.w - 1 - vu_gap(s, body), p->roles[i], clean,
                    false);
        free(clean);
    }
    const struct exec_list *l = &p->lists[p->tab];
    if (prompt_shown(p)) {
        char note[64];
        exec_list_note(l, a->open.stats.total, note, sizeof note);
        prompt_draw(&l->prompt, s, body, y, focused, "", note, ROLE_DIM);
        y++;
    }
    struct rect rest = {body.x, y, body.w, body.y + body.h - y};
    if (rest.h > 0)
        exec_list_draw(l, a, s, rest, focused, p->with_remote);
}

static void progress_caption(struct view *v, char *buf, size_t n)
{
    const struct progress_view *p = (const struct progress_view *) v;
    size_t used = 0;
    if (n == 0)
        return;
    buf[0] = '\0';
    for (int i = 0; i < TAB_COUNT; i++) {
        int k = snprintf(buf + used, n - used, i == p->tab ? "%s[%s]" : "%s%s", i ? " " : "",
                         tab_names[i]);
        if (k < 0 || (size_t) k >= n - used)
            return;
        used += (size_t) k;
    }
    char order[64];
    exec_list_caption(&p->lists[p->tab], order, sizeof order);
    if (p->v.app->batch && used + strlen(order) + 3 < n)
        snprintf(buf + used, n - used, "  %s", order);
}

static enum view_result progress_act(struct view *v, enum action act)
{
    struct progress_view *p = self(v);
    if (v->app->batch == 0)
        return VIEW_IGNORED;
    switch (act) {
    case ACT_NEXT_TAB:
        p->tab = (p->tab + 1) % TAB_COUNT;
        return VIEW_DONE;
    case ACT_PREV_TAB:
        p->tab = (p->tab + TAB_COUNT - 1) % TAB_COUNT;
        return VIEW_DONE;
    case ACT_CANCEL:
        app_cancel_batch(v->app, v->app->batch);
        return VIEW_DONE;
    case ACT_EXPORT:
        if (!exec_list_filtered(&p->lists[p->tab]))
            return VIEW_IGNORED;
        app_export_filtered(v->app, v->app->batch, &p->lists[p->tab].filter);
        return VIEW_DONE;
    case ACT_BACK:
        /* The Errors tab shows failures by nature: nothing to go back from. */
        if (p->tab == TAB_ERRORS && prompt_empty(&p->lists[p->tab].prompt) &&
            p->lists[p->tab].show == SHOW_FAILED)
            return VIEW_IGNORED;
        break;
    default:
        break;
    }
    return exec_list_act(&p->lists[p->tab], v->app, act) ? VIEW_DONE : VIEW_IGNORED;
}

static enum view_result progress_key(struct view *v, const struct key *k)
{
    struct progress_view *p = self(v);
    return exec_list_key(&p->lists[p->tab], k) ? VIEW_DONE : VIEW_IGNORED;
}

static bool progress_takes_text(const struct view *v)
{
    const struct progress_view *p = (const struct progress_view *) v;
    return p->lists[p->tab].prompt.typing;
}

const struct view_ops view_progress = {
    .title = "Progress",
    .ctx = CTX_PROGRESS,
    .size = sizeof(struct progress_view),
    .init = progress_init,
    .fini = progress_fini,
    .load = progress_load,
    .draw = progress_draw,
    .act = progress_act,
    .key = progress_key,
    .takes_text = progress_takes_text,
    .caption = progress_caption,
};
