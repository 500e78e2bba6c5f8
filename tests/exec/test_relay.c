/* SPDX-License-Identifier: Apache-2.0 */
/* What a relay keeps of a child's stderr, by a transport of its own that is one relay. */
#include "relay.h"
#include "rig.h"

#include "muster/base/alloc.h"
#include "muster/exec/transport.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#define PATIENCE 60

struct probe {
    struct session *s;
    struct relay relay;
    size_t kept; /* at most */
};

static void *probe_open(struct session *s)
{
    struct probe *p = x_calloc(1, sizeof *p);

    p->s = s;
    relay_init(&p->relay, s);
    p->relay.own_stderr = true;
    return p;
}

static void probe_step(void *priv, unsigned wake)
{
    struct probe *p = priv;
    struct relay *r = &p->relay;

    if (wake & WAKE_START) {
        CLEANUP_FREE char *line = session_wrapped_command(p->s, "h", "u");
        CLEANUP_STRV struct strv words = STRV_INIT;

        strv_push(&words, "/bin/sh");
        strv_push(&words, "-c");
        strv_push(&words, line);
        session_started(p->s);
        if (relay_spawn(r, &words, NULL, line) != 0)
            abort();
    }

    bool over = relay_step(r) == RELAY_OVER;

    p->kept = r->early.cap > p->kept ? r->early.cap : p->kept;
    /* The limit, one read beyond it, and what a buffer grows ahead. */
    if (over && (p->kept > 4 * (RELAY_EARLY_MAX + 32768) || r->n_tail != RELAY_TAIL))
        session_end_failed(p->s, REASON_INTERNAL, false, "kept %zu and %zu", p->kept, r->n_tail);
    else if (over)
        child_end_session(&r->child);
}

static void probe_stop(void *priv, int sig)
{
    session_stopped(((struct probe *) priv)->s, REMOTE_UNKNOWN);
}

static void probe_close(void *priv)
{
    struct probe *p = priv;

    relay_close(&p->relay);
    free(p);
}

static const struct transport_ops probe = {
    .name = "probe",
    .open = probe_open,
    .step = probe_step,
    .stop = probe_stop,
    .close = probe_close,
};

/* The command writes its first line to stderr, which is the child's own here, and much after it. */
static void own_stderr_has_a_limit(void **state)
{
    static const struct transport_ops *const only[] = {&probe, NULL};
    struct engine_config cfg = {.fanout = 1, .max_queue = 10, .reactors = 1, .transports = only};
    struct rig rig;

    rig_start(&rig, &cfg, 1);
    rig_submit(&rig, "head -c 20000000 /dev/zero >&2; echo end", NULL, 1, 1000, false);
    rig_wait(&rig, 1, PATIENCE);
    if (rig.results[0].end->error)
        fail_msg("%s", rig.results[0].end->error);
    assert_int_equal(rig.results[0].len[1], 0);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_stderr_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
