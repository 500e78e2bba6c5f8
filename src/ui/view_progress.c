/* SPDX-License-Identifier: Apache-2.0 */
/* The Progress pane: how far the open batch is, how fast, what is slow, what failed, and every node
 * with its state. */
#include "exec_list.h"
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

enum { TAB_NODES, TAB_SLOWEST, TAB_ERRORS, TAB_COUNT };
#define SAMPLES 32
#define SAMPLE_EVERY_MS 500
#define SLOWEST 3
#define ETA_MIN_DONE 20
#define ETA_MIN_PERCENT 5
#define LOW_ROWS 10 /* a body of fewer rows says only the most important above its list */
#define TAIL_MAX 512 /* running ones that are asked for the tail, cancelled ones for the outcome */

struct progress_view {
    struct view v;
    int tab;
    struct exec_list lists[TAB_COUNT];
    int64_t batch;
    int64_t generation, read_ms; /* of the store, and when the facts below were read */
    /* Ends at times: the rate is that of the last seconds. */
    struct {
        int64_t at_ms;
        uint32_t done;
    } samples[SAMPLES];
    size_t n_samples;
    int64_t p50, p95;
    struct execution slowest[SLOWEST];
    size_t n_slowest;
    struct execution last_failed;
    uint64_t bytes_done, bytes_total; /* of a copy */
    size_t n_tail; /* running for longer than p95, once nothing waits */
    size_t remote[REMOTE_COUNT];
    bool with_remote;
    char *lines[8]; /* what stands above the list, most important first; owned */
    enum role roles[8];
    size_t n_lines;
    size_t n_must;  /* so many of them are shown however low the pane is */
};

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

static void clear_lines(struct progress_view *p)
{
    for (size_t i = 0; i < p->n_lines; i++)
        free(p->lines[i]);
    p->n_lines = 0;
}

static void clear_facts(struct progress_view *p)
{
    for (size_t i = 0; i < p->n_slowest; i++)
        execution_clear(&p->slowest[i]);
    p->n_slowest = 0;
    execution_clear(&p->last_failed);
    p->n_tail = 0;
    p->bytes_done = p->bytes_total = 0;
    memset(p->remote, 0, sizeof p->remote);
    clear_lines(p);
}

static void progress_fini(struct view *v)
{
    struct progress_view *p = self(v);
    clear_facts(p);
    for (int i = 0; i < TAB_COUNT; i++)
        exec_list_free(&p->lists[i]);
}

/* --- reading --- */

static uint32_t done_of(const struct batch_stats *s)
{
    return s->success + s->failed;
}

static bool by_start(const struct execution *a, const struct execution *b)
{
    return a->started_ms < b->started_ms;
}

/* Reads those that run now: the slowest, and how many are past p95. */
static void load_running(struct progress_view *p, const struct batch *b)
{
    struct app *a = p->v.app;
    struct exec_filter f = EXEC_FILTER_ANY;
    struct execution *x = NULL;
    size_t n = 0;
    int64_t now = wall_ms(a->clock);
    f.status_mask = 1u << EXEC_RUNNING;
    if (b->stats.running == 0 || reader_executions(a->reader, b->number, &f, SORT_DURATION, true, 0,
                                                   TAIL_MAX, &x, &n, NULL, NULL) != 0)
        return;
    for (size_t i = 0; i < n; i++)
        if (b->stats.queued == 0 && p->p95 >= 0 && execution_duration_ms(&x[i], now) > p->p95)
            p->n_tail++;
    for (size_t k = 0; k < SLOWEST && k < n; k++) {
        size_t best = k;
        for (size_t i = k + 1; i < n; i++)
            if (by_start(&x[i], &x[best]))
                best = i;
        struct execution swap = x[k];
        x[k] = x[best];
        x[best] = swap;
        p->slowest[p->n_slowest++] = x[k];
        memset(&x[k], 0, sizeof x[k]);
    }
    executions_free(x, n);
}

