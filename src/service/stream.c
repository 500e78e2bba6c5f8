/* SPDX-License-Identifier: Apache-2.0 */
/* Writing large documents without holding them: a buffer in front of a descriptor, and a stored output
 * as a JSON string in two passes (is it UTF-8? then escape or encode). */
#include "stream.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/hash.h"
#include "muster/base/io.h"
#include "muster/base/text.h"
#include "muster/core/json.h"
#include "muster/store/reader.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define OUT_BUFFER ((size_t) 64 << 10)

void out_init(struct out *o, int fd)
{
    o->fd = fd;
    o->sys_errno = 0;
    strbuf_init(&o->buf, 0);
}

void out_free(struct out *o)
{
    strbuf_free(&o->buf);
}

static void drain(struct out *o)
{
    if (o->sys_errno == 0) {
        int rc = io_write_all(o->fd, o->buf.s, o->buf.len);
        if (rc != 0)
            o->sys_errno = -rc;
    }
    strbuf_reset(&o->buf);
}

void out_add(struct out *o, const char *p, size_t n)
{
    while (n) {
        size_t part = n < OUT_BUFFER ? n : OUT_BUFFER;
        strbuf_add(&o->buf, p, part);
        if (o->buf.len >= OUT_BUFFER)
            drain(o);
        p += part;
        n -= part;
    }
}

void out_adds(struct out *o, const char *s)
{
    out_add(o, s, strlen(s));
}

void out_addf(struct out *o, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    CLEANUP_FREE char *s = x_vasprintf(fmt, ap);
    va_end(ap);
    out_adds(o, s);
}

bool out_failed(const struct out *o)
{
    return o->sys_errno != 0;
}

int out_flush(struct out *o, struct err *e)
{
    drain(o);
    /* A reader that has seen enough (`| head`) is no error. */
    if (o->sys_errno == 0 || o->sys_errno == EPIPE)
        return 0;
    return err_set(e, ERR_INTERNAL, "cannot write the document: %s", strerror(o->sys_errno));
}

/* --- is it UTF-8? --- */

/* A sequence may lie across two pieces: its beginning is kept until the next. */
struct utf8_check {
    char rest[4];
    size_t n_rest;
    bool valid;
};

/* How many bytes a sequence that starts with this byte has; 0 when none starts so. */
static size_t sequence_length(unsigned char c)
{
    return c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 0;
}

static bool check_piece(void *ctx, const void *data, size_t n)
{
    struct utf8_check *u = ctx;
    const char *p = data;
    size_t i = 0;
    while (i < n && u->valid) {
        if (u->n_rest == 0 && (signed char) p[i] > 0) {
            i++;
            continue;
        }
        u->rest[u->n_rest++] = p[i++];
        size_t need = sequence_length((unsigned char) u->rest[0]);
        uint32_t cp;
        if (need == 0 || (u->n_rest == need && utf8_decode(u->rest, need, &cp) != need))
            u->valid = false;
        else if (u->n_rest == need)
            u->n_rest = 0;
    }
    return u->valid;
}

/* --- escaping and encoding --- */

/* A character may lie across two pieces, as above. */
struct escaper {
    struct out *out;
    char rest[4];
    size_t n_rest;
};

static void escape_ascii(struct out *o, char c)
{
    char buf[13];
    switch (c) {
    case '"':
        out_adds(o, "\\\"");
        break;
    case '\\':
        out_adds(o, "\\\\");
        break;
    case '\n':
        out_adds(o, "\\n");
        break;
    case '\t':
        out_adds(o, "\\t");
        break;
    case '\r':
        out_adds(o, "\\r");
        break;
    default:
        out_add(o, buf, json_escape((unsigned char) c, buf));
    }
}

static void escape_char(struct out *o, const char *s, size_t n)
{
    char buf[13];
    uint32_t cp = 0;
    utf8_decode(s, n, &cp);
    if (text_is_hidden(cp))
        out_add(o, buf, json_escape(cp, buf));
    else
        out_add(o, s, n);
}

static bool is_plain(char c)
{
    return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

/* The text is UTF-8: check_piece has seen it. */
static bool escape_piece(void *ctx, const void *data, size_t n)
{
    struct escaper *c = ctx;
    const char *p = data;
    for (size_t i = 0; i < n;) {
        size_t run = i;
        while (i < n && c->n_rest == 0 && is_plain(p[i]))
            i++;
        out_add(c->out, p + run, i - run);
        if (i == n)
            break;
        if (c->n_rest == 0 && (signed char) p[i] >= 0) {
            escape_ascii(c->out, p[i++]);
            continue;
        }
        c->rest[c->n_rest++] = p[i++];
        if (c->n_rest < sequence_length((unsigned char) c->rest[0]))
            continue;
        escape_char(c->out, c->rest, c->n_rest);
        c->n_rest = 0;
    }
    return !out_failed(c->out);
}

/* Base64 takes three bytes at a time: one or two may wait for the next piece. */
struct encoder {
    struct out *out;
    char rest[3];
    size_t n_rest;
};

static void encode(struct encoder *c, const char *p, size_t n)
{
    CLEANUP_FREE char *text = base64_encode(p, n);
    out_adds(c->out, text);
}

static bool encode_piece(void *ctx, const void *data, size_t n)
{
    struct encoder *c = ctx;
    const char *p = data;
    while (c->n_rest && c->n_rest < 3 && n) {
        c->rest[c->n_rest++] = *p++;
        n--;
    }
    if (c->n_rest == 3) {
        encode(c, c->rest, 3);
        c->n_rest = 0;
    }
    if (c->n_rest == 0) {
        size_t whole = n / 3 * 3;
        if (whole)
            encode(c, p, whole);
        c->n_rest = n - whole;
        memcpy(c->rest, p + whole, c->n_rest);
    }
    return !out_failed(c->out);
}

int out_json_stream(struct out *o, struct reader *r, const char *name, int64_t id,
                    struct err *e)
{
    struct utf8_check u = {.valid = true};
    int rc = reader_output(r, id, 0, UINT64_MAX, check_piece, &u, e);
    if (rc != 0)
        return rc;
    bool text = u.valid && u.n_rest == 0;
    out_addf(o, ",\"%s\":\"", name);
    if (text) {
        struct escaper c = {.out = o};
        rc = reader_output(r, id, 0, UINT64_MAX, escape_piece, &c, e);
    } else {
        struct encoder c = {.out = o};
        rc = reader_output(r, id, 0, UINT64_MAX, encode_piece, &c, e);
        if (c.n_rest)
            encode(&c, c.rest, c.n_rest);
    }
    out_adds(o, "\"");
    if (!text)
        out_addf(o, ",\"%sEncoding\":\"base64\"", name);
    return rc;
}
