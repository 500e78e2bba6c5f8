/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a program that prints an inventory. */
#include "run.h"

#include "source.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STDERR_KEPT ((size_t) 8192)
#define TOLD 400     /* bytes of standard error in a message */
#define WAIT_STEP_MS 2

char *run_find(const char *name)
{
    const char *p = getenv("PATH");

    if (strchr(name, '/'))
        return access(name, X_OK) == 0 ? x_strdup(name) : NULL;
    for (p = p && *p ? p : "/usr/bin:/bin"; *p;) {
        size_t n = strcspn(p, ":");
        CLEANUP_FREE char *dir = n ? x_strndup(p, n) : x_strdup(".");
        CLEANUP_FREE char *path = io_join(dir, name);
        struct stat st;
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0)
            return X_STEAL(path);
        p += n + (p[n] == ':');
    }
    return NULL;
}

/* The environment of the child: the own one with `over` in it. */
static char **make_env(const char *const *over)
{
    struct strv v = STRV_INIT;

    for (char **have = environ; *have; have++) {
        size_t n = strcspn(*have, "=") + 1;
        bool replaced = false;
        for (size_t i = 0; over && over[i]; i++)
            replaced |= strncmp(over[i], *have, n) == 0;
        if (!replaced)
            strv_push(&v, *have);
    }
    for (size_t i = 0; over && over[i]; i++)
        strv_push(&v, over[i]);
    strv_push(&v, "");
    free(v.v[v.n - 1]);
    v.v[v.n - 1] = NULL;
    return v.v;
}

/* In the child, between fork and exec: only what may be called there. */
static void become_child(const char *path, const char *const *argv, char **env, const char *dir,
                         int out, int err_fd)
{
    sigset_t none;
    int null = open("/dev/null", O_RDWR);

    setsid(); /* no terminal to ask for a password on, and a group to stop */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (null >= 0)
        dup2(null, 0);
    dup2(out >= 0 ? out : null, 1);
    dup2(err_fd >= 0 ? err_fd : null, 2);
    close_range(3, ~0U, 0);
    if (dir && chdir(dir) != 0)
        _exit(127);
    execve(path, (char *const *) argv, env);
    _exit(127);
}

struct child {
    pid_t pid;
    int out, err_fd; /* -1 once they ended */
};

static int start(const char *path, const char *const *argv, const struct run_options *o,
                 struct child *c, struct err *e)
{
    int out[2], errs[2];
    char **env;

    if (pipe2(out, O_CLOEXEC) != 0)
        return err_set(e, ERR_VALIDATION, "cannot start %s: %s", argv[0], strerror(errno));
    if (pipe2(errs, O_CLOEXEC) != 0) {
        close(out[0]);
        close(out[1]);
        return err_set(e, ERR_VALIDATION, "cannot start %s: %s", argv[0], strerror(errno));
    }
    env = make_env(o->env);
    c->pid = fork();
    if (c->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody waits for it once this process is gone */
        become_child(path, argv, env, o->dir, out[1], errs[1]);
    }
    for (size_t i = 0; env[i]; i++)
        free(env[i]);
    free(env);
    close(out[1]);
    close(errs[1]);
    c->out = out[0];
    c->err_fd = errs[0];
    if (c->pid > 0)
        return 0;
    close(out[0]);
    close(errs[0]);
    return err_set(e, ERR_VALIDATION, "cannot start %s: %s", argv[0], strerror(errno));
}

static void take(int *fd, struct strbuf *into)
{
    char buf[65536];
    ssize_t n = read(*fd, buf, sizeof buf);

    if (n > 0) {
        strbuf_add(into, buf, (size_t) n);
    } else if (n == 0 || errno != EINTR) {
        close(*fd);
        *fd = -1;
    }
}

