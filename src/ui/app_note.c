/* SPDX-License-Identifier: Apache-2.0 */
/* Notes on nodes and batches, and saved selections. */
#include "app_private.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/fleet.h"
#include "muster/core/nodeset.h"

#include <string.h>

/* --- notes --- */

static void note_given(struct app *a, const char *text)
{
    const char *node = a->priv->note_node;
    struct err e = ERR_INIT;
    if (!text || !*text) {
        app_toast(a, "no note was written");
        return;
    }
    if (service_note(a->service, node, node ? 0 : a->priv->ask_number, text, &e) == 0)
        app_toast(a, "the note is kept");
    else
        app_toast_err(a, &e);
    err_clear(&e);
    a->data_generation++; /* whoever shows notes reads them again */
    app_stale_all(a);
}

void app_note(struct app *a, const char *node, int64_t number)
{
    CLEANUP_FREE char *name = text_clean(node);
    CLEANUP_FREE char *text = node ? x_asprintf("Note on %s:", name)
                                   : x_asprintf("Note on #%lld:", (long long) number);
    char *copy = node ? x_strdup(node) : NULL;
    free(a->priv->note_node);
    a->priv->note_node = copy;
    a->priv->ask_number = number;
    app_ask(a, text, "", note_given);
}

/* --- saved selections --- */

/* "@web,n1,n[7-9]": the groups that were picked whole, and the nodes besides; caller frees. */
static char *selection_text(const struct app *a)
{
    const struct fleet *f = a->fleet;
    struct nodeset *rest = nodeset_new(), *covered = nodeset_new();
    struct strbuf b;
    strbuf_init(&b, 0);
    for (size_t i = 0; i < nodeset_count(a->sel.groups); i++) {
        const char *name = nodeset_at(a->sel.groups, i);
        for (size_t g = 0; f && g < f->n_groups; g++) {
            if (strcmp(f->groups[g].name, name) != 0)
                continue;
            for (size_t k = 0; k < f->groups[g].n_all; k++)
                nodeset_add(covered, f->nodes[f->groups[g].all[k]].name);
            strbuf_addf(&b, "%s@%s", b.len ? "," : "", name);
        }
    }
    for (size_t i = 0; i < nodeset_count(a->sel.nodes); i++)
        if (!nodeset_has(covered, nodeset_at(a->sel.nodes, i)))
            nodeset_add(rest, nodeset_at(a->sel.nodes, i));
    if (nodeset_count(rest) > 0) {
        strbuf_adds(&b, b.len ? "," : "");
        nodeset_fold(&b, rest, 0);
    }
    nodeset_free(rest);
    nodeset_free(covered);
    return strbuf_steal(&b);
}

static void name_given(struct app *a, const char *name)
{
    struct err e = ERR_INIT;
    char n[32];
    if (!name || !*name) {
        app_toast(a, "nothing was saved");
        return;
    }
    CLEANUP_FREE char *targets = selection_text(a);
    if (service_save_targets(a->service, name, targets, &e) == 0)
        app_toast(a, "%s saved as %s (' recalls, @saved:%s names them)",
                  text_count(selection_count(&a->sel), n), name, name);
    else
        app_toast_err(a, &e);
    err_clear(&e);
}

void app_save_selection(struct app *a)
{
    if (selection_count(&a->sel) == 0)
        app_toast(a, "nothing is selected: Space picks a node or a group");
    else
        app_ask(a, "Save the selection as:", "", name_given);
}

void app_recall_selection(struct app *a)
{
    app_pick(a, PICK_SAVED);
}
