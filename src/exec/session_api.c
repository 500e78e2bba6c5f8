/* SPDX-License-Identifier: Apache-2.0 */
/* What a transport may ask of its session (muster/exec/transport.h). Reactor's thread. */
#include "session.h"

#include "engine_priv.h"

#include "muster/base/alloc.h"
#include "muster/base/io.h"
#include "muster/core/batch.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define FLUSH_LIVE_MS 200 /* output waits no longer when it is watched */
#define FLUSH_RETRY_MS 20 /* the sink refused */
#define ERROR_MAX 1000    /* bytes of an error's text: part of it is the host's */

const char *session_node(const struct session *s)
{
    return s->job->node;
}

void *session_shared(const struct session *s)
{
    return s->shared;
}

const char *session_command(const struct session *s)
{
    return s->job->batch->command;
}

const char *session_token(const struct session *s)
{
    return s->token;
}

const char *session_first_token(const struct session *s)
{
    return s->become ? s->outer : s->token;
}

const struct settings *session_base(const struct session *s)
{
    return &s->job->base;
}

const struct settings *session_over(const struct session *s)
{
    return &s->job->over;
}

const char *session_ssh_config(const struct session *s)
{
    return s->job->batch->ssh_config;
}

const struct strv *session_ssh_options(const struct session *s)
{
    return s->job->batch->has_options ? &s->job->batch->ssh_options : NULL;
}

int64_t session_batch(const struct session *s)
{
    return s->job->batch->number & ENGINE_BATCH_MASK;
}

const struct mclock *session_clock(const struct session *s)
{
    return s->reactor->clock;
}

void session_set_endpoint(struct session *s, const char *host, int port, const char *user)
{
    if (host) {
        free(s->host);
        s->host = x_strdup(host);
    }
    if (port)
        s->port = port;
    if (user) {
        free(s->user);
        s->user = x_strdup(user);
    }
}

void session_phase(struct session *s, const char *where)
{
    s->phase = where;
}

static struct watch *find_watch(struct session *s, int fd)
{
    for (int i = 0; i < SESSION_WATCHES; i++)
        if (s->watch[i].fd == fd)
            return &s->watch[i];
    return NULL;
}

void session_watch(struct session *s, int fd, uint32_t events)
{
    struct watch *w = find_watch(s, fd);
    bool fresh = !w;

    if (fresh)
        w = find_watch(s, -1);
    if (!w) {
        session_end_failed(s, REASON_INTERNAL, false, "more than %d descriptors in one session",
                           SESSION_WATCHES);
        return;
    }
    if (!fresh && w->events == events)
        return;
    w->fd = fd;
    w->events = events;
    if (!s->reactor->threaded)
        return;
    struct epoll_event ev = {.events = events, .data = {.ptr = w}};
    if (epoll_ctl(s->reactor->epoll, fresh ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &ev) == 0)
        return;
    w->fd = -1;
    session_end_failed(s, REASON_INTERNAL, false, "cannot watch a descriptor: %s",
                       strerror(errno));
}

void session_unwatch(struct session *s, int fd)
{
    struct watch *w = fd >= 0 ? find_watch(s, fd) : NULL;
    if (!w)
        return;
    w->fd = -1;
    if (s->reactor->threaded)
        epoll_ctl(s->reactor->epoll, EPOLL_CTL_DEL, fd, NULL);
}

void session_timer(struct session *s, int64_t in_ms)
{
    struct timer *t = &s->timer[TIMER_TRANSPORT];
    if (in_ms < 0)
        timers_clear(&s->reactor->timers, t);
    else
        timers_set(&s->reactor->timers, t, reactor_now(s->reactor) + in_ms);
}

void session_again(struct session *s)
{
    reactor_wake(s->reactor, s, WAKE_ROOM);
}

