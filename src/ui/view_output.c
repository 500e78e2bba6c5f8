/* SPDX-License-Identifier: Apache-2.0 */
/* The output overlay: one execution, its facts, then what it wrote. */
#include "pager.h"
#include "vutil.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
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
        add_fact(out, w, "command", "%s", o->action);
    if (x->status == EXEC_FAILED)
        add_fact(out, w, "state", "%s failed (%s): %s", vu_exec_glyph(x->status, x->reason),
                 reason_name(x->reason), reason_meaning(x->reason));
    else
        add_fact(out, w, "state", "%s %s", vu_exec_glyph(x->status, x->reason),
                 exec_status_name(x->status));
    add_result(out, w, x);
    add_times(o, out, w);
}

static void add_stream(struct output_view *o, int i)
{
    const struct execution *x = &o->x;
    char size[32];
    bool any = x->out_id[i] != 0 && x->out_size[i] > 0;
    struct strv *head = pager_add_lines(&o->pager, ROLE_DIM);
    if (any)
        strv_push_own(head, x_asprintf("-- %s, %s --", stream_names[i],
                                       text_size(x->out_size[i], size)));
    else
        strv_push_own(head, x_asprintf("-- %s: %s --", stream_names[i],
                                       exec_is_final(x->status) ? "nothing" : "nothing yet"));
    if (!any)
        return;
    pager_add_stream(&o->pager, x->out_id[i], x->out_size[i]);
    if (x->truncated[i]) {
        struct strv *end = pager_add_lines(&o->pager, ROLE_WARN);
        strv_push_own(end, x_asprintf("-- truncated: more than %s came, the rest was not kept "
                                      "(--max-output) --", text_size(x->out_size[i], size)));
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
            batch_clear(&b);
        }
    }
    return true;
}

static void build(struct output_view *o, int w)
{
    pager_begin(&o->pager);
    add_header(o, w);
    for (int i = 0; i < 2; i++)
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
