/* SPDX-License-Identifier: Apache-2.0 */
/* How a connection comes about where no address is connected to: through a jump host, or by the
 * user's ProxyCommand. Both end with a socket that libssh2 takes for the server's. */
#include "ssh_conn.h"

#include "ssh_carrier.h"
#include "ssh_jump.h"
#include "ssh_proxy.h"
#include "ssh_shared.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOK_MS 1000 /* while it waits for a handshake place */

bool conn_way_straight(const struct conn *c)
{
    return !c->prep->jump && !c->prep->proxy_command;
}

static enum go lost(struct conn *c)
{
    /* What the carrier said of it is put there by conn_fail(). */
    return conn_fail(c, REASON_UNREACHABLE, true, "the connection through %s was lost",
                     c->via->via);
}

static enum go ask_jump(struct conn *c)
{
    const struct prepared *p = c->prep;
    struct err e = ERR_INIT;
    const struct jump_want want = {
        .chain = p->jump,
        .host = p->hostname,
        .port = p->port,
        .config = p->config,
        .base = &p->base,
        .password = session_password(c->session),
        .connect_ms = conn_connect_ms(c),
        .batch = p->batch,
        .asker = c->carry ? carry_carrier(c->carry) : NULL,
    };

    c->via = jump_ask(shared_jumps(p->shared), &want, &c->fd, &e);
    if (!c->via) {
        enum go go = conn_fail(c, REASON_INTERNAL, false, "%s", e.msg);

        err_clear(&e);
        return go;
    }
    c->addr_text = x_asprintf("%s port %d through %s", p->hostname, p->port, c->via->via);
    c->via_phase = x_asprintf("while it waited for jump host %s", c->via->via);
    session_trace(c->session, "through jump host %s", p->jump);
    c->state = CONN_JUMP;
    return GO_ON;
}

enum go conn_way_wait(struct conn *c)
{
    session_timer(c->session, LOOK_MS);
    c->state = CONN_SLOT;
    return GO_WAIT;
}

enum go conn_way_begin(struct conn *c)
{
    const struct prepared *p = c->prep;

    free(X_STEAL(c->addr_text));
    if (p->jump)
        return ask_jump(c);
    c->addr_text = x_asprintf("%s port %d by its ProxyCommand", p->hostname, p->port);
    if (session_want_handshake(c->session, c->addr_text))
        return conn_way_granted(c);
    return conn_way_wait(c);
}

/* One byte from the carrier. 0: not yet, -1: the end. */
static int hear(struct conn *c)
{
    char byte;
    ssize_t n = recv(c->fd, &byte, 1, MSG_DONTWAIT);

    if (n == 1)
        return byte;
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

enum go conn_way_jump(struct conn *c)
{
    int heard = hear(c);

    if (!heard)
        return GO_WAIT;
    if (heard != JUMP_READY)
        return lost(c);
    session_trace(c->session, "jump host %s is ready", c->via->via);
    if (session_want_handshake(c->session, c->addr_text))
        return conn_way_granted(c);
    return conn_way_wait(c);
}

enum go conn_way_slot(struct conn *c, bool timer)
{
    if (timer) {
        session_handshake_look(c->session);
        session_timer(c->session, LOOK_MS);
    }
    return c->via && jump_failed(c->via) ? lost(c) : GO_WAIT;
}

static enum go start_proxy(struct conn *c)
{
    struct err e = ERR_INIT;

    c->proxy = proxy_start(c->session, c->prep->proxy_command, &c->fd, &e);
    if (!c->proxy) {
        enum go go = conn_fail(c, REASON_INTERNAL, false, "%s", e.msg);

        err_clear(&e);
        return go;
    }
    session_trace(c->session, "ProxyCommand started: %s", c->prep->proxy_command);
    return conn_session_begin(c);
}

enum go conn_way_granted(struct conn *c)
{
    static const char go = JUMP_GO;

    if (!c->via)
        return start_proxy(c);
    if (send(c->fd, &go, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
        return lost(c);
    c->state = CONN_CHANNEL;
    return GO_ON;
}

enum go conn_way_channel(struct conn *c)
{
    int heard = hear(c);

    if (!heard)
        return GO_WAIT;
    if (heard != JUMP_OPEN)
        return lost(c);
    session_trace(c->session, "connected to %s", c->addr_text);
    return conn_session_begin(c);
}

/* A better word on a failure than what the connection's end tells; NULL: there is none. */
char *conn_way_failure(struct conn *c, enum reason *reason, bool *retry, bool *fallback)
{
    *fallback = false;
    if (c->via && jump_failed(c->via)) {
        *reason = c->started ? REASON_LOST : c->via->reason;
        *retry = c->via->retry;
        *fallback = c->via->fallback && !c->started;
        return x_strdup(c->via->error);
    }
    if (c->proxy && !conn_banner_seen(c)) {
        const char *said = proxy_errors(c->proxy);

        return *said ? x_asprintf("ProxyCommand failed: %s", said)
                     : x_asprintf("ProxyCommand ended before %s port %d showed an SSH banner",
                                  c->prep->hostname, c->prep->port);
    }
    return NULL;
}

void conn_way_step(struct conn *c)
{
    if (c->proxy)
        proxy_step(c->proxy);
}

void conn_way_close(struct conn *c)
{
    proxy_close(X_STEAL(c->proxy));
    jump_unref(X_STEAL(c->via));
    free(X_STEAL(c->via_phase));
}
