/* SPDX-License-Identifier: Apache-2.0 */
/* The agent protocol (draft-miller-ssh-agent), one connection a question, each step against a
 * deadline. */
#include "ssh_agent.h"

#include "ssh_key.h"
#include "ssh_wire.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define AGENT_REPLY_MAX (256 * 1024)
#define AGENT_KEYS_MAX 256

enum { REQUEST_IDENTITIES = 11, IDENTITIES_ANSWER = 12, SIGN_REQUEST = 13, SIGN_RESPONSE = 14 };

static int no_answer(const char *path, int64_t timeout_ms, struct err *e)
{
    return err_set(e, ERR_VALIDATION, "agent %s does not answer (waited %.1f s)", path,
                   (double) timeout_ms / 1000);
}

/* 1 ready, 0 the deadline has passed. */
static int wait_for(int fd, short events, int64_t deadline)
{
    for (;;) {
        int64_t left = deadline - mono_ms(clock_system());
        struct pollfd p = {.fd = fd, .events = events};

        if (left <= 0)
            return 0;
        if (poll(&p, 1, (int) left) > 0)
            return 1;
    }
}

static int agent_connect(const char *path, int64_t deadline, struct err *e)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof sun.sun_path)
        return err_set(e, ERR_VALIDATION, "agent %s: the path is too long for a socket", path);
    memcpy(sun.sun_path, path, strlen(path));

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return err_set(e, ERR_INTERNAL, "socket: %s", strerror(errno));
    while (connect(fd, (struct sockaddr *) &sun, sizeof sun) != 0) {
        /* A full backlog; there is nothing that poll could wait for. */
        if ((errno == EAGAIN || errno == EINTR) && mono_ms(clock_system()) < deadline) {
            poll(NULL, 0, 20);
            continue;
        }
        if (errno != EAGAIN)
            err_set(e, ERR_VALIDATION, "agent %s: %s", path, strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

static bool agent_write(int fd, const char *p, size_t n, int64_t deadline)
{
    while (n) {
        ssize_t put = send(fd, p, n, MSG_NOSIGNAL);

        if (put > 0) {
            p += put;
            n -= (size_t) put;
        } else if (put < 0 && errno != EAGAIN && errno != EINTR) {
            return true; /* the reading side finds out and says it */
        } else if (!wait_for(fd, POLLOUT, deadline)) {
            return false;
        }
    }
    return true;
}

/* Reads until `want` bytes are there. 1; 0 the deadline passed; -1 it closed. */
static int agent_read(int fd, struct strbuf *in, size_t want, int64_t deadline)
{
    while (in->len < want) {
        char buf[4096];
        size_t room = want - in->len;
        ssize_t got = recv(fd, buf, room < sizeof buf ? room : sizeof buf, 0);

        if (got > 0)
            strbuf_add(in, buf, (size_t) got);
        else if (got == 0 || (errno != EAGAIN && errno != EINTR))
            return -1;
        else if (!wait_for(fd, POLLIN, deadline))
            return 0;
    }
    return 1;
}

/* One question and its answer, without its length. 0 or -code. */
static int agent_ask(const char *path, int64_t timeout_ms, const struct strbuf *request,
                     struct strbuf *reply, int *hung, struct err *e)
{
    int64_t deadline = mono_ms(clock_system()) + timeout_ms;
    struct err why = ERR_INIT;
    struct strbuf out;
    int got = 0, fd = agent_connect(path, deadline, &why);

    *hung = 0;
    if (fd < 0) {
        *hung = why.code == ERR_NONE;
        int ret = *hung ? no_answer(path, timeout_ms, e)
                        : err_set(e, ERR_VALIDATION, "%s", why.msg);

        err_clear(&why);
        return ret;
    }
    strbuf_init(&out, 0);
    wire_put_string(&out, request->s, request->len);
    if (agent_write(fd, out.s, out.len, deadline))
        got = agent_read(fd, reply, 4, deadline);
    strbuf_free(&out);
    if (got > 0) {
        struct wire w = wire_of(reply->s, 4);
        uint32_t len = wire_u32(&w);

        strbuf_reset(reply);
        got = len > 0 && len <= AGENT_REPLY_MAX ? agent_read(fd, reply, len, deadline) : -1;
    }
    close(fd);
    if (got == 0) {
        *hung = 1;
        return no_answer(path, timeout_ms, e);
    }
    if (got < 0)
        return err_set(e, ERR_VALIDATION, "agent %s closed the connection without an answer", path);
    return 0;
}

struct agent_keys *agent_keys_ref(struct agent_keys *k)
{
    __atomic_add_fetch(&k->refs, 1, __ATOMIC_RELAXED);
    return k;
}

void agent_keys_unref(struct agent_keys *k)
{
    if (!k || __atomic_sub_fetch(&k->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < k->n; i++) {
        free(k->v[i].type);
        free(k->v[i].blob);
    }
    free(k->v);
    free(k);
}

struct agent_keys *agent_list(const char *path, int64_t timeout_ms, struct err *e)
{
    struct agent_keys *keys = NULL;
    struct strbuf request, reply;
    int hung;

    strbuf_init(&request, 0);
    strbuf_init(&reply, AGENT_REPLY_MAX);
    strbuf_addch(&request, REQUEST_IDENTITIES);
    if (agent_ask(path, timeout_ms, &request, &reply, &hung, e) == 0) {
        struct wire w = wire_of(reply.s, reply.len);

        if (wire_u8(&w) != IDENTITIES_ANSWER) {
            err_set(e, ERR_VALIDATION, "agent %s refuses to list its keys (is it locked?)", path);
        } else {
            uint32_t n = wire_u32(&w);

            keys = x_calloc(1, sizeof *keys);
            keys->refs = 1;
            for (uint32_t i = 0; i < n && i < AGENT_KEYS_MAX && !w.bad; i++) {
                size_t len, comment_len;
                const uint8_t *blob = wire_string(&w, &len);

                wire_string(&w, &comment_len);
                if (w.bad)
                    break;
                X_GROW(keys->v, keys->cap, keys->n + 1);
                keys->v[keys->n++] =
                    (struct agent_key) {ssh_blob_type(blob, len), x_memdup(blob, len), len};
            }
        }
    }
    strbuf_free(&request);
    strbuf_free(&reply);
    return keys;
}

int agent_sign(const char *path, int64_t timeout_ms, const void *blob, size_t blob_len,
               const char *alg, const void *data, size_t n, uint8_t **sig, size_t *sig_len,
               int *hung, struct err *e)
{
    struct strbuf request, reply;

    strbuf_init(&request, 0);
    strbuf_init(&reply, AGENT_REPLY_MAX);
    strbuf_addch(&request, SIGN_REQUEST);
    wire_put_string(&request, blob, blob_len);
    wire_put_string(&request, data, n);
    wire_put_u32(&request, ssh_agent_flags(alg));

    int ret = agent_ask(path, timeout_ms, &request, &reply, hung, e);

    if (ret == 0) {
        struct wire w = wire_of(reply.s, reply.len);
        uint8_t answer = wire_u8(&w);
        size_t whole_len, type_len, len;
        const uint8_t *whole = wire_string(&w, &whole_len);
        struct wire in = wire_of(whole, whole_len);

        const uint8_t *type = wire_string(&in, &type_len), *s = wire_string(&in, &len);

        if (answer != SIGN_RESPONSE || w.bad || !s) {
            ret = err_set(e, ERR_VALIDATION, "agent %s refused to sign", path);
        } else if (alg && !wire_is(type, type_len, alg)) {
            /* Old ones know no flags. */
            ret = err_set(e, ERR_VALIDATION, "agent %s does not sign by %s", path, alg);
        } else {
            *sig = x_memdup(s, len);
            *sig_len = len;
        }
    }
    strbuf_free(&request);
    strbuf_free(&reply);
    return ret;
}
