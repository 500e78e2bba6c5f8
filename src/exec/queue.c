/* SPDX-License-Identifier: Apache-2.0 */
/* FIFO over batches, slots, reservations. */
#include "queue.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/secret.h"
#include "muster/exec/copy.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define TAKEN UINT_MAX

void queue_init(struct queue *q, size_t fanout, size_t max_queue)
{
    memset(q, 0, sizeof *q);
    link_init(&q->batches);
    q->fanout = fanout;
    q->max_queue = max_queue;
}

static void job_clear(struct job *job)
{
    free(job->node);
    job->node = NULL;
    settings_clear(&job->base);
    settings_clear(&job->over);
}

static void batch_free(struct run_batch *b)
{
    link_remove(&b->link);
    for (size_t i = 0; i < b->n; i++)
        job_clear(&b->jobs[i]);
    free(b->jobs);
    free(b->keys);
    free(b->in_key);
    free(b->dropped);
    free(b->command);
    free(b->ssh_config);
    strv_clear(&b->ssh_options);
    strv_clear(&b->env);
    free(b->chdir);
    free(b->stdin_path);
    if (b->stdin_fd >= 0)
        close(b->stdin_fd);
    copy_files_unref(b->copy);
    secret_unref(b->password);
    secret_unref(b->become_password);
    secret_unref(b->input_secret);
    free(b);
}

void queue_clear(struct queue *q)
{
    while (!link_empty(&q->batches))
        batch_free(LINK_OF(q->batches.next, struct run_batch, link));
}

int queue_reserve(struct queue *q, size_t n, struct err *e)
{
    size_t busy = q->claimed + q->held + q->running;
    size_t free_slots = busy < q->fanout ? q->fanout - busy : 0;
    size_t waiting = q->waiting + q->reserved;

    if (waiting + n > q->max_queue + free_slots)
        return err_set(e, ERR_QUEUE_FULL,
                       "the queue has no room for %zu more: %zu running, %zu queued, limit %zu; "
                       "wait until a batch has ended, cancel one, or raise --max-queue",
                       n, busy, waiting, q->max_queue);
    q->reserved += n;
    return 0;
}

void queue_unreserve(struct queue *q, size_t n)
{
    q->reserved -= n < q->reserved ? n : q->reserved;
}

/* What the command is given on the node. */
static void copy_run(struct run_batch *batch, const struct engine_batch *b)
{
    if (b->env)
        strv_copy(&batch->env, b->env);
    batch->chdir = x_strdup(b->chdir);
    batch->pty = b->pty;
    batch->raw = b->raw;
    batch->progress = b->progress;
    batch->stdin_path = x_strdup(b->stdin_path);
    batch->stdin_fd = b->stdin_fd > 0 ? fcntl(b->stdin_fd, F_DUPFD_CLOEXEC, 3) : -1;
    batch->copy = copy_files_ref(b->copy);
    batch->password = secret_ref(b->password);
    batch->become_password = secret_ref(b->become_password);
    batch->input_secret = secret_ref(b->input_secret);
    batch->trace = b->trace;
    batch->trace_ctx = b->trace_ctx;
}

/* Each job's key, and room to count the slots of each. */
static void make_keys(struct run_batch *batch, const struct engine_job *jobs, size_t n)
{
    unsigned most = 0;

    batch->keys = x_calloc(n, sizeof *batch->keys);
    for (size_t i = 0; i < n; i++) {
        batch->keys[i] = batch->jobs[i].key = jobs[i].key;
        most = jobs[i].key > most ? jobs[i].key : most;
    }
    batch->in_key = x_calloc((size_t) most + 1, sizeof *batch->in_key);
}

void queue_add(struct queue *q, const struct engine_batch *b, const struct engine_job *jobs,
               size_t n)
{
    queue_unreserve(q, n);
    if (!n)
        return;
    struct run_batch *batch = x_calloc(1, sizeof *batch);
    batch->number = b->number;
    batch->command = x_strdup(b->command ? b->command : "");
    batch->max_output = b->max_output;
    batch->retries = b->retries;
    batch->live = b->live;
    batch->ssh_config = x_strdup(b->ssh_config);
    batch->has_options = b->ssh_options != NULL;
    if (b->ssh_options)
        strv_copy(&batch->ssh_options, b->ssh_options);
    copy_run(batch, b);
    batch->fanout = b->fanout;
    batch->n = batch->left = n;
    batch->limit = b->dispatch_limit && b->dispatch_limit < n ? b->dispatch_limit : n;
    batch->per_key = b->per_key;
    batch->jobs = x_calloc(n, sizeof *batch->jobs);
    link_init(&batch->claimed);
    for (size_t i = 0; i < n; i++) {
        struct job *job = &batch->jobs[i];
        link_init(&job->link);
        job->batch = batch;
        job->position = jobs[i].position;
        job->node = x_strdup(jobs[i].node);
        settings_init(&job->base);
        settings_init(&job->over);
        if (jobs[i].base)
            settings_merge(&job->base, jobs[i].base);
        if (jobs[i].over)
            settings_merge(&job->over, jobs[i].over);
    }
    if (b->per_key)
        make_keys(batch, jobs, n);
    link_append(&q->batches, &batch->link);
    q->waiting += n;
}

