/* SPDX-License-Identifier: Apache-2.0 */
/* Batches, executions and errors as JSON, and executions as rows of CSV. */
#include "muster/core/doc.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/hash.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/json.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* A duration is known, or null. */
static void put_duration(struct json *j, const char *key, int64_t ms)
{
    if (ms < 0)
        json_put_null(j, key);
    else
        json_put_int(j, key, ms);
}

static struct json *strings(const struct strv *v)
{
    struct json *arr = json_array();

    for (size_t i = 0; i < v->n; i++)
        json_add_str(arr, v->v[i]);
    return arr;
}

static struct json *stats_json(const struct batch_stats *s)
{
    struct json *j = json_object(), *reasons = json_object();

    json_put_int(j, "total", s->total);
    json_put_int(j, "queued", s->queued);
    json_put_int(j, "running", s->running);
    json_put_int(j, "success", s->success);
    json_put_int(j, "failed", s->failed);
    for (int r = REASON_NONE + 1; r < REASON_COUNT; r++)
        json_put_int(reasons, reason_name((enum reason) r), s->by_reason[r]);
    json_put(j, "reasons", reasons);
    return j;
}

static const char *owner_name(enum owner_state s)
{
    switch (s) {
    case OWNER_NONE:
        break;
    case OWNER_SELF:
        return "self";
    case OWNER_ALIVE:
        return "alive";
    case OWNER_OTHER_HOST:
        return "other host";
    case OWNER_DEAD:
        return "dead";
    }
    return NULL;
}

/* {state, process}, or null for a batch that nobody runs. */
static struct json *owner_json(const struct batch *b)
{
    const char *state = owner_name(b->owner);
    struct json *j;

    if (!state)
        return NULL;
    j = json_object();
    json_put_str(j, "state", state);
    json_put_str(j, "process", b->owner_text);
    return j;
}

/* Parameters are kept as JSON text; what cannot be read any more is shown as it stands. */
static void put_parameters(struct json *j, const char *text)
{
    struct json *parsed = text ? json_parse(text, strlen(text), NULL) : json_object();

    if (parsed)
        json_put(j, "parameters", parsed);
    else
        json_put_str(j, "parameters", text);
}

static void put_nodes(struct json *j, const struct batch *b, const char *const *nodes, size_t n)
{
    struct json *names = json_array(), *ids = json_array();
    char id[64];

    for (size_t i = 0; i < n; i++) {
        json_add_str(names, nodes[i]);
        json_add_str(ids, execution_id(b->id, (uint32_t) i, id));
    }
    json_put(j, "targetNodes", names);
    json_put(j, "executionIds", ids);
}

static struct json *steps_json(const struct strv *titles)
{
    struct json *steps = json_array();

    for (size_t i = 0; i < titles->n; i++) {
        struct json *step = json_object();
        json_put_str(step, "title", titles->v[i]);
        json_add(steps, step);
    }
    return steps;
}

struct json *doc_batch(const struct batch *b, const char *const *nodes, size_t n_nodes)
{
    struct json *j = json_object();
    /* A batch that runs has no end yet; its duration so far is the reader's to work out. */
    int64_t duration = b->completed_ms ? batch_duration_ms(b, 0) : -1;

    json_put_str(j, "id", b->id);
    json_put_int(j, "number", b->number);
    json_put_str(j, "type", action_type_name(b->type));
    json_put_str(j, "action", b->action);
    put_parameters(j, b->parameters);
    json_put_str(j, "targets", b->targets);
    json_put(j, "targetGroups", strings(&b->target_groups));
    json_put_str(j, "status", batch_status_name(b->status));
    json_put_time(j, "createdAt", b->created_ms);
    json_put_time(j, "startedAt", b->started_ms);
    json_put_time(j, "completedAt", b->completed_ms);
    put_duration(j, "duration", duration);
    json_put_str(j, "userId", b->user_id);
    json_put_str(j, "label", b->label);
    json_put_bool(j, "single", b->single);
    if (b->rerun_of)
        json_put_int(j, "rerunOf", b->rerun_of);
    else
        json_put_null(j, "rerunOf");
    json_put_bool(j, "cancelRequested", b->cancel_requested);
    json_put_bool(j, "paused", b->paused);
    json_put(j, "owner", owner_json(b));
    json_put(j, "warnings", strings(&b->warnings));
    json_put(j, "stats", stats_json(&b->stats));
    if (b->n_steps)
        json_put(j, "steps", steps_json(&b->step_titles));
    if (nodes)
        put_nodes(j, b, nodes, n_nodes);
    return j;
}

