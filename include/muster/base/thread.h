/* SPDX-License-Identifier: Apache-2.0 */
/* Threads: every one but main blocks all signals, so that only main reads them. */
#ifndef MUSTER_BASE_THREAD_H
#define MUSTER_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/* Starts fn(arg) with all signals blocked and this name (at most 15 bytes). 0 or -errno. */
int thread_start(pthread_t *t, const char *name, void *(*fn)(void *), void *arg);
/* The same for one that nobody joins, with this much stack. */
int thread_start_detached(const char *name, size_t stack, void *(*fn)(void *), void *arg);

/* Sleeps on cond for at most ms; lock is held before and after. cond measures CLOCK_MONOTONIC. */
void thread_wait_ms(pthread_cond_t *cond, pthread_mutex_t *lock, int ms);

/* An eventfd that several threads may wake and one waits on. */
struct waker {
    int fd; /* poll for reading */
};
int waker_init(struct waker *w); /* 0 or -errno */
void waker_wake(struct waker *w);  /* any thread; async-signal-safe */
void waker_drain(struct waker *w); /* the waiting thread */
void waker_close(struct waker *w);

#endif
