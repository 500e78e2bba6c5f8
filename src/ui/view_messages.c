/* SPDX-License-Identifier: Apache-2.0 */
/* The messages so far, newest first; what was said more than once is one line, with how often. */
#include "text_view.h"

#include "muster/ui/app.h"

#include <string.h>

/* Without the time of day that it begins with. */
static const char *said(const char *message)
{
    const char *space = strchr(message, ' ');

    return space ? space + 1 : message;
}

/* How many of the messages from the i-th newest on say the same; 0 when a newer one does too. */
static size_t repeats(const struct app *a, size_t i)
{
    const char *m, *text = said(app_message(a, i));
    size_t n = 0;

    for (size_t j = 0; (m = app_message(a, j)) != NULL; j++) {
        if (strcmp(said(m), text) != 0)
            continue;
        if (j < i)
            return 0;
        n++;
    }
    return n;
}

static void load(struct view *v, int w, int h)
{
    struct text_view *t = (struct text_view *) v;
    const char *m;

    text_view_reset(t);
    for (size_t i = 0; (m = app_message(v->app, i)) != NULL; i++) {
        size_t n = repeats(v->app, i);
        int clock = (int) (said(m) - m);
        if (n > 1)
            text_view_add(t, ROLE_NORMAL, "%.*s(%zu times) %s", clock, m, n, said(m));
        else if (n == 1)
            text_view_add(t, ROLE_NORMAL, "%s", m);
    }
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
