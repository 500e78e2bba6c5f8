/* SPDX-License-Identifier: Apache-2.0 */
/* A builder as text and back: a record a line, its first letter says what it is, fields parted by
 * tabs. Simpler than JSON and several times faster to read. */
#include "cache.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"

#include <string.h>

static void add_field(struct strbuf *out, const char *s)
{
    strbuf_addch(out, '\t');
    for (; *s; s++) {
        if (*s == '\\' || *s == '\t' || *s == '\n') {
            strbuf_addch(out, '\\');
            strbuf_addch(out, *s == '\t' ? 't' : *s == '\n' ? 'n' : '\\');
        } else {
            strbuf_addch(out, *s);
        }
    }
}

static void add_record(struct strbuf *out, char kind, const char *a, const char *b)
{
    strbuf_addch(out, kind);
    add_field(out, a);
    if (b)
        add_field(out, b);
    strbuf_addch(out, '\n');
}

/* The settings, but those that `over` has too (or NULL). */
static void write_settings(struct strbuf *out, char kind, const struct entry *en,
                           const struct entry *over)
{
    for (int i = 0; en->any_set && i < SETTING_COUNT; i++) {
        enum setting_id id = (enum setting_id) i;
        bool list = setting_type(id) == SETTING_TYPE_LIST;
        if (!setting_is_set(&en->set, id) || (over && setting_is_set(&over->set, id)))
            continue;
        for (size_t k = 0; list && k < setting_list(&en->set, id)->n; k++)
            add_record(out, kind, setting_key(id), setting_list(&en->set, id)->v[k]);
        if (!list) {
            CLEANUP_FREE char *value = setting_get(&en->set, id);
            add_record(out, kind, setting_key(id), value);
        }
    }
}

static void write_vars(struct strbuf *out, const struct varlist *vars)
{
    for (size_t i = 0; i < vars->n; i++)
        add_record(out, 'V', vars->v[i].name, vars->v[i].value);
}

/* Settings that the source gives all its nodes are kept apart: they do not go over what another
 * source says of the node itself. */
static void write_node(struct strbuf *out, const struct build_node *node)
{
    struct varlist vars = {NULL, 0, 0};

    write_settings(out, 'S', &node->own, NULL);
    write_settings(out, 'D', &node->base, &node->own);
    varlist_merge(&vars, &node->base.vars);
    varlist_merge(&vars, &node->own.vars);
    write_vars(out, &vars);
    varlist_clear(&vars);
}

void cache_write(const struct build *b, struct strbuf *out)
{
    for (size_t i = 0; i < b->n_nodes; i++) {
        add_record(out, 'N', b->nodes[i].name, NULL);
        write_node(out, &b->nodes[i]);
    }
    for (size_t i = 0; i < b->n_groups; i++) {
        const struct build_group *g = &b->groups[i];
        add_record(out, 'G', g->name, g->is_protected ? "protected" : NULL);
        write_settings(out, 'S', &g->entry, NULL);
        write_vars(out, &g->entry.vars);
        for (size_t k = 0; k < g->n_nodes; k++)
            strbuf_addf(out, "%s%u%s", k ? "," : "M\t", g->nodes[k],
                        k + 1 == g->n_nodes ? "\n" : "");
        for (size_t k = 0; k < g->n_children; k++)
            add_record(out, 'C', g->children[k].name, g->children[k].place);
    }
    for (size_t i = 0; i < b->n_aliases; i++) {
        strbuf_addf(out, "A\t%u", b->aliases[i].node);
        add_field(out, b->aliases[i].name);
        strbuf_addch(out, '\n');
    }
    for (size_t i = 0; i < b->sources[0].warnings.n; i++)
        add_record(out, 'W', b->sources[0].warnings.v[i], NULL);
}

/* --- and back --- */

struct reader {
    struct build *b;
    struct err *e;
    uint32_t *nodes; /* number in the text -> index in the builder */
    size_t n_nodes, cap_nodes;
    struct entry en;   /* of the node or group that is being read */
    struct entry weak; /* of the node: what holds where nothing else is said */
    bool in_node, in_group;
    uint32_t at;
};

static void unescape(char *s)
{
    char *w = strchr(s, '\\');

    if (!w)
        return;
    for (s = w; *s; s++) {
        if (*s == '\\' && s[1]) {
            s++;
            *w++ = *s == 't' ? '\t' : *s == 'n' ? '\n' : *s;
        } else {
            *w++ = *s;
        }
    }
    *w = '\0';
}

static bool is_empty(const struct entry *en)
{
    return !en->any_set && en->vars.n == 0;
}

