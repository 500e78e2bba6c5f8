/* SPDX-License-Identifier: Apache-2.0 */
/* The line that a node's login shell gets, so that the command's process group is known. Pure. */
#ifndef MUSTER_EXEC_WRAP_H
#define MUSTER_EXEC_WRAP_H

/* Caller frees. `token` has no byte that a shell would treat. NULL counts as "". */
char *wrap_command(const char *token, const char *line, const char *node, const char *host,
                   const char *user);

#endif
