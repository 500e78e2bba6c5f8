/* SPDX-License-Identifier: Apache-2.0 */
/* Channels of a jump host's connection.
 *
 * Theory of operation: each way is a socket and, once it has been asked for, a channel. All sockets
 * are watched through one epoll descriptor of its own, since a session watches but a few. Both
 * directions hold at most one buffer: while the host's side does not take it, the socket is not
 * read, and while the socket does not take it, the channel is not, so its window closes. The library
 * tells nobody which channel has bytes: every open one is asked in each round, until a round moves
 * nothing. Channels are opened one at a time; while one hangs, this carrier takes no others. */
#include "ssh_carrier.h"

#include "ssh_jump.h"
#include "ssh_shared.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/text.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIPE_WINDOW 262144 /* more than the window of what it carries */
#define PIPE_PACKET 32768
#define PIPE_TURN ((size_t) 128 << 10)  /* bytes of one channel in one round */
#define STEP_TURN ((size_t) 1 << 20)    /* and of all in one step */
#define OUT_ENOUGH ((size_t) 64 << 10)  /* queued for the jump host: no more is read meanwhile */
#define STUCK_MS 700
#define IDLE_MS 15000
#define EVENTS_A_ROUND 64
#define REFUSAL 92 /* SSH_MSG_CHANNEL_OPEN_FAILURE */
#define REFUSAL_LEAST 13
#define REASON_LAST 4
#define SAID_MAX 200

enum pipe_state {
    PIPE_ASKED,   /* JUMP_READY was said */
    PIPE_QUEUED,  /* JUMP_GO has come */
    PIPE_OPENING,
    PIPE_OPEN,
    PIPE_CLOSING  /* only the channel is left */
};

/* What one side did not take yet. */
struct rest {
    char *buf;
    size_t at, len;
};

struct pipe {
    struct link link;
    enum pipe_state state;
    struct jump *jump; /* NULL: who asked has gone */
    uint32_t events;   /* as they are watched */
    bool watched, ended, end_said;
    LIBSSH2_CHANNEL *channel;
    struct rest to_host, to_asker;
};

struct carry {
    struct carrier *carrier;
    const struct mclock *clock;
    int epoll; /* -1: not begun */
    struct link pipes;
    size_t n;
    struct pipe *opening;
    char *message; /* of the open */
    size_t message_len, moved;
    char *said; /* why the server refused it, as it says; NULL: nothing */
    int64_t since; /* the open began, or nothing is carried */
    bool stuck;
};

struct carry *carry_new(struct session *s)
{
    struct carry *y = x_calloc(1, sizeof *y);

    y->carrier = carrier_find(shared_jumps(session_shared(s)), session_command(s));
    y->clock = session_clock(s);
    y->epoll = -1;
    link_init(&y->pipes);
    return y;
}

struct carrier *carry_carrier(const struct carry *y)
{
    return y->carrier;
}

static void unwatch(struct carry *y, struct pipe *p)
{
    if (p->watched)
        epoll_ctl(y->epoll, EPOLL_CTL_DEL, p->jump->fd, NULL);
    p->watched = false;
}

static void watch(struct carry *y, struct pipe *p, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data = {.ptr = p}};

    if (p->watched && p->events == events)
        return;
    if (epoll_ctl(y->epoll, p->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, p->jump->fd, &ev) != 0)
        p->ended = true; /* nothing of it would be heard: seen in the next round */
    p->watched = true;
    p->events = events;
}

/* The jump is handed on or dropped by the caller, the channel is not here any more. */
static void pipe_free(struct carry *y, struct pipe *p)
{
    if (y->opening == p)
        y->opening = NULL;
    link_remove(&p->link);
    y->n--;
    if (!y->n)
        y->since = mono_ms(y->clock);
    carrier_loaded(y->carrier, y->n);
    free(p->to_host.buf);
    free(p->to_asker.buf);
    free(p);
}

/* Who asked has gone, or shall go: its socket is closed. */
static void let_go(struct carry *y, struct pipe *p)
{
    unwatch(y, p);
    if (p->jump)
        jump_end(X_STEAL(p->jump));
    if (p->state == PIPE_OPENING) /* the library wants it answered first */
        return;
    if (p->channel)
        p->state = PIPE_CLOSING;
    else
        pipe_free(y, p);
}

