/* SPDX-License-Identifier: Apache-2.0 */
/* Documents about a batch: the status answer, the JSON export and CSV. Written one execution at a time,
 * and the outputs piece by piece, so that 50 MB of output on one node take no 50 MB here. */
#include "create.h"
#include "service.h"
#include "stream.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/doc.h"
#include "muster/core/json.h"
#include "muster/store/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* CSV is for people: a spreadsheet shows 32,767 characters of a cell. */
#define CSV_STREAM_MAX ((size_t) 1 << 20)

/* A document under way. Its rows are read at one go, so that they and the batch's statistics are of
 * one moment: 10,000 of them, the most there are, take a few MiB, and nobody who reads the document
 * slowly holds the database back. Outputs are read as they are written out. */
struct document {
    struct reader *reader;
    int64_t number;
    struct batch batch;
    struct strv nodes; /* in target order */
    struct execution *rows;
    size_t n_rows;
    struct note *notes; /* on the batch */
    size_t n_notes;
    struct out out;
};

/* Which rows, and in which order. */
struct selection {
    const struct exec_filter *filter; /* NULL: all */
    int sort;
    bool reverse;
    size_t offset, limit; /* limit 0: all */
};

static int read_rows(struct document *d, const struct selection *s, struct err *e)
{
    static const struct exec_filter any = EXEC_FILTER_ANY;
    int rc = reader_batch(d->reader, d->number, &d->batch, e);
    if (rc == 0)
        rc = reader_nodes(d->reader, d->number, &d->nodes, e);
    if (rc == 0)
        rc = reader_executions(d->reader, d->number, s->filter ? s->filter : &any, s->sort,
                               s->reverse, s->offset, s->limit ? s->limit : SIZE_MAX, &d->rows,
                               &d->n_rows, NULL, e);
    if (rc == 0)
        rc = reader_notes(d->reader, NULL, d->number, &d->notes, &d->n_notes, e);
    return rc;
}

static int document_open(struct document *d, struct service *s, int64_t number, int fd,
                         const struct selection *what, struct err *e)
{
    memset(d, 0, sizeof *d);
    d->number = number;
    out_init(&d->out, fd);
    d->reader = reader_open(s->db_path, e);
    if (!d->reader || reader_begin_snapshot(d->reader, e) != 0)
        return -ERR_STORE;
    int rc = read_rows(d, what, e);
    reader_end_snapshot(d->reader);
    return rc;
}

/* An ended batch can be deleted while its outputs are read: a document without them is not one. */
static int still_there(struct document *d, struct err *e)
{
    struct batch b;
    int rc = reader_batch(d->reader, d->number, &b, e);
    if (rc != 0) {
        err_prefix(e, "the document is not whole: ");
        return rc;
    }
    batch_clear(&b);
    return 0;
}

static int document_close(struct document *d, int rc, struct err *e)
{
    if (rc == 0)
        rc = still_there(d, e);
    if (rc == 0)
        rc = out_flush(&d->out, e);
    out_free(&d->out);
    executions_free(d->rows, d->n_rows);
    notes_free(d->notes, d->n_notes);
    strv_clear(&d->nodes);
    reader_close(d->reader);
    batch_clear(&d->batch);
    return rc;
}

/* --- JSON --- */

static void put_json(struct document *d, struct json *j)
{
    size_t n;
    const char *text = json_text(j, &n);
    out_add(&d->out, text, n);
}

static int put_streams(struct document *d, const int64_t out_id[2], struct err *e)
{
    int rc = out_json_stream(&d->out, d->reader, "stdout", out_id[0], e);
    return rc == 0 ? out_json_stream(&d->out, d->reader, "stderr", out_id[1], e) : rc;
}

static int put_step(struct document *d, const struct step_run *s, struct err *e)
{
    const struct strv *titles = &d->batch.step_titles;
    struct json *j = doc_step(s, s->step <= titles->n ? titles->v[s->step - 1] : NULL, NULL);
    size_t n;
    const char *text = json_text(j, &n);
    out_add(&d->out, text, n - 1);
    int rc = put_streams(d, s->out_id, e);
    out_adds(&d->out, "}");
    json_free(j);
    return rc;
}

/* ,"steps":[...] of a plan. They are read here, not with the rows: all of 10,000 nodes may be two
 * million. So those of a node that still runs may be further than its row. */
static int put_steps(struct document *d, const struct execution *x, struct err *e)
{
    struct step_run *steps;
    size_t n;
    if (!d->batch.n_steps)
        return 0;
    int rc = reader_steps(d->reader, d->number, x->position, &steps, &n, e);
    if (rc != 0)
        return rc;
    out_adds(&d->out, ",\"steps\":[");
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (i > 0)
            out_adds(&d->out, ",");
        rc = put_step(d, &steps[i], e);
    }
    out_adds(&d->out, "]");
    step_runs_free(steps, n);
    return rc;
}

