/* SPDX-License-Identifier: Apache-2.0 */
/* The answer of `ssh -G`, held against the configuration files, the keyword table and muster's own
 * settings: each with where it is from and what becomes of it. */
#include "muster/exec/explain.h"

#include "ssh_class.h"
#include "ssh_dest.h"
#include "ssh_keywords.h"
#include "ssh_prepare.h"
#include "ssh_shared.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/exec/engine.h"
#include "muster/exec/transport.h"

#include <ctype.h>
#include <netdb.h>
#include <string.h>
#include <strings.h>

#define SOURCE_FLAG "flag"
#define SOURCE_NODE "node or group"
#define SOURCE_BASE "inventory defaults"
#define SOURCE_OPENSSH "OpenSSH"
#define HOPS_MAX 16

const char *verdict_name(enum verdict v)
{
    static const char *const names[] = {
#define VERDICT(id, name) [VERDICT_##id] = name,
        VERDICT_TABLE(VERDICT)
#undef VERDICT
    };

    return names[v];
}

/* muster's own setting and the keyword that it stands over, when it is set. */
static const struct {
    enum setting_id id;
    const char *keyword;
    bool by_option; /* -o with the keyword sets it too */
} twins[] = {
    {SETTING_USER, "user", false},
    {SETTING_PORT, "port", false},
    {SETTING_IDENTITY, "identityfile", true},
    {SETTING_KNOWN_HOSTS, "userknownhostsfile", true},
    {SETTING_STRICT, "stricthostkeychecking", true},
    {SETTING_CONNECT_TIMEOUT, "connecttimeout", false},
    {SETTING_JUMP, "proxyjump", false},
    {SETTING_JUMP, "proxycommand", false},
};

struct mention {
    char *keyword, *where;
};

struct explaining {
    const struct explain_query *q;
    struct explain *out;
    struct mention *mentions;
    size_t n_mentions, cap_mentions;
};

static struct explain_row *add_row(struct explain *x, const char *keyword, const char *value,
                                   const char *source, bool set)
{
    X_GROW(x->rows, x->cap, x->n + 1);

    struct explain_row *row = &x->rows[x->n++];

    *row = (struct explain_row) {
        .keyword = x_strdup(keyword),
        .value = x_strdup(value),
        .source = x_strdup(source),
        .verdict = VERDICT_HONOURED,
        .set = set,
    };
    return row;
}

void explain_clear(struct explain *x)
{
    for (size_t i = 0; i < x->n; i++) {
        free(x->rows[i].keyword);
        free(x->rows[i].value);
        free(x->rows[i].source);
        free(x->rows[i].note);
    }
    free(x->rows);
    free(x->host);
    free(x->user);
    free(x->address);
    free(x->jump);
    free(x->transport);
    free(x->why);
    free(x->error);
    for (size_t i = 0; i < x->n_hops; i++) {
        free(x->hops[i].host);
        free(x->hops[i].user);
        free(x->hops[i].address);
        free(x->hops[i].error);
    }
    free(x->hops);
    strv_clear(&x->known);
    strv_clear(&x->offered);
    strv_clear(&x->passed_over);
    *x = (struct explain) {0};
}

static void keep_mention(void *ctx, const struct scan_mention *m)
{
    struct explaining *x = ctx;

    X_GROW(x->mentions, x->cap_mentions, x->n_mentions + 1);
    x->mentions[x->n_mentions++] = (struct mention) {
        x_strdup(m->keyword),
        x_asprintf("%s:%u%s", m->file, m->line, m->unsure ? " (Match)" : ""),
    };
}

static const char *mentioned(const struct explaining *x, const char *keyword)
{
    for (size_t i = 0; i < x->n_mentions; i++)
        if (strcasecmp(x->mentions[i].keyword, keyword) == 0)
            return x->mentions[i].where;
    return NULL;
}

static size_t count_options(const struct explain_query *q, const char *keyword)
{
    size_t n = 0;

    for (size_t i = 0; q->ssh_options && i < q->ssh_options->n; i++) {
        CLEANUP_FREE char *k = NULL;
        const char *v;

        n += conf_option(q->ssh_options->v[i], &k, &v) && strcasecmp(k, keyword) == 0;
    }
    return n;
}

