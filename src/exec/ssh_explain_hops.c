/* SPDX-License-Identifier: Apache-2.0 */
/* The jump hosts on the way to a host, each as its own settings have it. */
#include "ssh_explain.h"

#include "ssh_dest.h"
#include "ssh_prepare.h"

#include "muster/base/alloc.h"
#include "muster/base/vec.h"
#include "muster/exec/explain.h"

#include <netdb.h>
#include <string.h>

#define HOPS_MAX 16

/* NULL: none was looked up. */
char *explain_address(const struct prepared *p)
{
    char address[NI_MAXHOST] = "";

    if (!p->addrs || getnameinfo(p->addrs->ai_addr, p->addrs->ai_addrlen, address, sizeof address,
                                 NULL, 0, NI_NUMERICHOST) != 0)
        return NULL;
    return x_strdup(address);
}

/* The last of a chain, reached through the others, or as its own settings say. As with ssh, flags and
 * settings of the node itself are not its jump host's. */
static struct prepared *prepare_hop(const struct explain_query *q, struct ssh_shared *shared,
                                    const char *chain, int64_t limit_ms)
{
    const char *comma = strrchr(chain, ',');
    const char *name = comma ? comma + 1 : chain;
    struct settings base, over;
    struct dest d = {0};

    settings_init(&base);
    settings_init(&over);
    strv_copy(&base.identity, &q->base->identity);
    strv_copy(&base.known_hosts, &q->base->known_hosts);
    base.connect_timeout_ms = limit_ms;
    if (dest_parse(name, &d)) {
        over.host = d.host;
        over.user = d.user;
        over.port = d.port;
    } else {
        over.host = x_strdup(name);
    }
    if (comma)
        over.jump = x_strndup(chain, (size_t) (comma - chain));

    const struct prepare_query pq = {
        .node = name,
        .config = q->ssh_config,
        .base = &base,
        .over = &over,
    };
    struct prepared *p = prepared_for(shared, &pq);

    prepare_work(p, NULL);
    settings_clear(&base);
    settings_clear(&over);
    return p;
}

static void tell_circle(struct explain *out, const char *chain)
{
    const char *comma = strrchr(chain, ',');

    if (out->failed != REASON_NONE)
        return;
    out->failed = REASON_UNREACHABLE;
    out->error = x_asprintf("ProxyJump goes round in a circle: %s would be reached through itself",
                            comma ? comma + 1 : chain);
}

/* From the last to the first; the list is turned round at the end. */
void explain_hops(const struct explain_query *q, struct ssh_shared *shared,
                  const struct prepared *target, struct explain *out)
{
    CLEANUP_FREE char *chain = x_strdup(target->jump);
    CLEANUP_STRV struct strv seen = STRV_INIT;
    int64_t limit_ms = prepare_limit_ms(target);

    while (chain && out->n_hops < HOPS_MAX) {
        if (strv_has(&seen, chain)) {
            tell_circle(out, chain);
            break;
        }
        strv_push(&seen, chain);


        struct prepared *p = prepare_hop(q, shared, chain, limit_ms);

        X_GROW(out->hops, out->cap_hops, out->n_hops + 1);
        out->hops[out->n_hops++] = (struct explain_hop) {
            .host = x_strdup(p->hostname ? p->hostname : p->host),
            .user = x_strdup(p->user),
            .address = explain_address(p),
            .port = p->port,
            .error = x_strdup(p->fallback ? p->fallback : p->failed != REASON_NONE ? p->error : NULL),
        };
        free(chain);
        chain = x_strdup(p->jump);
        prepared_free(p);
    }
    for (size_t i = 0, n = out->n_hops; i < n / 2; i++) {
        struct explain_hop swap = out->hops[i];

        out->hops[i] = out->hops[n - 1 - i];
        out->hops[n - 1 - i] = swap;
    }
}
