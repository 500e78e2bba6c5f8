/* SPDX-License-Identifier: Apache-2.0 */
/* The other sources, which of them are asked, their merging, and changes of their files. */
#include "fixture.h"

#include "muster/base/alloc.h"

#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char *path_of(struct fixture *f, const char *name)
{
    return x_asprintf("%s/%s", f->home, name);
}

static void nothing_set_up(void **state)
{
    struct fixture *f = *state;
    const struct fleet_node *n;

    assert_int_equal(fixture_load(f, NULL), 0);
    assert_int_equal(f->fleet->n_nodes, 1);
    assert_int_equal(f->fleet->n_groups, 0);
    n = node_of(f, "localhost");
    assert_string_equal(n->over.transport, "local");
    assert_false(n->explicit_node);
    assert_int_equal(f->fleet->n_sources, 2);
    assert_string_equal(f->fleet->sources[0].type, "ssh_config");
    assert_int_equal(f->fleet->sources[0].state, SOURCE_ABSENT);
    assert_string_equal(f->fleet->sources[1].type, "localhost");
    assert_null(f->fleet->sources[1].path);
}

static void ssh_config_names(void **state)
{
    struct fixture *f = *state;

    fixture_write(f, ".ssh/config",
                  "# Host commented\n"
                  "Include conf.d/* nothing-there\n"
                  "host = alpha \"beta\" *.example.com !gamma # Host delta\n"
                  "\tHOST epsilon\r\n"
                  "  User x\n"
                  "HostName not-a-host\n"
                  "Match host zeta\n"
                  "  Include ~/elsewhere/more.conf\n"
                  "Host bad;name theta?\n"
                  "Host=eta");
    fixture_write(f, ".ssh/conf.d/work", "Host w1 w2\nHost alpha\n");
    fixture_write(f, "elsewhere/more.conf", "Host m1\n");
    assert_int_equal(fixture_load(f, NULL), 0);
    assert_int_equal(f->fleet->sources[0].state, SOURCE_OK);
    expect_members(f, "ssh_config", "w1,w2,alpha,beta,epsilon,m1,eta");
    expect_members(f, "work", "w1,w2,alpha");
    expect_members(f, "more", "m1");
    assert_int_equal(f->fleet->n_groups, 3);
    assert_int_equal(f->fleet->n_nodes, 8);
    assert_false(node_of(f, "w1")->explicit_node);
    assert_false(setting_is_set(&node_of(f, "w1")->over, SETTING_HOST));
}

static void broken_ssh_config_is_only_marked(void **state)
{
    struct fixture *f = *state;

    fixture_write(f, ".ssh/config", "Host a\nHost \"b\n");
    assert_int_equal(fixture_load(f, NULL), 0);
    assert_int_equal(f->fleet->n_nodes, 1);
    assert_int_equal(f->fleet->sources[0].state, SOURCE_FAILED);
    assert_non_null(strstr(f->fleet->sources[0].error, ".ssh/config: line 2: a quote (\") has no "
                                                       "end"));
    fixture_write(f, ".ssh/config", "Include config\n");
    assert_int_equal(fixture_load(f, NULL), 0);
    assert_int_equal(f->fleet->sources[0].state, SOURCE_FAILED);
    assert_non_null(strstr(f->fleet->sources[0].error, "more than 16 files deep"));
    /* named by -i, the same is an error */
    CLEANUP_FREE char *spec = x_asprintf("ssh_config:%s/.ssh/config", f->home);
    assert_int_equal(fixture_load(f, spec, NULL), -ERR_VALIDATION);
}

