/* SPDX-License-Identifier: Apache-2.0 */
/* What a plan is refused for: the rules of the configuration before anything runs and with results in it,
 * results that are not there, values that grow too large. */
#include "tasks.h"

#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/core/plan.h"

#define SAY "- {name: say, command: 'printf /precious', targets: $targets}\n"

static void rules(struct fixture *f, const char *text)
{
    write_file(f, "muster/config.yaml", text);
    fixture_reopen(f);
}

/* 0 when it was begun, and has ended. */
static int try_plan(struct fixture *f, const char *steps, int64_t *number)
{
    CLEANUP_FREE char *text = x_asprintf("parameters: {targets: {type: TargetSpec}}\nsteps:\n%s", steps);
    struct work_request w;
    struct batch_request r;
    struct batch_created made;
    write_file(f, "p.yaml", text);
    work_request_init(&w);
    w.name = io_join(f->dir, "p.yaml");
    ask(&r, "p", LIST("n01", "n02"), NULL);
    r.type = ACTION_TYPE_PLAN;
    r.work = &w;
    r.confirmed = true;
    int rc = batch_create(f->s, &r, &made, &f->e);
    *number = rc == 0 ? made.number : 0;
    if (rc == 0)
        wait_idle(f->s);
    batch_created_clear(&made);
    batch_request_clear(&r);
    work_request_clear(&w);
    return rc;
}

static void assert_forbidden(struct fixture *f, const char *steps, const char *word)
{
    size_t before = count_batches(f);
    int64_t n;
    assert_refused(f, try_plan(f, steps, &n), ERR_FORBIDDEN, word);
    assert_int_equal(count_batches(f), before);
}

/* How the first node ended: "" for well. */
static void assert_ends(struct fixture *f, const char *steps, const char *word)
{
    struct execution x;
    int64_t n;
    if (try_plan(f, steps, &n) != 0)
        fail_msg("%s", f->e.msg);
    assert_int_equal(reader_execution(f->r, n, 0, &x, &f->e), 0);
    if (*word ? !x.error || !strstr(x.error, word) : x.status != EXEC_SUCCESS)
        fail_msg("\"%s\" is not in: %s", word, x.error ? x.error : "");
    execution_clear(&x);
}

/* In the shell's eyes the result is quoted; in a rule's it is there both ways. */
static void test_results_complete_a_rule(void **state)
{
    static const char steps[] =
        SAY "- {name: wipe, command: \"touch -rf ${say['stdout']}\", targets: $targets}\n";
    struct fixture *f = *state;
    rules(f, "deny: ['-rf /precious']\n");
    assert_ends(f, steps, "step 2 (wipe): a rule of the configuration denies what this is with the results "
                          "in it (deny: -rf /precious)");
    rules(f, "deny: [\"-rf '/prec\"]\n");
    assert_ends(f, steps, "(deny: -rf '/prec)");
    rules(f, "confirm: ['-rf /precious']\n");
    assert_ends(f, steps, "nobody can be asked any more (confirm: -rf /precious)");
    /* That one rule was agreed to says nothing of another. */
    rules(f, "confirm: ['touch', '-rf /precious']\n");
    assert_ends(f, steps, "nobody can be asked any more (confirm: -rf /precious)");
    rules(f, "confirm: ['touch -rf']\n");
    assert_ends(f, SAY "- {command: \"touch -rf . ${say['stdout']}.no || true\", targets: $targets}\n", "");
}

