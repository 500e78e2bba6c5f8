/* SPDX-License-Identifier: Apache-2.0 */
/* known_hosts: every kind of line, what is refused, and writing a new one. */
#include "ssh_hosts.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Two keys and an RSA one, as far as known_hosts looks into them. The blobs are
 * "string type, string body". */
#define ED_A "AAAAC3NzaC1lZDI1NTE5AAAAAUE="
#define ED_B "AAAAC3NzaC1lZDI1NTE5AAAAAUI="
#define RSA_A "AAAAB3NzaC1yc2EAAAABQQ=="
static const char ed_a[] = "\0\0\0\x0bssh-ed25519\0\0\0\1A";
static const char ed_b[] = "\0\0\0\x0bssh-ed25519\0\0\0\1B";

static enum hosts_answer ask(const char *text, const char *name, const char *plain,
                             const char *blob, unsigned *line)
{
    struct hosts_file *f = hosts_parse("kh", text, strlen(text));
    struct hosts_known k = {0};
    const struct hosts_match *where = NULL;

    hosts_lookup(f, name, plain, &k);

    enum hosts_answer a = hosts_check(&k, "ssh-ed25519", blob, sizeof ed_a - 1, &where);

    if (line)
        *line = where ? where->entry->line : 0;
    hosts_known_clear(&k);
    hosts_unref(f);
    return a;
}

