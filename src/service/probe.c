/* SPDX-License-Identifier: Apache-2.0 */
/* Running a probe: a child in a process group of its own, its output by a pipe into the log. */
#include "probe.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/log.h"
#include "muster/base/spawn.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/base/vec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_MAX ((size_t) 16 << 10) /* the rest is read and dropped */
#define LOOK_MS 50
#define DRAIN_ROUNDS 64
#define WHY_COLUMNS 200

extern char **environ;

static bool is_set(const struct strv *env, const char *item)
{
    size_t n = strcspn(item, "=") + 1;
    for (size_t i = 0; i < env->n; i++)
        if (strncmp(env->v[i], item, n) == 0)
            return true;
    return false;
}

/* The environment with these, each name once. */
static char **make_env(const struct strv *env)
{
    size_t n = 0, used = 0;
    while (environ[n])
        n++;
    char **all = x_array(NULL, env->n + n + 1, sizeof *all);
    for (size_t i = 0; i < n; i++)
        if (!is_set(env, environ[i]))
            all[used++] = environ[i];
    for (size_t i = 0; i < env->n; i++)
        all[used++] = env->v[i];
    all[used] = NULL;
    return all;
}

static int spawn(const char *command, const struct strv *env, int out, pid_t *pid)
{
    CLEANUP_FREE char *line = x_strdup(command);
    CLEANUP_FREE char **all = make_env(env);
    char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, line, NULL};
    const struct spawn s = {
        .file = "/bin/sh", .argv = argv, .envp = all, .in = -1, .out = out, .err = out};
    return spawn_child(&s, pid);
}

/* Takes what is there, within reason: somebody may write without an end. */
static void drain(int fd, struct strbuf *output)
{
    char buf[4096];
    for (int i = 0; i < DRAIN_ROUNDS; i++) {
        ssize_t n = read(fd, buf, sizeof buf);
        if (n <= 0)
            return;
        strbuf_add(output, buf, (size_t) n);
    }
}

/* What it said, line by line, and its last line for people; NULL: nothing. */
static char *tell_output(const struct strbuf *output, int64_t batch)
{
    char *last = NULL, *save = NULL;
    CLEANUP_FREE char *text = x_strndup(output->len ? output->s : "", output->len);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        free(last);
        last = text_clean(line);
        log_line(LOG_INFO, "probe", batch, NULL, "%s", last);
    }
    return last;
}

static char *describe(int status, bool timeout, bool left, const char *last)
{
    char *what = left      ? x_strdup("was given up")
                 : timeout ? x_asprintf("took longer than %d s", PROBE_MAX_MS / 1000)
                 : WIFSIGNALED(status)
                     ? x_asprintf("was ended by signal %d", WTERMSIG(status))
                     : x_asprintf("ended with %d", WEXITSTATUS(status));
    if (!last || !*last)
        return what;
    struct strbuf text;
    strbuf_init(&text, 0);
    strbuf_addf(&text, "%s (", what);
    text_fit(&text, last, WHY_COLUMNS, false);
    strbuf_adds(&text, ")");
    free(what);
    return strbuf_steal(&text);
}

bool probe_run(const char *command, const struct strv *env, int64_t most_ms,
               bool (*give_up)(void *ctx), void *ctx, int64_t batch, char **why)
{
    int fds[2], status = 0;
    pid_t pid;
    *why = NULL;
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) {
        *why = x_asprintf("could not be started: %s", strerror(errno));
        return false;
    }
    int rc = spawn(command, env, fds[1], &pid);
    close(fds[1]);
    if (rc != 0) {
        close(fds[0]);
        *why = x_asprintf("could not be started: %s", strerror(rc));
        return false;
    }
    struct strbuf output;
    strbuf_init(&output, OUTPUT_MAX);
    int64_t end = mono_ms(clock_system()) + most_ms;
    bool timeout = false, left = false;
    /* By its process and not by its pipe: what it left in the background may hold that. */
    while (waitpid(pid, &status, WNOHANG) == 0) {
        struct pollfd fd = {.fd = fds[0], .events = POLLIN};
        timeout = mono_ms(clock_system()) >= end;
        left = !timeout && give_up(ctx);
        if (timeout || left) {
            kill(-pid, SIGKILL);
            waitpid(pid, &status, 0);
            break;
        }
        /* Once its end of the pipe is closed, poll() would return at once. */
        if (poll(&fd, 1, LOOK_MS) > 0 && !(fd.revents & POLLIN))
            poll(NULL, 0, LOOK_MS);
        drain(fds[0], &output);
    }
    drain(fds[0], &output);
    close(fds[0]);
    CLEANUP_FREE char *last = tell_output(&output, batch);
    strbuf_free(&output);
    bool ok = !timeout && !left && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!ok)
        *why = describe(status, timeout, left, last);
    return ok;
}