static void load_last_failed(struct progress_view *p, const struct batch *b)
{
    struct exec_filter f = EXEC_FILTER_ANY;
    struct execution *x = NULL;
    size_t n = 0;
    f.status_mask = 1u << EXEC_FAILED;
    /* What was cancelled or never began is no error of a node. */
    f.reason_mask = ~(1u << REASON_CANCELLED | 1u << REASON_SKIPPED);
    if (b->stats.failed == 0 || reader_executions(p->v.app->reader, b->number, &f, SORT_FINISHED,
                                                  true, 0, 1, &x, &n, NULL, NULL) != 0)
        return;
    if (n > 0) {
        p->last_failed = x[0];
        memset(&x[0], 0, sizeof x[0]);
    }
    executions_free(x, n);
}

/* What cancelling did to the processes of those that ran. */
static void load_remote(struct progress_view *p, const struct batch *b)
{
    struct exec_filter f = EXEC_FILTER_ANY;
    struct execution *x = NULL;
    size_t n = 0;
    f.reason_mask = 1u << REASON_CANCELLED;
    if (!p->with_remote || reader_executions(p->v.app->reader, b->number, &f, SORT_DURATION, true,
                                             0, TAIL_MAX, &x, &n, NULL, NULL) != 0)
        return;
    for (size_t i = 0; i < n; i++)
        p->remote[x[i].remote]++;
    executions_free(x, n);
}

static void take_sample(struct progress_view *p, uint32_t done)
{
    int64_t now = mono_ms(p->v.app->clock);
    size_t n = p->n_samples;
    if (n > 0 && now - p->samples[n - 1].at_ms < SAMPLE_EVERY_MS)
        return;
    if (n == SAMPLES) {
        memmove(p->samples, p->samples + 1, (SAMPLES - 1) * sizeof *p->samples);
        n--;
    }
    p->samples[n].at_ms = now;
    p->samples[n].done = done;
    p->n_samples = n + 1;
}

/* Ends a second: of the last seconds where they are known, else of the whole run. */
static double rate_of(const struct progress_view *p, const struct batch *b)
{
    int64_t whole = batch_duration_ms(b, wall_ms(p->v.app->clock));
    size_t n = p->n_samples;
    if (b->status == BATCH_RUNNING && n > 1) {
        int64_t span = p->samples[n - 1].at_ms - p->samples[0].at_ms;
        uint32_t ends = p->samples[n - 1].done - p->samples[0].done;
        if (span >= 2000 && ends > 0)
            return (double) ends * 1000.0 / (double) span;
    }
    return whole > 0 ? (double) done_of(&b->stats) * 1000.0 / (double) whole : 0;
}

/* --- the lines above the list --- */

static void add_line(struct progress_view *p, enum role role, char *text)
{
    if (p->n_lines == ARRAY_LEN(p->lines)) {
        free(text);
        return;
    }
    p->roles[p->n_lines] = role;
    p->lines[p->n_lines++] = text;
}

static char *counters(const struct batch_stats *st)
{
    struct strbuf b;
    char num[32];
    strbuf_init(&b, 512);
    strbuf_addf(&b, "%s ok %s", exec_status_glyph(EXEC_SUCCESS), text_count(st->success, num));
    vu_count(&b, exec_status_glyph(EXEC_RUNNING), "run", st->running);
    for (int r = REASON_EXIT; r < REASON_COUNT; r++)
        vu_count(&b, reason_glyph((enum reason) r), reason_name((enum reason) r),
                 st->by_reason[r]);
    vu_count(&b, exec_status_glyph(EXEC_QUEUED), "wait", st->queued);
    return strbuf_steal(&b);
}

/* "ETA 0:46", once enough has ended to tell; "" before that, and when it has ended. */
static char *eta(const struct progress_view *p, const struct batch *b, char *buf, size_t n)
{
    const struct batch_stats *st = &b->stats;
    uint32_t done = done_of(st), left = st->total - done;
    double rate = rate_of(p, b);
    char num[32];
    buf[0] = '\0';
    if (b->status != BATCH_RUNNING)
        return buf;
    if (p->n_tail > 0 && st->queued == 0)
        snprintf(buf, n, "tail: %zu node%s past p95", p->n_tail, p->n_tail == 1 ? "" : "s");
    else if (done >= ETA_MIN_DONE && (uint64_t) done * 100 >= (uint64_t) st->total *
                                                                 ETA_MIN_PERCENT && rate > 0)
        snprintf(buf, n, "ETA %s", text_duration((int64_t) ((double) left * 1000.0 / rate), num));
    return buf;
}

