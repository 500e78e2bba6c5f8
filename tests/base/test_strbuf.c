/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers with a maximum. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"

#include <string.h>

static void test_grow(void **state)
{
    struct strbuf b;

    strbuf_init(&b, 0);
    assert_string_equal(b.s, "");
    for (int i = 0; i < 1000; i++)
        strbuf_addf(&b, "%d,", i);
    assert_int_equal(b.len, strlen(b.s));
    assert_int_equal(b.len, 10 * 2 + 90 * 3 + 900 * 4);
    assert_false(b.truncated);
    strbuf_reset(&b);
    assert_string_equal(b.s, "");
    strbuf_add(&b, "a\0b", 3);
    assert_int_equal(b.len, 3);
    assert_memory_equal(b.s, "a\0b\0", 4);
    strbuf_free(&b);
    strbuf_free(&b);
    assert_string_equal(b.s, "");
}

static void test_maximum(void **state)
{
    struct strbuf b;

    strbuf_init(&b, 10);
    strbuf_adds(&b, "0123456789");
    assert_false(b.truncated);
    strbuf_addch(&b, 'x');
    assert_true(b.truncated);
    assert_string_equal(b.s, "0123456789");
    strbuf_reset(&b);
    assert_false(b.truncated);
    strbuf_addf(&b, "%s", "abcdefghijklmnop");
    assert_string_equal(b.s, "abcdefghij");
    assert_true(b.truncated);
    strbuf_free(&b);
}

static void test_long_format(void **state)
{
    struct strbuf b;
    char *long_text = x_malloc(1000);

    memset(long_text, 'y', 999);
    long_text[999] = '\0';
    strbuf_init(&b, 0);
    strbuf_addf(&b, "<%s>", long_text);
    assert_int_equal(b.len, 1001);
    assert_int_equal(b.s[1000], '>');
    free(long_text);
    strbuf_free(&b);
}

static void test_steal_and_consume(void **state)
{
    struct strbuf b;
    char *s;

    strbuf_init(&b, 0);
    s = strbuf_steal(&b);
    assert_string_equal(s, "");
    free(s);
    strbuf_adds(&b, "hello world");
    strbuf_consume(&b, 6);
    assert_string_equal(b.s, "world");
    strbuf_consume(&b, 99);
    assert_string_equal(b.s, "");
    strbuf_adds(&b, "again");
    s = strbuf_steal(&b); /* the buffer holds nothing after, so there is nothing to free */
    assert_string_equal(s, "again");
    assert_int_equal(b.len, 0);
    assert_string_equal(b.s, "");
    strbuf_reset(&b);
    strbuf_consume(&b, 1);
    free(s);
}

static void test_alloc_helpers(void **state)
{
    int *arr = NULL;
    size_t cap = 0;
    char *s = x_strndup("abcdef", 3), *t;

    assert_string_equal(s, "abc");
    t = X_STEAL(s);
    assert_null(s);
    free(t);
    assert_null(x_strdup(NULL));
    for (size_t i = 0; i < 100; i++) {
        X_GROW(arr, cap, i + 1);
        arr[i] = (int) i;
    }
    assert_true(cap >= 100);
    assert_int_equal(arr[99], 99);
    free(arr);
    free(x_calloc(0, 0));
    t = x_memdup(NULL, 0);
    assert_string_equal(t, "");
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grow),
        cmocka_unit_test(test_maximum),
        cmocka_unit_test(test_long_format),
        cmocka_unit_test(test_steal_and_consume),
        cmocka_unit_test(test_alloc_helpers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
