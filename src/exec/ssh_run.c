/* SPDX-License-Identifier: Apache-2.0 */
/* The command's channel: open, exec, both streams until they end, close, and what became of it. */
#include "ssh_conn.h"

#include "muster/base/alloc.h"
#include "muster/base/text.h"

#include <string.h>

#define COMMAND_MAX 32000 /* the library cannot send more in one request */
#define STREAM_NONE 99    /* nobody writes it: reading it only keeps the protocol going */

static bool ended(const struct conn *c)
{
    return c->rx_ended || c->io_errno;
}

enum go conn_open(struct conn *c)
{
    if (!c->channel)
        c->channel = libssh2_channel_open_ex(c->ssh, "session", 7, CHANNEL_WINDOW, CHANNEL_PACKET,
                                             NULL, 0);
    if (!c->channel) {
        int rc = libssh2_session_last_errno(c->ssh);

        if (rc == LIBSSH2_ERROR_EAGAIN && !ended(c))
            return GO_WAIT;
        if (rc == LIBSSH2_ERROR_CHANNEL_FAILURE)
            return conn_fail(c, REASON_UNREACHABLE, false,
                             "the server refuses to open a session (MaxSessions, or a forced "
                             "restriction of this key)");
        return conn_lost(c, rc, "opening a session");
    }
    c->command = session_wrapped_command(c->session, c->prep->hostname, c->prep->user);
    if (strlen(c->command) > COMMAND_MAX)
        return conn_fail(c, REASON_UNSUPPORTED, false,
                         "the command is too long for the ssh transport (%zu bytes, the limit is "
                         "%d): put it into a file on the node", strlen(c->command), COMMAND_MAX);
    c->state = CONN_ENV;
    return GO_ON;
}

enum go conn_exec(struct conn *c)
{
    int rc = libssh2_channel_process_startup(c->channel, "exec", 4, c->command,
                                             (unsigned) strlen(c->command));

    if (rc == LIBSSH2_ERROR_EAGAIN && !ended(c))
        return GO_WAIT;
    if (rc == LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED) {
        session_not_started(c->session);
        return conn_fail(c, REASON_UNREACHABLE, false, "the server refused to run a command");
    }
    if (rc != 0)
        return conn_lost(c, rc, "starting the command");
    free(X_STEAL(c->command));
    /* Never short: our SEND callback queues. */
    libssh2_channel_send_eof(c->channel);
    if (c->prep->conf->alive_interval > 0) {
        libssh2_keepalive_config(c->ssh, 1, 2);
        session_timer(c->session, (int64_t) c->prep->conf->alive_interval * 1000);
    }
    c->state = CONN_RUN;
    return GO_ON;
}

static void hold(struct conn *c, int stream, const char *p, size_t n)
{
    if (!c->held[stream])
        c->held[stream] = x_malloc(READ_SIZE);
    memmove(c->held[stream], p, n);
    c->held_len[stream] = n;
}

static void give(struct conn *c, int stream, const char *p, size_t n)
{
    size_t taken = session_output(c->session, stream, p, n);

    if (taken < n)
        hold(c, stream, p + taken, n - taken);
    else
        c->held_len[stream] = 0;
}

/* Reads one stream until it has nothing, or the session takes no more. Returns how much came, or
 * the library's error. */
static ssize_t pump_stream(struct conn *c, int stream)
{
    char buf[READ_SIZE];
    ssize_t total = 0;

    while (!c->held_len[stream]) {
        ssize_t n = libssh2_channel_read_ex(c->channel, stream ? SSH_EXTENDED_DATA_STDERR : 0, buf,
                                            sizeof buf);

        if (n == 0 || n == LIBSSH2_ERROR_EAGAIN)
            break;
        if (n < 0)
            return n;
        give(c, stream, buf, (size_t) n);
        total += n;
    }
    return total;
}

/* Both streams until both are empty. Reading one takes the other's bytes off the socket too, and
 * then epoll has nothing to say about them: so it is over only after a round in which no byte came,
 * and not when each has once said "nothing". */
