/* SPDX-License-Identifier: Apache-2.0 */
/* The answer of `ssh -G`, held against the configuration files, the keyword table and muster's own
 * settings: each with where it is from and what becomes of it. */
#include "muster/exec/explain.h"

#include "ssh_conf.h"
#include "ssh_explain.h"
#include "ssh_keywords.h"
#include "ssh_prepare.h"
#include "ssh_shared.h"
#include "ssh_source.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/exec/engine.h"
#include "muster/exec/transport.h"

#include <string.h>
#include <strings.h>

#define SOURCE_FLAG "flag"
#define SOURCE_NODE "node or group"
#define SOURCE_BASE "inventory defaults"
#define SOURCE_OPENSSH "OpenSSH"

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
    bool adds;      /* to what the keyword names, and goes before it */
} twins[] = {
    {SETTING_USER, "user", false, false},
    {SETTING_PORT, "port", false, false},
    {SETTING_IDENTITY, "identityfile", true, true},
    {SETTING_KNOWN_HOSTS, "userknownhostsfile", true, false},
    {SETTING_STRICT, "stricthostkeychecking", true, false},
    {SETTING_CONNECT_TIMEOUT, "connecttimeout", false, false},
    {SETTING_JUMP, "proxyjump", false, false},
    {SETTING_JUMP, "proxycommand", false, false},
};

/* A line of `ssh -G`; of those with one keyword, all the values. */
struct answer {
    char *keyword, *value;
};

struct explaining {
    const struct explain_query *q;
    const struct prepared *p; /* NULL: its transport has no ssh_config */
    struct explain *out;
    struct sources sources;
    struct answer *usual; /* without any file */
    size_t n_usual, cap_usual;
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
    strv_clear(&x->unread);
    *x = (struct explain) {0};
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
        if ((place != x->q->base && !twins[i].adds) || !sources_name(&x->sources, keyword))
            return setting_key(twins[i].id);
    }
    return NULL;
}

