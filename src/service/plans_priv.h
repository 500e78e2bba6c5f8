/* SPDX-License-Identifier: Apache-2.0 */
/* What the controller of plans keeps of a batch, and the submissions it makes of it. */
#ifndef MUSTER_SRC_SERVICE_PLANS_PRIV_H
#define MUSTER_SRC_SERVICE_PLANS_PRIV_H

#include "plans.h"

#include "muster/base/strbuf.h"

#include <pthread.h>

enum node_state {
    NODE_NEW,     /* waits in the engine for its first step */
    NODE_QUEUED,  /* for a later one */
    NODE_CLAIMED, /* a claim is on its way */
    NODE_ACTIVE,
    NODE_BETWEEN, /* a step's end is on its way to the store, another follows */
    NODE_ENDING,  /* so is its last */
    NODE_DONE
};

struct plan_node {
    enum node_state state;
    size_t step;
    struct settings base, over;
    unsigned key;
    char *fault;           /* why the step cannot run, or NULL */
    struct json *results;
    struct strbuf out[2];  /* of a step whose result is kept */
    bool gathers;
};

/* Copies of what the request has for every step, and its nodes. */
struct plan_batch {
    int64_t number;
    struct plan_run *run;
    struct plan_node *nodes;
    size_t left; /* not done */
    bool cancelled;
    char *stopped; /* on_failure: why nothing more begins, or NULL */
    unsigned fanout, retries, limit, per_key;
    uint64_t max_output, max_pull;
    bool live;
    char *ssh_config, *chdir;
    bool has_options;
    struct strv ssh_options, env;
    struct secret *password, *become_password;
};

struct plans {
    struct service *service;
    pthread_mutex_t lock;
    struct plan_batch **v; /* under the lock, with all they hold */
    size_t n, cap;
    bool leaving;
};

/* --- submissions (plan_send.c) --- */

/* One step of some nodes, with copies of all that the engine takes. */
struct outgoing;
/* Under the lock. The nodes are all at that step; what depends on results is of one node alone. Faults
 * are kept with the nodes. */
struct outgoing *outgoing_make(struct plan_batch *b, const uint32_t *positions, size_t n, bool later);
/* Without the lock. False: the engine has refused it. Frees it. */
bool outgoing_send(struct plans *g, struct outgoing *o);

#endif
