/* SPDX-License-Identifier: Apache-2.0 */
/* Making and freeing views. */
#include "muster/ui/view.h"

#include "muster/base/alloc.h"

struct view *view_new(const struct view_ops *ops, struct app *app)
{
    struct view *v = x_calloc(1, ops->size);

    v->ops = ops;
    v->app = app;
    if (ops->init)
        ops->init(v);
    return v;
}

void view_free(struct view *v)
{
    if (!v)
        return;
    if (v->ops->fini)
        v->ops->fini(v);
    free(v);
}