/* A default of the inventory stands under ssh_config. */
static bool loses(const struct explaining *x, enum setting_id id, const char *source)
{
    bool base = strcmp(source, SOURCE_BASE) == 0;

    for (size_t i = 0; i < ARRAY_LEN(twins); i++) {
        const char *keyword = twins[i].keyword;

        if (twins[i].id != id)
            continue;
        if (base && (is_option(x->q, keyword) || sources_name(&x->sources, keyword)))
            return true;
        if (twins[i].adds ? conf_options_all(x->q->ssh_options, keyword, "none")
                          : is_option(x->q, keyword))
            return true;
    }
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
        bool keys = id == SETTING_IDENTITY && setting_is_set(x->q->over, SETTING_IDENTITY) && x->p;

        if (keys && place == x->q->flags) {
            bool none = only_option(x->q, SETTING_IDENTITY);

            source = none ? SOURCE_NODE : SOURCE_FLAG ", " SOURCE_NODE;
            place = none ? x->q->over : &x->p->over;
        }
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

/* What is honoured, but otherwise than its name says. */
static const char *honoured_note(const char *keyword, const char *value)
{
    static const struct {
        const char *keyword, *value, *note;
    } notes[] = {
        {"StrictHostKeyChecking", "no,false,off",
         "taken as accept-new: a changed key is still refused"},
        {"GSSAPIAuthentication", "yes,true",
         "by the transport openssh, where the server takes it and no key is taken"},
        {"HostbasedAuthentication", "yes,true",
         "by the transport openssh, where the server takes it and no key is taken"},
        {"RequestTTY", "yes,true,force", "the command gets a terminal, as with --pty"},
        {"RequestTTY", "no,false,auto", "no terminal, unless --pty asks for one"},
    };

    for (size_t i = 0; i < ARRAY_LEN(notes); i++) {
        const struct conf_keyword values = {.fine = notes[i].value};

        if (strcasecmp(keyword, notes[i].keyword) == 0 && *value && conf_fine(&values, value))
            return notes[i].note;
    }
    return NULL;
}

/* Whether there is a master to go by, and why not. */
static char *control_note(const struct explaining *x, const char *path)
{
    static const char *const texts[] = {
        [CONTROL_NONE] = "no ControlMaster runs: muster connects itself",
        [CONTROL_DEAD] = "nobody answers there, the ssh that made it has ended: muster connects "
                         "itself; remove the socket",
        [CONTROL_SILENT] = "the ControlMaster takes connections and does not answer, it is stopped "
                           "or hangs: muster connects itself; end that ssh",
        [CONTROL_LIVE] = "a live ControlMaster: it is used, by the transport openssh",
    };
    const char *const jumps[] = {NULL, x->p->conf ? x->p->conf->proxy_jump : NULL};
    enum control_state best = CONTROL_NONE;

    for (size_t i = 0; x->p->tokens.host && i < ARRAY_LEN(jumps) && (i == 0 || jumps[i]); i++) {
        struct conf_tokens tokens = x->p->tokens;

        tokens.jump = jumps[i];

        CLEANUP_FREE char *whole = conf_expand(path, &tokens);
        enum control_state state = whole ? control_state(whole) : CONTROL_NONE;

        if (state > best)
            best = state;
    }
    return x_strdup(texts[best]);
}

static void judge_known(const struct explaining *x, const struct conf_keyword *k,
                        struct explain_row *row)
{
    bool fine = k->how != CONF_HONOURED && k->how != CONF_HARMLESS && conf_fine(k, row->value);

    if (k->how == CONF_HONOURED) {
        row->verdict = VERDICT_HONOURED;
        row->note = strcasecmp(k->name, "ControlPath") == 0 && strcasecmp(row->value, "none") != 0
                        ? control_note(x, row->value)
                        : x_strdup(honoured_note(k->name, row->value));
    } else if (k->how == CONF_HARMLESS || fine) {
        row->verdict = VERDICT_SAME;
        row->note = k->how == CONF_HARMLESS ? x_strdup(k->note) : NULL;
    } else if (k->how == CONF_LEFT_OUT) {
        row->verdict = VERDICT_LEFT_OUT;
        row->note = x_strdup(k->note);
    } else {
        bool by_ssh = k->how == CONF_OPENSSH;

        row->verdict = by_ssh ? VERDICT_OPENSSH : VERDICT_REFUSED;
        row->note = x_asprintf("%s%s%s",
                               by_ssh ? "only ssh itself can do it" : "muster cannot do it",
                               k->note ? "; where the host does without: -o " : "",
                               k->note ? k->note : "");
    }
}

static void judge(const struct explaining *x, struct explain_row *row)
{
    const struct conf_keyword *k = conf_keyword(row->keyword);
    const char *over = setting_over(x, row->keyword);

    if (!k) {
        row->verdict = VERDICT_UNKNOWN;
        row->note = x_strdup("muster does not know the keyword: ignored");
        return;
    }
    free(row->keyword);
    row->keyword = x_strdup(k->name);
    if (over) {
        row->verdict = VERDICT_OVERRIDDEN;
        row->note = x_asprintf("by muster's own setting %s", over);
    } else {
        judge_known(x, k, row);
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

static void keep_usual(void *ctx, const char *keyword, const char *value)
{
    struct explaining *x = ctx;

    X_GROW(x->usual, x->cap_usual, x->n_usual + 1);
    x->usual[x->n_usual++] = (struct answer) {x_strdup(keyword), x_strdup(value)};
}

static const char *usual_value(const struct explaining *x, const char *keyword)
{
    for (size_t i = 0; i < x->n_usual; i++)
        if (strcasecmp(x->usual[i].keyword, keyword) == 0)
            return x->usual[i].value;
    return NULL;
}

static void add_keyword(void *ctx, const char *keyword, const char *value)
{
    struct explaining *x = ctx;
    CLEANUP_FREE char *where = is_option(x->q, keyword)
                                   ? x_strdup(SOURCE_FLAG)
                                   : sources_of(&x->sources, keyword, value, usual_value(x, keyword));
    struct explain_row *row;

    /* Not a setting: the name that was asked for. */
    if (strcasecmp(keyword, "host") == 0)
        return;
    row = add_row(x->out, keyword, value, where ? where : SOURCE_OPENSSH, where != NULL);
    judge(x, row);
    /* A consequence of other settings, of which nothing follows. */
    if (where && strcmp(where, SOURCE_WORKED_OUT) == 0 && row->verdict == VERDICT_SAME)
        row->set = false;
}

static struct explain_row *find_row(const struct explaining *x, const char *keyword)
{
    for (size_t i = 0; i < x->out->n; i++)
        if (strcasecmp(x->out->rows[i].keyword, keyword) == 0)
            return &x->out->rows[i];
    return NULL;
}

/* Of the two, the one that comes first counts, and `ssh -G` prints no other. */
static const char *stronger_proxy(const struct explaining *x, const char *keyword)
{
    bool jump = strcasecmp(keyword, "ProxyJump") == 0;

    if (!jump && strcasecmp(keyword, "ProxyCommand") != 0)
        return NULL;
    keyword = jump ? "ProxyCommand" : "ProxyJump";
    return find_row(x, keyword) ? keyword : NULL;
}

static void add_unprinted(struct explaining *x, const char *keyword, const char *value,
                          const char *where)
{
    const char *stronger = stronger_proxy(x, keyword);
    struct explain_row *row;

    if (find_row(x, keyword))
        return;
    row = add_row(x->out, keyword, value, where, true);
    judge(x, row);
    if (!stronger || row->verdict != VERDICT_HONOURED)
        return;
    free(row->note);
    row->verdict = VERDICT_OVERRIDDEN;
    row->note = x_asprintf("%s comes first", stronger);
}

/* `ssh -G` does not print every keyword, and none at all where there is no ssh. */
static void unprinted_rows(struct explaining *x, bool printed)
{
    for (size_t i = 0; x->q->ssh_options && i < x->q->ssh_options->n; i++) {
        CLEANUP_FREE char *keyword = NULL;
        const char *value;

        if (conf_option(x->q->ssh_options->v[i], &keyword, &value))
            add_unprinted(x, keyword, value, SOURCE_FLAG);
    }
    for (size_t i = 0; i < x->sources.n; i++) {
        const struct mention *m = &x->sources.v[i];

        if (!m->unsure || !printed)
            add_unprinted(x, m->keyword, m->value, m->where);
    }
}

static void keyword_rows(struct explaining *x)
{
    const struct prepared *p = x->p;
    bool user = sources_name(&x->sources, "user") || is_option(x->q, "user");
    bool port = sources_name(&x->sources, "port") || is_option(x->q, "port");
    struct conf_query q = {
        .host = p->host,
        .config = x->q->ssh_config,
        .options = x->q->ssh_options,
        .user = p->over.user || user ? p->over.user : p->base.user,
        .port = p->over.port || port ? p->over.port : p->base.port,
        .limit_ms = prepare_limit_ms(p),
    };
    struct err e = ERR_INIT;
    int rc;
    CLEANUP_FREE char *said = conf_ask(&q, &rc, &e);

    q.config = "none";
    q.options = NULL;

    CLEANUP_FREE char *usual = said ? conf_ask(&q, &rc, &e) : NULL;

    if (usual)
        each_line(usual, keep_usual, x);
    if (said)
        each_line(said, add_keyword, x);
    unprinted_rows(x, said != NULL);
    err_clear(&e);
}

static void scan_rows(struct explaining *x)
{
    sources_read(&x->sources, x->q->ssh_config, x->p->host);
    own_rows(x);
    keyword_rows(x);
}

static void explaining_clear(struct explaining *x)
{
    for (size_t i = 0; i < x->n_usual; i++) {
        free(x->usual[i].keyword);
        free(x->usual[i].value);
    }
    free(x->usual);
    sources_clear(&x->sources);
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
        out->address = explain_address(p);
    /* A file may be named twice, and a line may have the host with its port and without. */
    for (size_t i = 0; i < p->known.n; i++) {
        const struct hosts_match *m = &p->known.v[i];
        CLEANUP_FREE char *text = x_asprintf("%s:%u %s%s", hosts_path(m->file), m->entry->line,
                                             m->entry->mark == HOSTS_PLAIN ? "" : "@",
                                             m->entry->type);

        if (!strv_has(&out->known, text))
            strv_push(&out->known, text);
    }
    for (size_t i = 0; i < p->n_cand; i++)
        strv_push(&out->offered, p->cand[i].label);
    strv_copy(&out->passed_over, &p->notes);
    strv_copy(&out->unread, &p->hosts_unread);
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
    settings_merge_flags(&over, q->flags);

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
    explain_hops(q, shared, p, out);
    x.p = p;
    if (p->conf)
        scan_rows(&x);
    explaining_clear(&x);
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
