/* SPDX-License-Identifier: Apache-2.0 */
/* The Action pane and the review: the fields and their errors, the history of commands, what a
 * run is refused for, and that nothing runs without the agreement that is asked for. */
#include "harness.h"

#include "muster/base/alloc.h"
#include "muster/base/secret.h"
#include "muster/base/strbuf.h"
#include "muster/exec/ask.h"

#include "../../src/service/service.h"

#include <pthread.h>
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

static struct harness *fresh(void)
{
    struct harness *h = harness_new(NULL);
    int64_t b = harness_batch(h, "uptime", "web[01-02]");
    harness_run(h, b, 0, 400, 0, "up\n", NULL);
    harness_run(h, b, 1, 600, 0, "up\n", NULL);
    b = harness_batch(h, "df -h /", "web[01-02]");
    harness_run(h, b, 0, 400, 0, "up\n", NULL);
    harness_run(h, b, 1, 600, 0, "up\n", NULL);
    harness_open(h, 80, 24, false);
    return h;
}

static const char *command(struct harness *h)
{
    return h->app->form.fields[FORM_COMMAND].text;
}

static void test_fields(void **state)
{
    struct harness *h = fresh();
    harness_keys(h, "2 e 'systemctl is-active nginx' Enter j e '0' Tab '15x' Tab '5m' Enter");
    assert_string_equal(command(h), "systemctl is-active nginx");
    harness_expect(h, " 1 to 10000");
    harness_expect(h, " as 90s, 5m");
    golden_sizes(h, "action");
    harness_size(h, 80, 24);
    harness_keys(h, "k k k e BS '20' Tab BS Esc");
    harness_expect_not(h, "1 to 10000");
    harness_expect_not(h, "as 90s");
    assert_string_equal(h->app->form.fields[FORM_FANOUT].text, "20");
    assert_string_equal(h->app->form.fields[FORM_CONNECT].text, "15");
    /* Enter edits and leaves; it never launches. */
    harness_keys(h, "k k k e Enter Enter Enter");
    assert_int_equal(h->app->n_overlays, 0);
    harness_free(h);
}

static void test_history(void **state)
{
    struct harness *h = fresh();
    harness_keys(h, "2 e 'ls' Up");
    assert_string_equal(command(h), "df -h /");
    harness_keys(h, "C-p");
    assert_string_equal(command(h), "uptime");
    harness_keys(h, "Up");
    assert_string_equal(command(h), "uptime");
    harness_keys(h, "Down C-n");
    assert_string_equal(command(h), "ls");
    harness_keys(h, "C-r 'ti'");
    assert_string_equal(command(h), "uptime");
    harness_expect(h, "search ti");
    harness_keys(h, "Esc");
    assert_string_equal(command(h), "ls");
    harness_keys(h, "C-r 'h' Enter");
    assert_string_equal(command(h), "df -h /");
    harness_keys(h, "C-r 'nothing like it'");
    harness_expect(h, "no command with");
    harness_keys(h, "C-c Esc");
    assert_string_equal(command(h), "df -h /");
    harness_free(h);
}

static void test_refusals(void **state)
{
    struct harness *h = fresh();
    harness_keys(h, "2");
    harness_expect(h, "x cannot run yet: no target (1, then Space) and no command (e edits it)");
    harness_keys(h, "e 'id' Esc");
    harness_expect(h, "x cannot run yet: no target (1, then Space)");
    harness_keys(h, "x");
    assert_int_equal(h->app->n_overlays, 0);
    harness_keys(h, "1 / 'stage1' Enter G Space 2");
    harness_expect(h, "x shows what will run, and where, before it does");
    harness_free(h);
}

