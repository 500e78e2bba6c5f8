/* SPDX-License-Identifier: Apache-2.0 */
/* The options of a run that matter again when it is rerun: as JSON in the store, and back. */
#ifndef MUSTER_SRC_SERVICE_CREATE_H
#define MUSTER_SRC_SERVICE_CREATE_H

struct batch_created;
struct batch_request;
struct err;
struct fleet_node;
struct json;
struct rerun_hold;
struct service;
struct settings;
struct strv;

/* A JSON object text; caller frees. No secret is ever in it. inventories: as given by -i. hash: of
 * a task's files, or NULL. */
char *parameters_encode(const struct batch_request *r, const struct strv *inventories,
                        const char *hash);
/* Into r; what it points to is kept in hold. */
int parameters_decode(const char *text, struct batch_request *r, struct rerun_hold *hold,
                      struct err *e);
/* Puts the members of a create answer into an object. */
void batch_created_members(const struct batch_created *c, struct json *o);

/* What lies under ssh_config for a node (NULL: one that no inventory has); into an uninitialised set. */
void service_base_settings(const struct service *s, const struct fleet_node *node,
                           struct settings *out);

#endif
