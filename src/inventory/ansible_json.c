/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the JSON of an Ansible inventory: `_meta.hostvars` and the groups.
 *
 * ansible-inventory gives each host its variables complete. A script may leave variables at groups:
 * these are laid on here as Ansible does, parents before children and by name within one depth. What has
 * another shape than Ansible takes is an error: an answer that is half understood must not become the copy
 * that serves. */
#include "ansible.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strmap.h"
#include "muster/base/text.h"
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
    uint32_t seen;
    unsigned depth;
};

struct reader {
    struct build *b;
    const struct ansible_input *in;
    struct err *e;
    struct host *hosts;
    size_t n_hosts, cap_hosts;
    struct group *groups;
    size_t n_groups, cap_groups;
    struct strmap *by_host, *by_group;
    size_t at; /* the group being read */
    bool group_vars;
    uint32_t stamp;
    size_t n_unknown; /* hosts that only `_meta` has */
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

/* --- what is printed, checked for its shape --- */

static const char *kind_of(const struct json *j)
{
    static const char *const names[] = {
        [JSON_NULL] = "null", [JSON_BOOL] = "true or false", [JSON_INT] = "a number",
        [JSON_NUMBER] = "a number", [JSON_STRING] = "a text", [JSON_ARRAY] = "a list",
        [JSON_OBJECT] = "a mapping"};

    return names[json_type(j)];
}

/* "inv.sh: the group "web": "hosts" is a text, and a list of names is wanted". */
static int bad_shape(struct reader *r, const char *group, const char *part, const struct json *j,
                     const char *wanted)
{
    CLEANUP_FREE char *clean = text_clean(group);

    return err_set(r->e, ERR_VALIDATION, "%s: %s \"%.100s\"%s%s is %s, and %s is wanted", r->in->what,
                   strcmp(part, "variables") == 0 ? "the host" : "the group", clean,
                   *part ? ": " : "", part, kind_of(j), wanted);
}

static int read_list(struct reader *r, const char *group, const char *part, const struct json *list,
                     void (*add)(struct reader *, const char *))
{
    CLEANUP_FREE char *quoted = x_asprintf("\"%s\"", part);

    if (json_type(list) != JSON_ARRAY)
        return bad_shape(r, group, quoted, list, "a list of names");
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json *one = json_at(list, i);
        CLEANUP_FREE char *item = x_asprintf("\"%s\", item %zu", part, i + 1);
        if (!json_str(one))
            return bad_shape(r, group, item, one, "a name");
        add(r, json_str(one));
    }
    return 0;
}

static void add_child(struct reader *r, const char *name)
{
    size_t at = r->at, child = group_of(r, name);

    if (child != NONE)
        group_child(r, at, child);
}

/* A mapping without `hosts`, `children` or `vars`: for Ansible a host of that name, with these
 * variables; ansible-inventory itself prints an empty one for an empty group. */
static int read_short(struct reader *r, const char *key, const struct json *value)
{
    bool empty = strcmp(json_text((struct json *) value, NULL), "{}") == 0;
    CLEANUP_FREE char *clean = text_clean(key);

    if (r->in->from != ANSIBLE_SCRIPT && empty)
        return 0;
    if (r->in->from != ANSIBLE_SCRIPT)
        return err_set(r->e, ERR_VALIDATION,
                       "%s: the group \"%.100s\" has neither \"hosts\" nor \"children\" nor \"vars\": a "
                       "mapping of groups is wanted, as ansible-inventory --list prints it",
                       r->in->what, clean);
    build_warn(r->b, "\"%s\" has neither \"hosts\" nor \"children\" nor \"vars\": it is taken as a host of "
                     "that name, as Ansible does", clean);
    group_host(r, key);
    r->groups[r->at].vars = value;
    r->group_vars = true;
    return 0;
}

static int read_group_mapping(struct reader *r, const char *key, struct json *value)
{
    struct json *vars = json_get(value, "vars");
    int rc = 0;

    if (!json_has(value, "hosts") && !json_has(value, "children") && !json_has(value, "vars"))
        return read_short(r, key, value);
    if (json_has(value, "hosts"))
        rc = read_list(r, key, "hosts", json_get(value, "hosts"), group_host);
    if (!rc && json_has(value, "children"))
        rc = read_list(r, key, "children", json_get(value, "children"), add_child);
    if (rc || !json_has(value, "vars"))
        return rc;
    if (json_type(vars) != JSON_OBJECT)
        return bad_shape(r, key, "\"vars\"", vars, "a mapping of variables");
    r->groups[r->at].vars = vars;
    r->group_vars = true;
    return 0;
}

