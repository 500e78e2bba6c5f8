/* SPDX-License-Identifier: Apache-2.0 */
/* Node sets: ranges, algebra, folding; and that folding and expanding are each other's inverse. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/nodeset.h"

#include "../base/rnd.h"

#include <stdio.h>
#include <string.h>

/* A set of comma-separated patterns. */
static struct nodeset *make(const char *patterns)
{
    struct nodeset *s = nodeset_new();
    int depth = 0;
    char one[4096];
    size_t n = 0;

    for (const char *p = patterns;; p++) {
        depth += *p == '[' ? 1 : *p == ']' ? -1 : 0;
        if (*p && (*p != ',' || depth)) {
            one[n++] = *p;
            assert_true(n < sizeof one);
            continue;
        }
        one[n] = '\0';
        if (n)
            assert_int_equal(nodeset_expand(s, one, NULL), 0);
        n = 0;
        if (!*p)
            return s;
    }
}

static void check_names(const struct nodeset *s, const char *want)
{
    struct strbuf b;

    strbuf_init(&b, 0);
    for (size_t i = 0; i < nodeset_count(s); i++)
        strbuf_addf(&b, "%s%s", i ? " " : "", nodeset_at(s, i));
    assert_string_equal(b.s, want);
    strbuf_free(&b);
}

static void check_expand(const char *pattern, const char *want)
{
    struct nodeset *s = make(pattern);

    check_names(s, want);
    nodeset_free(s);
}

static void test_expand(void **state)
{
    check_expand("web1", "web1");
    check_expand("web[1-3]", "web1 web2 web3");
    check_expand("web[08-11]", "web08 web09 web10 web11");
    check_expand("web[098-101]x", "web098x web099x web100x web101x");
    check_expand("web[98-101]", "web98 web99 web100 web101");
    check_expand("n[1-9/4,12]", "n1 n5 n9 n12");
    check_expand("a[1-2]b[3,5]", "a1b3 a1b5 a2b3 a2b5");
    check_expand("[1-2]", "1 2");
    check_expand("n[0-1]", "n0 n1");
    check_expand("n[00-1]", "n00 n01");
    check_expand("n[1,01,1]", "n1 n01");
    check_expand("[::1]", "[::1]");
    check_expand("[fe80::1]x[1-2]", "[fe80::1]x1 [fe80::1]x2");
    check_expand("web3,web[1-3]", "web3 web1 web2");
}

static void test_expand_refuses(void **state)
{
    static const char *const bad[] = {
        "", "web[", "web[1", "web]", "web[]", "web[3-1]", "web[1-]", "web[-1]", "web[1-3/0]",
        "web[1-3/]", "web[1,]", "web[,1]", "web[a-b]", "web[1-2-3]", "web[[1-2]]", "web[1-1000001]",
        "a[1-1001]b[1-1000]", "n[1-9999999999999999999]", "n[0-18446744073709551615]", "n[1 -2]",
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct nodeset *s = make("kept");
        struct err e = ERR_INIT;

        assert_int_equal(nodeset_expand(s, bad[i], &e), -ERR_VALIDATION);
        assert_non_null(strstr(e.msg, bad[i]));
        check_names(s, "kept");
        err_clear(&e);
        nodeset_free(s);
    }
}

static void test_expand_long_name(void **state)
{
    char name[1100];
    struct nodeset *s = nodeset_new();
    struct err e = ERR_INIT;

    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_int_equal(nodeset_expand(s, name, &e), -ERR_VALIDATION);
    assert_non_null(strstr(e.msg, "1,024"));
    err_clear(&e);
    nodeset_free(s);
}

typedef void algebra(struct nodeset *s, const struct nodeset *o);

static void check_algebra(algebra *fn, const char *a, const char *b, const char *want)
{
    struct nodeset *s = make(a), *o = make(b);

    fn(s, o);
    check_names(s, want);
    nodeset_free(s);
    nodeset_free(o);
}

static void test_algebra(void **state)
{
    struct nodeset *s;

    check_algebra(nodeset_union, "c,a", "b,a,d", "c a b d");
    check_algebra(nodeset_difference, "c,a,b", "a,x", "c b");
    check_algebra(nodeset_intersect, "c,a,b", "b,c,x", "c b");
    check_algebra(nodeset_xor, "c,a,b", "x,b,y", "c a x y");
    check_algebra(nodeset_union, "", "a", "a");
    check_algebra(nodeset_difference, "", "a", "");
    check_algebra(nodeset_intersect, "a", "", "");
    check_algebra(nodeset_xor, "a,b", "b,a", "");
    s = make("a,b");
    nodeset_union(s, s);
    nodeset_intersect(s, s);
    check_names(s, "a b");
    nodeset_xor(s, s);
    check_names(s, "");
    nodeset_free(s);
}

