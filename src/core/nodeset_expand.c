/* SPDX-License-Identifier: Apache-2.0 */
/* Writing out range patterns: "web[01-20]", "a[1-2]b[3,5-9/2]". */
#include "muster/core/nodeset.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"

#include <string.h>

#define NAME_LEN_MAX ((size_t) 1024) /* LIMIT: bytes of one name that a pattern may give */
#define DIGITS_MAX 18                /* LIMIT: digits of a number in a range; fits an int64_t */

struct range {
    uint64_t first, step, count;
    int pad; /* digits at least */
};

/* A pattern is pieces in turn: text, then a bracket, then text and so on. */
struct bracket {
    const char *text; /* what stands before it */
    size_t text_len;
    struct range *ranges;
    size_t n, cap;
    uint64_t count; /* numbers of all ranges */
    size_t range;   /* the present one, while names are written */
    uint64_t step;  /* and the place in it */
};

struct pattern {
    struct bracket *brackets;
    size_t n, cap;
    const char *tail; /* text after the last bracket */
};

static void pattern_clear(struct pattern *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->brackets[i].ranges);
    free(p->brackets);
}

/* A number of the range at *s; moves past it. Returns its digits, 0 when there is none or it has
 * too many. */
static int take_number(const char **s, const char *end, uint64_t *n)
{
    const char *start = *s;

    *n = 0;
    while (*s < end && **s >= '0' && **s <= '9') {
        if (*s - start == DIGITS_MAX)
            return 0;
        *n = *n * 10 + (uint64_t) (*(*s)++ - '0');
    }
    return (int) (*s - start);
}

/* Parses "3", "01-20" or "1-9/2". */
static const char *parse_range(const char *s, const char *end, struct range *r)
{
    uint64_t last;
    int digits = take_number(&s, end, &r->first);
    bool zero = digits > 1 && s[-digits] == '0';

    if (!digits)
        return "a range has numbers of at most 18 digits";
    r->pad = zero ? digits : 1;
    r->step = r->count = 1;
    if (s == end)
        return NULL;
    if (*s++ != '-' || !take_number(&s, end, &last))
        return "write a range as FIRST-LAST or FIRST-LAST/STEP";
    if (s < end && (*s++ != '/' || !take_number(&s, end, &r->step) || !r->step))
        return "write the step of a range as /NUMBER, above 0";
    if (s != end)
        return "write a range as FIRST-LAST or FIRST-LAST/STEP";
    if (last < r->first)
        return "a range must not run backwards";
    r->count = (last - r->first) / r->step + 1;
    return NULL;
}

static const char *parse_bracket(const char *s, const char *end, struct bracket *b)
{
    if (s == end)
        return "the brackets are empty";
    for (;;) {
        const char *comma = memchr(s, ',', (size_t) (end - s));
        const char *stop = comma ? comma : end, *wrong;
        struct range r;

        wrong = parse_range(s, stop, &r);
        if (wrong)
            return wrong;
        X_GROW(b->ranges, b->cap, b->n + 1);
        b->ranges[b->n++] = r;
        b->count += r.count;
        if (!comma)
            return NULL;
        s = comma + 1;
    }
}

/* Returns what is wrong, or NULL. */
static const char *parse_pattern(const char *s, struct pattern *p)
{
    const char *text = s;

    while (*s) {
        struct bracket *b;
        const char *close, *wrong;

        if (*s == ']')
            return "a ']' has no '['";
        if (*s++ != '[')
            continue;
        close = s + strcspn(s, "[]");
        if (*close != ']')
            return "a '[' has no ']'";
        if (memchr(s, ':', (size_t) (close - s))) { /* an IPv6 address stands for itself */
            s = close + 1;
            continue;
        }
        X_GROW(p->brackets, p->cap, p->n + 1);
        b = &p->brackets[p->n++];
        *b = (struct bracket) {.text = text, .text_len = (size_t) (s - 1 - text)};
        wrong = parse_bracket(s, close, b);
        if (wrong)
            return wrong;
        text = s = close + 1;
    }
    p->tail = text;
    return NULL;
}

static const char *check_size(const struct pattern *p)
{
    size_t len = strlen(p->tail);
    uint64_t names = 1;

    for (size_t i = 0; i < p->n; i++) {
        len += p->brackets[i].text_len + DIGITS_MAX;
        if (p->brackets[i].count > NODESET_MAX / names)
            return "it gives more than 1,000,000 names";
        names *= p->brackets[i].count;
    }
    if (!len)
        return "a name is empty";
    return len > NAME_LEN_MAX ? "a name is longer than 1,024 bytes" : NULL;
}

static void write_name(struct strbuf *out, const struct pattern *p)
{
    strbuf_reset(out);
    for (size_t i = 0; i < p->n; i++) {
        const struct bracket *b = &p->brackets[i];
        const struct range *r = &b->ranges[b->range];

        strbuf_add(out, b->text, b->text_len);
        strbuf_addf(out, "%0*llu", r->pad, (unsigned long long) (r->first + b->step * r->step));
    }
    strbuf_adds(out, p->tail);
}

/* To the next name, the last bracket fastest; false after the last. */
static bool advance(struct pattern *p)
{
    for (size_t i = p->n; i-- > 0;) {
        struct bracket *b = &p->brackets[i];

        if (++b->step < b->ranges[b->range].count)
            return true;
        b->step = 0;
        if (++b->range < b->n)
            return true;
        b->range = 0;
    }
    return false;
}

int nodeset_expand(struct nodeset *s, const char *pattern, struct err *e)
{
    struct pattern p = {0};
    const char *wrong = parse_pattern(pattern, &p);
    struct strbuf name;

    if (!wrong)
        wrong = check_size(&p);
    if (wrong) {
        pattern_clear(&p);
        return err_set(e, ERR_VALIDATION, "node name \"%.200s\": %s", pattern, wrong);
    }
    strbuf_init(&name, 0);
    do {
        write_name(&name, &p);
        nodeset_add(s, name.s);
    } while (advance(&p));
    strbuf_free(&name);
    pattern_clear(&p);
    return 0;
}
