/* SPDX-License-Identifier: Apache-2.0 */
/* Bolt's inventory.yaml: the sample by the rules that Bolt documents, aliases, and what is refused. */
#include "fixture.h"

#include "muster/base/alloc.h"
#include "muster/core/nodeset.h"
#include "muster/core/target.h"

#include <string.h>

static const char sample[] = SAMPLES "/bolt.yaml";

static void groups_and_targets(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fixture_load(f, sample, NULL), 0);
    assert_string_equal(f->fleet->sources[0].type, "bolt");
    assert_int_equal(f->fleet->sources[0].n_nodes, 8);
    assert_int_equal(f->fleet->sources[0].n_groups, 5);
    expect_members(f, "web", "web2,web1.example.com,10.0.0.5:2201,ann@10.0.0.5:2202");
    expect_members(f, "web_canary", "web2");
    expect_members(f, "db", "web2,bastion,localhost");
    expect_members(f, "windows", "win1.example.com");
    expect_members(f, "all", "bastion,top.example.com,web2,web1.example.com,10.0.0.5:2201,"
                             "ann@10.0.0.5:2202,localhost,win1.example.com");
}

static int load_text(struct fixture *f, const char *text)
{
    return fixture_load(f, fixture_write(f, "any.yaml", text), NULL);
}

/* As Bolt takes it, by what it looks like too. */
static void without_version(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(load_text(f, "targets: [h1, h2]\n"), 0);
    assert_string_equal(f->fleet->sources[0].type, "bolt");
    expect_members(f, "all", "h1,h2");
    assert_int_equal(load_text(f, "groups:\n  # ours\n\n  - name: web\n    targets: [h3]\n"), 0);
    assert_string_equal(f->fleet->sources[0].type, "bolt");
    expect_members(f, "web", "h3");
    assert_int_equal(load_text(f, "groups:\n  web: {nodes: [h4]}\nnodes: {h4: {}}\n"), 0);
    assert_string_equal(f->fleet->sources[0].type, "muster");
}

/* A deeper group goes over the one around it, an earlier group over a later one, a target over all. */
static void nested_groups(void **state)
{
    struct fixture *f = *state;
    const struct fleet_node *n;

    assert_int_equal(fixture_load(f, SAMPLES "/bolt-nested.yaml", NULL), 0);
    expect_members(f, "debian", "deb1.example.org,deb2.example.org");
    expect_members(f, "redhat", "rh2,rh1.example.org");
    expect_members(f, "canary", "deb2.example.org,rh2");
    expect_members(f, "here", "localhost");
    n = node_of(f, "rh1.example.org");
    assert_string_equal(n->over.user, "cloud-user");
    assert_int_equal(n->over.port, 2022);
    assert_int_equal(n->over.connect_timeout_ms, 20000);
    assert_string_equal(n->over.become_user, "root");
    assert_string_equal(var_of(n, "kernel"), "stock");
    assert_string_equal(var_of(n, "managed"), "true");
    assert_string_equal(var_of(n, "site"), "main");
    n = node_of(f, "rh2");
    assert_string_equal(n->over.host, "rh2.example.org");
    assert_string_equal(var_of(n, "kernel"), "lts");
    assert_string_equal(var_of(n, "wave"), "1");
    n = node_of(f, "deb2.example.org");
    assert_string_equal(n->over.user, "admin");
    assert_string_equal(var_of(n, "kernel"), "distro");
    assert_string_equal(var_of(n, "facts.os.family"), "Debian");
}

