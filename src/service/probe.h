/* SPDX-License-Identifier: Apache-2.0 */
/* A command of the user's on this machine, between two waves. */
#ifndef MUSTER_SRC_PROBE_H
#define MUSTER_SRC_PROBE_H

#include <stdbool.h>
#include <stdint.h>

struct strv;

#define PROBE_MAX_MS 60000

/* Runs it by /bin/sh with these NAME=VALUE beside the environment, which has room for them. Blocks,
 * until it has ended, its time is over, or give_up(ctx) is true; then its process group is killed.
 * True when it ended with 0. *why: what went wrong, harmless, in one line; owned by the caller. */
bool probe_run(const char *command, const struct strv *env, int64_t most_ms,
               bool (*give_up)(void *ctx), void *ctx, int64_t batch, char **why);

#endif
