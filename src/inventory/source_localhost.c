/* SPDX-License-Identifier: Apache-2.0 */
/* The source "localhost": this machine, always there, so that muster works with no set-up. */
#include "source.h"

#include "muster/base/err.h"

static int localhost_load(struct build *b, const struct source_input *in, struct err *e)
{
    struct settings *own;
    uint32_t at;
    int rc = build_node(b, "localhost", &at, e);

    if (rc)
        return rc;
    /* An entry of the user's that says how to connect ("localhost:2222") is reached that way. */
    own = &b->nodes[at].own.set;
    if (setting_is_set(own, SETTING_HOST) || setting_is_set(own, SETTING_PORT) ||
        setting_is_set(own, SETTING_USER) || setting_is_set(own, SETTING_IDENTITY) ||
        setting_is_set(own, SETTING_TRANSPORT))
        return 0;
    b->nodes[at].own.any_set = true;
    return setting_set(own, SETTING_TRANSPORT, "local", e);
}

const struct inventory_source_ops source_localhost = {
    .name = "localhost",
    .load = localhost_load,
};
