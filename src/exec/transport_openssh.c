/* SPDX-License-Identifier: Apache-2.0 */
/* The transport openssh: the system's ssh program, one process a node.
 *
 * find out -> wait for a turn -> wait for a handshake place -> ssh runs -> over
 *
 * ssh itself decides when the command is sent, so the command may have started from the moment ssh
 * has; that it did not is known when ssh says so (255 before the token), or when ssh was ended while
 * its ControlPath did not exist yet, which it makes after signing in and before the command. What ssh
 * says goes to a file by -E and never mixes with the command's stderr. The connect timeout is kept
 * here, since the session's ends with the start. */
#include "muster/exec/transport.h"

#include "askpass.h"
#include "openssh.h"
#include "relay.h"
#include "ssh_keyring.h"
#include "ssh_shared.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/secret.h"
#include "muster/core/batch.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_WAIT_MS 500
#define STILL_LOOKS 100 /* for a signal to be heeded, which takes microseconds */
#define STILL_NS 100000
#define WAIT_MS ((int64_t) 24 * 3600 * 1000) /* while it waits for us, nothing times out */

struct openssh {
    struct session *s;
    struct openssh_shared *shared;
    enum { FINDING, TURN, PLACE, RUNNING } state;
    struct openssh_prep *prep; /* the helper's until it is found */
    bool found;
    struct turn turn;
    int64_t connect_left, limit_ms;

    char *control, *log, *socket; /* paths; control NULL: the user's own is used */
    struct strv env;
    int listener;                   /* -1 */
    struct question_work *question; /* the helper's while asking; NULL before the first */
    bool asking;
    int64_t asked_at;

    struct relay relay;
    bool begun, timed_out;
    int64_t deadline; /* of connecting; -1: none */
    int64_t over_at;  /* ssh had ended while a helper was answering it; -1: no */
};

static int64_t now(const struct openssh *x)
{
    return mono_ms(session_clock(x->s));
}

static bool stop_words(void *ctx, const char *line, unsigned way, struct strv *out)
{
    struct openssh *x = ctx;
    const struct openssh_call call = {.fresh = x->control != NULL,
                                      .password = session_password(x->s) != NULL,
                                      .ask = x->listener >= 0,
                                      .connect_ms = x->limit_ms};

    if (x->control && way == 0)
        openssh_words_shared(x->prep, x->control, line, out);
    else if (way == (x->control ? 1 : 0))
        openssh_words(x->prep, &call, line, out);
    else
        return false;
    return true;
}

static char *const *stop_env(void *ctx)
{
    return ((struct openssh *) ctx)->env.v;
}

static void *openssh_open(struct session *s)
{
    struct openssh *x = x_calloc(1, sizeof *x);

    x->s = s;
    x->shared = session_shared(s);
    x->listener = x->turn.fd = -1;
    x->deadline = x->over_at = -1;
    relay_init(&x->relay, s);
    x->relay.drop_early = true;
    x->relay.stopper.words = stop_words;
    x->relay.stopper.envp = stop_env;
    x->relay.stopper.ctx = x;
    return x;
}

/* --- waiting --- */

static void begin_wait(struct openssh *x, const char *phase)
{
    session_phase(x->s, phase);
    x->connect_left = session_connect_left(x->s);
    session_set_timeouts(x->s, WAIT_MS, -1);
}

static void end_wait(struct openssh *x)
{
    session_set_timeouts(x->s, WAIT_MS - session_connect_left(x->s) + x->connect_left, -1);
}

static void spawn(struct openssh *x);

static void want_place(struct openssh *x)
{
    x->state = PLACE;
    begin_wait(x, "while it waited for other connections to the same server");
    if (session_want_handshake(x->s, x->prep->place)) {
        end_wait(x);
        spawn(x);
    }
}

static void want_turn(struct openssh *x)
{
    int rc = turn_ask(x->shared, &x->turn);

    if (rc) {
        session_end_failed(x->s, REASON_INTERNAL, true, "cannot wait for a turn: %s",
                           strerror(rc));
        return;
    }
    if (x->turn.granted) {
        want_place(x);
        return;
    }
    x->state = TURN;
    begin_wait(x, "while it waited for other ssh programs to end");
    session_watch(x->s, x->turn.fd, EPOLLIN);
}

