/* SPDX-License-Identifier: Apache-2.0 */
/* A child process of a session's, from its start to its last byte.
 *
 * Its end is seen on a pidfd. What it wrote before is read to the end; children that it left behind
 * may hold the pipes open for ever, so after DRAIN_MS only what was there at its end still counts. */
#include "child.h"

#include "reap.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/io.h"
#include "muster/base/secret.h"
#include "muster/base/strbuf.h"
#include "muster/core/batch.h"
#include "muster/exec/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pty.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define READ_SIZE ((size_t) 32 << 10)
#define FEED_SIZE ((size_t) 32 << 10)
#define FEED_ROUNDS 8 /* a step: one that reads fast takes nothing from its neighbours */
#define DRAIN_MS 100
#define POLL_MS 10 /* where there is no event to wait for */
#define COLUMNS 80
#define ROWS 24

extern char **environ;

/* The child's ends. */
struct ends {
    int fd[3];
    bool pty;
};

void child_init(struct child *c, struct session *s)
{
    *c = (struct child) {.s = s, .pidfd = -1, .in = -1};
    c->pipe[0].fd = c->pipe[1].fd = -1;
}

char *child_find_program(const char *name)
{
    const char *path = getenv("PATH");

    if (strchr(name, '/'))
        return access(name, X_OK) == 0 ? x_strdup(name) : NULL;
    if (!path)
        path = "/usr/local/bin:/usr/bin:/bin";
    for (;;) {
        size_t n = strcspn(path, ":");
        char *full = n ? x_asprintf("%.*s/%s", (int) n, path, name) : x_asprintf("./%s", name);
        struct stat st;

        if (stat(full, &st) == 0 && S_ISREG(st.st_mode) && access(full, X_OK) == 0)
            return full;
        free(full);
        if (!path[n])
            return NULL;
        path += n + 1;
    }
}

/* In the child, between fork and exec: only what is safe there. A signal for the terminal's foreground
 * group (the terminal hung up, Ctrl-C) can reach us until setsid(), and, being blocked, would stay
 * pending and end the command afterwards: ignoring a signal throws away what is pending of it. */
static _Noreturn void become(const struct child_spec *spec, const struct ends *ends, int tell)
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

    bool good = !ends->pty || ioctl(ends->fd[0], TIOCSCTTY, 0) == 0;

    for (int i = 0; i < 3 && good; i++)
        good = dup2(ends->fd[i], i) >= 0;
    /* The pipe that tells stays open until the exec; where the kernel cannot mark them all, it goes. */
    if (good && close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0)
        closefrom(3);
    if (good)
        execve(spec->argv[0], spec->argv, spec->envp ? spec->envp : environ);

    int error = errno;

    if (write(tell, &error, sizeof error) < 0)
        _exit(126);
    _exit(127);
}

/* Returns once the child has become the program, so that it can be signalled as a group. */
static int start(pid_t *pid, const struct child_spec *spec, const struct ends *ends)
{
    int ready[2], error = 0;
    ssize_t n;

    if (pipe2(ready, O_CLOEXEC) != 0)
        return errno;
    *pid = fork();
    if (*pid == 0)
        become(spec, ends, ready[1]);

    int rc = *pid < 0 ? errno : 0;

    close(ready[1]);
    while (rc == 0 && (n = read(ready[0], &error, sizeof error)) < 0 && errno == EINTR)
        ;
    close(ready[0]);
    if (rc == 0 && error) {
        waitpid(*pid, NULL, 0);
        rc = error;
    }
    if (rc)
        *pid = 0;
    return rc;
}

/* Makes one pipe; ours is kept[ours], and does not block. 0 or an errno. */
static int one_pipe(int *mine, int *childs, bool reading)
{
    int p[2];

    if (pipe2(p, O_CLOEXEC) != 0)
        return errno;
    *mine = reading ? p[0] : p[1];
    *childs = reading ? p[1] : p[0];
    return -io_set_nonblock(*mine);
}

static int make_pty(struct child *c, struct ends *ends)
{
    const struct winsize size = {.ws_col = COLUMNS, .ws_row = ROWS};
    int master, slave;

    if (openpty(&master, &slave, NULL, NULL, &size) != 0)
        return errno;
    ends->pty = true;
    ends->fd[0] = ends->fd[1] = ends->fd[2] = slave;
    fcntl(slave, F_SETFD, FD_CLOEXEC);
    c->pipe[STREAM_STDOUT].fd = master;
    return -io_set_nonblock(master);
}

