/* SPDX-License-Identifier: Apache-2.0 */
/* What the service's tests share: a home of their own, an inventory on the transport `local`, a
 * service on it, and a gate: commands that hold until it is opened. */
#ifndef MUSTER_TESTS_SERVICE_FIXTURE_H
#define MUSTER_TESTS_SERVICE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/service/service.h"
#include "muster/store/reader.h"

#include <stdbool.h>
#include <string.h>

#define DEADLINE_MS 20000
/* Runs until the gate is opened (by the teardown at the latest). */
#define HELD                                                                          \
    ": >\"$HOME/up.$MUSTER_NODE\"; while [ ! -e \"$HOME/gate\" ]; do sleep 0.02; done; " \
    "echo $MUSTER_NODE"

struct fixture {
    char dir[64];
    char *db;
    struct strv inventories;
    struct service_options options;
    struct service *s;
    struct reader *r;
    struct err e;
};

int fixture_setup(void **state);
int fixture_teardown(void **state);
/* Closes the service and opens it again with f->options; the reader stays. */
void fixture_reopen(struct fixture *f);
void write_file(struct fixture *f, const char *name, const char *text);
void open_gate(struct fixture *f);

/* A request for a command on nodes given by name, NULL at the end of each list (groups may be NULL
 * altogether). */
void ask(struct batch_request *r, const char *action, const char *const *nodes,
         const char *const *groups);
/* Creates it, which must succeed. Returns the number. */
int64_t create(struct fixture *f, const struct batch_request *r);
int64_t create_simple(struct fixture *f, const char *action, const char *const *nodes);
/* The batch as it is now; clear it. */
void get_batch(struct fixture *f, int64_t number, struct batch *b);
struct batch_stats stats_of(struct fixture *f, int64_t number);
size_t count_batches(struct fixture *f);
void wait_idle(struct service *s);
/* Until this many executions of a batch run. */
void wait_running(struct fixture *f, int64_t number, unsigned n);
/* Until HELD itself has started on a node: running begins with connecting. */
void wait_held(struct fixture *f, const char *node);

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
/* The code of the last error, its text, and that the text has this in it. */
#define assert_refused(f, rc, error_code, word)                                                \
    do {                                                                                       \
        assert_int_equal(rc, -(int) (error_code));                                             \
        assert_int_equal((f)->e.code, error_code);                                             \
        if (!strstr((f)->e.msg, word))                                                         \
            fail_msg("\"%s\" is not in: %s", word, (f)->e.msg);                                \
        err_clear(&(f)->e);                                                                    \
    } while (0)

#endif