static int fill_open(struct reader *r, struct entry *to)
{
    struct settings *weak = &r->weak.set;
    int rc = 0;

    for (int i = 0; !rc && r->weak.any_set && i < SETTING_COUNT; i++) {
        enum setting_id id = (enum setting_id) i;
        bool list = setting_type(id) == SETTING_TYPE_LIST;
        CLEANUP_FREE char *value = NULL;
        if (!setting_is_set(weak, id) || setting_is_set(&to->set, id))
            continue;
        for (size_t k = 0; !rc && list && k < setting_list(weak, id)->n; k++)
            rc = entry_set(to, id, setting_list(weak, id)->v[k], r->e);
        if (!list) {
            value = setting_get(weak, id);
            rc = entry_set(to, id, value, r->e);
        }
    }
    entry_clear(&r->weak);
    return rc;
}

/* What was gathered goes to its node or group: moved where nothing is in its way. */
static int settle(struct reader *r)
{
    bool in_node = r->in_node;
    struct entry *to = r->in_node    ? &r->b->nodes[r->at].own
                       : r->in_group ? &r->b->groups[r->at].entry
                                     : NULL;

    if (to && is_empty(to) && !is_empty(&r->en)) {
        entry_clear(to);
        *to = r->en;
        entry_init(&r->en);
    } else if (to) {
        entry_merge(to, &r->en);
    }
    entry_clear(&r->en);
    r->in_node = r->in_group = false;
    return in_node && to ? fill_open(r, to) : 0;
}

static int damaged(struct reader *r)
{
    return err_set(r->e, ERR_VALIDATION, "the cached copy is damaged");
}

static int read_members(struct reader *r, const char *s)
{
    while (*s) {
        char *end;
        unsigned long n = strtoul(s, &end, 10);
        if (end == s || n >= r->n_nodes)
            return damaged(r);
        build_group_node(r->b, r->at, r->nodes[n]);
        s = *end == ',' ? end + 1 : end;
        if (*end && *end != ',')
            return damaged(r);
    }
    return 0;
}

static int read_node(struct reader *r, const char *name)
{
    int rc;

    rc = settle(r);
    if (rc)
        return rc;
    rc = build_node(r->b, name, &r->at, r->e);
    X_GROW(r->nodes, r->cap_nodes, r->n_nodes + 1);
    r->nodes[r->n_nodes++] = r->at;
    r->in_node = true;
    return rc;
}

static int read_group(struct reader *r, const char *name, bool is_protected)
{
    int rc;

    rc = settle(r);
    if (rc)
        return rc;
    rc = build_group(r->b, name, &r->at, r->e);
    if (!rc)
        r->b->groups[r->at].is_protected |= is_protected;
    r->in_group = true;
    return rc;
}

static int read_alias(struct reader *r, const char *number, const char *name)
{
    unsigned long n = strtoul(number, NULL, 10);

    if (n >= r->n_nodes)
        return damaged(r);
    build_alias(r->b, name, r->nodes[n]);
    return 0;
}

static int read_setting(struct reader *r, struct entry *en, const char *key, const char *value)
{
    int id = setting_find(key);

    return id < 0 ? damaged(r) : entry_set(en, (enum setting_id) id, value, r->e);
}

static int read_record(struct reader *r, char *line)
{
    char *a = line[1] == '\t' ? line + 2 : NULL, *b = a ? strchr(a, '\t') : NULL;

    if (!a)
        return damaged(r);
    if (b)
        *b++ = '\0';
    unescape(a);
    if (b)
        unescape(b);
    switch (*line) {
    case 'N':
        return read_node(r, a);
    case 'G':
        return read_group(r, a, b != NULL);
    case 'W':
        build_warn(r->b, "%s", a);
        return 0;
    case 'M':
        return r->in_group ? read_members(r, a) : damaged(r);
    case 'C':
        if (r->in_group && b)
            build_group_child(r->b, r->at, a, b);
        return r->in_group && b ? 0 : damaged(r);
    case 'A':
        return b ? read_alias(r, a, b) : damaged(r);
    case 'S':
        return b ? read_setting(r, &r->en, a, b) : damaged(r);
    case 'D':
        return b ? read_setting(r, &r->weak, a, b) : damaged(r);
    case 'V':
        if (b) {
            /* The writer had each name once. */
            X_GROW(r->en.vars.v, r->en.vars.cap, r->en.vars.n + 1);
            r->en.vars.v[r->en.vars.n++] = (struct fleet_var){x_strdup(a), x_strdup(b)};
        }
        return b ? 0 : damaged(r);
    default:
        return damaged(r);
    }
}

int cache_read(struct build *b, const char *text, size_t n, struct err *e)
{
    struct reader r = {.b = b, .e = e};
    CLEANUP_FREE char *copy = x_strndup(text, n);
    int rc = 0;

    entry_init(&r.en);
    entry_init(&r.weak);
    for (char *line = copy; !rc && *line;) {
        char *end = strchr(line, '\n');
        if (end)
            *end = '\0';
        rc = read_record(&r, line);
        line = end ? end + 1 : line + strlen(line);
    }
    if (!rc)
        rc = settle(&r);
    entry_clear(&r.en);
    entry_clear(&r.weak);
    free(r.nodes);
    return rc;
}
