/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of the target tree, made from the fleet, the filter and what is open. */
#include "target_tree.h"
#include "target_filter.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/strmap.h"
#include "muster/core/fleet.h"
#include "muster/core/nodeset.h"
#include "muster/ui/selection.h"

#include <string.h>

#define OPEN_BY_DEFAULT 40 /* a fleet of at most so many nodes is shown open */

void target_tree_init(struct target_tree *t)
{
    memset(t, 0, sizeof *t);
    t->toggled = strmap_new();
    t->toggled_filtered = strmap_new();
    t->filter_text = x_strdup("");
    t->stale = true;
}

void target_tree_free(struct target_tree *t)
{
    free(t->rows);
    free(t->picked);
    free(t->match);
    free(t->group_match);
    free(t->loose);
    free(t->filter_text);
    free(t->filter_error);
    target_filter_free(t->filter);
    strmap_free(t->toggled);
    strmap_free(t->toggled_filtered);
    memset(t, 0, sizeof *t);
}

bool target_tree_filtered(const struct target_tree *t)
{
    return t->fleet && (!t->filter || !target_filter_any(t->filter));
}

static uint64_t fleet_stamp(const struct fleet *f)
{
    uint64_t h = (uint64_t) (uintptr_t) f;
    if (!f)
        return 0;
    h = h * 31 + (uint64_t) (uintptr_t) f->nodes;
    h = h * 31 + f->n_nodes;
    h = h * 31 + f->n_groups;
    for (size_t i = 0; i < f->n_sources; i++)
        h = (h * 31 + (uint64_t) f->sources[i].loaded_ms) * 31 + (uint64_t) f->sources[i].state;
    return h | 1;
}

static void count_picked(struct target_tree *t)
{
    t->n_picked = t->n_hidden = 0;
    for (size_t i = 0; i < t->fleet->n_nodes; i++) {
        t->n_picked += t->picked[i];
        t->n_hidden += t->picked[i] && !t->match[i];
    }
}

static void read_selection(struct target_tree *t, const struct selection *sel)
{
    memset(t->picked, 0, t->fleet->n_nodes);
    for (size_t i = 0; i < nodeset_count(sel->nodes); i++) {
        const struct fleet_node *n = fleet_node(t->fleet, nodeset_at(sel->nodes, i));
        if (n)
            t->picked[n - t->fleet->nodes] = 1;
    }
    t->sel_generation = sel->generation;
}

static void run_filter(struct target_tree *t)
{
    const struct fleet *f = t->fleet;
    t->loose_match = 0;
    if (t->filter) {
        t->n_match = target_filter_run(t->filter, f, t->picked, t->match);
    } else {
        memset(t->match, 0, f->n_nodes);
        t->n_match = 0;
    }
    for (size_t g = 0; g < f->n_groups; g++) {
        uint32_t n = 0;
        for (size_t i = 0; i < f->groups[g].n_all; i++)
            n += t->match[f->groups[g].all[i]];
        t->group_match[g] = n;
    }
    for (size_t i = 0; i < t->n_loose; i++)
        t->loose_match += t->match[t->loose[i]];
    count_picked(t);
    t->stale = true;
}

static const struct filter_facts *facts_of(const struct target_tree *t)
{
    return t->facts.match ? &t->facts : NULL;
}

static void take_fleet(struct target_tree *t, const struct fleet *f)
{
    t->fleet = f;
    free(t->picked);
    free(t->match);
    free(t->group_match);
    free(t->loose);
    t->picked = x_calloc(f->n_nodes + 1, 1);
    t->match = x_calloc(f->n_nodes + 1, 1);
    t->group_match = x_calloc(f->n_groups + 1, sizeof *t->group_match);
    t->loose = x_calloc(f->n_nodes + 1, sizeof *t->loose);
    t->n_loose = 0;
    for (size_t i = 0; i < f->n_nodes; i++)
        if (f->nodes[i].n_groups == 0)
            t->loose[t->n_loose++] = (uint32_t) i;
    /* What the filter names (groups, sources) may be elsewhere now, or gone: then it matches
     * nothing, as one that was dropped would let "all" pick what nobody sees it to be. */
    struct err e = ERR_INIT;
    target_filter_free(t->filter);
    t->filter = target_filter_new(f, facts_of(t), t->filter_text, &e);
    free(X_STEAL(t->filter_error));
    if (!t->filter)
        t->filter_error = x_strdup(e.msg ? e.msg : "no longer valid");
    err_clear(&e);
}

bool target_tree_sync(struct target_tree *t, const struct fleet *f, const struct selection *sel)
{
    uint64_t stamp = fleet_stamp(f);
    if (!f) {
        t->fleet = NULL;
        t->stamp = 0;
        t->n = t->n_match = t->n_picked = t->n_hidden = 0;
        return false;
    }
    if (stamp != t->stamp || f != t->fleet) {
        t->stamp = stamp;
        take_fleet(t, f);
        read_selection(t, sel);
        run_filter(t);
    } else if (sel->generation != t->sel_generation) {
        read_selection(t, sel);
        if (t->filter && target_filter_uses_selection(t->filter))
            run_filter(t);
        else
            count_picked(t);
    }
    bool changed = t->stale;
    if (changed)
        target_tree_rebuild(t);
    return changed;
}

int target_tree_filter(struct target_tree *t, const char *text, struct err *e)
{
    struct target_filter *filter;
    if (!t->fleet || (t->filter && strcmp(text, t->filter_text) == 0))
        return 0;
    filter = target_filter_new(t->fleet, facts_of(t), text, e);
    if (!filter)
        return -ERR_VALIDATION;
    target_filter_free(t->filter);
    t->filter = filter;
    free(X_STEAL(t->filter_error));
    free(t->filter_text);
    t->filter_text = x_strdup(text);
    strmap_free(t->toggled_filtered);
    t->toggled_filtered = strmap_new();
    run_filter(t);
    return 0;
}

