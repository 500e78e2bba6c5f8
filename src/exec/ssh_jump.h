/* SPDX-License-Identifier: Apache-2.0 */
/* Ways through jump hosts: who wants to reach a host through one asks here and gets a socket at
 * once; a connection to the jump host (a carrier, on the engine inside the engine) joins it to a
 * channel. All connections of the process share the carriers.
 *
 * On that socket the carrier first writes JUMP_READY when it has signed in; the asker answers with
 * JUMP_GO when it wants the channel, and JUMP_OPEN says that the next byte is the host's. An end
 * before that is a failure, which jump_failed() explains.
 *
 * Threads: any; one lock guards all. Lock order: it, ssh_side's, the inner engine's. */
#ifndef MUSTER_EXEC_SSH_JUMP_H
#define MUSTER_EXEC_SSH_JUMP_H

#include "list.h"

#include "muster/core/state.h"

#include <stdbool.h>
#include <stdint.h>

#define JUMP_READY 'r'
#define JUMP_GO 'g'
#define JUMP_OPEN 'o'

struct carrier;
struct err;
struct jumps;
struct secret;
struct settings;
struct ssh_shared;

/* A way through a jump host, counted: the asker's and the carrier's. */
struct jump {
    struct link link; /* among those that wait for a carrier; its lock's */
    int refs;         /* atomic */
    struct jumps *all;
    char *via;        /* the jump host as it is written */
    char *host;       /* from there to */
    int port;
    int fd;           /* the carrier's end */
    bool told, wants; /* JUMP_READY was written, JUMP_GO has come; the carrier's */

    /* the lock's until `failed` was seen */
    bool failed, retry, fallback;
    enum reason reason;
    char *error;
};

struct jump_want {
    const char *chain; /* jump hosts, as ssh -J has them: the last is reached through the others */
    const char *host;  /* resolved on the jump host */
    int port;
    const char *config;          /* -F, or NULL */
    const struct settings *base; /* the inventory's defaults: keys and known_hosts count there too */
    struct secret *password;
    int64_t connect_ms; /* how long the asker has */
    int64_t batch;      /* for the log */
    struct carrier *asker; /* NULL: no carrier itself */
};

struct jumps *jumps_new(struct ssh_shared *shared);
void jumps_free(struct jumps *all); /* the side has stopped; NULL allowed */

/* --- who wants to get through --- */

/* *fd is the caller's end. NULL with *e: no descriptors, or no jump host is named. */
struct jump *jump_ask(struct jumps *all, const struct jump_want *want, int *fd, struct err *e);
/* Whether it has come to nothing; then reason, retry, fallback and error stay as they are. */
bool jump_failed(struct jump *j);
void jump_unref(struct jump *j); /* NULL allowed */

/* --- a carrier's session --- */

/* The carrier of this job (its command is the id), until its session has ended. */
struct carrier *carrier_find(struct jumps *all, const char *id);
int carrier_fd(const struct carrier *k); /* readable: carrier_next() may have something */
void carrier_up(struct carrier *k);      /* it has signed in */
struct jump *carrier_next(struct carrier *k); /* NULL: nobody waits; the reference is the caller's */
/* An open hangs: who waits goes elsewhere until it is over. load: how many it has. */
void carrier_stuck(struct carrier *k, bool stuck);
void carrier_loaded(struct carrier *k, size_t load);
/* Nobody waits for it, and nobody will: it may go. */
bool carrier_retire(struct carrier *k);
void carrier_for_openssh(struct carrier *k); /* what it fails for, only ssh itself can do */
/* Back to those who wait, for another carrier; takes the reference over. */
void jump_again(struct carrier *k, struct jump *j);
/* Ends it; takes the reference over. */
void jump_fail(struct jump *j, enum reason reason, bool retry, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The connection that carried it is gone. */
void jump_lost(struct jump *j);
/* Who asked has gone. */
void jump_end(struct jump *j);

#endif
