/* SPDX-License-Identifier: Apache-2.0 */
/* Progress, results, output and node: how they look at three sizes while a batch runs and after,
 * and what their keys do. */
#include "harness.h"
#include "vutil.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/core/event.h"
#include "muster/store/writer.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

static const struct {
    int cols, rows;
} sizes[] = {{120, 35}, {80, 24}, {40, 12}};

static void golden_sizes(struct harness *h, const char *what)
{
    char name[64];
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        harness_size(h, sizes[i].cols, sizes[i].rows);
        snprintf(name, sizeof name, "%s-%dx%d", what, sizes[i].cols, sizes[i].rows);
        harness_golden(h, name);
    }
}

/* Another thread commits: its work is waited for, up to 20 s. */
static void wait_for(struct harness *h, const char *text)
{
    for (int i = 0; i < 4000 && !harness_shows(h, text); i++) {
        nanosleep(&(struct timespec) {0, 5000000}, NULL);
        harness_wait(h, 10);
    }
    harness_expect(h, text);
}

static void fail_with(struct harness *h, int64_t b, uint32_t i, enum reason r, const char *error)
{
    harness_start(h, b, i);
    harness_end(h, b, i, 15000, -1, r, error, NULL, NULL);
}

/* 30 nodes: 21 equal answers, 3 that fail alike, one of its own, a timeout, an unreachable one, and
 * two that run and one that waits, until `ended`. */
static struct harness *batch30(bool ended)
{
    struct harness *h = harness_new("nodes: {\"web[01-30]\": {host: 127.0.0.1, vars: {dc: fra}}}\n"
                                    "groups: {web: {nodes: \"web[01-30]\", user: ops}}\n");
    int64_t b = harness_batch(h, "systemctl restart nginx && systemctl is-active nginx",
                              "web[01-30]");
    for (uint32_t i = 0; i < 21; i++)
        harness_run(h, b, i, 400 + 10 * (int64_t) i, 0, "active\n", NULL);
    for (uint32_t i = 21; i < 24; i++)
        harness_run(h, b, i, 900, 1, NULL, "nginx: [emerg] bind() to 0.0.0.0:80 failed\nsecond\n");
    harness_run(h, b, 24, 1200, 0, "active\nb\x1b[31mred\x1b[0m\n", NULL);
    fail_with(h, b, 25, REASON_TIMEOUT, "connect: no answer in 15 s");
    fail_with(h, b, 26, REASON_UNREACHABLE, "connect to 127.0.0.1 port 22: connection refused");
    harness_start(h, b, 27);
    h->clock.now_ms += 1500;
    harness_start(h, b, 28);
    harness_output(h, b, 28, "so far\n", NULL);
    h->clock.now_ms += 2500;
    if (ended) {
        harness_end(h, b, 27, 4000, 0, REASON_NONE, NULL, "active\n", NULL);
        harness_end(h, b, 28, 2500, 0, REASON_NONE, NULL, "active\n", NULL);
        harness_run(h, b, 29, 300, 0, "active\n", NULL);
    }
    harness_open(h, 120, 35, false);
    harness_keys(h, "5 Enter");
    return h;
}

static void test_none(void **state)
{
    struct harness *h = harness_new(NULL);
    harness_open(h, 80, 24, false);
    harness_keys(h, "3");
    harness_expect(h, "No batch open.");
    harness_expect(h, "c composes one, 5 shows the history.");
    harness_free(h);
}

static void test_progress(void **state)
{
    struct harness *h = batch30(false);
    golden_sizes(h, "progress");
    harness_size(h, 80, 24);
    harness_keys(h, "+");
    harness_golden(h, "progress-alone-80x24");
    harness_expect(h, "27/30  90.0%");
    harness_expect(h, "ETA 0.4s");
    harness_free(h);
}