static void precedence(void **state)
{
    struct fixture *f = *state;
    const struct fleet_node *n;
    CLEANUP_FREE char *key = x_strdup(SAMPLES "/keys/web2");

    assert_int_equal(fixture_load(f, sample, NULL), 0);
    /* in web and db: the earlier group wins; a child goes over its parent */
    n = node_of(f, "web2");
    assert_string_equal(n->over.user, "deploy");
    assert_string_equal(var_of(n, "role"), "canary");
    assert_string_equal(var_of(n, "dc"), "fra");
    assert_string_equal(n->over.host, "192.0.2.2");
    assert_int_equal(n->over.port, 2200);
    assert_string_equal(n->over.identity.v[0], key);
    assert_string_equal(n->over.become, "sudo");
    assert_string_equal(n->over.become_user, "www-data");
    assert_string_equal(n->over.jump, "jump@gate.example.com");
    /* facts are merged deep, vars are not */
    assert_string_equal(var_of(n, "facts.os.name"), "Rocky");
    assert_string_equal(var_of(n, "facts.os.release.major"), "12");
    assert_string_equal(var_of(n, "ntp"), "[\"a\",\"b\"]");
    assert_string_equal(var_of(n, "feature.puppet-agent"), "true");
    /* what the URI says goes over all config */
    n = node_of(f, "bastion");
    assert_string_equal(n->over.user, "root");
    assert_string_equal(n->over.host, "10.0.0.9");
    assert_int_equal(n->over.port, 2222);
    assert_string_equal(var_of(n, "role"), "db");
    n = node_of(f, "top.example.com");
    assert_string_equal(n->over.user, "ops");
    assert_string_equal(n->over.strict_host_key, "accept-new");
    assert_int_equal(n->over.connect_timeout_ms, 7000);
    assert_null(n->over.transport);
    assert_string_equal(var_of(n, "dc"), "ams");
    n = node_of(f, "ann@10.0.0.5:2202");
    assert_string_equal(n->over.user, "ann");
    assert_string_equal(node_of(f, "localhost")->over.transport, "local");
    /* another transport: the node is there, and names it */
    assert_string_equal(node_of(f, "win1.example.com")->over.transport, "winrm");
    assert_null(node_of(f, "win1.example.com")->over.user);
}

static void secrets_are_not_kept(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fixture_load(f, sample, NULL), 0);
    assert_true(warned(f, "config.ssh.password is not kept"));
    assert_true(warned(f, "config.winrm.password is not kept"));
    assert_true(warned(f, "host-key-check: false is taken as accept-new"));
    for (size_t i = 0; i < f->fleet->n_nodes; i++)
        for (size_t k = 0; k < f->fleet->nodes[i].n_vars; k++)
            assert_null(strstr(f->fleet->nodes[i].vars[k].value, "never kept"));
    const char *path = fixture_write(f, "inv.yaml",
                                     "version: 2\ntargets: ['ssh://u:secret@h1', {uri: h2, "
                                     "config: {ssh: {private-key: {key-data: K}, tty: true}}}]\n");
    assert_int_equal(fixture_load(f, path, NULL), 0);
    assert_true(warned(f, "the password in the URI of \"h1\" is not kept"));
    assert_true(warned(f, "config.ssh.private-key is not kept"));
    assert_true(warned(f, "the option \"tty\" of a transport is not used"));
    assert_string_equal(node_of(f, "h1")->over.user, "u");
}

static void aliases_name_their_node(void **state)
{
    struct fixture *f = *state;
    struct target_set t;
    struct target_env env = {.fleet = NULL};

    assert_int_equal(fixture_load(f, sample, NULL), 0);
    assert_ptr_equal(fleet_node(f->fleet, "second"), node_of(f, "web2"));
    assert_string_equal(var_of(node_of(f, "web2"), "alias"), "second");
    env.fleet = f->fleet;
    target_set_init(&t);
    assert_int_equal(target_eval(&env, "second,gate,jump", &t, &f->err), 0);
    assert_int_equal(nodeset_count(t.nodes), 2);
    assert_string_equal(nodeset_at(t.nodes, 0), "web2");
    assert_string_equal(nodeset_at(t.nodes, 1), "bastion");
    target_set_clear(&t);
}

