/* SPDX-License-Identifier: Apache-2.0 */
/* Plans over the transport `local`: steps in order on each node, what a failure does, references. */
#include "fixture.h"

#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/core/plan.h"
#include "muster/service/tasks.h"

#include <unistd.h>

#define FIVE LIST("n01", "n02", "n03", "n04", "n05")

static int64_t start_plan(struct fixture *f, const char *text, const char *const *nodes,
                          int on_failure, const char *max_fail)
{
    struct work_request w;
    struct batch_request r;
    work_request_init(&w);
    write_file(f, "p.yaml", text);
    w.name = io_join(f->dir, "p.yaml");
    w.on_failure = on_failure;
    ask(&r, "p", nodes, NULL);
    r.type = ACTION_TYPE_PLAN;
    r.work = &w;
    r.stages.max_fail = max_fail;
    int64_t n = create(f, &r);
    batch_request_clear(&r);
    work_request_clear(&w);
    return n;
}

static int64_t run_plan(struct fixture *f, const char *text, int on_failure)
{
    int64_t n = start_plan(f, text, FIVE, on_failure, NULL);
    wait_idle(f->s);
    return n;
}

/* What a file of the nodes' home has; "" where there is none. */
static char *file_text(struct fixture *f, const char *name)
{
    CLEANUP_FREE char *path = io_join(f->dir, name);
    struct strbuf b;
    strbuf_init(&b, 0);
    io_read_file(path, 1 << 20, &b, NULL);
    return strbuf_steal(&b);
}

static void assert_file(struct fixture *f, const char *name, const char *text)
{
    CLEANUP_FREE char *got = file_text(f, name);
    assert_string_equal(got ? got : "", text);
}

static size_t lines_of(struct fixture *f, const char *name)
{
    CLEANUP_FREE char *text = file_text(f, name);
    size_t n = 0;
    for (const char *p = text; p && *p; p++)
        n += *p == '\n';
    return n;
}

static char *text_of(struct fixture *f, int64_t id)
{
    char *p = NULL;
    size_t n;
    if (id)
        assert_int_equal(reader_output_all(f->r, id, 1 << 20, &p, &n, &f->e), 0);
    return p ? p : x_strdup("");
}

static void assert_output(struct fixture *f, int64_t n, uint32_t position, const char *text)
{
    struct execution x;
    assert_int_equal(reader_execution(f->r, n, position, &x, &f->e), 0);
    CLEANUP_FREE char *got = text_of(f, x.out_id[0]);
    execution_clear(&x);
    assert_string_equal(got, text);
}

/* A row of a step (from 1), its status or -1: it has none; text (or NULL) is its output. */
static int step_of(struct fixture *f, int64_t n, uint32_t position, unsigned step, const char *text)
{
    struct step_run *v;
    size_t count;
    int status = -1;
    assert_int_equal(reader_steps(f->r, n, position, &v, &count, &f->e), 0);
    for (size_t i = 0; i < count; i++) {
        if (v[i].step != step)
            continue;
        status = (int) v[i].status;
        CLEANUP_FREE char *got = text_of(f, v[i].out_id[0]);
        if (text)
            assert_string_equal(got, text);
    }
    step_runs_free(v, count);
    return status;
}

/* 0, or what the request or the review says. */
static int rerun(struct fixture *f, int64_t old, enum rerun_which which, bool from_start,
                 int64_t *number)
{
    const struct rerun_options o = {.from_start = from_start};
    struct batch_request r;
    struct rerun_hold *hold;
    int rc = batch_rerun_request(f->s, old, which, REASON_NONE, &o, &r, &hold, &f->e);
    if (rc != 0)
        return rc;
    struct batch_created made;
    r.confirmed = true;
    rc = batch_create(f->s, &r, &made, &f->e);
    *number = made.number;
    batch_created_clear(&made);
    rerun_hold_free(hold);
    batch_request_clear(&r);
    wait_idle(f->s);
    return rc;
}

static char *error_of(struct fixture *f, int64_t n, uint32_t position)
{
    struct execution x;
    assert_int_equal(reader_execution(f->r, n, position, &x, &f->e), 0);
    char *error = x.error ? x_strdup(x.error) : x_strdup("");
    execution_clear(&x);
    return error;
}

