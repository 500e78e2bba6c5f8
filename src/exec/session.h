/* SPDX-License-Identifier: Apache-2.0 */
/* One execution while it runs. Everything here belongs to its reactor's thread.
 *
 * A session makes attempts; each has a transport's private state. What a transport calls
 * (session_end_*, session_stopped) only takes notes: session_settle acts on them once the transport
 * has returned, so a transport is never closed while it is on the stack. */
#ifndef MUSTER_EXEC_SESSION_H
#define MUSTER_EXEC_SESSION_H

#include "input.h"
#include "list.h"
#include "output.h"
#include "queue.h"
#include "timers.h"

#include "muster/core/state.h"
#include "muster/exec/transport.h"

#include <stdbool.h>
#include <stdint.h>

#define SESSION_WATCHES 6
#define FALLBACK_FROM "ssh"
#define FALLBACK_NAME "openssh"

enum session_timer {
    TIMER_TRANSPORT, /* session_timer() */
    TIMER_DEADLINE,  /* of connecting, then of the command */
    TIMER_PHASE,     /* the pause before another attempt, or a step of stopping */
    TIMER_FLUSH,     /* output waits to be emitted */
    TIMER_BECOME,    /* sudo has not started the command yet */
    TIMER_PROGRESS,  /* what was fed last has not been told */
    TIMER_COUNT
};

enum end_kind { END_NONE, END_EXIT, END_SIGNAL, END_FAILED, END_FALLBACK };

/* How far stopping has come; TIMER_PHASE moves it on. */
enum stop_phase { STOP_NOT, STOP_TERM, STOP_KILL, STOP_STUBBORN };

struct watch {
    struct session *session;
    int fd; /* -1: free */
    uint32_t events;
};

struct session {
    struct link link; /* in the reactor's sessions, or its dead */
    struct link run;
    struct reactor *reactor;
    struct job *job;
    const struct transport_ops *ops;
    void *shared; /* the transport's, for all sessions of the engine; or NULL */
    void *priv; /* the attempt's; NULL between attempts */

    unsigned pending; /* enum wake, for the next step */
    struct watch watch[SESSION_WATCHES];
    struct timer timer[TIMER_COUNT];
    struct help *help;
    struct place *place;
    char token[TOKEN_SIZE], outer[TOKEN_SIZE], prompt[TOKEN_SIZE];
    struct become *become; /* NULL: the login user runs the command */
    struct input input;
    char *fallback_why;    /* NULL: the transport is the node's own */

    int64_t first, begun, started_at, connect_ms, command_ms; /* first: of all tries */
    int64_t waited_ms; /* for helpers: no part of connect_ms */
    unsigned attempts;
    uint64_t jitter; /* state of its random numbers */
    bool started, done;
    bool ran;  /* so had an earlier try of the same job */
    bool last; /* cancelled or left: it is not begun again */

    struct output out;
    size_t budget; /* bytes that this step may still take */
    bool want_room, refused;

    char *host, *user;
    int port;
    const char *phase; /* of connecting; static text, or NULL */

    /* notes of the transport */
    enum end_kind end;
    int exit_code;
    char *signal, *error;
    enum reason reason;
    bool retry;
    enum remote_process stop_answer; /* REMOTE_NONE: none since the last look */

    /* stopping */
    enum stop_phase stop;
    enum reason stop_reason;
    char *stop_error;
};

/* Begins; may end at once. Its end is told to the engine (engine_ended). */
void session_start(struct reactor *r, struct job *job);
void session_step(struct session *s); /* what is pending */
void session_timer_due(struct session *s, int which);
void session_cancel(struct session *s);
void session_abort(struct session *s);   /* with its event */
void session_discard(struct session *s); /* without */
void session_settle(struct session *s);
/* Emits what is buffered. false: the sink refused, and tries again later. */
bool session_flush(struct session *s);
void session_free(struct session *s); /* a dead one's memory */

/* session_input.c */
void session_make_become(struct session *s); /* as the settings say */
/* Output was looked at, or it is being stopped: what follows for its input and for becoming. */
void session_heard(struct session *s);
void session_become_due(struct session *s); /* TIMER_BECOME */
void session_tell_progress(struct session *s);
/* An end that came while another user was being become is none of the command: says why instead.
 * false: it is the command's. */
bool session_not_become(struct session *s, int exit_code);

#endif
