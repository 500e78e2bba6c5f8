/* SPDX-License-Identifier: Apache-2.0 */
/* From target flags to a set of nodes: expressions against the fleet; results,
 * saved ones and facts against the store. */
#include "remember.h"
#include "service.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/strmap.h"
#include "muster/core/json.h"
#include "muster/core/nodeset.h"
#include "muster/core/suggest.h"
#include "muster/core/target.h"
#include "muster/store/reader.h"

#include <stdlib.h>
#include <string.h>

/* What one evaluation has opened and read so far. */
struct lookup {
    struct service *s;
    const char *unsaved; /* being saved: it cannot be named yet */
    struct reader *r;    /* NULL until needed */
    bool facts_read;
    struct node_facts *facts;
    size_t n_facts;
    struct strmap *by_node; /* node -> place in facts */
    struct json *parsed;    /* the facts that were handed out last */
    struct err trouble;     /* of reading the facts */
};

static void lookup_clear(struct lookup *l)
{
    json_free(l->parsed);
    strmap_free(l->by_node);
    node_facts_free(l->facts, l->n_facts);
    err_clear(&l->trouble);
    reader_close(l->r);
}

static struct reader *lookup_reader(struct lookup *l, struct err *e)
{
    if (!l->r)
        l->r = reader_open(l->s->db_path, e);
    return l->r;
}

/* The number of "classN", or 0. */
static size_t class_number(const char *what)
{
    static const char word[] = "class";
    if (!what || strncmp(what, word, strlen(word)) != 0)
        return 0;
    const char *digits = what + strlen(word);
    size_t n = strlen(digits);
    if (n == 0 || n > 6 || strspn(digits, "0123456789") != n)
        return 0;
    return strtoul(digits, NULL, 10);
}

static int results(void *ctx, const char *batch, const char *what, struct nodeset *out,
                   struct err *e)
{
    struct reader *r = lookup_reader(ctx, e);
    if (!r)
        return -ERR_STORE;
    int64_t number;
    size_t class = class_number(what);
    int rc = reader_resolve(r, batch, &number, e);
    if (rc != 0)
        return rc;
    return class ? reader_nodes_by_class(r, number, class, out, e)
                 : reader_nodes_by_result(r, number, what, out, e);
}

static int unknown_saved(struct reader *r, const char *name, struct err *e)
{
    struct saved_targets *all;
    size_t n;
    int rc = reader_saved(r, NULL, &all, &n, e);
    if (rc != 0)
        return rc;
    CLEANUP_FREE const char **names = x_array(NULL, n + 1, sizeof *names);
    for (size_t i = 0; i < n; i++)
        names[i] = all[i].name;
    const char *near = suggest_nearest(name, names, n);
    err_set(e, ERR_VALIDATION, "no targets are saved as %s%s%s%s (muster nodes --saved lists them)",
            name, near ? ": did you mean " : "", near ? near : "", near ? "?" : "");
    saved_targets_free(all, n);
    return -ERR_VALIDATION;
}

static int saved(void *ctx, const char *name, char **out, struct err *e)
{
    struct lookup *l = ctx;
    if (l->unsaved && strcmp(l->unsaved, name) == 0)
        return err_set(e, ERR_VALIDATION, "what is saved as %s cannot name itself", name);
    struct reader *r = lookup_reader(l, e);
    if (!r)
        return -ERR_STORE;
    struct saved_targets *v;
    size_t n;
    int rc = reader_saved(r, name, &v, &n, e);
    if (rc != 0)
        return rc;
    if (n)
        *out = x_strdup(v[0].targets);
    saved_targets_free(v, n);
    return n ? 0 : unknown_saved(r, name, e);
}

static void read_facts(struct lookup *l)
{
    l->facts_read = true;
    l->by_node = strmap_new();
    struct reader *r = lookup_reader(l, &l->trouble);
    if (!r || reader_facts(r, NULL, &l->facts, &l->n_facts, &l->trouble) != 0)
        return;
    for (size_t i = 0; i < l->n_facts; i++)
        strmap_set_num(l->by_node, l->facts[i].node, (intptr_t) i);
}

