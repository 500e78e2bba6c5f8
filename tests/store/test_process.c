/* SPDX-License-Identifier: Apache-2.0 */
/* Several processes on one database, and disks that fail: recovery, cancelling from elsewhere,
 * write failures. The children are forked before any thread starts in this process. */
#include "fixture.h"

#include "sql.h"

#include "muster/base/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_NODES 400

/* Runs fn in a child that gets the writing end of a pipe. Returns the reading end. */
static int in_child(struct fixture *f, void (*fn)(struct fixture *f), pid_t *pid)
{
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    fflush(NULL);
    *pid = fork();
    if (!*pid) {
        close(fds[0]);
        f->report_fd = fds[1];
        fn(f);
        _exit(0);
    }
    close(fds[1]);
    return fds[0];
}

static bool read_position(int fd, uint32_t *position)
{
    ssize_t n;

    do
        n = read(fd, position, sizeof *position);
    while (n < 0 && errno == EINTR);
    return n == sizeof *position;
}

/* Claims and ends one after the other, until it is killed. */
static void child_runs_batch(struct fixture *f)
{
    fixture_open(f);
    int64_t number = make_batch(f, N_NODES, "work");
    for (uint32_t i = 0; i < N_NODES; i++) {
        char text[32];
        emit_claim(f, number, i);
        WAIT_FOR(f, granted, i + 1);
        snprintf(text, sizeof text, "output %u\n", i);
        emit_output(f, number, i, 0, text, strlen(text));
        if (i >= 5)
            emit_finish(f, number, i - 5, 0, NULL, NULL);
    }
    pause();
}

static void test_killed_owner(void **state)
{
    struct fixture *f = *state;
    uint8_t reported[N_NODES] = {0};
    uint32_t position, n_reported = 0;
    pid_t pid;
    size_t settled, n;

    int fd = in_child(f, child_runs_batch, &pid);
    while (n_reported < 150 && read_position(fd, &position)) {
        reported[position] = 1;
        n_reported++;
    }
    assert_int_equal(n_reported, 150);
    /* Alive, and seen so from here. */
    f->r = reader_open(f->path, NULL);
    struct batch b = get_batch(f, 1);
    assert_int_equal(b.owner, OWNER_ALIVE);
    assert_non_null(b.owner_text);
    batch_clear(&b);
    assert_false(reader_has_dead_owner(f->r));
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    while (read_position(fd, &position)) {
        reported[position] = 1;
        n_reported++;
    }
    close(fd);

    assert_true(reader_has_dead_owner(f->r));
    b = get_batch(f, 1);
    assert_int_equal(b.owner, OWNER_DEAD);
    batch_clear(&b);
    struct err e = ERR_INIT;
    if (writer_recover(f->path, &settled, &e))
        fail_msg("%s", e.msg);
    assert_true(settled > 0);
    assert_false(reader_has_dead_owner(f->r));
    check_counters(f, 1);
    b = get_batch(f, 1);
    assert_int_equal(b.status, BATCH_PARTIAL);
    assert_int_equal(b.stats.queued + b.stats.running, 0);
    assert_true(b.stats.success >= n_reported);
    assert_int_equal(b.stats.success + b.stats.by_reason[REASON_LOST] +
                     b.stats.by_reason[REASON_SKIPPED], N_NODES);
    batch_clear(&b);
    for (uint32_t i = 0; i < N_NODES; i++) {
        char want[32];
        struct execution x = get_execution(f, 1, i);
        if (reported[i])
            assert_int_equal(x.status, EXEC_SUCCESS);
        if (x.status == EXEC_SUCCESS) {
            char *p = get_output(f, x.out_id[0], &n);
            snprintf(want, sizeof want, "output %u\n", i);
            assert_string_equal(p, want);
            free(p);
        } else {
            assert_non_null(strstr(x.error, "went away"));
        }
        execution_clear(&x);
    }
    assert_int_equal(query_int_of(f, "SELECT count(*) FROM outputs WHERE hash IS NULL"), 0);
    /* A second time there is nothing to do. */
    assert_int_equal(writer_recover(f->path, &settled, NULL), 0);
    assert_int_equal(settled, 0);
}

