/* SPDX-License-Identifier: Apache-2.0 */
/* What a command gets besides its line: environment, folder, standard input, another user. */
#ifndef MUSTER_SRC_SERVICE_INPUT_H
#define MUSTER_SRC_SERVICE_INPUT_H

#include <stddef.h>

struct batch_request;
struct err;
struct service;
struct settings;
struct strv;

/* What can be told without the targets. 0 or -ERR_VALIDATION. */
int input_check(const struct batch_request *r, struct err *e);
/* The input files of these nodes, as far as their names are known before anything is resolved: all
 * that cannot be read are in the error. */
int input_check_nodes(const struct service *s, const struct batch_request *r,
                      const struct strv *nodes, struct err *e);
/* That each node's way is one: a template for the transport exec, jump hosts that can be read, and no
 * flag of ssh's where no ssh goes. All nodes of which it is not so are in the error. */
int input_check_ways(const struct service *s, const struct batch_request *r,
                     const struct strv *nodes, struct err *e);
/* What is to be said of a localhost that ssh_config has a block for, and that is this machine all the same;
 * NULL: nothing. Caller frees. */
char *input_unused_block(const struct service *s, const struct batch_request *r, const char *node);
/* That what was never stored, but is needed again, has been given. */
int input_check_secrets(const struct batch_request *r, struct err *e);
/* A password or a user to become with no method said means sudo, where the node has none of its own. */
void input_imply_become(const struct batch_request *r, const struct settings *base,
                        struct settings *over);

#endif
