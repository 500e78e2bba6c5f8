/* SPDX-License-Identifier: Apache-2.0 */
/* The line that a node's login shell gets, so that the command's process group is known. Pure. */
#ifndef MUSTER_EXEC_WRAP_H
#define MUSTER_EXEC_WRAP_H

#include <stdbool.h>
#include <stdint.h>

/* Caller frees. `token` has no byte that a shell would treat. NULL counts as "". */
char *wrap_command(const char *token, const char *line, const char *node, const char *host,
                   const char *user);

/* The line that signals a process group and tells whether anything of it is left: it ends with
 * STOP_GONE or STOP_THERE (exec/transport.h). Caller frees. */
char *wrap_stop(int64_t pid, int sig, bool closer);

#endif
