/* SPDX-License-Identifier: Apache-2.0 */
/* JSON: what is written, what is read, and what is refused and where. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/json.h"

#include "../base/rnd.h"

#include <string.h>

static void test_write(void **state)
{
    struct json *j = json_object(), *arr = json_array();
    size_t len;

    json_put_str(j, "s", "a/b \"q\" \xc3\xa9\n");
    json_put_str(j, "none", NULL);
    json_put_bytes(j, "nul", "a\0b", 3);
    json_put_int(j, "n", INT64_MIN);
    json_put_bool(j, "yes", true);
    json_put_null(j, "null");
    json_put_time(j, "at", 1769860800123);
    json_put_time(j, "never", 0);
    json_add_str(arr, "x");
    json_add(arr, json_object());
    json_put(j, "arr", arr);
    assert_string_equal(json_text(j, &len),
                        "{\"s\":\"a/b \\\"q\\\" \xc3\xa9\\n\",\"none\":null,\"nul\":\"a\\u0000b\","
                        "\"n\":-9223372036854775808,\"yes\":true,\"null\":null,"
                        "\"at\":\"2026-01-31T12:00:00.123Z\",\"never\":null,\"arr\":[\"x\",{}]}");
    assert_int_equal(len, strlen(json_text(j, NULL)));
    json_free(j);
    json_free(NULL);
}

/* Names and commands may be no UTF-8: what is written must be all the same. */
static void test_write_bad_utf8(void **state)
{
    struct json *j = json_object();
    size_t len;
    const char *text;

    json_put_str(j, "s", "caf\xe9 \xc3\xa9 \xff");
    text = json_text(j, &len);
    assert_true(utf8_valid(text, len));
    assert_string_equal(text, "{\"s\":\"caf\xef\xbf\xbd \xc3\xa9 \xef\xbf\xbd\"}");
    json_free(j);
}

/* What a terminal would act on is escaped, in keys too, and comes back. */
static void test_write_hidden(void **state)
{
    static const char hidden[] = "a\xe2\x80\xae" "b\xc2\x9b\x7f\xe2\x80\x8b\xf3\xa0\x81\x81\xc3\xa9";
    static const char *const want = "{\"a\\u202eb\\u009b\\u007f\\u200b\\udb40\\udc41\xc3\xa9\":"
                                    "\"a\\u202eb\\u009b\\u007f\\u200b\\udb40\\udc41\xc3\xa9\"}";
    struct json *j = json_object(), *back;
    struct err e = ERR_INIT;
    size_t len;

    json_put_str(j, hidden, hidden);
    assert_string_equal(json_text(j, &len), want);
    assert_int_equal(len, strlen(want));
    assert_string_equal(json_text(j, NULL), want);
    back = json_parse(want, len, &e);
    assert_string_equal(json_str(json_get(back, hidden)), hidden);
    json_free(back);
    json_put_str(j, "k", "v"); /* a change after the text was made */
    assert_non_null(strstr(json_text(j, NULL), "\"k\":\"v\"}"));
    json_free(j);
}

static struct json *parse(const char *text)
{
    struct err e = ERR_INIT;
    struct json *j = json_parse(text, strlen(text), &e);

    if (!j)
        fail_msg("%s: %s", text, e.msg);
    assert_null(e.msg);
    return j;
}

static int stop_at(const char *key, struct json *value, void *ctx)
{
    int *left = ctx;

    return --*left ? 0 : (int) json_int(value);
}

static void test_read(void **state)
{
    struct json *j = parse(" {\"s\": \"x\\u00e9\", \"n\": -5, \"big\": 9007199254740993, "
                           "\"f\": 1.5, \"t\": true, \"z\": null, \"a\": [1, [2], \"three\"]} \n");
    int left = 2;

    assert_int_equal(json_type(j), JSON_OBJECT);
    assert_string_equal(json_str(json_get(j, "s")), "x\xc3\xa9");
    assert_int_equal(json_int(json_get(j, "n")), -5);
    assert_int_equal(json_int(json_get(j, "big")), 9007199254740993);
    assert_int_equal(json_type(json_get(j, "f")), JSON_NUMBER);
    assert_int_equal(json_int(json_get(j, "f")), 1);
    assert_true(json_bool(json_get(j, "t")));
    assert_int_equal(json_type(json_get(j, "z")), JSON_NULL);
    assert_int_equal(json_len(json_get(j, "a")), 3);
    assert_string_equal(json_str(json_at(json_get(j, "a"), 2)), "three");
    assert_null(json_at(json_get(j, "a"), 3));
    /* asking for what is not there, or is of another type */
    assert_null(json_get(j, "missing"));
    assert_null(json_get(json_get(j, "a"), "x"));
    assert_null(json_str(json_get(j, "n")));
    assert_int_equal(json_int(json_get(j, "s")), 0);
    assert_false(json_bool(json_get(j, "n")));
    assert_int_equal(json_len(j), 0);
    assert_int_equal(json_each(j, stop_at, &left), -5); /* the second member ends it */
    assert_int_equal(left, 0);
    assert_int_equal(json_each(json_get(j, "a"), stop_at, &left), 0);
    json_free(j);
    json_free(parse("12"));
    json_free(parse(" \"x\" "));
    json_free(parse("{\"a\":{\"a\":[{\"a\":1},{\"a\":2},\"a\"]},\"b\":\"a\"}"));
}

