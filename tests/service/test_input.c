/* SPDX-License-Identifier: Apache-2.0 */
/* What a command gets besides its line: what is refused, what is kept and what never is, and the
 * questions of a running batch on their way through the service. */
#include "fixture.h"

#include "service.h"

#include "muster/base/secret.h"
#include "muster/exec/ask.h"

#include <pthread.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

static struct strv list(const char *const *words)
{
    struct strv v = STRV_INIT;
    for (; *words; words++)
        strv_push(&v, *words);
    return v;
}

static void refuse(struct fixture *f, struct batch_request *r, const char *word)
{
    struct batch_review v;
    assert_refused(f, service_review(f->s, r, &v, &f->e), ERR_VALIDATION, word);
    assert_int_equal(count_batches(f), 0);
}

static void test_environment(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    static const struct {
        const char *item, *word;
    } bad[] = {{"A", "NAME=VALUE"},   {"=x", "no name"},      {"1A=x", "no name"},
               {"A-B=x", "no name"},  {"MUSTER_NODE=x", "muster's own"},
               {"A=\xff", "UTF-8"}, {"\xc3\xa4=x", "no name"}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct strv env = list(LIST("OK=1", bad[i].item));
        ask(&r, "true", LIST("n01"), NULL);
        r.env = &env;
        refuse(f, &r, bad[i].word);
        strv_clear(&env);
    }
    struct strv env = STRV_INIT;
    CLEANUP_FREE char *large = x_asprintf("A=%070000d", 0);
    strv_push(&env, large);
    r.env = &env;
    refuse(f, &r, "65536 bytes");
    strv_clear(&env);
    ask(&r, "true", LIST("n01"), NULL);
    r.chdir = "";
    refuse(f, &r, "working folder");
}

static void test_input_files(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    struct batch_review v;
    CLEANUP_FREE char *each = x_asprintf("%s/in.%%n", f->dir);
    CLEANUP_FREE char *odd = x_asprintf("%s/in.%%z", f->dir);
    ask(&r, "cat", LIST("n01", "n02", "n03"), NULL);
    r.stdin_path = "/no/such/file";
    refuse(f, &r, "/no/such/file: No such file");
    r.stdin_path = f->dir;
    refuse(f, &r, "a folder");
    r.stdin_path = odd;
    refuse(f, &r, "after % comes");
    r.stdin_path = each;
    write_file(f, "in.n02", "two");
    assert_int_equal(service_review(f->s, &r, &v, &f->e), -ERR_VALIDATION);
    assert_non_null(strstr(f->e.msg, "2 of 3 input files"));
    /* Every missing one is listed. */
    assert_non_null(strstr(f->e.details, "in.n01"));
    assert_non_null(strstr(f->e.details, "in.n03"));
    assert_null(strstr(f->e.details, "in.n02"));
    err_clear(&f->e);
    write_file(f, "in.n01", "one");
    write_file(f, "in.n03", "three");
    assert_int_equal(service_review(f->s, &r, &v, &f->e), 0);
    batch_review_clear(&v);
    /* A host that only ssh_config knows is left to the run; one that the node names is not. */
    CLEANUP_FREE char *host = x_asprintf("%s/in.%%h", f->dir);
    r.stdin_path = host;
    assert_int_equal(service_review(f->s, &r, &v, &f->e), 0);
    batch_review_clear(&v);
    CLEANUP_FREE char *user = x_asprintf("%s/in.%%u", f->dir);
    r.stdin_path = user;
    setting_set(&r.over, SETTING_USER, "somebody", NULL);
    setting_set(&r.over, SETTING_TRANSPORT, "ssh", NULL);
    refuse(f, &r, "3 of 3 input files");
    batch_request_clear(&r);
}

/* Of a secret nothing is kept but that there was one; a rerun asks for it again. */
static void test_passwords_are_never_kept(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    struct rerun_hold *hold;
    struct batch b;
    struct batch_created c;
    struct strv env = list(LIST("A=b", "C=d e"));
    ask(&r, "true", LIST("n01"), NULL);
    setting_set(&r.over, SETTING_BECOME, "none", NULL);
    r.password = secret_new("hunter2", 7);
    r.env = &env;
    r.chdir = "/";
    int64_t n = create(f, &r);
    batch_request_clear(&r);
    assert_null(r.password);
    wait_idle(f->s);
    get_batch(f, n, &b);
    assert_null(strstr(b.parameters, "hunter2"));
    assert_non_null(strstr(b.parameters, "\"password\":true"));
    assert_null(strstr(b.parameters, "sudoPassword"));
    batch_clear(&b);

    assert_int_equal(batch_rerun_request(f->s, n, RERUN_ALL, REASON_NONE, NULL, &r, &hold, &f->e), 0);
    assert_true(r.wants_password);
    assert_false(r.wants_become_password);
    assert_int_equal(r.env->n, 2);
    assert_string_equal(r.env->v[1], "C=d e");
    assert_string_equal(r.chdir, "/");
    assert_string_equal(r.over.become, "none");
    assert_refused(f, batch_create(f->s, &r, &c, &f->e), ERR_VALIDATION, "--password-fd");
    r.password = secret_new("hunter2", 7);
    assert_int_equal(batch_create(f->s, &r, &c, &f->e), 0);
    batch_created_clear(&c);
    wait_idle(f->s);
    batch_request_clear(&r);
    rerun_hold_free(hold);
    strv_clear(&env);
}

