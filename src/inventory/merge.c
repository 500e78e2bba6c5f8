/* SPDX-License-Identifier: Apache-2.0 */
/* Turns a filled builder into a fleet: children by name, no cycles, natural order, members of
 * members, and the settings of groups from outer to inner under each node's own. */
#include "source.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/strmap.h"
#include "muster/base/text.h"
#include "muster/core/suggest.h"

#include <string.h>

#define NONE UINT32_MAX

struct merge {
    struct build *b;
    struct fleet *f;
    uint32_t *node_at, *group_at;       /* builder's index -> fleet's */
    struct build_node **node_by;        /* fleet's index -> builder's row */
    struct build_group **group_by;
    uint32_t *depth;                    /* of a group, by fleet index: longest way from outside */
    uint32_t *outer_first;              /* group indices */
    uint32_t *seen_node, *seen_group;   /* stamps: group index + 1 */
};

static int node_cmp(const void *a, const void *b)
{
    const struct build_node *const *x = a, *const *y = b;

    return text_natcmp((*x)->name, (*y)->name);
}

static int group_cmp(const void *a, const void *b)
{
    const struct build_group *const *x = a, *const *y = b;

    return text_natcmp((*x)->name, (*y)->name);
}

static void sort_names(struct merge *m)
{
    struct build *b = m->b;

    m->node_by = x_calloc(b->n_nodes + 1, sizeof *m->node_by);
    m->group_by = x_calloc(b->n_groups + 1, sizeof *m->group_by);
    m->node_at = x_calloc(b->n_nodes + 1, sizeof *m->node_at);
    m->group_at = x_calloc(b->n_groups + 1, sizeof *m->group_at);
    m->seen_node = x_calloc(b->n_nodes + 1, sizeof *m->seen_node);
    m->seen_group = x_calloc(b->n_groups + 1, sizeof *m->seen_group);
    m->depth = x_calloc(b->n_groups + 1, sizeof *m->depth);
    m->outer_first = x_calloc(b->n_groups + 1, sizeof *m->outer_first);
    for (size_t i = 0; i < b->n_nodes; i++)
        m->node_by[i] = &b->nodes[i];
    for (size_t i = 0; i < b->n_groups; i++)
        m->group_by[i] = &b->groups[i];
    qsort(m->node_by, b->n_nodes, sizeof *m->node_by, node_cmp);
    qsort(m->group_by, b->n_groups, sizeof *m->group_by, group_cmp);
    for (size_t i = 0; i < b->n_nodes; i++)
        m->node_at[m->node_by[i] - b->nodes] = (uint32_t) i;
    for (size_t i = 0; i < b->n_groups; i++)
        m->group_at[m->group_by[i] - b->groups] = (uint32_t) i;
}

static void merge_clear(struct merge *m)
{
    free(m->node_by);
    free(m->group_by);
    free(m->node_at);
    free(m->group_at);
    free(m->seen_node);
    free(m->seen_group);
    free(m->depth);
    free(m->outer_first);
}

static int unknown_child(const struct build *b, const struct build_group *g,
                         const struct build_child *c, struct err *e)
{
    const char **names = x_calloc(b->n_groups + 1, sizeof *names);
    const char *near;
    int rc;

    for (size_t i = 0; i < b->n_groups; i++)
        names[i] = b->groups[i].name;
    near = suggest_nearest(c->name, names, b->n_groups);
    if (near)
        rc = err_set(e, ERR_VALIDATION,
                     "%s: group \"%s\" lists the group \"%s\", which no inventory defines; did you "
                     "mean \"%s\"?",
                     c->place, g->name, c->name, near);
    else
        rc = err_set(e, ERR_VALIDATION,
                     "%s: group \"%s\" lists the group \"%s\", which no inventory defines; define "
                     "it, or list nodes under `nodes`",
                     c->place, g->name, c->name);
    free(names);
    return rc;
}

static int make_group(struct merge *m, size_t at, struct err *e)
{
    struct build_group *bg = m->group_by[at];
    struct fleet_group *g = &m->f->groups[at];
    uint32_t stamp = (uint32_t) at + 1;

    g->name = x_strdup(bg->name);
    g->is_protected = bg->is_protected;
    g->sources = bg->sources;
    g->nodes = x_array(NULL, bg->n_nodes + 1, sizeof *g->nodes);
    for (size_t i = 0; i < bg->n_nodes; i++) {
        uint32_t node = m->node_at[bg->nodes[i]];
        if (m->seen_node[node] != stamp) {
            m->seen_node[node] = stamp;
            g->nodes[g->n_nodes++] = node;
        }
    }
    g->groups = x_array(NULL, bg->n_children + 1, sizeof *g->groups);
    for (size_t i = 0; i < bg->n_children; i++) {
        intptr_t child;
        uint32_t index;
        if (!strmap_get_num(m->b->group_index, bg->children[i].name, &child))
            return unknown_child(m->b, bg, &bg->children[i], e);
        index = m->group_at[child];
        if (m->seen_group[index] != stamp) {
            m->seen_group[index] = stamp;
            g->groups[g->n_groups++] = index;
        }
    }
    strmap_set_num(m->f->group_index, g->name, (intptr_t) at);
    return 0;
}

