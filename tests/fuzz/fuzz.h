/* SPDX-License-Identifier: Apache-2.0 */
/* What a fuzz target is: a function that takes any bytes and must neither crash, leak nor break a
 * promise of what it calls, and seeds that look like what it expects. */
#ifndef MUSTER_TESTS_FUZZ_H
#define MUSTER_TESTS_FUZZ_H

#include <stddef.h>
#include <stdlib.h>
#include <stdio.h>

struct fuzz_target {
    const char *name;
    void (*run)(const char *p, size_t n); /* p[n] is '\0' */
    const char *const *seeds;             /* ends with NULL */
};

extern const struct fuzz_target fuzz_targets[]; /* ends with a NULL name */

/* As assert, whatever NDEBUG says. */
#define FUZZ_CHECK(what)                                                     \
    do {                                                                     \
        if (!(what)) {                                                       \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what); \
            abort();                                                         \
        }                                                                    \
    } while (0)

#endif
