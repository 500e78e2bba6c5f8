/* SPDX-License-Identifier: Apache-2.0 */
/* From the first byte of the server to a session of ours: handshake, the check of its key before
 * anything of ours is shown to it, then one key after the other (ssh_methods.c has the order). */
#include "ssh_conn.h"

#include "ssh_agent.h"
#include "ssh_hosts.h"
#include "ssh_key.h"
#include "ssh_keyring.h"
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
        return conn_fallback(c, REASON_UNSUPPORTED, "%s", why);
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
        return conn_fallback(c, REASON_UNSUPPORTED,
                             "%s is known only by a certificate authority (%s:%u), which only ssh "
                             "itself can check; or add the host's own key to known_hosts",
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
    if (!w->changed && !w->error) {
        log_line(LOG_INFO, "ssh", c->prep->batch, c->prep->node, "new host key of %s accepted: %s",
                 w->name, c->host_key_label);
        session_trace(c->session, "new host key %s of %s is kept in %s", c->host_key_label, w->name,
                      w->path);
        go = conn_authenticate(c);
    }
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
        session_trace(c->session, "host key %s is the one in %s:%u", c->host_key_label,
                      hosts_path(where->file), where->entry->line);
        return conn_authenticate(c);
    }
    if (answer == HOSTS_UNKNOWN && c->prep->strict == STRICT_ACCEPT_NEW && c->prep->append_to)
        return accept_new(c, type, blob, len);
    return check_refused(c, answer, where);
}

static void trace_algorithms(struct conn *c)
{
    static const int kinds[] = {LIBSSH2_METHOD_KEX, LIBSSH2_METHOD_HOSTKEY,
                                LIBSSH2_METHOD_CRYPT_CS, LIBSSH2_METHOD_MAC_CS};
    const char *v[ARRAY_LEN(kinds)];

    if (!session_traced(c->session))
        return;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        v[i] = libssh2_session_methods(c->ssh, kinds[i]);
        if (!v[i])
            v[i] = "?";
    }
    session_trace(c->session, "handshake: %s, %s, %s, %s", v[0], v[1], v[2], v[3]);
}

enum go conn_handshake(struct conn *c)
{
    int rc = libssh2_session_handshake(c->ssh, c->fd);

    if (rc == LIBSSH2_ERROR_EAGAIN && !c->rx_ended && !c->io_errno)
        return GO_WAIT;
    if (rc != 0)
        return handshake_failed(c, rc);
    free(X_STEAL(c->rx_head));
    trace_algorithms(c);
    return check_host_key(c);
}

void sign_work_free(void *arg)
{
    struct sign_work *w = arg;

    if (!w)
        return;
    ssh_key_unref(w->locked);
    ssh_key_unref(w->opened);
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
    struct keyring *ring = shared_keyring(w->shared);
    struct err e = ERR_INIT;
    int hung = 0;

    if (w->locked) {
        w->opened = keyring_unlock(ring, w->locked, help, &w->error);
        return;
    }
    if (!keyring_agent_turn(ring, w->agent, help, &w->error)) {
        if (!w->error)
            w->error = x_strdup("given up");
        return;
    }
    if (agent_sign(w->agent, w->timeout_ms, w->blob, w->blob_len, w->alg, w->data, w->data_len,
                   &w->sig, &w->sig_len, &hung, &e) != 0) {
        w->error = x_strdup(e.msg);
        if (hung)
            shared_agent_hung(w->shared, w->agent, e.msg);
    }
    keyring_agent_done(ring, w->agent, hung ? w->error : NULL);
    err_clear(&e);
}

/* The first call for a key that cannot sign at once starts a helper and says "later"; the call after
 * that has the agent's signature, or the opened key. */
static int sign_later(struct conn *c, uint8_t **sig, size_t *len, const uint8_t *data, size_t n)
{
    struct candidate *k = &c->prep->cand[c->key];
    struct sign_work *w = c->signing;

    if (!w) {
        w = x_calloc(1, sizeof *w);
        w->shared = c->prep->shared;
        w->alg = k->alg;
        w->locked = k->key ? ssh_key_ref(k->key) : NULL;
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
    if (w->opened) {
        ssh_key_unref(k->key);
        k->key = X_STEAL(w->opened);
        return ssh_key_sign(k->key, k->alg, data, n, sig, len);
    }
    if (!w->sig)
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
    int rc = k->key && k->key->pkey ? ssh_key_sign(k->key, k->alg, data, n, sig, len)
                                    : sign_later(c, sig, len, data, n);

    c->key_signed = rc == 0;
    return rc;
}

enum go conn_signed(struct conn *c)
{
    c->state = CONN_AUTH;
    return GO_ON;
}

/* On to the next one; what came of this is known, but for a signature that may have been one step of
 * several: the server's next list tells. */
static enum go next_key(struct conn *c, const char *result)
{
    const struct candidate *k = &c->prep->cand[c->key];
    bool given = c->key_signed && !result;

    sign_work_free(X_STEAL(c->signing));
    c->key_signed = c->sign_asked = false;
    c->key++;
    if (given) {
        c->pending = x_strdup(k->label);
        c->state = CONN_METHODS;
        return GO_ON;
    }
    conn_tried(c, k->label, result ? result : "");
    return conn_authenticate(c);
}

static enum go key_refused(struct conn *c, int rc)
{
    const struct candidate *k = &c->prep->cand[c->key];

    if (c->signing && c->signing->error) {
        CLEANUP_FREE char *why = x_asprintf(" (%s)", c->signing->error);

        return next_key(c, why);
    }
    c->rsa_refused |= k->alg != NULL;
    /* Before a signature it means that we could not make one. */
    return next_key(c, rc == LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED && !c->key_signed
                           ? " (cannot sign)" : NULL);
}

/* What goes over the wire for an RSA key. false: nothing that this server would take. */
static bool label_rsa(struct conn *c, struct candidate *k)
{
    const char *banner = libssh2_session_banner_get(c->ssh);

    /* It takes the key's type for what it is, and only SHA-1 goes by that. */
    if (banner && strstr(banner, "dropbear")) {
        const char *allowed = c->prep->conf->key_algs;

        if (allowed && !kex_lists(allowed, "ssh-rsa"))
            return false;
        k->alg = "ssh-rsa";
    }
    if (!k->wire)
        k->wire = ssh_rsa_relabel(k->blob, k->blob_len, k->alg, &k->wire_len);
    return true;
}

enum go conn_auth(struct conn *c)
{
    struct prepared *p = c->prep;
    struct candidate *k = &p->cand[c->key];
    void *abstract = c;

    if (k->alg && !label_rsa(c, k)) {
        c->rsa_refused = true;
        return next_key(c, " (dropbear would need a SHA-1 signature, which "
                           "PubkeyAcceptedAlgorithms leaves out)");
    }

    int rc = libssh2_userauth_publickey(c->ssh, p->user, k->wire ? k->wire : k->blob,
                                        k->wire ? k->wire_len : k->blob_len, sign_cb, &abstract);

    if (rc == 0)
        return conn_authenticated(c, k->label);
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
        return key_refused(c, rc);
    /* It hangs up on who has tried too much. */
    if (c->tried.len) {
        conn_tried(c, k->label, "");
        return conn_auth_failed(c, NULL);
    }
    return conn_lost(c, rc, "authentication");
}
