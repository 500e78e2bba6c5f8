/* SPDX-License-Identifier: Apache-2.0 */
/* The transports of this build; apart, so that a test with its own links no others. */
#include "muster/exec/engine.h"
#include "muster/exec/transport.h"

const struct transport_ops *const *engine_transports(void)
{
    static const struct transport_ops *const all[] = {
        &transport_ssh, &transport_openssh, &transport_local, &transport_exec, NULL};
    return all;
}
