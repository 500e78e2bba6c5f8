/* SPDX-License-Identifier: Apache-2.0 */
/* A growing byte buffer with a maximum. */
#include "muster/base/strbuf.h"

#include "muster/base/alloc.h"

#include <stdio.h>
#include <string.h>

/* What an empty buffer points at until it first grows, so that a buffer that is never used costs
 * nothing; cap 0 says that s must not be written. */
static const char nothing[1] = "";

static void point_at_nothing(struct strbuf *b)
{
    b->s = (char *) nothing;
    b->len = b->cap = 0;
    b->truncated = false;
}

void strbuf_init(struct strbuf *b, size_t max)
{
    b->max = max ? max : STRBUF_MAX_DEFAULT;
    point_at_nothing(b);
}

void strbuf_free(struct strbuf *b)
{
    if (b->cap)
        free(b->s);
    point_at_nothing(b);
}

void strbuf_reset(struct strbuf *b)
{
    b->len = 0;
    b->truncated = false;
    if (b->cap)
        b->s[0] = '\0';
}

char *strbuf_steal(struct strbuf *b)
{
    char *s = b->cap ? b->s : x_strdup("");

    point_at_nothing(b);
    return s;
}

/* Makes room for n more bytes and the NUL; returns how many of them fit below the maximum. */
static size_t make_room(struct strbuf *b, size_t n)
{
    if (n > b->max - b->len) {
        n = b->max - b->len;
        b->truncated = true;
    }
    if (b->len + n + 1 > b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 32;

        if (cap < b->len + n + 1)
            cap = b->len + n + 1;
        b->s = x_realloc(b->cap ? b->s : NULL, cap);
        b->cap = cap;
    }
    return n;
}

void strbuf_add(struct strbuf *b, const void *p, size_t n)
{
    if (!n)
        return;
    n = make_room(b, n);
    memcpy(b->s + b->len, p, n);
    b->len += n;
    b->s[b->len] = '\0';
}

void strbuf_adds(struct strbuf *b, const char *s)
{
    strbuf_add(b, s, strlen(s));
}

void strbuf_addch(struct strbuf *b, char c)
{
    strbuf_add(b, &c, 1);
}

void strbuf_addf(struct strbuf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    strbuf_vaddf(b, fmt, ap);
    va_end(ap);
}

void strbuf_vaddf(struct strbuf *b, const char *fmt, va_list ap)
{
    char small[256];
    va_list again;
    int n;

    va_copy(again, ap);
    n = vsnprintf(small, sizeof small, fmt, ap);
    if (n >= 0 && (size_t) n < sizeof small) {
        strbuf_add(b, small, (size_t) n);
    } else if (n >= 0) {
        char *large = x_vasprintf(fmt, again);

        strbuf_add(b, large, (size_t) n);
        free(large);
    }
    va_end(again);
}

void strbuf_consume(struct strbuf *b, size_t n)
{
    if (n >= b->len) {
        b->len = 0;
    } else {
        memmove(b->s, b->s + n, b->len - n);
        b->len -= n;
    }
    if (b->cap)
        b->s[b->len] = '\0';
}