static void test_progress_filters(void **state)
{
    struct harness *h = batch30(false);
    harness_size(h, 80, 24);
    harness_keys(h, "+ f");
    harness_expect(h, "web28");
    harness_expect(h, "web29");
    harness_expect_not(h, "web01");
    harness_keys(h, "!");
    harness_expect(h, "web22");
    harness_expect(h, "connection refused");
    harness_expect_not(h, "web28");
    harness_keys(h, "! / 'refused' Enter");
    harness_expect(h, "1 of 30 nodes");
    harness_expect(h, "web27");
    harness_keys(h, "Esc");
    harness_expect(h, ">web27");
    harness_expect(h, "web26");
    harness_keys(h, "]");
    harness_expect(h, "Nodes [Slowest] Errors");
    harness_keys(h, "]");
    harness_expect(h, "[Errors]");
    harness_expect(h, "no answer in 15 s");
    harness_keys(h, "[ [");
    harness_expect(h, "[Nodes]");
    harness_free(h);
}

static void test_cursor_stays(void **state)
{
    struct harness *h = batch30(false);
    harness_size(h, 80, 24);
    /* By status the order changes when one ends; the cursor stays on its node. */
    harness_keys(h, "+ s / 'web28' Enter Esc");
    harness_expect(h, ">web28");
    harness_end(h, 1, 27, 4000, 0, REASON_NONE, NULL, "active\n", NULL);
    wait_for(h, "28/30");
    harness_expect(h, ">web28");
    harness_free(h);
}

static void test_live_output(void **state)
{
    struct harness *h = batch30(false);
    harness_size(h, 80, 24);
    harness_keys(h, "+ / 'web29' Enter Enter");
    harness_expect(h, "so far");
    harness_expect(h, "running");
    harness_keys(h, "F");
    harness_expect(h, "follow");
    harness_output(h, 1, 28, "and more\n", NULL);
    wait_for(h, "and more");
    harness_free(h);
}

static void test_cancel_outcome(void **state)
{
    struct harness *h = batch30(false);
    struct cancel_result c;
    assert_int_equal(writer_cancel(h->writer, 1, &c, NULL), 0);
    for (uint32_t i = 27; i < 29; i++) {
        struct event *ev = event_new(EVENT_FINISH, 1, i);
        ev->wall_ms = wall_ms(&h->clock.clock);
        ev->duration_ms = 4000;
        ev->status = EXEC_FAILED;
        ev->reason = REASON_CANCELLED;
        ev->error = x_strdup("Cancelled by user");
        ev->attempts = 1;
        ev->exit_code = -1;
        ev->remote = i == 27 ? REMOTE_STOPPED : REMOTE_UNKNOWN;
        assert_true(writer_emit(h->writer, ev));
    }
    wait_for(h, "30/30");
    harness_size(h, 120, 35);
    harness_keys(h, "3 + G");
    harness_expect(h, "cancelled: 3 nodes; processes: 1 stopped, 0 still running, 1 unknown");
    harness_expect(h, "last error: web27: connect to 127.0.0.1 port 22: connection refused");
    harness_golden(h, "progress-cancelled-120x35");
    harness_keys(h, "g");
    harness_expect(h, "Cancelled by user");
    harness_expect(h, " stopped ");
    harness_free(h);
}

static void test_pause(void **state)
{
    struct harness *h = batch30(false);
    harness_size(h, 120, 35);
    harness_keys(h, "3 + p");
    harness_expect(h, "batch #1: paused, 1 waiting; what runs goes on");
    wait_for(h, "paused, 1 waiting (p resumes)");
    harness_keys(h, "p");
    harness_expect(h, "batch #1: resumed, 1 waiting");
    harness_wait(h, 1000);
    harness_expect_not(h, "p resumes");
    harness_keys(h, "5 p");
    wait_for(h, "#1: paused");
    harness_free(h);
}

static void test_results(void **state)
{
    struct harness *h = batch30(true);
    harness_keys(h, "4 j l");
    golden_sizes(h, "results");
    harness_size(h, 80, 24);
    harness_keys(h, "+ ]");
    harness_golden(h, "results-nodes-80x24");
    harness_free(h);
}

