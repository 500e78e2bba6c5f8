/* SPDX-License-Identifier: Apache-2.0 */
/* The source "bolt": Bolt's inventory.yaml, version 2.
 *
 * A target's data is searched as Bolt does it: what targets say goes over what groups say; an inner
 * group over the one around it; of two groups beside each other, the earlier in the file. The top of
 * the file is the group "all". Here that is laid on from the weakest to the strongest. */
#include "bolt.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/strmap.h"
#include "muster/core/yaml.h"

#include <ctype.h>
#include <string.h>

#define DEPTH_MAX 32 /* LIMIT: groups inside groups */

struct target {
    char *key;         /* Bolt's name of it: its name, or its URI */
    const struct yaml_node *at;
    struct bolt_uri uri;
    bool by_name, from_uri; /* the key is a `name`; a URI was given */
    struct bolt_data data;
    char *name;         /* of its node; NULL: it can have none, and is left out */
    struct entry entry; /* what its node gets */
    uint32_t node;
    uint32_t seen;
};

struct alias {
    const struct yaml_node *at;
    size_t target;
};

/* One target in one group: what it says there, if it says anything. */
struct member {
    size_t target;
    struct bolt_data data;
};

struct group {
    char *name;
    struct bolt_data data;
    struct member *members;
    size_t n_members, cap_members;
    size_t *children;
    size_t n_children, cap_children;
    const struct yaml_node *strings; /* its `targets`, for those that are no mappings */
};

struct bolt {
    struct build *b;
    const char *path;
    struct err *e;
    struct target *targets;
    size_t n_targets, cap_targets;
    struct group *groups;
    size_t n_groups, cap_groups;
    struct alias *aliases;
    size_t n_aliases, cap_aliases;
    struct strmap *by_key, *by_alias, *by_group; /* -> index */
    uint32_t stamp;
};

#define fail(r, at, ...) source_fail((r)->e, (r)->path, at, __VA_ARGS__)

/* What stands where a list of targets or groups is to be. */
static int no_list(struct bolt *r, const struct yaml_node *at, const char *what)
{
    const struct yaml_node *name = yaml_get(at, "_plugin");

    if (!name)
        return fail(r, at, "\"%s\" is to be a list (\"- name: ..\"), and is %s here", what,
                    at->kind == YAML_MAPPING ? "a mapping" : "one word");
    return fail(r, at, "%s come from Bolt's plugin \"%s\" here, and muster runs no plugins of "
                       "Bolt: write them out, or give the list with -i command:...",
                what, name->kind == YAML_SCALAR ? name->scalar : "?");
}

static void add_member(struct bolt *r, size_t group, size_t target)
{
    struct group *g = &r->groups[group];

    X_GROW(g->members, g->cap_members, g->n_members + 1);
    g->members[g->n_members++] = (struct member){.target = target};
}

static int set_uri(struct bolt *r, struct target *t, const char *uri, const struct yaml_node *at)
{
    int rc;

    if (t->from_uri)
        return 0;
    rc = bolt_uri_parse(&t->uri, uri, r->e);
    if (rc)
        err_prefix(r->e, "%s: line %u: ", r->path, at->line);
    else if (t->uri.password)
        build_warn(r->b, "the password in the URI of \"%s\" is not kept: give it with -A",
                   t->by_name ? t->key : t->uri.host);
    t->from_uri = rc == 0;
    return rc;
}

static size_t target_of(struct bolt *r, const struct yaml_node *node, bool by_name)
{
    const char *key = node->scalar;
    intptr_t at;

    if (strmap_get_num(r->by_key, key, &at)) {
        r->targets[at].by_name |= by_name;
        return (size_t) at;
    }
    X_GROW(r->targets, r->cap_targets, r->n_targets + 1);
    r->targets[r->n_targets] =
        (struct target){.key = x_strdup(key), .at = node, .by_name = by_name};
    entry_init(&r->targets[r->n_targets].entry);
    strmap_set_num(r->by_key, key, (intptr_t) r->n_targets);
    return r->n_targets++;
}

