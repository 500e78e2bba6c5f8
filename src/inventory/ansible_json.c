/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the JSON of an Ansible inventory: `_meta.hostvars` and the groups.
 *
 * ansible-inventory gives each host its variables complete. A script may leave variables at groups:
 * these are laid on here as Ansible does, parents before children and by name within one depth. */
#include "ansible.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strmap.h"
#include "muster/core/json.h"

#include <string.h>

#define DEPTH_MAX 64 /* LIMIT: groups inside groups; a circle never ends */

struct host {
    char *name;
    struct varlist vars;
    uint32_t node, seen;
};

struct group {
    char *name;
    const struct json *vars; /* or NULL */
    size_t *hosts, n_hosts, cap_hosts;
    size_t *children, n_children, cap_children;
    bool is_child;
    unsigned depth;
};

struct reader {
    struct build *b;
    const char *what;
    struct err *e;
    struct host *hosts;
    size_t n_hosts, cap_hosts;
    struct group *groups;
    size_t n_groups, cap_groups;
    struct strmap *by_host, *by_group;
    size_t at; /* the group being read */
    bool group_vars;
    uint32_t stamp;
};
#define NONE ((size_t) -1)

static size_t host_of(struct reader *r, const char *name)
{
    intptr_t at;
    struct err why = ERR_INIT;

    if (strmap_get_num(r->by_host, name, &at))
        return (size_t) at;
    if (name_check("node", name, &why)) {
        build_warn(r->b, "a host is left out: %s", why.msg);
        err_clear(&why);
        return NONE;
    }
    X_GROW(r->hosts, r->cap_hosts, r->n_hosts + 1);
    r->hosts[r->n_hosts] = (struct host){.name = x_strdup(name)};
    strmap_set_num(r->by_host, name, (intptr_t) r->n_hosts);
    return r->n_hosts++;
}

static size_t group_of(struct reader *r, const char *name)
{
    intptr_t at;
    struct err why = ERR_INIT;

    if (strmap_get_num(r->by_group, name, &at))
        return (size_t) at;
    if (name_check("group", name, &why)) {
        build_warn(r->b, "a group is left out: %s", why.msg);
        err_clear(&why);
        return NONE;
    }
    X_GROW(r->groups, r->cap_groups, r->n_groups + 1);
    r->groups[r->n_groups] = (struct group){.name = x_strdup(name)};
    strmap_set_num(r->by_group, name, (intptr_t) r->n_groups);
    return r->n_groups++;
}

static void group_host(struct reader *r, const char *name)
{
    size_t host = host_of(r, name);
    struct group *g = &r->groups[r->at];

    if (host == NONE)
        return;
    X_GROW(g->hosts, g->cap_hosts, g->n_hosts + 1);
    g->hosts[g->n_hosts++] = host;
}

static void group_child(struct reader *r, size_t parent, size_t child)
{
    struct group *g = &r->groups[parent];

    X_GROW(g->children, g->cap_children, g->n_children + 1);
    g->children[g->n_children++] = child;
    r->groups[child].is_child = true;
}

static int host_key(const char *key, struct json *value, void *ctx)
{
    group_host(ctx, key);
    return 0;
}

static void read_hosts(struct reader *r, const struct json *hosts)
{
    for (size_t i = 0; i < json_len(hosts); i++)
        if (json_str(json_at(hosts, i)))
            group_host(r, json_str(json_at(hosts, i)));
    json_each(hosts, host_key, r);
}

static int read_group(const char *key, struct json *value, void *ctx)
{
    struct reader *r = ctx;
    struct json *children = json_get(value, "children"), *vars = json_get(value, "vars");
    bool list = json_type(value) == JSON_ARRAY;
    size_t at;

    if (strcmp(key, "_meta") == 0)
        return 0;
    if (!list && json_type(value) != JSON_OBJECT)
        return err_set(r->e, ERR_VALIDATION, "%s: the group \"%s\" is neither a mapping nor a list",
                       r->what, key);
    at = group_of(r, key);
    if (at == NONE)
        return 0;
    r->at = at;
    read_hosts(r, list ? value : json_get(value, "hosts"));
    for (size_t i = 0; i < json_len(children); i++) {
        const char *name = json_str(json_at(children, i));
        size_t child = name ? group_of(r, name) : NONE;
        if (child != NONE)
            group_child(r, at, child);
    }
    if (json_type(vars) == JSON_OBJECT && !list) {
        r->groups[at].vars = vars;
        r->group_vars = true;
    }
    return 0;
}

static int add_var(const char *key, struct json *value, void *ctx)
{
    const char *text = json_str(value);
    bool flag = json_type(value) == JSON_BOOL;

    if (*key)
        varlist_set(ctx, key,
                    text   ? text
                    : flag ? (json_bool(value) ? "true" : "false")
                           : json_type(value) == JSON_NULL ? "" : json_text(value, NULL));
    return 0;
}

static int read_host_vars(const char *key, struct json *value, void *ctx)
{
    struct reader *r = ctx;
    size_t host = host_of(r, key);

    if (host != NONE)
        json_each(value, add_var, &r->hosts[host].vars);
    return 0;
}

/* --- variables of groups --- */

static void measure(struct reader *r)
{
    bool changed = true;

    for (unsigned round = 0; changed && round < DEPTH_MAX; round++) {
        changed = false;
        for (size_t g = 0; g < r->n_groups; g++) {
            unsigned depth = r->groups[g].depth + 1;
            for (size_t i = 0; i < r->groups[g].n_children; i++) {
                struct group *child = &r->groups[r->groups[g].children[i]];
                if (child->depth < depth) {
                    child->depth = depth;
                    changed = true;
                }
            }
        }
    }
}