static bool is_option(const struct explain_query *q, const char *keyword)
{
    return count_options(q, keyword) > 0;
}

/* The places of muster's own, the strongest first; NULL: none of them has it. */
static const struct settings *own_place(const struct explain_query *q, enum setting_id id,
                                        const char **source)
{
    const struct settings *const places[] = {q->flags, q->over, q->base};
    static const char *const names[] = {SOURCE_FLAG, SOURCE_NODE, SOURCE_BASE};

    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        if (setting_is_set(places[i], id)) {
            *source = names[i];
            return places[i];
        }
    return NULL;
}

static const char *setting_over(const struct explaining *x, const char *keyword)
{
    for (size_t i = 0; i < ARRAY_LEN(twins); i++) {
        const char *source;
        const struct settings *place = own_place(x->q, twins[i].id, &source);

        if (strcasecmp(twins[i].keyword, keyword) != 0 || !place || is_option(x->q, keyword))
            continue;
        if (place != x->q->base || !mentioned(x, keyword))
            return setting_key(twins[i].id);
    }
    return NULL;
}

/* A default of the inventory stands under ssh_config. */
static bool loses(const struct explaining *x, enum setting_id id, const char *source)
{
    for (size_t i = 0; i < ARRAY_LEN(twins); i++)
        if (twins[i].id == id && (is_option(x->q, twins[i].keyword) ||
                                  (strcmp(source, SOURCE_BASE) == 0 &&
                                   mentioned(x, twins[i].keyword))))
            return true;
    return false;
}

/* Given by -o alone: the keyword's row tells it. */
static bool only_option(const struct explain_query *q, enum setting_id id)
{
    for (size_t i = 0; i < ARRAY_LEN(twins); i++) {
        if (twins[i].id != id || !twins[i].by_option)
            continue;

        size_t flags = setting_type(id) == SETTING_TYPE_LIST ? setting_list(q->flags, id)->n : 1;

        return count_options(q, twins[i].keyword) >= flags;
    }
    return false;
}

static void own_rows(struct explaining *x)
{
    for (int id = 0; id < SETTING_COUNT; id++) {
        const char *source;
        const struct settings *place = own_place(x->q, (enum setting_id) id, &source);

        /* No limit at all is no setting, though every node has it. */
        if (!place || (id == SETTING_COMMAND_TIMEOUT && place->command_timeout_ms == 0) ||
            (place == x->q->flags && only_option(x->q, (enum setting_id) id)))
            continue;

        CLEANUP_FREE char *value = setting_get(place, (enum setting_id) id);
        struct explain_row *row =
            add_row(x->out, setting_key((enum setting_id) id), value, source, true);

        if (loses(x, (enum setting_id) id, source)) {
            row->verdict = VERDICT_OVERRIDDEN;
            row->note = x_strdup("ssh_config or -o stands over it");
        }
    }
}

static void judge(const struct explaining *x, struct explain_row *row)
{
    const struct conf_keyword *k = conf_keyword(row->keyword);
    const char *over = setting_over(x, row->keyword);

    if (!k) {
        row->verdict = VERDICT_UNKNOWN;
        row->note = x_strdup("the keyword is newer than this muster: ignored");
        return;
    }
    free(row->keyword);
    row->keyword = x_strdup(k->name);
    if (over) {
        row->verdict = VERDICT_OVERRIDDEN;
        row->note = x_asprintf("by muster's own setting %s", over);
    } else if (k->how == CONF_HONOURED) {
        row->verdict = VERDICT_HONOURED;
        if (strcasecmp(k->name, "StrictHostKeyChecking") == 0 &&
            (strcasecmp(row->value, "no") == 0 || strcasecmp(row->value, "false") == 0))
            row->note = x_strdup("taken as accept-new: a changed key is still refused");
    } else if (k->how == CONF_HARMLESS || conf_fine(k, row->value)) {
        row->verdict = VERDICT_SAME;
        row->note = k->how == CONF_HARMLESS ? x_strdup(k->note) : NULL;
    } else if (k->how == CONF_LEFT_OUT) {
        row->verdict = VERDICT_LEFT_OUT;
        row->note = x_strdup(k->note);
    } else {
        row->verdict = k->how == CONF_OPENSSH ? VERDICT_OPENSSH : VERDICT_REFUSED;
        row->note = k->note ? x_asprintf("where the host does without: -o %s", k->note) : NULL;
    }
}