static void test_results_keys(void **state)
{
    struct harness *h = batch30(true);
    harness_size(h, 80, 24);
    harness_keys(h, "4 +");
    harness_expect(h, "Warning: 5 of 30 nodes did not succeed.");
    /* The largest class first; it opens to its nodes, and these to their output. */
    harness_keys(h, "g Enter j");
    harness_expect(h, ">     web01");
    harness_keys(h, "Enter");
    harness_expect(h, "-- stdout, 7 B --");
    harness_keys(h, "Esc");
    harness_expect(h, ">     web01");
    harness_keys(h, "h");
    harness_expect_not(h, "web02 ");
    harness_keys(h, "/ 'EMERG' Enter");
    harness_expect(h, "0 hits on 0 nodes");
    harness_keys(h, "/ C-u 'emerg' Enter");
    harness_expect(h, "3 hits on 3 nodes, n next");
    harness_keys(h, "n");
    harness_expect(h, "> >     3");
    harness_keys(h, "/ C-u 'nowhere' Enter");
    harness_expect(h, "0 hits on 0 nodes");
    harness_keys(h, "n");
    harness_expect(h, "in no class near here");
    harness_keys(h, "/ C-u 'emerg' Enter");
    harness_keys(h, "Esc !");
    harness_expect(h, "[Nodes]  failed only, by name");
    harness_expect_not(h, "web01");
    /* And back to where it was pressed. */
    harness_keys(h, "!");
    harness_expect(h, "[Classes] Nodes  largest first");
    harness_keys(h, "! s s");
    harness_expect(h, "failed only, slowest first");
    harness_keys(h, "Esc");
    harness_expect(h, "[Classes]");
    harness_free(h);
}

static void test_success(void **state)
{
    struct harness *h = harness_new(NULL);
    int64_t b = harness_batch(h, "true", "web[01-02]");
    harness_run(h, b, 0, 100, 0, NULL, NULL);
    harness_run(h, b, 1, 100, 0, NULL, NULL);
    harness_open(h, 80, 24, false);
    harness_keys(h, "5 Enter 4");
    harness_expect(h, "Success: the command succeeded on every node.");
    harness_expect(h, "(no output)");
    harness_free(h);
}

static void test_output(void **state)
{
    struct harness *h = batch30(true);
    harness_size(h, 80, 24);
    harness_keys(h, "4 ] / 'web22' Enter Enter");
    golden_sizes(h, "output");
    harness_size(h, 80, 24);
    harness_keys(h, "o");
    harness_expect_not(h, "emerg");
    harness_keys(h, "o");
    harness_expect(h, "emerg");
    harness_keys(h, "/ 'second' Enter");
    harness_expect(h, "second");
    harness_keys(h, "n");
    harness_expect(h, "no more below, N goes up");
    /* It is said where it is true: other panes know nothing of it. */
    harness_keys(h, "Esc Esc");
    harness_expect_not(h, "no more");
    harness_free(h);
}

/* Where one is: in the caption, and never beyond what there is. */
static void test_output_place(void **state)
{
    struct harness *h = harness_new(NULL);
    struct strbuf b;
    int64_t n = harness_batch(h, "cat", "web[01-02]");
    strbuf_init(&b, 0);
    strbuf_adds(&b, "short\n0123456789012345678901234567890123456789\n");
    harness_run(h, n, 0, 100, 0, b.s, NULL);
    strbuf_reset(&b);
    for (int i = 0; i < 1000; i++)
        strbuf_addf(&b, "line %04d\n", i);
    harness_run(h, n, 1, 100, 0, b.s, NULL);
    strbuf_free(&b);
    harness_open(h, 80, 24, false);
    harness_keys(h, "5 Enter 4 ] Enter");
    harness_expect(h, "#1 web01  stdout+stderr  all");
    harness_keys(h, "l l l");
    harness_expect_not(h, " col ");
    harness_expect(h, "short");
    static const char *const useless[] = {"v", "Enter", "d", "Tab"};
    static const char *const told[] = {"v does nothing here", "Enter does nothing here",
                                       "d is no key", "Esc closes this first"};
    for (size_t i = 0; i < ARRAY_LEN(useless); i++) {
        harness_keys(h, useless[i]);
        harness_expect(h, told[i]);
    }
    harness_size(h, 44, 24);
    harness_keys(h, "g l l l l l l l l l l");
    harness_expect_not(h, " col ");
    harness_size(h, 80, 24);
    harness_keys(h, "Esc j Enter");
    harness_expect(h, "#1 web02  stdout+stderr  1%");
    harness_keys(h, "G");
    harness_expect(h, "stdout+stderr  end");
    harness_keys(h, "g / 'line 9' Enter");
    harness_expect(h, "nowhere here");
    harness_keys(h, "Esc g / 'line 0499' Enter");
    harness_expect(h, "stdout+stderr  51%");
    harness_free(h);
}

