/* SPDX-License-Identifier: Apache-2.0 */
/* Which way to prove who the user is comes next, and what is said when there is none left.
 *
 * A server that wants several steps lists, after each that it took, what is still missing; one that
 * it refused leaves the list as it was. The library tells neither from the other, so the list is
 * asked for after whatever was signed or sent. It costs a round trip, and in a server's eyes an
 * attempt; therefore not before the keys, unless a password may be needed too. */
#include "ssh_conn.h"

#include "ssh_key.h"

#include "muster/base/alloc.h"
#include "muster/base/text.h"

#include <string.h>

#define USUAL_ORDER "publickey,keyboard-interactive,password"

static bool keys_left(const struct conn *c)
{
    return !c->prep->conf->no_pubkey && c->key < c->prep->n_cand;
}

static bool kbdint_left(const struct conn *c)
{
    return !c->prep->conf->no_kbdint && session_password(c->session);
}

static bool password_left(const struct conn *c)
{
    return !c->prep->conf->no_password && session_password(c->session);
}

static const struct method {
    const char *name;
    bool (*left)(const struct conn *c);
    enum conn_state state;
} methods[] = {
    {"publickey", keys_left, CONN_AUTH},
    {"keyboard-interactive", kbdint_left, CONN_KBDINT},
    {"password", password_left, CONN_PASSWORD},
};

static const char *order(const struct conn *c)
{
    return c->prep->conf->preferred ? c->prep->conf->preferred : USUAL_ORDER;
}

/* The first of the user's order that the server lists and that is left. list NULL: any. */
static const struct method *next_method(const struct conn *c, const char *list)
{
    for (const char *p = order(c); *p; p += strcspn(p, ","), p += *p == ',') {
        size_t len = strcspn(p, ",");

        for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
            const struct method *m = &methods[i];

            if (strlen(m->name) == len && strncmp(m->name, p, len) == 0 && m->left(c) &&
                !(c->spent & 1u << i) && (!list || kex_lists(list, m->name)))
                return m;
        }
    }
    return NULL;
}

static void trace_begin(struct conn *c)
{
    const struct prepared *p = c->prep;

    if (p->agent_keys >= 0)
        session_trace(c->session, "agent %s lists its keys: %d", p->agent_path, p->agent_keys);
    session_trace(c->session, "keys to offer: %zu", p->n_cand);
}

enum go conn_authenticate(struct conn *c)
{
    const struct method *m = next_method(c, c->methods);

    if (c->state < CONN_AUTH)
        trace_begin(c);
    /* Keys alone need no list. */
    if (!c->methods && (!m || m->state != CONN_AUTH || session_password(c->session))) {
        c->state = CONN_METHODS;
        return GO_ON;
    }
    if (!m)
        return conn_auth_failed(c, !c->password_refused ? NULL
                                   : c->asked ? "password or answer refused"
                                              : "password refused");
    if (m->state != CONN_AUTH)
        c->spent |= 1u << (unsigned) (m - methods);
    c->state = m->state;
    return m->state == CONN_KBDINT ? conn_kbdint(c) : GO_ON;
}

enum go conn_authenticated(struct conn *c, const char *how)
{
    sign_work_free(X_STEAL(c->signing));
    session_handshake_done(c->session);
    session_trace(c->session, "authenticated as %s by %s", c->prep->user, how);
    c->wiping = c->given = false;
    /* A way through a jump host stays for a while: opened keys shall not. */
    for (size_t i = 0; i < c->prep->n_cand; i++)
        ssh_key_unref(X_STEAL(c->prep->cand[i].key));
    c->state = CONN_OPEN;
    return GO_ON;
}

void conn_tried(struct conn *c, const char *label, const char *result)
{
    strbuf_addf(&c->tried, "%s%s%s", c->tried.len ? ", " : "", label, result);
    session_trace(c->session, "%s was refused%s", label, result);
}

static bool is_password(const char *given)
{
    return given && (strcmp(given, "password") == 0 || strcmp(given, "keyboard-interactive") == 0);
}

/* What the server made of the last thing that it was given. */
static void settle_pending(struct conn *c, const char *list)
{
    CLEANUP_FREE char *given = X_STEAL(c->pending);
    bool password = is_password(given);
    /* Refused, it stands in the list as before; taken, it does not, or another one does. */
    bool taken = given && (!kex_lists(list, password ? given : "publickey") ||
                           (c->methods && strcmp(c->methods, list) != 0));

    if (!given)
        return;
    if (taken) {
        strbuf_addf(&c->tried, "%s%s (taken, and more is wanted)", c->tried.len ? ", " : "", given);
        session_trace(c->session, "%s was taken; the server wants %s too", given, list);
        c->spent = 0;
        return;
    }
    conn_tried(c, given, "");
    if (!password)
        return;
    /* Once refused it is not given again, whatever it would be called then. */
    c->password_refused = true;
    for (unsigned i = 0; i < ARRAY_LEN(methods); i++)
        if (methods[i].state != CONN_AUTH)
            c->spent |= 1u << i;
}

