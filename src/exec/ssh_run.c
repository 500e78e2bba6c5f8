/* SPDX-License-Identifier: Apache-2.0 */
/* The command's channel: open, exec, its input and both streams until they end, close, and what
 * became of it. */
#include "ssh_conn.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/log.h"
#include "muster/base/secret.h"
#include "muster/base/text.h"
#include "muster/core/batch.h"

#include <string.h>

#define FEED_SIZE 16384
#define FEED_QUEUED ((size_t) 64 << 10) /* what may wait for the socket before feeding stops */
#define FEED_TURN ((size_t) 512 << 10)  /* fed in one go: then it is the other sessions' turn */
#define CLOSE_WAIT_MS 2000              /* for the server to close the channel */
#define TTY_EOF 4                       /* ^D */
#define NOT_AS_ANOTHER "; it may do sftp, by which no other user can be become"
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
    if (!c->command)
        return GO_WAIT; /* it has ended by that */
    /* A terminal would change the bytes of a copy. */
    c->pty = session_wants_pty(c->session) ||
             (c->prep->conf->request_tty && !session_copy(c->session));
    c->state = CONN_ENV;
    return GO_ON;
}

static void keepalive_begin(struct conn *c)
{
    if (c->prep->conf->alive_interval <= 0)
        return;
    libssh2_keepalive_config(c->ssh, 1, 2);
    session_timer(c->session, (int64_t) c->prep->conf->alive_interval * 1000);
}

enum go conn_exec(struct conn *c)
{
    int rc = libssh2_channel_process_startup(c->channel, "exec", 4, c->command,
                                             (unsigned) strlen(c->command));

    if (rc == LIBSSH2_ERROR_EAGAIN && !ended(c))
        return GO_WAIT;
    if (rc == LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED) {
        if (conn_sftp_wanted(c)) {
            keepalive_begin(c);
            return conn_sftp_begin(c, true);
        }
        session_not_started(c->session);
        return conn_fail(c, REASON_UNREACHABLE, false, "the server refused to run a command%s",
                         conn_sftp_hindered(c) ? NOT_AS_ANOTHER : "");
    }
    if (rc != 0)
        return conn_lost(c, rc, "starting the command");
    free(X_STEAL(c->command));
    keepalive_begin(c);
    c->state = CONN_RUN;
    return GO_ON;
}

/* Nobody reads any more, or all has been sent. */
static void feed_over(struct conn *c)
{
    c->feed.done = true;
    conn_feed_free(c);
}

void conn_feed_free(struct conn *c)
{
    if (c->feed.buf)
        secret_wipe(c->feed.buf, FEED_SIZE);
    free(X_STEAL(c->feed.buf));
    c->feed.len = c->feed.off = 0;
}

/* The end of the input. A terminal has none: there it is a key, which counts as the end only where
 * no line has been begun. */
static void feed_end(struct conn *c)
{
    static const char keys[] = {TTY_EOF, TTY_EOF};

    if (c->pty)
        libssh2_channel_write_ex(c->channel, 0, keys, c->feed.mid_line ? 2 : 1);
    else
        libssh2_channel_send_eof(c->channel); /* never short: our SEND callback queues */
    feed_over(c);
}

/* Fetches the next piece. false: there is none now. */
static bool feed_fetch(struct conn *c)
{
    struct feed *f = &c->feed;

    if (!f->buf)
        f->buf = x_malloc(FEED_SIZE);
    f->off = 0;
    f->len = session_input(c->session, f->buf, FEED_SIZE, &f->end);
    return f->len || f->end;
}

/* Feeds the command as long as the remote window, the socket's queue and the budget allow. */
static void feed(struct conn *c, size_t *budget)
{
    struct feed *f = &c->feed;

    while (!f->done && *budget) {
        if (f->len == f->off && !f->end && !feed_fetch(c))
            return;
        if (f->len == f->off) {
            feed_end(c);
            return;
        }
        if (c->out_len > FEED_QUEUED)
            return; /* on when the socket has drained */

        ssize_t n = libssh2_channel_write_ex(c->channel, 0, f->buf + f->off, f->len - f->off);

        if (n == LIBSSH2_ERROR_EAGAIN)
            return; /* on when the window is opened */
        if (n < 0) {
            feed_over(c);
            return;
        }
        if (n > 0)
            f->mid_line = f->buf[f->off + (size_t) n - 1] != '\n';
        secret_wipe(f->buf + f->off, (size_t) n);
        f->off += (size_t) n;
        *budget -= (size_t) n < *budget ? (size_t) n : *budget;
    }
    if (!f->done)
        session_again(c->session);
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

bool conn_close_due(struct conn *c, int64_t *eof_ms, bool timer)
{
    int64_t now = mono_ms(session_clock(c->session));

    if (!*eof_ms) {
        *eof_ms = now;
        if (timer)
            session_timer(c->session, CLOSE_WAIT_MS);
    }
    return now - *eof_ms >= CLOSE_WAIT_MS;
}

/* Nothing more will come, and the server has closed. */
static bool finished(struct conn *c)
{
    if (!libssh2_channel_eof(c->channel))
        return false;
    if (libssh2_channel_wait_closed(c->channel) == 0)
        return true;
    return c->feed.done && conn_close_due(c, &c->eof_ms, !conn_stopping(c));
}

enum go conn_run(struct conn *c)
{
    size_t budget = FEED_TURN;
    uint64_t before;

    /* Each of the two takes bytes off the socket that the other waits for. */
    do {
        before = c->rx_bytes;
        feed(c, &budget);

        int rc = pump(c);

        if (rc < 0)
            return conn_lost(c, rc, "running the command");
    } while (c->rx_bytes != before && budget);
    before = c->rx_bytes;
    conn_stop_step(c);
    if (c->held_len[0] || c->held_len[1])
        return GO_WAIT;
    if (finished(c)) {
        feed_over(c);
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
    static const char hindered[] = "muster: no command was run" NOT_AS_ANOTHER "\n";

    char *sig = NULL;
    size_t len = 0;
    int status = libssh2_channel_get_exit_status(c->channel);

    if (clean && conn_sftp_wanted(c))
        return conn_sftp_begin(c, false);
    if (clean && conn_sftp_hindered(c))
        session_output(c->session, STREAM_STDERR, hindered, sizeof hindered - 1);
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

enum go conn_report(struct conn *c)
{
    return report(c, true);
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
