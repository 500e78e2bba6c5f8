/* SPDX-License-Identifier: Apache-2.0 */
/* The sources "clustershell" (a YAML file of groups as in groups.d: `source: {group: nodes}`) and
 * "nodeset" (a group source of ClusterShell's, upcalls and all, as its program lists it).
 *
 * A group of the source `default` or `local`, or of a file's only source, has its own name here; any
 * other is called SOURCE.GROUP, as a colon in a target asks for results of earlier batches. */
#include "run.h"
#include "source.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/core/nodeset.h"
#include "muster/core/yaml.h"

#include <string.h>

#define DEPTH_MAX 32 /* LIMIT: groups that name groups */
#define BLANKS " \t\r\n"

struct reader {
    struct build *b;
    const char *path;
    const struct yaml_node *root;
    struct err *e;
};

static int eval(struct reader *r, const char *source, const struct yaml_node *value,
                struct nodeset *out, unsigned depth);

#define fail(r, at, ...) source_fail((r)->e, (r)->path, at, __VA_ARGS__)

/* "group", "source:group"; "*" as a group is all of them. */
static int eval_group(struct reader *r, const char *source, const char *name,
                      const struct yaml_node *at, struct nodeset *out, unsigned depth)
{
    const char *colon = strchr(name, ':'), *group = colon ? colon + 1 : name;
    CLEANUP_FREE char *from =
        colon ? x_strndup(name, (size_t) (colon - name)) : x_strdup(source);
    const struct yaml_node *groups = yaml_get(r->root, from), *value;
    int rc = 0;

    if (depth > DEPTH_MAX)
        return fail(r, at, "groups name each other in a circle: @%s is one of them", name);
    if (!groups || groups->kind != YAML_MAPPING)
        return fail(r, at, "@%s: the file has no source \"%s\"", name, from);
    if (strcmp(group, "*") == 0) {
        for (size_t i = 0; !rc && i < groups->n; i++)
            rc = eval(r, from, groups->items[i], out, depth + 1);
        return rc;
    }
    value = yaml_get(groups, group);
    if (!value)
        return fail(r, at, "@%s: the source \"%s\" has no group \"%s\"", name, from, group);
    return eval(r, from, value, out, depth + 1);
}

/* The length of the operand at s: up to an operator or a blank outside brackets. */
static size_t operand(const char *s)
{
    size_t n = 0;
    int depth = 0;

    for (; s[n] && (depth > 0 || !strchr(",!&^" BLANKS, s[n])); n++)
        depth += s[n] == '[' ? 1 : s[n] == ']' && depth > 0 ? -1 : 0;
    return n;
}

static void combine(struct nodeset *out, char op, const struct nodeset *one)
{
    switch (op) {
    case '!':
        nodeset_difference(out, one);
        break;
    case '&':
        nodeset_intersect(out, one);
        break;
    case '^':
        nodeset_xor(out, one);
        break;
    default:
        nodeset_union(out, one);
        break;
    }
}

/* Operators count from left to right; blanks are commas. */
static int eval_text(struct reader *r, const char *source, const struct yaml_node *at,
                     struct nodeset *out, unsigned depth)
{
    const char *s = at->scalar + strspn(at->scalar, BLANKS);
    struct nodeset *all = nodeset_new();
    char op = ',';
    int rc = 0;

    while (!rc && *s) {
        size_t n = operand(s);
        CLEANUP_FREE char *text = x_strndup(s, n);
        struct nodeset *one = nodeset_new();
        if (n == 0)
            rc = fail(r, at, "a node or a group is missing before \"%s\"", s);
        else if (*text == '@')
            rc = eval_group(r, source, text + 1, at, one, depth);
        else if ((rc = names_expand(one, text, r->e)))
            err_prefix(r->e, "%s: line %u: ", r->path, at->line);
        combine(all, op, one);
        nodeset_free(one);
        s += n;
        s += strspn(s, BLANKS);
        op = ',';
        if (*s && strchr(",!&^", *s)) {
            op = *s++;
            s += strspn(s, BLANKS);
            if (!rc && !*s && op != ',')
                rc = fail(r, at, "a node or a group is missing after \"%c\"", op);
        }
    }
    nodeset_union(out, all);
    nodeset_free(all);
    return rc;
}

static int eval(struct reader *r, const char *source, const struct yaml_node *value,
                struct nodeset *out, unsigned depth)
{
    int rc = 0;

