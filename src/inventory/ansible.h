/* SPDX-License-Identifier: Apache-2.0 */
/* Ansible's inventories: the JSON that `--list` prints, and host variables that mean settings. */
#ifndef MUSTER_INVENTORY_ANSIBLE_H
#define MUSTER_INVENTORY_ANSIBLE_H

#include "source.h"

/* Fills the builder from the JSON that `ansible-inventory --list`, and any script that does as it
 * does, prints. `what` names it in errors. */
int ansible_json(struct build *b, const char *what, const char *text, size_t n, struct err *e);

/* Lays a host's variables on an entry: those that say how it is reached become settings, secrets
 * are dropped, all others are kept. Takes nothing over. */
int ansible_vars(struct build *b, struct entry *en, const char *host, const struct varlist *vars,
                 struct err *e);

/* The inventories that Ansible's own settings name (ANSIBLE_INVENTORY, its configuration,
 * `etc`/ansible/hosts), with commas between; NULL: none. `*untrusted` is set to the configuration in
 * the working folder, which names programs and so is only followed when it is asked for. Caller frees
 * both. */
char *ansible_find(const char *etc, char **untrusted);

#endif
