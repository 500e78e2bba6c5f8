/* SPDX-License-Identifier: Apache-2.0 */
/* What the app keeps while things change under it: the cursor, questions, messages, the inventory; and
 * text that comes faster than anybody types. */
#include "app_private.h"
#include "harness.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/core/fleet.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* #1 and #2 have ended well, #3 runs on web01 and waits on web02. */
static struct harness *three(int cols, int rows)
{
    struct harness *h = harness_new(NULL);

    for (int i = 0; i < 2; i++)
        harness_run(h, harness_batch(h, "uptime", "web01"), 0, 100, 0, "up\n", NULL);
    harness_start(h, harness_batch(h, "sleep 60", "web[01-02]"), 0);
    harness_open(h, cols, rows, false);
    return h;
}

static void inventory(struct harness *h, const char *text)
{
    char *path = io_join(h->dir, "inventory.yaml");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(io_write_all(fd, text, strlen(text)), 0);
    close(fd);
    free(path);
}

/* Keys that come in a heap. */
static void burst(struct harness *h, const char *keys)
{
    for (; *keys; keys++) {
        struct key k = {KEY_CODE_CHAR, (unsigned char) *keys, false, NULL};
        if (*keys == '\n')
            k = (struct key) {KEY_CODE_ENTER, 0, false, NULL};
        h->app->priv->burst = *keys == '\n' && keys[1] ? BURST_LINE : BURST_HEAP;
        app_key(h->app, &k);
    }
    h->app->priv->burst = BURST_NONE;
    harness_draw(h);
}

static void opened_has_the_cursor(void **state)
{
    struct harness *h = three(80, 24);

    harness_keys(h, "j j");
    int64_t number = harness_batch(h, "true", "web03");
    app_open_batch(h->app, number);
    harness_keys(h, "5");
    harness_expect(h, ">#4 ");
    harness_keys(h, "r");
    harness_expect(h, "Rerun #4");
    harness_keys(h, "Esc j j Enter 5 r");
    harness_expect(h, "Rerun #2");
    /* One that the filter hides leaves the cursor where it was. */
    harness_keys(h, "Esc ! j");
    app_open_batch(h->app, 1);
    harness_keys(h, "5");
    harness_expect(h, ">#3 ");
    harness_free(h);
}

static void question_ends_with_its_batch(void **state)
{
    struct harness *h = three(80, 24);

    harness_keys(h, "X");
    harness_expect(h, "Cancel #3");
    harness_end(h, 3, 0, 100, 0, REASON_NONE, NULL, NULL, NULL);
    harness_wait(h, 2000);
    harness_expect(h, "Cancel #3");
    harness_run(h, 3, 1, 100, 0, NULL, NULL);
    harness_wait(h, 2000);
    harness_expect_not(h, "Cancel #3");
    harness_expect(h, "#3 has ended by itself");
    harness_free(h);
}

static void counts_are_of_now(void **state)
{
    struct harness *h = three(80, 24);

    harness_keys(h, "1 j Space");
    harness_expect(h, "20 selected");
    assert_non_null(strstr(h->app->toast, "20 selected"));
    harness_keys(h, "j j j");
    assert_non_null(strstr(h->app->toast, "20 selected"));
    harness_keys(h, "Space");
    assert_null(strstr(h->app->toast, "20 selected"));
    /* What is no count stays for its time. */
    app_toast(h->app, "the lamp is out");
    harness_keys(h, "j Space");
    harness_expect(h, "the lamp is out");
    harness_free(h);
}

static void bursts_are_text(void **state)
{
    struct harness *h = three(80, 24);

    harness_keys(h, "2 e");
    burst(h, "one\ntwo\nX");
    assert_string_equal(h->app->form.fields[FORM_COMMAND].text, "one\ntwo\nX");
    harness_expect(h, "editing");
    harness_keys(h, "Esc 5 E C-u");
    burst(h, "a.csv\nq");
    assert_string_equal(h->app->priv->question.field.text, "a.csv\nq");
    harness_keys(h, "Esc X");
    burst(h, "yy");
    assert_true(h->app->priv->question.active);
    harness_keys(h, "n 1 j j j Space");
    burst(h, "xy");
    assert_int_equal(h->app->n_overlays, 1);
    harness_expect(h, "press it again, alone");
    assert_non_null(h->app->pending);
    harness_free(h);
}

static void broken_inventory_stays(void **state)
{
    struct harness *h = three(120, 35);

    inventory(h, "nodes: [\n");
    harness_wait(h, 3000);
    harness_expect(h, "28 hosts (stale)");
    harness_expect(h, "stale inventory: ");
    harness_expect(h, "web01");
    field_set(&h->app->form.fields[FORM_COMMAND], "true");
    harness_keys(h, "1 j j j Space x");
    harness_expect(h, "Refused");
    harness_keys(h, "Esc R");
    harness_expect(h, "inventory.yaml");
    inventory(h, "nodes: {\"lone[1-2]\": {}}\n");
    harness_wait(h, 3000);
    harness_expect_not(h, "stale");
    harness_expect(h, "lone1");
    harness_free(h);
}

