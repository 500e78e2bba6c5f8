/* SPDX-License-Identifier: Apache-2.0 */
/* An engine on a virtual clock with the fake transport, and a small model of the store that answers
 * its claims and checks every event as it comes. */
#ifndef MUSTER_TEST_EXEC_SIM_H
#define MUSTER_TEST_EXEC_SIM_H

#include "muster/base/clock.h"
#include "muster/core/event.h"
#include "muster/exec/engine.h"

#define MAX_OUTPUT 200000
#define COMMAND_MS 20000
#define GRACE_MS 2000
#define RETRIES 2

struct row {
    enum { ROW_QUEUED, ROW_DROPPED, ROW_RUNNING, ROW_ENDED } state;
    bool claimed; /* asked, not answered */
    size_t got[2];
    struct event *end;
};

struct model_batch {
    unsigned n, fanout, next_claim, in_slots;
    bool cancelled;
    struct row *rows;
};

struct sim {
    struct engine *engine;
    struct clock_virtual clock;
    uint64_t seed, random;
    int only;
    size_t fanout, in_slots, most_in_slots;
    unsigned n_batches, refuse_percent;
    struct model_batch batches[64]; /* numbers from 1 */
    struct claim {
        int64_t batch;
        uint32_t position;
    } *claims; /* not answered yet */
    size_t n_claims, cap_claims, refusals;
};

/* only: of fake_plan */
void sim_start(struct sim *sim, uint64_t seed, int only, size_t fanout);
/* The next batch; its nodes are named n0, n1, .. */
void sim_submit(struct sim *sim, unsigned n, unsigned fanout, bool live);
void sim_answer(struct sim *sim, size_t most);     /* up to so many claims, in order */
void sim_run(struct sim *sim);                     /* until nothing is left */
void sim_run_until(struct sim *sim, int64_t at);   /* the clock stands at or after `at` */
void sim_cancel(struct sim *sim, unsigned batch);  /* as the store and the service do; from 0 */
void sim_end(struct sim *sim);                     /* everything must have ended */
unsigned sim_pick(struct sim *sim, unsigned below); /* at random, from the seed */

#endif
