/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions of a Pattern type: Ruby's notation, matched by POSIX's regcomp().
 *
 * ^ and $ match at the ends of the whole text only, which is stricter than Ruby's lines and never looser. */
#include "ptype.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"

#include <ctype.h>
#include <string.h>

#define PATTERN_MAX 2000      /* LIMIT: bytes */
#define GROUPS_MAX 50         /* LIMIT: in each other */
#define REPEATS_MAX 100000L   /* LIMIT: of all {n,m} multiplied, for regcomp() writes them out */

enum { ANY_CASE = 1, DOT_IS_ALL = 2 }; /* (?i:..), (?m:..) */

struct translator {
    const char *s;
    unsigned flags;
    unsigned outer[GROUPS_MAX]; /* the flags around each group that is open */
    size_t depth;
    struct strbuf out;
    long repeats;
    const char *wrong;
};

static const char *class_of(char c)
{
    switch (c) {
    case 'd':
        return "0-9";
    case 'h':
        return "0-9A-Fa-f";
    case 'w':
        return "A-Za-z0-9_";
    case 's':
        return " \t\n\v\f\r";
    default:
        return NULL;
    }
}

static char control_of(char c)
{
    static const char from[] = "ntrfve", to[] = "\n\t\r\f\v\033";
    const char *at = c ? strchr(from, c) : NULL;

    return at ? to[at - from] : '\0';
}

/* After a backslash outside of brackets; s is on the letter. */
static void escape(struct translator *t)
{
    char c = *t->s++;
    const char *set = class_of((char) tolower((unsigned char) c));

    if (set) {
        strbuf_adds(&t->out, isupper((unsigned char) c) ? "[^" : "[");
        strbuf_adds(&t->out, set);
        strbuf_addch(&t->out, ']');
    } else if (c == 'A') {
        strbuf_addch(&t->out, '^');
    } else if (c == 'z' || c == 'Z') {
        strbuf_addch(&t->out, '$');
    } else if (c == 'b' || c == 'B') {
        strbuf_addf(&t->out, "\\%c", c);
    } else if (control_of(c)) {
        strbuf_addch(&t->out, control_of(c));
    } else if (isalnum((unsigned char) c) || !c) {
        t->wrong = c ? "an escape like \\1, \\p or \\G" : "a backslash at the end";
        t->s -= !c;
    } else {
        if (strchr(".[]{}()*+?|^$\\", c))
            strbuf_addch(&t->out, '\\');
        strbuf_addch(&t->out, c);
    }
}

/* A set in brackets as it is read. POSIX has no escapes in one, but a place for each special one. */
struct set {
    struct strbuf b; /* the others */
    bool close, dash, caret;
};

/* s is behind the backslash. */
static void set_escape(struct translator *t, struct set *set)
{
    char c = *t->s ? *t->s++ : '\0';
    const char *class = class_of(c);

    if (class)
        strbuf_adds(&set->b, class);
    else if (control_of(c))
        strbuf_addch(&set->b, control_of(c));
    else if (isalnum((unsigned char) c) || !c)
        t->wrong = "an escape like \\p, \\W or \\x in a set";
    else if (c == ']')
        set->close = true;
    else if (c == '-')
        set->dash = true;
    else if (c == '^' && !set->b.len)
        set->caret = true;
    else
        strbuf_addch(&set->b, c);
}

/* [:alpha:], where s is behind its '['; any other set within is not known. */
static void set_class(struct translator *t, struct set *set)
{
    const char *end = *t->s == ':' ? strstr(t->s, ":]") : NULL;

    if (!end) {
        t->wrong = *t->s == ':' ? "a set that does not end" : "a set within a set";
        return;
    }
    strbuf_addch(&set->b, '[');
    strbuf_add(&set->b, t->s, (size_t) (end + 2 - t->s));
    t->s = end + 2;
}

static char other_case(char c)
{
    return (char) (islower((unsigned char) c) ? toupper((unsigned char) c)
                                              : tolower((unsigned char) c));
}

/* Adds the letters of the other case: regcomp() knows that only for a whole expression. */
static void set_fold(struct set *set)
{
    CLEANUP_FREE char *had = x_strdup(set->b.s);

    for (const char *s = had; *s; s++) {
        if (strncmp(s, "[:", 2) == 0) {
            if (strncmp(s, "[:lower:]", 9) == 0 || strncmp(s, "[:upper:]", 9) == 0)
                strbuf_adds(&set->b, "[:alpha:]");
            s = strstr(s, ":]") + 1;
        } else if (s[1] == '-' && s[2]) {
            if (isalpha((unsigned char) s[0]) && isalpha((unsigned char) s[2]))
                strbuf_addf(&set->b, "%c-%c", other_case(s[0]), other_case(s[2]));
            s += 2;
        } else if (isalpha((unsigned char) *s)) {
            strbuf_addch(&set->b, other_case(*s));
        }
    }
}

