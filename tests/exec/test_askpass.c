/* SPDX-License-Identifier: Apache-2.0 */
/* Who gets the password of the transport openssh, and who is refused without anybody being asked. */
#include "askpass.h"

#include "muster/base/alloc.h"
#include "muster/base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PASSWORD "open sesame"

static struct question_work *work_new(bool password)
{
    static const char *const hosts[] = {"ops@web01.test", "jump@bastion.test"};
    struct question_work *q = x_calloc(1, sizeof *q);

    q->conn = -1;
    q->node = x_strdup("web01");
    q->password = password ? secret_new(PASSWORD, strlen(PASSWORD)) : NULL;
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        strv_push_own(&q->askers, x_asprintf("%s's password:", hosts[i]));
        strv_push_own(&q->askers, x_asprintf("%.15s's password:", hosts[i]));
        strv_push_own(&q->askers, x_asprintf("(%s) ", hosts[i]));
    }
    return q;
}

/* What comes back over the socket for these bytes. */
static void exchange(struct question_work *q, const char *text, const char *want)
{
    char got[256];
    int s[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
    assert_int_equal(write(s[0], text, strlen(text)), strlen(text));
    shutdown(s[0], SHUT_WR);
    q->conn = s[1];
    question_answer(q, NULL);
    /* Closed in every case: the next question takes its place. */
    assert_int_equal(q->conn, -1);

    ssize_t n = read(s[0], got, sizeof got - 1);

    assert_true(n >= 0);
    got[n] = '\0';
    close(s[0]);
    if (strcmp(got, want) != 0)
        fail_msg("\"%s\" was answered with \"%s\", not \"%s\"", text, got, want);
}

static void test_broken_questions(void **state)
{
    struct question_work *q = work_new(true);

    exchange(q, "", "");
    exchange(q, "no newline", "");
    question_free(q);
}

static void test_password(void **state)
{
    static const char *const strangers[] = {
        "\nops@web01.test.evil.test's password: ", "\nops@elsewhere.test's password: ",
        "\nPassword: ", "\nxops@web01.test's password: ", "\n(ops@elsewhere.test) Password: ",
        "\nbastion says: jump@bastion.test's password: ", "\nops@web01.test password: ",
        "\n(ops@web01.test) Enter the code: ",
    };
    struct question_work *q = work_new(true);

    for (size_t i = 0; i < ARRAY_LEN(strangers); i++)
        exchange(q, strangers[i], "");
    /* Each host on the way once; in whatever words. */
    exchange(q, "\njump@BASTION.test's password: ", "+" PASSWORD);
    exchange(q, "\njump@bastion.test's password: ", "");
    exchange(q, "\n(ops@web01.test) Password: ", "+" PASSWORD);
    exchange(q, "\nops@web01.test's password: ", "");
    question_free(q);
}

static void test_no_password(void **state)
{
    struct question_work *q = work_new(false);

    exchange(q, "\nops@web01.test's password: ", "");
    question_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken_questions),
        cmocka_unit_test(test_password),
        cmocka_unit_test(test_no_password),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
