/* SPDX-License-Identifier: Apache-2.0 */
/* Classes of hosts, what `ssh -G` prints, the tokens of paths, and algorithms. */
#include "folder.h"
#include "ssh_class.h"
#include "ssh_conf.h"
#include "ssh_kex.h"
#include "ssh_keywords.h"
#include "ssh_lists.h"
#include "ssh_wire.h"

#include "muster/base/alloc.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static void check_class(const struct scan *s, const char *host, const char *want)
{
    CLEANUP_FREE char *key = scan_class(s, host);

    assert_string_equal(key, want);
}

static void test_classes(void **state)
{
    CLEANUP_FREE char *path = write_file(*state, "config",
                                         "# comment\n"
                                         "Port 22\n"
                                         "Host web* !web9\n"
                                         "  User deploy\n"
                                         "host=db1 db2 # two\n"
                                         "\tHostName = %h.example.com\n"
                                         "Host *\n"
                                         "  ConnectTimeout 5\n");
    struct scan *s = scan_files(path);

    assert_false(scan_per_host(s));
    assert_false(scan_has_match(s));
    check_class(s, "web1", "101");
    check_class(s, "web9", "001");
    check_class(s, "db1", "011");
    check_class(s, "two", "001");
    check_class(s, "WEB1", "001");
    assert_true(scan_mentions(s, "101", "user"));
    assert_false(scan_mentions(s, "011", "user"));
    assert_true(scan_mentions(s, "001", "port"));
    assert_true(scan_mentions(s, "001", "connecttimeout"));
    assert_false(scan_mentions(s, "001", "identityfile"));
    scan_unref(s);
}

static void test_in_doubt_each_host(void **state)
{
    static const char *const texts[] = {
        "Match user x\n",        "CanonicalizeHostname yes\n", "Host \"a b\"\n",
        "Include %d/x\n",        "Include ${HOME}/x\n",        "Host a\\b\n",
        "match canonical all\n", "UserKnownHostsFile ~/.ssh/%h\n",
        "IdentityAgent ~/%n.sock\n",
        "\"Host\" web2\n Port 1\n\"Host\" *\n Port 2\n", " \"Match\" host web2\n Port 1\n",
        "\"Include\" x\n",      "\fHost a\n Port 1\n",
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        CLEANUP_FREE char *path = write_file(*state, "config", texts[i]);
        struct scan *s = scan_files(path);

        if (!scan_per_host(s))
            fail_msg("%s", texts[i]);
        scan_unref(s);
    }
}

static void test_include_and_change(void **state)
{
    const struct folder *f = *state;
    CLEANUP_FREE char *inner = write_file(f, "inner.conf", "Host in*\n User x\n");
    CLEANUP_FREE char *text = x_asprintf("Host a\nInclude %s/*.conf\nPort 3\nHost b\n", f->path);
    CLEANUP_FREE char *path = write_file(f, "config", text);
    struct scan *s = scan_files(path);

    /* an include counts only where its part does */
    check_class(s, "in1", "000");
    check_class(s, "a", "100");
    /* after the include, the part it stands in goes on */
    assert_true(scan_mentions(s, "100", "port"));
    assert_false(scan_mentions(s, "010", "port"));
    assert_true(scan_fresh(s));
    free(write_file(f, "inner.conf", "Host other\n"));
    assert_false(scan_fresh(s));
    scan_unref(s);
}

static void test_include_of_itself_ends(void **state)
{
    const struct folder *f = *state;
    CLEANUP_FREE char *text = x_asprintf("Include %s/config\n", f->path);
    CLEANUP_FREE char *path = write_file(f, "config", text);

    scan_unref(scan_files(path));
}

