/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a plan: a line for each at the end of a run, and what the nodes said in them. */
#include "print_steps.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/nodeset.h"
#include "muster/store/reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLASS_NODES_MAX 1024 /* bytes of a folded set, as in the classes of a batch */

/* --- the last lines --- */

/* The nodes that ended at each step, by failing there. */
static int failed_nodes(struct reader *r, const struct batch *b, struct nodeset **at, struct err *e)
{
    const struct exec_filter f = {.status_mask = 1u << EXEC_FAILED};
    struct execution *x = NULL;
    size_t n = 0;
    int rc = reader_executions(r, b->number, &f, SORT_POSITION, false, 0, SIZE_MAX, &x, &n, NULL, e);
    for (size_t i = 0; i < n; i++)
        if (x[i].step && x[i].step <= b->n_steps && x[i].reason != REASON_SKIPPED &&
            x[i].reason != REASON_CANCELLED)
            nodeset_add(at[x[i].step], x[i].node);
    executions_free(x, n);
    return rc;
}

static void add_step(const struct batch *b, const struct step_stats *t, const struct nodeset *failed,
                     struct strbuf *out)
{
    if (!t->running && !t->success && !t->failed && !t->stopped)
        return;
    CLEANUP_FREE char *title = text_clean(b->step_titles.v[t->step - 1]);
    strbuf_addf(out, "step %u %s:", t->step, title);
    const char *comma = "";
    if (t->running) {
        strbuf_addf(out, " %u running", t->running);
        comma = ",";
    }
    if (t->success) {
        strbuf_addf(out, "%s %u ok", comma, t->success);
        comma = ",";
    }
    if (t->stopped) {
        strbuf_addf(out, "%s %u stopped", comma, t->stopped);
        comma = ",";
    }
    if (t->failed)
        strbuf_addf(out, "%s %u failed", comma, t->failed);
    if (t->failed && nodeset_count(failed)) {
        struct strbuf fold;
        strbuf_init(&fold, 0);
        nodeset_fold(&fold, failed, 0);
        CLEANUP_FREE char *clean = text_clean(fold.s);
        strbuf_addf(out, ": %s", clean);
        strbuf_free(&fold);
    }
    strbuf_addch(out, '\n');
}

int steps_text(struct reader *r, const struct batch *b, struct strbuf *out, struct err *e)
{
    if (!b->n_steps)
        return 0;
    struct nodeset **at = x_array(NULL, b->n_steps + 1, sizeof(*at));
    struct step_stats *stats = NULL;
    size_t n = 0;
    for (unsigned i = 0; i <= b->n_steps; i++)
        at[i] = nodeset_new();
    int rc = reader_step_stats(r, b->number, &stats, &n, e);
    if (rc == 0)
        rc = failed_nodes(r, b, at, e);
    for (size_t i = 0; i < n && rc == 0; i++)
        if (stats[i].step && stats[i].step <= b->n_steps)
            add_step(b, &stats[i], at[stats[i].step], out);
    for (unsigned i = 0; i <= b->n_steps; i++)
        nodeset_free(at[i]);
    free(at);
    free(stats);
    return rc;
}

int print_step_stats(struct printer *p, const struct batch *b, struct err *e)
{
    struct strbuf text;
    strbuf_init(&text, 0);
    int rc = steps_text(p->reader, b, &text, e);
    print_text(p, STDERR_FILENO, text.s, text.len);
    strbuf_free(&text);
    return rc;
}

/* --- what was said --- */

struct row {
    size_t order; /* of its node */
    const char *node;
    const struct step_run *run;
};
struct rows {
    struct execution *x;
    struct step_run **runs; /* of each execution */
    size_t *n_runs;
    size_t n;
    struct row *v; /* all of them, of ended steps */
    size_t n_rows, cap;
};

static void rows_clear(struct rows *r)
{
    for (size_t i = 0; i < r->n; i++)
        step_runs_free(r->runs[i], r->n_runs[i]);
    executions_free(r->x, r->n);
    free(r->runs);
    free(r->n_runs);
    free(r->v);
}

