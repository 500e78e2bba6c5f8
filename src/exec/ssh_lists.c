/* SPDX-License-Identifier: Apache-2.0 */
/* `ssh -G` prints "/a b/known_hosts" /c as /a b/known_hosts /c, with ~ and tokens filled in: the value
 * as it was written, filled in the same way, tells which blank is in a path. */
#include "ssh_lists.h"

#include "ssh_class.h"
#include "ssh_conf.h"

#include "muster/base/alloc.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/base/vec.h"

#include <string.h>
#include <strings.h>

void conf_words(const char *value, struct strv *out)
{
    struct strbuf word;
    const char *p = value;

    while (*(p += strspn(p, " \t")) && *p != '#') {
        char quote = '\0';

        strbuf_init(&word, 0);
        for (; *p && (quote || !strchr(" \t", *p)); p++) {
            if (*p == '\\' && p[1] && strchr("\\\"' ", p[1]))
                strbuf_addch(&word, *++p);
            else if (quote ? *p == quote : *p == '"' || *p == '\'')
                quote = quote ? '\0' : *p;
            else
                strbuf_addch(&word, *p);
        }
        strv_push_own(out, strbuf_steal(&word));
    }
}

struct settling {
    const char *keyword, *printed;
    struct conf_tokens tokens;
    struct strv words; /* what it is; empty: not found yet */
};

static char *with_home(const char *word)
{
    if (strncmp(word, "~/", 2) != 0)
        return x_strdup(word);

    CLEANUP_FREE char *home = conf_home();

    return io_join(home, word + 2);
}

/* Which keywords and which tokens ssh fills in, differs from version to version. */
static char *fill(const char *word, unsigned way, const struct conf_tokens *tokens)
{
    CLEANUP_FREE char *path = way ? with_home(word) : x_strdup(word);
    char *whole = way == 2 ? conf_expand(path, tokens) : NULL;

    return whole ? whole : X_STEAL(path);
}

static void try_written(struct settling *s, const char *written)
{
    CLEANUP_STRV struct strv words = STRV_INIT;

    conf_words(written, &words);
    for (unsigned way = 0; way < 3 && words.n && !s->words.n; way++) {
        CLEANUP_STRV struct strv filled = STRV_INIT;

        for (size_t i = 0; i < words.n; i++)
            strv_push_own(&filled, fill(words.v[i], way, &s->tokens));

        CLEANUP_FREE char *whole = strv_join(&filled, " ");

        if (strcmp(whole, s->printed) == 0)
            strv_copy(&s->words, &filled);
    }
}

static void try_mention(void *ctx, const struct scan_mention *m)
{
    struct settling *s = ctx;

    if (strcasecmp(m->keyword, s->keyword) == 0)
        try_written(s, m->value);
}

/* Nothing that was written explains it. A path begins with a slash; what does not goes on with the one
 * before it. */
static void guess(struct settling *s)
{
    CLEANUP_FREE char *copy = x_strdup(s->printed);
    char *rest = copy, *word;

    while ((word = strsep(&rest, " "))) {
        char **last = s->words.n ? &s->words.v[s->words.n - 1] : NULL;

        if (!last || strchr("/~", *word)) {
            strv_push(&s->words, word);
            continue;
        }

        char *longer = x_asprintf("%s %s", *last, word);

        free(*last);
        *last = longer;
    }
}

/* In a form that conf_expand() leaves as it is. */
static char *as_final(const char *word)
{
    CLEANUP_FREE char *path = with_home(word);
    struct strbuf b;

    strbuf_init(&b, 0);
    for (const char *c = path; *c; c++)
        strbuf_addf(&b, *c == '%' ? "%%%%" : "%c", *c);
    return strbuf_steal(&b);
}

static void settle(struct strv *list, struct settling *s, const char *usual,
                   const struct scan *scan, const char *class_key, const struct strv *options)
{
    for (size_t i = 0; options && i < options->n; i++) {
        CLEANUP_FREE char *keyword = NULL;
        const char *value;

        if (conf_option(options->v[i], &keyword, &value) && strcasecmp(keyword, s->keyword) == 0)
            try_written(s, value);
    }
    scan_each(scan, class_key, try_mention, s);
    try_written(s, usual);
    if (!s->words.n)
        guess(s);
    strv_clear(list);
    for (size_t i = 0; i < s->words.n; i++)
        if (strcasecmp(s->words.v[i], "none") != 0)
            strv_push_own(list, as_final(s->words.v[i]));
    strv_clear(&s->words);
}

void conf_settle_lists(struct ssh_conf *c, const struct scan *scan, const char *class_key,
                       const struct conf_query *q)
{
    struct settling s = {
        .keyword = "userknownhostsfile",
        .printed = c->user_hosts_said,
        .tokens = {c->hostname ? c->hostname : q->host, q->host,
                   c->host_key_alias ? c->host_key_alias : q->host, c->user, c->port,
                   c->proxy_jump},
    };

    if (s.printed)
        settle(&c->user_hosts, &s, "~/.ssh/known_hosts ~/.ssh/known_hosts2", scan, class_key,
               q->options);
    s.keyword = "globalknownhostsfile";
    s.printed = c->global_hosts_said;
    if (s.printed)
        settle(&c->global_hosts, &s, "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2", scan,
               class_key, q->options);
}
