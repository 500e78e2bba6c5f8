/* SPDX-License-Identifier: Apache-2.0 */
/* What ssh is started with. ssh reads its own configuration; muster adds what it was told itself, in
 * the same order of precedence as the transport ssh: the inventory's defaults only where ssh_config
 * does not name the thing, the user's -o before the node's settings (of several -o the first counts). */
#include "openssh.h"

#include "child.h"
#include "ssh_dest.h"
#include "ssh_prepare.h"
#include "ssh_shared.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/exec/askpass.h"
#include "muster/exec/transport.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

struct openssh_prep *openssh_prep_new(struct session *s)
{
    struct openssh_prep *p = x_calloc(1, sizeof *p);

    p->shared = session_shared(s);
    p->node = x_strdup(session_node(s));
    p->config = x_strdup(session_ssh_config(s));
    settings_init(&p->base);
    settings_init(&p->over);
    settings_merge(&p->base, session_base(s));
    settings_merge(&p->over, session_over(s));
    if (session_ssh_options(s))
        strv_copy(&p->options, session_ssh_options(s));
    p->connect_ms = -1;
    return p;
}

void openssh_prep_free(void *arg)
{
    struct openssh_prep *p = arg;

    if (!p)
        return;
    free(p->node);
    free(p->config);
    settings_clear(&p->base);
    settings_clear(&p->over);
    strv_clear(&p->options);
    free(p->error);
    free(p->program);
    conf_unref(p->conf);
    free(p->host);
    free(p->hostname);
    free(p->user);
    free(p->jump);
    free(p->place);
    free(p->master);
    openssh_hops_clear(p);
    strv_clear(&p->known_hosts);
    strv_clear(&p->identity);
    strv_clear(&p->unread);
    free(p);
}

static void __attribute__((format(printf, 3, 4)))
fail(struct openssh_prep *p, enum reason reason, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    p->error = x_vasprintf(fmt, ap);
    va_end(ap);
    p->failed = reason;
}

static bool find_host(struct openssh_prep *p)
{
    bool good;

    p->host = dest_of_node(p->node, &p->base, &p->over, &good);
    if (good && *p->host != '-')
        return true;

    CLEANUP_FREE char *clean = text_clean(p->host);

    fail(p, REASON_UNREACHABLE, "\"%s\" is not a host name", clean);
    return false;
}

static bool has_option(const struct openssh_prep *p, const char *keyword)
{
    return conf_options_name(&p->options, keyword);
}

static void find_strict(struct openssh_prep *p, const struct conf_named *named)
{
    const char *word = conf_strict_word(&p->base, &p->over, &p->options, named);

    p->accept_new = word ? strcasecmp(word, "accept-new") == 0
                         : p->conf->strict == STRICT_ACCEPT_NEW;
}

static struct conf_tokens tokens_of(const struct openssh_prep *p)
{
    const char *alias = p->conf->host_key_alias;

    return (struct conf_tokens) {p->hostname, p->host, alias ? alias : p->host, p->user, p->port,
                                 NULL};
}