static int outer_first(const void *a, const void *b)
{
    const struct group *const *x = a, *const *y = b;

    if ((*x)->depth != (*y)->depth)
        return (*x)->depth < (*y)->depth ? -1 : 1;
    return strcmp((*x)->name, (*y)->name);
}

static void lay_on(struct reader *r, const struct group *g, const struct varlist *vars,
                   unsigned depth)
{
    for (size_t i = 0; i < g->n_hosts; i++) {
        struct host *h = &r->hosts[g->hosts[i]];
        if (h->seen != r->stamp) {
            h->seen = r->stamp;
            varlist_merge(&h->vars, vars);
        }
    }
    for (size_t i = 0; i < g->n_children && depth < DEPTH_MAX; i++)
        lay_on(r, &r->groups[g->children[i]], vars, depth + 1);
}

/* `all` holds every host, also where no group says so. */
static void lay_on_all(struct reader *r, const struct varlist *vars)
{
    for (size_t i = 0; i < r->n_hosts; i++)
        varlist_merge(&r->hosts[i].vars, vars);
}

static void lay_group_vars(struct reader *r)
{
    struct group **order = x_array(NULL, r->n_groups + 1, sizeof *order);

    measure(r);
    for (size_t g = 0; g < r->n_groups; g++)
        order[g] = &r->groups[g];
    qsort(order, r->n_groups, sizeof(struct group *), outer_first);
    for (size_t all = 1; all < 3; all++) {
        for (size_t g = 0; g < r->n_groups; g++) {
            struct varlist vars = {NULL, 0, 0};
            bool is_all = strcmp(order[g]->name, "all") == 0;
            if (!order[g]->vars || is_all != (all == 1))
                continue;
            json_each(order[g]->vars, add_var, &vars);
            r->stamp++;
            if (is_all)
                lay_on_all(r, &vars);
            else
                lay_on(r, order[g], &vars, 0);
            varlist_clear(&vars);
        }
    }
    free(order);
}

/* --- into the builder --- */

static int make_host(struct reader *r, struct host *h)
{
    struct entry en;
    int rc = build_node(r->b, h->name, &h->node, r->e);

    entry_init(&en);
    if (!rc)
        rc = ansible_vars(r->b, &en, h->name, &h->vars, r->e);
    if (!rc)
        entry_merge(&r->b->nodes[h->node].own, &en);
    else
        err_prefix(r->e, "%s: ", r->what);
    entry_clear(&en);
    return rc;
}

static int make_group(struct reader *r, const struct group *g)
{
    uint32_t at;
    int rc = build_group(r->b, g->name, &at, r->e);

    for (size_t i = 0; !rc && i < g->n_hosts; i++)
        build_group_node(r->b, at, r->hosts[g->hosts[i]].node);
    for (size_t i = 0; !rc && i < g->n_children; i++)
        build_group_child(r->b, at, r->groups[g->children[i]].name, r->what);
    return rc;
}

/* A script need not say `all`; Ansible has it nevertheless. */
static void complete_all(struct reader *r)
{
    size_t all = group_of(r, "all");

    for (size_t g = 0; g < r->n_groups; g++)
        if (g != all && !r->groups[g].is_child)
            group_child(r, all, g);
    r->at = all;
    for (size_t i = 0; i < r->n_hosts; i++)
        if (r->hosts[i].seen == 0)
            group_host(r, r->hosts[i].name);
}

static void reader_clear(struct reader *r)
{
    for (size_t i = 0; i < r->n_hosts; i++) {
        free(r->hosts[i].name);
        varlist_clear(&r->hosts[i].vars);
    }
    for (size_t g = 0; g < r->n_groups; g++) {
        free(r->groups[g].name);
        free(r->groups[g].hosts);
        free(r->groups[g].children);
    }
    free(r->hosts);
    free(r->groups);
    strmap_free(r->by_host);
    strmap_free(r->by_group);
}

static int read_all(struct reader *r, struct json *root)
{
    struct json *hostvars = json_get(json_get(root, "_meta"), "hostvars");
    int rc = json_each(root, read_group, r);

    if (rc)
        return rc;
    if (json_type(hostvars) != JSON_OBJECT && r->n_hosts)
        build_warn(r->b, "it prints no \"_meta\": variables of hosts are not known");
    /* Those that only `_meta` names are in no group but `all`. */
    for (size_t i = 0; i < r->n_hosts; i++)
        r->hosts[i].seen = ++r->stamp;
    r->stamp++;
    if (r->group_vars)
        lay_group_vars(r);
    json_each(hostvars, read_host_vars, r);
    complete_all(r);
    for (size_t i = 0; !rc && i < r->n_hosts; i++)
        rc = make_host(r, &r->hosts[i]);
    for (size_t g = 0; !rc && g < r->n_groups; g++)
        rc = make_group(r, &r->groups[g]);
    return rc;
}

int ansible_json(struct build *b, const char *what, const char *text, size_t n, struct err *e)
{
    struct reader r = {.b = b, .what = what, .e = e};
    struct json *root = json_parse(text, n, e);
    int rc;

    if (!root) {
        err_prefix(e, "%s: what it prints is no JSON: ", what);
        return -ERR_VALIDATION;
    }
    r.by_host = strmap_new();
    r.by_group = strmap_new();
    if (json_type(root) == JSON_OBJECT)
        rc = read_all(&r, root);
    else
        rc = err_set(e, ERR_VALIDATION, "%s: a mapping of groups is wanted, as "
                                        "ansible-inventory --list prints it", what);
    reader_clear(&r);
    json_free(root);
    return rc;
}
