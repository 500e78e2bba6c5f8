/* SPDX-License-Identifier: Apache-2.0 */
/* The passwords of a run: from a prompt or a descriptor, never from a flag or the environment. */
#ifndef MUSTER_SRC_CLI_SECRETS_H
#define MUSTER_SRC_CLI_SECRETS_H

struct batch_request;
struct cli;
struct err;
struct secret;

struct secrets {
    struct secret *password, *become; /* as read from descriptors, or NULL */
};
/* Reads --password-fd and --sudo-password-fd and closes them. Before anything else is opened, which
 * could have taken their numbers. 0 or -ERR_VALIDATION. */
int secrets_read(const struct cli *c, struct secrets *s, struct err *e);
/* Puts them into the request and asks on the terminal for those that are still wanted (-A, -K, or a rerun
 * of a batch that had one). */
int secrets_ask(const struct cli *c, struct secrets *s, struct batch_request *r, struct err *e);
/* Locked memory is not inherited by a child process: copies them into new. */
void secrets_lock_again(struct batch_request *r);
void secrets_clear(struct secrets *s);

#endif
