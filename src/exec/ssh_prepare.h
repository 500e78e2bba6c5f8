/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that must be known before connecting: which address, as whom, with which keys, and
 * which host keys are trusted. One helper thread works it out for each attempt; before and after
 * that it belongs to the reactor. */
#ifndef MUSTER_EXEC_SSH_PREPARE_H
#define MUSTER_EXEC_SSH_PREPARE_H

#include "ssh_conf.h"
#include "ssh_hosts.h"
#include "ssh_kex.h"

#include "muster/core/settings.h"
#include "muster/core/state.h"

#include <stdbool.h>
#include <stdint.h>

struct addrinfo;
struct help;
struct session;
struct ssh_key;
struct ssh_shared;

#define OFFERED_MAX 5 /* servers count what is offered (MaxAuthTries) */

/* A key that may be offered. */
struct candidate {
    uint8_t *blob;
    size_t blob_len;
    const char *alg;     /* of an RSA key's signature; NULL: the key has but one; static */
    uint8_t *wire; /* as it is offered by that name; NULL: not yet, or as blob */
    size_t wire_len;
    struct ssh_key *key; /* NULL: the agent signs; a locked one is opened when the server takes it */
    char *label;         /* "agent ed25519 SHA256:...", "/home/ops/.ssh/id_ecdsa" */
};

struct prepared {
    /* what it starts from: copies */
    struct ssh_shared *shared;
    char *node, *config;
    struct settings base, over;
    struct strv options;
    int64_t batch;
    struct help *help; /* while the work is done */

    /* why it ends here, when it does */
    enum reason failed;
    bool retry;
    char *error;
    char *fallback; /* why only ssh itself can do this: the transport openssh takes over; or NULL */

    struct ssh_conf *conf;
    struct conf_tokens tokens; /* points into the strings below */
    char *host;                /* as ssh would be given it */
    char *hostname, *user, *key_alias;
    int port;
    int64_t connect_ms; /* from ssh_config; -1: none */
    char *jump;          /* jump hosts, parted by commas; NULL: none */
    char *proxy_command; /* filled in; NULL: none */
    struct addrinfo *addrs; /* NULL where one of those leads there */

    char *check_name, *plain_name; /* for known_hosts; the latter NULL without a port */
    struct hosts_known known;
    struct hosts_file *revoked; /* RevokedHostKeys; NULL: no such file is named */
    struct strv hosts_files; /* all that were asked, for the text */
    struct strv hosts_unread; /* those that could not be read, and why */
    char *append_to;         /* where accept-new writes; NULL: nowhere */
    enum conf_strict strict;
    char *prefs[KEX_KINDS];

    struct candidate cand[OFFERED_MAX];
    size_t n_cand, max_cand;
    struct strv notes;    /* keys that were passed over, and why */
    struct strv only_ssh; /* those that only ssh itself could offer */
    int agent_keys;       /* how many it listed; -1: it was not asked, or did not answer */
    char *agent_path;
    int64_t agent_ms; /* how long the agent may take */
    struct strv env;  /* NAME=VALUE, to send before the command */
};

/* What it starts from; copied. */
struct prepare_query {
    const char *node, *config;   /* config: -F, or NULL */
    const struct strv *options;  /* -o, or NULL */
    const struct settings *base, *over;
};
struct prepared *prepared_for(struct ssh_shared *shared, const struct prepare_query *q);
struct prepared *prepared_new(struct session *s, struct ssh_shared *shared);
void prepared_free(void *arg); /* struct prepared *; NULL allowed */
void prepare_work(void *arg, struct help *help); /* on a helper thread */

/* How long an attempt to connect may take, as far as that is known by now. */
int64_t prepare_limit_ms(const struct prepared *p);

/* Parts of it: ssh_pick.c, ssh_env.c. */
/* The first `own` are offered before all that the agent has; explicit_keys: somebody named these
 * files, so one that is absent is worth a word. */
void prepare_keys(struct prepared *p, const struct strv *list, size_t own, bool explicit_keys);
/* The key files that muster itself adds to those of ssh_config, to be tried first: the flags' or the
 * node's, and the inventory's default unless ssh_config names some (named). None at all where the -o say
 * none. */
void prepare_identities(const struct settings *base, const struct settings *over,
                        const struct strv *options, bool named, struct strv *out);
void prepare_env(struct prepared *p);
/* named: ssh_config has a word on it; by_option: an -o. */
void prepare_route(struct prepared *p, bool named, bool by_option);
/* ssh_control.c: who is behind a socket; SILENT: one that takes connections and says nothing. */
enum control_state { CONTROL_NONE, CONTROL_DEAD, CONTROL_SILENT, CONTROL_LIVE };
enum control_state control_state(const char *path); /* blocks for up to 2 s */
/* ssh_control.c: paths as written; one with a live ControlMaster behind it is for ssh itself. */
char *control_live(const struct strv *paths, const struct conf_tokens *from, const char *jump);
void prepare_control(struct prepared *p, const struct strv *paths);
/* Only ssh itself can do this: ends it as prepare_fail() with REASON_UNSUPPORTED does, and the transport
 * openssh takes over where there is one. */
void prepare_fallback(struct prepared *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Ends it with a reason; keeps the first. */
void prepare_fail(struct prepared *p, enum reason reason, bool retry, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
