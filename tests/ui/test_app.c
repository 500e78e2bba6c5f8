/* SPDX-License-Identifier: Apache-2.0 */
/* The app as a whole, without a terminal: what keys do, what stands on the screen, what is read when. */
#include "app_private.h"
#include "harness.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/service/service.h"
#include "muster/store/writer.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* #1 all ok, #2 partly failed, #3 one node, #4 runs: 12 of 24 have ended, 3 of them badly. */
static struct harness *busy(int cols, int rows)
{
    struct harness *h = harness_new(NULL);
    int64_t b = harness_batch(h, "uptime", "web[01-04]");

    for (uint32_t i = 0; i < 4; i++)
        harness_run(h, b, i, 400 + 100 * (int64_t) i, 0, "up 3 days\n", NULL);
    h->clock.now_ms += 60000;
    b = harness_batch(h, "systemctl restart nginx", "web[01-20]");
    for (uint32_t i = 0; i < 20; i++)
        harness_run(h, b, i, 900, i % 7 == 6, i % 7 == 6 ? NULL : "active\n",
                    i % 7 == 6 ? "Job for nginx.service failed.\n" : NULL);
    h->clock.now_ms += 60000;
    b = harness_batch(h, "df -h /", "db01");
    harness_run(h, b, 0, 120, 0, "/dev/sda1 42%\n", NULL);
    h->clock.now_ms += 60000;
    b = harness_batch(h, "apt-get -y upgrade", "web[01-20] db[01-04]");
    for (uint32_t i = 0; i < 18; i++)
        harness_start(h, b, i);
    for (uint32_t i = 0; i < 9; i++)
        harness_end(h, b, i, 2000 + 100 * (int64_t) i, 0, REASON_NONE, NULL, "done\n", NULL);
    harness_end(h, b, 9, 2500, 100, REASON_NONE, NULL, NULL, "E: dpkg was interrupted\n");
    harness_end(h, b, 10, 15000, -1, REASON_UNREACHABLE, "connection refused", NULL, NULL);
    harness_end(h, b, 11, 60000, -1, REASON_TIMEOUT, "command: no end within 60 s", NULL, NULL);
    h->clock.now_ms += 5000;
    harness_open(h, cols, rows, false);
    return h;
}

static void golden_history(void **state)
{
    struct harness *h = busy(120, 35);

    harness_golden(h, "app-history-120x35");
    harness_size(h, 80, 24);
    harness_golden(h, "app-history-80x24");
    harness_size(h, 40, 12);
    harness_golden(h, "app-history-40x12");
    harness_free(h);
}

static void golden_running(void **state)
{
    struct harness *h = busy(120, 35);

    harness_keys(h, "Enter");
    assert_int_equal(h->app->focus, PANE_PROGRESS);
    assert_int_equal(h->app->batch, 4);
    harness_golden(h, "app-running-120x35");
    harness_size(h, 80, 24);
    harness_golden(h, "app-running-80x24");
    harness_size(h, 40, 12);
    harness_golden(h, "app-running-40x12");
    harness_free(h);
}

static void golden_results(void **state)
{
    struct harness *h = busy(80, 24);

    harness_keys(h, "j j Enter");
    assert_int_equal(h->app->focus, PANE_RESULTS);
    assert_int_equal(h->app->batch, 2);
    harness_golden(h, "app-results-80x24");
    harness_keys(h, "+");
    harness_golden(h, "app-results-zoomed-80x24");
    harness_free(h);
}

static void golden_compose(void **state)
{
    struct harness *h = busy(80, 24);

    harness_keys(h, "c j j j Space j Space 2 e 'uname -n' Enter");
    harness_golden(h, "app-compose-80x24");
    harness_keys(h, "x");
    harness_golden(h, "app-review-80x24");
    harness_keys(h, "Esc");
    harness_size(h, 40, 12);
    harness_keys(h, "1");
    harness_golden(h, "app-compose-40x12");
    harness_free(h);
}

static void golden_help(void **state)
{
    struct harness *h = busy(80, 24);

    harness_keys(h, "?");
    harness_golden(h, "app-help-80x24");
    harness_keys(h, "/ 'undo' Enter");
    harness_expect(h, "undo the last change");
    harness_keys(h, "Esc Esc");
    assert_int_equal(h->app->n_overlays, 0);
    harness_keys(h, "? ?");
    assert_int_equal(h->app->n_overlays, 0);
    harness_free(h);
}

static void golden_empty(void **state)
{
    struct harness *h = harness_new(NULL);

    harness_open(h, 80, 24, false);
    harness_golden(h, "app-empty-80x24");
    harness_free(h);
}

