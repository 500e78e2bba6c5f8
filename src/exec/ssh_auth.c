/* SPDX-License-Identifier: Apache-2.0 */
/* From the first byte of the server to a session of ours: handshake, the check of its key before
 * anything of ours is shown to it, then one key after the other. */
#include "ssh_conn.h"

#include "ssh_agent.h"
#include "ssh_hosts.h"
#include "ssh_key.h"
#include "ssh_shared.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/log.h"
#include "muster/base/text.h"

#include <string.h>

static enum go no_algorithm(struct conn *c)
{
    CLEANUP_FREE char *why = kex_explain(c->rx_head, c->rx_head_len, c->prep->prefs);

    if (why)
        return conn_fail(c, REASON_UNSUPPORTED, false, "%s", why);
    if (!conn_banner_seen(c))
        return conn_fail(c, REASON_UNREACHABLE, false, "%s does not speak SSH", c->addr_text);
    return conn_fail(c, REASON_UNSUPPORTED, false,
                     "no algorithm in common with the server at %s (or its key exchange is broken)",
                     c->addr_text);
}

static enum go handshake_failed(struct conn *c, int rc)
{
    if (rc == LIBSSH2_ERROR_KEX_FAILURE)
        return no_algorithm(c);
    if (rc == LIBSSH2_ERROR_BANNER_RECV || (!conn_banner_seen(c) && !c->rx_ended))
        return conn_fail(c, REASON_UNREACHABLE, false, "%s does not speak SSH", c->addr_text);
    if (conn_banner_seen(c))
        return conn_lost(c, rc, "the key exchange");

    /* sshd drops at random when too many connections set up at once: later is another chance. */
    CLEANUP_FREE char *said = x_strndup((const char *) c->rx_head,
                                        c->rx_head_len < 200 ? c->rx_head_len : 200);

    said[strcspn(said, "\r\n")] = '\0';

    CLEANUP_FREE char *clean = text_clean(said);

    return conn_fail(c, REASON_UNREACHABLE, true,
                     "%s dropped the connection before its banner%s%s%s", c->addr_text,
                     *clean ? " (\"" : "", clean, *clean ? "\")" : "");
}

static enum go check_refused(struct conn *c, enum hosts_answer answer,
                             const struct hosts_match *where)
{
    const struct prepared *p = c->prep;
    const char *path = where ? hosts_path(where->file) : "";
    unsigned line = where ? where->entry->line : 0;

    if (answer == HOSTS_IS_REVOKED)
        return conn_fail(c, REASON_HOSTKEY, false, "host key for %s is REVOKED by %s:%u (%s)",
                         p->check_name, path, line, c->host_key_label);
    if (answer == HOSTS_ONLY_CA)
        return conn_fail(c, REASON_UNSUPPORTED, false,
                         "%s is known only by a certificate authority (%s:%u), which the ssh "
                         "transport cannot check: add the host's own key to known_hosts",
                         p->check_name, path, line);
    if (answer == HOSTS_CHANGED)
        return conn_fail(c, REASON_HOSTKEY, false,
                         "host key for %s (%s) differs from %s:%u: it now shows %s; if the host "
                         "was set up anew, remove that line, else somebody may be in between",
                         p->node, p->check_name, path, line, c->host_key_label);

    CLEANUP_FREE char *files = strv_join(&p->hosts_files, ", ");

    return conn_fail(c, REASON_HOSTKEY, false,
                     "host key for %s (%s) is unknown: %s is not in %s; compare it and add it "
                     "(ssh-keyscan -p %d %s), or use -o StrictHostKeyChecking=accept-new",
                     p->node, p->check_name, c->host_key_label, *files ? files : "any file",
                     p->port, p->hostname);
}

void accept_work_free(void *arg)
{
    struct accept_work *w = arg;

    if (!w)
        return;
    free(w->path);
    free(w->name);
    free(w->type);
    free(w->error);
    free(w->blob);
    free(w);
}

static void accept_work(void *arg, struct help *help)
{
    struct accept_work *w = arg;
    struct err e = ERR_INIT;
    int rc = shared_accept(w->shared, w->path, w->name, w->hashed, w->type, w->blob, w->blob_len,
                           &w->line, &e);

    w->changed = rc > 0;
    if (rc < 0)
        w->error = x_strdup(e.msg);
    err_clear(&e);
}

static enum go accept_new(struct conn *c, const char *type, const void *blob, size_t n)
{
    struct accept_work *w = x_calloc(1, sizeof *w);