/* Adding, removing and asking at random, against a plain array. */
static void test_set_against_a_model(void **state)
{
    enum { NAMES = 300 };
    struct rnd r = {11};
    struct nodeset *s = nodeset_new();
    int order[NAMES];
    size_t n = 0;
    char name[16];

    for (int step = 0; step < 30000; step++) {
        int k = (int) rnd_below(&r, NAMES);
        size_t at = 0;

        snprintf(name, sizeof name, "n%d", k);
        while (at < n && order[at] != k)
            at++;
        assert_int_equal(nodeset_has(s, name), at < n);
        if (rnd_below(&r, 2)) {
            assert_int_equal(nodeset_add(s, name), at == n);
            if (at == n)
                order[n++] = k;
        } else {
            assert_int_equal(nodeset_remove(s, name), at < n);
            if (at < n) {
                memmove(&order[at], &order[at + 1], (n - at - 1) * sizeof *order);
                n--;
            }
        }
    }
    assert_int_equal(nodeset_count(s), n);
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "n%d", order[i]);
        assert_string_equal(nodeset_at(s, i), name);
    }
    nodeset_free(s);
    nodeset_free(NULL);
}

static void check_fold(const char *names, size_t max, const char *want)
{
    struct nodeset *s = make(names);
    struct strbuf b;

    strbuf_init(&b, 0);
    nodeset_fold(&b, s, max);
    assert_string_equal(b.s, want);
    strbuf_free(&b);
    nodeset_free(s);
}

static void test_fold(void **state)
{
    check_fold("", 0, "");
    check_fold("web1", 0, "web1");
    check_fold("web2,web1,web3,db", 0, "db,web[1-3]");
    check_fold("web1,web2,web9,web10", 0, "web[1-2,9-10]");
    check_fold("web08,web09,web10,web11", 0, "web[08-11]");
    check_fold("web1,web01,web2,web02", 0, "web[1-2,01-02]");
    check_fold("web9,web10,web010", 0, "web[9-10,010]");
    check_fold("a1b3,a1b4,a2b3,a2b4", 0, "a[1-2]b[3-4]");
    check_fold("web1.dc1,web2.dc1,web3.dc1", 0, "web[1-3].dc1");
    check_fold("r1n1,r1n2,r2n3", 0, "r1n[1-2],r2n3");
    check_fold("[::1],[::2]", 0, "[::1],[::2]");
    check_fold("n99999999999999999999,n99999999999999999998", 0,
               "n99999999999999999998,n99999999999999999999");
}

static void test_fold_cut(void **state)
{
    check_fold("aa,bb,cc", 8, "aa,bb,cc");
    check_fold("aa,bb,cc", 7, "aa,...");
    check_fold("aa,bb,cc,dd", 10, "aa,bb,...");
    check_fold("aa,bb,cc", 5, "...");
    check_fold("aa,bb,cc", 2, "");
    check_fold("n1,n3,n5,n7,n9", 12, "n[1,3,5,7,9]");
    check_fold("n1,n3,n5,n7,n9,x", 13, "n[1,3,5],...");
    check_fold("a,n1,n3,n5,n7,n9,x", 14, "a,n[1,3,5],...");
}

static void random_names(struct rnd *r, struct nodeset *s)
{
    static const char *const shapes[] = {"web%u", "web%02u", "web%03u", "web%u-a", "db", "a%ub%u",
                                         "r%02un%03u", "%u", "10.0.%u.%u", "x%u.y%02u.z%u",
                                         "[::%u]", "web%u0"};
    uint32_t range = 1 + rnd_below(r, 120), n = 1 + rnd_below(r, 150);
    char name[64];

    for (uint32_t i = 0; i < n; i++) {
        const char *shape = shapes[rnd_below(r, ARRAY_LEN(shapes))];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(name, sizeof name, shape, rnd_below(r, range), rnd_below(r, 1 + range / 8),
                 rnd_below(r, 3));
#pragma GCC diagnostic pop
        nodeset_add(s, name);
    }
}

