/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: checking, merging, text. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/core/settings.h"

#include <string.h>

static void set(struct settings *s, const char *key, const char *value)
{
    struct err e = ERR_INIT;
    int id = setting_find(key);

    assert_true(id >= 0);
    assert_int_equal(setting_set(s, (enum setting_id) id, value, &e), 0);
    assert_null(e.msg);
}

static void check(const struct settings *s, const char *key, const char *want)
{
    char *got = setting_get(s, (enum setting_id) setting_find(key));

    assert_string_equal(got, want);
    free(got);
}

static void test_unset(void **state)
{
    struct settings s;

    settings_init(&s);
    for (int id = 0; id < SETTING_COUNT; id++) {
        assert_false(setting_is_set(&s, (enum setting_id) id));
        check(&s, setting_key((enum setting_id) id), "");
        assert_int_equal(setting_find(setting_key((enum setting_id) id)), id);
    }
    assert_int_equal(setting_find("colour"), -1);
    settings_clear(&s);
}

static void test_set_and_get(void **state)
{
    struct settings s;

    settings_init(&s);
    set(&s, "host", "%n.example.com");
    set(&s, "host", s.host);
    set(&s, "port", "2222");
    set(&s, "user", "ops");
    set(&s, "identity", "~/.ssh/a");
    set(&s, "identity", "~/.ssh/b");
    set(&s, "transport", "local");
    set(&s, "strict_host_key", "accept-new");
    set(&s, "connect_timeout", "1.5");
    set(&s, "command_timeout", "0");
    check(&s, "host", "%n.example.com");
    check(&s, "port", "2222");
    check(&s, "identity", "~/.ssh/a, ~/.ssh/b");
    check(&s, "connect_timeout", "1500ms");
    check(&s, "command_timeout", "0s");
    assert_int_equal(s.connect_timeout_ms, 1500);
    assert_true(setting_is_set(&s, SETTING_COMMAND_TIMEOUT));
    assert_int_equal(setting_type(SETTING_IDENTITY), SETTING_TYPE_LIST);
    settings_clear(&s);
    settings_clear(&s);
    assert_null(s.host);
    assert_int_equal(s.connect_timeout_ms, -1);
}

static void test_refuses(void **state)
{
    static const char *const bad[][2] = {
        {"host", ""},          {"host", "-oProxyCommand=x"}, {"host", "a b"},
        {"user", "a\nb"},      {"port", "0"},                {"port", "65536"},
        {"port", "22x"},       {"port", ""},                 {"port", "99999999999999999999"},
        {"transport", "rsh"}, {"strict_host_key", "no"},    {"connect_timeout", "0"},
        {"connect_timeout", "-1"}, {"command_timeout", "31d"}, {"identity", ""},
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = ERR_INIT;
        struct settings s;
        enum setting_id id = (enum setting_id) setting_find(bad[i][0]);

        settings_init(&s);
        assert_int_equal(setting_set(&s, id, bad[i][1], &e), -ERR_VALIDATION);
        assert_non_null(strstr(e.msg, bad[i][0]));
        assert_non_null(strstr(e.msg, bad[i][1]));
        assert_non_null(strstr(e.msg, "give"));
        assert_false(setting_is_set(&s, id));
        err_clear(&e);
        settings_clear(&s);
    }
}

static void test_merge(void **state)
{
    struct settings base, over;

    settings_init(&base);
    settings_init(&over);
    set(&base, "user", "ops");
    set(&base, "port", "22");
    set(&base, "identity", "a");
    set(&base, "identity", "b");
    set(&base, "connect_timeout", "15");
    set(&over, "user", "root");
    set(&over, "identity", "c");
    set(&over, "command_timeout", "0");
    settings_merge(&base, &over);
    settings_clear(&over); /* it was copied */
    check(&base, "user", "root");
    check(&base, "port", "22");
    check(&base, "identity", "c"); /* a list replaces the whole list */
    check(&base, "connect_timeout", "15s");
    check(&base, "command_timeout", "0s");
    settings_merge(&base, &over); /* which is empty now */
    settings_merge(&base, &base);
    check(&base, "user", "root");
    check(&base, "identity", "c");
    settings_clear(&base);
}

static void test_flags_add_keys(void **state)
{
    struct settings s, flags;

    settings_init(&s);
    settings_init(&flags);
    set(&s, "user", "ops");
    set(&s, "identity", "a");
    set(&s, "identity", "b");
    set(&s, "known_hosts", "k");
    set(&flags, "identity", "c");
    set(&flags, "identity", "b");
    set(&flags, "known_hosts", "l");
    settings_merge_flags(&s, &flags);
    check(&s, "identity", "c, b, a");
    check(&s, "known_hosts", "l");
    check(&s, "user", "ops");
    settings_clear(&flags);
    settings_merge_flags(&s, &flags);
    check(&s, "identity", "c, b, a");
    settings_clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unset),
        cmocka_unit_test(test_set_and_get),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_flags_add_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
