/* SPDX-License-Identifier: Apache-2.0 */
/* The values as `ssh -G` would print them, from the lines that the scan has found. */
#include "ssh_reader.h"

#include "ssh_keywords.h"
#include "ssh_lists.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/strmap.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* How many of its lines and words count. */
enum kind {
    FIRST_WORD, /* of the first line */
    FIRST_LINE, /* as it stands: a command, or paths with their quotes */
    FIRST_LIST, /* all words of the first line, as one value */
    EACH_WORD,  /* of the first line, each by itself */
    ALL_LINES   /* the first word of each line */
};

static const struct {
    const char *keyword;
    enum kind kind;
} kinds[] = {
    {"proxycommand", FIRST_LINE},     {"localcommand", FIRST_LINE},
    {"remotecommand", FIRST_LINE},    {"knownhostscommand", FIRST_LINE},
    {"userknownhostsfile", FIRST_LINE}, {"globalknownhostsfile", FIRST_LINE},
    {"rekeylimit", FIRST_LIST},       {"localforward", FIRST_LIST},
    {"remoteforward", FIRST_LIST},    {"setenv", EACH_WORD},
    {"sendenv", ALL_LINES},           {"identityfile", ALL_LINES},
    {"certificatefile", ALL_LINES},
};

struct reading {
    struct ssh_conf *conf;
    struct strmap *seen;
    bool identities; /* somebody named one: the defaults are out */
    struct err *e;
    int ret;
};

static enum kind kind_of(const char *keyword)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (strcasecmp(kinds[i].keyword, keyword) == 0)
            return kinds[i].kind;
    return FIRST_WORD;
}

/* "+NAME" and "^NAME" add to what OpenSSH has, which leaves nothing of muster's own out; what "-NAME"
 * leaves over only ssh knows. */
static bool is_change(const struct conf_keyword *k, const char *value)
{
    static const char *const lists[] = {
        "Ciphers", "HostKeyAlgorithms", "KexAlgorithms", "MACs", "PubkeyAcceptedAlgorithms",
    };

    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        if (strcasecmp(k->name, lists[i]) == 0)
            return *value && strchr("+^", *value);
    return false;
}

static void apply(struct reading *r, const char *keyword, const char *value)
{
    const struct conf_keyword *k = conf_keyword(keyword);

    if (k && is_change(k, value))
        return;
    if (strcasecmp(keyword, "identityfile") == 0 && !r->identities) {
        strv_clear(&r->conf->identity_files);
        r->identities = true;
    }
    conf_apply(r->conf, keyword, value);
}

static bool first_time(struct reading *r, const char *keyword)
{
    CLEANUP_FREE char *lower = x_strdup(keyword);
    void *found;

    for (char *p = lower; *p; p++)
        *p = (char) tolower((unsigned char) *p);
    if (strmap_get(r->seen, lower, &found))
        return false;
    strmap_set(r->seen, lower, NULL);
    return true;
}

/* where: "FILE:LINE", or what stands for it. As with ssh, what is overridden must be good too. */
static void read_value(struct reading *r, const char *where, const char *keyword,
                       const char *value)
{
    CLEANUP_STRV struct strv words = STRV_INIT;
    enum kind kind = kind_of(keyword);

    conf_words(value, &words);

    const char *wanted = conf_wanted(keyword, words.n ? words.v[0] : "");

    if (wanted && r->ret == 0)
        r->ret = err_set(r->e, ERR_VALIDATION, "%s: %s %s: %s is wanted", where, keyword, value,
                         wanted);
    if (!first_time(r, keyword) && kind != ALL_LINES)
        return;
    if (kind == FIRST_LINE) {
        apply(r, keyword, value);
    } else if (kind == FIRST_LIST || kind == EACH_WORD ||
               strcasecmp(keyword, "sendenv") == 0) {
        struct strbuf all;

        strbuf_init(&all, 0);
        for (size_t i = 0; i < words.n; i++) {
            if (kind == EACH_WORD)
                apply(r, keyword, words.v[i]);
            strbuf_addf(&all, "%s%s", i ? " " : "", words.v[i]);
        }
        if (kind != EACH_WORD)
            apply(r, keyword, all.s);
        strbuf_free(&all);
    } else if (words.n) {
        apply(r, keyword, words.v[0]);
    }
}

static void refuse(struct reading *r, const char *where, unsigned line, const char *what)
{
    if (r->ret == 0)
        r->ret = err_set(r->e, ERR_VALIDATION,
                         "%s:%u: %s is for ssh itself to judge, and there is no ssh program in PATH: "
                         "install OpenSSH's client", where, line, what);
}

static bool says_no(const char *value)
{
    return strcasecmp(value, "no") == 0 || strcasecmp(value, "false") == 0;
}

static void read_line(struct reading *r, const struct scan_mention *m)
{
    CLEANUP_FREE char *where = x_asprintf("%s:%u", m->file, m->line);

    read_value(r, where, m->keyword, m->value);
}

static void read_mention(void *ctx, const struct scan_mention *m)
{
    struct reading *r = ctx;
    const struct conf_keyword *k = conf_keyword(m->keyword);

    if (m->unsure)
        refuse(r, m->file, m->line, "a Match");
    else if (strcasecmp(m->keyword, "canonicalizehostname") == 0 && !says_no(m->value))
        refuse(r, m->file, m->line, "CanonicalizeHostname");
    else if (k && k->how == CONF_HONOURED && *m->value == '-' && kind_of(k->name) == FIRST_WORD)
        refuse(r, m->file, m->line, k->name);
    else
        read_line(r, m);
}

int reader_conf(const struct scan *scan, const char *class_key, const struct conf_query *q,
                struct ssh_conf **out, struct err *e)
{
    struct reading r = {.conf = conf_new(), .seen = strmap_new(), .e = e};

    for (size_t i = 0; q->options && i < q->options->n; i++) {
        CLEANUP_FREE char *keyword = NULL;
        const char *value;

        if (conf_option(q->options->v[i], &keyword, &value))
            read_value(&r, "-o", keyword, value);
    }
    scan_each(scan, class_key, read_mention, &r);
    strmap_free(r.seen);

    CLEANUP_FREE char *hostname = scan_hostname(r.conf->hostname ? r.conf->hostname : "%h", q->host);

    free(r.conf->hostname);
    r.conf->hostname = X_STEAL(hostname);
    conf_fill_homes(r.conf);
    if (r.ret != 0) {
        conf_unref(r.conf);
        return r.ret;
    }
    *out = r.conf;
    return 0;
}
