/* SPDX-License-Identifier: Apache-2.0 */
/* The service: what muster does, for both faces. It holds the configuration, the fleet, and, once
 * something is to be written or run, the writer and the engine.
 *
 * Threads: every function is for the main thread, unless it says otherwise. Reading is done with a
 * reader of the caller's own (store/reader.h) on service_db_path(). */
#ifndef MUSTER_SERVICE_SERVICE_H
#define MUSTER_SERVICE_SERVICE_H

#include "muster/base/vec.h"
#include "muster/core/batch.h"
#include "muster/core/fleet.h"
#include "muster/core/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct config;
struct nodeset;
struct reader;
struct service;
struct target_set;
struct json;
struct secret;

struct service_options {
    const char *db_path;       /* --db; NULL: MUSTER_DB, else the default */
    const struct strv *task_path;   /* --task-path: looked in first; or NULL */
    const struct strv *inventories; /* -i; NULL or empty: MUSTER_INVENTORY, else the default */
    const char *ssh_config;    /* -F: also the source of ssh_config names; NULL: the user's */
    unsigned engine_fanout;    /* of the engine when it starts; 0: config, else FANOUT_DEFAULT */
    unsigned max_queue;        /* 0: config, else QUEUE_MAX_DEFAULT */
    bool read_only;            /* refuse every change: -ERR_FORBIDDEN */
    bool ephemeral;            /* nodes and database go with this process */
    bool refresh_inventories;  /* run the programs that inventories come from at the first use */
    const char *program;       /* muster itself, to refresh them in the background; NULL: never */
};

/* Reads the configuration; touches neither the inventory nor the database yet. NULL on an error in
 * the configuration (-ERR_VALIDATION). Call service_settle() after it where a database may hold
 * batches of dead processes. */
struct service *service_open(const struct service_options *o, struct err *e);
/* Tears down: what still runs is left as `lost` (running) and `skipped` (queued); so wait with
 * service_idle() first where that is not meant. NULL allowed. */
void service_close(struct service *s);

const struct config *service_config(const struct service *s);
const char *service_db_path(const struct service *s);
const char *service_ssh_config(const struct service *s); /* -F; NULL: the user's */
/* Files that must be allowed to be open (ulimit -n) to run with this fanout. */
unsigned long service_files_needed(unsigned fanout);
/* The types of the keys that an agent holds; 0, or below it when it does not answer in time. */
int service_agent_types(const char *socket_path, int64_t timeout_ms, struct strv *types,
                        struct err *e);
bool service_is_ephemeral(const struct service *s);
/* The fleet, loaded at first use and again when a file behind it has changed; what programs gave is
 * made anew in the background when it is old, and is there at a later call. Valid until the next
 * service_fleet_release. NULL on an error (a broken file that was named), until a file has changed
 * again. Other functions that need the fleet call it too. */
const struct fleet *service_fleet(struct service *s, struct err *e);
/* The fleet as it was last read without an error; NULL: never. Reads nothing. */
const struct fleet *service_fleet_last(const struct service *s);
/* Frees the fleets that others have taken the place of; who never calls it keeps them all. */
void service_fleet_release(struct service *s);
void service_reload(struct service *s); /* the next service_fleet reads everything again */
/* Settles the batches of dead owners, where there are any. 0, also when there is no database, or none
 * that can be read; -ERR_STORE when there are and it cannot be written. */
int service_settle(struct service *s, struct err *e);

/* Becomes readable when something of this process was committed. Drain with service_wake_drain. */
int service_wake_fd(struct service *s);
void service_wake_drain(struct service *s);

/* --- questions while a batch runs --- */

/* A passphrase, a one-time code: what only the user can answer. Harmless text. */
struct user_question {
    uint64_t id; /* 0: none */
    char *about; /* the node; "": the text says all */
    char *text;
    bool echo;   /* what is typed may be seen */
};
/* From before the first batch: this face shows questions. service_wake_fd() tells of new ones. False:
 * every question is declined from now on. */
void service_set_can_ask(struct service *s, bool can);
/* The oldest one that waits. It may go away unanswered. */
bool service_question(struct service *s, struct user_question *out);
/* "web1: Verification code: ": as one line, ready for the answer. Caller frees. */
char *user_question_text(const struct user_question *q);
void user_question_clear(struct user_question *q);
/* NULL: the user declines. The reference stays the caller's. */
void service_answer(struct service *s, uint64_t id, struct secret *answer);

