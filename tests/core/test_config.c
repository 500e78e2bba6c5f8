/* SPDX-License-Identifier: Apache-2.0 */
/* The config files: defaults, layers, rules, and the text of each error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/core/config.h"
#include "muster/core/suggest.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    char dir[40];
    char user[64], system[64];
    struct config c;
    struct err err;
};

static int setup(void **state)
{
    struct fixture *f = x_calloc(1, sizeof *f);

    snprintf(f->dir, sizeof f->dir, "/tmp/muster-config-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->user, sizeof f->user, "%s/user.yaml", f->dir);
    snprintf(f->system, sizeof f->system, "%s/system.yaml", f->dir);
    config_init(&f->c);
    *state = f;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    return remove(path);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    config_clear(&f->c);
    err_clear(&f->err);
    nftw(f->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int load(struct fixture *f)
{
    config_clear(&f->c);
    err_clear(&f->err);
    return config_load_files(&f->c, f->system, f->user, false, &f->err);
}

static void expect_defaults(const struct config *c)
{
    assert_int_equal(c->fanout, 64);
    assert_int_equal(c->max_queue, 10000);
    assert_int_equal(c->connect_timeout_ms, 15000);
    assert_int_equal(c->command_timeout_ms, 0);
    assert_int_equal(c->retries, 2);
    assert_int_equal(c->max_output, 10 << 20);
    assert_null(c->user);
    assert_false(c->any_host);
    assert_false(c->read_only);
    assert_int_equal(c->log_level, LOG_WARN);
    assert_int_equal(c->deny.patterns.n, 0);
    for (int id = 0; id < CONFIG_COUNT; id++)
        assert_false(c->is_set[id]);
}

static void defaults(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(load(f), 0);
    expect_defaults(&f->c);
    assert_int_equal(f->c.files.n, 0);
    put(f->user, "# nothing but a comment\n");
    assert_int_equal(load(f), 0);
    expect_defaults(&f->c);
    assert_int_equal(f->c.files.n, 1);
}

static void every_key(void **state)
{
    struct fixture *f = *state;

    put(f->user, "fanout: 128\nconnect_timeout: 500ms\ncommand_timeout: 2m\nretries: 0\n"
                 "max_output: 1M\nmax_queue: 50\ninventory_ttl: 1m\nuser: ops\n"
                 "task_path: /srv/tasks\nany_host: yes\n"
                 "read_only: true\n"
                 "log_level: debug\ndeny: ^reboot\nconfirm: [a, b+c]\n");
    assert_int_equal(load(f), 0);
    assert_int_equal(f->c.fanout, 128);
    assert_int_equal(f->c.connect_timeout_ms, 500);
    assert_int_equal(f->c.command_timeout_ms, 120000);
    assert_int_equal(f->c.retries, 0);
    assert_int_equal(f->c.max_output, 1 << 20);
    assert_int_equal(f->c.max_queue, 50);
    assert_int_equal(f->c.inventory_ttl_ms, 60000);
    assert_string_equal(f->c.user, "ops");
    assert_string_equal(f->c.task_path, "/srv/tasks");
    assert_true(f->c.any_host);
    assert_true(f->c.read_only);
    assert_int_equal(f->c.log_level, LOG_DEBUG);
    assert_int_equal(f->c.deny.patterns.n, 1);
    assert_int_equal(f->c.confirm.patterns.n, 2);
    for (int id = 0; id < CONFIG_COUNT; id++)
        assert_true(f->c.is_set[id]);
}

static void user_over_system(void **state)
{
    struct fixture *f = *state;

    put(f->system, "fanout: 10\nretries: 5\nuser: sys\ndeny: [mkfs]\n");
    put(f->user, "fanout: 20\nuser: me\ndeny: [dd]\n");
    assert_int_equal(load(f), 0);
    assert_int_equal(f->c.fanout, 20);
    assert_int_equal(f->c.retries, 5);
    assert_string_equal(f->c.user, "me");
    /* an administrator's rules are not lost to a rule of the user's */
    assert_string_equal(config_rules_match(&f->c.deny, "mkfs /dev/sda"), "mkfs");
    assert_string_equal(config_rules_match(&f->c.deny, "dd if=x"), "dd");
    assert_int_equal(f->c.files.n, 2);
    assert_string_equal(f->c.files.v[0], f->system);
}

static void rules(void **state)
{
    struct fixture *f = *state;

    put(f->user, "deny: ['^reboot', 'rm .*-rf']\n");
    assert_int_equal(load(f), 0);
    assert_string_equal(config_rules_match(&f->c.deny, "reboot now"), "^reboot");
    assert_string_equal(config_rules_match(&f->c.deny, "true\nreboot"), "^reboot");
    assert_string_equal(config_rules_match(&f->c.deny, "sudo rm -v -rf /"), "rm .*-rf");
    assert_null(config_rules_match(&f->c.deny, "echo reboot"));
    assert_null(config_rules_match(&f->c.confirm, "reboot"));
}

static void expect_error(struct fixture *f, const char *text, const char *message)
{
    char whole[1024];

    put(f->user, text);
    snprintf(whole, sizeof whole, "config: %s: %s", f->user, message);
    assert_int_equal(load(f), -ERR_VALIDATION);
    assert_string_equal(f->err.msg, whole);
    expect_defaults(&f->c);
}

