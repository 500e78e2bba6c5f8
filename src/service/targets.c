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
    if (t->all) {
        struct target_set all;
        target_set_init(&all);
        target_all(&env, &all);
        nodeset_union(out->nodes, all.nodes);
        target_set_clear(&all);
    }

    struct target_set ex;
    target_set_init(&ex);
    env.stdin_taken = env.stdin_taken || out->used_stdin;
    rc = eval(&env, t->exclude, &t->exclude_groups, &ex, e);
    if (rc == 0 && ex.nodes) {
        nodeset_difference(out->nodes, ex.nodes);
        for (size_t i = 0; i < ex.warnings.n; i++)
            strv_push(&out->warnings, ex.warnings.v[i]);
    }
    if (rc == 0 && nodeset_count(out->nodes) == 0) {
        bool named = t->targets || t->groups.n || t->all;
        rc = err_set(e, ERR_VALIDATION, "no target: %s",
                     named ? "what was given names no node (muster nodes shows what there is)"
                           : "give -w TARGETS, -g GROUP or -a");
    }
    target_set_clear(&ex);
    if (rc != 0)
        target_set_clear(out);
    return rc;
}
