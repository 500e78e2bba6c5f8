/* SPDX-License-Identifier: Apache-2.0 */
/* The wrapped line in real shells: quoting, variables, folders, long ones by their input, and with
 * programs in the place of sudo, su and doas. */
#include "wrap.h"

#include "muster/base/alloc.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/exec/transport.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOKEN "@muster-00ff"
#define OUTER "@muster-11ee"
#define PROMPT "@muster-22dd"

struct ran {
    char *out; /* both streams */
    size_t len;
    int status;
};

/* Feeds and reads at the same time, as a transport does. */
static void talk(int in, int out, const char *input, size_t left, struct strbuf *got)
{
    char buf[65536];

    io_set_nonblock(in);
    for (bool open = true; open;) {
        struct pollfd p[2] = {{.fd = out, .events = POLLIN},
                              {.fd = in, .events = POLLOUT}};
        assert_true(poll(p, in >= 0 ? 2 : 1, 60000) > 0);
        if (p[0].revents) {
            ssize_t n = read(out, buf, sizeof buf);
            open = n > 0;
            if (n > 0)
                strbuf_add(got, buf, (size_t) n);
        }
        if (in >= 0 && p[1].revents) {
            ssize_t n = left ? write(in, input, left) : 0;
            input += n > 0 ? n : 0;
            left -= n > 0 ? (size_t) n : 0;
            if (!left || (n < 0 && errno != EAGAIN)) {
                close(in);
                in = -1;
            }
        }
    }
    if (in >= 0)
        close(in);
}

/* `shell -c command` with this input. `shell` may have an option: "bash --posix". */
static struct ran run_in(const char *shell, const char *command, const char *input, size_t n)
{
    int in[2], out[2];
    struct strbuf got;
    struct ran r;
    char words[64], *save = NULL;

    strbuf_init(&got, 0);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        snprintf(words, sizeof words, "%s", shell);
        char *name = strtok_r(words, " ", &save), *option = strtok_r(NULL, " ", &save);
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(out[1], 2);
        signal(SIGPIPE, SIG_DFL);
        setenv("SHELL", name, 1);
        execl(name, name, option ? option : "-c", option ? "-c" : command,
              option ? command : NULL, NULL);
        _exit(126);
    }
    close(in[0]);
    close(out[1]);
    talk(in[1], out[0], input, n, &got);
    close(out[0]);
    assert_int_equal(waitpid(pid, &r.status, 0), pid);
    r.status = WIFEXITED(r.status) ? WEXITSTATUS(r.status) : 1000 + WTERMSIG(r.status);
    r.len = got.len;
    r.out = strbuf_steal(&got);
    return r;
}

/* What it writes after the token's line. */
static const char *after_token(const struct ran *r)
{
    const char *nl = strchr(r->out, '\n');

    assert_int_equal(strncmp(r->out, TOKEN " ", strlen(TOKEN) + 1), 0);
    assert_non_null(nl);
    return nl + 1;
}

/* Its whole input is what it reads itself and then `more`. */
static struct ran run_wrap(const char *shell, const struct wrap *w, const char *more, bool is_long)
{
    char *rest, *line = wrap_command(w, &rest);
    struct strbuf input;

    assert_int_equal(rest != NULL, is_long);
    assert_true(strlen(line) <= INLINE_MAX);
    strbuf_init(&input, 0);
    if (rest)
        strbuf_adds(&input, rest);
    strbuf_adds(&input, more);
    struct ran r = run_in(shell, line, input.s, input.len);
    strbuf_free(&input);
    free(rest);
    free(line);
    return r;
}

static void expect(const char *shell, const struct wrap *w, const char *more, const char *want)
{
    struct ran r = run_wrap(shell, w, more, false);

    assert_string_equal(after_token(&r), want);
    free(r.out);
}

static const char *const shells[] = {"/bin/sh", "/bin/bash", "/bin/bash --posix", "/bin/dash",
                                     "/bin/csh", "/usr/bin/fish"};

static bool have(const char *shell)
{
    CLEANUP_FREE char *name = x_strndup(shell, strcspn(shell, " "));

    return access(name, X_OK) == 0;
}

static void in_shells(void **state)
{
    static const char *const cases[][2] = {
        {"echo plain", "plain\n"},
        {"echo 'a  b' \"c'd\" it\\'s", "a  b c'd it's\n"},
        {"echo 'back\\slash' '!x' '`id`' '$(id)' '$HOME'", "back\\slash !x `id` $(id) $HOME\n"},
        {"printf '%s\\n' one\nprintf '%s\\n' 'two \\ three'", "one\ntwo \\ three\n"},
        {"echo \"$MUSTER_NODE|$MUSTER_HOST|$MUSTER_USER\"", "n'1|h $x|u\\!\n"},
        {"echo gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f\n"},
        {"cat; echo .", "what it reads\n.\n"},
        {"", ""},
    };

    for (size_t s = 0; s < ARRAY_LEN(shells); s++)
        for (size_t i = 0; have(shells[s]) && i < ARRAY_LEN(cases); i++)
            expect(shells[s], &(struct wrap){.token = TOKEN, .line = cases[i][0], .node = "n'1",
                                             .host = "h $x", .user = "u\\!"},
                   "what it reads\n", cases[i][1]);
}

