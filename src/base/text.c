/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8, width, making remote bytes harmless, cutting to columns, natural order. */
#include "muster/base/text.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"

#include <stdio.h>
#include <string.h>

size_t utf8_decode(const char *s, size_t n, uint32_t *cp)
{
    const unsigned char *p = (const unsigned char *) s;
    uint32_t c, least;
    size_t len;

    if (!n)
        return 0;
    if (p[0] < 0x80) {
        *cp = p[0];
        return 1;
    }
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        len = 2;
        c = p[0] & 0x1f;
        least = 0x80;
    } else if ((p[0] & 0xf0) == 0xe0) {
        len = 3;
        c = p[0] & 0x0f;
        least = 0x800;
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        len = 4;
        c = p[0] & 0x07;
        least = 0x10000;
    } else {
        return 0;
    }
    if (n < len)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *cp = c;
    return len;
}

bool utf8_valid(const void *p, size_t n)
{
    const char *s = p;
    uint32_t cp;

    while (n) {
        size_t len = (unsigned char) *s < 0x80 ? 1 : utf8_decode(s, n, &cp);

        if (!len)
            return false;
        s += len;
        n -= len;
    }
    return true;
}

size_t text_nwidth(const char *s, size_t n)
{
    size_t cols = 0;

    while (n) {
        uint32_t cp = 0;
        size_t len = utf8_decode(s, n, &cp);

        /* An invalid byte cannot be in sanitised text; elsewhere a terminal shows one cell. */
        cols += len ? (size_t) text_cp_width(cp) : 1;
        len += !len;
        s += len;
        n -= len;
    }
    return cols;
}

size_t text_width(const char *s)
{
    return text_nwidth(s, strlen(s));
}

/* What a terminal acts on, or what nobody can see: bidi controls, zero-width characters, invisible
 * fillers, variation selectors, tags, line and paragraph separators, non-characters. */
static bool must_be_named(uint32_t cp)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x00ad, 0x00ad},   {0x034f, 0x034f},   {0x061c, 0x061c},   {0x115f, 0x1160},
        {0x17b4, 0x17b5},   {0x180b, 0x180f},   {0x200b, 0x200f},   {0x2028, 0x202e},
        {0x2060, 0x206f},   {0x3164, 0x3164},   {0xfdd0, 0xfdef},   {0xfe00, 0xfe0f},
        {0xfeff, 0xfeff},   {0xffa0, 0xffa0},   {0xfff0, 0xfffb},   {0x13430, 0x1343f},
        {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
    };

    if (cp < 0xad)
        return false;
    if ((cp & 0xfffe) == 0xfffe)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        if (cp <= ranges[i].last)
            return cp >= ranges[i].first;
    }
    return false;
}

bool text_is_hidden(uint32_t cp)
{
    return cp < ' ' || (cp >= 0x7f && cp < 0xa0) || must_be_named(cp);
}

struct cleaner {
    struct strbuf *out;
    enum text_flags flags;
    size_t col;    /* columns since the last newline */
    bool at_start; /* nothing stands before on this line for a combining mark to sit on */
};

static void put(struct cleaner *c, const char *s, size_t n)
{
    strbuf_add(c->out, s, n);
    c->col += n;
    c->at_start = false;
}

/* A code point by its name: "<9b>", "<U+202E>"; an invalid byte as "\xff". */
static void put_named(struct cleaner *c, uint32_t cp, bool valid)
{
    char name[16];
    int n;

    if (!valid)
        n = snprintf(name, sizeof name, "\\x%02x", (unsigned) cp);
    else if (cp < 0xa0)
        n = snprintf(name, sizeof name, "<%02x>", (unsigned) cp);
    else
        n = snprintf(name, sizeof name, "<U+%04X>", (unsigned) cp);
    put(c, name, (size_t) n);
}

static void put_control(struct cleaner *c, const char *s, size_t left)
{
    unsigned char ch = (unsigned char) *s;
    char caret[2] = {'^', (char) (ch ^ 0x40)};

    if (ch == '\n' && (c->flags & TEXT_KEEP_NL)) {
        strbuf_addch(c->out, '\n');
        c->col = 0;
        c->at_start = true;
    } else if (ch == '\r' && (c->flags & TEXT_KEEP_NL) && left > 1 && s[1] == '\n') {
        return;
    } else if (ch == '\t' && (c->flags & TEXT_EXPAND_TAB)) {
        put(c, "        ", 8 - c->col % 8);
    } else {
        put(c, caret, 2);
    }
}

