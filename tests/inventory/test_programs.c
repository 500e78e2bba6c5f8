/* SPDX-License-Identifier: Apache-2.0 */
/* Sources that run a program: what they may print, their limits, and the copies that are kept. */
#include "fixture.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define COUNT "echo x >> \"$HOME/runs\"; "

static unsigned runs(struct fixture *f)
{
    CLEANUP_FREE char *path = x_asprintf("%s/runs", f->home);
    struct stat st;

    return stat(path, &st) == 0 ? (unsigned) st.st_size / 2 : 0;
}

static char *cache_dir(struct fixture *f)
{
    return x_asprintf("%s/.cache/muster/inventory", f->home);
}

static void what_a_command_may_print(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fixture_load(f, "command:printf 'a1\\nops@b1:22\\n'", NULL), 0);
    assert_string_equal(f->fleet->sources[0].type, "command");
    assert_string_equal(f->fleet->sources[0].path, "printf 'a1\\nops@b1:22\\n'");
    assert_string_equal(node_of(f, "b1")->over.user, "ops");
    assert_true(node_of(f, "a1")->explicit_node);
    assert_int_equal(fixture_load(f, "command:echo '{\"web\": {\"hosts\": [\"w1\", \"w2\"]}}'", NULL),
                     0);
    expect_members(f, "web", "w1,w2");
    assert_int_equal(
        fixture_load(f, "command:printf %s '{\"nodes\": {\"m1\": {\"port\": 7, \"identity\": "
                        "[\"k1\", \"k2\"], \"vars\": {\"t\": \"a\\tb\\\\n\"}}}, \"groups\": "
                        "{\"g\": {\"nodes\": \"m1\", \"protected\": true}}}'", NULL), 0);
    assert_int_equal(node_of(f, "m1")->over.port, 7);
    assert_int_equal(node_of(f, "m1")->over.identity.n, 2);
    assert_string_equal(var_of(node_of(f, "m1"), "t"), "a\tb\\n");
    assert_true(group_of(f, "g")->is_protected);
    setenv("MUSTER_INVENTORY", "command:echo v1:5", 1);
    assert_int_equal(fixture_load(f, NULL), 0);
    assert_int_equal(node_of(f, "v1")->over.port, 5);
    unsetenv("MUSTER_INVENTORY");
}

static void what_goes_wrong(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fixture_load(f, "command:echo broken >&2; exit 3", NULL), -ERR_VALIDATION);
    assert_string_equal(f->err.msg, "echo broken >&2; exit 3: /bin/sh ended with exit code 3: "
                                    "broken");
    assert_int_equal(fixture_load(f, "command:kill -9 $$", NULL), -ERR_VALIDATION);
    assert_non_null(strstr(f->err.msg, "was ended by signal 9"));
    assert_int_equal(fixture_load(f, "command:echo '{]'", NULL), -ERR_VALIDATION);
    assert_non_null(strstr(f->err.msg, "what it prints is no JSON: line 1"));
    assert_int_equal(fixture_load(f, "command:", NULL), -ERR_VALIDATION);
    assert_string_equal(f->err.msg, "inventory \"command:\" names no command or source");
    assert_int_equal(fixture_load(f, "script:/nowhere/x", NULL), -ERR_VALIDATION);
    assert_string_equal(f->err.msg, "inventory: /nowhere/x: No such file or directory");
    /* it reads nothing from here, has no terminal, and leaves nothing behind */
    assert_int_equal(fixture_load(f, "command:cat; tty -s && echo tty; echo done", NULL), 0);
    assert_null(fleet_node(f->fleet, "tty"));
    node_of(f, "done");
}

static void a_copy_serves(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *dir = cache_dir(f);
    struct stat st;
    int64_t saved;

    assert_int_equal(fixture_load(f, "command:" COUNT "echo h1", NULL), 0);
    assert_int_equal(fixture_load(f, "command:" COUNT "echo h1", NULL), 0);
    assert_int_equal(runs(f), 1);
    assert_int_equal(f->fleet->sources[0].state, SOURCE_OK);
    assert_int_equal(f->fleet->sources[0].due_ms,
                     f->fleet->sources[0].loaded_ms + INVENTORY_TTL_MS);
    node_of(f, "h1");
    /* an old one serves too, and says that it is due */
    saved = f->fleet->sources[0].loaded_ms;
    f->ttl_ms = 1;
    while (time(NULL) * 1000 <= saved)
        nanosleep(&(struct timespec){0, 20000000}, NULL);
    assert_int_equal(fixture_load(f, "command:" COUNT "echo h1", NULL), 0);
    assert_int_equal(runs(f), 1);
    assert_int_equal(f->fleet->sources[0].due_ms, saved + 1);
    assert_false(inventory_changed(f->watch));
    /* made anew by another load: the first one sees it */
    struct inventory_watch *old = X_STEAL(f->watch);
    f->refresh = true;
    assert_int_equal(fixture_load(f, "command:" COUNT "echo h1", NULL), 0);
    assert_int_equal(runs(f), 2);
    assert_true(inventory_changed(old));
    inventory_watch_free(old);
    /* nobody else can read it */
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    struct dirent *d;
    DIR *all = opendir(dir);
    while ((d = readdir(all))) {
        CLEANUP_FREE char *path = x_asprintf("%s/%s", dir, d->d_name);
        assert_int_equal(stat(path, &st), 0);
        if (S_ISREG(st.st_mode))
            assert_int_equal(st.st_mode & 0777, 0600);
    }
    closedir(all);
}

