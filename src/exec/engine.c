/* SPDX-License-Identifier: Apache-2.0 */
/* The engine: slots and claims.
 *
 * Theory of operation: a batch waits in the queue. Whenever a slot is free its next job takes it
 * and EVENT_CLAIM leaves, under the engine's lock so that claims leave in order; all free slots do
 * so at once, nothing waits for an answer. The sink answers by engine_claimed: the job goes to the
 * reactor with the fewest sessions, or the slot is free again. A session that has ended emits its
 * event on its reactor's thread and then frees the slot, which dispatches the next. */
#include "engine_priv.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/hash.h"
#include "muster/core/batch.h"
#include "muster/exec/transport.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define REACTORS_MAX 4
/* Threads beside one for each execution: work that hangs goes on when its session has gone. */
#define HELPERS_SPARE 1024
#define HANDSHAKES_DEFAULT 8
#define HANDSHAKES_IN_ALL 128
#define STOP_GRACE_DEFAULT_MS 2000
/* Descriptors: an execution has at most four (three pipes and a process), the rest of the program
 * keeps within the spare ones, the few that each ssh program has besides among them. Look-ups that
 * were left behind have one or two each. */
#define FDS_EACH 4
#define FDS_SPARE 288
#define FDS_LEFT_BEHIND 2048

unsigned long engine_files_needed(unsigned fanout)
{
    return (unsigned long) fanout * FDS_EACH + FDS_SPARE;
}

static int raise_fd_limit(unsigned fanout, struct err *e)
{
    struct rlimit lim;
    rlim_t need = engine_files_needed(fanout);

    if (getrlimit(RLIMIT_NOFILE, &lim) != 0)
        return err_set(e, ERR_INTERNAL, "cannot read the limit of open files: %s",
                       strerror(errno));
    if (lim.rlim_cur == RLIM_INFINITY || lim.rlim_cur >= need + FDS_LEFT_BEHIND)
        return 0;
    if (lim.rlim_max != RLIM_INFINITY && lim.rlim_max < need) {
        unsigned long can = 0;
        if (lim.rlim_max > FDS_SPARE + FDS_EACH)
            can = (unsigned long) (lim.rlim_max - FDS_SPARE) / FDS_EACH;
        return err_set(e, ERR_INTERNAL,
                       "a fanout of %u needs %lu open files, but the limit is %lu; raise it "
                       "(ulimit -Hn) or use a fanout of at most %lu (-f)",
                       fanout, (unsigned long) need, (unsigned long) lim.rlim_max, can);
    }
    rlim_t had = lim.rlim_cur;
    lim.rlim_cur = need + FDS_LEFT_BEHIND;
    if (lim.rlim_max != RLIM_INFINITY && lim.rlim_cur > lim.rlim_max)
        lim.rlim_cur = lim.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &lim) != 0 && had < need)
        return err_set(e, ERR_INTERNAL, "cannot raise the limit of open files to %lu: %s",
                       (unsigned long) need, strerror(errno));
    return 0;
}

static unsigned reactors_for(const struct engine_config *cfg)
{
    if (cfg->reactors)
        return cfg->reactors;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned n = cores < 1 ? 1 : cores > REACTORS_MAX ? REACTORS_MAX : (unsigned) cores;
    return cfg->fanout && n > cfg->fanout ? cfg->fanout : n;
}

static void shared_make(struct engine *e, const struct engine_config *given)
{
    struct engine_config with = *given, *cfg = &with;
    size_t n = 0;

    if (!cfg->inner)
        cfg->keyring = e->keyring = keyring_new();
    while (e->transports[n])
        n++;
    e->shared = x_calloc(n + 1, sizeof *e->shared);
    for (size_t i = 0; i < n; i++) {
        e->shared[i].ops = e->transports[i];
        if (e->transports[i]->shared_new)
            e->shared[i].of = e->transports[i]->shared_new(cfg);
    }
}

