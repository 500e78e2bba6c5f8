/* SPDX-License-Identifier: Apache-2.0 */
/* Text for people: UTF-8, width, sanitising (as a property over random bytes), natural order. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"

#include "rnd.h"

#include <stdio.h>
#include <string.h>

static void test_utf8(void **state)
{
    static const char *const good[] = {"a", "\xc2\x80", "\xe0\xa0\x80", "\xed\x9f\xbf",
                                       "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {
        "\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2" "a", "\xe0\x9f\xbf", "\xed\xa0\x80",
        "\xe2\x82", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xfe"};
    uint32_t cp;

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(utf8_decode(good[i], strlen(good[i]), &cp), strlen(good[i]));
        assert_true(utf8_valid(good[i], strlen(good[i])));
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(utf8_decode(bad[i], strlen(bad[i]), &cp), 0);
        assert_false(utf8_valid(bad[i], strlen(bad[i])));
    }
    assert_int_equal(utf8_decode("\xf0\x9f\x98\x80", 4, &cp), 4);
    assert_int_equal(cp, 0x1f600);
    assert_int_equal(utf8_decode("", 0, &cp), 0);
    assert_true(utf8_valid("a\0b", 3));
}

static void test_width(void **state)
{
    assert_int_equal(text_width(""), 0);
    assert_int_equal(text_width("web01"), 5);
    assert_int_equal(text_width("gr\xc3\xbc\xc3\x9f"), 4);
    assert_int_equal(text_width("e\xcc\x81"), 1);          /* a combining accent */
    assert_int_equal(text_width("\xe6\x97\xa5\xe6\x9c\xac"), 4); /* CJK */
    assert_int_equal(text_width("\xf0\x9f\x98\x80"), 2);   /* an emoji */
    assert_int_equal(text_cp_width(0xff21), 2);            /* full-width A */
    assert_int_equal(text_cp_width(0xac00), 2);            /* Hangul */
    assert_int_equal(text_cp_width(0x1160), 0);
    assert_int_equal(text_cp_width(0x20000), 2);
    assert_int_equal(text_cp_width(0x1b), 0);
    assert_int_equal(text_cp_width(0x2500), 1); /* lines of boxes */
    assert_int_equal(text_cp_width(0xe000), 1);
    assert_int_equal(text_nwidth("abc", 2), 2);
}

static void check_clean(const char *in, size_t n, enum text_flags flags, const char *want)
{
    struct strbuf b;

    strbuf_init(&b, 0);
    text_sanitise(&b, in, n, flags);
    assert_string_equal(b.s, want);
    strbuf_free(&b);
}

#define CLEAN(in, flags, want) check_clean(in, sizeof(in) - 1, flags, want)

static void test_sanitise(void **state)
{
    CLEAN("plain text", 0, "plain text");
    CLEAN("\x1b[31mred\x1b[0m", 0, "^[[31mred^[[0m");
    CLEAN("a\0b", 0, "a^@b");
    CLEAN("\x7f", 0, "^?");
    CLEAN("\xc2\x9b" "31m", 0, "<9b>31m");
    CLEAN("one\ntwo", 0, "one^Jtwo");
    CLEAN("one\r\ntwo\r\n", TEXT_KEEP_NL, "one\ntwo\n");
    CLEAN("10%\r20%\n", TEXT_KEEP_NL, "10%^M20%\n");
    CLEAN("one\r\ntwo", 0, "one^M^Jtwo");
    CLEAN("a\tb", 0, "a^Ib");
    CLEAN("a\tb", TEXT_EXPAND_TAB, "a       b");
    CLEAN("1\n\tb", TEXT_KEEP_NL | TEXT_EXPAND_TAB, "1\n        b");
    CLEAN("\xe6\x97\xa5\tb", TEXT_EXPAND_TAB, "\xe6\x97\xa5      b");
    CLEAN("\xe2\x80\xae" "evil", 0, "<U+202E>evil");
    CLEAN("a\xe2\x80\x8d" "b", 0, "a<U+200D>b");
    CLEAN("\xe2\x80\xa8\xe2\x80\xa9", 0, "<U+2028><U+2029>");
    CLEAN("\xef\xbb\xbf" "x", 0, "<U+FEFF>x");
    CLEAN("\xef\xb8\x8f", 0, "<U+FE0F>");
    CLEAN("\xf3\xa0\x81\x81", 0, "<U+E0041>");
    CLEAN("\xff\xc3", 0, "\\xff\\xc3");
    CLEAN("caf\xc3\xa9 e\xcc\x81", 0, "caf\xc3\xa9 e\xcc\x81");
    CLEAN("\xcc\x81x\n\xcc\x81", TEXT_KEEP_NL, "<U+0301>x\n<U+0301>"); /* nothing to sit on */
    CLEAN("^A stays", 0, "^A stays");
}

static void test_clean(void **state)
{
    char *s = text_clean(NULL);

    assert_string_equal(s, "");
    free(s);
    s = text_clean("a\nb");
    assert_string_equal(s, "a^Jb");
    free(s);
}

