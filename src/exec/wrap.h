/* SPDX-License-Identifier: Apache-2.0 */
/* The line that a node's login shell gets, so that the command's process group is known. Pure. */
#ifndef MUSTER_EXEC_WRAP_H
#define MUSTER_EXEC_WRAP_H

#include "muster/base/vec.h"
#include "muster/core/settings.h"

#include <stdbool.h>
#include <stdint.h>

/* NULL counts as "". Tokens and the prompt have no byte that a shell would treat. */
struct wrap {
    const char *token; /* of the line that tells the process group */
    const char *line, *node, *host, *user;
    const struct strv *env; /* NAME=VALUE, or NULL */
    const char *own_env; /* the node's alone, or NULL */
    const char *chdir;      /* or NULL */
    enum become_method become;
    const char *become_user;
    const char *outer;  /* token of the line that comes before the other user is become */
    const char *prompt; /* what sudo asks with, or NULL: no password is held, it may not ask */
};

/* Caller frees. One that would be longer than INLINE_MAX reads the most of it from its input:
 * *input is then what it reads (caller frees), else NULL. */
char *wrap_command(const struct wrap *w, char **input);

/* The line that signals a process group and tells whether anything of it is left: it ends with
 * STOP_GONE or STOP_THERE (exec/transport.h). Caller frees. password: it comes by the line's input,
 * else sudo and doas may not ask. */
char *wrap_stop(int64_t pid, int sig, bool closer, enum become_method become,
                const char *become_user, bool password);

#endif
