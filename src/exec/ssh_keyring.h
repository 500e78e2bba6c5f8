/* SPDX-License-Identifier: Apache-2.0 */
/* What all sessions of an engine share while they prove who the user is, whichever transport they go
 * by: keys that a passphrase has opened, and the turns at an agent. Helper threads only, as everything
 * may wait, but for the references and keyring_forget(): any thread. */
#ifndef MUSTER_EXEC_SSH_KEYRING_H
#define MUSTER_EXEC_SSH_KEYRING_H

#include <stdbool.h>

struct help;
struct keyring;
struct secret;
struct ssh_key;

struct keyring *keyring_new(void);
struct keyring *keyring_ref(struct keyring *r);
void keyring_unref(struct keyring *r); /* NULL allowed */
/* Nothing runs any more: keys, passphrases and what was declined are dropped, and wiped. */
void keyring_forget(struct keyring *r);

/* The locked key, opened: a reference. The passphrase is asked for by the first who needs it, and
 * by nobody again: the others wait, and what was declined stays so. NULL with *why ("its passphrase
 * was not given"; the caller frees), or without when the work is for nobody any more. */
struct ssh_key *keyring_unlock(struct keyring *r, struct ssh_key *locked, struct help *help,
                               char **why);
/* The same as far as it is known: asks nobody and does not wait. NULL without *why: not asked yet. */
struct ssh_key *keyring_look(struct keyring *r, struct ssh_key *locked, char **why);

/* The passphrase itself, which has opened the key here, for ssh; a reference, or NULL, as above. */
struct secret *keyring_phrase(struct keyring *r, struct ssh_key *locked, struct help *help,
                              char **why);
/* What cannot be tried here: a PIN, a file that only ssh knows. Asked once by this name, with this
 * text; a reference, or NULL: declined, or given up. keyring_refused(): it turned out to be wrong. */
struct secret *keyring_ask(struct keyring *r, const char *name, const char *text,
                           struct help *help);
void keyring_refused(struct keyring *r, const char *name);

/* A turn at the agent of this socket, of which there are AGENT_AT_ONCE; keyring_agent_done() follows.
 * false with *why: it has just been found to hang (why: the text of who found it), or without: the
 * work is for nobody any more. */
#define AGENT_AT_ONCE 4
bool keyring_agent_turn(struct keyring *r, const char *socket_path, struct help *help, char **why);
void keyring_agent_done(struct keyring *r, const char *socket_path, const char *hung); /* or NULL */

#endif
