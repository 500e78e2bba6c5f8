/* SPDX-License-Identifier: Apache-2.0 */
/* The source "muster": YAML with `defaults`, `nodes` and `groups`. */
#include "source.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/core/nodeset.h"
#include "muster/core/suggest.h"
#include "muster/core/yaml.h"

#include <ctype.h>
#include <string.h>

/* LIMIT: groups written inside groups; deeper ones are a mistake. */
#define INLINE_DEPTH_MAX 32

struct reader {
    struct build *b;
    const char *path;
    struct err *e;
};

static const char *const top_keys[] = {"defaults", "nodes", "groups"};

#define fail(r, at, ...) source_fail((r)->e, (r)->path, at, __VA_ARGS__)

/* Puts the place before an error that a lower function has set. */
static int placed(const struct reader *r, const struct yaml_node *at, int rc)
{
    if (rc)
        err_prefix(r->e, "%s: line %u: ", r->path, at->line);
    return rc;
}

/* Keys that an entry may have: the settings and then `more`. */
static int unknown_key(const struct reader *r, const struct yaml_node *key, const char *where,
                       bool settings, const char *const *more, size_t n_more)
{
    const char *keys[SETTING_COUNT + 8];
    struct strbuf allowed;
    const char *near;
    size_t n = 0;
    int rc;

    for (size_t i = 0; i < n_more; i++)
        keys[n++] = more[i];
    for (int id = 0; settings && id < SETTING_COUNT; id++)
        keys[n++] = setting_key((enum setting_id) id);
    strbuf_init(&allowed, 0);
    for (size_t i = 0; i < n; i++)
        strbuf_addf(&allowed, "%s%s", i ? ", " : "", keys[i]);
    near = suggest_nearest(key->scalar, keys, n);
    if (near)
        rc = fail(r, key, "unknown key \"%s\" in %s; did you mean \"%s\"? Allowed: %s", key->scalar,
                  where, near, allowed.s);
    else
        rc = fail(r, key, "unknown key \"%s\" in %s; allowed: %s", key->scalar, where, allowed.s);
    strbuf_free(&allowed);
    return rc;
}

static const char *kind_name(const struct yaml_node *n)
{
    if (yaml_is_null(n))
        return "nothing";
    return n->kind == YAML_SCALAR ? "one value" : n->kind == YAML_SEQUENCE ? "a list" : "a mapping";
}

static int read_setting(const struct reader *r, const char *where, enum setting_id id,
                        const struct yaml_node *value, struct entry *en)
{
    const char *key = setting_key(id);
    bool list = setting_type(id) == SETTING_TYPE_LIST;
    bool many = list && value->kind == YAML_SEQUENCE;
    size_t n = many ? value->n : 1;

    for (size_t i = 0; i < n; i++) {
        const struct yaml_node *one = many ? value->items[i] : value;
        int rc;
        if (one->kind != YAML_SCALAR || yaml_is_null(one))
            return fail(r, value, "%s: \"%s\" is to be %s, but is %s", where, key,
                        list ? "one value or a list of values" : "one value", kind_name(one));
        rc = entry_set(en, id, one->scalar, r->e);
        if (rc) {
            err_prefix(r->e, "%s: line %u: %s: ", r->path, one->line, where);
            return rc;
        }
    }
    return 0;
}

static int read_vars(const struct reader *r, const char *where, const struct yaml_node *vars,
                     struct entry *en)
{
    if (yaml_is_null(vars))
        return 0;
    if (vars->kind != YAML_MAPPING)
        return fail(r, vars, "%s: \"vars\" is to be a mapping of names and values, but is %s",
                    where, kind_name(vars));
    for (size_t i = 0; i < vars->n; i++) {
        const struct yaml_node *value = vars->items[i];
        if (*vars->keys[i]->scalar == '\0')
            return fail(r, vars->keys[i], "%s: a variable has an empty name", where);
        if (value->kind == YAML_SCALAR) {
            varlist_set(&en->vars, vars->keys[i]->scalar, value->scalar);
        } else {
            CLEANUP_FREE char *json = yaml_to_json(value);
            varlist_set(&en->vars, vars->keys[i]->scalar, json);
        }
    }
    return 0;
}

/* One key of an entry that settings and vars share. 1: it is neither. */
static int read_common(const struct reader *r, const char *where, const struct yaml_node *key,
                       const struct yaml_node *value, struct entry *en)
{
    int id;

    if (strcmp(key->scalar, "vars") == 0)
        return read_vars(r, where, value, en);
    id = setting_find(key->scalar);
    return id < 0 ? 1 : read_setting(r, where, (enum setting_id) id, value, en);
}

static int read_defaults(const struct reader *r, const struct yaml_node *map)
{
    static const char *const more[] = {"vars"};

    if (!map || yaml_is_null(map))
        return 0;
    if (map->kind != YAML_MAPPING)
        return fail(r, map, "\"defaults\" is to be a mapping of settings, but is %s",
                    kind_name(map));
    for (size_t i = 0; i < map->n; i++) {
        int rc = read_common(r, "defaults", map->keys[i], map->items[i], &r->b->defaults);
        if (rc > 0)
            rc = unknown_key(r, map->keys[i], "defaults", true, more, 1);
        if (rc)
            return rc;
    }
    return 0;
}

