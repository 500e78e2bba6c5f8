/* SPDX-License-Identifier: Apache-2.0 */
/* The engine with its threads and the local transport: real processes. */
#include "rig.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/hash.h"
#include "muster/base/io.h"
#include "muster/core/batch.h"
#include "muster/exec/transport.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE 60 /* seconds, for a machine under load */

static const struct transport_ops *const local_only[] = {&transport_local, NULL};

static struct engine_config config(unsigned fanout)
{
    return (struct engine_config){.fanout = fanout,
                                  .max_queue = 1000,
                                  .reactors = 2,
                                  .stop_grace_ms = 500,
                                  .transports = local_only};
}

static void run_one(struct rig *rig, const char *command, const struct settings *over,
                    uint64_t max_output)
{
    struct engine_config cfg = config(4);
    rig_start(rig, &cfg, 1);
    rig_submit(rig, command, over, 1, max_output, false);
    rig_wait(rig, 1, PATIENCE);
    assert_int_equal(rig->results[0].claims, 1);
    assert_int_equal(rig->results[0].ends, 1);
}

/* How many processes have this text in their command line, ourselves left out. */
static size_t processes_with(const char *text)
{
    DIR *dir = opendir("/proc");
    struct dirent *d;
    size_t found = 0;

    assert_non_null(dir);
    while ((d = readdir(dir))) {
        char path[300], buf[4096];
        if (!isdigit((unsigned char) d->d_name[0]) || atoi(d->d_name) == getpid())
            continue;
        snprintf(path, sizeof path, "/proc/%s/cmdline", d->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        ssize_t n = read(fd, buf, sizeof buf);
        close(fd);
        found += n > 0 && memmem(buf, (size_t) n, text, strlen(text)) != NULL;
    }
    closedir(dir);
    return found;
}

static void wait_for_processes(const char *text, size_t want)
{
    const struct mclock *c = clock_system();
    int64_t until = mono_ms(c) + PATIENCE * 1000;

    while (mono_ms(c) < until) {
        if (processes_with(text) == want)
            return;
        usleep(5000);
    }
    fail_msg("%zu processes have \"%s\" and not %zu", processes_with(text), text, want);
}

static void marker(char out[40])
{
    char hex[17];
    random_hex(hex, 8);
    snprintf(out, 40, "muster-mark-%s", hex);
}

static void echo_200(void **state)
{
    struct engine_config cfg = config(16);
    struct rig rig;

    rig_start(&rig, &cfg, 200);
    rig_submit(&rig, "echo \"hello $MUSTER_NODE\"; echo oops >&2", NULL, 200, 1000, false);
    rig_wait(&rig, 200, PATIENCE);
    for (size_t i = 0; i < 200; i++) {
        const struct rig_result *r = &rig.results[i];
        char want[40];
        snprintf(want, sizeof want, "hello n%zu\n", i);
        assert_int_equal(r->ends, 1);
        assert_int_equal(r->end->status, EXEC_SUCCESS);
        assert_int_equal(r->end->exit_code, 0);
        assert_int_equal(r->end->attempts, 1);
        assert_null(r->end->error);
        assert_string_equal(r->end->transport, "local");
        assert_string_equal(r->end->host, "localhost");
        assert_string_equal(r->out[0], want);
        assert_string_equal(r->out[1], "oops\n"); /* the token's line is gone */
    }
    rig_stop(&rig);
}

static void exit_code(void **state)
{
    struct rig rig;
    run_one(&rig, "exit 7", NULL, 1000);
    assert_int_equal(rig.results[0].end->reason, REASON_EXIT);
    assert_int_equal(rig.results[0].end->exit_code, 7);
    assert_string_equal(rig.results[0].end->error, "exit code 7");
    rig_stop(&rig);
}

static void exit_by_signal(void **state)
{
    struct rig rig;
    run_one(&rig, "printf before; kill -s KILL $$", NULL, 1000);
    assert_int_equal(rig.results[0].end->status, EXEC_FAILED);
    assert_int_equal(rig.results[0].end->reason, REASON_SIGNAL);
    assert_string_equal(rig.results[0].end->signal, "KILL");
    assert_int_equal(rig.results[0].end->exit_code, -1);
    assert_string_equal(rig.results[0].out[0], "before");
    rig_stop(&rig);
}

/* The line is the user's own, byte for byte, whatever is in it. */
static void exact_line(void **state)
{
    struct rig rig;
    run_one(&rig,
            "printf '%s|' 'a\\\\b' \"it's\" '!x' \"$HOME\" >/dev/null\n"
            "printf 'two\\n'; echo \\\\",
            NULL, 1000);
    assert_int_equal(rig.results[0].end->status, EXEC_SUCCESS);
    assert_string_equal(rig.results[0].out[0], "two\n\\\n");
    rig_stop(&rig);
}

static void large_output(void **state)
{
    struct rig rig;
    run_one(&rig, "head -c 5000000 /dev/zero | tr '\\0' x; head -c 5000000 /dev/zero >&2", NULL,
            (uint64_t) 10 << 20);
    const struct rig_result *r = &rig.results[0];
    assert_int_equal(r->end->status, EXEC_SUCCESS);
    assert_int_equal(r->len[0], 5000000);
    assert_int_equal(r->len[1], 5000000);
    assert_false(r->end->truncated[0] || r->end->truncated[1]);
    assert_true(r->outputs > 1);
    assert_true(r->end->len[0] <= 65536 && r->end->len[1] <= 65536);
    for (size_t i = 0; i < r->len[0]; i++)
        if (r->out[0][i] != 'x')
            fail_msg("byte %zu is not what was written", i);
    rig_stop(&rig);
}

static void capped_output(void **state)
{
    struct rig rig;
    run_one(&rig, "head -c 3000000 /dev/zero; echo end >&2; exit 3", NULL, 100000);
    const struct rig_result *r = &rig.results[0];
    assert_int_equal(r->end->exit_code, 3);
    assert_int_equal(r->len[0], 100000);
    assert_true(r->end->truncated[0]);
    assert_false(r->end->truncated[1]);
    assert_string_equal(r->out[1], "end\n");
    rig_stop(&rig);
}

static void command_timeout(void **state)
{
    struct settings over;
    char mark[40], *command;
    struct rig rig;

    marker(mark);
    command = x_asprintf("echo begun; sleep 300; : %s", mark);
    settings_init(&over);
    over.command_timeout_ms = 300;
    run_one(&rig, command, &over, 1000);
    const struct event *end = rig.results[0].end;
    assert_int_equal(end->reason, REASON_TIMEOUT);
    assert_string_equal(end->error, "command timed out after 0.3s");
    assert_int_equal(end->remote, REMOTE_STOPPED);
    assert_true(end->duration_ms >= 300);
    assert_string_equal(rig.results[0].out[0], "begun\n");
    wait_for_processes(mark, 0);
    rig_stop(&rig);
    settings_clear(&over);
    free(command);
}

static void cancel_stops(const char *fmt_command, size_t n)
{
    struct engine_config cfg = config(4);
    char mark[40], *command;
    struct rig rig;

    marker(mark);
    command = x_asprintf("%s : %s", fmt_command, mark);
    rig_start(&rig, &cfg, n);
    rig_submit(&rig, command, NULL, n, 1000, true);
    rig_wait_output(&rig, "begun", PATIENCE);
    size_t running = engine_cancel(rig.engine, 1);
    assert_true(running >= 1 && running <= 4);
    rig_wait(&rig, running, PATIENCE);
    for (size_t i = 0; i < running; i++) {
        const struct event *end = rig.results[i].end;
        assert_int_equal(end->reason, REASON_CANCELLED);
        assert_string_equal(end->error, "Cancelled by user");
        assert_int_equal(end->remote, i == 0 ? REMOTE_STOPPED : end->remote);
    }
    wait_for_processes(mark, 0);
    struct engine_counts counts;
    engine_counts(rig.engine, &counts);
    assert_int_equal(counts.queued, 0);
    rig_stop(&rig);
    free(command);
}

static void cancel(void **state)
{
    cancel_stops("echo begun; sleep 300;", 10);
}

/* TERM is ignored by the shell and its child, so only KILL ends it. */
static void cancel_kills(void **state)
{
    cancel_stops("trap '' TERM; echo begun; sleep 300; sleep 300;", 1);
}

/* The shell goes at TERM, but leaves one that ignores it. */
static void cancel_group(void **state)
{
    cancel_stops("sh -c 'trap \"\" TERM; echo begun; while :; do sleep 300; done' & wait;", 1);
}

/* As run_one(), with whatever a batch may ask for. */
static void run_batch(struct rig *rig, struct engine_batch b)
{
    struct engine_config cfg = config(4);
    struct engine_job job = {.position = 0, .node = "n0"};

    b.number = 1;
    b.max_output = 4 << 20;
    rig_start(rig, &cfg, 1);
    assert_int_equal(engine_reserve(rig->engine, 1, NULL), 0);
    engine_submit(rig->engine, &b, &job, 1);
    rig_wait(rig, 1, PATIENCE);
}

static char *input_file(size_t n)
{
    char *path = x_strdup("/tmp/muster-input-XXXXXX");
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    for (size_t i = 0; i < n; i += 10)
        assert_int_equal(write(fd, "123456789\n", 10), 10);
    close(fd);
    return path;
}

static void input(void **state)
{
    char *path = input_file(1000000);
    struct rig rig;

    run_batch(&rig, (struct engine_batch) {.command = "cat", .stdin_path = path});
    assert_int_equal(rig.results[0].end->status, EXEC_SUCCESS);
    assert_int_equal(rig.results[0].len[0], 1000000);
    assert_memory_equal(rig.results[0].out[0] + 999980, "123456789\n123456789\n", 20);
    rig_stop(&rig);

    /* One that reads only some of it is none the worse, nor one that reads nothing. */
    run_batch(&rig, (struct engine_batch) {.command = "head -n 1; exit 3", .stdin_path = path});
    assert_int_equal(rig.results[0].end->exit_code, 3);
    assert_string_equal(rig.results[0].out[0], "123456789\n");
    rig_stop(&rig);
    run_batch(&rig, (struct engine_batch) {.command = "sleep 0.2; echo a", .stdin_path = path});
    assert_string_equal(rig.results[0].out[0], "a\n");
    rig_stop(&rig);
    unlink(path);
    free(path);
}

/* Longer than what goes inline, with an input of its own behind it. */
static void long_line(void **state)
{
    char *path = input_file(10), *command, *x = x_malloc(100001);
    struct rig rig;

    memset(x, 'x', 100000);
    x[100000] = '\0';
    command = x_asprintf(": %s; cat; exit 4", x);
    run_batch(&rig, (struct engine_batch) {.command = command, .stdin_path = path});
    assert_int_equal(rig.results[0].end->exit_code, 4);
    assert_string_equal(rig.results[0].out[0], "123456789\n");
    rig_stop(&rig);
    unlink(path);
    free(path);
    free(command);
    free(x);
}

static void terminal(void **state)
{
    char *path = input_file(20);
    struct rig rig;

    run_batch(&rig, (struct engine_batch) {
                        .command = "test -t 0 && test -t 1 && test -t 2 && stty size && tty >&2; "
                                   "stty -echo; cat; exit 6",
                        .pty = true, .stdin_path = path});
    assert_int_equal(rig.results[0].end->exit_code, 6);
    assert_int_equal(rig.results[0].len[1], 0);
    /* What is fed before echoing is off may be echoed between the two. */
    assert_non_null(strstr(rig.results[0].out[0], "24 80\r\n"));
    assert_non_null(strstr(rig.results[0].out[0], "/dev/pts/"));
    assert_non_null(strstr(rig.results[0].out[0], "123456789\r\n123456789\r\n"));
    assert_null(strstr(rig.results[0].out[0], "muster-"));
    rig_stop(&rig);

    /* It has an end even where nothing is put in. */
    run_batch(&rig, (struct engine_batch) {.command = "cat; echo end", .pty = true});
    assert_non_null(strstr(rig.results[0].out[0], "end\r\n"));
    rig_stop(&rig);
    unlink(path);
    free(path);
}

static void background_child(void **state)
{
    struct rig rig;

    run_one(&rig, "sleep 60 & echo $!", NULL, 1000);
    assert_int_equal(rig.results[0].end->status, EXEC_SUCCESS);
    assert_true(rig.results[0].end->duration_ms < 30000);
    /* It is left alone, as a login shell would. */
    pid_t child = (pid_t) strtol(rig.results[0].out[0], NULL, 10);
    assert_true(child > 1);
    assert_int_equal(kill(child, SIGKILL), 0);
    rig_stop(&rig);
}

/* One that floods its reactor takes nothing from its neighbours there, and no memory. */
static void flood(void **state)
{
    struct engine_config cfg = config(4);
    struct rig rig;

    cfg.reactors = 1;
    rig_start(&rig, &cfg, 20);
    rig_submit(&rig, "if [ $MUSTER_NODE = n0 ]; then exec yes; fi; echo hi", NULL, 20, 100000,
               true);
    rig_wait_output(&rig, "y\ny\n", PATIENCE);
    rig_wait_left(&rig, 1, PATIENCE);
    assert_int_equal(engine_cancel(rig.engine, 1), 1);
    rig_wait(&rig, 20, PATIENCE);
    assert_int_equal(rig.results[0].end->remote, REMOTE_STOPPED);
    assert_int_equal(rig.results[0].len[0], 100000);
    assert_true(rig.results[0].end->truncated[0]);
    for (size_t i = 1; i < 20; i++)
        assert_string_equal(rig.results[i].out[0], "hi\n");
    rig_stop(&rig);
}

static void unknown_transport(void **state)
{
    struct settings over;
    struct rig rig;

    settings_init(&over);
    over.transport = x_strdup("carrier-pigeon");
    run_one(&rig, "true", &over, 1000);
    assert_int_equal(rig.results[0].end->reason, REASON_UNSUPPORTED);
    assert_non_null(strstr(rig.results[0].end->error, "carrier-pigeon"));
    rig_stop(&rig);
    settings_clear(&over);
}

static void abort_all(void **state)
{
    struct engine_config cfg = config(4);
    struct engine_counts counts;
    char mark[40], *command;
    struct rig rig;

    marker(mark);
    command = x_asprintf("echo begun; sleep 300; : %s", mark);
    rig_start(&rig, &cfg, 4);
    rig_submit(&rig, command, NULL, 4, 1000, true);
    rig_wait_output(&rig, "begun", PATIENCE);
    engine_abort(rig.engine);
    engine_counts(rig.engine, &counts);
    assert_int_equal(counts.running, 0);
    rig_wait(&rig, 4, PATIENCE);
    for (size_t i = 0; i < 4; i++) {
        /* Only of the first it is known that it had begun. */
        assert_true(rig.results[i].end->reason == REASON_LOST ||
                    (i && rig.results[i].end->reason == REASON_SKIPPED));
    }
    wait_for_processes(mark, 0);
    rig_stop(&rig);
    free(command);
}

/* Freeing an engine while it works: nothing hangs, leaks or crashes. */
static void free_busy(void **state)
{
    for (int i = 0; i < 20; i++) {
        struct engine_config cfg = config(8);
        struct rig rig;
        rig_start(&rig, &cfg, 50);
        rig_submit(&rig, "head -c 200000 /dev/zero", NULL, 50, 1 << 20, false);
        if (i % 2)
            rig_wait(&rig, 1, PATIENCE);
        rig_stop(&rig);
    }
}

static void too_many_files(void **state)
{
    struct engine_config cfg = config(FANOUT_MAX);
    struct event_sink sink = {NULL, NULL};
    struct rlimit was, low;
    struct err e = ERR_INIT;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    pid_t pid = fork();
    if (pid == 0) {
        low = (struct rlimit){256, 1024};
        if (setrlimit(RLIMIT_NOFILE, &low) != 0)
            _exit(2);
        struct engine *engine = engine_new(&cfg, &sink, &e);
        bool ok = !engine && e.code == ERR_INTERNAL && strstr(e.msg, "10000") &&
                  strstr(e.msg, "40288") && strstr(e.msg, "1024") && strstr(e.msg, "184");
        _exit(ok ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* How long one local command takes from a fresh engine to its end. A bound far above what it
 * needs, against a wait that slipped in somewhere. */
static void start_is_quick(void **state)
{
    const struct mclock *c = clock_system();
    int64_t best = INT64_MAX;

    for (int i = 0; i < 5; i++) {
        int64_t from = mono_ms(c);
        struct rig rig;
        run_one(&rig, "true", NULL, 1000);
        rig_stop(&rig);
        if (mono_ms(c) - from < best)
            best = mono_ms(c) - from;
    }
    print_message("engine, one local command, end: %lld ms\n", (long long) best);
    assert_true(best < 2000);
}

/* Variables, folder, input and a long line together, on 50 at once. */
static void fed(void **state)
{
    enum { N = 50 };
    struct engine_config cfg = config(16);
    CLEANUP_STRV struct strv env = STRV_INIT;
    char path[] = "/tmp/muster-stdin-XXXXXX", text[70000];
    char *command = x_malloc(100200);
    struct engine_job jobs[N];
    struct rig rig;
    int fd = mkstemp(path);

    memset(text, 'i', sizeof text);
    assert_int_equal(io_write_all(fd, text, sizeof text), 0);
    strv_push(&env, "MINE=one\ntwo");
    int head = sprintf(command, "pwd; echo \"$MINE\"; wc -c; : ");
    memset(command + head, 'x', 100000);
    command[head + 100000] = '\0';
    struct engine_batch b = {.number = 1, .command = command, .max_output = 1000, .env = &env,
                             .chdir = "/usr", .stdin_fd = fd, .progress = true};
    for (size_t i = 0; i < N; i++)
        jobs[i] = (struct engine_job){.position = (uint32_t) i, .node = "n"};
    rig_start(&rig, &cfg, N);
    assert_int_equal(engine_reserve(rig.engine, N, NULL), 0);
    engine_submit(rig.engine, &b, jobs, N);
    rig_wait(&rig, N, PATIENCE);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(rig.results[i].end->status, EXEC_SUCCESS);
        assert_string_equal(rig.results[i].out[0], "/usr\none\ntwo\n70000\n");
        assert_null(rig.results[i].out[1]);
    }
    rig_stop(&rig);
    close(fd);
    unlink(path);
    free(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fed),
        cmocka_unit_test(echo_200),        cmocka_unit_test(exit_code),
        cmocka_unit_test(exit_by_signal),  cmocka_unit_test(exact_line),
        cmocka_unit_test(large_output),    cmocka_unit_test(capped_output),
        cmocka_unit_test(command_timeout), cmocka_unit_test(cancel),
        cmocka_unit_test(cancel_kills),    cmocka_unit_test(cancel_group),
        cmocka_unit_test(flood),
        cmocka_unit_test(input),           cmocka_unit_test(long_line),
        cmocka_unit_test(terminal),
        cmocka_unit_test(background_child), cmocka_unit_test(unknown_transport),
        cmocka_unit_test(abort_all),       cmocka_unit_test(free_busy),
        cmocka_unit_test(too_many_files),  cmocka_unit_test(start_is_quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