void session_help(struct session *s, void (*work)(void *arg, struct help *help),
                  void (*free_arg)(void *arg), void *arg)
{
    if (s->help) {
        free_arg(arg);
        session_end_failed(s, REASON_INTERNAL, false, "two pieces of help at once");
        return;
    }
    struct help *help = x_calloc(1, sizeof *help);
    help->reactor = s->reactor;
    help->session = s;
    help->work = work;
    help->free_arg = free_arg;
    help->arg = arg;
    help->lane = s->place ? LANE_CONNECTED : LANE_LOOKUP;
    s->help = help;
    helpers_run(s->reactor->engine->helpers, help);
}

bool session_want_handshake(struct session *s, const char *server)
{
    bool at_once = false;
    session_handshake_done(s);
    s->place = places_ask(s->reactor->engine->places, server, s->reactor, s, &at_once);
    return at_once;
}

void session_handshake_done(struct session *s)
{
    if (s->place)
        places_return(s->reactor->engine->places, X_STEAL(s->place));
}

void session_handshake_look(struct session *s)
{
    places_look(s->reactor->engine->places, reactor_now(s->reactor));
}

void session_set_timeouts(struct session *s, int64_t connect_ms, int64_t command_ms)
{
    if (connect_ms > 0)
        s->connect_ms = connect_ms;
    if (connect_ms > 0 && !s->started && !s->stop)
        timers_set(&s->reactor->timers, &s->timer[TIMER_DEADLINE],
                   s->begun + connect_ms + s->waited_ms);
    if (command_ms < 0)
        return;
    s->command_ms = command_ms;
    if (!s->started || s->stop)
        return;
    if (command_ms)
        timers_set(&s->reactor->timers, &s->timer[TIMER_DEADLINE],
                   s->started_at + command_ms);
    else
        timers_clear(&s->reactor->timers, &s->timer[TIMER_DEADLINE]);
}

int64_t session_connect_left(const struct session *s)
{
    return s->begun + s->connect_ms + s->waited_ms - reactor_now(s->reactor);
}

void session_started(struct session *s)
{
    if (s->started)
        return;
    s->started = true;
    s->started_at = reactor_now(s->reactor);
    timers_clear(&s->reactor->timers, &s->timer[TIMER_DEADLINE]);
    if (s->command_ms > 0)
        timers_set(&s->reactor->timers, &s->timer[TIMER_DEADLINE],
                   s->started_at + s->command_ms);
}

void session_not_started(struct session *s)
{
    s->started = false;
    /* Its connect timeout is the one before the start. */
    timers_set(&s->reactor->timers, &s->timer[TIMER_DEADLINE],
               s->begun + s->connect_ms + s->waited_ms);
}

bool session_flush(struct session *s)
{
    const struct event_sink *sink = &s->reactor->engine->sink;

    timers_clear(&s->reactor->timers, &s->timer[TIMER_FLUSH]);
    if (!output_len(&s->out))
        return true;
    struct event *ev = event_new(EVENT_OUTPUT, s->job->batch->number, s->job->position);
    for (int i = 0; i < 2; i++) {
        ev->data[i] = s->out.stream[i].buf;
        ev->len[i] = s->out.stream[i].len;
    }
    s->refused = !sink->emit(sink->ctx, ev);
    if (s->refused) {
        ev->data[0] = ev->data[1] = NULL;
        ev->len[0] = ev->len[1] = 0;
        event_free(ev);
        timers_set(&s->reactor->timers, &s->timer[TIMER_FLUSH],
                   reactor_now(s->reactor) + FLUSH_RETRY_MS);
        return false;
    }
    for (int i = 0; i < 2; i++) {
        s->out.stream[i].buf = NULL;
        s->out.stream[i].len = s->out.stream[i].cap = 0;
    }
    return true;
}