static void put_stream(struct json *j, const char *key, const char *data, size_t len)
{
    char encoding[32];
    char *text;

    if (!data)
        len = 0;
    if (utf8_valid(data, len)) {
        json_put_bytes(j, key, len ? data : "", len);
        return;
    }
    text = base64_encode(data, len);
    json_put_str(j, key, text);
    free(text);
    snprintf(encoding, sizeof encoding, "%sEncoding", key);
    json_put_str(j, encoding, "base64");
}

static void put_streams(struct json *j, const struct doc_output *out)
{
    put_stream(j, "stdout", out->data[STREAM_STDOUT], out->len[STREAM_STDOUT]);
    put_stream(j, "stderr", out->data[STREAM_STDERR], out->len[STREAM_STDERR]);
}

static void put_exit(struct json *j, int exit_code, const char *signal)
{
    if (exit_code >= 0)
        json_put_int(j, "exitCode", exit_code);
    else
        json_put_null(j, "exitCode");
    json_put_str(j, "signal", signal);
}

static struct json *result_json(const struct execution *x, const struct doc_output *out)
{
    struct json *j = json_object();

    put_exit(j, x->exit_code, x->signal);
    if (out)
        put_streams(j, out);
    json_put_bool(j, "truncated", x->truncated[0] || x->truncated[1]);
    return j;
}

struct json *doc_execution(const char *batch_id, const struct execution *x,
                           const struct doc_output *out)
{
    struct json *j = json_object();
    bool ended = exec_is_final(x->status);
    char id[64];

    json_put_str(j, "id", execution_id(batch_id, x->position, id));
    json_put_str(j, "batchId", batch_id);
    json_put_int(j, "batchPosition", x->position);
    json_put_str(j, "nodeId", x->node);
    json_put_str(j, "nodeName", x->node);
    json_put_str(j, "status", exec_status_name(x->status));
    json_put_str(j, "reason", x->reason == REASON_NONE ? NULL : reason_name(x->reason));
    json_put_str(j, "error", x->error);
    json_put_time(j, "startedAt", x->started_ms);
    json_put_time(j, "completedAt", x->completed_ms);
    put_duration(j, "duration", ended ? x->duration_ms : -1);
    json_put_int(j, "attempts", x->attempts);
    json_put_str(j, "transport", x->transport);
    if (x->note)
        json_put_str(j, "note", x->note);
    json_put_str(j, "host", x->host);
    if (x->port)
        json_put_int(j, "port", x->port);
    else
        json_put_null(j, "port");
    json_put_str(j, "user", x->user);
    json_put_str(j, "remoteProcess", remote_process_name(x->remote));
    if (x->step)
        json_put_int(j, "step", x->step);
    if (x->bytes_done || x->bytes_total) {
        json_put_int(j, "bytesDone", (int64_t) x->bytes_done);
        json_put_int(j, "bytesTotal", (int64_t) x->bytes_total);
    }
    json_put(j, "result", ended ? result_json(x, out) : NULL);
    return j;
}

struct json *doc_step(const struct step_run *s, const char *title, const struct doc_output *out)
{
    struct json *j = json_object();

    json_put_int(j, "step", s->step);
    json_put_str(j, "title", title);
    json_put_str(j, "status", exec_status_name(s->status));
    json_put_str(j, "reason", s->reason == REASON_NONE ? NULL : reason_name(s->reason));
    json_put_str(j, "error", s->error);
    if (s->note)
        json_put_str(j, "note", s->note);
    json_put_time(j, "startedAt", s->started_ms);
    json_put_time(j, "completedAt", s->completed_ms);
    put_duration(j, "duration", exec_is_final(s->status) ? s->duration_ms : -1);
    json_put_str(j, "remoteProcess", remote_process_name(s->remote));
    put_exit(j, s->exit_code, s->signal);
    json_put_bool(j, "truncated", s->truncated[0] || s->truncated[1]);
    if (out)
        put_streams(j, out);
    return j;
}

