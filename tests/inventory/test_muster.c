/* SPDX-License-Identifier: Apache-2.0 */
/* The YAML inventory: what it gives, and the text of each error. */
#include "fixture.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"

#include <string.h>
#include <time.h>

static const char example[] =
    "defaults: {user: ops, port: 22, identity: ~/.ssh/ops}\n"
    "nodes:\n"
    "  db1: {host: 10.0.0.5, port: 2222, user: postgres, transport: ssh, vars: {dc: fra}}\n"
    "  \"web[01-20]\": {host: \"%n.example.com\", vars: {dc: ams}}\n"
    "groups:\n"
    "  web: {nodes: \"web[01-20]\"}\n"
    "  prod: {nodes: [db1], groups: [web], user: deploy, protected: true}\n";

static void design_example(void **state)
{
    struct fixture *f = *state;
    const struct fleet_node *n;

    assert_int_equal(fixture_load(f, fixture_write(f, "x.yaml", example), NULL), 0);
    assert_int_equal(f->fleet->n_nodes, 22); /* localhost too */
    n = node_of(f, "web07");
    assert_string_equal(n->base.user, "ops");
    assert_int_equal(n->base.port, 22);
    assert_string_equal(n->base.identity.v[0], "~/.ssh/ops");
    assert_string_equal(n->over.host, "web07.example.com");
    assert_string_equal(n->over.user, "deploy");
    assert_int_equal(n->over.port, 0);
    assert_string_equal(var_of(n, "dc"), "ams");
    assert_true(n->explicit_node);
    assert_int_equal(n->n_groups, 2);
    assert_string_equal(f->fleet->groups[n->groups[0]].name, "prod");
    assert_string_equal(f->fleet->groups[n->groups[1]].name, "web");
    n = node_of(f, "db1");
    assert_string_equal(n->over.user, "postgres"); /* the node's own over its group's */
    assert_int_equal(n->over.port, 2222);
    assert_true(group_of(f, "prod")->is_protected);
    assert_false(group_of(f, "web")->is_protected);
    assert_true(group_of(f, "web")->is_child);
    assert_false(group_of(f, "prod")->is_child);
    assert_int_equal(group_of(f, "prod")->n_nodes, 1);
    assert_int_equal(group_of(f, "prod")->n_all, 21);
    assert_string_equal(f->fleet->nodes[group_of(f, "prod")->all[0]].name, "db1");
    assert_string_equal(f->fleet->sources[0].type, "muster");
    assert_int_equal(f->fleet->sources[0].n_nodes, 21);
    assert_int_equal(f->fleet->sources[0].n_groups, 2);
    assert_true(f->fleet->sources[0].named);
}

static void names_are_in_natural_order(void **state)
{
    struct fixture *f = *state;

    fixture_write(f, "x.yaml", "nodes: [n10, n2, n1, 'm[9-11]']\ngroups: {g10: , g9: n1}\n");
    assert_int_equal(fixture_load(f, fixture_write(f, "y.yaml", "nodes: n3"), "hosts:/dev/null",
                                  NULL),
                     0);
    assert_int_equal(f->fleet->n_nodes, 2);
    CLEANUP_FREE char *x = x_asprintf("%s/x.yaml", f->home);
    assert_int_equal(fixture_load(f, x, NULL), 0);
    const char *want[] = {"localhost", "m9", "m10", "m11", "n1", "n2", "n10"};
    assert_int_equal(f->fleet->n_nodes, ARRAY_LEN(want));
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        assert_string_equal(f->fleet->nodes[i].name, want[i]);
    assert_string_equal(f->fleet->groups[0].name, "g9");
    assert_string_equal(f->fleet->groups[1].name, "g10");
    assert_int_equal(group_of(f, "g10")->n_all, 0);
}

static void settings_from_outer_to_inner(void **state)
{
    struct fixture *f = *state;
    const struct fleet_node *n;

    fixture_write(f, "x.yaml", "defaults: {vars: {a: def, b: def, c: def, d: def}}\n"
                               "groups:\n"
                               "  a-inner: {nodes: n1, user: inner, vars: {c: inner, d: inner}}\n"
                               "  m-mid: {groups: a-inner, user: mid, port: 2,\n"
                               "          vars: {c: mid, b: mid}}\n"
                               "  z-outer: {groups: [m-mid, a-inner], user: outer, port: 1,\n"
                               "            connect_timeout: 3, vars: {b: outer, a: outer}}\n"
                               "nodes: {n1: {vars: {d: own}, identity: [k1, k2]}}\n");
    CLEANUP_FREE char *x = x_asprintf("%s/x.yaml", f->home);
    assert_int_equal(fixture_load(f, x, NULL), 0);
    n = node_of(f, "n1");
    assert_string_equal(n->over.user, "inner");
    assert_int_equal(n->over.port, 2);
    assert_int_equal(n->over.connect_timeout_ms, 3000);
    assert_int_equal(n->over.command_timeout_ms, -1);
    assert_int_equal(n->over.identity.n, 2);
    assert_string_equal(var_of(n, "a"), "outer");
    assert_string_equal(var_of(n, "b"), "mid");
    assert_string_equal(var_of(n, "c"), "inner");
    assert_string_equal(var_of(n, "d"), "own");
    expect_members(f, "z-outer", "n1");
}

