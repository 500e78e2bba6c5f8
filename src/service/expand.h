/* SPDX-License-Identifier: Apache-2.0 */
/* The groups that a batch was given, as they are when it is run again. */
#ifndef MUSTER_SRC_SERVICE_EXPAND_H
#define MUSTER_SRC_SERVICE_EXPAND_H

#include <stdbool.h>

struct batch;
struct err;
struct fleet;
struct nodeset;
struct strv;

/* Adds to a batch's parameters (taken over) which of its nodes its groups do not explain, `direct`, and
 * which of the groups' nodes it left out, `leftOut`. A batch that repeats another (its parameters, or
 * NULL) has these from it: the groups may have changed meanwhile. Caller frees. */
char *expand_remember(char *parameters, const struct fleet *f, const struct strv *nodes,
                      const struct strv *groups, const char *repeats);
/* From a batch's nodes to those of its groups as they are now, but what it left out then, and those that
 * were named directly. What has come and gone is told in warnings. -ERR_VALIDATION: it had no group. */
int expand_groups(const struct fleet *f, const struct batch *b, struct nodeset *nodes,
                  struct strv *warnings, struct err *e);
/* Takes away the nodes that no inventory has any more, and tells of them. -ERR_INVALID_NODES: none is
 * left. */
int expand_drop_gone(const struct fleet *f, struct nodeset *nodes, struct strv *warnings, struct err *e);

#endif
