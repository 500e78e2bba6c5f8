/* SPDX-License-Identifier: Apache-2.0 */
/* Stopping the process on the node. Closing a channel or a connection stops nothing there, and
 * the library cannot send signals; so a second channel on the same connection runs kill(1) on
 * the process group that the command's first line has told. It looks again until nothing of the
 * group is left. */
#include "ssh_conn.h"

#include "muster/base/alloc.h"

#include <signal.h>
#include <string.h>

#define LOOK_MS 40 /* doubled at each look up to */
#define LOOK_MAX_MS 400
#define CLOSER_AFTER 2
#define LOOKS_AFTER_KILL 6 /* about 1.5 s: a process that cannot die waits for hardware */

bool conn_stopping(const struct conn *c)
{
    return c->stop.state != STOPPER_OFF && c->stop.state != STOPPER_DONE;
}

static void stop_answer(struct conn *c, enum remote_process what)
{
    c->stop.state = STOPPER_DONE;
    /* When the command's channel has ended cleanly, that says more than "unknown". */
    if (what != REMOTE_UNKNOWN || (c->state != CONN_CLOSE && c->state != CONN_OVER))
        session_stopped(c->session, what);
}

static bool stop_open(struct conn *c)
{
    c->stop.channel =
        libssh2_channel_open_ex(c->ssh, "session", 7, READ_SIZE, READ_SIZE, NULL, 0);
    if (c->stop.channel) {
        c->stop.state = STOPPER_EXEC;
        return true;
    }
    /* MaxSessions 1 is refused like this. */
    if (libssh2_session_last_errno(c->ssh) != LIBSSH2_ERROR_EAGAIN)
        stop_answer(c, REMOTE_UNKNOWN);
    return false;
}

static bool stop_exec(struct conn *c)
{
    CLEANUP_FREE char *line =
        session_stop_command(c->session, c->stop.sig, c->stop.looks >= CLOSER_AFTER);
    int rc = libssh2_channel_process_startup(c->stop.channel, "exec", 4, line,
                                             (unsigned) strlen(line));

    if (rc == LIBSSH2_ERROR_EAGAIN)
        return false;
    if (rc != 0) {
        stop_answer(c, REMOTE_UNKNOWN);
        return false;
    }
    if (c->stop.sig)
        c->stop.last_sig = c->stop.sig;
    libssh2_channel_send_eof(c->stop.channel);
    c->stop.state = STOPPER_READ;
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
    c->stop.state = STOPPER_CLOSE;
    return true;
}

static void look_later(struct conn *c)
{
    int64_t ms = LOOK_MS;

    for (unsigned i = 0; i < c->stop.looks && ms < LOOK_MAX_MS; i++)
        ms *= 2;
    c->stop.looks++;
    c->stop.state = STOPPER_PAUSE;
    session_timer(c->session, ms < LOOK_MAX_MS ? ms : LOOK_MAX_MS);
}

static bool stop_close(struct conn *c)
{
    int rc = libssh2_channel_close(c->stop.channel);

    if (rc == LIBSSH2_ERROR_EAGAIN)
        return false;
    c->stop.status = rc == 0 ? libssh2_channel_get_exit_status(c->stop.channel) : -1;
    libssh2_channel_free(c->stop.channel);
    c->stop.channel = NULL;
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

void conn_stop_step(struct conn *c)
{
    for (bool on = true; on;) {
        switch (c->stop.state) {
        case STOPPER_WANTED:
            on = session_pid(c->session) != 0;
            if (on)
                c->stop.state = STOPPER_OPEN;
            else if (c->state == CONN_CLOSE)
                c->stop.state = STOPPER_OFF; /* it has ended without telling who it was */
            break;
        case STOPPER_OPEN:
            on = stop_open(c);
            break;
        case STOPPER_EXEC:
            on = stop_exec(c);
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
