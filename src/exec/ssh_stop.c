/* SPDX-License-Identifier: Apache-2.0 */
/* Stopping the process on the node. Closing a channel or a connection stops nothing there, and
 * the library cannot send signals; so a second channel on the same connection runs kill(1) on
 * the process group that the command's first line has told. It looks again until nothing of the
 * group is left. Where the server grants one session a connection (MaxSessions 1), each signal and
 * look is a connection of its own, by the engine inside the engine.
 *
 * Theory of operation: that engine answers on its own thread, maybe after this session has gone. So
 * the two share a counted side_stop, and an eventfd in it wakes the session. */
#include "ssh_conn.h"

#include "ssh_side.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/log.h"
#include "muster/base/secret.h"
#include "muster/core/event.h"

#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LOOK_MS 40 /* doubled at each look up to */
#define LOOK_MAX_MS 400
#define CLOSER_AFTER 2
#define SIDE_LOOK_MS 400     /* a look that costs a connection */
#define SIDE_CONNECT_MS 5000
#define SIDE_COMMAND_MS 5000
#define LOOKS_AFTER_KILL 6 /* about 1.5 s: a process that cannot die waits for hardware */

bool conn_stopping(const struct conn *c)
{
    return c->stop.state != STOPPER_OFF && c->stop.state != STOPPER_DONE;
}

static void stop_answer(struct conn *c, enum remote_process what)
{
    c->stop.state = STOPPER_DONE;
    session_stopped(c->session, what);
}

/* What both engines have of a stop by a second connection. */
struct side_stop {
    int refs;   /* atomic */
    int fd;     /* eventfd: readable when it is over */
    int status; /* what the line ended with, -1: not known; written before the event */
};

