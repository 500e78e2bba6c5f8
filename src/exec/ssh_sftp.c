/* SPDX-License-Identifier: Apache-2.0 */
/* A copy by sftp, where the server runs no commands: its command was refused, or it ended without
 * a word of ours. Then the subsystem is asked for on the same connection.
 *
 * Theory of operation: the protocol is our own (ssh_sftp_wire.c), over a channel of libssh2: its sftp
 * cannot break off a write that the channel's window has cut in two, which a copy that is cancelled
 * must, before it removes what it has left on the server. A push or a pull asks (sftp_ask) and goes on
 * with the answer; data has several requests on their way at once. Whatever ends it early goes by
 * SFTP_TIDY: every answer still to come is awaited, and temporaries are removed.
 *
 * Nothing here runs on the node, so a cancelled copy has stopped as soon as it is tidy. */
#include "ssh_sftp.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/text.h"
#include "muster/core/batch.h"

#include <stdarg.h>
#include <string.h>

#define SFTP_WINDOW ((unsigned) 1 << 20) /* more than all that is asked for at once */
#define SFTP_TURN ((size_t) 512 << 10)   /* bytes in one go: then it is the other sessions' turn */
#define SFTP_QUEUED ((size_t) 64 << 10)  /* what may wait for the socket */
#define HELLO_MS 15000                   /* for the server to say that it does sftp */
#define SAID_SHOWN 200

static bool ended(const struct conn *c)
{
    return c->rx_ended || c->io_errno;
}

bool conn_sftp_wanted(const struct conn *c)
{
    const struct copy_files *what = session_copy(c->session);

    return what && !c->sftp && !session_pid(c->session) && !c->stop.sig && !c->pty && !ended(c) &&
           session_become(c->session) == BECOME_NONE;
}

bool conn_sftp_hindered(const struct conn *c)
{
    return session_copy(c->session) && !session_pid(c->session) && !c->stop.sig &&
           session_become(c->session) != BECOME_NONE;
}

/* "~" is no name there; what is relative begins in the folder that a login begins in. */
static char *remote_path(const char *s, bool *slash)
{
    bool home = *s == '~' && (!s[1] || s[1] == '/');
    size_t n = strlen(s);

    *slash = n && s[n - 1] == '/';
    if (home)
        s += 1 + strspn(s + 1, "/");
    n = strlen(s);
    while (n > 1 && s[n - 1] == '/')
        n--;
    return n ? x_strndup(s, n) : x_strdup(".");
}

enum go conn_sftp_begin(struct conn *c, bool denied)
{
    struct sftp *f = x_calloc(1, sizeof *f);

    f->what = session_copy(c->session);
    f->denied = denied;
    f->phase = denied ? SFTP_CLOSE : SFTP_OPEN;
    f->begun_ms = mono_ms(session_clock(c->session));
    f->remote = remote_path(f->what->remote, &f->remote_slash);
    wire_init(&f->wire);
    c->sftp = f;
    conn_feed_free(c);
    if (c->prep->conf->alive_interval <= 0)
        session_timer(c->session, HELLO_MS);
    session_trace(c->session, "the server runs no commands: asking for sftp");
    c->state = CONN_SFTP;
    return GO_ON;
}

void conn_sftp_free(struct conn *c)
{
    struct sftp *f = X_STEAL(c->sftp);

    if (!f)
        return;
    push_free(f->push);
    pull_free(f->pull);
    reads_clear(f);
    wire_clear(&f->wire);
    free(f->remote);
    free(f->handle);
    free(f);
}

void conn_sftp_stop(struct conn *c)
{
    struct sftp *f = c->sftp;

    CLEANUP_FREE char *between = f->push ? push_between(f) : NULL;

    f->cancelled = true;
    if (f->phase < SFTP_WORK)
        f->phase = SFTP_OVER;
    else if (!between) /* else the push sees it, two answers later */
        f->phase = SFTP_TIDY;
}

/* --- asking, and answers --- */

uint32_t sftp_ask(struct sftp *f, enum fxp type)
{
    f->waiting++;
    return wire_begin(&f->wire, type);
}

void sftp_ask_path(struct sftp *f, enum fxp type, const char *path)
{
    sftp_ask(f, type);
    wire_text(&f->wire, path);
    wire_end(&f->wire);
}

void sftp_ask_handle(struct sftp *f, enum fxp type)
{
    sftp_ask(f, type);
    wire_bytes(&f->wire, f->handle, f->handle_len);
}

uint32_t sftp_status(const struct answer *a)
{
    struct answer copy = *a;

    return a->type == FXP_STATUS ? answer_u32(&copy) : FX_OK;
}

bool sftp_denied(const struct answer *a)
{
    return sftp_status(a) == FX_DENIED;
}

bool sftp_take_handle(struct sftp *f, struct answer *a)
{
    size_t n;

    if (a->type != FXP_HANDLE)
        return false;

    const char *p = answer_bytes(a, &n);

    if (a->bad)
        return false;
    free(f->handle);
    f->handle = x_memdup(p, n);
    f->handle_len = n;
    return true;
}

