/* SPDX-License-Identifier: Apache-2.0 */
/* The local transport: a child process on this machine, in a session and process group of its own.
 *
 * Its end is seen on a pidfd. What it wrote before is read to the end; children that it left behind
 * may hold the pipes open for ever, so after DRAIN_MS only what was there at its end still counts.
 * Stopping goes to the whole group, and lasts until the group is empty. */
#include "muster/exec/transport.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/io.h"
#include "muster/core/batch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_SIZE ((size_t) 32 << 10)
#define DRAIN_MS 100
#define POLL_MS 10 /* where there is no event to wait for */
#define SHELL "/bin/sh"

extern char **environ;

struct local {
    struct session *s;
    pid_t pid; /* and process group; 0: not started */
    int pidfd; /* -1: gone, or none on this kernel */
    bool exited, stopping;
    siginfo_t how;       /* once exited */
    int64_t drain_until; /* once exited */
    struct pipe {
        int fd;      /* -1: at its end */
        char *rest;  /* what the session did not take yet, or NULL */
        size_t at, len;
        size_t owed; /* bytes that were there when the process ended */
    } pipe[2];
};

static void *local_open(struct session *s)
{
    struct local *l = x_calloc(1, sizeof *l);
    l->s = s;
    l->pidfd = l->pipe[0].fd = l->pipe[1].fd = -1;
    return l;
}

/* In the child, between fork and exec: only what is safe there. A signal for the terminal's foreground
 * group (the terminal hung up, Ctrl-C) can reach us until setsid(), and, being blocked, would stay
 * pending and end the command afterwards: ignoring a signal throws away what is pending of it. */
static _Noreturn void become(char *const argv[], const int out[2])
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN}, fallback = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int sig = 1; sig < NSIG; sig++)
        sigaction(sig, &ignore, NULL);
    setsid();
    for (int sig = 1; sig < NSIG; sig++)
        sigaction(sig, &fallback, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null = open("/dev/null", O_RDONLY);
    if (null >= 0 && dup2(null, 0) >= 0 && dup2(out[0], 1) >= 0 && dup2(out[1], 2) >= 0) {
        closefrom(3);
        execve(SHELL, argv, environ);
    }
    _exit(127);
}

/* Returns once the child leads a group of its own, so that it can be signalled as one. */
static int spawn(pid_t *pid, const char *command, const int out[2])
{
    char *argv[] = {(char *) SHELL, (char *) "-c", (char *) command, NULL};
    int ready[2];
    char none;

    if (pipe2(ready, O_CLOEXEC) != 0)
        return errno;
    *pid = fork();
    int rc = *pid < 0 ? errno : 0;
    if (*pid == 0)
        become(argv, out); /* which closes its end */
    close(ready[1]);
    while (rc == 0 && read(ready[0], &none, 1) < 0 && errno == EINTR)
        ;
    close(ready[0]);
    return rc;
}

/* Makes the pipes: the reading ends are kept, the writing ends go to out. 0 or errno. */
static int make_pipes(struct local *l, int out[2])
{
    for (int i = 0; i < 2; i++) {
        int p[2];
        if (pipe2(p, O_CLOEXEC) != 0)
            return errno;
        l->pipe[i].fd = p[0];
        out[i] = p[1];
        int rc = io_set_nonblock(p[0]);
        if (rc)
            return -rc;
    }
    return 0;
}

static void start(struct local *l)
{
    int out[2] = {-1, -1};
    const char *user = io_user_name();
    const char *wanted = session_over(l->s)->user;

    if (wanted && strcmp(wanted, user) != 0) {
        session_end_failed(l->s, REASON_UNSUPPORTED, false,
                           "user %s is asked for, but the transport local runs commands as you (%s): "
                           "leave the user out, or use the transport ssh", wanted, user);
        return;
    }
    char *command = session_wrapped_command(l->s, "localhost", user);

    session_set_endpoint(l->s, "localhost", 0, user);
    int rc = make_pipes(l, out);
    if (!rc)
        rc = spawn(&l->pid, command, out);
    free(command);
    for (int i = 0; i < 2; i++)
        if (out[i] >= 0)
            close(out[i]);
    if (rc) {
        l->pid = 0;
        session_end_failed(l->s, REASON_INTERNAL, rc == EAGAIN || rc == ENOMEM || rc == EMFILE,
                           "cannot start %s here: %s", SHELL, strerror(rc));
        return;
    }
    session_started(l->s);
    l->pidfd = pidfd_open(l->pid, 0);
    if (l->pidfd >= 0)
        session_watch(l->s, l->pidfd, EPOLLIN);
    else
        session_timer(l->s, POLL_MS);
    for (int i = 0; i < 2; i++)
        session_watch(l->s, l->pipe[i].fd, EPOLLIN);
}

static void close_fd(struct local *l, int *fd)
{
    if (*fd < 0)
        return;
    session_unwatch(l->s, *fd);
    close(*fd);
    *fd = -1;
}

