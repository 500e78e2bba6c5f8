/* SPDX-License-Identifier: Apache-2.0 */
/* The transport openssh without any server: the command that leads through jump hosts comes out of
 * as many shells as it goes through, and which ssh can be told from a server. */
#include "openssh.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct openssh_hop hop(const char *host, int port)
{
    struct openssh_hop h = {.conf = conf_new(), .accept_new = port == 0};

    h.dest = (struct dest) {.host = x_strdup(host), .user = x_strdup("o p"), .port = port};
    h.user = x_strdup("o p");
    h.hostname = x_strdup(host);
    return h;
}

/* As ssh does it: tokens, then a shell. The words, one a line. Caller frees. */
static char *as_shell(const char *command, const char *host)
{
    struct strbuf filled, out;
    char buf[4096];
    size_t n;

    strbuf_init(&filled, 0);
    strbuf_adds(&filled, "printf '%s\\n' ");
    for (const char *c = command; *c; c++) {
        if (*c != '%')
            strbuf_addch(&filled, *c);
        else if (*++c == 'h')
            strbuf_adds(&filled, host);
        else
            strbuf_addch(&filled, *c == 'p' ? '7' : *c);
    }

    FILE *f = popen(filled.s, "r");

    assert_non_null(f);
    strbuf_init(&out, 0);
    while ((n = fread(buf, 1, sizeof buf, f)) > 0)
        strbuf_add(&out, buf, n);
    assert_int_equal(pclose(f), 0);
    strbuf_free(&filled);
    return strbuf_steal(&out);
}

static void expect(const char *words, const char *want)
{
    if (!strstr(words, want))
        fail_msg("\"%s\" is not in:\n%s", want, words);
}

static void test_through(void **state)
{
    struct openssh_hop hops[] = {hop("first", 0), hop("second", 2222), hop("third", 22)};
    struct openssh_prep p = {.program = (char *) "/usr/bin/ssh", .hops = hops, .n_hops = 3};
    const struct openssh_call call = {.connect_ms = 9000, .ask = true};
    const char *const hosts[] = {"web01", "third", "second"};
    static const char odd[] = "/h %d/it's $HOME/\"c\\ \xc3\xa4`;&|<>(){}*?~#!";

    p.config = (char *) odd;
    strv_push(&hops[0].identity, odd);

    CLEANUP_FREE char *command = openssh_through(&p, &call);

    for (size_t i = 0; i < 3; i++) {
        CLEANUP_FREE char *words = as_shell(command, hosts[i]);
        CLEANUP_FREE char *way = x_asprintf("-W\n[%s]:7\n--\n%s\n", hosts[i], hops[2 - i].dest.host);
        CLEANUP_FREE char *config = x_asprintf("-F\n%s\n", odd);
        CLEANUP_FREE char *identity = x_asprintf("-i\n%s\n", odd);

        expect(words, way);
        expect(words, config);
        expect(words, "-l\no p\n");
        expect(words, i == 2 ? "StrictHostKeyChecking=accept-new\n" : "StrictHostKeyChecking=yes\n");
        expect(words, "\nPasswordAuthentication=no\n");
        expect(words, "\nConnectTimeout=9\n");
        if (i == 2) {
            expect(words, identity);
            assert_null(strstr(words, "ProxyCommand"));
            break;
        }

        char *next = strstr(words, "\nProxyCommand=");

        assert_non_null(next);
        next += strlen("\nProxyCommand=");
        free(command);
        command = x_strndup(next, strcspn(next, "\n"));
    }
    p.hops = x_memdup(hops, sizeof hops);
    openssh_hops_clear(&p);
}

/* Which words a server's question begins with is known from 8.5 on. */
static void test_versions(void **state)
{
    static const struct {
        const char *version;
        bool names;
    } cases[] = {{"OpenSSH_9.2p1 Debian-2, OpenSSL 3.0", true}, {"OpenSSH_10.0p2", true},
                 {"OpenSSH_8.5p1", true},                       {"OpenSSH_8.4p1", false},
                 {"OpenSSH_7.9p1", false},                      {"Sun_SSH_1.1", false}};
    char dir[] = "/tmp/muster-test-XXXXXX";
    CLEANUP_FREE char *path = x_strdup(getenv("PATH"));

    assert_non_null(mkdtemp(dir));

    CLEANUP_FREE char *with = x_asprintf("%s:%s", dir, path);
    CLEANUP_FREE char *program = x_asprintf("%s/ssh", dir);

    setenv("PATH", with, 1);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        FILE *f = fopen(program, "w");

        assert_non_null(f);
        fprintf(f, "#!/bin/sh\necho '%s' >&2\n", cases[i].version);
        fclose(f);
        chmod(program, 0755);
        if (conf_names_askers(NULL) != cases[i].names)
            fail_msg("%s: %d", cases[i].version, !cases[i].names);
    }
    setenv("PATH", path, 1);
    unlink(program);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_through),
        cmocka_unit_test(test_versions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
