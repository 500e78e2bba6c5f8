/* SPDX-License-Identifier: Apache-2.0 */
/* One session on a virtual clock, with transports that play a part: going on with openssh, becoming
 * another user, input and its progress. */
#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/secret.h"
#include "muster/base/strbuf.h"
#include "muster/core/batch.h"
#include "muster/core/event.h"
#include "muster/exec/engine.h"
#include "muster/exec/transport.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TICK_MS 100
#define BITE 10 /* bytes of input a tick */

struct act {
    struct session *s;
    unsigned at; /* steps of the play so far */
    char *line, outer[48], prompt[48];
    bool begun;
};

/* What the next transport does; one test at a time. */
static struct play {
    unsigned flaky;       /* attempts that fail before anything else */
    bool fails;           /* openssh fails too */
    const char *talk[8];  /* %o, %p, %i: the token lines; a step of the play each */
    int exit_code;
    unsigned opened, asked; /* how often */
    char why[64];
    struct strbuf input;
    bool input_ended;
    char *stop_line;
    char stop_input[32];
} play;

static void *act_open(struct session *s)
{
    struct act *a = x_calloc(1, sizeof *a);

    a->s = s;
    play.opened++;
    return a;
}

static void act_close(void *priv)
{
    struct act *a = priv;

    free(a->line);
    free(a);
}

static void act_stop(void *priv, int sig)
{
    struct act *a = priv;
    char buf[32];
    size_t n = session_stop_input(a->s, buf, sizeof buf);

    free(play.stop_line);
    play.stop_line = session_stop_command(a->s, sig, false);
    snprintf(play.stop_input, sizeof play.stop_input, "%.*s", (int) n, buf);
    session_input(a->s, buf, sizeof buf, &play.input_ended);
    session_stopped(a->s, REMOTE_STOPPED);
}

/* ssh: fails a few times, then cannot go on by itself. */
static void ssh_step(void *priv, unsigned wake)
{
    struct act *a = priv;

    if (wake & WAKE_START) {
        session_set_endpoint(a->s, "by-ssh", 22, "ssh-user");
        session_timer(a->s, TICK_MS);
        return;
    }
    if (play.opened <= play.flaky)
        session_end_failed(a->s, REASON_UNREACHABLE, true, "refused");
    else if (!session_fallback(a->s, "host %s", "certificates"))
        session_end_failed(a->s, REASON_UNSUPPORTED, false, "no other way");
}

static void openssh_step(void *priv, unsigned wake)
{
    struct act *a = priv;

    assert_false(session_fallback(a->s, "again"));
    snprintf(play.why, sizeof play.why, "%s", session_fallback_why(a->s));
    if (play.fails) {
        session_end_failed(a->s, REASON_UNREACHABLE, true, "refused here too");
        return;
    }
    session_set_endpoint(a->s, "by-openssh", 0, NULL);
    session_started(a->s);
    session_end_exit(a->s, 0);
}

static void token_after(char out[48], const char *line, const char *before)
{
    const char *at = line ? strstr(line, before) : NULL;

    if (at && sscanf(at + strlen(before), "%47[@a-z0-9-]", out) != 1)
        out[0] = '\0';
}

static void say(struct act *a, const char *what)
{
    CLEANUP_FREE char *text =
        !strcmp(what, "%o")   ? x_asprintf("%s 100\n", a->outer)
        : !strcmp(what, "%i") ? x_asprintf("%s 200\n", session_token(a->s))
        : !strcmp(what, "%p") ? x_strdup(a->prompt)
                              : x_strdup(what);

    assert_int_equal(session_output(a->s, STREAM_STDERR, text, strlen(text)), strlen(text));
}

