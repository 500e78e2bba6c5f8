/* SPDX-License-Identifier: Apache-2.0 */
/* Target expressions against a small fleet and a large one. */
#include "target_fixture.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/core/nodeset.h"

#include "../base/rnd.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void test_names(void **state)
{
    struct fixture *x = *state;

    check(x, "web01", "web01");
    check(x, " web02 , web01 ", "web02 web01");
    check(x, "web[01-03]", "web01 web02 web03");
    check(x, "web[01,03],db1", "web01 web03 db1");
    check(x, "web01,web01,web[01-02]", "web01 web02");
    check(x, "localhost", "localhost"); /* literal names reach every node */
    assert_int_equal(x->set.groups.n, 0);
    assert_false(x->set.used_stdin);
}

static void test_algebra_is_left_to_right(void **state)
{
    struct fixture *x = *state;

    check(x, "web[01-03]!web02", "web01 web03");
    check(x, "web[01-03]&web[02-09]", "web02 web03");
    check(x, "web[01-02]^web[02-03]", "web01 web03");
    check(x, "web01,web02!web01", "web02");
    check(x, "web01!web01,web01", "web01"); /* equal precedence: the union comes last */
    check(x, "db1,web[01-03]&web[02-04]!web03", "web02");
    check(x, "web01!web01", "");
}

static void test_globs_and_regexes_cover_explicit_nodes(void **state)
{
    struct fixture *x = *state;

    check(x, "db*", "db1 db2 db3");
    check(x, "web0?!web0[1-7]", "web08 web09");
    check(x, "*&*o*", ""); /* neither localhost nor bastion */
    check(x, "?astion", "");
    check(x, "/^db[12]$/", "db1 db2");
    check(x, "/b(1|2)$/", "db1 db2");
    check(x, "/web0[1,2]/", "web01 web02"); /* the comma is the regex's */
    check(x, "/db/!/[23]/ , web20", "db1 web20");
    check(x, "/calhost/", "");
    check(x, "web[01-02]*", "web01 web02");
    target_all(&x->env, &x->set);
    assert_int_equal(nodeset_count(x->set.nodes), 23);
    assert_false(nodeset_has(x->set.nodes, "localhost"));
}

static void test_groups(void **state)
{
    struct fixture *x = *state;

    check(x, "@web&web0[1-2]", "web01 web02");
    check(x, "@front", "web01 web02 web03 web04");
    assert_int_equal(x->set.groups.n, 1);
    assert_string_equal(x->set.groups.v[0], "front");
    /* direct names first, as written, then the group's members */
    check(x, "@front,db2,web03", "db2 web03 web01 web02 web04");
    check(x, "@front,@web,@front!web05", "web01 web02 web03 web04 web06 web07 web08 web09 web10 "
             "web11 web12 web13 web14 web15 web16 web17 web18 web19 web20");
    assert_int_equal(x->set.groups.n, 2);
    assert_string_equal(x->set.groups.v[1], "web");
    check(x, "@front,@web,@front!@front&web05", "web05");
    assert_int_equal(x->set.groups.n, 0); /* narrowed: it is given whole no longer */
    check(x, "web05,@web!@front!web[06-20]", "web05");
}

static void test_unknown_groups_warn(void **state)
{
    struct fixture *x = *state;

    check(x, "db1,@nope,@nope,@nix", "db1");
    assert_int_equal(x->set.warnings.n, 2);
    assert_non_null(strstr(x->set.warnings.v[0], "@nope"));
    check_fails(x, "@nope", ERR_VALIDATION, "@nope");
    check_fails(x, "@", ERR_VALIDATION, "group");
    check(x, "db1!db1", ""); /* nothing is left, but not for an unknown group */
}

static void test_unknown_nodes(void **state)
{
    struct fixture *x = *state;

    check_fails(x, "web[19-22],nix,db1,nix,@web!web99", ERR_INVALID_NODES, "--any-host");
    assert_string_equal(x->e.details, "web21\nweb22\nnix\nweb99");
    assert_non_null(strstr(x->e.msg, "nix,web[21-22,99]"));
    x->env.any_host = true;
    check(x, "new1,[::1],db1", "new1 [::1] db1");
    check_fails(x, "-oProxyCommand=x", ERR_INVALID_NODES, "-oProxy");
}

static void test_results(void **state)
{
    struct fixture *x = *state;

    check(x, "@last:failed", "web02 web03");
    check(x, "@42:rc=3", "web02");
    check(x, "@42!@last:failed", "web01 web04");
    check(x, "web01!@42:gone", "web01");
    assert_int_equal(x->set.groups.n, 0);
    check_fails(x, "@42:gone", ERR_INVALID_NODES, "old[1-2]");
    check_fails(x, "@43", ERR_NOT_FOUND, "43");
    check_fails(x, "@00000000-0000-4000-8000-000000000000", ERR_NOT_FOUND, "0000");
    check_fails(x, "@last:luck", ERR_VALIDATION, "luck");
    check_fails(x, "@last:", ERR_VALIDATION, "@BATCH:RESULT");
    add_group(x->fleet, "last", "db1");
    add_group(x->fleet, "42", "db2");
    check(x, "@last,@42", "db1 db2"); /* a group of that very name comes first */
    x->env.results = NULL;
    check_fails(x, "@43:failed", ERR_VALIDATION, "cannot be had");
}