static void test_review_small(void **state)
{
    struct harness *h = fresh();
    harness_keys(h, "1 / 'stage' Enter g Space 2 e 'uptime' Esc x");
    harness_expect(h, "y runs it, Esc goes back");
    harness_expect(h, "stage[1-3]");
    golden_sizes(h, "review");
    harness_size(h, 80, 24);
    harness_keys(h, "Enter Space x");
    assert_int_equal(h->app->n_overlays, 1);
    assert_int_equal(h->app->batch, 0);
    harness_keys(h, "Esc");
    assert_int_equal(h->app->n_overlays, 0);
    assert_string_equal(command(h), "uptime");
    harness_free(h);
}

/* A key that does nothing says what would; those that move do. */
static void test_review_keys(void **state)
{
    static const char *const useless[] = {"Enter", "4", "/", "5", "d", "x", "Tab"};
    struct harness *h = fresh();
    harness_keys(h, "1 / 'stage' Enter g Space 2 e 'uptime' Esc x");
    for (size_t i = 0; i < ARRAY_LEN(useless); i++) {
        h->app->toast[0] = '\0';
        harness_draw(h);
        harness_expect_not(h, "nothing runs yet");
        harness_keys(h, useless[i]);
        harness_expect(h, "nothing runs yet: y runs it, Esc goes back");
        assert_int_equal(h->app->n_overlays, 1);
    }
    harness_keys(h, "?");
    assert_int_equal(h->app->n_overlays, 2);
    harness_keys(h, "Esc Esc");
    assert_int_equal(h->app->n_overlays, 0);
    /* A long command: the letters that move elsewhere move here. */
    struct strbuf b;
    strbuf_init(&b, 0);
    for (int i = 0; i < 60; i++)
        strbuf_addf(&b, "echo %d\n", i);
    field_set(&h->app->form.fields[FORM_COMMAND], b.s);
    strbuf_free(&b);
    harness_keys(h, "x");
    harness_expect(h, "echo 0");
    harness_keys(h, "j j j j");
    harness_expect_not(h, "echo 0");
    harness_keys(h, "G");
    harness_expect(h, "echo 59");
    harness_keys(h, "g");
    harness_expect(h, "echo 0");
    harness_keys(h, "Space");
    harness_expect_not(h, "echo 0");
    assert_int_equal(h->app->batch, 0);
    harness_free(h);
}

static void test_pages_in_form(void **state)
{
    struct harness *h = fresh();
    harness_keys(h, "2 PgDn");
    harness_expect(h, ">More");
    harness_keys(h, "PgUp");
    harness_expect(h, ">Type");
    harness_keys(h, "C-d");
    harness_expect(h, ">Connect");
    harness_keys(h, "C-d");
    harness_expect(h, ">More");
    harness_keys(h, "C-u");
    harness_expect(h, ">Fan-out");
    harness_keys(h, "C-b");
    harness_expect(h, ">Type");
    harness_keys(h, "C-f");
    harness_expect(h, ">More");
    harness_free(h);
}

/* What is behind More is folded into one line, with what it says; errors show there too. */
static void test_more(void **state)
{
    struct harness *h = fresh();
    harness_keys(h, "1 / 'stage1' Enter G Space 2 e 'id' Esc G");
    harness_expect_not(h, "Run as");
    harness_keys(h, "Enter");
    harness_expect_not(h, "Targets --");
    harness_keys(h, "j Enter");
    assert_string_equal(h->app->form.fields[FORM_ASK_LOGIN].text, "yes");
    harness_keys(h, "e");
    assert_int_equal(h->app->form.fields[FORM_ASK_LOGIN].len, 0);
    harness_keys(h, "j e 'postgres' Enter e 'dubious' Enter");
    harness_expect(h, "sudo su doas none");
    harness_keys(h, "k e C-u 'su' Enter Enter");
    assert_string_equal(h->app->form.fields[FORM_ASK_BECOME].text, "yes");
    harness_keys(h, "j e '/srv' Enter e '1A=b' Enter");
    harness_expect(h, "A=b C='d e'");
    harness_keys(h, "k e C-u 'A=b C=\"d e\"' Enter e '/no/such/file' Enter");
    harness_expect(h, "no such file");
    harness_expect(h, "x cannot run yet: a field under More is wrong");
    harness_keys(h, "k e C-u '/in/%n.txt' Enter j j e 'bastion' Enter");
    harness_keys(h, "e '0' Enter j e '1,x' Enter");
    harness_expect(h, "1 to 10000");
    harness_expect(h, "as 1,10%,50%");
    harness_keys(h, "k k k e C-u '5' Enter j e C-u '1,50%' Enter e '1m' Enter j e '5%' Esc");
    golden_sizes(h, "action-more");
    harness_size(h, 80, 24);
    harness_keys(h, "g j j j j j j j Enter");
    harness_expect_not(h, "Environ   ");
    harness_expect(h, "Run as postgres, By su");
    /* The review names the file that is not there. */
    harness_keys(h, "x");
    harness_expect(h, "input files cannot be read: /in/stage1.txt");
    harness_free(h);
}

