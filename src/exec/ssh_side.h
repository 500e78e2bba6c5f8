/* SPDX-License-Identifier: Apache-2.0 */
/* A small engine inside the engine, for connections that are no execution: those to jump hosts, and
 * a second connection to a node whose server grants one session a connection, to stop a process
 * there. It is made at first use, shares the caches and the asker, and goes with the engine.
 *
 * Threads: side_submit() any; done() is called on the side engine's reactor thread, exactly once for
 * each submit, unless the whole engine goes before: then drop(ctx) is called instead. */
#ifndef MUSTER_EXEC_SSH_SIDE_H
#define MUSTER_EXEC_SSH_SIDE_H

#include "muster/exec/engine.h"

struct event;
struct side;
struct ssh_shared;
struct transport_ops;

/* job->over's transport: "ssh" runs b->command (b->raw: as it is); "carrier" is the jump host's. The
 * engine of the side takes what it needs as copies. b->number is kept for the log only. -ERR_INTERNAL
 * when it cannot be started (descriptors, threads). */
int side_submit(struct ssh_shared *shared, const struct engine_batch *b,
                const struct engine_job *job, void (*done)(void *ctx, const struct event *finish),
                void (*drop)(void *ctx), void *ctx, struct err *e);

/* --- ssh_shared.c --- */

/* cfg: of the engine around it. */
struct side *side_new(struct ssh_shared *shared, const struct engine_config *cfg);
/* The engine around it has no session any more: tears down what runs, and waits for its threads. */
void side_stop(struct side *side);
void side_free(struct side *side); /* stopped; NULL allowed */

/* The transports of the side: the ssh transport, and a connection to a jump host that stays. */
extern const struct transport_ops transport_ssh_side;
extern const struct transport_ops transport_carrier;

#endif