static const char *child_place(const struct merge *m, uint32_t group, uint32_t child)
{
    const struct build_group *bg = m->group_by[group];

    for (size_t i = 0; i < bg->n_children; i++)
        if (strcmp(bg->children[i].name, m->f->groups[child].name) == 0)
            return bg->children[i].place;
    return "";
}

/* Each group that is left has a parent among those that are left (`waits` is not 0), so walking up
 * must come round. */
static int cycle_error(const struct merge *m, const uint32_t *waits, struct err *e)
{
    const struct fleet *f = m->f;
    uint32_t *parent = x_array(NULL, f->n_groups, sizeof *parent);
    uint32_t *steps = x_calloc(f->n_groups, sizeof *steps);
    uint32_t at = NONE, next;
    struct strbuf chain;
    int rc;

    for (uint32_t g = 0; g < f->n_groups; g++)
        for (size_t i = 0; waits[g] && i < f->groups[g].n_groups; i++)
            parent[f->groups[g].groups[i]] = g;
    for (uint32_t g = 0; g < f->n_groups && at == NONE; g++)
        if (waits[g])
            at = g;
    while (!steps[at]) {
        steps[at] = 1;
        at = parent[at];
    }
    /* `at` is on the cycle; go up once round, writing from the outside in: parents go before. */
    strbuf_init(&chain, 4096);
    next = at;
    strbuf_adds(&chain, f->groups[at].name);
    do {
        char *inner = strbuf_steal(&chain);
        next = parent[next];
        strbuf_addf(&chain, "%s -> %s", f->groups[next].name, inner);
        free(inner);
    } while (next != at);
    rc = err_set(e, ERR_VALIDATION,
                 "%s: groups hold each other in a circle: %s%s; take one of them out",
                 child_place(m, parent[at], at), chain.s, chain.truncated ? "..." : "");
    strbuf_free(&chain);
    free(parent);
    free(steps);
    return rc;
}

struct outer_key {
    uint32_t depth, group;
};

static int outer_cmp(const void *a, const void *b)
{
    const struct outer_key *x = a, *y = b;

    if (x->depth != y->depth)
        return x->depth < y->depth ? -1 : 1;
    return x->group < y->group ? -1 : x->group > y->group;
}

/* Takes groups that no remaining group holds, until none is left or a cycle is all that is left. */
static int order_groups(struct merge *m, struct err *e)
{
    struct fleet *f = m->f;
    uint32_t *waits = x_calloc(f->n_groups + 1, sizeof *waits);
    uint32_t *ready = x_array(NULL, f->n_groups + 1, sizeof *ready);
    struct outer_key *keys = x_array(NULL, f->n_groups + 1, sizeof *keys);
    size_t head = 0, n = 0;
    int rc = 0;

    for (size_t g = 0; g < f->n_groups; g++)
        for (size_t i = 0; i < f->groups[g].n_groups; i++)
            waits[f->groups[g].groups[i]]++;
    for (uint32_t g = 0; g < f->n_groups; g++) {
        f->groups[g].is_child = waits[g] > 0;
        if (!waits[g])
            ready[n++] = g;
    }
    while (head < n) {
        uint32_t g = ready[head++];
        for (size_t i = 0; i < f->groups[g].n_groups; i++) {
            uint32_t child = f->groups[g].groups[i];
            if (m->depth[child] < m->depth[g] + 1)
                m->depth[child] = m->depth[g] + 1;
            if (--waits[child] == 0)
                ready[n++] = child;
        }
    }
    if (n < f->n_groups)
        rc = cycle_error(m, waits, e);
    for (uint32_t g = 0; g < f->n_groups; g++)
        keys[g] = (struct outer_key){m->depth[g], g};
    qsort(keys, f->n_groups, sizeof *keys, outer_cmp);
    for (size_t g = 0; g < f->n_groups; g++)
        m->outer_first[g] = keys[g].group;
    free(waits);
    free(ready);
    free(keys);
    return rc;
}

/* Every member through all children: direct ones first, then child by child, level by level. */
static void collect_all(struct merge *m, uint32_t at, uint32_t *queue)
{
    struct fleet *f = m->f;
    struct fleet_group *g = &f->groups[at];
    uint32_t stamp = (uint32_t) f->n_groups + at + 1; /* past make_group's stamps */
    size_t cap = 0, head = 0, n = 1;

    queue[0] = at;
    m->seen_group[at] = stamp;
    while (head < n) {
        const struct fleet_group *from = &f->groups[queue[head++]];
        X_GROW(g->all, cap, g->n_all + from->n_nodes + 1);
        for (size_t i = 0; i < from->n_nodes; i++) {
            if (m->seen_node[from->nodes[i]] != stamp) {
                m->seen_node[from->nodes[i]] = stamp;
                g->all[g->n_all++] = from->nodes[i];
            }
        }
        for (size_t i = 0; i < from->n_groups; i++) {
            if (m->seen_group[from->groups[i]] != stamp) {
                m->seen_group[from->groups[i]] = stamp;
                queue[n++] = from->groups[i];
            }
        }
    }
}