    if (yaml_is_null(value))
        return 0;
    if (value->kind == YAML_SCALAR)
        return eval_text(r, source, value, out, depth);
    if (value->kind == YAML_MAPPING)
        return fail(r, value, "a group is to be nodes, as \"web[1-3],@other\", but is a mapping");
    for (size_t i = 0; !rc && i < value->n; i++)
        rc = eval(r, source, value->items[i], out, depth);
    return rc;
}

static int add_group(struct build *b, const char *name, const struct nodeset *nodes, struct err *e)
{
    struct err why = ERR_INIT;
    uint32_t group, node;
    int rc;

    if (name_check("group", name, &why)) {
        build_warn(b, "a group is left out: %s", why.msg);
        err_clear(&why);
        return 0;
    }
    rc = build_group(b, name, &group, e);
    for (size_t i = 0; !rc && i < nodeset_count(nodes); i++) {
        rc = build_node(b, nodeset_at(nodes, i), &node, e);
        if (!rc)
            build_group_node(b, group, node);
    }
    return rc;
}

static int read_source(struct reader *r, const char *source, const struct yaml_node *groups)
{
    bool plain = r->root->n == 1 || strcmp(source, "default") == 0 || strcmp(source, "local") == 0;
    int rc = 0;

    if (yaml_is_null(groups))
        return 0;
    if (groups->kind != YAML_MAPPING)
        return fail(r, groups, "the source \"%s\" is to be a mapping of groups and nodes", source);
    for (size_t i = 0; !rc && i < groups->n; i++) {
        const char *group = groups->keys[i]->scalar;
        CLEANUP_FREE char *name = plain ? x_strdup(group) : x_asprintf("%s.%s", source, group);
        struct nodeset *nodes = nodeset_new();
        rc = eval(r, source, groups->items[i], nodes, 0);
        if (!rc)
            rc = add_group(r->b, name, nodes, r->e);
        nodeset_free(nodes);
    }
    return rc;
}

static int clustershell_load(struct build *b, const struct source_input *in, struct err *e)
{
    struct yaml_node *root = yaml_parse(in->path, in->text, in->n, e);
    struct reader r = {b, in->path, root, e};
    int rc = 0;

    if (!root)
        return -ERR_VALIDATION;
    if (root->kind != YAML_MAPPING)
        rc = fail(&r, root, "groups of ClusterShell are a mapping of sources, each of groups");
    for (size_t i = 0; !rc && i < root->n; i++)
        rc = read_source(&r, root->keys[i]->scalar, root->items[i]);
    yaml_free(root);
    return rc;
}

/* Where they lie is what tells them. */
static bool clustershell_sniff(const struct source_input *in)
{
    size_t n = strlen(in->path);

    return n > 5 && strcmp(in->path + n - 5, ".yaml") == 0 &&
           (strstr(in->path, "/groups.d/") || strstr(in->path, "clustershell/"));
}

/* "@SOURCE:GROUP NODES" a line. */
static int nodeset_line(struct build *b, const char *what, char *line, struct err *e)
{
    char *nodes = strchr(line, ' '), *colon;
    struct nodeset *set;
    int rc;

    if (*line != '@')
        return err_set(e, ERR_VALIDATION, "%s: nodeset printed no group: \"%s\"", what, line);
    if (nodes)
        *nodes++ = '\0';
    colon = strchr(line, ':');
    set = nodeset_new();
    rc = names_expand(set, nodes ? nodes : "", e);
    if (rc)
        err_prefix(e, "%s: %s: ", what, line);
    else
        rc = add_group(b, colon ? colon + 1 : line + 1, set, e);
    nodeset_free(set);
    return rc;
}

static int nodeset_load(struct build *b, const struct source_input *in, struct err *e)
{
    const char *const argv[] = {"nodeset", "-s", in->path, "-ll", NULL};
    const struct run_options o = {.dir = NULL};
    struct strbuf out;
    char *save = NULL;
    int rc;

    strbuf_init(&out, INVENTORY_FILE_MAX);
    rc = run_program(argv, &o, &out, e);
    if (rc)
        err_prefix(e, "the group source \"%s\" of ClusterShell: ", in->path);
    for (char *line = strtok_r(out.s, "\n", &save); !rc && line; line = strtok_r(NULL, "\n", &save))
        rc = nodeset_line(b, in->path, line, e);
    strbuf_free(&out);
    return rc;
}

const struct inventory_source_ops source_clustershell = {
    .name = "clustershell",
    .sniff = clustershell_sniff,
    .load = clustershell_load,
    .is_explicit = true,
};
const struct inventory_source_ops source_nodeset = {
    .name = "nodeset", .load = nodeset_load, .is_explicit = true, .runs = true, .no_file = true};
