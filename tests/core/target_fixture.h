/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of target expressions share: a small fleet, results of batches, and a look at what an
 * expression gives. */
#ifndef MUSTER_TESTS_CORE_TARGET_FIXTURE_H
#define MUSTER_TESTS_CORE_TARGET_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "muster/base/err.h"
#include "muster/core/fleet.h"
#include "muster/core/target.h"

#include <stdbool.h>

struct fixture {
    struct fleet *fleet;
    struct target_env env;
    struct target_set set;
    struct err e;
    char dir[64];
};

/* db1-3 and web01-20 are explicit, bastion and localhost are not; groups web and front. */
int set_up(void **state);
int tear_down(void **state);
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

void add_node(struct fleet *f, const char *name, bool is_explicit);
void add_group(struct fleet *f, const char *name, const char *pattern);
/* The expression gives just these, with a space between two. */
void check(struct fixture *x, const char *expr, const char *want);
/* It is refused, with this in the text, and leaves nothing behind. */
void check_fails(struct fixture *x, const char *expr, enum err_code code, const char *text);

#endif