static void test_stages(void **state)
{
    struct harness *h = fresh();
    harness_size(h, 120, 35);
    harness_keys(h, "1 / 'stage' Enter a 2 e 'id' Esc G Enter G k k k k k k e '1' Enter");
    harness_keys(h, "j e '2' Enter");
    harness_keys(h, "j j e '0' Esc x");
    harness_expect(h, "1 first, then a question; in waves of 1, 2, 3; stops at more than 0 failures");
    harness_keys(h, "Esc G e 'rack' Esc x");
    harness_expect(h, "--serial-by rack: there is no group of that name");
    harness_free(h);
}

static void test_review_protected(void **state)
{
    struct harness *h = fresh();
    harness_keys(h, "1 / 'db01' Enter G Space 2 e 'reboot' Esc x");
    harness_expect(h, "Protected some of these nodes are in @db: their number is to be typed");
    harness_expect(h, "To run it, type 1 and Enter:");
    harness_keys(h, "y Enter");
    harness_expect(h, "nothing runs yet: type 1 first");
    harness_keys(h, "'2' Enter");
    harness_expect(h, "2 is not the number of nodes, which is 1");
    assert_int_equal(h->app->n_overlays, 1);
    assert_int_equal(h->app->batch, 0);
    harness_golden(h, "review-protected-80x24");
    harness_free(h);
}

static void wait_for(struct harness *h, const char *text);
static struct harness *local(void);

/* A password that is wanted is asked for once the run is agreed to; without one nothing runs. */
static void test_password_is_asked(void **state)
{
    struct harness *h = local();
    field_set(&h->app->form.fields[FORM_ASK_LOGIN], "yes");
    field_set(&h->app->form.fields[FORM_BECOME], "none");
    harness_keys(h, "1 / 'here01' Enter G Space 2 e 'echo fine' Esc x");
    harness_expect(h, "password asked next");
    harness_keys(h, "y");
    harness_expect(h, "SSH password:");
    harness_keys(h, "'secret' BS BS BS BS BS BS BS 'Xyz'");
    harness_expect_not(h, "Xyz");
    harness_expect(h, "SSH password: ***");
    harness_keys(h, "Esc");
    harness_expect(h, "no password: nothing was run");
    assert_int_equal(h->app->batch, 0);
    assert_int_equal(h->app->n_overlays, 1);
    harness_keys(h, "y Enter");
    assert_int_equal(h->app->batch, 0);
    harness_keys(h, "y 'Xyz' Enter");
    assert_int_equal(h->app->batch, 1);
    wait_for(h, "Success: the command succeeded on the node.");
    /* A rerun knows that there was one. */
    harness_keys(h, "r a");
    harness_expect(h, "password asked next");
    harness_free(h);
}

