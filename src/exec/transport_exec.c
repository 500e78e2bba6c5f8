/* SPDX-License-Identifier: Apache-2.0 */
/* The exec transport: a command template of the user's takes the command where no ssh goes, into a
 * container say. It is cut into words by the shell's quoting rules (muster/core/words.h), without any
 * expansion, and started as it is: no shell of ours stands between.
 *
 * A template that ends before the command's first line has come did not start it: what it said is the
 * error. One with a terminal of its own (docker exec -t) is not made for this: its output is one
 * stream. */
#include "muster/exec/transport.h"

#include "relay.h"
#include "ssh_dest.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/core/words.h"

#include <errno.h>
#include <string.h>

struct exec {
    struct session *s;
    struct relay relay;
    char *host, *user;
};

static const char *template_of(const struct session *s)
{
    return session_over(s)->exec ? session_over(s)->exec : session_base(s)->exec;
}

static bool words_for(struct exec *x, const char *line, struct strv *out, struct err *e)
{
    const struct template_values v = {session_node(x->s), x->host, x->user, line};

    return template_fill(template_of(x->s), &v, out, e) == 0;
}

static bool stop_words(void *ctx, const char *line, unsigned way, struct strv *out)
{
    struct exec *x = ctx;
    char *program;

    if (way || !words_for(x, line, out, NULL) || !(program = child_find_program(out->v[0])))
        return false;
    free(out->v[0]);
    out->v[0] = program;
    return true;
}

static void *exec_open(struct session *s)
{
    struct exec *x = x_calloc(1, sizeof *x);

    x->s = s;
    relay_init(&x->relay, s);
    x->relay.stopper.words = stop_words;
    x->relay.stopper.ctx = x;
    return x;
}

/* The node's `host`, or its name. */
static char *find_host(const struct session *s)
{
    const char *host = session_over(s)->host ? session_over(s)->host : session_base(s)->host;

    return dest_fill(host ? host : "%n", session_node(s));
}

static void refuse(struct exec *x, const char *why)
{
    session_end_failed(x->s, REASON_UNSUPPORTED, false, "%s", why);
}

static void start(struct exec *x)
{
    const struct settings *over = session_over(x->s), *base = session_base(x->s);
    struct err e CLEANUP_ERR = ERR_INIT;
    CLEANUP_STRV struct strv words = STRV_INIT;

    if (!template_of(x->s)) {
        refuse(x, "the transport exec needs a command template: set `exec` for the node or its "
                  "group, as in exec: \"docker exec {node} sh -c {command}\"");
        return;
    }
    if (session_wants_pty(x->s)) {
        refuse(x, "the transport exec makes no terminal: put what asks for one (-t) into its "
                  "template instead of --pty");
        return;
    }
    x->host = find_host(x->s);
    x->user = x_strdup(over->user ? over->user : base->user);

    CLEANUP_FREE char *line = session_wrapped_command(x->s, x->host, x->user ? x->user : "");

    if (!line)
        return; /* it has ended by that */
    if (!words_for(x, line, &words, &e)) {
        session_end_failed(x->s, REASON_UNSUPPORTED, false, "the template \"%s\" is wrong: %s",
                           template_of(x->s), e.msg);
        return;
    }

    char *program = child_find_program(words.v[0]);

    if (!program) {
        session_end_failed(x->s, REASON_UNSUPPORTED, false,
                           "no program \"%s\", which the template of the transport exec starts: "
                           "install it here, or give its path", words.v[0]);
        return;
    }
    session_set_endpoint(x->s, x->host, 0, x->user);
    free(words.v[0]);
    words.v[0] = program;
    session_started(x->s);

    int rc = relay_spawn(&x->relay, &words, NULL, line);

    if (!rc)
        return;
    session_not_started(x->s);
    session_end_failed(x->s, rc == EACCES || rc == ENOEXEC ? REASON_UNSUPPORTED : REASON_INTERNAL,
                       rc == EAGAIN || rc == ENOMEM || rc == EMFILE, "cannot start %s: %s",
                       program, strerror(rc));
}

static void end(struct exec *x)
{
    struct relay *r = &x->relay;
    int status = child_status(&r->child);

    if (r->told) {
        child_end_session(&r->child);
        return;
    }

    CLEANUP_FREE char *said = relay_last_lines(r->early.s, r->early.len);
    CLEANUP_FREE char *code = status >= 0 ? x_asprintf("exit code %d", status)
                                          : x_asprintf("signal %d", r->child.how.si_status);

    session_not_started(x->s);
    session_end_failed(x->s, REASON_UNREACHABLE, false,
                       "the template ended before the command began (%s): %s", code,
                       *said ? said : "it said nothing; does it run {command} by a shell, as in "
                                      "sh -c {command}?");
}

static void exec_step(void *priv, unsigned wake)
{
    struct exec *x = priv;
    struct relay *r = &x->relay;

    if (wake & WAKE_START)
        start(x);
    if (!r->child.pid)
        return;
    if (relay_step(r) == RELAY_OVER)
        end(x);

    int64_t at = relay_due(r);

    if (at >= 0) {
        int64_t left = at - mono_ms(session_clock(x->s));

        session_timer(x->s, left > 0 ? left : 0);
    }
}

/* Before it has said who it is only the child here can be reached, and nobody knows of the rest. */
static void exec_stop(void *priv, int sig)
{
    struct exec *x = priv;

    relay_stop(&x->relay, sig);
    if (session_pid(x->s) || sig != SIGKILL)
        return;
    child_signal(&x->relay.child, SIGKILL);
    session_stopped(x->s, REMOTE_UNKNOWN);
}

static void exec_close(void *priv)
{
    struct exec *x = priv;

    relay_close(&x->relay);
    free(x->host);
    free(x->user);
    free(x);
}

const struct transport_ops transport_exec = {
    .name = "exec",
    .open = exec_open,
    .step = exec_step,
    .stop = exec_stop,
    .close = exec_close,
};
