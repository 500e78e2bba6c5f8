/* SPDX-License-Identifier: Apache-2.0 */
/* ssh_config without an ssh program, destinations, and the token of a connection. */
#include "folder.h"
#include "ssh_class.h"
#include "ssh_conf.h"
#include "ssh_dest.h"
#include "ssh_reader.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void test_destinations(void **state)
{
    static const struct {
        const char *text, *host, *user;
        int port;
    } cases[] = {
        {"web1", "web1", NULL, 0},
        {"bob@web1", "web1", "bob", 0},
        {"a@b@web1", "web1", "a@b", 0},
        {"web1:2222", "web1", NULL, 2222},
        {"::1", "::1", NULL, 0},
        {"[::1]", "::1", NULL, 0},
        {"bob@[fe80::1%eth0]:22", "fe80::1%eth0", "bob", 22},
        {"ssh://bob@web1:2222", "web1", "bob", 2222},
        {"ssh://b%40c;x=y@[::1]:5/", "::1", "b@c", 5},
        {"web1:", NULL, NULL, 0},
        {"web1:0", NULL, NULL, 0},
        {"web1:65536", NULL, NULL, 0},
        {"web1:22x", NULL, NULL, 0},
        {"[::1", NULL, NULL, 0},
        {"[::1]x", NULL, NULL, 0},
        {"-oProxyCommand=x", NULL, NULL, 0},
        {"-l@web1", NULL, NULL, 0},
        {"@web1", NULL, NULL, 0},
        {"a b", NULL, NULL, 0},
        {"ssh://web1/x", NULL, NULL, 0},
        {"", NULL, NULL, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dest d;

        if (dest_parse(cases[i].text, &d) != (cases[i].host != NULL))
            fail_msg("%s", cases[i].text);
        if (cases[i].host) {
            assert_string_equal(d.host, cases[i].host);
            assert_int_equal(d.port, cases[i].port);
            assert_int_equal(d.user != NULL, cases[i].user != NULL);
            if (d.user)
                assert_string_equal(d.user, cases[i].user);
        }
        dest_clear(&d);
    }
}

/* What ssh 9.2 and a newer one make of the same connection. */
static void test_connection_token(void **state)
{
    struct conf_tokens t = {"host", "n", "k", "user", 22, NULL};
    CLEANUP_FREE char *old = conf_expand("%C", &t);

    t.jump = "bastion";

    CLEANUP_FREE char *with = conf_expand("%C", &t);
    CLEANUP_FREE char *jump = conf_expand("/%j", &t);

    assert_int_equal(strlen(old), 40);
    assert_int_equal(strspn(old, "0123456789abcdef"), 40);
    assert_string_not_equal(old, with);
    assert_string_equal(jump, "/bastion");
}

static struct ssh_conf *read_without_ssh(const char *path, const char *host,
                                         const struct strv *options, struct err *e)
{
    struct scan *s = scan_files(path);
    CLEANUP_FREE char *class_key = scan_class(s, host);
    const struct conf_query q = {.host = host, .config = path, .options = options};
    struct ssh_conf *c = NULL;

    int rc = reader_conf(s, class_key, &q, &c, e);

    assert_int_equal(rc == 0, c != NULL);
    scan_unref(s);
    return c;
}

static void test_reader(void **state)
{
    CLEANUP_FREE char *path = write_file(
        *state, "config",
        "Host web*\n HostName %h.example.com\n User deploy # not part\n"
        " IdentityFile \"~/my key\"\n SetEnv A=1 \"B=two words\"\n ProxyJump none\n"
        " Ciphers +aes256-ctr\n"
        "Host other\n Port 9\n"
        "Match all\n User late\n Port 2222\n IdentityFile /second\n SendEnv LANG LC_*\n"
        " SendEnv X\n UserKnownHostsFile /a \"/b c\"\n ConnectTimeout 1m\n");
    CLEANUP_STRV struct strv options = STRV_INIT;
    struct ssh_conf *c = read_without_ssh(path, "web1", NULL, NULL);
    CLEANUP_FREE char *home = conf_home();
    CLEANUP_FREE char *key = io_join(home, "my key");

    assert_string_equal(c->hostname, "web1.example.com");
    assert_string_equal(c->user, "deploy");
    assert_int_equal(c->port, 2222);
    assert_int_equal(c->identity_files.n, 2);
    assert_string_equal(c->identity_files.v[0], key);
    assert_string_equal(c->identity_files.v[1], "/second");
    assert_int_equal(c->set_env.n, 2);
    assert_string_equal(c->set_env.v[1], "B=two words");
    assert_int_equal(c->send_env.n, 3);
    assert_null(c->proxy_jump);
    assert_null(c->ciphers);
    assert_int_equal(c->connect_timeout_ms, 60000);
    assert_int_equal(c->user_hosts.n, 2);
    assert_string_equal(c->user_hosts.v[1], "/b c");
    conf_unref(c);

    strv_push(&options, "Port=7");
    strv_push(&options, "User=me");
    c = read_without_ssh(path, "other", &options, NULL);
    assert_string_equal(c->hostname, "other");
    assert_string_equal(c->user, "me");
    assert_int_equal(c->port, 7);
    conf_unref(c);
}

static void test_reader_refuses(void **state)
{
    static const char *const texts[] = {
        "Host *\nMatch user x\n Port 3\n", "CanonicalizeHostname yes\n", "KexAlgorithms -x\n",
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        CLEANUP_FREE char *path = write_file(*state, "config", texts[i]);
        struct err e = ERR_INIT;

        assert_null(read_without_ssh(path, "web1", NULL, &e));
        assert_non_null(strstr(e.msg, path));
        assert_non_null(strstr(e.msg, "ssh program"));
        err_clear(&e);
    }
}

/* As ssh, which would not start with them; what is overridden counts too. */
static void test_reader_refuses_bad_values(void **state)
{
    static const struct {
        const char *line, *word;
    } cases[] = {
        {"Port abc", "from 1 to 65535"},      {"Port 70000", "from 1 to 65535"},
        {"Port 0", "from 1 to 65535"},        {"Port 22x", "from 1 to 65535"},
        {"Port", "from 1 to 65535"},          {"StrictHostKeyChecking maybe", "accept-new"},
        {"ConnectTimeout soon", "a time"},    {"ConnectTimeout 5y", "a time"},
        {"AddressFamily ipv6", "inet6"},      {"ServerAliveInterval x", "a time"},
        {"ServerAliveCountMax many", "a number"},
    };
    static const char good[] = "Port \"22\"\nConnectTimeout none\nConnectTimeout 1h30m\n"
                               "AddressFamily ANY\nStrictHostKeyChecking off\n"
                               "ServerAliveInterval 2m # often\nServerAliveCountMax 0\n";
    CLEANUP_FREE char *fine = write_file(*state, "inner.conf", good);
    CLEANUP_STRV struct strv options = STRV_INIT;
    struct err e = ERR_INIT;

    conf_unref(read_without_ssh(fine, "web1", NULL, &e));
    assert_null(e.msg);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP_FREE char *text = x_asprintf("Host *\n%s%s\n", good, cases[i].line);
        CLEANUP_FREE char *path = write_file(*state, "config", text);
        CLEANUP_FREE char *where = x_asprintf("%s:9: ", path);

        assert_null(read_without_ssh(path, "web1", NULL, &e));
        if (!strstr(e.msg, where) || !strstr(e.msg, cases[i].word))
            fail_msg("%s: %s", cases[i].line, e.msg);
        err_clear(&e);
    }
    strv_push(&options, "Port=ssh");
    assert_null(read_without_ssh(fine, "web1", &options, &e));
    assert_non_null(strstr(e.msg, "-o: Port ssh"));
    err_clear(&e);
}

static void keep_line(void *ctx, const struct scan_mention *m)
{
    *(unsigned *) ctx = m->line;
}

static void test_mentions_have_lines(void **state)
{
    CLEANUP_FREE char *path = write_file(*state, "config", "\n\nHost a\n\n  Port 3\n");
    struct scan *s = scan_files(path);
    unsigned line = 0;

    scan_each(s, "1", keep_line, &line);
    assert_int_equal(line, 5);
    line = 0;
    scan_each(s, "0", keep_line, &line);
    assert_int_equal(line, 0);
    scan_unref(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_destinations),
        cmocka_unit_test(test_connection_token),
        cmocka_unit_test_setup_teardown(test_reader, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(test_reader_refuses, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(test_reader_refuses_bad_values, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(test_mentions_have_lines, make_folder, drop_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