static void inline_groups_and_vars(void **state)
{
    struct fixture *f = *state;
    const struct fleet_node *n;

    fixture_write(f, "x.yaml",
                  "nodes:\n"
                  "  'n[1-3]': {vars: {on: yes, n: 010, list: [a, 1], map: {k: v}}}\n"
                  "  n2: {port: 99}\n"
                  "  v6: {host: fe80::1%eth0, transport: pigeon}\n"
                  "groups:\n"
                  "  all-of-it:\n"
                  "    groups:\n"
                  "      odd: {nodes: 'n[1-3/2]'}\n"
                  "      deep: {groups: {deeper: [n2, n2, extra]}}\n"
                  "    nodes: n3\n");
    CLEANUP_FREE char *x = x_asprintf("%s/x.yaml", f->home);
    assert_int_equal(fixture_load(f, x, NULL), 0);
    n = node_of(f, "n2");
    assert_string_equal(var_of(n, "on"), "yes");
    assert_string_equal(var_of(n, "n"), "010");
    assert_non_null(strchr(var_of(n, "list"), '['));
    assert_non_null(strstr(var_of(n, "map"), "\"k\""));
    assert_int_equal(n->over.port, 99);
    assert_int_equal(node_of(f, "n1")->over.port, 0);
    assert_string_equal(node_of(f, "v6")->over.host, "fe80::1%eth0");
    assert_string_equal(node_of(f, "v6")->over.transport, "pigeon"); /* unsupported when it runs */
    expect_members(f, "all-of-it", "n3,n1,n2,extra");
    expect_members(f, "deeper", "n2,extra");
    assert_int_equal(group_of(f, "deeper")->n_nodes, 2); /* each once */
    assert_true(node_of(f, "extra")->explicit_node);
}

static void errors_of_shape(void **state)
{
    struct fixture *f = *state;

    expect_error(f, "- a\n",
                 "line 1: an inventory is a mapping with defaults, nodes and groups, but this is a "
                 "list");
    expect_error(f, "\nnode: {a: }\n",
                 "line 2: unknown key \"node\" in the inventory; did you mean \"nodes\"? Allowed: "
                 "defaults, nodes, groups");
    expect_error(f, "every: {nodes: }\n",
                 "line 1: unknown key \"every\" in the inventory; allowed: defaults, nodes, groups");
    expect_error(f, "nodes:\n  a: 5\n",
                 "line 2: node \"a\" is to be a mapping of settings (or nothing), but is one "
                 "value");
    expect_error(f, "nodes:\n  a:\n    prot: 5\n",
                 "line 3: unknown key \"prot\" in node \"a\"; did you mean \"port\"? Allowed: "
                 "vars, host, port, user, identity, transport, known_hosts, strict_host_key, "
                 "connect_timeout, command_timeout, jump, exec, become, become_user");
    expect_error(f, "defaults: [a]\n",
                 "line 1: \"defaults\" is to be a mapping of settings, but is a list");
    expect_error(f, "groups:\n  g: {nodes: {a: }}\n",
                 "line 2: group \"g\": \"nodes\" is to be names or ranges, but is a mapping; "
                 "settings of nodes stand under the \"nodes\" at the top");
    expect_error(f, "groups: {g: {protected: maybe}}\n",
                 "line 1: group \"g\": \"protected\" is to be true or false");
    expect_error(f, "groups: [a]\n",
                 "line 1: \"groups\" is to be a mapping of names and groups, but is a list");
    expect_error(f, "nodes:\n  a: {vars: 5}\n",
                 "line 2: node \"a\": \"vars\" is to be a mapping of names and values, but is one "
                 "value");
}

static void errors_of_values(void **state)
{
    struct fixture *f = *state;

    expect_error(f, "nodes:\n  a: {port: 70000}\n",
                 "line 2: node \"a\": port: \"70000\" is not allowed: give a number from 1 to "
                 "65535");
    expect_error(f, "defaults:\n  port: [1, 2]\n",
                 "line 2: defaults: \"port\" is to be one value, but is a list");
    expect_error(f, "groups:\n  g:\n    user:\n",
                 "line 3: group \"g\": \"user\" is to be one value, but is nothing");
    expect_error(f, "nodes:\n  a: {strict_host_key: no}\n",
                 "line 2: node \"a\": strict_host_key: \"no\" is not allowed: give yes or "
                 "accept-new");
    expect_error(f, "nodes:\n  a: {identity: [x, [y]]}\n",
                 "line 2: node \"a\": \"identity\" is to be one value or a list of values, but is "
                 "a list");
    expect_error(f, "nodes:\n  a: {host: -oProxyCommand=x}\n",
                 "line 2: node \"a\": host: \"-oProxyCommand=x\" is not allowed: give a name "
                 "without blanks that does not start with '-'");
}

