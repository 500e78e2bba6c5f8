/* SPDX-License-Identifier: Apache-2.0 */
/* Settings -> ssh_config -> name resolution -> known_hosts -> keys, each step only when the one
 * before it left no reason to stop. The order of settings: inventory defaults, ssh_config,
 * groups and node, flags. */
#include "ssh_prepare.h"

#include "ssh_dest.h"
#include "ssh_key.h"
#include "ssh_lists.h"
#include "ssh_shared.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/exec/transport.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

struct prepared *prepared_for(struct ssh_shared *shared, const struct prepare_query *q)
{
    struct prepared *p = x_calloc(1, sizeof *p);

    p->shared = shared;
    p->node = x_strdup(q->node);
    p->config = x_strdup(q->config);
    settings_init(&p->base);
    settings_init(&p->over);
    settings_merge(&p->base, q->base);
    settings_merge(&p->over, q->over);
    if (q->options)
        strv_copy(&p->options, q->options);
    p->connect_ms = -1;
    p->agent_keys = -1;
    p->max_cand = OFFERED_MAX;
    return p;
}

struct prepared *prepared_new(struct session *s, struct ssh_shared *shared)
{
    const struct prepare_query q = {
        .node = session_node(s),
        .config = session_ssh_config(s),
        .options = session_ssh_options(s),
        .base = session_base(s),
        .over = session_over(s),
    };
    struct prepared *p = prepared_for(shared, &q);

    p->batch = session_batch(s);
    /* Two attempts are kept for the password, whichever way the server asks for it. */
    p->max_cand = session_password(s) ? OFFERED_MAX - 1 : OFFERED_MAX;
    return p;
}

void prepared_free(void *arg)
{
    struct prepared *p = arg;

    if (!p)
        return;
    free(p->node);
    free(p->config);
    settings_clear(&p->base);
    settings_clear(&p->over);
    strv_clear(&p->options);
    free(p->error);
    free(p->fallback);
    conf_unref(p->conf);
    free(p->host);
    free(p->hostname);
    free(p->user);
    free(p->key_alias);
    free(p->jump);
    free(p->proxy_command);
    if (p->addrs)
        freeaddrinfo(p->addrs);
    free(p->check_name);
    free(p->plain_name);
    hosts_known_clear(&p->known);
    hosts_unref(p->revoked);
    strv_clear(&p->hosts_files);
    strv_clear(&p->hosts_unread);
    free(p->append_to);
    for (int i = 0; i < KEX_KINDS; i++)
        free(p->prefs[i]);
    for (size_t i = 0; i < p->n_cand; i++) {
        free(p->cand[i].blob);
        free(p->cand[i].wire);
        free(p->cand[i].label);
        ssh_key_unref(p->cand[i].key);
    }
    strv_clear(&p->notes);
    strv_clear(&p->only_ssh);
    free(p->agent_path);
    strv_clear(&p->env);
    free(p);
}

void prepare_fail(struct prepared *p, enum reason reason, bool retry, const char *fmt, ...)
{
    va_list ap;

    if (p->failed != REASON_NONE)
        return;
    va_start(ap, fmt);
    p->error = x_vasprintf(fmt, ap);
    va_end(ap);
    p->failed = reason;
    p->retry = retry;
}

void prepare_fallback(struct prepared *p, const char *fmt, ...)
{
    va_list ap;

    if (p->failed != REASON_NONE)
        return;
    va_start(ap, fmt);
    p->fallback = x_vasprintf(fmt, ap);
    va_end(ap);
    p->error = x_strdup(p->fallback);
    p->failed = REASON_UNSUPPORTED;
}

static void find_host(struct prepared *p)
{
    bool good;

    p->host = dest_of_node(p->node, &p->base, &p->over, &good);
    if (!good) {
        CLEANUP_FREE char *clean = text_clean(p->host);

        prepare_fail(p, REASON_UNREACHABLE, false, "\"%s\" is not a host name", clean);
    }
}

/* An -o of the command line is stronger than the node's own settings. */
static bool has_option(const struct prepared *p, const char *keyword)
{
    return conf_options_name(&p->options, keyword);
}

