/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers for property tests: the same from the same seed on every machine (SplitMix64). */
#ifndef MUSTER_TESTS_RND_H
#define MUSTER_TESTS_RND_H

#include <stdint.h>

struct rnd {
    uint64_t state;
};

static inline uint64_t rnd_next(struct rnd *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline uint32_t rnd_below(struct rnd *r, uint32_t below)
{
    return (uint32_t) (rnd_next(r) % below);
}

#endif
