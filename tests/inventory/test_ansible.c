/* SPDX-License-Identifier: Apache-2.0 */
/* Ansible's inventories: what its variables mean, and the samples node for node and group for group
 * as `ansible-inventory --graph` draws them. */
#include "fixture.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/base/vec.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char ini[] = SAMPLES "/ansible.ini", yaml[] = SAMPLES "/ansible.yaml";

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

static char *sorted(struct strv *v)
{
    CLEANUP_STRV struct strv once = STRV_INIT;

    qsort(v->v, v->n, sizeof *v->v, by_text);
    for (size_t i = 0; i < v->n; i++)
        if (i == 0 || strcmp(v->v[i], v->v[i - 1]) != 0)
            strv_push(&once, v->v[i]);
    return strv_join(&once, "\n");
}

/* "group>member" of every group, as muster has it. */
static char *own_graph(struct fixture *f)
{
    CLEANUP_STRV struct strv v = STRV_INIT;

    for (size_t g = 0; g < f->fleet->n_groups; g++) {
        const struct fleet_group *group = &f->fleet->groups[g];
        strv_push_own(&v, x_asprintf("@%s", group->name));
        for (size_t i = 0; i < group->n_nodes; i++)
            strv_push_own(&v, x_asprintf("@%s>%s", group->name,
                                         f->fleet->nodes[group->nodes[i]].name));
        for (size_t i = 0; i < group->n_groups; i++)
            strv_push_own(&v, x_asprintf("@%s>@%s", group->name,
                                         f->fleet->groups[group->groups[i]].name));
    }
    return sorted(&v);
}

/* The same from "  |  |--@web:" and "  |  |  |--web01". */
static char *ansible_graph(const char *path)
{
    CLEANUP_FREE char *command = x_asprintf("ansible-inventory -i '%s' --graph", path);
    CLEANUP_STRV struct strv v = STRV_INIT;
    char line[256], open[32][256];
    FILE *p = popen(command, "r");

    assert_non_null(p);
    while (fgets(line, sizeof line, p)) {
        size_t n = strcspn(line, "\n"), depth = 0;
        char *name = line;
        line[n] = '\0';
        if (n && line[n - 1] == ':')
            line[n - 1] = '\0';
        for (char *mark; (mark = strstr(name, "|--")) || (mark = strstr(name, "|  "));) {
            if (strstr(name, "|  ") && strstr(name, "|  ") < mark)
                mark = strstr(name, "|  ");
            depth++;
            name = mark + 3;
        }
        assert_true(depth < 32);
        snprintf(open[depth], sizeof open[depth], "%s", name);
        if (*name == '@')
            strv_push(&v, name);
        if (depth)
            strv_push_own(&v, x_asprintf("%s>%s", open[depth - 1], name));
    }
    assert_int_equal(pclose(p), 0);
    return sorted(&v);
}

static void samples_are_as_ansible_draws_them(void **state)
{
    struct fixture *f = *state;
    const char *const samples[] = {ini, yaml, SAMPLES "/ansible-site", SAMPLES "/ansible-stages.yaml"};

    need_program("ansible-inventory");
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        assert_int_equal(fixture_load(f, samples[i], NULL), 0);
        assert_string_equal(f->fleet->sources[0].type, "ansible");
        assert_true(f->fleet->n_groups >= 4 && f->fleet->n_nodes >= 5);
        CLEANUP_FREE char *own = own_graph(f), *theirs = ansible_graph(samples[i]);
        assert_string_equal(own, theirs);
    }
}

/* Variables beside the inventory; a host's go over its groups'. */
static void variables_of_a_folder(void **state)
{
    struct fixture *f = *state;

    need_program("ansible-inventory");
    assert_int_equal(fixture_load(f, SAMPLES "/ansible-site", NULL), 0);
    assert_string_equal(var_of(node_of(f, "lb1.example.net"), "dc"), "ams");
    assert_string_equal(var_of(node_of(f, "appa.example.net"), "dc"), "fra");
    assert_string_equal(node_of(f, "appa.example.net")->over.user, "web");
    assert_string_equal(var_of(node_of(f, "appb.example.net"), "dc"), "lon");
    assert_string_equal(node_of(f, "appb.example.net")->over.become, "sudo");
    assert_string_equal(node_of(f, "app-old.example.net")->over.host, "192.0.2.40");
    assert_int_equal(node_of(f, "pg02.example.net")->over.port, 2022);
    assert_string_equal(node_of(f, "laptop")->over.transport, "local");
}