#define THREE                                                                                  \
    "steps:\n- name: one\n  command: \"printf %s '`x` ; ( it'\\\"'\\\"s\"\n  targets: $targets\n" \
    "- name: two\n  command: '[ $MUSTER_NODE != n02 ]'\n  targets: $targets\n"                  \
    "- name: three\n  command: \"echo got ${one['stdout']}\"\n  targets: $targets\n"

static void test_a_failure_is_of_its_node(void **state)
{
    struct fixture *f = *state;
    int64_t n = run_plan(f, THREE, -1);
    struct batch_stats st = stats_of(f, n);
    assert_int_equal(st.success, 4);
    assert_int_equal(st.failed, 1);
    CLEANUP_FREE char *error = error_of(f, n, 1);
    assert_non_null(strstr(error, "step 2 (two): "));
    struct step_run *v;
    size_t count;
    assert_int_equal(reader_steps(f->r, n, 0, &v, &count, &f->e), 0);
    assert_int_equal(count, 3);
    step_runs_free(v, count);
    assert_int_equal(reader_steps(f->r, n, 1, &v, &count, &f->e), 0);
    assert_int_equal(count, 2);
    assert_int_equal(v[1].exit_code, 1);
    step_runs_free(v, count);
}

static void test_stop(void **state)
{
    struct fixture *f = *state;
    f->options.engine_fanout = 1;
    fixture_reopen(f);
    int64_t n = run_plan(f, THREE, PLAN_STOP);
    struct batch_stats st = stats_of(f, n);
    assert_int_equal(st.success, 1);
    assert_int_equal(st.by_reason[REASON_EXIT], 1);
    assert_int_equal(st.by_reason[REASON_SKIPPED], 3);
    CLEANUP_FREE char *error = error_of(f, n, 4);
    assert_non_null(strstr(error, "the plan stops as n02 failed at step "));
}

static void test_message_and_caught(void **state)
{
    struct fixture *f = *state;
    int64_t n = run_plan(f,
                         "steps:\n- name: v\n  eval: hello\n- message: \"say $v\"\n"
                         "- command: 'false'\n  targets: $targets\n  catch_errors: true\n"
                         "return: $v\n", -1);
    assert_int_equal(stats_of(f, n).success, 5);
}

#define AGAIN                                                                                  \
    "steps:\n- name: one\n  command: 'echo of $MUSTER_NODE; echo $MUSTER_NODE >> $HOME/one.log'\n" \
    "  targets: $targets\n"                                                                    \
    "- name: two\n  command: '[ $MUSTER_NODE = n01 ] || [ $MUSTER_NODE != n02 -a -e $HOME/go ] || " \
    "[ -e $HOME/go2 ]'\n  targets: $targets\n"                                                  \
    "- name: v\n  eval: \"<${one['exit_code']}>\"\n"                                            \
    "- name: three\n  command: \"echo three ${v} ${one['stdout']}\"\n  targets: $targets\n"

static void test_goes_on_where_it_failed(void **state)
{
    struct fixture *f = *state;
    int64_t a = run_plan(f, AGAIN, -1), b, c;
    assert_int_equal(stats_of(f, a).failed, 4);
    assert_int_equal(lines_of(f, "one.log"), 5);
    assert_output(f, a, 0, "three <0> of n01\n\n");
    write_file(f, "go", "");
    assert_int_equal(rerun(f, a, RERUN_FAILED, false, &b), 0);
    assert_int_equal(stats_of(f, b).total, 4);
    assert_int_equal(stats_of(f, b).success, 3);
    assert_int_equal(step_of(f, b, 1, 1, NULL), -1);
    assert_int_equal(step_of(f, b, 1, 2, NULL), EXEC_SUCCESS);
    assert_output(f, b, 1, "three <0> of n03\n\n");
    /* What the first step gave lies two batches back. */
    write_file(f, "go2", "");
    assert_int_equal(rerun(f, b, RERUN_FAILED, false, &c), 0);
    assert_output(f, c, 0, "three <0> of n02\n\n");
    assert_int_equal(lines_of(f, "one.log"), 5);
    assert_int_equal(rerun(f, a, RERUN_FAILED, true, &c), 0);
    assert_int_equal(stats_of(f, c).success, 4);
    assert_int_equal(lines_of(f, "one.log"), 9);
}

