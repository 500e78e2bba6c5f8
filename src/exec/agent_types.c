/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent holds, for who checks a set-up. Blocks, with a deadline; any thread. */
#include "ssh_agent.h"

#include "muster/exec/engine.h"

int engine_agent_types(const char *socket_path, int64_t timeout_ms, struct strv *types,
                       struct err *e)
{
    struct agent_keys *keys = agent_list(socket_path, timeout_ms, e);
    if (!keys)
        return -1;
    for (size_t i = 0; i < keys->n; i++)
        strv_push(types, keys->v[i].type);
    agent_keys_unref(keys);
    return 0;
}
