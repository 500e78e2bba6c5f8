/* SPDX-License-Identifier: Apache-2.0 */
/* The messages so far, newest first. */
#include "text_view.h"

#include "muster/ui/app.h"

static void load(struct view *v, int w, int h)
{
    struct text_view *t = (struct text_view *) v;
    const char *m;

    text_view_reset(t);
    for (size_t i = 0; (m = app_message(v->app, i)) != NULL; i++)
        text_view_add(t, ROLE_NORMAL, "%s", m);
    if (t->n == 0)
        text_view_add(t, ROLE_DIM, "No message yet: what the status row says is kept here.");
}

const struct view_ops view_messages = {
    .title = "Messages",
    .ctx = CTX_TEXT,
    .size = sizeof(struct text_view),
    .init = text_view_init,
    .fini = text_view_fini,
    .load = load,
    .draw = text_view_draw,
    .act = text_view_act,
    .key = text_view_key,
    .takes_text = text_view_takes_text,
};
