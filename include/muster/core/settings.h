/* SPDX-License-Identifier: Apache-2.0 */
/* How a node is reached: one row a setting. Each may be unset, so that several places (inventory
 * defaults, ssh_config, groups, node, flags) merge, the later over the earlier. Pure. */
#ifndef MUSTER_CORE_SETTINGS_H
#define MUSTER_CORE_SETTINGS_H

#include "muster/base/vec.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

/* SETTING(ID, member, key in the inventory, type, help). Types: TEXT (char *), PORT (int, 1-65535,
 * 0 unset), TIME (int64_t ms, -1 unset), PATH (char *, ~ allowed), LIST (struct strv: a list; a
 * later place replaces the whole list). */
#define SETTING_TABLE(SETTING)                                                                 \
    SETTING(HOST, host, "host", TEXT, "name or address to connect to (%n is the node's name)") \
    SETTING(PORT, port, "port", PORT, "TCP port")                                              \
    SETTING(USER, user, "user", TEXT, "login name on the node")                                \
    SETTING(IDENTITY, identity, "identity", LIST, "private key files")                         \
    SETTING(TRANSPORT, transport, "transport", TEXT, "ssh, openssh, local or exec")            \
    SETTING(KNOWN_HOSTS, known_hosts, "known_hosts", LIST, "known_hosts files")                \
    SETTING(STRICT, strict_host_key, "strict_host_key", TEXT, "yes or accept-new")             \
    SETTING(CONNECT_TIMEOUT, connect_timeout_ms, "connect_timeout", TIME, "seconds to connect") \
    SETTING(COMMAND_TIMEOUT, command_timeout_ms, "command_timeout", TIME, "seconds to run")    \
    SETTING(JUMP, jump, "jump", TEXT, "jump hosts, as ssh -J has them; none: no jump")         \
    SETTING(EXEC, exec, "exec", TEXT, "command template of the transport exec")                \
    SETTING(BECOME, become, "become", TEXT, "sudo, su, doas or none: who runs the command")    \
    SETTING(BECOME_USER, become_user, "become_user", TEXT, "the user to become (root)")

/* TRANSPORT(ID, name, help). The first is the default. */
#define TRANSPORT_TABLE(TRANSPORT)                                                             \
    TRANSPORT(SSH, "ssh", "libssh2, in the process; what it cannot do goes to openssh")        \
    TRANSPORT(OPENSSH, "openssh", "the system's ssh program, one process a node")              \
    TRANSPORT(LOCAL, "local", "a process on this machine")                                     \
    TRANSPORT(EXEC, "exec", "a command template of the user's: kubectl, docker, ..")
#define TRANSPORT_CHOICES "ssh|openssh|local|exec"

/* BECOME(ID, name, help): how another user is become on the node. */
#define BECOME_TABLE(BECOME)                                                                   \
    BECOME(NONE, "none", "the login user runs the command")                                    \
    BECOME(SUDO, "sudo", "sudo -u USER")                                                       \
    BECOME(SU, "su", "su USER")                                                                \
    BECOME(DOAS, "doas", "doas -u USER")
#define BECOME_CHOICES "sudo|su|doas|none"

enum become_method {
#define BECOME(id, name, help) BECOME_##id,
    BECOME_TABLE(BECOME)
#undef BECOME
        BECOME_COUNT
};
int become_parse(const char *name); /* enum become_method, or -1 */
const char *become_name(enum become_method m);
bool transport_known(const char *name);

enum setting_id {
#define SETTING(id, member, key, type, help) SETTING_##id,
    SETTING_TABLE(SETTING)
#undef SETTING
        SETTING_COUNT
};

enum setting_type { SETTING_TYPE_TEXT, SETTING_TYPE_PORT, SETTING_TYPE_TIME, SETTING_TYPE_PATH,
                    SETTING_TYPE_LIST };

struct settings {
    char *host;
    int port; /* 0: unset */
    char *user;
    struct strv identity;
    char *transport;
    struct strv known_hosts;
    char *strict_host_key;
    int64_t connect_timeout_ms, command_timeout_ms; /* -1: unset; 0: no limit (command only) */
    char *jump, *exec, *become, *become_user;
};

void settings_init(struct settings *s);
void settings_clear(struct settings *s); /* frees; leaves it as after init; twice is allowed */
/* Lays `over` on `s`: what over sets replaces. Copies. */
void settings_merge(struct settings *s, const struct settings *over);
/* The same for flags, but their key files add to those of s, and come first. */
void settings_merge_flags(struct settings *s, const struct settings *flags);
const char *setting_key(enum setting_id id);
enum setting_type setting_type(enum setting_id id);
int setting_find(const char *key); /* enum setting_id, or -1 */
/* Sets one from text, checking type and range (a LIST takes one value a call and appends). 0 or
 * -ERR_VALIDATION with the key, the value and what is allowed. */
int setting_set(struct settings *s, enum setting_id id, const char *value, struct err *e);
/* As text for people ("" when unset); caller frees. */
char *setting_get(const struct settings *s, enum setting_id id);
/* The values of one of type LIST; valid until s changes. */
const struct strv *setting_list(const struct settings *s, enum setting_id id);
bool setting_is_set(const struct settings *s, enum setting_id id);

#endif
