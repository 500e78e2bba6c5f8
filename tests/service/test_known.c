/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of nodes, and kept about them: saved targets, notes, facts and classes of results in
 * targets; and what a rerun makes of groups and nodes that have changed since. */
#include "tasks.h"

#include "muster/base/strbuf.h"
#include "muster/core/nodeset.h"
#include "muster/core/target.h"

#include <stdio.h>

/* What an expression comes to, folded; or the error, as "! text". Caller frees. */
static char *eval(struct fixture *f, const char *targets)
{
    const struct target_request q = {.targets = targets};
    struct target_set out;
    struct strbuf b;
    strbuf_init(&b, 0);
    if (service_targets(f->s, &q, &out, &f->e) == 0) {
        nodeset_fold(&b, out.nodes, 0);
        target_set_clear(&out);
    } else {
        strbuf_addf(&b, "! %s", f->e.msg);
        err_clear(&f->e);
    }
    return strbuf_steal(&b);
}

static void assert_targets(struct fixture *f, const char *targets, const char *wanted)
{
    CLEANUP_FREE char *is = eval(f, targets);
    assert_string_equal(is, wanted);
}

static void assert_no_targets(struct fixture *f, const char *targets, const char *word)
{
    CLEANUP_FREE char *is = eval(f, targets);
    if (*is != '!' || !strstr(is, word))
        fail_msg("\"%s\" is not in: %s", word, is);
}

static void save(struct fixture *f, const char *name, const char *targets)
{
    if (service_save_targets(f->s, name, targets, &f->e) != 0)
        fail_msg("%s", f->e.msg);
}

static void test_saved(void **state)
{
    struct fixture *f = *state;
    save(f, "front", "@web,db1");
    save(f, "most", "@saved:front!n02");
    assert_targets(f, "@saved:most", "db1,n[01,03-04]");
    assert_targets(f, "@saved:front&@web", "n[01-04]");
    /* As it is at the time, not as it was when it was saved. */
    save(f, "front", "db2");
    assert_targets(f, "@saved:most", "db2");
    assert_no_targets(f, "@saved:frnt", "did you mean front?");
    assert_refused(f, service_save_targets(f->s, "bad name", "n01", &f->e), ERR_VALIDATION, "bad name");
    assert_refused(f, service_save_targets(f->s, "x", "nobody", &f->e), ERR_INVALID_NODES, "nobody");
    assert_refused(f, service_save_targets(f->s, "x", "n01,,n02", &f->e), ERR_VALIDATION,
                   "a name is missing");
    assert_int_equal(service_save_targets(f->s, "front", NULL, &f->e), 0);
    assert_refused(f, service_save_targets(f->s, "front", NULL, &f->e), ERR_NOT_FOUND, "front");
    assert_no_targets(f, "@saved:most", "front");
}

static void test_saved_in_a_circle(void **state)
{
    struct fixture *f = *state;
    assert_refused(f, service_save_targets(f->s, "a", "n01,@saved:a", &f->e), ERR_VALIDATION, "itself");
    save(f, "a", "n01");
    save(f, "b", "@saved:a,n02");
    assert_refused(f, service_save_targets(f->s, "a", "@saved:b", &f->e), ERR_VALIDATION, "itself");
    assert_targets(f, "@saved:b", "n[01-02]");
}

static void test_notes(void **state)
{
    struct fixture *f = *state;
    struct note *v;
    size_t n;
    char big[NOTE_MAX + 2];
    int64_t number = create_simple(f, "true", LIST("n01"));
    wait_idle(f->s);
    assert_int_equal(service_note(f->s, "n01", 0, "disk was changed", &f->e), 0);
    assert_int_equal(service_note(f->s, "n01", 0, "\xc3\xa9 two\nlines", &f->e), 0);
    assert_int_equal(service_note(f->s, NULL, number, "change 4711", &f->e), 0);
    assert_int_equal(reader_notes(f->r, "n01", 0, &v, &n, &f->e), 0);
    assert_int_equal(n, 2);
    assert_string_equal(v[0].text, "disk was changed");
    assert_string_equal(v[1].text, "\xc3\xa9 two\nlines");
    assert_true(v[0].written_ms > 0);
    notes_free(v, n);
    assert_int_equal(reader_notes(f->r, NULL, number, &v, &n, &f->e), 0);
    assert_int_equal(n, 1);
    assert_string_equal(v[0].text, "change 4711");
    notes_free(v, n);
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    assert_refused(f, service_note(f->s, "n01", 0, big, &f->e), ERR_VALIDATION, "4096");
    assert_refused(f, service_note(f->s, "n01", 0, " \n", &f->e), ERR_VALIDATION, "note");
    assert_refused(f, service_note(f->s, "n01", 0, "\xff", &f->e), ERR_VALIDATION, "UTF-8");
    assert_int_equal(service_note(f->s, "nobody", 0, "x", &f->e) == 0, false);
    err_clear(&f->e);
    assert_refused(f, service_note(f->s, NULL, 99, "x", &f->e), ERR_NOT_FOUND, "99");
}