static void found_out(struct openssh *x)
{
    struct openssh_prep *p = x->prep;

    if (p->failed != REASON_NONE) {
        session_end_failed(x->s, p->failed, p->retry, "%s", p->error);
        return;
    }
    session_set_endpoint(x->s, p->hostname, p->port, p->user);
    if (p->connect_ms > 0)
        session_set_timeouts(x->s, p->connect_ms, -1);
    session_trace(x->s, "ssh_config: %s@%s port %d%s", p->user, p->hostname, p->port,
                  p->proxied ? ", by a jump host or a proxy" : "");
    want_turn(x);
}

/* --- starting --- */

/* false: the session has been ended by it. */
static bool make_paths(struct openssh *x, bool ask)
{
    CLEANUP_FREE char *path = openssh_path(x->shared);

    if (!path) {
        session_end_failed(x->s, REASON_INTERNAL, false,
                           "cannot make a private folder in XDG_RUNTIME_DIR or /tmp: %s",
                           strerror(errno));
        return false;
    }
    x->log = x_asprintf("%sl", path);
    if (!x->prep->conf->control_path)
        x->control = x_asprintf("%sc", path);
    if (!ask)
        return true;
    x->socket = x_asprintf("%sa", path);
    x->listener = askpass_listen(x->socket);
    if (x->listener < 0) {
        session_end_failed(x->s, REASON_INTERNAL, errno == EMFILE,
                           "cannot listen for what ssh asks: %s", strerror(errno));
        return false;
    }
    session_watch(x->s, x->listener, EPOLLIN);
    return true;
}

static int64_t command_limit(const struct openssh *x)
{
    const struct settings *over = session_over(x->s), *base = session_base(x->s);

    return over->command_timeout_ms >= 0 ? over->command_timeout_ms : base->command_timeout_ms;
}

/* As it was given, for texts. */
static double connect_seconds(const struct openssh *x)
{
    const struct settings *over = session_over(x->s), *base = session_base(x->s);
    int64_t ms = over->connect_timeout_ms > 0   ? over->connect_timeout_ms
                 : x->prep->connect_ms > 0      ? x->prep->connect_ms
                 : base->connect_timeout_ms > 0 ? base->connect_timeout_ms
                                                : CONNECT_TIMEOUT_DEFAULT_MS;

    return (double) ms / 1000;
}

static void spawn(struct openssh *x)
{
    const struct openssh_prep *p = x->prep;
    bool password = session_password(x->s) != NULL;
    bool ask = password || (openssh_can_ask(x->shared) && !p->conf->batch_mode);
    CLEANUP_STRV struct strv words = STRV_INIT;

    x->state = RUNNING;
    session_phase(x->s, "while ssh connected");
    if (!make_paths(x, ask))
        return;

    CLEANUP_FREE char *line = session_wrapped_command(x->s, p->hostname, p->user);

    if (!line)
        return;
    x->limit_ms = session_connect_left(x->s);
    if (x->limit_ms < 1)
        x->limit_ms = 1;

    const struct openssh_call call = {
        .control = x->control,
        .log = x->log,
        .password = password,
        .ask = ask,
        .pty = session_wants_pty(x->s) || (p->conf->request_tty && !session_copy(x->s)),
        .connect_ms = x->limit_ms,
    };

    openssh_words(p, &call, line, &words);
    openssh_env(x->shared, x->socket, &x->env);
    x->relay.own_stderr = call.pty;
    /* The command's clock runs from its first line, so the limit is set then. */
    if (command_limit(x) > 0 && strcmp(line, session_command(x->s)) != 0)
        session_set_timeouts(x->s, -1, 0);
    session_started(x->s);

    int rc = relay_spawn(&x->relay, &words, x->env.v, line);

    if (rc) {
        session_not_started(x->s);
        session_end_failed(x->s, REASON_INTERNAL, rc == EAGAIN || rc == ENOMEM || rc == EMFILE,
                           "cannot start %s: %s", p->program, strerror(rc));
        return;
    }
    x->deadline = now(x) + x->limit_ms;
    session_trace(x->s, "ssh started");
}

/* --- what ssh asks --- */