/* The pid in the token's line is that of the process that becomes the user's shell. */
static void same_pid(void **state)
{
    struct ran r = run_wrap("/bin/sh", &(struct wrap){.token = TOKEN, .line = "echo $$"}, "", false);
    long told = 0, own = 0;

    assert_int_equal(sscanf(r.out, TOKEN " %ld %ld", &told, &own), 2);
    assert_int_equal(told, own);
    free(r.out);
}

static void environment(void **state)
{
    CLEANUP_STRV struct strv env = STRV_INIT;

    strv_push(&env, "PLAIN=1");
    strv_push(&env, "EMPTY=");
    strv_push(&env, "QUOTES=it's \"so\" \\ !x $HOME `id`");
    strv_push(&env, "LINES=one\ntwo\n");
    strv_push(&env, "x; touch /never=1");
    strv_push(&env, "1x=1");
    for (size_t s = 0; s < ARRAY_LEN(shells); s++)
        if (have(shells[s]))
            expect(shells[s], &(struct wrap){.token = TOKEN, .env = &env,
                                             .line = "printf '<%s>' \"$PLAIN\" \"$EMPTY\" "
                                                     "\"$QUOTES\" \"$LINES\"; env | grep -c never"},
                   "", "<1><><it's \"so\" \\ !x $HOME `id`><one\ntwo\n>0\n");
}

static void folders(void **state)
{
    char dir[] = "/tmp/muster-wrap-XXXXXX";

    assert_non_null(mkdtemp(dir));
    setenv("HOME", dir, 1);
    CLEANUP_FREE char *odd = x_asprintf("%s/it's a \\ dir", dir);
    CLEANUP_FREE char *file = x_asprintf("%s/file", dir);
    CLEANUP_FREE char *want = x_asprintf("%s\n", dir), *want_odd = x_asprintf("%s\n", odd);

    assert_int_equal(mkdir(odd, 0700), 0);
    assert_int_equal(close(creat(file, 0600)), 0);
    setenv("CDPATH", "/", 1);
    expect("/bin/sh", &(struct wrap){.token = TOKEN, .line = "pwd", .chdir = "~"}, "", want);
    expect("/bin/sh", &(struct wrap){.token = TOKEN, .line = "pwd", .chdir = odd}, "", want_odd);
    expect("/bin/sh", &(struct wrap){.token = TOKEN, .line = "pwd", .chdir = "~/it's a \\ dir"}, "",
           want_odd);

    static const char *const bad[][2] = {{"/nowhere/at all", "there is no such folder"},
                                         {"~/file", "it is no folder"},
                                         {"-", "there is no such folder"}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct ran r = run_wrap("/bin/sh",
                                &(struct wrap){.token = TOKEN, .line = "echo ran", .chdir = bad[i][0]},
                                "", false);
        assert_int_equal(r.status, 76);
        assert_non_null(strstr(after_token(&r), bad[i][1]));
        assert_non_null(strstr(r.out, "the command was not run\n"));
        assert_null(strstr(r.out, "ran\n"));
        free(r.out);
    }
    unsetenv("CDPATH");
    unlink(file);
    rmdir(odd);
    rmdir(dir);
}

/* A line of n bytes that writes all of them but the quote. */
static char *all_bytes(size_t n, char **want)
{
    struct strbuf line, text;

    strbuf_init(&line, 0);
    strbuf_init(&text, 0);
    for (unsigned c = 1; text.len < n; c = c % 255 + 1)
        if (c != '\'')
            strbuf_addch(&text, (char) c);
    strbuf_addf(&line, "printf %%s '%s'; cat", text.s);
    *want = strbuf_steal(&text);
    return strbuf_steal(&line);
}

static void long_lines(void **state)
{
    static const size_t sizes[] = {30000, 100000};
    char *want;

    for (size_t s = 0; s < ARRAY_LEN(shells); s++)
        for (size_t i = 0; have(shells[s]) && i < ARRAY_LEN(sizes); i++) {
            char *line = all_bytes(sizes[i], &want);
            struct ran r = run_wrap(shells[s], &(struct wrap){.token = TOKEN, .line = line},
                                    "the user's own\nlines", true);
            const char *got = after_token(&r);

            assert_int_equal(r.status, 0);
            assert_int_equal(strlen(got), strlen(want) + strlen("the user's own\nlines"));
            assert_memory_equal(got, want, strlen(want));
            assert_string_equal(got + strlen(want), "the user's own\nlines");
            free(r.out);
            free(line);
            free(want);
        }
}

