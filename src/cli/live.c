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

struct live {
    uint64_t (*offset)[2]; /* by position in the batch */
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
    free(l->offset);
    free(l);
}

static void make_room(struct live *l, size_t position)
{
    size_t old = l->cap;
    X_GROW(l->offset, l->cap, position + 1);
    if (l->cap > old)
        memset(l->offset + old, 0, (l->cap - old) * sizeof *l->offset);
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

/* *more: there was something, so there may be more. */
static int print_new(struct live *l, struct printer *p, const struct execution *x, int i,
                     bool *more, struct err *e)
{
    CLEANUP_FREE char *name = text_clean(x->node);
    struct tail t = {.label = p->label ? name : NULL};
    strbuf_init(&t.buf, 0);
    strbuf_init(&t.line, 0);
    uint64_t *offset = &l->offset[x->position][i];
    int rc = reader_output(p->reader, x->out_id[i], *offset, UINT64_MAX, tail_piece, &t, e);
    bool end = exec_is_final(x->status) && !t.stopped;
    if (t.line.len && (end || t.line.len > LINE_MAX_HELD)) {
        put_line(&t, t.line.s, t.line.len);
        strbuf_addch(&t.buf, '\n');
    }
    *offset += t.taken;
    *more = t.taken != 0;
    print_text(p, i == STREAM_STDOUT ? STDOUT_FILENO : STDERR_FILENO, t.buf.s, t.buf.len);
    strbuf_free(&t.buf);
    strbuf_free(&t.line);
    return rc;
}

int live_print(struct live *l, struct printer *p, const struct execution *x, struct err *e)
{
    make_room(l, x->position);
    int rc = 0;
    for (int i = 0; i < 2 && rc == 0; i++) {
        bool more = x->out_id[i] != 0;
        while (more && rc == 0) {
            rc = print_new(l, p, x, i, &more, e);
            more = more && exec_is_final(x->status);
        }
    }
    return rc;
}
