/* SPDX-License-Identifier: Apache-2.0 */
/* The local transport: a child process on this machine. Stopping goes to its whole group, and lasts
 * until the group is empty; one that runs as another user is signalled as that user too. */
#include "muster/exec/transport.h"

#include "child.h"
#include "stopper.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/io.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define POLL_MS 10 /* for a group to get empty, which no event tells */
#define SHELL "/bin/sh"

struct local {
    struct session *s;
    struct child child;
    struct stopper stopper;
    bool stopping;
};

static bool shell_words(void *ctx, const char *line, unsigned way, struct strv *out)
{
    if (way)
        return false;
    strv_push(out, SHELL);
    strv_push(out, "-c");
    strv_push(out, line);
    return true;
}

static void *local_open(struct session *s)
{
    struct local *l = x_calloc(1, sizeof *l);

    l->s = s;
    child_init(&l->child, s);
    stopper_init(&l->stopper, s);
    l->stopper.words = shell_words;
    return l;
}

static void start(struct local *l)
{
    const char *user = io_user_name();
    const char *wanted = session_over(l->s)->user;

    if (wanted && strcmp(wanted, user) != 0) {
        session_end_failed(l->s, REASON_UNSUPPORTED, false,
                           "user %s is asked for, but the transport local runs commands as you (%s): "
                           "leave the user out, use --sudo=%s, or use the transport ssh",
                           wanted, user, wanted);
        return;
    }
    session_set_endpoint(l->s, "localhost", 0, user);

    CLEANUP_FREE char *command = session_wrapped_command(l->s, "localhost", user);
    CLEANUP_STRV struct strv words = STRV_INIT;

    if (!command)
        return; /* it has ended by that */
    shell_words(l, command, 0, &words);

    const struct child_spec spec = {
        .argv = words.v,
        .pty = session_wants_pty(l->s),
        .feed = session_has_input(l->s) || session_wants_pty(l->s),
    };
    int rc = child_spawn(&l->child, &spec);

    if (rc)
        session_end_failed(l->s, REASON_INTERNAL, rc == EAGAIN || rc == ENOMEM || rc == EMFILE,
                           "cannot start %s here: %s", SHELL, strerror(rc));
    else
        session_started(l->s);
}

/* It has ended and all is read. */
static void end(struct local *l)
{
    if (stopper_busy(&l->stopper))
        return;
    if (l->stopping && child_group_alive(&l->child)) {
        session_timer(l->s, POLL_MS);
        return;
    }
    child_end_session(&l->child);
}

static void arm(struct local *l)
{
    int64_t a = child_due(&l->child), b = stopper_due(&l->stopper);
    int64_t at = a < 0 || (b >= 0 && b < a) ? b : a;

    if (at < 0)
        return;

    int64_t left = at - mono_ms(session_clock(l->s));

    session_timer(l->s, left > 0 ? left : 0);
}

static void local_step(void *priv, unsigned wake)
{
    struct local *l = priv;

    if (wake & WAKE_START)
        start(l);
    if (!l->child.pid)
        return;

    bool over = child_step(&l->child);

    if (stopper_step(&l->stopper))
        session_stopped(l->s, l->stopper.answer);
    arm(l);
    if (over)
        end(l);
}

static void local_stop(void *priv, int sig)
{
    struct local *l = priv;

    l->stopping = true;

    int rc = child_signal(&l->child, sig);

    /* What belongs to another user was not reached by that, or not all of it. */
    if (session_become(l->s) != BECOME_NONE && geteuid() != 0) {
        stopper_ask(&l->stopper, sig);
        session_timer(l->s, 0);
    } else if (rc == EPERM) {
        session_stopped(l->s, REMOTE_RUNNING); /* a set-uid command; another signal may do */
    } else if (rc && l->child.exited) {
        session_timer(l->s, 0);
    }
}

static void local_close(void *priv)
{
    struct local *l = priv;

    child_close(&l->child, SIGTERM);
    stopper_close(&l->stopper);
    free(l);
}

const struct transport_ops transport_local = {
    .name = "local",
    .open = local_open,
    .step = local_step,
    .stop = local_stop,
    .close = local_close,
};
