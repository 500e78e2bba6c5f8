/* SPDX-License-Identifier: Apache-2.0 */
/* The session's part of what goes to the node: the wrapped line, its input, becoming another user,
 * the line that stops it (muster/exec/transport.h). Reactor's thread. */
#include "session.h"

#include "become.h"
#include "engine_priv.h"
#include "wrap.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/hash.h"
#include "muster/base/secret.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* LIMIT: for sudo to start the command; a second factor may be a person with a telephone. */
#define BECOME_MS 120000

enum become_method session_become(const struct session *s)
{
    const struct job *job = s->job;
    const char *name = job->over.become ? job->over.become : job->base.become;
    int method = name && !job->batch->raw ? become_parse(name) : BECOME_NONE;

    return method > 0 ? (enum become_method) method : BECOME_NONE;
}

void session_make_become(struct session *s)
{
    const struct job *job = s->job;
    enum become_method method = session_become(s);
    const char *user = job->over.become_user ? job->over.become_user : job->base.become_user;
    char id[33];

    if (method == BECOME_NONE)
        return;
    s->become = become_new(method, user && *user ? user : "root", job->batch->become_password);
    random_hex(id, 16);
    snprintf(s->outer, sizeof s->outer, "%cmuster-%s", TOKEN_MARK, id);
    random_hex(id, 16);
    snprintf(s->prompt, sizeof s->prompt, "%cmuster-%s", TOKEN_MARK, id);
}

bool session_wants_pty(const struct session *s)
{
    const struct become *b = s->become;

    return s->job->batch->pty || (b && b->method == BECOME_DOAS && b->password);
}

/* Its input file, for this attempt. */
static bool open_input(struct session *s, const char *host, const char *user)
{
    const struct run_batch *batch = s->job->batch;
    struct err e = ERR_INIT;

    input_clear(&s->input);
    if (batch->stdin_path &&
        input_open(&s->input, batch->stdin_path, s->job->node, host, user, &e) != 0) {
        session_end_failed(s, REASON_INTERNAL, false, "%s; nothing was started", e.msg);
        err_clear(&e);
        return false;
    }
    if (!batch->stdin_path && batch->stdin_fd >= 0)
        input_share(&s->input, batch->stdin_fd);
    input_set_secret(&s->input, batch->input_secret);
    return true;
}

char *session_wrapped_command(struct session *s, const char *host, const char *user)
{
    const struct run_batch *batch = s->job->batch;
    struct become *b = s->become;
    struct wrap w = {.token = s->token,
                     .line = batch->command,
                     .node = s->job->node,
                     .host = host,
                     .user = user,
                     .env = &batch->env,
                     .own_env = s->job->env,
                     .chdir = batch->chdir};
    char *rest;

    if (!open_input(s, host, user))
        return NULL;
    if (batch->raw)
        return x_strdup(batch->command);
    if (b) {
        become_reset(b);
        w.become = b->method;
        w.become_user = b->user;
        w.outer = s->outer;
        w.prompt = b->password ? s->prompt : NULL;
    }
    output_become(&s->out, b, b ? s->outer : NULL, w.prompt);
    char *line = wrap_command(&w, &rest);
    input_set_rest(&s->input, rest);
    return line;
}

bool session_has_input(const struct session *s)
{
    return s->input.rest || s->input.secret || s->input.fd >= 0 || (s->become && s->become->password);
}

/* Whether the user's part may go out: what stands before it could read it, and a terminal show it. */
static bool input_open_now(const struct session *s)
{
    if (s->become)
        return s->become->state == BECOME_STARTED;
    return s->out.pid || !s->input.rest;
}

void session_tell_progress(struct session *s)
{
    const struct event_sink *sink = &s->reactor->engine->sink;
    struct timer *t = &s->timer[TIMER_PROGRESS];
    int64_t now = reactor_now(s->reactor);

    if (!s->job->batch->progress)
        return;
    if (!input_tells(&s->input, now)) {
        /* The node may take no more for long: what it has taken is told all the same. */
        int64_t in_ms = input_tells_in(&s->input, now);

        if (in_ms >= 0 && !t->at)
            timers_set(&s->reactor->timers, t, now + in_ms);
        return;
    }
    timers_clear(&s->reactor->timers, t);
    struct event *ev = event_new(EVENT_PROGRESS, s->job->batch->number, s->job->position);
    ev->bytes_done = s->input.at;
    ev->bytes_total = s->input.size;
    if (!sink->emit(sink->ctx, ev))
        event_free(ev);
}