    w->shared = c->prep->shared;
    w->path = x_strdup(c->prep->append_to);
    w->name = x_strdup(c->prep->check_name);
    w->type = x_strdup(type);
    w->blob = x_memdup(blob, n);
    w->blob_len = n;
    w->hashed = c->prep->conf->hash_hosts;
    c->accepting = w;
    c->state = CONN_ACCEPT;
    session_help(c->session, accept_work, accept_work_free, w);
    return GO_WAIT;
}

enum go conn_accepted(struct conn *c)
{
    struct accept_work *w = X_STEAL(c->accepting);
    enum go go = GO_ON;

    if (w->changed)
        go = conn_fail(c, REASON_HOSTKEY, false,
                       "host key for %s (%s) differs from %s:%u, which another session has just "
                       "written", c->prep->node, w->name, w->path, w->line);
    else if (w->error)
        go = conn_fail(c, REASON_HOSTKEY, false,
                       "host key for %s (%s) is new and cannot be kept: %s", c->prep->node, w->name,
                       w->error);
    else
        c->state = CONN_AUTH;
    if (!w->changed && !w->error)
        log_line(LOG_INFO, "ssh", c->prep->batch, c->prep->node, "new host key of %s accepted: %s",
                 w->name, c->host_key_label);
    accept_work_free(w);
    return go;
}

static enum go check_host_key(struct conn *c)
{
    size_t len = 0;
    int kind = 0;
    const char *blob = libssh2_session_hostkey(c->ssh, &len, &kind);
    CLEANUP_FREE char *type = blob ? ssh_blob_type(blob, len) : NULL;
    const struct hosts_match *where = NULL;

    if (!type)
        return conn_fail(c, REASON_HOSTKEY, false, "the server showed no host key");

    CLEANUP_FREE char *print = ssh_fingerprint(blob, len);

    free(c->host_key_label);
    c->host_key_label = x_asprintf("%s %s", ssh_type_short(type), print);

    unsigned line = c->prep->revoked ? hosts_revokes(c->prep->revoked, blob, len) : 0;

    if (line)
        return conn_fail(c, REASON_HOSTKEY, false,
                         "host key for %s is REVOKED by %s:%u, a file of RevokedHostKeys (%s)",
                         c->prep->check_name, hosts_path(c->prep->revoked), line,
                         c->host_key_label);

    enum hosts_answer answer = hosts_check(&c->prep->known, type, blob, len, &where);

    if (answer == HOSTS_OK) {
        c->state = CONN_AUTH;
        return GO_ON;
    }
    if (answer == HOSTS_UNKNOWN && c->prep->strict == STRICT_ACCEPT_NEW && c->prep->append_to)
        return accept_new(c, type, blob, len);
    return check_refused(c, answer, where);
}

enum go conn_handshake(struct conn *c)
{
    int rc = libssh2_session_handshake(c->ssh, c->fd);

    if (rc == LIBSSH2_ERROR_EAGAIN && !c->rx_ended && !c->io_errno)
        return GO_WAIT;
    if (rc != 0)
        return handshake_failed(c, rc);
    free(X_STEAL(c->rx_head));
    return check_host_key(c);
}

void sign_work_free(void *arg)
{
    struct sign_work *w = arg;

    if (!w)
        return;
    free(w->agent);
    free(w->blob);
    free(w->data);
    free(w->sig);
    free(w->error);
    free(w);
}

static void sign_work(void *arg, struct help *help)
{
    struct sign_work *w = arg;
    struct err e = ERR_INIT;
    int hung = 0;

    if (agent_sign(w->agent, w->timeout_ms, w->blob, w->blob_len, w->data, w->data_len, &w->sig,
                   &w->sig_len, &hung, &e) != 0) {
        w->error = x_strdup(e.msg);
        if (hung)
            shared_agent_hung(w->shared, w->agent, e.msg);
    }
    err_clear(&e);
}

/* The first call for an agent's key starts the helper and says "later"; the call after that has the
 * signature. */
static int sign_by_agent(struct conn *c, uint8_t **sig, size_t *len, const uint8_t *data, size_t n)
{
    const struct candidate *k = &c->prep->cand[c->key];
    struct sign_work *w = c->signing;

    if (!w) {
        w = x_calloc(1, sizeof *w);
        w->shared = c->prep->shared;
        w->agent = x_strdup(c->prep->agent_path);
        w->timeout_ms = c->prep->agent_ms;
        w->blob = x_memdup(k->blob, k->blob_len);
        w->blob_len = k->blob_len;
        w->data = x_memdup(data, n);
        w->data_len = n;
        c->signing = w;
        return LIBSSH2_ERROR_EAGAIN;
    }
    if (w->error || w->data_len != n || memcmp(w->data, data, n) != 0)
        return -1;
    *sig = X_STEAL(w->sig);
    *len = w->sig_len;
    return 0;
}

