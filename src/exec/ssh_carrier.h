/* SPDX-License-Identifier: Apache-2.0 */
/* A connection to a jump host, once it has signed in: it joins the sockets of those who asked
 * (ssh_jump.h) to channels of its own. The reactor's thread of the engine inside the engine. */
#ifndef MUSTER_EXEC_SSH_CARRIER_H
#define MUSTER_EXEC_SSH_CARRIER_H

#include "ssh_conn.h"

struct carry;

struct carry *carry_new(struct session *s);
struct carrier *carry_carrier(const struct carry *y);
/* One step of a connection that has signed in. */
enum go conn_carry(struct conn *c);
uint32_t carry_events(const struct conn *c); /* of its own socket */
void carry_free(struct conn *c); /* before the connection goes; whoever was joined is told */

/* The library gives this memory back: when it is the answer to an open, it has the server's words. */
void carry_given_back(struct carry *y, const void *p, size_t n);

#endif