static void test_another_plan_does_not_go_on(void **state)
{
    struct fixture *f = *state;
    int64_t a = run_plan(f, AGAIN, -1), b;
    write_file(f, "go", "");
    write_file(f, "go2", "");
    write_file(f, "p.yaml", "steps:\n- name: new\n  command: 'true'\n  targets: $targets\n");
    assert_refused(f, rerun(f, a, RERUN_FAILED, false, &b), ERR_VALIDATION, "--from-start");
    assert_int_equal(rerun(f, a, RERUN_FAILED, true, &b), 0);
    assert_int_equal(stats_of(f, b).success, 4);
}

static void test_what_was_skipped_goes_on(void **state)
{
    struct fixture *f = *state;
    f->options.engine_fanout = 1;
    fixture_reopen(f);
    int64_t a = run_plan(f, AGAIN, PLAN_STOP), b;
    assert_int_equal(stats_of(f, a).by_reason[REASON_SKIPPED], 3);
    write_file(f, "go", "");
    assert_int_equal(rerun(f, a, RERUN_SKIPPED, false, &b), 0);
    assert_int_equal(stats_of(f, b).success, 3);
    assert_int_equal(lines_of(f, "one.log"), 5);
}

static void test_a_failure_that_is_caught(void **state)
{
    struct fixture *f = *state;
    int64_t n = run_plan(f,
                         "steps:\n- name: a\n  command: 'echo no; exit 3'\n  targets: $targets\n"
                         "  catch_errors: true\n"
                         "- message: \"it was ${a['exit_code']}\"\n", -1);
    assert_int_equal(stats_of(f, n).success, 5);
    assert_int_equal(step_of(f, n, 2, 1, "no\n"), EXEC_FAILED);
    assert_int_equal(step_of(f, n, 2, 2, "it was 3\n"), EXEC_SUCCESS);
    assert_output(f, n, 2, "it was 3\n");
}

static void test_return(void **state)
{
    struct fixture *f = *state;
    int64_t n = run_plan(f,
                         "steps:\n- name: a\n  command: 'echo $MUSTER_NODE'\n  targets: $targets\n"
                         "- name: v\n  eval: [1, \"x${a['stdout']}\"]\n"
                         "- command: echo last\n  targets: $targets\n"
                         "return: {got: $v, code: \"${a['exit_code']}\"}\n", -1);
    assert_int_equal(stats_of(f, n).success, 5);
    assert_int_equal(step_of(f, n, 3, 3, "last\n"), EXEC_SUCCESS);
    assert_output(f, n, 3, "{\"got\":[1,\"xn04\\n\"],\"code\":\"0\"}\n");
    n = run_plan(f, "steps:\n- name: a\n  command: 'echo {}'\n  targets: $targets\n"
                    "return: $targets['none']\n", -1);
    CLEANUP_FREE char *error = error_of(f, n, 0);
    assert_int_equal(stats_of(f, n).failed, 5);
    assert_non_null(strstr(error, "return: "));
}

