/* SPDX-License-Identifier: Apache-2.0 */
/* The screen on a real terminal: the loop over keys, signals, the parent, and what the engine commits.
 *
 * Signals are blocked and read from a signalfd, so that none is lost between two waits and none
 * interrupts curses. A key is drawn at once; what data changes, at most ten times a second, and less
 * often where the terminal takes long to write a frame. */
#include "app_private.h"
#include "parent.h"
#include "tty.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define FRAME_MS 100
#define FRAME_MAX_MS 2000
#define SLOW_FRAME_MS 50
#define KEYS_A_ROUND 64

enum outcome { RUNS, QUIT, LEAVE, TERMINAL_LOST, ORPHANED, KILLED };

struct screen {
    struct service *service;
    struct parent_link link;
    char *reset;
    struct app *app;
    struct tty *tty;
    struct surface surface;
    int signals;
    enum outcome outcome;
    int signal; /* that ended it */
    int64_t frame_gap, next_frame;
};

static int64_t now_ms(void)
{
    return mono_ms(clock_system());
}

static void resized(struct screen *s)
{
    int cols, rows;
    struct key k = {KEY_CODE_RESIZE, 0, false, NULL};

    tty_size(s->tty, &cols, &rows);
    if (cols != s->surface.cols || rows != s->surface.rows)
        surface_resize(&s->surface, cols, rows);
    app_key(s->app, &k);
}

static void frame(struct screen *s)
{
    bool repaint = s->app->repaint;

    s->app->repaint = false;
    app_draw(s->app, &s->surface);
    int64_t start = now_ms();
    tty_show(s->tty, &s->surface, repaint);
    int64_t end = now_ms();
    if (end - start > SLOW_FRAME_MS)
        s->frame_gap = s->frame_gap * 2 < FRAME_MAX_MS ? s->frame_gap * 2 : FRAME_MAX_MS;
    else
        s->frame_gap = FRAME_MS;
    s->next_frame = end + s->frame_gap;
}

/* One signal. True when it ends the screen. */
static bool take_signal(struct screen *s)
{
    struct signalfd_siginfo si;
    struct key ctrl_c = {KEY_CODE_CHAR, 'c', true, NULL};

    while (read(s->signals, &si, sizeof si) == sizeof si) {
        s->signal = (int) si.ssi_signo;
        switch (si.ssi_signo) {
        case SIGWINCH:
            resized(s);
            break;
        case SIGTSTP:
            s->app->suspend = true;
            break;
        case SIGINT:
            app_key(s->app, &ctrl_c);
            break;
        case SIGHUP:
            s->outcome = TERMINAL_LOST;
            return true;
        case SIGTERM:
        case SIGQUIT:
            s->outcome = KILLED;
            return true;
        default:
            break;
        }
    }
    return false;
}

static void take_word(struct screen *s, enum parent_word w)
{
    if (w == PARENT_GONE)
        s->outcome = ORPHANED;
    else if (w == PARENT_SUSPEND)
        s->app->suspend = true;
}

/* The terminal is the shell's until the parent hands it back. What runs goes on. */
static void suspend(struct screen *s)
{
    struct pollfd fds[2] = {{s->link.fd, POLLIN, 0}, {s->signals, POLLIN, 0}};

    s->app->suspend = false;
    tty_suspend(s->tty);
    parent_suspended(&s->link);
    while (s->outcome == RUNS) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            break;
        if ((fds[1].revents & POLLIN) && take_signal(s))
            break;
        if (!(fds[0].revents & (POLLIN | POLLHUP)))
            continue;
        enum parent_word w = parent_hear(&s->link);
        if (w == PARENT_GO)
            break;
        take_word(s, w);
    }
    s->app->suspend = false;
    if (s->outcome != RUNS)
        return;
    tty_resume(s->tty);
    resized(s);
}

/* All keys that have come, up to a number. True when there may be more. */
static bool take_keys(struct screen *s, bool *any)
{
    struct key k;

    for (int i = 0; i < KEYS_A_ROUND; i++) {
        if (!tty_key(s->tty, &k))
            return false;
        s->app->priv->burst = tty_burst(s->tty);
        app_key(s->app, &k);
        s->app->priv->burst = BURST_NONE;
        *any = true;
        if (s->app->quit || s->app->suspend)
            return true;
    }
    return true;
}

