/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a type in Puppet's notation, by recursive descent. */
#include "muster/core/params.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/text.h"
#include "muster/core/suggest.h"
#include "ptype.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX ((size_t) 16 << 10) /* LIMIT: bytes of a type */
#define DEPTH_MAX 20                 /* LIMIT: types in types */

/* What stands in a type's brackets. */
enum inside {
    IN_NOTHING,
    IN_RANGE,  /* min, max */
    IN_TYPES,  /* types, at most `types` of them, then min, max */
    IN_WORDS,
    IN_REGEX,
    IN_STRUCT,
    IN_TRUTH
};

static const struct row {
    const char *name;
    enum ptype_kind kind;
    enum inside inside;
    size_t types;   /* at most */
    bool needs;     /* brackets */
    bool range;     /* may follow the types */
} rows[] = {
    {"Any", PT_ANY, IN_NOTHING, 0, false, false},
    {"Data", PT_DATA, IN_NOTHING, 0, false, false},
    {"RichData", PT_DATA, IN_NOTHING, 0, false, false},
    {"Scalar", PT_SCALAR, IN_NOTHING, 0, false, false},
    {"ScalarData", PT_SCALAR, IN_NOTHING, 0, false, false},
    {"Undef", PT_UNDEF, IN_NOTHING, 0, false, false},
    {"String", PT_STRING, IN_RANGE, 0, false, false},
    {"Integer", PT_INTEGER, IN_RANGE, 0, false, false},
    {"Float", PT_FLOAT, IN_RANGE, 0, false, false},
    {"Numeric", PT_NUMERIC, IN_NOTHING, 0, false, false},
    {"Boolean", PT_BOOLEAN, IN_TRUTH, 0, false, false},
    {"Array", PT_ARRAY, IN_TYPES, 1, false, true},
    {"Hash", PT_HASH, IN_TYPES, 2, false, true},
    {"Optional", PT_OPTIONAL, IN_TYPES, 1, false, false},
    {"Enum", PT_ENUM, IN_WORDS, 0, true, false},
    {"Pattern", PT_PATTERN, IN_REGEX, 0, true, false},
    {"Variant", PT_VARIANT, IN_TYPES, 200, true, false},
    {"Struct", PT_STRUCT, IN_STRUCT, 0, true, false},
    {"Tuple", PT_TUPLE, IN_TYPES, 200, true, true},
    {"NotUndef", PT_NOTUNDEF, IN_TYPES, 1, false, false},
    {"Sensitive", PT_SENSITIVE, IN_TYPES, 1, false, false},
    {"TargetSpec", PT_TARGETS, IN_NOTHING, 0, false, false},
    {"Boltlib::TargetSpec", PT_TARGETS, IN_NOTHING, 0, false, false},
    {"Target", PT_TARGETS, IN_NOTHING, 0, false, false},
    {"Collection", PT_COLLECTION, IN_RANGE, 0, false, false},
    {"Iterable", PT_ITERABLE, IN_TYPES, 1, false, false},
    {"Regexp", PT_NEVER, IN_REGEX, 0, false, false},
    {"Default", PT_NEVER, IN_NOTHING, 0, false, false},
};

struct reader {
    const char *text, *s;
    struct err *e;
    int depth;
};

static struct ptype *read_type(struct reader *r);

static int wrong(const struct reader *r, const char *what)
{
    char *shown = text_clean(r->text);

    err_set(r->e, ERR_VALIDATION, "the type \"%.200s\": at character %zu: %s", shown,
            (size_t) (r->s - r->text) + 1, what);
    free(shown);
    return -ERR_VALIDATION;
}

static void blanks(struct reader *r)
{
    while (*r->s && strchr(" \t\r\n", *r->s))
        r->s++;
}

static bool take(struct reader *r, char c)
{
    blanks(r);
    if (*r->s != c)
        return false;
    r->s++;
    return true;
}

/* Between two of a list: 1 a comma and something after it, 0 the end, or an error. */
static int more(struct reader *r, char end)
{
    if (take(r, ',')) {
        if (take(r, end))
            return 0; /* a comma before the end is allowed */
        return 1;
    }
    if (take(r, end))
        return 0;
    return wrong(r, end == ']' ? "a ',' or ']' is missing" : "a ',' or '}' is missing");
}

