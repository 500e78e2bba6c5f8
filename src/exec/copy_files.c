/* SPDX-License-Identifier: Apache-2.0 */
/* The list of what a batch copies (muster/exec/copy.h): a counted thing that a batch's nodes share. */
#include "muster/exec/copy.h"

#include "muster/base/alloc.h"

#include <string.h>

struct copy_files *copy_files_new(bool pull, const char *remote)
{
    struct copy_files *f = x_calloc(1, sizeof *f);

    f->refs = 1;
    f->pull = pull;
    f->remote = x_strdup(remote);
    return f;
}

struct copy_part *copy_files_add(struct copy_files *f, enum copy_part_kind kind, const char *path)
{
    X_GROW(f->v, f->cap, f->n + 1);

    struct copy_part *p = &f->v[f->n++];

    memset(p, 0, sizeof *p);
    p->kind = kind;
    p->path = x_strdup(path);
    return p;
}

struct copy_files *copy_files_ref(const struct copy_files *f)
{
    struct copy_files *own = (struct copy_files *) f;

    if (own)
        __atomic_add_fetch(&own->refs, 1, __ATOMIC_RELAXED);
    return own;
}

void copy_files_unref(struct copy_files *f)
{
    if (!f || __atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < f->n; i++) {
        free(f->v[i].path);
        free(f->v[i].link);
    }
    free(f->v);
    free(f->remote);
    free(f->name);
    free(f->text);
    free(f);
}
