/* SPDX-License-Identifier: Apache-2.0 */
/* Types of parameters: reading them, checking values, and what is told of it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/core/json.h"
#include "muster/core/params.h"
#include "muster/core/task.h"

#include <string.h>

/* What was typed, as its JSON ("undef"), and what is wrong with it ("": nothing). */
static void check_typed(const char *type, const char *typed, const char *json, const char *fault)
{
    struct err e = ERR_INIT;
    struct ptype *t = ptype_parse(type, &e);
    struct json *value;
    char *wrong;

    if (!t)
        fail_msg("%s: %s", type, e.msg);
    value = ptype_value(t, typed);
    assert_string_equal(value ? json_text(value, NULL) : "undef", json);
    wrong = ptype_fault(t, value);
    assert_string_equal(wrong ? wrong : "", fault);
    free(wrong);
    json_free(value);
    ptype_free(t);
}

static void check_broken(const char *type, const char *part)
{
    struct err e = ERR_INIT;

    if (ptype_parse(type, &e))
        fail_msg("%s was taken", type);
    assert_int_equal(e.code, ERR_VALIDATION);
    if (!strstr(e.msg, part))
        fail_msg("%s: \"%s\" lacks \"%s\"", type, e.msg, part);
    err_clear(&e);
}

static void test_scalars(void **state)
{
    check_typed("Integer[1,65535]", "22", "22", "");
    check_typed("Integer[1,65535]", "abc", "\"abc\"",
                "expects an Integer from 1 to 65535; got \"abc\"");
    check_typed("Integer[1]", "0", "\"0\"", "expects an Integer of at least 1; got \"0\"");
    check_typed("Integer[default, 5]", "-3", "-3", "");
    check_typed("Integer", "99999999999999999999", "\"99999999999999999999\"",
                "expects an Integer; got \"99999999999999999999\"");
    check_typed("Float[0.5,1]", "0.75", "0.75", "");
    check_typed("Numeric", "1e3", "1e3", "");
    check_typed("Boolean", "true", "true", "");
    check_typed("Boolean", "yes", "\"yes\"", "expects true or false; got \"yes\"");
    check_typed("Boolean[true]", "false", "\"false\"", "expects true; got \"false\"");
    check_typed("String", "22", "\"22\"", "");
    check_typed("String[1]", "", "\"\"", "expects a String that is not empty; got \"\"");
    check_typed("String[3,5]", "\xc3\xa4\xc3\xb6\xc3\xbc", "\"\xc3\xa4\xc3\xb6\xc3\xbc\"", "");
    check_typed("Optional[String]", "", "undef", "");
    check_typed("Optional[Integer]", "null", "undef", "");
    check_typed("Any", "5", "5", "");
    check_typed("Any", "007", "\"007\"", "");
    check_typed("Sensitive[String[8]]", "x", "\"x\"",
                "expects a String of at least 8 characters; got \"x\"");
    check_typed("TargetSpec", "web[1-3],@db", "\"web[1-3],@db\"", "");
    (void) state;
}

static void test_choices(void **state)
{
    struct ptype *t = ptype_parse("Optional[Enum[start, 'stop', \"restart\"]]", NULL);
    struct strv words = STRV_INIT;

    assert_non_null(t);
    assert_true(ptype_optional(t));
    assert_true(ptype_choices(t, &words));
    assert_int_equal(words.n, 3);
    assert_string_equal(words.v[2], "restart");
    assert_false(ptype_is_target(t));
    ptype_free(t);
    check_typed("Optional[Enum[start,stop,restart]]", "stat", "\"stat\"",
                "expects one of start, stop, restart; got \"stat\"");
    check_typed("Enum[Yes, no, true]", "YES", "\"YES\"", "");
    t = ptype_parse("Boolean", NULL);
    assert_true(ptype_choices(t, &words));
    assert_int_equal(words.n, 2);
    ptype_free(t);
    t = ptype_parse("Optional[TargetSpec]", NULL);
    assert_true(ptype_is_target(t));
    assert_false(ptype_choices(t, &words));
    ptype_free(t);
    strv_clear(&words);
    (void) state;
}