static struct ptype *new_type(enum ptype_kind kind)
{
    struct ptype *t = x_calloc(1, sizeof *t);

    t->kind = kind;
    t->truth = -1;
    return t;
}

void ptype_free(struct ptype *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n_args; i++)
        ptype_free(t->args[i]);
    for (size_t i = 0; i < t->n_regex; i++)
        regfree(&t->regex[i]);
    free(t->args);
    free(t->regex);
    free(t->key_optional);
    strv_clear(&t->words);
    free(t);
}

static void add_arg(struct ptype *t, struct ptype *arg)
{
    t->args = x_array(t->args, t->n_args + 1, sizeof(struct ptype *));
    t->args[t->n_args++] = arg;
}

/* A word, bare or in quotes. */
static char *read_word(struct reader *r)
{
    const char *start;
    char quote;
    char *word;

    blanks(r);
    quote = *r->s;
    if (quote == '\'' || quote == '"') {
        size_t n = 0;

        word = x_malloc(strlen(r->s) + 1);
        for (r->s++; *r->s && *r->s != quote; r->s++) {
            if (*r->s == '\\' && (r->s[1] == quote || r->s[1] == '\\'))
                r->s++;
            word[n++] = *r->s;
        }
        word[n] = '\0';
        if (*r->s) {
            r->s++;
            return word;
        }
        free(word);
        wrong(r, "a quote is not closed");
        return NULL;
    }
    for (start = r->s; isalnum((unsigned char) *r->s) || (*r->s && strchr("_-.:/", *r->s)); r->s++)
        ;
    if (r->s > start)
        return x_strndup(start, (size_t) (r->s - start));
    wrong(r, "a word is missing");
    return NULL;
}

static int read_words(struct reader *r, struct ptype *t)
{
    int rc;

    do {
        char *word;

        blanks(r);
        bool bare = *r->s != '\'' && *r->s != '"';
        word = read_word(r);
        if (!word)
            return -ERR_VALIDATION;
        if (bare && t->words.n && (!strcmp(word, "true") || !strcmp(word, "false"))) {
            t->any_case = *word == 't';
            free(word);
        } else {
            strv_push_own(&t->words, word);
        }
    } while ((rc = more(r, ']')) > 0);
    return rc;
}

/* /re/, or a text in quotes. */
static char *read_pattern(struct reader *r)
{
    const char *start;

    blanks(r);
    if (*r->s != '/')
        return read_word(r);
    for (start = ++r->s; *r->s && *r->s != '/'; r->s++)
        r->s += *r->s == '\\' && r->s[1];
    if (!*r->s) {
        wrong(r, "the pattern's '/' is not closed");
        return NULL;
    }
    return x_strndup(start, (size_t) (r->s++ - start));
}

static int read_patterns(struct reader *r, struct ptype *t)
{
    int rc;

    do {
        char *pattern = read_pattern(r);

        if (!pattern)
            return -ERR_VALIDATION;
        strv_push_own(&t->words, pattern);
        t->regex = x_array(t->regex, t->n_regex + 1, sizeof *t->regex);
        rc = ptype_regex(pattern, &t->regex[t->n_regex], r->e);
        if (rc) {
            err_prefix(r->e, "the type's character %zu: ", (size_t) (r->s - r->text));
            return rc;
        }
        t->n_regex++;
    } while ((rc = more(r, ']')) > 0);
    return rc;
}

/* One bound of a range; `default` is none. */
static int read_bound(struct reader *r, struct ptype *t, bool upper)
{
    char *end;

    blanks(r);
    if (!strncmp(r->s, "default", 7)) {
        r->s += 7;
        return 0;
    }
    if (!isdigit((unsigned char) *r->s) && *r->s != '-')
        return wrong(r, "a number or `default` is missing");
    errno = 0;
    if (t->kind == PT_FLOAT) {
        double f = strtod(r->s, &end);

        if (upper)
            t->fmax = f;
        else
            t->fmin = f;
    } else {
        long long n = strtoll(r->s, &end, 0); /* 0x10 and 010, too, as Puppet has them */

        if (upper)
            t->max = n;
        else
            t->min = n;
    }
    if (end == r->s || errno == ERANGE)
        return wrong(r, "this number is none, or too large");
    r->s = end;
    if (upper)
        t->has_max = true;
    else
        t->has_min = true;
    return 0;
}