/* --- targets --- */

struct target_request {
    const struct strv *node_ids;  /* names as they are, no expressions; NULL: none */
    const struct strv *group_ids;
    const char *targets;  /* -w; NULL: none */
    const char *exclude;  /* -x */
    struct strv groups;   /* -g: group names, each an '@'-less name or a comma list */
    struct strv exclude_groups; /* -X */
    bool all;             /* -a */
    bool any_host;        /* --any-host (or the config key) */
    bool stdin_taken;
};
/* Evaluates targets (see core/target.h) and unites what they name; then the exclusions go.
 * @BATCH:WHAT goes to the store. Whether the node_ids are known is left to the review. out is left
 * cleared on an error: -ERR_VALIDATION, -ERR_INVALID_NODES, -ERR_NOT_FOUND, -ERR_STORE. An empty result is
 * -ERR_VALIDATION ("no target ..."). */
int service_targets(struct service *s, const struct target_request *t, struct target_set *out,
                    struct err *e);

/* Adds the nodes that an expression means; none is no error. Standard input is not read. */
int service_match(struct service *s, const char *expr, struct nodeset *out, struct err *e);

/* --- create --- */

/* A copy of files: a batch of the type task. */
struct copy_request {
    bool pull;
    struct strv local;  /* push: what is sent; pull: one folder, which gets a folder for each node */
    char *remote;       /* as typed; from the login's folder on; ~/ is the user's home there */
    char *action;       /* the text of the batch: push a.conf /etc/app/ */
    uint64_t max_bytes; /* pull: that a node may send; 0: 1 GiB */
};
/* Names here are taken from the current folder on. 0 or -ERR_VALIDATION. */
int copy_request_make(struct copy_request *c, bool pull, const char *const *local, size_t n,
                      const char *remote, struct err *e);
void copy_request_clear(struct copy_request *c);

/* A batch that is started in stages. As typed; checked by the review. */
struct stage_request {
    unsigned canary;       /* so many nodes first; 0: none */
    int canary_ok;         /* go on when this percentage of them succeeded; -1: a question */
    const char *waves;     /* "1,10%,100%": nodes in all after each, or NULL */
    int64_t pause_ms;      /* between two stages */
    const char *max_fail;  /* "2", "5%": more failures stop the batch; or NULL */
    const char *serial_by; /* "dc", "rack:2", "@a,@b": a variable or groups; or NULL */
    const char *probe;     /* a command for this machine between two stages, or NULL */
    const char *faults;    /* what of these could not even be read: it is refused with that; or NULL */
};

struct plan_run;
struct task_run;
struct work_request; /* service/tasks.h */

struct batch_request {
    enum action_type type;
    const struct copy_request *copy; /* a task is a copy; or NULL */
    struct work_request *work; /* borrowed: or this task, or this plan; or NULL */
    const char *action;           /* the command line, 1 to COMMAND_MAX bytes */
    const char *const *node_ids;  /* direct nodes, in order; duplicates fold */
    size_t n_node_ids;
    const char *const *group_ids; /* groups, expanded after the direct nodes */
    size_t n_group_ids;
    bool expanded; /* node_ids is the whole set already; group_ids are only kept for the record */
    bool any_host;
    const struct strv *warnings;  /* to keep with the batch, or NULL */
    /* The run. 0, NULL or -1: as configured or per node. */
    unsigned fanout;
    struct settings over;         /* the flags: user, port, identity, timeouts, .. */
    int retries;                  /* -1: config */
    uint64_t max_output;          /* 0: config */
    const char *label;
    const char *ssh_config;
    const struct strv *ssh_options;
    const struct strv *env;       /* NAME=VALUE for the command, or NULL */
    const char *chdir;            /* the folder it runs in, or NULL: the login's */
    bool pty;
    /* What it reads: a file (absolute; %n %h %u %% are the node's), or a seekable descriptor, borrowed
     * (0: none), of service_stdin_spool(). */
    const char *stdin_path;
    int stdin_fd;
    bool stdin_lost;              /* a rerun of one whose standard input was not kept */
    /* References, taken over. The become password is sudo's (or su's or doas's), and says sudo where
     * no node or flag says how; so does over.become_user. */
    struct secret *password, *become_password;
    bool wants_password, wants_become_password; /* a rerun: it had one, which was never stored */
    bool live;                    /* output is committed while it runs */
    struct stage_request stages;
    int64_t rerun_of;
    const char *repeats;          /* of a rerun of a whole batch: that one's parameters, or NULL */
    bool confirmed;               /* the user has agreed to what service_review() named */
    size_t expect_count;          /* the targets that were agreed to; 0: not checked */
    /* Called once the batch is written and before anything of it is started; or NULL. */
    void (*on_written)(void *ctx, int64_t number, size_t targets);
    void *on_written_ctx;
};
void batch_request_init(struct batch_request *r);
/* Frees `over` and gives the secrets back: the rest is borrowed. */
void batch_request_clear(struct batch_request *r);
/* One NAME=VALUE. 0 or -ERR_VALIDATION. */
int service_check_env(const char *item, struct err *e);
/* An input file as it was typed: ~ and the current folder filled in. Caller frees. */
char *service_stdin_path(const char *typed);
/* Copies a descriptor to its end into a file without a name. Its descriptor, or -code. */
int service_stdin_spool(int fd, struct err *e);

