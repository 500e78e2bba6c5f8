/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts and commands: what may be printed, what is refused with its place, and hosts that are asked for
 * one by one. */
#include "fixture.h"

#include "muster/base/alloc.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *script(struct fixture *f, const char *name, const char *body)
{
    CLEANUP_FREE char *text = x_asprintf("#!/bin/sh\n%s\n", body);
    char *path = x_strdup(fixture_write(f, name, text));

    assert_int_equal(chmod(path, 0700), 0);
    return path;
}

/* Prints `json` for --list and runs `host` for --host, with its name in $2. */
static char *asked(struct fixture *f, const char *json, const char *host)
{
    CLEANUP_FREE char *body =
        x_asprintf("case $1 in\n--list) echo '%s';;\n--host) echo \"$2\" >> \"$HOME/asked\"\n%s;;\n"
                   "esac", json, host);

    return script(f, "ask.sh", body);
}

static void hosts_are_asked_for(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *path =
        asked(f, "{\"web\": {\"hosts\": [\"a\", \"b\"], \"vars\": {\"dc\": \"x\", \"o\": 1}}, "
                 "\"db\": [\"c\"]}",
              "case $2 in a) echo '{\"ansible_host\": \"192.0.2.1\", \"dc\": \"y\"}';; b) echo {};; esac");

    assert_int_equal(fixture_load(f, path, NULL), 0);
    assert_int_equal(f->fleet->sources[0].warnings.n, 0);
    assert_string_equal(node_of(f, "a")->over.host, "192.0.2.1");
    assert_string_equal(var_of(node_of(f, "a"), "dc"), "y");
    assert_string_equal(var_of(node_of(f, "a"), "o"), "1");
    assert_string_equal(var_of(node_of(f, "b"), "dc"), "x");
    expect_members(f, "all", "a,b,c");
    /* `_meta` without `hostvars` says nothing of them; with it, nobody is asked */
    free(path);
    path = asked(f, "{\"_meta\": {}, \"web\": [\"m1\"]}", "echo '{\"k\": 2}'");
    assert_int_equal(fixture_load(f, path, NULL), 0);
    assert_string_equal(var_of(node_of(f, "m1"), "k"), "2");
    free(path);
    path = asked(f, "{\"_meta\": {\"hostvars\": {}}, \"web\": [\"m1\"]}", "echo '{\"k\": 2}'");
    assert_int_equal(fixture_load(f, path, NULL), 0);
    assert_null(var_of(node_of(f, "m1"), "k"));
    /* a command cannot be asked */
    assert_int_equal(fixture_load(f, "command:echo '{\"web\": [\"m1\"]}'", NULL), 0);
    assert_true(warned(f, "it prints no \"_meta\": variables of hosts are not known"));
}

static void expect_refused(struct fixture *f, const char *path, const char *part)
{
    assert_int_equal(fixture_load(f, path, NULL), -ERR_VALIDATION);
    if (!strstr(f->err.msg, part))
        fail_msg("\"%s\" has no \"%s\"", f->err.msg, part);
}

static void answers_that_are_none(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *path = asked(f, "{\"web\": [\"a\", \"b\"]}", "echo 'no'");

    expect_refused(f, path, "ask.sh: asked with --host \"a\": what it prints is no JSON");
    free(path);
    path = asked(f, "{\"web\": [\"a\", \"b\"]}", "echo '[1]'");
    expect_refused(f, path, "the host \"a\": variables is a list, and a mapping is wanted");
    free(path);
    path = asked(f, "{\"web\": [\"a\", \"b\"]}", "test $2 = a && echo '{}' || exit 4");
    expect_refused(f, path, "asked with --host it fails for 1 of 2 hosts");
    free(path);
    path = asked(f, "{\"web\": [\"a\", \"b\"]}", "kill -9 $$");
    expect_refused(f, path, "was ended by signal 9");
    /* one that knows no --host works as it does with Ansible, and says so */
    free(path);
    path = asked(f, "{\"web\": [\"a\", \"b\"]}", "echo usage >&2; exit 2");
    assert_int_equal(fixture_load(f, path, NULL), 0);
    expect_members(f, "web", "a,b");
    assert_true(warned(f, "asked with --host it fails"));
    /* too many are not asked for, and that is said */
    free(path);
    path = script(f, "ask.sh",
                  "test $1 = --list || { echo x >> \"$HOME/many\"; exit 1; }\n"
                  "printf '{\"web\": [\"h0\"'; i=1\n"
                  "while [ $i -le 2000 ]; do printf ',\"h%d\"' $i; i=$((i + 1)); done; echo ']}'");
    assert_int_equal(fixture_load(f, path, NULL), 0);
    assert_int_equal(group_of(f, "web")->n_all, 2001);
    assert_true(warned(f, "2001 hosts are too many to ask"));
    CLEANUP_FREE char *many = x_asprintf("%s/many", f->home);
    assert_int_not_equal(access(many, F_OK), 0);
}

