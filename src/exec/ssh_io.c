/* SPDX-License-Identifier: Apache-2.0 */
/* The library's SEND and RECV callbacks.
 *
 * Theory of operation: libssh2 wants the very same call again after a short write, or the
 * session is dead; so SEND never is short: what the socket does not take is queued here and goes
 * out when epoll says so. An end of the stream is not reported while RECV is asked, since the
 * library would throw away what it has read already; it is noted, and whoever finds nothing more
 * to read looks at rx_ended. */
#include "ssh_conn.h"

#include "ssh_carrier.h"

#include "muster/base/alloc.h"
#include "muster/base/log.h"
#include "muster/base/secret.h"
#include "muster/base/text.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define OUT_MAX ((size_t) 1 << 20)
#define HEAD_MAX 8192
#define FAREWELL_MAX 300
#define FREE_TRIES 100

static ssize_t send_cb(libssh2_socket_t fd, const void *p, size_t n, int flags, void **abstract)
{
    struct conn *c = *abstract;
    const char *bytes = p;
    size_t sent = 0;

    if (c->dead || c->io_errno)
        return -EPIPE;
    if (!c->out_len) {
        ssize_t put = send(fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (put < 0 && errno != EAGAIN && errno != EINTR) {
            c->io_errno = errno;
            return -errno;
        }
        sent = put > 0 ? (size_t) put : 0;
    }
    if (sent == n)
        return (ssize_t) n;
    /* Nothing of ours fills this: a server that never reads while we answer it does. */
    if (c->out_len + n - sent > OUT_MAX) {
        c->io_errno = ENOBUFS;
        return -ENOBUFS;
    }
    X_GROW(c->out, c->out_cap, c->out_len + n - sent);
    memcpy(c->out + c->out_len, bytes + sent, n - sent);
    c->out_len += n - sent;
    return (ssize_t) n;
}

static ssize_t recv_cb(libssh2_socket_t fd, void *p, size_t n, int flags, void **abstract)
{
    struct conn *c = *abstract;

    if (c->dead)
        return -ECONNRESET;
    if (c->rx_ended || (c->state == CONN_CARRY && c->rx_dry))
        return -EAGAIN;

    ssize_t got = recv(fd, p, n, MSG_DONTWAIT);

    if (got > 0) {
        c->rx_bytes += (uint64_t) got;
        if (c->rx_head && c->rx_head_len < HEAD_MAX) {
            size_t room = HEAD_MAX - c->rx_head_len;
            size_t take = (size_t) got < room ? (size_t) got : room;

            memcpy(c->rx_head + c->rx_head_len, p, take);
            c->rx_head_len += take;
        }
        return got;
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        c->rx_ended = true;
        if (got < 0 && !c->io_errno)
            c->io_errno = errno;
    }
    c->rx_dry = true;
    return -EAGAIN;
}

static void disconnect_cb(LIBSSH2_SESSION *session, int reason, const char *message,
                          int message_len, const char *language, int language_len, void **abstract)
{
    struct conn *c = *abstract;
    struct strbuf b;

    if (!message || message_len <= 0 || c->farewell)
        return;
    strbuf_init(&b, FAREWELL_MAX);
    text_sanitise(&b, message, (size_t) message_len, 0);
    c->farewell = strbuf_steal(&b);
}

/* The library declares its callbacks as one untyped pointer. */
union callback {
    ssize_t (*send)(libssh2_socket_t, const void *, size_t, int, void **);
    ssize_t (*recv)(libssh2_socket_t, void *, size_t, int, void **);
    void (*disconnect)(LIBSSH2_SESSION *, int, const char *, int, const char *, int, void **);
    void *untyped;
};

/* The library's memory. While a password may be in it, nothing is given back without being wiped. */
static void *alloc_cb(size_t n, void **abstract)
{
    return malloc(n);
}

static void free_cb(void *p, void **abstract)
{
    const struct conn *c = *abstract;

    if (p && c->carry)
        carry_given_back(c->carry, p, malloc_usable_size(p));
    if (p && c->wiping)
        secret_wipe(p, malloc_usable_size(p));
    free(p);
}

static void *realloc_cb(void *p, size_t n, void **abstract)
{
    const struct conn *c = *abstract;

    if (!p || !c->wiping)
        return realloc(p, n);

    size_t had = malloc_usable_size(p);
    void *q = malloc(n);

    if (!q)
        return NULL;
    memcpy(q, p, had < n ? had : n);
    secret_wipe(p, had);
    free(p);
    return q;
}

LIBSSH2_SESSION *conn_session_new(struct conn *c)
{
    c->wiping = session_password(c->session) != NULL;

    LIBSSH2_SESSION *ssh = libssh2_session_init_ex(alloc_cb, free_cb, realloc_cb, c);

    if (!ssh)
        return NULL;
    libssh2_session_set_blocking(ssh, 0);
    libssh2_session_callback_set(ssh, LIBSSH2_CALLBACK_SEND,
                                 (union callback) {.send = send_cb}.untyped);
    libssh2_session_callback_set(ssh, LIBSSH2_CALLBACK_RECV,
                                 (union callback) {.recv = recv_cb}.untyped);
    libssh2_session_callback_set(ssh, LIBSSH2_CALLBACK_DISCONNECT,
                                 (union callback) {.disconnect = disconnect_cb}.untyped);
    c->rx_head = x_malloc(HEAD_MAX);
    c->rx_head_len = 0;
    return ssh;
}

void conn_flush(struct conn *c)
{
    while (c->out_len && !c->io_errno) {
        ssize_t put = send(c->fd, c->out, c->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (put < 0) {
            if (errno == EINTR)
                continue;
            if (errno != EAGAIN)
                c->io_errno = errno;
            return;
        }
        memmove(c->out, c->out + put, c->out_len - (size_t) put);
        c->out_len -= (size_t) put;
    }
}

uint32_t conn_events(const struct conn *c)
{
    if (c->state == CONN_CONNECT)
        return EPOLLOUT;
    if (c->state == CONN_CARRY)
        return carry_events(c);
    /* After its end the socket would be ready for ever. */
    return (c->rx_ended ? 0 : EPOLLIN) | (c->out_len ? EPOLLOUT : 0);
}

const char *conn_io_text(const struct conn *c)
{
    if (c->farewell)
        return c->farewell;
    return c->io_errno ? strerror(c->io_errno) : "closed by the server";
}

bool conn_banner_seen(const struct conn *c)
{
    const char *banner = c->ssh ? libssh2_session_banner_get(c->ssh) : NULL;

    return banner && strncmp(banner, "SSH-", 4) == 0;
}

void conn_teardown(struct conn *c)
{
    int rc = 0;

    if (c->fd >= 0 && c->session)
        session_unwatch(c->session, c->fd);
    if (c->ssh) {
        /* From here on the library's calls fail at once instead of waiting for the server. */
        c->dead = true;
        if (c->fd >= 0)
            shutdown(c->fd, SHUT_RDWR);
        for (int i = 0; i < FREE_TRIES; i++) {
            rc = libssh2_session_free(c->ssh);
            if (rc != LIBSSH2_ERROR_EAGAIN)
                break;
        }
        if (rc == LIBSSH2_ERROR_EAGAIN)
            log_warn("ssh", "a session could not be freed");
        c->ssh = NULL;
        c->channel = NULL;
        c->stop.channel = NULL;
    }
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    free(X_STEAL(c->out));
    c->out_len = c->out_cap = 0;
    free(X_STEAL(c->rx_head));
}
