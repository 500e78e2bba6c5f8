/* SPDX-License-Identifier: Apache-2.0 */
/* Theory of operation: the two talk single bytes over a socket pair. The parent holds the terminal's
 * foreground only while the child does not: it hands it over with tcsetpgrp(), takes it back when the
 * child says that it is suspended or has gone, and then stops its own process group as a terminal's
 * Ctrl-Z would. Signals that the parent gets are passed on. When the parent dies, the child reads the
 * end of the socket. When the child dies of a signal, the parent restores the terminal for it. */
#include "parent.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define TTY STDIN_FILENO

struct parent {
    int fd, signals;
    pid_t child;
    struct termios modes;
    const char *reset;
};

/* Sends this group a signal that stops it, as the terminal would; returns when it is continued. */
static void stop_group(int sig)
{
    sigset_t one;

    sigemptyset(&one);
    sigaddset(&one, sig);
    kill(0, sig);
    sigprocmask(SIG_UNBLOCK, &one, NULL);
    sigprocmask(SIG_BLOCK, &one, NULL);
}

/* A background job that wants the terminal is stopped until it is in the foreground. False when
 * nobody brings it there: the group is an orphan, which does not stop. */
static bool await_foreground(void)
{
    for (int useless = 0; tcgetpgrp(TTY) != getpgrp();) {
        int64_t before = mono_ms(clock_system());
        if (tcgetpgrp(TTY) < 0)
            return false;
        stop_group(SIGTTIN);
        if (mono_ms(clock_system()) - before < 20 && ++useless > 3)
            return false;
    }
    return true;
}

static void say(int fd, char word)
{
    ssize_t n;

    do
        n = send(fd, &word, 1, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
}

static void give_terminal(struct parent *p)
{
    tcsetpgrp(TTY, p->child);
    say(p->fd, 'G');
}

static void rescue_terminal(struct parent *p)
{
    tcsetpgrp(TTY, getpgrp());
    io_write_all(STDOUT_FILENO, p->reset, strlen(p->reset));
    tcsetattr(TTY, TCSANOW, &p->modes);
}

static void suspend(struct parent *p)
{
    tcsetpgrp(TTY, getpgrp());
    stop_group(SIGTSTP);
    await_foreground();
    give_terminal(p);
}

/* True when the child has ended, with the status. */
static bool child_ended(struct parent *p, int *status, bool wait)
{
    int st;
    pid_t got;

    do
        got = waitpid(p->child, &st, wait ? 0 : WNOHANG | WUNTRACED);
    while (got < 0 && errno == EINTR);
    if (got != p->child)
        return false;
    if (WIFSTOPPED(st)) {
        /* Somebody stopped it from outside: it is stopped and continued as one with this. */
        rescue_terminal(p);
        stop_group(SIGTSTP);
        await_foreground();
        kill(p->child, SIGCONT);
        give_terminal(p);
        return false;
    }
    if (WIFSIGNALED(st)) {
        rescue_terminal(p);
        fprintf(stderr, "muster: its screen was ended by signal %d (%s); what it ran is marked "
                "`lost` by the next muster\n", WTERMSIG(st), strsignal(WTERMSIG(st)));
    } else {
        tcsetpgrp(TTY, getpgrp());
    }
    *status = WIFSIGNALED(st) ? 128 + WTERMSIG(st) : WEXITSTATUS(st);
    return true;
}

static bool take_signal(struct parent *p, int *status)
{
    struct signalfd_siginfo si;

    if (read(p->signals, &si, sizeof si) != sizeof si)
        return false;
    switch (si.ssi_signo) {
    case SIGCHLD:
        return child_ended(p, status, false);
    case SIGTSTP:
        say(p->fd, 'T');
        return false;
    default:
        kill(p->child, (int) si.ssi_signo);
        return false;
    }
}

/* Waits until the child has ended or goes on alone. */
static int attend(struct parent *p)
{
    struct pollfd fds[2] = {{p->fd, POLLIN, 0}, {p->signals, POLLIN, 0}};
    int status = 0;

    for (;;) {
        char word = 0;
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return 1;
        if ((fds[1].revents & POLLIN) && take_signal(p, &status))
            return status;
        if (!(fds[0].revents & (POLLIN | POLLHUP)))
            continue;
        if (recv(p->fd, &word, 1, 0) <= 0) {
            child_ended(p, &status, true);
            return status;
        }
        if (word == 'S') {
            suspend(p);
        } else if (word == 'L') {
            tcsetpgrp(TTY, getpgrp());
            return 0;
        }
    }
}

static void signal_set(sigset_t *set)
{
    static const int all[] = {SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};

    sigemptyset(set);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        sigaddset(set, all[i]);
}

static int be_parent(struct parent *p, const sigset_t *before)
{
    int status;

    setpgid(p->child, p->child);
    give_terminal(p);
    status = attend(p);
    close(p->fd);
    close(p->signals);
    sigprocmask(SIG_SETMASK, before, NULL);
    return status;
}

int parent_fork(struct parent_link *link, const char *reset, int *status, struct err *e)
{
    struct parent p = {.fd = -1, .signals = -1, .reset = reset};
    int ends[2];
    sigset_t set, before, tty;

    signal_set(&set);
    tty = set;
    sigaddset(&tty, SIGTTIN);
    sigaddset(&tty, SIGTTOU);
    sigprocmask(SIG_BLOCK, &tty, &before);
    if (!await_foreground()) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        return err_set(e, ERR_VALIDATION,
                       "the screen needs to be in the foreground of its terminal; start it "
                       "without `&`");
    }
    if (tcgetattr(TTY, &p.modes) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        return err_set(e, ERR_INTERNAL, "no socket pair: %s", strerror(errno));
    }
    fflush(NULL);
    int group = getpgrp();
    p.child = fork();
    if (p.child < 0) {
        close(ends[0]);
        close(ends[1]);
        sigprocmask(SIG_SETMASK, &before, NULL);
        return err_set(e, ERR_INTERNAL, "no second process: %s", strerror(errno));
    }
    if (p.child == 0) {
        setpgid(0, 0);
        close(ends[0]);
        sigset_t chld;
        sigemptyset(&chld);
        sigaddset(&chld, SIGCHLD);
        sigprocmask(SIG_UNBLOCK, &chld, NULL);
        *link = (struct parent_link) {ends[1], group};
        return 0;
    }
    close(ends[1]);
    p.fd = ends[0];
    p.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    *status = be_parent(&p, &before);
    return 1;
}

/* --- in the child --- */

enum parent_word parent_hear(struct parent_link *l)
{
    char word = 0;
    ssize_t n;

    do
        n = recv(l->fd, &word, 1, 0);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return PARENT_GONE;
    return word == 'G' ? PARENT_GO : word == 'T' ? PARENT_SUSPEND : PARENT_NOTHING;
}

void parent_suspended(struct parent_link *l)
{
    say(l->fd, 'S');
}

void parent_leave(struct parent_link *l)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    /* The leader of a group cannot begin a session: it first joins another group of this one. */
    if (setpgid(0, l->parent_group) != 0 && setpgid(0, getsid(0)) != 0)
        setpgid(0, getpgid(getppid()));
    setsid();
    for (int fd = 0; null >= 0 && fd <= 2; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
    say(l->fd, 'L');
}

void parent_close(struct parent_link *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}
