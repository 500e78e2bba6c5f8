/* SPDX-License-Identifier: Apache-2.0 */
/* Plans in the store: the life of steps, what stops them, and what is left of them. */
#include "fixture.h"

#include "muster/base/clock.h"

#include <string.h>

#define STARTED 1769860800000 /* 2026-01-31T12:00:00Z */

static int64_t make_plan(struct fixture *f, size_t n, size_t steps)
{
    static const char *const titles[] = {"stop it", "change \"it\"", "start it"};
    static const char *const nodes[] = {"web1", "web2", "web3", "web4"};
    struct batch_new b = {.type = ACTION_TYPE_PLAN, .action = "deploy", .user_id = "tester",
                          .fanout = 64, .nodes = nodes, .n_nodes = n, .step_titles = titles,
                          .n_steps = steps};
    struct err e = ERR_INIT;
    struct batch_ref ref;

    if (writer_create(f->w, &b, &ref, &e))
        fail_msg("%s", e.msg);
    return ref.number;
}

static bool claim_step(struct fixture *f, int64_t batch, uint32_t position, unsigned step)
{
    struct counts before = fixture_counts(f);
    struct event *ev = event_new(EVENT_CLAIM, batch, position);

    ev->step = step;
    ev->wall_ms = STARTED + step * 1000;
    assert_true(writer_emit(f->w, ev));
    struct counts now = before;
    int64_t until = now_ms() + DEADLINE_MS;
    while (now.granted + now.denied == before.granted + before.denied && now_ms() < until)
        now = fixture_counts(f);
    assert_int_equal(now.granted + now.denied, before.granted + before.denied + 1);
    return now.granted > before.granted;
}

static struct event *step_end(int64_t batch, uint32_t position, unsigned step, bool last,
                              enum reason reason, const char *out, const char *errs)
{
    struct event *ev = event_new(EVENT_FINISH, batch, position);
    const char *text[2] = {out, errs};

    ev->step = step;
    ev->last = last;
    ev->status = reason == REASON_NONE ? EXEC_SUCCESS : EXEC_FAILED;
    ev->reason = reason;
    ev->exit_code = reason == REASON_NONE ? 0 : reason == REASON_EXIT ? 3 : -1;
    ev->wall_ms = STARTED + step * 1000 + 700;
    ev->duration_ms = 700;
    for (int s = 0; s < 2; s++)
        if (text[s]) {
            ev->data[s] = x_strdup(text[s]);
            ev->len[s] = strlen(text[s]);
        }
    return ev;
}

static void emit_end(struct fixture *f, struct event *ev)
{
    size_t want = fixture_counts(f).finished + 1;

    assert_true(writer_emit(f->w, ev));
    WAIT_FOR(f, finished, want);
}

static void emit_piece(struct fixture *f, int64_t batch, unsigned step, int stream,
                       const char *text)
{
    struct event *ev = event_new(EVENT_OUTPUT, batch, 0);
    struct pause_result p;

    ev->step = step;
    ev->data[stream] = x_strdup(text);
    ev->len[stream] = strlen(text);
    assert_true(writer_emit(f->w, ev));
    /* What is asked after it is answered after it. */
    assert_int_equal(writer_pause(f->w, batch, false, &p, NULL), 0);
}

static void check_output(struct fixture *f, int64_t id, const char *want)
{
    size_t n;
    char *p = get_output(f, id, &n);

    assert_string_equal(p, want);
    free(p);
}

static struct step_run *get_steps(struct fixture *f, int64_t batch, uint32_t position, size_t want)
{
    struct err e = ERR_INIT;
    struct step_run *v;
    size_t n;

