/* SPDX-License-Identifier: Apache-2.0 */
/* Batches and executions as values: what the store reads back and every face shows. Pure. */
#ifndef MUSTER_CORE_BATCH_H
#define MUSTER_CORE_BATCH_H

#include "muster/base/vec.h"
#include "muster/core/state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ACTION(ID, name in store and JSON, what the action text is) */
#define ACTION_TYPE_TABLE(ACTION)                                                              \
    ACTION(COMMAND, "command", "a shell line")                                                 \
    ACTION(TASK, "task", "a task with its parameters; push and pull are built in")             \
    ACTION(PLAN, "plan", "steps on each node, in order")

enum action_type {
#define ACTION(id, name, help) ACTION_TYPE_##id,
    ACTION_TYPE_TABLE(ACTION)
#undef ACTION
        ACTION_TYPE_COUNT
};
const char *action_type_name(enum action_type t);
int action_type_parse(const char *name); /* -1: none */

/* LIMIT: a command is at most this long: a shell gets it as one argument, and Linux takes no longer
 * ones than 128 KiB. */
#define COMMAND_MAX 120000
#define BATCH_TARGETS_MAX 10000 /* targets a batch */
#define FANOUT_DEFAULT 64
#define FANOUT_MAX 10000
#define QUEUE_MAX_DEFAULT 10000
#define OUTPUT_MAX_DEFAULT ((uint64_t) 10 << 20) /* bytes a stream */
#define CONNECT_TIMEOUT_DEFAULT_MS 15000
#define RETRIES_DEFAULT 2

/* The process that runs a batch, as another process sees it. */
enum owner_state {
    OWNER_NONE,  /* the batch has ended */
    OWNER_SELF,  /* this process */
    OWNER_ALIVE, /* another one, alive on this host */
    OWNER_OTHER_HOST,
    OWNER_DEAD /* will be settled by the next process that writes */
};

struct batch {
    int64_t number; /* short, from 1 */
    char id[37];    /* UUID */
    enum action_type type;
    char *action;             /* the command line, exact */
    char *parameters;         /* a JSON object: the options of the run that matter again for rerun */
    struct strv target_groups;
    char *targets;            /* the node set, folded, for people; at most 4 KiB, then ",..." */
    enum batch_status status;
    int64_t created_ms, started_ms, completed_ms; /* wall clock; 0: not yet */
    char *user_id;            /* login name */
    char *label;              /* or NULL */
    int64_t rerun_of;         /* number, 0: none */
    bool single;              /* one node */
    bool is_copy;             /* a task that is muster's own push or pull */
    unsigned n_steps;         /* of a plan; else 0 */
    struct strv step_titles;  /* n_steps of them, for people */
    unsigned fanout;
    bool cancel_requested;
    bool paused; /* nothing more of it is started; only while it runs */
    struct strv warnings;
    struct batch_stats stats;
    enum owner_state owner;
    char *owner_text; /* "pid 1234 on host", or NULL */
};
void batch_clear(struct batch *b); /* frees what it holds and zeroes it */
/* From the first start to the last end (or to now while it runs); -1 before the first start. */
int64_t batch_duration_ms(const struct batch *b, int64_t now_wall_ms);

struct execution {
    int64_t batch;     /* number */
    uint32_t position; /* place in the batch, from 0: target order */
    char *node;        /* merged node name: nodeId and nodeName */
    enum exec_status status;
    enum reason reason;
    char *error; /* text for people, one line, or NULL */
    char *note;  /* why it went another way than usual: "openssh, because ..", or NULL */
    int64_t started_ms, completed_ms; /* wall clock; 0: not yet */
    int64_t duration_ms;              /* -1: not yet; measured on the monotonic clock */
    unsigned attempts;
    char *transport, *host, *user; /* as used; NULL before it started */
    int port;                      /* 0: none */
    enum remote_process remote;
    int exit_code;   /* -1: none */
    char *signal;    /* "TERM", or NULL */
    int64_t out_id[2];    /* output ids of stdout and stderr in the store; 0: empty */
    uint64_t out_size[2]; /* bytes kept */
    bool truncated[2];    /* more came than was kept */
    int64_t finished_seq; /* 1, 2, .. in the order of the ends within the batch; 0: not yet */
    uint64_t bytes_done, bytes_total; /* of a copy; total 0: it is none, or not known yet */
    unsigned step; /* of a plan: the one it is at, or ended at, from 1; 0: none begun, or no plan */
};
void execution_clear(struct execution *x);

/* One step of a plan on one node. Those before the first that ran, and those after the last, have no
 * row. */
struct step_run {
    unsigned step; /* from 1 */
    enum exec_status status; /* never QUEUED */
    enum reason reason;
    char *error, *note; /* or NULL */
    int64_t started_ms, completed_ms, duration_ms; /* as in struct execution */
    enum remote_process remote;
    int exit_code;
    char *signal;
    int64_t out_id[2];
    uint64_t out_size[2];
    bool truncated[2];
};
void step_runs_free(struct step_run *v, size_t n);
/* How far the nodes of a plan are with one step. */
struct step_stats {
    unsigned step; /* from 1 */
    uint32_t running, success, failed;
    uint32_t stopped; /* cancelled or skipped there: by no fault of the node's */
};
/* "11.8 MiB of 50 MiB"; buf at least 64 bytes. Returns buf. */
char *bytes_progress(uint64_t done, uint64_t total, char *buf);
int64_t execution_duration_ms(const struct execution *x, int64_t now_wall_ms);
/* "UUID-POSITION", position from 1 with at least 4 digits; buf of 64 bytes. Returns buf. */
char *execution_id(const char *batch_id, uint32_t position, char *buf);

enum { STREAM_STDOUT = 0, STREAM_STDERR = 1 };

#endif
