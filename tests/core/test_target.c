/* SPDX-License-Identifier: Apache-2.0 */
/* Target expressions against a small fleet and a large one. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/base/strmap.h"
#include "muster/core/fleet.h"
#include "muster/core/json.h"
#include "muster/core/nodeset.h"
#include "muster/core/target.h"

#include "../base/rnd.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void add_node(struct fleet *f, const char *name, bool is_explicit)
{
    size_t n = f->n_nodes;

    if (!(n & (n - 1))) /* full: the room is a power of two */
        f->nodes = x_array(f->nodes, n ? n * 2 : 1, sizeof *f->nodes);
    f->nodes[f->n_nodes] = (struct fleet_node) {.name = x_strdup(name),
                                                .explicit_node = is_explicit};
    settings_init(&f->nodes[f->n_nodes].base);
    settings_init(&f->nodes[f->n_nodes].over);
    strmap_set_num(f->node_index, name, (intptr_t) f->n_nodes++);
}

static void add_group(struct fleet *f, const char *name, const char *pattern)
{
    struct nodeset *s = nodeset_new();
    struct fleet_group g = {.name = x_strdup(name)};

    assert_int_equal(nodeset_expand(s, pattern, NULL), 0);
    g.n_all = nodeset_count(s);
    g.all = x_array(NULL, g.n_all, sizeof *g.all);
    for (size_t i = 0; i < g.n_all; i++)
        g.all[i] = (uint32_t) (fleet_node(f, nodeset_at(s, i)) - f->nodes);
    nodeset_free(s);
    f->groups = x_array(f->groups, f->n_groups + 1, sizeof *f->groups);
    f->groups[f->n_groups] = g;
    strmap_set_num(f->group_index, name, (intptr_t) f->n_groups++);
}

/* db1-3 and web01-20 are explicit, bastion and localhost are not. */
static struct fleet *make_fleet(void)
{
    struct fleet *f = fleet_new();
    char name[16];

    add_node(f, "bastion", false);
    for (int i = 1; i <= 3; i++) {
        snprintf(name, sizeof name, "db%d", i);
        add_node(f, name, true);
    }
    add_node(f, "localhost", false);
    for (int i = 1; i <= 20; i++) {
        snprintf(name, sizeof name, "web%02d", i);
        add_node(f, name, true);
    }
    add_group(f, "web", "web[01-20]");
    add_group(f, "front", "web[01-04]");
    return f;
}

static int results(void *ctx, const char *batch, const char *what, struct nodeset *out,
                   struct err *e)
{
    if (strcmp(batch, "last") && strcmp(batch, "42"))
        return err_set(e, ERR_NOT_FOUND, "no batch %s", batch);
    if (!what)
        nodeset_expand(out, "web[01-04]", NULL);
    else if (!strcmp(what, "failed"))
        nodeset_expand(out, "web[02-03]", NULL);
    else if (!strcmp(what, "rc=3"))
        nodeset_add(out, "web02");
    else if (!strcmp(what, "gone"))
        nodeset_expand(out, "old[1-2]", NULL);
    else
        return err_set(e, ERR_VALIDATION, "what is %s", what);
    return 0;
}

struct fixture {
    struct fleet *fleet;
    struct target_env env;
    struct target_set set;
    struct err e;
    char dir[64];
};

static int set_up(void **state)
{
    struct fixture *x = x_calloc(1, sizeof *x);

    x->fleet = make_fleet();
    x->env = (struct target_env) {.fleet = x->fleet, .results = results};
    target_set_init(&x->set);
    snprintf(x->dir, sizeof x->dir, "/tmp/muster-test-target-XXXXXX");
    *state = x;
    return mkdtemp(x->dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *x = *state;
    char *cmd = x_asprintf("rm -rf '%s'", x->dir);
    int rc = system(cmd);

    free(cmd);
    target_set_clear(&x->set);
    err_clear(&x->e);
    fleet_free(x->fleet);
    free(x);
    return rc;
}

static void check(struct fixture *x, const char *expr, const char *want)
{
    struct strbuf b;

    strbuf_init(&b, 0);
    if (target_eval(&x->env, expr, &x->set, &x->e))
        fail_msg("%s: %s", expr, x->e.msg);
    for (size_t i = 0; i < nodeset_count(x->set.nodes); i++)
        strbuf_addf(&b, "%s%s", i ? " " : "", nodeset_at(x->set.nodes, i));
    assert_string_equal(b.s, want);
    strbuf_free(&b);
}

static void check_fails(struct fixture *x, const char *expr, enum err_code code, const char *text)
{
    assert_int_equal(target_eval(&x->env, expr, &x->set, &x->e), -(int) code);
    if (!strstr(x->e.msg, text))
        fail_msg("%s: \"%s\" is not in \"%s\"", expr, text, x->e.msg);
    assert_null(x->set.nodes);
    assert_int_equal(x->set.groups.n, 0);
    assert_int_equal(x->set.warnings.n, 0);
}

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

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

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
        TEST(test_variables),
        TEST(test_facts),
        TEST(test_unknown_variables), TEST(test_values_that_nobody_has),
        TEST(test_operators_that_there_are_not),
        TEST(test_saved),
        TEST(test_glob),
        TEST(test_only_known_nodes),
        TEST(test_large_fleet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
