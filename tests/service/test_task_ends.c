/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of a task on its node: its rights, where it is made when programs are forbidden in it, and
 * that it is gone after every end, also one that no trap sees; with every shell that is here. */
#include "tasks.h"

#include "work.h"

#include "muster/base/clock.h"
#include "muster/base/io.h"
#include "muster/base/secret.h"
#include "muster/base/strbuf.h"
#include "muster/core/json.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

static void assert_ends(struct fixture *f, const char *script, enum reason reason)
{
    struct task_ask a;
    add_task(f, "end.sh", script);
    ask_task(&a, "end", LIST("n01"));
    a.r.over.command_timeout_ms = 700;
    int64_t n = run_task(f, &a);
    struct batch_stats st = stats_of(f, n);
    if (reason == REASON_NONE)
        assert_int_equal(st.success, 1);
    else
        assert_int_equal(st.by_reason[reason], 1);
    wait_left(f, 0);
}

static void test_gone_after_every_end(void **state)
{
    struct fixture *f = *state;
    assert_ends(f, "#!/bin/sh\nexit 0\n", REASON_NONE);
    assert_ends(f, "#!/bin/sh\nexit 3\n", REASON_EXIT);
    assert_ends(f, "#!/no/such/program\n", REASON_EXIT);
    assert_ends(f, "#!/bin/sh\nkill -KILL $$\n", REASON_EXIT);
    assert_ends(f, "#!/bin/sh\nchmod 500 \"${0%/*}\"; mkdir \"${0%/*}/x\"; exit 0\n", REASON_NONE);
    assert_ends(f, "#!/bin/sh\nsleep 60\n", REASON_TIMEOUT);
    assert_ends(f, "#!/bin/sh\ntrap '' HUP INT TERM\nsleep 60 & wait; sleep 60\n", REASON_TIMEOUT);
}

/* While it runs the folder is there, with rights for its user alone. */
static void hold(struct fixture *f, const char *traps, int64_t *number)
{
    struct task_ask a;
    CLEANUP_FREE char *script = x_asprintf("#!/bin/sh\n%s" HELD "\n", traps);
    add_task(f, "hold.sh", script);
    ask_task(&a, "hold", LIST("n01"));
    *number = start_task(f, &a);
    wait_held(f, "n01");
    assert_int_equal(left_behind(f), 1);
}

static void cancelled(struct fixture *f, const char *traps)
{
    struct cancel_answer answer;
    int64_t n;
    hold(f, traps, &n);
    assert_int_equal(batch_cancel(f->s, n, &answer, &f->e), 0);
    wait_idle(f->s);
    assert_int_equal(stats_of(f, n).by_reason[REASON_CANCELLED], 1);
    wait_left(f, 0);
}

static void test_gone_after_cancel(void **state)
{
    cancelled(*state, "");
}

/* Nothing but KILL ends it. */
static void test_gone_after_cancel_of_a_stubborn_one(void **state)
{
    cancelled(*state, "trap '' HUP INT TERM\n");
}

static void test_rights(void **state)
{
    struct fixture *f = *state;
    struct task_ask a;
    add_task(f, "stat.sh", "#!/bin/sh\nstat -c %a \"${0%/*}\" \"$0\"; ls -A \"${0%/*}\"\n");
    ask_task(&a, "stat", LIST("n01"));
    assert_output(f, run_task(f, &a), 0, "700\n700\nstat.sh\n");
}

/* --- by each shell --- */

