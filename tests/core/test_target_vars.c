/* SPDX-License-Identifier: Apache-2.0 */
/* Target expressions on variables and facts. */
#include "target_fixture.h"

#include "muster/base/alloc.h"
#include "muster/core/json.h"

#include <stdlib.h>
#include <string.h>

static void set_var(struct fleet *f, const char *node, const char *name, const char *value)
{
    struct fleet_node *n = (struct fleet_node *) (uintptr_t) fleet_node(f, node);

    assert_non_null(n);
    n->vars = x_array(n->vars, n->n_vars + 1, sizeof *n->vars);
    n->vars[n->n_vars++] = (struct fleet_var) {x_strdup(name), x_strdup(value)};
}

/* What muster has learned; ctx holds the last document, as the service does. */
static const struct json *facts(void *ctx, const char *node, const char *path)
{
    static const struct {
        const char *node, *text;
    } rows[] = {
        {"db2", "{\"os\":{\"name\":\"Ubuntu\",\"release\":{\"major\":\"22\"}},\"cores\":4,"
                "\"virtual\":true,\"load\":0.5,\"nothing\":null}"},
        {"db3", "{\"os\":{\"name\":\"Debian\",\"release\":{\"major\":\"12\"}},\"cores\":16,"
                "\"dc\":\"moon\",\"disks\":[{\"size\":10},{\"size\":20}],\"virtual\":false}"},
        {"web01", "{\"os\":\"plain\"}"},
    };
    struct json **held = ctx;

    json_free(*held);
    *held = NULL;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!strcmp(rows[i].node, node))
            *held = path ? json_parse_member(rows[i].text, path)
                         : json_parse(rows[i].text, strlen(rows[i].text), NULL);
    }
    return *held;
}

static void add_vars(struct fixture *x)
{
    set_var(x->fleet, "db1", "dc", "fra");
    set_var(x->fleet, "db2", "dc", "AMS");
    set_var(x->fleet, "bastion", "dc", "fra");
    set_var(x->fleet, "db1", "roles", "[\"primary\",\"backup\"]");
    set_var(x->fleet, "db2", "roles", "[\"replica\"]");
    set_var(x->fleet, "db1", "rack", "{\"row\":{\"name\":\"B\"},\"unit.no\":7}");
    set_var(x->fleet, "db1", "about", "[not json, web02");
    set_var(x->fleet, "db3", "empty", "");
    set_var(x->fleet, "web02", "facts.os.name", "Debian");
    set_var(x->fleet, "web02", "facts.os.release.major", "11");
    set_var(x->fleet, "db3", "facts.os.name", "older");
}

static void test_variables(void **state)
{
    struct fixture *x = *state;

    add_vars(x);
    check(x, "dc=fra", "db1"); /* bastion is not explicit */
    check(x, "dc=ams,dc=FRA", "db2 db1");
    check(x, "db[1-3]&dc=*a*", "db1 db2");
    check(x, "dc=?*!dc=f*", "db2");
    check(x, "db[1-3]!dc=fra", "db2 db3"); /* a difference with a term */
    check(x, "db[1-3]&dc!=fra", "db2 db3"); /* a node without it does not equal */
    check(x, "bastion,db1&dc!=ams", "bastion db1");
    check(x, "bastion,db1&dc=fra", "bastion db1"); /* narrowing looks at every node */
    check(x, "bastion,localhost!dc=fra", "localhost");
    check(x, "@front!dc!=fra", "");
    check(x, " dc= fra , web01", "db1 web01");
    check(x, "dc=\"fra\"", "db1");
    check(x, "about='[not json, web02' ,web01", "db1 web01");
    check(x, "empty=\"\"", "db3");
    check(x, "roles=backup", "db1");
    check(x, "roles=*,web01", "db1 db2 web01");
    check(x, "db*&roles!=replica", "db1 db3");
    check(x, "roles.0=replica", "db2");
    check(x, "rack.row=b", "db1");
    check(x, "rack.unit.no=7", "db1");
    check(x, "dc~^(a|f), web01", "db1 db2 web01");
    check(x, "dc~^ams|^fra", "db1 db2");
    check(x, "dc~^[^f,]+$", "db2");
    check(x, "dc~^.{1,3}$^db1", "db2"); /* either but not both */
    check(x, "dc~'^fra'", "db1");
    check(x, "@web&dc!=x&web0[1-2]", "web01 web02");
    assert_int_equal(x->set.groups.n, 0);
}

