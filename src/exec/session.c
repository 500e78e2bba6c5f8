/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a session: attempts, deadlines, stopping, the end.
 *
 *   attempt -> (failed before the command: pause -> attempt)* -> started -> ended
 *
 * Where the batch is one to be tried again (retry_for_ms), an end that may be cured by waiting is
 * followed by a pause and a new session for the same job.
 *
 * A deadline or a cancel before the start ends it at once; after the start it first stops the
 * remote process: TERM, after the grace time KILL, and at the latest KILL_WAIT_MS after that it
 * ends with what is known. */
#include "session.h"

#include "become.h"
#include "engine_priv.h"

#include "muster/base/alloc.h"
#include "muster/base/hash.h"
#include "muster/base/log.h"
#include "muster/core/batch.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define STEP_BYTES ((size_t) 256 << 10) /* output taken in one step */
#define KILL_WAIT_MS 5000               /* beside the grace time, for an answer after KILL */
#define STUBBORN_WAIT_MS 1000           /* for the end, when KILL is said to have left it running */
#define BACKOFF_MS 250
#define BACKOFF_MAX_MS 4000
#define RETRY_COMMAND_MS 60000 /* LIMIT: of a command that is tried again, where no other is set */
#define DEADLINE_STEP_MS 20 /* it is not looked at more often while it moves */

static void arm(struct session *s, enum session_timer which, int64_t in_ms)
{
    timers_set(&s->reactor->timers, &s->timer[which], reactor_now(s->reactor) + in_ms);
}

static void disarm(struct session *s, enum session_timer which)
{
    timers_clear(&s->reactor->timers, &s->timer[which]);
}

static uint32_t jitter(struct session *s, uint32_t below)
{
    /* splitmix64: reproducible from the engine's seed, whatever the order of events */
    uint64_t z = (s->jitter += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t) ((z ^ (z >> 31)) % below);
}

static int64_t pick_time(int64_t over, int64_t base, int64_t fallback)
{
    return over >= 0 ? over : base >= 0 ? base : fallback;
}

/* The first one is the default. */
static bool pick_transport(struct session *s, const char *name)
{
    const struct engine *e = s->reactor->engine;
    for (size_t i = 0; e->transports[i]; i++) {
        if (name && strcmp(e->transports[i]->name, name) != 0)
            continue;
        s->ops = e->transports[i];
        s->shared = e->shared[i].of;
        return true;
    }
    return false;
}

static struct session *session_new(struct reactor *r, struct job *job)
{
    struct session *s = x_calloc(1, sizeof *s);
    char id[33];

    s->reactor = r;
    s->job = job;
    link_append(&r->sessions, &s->link);
    link_init(&s->run);
    for (int i = 0; i < SESSION_WATCHES; i++)
        s->watch[i] = (struct watch){.session = s, .fd = -1};
    for (int i = 0; i < TIMER_COUNT; i++)
        s->timer[i] = (struct timer){.session = s, .which = i};
    random_hex(id, 16);
    snprintf(s->token, sizeof s->token, "%cmuster-%s", TOKEN_MARK, id);
    output_init(&s->out, job->batch->max_output, s->token);
    input_init(&s->input);
    session_make_become(s);
    s->exit_code = -1;
    s->first = s->begun = reactor_now(r);
    s->connect_ms = pick_time(job->over.connect_timeout_ms, job->base.connect_timeout_ms, 0);
    if (!s->connect_ms)
        s->connect_ms = CONNECT_TIMEOUT_DEFAULT_MS;
    s->command_ms = pick_time(job->over.command_timeout_ms, job->base.command_timeout_ms, 0);
    if (!s->command_ms && job->batch->retry_for_ms)
        s->command_ms = RETRY_COMMAND_MS;
    s->jitter = r->engine->seed ^ ((uint64_t) job->batch->number << 32) ^ job->position;
    return s;
}

/* What the transport had at the session goes with the attempt. */
static void close_attempt(struct session *s)
{
    for (int i = 0; i < SESSION_WATCHES; i++)
        if (s->watch[i].fd >= 0)
            session_unwatch(s, s->watch[i].fd);
    if (s->help) {
        s->waited_ms += help_waited(s->help);
        help_abandon(X_STEAL(s->help));
    }
    session_handshake_done(s);
    disarm(s, TIMER_TRANSPORT);
    link_remove(&s->run);
    s->pending = 0;
    s->want_room = false;
    if (s->priv)
        s->ops->close(X_STEAL(s->priv));
}