static int make_input(struct child *c, const struct child_spec *spec, struct ends *ends)
{
    int mine = -1, rc;

    if (!spec->feed && !spec->n_given) {
        ends->fd[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        return ends->fd[0] < 0 ? errno : 0;
    }
    rc = one_pipe(&mine, &ends->fd[0], false);
    if (rc == 0 && spec->feed) {
        c->in = mine;
        return 0;
    }
    if (rc == 0 && write(mine, spec->given, spec->n_given) != (ssize_t) spec->n_given)
        rc = EIO;
    if (mine >= 0)
        close(mine);
    return rc;
}

static int make_ends(struct child *c, const struct child_spec *spec, struct ends *ends)
{
    int rc;

    if (spec->pty)
        return make_pty(c, ends);
    rc = make_input(c, spec, ends);
    for (int i = 0; i < 2 && rc == 0; i++) {
        if (!spec->quiet) {
            rc = one_pipe(&c->pipe[i].fd, &ends->fd[i + 1], true);
        } else {
            ends->fd[i + 1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
            rc = ends->fd[i + 1] < 0 ? errno : 0;
        }
    }
    return rc;
}

static void close_ends(struct ends *ends)
{
    for (int i = 0; i < (ends->pty ? 1 : 3); i++)
        if (ends->fd[i] >= 0)
            close(ends->fd[i]);
}

static void close_fd(struct child *c, int *fd)
{
    if (*fd < 0)
        return;
    session_unwatch(c->s, *fd);
    close(*fd);
    *fd = -1;
}

static void drop_held(struct child *c)
{
    if (!c->held)
        return;
    secret_wipe(c->held, FEED_SIZE);
    free(X_STEAL(c->held));
}

static void close_all(struct child *c)
{
    close_fd(c, &c->pidfd);
    c->in = c->pty ? -1 : c->in; /* it is the same */
    close_fd(c, &c->in);
    drop_held(c);
    for (int i = 0; i < 2; i++) {
        close_fd(c, &c->pipe[i].fd);
        free(X_STEAL(c->pipe[i].rest));
    }
}

int child_spawn(struct child *c, const struct child_spec *spec)
{
    struct ends ends = {{-1, -1, -1}, false};
    int rc = make_ends(c, spec, &ends);

    c->pty = spec->pty;
    if (rc == 0)
        rc = start(&c->pid, spec, &ends);
    close_ends(&ends);
    if (rc) {
        close_all(c);
        return rc;
    }
    if (c->pty && spec->feed)
        c->in = c->pipe[STREAM_STDOUT].fd;
    c->in_line = false;
    c->pidfd = pidfd_open(c->pid, 0);
    if (c->pidfd >= 0)
        session_watch(c->s, c->pidfd, EPOLLIN);
    for (int i = 0; i < 2; i++)
        if (c->pipe[i].fd >= 0)
            session_watch(c->s, c->pipe[i].fd, EPOLLIN);
    return 0;
}

/* --- input --- */

/* What is watched of an end: a terminal is one descriptor for both ways. */
static void watch_input(struct child *c, bool on)
{
    if (!c->pty) {
        if (on)
            session_watch(c->s, c->in, EPOLLOUT);
        else
            session_unwatch(c->s, c->in);
        return;
    }

    const struct child_pipe *p = &c->pipe[STREAM_STDOUT];
    uint32_t events = (p->rest ? 0 : EPOLLIN) | (on ? EPOLLOUT : 0);

    if (p->fd >= 0 && events)
        session_watch(c->s, p->fd, events);
    else
        session_unwatch(c->s, p->fd);
}

/* No more is fed: a pipe is closed, a terminal stays. */
static void end_input(struct child *c)
{
    drop_held(c);
    if (c->pty) {
        watch_input(c, false);
        c->in = -1;
    } else {
        close_fd(c, &c->in);
    }
}

/* Takes more from the session. false: there is nothing now, or it has been closed. */
static bool more_input(struct child *c)
{
    bool end = false;

    if (!c->in_ends) {
        if (!c->held)
            c->held = x_malloc(FEED_SIZE);
        c->held_at = 0;
        c->held_len = session_input(c->s, c->held, FEED_SIZE, &end);
        if (c->held_len)
            c->in_line = c->held[c->held_len - 1] != '\n';
    } else {
        c->held_len = 0; /* the last of it has been written */
    }
    c->in_ends |= end;
    if (c->held && c->held_len)
        return true;
    drop_held(c);
    if (!c->in_ends) {
        watch_input(c, false);
        return false;
    }
    if (c->pty && c->in_line) {
        /* In the midst of a line the first only hands on what is there. */
        c->in_line = false;
        if (write(c->in, "\4", 1) < 0)
            return false;
    }
    if (c->pty && write(c->in, "\4", 1) < 0)
        return false;
    end_input(c);
    return false;
}

static void feed(struct child *c)
{
    for (int round = 0; c->in >= 0 && round < FEED_ROUNDS; round++) {
        if ((!c->held || c->held_at == c->held_len) && !more_input(c))
            return;

        ssize_t n = write(c->in, c->held + c->held_at, c->held_len - c->held_at);

        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0 && errno != EINTR) {
            end_input(c); /* nobody reads it any more */
            return;
        }
        if (n > 0) {
            secret_wipe(c->held + c->held_at, (size_t) n);
            c->held_at += (size_t) n;
        }
    }
    if (c->in >= 0)
        watch_input(c, true);
}

/* --- output --- */

static size_t take(struct child *c, int stream, const char *p, size_t n)
{
    return c->sink ? c->sink(c->ctx, stream, p, n) : session_output(c->s, stream, p, n);
}

static bool drain_over(const struct child *c)
{
    return c->exited && mono_ms(session_clock(c->s)) >= c->drain_until;
}

static void watch_output(struct child *c, struct child_pipe *p)
{
    if (c->pty)
        watch_input(c, c->in >= 0 && c->held);
    else if (p->rest)
        session_unwatch(c->s, p->fd); /* level-triggered: not watched while it is not read */
    else
        session_watch(c->s, p->fd, EPOLLIN);
}

/* Hands on what was kept back. false: still not all of it. */
static bool deliver_rest(struct child *c, int stream)
{
    struct child_pipe *p = &c->pipe[stream];

    if (!p->rest)
        return true;
    p->at += take(c, stream, p->rest + p->at, p->len - p->at);
    if (p->at < p->len)
        return false;
    free(X_STEAL(p->rest));
    if (p->fd >= 0)
        watch_output(c, p);
    return true;
}

static void at_end(struct child *c, struct child_pipe *p)
{
    p->owed = 0;
    if (c->pty) {
        c->in = -1; /* it is this descriptor */
        drop_held(c);
    }
    close_fd(c, &p->fd);
}

static void pump(struct child *c, int stream)
{
    struct child_pipe *p = &c->pipe[stream];
    char buf[READ_SIZE];

    if (!deliver_rest(c, stream))
        return;
    while (p->fd >= 0 && (p->owed || !drain_over(c))) {
        ssize_t n = read(p->fd, buf, sizeof buf);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            p->owed = 0;
            return;
        }
        if (n <= 0) { /* a terminal that nobody has open any more says EIO */
            at_end(c, p);
            return;
        }
        p->owed -= (size_t) n < p->owed ? (size_t) n : p->owed;

        size_t took = take(c, stream, buf, (size_t) n);

        if (took < (size_t) n) {
            p->rest = x_memdup(buf + took, (size_t) n - took);
            p->at = 0;
            p->len = (size_t) n - took;
            watch_output(c, p);
            return;
        }
    }
}