static void test_patterns(void **state)
{
    check_typed("Pattern[/\\A[a-z][\\w\\-]*\\Z/]", "ab-c_9", "\"ab-c_9\"", "");
    check_typed("Pattern[/\\A[a-z][\\w-]*\\z/]", "9a", "\"9a\"",
                "expects text like /\\A[a-z][\\w-]*\\z/; got \"9a\"");
    check_typed("Pattern[/^(?:\\d{1,3}\\.){3}\\d{1,3}$/]", "10.0.0.255", "\"10.0.0.255\"", "");
    check_typed("Pattern[/^\\/[^\\/\\]]+$/]", "/etc", "\"/etc\"", "");
    check_typed("Pattern[/\\Aa.+?b\\z/]", "a\nb", "\"a\\nb\"",
                "expects text like /\\Aa.+?b\\z/; got \"a\\nb\"");
    check_typed("Pattern[/^[\\]a]$/, /^x$/]", "]", "\"]\"", "");
    check_broken("Pattern[/(?=a)/]", "(?=..)");
    check_broken("Pattern[/(?<n>a)/]", "(?<..)");
    check_broken("Pattern[/(a)\\1/]", "an escape");
    check_broken("Pattern[/a++/]", "possessive");
    check_broken("Pattern[/((a{1,999}){1,999})/]", "too large");
    check_broken("Pattern[/[a/]", "does not end");
    check_broken("Pattern[/a", "not closed");
    check_broken("Pattern[/(/]", "is none");
    (void) state;
}

static void test_nests(void **state)
{
    check_typed("Array[String[1],1]", "[\"a\",\"\"]", "[\"a\",\"\"]",
                "[1]: expects a String that is not empty; got \"\"");
    check_typed("Array[Integer,2,3]", "[1]", "[1]",
                "expects an Array of 2 to 3 items, each an Integer; got [1]");
    check_typed("Hash[String,Integer]", "{\"a\":\"b\"}", "{\"a\":\"b\"}",
                "['a']: expects an Integer; got \"b\"");
    check_typed("Struct[{Optional[mode] => String, 'x' => Integer}]", "{\"mode\":\"a\"}",
                "{\"mode\":\"a\"}", "the key 'x' is missing");
    check_typed("Struct[{mode => String}]", "{\"mode\":\"a\",\"y\":1}", "{\"mode\":\"a\",\"y\":1}",
                "['y']: there is no such key");
    check_typed("Array[Struct[{a=>Array[Integer]}]]", "[{\"a\":[1,true]}]", "[{\"a\":[1,true]}]",
                "[0]['a'][1]: expects an Integer; got true");
    check_typed("Variant[Integer,Array[String]]", "[\"a\"]", "[\"a\"]", "");
    check_typed("Variant[Integer,Boolean]", "x", "\"x\"",
                "expects an Integer or true or false; got \"x\"");
    check_typed("Tuple[String,Integer]", "[\"a\",1]", "[\"a\",1]", "");
    check_typed("Tuple[String,Integer]", "[\"a\"]", "[\"a\"]",
                "expects an Array of 2 items; got [\"a\"]");
    check_typed("Tuple[String,Integer,1,3]", "[\"a\",1,2]", "[\"a\",1,2]", "");
    check_typed("Optional['word']", "word", "\"word\"", "");
    check_typed("NotUndef[Optional[String]]", "", "\"\"", "");
    (void) state;
}

static void test_broken(void **state)
{
    char *deep = x_malloc(200001), *wide = x_malloc(20001);

    check_broken("", "a type is missing");
    check_broken("Strng", "did you mean String?");
    check_broken("Stdlib_Absolutepath", "Stdlib_Absolutepath is not known");
    check_broken("Callable", "Callable is not known");
    check_broken("Array[", "a type is missing");
    check_broken("Array[String", "']' is missing");
    check_broken("String]", "something follows");
    check_broken("Integer[5,1]", "ends before it begins");
    check_broken("Integer[99999999999999999999]", "too large");
    check_broken("Enum", "'['");
    check_broken("Enum['a", "not closed");
    check_broken("Boolean[maybe]", "true or false");
    check_broken("Undef[1]", "takes nothing");
    check_broken("Struct[{a => }]", "a type is missing");
    check_broken("Struct[{a = Integer}]", "'=>'");
    check_broken("Hash[String,Integer,String]", "more than this type takes");
    check_broken("\xff\xfe[", "a type is missing");
    *deep = '\0';
    for (size_t i = 0; i < 1500; i++)
        memcpy(deep + i * 9, "Optional[", 10);
    check_broken(deep, "nested too deep");
    memset(wide, 'A', 20000);
    wide[20000] = '\0';
    check_broken(wide, "16 KiB");
    free(deep);
    free(wide);
    (void) state;
}

static struct task read_task(const char *text)
{
    struct err e = ERR_INIT;
    struct task t;

    if (task_parse(text, strlen(text), &t, &e))
        fail_msg("%s", e.msg);
    return t;
}