int64_t prepare_limit_ms(const struct prepared *p)
{
    return p->over.connect_timeout_ms > 0   ? p->over.connect_timeout_ms
           : p->connect_ms > 0              ? p->connect_ms
           : p->base.connect_timeout_ms > 0 ? p->base.connect_timeout_ms
                                            : 15000;
}

static bool find_conf(struct prepared *p, struct conf_named *named)
{
    struct err e = ERR_INIT;
    struct conf_query q = {
        .host = p->host,
        .config = p->config,
        .options = &p->options,
        .user = p->over.user,
        .port = p->over.port,
        .base_user = p->base.user,
        .base_port = p->base.port,
        .help = p->help,
        /* A session is ended by its own timer. */
        .limit_ms = p->help ? 0 : prepare_limit_ms(p),
    };

    if (shared_conf(p->shared, &q, &p->conf, &p->hostname, named, &e) != 0)
        prepare_fail(p, REASON_UNSUPPORTED, false, "%s", e.msg);
    err_clear(&e);
    return p->failed == REASON_NONE;
}

/* What it asks for that is not for this transport. */
static void judge_conf(struct prepared *p)
{
    if (p->conf->unsupported)
        prepare_fail(p, REASON_UNSUPPORTED, false,
                     "%s (ssh_config or -o) is not supported by the ssh transport%s%s",
                     p->conf->unsupported,
                     p->conf->instead ? "; where the host does without, use -o " : "",
                     p->conf->instead ? p->conf->instead : "");
    else if (p->conf->openssh)
        prepare_fallback(p, "%s (ssh_config or -o) is for ssh itself%s%s", p->conf->openssh,
                         p->conf->openssh_instead
                             ? "; where the host does without, use -o " : "",
                         p->conf->openssh_instead ? p->conf->openssh_instead : "");
}

/* Who wins for one setting: the node and the flags, ssh_config where it names it, the inventory's
 * defaults, OpenSSH's defaults. */
static void find_endpoint(struct prepared *p, const struct conf_named *named)
{
    bool base_user = p->base.user && !named->user, base_port = p->base.port && !named->port;

    p->user = x_strdup(p->over.user && !has_option(p, "user") ? p->over.user
                       : base_user                            ? p->base.user
                                                              : p->conf->user);
    p->port = p->over.port && !has_option(p, "port") ? p->over.port
              : base_port                            ? p->base.port
                                                     : p->conf->port;
    if (p->over.connect_timeout_ms < 0 && named->timeout)
        p->connect_ms = p->conf->connect_timeout_ms;
    p->key_alias = x_strdup(p->conf->host_key_alias ? p->conf->host_key_alias : p->host);
    p->tokens = (struct conf_tokens) {p->hostname, p->host, p->key_alias, p->user, p->port, NULL};
}

static void find_strict(struct prepared *p, const struct conf_named *named)
{
    const char *word = conf_strict_word(&p->base, &p->over, &p->options, named);

    p->strict = p->conf->strict;
    if (word)
        p->strict = strcasecmp(word, "accept-new") == 0 ? STRICT_ACCEPT_NEW : STRICT_YES;
}

static void find_algorithms(struct prepared *p)
{
    const char *allowed[KEX_KINDS] = {
        [KEX_EXCHANGE] = p->conf->kex,
        [KEX_HOST_KEY] = p->conf->host_key_algs,
        [KEX_CIPHER] = p->conf->ciphers,
        [KEX_MAC] = p->conf->macs,
    };

    for (int i = 0; i < KEX_KINDS; i++) {
        p->prefs[i] = kex_cut(kex_own((enum kex_kind) i), allowed[i]);
        if (!*p->prefs[i])
            prepare_fallback(p,
                         "%s (from ssh_config) leaves nothing that the ssh transport can do: it "
                         "has %s", kex_setting((enum kex_kind) i), kex_own((enum kex_kind) i));
    }
}

