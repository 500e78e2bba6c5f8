/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation that aborts instead of returning NULL. */
#include "muster/base/alloc.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void __attribute__((noreturn)) out_of_memory(void)
{
    static const char text[] = "muster: out of memory\n";

    /* write(2), as stdio may allocate. */
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        abort();
    abort();
}

void *x_malloc(size_t size)
{
    void *p = malloc(size ? size : 1);

    if (!p)
        out_of_memory();
    return p;
}

void *x_calloc(size_t n, size_t size)
{
    void *p = n && size ? calloc(n, size) : calloc(1, 1);

    if (!p)
        out_of_memory();
    return p;
}

void *x_realloc(void *p, size_t size)
{
    void *q = realloc(p, size ? size : 1);

    if (!q)
        out_of_memory();
    return q;
}

void *x_array(void *p, size_t n, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(n, size, &bytes))
        out_of_memory();
    return x_realloc(p, bytes);
}

char *x_strdup(const char *s)
{
    return s ? x_memdup(s, strlen(s)) : NULL;
}

char *x_strndup(const char *s, size_t n)
{
    return x_memdup(s, strnlen(s, n));
}

void *x_memdup(const void *p, size_t n)
{
    char *copy;

    if (n == SIZE_MAX)
        out_of_memory();
    copy = x_malloc(n + 1);
    if (n)
        memcpy(copy, p, n);
    copy[n] = '\0';
    return copy;
}

char *x_asprintf(const char *fmt, ...)
{
    va_list ap;
    char *s;

    va_start(ap, fmt);
    s = x_vasprintf(fmt, ap);
    va_end(ap);
    return s;
}

char *x_vasprintf(const char *fmt, va_list ap)
{
    char *s;

    if (vasprintf(&s, fmt, ap) < 0)
        out_of_memory();
    return s;
}
