/* SPDX-License-Identifier: Apache-2.0 */
/* The hash map against a plain array that does the same, over random operations. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "muster/base/strmap.h"

#include "rnd.h"

#include <stdio.h>

static void test_basics(void **state)
{
    struct strmap *m = strmap_new();
    void *p = m;
    intptr_t n;

    assert_false(strmap_get(m, "a", &p));
    assert_false(strmap_del(m, "a"));
    assert_true(strmap_set(m, "a", NULL));
    assert_true(strmap_get(m, "a", &p));
    assert_null(p);
    assert_true(strmap_get(m, "a", NULL));
    assert_false(strmap_set_num(m, "a", -7));
    assert_true(strmap_get_num(m, "a", &n));
    assert_int_equal(n, -7);
    assert_true(strmap_set_num(m, "", 1));
    assert_int_equal(strmap_count(m), 2);
    strmap_free(m);
    strmap_free(NULL);
}

static void sum(const char *key, void *value, void *ctx)
{
    *(intptr_t *) ctx += (intptr_t) value;
}

#define KEYS 500

static void test_against_a_model(void **state)
{
    struct rnd r = {42};
    struct strmap *m = strmap_new();
    intptr_t model[KEYS] = {0}; /* 0: absent */
    intptr_t n, total = 0, seen = 0;
    size_t count = 0;
    char key[32];

    for (int i = 0; i < 200000; i++) {
        uint32_t k = rnd_below(&r, KEYS);

        snprintf(key, sizeof key, "node%u", k);
        if (rnd_below(&r, 2)) {
            intptr_t v = 1 + (intptr_t) rnd_below(&r, 1000);

            assert_int_equal(strmap_set_num(m, key, v), !model[k]);
            model[k] = v;
        } else {
            assert_int_equal(strmap_del(m, key), model[k] != 0);
            model[k] = 0;
        }
    }
    for (uint32_t k = 0; k < KEYS; k++) {
        snprintf(key, sizeof key, "node%u", k);
        assert_int_equal(strmap_get_num(m, key, &n), model[k] != 0);
        if (model[k])
            assert_int_equal(n, model[k]);
        count += model[k] != 0;
        total += model[k];
    }
    assert_int_equal(strmap_count(m), count);
    strmap_each(m, sum, &seen);
    assert_int_equal(seen, total);
    strmap_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_basics),
        cmocka_unit_test(test_against_a_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
