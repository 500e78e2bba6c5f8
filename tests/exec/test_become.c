/* SPDX-License-Identifier: Apache-2.0 */
/* The talk with sudo, su and doas, from transcripts that come in pieces of every size; and what a
 * command reads from files. */
#include "become.h"
#include "input.h"
#include "output.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/secret.h"
#include "muster/base/strbuf.h"
#include "muster/core/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INNER "@muster-00ff"
#define OUTER "@muster-11ee"
#define PROMPT "@muster-22dd"
#define MAX_TALK 8

struct line {
    int stream;
    const char *text;
};

struct talk {
    enum become_method method;
    bool held; /* a password */
    struct line said[MAX_TALK];
    int answers; /* times that the password was handed out */
    enum become_state state;
    int exit_code;
    const char *why;    /* part of it; NULL: it started */
    const char *out[2]; /* what is output of the command in the end */
};

static void put(struct output *o, struct become *b, struct strbuf *answer, int stream,
                const char *text, size_t step)
{
    char buf[3];
    size_t n;

    for (size_t at = 0, len = strlen(text); at < len; at += step) {
        size_t part = len - at < step ? len - at : step;

        assert_int_equal(output_put(o, stream, text + at, part), part);
        while ((n = become_answer(b, buf, sizeof buf)) > 0)
            strbuf_add(answer, buf, n);
    }
}

static void check_once(const struct talk *t, size_t step)
{
    struct secret *secret = t->held ? secret_new("pa ss", 5) : NULL;
    struct become *b = become_new(t->method, "dba", secret);
    struct output o;
    struct strbuf answer;

    strbuf_init(&answer, 0);
    output_init(&o, 100000, INNER);
    output_become(&o, b, OUTER, t->held ? PROMPT : NULL);
    for (size_t i = 0; i < MAX_TALK && t->said[i].text; i++)
        put(&o, b, &answer, t->said[i].stream, t->said[i].text, step);
    assert_int_equal(b->state, t->state);
    assert_string_equal(answer.s, t->answers == 1 ? "pa ss\n" : "");
    assert_int_equal(o.pid != 0, t->why == NULL);
    if (t->why) {
        CLEANUP_FREE char *why = become_why(b, t->exit_code);

        if (!strstr(why, t->why))
            fail_msg("\"%s\" does not say \"%s\"", why, t->why);
        assert_null(strstr(why, "pa ss"));
        become_clear_said(b);
    }
    output_end(&o);
    for (int i = 0; i < 2; i++) {
        const char *want = t->out[i] ? t->out[i] : "";

        assert_int_equal(o.stream[i].len, strlen(want));
        assert_memory_equal(o.stream[i].buf ? o.stream[i].buf : "", want, strlen(want));
    }
    output_free(&o);
    become_free(b);
    secret_unref(secret);
    strbuf_free(&answer);
}

static void check(const struct talk *talks, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t step = 1; step < 200; step += step < 20 ? 1 : 37)
            check_once(&talks[i], step);
}

#define OUT STREAM_STDOUT
#define ERR STREAM_STDERR
#define O_LINE {ERR, OUTER " 100\n"}
#define I_LINE {ERR, INNER " 200\n"}

static void starts(void **state)
{
    const struct talk talks[] = {
        {BECOME_SUDO, true, {O_LINE, {ERR, PROMPT}, I_LINE, {OUT, "hi\n"}, {ERR, "oops\n"}}, 1,
         BECOME_STARTED, 0, NULL, {"hi\n", "oops\n"}},
        /* no password needed: none is sent, though it is held */
        {BECOME_SUDO, true, {O_LINE, I_LINE, {OUT, "hi"}}, 0, BECOME_STARTED, 0, NULL, {"hi"}},
        {BECOME_SUDO, false, {O_LINE, I_LINE, {OUT, "hi"}}, 0, BECOME_STARTED, 0, NULL, {"hi"}},
        /* on a terminal: one stream, CR LF, and the newline that was not shown */
        {BECOME_SUDO, true,
         {{OUT, "motd\r\n" OUTER " 100\r\n"}, {OUT, PROMPT}, {OUT, "\r\n" INNER " 200\r\nhi\r\n"}},
         1, BECOME_STARTED, 0, NULL, {"motd\r\nhi\r\n"}},
        /* what it says beside is kept, a password that a terminal shows is not */
        {BECOME_SUDO, true,
         {O_LINE, {ERR, "We trust you\n"}, {ERR, PROMPT}, {ERR, "pa ss\n"}, I_LINE}, 1,
         BECOME_STARTED, 0, NULL, {"", "We trust you\n*****\n"}},
        {BECOME_SU, true, {O_LINE, {ERR, "Password: "}, {ERR, "\n" INNER " 200\nx"}}, 1,
         BECOME_STARTED, 0, NULL, {"", "x"}},
        {BECOME_SU, false, {O_LINE, I_LINE}, 0, BECOME_STARTED, 0, NULL, {0}},
        {BECOME_DOAS, true,
         {{OUT, OUTER " 100\r\n"}, {OUT, "doas (u@h) password: "},
          {OUT, "\r\n" INNER " 200\r\nhi"}}, 1, BECOME_STARTED, 0, NULL, {"hi"}},
    };
    check(talks, ARRAY_LEN(talks));
}

