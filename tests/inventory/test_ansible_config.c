/* SPDX-License-Identifier: Apache-2.0 */
/* ansible.cfg and the environment of Ansible as defaults of its hosts. */
#include "fixture.h"

#include "muster/base/alloc.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char config[] =
    "# ours\n"
    "[defaults]\n"
    "Remote_User = deploy ; who logs in\n"
    "remote_port: 2200\n"
    "private_key_file = keys/id\n"
    "host_key_checking = False\n"
    "forks = 30\n"
    "[ssh_connection]\n"
    "ssh_args = -C -o ControlMaster=auto\n"
    "    -o StrictHostKeyChecking=no -o ForwardAgent=yes\n"
    "ssh_common_args = \"-J ops@gate\"\n"
    "pipelining = True\n"
    "[privilege_escalation]\n"
    "become = True\n"
    "become_user = app\n"
    "become_method = doas\n";

static void defaults_of_its_hosts(void **state)
{
    struct fixture *f = *state;
    const struct fleet_node *n;

    need_program("ansible-inventory");
    fixture_write(f, ".ansible.cfg", config);
    CLEANUP_FREE char *inv = x_strdup(fixture_write(
        f, "inv.ini", "[web]\nplain\nown ansible_user=me ansible_port=22 ansible_become=false "
                      "ansible_ssh_common_args='-o ProxyJump=other' "
                      "ansible_ssh_private_key_file=/k\n"));
    CLEANUP_FREE char *muster = x_strdup(fixture_write(f, "m.yaml", "nodes: {m1: {}}\n"));
    CLEANUP_FREE char *key = x_asprintf("%s/keys/id", f->home);
    assert_int_equal(fixture_load(f, inv, muster, NULL), 0);
    n = node_of(f, "plain");
    assert_string_equal(n->over.user, "deploy");
    assert_int_equal(n->over.port, 2200);
    assert_int_equal(n->over.identity.n, 1);
    assert_string_equal(n->over.identity.v[0], key);
    assert_string_equal(n->over.jump, "ops@gate");
    assert_string_equal(n->over.become, "doas");
    assert_string_equal(n->over.become_user, "app");
    assert_null(n->over.strict_host_key);
    n = node_of(f, "own");
    assert_string_equal(n->over.user, "me");
    assert_int_equal(n->over.port, 22);
    assert_int_equal(n->over.identity.n, 1);
    assert_string_equal(n->over.identity.v[0], "/k");
    assert_string_equal(n->over.jump, "other");
    assert_null(n->over.become);
    /* hosts of another source have nothing of it */
    assert_null(node_of(f, "m1")->over.user);
    assert_true(warned(f, "host_key_checking of "));
    assert_true(warned(f, "(\"False\") is not followed: host keys are checked all the same"));
    assert_true(warned(f, "StrictHostKeyChecking=no in ssh_args of "));
    assert_true(warned(f, "the ssh option \"ForwardAgent=yes\" in ssh_args of "));
    assert_true(warned(f, "forks of "));
    /* a change of it makes the copy anew; a value that cannot be is an error with its place */
    fixture_write(f, ".ansible.cfg", "[defaults]\nremote_user = changed\n");
    assert_true(inventory_changed(f->watch));
    assert_int_equal(fixture_load(f, inv, NULL), 0);
    assert_string_equal(node_of(f, "plain")->over.user, "changed");
    assert_int_equal(node_of(f, "plain")->over.port, 0);
    fixture_write(f, ".ansible.cfg", "[defaults]\nremote_port = many\n");
    assert_int_equal(fixture_load(f, inv, NULL), 0);
    assert_int_equal(f->fleet->sources[0].state, SOURCE_STALE);
    assert_non_null(strstr(f->fleet->sources[0].error, "remote_port of "));
}

