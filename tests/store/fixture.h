/* SPDX-License-Identifier: Apache-2.0 */
/* What the store's tests share: a folder of their own, a writer whose callbacks are counted, and
 * batches that are easy to make. */
#ifndef MUSTER_TESTS_STORE_FIXTURE_H
#define MUSTER_TESTS_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/store/reader.h"
#include "muster/store/writer.h"

#include <pthread.h>
#include <stdbool.h>

#define DEADLINE_MS 20000

struct counts {
    size_t granted, denied, finished, committed, cancels, pauses, resumes, failed, recovered;
};

struct fixture {
    char dir[64];
    char path[128];
    struct writer *w;
    struct reader *r;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct counts n;        /* under lock */
    uint32_t *finished_pos; /* in the order of the callbacks, under lock */
    size_t cap_finished;
    int report_fd; /* each finished position is written here, -1: nowhere */
    char failed_text[512];
};

int fixture_setup(void **state);
int fixture_teardown(void **state);
void fixture_open(struct fixture *f); /* the writer and the reader */
void fixture_close(struct fixture *f);

struct counts fixture_counts(struct fixture *f);
/* Waits until a counter (its offset in struct counts) is at least n; fails the test after
 * DEADLINE_MS. */
void fixture_wait(struct fixture *f, size_t offset, size_t n);
#define WAIT_FOR(f, counter, n) fixture_wait(f, offsetof(struct counts, counter), n)

int64_t now_ms(void);
/* A batch on node1 .. nodeN (names in reverse, so that position and rank differ). */
int64_t make_batch(struct fixture *f, size_t n, const char *action);
void emit_claim(struct fixture *f, int64_t batch, uint32_t position);
bool emit_output(struct fixture *f, int64_t batch, uint32_t position, int stream, const void *p,
                 size_t n);
/* exit_code 0: success; else failed by exit. out, err may be NULL. */
void emit_finish(struct fixture *f, int64_t batch, uint32_t position, int exit_code,
                 const char *out, const char *err);
void emit_failure(struct fixture *f, int64_t batch, uint32_t position, enum reason reason,
                  const char *error);
struct batch get_batch(struct fixture *f, int64_t number);
struct execution get_execution(struct fixture *f, int64_t number, uint32_t position);
/* Fails unless the counters of the batch equal its rows, and finished_seq has no gap. */
void check_counters(struct fixture *f, int64_t number);
char *get_output(struct fixture *f, int64_t id, size_t *n);
/* The one integer that a query on another connection gives. */
int64_t query_int_of(struct fixture *f, const char *sql);

#endif
