/* SPDX-License-Identifier: Apache-2.0 */
/* The service itself: its parts, and the way of an event from the engine to the store and back.
 *
 * Theory of operation: the engine emits into sink_emit() on its reactors' threads; that hands the
 * event to the writer's queue. After the commit the writer's thread calls back: a claim's answer goes
 * to engine_claimed(), a cancel that another process asked for to engine_cancel(). The main thread is
 * woken by an eventfd that carries no data: it reads what it shows from the store. */
#include "service.h"

#include "answers.h"
#include "copy.h"
#include "plans.h"
#include "stages.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/log.h"
#include "muster/base/text.h"
#include "muster/core/event.h"
#include "muster/exec/ask.h"
#include "muster/exec/engine.h"
#include "muster/inventory/inventory.h"
#include "muster/store/reader.h"
#include "muster/store/store.h"
#include "muster/store/writer.h"

#include <string.h>
#include <unistd.h>

#define FAILED_AGAIN_MS 2000 /* until an inventory that could not be read is tried again */
#define REFRESH_AGAIN_MS 60000 /* until a refresh that brought nothing is tried again */

/* --- between the engine and the writer --- */

/* Past what tasks answer, and what plans make of it, to the writer. */
static bool to_writer(struct service *s, struct event *ev)
{
    size_t taken = answers_take(s->answers, ev);
    bool went = plans_emit(s->plans, ev);
    if (!went)
        answers_undo(s->answers, ev, taken);
    return went;
}

static bool sink_emit(void *ctx, struct event *ev)
{
    struct service *s = ctx;
    if (ev->kind == EVENT_FINISH)
        atomic_fetch_add(&s->finish_emitted, 1);
    bool taken;
    bool went = copies_emit(s->copies, ev, &taken);
    return taken ? went : to_writer(s, ev);
}

/* What the copies have done with an event goes on to the store. */
static bool copies_to_writer(void *ctx, struct event *ev)
{
    return to_writer(ctx, ev);
}

static void on_claimed(void *ctx, int64_t batch, uint32_t position, bool granted)
{
    struct service *s = ctx;
    if (plans_claimed(s->plans, batch, position, granted))
        return;
    pthread_mutex_lock(&s->engine_lock);
    if (s->engine)
        engine_claimed(s->engine, batch, position, granted);
    pthread_mutex_unlock(&s->engine_lock);
}

static void on_finished(void *ctx, const struct event *ev)
{
    struct service *s = ctx;
    /* First what follows from it: the service is not idle in between. */
    plans_finished(s->plans, ev);
    if (!ev->step || ev->last)
        stages_finished(s->stages, ev);
    atomic_fetch_add(&s->finish_committed, 1);
}

static void on_committed(void *ctx)
{
    struct service *s = ctx;
    waker_wake(&s->waker);
}

static void on_cancel_requested(void *ctx, int64_t batch)
{
    struct service *s = ctx;
    log_line(LOG_INFO, "service", batch, NULL, "another process asked to cancel");
    stages_cancelled(s->stages, batch);
    pthread_mutex_lock(&s->engine_lock);
    if (s->engine)
        engine_cancel(s->engine, batch);
    pthread_mutex_unlock(&s->engine_lock);
    plans_cancelled(s->plans, batch);
}

static void on_pause_requested(void *ctx, int64_t batch, bool on)
{
    struct service *s = ctx;
    log_line(LOG_INFO, "service", batch, NULL, "another process asked to %s",
             on ? "pause" : "resume");
    pthread_mutex_lock(&s->engine_lock);
    if (s->engine)
        engine_pause(s->engine, batch, on);
    pthread_mutex_unlock(&s->engine_lock);
}

/* text NULL: it is over. */
static void set_trouble(struct service *s, const char *text)
{
    pthread_mutex_lock(&s->lock);
    free(s->trouble);
    s->trouble = x_strdup(text);
    pthread_mutex_unlock(&s->lock);
    waker_wake(&s->waker);
}