/* What makes it long may be a variable; and half of a line is never run. */
static void long_variable(void **state)
{
    CLEANUP_STRV struct strv env = STRV_INIT;
    char *big = x_malloc(40001), *rest;

    memset(big, 'v', 40000);
    big[40000] = '\0';
    strv_push_own(&env, x_asprintf("BIG=%s", big));
    struct wrap w = {.token = TOKEN, .env = &env, .line = "echo ${#BIG}"};
    struct ran r = run_wrap("/bin/sh", &w, "", true);

    assert_string_equal(after_token(&r), "40000\n");
    free(r.out);
    char *line = wrap_command(&w, &rest);
    for (size_t cut = 0; cut < strlen(rest); cut += 7919) {
        r = run_in("/bin/sh", line, rest, cut);
        assert_string_equal(after_token(&r), "");
        assert_int_equal(r.status, 1);
        free(r.out);
    }
    /* no longer lines than a terminal takes, and nothing that one acts on */
    for (const char *p = rest; *p; p = strchr(p, '\n') + 1)
        assert_true(strcspn(p, "\n") < 1010);
    for (const char *p = rest; *p; p++)
        assert_true(*p == '\n' || (*p >= ' ' && *p < 0x7f));
    free(line);
    free(rest);
    free(big);
}

/* --- another user, with programs of our own that only tell how they were called --- */

static char bin[] = "/tmp/muster-bin-XXXXXX";

static void program(const char *name, const char *text)
{
    CLEANUP_FREE char *path = x_asprintf("%s/%s", bin, name);
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fprintf(f, "#!/bin/sh\n%s", text);
    fclose(f);
    assert_int_equal(chmod(path, 0755), 0);
}

static int programs(void **state)
{
    assert_non_null(mkdtemp(bin));
    CLEANUP_FREE char *path = x_asprintf("%s:%s", bin, getenv("PATH"));
    setenv("PATH", path, 1);
    /* -S: asks, and reads a line. All clear the environment, as their namesakes do. */
    program("sudo", "echo \"[sudo $1 LC=$LC_ALL]\" >&2\n"
                    "if [ \"$1\" = -S ]; then shift; "
                    "[ \"$1\" = -k ] && shift; printf %s \"$2\" >&2; shift 2; IFS= read -r pw; "
                    "echo \"[got $pw]\" >&2; else shift; fi\n"
                    "[ \"$1$3\" = -u-- ] || exit 99\necho \"[user $2]\" >&2; shift 3\n"
                    "exec env -i LC_ALL=\"$LC_ALL\" PATH=\"$PATH\" SHELL=/usr/sbin/nologin "
                    "HOME=/ \"$@\"\n");
    program("doas", "n=; [ \"$1\" = -n ] && { n=n; shift; }\n[ \"$1$3\" = -u-- ] || exit 99\n"
                    "echo \"[doas $n user $2]\" >&2; shift 3\nexec env -i PATH=\"$PATH\" \"$@\"\n");
    program("su", "[ \"$2\" = -c ] || exit 99\necho \"[su user $1]\" >&2\n"
                  "SHELL=/bin/sh exec setsid -w /bin/sh -c \"$3\"\n");
    return 0;
}

static int no_programs(void **state)
{
    static const char *const names[] = {"sudo", "doas", "su"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        CLEANUP_FREE char *path = x_asprintf("%s/%s", bin, names[i]);
        unlink(path);
    }
    return rmdir(bin);
}

/* What comes before the inner token, and after its line. */
static const char *split(struct ran *r)
{
    char *inner = strstr(r->out, TOKEN " ");

    assert_int_equal(strncmp(r->out, OUTER " ", strlen(OUTER) + 1), 0);
    assert_non_null(inner);
    char *nl = strchr(inner, '\n');
    assert_non_null(nl);
    *inner = '\0';
    return nl + 1;
}