static void list_groups_of_nodes(struct fleet *f)
{
    for (size_t g = 0; g < f->n_groups; g++)
        for (size_t i = 0; i < f->groups[g].n_all; i++)
            f->nodes[f->groups[g].all[i]].n_groups++;
    for (size_t i = 0; i < f->n_nodes; i++) {
        f->nodes[i].groups = x_array(NULL, f->nodes[i].n_groups + 1, sizeof(uint32_t));
        f->nodes[i].n_groups = 0;
    }
    for (uint32_t g = 0; g < f->n_groups; g++) {
        for (size_t i = 0; i < f->groups[g].n_all; i++) {
            struct fleet_node *node = &f->nodes[f->groups[g].all[i]];
            node->groups[node->n_groups++] = g;
        }
    }
}

/* "%n" in a host is the node's name. Any other "%" stays: an IPv6 zone has one. */
static void fill_name(char **host, const char *name)
{
    struct strbuf b;
    const char *s = *host, *mark;

    if (!s || !strstr(s, "%n"))
        return;
    strbuf_init(&b, 0);
    while ((mark = strstr(s, "%n"))) {
        strbuf_add(&b, s, (size_t) (mark - s));
        strbuf_adds(&b, name);
        s = mark + 2;
    }
    strbuf_adds(&b, s);
    free(*host);
    *host = strbuf_steal(&b);
}

static void make_nodes(struct merge *m)
{
    struct fleet *f = m->f;

    for (size_t i = 0; i < f->n_nodes; i++) {
        struct build_node *bn = m->node_by[i];
        struct fleet_node *node = &f->nodes[i];
        node->name = X_STEAL(bn->name);
        node->sources = bn->sources;
        node->explicit_node = bn->explicit_node;
        node->base = bn->base.set;
        settings_init(&bn->base.set);
        settings_init(&node->over);
        strmap_set_num(f->node_index, node->name, (intptr_t) i);
    }
}

static void settle_nodes(struct merge *m)
{
    struct fleet *f = m->f;

    /* base.vars gathers: defaults, then groups from outer to inner, then the node's own */
    for (size_t o = 0; o < f->n_groups; o++) {
        const struct fleet_group *g = &f->groups[m->outer_first[o]];
        const struct entry *en = &m->group_by[m->outer_first[o]]->entry;
        for (size_t i = 0; (en->any_set || en->vars.n) && i < g->n_all; i++) {
            if (en->any_set)
                settings_merge(&f->nodes[g->all[i]].over, &en->set);
            varlist_merge(&m->node_by[g->all[i]]->base.vars, &en->vars);
        }
    }
    for (size_t i = 0; i < f->n_nodes; i++) {
        struct build_node *bn = m->node_by[i];
        struct fleet_node *node = &f->nodes[i];
        if (bn->own.any_set)
            settings_merge(&node->over, &bn->own.set);
        varlist_merge(&bn->base.vars, &bn->own.vars);
        node->vars = bn->base.vars.v;
        node->n_vars = bn->base.vars.n;
        bn->base.vars = (struct varlist){NULL, 0, 0};
        fill_name(&node->base.host, node->name);
        fill_name(&node->over.host, node->name);
    }
}

int merge_fleet(struct build *b, struct fleet **out, struct err *e)
{
    struct merge m = {.b = b, .f = fleet_new()};
    struct fleet *f = m.f;
    uint32_t *queue;
    int rc = 0;

    sort_names(&m);
    f->nodes = x_calloc(b->n_nodes + 1, sizeof *f->nodes);
    f->groups = x_calloc(b->n_groups + 1, sizeof *f->groups);
    f->n_nodes = b->n_nodes;
    make_nodes(&m);
    f->n_groups = b->n_groups;
    for (size_t i = 0; i < f->n_groups && !rc; i++)
        rc = make_group(&m, i, e);
    if (!rc)
        rc = order_groups(&m, e);
    if (rc) {
        merge_clear(&m);
        fleet_free(f);
        return rc;
    }
    queue = x_array(NULL, f->n_groups + 1, sizeof *queue);
    for (uint32_t g = 0; g < f->n_groups; g++)
        collect_all(&m, g, queue);
    free(queue);
    list_groups_of_nodes(f);
    settle_nodes(&m);
    for (size_t i = 0; i < b->n_aliases; i++) {
        intptr_t taken;
        if (!strmap_get_num(f->node_index, b->aliases[i].name, &taken))
            strmap_set_num(f->node_index, b->aliases[i].name, m.node_at[b->aliases[i].node]);
    }
    f->sources = X_STEAL(b->sources);
    f->n_sources = b->n_sources;
    b->n_sources = 0;
    merge_clear(&m);
    *out = f;
    return 0;
}