static int add_alias(struct bolt *r, size_t target, const struct yaml_node *alias)
{
    size_t n = alias->kind == YAML_SEQUENCE ? alias->n : 1;

    for (size_t i = 0; i < n; i++) {
        const struct yaml_node *one = alias->kind == YAML_SEQUENCE ? alias->items[i] : alias;
        intptr_t other;
        if (one->kind != YAML_SCALAR || yaml_is_null(one))
            return fail(r, one, "\"alias\" is to be a name or a list of names");
        if (name_check("node", one->scalar, r->e)) {
            err_prefix(r->e, "%s: line %u: alias: ", r->path, one->line);
            return -ERR_VALIDATION;
        }
        if (strmap_get_num(r->by_alias, one->scalar, &other) && (size_t) other != target)
            return fail(r, one, "the alias \"%s\" is of two targets: \"%s\" and \"%s\"",
                        one->scalar, r->targets[other].key, r->targets[target].key);
        strmap_set_num(r->by_alias, one->scalar, (intptr_t) target);
        X_GROW(r->aliases, r->cap_aliases, r->n_aliases + 1);
        r->aliases[r->n_aliases++] = (struct alias){one, target};
    }
    return 0;
}

/* A word is to mean one thing, as Bolt wants it: a group, a target, or an alias of one. */
static int check_names(struct bolt *r)
{
    intptr_t other;

    for (size_t i = 0; i < r->n_targets; i++)
        if (strmap_get_num(r->by_group, r->targets[i].key, &other))
            return fail(r, r->targets[i].at,
                        "the target \"%s\" has the name of a group: Bolt takes no word for both "
                        "(groups stand under \"groups\", not under \"targets\")",
                        r->targets[i].key);
    for (size_t i = 0; i < r->n_aliases; i++) {
        const char *alias = r->aliases[i].at->scalar;
        const char *of = r->targets[r->aliases[i].target].key;
        if (strmap_get_num(r->by_group, alias, &other))
            return fail(r, r->aliases[i].at, "the alias \"%s\" of \"%s\" is the name of a group",
                        alias, of);
        if (strmap_get_num(r->by_key, alias, &other))
            return fail(r, r->aliases[i].at, "the alias \"%s\" of \"%s\" is the name of a target",
                        alias, of);
    }
    return 0;
}

static int read_data(struct bolt *r, struct bolt_data *d, const char *who,
                     const struct yaml_node *key, const struct yaml_node *value)
{
    int rc = bolt_data_read(r->b, d, who, key, value, r->e);

    if (rc < 0)
        err_prefix(r->e, "%s: ", r->path);
    return rc;
}

static int read_target(struct bolt *r, size_t group, const struct yaml_node *map)
{
    const struct yaml_node *name = yaml_get(map, "name"), *uri = yaml_get(map, "uri");
    const struct yaml_node *key = name && !yaml_is_null(name) ? name : uri;
    struct member *m;
    size_t target;
    int rc = 0;

    if (yaml_get(map, "_plugin"))
        return no_list(r, map, "targets");
    if (key && bolt_plugin_in(key)) {
        build_warn(r->b, "line %u: this target is left out: its name comes from Bolt's plugin \"%s\", "
                         "and muster runs no plugins of Bolt", key->line, bolt_plugin_in(key));
        return 0;
    }
    if (!key || key->kind != YAML_SCALAR || !*key->scalar)
        return fail(r, map, "a target needs a \"name\" or a \"uri\" of one word");
    target = target_of(r, key, key == name);
    add_member(r, group, target);
    m = &r->groups[group].members[r->groups[group].n_members - 1];
    if (uri && uri->kind == YAML_SCALAR)
        rc = set_uri(r, &r->targets[target], uri->scalar, uri);
    else if (uri)
        bolt_data_plugin(r->b, &m->data, key->scalar, "uri", uri);
    for (size_t i = 0; !rc && i < map->n; i++) {
        const char *k = map->keys[i]->scalar;
        rc = read_data(r, &m->data, key->scalar, map->keys[i], map->items[i]);
        if (rc > 0 && strcmp(k, "alias") == 0 && bolt_plugin_in(map->items[i])) {
            build_warn(r->b, "the alias of \"%s\" comes from Bolt's plugin \"%s\": it is missing",
                       key->scalar, bolt_plugin_in(map->items[i]));
            rc = 0;
        } else if (rc > 0 && strcmp(k, "alias") == 0)
            rc = add_alias(r, target, map->items[i]);
        else if (rc > 0) {
            if (strcmp(k, "name") != 0 && strcmp(k, "uri") != 0)
                build_warn(r->b, "the key \"%s\" of a target is not used", k);
            rc = 0;
        }
    }
    return rc;
}