static void variables_are_settings(void **state)
{
    struct fixture *f = *state;
    const struct fleet_node *n;

    need_program("ansible-inventory");
    assert_int_equal(fixture_load(f, ini, NULL), 0);
    n = node_of(f, "lonely");
    assert_string_equal(n->over.host, "192.0.2.10");
    assert_int_equal(n->over.port, 2222);
    assert_true(n->explicit_node);
    n = node_of(f, "web02.example.com");
    assert_string_equal(n->over.user, "deploy");
    assert_string_equal(var_of(n, "dc"), "ams");
    assert_null(var_of(n, "ansible_user"));
    n = node_of(f, "shop");
    assert_string_equal(n->over.user, "shop");
    assert_null(n->over.transport);
    assert_string_equal(var_of(n, "color"), "red");
    n = node_of(f, "db1");
    assert_string_equal(n->over.identity.v[0], "~/.ssh/db");
    assert_string_equal(n->over.become, "sudo");
    assert_string_equal(n->over.become_user, "postgres");
    assert_string_equal(n->over.jump, "jump@gate.example.com");
    assert_true(warned(f, "the ssh option \"ForwardAgent=yes\""));
    n = node_of(f, "db2");
    assert_null(var_of(n, "ansible_password"));
    assert_null(var_of(n, "db_password"));
    assert_string_equal(var_of(n, "tier"), "2");
    assert_true(warned(f, "the variable \"db_password\" is not kept"));
    assert_string_equal(node_of(f, "win1")->over.transport, "winrm");
    assert_string_equal(node_of(f, "template")->over.host, "template.example.net");
    assert_false(transport_known(node_of(f, "hard")->over.transport));
    assert_null(node_of(f, "hard")->over.host);
    assert_string_equal(node_of(f, "here")->over.transport, "local");
    assert_string_equal(node_of(f, "via")->over.jump, "a,b");
    assert_int_equal(fixture_load(f, yaml, NULL), 0);
    n = node_of(f, "two.example.com");
    assert_string_equal(n->over.become, "doas");
    assert_string_equal(var_of(n, "role"), "replica");
    assert_string_equal(var_of(n, "ntp"), "[\"a.example.com\",\"b.example.com\"]");
}

static void what_is_wrong_is_said(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *empty = x_asprintf("%s/empty", f->home);
    CLEANUP_FREE char *path = getenv("PATH") ? x_strdup(getenv("PATH")) : NULL;
    int rc;

    fixture_write(f, "vault/hosts", "h1\n");
    fixture_write(f, "vault/group_vars/all.yml", "$ANSIBLE_VAULT;1.1;AES256\n6162\n");
    CLEANUP_FREE char *vault = x_asprintf("ansible:%s/vault/hosts", f->home);
    need_program("ansible-inventory");
    assert_int_equal(fixture_load(f, vault, NULL), -ERR_VALIDATION);
    assert_non_null(strstr(f->err.msg, "encrypted by Ansible's vault"));
    assert_non_null(strstr(f->err.msg, "ANSIBLE_VAULT_PASSWORD_FILE"));
    fixture_write(f, "part/a", "[web]\nh1\n");
    fixture_write(f, "part/b", "[web\nh2\n");
    CLEANUP_FREE char *part = x_asprintf("ansible:%s/part", f->home);
    assert_int_equal(fixture_load(f, part, NULL), 0);
    expect_members(f, "web", "h1");
    assert_true(warned(f, "/part/b: the hosts of it are missing"));
    setenv("PATH", empty, 1);
    rc = fixture_load(f, ini, NULL);
    setenv("PATH", path, 1);
    assert_int_equal(rc, -ERR_VALIDATION);
    assert_non_null(strstr(f->err.msg, "install ansible-core"));
}

