/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the user. One lock guards the list, a leaf; who asks waits on a condition and looks a
 * few times a second whether anybody still wants the answer. */
#include "muster/exec/ask.h"

#include "list.h"

#include "muster/base/alloc.h"
#include "muster/base/secret.h"
#include "muster/base/thread.h"

#include <pthread.h>
#include <time.h>

#define LOOK_MS 100

struct asked {
    struct link link;
    struct question q;
    bool answered;
    struct secret *answer;
};

struct asker {
    int refs; /* atomic */
    pthread_mutex_t lock;
    pthread_cond_t answered;
    struct link waiting; /* the oldest first */
    uint64_t last_id;
    bool closed;
    void (*wake)(void *ctx);
    void *ctx;
};

struct asker *asker_new(void (*wake)(void *ctx), void *ctx)
{
    struct asker *a = x_calloc(1, sizeof *a);
    pthread_condattr_t attr;

    a->refs = 1;
    a->wake = wake;
    a->ctx = ctx;
    link_init(&a->waiting);
    pthread_mutex_init(&a->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&a->answered, &attr);
    pthread_condattr_destroy(&attr);
    return a;
}

struct asker *asker_ref(struct asker *a)
{
    if (a)
        __atomic_add_fetch(&a->refs, 1, __ATOMIC_RELAXED);
    return a;
}

void asker_unref(struct asker *a)
{
    if (!a || __atomic_sub_fetch(&a->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    pthread_cond_destroy(&a->answered);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

void question_clear(struct question *q)
{
    free(q->about);
    free(q->text);
    *q = (struct question) {0};
}

bool asker_next(struct asker *a, struct question *out)
{
    bool there = false;

    pthread_mutex_lock(&a->lock);
    for (struct link *l = a->waiting.next; l != &a->waiting && !there; l = l->next) {
        const struct asked *asked = LINK_OF(l, struct asked, link);

        there = !asked->answered;
        if (there)
            *out = (struct question) {asked->q.id, x_strdup(asked->q.about),
                                      x_strdup(asked->q.text), asked->q.echo};
    }
    pthread_mutex_unlock(&a->lock);
    return there;
}

void asker_answer(struct asker *a, uint64_t id, struct secret *answer)
{
    pthread_mutex_lock(&a->lock);
    for (struct link *l = a->waiting.next; l != &a->waiting; l = l->next) {
        struct asked *asked = LINK_OF(l, struct asked, link);

        if (asked->q.id != id || asked->answered)
            continue;
        asked->answered = true;
        asked->answer = secret_ref(answer);
    }
    pthread_cond_broadcast(&a->answered);
    pthread_mutex_unlock(&a->lock);
}

void asker_close(struct asker *a)
{
    pthread_mutex_lock(&a->lock);
    a->closed = true;
    pthread_cond_broadcast(&a->answered);
    pthread_mutex_unlock(&a->lock);
}

struct secret *asker_ask(struct asker *a, const char *about, const char *text, bool echo,
                         bool (*gone)(void *ctx), void *ctx)
{
    if (!a)
        return NULL;

    struct asked *asked = x_calloc(1, sizeof *asked);

    link_init(&asked->link);
    asked->q.about = x_strdup(about);
    asked->q.text = x_strdup(text);
    asked->q.echo = echo;
    pthread_mutex_lock(&a->lock);
    asked->q.id = ++a->last_id;
    link_append(&a->waiting, &asked->link);
    /* Under the lock, so that after asker_close() nobody is woken any more. */
    if (!a->closed)
        a->wake(a->ctx);
    while (!a->closed && !asked->answered && !gone(ctx))
        thread_wait_ms(&a->answered, &a->lock, LOOK_MS);
    link_remove(&asked->link);
    pthread_mutex_unlock(&a->lock);

    struct secret *answer = asked->answer;

    question_clear(&asked->q);
    free(asked);
    return answer;
}
