/* SPDX-License-Identifier: Apache-2.0 */
/* The engine: a FIFO queue over batches, a concurrency limit, reactors that run sessions, helpers
 * for what blocks. It knows no store: it asks its sink to claim an execution, runs it only after
 * engine_claimed(), and emits output and the end into the sink.
 *
 * Threads: any thread may call the functions below. Events leave on reactor threads, or on the
 * caller's; the sink must not call back into the engine from emit() (engine_claimed comes later,
 * from the writer's thread). */
#ifndef MUSTER_EXEC_ENGINE_H
#define MUSTER_EXEC_ENGINE_H

#include "muster/base/vec.h"
#include "muster/core/event.h"
#include "muster/core/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct asker;
struct copy_files;
struct err;
struct engine;
struct keyring;
struct mclock;
struct secret;
struct transport_ops;

struct engine_config {
    unsigned fanout;    /* executions at once over all batches; 1 to FANOUT_MAX */
    unsigned max_queue; /* executions that may wait */
    unsigned reactors;  /* 0: min(cores, 4). The simulation uses engine_sim_* with one */
    unsigned handshakes_per_server; /* in progress for each address and port; 0: 8 */
    unsigned handshakes_in_all;     /* 0: 128 */
    int64_t stop_grace_ms;          /* between TERM and KILL; 0: 2000 */
    uint64_t seed;                  /* of the retry jitter; 0: random */
    const struct mclock *clock;     /* NULL: the system's */
    struct asker *asker;            /* for questions to the user (exec/ask.h), or NULL: none is asked */
    /* An engine inside another: it asks for no claims, has no limit of what waits, and leaves the
     * limit of open files alone. shared_ctx is for transport_ops.shared_new, NULL elsewhere. */
    bool inner;
    void *shared_ctx;
    struct keyring *keyring; /* the engine's own, for transport_ops.shared_new; NULL elsewhere */
    /* NULL-terminated; must live as long as the process: work that was left behind may use them.
     * NULL: those of engine_transports(). */
    const struct transport_ops *const *transports;
};

/* A batch may be submitted in parts, each with positions of its own, and in steps that come one after
 * the other on each node: their numbers differ in what is above this mask, and events carry it. Every
 * function below that takes a batch means all of its parts and steps. */
#define ENGINE_STEP_SHIFT 40
#define ENGINE_BATCH_MASK (((int64_t) 1 << ENGINE_STEP_SHIFT) - 1)

/* What runs on every node of a batch. What the parts of a batch share (fanout, steps, dispatch_limit,
 * per_key) is taken from the first. */
struct engine_batch {
    int64_t number;      /* batch | step << ENGINE_STEP_SHIFT */
    /* Its nodes come again, with later steps: from its first claim a node keeps its place in the fanout
     * and its key's until engine_leave, the batch its state until engine_steps_over. */
    bool steps;
    bool later;          /* a step of nodes that have begun: no room was reserved, no limit holds it back */
    const char *command; /* the user's line, exact */
    unsigned fanout;     /* of this batch; 0: the engine's */
    uint64_t max_output; /* bytes a stream */
    unsigned retries;    /* before the command can have started */
    /* What may run twice, and waits for something: so long (from the start of an execution) it is begun
     * again when a node cannot be reached, refuses the login, is lost, or the command ends with
     * ENGINE_NOT_YET, by a signal or by its time limit (a minute, where none is set). What such a try has
     * printed is dropped; one whose output was too large to be held back is the last. Its place in the
     * fanout stays taken between tries. 0: never. */
    int64_t retry_for_ms;
    bool live;           /* emit OUTPUT while it runs (else only large outputs come in chunks) */
    const char *ssh_config;      /* -F, or NULL */
    const struct strv *ssh_options; /* -o KEY=VALUE as given, or NULL */
    const struct strv *env;         /* NAME=VALUE for the command, or NULL */
    const char *chdir;              /* where it runs, or NULL; ~ and ~/x are the user's home there */
    bool pty;                       /* give it a terminal: one stream, CR LF */
    bool raw;                       /* the line goes as it is: no token, no export, no become, no input */
    /* What it reads: a file by name (%n %h %u %% filled in for each node), or a seekable descriptor
     * that each node reads from its start (duplicated here; 0: none). Both unset: nothing. */
    const char *stdin_path;
    int stdin_fd;
    struct secret *input_secret;    /* before it: a line with this; a reference is taken */
    bool progress;                  /* emit EVENT_PROGRESS for what was fed to it */
    /* What the command copies (exec/copy.h), for servers that run no commands; a reference is taken.
     * NULL: it is no copy. */
    const struct copy_files *copy;
    struct secret *password;        /* -A: for the login; NULL: never asked for. References are taken */
    struct secret *become_password; /* -K: for sudo, su or doas on the node */
    /* Called at each stage of connecting (explain --connect), on a reactor's thread; or NULL. text is
     * one line; ms since the start of the execution. */
    void (*trace)(void *ctx, const char *node, int64_t ms, const char *text);
    void *trace_ctx;
    unsigned dispatch_limit;        /* positions before this one may start; 0: all */
    unsigned per_key;               /* so many of each engine_job.key at once; 0: no limit */
};

#define ENGINE_NOT_YET 75 /* EX_TEMPFAIL */