static int read_targets(struct bolt *r, size_t group, const struct yaml_node *list)
{
    int rc = 0;

    if (list->kind == YAML_MAPPING)
        return no_list(r, list, "targets");
    for (size_t i = 0; !rc && list->kind == YAML_SEQUENCE && i < list->n; i++) {
        if (list->items[i]->kind == YAML_MAPPING)
            rc = read_target(r, group, list->items[i]);
        else if (list->items[i]->kind != YAML_SCALAR || yaml_is_null(list->items[i]))
            rc = fail(r, list->items[i], "a target is to be a name, a URI or a mapping");
    }
    r->groups[group].strings = list;
    return rc;
}

static int read_group(struct bolt *r, const struct yaml_node *map, const char *name,
                      unsigned depth);

static int read_groups(struct bolt *r, size_t parent, const struct yaml_node *list,
                       unsigned depth)
{
    int rc = 0;

    if (list->kind != YAML_SEQUENCE)
        return no_list(r, list, "groups");
    if (depth > DEPTH_MAX)
        return fail(r, list, "groups stand in each other more than %d deep", DEPTH_MAX);
    for (size_t i = 0; !rc && i < list->n; i++) {
        const struct yaml_node *map = list->items[i], *name = yaml_get(map, "name");
        size_t child = r->n_groups;
        struct group *g;
        if (map->kind == YAML_MAPPING && yaml_get(map, "_plugin"))
            return no_list(r, map, "groups");
        if (map->kind != YAML_MAPPING || !name || name->kind != YAML_SCALAR)
            return fail(r, map, "a group is to be a mapping with a \"name\"");
        rc = read_group(r, map, name->scalar, depth + 1);
        g = &r->groups[parent];
        X_GROW(g->children, g->cap_children, g->n_children + 1);
        g->children[g->n_children++] = child;
    }
    return rc;
}

static int read_group(struct bolt *r, const struct yaml_node *map, const char *name,
                      unsigned depth)
{
    size_t at = r->n_groups;
    int rc = name_check("group", name, r->e);

    if (rc)
        err_prefix(r->e, "%s: line %u: ", r->path, map->line);
    else if (!strmap_set_num(r->by_group, name, (intptr_t) at))
        rc = fail(r, map, "the group \"%s\" is defined twice", name);
    if (rc)
        return rc;
    X_GROW(r->groups, r->cap_groups, r->n_groups + 1);
    r->groups[r->n_groups++] = (struct group){.name = x_strdup(name)};
    for (size_t i = 0; !rc && i < map->n; i++) {
        const char *k = map->keys[i]->scalar;
        const struct yaml_node *value = map->items[i];
        struct bolt_data data = r->groups[at].data; /* groups move while inner ones are read */
        rc = read_data(r, &data, name, map->keys[i], value);
        r->groups[at].data = data;
        if (rc <= 0)
            continue;
        rc = 0;
        if (strcmp(k, "targets") == 0)
            rc = yaml_is_null(value) ? 0 : read_targets(r, at, value);
        else if (strcmp(k, "groups") == 0)
            rc = yaml_is_null(value) ? 0 : read_groups(r, at, value, depth);
        else if (strcmp(k, "nodes") == 0)
            rc = fail(r, map->keys[i], "\"nodes\" is of version 1; version 2 has \"targets\" "
                                       "(`bolt project migrate` changes the file)");
        else if (strcmp(k, "name") != 0 && !(depth == 0 && strcmp(k, "version") == 0))
            build_warn(r->b, "the key \"%s\" of a group is not used", k);
    }
    return rc;
}

/* Once all targets are known: a word is the name or the alias of one, or a URI. */
static int read_strings(struct bolt *r, size_t group)
{
    const struct yaml_node *list = r->groups[group].strings;
    size_t n = list && list->kind == YAML_SEQUENCE ? list->n : list ? 1 : 0;
    int rc = 0;

    for (size_t i = 0; !rc && i < n; i++) {
        const struct yaml_node *one = list->kind == YAML_SEQUENCE ? list->items[i] : list;
        intptr_t at;
        if (one->kind != YAML_SCALAR)
            continue;
        if (!strmap_get_num(r->by_key, one->scalar, &at) &&
            !strmap_get_num(r->by_alias, one->scalar, &at)) {
            at = (intptr_t) target_of(r, one, false);
            rc = set_uri(r, &r->targets[at], one->scalar, one);
        }
        if (!rc)
            add_member(r, group, (size_t) at);
    }
    return rc;
}

/* --- laying the data on --- */