/* Talks as it is told, a line a tick, and takes input whenever there is some. */
static void talker_step(void *priv, unsigned wake)
{
    struct act *a = priv;
    char buf[BITE];
    size_t n;

    if (wake & WAKE_START) {
        session_set_endpoint(a->s, "host", 22, "user");
        a->line = session_wrapped_command(a->s, "host", "user");
        if (!a->line)
            return;
        token_after(a->outer, a->line, "printf \"");
        token_after(a->prompt, a->line, "-p \"");
        session_started(a->s);
        session_timer(a->s, TICK_MS);
    }
    if ((wake & WAKE_TIMER) && play.talk[a->at])
        say(a, play.talk[a->at++]);
    if ((wake & (WAKE_INPUT | WAKE_TIMER)) && !play.input_ended) {
        play.asked += (wake & WAKE_INPUT) != 0;
        n = session_input(a->s, buf, sizeof buf, &play.input_ended);
        strbuf_add(&play.input, buf, n);
    }
    if (!(wake & WAKE_TIMER))
        return;
    if (play.talk[a->at] || !play.input_ended || play.exit_code < 0)
        session_timer(a->s, TICK_MS);
    else
        session_end_exit(a->s, play.exit_code);
}

static const struct transport_ops part_ssh = {
    .name = "ssh", .open = act_open, .step = ssh_step, .stop = act_stop, .close = act_close};
static const struct transport_ops part_openssh = {
    .name = "openssh", .open = act_open, .step = openssh_step, .stop = act_stop, .close = act_close};
static const struct transport_ops part_talker = {
    .name = "talker", .open = act_open, .step = talker_step, .stop = act_stop, .close = act_close};
static const struct transport_ops *const parts[] = {&part_ssh, &part_openssh, &part_talker, NULL};
static const struct transport_ops *const ssh_only[] = {&part_ssh, NULL};

const struct transport_ops *const *engine_transports(void)
{
    return parts;
}

/* --- the stage --- */

struct stage {
    struct engine *engine;
    struct clock_virtual clock;
    bool claim, refuse;
    struct event *end;
    struct event *told[64];
    int64_t told_at[64];
    size_t n_told;
};

static bool emit(void *ctx, struct event *ev)
{
    struct stage *st = ctx;

    if (ev->kind == EVENT_PROGRESS && st->refuse)
        return false;
    if (ev->kind == EVENT_PROGRESS && st->n_told < ARRAY_LEN(st->told)) {
        st->told_at[st->n_told] = st->clock.now_ms;
        st->told[st->n_told++] = ev;
        return true;
    }
    st->claim |= ev->kind == EVENT_CLAIM;
    if (ev->kind == EVENT_FINISH)
        st->end = ev;
    else
        event_free(ev);
    return true;
}

static void begin(struct stage *st, const struct transport_ops *const *transports,
                  struct engine_batch b, const char *transport, const char *become)
{
    struct event_sink sink = {emit, st};
    struct engine_config cfg = {.fanout = 1, .max_queue = 1, .seed = 7, .transports = transports};
    struct settings over;
    struct engine_job job = {.node = "web1", .over = &over};

    settings_init(&over);
    over.transport = x_strdup(transport);
    over.become = x_strdup(become);
    over.become_user = x_strdup("dba");
    b.number = 1;
    b.max_output = 1000;
    b.command = b.command ? b.command : "id";
    clock_virtual_init(&st->clock, 1700000000000);
    st->engine = engine_new_sim(&cfg, &st->clock, &sink);
    assert_int_equal(engine_reserve(st->engine, 1, NULL), 0);
    engine_submit(st->engine, &b, &job, 1);
    assert_true(st->claim);
    engine_claimed(st->engine, 1, 0, true);
    settings_clear(&over);
}

/* Until it has ended, or the clock stands at `until` (0: no matter). */
static void turn(struct stage *st, int64_t until)
{
    while (!st->end && (!until || st->clock.now_ms < until) && engine_sim_turn(st->engine))
        ;
    assert_true(st->end || until);
}