static void on_failed(void *ctx, const struct err *e)
{
    struct service *s = ctx;
    log_line(LOG_ERROR, "store", 0, NULL, "%s", e->msg);
    pthread_mutex_lock(&s->engine_lock);
    if (s->engine)
        engine_stop_dispatch(s->engine);
    pthread_mutex_unlock(&s->engine_lock);
    set_trouble(s, e->msg);
}

static void on_recovered(void *ctx)
{
    struct service *s = ctx;
    log_warn("store", "writing works again");
    pthread_mutex_lock(&s->engine_lock);
    if (s->engine)
        engine_resume_dispatch(s->engine);
    pthread_mutex_unlock(&s->engine_lock);
    set_trouble(s, NULL);
}

/* --- open and close --- */

/* Takes the engine away from the writer's callbacks, then joins its threads; what they still emit
 * goes to the writer, which must outlive this. */
static void drop_engine(struct service *s)
{
    pthread_mutex_lock(&s->engine_lock);
    struct engine *engine = X_STEAL(s->engine);
    pthread_mutex_unlock(&s->engine_lock);
    engine_free(engine);
}

struct service *service_open(const struct service_options *o, struct err *e)
{
    struct service *s = x_calloc(1, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->engine_lock, NULL);
    s->waker.fd = -1;
    config_init(&s->config);
    if (config_load(&s->config, e) != 0) {
        service_close(s);
        return NULL;
    }
    int rc = waker_init(&s->waker);
    if (rc != 0) {
        err_set(e, ERR_INTERNAL, "cannot make an eventfd: %s", strerror(-rc));
        service_close(s);
        return NULL;
    }
    s->db_path = o->db_path ? x_strdup(o->db_path) : store_default_path();
    if (o->inventories)
        strv_copy(&s->inventories, o->inventories);
    if (o->task_path)
        strv_copy(&s->task_path, o->task_path);
    s->ssh_config = x_strdup(o->ssh_config);
    s->program = x_strdup(o->program);
    s->refresh_inventories = o->refresh_inventories;
    s->fanout = o->engine_fanout ? o->engine_fanout : s->config.fanout;
    s->max_queue = o->max_queue ? o->max_queue : s->config.max_queue;
    s->read_only = o->read_only || s->config.read_only;
    s->ephemeral = o->ephemeral;
    s->copies = copies_new(copies_to_writer, s);
    s->stages = stages_new(s);
    s->answers = answers_new();
    s->plans = plans_new(s);
    s->stale = true;
    return s;
}

void service_close(struct service *s)
{
    if (!s)
        return;
    if (s->stages)
        stages_stop(s->stages);
    service_abort(s);
    service_set_can_ask(s, false);
    drop_engine(s);
    copies_free(X_STEAL(s->copies), true);
    writer_close(s->writer); /* commits what it holds, settles what was left */
    stages_free(s->stages);
    plans_free(s->plans);
    answers_free(s->answers);
    inventory_watch_free(s->watch);
    fleet_free(s->fleet);
    service_fleet_release(s);
    free(s->retired);
    err_clear(&s->fleet_error);
    if (s->waker.fd >= 0)
        waker_close(&s->waker);
    strv_clear(&s->inventories);
    strv_clear(&s->task_path);
    config_clear(&s->config);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->engine_lock);
    free(s->trouble);
    free(s->trouble_shown);
    free(s->unwritten);
    free(s->ssh_config);
    free(s->program);
    free(s->db_path);
    free(s);
}

const struct config *service_config(const struct service *s)
{
    return &s->config;
}

const char *service_db_path(const struct service *s)
{
    return s->db_path;
}

const char *service_ssh_config(const struct service *s)
{
    return s->ssh_config;
}

bool service_is_ephemeral(const struct service *s)
{
    return s->ephemeral;
}

int service_may_change(const struct service *s, struct err *e)
{
    if (!s->read_only)
        return 0;
    return err_set(e, ERR_FORBIDDEN,
                   "read-only: muster was told to change nothing (read_only or --read-only)");
}

/* --- the fleet --- */

/* Callers may still hold pointers into it, and into those before. */
static void retire_fleet(struct service *s)
{
    if (!s->fleet)
        return;
    s->retired = x_array(s->retired, s->n_retired + 1, sizeof *s->retired);
    s->retired[s->n_retired++] = s->fleet;
    s->fleet = NULL;
}

