/* SPDX-License-Identifier: Apache-2.0 */
/* Lines as they arrive, read from the store: an offset a stream is all that is kept. */
#include "live.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/store/reader.h"

#include <string.h>
#include <unistd.h>

/* A line longer than this is printed before its end has come. */
#define LINE_MAX_HELD ((size_t) 64 << 10)
/* What is printed of one stream before the others have their turn. */
#define TAIL_MAX ((size_t) 1 << 20)

/* How far one execution has been printed. */
struct place {
    unsigned step;      /* of a plan: the one that the offsets are in */
    bool told;          /* of a plan: what it returned is printed */
    uint64_t offset[2];
};
struct live {
    struct place *places; /* by position in the batch */
    size_t cap;
};

struct live *live_new(void)
{
    return x_calloc(1, sizeof(struct live));
}

void live_free(struct live *l)
{
    if (!l)
        return;
    free(l->places);
    free(l);
}

static void make_room(struct live *l, size_t position)
{
    size_t old = l->cap;
    X_GROW(l->places, l->cap, position + 1);
    if (l->cap > old)
        memset(l->places + old, 0, (l->cap - old) * sizeof *l->places);
}

struct tail {
    struct strbuf buf;   /* labelled lines, ready */
    struct strbuf line;  /* the unfinished one */
    const char *label;
    uint64_t taken;      /* bytes that went into buf */
    bool stopped;        /* there is more behind what was read */
};

static void put_line(struct tail *t, const char *s, size_t n)
{
    if (t->label)
        strbuf_addf(&t->buf, "%s: ", t->label);
    strbuf_add(&t->buf, s, n);
    t->taken += n;
}

static bool tail_piece(void *ctx, const void *data, size_t n)
{
    struct tail *t = ctx;
    strbuf_add(&t->line, data, n);
    size_t from = 0;
    for (char *nl; (nl = memchr(t->line.s + from, '\n', t->line.len - from)) != NULL;) {
        size_t len = (size_t) (nl - (t->line.s + from)) + 1;
        put_line(t, t->line.s + from, len);
        from += len;
    }
    strbuf_consume(&t->line, from);
    t->stopped = t->buf.len >= TAIL_MAX || t->line.len > LINE_MAX_HELD;
    return !t->stopped; /* the rest comes later */
}

/* One stream that grows, or has come to its end. */
struct source {
    const char *label; /* or NULL */
    int64_t id;        /* 0: it has none yet */
    int stream;
    bool final;
};

/* *more: there was something, so there may be more. */
static int print_new(struct printer *p, const struct source *s, uint64_t *offset, bool *more,
                     struct err *e)
{
    struct tail t = {.label = s->label};
    strbuf_init(&t.buf, 0);
    strbuf_init(&t.line, 0);
    int rc = reader_output(p->reader, s->id, *offset, UINT64_MAX, tail_piece, &t, e);
    bool end = s->final && !t.stopped;
    if (t.line.len && (end || t.line.len > LINE_MAX_HELD)) {
        put_line(&t, t.line.s, t.line.len);
        strbuf_addch(&t.buf, '\n');
    }
    *offset += t.taken;
    *more = t.taken != 0;
    print_text(p, s->stream == STREAM_STDOUT ? STDOUT_FILENO : STDERR_FILENO, t.buf.s, t.buf.len);
    strbuf_free(&t.buf);
    strbuf_free(&t.line);
    return rc;
}

static int print_streams(struct printer *p, const char *label, const int64_t id[2], bool final,
                         struct place *place, struct err *e)
{
    int rc = 0;
    for (int i = 0; i < 2 && rc == 0; i++) {
        const struct source s = {.label = label, .id = id[i], .stream = i, .final = final};
        bool more = s.id != 0;
        while (more && rc == 0) {
            rc = print_new(p, &s, &place->offset[i], &more, e);
            more = more && final;
        }
    }
    return rc;
}

/* Each step's outputs begin anew, and several steps may have passed since the last look. */
static int print_plan(struct printer *p, const char *label, const struct execution *x,
                      struct place *place, struct err *e)
{
    struct step_run *v;
    size_t n;
    bool final = exec_is_final(x->status);
    int rc = reader_steps(p->reader, p->number, x->position, &v, &n, e);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (v[i].step < place->step)
            continue;
        if (v[i].step > place->step)
            *place = (struct place){.step = v[i].step};
        rc = print_streams(p, label, v[i].out_id, exec_is_final(v[i].status), place, e);
    }
    /* What it returned is no step's. */
    const int64_t none[2] = {0, 0}, *last = n ? v[n - 1].out_id : none;
    if (rc == 0 && final && !place->told && (x->out_id[0] != last[0] || x->out_id[1] != last[1])) {
        *place = (struct place){.step = place->step};
        rc = print_streams(p, label, x->out_id, true, place, e);
    }
    place->told = place->told || final;
    step_runs_free(v, n);
    return rc;
}

int live_print(struct live *l, struct printer *p, const struct execution *x, struct err *e)
{
    make_room(l, x->position);
    CLEANUP_FREE char *name = text_clean(x->node);
    const char *label = p->label ? name : NULL;
    struct place *place = &l->places[x->position];
    if (p->steps.n)
        return print_plan(p, label, x, place, e);
    return print_streams(p, label, x->out_id, exec_is_final(x->status), place, e);
}