static void hosts_file(void **state)
{
    struct fixture *f = *state;
    const struct fleet_node *n;
    const char *path = fixture_write(f, "hosts",
                                     "# the lab\r\n"
                                     "\n"
                                     "plain\n"
                                     "  ops@web[01-03]:2222   # three\n"
                                     "10.0.0.1:2201\n10.0.0.1:2202\n10.0.0.1\n"
                                     "2001:db8::1\n"
                                     "[2001:db8::2]:22\n"
                                     "plain\n"
                                     "a1,b[1-2], c1\n");

    assert_int_equal(fixture_load(f, path, NULL), 0);
    assert_string_equal(f->fleet->sources[0].type, "hosts");
    assert_int_equal(f->fleet->sources[0].n_nodes, 13);
    n = node_of(f, "web02");
    assert_string_equal(n->over.user, "ops");
    assert_int_equal(n->over.port, 2222);
    assert_null(n->over.host);
    assert_true(n->explicit_node);
    /* one address with two ports is two nodes */
    assert_int_equal(node_of(f, "10.0.0.1:2201")->over.port, 2201);
    assert_string_equal(node_of(f, "10.0.0.1:2202")->over.host, "10.0.0.1");
    assert_int_equal(node_of(f, "10.0.0.1")->over.port, 0);
    assert_int_equal(node_of(f, "2001:db8::1")->over.port, 0);
    assert_int_equal(node_of(f, "2001:db8::2")->over.port, 22);
    node_of(f, "c1");
}

static void expect_hosts_error(struct fixture *f, const char *text, const char *message)
{
    const char *path = fixture_write(f, "hosts", text);
    CLEANUP_FREE char *whole = x_asprintf("%s: %s", path, message);

    assert_int_equal(fixture_load(f, path, NULL), -ERR_VALIDATION);
    assert_string_equal(f->err.msg, whole);
}

static void hosts_errors(void **state)
{
    struct fixture *f = *state;

    expect_hosts_error(f, "a\n\nb:0\n",
                       "line 3: port: \"0\" is not allowed: give a number from 1 to 65535");
    expect_hosts_error(f, "10.0.0.1 alias\n",
                       "line 1: one host a line is allowed ([user@]host[:port]), but after it "
                       "comes \"alias\"");
    expect_hosts_error(f, "@b\n", "line 1: no user before \"@b\"");
    expect_hosts_error(f, ":22\n", "line 1: no host before the port");
    expect_hosts_error(f, "[::1]22\n",
                       "line 1: \"[::1]22\" is no host: after \"]\" only \":PORT\" may follow");
    expect_hosts_error(f, "a b c\nx=y\n",
                       "line 1: one host a line is allowed ([user@]host[:port]), but after it "
                       "comes \"b c\"");
    expect_hosts_error(f, "x=y\n",
                       "line 1: \"x=y\" cannot be a node name: \"=\" has a meaning of its own in "
                       "targets");
}

static void which_files(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *a = path_of(f, "a.yaml"), *b = path_of(f, "b"), *c = path_of(f, "c");
    CLEANUP_FREE char *variable = x_asprintf("%s:hosts:%s:", b, c);
    CLEANUP_FREE char *missing = path_of(f, "missing");
    CLEANUP_FREE char *typed = x_asprintf("hosts:%s", c);

    fixture_write(f, ".config/muster/inventory.yaml", "nodes: standard");
    fixture_write(f, "a.yaml", "nodes: from-a");
    fixture_write(f, "b", "# no ending: told by its content\ngroups:\n  b: {nodes: from-b}\n");
    fixture_write(f, "c", "from-c\n");
    assert_int_equal(fixture_load(f, NULL), 0);
    assert_non_null(fleet_node(f->fleet, "standard"));
    assert_false(f->fleet->sources[0].named);
    setenv("MUSTER_INVENTORY", variable, 1);
    assert_int_equal(fixture_load(f, NULL), 0);
    assert_null(fleet_node(f->fleet, "standard"));
    node_of(f, "from-b");
    node_of(f, "from-c");
    assert_true(f->fleet->sources[0].named);
    assert_int_equal(fixture_load(f, a, NULL), 0); /* -i over the variable */
    assert_null(fleet_node(f->fleet, "from-b"));
    node_of(f, "from-a");
    node_of(f, "localhost");
    setenv("MUSTER_INVENTORY", "", 1);
    assert_int_equal(fixture_load(f, NULL), 0);
    node_of(f, "standard");
    unsetenv("MUSTER_INVENTORY");
    assert_int_equal(fixture_load(f, typed, NULL), 0);
    node_of(f, "from-c");
    assert_int_equal(fixture_load(f, missing, NULL), -ERR_VALIDATION);
    assert_non_null(strstr(f->err.msg, missing));
    CLEANUP_FREE char *folder = x_asprintf("hosts:%s", f->home);
    assert_int_equal(fixture_load(f, folder, NULL), -ERR_VALIDATION);
    assert_int_equal(fixture_load(f, "nosuch:/x", NULL), -ERR_VALIDATION);
    assert_string_equal(f->err.msg, "inventory \"nosuch:/x\": there is no file of that name, and "
                                    "no inventory type \"nosuch\"; the types are "
                                    INVENTORY_TYPES);
    fixture_write(f, ".config/muster/inventory.yaml", "nope: 1");
    assert_int_equal(fixture_load(f, NULL), -ERR_VALIDATION);
    assert_ptr_equal(strstr(f->err.msg, "the default inventory is broken: "), f->err.msg);
    assert_non_null(strstr(f->err.msg, "inventory.yaml: line 1: unknown key \"nope\""));
}