static void child_killed_early(struct fixture *f)
{
    fixture_open(f);
    int64_t number = make_batch(f, 5, "work");
    emit_claim(f, number, 0);
    WAIT_FOR(f, granted, 1);
    emit_failure(f, number, 4, REASON_AUTH, "no");
    WAIT_FOR(f, finished, 1);
    pause();
}

/* Opening a writer settles too, before it does anything else. */
static void test_writer_settles(void **state)
{
    struct fixture *f = *state;
    uint32_t position;
    pid_t pid;

    int fd = in_child(f, child_killed_early, &pid);
    assert_true(read_position(fd, &position));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(fd);
    fixture_open(f);
    check_counters(f, 1);
    struct batch b = get_batch(f, 1);
    assert_int_equal(b.status, BATCH_FAILED);
    assert_int_equal(b.stats.by_reason[REASON_LOST], 1);
    assert_int_equal(b.stats.by_reason[REASON_SKIPPED], 3);
    assert_int_equal(b.stats.by_reason[REASON_AUTH], 1);
    batch_clear(&b);
}

/* Owns a batch of three, one running; ends that one when it is told to cancel. */
static void child_waits_for_cancel(struct fixture *f)
{
    fixture_open(f);
    int64_t number = make_batch(f, 3, "sleep 99");
    emit_claim(f, number, 0);
    WAIT_FOR(f, granted, 1);
    uint32_t ready = 1000;
    if (write(f->report_fd, &ready, sizeof ready) < 0)
        _exit(1);
    WAIT_FOR(f, cancels, 1);
    ready = 1001;
    if (write(f->report_fd, &ready, sizeof ready) < 0)
        _exit(1);
    emit_claim(f, number, 1);
    WAIT_FOR(f, denied, 1);
    emit_failure(f, number, 0, REASON_CANCELLED, "Cancelled by user");
    WAIT_FOR(f, finished, 1);
    fixture_close(f);
}

static void test_cancel_from_elsewhere(void **state)
{
    struct fixture *f = *state;
    struct cancel_result c;
    uint32_t position;
    int status;
    pid_t pid;

    int fd = in_child(f, child_waits_for_cancel, &pid);
    assert_true(read_position(fd, &position));
    assert_int_equal(position, 1000);
    fixture_open(f);
    int64_t began = now_ms();
    assert_int_equal(writer_cancel(f->w, 1, &c, NULL), 0);
    assert_int_equal(c.queued, 2);
    assert_int_equal(c.running, 1);
    assert_false(c.owned_here);
    assert_false(c.owner_dead);
    assert_true(read_position(fd, &position));
    assert_int_equal(position, 1001);
    print_message("the owner saw the request after %lld ms\n", (long long) (now_ms() - began));
    assert_true(now_ms() - began < 5000);
    assert_true(read_position(fd, &position));
    assert_int_equal(position, 0);
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    close(fd);
    check_counters(f, 1);
    struct batch b = get_batch(f, 1);
    assert_int_equal(b.status, BATCH_CANCELLED);
    assert_int_equal(b.stats.by_reason[REASON_CANCELLED], 3);
    batch_clear(&b);
}

/* Cancelling a batch whose owner died in the meantime settles it. */
static void test_cancel_dead_owner(void **state)
{
    struct fixture *f = *state;
    struct cancel_result c;
    uint32_t position;
    pid_t pid;

    int fd = in_child(f, child_waits_for_cancel, &pid);
    assert_true(read_position(fd, &position));
    fixture_open(f); /* while it lives: nothing is settled */
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(fd);
    assert_int_equal(writer_cancel(f->w, 1, &c, NULL), 0);
    assert_true(c.owner_dead);
    assert_int_equal(c.queued, 2);
    check_counters(f, 1);
    struct batch b = get_batch(f, 1);
    assert_int_equal(b.status, BATCH_CANCELLED);
    assert_int_equal(b.stats.by_reason[REASON_LOST], 1);
    batch_clear(&b);
}

