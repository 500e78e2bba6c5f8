/* SPDX-License-Identifier: Apache-2.0 */
/* The ssh transport: libssh2, never blocking.
 *
 *   prepare (helper) -> handshake place -> connect -> handshake -> host key -> keys -> open -> env
 *   -> exec -> run -> close
 *
 * Theory of operation: step() goes from state to state until one has to wait for the socket, a
 * helper, a place or a timer. libssh2 answers EAGAIN while it waits, and the same call is made
 * again at the next wake; ssh_io.c sees to it that nothing else is ever needed. */
#include "ssh_conn.h"

#include "ssh_carrier.h"
#include "ssh_jump.h"
#include "ssh_shared.h"
#include "ssh_side.h"

#include "muster/base/alloc.h"
#include "muster/base/text.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_DEFAULT_MS 15000
#define ADDRESS_MIN_MS 1000

enum go conn_fail(struct conn *c, enum reason reason, bool retry, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);

    CLEANUP_FREE char *text = x_vasprintf(fmt, ap);

    va_end(ap);

    bool fallback = false;
    CLEANUP_FREE char *better = reason == REASON_UNREACHABLE || reason == REASON_LOST
                                    ? conn_way_failure(c, &reason, &retry, &fallback) : NULL;

    if (fallback)
        return conn_fallback(c, reason, "%s", better);
    /* Each attempt would show the password again, and a wrong one locks accounts. */
    session_end_failed(c->session, reason, retry && !c->given, "%s", better ? better : text);
    c->state = CONN_ENDED;
    return GO_WAIT;
}

enum go conn_fallback(struct conn *c, enum reason reason, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);

    CLEANUP_FREE char *text = x_vasprintf(fmt, ap);

    va_end(ap);
    if (c->carry)
        carrier_for_openssh(carry_carrier(c->carry));
    if (!session_fallback(c->session, "%s", text))
        session_end_failed(c->session, reason, false, "%s", text);
    c->state = CONN_ENDED;
    return GO_WAIT;
}

enum go conn_lost(struct conn *c, int rc, const char *doing)
{
    char *said = NULL;

    libssh2_session_last_error(c->ssh, &said, NULL, 0);

    /* The library's word counts only where the connection itself tells nothing. */
    bool io = c->rx_ended || c->io_errno || c->farewell || !said || rc == LIBSSH2_ERROR_EAGAIN;
    CLEANUP_FREE char *clean = text_clean(io ? conn_io_text(c) : said);

    return conn_fail(c, c->started ? REASON_LOST : REASON_UNREACHABLE, true,
                     "the connection to %s was lost during %s: %s", c->addr_text, doing, clean);
}

static void *ssh_open(struct session *s)
{
    struct conn *c = x_calloc(1, sizeof *c);

    c->session = s;
    c->refs = 1;
    c->fd = -1;
    strbuf_init(&c->tried, 2048);
    return c;
}