static void test_lines(void **state)
{
    static const struct {
        const char *text, *name, *plain;
        enum hosts_answer answer; /* to key A */
        unsigned line;
    } cases[] = {
        {"", "web1", NULL, HOSTS_UNKNOWN, 0},
        {"web1 ssh-ed25519 " ED_A, "web1", NULL, HOSTS_OK, 1},
        {"web1 ssh-ed25519 " ED_A " a comment\r\n", "web1", NULL, HOSTS_OK, 1},
        {"# c\n\n  web1\tssh-ed25519  " ED_A "\n", "web1", NULL, HOSTS_OK, 3},
        {"WEB1 ssh-ed25519 " ED_A, "web1", NULL, HOSTS_OK, 1},
        {"web10 ssh-ed25519 " ED_A, "web1", NULL, HOSTS_UNKNOWN, 0},
        {"web1,10.0.0.1 ssh-ed25519 " ED_A, "10.0.0.1", NULL, HOSTS_OK, 1},
        {"web1 ssh-ed25519 " ED_B, "web1", NULL, HOSTS_CHANGED, 1},
        {"web1 ssh-ed25519 " ED_B "\nweb1 ssh-ed25519 " ED_A, "web1", NULL, HOSTS_OK, 2},
        /* another type than the one that is known: a changed key, and not a new host */
        {"web1 ssh-rsa " RSA_A, "web1", NULL, HOSTS_CHANGED, 1},
        {"web1 ssh-rsa " RSA_A "\nweb1 ssh-ed25519 " ED_B, "web1", NULL, HOSTS_CHANGED, 2},
        {"[web1]:2222 ssh-ed25519 " ED_A, "[web1]:2222", "web1", HOSTS_OK, 1},
        {"[web1]:2222 ssh-ed25519 " ED_A, "web1", NULL, HOSTS_UNKNOWN, 0},
        /* the name without its port may accept, but never refuse */
        {"web1 ssh-ed25519 " ED_A, "[web1]:2222", "web1", HOSTS_OK, 1},
        {"web1 ssh-ed25519 " ED_B, "[web1]:2222", "web1", HOSTS_UNKNOWN, 0},
        {"*.example.com ssh-ed25519 " ED_A, "a.example.com", NULL, HOSTS_OK, 1},
        {"web? ssh-ed25519 " ED_A, "web1", NULL, HOSTS_OK, 1},
        {"web? ssh-ed25519 " ED_A, "web10", NULL, HOSTS_UNKNOWN, 0},
        {"web*,!web1 ssh-ed25519 " ED_A, "web1", NULL, HOSTS_UNKNOWN, 0},
        {"!web1,web* ssh-ed25519 " ED_A, "web2", NULL, HOSTS_OK, 1},
        {"@revoked web1 ssh-ed25519 " ED_A, "web1", NULL, HOSTS_IS_REVOKED, 1},
        {"web1 ssh-ed25519 " ED_A "\n@revoked * ssh-ed25519 " ED_A, "web1", NULL,
         HOSTS_IS_REVOKED, 2},
        {"@revoked web1 ssh-ed25519 " ED_B "\nweb1 ssh-ed25519 " ED_A, "web1", NULL, HOSTS_OK, 2},
        {"@revoked web1 ssh-ed25519 " ED_B, "web1", NULL, HOSTS_UNKNOWN, 0},
        {"@cert-authority * ssh-ed25519 " ED_A, "web1", NULL, HOSTS_ONLY_CA, 1},
        {"@cert-authority * ssh-ed25519 " ED_B "\nweb1 ssh-ed25519 " ED_A, "web1", NULL, HOSTS_OK,
         2},
        {"@whatever web1 ssh-ed25519 " ED_A, "web1", NULL, HOSTS_UNKNOWN, 0},
        /* damaged lines are passed over, and hide no good one */
        {"web1 ssh-ed25519 !!!!\nweb1\nweb1 ssh-ed25519\nweb1 ssh-ed25519 " ED_A, "web1", NULL,
         HOSTS_OK, 4},
        {"web1 ssh-rsa " ED_A, "web1", NULL, HOSTS_UNKNOWN, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        unsigned line;
        enum hosts_answer a = ask(cases[i].text, cases[i].name, cases[i].plain, ed_a, &line);

        if (a != cases[i].answer || line != cases[i].line)
            fail_msg("case %zu: answer %d, line %u", i, a, line);
    }
}

static void test_hashed(void **state)
{
    /* `ssh-keygen -H` of a line for "web1" */
    char path[] = "/tmp/muster-hosts-XXXXXX";
    int fd = mkstemp(path);
    struct err e = ERR_INIT;
    unsigned line;

    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(hosts_append(path, "web1", true, "ssh-ed25519", ed_a, sizeof ed_a - 1, &line,
                                  &e), 0);

    struct hosts_file *f = hosts_load(path);
    struct hosts_known k = {0};

    assert_null(hosts_problem(f));
    hosts_lookup(f, "web2", NULL, &k);
    assert_int_equal(k.n, 0);
    hosts_lookup(f, "web1", NULL, &k);
    assert_int_equal(k.n, 1);
    assert_memory_equal(k.v[0].entry->names, "|1|", 3);
    hosts_known_clear(&k);
    hosts_unref(f);
    unlink(path);
}

static void test_append(void **state)
{
    char dir[] = "/tmp/muster-hosts-XXXXXX";
    struct err e = ERR_INIT;
    unsigned line = 0;

    assert_non_null(mkdtemp(dir));

    CLEANUP_FREE char *path = x_asprintf("%s/sub/known_hosts", dir);
    CLEANUP_FREE char *sub = x_asprintf("%s/sub", dir);
    size_t n = sizeof ed_a - 1;

    assert_int_equal(hosts_append(path, "web1", false, "ssh-ed25519", ed_a, n, &line, &e), 0);

    assert_int_equal(hosts_append(path, "a b", false, "ssh-ed25519", ed_a, n, &line, &e),
                     -ERR_VALIDATION);
    err_clear(&e);

    struct hosts_file *f = hosts_load(path);

    assert_true(hosts_fresh(f));
    /* again the same key: nothing is written; another one: refused, with its line */
    assert_int_equal(hosts_append(path, "web1", false, "ssh-ed25519", ed_a, n, &line, &e), 0);
    assert_true(hosts_fresh(f));
    assert_int_equal(hosts_append(path, "web1", false, "ssh-ed25519", ed_b, n, &line, &e), 1);
    assert_int_equal(line, 1);
    assert_true(hosts_fresh(f));
    assert_int_equal(hosts_append(path, "web2", false, "ssh-ed25519", ed_b, n, &line, &e), 0);
    assert_false(hosts_fresh(f));
    hosts_unref(f);

    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, 2 * strlen("web1 ssh-ed25519 " ED_A "\n"));
    unlink(path);
    rmdir(sub);
    rmdir(dir);
}

