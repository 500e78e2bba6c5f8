/* SPDX-License-Identifier: Apache-2.0 */
/* Templates, and the exec transport with real processes. */
#include "rig.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/hash.h"
#include "muster/core/words.h"
#include "muster/exec/transport.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE 60 /* seconds, for a machine under load */

static const struct transport_ops *const exec_only[] = {&transport_exec, NULL};

static void run_as(struct rig *rig, const char *template, const char *node, const char *command,
                   struct settings *over, unsigned retries)
{
    struct engine_config cfg = {.fanout = 4, .max_queue = 100, .reactors = 1,
                                .stop_grace_ms = 500, .transports = exec_only};
    struct engine_batch b = {.number = 1, .command = command, .max_output = 100000,
                             .live = true, .retries = retries};
    struct engine_job job = {.position = 0, .node = node, .over = over};

    free(over->exec);
    over->exec = x_strdup(template);
    rig_start(rig, &cfg, 1);
    assert_int_equal(engine_reserve(rig->engine, 1, NULL), 0);
    engine_submit(rig->engine, &b, &job, 1);
}

static void run(struct rig *rig, const char *template, const char *node, const char *command)
{
    struct settings over;

    settings_init(&over);
    run_as(rig, template, node, command, &over, 0);
    rig_wait(rig, 1, PATIENCE);
    settings_clear(&over);
}

static void split_is(const char *text, size_t n, const char *const *want)
{
    CLEANUP_STRV struct strv words = STRV_INIT;

    assert_int_equal(words_split(text, &words, NULL), 0);
    assert_int_equal(words.n, n);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(words.v[i], want[i]);
}

static void splitting(void **state)
{
    split_is("", 0, NULL);
    split_is(" \t\n ", 0, NULL);
    split_is("a  b\tc\nd", 4, (const char *[]) {"a", "b", "c", "d"});
    split_is("'a b' \"c d\" e\\ f", 3, (const char *[]) {"a b", "c d", "e f"});
    split_is("a'b'\"c\"\\d", 1, (const char *[]) {"abcd"});
    split_is("'' \"\"", 2, (const char *[]) {"", ""});
    split_is("'\\' \"\\\\ \\\" \\$ \\` \\x\"", 2, (const char *[]) {"\\", "\\ \" $ ` \\x"});
    split_is("$HOME ~ * | > # `x` 'it'\\''s'", 8,
             (const char *[]) {"$HOME", "~", "*", "|", ">", "#", "`x`", "it's"});
    split_is("a\\\nb \"c\\\nd\"", 2, (const char *[]) {"ab", "cd"});
}

static void bad_templates(void **state)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"sh -c 'x {command}", "not closed"}, {"sh -c \"x {command}", "not closed"},
        {"sh {command} \\", "backslash"},     {"sh -c true", "no {command}"},
        {"sh {command} {command}", "2 times"}, {"sh {comand}", "{comand} is not known"},
        {"sh %x {command}", "%x is not known"}, {"sh {command} %", "% is not known"},
        {"'' {command}", "no program"},       {"", "no program"},
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e CLEANUP_ERR = ERR_INIT;

        assert_int_equal(exec_template_check(bad[i].text, &e), -ERR_VALIDATION);
        if (!strstr(e.msg, bad[i].says))
            fail_msg("\"%s\": %s", bad[i].text, e.msg);
    }
    assert_int_equal(exec_template_check("docker exec {node} sh -c {command}", NULL), 0);
    assert_int_equal(exec_template_check("x --format {{.Id}} {} {A} {command}", NULL), 0);

    struct settings s;
    struct err e CLEANUP_ERR = ERR_INIT;

    settings_init(&s);
    assert_int_equal(setting_set(&s, SETTING_EXEC, "sh -c {nod}", &e), -ERR_VALIDATION);
    assert_non_null(strstr(e.msg, "exec: \"sh -c {nod}\": {nod}"));
    assert_int_equal(setting_set(&s, SETTING_EXEC, "sh -c {command}", NULL), 0);
    settings_clear(&s);
}

static void filling(void **state)
{
    const struct template_values v = {"n 1", "h;2", "u'3", "{node} %n \"x\""};
    CLEANUP_STRV struct strv words = STRV_INIT;

    assert_int_equal(template_fill("p -%n={node} '{host}%h' {user}%u%% \"{command}\"", &v, &words,
                                   NULL), 0);
    assert_int_equal(words.n, 5);
    assert_string_equal(words.v[1], "-n 1=n 1");
    assert_string_equal(words.v[2], "h;2h;2");
    assert_string_equal(words.v[3], "u'3u'3%");
    assert_string_equal(words.v[4], "{node} %n \"x\""); /* what was filled in is not looked at */
}

