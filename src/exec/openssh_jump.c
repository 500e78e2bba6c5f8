/* SPDX-License-Identifier: Apache-2.0 */
/* Jump hosts of the transport openssh. For a ProxyJump ssh starts further ones of its kind with none
 * of our options, so that each would ask about unknown keys and for passwords by rules of its own.
 * Here the chain becomes the ProxyCommand that ssh would have made of it, with our options on each. */
#include "openssh.h"

#include "ssh_dest.h"
#include "ssh_shared.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define HOPS_MAX 8 /* LIMIT: each is quoted once more than the one before it */

static void hop_clear(struct openssh_hop *h)
{
    dest_clear(&h->dest);
    free(h->user);
    free(h->hostname);
    conf_unref(h->conf);
    strv_clear(&h->known_hosts);
    strv_clear(&h->identity);
}

void openssh_hops_clear(struct openssh_prep *p)
{
    for (size_t i = 0; i < p->n_hops; i++)
        hop_clear(&p->hops[i]);
    free(X_STEAL(p->hops));
    p->n_hops = 0;
}

/* --- what the chain is --- */

/* As with ssh, flags and settings of the node itself are not its jump hosts'; of the inventory's
 * defaults, what is about trust and keys counts for both, where ssh_config does not name it. */
static int resolve(const struct openssh_prep *p, struct openssh_hop *h, struct help *help,
                   struct err *e)
{
    struct conf_named named = {0};
    const struct conf_query q = {
        .host = h->dest.host,
        .config = p->config,
        .user = h->dest.user,
        .port = h->dest.port,
        .help = help,
    };
    int rc = shared_conf(openssh_conf(p->shared), &q, &h->conf, &h->hostname, &named, e);

    if (rc == 0) {
        const char *base = named.strict ? NULL : p->base.strict_host_key;

        h->accept_new = base ? strcasecmp(base, "accept-new") == 0
                             : h->conf->strict == STRICT_ACCEPT_NEW;
        if (!named.known_hosts)
            strv_copy(&h->known_hosts, &p->base.known_hosts);
        if (!named.identity)
            strv_copy(&h->identity, &p->base.identity);
        h->user = x_strdup(h->dest.user ? h->dest.user : h->conf->user);
    }
    conf_named_clear(&named);
    return rc;
}

/* The tokens that ssh knows in a ProxyJump, filled in for the host that is behind it. */
static char *fill(const char *text, const char *hostname, const char *host, const char *alias,
                  int port, const char *user)
{
    struct strbuf b;

    strbuf_init(&b, 0);
    for (const char *c = text; *c; c++) {
        if (*c != '%' || !c[1]) {
            strbuf_addch(&b, *c);
            continue;
        }
        switch (*++c) {
        case 'h': strbuf_adds(&b, hostname); break;
        case 'k': strbuf_adds(&b, alias ? alias : host); break;
        case 'n': strbuf_adds(&b, host); break;
        case 'p': strbuf_addf(&b, "%d", port); break;
        case 'r': strbuf_adds(&b, user); break;
        default: strbuf_addch(&b, *c); break;
        }
    }
    return strbuf_steal(&b);
}

/* Puts the chain before what is there. */
static int add_chain(struct openssh_prep *p, const char *chain, struct help *help, struct err *e)
{
    CLEANUP_FREE char *copy = x_strdup(chain);
    char *rest = copy, *text;

    for (size_t at = 0; (text = strsep(&rest, ",")); at++) {
        struct openssh_hop h = {0};
        size_t len;

        text += strspn(text, " \t");
        for (len = strlen(text); len && isspace((unsigned char) text[len - 1]);)
            text[--len] = '\0';

        CLEANUP_FREE char *clean = text_clean(text);

        if (p->n_hops >= HOPS_MAX)
            return err_set(e, ERR_VALIDATION, "more than %d jump hosts in a row, the last of them "
                           "\"%s\": does one lead to itself?", HOPS_MAX, clean);
        if (!dest_parse(text, &h.dest))
            return err_set(e, ERR_VALIDATION, "\"%s\" is not a jump host: [USER@]HOST[:PORT]", clean);

        int rc = resolve(p, &h, help, e);

        if (rc != 0) {
            hop_clear(&h);
            return rc;
        }
        p->hops = x_realloc(p->hops, (p->n_hops + 1) * sizeof *p->hops);
        memmove(p->hops + at + 1, p->hops + at, (p->n_hops - at) * sizeof *p->hops);
        p->hops[at] = h;
        p->n_hops++;
    }
    return 0;
}