static void over(struct stage *st)
{
    engine_free(st->engine);
    event_free(st->end);
    for (size_t i = 0; i < st->n_told; i++)
        event_free(st->told[i]);
    strbuf_free(&play.input);
    free(play.stop_line);
    memset(&play, 0, sizeof play);
    memset(st, 0, sizeof *st);
}

static void prepare(void)
{
    memset(&play, 0, sizeof play);
    strbuf_init(&play.input, 0);
}

static void run(struct stage *st, const struct transport_ops *const *transports,
                struct engine_batch b, const char *transport, const char *become)
{
    begin(st, transports, b, transport, become);
    turn(st, 0);
}

/* --- going on with openssh --- */

static char bin[] = "/tmp/muster-path-XXXXXX";

static void with_ssh(bool there)
{
    CLEANUP_FREE char *path = x_asprintf("%s/ssh", bin);
    FILE *f = there ? fopen(path, "w") : NULL;

    if (f) {
        fclose(f);
        chmod(path, 0755);
    } else {
        unlink(path);
    }
}

static void falls_back(void **state)
{
    struct stage st = {0};

    with_ssh(true);
    prepare();
    run(&st, parts, (struct engine_batch){.retries = 2}, "ssh", NULL);
    assert_int_equal(st.end->status, EXEC_SUCCESS);
    assert_string_equal(st.end->transport, "openssh");
    assert_string_equal(st.end->host, "by-openssh");
    assert_null(st.end->user);
    assert_int_equal(st.end->port, 0);
    assert_int_equal(st.end->attempts, 1);
    assert_int_equal(st.end->duration_ms, TICK_MS); /* at once */
    assert_int_equal(play.opened, 2);
    assert_string_equal(play.why, "host certificates");
    assert_string_equal(st.end->note, "openssh, because host certificates");
    over(&st);
}

/* The retries are for both together. */
static void fallback_and_retries(void **state)
{
    struct stage st = {0};

    prepare();
    play.flaky = 1;
    play.fails = true;
    run(&st, parts, (struct engine_batch){.retries = 2}, "ssh", NULL);
    assert_int_equal(st.end->reason, REASON_UNREACHABLE);
    assert_string_equal(st.end->error, "refused here too");
    assert_string_equal(st.end->note, "openssh, because host certificates");
    assert_string_equal(st.end->transport, "openssh");
    assert_int_equal(st.end->attempts, 3);
    assert_int_equal(play.opened, 4);
    over(&st);
}

static void no_fallback(void **state)
{
    struct stage st = {0};

    for (int i = 0; i < 2; i++) {
        with_ssh(i == 1);
        prepare();
        run(&st, i ? ssh_only : parts, (struct engine_batch){.retries = 0}, "ssh", NULL);
        assert_int_equal(st.end->reason, REASON_UNSUPPORTED);
        assert_string_equal(st.end->error, "no other way");
        assert_string_equal(st.end->transport, "ssh");
        assert_int_equal(play.opened, 1);
        over(&st);
    }
    prepare();
    run(&st, parts, (struct engine_batch){.retries = 0}, "carrier-pigeon", NULL);
    assert_non_null(strstr(st.end->error, TRANSPORT_CHOICES));
    over(&st);
}

/* --- becoming another user --- */

static struct secret *key(void)
{
    return secret_new("s3cret", 6);
}