static void too_small_says_so(void **state)
{
    struct harness *h = busy(38, 9);

    harness_expect(h, "too small 38x9");
    harness_expect(h, "40x10 is needed");
    harness_keys(h, "j x c");
    assert_int_equal(h->app->focus, PANE_HISTORY);
    harness_keys(h, "q");
    assert_true(h->app->quit);
    harness_free(h);
}

/* Any size, in any order, on any pane: nothing is drawn outside, and the cursor stays on the screen. */
static void resize_anywhere(void **state)
{
    static const char *const keys[] = {"1", "2", "3", "4", "5", "+", "j", "G", "?", "Esc", "Enter",
                                       "Tab", "]", "M", "g", "I", "l", "h", "C-f", "C-b"};
    struct harness *h = busy(80, 24);
    uint32_t seed = 5;

    harness_keys(h, "Enter");
    for (int i = 0; i < 600; i++) {
        seed = seed * 1664525u + 1013904223u;
        int cols = 1 + (int) (seed >> 8) % 300, rows = 1 + (int) (seed >> 20) % 100;
        if (i % 3 == 0) {
            cols = 30 + cols % 40;
            rows = 5 + rows % 20;
        }
        harness_size(h, cols, rows);
        assert_true(h->surface.cur_x < cols && h->surface.cur_y < rows);
        harness_keys(h, keys[(seed >> 12) % ARRAY_LEN(keys)]);
        assert_true(h->surface.cur_x < cols && h->surface.cur_y < rows);
    }
    harness_size(h, 80, 24);
    harness_keys(h, "Esc Esc Esc Esc Esc 5");
    harness_expect(h, "[5] History");
    harness_free(h);
}

static void history_filters(void **state)
{
    struct harness *h = busy(80, 24);

    harness_keys(h, "t");
    harness_expect(h, "df -h /");
    harness_expect_not(h, "uptime");
    harness_keys(h, "t");
    harness_expect(h, "uptime");
    harness_expect_not(h, "df -h /");
    harness_keys(h, "Esc !");
    harness_expect(h, "not success  2 batches");
    harness_expect(h, "#2 ");
    harness_expect(h, "#4 ");
    harness_expect_not(h, "#1 ");
    harness_keys(h, "!");
    harness_expect(h, "#1 ");
    harness_keys(h, "! Esc / 'upti'");
    harness_expect(h, "#1 ");
    harness_expect_not(h, "#2 ");
    harness_keys(h, "Enter Esc");
    harness_expect(h, "#2 ");
    harness_keys(h, "D 'nonsense' Enter");
    harness_expect(h, "No date. Write");
    harness_expect(h, "nonsense");
    harness_keys(h, "C-u '2026-03-11' Enter");
    harness_expect(h, "No batch is like that");
    harness_keys(h, "Esc D 'today' Enter");
    harness_expect(h, "#4 ");
    harness_free(h);
}

static void history_keeps_its_place(void **state)
{
    struct harness *h = busy(80, 24);

    harness_keys(h, "j j");
    int64_t new = harness_batch(h, "true", "web01");
    harness_wait(h, 3000);
    harness_expect(h, "#5 ");
    assert_int_equal(new, 5);
    harness_keys(h, "Enter");
    assert_int_equal(h->app->batch, 2);
    harness_free(h);
}

/* What another process does shows without a key, and the end of the open batch is told. */
static void changes_show(void **state)
{
    struct harness *h = busy(80, 24);

    harness_keys(h, "Enter");
    for (uint32_t i = 12; i < 24; i++) {
        if (i >= 18)
            harness_start(h, 4, i);
        harness_end(h, 4, i, 3000, 0, REASON_NONE, NULL, "done\n", NULL);
    }
    harness_wait(h, 3000);
    harness_expect(h, "#4 ended (partial)");
    harness_expect(h, "24/24");
    harness_wait(h, 6000);
    harness_expect_not(h, "#4 ended (partial)");
    harness_keys(h, "M");
    harness_expect(h, "#4 ended (partial)");
    harness_free(h);
}

static void unseen_failures_are_marked(void **state)
{
    struct harness *h = busy(80, 24);

    harness_keys(h, "Enter 1");
    harness_expect_not(h, "3Progress!");
    harness_end(h, 4, 12, 100, 3, REASON_NONE, NULL, NULL, NULL);
    harness_wait(h, 3000);
    harness_expect(h, "3Progress!");
    harness_keys(h, "3 1");
    harness_expect_not(h, "3Progress!");
    harness_free(h);
}