/* --- rows --- */

static bool is_open(const struct target_tree *t, const char *path)
{
    bool filtered = target_tree_filtered(t);
    /* A fleet without groups has nothing else to show than its nodes. */
    bool open = filtered || t->fleet->n_groups == 0 || t->fleet->n_nodes <= OPEN_BY_DEFAULT;
    void *unused;
    return strmap_get(filtered ? t->toggled_filtered : t->toggled, path, &unused) ? !open : open;
}

static void add_row(struct target_tree *t, enum trow_kind kind, unsigned depth, uint32_t index,
                    uint32_t parent, bool open)
{
    X_GROW(t->rows, t->cap, t->n + 1);
    t->rows[t->n++] = (struct trow) {(uint8_t) kind, (uint8_t) depth, open, index, parent};
}

static void add_group(struct target_tree *t, uint32_t g, unsigned depth, uint32_t parent,
                      struct strbuf *path)
{
    const struct fleet_group *grp = &t->fleet->groups[g];
    size_t len = path->len;
    if (t->n >= TREE_ROWS_MAX || depth >= TREE_DEPTH_MAX)
        return;
    if (t->group_match[g] == 0 && target_tree_filtered(t))
        return;
    strbuf_addch(path, '/');
    strbuf_adds(path, grp->name);
    uint32_t row = (uint32_t) t->n;
    bool open = is_open(t, path->s);
    add_row(t, TROW_GROUP, depth, g, parent, open);
    if (open) {
        for (size_t i = 0; i < grp->n_groups; i++)
            add_group(t, grp->groups[i], depth + 1, row, path);
        for (size_t i = 0; i < grp->n_nodes && t->n < TREE_ROWS_MAX; i++)
            if (t->match[grp->nodes[i]])
                add_row(t, TROW_NODE, depth + 1, grp->nodes[i], row, false);
    }
    path->len = len;
    path->s[len] = '\0';
}

void target_tree_rebuild(struct target_tree *t)
{
    const struct fleet *f = t->fleet;
    struct strbuf path;
    t->n = 0;
    t->stale = false;
    if (!f)
        return;
    for (size_t i = 0; i < f->n_sources; i++)
        if (f->sources[i].state == SOURCE_STALE || f->sources[i].state == SOURCE_FAILED)
            add_row(t, TROW_SOURCE, 0, (uint32_t) i, TREE_NO_PARENT, false);
    strbuf_init(&path, 0);
    for (size_t g = 0; g < f->n_groups; g++)
        if (!f->groups[g].is_child)
            add_group(t, (uint32_t) g, 0, TREE_NO_PARENT, &path);
    strbuf_free(&path);
    if (t->loose_match == 0)
        return;
    uint32_t row = (uint32_t) t->n;
    bool open = is_open(t, "");
    add_row(t, TROW_LOOSE, 0, 0, TREE_NO_PARENT, open);
    for (size_t i = 0; open && i < t->n_loose; i++)
        if (t->match[t->loose[i]])
            add_row(t, TROW_NODE, 1, t->loose[i], row, false);
}

void target_tree_toggle(struct target_tree *t, size_t row)
{
    struct strmap *map = target_tree_filtered(t) ? t->toggled_filtered : t->toggled;
    uint32_t chain[TREE_DEPTH_MAX + 1];
    size_t depth = 0;
    struct strbuf path;
    if (row >= t->n || (t->rows[row].kind != TROW_GROUP && t->rows[row].kind != TROW_LOOSE))
        return;
    strbuf_init(&path, 0);
    for (uint32_t r = (uint32_t) row; r != TREE_NO_PARENT && depth < ARRAY_LEN(chain);
         r = t->rows[r].parent)
        chain[depth++] = r;
    for (size_t i = depth; i-- > 0 && t->rows[row].kind == TROW_GROUP;) {
        strbuf_addch(&path, '/');
        strbuf_adds(&path, t->fleet->groups[t->rows[chain[i]].index].name);
    }
    if (!strmap_del(map, path.s))
        strmap_set(map, path.s, NULL);
    strbuf_free(&path);
    target_tree_rebuild(t);
}

const uint32_t *target_tree_members(const struct target_tree *t, const struct trow *r, size_t *n)
{
    *n = 0;
    switch (r->kind) {
    case TROW_NODE:
        *n = 1;
        return &r->index;
    case TROW_GROUP:
        *n = t->fleet->groups[r->index].n_all;
        return t->fleet->groups[r->index].all;
    case TROW_LOOSE:
        *n = t->n_loose;
        return t->loose;
    default:
        return NULL;
    }
}

void target_tree_count(const struct target_tree *t, const struct trow *r, size_t *picked,
                       size_t *total)
{
    const uint32_t *m = target_tree_members(t, r, total);
    *picked = 0;
    for (size_t i = 0; i < *total; i++)
        *picked += t->picked[m[i]];
}

const char *target_tree_name(const struct target_tree *t, const struct trow *r)
{
    switch (r->kind) {
    case TROW_NODE:
        return t->fleet->nodes[r->index].name;
    case TROW_GROUP:
        return t->fleet->groups[r->index].name;
    case TROW_LOOSE:
        return t->fleet->n_groups > 0 ? "(in no group)" : "all nodes";
    default:
        return t->fleet->sources[r->index].type;
    }
}
