/* SPDX-License-Identifier: Apache-2.0 */
/* Which way leads to a host: straight, through jump hosts, or by a program of the user's. */
#include "ssh_prepare.h"

#include "ssh_dest.h"

#include "muster/exec/engine.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* Only the tokens: the rest is the shell's. NULL: one that is not known. */
static char *expand(const struct prepared *p, const char *text)
{
    struct strbuf b;

    strbuf_init(&b, 0);
    for (const char *c = text; *c; c++) {
        if (*c != '%') {
            strbuf_addch(&b, *c);
            continue;
        }
        switch (*++c) {
        case '%': strbuf_addch(&b, '%'); break;
        case 'h': strbuf_adds(&b, p->hostname); break;
        case 'k': strbuf_adds(&b, p->key_alias); break;
        case 'n': strbuf_adds(&b, p->host); break;
        case 'p': strbuf_addf(&b, "%d", p->port); break;
        case 'r': strbuf_adds(&b, p->user); break;
        default:
            strbuf_free(&b);
            return NULL;
        }
    }
    return strbuf_steal(&b);
}

static void bad_hop(struct prepared *p, const char *hop)
{
    CLEANUP_FREE char *clean = text_clean(hop);

    prepare_fail(p, REASON_UNSUPPORTED, false,
                 "\"%s\" is not a jump host: [USER@]HOST[:PORT], several parted by commas, or none",
                 clean);
}

/* "a, ops@b:2222" without its blanks, up to the first that is no jump host, which is returned: NULL:
 * all of them are. The caller's. */
static char *read_chain(const char *text, struct strbuf *chain)
{
    CLEANUP_FREE char *copy = x_strdup(text);
    char *rest = copy, *hop;

    while ((hop = strsep(&rest, ","))) {
        struct dest d;
        size_t len;

        hop += strspn(hop, " \t");
        len = strlen(hop);
        while (len && isspace((unsigned char) hop[len - 1]))
            hop[--len] = '\0';
        if (!dest_parse(hop, &d))
            return x_strdup(hop);
        dest_clear(&d);
        strbuf_addf(chain, "%s%s", chain->len ? "," : "", hop);
    }
    return NULL;
}

static void set_chain(struct prepared *p, const char *text)
{
    struct strbuf chain;

    strbuf_init(&chain, 0);

    CLEANUP_FREE char *bad = read_chain(text, &chain);

    if (bad)
        bad_hop(p, bad);
    p->jump = strbuf_steal(&chain);
}

char *engine_bad_hop(const char *chain)
{
    struct strbuf read;
    char *bad;

    if (strcasecmp(chain, "none") == 0)
        return NULL;
    strbuf_init(&read, 0);
    bad = read_chain(chain, &read);
    strbuf_free(&read);
    return bad;
}

void prepare_route(struct prepared *p, bool named, bool by_option)
{
    const struct ssh_conf *conf = p->conf;
    const char *jump = NULL, *command = NULL;

    if (p->over.jump && !by_option)
        jump = p->over.jump;
    else if (conf->proxy_jump)
        jump = conf->proxy_jump;
    else if (conf->proxy_command)
        command = conf->proxy_command;
    else if (!named)
        jump = p->base.jump;
    if (jump && strcasecmp(jump, "none") == 0)
        return;

    const char *raw = jump ? jump : command;
    char *text = raw ? expand(p, raw) : NULL;

    if (raw && !text) {
        prepare_fail(p, REASON_UNSUPPORTED, false, "%s %s has a %%-token that muster does not know",
                     jump ? "ProxyJump" : "ProxyCommand", raw);
    } else if (jump) {
        set_chain(p, text);
        free(text);
    } else {
        p->proxy_command = text;
    }
}
