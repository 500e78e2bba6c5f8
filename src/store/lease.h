/* SPDX-License-Identifier: Apache-2.0 */
/* Leases: which process runs a batch, and whether it still lives. Any thread. */
#ifndef MUSTER_STORE_LEASE_H
#define MUSTER_STORE_LEASE_H

#include "muster/core/batch.h"

#include <stdint.h>

struct lease {
    char host[256];
    char boot_id[64];
    char pid_ns[64];
    int64_t pid;
    int64_t start_time; /* clock ticks since boot, field 22 of /proc/PID/stat; 0: unknown */
};

void lease_self(struct lease *l);
/* What this lease is, seen from the process that `self` describes. OWNER_NONE never comes out. */
enum owner_state lease_state(const struct lease *l, const struct lease *self);

#endif
