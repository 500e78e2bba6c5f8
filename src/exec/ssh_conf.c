/* SPDX-License-Identifier: Apache-2.0 */
/* struct ssh_conf from what `ssh -G` prints, and the tokens of its paths. */
#include "ssh_conf.h"

#include "muster/base/alloc.h"
#include "muster/base/hash.h"
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
    static const char *const identities[] = {
        "~/.ssh/id_rsa",        "~/.ssh/id_ecdsa", "~/.ssh/id_ecdsa_sk", "~/.ssh/id_ed25519",
        "~/.ssh/id_ed25519_sk", "~/.ssh/id_xmss",  "~/.ssh/id_dsa",
    };
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
    free(c->user_hosts_said);
    free(c->global_hosts_said);
    free(c->identity_agent);
    free(c->host_key_alias);
    free(c->kex);
    free(c->ciphers);
    free(c->macs);
    free(c->host_key_algs);
    free(c->key_algs);
    free(c->revoked_keys);
    strv_clear(&c->send_env);
    strv_clear(&c->set_env);
    strv_clear(&c->warnings);
    free(c->unsupported);
    free(c->openssh);
    free(c->proxy_jump);
    free(c->proxy_command);
    free(c->control_path);
    free(c->preferred);
    free(c);
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

bool conf_options_name(const struct strv *options, const char *keyword)
{
    for (size_t i = 0; options && i < options->n; i++) {
        CLEANUP_FREE char *k = NULL;
        const char *v;

        if (conf_option(options->v[i], &k, &v) && strcasecmp(k, keyword) == 0)
            return true;
    }
    return false;
}

bool conf_options_give(const struct strv *options, const char *keyword, const char *value)
{
    for (size_t i = 0; options && i < options->n; i++) {
        CLEANUP_FREE char *k = NULL;
        const char *v;

        if (conf_option(options->v[i], &k, &v) && strcasecmp(k, keyword) == 0 &&
            strcmp(v, value) == 0)
            return true;
    }
    return false;
}

bool conf_options_all(const struct strv *options, const char *keyword, const char *value)
{
    size_t n = 0;

    for (size_t i = 0; options && i < options->n; i++) {
        CLEANUP_FREE char *k = NULL;
        const char *v;

        if (!conf_option(options->v[i], &k, &v) || strcasecmp(k, keyword) != 0)
            continue;
        if (strcasecmp(v, value) != 0)
            return false;
        n++;
    }
    return n > 0;
}

char *conf_home(void)
{
    struct passwd pw, *found = NULL;
    char buf[4096];

    if (getpwuid_r(getuid(), &pw, buf, sizeof buf, &found) == 0 && found && *found->pw_dir)
        return x_strdup(found->pw_dir);
    return io_expand_tilde("~");
}

static void fill_home(char **path)
{
    if (!*path || strncmp(*path, "~/", 2) != 0)
        return;

    CLEANUP_FREE char *home = conf_home();
    char *whole = io_join(home, *path + 2);

    free(*path);
    *path = whole;
}

static void fill_each(struct strv *paths)
{
    for (size_t i = 0; i < paths->n; i++)
        fill_home(&paths->v[i]);
}

void conf_fill_homes(struct ssh_conf *c)
{
    fill_each(&c->identity_files);
    fill_each(&c->user_hosts);
    fill_home(&c->revoked_keys);
}

/* The lists' quotes are not printed: ssh_lists.h. */
static void keep_said(struct ssh_conf *c, const char *keyword, const char *value)
{
    char **at = strcasecmp(keyword, "userknownhostsfile") == 0     ? &c->user_hosts_said
                : strcasecmp(keyword, "globalknownhostsfile") == 0 ? &c->global_hosts_said
                                                                   : NULL;

    if (at && !*at)
        *at = x_strdup(value);
    if (strcasecmp(keyword, "forkafterauthentication") == 0)
        c->knows_fork = true;
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
        keep_said(c, l, space + 1);
        conf_apply(c, l, space + 1);
    }
    conf_fill_homes(c);
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

/* %C: one name for local host, host, port, user and, with newer versions of ssh, the jump hosts. */
static void expand_connection(const struct conf_tokens *t, struct strbuf *out)
{
    char local[256] = "";
    uint8_t digest[SHA1_LEN];

    gethostname(local, sizeof local - 1);

    CLEANUP_FREE char *whole = x_asprintf("%s%s%d%s%s", local, t->host, t->port, t->user,
                                          t->jump ? t->jump : "");

    sha1_of(whole, strlen(whole), digest);
    for (size_t i = 0; i < sizeof digest; i++)
        strbuf_addf(out, "%02x", digest[i]);
}

static bool expand_token(char token, const struct conf_tokens *t, struct strbuf *out)
{
    char local[256] = "";

    switch (token) {
    case '%':
        strbuf_addch(out, '%');
        return true;
    case 'C':
        expand_connection(t, out);
        return true;
    case 'j':
        strbuf_adds(out, t->jump ? t->jump : "");
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
