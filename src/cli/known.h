/* SPDX-License-Identifier: Apache-2.0 */
/* What was learned and written down: facts, notes, saved targets. */
#ifndef MUSTER_SRC_CLI_KNOWN_H
#define MUSTER_SRC_CLI_KNOWN_H

#include "cli.h"

struct json;

/* --saved: what is saved, as a table or JSON. */
int known_saved(struct cli *c, struct service *s, struct err *e);
/* Puts `facts` ({learnedAt, batch, values} or null) and `notes` of a node into o. */
int known_put(struct reader *r, const char *node, struct json *o, struct err *e);
/* The facts of a node with their age, for people; nothing where there are none. */
int known_print_facts(struct reader *r, const char *node, struct err *e);
/* The notes of a node, or with NULL of a batch. */
int known_print_notes(struct reader *r, const char *node, int64_t batch, struct err *e);

#endif
