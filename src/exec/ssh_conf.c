/* SPDX-License-Identifier: Apache-2.0 */
/* From `ssh -G` to struct ssh_conf: one table of keywords, and what each does. */
#include "ssh_conf.h"

#include "ssh_key.h"

#include "muster/base/alloc.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"

#include <limits.h>
#include <pwd.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

struct ssh_conf *conf_new(void)
{
    static const char *const identities[] = {"~/.ssh/id_ecdsa", "~/.ssh/id_ed25519"};
    struct ssh_conf *c = x_calloc(1, sizeof *c);

    c->refs = 1;
    c->port = 22;
    c->family = AF_UNSPEC;
    c->connect_timeout_ms = -1;
    c->user = x_strdup(io_user_name());
    for (size_t i = 0; i < ARRAY_LEN(identities); i++)
        strv_push(&c->identity_files, identities[i]);
    strv_push(&c->user_hosts, "~/.ssh/known_hosts");
    strv_push(&c->user_hosts, "~/.ssh/known_hosts2");
    strv_push(&c->global_hosts, "/etc/ssh/ssh_known_hosts");
    strv_push(&c->global_hosts, "/etc/ssh/ssh_known_hosts2");
    c->alive_count = 3;
    return c;
}

struct ssh_conf *conf_ref(struct ssh_conf *c)
{
    __atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
    return c;
}

void conf_unref(struct ssh_conf *c)
{
    if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    free(c->hostname);
    free(c->user);
    free(c->bind_address);
    strv_clear(&c->identity_files);
    strv_clear(&c->user_hosts);
    strv_clear(&c->global_hosts);
    free(c->identity_agent);
    free(c->host_key_alias);
    free(c->kex);
    free(c->ciphers);
    free(c->macs);
    free(c->host_key_algs);
    free(c->key_algs);
    free(c->unsupported);
    free(c);
}

static bool yes(const char *v)
{
    return strcasecmp(v, "yes") == 0 || strcasecmp(v, "true") == 0;
}

static bool none(const char *v)
{
    return !*v || strcasecmp(v, "none") == 0;
}

static void set(char **member, const char *value)
{
    free(*member);
    *member = x_strdup(value);
}

static void refuse(struct ssh_conf *c, const char *name, const char *value)
{
    if (!c->unsupported)
        c->unsupported = x_asprintf("%s %s", name, value);
}

static void set_words(struct strv *list, const char *value)
{
    CLEANUP_FREE char *copy = x_strdup(value);
    char *save = NULL;

    strv_clear(list);
    for (char *t = strtok_r(copy, " \t\"", &save); t; t = strtok_r(NULL, " \t\"", &save))
        if (!none(t))
            strv_push(list, t);
}

/* "15", "2m", "1h30m": as ssh's TIME FORMATS. -1 when it is none. */
static int64_t parse_seconds(const char *v)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
    int64_t total = 0;

    while (*v) {
        char *end;
        long n = strtol(v, &end, 10);
        int64_t unit = *end ? 0 : 1;

        if (end == v || n < 0 || n > INT_MAX)
            return -1;
        for (size_t i = 0; *end && i < ARRAY_LEN(units); i++)
            if ((*end | 32) == units[i].unit)
                unit = units[i].seconds;
        if (!unit)
            return -1;
        total += n * unit;
        v = end + (*end != '\0');
    }
    return total;
}

enum conf_key {
    KEY_HOSTNAME, KEY_USER, KEY_PORT, KEY_FAMILY, KEY_BIND, KEY_TIMEOUT, KEY_IDENTITY,
    KEY_IDENTITIES_ONLY, KEY_AGENT, KEY_USER_HOSTS, KEY_GLOBAL_HOSTS, KEY_STRICT, KEY_ALIAS,
    KEY_KEX, KEY_CIPHERS, KEY_MACS, KEY_HOST_KEY_ALGS, KEY_KEY_ALGS, KEY_HASH, KEY_ALIVE,
    KEY_ALIVE_COUNT, KEY_PUBKEY, KEY_PREFERRED,
    KEY_REFUSE,     /* refused with any value but none */
    KEY_REFUSE_YES, /* refused unless it is off */
};