static void does_not_start(void **state)
{
    const struct talk talks[] = {
        {BECOME_SUDO, true,
         {O_LINE, {ERR, PROMPT}, {ERR, "Sorry, try again.\n"}, {ERR, PROMPT}}, 1,
         BECOME_REFUSED, -1, "wrong password for sudo to become dba: Sorry, try again.", {0}},
        {BECOME_SUDO, true, {O_LINE, {ERR, PROMPT}, {ERR, "sudo: 1 incorrect password attempt\n"}},
         1, BECOME_SENT, 1, "wrong password for sudo to become dba", {0}},
        {BECOME_SUDO, false, {O_LINE, {ERR, "sudo: a password is required\n"}}, 0, BECOME_WAITING,
         1, "sudo asks for a password to become dba: give -K", {0}},
        {BECOME_SUDO, true,
         {O_LINE, {ERR, "sudo: sorry, you must have a tty to run sudo\n"}}, 0, BECOME_WAITING, 1,
         "wants a terminal (requiretty): use --pty", {0}},
        {BECOME_SUDO, true,
         {O_LINE, {ERR, PROMPT}, {ERR, "u is not in the sudoers file.\x1b[31m\n"}}, 1, BECOME_SENT,
         1, "sudo does not allow this user to become dba: u is not in the sudoers file.^[[31m", {0}},
        {BECOME_SUDO, true,
         {O_LINE, {ERR, PROMPT}, {ERR, "Sorry, user u is not allowed to execute '/bin/sh' as dba"
                                       " on h.\n"}}, 1, BECOME_SENT, 1,
         "sudo does not allow this user to become dba: Sorry, user u", {0}},
        {BECOME_SUDO, true, {O_LINE, {ERR, "sh: 1: exec: sudo: not found\n"}}, 0, BECOME_WAITING,
         127, "there is no sudo on this node", {0}},
        {BECOME_SUDO, true, {O_LINE}, 0, BECOME_WAITING, 1, "said nothing", {0}},
        {BECOME_SUDO, true, {O_LINE, {ERR, "sudo: unknown user dba\n"}}, 0, BECOME_WAITING, 1,
         "sudo did not become dba: sudo: unknown user dba", {0}},
        {BECOME_SU, true, {O_LINE, {ERR, "Password: "}, {ERR, "su: Authentication failure\n"}}, 1,
         BECOME_SENT, 1, "wrong password for su to become dba: su: Authentication failure", {0}},
        {BECOME_SU, true, {O_LINE, {ERR, "su: cannot open session: Module is unknown\n"}}, 0,
         BECOME_WAITING, 1, "su did not become dba: su: cannot open session: Module is", {0}},
        {BECOME_SU, false, {O_LINE, {ERR, "Password: "}}, 0, BECOME_LOCKED, -1,
         "su asks for a password to become dba: give -K", {0}},
        {BECOME_DOAS, false, {O_LINE, {ERR, "doas: Authorization required\n"}}, 0, BECOME_WAITING,
         1, "doas asks for a password to become dba: give -K", {0}},
        {BECOME_DOAS, true, {O_LINE, {ERR, "doas: Operation not permitted\n"}}, 0, BECOME_WAITING,
         1, "doas does not allow this user to become dba", {0}},
    };
    check(talks, ARRAY_LEN(talks));
}

