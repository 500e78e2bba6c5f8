/* SPDX-License-Identifier: Apache-2.0 */
/* The builder that all sources fill: nodes and groups by name, united across sources. */
#include "source.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/strmap.h"
#include "muster/core/yaml.h"

#include <stdarg.h>
#include <string.h>

void varlist_set(struct varlist *l, const char *name, const char *value)
{
    for (size_t i = 0; i < l->n; i++) {
        if (strcmp(l->v[i].name, name) == 0) {
            char *copy = x_strdup(value);
            free(l->v[i].value);
            l->v[i].value = copy;
            return;
        }
    }
    X_GROW(l->v, l->cap, l->n + 1);
    l->v[l->n].name = x_strdup(name);
    l->v[l->n].value = x_strdup(value);
    l->n++;
}

void varlist_merge(struct varlist *l, const struct varlist *over)
{
    for (size_t i = 0; i < over->n; i++)
        varlist_set(l, over->v[i].name, over->v[i].value);
}

void varlist_clear(struct varlist *l)
{
    for (size_t i = 0; i < l->n; i++) {
        free(l->v[i].name);
        free(l->v[i].value);
    }
    free(l->v);
    *l = (struct varlist){NULL, 0, 0};
}

void entry_init(struct entry *en)
{
    settings_init(&en->set);
    en->vars = (struct varlist){NULL, 0, 0};
    en->any_set = false;
}

void entry_clear(struct entry *en)
{
    settings_clear(&en->set);
    varlist_clear(&en->vars);
    en->any_set = false;
}

void entry_merge(struct entry *en, const struct entry *over)
{
    if (over->any_set) {
        settings_merge(&en->set, &over->set);
        en->any_set = true;
    }
    varlist_merge(&en->vars, &over->vars);
}

int entry_set(struct entry *en, enum setting_id id, const char *value, struct err *e)
{
    en->any_set = true;
    if (id != SETTING_TRANSPORT || *value == '\0' || strpbrk(value, " \t\n"))
        return setting_set(&en->set, id, value, e);
    free(en->set.transport);
    en->set.transport = x_strdup(value);
    return 0;
}

void build_init(struct build *b, struct inventory_watch *watch)
{
    *b = (struct build){.watch = watch};
    b->node_index = strmap_new();
    b->group_index = strmap_new();
    entry_init(&b->defaults);
}

static void group_clear(struct build_group *g)
{
    free(g->name);
    free(g->nodes);
    for (size_t i = 0; i < g->n_children; i++) {
        free(g->children[i].name);
        free(g->children[i].place);
    }
    free(g->children);
    entry_clear(&g->entry);
}

void build_clear(struct build *b)
{
    for (size_t i = 0; i < b->n_nodes; i++) {
        free(b->nodes[i].name);
        entry_clear(&b->nodes[i].base);
        entry_clear(&b->nodes[i].own);
    }
    free(b->nodes);
    for (size_t i = 0; i < b->n_groups; i++)
        group_clear(&b->groups[i]);
    free(b->groups);
    for (size_t i = 0; i < b->n_aliases; i++)
        free(b->aliases[i].name);
    free(b->aliases);
    for (size_t i = 0; i < b->n_sources; i++) {
        free(b->sources[i].type);
        free(b->sources[i].path);
        free(b->sources[i].error);
        strv_clear(&b->sources[i].warnings);
    }
    free(b->sources);
    strmap_free(b->node_index);
    strmap_free(b->group_index);
    entry_clear(&b->defaults);
    *b = (struct build){.watch = NULL};
}

void build_source(struct build *b, const char *type, const char *path, bool named)
{
    X_GROW(b->sources, b->cap_sources, b->n_sources + 1);
    b->sources[b->n_sources++] = (struct fleet_source){
        .type = x_strdup(type),
        .path = x_strdup(path),
        .state = SOURCE_OK,
        .loaded_ms = wall_ms(clock_system()),
        .named = named,
    };
    entry_clear(&b->defaults);
}

