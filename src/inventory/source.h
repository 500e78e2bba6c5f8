/* SPDX-License-Identifier: Apache-2.0 */
/* What a source of inventory is, and the builder that all of them fill. One load owns a builder,
 * on one thread. */
#ifndef MUSTER_INVENTORY_SOURCE_H
#define MUSTER_INVENTORY_SOURCE_H

#include "muster/core/fleet.h"
#include "muster/core/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct inventory_watch;
struct nodeset;
struct strmap;

/* LIMIT: larger files are no inventories; memory stays bounded. */
#define INVENTORY_FILE_MAX ((size_t) 64 << 20)
/* LIMIT: nodes and groups of all sources together. */
#define INVENTORY_NODES_MAX ((size_t) 1000000)
#define INVENTORY_GROUPS_MAX ((size_t) 100000)
/* LIMIT: warnings kept of one source. */
#define INVENTORY_WARNINGS_MAX 50

struct varlist {
    struct fleet_var *v;
    size_t n, cap;
};
void varlist_set(struct varlist *l, const char *name, const char *value); /* adds or replaces */
void varlist_merge(struct varlist *l, const struct varlist *over);
void varlist_clear(struct varlist *l);

/* Settings and variables as one entry writes them. */
struct entry {
    struct settings set;
    struct varlist vars;
    bool any_set; /* some setting is set */
};
void entry_init(struct entry *en);
void entry_clear(struct entry *en);
void entry_merge(struct entry *en, const struct entry *over);
/* As setting_set(), but a transport that does not exist is no error: its nodes are reported as
 * unsupported when they are run, and all others work. */
int entry_set(struct entry *en, enum setting_id id, const char *value, struct err *e);

struct build_node {
    char *name;
    struct entry base; /* defaults of the sources that name it */
    struct entry own;
    uint32_t sources;
    size_t last_source; /* plus one */
    bool explicit_node;
};

struct build_child {
    char *name, *place; /* place: "FILE: line N", for errors */
};

struct build_group {
    char *name;
    uint32_t *nodes; /* as written, repeats included */
    size_t n_nodes, cap_nodes;
    struct build_child *children;
    size_t n_children, cap_children;
    struct entry entry;
    bool is_protected;
    uint32_t sources;
    size_t last_source; /* plus one */
};

struct build_alias {
    char *name;
    uint32_t node;
};

struct build {
    struct build_node *nodes;
    size_t n_nodes, cap_nodes;
    struct build_group *groups;
    size_t n_groups, cap_groups;
    struct build_alias *aliases; /* names that stand for a node, unless a node has them */
    size_t n_aliases, cap_aliases;
    struct fleet_source *sources;
    size_t n_sources, cap_sources;
    struct strmap *node_index, *group_index;
    struct inventory_watch *watch;
    struct entry defaults; /* of the source being loaded: set before its first node */
    bool explicit_source;  /* nodes of the source being loaded are explicit ones */
};
void build_init(struct build *b, struct inventory_watch *watch);
void build_clear(struct build *b);
/* Begins a source: what is added from here on is its own. `type` and `path` are copied. */
void build_source(struct build *b, const char *type, const char *path, bool named);
struct fleet_source *build_current(struct build *b);
/* Adds the node, or the same-named one of before, to the current source. *index is valid for good
 * (b->nodes moves). 0 or -ERR_VALIDATION: too many. */
int build_node(struct build *b, const char *name, uint32_t *index, struct err *e);
int build_group(struct build *b, const char *name, uint32_t *index, struct err *e);
void build_group_node(struct build *b, uint32_t group, uint32_t node);
void build_group_child(struct build *b, uint32_t group, const char *name, const char *place);
void build_alias(struct build *b, const char *name, uint32_t node);
/* Something that the current source says and muster does not follow: kept once a text. */
void build_warn(struct build *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Turns what was built into a fleet, taking over its parts (clear it afterwards all the same).
 * 0 or -ERR_VALIDATION: an unknown child group, a cycle. */
int merge_fleet(struct build *b, struct fleet **out, struct err *e);

struct yaml_node;
/* "PATH: line N: ..", without a path where it is put before later. -ERR_VALIDATION. */
int source_fail(struct err *e, const char *path, const struct yaml_node *at, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Checks one name: not empty, no spaces, nothing invisible, none of the signs that target
 * expressions use. `what` is "node" or "group". */
int name_check(const char *what, const char *name, struct err *e);
/* Adds the names that a list of range patterns writes ("a,web[01-20]"; commas or spaces). */
int names_expand(struct nodeset *out, const char *text, struct err *e);
/* Cuts the next pattern of such a list from *p: caller frees; NULL at the end. */
char *names_next(const char **p);

struct source_input {
    const char *path; /* NULL where the source has no file */
    const char *text; /* the file, NUL-terminated; "" for a source that runs a program */
    size_t n;
    bool found;       /* in a usual place, not named by the user */
    const char *etc_dir; /* where others keep their configuration; NULL: /etc */
    const char *part;    /* what an error counts; NULL: "line" */
};

struct inventory_source_ops {
    const char *name;
    /* Whether a file named without a type is one of these. NULL: only by name. */
    bool (*sniff)(const struct source_input *in);
    /* Fills the builder. 0 or -ERR_VALIDATION with the file and the line. */
    int (*load)(struct build *b, const struct source_input *in, struct err *e);
    bool runs;    /* a program: `load` is called on an empty builder, and what it gives is cached */
    bool no_file; /* what follows "TYPE:" is no path */
    bool is_explicit; /* globs, regexes and -a cover its nodes even where no -i names it */
};
extern const struct inventory_source_ops source_muster, source_bolt, source_ssh_config,
    source_hosts, source_localhost, source_ansible, source_command, source_script,
    source_clustershell, source_nodeset, source_genders;

/* Remembers a file's time, size and inode as they are now: call it before reading. */
void watch_file(struct inventory_watch *w, const char *path);
/* Remembers what a glob(3) pattern finds now. */
void watch_glob(struct inventory_watch *w, const char *pattern);
struct inventory_watch *watch_new(void);

#endif
