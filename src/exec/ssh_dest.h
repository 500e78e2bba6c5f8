/* SPDX-License-Identifier: Apache-2.0 */
/* What people write where ssh wants a destination. Pure. */
#ifndef MUSTER_EXEC_SSH_DEST_H
#define MUSTER_EXEC_SSH_DEST_H

#include <stdbool.h>

struct settings;

struct dest {
    char *host; /* an address without its brackets; never NULL after success */
    char *user; /* NULL: none was given */
    int port;   /* 0: none was given */
};

/* "HOST", "USER@HOST", "HOST:PORT", "[ADDRESS]:PORT", an IPv6 address with or without brackets, and
 * "ssh://USER@HOST:PORT". false: it is none of these. */
bool dest_parse(const char *text, struct dest *out);
void dest_clear(struct dest *d);
/* A setting `host` with the node's name for %n, and % for %%. Caller frees. */
char *dest_fill(const char *host, const char *node);
/* Where a node is: its setting `host`, or its name. A user or port in that counts as the setting of the
 * same place. Caller frees; *good false: it is no destination, and returned as it is written. */
char *dest_of_node(const char *node, struct settings *base, struct settings *over, bool *good);

#endif