static void side_stop_unref(struct side_stop *side)
{
    if (!side || __atomic_sub_fetch(&side->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    close(side->fd);
    free(side);
}

/* On the other engine's thread. */
static void side_done(void *ctx, const struct event *finish)
{
    struct side_stop *side = ctx;
    static const uint64_t one = 1;

    if (finish->status == EXEC_SUCCESS || finish->reason == REASON_EXIT)
        side->status = finish->exit_code;
    else if (finish->error)
        log_line(LOG_INFO, "ssh", finish->batch, NULL, "stopping by a second connection: %s",
                 finish->error);
    if (write(side->fd, &one, sizeof one) < 0)
        log_warn("ssh", "a session could not be woken");
    side_stop_unref(side);
}

static void side_drop(void *ctx)
{
    side_stop_unref(ctx);
}

static int submit_side(struct conn *c, const char *line, struct side_stop *side, struct err *e)
{
    struct settings over;
    struct engine_batch batch = {
        .number = session_batch(c->session),
        .command = line,
        .max_output = READ_SIZE,
        .ssh_config = session_ssh_config(c->session),
        .ssh_options = session_ssh_options(c->session),
        .raw = true,
        .input_secret = session_stop_secret(c->session),
        .password = session_password(c->session),
    };
    struct engine_job job = {.node = session_node(c->session),
                             .base = session_base(c->session),
                             .over = &over};

    settings_init(&over);
    settings_merge(&over, session_over(c->session));
    free(over.transport);
    over.transport = x_strdup("ssh");
    over.connect_timeout_ms = SIDE_CONNECT_MS;
    over.command_timeout_ms = SIDE_COMMAND_MS;

    int rc = side_submit(c->prep->shared, &batch, &job, side_done, side_drop, side, e);

    settings_clear(&over);
    return rc;
}

static bool stop_by_side(struct conn *c)
{
    CLEANUP_FREE char *line =
        session_stop_command(c->session, c->stop.sig, c->stop.looks >= CLOSER_AFTER);
    struct side_stop *side = x_calloc(1, sizeof *side);
    struct err e = ERR_INIT;

    side->refs = 2;
    side->status = -1;
    side->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!line || side->fd < 0 || submit_side(c, line, side, &e) != 0) {
        log_line(LOG_INFO, "ssh", session_batch(c->session), session_node(c->session),
                 "no second connection to stop the process: %s", e.msg ? e.msg : "no descriptor");
        err_clear(&e);
        if (side->fd >= 0)
            close(side->fd);
        free(side);
        stop_answer(c, REMOTE_UNKNOWN);
        return false;
    }
    if (c->stop.sig)
        c->stop.last_sig = c->stop.sig;
    c->stop.side = side;
    c->stop.state = STOPPER_SIDE;
    session_watch(c->session, side->fd, EPOLLIN);
    return false;
}

static bool stop_open(struct conn *c)
{
    if (c->stop.alone)
        return stop_by_side(c);
    c->stop.channel =
        libssh2_channel_open_ex(c->ssh, "session", 7, READ_SIZE, READ_SIZE, NULL, 0);
    if (c->stop.channel) {
        c->stop.state = STOPPER_EXEC;
        return true;
    }

    int rc = libssh2_session_last_errno(c->ssh);

    if (rc == LIBSSH2_ERROR_EAGAIN)
        return false;
    c->stop.alone = rc == LIBSSH2_ERROR_CHANNEL_FAILURE;
    if (c->stop.alone)
        return true;
    stop_answer(c, REMOTE_UNKNOWN);
    return false;
}

static void input_free(struct stopper *stop)
{
    if (stop->input)
        secret_wipe(stop->input, stop->input_len);
    free(X_STEAL(stop->input));
    stop->input_len = stop->input_off = 0;
}

static bool stop_exec(struct conn *c)
{
    CLEANUP_FREE char *line =
        session_stop_command(c->session, c->stop.sig, c->stop.looks >= CLOSER_AFTER);
    int rc = !line ? LIBSSH2_ERROR_INVAL
                   : libssh2_channel_process_startup(c->stop.channel, "exec", 4, line,
                                                     (unsigned) strlen(line));

    if (rc == LIBSSH2_ERROR_EAGAIN)
        return false;
    if (rc != 0) {
        stop_answer(c, REMOTE_UNKNOWN);
        return false;
    }
    if (c->stop.sig)
        c->stop.last_sig = c->stop.sig;
    input_free(&c->stop);
    c->stop.input = x_malloc(SECRET_MAX + 2);
    c->stop.input_len = session_stop_input(c->session, c->stop.input, SECRET_MAX + 2);
    c->stop.eof_ms = 0;
    c->stop.state = STOPPER_FEED;
    return true;
}

static bool stop_feed(struct conn *c)
{
    struct stopper *stop = &c->stop;

    while (stop->input_off < stop->input_len) {
        ssize_t n = libssh2_channel_write_ex(stop->channel, 0, stop->input + stop->input_off,
                                             stop->input_len - stop->input_off);

        if (n == LIBSSH2_ERROR_EAGAIN)
            return false;
        if (n < 0)
            break; /* it has ended without reading: it did not need it */
        stop->input_off += (size_t) n;
    }
    input_free(stop);
    libssh2_channel_send_eof(stop->channel);
    stop->state = STOPPER_READ;
    return true;
}

static bool stop_read(struct conn *c)
{
    char buf[1024];
    ssize_t n;

    for (int stream = 0; stream < 2; stream++)
        while ((n = libssh2_channel_read_ex(c->stop.channel, stream ? SSH_EXTENDED_DATA_STDERR : 0,
                                            buf, sizeof buf)) > 0)
            ;
    if (!libssh2_channel_eof(c->stop.channel))
        return false;
    if (libssh2_channel_wait_closed(c->stop.channel) != 0 &&
        !conn_close_due(c, &c->stop.eof_ms, true))
        return false;
    c->stop.state = STOPPER_CLOSE;
    return true;
}

static void look_later(struct conn *c)
{
    int64_t ms = c->stop.alone ? SIDE_LOOK_MS : LOOK_MS;

    for (unsigned i = 0; i < c->stop.looks && ms < LOOK_MAX_MS; i++)
        ms *= 2;
    c->stop.looks++;
    c->stop.state = STOPPER_PAUSE;
    session_timer(c->session, ms < LOOK_MAX_MS ? ms : LOOK_MAX_MS);
}

/* The line has ended with stop.status: what now? true: at once with another signal. */
static bool stop_ended(struct conn *c)
{
    if (c->stop.next_sig && c->stop.status != STOP_GONE) {
        c->stop.sig = c->stop.next_sig;
        c->stop.next_sig = 0;
        c->stop.looks = 0;
        c->stop.state = STOPPER_WANTED;
        return true;
    }
    c->stop.sig = 0;
    if (c->stop.status == STOP_GONE)
        stop_answer(c, REMOTE_STOPPED);
    else if (c->stop.status != STOP_THERE)
        stop_answer(c, REMOTE_UNKNOWN);
    else if (c->stop.last_sig == SIGKILL && c->stop.looks >= LOOKS_AFTER_KILL)
        stop_answer(c, REMOTE_RUNNING);
    else
        look_later(c);
    return false;
}

static bool stop_close(struct conn *c)
{
    int rc = libssh2_channel_close(c->stop.channel);

    if (rc == LIBSSH2_ERROR_EAGAIN)
        return false;
    c->stop.status = rc == 0 ? libssh2_channel_get_exit_status(c->stop.channel) : -1;
    libssh2_channel_free(c->stop.channel);
    c->stop.channel = NULL;
    return stop_ended(c);
}

static void drop_side(struct conn *c)
{
    struct side_stop *side = X_STEAL(c->stop.side);

    if (!side)
        return;
    session_unwatch(c->session, side->fd);
    side_stop_unref(side);
}

static bool stop_sided(struct conn *c)
{
    uint64_t count;

    if (read(c->stop.side->fd, &count, sizeof count) != sizeof count)
        return false;
    c->stop.status = c->stop.side->status;
    drop_side(c);
    return stop_ended(c);
}

void conn_stop_free(struct conn *c)
{
    drop_side(c);
    input_free(&c->stop);
}

void conn_stop_step(struct conn *c)
{
    for (bool on = true; on;) {
        switch (c->stop.state) {
        case STOPPER_WANTED:
            on = session_pid(c->session) != 0;
            if (on)
                c->stop.state = STOPPER_OPEN;
            else if (c->state == CONN_CLOSE)
                stop_answer(c, REMOTE_UNKNOWN); /* it has ended without telling who it was */
            break;
        case STOPPER_OPEN:
            on = stop_open(c);
            break;
        case STOPPER_EXEC:
            on = stop_exec(c);
            break;
        case STOPPER_FEED:
            on = stop_feed(c);
            break;
        case STOPPER_SIDE:
            on = stop_sided(c);
            break;
        case STOPPER_READ:
            on = stop_read(c);
            break;
        case STOPPER_CLOSE:
            on = stop_close(c);
            break;
        case STOPPER_OFF:
        case STOPPER_PAUSE:
        case STOPPER_DONE:
            on = false;
            break;
        }
    }
}

void conn_stop_ask(struct conn *c, int sig)
{
    if (conn_stopping(c) && c->stop.state != STOPPER_WANTED && c->stop.state != STOPPER_PAUSE) {
        c->stop.next_sig = sig;
        return;
    }
    c->stop.sig = sig;
    c->stop.looks = 0;
    c->stop.state = STOPPER_WANTED;
}

void conn_stop_look(struct conn *c)
{
    if (c->stop.state == STOPPER_PAUSE)
        c->stop.state = STOPPER_WANTED;
}