static void refused(void **state)
{
    struct fixture *f = *state;

    expect_error(f, "version: 1\nnodes: [a]\n",
                 "line 1: only version 2 of Bolt's inventory is read (`bolt project migrate` "
                 "changes an older file)");
    expect_error(f, "version: 2\ntargets:\n  - _plugin: puppetdb\n    query: x\n",
                 "line 3: targets come from Bolt's plugin \"puppetdb\" here, and muster runs no "
                 "plugins of Bolt: write them out, or give the list with -i command:...");
    expect_error(f, "version: 2\ngroups:\n  - name: a\n    targets: {_plugin: puppetdb}\n",
                 "line 4: targets come from Bolt's plugin \"puppetdb\" here, and muster runs no "
                 "plugins of Bolt: write them out, or give the list with -i command:...");
    expect_error(f, "version: 2\ngroups: {}\n",
                 "line 2: \"groups\" is to be a list (\"- name: ..\"), and is a mapping here");
    expect_error(f, "version: 2\n\ntargets: {h1: {}}\n",
                 "line 3: \"targets\" is to be a list (\"- name: ..\"), and is a mapping here");
    expect_error(f, "version: 2\ngroups: web\n",
                 "line 2: \"groups\" is to be a list (\"- name: ..\"), and is one word here");
    expect_error(f, "version: 2\ngroups: [{name: a}, {name: a}]\n",
                 "line 2: the group \"a\" is defined twice");
    expect_error(f, "version: 2\ngroups: [{targets: x}]\n",
                 "line 2: a group is to be a mapping with a \"name\"");
    expect_error(f, "version: 2\ntargets: [{alias: x}]\n",
                 "line 2: a target needs a \"name\" or a \"uri\" of one word");
    expect_error(f, "version: 2\ntargets: [{name: a, alias: x}, {name: b, alias: x}]\n",
                 "line 2: the alias \"x\" is of two targets: \"a\" and \"b\"");
    expect_error(f, "version: 2\ngroups: [{name: web, targets: [h1]}]\n"
                    "targets:\n  - name: a\n    alias: web\n",
                 "line 5: the alias \"web\" of \"a\" is the name of a group");
    expect_error(f, "version: 2\ntargets:\n  - {name: a, alias: [x, b]}\n  - name: b\n",
                 "line 3: the alias \"b\" of \"a\" is the name of a target");
    expect_error(f, "version: 2\ngroups:\n  - {name: web, targets: [h1]}\n"
                    "  - name: prod\n    targets:\n      - web\n",
                 "line 6: the target \"web\" has the name of a group: Bolt takes no word for both "
                 "(groups stand under \"groups\", not under \"targets\")");
    expect_error(f, "version: 2\ntargets: [{name: a, config: {ssh: {port: x}}}]\n",
                 "target \"a\": config.ssh.port: port: \"x\" is not allowed: give a number from 1 "
                 "to 65535");
    expect_error(f, "version: 2\ntargets: ['ssh://']\n", "line 2: \"ssh://\" names no host");
}