/* Lines of one keyword in a row become one value. Cuts the text. */
static void each_line(char *text, void (*fn)(void *ctx, const char *keyword, const char *value),
                      void *ctx)
{
    struct strbuf value;
    char *save = NULL, *keyword = NULL;

    strbuf_init(&value, 0);
    for (char *l = strtok_r(text, "\r\n", &save); l; l = strtok_r(NULL, "\r\n", &save)) {
        size_t n = strcspn(l, " ");
        char *rest = l[n] ? l + n + 1 : l + n;

        l[n] = '\0';
        if (keyword && strcmp(keyword, l) == 0) {
            strbuf_addf(&value, ", %s", rest);
            continue;
        }
        if (keyword)
            fn(ctx, keyword, value.s);
        keyword = l;
        strbuf_reset(&value);
        strbuf_adds(&value, rest);
    }
    if (keyword)
        fn(ctx, keyword, value.s);
    strbuf_free(&value);
}

static void add_keyword(void *ctx, const char *keyword, const char *value)
{
    struct explaining *x = ctx;
    const char *where = is_option(x->q, keyword) ? SOURCE_FLAG : mentioned(x, keyword);

    /* Not a setting: the name that was asked for. */
    if (strcasecmp(keyword, "host") == 0)
        return;
    judge(x, add_row(x->out, keyword, value, where ? where : SOURCE_OPENSSH, where != NULL));
}

/* What differs from OpenSSH's own and is not to be seen in the files comes from a Match or from what
 * ssh has worked out. */
static void mark_default(void *ctx, const char *keyword, const char *value)
{
    struct explain *out = ctx;

    for (size_t i = 0; i < out->n; i++) {
        struct explain_row *row = &out->rows[i];

        if (strcasecmp(row->keyword, keyword) != 0 || strcmp(row->source, SOURCE_OPENSSH) != 0 ||
            strcmp(row->value, value) == 0)
            continue;
        free(row->source);
        row->source = x_strdup("ssh_config (Match, or worked out)");
        row->set = true;
    }
}

static void keyword_rows(struct explaining *x, const struct prepared *p)
{
    struct conf_query q = {
        .host = p->host,
        .config = x->q->ssh_config,
        .options = x->q->ssh_options,
        .user = p->over.user,
        .port = p->over.port,
        .limit_ms = prepare_limit_ms(p),
    };
    struct err e = ERR_INIT;
    int rc;
    CLEANUP_FREE char *said = conf_ask(&q, &rc, &e);

    if (said)
        each_line(said, add_keyword, x);
    q.config = "none";
    q.options = NULL;

    CLEANUP_FREE char *usual = said ? conf_ask(&q, &rc, &e) : NULL;

    if (usual)
        each_line(usual, mark_default, x->out);
    /* Without an ssh program there is only what the files say. */
    for (size_t i = 0; !said && i < x->n_mentions; i++)
        add_keyword(x, x->mentions[i].keyword, "(see there)");
    err_clear(&e);
}

static void scan_rows(struct explaining *x, const struct prepared *p)
{
    struct scan *scan = scan_files(x->q->ssh_config);
    CLEANUP_FREE char *class_key = scan_class(scan, p->host);

    scan_each(scan, class_key, keep_mention, x);
    scan_unref(scan);
    own_rows(x);
    keyword_rows(x, p);
    for (size_t i = 0; i < x->n_mentions; i++) {
        free(x->mentions[i].keyword);
        free(x->mentions[i].where);
    }
    free(x->mentions);
}

/* NULL: none was looked up. */
static char *numeric_address(const struct prepared *p)
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

