/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a child with clean signals. */
#include "muster/base/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

extern char **environ;

static void put(posix_spawn_file_actions_t *fa, int from, int to)
{
    if (from >= 0)
        posix_spawn_file_actions_adddup2(fa, from, to);
    else
        posix_spawn_file_actions_addopen(fa, to, "/dev/null", to == 0 ? O_RDONLY : O_WRONLY, 0);
}

int spawn_child(const struct spawn *s, pid_t *pid)
{
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    sigset_t none, all;

    sigemptyset(&none);
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    posix_spawn_file_actions_init(&fa);
    put(&fa, s->in, 0);
    put(&fa, s->out, 1);
    put(&fa, s->err, 2);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    /* Either way Ctrl-C on the terminal is not meant for it. */
    posix_spawnattr_setflags(&attr, (short) (POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                             (s->session ? POSIX_SPAWN_SETSID
                                                         : POSIX_SPAWN_SETPGROUP)));

    int rc = posix_spawnp(pid, s->file, &fa, &attr, s->argv, s->envp ? s->envp : environ);

    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&fa);
    return rc;
}