static const struct {
    const char *keyword; /* as people write it; compared without case */
    enum conf_key key;
} keywords[] = {
    {"HostName", KEY_HOSTNAME},
    {"User", KEY_USER},
    {"Port", KEY_PORT},
    {"AddressFamily", KEY_FAMILY},
    {"BindAddress", KEY_BIND},
    {"ConnectTimeout", KEY_TIMEOUT},
    {"IdentityFile", KEY_IDENTITY},
    {"IdentitiesOnly", KEY_IDENTITIES_ONLY},
    {"IdentityAgent", KEY_AGENT},
    {"UserKnownHostsFile", KEY_USER_HOSTS},
    {"GlobalKnownHostsFile", KEY_GLOBAL_HOSTS},
    {"StrictHostKeyChecking", KEY_STRICT},
    {"HostKeyAlias", KEY_ALIAS},
    {"KexAlgorithms", KEY_KEX},
    {"Ciphers", KEY_CIPHERS},
    {"MACs", KEY_MACS},
    {"HostKeyAlgorithms", KEY_HOST_KEY_ALGS},
    {"PubkeyAcceptedAlgorithms", KEY_KEY_ALGS},
    {"HashKnownHosts", KEY_HASH},
    {"ServerAliveInterval", KEY_ALIVE},
    {"ServerAliveCountMax", KEY_ALIVE_COUNT},
    {"PubkeyAuthentication", KEY_PUBKEY},
    {"PreferredAuthentications", KEY_PREFERRED},
    {"ProxyJump", KEY_REFUSE},
    {"ProxyCommand", KEY_REFUSE},
    {"CertificateFile", KEY_REFUSE},
    {"PKCS11Provider", KEY_REFUSE},
    {"KnownHostsCommand", KEY_REFUSE},
    {"BindInterface", KEY_REFUSE},
    {"VerifyHostKeyDNS", KEY_REFUSE_YES},
    {"ProxyUseFdpass", KEY_REFUSE_YES},
};

static enum conf_strict parse_strict(const char *v)
{
    if (strcasecmp(v, "accept-new") == 0)
        return STRICT_ACCEPT_NEW;
    if (strcasecmp(v, "no") == 0 || strcasecmp(v, "off") == 0 || strcasecmp(v, "false") == 0)
        return STRICT_OFF;
    return STRICT_YES;
}

static void apply_server(struct ssh_conf *c, enum conf_key key, const char *v)
{
    switch (key) {
    case KEY_KEX:
        set(&c->kex, v);
        break;
    case KEY_CIPHERS:
        set(&c->ciphers, v);
        break;
    case KEY_MACS:
        set(&c->macs, v);
        break;
    case KEY_HOST_KEY_ALGS:
        set(&c->host_key_algs, v);
        break;
    case KEY_KEY_ALGS:
        set(&c->key_algs, v);
        break;
    case KEY_USER_HOSTS:
        set_words(&c->user_hosts, v);
        break;
    case KEY_GLOBAL_HOSTS:
        set_words(&c->global_hosts, v);
        break;
    case KEY_STRICT:
        c->strict = parse_strict(v);
        break;
    case KEY_ALIAS:
        set(&c->host_key_alias, v);
        break;
    case KEY_HASH:
        c->hash_hosts = yes(v);
        break;
    case KEY_ALIVE:
        c->alive_interval = (int) (parse_seconds(v) > 0 ? parse_seconds(v) : 0);
        break;
    default:
        c->alive_count = (int) strtol(v, NULL, 10);
        if (c->alive_count <= 0)
            c->alive_count = 3;
        break;
    }
}

static void apply_client(struct ssh_conf *c, enum conf_key key, const char *name, const char *v)
{
    switch (key) {
    case KEY_HOSTNAME:
        set(&c->hostname, v);
        break;
    case KEY_USER:
        set(&c->user, v);
        break;
    case KEY_PORT:
        c->port = (int) strtol(v, NULL, 10);
        break;
    case KEY_FAMILY:
        c->family = strcasecmp(v, "inet") == 0    ? AF_INET
                    : strcasecmp(v, "inet6") == 0 ? AF_INET6
                                                  : AF_UNSPEC;
        break;
    case KEY_BIND:
        set(&c->bind_address, v);
        break;
    case KEY_TIMEOUT:
        c->connect_timeout_ms = parse_seconds(v) > 0 ? parse_seconds(v) * 1000 : -1;
        break;
    case KEY_IDENTITY:
        if (!none(v))
            strv_push(&c->identity_files, v);
        break;
    case KEY_IDENTITIES_ONLY:
        c->identities_only = yes(v);
        break;
    case KEY_AGENT:
        set(&c->identity_agent, v);
        break;
    case KEY_PUBKEY:
        if (strcasecmp(v, "no") == 0 || strcasecmp(v, "false") == 0)
            refuse(c, name, v);
        break;
    case KEY_PREFERRED:
        if (!strcasestr(v, "publickey"))
            refuse(c, name, v);
        break;
    case KEY_REFUSE:
        if (!none(v))
            refuse(c, name, v);
        break;
    case KEY_REFUSE_YES:
        if (strcasecmp(v, "no") != 0 && strcasecmp(v, "false") != 0)
            refuse(c, name, v);
        break;
    default:
        apply_server(c, key, v);
        break;
    }
}

