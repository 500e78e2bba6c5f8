/* SPDX-License-Identifier: Apache-2.0 */
/* The SSH wire format (RFC 4251, section 5): a reader that cannot run past its end, and a writer
 * into a strbuf. Pure. */
#ifndef MUSTER_EXEC_SSH_WIRE_H
#define MUSTER_EXEC_SSH_WIRE_H

#include "muster/base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct wire {
    const uint8_t *p;
    size_t n;
    bool bad; /* something did not fit; everything read after that is empty */
};

static inline struct wire wire_of(const void *p, size_t n)
{
    return (struct wire) {p, n, false};
}

static inline const uint8_t *wire_bytes(struct wire *w, size_t n)
{
    const uint8_t *p = w->p;

    if (w->bad || n > w->n) {
        w->bad = true;
        w->n = 0;
        return NULL;
    }
    w->p += n;
    w->n -= n;
    return p;
}

static inline uint32_t wire_u32(struct wire *w)
{
    const uint8_t *p = wire_bytes(w, 4);

    if (!p)
        return 0;
    return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

static inline uint8_t wire_u8(struct wire *w)
{
    const uint8_t *p = wire_bytes(w, 1);

    return p ? *p : 0;
}

/* A string; NULL (and bad) when it is cut. The bytes stay in the buffer that is being read. */
static inline const uint8_t *wire_string(struct wire *w, size_t *len)
{
    *len = wire_u32(w);
    if (w->bad) {
        *len = 0;
        return NULL;
    }

    const uint8_t *p = wire_bytes(w, *len);

    if (!p)
        *len = 0;
    return p;
}

static inline bool wire_is(const uint8_t *p, size_t len, const char *text)
{
    return p && strlen(text) == len && memcmp(p, text, len) == 0;
}

static inline void wire_put_u32(struct strbuf *b, uint32_t v)
{
    const uint8_t s[4] = {(uint8_t) (v >> 24), (uint8_t) (v >> 16), (uint8_t) (v >> 8),
                          (uint8_t) v};

    strbuf_add(b, s, 4);
}

static inline void wire_put_string(struct strbuf *b, const void *p, size_t n)
{
    wire_put_u32(b, (uint32_t) n);
    strbuf_add(b, p, n);
}

/* An mpint from an unsigned big-endian number. */
static inline void wire_put_mpint(struct strbuf *b, const uint8_t *p, size_t n)
{
    while (n && *p == 0) {
        p++;
        n--;
    }

    bool pad = n && (*p & 0x80);

    wire_put_u32(b, (uint32_t) (n + pad));
    if (pad)
        strbuf_addch(b, 0);
    strbuf_add(b, p, n);
}

#endif
