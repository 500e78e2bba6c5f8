/* SPDX-License-Identifier: Apache-2.0 */
/* What the Progress pane says above its list: counters, steps, speed, what is slow, what failed. */
#include "view_progress.h"
#include "vutil.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/service/service.h"
#include "muster/ui/app.h"

#include <stdio.h>
#include <string.h>

#define SAMPLE_EVERY_MS 500
#define ETA_MIN_DONE 20
#define ETA_MIN_PERCENT 5
#define TAIL_MAX 512 /* running ones that are asked for the tail, cancelled ones for the outcome */
#define STEP_LINES 8 /* steps that are told, those around where the nodes are */

static void clear_lines(struct progress_view *p)
{
    for (size_t i = 0; i < p->n_lines; i++)
        free(p->lines[i]);
    p->n_lines = 0;
}

void progress_clear_facts(struct progress_view *p)
{
    free(X_STEAL(p->steps));
    p->n_steps = 0;
    for (size_t i = 0; i < p->n_slowest; i++)
        execution_clear(&p->slowest[i]);
    p->n_slowest = 0;
    execution_clear(&p->last_failed);
    p->n_tail = 0;
    p->bytes_done = p->bytes_total = 0;
    memset(p->remote, 0, sizeof p->remote);
    clear_lines(p);
}

/* --- reading --- */

uint32_t progress_done(const struct batch_stats *s)
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

void progress_sample(struct progress_view *p)
{
    uint32_t done = progress_done(&p->v.app->open.stats);
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
double progress_rate(const struct progress_view *p, const struct batch *b)
{
    int64_t whole = batch_duration_ms(b, wall_ms(p->v.app->clock));
    size_t n = p->n_samples;
    if (b->status == BATCH_RUNNING && n > 1) {
        int64_t span = p->samples[n - 1].at_ms - p->samples[0].at_ms;
        uint32_t ends = p->samples[n - 1].done - p->samples[0].done;
        if (span >= 2000 && ends > 0)
            return (double) ends * 1000.0 / (double) span;
    }
    return whole > 0 ? (double) progress_done(&b->stats) * 1000.0 / (double) whole : 0;
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
char *progress_eta(const struct progress_view *p, const struct batch *b, char *buf, size_t n)
{
    const struct batch_stats *st = &b->stats;
    uint32_t done = progress_done(st), left = st->total - done;
    double rate = progress_rate(p, b);
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
    strbuf_addf(&out, "%.1f nodes/s", progress_rate(p, b));
    if (p->p50 >= 0)
        strbuf_addf(&out, "   p50 %s", text_duration(p->p50, buf));
    if (p->p95 >= 0)
        strbuf_addf(&out, "  p95 %s", text_duration(p->p95, buf));
    if (p->bytes_done)
        strbuf_addf(&out, "   %s", bytes_progress(p->bytes_done, p->bytes_total, buf));
    if (*progress_eta(p, b, buf, sizeof buf))
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

/* "2 install  run 3 ok 90 FAIL 5" */
static char *step_line(const struct batch *b, const struct step_stats *s)
{
    struct strbuf out;
    const char *title = s->step <= b->step_titles.n ? b->step_titles.v[s->step - 1] : "";
    strbuf_init(&out, 512);
    strbuf_addf(&out, "%2u %-20.60s ", s->step, title);
    if (!s->running && !s->success && !s->failed && !s->stopped)
        strbuf_adds(&out, " -");
    if (s->running)
        strbuf_addf(&out, " run %u", s->running);
    if (s->success)
        strbuf_addf(&out, " ok %u", s->success);
    if (s->stopped)
        strbuf_addf(&out, " stop %u", s->stopped);
    if (s->failed)
        strbuf_addf(&out, " FAIL %u", s->failed);
    return strbuf_steal(&out);
}

/* The steps of a plan; of many those from the first that has not ended on all on. */
static void add_steps(struct progress_view *p, const struct batch *b)
{
    size_t from = 0;
    if (p->n_steps > STEP_LINES) {
        while (from < p->n_steps && !p->steps[from].running)
            from++;
        from = from == p->n_steps || from < 2 ? 0 : from - 2;
        from = from + STEP_LINES > p->n_steps ? p->n_steps - STEP_LINES : from;
    }
    for (size_t i = from; i < p->n_steps && i < from + STEP_LINES; i++)
        add_line(p, p->steps[i].failed    ? ROLE_FAIL
                    : p->steps[i].running ? ROLE_RUN
                                          : ROLE_NORMAL, step_line(b, &p->steps[i]));
}

/* What was written about the batch, the newest last. */
static void add_notes(struct progress_view *p, const struct batch *b)
{
    struct note *v = NULL;
    size_t n = 0;
    if (reader_notes(p->v.app->reader, NULL, b->number, &v, &n, NULL) != 0)
        return;
    for (size_t i = n > 2 ? n - 2 : 0; i < n; i++) {
        char when[32];
        vu_time(v[i].written_ms, wall_ms(p->v.app->clock), when);
        add_line(p, ROLE_SELECTED, x_asprintf("note: %s (%s, %s)", v[i].text, v[i].user_id, when));
    }
    notes_free(v, n);
}

void progress_make_lines(struct progress_view *p, const struct batch *b)
{
    clear_lines(p);
    add_line(p, ROLE_NORMAL, counters(&b->stats));
    add_cancel(p, b);
    add_stage(p, b);
    if (b->owner == OWNER_DEAD)
        add_owner(p, b);
    add_steps(p, b);
    add_notes(p, b);
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

/* What the lines above the list tell; read again when the store changed, or a second later for what
 * depends on the time. */
void progress_load_facts(struct progress_view *p, const struct batch *b)
{
    struct app *a = p->v.app;
    int64_t now = mono_ms(a->clock);
    if (p->generation == a->data_generation && now - p->read_ms < 1000)
        return;
    p->generation = a->data_generation;
    p->read_ms = now;
    progress_clear_facts(p);
    p->with_remote = b->cancel_requested || b->stats.by_reason[REASON_CANCELLED] > 0;
    p->p50 = p->p95 = -1;
    reader_percentiles(a->reader, a->batch, &p->p50, &p->p95, NULL);
    if (b->n_steps && reader_step_stats(a->reader, a->batch, &p->steps, &p->n_steps, NULL) != 0)
        p->n_steps = 0;
    if (b->is_copy)
        reader_bytes(a->reader, a->batch, &p->bytes_done, &p->bytes_total, NULL);
    load_running(p, b);
    load_last_failed(p, b);
    load_remote(p, b);
}
