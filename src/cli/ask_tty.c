/* SPDX-License-Identifier: Apache-2.0 */
/* A line from the terminal without echo.
 *
 * The kernel keeps editing the line (canonical mode). Signals that would stop or end this process are
 * blocked and read from a descriptor while a question stands: the terminal is put right first, then the
 * signal is let through; after a stop the question is asked anew. */
#include "ask_tty.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static int open_terminal(void)
{
    return open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
}

bool ask_tty_ready(void)
{
    int fd = open_terminal();
    bool ours = fd >= 0 && tcgetpgrp(fd) == getpgrp();
    if (fd >= 0)
        close(fd);
    return ours;
}

/* Echo goes off before the prompt is seen, so that nothing typed in answer to it is. */
static void show(struct ask_tty *t)
{
    tcgetattr(t->fd, &t->was);
    struct termios quiet = t->was;
    quiet.c_lflag |= ICANON | ISIG;
    if (!t->echo)
        quiet.c_lflag &= ~(tcflag_t) (ECHO | ECHONL);
    tcsetattr(t->fd, TCSAFLUSH, &quiet);
    io_write_all(t->fd, t->prompt, strlen(t->prompt));
}

static void restore(struct ask_tty *t)
{
    tcsetattr(t->fd, TCSAFLUSH, &t->was);
    io_write_all(t->fd, "\n", 1);
}

int ask_tty_open(struct ask_tty *t, const char *prompt, bool echo, bool all_signals, struct err *e)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    sigset_t set;
    memset(t, 0, sizeof *t);
    t->signal_fd = -1;
    t->fd = open_terminal();
    if (t->fd < 0)
        return err_set(e, ERR_VALIDATION, "there is no terminal to ask on");
    sigemptyset(&set);
    sigaddset(&set, SIGTSTP);
    for (size_t i = 0; all_signals && i < ARRAY_LEN(ends); i++)
        sigaddset(&set, ends[i]);
    sigprocmask(SIG_BLOCK, &set, &t->before);
    t->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    t->prompt = x_strdup(prompt);
    t->echo = echo;
    show(t);
    return 0;
}

void ask_tty_fds(const struct ask_tty *t, struct pollfd fds[2])
{
    fds[0] = (struct pollfd){.fd = t->fd, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = t->fd >= 0 ? t->signal_fd : -1, .events = POLLIN};
}

/* Lets a signal do what it does. When this goes on after it, the question is asked anew. */
static void take_signal(struct ask_tty *t)
{
    struct signalfd_siginfo si;
    while (read(t->signal_fd, &si, sizeof si) == (ssize_t) sizeof si) {
        sigset_t one, now;
        restore(t);
        secret_wipe(t->line, t->n);
        t->n = 0;
        sigemptyset(&one);
        sigaddset(&one, (int) si.ssi_signo);
        raise((int) si.ssi_signo);
        sigprocmask(SIG_UNBLOCK, &one, &now);
        sigprocmask(SIG_SETMASK, &now, NULL);
        show(t);
    }
}

/* Takes bytes up to the end of a line; what is too long is cut. */
static int take_bytes(struct ask_tty *t)
{
    for (;;) {
        char c;
        ssize_t got = read(t->fd, &c, 1);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        if (got <= 0)
            return -1;
        bool end = c == '\n';
        if (!end && t->n < sizeof t->line)
            t->line[t->n++] = c;
        secret_wipe(&c, 1);
        if (end)
            return 1;
    }
}

int ask_tty_read(struct ask_tty *t)
{
    take_signal(t);
    return take_bytes(t);
}

struct secret *ask_tty_take(struct ask_tty *t)
{
    return secret_new(t->line, t->n);
}

void ask_tty_close(struct ask_tty *t)
{
    if (t->fd < 0)
        return;
    restore(t);
    secret_wipe(t->line, sizeof t->line);
    close(t->fd);
    close(t->signal_fd);
    sigprocmask(SIG_SETMASK, &t->before, NULL);
    free(t->prompt);
    t->prompt = NULL;
    t->fd = t->signal_fd = -1;
}

struct secret *ask_tty_line(const char *prompt, struct err *e)
{
    struct ask_tty t;
    struct secret *answer = NULL;
    int rc = 0;
    if (ask_tty_open(&t, prompt, false, true, e) != 0)
        return NULL;
    while (rc == 0) {
        struct pollfd fds[2];
        ask_tty_fds(&t, fds);
        poll(fds, 2, -1);
        rc = ask_tty_read(&t);
    }
    if (rc > 0)
        answer = ask_tty_take(&t);
    else
        err_set(e, ERR_VALIDATION, "no answer: nothing was run");
    ask_tty_close(&t);
    return answer;
}
