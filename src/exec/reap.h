/* SPDX-License-Identifier: Apache-2.0 */
/* Children that nobody waits for any more: no session does, and a zombie would stay until muster ends. */
#ifndef MUSTER_EXEC_REAP_H
#define MUSTER_EXEC_REAP_H

#include <stdbool.h>
#include <sys/types.h>

/* Waits for a child of ours that has been told to end, on a thread of its own when it has not ended yet.
 * The pid is not the caller's any more. hard: its group gets SIGKILL when it takes longer than 2 s. */
void reap_child(pid_t pid, bool hard);

#endif
