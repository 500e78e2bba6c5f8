/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a child with clean signals: none blocked, none ignored. posix_spawn(3), so it is cheap in a
 * large process and safe beside threads. Any thread. */
#ifndef MUSTER_BASE_SPAWN_H
#define MUSTER_BASE_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

struct spawn {
    const char *file;   /* a path; without a '/' it is looked for in PATH */
    char *const *argv;
    char *const *envp;  /* NULL: ours */
    int in, out, err;   /* descriptors; below 0: /dev/null */
    bool session;       /* it leads a session of its own, not only a process group */
};
/* 0 or an errno: then nothing runs. */
int spawn_child(const struct spawn *s, pid_t *pid);

#endif
