/* SPDX-License-Identifier: Apache-2.0 */
/* A transport: a vtable of non-blocking steps that starts one command on one node. Every function
 * runs on the session's reactor thread and returns at once; what blocks goes to session_help().
 * The session (exec/session) owns deadlines, retries, output caps, cancel's TERM-then-KILL and the
 * final event; the transport owns descriptors and protocol. */
#ifndef MUSTER_EXEC_TRANSPORT_H
#define MUSTER_EXEC_TRANSPORT_H

#include "muster/base/vec.h"
#include "muster/core/settings.h"
#include "muster/core/state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct copy_files;
struct engine_config;
struct help;
struct session;
struct mclock;
struct secret;

/* Why step() is called; several may come at once. */
enum wake {
    WAKE_START = 1,  /* first call of an attempt */
    WAKE_FD = 2,     /* a watched descriptor is ready */
    WAKE_TIMER = 4,  /* session_timer() is due */
    WAKE_HELP = 8,   /* session_help()'s work is done */
    WAKE_ROOM = 16,  /* output that was refused may be tried again */
    WAKE_SLOT = 32,  /* session_want_handshake() has been granted */
    WAKE_INPUT = 64  /* session_input() has something, or its end, after it had nothing */
};

struct transport_ops {
    const char *name;
    /* Begins an attempt: allocates the private state. No I/O here. Never NULL. */
    void *(*open)(struct session *s);
    /* Goes on as far as it can without blocking. Ends by session_end() at most once per attempt;
     * after that only close() is called. */
    void (*step)(void *priv, unsigned wake);
    /* The process group on the node shall get this signal (SIGTERM or SIGKILL). The transport says
     * what came of it by session_stopped(), as soon as it knows. May be called in any phase. */
    void (*stop)(void *priv, int sig);
    /* Tears down at once whatever is there, without blocking, and frees priv. A helper's work that
     * is still under way is left to session_help's rules. */
    void (*close)(void *priv);
    /* Optional, both or none: what all sessions of an engine share (caches; guarded by its own
     * locks, since reactors and helpers use it). Made with the engine, freed after its threads, on
     * whichever is the last. */
    void *(*shared_new)(const struct engine_config *cfg);
    void (*shared_free)(void *shared);
    /* Optional: the engine goes and its sessions are gone, but helpers may have been left behind;
     * threads of what they share end before this returns. */
    void (*shared_stop)(void *shared);
};

/* --- what a transport may ask of its session; all on the reactor's thread --- */

const char *session_node(const struct session *s);
void *session_shared(const struct session *s); /* what shared_new() made, or NULL */
const char *session_command(const struct session *s);  /* the user's line, exact */
const char *session_token(const struct session *s);    /* random, for the line that tells the pid */
/* The one that comes first: under sudo and the like there is one before the other user is become. */
const char *session_first_token(const struct session *s);
const struct settings *session_base(const struct session *s);
const struct settings *session_over(const struct session *s);
const char *session_ssh_config(const struct session *s);          /* -F or NULL */
const struct strv *session_ssh_options(const struct session *s);  /* -o, or NULL */
int64_t session_batch(const struct session *s);
const struct mclock *session_clock(const struct session *s);

/* The line that the node's login shell gets: exports MUSTER_NODE, MUSTER_HOST, MUSTER_USER and the
 * batch's variables, changes the folder, becomes the other user, prints TOKEN and the process group
 * on stderr, and has the user's own shell run the line. One that would be longer than INLINE_MAX
 * comes in two: this one reads the rest from its input, which session_input() hands out first.
 * A raw batch's line is what it is. Fills in what session_input() has to know; call it once an
 * attempt, before session_started(). Caller frees. NULL: the file to be read cannot be, and the
 * session has been ended by it: start nothing. */
#define INLINE_MAX 24000
char *session_wrapped_command(struct session *s, const char *host, const char *user);

/* What the command reads, in order: the rest of a long line, the password once sudo has asked for it
 * by our token, then the user's input. Copies at most n bytes and returns how many; they count as
 * sent. *end: nothing follows, close its input. 0 without *end: nothing now, WAKE_INPUT comes. May
 * hold a password: wipe the buffer (base/secret.h). A read error of the user's file ends the session
 * by itself. */
size_t session_input(struct session *s, void *buf, size_t n, bool *end);

/* What the batch copies, for a transport that can do it without the command; NULL: it is no copy. */
const struct copy_files *session_copy(const struct session *s);
/* Bytes of what a push reads, from an offset; fewer than n: it is cut. */
size_t session_copy_read(struct session *s, void *buf, size_t n, uint64_t at);
/* How far such a copy is, for EVENT_PROGRESS. */
void session_progress(struct session *s, uint64_t done, uint64_t total);
/* What the refused command has said counts for nothing, as far as it has not been emitted yet. */
void session_forget_output(struct session *s);

/* How the process group of the command is signalled and looked for on the node, by a channel of its
 * own: a shell line that ends with STOP_GONE or STOP_THERE (anything else: not known). sig: SIGTERM,
 * SIGKILL, or 0 to only look; closer: tell the dead who are not reaped from the living. Under sudo
 * it signals through sudo. NULL: the process is not known yet. Caller frees. */
