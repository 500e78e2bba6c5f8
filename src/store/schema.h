/* SPDX-License-Identifier: Apache-2.0 */
/* The schema, its numbered migrations, and the columns that several modules read alike. */
#ifndef MUSTER_STORE_SCHEMA_H
#define MUSTER_STORE_SCHEMA_H

#include "sql.h"

#include "muster/core/state.h"

#define SCHEMA_VERSION 5
#define SCHEMA_APPLICATION_ID 0x6d757374 /* "must" */

/* In the order of struct batch_stats; a new reason needs a migration that adds its column. */
#define STATS_COLUMNS                                                                          \
    "stats_total, stats_queued, stats_running, stats_success, stats_failed, stats_exit, "      \
    "stats_signal, stats_timeout, stats_unreachable, stats_unsupported, stats_hostkey, "       \
    "stats_auth, stats_lost, stats_cancelled, stats_skipped, stats_internal"
#define STATS_N 16
_Static_assert(STATS_N == 4 + REASON_COUNT, "one column for each reason but NONE");

/* What the index of a node's runs is made of. */
int64_t schema_node_key(const char *node);

void stats_from_row(sqlite3_stmt *st, int col, struct batch_stats *s);
/* Binds the STATS_N counters from parameter `first` on. */
int stats_bind(sqlite3_stmt *st, int first, const struct batch_stats *s);

/* Is this a database of muster that this program can read? *empty: a file with nothing in it.
 * SQLITE_OK, or -ERR_STORE (negative) with e set. */
int schema_check(struct sql *s, bool *empty, struct err *e);
/* It was written by an older muster: schema_migrate brings it up to date. */
bool schema_is_old(struct sql *s);
/* Brings it up to date. 0 or -ERR_STORE. */
int schema_migrate(struct sql *s, struct err *e);

#endif