/* Another user wants the number, however few the nodes; its password follows. */
static void test_become_wants_the_number(void **state)
{
    struct harness *h = local();
    field_set(&h->app->form.fields[FORM_RUN_AS], "app");
    field_set(&h->app->form.fields[FORM_ASK_BECOME], "yes");
    field_set(&h->app->form.fields[FORM_ENV], "A=b C='d e'");
    harness_keys(h, "1 / 'here01' Enter G Space 2 e 'id' Esc x");
    harness_expect(h, "Privilege as app by sudo");
    harness_expect(h, "password asked next");
    harness_expect(h, "C=d e");
    harness_expect(h, "As app: type 1 and Enter:");
    harness_keys(h, "y");
    assert_int_equal(h->app->n_overlays, 1);
    harness_keys(h, "'1' Enter");
    harness_expect(h, "sudo password:");
    harness_keys(h, "Esc Esc");
    assert_int_equal(h->app->batch, 0);
    /* The next one begins as the login user. */
    harness_keys(h, "c");
    assert_int_equal(h->app->form.fields[FORM_RUN_AS].len, 0);
    assert_int_equal(h->app->form.fields[FORM_ASK_BECOME].len, 0);
    assert_string_equal(h->app->form.fields[FORM_ENV].text, "A=b C='d e'");
    assert_string_equal(h->app->form.fields[FORM_COMMAND].text, "id");
    harness_free(h);
}

struct asking {
    struct asker *asker;
    const char *text;
    bool echo, gone; /* gone: atomic */
    struct secret *answer;
};

static bool is_gone(void *ctx)
{
    return __atomic_load_n(&((struct asking *) ctx)->gone, __ATOMIC_ACQUIRE);
}

static void *ask_one(void *arg)
{
    struct asking *x = arg;
    x->answer = asker_ask(x->asker, "web1", x->text, x->echo, is_gone, x);
    return NULL;
}

/* A batch asks from a thread of its own: it is answered on any pane, unseen where it is a secret,
 * and never by keys that are meant for a field. */
static void test_question_of_a_batch(void **state)
{
    struct harness *h = local();
    struct asker *asker = h->service->asker;
    struct asking x = {.asker = asker, .text = "Passphrase for /k:"};
    struct asking code = {.asker = asker, .text = "Code", .echo = true};
    pthread_t t;
    harness_keys(h, "2 e 'ty'");
    assert_int_equal(pthread_create(&t, NULL, ask_one, &x), 0);
    wait_for(h, "a question waits");
    harness_keys(h, "'ped' Esc 5");
    assert_string_equal(command(h), "typed");
    wait_for(h, "web1: Passphrase for /k:");
    harness_keys(h, "'pass' BS 'word'");
    harness_expect(h, "Passphrase for /k: *******");
    harness_keys(h, "Enter");
    pthread_join(t, NULL);
    assert_string_equal(secret_text(x.answer), "pasword");
    secret_unref(x.answer);
    harness_expect_not(h, "Passphrase");

    assert_int_equal(pthread_create(&t, NULL, ask_one, &code), 0);
    wait_for(h, "web1: Code:");
    harness_keys(h, "'4711'");
    harness_expect(h, "web1: Code: 4711");
    harness_keys(h, "Esc");
    pthread_join(t, NULL);
    assert_null(code.answer);

    /* A long one keeps its end, where the name of the file is. */
    x.text = "Passphrase for /home/operations/.ssh/customers/north/id_ed25519_north:";
    harness_size(h, 40, 12);
    assert_int_equal(pthread_create(&t, NULL, ask_one, &x), 0);
    wait_for(h, "id_ed25519_north:");
    harness_keys(h, "'abc'");
    harness_golden(h, "question-40x12");
    harness_size(h, 80, 24);
    harness_golden(h, "question-80x24");
    harness_keys(h, "Enter");
    pthread_join(t, NULL);
    secret_unref(x.answer);
    x.text = "The operators of this bastion, who are not to be disturbed at night, want to know from "
             "everybody who signs in here, by whichever way it is, what the token shows:";
    harness_size(h, 40, 12);
    assert_int_equal(pthread_create(&t, NULL, ask_one, &x), 0);
    wait_for(h, "token shows:");
    harness_golden(h, "question-long-40x12");
    harness_keys(h, "Esc");
    pthread_join(t, NULL);
    harness_size(h, 80, 24);
    x.text = "Passphrase for /k:";

    /* Its session ends meanwhile: the question goes. */
    assert_int_equal(pthread_create(&t, NULL, ask_one, &x), 0);
    wait_for(h, "web1: Passphrase for /k:");
    __atomic_store_n(&x.gone, true, __ATOMIC_RELEASE);
    pthread_join(t, NULL);
    harness_wait(h, 300);
    harness_expect_not(h, "Passphrase");
    harness_free(h);
}