static void look_for_exit(struct local *l)
{
    if (l->exited || !l->pid)
        return;
    l->how.si_pid = 0;
    if (waitid(P_PID, (id_t) l->pid, &l->how, WEXITED | WNOHANG) != 0) {
        session_end_failed(l->s, REASON_LOST, false, "cannot wait for the process: %s",
                           strerror(errno));
        return;
    }
    if (!l->how.si_pid) {
        if (l->pidfd < 0)
            session_timer(l->s, POLL_MS);
        return;
    }
    l->exited = true;
    l->drain_until = mono_ms(session_clock(l->s)) + DRAIN_MS;
    close_fd(l, &l->pidfd);
    for (int i = 0; i < 2; i++) {
        int there = 0;
        if (l->pipe[i].fd >= 0 && ioctl(l->pipe[i].fd, FIONREAD, &there) == 0 && there > 0)
            l->pipe[i].owed = (size_t) there;
    }
}

static bool drain_over(const struct local *l)
{
    return l->exited && mono_ms(session_clock(l->s)) >= l->drain_until;
}

/* Hands on what was kept back. false: still not all of it. */
static bool deliver_rest(struct local *l, int stream)
{
    struct pipe *p = &l->pipe[stream];
    if (!p->rest)
        return true;
    p->at += session_output(l->s, stream, p->rest + p->at, p->len - p->at);
    if (p->at < p->len)
        return false;
    free(X_STEAL(p->rest));
    if (p->fd >= 0)
        session_watch(l->s, p->fd, EPOLLIN);
    return true;
}

static void keep_rest(struct local *l, struct pipe *p, const char *buf, size_t n)
{
    p->rest = x_memdup(buf, n);
    p->at = 0;
    p->len = n;
    /* Level-triggered, so it may not be watched while it is not read. */
    session_unwatch(l->s, p->fd);
}

static void pump(struct local *l, int stream)
{
    struct pipe *p = &l->pipe[stream];
    char buf[READ_SIZE];

    if (!deliver_rest(l, stream))
        return;
    while (p->fd >= 0 && (p->owed || !drain_over(l))) {
        ssize_t n = read(p->fd, buf, sizeof buf);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            p->owed = 0;
            return;
        }
        if (n <= 0) {
            p->owed = 0;
            close_fd(l, &p->fd);
            return;
        }
        p->owed -= (size_t) n < p->owed ? (size_t) n : p->owed;
        size_t took = session_output(l->s, stream, buf, (size_t) n);
        if (took < (size_t) n) {
            keep_rest(l, p, buf + took, (size_t) n - took);
            return;
        }
    }
}

static bool all_read(const struct local *l)
{
    bool over = drain_over(l);
    for (int i = 0; i < 2; i++) {
        const struct pipe *p = &l->pipe[i];
        if (p->rest || (p->fd >= 0 && (p->owed || !over)))
            return false;
    }
    return true;
}

/* Whether others of the process group are alive; the leader itself has been waited for. */
static bool group_alive(const struct local *l)
{
    return kill(-l->pid, 0) == 0 || errno != ESRCH;
}

static void end(struct local *l)
{
    if (l->stopping && group_alive(l)) {
        session_timer(l->s, POLL_MS);
        return;
    }
    if (l->how.si_code == CLD_EXITED) {
        session_end_exit(l->s, l->how.si_status);
        return;
    }
    const char *name = sigabbrev_np(l->how.si_status);
    char *number = name ? NULL : x_asprintf("%d", l->how.si_status);
    session_end_signal(l->s, name ? name : number);
    free(number);
}

static void local_step(void *priv, unsigned wake)
{
    struct local *l = priv;

    if (wake & WAKE_START)
        start(l);
    if (!l->pid)
        return;
    look_for_exit(l);
    pump(l, STREAM_STDOUT);
    pump(l, STREAM_STDERR);
    if (!l->exited)
        return;
    if (all_read(l))
        end(l);
    else if (!drain_over(l))
        session_timer(l->s, l->drain_until - mono_ms(session_clock(l->s)));
}

static void local_stop(void *priv, int sig)
{
    struct local *l = priv;

    l->stopping = true;
    if (kill(-l->pid, sig) == 0)
        return;
    if (errno == EPERM)
        session_stopped(l->s, REMOTE_RUNNING); /* a set-uid command; another signal may do */
    else if (l->exited)
        session_timer(l->s, 0);
}

static void local_close(void *priv)
{
    struct local *l = priv;

    if (l->pid && !l->exited) {
        kill(-l->pid, SIGTERM);
        waitid(P_PID, (id_t) l->pid, &l->how, WEXITED | WNOHANG);
    }
    close_fd(l, &l->pidfd);
    for (int i = 0; i < 2; i++) {
        close_fd(l, &l->pipe[i].fd);
        free(l->pipe[i].rest);
    }
    free(l);
}

const struct transport_ops transport_local = {
    .name = "local",
    .open = local_open,
    .step = local_step,
    .stop = local_stop,
    .close = local_close,
};
