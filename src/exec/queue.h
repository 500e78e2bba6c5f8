/* SPDX-License-Identifier: Apache-2.0 */
/* The queue: batches in the order of their coming, the slots of the fanout, what is claimed and
 * what runs. A plain structure, guarded by the engine's lock. */
#ifndef MUSTER_EXEC_QUEUE_H
#define MUSTER_EXEC_QUEUE_H

#include "list.h"

#include "muster/core/settings.h"
#include "muster/exec/engine.h"

/* One execution. Made by queue_add, gone with its batch; its content is freed as it ends. */
struct job {
    struct link link; /* in its batch's list of claimed ones */
    struct run_batch *batch;
    uint32_t position;
    char *node;
    char *env; /* one more variable, or NULL */
    struct settings base, over;
    unsigned reactor; /* that runs it */
    bool held;        /* its claim is put off: among the claimed, but nobody answers */
    bool taken;       /* it waits no more */
    unsigned key;     /* 0: none */
};

/* A node's place in a batch of steps: it has it from its first claim until queue_leave. */
struct place_kept {
    bool in;
    unsigned key;
};

/* What all submissions of a batch share: those whose number differs in the step alone. Gone with the
 * last of them; with steps, once queue_steps_over was called too. */
struct run_group {
    struct link link;
    int64_t number;
    size_t submissions;
    bool steps;      /* its nodes come again, and keep their places in between */
    unsigned fanout; /* 0: no limit of its own */
    size_t limit;    /* only positions before this one may be claimed */
    size_t in;       /* nodes that have a place */
    size_t busy;     /* jobs that are claimed or running */
    struct link claimed;
    bool cancelled, paused;
    char *dropped;   /* why the rest is not started, or NULL */
    unsigned per_key;
    unsigned *in_key; /* places of each key; NULL: there is no such limit */
    size_t n_keys;
    struct place_kept *places; /* by position, with steps */
    size_t n_places;
};

/* A submission, until its last job has ended. All but the fields of the queue stay unchanged, so
 * reactors read them without the lock. */
struct run_batch {
    int64_t number; /* with its step */
    char *command;
    uint64_t max_output;
    unsigned retries;
    int64_t retry_for_ms;
    bool live;
    char *ssh_config;         /* or NULL */
    struct strv ssh_options;
    bool has_options;
    struct strv env;
    char *chdir;              /* or NULL */
    bool pty, raw, progress;
    char *stdin_path;         /* or NULL */
    int stdin_fd;             /* ours; -1: none */
    struct copy_files *copy;  /* a reference, or NULL */
    struct secret *password, *become_password, *input_secret; /* references, or NULL */
    void (*trace)(void *ctx, const char *node, int64_t ms, const char *text);
    void *trace_ctx;

    /* the queue's */
    struct link link;
    struct run_group *group;
    bool later; /* a step of nodes that have their places */
    struct job *jobs;
    size_t n, next;  /* jobs before this one do not wait */
    size_t left;     /* so many wait */
    size_t in_slots; /* claimed and running */
};

struct queue {
    struct link batches; /* submissions */
    struct link groups;
    size_t fanout, max_queue;
    size_t waiting, reserved, claimed, held, running;
};

void queue_init(struct queue *q, size_t fanout, size_t max_queue);
void queue_clear(struct queue *q); /* frees everything; nothing may run any more */
int queue_reserve(struct queue *q, size_t n, struct err *e);
void queue_unreserve(struct queue *q, size_t n);
/* False: a later step of a batch that is over or cancelled; nothing was added. */
bool queue_add(struct queue *q, const struct engine_batch *b, const struct engine_job *jobs,
               size_t n);
bool queue_idle(const struct queue *q); /* nothing waits, is claimed or runs, or will come again */
/* The next job that may have a slot, now claimed; NULL when there is none. In order, but a batch
 * that fills its own fanout, is paused or waits for its next stage lets later ones pass. */
struct job *queue_claim(struct queue *q);
struct job *queue_find_claimed(struct queue *q, int64_t batch, uint32_t position);
/* While dispatch is stopped a claim that was refused is put off, in its slot and its place. */
void queue_hold(struct queue *q, struct job *job);
/* The first one that was put off, claimed again; NULL when there is none. */
struct job *queue_release(struct queue *q);
void queue_start(struct queue *q, struct job *job); /* claimed -> running */
void queue_end(struct queue *q, struct job *job, bool was_running); /* frees slot and job */
/* Whether two numbers differ in the step at most. */
bool queue_same_batch(int64_t a, int64_t b);
/* Drops what waits of this batch. Returns how many of it are claimed or running. */
size_t queue_cancel(struct queue *q, int64_t batch);
/* These do nothing for a batch that is gone. queue_drop leaves the later steps of nodes that have
 * begun. */
void queue_set_limit(struct queue *q, int64_t batch, size_t n);
void queue_pause(struct queue *q, int64_t batch, bool on);
void queue_drop(struct queue *q, int64_t batch, const char *text);
void queue_drop_steps(struct queue *q, int64_t batch); /* those too */
void queue_leave(struct queue *q, int64_t batch, uint32_t position);
void queue_steps_over(struct queue *q, int64_t batch);

#endif