/* What is not known of one concerns that one. */
static void one_is_not_all(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(load_text(f, "version: 2\n"
                                  "vars: {x: {_plugin: env_var}, y: 1}\n"
                                  "facts: {_plugin: yaml}\n"
                                  "groups:\n"
                                  "  - name: asked\n"
                                  "    config: {ssh: {user: {_plugin: prompt}, port: 22,\n"
                                  "             password: {_plugin: prompt}}}\n"
                                  "    targets: [a1, {name: a2, config: {ssh: {user: me}}},\n"
                                  "              {name: a3, config: {transport: winrm}}]\n"
                                  "  - {name: all_of_it, config: {_plugin: my vault}, targets: [b1]}\n"
                                  "  - name: other\n"
                                  "    config: {ssh: {tmpdir: {_plugin: env_var}}}\n"
                                  "    targets: [c1, {name: c 2, alias: c3}]\n"
                                  "  - name: part\n"
                                  "    targets:\n"
                                  "      - {name: d1, uri: {_plugin: env_var, var: X}}\n"
                                  "      - {uri: {_plugin: env_var, var: X}}\n"
                                  "      - {name: d2, alias: {_plugin: env_var}}\n"),
                     0);
    expect_members(f, "all", "a2,a3,a1,b1,c1,d1,d2");
    assert_string_equal(node_of(f, "a1")->over.transport, "bolt-plugin:prompt");
    assert_string_equal(var_of(node_of(f, "a1"), "bolt.not_used"),
                        "ssh.user (of a plugin), ssh.password (a secret)");
    assert_null(node_of(f, "a2")->over.transport);
    assert_string_equal(node_of(f, "a2")->over.user, "me");
    assert_string_equal(node_of(f, "a3")->over.transport, "winrm");
    assert_string_equal(node_of(f, "b1")->over.transport, "bolt-plugin:my_vault");
    assert_null(node_of(f, "c1")->over.transport);
    assert_null(var_of(node_of(f, "c1"), "x"));
    assert_string_equal(var_of(node_of(f, "c1"), "y"), "1");
    assert_true(warned(f, "vars.x of \"all\" comes from Bolt's plugin \"env_var\""));
    assert_true(warned(f, "facts of \"all\" comes from Bolt's plugin \"yaml\""));
    assert_true(warned(f, "config.ssh.user of \"asked\" comes from Bolt's plugin \"prompt\""));
    assert_true(warned(f, "config of \"all_of_it\" comes from Bolt's plugin \"my vault\""));
    assert_true(warned(f, "line 13: this target is left out: \"c 2\" cannot be a node name"));
    assert_null(fleet_node(f->fleet, "c3"));
    assert_string_equal(node_of(f, "d1")->over.transport, "bolt-plugin:env_var");
    assert_string_equal(var_of(node_of(f, "d1"), "bolt.not_used"), "uri (of a plugin)");
    assert_null(node_of(f, "d2")->over.transport);
    assert_true(warned(f, "line 17: this target is left out: its name comes from Bolt's plugin"));
    assert_true(warned(f, "the alias of \"d2\" comes from Bolt's plugin \"env_var\""));
}

/* Each option of Bolt's ssh transport is a setting, or named where one looks at the node. */
static void options(void **state)
{
    static const struct {
        const char *option, *value;
        bool used;
    } rows[] = {{"host", "h", true},
                {"port", "2222", true},
                {"user", "u", true},
                {"password", "p", false},
                {"private-key", "k", true},
                {"host-key-check", "true", true},
                {"run-as", "root", true},
                {"sudo-password", "p", false},
                {"tty", "true", false},
                {"connect-timeout", "3", true},
                {"proxyjump", "j", true},
                {"interpreters", "{rb: /usr/bin/ruby}", false},
                {"tmpdir", "/var/tmp", false},
                {"native-ssh", "true", true},
                {"ssh-command", "[ssh, -v]", false},
                {"load-config", "false", false},
                {"disconnect-timeout", "3", false},
                {"extensions", "[.sh]", false},
                {"run-as-command", "[doas]", false},
                {"login-shell", "zsh", false}};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CLEANUP_FREE char *text =
            x_asprintf("version: 2\ntargets: [{name: n, config: {ssh: {%s: %s}}}]\n",
                       rows[i].option, rows[i].value);
        CLEANUP_FREE char *name = x_asprintf("ssh.%s", rows[i].option);
        assert_int_equal(load_text(f, text), 0);
        const char *said = var_of(node_of(f, "n"), "bolt.not_used");
        if (rows[i].used ? said != NULL : !said || strncmp(said, name, strlen(name)) != 0)
            fail_msg("%s: %s", name, said ? said : "(nothing)");
        assert_true(rows[i].used || f->fleet->sources[0].warnings.n == 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(groups_and_targets, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(without_version, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(nested_groups, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(precedence, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(secrets_are_not_kept, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(aliases_name_their_node, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(one_is_not_all, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(options, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(refused, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
