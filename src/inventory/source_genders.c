/* SPDX-License-Identifier: Apache-2.0 */
/* The source "genders": a genders file as nodeattr reads it. Each attribute is a group of the nodes
 * that have it; one with a value is a variable too. */
#include "run.h"
#include "source.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"

#include <string.h>

static int add_attribute(struct build *b, uint32_t node, char *attr, struct err *e)
{
    struct err why = ERR_INIT;
    char *value = strchr(attr, '=');
    uint32_t group;
    int rc;

    if (value)
        *value++ = '\0';
    if (value)
        varlist_set(&b->nodes[node].own.vars, attr, value);
    if (name_check("group", attr, &why)) {
        build_warn(b, "an attribute is no group: %s", why.msg);
        err_clear(&why);
        return 0;
    }
    rc = build_group(b, attr, &group, e);
    if (!rc)
        build_group_node(b, group, node);
    return rc;
}

/* "node attr,attr=value" a line, each node once. */
static int add_line(struct build *b, char *line, struct err *e)
{
    char *save = NULL, *name = strtok_r(line, " \t", &save), *list = strtok_r(NULL, "", &save);
    struct err why = ERR_INIT;
    uint32_t node;
    int rc;

    if (!name)
        return 0;
    if (name_check("node", name, &why)) {
        build_warn(b, "a node is left out: %s", why.msg);
        err_clear(&why);
        return 0;
    }
    rc = build_node(b, name, &node, e);
    save = NULL;
    for (char *attr = list ? strtok_r(list, ", \t", &save) : NULL; !rc && attr;
         attr = strtok_r(NULL, ", \t", &save))
        rc = add_attribute(b, node, attr, e);
    return rc;
}

static int genders_load(struct build *b, const struct source_input *in, struct err *e)
{
    const char *const argv[] = {"nodeattr", "-f", in->path, "--expand", NULL};
    const struct run_options o = {.dir = NULL};
    CLEANUP_FREE char *program = run_find(argv[0]);
    struct strbuf out;
    char *save = NULL;
    int rc;

    if (!program)
        return err_set(e, ERR_VALIDATION, "%s: genders files are read by nodeattr, and that "
                                          "program is not here: install genders", in->path);
    strbuf_init(&out, INVENTORY_FILE_MAX);
    rc = run_program(argv, &o, &out, e);
    if (rc)
        err_prefix(e, "%s: ", in->path);
    for (char *line = strtok_r(out.s, "\n", &save); !rc && line; line = strtok_r(NULL, "\n", &save))
        rc = add_line(b, line, e);
    strbuf_free(&out);
    return rc;
}

const struct inventory_source_ops source_genders = {
    .name = "genders", .load = genders_load, .is_explicit = true, .runs = true};
