/* SPDX-License-Identifier: Apache-2.0 */
/* YAML: trees with lines, aliases and their limits, and errors that say where. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/core/yaml.h"

#include "../base/rnd.h"

#include <string.h>

static struct yaml_node *parse(const char *text)
{
    struct err e = ERR_INIT;
    struct yaml_node *n = yaml_parse("inventory.yaml", text, strlen(text), &e);

    if (!n)
        fail_msg("%s: %s", text, e.msg);
    assert_null(e.msg);
    return n;
}

static void check_json(const char *yaml, const char *want)
{
    struct yaml_node *n = parse(yaml);
    char *json = yaml_to_json(n);

    assert_string_equal(json, want);
    free(json);
    yaml_free(n);
}

static void test_tree(void **state)
{
    struct yaml_node *root = parse("# comment\ndefaults: {user: ops, port: 22}\n"
                                   "nodes:\n  db1:\n    host: \"10.0.0.5\"\n  web: [a, b]\n");
    const struct yaml_node *nodes = yaml_get(root, "nodes"), *db1 = yaml_get(nodes, "db1");
    const struct yaml_node *host = yaml_get(db1, "host");

    assert_int_equal(root->kind, YAML_MAPPING);
    assert_int_equal(root->n, 2);
    assert_string_equal(root->keys[0]->scalar, "defaults");
    assert_int_equal(root->keys[1]->line, 3);
    assert_int_equal(host->line, 5);
    assert_int_equal(host->col, 11);
    assert_string_equal(host->scalar, "10.0.0.5");
    assert_false(host->plain);
    assert_true(yaml_get(yaml_get(root, "defaults"), "port")->plain);
    assert_int_equal(yaml_get(nodes, "web")->kind, YAML_SEQUENCE);
    assert_string_equal(yaml_get(nodes, "web")->items[1]->scalar, "b");
    assert_null(yaml_get(root, "groups"));
    assert_null(yaml_get(NULL, "x"));
    assert_null(yaml_get(host, "x"));
    yaml_free(root);
    yaml_free(NULL);
}

static void test_empty(void **state)
{
    static const char *const empty[] = {"",      "\n\n", "# nothing\n",
                                        "---\n", "~",    "---\n# nothing\n"};

    for (size_t i = 0; i < ARRAY_LEN(empty); i++) {
        struct yaml_node *n = parse(empty[i]);

        assert_int_equal(n->kind, YAML_MAPPING);
        assert_int_equal(n->n, 0);
        yaml_free(n);
    }
}

static void test_scalars(void **state)
{
    struct yaml_node *n = parse("[yes, No, 'true', on, nope, ~, null, '', '~', ]");

    assert_int_equal(yaml_bool(n->items[0]), 1);
    assert_int_equal(yaml_bool(n->items[1]), 0);
    assert_int_equal(yaml_bool(n->items[2]), -1); /* quoted: text */
    assert_int_equal(yaml_bool(n->items[3]), 1);
    assert_int_equal(yaml_bool(n->items[4]), -1);
    assert_int_equal(yaml_bool(n), -1);
    assert_true(yaml_is_null(n->items[5]));
    assert_true(yaml_is_null(n->items[6]));
    assert_false(yaml_is_null(n->items[7]));
    assert_false(yaml_is_null(n->items[8]));
    assert_false(yaml_is_null(n));
    assert_false(yaml_is_null(NULL));
    yaml_free(n);
}

static void test_to_json(void **state)
{
    check_json("{a: 1, b: 007, c: -5, d: 1.5, e: '1', f: true, g: ~, h: [x, {y: z}]}",
               "{\"a\":1,\"b\":\"007\",\"c\":-5,\"d\":1.5,\"e\":\"1\",\"f\":true,\"g\":null,"
               "\"h\":[\"x\",{\"y\":\"z\"}]}");
    check_json("s: \"a\\\"b\\\\c\\nd\\te\"", "{\"s\":\"a\\\"b\\\\c\\u000ad\\u0009e\"}");
    check_json("- .5\n- 1.\n- 1e3\n- 99999999999999999999\n- 0\n- -\n",
               "[\".5\",\"1.\",\"1e3\",\"99999999999999999999\",0,[null]]");
}

