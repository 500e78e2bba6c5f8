/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers that hang: they hold nobody up, and nobody waits for them at the end. */
#include "helpers.h"
#include "rig.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/core/state.h"
#include "muster/exec/transport.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEALTHY 5
#define PATIENCE 60 /* seconds */

extern char **environ;

/* What the work of all tests has in common: the helpers may outlive the engine and the test. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool released;
    size_t begun, worked, freed, killed, shared_freed;
} the = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void count(size_t *what)
{
    pthread_mutex_lock(&the.lock);
    ++*what;
    pthread_cond_broadcast(&the.changed);
    pthread_mutex_unlock(&the.lock);
}

static void wait_count(const size_t *what, size_t n)
{
    struct timespec t;
    int rc = 0;

    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += PATIENCE;
    pthread_mutex_lock(&the.lock);
    while (*what < n && rc == 0)
        rc = pthread_cond_timedwait(&the.changed, &the.lock, &t);
    size_t got = *what;
    pthread_mutex_unlock(&the.lock);
    if (got < n)
        fail_msg("only %zu of %zu", got, n);
}

static void reset(void)
{
    pthread_mutex_lock(&the.lock);
    the.released = false;
    the.begun = the.worked = the.freed = the.killed = the.shared_freed = 0;
    pthread_mutex_unlock(&the.lock);
}

static void release(void)
{
    pthread_mutex_lock(&the.lock);
    the.released = true;
    pthread_cond_broadcast(&the.changed);
    pthread_mutex_unlock(&the.lock);
}

struct piece {
    bool hangs, heavy, child;
};

static void hang(void)
{
    pthread_mutex_lock(&the.lock);
    while (!the.released)
        pthread_cond_wait(&the.changed, &the.lock);
    pthread_mutex_unlock(&the.lock);
}

static void run_child(struct help *help)
{
    char *argv[] = {(char *) "sleep", (char *) "300", NULL};
    posix_spawnattr_t attr;
    siginfo_t si;
    pid_t pid;

    posix_spawnattr_init(&attr);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP);
    assert_int_equal(posix_spawnp(&pid, "sleep", NULL, &attr, argv, environ), 0);
    posix_spawnattr_destroy(&attr);
    if (!help_child(help, pid))
        kill(-pid, SIGKILL);
    waitid(P_PID, (id_t) pid, &si, WEXITED | WNOWAIT);
    help_child(help, 0);
    waitpid(pid, NULL, 0);
    assert_true(help_abandoned(help));
    if (si.si_status == SIGKILL)
        count(&the.killed);
}

static void work(void *arg, struct help *help)
{
    struct piece *p = arg;

    if (p->heavy && !help_heavy_begin(help))
        return;
    count(&the.begun);
    if (p->child)
        run_child(help);
    else if (p->hangs)
        hang();
    if (p->heavy)
        help_heavy_end(help);
    count(&the.worked);
}

static void free_piece(void *arg)
{
    free(arg);
    count(&the.freed);
}

/* --- the transport: "hang 100 heavy 1 child 0" --- */

struct patient {
    struct session *s;
    struct piece *piece; /* the helper's until WAKE_HELP */
};

static void *patient_open(struct session *s)
{
    struct patient *p = x_calloc(1, sizeof *p);
    p->s = s;
    return p;
}

static void patient_step(void *priv, unsigned wake)
{
    struct patient *p = priv;
    unsigned n, hanging;
    int heavy, child;

    if (wake & WAKE_START) {
        p->piece = x_calloc(1, sizeof *p->piece);
        assert_int_equal(sscanf(session_node(p->s), "n%u", &n), 1);
        assert_int_equal(sscanf(session_command(p->s), "hang %u heavy %d child %d", &hanging,
                                &heavy, &child), 3);
        *p->piece = (struct piece){n < hanging, heavy, child};
        session_help(p->s, work, free_piece, p->piece);
    }
    if (wake & WAKE_HELP) {
        free_piece(X_STEAL(p->piece));
        session_started(p->s);
        session_end_exit(p->s, 0);
    }
}

static void patient_stop(void *priv, int sig)
{
}

static void *patient_shared(const struct engine_config *cfg)
{
    return x_calloc(1, 1);
}

static void patient_shared_free(void *shared)
{
    free(shared);
    count(&the.shared_freed);
}

static const struct transport_ops transport_patient = {.name = "patient",
                                                       .open = patient_open,
                                                       .step = patient_step,
                                                       .stop = patient_stop,
                                                       .close = free,
                                                       .shared_new = patient_shared,
                                                       .shared_free = patient_shared_free};