/* One execution. `base` lies under ssh_config, `over` (groups, node, then flags) over it. */
struct engine_job {
    uint32_t position;
    const char *node;
    const struct settings *base, *over;
    unsigned key; /* jobs of the same one share engine_batch.per_key; 0: no limit */
    const char *env; /* NAME=VALUE: one more for this node's command, or NULL */
};

/* Files that must be allowed to be open (ulimit -n) for this fanout. */
unsigned long engine_files_needed(unsigned fanout);
struct engine *engine_new(const struct engine_config *cfg, const struct event_sink *sink,
                          struct err *e); /* NULL on -ERR_INTERNAL: descriptors, threads */
/* Cancels nothing: call it when idle, or everything still running is torn down without an event.
 * Joins the reactors, and waits for no helper: one that hangs is left behind with all that it
 * uses. No other call may be under way or follow: what answers claims has stopped before (it may
 * still take events: the last ones leave before this returns). NULL allowed. */
void engine_free(struct engine *e);

/* Room for n executions, before anything is written. 0 or -ERR_QUEUE_FULL whose text says how many
 * run, wait, and the limit. Waiting + n - free slots may not pass max_queue. The reservation is
 * used by engine_submit or given back by engine_unreserve. */
int engine_reserve(struct engine *e, size_t n, struct err *err);
void engine_unreserve(struct engine *e, size_t n);
/* Queues a batch (copies everything). Dispatch begins at once: claims go to the sink in order. False
 * for a later step of a batch that was cancelled or is over: it was not queued. */
bool engine_submit(struct engine *e, const struct engine_batch *b, const struct engine_job *jobs,
                   size_t n);
/* The answer to EVENT_CLAIM: granted after the row was committed as running; not granted when the
 * row was no longer queued, and then nothing more is emitted for it: false; or, while dispatch is
 * stopped, the claim is put off and comes again: true. */
bool engine_claimed(struct engine *e, int64_t batch, uint32_t position, bool granted);
/* The claim was granted, but the caller does it himself: the job is gone without an event, its node keeps
 * its place. False: it was cancelled meanwhile, and its end was emitted. */
bool engine_take(struct engine *e, int64_t batch, uint32_t position);
/* Of a batch with steps: this node does not come again; or none does. */
void engine_leave(struct engine *e, int64_t batch, uint32_t position);
void engine_steps_over(struct engine *e, int64_t batch);
/* Drops what is queued without an event (the store has moved those rows), and stops what runs: TERM,
 * then KILL after the grace time; each ends with REASON_CANCELLED, "Cancelled by user" and what
 * became of the process. Returns how many were running (claimed ones count). */
size_t engine_cancel(struct engine *e, int64_t batch);
/* The stages of a batch: positions before n may start, 0: all. Never takes back what was dispatched. */
void engine_set_limit(struct engine *e, int64_t batch, unsigned n);
/* A paused batch starts nothing more; what is claimed or runs goes on. */
void engine_pause(struct engine *e, int64_t batch, bool on);
/* Drops what is queued without an event (the store moves those rows), what runs goes on, with its later
 * steps. A first claim that is granted after this ends at once: REASON_SKIPPED with this text. */
void engine_drop(struct engine *e, int64_t batch, const char *text);
/* Later steps that wait are dropped without an event: the caller ends their nodes. */
void engine_drop_steps(struct engine *e, int64_t batch);
/* Stops dispatch (the store fails); what runs goes on. A claim that is not granted from now on is put
 * off instead of dropped, and asked for again by engine_resume_dispatch. */
void engine_stop_dispatch(struct engine *e);
void engine_resume_dispatch(struct engine *e);
/* Tears down every session at once; used to leave at once. Each ends with a FINISH: REASON_LOST when
 * its command may have started, else REASON_SKIPPED. */
void engine_abort(struct engine *e);

struct engine_counts {
    size_t queued, claimed, running;
};
void engine_counts(struct engine *e, struct engine_counts *c);

/* The transports of this build (core/settings.h has the table), NULL-terminated. */
const struct transport_ops *const *engine_transports(void);

/* The types of the keys that an agent holds ("ssh-ed25519"). Blocks, with a deadline. 0, or below it
 * with what went wrong. Any thread. */
int engine_agent_types(const char *socket_path, int64_t timeout_ms, struct strv *types,
                       struct err *e);

/* Once in main, before any thread: libssh2_init. 0 or -ERR_INTERNAL. */
int engine_global_init(struct err *e);
/* Of libssh2, the one it runs with; static. */
const char *engine_library_version(void);
/* What is no jump host in a setting `jump` (-J), NULL: it is well written. Caller frees. Any thread. */
char *engine_bad_hop(const char *chain);
/* Whether ssh_config has a keyword of this name, as far as this build knows. Any thread. */
bool engine_knows_ssh_keyword(const char *name);

/* The simulation: with engine_config.clock virtual and reactors == 1, engine_new starts no thread
 * and the caller turns the loop. Returns false when nothing is left to do at any time. */
struct clock_virtual;
struct engine *engine_new_sim(const struct engine_config *cfg, struct clock_virtual *clock,
                              const struct event_sink *sink);
bool engine_sim_turn(struct engine *e); /* runs what is due; else moves the clock to the next timer */

#endif