struct fleet_source *build_current(struct build *b)
{
    return &b->sources[b->n_sources - 1];
}

static uint32_t source_bit(const struct build *b)
{
    return UINT32_C(1) << (b->n_sources > 32 ? 31 : b->n_sources - 1);
}

int build_node(struct build *b, const char *name, uint32_t *index, struct err *e)
{
    intptr_t at;
    struct build_node *node;

    if (!strmap_get_num(b->node_index, name, &at)) {
        if (b->n_nodes >= INVENTORY_NODES_MAX)
            return err_set(e, ERR_VALIDATION, "the inventory has more than %zu nodes",
                           INVENTORY_NODES_MAX);
        X_GROW(b->nodes, b->cap_nodes, b->n_nodes + 1);
        at = (intptr_t) b->n_nodes++;
        node = &b->nodes[at];
        *node = (struct build_node){.name = x_strdup(name)};
        entry_init(&node->base);
        entry_init(&node->own);
        strmap_set_num(b->node_index, name, at);
    }
    node = &b->nodes[at];
    if (node->last_source != b->n_sources) {
        node->last_source = b->n_sources;
        node->sources |= source_bit(b);
        node->explicit_node |= b->explicit_source;
        entry_merge(&node->base, &b->defaults);
        build_current(b)->n_nodes++;
    }
    *index = (uint32_t) at;
    return 0;
}

int build_group(struct build *b, const char *name, uint32_t *index, struct err *e)
{
    intptr_t at;
    struct build_group *g;

    if (!strmap_get_num(b->group_index, name, &at)) {
        if (b->n_groups >= INVENTORY_GROUPS_MAX)
            return err_set(e, ERR_VALIDATION, "the inventory has more than %zu groups",
                           INVENTORY_GROUPS_MAX);
        X_GROW(b->groups, b->cap_groups, b->n_groups + 1);
        at = (intptr_t) b->n_groups++;
        g = &b->groups[at];
        *g = (struct build_group){.name = x_strdup(name)};
        entry_init(&g->entry);
        strmap_set_num(b->group_index, name, at);
    }
    g = &b->groups[at];
    if (g->last_source != b->n_sources) {
        g->last_source = b->n_sources;
        g->sources |= source_bit(b);
        build_current(b)->n_groups++;
    }
    *index = (uint32_t) at;
    return 0;
}

void build_group_node(struct build *b, uint32_t group, uint32_t node)
{
    struct build_group *g = &b->groups[group];

    X_GROW(g->nodes, g->cap_nodes, g->n_nodes + 1);
    g->nodes[g->n_nodes++] = node;
}

void build_group_child(struct build *b, uint32_t group, const char *name, const char *place)
{
    struct build_group *g = &b->groups[group];

    X_GROW(g->children, g->cap_children, g->n_children + 1);
    g->children[g->n_children++] =
        (struct build_child){.name = x_strdup(name), .place = x_strdup(place)};
}

void build_alias(struct build *b, const char *name, uint32_t node)
{
    X_GROW(b->aliases, b->cap_aliases, b->n_aliases + 1);
    b->aliases[b->n_aliases++] = (struct build_alias){x_strdup(name), node};
}

void build_warn(struct build *b, const char *fmt, ...)
{
    struct strv *warnings = &build_current(b)->warnings;
    CLEANUP_FREE char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = x_vasprintf(fmt, ap);
    va_end(ap);
    if (warnings->n < INVENTORY_WARNINGS_MAX && !strv_has(warnings, text))
        strv_push(warnings, text);
}

int source_fail(struct err *e, const char *path, const struct yaml_node *at, const char *fmt, ...)
{
    CLEANUP_FREE char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = x_vasprintf(fmt, ap);
    va_end(ap);
    return err_set(e, ERR_VALIDATION, "%s%sline %u: %s", path ? path : "", path ? ": " : "",
                   at->line, text);
}