static void test_aliases(void **state)
{
    struct yaml_node *n;

    check_json("base: &b {user: ops, keys: [1, 2]}\nx: *b\ny: [*b]\n",
               "{\"base\":{\"user\":\"ops\",\"keys\":[1,2]},"
               "\"x\":{\"user\":\"ops\",\"keys\":[1,2]},"
               "\"y\":[{\"user\":\"ops\",\"keys\":[1,2]}]}");
    n = parse("a: &x one\nb: *x\n");
    assert_int_equal(yaml_get(n, "b")->line, 1); /* where it was written */
    yaml_free(n);
}

static void check_refused(const char *text, const char *where)
{
    struct err e = ERR_INIT;

    assert_null(yaml_parse("inventory.yaml", text, strlen(text), &e));
    assert_int_equal(e.code, ERR_VALIDATION);
    if (strncmp(e.msg, "inventory.yaml: ", 16) || !strstr(e.msg, where))
        fail_msg("%s: \"%s\" is not in \"%s\"", text, where, e.msg);
    err_clear(&e);
}

static void test_refuse(void **state)
{
    struct strbuf b;

    check_refused("a: 1\n b: 2\n", "line 2, column 3: ");
    check_refused("a: [1\n", "line 2, column 1: ");
    check_refused("a: 1\nb: 2\na: 3\n", "line 3, column 1: the key \"a\" stands twice");
    check_refused("[x]: 1\n", "line 1, column 1: a key must be");
    check_refused("a: 1\n---\nb: 2\n", "second document");
    check_refused("a: *nope\n", "alias");
    check_refused("a: &x [*x]\n", "alias"); /* it would hold itself */
    check_refused("a: \"x\\0y\"\n", "NUL");
    check_refused("a: \xff\n", "byte 4");
    check_refused("\tb: 1\n", "line 1");
    strbuf_init(&b, 0);
    for (int i = 0; i < 100; i++)
        strbuf_addch(&b, '[');
    check_refused(b.s, "64 levels");
    strbuf_free(&b);
}

static void test_alias_bombs(void **state)
{
    struct strbuf b;

    /* each list holds the one before ten times: 10^9 values */
    strbuf_init(&b, 0);
    strbuf_adds(&b, "l0: &l0 [x]\n");
    for (int i = 1; i <= 9; i++) {
        strbuf_addf(&b, "l%d: &l%d [", i, i);
        for (int k = 0; k < 10; k++)
            strbuf_addf(&b, "%s*l%d", k ? "," : "", i - 1);
        strbuf_adds(&b, "]\n");
    }
    check_refused(b.s, "1,000,000");
    strbuf_reset(&b);
    /* a long text that is named again and again */
    strbuf_adds(&b, "a: &a ");
    for (int i = 0; i < 100000; i++)
        strbuf_adds(&b, "0123456789");
    strbuf_adds(&b, "\nb: [*a");
    for (int i = 0; i < 1000; i++)
        strbuf_adds(&b, ",*a");
    strbuf_adds(&b, "]\n");
    check_refused(b.s, "64 MiB");
    strbuf_free(&b);
}

/* Random damage to a document: it is read or refused with its place, and nothing leaks. */
static void test_damage(void **state)
{
    static const char good[] = "defaults: &d {user: ops, port: 22}\nnodes:\n  \"web[01-20]\": *d\n"
                               "  db1: {vars: {a: [1, 2, ~]}}\ngroups:\n  web:\n    - x\n    - y\n";
    struct rnd r = {3};

    for (int round = 0; round < 10000; round++) {
        char text[sizeof good];
        struct err e = ERR_INIT;
        struct yaml_node *n;

        memcpy(text, good, sizeof good);
        for (uint32_t k = 1 + rnd_below(&r, 4); k; k--)
            text[rnd_below(&r, sizeof good - 1)] = "\"{}[],:&*!|>-? \n\t%@`\xc3"[rnd_below(&r, 22)];
        n = yaml_parse("f", text, sizeof good - 1, &e);
        if (!n)
            assert_true(strstr(e.msg, "f: line ") == e.msg || strstr(e.msg, "f: byte ") == e.msg);
        else
            assert_null(e.msg);
        yaml_free(n);
        err_clear(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_to_json),
        cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_refuse),
        cmocka_unit_test(test_alias_bombs),
        cmocka_unit_test(test_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
