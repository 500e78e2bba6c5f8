/* SPDX-License-Identifier: Apache-2.0 */
/* One attempt of the ssh transport: a connection, its authentication and its channels. Everything
 * here belongs to the session's reactor thread, but for what a helper has while it works. */
#ifndef MUSTER_EXEC_SSH_CONN_H
#define MUSTER_EXEC_SSH_CONN_H

#include "ssh_prepare.h"

#include "muster/base/strbuf.h"
#include "muster/exec/transport.h"

#include <libssh2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define READ_SIZE 16384
#define CHANNEL_WINDOW 131072 /* what one slow reader can cost in memory */
#define CHANNEL_PACKET 32768
#define CLOSED_WITHOUT_STATUS "the connection was closed before the command's end was known"

enum conn_state {
    CONN_NEW,
    CONN_PREPARE,   /* a helper works */
    CONN_JUMP,      /* waits for a connection to the jump host */
    CONN_SLOT,      /* waits for a handshake place */
    CONN_CHANNEL,   /* waits for a channel of the jump host's */
    CONN_CONNECT,
    CONN_HANDSHAKE,
    CONN_ACCEPT,    /* a helper writes known_hosts */
    CONN_AUTH,
    CONN_SIGN,      /* a helper asks the agent, or the user for a key's passphrase */
    CONN_METHODS,   /* asks what the server would take */
    CONN_PASSWORD,
    CONN_KBDINT,    /* a helper has the connection, and answers what the server asks */
    CONN_CARRY,     /* a jump host's: it carries others (ssh_carrier.c) */
    CONN_OPEN,
    CONN_ENV,       /* SendEnv and SetEnv */
    CONN_EXEC,
    CONN_RUN,
    CONN_CLOSE,
    CONN_OVER,      /* the command's channel has ended, what it left behind is being stopped */
    CONN_SFTP,      /* a copy, where no commands are run (ssh_sftp.c) */
    CONN_ENDED      /* session_end_* has been called */
};

/* What a step came to. */
enum go { GO_ON, GO_WAIT };

/* The channel that stops the process on the node, beside the command's own. */
enum stop_state {
    STOPPER_OFF,
    STOPPER_WANTED,  /* the pid is not known yet, or the channel is busy */
    STOPPER_OPEN,
    STOPPER_EXEC,
    STOPPER_FEED,    /* the password for sudo */
    STOPPER_READ,    /* until its end */
    STOPPER_CLOSE,
    STOPPER_SIDE,    /* a second connection does it */
    STOPPER_PAUSE,   /* the process is still there: look again after a while */
    STOPPER_DONE
};
struct side_stop; /* ssh_stop.c: by a connection of its own, where the server grants one session */
struct stopper {
    enum stop_state state;
    int sig;         /* to send; 0: only look whether it is there */
    int next_sig;    /* asked for while a channel was under way */
    int last_sig;    /* what the process has been sent */
    unsigned looks;
    int status;      /* of the channel's script */
    int64_t eof_ms;  /* when its output had ended; 0: not yet */
    LIBSSH2_CHANNEL *channel;
    char *input;     /* what is left to feed; wiped */
    size_t input_len, input_off;
    bool alone;      /* the server grants no second session on this connection */
    struct side_stop *side;
};

/* What the command reads: one piece at a time on its way to the channel. */
struct feed {
    char *buf;       /* may hold a password: wiped */
    size_t len, off;
    bool end;        /* nothing follows what is in buf */
    bool done;       /* the end has been sent, or nobody reads any more */
    bool mid_line;   /* the last byte sent was no newline */
};

/* Work for helpers; each is freed by whoever has it last. */
struct conn;
struct sign_work {
    struct ssh_shared *shared;
    const char *alg;
    struct ssh_key *locked, *opened; /* to be opened, instead of a signature */
    char *agent;
    int64_t timeout_ms;
    uint8_t *blob, *data, *sig;
    size_t blob_len, data_len, sig_len;
    char *error; /* NULL: signed */
};
/* It has the connection while it works, and a reference to it until it is freed. */
struct kbdint_work {
    struct conn *conn;
    struct help *help;       /* while it works */
    struct secret *password;
    bool sent;               /* the password was */
    bool asked;              /* the user was, for more */
    char *error;             /* why it was broken off */
    int rc;
};
struct accept_work {
    struct ssh_shared *shared;
    char *path, *name, *type, *error;
    uint8_t *blob;
    size_t blob_len;
    bool hashed, changed;
    unsigned line;
};

struct conn {
    int refs;                /* atomic: the session's, and a kbdint_work's */
    struct session *session; /* NULL: it has gone, and a helper is left with the connection */
    enum conn_state state;
    struct prepared *prep; /* the helper's while state is CONN_PREPARE */

    int fd;
    struct addrinfo *addr; /* the one that is being tried */
    char *addr_text;       /* "10.0.0.5 port 22", for texts */
    int connect_error;
    bool unbound;          /* it is of BindAddress */
    struct jump *via;      /* the way through a jump host, or NULL */
    char *via_phase;
    struct proxy *proxy;   /* the ProxyCommand, or NULL */
    struct carry *carry;   /* it is a jump host's; else NULL */

    LIBSSH2_SESSION *ssh;
    LIBSSH2_CHANNEL *channel;

    /* ssh_io.c */
    bool dead, rx_ended;
    bool rx_dry; /* the socket had nothing more in this step */
    int io_errno;
    uint64_t rx_bytes, rx_seen;
    char *out;             /* what the socket did not take */
    size_t out_len, out_cap;
    uint8_t *rx_head;      /* what the server said first, until the handshake is done */
    size_t rx_head_len;
    char *farewell;        /* text of the server's disconnect message */

