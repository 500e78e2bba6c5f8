/* SPDX-License-Identifier: Apache-2.0 */
/* --dry-run: what would run, and where. */
#ifndef MUSTER_SRC_CLI_DRY_RUN_H
#define MUSTER_SRC_CLI_DRY_RUN_H

struct batch_request;
struct batch_review;
struct cli;
struct work;

/* w: the task or plan, or NULL. Returns the exit status. */
int dry_run(const struct cli *c, const struct batch_request *r, const struct batch_review *v,
            const struct work *w);

#endif
