/* SPDX-License-Identifier: Apache-2.0 */
/* A transport that connects nowhere: what a node does follows from its number and from the seed,
 * which is the batch's command ("seed 42"). Driven by timers alone: it runs on a virtual clock. */
#ifndef MUSTER_TEST_EXEC_FAKE_H
#define MUSTER_TEST_EXEC_FAKE_H

#include "muster/exec/transport.h"

enum fake_kind {
    FAKE_OK,
    FAKE_EXIT,
    FAKE_SIGNAL,
    FAKE_BIG,           /* more output than a cap, or than one step takes */
    FAKE_PLACES,        /* shares a server with others */
    FAKE_HELP,          /* asks a helper while it connects */
    FAKE_FLAKY,         /* its first attempt fails */
    FAKE_REFUSED,       /* every attempt fails */
    FAKE_AUTH,          /* fails, and no other attempt would help */
    FAKE_DROP,          /* lost after the start */
    FAKE_HANG_CONNECT,
    FAKE_HANG_PLACE,    /* hangs while it holds a place of a server of its own */
    FAKE_HANG,          /* runs for ever; TERM ends it */
    FAKE_NEEDS_KILL,    /* ... only KILL does, and it says so */
    FAKE_STOP_SILENT,   /* ... never answers stop() */
    FAKE_STOP_UNKNOWN,  /* ... answers that nobody knows */
    FAKE_STOP_LOST,     /* ... the connection goes at TERM */
    FAKE_STUBBORN,      /* ... survives KILL */
    FAKE_KINDS
};

#define FAKE_HANDSHAKE_MS 20 /* how long a place is held */
#define FAKE_PLACES_EACH 8 /* handshake places that the engine under test gives a server */

struct fake_plan {
    enum fake_kind kind;
    int64_t connect_ms, tick_ms;
    unsigned ticks;
    size_t bytes[2]; /* of each stream */
    int exit_code;
};

/* only >= 0: every node is of this kind */
struct fake_plan fake_plan(uint64_t seed, int only, unsigned node);
char fake_byte(unsigned node, int stream, size_t at); /* of its output */
uint64_t fake_mix(uint64_t x);

extern const struct transport_ops transport_fake;

#endif