int openssh_find_hops(struct openssh_prep *p, const char *chain, struct help *help, struct err *e)
{
    char *next = fill(chain, p->hostname, p->host, p->conf->host_key_alias, p->port, p->user);
    CLEANUP_STRV struct strv seen = STRV_INIT;
    int rc = 0;

    while (next && rc == 0) {
        if (strv_has(&seen, next)) {
            CLEANUP_FREE char *clean = text_clean(next);
            const char *comma = strrchr(clean, ',');

            err_set(e, ERR_VALIDATION, "ProxyJump goes round in a circle: %s would be reached "
                    "through itself", comma ? comma + 1 : clean);
            rc = 1;
            break;
        }
        strv_push(&seen, next);
        rc = add_chain(p, next, help, e);
        free(X_STEAL(next));

        /* The first may be behind others by its own ssh_config. */
        const struct openssh_hop *h = rc == 0 ? &p->hops[0] : NULL;

        if (h && h->conf->proxy_jump && strcasecmp(h->conf->proxy_jump, "none") != 0)
            next = fill(h->conf->proxy_jump, h->hostname, h->dest.host, h->conf->host_key_alias,
                        h->dest.port ? h->dest.port : h->conf->port, h->user);
    }
    free(next);
    return rc;
}

/* --- the command --- */

/* A word for any shell: a backslash is the same in all of them, quotes are not. ssh fills in what
 * has a % in it. */
static void add_word(struct strbuf *b, const char *word, bool tokens)
{
    if (b->len)
        strbuf_addch(b, ' ');
    for (const char *c = word; *c; c++) {
        if (*c == '%' && !tokens)
            strbuf_addch(b, '%');
        else if (!isalnum((unsigned char) *c) && !strchr("%+,-./:=@_", *c) &&
                 !((unsigned char) *c & 0x80))
            strbuf_addch(b, '\\');
        strbuf_addch(b, *c);
    }
}

static void hop_words(const struct openssh_prep *p, const struct openssh_hop *h,
                      const struct openssh_call *call, const char *through, struct strv *out)
{
    const struct openssh_call own = {
        .password = call->password, .ask = call->ask, .connect_ms = call->connect_ms};

    strv_push(out, p->program);
    if (p->config) {
        strv_push(out, "-F");
        strv_push(out, p->config);
    }
    openssh_own_options(h->accept_new, h->conf, &own, out);
    if (through) {
        strv_push(out, "-o");
        strv_push_own(out, x_asprintf("ProxyCommand=%s", through));
    }
    if (h->known_hosts.n)
        openssh_known_hosts(&h->known_hosts, out);
    for (size_t i = 0; i < h->identity.n; i++) {
        strv_push(out, "-i");
        strv_push(out, h->identity.v[i]);
    }
    if (h->dest.user) {
        strv_push(out, "-l");
        strv_push(out, h->dest.user);
    }
    if (h->dest.port) {
        strv_push(out, "-p");
        strv_push_own(out, x_asprintf("%d", h->dest.port));
    }
}

char *openssh_through(const struct openssh_prep *p, const struct openssh_call *call)
{
    char *command = NULL;

    for (size_t i = 0; i < p->n_hops; i++) {
        CLEANUP_STRV struct strv words = STRV_INIT;
        struct strbuf b;

        strbuf_init(&b, 0);
        hop_words(p, &p->hops[i], call, command, &words);
        for (size_t k = 0; k < words.n; k++)
            add_word(&b, words.v[k], false);
        add_word(&b, "-W", false);
        add_word(&b, "[%h]:%p", true);
        add_word(&b, "--", false);
        add_word(&b, p->hops[i].dest.host, false);
        free(command);
        command = strbuf_steal(&b);
    }
    return command;
}

/* --- who may ask for the password --- */

static void add_asker(struct strv *out, const char *user, const char *hostname,
                      const struct ssh_conf *conf)
{
    const char *host = conf->host_key_alias ? conf->host_key_alias : hostname;

    strv_push_own(out, x_asprintf("%s@%s's password:", user, host));
    strv_push_own(out, x_asprintf("%.30s@%.128s's password:", user, host)); /* up to 9.x */
    strv_push_own(out, x_asprintf("(%s@%s) ", user, host));
}

void openssh_askers(const struct openssh_prep *p, struct strv *out)
{
    add_asker(out, p->user, p->hostname, p->conf);
    for (size_t i = 0; i < p->n_hops; i++)
        add_asker(out, p->hops[i].user, p->hops[i].hostname, p->hops[i].conf);
}