/* What a node says reaches the next command, script and file as it is, and runs nothing. */
static void test_hostile_results(void **state)
{
    static const char hostile[] =
        "'; touch $HOME/pwned; '\"$(touch $HOME/pwned)`touch $HOME/pwned`\n"
        "${HOME} $targets & | > $HOME/pwned\n\\ \\\\ %s !x *\t#\n"
        "-n\n\033[31m \303\274 {\"_error\": 1}\n";
    struct fixture *f = *state;
    write_file(f, "said", hostile);
    write_file(f, "s.sh", "#!/bin/sh\nprintf %s \"$2\" > $HOME/script.$MUSTER_NODE\n"
                          "echo \"$# $1\"\n");
    CLEANUP_FREE char *text = x_asprintf(
        "steps:\n- name: a\n  command: 'cat $HOME/said'\n  targets: $targets\n"
        "- command: \"printf %%s ${a['stdout']} > \\\\$HOME/got.\\\\$MUSTER_NODE\"\n  targets: $targets\n"
        "- command: 'printf %%s \"$SAID\" > $HOME/env.$MUSTER_NODE'\n  targets: $targets\n"
        "  env_vars: {SAID: \"${a['stdout']}\"}\n"
        "- script: %s/s.sh\n  targets: $targets\n"
        "  arguments: [\"a 'b\", \"${a['stdout']}\"]\n", f->dir);
    int64_t n = run_plan(f, text, -1);
    CLEANUP_FREE char *error = error_of(f, n, 0);
    assert_string_equal(error, "");
    assert_int_equal(stats_of(f, n).success, 5);
    assert_file(f, "got.n03", hostile);
    assert_file(f, "env.n03", hostile);
    assert_file(f, "script.n03", hostile);
    assert_output(f, n, 2, "2 a 'b\n");
    CLEANUP_FREE char *pwned = io_join(f->dir, "pwned");
    assert_int_not_equal(access(pwned, F_OK), 0);
}

static void test_files_and_tasks(void **state)
{
    struct fixture *f = *state;
    write_file(f, "a.conf", "the file\n");
    write_file(f, "t.json", "{\"input_method\": \"environment\", \"parameters\": {\"who\": {\"type\": "
                            "\"String\"}}}");
    write_file(f, "t.sh", "#!/bin/sh\nprintf '{\"said\": \"%s\"}' \"$PT_who\"\n");
    CLEANUP_FREE char *text = x_asprintf(
        "steps:\n- upload: %s/a.conf\n  destination: %s/there.conf\n  targets: $targets\n"
        "- download: %s/there.conf\n  destination: %s/got\n  targets: $targets\n"
        "- name: t\n  task: %s/t.sh\n  targets: $targets\n  parameters: {who: me}\n"
        "- name: u\n  task: %s/t.sh\n  targets: $targets\n  parameters: {who: \"${t['said']} too\"}\n"
        "return: $u['said']\n", f->dir, f->dir, f->dir, f->dir, f->dir, f->dir);
    int64_t n = start_plan(f, text, LIST("n01"), -1, NULL);
    wait_idle(f->s);
    CLEANUP_FREE char *error = error_of(f, n, 0);
    assert_string_equal(error, "");
    assert_file(f, "there.conf", "the file\n");
    assert_file(f, "got/n01/there.conf", "the file\n");
    assert_output(f, n, 0, "me too\n");
}

static void test_targets_of_steps(void **state)
{
    struct fixture *f = *state;
    int64_t n = start_plan(f,
                           "steps:\n- command: echo web\n  targets: '@web'\n"
                           "- command: echo two\n  targets: [n02, db1]\n- message: end\n",
                           LIST(NULL), -1, NULL);
    wait_idle(f->s);
    assert_int_equal(stats_of(f, n).total, 5);
    assert_int_equal(stats_of(f, n).success, 5);
    assert_int_equal(step_of(f, n, 0, 1, "web\n"), EXEC_SUCCESS);
    assert_int_equal(step_of(f, n, 0, 2, NULL), -1);
    assert_int_equal(step_of(f, n, 1, 2, "two\n"), EXEC_SUCCESS);
    assert_int_equal(step_of(f, n, 4, 1, NULL), -1);
    assert_int_equal(step_of(f, n, 4, 3, "end\n"), EXEC_SUCCESS);
}

#define MIDDLE                                                                                 \
    "steps:\n- command: 'true'\n  targets: $targets\n"                                         \
    "- name: held\n  command: '" HELD "'\n  targets: $targets\n"                               \
    "- name: after\n  command: 'echo $MUSTER_NODE >> $HOME/after.log'\n  targets: $targets\n"

