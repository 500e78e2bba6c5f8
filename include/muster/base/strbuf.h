/* SPDX-License-Identifier: Apache-2.0 */
/* A growing byte buffer with a maximum. Always NUL-terminated (the NUL is not counted in len), may
 * hold NULs. What would pass the maximum is dropped and `truncated` is set. Not shared between
 * threads. */
#ifndef MUSTER_BASE_STRBUF_H
#define MUSTER_BASE_STRBUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct strbuf {
    char *s; /* never NULL after strbuf_init */
    size_t len, cap;
    size_t max; /* largest len */
    bool truncated;
};

#define STRBUF_MAX_DEFAULT ((size_t) 64 << 20)

void strbuf_init(struct strbuf *b, size_t max); /* max 0: STRBUF_MAX_DEFAULT */
void strbuf_free(struct strbuf *b);             /* may be called twice */
void strbuf_reset(struct strbuf *b);            /* empties, keeps the memory */
char *strbuf_steal(struct strbuf *b);           /* caller frees; the buffer is empty after */
void strbuf_add(struct strbuf *b, const void *p, size_t n);
void strbuf_adds(struct strbuf *b, const char *s);
void strbuf_addch(struct strbuf *b, char c);
void strbuf_addf(struct strbuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void strbuf_vaddf(struct strbuf *b, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
void strbuf_consume(struct strbuf *b, size_t n); /* drops the first n bytes */

#endif
