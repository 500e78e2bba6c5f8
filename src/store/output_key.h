/* SPDX-License-Identifier: Apache-2.0 */
/* The ids of an output's chunks: consecutive, so that reading them in order needs no index. And what
 * growing outputs are told apart by. */
#ifndef MUSTER_STORE_OUTPUT_KEY_H
#define MUSTER_STORE_OUTPUT_KEY_H

#include <stdint.h>

#define OUTPUT_CHUNK_MAX ((size_t) 1 << 20)
#define OUTPUT_CHUNK_BITS 28 /* chunks an output; leaves 2^35 outputs */

/* What an output grows under: an execution's, or that of one step of it. */
static inline int64_t stream_key(int64_t execution, unsigned step)
{
    return execution | (int64_t) step << 48;
}

static inline int64_t output_key(int64_t output, int64_t seq)
{
    return output << OUTPUT_CHUNK_BITS | seq;
}

#endif