/* Calls build_node for each name that `text` writes, and lays the entry on it or puts it in the
 * group (NONE_GROUP: in none). */
#define NONE_GROUP UINT32_MAX
static int add_nodes(const struct reader *r, const struct yaml_node *at, const char *text,
                     const struct entry *en, uint32_t group)
{
    struct nodeset *names = nodeset_new();
    int rc = names_expand(names, text, r->e);

    if (!rc && nodeset_count(names) == 0)
        rc = err_set(r->e, ERR_VALIDATION, "a node has an empty name");
    for (size_t i = 0; !rc && i < nodeset_count(names); i++) {
        uint32_t node;
        rc = build_node(r->b, nodeset_at(names, i), &node, r->e);
        if (!rc && en)
            entry_merge(&r->b->nodes[node].own, en);
        if (!rc && group != NONE_GROUP)
            build_group_node(r->b, group, node);
    }
    nodeset_free(names);
    return placed(r, at, rc);
}

static int read_node(const struct reader *r, const struct yaml_node *key,
                     const struct yaml_node *map)
{
    static const char *const more[] = {"vars"};
    CLEANUP_FREE char *where = x_asprintf("node \"%s\"", key->scalar);
    struct entry en;
    int rc = 0;

    if (!yaml_is_null(map) && map->kind != YAML_MAPPING)
        return fail(r, map, "%s is to be a mapping of settings (or nothing), but is %s", where,
                    kind_name(map));
    entry_init(&en);
    for (size_t i = 0; !rc && map->kind == YAML_MAPPING && i < map->n; i++) {
        rc = read_common(r, where, map->keys[i], map->items[i], &en);
        if (rc > 0)
            rc = unknown_key(r, map->keys[i], where, true, more, 1);
    }
    if (!rc)
        rc = add_nodes(r, key, key->scalar, &en, NONE_GROUP);
    entry_clear(&en);
    return rc;
}

/* Names of nodes without settings: one pattern, or a list of them. */
static int read_members(const struct reader *r, const char *where, const struct yaml_node *list,
                        uint32_t group)
{
    int rc = 0;

    if (yaml_is_null(list))
        return 0;
    if (list->kind == YAML_SCALAR)
        return add_nodes(r, list, list->scalar, NULL, group);
    if (list->kind == YAML_MAPPING)
        return fail(r, list, "%s: \"nodes\" is to be names or ranges, but is a mapping; settings "
                             "of nodes stand under the \"nodes\" at the top",
                    where);
    for (size_t i = 0; !rc && i < list->n; i++) {
        if (list->items[i]->kind != YAML_SCALAR)
            return fail(r, list->items[i], "%s: a name or a range is missing here: there is %s",
                        where, kind_name(list->items[i]));
        rc = add_nodes(r, list->items[i], list->items[i]->scalar, NULL, group);
    }
    return rc;
}

static int read_nodes(const struct reader *r, const struct yaml_node *nodes)
{
    if (!nodes || yaml_is_null(nodes))
        return 0;
    if (nodes->kind != YAML_MAPPING)
        return read_members(r, "the inventory", nodes, NONE_GROUP);
    for (size_t i = 0; i < nodes->n; i++) {
        int rc = read_node(r, nodes->keys[i], nodes->items[i]);
        if (rc)
            return rc;
    }
    return 0;
}

static int read_groups(const struct reader *r, const struct yaml_node *groups, unsigned depth);

static void add_child(const struct reader *r, const struct yaml_node *at, const char *name,
                      uint32_t group)
{
    CLEANUP_FREE char *place = x_asprintf("%s: line %u", r->path, at->line);

    if (*name == '@')
        name++;
    build_group_child(r->b, group, name, place);
}

static void add_children(const struct reader *r, const struct yaml_node *at, uint32_t group)
{
    const char *p = at->scalar;
    char *name;

    while ((name = names_next(&p))) {
        add_child(r, at, name, group);
        free(name);
    }
}

/* Child groups: a name, a list of names, or a mapping that defines them right here. */
static int read_children(const struct reader *r, const char *where, const struct yaml_node *list,
                         uint32_t group, unsigned depth)
{
    if (yaml_is_null(list))
        return 0;
    if (list->kind == YAML_SCALAR) {
        add_children(r, list, group);
        return 0;
    }
    if (list->kind == YAML_MAPPING) {
        int rc = read_groups(r, list, depth + 1);
        for (size_t i = 0; !rc && i < list->n; i++)
            add_child(r, list->keys[i], list->keys[i]->scalar, group);
        return rc;
    }
    for (size_t i = 0; i < list->n; i++) {
        if (list->items[i]->kind != YAML_SCALAR || yaml_is_null(list->items[i]))
            return fail(r, list->items[i], "%s: the name of a group is missing here: there is %s",
                        where, kind_name(list->items[i]));
        add_children(r, list->items[i], group);
    }
    return 0;
}