static void resolve(struct prepared *p)
{
    struct addrinfo hints = {
        .ai_family = p->conf->family,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_NUMERICSERV,
    };
    CLEANUP_FREE char *service = x_asprintf("%d", p->port);
    int rc = getaddrinfo(p->hostname, service, &hints, &p->addrs);

    if (rc == 0)
        return;
    p->addrs = NULL;

    CLEANUP_FREE char *name = text_clean(p->hostname);

    prepare_fail(p, REASON_UNREACHABLE, rc == EAI_AGAIN, "cannot resolve the host name \"%s\": %s",
                 name, rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
}

/* ssh looks a name up that it binds to; here only an address can be one. */
static void judge_bind(struct prepared *p)
{
    const char *want = p->conf->bind_address;
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST}, *found = NULL;

    if (!want)
        return;
    if (getaddrinfo(want, NULL, &hints, &found) != 0)
        prepare_fallback(p, "BindAddress %s is a name, which only ssh itself looks up", want);
    else
        freeaddrinfo(found);
}

static void ask_hosts_file(struct prepared *p, const char *raw, bool append)
{
    char *path = conf_expand(raw, &p->tokens);

    if (!path) {
        strv_push_own(&p->hosts_files,
                      x_asprintf("%s (a %%-token that muster does not know)", raw));
        return;
    }

    struct hosts_file *f = shared_hosts(p->shared, path);

    hosts_lookup(f, p->check_name, p->plain_name, &p->known);
    if (hosts_problem(f)) {
        strv_push(&p->hosts_files, hosts_problem(f));
        strv_push(&p->hosts_unread, hosts_problem(f));
    } else {
        strv_push(&p->hosts_files, path);
    }
    if (append && !p->append_to)
        p->append_to = x_strdup(path);
    hosts_unref(f);
    free(path);
}

static void find_known(struct prepared *p, const struct conf_named *named)
{
    const struct strv *own = &p->conf->user_hosts;

    if (p->over.known_hosts.n && !has_option(p, "userknownhostsfile"))
        own = &p->over.known_hosts;
    else if (p->base.known_hosts.n && !named->known_hosts)
        own = &p->base.known_hosts;

    /* An alias stands for itself, whatever the port, as with ssh. */
    if (p->conf->host_key_alias || p->port == 22) {
        p->check_name = x_strdup(p->conf->host_key_alias ? p->key_alias : p->hostname);
    } else {
        p->check_name = x_asprintf("[%s]:%d", p->hostname, p->port);
        p->plain_name = x_strdup(p->hostname);
    }
    for (char *c = p->check_name; *c; c++)
        *c = (char) tolower((unsigned char) *c);
    for (char *c = p->plain_name; c && *c; c++)
        *c = (char) tolower((unsigned char) *c);
    for (size_t i = 0; i < own->n; i++)
        ask_hosts_file(p, own->v[i], true);
    for (size_t i = 0; i < p->conf->global_hosts.n; i++)
        ask_hosts_file(p, p->conf->global_hosts.v[i], false);
}

static void find_revoked(struct prepared *p)
{
    if (!p->conf->revoked_keys)
        return;

    CLEANUP_FREE char *path = conf_expand(p->conf->revoked_keys, &p->tokens);

    if (!path) {
        prepare_fail(p, REASON_UNSUPPORTED, false,
                     "RevokedHostKeys %s has a %%-token or variable that muster does not know",
                     p->conf->revoked_keys);
        return;
    }
    p->revoked = shared_revoked(p->shared, path);
    if (hosts_is_krl(p->revoked))
        prepare_fallback(p, "RevokedHostKeys %s is a key revocation list, which only ssh itself can "
                            "read; or give a file of public keys, one a line", path);
    else if (hosts_problem(p->revoked))
        prepare_fail(p, REASON_HOSTKEY, false,
                     "no host key can be trusted, because RevokedHostKeys cannot be read: %s",
                     hosts_problem(p->revoked));
}