static void another_user(void **state)
{
    static const struct {
        enum become_method method;
        bool password;
        const char *before;
    } cases[] = {
        {BECOME_SUDO, true, "[sudo -S LC=C]\n" PROMPT "[got pw]\n[user it's]\n"},
        {BECOME_SUDO, false, "[sudo -n LC=C]\n[user it's]\n"},
        {BECOME_DOAS, true, "[doas  user it's]\n"},
        {BECOME_DOAS, false, "[doas n user it's]\n"},
        {BECOME_SU, false, "[su user it's]\n"},
    };
    CLEANUP_STRV struct strv env = STRV_INIT;

    strv_push(&env, "MINE=a\nb");
    for (size_t s = 0; s < ARRAY_LEN(shells); s++)
        for (size_t i = 0; have(shells[s]) && i < ARRAY_LEN(cases) * 2; i++) {
            bool sudo_asks = cases[i / 2].method == BECOME_SUDO && cases[i / 2].password;
            char *big, *line;
            struct wrap w = {.token = TOKEN, .outer = OUTER, .node = "n!1", .env = &env,
                             .become = cases[i / 2].method, .become_user = "it's", .chdir = "/",
                             .prompt = cases[i / 2].password ? PROMPT : NULL};

            free(all_bytes(40000, &big));
            line = x_asprintf("echo \"$MUSTER_NODE $MINE\"; pwd; cat; : '%s'", i % 2 ? big : "x'y");
            w.line = i % 2 ? line : "echo \"$MUSTER_NODE $MINE\"; pwd; cat";
            char *rest, *outer = wrap_command(&w, &rest);
            CLEANUP_FREE char *input = x_asprintf("%s%suser's\n", sudo_asks ? "pw\n" : "",
                                                  rest ? rest : "");
            assert_int_equal(rest != NULL, i % 2);
            struct ran r = run_in(shells[s], outer, input, strlen(input));
            const char *said = split(&r) ;

            assert_string_equal(said, "n!1 a\nb\n/\nuser's\n");
            assert_string_equal(strchr(r.out, '\n') + 1, cases[i / 2].before);
            free(r.out);
            free(rest);
            free(outer);
            free(line);
            free(big);
        }
}

/* The process group is that of the command, where su makes a session of its own too; and the user's
 * LC_ALL is back. */
static void inner_group(void **state)
{
    enum become_method methods[] = {BECOME_SUDO, BECOME_SU};

    setenv("LC_ALL", "C.UTF-8", 1);
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        struct wrap w = {.token = TOKEN, .outer = OUTER, .become = methods[i],
                         .become_user = "root",
                         .line = "echo $LC_ALL; exec ps -o pgid= -p $$"};
        char *rest, *line = wrap_command(&w, &rest);
        struct ran r = run_in("/bin/sh", line, "", 0);
        long outer = 0, told = 0, group = 0;
        const char *token = strstr(r.out, TOKEN " ");

        assert_non_null(token);
        assert_int_equal(sscanf(r.out, OUTER " %ld", &outer), 1);
        assert_int_equal(sscanf(token, TOKEN " %ld C.UTF-8 %ld", &told, &group), 2);
        assert_int_equal(told, group);
        assert_true(methods[i] == BECOME_SU ? told == outer : told == getpgrp());
        free(r.out);
        free(line);
    }
    unsetenv("LC_ALL");
}

static void stop_line(void **state)
{
    enum become_method methods[] = {BECOME_NONE, BECOME_SUDO, BECOME_SU, BECOME_DOAS};

    for (size_t s = 0; s < ARRAY_LEN(shells); s++)
        for (size_t i = 0; have(shells[s]) && i < ARRAY_LEN(methods) * 2; i++) {
            pid_t pid = fork();

            if (pid == 0) {
                setpgid(0, 0);
                for (;;)
                    pause();
            }
            setpgid(pid, pid);
            CLEANUP_FREE char *look = wrap_stop(pid, 0, false, methods[i / 2], "it's", i % 2);
            CLEANUP_FREE char *kill_it = wrap_stop(pid, SIGKILL, true, methods[i / 2], "it's", i % 2);
            struct ran r = run_in(shells[s], look, "pw\n", 3);

            assert_int_equal(r.status, STOP_THERE);
            free(r.out);
            r = run_in(shells[s], kill_it, "pw\n", 3);
            assert_true(r.status == STOP_GONE || r.status == STOP_THERE); /* we have not reaped it */
            assert_true(methods[i / 2] != BECOME_SUDO || !(i % 2) || strstr(r.out, "[got pw]"));
            free(r.out);
            int status;
            assert_int_equal(waitpid(pid, &status, 0), pid);
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
            r = run_in(shells[s], look, "", 0);
            assert_int_equal(r.status, STOP_GONE);
            free(r.out);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_shells),   cmocka_unit_test(same_pid),
        cmocka_unit_test(environment), cmocka_unit_test(folders),
        cmocka_unit_test(long_lines),  cmocka_unit_test(long_variable),
        cmocka_unit_test_setup_teardown(another_user, programs, NULL),
        cmocka_unit_test(inner_group),
        cmocka_unit_test_setup_teardown(stop_line, NULL, no_programs),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
