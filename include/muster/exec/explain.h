/* SPDX-License-Identifier: Apache-2.0 */
/* How a host would be reached, setting by setting, without connecting. It runs `ssh -G`, reads
 * known_hosts and keys, asks the agent for its list and the resolver for the address: it blocks. */
#ifndef MUSTER_EXEC_EXPLAIN_H
#define MUSTER_EXEC_EXPLAIN_H

#include "muster/base/vec.h"
#include "muster/core/settings.h"
#include "muster/core/state.h"

#include <stdbool.h>
#include <stddef.h>

/* VERDICT(ID, name): what becomes of a setting. */
#define VERDICT_TABLE(VERDICT)                                                                 \
    VERDICT(HONOURED, "honoured")                                                              \
    VERDICT(OVERRIDDEN, "overridden")   /* a stronger place says otherwise */                  \
    VERDICT(OPENSSH, "openssh")         /* the reason for that transport */                    \
    VERDICT(REFUSED, "refused")                                                                \
    VERDICT(LEFT_OUT, "left out")                                                              \
    VERDICT(SAME, "no difference")                                                             \
    VERDICT(UNKNOWN, "not known")

enum verdict {
#define VERDICT(id, name) VERDICT_##id,
    VERDICT_TABLE(VERDICT)
#undef VERDICT
        VERDICT_COUNT
};
const char *verdict_name(enum verdict v);

/* All strings are owned, and raw: sanitise what is shown. */
struct explain_row {
    char *keyword, *value;
    char *source; /* "flag", "node or group", "FILE:LINE", "inventory defaults", "OpenSSH" */
    enum verdict verdict;
    char *note;   /* why, or NULL */
    bool set;     /* somebody has set it */
};

/* A jump host, in the order in which they are passed. */
struct explain_hop {
    char *host, *user, *address; /* address NULL: it is looked up on the hop before it, or not at all */
    int port;
    char *error; /* why it would not do, or why the transport is openssh; or NULL */
};

struct explain {
    char *host, *user, *address, *jump; /* NULL: not known, or none */
    int port;
    char *transport;
    char *why;            /* that transport, or NULL: it is the usual one */
    enum reason failed;   /* it cannot be reached like this, or REASON_NONE */
    char *error;
    struct explain_hop *hops;
    size_t n_hops, cap_hops;
    struct strv known;    /* "FILE:LINE TYPE"; empty: the host key is unknown */
    struct strv unread;   /* known_hosts files that cannot be read, and why */
    struct strv offered;  /* keys, in order */
    struct strv passed_over; /* keys that are not offered, and why */
    struct explain_row *rows;
    size_t n, cap;
};

struct explain_query {
    const char *node;
    const struct settings *base; /* inventory defaults */
    const struct settings *over; /* groups and node */
    const struct settings *flags;
    const char *ssh_config;      /* -F, or NULL */
    const struct strv *ssh_options;
};

/* Never fails: what cannot be told stands in `error`. */
void engine_explain(const struct explain_query *q, struct explain *out);
void explain_clear(struct explain *x);

#endif