/* The types known for the host go first, so that the server shows a key that can be compared. */
static void prefer_known(struct prepared *p)
{
    struct strbuf types;
    bool plain = false, usable = false;
    const struct hosts_match *other = NULL;

    strbuf_init(&types, 0);
    for (size_t i = 0; i < p->known.n; i++) {
        const struct hosts_match *m = &p->known.v[i];

        if (m->entry->mark != HOSTS_PLAIN)
            continue;
        strbuf_addf(&types, "%s%s", types.len ? "," : "", m->entry->type);
        if (m->by_plain_name)
            continue;
        plain = true;
        if (ssh_host_type_usable(m->entry->type))
            usable = true;
        else
            other = m;
    }

    char *sorted = kex_known_first(p->prefs[KEX_HOST_KEY], types.s);

    free(p->prefs[KEX_HOST_KEY]);
    p->prefs[KEX_HOST_KEY] = sorted;
    strbuf_free(&types);
    if (plain && !usable)
        prepare_fallback(p,
                         "of %s only a key of type %s is known (%s:%u), which only ssh itself can "
                         "check; or add its ed25519 or ECDSA key (ssh-keyscan -t ed25519,ecdsa "
                         "-p %d %s)", p->check_name, other->entry->type, hosts_path(other->file),
                         other->entry->line, p->port, p->hostname);
}

void prepare_identities(const struct settings *base, const struct settings *over,
                        const struct strv *options, bool named, struct strv *out)
{
    if (conf_options_all(options, "identityfile", "none"))
        return;
    /* An -o stands among the settings as it is written, with its quotes. */
    for (size_t i = 0; i < over->identity.n; i++) {
        CLEANUP_STRV struct strv words = STRV_INIT;
        const char *path = over->identity.v[i];

        if (conf_options_give(options, "identityfile", path))
            conf_words(path, &words);
        if (words.n)
            path = words.v[0];
        if (!strv_has(out, path) && (!words.n || strcasecmp(path, "none") != 0))
            strv_push(out, path);
    }
    for (size_t i = 0; !named && i < base->identity.n; i++)
        if (!strv_has(out, base->identity.v[i]))
            strv_push(out, base->identity.v[i]);
}

/* As with ssh -i: the files that ssh_config names come after them, those that OpenSSH looks for by
 * itself do not. */
static void find_keys(struct prepared *p, const struct conf_named *named)
{
    CLEANUP_STRV struct strv list = STRV_INIT;
    size_t own;

    prepare_identities(&p->base, &p->over, &p->options, named->identity, &list);
    own = list.n;
    for (size_t i = 0; i < p->conf->identity_files.n; i++)
        if ((named->identity || !own) && !strv_has(&list, p->conf->identity_files.v[i]) &&
            !conf_options_all(&p->options, "identityfile", "none"))
            strv_push(&list, p->conf->identity_files.v[i]);
    prepare_keys(p, &list, own, own || named->identity);
}

static void work(struct prepared *p, const struct conf_named *named)
{
    find_endpoint(p, named);
    find_strict(p, named);
    judge_conf(p);
    if (p->failed == REASON_NONE)
        prepare_control(p, &named->control);
    if (p->failed == REASON_NONE)
        find_algorithms(p);
    if (p->failed == REASON_NONE)
        find_revoked(p);
    if (p->failed == REASON_NONE)
        find_known(p, named);
    if (p->failed == REASON_NONE)
        prefer_known(p);
    if (p->failed == REASON_NONE)
        prepare_route(p, named->jump,
                      has_option(p, "proxyjump") || has_option(p, "proxycommand"));
    if (p->failed == REASON_NONE && !p->jump && !p->proxy_command)
        judge_bind(p);
    if (p->failed == REASON_NONE && !p->jump && !p->proxy_command)
        resolve(p);
    if (p->failed == REASON_NONE)
        find_keys(p, named);
    if (p->failed == REASON_NONE)
        prepare_env(p);
}

void prepare_work(void *arg, struct help *help)
{
    struct prepared *p = arg;
    struct conf_named named = {0};

    p->help = help;
    find_host(p);
    if (p->failed == REASON_NONE && find_conf(p, &named))
        work(p, &named);
    conf_named_clear(&named);
}
