/* SPDX-License-Identifier: Apache-2.0 */
/* The help: every action with its keys, made from the table of actions; those of the focused pane
 * first. */
#include "text_view.h"

#include "muster/base/text.h"
#include "muster/ui/app.h"

#include <stdio.h>
#include <string.h>

static const struct {
    enum ctx ctx;
    const char *name;
} contexts[] = {
    {CTX_TARGETS, "Targets"}, {CTX_ACTION, "Action"},   {CTX_PROGRESS, "Progress"},
    {CTX_RESULTS, "Results"}, {CTX_HISTORY, "History"}, {CTX_TEXT, "Text (output, review, help)"},
};
#define N_CONTEXTS (sizeof contexts / sizeof *contexts)

static void add_context(struct text_view *t, const char *name, unsigned ctx)
{
    text_view_add(t, ROLE_TITLE, "%s", name);
    for (int a = 1; a < ACT_COUNT; a++) {
        const struct action_row *r = action_row((enum action) a);
        bool everywhere = r->contexts == CTX_ALL;
        if (ctx == CTX_ALL ? everywhere : !everywhere && (r->contexts & ctx))
            text_view_add(t, ROLE_NORMAL, "  %-10s %s", r->keys, r->help);
    }
    text_view_add(t, ROLE_NORMAL, "%s", "");
}

static void load(struct view *v, int w, int h)
{
    struct text_view *t = (struct text_view *) v;
    enum ctx here = v->app->panes[v->app->focus]->ops->ctx;

    if (t->n > 0)
        return;
    for (size_t i = 0; i < N_CONTEXTS; i++)
        if (contexts[i].ctx == here)
            add_context(t, contexts[i].name, here);
    add_context(t, "Everywhere", CTX_ALL);
    for (size_t i = 0; i < N_CONTEXTS; i++)
        if (contexts[i].ctx != here)
            add_context(t, contexts[i].name, contexts[i].ctx);
    text_view_add(t, ROLE_TITLE, "States");
    for (int s = 0; s < EXEC_STATUS_COUNT; s++)
        if (s != EXEC_FAILED)
            text_view_add(t, ROLE_NORMAL, "  %s %-8s %s", exec_status_glyph((enum exec_status) s),
                          exec_status_word((enum exec_status) s),
                          exec_status_name((enum exec_status) s));
    for (int r = 1; r < REASON_COUNT; r++)
        text_view_add(t, ROLE_NORMAL, "  %s %-8s %s", reason_glyph((enum reason) r),
                      reason_word((enum reason) r), reason_meaning((enum reason) r));
}

const struct view_ops view_help = {
    .title = "Help",
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