static char *speed(const struct progress_view *p, const struct batch *b)
{
    struct strbuf out;
    char buf[64];
    strbuf_init(&out, 512);
    strbuf_addf(&out, "%.1f nodes/s", rate_of(p, b));
    if (p->p50 >= 0)
        strbuf_addf(&out, "   p50 %s", text_duration(p->p50, buf));
    if (p->p95 >= 0)
        strbuf_addf(&out, "  p95 %s", text_duration(p->p95, buf));
    if (p->bytes_done)
        strbuf_addf(&out, "   %s", bytes_progress(p->bytes_done, p->bytes_total, buf));
    if (*eta(p, b, buf, sizeof buf))
        strbuf_addf(&out, "   %s", buf);
    int64_t ms = batch_duration_ms(b, wall_ms(p->v.app->clock));
    if (ms >= 0)
        strbuf_addf(&out, "   %s %s", b->status == BATCH_RUNNING ? "for" : "took",
                    text_duration(ms, buf));
    return strbuf_steal(&out);
}

static void add_owner(struct progress_view *p, const struct batch *b)
{
    const char *who = b->owner_text ? b->owner_text : "another process";
    switch (b->owner) {
    case OWNER_ALIVE:
    case OWNER_OTHER_HOST:
        add_line(p, ROLE_DIM, x_asprintf("run by %s", who));
        break;
    case OWNER_DEAD:
        add_line(p, ROLE_FAIL, x_asprintf("%s ran it and is gone: what was running is lost", who));
        break;
    default:
        break;
    }
}

static void add_cancel(struct progress_view *p, const struct batch *b)
{
    if (!p->with_remote)
        return;
    size_t told = p->remote[REMOTE_STOPPED] + p->remote[REMOTE_RUNNING] + p->remote[REMOTE_UNKNOWN];
    if (b->status == BATCH_RUNNING && b->stats.running > 0)
        add_line(p, ROLE_WARN, x_asprintf("cancelling: %u still to stop", b->stats.running));
    else
        add_line(p, ROLE_WARN,
                 x_asprintf("cancelled: %u nodes; processes: %zu stopped, %zu still running, "
                            "%zu unknown%s",
                            b->stats.by_reason[REASON_CANCELLED], p->remote[REMOTE_STOPPED],
                            p->remote[REMOTE_RUNNING], p->remote[REMOTE_UNKNOWN],
                            told >= TAIL_MAX ? " (and more)" : ""));
}

static void add_slowest(struct progress_view *p)
{
    struct strbuf out;
    char buf[32];
    if (p->n_slowest == 0)
        return;
    strbuf_init(&out, 512);
    strbuf_adds(&out, "slowest:");
    for (size_t i = 0; i < p->n_slowest; i++)
        strbuf_addf(&out, "%s %s %s", i ? " " : "", p->slowest[i].node,
                    text_duration(execution_duration_ms(&p->slowest[i],
                                                        wall_ms(p->v.app->clock)), buf));
    add_line(p, ROLE_DIM, strbuf_steal(&out));
}