static void lay_on_members(struct bolt *r, size_t group, const struct bolt_data *d)
{
    const struct group *g = &r->groups[group];

    for (size_t i = 0; i < g->n_members; i++) {
        struct target *t = &r->targets[g->members[i].target];
        if (t->seen != r->stamp) {
            t->seen = r->stamp;
            bolt_data_merge(&t->data, d);
        }
    }
    for (size_t i = 0; i < g->n_children; i++)
        lay_on_members(r, g->children[i], d);
}

/* A group first, then the groups in it from the last to the first: each goes over the ones before. */
static void lay_groups(struct bolt *r, size_t group)
{
    const struct group *g = &r->groups[group];

    r->stamp++;
    if (g->data.config.n || g->data.vars.n)
        lay_on_members(r, group, &g->data);
    for (size_t i = g->n_children; i > 0; i--)
        lay_groups(r, g->children[i - 1]);
}

static void lay_targets(struct bolt *r, size_t group)
{
    const struct group *g = &r->groups[group];

    for (size_t i = g->n_members; i > 0; i--)
        bolt_data_merge(&r->targets[g->members[i - 1].target].data, &g->members[i - 1].data);
    for (size_t i = g->n_children; i > 0; i--)
        lay_targets(r, g->children[i - 1]);
}

/* A target without a name is a node of its host's name, unless another one is. */
static char *node_name(const struct bolt *r, const struct target *t, const struct strmap *hosts)
{
    const struct bolt_uri *u = &t->uri;
    intptr_t count = 0, other;
    bool v6;

    if (t->by_name)
        return x_strdup(t->key);
    if (!*u->host)
        return x_strdup("localhost");
    strmap_get_num(hosts, u->host, &count);
    v6 = u->port && strchr(u->host, ':');
    if ((count < 2 || (!u->user && !u->port)) &&
        (!strmap_get_num(r->by_key, u->host, &other) || &r->targets[other] == t))
        return x_strdup(u->host);
    return x_asprintf("%s%s%s%s%s%s%s", u->user ? u->user : "", u->user ? "@" : "", v6 ? "[" : "",
                      u->host, v6 ? "]" : "", u->port ? ":" : "", u->port ? u->port : "");
}

/* What Bolt takes for a name and targets here cannot say concerns that one alone. */
static int prepare(struct bolt *r, struct target *t, const struct strmap *hosts, const char *base)
{
    CLEANUP_FREE char *name = node_name(r, t, hosts);
    struct err why = ERR_INIT;
    int rc;

    if (t->by_name && name_check("node", name, &why)) {
        build_warn(r->b, "line %u: this target is left out: %s", t->at->line, why.msg);
        err_clear(&why);
        return 0;
    }
    rc = bolt_apply(r->b, &t->entry, name, &t->uri, &t->data, base, r->e);
    if (rc)
        err_prefix(r->e, "%s: ", r->path);
    varlist_merge(&t->entry.vars, &t->data.vars);
    t->name = X_STEAL(name);
    return rc;
}

static int make_nodes(struct bolt *r)
{
    struct strmap *hosts = strmap_new();
    CLEANUP_FREE char *base = io_dirname(r->path);
    int rc = 0;

    for (size_t i = 0; i < r->n_targets; i++) {
        intptr_t count = 0;
        if (!r->targets[i].by_name) {
            strmap_get_num(hosts, r->targets[i].uri.host, &count);
            strmap_set_num(hosts, r->targets[i].uri.host, count + 1);
        }
    }
    for (size_t i = 0; !rc && i < r->n_targets; i++)
        rc = prepare(r, &r->targets[i], hosts, base);
    strmap_free(hosts);
    /* Only now that nothing more can be wrong with the file: there is no half of an inventory. */
    for (size_t i = 0; !rc && i < r->n_targets; i++) {
        struct target *t = &r->targets[i];
        if (t->name)
            rc = build_node(r->b, t->name, &t->node, r->e);
        if (t->name && !rc)
            entry_merge(&r->b->nodes[t->node].own, &t->entry);
    }
    return rc;
}

static int make_groups(struct bolt *r)
{
    for (size_t g = 0; g < r->n_groups; g++) {
        const struct group *from = &r->groups[g];
        uint32_t at;
        int rc = build_group(r->b, from->name, &at, r->e);
        if (rc)
            return rc;
        for (size_t i = 0; i < from->n_members; i++)
            if (r->targets[from->members[i].target].name)
                build_group_node(r->b, at, r->targets[from->members[i].target].node);
        for (size_t i = 0; i < from->n_children; i++)
            build_group_child(r->b, at, r->groups[from->children[i]].name, r->path);
    }
    return 0;
}

