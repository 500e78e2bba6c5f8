/* SPDX-License-Identifier: Apache-2.0 */
/* Printing results: labelled lines, folded classes, reasons. */
#include "print.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/nodeset.h"
#include "muster/core/task.h"
#include "muster/store/reader.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void printer_init(struct printer *p, struct reader *r, int64_t number, bool label)
{
    *p = (struct printer){.reader = r,
                          .number = number,
                          .label = label,
                          .out_tty = isatty(STDOUT_FILENO),
                          .err_tty = isatty(STDERR_FILENO)};
    CLEANUP_ERR struct err e = ERR_INIT;
    struct batch b;
    if (reader_batch(r, number, &b, &e) != 0)
        return; /* whoever reads it next says so */
    p->answers = b.type != ACTION_TYPE_COMMAND && !b.is_copy;
    strv_copy(&p->steps, &b.step_titles);
    batch_clear(&b);
}

int printer_close(struct printer *p, int rc, struct err *e)
{
    if (rc >= 0 && p->lost.code != ERR_NONE) {
        rc = err_set(e, p->lost.code, "%s (muster results %lld shows what is stored)",
                     p->lost.msg, (long long) p->number);
    }
    err_clear(&p->lost);
    strv_clear(&p->steps);
    return rc;
}

static void write_fd(struct printer *p, int fd, const char *s, size_t n)
{
    if (fd == STDOUT_FILENO && p->gone)
        return;
    int rc = io_write_all(fd, s, n);
    if (rc == 0 || fd != STDOUT_FILENO)
        return;
    p->gone = true;
    if (rc != -EPIPE)
        err_set(&p->lost, ERR_INTERNAL, "cannot write to standard output: %s", strerror(-rc));
}

void print_text(struct printer *p, int fd, const char *s, size_t n)
{
    if (!(fd == STDOUT_FILENO ? p->out_tty : p->err_tty)) {
        write_fd(p, fd, s, n);
        return;
    }
    struct strbuf b;
    strbuf_init(&b, 0);
    text_sanitise(&b, s, n, TEXT_KEEP_NL | TEXT_EXPAND_TAB);
    write_fd(p, fd, b.s, b.len);
    strbuf_free(&b);
}

/* --- labelled lines --- */

/* Cuts a stream into lines; a line longer than the buffer goes out in pieces. */
struct lines {
    struct printer *p;
    int fd;
    const char *label; /* or NULL */
    struct strbuf buf; /* what is ready to go */
    bool in_line;
};

static void lines_flush(struct lines *l)
{
    print_text(l->p, l->fd, l->buf.s, l->buf.len);
    strbuf_reset(&l->buf);
}

static bool lines_piece(void *ctx, const void *data, size_t n)
{
    struct lines *l = ctx;
    const char *s = data;
    while (n) {
        const char *nl = memchr(s, '\n', n);
        size_t len = nl ? (size_t) (nl - s) + 1 : n;
        if (!l->in_line && l->label)
            strbuf_addf(&l->buf, "%s: ", l->label);
        strbuf_add(&l->buf, s, len);
        l->in_line = nl == NULL;
        if (l->buf.len > 64 << 10)
            lines_flush(l);
        s += len;
        n -= len;
    }
    return !(l->fd == STDOUT_FILENO && l->p->gone);
}

static bool collect(void *ctx, const void *data, size_t n)
{
    struct strbuf *b = ctx;
    strbuf_add(b, data, n);
    return b->len <= TASK_OUTPUT_MAX;
}

/* The lines of a task's answer, or NULL: it is none. A step of a plan may be a command, whose JSON is its
 * own: only Bolt's members tell the two apart. */
static char *answer(struct printer *p, int64_t id, bool told, struct err *e)
{
    struct strbuf raw;
    struct task_output o;
    char *text = NULL;
    strbuf_init(&raw, 0);
    if (reader_output(p->reader, id, 0, TASK_OUTPUT_MAX + 1, collect, &raw, e) == 0 &&
        raw.len <= TASK_OUTPUT_MAX && task_output_parse(raw.s, raw.len, &o)) {
        bool said = o.error && !told;
        if (!p->steps.n || o.text || o.error)
            text = x_asprintf("%s%s%s%s%s", o.text ? o.text : "",
                              o.text && *o.text && o.rest && o.text[strlen(o.text) - 1] != '\n' ? "\n"
                                                                                              : "",
                              o.rest ? o.rest : "", said ? "error: " : "", said ? o.error : "");
        task_output_clear(&o);
    }
    strbuf_free(&raw);
    return text;
}

int print_stream(struct printer *p, int fd, const char *label, int64_t id, bool told, struct err *e)
{
    struct lines l = {.p = p, .fd = fd, .label = label};
    strbuf_init(&l.buf, 0);
    CLEANUP_FREE char *text =
        p->answers && fd == STDOUT_FILENO && id ? answer(p, id, told, e) : NULL;
    int rc = 0;
    if (text)
        lines_piece(&l, text, strlen(text));
    else
        rc = reader_output(p->reader, id, 0, UINT64_MAX, lines_piece, &l, e);
    if (l.in_line)
        strbuf_addch(&l.buf, '\n'); /* the next node starts on a line of its own */
    lines_flush(&l);
    strbuf_free(&l.buf);
    return rc;
}