static void learn(struct fixture *f)
{
    struct task_ask a;
    add_task(f, "facts.sh",
             "#!/bin/sh\ncase $MUSTER_NODE in n0[12]) os=Debian major=12;; *) os=AlmaLinux major=9;; esac\n"
             "echo '{\"os\": {\"name\": \"'$os'\", \"release\": {\"major\": '$major'}}, "
             "\"dc\": \"learned\", \"disks\": [\"sda\", \"n-'$MUSTER_NODE'\"]}'\n");
    ask_task(&a, "facts", LIST("n01", "n02", "n03"));
    run_task(f, &a);
}

static void test_variables_and_facts(void **state)
{
    struct fixture *f = *state;
    write_file(f, "inventory.yaml",
               "defaults: {transport: local}\n"
               "nodes: {n01: {vars: {dc: fra}}, n02: {vars: {dc: \"new york\"}}, n03: {}, n04: {}}\n"
               "groups: {web: {nodes: \"n[01-03]\"}}\n");
    fixture_reopen(f);
    assert_targets(f, "dc=fra", "n01");
    assert_targets(f, "dc='NEW york'", "n02");
    assert_no_targets(f, "os=debian", "no node has a variable or fact os");
    learn(f);
    assert_targets(f, "os=debian", "n[01-02]");
    assert_targets(f, "os.name=debian", "n[01-02]");
    assert_targets(f, "@web&os!=debian", "n03");
    assert_targets(f, "os.release.major~^[0-9]$", "n03");
    assert_targets(f, "disks=n-n02", "n02");
    assert_targets(f, "disks.0=sda!n01", "n[02-03]");
    /* A variable comes before a fact of its name. */
    assert_targets(f, "dc=learned", "n03");
    assert_targets(f, "facts.dc=learned", "n[01-03]");
    assert_targets(f, "dc!=fra", "n[02-04]");
    assert_no_targets(f, "oss=debian", "did you mean os");
    assert_no_targets(f, "os~[", "bad regular expression");
    assert_no_targets(f, "os='debian", "closing");
    save(f, "deb", "os=debian");
    assert_targets(f, "@saved:deb&dc=fra", "n01");
}

static void test_classes(void **state)
{
    struct fixture *f = *state;
    create_simple(f, "case $MUSTER_NODE in n02) echo odd; exit 3;; *) echo even;; esac",
                  LIST("n01", "n02", "n03"));
    wait_idle(f->s);
    assert_targets(f, "@last:class1", "n[01,03]");
    assert_targets(f, "@1:class2", "n02");
    assert_targets(f, "@last:rc=3", "n02");
    assert_no_targets(f, "@last:class3", "class");
    assert_no_targets(f, "@last:class0", "class0");
    assert_no_targets(f, "@last:classy", "classy");
}

/* --- groups and nodes that have changed --- */

static int64_t create_from(struct fixture *f, const char *targets)
{
    const struct target_request q = {.targets = targets};
    struct target_set t;
    struct batch_request r;
    assert_int_equal(service_targets(f->s, &q, &t, &f->e), 0);
    ask(&r, "true", NULL, NULL);
    const char **ids = x_array(NULL, nodeset_count(t.nodes) + 1, sizeof *ids);
    for (size_t i = 0; i < nodeset_count(t.nodes); i++)
        ids[i] = nodeset_at(t.nodes, i);
    r.node_ids = ids;
    r.n_node_ids = nodeset_count(t.nodes);
    r.group_ids = (const char *const *) t.groups.v;
    r.n_group_ids = t.groups.n;
    r.expanded = true;
    int64_t n = create(f, &r);
    wait_idle(f->s);
    free(ids);
    target_set_clear(&t);
    return n;
}