static int read_group_key(const struct reader *r, const char *where, const struct yaml_node *key,
                          const struct yaml_node *value, uint32_t group, unsigned depth)
{
    static const char *const more[] = {"nodes", "groups", "vars", "protected"};
    int rc;

    if (strcmp(key->scalar, "nodes") == 0)
        return read_members(r, where, value, group);
    if (strcmp(key->scalar, "groups") == 0)
        return read_children(r, where, value, group, depth);
    if (strcmp(key->scalar, "protected") == 0) {
        if (yaml_bool(value) < 0)
            return fail(r, value, "%s: \"protected\" is to be true or false", where);
        r->b->groups[group].is_protected |= yaml_bool(value) == 1;
        return 0;
    }
    rc = read_common(r, where, key, value, &r->b->groups[group].entry);
    return rc > 0 ? unknown_key(r, key, where, true, more, ARRAY_LEN(more)) : rc;
}

/* A later source that sets a list replaces the one of before, so settings are read apart first. */
static int read_group(const struct reader *r, const struct yaml_node *key,
                      const struct yaml_node *map, unsigned depth)
{
    CLEANUP_FREE char *where = x_asprintf("group \"%s\"", key->scalar);
    struct entry before;
    uint32_t group;
    int rc = name_check("group", key->scalar, r->e);

    if (!rc)
        rc = build_group(r->b, key->scalar, &group, r->e);
    if (rc)
        return placed(r, key, rc);
    if (yaml_is_null(map))
        return 0;
    if (map->kind != YAML_MAPPING)
        return read_members(r, where, map, group);
    before = r->b->groups[group].entry;
    entry_init(&r->b->groups[group].entry);
    for (size_t i = 0; !rc && i < map->n; i++)
        rc = read_group_key(r, where, map->keys[i], map->items[i], group, depth);
    entry_merge(&before, &r->b->groups[group].entry);
    entry_clear(&r->b->groups[group].entry);
    r->b->groups[group].entry = before;
    return rc;
}

static int read_groups(const struct reader *r, const struct yaml_node *groups, unsigned depth)
{
    if (!groups || yaml_is_null(groups))
        return 0;
    if (depth > INLINE_DEPTH_MAX)
        return fail(r, groups, "groups are written inside each other more than %d deep",
                    INLINE_DEPTH_MAX);
    if (groups->kind != YAML_MAPPING)
        return fail(r, groups, "\"groups\" is to be a mapping of names and groups, but is %s",
                    kind_name(groups));
    for (size_t i = 0; i < groups->n; i++) {
        int rc = read_group(r, groups->keys[i], groups->items[i], depth);
        if (rc)
            return rc;
    }
    return 0;
}

static int muster_load(struct build *b, const struct source_input *in, struct err *e)
{
    struct reader r = {b, in->path, e};
    struct yaml_node *root = yaml_parse(in->path, in->text, in->n, e);
    int rc = 0;

    if (!root)
        return -ERR_VALIDATION;
    if (root->kind != YAML_MAPPING)
        rc = fail(&r, root, "an inventory is a mapping with defaults, nodes and groups, but this "
                            "is %s",
                  kind_name(root));
    for (size_t i = 0; !rc && i < root->n; i++) {
        bool known = false;
        for (size_t k = 0; k < ARRAY_LEN(top_keys); k++)
            known |= strcmp(root->keys[i]->scalar, top_keys[k]) == 0;
        if (!known)
            rc = unknown_key(&r, root->keys[i], "the inventory", false, top_keys,
                             ARRAY_LEN(top_keys));
    }
    if (!rc)
        rc = read_defaults(&r, yaml_get(root, "defaults"));
    if (!rc)
        rc = read_nodes(&r, yaml_get(root, "nodes"));
    if (!rc)
        rc = read_groups(&r, yaml_get(root, "groups"), 0);
    yaml_free(root);
    return rc;
}

static bool has_suffix(const char *s, const char *suffix)
{
    size_t n = strlen(s), k = strlen(suffix);

    return n > k && strcasecmp(s + n - k, suffix) == 0;
}

/* By its name, or by a line that begins with one of the three keys. */
static bool muster_sniff(const struct source_input *in)
{
    const char *line = in->text;

    if (has_suffix(in->path, ".yaml") || has_suffix(in->path, ".yml"))
        return true;
    while (line) {
        for (size_t k = 0; k < ARRAY_LEN(top_keys); k++) {
            size_t n = strlen(top_keys[k]);
            if (strncmp(line, top_keys[k], n) == 0 && line[n] == ':' &&
                (line[n + 1] == '\0' || isspace((unsigned char) line[n + 1])))
                return true;
        }
        line = strchr(line, '\n');
        if (line)
            line++;
    }
    return false;
}

const struct inventory_source_ops source_muster = {
    .name = "muster",
    .sniff = muster_sniff,
    .load = muster_load,
    .is_explicit = true,
};