/* The password goes to nobody but who asks by our token, between our two lines. */
static void hostile(void **state)
{
    const struct talk talks[] = {
        /* a login script asks before sudo runs */
        {BECOME_SUDO, true,
         {{ERR, "[sudo] password for u: "}, {ERR, PROMPT}, O_LINE, I_LINE}, 0, BECOME_STARTED, 0,
         NULL, {"", "[sudo] password for u: " PROMPT}},
        {BECOME_SU, true, {{ERR, "Password: "}, O_LINE, I_LINE}, 0, BECOME_STARTED, 0, NULL,
         {"", "Password: "}},
        /* something asks in sudo's place, with another prompt */
        {BECOME_SUDO, true, {O_LINE, {ERR, "[sudo] password for u: "}}, 0, BECOME_WAITING, 1,
         "sudo did not become dba: [sudo] password for u:", {0}},
        {BECOME_SUDO, true, {O_LINE, {ERR, "@muster-22de"}}, 0, BECOME_WAITING, 1,
         "did not become dba: @muster-22de", {0}},
        /* half a token is still held back when it ends: not an answer */
        {BECOME_SUDO, true, {O_LINE, {ERR, "@muster-22d"}}, 0, BECOME_WAITING, 1, "said nothing",
         {"", "@muster-22d"}},
        /* the command asks once it runs, again and on the other stream */
        {BECOME_SUDO, true, {O_LINE, I_LINE, {ERR, PROMPT}, {OUT, PROMPT}}, 0, BECOME_STARTED, 0,
         NULL, {PROMPT, PROMPT}},
        {BECOME_SUDO, true, {O_LINE, {ERR, PROMPT}, I_LINE, {ERR, PROMPT " " OUTER " 5\n"}}, 1,
         BECOME_STARTED, 0, NULL, {"", PROMPT " " OUTER " 5\n"}},
        {BECOME_SU, true, {O_LINE, {ERR, "Password: "}, {ERR, "\n" INNER " 200\nPassword: "}}, 1,
         BECOME_STARTED, 0, NULL, {"", "Password: "}},
        /* a second first line counts for nothing */
        {BECOME_SUDO, true, {O_LINE, {ERR, OUTER " 7\n"}, I_LINE}, 0, BECOME_STARTED, 0, NULL,
         {"", OUTER " 7\n"}},
    };
    check(talks, ARRAY_LEN(talks));
}

/* What it says may hold the password, and that may be of what hides it. */
static void asterisks(void **state)
{
    static const char *const passwords[] = {"*", "**", "*a*", "a"};

    for (size_t i = 0; i < ARRAY_LEN(passwords); i++) {
        struct secret *secret = secret_new(passwords[i], strlen(passwords[i]));
        struct become *b = become_new(BECOME_SUDO, "root", secret);
        char buf[8];
        size_t n;

        become_prompted(b);
        assert_int_equal(become_answer(b, buf, sizeof buf), strlen(passwords[i]) + 1);
        become_hear(b, ERR, passwords[i], strlen(passwords[i]));
        become_hear(b, ERR, "*****", 5);
        const char *said = become_said(b, ERR, &n);
        assert_int_equal(n, strlen(passwords[i]) + 5);
        assert_memory_equal(said, "********", n);
        become_free(b);
        secret_unref(secret);
    }
}

/* More than is held back goes on as output, in order. */
static void talkative(void **state)
{
    struct become *b = become_new(BECOME_SUDO, "root", NULL);
    struct output o;
    char *text = x_malloc(200000);

    memset(text, 'x', 200000);
    output_init(&o, 300000, INNER);
    output_become(&o, b, OUTER, NULL);
    output_put(&o, ERR, OUTER " 9\n", strlen(OUTER " 9\n"));
    size_t took = output_put(&o, ERR, text, 200000);
    assert_true(took <= OUTPUT_BUFFER);
    assert_int_equal(b->nsaid[1], SAID_MAX);
    assert_int_equal(o.stream[1].len, took - SAID_MAX);
    output_put(&o, ERR, INNER " 10\n", strlen(INNER " 10\n"));
    assert_int_equal(o.pid, 10);
    assert_int_equal(o.stream[1].len, took);
    output_free(&o);
    become_free(b);
    free(text);
}

/* --- files --- */

static char *read_all(struct input *in, size_t step, size_t *len)
{
    struct strbuf all;
    char buf[64];
    bool end = false;
    size_t got;

    strbuf_init(&all, 0);
    while (!end) {
        assert_int_equal(input_read(in, buf, step, &got, &end), 0);
        assert_true(got <= step && (got || end));
        strbuf_add(&all, buf, got);
    }
    assert_int_equal(input_read(in, buf, step, &got, &end), 0);
    assert_true(end && !got);
    *len = all.len;
    return strbuf_steal(&all);
}