void carry_free(struct conn *c)
{
    struct carry *y = c->carry;

    if (!y)
        return;
    while (!link_empty(&y->pipes)) {
        struct pipe *p = LINK_OF(y->pipes.next, struct pipe, link);

        unwatch(y, p);
        if (p->jump)
            jump_lost(X_STEAL(p->jump));
        pipe_free(y, p);
    }
    if (y->epoll >= 0) {
        session_unwatch(c->session, y->epoll);
        close(y->epoll);
    }
    session_unwatch(c->session, carrier_fd(y->carrier));
    free(y->message);
    free(y->said);
    free(y);
    c->carry = NULL;
}

static void take_new(struct carry *y)
{
    struct jump *j;

    while (!y->stuck && (j = carrier_next(y->carrier))) {
        struct pipe *p = x_calloc(1, sizeof *p);
        static const char ready = JUMP_READY;

        link_append(&y->pipes, &p->link);
        y->n++;
        p->jump = j;
        p->state = j->wants ? PIPE_QUEUED : PIPE_ASKED;
        if (!j->told && send(j->fd, &ready, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1) {
            let_go(y, p);
            continue;
        }
        j->told = true;
        watch(y, p, p->state == PIPE_ASKED ? EPOLLIN : 0);
    }
}

/* Gives what is held to the host. false: the channel is at its end. */
static bool push(struct conn *c, struct pipe *p)
{
    struct rest *r = &p->to_host;

    while (r->len && c->out_len < OUT_ENOUGH) {
        ssize_t n = libssh2_channel_write_ex(p->channel, 0, r->buf + r->at, r->len);

        if (n == 0 || n == LIBSSH2_ERROR_EAGAIN)
            return true;
        if (n < 0)
            return false;
        r->at += (size_t) n;
        r->len -= (size_t) n;
        c->carry->moved += (size_t) n;
    }
    return true;
}

/* Gives what is held to who asked. false: it has gone. */
static bool hand(struct carry *y, struct pipe *p)
{
    struct rest *r = &p->to_asker;

    while (r->len) {
        ssize_t n = send(p->jump->fd, r->buf + r->at, r->len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        r->at += (size_t) n;
        r->len -= (size_t) n;
        y->moved += (size_t) n;
    }
    return true;
}

/* One buffer from the socket, when the last one has gone. */
static void fetch(struct conn *c, struct pipe *p)
{
    struct rest *r = &p->to_host;

    if (r->len || p->ended)
        return;
    if (!r->buf)
        r->buf = x_malloc(PIPE_PACKET);

    ssize_t n = recv(p->jump->fd, r->buf, PIPE_PACKET, MSG_DONTWAIT);

    if (n > 0) {
        r->at = 0;
        r->len = (size_t) n;
        if (!push(c, p))
            r->len = 0;
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        p->ended = true;
    }
}

static void asked(struct carry *y, struct pipe *p)
{
    char byte = 0;
    ssize_t n = recv(p->jump->fd, &byte, 1, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n != 1 || byte != JUMP_GO) {
        let_go(y, p);
        return;
    }
    p->state = PIPE_QUEUED;
    p->jump->wants = true;
    /* In the order of asking. */
    link_remove(&p->link);
    link_append(&y->pipes, &p->link);
    watch(y, p, 0);
    y->moved++;
}

static void sockets(struct conn *c)
{
    struct carry *y = c->carry;
    struct epoll_event ev[EVENTS_A_ROUND];
    int n = epoll_wait(y->epoll, ev, EVENTS_A_ROUND, 0);

    for (int i = 0; i < n; i++) {
        struct pipe *p = ev[i].data.ptr;
        bool gone = ev[i].events & (EPOLLHUP | EPOLLERR);

        if (p->state == PIPE_ASKED && (ev[i].events & EPOLLIN))
            asked(y, p);
        else if (p->state != PIPE_OPEN && gone)
            let_go(y, p);
        else if (p->state == PIPE_OPEN && gone && p->to_host.len)
            p->ended = true;
        else if (p->state == PIPE_OPEN && (ev[i].events & EPOLLIN))
            fetch(c, p);
        else if (p->state == PIPE_OPEN && gone)
            p->ended = true;
    }
}

static void put_u32(char *p, size_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (char) (v >> (24 - 8 * i));
}

/* RFC 4254, 7.2: host and port, then where it came from. */
static void make_message(struct carry *y, const struct jump *j)
{
    static const char from[] = "127.0.0.1";
    size_t host = strlen(j->host), orig = strlen(from);

    free(y->message);
    y->message_len = 4 + host + 4 + 4 + orig + 4;
    y->message = x_calloc(1, y->message_len);
    put_u32(y->message, host);
    memcpy(y->message + 4, j->host, host);
    put_u32(y->message + 4 + host, (size_t) j->port);
    put_u32(y->message + 8 + host, orig);
    memcpy(y->message + 12 + host, from, orig);
}

static size_t get_u32(const uint8_t *p)
{
    return (size_t) p[0] << 24 | (size_t) p[1] << 16 | (size_t) p[2] << 8 | p[3];
}

/* RFC 4254, 5.1: the channel, a reason, and words that the library keeps to itself. */
void carry_given_back(struct carry *y, const void *at, size_t n)
{
    const uint8_t *p = at;

    if (!y->opening || n < REFUSAL_LEAST || p[0] != REFUSAL || get_u32(p + 5) > REASON_LAST)
        return;

    size_t len = get_u32(p + 9);

    if (!len || len > n - REFUSAL_LEAST)
        return;

    CLEANUP_FREE char *text =
        x_strndup((const char *) p + REFUSAL_LEAST, len < SAID_MAX ? len : SAID_MAX);

    free(y->said);
    y->said = text_clean(text);
}

static void refused(struct conn *c, struct pipe *p)
{
    struct carry *y = c->carry;
    char *said = NULL;

    libssh2_session_last_error(c->ssh, &said, NULL, 0);

    CLEANUP_FREE char *clean = text_clean(said ? said : "refused");
    char *why = strchr(clean, '(') ? strchr(clean, '(') + 1 : clean;
    bool prohibited = strstr(why, "administratively") != NULL;

    why[strcspn(why, ")")] = '\0';
    unwatch(y, p);
    if (p->jump) {
        struct jump *j = X_STEAL(p->jump);

        jump_fail(j, REASON_UNREACHABLE, false,
                  "through %s: cannot connect to %s port %d: %s%s%s%s", j->via, j->host, j->port, why,
                  y->said ? ": " : "", y->said ? y->said : "",
                  prohibited ? " (AllowTcpForwarding or PermitOpen there)" : "");
    }
    pipe_free(y, p);
}

static void opened(struct carry *y, struct pipe *p)
{
    static const char open = JUMP_OPEN;

    p->state = p->jump ? PIPE_OPEN : PIPE_CLOSING;
    y->moved++;
    if (!p->jump)
        return;
    if (send(p->jump->fd, &open, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
        let_go(y, p);
    else
        watch(y, p, EPOLLIN);
}

static struct pipe *next_queued(const struct carry *y)
{
    for (struct link *l = y->pipes.next; l != &y->pipes; l = l->next) {
        struct pipe *p = LINK_OF(l, struct pipe, link);

        if (p->state == PIPE_QUEUED)
            return p;
    }
    return NULL;
}

/* Opens channels as long as each is answered at once. */
static void open_channels(struct conn *c)
{
    struct carry *y = c->carry;

    for (;;) {
        if (!y->opening) {
            y->opening = next_queued(y);
            if (!y->opening)
                return;
            y->opening->state = PIPE_OPENING;
            y->since = mono_ms(y->clock);
            make_message(y, y->opening->jump);
            free(X_STEAL(y->said));
        }

        struct pipe *p = y->opening;

        p->channel = libssh2_channel_open_ex(c->ssh, "direct-tcpip", 12, PIPE_WINDOW, PIPE_PACKET,
                                             y->message, (unsigned) y->message_len);
        if (!p->channel && libssh2_session_last_errno(c->ssh) == LIBSSH2_ERROR_EAGAIN)
            return;
        y->opening = NULL;
        if (y->stuck)
            carrier_stuck(y->carrier, y->stuck = false);
        if (p->channel)
            opened(y, p);
        else
            refused(c, p);
    }
}

/* An open hangs: who does not have a channel yet gets it elsewhere. */
static void go_stuck(struct carry *y)
{
    struct link *next;

    y->stuck = true;
    carrier_stuck(y->carrier, true);
    for (struct link *l = y->pipes.next; l != &y->pipes; l = next) {
        struct pipe *p = LINK_OF(l, struct pipe, link);

        next = l->next;
        if (p->state != PIPE_ASKED && p->state != PIPE_QUEUED)
            continue;
        unwatch(y, p);
        jump_again(y->carrier, X_STEAL(p->jump));
        pipe_free(y, p);
    }
}

/* Reads the channel until it has nothing, or who asked takes no more. */
static void pull(struct conn *c, struct pipe *p)
{
    struct rest *r = &p->to_asker;
    size_t total = 0;

    while (!r->len && !p->end_said && total < PIPE_TURN) {
        if (!r->buf)
            r->buf = x_malloc(PIPE_PACKET);

        ssize_t n = libssh2_channel_read_ex(p->channel, 0, r->buf, PIPE_PACKET);

        if (n > 0) {
            r->at = 0;
            r->len = (size_t) n;
            total += (size_t) n;
            if (!hand(c->carry, p))
                p->ended = true;
        } else if (n == 0 ? libssh2_channel_eof(p->channel) : n != LIBSSH2_ERROR_EAGAIN) {
            shutdown(p->jump->fd, SHUT_WR);
            p->end_said = true;
        } else {
            return;
        }
    }
}

static void pump(struct conn *c, struct pipe *p)
{
    struct carry *y = c->carry;

    if (p->state == PIPE_CLOSING) {
        if (libssh2_channel_free(p->channel) != LIBSSH2_ERROR_EAGAIN)
            pipe_free(y, p);
        return;
    }
    if (p->state != PIPE_OPEN)
        return;
    if (!push(c, p))
        p->to_host.len = 0; /* nobody reads there; what came back is read yet */
    if (!hand(y, p))
        p->ended = true;
    pull(c, p);
    if (p->ended) {
        let_go(y, p);
        return;
    }
    watch(y, p, (p->to_host.len ? 0 : EPOLLIN) | (p->to_asker.len ? EPOLLOUT : 0));
}

/* Whether a call of the library's that reads the connection is made in each round. */
static bool reads(const struct carry *y)
{
    if (y->opening)
        return true;
    for (struct link *l = y->pipes.next; l != &y->pipes; l = l->next) {
        const struct pipe *p = LINK_OF(l, struct pipe, link);

        if (p->state == PIPE_CLOSING ||
            (p->state == PIPE_OPEN && !p->to_asker.len && !p->end_said))
            return true;
    }
    return false;
}

uint32_t carry_events(const struct conn *c)
{
    return (c->rx_ended ? 0 : reads(c->carry) ? EPOLLIN : EPOLLRDHUP) |
           (c->out_len ? EPOLLOUT : 0);
}

static bool connection_ended(const struct conn *c)
{
    struct pollfd pfd = {.fd = c->fd, .events = POLLRDHUP};

    if (c->rx_ended || c->io_errno)
        return true;
    return !reads(c->carry) && poll(&pfd, 1, 0) > 0;
}

static bool begin(struct conn *c)
{
    struct carry *y = c->carry;

    y->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (y->epoll < 0) {
        conn_fail(c, REASON_INTERNAL, false, "cannot make an epoll descriptor: %s",
                  strerror(errno));
        return false;
    }
    y->since = mono_ms(y->clock);
    session_watch(c->session, y->epoll, EPOLLIN);
    session_watch(c->session, carrier_fd(y->carrier), EPOLLIN);
    session_started(c->session);
    carrier_up(y->carrier);
    return true;
}

static enum go over(struct conn *c)
{
    session_end_exit(c->session, 0);
    c->state = CONN_ENDED;
    return GO_WAIT;
}

/* Only an open is left whose asker has gone; it may hang for minutes. */
static bool useless(const struct carry *y)
{
    return y->stuck && y->n == 1 && y->opening && !y->opening->jump;
}

static enum go after(struct conn *c)
{
    struct carry *y = c->carry;
    int64_t passed = mono_ms(y->clock) - y->since;

    if (y->opening && !y->stuck && passed >= STUCK_MS)
        go_stuck(y);
    if ((useless(y) || (!y->n && passed >= IDLE_MS)) && carrier_retire(y->carrier))
        return over(c);
    if (y->stuck || (y->n && !y->opening))
        session_timer(c->session, -1);
    else
        session_timer(c->session, y->opening ? STUCK_MS - passed : IDLE_MS - passed);
    return GO_WAIT;
}

static void pump_all(struct conn *c)
{
    struct link *next;

    for (struct link *l = c->carry->pipes.next; l != &c->carry->pipes; l = next) {
        next = l->next;
        pump(c, LINK_OF(l, struct pipe, link));
    }
}

enum go conn_carry(struct conn *c)
{
    struct carry *y = c->carry;
    size_t total = 0;
    uint64_t before;

    if (y->epoll < 0 && !begin(c))
        return GO_WAIT;
    do {
        y->moved = 0;
        before = c->rx_bytes;
        take_new(y);
        sockets(c);
        open_channels(c);
        pump_all(c);
        total += y->moved;
    } while ((y->moved || c->rx_bytes != before) && total < STEP_TURN);
    if (total >= STEP_TURN)
        session_again(c->session);
    else if (connection_ended(c))
        return conn_fail(c, REASON_LOST, false, "the connection has ended: %s", conn_io_text(c));
    return after(c);
}
