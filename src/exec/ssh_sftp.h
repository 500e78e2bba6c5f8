/* SPDX-License-Identifier: Apache-2.0 */
/* A copy by sftp, for servers that run no commands (ssh_sftp.c has the theory). Reactor's thread. */
#ifndef MUSTER_EXEC_SSH_SFTP_H
#define MUSTER_EXEC_SSH_SFTP_H

#include "ssh_conn.h"
#include "ssh_sftp_wire.h"

#include "muster/exec/copy.h"

#define SFTP_CHUNK ((size_t) 32 << 10) /* of data in one request: what every server takes */
#define SFTP_REQUESTS 16               /* of data on their way at once */
#define SFTP_NAME_MAX 4096             /* LIMIT: bytes of a path of the server's */

enum sftp_phase {
    SFTP_CLOSE,   /* the channel whose command was refused */
    SFTP_OPEN,
    SFTP_REQUEST, /* for the subsystem */
    SFTP_HELLO,   /* for the version */
    SFTP_WORK,
    SFTP_TIDY,    /* temporaries are removed, then it ends */
    SFTP_OVER
};

/* Reading a file with several requests at once; what comes is handed out in order. */
struct read_slot {
    uint32_t id;
    size_t want, got;
    uint64_t at;
    char *data;
    bool done; /* all of it is there, or the file ends in it */
};
struct reads {
    struct read_slot slot[SFTP_REQUESTS];
    unsigned first, n;
    uint64_t next, end; /* to be asked for */
    uint64_t came;      /* handed out */
    bool cut;           /* the file ended before */
};

struct push;
struct pull;

struct sftp {
    const struct copy_files *what;
    enum sftp_phase phase;
    bool denied;            /* the exec request was refused, and no command has run */
    LIBSSH2_CHANNEL *channel;
    struct wire wire;
    int64_t begun_ms;
    bool posix_rename;
    size_t waiting;         /* answers to come */
    char *remote;           /* as sftp takes it, without slashes at its end */
    bool remote_slash;      /* it had one */
    char *handle;           /* of the file or folder that is open */
    size_t handle_len;
    struct reads reads;
    int exit_code;          /* what it ends with, after tidying */
    bool cancelled;
    struct push *push;
    struct pull *pull;
};

/* A request: begun with its id counted; fields and wire_end() follow. */
uint32_t sftp_ask(struct sftp *f, enum fxp type);
void sftp_ask_path(struct sftp *f, enum fxp type, const char *path);   /* a whole one */
void sftp_ask_handle(struct sftp *f, enum fxp type);                   /* begun, with the handle */
/* The status of an answer; FX_OK too for one that carries something. */
uint32_t sftp_status(const struct answer *a);
bool sftp_take_handle(struct sftp *f, struct answer *a);
/* Ends it with this code, after tidying; a text goes to the node's stderr. */
void sftp_end(struct conn *c, int exit_code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A line for the node's stderr that ends nothing. */
void sftp_tell(struct conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What the server has answered, for people: "PATH: permission denied". Caller frees. */
char *sftp_why(const char *path, const struct answer *a);
/* Ends it with that. */
void sftp_refused(struct conn *c, int exit_code, const char *path, const struct answer *a);
bool sftp_denied(const struct answer *a);

/* ssh_sftp_reads.c */
void reads_begin(struct sftp *f, uint64_t size);
void reads_clear(struct sftp *f);
/* Asks for more, at most as many requests. */
void reads_ask(struct sftp *f);
/* Takes an answer. false: it is none of these, or an error of the server's. */
bool reads_answer(struct sftp *f, struct answer *a);
/* The next bytes in order, until the next call; NULL: none yet, or none at all. */
const char *reads_take(struct sftp *f, size_t *n);
bool reads_over(const struct sftp *f); /* everything was taken */

/* ssh_sftp_push.c and ssh_sftp_pull.c. answer: the one that was waited for; more: goes on with what
 * needs none, false when it waits. */
void push_begin(struct conn *c);
void push_answer(struct conn *c, struct answer *a);
void push_more(struct conn *c);
/* Between two names: a file that was there is put aside, and the new one is not in its place yet. Whoever
 * wants an end waits for it. The name that has to come back, or NULL. Caller frees. */
char *push_between(struct sftp *f);
/* Asks for the removal of what is left, as much as may be asked for at once. false: there is nothing. */
bool push_tidy(struct sftp *f);
void push_free(struct push *p);
void pull_begin(struct conn *c);
void pull_answer(struct conn *c, struct answer *a);
void pull_more(struct conn *c);
void pull_free(struct pull *p);

#endif