/* A become password where nobody is become would go unused. */
static void test_become_password_without_become(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    ask(&r, "true", LIST("n01"), NULL);
    setting_set(&r.over, SETTING_BECOME, "none", NULL);
    r.become_password = secret_new("x", 1);
    refuse(f, &r, "become none");
    batch_request_clear(&r);
}

static void test_spool(void **state)
{
    struct fixture *f = *state;
    struct batch_request r;
    struct rerun_hold *hold;
    struct batch_review v;
    int fds[2];
    char back[8] = "";
    setenv("XDG_RUNTIME_DIR", f->dir, 1);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "hello", 5), 5);
    close(fds[1]);
    int fd = service_stdin_spool(fds[0], &f->e);
    close(fds[0]);
    assert_true(fd > 2);
    assert_int_equal(pread(fd, back, sizeof back, 0), 5);
    assert_string_equal(back, "hello");
    ask(&r, "true", LIST("n01"), NULL);
    r.stdin_fd = fd;
    int64_t n = create(f, &r);
    close(fd);
    wait_idle(f->s);
    /* It is gone, so a rerun wants another. */
    assert_int_equal(batch_rerun_request(f->s, n, RERUN_ALL, REASON_NONE, NULL, &r, &hold, &f->e), 0);
    assert_true(r.stdin_lost);
    assert_refused(f, service_review(f->s, &r, &v, &f->e), ERR_VALIDATION, "--stdin FILE");
    r.stdin_path = "/dev/null";
    assert_int_equal(service_review(f->s, &r, &v, &f->e), 0);
    batch_review_clear(&v);
    batch_request_clear(&r);
    rerun_hold_free(hold);
    unsetenv("XDG_RUNTIME_DIR");
}

/* --- questions --- */

struct asking {
    struct asker *asker;
    const char *about, *text;
    struct secret *answer;
};

static bool never_gone(void *ctx)
{
    return false;
}

static void *ask_one(void *arg)
{
    struct asking *x = arg;
    x->answer = asker_ask(x->asker, x->about, x->text, false, never_gone, NULL);
    return NULL;
}

static struct user_question next_question(struct fixture *f)
{
    struct user_question q;
    for (int i = 0; !service_question(f->s, &q); i++) {
        struct pollfd fd = {.fd = service_wake_fd(f->s), .events = POLLIN};
        assert_true(i < 100);
        poll(&fd, 1, 200);
        service_wake_drain(f->s);
    }
    return q;
}

static void test_questions(void **state)
{
    struct fixture *f = *state;
    struct user_question q;
    pthread_t t;
    assert_false(service_question(f->s, &q));
    service_set_can_ask(f->s, true);
    assert_false(service_question(f->s, &q));
    struct asking x = {.asker = asker_ref(f->s->asker), .about = "n01", .text = "Code:\x1b[2J: "};
    assert_int_equal(pthread_create(&t, NULL, ask_one, &x), 0);
    q = next_question(f);
    CLEANUP_FREE char *text = user_question_text(&q);
    assert_string_equal(text, "n01: Code:^[[2J: ");
    struct secret *answer = secret_new("123456", 6);
    service_answer(f->s, q.id, answer);
    secret_unref(answer);
    pthread_join(t, NULL);
    assert_string_equal(secret_text(x.answer), "123456");
    secret_unref(x.answer);
    user_question_clear(&q);

    /* Declined, and then nobody asks any more. */
    assert_int_equal(pthread_create(&t, NULL, ask_one, &x), 0);
    q = next_question(f);
    service_answer(f->s, q.id, NULL);
    pthread_join(t, NULL);
    assert_null(x.answer);
    user_question_clear(&q);
    assert_int_equal(pthread_create(&t, NULL, ask_one, &x), 0);
    q = next_question(f);
    user_question_clear(&q);
    service_set_can_ask(f->s, false);
    pthread_join(t, NULL);
    assert_null(x.answer);
    assert_false(service_question(f->s, &q));
    asker_unref(x.asker);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_environment),   TEST(test_input_files), TEST(test_passwords_are_never_kept),
        TEST(test_become_password_without_become), TEST(test_spool), TEST(test_questions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