static void runs(void **state)
{
    struct rig rig;

    run(&rig, "sh -c {command}", "c1", "echo \"on $MUSTER_NODE\"; echo err >&2; exit 7");
    assert_int_equal(rig.results[0].end->reason, REASON_EXIT);
    assert_int_equal(rig.results[0].end->exit_code, 7);
    assert_string_equal(rig.results[0].end->transport, "exec");
    assert_string_equal(rig.results[0].out[0], "on c1\n");
    assert_string_equal(rig.results[0].out[1], "err\n");
    rig_stop(&rig);
}

static void the_host(void **state)
{
    struct settings over;
    struct rig rig;

    settings_init(&over);
    over.host = x_strdup("a%n-%%n%x");
    run_as(&rig, "env X={host} sh -c {command}", "c1", "echo \"$X\"", &over, 0);
    rig_wait(&rig, 1, PATIENCE);
    assert_string_equal(rig.results[0].out[0], "ac1-%n%x\n");
    assert_string_equal(rig.results[0].end->host, "ac1-%n%x");
    rig_stop(&rig);
    settings_clear(&over);
}

/* Every byte that a shell, a template or printf could take for its own, once. */
static void torture(void **state)
{
    static const char node[] = "a b'c\"d\\e$f`g;h&i|j<k>l(m)n*o?p[q]r{node}s%nt#u~v!w^x\ty";
    char command[512], want[512];
    struct rig rig;

    snprintf(command, sizeof command, "printf '%%s|' \"$MUSTER_NODE\" \"$0\" 'q'\\''\"\\!$x`{user}%%n'");
    snprintf(want, sizeof want, "%s|", node);
    run(&rig, "env 'X={node}' sh -c {command}", node, command);
    assert_int_equal(rig.results[0].end->status, EXEC_SUCCESS);
    assert_memory_equal(rig.results[0].out[0], want, strlen(want));
    assert_non_null(strstr(rig.results[0].out[0], "|q'\"\\!$x`{user}%n|"));
    rig_stop(&rig);

    run(&rig, "env 'X={node}' sh -c {command}", node, "printf %s \"$X\"");
    assert_string_equal(rig.results[0].out[0], node);
    rig_stop(&rig);
}

static void not_begun(const char *template, enum reason reason, const char *says)
{
    struct rig rig;

    run(&rig, template, "c1", "echo never");
    assert_int_equal(rig.results[0].end->reason, reason);
    if (!strstr(rig.results[0].end->error, says))
        fail_msg("%s: %s", template, rig.results[0].end->error);
    assert_int_equal(rig.results[0].end->remote, REMOTE_NONE);
    assert_int_equal(rig.results[0].len[1], 0); /* what the template said is no output */
    rig_stop(&rig);
}

static void failures_of_the_template(void **state)
{
    not_begun("sh -c 'echo \"Error: no such container: c1\" >&2; exit 1' {command}",
              REASON_UNREACHABLE, "exit code 1): Error: no such container: c1");
    not_begun("sh -c 'printf \"\\033[31mred\\033[0m\\nlast\\n\" >&2; exit 127' {command}",
              REASON_UNREACHABLE, "^[[31mred^[[0m; last");
    not_begun("true {command}", REASON_UNREACHABLE, "exit code 0");
    not_begun("no-such-program-at-all {command}", REASON_UNSUPPORTED, "no-such-program-at-all");
    not_begun("sh -c {command} {user}", REASON_UNSUPPORTED, "set `user`");
    not_begun("sh -c 'x {command}", REASON_UNSUPPORTED, "not closed");
}

static void no_template(void **state)
{
    struct engine_config cfg = {.fanout = 1, .max_queue = 10, .reactors = 1,
                                .transports = exec_only};
    struct rig rig;

    rig_start(&rig, &cfg, 1);
    rig_submit(&rig, "true", NULL, 1, 1000, false);
    rig_wait(&rig, 1, PATIENCE);
    assert_int_equal(rig.results[0].end->reason, REASON_UNSUPPORTED);
    assert_non_null(strstr(rig.results[0].end->error, "set `exec`"));
    rig_stop(&rig);
}

/* The command runs away from the template's group, as it does in a container. */
#define AWAY "setsid -w sh -c {command}"

static void is_gone(pid_t pid)
{
    const struct mclock *c = clock_system();

    for (int64_t until = mono_ms(c) + PATIENCE * 1000; kill(pid, 0) == 0; usleep(5000))
        if (mono_ms(c) > until)
            fail_msg("%d still runs", (int) pid);
}

static pid_t first_pid(struct rig *rig)
{
    return (pid_t) strtol(rig->results[0].out[0], NULL, 10);
}

static void cancel_with(const char *command)
{
    struct settings over;
    struct rig rig;

    settings_init(&over);
    run_as(&rig, AWAY, "c1", command, &over, 0);
    rig_wait_output(&rig, "\n", PATIENCE);
    assert_int_equal(engine_cancel(rig.engine, 1), 1);
    rig_wait(&rig, 1, PATIENCE);
    assert_int_equal(rig.results[0].end->reason, REASON_CANCELLED);
    assert_int_equal(rig.results[0].end->remote, REMOTE_STOPPED);
    is_gone(first_pid(&rig));
    rig_stop(&rig);
    settings_clear(&over);
}