static void wrong_shapes(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *json, *error;
    } cases[] = {
        {"{\"web\": {\"hosts\": \"a\"}}",
         "the group \"web\": \"hosts\" is a text, and a list of names is wanted"},
        {"{\"web\": {\"hosts\": {\"a\": {}}}}",
         "the group \"web\": \"hosts\" is a mapping, and a list of names is wanted"},
        {"{\"web\": {\"hosts\": [\"a\", 5]}}",
         "the group \"web\": \"hosts\", item 2 is a number, and a name is wanted"},
        {"{\"web\": 5}", "the group \"web\" is a number, and a mapping with \"hosts\""},
        {"{\"error\": \"denied\"}", "the group \"error\" is a text"},
        {"{\"web\": {\"children\": \"a\"}}", "the group \"web\": \"children\" is a text"},
        {"{\"web\": {\"vars\": [1]}}", "the group \"web\": \"vars\" is a list"},
        {"{\"web\": [\"a\"], \"_meta\": 1}", "\"_meta\" is a number"},
        {"{\"web\": [\"a\"], \"_meta\": {\"hostvars\": []}}", "\"hostvars\" is a list"},
        {"{\"web\": [\"a\"], \"_meta\": {\"hostvars\": {\"a\": 1}}}",
         "the host \"a\": variables is a number"},
        {"[]", "it prints a list, and a mapping of groups is wanted"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP_FREE char *body = x_asprintf("echo '%s'", cases[i].json);
        CLEANUP_FREE char *path = script(f, "shape.sh", body);
        expect_refused(f, path, cases[i].error);
    }
    expect_refused(f, "command:echo '[]'", "it prints an empty list");
    expect_refused(f, "command:true", "it prints nothing: names of nodes are wanted");
    expect_refused(f, "command:echo '{\"error\": {\"code\": 3}}'",
                   "the group \"error\" has neither \"hosts\" nor \"children\" nor \"vars\"");
    expect_refused(f, "command:printf 'a\\0b\\n'", "printed a NUL byte");
}

/* As the script plugin of Ansible has it. */
static void a_group_of_none_of_the_keys_is_a_host(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *path = script(f, "short.sh", "echo '{\"lone\": {\"ansible_port\": 2222}, "
                                                    "\"_meta\": {\"hostvars\": {}}}'");

    assert_int_equal(fixture_load(f, path, NULL), 0);
    expect_members(f, "lone", "lone");
    assert_int_equal(node_of(f, "lone")->over.port, 2222);
    assert_true(warned(f, "it is taken as a host of that name"));
}

static void the_good_copy_outlives_a_wrong_shape(void **state)
{
    struct fixture *f = *state;
    static const char line[] = "command:cat \"$HOME/answer\"";
    static const char *const bad[] = {"{\"web\": 5}", "[]", "", "{\"web\"", "a b", "<html>"};

    fixture_write(f, "answer", "{\"web\": [\"h1\"], \"_meta\": {\"hostvars\": {}}}");
    assert_int_equal(fixture_load(f, line, NULL), 0);
    f->refresh = true;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        fixture_write(f, "answer", bad[i]);
        assert_int_equal(fixture_load(f, line, NULL), 0);
        expect_members(f, "web", "h1");
        assert_int_equal(f->fleet->sources[0].state, SOURCE_STALE);
    }
    assert_non_null(strstr(f->fleet->sources[0].error, "line 1: "));
}

static void names_of_a_command(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fixture_load(f, "command:echo '[\"a\", \"ops@b:2222\", \"2001:db8::1\"]'", NULL), 0);
    assert_int_equal(f->fleet->sources[0].n_nodes, 3);
    assert_string_equal(node_of(f, "b")->over.user, "ops");
    assert_int_equal(node_of(f, "b")->over.port, 2222);
    node_of(f, "2001:db8::1");
    assert_int_equal(fixture_load(f, "command:printf '# ours\\n\\na\\nb # the second\\n"
                                     "[2001:db8::2]:22\\n'", NULL), 0);
    assert_int_equal(f->fleet->sources[0].n_nodes, 3);
    assert_int_equal(fixture_load(f, "command:printf '[2001:db8::2]:22\\na\\n'", NULL), 0);
    assert_int_equal(node_of(f, "2001:db8::2")->over.port, 22);
    expect_refused(f, "command:printf 'a\\nno name\\n'", ": line 2: ");
    expect_refused(f, "command:printf 'a\\n\\n<html>\\n'", ": line 3: ");
    expect_refused(f, "command:echo '[\"a\", 5]'", ": item 2: 5 is no name of a node");
    expect_refused(f, "command:echo '[\"a\", {\"name\": \"b\"}]'", ": item 2: {\"name\":\"b\"} is no");
    expect_refused(f, "command:echo '[\"a\", \"b;c\"]'", ": item 2: ");
    expect_refused(f, "command:echo '[\"a\"'", "what it prints is no JSON");
}

/* From one folder a file is the same however it is named. */
static void one_copy_for_all_names_of_a_file(void **state)
{
    struct fixture *f = *state;
    char *before = getcwd(NULL, 0);
    CLEANUP_FREE char *path = script(f, "s.sh", "echo x >> \"$HOME/runs\"; echo h1");
    CLEANUP_FREE char *runs = x_asprintf("%s/runs", f->home);
    struct stat st;

    assert_int_equal(chdir(f->home), 0);
    assert_int_equal(fixture_load(f, "s.sh", NULL), 0);
    assert_int_equal(fixture_load(f, "./s.sh", NULL), 0);
    assert_int_equal(fixture_load(f, path, NULL), 0);
    assert_int_equal(fixture_load(f, "script:s.sh", NULL), 0);
    assert_int_equal(stat(runs, &st), 0);
    assert_int_equal(st.st_size, 2);
    assert_int_equal(chdir(before), 0);
    free(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hosts_are_asked_for, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(answers_that_are_none, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(wrong_shapes, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_group_of_none_of_the_keys_is_a_host, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(the_good_copy_outlives_a_wrong_shape, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(names_of_a_command, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(one_copy_for_all_names_of_a_file, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