/* What can not be known, or was not kept, is said to be so. */
static void test_unknown(void **state)
{
    char buf[32];
    struct execution lost = {.status = EXEC_FAILED, .reason = REASON_LOST, .started_ms = 1000,
                             .completed_ms = 1000, .duration_ms = -1};
    struct execution running = {.status = EXEC_RUNNING, .started_ms = 1000, .duration_ms = -1};
    struct execution never = {.status = EXEC_FAILED, .reason = REASON_SKIPPED, .duration_ms = -1};
    struct execution ended = {.status = EXEC_SUCCESS, .started_ms = 1000, .duration_ms = 400};
    assert_string_equal(vu_exec_time(&lost, 9000, buf), "-");
    assert_string_equal(vu_exec_time(&never, 9000, buf), "-");
    assert_string_equal(vu_exec_time(&running, 3000, buf), "2.0s");
    assert_string_equal(vu_exec_time(&ended, 9000, buf), "0.4s");
}

static void test_truncated(void **state)
{
    struct harness *h = harness_new(NULL);
    int64_t b = harness_batch(h, "cat big", "web[01-03]");
    for (uint32_t i = 0; i < 3; i++) {
        harness_start(h, b, i);
        struct event *ev = event_new(EVENT_FINISH, b, i);
        ev->wall_ms = wall_ms(&h->clock.clock);
        ev->duration_ms = 300;
        ev->status = i == 2 ? EXEC_FAILED : EXEC_SUCCESS;
        ev->reason = i == 2 ? REASON_EXIT : REASON_NONE;
        ev->exit_code = i == 2 ? 1 : 0;
        ev->attempts = 1;
        ev->data[0] = x_strdup("the same\n");
        ev->len[0] = strlen(ev->data[0]);
        ev->truncated[0] = i > 0;
        assert_true(writer_emit(h->writer, ev));
    }
    harness_open(h, 80, 24, false);
    harness_keys(h, "5 Enter 4 +");
    wait_for(h, "failed 1");
    harness_expect(h, "2    0      9 B (truncated) the same");
    harness_expect(h, "1    1      9 B (truncated) the same");
    harness_keys(h, "g l");
    harness_expect(h, "0.3s output truncated");
    harness_keys(h, "]");
    harness_expect(h, "rc=1     output truncated");
    harness_keys(h, "3 +");
    harness_expect(h, "rc=0     output truncated");
    harness_free(h);
}

static void test_help_search(void **state)
{
    struct harness *h = harness_new(NULL);
    harness_open(h, 80, 24, false);
    harness_keys(h, "? / 'page'");
    harness_expect(h, "n next, N previous");
    harness_keys(h, "Enter W");
    harness_expect(h, "W does nothing here");
    harness_keys(h, "/ 'nowhere'");
    harness_expect(h, "nowhere here");
    harness_free(h);
}

/* Largest first, whatever the names; of equal ones what failed. */
static void test_class_order(void **state)
{
    struct harness *h = harness_new(NULL);
    int64_t b = harness_batch(h, "uname", "web[01-07]");
    static const char *const out[] = {"one\n", "two\n", "three\n", "three\n", "two\n",
                                      "three\n"};
    for (uint32_t i = 0; i < 6; i++)
        harness_run(h, b, i, 100, 0, out[i], NULL);
    harness_open(h, 80, 24, false);
    harness_keys(h, "5 Enter 4");
    harness_expect(h, "> >     3    0      6 B three");
    /* Until it is moved the cursor is on what stands first. */
    harness_run(h, b, 6, 100, 1, "bad\n", NULL);
    wait_for(h, "7/7");
    harness_expect(h, "> >     3    0      6 B three");
    harness_keys(h, "+ j");
    harness_expect(h, "> >     2    0      4 B two");
    harness_keys(h, "j");
    harness_expect(h, "> >     1    1      4 B bad");
    harness_keys(h, "j");
    harness_expect(h, "> >     1    0      4 B one");
    harness_free(h);
}