/* Leases of other machines and of earlier boots. */
static void test_foreign_leases(void **state)
{
    struct fixture *f = *state;
    struct sql s;
    size_t settled;

    fixture_open(f);
    int64_t number = make_batch(f, 2, "x");
    assert_int_equal(sql_open(&s, f->path, SQLITE_OPEN_READWRITE), SQLITE_OK);
    assert_int_equal(sql_run(&s, "INSERT INTO owners (id, host, boot_id, pid_ns, pid, start_time,"
                                 " since) SELECT 90, 'elsewhere', 'other-boot', pid_ns, 1, 1, 1"
                                 " FROM owners", ""), SQLITE_OK);
    assert_int_equal(sql_run(&s, "UPDATE batch_executions SET owner = 90", ""), SQLITE_OK);
    assert_int_equal(writer_recover(f->path, &settled, NULL), 0);
    assert_int_equal(settled, 0);
    struct batch b = get_batch(f, number);
    assert_int_equal(b.owner, OWNER_OTHER_HOST);
    assert_string_equal(b.owner_text, "pid 1 on elsewhere");
    batch_clear(&b);
    char host[256];
    assert_int_equal(gethostname(host, sizeof host), 0);
    assert_int_equal(sql_run(&s, "UPDATE owners SET host = ? WHERE id = 90", "s", host),
                     SQLITE_OK);
    sql_close(&s);
    /* The same host, an earlier boot. */
    assert_int_equal(writer_recover(f->path, &settled, NULL), 0);
    assert_int_equal(settled, 2);
    check_counters(f, number);
}

static void set_file_limit(rlim_t max)
{
    struct rlimit lim;

    if (getrlimit(RLIMIT_FSIZE, &lim))
        _exit(1);
    lim.rlim_cur = max;
    if (setrlimit(RLIMIT_FSIZE, &lim))
        _exit(1);
}

static off_t size_of(const char *path, const char *suffix)
{
    char name[160];
    struct stat st;

    snprintf(name, sizeof name, "%s%s", path, suffix);
    return stat(name, &st) ? 0 : st.st_size;
}

/* The disk is full for a while (a limit on the size of files does the same): what was reported is
 * there, nothing starts, and when there is space again what was kept in memory is written. */
