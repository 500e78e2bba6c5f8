/* SPDX-License-Identifier: Apache-2.0 */
/* Locked memory for passwords: one mapping each, since the kernel locks whole pages. */
#include "muster/base/secret.h"

#include "muster/base/alloc.h"

#include <string.h>
#include <sys/mman.h>

struct secret {
    int refs; /* atomic */
    size_t len;
    char text[SECRET_MAX + 1];
};

void secret_wipe(void *p, size_t n)
{
    if (n)
        explicit_bzero(p, n);
}

struct secret *secret_new(const void *p, size_t n)
{
    struct secret *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                            -1, 0);

    if (s == MAP_FAILED)
        abort(); /* out of memory, as in alloc.c */
    (void) mlock(s, sizeof *s);
    madvise(s, sizeof *s, MADV_DONTDUMP);
    s->refs = 1;
    s->len = n < SECRET_MAX ? n : SECRET_MAX;
    if (s->len)
        memcpy(s->text, p, s->len);
    return s;
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
    secret_wipe(s, sizeof *s);
    munmap(s, sizeof *s);
}

const char *secret_text(const struct secret *s)
{
    return s->text;
}

size_t secret_len(const struct secret *s)
{
    return s->len;
}
