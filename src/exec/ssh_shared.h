/* SPDX-License-Identifier: Apache-2.0 */
/* What all ssh sessions of an engine share, so that each file is read, each class of hosts asked
 * for, and the agent listed once: guarded by one lock, a leaf. Helper threads only: everything
 * here may block on files. What is handed out are references that never change. */
#ifndef MUSTER_EXEC_SSH_SHARED_H
#define MUSTER_EXEC_SSH_SHARED_H

#include "ssh_conf.h"

#include <stdbool.h>
#include <stdint.h>

struct settings;
struct agent_keys;
struct engine_config;
struct hosts_file;
struct keyring;
struct jumps;
struct side;
struct ssh_key;
struct ssh_shared;

void *ssh_shared_new(const struct engine_config *cfg);
void *ssh_shared_again(const struct engine_config *cfg); /* a reference to cfg->shared_ctx */
void ssh_shared_stop(void *shared);
void ssh_shared_free(void *shared); /* drops a reference */
struct keyring *shared_keyring(struct ssh_shared *s); /* ssh_keyring.h */
struct side *shared_side(struct ssh_shared *s); /* ssh_side.h */
struct jumps *shared_jumps(struct ssh_shared *s); /* ssh_jump.h */

/* Which settings the user's ssh_config, or an -o, names for this host: what is not named is only
 * OpenSSH's default, and the inventory's defaults go before that. */
struct conf_named {
    bool user, port, identity, known_hosts, strict, timeout, jump;
    struct strv control; /* ControlPath as it may be written for this host, nothing filled in */
};
void conf_named_clear(struct conf_named *named);
/* What the settings say of unknown host keys, where they are stronger than ssh_config; or NULL. */
const char *conf_strict_word(const struct settings *base, const struct settings *over,
                             const struct strv *options, const struct conf_named *named);
/* ssh_config for q->host: *conf is a reference, *hostname the caller's. 0 or -code. */
int shared_conf(struct ssh_shared *s, const struct conf_query *q, struct ssh_conf **conf,
                char **hostname, struct conf_named *named, struct err *e);

struct hosts_file *shared_hosts(struct ssh_shared *s, const char *path); /* a reference */
struct hosts_file *shared_revoked(struct ssh_shared *s, const char *path); /* a reference */
struct ssh_key *shared_key(struct ssh_shared *s, const char *path);      /* a reference */

/* The keys of an agent; a reference, or NULL with the error. Listed again after a few seconds; one
 * that hangs is left alone for longer. */
struct agent_keys *shared_agent(struct ssh_shared *s, const char *path, int64_t timeout_ms,
                                struct err *e);
void shared_agent_hung(struct ssh_shared *s, const char *path, const char *why);

/* Adds a key to known_hosts (accept-new), one session at a time. As hosts_append(). */
int shared_accept(struct ssh_shared *s, const char *path, const char *name, bool hashed,
                  const char *type, const void *blob, size_t n, unsigned *line, struct err *e);

#endif
