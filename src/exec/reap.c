/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for children that their session has left behind. */
#include "reap.h"

#include "muster/base/alloc.h"
#include "muster/base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>
#include <time.h>

#define REAP_STACK (64 * 1024)
#define REAP_LOOKS 100 /* of 20 ms each: how long it has before SIGKILL */

struct left {
    pid_t pid;
    bool hard;
};

static bool reaped(pid_t pid)
{
    return waitpid(pid, NULL, WNOHANG) != 0;
}

static bool ends_soon(pid_t pid)
{
    const struct timespec look = {.tv_nsec = 20000000};

    for (int i = 0; i < REAP_LOOKS; i++) {
        if (reaped(pid))
            return true;
        nanosleep(&look, NULL);
    }
    return false;
}

static void *reap(void *arg)
{
    const struct left l = *(struct left *) arg;

    free(arg);
    if (l.hard) {
        if (ends_soon(l.pid))
            return NULL;
        kill(-l.pid, SIGKILL); /* not waited for yet, so the number is still its own */
    }
    while (waitpid(l.pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return NULL;
}

void reap_child(pid_t pid, bool hard)
{
    if (reaped(pid))
        return;

    struct left *l = x_malloc(sizeof *l);

    *l = (struct left) {pid, hard};
    if (thread_start_detached("muster-reap", REAP_STACK, reap, l) == 0)
        return;
    free(l);
    if (hard)
        kill(-pid, SIGKILL);
}