/* What runs stands first, and what comes to stand there is seen without moving. */
static void test_progress_order(void **state)
{
    struct harness *h = batch30(false);
    harness_size(h, 80, 24);
    harness_keys(h, "3");
    harness_expect(h, "[Nodes] Slowest Errors  running first");
    harness_expect(h, ">web28");
    harness_end(h, 1, 27, 4000, 0, REASON_NONE, NULL, "active\n", NULL);
    wait_for(h, "28/30");
    harness_expect(h, ">web29");
    /* Once moved it stays on its node. */
    harness_keys(h, "j");
    harness_expect(h, ">web27");
    harness_end(h, 1, 28, 4000, 3, REASON_NONE, NULL, NULL, "no\n");
    wait_for(h, "29/30");
    harness_expect(h, ">web27");
    harness_keys(h, "g");
    harness_expect(h, ">web29      ! FAIL");
    harness_keys(h, "s");
    harness_expect(h, "Errors  by name");
    harness_keys(h, "S");
    harness_expect(h, "by name reversed");
    harness_free(h);
}

static void test_hostile_output(void **state)
{
    struct harness *h = batch30(true);
    harness_size(h, 80, 24);
    harness_keys(h, "4 ] / 'web25' Enter Enter");
    harness_expect(h, "b^[[31mred^[[0m");
    harness_free(h);
}

/* A line of 1 MB between two short ones, and 200,000 lines. */
static void test_large_output(void **state)
{
    struct harness *h = harness_new(NULL);
    struct strbuf b;
    int64_t n = harness_batch(h, "cat", "web[01-02]");
    strbuf_init(&b, 0);
    strbuf_adds(&b, "first\n");
    for (int i = 0; i < 100000; i++)
        strbuf_adds(&b, "0123456789");
    strbuf_adds(&b, "\nlast\n");
    harness_run(h, n, 0, 100, 0, b.s, NULL);
    strbuf_reset(&b);
    for (int i = 0; i < 200000; i++)
        strbuf_addf(&b, "line %06d\n", i);
    harness_run(h, n, 1, 100, 0, b.s, NULL);
    strbuf_free(&b);
    harness_open(h, 80, 24, false);
    harness_keys(h, "5 Enter 4 ] Enter");
    harness_expect(h, "first");
    harness_expect(h, "1234~");
    harness_expect(h, "last");
    harness_keys(h, "l");
    harness_expect(h, "| 89012345");
    harness_expect(h, " col 9 ");
    harness_keys(h, "W G");
    harness_expect(h, "last");
    harness_expect_not(h, "first");
    harness_keys(h, "g W Esc j Enter G");
    harness_expect(h, "line 199999");
    harness_keys(h, "C-b");
    harness_expect(h, "line 199970");
    harness_keys(h, "g / 'line 123456' Enter");
    harness_expect(h, "line 123456");
    harness_keys(h, "g G / C-u 'line 000077' Enter");
    harness_expect(h, "no more");
    harness_keys(h, "N");
    harness_expect(h, "line 000077");
    harness_free(h);
}

static void test_node(void **state)
{
    struct harness *h = batch30(true);
    int64_t b = harness_batch(h, "uptime", "web[22-23]");
    harness_run(h, b, 0, 100, 0, "up 3 days\n", NULL);
    wait_for(h, "#2 ");
    harness_size(h, 80, 24);
    harness_keys(h, "4 ] / 'web22' Enter I");
    golden_sizes(h, "node");
    harness_size(h, 80, 24);
    harness_expect(h, "dc = fra");
    harness_expect(h, "@web");
    harness_keys(h, "Enter");
    harness_expect(h, "up 3 days");
    harness_keys(h, "Esc Esc");
    harness_expect(h, "[4] Results #1");
    harness_free(h);
}

