/* SPDX-License-Identifier: Apache-2.0 */
/* Errors as values, and string vectors, which errors' details are often made of. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/vec.h"

static void test_set(void **state)
{
    struct err e = ERR_INIT;

    assert_int_equal(err_set(&e, ERR_VALIDATION, "node %s: %d", "web1", 3), -ERR_VALIDATION);
    assert_int_equal(e.code, ERR_VALIDATION);
    assert_string_equal(e.msg, "node web1: 3");
    err_prefix(&e, "%s: ", "file.yaml");
    assert_string_equal(e.msg, "file.yaml: node web1: 3");
    /* the old message may be part of the new one */
    err_set(&e, ERR_STORE, "wrapped: %s", e.msg);
    assert_string_equal(e.msg, "wrapped: file.yaml: node web1: 3");
    err_details(&e, x_strdup("a\nb"));
    err_details(&e, x_strdup("c"));
    assert_string_equal(e.details, "c");
    err_clear(&e);
    assert_null(e.msg);
    assert_null(e.details);
    assert_int_equal(e.code, ERR_NONE);
    err_clear(&e);
}

static void test_null(void **state)
{
    struct err e = ERR_INIT;

    assert_int_equal(err_set(NULL, ERR_QUEUE_FULL, "x"), -ERR_QUEUE_FULL);
    err_prefix(NULL, "x");
    err_details(NULL, x_strdup("freed"));
    err_clear(NULL);
    err_prefix(&e, "nothing is set, so nothing is put before it");
    assert_null(e.msg);
}

static void test_codes(void **state)
{
    assert_string_equal(err_json_code(ERR_VALIDATION), "VALIDATION_ERROR");
    assert_string_equal(err_json_code(ERR_NOT_FOUND), "BATCH_NOT_FOUND");
    assert_string_equal(err_json_code((enum err_code) 999), "INTERNAL_ERROR");
    assert_int_equal(err_exit_status(ERR_INVALID_NODES), 2);
    assert_int_equal(err_exit_status(ERR_QUEUE_FULL), 7);
    assert_int_equal(err_exit_status(ERR_NOT_FOUND), 6);
    assert_int_equal(err_exit_status(ERR_STORE), 1);
    assert_int_equal(err_exit_status((enum err_code) 999), 1);
}

static void test_strv(void **state)
{
    struct strv v = STRV_INIT, w = STRV_INIT;
    char *s = strv_join(&v, ", ");

    assert_string_equal(s, "");
    free(s);
    for (int i = 0; i < 100; i++)
        strv_push_own(&v, x_asprintf("n%d", i));
    strv_push(&v, "");
    assert_int_equal(v.n, 101);
    assert_null(v.v[101]);
    assert_true(strv_has(&v, "n99"));
    assert_true(strv_has(&v, ""));
    assert_false(strv_has(&v, "n100"));
    strv_push(&w, "goes away");
    strv_copy(&w, &v);
    strv_copy(&w, &w);
    strv_clear(&v);
    strv_clear(&v);
    assert_int_equal(w.n, 101);
    assert_string_equal(w.v[42], "n42");
    strv_clear(&w);
    strv_push(&w, "a");
    strv_push(&w, "b");
    s = strv_join(&w, ", ");
    assert_string_equal(s, "a, b");
    free(s);
    strv_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_null),
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_strv),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