static bool all_read(const struct child *c)
{
    bool over = drain_over(c);

    for (int i = 0; i < 2; i++) {
        const struct child_pipe *p = &c->pipe[i];

        if (p->rest || (p->fd >= 0 && (p->owed || !over)))
            return false;
    }
    return true;
}

/* --- its end --- */

static void look_for_exit(struct child *c)
{
    if (c->exited)
        return;
    c->how.si_pid = 0;
    if (waitid(P_PID, (id_t) c->pid, &c->how, WEXITED | WNOHANG) != 0) {
        session_end_failed(c->s, REASON_LOST, false, "cannot wait for the process: %s",
                           strerror(errno));
        return;
    }
    if (!c->how.si_pid)
        return;
    c->exited = true;
    c->drain_until = mono_ms(session_clock(c->s)) + DRAIN_MS;
    close_fd(c, &c->pidfd);
    if (c->in >= 0)
        end_input(c);
    for (int i = 0; i < 2; i++) {
        int there = 0;

        if (c->pipe[i].fd >= 0 && ioctl(c->pipe[i].fd, FIONREAD, &there) == 0 && there > 0)
            c->pipe[i].owed = (size_t) there;
    }
}

bool child_step(struct child *c)
{
    if (!c->pid)
        return false;
    look_for_exit(c);
    if (!c->exited)
        feed(c);
    pump(c, STREAM_STDOUT);
    pump(c, STREAM_STDERR);
    return c->exited && all_read(c);
}

int64_t child_due(const struct child *c)
{
    int64_t now = mono_ms(session_clock(c->s));

    if (!c->pid)
        return -1;
    if (!c->exited)
        return c->pidfd < 0 ? now + POLL_MS : -1;
    return c->drain_until > now ? c->drain_until : -1;
}

int child_signal(struct child *c, int sig)
{
    if (!c->pid)
        return ESRCH;
    return kill(-c->pid, sig) == 0 ? 0 : errno;
}

bool child_group_alive(const struct child *c)
{
    return kill(-c->pid, 0) == 0 || errno != ESRCH;
}

int child_status(const struct child *c)
{
    return c->exited && c->how.si_code == CLD_EXITED ? c->how.si_status : -1;
}

void child_end_session(struct child *c)
{
    if (c->how.si_code == CLD_EXITED) {
        session_end_exit(c->s, c->how.si_status);
        return;
    }

    const char *name = sigabbrev_np(c->how.si_status);
    CLEANUP_FREE char *number = name ? NULL : x_asprintf("%d", c->how.si_status);

    session_end_signal(c->s, name ? name : number);
}

void child_close(struct child *c, int sig)
{
    if (c->pid && !c->exited) {
        kill(-c->pid, sig);
        reap_child(c->pid, false);
    }
    close_all(c);
    c->pid = 0;
}