/* What a helper has is freed by session_help's rules. */
void conn_unref(struct conn *c)
{
    if (__atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    conn_teardown(c);
    if (c->state != CONN_PREPARE)
        prepared_free(c->prep);
    if (c->state != CONN_SIGN)
        sign_work_free(c->signing);
    if (c->state != CONN_ACCEPT)
        accept_work_free(c->accepting);
    strbuf_free(&c->tried);
    free(c->addr_text);
    free(c->farewell);
    free(c->host_key_label);
    free(c->methods);
    free(c->pending);
    free(c->command);
    free(c->held[0]);
    free(c->held[1]);
    free(c);
}

static void ssh_close(void *priv)
{
    struct conn *c = priv;

    /* A clean end gets a clean word, so that the server's log has no complaint. */
    if ((c->started || (c->carry && c->ssh)) && !c->io_errno && !c->rx_ended && c->state == CONN_ENDED)
        libssh2_session_disconnect(c->ssh, "");
    session_timer(c->session, -1);
    session_phase(c->session, NULL); /* some texts are ours */
    carry_free(c);
    conn_way_close(c);
    conn_stop_free(c);
    conn_sftp_free(c);
    conn_feed_free(c);
    if (c->state == CONN_KBDINT) {
        /* A helper is in the library: it is left with the rest. */
        session_unwatch(c->session, c->fd);
        c->session = NULL;
    } else {
        conn_teardown(c);
    }
    conn_unref(c);
}

static void *carrier_open(struct session *s)
{
    struct conn *c = ssh_open(s);

    c->carry = carry_new(s);
    return c;
}

static enum go start(struct conn *c)
{
    c->prep = prepared_new(c->session, session_shared(c->session));
    c->state = CONN_PREPARE;
    session_help(c->session, prepare_work, prepared_free, c->prep);
    return GO_WAIT;
}

static void set_addr_text(struct conn *c)
{
    char host[NI_MAXHOST] = "?";

    getnameinfo(c->addr->ai_addr, c->addr->ai_addrlen, host, sizeof host, NULL, 0, NI_NUMERICHOST);
    free(c->addr_text);
    c->addr_text = x_asprintf("%s port %d", host, c->prep->port);
}

static bool bind_local(struct conn *c)
{
    struct addrinfo hints = {.ai_family = c->addr->ai_family, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *local = NULL;
    const char *want = c->prep->conf->bind_address;

    if (!want)
        return true;
    if (getaddrinfo(want, NULL, &hints, &local) != 0) {
        errno = EADDRNOTAVAIL;
        return false;
    }

    int rc = bind(c->fd, local->ai_addr, local->ai_addrlen);

    freeaddrinfo(local);
    return rc == 0;
}

static void set_socket_options(int fd)
{
    static const int on = 1, idle = 30, interval = 15, count = 4;
    static const unsigned unanswered_ms = 90000;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    /* A node that vanishes shows within a minute and a half, at no cost for us or for it. */
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unanswered_ms, sizeof unanswered_ms);
}

/* Begins with the address at hand. 0, or errno. */
static int begin_connect(struct conn *c)
{
    c->fd = socket(c->addr->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return errno;
    set_socket_options(c->fd);
    c->unbound = !bind_local(c);
    if (c->unbound)
        return errno;
    if (connect(c->fd, c->addr->ai_addr, c->addr->ai_addrlen) != 0 && errno != EINPROGRESS)
        return errno;
    return 0;
}

int64_t conn_connect_ms(const struct conn *c)
{
    const struct prepared *p = c->prep;

    return p->over.connect_timeout_ms > 0   ? p->over.connect_timeout_ms
           : p->connect_ms > 0              ? p->connect_ms
           : p->base.connect_timeout_ms > 0 ? p->base.connect_timeout_ms
                                            : CONNECT_DEFAULT_MS;
}

/* Each address but the last gets its share of the time. */
static void arm_address_timer(struct conn *c)
{
    const struct prepared *p = c->prep;
    int64_t ms = conn_connect_ms(c);
    int n = 0;

    for (const struct addrinfo *a = p->addrs; a; a = a->ai_next)
        n++;
    ms /= n;
    session_timer(c->session, !c->addr->ai_next      ? -1
                              : ms < ADDRESS_MIN_MS ? ADDRESS_MIN_MS
                                                    : ms);
}

static enum go try_address(struct conn *c)
{
    while (c->addr) {
        set_addr_text(c);
        c->connect_error = begin_connect(c);
        if (!c->connect_error) {
            arm_address_timer(c);
            c->state = CONN_CONNECT;
            return GO_WAIT;
        }
        conn_teardown(c);
        c->addr = c->addr->ai_next;
    }

    int error = c->connect_error;

    /* Refused and no route are answers; the others may be a passing trouble. */
    bool retry = error != ECONNREFUSED && error != EHOSTUNREACH && error != ENETUNREACH &&
                 error != EADDRNOTAVAIL;

    if (c->unbound)
        return conn_fail(c, REASON_UNREACHABLE, retry, "cannot connect to %s from BindAddress %s: %s",
                         c->addr_text, c->prep->conf->bind_address, strerror(error));
    return conn_fail(c, REASON_UNREACHABLE, retry, "cannot connect to %s: %s", c->addr_text,
                     strerror(error));
}

static enum go prepared(struct conn *c)
{
    struct prepared *p = c->prep;

    session_set_endpoint(c->session, p->hostname ? p->hostname : p->host, p->port, p->user);
    if (p->fallback)
        return conn_fallback(c, p->failed, "%s", p->fallback);
    if (p->failed != REASON_NONE)
        return conn_fail(c, p->failed, p->retry, "%s", p->error);
    session_set_timeouts(c->session, p->connect_ms, -1);
    session_trace(c->session, "settings, name and keys looked up: %s@%s port %d", p->user,
                  p->hostname, p->port);
    if (!conn_way_straight(c))
        return conn_way_begin(c);
    c->addr = p->addrs;
    set_addr_text(c);
    if (session_want_handshake(c->session, c->addr_text))
        return try_address(c);
    return conn_way_wait(c);
}

static enum go next_address(struct conn *c, int error)
{
    c->connect_error = error;
    conn_teardown(c);
    c->addr = c->addr->ai_next;
    return try_address(c);
}

static enum go connected(struct conn *c, unsigned wake)
{
    int error = 0;
    socklen_t len = sizeof error;
    struct sockaddr_storage peer;
    socklen_t peer_len = sizeof peer;

    if (wake & WAKE_TIMER)
        return next_address(c, ETIMEDOUT);
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error)
        return next_address(c, error);
    if (getpeername(c->fd, (struct sockaddr *) &peer, &peer_len) != 0)
        return GO_WAIT;
    session_timer(c->session, -1);
    session_trace(c->session, "connected to %s", c->addr_text);
    return conn_session_begin(c);
}

enum go conn_session_begin(struct conn *c)
{
    c->ssh = conn_session_new(c);
    if (!c->ssh)
        return conn_fail(c, REASON_INTERNAL, false, "libssh2 cannot make a session");

    static const int methods[KEX_KINDS][2] = {
        [KEX_EXCHANGE] = {LIBSSH2_METHOD_KEX, LIBSSH2_METHOD_KEX},
        [KEX_HOST_KEY] = {LIBSSH2_METHOD_HOSTKEY, LIBSSH2_METHOD_HOSTKEY},
        [KEX_CIPHER] = {LIBSSH2_METHOD_CRYPT_CS, LIBSSH2_METHOD_CRYPT_SC},
        [KEX_MAC] = {LIBSSH2_METHOD_MAC_CS, LIBSSH2_METHOD_MAC_SC},
    };

    for (int i = 0; i < KEX_KINDS; i++)
        for (int j = 0; j < 2; j++)
            if (libssh2_session_method_pref(c->ssh, methods[i][j], c->prep->prefs[i]) != 0)
                return conn_fail(c, REASON_UNSUPPORTED, false,
                                 "this build of libssh2 has none of the %s that are allowed: %s",
                                 kex_setting((enum kex_kind) i), c->prep->prefs[i]);
    c->state = CONN_HANDSHAKE;
    return GO_ON;
}

static bool take(unsigned *wake, unsigned what)
{
    bool there = *wake & what;

    *wake &= ~what;
    return there;
}

static enum go advance(struct conn *c, unsigned *wake)
{
    switch (c->state) {
    case CONN_NEW:
        return start(c);
    case CONN_PREPARE:
        return take(wake, WAKE_HELP) ? prepared(c) : GO_WAIT;
    case CONN_JUMP:
        return conn_way_jump(c);
    case CONN_SLOT:
        if (!take(wake, WAKE_SLOT))
            return conn_way_slot(c, take(wake, WAKE_TIMER));
        session_timer(c->session, -1);
        return conn_way_straight(c) ? try_address(c) : conn_way_granted(c);
    case CONN_CHANNEL:
        return conn_way_channel(c);
    case CONN_CONNECT:
        return connected(c, *wake);
    case CONN_HANDSHAKE:
        return conn_handshake(c);
    case CONN_ACCEPT:
        return take(wake, WAKE_HELP) ? conn_accepted(c) : GO_WAIT;
    case CONN_AUTH:
        return conn_auth(c);
    case CONN_SIGN:
        return take(wake, WAKE_HELP) ? conn_signed(c) : GO_WAIT;
    case CONN_METHODS:
        return conn_methods(c);
    case CONN_PASSWORD:
        return conn_password(c);
    case CONN_KBDINT:
        return take(wake, WAKE_HELP) ? conn_kbdint_done(c) : GO_WAIT;
    case CONN_CARRY:
        return conn_carry(c);
    case CONN_OPEN:
        if (!c->carry)
            return conn_open(c);
        c->state = CONN_CARRY;
        return GO_ON;
    case CONN_ENV:
        return conn_env(c);
    case CONN_EXEC:
        return conn_exec(c);
    case CONN_RUN:
        return conn_run(c);
    case CONN_CLOSE:
        return conn_close(c);
    case CONN_OVER:
        return conn_over(c);
    case CONN_SFTP:
        return conn_sftp(c);
    case CONN_ENDED:
        break;
    }
    return GO_WAIT;
}

/* While a helper works, nothing is read: an event that nobody takes would come again at once. */
static void set_watch(struct conn *c)
{
    bool helper = c->state == CONN_SIGN || c->state == CONN_ACCEPT || c->state == CONN_KBDINT;
    uint32_t events = helper ? 0 : conn_events(c);

    if (c->fd < 0)
        return;
    if (events)
        session_watch(c->session, c->fd, events);
    else
        session_unwatch(c->session, c->fd);
}

static const char *phase(const struct conn *c)
{
    switch (c->state) {
    case CONN_PREPARE:
        return "while its settings (ssh -G), name and keys were looked up";
    case CONN_JUMP:
        return c->via_phase;
    case CONN_CHANNEL:
        return "while the jump host was connecting to it";
    case CONN_SLOT:
        return "while it waited for its turn (handshakes at one server are limited)";
    case CONN_CONNECT:
        return "while connecting";
    case CONN_HANDSHAKE:
        return conn_banner_seen(c) ? "during the key exchange"
                                   : "while waiting for the server's SSH banner";
    case CONN_AUTH:
    case CONN_METHODS:
    case CONN_PASSWORD:
    case CONN_KBDINT:
        return "during authentication";
    case CONN_SIGN:
        return c->prep->cand[c->key].key ? "while the passphrase of its key was asked for"
                                         : "while the agent was asked to sign";
    case CONN_OPEN:
        return "while opening a session";
    case CONN_ENV:
        return "while sending the environment (SendEnv, SetEnv)";
    default:
        return NULL;
    }
}

/* A stage has been reached, for explain. */
static void trace(struct conn *c, enum conn_state before)
{
    if (c->state == before || !session_traced(c->session))
        return;
    if (before == CONN_HANDSHAKE && conn_banner_seen(c)) {
        CLEANUP_FREE char *banner = text_clean(libssh2_session_banner_get(c->ssh));

        session_trace(c->session, "the server says %s", banner);
    }
    switch (c->state) {
    case CONN_SLOT:
        session_trace(c->session, "waiting for a turn");
        break;
    case CONN_CONNECT:
        session_trace(c->session, "connecting to %s", c->addr_text);
        break;
    case CONN_HANDSHAKE:
        session_trace(c->session, "exchanging keys");
        break;
    case CONN_OPEN:
        session_trace(c->session, "opening a session");
        break;
    case CONN_RUN:
        session_trace(c->session, "the command runs");
        break;
    case CONN_CLOSE:
        session_trace(c->session, "the command has ended");
        break;
    default:
        break;
    }
}

static enum go traced_advance(struct conn *c, unsigned *wake)
{
    enum conn_state before = c->state;
    enum go go = advance(c, wake);

    trace(c, before);
    return go;
}

static void ssh_step(void *priv, unsigned wake)
{
    struct conn *c = priv;

    if (c->state == CONN_ENDED)
        return;
    if (c->state != CONN_KBDINT) { /* a helper has the connection */
        c->rx_dry = false;
        conn_flush(c);
    }
    conn_way_step(c);
    if ((wake & WAKE_TIMER) && c->state >= CONN_RUN) {
        conn_stop_look(c);
        conn_keepalive(c);
    }
    while (c->state != CONN_ENDED && traced_advance(c, &wake) == GO_ON)
        ;
    if (c->state == CONN_ENDED)
        return;
    set_watch(c);
    session_phase(c->session, phase(c));
}

static void ssh_stop(void *priv, int sig)
{
    struct conn *c = priv;

    if (c->state == CONN_ENDED)
        return;
    if (c->state == CONN_SFTP)
        conn_sftp_stop(c);
    else
        conn_stop_ask(c, sig);
    ssh_step(c, 0);
}

const struct transport_ops transport_ssh = {
    .name = "ssh",
    .open = ssh_open,
    .step = ssh_step,
    .stop = ssh_stop,
    .close = ssh_close,
    .shared_new = ssh_shared_new,
    .shared_free = ssh_shared_free,
    .shared_stop = ssh_shared_stop,
};

const struct transport_ops transport_carrier = {
    .name = "carrier",
    .open = carrier_open,
    .step = ssh_step,
    .stop = ssh_stop,
    .close = ssh_close,
    .shared_new = ssh_shared_again,
    .shared_free = ssh_shared_free,
};

const struct transport_ops transport_ssh_side = {
    .name = "ssh",
    .open = ssh_open,
    .step = ssh_step,
    .stop = ssh_stop,
    .close = ssh_close,
    .shared_new = ssh_shared_again,
    .shared_free = ssh_shared_free,
};
