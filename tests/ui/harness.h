/* SPDX-License-Identifier: Apache-2.0 */
/* The screen without a terminal: an app over a database and an inventory of its own, a clock that
 * stands, keys from a script, and the surface compared with golden files.
 *
 * The screen's time is 2026-03-10 14:32:03 UTC plus what harness_wait() adds. */
#ifndef MUSTER_TESTS_UI_HARNESS_H
#define MUSTER_TESTS_UI_HARNESS_H

#include "muster/base/clock.h"
#include "muster/core/state.h"
#include "muster/ui/app.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct service;
struct writer;

struct harness {
    char *dir; /* holds fleet.db, inventory.yaml, and what tests export */
    char *db;
    struct clock_virtual clock;
    struct writer *writer; /* makes the fixture batches */
    struct harness_sync *sync;
    struct service *service;
    struct app *app;
    struct surface surface;
    const char *note; /* of what harness_end() ends from now on */
};

/* Groups @prod {web: web[01-20], db: db[01-04]} and @staging {stage[1-3]}, db is protected. More in
 * `inventory` (YAML) instead when it is not NULL. No app yet: make fixture batches first. */
struct harness *harness_new(const char *inventory);
/* Opens the service and the app, and draws once at this size. */
void harness_open(struct harness *h, int cols, int rows, bool read_only);
void harness_free(struct harness *h);

/* A batch on nodes written in range notation, separated by spaces; all queued. Returns its number. */
int64_t harness_batch(struct harness *h, const char *action, const char *nodes);
/* Starts an execution at the clock's time; its answer is waited for. */
void harness_start(struct harness *h, int64_t batch, uint32_t position);
/* Output of a running one. */
void harness_output(struct harness *h, int64_t batch, uint32_t position, const char *out,
                    const char *err);
/* Ends it after duration_ms: exit code rc (0: success), or, when reason is not REASON_NONE, that with
 * the error text. Waits until it is committed. */
void harness_end(struct harness *h, int64_t batch, uint32_t position, int64_t duration_ms, int rc,
                 enum reason reason, const char *error, const char *out, const char *err);
/* Starts and ends it. */
void harness_run(struct harness *h, int64_t batch, uint32_t position, int64_t duration_ms, int rc,
                 const char *out, const char *err);

/* Moves the clock, in steps, with the ticks that fall due. */
void harness_wait(struct harness *h, int64_t ms);
/* Keys as in the key table, separated by spaces; 'text' in quotes is typed. Draws after each. */
void harness_keys(struct harness *h, const char *script);
void harness_size(struct harness *h, int cols, int rows);
void harness_draw(struct harness *h);
/* True when the screen shows this text, within a row. */
bool harness_shows(struct harness *h, const char *text);
/* Fails the test, printing the screen, when it does not show the text (or does). */
void harness_expect(struct harness *h, const char *text);
void harness_expect_not(struct harness *h, const char *text);
/* Compares with golden/NAME.txt; UPDATE_GOLDEN=1 writes it instead. */
void harness_golden(struct harness *h, const char *name);

#endif
