/* SPDX-License-Identifier: Apache-2.0 */
/* Becoming another user on a node, as it is seen from here: what sudo, su or doas say before the
 * command starts, when they ask for the password, and what it means when they end. It is given once,
 * to what asks between our two token lines; nothing else can ask. Pure but for the secret it holds;
 * not locked. */
#ifndef MUSTER_EXEC_BECOME_H
#define MUSTER_EXEC_BECOME_H

#include "muster/core/settings.h"

#include <stdbool.h>
#include <stddef.h>

#define SAID_MAX ((size_t) 4 << 10) /* LIMIT: bytes of a stream that are held back */

struct secret;

enum become_state {
    BECOME_WAITING,
    BECOME_ASKED,   /* for the password that is held: it may be sent */
    BECOME_SENT,
    BECOME_STARTED, /* the command runs */
    BECOME_REFUSED, /* asked again after it was sent */
    BECOME_LOCKED   /* asked, and none is held */
};

struct become {
    enum become_method method;
    char *user; /* to become */
    struct secret *password; /* a reference, or NULL */
    enum become_state state;
    bool used;               /* the password was sent */
    size_t sent;             /* bytes of it and its newline */
    char *said[2];           /* of SAID_MAX bytes, or NULL */
    size_t nsaid[2];
};

struct become *become_new(enum become_method method, const char *user, struct secret *password);
void become_free(struct become *b); /* NULL allowed */
void become_reset(struct become *b); /* for another attempt */

/* Holds back what is said; returns how many of the last bytes found no room. */
size_t become_hear(struct become *b, int stream, const char *p, size_t n);
/* After all bytes that have come: su and doas are known to ask by a line without an end. */
void become_look(struct become *b, int stream);
void become_prompted(struct become *b);
void become_started(struct become *b);
/* What was said and is output after all, without the prompt; valid until the next call. */
const char *become_said(struct become *b, int stream, size_t *n);
void become_clear_said(struct become *b);

/* The password and a newline, at most n bytes of it, when it was asked for; 0: nothing. */
size_t become_answer(struct become *b, char *buf, size_t n);
/* Why the command did not start, for people: exit_code of what ended, or -1. Caller frees. */
char *become_why(struct become *b, int exit_code);

#endif
