/* SPDX-License-Identifier: Apache-2.0 */
/* What the writer and the readers share: where the database lies and what it must be. */
#ifndef MUSTER_STORE_STORE_H
#define MUSTER_STORE_STORE_H

#include <stdint.h>

struct err;

/* $MUSTER_DB, else $XDG_STATE_HOME/muster/muster.db. Caller frees. */
char *store_default_path(void);
/* Of SQLite, the one it runs with; static. */
const char *store_library_version(void);
/* 0, or -ERR_STORE when the path lies on a network file system (WAL does not work there; names the
 * remedy), or its folder cannot be made or written. Makes the folder (0700). */
int store_check_path(const char *path, struct err *e);

#endif
