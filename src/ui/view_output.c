/* SPDX-License-Identifier: Apache-2.0 */
/* The output overlay: one execution, its facts, then what it wrote. */
#include "pager.h"
#include "vutil.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/batch.h"
#include "muster/core/task.h"
#include "muster/store/reader.h"
#include "muster/ui/app.h"
#include "muster/ui/view.h"

#include <stdio.h>
#include <string.h>

enum { SHOW_BOTH, SHOW_STDOUT, SHOW_STDERR, SHOW_MODES };
#define HEADER_LINES_MAX 40
#define WIDE_FROM 58 /* columns: what is narrower is all for the text */

struct output_view {
    struct view v;
    int64_t batch;
    uint32_t position;
    int64_t generation;
    int width;
    int mode;
    struct execution x;
    char *action;
    enum action_type type;
    bool may_answer; /* it is a task or a plan: JSON that it printed is shown as what it says */
    bool raw;        /* as it was printed all the same */
    struct step_run *steps; /* of a plan */
    size_t n_steps;
    struct strv titles;
    char *error; /* why it could not be read */
    struct pager pager;
    struct prompt search;
    const char *missed; /* what the last search did not find, or NULL; static */
};

static const char *const stream_names[2] = {"stdout", "stderr"};
static const char *const mode_names[SHOW_MODES] = {"stdout+stderr", "stdout", "stderr"};

static struct output_view *self(struct view *v)
{
    return (struct output_view *) v;
}

static void output_init(struct view *v)
{
    struct output_view *o = self(v);
    o->batch = v->app->node_batch ? v->app->node_batch : v->app->batch;
    o->position = (uint32_t) v->app->node_position;
    o->generation = -1;
    pager_init(&o->pager);
    o->pager.reader = v->app->reader;
    prompt_init(&o->search);
}

static void output_fini(struct view *v)
{
    struct output_view *o = self(v);
    v->app->node_batch = 0;
    execution_clear(&o->x);
    step_runs_free(o->steps, o->n_steps);
    strv_clear(&o->titles);
    pager_free(&o->pager);
    prompt_free(&o->search);
    free(o->action);
    free(o->error);
}

/* --- reading --- */