/* The first one that may start now, by its place in the batch; b->n: none. */
static size_t next_job(struct run_batch *b)
{
    if (!b->keys)
        return b->next < b->limit ? b->next : b->n;
    while (b->next < b->n && b->keys[b->next] == TAKEN)
        b->next++;
    for (size_t i = b->next; i < b->limit; i++) {
        unsigned key = b->keys[i];
        if (key != TAKEN && (!key || b->in_key[key] < b->per_key))
            return i;
    }
    return b->n;
}

static void take_job(struct run_batch *b, size_t i)
{
    b->left--;
    b->in_slots++;
    if (!b->keys) {
        b->next = i + 1;
        return;
    }
    b->in_key[b->keys[i]]++;
    b->keys[i] = TAKEN;
}

static void leave_slot(struct job *job)
{
    job->batch->in_slots--;
    if (job->batch->keys)
        job->batch->in_key[job->key]--;
}

struct job *queue_claim(struct queue *q)
{
    if (!q->waiting || q->claimed + q->held + q->running >= q->fanout)
        return NULL;
    for (struct link *l = q->batches.next; l != &q->batches; l = l->next) {
        struct run_batch *b = LINK_OF(l, struct run_batch, link);
        if (!b->left || b->paused || (b->fanout && b->in_slots >= b->fanout))
            continue;
        size_t i = next_job(b);
        if (i == b->n)
            continue;
        struct job *job = &b->jobs[i];
        take_job(b, i);
        link_append(&b->claimed, &job->link);
        q->waiting--;
        q->claimed++;
        return job;
    }
    return NULL;
}

static struct run_batch *find_batch(struct queue *q, int64_t number)
{
    for (struct link *l = q->batches.next; l != &q->batches; l = l->next) {
        struct run_batch *b = LINK_OF(l, struct run_batch, link);
        if (b->number == number)
            return b;
    }
    return NULL;
}

struct job *queue_find_claimed(struct queue *q, int64_t number, uint32_t position)
{
    struct run_batch *b = find_batch(q, number);
    if (!b)
        return NULL;
    /* Answers come in the order of the claims, so it is the first one nearly always. */
    for (struct link *l = b->claimed.next; l != &b->claimed; l = l->next) {
        struct job *job = LINK_OF(l, struct job, link);
        if (job->position == position && !job->held)
            return job;
    }
    return NULL;
}

void queue_hold(struct queue *q, struct job *job)
{
    job->held = true;
    q->claimed--;
    q->held++;
}

struct job *queue_release(struct queue *q)
{
    if (!q->held)
        return NULL;
    for (struct link *l = q->batches.next; l != &q->batches; l = l->next) {
        struct run_batch *b = LINK_OF(l, struct run_batch, link);
        if (b->paused)
            continue;
        for (struct link *j = b->claimed.next; j != &b->claimed; j = j->next) {
            struct job *job = LINK_OF(j, struct job, link);
            if (!job->held)
                continue;
            job->held = false;
            q->held--;
            q->claimed++;
            return job;
        }
    }
    return NULL;
}

/* Nobody will answer for those that were put off. */
static void drop_held(struct queue *q, struct run_batch *b)
{
    for (struct link *l = b->claimed.next, *next; l != &b->claimed; l = next) {
        struct job *job = LINK_OF(l, struct job, link);
        next = l->next;
        if (!job->held)
            continue;
        link_remove(&job->link);
        job_clear(job);
        q->held--;
        leave_slot(job);
    }
}

bool queue_idle(const struct queue *q)
{
    return link_empty(&q->batches);
}

/* Returns how many are in slots; the batch is gone when none is. */
static size_t drop_waiting(struct queue *q, struct run_batch *b)
{
    drop_held(q, b);
    size_t in_slots = b->in_slots;
    q->waiting -= b->left;
    b->left = 0;
    b->next = b->n;
    if (!in_slots)
        batch_free(b);
    return in_slots;
}

void queue_start(struct queue *q, struct job *job)
{
    link_remove(&job->link);
    q->claimed--;
    q->running++;
}

void queue_end(struct queue *q, struct job *job, bool was_running)
{
    struct run_batch *b = job->batch;

    link_remove(&job->link);
    if (was_running)
        q->running--;
    else
        q->claimed--;
    job_clear(job);
    leave_slot(job);
    if (b->in_slots == 0 && b->left == 0)
        batch_free(b);
}

size_t queue_cancel(struct queue *q, int64_t number)
{
    struct run_batch *b = find_batch(q, number);
    if (!b)
        return 0;
    b->cancelled = true;
    return drop_waiting(q, b);
}

void queue_set_limit(struct queue *q, int64_t number, size_t n)
{
    struct run_batch *b = find_batch(q, number);
    if (b)
        b->limit = n && n < b->n ? n : b->n;
}

void queue_pause(struct queue *q, int64_t number, bool on)
{
    struct run_batch *b = find_batch(q, number);
    if (b)
        b->paused = on;
}

void queue_drop(struct queue *q, int64_t number, const char *text)
{
    struct run_batch *b = find_batch(q, number);
    if (!b || b->cancelled)
        return;
    free(b->dropped);
    b->dropped = x_strdup(text);
    drop_waiting(q, b);
}
