/* SPDX-License-Identifier: Apache-2.0 */
/* Handshake places: how many connections to one server may be setting up at once, since a server
 * drops connections at random when too many come (MaxStartups), and how many in all. First come,
 * first served at each server, over all reactors. */
#ifndef MUSTER_EXEC_PLACES_H
#define MUSTER_EXEC_PLACES_H

#include "list.h"

#include <stdbool.h>
#include <stdint.h>

struct places;
struct reactor;
struct server;
struct session;

struct place {
    struct link link; /* among the server's waiting ones */
    struct link counted; /* among those that count in all */
    struct server *server;
    int64_t since_ms;    /* granted; */
    struct reactor *reactor;
    struct session *session; /* reactor's thread only; NULL: it has gone */
    bool granted;            /* the lock's; */
    bool told;               /* MSG_PLACE has come, or none was needed */
};

struct places *places_new(unsigned per_server, unsigned in_all);
void places_free(struct places *p);
/* Asks for one; *at_once tells whether it is granted already, else MSG_PLACE comes. */
struct place *places_ask(struct places *p, const char *server, struct reactor *r,
                         struct session *s, bool *at_once);
/* Time has passed: those that take long count no longer in all. */
void places_look(struct places *p, int64_t now);
/* Gives it back, or stops waiting. Frees it now or when its message comes. */
void places_return(struct places *p, struct place *place);
/* MSG_PLACE has come. The session that has it now, or NULL: it has gone, and so has the place. */
struct session *places_told(struct places *p, struct place *place);

#endif