struct fleet;
/* A line for each inventory of which an old copy serves, since its program failed. */
void service_fleet_warnings(const struct fleet *f, struct strv *warnings);

/* What a request would do, before it is made. */
struct batch_review {
    struct strv nodes;     /* expanded, in order */
    char *folded;          /* whole */
    struct strv groups;    /* groups given by name */
    struct strv warnings;  /* unknown groups, .. */
    struct strv protected_groups; /* protected ones that its nodes are in */
    bool confirm;          /* a `confirm` rule matches the command */
    unsigned fanout;
    char *stages;          /* "in waves of 1, 20, 200; ..", or NULL */
    bool asks;             /* a canary's question will come */
    struct task_run *task; /* for batch_create: the task, .. */
    struct plan_run *plan; /* .. or the plan, made ready; else NULL */
};
/* Validates all (targets known, command not empty, limits, deny rules) and expands; writes nothing.
 * 0, -ERR_VALIDATION, -ERR_INVALID_NODES, -ERR_FORBIDDEN. */
int service_review(struct service *s, const struct batch_request *r, struct batch_review *out,
                   struct err *e);
void batch_review_clear(struct batch_review *r);

struct batch_created {
    int64_t number;
    char id[37];
    size_t target_count;
    struct strv nodes; /* expandedNodeIds, in order */
    struct strv warnings;
};
/* Reviews, reserves room in the queue, writes the batch, submits it. Returns within 200 ms for
 * 10,000 targets, before anything has run to its end. The engine and the writer are started when
 * needed. Errors as service_review, and -ERR_QUEUE_FULL, -ERR_STORE; then nothing is written. */
int batch_create(struct service *s, const struct batch_request *r, struct batch_created *out,
                 struct err *e);
void batch_created_clear(struct batch_created *c);
/* {batchId, number, executionIds, targetCount, expandedNodeIds, warnings}; caller frees. */
struct json *batch_created_json(const struct batch_created *c);

/* --- the rest --- */

struct cancel_answer {
    int64_t number;
    char id[37];
    size_t cancelled; /* queued ones moved and running ones asked to stop */
    bool ended;       /* nothing changed */
    char message[160];
};
/* From this or another process. Returns at once; the processes stop within the grace time. */
int batch_cancel(struct service *s, int64_t number, struct cancel_answer *out, struct err *e);
struct json *cancel_answer_json(const struct cancel_answer *a);
struct pause_answer {
    int64_t number;
    char id[37];
    bool paused, ended; /* ended: nothing changed */
    char message[160];
};
/* From this or another process: nothing more of the batch is started until it is resumed. */
int batch_pause(struct service *s, int64_t number, bool on, struct pause_answer *out, struct err *e);
struct json *pause_answer_json(const struct pause_answer *a);

/* --- stages, of batches of this process --- */