static int read_group(const char *key, struct json *value, void *ctx)
{
    struct reader *r = ctx;
    bool list = json_type(value) == JSON_ARRAY;

    if (strcmp(key, "_meta") == 0)
        return 0;
    if (!list && json_type(value) != JSON_OBJECT)
        return bad_shape(r, key, "", value, "a mapping with \"hosts\", or a list of names,");
    r->at = group_of(r, key);
    if (r->at == NONE)
        return 0;
    return list ? read_list(r, key, "hosts", value, group_host)
                : read_group_mapping(r, key, value);
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

static int lay_host_vars(struct reader *r, size_t host, struct json *value)
{
    if (json_type(value) != JSON_OBJECT)
        return bad_shape(r, r->hosts[host].name, "variables", value, "a mapping");
    return json_each(value, add_var, &r->hosts[host].vars);
}

/* A host that no group has is none for Ansible, whatever `_meta` says of it. */
static int read_host_vars(const char *key, struct json *value, void *ctx)
{
    struct reader *r = ctx;
    intptr_t host;

    if (!strmap_get_num(r->by_host, key, &host)) {
        CLEANUP_FREE char *clean = text_clean(key);
        if (r->n_unknown++ < 3 && !name_check("node", key, NULL))
            build_warn(r->b, "\"%s\" is only in \"_meta\" and in no group: it is no host, as Ansible "
                             "has it", clean);
        return 0;
    }
    return lay_host_vars(r, (size_t) host, value);
}

static int read_answer(struct reader *r, size_t host, const char *text)
{
    const char *name = r->hosts[host].name;
    struct json *vars;
    int rc;

    if (text[strspn(text, " \t\r\n")] == '\0')
        return 0;
    vars = json_parse(text, strlen(text), r->e);
    if (!vars) {
        err_prefix(r->e, "%s: asked with --host \"%s\": what it prints is no JSON: ", r->in->what,
                   name);
        return -ERR_VALIDATION;
    }
    rc = lay_host_vars(r, host, vars);
    json_free(vars);
    return rc;
}

/* As Ansible does where there is no `_meta`. */
static int ask_hosts(struct reader *r)
{
    const char **names = x_array(NULL, r->n_hosts + 1, sizeof *names);
    char **answers = x_calloc(r->n_hosts + 1, sizeof *answers);
    int rc;

    for (size_t i = 0; i < r->n_hosts; i++)
        names[i] = r->hosts[i].name;
    rc = ansible_ask(r->b, r->in->script, names, r->n_hosts, answers, r->e);
    if (rc)
        err_prefix(r->e, "%s: ", r->in->what);
    for (size_t i = 0; i < r->n_hosts; i++) {
        if (!rc && answers[i])
            rc = read_answer(r, i, answers[i]);
        free(answers[i]);
    }
    free(answers);
    free(names);
    return rc;
}

static int read_all_host_vars(struct reader *r, struct json *root)
{
    struct json *meta = json_get(root, "_meta"), *hostvars = json_get(meta, "hostvars");

    if (json_has(root, "_meta") && json_type(meta) != JSON_OBJECT)
        return bad_shape(r, "_meta", "", meta, "a mapping");
    if (meta && json_has(meta, "hostvars")) {
        if (json_type(hostvars) != JSON_OBJECT)
            return bad_shape(r, "_meta", "\"hostvars\"", hostvars, "a mapping of hosts");
        return json_each(hostvars, read_host_vars, r);
    }
    if (r->n_hosts == 0)
        return 0;
    if (r->in->from != ANSIBLE_SCRIPT)
        build_warn(r->b, "it prints no \"_meta\": variables of hosts are not known%s",
                   r->in->from == ANSIBLE_COMMAND
                       ? " (a script, named by its path, is asked for each host)" : "");
    else if (r->n_hosts > ANSIBLE_ASK_MAX)
        build_warn(r->b, "it prints no \"_meta\", and %zu hosts are too many to ask for each with --host "
                         "(at most %zu are): variables of hosts are not known", r->n_hosts,
                   ANSIBLE_ASK_MAX);
    else
        return ask_hosts(r);
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

static void lay_on(struct reader *r, struct group *g, const struct varlist *vars, unsigned depth)
{
    if (g->seen == r->stamp)
        return;
    g->seen = r->stamp;
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
    const struct ansible_config *config = r->in->config;
    int rc = build_node(r->b, h->name, &h->node, r->e);

    entry_init(&en);
    if (!rc)
        rc = ansible_vars(r->b, &en, h->name, &h->vars, NULL, r->e);
    if (!rc)
        entry_merge(&r->b->nodes[h->node].own, &en);
    entry_clear(&en);
    if (!rc && config && config->vars.n)
        rc = ansible_vars(r->b, &en, h->name, &h->vars, config, r->e);
    if (!rc)
        entry_merge(&r->b->nodes[h->node].base, &en);
    else
        err_prefix(r->e, "%s: ", r->in->what);
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
        build_group_child(r->b, at, r->groups[g->children[i]].name, r->in->what);
    return rc;
}

/* A script need not say `all`; Ansible has it nevertheless. */
static void complete_all(struct reader *r)
{
    size_t all = group_of(r, "all");

    for (size_t g = 0; g < r->n_groups; g++)
        if (g != all && !r->groups[g].is_child)
            group_child(r, all, g);
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
    int rc = json_each(root, read_group, r);

    if (rc)
        return rc;
    if (r->group_vars)
        lay_group_vars(r);
    rc = read_all_host_vars(r, root);
    complete_all(r);
    for (size_t i = 0; !rc && i < r->n_hosts; i++)
        rc = make_host(r, &r->hosts[i]);
    for (size_t g = 0; !rc && g < r->n_groups; g++)
        rc = make_group(r, &r->groups[g]);
    return rc;
}

int ansible_json(struct build *b, const struct ansible_input *in, struct err *e)
{
    struct reader r = {.b = b, .in = in, .e = e};
    struct json *root = json_parse(in->text, in->n, e);
    int rc;

    if (!root) {
        err_prefix(e, "%s: what it prints is no JSON: ", in->what);
        return -ERR_VALIDATION;
    }
    r.by_host = strmap_new();
    r.by_group = strmap_new();
    if (json_type(root) == JSON_OBJECT)
        rc = read_all(&r, root);
    else
        rc = err_set(e, ERR_VALIDATION, "%s: it prints %s, and a mapping of groups is wanted, as "
                                        "ansible-inventory --list prints it", in->what,
                     kind_of(root));
    reader_clear(&r);
    json_free(root);
    return rc;
}
