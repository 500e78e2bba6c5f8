/* SPDX-License-Identifier: Apache-2.0 */
/* The fleet of the tests of target expressions. */
#include "target_fixture.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/base/strmap.h"
#include "muster/core/nodeset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void add_node(struct fleet *f, const char *name, bool is_explicit)
{
    size_t n = f->n_nodes;

    if (!(n & (n - 1))) /* full: the room is a power of two */
        f->nodes = x_array(f->nodes, n ? n * 2 : 1, sizeof *f->nodes);
    f->nodes[f->n_nodes] = (struct fleet_node) {.name = x_strdup(name),
                                                .explicit_node = is_explicit};
    settings_init(&f->nodes[f->n_nodes].base);
    settings_init(&f->nodes[f->n_nodes].over);
    strmap_set_num(f->node_index, name, (intptr_t) f->n_nodes++);
}

void add_group(struct fleet *f, const char *name, const char *pattern)
{
    struct nodeset *s = nodeset_new();
    struct fleet_group g = {.name = x_strdup(name)};

    assert_int_equal(nodeset_expand(s, pattern, NULL), 0);
    g.n_all = nodeset_count(s);
    g.all = x_array(NULL, g.n_all, sizeof *g.all);
    for (size_t i = 0; i < g.n_all; i++)
        g.all[i] = (uint32_t) (fleet_node(f, nodeset_at(s, i)) - f->nodes);
    nodeset_free(s);
    f->groups = x_array(f->groups, f->n_groups + 1, sizeof *f->groups);
    f->groups[f->n_groups] = g;
    strmap_set_num(f->group_index, name, (intptr_t) f->n_groups++);
}

static struct fleet *make_fleet(void)
{
    struct fleet *f = fleet_new();
    char name[16];

    add_node(f, "bastion", false);
    for (int i = 1; i <= 3; i++) {
        snprintf(name, sizeof name, "db%d", i);
        add_node(f, name, true);
    }
    add_node(f, "localhost", false);
    for (int i = 1; i <= 20; i++) {
        snprintf(name, sizeof name, "web%02d", i);
        add_node(f, name, true);
    }
    add_group(f, "web", "web[01-20]");
    add_group(f, "front", "web[01-04]");
    return f;
}

static int results(void *ctx, const char *batch, const char *what, struct nodeset *out,
                   struct err *e)
{
    if (strcmp(batch, "last") && strcmp(batch, "42"))
        return err_set(e, ERR_NOT_FOUND, "no batch %s", batch);
    if (!what)
        nodeset_expand(out, "web[01-04]", NULL);
    else if (!strcmp(what, "failed"))
        nodeset_expand(out, "web[02-03]", NULL);
    else if (!strcmp(what, "rc=3"))
        nodeset_add(out, "web02");
    else if (!strcmp(what, "gone"))
        nodeset_expand(out, "old[1-2]", NULL);
    else
        return err_set(e, ERR_VALIDATION, "what is %s", what);
    return 0;
}

int set_up(void **state)
{
    struct fixture *x = x_calloc(1, sizeof *x);

    x->fleet = make_fleet();
    x->env = (struct target_env) {.fleet = x->fleet, .results = results};
    target_set_init(&x->set);
    snprintf(x->dir, sizeof x->dir, "/tmp/muster-test-target-XXXXXX");
    *state = x;
    return mkdtemp(x->dir) ? 0 : -1;
}

int tear_down(void **state)
{
    struct fixture *x = *state;
    char *cmd = x_asprintf("rm -rf '%s'", x->dir);
    int rc = system(cmd);

    free(cmd);
    target_set_clear(&x->set);
    err_clear(&x->e);
    fleet_free(x->fleet);
    free(x);
    return rc;
}

void check(struct fixture *x, const char *expr, const char *want)
{
    struct strbuf b;

    strbuf_init(&b, 0);
    if (target_eval(&x->env, expr, &x->set, &x->e))
        fail_msg("%s: %s", expr, x->e.msg);
    for (size_t i = 0; i < nodeset_count(x->set.nodes); i++)
        strbuf_addf(&b, "%s%s", i ? " " : "", nodeset_at(x->set.nodes, i));
    assert_string_equal(b.s, want);
    strbuf_free(&b);
}

void check_fails(struct fixture *x, const char *expr, enum err_code code, const char *text)
{
    assert_int_equal(target_eval(&x->env, expr, &x->set, &x->e), -(int) code);
    if (!strstr(x->e.msg, text))
        fail_msg("%s: \"%s\" is not in \"%s\"", expr, text, x->e.msg);
    assert_null(x->set.nodes);
    assert_int_equal(x->set.groups.n, 0);
    assert_int_equal(x->set.warnings.n, 0);
}
