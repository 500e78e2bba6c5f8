/* SPDX-License-Identifier: Apache-2.0 */
/* A child that takes the command somewhere else. */
#include "relay.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/text.h"
#include "muster/core/batch.h"
#include "muster/exec/transport.h"

#include <string.h>

#define GONE_WAIT_MS 500 /* for the child to see that the command has gone */
#define LINES_MAX 3
#define LINE_TEXT_MAX ((size_t) 400)

static size_t relay_sink(void *ctx, int stream, const char *p, size_t n);

void relay_init(struct relay *r, struct session *s)
{
    *r = (struct relay) {.s = s, .due = -1};
    child_init(&r->child, s);
    stopper_init(&r->stopper, s);
    strbuf_init(&r->early, 0);
}

int relay_spawn(struct relay *r, const struct strv *words, char *const *envp, const char *line)
{
    const struct child_spec spec = {
        .argv = words->v,
        .envp = envp,
        .feed = session_has_input(r->s),
    };

    r->raw = strcmp(line, session_command(r->s)) == 0;
    r->told = r->raw;
    child_init(&r->child, r->s);
    r->child.sink = relay_sink;
    r->child.ctx = r;
    return child_spawn(&r->child, &spec);
}

static int64_t now(const struct relay *r)
{
    return mono_ms(session_clock(r->s));
}

static void keep_tail(struct relay *r, const char *p, size_t n)
{
    if (n > RELAY_TAIL) {
        p += n - RELAY_TAIL;
        n = RELAY_TAIL;
    }

    size_t keep = r->n_tail < RELAY_TAIL - n ? r->n_tail : RELAY_TAIL - n;

    memmove(r->tail, r->tail + r->n_tail - keep, keep);
    memcpy(r->tail + keep, p, n);
    r->n_tail = keep + n;
}

/* Hands on what was kept apart. false: the session did not take all. */
static bool flush_early(struct relay *r)
{
    if (!r->early.len || r->own_stderr)
        return true;
    strbuf_consume(&r->early, session_output(r->s, STREAM_STDERR, r->early.s, r->early.len));
    return r->early.len == 0;
}

/* The token's line may be whole now; what stands before it goes away where it is not the command's. */
static void look_for_token(struct relay *r)
{
    const char *token = session_first_token(r->s);
    const char *at = r->own_stderr ? NULL : memmem(r->early.s, r->early.len, token, strlen(token));

    if (at && memchr(at, '\n', (size_t) (r->early.s + r->early.len - at))) {
        r->told = true;
        if (r->drop_early)
            strbuf_consume(&r->early, (size_t) (at - r->early.s));
    } else if (r->early.len > RELAY_EARLY_MAX) {
        strbuf_consume(&r->early, r->early.len - RELAY_EARLY_MAX);
    }
}

static size_t relay_sink(void *ctx, int stream, const char *p, size_t n)
{
    struct relay *r = ctx;

    if (stream == STREAM_STDOUT) {
        size_t took = session_output(r->s, stream, p, n);

        /* A terminal has one stream, and the token comes in that. */
        if (!r->told && session_pid(r->s)) {
            r->told = true;
            if (r->drop_early)
                strbuf_reset(&r->early);
        }
        return took;
    }
    if (!r->told || r->own_stderr) {
        keep_tail(r, p, n);
        strbuf_add(&r->early, p, n);
        look_for_token(r);
        if (r->told)
            flush_early(r);
        return n;
    }

    size_t took = flush_early(r) ? session_output(r->s, stream, p, n) : 0;

    keep_tail(r, p, took);
    return took;
}

bool relay_release(struct relay *r)
{
    r->told = true;
    return flush_early(r);
}

/* The stopper has said what is left. */
static void stop_answer(struct relay *r)
{
    enum remote_process what = r->stopper.answer;

    r->answered = true;
    if (what == REMOTE_STOPPED && !r->child.exited) {
        r->due = now(r) + GONE_WAIT_MS; /* it ends by itself, and its last output counts */
        return;
    }
    /* That the child has ended tells nothing of what its command has started. */
    session_stopped(r->s, what);
}

enum relay_state relay_step(struct relay *r)
{
    /* What was told to stop before it said who it is: now it has. */
    if (r->stopping && r->stopper.state == STOPPER_IDLE && session_pid(r->s))
        stopper_ask(&r->stopper, r->stopping);

    bool over = child_step(&r->child);

    if (r->told && !flush_early(r))
        over = false;
    if (stopper_step(&r->stopper))
        stop_answer(r);
    if (r->answered && r->due >= 0 && (over || now(r) >= r->due)) {
        r->due = -1;
        session_stopped(r->s, REMOTE_STOPPED);
    }
    if (r->answered)
        return RELAY_ANSWERED;
    /* Who was told to stop it may still be looking at what the child left. */
    return over && !stopper_busy(&r->stopper) ? RELAY_OVER : RELAY_RUNS;
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

int64_t relay_due(const struct relay *r)
{
    return sooner(sooner(child_due(&r->child), stopper_due(&r->stopper)), r->due);
}

void relay_stop(struct relay *r, int sig)
{
    r->stopping = sig;
    if (session_pid(r->s)) {
        stopper_ask(&r->stopper, sig);
        session_timer(r->s, 0);
    }
}

void relay_close(struct relay *r)
{
    child_close(&r->child, SIGKILL);
    stopper_close(&r->stopper);
    strbuf_free(&r->early);
}

char *relay_last_lines(const char *text, size_t n)
{
    const char *end = text + n, *from;
    struct strbuf b;
    int lines = 0;

    while (end > text && strchr(" \t\r\n", end[-1]))
        end--;
    for (from = end; from > text && end - from < (ptrdiff_t) LINE_TEXT_MAX; from--)
        if (from[-1] == '\n' && ++lines == LINES_MAX)
            break;
    strbuf_init(&b, 0);
    while (from < end) {
        const char *stop = memchr(from, '\n', (size_t) (end - from));
        const char *to = stop ? stop : end;

        while (to > from && to[-1] == '\r')
            to--;
        if (to > from && b.len)
            strbuf_adds(&b, "; ");
        text_sanitise(&b, from, (size_t) (to - from), (enum text_flags) 0);
        from = stop ? stop + 1 : end;
    }
    return strbuf_steal(&b);
}
