/* SPDX-License-Identifier: Apache-2.0 */
/* Locked memory for passwords: one mapping each, since the kernel locks whole pages. */
#include "muster/base/secret.h"

#include "muster/base/alloc.h"

#include <string.h>
#include <sys/mman.h>

struct secret {
    int refs; /* atomic */
    size_t len;
    char text[];
};

void secret_wipe(void *p, size_t n)
{
    if (n)
        explicit_bzero(p, n);
}

/* Of the mapping, with the NUL. */
static size_t size_of(size_t len)
{
    return sizeof(struct secret) + len + 1;
}

static struct secret *make(const void *p, size_t n)
{
    struct secret *s = mmap(NULL, size_of(n), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                            -1, 0);

    if (s == MAP_FAILED)
        abort(); /* out of memory, as in alloc.c */
    (void) mlock(s, size_of(n));
    madvise(s, size_of(n), MADV_DONTDUMP);
    s->refs = 1;
    s->len = n;
    if (n)
        memcpy(s->text, p, n);
    return s;
}

struct secret *secret_new(const void *p, size_t n)
{
    return make(p, n < SECRET_MAX ? n : SECRET_MAX);
}

struct secret *secret_new_large(const void *p, size_t n)
{
    return make(p, n < SECRET_LARGE_MAX ? n : SECRET_LARGE_MAX);
}

struct secret *secret_ref(struct secret *s)
{
    if (s)
        __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
    return s;
}

void secret_unref(struct secret *s)
{
    if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    size_t size = size_of(s->len);
    secret_wipe(s, size);
    munmap(s, size);
}

const char *secret_text(const struct secret *s)
{
    return s->text;
}

size_t secret_len(const struct secret *s)
{
    return s->len;
}
