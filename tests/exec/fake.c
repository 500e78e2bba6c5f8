/* SPDX-License-Identifier: Apache-2.0 */
/* The fake transport: every fault that a network has, at times that a seed decides. */
#include "fake.h"

#include "muster/base/alloc.h"
#include "muster/base/strmap.h"
#include "muster/core/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum phase { CONNECTING, WAITING, SHAKING, HELPED, RUNNING };

struct fake {
    struct session *s;
    unsigned node;
    struct fake_plan plan;
    enum phase phase;
    char server[32];
    bool in_place, stopping;
    unsigned ticks; /* that have passed */
    size_t sent[2];
    char token[80];
    size_t token_sent;
    int *helped; /* the helper's until WAKE_HELP */
};

uint64_t fake_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static enum fake_kind kind_of(uint64_t h)
{
    unsigned percent = (unsigned) (h % 100);
    if (percent < 60)
        return FAKE_OK;
    /* the rest evenly */
    return (enum fake_kind) (1 + (percent - 60) % (FAKE_KINDS - 1));
}

struct fake_plan fake_plan(uint64_t seed, int only, unsigned node)
{
    uint64_t h = fake_mix(seed ^ ((uint64_t) node << 20));
    struct fake_plan p = {.kind = only >= 0 ? (enum fake_kind) only : kind_of(h >> 8)};

    p.connect_ms = 1 + (int64_t) (h % 200);
    p.ticks = 1 + (unsigned) ((h >> 16) % 4);
    p.tick_ms = (int64_t) ((h >> 24) % 800);
    p.bytes[0] = (h >> 32) % 3000;
    p.bytes[1] = (h >> 40) % 1500;
    if (p.kind == FAKE_BIG)
        p.bytes[h & 1] = 100000 + (h >> 44) % 500000;
    if (p.kind == FAKE_EXIT)
        p.exit_code = 1 + (int) ((h >> 50) % 254);
    return p;
}

char fake_byte(unsigned node, int stream, size_t at)
{
    /* The beginning of a token is in it, so the filter has to let it pass. */
    static const char text[] = "@muster-0123456789abcdef 42\n@@mu";
    return text[(at * 5 + node + (unsigned) stream * 3) % (sizeof text - 1)];
}

static void *fake_open(struct session *s)
{
    struct fake *f = x_calloc(1, sizeof *f);
    unsigned long long seed = 0;
    int only = -1;

    f->s = s;
    assert_true(sscanf(session_command(s), "seed %llu only %d", &seed, &only) >= 1);
    assert_int_equal(sscanf(session_node(s), "n%u", &f->node), 1);
    f->plan = fake_plan(seed, only, f->node);
    return f;
}

static intptr_t *server_count(struct fake *f)
{
    struct strmap *servers = session_shared(f->s);
    void *count;
    if (!strmap_get(servers, f->server, &count)) {
        count = x_calloc(1, sizeof(intptr_t));
        strmap_set(servers, f->server, count);
    }
    return count;
}

static void enter_place(struct fake *f)
{
    f->in_place = true;
    assert_true(++*server_count(f) <= FAKE_PLACES_EACH);
    f->phase = SHAKING;
    if (f->plan.kind != FAKE_HANG_PLACE)
        session_timer(f->s, FAKE_HANDSHAKE_MS);
}

static void leave_place(struct fake *f)
{
    if (f->in_place)
        --*server_count(f);
    f->in_place = false;
}

static void begin_run(struct fake *f)
{
    f->phase = RUNNING;
    snprintf(f->token, sizeof f->token, "%s %u\n", session_token(f->s), f->node + 100);
    session_set_endpoint(f->s, "fake.example", 22, "tester");
    session_started(f->s);
    session_timer(f->s, f->plan.tick_ms);
}

static void work(void *arg, struct help *help)
{
    ++*(int *) arg;
}

static void connected(struct fake *f)
{
    /* Later attempts of the flaky ones go through. */
    struct strmap *shared = session_shared(f->s);
    char key[64];

    switch (f->plan.kind) {
    case FAKE_FLAKY:
        snprintf(key, sizeof key, "flaky %lld %u", (long long) session_batch(f->s), f->node);
        if (strmap_set(shared, key, NULL))
            session_end_failed(f->s, REASON_UNREACHABLE, true, "dropped");
        else
            begin_run(f);
        break;
    case FAKE_REFUSED:
        session_end_failed(f->s, REASON_UNREACHABLE, true, "connection refused");
        break;
    case FAKE_AUTH:
        session_end_failed(f->s, REASON_AUTH, false, "no key was accepted");
        break;
    case FAKE_PLACES:
    case FAKE_HANG_PLACE:
        snprintf(f->server, sizeof f->server, "%s%u:22",
                 f->plan.kind == FAKE_PLACES ? "shared" : "own",
                 f->plan.kind == FAKE_PLACES ? f->node % 3 : f->node);
        f->phase = WAITING;
        if (session_want_handshake(f->s, f->server))
            enter_place(f);
        break;
    case FAKE_HELP:
        f->phase = HELPED;
        f->helped = x_calloc(1, sizeof *f->helped);
        session_help(f->s, work, free, f->helped);
        break;
    default:
        begin_run(f);
        break;
    }
}

