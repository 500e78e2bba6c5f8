/* SPDX-License-Identifier: Apache-2.0 */
/* How a node would be reached, and, on demand, what came of trying: with an engine of its own, and
 * nothing written to the database. Main thread; blocks. */
#ifndef MUSTER_SERVICE_EXPLAIN_H
#define MUSTER_SERVICE_EXPLAIN_H

#include "muster/exec/explain.h"

#include <stdint.h>

struct batch_request;
struct err;
struct json;
struct service;

struct explain_stage {
    int64_t ms; /* since the start */
    char *text; /* raw */
};

struct explain_answer {
    char *node;
    bool known;         /* some inventory has it */
    struct explain how;
    char *not_used;     /* what an inventory says of it and is not followed, for people; or NULL */
    /* Where it was tried: */
    bool tried, reached;
    struct explain_stage *stages;
    size_t n_stages, cap_stages;
    enum reason reason; /* REASON_NONE: it was reached */
    char *outcome;      /* for people */
    char *transport;    /* that it came to */
    int64_t duration_ms;
};

/* How it is tried. wait(ctx) is called, again and again until there is an outcome: it waits for
 * service_wake_fd(), or for what the user types in answer to a question of service_question(). */
struct explain_trial {
    void (*wait)(void *ctx);
    void *ctx;
};
/* r: the flags of a run (request_options); what it would run is not looked at. trial NULL: it is not
 * tried. 0; -ERR_VALIDATION when the inventory or a name is broken; -ERR_INTERNAL. */
int service_explain(struct service *s, const char *node, const struct batch_request *r,
                    const struct explain_trial *trial, struct explain_answer *out, struct err *e);
void explain_answer_clear(struct explain_answer *a);
/* all: the settings that are only OpenSSH's defaults too. Caller frees. */
struct json *explain_answer_json(const struct explain_answer *a, bool all);

#endif
