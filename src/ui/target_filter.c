/* SPDX-License-Identifier: Apache-2.0 */
/* The filter of the target tree: parsing its words, and asking them about nodes. */
#include "target_filter.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/text.h"
#include "muster/core/fleet.h"
#include "muster/core/nodeset.h"
#include "muster/core/target.h"

#include <ctype.h>
#include <regex.h>
#include <string.h>

enum term_kind { TERM_PART, TERM_AFFIX, TERM_REGEX, TERM_MASK, TERM_SOURCE, TERM_VAR, TERM_SEL };
enum var_op { VAR_EQUAL, VAR_DIFFERS, VAR_REGEX };

struct term {
    enum term_kind kind;
    bool negate;
    bool or_before;     /* a `|` stands before it: a new alternative starts */
    bool at_start, at_end, fold;
    char *text;         /* PART, AFFIX, VAR: the value */
    char *name;         /* VAR: its name */
    enum var_op op;
    regex_t re;
    bool has_re;
    uint8_t *mask;      /* MASK: a byte a node */
    uint32_t sources;
};

struct target_filter {
    struct term *terms;
    size_t n, cap;
};

static void term_clear(struct term *t)
{
    free(t->text);
    free(t->name);
    free(t->mask);
    if (t->has_re)
        regfree(&t->re);
}

void target_filter_free(struct target_filter *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++)
        term_clear(&t->terms[i]);
    free(t->terms);
    free(t);
}

bool target_filter_any(const struct target_filter *t)
{
    return t->n == 0;
}

bool target_filter_uses_selection(const struct target_filter *t)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->terms[i].kind == TERM_SEL)
            return true;
    return false;
}

static bool no_capitals(const char *s)
{
    for (; *s; s++)
        if (isupper((unsigned char) *s))
            return false;
    return true;
}

static int compile(struct term *t, const char *re, struct err *e)
{
    int flags = REG_EXTENDED | REG_NOSUB | (no_capitals(re) ? REG_ICASE : 0);
    int rc = regcomp(&t->re, re, flags);
    if (rc != 0) {
        char why[128];
        regerror(rc, &t->re, why, sizeof why);
        return err_set(e, ERR_VALIDATION, "/%s/: %s", re, why);
    }
    t->has_re = true;
    return 0;
}

static int parse_group(struct term *t, const struct fleet *f, const char *name, struct err *e)
{
    bool found = false;
    if (!*name)
        return err_set(e, ERR_VALIDATION, "a group's name is missing after @");
    t->kind = TERM_MASK;
    t->mask = x_calloc(f->n_nodes + 1, 1);
    for (size_t g = 0; g < f->n_groups; g++) {
        const struct fleet_group *grp = &f->groups[g];
        if (strcmp(grp->name, name) != 0 && !target_glob(name, grp->name))
            continue;
        found = true;
        for (size_t i = 0; i < grp->n_all; i++)
            t->mask[grp->all[i]] = 1;
    }
    return found ? 0 : err_set(e, ERR_VALIDATION, "no group %s", name);
}

static void take_mask(struct term *t, const struct fleet *f, const struct nodeset *set)
{
    t->kind = TERM_MASK;
    t->mask = x_calloc(f->n_nodes + 1, 1);
    for (size_t i = 0; i < f->n_nodes; i++)
        t->mask[i] = nodeset_has(set, f->nodes[i].name);
}

static int parse_nodeset(struct term *t, const struct fleet *f, const char *text, struct err *e)
{
    struct nodeset *set = nodeset_new();
    int rc = nodeset_expand(set, text, e);
    if (rc == 0)
        take_mask(t, f, set);
    nodeset_free(set);
    return rc;
}

static int parse_fact(struct term *t, const struct fleet *f, const struct filter_facts *facts,
                      const char *word, struct err *e)
{
    struct nodeset *set = nodeset_new();
    int rc = facts->match(facts->ctx, word, set, e);
    if (rc == 0)
        take_mask(t, f, set);
    nodeset_free(set);
    return rc;
}