static const struct transport_ops *const patient_only[] = {&transport_patient, NULL};

static void start(struct rig *rig, size_t hanging, size_t n, bool heavy, bool child, int64_t ms)
{
    struct engine_config cfg = {
        .fanout = (unsigned) n, .max_queue = 1000, .reactors = 2, .transports = patient_only};
    CLEANUP_FREE char *command = x_asprintf("hang %zu heavy %d child %d", hanging, heavy, child);
    struct settings over;

    reset();
    settings_init(&over);
    over.connect_timeout_ms = ms;
    rig_start(rig, &cfg, n);
    rig_submit(rig, command, &over, n, 1000, false);
    settings_clear(&over);
}

static size_t ends(struct rig *rig, size_t from, size_t n, enum reason reason)
{
    size_t found = 0;
    pthread_mutex_lock(&rig->lock);
    for (size_t i = from; i < from + n; i++)
        found += rig->results[i].end && rig->results[i].end->reason == reason;
    pthread_mutex_unlock(&rig->lock);
    return found;
}

/* The good ones come last and end while all others hang; then the engine goes at once, and what
 * the helpers use goes after them. */
static void hanging_holds_nobody_up(void **state)
{
    enum { HANGING = 200 };
    struct rig rig;

    start(&rig, HANGING, HANGING + HEALTHY, false, false, 600000);
    rig_wait(&rig, HEALTHY, PATIENCE);
    assert_int_equal(ends(&rig, HANGING, HEALTHY, REASON_NONE), HEALTHY);
    wait_count(&the.begun, HANGING + HEALTHY);

    int64_t before = mono_ms(clock_system());

    rig_stop(&rig);
    assert_true(mono_ms(clock_system()) - before < PATIENCE * 1000);
    pthread_mutex_lock(&the.lock);
    assert_int_equal(the.worked, HEALTHY);
    assert_int_equal(the.shared_freed, 0);
    pthread_mutex_unlock(&the.lock);
    release();
    wait_count(&the.shared_freed, 1);
    assert_int_equal(the.freed, HANGING + HEALTHY);
}

/* Programs that hang: the gate opens for the good ones only after the connect timeout, but waiting
 * for it is not connecting. */
static void waiting_is_not_connecting(void **state)
{
    enum { HANGING = 200 };
    struct rig rig;

    start(&rig, HANGING, HANGING + HEALTHY, true, false, 1000);
    rig_wait(&rig, HANGING + HEALTHY, PATIENCE);
    assert_int_equal(ends(&rig, 0, HANGING, REASON_TIMEOUT), HANGING);
    assert_int_equal(ends(&rig, HANGING, HEALTHY, REASON_NONE), HEALTHY);
    release();
    rig_stop(&rig);
    wait_count(&the.shared_freed, 1);
    assert_int_equal(the.freed, HANGING + HEALTHY);
}

static void children_are_killed(void **state)
{
    enum { N = 30 };
    struct rig rig;

    /* by the timeout */
    start(&rig, N, N, true, true, 300);
    rig_wait(&rig, N, PATIENCE);
    assert_int_equal(ends(&rig, 0, N, REASON_TIMEOUT), N);
    wait_count(&the.killed, 1); /* while the engine is still there */
    rig_stop(&rig);
    wait_count(&the.shared_freed, 1);
    assert_int_equal(the.freed, N);
    assert_int_equal(the.killed, the.begun);

    /* by the engine's end, in whatever phase they are */
    start(&rig, N, N, true, true, 600000);
    wait_count(&the.begun, 1);
    rig_stop(&rig);
    wait_count(&the.shared_freed, 1);
    assert_in_range(the.freed, the.begun, N); /* not all had come as far */
    assert_int_equal(the.killed, the.begun);
}

/* What waits in the queue when the engine goes was never begun, and is freed with it. */
static void freed_at_once(void **state)
{
    enum { N = 400 };
    struct rig rig;

    for (int i = 0; i < 10; i++) {
        start(&rig, N, N, i % 2, false, 600000);
        wait_count(&the.begun, (size_t) i + 1);
        rig_stop(&rig);
        release();
        wait_count(&the.shared_freed, 1);
        /* Some were claimed and never started: those had no work. */
        assert_in_range(the.freed, the.begun, N);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hanging_holds_nobody_up),
        cmocka_unit_test(waiting_is_not_connecting),
        cmocka_unit_test(children_are_killed),
        cmocka_unit_test(freed_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