static void the_last_good_copy_serves(void **state)
{
    struct fixture *f = *state;
    static const char line[] = "command:test -e \"$HOME/down\" && { echo gone >&2; exit 1; }; echo h1";

    assert_int_equal(fixture_load(f, line, NULL), 0);
    fixture_write(f, "down", "");
    f->refresh = true;
    assert_int_equal(fixture_load(f, line, NULL), 0);
    node_of(f, "h1");
    assert_int_equal(f->fleet->sources[0].state, SOURCE_STALE);
    assert_non_null(strstr(f->fleet->sources[0].error, "ago serves: "));
    assert_non_null(strstr(f->fleet->sources[0].error, "exit code 1: gone"));
    /* the failure stays known to the next load, which does not run it */
    f->refresh = false;
    f->ttl_ms = 1;
    assert_int_equal(fixture_load(f, line, NULL), 0);
    assert_int_equal(f->fleet->sources[0].state, SOURCE_STALE);
    assert_true(f->fleet->sources[0].due_ms > f->fleet->sources[0].loaded_ms + 1000);
    /* and goes once it works again */
    CLEANUP_FREE char *down = x_asprintf("%s/down", f->home);
    unlink(down);
    f->refresh = true;
    assert_int_equal(fixture_load(f, line, NULL), 0);
    assert_int_equal(f->fleet->sources[0].state, SOURCE_OK);
    assert_null(f->fleet->sources[0].error);
}

static void a_changed_script_runs_again(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *path =
        x_strdup(fixture_write(f, "inv.sh", "#!/bin/sh\n" COUNT "echo h1\n"));

    chmod(path, 0700);
    assert_int_equal(fixture_load(f, path, NULL), 0);
    assert_int_equal(fixture_load(f, path, NULL), 0);
    assert_int_equal(runs(f), 1);
    fixture_write(f, "inv.sh", "#!/bin/sh\n" COUNT "echo changed1\n");
    assert_true(inventory_changed(f->watch));
    assert_int_equal(fixture_load(f, path, NULL), 0);
    assert_int_equal(runs(f), 2);
    node_of(f, "changed1");
}

static void a_copy_of_somebody_else_is_not_believed(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *dir = cache_dir(f);
    struct dirent *d;

    assert_int_equal(fixture_load(f, "command:" COUNT "echo h1", NULL), 0);
    DIR *all = opendir(dir);
    while ((d = readdir(all))) {
        CLEANUP_FREE char *path = x_asprintf("%s/%s", dir, d->d_name);
        if (strstr(d->d_name, ".cache"))
            assert_int_equal(chmod(path, 0666), 0);
    }
    closedir(all);
    assert_int_equal(fixture_load(f, "command:" COUNT "echo h1", NULL), 0);
    assert_int_equal(runs(f), 2);
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t) t.tv_sec * 1000000000 + t.tv_nsec;
}

static void ten_thousand_from_the_copy(void **state)
{
    struct fixture *f = *state;
    struct strbuf text;

    strbuf_init(&text, 0);
    strbuf_adds(&text, "{\"_meta\":{\"hostvars\":{");
    for (int i = 0; i < 10000; i++)
        strbuf_addf(&text, "%s\"n%05d.example.com\":{\"ansible_host\":\"10.0.%d.%d\",\"dc\":\"a\","
                           "\"role\":\"web\",\"os\":\"debian\",\"rack\":\"r%d\"}",
                    i ? "," : "", i, i / 256, i % 256, i / 40);
    strbuf_adds(&text, "}}");
    for (int g = 0; g < 100; g++) {
        strbuf_addf(&text, ",\"g%d\":{\"hosts\":[", g);
        for (int i = 0; i < 100; i++)
            strbuf_addf(&text, "%s\"n%05d.example.com\"", i ? "," : "", g * 100 + i);
        strbuf_adds(&text, "]}");
    }
    strbuf_adds(&text, "}");
    fixture_write(f, "big.json", text.s);
    strbuf_free(&text);
    assert_int_equal(fixture_load(f, "command:cat \"$HOME/big.json\"", NULL), 0);
    int64_t best = INT64_MAX;
    for (int i = 0; i < 3; i++) {
        int64_t from = now_ns();
        assert_int_equal(fixture_load(f, "command:cat \"$HOME/big.json\"", NULL), 0);
        best = now_ns() - from < best ? now_ns() - from : best;
    }
    assert_int_equal(f->fleet->n_nodes, 10001);
    assert_int_equal(group_of(f, "g99")->n_all, 100);
    print_message("10,000 nodes from the copy in %lld ms of CPU\n", (long long) best / 1000000);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true(best < 100000000);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_a_command_may_print, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(what_goes_wrong, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_copy_serves, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(the_last_good_copy_serves, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(a_changed_script_runs_again, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(a_copy_of_somebody_else_is_not_believed, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(ten_thousand_from_the_copy, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