enum go conn_hung_up(struct conn *c)
{
    bool password = is_password(c->pending);

    if (c->pending)
        conn_tried(c, c->pending, "");
    c->password_refused |= password;
    free(X_STEAL(c->methods)); /* of before: what it wants now is not known */
    return conn_auth_failed(c, password ? "password refused" : NULL);
}

enum go conn_methods(struct conn *c)
{
    const char *user = c->prep->user;
    const char *list = libssh2_userauth_list(c->ssh, user, (unsigned) strlen(user));

    if (list) {
        CLEANUP_FREE char *clean = text_clean(list);

        settle_pending(c, clean);
        free(c->methods);
        c->methods = X_STEAL(clean);
        return conn_authenticate(c);
    }
    if (libssh2_userauth_authenticated(c->ssh))
        return conn_authenticated(c, "nothing (the server asks for nothing)");
    if (libssh2_session_last_errno(c->ssh) == LIBSSH2_ERROR_EAGAIN && !c->rx_ended && !c->io_errno)
        return GO_WAIT;
    return conn_hung_up(c);
}

/* Why ssh itself may have more luck; NULL: it would not. Caller frees. */
static char *for_ssh(const struct conn *c)
{
    const struct prepared *p = c->prep;

    if (c->password_refused)
        return NULL;
    if (p->only_ssh.n) {
        CLEANUP_FREE char *names = strv_join(&p->only_ssh, ", ");

        return x_asprintf("only ssh itself can offer %s", names);
    }
    if (p->conf->gssapi && c->methods && kex_lists(c->methods, "gssapi-with-mic"))
        return x_strdup("ssh itself may use GSSAPI");
    if (p->conf->hostbased && c->methods && kex_lists(c->methods, "hostbased"))
        return x_strdup("ssh itself may use host-based authentication");
    if (c->rsa_refused)
        return x_strdup("ssh itself may do better with an RSA key");
    return NULL;
}

/* What there would be to try, but for the user's own list of methods. */
static void add_left_out(const struct conn *c, struct strbuf *b)
{
    bool any = false;

    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        const struct method *m = &methods[i];

        if (kex_lists(order(c), m->name) || !m->left(c))
            continue;
        if (any)
            strbuf_addf(b, ", %s", m->name);
        else
            strbuf_addf(b, "; PreferredAuthentications %s leaves out: %s", order(c), m->name);
        any = true;
    }
}

static void add_tried(struct conn *c, struct strbuf *b)
{
    CLEANUP_FREE char *notes = strv_join(&c->prep->notes, "; ");

    if (c->tried.len)
        strbuf_addf(b, "tried: %s", c->tried.s);
    else if (!c->prep->n_cand)
        strbuf_adds(b, "there is no key to offer: load one into the agent (ssh-add), or name a "
                       "file with --identity");
    else
        strbuf_adds(b, "no key could be tried");
    add_left_out(c, b);
    if (*notes)
        strbuf_addf(b, "; not tried: %s", notes);
}

static void add_accepted(struct conn *c, struct strbuf *b)
{
    const char *list = c->methods;

    if (!list && c->rx_ended)
        strbuf_addf(b, "; then the connection ended: %s", conn_io_text(c));
    if (!list)
        return;
    strbuf_addf(b, "; the server accepts: %s", list);
    if (!session_password(c->session) &&
        (kex_lists(list, "password") || kex_lists(list, "keyboard-interactive")))
        strbuf_adds(b, ": give -A to be asked for a password");
}

/* What was tried, what was passed over, and what the server would take. */
enum go conn_auth_failed(struct conn *c, const char *why)
{
    const struct prepared *p = c->prep;
    CLEANUP_FREE char *ssh = why ? NULL : for_ssh(c);
    struct strbuf b;
    enum go go;

    strbuf_init(&b, 2048);
    if (why)
        strbuf_addf(&b, "%s; ", why);
    add_tried(c, &b);
    add_accepted(c, &b);
    if (ssh)
        go = conn_fallback(c, REASON_AUTH, "%s@%s refused: %s; %s", p->user, p->host, b.s, ssh);
    else
        go = conn_fail(c, REASON_AUTH, false, "%s@%s refused: %s", p->user, p->host, b.s);
    strbuf_free(&b);
    return go;
}