static int read_range(struct reader *r, struct ptype *t)
{
    int rc = read_bound(r, t, false);

    if (!rc)
        rc = more(r, ']');
    if (rc <= 0)
        return rc;
    rc = read_bound(r, t, true);
    if (!rc && !take(r, ']'))
        return wrong(r, "a ']' is missing");
    if (!rc && t->has_min && t->has_max &&
        (t->kind == PT_FLOAT ? t->fmin > t->fmax : t->min > t->max))
        return wrong(r, "the range ends before it begins");
    return rc;
}

/* Optional['word'] and the like: a word in quotes is the type of that word alone. */
static struct ptype *read_arg(struct reader *r)
{
    struct ptype *t;
    char *word;

    blanks(r);
    if (*r->s != '\'' && *r->s != '"')
        return read_type(r);
    word = read_word(r);
    if (!word)
        return NULL;
    t = new_type(PT_ENUM);
    strv_push_own(&t->words, word);
    return t;
}

static int read_types(struct reader *r, struct ptype *t, const struct row *row)
{
    int rc;

    do {
        struct ptype *arg;

        blanks(r);
        if (row->range && (isdigit((unsigned char) *r->s) || !strncmp(r->s, "default", 7)))
            return read_range(r, t);
        if (t->n_args == row->types)
            return wrong(r, "that is more than this type takes");
        arg = read_arg(r);
        if (!arg)
            return -ERR_VALIDATION;
        add_arg(t, arg);
    } while ((rc = more(r, ']')) > 0);
    return rc;
}

/* A key of a Struct: word, Optional[word] or NotUndef[word]. */
static char *read_key(struct reader *r, bool *optional)
{
    char *word;
    bool closes = false;

    blanks(r);
    *optional = !strncmp(r->s, "Optional[", 9);
    if (*optional || !strncmp(r->s, "NotUndef[", 9)) {
        r->s += 9;
        closes = true;
    }
    word = read_word(r);
    if (word && closes && !take(r, ']')) {
        wrong(r, "a ']' is missing");
        free(word);
        word = NULL;
    }
    return word;
}

static int read_struct(struct reader *r, struct ptype *t)
{
    int rc;

    if (!take(r, '{'))
        return wrong(r, "a '{' is missing");
    if (take(r, '}'))
        return take(r, ']') ? 0 : wrong(r, "a ']' is missing");
    do {
        bool optional;
        char *key = read_key(r, &optional);
        struct ptype *value;

        if (!key)
            return -ERR_VALIDATION;
        strv_push_own(&t->words, key);
        t->key_optional = x_array(t->key_optional, t->words.n, sizeof *t->key_optional);
        t->key_optional[t->words.n - 1] = optional;
        if (!take(r, '=') || *r->s++ != '>') {
            r->s--;
            return wrong(r, "a '=>' is missing");
        }
        value = read_arg(r);
        if (!value)
            return -ERR_VALIDATION;
        add_arg(t, value);
    } while ((rc = more(r, '}')) > 0);
    if (!rc && !take(r, ']'))
        return wrong(r, "a ']' is missing");
    return rc;
}

static int read_truth(struct reader *r, struct ptype *t)
{
    char *word = read_word(r);

    if (!word)
        return -ERR_VALIDATION;
    t->truth = !strcmp(word, "true") ? 1 : !strcmp(word, "false") ? 0 : -1;
    free(word);
    if (t->truth < 0)
        return wrong(r, "true or false is missing");
    return take(r, ']') ? 0 : wrong(r, "a ']' is missing");
}

static int read_inside(struct reader *r, struct ptype *t, const struct row *row)
{
    switch (row->inside) {
    case IN_NOTHING:
        return wrong(r, "this type takes nothing in brackets");
    case IN_RANGE:
        return read_range(r, t);
    case IN_TYPES:
        return read_types(r, t, row);
    case IN_WORDS:
        return read_words(r, t);
    case IN_REGEX:
        return read_patterns(r, t);
    case IN_STRUCT:
        return read_struct(r, t);
    case IN_TRUTH:
        return read_truth(r, t);
    }
    return 0;
}