size_t session_output(struct session *s, int stream, const void *p, size_t n)
{
    const char *bytes = p;
    const struct stream *st = &s->out.stream[stream];
    size_t taken = 0;

    while (taken < n && s->budget) {
        size_t part = n - taken < s->budget ? n - taken : s->budget;
        part = output_put(&s->out, stream, bytes + taken, part);
        taken += part;
        s->budget -= part;
        /* A sink that refused is asked again by the timer, not with every read. */
        if (st->len >= OUTPUT_CHUNK && !s->refused)
            session_flush(s);
        if (!part && s->refused)
            break;
    }
    session_heard(s);
    if (s->job->batch->live && output_len(&s->out) && !s->timer[TIMER_FLUSH].at)
        timers_set(&s->reactor->timers, &s->timer[TIMER_FLUSH],
                   reactor_now(s->reactor) + FLUSH_LIVE_MS);
    if (taken == n)
        return n;
    if (s->budget)
        s->want_room = true; /* the buffer is full: when the sink has taken it */
    else
        reactor_wake(s->reactor, s, WAKE_ROOM); /* in the next turn, after the others */
    return taken;
}

void session_end_exit(struct session *s, int exit_code)
{
    if (s->end != END_NONE || session_not_become(s, exit_code))
        return;
    s->end = END_EXIT;
    s->exit_code = exit_code;
}

void session_end_signal(struct session *s, const char *signal)
{
    if (s->end != END_NONE || session_not_become(s, -1))
        return;
    s->end = END_SIGNAL;
    s->signal = x_strndup(signal, 32);
}

void session_end_failed(struct session *s, enum reason reason, bool retry, const char *fmt, ...)
{
    if (s->end != END_NONE)
        return;
    va_list ap;
    va_start(ap, fmt);
    s->error = x_vasprintf(fmt, ap);
    va_end(ap);
    if (strlen(s->error) > ERROR_MAX)
        s->error[ERROR_MAX] = '\0';
    s->end = END_FAILED;
    s->reason = reason;
    s->retry = retry;
}

struct secret *session_password(const struct session *s)
{
    return s->job->batch->password;
}

bool session_traced(const struct session *s)
{
    return s->job->batch->trace != NULL;
}

void session_trace(struct session *s, const char *fmt, ...)
{
    const struct run_batch *b = s->job->batch;
    va_list ap;

    if (!b->trace)
        return;
    va_start(ap, fmt);

    CLEANUP_FREE char *text = x_vasprintf(fmt, ap);

    va_end(ap);
    b->trace(b->trace_ctx, s->job->node, reactor_now(s->reactor) - s->begun, text);
}

/* Whether there is a program `ssh` to fall back to; looked for once. */
static bool has_ssh_program(struct engine *e)
{
    int known = __atomic_load_n(&e->ssh_program, __ATOMIC_RELAXED);

    if (known)
        return known > 0;

    CLEANUP_FREE char *path = x_strdup(getenv("PATH"));
    char *save = NULL;

    known = -1;
    for (char *dir = path ? strtok_r(path, ":", &save) : NULL; dir && known < 0;
         dir = strtok_r(NULL, ":", &save)) {
        CLEANUP_FREE char *file = io_join(dir, "ssh");

        if (access(file, X_OK) == 0)
            known = 1;
    }
    __atomic_store_n(&e->ssh_program, known, __ATOMIC_RELAXED);
    return known > 0;
}

bool session_fallback(struct session *s, const char *fmt, ...)
{
    struct engine *e = s->reactor->engine;
    bool there = false;
    va_list ap;

    if (s->started || s->end != END_NONE || strcmp(s->ops->name, FALLBACK_FROM) != 0)
        return false;
    for (size_t i = 0; e->transports[i]; i++)
        there |= strcmp(e->transports[i]->name, FALLBACK_NAME) == 0;
    if (!there || !has_ssh_program(e))
        return false;
    va_start(ap, fmt);
    s->fallback_why = x_vasprintf(fmt, ap);
    va_end(ap);
    s->end = END_FALLBACK;
    return true;
}

const char *session_fallback_why(const struct session *s)
{
    return s->fallback_why;
}

void session_stopped(struct session *s, enum remote_process what)
{
    s->stop_answer = what;
}