/* All of one moment. */
static int rows_read(struct printer *p, const char *node, struct rows *r, struct err *e)
{
    const struct exec_filter f = {.node = node};
    int rc = reader_begin_snapshot(p->reader, e);
    if (rc != 0)
        return rc;
    rc = reader_executions(p->reader, p->number, &f, SORT_NAME, false, 0, SIZE_MAX, &r->x, &r->n,
                           NULL, e);
    r->runs = x_calloc(r->n + 1, sizeof(*r->runs));
    r->n_runs = x_calloc(r->n + 1, sizeof(*r->n_runs));
    for (size_t i = 0; i < r->n && rc == 0; i++) {
        rc = reader_steps(p->reader, p->number, r->x[i].position, &r->runs[i], &r->n_runs[i], e);
        for (size_t k = 0; k < r->n_runs[i] && rc == 0; k++) {
            if (!exec_is_final(r->runs[i][k].status))
                continue;
            X_GROW(r->v, r->cap, r->n_rows + 1);
            r->v[r->n_rows++] = (struct row){i, r->x[i].node, &r->runs[i][k]};
        }
    }
    reader_end_snapshot(p->reader);
    return rc;
}

static int compare(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

/* The same step with the same end and the same outputs; equal bytes have one number. */
static int class_order(const struct step_run *a, const struct step_run *b)
{
    const int64_t x[] = {a->step, a->status, a->reason, a->exit_code, a->out_id[0], a->out_id[1]};
    const int64_t y[] = {b->step, b->status, b->reason, b->exit_code, b->out_id[0], b->out_id[1]};
    int order = 0;
    for (size_t i = 0; i < ARRAY_LEN(x) && !order; i++)
        order = compare(x[i], y[i]);
    return order;
}

static int by_class(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    int order = class_order(x->run, y->run);
    return order ? order : compare((int64_t) x->order, (int64_t) y->order);
}

static int by_node(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    int order = compare(x->run->step, y->run->step);
    return order ? order : compare((int64_t) x->order, (int64_t) y->order);
}

static bool is_empty(const struct step_run *s)
{
    return s->status == EXEC_SUCCESS && !s->out_id[0] && !s->out_id[1];
}

static void print_title(struct printer *p, unsigned step)
{
    CLEANUP_FREE char *title =
        text_clean(step && step <= p->steps.n ? p->steps.v[step - 1] : "");
    CLEANUP_FREE char *line = x_asprintf("== step %u: %s\n", step, title);
    print_text(p, STDOUT_FILENO, line, strlen(line));
}

static int print_group(struct printer *p, const struct row *v, size_t n, struct err *e)
{
    const struct step_run *s = v[0].run;
    struct nodeset *nodes = nodeset_new();
    struct strbuf fold;
    strbuf_init(&fold, 0);
    struct output_class c = {.count = n,
                             .status = s->status,
                             .reason = s->reason,
                             .exit_code = s->exit_code,
                             .error = s->error};
    for (size_t i = 0; i < n; i++)
        nodeset_add(nodes, v[i].node);
    nodeset_fold(&fold, nodes, CLASS_NODES_MAX);
    c.nodes = fold.s;
    for (int i = 0; i < 2; i++) {
        c.out_id[i] = s->out_id[i];
        c.out_size[i] = s->out_size[i];
        c.truncated[i] = s->truncated[i];
    }
    int rc = print_class(p, &c, e);
    strbuf_free(&fold);
    nodeset_free(nodes);
    return rc;
}

static int print_row(struct printer *p, const struct row *v, struct err *e)
{
    const struct step_run *s = v->run;
    struct execution x = {.node = (char *) v->node,
                          .status = s->status,
                          .reason = s->reason,
                          .error = s->error,
                          .step = s->step,
                          .attempts = 1,
                          .remote = s->remote,
                          .exit_code = s->exit_code,
                          .signal = s->signal};
    for (int i = 0; i < 2; i++) {
        x.out_id[i] = s->out_id[i];
        x.out_size[i] = s->out_size[i];
        x.truncated[i] = s->truncated[i];
    }
    return print_execution(p, &x, e);
}

int print_steps(struct printer *p, unsigned only, bool fold, const char *node, struct err *e)
{
    struct rows r = {.n = 0};
    unsigned titled = 0;
    int rc = rows_read(p, node, &r, e);
    if (rc == 0 && node && r.n == 0)
        rc = err_set(e, ERR_VALIDATION, "node %s is not in batch #%lld", node, (long long) p->number);
    if (r.n_rows)
        qsort(r.v, r.n_rows, sizeof(*r.v), fold ? by_class : by_node);
    for (size_t i = 0, n; i < r.n_rows && rc == 0; i += n) {
        const struct step_run *s = r.v[i].run;
        for (n = 1; fold && i + n < r.n_rows && class_order(s, r.v[i + n].run) == 0;)
            n++;
        if ((only && s->step != only) || (!only && is_empty(s)))
            continue;
        if (!only && titled != s->step)
            print_title(p, s->step);
        titled = s->step;
        rc = fold ? print_group(p, &r.v[i], n, e) : print_row(p, &r.v[i], e);
    }
    rows_clear(&r);
    return rc;
}
