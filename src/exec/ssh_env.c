/* SPDX-License-Identifier: Apache-2.0 */
/* What goes before the command: the terminal, and SendEnv and SetEnv. The server takes those that its
 * AcceptEnv names; that it refuses one is no failure, as with ssh. Each costs a round trip. */
#include "ssh_conn.h"

#include "muster/base/alloc.h"
#include "muster/base/log.h"

#include <stdlib.h>
#include <string.h>

#define TERM_MAX 64
#define TERM_COLUMNS 80
#define TERM_ROWS 24
#define VARIABLE_MAX 16384 /* the library cannot send much more in one request */

extern char **environ;

static void add(struct prepared *p, const char *variable)
{
    size_t n = strcspn(variable, "=");

    if (!n || !variable[n])
        return;
    if (strlen(variable) <= VARIABLE_MAX)
        strv_push(&p->env, variable);
    else
        log_line(LOG_WARN, "ssh", p->batch, p->node, "%.*s is too long to be sent", (int) n,
                 variable);
}

void prepare_env(struct prepared *p)
{
    const struct strv *send = &p->conf->send_env, *set = &p->conf->set_env;

    for (char **v = environ; send->n && v && *v; v++) {
        CLEANUP_FREE char *name = x_strndup(*v, strcspn(*v, "="));
        bool wanted = false;

        for (size_t i = 0; i < send->n && !wanted; i++)
            wanted = hosts_pattern(send->v[i], name);
        if (wanted)
            add(p, *v);
    }
    /* Later, so that they win where both name one. */
    for (size_t i = 0; i < set->n; i++)
        add(p, set->v[i]);
}

/* ssh_config's wish is one as for ssh: the command runs without a terminal where there is none. */
static enum go ask_terminal(struct conn *c)
{
    const char *term = getenv("TERM");

    if (!term || !*term || strlen(term) > TERM_MAX)
        term = "xterm";

    int rc = libssh2_channel_request_pty_ex(c->channel, term, (unsigned) strlen(term), NULL, 0,
                                            TERM_COLUMNS, TERM_ROWS, 0, 0);

    if (rc == LIBSSH2_ERROR_EAGAIN && !c->rx_ended && !c->io_errno)
        return GO_WAIT;
    if (rc == LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED) {
        if (session_wants_pty(c->session))
            return conn_fail(c, REASON_UNSUPPORTED, false,
                             "the server refuses to give the command a terminal (PermitTTY, or a "
                             "restriction of this key)");
        log_line(LOG_WARN, "ssh", c->prep->batch, c->prep->node,
                 "the server refuses the terminal that RequestTTY asks for");
        c->pty = false;
    } else if (rc != 0) {
        return conn_lost(c, rc, "asking for a terminal");
    }
    c->pty_asked = true;
    return GO_ON;
}

enum go conn_env(struct conn *c)
{
    if (c->pty && !c->pty_asked) {
        enum go go = ask_terminal(c);

        if (!c->pty_asked)
            return go;
    }
    for (; c->env_next < c->prep->env.n; c->env_next++) {
        const char *variable = c->prep->env.v[c->env_next];
        size_t n = strcspn(variable, "=");
        const char *value = variable + n + 1;
        int rc = libssh2_channel_setenv_ex(c->channel, variable, (unsigned) n, value,
                                           (unsigned) strlen(value));

        if (rc == LIBSSH2_ERROR_EAGAIN && !c->rx_ended && !c->io_errno)
            return GO_WAIT;
        if (rc == LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED)
            log_line(LOG_DEBUG, "ssh", c->prep->batch, c->prep->node,
                     "the server does not take %.*s (AcceptEnv)", (int) n, variable);
        else if (rc != 0)
            return conn_lost(c, rc, "sending the environment");
    }
    c->started = true;
    session_started(c->session);
    c->state = CONN_EXEC;
    return GO_ON;
}
