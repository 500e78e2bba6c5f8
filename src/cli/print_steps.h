/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a plan, for people. */
#ifndef MUSTER_SRC_CLI_PRINT_STEPS_H
#define MUSTER_SRC_CLI_PRINT_STEPS_H

#include "print.h"

/* "step 2 install: 95 ok, 5 failed: web[05,25]", a line for each step that any node came to. */
int steps_text(struct reader *r, const struct batch *b, struct strbuf *out, struct err *e);
/* The same on standard error. */
int print_step_stats(struct printer *p, const struct batch *b, struct err *e);
/* What the nodes said in each step, under its title; only: that step, without a title (0: all). Folded, or a
 * node after the other. node: of this one only, or NULL. */
int print_steps(struct printer *p, unsigned only, bool fold, const char *node, struct err *e);

#endif
