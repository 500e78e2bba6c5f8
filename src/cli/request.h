/* SPDX-License-Identifier: Apache-2.0 */
/* Requests for a batch from flags, and from a JSON document with the seed's members and the run flags by
 * their long names. */
#ifndef MUSTER_SRC_CLI_REQUEST_H
#define MUSTER_SRC_CLI_REQUEST_H

#include "cli.h"

#include "muster/service/service.h"

/* The options of the run (not targets, not the command) into r; r borrows from c. */
int request_options(struct cli *c, struct batch_request *r, struct err *e);
/* Those of them that a rerun takes as well, over what the batch had. */
int request_extras(struct cli *c, struct batch_request *r, struct err *e);

/* Runs a copy as `run` runs a command: targets, review, questions, batch, results. The exit status,
 * or -code. */
int run_copy(struct cli *c, const struct copy_request *copy, struct err *e);

struct request_document {
    struct batch_request request; /* without the targets */
    struct strv nodes, groups;    /* targetNodeIds, targetGroupIds */
    char *action;
};
/* Reads the document at path ("-": standard input). Its flags are set in c as if they had been
 * given, those that name targets too; a flag that was given on the command line stands over the
 * document's. */
int request_read(struct cli *c, const char *path, struct request_document *d, struct err *e);
void request_document_clear(struct request_document *d);

#endif
