/* SPDX-License-Identifier: Apache-2.0 */
/* muster push and muster pull: copies, as batches like any other. */
#include "request.h"

#include "muster/base/err.h"

static int copy(struct cli *c, bool pull, const char *const *local, size_t n, const char *remote,
                struct err *e)
{
    struct copy_request r;
    int rc = copy_request_make(&r, pull, local, n, remote, e);
    if (rc != 0)
        return rc;
    if (pull && c->set[OPT_MAX_PULL])
        r.max_bytes = (uint64_t) c->number[OPT_MAX_PULL];
    rc = run_copy(c, &r, e);
    copy_request_clear(&r);
    return rc;
}

int verb_push(struct cli *c, struct err *e)
{
    size_t n = c->args.n;
    if (n < 2)
        return err_set(e, ERR_VALIDATION, "say what to copy, and where to: muster push -w TARGETS "
                       "LOCAL... REMOTE");
    return copy(c, false, (const char *const *) c->args.v, n - 1, c->args.v[n - 1], e);
}

int verb_pull(struct cli *c, struct err *e)
{
    if (c->args.n != 2)
        return err_set(e, ERR_VALIDATION, "say what to copy, and a folder here for it: muster pull "
                       "-w TARGETS REMOTE LOCALDIR");
    const char *const local[] = {c->args.v[1]};
    return copy(c, true, local, 1, c->args.v[0], e);
}
