/* SPDX-License-Identifier: Apache-2.0 */
/* Plans over the transport `local`: steps in order on each node, what a failure does, references. */
#include "fixture.h"

#include "muster/base/io.h"
#include "muster/core/plan.h"
#include "muster/service/tasks.h"

#include <stdio.h>

#define FIVE LIST("n01", "n02", "n03", "n04", "n05")

static int64_t run_plan(struct fixture *f, const char *text, int on_failure)
{
    struct work_request w;
    struct batch_request r;
    work_request_init(&w);
    write_file(f, "p.yaml", text);
    w.name = io_join(f->dir, "p.yaml");
    w.on_failure = on_failure;
    ask(&r, "p", FIVE, NULL);
    r.type = ACTION_TYPE_PLAN;
    r.work = &w;
    int64_t n = create(f, &r);
    wait_idle(f->s);
    batch_request_clear(&r);
    work_request_clear(&w);
    return n;
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
    assert_non_null(strstr(error, "failed on n02"));
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

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_failure_is_of_its_node),
        TEST(test_stop),
        TEST(test_message_and_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