    /* ssh_auth.c, ssh_methods.c, ssh_password.c */
    char *host_key_label;
    char *methods;         /* what the server listed last; NULL: not asked yet */
    unsigned spent;        /* enum auth_method, as bits */
    char *pending;         /* what was given last: the next list tells whether it was taken */
    bool password_refused, rsa_refused;
    bool asked;            /* the user gave more than the password */
    bool given;            /* a password or an answer went out: whatever comes of it, not once more */
    bool wiping;           /* memory that the library frees may have held a password */
    struct kbdint_work *kbdint; /* ours only while no helper has it */
    size_t key;            /* the candidate that is being offered */
    bool key_signed;       /* it was accepted as such, and its signature sent */
    struct sign_work *signing; /* ours only while no helper has it */
    bool sign_asked;
    struct strbuf tried;
    struct accept_work *accepting;

    size_t env_next;       /* ssh_env.c: the variable that is being sent */

    /* ssh_run.c */
    char *command;
    char *held[2];         /* output that the session did not take yet */
    size_t held_len[2];
    bool started;
    struct feed feed;
    int64_t eof_ms;        /* when both streams and the input had ended; 0: not yet */
    bool pty, pty_asked;
    unsigned missed;       /* keepalives without an answer */

    struct stopper stop;
    struct sftp *sftp;       /* or NULL */
};

/* ssh_way.c: through a jump host, or by a ProxyCommand. */
bool conn_way_straight(const struct conn *c);
enum go conn_way_begin(struct conn *c);
enum go conn_way_jump(struct conn *c);
enum go conn_way_wait(struct conn *c); /* for a handshake place */
enum go conn_way_slot(struct conn *c, bool timer);
enum go conn_way_granted(struct conn *c); /* the handshake place */
enum go conn_way_channel(struct conn *c);
char *conn_way_failure(struct conn *c, enum reason *reason, bool *retry, bool *fallback);
void conn_way_step(struct conn *c);
void conn_way_close(struct conn *c); /* after the teardown */
int64_t conn_connect_ms(const struct conn *c);
enum go conn_session_begin(struct conn *c); /* there is a socket: libssh2's turn */

/* Each goes on with its part of the state machine. */
enum go conn_handshake(struct conn *c);  /* ssh_auth.c */
enum go conn_accepted(struct conn *c);
enum go conn_auth(struct conn *c);
enum go conn_signed(struct conn *c);
enum go conn_authenticate(struct conn *c); /* ssh_methods.c: goes on with what is left to try */
enum go conn_methods(struct conn *c);
enum go conn_auth_failed(struct conn *c, const char *why); /* why: what decided it, or NULL */
enum go conn_authenticated(struct conn *c, const char *how);
/* It has ended the connection over what was given last (`pending`, or nothing). */
enum go conn_hung_up(struct conn *c);
void conn_tried(struct conn *c, const char *label, const char *result);
enum go conn_password(struct conn *c);   /* ssh_password.c */
enum go conn_kbdint(struct conn *c);
enum go conn_kbdint_done(struct conn *c);
enum go conn_open(struct conn *c);       /* ssh_run.c */
enum go conn_env(struct conn *c);        /* ssh_env.c */
enum go conn_exec(struct conn *c);
enum go conn_run(struct conn *c);
/* Whether a channel whose output has ended (since *eof_ms; 0: begins now, with the session's timer if
 * told) need not wait longer for the server to close it. The library's close is content with any packet
 * as the answer, one of another channel too, and then the exit status has not come; and a server that
 * gets our CLOSE first may forget to tell it. All close by themselves within a moment of the end. */
bool conn_close_due(struct conn *c, int64_t *eof_ms, bool timer);
enum go conn_close(struct conn *c);
enum go conn_over(struct conn *c);
enum go conn_report(struct conn *c);     /* the end of a channel that the server has closed */
bool conn_sftp_wanted(const struct conn *c); /* ssh_sftp.c: no command has run, it is a copy */
bool conn_sftp_hindered(const struct conn *c); /* but for another user's sake */
enum go conn_sftp_begin(struct conn *c, bool denied);
enum go conn_sftp(struct conn *c);
void conn_sftp_stop(struct conn *c);
void conn_sftp_free(struct conn *c);
void conn_keepalive(struct conn *c);
void conn_feed_free(struct conn *c);
void conn_stop_step(struct conn *c);     /* ssh_stop.c */
void conn_stop_ask(struct conn *c, int sig);
void conn_stop_look(struct conn *c); /* a timer has passed */
void conn_stop_free(struct conn *c); /* before the session's watches go */
bool conn_stopping(const struct conn *c); /* it will call session_stopped() yet */

/* Ends the attempt. */
enum go conn_fail(struct conn *c, enum reason reason, bool retry, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Only ssh itself can do it: the transport openssh takes over, or it ends with this reason. */
enum go conn_fallback(struct conn *c, enum reason reason, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The connection is gone, or the library gave up: says what is known of why. */
enum go conn_lost(struct conn *c, int rc, const char *doing);

/* ssh_io.c: the library's view of the socket. */
LIBSSH2_SESSION *conn_session_new(struct conn *c);
void conn_flush(struct conn *c);        /* what is queued, as far as the socket takes it */
uint32_t conn_events(const struct conn *c);
const char *conn_io_text(const struct conn *c);
bool conn_banner_seen(const struct conn *c);
void conn_teardown(struct conn *c);

/* The last reference frees what is left. */
void conn_unref(struct conn *c);

void sign_work_free(void *arg);
void kbdint_work_free(void *arg);
void accept_work_free(void *arg);

#endif