static void test_syntax(void **state)
{
    struct fixture *x = *state;

    check_fails(x, "", ERR_VALIDATION, "no target");
    check_fails(x, "  ", ERR_VALIDATION, "no target");
    check_fails(x, "web01,", ERR_VALIDATION, "missing");
    check_fails(x, ",web01", ERR_VALIDATION, "missing");
    check_fails(x, "web01!", ERR_VALIDATION, "missing");
    check_fails(x, "web01,,web02", ERR_VALIDATION, "missing");
    check_fails(x, "web01 web02", ERR_VALIDATION, "comma");
    check_fails(x, "web[01-", ERR_VALIDATION, "web[01-");
    check_fails(x, "/web", ERR_VALIDATION, "closing");
    check_fails(x, "/web/x", ERR_VALIDATION, "\"x\"");
    check_fails(x, "/(/", ERR_VALIDATION, "/(/");
    check_fails(x, "web01!^list", ERR_VALIDATION, "^FILE");
    check_fails(x, "^", ERR_VALIDATION, "file");
}

static char *write_file(struct fixture *x, const char *name, const char *text, size_t n)
{
    char *path = io_join(x->dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(io_write_all(fd, text, n), 0);
    close(fd);
    return path;
}

static char *file_term(struct fixture *x, const char *name, const char *text, size_t n)
{
    char *path = write_file(x, name, text, n), *term = x_asprintf("^%s", path);

    free(path);
    return term;
}

static void test_files(void **state)
{
    static const char list[] = "# a comment\n\nweb03\r\n  db[1-2]!db2  # and one here\n"
                               "/web0[12]/\n";
    struct fixture *x = *state;
    char *term = file_term(x, "list", list, sizeof list - 1), *expr;

    check(x, term, "web03 db1 web01 web02");
    expr = x_asprintf("web20, %s !web03", term);
    check_fails(x, expr, ERR_VALIDATION, "!web03"); /* the file's name runs to the comma */
    free(expr);
    expr = x_asprintf("%s,web20!web03", term);
    check(x, expr, "db1 web01 web02 web20");
    free(expr);
    free(term);

    term = file_term(x, "bad", "web01\nweb[\n", 11);
    check_fails(x, term, ERR_VALIDATION, "/bad line 2: ");
    free(term);
    term = file_term(x, "binary", "web01\0", 6);
    check_fails(x, term, ERR_VALIDATION, "NUL");
    free(term);
    check_fails(x, "^/nonexistent/list", ERR_VALIDATION, "/nonexistent/list");
    expr = x_asprintf("^%s/loop\n", x->dir);
    free(write_file(x, "loop", expr, strlen(expr)));
    expr[strlen(expr) - 1] = '\0';
    check_fails(x, expr, ERR_VALIDATION, "deep");
    free(expr);
}

static void test_standard_input(void **state)
{
    struct fixture *x = *state;
    char *path = write_file(x, "in", "web02\nweb01 # x\n", 16);
    int saved = dup(0), fd = open(path, O_RDONLY);

    assert_true(saved >= 0 && fd >= 0);
    assert_int_equal(dup2(fd, 0), 0);
    check(x, "db1, - ,db2", "db1 web02 web01 db2");
    assert_true(x->set.used_stdin);
    assert_int_equal(lseek(0, 0, SEEK_SET), 0);
    check_fails(x, "-,-", ERR_VALIDATION, "standard input");
    x->env.stdin_taken = true;
    check_fails(x, "-", ERR_VALIDATION, "standard input");
    dup2(saved, 0);
    close(saved);
    close(fd);
    free(path);
}

static int saved(void *ctx, const char *name, char **out, struct err *e)
{
    static const struct {
        const char *name, *targets;
    } rows[] = {
        {"canary", "web0[1-2],db1"}, {"more", "@saved:canary,@front"}, {"self", "web01,@saved:self"},
        {"here", "@saved:there"},    {"there", "@saved:here"},         {"bad", "web01,nix"},
        {"d1", "@saved:d2"},         {"d2", "@saved:d3"},              {"d3", "@saved:d4"},
        {"d4", "@saved:d5"},         {"d5", "@saved:d6"},              {"d6", "@saved:d7"},
        {"d7", "@saved:d8"},         {"d8", "@saved:d9"},              {"d9", "web01"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!strcmp(rows[i].name, name)) {
            *out = x_strdup(rows[i].targets);
            return 0;
        }
    }
    return err_set(e, ERR_NOT_FOUND, "nothing is saved as %s", name);
}

static void test_saved(void **state)
{
    struct fixture *x = *state;

    check_fails(x, "@saved:canary", ERR_VALIDATION, "cannot be had");
    x->env.saved = saved;
    check(x, "@saved:canary", "web01 web02 db1");
    check(x, "@front!@saved:canary", "web03 web04");
    assert_string_equal(x->set.groups.v[0], "front");
    check(x, "@saved:more!db1", "web01 web02 web03 web04");
    assert_string_equal(x->set.groups.v[0], "front");
    check(x, "@web!@saved:more&web0?", "web05 web06 web07 web08 web09");
    assert_int_equal(x->set.groups.n, 0);
    check_fails(x, "@saved:nix", ERR_NOT_FOUND, "nix");
    check_fails(x, "@saved:", ERR_VALIDATION, "NAME");
    check_fails(x, "@saved:self", ERR_VALIDATION, "@saved:self in @saved:self");
    check_fails(x, "@saved:here", ERR_VALIDATION, "@saved:here in @saved:there in @saved:here");
    check_fails(x, "@saved:bad", ERR_INVALID_NODES, "nix");
    check_fails(x, "@saved:d1", ERR_VALIDATION, "deep");
    check(x, "@saved:d2", "web01");
}

static void test_glob(void **state)
{
    assert_true(target_glob("*", ""));
    assert_true(target_glob("web*", "web"));
    assert_true(target_glob("*b*1", "web01"));
    assert_true(target_glob("w??01", "web01"));
    assert_true(target_glob("*a*b*c", "xaxbxbc"));
    assert_false(target_glob("web", "web1"));
    assert_false(target_glob("?", ""));
    assert_false(target_glob("*a", "ab"));
    assert_false(target_glob("", "a"));
    /* what makes a backtracking matcher run for ever */
    assert_false(target_glob("*a*a*a*a*a*a*a*a*a*b",
                             "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

/* Whatever is written, only known nodes come out, each once, and errors leave nothing behind. */
static void test_only_known_nodes(void **state)
{
    static const char *const parts[] = {"web01", "web[01-05]", "web[18-22]", "@web",  "@front",
                                        "@nope", "@last:failed", "@42:gone", "db*",   "/web1/",
                                        "nix",   ",",          "!",          "&",     "^",
                                        " ",     "[",          "]",          "/",     "localhost",
                                        "@",     "-",          "*",          "?",     "db[1-3/2]"};
    struct fixture *x = *state;
    struct rnd r = {5};
    int good = 0;

    x->env.stdin_taken = true;
    for (int round = 0; round < 20000; round++) {
        struct strbuf expr;

        strbuf_init(&expr, 0);
        for (uint32_t n = 1 + rnd_below(&r, 6); n; n--) {
            strbuf_adds(&expr, parts[rnd_below(&r, ARRAY_LEN(parts))]);
            if (n > 1 && rnd_below(&r, 4))
                strbuf_addch(&expr, ",!&^"[rnd_below(&r, 4)]);
        }
        if (target_eval(&x->env, expr.s, &x->set, &x->e)) {
            assert_null(x->set.nodes);
            assert_true(x->e.code != ERR_NONE && *x->e.msg);
        } else {
            good++;
            for (size_t i = 0; i < nodeset_count(x->set.nodes); i++)
                assert_non_null(fleet_node(x->fleet, nodeset_at(x->set.nodes, i)));
        }
        strbuf_free(&expr);
    }
    assert_true(good > 1000);
}

/* Not a benchmark: a bound that only a wrong complexity passes, also under sanitizers. */
static void test_large_fleet(void **state)
{
    struct fixture *x = *state;
    const struct mclock *c = clock_system();
    struct strbuf many;
    char name[16];
    int64_t start;

    for (int i = 1; i <= 10000; i++) {
        snprintf(name, sizeof name, "n%05d", i);
        add_node(x->fleet, name, true);
    }
    add_group(x->fleet, "all", "n[00001-10000]");
    strbuf_init(&many, 0);
    for (int i = 1; i <= 10000; i++)
        strbuf_addf(&many, "%sn%05d", i > 1 ? "," : "", i);
    start = mono_ms(c);
    assert_int_equal(target_eval(&x->env, "@all!n[00001-05000]&/[05]$/,n*", &x->set, NULL), 0);
    assert_int_equal(nodeset_count(x->set.nodes), 10000);
    assert_int_equal(target_eval(&x->env, many.s, &x->set, NULL), 0);
    assert_int_equal(nodeset_count(x->set.nodes), 10000);
    assert_string_equal(nodeset_at(x->set.nodes, 9999), "n10000");
    assert_true(mono_ms(c) - start < 2000);
    strbuf_free(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_names),
        TEST(test_algebra_is_left_to_right),
        TEST(test_globs_and_regexes_cover_explicit_nodes),
        TEST(test_groups),
        TEST(test_unknown_groups_warn),
        TEST(test_unknown_nodes),
        TEST(test_results),
        TEST(test_syntax),
        TEST(test_files),
        TEST(test_standard_input),
        TEST(test_saved),
        TEST(test_glob),
        TEST(test_only_known_nodes),
        TEST(test_large_fleet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