static void errors_of_names(void **state)
{
    struct fixture *f = *state;

    expect_error(f, "nodes:\n  a!b:\n",
                 "line 2: \"a!b\" cannot be a node name: \"!\" has a meaning of its own in "
                 "targets");
    expect_error(f, "nodes:\n  -x:\n", "line 2: the node name \"-x\" begins with \"-\"");
    expect_error(f, "nodes:\n  \"a\\e[31m\":\n",
                 "line 2: in \"a^[[31m\": the node name \"a^[\" holds control or invisible "
                 "characters");
    expect_error(f, "nodes: {\"\": }\n", "line 1: a node has an empty name");
    expect_error(f, "groups:\n  g: {nodes: '@web'}\n",
                 "line 2: \"@web\" is a group: list it under `groups`, without the \"@\"");
    expect_error(f, "groups:\n  'a b': {nodes: x}\n",
                 "line 2: \"a b\" cannot be a group name: \" \" has a meaning of its own in "
                 "targets");
    fixture_write(f, "inv.yaml", "nodes:\n  \n  'web[9-': {}\n");
    CLEANUP_FREE char *path = x_asprintf("%s/inv.yaml", f->home);
    assert_int_equal(fixture_load(f, path, NULL), -ERR_VALIDATION);
    assert_non_null(strstr(f->err.msg, "inv.yaml: line 3: "));
    fixture_write(f, "inv.yaml", "nodes: {a: 1\n");
    assert_int_equal(fixture_load(f, path, NULL), -ERR_VALIDATION);
    assert_ptr_equal(strstr(f->err.msg, path), f->err.msg);
    assert_non_null(strstr(f->err.msg, ": line "));
}

static void errors_of_groups(void **state)
{
    struct fixture *f = *state;

    expect_error(f, "groups:\n  prod:\n    groups: [wbe]\n  web:\n",
                 "line 3: group \"prod\" lists the group \"wbe\", which no inventory defines; did "
                 "you mean \"web\"?");
    expect_error(f, "groups:\n  prod: {groups: [other]}\n",
                 "line 2: group \"prod\" lists the group \"other\", which no inventory defines; "
                 "define it, or list nodes under `nodes`");
    expect_error(f, "groups:\n  a: {groups: b}\n  b: {groups: c}\n  c: {groups: [d, b]}\n  d:\n",
                 "line 4: groups hold each other in a circle: b -> c -> b; take one of them out");
    expect_error(f, "groups:\n  a: {groups: a}\n",
                 "line 2: groups hold each other in a circle: a -> a; take one of them out");
}

/* Each node written out: 10,000 entries of a mapping, as generators write them. */
static void ten_thousand_nodes(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *path = x_asprintf("%s/big.yaml", f->home);
    struct timespec a, b;
    struct strbuf text;
    double ms;

    strbuf_init(&text, 0);
    strbuf_adds(&text, "defaults: {user: ops, identity: ~/.ssh/ops}\nnodes:\n");
    for (int i = 0; i < 10000; i++)
        strbuf_addf(&text, "  node%05d: {host: 10.%d.%d.%d, port: 2222, vars: {rack: r%d}}\n", i,
                    i / 65536, i / 256 % 256, i % 256, i / 40);
    strbuf_adds(&text, "groups:\n");
    for (int i = 0; i < 100; i++)
        strbuf_addf(&text, "  g%02d: {nodes: 'node[%05d-%05d]', user: u%d}\n", i, i * 100,
                    i * 100 + 99, i);
    strbuf_adds(&text, "  all: {groups: 'g00'}\n");
    fixture_write(f, "big.yaml", text.s);
    strbuf_free(&text);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    assert_int_equal(fixture_load(f, path, NULL), 0);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    assert_int_equal(f->fleet->n_nodes, 10001);
    assert_int_equal(group_of(f, "all")->n_all, 100);
    assert_string_equal(node_of(f, "node09999")->over.user, "u99");
    assert_string_equal(var_of(node_of(f, "node00040"), "rack"), "r1");
    ms = (double) (b.tv_sec - a.tv_sec) * 1e3 + (double) (b.tv_nsec - a.tv_nsec) / 1e6;
    print_message("10,000 nodes in %.0f ms of CPU\n", ms);
    assert_true(ms < 2000); /* quadratic work takes far longer, sanitizers less */
}

static void sample_loads(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fixture_load(f, DATA_DIR "/inventory-sample.yaml", NULL), 0);
    assert_true(group_of(f, "prod")->is_protected);
    assert_string_equal(node_of(f, "web03")->over.host, "web03.example.com");
    assert_string_equal(node_of(f, "db1")->over.user, "postgres");
    assert_string_equal(var_of(node_of(f, "db2"), "stage"), "prod");
    expect_members(f, "lab", "lab1,lab2");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(design_example),         TEST(names_are_in_natural_order),
        TEST(settings_from_outer_to_inner), TEST(inline_groups_and_vars),
        TEST(errors_of_shape),        TEST(errors_of_values),
        TEST(errors_of_names),        TEST(errors_of_groups),
        TEST(ten_thousand_nodes),     TEST(sample_loads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