void sftp_end(struct conn *c, int exit_code, const char *fmt, ...)
{
    struct sftp *f = c->sftp;
    va_list ap;

    if (f->phase >= SFTP_TIDY)
        return;
    va_start(ap, fmt);

    CLEANUP_FREE char *text = x_vasprintf(fmt, ap);
    CLEANUP_FREE char *line = exit_code ? x_asprintf("muster: sftp: %s\n", text)
                                        : x_asprintf("%s\n", text);

    va_end(ap);
    /* A line always has room: nothing else of a push's is said, and a pull's stdout has its own. */
    if (*text)
        session_output(c->session, exit_code ? STREAM_STDERR : STREAM_STDOUT, line, strlen(line));
    f->exit_code = exit_code;
    f->phase = SFTP_TIDY;
}

void sftp_tell(struct conn *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);

    CLEANUP_FREE char *text = x_vasprintf(fmt, ap);
    CLEANUP_FREE char *line = x_asprintf("muster: sftp: %s\n", text);

    va_end(ap);
    session_output(c->session, STREAM_STDERR, line, strlen(line));
}

char *sftp_why(const char *path, const struct answer *a)
{
    static const char *const known[] = {
        [FX_OK] = "an answer that makes no sense",
        [FX_EOF] = "it ends too early",
        [FX_NO_SUCH_FILE] = "no such file or folder",
        [FX_DENIED] = "permission denied",
        [FX_FAILURE] = "failure (no room, a quota, or it is in use)",
        [FX_UNSUPPORTED] = "the server does not support this",
    };
    struct answer copy = *a;
    uint32_t status = copy.type == FXP_STATUS ? answer_u32(&copy) : FX_OK;
    const char *why = status < ARRAY_LEN(known) ? known[status] : NULL;
    size_t n = 0;
    const char *said = status > FX_DENIED ? answer_bytes(&copy, &n) : "";
    CLEANUP_FREE char *raw = x_strndup(said, n < SAID_SHOWN ? n : SAID_SHOWN);
    CLEANUP_FREE char *clean = text_clean(raw);
    bool more = *clean && strcmp(clean, "Failure") != 0;

    return x_asprintf("%s: %s%s%s", path, why ? why : "refused", more ? ": " : "", more ? clean : "");
}

void sftp_refused(struct conn *c, int exit_code, const char *path, const struct answer *a)
{
    CLEANUP_FREE char *why = sftp_why(path, a);

    sftp_end(c, exit_code, "%s", why);
}

/* false: it is no sftp. */
static bool hello(struct conn *c, struct answer *a)
{
    struct sftp *f = c->sftp;
    size_t n, len;

    if (a->type != FXP_VERSION)
        return false;
    while (a->n && !a->bad) {
        const char *name = answer_bytes(a, &n);

        answer_bytes(a, &len);
        f->posix_rename |= n == 24 && memcmp(name, "posix-rename@openssh.com", n) == 0;
    }
    f->phase = SFTP_WORK;
    session_forget_output(c->session);
    session_trace(c->session, "copying by sftp");
    if (f->what->pull)
        pull_begin(c);
    else
        push_begin(c);
    return true;
}

static bool take_answer(struct conn *c, struct answer *a)
{
    struct sftp *f = c->sftp;

    if (f->phase == SFTP_HELLO)
        return hello(c, a);
    f->waiting -= f->waiting > 0;
    if (f->phase == SFTP_WORK && f->what->pull)
        pull_answer(c, a);
    else if (f->phase == SFTP_WORK)
        push_answer(c, a);
    return true;
}

/* --- the channel --- */

/* The server does no sftp either: the command's own end stands. */
static enum go none(struct conn *c)
{
    struct sftp *f = c->sftp;

    if (!f->denied)
        return conn_report(c);
    session_not_started(c->session);
    return conn_fail(c, REASON_UNREACHABLE, false,
                     "the server refused to run a command, and it does no sftp");
}

static enum go open_channel(struct conn *c)
{
    struct sftp *f = c->sftp;

    f->channel = libssh2_channel_open_ex(c->ssh, "session", 7, SFTP_WINDOW, CHANNEL_PACKET, NULL, 0);
    if (f->channel) {
        f->phase = SFTP_REQUEST;
        return GO_ON;
    }

    int rc = libssh2_session_last_errno(c->ssh);

    if (rc == LIBSSH2_ERROR_EAGAIN && !ended(c))
        return GO_WAIT;
    /* Some close the connection instead of refusing. */
    return none(c);
}

static enum go request(struct conn *c)
{
    struct sftp *f = c->sftp;
    int rc = libssh2_channel_process_startup(f->channel, "subsystem", 9, "sftp", 4);

