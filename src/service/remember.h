/* SPDX-License-Identifier: Apache-2.0 */
/* Checking what is to be kept under a name. */
#ifndef MUSTER_SRC_SERVICE_REMEMBER_H
#define MUSTER_SRC_SERVICE_REMEMBER_H

struct err;
struct service;

/* Whether an expression can be evaluated, as one that is to be saved as `name`: it may be empty now,
 * but it names nothing unknown and not itself. 0 or what service_targets() returns. */
int targets_check(struct service *s, const char *name, const char *targets, struct err *e);

#endif