static void becomes(void **state)
{
    struct stage st = {0};
    struct secret *secret = key();
    char path[] = "/tmp/muster-stdin-XXXXXX";
    int fd = mkstemp(path);

    assert_int_equal(write(fd, "theirs", 6), 6);
    prepare();
    play.talk[0] = "%o";
    play.talk[1] = "%p";
    play.talk[2] = "%i";
    play.talk[3] = "noise";
    run(&st, parts, (struct engine_batch){.become_password = secret, .stdin_path = path,
                                          .retries = 2}, "talker", "sudo");
    assert_int_equal(st.end->status, EXEC_SUCCESS);
    assert_string_equal(play.input.s, "s3cret\ntheirs");
    assert_int_equal(st.end->len[1], strlen("noise"));
    assert_memory_equal(st.end->data[1], "noise", strlen("noise"));
    over(&st);

    /* not asked: not given, and the input begins with the command */
    prepare();
    play.talk[0] = "%o";
    play.talk[1] = "%i";
    run(&st, parts, (struct engine_batch){.become_password = secret, .stdin_fd = fd}, "talker",
        "sudo");
    assert_int_equal(st.end->status, EXEC_SUCCESS);
    assert_string_equal(play.input.s, "theirs");
    over(&st);

    /* raw: nobody else, and the line as it is */
    prepare();
    run(&st, parts, (struct engine_batch){.become_password = secret, .stdin_fd = fd, .raw = true},
        "talker", "sudo");
    assert_string_equal(play.input.s, "theirs");
    over(&st);
    close(fd);
    unlink(path);
    secret_unref(secret);
}

static void refused(void **state)
{
    struct stage st = {0};
    struct secret *secret = key();

    prepare();
    play.talk[0] = "%o";
    play.talk[1] = "%p";
    play.talk[2] = "Sorry, try again.\n";
    play.talk[3] = "%p";
    play.talk[4] = "never said";
    run(&st, parts, (struct engine_batch){.become_password = secret, .retries = 2}, "talker",
        "sudo");
    assert_int_equal(st.end->reason, REASON_AUTH);
    assert_string_equal(st.end->error, "wrong password for sudo to become dba: Sorry, try again.");
    assert_int_equal(st.end->attempts, 1);
    assert_int_equal(st.end->remote, REMOTE_NONE);
    assert_string_equal(play.input.s, "s3cret\n"); /* once */
    over(&st);

    prepare(); /* an end of its own before the command */
    play.talk[0] = "%o";
    play.talk[1] = "sudo: a password is required\n";
    play.exit_code = 1;
    play.input_ended = true;
    run(&st, parts, (struct engine_batch){.retries = 2}, "talker", "sudo");
    assert_int_equal(st.end->reason, REASON_AUTH);
    assert_non_null(strstr(st.end->error, "give -K"));
    assert_int_equal(st.end->len[1], 0);
    over(&st);

    prepare(); /* the login shell's end is not sudo's */
    play.exit_code = 1;
    play.input_ended = true;
    run(&st, parts, (struct engine_batch){.retries = 2}, "talker", "sudo");
    assert_int_equal(st.end->reason, REASON_EXIT);
    over(&st);

    prepare(); /* it never answers */
    play.talk[0] = "%o";
    play.talk[1] = "Verification code: ";
    play.exit_code = -1;
    run(&st, parts, (struct engine_batch){.become_password = secret}, "talker", "sudo");
    assert_int_equal(st.end->reason, REASON_AUTH);
    assert_non_null(strstr(st.end->error, "within 120 s: sudo did not become dba: Verification"));
    assert_int_equal(st.end->remote, REMOTE_UNKNOWN);
    over(&st);
    secret_unref(secret);
}

/* A held password goes with the stop only once it has been right. */
static void stops(void **state)
{
    static const struct {
        const char *talk[4];
        const char *line, *input;
        bool ended; /* its input: what asks gives up */
    } cases[] = {
        {{"%o", "%p", "%i"}, "exec sudo -S -k -p '' -u 'dba' -- /bin/sh -c", "s3cret\n", true},
        {{"%o", "%i"}, "exec sudo -n -u 'dba' -- /bin/sh -c", "", true},
        {{"%o", "%p"}, "exec sudo -n -u 'dba' -- /bin/sh -c", "", true},
    };
    struct stage st = {0};
    struct secret *secret = key();

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        prepare();
        memcpy(play.talk, cases[i].talk, sizeof cases[i].talk);
        play.exit_code = -1;
        begin(&st, parts, (struct engine_batch){.become_password = secret}, "talker", "sudo");
        turn(&st, st.clock.now_ms + 10 * TICK_MS);
        assert_int_equal(engine_cancel(st.engine, 1), 1);
        turn(&st, 0);
        assert_int_equal(st.end->reason, REASON_CANCELLED);
        assert_non_null(play.stop_line);
        assert_int_equal(strncmp(play.stop_line, cases[i].line, strlen(cases[i].line)), 0);
        assert_non_null(strstr(play.stop_line, i < 2 ? " sh 200 TERM" : " sh 100 TERM"));
        assert_string_equal(play.stop_input, cases[i].input);
        assert_int_equal(play.input_ended, cases[i].ended);
        over(&st);
    }
    secret_unref(secret);
}