/* Reads both until they end. false: the time is over, or it prints too much. */
static bool read_all(struct child *c, struct strbuf *out, struct strbuf *errs, int64_t until)
{
    while ((c->out >= 0 || c->err_fd >= 0) && !out->truncated) {
        struct pollfd p[2] = {{c->out, POLLIN, 0}, {c->err_fd, POLLIN, 0}};
        int64_t left = until - mono_ms(clock_system());
        if (left <= 0)
            return false;
        if (poll(p, 2, (int) left) <= 0)
            continue;
        if (p[0].revents)
            take(&c->out, out);
        if (p[1].revents)
            take(&c->err_fd, errs);
    }
    return !out->truncated;
}

/* It may have closed its output and go on. */
static bool reap(pid_t pid, int64_t until, int *status)
{
    while (waitpid(pid, status, WNOHANG) == 0) {
        if (mono_ms(clock_system()) >= until)
            return false;
        poll(NULL, 0, WAIT_STEP_MS);
    }
    return true;
}

static int ended_badly(const char *name, int status, const struct strbuf *errs, struct err *e)
{
    size_t from = errs->len > TOLD ? errs->len - TOLD : 0;
    CLEANUP_FREE char *tail = x_strdup(errs->s + from), *clean = NULL;

    for (char *s = tail; *s; s++)
        if (*s == '\n')
            *s = s[1] ? ' ' : '\0';
    clean = text_clean(tail);
    if (WIFSIGNALED(status))
        return err_set(e, ERR_VALIDATION, "%s was ended by signal %d%s%s", name, WTERMSIG(status),
                       *clean ? ": " : "", clean);
    if (WEXITSTATUS(status) == 127 && !*clean)
        return err_set(e, ERR_VALIDATION, "%s cannot be started", name);
    return err_set(e, ERR_VALIDATION, "%s ended with exit code %d%s%s", name, WEXITSTATUS(status),
                   *clean ? ": " : "", clean);
}

int run_program(const char *const *argv, const struct run_options *o, struct strbuf *out,
                struct err *e)
{
    int64_t timeout = o->timeout_ms ? o->timeout_ms : RUN_TIMEOUT_MS;
    int64_t until = mono_ms(clock_system()) + timeout;
    CLEANUP_FREE char *path = run_find(argv[0]);
    struct child c = {-1, -1, -1};
    struct strbuf errs;
    int status = 0, rc;
    bool whole;

    if (!path)
        return err_set(e, ERR_VALIDATION, "there is no program %s", argv[0]);
    rc = start(path, argv, o, &c, e);
    if (rc)
        return rc;
    strbuf_init(&errs, STDERR_KEPT);
    whole = read_all(&c, out, &errs, until) && reap(c.pid, until, &status);
    if (!whole) {
        kill(-c.pid, SIGKILL);
        kill(c.pid, SIGKILL);
        while (waitpid(c.pid, &status, 0) < 0 && errno == EINTR)
            continue;
    }
    if (c.out >= 0)
        close(c.out);
    if (c.err_fd >= 0)
        close(c.err_fd);
    if (whole && o->exit_code && WIFEXITED(status))
        *o->exit_code = WEXITSTATUS(status);
    if (out->truncated)
        rc = err_set(e, ERR_VALIDATION, "%s printed more than %zu MiB", argv[0], out->max >> 20);
    else if (!whole)
        rc = err_set(e, ERR_VALIDATION, "%s did not end within %lld s, and was stopped", argv[0],
                     (long long) (timeout / 1000));
    else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        rc = ended_badly(argv[0], status, &errs, e);
    else if (memchr(out->s, '\0', out->len))
        rc = err_set(e, ERR_VALIDATION, "%s printed a NUL byte: this is no text", argv[0]);
    else if (o->said)
        strbuf_add(o->said, errs.s, errs.len);
    strbuf_free(&errs);
    return rc;
}

int run_detached(const char *const *argv)
{
    char **env = make_env(NULL);
    pid_t pid = fork();

    if (pid == 0) {
        /* A child of a child: init takes it over, and no one here has to wait. */
        setsid();
        if (fork() == 0)
            become_child(argv[0], argv, env, NULL, -1, -1);
        _exit(0);
    }
    for (size_t i = 0; env[i]; i++)
        free(env[i]);
    free(env);
    if (pid < 0)
        return -errno;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    return 0;
}