/* Random bytes, with what is dangerous more often than chance has it. */
static size_t random_text(struct rnd *r, char *buf, size_t max)
{
    static const char *const parts[] = {"\x1b[2J", "\r\n", "\r", "\n", "\t", "\xc2\x9b", "\xcc\x81",
                                        "\xe2\x80\xae", "\xe6\x97\xa5", "\xf0\x9f\x98\x80", "^[",
                                        "\\x1b", "<U+202E>", "abc", "\x7f", "\xf3\xa0\x80\x81"};
    size_t n = 0, want = rnd_below(r, (uint32_t) max - 8);

    while (n < want) {
        const char *part = parts[rnd_below(r, ARRAY_LEN(parts))];

        if (rnd_below(r, 2)) {
            buf[n++] = (char) rnd_next(r);
        } else {
            memcpy(buf + n, part, strlen(part));
            n += strlen(part);
        }
    }
    return n;
}

static void assert_harmless(const struct strbuf *b, enum text_flags flags)
{
    size_t i = 0;

    assert_true(utf8_valid(b->s, b->len));
    while (i < b->len) {
        uint32_t cp = 0;

        i += utf8_decode(b->s + i, b->len - i, &cp);
        if (cp == '\n' && (flags & TEXT_KEEP_NL))
            continue;
        assert_true(cp >= 0x20 && (cp < 0x7f || cp >= 0xa0));
        assert_false((cp >= 0x200b && cp <= 0x200f) || (cp >= 0x2028 && cp <= 0x202e));
        assert_false((cp >= 0x2060 && cp <= 0x206f) || cp == 0xfeff);
        assert_false(cp >= 0xe0000 && cp <= 0xe0fff);
    }
}

static void test_sanitise_property(void **state)
{
    struct rnd r = {7};
    char raw[256];

    for (int round = 0; round < 20000; round++) {
        enum text_flags flags = (enum text_flags) rnd_below(&r, 4);
        size_t n = random_text(&r, raw, sizeof raw);
        struct strbuf once, twice;

        strbuf_init(&once, 0);
        strbuf_init(&twice, 0);
        text_sanitise(&once, raw, n, flags);
        assert_harmless(&once, flags);
        text_sanitise(&twice, once.s, once.len, flags);
        assert_int_equal(once.len, twice.len);
        assert_memory_equal(once.s, twice.s, once.len);
        strbuf_free(&once);
        strbuf_free(&twice);
    }
}

static void check_fit(const char *s, size_t cols, bool pad, const char *want)
{
    struct strbuf b;

    strbuf_init(&b, 0);
    text_fit(&b, s, cols, pad);
    assert_string_equal(b.s, want);
    strbuf_free(&b);
}

static void test_fit(void **state)
{
    check_fit("web01", 5, false, "web01");
    check_fit("web01", 8, true, "web01   ");
    check_fit("web01", 8, false, "web01");
    check_fit("web01", 4, false, "web~");
    check_fit("web01", 1, true, "~");
    check_fit("web01", 0, true, "");
    check_fit("", 3, true, "   ");
    check_fit("\xe6\x97\xa5\xe6\x9c\xac", 4, true, "\xe6\x97\xa5\xe6\x9c\xac");
    check_fit("\xe6\x97\xa5\xe6\x9c\xac", 3, true, "\xe6\x97\xa5~");
    check_fit("\xe6\x97\xa5\xe6\x9c\xac", 2, true, " ~"); /* half a character is no character */
    check_fit("ae\xcc\x81", 2, true, "ae\xcc\x81");
}

static void test_fit_property(void **state)
{
    struct rnd r = {8};
    char raw[64];

    for (int round = 0; round < 5000; round++) {
        size_t cols = rnd_below(&r, 40), n = random_text(&r, raw, sizeof raw);
        struct strbuf clean, fit;

        strbuf_init(&clean, 0);
        strbuf_init(&fit, 0);
        text_sanitise(&clean, raw, n, 0);
        text_fit(&fit, clean.s, cols, true);
        assert_int_equal(text_width(fit.s), cols);
        assert_true(utf8_valid(fit.s, fit.len));
        strbuf_free(&clean);
        strbuf_free(&fit);
    }
}

static void test_natcmp(void **state)
{
    static const char *const sorted[] = {"",     "10",   "a",    "a1b",   "a2",    "a10",  "a10b",
                                         "a010", "web",  "web1", "web1a", "web01", "web2", "web10",
                                         "web99999999999999999999", "web100000000000000000000"};

    for (size_t i = 1; i < ARRAY_LEN(sorted); i++)
        assert_true(text_natcmp(sorted[i - 1], sorted[i]) < 0);
    assert_true(text_natcmp("web2", "web10") < 0);
    assert_true(text_natcmp("web1", "web01") < 0);
    assert_true(text_natcmp("web99999999999999999999", "web100000000000000000000") < 0);
    assert_true(text_natcmp("a", "a1") < 0);
    assert_true(text_natcmp("a10", "a010") < 0);
    assert_true(text_natcmp("1", "a") < 0);
}

static void random_name(struct rnd *r, char *buf)
{
    static const char letters[] = "0019ab-";
    size_t n = rnd_below(r, 7);

    for (size_t i = 0; i < n; i++)
        buf[i] = letters[rnd_below(r, sizeof letters - 1)];
    buf[n] = '\0';
}

