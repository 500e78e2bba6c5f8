/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of muster explain that tell of the way to a host. */
#ifndef MUSTER_EXEC_SSH_EXPLAIN_H
#define MUSTER_EXEC_SSH_EXPLAIN_H

struct explain;
struct explain_query;
struct prepared;
struct ssh_shared;

/* NULL: none was looked up. Caller frees. */
char *explain_address(const struct prepared *p);
void explain_hops(const struct explain_query *q, struct ssh_shared *shared,
                  const struct prepared *target, struct explain *out);

#endif