/* The execution's object, with the streams put in before its last two braces: `result` is its last
 * member; and a plan's steps after it. */
static int put_execution(struct document *d, const struct execution *x, struct err *e)
{
    struct json *j = doc_execution(d->batch.id, x, NULL);
    size_t n;
    const char *text = json_text(j, &n);
    int rc = 0;
    if (exec_is_final(x->status) && n > 2 && memcmp(text + n - 2, "}}", 2) == 0) {
        out_add(&d->out, text, n - 2);
        rc = put_streams(d, x->out_id, e);
        out_adds(&d->out, "}");
    } else {
        out_add(&d->out, text, n - 1);
    }
    if (rc == 0)
        rc = put_steps(d, x, e);
    out_adds(&d->out, "}");
    json_free(j);
    return rc;
}

int execution_write(struct reader *r, const char *batch_id, const struct execution *x, int fd,
                    struct err *e)
{
    struct document d = {.reader = r, .number = x->batch};
    int rc = 0;
    if (x->step) /* its plan's titles */
        rc = reader_batch(r, x->batch, &d.batch, e);
    else
        snprintf(d.batch.id, sizeof d.batch.id, "%s", batch_id);
    if (rc != 0)
        return rc;
    out_init(&d.out, fd);
    rc = put_execution(&d, x, e);
    out_adds(&d.out, "\n");
    if (rc == 0)
        rc = out_flush(&d.out, e);
    out_free(&d.out);
    batch_clear(&d.batch);
    return rc;
}

typedef int put_fn(struct document *d, const struct execution *x, struct err *e);

/* Calls put for each row, with a separator between. */
static int each_execution(struct document *d, const char *separator, put_fn *put, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; i < d->n_rows && rc == 0 && !out_failed(&d->out); i++) {
        if (i > 0)
            out_adds(&d->out, separator);
        rc = put(d, &d->rows[i], e);
    }
    return rc;
}

static void put_batch(struct document *d)
{
    struct json *b = doc_batch(&d->batch, (const char *const *) d->nodes.v, d->nodes.n);
    out_adds(&d->out, "\"batch\":");
    put_json(d, b);
    json_free(b);
    struct json *notes = json_array();
    for (size_t i = 0; i < d->n_notes; i++)
        json_add(notes, doc_note(d->notes[i].text, d->notes[i].user_id, d->notes[i].written_ms));
    out_adds(&d->out, ",\"notes\":");
    put_json(d, notes);
    json_free(notes);
}

int batch_status_write(struct service *s, int64_t number, const struct exec_filter *f, int sort,
                       bool reverse, size_t offset, size_t limit,
                       const struct batch_created *created, int fd, struct err *e)
{
    const struct selection what = {f, sort, reverse, offset, limit};
    struct document d;
    int rc = document_open(&d, s, number, fd, &what, e);
    if (rc != 0)
        return document_close(&d, rc, e);
    out_adds(&d.out, "{");
    if (created) {
        struct json *o = json_object();
        batch_created_members(created, o);
        size_t n;
        const char *text = json_text(o, &n);
        out_add(&d.out, text + 1, n - 2); /* its members, without the braces */
        out_adds(&d.out, ",");
        json_free(o);
    }
    put_batch(&d);
    out_adds(&d.out, ",\"executions\":[");
    rc = each_execution(&d, ",", put_execution, e);
    out_addf(&d.out, "],\"progress\":%u}\n", batch_progress(&d.batch.stats));
    return document_close(&d, rc, e);
}

static int write_json(struct document *d, struct err *e)
{
    char now[32];
    out_adds(&d->out, "{");
    put_batch(d);
    out_adds(&d->out, ",\"executions\":[");
    int rc = each_execution(d, ",", put_execution, e);
    out_addf(&d->out, "],\"exportedAt\":\"%s\"}\n",
             clock_iso8601(wall_ms(clock_system()), now));
    return rc;
}

/* --- CSV --- */

static int csv_stream(struct document *d, const struct execution *x, int i, char **p, size_t *n,
                      struct err *e)
{
    if (x->out_size[i] <= CSV_STREAM_MAX)
        return reader_output_all(d->reader, x->out_id[i], CSV_STREAM_MAX, p, n, e);
    char *part = NULL;
    int rc = reader_output_all(d->reader, x->out_id[i], CSV_STREAM_MAX, &part, n, e);
    if (rc != 0)
        return rc;
    struct strbuf b;
    char size[24];
    strbuf_init(&b, 0);
    strbuf_add(&b, part, *n);
    strbuf_addf(&b, "\n[cut here: %s in all; the JSON export has the whole]",
                text_size(x->out_size[i], size));
    free(part);
    *n = b.len;
    *p = strbuf_steal(&b);
    return 0;
}

