/* SPDX-License-Identifier: Apache-2.0 */
/* The selection: a set of node names, not of rows, so it survives every change of view. A group that
 * was picked whole is kept as a group too. Pure; main thread only. */
#ifndef MUSTER_UI_SELECTION_H
#define MUSTER_UI_SELECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fleet;
struct fleet_group;
struct nodeset;

#define SELECTION_UNDO_MAX 16

struct selection {
    struct nodeset *nodes;
    struct nodeset *groups; /* groups picked whole whose members are all still picked */
    uint64_t generation;    /* moves with every change: for what views keep of it */
    struct selection_past {
        struct nodeset *nodes, *groups;
    } past[SELECTION_UNDO_MAX]; /* the selection before each change, the newest last */
    size_t n_past;
};

void selection_init(struct selection *s);
void selection_free(struct selection *s);
/* Call it before each change the user makes: what undo goes back to. */
void selection_save(struct selection *s);
bool selection_undo(struct selection *s); /* false: nothing to undo */

size_t selection_count(const struct selection *s);
bool selection_add(struct selection *s, const char *node);    /* false: it was picked */
void selection_add_set(struct selection *s, const struct nodeset *nodes);
void selection_remove_set(struct selection *s, const struct nodeset *nodes); /* cheap for many */
void selection_clear(struct selection *s);
/* Picks all members, and keeps the group. */
void selection_add_group(struct selection *s, const struct fleet *f, const struct fleet_group *g);
/* How many members (through all children) are picked. */
size_t selection_group_count(const struct selection *s, const struct fleet *f,
                             const struct fleet_group *g);
/* After removals: groups of which a member is no longer picked are dropped. */
void selection_settle(struct selection *s, const struct fleet *f);
/* After the fleet changed: nodes that are gone are dropped (how many is returned), then settles. */
size_t selection_prune(struct selection *s, const struct fleet *f);

#endif