static void put_char(struct cleaner *c, const char *s, size_t len, uint32_t cp)
{
    int width = text_cp_width(cp);

    if (cp < 0xa0 || must_be_named(cp) || (!width && c->at_start)) {
        put_named(c, cp, true);
    } else {
        strbuf_add(c->out, s, len);
        c->col += (size_t) width;
        c->at_start = false;
    }
}

void text_sanitise(struct strbuf *out, const void *p, size_t n, enum text_flags flags)
{
    struct cleaner c = {out, flags, 0, true};
    const char *s = p, *end = s + n;

    while (s < end) {
        const char *run = s;
        uint32_t cp;
        size_t len;

        while (s < end && *s >= ' ' && *s < 0x7f)
            s++;
        if (s > run)
            put(&c, run, (size_t) (s - run));
        if (s == end)
            break;
        if ((unsigned char) *s < 0x80) {
            put_control(&c, s, (size_t) (end - s));
            s++;
            continue;
        }
        len = utf8_decode(s, (size_t) (end - s), &cp);
        if (len) {
            put_char(&c, s, len, cp);
            s += len;
        } else {
            put_named(&c, (unsigned char) *s, false);
            s++;
        }
    }
}

char *text_clean(const char *s)
{
    struct strbuf out;

    strbuf_init(&out, 0);
    if (s)
        text_sanitise(&out, s, strlen(s), 0);
    return strbuf_steal(&out);
}

static void add_spaces(struct strbuf *out, size_t n)
{
    static const char spaces[] = "                                ";

    while (n) {
        size_t part = n < sizeof spaces - 1 ? n : sizeof spaces - 1;

        strbuf_add(out, spaces, part);
        n -= part;
    }
}

void text_fit(struct strbuf *out, const char *s, size_t cols, bool pad)
{
    size_t len = strlen(s), col = 0, i = 0;
    size_t keep = 0, keep_col = 0; /* what stays when '~' must follow */

    while (i < len) {
        uint32_t cp = 0;
        size_t step = utf8_decode(s + i, len - i, &cp);
        size_t width = step ? (size_t) text_cp_width(cp) : 1;

        step += !step;
        if (col + width > cols) {
            if (!cols)
                return;
            strbuf_add(out, s, keep);
            add_spaces(out, cols - 1 - keep_col);
            strbuf_addch(out, '~');
            return;
        }
        i += step;
        col += width;
        if (col < cols) {
            keep = i;
            keep_col = col;
        }
    }
    strbuf_add(out, s, len);
    if (pad)
        add_spaces(out, cols - col);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Compares two runs of digits as numbers of any length and moves past them. */
static int compare_numbers(const char **a, const char **b)
{
    const char *x = *a, *y = *b, *x1, *y1;
    size_t zeros_x, zeros_y;
    int order;

    while (*x == '0')
        x++;
    while (*y == '0')
        y++;
    zeros_x = (size_t) (x - *a);
    zeros_y = (size_t) (y - *b);
    for (x1 = x; is_digit(*x1); x1++)
        ;
    for (y1 = y; is_digit(*y1); y1++)
        ;
    *a = x1;
    *b = y1;
    if (x1 - x != y1 - y)
        return x1 - x < y1 - y ? -1 : 1;
    order = memcmp(x, y, (size_t) (x1 - x));
    if (order)
        return order;
    return zeros_x < zeros_y ? -1 : zeros_x > zeros_y;
}

int text_natcmp(const char *a, const char *b)
{
    for (;;) {
        if (is_digit(*a) && is_digit(*b)) {
            int order = compare_numbers(&a, &b);

            if (order)
                return order;
        } else if (*a != *b) {
            return (unsigned char) *a < (unsigned char) *b ? -1 : 1;
        } else if (!*a) {
            return 0;
        } else {
            a++;
            b++;
        }
    }
}

void text_login_quote(struct strbuf *out, const char *s)
{
    strbuf_addch(out, '\'');
    while (*s) {
        size_t plain = strcspn(s, "'\\!");
        strbuf_add(out, s, plain);
        s += plain;
        if (!*s)
            break;
        strbuf_addch(out, '\'');
        for (; *s && strchr("'\\!", *s); s++) {
            strbuf_addch(out, '\\');
            strbuf_addch(out, *s);
        }
        strbuf_addch(out, '\'');
    }
    strbuf_addch(out, '\'');
}
