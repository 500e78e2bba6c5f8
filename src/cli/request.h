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

/* Review, questions, and then the batch. w: of a task or a plan, or NULL. */
struct secrets;
struct work;
int run_launch(struct cli *c, struct service *s, struct secrets *x, struct work *w,
               struct batch_request *r, struct err *e);

struct request_document {
    struct batch_request request; /* without the targets */
    struct strv nodes, groups;    /* targetNodeIds, targetGroupIds */
    char *action;
    int type;              /* enum action_type, -1: not said */
    struct json *parameters; /* an object within whole, or NULL */
    struct json *whole;
};
/* Reads the document at path ("-": standard input). The name of a task or plan becomes the flag's. Its
 * flags are set in c as if they had been given, those that name targets too; a flag that was given on
 * the command line stands over the document's. */
int request_read(struct cli *c, const char *path, struct request_document *d, struct err *e);
void request_document_clear(struct request_document *d);

#endif