enum stage_state {
    STAGE_RUNNING,
    STAGE_ASKING,  /* the canary's outcome waits for an answer */
    STAGE_PROBING,
    STAGE_WAITING, /* the pause before the next one */
    STAGE_STOPPED  /* for the reason `why` */
};
struct stage_info {
    enum stage_state state;
    unsigned stage, stages;  /* this one, from 1, and how many there are */
    unsigned nodes, total;   /* in all when this one is over; of the batch */
    unsigned success, failed; /* so far, the skipped ones left out */
    int64_t max_fail;        /* -1: none */
    int64_t wait_ms;         /* WAITING: still */
    bool canary;             /* this stage is the canary */
    char why[256];
};
/* False: it is not staged, or not of this process. service_wake_fd() tells of changes. */
bool service_stage(struct service *s, int64_t number, struct stage_info *out);
/* The batch whose canary waits for an answer, or 0. */
int64_t service_stage_question(struct service *s);
void service_stage_answer(struct service *s, int64_t number, bool go_on);

/* Deletes an ended batch. -ERR_NOT_FOUND, -ERR_FORBIDDEN when it still runs, -ERR_STORE. */
int batch_delete(struct service *s, int64_t number, struct err *e);

/* --- saved targets, notes, facts --- */

/* A name is one word: letters, digits, _ - and dots. The expression must be one. -ERR_VALIDATION,
 * -ERR_STORE, -ERR_FORBIDDEN. targets NULL: forgets it (-ERR_NOT_FOUND). */
int service_save_targets(struct service *s, const char *name, const char *targets, struct err *e);
/* On a node of the inventories or of the history, or with NULL on a batch. At most NOTE_MAX bytes. */
int service_note(struct service *s, const char *node, int64_t batch, const char *text, struct err *e);
#define NOTE_MAX 4096

enum rerun_which { RERUN_FAILED, RERUN_SKIPPED, RERUN_ALL, RERUN_REASON };
/* Fills a request for a new batch with the old one's action and options on the chosen nodes (failed
 * means failed without the skipped). What it points to lives in *hold; free it after the create with
 * rerun_hold_free. -ERR_NOT_FOUND; -ERR_VALIDATION when no node is left. */
struct rerun_hold;
struct rerun_options {
    bool expand;     /* the groups that the batch was given, as they are now, instead of its nodes; only
                      * with RERUN_ALL */
    bool from_start; /* a plan: from its first step, not from where each node failed */
    bool inventories; /* with the ones that the batch was given (-i), unless the service was given some */
};
/* Nodes that no inventory has any more are left out, and named in out->warnings; -ERR_INVALID_NODES when
 * none is left. What was never stored is in wants_password, wants_become_password and
 * out->work->secret_names. o NULL: neither. */
int batch_rerun_request(struct service *s, int64_t number, enum rerun_which which,
                        enum reason reason, const struct rerun_options *o,
                        struct batch_request *out, struct rerun_hold **hold, struct err *e);
void rerun_hold_free(struct rerun_hold *h);

/* {batch, notes, executions, progress}. f NULL: all; limit 0: all. Written to fd in pieces, one execution at
 * a time, ended by a newline. `created` (or NULL): its members come first, in the same document. */
struct exec_filter;
int batch_status_write(struct service *s, int64_t number, const struct exec_filter *f, int sort,
                       bool reverse, size_t offset, size_t limit,
                       const struct batch_created *created, int fd, struct err *e);

enum export_format { EXPORT_JSON, EXPORT_CSV };
/* Writes {batch, executions, exportedAt} or CSV to path (never a half file under the final name: a
 * temporary beside it is renamed), or to fd when path is NULL. f NULL: all. The default name is
 * batch-NUMBER-results.csv or .json. */
int batch_export(struct service *s, int64_t number, enum export_format format,
                 const struct exec_filter *f, const char *path, int fd, struct err *e);
/* One execution as a JSON object and a newline, to fd. */
struct execution;
int execution_write(struct reader *r, const char *batch_id, const struct execution *x, int fd,
                    struct err *e);
char *batch_export_name(int64_t number, enum export_format format); /* caller frees */

/* True when nothing of this process is queued, running or uncommitted. */
bool service_idle(struct service *s);
/* Why dispatch has stopped (the store fails), or NULL; it goes on when the store can be written again.
 * Valid until the next call. */
const char *service_trouble(struct service *s);
/* True when dispatch has stopped and nothing runs any more: unless the store recovers, what is queued
 * never starts and what has ended is not on record. */
bool service_stuck(struct service *s);
/* Leaves at once: every session is torn down and committed as lost, queued ones as skipped. */
void service_abort(struct service *s);
/* The same, and commits it; then only _exit(2) may follow. Waits for no helper thread, as
 * service_close does: a name server that hangs must not hold up who wants to leave. */
void service_leave(struct service *s);

#endif