void conf_apply(struct ssh_conf *c, const char *keyword, const char *value)
{
    for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
        if (strcasecmp(keyword, keywords[i].keyword) == 0)
            apply_client(c, keywords[i].key, keywords[i].keyword, value);
}

bool conf_option(const char *option, char **keyword, const char **value)
{
    size_t start = strspn(option, " \t");
    size_t len = strcspn(option + start, " \t=");
    size_t gap = strspn(option + start + len, " \t=");

    if (!len || !gap || !option[start + len + gap])
        return false;
    *keyword = x_strndup(option + start, len);
    *value = option + start + len + gap;
    return true;
}

char *conf_home(void)
{
    struct passwd pw, *found = NULL;
    char buf[4096];

    if (getpwuid_r(getuid(), &pw, buf, sizeof buf, &found) == 0 && found && *found->pw_dir)
        return x_strdup(found->pw_dir);
    return io_expand_tilde("~");
}

static void fill_home(struct strv *paths)
{
    CLEANUP_FREE char *home = conf_home();

    for (size_t i = 0; i < paths->n; i++) {
        if (strncmp(paths->v[i], "~/", 2) != 0)
            continue;

        char *whole = io_join(home, paths->v[i] + 2);

        free(paths->v[i]);
        paths->v[i] = whole;
    }
}

struct ssh_conf *conf_parse(char *text)
{
    struct ssh_conf *c = conf_new();
    char *save = NULL;

    /* `ssh -G` names them all itself. */
    strv_clear(&c->identity_files);
    for (char *l = strtok_r(text, "\r\n", &save); l; l = strtok_r(NULL, "\r\n", &save)) {
        char *space = strchr(l, ' ');

        if (!space)
            continue;
        *space = '\0';
        conf_apply(c, l, space + 1);
    }
    fill_home(&c->identity_files);
    fill_home(&c->user_hosts);
    return c;
}

/* ${VAR} at p; returns what follows it, or NULL when there is no such variable. */
static const char *expand_variable(const char *p, struct strbuf *out)
{
    const char *end = strchr(p, '}');

    if (!end)
        return NULL;

    CLEANUP_FREE char *name = x_strndup(p + 2, (size_t) (end - p - 2));
    const char *value = getenv(name);

    if (!value)
        return NULL;
    strbuf_adds(out, value);
    return end + 1;
}

static bool expand_token(char token, const struct conf_tokens *t, struct strbuf *out)
{
    char local[256] = "";

    switch (token) {
    case '%':
        strbuf_addch(out, '%');
        return true;
    case 'h':
        strbuf_adds(out, t->host);
        return true;
    case 'n':
        strbuf_adds(out, t->original);
        return true;
    case 'k':
        strbuf_adds(out, t->key_alias);
        return true;
    case 'p':
        strbuf_addf(out, "%d", t->port);
        return true;
    case 'r':
        strbuf_adds(out, t->user);
        return true;
    case 'u':
        strbuf_adds(out, io_user_name());
        return true;
    case 'i':
        strbuf_addf(out, "%u", (unsigned) getuid());
        return true;
    case 'd': {
        CLEANUP_FREE char *home = conf_home();

        strbuf_adds(out, home);
        return true;
    }
    case 'l':
    case 'L':
        gethostname(local, sizeof local - 1);
        if (token == 'L')
            local[strcspn(local, ".")] = '\0';
        strbuf_adds(out, local);
        return true;
    default:
        return false;
    }
}

char *conf_expand(const char *path, const struct conf_tokens *t)
{
    CLEANUP_FREE char *whole = io_expand_tilde(path);
    struct strbuf out;

    strbuf_init(&out, PATH_MAX);
    for (const char *p = whole; *p;) {
        if (p[0] == '$' && p[1] == '{') {
            p = expand_variable(p, &out);
            if (!p)
                goto unknown;
        } else if (*p == '%') {
            if (!expand_token(p[1], t, &out))
                goto unknown;
            p += 2;
        } else {
            strbuf_addch(&out, *p++);
        }
    }
    return strbuf_steal(&out);

unknown:
    strbuf_free(&out);
    return NULL;
}