/* Why a node was reached in another way than usual stands with the run and with the node. */
static void test_way(void **state)
{
    struct harness *h = batch30(true);
    int64_t b = harness_batch(h, "uptime", "web[22-23]");
    h->note = "openssh, because a live ControlMaster at /run/cm\033[31m";
    harness_run(h, b, 0, 100, 0, "up 3 days\n", NULL);
    h->note = NULL;
    wait_for(h, "#2 ");
    harness_size(h, 120, 35);
    harness_keys(h, "4 ] / 'web22' Enter I");
    harness_expect(h, "last way         openssh, because a live ControlMaster at /run/cm^[[31m");
    harness_keys(h, "Enter");
    harness_expect(h, "way      openssh, because a live ControlMaster at /run/cm^[[31m");
    harness_free(h);
}

/* --- ten thousand --- */

static void emit_finish(struct harness *h, int64_t b, uint32_t i, char *out)
{
    struct event *ev = event_new(EVENT_FINISH, b, i);
    ev->wall_ms = wall_ms(&h->clock.clock) + 500;
    ev->duration_ms = 100 + i % 400;
    ev->status = i % 10 ? EXEC_SUCCESS : EXEC_FAILED;
    ev->reason = i % 10 ? REASON_NONE : REASON_EXIT;
    ev->exit_code = i % 10 ? 0 : 1;
    ev->attempts = 1;
    ev->data[0] = out;
    ev->len[0] = strlen(out);
    assert_true(writer_emit(h->writer, ev));
}

static double timed(struct harness *h, const char *keys)
{
    struct timespec from, to;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    harness_keys(h, keys);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    double ms = (double) (to.tv_sec - from.tv_sec) * 1e3;
    ms += (double) (to.tv_nsec - from.tv_nsec) / 1e6;
    printf("  %-14s %6.2f ms\n", keys, ms);
    return ms;
}

/* Ten thousand nodes, each with an output of its own. */
static void test_ten_thousand(void **state)
{
    static const char *const keys[] = {"3", "j",   "C-f", "G",  "g", "s", "s", "f", "f",   "f",
                                       "f", "!",   "!",   "/",  "'77'", "Esc", "]", "]", "4", "j",
                                       "C-f", "G", "g",   "l",  "j", "]", "G", "Enter", "Esc"};
    struct harness *h = harness_new("nodes: {\"n[00001-10000]\": {host: h}}\n");
    int64_t b = harness_batch(h, "uptime", "n[00001-10000]");
    double worst = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        struct event *ev = event_new(EVENT_CLAIM, b, i);
        ev->wall_ms = wall_ms(&h->clock.clock);
        assert_true(writer_emit(h->writer, ev));
        emit_finish(h, b, i, x_asprintf("up %u days\n", i));
    }
    harness_open(h, 80, 24, false);
    harness_keys(h, "5 Enter");
    wait_for(h, "10000/10000");
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        double ms = timed(h, keys[i]);
        worst = ms > worst ? ms : worst;
    }
    assert_true(worst < 1000);
    harness_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),           cmocka_unit_test(test_progress),
        cmocka_unit_test(test_progress_filters), cmocka_unit_test(test_cursor_stays),
        cmocka_unit_test(test_live_output),    cmocka_unit_test(test_cancel_outcome),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_progress_order), cmocka_unit_test(test_class_order),
        cmocka_unit_test(test_unknown),        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_output_place),   cmocka_unit_test(test_help_search),
        cmocka_unit_test(test_results),        cmocka_unit_test(test_results_keys),
        cmocka_unit_test(test_success),        cmocka_unit_test(test_output),
        cmocka_unit_test(test_hostile_output), cmocka_unit_test(test_large_output),
        cmocka_unit_test(test_node),           cmocka_unit_test(test_way),
        cmocka_unit_test(test_ten_thousand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
