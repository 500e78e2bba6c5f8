/* SPDX-License-Identifier: Apache-2.0 */
/* What all sessions share while they prove who the user is: keys that a passphrase has opened, and
 * the turns at an agent. Helper threads only: everything here may wait. */
#ifndef MUSTER_EXEC_SSH_KEYRING_H
#define MUSTER_EXEC_SSH_KEYRING_H

#include <stdbool.h>

struct help;
struct keyring;
struct ssh_key;

struct keyring *keyring_new(void);
void keyring_free(struct keyring *r); /* NULL allowed */

/* The locked key, opened: a reference. The passphrase is asked for by the first who needs it, and
 * by nobody again: the others wait, and what was declined stays so. NULL with *why ("its passphrase
 * was not given"; the caller frees), or without when the work is for nobody any more. */
struct ssh_key *keyring_unlock(struct keyring *r, struct ssh_key *locked, struct help *help,
                               char **why);
/* The same as far as it is known: asks nobody and does not wait. NULL without *why: not asked yet. */
struct ssh_key *keyring_look(struct keyring *r, struct ssh_key *locked, char **why);

/* A turn at the agent of this socket, of which there are AGENT_AT_ONCE; keyring_agent_done() follows.
 * false with *why: it has just been found to hang (why: the text of who found it), or without: the
 * work is for nobody any more. */
#define AGENT_AT_ONCE 4
bool keyring_agent_turn(struct keyring *r, const char *socket_path, struct help *help, char **why);
void keyring_agent_done(struct keyring *r, const char *socket_path, const char *hung); /* or NULL */

#endif