/* The nodes of a rerun, folded, and its warnings a line each; or the error. Caller frees. */
static char *again(struct fixture *f, int64_t number, enum rerun_which which, bool expand)
{
    const struct rerun_options o = {.expand = expand};
    struct batch_request r;
    struct rerun_hold *hold;
    struct strbuf b;
    strbuf_init(&b, 0);
    if (batch_rerun_request(f->s, number, which, REASON_NONE, &o, &r, &hold, &f->e) != 0) {
        strbuf_addf(&b, "! %s", f->e.msg);
        err_clear(&f->e);
        return strbuf_steal(&b);
    }
    struct nodeset *s = nodeset_new();
    for (size_t i = 0; i < r.n_node_ids; i++)
        nodeset_add(s, r.node_ids[i]);
    nodeset_fold(&b, s, 0);
    for (size_t i = 0; r.warnings && i < r.warnings->n; i++)
        strbuf_addf(&b, "\n%s", r.warnings->v[i]);
    nodeset_free(s);
    batch_request_clear(&r);
    rerun_hold_free(hold);
    return strbuf_steal(&b);
}

static void assert_again(struct fixture *f, int64_t number, bool expand, const char *wanted)
{
    CLEANUP_FREE char *is = again(f, number, RERUN_ALL, expand);
    assert_string_equal(is, wanted);
}

static void test_groups_anew(void **state)
{
    struct fixture *f = *state;
    int64_t whole = create_from(f, "db1,@web!n02"), plain = create_from(f, "n01,n02");
    write_file(f, "inventory.yaml",
               "defaults: {transport: local}\n"
               "nodes: {\"n[01-08]\": {}, db1: {}}\n"
               "groups: {web: {nodes: \"n[02-06]\"}}\n");
    fixture_reopen(f);
    assert_again(f, whole, false, "db1,n[01,03-04]");
    /* n02 was left out by hand, and stays out. */
    assert_again(f, whole, true,
                 "db1,n[03-06]\n2 nodes new in the groups, run too: n[05-06]\n"
                 "1 node no longer in the groups, left out: n01");
    CLEANUP_FREE char *none = again(f, plain, RERUN_ALL, true);
    assert_non_null(strstr(none, "no whole group"));
    CLEANUP_FREE char *failed = again(f, whole, RERUN_FAILED, true);
    assert_true(*failed == '!');
}

/* What was named directly is what the first of them was given, whatever the groups have lost since. */
static void test_groups_anew_again(void **state)
{
    struct fixture *f = *state;
    int64_t whole = create_from(f, "db1,@web!n02");
    write_file(f, "inventory.yaml",
               "defaults: {transport: local}\n"
               "nodes: {\"n[01-08]\": {}, db1: {}}\n"
               "groups: {web: {nodes: \"n[02-05]\"}}\n");
    fixture_reopen(f);
    const struct rerun_options o = {.expand = false};
    struct batch_request r;
    struct rerun_hold *hold;
    assert_int_equal(batch_rerun_request(f->s, whole, RERUN_ALL, REASON_NONE, &o, &r, &hold, &f->e), 0);
    int64_t second = create(f, &r);
    wait_idle(f->s);
    batch_request_clear(&r);
    rerun_hold_free(hold);
    assert_again(f, second, false, "db1,n[01,03-04]");
    assert_again(f, second, true,
                 "db1,n[03-05]\n1 node new in the groups, run too: n05\n"
                 "1 node no longer in the groups, left out: n01");
}

static void test_gone(void **state)
{
    struct fixture *f = *state;
    int64_t n = create_from(f, "db1,@web");
    write_file(f, "inventory.yaml", "defaults: {transport: local}\nnodes: {\"n[03-08]\": {}}\n");
    fixture_reopen(f);
    assert_again(f, n, false, "n[03-04]\n3 nodes gone from the inventories, left out: db1,n[01-02]");
    CLEANUP_FREE char *expanded = again(f, n, RERUN_ALL, true);
    assert_non_null(strstr(expanded, "no inventory has any of these nodes now: db1"));
    write_file(f, "inventory.yaml", "defaults: {transport: local}\nnodes: {other: {}}\n");
    fixture_reopen(f);
    CLEANUP_FREE char *none = again(f, n, RERUN_ALL, false);
    assert_non_null(strstr(none, "no inventory has any of these nodes now"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, tasks_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_saved),
        TEST(test_saved_in_a_circle),
        TEST(test_notes),
        TEST(test_variables_and_facts),
        TEST(test_classes),
        TEST(test_groups_anew),
        TEST(test_groups_anew_again),
        TEST(test_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