#define STOP_GONE 10
#define STOP_THERE 11
char *session_stop_command(struct session *s, int sig, bool closer);
/* What that line reads: the held password and a newline, or nothing (0). Wipe the buffer. */
size_t session_stop_input(struct session *s, char *buf, size_t n);
struct secret *session_stop_secret(const struct session *s); /* that password, borrowed; or NULL */

bool session_wants_pty(const struct session *s); /* asked for, or doas needs it for a password */
/* stdin is more than an end of file; after session_wrapped_command(). */
bool session_has_input(const struct session *s);
/* How another user is become: BECOME_NONE, or the method; for texts and for explain. */
enum become_method session_become(const struct session *s);
struct secret *session_password(const struct session *s); /* -A, borrowed; NULL: none was given */
/* One line about a stage that was reached, for explain --connect; cheap when nobody listens. */
void session_trace(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool session_traced(const struct session *s);

/* Goes on with the transport openssh, for the reason in the text, before anything was started: the
 * attempt is closed after this returns true, as after session_end_failed(). False: there is no
 * such transport or no ssh program, or this is it already; then the caller ends by itself. */
bool session_fallback(struct session *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
const char *session_fallback_why(const struct session *s); /* NULL: this is the node's own transport */

/* The facts as used, for the record; may be called again. Copies; NULL keeps what was set. */
void session_set_endpoint(struct session *s, const char *host, int port, const char *user);

/* Level-triggered watch of one descriptor; events are EPOLLIN/EPOLLOUT. At most 6 a session.
 * Unwatch before close(2). */
void session_watch(struct session *s, int fd, uint32_t events);
void session_unwatch(struct session *s, int fd);
/* Where the attempt is, for the text of a connect timeout: "during the key exchange"; static. */
void session_phase(struct session *s, const char *where);
void session_timer(struct session *s, int64_t in_ms); /* one; replaces; -1: none */
/* There is more to do at once, but it is the others' turn first: step(WAKE_ROOM) comes after them. */
void session_again(struct session *s);

/* Runs work(arg, help) on a helper thread; then step(WAKE_HELP) comes, unless the session has gone:
 * then only free_arg(arg) is called, maybe after the engine has gone too. One at a time a session.
 * arg is the helper's while it works. Waiting for a helper is not taken off the connect timeout. A
 * session that has asked for a handshake place goes first. help: see exec/helpers.h. */
void session_help(struct session *s, void (*work)(void *arg, struct help *help),
                  void (*free_arg)(void *arg), void *arg);

/* Asks for one of the handshake places of this server ("host:port"); WAKE_SLOT comes when granted
 * (maybe before this returns true: then it is granted at once). Given back by session_handshake_done
 * or at close. */
bool session_want_handshake(struct session *s, const char *server);
void session_handshake_done(struct session *s);
/* Somebody who waits for a place calls this about once a second: handshakes that take long count in
 * the place's server only, no longer in all. */
void session_handshake_look(struct session *s);

/* The command's limits from the inventory or ssh_config replace the session's when set. -1: keep. */
void session_set_timeouts(struct session *s, int64_t connect_ms, int64_t command_ms);

/* What is left of the connect timeout; below 0 when it is over. */
int64_t session_connect_left(const struct session *s);

/* The command may have started from now on: the connect deadline ends, the command's begins, and a
 * failure after this is REASON_LOST and never retried. Call it right before the request is sent. */
void session_started(struct session *s);
/* It has become certain that the command did not start after all: followed by session_end_failed().
 * A failure is what it is again. */
void session_not_started(struct session *s);

/* Output bytes, in order for each stream. Returns how many were taken: fewer means pause: stop
 * reading, keep the rest, WAKE_ROOM comes. The cap is applied inside (what is past it counts as
 * taken). The token line is taken out of stderr inside; session_pid() then knows the pid. */
size_t session_output(struct session *s, int stream, const void *p, size_t n);
int64_t session_pid(const struct session *s); /* remote pid (and process group), 0: not known yet */

/* Ends the attempt. */
void session_end_exit(struct session *s, int exit_code);
void session_end_signal(struct session *s, const char *signal); /* "TERM", without SIG */
/* reason: UNREACHABLE, UNSUPPORTED, HOSTKEY, AUTH, LOST, INTERNAL. `retry`: another attempt may help
 * (only honoured before session_started). The text is one line for people: what failed, and what to
 * do. After session_started every reason but HOSTKEY, AUTH, INTERNAL becomes LOST. */
void session_end_failed(struct session *s, enum reason reason, bool retry, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* The answer to stop(): what became of the process. REMOTE_STOPPED ends the session; REMOTE_RUNNING
 * after SIGTERM makes the session call stop(SIGKILL) after the grace time; REMOTE_UNKNOWN ends it. An end
 * (session_end_exit, session_end_signal) without this, or after it, counts as stopped, but for
 * REMOTE_UNKNOWN in the same step. */
void session_stopped(struct session *s, enum remote_process what);

extern const struct transport_ops transport_ssh;
extern const struct transport_ops transport_openssh;
extern const struct transport_ops transport_local;
extern const struct transport_ops transport_exec;

#endif