size_t session_input(struct session *s, void *buf, size_t n, bool *end)
{
    size_t got = 0;

    *end = false;
    if (s->become && s->become->state != BECOME_STARTED) {
        /* What asks for a password now gives up. */
        *end = s->stop || s->end != END_NONE;
        got = *end ? 0 : become_answer(s->become, buf, n);
    } else if (input_open_now(s)) {
        int rc = input_read(&s->input, buf, n, &got, end);

        if (rc) {
            session_end_failed(s, REASON_INTERNAL, false, "cannot read the input file: %s",
                               strerror(-rc));
            *end = true;
        }
        session_tell_progress(s);
    }
    s->input.starved = !got && !*end;
    return got;
}

const struct copy_files *session_copy(const struct session *s)
{
    return s->job->batch->copy;
}

size_t session_copy_read(struct session *s, void *buf, size_t n, uint64_t at)
{
    char *to = buf;
    size_t got = 0;

    while (got < n) {
        ssize_t r = pread(s->job->batch->stdin_fd, to + got, n - got, (off_t) (at + got));

        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            break;
        got += (size_t) r;
    }
    return got;
}

void session_progress(struct session *s, uint64_t done, uint64_t total)
{
    s->input.at = done;
    s->input.size = total;
    s->input.ended = done == total;
    s->input.told_end &= s->input.ended;
    session_tell_progress(s);
}

void session_forget_output(struct session *s)
{
    for (int i = 0; i < 2; i++) {
        struct stream *st = &s->out.stream[i];

        free(X_STEAL(st->buf));
        st->len = st->cap = st->nheld = 0;
    }
    timers_clear(&s->reactor->timers, &s->timer[TIMER_FLUSH]);
}

void session_heard(struct session *s)
{
    const struct become *b = s->become;
    struct timer *t = &s->timer[TIMER_BECOME];

    if (b && (b->state == BECOME_REFUSED || b->state == BECOME_LOCKED)) {
        if (s->end == END_NONE)
            session_not_become(s, -1);
        return;
    }
    if (b && s->out.outer && !s->out.pid && !t->at)
        timers_set(&s->reactor->timers, t, reactor_now(s->reactor) + BECOME_MS);
    else if (b && s->out.pid)
        timers_clear(&s->reactor->timers, t);
    if (s->input.starved && (s->stop || (b && b->state == BECOME_ASKED) || input_open_now(s))) {
        s->input.starved = false;
        reactor_wake(s->reactor, s, WAKE_INPUT);
    }
}

bool session_not_become(struct session *s, int exit_code)
{
    if (!s->become || !s->out.outer || s->out.pid)
        return false;

    CLEANUP_FREE char *why = become_why(s->become, exit_code);

    become_clear_said(s->become); /* it is in the text */
    session_not_started(s);
    session_end_failed(s, REASON_AUTH, false, "%s", why);
    return true;
}

void session_become_due(struct session *s)
{
    if (!s->become || !s->out.outer || s->out.pid || s->stop || s->end != END_NONE)
        return;

    CLEANUP_FREE char *why = become_why(s->become, -1);

    /* It may yet start: what becomes of it is not known. */
    session_end_failed(s, REASON_AUTH, false, "no command was started within %d s: %s",
                       BECOME_MS / 1000, why);
}

int64_t session_pid(const struct session *s)
{
    return s->out.pid ? s->out.pid : s->out.outer;
}

/* Whether it has been seen to be right. */
static bool password_works(const struct session *s)
{
    const struct become *b = s->become;

    return b && b->used && b->state == BECOME_STARTED;
}

char *session_stop_command(struct session *s, int sig, bool closer)
{
    const struct become *b = s->become;
    int64_t pid = session_pid(s);

    if (!pid)
        return NULL;
    return wrap_stop(pid, sig, closer, b ? b->method : BECOME_NONE, b ? b->user : NULL,
                     password_works(s));
}

struct secret *session_stop_secret(const struct session *s)
{
    /* doas reads none from an input, and is not asked to. */
    return password_works(s) && s->become->method != BECOME_DOAS ? s->become->password : NULL;
}

size_t session_stop_input(struct session *s, char *buf, size_t n)
{
    const struct secret *secret = session_stop_secret(s);
    size_t len = secret ? secret_len(secret) : 0;

    if (!secret || n < len + 1)
        return 0;
    memcpy(buf, secret_text(secret), len);
    buf[len] = '\n';
    return len + 1;
}