/* The service reads the inventory anew while the screen still draws the one before. */
static void inventory_under_the_screen(void **state)
{
    struct harness *h = three(120, 35);
    const struct fleet *before = h->app->fleet;
    struct err e = ERR_INIT;

    harness_keys(h, "1");
    inventory(h, "nodes: {\"lone[1-2]\": {}}\n");
    const struct fleet *now = service_fleet(h->service, &e);
    assert_non_null(now);
    assert_ptr_not_equal(now, before);
    assert_ptr_equal(h->app->fleet, before);
    assert_int_equal(fleet_node(before, "web01")->n_groups, 2);
    harness_keys(h, "j Space G");
    assert_ptr_equal(h->app->fleet, now);
    harness_expect(h, "lone1");
    harness_free(h);
}

/* What is asked is read to its end at every size, and there is room for the answer. */
static void questions_fit(void **state)
{
    static const int sizes[][2] = {{80, 24}, {40, 12}};

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct harness *h = three(sizes[i][0], sizes[i][1]);
        char *path = x_asprintf("%s/a-name-that-is-long-enough-for-any-row-of-forty.csv", h->dir);
        char *keys = x_asprintf("C-u '%s' Enter", path);
        harness_keys(h, "D");
        harness_expect(h, "Dates (today, 3d, FROM..TO or empty):");
        harness_keys(h, "'2026-03-01..2026-03-11'");
        harness_expect(h, "2026-03-01..2026-03-11");
        harness_keys(h, "C-u 'nonsense' Enter");
        harness_expect(h, "No date. Write 2026-01-31, 3d, A..B:");
        harness_keys(h, "Esc X");
        harness_expect(h, "Cancel #3 (1 running, 1 queued)? y/n");
        harness_keys(h, "n j Del");
        harness_expect(h, "Delete #2 (1 node)? y/n");
        harness_keys(h, "n E");
        harness_expect(h, "Export all to: ");
        harness_expect(h, "batch-2-results.csv");
        harness_keys(h, keys);
        harness_keys(h, "E");
        harness_keys(h, keys);
        harness_expect(h, "Overwrite it? y/n");
        harness_expect(h, h->dir);
        harness_keys(h, "n E C-u 'it' Enter");
        harness_expect(h, "The name must end in .csv or .json:");
        harness_keys(h, "Esc");
        harness_expect_not(h, "The name must");
        /* The time of day goes before the end of what is said. */
        app_toast(h->app, "no more than forty columns are here");
        harness_draw(h);
        harness_expect(h, "no more than forty columns are here");
        free(keys);
        free(path);
        harness_free(h);
    }
}

static void repeats_are_one_line(void **state)
{
    struct harness *h = three(80, 24);

    app_toast(h->app, "the lamp is out");
    app_toast(h->app, "the door is open");
    for (int i = 0; i < 3; i++) {
        harness_wait(h, 1000);
        app_toast(h->app, "the lamp is out");
    }
    harness_keys(h, "M");
    h->app->toast[0] = '\0';
    harness_draw(h);
    harness_expect(h, "14:32:06 (4 times) the lamp is out");
    harness_expect(h, "14:32:03 the door is open");
    harness_expect_not(h, "14:32:05");
    harness_free(h);
}

static void narrow_footers(void **state)
{
    struct harness *h = three(40, 12);

    harness_expect(h, " Enter open  r rerun  ? help  q quit");
    harness_keys(h, "Enter");
    harness_expect(h, " X cancel  ! failed  ? help  q back");
    harness_keys(h, "r");
    harness_expect(h, " a all  f failed  s skipped  o selected");
    harness_keys(h, "Esc X");
    harness_expect(h, " y yes  n no  Esc no");
    harness_keys(h, "n");
    harness_keys(h, "2");
    harness_expect(h, " e edit  x run  ");
    harness_expect(h, "q back");
    harness_free(h);
    h = harness_new(NULL);
    harness_open(h, 40, 12, false);
    harness_expect(h, " c new  ");
    harness_expect_not(h, "Enter open");
    harness_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opened_has_the_cursor),
        cmocka_unit_test(question_ends_with_its_batch),
        cmocka_unit_test(counts_are_of_now),
        cmocka_unit_test(bursts_are_text),
        cmocka_unit_test(broken_inventory_stays),
        cmocka_unit_test(inventory_under_the_screen),
        cmocka_unit_test(questions_fit),
        cmocka_unit_test(repeats_are_one_line),
        cmocka_unit_test(narrow_footers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
