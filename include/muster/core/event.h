/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to executions: exec emits these into a sink, service plugs the store's writer in.
 * So exec and store never see each other. */
#ifndef MUSTER_CORE_EVENT_H
#define MUSTER_CORE_EVENT_H

#include "muster/core/state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum event_kind {
    EVENT_CLAIM,  /* a slot is free for this execution: may it run? Answered after the commit */
    EVENT_OUTPUT, /* bytes of one stream, in order, within the cap */
    EVENT_PROGRESS, /* a copy: bytes so far; not more often than every 250 ms */
    EVENT_FINISH, /* it has ended; the output's last bytes come with it */
    EVENT_SKIP    /* of the batch: what waits is not started any more, for the reason in `error` */
};

struct event {
    enum event_kind kind;
    int64_t batch;
    uint32_t position;
    /* Of a plan: the step that this is about, from 1; 0: no plan. A FINISH that is not `last` ends the
     * step alone: the execution goes on. A CLAIM of a later step than the node's first is granted while
     * the execution runs and its batch is not cancelled. */
    unsigned step;
    bool last;

    /* OUTPUT: data/len[stream]. FINISH: the last bytes of both, each may be empty. Owned. */
    char *data[2];
    size_t len[2];

    uint64_t bytes_done, bytes_total; /* PROGRESS; total 0: not known */

    /* CLAIM: start on the wall clock. FINISH: end, and the duration on the monotonic clock. */
    int64_t wall_ms, duration_ms;

    /* FINISH only */
    enum exec_status status; /* EXEC_SUCCESS or EXEC_FAILED */
    enum reason reason;
    char *error; /* owned, or NULL */
    char *note;  /* why it went another way than usual, or NULL; owned */
    unsigned attempts;
    char *transport, *host, *user; /* owned, or NULL */
    int port;
    enum remote_process remote;
    int exit_code; /* -1: none */
    char *signal;  /* owned, or NULL */
    bool truncated[2];
    char *facts;   /* what was learned about the node: the text of a JSON object, owned, or NULL */
};
struct event *event_new(enum event_kind kind, int64_t batch, uint32_t position);
void event_free(struct event *ev); /* and what it owns; NULL allowed */
size_t event_weight(const struct event *ev); /* bytes held, for queue bounds */

/* Where events go. emit never blocks and may be called by any reactor thread. It returns true and
 * takes the event over, or false when an OUTPUT must wait (the session is then paused and tries
 * again within 20 ms). CLAIM and FINISH are always taken. */
struct event_sink {
    bool (*emit)(void *ctx, struct event *ev);
    void *ctx;
};

#endif