static bool runs_for_ever(const struct fake *f)
{
    return f->plan.kind >= FAKE_HANG;
}

/* Sends what is due up to the tick. false: the session takes no more for now. */
static bool send_due(struct fake *f)
{
    size_t token_len = strlen(f->token);
    char piece[1000];

    while (f->token_sent < token_len) {
        size_t n = 1 + (f->node + f->token_sent) % 9;
        if (n > token_len - f->token_sent)
            n = token_len - f->token_sent;
        size_t took = session_output(f->s, STREAM_STDERR, f->token + f->token_sent, n);
        f->token_sent += took;
        if (took < n)
            return false;
    }
    assert_int_equal(session_pid(f->s), f->node + 100);
    for (int i = 0; i < 2; i++) {
        size_t due = f->plan.bytes[i] * f->ticks / f->plan.ticks;
        while (f->sent[i] < due) {
            size_t n = due - f->sent[i] < sizeof piece ? due - f->sent[i] : sizeof piece;
            for (size_t k = 0; k < n; k++)
                piece[k] = fake_byte(f->node, i, f->sent[i] + k);
            size_t took = session_output(f->s, i, piece, n);
            assert_true(took <= n);
            f->sent[i] += took;
            if (took < n)
                return false;
        }
    }
    return true;
}

static void run(struct fake *f, unsigned wake)
{
    if ((wake & WAKE_TIMER) && f->ticks < f->plan.ticks)
        f->ticks++;
    if (!send_due(f))
        return; /* WAKE_ROOM comes */
    if (f->ticks < f->plan.ticks) {
        session_timer(f->s, f->plan.tick_ms);
        return;
    }
    if (f->plan.kind == FAKE_DROP)
        session_end_failed(f->s, REASON_UNREACHABLE, true, "connection reset");
    else if (f->plan.kind == FAKE_SIGNAL)
        session_end_signal(f->s, "SEGV");
    else if (!runs_for_ever(f))
        session_end_exit(f->s, f->plan.exit_code);
}

static void fake_step(void *priv, unsigned wake)
{
    struct fake *f = priv;

    if ((wake & WAKE_START) && f->plan.kind != FAKE_HANG_CONNECT)
        session_timer(f->s, f->plan.connect_ms);
    if (f->phase == CONNECTING && (wake & WAKE_TIMER)) {
        connected(f);
    } else if (f->phase == WAITING && (wake & WAKE_SLOT)) {
        enter_place(f);
    } else if (f->phase == SHAKING && (wake & WAKE_TIMER)) {
        leave_place(f);
        session_handshake_done(f->s);
        begin_run(f);
    } else if (f->phase == HELPED && (wake & WAKE_HELP)) {
        assert_int_equal(*f->helped, 1);
        free(X_STEAL(f->helped));
        begin_run(f);
    } else if (f->phase == RUNNING && (wake & (WAKE_TIMER | WAKE_ROOM))) {
        run(f, wake);
    }
}

static void fake_stop(void *priv, int sig)
{
    struct fake *f = priv;

    assert_int_equal(f->phase, RUNNING);
    assert_true(sig == SIGTERM || f->stopping); /* TERM comes first */
    f->stopping = true;
    switch (f->plan.kind) {
    case FAKE_STOP_SILENT:
        break;
    case FAKE_STOP_UNKNOWN:
        session_stopped(f->s, REMOTE_UNKNOWN);
        break;
    case FAKE_STOP_LOST:
        session_end_failed(f->s, REASON_LOST, true, "connection reset");
        break;
    case FAKE_STUBBORN:
        session_stopped(f->s, REMOTE_RUNNING);
        break;
    case FAKE_NEEDS_KILL:
        if (sig == SIGKILL)
            session_end_signal(f->s, "KILL");
        else
            session_stopped(f->s, REMOTE_RUNNING);
        break;
    case FAKE_SIGNAL:
        session_stopped(f->s, REMOTE_STOPPED);
        break;
    default:
        session_end_signal(f->s, "TERM");
        break;
    }
}

static void fake_close(void *priv)
{
    struct fake *f = priv;
    leave_place(f);
    free(f);
}

static void *shared_new(const struct engine_config *cfg)
{
    return strmap_new();
}

static void free_value(const char *key, void *value, void *ctx)
{
    free(value);
}

static void shared_free(void *shared)
{
    strmap_each(shared, free_value, NULL);
    strmap_free(shared);
}

const struct transport_ops transport_fake = {
    .name = "fake",
    .open = fake_open,
    .step = fake_step,
    .stop = fake_stop,
    .close = fake_close,
    .shared_new = shared_new,
    .shared_free = shared_free,
};