static void set_write(struct translator *t, const struct set *set, bool negated)
{
    bool first = !set->close && !set->b.len && !negated && !set->dash;

    strbuf_adds(&t->out, negated ? "[^" : "[");
    if (set->close)
        strbuf_addch(&t->out, ']');
    if (set->caret && first)
        strbuf_adds(&t->out, "^^"); /* ends up as an error of regcomp(), as would "[^]" */
    strbuf_add(&t->out, set->b.s, set->b.len);
    if (set->caret && !first)
        strbuf_addch(&t->out, '^');
    if (set->dash)
        strbuf_addch(&t->out, '-');
    strbuf_addch(&t->out, ']');
}

/* s is behind the '['. */
static void brackets(struct translator *t)
{
    bool negated = *t->s == '^';
    struct set set = {.close = false};

    t->s += negated;
    strbuf_init(&set.b, 0);
    while (*t->s && *t->s != ']' && !t->wrong) {
        char c = *t->s++;

        if (c == '[')
            set_class(t, &set);
        else if (c == '&' && *t->s == '&')
            t->wrong = "a set within a set";
        else if (c == '\\')
            set_escape(t, &set);
        else if (c == '-' && (!set.b.len || *t->s == ']'))
            set.dash = true;
        else
            strbuf_addch(&set.b, c);
    }
    if (*t->s == ']')
        t->s++;
    else if (!t->wrong)
        t->wrong = "a set that does not end";
    if (t->flags & ANY_CASE && !t->wrong)
        set_fold(&set);
    set_write(t, &set, negated);
    strbuf_free(&set.b);
}

static void group(struct translator *t)
{
    const char *s = t->s;
    unsigned flags = t->flags;
    bool on = true;

    strbuf_addch(&t->out, '(');
    if (t->depth == GROUPS_MAX) {
        t->wrong = "too many groups in each other";
        return;
    }
    t->outer[t->depth++] = t->flags;
    if (*s != '?')
        return;
    for (s++; *s == 'i' || *s == 'm' || *s == '-'; s++) {
        unsigned flag = *s == 'i' ? ANY_CASE : *s == 'm' ? DOT_IS_ALL : 0;
        on &= *s != '-';
        flags = on ? flags | flag : flags & ~flag;
    }
    if (*s == ':')
        t->s = s + 1;
    else
        t->wrong = "(?=..), (?!..), (?<..) or options in the middle";
    t->flags = flags;
}

static void literal(struct translator *t, char c)
{
    if (c == ')' && t->depth > 0)
        t->flags = t->outer[--t->depth];
    if (c == '.')
        strbuf_adds(&t->out, t->flags & DOT_IS_ALL ? "." : "[^\n]");
    else if (t->flags & ANY_CASE && isalpha((unsigned char) c))
        strbuf_addf(&t->out, "[%c%c]", c, other_case(c));
    else
        strbuf_addch(&t->out, c);
}

/* A quantifier, with the '?' of a lazy one dropped: what is matched is the same. */
static void repeat(struct translator *t, char c)
{
    strbuf_addch(&t->out, c);
    if (c == '{') {
        long most = 0;

        while (*t->s && *t->s != '}') {
            char *end;

            if (isdigit((unsigned char) *t->s)) {
                most = strtol(t->s, &end, 10);
                strbuf_add(&t->out, t->s, (size_t) (end - t->s));
                t->s = end;
                if (most > 32767)
                    break;
            } else if (*t->s == ',') {
                if (t->out.s[t->out.len - 1] == '{')
                    strbuf_addch(&t->out, '0'); /* {,3} */
                strbuf_addch(&t->out, *t->s++);
            } else {
                t->wrong = "a '{' that is no {n,m}; write it as \\{";
                return;
            }
        }
        t->repeats *= most > 0 ? most : 1;
        if (*t->s != '}' || t->repeats > REPEATS_MAX) {
            t->wrong = "a {n,m} that is too large or does not end";
            return;
        }
        strbuf_addch(&t->out, *t->s++);
    }
    if (*t->s == '?')
        t->s++;
    else if (*t->s == '+')
        t->wrong = "a possessive quantifier (*+, ++, ?+)";
}

int ptype_regex(const char *ruby, regex_t *out, struct err *e)
{
    struct translator t = {.s = ruby, .repeats = 1};
    int flags = REG_EXTENDED | REG_NOSUB, rc;

    if (strlen(ruby) > PATTERN_MAX)
        return err_set(e, ERR_VALIDATION, "a pattern is longer than %d bytes", PATTERN_MAX);
    if (!strncmp(ruby, "(?i)", 4)) {
        flags |= REG_ICASE;
        t.s += 4;
    }
    strbuf_init(&t.out, 0);
    while (*t.s && !t.wrong) {
        char c = *t.s++;

        if (c == '\\')
            escape(&t);
        else if (c == '[')
            brackets(&t);
        else if (c == '(')
            group(&t);
        else if (strchr("*+?{", c))
            repeat(&t, c);
        else
            literal(&t, c);
    }
    if (t.wrong) {
        strbuf_free(&t.out);
        return err_set(e, ERR_VALIDATION, "the pattern /%.100s/ has what is not known here: %s", ruby,
                       t.wrong);
    }
    rc = regcomp(out, t.out.s, flags);
    strbuf_free(&t.out);
    if (!rc)
        return 0;
    char why[100];
    regerror(rc, NULL, why, sizeof why);
    return err_set(e, ERR_VALIDATION, "the pattern /%.100s/ is none: %s", ruby, why);
}