static void errors(void **state)
{
    struct fixture *f = *state;

    expect_error(f, "user: x\n\nfan_out: 3\n",
                 "line 3: unknown key \"fan_out\"; did you mean \"fanout\"? Allowed: fanout, "
                 "connect_timeout, command_timeout, retries, max_output, max_queue, inventory_ttl, "
                 "user, task_path, any_host, read_only, log_level, deny, confirm");
    expect_error(f, "colour: 3\n",
                 "line 1: unknown key \"colour\"; allowed: fanout, connect_timeout, "
                 "command_timeout, retries, max_output, max_queue, inventory_ttl, user, task_path, any_host, "
                 "read_only, log_level, deny, confirm");
    expect_error(f, "fanout: 0\n", "line 1: fanout is to be a number from 1 to 10000, not \"0\"");
    expect_error(f, "fanout: 6x\n", "line 1: fanout is to be a number from 1 to 10000, not \"6x\"");
    expect_error(f, "fanout:\n", "line 1: fanout is to be a number from 1 to 10000, not \"\"");
    expect_error(f, "fanout: [1]\n",
                 "line 1: fanout is to be a number from 1 to 10000, but is a list");
    expect_error(f, "connect_timeout: 0\n",
                 "line 1: connect_timeout is to be a time above 0 and up to 1 day: 15, 500ms, 2m, "
                 "1h (seconds are meant where no unit stands), not \"0\"");
    expect_error(f, "max_output: lots\n",
                 "line 1: max_output is to be a size up to 1024G: 4096, 100k, 10M, 1G, not "
                 "\"lots\"");
    expect_error(f, "read_only: perhaps\n",
                 "line 1: read_only is to be true or false, not \"perhaps\"");
    expect_error(f, "log_level: loud\n",
                 "line 1: log_level is to be error, warn, info, debug or trace, not \"loud\"");
    expect_error(f, "deny:\n - ok\n - 'a(b'\n",
                 "line 3: deny: \"a(b\" is no regular expression (POSIX extended): Unmatched ( or "
                 "\\(");
    expect_error(f, "- fanout\n",
                 "line 1: a config is a mapping of keys and values, like \"fanout: 64\"");
    put(f->user, "fanout: {\n");
    assert_int_equal(load(f), -ERR_VALIDATION);
    assert_non_null(strstr(f->err.msg, "user.yaml: line "));
}

static void environment(void **state)
{
    struct fixture *f = *state;
    char dir[96], path[160];

    snprintf(dir, sizeof dir, "%s/muster", f->dir);
    snprintf(path, sizeof path, "%s/config.yaml", dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    put(path, "fanout: 7\n");
    setenv("XDG_CONFIG_HOME", f->dir, 1);
    unsetenv("MUSTER_CONFIG");
    assert_int_equal(config_load(&f->c, &f->err), 0);
    assert_int_equal(f->c.fanout, 7);
    config_clear(&f->c);
    put(f->user, "fanout: 9\n");
    setenv("MUSTER_CONFIG", f->user, 1);
    assert_int_equal(config_load(&f->c, &f->err), 0);
    assert_int_equal(f->c.fanout, 9);
    config_clear(&f->c);
    unlink(f->user);
    assert_int_equal(config_load(&f->c, &f->err), -ERR_VALIDATION);
    assert_ptr_equal(strstr(f->err.msg, "MUSTER_CONFIG: "), f->err.msg);
    assert_non_null(strstr(f->err.msg, f->user));
    unsetenv("MUSTER_CONFIG");
    unsetenv("XDG_CONFIG_HOME");
}

static void sample_loads(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(config_load_files(&f->c, NULL, DATA_DIR "/config-sample.yaml", true, &f->err),
                     0);
    assert_int_equal(f->c.fanout, FANOUT_DEFAULT);
    assert_int_equal(f->c.max_queue, QUEUE_MAX_DEFAULT);
    assert_int_equal(f->c.connect_timeout_ms, CONNECT_TIMEOUT_DEFAULT_MS);
    assert_int_equal(f->c.retries, RETRIES_DEFAULT);
    assert_int_equal(f->c.max_output, OUTPUT_MAX_DEFAULT);
    assert_non_null(config_rules_match(&f->c.deny, "rm -rf /"));
    assert_null(config_rules_match(&f->c.deny, "rm -rf /tmp/x"));
    assert_non_null(config_rules_match(&f->c.confirm, "sudo reboot"));
}

static void nearest_words(void **state)
{
    static const char *const words[] = {"port", "host", "identity", "connect_timeout"};
    size_t n = ARRAY_LEN(words);

    assert_string_equal(suggest_nearest("prot", words, n), "port");
    assert_string_equal(suggest_nearest("HOST", words, n), "host");
    assert_string_equal(suggest_nearest("connecttimeout", words, n), "connect_timeout");
    assert_null(suggest_nearest("quux", words, n));
    assert_null(suggest_nearest("", words, n));
    assert_null(suggest_nearest("port", words, 0));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(defaults),    TEST(every_key),    TEST(user_over_system), TEST(rules),
        TEST(errors),      TEST(environment),  TEST(sample_loads),     TEST(nearest_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