static void test_facts(void **state)
{
    struct fixture *x = *state;
    struct json *held = NULL;

    add_vars(x);
    check(x, "os=debian", "web02"); /* of the inventory alone */
    check(x, "os=older", "db3");
    x->env.facts = facts;
    x->env.ctx = &held;
    check(x, "os=debian", "db3 web02");
    check(x, "facts.os=older", ""); /* what was learned comes first */
    check(x, "os~^(deb|ubu)", "db2 db3 web02");
    check(x, "os=plain", "web01");
    check(x, "os.release.major=1?", "db3 web02");
    check(x, "facts.cores=16", "db3");
    check(x, "virtual=true,load=0.5", "db2");
    check(x, "disks.1.size=20", "db3");
    check(x, "db*&dc=moon", "db3"); /* it has no such variable */
    check(x, "dc=fra", "db1");
    set_var(x->fleet, "db3", "dc", "fra");
    check(x, "dc=moon", "");
    check(x, "facts.dc=moon", "db3");
    check_fails(x, "nothing=null", ERR_VALIDATION, "no node has");
    json_free(held);
}

static void check_none(struct fixture *x, const char *expr, const char *why)
{
    check(x, expr, "");
    if (!why)
        assert_null(x->set.why_none);
    else if (!x->set.why_none || !strstr(x->set.why_none, why))
        fail_msg("%s: \"%s\" is not in \"%s\"", expr, why, x->set.why_none ? x->set.why_none : "");
}

static void test_values_that_nobody_has(void **state)
{
    struct fixture *x = *state;

    add_vars(x);
    check_none(x, "dc=mars", "dc=mars: no node has dc \"mars\" (values: AMS, fra)");
    check_none(x, "dc=fta", "(did you mean fra? values: AMS, fra)");
    check_none(x, "dc~^m", "dc~^m: no node has a dc like \"^m\" (values: AMS, fra)");
    check_none(x, "dc=/fra/", "a regular expression is written dc~REGEX");
    check_none(x, "@web&dc=mars", "dc=mars");
    check_none(x, "roles=boss", "(values: backup, primary, replica)");
    check_none(x, "@front&dc=fra", NULL); /* somebody has it */
    check_none(x, "db1!dc=fra", NULL);
    check(x, "db1!dc=mars", "db1");
    assert_null(x->set.why_none);
    check(x, "dc = fra , dc != fra & db3", "db3");
}

static void test_operators_that_there_are_not(void **state)
{
    static const struct {
        const char *expr, *op;
    } rows[] = {{"dc>1", ">"}, {"dc >= 1", ">="}, {"web01,dc<3,db1", "<"}, {"dc==fra", "=="},
                {"dc=~fra", "=~"}, {"dc!~fra", "!~"}, {"dc!==fra", "!=="}};
    struct fixture *x = *state;

    add_vars(x);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *text = x_asprintf("there is no operator %s:", rows[i].op);

        check_fails(x, rows[i].expr, ERR_VALIDATION, text);
        assert_null(strstr(x->e.msg, "db1"));
        free(text);
    }
    check_fails(x, "dc=/^fra/,db1", ERR_VALIDATION, "dc=/^fra/: a regular expression is written dc~^fra");
    check(x, "dc=\"=x\",db1", "db1");
}

static void test_unknown_variables(void **state)
{
    struct fixture *x = *state;
    struct json *held = NULL;

    check_fails(x, "dc=fra", ERR_VALIDATION, "set no variable");
    add_vars(x);
    check_fails(x, "rolse=backup", ERR_VALIDATION, "did you mean roles?");
    check_fails(x, "@web!rolse=backup", ERR_VALIDATION, "did you mean roles?");
    check_fails(x, "kernelversion=6", ERR_VALIDATION, "there are dc, roles, rack");
    check_fails(x, "rack.column=b", ERR_VALIDATION, "rack.column");
    x->env.facts = facts;
    x->env.ctx = &held;
    check_fails(x, "os.relaese=12", ERR_VALIDATION, "did you mean os.release?");
    json_free(held);
    check_fails(x, "dc=", ERR_VALIDATION, "value is missing");
    check_fails(x, "dc=,db1", ERR_VALIDATION, "value is missing");
    check_fails(x, "dc='fra", ERR_VALIDATION, "closing '");
    check_fails(x, "dc='fra' x", ERR_VALIDATION, "\"x\"");
    check_fails(x, "dc~(", ERR_VALIDATION, "dc~(");
    check_fails(x, "dc~[a", ERR_VALIDATION, "dc~[a");
    check_fails(x, "web01!=db1", ERR_VALIDATION, "web01");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_variables),
        TEST(test_facts),
        TEST(test_values_that_nobody_has),
        TEST(test_operators_that_there_are_not),
        TEST(test_unknown_variables),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
