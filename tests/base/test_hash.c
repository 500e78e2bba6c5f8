/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256, base64 (RFC 4648's vectors) and identifiers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "muster/base/alloc.h"
#include "muster/base/hash.h"

#include "rnd.h"

#include <stdio.h>
#include <string.h>

static void hex(const uint8_t *p, char *out)
{
    for (int i = 0; i < SHA256_LEN; i++)
        sprintf(out + 2 * i, "%02x", p[i]);
}

static void test_sha256(void **state)
{
    uint8_t sum[SHA256_LEN];
    char text[2 * SHA256_LEN + 1];
    struct sha256 *h;

    sha256_of("abc", 3, sum);
    hex(sum, text);
    assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256_of("", 0, sum);
    hex(sum, text);
    assert_string_equal(text, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    h = sha256_new();
    sha256_add(h, "a", 1);
    sha256_add(h, NULL, 0);
    sha256_add(h, "bc", 2);
    sha256_end(h, sum);
    hex(sum, text);
    assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256_abandon(sha256_new());
    sha256_abandon(NULL);
}

static void test_base64_vectors(void **state)
{
    static const char *const pairs[][2] = {
        {"", ""},           {"f", "Zg=="},         {"fo", "Zm8="},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"},
    };

    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        char *e = base64_encode(pairs[i][0], strlen(pairs[i][0]));
        size_t len = 99;
        char *d = base64_decode(pairs[i][1], strlen(pairs[i][1]), &len);

        assert_string_equal(e, pairs[i][1]);
        assert_non_null(d);
        assert_int_equal(len, strlen(pairs[i][0]));
        assert_string_equal(d, pairs[i][0]);
        free(e);
        free(d);
    }
}

static void test_base64_refuses(void **state)
{
    static const char *const bad[] = {"Z", "Zg", "Zg=", "Zh==", "Zm9=", "====", "Z===", "Zg==Zg==",
                                      "Zm9 ", "Zm9\n", "Z=9v", "Zm-_"};
    size_t len;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_null(base64_decode(bad[i], strlen(bad[i]), &len));
}

static void test_base64_round_trip(void **state)
{
    struct rnd r = {1};
    uint8_t raw[300];

    for (int round = 0; round < 300; round++) {
        size_t n = rnd_below(&r, sizeof raw), len;
        char *e;
        void *d;

        for (size_t i = 0; i < n; i++)
            raw[i] = (uint8_t) rnd_next(&r);
        e = base64_encode(raw, n);
        d = base64_decode(e, strlen(e), &len);
        assert_non_null(d);
        assert_int_equal(len, n);
        assert_memory_equal(d, raw, n);
        free(e);
        free(d);
    }
}

static void test_identifiers(void **state)
{
    char a[37], b[37], digits[201];

    random_uuid(a);
    random_uuid(b);
    assert_int_equal(strlen(a), 36);
    assert_string_not_equal(a, b);
    assert_int_equal(a[14], '4');
    assert_non_null(strchr("89ab", a[19]));
    assert_true(a[8] == '-' && a[13] == '-' && a[18] == '-' && a[23] == '-');
    random_hex(digits, 100);
    assert_int_equal(strlen(digits), 200);
    assert_int_equal(strspn(digits, "0123456789abcdef"), 200);
    for (int i = 0; i < 200; i++)
        assert_true(random_below(7) < 7);
    assert_int_equal(random_below(1), 0);
    assert_int_equal(random_below(0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_base64_vectors),
        cmocka_unit_test(test_base64_refuses),
        cmocka_unit_test(test_base64_round_trip),
        cmocka_unit_test(test_identifiers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