/* From the last to the first; the list is turned round at the end. */
static void tell_hops(const struct explain_query *q, struct ssh_shared *shared, const char *jump,
                      int64_t limit_ms, struct explain *out)
{
    CLEANUP_FREE char *chain = x_strdup(jump);

    while (chain && out->n_hops < HOPS_MAX) {
        struct prepared *p = prepare_hop(q, shared, chain, limit_ms);

        X_GROW(out->hops, out->cap_hops, out->n_hops + 1);
        out->hops[out->n_hops++] = (struct explain_hop) {
            .host = x_strdup(p->hostname ? p->hostname : p->host),
            .user = x_strdup(p->user),
            .address = numeric_address(p),
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

static void tell_prepared(struct explain *out, const struct prepared *p, const char *jump)
{
    if (!p->conf)
        return; /* nothing else is known then */
    out->host = x_strdup(p->hostname ? p->hostname : p->host);
    out->user = x_strdup(p->user);
    out->port = p->port;
    if (!jump && p->conf)
        jump = p->conf->proxy_jump ? p->conf->proxy_jump : p->conf->proxy_command;
    out->jump = jump && strcasecmp(jump, "none") != 0 ? x_strdup(jump) : NULL;
    if (!out->jump)
        out->address = numeric_address(p);
    for (size_t i = 0; i < p->known.n; i++) {
        const struct hosts_match *m = &p->known.v[i];

        strv_push_own(&out->known, x_asprintf("%s:%u %s%s", hosts_path(m->file), m->entry->line,
                                              m->entry->mark == HOSTS_PLAIN ? "" : "@",
                                              m->entry->type));
    }
    for (size_t i = 0; i < p->n_cand; i++)
        strv_push(&out->offered, p->cand[i].label);
    strv_copy(&out->passed_over, &p->notes);
}

static const char *own_transport(const struct explain_query *q)
{
    const char *source;
    const struct settings *place = own_place(q, SETTING_TRANSPORT, &source);

    return place ? place->transport : NULL;
}

/* Transports without an ssh_config have nothing to prepare. */
static void explain_other(const struct explain_query *q, struct explain *out, const char *name)
{
    struct explaining x = {.q = q, .out = out};

    out->transport = x_strdup(name);
    out->why = x_strdup("it is the node's transport");
    own_rows(&x);
}

static void explain_ssh(const struct explain_query *q, struct explain *out, const char *own)
{
    const struct engine_config cfg = {0};
    struct ssh_shared *shared = ssh_shared_new(&cfg);
    struct settings over;
    struct explaining x = {.q = q, .out = out};
    const char *source;
    const struct settings *jump = own_place(q, SETTING_JUMP, &source);

    settings_init(&over);
    settings_merge(&over, q->over);
    settings_merge(&over, q->flags);

    const struct prepare_query pq = {
        .node = q->node,
        .config = q->ssh_config,
        .options = q->ssh_options,
        .base = q->base,
        .over = &over,
    };
    struct prepared *p = prepared_for(shared, &pq);

    prepare_work(p, NULL);
    out->transport = x_strdup(own ? own : "ssh");
    if (p->fallback && strcmp(out->transport, "ssh") == 0) {
        free(out->transport);
        out->transport = x_strdup("openssh");
        out->why = x_strdup(p->fallback);
    } else if (own) {
        out->why = x_strdup("it is the node's transport");
    }
    if (p->failed != REASON_NONE && !p->fallback &&
        (!p->conf || strcmp(out->transport, "ssh") == 0)) {
        out->failed = p->failed;
        out->error = x_strdup(p->error);
    }
    tell_prepared(out, p, jump && !loses(&x, SETTING_JUMP, source) ? jump->jump : NULL);
    tell_hops(q, shared, p->jump, prepare_limit_ms(p), out);
    if (p->conf)
        scan_rows(&x, p);
    prepared_free(p);
    settings_clear(&over);
    ssh_shared_stop(shared);
    ssh_shared_free(shared);
}

void engine_explain(const struct explain_query *q, struct explain *out)
{
    const char *own = own_transport(q);

    *out = (struct explain) {0};
    if (own && strcmp(own, "ssh") != 0 && strcmp(own, "openssh") != 0)
        explain_other(q, out, own);
    else
        explain_ssh(q, out, own);
}