static void assert_same_members(const struct nodeset *a, const struct nodeset *b)
{
    assert_int_equal(nodeset_count(a), nodeset_count(b));
    for (size_t i = 0; i < nodeset_count(a); i++)
        assert_true(nodeset_has(b, nodeset_at(a, i)));
}

/* Expanding what was folded gives the same set, and folding that again the same text. */
static void test_fold_and_expand(void **state)
{
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct rnd r = {seed};
        struct nodeset *s = nodeset_new(), *back;
        struct strbuf folded, again, cut;
        size_t max = 5 + rnd_below(&r, 60);

        random_names(&r, s);
        strbuf_init(&folded, 0);
        strbuf_init(&again, 0);
        strbuf_init(&cut, 0);
        nodeset_fold(&folded, s, 0);
        back = make(folded.s);
        assert_same_members(s, back);
        nodeset_fold(&again, back, 0);
        assert_string_equal(folded.s, again.s);
        nodeset_free(back);

        /* Cut, it fits, and what it names is in the set. */
        nodeset_fold(&cut, s, max);
        assert_true(text_width(cut.s) <= max);
        if (cut.len > 4 && !strcmp(cut.s + cut.len - 4, ",...")) {
            cut.s[cut.len - 4] = '\0';
            back = make(cut.s);
            for (size_t i = 0; i < nodeset_count(back); i++)
                assert_true(nodeset_has(s, nodeset_at(back, i)));
            nodeset_free(back);
        } else {
            assert_string_equal(cut.s, folded.len > max ? "..." : folded.s);
        }
        strbuf_free(&folded);
        strbuf_free(&again);
        strbuf_free(&cut);
        nodeset_free(s);
    }
}

/* Adding names again changes nothing, and each keeps its first place. */
static void test_duplicates_fold_into_their_first_place(void **state)
{
    for (uint64_t seed = 1; seed <= 500; seed++) {
        struct rnd r = {seed};
        struct nodeset *s = nodeset_new(), *twice = nodeset_new();
        uint32_t n;

        random_names(&r, s);
        n = (uint32_t) nodeset_count(s);
        nodeset_union(twice, s);
        for (int i = 0; i < 100; i++)
            assert_false(nodeset_add(twice, nodeset_at(s, rnd_below(&r, n))));
        nodeset_union(twice, s);
        assert_int_equal(nodeset_count(s), nodeset_count(twice));
        for (size_t i = 0; i < nodeset_count(s); i++)
            assert_string_equal(nodeset_at(s, i), nodeset_at(twice, i));
        nodeset_free(s);
        nodeset_free(twice);
    }
}

static void test_fold_names_with_duplicates(void **state)
{
    static const char *const names[] = {"b2", "b1", "b2", "db", "db"};
    struct strbuf b;

    strbuf_init(&b, 0);
    nodeset_fold_names(&b, names, ARRAY_LEN(names), 0);
    assert_string_equal(b.s, "b[1-2],db");
    strbuf_free(&b);
}

/* Not a benchmark: a bound that only a wrong complexity passes, also under sanitizers. */
static void test_large(void **state)
{
    const struct mclock *c = clock_system();
    struct nodeset *s = make("rack[1-100]-node[001-100]"), *odd = make("w[1-19999/2]");
    int64_t start = mono_ms(c);
    struct strbuf b;

    assert_int_equal(nodeset_count(s), 10000);
    strbuf_init(&b, 0);
    nodeset_fold(&b, s, 0);
    assert_string_equal(b.s, "rack[1-100]-node[001-100]");
    strbuf_reset(&b);
    nodeset_fold(&b, odd, 4096);
    assert_true(b.len <= 4096 && b.len > 4080);
    nodeset_union(s, odd);
    nodeset_difference(s, odd);
    nodeset_xor(s, odd);
    nodeset_intersect(s, odd);
    assert_int_equal(nodeset_count(s), 10000);
    assert_true(mono_ms(c) - start < 2000);
    strbuf_free(&b);
    nodeset_free(s);
    nodeset_free(odd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expand),
        cmocka_unit_test(test_expand_refuses),
        cmocka_unit_test(test_expand_long_name),
        cmocka_unit_test(test_algebra),
        cmocka_unit_test(test_set_against_a_model),
        cmocka_unit_test(test_fold),
        cmocka_unit_test(test_fold_cut),
        cmocka_unit_test(test_fold_and_expand),
        cmocka_unit_test(test_duplicates_fold_into_their_first_place),
        cmocka_unit_test(test_fold_names_with_duplicates),
        cmocka_unit_test(test_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