static void loop(struct screen *s)
{
    struct app *a = s->app;
    bool keyed = true, more = false;

    while (s->outcome == RUNS) {
        int64_t wait = app_tick(a);
        if (a->quit) {
            s->outcome = a->priv->leave ? LEAVE : QUIT;
            break;
        }
        if (a->suspend) {
            suspend(s);
            keyed = true;
            continue;
        }
        if (a->dirty && (keyed || now_ms() >= s->next_frame))
            frame(s);
        else if (a->dirty && s->next_frame - now_ms() < wait)
            wait = s->next_frame - now_ms();
        if (more || wait < 0)
            wait = 0;
        /* Once woken, it is enough until the next look at the store. */
        struct pollfd fds[4] = {{STDIN_FILENO, POLLIN, 0},
                                {s->signals, POLLIN, 0},
                                {s->link.fd, POLLIN, 0},
                                {a->priv->woken ? -1 : service_wake_fd(s->service), POLLIN, 0}};
        if (poll(fds, 4, (int) wait) < 0 && errno != EINTR)
            break;
        keyed = false;
        if (fds[1].revents & POLLIN) {
            if (take_signal(s))
                break;
            keyed = true;
        }
        if (fds[2].revents & (POLLIN | POLLHUP))
            take_word(s, parent_hear(&s->link));
        if (fds[3].revents & POLLIN) {
            service_wake_drain(s->service);
            app_woken(a);
        }
        if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
            s->outcome = TERMINAL_LOST;
        else if ((fds[0].revents & POLLIN) || more)
            more = take_keys(s, &keyed);
    }
}

/* Without a screen, until what runs has ended. */
static void run_on(struct screen *s)
{
    struct pollfd fds[2] = {{service_wake_fd(s->service), POLLIN, 0}, {s->signals, POLLIN, 0}};
    struct signalfd_siginfo si;

    while (!service_idle(s->service) && !service_stuck(s->service)) {
        if (poll(fds, 2, 500) < 0 && errno != EINTR)
            return;
        if (fds[0].revents & POLLIN)
            service_wake_drain(s->service);
        if ((fds[1].revents & POLLIN) && read(s->signals, &si, sizeof si) == sizeof si &&
            si.ssi_signo == SIGTERM)
            return;
        /* Bursts of commits need no attention here. */
        if (fds[0].revents & POLLIN)
            poll(&fds[1], 1, 50);
    }
}

static int finish(struct screen *s)
{
    bool idle = service_idle(s->service);

    if (s->outcome == ORPHANED)
        tty_abandon(s->tty); /* the shell has it again */
    else
        tty_close(s->tty);
    app_free(s->app);
    surface_free(&s->surface);
    s->tty = NULL;
    s->app = NULL;
    switch (s->outcome) {
    case KILLED:
        return 128 + s->signal;
    case LEAVE:
    case TERMINAL_LOST:
    case ORPHANED:
        if (idle)
            return s->outcome == LEAVE ? 0 : 128 + SIGHUP;
        if (s->outcome == LEAVE) {
            puts("What runs goes on without a screen: `muster watch` follows it, `muster cancel` "
                 "stops it.");
            fflush(stdout);
        }
        parent_leave(&s->link);
        parent_close(&s->link);
        run_on(s);
        return 0;
    default:
        return 0;
    }
}

static int open_signals(void)
{
    static const int all[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        sigaddset(&set, all[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int be_child(struct screen *s, bool read_only, struct err *e)
{
    int status = 128 + SIGHUP; /* the parent has gone already */

    s->signals = open_signals();
    if (parent_hear(&s->link) == PARENT_GO) {
        s->app = app_new(s->service, clock_system(), read_only, e);
        s->tty = s->app ? tty_open(s->reset, e) : NULL;
        if (s->tty) {
            surface_init(&s->surface, 0, 0);
            resized(s);
            loop(s);
            status = finish(s);
        } else {
            app_free(s->app);
            status = e ? -(int) e->code : 1;
        }
    }
    parent_close(&s->link);
    close(s->signals);
    return status;
}

int ui_main(struct service *service, bool read_only, struct err *e)
{
    struct screen s = {.service = service, .frame_gap = FRAME_MS};
    int status = 1, rc = tty_check(&s.reset, e);

    if (rc != 0)
        return rc;
    rc = parent_fork(&s.link, s.reset, &status, e);
    if (rc == 0)
        rc = be_child(&s, read_only, e);
    else if (rc == 1)
        rc = status;
    free(s.reset);
    return rc;
}
