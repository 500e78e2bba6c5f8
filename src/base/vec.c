/* SPDX-License-Identifier: Apache-2.0 */
/* A vector of owned strings. */
#include "muster/base/vec.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"

#include <string.h>

void strv_push(struct strv *v, const char *s)
{
    strv_push_own(v, x_strdup(s));
}

void strv_push_own(struct strv *v, char *s)
{
    X_GROW(v->v, v->cap, v->n + 2);
    v->v[v->n++] = s;
    v->v[v->n] = NULL;
}

void strv_copy(struct strv *dst, const struct strv *src)
{
    if (dst == src)
        return;
    strv_clear(dst);
    for (size_t i = 0; i < src->n; i++)
        strv_push(dst, src->v[i]);
}

bool strv_has(const struct strv *v, const char *s)
{
    for (size_t i = 0; i < v->n; i++) {
        if (!strcmp(v->v[i], s))
            return true;
    }
    return false;
}

char *strv_join(const struct strv *v, const char *sep)
{
    struct strbuf out;

    strbuf_init(&out, 0);
    for (size_t i = 0; i < v->n; i++) {
        if (i)
            strbuf_adds(&out, sep);
        strbuf_adds(&out, v->v[i]);
    }
    return strbuf_steal(&out);
}

void strv_clear(struct strv *v)
{
    for (size_t i = 0; i < v->n; i++)
        free(v->v[i]);
    free(v->v);
    *v = (struct strv) STRV_INIT;
}