static int sign(int n)
{
    return (n > 0) - (n < 0);
}

static void test_natcmp_is_an_order(void **state)
{
    struct rnd r = {9};
    char a[8], b[8], c[8];

    for (int round = 0; round < 200000; round++) {
        random_name(&r, a);
        random_name(&r, b);
        random_name(&r, c);
        assert_int_equal(sign(text_natcmp(a, b)), -sign(text_natcmp(b, a)));
        assert_int_equal(text_natcmp(a, b) == 0, strcmp(a, b) == 0);
        if (text_natcmp(a, b) <= 0 && text_natcmp(b, c) <= 0)
            assert_true(text_natcmp(a, c) <= 0);
    }
}

static void test_units(void **state)
{
    char buf[32];

    assert_string_equal(text_duration(-1, buf), "-");
    assert_string_equal(text_duration(0, buf), "0.0s");
    assert_string_equal(text_duration(449, buf), "0.4s");
    assert_string_equal(text_duration(12399, buf), "12.3s");
    assert_string_equal(text_duration(59999, buf), "59.9s");
    assert_string_equal(text_duration(125000, buf), "2:05");
    assert_string_equal(text_duration(3723000, buf), "1:02:03");
    assert_true(strlen(text_duration(INT64_MAX, buf)) < 24);
    assert_string_equal(text_size(512, buf), "512 B");
    assert_string_equal(text_size(1024, buf), "1 KiB");
    assert_string_equal(text_size(1536, buf), "1.5 KiB");
    assert_string_equal(text_size(10 << 20, buf), "10 MiB");
    assert_string_equal(text_size((1 << 20) - 1, buf), "1023 KiB");
    assert_string_equal(text_size(UINT64_MAX, buf), "15 EiB");
    assert_string_equal(text_count(0, buf), "0");
    assert_string_equal(text_count(999, buf), "999");
    assert_string_equal(text_count(1842, buf), "1,842");
    assert_string_equal(text_count(UINT64_MAX, buf), "18,446,744,073,709,551,615");
}

static void test_parse_size(void **state)
{
    static const char *const bad[] = {"", "k", "1x", "1kk", "-1", " 1", "1 ", "1.5k",
                                      "99999999999999999999", "99999999999G"};
    uint64_t n;

    assert_true(text_parse_size("10", &n) && n == 10);
    assert_true(text_parse_size("10k", &n) && n == 10240);
    assert_true(text_parse_size("10M", &n) && n == 10 << 20);
    assert_true(text_parse_size("1G", &n) && n == 1 << 30);
    assert_true(text_parse_size("0", &n) && n == 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(text_parse_size(bad[i], &n));
}

static void test_parse_duration(void **state)
{
    static const char *const bad[] = {"", "s", "-1", "1d", "1 s", "1.", ".5", "31h5", "721h",
                                      "99999999999999999999", "2592000001ms", "1e3", "nan"};
    int64_t ms;

    assert_true(text_parse_duration("15", &ms) && ms == 15000);
    assert_true(text_parse_duration("15s", &ms) && ms == 15000);
    assert_true(text_parse_duration("2m", &ms) && ms == 120000);
    assert_true(text_parse_duration("1h", &ms) && ms == 3600000);
    assert_true(text_parse_duration("500ms", &ms) && ms == 500);
    assert_true(text_parse_duration("0.25", &ms) && ms == 250);
    assert_true(text_parse_duration("1.5m", &ms) && ms == 90000);
    assert_true(text_parse_duration("0", &ms) && ms == 0);
    assert_true(text_parse_duration("720h", &ms) && ms == 2592000000);
    assert_true(text_parse_duration("2592000000ms", &ms) && ms == 2592000000);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(text_parse_duration(bad[i], &ms));
}

static void test_find(void **state)
{
    const char *hay = "Web01 is OK";

    assert_ptr_equal(text_find(hay, "web"), hay);
    assert_ptr_equal(text_find(hay, "ok"), hay + 9);
    assert_ptr_equal(text_find(hay, "OK"), hay + 9);
    assert_null(text_find(hay, "Ok"));
    assert_null(text_find(hay, "okay"));
    assert_ptr_equal(text_find(hay, ""), hay);
    assert_null(text_find("", "x"));
}

static void test_sh_quote(void **state)
{
    struct strbuf b;

    strbuf_init(&b, 0);
    text_sh_quote(&b, "it's $HOME");
    assert_string_equal(b.s, "'it'\\''s $HOME'");
    strbuf_reset(&b);
    text_sh_quote(&b, "");
    assert_string_equal(b.s, "''");
    strbuf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_width),
        cmocka_unit_test(test_sanitise),
        cmocka_unit_test(test_clean),
        cmocka_unit_test(test_sanitise_property),
        cmocka_unit_test(test_fit),
        cmocka_unit_test(test_fit_property),
        cmocka_unit_test(test_natcmp),
        cmocka_unit_test(test_natcmp_is_an_order),
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_parse_size),
        cmocka_unit_test(test_parse_duration),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_sh_quote),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