struct json *doc_error(const struct err *e)
{
    struct json *j = json_object(), *inner = json_object(), *lines = NULL;
    const char *s = e->details;

    if (s && *s)
        lines = json_array();
    while (s && *s) {
        size_t n = strcspn(s, "\n");
        char *line = x_strndup(s, n);

        json_add_str(lines, line);
        free(line);
        s += n + (s[n] == '\n');
    }
    json_put_str(inner, "code", err_json_code(e->code));
    json_put_str(inner, "message", e->msg ? e->msg : "");
    json_put(inner, "details", lines);
    json_put(j, "error", inner);
    return j;
}

struct json *doc_note(const char *text, const char *user_id, int64_t written_ms)
{
    struct json *j = json_object();

    json_put_str(j, "text", text);
    json_put_str(j, "userId", user_id);
    json_put_time(j, "writtenAt", written_ms);
    return j;
}

void doc_csv_header(struct strbuf *out, bool steps)
{
    strbuf_addf(out, "Node Name,Status,Reason,Duration (ms),Exit Code,Started At,Completed At,"
                     "Stdout,Stderr,Error%s\r\n", steps ? ",Step" : "");
}

/* Spreadsheets run what begins with = + - @, TAB or CR; some skip blanks before it, and some take
 * the full-width forms for the plain ones. */
static bool would_run(const char *p, size_t n)
{
    static const char *const wide[] = {"\uff1d", "\uff0b", "\uff0d", "\uff20"};

    while (n && (*p == ' ' || *p == '\n')) {
        p++;
        n--;
    }
    if (!n)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(wide); i++) {
        if (n >= 3 && !memcmp(p, wide[i], 3))
            return true;
    }
    return memchr("=+-@\t\r", *p, 6) != NULL;
}

void doc_csv_cell(struct strbuf *out, const char *p, size_t n)
{
    struct strbuf text;
    bool defuse = would_run(p, n);
    const char *s, *end;

    strbuf_init(&text, SIZE_MAX / 2); /* as large as the output that its caller capped */
    text_sanitise(&text, p, n, TEXT_KEEP_NL);
    if (!defuse && !strpbrk(text.s, ",\"\n\r") && (!text.len || *text.s != ' ')) {
        strbuf_add(out, text.s, text.len);
        strbuf_free(&text);
        return;
    }
    strbuf_addch(out, '"');
    if (defuse)
        strbuf_addch(out, '\'');
    for (s = text.s, end = s + text.len; s < end;) {
        size_t run = strcspn(s, "\"");

        strbuf_add(out, s, run);
        s += run;
        if (s < end) {
            strbuf_adds(out, "\"\"");
            s++;
        }
    }
    strbuf_addch(out, '"');
    strbuf_free(&text);
}

static void add_cell(struct strbuf *out, const char *s)
{
    strbuf_addch(out, ',');
    if (s)
        doc_csv_cell(out, s, strlen(s));
}

/* Our own numbers need no defusing: a minus sign stays one. */
static void add_number(struct strbuf *out, int64_t n)
{
    strbuf_addch(out, ',');
    if (n >= 0)
        strbuf_addf(out, "%lld", (long long) n);
}

void doc_csv_row(struct strbuf *out, const struct execution *x, const struct doc_output *o,
                 const char *step)
{
    char when[32];

    doc_csv_cell(out, x->node, strlen(x->node));
    add_cell(out, exec_status_name(x->status));
    add_cell(out, reason_name(x->reason));
    add_number(out, exec_is_final(x->status) ? x->duration_ms : -1);
    add_number(out, x->exit_code);
    add_cell(out, x->started_ms ? clock_iso8601(x->started_ms, when) : NULL);
    add_cell(out, x->completed_ms ? clock_iso8601(x->completed_ms, when) : NULL);
    for (int i = STREAM_STDOUT; i <= STREAM_STDERR; i++) {
        strbuf_addch(out, ',');
        if (o && o->data[i])
            doc_csv_cell(out, o->data[i], o->len[i]);
    }
    add_cell(out, x->error);
    if (step)
        add_cell(out, step);
    strbuf_adds(out, "\r\n");
}
