/* SPDX-License-Identifier: Apache-2.0 */
/* The helper pool: threads are added, up to a maximum, when work waits and none is idle.
 *
 * Work that waits is in one FIFO list under the pool's lock (a leaf). A helper takes the first
 * piece, works on it without the lock, and posts it to the reactor that asked. */
#include "helpers.h"

#include "reactor.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/thread.h"

#include <string.h>

struct helpers {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct help *first, **end;
    size_t waiting;
    unsigned max, n, idle;
    pthread_t *threads;
    bool quit;
};

static void give_back(struct help *help)
{
    reactor_post(help->reactor, (struct msg){.kind = MSG_HELP, .help = help});
}

static void *helper_main(void *arg)
{
    struct helpers *h = arg;

    pthread_mutex_lock(&h->lock);
    for (;;) {
        while (!h->first && !h->quit) {
            h->idle++;
            pthread_cond_wait(&h->wake, &h->lock);
            h->idle--;
        }
        if (h->quit)
            break;
        struct help *help = h->first;
        h->first = help->next;
        if (!h->first)
            h->end = &h->first;
        h->waiting--;
        pthread_mutex_unlock(&h->lock);
        help->work(help->arg);
        give_back(help);
        pthread_mutex_lock(&h->lock);
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

static int add_thread(struct helpers *h)
{
    int rc = thread_start(&h->threads[h->n], "muster-help", helper_main, h);
    if (rc == 0)
        h->n++;
    return rc;
}

struct helpers *helpers_new(unsigned max, struct err *e)
{
    struct helpers *h = x_calloc(1, sizeof *h);
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->wake, NULL);
    h->end = &h->first;
    h->max = max;
    h->threads = x_calloc(max + 1, sizeof *h->threads);
    int rc = max ? add_thread(h) : 0;
    if (rc) {
        err_set(e, ERR_INTERNAL, "cannot start a thread: %s; free memory or raise `ulimit -u`",
                strerror(-rc));
        helpers_free(h);
        return NULL;
    }
    return h;
}

void helpers_free(struct helpers *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->quit = true;
    pthread_cond_broadcast(&h->wake);
    pthread_mutex_unlock(&h->lock);
    for (unsigned i = 0; i < h->n; i++)
        pthread_join(h->threads[i], NULL);
    while (h->first) {
        struct help *help = h->first;
        h->first = help->next;
        give_back(help);
    }
    pthread_cond_destroy(&h->wake);
    pthread_mutex_destroy(&h->lock);
    free(h->threads);
    free(h);
}

void helpers_run(struct helpers *h, struct help *help)
{
    if (!h->max) {
        help->work(help->arg);
        give_back(help);
        return;
    }
    pthread_mutex_lock(&h->lock);
    help->next = NULL;
    *h->end = help;
    h->end = &help->next;
    h->waiting++;
    /* A thread that cannot be added is no loss: there is at least one. */
    if (h->waiting > h->idle && h->n < h->max)
        (void) add_thread(h);
    pthread_cond_signal(&h->wake);
    pthread_mutex_unlock(&h->lock);
}

void help_free(struct help *help)
{
    if (help->free_arg)
        help->free_arg(help->arg);
    free(help);
}
