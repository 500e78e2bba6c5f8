/* SPDX-License-Identifier: Apache-2.0 */
/* A lease as it stands in the table of owners. */
#ifndef MUSTER_STORE_LEASE_ROW_H
#define MUSTER_STORE_LEASE_ROW_H

#include "lease.h"
#include "sql.h"

#include <stdio.h>

#define LEASE_COLUMNS "host, boot_id, pid_ns, pid, start_time"

static inline void lease_text(char *to, size_t size, sqlite3_stmt *st, int col)
{
    const char *t = (const char *) sqlite3_column_text(st, col);
    snprintf(to, size, "%s", t ? t : "");
}

static inline void lease_from_row(sqlite3_stmt *st, int col, struct lease *l)
{
    lease_text(l->host, sizeof l->host, st, col);
    lease_text(l->boot_id, sizeof l->boot_id, st, col + 1);
    lease_text(l->pid_ns, sizeof l->pid_ns, st, col + 2);
    l->pid = sqlite3_column_int64(st, col + 3);
    l->start_time = sqlite3_column_int64(st, col + 4);
}

#endif