static void merging(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *a = path_of(f, "a.yaml"), *b = path_of(f, "b.yaml"), *h = path_of(f, "h");
    const struct fleet_node *n;

    fixture_write(f, ".ssh/config", "Host web1 jump\n");
    fixture_write(f, "a.yaml", "defaults: {user: ua, port: 1}\n"
                               "nodes: {web1: {port: 11, vars: {x: a, y: a}}, only-a: }\n"
                               "groups: {web: {nodes: [web1, only-a], user: ga},\n"
                               "         top: {groups: web}}\n");
    fixture_write(f, "b.yaml", "defaults: {user: ub}\n"
                               "nodes: {web1: {vars: {x: b}}}\n"
                               "groups: {web: {nodes: [web2, web1], protected: yes,\n"
                               "               groups: ssh_config}}\n");
    fixture_write(f, "h", "web1:12\n");
    assert_int_equal(fixture_load(f, a, b, h, NULL), 0);
    n = node_of(f, "web1");
    assert_string_equal(n->base.user, "ub"); /* the later file's defaults */
    assert_int_equal(n->base.port, 1);
    assert_int_equal(n->over.port, 12);
    assert_string_equal(n->over.user, "ga");
    assert_string_equal(var_of(n, "x"), "b");
    assert_string_equal(var_of(n, "y"), "a");
    assert_int_equal(n->sources, 0xf); /* a, b, h and ssh_config */
    assert_true(n->explicit_node);
    assert_string_equal(node_of(f, "only-a")->base.user, "ua");
    assert_false(node_of(f, "jump")->explicit_node);
    assert_null(node_of(f, "jump")->base.user); /* no file's defaults are its own */
    expect_members(f, "web", "web1,only-a,web2,jump");
    expect_members(f, "top", "web1,only-a,web2,jump");
    assert_true(group_of(f, "web")->is_protected);
    assert_int_equal(group_of(f, "web")->sources, 3);
    assert_int_equal(f->fleet->n_sources, 5);
    for (size_t i = 0; i < f->fleet->n_sources; i++)
        assert_int_equal(f->fleet->sources[i].state, SOURCE_OK);
}

static void localhost_that_is_reached_by_ssh(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fixture_load(f, fixture_write(f, "h", "localhost:2222\n"), NULL), 0);
    assert_null(node_of(f, "localhost")->over.transport);
    assert_true(node_of(f, "localhost")->explicit_node);
    assert_int_equal(fixture_load(f, fixture_write(f, "h", "localhost\n"), NULL), 0);
    assert_string_equal(node_of(f, "localhost")->over.transport, "local");
}

