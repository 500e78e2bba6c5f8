/* SPDX-License-Identifier: Apache-2.0 */
/* A fleet: making an empty one, looking up, freeing. */
#include "muster/core/fleet.h"

#include "muster/base/alloc.h"
#include "muster/base/strmap.h"

struct fleet *fleet_new(void)
{
    struct fleet *f = x_calloc(1, sizeof *f);

    f->node_index = strmap_new();
    f->group_index = strmap_new();
    return f;
}

static void clear_node(struct fleet_node *node)
{
    free(node->name);
    settings_clear(&node->base);
    settings_clear(&node->over);
    for (size_t i = 0; i < node->n_vars; i++) {
        free(node->vars[i].name);
        free(node->vars[i].value);
    }
    free(node->vars);
    free(node->groups);
}

void fleet_free(struct fleet *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->n_nodes; i++)
        clear_node(&f->nodes[i]);
    for (size_t i = 0; i < f->n_groups; i++) {
        free(f->groups[i].name);
        free(f->groups[i].nodes);
        free(f->groups[i].groups);
        free(f->groups[i].all);
    }
    for (size_t i = 0; i < f->n_sources; i++) {
        free(f->sources[i].type);
        free(f->sources[i].path);
        free(f->sources[i].error);
        strv_clear(&f->sources[i].warnings);
    }
    free(f->nodes);
    free(f->groups);
    free(f->sources);
    strmap_free(f->node_index);
    strmap_free(f->group_index);
    free(f);
}

const struct fleet_node *fleet_node(const struct fleet *f, const char *name)
{
    intptr_t i;

    return strmap_get_num(f->node_index, name, &i) ? &f->nodes[i] : NULL;
}

const struct fleet_group *fleet_group(const struct fleet *f, const char *name)
{
    intptr_t i;

    return strmap_get_num(f->group_index, name, &i) ? &f->groups[i] : NULL;
}

const char *fleet_source_state_name(enum source_state s)
{
    switch (s) {
    case SOURCE_OK:
        return "ok";
    case SOURCE_STALE:
        return "stale";
    case SOURCE_FAILED:
        return "failed";
    case SOURCE_ABSENT:
        return "absent";
    }
    return "unknown";
}