/* What a failed execution is told by, in one line. */
static void describe_failure(struct strbuf *b, const struct execution *x)
{
    if (x->error)
        strbuf_adds(b, x->error);
    else if (x->reason == REASON_EXIT)
        strbuf_addf(b, "exited with code %d", x->exit_code);
    else if (x->reason == REASON_SIGNAL)
        strbuf_addf(b, "ended by signal %s", x->signal ? x->signal : "?");
    else
        strbuf_adds(b, reason_meaning(x->reason));
    if (x->remote != REMOTE_NONE)
        strbuf_addf(b, " (process on the node: %s)", remote_process_name(x->remote));
}

static void note(struct printer *p, const char *node, const char *text)
{
    struct strbuf b;
    strbuf_init(&b, 0);
    CLEANUP_FREE char *clean_node = text_clean(node);
    CLEANUP_FREE char *clean = text_clean(text);
    strbuf_addf(&b, "muster: %s: %s\n", clean_node, clean);
    write_fd(p, STDERR_FILENO, b.s, b.len);
    strbuf_free(&b);
}

static void print_truncated(struct printer *p, const struct execution *x)
{
    static const char *const names[] = {"stdout", "stderr"};
    for (int i = 0; i < 2; i++) {
        if (!x->truncated[i])
            continue;
        char size[24];
        CLEANUP_FREE char *text =
            x_asprintf("%s was truncated: the first %s were kept (--max-output moves the limit)",
                       names[i], text_size(x->out_size[i], size));
        note(p, x->node, text);
    }
}

int print_execution(struct printer *p, const struct execution *x, struct err *e)
{
    CLEANUP_FREE char *name = text_clean(x->node);
    const char *label = p->label ? name : NULL;
    int rc = print_stream(p, STDOUT_FILENO, label, x->out_id[0], x->error, e);
    if (rc == 0)
        rc = print_stream(p, STDERR_FILENO, label, x->out_id[1], false, e);
    if (rc != 0)
        return rc;
    print_truncated(p, x);
    /* What never started is only named by the last lines: a thousand such lines help nobody. */
    bool never = x->reason == REASON_SKIPPED || (x->reason == REASON_CANCELLED && !x->attempts);
    if (x->status == EXEC_FAILED && !never) {
        struct strbuf b;
        strbuf_init(&b, 0);
        bool told = x->error && strncmp(x->error, "step ", 5) == 0;
        if (x->step && x->step <= p->steps.n && !told)
            strbuf_addf(&b, "step %u (%s): ", x->step, p->steps.v[x->step - 1]);
        describe_failure(&b, x);
        note(p, x->node, b.s);
        strbuf_free(&b);
    }
    return 0;
}

/* --- classes --- */

static void class_header(struct printer *p, int fd, const struct output_class *c)
{
    static const char rule[] = "---------------\n";
    struct strbuf b;
    strbuf_init(&b, 0);
    CLEANUP_FREE char *nodes = text_clean(c->nodes);
    strbuf_addf(&b, "%s%s (%zu)", rule, nodes, c->count);
    if (c->status == EXEC_FAILED) {
        strbuf_addf(&b, " %s", reason_name(c->reason));
        if (c->exit_code >= 0)
            strbuf_addf(&b, " %d", c->exit_code);
    }
    if (c->truncated[0] || c->truncated[1])
        strbuf_adds(&b, " truncated: only the first bytes were kept, the rest may differ");
    strbuf_addf(&b, "\n%s", rule);
    write_fd(p, fd, b.s, b.len);
    strbuf_free(&b);
}

int print_class(struct printer *p, const struct output_class *c, struct err *e)
{
    if (c->status == EXEC_FAILED && c->reason == REASON_SKIPPED)
        return 0; /* the last lines name them */
    bool has_out = c->out_id[0] != 0, has_err = c->out_id[1] != 0 || c->error;
    int rc = 0;
    if (has_out || !has_err) {
        if (p->label)
            class_header(p, STDOUT_FILENO, c);
        rc = print_stream(p, STDOUT_FILENO, NULL, c->out_id[0], c->error, e);
    }
    if (rc == 0 && has_err) {
        if (p->label)
            class_header(p, STDERR_FILENO, c);
        rc = print_stream(p, STDERR_FILENO, NULL, c->out_id[1], false, e);
        if (c->error) {
            CLEANUP_FREE char *clean = text_clean(c->error);
            CLEANUP_FREE char *line = x_asprintf("muster: %s\n", clean);
            write_fd(p, STDERR_FILENO, line, strlen(line));
        }
    }
    return rc;
}