    if (rc == LIBSSH2_ERROR_EAGAIN && !ended(c))
        return GO_WAIT;
    if (rc != 0)
        return none(c);
    wire_begin(&f->wire, FXP_INIT);
    wire_u32(&f->wire, 3);
    wire_end(&f->wire);
    f->phase = SFTP_HELLO;
    return GO_ON;
}

static enum go close_refused(struct conn *c)
{
    int rc = libssh2_channel_close(c->channel);

    if (rc == LIBSSH2_ERROR_EAGAIN && !ended(c))
        return GO_WAIT;
    c->sftp->phase = SFTP_OPEN;
    return GO_ON;
}

/* Gives the channel what is queued. -1: it is broken. */
static int put_out(struct conn *c, size_t *budget)
{
    struct strbuf *out = &c->sftp->wire.out;

    while (out->len && *budget && c->out_len <= SFTP_QUEUED) {
        ssize_t n = libssh2_channel_write_ex(c->sftp->channel, 0, out->s,
                                             out->len < SFTP_CHUNK ? out->len : SFTP_CHUNK);

        if (n == LIBSSH2_ERROR_EAGAIN)
            return 0;
        if (n < 0)
            return -1;
        strbuf_consume(out, (size_t) n);
        *budget -= (size_t) n < *budget ? (size_t) n : *budget;
    }
    return 0;
}

static int take_in(struct conn *c, size_t *budget)
{
    struct sftp *f = c->sftp;
    char buf[READ_SIZE];
    struct answer a;
    bool bad;
    ssize_t n;

    /* What it complains about is for its own log. */
    while (*budget && (n = libssh2_channel_read_ex(f->channel, SSH_EXTENDED_DATA_STDERR, buf,
                                                   sizeof buf)) > 0)
        *budget -= (size_t) n < *budget ? (size_t) n : *budget;
    while (*budget && f->wire.in.len <= WIRE_PACKET_MAX) {
        n = libssh2_channel_read_ex(f->channel, 0, buf, sizeof buf);
        if (n == 0 || n == LIBSSH2_ERROR_EAGAIN)
            return 0;
        if (n < 0)
            return -1;
        strbuf_add(&f->wire.in, buf, (size_t) n);
        *budget -= (size_t) n < *budget ? (size_t) n : *budget;
        while (wire_next(&f->wire, &a, &bad))
            if (!take_answer(c, &a))
                return -1;
        if (bad)
            return -1;
    }
    return 0;
}

/* What goes on without an answer. */
static void more(struct conn *c)
{
    struct sftp *f = c->sftp;

    if (f->phase == SFTP_WORK && f->what->pull)
        pull_more(c);
    else if (f->phase == SFTP_WORK)
        push_more(c);
    if (f->phase == SFTP_TIDY && !(f->push && push_tidy(f)) && !f->waiting && !f->wire.out.len)
        f->phase = SFTP_OVER;
}

static enum go pump(struct conn *c)
{
    struct sftp *f = c->sftp;
    size_t budget = SFTP_TURN;
    uint64_t before;
    size_t queued;
    int rc;

    do {
        before = c->rx_bytes;
        more(c);
        queued = f->wire.out.len;
        rc = put_out(c, &budget);
        if (rc == 0)
            rc = take_in(c, &budget);
        more(c);
    } while (rc == 0 && budget && f->phase != SFTP_OVER &&
             (c->rx_bytes != before || f->wire.out.len > queued));
    if (f->phase == SFTP_OVER)
        return GO_ON;

    bool gone = rc != 0 || ended(c) || libssh2_channel_eof(f->channel);

    if (gone && f->phase == SFTP_HELLO)
        return none(c);
    if (gone) {
        CLEANUP_FREE char *between = f->push ? push_between(f) : NULL;
        CLEANUP_FREE char *doing =
            x_asprintf("copying by sftp%s%s", between ? ", and what was there may be " : "",
                       between ? between : "");

        return conn_lost(c, rc ? LIBSSH2_ERROR_SOCKET_DISCONNECT : LIBSSH2_ERROR_EAGAIN, doing);
    }
    if (!budget)
        session_again(c->session);
    return GO_WAIT;
}

static enum go over(struct conn *c)
{
    if (c->sftp->cancelled)
        session_stopped(c->session, REMOTE_STOPPED);
    else
        session_end_exit(c->session, c->sftp->exit_code);
    c->state = CONN_ENDED;
    return GO_WAIT;
}

enum go conn_sftp(struct conn *c)
{
    struct sftp *f = c->sftp;

    if (f->phase < SFTP_WORK && mono_ms(session_clock(c->session)) - f->begun_ms >= HELLO_MS)
        return none(c);
    switch (f->phase) {
    case SFTP_CLOSE:
        return close_refused(c);
    case SFTP_OPEN:
        return open_channel(c);
    case SFTP_REQUEST:
        return request(c);
    case SFTP_HELLO:
    case SFTP_WORK:
    case SFTP_TIDY:
        return pump(c);
    case SFTP_OVER:
        break;
    }
    return over(c);
}