/* A type of a module's own is written in Puppet's language: nothing is checked by it, and what stands in
 * its brackets is passed over. */
static struct ptype *read_unknown(struct reader *r, const char *name)
{
    struct ptype *t = new_type(PT_UNKNOWN);
    int depth = 0;

    strv_push(&t->words, name);
    blanks(r);
    if (*r->s != '[')
        return t;
    do {
        if (*r->s == '\'' || *r->s == '"') {
            free(read_word(r));
            continue;
        }
        depth += *r->s == '[' ? 1 : *r->s == ']' ? -1 : 0;
        r->s += *r->s != '\0';
    } while (depth > 0 && *r->s);
    if (!depth)
        return t;
    wrong(r, "a ']' is missing");
    ptype_free(t);
    return NULL;
}

/* Nothing where the name is nearly a known one, or none of a module: it is a mistake. */
static struct ptype *unknown(struct reader *r, const char *name)
{
    const char **names, *near;
    char what[200];
    size_t n = ARRAY_LEN(rows);

    while (ptype_alias_at(n - ARRAY_LEN(rows)))
        n++;
    names = x_array(NULL, n, sizeof *names);
    for (size_t i = 0; i < n; i++)
        names[i] = i < ARRAY_LEN(rows) ? rows[i].name : ptype_alias_at(i - ARRAY_LEN(rows));
    near = suggest_nearest(name, names, n);
    free(names);
    if (!near && strstr(name, "::"))
        return read_unknown(r, name);
    r->s -= strlen(name);
    snprintf(what, sizeof what, "the type %.80s is not known here%s%s%s", name,
             near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
    wrong(r, what);
    return NULL;
}

/* *alias is set where the name is that of another type, *other where it is a module's own. */
static const struct row *read_name(struct reader *r, const struct ptype_alias **alias,
                                   struct ptype **other)
{
    const char *start = r->s;
    const struct row *row = NULL;
    char *name;

    while (isalnum((unsigned char) *r->s) || *r->s == '_' || *r->s == ':')
        r->s++;
    if (r->s == start) {
        wrong(r, "a type is missing");
        return NULL;
    }
    name = x_strndup(start, (size_t) (r->s - start));
    for (size_t i = 0; i < ARRAY_LEN(rows) && !row; i++)
        row = strcmp(rows[i].name, name) ? NULL : &rows[i];
    *alias = row ? NULL : ptype_alias(name);
    if (!row && !*alias)
        *other = unknown(r, name);
    free(name);
    return row;
}

static struct ptype *read_alias(struct reader *r, const struct ptype_alias *alias)
{
    struct reader of = {.text = alias->text, .s = alias->text, .e = r->e, .depth = r->depth};
    struct ptype *t;

    if (take(r, '[')) {
        wrong(r, "this type takes nothing in brackets here");
        return NULL;
    }
    t = alias->text ? read_type(&of) : new_type(PT_ADDRESS);
    if (t && alias->says)
        t->says = alias->says;
    if (t)
        t->address = alias->address;
    return t;
}

static struct ptype *read_type(struct reader *r)
{
    const struct row *row = NULL;
    const struct ptype_alias *alias = NULL;
    struct ptype *t = NULL;

    blanks(r);
    if (++r->depth > DEPTH_MAX)
        wrong(r, "the type is nested too deep");
    else
        row = read_name(r, &alias, &t);
    if (alias) {
        t = read_alias(r, alias);
    } else if (row) {
        int rc = 0;

        t = new_type(row->kind);
        if (take(r, '['))
            rc = read_inside(r, t, row);
        else if (row->needs)
            rc = wrong(r, "a '[' with what it may be is missing");
        if (rc) {
            ptype_free(t);
            t = NULL;
        }
    }
    r->depth--;
    return t;
}

struct ptype *ptype_parse(const char *text, struct err *e)
{
    struct reader r = {.text = text, .s = text, .e = e};
    struct ptype *t;

    if (strlen(text) > TEXT_MAX) {
        err_set(e, ERR_VALIDATION, "a type is longer than 16 KiB");
        return NULL;
    }
    t = read_type(&r);
    blanks(&r);
    if (t && *r.s) {
        wrong(&r, "something follows the end of the type");
        ptype_free(t);
        t = NULL;
    }
    return t;
}