#define TASK                                                                                       \
    "{\"parameters\": {\"action\": {\"type\": \"Enum[start,stop]\"},"                              \
    " \"port\": {\"type\": \"Integer[1,65535]\", \"default\": 22},"                                \
    " \"password\": {\"type\": \"String[8]\", \"sensitive\": true},"                               \
    " \"note\": {\"type\": \"Optional[String]\"}}}"

static void test_check(void **state)
{
    static const char given[] = "{\"acton\":\"start\",\"port\":\"x\",\"password\":\"hunter\","
                                "\"_noop\":true,\"note\":null}";
    struct task t = read_task(TASK);
    struct json *values = json_parse(given, strlen(given), NULL);
    struct err e = ERR_INIT;
    struct param_faults f;

    params_check(&t.params, values, NULL, &f);
    assert_int_equal(f.n, 5);
    assert_string_equal(f.v[0].text, "there is no such parameter (did you mean action?)");
    assert_string_equal(f.v[1].text, "expects an Integer from 1 to 65535; got \"x\"");
    assert_string_equal(f.v[2].name, "password");
    assert_string_equal(f.v[2].text, "expects a String of at least 8 characters");
    assert_string_equal(f.v[3].name, "_noop");
    assert_string_equal(f.v[4].name, "action");
    assert_string_equal(f.v[4].text, "is required: one of start, stop");
    assert_int_equal(param_faults_err(&f, "the task service", &e), -ERR_VALIDATION);
    assert_null(strstr(e.details, "hunter"));
    assert_non_null(strstr(e.msg, "5 parameters are wrong"));
    err_clear(&e);
    param_faults_clear(&f);
    json_free(values);
    task_clear(&t);
    (void) state;
}

static void test_later_defaults_text(void **state)
{
    struct task t = read_task(TASK);
    struct json *values = json_object();
    struct strv later = STRV_INIT;
    struct param_faults f;
    char *text;

    json_put_str(values, "action", "start");
    strv_push(&later, "password");
    params_check(&t.params, values, &later, &f);
    assert_int_equal(f.n, 0);
    assert_int_equal(param_faults_err(&f, "x", NULL), 0);
    params_check(&t.params, values, NULL, &f);
    assert_int_equal(f.n, 1);
    param_faults_clear(&f);
    params_defaults(&t.params, values);
    assert_int_equal(json_int(json_get(values, "port")), 22);
    json_put_str(values, "password", "secret word");
    json_put_str(values, "note", "it's 1\033[m");
    text = params_text(&t.params, values);
    assert_string_equal(text, "action=start port=22 password=*** note='it'\\''s 1^[[m'");
    free(text);
    strv_clear(&later);
    json_free(values);
    task_clear(&t);
    (void) state;
}

static void check_one(const char *type, const char *typed, bool right)
{
    struct err e = ERR_INIT;
    struct ptype *t = ptype_parse(type, &e);
    struct json *value;
    char *wrong;

    if (!t)
        fail_msg("%s: %s", type, e.msg);
    value = ptype_value(t, typed);
    wrong = ptype_fault(t, value);
    if (right != !wrong)
        fail_msg("%s, %s: %s", type, typed, wrong ? wrong : "was taken");
    free(wrong);
    json_free(value);
    ptype_free(t);
}