static int put_csv_row(struct document *d, const struct execution *x, const char *step, struct err *e)
{
    CLEANUP_FREE char *out = NULL;
    CLEANUP_FREE char *errs = NULL;
    struct doc_output o = {{NULL, NULL}, {0, 0}};
    int rc = csv_stream(d, x, 0, &out, &o.len[0], e);
    if (rc == 0)
        rc = csv_stream(d, x, 1, &errs, &o.len[1], e);
    if (rc != 0)
        return rc;
    o.data[0] = out;
    o.data[1] = errs;
    struct strbuf row;
    strbuf_init(&row, 0);
    doc_csv_row(&row, x, &o, step);
    out_add(&d->out, row.s, row.len);
    strbuf_free(&row);
    return 0;
}

static int put_csv_step(struct document *d, const struct execution *of, const struct step_run *s,
                        struct err *e)
{
    const struct strv *titles = &d->batch.step_titles;
    CLEANUP_FREE char *step =
        x_asprintf("%u %s", s->step, s->step && s->step <= titles->n ? titles->v[s->step - 1] : "");
    struct execution x = {.node = of->node,
                          .status = s->status,
                          .reason = s->reason,
                          .error = s->error,
                          .started_ms = s->started_ms,
                          .completed_ms = s->completed_ms,
                          .duration_ms = s->duration_ms,
                          .exit_code = s->exit_code};
    for (int i = 0; i < 2; i++) {
        x.out_id[i] = s->out_id[i];
        x.out_size[i] = s->out_size[i];
    }
    return put_csv_row(d, &x, step, e);
}

/* Of a plan the node's row, and one for each of its steps. */
static int put_csv(struct document *d, const struct execution *x, struct err *e)
{
    struct step_run *steps = NULL;
    size_t n = 0;
    int rc = put_csv_row(d, x, d->batch.n_steps ? "" : NULL, e);
    if (rc == 0 && d->batch.n_steps)
        rc = reader_steps(d->reader, d->number, x->position, &steps, &n, e);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = put_csv_step(d, x, &steps[i], e);
    step_runs_free(steps, n);
    return rc;
}

static int write_csv(struct document *d, struct err *e)
{
    struct strbuf head;
    strbuf_init(&head, 0);
    doc_csv_header(&head, d->batch.n_steps > 0);
    out_add(&d->out, head.s, head.len);
    strbuf_free(&head);
    return each_execution(d, "", put_csv, e);
}

/* --- export --- */

char *batch_export_name(int64_t number, enum export_format format)
{
    return x_asprintf("batch-%lld-results.%s", (long long) number,
                      format == EXPORT_CSV ? "csv" : "json");
}

static int write_to(struct service *s, int64_t number, enum export_format format,
                    const struct exec_filter *f, int fd, struct err *e)
{
    const struct selection what = {.filter = f, .sort = SORT_NAME};
    struct document d;
    int rc = document_open(&d, s, number, fd, &what, e);
    if (rc == 0)
        rc = format == EXPORT_CSV ? write_csv(&d, e) : write_json(&d, e);
    return document_close(&d, rc, e);
}

/* A pipe, a device: it is written into, never replaced. */
static int write_special(struct service *s, int64_t number, enum export_format format,
                         const struct exec_filter *f, const char *path, struct err *e)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return err_set(e, ERR_VALIDATION, "cannot write %s: %s", path, strerror(errno));
    int rc = write_to(s, number, format, f, fd, e);
    close(fd);
    return rc;
}

int batch_export(struct service *s, int64_t number, enum export_format format,
                 const struct exec_filter *f, const char *path, int fd, struct err *e)
{
    if (!path)
        return write_to(s, number, format, f, fd, e);
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return write_special(s, number, format, f, path, e);
    CLEANUP_FREE char *tmp = x_asprintf("%s.XXXXXX", path);
    int tmp_fd = mkostemp(tmp, O_CLOEXEC);
    if (tmp_fd < 0)
        return err_set(e, ERR_VALIDATION, "cannot write %s: %s", path, strerror(errno));
    int rc = write_to(s, number, format, f, tmp_fd, e);
    if (rc == 0 && (fsync(tmp_fd) != 0 || rename(tmp, path) != 0))
        rc = err_set(e, ERR_VALIDATION, "cannot write %s: %s", path, strerror(errno));
    close(tmp_fd);
    if (rc != 0)
        unlink(tmp);
    return rc;
}