/* The earliest time at which a source's program is to run again. */
static void note_due(struct service *s)
{
    s->due_ms = 0;
    for (size_t i = 0; i < s->fleet->n_sources; i++) {
        int64_t due = s->fleet->sources[i].due_ms;
        if (due && (!s->due_ms || due < s->due_ms))
            s->due_ms = due;
    }
}

/* The copies that are written then change the files behind the fleet. */
static void refresh_when_due(struct service *s, const struct inventory_options *o)
{
    int64_t now = wall_ms(clock_system());
    if (!s->program || !s->due_ms || now < s->due_ms)
        return;
    s->due_ms = now + REFRESH_AGAIN_MS;
    inventory_refresh(o, s->program);
}

static int load_fleet(struct service *s, const struct inventory_options *o)
{
    struct fleet *fleet = NULL;
    inventory_watch_free(X_STEAL(s->watch));
    err_clear(&s->fleet_error);
    int rc = inventory_load(o, &fleet, &s->watch, &s->fleet_error);
    s->stale = s->refresh_inventories = false;
    if (rc == 0) {
        retire_fleet(s);
        s->fleet = fleet;
        note_due(s);
    } else {
        s->failed_ms = mono_ms(clock_system());
    }
    return rc;
}

const struct fleet *service_fleet(struct service *s, struct err *e)
{
    bool failed = s->fleet_error.code != ERR_NONE;
    /* Not every cause of a failure shows in the files' times (a permission, say). */
    bool again = failed && mono_ms(clock_system()) - s->failed_ms >= FAILED_AGAIN_MS;
    bool same = !s->stale && !again && s->watch && !inventory_changed(s->watch);

    const struct inventory_options o = {.files = s->inventories,
                                        .ssh_config = s->ssh_config,
                                        .ttl_ms = s->config.inventory_ttl_ms,
                                        .refresh = s->refresh_inventories};
    if (same ? !failed : load_fleet(s, &o) == 0) {
        refresh_when_due(s, &o);
        return s->fleet;
    }
    err_set(e, s->fleet_error.code, "%s", s->fleet_error.msg);
    if (s->fleet_error.details)
        err_details(e, x_strdup(s->fleet_error.details));
    return NULL;
}

const struct fleet *service_fleet_last(const struct service *s)
{
    return s->fleet;
}

void service_fleet_release(struct service *s)
{
    for (size_t i = 0; i < s->n_retired; i++)
        fleet_free(s->retired[i]);
    s->n_retired = 0;
}

void service_reload(struct service *s)
{
    s->stale = true;
}

/* --- writer and engine --- */

struct writer *service_writer(struct service *s, struct err *e)
{
    if (s->writer)
        return s->writer;
    const struct writer_callbacks cb = {
        .ctx = s,
        .claimed = on_claimed,
        .finished = on_finished,
        .committed = on_committed,
        .cancel_requested = on_cancel_requested,
        .pause_requested = on_pause_requested,
        .failed = on_failed,
        .recovered = on_recovered,
    };
    s->writer = writer_open(s->db_path, NULL, &cb, e);
    return s->writer;
}

static bool engine_is_idle(struct engine *engine)
{
    struct engine_counts c;
    engine_counts(engine, &c);
    return c.queued + c.claimed + c.running == 0;
}

struct engine *service_engine(struct service *s, unsigned fanout, struct err *e)
{
    if (!service_writer(s, e))
        return NULL;
    if (s->engine && fanout > s->fanout && engine_is_idle(s->engine))
        drop_engine(s);
    if (s->engine)
        return s->engine;
    if (fanout > s->fanout)
        s->fanout = fanout;
    const struct engine_config cfg = {
        .fanout = s->fanout, .max_queue = s->max_queue, .asker = s->asker};
    const struct event_sink sink = {.emit = sink_emit, .ctx = s};
    struct engine *engine = engine_new(&cfg, &sink, e);
    pthread_mutex_lock(&s->engine_lock);
    s->engine = engine;
    pthread_mutex_unlock(&s->engine_lock);
    return engine;
}

/* --- questions --- */

static void on_question(void *ctx)
{
    struct service *s = ctx;
    waker_wake(&s->waker);
}