/* Idle: the store is looked at ever more rarely, and nothing is drawn. */
static void idle_is_quiet(void **state)
{
    struct harness *h = harness_new(NULL);
    int64_t b = harness_batch(h, "true", "web01");
    int looks = 0;

    harness_run(h, b, 0, 10, 0, NULL, NULL);
    harness_open(h, 80, 24, false);
    harness_wait(h, 10000);
    assert_false(h->app->dirty);
    for (int i = 0; i < 600; i++) {
        int64_t before = h->app->priv->poll_at;
        h->clock.now_ms += 100;
        app_tick(h->app);
        assert_false(h->app->dirty);
        looks += h->app->priv->poll_at != before;
    }
    assert_true(looks >= 29 && looks <= 31);
    harness_keys(h, "j");
    assert_true(h->app->priv->poll_gap <= POLL_MS * 3 / 2);
    harness_free(h);
}

static void questions(void **state)
{
    struct harness *h = busy(80, 24);

    harness_keys(h, "X");
    harness_expect(h, "Cancel #4 (6 running, 6 queued)? y/n");
    harness_expect(h, " y yes  n no  Esc no");
    harness_keys(h, "j q");
    harness_expect_not(h, "Cancel #4");
    assert_false(h->app->quit);
    harness_keys(h, "X C-c");
    harness_expect_not(h, "Cancel #4");
    harness_keys(h, "j X");
    harness_expect(h, "#3 has ended");
    harness_keys(h, "j r");
    harness_expect(h, "Rerun #2: a all 20, f failed 2, s skipped 0, e edit?");
    harness_expect(h, " a all  f failed  s skipped  o selected  e edit  n no  Esc no");
    harness_keys(h, "f");
    harness_expect(h, "web[07,14]");
    harness_keys(h, "Esc");
    assert_null(h->app->pending);
    harness_keys(h, "r s");
    assert_int_equal(h->app->n_overlays, 0);
    harness_keys(h, "r o");
    harness_expect(h, "no node is selected");
    harness_keys(h, "1 j j j Space 5 r");
    harness_expect(h, "skipped 0, o on the 1 selected, e edit?");
    harness_keys(h, "o");
    assert_int_equal(h->app->pending->n_node_ids, 1);
    assert_string_equal(h->app->pending->node_ids[0], "web02");
    assert_string_equal(h->app->pending->action, "systemctl restart nginx");
    harness_free(h);
}

static void cancel_from_here(void **state)
{
    struct harness *h = busy(80, 24);

    harness_keys(h, "Enter C-c y");
    harness_wait(h, 500);
    assert_int_equal(h->app->open.stats.by_reason[REASON_CANCELLED], 6);
    assert_int_equal(h->app->open.stats.queued, 0);
    assert_int_equal(h->app->priv->tell_cancel, 4);
    for (uint32_t i = 12; i < 18; i++)
        harness_end(h, 4, i, 100, -1, REASON_CANCELLED, "Cancelled by user", NULL, NULL);
    harness_wait(h, 2500);
    harness_expect(h, "#4 cancelled: 12 never started");
    harness_free(h);
}

static void export_asks(void **state)
{
    struct harness *h = busy(80, 24);
    char *path = x_asprintf("%s/out.txt", h->dir), keys[300];

    harness_keys(h, "j E");
    harness_expect(h, "batch-3-results.csv");
    snprintf(keys, sizeof keys, "C-u '%s' Enter", path);
    harness_keys(h, keys);
    harness_expect(h, "must end in .csv or .json");
    snprintf(keys, sizeof keys, "C-u '%s/o.csv' Enter", h->dir);
    harness_keys(h, keys);
    harness_expect(h, "written:");
    snprintf(keys, sizeof keys, "E C-u '%s/o.csv' Enter", h->dir);
    harness_keys(h, keys);
    harness_expect(h, "exists. Overwrite it? y/n");
    harness_keys(h, "n");
    harness_expect(h, "stays as it is");
    snprintf(keys, sizeof keys, "E C-u '%s/o.json' Enter", h->dir);
    harness_keys(h, keys);
    snprintf(keys, sizeof keys, "%s/o.json", h->dir);
    assert_int_equal(access(keys, R_OK), 0);
    free(path);
    harness_free(h);
}

static void delete_asks(void **state)
{
    struct harness *h = busy(80, 24);

    harness_keys(h, "Del");
    harness_expect(h, "#4 still runs");
    harness_keys(h, "j j j Enter 5 Del");
    harness_expect(h, "Delete #1 (4 nodes)? y/n");
    assert_int_equal(h->app->batch, 1);
    harness_keys(h, "y");
    harness_wait(h, 1000);
    harness_expect(h, "#1 and its results are deleted");
    harness_expect_not(h, "uptime");
    assert_int_equal(h->app->batch, 0);
    harness_free(h);
}