/* One node's at a time: the documents of a large fleet would not fit into memory parsed. */
static const struct json *facts(void *ctx, const char *node, const char *path)
{
    struct lookup *l = ctx;
    intptr_t at;
    json_free(X_STEAL(l->parsed));
    if (!l->facts_read)
        read_facts(l);
    if (!strmap_get_num(l->by_node, node, &at))
        return NULL;
    const char *text = l->facts[at].facts;
    l->parsed = path ? json_parse_member(text, path) : json_parse(text, strlen(text), NULL);
    return l->parsed;
}

static struct target_env env_of(struct lookup *l, const struct fleet *fleet, bool any_host)
{
    return (struct target_env){
        .fleet = fleet,
        .results = results,
        .saved = saved,
        .facts = facts,
        .ctx = l,
        .any_host = any_host || l->s->config.any_host,
    };
}

/* An expression, with what reading its facts came to. */
static int eval_expr(const struct target_env *env, const char *expr, struct target_set *out,
                     struct err *e)
{
    struct lookup *l = env->ctx;
    int rc = target_eval(env, expr, out, e);
    if (l->trouble.code == ERR_NONE)
        return rc;
    target_set_clear(out);
    return err_set(e, l->trouble.code, "%s", l->trouble.msg);
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
        rc = eval_expr(env, expr.s, out, e);
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
                   : out->why_none ? out->why_none
                                   : "what was given, less what was left out, names no node "
                                     "(muster nodes EXPRESSION shows what one means)");
}

static int eval_request(struct target_env *env, const struct target_request *t,
                        struct target_set *out, struct err *e)
{
    int rc = eval(env, t->targets, &t->groups, out, e);
    if (rc != 0)
        return rc;
    if (!out->nodes)
        out->nodes = nodeset_new();
    if (t->all)
        unite_all(env, out);
    if (t->node_ids || t->group_ids)
        unite_ids(env->fleet, t, out);
    rc = exclude(env, t, out, e);
    if (rc == 0 && nodeset_count(out->nodes) == 0)
        rc = no_target(t, out, e);
    return rc;
}

int service_targets(struct service *s, const struct target_request *t, struct target_set *out,
                    struct err *e)
{
    target_set_init(out);
    const struct fleet *fleet = service_fleet(s, e);
    if (!fleet)
        return -ERR_VALIDATION;
    struct lookup l = {.s = s};
    struct target_env env = env_of(&l, fleet, t->any_host);
    env.stdin_taken = t->stdin_taken;
    int rc = eval_request(&env, t, out, e);
    lookup_clear(&l);
    if (rc != 0)
        target_set_clear(out);
    return rc;
}

/* An expression by itself: standard input is somebody else's. unsaved: a name that it may not use. */
static int eval_alone(struct service *s, const char *expr, const char *unsaved, struct target_set *out,
                      struct err *e)
{
    const struct fleet *fleet = service_fleet(s, e);
    target_set_init(out);
    if (!fleet)
        return -ERR_VALIDATION;
    struct lookup l = {.s = s, .unsaved = unsaved};
    struct target_env env = env_of(&l, fleet, false);
    env.stdin_taken = true;
    int rc = eval_expr(&env, expr, out, e);
    lookup_clear(&l);
    return rc;
}

int targets_check(struct service *s, const char *name, const char *targets, struct err *e)
{
    struct target_set set;
    int rc = eval_alone(s, targets, name, &set, e);
    target_set_clear(&set);
    return rc;
}

int service_match(struct service *s, const char *expr, struct nodeset *out, struct err *e)
{
    struct target_set set;
    int rc = eval_alone(s, expr, NULL, &set, e);
    if (rc == 0 && set.nodes)
        nodeset_union(out, set.nodes);
    target_set_clear(&set);
    return rc;
}