static void child_disk_full(struct fixture *f)
{
    struct cancel_result c;
    struct err e = ERR_INIT;
    char big[2000];
    uint32_t before;
    size_t n;

    signal(SIGXFSZ, SIG_IGN);
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    fixture_open(f);
    int64_t number = make_batch(f, 40, "work");
    for (uint32_t i = 0; i < 30; i++)
        emit_claim(f, number, i);
    /* Half of them have sent something already: hashed, and the hash must survive a rollback. */
    for (uint32_t i = 15; i < 30; i++)
        assert_true(emit_output(f, number, i, 0, "early ", 6));
    emit_finish(f, number, 0, 0, "before", NULL);
    WAIT_FOR(f, finished, 1);
    /* Room for nothing more than is there. */
    off_t wal = size_of(f->path, "-wal"), db = size_of(f->path, "");
    set_file_limit((rlim_t) (wal > db ? wal : db));
    for (uint32_t i = 1; i < 30; i++) {
        big[0] = (char) ('A' + i);
        emit_finish(f, number, i, 0, big, NULL);
    }
    WAIT_FOR(f, failed, 1);
    before = (uint32_t) fixture_counts(f).finished;
    assert_true(before < 30);
    emit_claim(f, number, 35);
    WAIT_FOR(f, denied, 1);
    assert_false(emit_output(f, number, 29, 0, "no", 2));
    assert_int_equal(writer_cancel(f->w, number, &c, &e), -ERR_STORE);
    err_clear(&e);
    assert_non_null(strstr(f->failed_text, f->path));
    /* What was committed can still be read. */
    check_counters(f, number);
    struct batch b = get_batch(f, number);
    assert_int_equal(b.stats.success, fixture_counts(f).finished);
    batch_clear(&b);

    set_file_limit(RLIM_INFINITY);
    WAIT_FOR(f, recovered, 1);
    WAIT_FOR(f, finished, 30);
    check_counters(f, number);
    b = get_batch(f, number);
    assert_int_equal(b.stats.success, 30);
    assert_int_equal(b.stats.queued, 10);
    batch_clear(&b);
    for (uint32_t i = 1; i < 30; i++) {
        struct execution x = get_execution(f, number, i);
        char *p = get_output(f, x.out_id[0], &n), *end = p + (i < 15 ? 0 : 6);
        assert_int_equal(n, x.out_size[0]);
        assert_int_equal(n, (size_t) (end - p) + sizeof big - 1);
        assert_int_equal(*end, 'A' + i);
        free(p);
        execution_clear(&x);
    }
    /* An output of the same bytes finds the one that was hashed in pieces: its hash is right. */
    big[0] = 'A' + 20;
    char *whole = x_asprintf("early %s", big);
    emit_claim(f, number, 31);
    emit_finish(f, number, 31, 0, whole, NULL);
    WAIT_FOR(f, finished, 31);
    free(whole);
    struct execution x = get_execution(f, number, 31), y = get_execution(f, number, 20);
    assert_int_equal(x.out_id[0], y.out_id[0]);
    execution_clear(&x);
    execution_clear(&y);
    emit_claim(f, number, 35);
    WAIT_FOR(f, granted, 32);
    assert_int_equal(fixture_counts(f).failed, 1);
    /* The same again with claims alone: nothing is kept, and yet it recovers. */
    wal = size_of(f->path, "-wal");
    db = size_of(f->path, "");
    set_file_limit((rlim_t) 4096);
    emit_claim(f, number, 36);
    WAIT_FOR(f, failed, 2);
    WAIT_FOR(f, denied, 2);
    set_file_limit(RLIM_INFINITY);
    WAIT_FOR(f, recovered, 2);
    fixture_close(f);
    uint32_t done = 2000;
    if (write(f->report_fd, &done, sizeof done) < 0)
        _exit(1);
}

static void test_disk_full(void **state)
{
    struct fixture *f = *state;
    uint32_t position = 0;
    int status;
    pid_t pid;

    int fd = in_child(f, child_disk_full, &pid);
    while (read_position(fd, &position))
        ;
    waitpid(pid, &status, 0);
    close(fd);
    assert_int_equal(status, 0);
    assert_int_equal(position, 2000);
}

/* As a user who may not write: root may everything. */
static void child_cannot_write(struct fixture *f)
{
    struct err e = ERR_INIT;

    if (geteuid() == 0 && setuid(65534))
        _exit(2);
    if (writer_open(f->path, NULL, NULL, &e) || !e.msg || !strstr(e.msg, f->dir) ||
        !strstr(e.msg, "--db"))
        _exit(3);
}

static void test_read_only_folder(void **state)
{
    struct fixture *f = *state;
    int status;
    pid_t pid;

    assert_int_equal(chmod(f->dir, 0555), 0);
    int fd = in_child(f, child_cannot_write, &pid);
    waitpid(pid, &status, 0);
    close(fd);
    assert_int_equal(chmod(f->dir, 0700), 0);
    assert_int_equal(status, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_killed_owner),      TEST(test_writer_settles), TEST(test_cancel_from_elsewhere),
        TEST(test_cancel_dead_owner), TEST(test_foreign_leases), TEST(test_disk_full),
        TEST(test_read_only_folder),
    };
    return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