/* The aliases of a target are names of its node, and its variable "alias". */
static void make_alias(const char *key, void *value, void *ctx)
{
    struct bolt *r = ctx;
    const struct target *t = &r->targets[(intptr_t) value];
    struct build_node *node = &r->b->nodes[t->node];
    CLEANUP_FREE char *all = NULL;
    const char *before = NULL;

    if (!t->name)
        return;
    for (size_t i = 0; i < node->own.vars.n; i++)
        if (strcmp(node->own.vars.v[i].name, "alias") == 0)
            before = node->own.vars.v[i].value;
    all = before ? x_asprintf("%s,%s", before, key) : x_strdup(key);
    varlist_set(&node->own.vars, "alias", all);
    build_alias(r->b, key, t->node);
}

static void bolt_clear(struct bolt *r)
{
    for (size_t i = 0; i < r->n_targets; i++) {
        free(r->targets[i].key);
        free(r->targets[i].name);
        entry_clear(&r->targets[i].entry);
        bolt_uri_clear(&r->targets[i].uri);
        bolt_data_clear(&r->targets[i].data);
    }
    for (size_t g = 0; g < r->n_groups; g++) {
        for (size_t i = 0; i < r->groups[g].n_members; i++)
            bolt_data_clear(&r->groups[g].members[i].data);
        free(r->groups[g].members);
        free(r->groups[g].children);
        bolt_data_clear(&r->groups[g].data);
        free(r->groups[g].name);
    }
    free(r->targets);
    free(r->groups);
    free(r->aliases);
    strmap_free(r->by_key);
    strmap_free(r->by_alias);
    strmap_free(r->by_group);
}

static int check_version(struct bolt *r, const struct yaml_node *root)
{
    const struct yaml_node *version = yaml_get(root, "version");

    if (root->kind != YAML_MAPPING)
        return fail(r, root, "an inventory of Bolt is a mapping");
    /* Bolt takes a file that says nothing for one of version 2; those of version 1 have `nodes`. */
    if (version ? version->kind == YAML_SCALAR && strcmp(version->scalar, "2") == 0
                : !yaml_get(root, "nodes"))
        return 0;
    return fail(r, version ? version : root, "only version 2 of Bolt's inventory is read "
                                             "(`bolt project migrate` changes an older file)");
}

static int bolt_load(struct build *b, const struct source_input *in, struct err *e)
{
    struct bolt r = {.b = b, .path = in->path, .e = e};
    struct yaml_node *root = yaml_parse(in->path, in->text, in->n, e);
    int rc;

    if (!root)
        return -ERR_VALIDATION;
    r.by_key = strmap_new();
    r.by_alias = strmap_new();
    r.by_group = strmap_new();
    rc = check_version(&r, root);
    if (!rc)
        rc = read_group(&r, root, "all", 0);
    for (size_t g = 0; !rc && g < r.n_groups; g++)
        rc = read_strings(&r, g);
    if (!rc)
        rc = check_names(&r);
    if (!rc) {
        lay_groups(&r, 0);
        lay_targets(&r, 0);
        rc = make_nodes(&r);
    }
    if (!rc)
        rc = make_groups(&r);
    if (!rc)
        strmap_each(r.by_alias, make_alias, &r);
    bolt_clear(&r);
    yaml_free(root);
    return rc;
}

/* `groups` is a list, as no other kind of file has it. */
static bool begins_list(const char *line)
{
    line += strcspn(line, "\n");
    while (*line == '\n') {
        const char *text = line + 1 + strspn(line + 1, " \t");

        if (*text != '\n' && *text != '#')
            return *text == '-' && isspace((unsigned char) text[1]);
        line = text + strcspn(text, "\n");
    }
    return false;
}

/* "version: 2" at the top, or without it `targets`, or a list of groups. */
static bool bolt_sniff(const struct source_input *in)
{
    for (const char *line = in->text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, "version:", 8) == 0) {
            line += 8;
            line += strspn(line, " \t\"'");
            return (*line == '1' || *line == '2') && line[1] != '.' &&
                   !isdigit((unsigned char) line[1]);
        }
        if (strncmp(line, "targets:", 8) == 0 ||
            (strncmp(line, "groups:", 7) == 0 && begins_list(line)))
            return true;
    }
    return false;
}

const struct inventory_source_ops source_bolt = {
    .name = "bolt",
    .sniff = bolt_sniff,
    .load = bolt_load,
    .is_explicit = true,
};
