/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that block all signals, and a waker over eventfd.
 *
 * The mask is set in the starting thread around pthread_create, since a thread inherits it: there
 * is no moment at which the new one could be handed a signal. */
#include "muster/base/thread.h"

#include "muster/base/alloc.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct start {
    char name[16]; /* what the kernel keeps, NUL included */
    void *(*fn)(void *);
    void *arg;
};

/* What a thread's own fault raises: blocked, it would end the process past the handler that puts the
 * terminal back. */
static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

static void *run(void *p)
{
    struct start start = *(struct start *) p;

    free(p);
    pthread_setname_np(pthread_self(), start.name);
    return start.fn(start.arg);
}

static int start_with(pthread_t *t, const pthread_attr_t *attr, const char *name,
                      void *(*fn)(void *), void *arg)
{
    struct start *start = x_calloc(1, sizeof *start);
    sigset_t all, before;
    int rc;

    snprintf(start->name, sizeof start->name, "%s", name);
    start->fn = fn;
    start->arg = arg;
    sigfillset(&all);
    for (size_t i = 0; i < ARRAY_LEN(crashes); i++)
        sigdelset(&all, crashes[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(t, attr, run, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc)
        free(start);
    return -rc;
}

int thread_start(pthread_t *t, const char *name, void *(*fn)(void *), void *arg)
{
    return start_with(t, NULL, name, fn, arg);
}

int thread_start_detached(const char *name, size_t stack, void *(*fn)(void *), void *arg)
{
    pthread_attr_t attr;
    pthread_t t;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, stack);

    int rc = start_with(&t, &attr, name, fn, arg);

    pthread_attr_destroy(&attr);
    return rc;
}

void thread_wait_ms(pthread_cond_t *cond, pthread_mutex_t *lock, int ms)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000L;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_nsec -= 1000000000L;
        t.tv_sec++;
    }
    pthread_cond_timedwait(cond, lock, &t);
}

int waker_init(struct waker *w)
{
    w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return w->fd < 0 ? -errno : 0;
}

void waker_wake(struct waker *w)
{
    int saved = errno; /* it may be called from a signal handler */
    uint64_t one = 1;

    /* EAGAIN means that the counter is full, so the reader is woken anyhow. */
    while (write(w->fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
    errno = saved;
}

void waker_drain(struct waker *w)
{
    uint64_t n;

    while (read(w->fd, &n, sizeof n) < 0 && errno == EINTR)
        ;
}

void waker_close(struct waker *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}
