/* SPDX-License-Identifier: Apache-2.0 */
/* What a Bolt inventory says of one group or target, and how it becomes settings. One thread. */
#ifndef MUSTER_INVENTORY_BOLT_H
#define MUSTER_INVENTORY_BOLT_H

#include "source.h"

struct yaml_node;

/* `config`, `vars`, `facts` and `features` of a group or target, flat: "ssh.user", "transport";
 * "facts.os.name", "feature.puppet-agent". */
struct bolt_data {
    struct varlist config, vars;
};
void bolt_data_clear(struct bolt_data *d);
void bolt_data_merge(struct bolt_data *d, const struct bolt_data *over);
/* Adds one key of a group or target, `who`, to *d. 1: it is none of the four. -ERR_VALIDATION without
 * the file's name. What a plugin of Bolt's would give is marked in `config`, so that only those targets
 * for which it counts are not supported, and is missing in the others. */
int bolt_data_read(struct build *b, struct bolt_data *d, const char *who,
                   const struct yaml_node *key, const struct yaml_node *value, struct err *e);

/* Whether a plugin gives `what` of a target, which then is marked in *d as not supported. */
bool bolt_data_plugin(struct build *b, struct bolt_data *d, const char *who, const char *what,
                      const struct yaml_node *value);
/* The name of the first plugin in a value, or NULL: what it would give is not known here. */
const char *bolt_plugin_in(const struct yaml_node *n);

struct bolt_uri {
    char *scheme, *user, *host, *port; /* each may be NULL; host is "" for "local://" */
    bool password;                     /* it had one, which is not kept */
};
int bolt_uri_parse(struct bolt_uri *u, const char *text, struct err *e);
void bolt_uri_clear(struct bolt_uri *u);

/* Makes the settings of a target from its config and its URI, and the variable "bolt.not_used" of what
 * in its config has none. `base` is the inventory's folder. */
int bolt_apply(struct build *b, struct entry *en, const char *name, const struct bolt_uri *uri,
               const struct bolt_data *d, const char *base, struct err *e);

#endif
