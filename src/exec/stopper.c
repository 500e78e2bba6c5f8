/* SPDX-License-Identifier: Apache-2.0 */
/* Stopping through another child process: kill(1) by a line of the session's, whose exit status says
 * what is left, and the same line without a signal until nothing is. */
#include "stopper.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/secret.h"
#include "muster/exec/transport.h"

#define LOOK_MS 40 /* doubled at each look up to */
#define LOOK_MAX_MS 400
#define CLOSER_AFTER 2
#define LOOKS_AFTER_KILL 6 /* about 1.5 s: a process that cannot die waits for hardware */
#define PATIENCE_MS 10000  /* for one of them; a session waits less long anyway */

void stopper_init(struct stopper *st, struct session *s)
{
    *st = (struct stopper) {.s = s, .due = -1};
    child_init(&st->child, s);
}

static int64_t now(const struct stopper *st)
{
    return mono_ms(session_clock(st->s));
}

void stopper_ask(struct stopper *st, int sig)
{
    if (st->state == STOPPER_RUNS) {
        st->next_sig = sig;
        return;
    }
    st->sig = sig;
    st->looks = 0;
    st->state = STOPPER_ASKED;
}

bool stopper_busy(const struct stopper *st)
{
    return st->state != STOPPER_IDLE && st->state != STOPPER_OVER;
}

static bool answer(struct stopper *st, enum remote_process what)
{
    st->answer = what;
    st->state = STOPPER_OVER;
    return true;
}

/* Starts one. true: no way is left. */
static bool run(struct stopper *st)
{
    CLEANUP_FREE char *line = session_stop_command(st->s, st->sig, st->looks >= CLOSER_AFTER);
    CLEANUP_STRV struct strv words = STRV_INIT;
    char given[SECRET_MAX + 2];

    if (!line)
        return false; /* it has not told who it is yet */
    for (;; st->way++) {
        strv_clear(&words);
        if (!st->words(st->ctx, line, st->way, &words))
            return answer(st, REMOTE_UNKNOWN);

        size_t n = session_stop_input(st->s, given, sizeof given);
        struct child_spec spec = {.argv = words.v,
                                  .envp = st->envp ? st->envp(st->ctx) : NULL,
                                  .quiet = true,
                                  .given = given,
                                  .n_given = n};

        child_init(&st->child, st->s);

        int rc = child_spawn(&st->child, &spec);

        secret_wipe(given, sizeof given);
        if (rc)
            continue;
        if (st->sig)
            st->last_sig = st->sig;
        st->state = STOPPER_RUNS;
        st->due = now(st) + PATIENCE_MS;
        return false;
    }
}

static void look_later(struct stopper *st)
{
    int64_t ms = LOOK_MS;

    for (unsigned i = 0; i < st->looks && ms < LOOK_MAX_MS; i++)
        ms *= 2;
    st->looks++;
    st->state = STOPPER_PAUSED;
    st->due = now(st) + (ms < LOOK_MAX_MS ? ms : LOOK_MAX_MS);
}

/* The child has ended, or has had its time. true: that answers it. */
static bool ended(struct stopper *st)
{
    int status = child_status(&st->child);

    child_close(&st->child, SIGKILL);
    if (st->next_sig && status != STOP_GONE) {
        st->sig = st->next_sig;
        st->next_sig = 0;
        st->looks = 0;
        st->state = STOPPER_ASKED;
        return false;
    }
    if (status == STOP_GONE)
        return answer(st, REMOTE_STOPPED);
    if (status != STOP_THERE) {
        /* The signal may not have come through: the next way sends it again. */
        st->way++;
        st->sig = st->last_sig;
        st->state = STOPPER_ASKED;
        return false;
    }
    st->sig = 0;
    if (st->last_sig == SIGKILL && st->looks >= LOOKS_AFTER_KILL)
        return answer(st, REMOTE_RUNNING);
    look_later(st);
    return false;
}

bool stopper_step(struct stopper *st)
{
    if (st->state == STOPPER_PAUSED && now(st) >= st->due)
        st->state = STOPPER_ASKED;
    if (st->state == STOPPER_RUNS && (child_step(&st->child) || now(st) >= st->due) && ended(st))
        return true;
    return st->state == STOPPER_ASKED && run(st);
}

int64_t stopper_due(const struct stopper *st)
{
    if (st->state == STOPPER_PAUSED)
        return st->due;
    if (st->state != STOPPER_RUNS)
        return -1;

    int64_t at = child_due(&st->child);

    return at >= 0 && at < st->due ? at : st->due;
}

void stopper_close(struct stopper *st)
{
    child_close(&st->child, SIGKILL);
}
