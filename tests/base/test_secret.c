/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets: what is kept, what is cut, and that their pages are locked and stay out of core dumps. */
#include "muster/base/secret.h"

#include "muster/base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_keeps_bytes(void **state)
{
    char text[] = "p\0ss word";
    struct secret *s = secret_new(text, sizeof text - 1);

    secret_wipe(text, sizeof text);
    for (size_t i = 0; i < sizeof text; i++)
        assert_int_equal(text[i], 0);
    assert_int_equal(secret_len(s), 9);
    assert_memory_equal(secret_text(s), "p\0ss word", 10);

    struct secret *again = secret_ref(s);

    secret_unref(s);
    assert_string_equal(secret_text(again) + 2, "ss word");
    secret_unref(again);
    secret_unref(NULL);
    assert_null(secret_ref(NULL));
}

static void test_is_cut(void **state)
{
    CLEANUP_FREE char *big = x_malloc(SECRET_MAX * 2);

    memset(big, 'x', SECRET_MAX * 2);

    struct secret *s = secret_new(big, SECRET_MAX * 2);

    assert_int_equal(secret_len(s), SECRET_MAX);
    assert_int_equal(strlen(secret_text(s)), SECRET_MAX);
    secret_unref(s);
}

/* The line "VmFlags" of the mapping that has this address, in /proc/self/smaps. */
static bool flags_of(const void *p, char *out, size_t n)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    char line[1024];
    bool inside = false, found = false;

    assert_non_null(f);
    while (!found && fgets(line, sizeof line, f)) {
        unsigned long from, to;

        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (uintptr_t) p >= from && (uintptr_t) p < to;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            found = true;
    }
    fclose(f);
    snprintf(out, n, "%s", line);
    return found;
}

static void test_stays_out_of_dumps(void **state)
{
    char flags[1024];
    struct secret *s = secret_new("x", 1);

    if (flags_of(secret_text(s), flags, sizeof flags))
        assert_non_null(strstr(flags, " dd"));
    else
        skip(); /* a kernel without VmFlags */
    secret_unref(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keeps_bytes),
        cmocka_unit_test(test_is_cut),
        cmocka_unit_test(test_stays_out_of_dumps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