    if (reader_steps(f->r, batch, position, &v, &n, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(n, want);
    return v;
}

static void check_stats(struct fixture *f, int64_t batch, unsigned step, uint32_t running,
                        uint32_t success, uint32_t failed)
{
    struct step_stats *v;
    size_t n;

    assert_int_equal(reader_step_stats(f->r, batch, &v, &n, NULL), 0);
    assert_in_range(step, 1, n);
    assert_int_equal(v[step - 1].step, step);
    assert_int_equal(v[step - 1].running, running);
    assert_int_equal(v[step - 1].success, success);
    assert_int_equal(v[step - 1].failed, failed);
    free(v);
}

/* Two steps with output in pieces, the second's begins anew; only the last moves the counters. */
static void test_life(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    int64_t number = make_plan(f, 2, 3);
    struct batch b = get_batch(f, number);
    assert_int_equal(b.n_steps, 3);
    assert_string_equal(b.step_titles.v[1], "change \"it\"");
    assert_false(b.is_copy);
    batch_clear(&b);

    assert_true(claim_step(f, number, 0, 1));
    assert_false(claim_step(f, number, 0, 1)); /* once */
    assert_false(claim_step(f, number, 0, 2)); /* one at a time */
    emit_piece(f, number, 1, 0, "one ");
    emit_piece(f, number, 1, 1, "noise");
    struct execution x = get_execution(f, number, 0);
    assert_int_equal(x.step, 1);
    check_output(f, x.out_id[0], "one ");
    check_stats(f, number, 1, 1, 0, 0);
    execution_clear(&x);

    emit_end(f, step_end(number, 0, 1, false, REASON_NONE, "done", NULL));
    x = get_execution(f, number, 0);
    assert_int_equal(x.status, EXEC_RUNNING);
    assert_int_equal(x.finished_seq, 0);
    check_output(f, x.out_id[0], "one done");
    assert_int_equal(x.out_size[0], 8);
    check_output(f, x.out_id[1], "noise");
    execution_clear(&x);
    check_stats(f, number, 1, 0, 1, 0);
    check_counters(f, number);

    assert_false(claim_step(f, number, 0, 1)); /* not again */
    assert_true(claim_step(f, number, 0, 2));
    emit_piece(f, number, 2, 0, "two");
    x = get_execution(f, number, 0);
    check_output(f, x.out_id[0], "two");
    assert_int_equal(x.out_id[1], 0); /* not the first's */
    execution_clear(&x);
    emit_piece(f, number, 1, 0, "too late");
    struct event *ev = step_end(number, 0, 2, true, REASON_EXIT, NULL, "oops");
    ev->error = x_strdup("exit status 3");
    ev->truncated[1] = true;
    emit_end(f, ev);
    x = get_execution(f, number, 0);
    assert_int_equal(x.status, EXEC_FAILED);
    assert_int_equal(x.reason, REASON_EXIT);
    assert_int_equal(x.step, 2);
    assert_int_equal(x.exit_code, 3);
    assert_int_equal(x.duration_ms, 1700); /* of both steps */
    assert_true(x.truncated[1] && !x.truncated[0]);
    check_output(f, x.out_id[0], "two");
    check_output(f, x.out_id[1], "oops");
    execution_clear(&x);

    struct step_run *v = get_steps(f, number, 0, 2);
    assert_int_equal(v[0].step, 1);
    assert_int_equal(v[0].status, EXEC_SUCCESS);
    assert_int_equal(v[0].exit_code, 0);
    assert_int_equal(v[0].started_ms, STARTED + 1000);
    assert_int_equal(v[0].duration_ms, 700);
    check_output(f, v[0].out_id[0], "one done");
    assert_int_equal(v[1].status, EXEC_FAILED);
    assert_string_equal(v[1].error, "exit status 3");
    assert_int_equal(v[1].out_size[1], 4);
    assert_true(v[1].truncated[1]);
    step_runs_free(v, 2);
    check_stats(f, number, 2, 0, 0, 1);
    check_stats(f, number, 3, 0, 0, 0);
    assert_false(claim_step(f, number, 0, 3)); /* it has ended */
    /* A late end changes nothing, and is told. */
    emit_end(f, step_end(number, 0, 2, true, REASON_NONE, "late", NULL));
    step_runs_free(get_steps(f, number, 0, 2), 2);
    check_counters(f, number);
    assert_int_equal(query_int_of(f, "SELECT count(*) FROM outputs WHERE hash IS NULL"), 0);
}

/* Messages and values run on no node: their ends come without a claim. */
static void test_unclaimed(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    int64_t number = make_plan(f, 4, 3);
    /* A message first, a command, a message at the end without any output. */
    emit_end(f, step_end(number, 0, 1, false, REASON_NONE, "hello", NULL));
    struct execution x = get_execution(f, number, 0);
    assert_int_equal(x.status, EXEC_RUNNING);
    assert_int_equal(x.step, 1);
    assert_int_equal(x.started_ms, STARTED + 1000);
    check_output(f, x.out_id[0], "hello");
    execution_clear(&x);
    assert_true(claim_step(f, number, 0, 2));
    emit_end(f, step_end(number, 0, 2, false, REASON_NONE, "worked", NULL));
    emit_end(f, step_end(number, 0, 3, false, REASON_NONE, NULL, NULL));
    x = get_execution(f, number, 0);
    assert_int_equal(x.step, 3);
    check_output(f, x.out_id[0], "worked"); /* of the last that gave any */
    execution_clear(&x);
    /* What the plan returns comes beside its steps. */
    emit_end(f, step_end(number, 0, 3, true, REASON_NONE, "returned", NULL));
    x = get_execution(f, number, 0);
    assert_int_equal(x.status, EXEC_SUCCESS);
    check_output(f, x.out_id[0], "returned");
    execution_clear(&x);
    struct step_run *v = get_steps(f, number, 0, 3);
    assert_int_equal(v[2].out_id[0], 0);
    step_runs_free(v, 3);
    /* A plan of one message. */
    emit_end(f, step_end(number, 1, 1, true, REASON_NONE, "hello", NULL));
    x = get_execution(f, number, 1);
    assert_int_equal(x.status, EXEC_SUCCESS);
    execution_clear(&x);
    /* A reference that finds nothing ends the node at a step that never was claimed. */
    assert_true(claim_step(f, number, 2, 1));
    emit_end(f, step_end(number, 2, 1, false, REASON_NONE, "first", NULL));
    emit_end(f, step_end(number, 2, 2, true, REASON_INTERNAL, NULL, NULL));
    v = get_steps(f, number, 2, 2);
    assert_int_equal(v[1].status, EXEC_FAILED);
    step_runs_free(v, 2);
    /* Ended as one while a step is open: nothing stays open, nothing is lost. */
    assert_true(claim_step(f, number, 3, 1));
    emit_end(f, step_end(number, 3, 0, true, REASON_TIMEOUT, NULL, NULL));
    v = get_steps(f, number, 3, 1);
    assert_int_equal(v[0].status, EXEC_FAILED);
    assert_int_equal(v[0].reason, REASON_TIMEOUT);
    step_runs_free(v, 1);
    check_counters(f, number);
    struct batch b = get_batch(f, number);
    assert_int_equal(b.status, BATCH_PARTIAL);
    batch_clear(&b);
}

static void test_cancel_between(void **state)
{
    struct fixture *f = *state;
    struct cancel_result c;

    fixture_open(f);
    int64_t number = make_plan(f, 3, 3);
    for (uint32_t i = 0; i < 2; i++)
        assert_true(claim_step(f, number, i, 1));
    emit_end(f, step_end(number, 0, 1, false, REASON_NONE, "first", NULL));
    assert_int_equal(writer_cancel(f->w, number, &c, NULL), 0);
    assert_int_equal(c.queued, 1);
    assert_int_equal(c.running, 2);
    assert_false(claim_step(f, number, 0, 2));
    emit_end(f, step_end(number, 0, 2, true, REASON_CANCELLED, NULL, NULL));
    struct execution x = get_execution(f, number, 0);
    assert_int_equal(x.reason, REASON_CANCELLED);
    assert_int_equal(x.step, 1); /* the second never began */
    check_output(f, x.out_id[0], "first");
    execution_clear(&x);
    step_runs_free(get_steps(f, number, 0, 1), 1);
    /* One that runs is cut off in its step. */
    emit_end(f, step_end(number, 1, 1, true, REASON_CANCELLED, NULL, NULL));
    struct step_run *v = get_steps(f, number, 1, 1);
    assert_int_equal(v[0].reason, REASON_CANCELLED);
    step_runs_free(v, 1);
    step_runs_free(get_steps(f, number, 2, 0), 0);
    check_counters(f, number);
    struct batch b = get_batch(f, number);
    assert_int_equal(b.status, BATCH_CANCELLED);
    batch_clear(&b);
}

/* The owner goes away while one node is in a step and another between two. */
static void test_settled(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    int64_t number = make_plan(f, 3, 3);
    assert_true(claim_step(f, number, 0, 1));
    emit_end(f, step_end(number, 0, 1, false, REASON_NONE, "twice\n", NULL));
    assert_true(claim_step(f, number, 0, 2));
    emit_piece(f, number, 2, 0, "twice\n"); /* gives way to the first's when it is settled */
    assert_true(claim_step(f, number, 1, 1));
    emit_end(f, step_end(number, 1, 1, false, REASON_NONE, "kept", NULL));
    fixture_close(f);
    fixture_open(f);
    check_counters(f, number);
    struct step_run *v = get_steps(f, number, 0, 2);
    assert_int_equal(v[1].status, EXEC_FAILED);
    assert_int_equal(v[1].reason, REASON_LOST);
    assert_int_equal(v[1].remote, REMOTE_UNKNOWN);
    assert_non_null(strstr(v[1].error, "outcome is unknown"));
    assert_int_equal(v[1].out_id[0], v[0].out_id[0]);
    struct execution x = get_execution(f, number, 0);
    assert_int_equal(x.reason, REASON_LOST);
    assert_int_equal(x.out_id[0], v[0].out_id[0]);
    check_output(f, x.out_id[0], "twice\n");
    execution_clear(&x);
    step_runs_free(v, 2);
    v = get_steps(f, number, 1, 1);
    assert_int_equal(v[0].status, EXEC_SUCCESS);
    step_runs_free(v, 1);
    x = get_execution(f, number, 1);
    assert_int_equal(x.reason, REASON_LOST);
    check_output(f, x.out_id[0], "kept");
    execution_clear(&x);
    x = get_execution(f, number, 2);
    assert_int_equal(x.reason, REASON_SKIPPED);
    execution_clear(&x);
    assert_int_equal(query_int_of(f, "SELECT count(*) FROM outputs WHERE hash IS NULL"), 0);
    assert_int_equal(query_int_of(f, "SELECT count(*) FROM execution_steps"
                                     " WHERE status = 'running'"), 0);
}

static int64_t run_plan(struct fixture *f, const char *first, const char *second)
{
    int64_t number = make_plan(f, 1, 2);

    assert_true(claim_step(f, number, 0, 1));
    emit_end(f, step_end(number, 0, 1, false, REASON_NONE, first, NULL));
    assert_true(claim_step(f, number, 0, 2));
    emit_end(f, step_end(number, 0, 2, true, REASON_NONE, second, NULL));
    return number;
}

/* Outputs that only a step uses go with their batch, and stay while another batch's step uses them. */
static void test_delete(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    int64_t a = run_plan(f, "shared", "alone"), b = run_plan(f, "own", "shared");
    int64_t c = run_plan(f, "shared", "own");
    assert_int_equal(query_int_of(f, "SELECT count(*) FROM outputs"), 3);
    assert_int_equal(writer_delete(f->w, a, NULL), 0);
    assert_int_equal(query_int_of(f, "SELECT count(*) FROM outputs"), 2);
    assert_int_equal(writer_delete(f->w, b, NULL), 0);
    struct step_run *v = get_steps(f, c, 0, 2);
    check_output(f, v[0].out_id[0], "shared");
    check_output(f, v[1].out_id[0], "own");
    step_runs_free(v, 2);
    assert_int_equal(writer_delete(f->w, c, NULL), 0);
    assert_int_equal(query_int_of(f, "SELECT count(*) FROM execution_steps"), 0);
    assert_int_equal(query_int_of(f, "SELECT count(*) FROM outputs"), 0);
    assert_int_equal(query_int_of(f, "SELECT count(*) FROM output_chunks"), 0);
    struct err e = ERR_INIT;
    struct step_run *none;
    size_t n;
    assert_int_equal(reader_steps(f->r, c, 0, &none, &n, &e), -ERR_NOT_FOUND);
    err_clear(&e);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_life),    TEST(test_unclaimed), TEST(test_cancel_between),
        TEST(test_settled), TEST(test_delete),
    };
    return cmocka_run_group_tests_name("steps", tests, NULL, NULL);
}
