/* SPDX-License-Identifier: Apache-2.0 */
/* The ProxyCommand of one connection: in a session of its own, so that no key of the terminal
 * reaches it, and nothing of it stays behind. */
#include "ssh_proxy.h"

#include "reap.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/spawn.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/exec/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ERRORS_MAX 2048

struct proxy {
    struct session *session;
    pid_t pid; /* and its process group */
    int err;   /* -1: at its end */
    char errors[ERRORS_MAX];
    size_t n;
    char *text;
};

static int spawn(const char *command, int io, int err, pid_t *pid)
{
    const char *shell = getenv("SHELL");
    CLEANUP_FREE char *line = x_asprintf("exec %s", command);
    CLEANUP_FREE char *path = x_strdup(shell && *shell == '/' ? shell : "/bin/sh");
    char flag[] = "-c", *argv[] = {path, flag, line, NULL};
    const struct spawn s = {
        .file = path, .argv = argv, .in = io, .out = io, .err = err, .session = true};

    return spawn_child(&s, pid);
}

struct proxy *proxy_start(struct session *s, const char *command, int *fd, struct err *e)
{
    int io[2], err[2];
    pid_t pid = 0;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, io) != 0) {
        err_set(e, ERR_INTERNAL, "cannot make a socket: %s", strerror(errno));
        return NULL;
    }
    if (pipe2(err, O_CLOEXEC) != 0) {
        err_set(e, ERR_INTERNAL, "cannot make a pipe: %s", strerror(errno));
        close(io[0]);
        close(io[1]);
        return NULL;
    }
    /* Ours alone: the program wants its own end to block. */
    fcntl(io[0], F_SETFL, O_NONBLOCK);
    fcntl(err[0], F_SETFL, O_NONBLOCK);

    int rc = spawn(command, io[1], err[1], &pid);

    close(io[1]);
    close(err[1]);
    if (rc != 0) {
        err_set(e, ERR_INTERNAL, "cannot start the shell for ProxyCommand: %s", strerror(rc));
        close(io[0]);
        close(err[0]);
        return NULL;
    }

    struct proxy *p = x_calloc(1, sizeof *p);

    p->session = s;
    p->pid = pid;
    p->err = err[0];
    session_watch(s, p->err, EPOLLIN);
    *fd = io[0];
    return p;
}

void proxy_step(struct proxy *p)
{
    char buf[1024];

    while (p->err >= 0) {
        ssize_t n = read(p->err, buf, sizeof buf);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            session_unwatch(p->session, p->err);
            close(p->err);
            p->err = -1;
            return;
        }

        size_t room = sizeof p->errors - p->n;
        size_t take = (size_t) n < room ? (size_t) n : room;

        memcpy(p->errors + p->n, buf, take);
        p->n += take;
    }
}

const char *proxy_errors(struct proxy *p)
{
    CLEANUP_FREE char *copy = NULL;
    struct strbuf b;
    char *save = NULL;

    proxy_step(p);
    for (size_t i = 0; i < p->n; i++)
        if (!p->errors[i])
            p->errors[i] = '?';
    copy = x_strndup(p->errors, p->n);
    strbuf_init(&b, 0);
    for (char *l = strtok_r(copy, "\r\n", &save); l; l = strtok_r(NULL, "\r\n", &save))
        strbuf_addf(&b, "%s%s", b.len ? "; " : "", l);
    free(p->text);
    p->text = text_clean(b.s ? b.s : "");
    strbuf_free(&b);
    return p->text;
}

void proxy_close(struct proxy *p)
{
    if (!p)
        return;
    if (p->err >= 0) {
        session_unwatch(p->session, p->err);
        close(p->err);
    }
    kill(-p->pid, SIGTERM);
    reap_child(p->pid, true);
    free(p->text);
    free(p);
}
