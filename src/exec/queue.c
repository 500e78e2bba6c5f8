/* SPDX-License-Identifier: Apache-2.0 */
/* FIFO over batches, slots, reservations. */
#include "queue.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/secret.h"
#include "muster/exec/copy.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

void queue_init(struct queue *q, size_t fanout, size_t max_queue)
{
    memset(q, 0, sizeof *q);
    link_init(&q->batches);
    link_init(&q->groups);
    q->fanout = fanout;
    q->max_queue = max_queue;
}

static void job_clear(struct job *job)
{
    free(X_STEAL(job->node));
    free(X_STEAL(job->env));
    settings_clear(&job->base);
    settings_clear(&job->over);
}

static void group_free(struct run_group *g)
{
    link_remove(&g->link);
    free(g->dropped);
    free(g->in_key);
    free(g->places);
    free(g);
}

/* Its group goes with it where nothing more will come. */
static void batch_free(struct run_batch *b)
{
    struct run_group *g = b->group;
    link_remove(&b->link);
    if (--g->submissions == 0 && !g->steps)
        group_free(g);
    for (size_t i = 0; i < b->n; i++)
        job_clear(&b->jobs[i]);
    free(b->jobs);
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
    while (!link_empty(&q->groups))
        group_free(LINK_OF(q->groups.next, struct run_group, link));
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

/* --- batches of several submissions --- */

bool queue_same_batch(int64_t a, int64_t b)
{
    return ((a ^ b) & ENGINE_BATCH_MASK) == 0;
}

static struct run_group *find_group(struct queue *q, int64_t number)
{
    for (struct link *l = q->groups.next; l != &q->groups; l = l->next) {
        struct run_group *g = LINK_OF(l, struct run_group, link);
        if (queue_same_batch(g->number, number))
            return g;
    }
    return NULL;
}

static struct run_group *make_group(struct queue *q, const struct engine_batch *b)
{
    struct run_group *g = x_calloc(1, sizeof *g);
    g->number = b->number & ENGINE_BATCH_MASK;
    g->steps = b->steps;
    g->fanout = b->fanout;
    g->limit = b->dispatch_limit ? b->dispatch_limit : SIZE_MAX;
    g->per_key = b->per_key;
    link_init(&g->claimed);
    link_append(&q->groups, &g->link);
    return g;
}

/* Room to count the places of each key, and to keep those of each position. */
static void group_room(struct run_group *g, const struct engine_job *jobs, size_t n)
{
    size_t keys = 1, places = 0;

    for (size_t i = 0; i < n; i++) {
        keys = jobs[i].key >= keys ? (size_t) jobs[i].key + 1 : keys;
        places = jobs[i].position >= places ? (size_t) jobs[i].position + 1 : places;
    }
    if (g->per_key && keys > g->n_keys) {
        g->in_key = x_array(g->in_key, keys, sizeof *g->in_key);
        memset(g->in_key + g->n_keys, 0, (keys - g->n_keys) * sizeof *g->in_key);
        g->n_keys = keys;
    }
    if (g->steps && places > g->n_places) {
        g->places = x_array(g->places, places, sizeof *g->places);
        memset(g->places + g->n_places, 0, (places - g->n_places) * sizeof *g->places);
        g->n_places = places;
    }
}

static void enter(struct run_group *g, const struct job *job)
{
    g->in++;
    if (g->in_key)
        g->in_key[job->key]++;
    if (g->steps)
        g->places[job->position] = (struct place_kept){true, job->key};
}

static void leave(struct run_group *g, unsigned key)
{
    g->in--;
    if (g->in_key)
        g->in_key[key]--;
}

void queue_leave(struct queue *q, int64_t batch, uint32_t position)
{
    struct run_group *g = find_group(q, batch);
    if (!g || position >= g->n_places || !g->places[position].in)
        return;
    g->places[position].in = false;
    leave(g, g->places[position].key);
}

void queue_steps_over(struct queue *q, int64_t batch)
{
    struct run_group *g = find_group(q, batch);
    if (!g || !g->steps)
        return;
    g->steps = false;
    g->n_places = 0;
    if (!g->submissions)
        group_free(g);
}

/* --- adding --- */

static void add_jobs(struct run_batch *batch, const struct engine_job *jobs, size_t n)
{
    batch->n = batch->left = n;
    batch->jobs = x_calloc(n, sizeof *batch->jobs);
    for (size_t i = 0; i < n; i++) {
        struct job *job = &batch->jobs[i];
        link_init(&job->link);
        job->batch = batch;
        job->position = jobs[i].position;
        job->key = jobs[i].key;
        job->node = x_strdup(jobs[i].node);
        job->env = x_strdup(jobs[i].env);
        settings_init(&job->base);
        settings_init(&job->over);
        if (jobs[i].base)
            settings_merge(&job->base, jobs[i].base);
        if (jobs[i].over)
            settings_merge(&job->over, jobs[i].over);
    }
}

/* Later steps wait in front of what their batch has not begun: what is in the middle ends first. */
static void link_batch(struct queue *q, struct run_batch *batch)
{
    struct link *before = batch->later ? q->batches.next : &q->batches;

    for (struct link *l = q->batches.next; batch->later && l != &q->batches; l = l->next) {
        const struct run_batch *b = LINK_OF(l, struct run_batch, link);
        if (b->group == batch->group && !b->later) {
            before = l;
            break;
        }
    }
    link_append(before, &batch->link);
}

bool queue_add(struct queue *q, const struct engine_batch *b, const struct engine_job *jobs,
               size_t n)
{
    struct run_group *g = find_group(q, b->number);
    if (b->later && (!g || !g->steps || g->cancelled))
        return false;
    if (!b->later)
        queue_unreserve(q, n);
    if (!n)
        return true;
    struct run_batch *batch = x_calloc(1, sizeof *batch);
    batch->number = b->number;
    batch->command = x_strdup(b->command ? b->command : "");
    batch->max_output = b->max_output;
    batch->retries = b->retries;
    batch->retry_for_ms = b->retry_for_ms;
    batch->live = b->live && !b->retry_for_ms;
    batch->ssh_config = x_strdup(b->ssh_config);
    batch->has_options = b->ssh_options != NULL;
    if (b->ssh_options)
        strv_copy(&batch->ssh_options, b->ssh_options);
    copy_run(batch, b);
    batch->later = b->later;
    batch->group = g ? g : make_group(q, b);
    batch->group->submissions++;
    group_room(batch->group, jobs, n);
    add_jobs(batch, jobs, n);
    link_batch(q, batch);
    q->waiting += n;
    return true;
}

/* --- claims --- */

static bool may_start(const struct run_group *g, const struct job *job)
{
    return job->position < g->limit &&
           (!g->in_key || !job->key || g->in_key[job->key] < g->per_key);
}

/* The first one that may start now, by its place in the submission; b->n: none. */
static size_t next_job(struct run_batch *b)
{
    const struct run_group *g = b->group;
    while (b->next < b->n && b->jobs[b->next].taken)
        b->next++;
    if (b->later)
        return b->next;
    if (g->fanout && g->in >= g->fanout)
        return b->n;
    for (size_t i = b->next; i < b->n && b->jobs[i].position < g->limit; i++) {
        if (!b->jobs[i].taken && may_start(g, &b->jobs[i]))
            return i;
        if (!g->in_key)
            break;
    }
    return b->n;
}

static void take_job(struct run_batch *b, struct job *job)
{
    job->taken = true;
    b->left--;
    b->in_slots++;
    b->group->busy++;
    if (!b->later)
        enter(b->group, job);
    link_append(&b->group->claimed, &job->link);
}

/* A node of a batch of steps keeps its place. */
static void leave_slot(struct job *job)
{
    struct run_group *g = job->batch->group;
    job->batch->in_slots--;
    g->busy--;
    if (!job->batch->later && !g->steps)
        leave(g, job->key);
}

struct job *queue_claim(struct queue *q)
{
    if (!q->waiting || q->claimed + q->held + q->running >= q->fanout)
        return NULL;
    for (struct link *l = q->batches.next; l != &q->batches; l = l->next) {
        struct run_batch *b = LINK_OF(l, struct run_batch, link);
        if (!b->left || b->group->paused)
            continue;
        size_t i = next_job(b);
        if (i == b->n)
            continue;
        take_job(b, &b->jobs[i]);
        q->waiting--;
        q->claimed++;
        return &b->jobs[i];
    }
    return NULL;
}

struct job *queue_find_claimed(struct queue *q, int64_t number, uint32_t position)
{
    struct run_group *g = find_group(q, number);
    if (!g)
        return NULL;
    /* Answers come in the order of the claims, so it is the first one nearly always. */
    for (struct link *l = g->claimed.next; l != &g->claimed; l = l->next) {
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
    for (struct link *l = q->groups.next; l != &q->groups; l = l->next) {
        struct run_group *g = LINK_OF(l, struct run_group, link);
        if (g->paused)
            continue;
        for (struct link *j = g->claimed.next; j != &g->claimed; j = j->next) {
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

bool queue_idle(const struct queue *q)
{
    return link_empty(&q->groups);
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

/* --- the whole batch --- */

/* Nobody will answer for those that were put off. */
static void drop_held(struct queue *q, struct run_group *g, bool later)
{
    for (struct link *l = g->claimed.next, *next; l != &g->claimed; l = next) {
        struct job *job = LINK_OF(l, struct job, link);
        next = l->next;
        if (!job->held || (job->batch->later && !later))
            continue;
        link_remove(&job->link);
        job_clear(job);
        q->held--;
        leave_slot(job);
        if (!job->batch->later)
            queue_leave(q, g->number, job->position);
    }
}

/* Returns how many are in slots. What was the last of its group takes the group along. */
static size_t drop_waiting(struct queue *q, struct run_group *g, bool later)
{
    drop_held(q, g, later);
    size_t busy = g->busy;
    for (struct link *l = q->batches.next, *next; l != &q->batches; l = next) {
        struct run_batch *b = LINK_OF(l, struct run_batch, link);
        next = l->next;
        if (b->group != g || (b->later && !later))
            continue;
        q->waiting -= b->left;
        b->left = 0;
        b->next = b->n;
        bool last = g->submissions == 1;
        if (!b->in_slots)
            batch_free(b);
        if (last)
            break;
    }
    return busy;
}

size_t queue_cancel(struct queue *q, int64_t number)
{
    struct run_group *g = find_group(q, number);
    if (!g)
        return 0;
    g->cancelled = true;
    return drop_waiting(q, g, true);
}

void queue_set_limit(struct queue *q, int64_t number, size_t n)
{
    struct run_group *g = find_group(q, number);
    if (g)
        g->limit = n ? n : SIZE_MAX;
}

void queue_pause(struct queue *q, int64_t number, bool on)
{
    struct run_group *g = find_group(q, number);
    if (g)
        g->paused = on;
}

void queue_drop_steps(struct queue *q, int64_t number)
{
    struct run_group *g = find_group(q, number);
    if (g && !g->cancelled)
        (void) drop_waiting(q, g, true);
}

void queue_drop(struct queue *q, int64_t number, const char *text)
{
    struct run_group *g = find_group(q, number);
    if (!g || g->cancelled)
        return;
    free(g->dropped);
    g->dropped = x_strdup(text);
    drop_waiting(q, g, false);
}