int print_classes(struct printer *p, struct err *e)
{
    struct output_class *c = NULL;
    size_t n = 0;
    int rc = reader_classes(p->reader, p->number, 0, SIZE_MAX, &c, &n, NULL, e);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = print_class(p, &c[i], e);
    classes_free(c, n);
    return rc;
}

/* --- the end of a run --- */

/* "unreachable 3: web[07,11-12]", but "exit code 3 (2): ...": two bare numbers would be misread. */
static void add_nodes(struct strbuf *out, const char *what, bool brackets,
                      const struct nodeset *nodes)
{
    struct strbuf fold;
    strbuf_init(&fold, 0);
    nodeset_fold(&fold, nodes, 0);
    CLEANUP_FREE char *clean = text_clean(fold.s);
    strbuf_addf(out, "%s %s%zu%s: %s\n", what, brackets ? "(" : "", nodeset_count(nodes),
                brackets ? ")" : "", clean);
    strbuf_free(&fold);
}

/* The nodes of one kind of failure; `what` as reader_nodes_by_result takes it. */
static int add_failed(struct reader *r, int64_t number, const char *shown, bool brackets,
                      const char *what, struct strbuf *out, struct err *e)
{
    struct nodeset *nodes = nodeset_new();
    int rc = reader_nodes_by_result(r, number, what, nodes, e);
    if (rc == 0 && nodeset_count(nodes))
        add_nodes(out, shown, brackets, nodes);
    nodeset_free(nodes);
    return rc;
}

static int add_exit_codes(struct reader *r, int64_t number, struct strbuf *out, struct err *e)
{
    const struct exec_filter f = {.reason_mask = 1u << REASON_EXIT};
    bool seen[256] = {false};
    struct execution *x = NULL;
    size_t n = 0;
    int rc = reader_executions(r, number, &f, SORT_POSITION, false, 0, SIZE_MAX, &x, &n, NULL, e);
    struct nodeset *told = nodeset_new(); /* they ended well, and said that something was wrong */
    for (size_t i = 0; i < n; i++) {
        if (x[i].exit_code > 0)
            seen[x[i].exit_code & 255] = true;
        else
            nodeset_add(told, x[i].node);
    }
    executions_free(x, n);
    if (nodeset_count(told))
        add_nodes(out, "error", false, told);
    nodeset_free(told);
    for (int code = 1; code < 256 && rc == 0; code++) {
        char shown[32], what[16];
        snprintf(shown, sizeof shown, "exit code %d", code);
        snprintf(what, sizeof what, "rc=%d", code);
        if (seen[code])
            rc = add_failed(r, number, shown, true, what, out, e);
    }
    return rc;
}

/* What became of the processes that were stopped or lost: a line for each answer. */
static int add_processes(struct reader *r, int64_t number, struct strbuf *out, struct err *e)
{
    const struct exec_filter f = {.reason_mask = 1u << REASON_CANCELLED | 1u << REASON_TIMEOUT |
                                                 1u << REASON_LOST};
    struct nodeset *nodes[REMOTE_COUNT];
    struct execution *x = NULL;
    size_t n = 0;
    for (int i = 0; i < REMOTE_COUNT; i++)
        nodes[i] = nodeset_new();
    int rc = reader_executions(r, number, &f, SORT_POSITION, false, 0, SIZE_MAX, &x, &n, NULL, e);
    for (size_t i = 0; i < n; i++)
        nodeset_add(nodes[x[i].remote], x[i].node);
    executions_free(x, n);
    for (int i = 0; i < REMOTE_COUNT; i++) {
        char shown[64];
        snprintf(shown, sizeof shown, "process on the node %s",
                 remote_process_name((enum remote_process) i));
        if (rc == 0 && i != REMOTE_NONE && nodeset_count(nodes[i]))
            add_nodes(out, shown, true, nodes[i]);
        nodeset_free(nodes[i]);
    }
    return rc;
}

int reasons_text(struct reader *r, const struct batch *b, struct strbuf *out, struct err *e)
{
    int rc = 0;
    for (int reason = 1; reason < REASON_COUNT && rc == 0; reason++) {
        const char *name = reason_name(reason);
        if (b->stats.by_reason[reason])
            rc = reason == REASON_EXIT ? add_exit_codes(r, b->number, out, e)
                                       : add_failed(r, b->number, name, false, name, out, e);
    }
    const uint32_t *n = b->stats.by_reason;
    if (rc == 0 && n[REASON_CANCELLED] + n[REASON_TIMEOUT] + n[REASON_LOST])
        rc = add_processes(r, b->number, out, e);
    return rc;
}

int print_reasons(struct printer *p, const struct batch *b, struct err *e)
{
    struct strbuf text;
    strbuf_init(&text, 0);
    int rc = reasons_text(p->reader, b, &text, e);
    write_fd(p, STDERR_FILENO, text.s, text.len);
    strbuf_free(&text);
    return rc;
}