static void the_environment_goes_over_it(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *path = x_strdup(fixture_write(
        f, "inv.sh", "#!/bin/sh\necho '{\"web\": [\"a\"], \"_meta\": {\"hostvars\": {}}}'\n"));

    chmod(path, 0700);
    fixture_write(f, ".ansible.cfg", "[defaults]\nremote_user = deploy\n");
    assert_int_equal(fixture_load(f, path, NULL), 0);
    assert_string_equal(node_of(f, "a")->over.user, "deploy");
    setenv("ANSIBLE_REMOTE_USER", "root", 1);
    setenv("ANSIBLE_PRIVATE_KEY_FILE", "~/k2", 1);
    assert_int_equal(fixture_load(f, path, NULL), 0);
    assert_string_equal(node_of(f, "a")->over.user, "root");
    assert_string_equal(node_of(f, "a")->over.identity.v[0], "~/k2");
    unsetenv("ANSIBLE_REMOTE_USER");
    unsetenv("ANSIBLE_PRIVATE_KEY_FILE");
    CLEANUP_FREE char *other = x_strdup(fixture_write(f, "other/ansible.cfg",
                                                      "[defaults]\nremote_user = third\n"));
    CLEANUP_FREE char *dir = x_asprintf("%s/other", f->home);
    setenv("ANSIBLE_CONFIG", dir, 1);
    assert_int_equal(fixture_load(f, path, NULL), 0);
    assert_string_equal(node_of(f, "a")->over.user, "third");
    unsetenv("ANSIBLE_CONFIG");
}

/* What another source says of the node itself stands, whichever comes first. */
static void defaults_are_weak(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *path = x_strdup(fixture_write(
        f, "inv.sh", "#!/bin/sh\necho '{\"web\": [\"a\"], \"_meta\": {\"hostvars\": {}}}'\n"));
    CLEANUP_FREE char *muster =
        x_strdup(fixture_write(f, "m.yaml", "nodes: {a: {user: mine, identity: [k1]}}\n"));

    chmod(path, 0700);
    fixture_write(f, ".ansible.cfg", "[defaults]\nremote_user = deploy\nremote_port = 99\n"
                                     "private_key_file = /k\n");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fixture_load(f, i ? path : muster, i ? muster : path, NULL), 0);
        assert_string_equal(node_of(f, "a")->over.user, "mine");
        assert_int_equal(node_of(f, "a")->over.port, 99);
        assert_string_equal(node_of(f, "a")->over.identity.v[0], "k1");
    }
}

static void a_folder_that_anybody_may_write(void **state)
{
    struct fixture *f = *state;
    char *before = getcwd(NULL, 0);

    need_program("ansible-inventory");
    fixture_write(f, "open/ansible.cfg", "[defaults]\nremote_user = evil\ninventory = inv.ini\n");
    fixture_write(f, "open/inv.ini", "[web]\na\n");
    CLEANUP_FREE char *dir = x_asprintf("%s/open", f->home);
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(fixture_load(f, "inv.ini", NULL), 0);
    assert_string_equal(node_of(f, "a")->over.user, "evil");
    assert_int_equal(chmod(dir, 0777), 0);
    assert_int_equal(fixture_load(f, "inv.ini", NULL), 0);
    assert_null(node_of(f, "a")->over.user);
    assert_true(warned(f, "is not read, as anybody may write into its folder"));
    assert_int_equal(fixture_load(f, NULL), 0);
    assert_int_equal(f->fleet->sources[0].state, SOURCE_ABSENT);
    assert_true(warned(f, "is not read, as anybody may write into its folder"));
    assert_int_equal(chdir(before), 0);
    free(before);
}

/* Messages name the variable that the inventory has, and what is encrypted reaches no host. */
static void names_are_those_of_the_file(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *path = x_strdup(fixture_write(
        f, "inv.sh", "#!/bin/sh\necho '{\"web\": [\"a\"], \"_meta\": {\"hostvars\": {\"a\": "
                     "{\"ansible_port\": 99999}}}}'\n"));

    chmod(path, 0700);
    assert_int_equal(fixture_load(f, path, NULL), -ERR_VALIDATION);
    assert_non_null(strstr(f->err.msg, "host \"a\": ansible_port: "));
    fixture_write(f, "inv.sh", "#!/bin/sh\necho '{\"web\": [\"a\"], \"_meta\": {\"hostvars\": {\"a\": "
                               "{\"ansible_host\": {\"__ansible_vault\": \"$ANSIBLE_VAULT;1\"}}}}}'\n");
    assert_int_equal(fixture_load(f, path, NULL), 0);
    assert_null(node_of(f, "a")->over.host);
    assert_false(transport_known(node_of(f, "a")->over.transport));
    assert_true(warned(f, "ansible_host: \"(encrypted)\" cannot be followed"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(defaults_of_its_hosts, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(the_environment_goes_over_it, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(defaults_are_weak, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_folder_that_anybody_may_write, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(names_are_those_of_the_file, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