static void files(void **state)
{
    char dir[] = "/tmp/muster-input-XXXXXX";
    struct input in;
    size_t len;

    assert_non_null(mkdtemp(dir));
    CLEANUP_FREE char *path = x_asprintf("%s/web1-h-u-%%q%%", dir);
    CLEANUP_FREE char *template = x_asprintf("%s/%%n-%%h-%%u-%%q%%%%", dir);
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "from the file", 13), 13);

    input_init(&in);
    for (size_t step = 1; step < 64; step++) {
        assert_int_equal(input_open(&in, template, "web1", "h", "u", NULL), 0);
        assert_int_equal(in.size, 13);
        input_set_rest(&in, x_strdup("first; "));
        CLEANUP_FREE char *all = read_all(&in, step, &len);
        assert_string_equal(all, "first; from the file");
        input_clear(&in);
        input_share(&in, fd); /* from its start each time, whatever its position */
        CLEANUP_FREE char *again = read_all(&in, step, &len);
        assert_string_equal(again, "from the file");
        input_clear(&in);
        CLEANUP_FREE char *none = read_all(&in, step, &len);
        assert_string_equal(none, "");
        input_clear(&in);
    }
    assert_int_equal(input_open(&in, "/dev/null", "n", NULL, NULL, NULL), 0);
    free(read_all(&in, 9, &len));
    assert_int_equal(len, 0);
    input_clear(&in);

    CLEANUP_FREE char *fifo = x_asprintf("%s/fifo", dir);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    const char *const bad[][2] = {{fifo, "no regular file"}, {dir, "no regular file"},
                                  {"/dev/zero", "no regular file"},
                                  {"/nowhere/%n\x1b", "/nowhere/web1^[: No such file"}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = ERR_INIT;
        assert_int_equal(input_open(&in, bad[i][0], "web1", "h", "u", &e), -ERR_VALIDATION);
        assert_non_null(strstr(e.msg, bad[i][1]));
        assert_int_equal(in.fd, -1);
        err_clear(&e);
    }
    close(fd);
    unlink(fifo);
    unlink(path);
    rmdir(dir);
}

static void a_line_with_a_secret(void **state)
{
    struct secret *secret = secret_new("pa ss", 5), *empty = secret_new("", 0);
    struct input in;
    size_t len;

    input_init(&in);
    for (size_t step = 1; step < 20; step++) {
        input_set_rest(&in, x_strdup("first; "));
        input_set_secret(&in, secret);
        CLEANUP_FREE char *all = read_all(&in, step, &len);
        assert_string_equal(all, "first; pa ss\n");
        assert_null(in.secret);
        input_clear(&in);
        input_set_secret(&in, empty);
        CLEANUP_FREE char *line = read_all(&in, step, &len);
        assert_string_equal(line, "\n");
        input_clear(&in);
    }
    input_set_secret(&in, secret); /* not read */
    input_clear(&in);
    secret_unref(secret);
    secret_unref(empty);
}

static void progress(void **state)
{
    struct input in;
    bool end;
    size_t got;
    char buf[4];

    input_init(&in);
    assert_false(input_tells(&in, 0)); /* no file */
    input_open(&in, "/dev/null", "", "", "", NULL);
    assert_true(input_tells(&in, 1000));
    assert_false(input_tells(&in, 1250)); /* nothing new */
    assert_int_equal(input_tells_in(&in, 1250), -1);
    in.at = 5;
    assert_false(input_tells(&in, 1249));
    assert_int_equal(input_tells_in(&in, 1249), 1); /* though nothing more may be fed */
    assert_true(input_tells(&in, 1250));
    assert_int_equal(input_tells_in(&in, 1250), -1);
    input_read(&in, buf, sizeof buf, &got, &end);
    assert_true(end);
    assert_true(input_tells(&in, 1251));
    assert_false(input_tells(&in, 9999));
    input_clear(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts),    cmocka_unit_test(does_not_start),
        cmocka_unit_test(hostile),   cmocka_unit_test(talkative),
        cmocka_unit_test(files),     cmocka_unit_test(progress),
        cmocka_unit_test(asterisks), cmocka_unit_test(a_line_with_a_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