static void test_hostname_rule(void **state)
{
    CLEANUP_FREE char *path = write_file(*state, "config",
                                         "Host web*\n HostName %h.Example.com\n"
                                         "Host gw\n HostName 10.0.0.1\n"
                                         "Host same\n HostName same\n"
                                         "Host pc\n HostName 100%%%h\n");
    struct scan *s = scan_files(path);
    static const struct {
        const char *host, *resolved, *rule, *other, *gives;
    } cases[] = {
        {"web1", "web1.example.com", "%h.Example.com", "web2", "web2.example.com"},
        {"x1", "x1", "%h", "X2", "x2"},
        {"gw", "10.0.0.1", "10.0.0.1", "gw", "10.0.0.1"},
        /* two explanations are none, and so is none at all */
        {"same", "same", NULL, NULL, NULL},
        {"web1", "other", NULL, NULL, NULL},
        {"pc", "100%pc", "100%%%h", "pc", "100%pc"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP_FREE char *key = scan_class(s, cases[i].host);
        CLEANUP_FREE char *rule = scan_hostname_rule(s, key, cases[i].host, cases[i].resolved);

        if (!cases[i].rule) {
            assert_null(rule);
            continue;
        }
        assert_string_equal(rule, cases[i].rule);

        CLEANUP_FREE char *gives = scan_hostname(rule, cases[i].other);

        assert_string_equal(gives, cases[i].gives);
    }
    scan_unref(s);
}

static void test_answer_of_ssh(void **state)
{
    char text[] = "host web1\nuser ops\nhostname 10.0.0.5\nport 2222\naddressfamily inet6\n"
                  "stricthostkeychecking accept-new\nidentityfile ~/.ssh/a\nidentityfile ~/.ssh/b\n"
                  "identitiesonly yes\nconnecttimeout 7\nuserknownhostsfile /a /b\n"
                  "globalknownhostsfile none\nhashknownhosts yes\nserveraliveinterval 30\n"
                  "ciphers aes128-ctr,x\nproxyusefdpass no\nverifyhostkeydns false\n"
                  "pubkeyauthentication true\nwhatever 3\n";
    struct ssh_conf *c = conf_parse(text);

    assert_string_equal(c->user, "ops");
    assert_string_equal(c->hostname, "10.0.0.5");
    assert_int_equal(c->port, 2222);
    assert_int_equal(c->family, AF_INET6);
    assert_int_equal(c->strict, STRICT_ACCEPT_NEW);
    assert_int_equal(c->identity_files.n, 2);
    assert_null(strchr(c->identity_files.v[0], '~'));
    assert_true(c->identities_only);
    assert_int_equal(c->connect_timeout_ms, 7000);
    assert_int_equal(c->user_hosts.n, 2);
    assert_string_equal(c->user_hosts.v[1], "/b");
    assert_int_equal(c->global_hosts.n, 0);
    assert_true(c->hash_hosts);
    assert_int_equal(c->alive_interval, 30);
    assert_string_equal(c->ciphers, "aes128-ctr,x");
    assert_null(c->unsupported);
    assert_int_equal(c->warnings.n, 1);
    assert_non_null(strstr(c->warnings.v[0], "whatever"));
    conf_unref(c);
}

/* What is printed without quotes is cut where it was written to be. */
static void test_lists_of_paths(void **state)
{
    CLEANUP_FREE char *home = conf_home();
    const struct {
        const char *config, *option, *printed, *paths[3];
    } cases[] = {
        {"UserKnownHostsFile \"/a /b/k\" /c\n", NULL, "/a /b/k /c", {"/a /b/k", "/c"}},
        {"UserKnownHostsFile /a\\ b '/c  d'\n", NULL, "/a b /c  d", {"/a b", "/c  d"}},
        {"UserKnownHostsFile \"/x /%h\" /%r%%\n", NULL, "/x /web1 /ops%",
         {"/x /web1", "/ops%%"}},
        {"UserKnownHostsFile ~/k /c\n", NULL, "HOME/k /c", {"HOME/k", "/c"}},
        {"UserKnownHostsFile /c /d\n", "UserKnownHostsFile=\"/c /d\"", "/c /d", {"/c /d"}},
        {"Match host x\n UserKnownHostsFile \"/m /n\"\n", NULL, "/m /n", {"/m /n"}},
        {"", NULL, "/g h/k /c", {"/g h/k", "/c"}},
        {"UserKnownHostsFile none\n", NULL, "none", {NULL}},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP_FREE char *path = write_file(*state, "config", cases[i].config);
        CLEANUP_STRV struct strv options = STRV_INIT;
        struct scan *s = scan_files(path);
        CLEANUP_FREE char *key = scan_class(s, "web1");
        const struct conf_query q = {.host = "web1", .config = path, .options = &options};
        const char *at = cases[i].printed;
        bool of_home = strncmp(at, "HOME", 4) == 0;
        CLEANUP_FREE char *text = x_asprintf("user ops\nhostname web1\nuserknownhostsfile %s%s\n",
                                             of_home ? home : "", of_home ? at + 4 : at);
        struct ssh_conf *c = conf_parse(text);
        size_t n = 0;

        if (cases[i].option)
            strv_push(&options, cases[i].option);
        conf_settle_lists(c, s, key, &q);
        for (; n < 3 && cases[i].paths[n]; n++) {
            const char *p = cases[i].paths[n];
            CLEANUP_FREE char *want =
                strncmp(p, "HOME", 4) == 0 ? x_asprintf("%s%s", home, p + 4) : x_strdup(p);

            assert_true(n < c->user_hosts.n);
            assert_string_equal(c->user_hosts.v[n], want);
        }
        assert_int_equal(c->user_hosts.n, n);
        conf_unref(c);
        scan_unref(s);
    }
}

static void test_values_of_honoured(void **state)
{
    char text[] = "revokedhostkeys ~/revoked\nsendenv LANG\nsendenv LC_*\nsetenv A=b c\n"
                  "setenv B=\nserveralivecountmax 99999999999\nconnecttimeout none\n"
                  "pubkeyacceptedkeytypes ssh-ed25519\n";
    char none[] = "revokedhostkeys none\n";
    struct ssh_conf *c = conf_parse(text), *without = conf_parse(none);
    CLEANUP_FREE char *home = conf_home();
    CLEANUP_FREE char *revoked = io_join(home, "revoked");

    assert_string_equal(c->revoked_keys, revoked);
    assert_null(without->revoked_keys);
    assert_int_equal(c->send_env.n, 2);
    assert_string_equal(c->send_env.v[1], "LC_*");
    assert_int_equal(c->set_env.n, 2);
    assert_string_equal(c->set_env.v[0], "A=b c");
    assert_string_equal(c->set_env.v[1], "B=");
    assert_int_equal(c->alive_count, 3);
    assert_int_equal(c->connect_timeout_ms, -1);
    assert_string_equal(c->key_algs, "ssh-ed25519");
    assert_int_equal(c->warnings.n, 0);
    conf_unref(c);
    conf_unref(without);
}

static void test_left_out_is_said(void **state)
{
    static const struct {
        const char *keyword, *value, *word;
    } cases[] = {
        {"addkeystoagent", "yes", "AddKeysToAgent"},
        {"addkeystoagent", "no", NULL},
        {"localforward", "1 [h]:2", "LocalForward"},
        {"tunnel", "point-to-point", "Tunnel"},
        {"tunnel", "false", NULL},
        {"rekeylimit", "0 0", NULL},
        {"rekeylimit", "1073741824 0", "RekeyLimit"},
        {"stricthostkeychecking", "false", "accept-new"},
        {"stricthostkeychecking", "off", "accept-new"},
        {"stricthostkeychecking", "ask", NULL},
        {"controlpath", "/tmp/%C", NULL},
        {"gssapiauthentication", "yes", NULL},
        {"a-new-keyword", "yes", "a-new-keyword"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct ssh_conf *c = conf_new();

        conf_apply(c, cases[i].keyword, cases[i].value);
        assert_null(c->unsupported);
        assert_int_equal(c->warnings.n, cases[i].word != NULL);
        if (cases[i].word)
            assert_non_null(strstr(c->warnings.v[0], cases[i].word));
        conf_unref(c);
    }
}

static void test_strict_is_never_off(void **state)
{
    static const struct {
        const char *value;
        enum conf_strict strict;
    } cases[] = {
        {"yes", STRICT_YES},       {"true", STRICT_YES},      {"ask", STRICT_YES},
        {"no", STRICT_ACCEPT_NEW}, {"off", STRICT_ACCEPT_NEW}, {"accept-new", STRICT_ACCEPT_NEW},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct ssh_conf *c = conf_new();

        conf_apply(c, "StrictHostKeyChecking", cases[i].value);
        assert_int_equal(c->strict, cases[i].strict);
        conf_unref(c);
    }
}

/* Each row says all that its treatment needs, and stands in its place. */
static void test_table_is_whole(void **state)
{
    const struct conf_keyword *k, *before = NULL;

    for (size_t i = 0; (k = conf_keyword_at(i)); i++) {
        if (before && strcasecmp(before->name, k->name) >= 0)
            fail_msg("%s is not behind %s", k->name, before->name);
        if ((k->how == CONF_REFUSED || k->how == CONF_LEFT_OUT) && !k->fine)
            fail_msg("%s: which values ask for nothing?", k->name);
        if ((k->how == CONF_LEFT_OUT || k->how == CONF_HARMLESS) && !k->note)
            fail_msg("%s: why?", k->name);
        assert_ptr_equal(conf_keyword(k->name), k);
        before = k;
    }
    assert_null(conf_keyword("nosuchword"));
}

/* Whatever the ssh of this machine prints is in the table, and its defaults are fine. */
static void check_printed(const char *options, bool defaults)
{
    CLEANUP_FREE char *command =
        x_asprintf("ssh -G -F none %s host 2>/dev/null", options);
    FILE *in = popen(command, "r");
    char text[16384];
    unsigned n = 0;

    assert_non_null(in);
    while (fgets(text, sizeof text, in)) {
        struct ssh_conf *c = conf_new();

        text[strcspn(text, "\n")] = '\0';

        char *value = text + strcspn(text, " ");

        if (*value)
            *value++ = '\0';
        if (!conf_keyword(text))
            fail_msg("ssh -G prints %s, which the table has not", text);
        conf_apply(c, text, value);
        if (defaults && (c->unsupported || c->openssh || c->warnings.n))
            fail_msg("the default %s %s: %s", text, value,
                     c->unsupported ? c->unsupported : c->warnings.v[0]);
        conf_unref(c);
        n++;
    }
    assert_int_equal(pclose(in), 0);
    assert_true(n > 50);
}

static void test_every_keyword_of_ssh(void **state)
{
    if (access("/usr/bin/ssh", X_OK) != 0)
        skip();
    check_printed("", true);
    /* printed only when set */
    check_printed("-o BindAddress=::1 -o BindInterface=lo -o CertificateFile=x -o ControlPath=x "
                  "-o DynamicForward=1 -o LocalForward='1 h:2' -o RemoteForward='1 h:2' "
                  "-o HostKeyAlias=x -o IdentityAgent=none -o IgnoreUnknown=x "
                  "-o KbdInteractiveDevices=x -o KnownHostsCommand=/x -o LocalCommand=x "
                  "-o PKCS11Provider=/x -o PreferredAuthentications=x -o ProxyJump=x "
                  "-o RemoteCommand=x -o RevokedHostKeys=/x -o SetEnv=A=b -o SendEnv=X "
                  "-o XAuthLocation=/x -o CanonicalDomains=x", false);
    check_printed("-o ProxyCommand=x", false);
}

/* What ssh prints of a setting is what is looked for: no option of ours hides it. */
static void test_asked_of_ssh(void **state)
{
    static const char *const refused[][2] = {
        {"RemoteCommand=x y", "RemoteCommand x y"},
        {"SessionType=none", "SessionType none"},
    };

    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        CLEANUP_STRV struct strv options = STRV_INIT;
        const struct conf_query q = {.host = "h", .config = "none", .options = &options};
        struct ssh_conf *c = NULL;
        int rc;

        strv_push(&options, refused[i][0]);
        rc = conf_run(&q, &c, NULL);
        if (rc == 1)
            skip();
        assert_int_equal(rc, 0);
        assert_string_equal(c->unsupported, refused[i][1]);
        assert_non_null(c->instead);
        conf_unref(c);
    }
}

static void test_refused_settings(void **state)
{
    static const struct {
        const char *keyword, *value, *text;
    } cases[] = {
        {"proxyjump", "bastion", NULL},
        {"preferredauthentications", "password", NULL},
        {"pubkeyauthentication", "no", NULL},
        {"remotecommand", "tmux", "RemoteCommand tmux"},
        {"sessiontype", "subsystem", "SessionType subsystem"},
        {"sessiontype", "default", NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct ssh_conf *c = conf_new();

        conf_apply(c, cases[i].keyword, cases[i].value);
        if (cases[i].text)
            assert_string_equal(c->unsupported, cases[i].text);
        else
            assert_null(c->unsupported);
        conf_unref(c);
    }
}

static void test_what_only_ssh_can_do(void **state)
{
    static const struct {
        const char *keyword, *value, *text;
    } cases[] = {
        {"certificatefile", "~/.ssh/x-cert.pub", "CertificateFile ~/.ssh/x-cert.pub"},
        {"forwardagent", "yes", "ForwardAgent yes"},
        {"forwardagent", "no", NULL},
        {"knownhostscommand", "/x", "KnownHostsCommand /x"},
        {"pkcs11provider", "none", NULL},
        {"pkcs11provider", "/x", "PKCS11Provider /x"},
        {"verifyhostkeydns", "ask", "VerifyHostKeyDNS ask"},
        {"proxyusefdpass", "no", NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct ssh_conf *c = conf_new();

        conf_apply(c, cases[i].keyword, cases[i].value);
        assert_null(c->unsupported);
        if (cases[i].text)
            assert_string_equal(c->openssh, cases[i].text);
        else
            assert_null(c->openssh);
        conf_unref(c);
    }
}

static void test_options(void **state)
{
    static const struct {
        const char *option, *keyword, *value;
    } cases[] = {
        {"IdentityFile=/a", "IdentityFile", "/a"},
        {" Port = 3", "Port", "3"},
        {"User ops", "User", "ops"},
        {"SetEnv=A=b", "SetEnv", "A=b"},
        {"User", NULL, NULL},
        {"User=", NULL, NULL},
        {"", NULL, NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP_FREE char *keyword = NULL;
        const char *value = NULL;

        assert_int_equal(conf_option(cases[i].option, &keyword, &value), cases[i].keyword != NULL);
        if (!cases[i].keyword)
            continue;
        assert_string_equal(keyword, cases[i].keyword);
        assert_string_equal(value, cases[i].value);
    }
}

static void test_tokens(void **state)
{
    const struct conf_tokens t = {"10.0.0.5", "web1", "alias", "ops", 2222, NULL};
    static const struct {
        const char *path, *want;
    } cases[] = {
        {"/k/%n-%h-%r-%p-%k", "/k/web1-10.0.0.5-ops-2222-alias"},
        {"/100%%", "/100%"},
        {"~/.ssh/x", "/home/of/test/.ssh/x"},
        {"%d", NULL}, /* replaced below: the account's home, whatever $HOME says */
        {"${MUSTER_TEST_VALUE}/x", "/value/x"},
        {"${MUSTER_TEST_NO_SUCH}/x", NULL},
        {"${open", NULL},
        {"/x/%y", NULL},
        {"/x/%", NULL},
    };

    setenv("HOME", "/home/of/test", 1);
    setenv("MUSTER_TEST_VALUE", "/value", 1);
    unsetenv("MUSTER_TEST_NO_SUCH");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP_FREE char *got = conf_expand(cases[i].path, &t);
        CLEANUP_FREE char *home = conf_home();
        const char *want = strcmp(cases[i].path, "%d") == 0 ? home : cases[i].want;

        if (want)
            assert_string_equal(got, want);
        else
            assert_null(got);
    }
}

static void test_cut(void **state)
{
    CLEANUP_FREE char *a = kex_cut("a,b,c", "c,x,a");
    CLEANUP_FREE char *b = kex_cut("a,b,c", "x");
    CLEANUP_FREE char *c = kex_cut("a,b,c", NULL);
    CLEANUP_FREE char *d = kex_known_first("a,b,c", "c,x");
    CLEANUP_FREE char *e = kex_known_first("a,b,c", "");

    assert_string_equal(a, "a,c");
    assert_string_equal(b, "");
    assert_string_equal(c, "a,b,c");
    assert_string_equal(d, "c,a,b");
    assert_string_equal(e, "a,b,c");
}

static void server_hello(struct strbuf *b, const char *const lists[6])
{
    static const char cookie[16];

    strbuf_adds(b, "a line before\r\nSSH-2.0-Test\r\n");
    wire_put_u32(b, 300);
    strbuf_addch(b, 4);
    strbuf_addch(b, 20);
    strbuf_add(b, cookie, sizeof cookie);
    for (int i = 0; i < 6; i++)
        wire_put_string(b, lists[i], strlen(lists[i]));
}

static void test_explain(void **state)
{
    char kex[] = "curve25519-sha256", key[] = "ssh-ed25519", cipher[] = "aes128-ctr",
         mac[] = "hmac-sha2-256";
    char *const prefs[KEX_KINDS] = {kex, key, cipher, mac};
    const char *lists[6] = {"curve25519-sha256,x", "ssh-ed25519", "chacha\x1b[31m", "chacha",
                            "hmac-sha2-256", "hmac-sha2-256"};
    struct strbuf b;

    strbuf_init(&b, 0);
    server_hello(&b, lists);

    CLEANUP_FREE char *text = kex_explain(b.s, b.len, prefs);

    assert_non_null(strstr(text, "no common cipher"));
    assert_non_null(strstr(text, "aes128-ctr"));
    assert_null(strchr(text, '\x1b'));
    /* cut anywhere: no reading past the end, and no false statement */
    for (size_t n = 0; n < b.len - 50; n++) {
        char *copy = x_malloc(n + 1);

        memcpy(copy, b.s, n);

        CLEANUP_FREE char *cut = kex_explain(copy, n, prefs);

        assert_true(!cut || strstr(cut, "no common cipher"));
        free(copy);
    }
    strbuf_reset(&b);
    lists[2] = lists[3] = "aes128-ctr";
    server_hello(&b, lists);
    assert_null(kex_explain(b.s, b.len, prefs));
    strbuf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_classes, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(test_in_doubt_each_host, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(test_include_and_change, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(test_include_of_itself_ends, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(test_hostname_rule, make_folder, drop_folder),
        cmocka_unit_test(test_answer_of_ssh),
        cmocka_unit_test_setup_teardown(test_lists_of_paths, make_folder, drop_folder),
        cmocka_unit_test(test_values_of_honoured),
        cmocka_unit_test(test_left_out_is_said),
        cmocka_unit_test(test_strict_is_never_off),
        cmocka_unit_test(test_table_is_whole),
        cmocka_unit_test(test_every_keyword_of_ssh),
        cmocka_unit_test(test_asked_of_ssh),
        cmocka_unit_test(test_refused_settings),
        cmocka_unit_test(test_what_only_ssh_can_do),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_explain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