static int sign_cb(LIBSSH2_SESSION *ssh, unsigned char **sig, size_t *len,
                   const unsigned char *data, size_t n, void **abstract)
{
    struct conn *c = *abstract;
    const struct candidate *k = &c->prep->cand[c->key];
    int rc = k->key ? ssh_key_sign(k->key, "rsa-sha2-512", data, n, sig, len)
                    : sign_by_agent(c, sig, len, data, n);

    c->key_signed = rc == 0;
    return rc;
}

enum go conn_signed(struct conn *c)
{
    c->state = CONN_AUTH;
    return GO_ON;
}

static void key_tried(struct conn *c, const char *label, const char *result)
{
    strbuf_addf(&c->tried, "%s%s%s", c->tried.len ? ", " : "", label, result);
}

static enum go next_key(struct conn *c, int rc)
{
    const struct candidate *k = &c->prep->cand[c->key];

    /* PUBLICKEY_UNVERIFIED after a signature: refused, or one step of several (the list of methods
     * tells); before it: we could not sign. */
    if (c->signing && c->signing->error) {
        CLEANUP_FREE char *why = x_asprintf(" (%s)", c->signing->error);

        key_tried(c, k->label, why);
    } else {
        key_tried(c, k->label, rc == LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED && !c->key_signed
                                   ? " (cannot sign)" : "");
    }
    sign_work_free(X_STEAL(c->signing));
    c->key_signed = c->sign_asked = false;
    c->key++;
    return GO_ON;
}

/* What was tried, what was passed over, and what the server would take. */
static enum go auth_failed(struct conn *c, const char *methods)
{
    const struct prepared *p = c->prep;
    CLEANUP_FREE char *clean = text_clean(methods);
    CLEANUP_FREE char *notes = strv_join(&p->notes, "; ");
    struct strbuf b;

    strbuf_init(&b, 2048);
    if (c->tried.len)
        strbuf_addf(&b, "tried: %s", c->tried.s);
    else
        strbuf_adds(&b, "there is no key to offer: load one into the agent (ssh-add), or name a "
                        "file with --identity");
    if (*notes)
        strbuf_addf(&b, "; not tried: %s", notes);
    if (*clean)
        strbuf_addf(&b, "; the server accepts: %s", clean);
    else if (c->rx_ended)
        strbuf_addf(&b, "; then the connection ended: %s", conn_io_text(c));

    enum go go = conn_fail(c, REASON_AUTH, false, "%s@%s refused: %s", p->user, p->host, b.s);

    strbuf_free(&b);
    return go;
}

enum go conn_auth(struct conn *c)
{
    struct prepared *p = c->prep;

    if (c->key == p->n_cand) {
        c->state = CONN_METHODS;
        return GO_ON;
    }

    const struct candidate *k = &p->cand[c->key];
    void *abstract = c;
    int rc = libssh2_userauth_publickey(c->ssh, p->user, k->blob, k->blob_len, sign_cb, &abstract);

    if (rc == 0) {
        sign_work_free(X_STEAL(c->signing));
        session_handshake_done(c->session);
        c->state = CONN_OPEN;
        return GO_ON;
    }
    if (rc == LIBSSH2_ERROR_EAGAIN) {
        if (c->signing && !c->sign_asked) {
            c->sign_asked = true;
            c->state = CONN_SIGN;
            session_help(c->session, sign_work, sign_work_free, c->signing);
            return GO_WAIT;
        }
        if (!c->rx_ended && !c->io_errno)
            return GO_WAIT;
    }
    if (rc == LIBSSH2_ERROR_AUTHENTICATION_FAILED || rc == LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED)
        return next_key(c, rc);
    /* It hangs up on who has tried too much. */
    if (c->key > 0) {
        key_tried(c, k->label, "");
        return auth_failed(c, "");
    }
    return conn_lost(c, rc, "authentication");
}

enum go conn_methods(struct conn *c)
{
    const char *user = c->prep->user;
    const char *methods = libssh2_userauth_list(c->ssh, user, (unsigned) strlen(user));

    if (methods)
        return auth_failed(c, methods);
    if (libssh2_userauth_authenticated(c->ssh)) {
        session_handshake_done(c->session);
        c->state = CONN_OPEN;
        return GO_ON;
    }
    if (libssh2_session_last_errno(c->ssh) == LIBSSH2_ERROR_EAGAIN && !c->rx_ended && !c->io_errno)
        return GO_WAIT;
    return auth_failed(c, "");
}
