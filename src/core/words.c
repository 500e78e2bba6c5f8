/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts templates into words and fills in their names. */
#include "muster/core/words.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"

#include <stdbool.h>
#include <string.h>

#define BLANKS " \t\r\n"
#define NAMES "{node}, {host}, {user}, {command}, %%n, %%h, %%u and %%%% are known"

/* Appends what stands in double quotes; *p is behind the first. false: they are not closed. */
static bool double_quoted(const char **p, struct strbuf *word)
{
    const char *c = *p;

    for (; *c && *c != '"'; c++) {
        if (*c == '\\' && c[1] == '\n') {
            c++;
            continue;
        }
        if (*c == '\\' && c[1] && strchr("\\\"$`", c[1]))
            c++;
        strbuf_addch(word, *c);
    }
    *p = c + (*c == '"');
    return *c == '"';
}

static bool single_quoted(const char **p, struct strbuf *word)
{
    const char *end = strchr(*p, '\'');

    if (!end)
        return false;
    strbuf_add(word, *p, (size_t) (end - *p));
    *p = end + 1;
    return true;
}

/* One word, up to a blank or the end. NULL, or what is wrong. */
static const char *one_word(const char **p, struct strbuf *word)
{
    while (**p && !strchr(BLANKS, **p)) {
        char c = *(*p)++;

        if (c == '\'' && !single_quoted(p, word))
            return "a ' is not closed";
        if (c == '"' && !double_quoted(p, word))
            return "a \" is not closed";
        if (c == '\\' && !**p)
            return "a backslash stands at the end";
        if (c == '\\' && *(*p)++ != '\n')
            strbuf_addch(word, (*p)[-1]);
        if (!strchr("'\"\\", c))
            strbuf_addch(word, c);
    }
    return NULL;
}

int words_split(const char *text, struct strv *out, struct err *e)
{
    for (;;) {
        struct strbuf word;

        text += strspn(text, BLANKS);
        if (!*text)
            return 0;
        strbuf_init(&word, 0);

        const char *wrong = one_word(&text, &word);

        if (wrong) {
            strbuf_free(&word);
            return err_set(e, ERR_VALIDATION, "%s", wrong);
        }
        strv_push_own(out, strbuf_steal(&word));
    }
}

/* The length of {name} at p, when it looks like one of ours: {} and {{.Name}} do not. */
static size_t braces(const char *p)
{
    size_t n = *p == '{' ? strspn(p + 1, "abcdefghijklmnopqrstuvwxyz_") : 0;

    return n && p[n + 1] == '}' ? n + 2 : 0;
}

static const struct name {
    const char *braced, *percent;
    enum { NODE, HOST, USER, COMMAND, PERCENT } what;
} names[] = {
    {"{node}", "%n", NODE}, {"{host}", "%h", HOST}, {"{user}", "%u", USER},
    {"{command}", NULL, COMMAND}, {NULL, "%%", PERCENT},
};

static const struct name *find_name(const char *p, size_t n)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *text = *p == '{' ? names[i].braced : names[i].percent;

        if (text && strlen(text) == n && strncmp(text, p, n) == 0)
            return &names[i];
    }
    return NULL;
}

static const char *value_of(const struct name *name, const struct template_values *v)
{
    switch (name->what) {
    case NODE:
        return v->node;
    case HOST:
        return v->host;
    case USER:
        return v->user;
    case COMMAND:
        return v->command;
    case PERCENT:
        break;
    }
    return "%";
}

static int fill_word(const char *p, const struct template_values *v, struct strbuf *out,
                     unsigned *commands, struct err *e)
{
    while (*p) {
        size_t n = *p == '%' ? (p[1] ? 2 : 1) : braces(p);

        if (!n) {
            strbuf_addch(out, *p++);
            continue;
        }

        const struct name *name = find_name(p, n);

        if (!name)
            return err_set(e, ERR_VALIDATION, "%.*s is not known: " NAMES, (int) n, p);

        const char *value = value_of(name, v);

        if (!value)
            return err_set(e, ERR_VALIDATION, "it asks for the user, and none is set: set `user`");
        *commands += name->what == COMMAND;
        strbuf_adds(out, value);
        p += n;
    }
    return 0;
}

int template_fill(const char *text, const struct template_values *v, struct strv *out,
                  struct err *e)
{
    CLEANUP_STRV struct strv words = STRV_INIT;
    unsigned commands = 0;
    int rc = words_split(text, &words, e);

    for (size_t i = 0; rc == 0 && i < words.n; i++) {
        struct strbuf b;

        strbuf_init(&b, 0);
        rc = fill_word(words.v[i], v, &b, &commands, e);
        strv_push_own(out, strbuf_steal(&b));
    }
    if (rc == 0 && (!out->n || !*out->v[0]))
        rc = err_set(e, ERR_VALIDATION, "it names no program to run");
    if (rc == 0 && !commands)
        rc = err_set(e, ERR_VALIDATION,
                     "it has no {command}: that is where the command goes, as in "
                     "kubectl exec {node} -- sh -c {command}");
    if (rc == 0 && commands > 1)
        rc = err_set(e, ERR_VALIDATION, "{command} stands in it %u times: once is right",
                     commands);
    if (rc != 0)
        strv_clear(out);
    return rc;
}

int exec_template_check(const char *text, struct err *e)
{
    static const struct template_values any = {"node", "host", "user", "command"};
    CLEANUP_STRV struct strv words = STRV_INIT;

    return template_fill(text, &any, &words, e);
}