static void read_only_refuses(void **state)
{
    struct harness *h = harness_new(NULL);
    static const char *const refused[] = {"r", "X", "Del", "1 Space x", "2 x"};

    harness_run(h, harness_batch(h, "true", "web01"), 0, 10, 0, NULL, NULL);
    harness_open(h, 80, 24, true);
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        harness_wait(h, 6000);
        harness_keys(h, refused[i]);
        assert_non_null(strstr(h->app->toast, "read-only: muster was started so"));
        assert_int_equal(h->app->n_overlays, 0);
        assert_false(h->app->priv->question.active);
    }
    harness_free(h);
}

static void run_needs_all(void **state)
{
    struct harness *h = busy(80, 24);

    harness_keys(h, "2 x");
    harness_expect(h, "no target");
    assert_int_equal(h->app->focus, PANE_TARGETS);
    harness_keys(h, "j j j Space x");
    assert_non_null(strstr(h->app->toast, "no command"));
    assert_int_equal(h->app->focus, PANE_ACTION);
    field_set(&h->app->form.fields[FORM_COMMAND], "true");
    field_set(&h->app->form.fields[FORM_FANOUT], "0");
    harness_keys(h, "x");
    assert_non_null(strstr(h->app->toast, "Fan-out"));
    field_set(&h->app->form.fields[FORM_FANOUT], "5");
    field_set(&h->app->form.fields[FORM_TIMEOUT], "soon");
    harness_keys(h, "x");
    assert_non_null(strstr(h->app->toast, "Run limit"));
    field_set(&h->app->form.fields[FORM_TIMEOUT], "5m");
    harness_keys(h, "x");
    assert_non_null(h->app->pending);
    assert_int_equal(h->app->pending->fanout, 5);
    assert_int_equal(h->app->pending->over.command_timeout_ms, 300000);
    assert_int_equal(h->app->pending->n_node_ids, 1);
    /* Enter alone never launches. */
    harness_keys(h, "Enter Enter");
    assert_int_equal(h->app->n_overlays, 1);
    harness_keys(h, "Esc");
    assert_null(h->app->pending);
    harness_free(h);
}

static void quit_is_at_the_top(void **state)
{
    struct harness *h = busy(80, 24);

    harness_keys(h, "Enter + ? q");
    assert_int_equal(h->app->n_overlays, 0);
    harness_keys(h, "q");
    assert_false(h->app->zoomed);
    harness_keys(h, "Esc");
    assert_int_equal(h->app->focus, PANE_HISTORY);
    harness_keys(h, "Esc Esc");
    assert_false(h->app->quit);
    harness_keys(h, "C-c");
    harness_expect(h, "q quits; the batch keeps running");
    assert_false(h->app->quit);
    harness_keys(h, "q");
    assert_true(h->app->quit);
    harness_free(h);
}

/* A pasted newline is text, wherever it lands. */
static void paste_never_submits(void **state)
{
    struct harness *h = busy(80, 24);
    struct key paste = {KEY_CODE_PASTE, 0, false, "rm -rf x\ny\n"};

    app_key(h->app, &paste);
    assert_int_equal(h->app->focus, PANE_HISTORY);
    harness_keys(h, "X");
    app_key(h->app, &paste);
    harness_draw(h);
    harness_expect(h, "Cancel #4");
    harness_keys(h, "Esc E");
    app_key(h->app, &paste);
    harness_draw(h);
    assert_true(h->app->priv->question.active);
    harness_free(h);
}

/* Keys that come faster than frames act on what they would see. */
static void type_ahead(void **state)
{
    struct harness *h = busy(80, 24);
    static const char *const keys[] = {"5", "j", "j", "Enter", "5", "k", "Enter"};

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct key k;
        assert_true(key_parse(keys[i], &k));
        app_key(h->app, &k);
    }
    assert_int_equal(h->app->batch, 3);
    harness_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_history),
        cmocka_unit_test(golden_running),
        cmocka_unit_test(golden_results),
        cmocka_unit_test(golden_compose),
        cmocka_unit_test(golden_help),
        cmocka_unit_test(golden_empty),
        cmocka_unit_test(too_small_says_so),
        cmocka_unit_test(resize_anywhere),
        cmocka_unit_test(history_filters),
        cmocka_unit_test(history_keeps_its_place),
        cmocka_unit_test(changes_show),
        cmocka_unit_test(unseen_failures_are_marked),
        cmocka_unit_test(idle_is_quiet),
        cmocka_unit_test(questions),
        cmocka_unit_test(cancel_from_here),
        cmocka_unit_test(export_asks),
        cmocka_unit_test(delete_asks),
        cmocka_unit_test(read_only_refuses),
        cmocka_unit_test(run_needs_all),
        cmocka_unit_test(quit_is_at_the_top),
        cmocka_unit_test(paste_never_submits),
        cmocka_unit_test(type_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
