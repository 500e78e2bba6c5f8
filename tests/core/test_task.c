/* SPDX-License-Identifier: Apache-2.0 */
/* A task's metadata, and what tasks print. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/core/json.h"
#include "muster/core/task.h"

#include <stdio.h>
#include <string.h>

static void test_metadata(void **state)
{
    static const char text[] =
        "{\"description\": \"Manages a package\", \"input_method\": \"stdin\","
        " \"puppet_task_version\": 1, \"supports_noop\": true, \"private\": false, \"remote\": true,"
        " \"extensions\": {\"x\": 1}, \"files\": [\"mod/files/a.sh\", \"mod/lib/\"],"
        " \"parameters\": {\"name\": {\"type\": \"String[1]\", \"description\": \"which\"},"
        "   \"version\": {\"type\": \"Optional[String]\"}, \"loose\": {}},"
        " \"implementations\": ["
        "   {\"name\": \"p_apt.sh\", \"requirements\": [\"shell\", \"apt\"],"
        "    \"input_method\": \"environment\", \"files\": [\"mod/files/b\"]},"
        "   {\"name\": \"p.ps1\", \"input_method\": \"powershell\"}]}";
    struct err e = ERR_INIT;
    struct task t;

    assert_int_equal(task_parse(text, strlen(text), &t, &e), 0);
    assert_string_equal(t.description, "Manages a package");
    assert_int_equal(t.input, TASK_INPUT_STDIN);
    assert_true(t.supports_noop && t.remote && !t.is_private);
    assert_int_equal(t.files.n, 2);
    assert_int_equal(t.params.n, 3);
    assert_true(t.params.v[0].required);
    assert_string_equal(t.params.v[0].type_text, "String[1]");
    assert_false(t.params.v[1].required);
    assert_string_equal(t.params.v[2].type_text, "Any");
    assert_false(t.params.v[2].required);
    assert_false(t.params.any);
    assert_int_equal(t.n_impls, 2);
    assert_int_equal(t.impls[0].input, TASK_INPUT_ENVIRONMENT);
    assert_int_equal(t.impls[0].requirements.n, 2);
    assert_string_equal(t.impls[0].files.v[0], "mod/files/b");
    assert_int_equal(t.impls[1].input, -1);
    task_clear(&t);
    assert_int_equal(task_parse("{}", 2, &t, &e), 0);
    assert_int_equal(t.input, TASK_INPUT_BOTH);
    assert_true(t.params.any);
    task_clear(&t);
    (void) state;
}

static void check_broken(const char *text, const char *part)
{
    struct err e = ERR_INIT;
    struct task t;

    assert_int_equal(task_parse(text, strlen(text), &t, &e), -ERR_VALIDATION);
    if (!strstr(e.details ? e.details : e.msg, part))
        fail_msg("%s: \"%s\" lacks \"%s\"", text, e.msg, part);
    assert_null(t.params.v);
    err_clear(&e);
}

static void test_broken(void **state)
{
    struct err e = ERR_INIT;
    struct task t;
    static const char many[] = "{\"input_method\": \"tea\", \"remote\": 1, \"parameters\": "
                               "{\"a\": {\"type\": \"Strng\"}, \"b\": {\"type\": 5}}}";
    static const char beside[] = "{\"input_method\": \"powershell\", \"implementations\": "
                                 "[{\"name\": \"a.sh\", \"input_method\": \"stdin\"}, "
                                 "{\"name\": \"a.ps1\", \"input_method\": \"powershell\"}]}";

    check_broken("[]", "a JSON object");
    check_broken("{", "too early");
    check_broken("{\"description\": \"\xff\"}", "UTF-8");
    check_broken("{\"puppet_task_version\": 2}", "version 1");
    check_broken("{\"input_method\": \"powershell\"}", "powershell is for Windows nodes");
    check_broken("{\"input_method\": \"powershell\", \"implementations\": [{\"name\": \"a.sh\"}]}",
                 "powershell is for Windows nodes");
    assert_int_equal(task_parse(beside, strlen(beside), &t, &e), 0);
    task_clear(&t);
    check_broken("{\"parameters\": []}", "has to be an object");
    check_broken("{\"parameters\": {\"Bad\": {}}}", "lower-case");
    check_broken("{\"parameters\": {\"_x\": {}}}", "lower-case");
    check_broken("{\"parameters\": {\"a\": 5}}", "the parameter a: its description has to be");
    check_broken("{\"parameters\": {\"a\": {\"sensitive\": \"yes\"}}}", "true or false");
    check_broken("{\"parameters\": {\"a\": {\"type\":\"Integer\",\"default\": \"x\"}}}",
                 "its default expects an Integer");
    check_broken("{\"parameters\": {\"a\": {\"sensitiv\": true}}}", "did you mean sensitive?");
    check_broken("{\"inputmethod\": \"stdin\"}", "did you mean input_method?");
    check_broken("{\"files\": [\"../x/y\"]}", "has to be a path");
    check_broken("{\"files\": [\"/etc/shadow\"]}", "has to be a path");
    check_broken("{\"files\": [\"m/files/../../x\"]}", "has to be a path");
    check_broken("{\"files\": [\"m/..\"]}", "has to be a path");
    check_broken("{\"implementations\": [{\"name\": \"../x.sh\"}]}", "name of a file");
    check_broken("{\"implementations\": [5]}", "implementations[0]");
    assert_int_equal(task_parse(many, strlen(many), &t, &e), -ERR_VALIDATION);
    assert_non_null(strstr(e.msg, "(and 3 more)"));
    assert_non_null(strstr(e.details, "the parameter a: the type \"Strng\""));
    assert_non_null(strstr(e.details, "the parameter b: its type has to be a text"));
    err_clear(&e);
    (void) state;
}

static void test_limits(void **state)
{
    size_t n = (size_t) 2 << 20;
    char *big = x_malloc(n);
    struct err e = ERR_INIT;
    struct task t;
    size_t at;

    memset(big, ' ', n);
    assert_int_equal(task_parse(big, n, &t, &e), -ERR_VALIDATION);
    assert_non_null(strstr(e.msg, "1 MiB"));
    memset(big, '[', 100000);
    assert_int_equal(task_parse(big, 100000, &t, &e), -ERR_VALIDATION);
    at = (size_t) sprintf(big, "{\"parameters\":{\"p\":{}");
    for (int i = 0; i < 600; i++)
        at += (size_t) sprintf(big + at, ",\"p%d\":{}", i);
    at += (size_t) sprintf(big + at, "}}");
    assert_int_equal(task_parse(big, at, &t, &e), -ERR_VALIDATION);
    assert_non_null(strstr(e.msg, "more than 500"));
    err_clear(&e);
    free(big);
    (void) state;
}

static void check_text(const char *printed, const char *want)
{
    char *text = task_output_text(printed, strlen(printed));

    if (want)
        assert_string_equal(text, want);
    else
        assert_null(text);
    free(text);
}

static void test_output(void **state)
{
    static const char full[] = " {\"_output\": \"hi\\n\", \"a\": 1, \"l\": [1,null],\n"
                               "\"_error\": {\"msg\": \"no such\", \"kind\": \"x/y\"}}\n";
    struct task_output o;
    char *big = x_malloc(TASK_OUTPUT_MAX + 10);

    assert_true(task_output_parse(full, strlen(full), &o));
    assert_string_equal(o.text, "hi\n");
    assert_string_equal(o.rest, "a: 1\nl: [1,null]");
    assert_string_equal(o.error, "no such (x/y)");
    task_output_clear(&o);
    check_text(full, "hi\na: 1\nl: [1,null]\nerror: no such (x/y)\n");
    check_text("{\"_error\": \"bad\"}", "error: bad\n");
    check_text("{\"_error\": {\"kind\": \"k\"}}", "error: the task failed (k)\n");
    check_text("{}", "");
    check_text("plain words", NULL);
    check_text("[1]", NULL);
    check_text("{\"a\":1} more", NULL);
    check_text("{\"a\":\"\xff\"}", NULL);
    check_text("", NULL);
    memset(big, ' ', TASK_OUTPUT_MAX + 10);
    memcpy(big, "{\"a\":1}", 7);
    assert_false(task_output_parse(big, TASK_OUTPUT_MAX + 1, &o));
    memset(big, '[', TASK_OUTPUT_MAX);
    memcpy(big, "{\"a\":", 5);
    assert_false(task_output_parse(big, TASK_OUTPUT_MAX, &o));
    free(big);
    (void) state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_output),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