static void bury(struct session *s)
{
    s->done = true;
    close_attempt(s);
    for (int i = 0; i < TIMER_COUNT; i++)
        disarm(s, (enum session_timer) i);
    link_remove(&s->link);
    link_append(&s->reactor->dead, &s->link);
}

static struct event *finish_event(struct session *s, enum reason reason)
{
    const struct job *job = s->job;
    struct event *ev = event_new(EVENT_FINISH, job->batch->number, job->position);

    output_end(&s->out);
    for (int i = 0; i < 2; i++) {
        ev->data[i] = X_STEAL(s->out.stream[i].buf);
        ev->len[i] = s->out.stream[i].len;
        ev->truncated[i] = s->out.stream[i].truncated;
    }
    ev->wall_ms = wall_ms(s->reactor->clock);
    ev->duration_ms = reactor_now(s->reactor) - s->first;
    ev->status = reason == REASON_NONE ? EXEC_SUCCESS : EXEC_FAILED;
    ev->reason = reason;
    ev->attempts = s->attempts;
    ev->transport = s->ops ? x_strdup(s->ops->name) : NULL;
    if (s->fallback_why)
        ev->note = x_asprintf("%s, because %s", s->ops->name, s->fallback_why);
    ev->host = X_STEAL(s->host);
    ev->user = X_STEAL(s->user);
    ev->port = s->port;
    ev->exit_code = -1;
    return ev;
}

/* The session after `last`, which makes its first attempt in so many milliseconds. */
static void session_next(const struct session *last, struct job *job, int64_t in_ms)
{
    struct session *s = session_new(last->reactor, job);

    s->first = last->first;
    s->begun += in_ms;
    s->attempts = last->attempts;
    s->ran = last->ran || last->started;
    s->jitter = last->jitter;
    pick_transport(s, job->over.transport ? job->over.transport : job->base.transport);
    arm(s, TIMER_DEADLINE, in_ms + s->connect_ms);
    arm(s, TIMER_PHASE, in_ms);
}

static bool may_be_cured(const struct session *s, enum reason reason)
{
    switch (reason) {
    case REASON_EXIT:
        return s->exit_code == ENGINE_NOT_YET;
    case REASON_AUTH: /* no logins while it boots; but a password is not tried over and over */
        return !s->job->batch->password && !s->job->batch->become_password;
    case REASON_SIGNAL:
    case REASON_TIMEOUT:
    case REASON_UNREACHABLE:
    case REASON_LOST:
        return true;
    default:
        return false;
    }
}

static uint32_t backoff(struct session *s)
{
    uint32_t most = BACKOFF_MS;
    for (unsigned i = 1; i < s->attempts && most < BACKOFF_MAX_MS; i++)
        most *= 2;
    return most / 2 + jitter(s, most / 2 + 1);
}

/* Buries it for another session of the same job, when waiting may help and there is time for it. */
static bool begin_again(struct session *s, enum reason reason)
{
    struct job *job = s->job;
    int64_t now = reactor_now(s->reactor);
    int64_t in_ms = backoff(s);

    if (!job->batch->retry_for_ms || s->last || !may_be_cured(s, reason) ||
        now + in_ms >= s->first + job->batch->retry_for_ms)
        return false;
    for (int i = 0; i < 2; i++)
        if (s->out.stream[i].kept != s->out.stream[i].len)
            return false; /* some of it was emitted: it cannot be taken back */
    bury(s);
    s->job = NULL;
    session_next(s, job, in_ms);
    return true;
}

/* Takes over error. */
static void finish(struct session *s, enum reason reason, char *error, enum remote_process remote)
{
    struct engine *e = s->reactor->engine;
    struct job *job = s->job;

    /* Not beside one that goes on running whatever is done. */
    if (remote != REMOTE_RUNNING && begin_again(s, reason)) {
        free(error);
        return;
    }
    struct event *ev = finish_event(s, reason);

    ev->error = error;
    ev->remote = remote;
    if (reason == REASON_NONE || reason == REASON_EXIT)
        ev->exit_code = s->exit_code;
    if (reason == REASON_SIGNAL)
        ev->signal = X_STEAL(s->signal);
    if (log_enabled(LOG_DEBUG))
        log_line(LOG_DEBUG, "exec", job->batch->number & ENGINE_BATCH_MASK, job->node,
                 "ended after %" PRId64 " ms, attempt %u: %s %s", ev->duration_ms, ev->attempts,
                 reason == REASON_NONE ? "success" : reason_name(reason), error ? error : "");
    bury(s);
    e->sink.emit(e->sink.ctx, ev);
    s->job = NULL;
    engine_ended(e, job);
}