static int pump(struct conn *c)
{
    uint64_t before;
    ssize_t got;
    char byte;

    for (int i = 0; i < 2; i++)
        if (c->held_len[i])
            give(c, i, c->held[i], c->held_len[i]);
    do {
        got = 0;
        before = c->rx_bytes;
        for (int i = 0; i < 2; i++) {
            ssize_t n = pump_stream(c, i);

            if (n < 0)
                return (int) n;
            got += n;
        }
    } while (got > 0 || c->rx_bytes != before);
    if (c->held_len[0] && c->held_len[1])
        libssh2_channel_read_ex(c->channel, STREAM_NONE, &byte, 1);
    return 0;
}

enum go conn_run(struct conn *c)
{
    int rc = pump(c);
    uint64_t before = c->rx_bytes;

    if (rc < 0)
        return conn_lost(c, rc, "running the command");
    conn_stop_step(c);
    if (c->held_len[0] || c->held_len[1])
        return GO_WAIT;
    if (libssh2_channel_eof(c->channel)) {
        c->state = CONN_CLOSE;
        return GO_ON;
    }
    /* What the stop channel took off the socket may be this channel's. */
    if (c->rx_bytes != before)
        return GO_ON;
    return ended(c) ? conn_lost(c, LIBSSH2_ERROR_EAGAIN, "running the command") : GO_WAIT;
}

/* How it ended, as far as the server has said. The library gives 0 both for "exit 0" and for
 * "unknown", so 0 counts only after a clean close. */
static enum go report(struct conn *c, bool clean)
{
    char *sig = NULL;
    size_t len = 0;
    int status = libssh2_channel_get_exit_status(c->channel);

    libssh2_channel_get_exit_signal(c->channel, &sig, &len, NULL, NULL, NULL, NULL);
    if (sig) {
        CLEANUP_FREE char *raw = x_strndup(sig, len);
        CLEANUP_FREE char *name = text_clean(raw);

        libssh2_free(c->ssh, sig);
        session_end_signal(c->session, name);
    } else if (clean || status != 0) {
        session_end_exit(c->session, status);
    } else {
        return conn_lost(c, LIBSSH2_ERROR_EAGAIN, "running the command");
    }
    c->state = CONN_ENDED;
    return GO_WAIT;
}

enum go conn_close(struct conn *c)
{
    int rc = libssh2_channel_close(c->channel);
    uint64_t before = c->rx_bytes;

    conn_stop_step(c);
    if (rc == LIBSSH2_ERROR_EAGAIN && c->rx_bytes != before)
        return GO_ON;
    if (rc == LIBSSH2_ERROR_EAGAIN && !ended(c))
        return GO_WAIT;
    if (rc == 0 && conn_stopping(c)) {
        c->state = CONN_OVER;
        return GO_ON;
    }
    return report(c, rc == 0);
}

/* The leader of the process group has ended while it was being stopped; what it has started may
 * still be there, so the stop channel has the last word. */
enum go conn_over(struct conn *c)
{
    uint64_t before = c->rx_bytes;

    conn_stop_step(c);
    if (conn_stopping(c) && c->rx_bytes != before)
        return GO_ON;
    if (conn_stopping(c) && !ended(c))
        return GO_WAIT;
    return report(c, true);
}

void conn_keepalive(struct conn *c)
{
    const struct ssh_conf *conf = c->prep->conf;
    int next;

    if (conf->alive_interval <= 0 || conn_stopping(c))
        return;
    c->missed = c->rx_bytes == c->rx_seen ? c->missed + 1 : 0;
    c->rx_seen = c->rx_bytes;
    if (c->missed > (unsigned) conf->alive_count) {
        conn_fail(c, REASON_LOST, false,
                  "the server has not answered for %d s (ServerAliveInterval, ServerAliveCountMax)",
                  conf->alive_interval * conf->alive_count);
        return;
    }
    libssh2_keepalive_send(c->ssh, &next);
    session_timer(c->session, (int64_t) conf->alive_interval * 1000);
}