static void next_question(struct openssh *x)
{
    if (x->asking || x->listener < 0)
        return;

    int conn = accept4(x->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (conn < 0)
        return;

    struct question_work *q = X_STEAL(x->question);

    if (!q) {
        q = x_calloc(1, sizeof *q);
        q->shared = x->shared;
        q->password = secret_ref(session_password(x->s));
        q->node = x_strdup(session_node(x->s));
        openssh_askers(x->prep, &q->askers);
        q->others = x->prep->proxied && !x->prep->n_hops;
    }
    q->conn = conn;
    x->question = q;
    x->asking = true;
    x->asked_at = now(x);
    session_unwatch(x->s, x->listener);
    session_help(x->s, question_answer, question_free, q);
}

static void answered(struct openssh *x)
{
    x->asking = false;
    if (x->deadline >= 0)
        x->deadline += now(x) - x->asked_at;
    session_watch(x->s, x->listener, EPOLLIN);
    session_trace(x->s, "ssh asked, and was answered");
}

/* --- the end --- */

/* Once ssh was ended from outside: whether it can have sent the command. */
static bool may_run(const struct openssh *x)
{
    return !x->control || access(x->control, F_OK) == 0;
}

static void end_not_begun(struct openssh *x)
{
    CLEANUP_FREE char *log = openssh_read_log(x->log);
    const struct question_work *q = x->asking ? NULL : x->question;
    const char *key_why = q ? q->why : NULL;
    bool password = openssh_wants_password(log) && !session_password(x->s);
    struct openssh_why why;

    openssh_explain(log, x->prep->proxied ? x->relay.early.s : NULL, &why);
    openssh_blame(x->prep, &why);

    size_t n = strlen(why.text);

    if ((key_why || password) && n && why.text[n - 1] == '.')
        why.text[n - 1] = '\0';
    if (q && q->phrase && why.reason == REASON_AUTH)
        keyring_refused(shared_keyring(openssh_conf(x->shared)), q->phrase);
    session_not_started(x->s);
    /* Another attempt would show the password again, and a wrong one locks accounts. */
    session_end_failed(x->s, why.reason, why.retry && !x->question, "%s%s%s%s", why.text,
                       key_why ? "; key " : "", key_why ? key_why : "",
                       password ? "; a password would be taken: give -A" : "");
    free(why.text);
}

static void end_timed_out(struct openssh *x)
{
    if (may_run(x)) {
        session_end_failed(x->s, REASON_LOST, false,
                           "ssh had signed in, but the command's first line had not come within "
                           "%.10gs; it may have begun", connect_seconds(x));
        return;
    }
    session_not_started(x->s);
    session_end_failed(x->s, REASON_TIMEOUT, false,
                       "connect timed out after %.10gs before ssh had signed in",
                       connect_seconds(x));
}

static void end_begun(struct openssh *x)
{
    CLEANUP_FREE char *log = openssh_read_log(x->log);
    int status = child_status(&x->relay.child);

    if (status < 0)
        session_end_failed(x->s, REASON_LOST, false, "the ssh program was ended by signal %d",
                           x->relay.child.how.si_status);
    else if (status == 255 && (openssh_lost_log(log) ||
                               openssh_lost(x->relay.tail, x->relay.n_tail)))
        session_end_failed(x->s, REASON_LOST, false,
                           "the connection was lost while the command ran");
    else
        child_end_session(&x->relay.child);
}

/* It has ended without its first line: who may be left over there is not known. */
static void end_untold(struct openssh *x)
{
    if (x->relay.stopping)
        session_stopped(x->s, REMOTE_UNKNOWN);
    child_end_session(&x->relay.child);
}

static void end(struct openssh *x)
{
    struct relay *r = &x->relay;
    int status = child_status(&r->child);

    if (x->begun)
        end_begun(x);
    else if (x->timed_out)
        end_timed_out(x);
    else if (status == 255)
        end_not_begun(x);
    else if (status >= 0 && !relay_release(r))
        return; /* the rest of it when there is room */
    else if (status >= 0)
        end_untold(x);
    else if (may_run(x))
        end_begun(x);
    else
        end_not_begun(x);
}

static void begun(struct openssh *x)
{
    x->begun = true;
    x->deadline = -1;
    session_handshake_done(x->s);
    if (x->listener >= 0 && !x->asking)
        session_unwatch(x->s, x->listener);
    session_trace(x->s, "the command has begun");
    if (x->relay.stopping || x->relay.raw || command_limit(x) <= 0)
        return;
    session_not_started(x->s);
    session_started(x->s);
    session_set_timeouts(x->s, -1, command_limit(x));
}

static void arm(struct openssh *x)
{
    int64_t at = relay_due(&x->relay);

    if (x->deadline >= 0 && !x->asking && (at < 0 || x->deadline < at))
        at = x->deadline;
    if (x->asking && x->over_at >= 0 && (at < 0 || x->over_at + ANSWER_WAIT_MS < at))
        at = x->over_at + ANSWER_WAIT_MS;
    if (at >= 0)
        session_timer(x->s, at > now(x) ? at - now(x) : 0);
}

/* The helper that answered may come back after ssh has ended on its answer; it knows why. One that
 * still waits for the user is not waited for. */
static bool helper_comes(struct openssh *x)
{
    if (!x->asking)
        return false;
    if (x->over_at < 0)
        x->over_at = now(x);
    return now(x) < x->over_at + ANSWER_WAIT_MS;
}

static void run(struct openssh *x)
{
    enum relay_state state = relay_step(&x->relay);

    if (!x->begun && session_pid(x->s))
        begun(x);
    /* Its own stop may have to sign in again. */
    if (x->relay.stopper.state != STOPPER_IDLE && x->listener >= 0 && !x->asking)
        session_watch(x->s, x->listener, EPOLLIN);
    if (state == RELAY_OVER && !helper_comes(x))
        end(x);
    else if (x->deadline >= 0 && !x->asking && now(x) >= x->deadline) {
        x->deadline = -1;
        x->timed_out = true;
        child_signal(&x->relay.child, SIGKILL);
    }
    arm(x);
}

static void openssh_step(void *priv, unsigned wake)
{
    struct openssh *x = priv;

    if (wake & WAKE_START) {
        x->prep = openssh_prep_new(x->s);
        session_phase(x->s, "while ssh_config was read (ssh -G)");
        session_help(x->s, openssh_prepare, openssh_prep_free, x->prep);
        return;
    }
    if (wake & WAKE_HELP) {
        if (x->asking) {
            answered(x);
        } else {
            x->found = true;
            found_out(x);
        }
    }
    if (x->state == TURN && turn_granted(x->shared, &x->turn)) {
        session_unwatch(x->s, x->turn.fd);
        end_wait(x);
        want_place(x);
    } else if (x->state == PLACE && (wake & WAKE_SLOT)) {
        end_wait(x);
        spawn(x);
    }
    if (x->state != RUNNING || !x->relay.child.pid)
        return;
    if (wake & WAKE_FD)
        next_question(x);
    run(x);
}

/* Ends an ssh that has not signed in, and so has not sent the command. It stands still while that is
 * looked at: it may sign in at that very moment; then it goes on. */
static void end_unsigned(struct openssh *x)
{
    struct child *c = &x->relay.child;
    siginfo_t how = {0};

    child_signal(c, SIGSTOP);
    for (int i = 0; i < STILL_LOOKS && !how.si_pid; i++) {
        if (waitid(P_PID, (id_t) c->pid, &how, WSTOPPED | WEXITED | WNOHANG | WNOWAIT) != 0)
            break;
        if (!how.si_pid)
            nanosleep(&(struct timespec){0, STILL_NS}, NULL);
    }
    child_signal(c, may_run(x) ? SIGCONT : SIGKILL);
}

/* Before it has said who it is there is nobody to be stopped over there. */
static void openssh_stop(void *priv, int sig)
{
    struct openssh *x = priv;

    relay_stop(&x->relay, sig);
    if (session_pid(x->s) || !x->relay.child.pid)
        return;
    if (sig == SIGKILL) {
        child_signal(&x->relay.child, SIGKILL);
        session_stopped(x->s, REMOTE_UNKNOWN);
    } else if (!may_run(x)) {
        end_unsigned(x);
    }
}

static void openssh_close(void *priv)
{
    struct openssh *x = priv;

    relay_close(&x->relay);
    turn_return(x->shared, &x->turn);
    if (x->listener >= 0) {
        session_unwatch(x->s, x->listener);
        close(x->listener);
        unlink(x->socket);
    }
    if (x->control)
        unlink(x->control);
    if (x->log)
        unlink(x->log);
    free(x->control);
    free(x->log);
    free(x->socket);
    strv_clear(&x->env);
    /* What a helper works on is its own. */
    if (x->found)
        openssh_prep_free(x->prep);
    if (!x->asking)
        question_free(x->question);
    free(x);
}

const struct transport_ops transport_openssh = {
    .name = "openssh",
    .open = openssh_open,
    .step = openssh_step,
    .stop = openssh_stop,
    .close = openssh_close,
    .shared_new = openssh_shared_new,
    .shared_free = openssh_shared_free,
    .shared_stop = openssh_shared_stop,
};