static void open_attempt(struct session *s)
{
    s->attempts++;
    s->priv = s->ops->open(s);
    reactor_wake(s->reactor, s, WAKE_START);
}

void session_start(struct reactor *r, struct job *job)
{
    struct session *s = session_new(r, job);
    const char *name = job->over.transport ? job->over.transport : job->base.transport;

    if (!pick_transport(s, name)) {
        finish(s, REASON_UNSUPPORTED,
               x_asprintf("there is no transport \"%s\"; set `transport` to " TRANSPORT_CHOICES,
                          name ? name : ""),
               REMOTE_NONE);
        return;
    }
    arm(s, TIMER_DEADLINE, s->connect_ms);
    open_attempt(s);
}

static int64_t connect_deadline(const struct session *s)
{
    return s->begun + s->connect_ms + s->waited_ms;
}

/* Another attempt, when it may help and the deadline leaves time for it. */
static bool try_again(struct session *s)
{
    if (s->started || !s->retry || s->attempts > s->job->batch->retries)
        return false;
    int64_t in_ms = backoff(s);
    if (reactor_now(s->reactor) + in_ms >= connect_deadline(s))
        return false;
    close_attempt(s);
    s->end = END_NONE;
    free(X_STEAL(s->error));
    arm(s, TIMER_PHASE, in_ms);
    return true;
}

/* Goes on with openssh at once, as if it had been the node's transport. */
static void fall_back(struct session *s)
{
    close_attempt(s);
    pick_transport(s, FALLBACK_NAME);
    free(X_STEAL(s->host));
    free(X_STEAL(s->user));
    s->port = 0;
    s->phase = NULL;
    s->end = END_NONE;
    s->attempts--;
    open_attempt(s);
}

static void settle_end(struct session *s)
{
    if (s->end == END_FALLBACK) {
        fall_back(s);
    } else if (s->stop) {
        /* Whatever ended it, it was told to end; a lost connection leaves doubt, and so does the
         * end of the first process alone when nobody could look for the others. */
        bool doubt = s->end == END_FAILED || s->stop_answer == REMOTE_UNKNOWN;
        finish(s, s->stop_reason, X_STEAL(s->stop_error),
               !doubt ? REMOTE_STOPPED : s->started ? REMOTE_UNKNOWN : REMOTE_NONE);
    } else if (s->end == END_EXIT) {
        bool ok = s->exit_code == 0;
        finish(s, ok ? REASON_NONE : REASON_EXIT,
               ok ? NULL : x_asprintf("exit code %d", s->exit_code), REMOTE_NONE);
    } else if (s->end == END_SIGNAL) {
        finish(s, REASON_SIGNAL, x_asprintf("ended by signal %s", s->signal), REMOTE_NONE);
    } else if (!try_again(s)) {
        enum reason reason = s->reason;
        if (s->started && reason != REASON_HOSTKEY && reason != REASON_AUTH &&
            reason != REASON_INTERNAL)
            reason = REASON_LOST;
        finish(s, reason, X_STEAL(s->error), s->started ? REMOTE_UNKNOWN : REMOTE_NONE);
    }
}

void session_settle(struct session *s)
{
    if (s->done)
        return;
    if (s->end != END_NONE) {
        settle_end(s);
        return;
    }
    enum remote_process answer = s->stop_answer;
    s->stop_answer = REMOTE_NONE;
    if (!s->stop)
        return;
    if (answer == REMOTE_STOPPED || answer == REMOTE_UNKNOWN) {
        finish(s, s->stop_reason, X_STEAL(s->stop_error), answer);
    } else if (answer == REMOTE_RUNNING && s->stop == STOP_KILL) {
        s->stop = STOP_STUBBORN;
        arm(s, TIMER_PHASE, STUBBORN_WAIT_MS);
    }
}

