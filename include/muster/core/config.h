/* SPDX-License-Identifier: Apache-2.0 */
/* The config files: $XDG_CONFIG_HOME/muster/config.yaml (or MUSTER_CONFIG instead of it) over
 * /etc/muster/config.yaml. One row a key; reading, defaults and help are all made from it. A value
 * that does not change once it is loaded; any thread may read it. */
#ifndef MUSTER_CORE_CONFIG_H
#define MUSTER_CORE_CONFIG_H

#include "muster/base/log.h"
#include "muster/base/vec.h"
#include "muster/core/batch.h"

#include <regex.h>
#include <stdbool.h>
#include <stdint.h>

struct err;

/* CONFIG(ID, member, key, type, default, smallest, largest, help). Types: COUNT (unsigned), TIME
 * (int64_t ms), SIZE (uint64_t bytes), TEXT (char *, NULL unset), BOOL, LEVEL (enum log_level),
 * RULES (struct config_rules). Smallest and largest bound COUNT, TIME and SIZE. */
#define CONFIG_TABLE(CONFIG)                                                                   \
    CONFIG(FANOUT, fanout, "fanout", COUNT, FANOUT_DEFAULT, 1, FANOUT_MAX,                     \
           "nodes that run at once")                                                           \
    CONFIG(CONNECT_TIMEOUT, connect_timeout_ms, "connect_timeout", TIME,                       \
           CONNECT_TIMEOUT_DEFAULT_MS, 1, 86400000, "time to connect, over all attempts")      \
    CONFIG(COMMAND_TIMEOUT, command_timeout_ms, "command_timeout", TIME, 0, 0,                 \
           2592000000, "time for the command; 0 is no limit")                                  \
    CONFIG(RETRIES, retries, "retries", COUNT, RETRIES_DEFAULT, 0, 100,                        \
           "further attempts to connect")                                                      \
    CONFIG(MAX_OUTPUT, max_output, "max_output", SIZE, OUTPUT_MAX_DEFAULT, 0,                  \
           (INT64_C(1) << 40), "bytes kept of each stream of a node")                          \
    CONFIG(MAX_QUEUE, max_queue, "max_queue", COUNT, QUEUE_MAX_DEFAULT, 1, 1000000,            \
           "nodes that may wait for a free place")                                             \
    CONFIG(INVENTORY_TTL, inventory_ttl_ms, "inventory_ttl", TIME, 300000, 1000, 86400000,         \
           "how long what an inventory's program printed serves")                              \
    CONFIG(USER, user, "user", TEXT, 0, 0, 0, "login name where nothing else names one")       \
    CONFIG(TASK_PATH, task_path, "task_path", TEXT, 0, 0, 0,                                   \
           "folders of tasks, plans and modules, parted by colons")                            \
    CONFIG(ANY_HOST, any_host, "any_host", BOOL, 0, 0, 0,                                      \
           "take names that no inventory knows, as ssh would")                                 \
    CONFIG(READ_ONLY, read_only, "read_only", BOOL, 0, 0, 0, "refuse to run anything")         \
    CONFIG(LOG_LEVEL, log_level, "log_level", LEVEL, LOG_WARN, 0, 0,                           \
           "error, warn, info, debug or trace")                                                \
    CONFIG(DENY, deny, "deny", RULES, 0, 0, 0,                                                 \
           "regular expressions of commands that are refused")                                 \
    CONFIG(CONFIRM, confirm, "confirm", RULES, 0, 0, 0,                                        \
           "regular expressions of commands that ask before they run")

enum config_id {
#define CONFIG(id, member, key, type, def, low, high, help) CONFIG_##id,
    CONFIG_TABLE(CONFIG)
#undef CONFIG
        CONFIG_COUNT
};

/* Patterns, POSIX extended, found anywhere in a command; ^ and $ also match at its inner lines. */
struct config_rules {
    struct strv patterns;
    regex_t *compiled; /* patterns.n of them */
};

#define CONFIG_TYPE_COUNT unsigned
#define CONFIG_TYPE_TIME int64_t
#define CONFIG_TYPE_SIZE uint64_t
#define CONFIG_TYPE_TEXT char *
#define CONFIG_TYPE_BOOL bool
#define CONFIG_TYPE_LEVEL enum log_level
#define CONFIG_TYPE_RULES struct config_rules

struct config {
#define CONFIG(id, member, key, type, def, low, high, help) CONFIG_TYPE_##type member;
    CONFIG_TABLE(CONFIG)
#undef CONFIG
    bool is_set[CONFIG_COUNT]; /* by a file; else the member holds the default */
    struct strv files;         /* that were read, the weaker first */
};

void config_init(struct config *c); /* the defaults */
/* Reads the files over the defaults; a file that is not there is none, but the one that
 * MUSTER_CONFIG names must be. `deny` and `confirm` of both files add up; of all other keys the
 * later file's stands. 0, or -ERR_VALIDATION with file, line, what is wrong and what is allowed (an
 * unknown key with the nearest known one); *c then holds the defaults. */
int config_load(struct config *c, struct err *e);
/* The same for given files; NULL: none. must_exist is about `user`. */
int config_load_files(struct config *c, const char *system, const char *user, bool must_exist,
                      struct err *e);
void config_clear(struct config *c); /* frees; twice is allowed */

const char *config_level_name(enum log_level level); /* as the files have it */
/* The first pattern that is found in the command, or NULL. */
const char *config_rules_match(const struct config_rules *r, const char *command);


#endif