/* As `shell -c LINE` with this on its standard input. Caller frees what it printed. */
static char *run_line(const char *const *shell, const char *line, const struct secret *input,
                      const char *script)
{
    int in[2], out[2];
    char buf[4096];
    struct strbuf b;
    strbuf_init(&b, sizeof buf * 4);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const char *argv[6] = {0};
        size_t n = 0;
        while (shell[n])
            argv[n] = shell[n], n++;
        argv[n++] = "-c";
        argv[n++] = line;
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(out[1], 2);
        execvp(argv[0], (char *const *) (uintptr_t) argv);
        _exit(126);
    }
    close(in[0]);
    close(out[1]);
    assert_int_equal(io_write_all(in[1], secret_text(input), secret_len(input)), 0);
    assert_int_equal(io_write_all(in[1], "\n", 1), 0);
    assert_int_equal(io_write_all(in[1], script, strlen(script)), 0);
    close(in[1]);
    for (ssize_t n; (n = read(out[0], buf, sizeof buf)) > 0;)
        strbuf_add(&b, buf, (size_t) n);
    close(out[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return strbuf_steal(&b);
}

static bool is_installed(const char *program)
{
    CLEANUP_FREE char *line = x_asprintf("command -v %s >/dev/null 2>&1", program);
    return system(line) == 0;
}

static const char *const shells[][3] = {
    {"dash"}, {"bash"}, {"bash", "--posix"}, {"busybox", "sh"}, {"ksh"}, {"zsh"}, {"mksh"}, {"yash"}};

static void test_shells(void **state)
{
    struct fixture *f = *state;
    static const char script[] = "#!/bin/sh\nprintf '%s|' \"$PT_v\"; cat\n";
    static const char odd[] = "a'b\"\n\\ $(x) `y` ! \xc3\xa9*";
    struct secret *input;
    struct json *values = json_object();
    size_t tried = 0;
    json_put_str(values, "v", odd);
    assert_int_equal(task_script_input(values, &input, &f->e), 0);
    json_free(values);
    CLEANUP_FREE char *way = task_script_way(TASK_INPUT_BOTH, "/bin/sh", "x.sh");
    CLEANUP_FREE char *line = task_script(way, strlen(script), false);
    CLEANUP_FREE char *wanted =
        x_asprintf("%s|{\"v\":\"a'b\\\"\\n\\\\ $(x) `y` ! \xc3\xa9*\"}\n", odd);
    for (size_t i = 0; i < ARRAY_LEN(shells); i++) {
        if (!is_installed(shells[i][0]))
            continue;
        CLEANUP_FREE char *said = run_line(shells[i], line, input, script);
        assert_string_equal(said, wanted);
        wait_left(f, 0);
        tried++;
    }
    assert_true(tried >= 2);

    /* Half of it is never run, and no shell takes a part of the script for parameters. */
    CLEANUP_FREE char *said = run_line(shells[0], line, input, "#!/bin/sh\necho ran; exit");
    assert_non_null(strstr(said, "did not arrive whole"));
    assert_null(strstr(said, "ran\n"));
    wait_left(f, 0);
    secret_unref(input);
}

/* --- where programs are forbidden --- */

/* Mounted where nobody else sees it: -1 with errno where that is not allowed. */
static int forbid_programs(const char *dir)
{
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return -1;
    return mount("muster", dir, "tmpfs", MS_NOEXEC | MS_NOSUID, "size=1m,mode=1777");
}

/* A child of its own: the namespace is of a thread, and the service has several. */
static int in_child(struct fixture *f, bool all)
{
    static const char script[] = "#!/bin/sh -e\necho \"$PT_v in ${0%/.muster-*}\"\n";
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0) {
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
    }
    CLEANUP_FREE char *tmp = io_join(f->dir, "tmp");
    static const char *const others[] = {"/tmp", "/var/tmp"};
    if (forbid_programs(tmp) != 0)
        _exit(77);
    struct secret *input;
    struct json *values = json_object();
    json_put_str(values, "v", "one");
    if (task_script_input(values, &input, NULL) != 0)
        _exit(1);
    CLEANUP_FREE char *way = task_script_way(TASK_INPUT_ENVIRONMENT, "/bin/sh -e", "x.sh");
    CLEANUP_FREE char *line = task_script(way, strlen(script), false);
    if (all) {
        for (size_t i = 0; i < ARRAY_LEN(others); i++)
            if (mount("muster", others[i], "tmpfs", MS_NOEXEC, "size=1m,mode=1777") != 0)
                _exit(77);
        setenv("TMPDIR", "/tmp", 1);
        setenv("HOME", "/var/tmp", 1);
    }
    CLEANUP_FREE char *said = run_line(shells[0], line, input, script);
    static const char wanted[] = "one in /tmp\n";
    if (strcmp(said, wanted) != 0)
        fprintf(stderr, "%s", said);
    _exit(strcmp(said, wanted) != 0);
}

static void test_no_programs_in_tmpdir(void **state)
{
    int rc = in_child(*state, false);
    if (rc == 77)
        skip();
    assert_int_equal(rc, 0);
}

/* By the interpreter of its first line, with that one's option. */
static void test_no_programs_anywhere(void **state)
{
    int rc = in_child(*state, true);
    if (rc == 77)
        skip();
    assert_int_equal(rc, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, tasks_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_gone_after_every_end),
        TEST(test_gone_after_cancel),
        TEST(test_gone_after_cancel_of_a_stubborn_one),
        TEST(test_rights),
        TEST(test_shells),
        TEST(test_no_programs_in_tmpdir),
        TEST(test_no_programs_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