void session_step(struct session *s)
{
    if (s->done || !s->priv)
        return;
    unsigned wake = s->pending;
    s->pending = 0;
    s->budget = STEP_BYTES;
    if (wake & WAKE_HELP) {
        /* The work's argument is the transport's again. */
        s->waited_ms += help_waited(s->help);
        free(X_STEAL(s->help));
    }
    s->ops->step(s->priv, wake);
    session_settle(s);
}

static void stop_with(struct session *s, enum stop_phase phase, int sig, int64_t wait)
{
    s->stop = phase;
    arm(s, TIMER_PHASE, wait);
    s->ops->stop(s->priv, sig);
    session_settle(s);
}

/* Takes over error. */
static void stop(struct session *s, enum reason reason, char *error)
{
    if (!s->started) {
        finish(s, reason, error, REMOTE_NONE);
        return;
    }
    s->stop_reason = reason;
    s->stop_error = error;
    disarm(s, TIMER_DEADLINE);
    session_heard(s);
    stop_with(s, STOP_TERM, SIGTERM, s->reactor->engine->stop_grace_ms);
}

void session_cancel(struct session *s)
{
    /* One that is being stopped for its time limit keeps that as its reason. */
    s->last = true;
    if (!s->done && !s->stop)
        stop(s, REASON_CANCELLED, x_strdup("Cancelled by user"));
}

/* How much later its connect deadline is, for what it has waited for a helper. */
static bool deadline_moved(struct session *s)
{
    int64_t left = connect_deadline(s) - reactor_now(s->reactor);

    if (s->help)
        left += help_waited(s->help);
    if (s->started || left <= 0)
        return false;
    arm(s, TIMER_DEADLINE, left < DEADLINE_STEP_MS ? DEADLINE_STEP_MS : left);
    return true;
}

static void deadline_passed(struct session *s)
{
    if (deadline_moved(s))
        return;
    int64_t ms = s->started ? s->command_ms : s->connect_ms;
    bool where = !s->started && s->phase;
    stop(s, REASON_TIMEOUT,
         x_asprintf("%s timed out after %.10gs%s%s", s->started ? "command" : "connect",
                    (double) ms / 1000, where ? " " : "", where ? s->phase : ""));
}

static void phase_over(struct session *s)
{
    switch (s->stop) {
    case STOP_NOT:
        open_attempt(s);
        break;
    case STOP_TERM:
        stop_with(s, STOP_KILL, SIGKILL, s->reactor->engine->stop_grace_ms + KILL_WAIT_MS);
        break;
    case STOP_KILL:
        finish(s, s->stop_reason, X_STEAL(s->stop_error), REMOTE_UNKNOWN);
        break;
    case STOP_STUBBORN:
        finish(s, s->stop_reason, X_STEAL(s->stop_error), REMOTE_RUNNING);
        break;
    }
}

void session_timer_due(struct session *s, int which)
{
    switch ((enum session_timer) which) {
    case TIMER_TRANSPORT:
        reactor_wake(s->reactor, s, WAKE_TIMER);
        break;
    case TIMER_DEADLINE:
        deadline_passed(s);
        break;
    case TIMER_PHASE:
        phase_over(s);
        break;
    case TIMER_FLUSH:
        if (session_flush(s) && s->want_room) {
            s->want_room = false;
            reactor_wake(s->reactor, s, WAKE_ROOM);
        }
        break;
    case TIMER_BECOME:
        session_become_due(s);
        session_settle(s);
        break;
    case TIMER_PROGRESS:
        session_tell_progress(s);
        break;
    case TIMER_COUNT:
        break;
    }
}

void session_abort(struct session *s)
{
    s->last = true;
    if (s->started)
        finish(s, REASON_LOST,
               x_strdup("muster left at once while the command ran; it may still run"),
               REMOTE_UNKNOWN);
    else if (s->ran)
        finish(s, REASON_LOST, x_strdup("muster left between two tries: the command has run on it, and "
                                        "whether to good effect is not known"), REMOTE_UNKNOWN);
    else
        finish(s, REASON_SKIPPED, x_strdup("muster left before it was started"), REMOTE_NONE);
}

void session_discard(struct session *s)
{
    bury(s);
}

void session_free(struct session *s)
{
    output_free(&s->out);
    input_clear(&s->input);
    become_free(s->become);
    free(s->fallback_why);
    free(s->host);
    free(s->user);
    free(s->signal);
    free(s->error);
    free(s->stop_error);
    free(s);
}
