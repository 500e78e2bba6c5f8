/* SPDX-License-Identifier: Apache-2.0 */
/* The packets of sftp version 3. */
#include "ssh_sftp_wire.h"

#include <string.h>

#define ATTR_SIZE 1u
#define ATTR_OWNER 2u
#define ATTR_MODE 4u
#define ATTR_TIMES 8u
#define ATTR_EXTENDED 0x80000000u
#define EXTENDED_MOST 64 /* of one file; more is none of ours */

void wire_init(struct wire *w)
{
    memset(w, 0, sizeof *w);
    strbuf_init(&w->out, 0);
    strbuf_init(&w->in, 0);
}

void wire_clear(struct wire *w)
{
    strbuf_free(&w->out);
    strbuf_free(&w->in);
}

static void put_u32(char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (char) (v >> (24 - 8 * i));
}

uint32_t wire_begin(struct wire *w, enum fxp type)
{
    w->begun = w->out.len;
    wire_u32(w, 0);
    strbuf_addch(&w->out, (char) type);
    if (type == FXP_INIT)
        return 0;
    wire_u32(w, ++w->last_id);
    return w->last_id;
}

void wire_u32(struct wire *w, uint32_t v)
{
    char b[4];

    put_u32(b, v);
    strbuf_add(&w->out, b, sizeof b);
}

void wire_u64(struct wire *w, uint64_t v)
{
    wire_u32(w, (uint32_t) (v >> 32));
    wire_u32(w, (uint32_t) v);
}

void wire_bytes(struct wire *w, const void *p, size_t n)
{
    wire_u32(w, (uint32_t) n);
    strbuf_add(&w->out, p, n);
}

void wire_text(struct wire *w, const char *s)
{
    wire_bytes(w, s, strlen(s));
}

void wire_mode(struct wire *w, uint32_t mode)
{
    wire_u32(w, ATTR_MODE);
    wire_u32(w, mode);
}

void wire_times(struct wire *w, uint32_t mode, int64_t mtime)
{
    /* 32 bits in this version. */
    uint32_t t = mtime < 0 ? 0 : mtime > UINT32_MAX ? UINT32_MAX : (uint32_t) mtime;

    wire_u32(w, ATTR_MODE | ATTR_TIMES);
    wire_u32(w, mode);
    wire_u32(w, t);
    wire_u32(w, t);
}

void wire_end(struct wire *w)
{
    put_u32(w->out.s + w->begun, (uint32_t) (w->out.len - w->begun - 4));
}

uint32_t answer_u32(struct answer *a)
{
    uint32_t v = 0;

    if (a->bad || a->n < 4) {
        a->bad = true;
        return 0;
    }
    for (int i = 0; i < 4; i++)
        v = v << 8 | a->p[i];
    a->p += 4;
    a->n -= 4;
    return v;
}

uint64_t answer_u64(struct answer *a)
{
    uint64_t high = answer_u32(a);

    return high << 32 | answer_u32(a);
}

const char *answer_bytes(struct answer *a, size_t *n)
{
    size_t len = answer_u32(a);
    const char *p = (const char *) a->p;

    *n = 0;
    if (a->bad || len > a->n) {
        a->bad = true;
        return "";
    }
    a->p += len;
    a->n -= len;
    *n = len;
    return p;
}

void answer_attrs(struct answer *a, struct attrs *out)
{
    uint32_t flags = answer_u32(a);
    size_t len;

    memset(out, 0, sizeof *out);
    out->has_size = flags & ATTR_SIZE;
    if (out->has_size)
        out->size = answer_u64(a);
    if (flags & ATTR_OWNER)
        answer_u64(a);
    out->has_mode = flags & ATTR_MODE;
    if (out->has_mode)
        out->mode = answer_u32(a);
    if (flags & ATTR_TIMES) {
        answer_u32(a);
        out->mtime = answer_u32(a);
    }
    if (!(flags & ATTR_EXTENDED))
        return;

    uint32_t count = answer_u32(a);

    a->bad |= count > EXTENDED_MOST;
    for (uint32_t i = 0; i < 2 * count && !a->bad; i++)
        answer_bytes(a, &len);
}

bool wire_next(struct wire *w, struct answer *a, bool *bad)
{
    *bad = false;
    *a = (struct answer){.p = (const uint8_t *) w->in.s + w->in_at, .n = w->in.len - w->in_at};

    bool begun = a->n >= 4;
    size_t len = begun ? answer_u32(a) : 0;

    if (begun && (len > WIRE_PACKET_MAX || len < 5)) {
        *bad = true;
        return false;
    }
    if (!begun || a->n < len) {
        strbuf_consume(&w->in, w->in_at);
        w->in_at = 0;
        return false;
    }
    w->in_at += 4 + len;
    a->n = len - 1;
    a->type = (enum fxp) *a->p++;
    a->id = answer_u32(a); /* of VERSION it is the version */
    return true;
}