/* Typed, and whether it is one. */
static void test_aliases(void **state)
{
    static const struct {
        const char *type, *right[4], *wrong[5];
    } rows[] = {
        {"Stdlib::Absolutepath", {"/", "/etc/x//y/", "C:\\x", "//srv/share"}, {"etc", "", "./x"}},
        {"Stdlib::Unixpath", {"/a b"}, {"C:/x", "a"}},
        {"Stdlib::Windowspath", {"c:/x"}, {"/x", "c:x"}},
        {"Stdlib::Port", {"0", "65535"}, {"65536", "-1", "ssh"}},
        {"Stdlib::Port::Privileged", {"1"}, {"0", "1024"}},
        {"Stdlib::HTTPUrl", {"http://x", "HTTPS://x/y?z"}, {"ftp://x", " http://x"}},
        {"Stdlib::HTTPSUrl", {"https://x", "hTTps://"}, {"http://x"}},
        {"Stdlib::Filemode", {"0644", "u=rw,go=r", "a+x", "g=u"}, {"0888", "rw", "12345", "u=rw,"}},
        {"Stdlib::Fqdn", {"a", "a-b.example.com"}, {"-a", "a..b", "a_b", ""}},
        {"Stdlib::Host", {"a.example", "10.0.0.1", "fe80::1", "10.0.0.0/8"}, {"a b", "::g"}},
        {"Stdlib::IP::Address", {"10.0.0.1", "10.0.0.0/32", "::/0"},
         {"10.0.0", "10.0.0.0/33", "::/129", "1.2.3.4/", "1.2.3.4/1x"}},
        {"Stdlib::IP::Address::Nosubnet", {"::1"}, {"10.0.0.0/8"}},
        {"Stdlib::IP::Address::V4::CIDR", {"10.0.0.0/8"}, {"10.0.0.0", "::/8"}},
        {"Stdlib::IP::Address::V6", {"::1", "fe80::1/64"}, {"10.0.0.1"}},
        {"Stdlib::Ensure::Service", {"running"}, {"Running", "started"}},
        {"Stdlib::Ensure::Package", {"latest", "1.2"}, {""}},
        {"Stdlib::Httpstatus", {"404"}, {"99", "600"}},
        {"Stdlib::MAC", {"00:11:22:aa:BB:cc"}, {"00:11:22:aa:BB"}},
        {"Stdlib::Email", {"a.b@example.com"}, {"a@", "@b"}},
        {"Stdlib::Base64", {"aGk="}, {"a=b", ""}},
        {"Stdlib::Datasize", {"10b", "10kB"}, {"kB", "10"}},
        {"Stdlib::Yes_no", {"Yes", "nO"}, {"y"}},
        {"Stdlib::ObjectStore", {"gs://a", "s3://b"}, {"http://c"}},
        {"SemVer", {"1.2.3", "1.2.3-rc1+b"}, {"1.2", "v1.2.3"}},
        {"Timestamp", {"2024-12-31", "2024-12-31T23:59:59.5 UTC", "1700000000"}, {"31.12.2024"}},
        {"Timespan", {"90", "1-02:03:04", "2:30"}, {"1h"}},
        {"Collection", {"[]", "{\"a\": 1}"}, {"x", "1"}},
        {"Collection[2]", {"[1, 2]"}, {"[1]", "{}"}},
        {"Iterable[Integer]", {"[1]", "{}", "text", "3"}, {"[\"a\"]"}},
        {"Integer[0x10, 020]", {"16"}, {"15", "17"}},
        {"Integer[-0x1, default]", {"-1"}, {"-2"}},
        {"Optional[Stdlib::Absolutepath]", {"/x", ""}, {"x"}},
        {"Array[Stdlib::Port, 1]", {"[22]"}, {"[99999]", "[]"}},
        {"Pattern[/\\Ax(?i:y[a-c_]Z)w\\z/]", {"xyazw", "xYBZw", "xy_zw"}, {"Xyazw", "xyazW", "xydzw"}},
        {"Pattern[/\\A(?i:a(?-i:b)c)\\z/]", {"abc", "AbC"}, {"aBc"}},
        {"Pattern[/\\A(?i:[[:lower:]]+)\\z/]", {"aB"}, {"1"}},
        {"Regexp", {NULL}, {"x", "1"}},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t k = 0; k < 4 && rows[i].right[k]; k++)
            check_one(rows[i].type, rows[i].right[k], true);
        for (size_t k = 0; k < 5 && rows[i].wrong[k]; k++)
            check_one(rows[i].type, rows[i].wrong[k], false);
    }
    check_typed("Stdlib::Absolutepath", "x", "\"x\"", "expects an absolute path; got \"x\"");
    check_typed("Optional[Stdlib::IP::Address::V4]", "::1", "\"::1\"",
                "expects an IPv4 address; got \"::1\"");
    check_typed("Collection[1,2]", "[]", "[]", "expects an Array or a Hash of 1 to 2 items; got []");
    check_typed("Regexp", "a", "\"a\"",
                "expects a value that only Puppet's language can write; got \"a\"");
    check_broken("Stdlib::Absolutpath", "did you mean Stdlib::Absolutepath?");
    check_broken("SemVer['>=1']", "this type takes nothing in brackets here");
    check_broken("Strnig", "did you mean String?");
    check_broken("Mine::Type[a", "a ']' is missing");
    check_typed("Optional[Mine::Type['a]', [1]]]", "[1]", "[1]", "");
    check_typed("Mine::Type", "a b", "\"a b\"", "");
    check_typed("Array[Mine::Type, 2]", "[1]", "[1]",
                "expects an Array of at least 2 items, each a value of the type Mine::Type, which is not "
                "known here and not checked; got [1]");
    (void) state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_nests),
        cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_later_defaults_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