static void shared_stop(const struct engine *e)
{
    for (size_t i = 0; e->shared[i].ops; i++)
        if (e->shared[i].of && e->shared[i].ops->shared_stop)
            e->shared[i].ops->shared_stop(e->shared[i].of);
}

static void shared_drop(void *arg)
{
    struct shared *shared = arg;
    for (size_t i = 0; shared[i].ops; i++)
        if (shared[i].of)
            shared[i].ops->shared_free(shared[i].of);
    free(shared);
}

static struct engine *engine_create(const struct engine_config *cfg, struct clock_virtual *sim,
                                    const struct event_sink *sink, struct err *err)
{
    struct engine *e = x_calloc(1, sizeof *e);
    unsigned fanout = cfg->fanout ? cfg->fanout : FANOUT_DEFAULT;

    e->sink = *sink;
    e->sim = sim;
    e->clock = sim ? &sim->clock : cfg->clock ? cfg->clock : clock_system();
    e->transports = cfg->transports ? cfg->transports : engine_transports();
    e->inner = cfg->inner;
    shared_make(e, cfg);
    e->stop_grace_ms = cfg->stop_grace_ms ? cfg->stop_grace_ms : STOP_GRACE_DEFAULT_MS;
    e->seed = cfg->seed;
    if (!e->seed)
        random_bytes(&e->seed, sizeof e->seed);
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->idle, NULL);
    queue_init(&e->queue, fanout, cfg->max_queue);
    e->places = places_new(cfg->handshakes_per_server ? cfg->handshakes_per_server
                                                      : HANDSHAKES_DEFAULT,
                           cfg->handshakes_in_all ? cfg->handshakes_in_all : HANDSHAKES_IN_ALL);
    unsigned n = sim ? 1 : reactors_for(cfg);
    e->load = x_calloc(n, sizeof *e->load);
    e->reactors = x_calloc(n, sizeof *e->reactors);

    bool ok = sim || cfg->inner || raise_fd_limit(fanout, err) == 0;
    if (ok)
        e->helpers = helpers_new(sim ? 0 : fanout + HELPERS_SPARE, shared_drop, e->shared, err);
    ok = e->helpers != NULL;
    if (ok)
        helpers_set_asker(e->helpers, cfg->asker);
    while (ok && e->n_reactors < n) {
        struct reactor *r = &e->reactors[e->n_reactors];
        ok = reactor_init(r, e, e->n_reactors, e->clock, !sim, err) == 0;
        e->n_reactors++;
    }
    if (ok)
        return e;
    engine_free(e);
    return NULL;
}

struct engine *engine_new(const struct engine_config *cfg, const struct event_sink *sink,
                          struct err *e)
{
    return engine_create(cfg, NULL, sink, e);
}

struct engine *engine_new_sim(const struct engine_config *cfg, struct clock_virtual *clock,
                              const struct event_sink *sink)
{
    return engine_create(cfg, clock, sink, NULL);
}

static void post_all(struct engine *e, struct msg msg)
{
    for (unsigned i = 0; i < e->n_reactors; i++)
        reactor_post(&e->reactors[i], msg);
}

void engine_free(struct engine *e)
{
    if (!e)
        return;
    engine_stop_dispatch(e);
    post_all(e, (struct msg){.kind = MSG_QUIT});
    for (unsigned i = 0; i < e->n_reactors; i++)
        reactor_join(&e->reactors[i]);
    shared_stop(e);
    if (e->helpers)
        helpers_stop(e->helpers);
    for (unsigned i = 0; i < e->n_reactors; i++)
        reactor_free(&e->reactors[i]);
    queue_clear(&e->queue);
    if (e->helpers)
        helpers_unref(e->helpers);
    else
        shared_drop(e->shared);
    keyring_unref(e->keyring);
    places_free(e->places);
    pthread_cond_destroy(&e->idle);
    pthread_mutex_destroy(&e->lock);
    free(e->reactors);
    free(e->load);
    free(e);
}