static int parse_source(struct term *t, const struct fleet *f, const char *name, struct err *e)
{
    t->kind = TERM_SOURCE;
    if (!*name)
        return err_set(e, ERR_VALIDATION, "a source is missing after source:");
    for (size_t i = 0; i < f->n_sources; i++) {
        const struct fleet_source *s = &f->sources[i];
        if (strcmp(s->type, name) == 0 || (s->path && text_find(s->path, name)))
            t->sources |= UINT32_C(1) << (i < 31 ? i : 31);
    }
    return t->sources ? 0 : err_set(e, ERR_VALIDATION, "no source %s", name);
}

static bool fleet_has_var(const struct fleet *f, const char *name)
{
    for (size_t i = 0; i < f->n_nodes; i++)
        for (size_t k = 0; k < f->nodes[i].n_vars; k++)
            if (strcmp(f->nodes[i].vars[k].name, name) == 0)
                return true;
    return false;
}

/* name=value, name!=value, name~regex. Returns 1 when it is none of these. */
static int parse_var(struct term *t, const struct fleet *f, const struct filter_facts *facts,
                     const char *word, struct err *e)
{
    size_t n = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
    const char *op = word + n;
    if (n == 0 || (*op != '=' && *op != '~' && strncmp(op, "!=", 2) != 0))
        return 1;
    t->kind = TERM_VAR;
    t->op = *op == '=' ? VAR_EQUAL : *op == '~' ? VAR_REGEX : VAR_DIFFERS;
    t->name = x_strndup(word, n);
    t->text = x_strdup(op + (t->op == VAR_DIFFERS ? 2 : 1));
    if (!*t->text)
        return err_set(e, ERR_VALIDATION, "a value is missing after %s", word);
    if (!fleet_has_var(f, t->name) && facts)
        return parse_fact(t, f, facts, word, e);
    if (!fleet_has_var(f, t->name))
        return err_set(e, ERR_VALIDATION, "no node has a variable %s", t->name);
    return t->op == VAR_REGEX ? compile(t, t->text, e) : 0;
}

static int parse_plain(struct term *t, const char *word, struct err *e)
{
    size_t n = strlen(word);
    if (*word == '\'') {
        t->kind = TERM_AFFIX;
        t->at_start = t->at_end = true;
        word++;
        n--;
    } else {
        t->at_start = *word == '^';
        t->at_end = n > (size_t) t->at_start && word[n - 1] == '$';
        word += t->at_start;
        n -= (size_t) t->at_start + t->at_end;
        t->kind = t->at_start || t->at_end ? TERM_AFFIX : TERM_PART;
    }
    if (n == 0)
        return err_set(e, ERR_VALIDATION, "unfinished");
    t->text = x_strndup(word, n);
    t->fold = no_capitals(t->text);
    return 0;
}

static int parse_word(struct term *t, const struct fleet *f, const struct filter_facts *facts,
                      const char *word, struct err *e)
{
    size_t n;
    int rc;
    if (*word == '!') {
        t->negate = true;
        word++;
    }
    n = strlen(word);
    if (n == 0)
        return err_set(e, ERR_VALIDATION, "a word is missing after !");
    if (*word == '@')
        return parse_group(t, f, word + 1, e);
    if (*word == '/') {
        if (n < 3 || word[n - 1] != '/')
            return err_set(e, ERR_VALIDATION, "the regular expression has no closing /");
        CLEANUP_FREE char *re = x_strndup(word + 1, n - 2);
        t->kind = TERM_REGEX;
        return compile(t, re, e);
    }
    if (strncmp(word, "source:", 7) == 0)
        return parse_source(t, f, word + 7, e);
    if (strcmp(word, "sel:") == 0) {
        t->kind = TERM_SEL;
        return 0;
    }
    rc = parse_var(t, f, facts, word, e);
    if (rc != 1)
        return rc;
    if (strchr(word, '['))
        return parse_nodeset(t, f, word, e);
    return parse_plain(t, word, e);
}

