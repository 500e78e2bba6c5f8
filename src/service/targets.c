/* SPDX-License-Identifier: Apache-2.0 */
/* From target flags to a set of nodes: expressions against the fleet, results against the store. */
#include "service.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/core/nodeset.h"
#include "muster/core/target.h"
#include "muster/store/reader.h"

#include <string.h>

static int results(void *ctx, const char *batch, const char *what, struct nodeset *out,
                   struct err *e)
{
    struct service *s = ctx;
    struct reader *r = reader_open(s->db_path, e);
    if (!r)
        return -ERR_STORE;
    int64_t number;
    int rc = reader_resolve(r, batch, &number, e);
    if (rc == 0)
        rc = reader_nodes_by_result(r, number, what, out, e);
    reader_close(r);
    return rc;
}

/* Adds ",@a,@b" for each group; a group may be a comma list and may bring its '@'. */
static void add_groups(struct strbuf *expr, const struct strv *groups)
{
    for (size_t i = 0; i < groups->n; i++) {
        CLEANUP_FREE char *list = x_strdup(groups->v[i]);
        char *rest = list;
        for (char *name; (name = strsep(&rest, ",")) != NULL;) {
            if (*name == '\0')
                continue;
            strbuf_adds(expr, expr->len ? "," : "");
            strbuf_adds(expr, *name == '@' ? "" : "@");
            strbuf_adds(expr, name);
        }
    }
}

static int eval(const struct target_env *env, const char *first, const struct strv *groups,
                struct target_set *out, struct err *e)
{
    struct strbuf expr;
    strbuf_init(&expr, 0);
    if (first)
        strbuf_adds(&expr, first);
    add_groups(&expr, groups);
    int rc = 0;
    if (expr.len)
        rc = target_eval(env, expr.s, out, e);
    strbuf_free(&expr);
    return rc;
}

static void unite_all(const struct target_env *env, struct target_set *out)
{
    struct target_set all;
    target_set_init(&all);
    target_all(env, &all);
    nodeset_union(out->nodes, all.nodes);
    target_set_clear(&all);
}

/* Direct names come first, in written order, then what groups bring. */
static void unite_ids(const struct fleet *f, const struct target_request *t,
                      struct target_set *out)
{
    struct nodeset *nodes = nodeset_new();
    for (size_t i = 0; t->node_ids && i < t->node_ids->n; i++)
        nodeset_add(nodes, t->node_ids->v[i]);
    nodeset_union(nodes, out->nodes);
    for (size_t i = 0; t->group_ids && i < t->group_ids->n; i++) {
        const char *name = t->group_ids->v[i];
        const struct fleet_group *g = fleet_group(f, name);
        if (!g) {
            strv_push_own(&out->warnings, x_asprintf("unknown group: @%s", name));
            continue;
        }
        if (!strv_has(&out->groups, name))
            strv_push(&out->groups, name);
        for (size_t j = 0; j < g->n_all; j++)
            nodeset_add(nodes, f->nodes[g->all[j]].name);
    }
    nodeset_free(out->nodes);
    out->nodes = nodes;
}

static int exclude(struct target_env *env, const struct target_request *t, struct target_set *out,
                   struct err *e)
{
    struct target_set ex;
    target_set_init(&ex);
    env->stdin_taken = env->stdin_taken || out->used_stdin;
    int rc = eval(env, t->exclude, &t->exclude_groups, &ex, e);
    if (rc == 0 && ex.nodes) {
        nodeset_difference(out->nodes, ex.nodes);
        for (size_t i = 0; i < ex.warnings.n; i++)
            strv_push(&out->warnings, ex.warnings.v[i]);
    }
    target_set_clear(&ex);
    return rc;
}

static int no_target(const struct target_request *t, const struct target_set *out, struct err *e)
{
    bool ids = (t->node_ids && t->node_ids->n) || (t->group_ids && t->group_ids->n);
    if (!ids && !t->targets && !t->groups.n && !t->all)
        return err_set(e, ERR_VALIDATION, "no target: %s",
                       t->node_ids ? "name at least one node or group (targetNodeIds, "
                                     "targetGroupIds, targets, group or all)"
                                   : "give -w TARGETS, -g GROUP or -a");
    return err_set(e, ERR_VALIDATION, "no target: %s",
                   out->warnings.n ? out->warnings.v[0]
                                   : "what was given, less what was left out, names no node "
                                     "(muster nodes EXPRESSION shows what one means)");
}

int service_targets(struct service *s, const struct target_request *t, struct target_set *out,
                    struct err *e)
{
    target_set_init(out);
    const struct fleet *fleet = service_fleet(s, e);
    if (!fleet)
        return -ERR_VALIDATION;
    struct target_env env = {
        .fleet = fleet,
        .results = results,
        .ctx = s,
        .any_host = t->any_host || s->config.any_host,
        .stdin_taken = t->stdin_taken,
    };
    int rc = eval(&env, t->targets, &t->groups, out, e);
    if (rc != 0)
        return rc;
    if (!out->nodes)
        out->nodes = nodeset_new();
    if (t->all)
        unite_all(&env, out);
    if (t->node_ids || t->group_ids)
        unite_ids(fleet, t, out);
    rc = exclude(&env, t, out, e);
    if (rc == 0 && nodeset_count(out->nodes) == 0)
        rc = no_target(t, out, e);
    if (rc != 0)
        target_set_clear(out);
    return rc;
}
