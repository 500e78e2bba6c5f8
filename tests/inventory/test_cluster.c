/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of ClusterShell, as its own program expands them, and genders files, as nodeattr does. */
#include "fixture.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/core/nodeset.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char spec[] = "clustershell:" SAMPLES "/clustershell.yaml";

static char *output_of(const char *command)
{
    struct strbuf out;
    char buf[4096];
    FILE *p = popen(command, "r");
    size_t n;

    assert_non_null(p);
    strbuf_init(&out, 0);
    while ((n = fread(buf, 1, sizeof buf, p)) > 0)
        strbuf_add(&out, buf, n);
    assert_int_equal(pclose(p), 0);
    return strbuf_steal(&out);
}

static char *folded(struct fixture *f, const char *group)
{
    CLEANUP_FREE char *names = members(f, group);
    struct nodeset *set = nodeset_new();
    struct strbuf out;

    strbuf_init(&out, 0);
    for (const char *p = names; *p;) {
        size_t n = strcspn(p, ",");
        CLEANUP_FREE char *one = x_strndup(p, n);
        nodeset_add(set, one);
        p += n + (p[n] == ',');
    }
    nodeset_fold(&out, set, 0);
    nodeset_free(set);
    return strbuf_steal(&out);
}

static void expect_fold(struct fixture *f, const char *group, const char *fold)
{
    CLEANUP_FREE char *got = folded(f, group);

    assert_string_equal(got, fold);
}

static void operators_and_references(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fixture_load(f, spec, NULL), 0);
    assert_string_equal(f->fleet->sources[0].type, "clustershell");
    expect_fold(f, "roles.gpu", "n[001,008,015,022,029,036,043,050]");
    expect_fold(f, "roles.rest", "n[002-007,009-014,016-021,023-028,030-035,037-042,044-049,"
                                 "051-288]");
    expect_fold(f, "roles.many", "m[1-2],n[025-048],x");
    expect_fold(f, "roles.listed", "a[1-3],example0");
    expect_fold(f, "racks.r2", "m[1-2],n[025-048]");
    expect_members(f, "roles.empty", "");
    assert_true(node_of(f, "m2")->explicit_node);
}

/* Every group of the sample that both have, member for member. */
static void as_nodeset_has_it(void **state)
{
    struct fixture *f = *state;
    static const char *const groups[] = {"adm", "nodes", "gpu", "rest", "many"};

    need_program("nodeset");
    fixture_write(f, "cs/groups.conf", "[Main]\ndefault: roles\nautodir: $CFGDIR/groups.d\n");
    CLEANUP_FREE char *dir = x_asprintf("%s/cs", f->home);
    CLEANUP_FREE char *copy = x_asprintf("mkdir -p '%s/groups.d' && cp '%s' '%s/groups.d/'", dir,
                                         spec + strlen("clustershell:"), dir);
    assert_int_equal(system(copy), 0);
    setenv("CLUSTERSHELL_CFGDIR", dir, 1);
    assert_int_equal(fixture_load(f, spec, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
        CLEANUP_FREE char *name = x_asprintf("roles.%s", groups[i]);
        CLEANUP_FREE char *command = x_asprintf("nodeset -f @roles:%s", groups[i]);
        CLEANUP_FREE char *own = folded(f, name), *theirs = output_of(command);
        theirs[strcspn(theirs, "\n")] = '\0';
        assert_string_equal(own, theirs);
    }
    /* an upcall, through the program */
    fixture_write(f, "cs/groups.conf", "[Main]\ndefault: up\n[up]\nmap: printf '$GROUP[1-3]\\n'\n"
                                       "list: echo web db\n");
    assert_int_equal(fixture_load(f, "nodeset:up", NULL), 0);
    assert_string_equal(f->fleet->sources[0].type, "nodeset");
    expect_members(f, "web", "web1,web2,web3");
    expect_members(f, "db", "db1,db2,db3");
    assert_int_equal(fixture_load(f, "nodeset:nothing", NULL), -ERR_VALIDATION);
    assert_non_null(strstr(f->err.msg, "the group source \"nothing\" of ClusterShell: nodeset "
                                       "ended with exit code"));
    unsetenv("CLUSTERSHELL_CFGDIR");
}

static void expect_cluster_error(struct fixture *f, const char *text, const char *message)
{
    const char *path = fixture_write(f, "groups.d/g.yaml", text);
    CLEANUP_FREE char *whole = x_asprintf("%s: %s", path, message);

    assert_int_equal(fixture_load(f, path, NULL), -ERR_VALIDATION);
    assert_string_equal(f->err.msg, whole);
}

static void refused(void **state)
{
    struct fixture *f = *state;

    expect_cluster_error(f, "s:\n  a: '@b'\n  b: 'x,@a'\n",
                         "line 3: groups name each other in a circle: @a is one of them");
    expect_cluster_error(f, "s: {a: '@none'}\n",
                         "line 1: @none: the source \"s\" has no group \"none\"");
    expect_cluster_error(f, "s: {a: '@t:x'}\n", "line 1: @t:x: the file has no source \"t\"");
    expect_cluster_error(f, "s: {a: 'b!'}\n",
                         "line 1: a node or a group is missing after \"!\"");
    expect_cluster_error(f, "s: {a: '!b'}\n",
                         "line 1: a node or a group is missing before \"!b\"");
    expect_cluster_error(f, "s: {a: {b: c}}\n",
                         "line 1: a group is to be nodes, as \"web[1-3],@other\", but is a "
                         "mapping");
    expect_cluster_error(f, "s: [a]\n",
                         "line 1: the source \"s\" is to be a mapping of groups and nodes");
}

static void genders(void **state)
{
    struct fixture *f = *state;
    const char *path = fixture_write(f, "etc/genders",
                                     "# the lab\n"
                                     "mgmt1 mgmt,ntp=clock,all\n"
                                     "node[1-3] compute,all,cores=8,os=debian-%n\n");
    CLEANUP_FREE char *named = x_asprintf("genders:%s", path), *file = x_strdup(path);

    need_program("nodeattr");
    assert_int_equal(fixture_load(f, named, NULL), 0);
    expect_members(f, "compute", "node1,node2,node3");
    expect_members(f, "all", "mgmt1,node1,node2,node3");
    expect_members(f, "cores", "node1,node2,node3");
    assert_string_equal(var_of(node_of(f, "node2"), "cores"), "8");
    assert_string_equal(var_of(node_of(f, "node2"), "os"), "debian-node2");
    assert_string_equal(var_of(node_of(f, "mgmt1"), "ntp"), "clock");
    /* found at its usual place, with YAML groups beside it; a broken one is only marked */
    fixture_write(f, "etc/clustershell/groups.d/a.yaml", "default: {web: 'w[1-2]'}\n");
    fixture_write(f, ".config/clustershell/groups.d/b.yaml", "default: [\n");
    assert_int_equal(fixture_load(f, NULL), 0);
    expect_members(f, "web", "w1,w2");
    expect_members(f, "compute", "node1,node2,node3");
    assert_int_equal(f->fleet->sources[0].state, SOURCE_FAILED);
    assert_string_equal(f->fleet->sources[2].type, "genders");
    assert_string_equal(f->fleet->sources[2].path, file);
    fixture_write(f, "etc/genders", "a b=c=d e\nz\n a b\n,\n");
    assert_int_equal(fixture_load(f, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(operators_and_references, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(as_nodeset_has_it, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(refused, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(genders, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