static unsigned least_loaded(const struct engine *e)
{
    unsigned best = 0;
    for (unsigned i = 1; i < e->n_reactors; i++)
        if (e->load[i] < e->load[best])
            best = i;
    return best;
}

/* Under the lock. */
static void start(struct engine *e, struct job *job)
{
    job->reactor = least_loaded(e);
    e->load[job->reactor]++;
    queue_start(&e->queue, job);
    reactor_post(&e->reactors[job->reactor], (struct msg){.kind = MSG_START, .job = job});
}

/* Under the lock. */
static void dispatch(struct engine *e)
{
    struct job *job;
    /* Opened keys are kept for as long as anything runs or waits. */
    if (e->keyring && queue_idle(&e->queue))
        keyring_forget(e->keyring);
    while (!e->stopped && ((job = queue_release(&e->queue)) || (job = queue_claim(&e->queue)))) {
        if (e->inner) {
            start(e, job);
            continue;
        }
        struct event *ev = event_new(EVENT_CLAIM, job->batch->number, job->position);
        ev->wall_ms = wall_ms(e->clock);
        e->sink.emit(e->sink.ctx, ev);
    }
}

int engine_reserve(struct engine *e, size_t n, struct err *err)
{
    pthread_mutex_lock(&e->lock);
    int rc = queue_reserve(&e->queue, n, err);
    pthread_mutex_unlock(&e->lock);
    return rc;
}

void engine_unreserve(struct engine *e, size_t n)
{
    pthread_mutex_lock(&e->lock);
    queue_unreserve(&e->queue, n);
    pthread_mutex_unlock(&e->lock);
}

bool engine_submit(struct engine *e, const struct engine_batch *b, const struct engine_job *jobs,
                   size_t n)
{
    pthread_mutex_lock(&e->lock);
    bool added = queue_add(&e->queue, b, jobs, n);
    if (added)
        dispatch(e);
    pthread_mutex_unlock(&e->lock);
    return added;
}

/* The end of a job that was granted but must not start. */
static void emit_never_started(struct engine *e, const struct job *job)
{
    struct event *ev = event_new(EVENT_FINISH, job->batch->number, job->position);
    ev->wall_ms = wall_ms(e->clock);
    ev->duration_ms = 0;
    ev->status = EXEC_FAILED;
    ev->exit_code = -1;
    if (job->batch->group->cancelled) {
        ev->reason = REASON_CANCELLED;
        ev->error = x_strdup("Cancelled by user");
    } else {
        ev->reason = REASON_SKIPPED;
        const char *dropped = job->batch->later ? NULL : job->batch->group->dropped;
        ev->error = x_strdup(dropped ? dropped : "muster left before it was started");
    }
    e->sink.emit(e->sink.ctx, ev);
}

/* Whether what is granted now must not start any more. */
static bool is_over(const struct engine *e, const struct job *job)
{
    const struct run_group *g = job->batch->group;
    return g->cancelled || (g->dropped && !job->batch->later) || e->aborted;
}

bool engine_claimed(struct engine *e, int64_t batch, uint32_t position, bool granted)
{
    pthread_mutex_lock(&e->lock);
    struct job *job = queue_find_claimed(&e->queue, batch, position);
    if (!job) {
        pthread_mutex_unlock(&e->lock);
        return false;
    }
    bool over = is_over(e, job);
    bool heard = granted || (e->stopped && !over);
    if (granted && !over) {
        start(e, job);
    } else if (!granted && e->stopped && !over) {
        queue_hold(&e->queue, job); /* the store fails: ask again once it does not */
    } else {
        if (granted)
            emit_never_started(e, job);
        queue_end(&e->queue, job, false);
        dispatch(e);
    }
    pthread_mutex_unlock(&e->lock);
    return heard;
}

