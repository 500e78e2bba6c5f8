/* SPDX-License-Identifier: Apache-2.0 */
/* The groups of a batch anew: what was named directly and what was left out is kept with the batch, as
 * its expression may name what is no more (results, a file, standard input). */
#include "expand.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/core/batch.h"
#include "muster/core/fleet.h"
#include "muster/core/json.h"
#include "muster/core/nodeset.h"

#include <string.h>

#define DIRECT "direct"
#define LEFT_OUT "leftOut"

static void add_members(const struct fleet *f, const char *group, struct nodeset *out)
{
    const struct fleet_group *g = fleet_group(f, group);
    for (size_t i = 0; g && i < g->n_all; i++)
        nodeset_add(out, f->nodes[g->all[i]].name);
}

static void put_folded(struct json *o, const char *key, const struct nodeset *s)
{
    if (nodeset_count(s) == 0)
        return;
    struct strbuf b;
    strbuf_init(&b, 0);
    nodeset_fold(&b, s, 0);
    json_put_str(o, key, b.s);
    strbuf_free(&b);
}

/* The names that were folded; a name may come with commas between ranges. */
static int get_folded(const struct json *o, const char *key, struct nodeset *out, struct err *e)
{
    const char *text = o ? json_str(json_get(o, key)) : NULL;
    if (!text)
        return 0;
    CLEANUP_FREE char *copy = x_strdup(text);
    bool inside = false;
    int rc = 0;
    for (char *at = copy, *start = copy; rc == 0; at++) {
        inside = *at == '[' || (inside && *at != ']');
        if (*at && (*at != ',' || inside))
            continue;
        bool last = !*at;
        *at = '\0';
        rc = nodeset_expand(out, start, e);
        start = at + 1;
        if (last)
            break;
    }
    return rc;
}

/* From the groups as they are now. */
static void find_direct(const struct fleet *f, const struct strv *nodes, const struct strv *groups,
                        struct nodeset *direct, struct nodeset *out)
{
    struct nodeset *all = nodeset_new();
    for (size_t i = 0; i < groups->n; i++)
        add_members(f, groups->v[i], out);
    for (size_t i = 0; i < nodes->n; i++) {
        nodeset_add(all, nodes->v[i]);
        if (!nodeset_has(out, nodes->v[i]))
            nodeset_add(direct, nodes->v[i]);
    }
    nodeset_difference(out, all);
    nodeset_free(all);
}

static bool take_remembered(const char *repeats, struct nodeset *direct, struct nodeset *out)
{
    CLEANUP_ERR struct err e = ERR_INIT;
    struct json *o = repeats ? json_parse(repeats, strlen(repeats), NULL) : NULL;
    bool taken = o && get_folded(o, DIRECT, direct, &e) == 0 && get_folded(o, LEFT_OUT, out, &e) == 0;
    json_free(o);
    return taken;
}

char *expand_remember(char *parameters, const struct fleet *f, const struct strv *nodes,
                      const struct strv *groups, const char *repeats)
{
    struct json *o = groups->n ? json_parse(parameters, strlen(parameters), NULL) : NULL;
    if (!o)
        return parameters;
    struct nodeset *direct = nodeset_new(), *out = nodeset_new();
    if (!take_remembered(repeats, direct, out))
        find_direct(f, nodes, groups, direct, out);
    put_folded(o, DIRECT, direct);
    put_folded(o, LEFT_OUT, out);
    nodeset_free(out);
    nodeset_free(direct);
    free(parameters);
    char *text = x_strdup(json_text(o, NULL));
    json_free(o);
    return text;
}

static void tell(struct strv *warnings, const struct nodeset *s, const char *what)
{
    size_t n = nodeset_count(s);
    if (n == 0)
        return;
    struct strbuf b;
    strbuf_init(&b, 0);
    nodeset_fold(&b, s, 400);
    strv_push_own(warnings, x_asprintf("%zu node%s %s: %s", n, n == 1 ? "" : "s", what, b.s));
    strbuf_free(&b);
}

/* What is in a and not in b. */
static struct nodeset *without(const struct nodeset *a, const struct nodeset *b)
{
    struct nodeset *s = nodeset_new();
    nodeset_union(s, a);
    nodeset_difference(s, b);
    return s;
}

static void replace(struct nodeset *nodes, const struct nodeset *now, struct strv *warnings)
{
    struct nodeset *come = without(now, nodes), *left = without(nodes, now);
    tell(warnings, come, "new in the groups, run too");
    tell(warnings, left, "no longer in the groups, left out");
    nodeset_free(come);
    nodeset_free(left);
    nodeset_intersect(nodes, now);
    nodeset_union(nodes, now);
}

int expand_groups(const struct fleet *f, const struct batch *b, struct nodeset *nodes,
                  struct strv *warnings, struct err *e)
{
    if (b->target_groups.n == 0)
        return err_set(e, ERR_VALIDATION, "batch #%lld was given no whole group that could be expanded "
                       "anew: leave out --expand", (long long) b->number);
    struct json *o = b->parameters ? json_parse(b->parameters, strlen(b->parameters), NULL) : NULL;
    struct nodeset *now = nodeset_new(), *members = nodeset_new(), *out = nodeset_new();
    int rc = get_folded(o, DIRECT, now, e);
    if (rc == 0)
        rc = get_folded(o, LEFT_OUT, out, e);
    for (size_t i = 0; rc == 0 && i < b->target_groups.n; i++) {
        const char *name = b->target_groups.v[i];
        if (!fleet_group(f, name))
            strv_push_own(warnings, x_asprintf("group @%s is gone: no inventory has it", name));
        add_members(f, name, members);
    }
    if (rc == 0) {
        nodeset_difference(members, out);
        nodeset_union(now, members);
        replace(nodes, now, warnings);
        if (nodeset_count(nodes) == 0)
            rc = err_set(e, ERR_INVALID_NODES, "the groups of batch #%lld have no node now",
                         (long long) b->number);
    }
    nodeset_free(out);
    nodeset_free(members);
    nodeset_free(now);
    json_free(o);
    return rc;
}

int expand_drop_gone(const struct fleet *f, struct nodeset *nodes, struct strv *warnings, struct err *e)
{
    struct nodeset *gone = nodeset_new();
    for (size_t i = 0; i < nodeset_count(nodes); i++)
        if (!fleet_node(f, nodeset_at(nodes, i)))
            nodeset_add(gone, nodeset_at(nodes, i));
    int rc = 0;
    nodeset_difference(nodes, gone);
    if (nodeset_count(gone) && nodeset_count(nodes) == 0) {
        struct strbuf b;
        strbuf_init(&b, 0);
        nodeset_fold(&b, gone, 400);
        rc = err_set(e, ERR_INVALID_NODES, "no inventory has any of these nodes now: %s", b.s);
        strbuf_free(&b);
    } else {
        tell(warnings, gone, "gone from the inventories, left out");
    }
    nodeset_free(gone);
    return rc;
}