/* --- input --- */

static void long_line(void **state)
{
    struct stage st = {0};
    char *command = x_malloc(30001);

    memset(command, 'x', 30000);
    command[30000] = '\0';
    prepare();
    play.talk[0] = "a login script speaks\n";
    play.talk[1] = "%i";
    run(&st, parts, (struct engine_batch){.command = command}, "talker", NULL);
    assert_true(play.input.len > 30000);
    assert_string_equal(play.input.s + play.input.len - 2, "\n\n");
    assert_int_equal(play.asked, 1); /* nothing before the token, then woken once */
    over(&st);
    free(command);
}

static void no_file(void **state)
{
    struct stage st = {0};

    prepare();
    run(&st, parts, (struct engine_batch){.stdin_path = "/nowhere/%n", .retries = 2}, "talker",
        NULL);
    assert_int_equal(st.end->reason, REASON_INTERNAL);
    assert_string_equal(st.end->error, "cannot read the input file /nowhere/web1: No such file or "
                                       "directory; nothing was started");
    assert_int_equal(st.end->remote, REMOTE_NONE);
    assert_int_equal(st.end->attempts, 1);
    over(&st);
}

static void progress_told(void **state)
{
    struct stage st = {0};
    char path[] = "/tmp/muster-stdin-XXXXXX", bytes[95];
    int fd = mkstemp(path);

    memset(bytes, 'b', sizeof bytes);
    assert_int_equal(write(fd, bytes, sizeof bytes), sizeof bytes);
    for (int refuse = 0; refuse < 2; refuse++) {
        prepare();
        st.refuse = refuse;
        run(&st, parts, (struct engine_batch){.stdin_path = path, .progress = true}, "talker", NULL);
        assert_int_equal(st.end->status, EXEC_SUCCESS);
        assert_int_equal(play.input.len, sizeof bytes);
        assert_true(refuse ? st.n_told == 0 : st.n_told >= 4);
        for (size_t i = 0; i < st.n_told; i++) {
            assert_int_equal(st.told[i]->bytes_total, sizeof bytes);
            assert_true(!i || st.told[i]->bytes_done >= st.told[i - 1]->bytes_done);
            assert_true(!i || i == st.n_told - 1 || st.told_at[i] - st.told_at[i - 1] >= 250);
        }
        if (st.n_told)
            assert_int_equal(st.told[st.n_told - 1]->bytes_done, sizeof bytes);
        over(&st);
    }
    close(fd);
    unlink(path);
}

static int set_path(void **state)
{
    assert_non_null(mkdtemp(bin));
    return setenv("PATH", bin, 1);
}

static int drop_path(void **state)
{
    with_ssh(false);
    return rmdir(bin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(falls_back), cmocka_unit_test(fallback_and_retries),
        cmocka_unit_test(no_fallback), cmocka_unit_test(becomes),
        cmocka_unit_test(refused),    cmocka_unit_test(stops),
        cmocka_unit_test(long_line),  cmocka_unit_test(no_file),
        cmocka_unit_test(progress_told),
    };
    return cmocka_run_group_tests(tests, set_path, drop_path);
}
