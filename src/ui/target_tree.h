/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of the target tree: groups (those that no group holds on top), their children and nodes,
 * the nodes in no group, and the sources that have a trouble. A flat array, made anew only when the
 * fleet, the filter or what is open changed. Pure; main thread only. */
#ifndef MUSTER_UI_TARGET_TREE_H
#define MUSTER_UI_TARGET_TREE_H

#include "target_filter.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct fleet;
struct selection;
struct strmap;
struct target_filter;

#define TREE_DEPTH_MAX 12       /* groups in groups */
#define TREE_ROWS_MAX 200000    /* a node counts once for each group that shows it */
#define TREE_NO_PARENT UINT32_MAX

enum trow_kind { TROW_SOURCE, TROW_GROUP, TROW_LOOSE, TROW_NODE };
struct trow {
    uint8_t kind, depth;
    bool open;        /* a group whose inside is shown */
    uint32_t index;   /* of the source, group or node */
    uint32_t parent;  /* row it stands in, or TREE_NO_PARENT */
};

struct target_tree {
    const struct fleet *fleet; /* borrowed; what the rows were made of */
    uint64_t stamp;            /* tells a fleet at the same address from an older one */
    struct trow *rows;
    size_t n, cap;
    uint8_t *picked;        /* a byte a node: selected */
    uint8_t *match;         /* a byte a node: the filter shows it */
    uint32_t *group_match;  /* members that match, a group each */
    uint32_t *loose;        /* nodes in no group */
    size_t n_loose, loose_match;
    size_t n_match, n_picked, n_hidden; /* hidden: picked and not shown by the filter */
    uint64_t sel_generation;
    struct filter_facts facts;    /* set after init, where facts are known */
    struct target_filter *filter; /* the last valid one; NULL: no longer valid, nothing matches */
    char *filter_text;            /* of it */
    char *filter_error;           /* why the fleet of now does not take it, or NULL */
    struct strmap *toggled;          /* paths that are not as by default, without a filter */
    struct strmap *toggled_filtered; /* and with the filter of now */
    bool stale;                   /* the rows must be made anew */
};

void target_tree_init(struct target_tree *t);
void target_tree_free(struct target_tree *t);
/* Takes the fleet and the selection as they are now. True when the rows changed. */
bool target_tree_sync(struct target_tree *t, const struct fleet *f, const struct selection *sel);
/* Sets the filter; on an error (-ERR_VALIDATION) the last valid one stays. */
int target_tree_filter(struct target_tree *t, const char *text, struct err *e);
bool target_tree_filtered(const struct target_tree *t);
void target_tree_toggle(struct target_tree *t, size_t row); /* opens or closes; no-op on a leaf */
void target_tree_rebuild(struct target_tree *t);
/* The members behind a row (itself for a node): indices and their number; NULL for a source. */
const uint32_t *target_tree_members(const struct target_tree *t, const struct trow *r, size_t *n);
/* How many of a row's members are picked, and how many there are. */
void target_tree_count(const struct target_tree *t, const struct trow *r, size_t *picked,
                       size_t *total);
const char *target_tree_name(const struct target_tree *t, const struct trow *r);

#endif