static void test_cancel_in_the_middle(void **state)
{
    struct fixture *f = *state;
    int64_t n = start_plan(f, MIDDLE, LIST("n01", "n02"), -1, NULL);
    struct cancel_answer answer;
    wait_held(f, "n01");
    wait_held(f, "n02");
    assert_int_equal(batch_cancel(f->s, n, &answer, &f->e), 0);
    wait_idle(f->s);
    assert_int_equal(stats_of(f, n).by_reason[REASON_CANCELLED], 2);
    assert_int_equal(lines_of(f, "after.log"), 0);
    assert_int_equal(step_of(f, n, 0, 1, NULL), EXEC_SUCCESS);
    assert_int_equal(step_of(f, n, 0, 3, NULL), -1);
    int64_t again;
    open_gate(f);
    assert_int_equal(rerun(f, n, RERUN_FAILED, false, &again), 0);
    assert_int_equal(step_of(f, again, 0, 1, NULL), -1);
    assert_int_equal(lines_of(f, "after.log"), 2);
}

static void wait_step(struct fixture *f, int64_t n, uint32_t position, unsigned step)
{
    for (int i = 0; i < DEADLINE_MS / 5; i++) {
        if (step_of(f, n, position, step, NULL) == EXEC_SUCCESS)
            return;
        usleep(5000);
    }
    fail_msg("step %u has not ended", step);
}

static void test_pause(void **state)
{
    struct fixture *f = *state;
    int64_t n = start_plan(f, MIDDLE, LIST("n01"), -1, NULL);
    struct pause_answer answer;
    wait_held(f, "n01");
    assert_int_equal(batch_pause(f->s, n, true, &answer, &f->e), 0);
    open_gate(f);
    wait_step(f, n, 0, 2);
    assert_int_equal(stats_of(f, n).running, 1);
    assert_int_equal(step_of(f, n, 0, 3, NULL), -1);
    assert_int_equal(batch_pause(f->s, n, false, &answer, &f->e), 0);
    wait_idle(f->s);
    assert_int_equal(stats_of(f, n).success, 1);
    assert_int_equal(lines_of(f, "after.log"), 1);
}

/* n01 waits for its second step when n02 fails: the pause does not hold back its end. */
static void test_stop_of_a_paused_one(void **state)
{
    struct fixture *f = *state;
    int64_t n = start_plan(f,
                           "steps:\n- command: '[ $MUSTER_NODE = n01 ] || { " HELD "; exit 1; }'\n"
                           "  targets: $targets\n"
                           "- command: 'while [ ! -e $HOME/up.n02 ]; do sleep 0.02; done; sleep 0.2'\n"
                           "  targets: n01\n"
                           "- command: 'echo >> $HOME/after.log'\n  targets: $targets\n",
                           LIST("n01", "n02"), PLAN_STOP, NULL);
    struct pause_answer answer;
    wait_held(f, "n02");
    assert_int_equal(batch_pause(f->s, n, true, &answer, &f->e), 0);
    wait_step(f, n, 0, 1);
    open_gate(f);
    wait_idle(f->s);
    assert_int_equal(stats_of(f, n).by_reason[REASON_EXIT], 1);
    assert_int_equal(stats_of(f, n).by_reason[REASON_SKIPPED], 1);
    assert_int_equal(lines_of(f, "after.log"), 0);
}

static void test_max_fail(void **state)
{
    struct fixture *f = *state;
    f->options.engine_fanout = 1;
    fixture_reopen(f);
    int64_t n = start_plan(f,
                           "steps:\n- command: 'true'\n  targets: $targets\n"
                           "- command: 'exit 1'\n  targets: $targets\n", FIVE, -1, "1");
    wait_idle(f->s);
    assert_int_equal(stats_of(f, n).by_reason[REASON_EXIT], 2);
    assert_int_equal(stats_of(f, n).by_reason[REASON_SKIPPED], 3);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_failure_is_of_its_node),
        TEST(test_stop),
        TEST(test_message_and_caught),
        TEST(test_goes_on_where_it_failed),
        TEST(test_another_plan_does_not_go_on),
        TEST(test_what_was_skipped_goes_on),
        TEST(test_a_failure_that_is_caught),
        TEST(test_return),
        TEST(test_hostile_results),
        TEST(test_files_and_tasks),
        TEST(test_targets_of_steps),
        TEST(test_cancel_in_the_middle),
        TEST(test_pause),
        TEST(test_stop_of_a_paused_one),
        TEST(test_max_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
