/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps the stdout of tasks that run, up to TASK_OUTPUT_MAX of each node, until they end.
 *
 * One lock guards it all: it is held for a copy of some bytes, never while JSON is parsed, and no other
 * is taken under it. */
#include "answers.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/core/batch.h"
#include "muster/core/event.h"
#include "muster/core/task.h"

#include <pthread.h>
#include <string.h>

#define FACTS_TASK "facts"

struct heard {
    int64_t number;
    uint32_t position;
    struct strbuf out;
};
struct listened {
    int64_t number;
    bool facts;
};
struct answers {
    pthread_mutex_t lock;
    struct listened *tasks; /* every one of this process: small, and few */
    size_t n_tasks, cap_tasks;
    struct heard *nodes; /* that have said something and not ended */
    size_t n_nodes, cap_nodes;
};

struct answers *answers_new(void)
{
    struct answers *a = x_calloc(1, sizeof *a);
    pthread_mutex_init(&a->lock, NULL);
    return a;
}

void answers_free(struct answers *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->n_nodes; i++)
        strbuf_free(&a->nodes[i].out);
    pthread_mutex_destroy(&a->lock);
    free(a->nodes);
    free(a->tasks);
    free(a);
}

void answers_add(struct answers *a, int64_t number, const struct task *t)
{
    pthread_mutex_lock(&a->lock);
    X_GROW(a->tasks, a->cap_tasks, a->n_tasks + 1);
    a->tasks[a->n_tasks++] =
        (struct listened){.number = number, .facts = t->name && strcmp(t->name, FACTS_TASK) == 0};
    pthread_mutex_unlock(&a->lock);
}

static const struct listened *find_task(const struct answers *a, int64_t number)
{
    for (size_t i = a->n_tasks; i-- > 0;)
        if (a->tasks[i].number == number)
            return &a->tasks[i];
    return NULL;
}

static struct heard *find_node(struct answers *a, const struct event *ev, bool make)
{
    for (size_t i = 0; i < a->n_nodes; i++)
        if (a->nodes[i].number == ev->batch && a->nodes[i].position == ev->position)
            return &a->nodes[i];
    if (!make)
        return NULL;
    X_GROW(a->nodes, a->cap_nodes, a->n_nodes + 1);
    struct heard *h = &a->nodes[a->n_nodes++];
    *h = (struct heard){.number = ev->batch, .position = ev->position};
    strbuf_init(&h->out, TASK_OUTPUT_MAX);
    return h;
}

/* `_error`, and what else the whole answer means. */
static void judge(struct event *ev, const struct strbuf *out, bool facts)
{
    struct task_output said;
    if (out->truncated && !ev->note)
        ev->note = x_strdup("it printed more than 1 MiB: not looked at for _error");
    if (out->truncated || !out->len || !task_output_parse(out->s, out->len, &said))
        return;
    bool ended = ev->status == EXEC_SUCCESS || ev->reason == REASON_EXIT;
    if (said.error && ended) {
        free(ev->error);
        ev->error = x_strdup(said.error);
        ev->status = EXEC_FAILED;
        ev->reason = REASON_EXIT;
    } else if (facts && ev->status == EXEC_SUCCESS) {
        ev->facts = x_strndup(out->s, out->len);
    }
    task_output_clear(&said);
}

static void finish(struct answers *a, struct event *ev, bool facts)
{
    struct strbuf out;
    strbuf_init(&out, TASK_OUTPUT_MAX);
    pthread_mutex_lock(&a->lock);
    struct heard *h = find_node(a, ev, false);
    if (h) {
        strbuf_free(&out);
        out = h->out;
        *h = a->nodes[--a->n_nodes];
    }
    pthread_mutex_unlock(&a->lock);
    if (ev->len[STREAM_STDOUT])
        strbuf_add(&out, ev->data[STREAM_STDOUT], ev->len[STREAM_STDOUT]);
    out.truncated |= ev->truncated[STREAM_STDOUT];
    judge(ev, &out, facts);
    strbuf_free(&out);
}

size_t answers_take(struct answers *a, struct event *ev)
{
    size_t taken = 0;
    if (ev->kind != EVENT_OUTPUT && ev->kind != EVENT_FINISH)
        return 0;
    pthread_mutex_lock(&a->lock);
    const struct listened *t = find_task(a, ev->batch);
    bool listens = t != NULL, facts = t && t->facts;
    if (listens && ev->kind == EVENT_OUTPUT && ev->len[STREAM_STDOUT]) {
        struct strbuf *out = &find_node(a, ev, true)->out;
        taken = out->len;
        strbuf_add(out, ev->data[STREAM_STDOUT], ev->len[STREAM_STDOUT]);
        taken = out->len - taken;
    }
    pthread_mutex_unlock(&a->lock);
    if (listens && ev->kind == EVENT_FINISH)
        finish(a, ev, facts);
    return taken;
}

void answers_undo(struct answers *a, const struct event *ev, size_t taken)
{
    if (!taken)
        return;
    pthread_mutex_lock(&a->lock);
    struct heard *h = find_node(a, ev, false);
    if (h) {
        h->out.len -= taken;
        h->out.s[h->out.len] = '\0';
        h->out.truncated = false;
    }
    pthread_mutex_unlock(&a->lock);
}