bool engine_take(struct engine *e, int64_t batch, uint32_t position)
{
    pthread_mutex_lock(&e->lock);
    struct job *job = queue_find_claimed(&e->queue, batch, position);
    bool mine = job && !is_over(e, job);
    if (job) {
        if (!mine)
            emit_never_started(e, job);
        queue_end(&e->queue, job, false);
        dispatch(e);
    }
    pthread_mutex_unlock(&e->lock);
    return mine;
}

void engine_leave(struct engine *e, int64_t batch, uint32_t position)
{
    pthread_mutex_lock(&e->lock);
    queue_leave(&e->queue, batch, position);
    dispatch(e);
    pthread_mutex_unlock(&e->lock);
}

void engine_steps_over(struct engine *e, int64_t batch)
{
    pthread_mutex_lock(&e->lock);
    queue_steps_over(&e->queue, batch);
    dispatch(e);
    pthread_mutex_unlock(&e->lock);
}

void engine_ended(struct engine *e, struct job *job)
{
    pthread_mutex_lock(&e->lock);
    e->load[job->reactor]--;
    queue_end(&e->queue, job, true);
    dispatch(e);
    if (!e->queue.running)
        pthread_cond_broadcast(&e->idle);
    pthread_mutex_unlock(&e->lock);
}

size_t engine_cancel(struct engine *e, int64_t batch)
{
    pthread_mutex_lock(&e->lock);
    size_t n = queue_cancel(&e->queue, batch);
    if (!n)
        dispatch(e); /* it may have been the last */
    /* Under the lock: a job that was handed over before has its message before this one. */
    if (n)
        post_all(e, (struct msg){.kind = MSG_CANCEL, .batch = batch});
    pthread_mutex_unlock(&e->lock);
    return n;
}

void engine_set_limit(struct engine *e, int64_t batch, unsigned n)
{
    pthread_mutex_lock(&e->lock);
    queue_set_limit(&e->queue, batch, n);
    dispatch(e);
    pthread_mutex_unlock(&e->lock);
}

void engine_pause(struct engine *e, int64_t batch, bool on)
{
    pthread_mutex_lock(&e->lock);
    queue_pause(&e->queue, batch, on);
    dispatch(e);
    pthread_mutex_unlock(&e->lock);
}

void engine_drop(struct engine *e, int64_t batch, const char *text)
{
    pthread_mutex_lock(&e->lock);
    queue_drop(&e->queue, batch, text);
    dispatch(e); /* a claim that was put off had a slot */
    pthread_mutex_unlock(&e->lock);
}

void engine_drop_steps(struct engine *e, int64_t batch)
{
    pthread_mutex_lock(&e->lock);
    queue_drop_steps(&e->queue, batch);
    dispatch(e);
    pthread_mutex_unlock(&e->lock);
}

void engine_stop_dispatch(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->stopped = true;
    pthread_mutex_unlock(&e->lock);
}

void engine_resume_dispatch(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->stopped = e->aborted;
    dispatch(e);
    pthread_mutex_unlock(&e->lock);
}

void engine_abort(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->stopped = e->aborted = true;
    post_all(e, (struct msg){.kind = MSG_ABORT});
    /* Reactors never block, so this is short; after it every event has left. */
    while (!e->sim && e->queue.running)
        pthread_cond_wait(&e->idle, &e->lock);
    pthread_mutex_unlock(&e->lock);
    if (e->sim)
        reactor_turn(&e->reactors[0]);
}

void engine_counts(struct engine *e, struct engine_counts *c)
{
    pthread_mutex_lock(&e->lock);
    c->queued = e->queue.waiting + e->queue.held;
    c->claimed = e->queue.claimed;
    c->running = e->queue.running;
    pthread_mutex_unlock(&e->lock);
}

bool engine_sim_turn(struct engine *e)
{
    struct reactor *r = &e->reactors[0];

    if (reactor_turn(r))
        return true;
    int64_t next = timers_next(&r->timers);
    if (next < 0)
        return false;
    if (next > e->sim->now_ms)
        e->sim->now_ms = next;
    return true;
}