static void cancel(void **state)
{
    cancel_with("echo $$; exec sleep 300");
}

static void cancel_kills(void **state)
{
    cancel_with("trap '' TERM; echo $$; while :; do sleep 300; done");
}

static void command_timeout(void **state)
{
    struct settings over;
    struct rig rig;

    settings_init(&over);
    over.command_timeout_ms = 300;
    run_as(&rig, AWAY, "c1", "echo $$; exec sleep 300", &over, 0);
    rig_wait(&rig, 1, PATIENCE);
    assert_int_equal(rig.results[0].end->reason, REASON_TIMEOUT);
    assert_int_equal(rig.results[0].end->remote, REMOTE_STOPPED);
    is_gone(first_pid(&rig));
    rig_stop(&rig);
    settings_clear(&over);
}

/* No zombie: whatever was started has been waited for. */
static void no_child_is_left(void)
{
    const struct mclock *c = clock_system();
    siginfo_t info;

    for (int64_t until = mono_ms(c) + PATIENCE * 1000;
         waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0; usleep(5000))
        if (mono_ms(c) > until)
            fail_msg("a child is left");
    assert_int_equal(errno, ECHILD);
}

/* The command's shell has ended, but nobody could look for what it has left behind. */
static void stop_fails_and_the_shell_ends(void **state)
{
    struct settings over;
    struct rig rig;
    char dir[] = "/tmp/muster-exec-XXXXXX";

    assert_non_null(mkdtemp(dir));
    CLEANUP_FREE char *template =
        x_asprintf("sh -c 'mkdir %s/began || { touch %s/stop; while test ! -e %s/over; do "
                   "sleep 0.01; done; exit 1; }; sh -c \"$1\"; touch %s/over' x {command}",
                   dir, dir, dir, dir);
    CLEANUP_FREE char *command =
        x_asprintf("sleep 300 </dev/null >/dev/null 2>&1 & echo $!; "
                   "while test ! -e %s/stop; do sleep 0.01; done", dir);
    CLEANUP_FREE char *clean = x_asprintf("rm -r %s", dir);

    settings_init(&over);
    run_as(&rig, template, "c1", command, &over, 0);
    rig_wait_output(&rig, "\n", PATIENCE);
    engine_cancel(rig.engine, 1);
    rig_wait(&rig, 1, PATIENCE);
    assert_int_equal(rig.results[0].end->reason, REASON_CANCELLED);
    assert_int_equal(kill(first_pid(&rig), 0), 0);
    assert_int_equal(rig.results[0].end->remote, REMOTE_UNKNOWN);
    kill(first_pid(&rig), SIGKILL);
    rig_stop(&rig);
    settings_clear(&over);
    assert_int_equal(system(clean), 0);
}

/* The way to the command's place is gone: nothing is known of it. */
static void stop_fails(void **state)
{
    struct settings over;
    struct rig rig;
    char flag[] = "/tmp/muster-exec-XXXXXX";
    int fd = mkstemp(flag);
    char template[200];

    assert_true(fd >= 0);
    close(fd);
    snprintf(template, sizeof template,
             "sh -c 'test -e %s || exit 1; rm %s; exec setsid -w sh -c \"$1\"' x {command}", flag,
             flag);
    settings_init(&over);
    run_as(&rig, template, "c1", "echo $$; exec sleep 300", &over, 0);
    rig_wait_output(&rig, "\n", PATIENCE);
    engine_cancel(rig.engine, 1);
    rig_wait(&rig, 1, PATIENCE);
    assert_int_equal(rig.results[0].end->reason, REASON_CANCELLED);
    assert_int_equal(rig.results[0].end->remote, REMOTE_UNKNOWN);
    kill(first_pid(&rig), SIGKILL);
    no_child_is_left(); /* though its session has gone before it */
    rig_stop(&rig);
    settings_clear(&over);
}

static void large_output(void **state)
{
    struct rig rig;

    run(&rig, "sh -c {command}", "c1", "head -c 3000000 /dev/zero >&2; echo end");
    assert_int_equal(rig.results[0].end->status, EXEC_SUCCESS);
    assert_int_equal(rig.results[0].len[1], 100000);
    assert_true(rig.results[0].end->truncated[1]);
    assert_string_equal(rig.results[0].out[0], "end\n");
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splitting),       cmocka_unit_test(bad_templates),
        cmocka_unit_test(filling),         cmocka_unit_test(runs),
        cmocka_unit_test(torture),         cmocka_unit_test(failures_of_the_template),
        cmocka_unit_test(no_template),     cmocka_unit_test(cancel),
        cmocka_unit_test(cancel_kills),    cmocka_unit_test(command_timeout),
        cmocka_unit_test(stop_fails),      cmocka_unit_test(large_output),
        cmocka_unit_test(the_host),        cmocka_unit_test(stop_fails_and_the_shell_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
