/* SPDX-License-Identifier: Apache-2.0 */
/* A client of ssh-agent. The library's own blocks for ever on an agent that hangs; this one has a
 * deadline for everything. It blocks, so only helper threads call it. */
#ifndef MUSTER_EXEC_SSH_AGENT_H
#define MUSTER_EXEC_SSH_AGENT_H

#include <stddef.h>
#include <stdint.h>

struct err;

struct agent_key {
    char *type;
    uint8_t *blob;
    size_t blob_len;
};
struct agent_keys { /* refcounted, never changes */
    int refs;
    struct agent_key *v;
    size_t n, cap;
};

/* What the agent at this socket holds. NULL with the error's text: no agent, no answer in time. */
struct agent_keys *agent_list(const char *socket_path, int64_t timeout_ms, struct err *e);
struct agent_keys *agent_keys_ref(struct agent_keys *k);
void agent_keys_unref(struct agent_keys *k); /* NULL allowed */

/* A signature by one of its keys, as ssh_key_sign() gives it; alg as there. 0 or -code; *hung tells a refusal
 * from an agent that did not answer. */
int agent_sign(const char *socket_path, int64_t timeout_ms, const void *blob, size_t blob_len,
               const char *alg, const void *data, size_t n, uint8_t **sig, size_t *sig_len,
               int *hung, struct err *e);

#endif