static void changes_are_seen(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *a = path_of(f, "a.yaml"), *copy = path_of(f, "copy");
    struct timespec times[2];
    struct stat st;

    fixture_write(f, "a.yaml", "nodes: n1");
    fixture_write(f, ".ssh/config", "Include conf.d/*\n");
    assert_int_equal(fixture_load(f, a, NULL), 0);
    assert_false(inventory_changed(f->watch));
    fixture_write(f, "a.yaml", "nodes: n22"); /* size */
    assert_true(inventory_changed(f->watch));
    assert_int_equal(fixture_load(f, a, NULL), 0);
    assert_false(inventory_changed(f->watch));
    assert_int_equal(stat(a, &st), 0);
    times[0] = times[1] = (struct timespec){st.st_mtim.tv_sec - 5, 0}; /* time */
    assert_int_equal(utimensat(AT_FDCWD, a, times, 0), 0);
    assert_true(inventory_changed(f->watch));
    assert_int_equal(fixture_load(f, a, NULL), 0);
    fixture_write(f, "copy", "nodes: n22"); /* inode */
    assert_int_equal(rename(copy, a), 0);
    assert_true(inventory_changed(f->watch));
    assert_int_equal(fixture_load(f, a, NULL), 0);
    fixture_write(f, ".ssh/conf.d/new", "Host late\n"); /* an Include finds more */
    assert_true(inventory_changed(f->watch));
    assert_int_equal(fixture_load(f, NULL), 0);
    node_of(f, "late");
    assert_false(inventory_changed(f->watch));
    fixture_write(f, ".config/muster/inventory.yaml", "nodes: [\n"); /* what was absent comes */
    assert_true(inventory_changed(f->watch));
    assert_int_equal(fixture_load(f, NULL), -ERR_VALIDATION);
    assert_false(inventory_changed(f->watch)); /* also after an error */
    fixture_write(f, ".config/muster/inventory.yaml", "nodes: []\n");
    assert_true(inventory_changed(f->watch));
    assert_int_equal(fixture_load(f, a, NULL), 0);
    assert_int_equal(unlink(a), 0);
    assert_true(inventory_changed(f->watch));
}

static void more_sources_than_bits(void **state)
{
    struct fixture *f = *state;
    struct inventory_options opts = INVENTORY_OPTIONS_INIT;

    for (int i = 0; i < 40; i++) {
        char name[32], text[32];
        snprintf(name, sizeof name, "f%d.yaml", i);
        snprintf(text, sizeof text, "nodes: [n%d, all]", i);
        strv_push(&opts.files, fixture_write(f, name, text));
    }
    assert_int_equal(inventory_load(&opts, &f->fleet, &f->watch, &f->err), 0);
    assert_int_equal(node_of(f, "all")->sources, UINT32_MAX);
    assert_int_equal(node_of(f, "n3")->sources, 1 << 3);
    assert_int_equal(node_of(f, "n39")->sources, UINT32_C(1) << 31);
    strv_clear(&opts.files);
}

/* A small generator of its own, so that a failure comes back in every run. */
static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Damaged files give a fleet or an error that names the file, and never anything else. */
static void damaged_files(void **state)
{
    static const char *const texts[] = {
        "defaults: {user: ops, port: 22}\nnodes:\n  'web[01-09]': {host: '%n.x', vars: {a: [1]}}\n"
        "groups:\n  g: {nodes: [web01, 'b[1-3/2]'], groups: {h: {nodes: x, protected: true}}}\n",
        "ops@web[01-03]:2222 # c\n[2001:db8::1]:22\na,b[1-2]\n10.0.0.1:1\n10.0.0.1:2\n",
        "Host a \"b c\" d\nInclude x* ~/y\nMatch host z\nHost = e !f g*\n"};
    static const char *const types[] = {"muster", "hosts", "ssh_config"};
    static const char signs[] = "[]{}:,'\"@!%#\n -*&\\/\t\x01\xff" "09az";
    struct fixture *f = *state;
    uint32_t seed = 7;
    size_t broken = 0, whole = 0;

    for (int round = 0; round < 900; round++) {
        CLEANUP_FREE char *text = x_strdup(texts[round % 3]);
        CLEANUP_FREE char *spec = NULL;
        size_t n = strlen(text);
        const char *path;
        for (int i = 0; i < 1 + round % 4; i++)
            text[next_random(&seed) % n] = signs[next_random(&seed) % (sizeof signs - 1)];
        path = fixture_write(f, "damaged", text);
        spec = x_asprintf("%s:%s", types[round % 3], path);
        if (fixture_load(f, spec, NULL) == 0) {
            whole++;
        } else {
            broken++;
            assert_non_null(strstr(f->err.msg, path));
        }
    }
    assert_true(broken > 100 && whole > 100);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_set_up),   TEST(ssh_config_names),
        TEST(broken_ssh_config_is_only_marked), TEST(hosts_file),
        TEST(hosts_errors),     TEST(which_files),
        TEST(merging),          TEST(localhost_that_is_reached_by_ssh),
        TEST(changes_are_seen), TEST(more_sources_than_bits),
        TEST(damaged_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