static void add_fact(struct strv *out, int w, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void add_fact(struct strv *out, int w, const char *name, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = x_vasprintf(fmt, ap);
    va_end(ap);
    if (out->n < HEADER_LINES_MAX)
        vu_fact(out, name, 8, text, w, HEADER_LINES_MAX - out->n);
    free(text);
}

static void add_result(struct strv *out, int w, const struct execution *x)
{
    if (x->signal)
        add_fact(out, w, "ended", "by signal %s", x->signal);
    else if (x->exit_code >= 0)
        add_fact(out, w, "ended", "with exit code %d", x->exit_code);
    if (x->error && *x->error)
        add_fact(out, w, "error", "%s", x->error);
    if (x->remote != REMOTE_NONE)
        add_fact(out, w, "process", "%s on the node", remote_process_name(x->remote));
}

static void add_times(struct output_view *o, struct strv *out, int w)
{
    const struct execution *x = &o->x;
    int64_t now = wall_ms(o->v.app->clock);
    char from[32], to[32], ms[32];
    if (x->started_ms == 0) {
        add_fact(out, w, "time", "%s", exec_is_final(x->status) ? "never started" : "waits");
        return;
    }
    vu_time(x->started_ms, now, from);
    vu_exec_time(x, now, ms);
    if (exec_is_final(x->status) && x->duration_ms < 0)
        add_fact(out, w, "time", "since %s; when it ended is not known", from);
    else if (x->completed_ms)
        add_fact(out, w, "time", "%s to %s, %s; %u attempt%s", from,
                 vu_time(x->completed_ms, now, to), ms, x->attempts, x->attempts == 1 ? "" : "s");
    else
        add_fact(out, w, "time", "since %s, %s so far", from, ms);
}

static void add_header(struct output_view *o, int w)
{
    const struct execution *x = &o->x;
    struct strv *out = pager_add_lines(&o->pager, ROLE_TITLE);
    add_fact(out, w, "node", "%s", x->node);
    if (x->host) {
        bool v6 = strchr(x->host, ':') != NULL;
        char *port = x->port ? x_asprintf(":%d", x->port) : x_strdup("");
        add_fact(out, w, "reached", "%s%s%s%s%s%s by %s", x->user ? x->user : "",
                 x->user ? "@" : "", v6 ? "[" : "", x->host, v6 ? "]" : "", port,
                 x->transport ? x->transport : "-");
        free(port);
    } else if (x->transport) {
        add_fact(out, w, "reached", "by %s", x->transport);
    }
    if (x->note)
        add_fact(out, w, "way", "%s", x->note);
    if (o->action)
        add_fact(out, w, action_type_name(o->type), "%s", o->action);
    if (x->status == EXEC_FAILED)
        add_fact(out, w, "state", "%s failed (%s): %s", vu_exec_glyph(x->status, x->reason),
                 reason_name(x->reason), reason_meaning(x->reason));
    else
        add_fact(out, w, "state", "%s %s", vu_exec_glyph(x->status, x->reason),
                 exec_status_name(x->status));
    add_result(out, w, x);
    add_times(o, out, w);
}

/* What a task's JSON says, instead of the bytes; NULL: it is none, or is to be seen as it is. */
static char *answer_text(const struct output_view *o, int64_t id, uint64_t size)
{
    CLEANUP_FREE char *bytes = NULL;
    size_t n = 0;
    if (!o->may_answer || o->raw || size > TASK_OUTPUT_MAX ||
        reader_output_all(o->v.app->reader, id, TASK_OUTPUT_MAX, &bytes, &n, NULL) != 0)
        return NULL;
    return task_output_text(bytes, n);
}

static void add_lines(struct strv *out, const char *text)
{
    while (*text) {
        size_t n = strcspn(text, "\n");
        strv_push_own(out, x_strndup(text, n));
        text += n + (text[n] == '\n');
    }
}

static void add_bytes(struct output_view *o, int i, int64_t id, uint64_t kept, bool truncated)
{
    char size[32];
    CLEANUP_FREE char *answer = i == STREAM_STDOUT ? answer_text(o, id, kept) : NULL;
    struct strv *head = pager_add_lines(&o->pager, ROLE_DIM);
    strv_push_own(head, x_asprintf("-- %s, %s%s --", stream_names[i], text_size(kept, size),
                                   answer ? ", as the task means it (J: as printed)" : ""));
    if (answer)
        add_lines(pager_add_lines(&o->pager, ROLE_NORMAL), answer);
    else
        pager_add_stream(&o->pager, id, kept);
    if (truncated) {
        struct strv *end = pager_add_lines(&o->pager, ROLE_WARN);
        strv_push_own(end, x_asprintf("-- truncated: more than %s came, the rest was not kept "
                                      "(--max-output) --", text_size(kept, size)));
    }
}

static void add_stream(struct output_view *o, int i)
{
    const struct execution *x = &o->x;
    if (x->out_id[i] != 0 && x->out_size[i] > 0) {
        add_bytes(o, i, x->out_id[i], x->out_size[i], x->truncated[i]);
        return;
    }
    struct strv *head = pager_add_lines(&o->pager, ROLE_DIM);
    strv_push_own(head, x_asprintf("-- %s: %s --", stream_names[i],
                                   exec_is_final(x->status) ? "nothing" : "nothing yet"));
}

/* A part of a plan's output: how the step ended, and what it wrote. */
static void add_step(struct output_view *o, const struct step_run *s)
{
    char ms[32];
    bool failed = s->status == EXEC_FAILED;
    const char *title = s->step <= o->titles.n ? o->titles.v[s->step - 1] : "";
    struct strv *head = pager_add_lines(&o->pager, failed ? ROLE_FAIL : ROLE_TITLE);
    strv_push(head, "");
    CLEANUP_FREE char *code = s->exit_code >= 0 ? x_asprintf(", exit code %d", s->exit_code)
                                                : x_strdup("");
    strv_push_own(head, x_asprintf("== step %u: %s: %s %s%s, %s ==", s->step, title,
                                   vu_exec_glyph(s->status, s->reason),
                                   vu_exec_word(s->status, s->reason), code,
                                   s->duration_ms >= 0 ? text_duration(s->duration_ms, ms)
                                                       : "still running"));
    if (s->error && *s->error)
        strv_push_own(head, x_asprintf("error: %s", s->error));
    for (int i = 0; i < 2; i++)
        if ((o->mode == SHOW_BOTH || o->mode == SHOW_STDOUT + i) && s->out_id[i] && s->out_size[i])
            add_bytes(o, i, s->out_id[i], s->out_size[i], s->truncated[i]);
}

static void read_steps(struct output_view *o)
{
    step_runs_free(o->steps, o->n_steps);
    o->steps = NULL;
    o->n_steps = 0;
    if (o->titles.n && reader_steps(o->v.app->reader, o->batch, o->position, &o->steps, &o->n_steps,
                                    NULL) != 0) {
        o->steps = NULL;
        o->n_steps = 0;
    }
}

static bool read_execution(struct output_view *o)
{
    struct app *a = o->v.app;
    struct err e = ERR_INIT;
    struct execution x;
    memset(&x, 0, sizeof x);
    free(X_STEAL(o->error));
    if (reader_execution(a->reader, o->batch, o->position, &x, &e) != 0) {
        o->error = text_clean(e.msg);
        err_clear(&e);
        return false;
    }
    execution_clear(&o->x);
    o->x = x;
    if (!o->action) {
        struct batch b;
        memset(&b, 0, sizeof b);
        if (reader_batch(a->reader, o->batch, &b, NULL) == 0) {
            o->action = x_strdup(b.action);
            o->type = b.type;
            o->may_answer = b.type != ACTION_TYPE_COMMAND && !b.is_copy;
            strv_copy(&o->titles, &b.step_titles);
            batch_clear(&b);
        }
    }
    read_steps(o);
    return true;
}

static void build(struct output_view *o, int w)
{
    pager_begin(&o->pager);
    add_header(o, w);
    for (size_t i = 0; i < o->n_steps; i++)
        add_step(o, &o->steps[i]);
    for (int i = 0; i < 2 && o->n_steps == 0; i++)
        if (o->mode == SHOW_BOTH || o->mode == SHOW_STDOUT + i)
            add_stream(o, i);
}

static bool prompt_shown(const struct output_view *o)
{
    return o->search.typing || !prompt_empty(&o->search);
}

/* Free columns on either side, where there are enough. */
static int margin(int w)
{
    return w >= WIDE_FROM;
}

static void output_load(struct view *v, int w, int h)
{
    struct output_view *o = self(v);
    struct app *a = v->app;
    if (!a->reader)
        return;
    if (o->generation != a->data_generation || o->width != w || !exec_is_final(o->x.status)) {
        if (!read_execution(o))
            return;
        o->generation = a->data_generation;
        o->width = w;
        build(o, w - 2 * margin(w));
    }
    pager_load(&o->pager, w - 2 * margin(w), h - (prompt_shown(o) ? 1 : 0));
}

/* --- drawing --- */

static void output_draw(struct view *v, struct surface *s, struct rect body, bool focused)
{
    struct output_view *o = self(v);
    struct rect area = body;
    if (o->error) {
        const char *lines[] = {"This execution could not be read.", o->error};
        vu_teach(s, body, lines, ARRAY_LEN(lines));
        return;
    }
    if (focused)
        surface_cursor(s, body.x, body.y, false);
    if (prompt_shown(o)) {
        area.h--;
        prompt_draw(&o->search, s, body, body.y + area.h, focused, "",
                    o->missed ? o->missed : "n next, N previous", o->missed ? ROLE_WARN : ROLE_DIM);
    }
    area.x += margin(body.w);
    area.w -= 2 * margin(body.w);
    pager_draw(&o->pager, s, area);
}

static void output_caption(struct view *v, char *buf, size_t n)
{
    const struct output_view *o = (const struct output_view *) v;
    const struct pager *p = &o->pager;
    char *node = text_clean(o->x.node), at[16], col[32] = "";
    if (p->at_end)
        snprintf(at, sizeof at, "%s", p->at_top ? "all" : "end");
    else
        snprintf(at, sizeof at, "%d%%", pager_percent(p));
    if (p->x > 0)
        snprintf(col, sizeof col, " col %zu", p->x + 1);
    snprintf(buf, n, "#%lld %s  %s%s%s  %s%s", (long long) o->batch, node, mode_names[o->mode],
             p->wrap ? " wrap" : "", p->follow ? " follow" : "", at, col);
    free(node);
}

/* --- keys --- */

static void find(struct output_view *o, bool forward)
{
    if (prompt_empty(&o->search)) {
        app_toast(o->v.app, "nothing is searched: / searches in this output");
        return;
    }
    bool whole = forward && o->pager.at_top && !o->pager.has_hit;
    o->missed = pager_find(&o->pager, forward) ? NULL
                : whole                       ? "nowhere here"
                : forward                     ? "no more below, N goes up"
                                              : "no more above, n goes down";
}

static enum view_result output_act(struct view *v, enum action act)
{
    struct output_view *o = self(v);
    if (pager_act(&o->pager, act)) {
        o->missed = NULL;
        return VIEW_DONE;
    }
    switch (act) {
    case ACT_STREAM:
    case ACT_NEXT_TAB:
    case ACT_PREV_TAB:
        o->mode = (o->mode + (act == ACT_PREV_TAB ? SHOW_MODES - 1 : 1)) % SHOW_MODES;
        build(o, o->width - 2 * margin(o->width));
        o->pager.top = (struct pager_pos) {0, 0, 0};
        return VIEW_DONE;
    case ACT_RAW:
        o->raw = !o->raw;
        build(o, o->width - 2 * margin(o->width));
        o->pager.top = (struct pager_pos) {0, 0, 0};
        return VIEW_DONE;
    case ACT_NOTE:
        app_note(v->app, NULL, o->batch);
        return VIEW_DONE;
    case ACT_FILTER:
        prompt_start(&o->search);
        return VIEW_DONE;
    case ACT_FIND_NEXT:
    case ACT_FIND_PREV:
        find(o, act == ACT_FIND_NEXT);
        return VIEW_DONE;
    case ACT_NODE:
        if (o->x.node)
            vu_open_node(v->app, o->x.node);
        return VIEW_DONE;
    case ACT_BACK:
        if (prompt_empty(&o->search))
            return VIEW_IGNORED;
        field_set(&o->search.field, "");
        o->missed = NULL;
        pager_set_needle(&o->pager, NULL);
        return VIEW_DONE;
    default:
        return vu_no_use(v->app, act);
    }
}

static enum view_result output_key(struct view *v, const struct key *k)
{
    struct output_view *o = self(v);
    switch (prompt_key(&o->search, k)) {
    case PROMPT_LEAVE:
    case PROMPT_PASS:
        return VIEW_IGNORED;
    case PROMPT_ENTER:
        pager_set_needle(&o->pager, o->search.field.text);
        find(o, true);
        return VIEW_DONE;
    default:
        o->missed = NULL;
        pager_set_needle(&o->pager, o->search.field.text);
        return VIEW_DONE;
    }
}

static bool output_takes_text(const struct view *v)
{
    return ((const struct output_view *) v)->search.typing;
}

const struct view_ops view_output = {
    .title = "Output",
    .ctx = CTX_TEXT,
    .size = sizeof(struct output_view),
    .init = output_init,
    .fini = output_fini,
    .load = output_load,
    .draw = output_draw,
    .act = output_act,
    .key = output_key,
    .takes_text = output_takes_text,
    .caption = output_caption,
};
