/* SPDX-License-Identifier: Apache-2.0 */
/* A fleet: the nodes, groups and sources of all inventories as merged, at one time. A value that
 * does not change once it is built, so any thread may read it; the holder frees it. The inventory
 * layer builds it, everything above reads it. */
#ifndef MUSTER_CORE_FLEET_H
#define MUSTER_CORE_FLEET_H

#include "muster/base/vec.h"
#include "muster/core/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strmap;
struct nodeset;

struct fleet_var {
    char *name, *value; /* value as text: scalars as written, others as JSON */
};

struct fleet_node {
    char *name;
    struct settings base; /* inventory defaults: ssh_config goes over these */
    struct settings over; /* groups from outer to inner, then the node's own: over ssh_config */
    struct fleet_var *vars;
    size_t n_vars;
    uint32_t *groups; /* indices of every group that holds it, directly or through others */
    size_t n_groups;
    uint32_t sources; /* bit i: fleet.sources[i] names it (sources past 31 set bit 31) */
    bool explicit_node; /* in an explicit inventory: globs, regexes and -a cover it */
};

struct fleet_group {
    char *name;
    uint32_t *nodes; /* direct members, indices, each once, in written order */
    size_t n_nodes;
    uint32_t *groups; /* direct child groups */
    size_t n_groups;
    uint32_t *all; /* every member through all children, each once: direct ones first */
    size_t n_all;
    bool is_child;        /* some group holds it */
    bool is_protected;    /* `protected: true` */
    uint32_t sources;     /* as in fleet_node */
};

enum source_state { SOURCE_OK, SOURCE_STALE, SOURCE_FAILED, SOURCE_ABSENT };

struct fleet_source {
    char *type; /* "muster", "bolt", "ssh_config", "localhost", .. */
    char *path; /* NULL where it has none */
    enum source_state state;
    char *error; /* what went wrong, with file and line; else NULL */
    struct strv warnings; /* what it says and muster does not follow, one sentence each */
    uint32_t n_nodes, n_groups;
    int64_t loaded_ms; /* wall clock; of a cached source: when its program ran */
    int64_t due_ms;    /* from when on its program is to run again; 0: it has none */
    bool named;        /* by -i or MUSTER_INVENTORY: a failure is the user's error */
};

struct fleet {
    struct fleet_node *nodes; /* natural order of names */
    size_t n_nodes;
    struct fleet_group *groups; /* natural order of names */
    size_t n_groups;
    struct fleet_source *sources; /* in the order they were asked */
    size_t n_sources;
    struct strmap *node_index, *group_index; /* name -> index; aliases of nodes too */
};

struct fleet *fleet_new(void); /* empty, with its maps */
void fleet_free(struct fleet *f); /* NULL allowed */
/* By its name or an alias; or NULL. */
const struct fleet_node *fleet_node(const struct fleet *f, const char *name);
const struct fleet_group *fleet_group(const struct fleet *f, const char *name); /* or NULL */
const char *fleet_source_state_name(enum source_state s);

#endif