static void wait_for(struct harness *h, const char *text)
{
    for (int i = 0; i < 4000 && !harness_shows(h, text); i++) {
        nanosleep(&(struct timespec) {0, 5000000}, NULL);
        harness_wait(h, 10);
    }
    harness_expect(h, text);
}

static struct harness *local(void)
{
    struct harness *h = harness_new("nodes: {\"here[01-12]\": {transport: local}}\n"
                                    "groups: {here: {nodes: \"here[01-12]\"}}\n");
    harness_open(h, 80, 24, false);
    return h;
}

static void test_run_small(void **state)
{
    struct harness *h = local();
    harness_keys(h, "1 / 'here0' Enter g Space 2 e 'echo done here' Esc x");
    harness_expect(h, "9 nodes");
    harness_keys(h, "y");
    assert_int_equal(h->app->n_overlays, 0);
    assert_int_equal(h->app->batch, 1);
    wait_for(h, "Success: the command succeeded on every node.");
    harness_expect(h, "done here");
    harness_free(h);
}

static void test_run_many(void **state)
{
    struct harness *h = local();
    harness_keys(h, "1 a 2 e 'true' Esc x");
    harness_expect(h, "To run it, type 12 and Enter:");
    harness_keys(h, "y");
    assert_int_equal(h->app->batch, 0);
    harness_keys(h, "'12' Enter");
    assert_int_equal(h->app->batch, 1);
    wait_for(h, "Success: the command succeeded on every node.");
    harness_free(h);
}

/* The number is a field: what was typed wrong is mended, not added to. */
static void test_number_is_edited(void **state)
{
    struct harness *h = local();
    harness_keys(h, "1 a 2 e 'true' Esc x '13' C-u '99'");
    harness_expect(h, "Enter: 99 ");
    harness_keys(h, "BS BS '1' Left '9' Del '2' Home Del '1' End BS '3' Enter");
    harness_expect(h, "13 is not the number of nodes, which is 12");
    assert_int_equal(h->app->batch, 0);
    harness_keys(h, "'11' C-w '13' C-h '2'");
    harness_expect(h, "Enter: 12 ");
    harness_keys(h, "Enter");
    assert_int_equal(h->app->batch, 1);
    wait_for(h, "Success: the command succeeded on every node.");
    harness_free(h);
}

/* A command full of escapes is shown as what it is. */
static void test_review_hostile(void **state)
{
    struct harness *h = fresh();
    harness_keys(h, "1 / 'stage1' Enter G Space 2");
    field_set(&h->app->form.fields[FORM_COMMAND], "printf '\x1b[2J' # \xe2\x80\xae");
    harness_keys(h, "x");
    harness_expect(h, "printf '^[[2J' # <U+202E>");
    harness_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_number_is_edited), cmocka_unit_test(test_more),
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_password_is_asked), cmocka_unit_test(test_question_of_a_batch),
        cmocka_unit_test(test_become_wants_the_number),
        cmocka_unit_test(test_fields),         cmocka_unit_test(test_history),
        cmocka_unit_test(test_refusals),       cmocka_unit_test(test_review_small),
        cmocka_unit_test(test_review_protected), cmocka_unit_test(test_run_small),
        cmocka_unit_test(test_review_keys),    cmocka_unit_test(test_pages_in_form),
        cmocka_unit_test(test_run_many),       cmocka_unit_test(test_review_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
