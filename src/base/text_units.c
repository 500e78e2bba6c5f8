/* SPDX-License-Identifier: Apache-2.0 */
/* Durations, sizes and counts as text and back; search; quoting for the shell. */
#include "muster/base/text.h"

#include "muster/base/strbuf.h"

#include <stdio.h>
#include <string.h>

char *text_duration(int64_t ms, char *buf)
{
    int64_t s = ms / 1000;

    if (ms < 0)
        snprintf(buf, 24, "-");
    else if (s < 60)
        snprintf(buf, 24, "%d.%ds", (int) s, (int) (ms % 1000 / 100));
    else if (s < 3600)
        snprintf(buf, 24, "%d:%02d", (int) (s / 60), (int) (s % 60));
    else
        snprintf(buf, 24, "%lld:%02d:%02d", (long long) (s / 3600), (int) (s / 60 % 60),
                 (int) (s % 60));
    return buf;
}

char *text_size(uint64_t bytes, char *buf)
{
    static const char units[] = "KMGTPE";
    uint64_t unit = 1024;
    size_t i = 0;
    unsigned tenths;

    if (bytes < 1024) {
        snprintf(buf, 24, "%u B", (unsigned) bytes);
        return buf;
    }
    while (units[i + 1] && bytes / 1024 >= unit) {
        unit *= 1024;
        i++;
    }
    tenths = (unsigned) ((bytes % unit) / (unit / 16) * 10 / 16);
    if (bytes / unit < 10 && tenths)
        snprintf(buf, 24, "%u.%u %ciB", (unsigned) (bytes / unit), tenths, units[i]);
    else
        snprintf(buf, 24, "%u %ciB", (unsigned) (bytes / unit), units[i]);
    return buf;
}

char *text_count(uint64_t n, char *buf)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long) n);
    char *o = buf;

    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            *o++ = ',';
        *o++ = digits[i];
    }
    *o = '\0';
    return buf;
}

/* Decimal digits with an optional fraction, into thousandths; returns what follows, or NULL. */
static const char *parse_milli(const char *s, uint64_t *milli)
{
    const char *start = s;
    uint64_t n = 0, scale = 100;

    for (; *s >= '0' && *s <= '9'; s++) {
        if (n > UINT64_MAX / 100000)
            return NULL;
        n = n * 10 + (uint64_t) (*s - '0');
    }
    if (s == start)
        return NULL;
    n *= 1000;
    if (*s == '.') {
        start = ++s;
        for (; *s >= '0' && *s <= '9'; s++, scale /= 10)
            n += (uint64_t) (*s - '0') * scale;
        if (s == start)
            return NULL;
    }
    *milli = n;
    return s;
}

bool text_parse_size(const char *s, uint64_t *bytes)
{
    static const char units[] = "kmgtKMGT";
    const char *start = s, *unit;
    uint64_t n = 0;
    unsigned shift = 0;

    for (; *s >= '0' && *s <= '9'; s++) {
        if (n > (UINT64_MAX - 9) / 10)
            return false;
        n = n * 10 + (uint64_t) (*s - '0');
    }
    if (s == start)
        return false;
    unit = *s ? strchr(units, *s) : NULL;
    if (unit) {
        shift = (unsigned) ((unit - units) % 4 + 1) * 10;
        s++;
    }
    if (*s || (shift && n > UINT64_MAX >> shift))
        return false;
    *bytes = n << shift;
    return true;
}

bool text_parse_duration(const char *s, int64_t *ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"", 1000}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"ms", 1}};
    const uint64_t max = (uint64_t) 30 * 24 * 3600 * 1000;
    uint64_t milli;
    const char *unit = parse_milli(s, &milli);

    for (size_t i = 0; unit && i < sizeof units / sizeof *units; i++) {
        if (strcmp(unit, units[i].unit))
            continue;
        if (milli / 1000 > max)
            return false;
        milli = milli * units[i].ms / 1000;
        if (milli > max)
            return false;
        *ms = (int64_t) milli;
        return true;
    }
    return false;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char) (c + 32) : c;
}

const char *text_find(const char *hay, const char *needle)
{
    size_t n = strlen(needle);

    for (const char *p = needle; *p; p++) {
        if (*p >= 'A' && *p <= 'Z')
            return strstr(hay, needle);
    }
    for (; n; hay++) {
        size_t i = 0;

        while (i < n && lower(hay[i]) == needle[i])
            i++;
        if (i == n)
            return hay;
        if (!*hay)
            return NULL;
    }
    return hay;
}

void text_sh_quote(struct strbuf *out, const char *s)
{
    strbuf_addch(out, '\'');
    for (; *s; s++) {
        if (*s == '\'')
            strbuf_adds(out, "'\\''");
        else
            strbuf_addch(out, *s);
    }
    strbuf_addch(out, '\'');
}