static void check_refused(const char *text, size_t n, const char *where)
{
    struct err e = ERR_INIT;

    if (json_parse(text, n, &e))
        fail_msg("%s: was taken", text);
    assert_int_equal(e.code, ERR_VALIDATION);
    if (!strstr(e.msg, where))
        fail_msg("%s: \"%s\" is not in \"%s\"", text, where, e.msg);
    err_clear(&e);
}

static void test_refuse(void **state)
{
    static const char *const bad[][2] = {
        {"", "empty"},
        {"  \n ", "empty"},
        {"null", "null"},
        {"{\"a\":1", "line 1, column 7"},
        {"{\n  \"a\": 1,\n  \"b\": x\n}", "line 3, column 8"},
        {"{\"a\":1} {}", "line 1, column 9"},
        {"[1,]", "line 1"},
        {"{\"a\":1,}", "line 1"},
        {"[{\"a\":1 , } ]", "column 11"},
        {"[\"a\tb\"]", "control"},
        {"[\"a\", \"\\\"\x01\"]", "column 7: a control"},
        {"[1.]", "line 1, column 2"},
        {"[-.5]", "line 1, column 2"},
        {"[1,00]", "line 1, column 4"},
        {"[1e]", "line 1"},
        {"[-]", "line 1"},
        {"{'a':1}", "line 1"},
        {"{a:1}", "line 1"},
        {"[01]", "line 1"},
        {"[NaN]", "line 1"},
        {"[+1]", "line 1"},
        {"[1] // x", "line 1, column 5"},
        {"[\"\xff\"]", "column 3: this byte is not UTF-8"},
        {"[\"\xed\xa0\x80\"]", "column 3: this byte is not UTF-8"},
        {"{\"a\":1,\n\"a\":2}", "line 2, column 1: this key stands twice"},
        {"{\"a\":1,\"\\u0061\":2}", "twice"},
        {"[{\"x\":{\"k\":1,\"k\":1}}]", "twice"},
        {"{\"a\\u0000b\":1}", "NUL"},
    };
    char deep[201];

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        check_refused(bad[i][0], strlen(bad[i][0]), bad[i][1]);
    check_refused("[1]\0", 4, "NUL");
    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    deep[200] = '\0';
    check_refused(deep, 200, "deep");
    json_free(json_parse(deep + 40, 120, NULL)); /* 60 levels */
    assert_null(json_parse("[", 1, NULL));
}

/* Random damage to a document: it is read or refused, and what is read can be written and read. */
static void test_damage(void **state)
{
    static const char good[] = "{\"id\":\"x\\u00e9\",\"n\":[1,2.5,-3e2,true,false,null],"
                               "\"o\":{\"a\":{},\"b\":[]},\"s\":\"\xf0\x9f\x98\x80\"}";
    struct rnd r = {3};

    for (int round = 0; round < 20000; round++) {
        char text[sizeof good];
        struct err e = ERR_INIT;
        struct json *j;

        memcpy(text, good, sizeof good);
        for (uint32_t k = 1 + rnd_below(&r, 3); k; k--)
            text[rnd_below(&r, sizeof good - 1)] = "\"{}[],:\\ \n0ae\xff"[rnd_below(&r, 14)];
        j = json_parse(text, sizeof good - 1, &e);
        if (j) {
            size_t len;
            const char *out = json_text(j, &len);
            struct json *again = json_parse(out, len, &e);

            assert_non_null(again);
            assert_string_equal(json_text(again, NULL), out);
            json_free(again);
            json_free(j);
        } else {
            assert_non_null(strstr(e.msg, "line "));
        }
        err_clear(&e);
    }
}

static void assert_member(const char *text, const char *path, const char *wanted)
{
    struct json *j = json_parse_member(text, path);

    if (wanted)
        assert_string_equal(json_text(j, NULL), wanted);
    else
        assert_null(j);
    json_free(j);
}

static void test_member(void **state)
{
    static const char text[] = " { \"os\" : {\"name\": \"a}\\\"]\", \"l\": [1, {}]} ,\n\"os.x\":[1,\"]\"],"
                               "\"o\":null, \"n\":-1.5e3, \"s\":\"os\", \"e\":\"\\\\\"} ";

    assert_member(text, "os.name", "{\"os\":{\"name\":\"a}\\\"]\",\"l\":[1,{}]}}");
    assert_member(text, "os.x.0", "{\"os\":{\"name\":\"a}\\\"]\",\"l\":[1,{}]},\"os.x\":[1,\"]\"]}");
    assert_member(text, "n", "{\"n\":-1.5e3}");
    assert_member(text, "s", "{\"s\":\"os\"}");
    assert_member(text, "e", "{\"e\":\"\\\\\"}");
    assert_member(text, "name", NULL);
    assert_member(text, "osx", NULL);
    assert_member("{}", "a", NULL);
    assert_member("[1]", "0", "[1]");
    /* With escapes in a name all is read. */
    assert_member("{\"\\u0061\": 1, \"b\": 2}", "a", "{\"a\":1,\"b\":2}");
    /* What is not JSON after all is nothing. */
    assert_member("{\"a\": 1", "a", NULL);
    assert_member("{\"a\": \"x", "a", NULL);
    assert_member("{\"a\": }", "a", NULL);
    assert_member("{\"a\": 1]", "a", NULL);
    assert_member("", "a", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_write_bad_utf8),
        cmocka_unit_test(test_write_hidden),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_refuse),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_member),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
