/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation that never returns NULL: muster aborts when memory is out, because every size that
 * a remote host or a file can influence has a cap, so running out is a broken machine and not an
 * input error. Any thread may call these. */
#ifndef MUSTER_BASE_ALLOC_H
#define MUSTER_BASE_ALLOC_H

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

/* As malloc, calloc, realloc, strdup, strndup and memdup, but they abort() on failure.
 * x_array checks the multiplication. The caller owns the result and releases it with free(). */
void *x_malloc(size_t size);
void *x_calloc(size_t n, size_t size);
void *x_realloc(void *p, size_t size);
void *x_array(void *p, size_t n, size_t size);
char *x_strdup(const char *s);             /* s may be NULL: then NULL */
char *x_strndup(const char *s, size_t n);
void *x_memdup(const void *p, size_t n);   /* adds a NUL after the bytes */
char *x_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *x_vasprintf(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));

/* Grows an array of `cap` elements so that `need` fit (doubling). */
#define X_GROW(arr, cap, need)                                                                 \
    do {                                                                                       \
        if ((need) > (cap)) {                                                                  \
            size_t grow_ = (cap) ? (cap) * 2 : 8;                                              \
            while (grow_ < (need))                                                             \
                grow_ *= 2;                                                                    \
            (arr) = x_array((arr), grow_, sizeof *(arr));                                      \
            (cap) = grow_;                                                                     \
        }                                                                                      \
    } while (0)

/* Moves a pointer out of a variable, leaving NULL. */
#define X_STEAL(p)                                                                             \
    ({                                                                                         \
        __typeof__(p) steal_ = (p);                                                            \
        (p) = NULL;                                                                            \
        steal_;                                                                                \
    })

static inline void x_freep(void *p)
{
    free(*(void **) p);
}
#define CLEANUP_FREE __attribute__((cleanup(x_freep)))
#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof *(a))

#endif
