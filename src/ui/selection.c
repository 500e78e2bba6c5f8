/* SPDX-License-Identifier: Apache-2.0 */
/* The selection and its undo. */
#include "muster/ui/selection.h"

#include "muster/core/fleet.h"
#include "muster/core/nodeset.h"

#include <string.h>

static struct nodeset *copy(const struct nodeset *from)
{
    struct nodeset *to = nodeset_new();

    nodeset_union(to, from);
    return to;
}

void selection_init(struct selection *s)
{
    memset(s, 0, sizeof *s);
    s->nodes = nodeset_new();
    s->groups = nodeset_new();
    s->generation = 1;
}

void selection_free(struct selection *s)
{
    nodeset_free(s->nodes);
    nodeset_free(s->groups);
    for (size_t i = 0; i < s->n_past; i++) {
        nodeset_free(s->past[i].nodes);
        nodeset_free(s->past[i].groups);
    }
    memset(s, 0, sizeof *s);
}

void selection_save(struct selection *s)
{
    if (s->n_past == SELECTION_UNDO_MAX) {
        nodeset_free(s->past[0].nodes);
        nodeset_free(s->past[0].groups);
        memmove(s->past, s->past + 1, (SELECTION_UNDO_MAX - 1) * sizeof *s->past);
        s->n_past--;
    }
    s->past[s->n_past++] = (struct selection_past) {copy(s->nodes), copy(s->groups)};
}

bool selection_undo(struct selection *s)
{
    if (s->n_past == 0)
        return false;
    nodeset_free(s->nodes);
    nodeset_free(s->groups);
    s->n_past--;
    s->nodes = s->past[s->n_past].nodes;
    s->groups = s->past[s->n_past].groups;
    s->generation++;
    return true;
}

size_t selection_count(const struct selection *s)
{
    return nodeset_count(s->nodes);
}

bool selection_add(struct selection *s, const char *node)
{
    s->generation++;
    return nodeset_add(s->nodes, node);
}

void selection_add_set(struct selection *s, const struct nodeset *nodes)
{
    s->generation++;
    nodeset_union(s->nodes, nodes);
}

void selection_remove_set(struct selection *s, const struct nodeset *nodes)
{
    s->generation++;
    nodeset_difference(s->nodes, nodes);
}

void selection_clear(struct selection *s)
{
    s->generation++;
    nodeset_free(s->nodes);
    nodeset_free(s->groups);
    s->nodes = nodeset_new();
    s->groups = nodeset_new();
}

void selection_add_group(struct selection *s, const struct fleet *f, const struct fleet_group *g)
{
    s->generation++;
    for (size_t i = 0; i < g->n_all; i++)
        nodeset_add(s->nodes, f->nodes[g->all[i]].name);
    nodeset_add(s->groups, g->name);
}

size_t selection_group_count(const struct selection *s, const struct fleet *f,
                             const struct fleet_group *g)
{
    size_t n = 0;

    if (nodeset_count(s->nodes) == 0)
        return 0;
    for (size_t i = 0; i < g->n_all; i++)
        if (nodeset_has(s->nodes, f->nodes[g->all[i]].name))
            n++;
    return n;
}

void selection_settle(struct selection *s, const struct fleet *f)
{
    struct nodeset *keep = nodeset_new();

    for (size_t i = 0; i < nodeset_count(s->groups); i++) {
        const char *name = nodeset_at(s->groups, i);
        const struct fleet_group *g = f ? fleet_group(f, name) : NULL;
        if (g && g->n_all > 0 && selection_group_count(s, f, g) == g->n_all)
            nodeset_add(keep, name);
    }
    nodeset_free(s->groups);
    s->groups = keep;
    s->generation++;
}

size_t selection_prune(struct selection *s, const struct fleet *f)
{
    struct nodeset *gone = nodeset_new();
    size_t n;

    for (size_t i = 0; i < nodeset_count(s->nodes); i++)
        if (!fleet_node(f, nodeset_at(s->nodes, i)))
            nodeset_add(gone, nodeset_at(s->nodes, i));
    n = nodeset_count(gone);
    if (n > 0)
        nodeset_difference(s->nodes, gone);
    nodeset_free(gone);
    selection_settle(s, f);
    return n;
}
