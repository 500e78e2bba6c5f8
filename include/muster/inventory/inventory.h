/* SPDX-License-Identifier: Apache-2.0 */
/* Inventories: reads every source, merges them by node name into one fleet (core/fleet.h), and
 * tells when a file that was read has changed since.
 *
 * Sources, in the order they are asked: the files of -i, or else those of MUSTER_INVENTORY, or else
 * the default inventory.yaml and what else lies in the usual places; then the user's ssh_config; then
 * localhost. A later file's settings go over an earlier one's. Reads files and the environment and
 * runs programs, so it may block: call it from any thread but one that must not wait; calls share
 * nothing but the copies in the cache folder. */
#ifndef MUSTER_INVENTORY_INVENTORY_H
#define MUSTER_INVENTORY_INVENTORY_H

#include "muster/base/vec.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct fleet;
struct inventory_watch; /* the files that one load read or looked for; a value, any thread */

struct inventory_options {
    struct strv files;      /* -i, each "PATH" or "TYPE:PATH"; any replaces the default ones */
    const char *ssh_config; /* NULL: ~/.ssh/config; "none": no such source; -F gives another */
    const char *config_dir; /* where inventory.yaml lives; NULL: io_config_dir() */
    const char *etc_dir;    /* where others keep their inventories; NULL: /etc */
    const char *cache_dir;  /* of what programs gave; NULL: $XDG_CACHE_HOME/muster/inventory */
    int64_t ttl_ms;         /* how long that serves; 0: INVENTORY_TTL_MS */
    bool refresh;           /* run all programs now */
};
#define INVENTORY_OPTIONS_INIT {.files = STRV_INIT}
#define INVENTORY_TTL_MS 300000

/* Builds the fleet. 0, or -ERR_VALIDATION with file, line, what is wrong and what is allowed, when
 * a file (named, or the default one) is broken, a group lists an unknown group, or groups form a
 * cycle. A broken ssh_config only marks its source SOURCE_FAILED. The caller frees *out with
 * fleet_free() and *watch (set also on an error; may be NULL when not wanted) with
 * inventory_watch_free(). */
int inventory_load(const struct inventory_options *opts, struct fleet **out,
                   struct inventory_watch **watch, struct err *e);

/* Whether any file of that load has another time, size or inode now, has come or gone, or an
 * Include finds other files. Costs one stat(2) a file. */
bool inventory_changed(const struct inventory_watch *w);
void inventory_watch_free(struct inventory_watch *w); /* NULL allowed */

/* Starts `program nodes --refresh --sources -i FILE..` on its own: it writes the copies anew,
 * which inventory_changed() then sees. */
void inventory_refresh(const struct inventory_options *opts, const char *program);

/* The names of the source types that -i may give. */
#define INVENTORY_TYPES                                                                         \
    "muster, bolt, ansible, script, command, clustershell, nodeset, genders, ssh_config, hosts"

#endif