/* The forms that scripts print, without ansible. */
static void a_script_prints_json(void **state)
{
    struct fixture *f = *state;
    const struct fleet_node *n;
    CLEANUP_FREE char *path = x_strdup(fixture_write(
        f, "inv.sh",
        "#!/bin/sh\n"
        "test \"$1\" = --list || exit 3\n"
        "cat <<'END'\n"
        "{\"_meta\": {\"hostvars\": {\"a\": {\"x\": true, \"list\": [1, \"b\"]}, \"solo\": {}}},\n"
        " \"all\": {\"vars\": {\"ansible_user\": \"base\", \"ansible_become\": true}},\n"
        " \"inner\": {\"hosts\": [\"a\", \"b\"], \"vars\": {\"ansible_become_method\": \"doas\",\n"
        "            \"level\": \"inner\"}},\n"
        " \"outer\": {\"children\": [\"inner\"], \"vars\": {\"level\": \"outer\", \"o\": 1}},\n"
        " \"plain\": [\"c\", \"bad name\"]}\n"
        "END\n"));

    assert_int_equal(chmod(path, 0700), 0);
    assert_int_equal(fixture_load(f, path, NULL), 0);
    assert_string_equal(f->fleet->sources[0].type, "script");
    expect_members(f, "inner", "a,b");
    expect_members(f, "outer", "a,b");
    expect_members(f, "plain", "c");
    expect_members(f, "all", "c,a,b");
    assert_null(fleet_node(f->fleet, "solo"));
    assert_true(warned(f, "\"solo\" is only in \"_meta\""));
    n = node_of(f, "b");
    assert_string_equal(n->over.user, "base");
    assert_string_equal(n->over.become, "doas");
    assert_string_equal(var_of(n, "level"), "inner");
    assert_string_equal(var_of(n, "o"), "1");
    assert_string_equal(var_of(node_of(f, "a"), "x"), "true");
    assert_string_equal(var_of(node_of(f, "a"), "list"), "[1,\"b\"]");
    assert_string_equal(node_of(f, "c")->over.become, "sudo");
    assert_true(warned(f, "\"bad name\" cannot be a node name"));
    /* not a program: a hosts file with the bits of one */
    CLEANUP_FREE char *hosts = x_strdup(fixture_write(f, "inv", "h1\n"));
    chmod(hosts, 0755);
    assert_int_equal(fixture_load(f, hosts, NULL), 0);
    assert_string_equal(f->fleet->sources[0].type, "hosts");
}

static void found_where_ansible_looks(void **state)
{
    struct fixture *f = *state;

    need_program("ansible-inventory");
    fixture_write(f, "etc/ansible/hosts", "[sys]\ns1\n");
    assert_int_equal(fixture_load(f, NULL), 0);
    expect_members(f, "sys", "s1");
    assert_false(f->fleet->sources[0].named);
    fixture_write(f, "inv/mine.ini", "[mine]\nm1\n");
    fixture_write(f, ".ansible.cfg", "[defaults]\nforks=5\ninventory = inv/mine.ini\n");
    assert_int_equal(fixture_load(f, NULL), 0);
    expect_members(f, "mine", "m1");
    assert_null(fleet_group(f->fleet, "sys"));
    CLEANUP_FREE char *two = x_asprintf("%s/inv/mine.ini,%s/etc/ansible/hosts", f->home, f->home);
    setenv("ANSIBLE_INVENTORY", two, 1);
    assert_int_equal(fixture_load(f, NULL), 0);
    expect_members(f, "mine", "m1");
    expect_members(f, "sys", "s1");
    /* one that is broken is marked, and the rest works */
    fixture_write(f, "inv/mine.ini", "[mine\n");
    fixture_write(f, "etc/ansible/hosts", "[mine\n");
    fixture_write(f, ".config/muster/inventory.yaml", "nodes: [own]\n");
    assert_int_equal(fixture_load(f, NULL), 0);
    node_of(f, "own");
    assert_int_equal(f->fleet->sources[1].state, SOURCE_STALE);
    unsetenv("ANSIBLE_INVENTORY");
}

static void a_config_here_is_named_and_not_followed(void **state)
{
    struct fixture *f = *state;
    char *before = getcwd(NULL, 0);

    need_program("ansible-inventory");
    fixture_write(f, "project/hosts", "p1\n");
    fixture_write(f, "project/ansible.cfg", "[defaults]\ninventory = hosts\n");
    CLEANUP_FREE char *project = x_asprintf("%s/project", f->home);
    assert_int_equal(chdir(project), 0);
    assert_int_equal(fixture_load(f, NULL), 0);
    assert_int_equal(chdir(before), 0);
    free(before);
    assert_null(fleet_node(f->fleet, "p1"));
    assert_int_equal(f->fleet->sources[0].state, SOURCE_ABSENT);
    assert_true(warned(f, "set ANSIBLE_CONFIG="));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(samples_are_as_ansible_draws_them, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(variables_of_a_folder, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(variables_are_settings, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_said, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_script_prints_json, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(found_where_ansible_looks, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(a_config_here_is_named_and_not_followed, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
