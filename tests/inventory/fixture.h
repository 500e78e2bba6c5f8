/* SPDX-License-Identifier: Apache-2.0 */
/* A throw-away home folder with inventory files, and a load of it. */
#ifndef TESTS_INVENTORY_FIXTURE_H
#define TESTS_INVENTORY_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "muster/base/err.h"
#include "muster/core/fleet.h"
#include "muster/inventory/inventory.h"

struct fixture {
    char *home;
    struct fleet *fleet;
    struct inventory_watch *watch;
    struct err err;
    int64_t ttl_ms; /* of the next loads; 0: the default */
    bool refresh;
};
int fixture_setup(void **state);
int fixture_teardown(void **state);
/* Writes home/NAME, making its folders; returns the path, which lives until the next call. */
const char *fixture_write(struct fixture *f, const char *name, const char *text);
/* Loads with these -i, up to NULL; what was loaded before is freed. */
int fixture_load(struct fixture *f, ...) __attribute__((sentinel));
/* Loads the text as inv.yaml and expects it to fail with exactly this after "HOME/inv.yaml: ". */
void expect_error(struct fixture *f, const char *text, const char *message);
const struct fleet_node *node_of(struct fixture *f, const char *name); /* must be there */
const struct fleet_group *group_of(struct fixture *f, const char *name);
/* "a,b": the group's members through all children, in order; caller frees. */
char *members(struct fixture *f, const char *group);
void expect_members(struct fixture *f, const char *group, const char *names);
const char *var_of(const struct fleet_node *n, const char *name); /* or NULL */
/* Fails where the program is missing: ./dev setup installs it, and what it says is compared. */
void need_program(const char *name);
/* Whether a warning of the first source has this in it. */
bool warned(const struct fixture *f, const char *text);

#endif