/* "wave 2/3, up to 50 of 200; at most 2 failures, 1 so far" */
static void add_stage(struct progress_view *p, const struct batch *b)
{
    struct stage_info i;
    struct strbuf out;
    char time[32];
    if (b->paused)
        add_line(p, ROLE_WARN, x_asprintf("paused, %u waiting (p resumes)", b->stats.queued));
    if (!p->v.app->service || !service_stage(p->v.app->service, b->number, &i))
        return;
    if (i.state == STAGE_STOPPED) {
        add_line(p, ROLE_FAIL, x_asprintf("stopped: %s", i.why));
        return;
    }
    if (b->status != BATCH_RUNNING)
        return;
    strbuf_init(&out, 512);
    if (i.stages > 1)
        strbuf_addf(&out, "wave %u/%u, up to %u of %u", i.stage, i.stages, i.nodes, i.total);
    if (i.max_fail >= 0)
        strbuf_addf(&out, "%sat most %lld failure%s, %u so far", out.len ? "; " : "",
                    (long long) i.max_fail, i.max_fail == 1 ? "" : "s", i.failed);
    if (i.state == STAGE_ASKING)
        strbuf_adds(&out, "; the canary waits for an answer (p asks)");
    else if (i.state == STAGE_PROBING)
        strbuf_adds(&out, "; the probe runs");
    else if (i.state == STAGE_WAITING)
        strbuf_addf(&out, "; the next one in %s", text_duration(i.wait_ms, time));
    add_line(p, ROLE_NORMAL, strbuf_steal(&out));
}

static void make_lines(struct progress_view *p, const struct batch *b)
{
    clear_lines(p);
    add_line(p, ROLE_NORMAL, counters(&b->stats));
    add_cancel(p, b);
    add_stage(p, b);
    if (b->owner == OWNER_DEAD)
        add_owner(p, b);
    p->n_must = p->n_lines;
    add_line(p, ROLE_NORMAL, speed(p, b));
    if (p->last_failed.node) {
        char *why = vu_exec_why(&p->last_failed);
        add_line(p, ROLE_FAIL, x_asprintf("last error: %s: %s", p->last_failed.node, why));
        free(why);
    }
    add_slowest(p);
    if (b->owner != OWNER_DEAD)
        add_owner(p, b);
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
        room = p->n_must;
    return p->n_lines < room ? p->n_lines : room;
}

static bool prompt_shown(const struct progress_view *p)
{
    const struct prompt *pr = &p->lists[p->tab].prompt;
    return pr->typing || !prompt_empty(pr);
}

/* What the lines above the list tell; read again when the store changed, or a second later for what
 * depends on the time. */
static void load_facts(struct progress_view *p, const struct batch *b)
{
    struct app *a = p->v.app;
    int64_t now = mono_ms(a->clock);
    if (p->generation == a->data_generation && now - p->read_ms < 1000)
        return;
    p->generation = a->data_generation;
    p->read_ms = now;
    clear_facts(p);
    p->with_remote = b->cancel_requested || b->stats.by_reason[REASON_CANCELLED] > 0;
    p->p50 = p->p95 = -1;
    reader_percentiles(a->reader, a->batch, &p->p50, &p->p95, NULL);
    if (b->type == ACTION_TYPE_TASK)
        reader_bytes(a->reader, a->batch, &p->bytes_done, &p->bytes_total, NULL);
    load_running(p, b);
    load_last_failed(p, b);
    load_remote(p, b);
}

static void progress_load(struct view *v, int w, int h)
{
    struct progress_view *p = self(v);
    struct app *a = v->app;
    const struct batch *b = &a->open;
    if (p->batch != a->batch) {
        clear_facts(p);
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
    load_facts(p, b);
    take_sample(p, done_of(&b->stats));
    make_lines(p, b);
    exec_list_load(&p->lists[p->tab], a, a->batch,
                   h - 1 - (int) lines_shown(p, h) - (prompt_shown(p) ? 1 : 0));
}

/* --- drawing --- */

/* "27/30  90.0%", in a low pane with the speed and the time left as far as there is room. */
static char *bar_text(const struct progress_view *p, const struct batch *b, int w, bool low)
{
    const struct batch_stats *st = &b->stats;
    uint32_t done = done_of(st);
    unsigned tenths = st->total ? (unsigned) ((uint64_t) done * 1000 / st->total) : 0;
    struct strbuf out;
    char more[64];
    strbuf_init(&out, 256);
    strbuf_addf(&out, "%u/%u  %u.%u%%", done, st->total, tenths / 10, tenths % 10);
    if (low && w >= 60) {
        int64_t ms = batch_duration_ms(b, wall_ms(p->v.app->clock));
        strbuf_addf(&out, "  %.1f/s", rate_of(p, b));
        if (*eta(p, b, more, sizeof more))
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
    uint32_t done = done_of(st);
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