void service_set_can_ask(struct service *s, bool can)
{
    if (can && !s->asker) {
        s->asker = asker_new(on_question, s);
    } else if (!can && s->asker) {
        asker_close(s->asker);
        asker_unref(X_STEAL(s->asker));
    }
    if (s->stages)
        stages_can_ask(s->stages, can);
}

bool service_question(struct service *s, struct user_question *out)
{
    struct question q;
    if (!s->asker || !asker_next(s->asker, &q))
        return false;
    *out = (struct user_question){.id = q.id, .echo = q.echo, .about = X_STEAL(q.about),
                                  .text = X_STEAL(q.text)};
    question_clear(&q);
    return true;
}

char *user_question_text(const struct user_question *q)
{
    CLEANUP_FREE char *text = text_clean(q->text);
    CLEANUP_FREE char *about = text_clean(q->about);
    size_t n = strlen(text);
    while (n && (text[n - 1] == ' ' || text[n - 1] == ':'))
        text[--n] = '\0';
    return x_asprintf("%s%s%s: ", about, *about ? ": " : "", text);
}

void user_question_clear(struct user_question *q)
{
    free(q->about);
    free(q->text);
    memset(q, 0, sizeof *q);
}

void service_answer(struct service *s, uint64_t id, struct secret *answer)
{
    if (s->asker)
        asker_answer(s->asker, id, answer);
}

int service_settle(struct service *s, struct err *e)
{
    if (s->writer || s->read_only || access(s->db_path, F_OK) != 0)
        return 0;
    struct reader *r = reader_open(s->db_path, e);
    if (!r) {
        err_clear(e); /* whoever wants to read it says so */
        return 0;
    }
    bool dead = reader_has_dead_owner(r);
    reader_close(r);
    if (!dead)
        return 0;
    size_t settled = 0;
    int rc = writer_recover(s->db_path, &settled, e);
    if (rc == 0 && settled)
        log_info("store", "settled %zu executions of dead processes", settled);
    return rc;
}

int service_agent_types(const char *socket_path, int64_t timeout_ms, struct strv *types,
                        struct err *e)
{
    return engine_agent_types(socket_path, timeout_ms, types, e);
}

unsigned long service_files_needed(unsigned fanout)
{
    return engine_files_needed(fanout);
}

/* --- waiting --- */

int service_wake_fd(struct service *s)
{
    return s->waker.fd;
}

void service_wake_drain(struct service *s)
{
    waker_drain(&s->waker);
    if (s->n_unwritten)
        service_write_cancels(s);
}

bool service_idle(struct service *s)
{
    if (!s->engine)
        return true;
    /* In this order: an execution leaves the engine's counts only after its FINISH was emitted. */
    if (!engine_is_idle(s->engine))
        return false;
    return atomic_load(&s->finish_emitted) == atomic_load(&s->finish_committed);
}

const char *service_trouble(struct service *s)
{
    pthread_mutex_lock(&s->lock);
    free(s->trouble_shown);
    s->trouble_shown = x_strdup(s->trouble);
    pthread_mutex_unlock(&s->lock);
    return s->trouble_shown;
}

bool service_stuck(struct service *s)
{
    pthread_mutex_lock(&s->lock);
    bool failing = s->trouble != NULL;
    pthread_mutex_unlock(&s->lock);
    if (!s->engine || !failing)
        return false;
    struct engine_counts c;
    engine_counts(s->engine, &c);
    return c.claimed + c.running == 0;
}

void service_abort(struct service *s)
{
    if (!s->engine)
        return;
    engine_stop_dispatch(s->engine);
    engine_abort(s->engine);
    plans_left(s->plans);
}

void service_leave(struct service *s)
{
    stages_stop(s->stages);
    service_set_can_ask(s, false);
    service_abort(s);
    /* The engine stays, with whatever hangs in it; no callback reaches it any more. */
    pthread_mutex_lock(&s->engine_lock);
    s->engine = NULL;
    pthread_mutex_unlock(&s->engine_lock);
    copies_free(X_STEAL(s->copies), true);
    writer_close(s->writer);
    s->writer = NULL;
}