static void test_absent_and_special(void **state)
{
    struct hosts_file *f = hosts_load("/nonexistent/known_hosts");

    assert_null(hosts_problem(f));
    assert_true(hosts_fresh(f));
    hosts_unref(f);
    f = hosts_load("/dev/null");
    assert_null(hosts_problem(f));
    hosts_unref(f);
}

static struct hosts_file *revoked(const char *text, size_t n)
{
    char path[] = "/tmp/muster-revoked-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), n);
    close(fd);

    struct hosts_file *f = hosts_load_revoked(path);

    unlink(path);
    return f;
}

static void test_revoked_keys(void **state)
{
    static const char *const good[] = {
        "ssh-ed25519 " ED_A, "# c\n\n  ssh-ed25519\t" ED_A " a comment\r\n",
        "ssh-rsa " RSA_A "\nssh-ed25519 " ED_A "\n",
    };
    /* ssh refuses every key where one line cannot be read: half a list is none */
    static const char *const bad[] = {
        "ssh-ed25519", "ssh-rsa " ED_A, "web1 ssh-ed25519 " ED_A, "rubbish\nssh-ed25519 " ED_A,
        "ssh-ed25519-cert-v01@openssh.com " ED_A, "ssh-ed25519 !!!",
    };
    static const char krl[] = "SSHKRL\n\0\0\0\0\1";

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct hosts_file *f = revoked(good[i], strlen(good[i]));

        assert_null(hosts_problem(f));
        assert_false(hosts_is_krl(f));
        assert_int_not_equal(hosts_revokes(f, ed_a, sizeof ed_a - 1), 0);
        assert_int_equal(hosts_revokes(f, ed_b, sizeof ed_b - 1), 0);
        hosts_unref(f);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct hosts_file *f = revoked(bad[i], strlen(bad[i]));

        if (!hosts_problem(f) || !strstr(hosts_problem(f), ":1: not a public key"))
            fail_msg("%s", bad[i]);
        hosts_unref(f);
    }

    struct hosts_file *f = revoked(krl, sizeof krl - 1);

    assert_true(hosts_is_krl(f));
    hosts_unref(f);
    f = revoked("", 0);
    assert_null(hosts_problem(f));
    assert_int_equal(hosts_revokes(f, ed_a, sizeof ed_a - 1), 0);
    hosts_unref(f);
    f = hosts_load_revoked("/nonexistent/revoked");
    assert_non_null(strstr(hosts_problem(f), "does not exist"));
    hosts_unref(f);
    f = hosts_load_revoked("/tmp");
    assert_non_null(strstr(hosts_problem(f), "is not a file"));
    hosts_unref(f);
}

static void test_patterns(void **state)
{
    static const struct {
        const char *pattern, *s;
        bool match;
    } cases[] = {
        {"", "", true},      {"*", "", true},         {"?", "", false},    {"a", "", false},
        {"*", "abc", true},  {"a*c", "abbc", true},   {"a*c", "abcd", false}, {"a?c", "abc", true},
        {"**b", "aab", true}, {"*a*b*", "xaxbx", true}, {"[a]", "[a]", true}, {"a", "A", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(hosts_pattern(cases[i].pattern, cases[i].s), cases[i].match);
    /* many stars and a long name take no exponential time */
    char name[2000];

    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_false(hosts_pattern("*a*a*a*a*a*a*a*a*a*a*b", name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_hashed),
        cmocka_unit_test(test_append),
        cmocka_unit_test(test_absent_and_special),
        cmocka_unit_test(test_revoked_keys),
        cmocka_unit_test(test_patterns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