/* ssh passes by what it cannot read, and says that the host's key is not known. */
static void find_unread(struct openssh_prep *p)
{
    const struct conf_tokens tokens = tokens_of(p);
    const struct strv *lists[] = {p->known_hosts.n ? &p->known_hosts : &p->conf->user_hosts,
                                  &p->conf->global_hosts};

    for (size_t l = 0; l < ARRAY_LEN(lists); l++)
        for (size_t i = 0; i < lists[l]->n; i++) {
            CLEANUP_FREE char *path = conf_expand(lists[l]->v[i], &tokens);
            struct stat st;

            if (path && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
                strv_push_own(&p->unread, x_asprintf("%s: is not a file", path));
            else if (path && access(path, R_OK) != 0 && errno != ENOENT && errno != ENOTDIR)
                strv_push_own(&p->unread, x_asprintf("%s: %s", path, strerror(errno)));
        }
}

/* The user's own connection, when it stands. With the jump hosts as a ProxyCommand, ssh itself would
 * look for it by another name, where they are part of that; and it would wait for one that hangs. */
static void find_master(struct openssh_prep *p, const struct strv *paths)
{
    const struct conf_tokens tokens = tokens_of(p);

    p->master = control_live(paths, &tokens, p->conf->proxy_jump);
}

/* Who wins: the node and the flags, ssh_config where it names it, the inventory's defaults. What is
 * left unset is ssh's to find. */
static void find_settings(struct openssh_prep *p, const struct conf_named *named,
                          struct help *help)
{
    struct err e CLEANUP_ERR = ERR_INIT;
    const struct settings *o = &p->over, *b = &p->base;
    const char *user = o->user && !has_option(p, "user") ? o->user
                       : b->user && !named->user         ? b->user
                                                         : p->conf->user;
    const char *jump = o->jump && !has_option(p, "proxyjump") ? o->jump
                       : b->jump && !named->jump              ? b->jump
                                                              : NULL;

    p->user = x_strdup(user);
    p->port = o->port && !has_option(p, "port") ? o->port
              : b->port && !named->port         ? b->port
                                                : p->conf->port;
    p->jump = x_strdup(jump);
    if (o->connect_timeout_ms < 0 && named->timeout)
        p->connect_ms = p->conf->connect_timeout_ms;
    if (o->known_hosts.n && !has_option(p, "userknownhostsfile"))
        strv_copy(&p->known_hosts, &o->known_hosts);
    else if (b->known_hosts.n && !named->known_hosts)
        strv_copy(&p->known_hosts, &b->known_hosts);
    prepare_identities(b, o, &p->options, named->identity, &p->identity);
    find_strict(p, named);

    bool none = jump && strcasecmp(jump, "none") == 0;
    const char *by = jump && !none ? jump : jump ? NULL : p->conf->proxy_jump;

    p->proxied = by || (!jump && p->conf->proxy_command);
    p->place = by ? x_strndup(by, strcspn(by, ",")) : x_asprintf("%s:%d", p->hostname, p->port);
    find_unread(p);

    int rc = by ? openssh_find_hops(p, by, help, &e) : 0;

    if (rc != 0)
        fail(p, rc > 0 ? REASON_UNREACHABLE : REASON_UNSUPPORTED, "%s", e.msg);
    else
        find_master(p, &named->control);
}

void openssh_prepare(void *arg, struct help *help)
{
    struct openssh_prep *p = arg;
    struct conf_named named = {0};
    struct err e CLEANUP_ERR = ERR_INIT;

    p->program = child_find_program("ssh");
    if (!p->program) {
        fail(p, REASON_UNSUPPORTED, "no ssh program in PATH: install OpenSSH's client, or use the "
                                    "transport ssh");
        return;
    }
    if (!find_host(p))
        return;

    const struct conf_query q = {
        .host = p->host,
        .config = p->config,
        .options = &p->options,
        .user = p->over.user,
        .port = p->over.port,
        .base_user = p->base.user,
        .base_port = p->base.port,
        .help = help,
    };

    if (shared_conf(openssh_conf(p->shared), &q, &p->conf, &p->hostname, &named, &e) != 0)
        fail(p, REASON_UNSUPPORTED, "%s", e.msg);
    else if (p->conf->unsupported)
        fail(p, REASON_UNSUPPORTED, "%s (ssh_config or -o) leaves no room for a command%s%s",
             p->conf->unsupported,
             p->conf->instead ? "; where the host does without, use -o " : "",
             p->conf->instead ? p->conf->instead : "");
    else
        find_settings(p, &named, help);
    conf_named_clear(&named);
}

static void __attribute__((format(printf, 2, 3))) option(struct strv *out, const char *fmt, ...)
{
    va_list ap;

    strv_push(out, "-o");
    va_start(ap, fmt);
    strv_push_own(out, x_vasprintf(fmt, ap));
    va_end(ap);
}

void openssh_own_options(bool accept_new, const struct ssh_conf *conf,
                         const struct openssh_call *call, struct strv *out)
{
    option(out, "LogLevel=INFO");
    option(out, "StrictHostKeyChecking=%s", accept_new ? "accept-new" : "yes");
    option(out, "ConnectTimeout=%lld", (long long) ((call->connect_ms + 999) / 1000));
    option(out, "ConnectionAttempts=1");
    option(out, "NumberOfPasswordPrompts=1");
    option(out, "BatchMode=%s", call->ask ? "no" : "yes");
    if (!call->password) {
        option(out, "PasswordAuthentication=no");
        option(out, "KbdInteractiveAuthentication=no");
    }
    /* BatchMode would turn it on where the configuration does not. */
    option(out, "ServerAliveInterval=%d", conf->alive_interval);
    option(out, "ClearAllForwardings=yes");
    option(out, "ForwardX11=no");
    option(out, "Tunnel=no");
    option(out, "PermitLocalCommand=no");
    option(out, "EscapeChar=none");
    if (conf->knows_fork) {
        option(out, "ForkAfterAuthentication=no");
        option(out, "StdinNull=no");
    }
    if (call->control) {
        option(out, "ControlMaster=yes");
        option(out, "ControlPath=%s", call->control);
        option(out, "ControlPersist=no");
    } else if (call->fresh) {
        option(out, "ControlPath=none");
    }
}

void openssh_known_hosts(const struct strv *files, struct strv *out)
{
    struct strbuf b;

    strbuf_init(&b, 0);
    for (size_t i = 0; i < files->n; i++) {
        strbuf_adds(&b, i ? " \"" : "\"");
        for (const char *c = files->v[i]; *c; c++) {
            if (*c == '"' || *c == '\\')
                strbuf_addch(&b, '\\');
            strbuf_addch(&b, *c);
        }
        strbuf_addch(&b, '"');
    }
    option(out, "UserKnownHostsFile=%s", b.s);
    strbuf_free(&b);
}

/* Before anything of the user's, of which the first would count. */
static void way_options(const struct openssh_prep *p, const struct openssh_call *call,
                        struct strv *out)
{
    CLEANUP_FREE char *through = openssh_through(p, call);

    if (through)
        option(out, "ProxyCommand=%s", through);
    if (p->master && !call->control && !call->fresh) {
        struct strbuf b;

        strbuf_init(&b, 0);
        for (const char *c = p->master; *c; c++)
            strbuf_addf(&b, *c == '%' ? "%%%%" : "%c", *c);
        option(out, "ControlPath=%s", b.s);
        strbuf_free(&b);
    } else if (p->conf->control_path && !call->control && !call->fresh) {
        option(out, "ControlPath=none");
    }
}

static void node_options(const struct openssh_prep *p, struct strv *out)
{
    for (size_t i = 0; i < p->identity.n; i++) {
        strv_push(out, "-i");
        strv_push(out, p->identity.v[i]);
    }
    for (size_t i = 0; i < p->options.n; i++)
        option(out, "%s", p->options.v[i]);
    option(out, "User=%s", p->user);
    option(out, "Port=%d", p->port);
    if (p->jump && !p->n_hops)
        option(out, "ProxyJump=none");
    if (p->known_hosts.n)
        openssh_known_hosts(&p->known_hosts, out);
}

void openssh_words(const struct openssh_prep *p, const struct openssh_call *call, const char *line,
                   struct strv *out)
{
    strv_push(out, p->program);
    if (p->config) {
        strv_push(out, "-F");
        strv_push(out, p->config);
    }
    if (call->log) {
        strv_push(out, "-E");
        strv_push(out, call->log);
    }
    strv_push(out, call->pty ? "-tt" : "-T");
    openssh_own_options(p->accept_new, p->conf, call, out);
    way_options(p, call, out);
    node_options(p, out);
    strv_push(out, "--"); /* else ssh looks for options behind the host as well */
    strv_push(out, p->host);
    strv_push(out, line);
}

void openssh_words_shared(const struct openssh_prep *p, const char *control, const char *line,
                          struct strv *out)
{
    strv_push(out, p->program);
    strv_push(out, "-F");
    strv_push(out, "none");
    strv_push(out, "-T");
    option(out, "ControlMaster=no");
    option(out, "ControlPath=%s", control);
    option(out, "ProxyCommand=false"); /* without that socket it shall go nowhere */
    option(out, "BatchMode=yes");
    strv_push(out, "--");
    strv_push(out, p->host);
    strv_push(out, line);
}

void openssh_env(const struct openssh_shared *o, const char *socket, struct strv *out)
{
    static const char *const ours[] = {"SSH_ASKPASS=", "SSH_ASKPASS_REQUIRE=",
                                       "SSH_ASKPASS_PROMPT=", ASKPASS_ENV "="};

    for (char **v = environ; *v; v++) {
        bool keep = true;

        for (size_t i = 0; i < ARRAY_LEN(ours); i++)
            keep &= strncmp(*v, ours[i], strlen(ours[i])) != 0;
        if (keep)
            strv_push(out, *v);
    }
    if (!socket || !openssh_self(o))
        return;
    strv_push_own(out, x_asprintf("SSH_ASKPASS=%s", openssh_self(o)));
    strv_push(out, "SSH_ASKPASS_REQUIRE=force");
    strv_push_own(out, x_asprintf(ASKPASS_ENV "=%s", socket));
}