static void test_arguments(void **state)
{
    struct fixture *f = *state;
    make_dirs(f, "muster/modules/m/files");
    write_file(f, "s.sh", "#!/bin/sh\necho \"$@\"\n");
    write_file(f, "muster/modules/m/files/s.sh", "#!/bin/sh\necho \"$@\"\n");
    CLEANUP_FREE char *fixed = x_asprintf(
        SAY "- {name: wipe, script: %s/s.sh, arguments: [-f, /precious], targets: $targets}\n", f->dir);
    CLEANUP_FREE char *later = x_asprintf(
        SAY "- {name: wipe, script: %s/s.sh, arguments: [-f, \"${say['stdout']}\"], targets: $targets}\n",
        f->dir);
    /* What muster itself sends around a script is nobody's business. */
    rules(f, "deny: ['rm -rf', 'trap', 'umask']\n");
    assert_ends(f, fixed, "");
    assert_ends(f, later, "");
    rules(f, "deny: ['s.sh -f /precious']\n");
    assert_forbidden(f, fixed, "step 2 (wipe): a rule of the configuration denies this (deny: s.sh -f");
    assert_ends(f, later, "step 2 (wipe): a rule of the configuration denies what this is");
    /* What is known is looked at before anything runs, though a result is beside it. */
    rules(f, "deny: ['s.sh -f']\n");
    assert_forbidden(f, later, "(deny: s.sh -f)");
    rules(f, "confirm: ['s.sh -f']\n");
    assert_ends(f, later, "");
    rules(f, "confirm: ['s.sh -f /precious']\n");
    assert_ends(f, fixed, "");
    assert_ends(f, later, "nobody can be asked any more");
    /* By the name that the plan has, too. */
    rules(f, "deny: ['^m/s.sh /precious$']\n");
    assert_forbidden(f, "- {script: m/s.sh, arguments: [/precious], targets: $targets}\n", "(deny: ^m/s.sh");
}

/* As `muster plans NAME` tells it, without any node. */
static void test_a_plan_alone(void **state)
{
    struct fixture *f = *state;
    struct plan p;
    write_file(f, "s.sh", "#!/bin/sh\n");
    rules(f, "deny: ['s.sh .*-f']\n");
    CLEANUP_FREE char *text = x_asprintf(
        "parameters: {x: {type: String}}\nsteps:\n"
        "- {script: %s/s.sh, arguments: [a, -f], targets: n01}\n"
        "- {script: %s/s.sh, arguments: [$x, -f], targets: n01}\n", f->dir, f->dir);
    assert_int_equal(plan_parse("p", "p.yaml", text, strlen(text), &p, &f->e), 0);
    assert_int_equal(service_plan_check(f->s, &p, &f->e), -ERR_FORBIDDEN);
    assert_non_null(strstr(f->e.details, "step 1 "));
    assert_null(strstr(f->e.details, "step 2 "));
    err_clear(&f->e);
    plan_clear(&p);
}

static void test_all_faults_at_once(void **state)
{
    static const char *const wanted[] = {
        "step 2 (two): $one is the result of step 1 (one), which does not run on 1 of the nodes here: n02",
        "step 2 (two): a rule of the configuration denies this (deny: danger)",
        "step 3 (t): $one is the result of step 1 (one)",
        "2 parameters are wrong: n: ", "; wrong: there is no such parameter",
        "return: $one is the result of step 1 (one)"};
    struct fixture *f = *state;
    int64_t n;
    rules(f, "deny: [danger]\n");
    add_task(f, "t.json", "{\"parameters\": {\"n\": {\"type\": \"Integer\"}, \"x\": {}}}");
    add_task(f, "t.sh", "#!/bin/sh\n");
    int rc = try_plan(f, "- {name: one, command: echo 1, targets: n01}\n"
                         "- {name: two, command: \"danger ${one['stdout']}\", targets: $targets}\n"
                         "- {name: t, task: t, targets: $targets, parameters: {n: no, wrong: 1, x: $one}}\n"
                         "return: $one\n", &n);
    assert_true(rc != 0);
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        if (!strstr(f->e.details, wanted[i]))
            fail_msg("\"%s\" is not in: %s", wanted[i], f->e.details);
    err_clear(&f->e);
    assert_int_equal(count_batches(f), 0);
}

/* Each is below what one may have; all that are still referred to are not. */
static void test_values_of_a_node(void **state)
{
    struct fixture *f = *state;
    struct strbuf b;
    char big[62001];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    strbuf_init(&b, 0);
    strbuf_addf(&b, "- {name: v0, eval: %s}\n", big);
    for (int i = 1; i < 70; i++)
        strbuf_addf(&b, "- {name: v%d, eval: $v%d}\n", i, i - 1);
    strbuf_adds(&b, "- {command: 'true', targets: $targets}\nreturn: $v69\n");
    assert_ends(f, b.s,
                "step 68 (v67): with its value those that later steps refer to are larger than 4 MiB");
    strbuf_free(&b);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, tasks_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_results_complete_a_rule),
        TEST(test_arguments),
        TEST(test_a_plan_alone),
        TEST(test_all_faults_at_once),
        TEST(test_values_of_a_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