/* The length of the word at s: to the next space or `|` outside brackets and /../. */
static size_t word_length(const char *s)
{
    size_t i = *s == '!' ? 1 : 0;
    if (s[i] == '/') {
        for (i++; s[i] && s[i] != '/'; i++)
            if (s[i] == '\\' && s[i + 1])
                i++;
        return s[i] ? i + 1 : i;
    }
    bool regex = false;
    for (int depth = 0; s[i]; i++) {
        regex = regex || s[i] == '~';
        depth += s[i] == '[' ? 1 : s[i] == ']' ? -1 : 0;
        if (s[i] == ' ' && depth <= 0)
            break;
        if (s[i] == '|' && depth <= 0 && !regex)
            break;
    }
    return i;
}

struct target_filter *target_filter_new(const struct fleet *f, const struct filter_facts *facts,
                                        const char *text, struct err *e)
{
    struct target_filter *t = x_calloc(1, sizeof *t);
    bool or_before = false;
    for (;;) {
        while (*text == ' ')
            text++;
        if (*text == '|') {
            if (t->n == 0 || or_before) {
                err_set(e, ERR_VALIDATION, "a word is missing before |");
                goto fail;
            }
            or_before = true;
            text++;
            continue;
        }
        if (!*text)
            break;
        size_t n = word_length(text);
        CLEANUP_FREE char *word = x_strndup(text, n);
        X_GROW(t->terms, t->cap, t->n + 1);
        struct term *term = &t->terms[t->n++];
        memset(term, 0, sizeof *term);
        term->or_before = or_before;
        or_before = false;
        if (parse_word(term, f, facts, word, e) != 0)
            goto fail;
        text += n;
    }
    if (!or_before)
        return t;
    err_set(e, ERR_VALIDATION, "a word is missing after |");
fail:
    target_filter_free(t);
    return NULL;
}

static bool affix(const struct term *t, const char *name)
{
    size_t n = strlen(name), m = strlen(t->text);
    int (*cmp)(const char *, const char *, size_t) = t->fold ? strncasecmp : strncmp;
    if (m > n || (t->at_start && t->at_end && m != n))
        return false;
    if (t->at_start && cmp(name, t->text, m) != 0)
        return false;
    return !t->at_end || cmp(name + n - m, t->text, m) == 0;
}

static bool var_matches(const struct term *t, const struct fleet_node *node)
{
    for (size_t i = 0; i < node->n_vars; i++) {
        const char *value = node->vars[i].value;
        if (strcmp(node->vars[i].name, t->name) != 0)
            continue;
        if (t->op == VAR_REGEX)
            return regexec(&t->re, value, 0, NULL, 0) == 0;
        bool equal = strcmp(value, t->text) == 0 || target_glob(t->text, value);
        return equal == (t->op == VAR_EQUAL);
    }
    return t->op == VAR_DIFFERS;
}

static bool term_matches(const struct term *t, const struct fleet *f, size_t i, bool picked)
{
    const struct fleet_node *node = &f->nodes[i];
    switch (t->kind) {
    case TERM_PART:
        return text_find(node->name, t->text) != NULL;
    case TERM_AFFIX:
        return affix(t, node->name);
    case TERM_REGEX:
        return regexec(&t->re, node->name, 0, NULL, 0) == 0;
    case TERM_MASK:
        return t->mask[i] != 0;
    case TERM_SOURCE:
        return (node->sources & t->sources) != 0;
    case TERM_VAR:
        return var_matches(t, node);
    default:
        return picked;
    }
}

size_t target_filter_run(const struct target_filter *t, const struct fleet *f,
                         const uint8_t *picked, uint8_t *on)
{
    size_t count = 0;
    for (size_t i = 0; i < f->n_nodes; i++) {
        bool all = true, any = t->n == 0;
        for (size_t k = 0; k < t->n && !any; k++) {
            const struct term *term = &t->terms[k];
            if (term->or_before) {
                any = all;
                all = true;
            }
            if (!any && all)
                all = term_matches(term, f, i, picked[i] != 0) != term->negate;
        }
        on[i] = any || all;
        count += on[i];
    }
    return count;
}
