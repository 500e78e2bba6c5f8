/* SPDX-License-Identifier: Apache-2.0 */
/* Lines as they arrive (-L): for each execution, how far its streams have been printed. */
#ifndef MUSTER_SRC_CLI_LIVE_H
#define MUSTER_SRC_CLI_LIVE_H

#include "print.h"

struct live;
struct live *live_new(void);
void live_free(struct live *l); /* NULL allowed */
/* Prints the whole lines that came since; at the end of an execution also what has no newline. */
int live_print(struct live *l, struct printer *p, const struct execution *x, struct err *e);

#endif
