/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the transport openssh: what its sessions share, what is found out before ssh is
 * started, its arguments, and what its errors mean. */
#ifndef MUSTER_EXEC_OPENSSH_H
#define MUSTER_EXEC_OPENSSH_H

#include "list.h"
#include "ssh_conf.h"
#include "ssh_dest.h"

#include "muster/base/vec.h"
#include "muster/core/settings.h"
#include "muster/core/state.h"

#include <stdbool.h>
#include <stdint.h>

struct engine_config;
struct err;
struct help;
struct session;
struct ssh_shared;

/* --- shared by all sessions of an engine (openssh_shared.c) --- */

struct openssh_shared;
void *openssh_shared_new(const struct engine_config *cfg);
void openssh_shared_stop(void *shared);
void openssh_shared_free(void *shared);
struct ssh_shared *openssh_conf(struct openssh_shared *o);
bool openssh_can_ask(const struct openssh_shared *o); /* there is a user to be asked */
const char *openssh_self(const struct openssh_shared *o); /* this program's path, or NULL */

/* A turn: so many ssh programs run at once, as each costs megabytes and a tenth of a second. */
struct turn {
    struct link link;
    int fd; /* an eventfd, readable once granted; -1: granted at once */
    bool granted;
};
unsigned openssh_turns(const struct openssh_shared *o);
/* 0 or an errno. */
int turn_ask(struct openssh_shared *o, struct turn *t);
bool turn_granted(struct openssh_shared *o, struct turn *t);
/* Gives it back, or stops waiting. One that is all zero was never asked for. */
void turn_return(struct openssh_shared *o, struct turn *t);

/* A short path in a private folder, without its last letter. NULL with errno. Caller frees. */
char *openssh_path(struct openssh_shared *o);

/* --- what is found out first (openssh_args.c) --- */

struct openssh_hop {
    struct dest dest; /* as it is written */
    char *user, *hostname;
    struct ssh_conf *conf;
    struct strv known_hosts, identity; /* of the inventory's defaults; empty: ssh's own */
    bool accept_new;
};

struct openssh_prep {
    /* what it starts from: copies */
    struct openssh_shared *shared;
    char *node, *config;
    struct settings base, over;
    struct strv options;

    enum reason failed; /* why it ends here, when it does */
    bool retry;
    char *error;

    char *program;
    struct ssh_conf *conf;
    char *host; /* as ssh is given it */
    char *hostname, *user;
    int port;
    char *jump;       /* the setting's, or NULL */
    bool proxied;     /* by a jump host or a command */
    struct openssh_hop *hops; /* jump hosts, the first to be connected to first */
    size_t n_hops;
    char *master;     /* the live one of the user's, when there are jump hosts; or NULL */
    char *place;      /* whose handshakes are counted: the first hop's, or the host's own */
    int64_t connect_ms; /* of ssh_config; -1: none */
    struct strv known_hosts, identity; /* of settings; empty: ssh's own */
    bool accept_new;
    struct strv unread; /* known_hosts files that cannot be read, and why */
};
struct openssh_prep *openssh_prep_new(struct session *s);
void openssh_prep_free(void *arg); /* NULL allowed */
void openssh_prepare(void *arg, struct help *help); /* on a helper's thread */

/* How one child is started. */
struct openssh_call {
    const char *control; /* our own ControlPath; NULL: the user's, or none when fresh */
    bool fresh;          /* a connection of its own, whatever can be shared */
    const char *log;     /* what ssh itself says goes there */
    bool password;       /* there is one */
    bool ask;            /* ssh may ask */
    bool pty;
    int64_t connect_ms;
};
void openssh_words(const struct openssh_prep *p, const struct openssh_call *call, const char *line,
                   struct strv *out);
/* A line through the connection of the child that has this ControlPath, and through no other. */
void openssh_words_shared(const struct openssh_prep *p, const char *control, const char *line,
                          struct strv *out);
/* Our environment with what lets ssh ask by this socket; NULL: without. */
void openssh_env(const struct openssh_shared *o, const char *socket, struct strv *out);

/* What muster decides, whatever anybody else says: these stand first. */
void openssh_own_options(bool accept_new, const struct ssh_conf *conf,
                         const struct openssh_call *call, struct strv *out);
void openssh_known_hosts(const struct strv *files, struct strv *out);

/* --- through jump hosts (openssh_jump.c) --- */

/* Fills in p->hops by "a,b", and what ssh_config says of them. 0 or -code; 1 with an error too: they
 * lead round in a circle. */
int openssh_find_hops(struct openssh_prep *p, const char *chain, struct help *help, struct err *e);
void openssh_hops_clear(struct openssh_prep *p);
/* The ProxyCommand that goes through them; NULL: there are none. Caller frees. */
char *openssh_through(const struct openssh_prep *p, const struct openssh_call *call);
/* What prompts begin with that may get the password: ASKPASS_FORMS for each host on the way. */
void openssh_askers(const struct openssh_prep *p, struct strv *out);

/* --- what ssh says (openssh_why.c) --- */

struct openssh_why {
    enum reason reason;
    bool retry;
    char *text; /* one line, made harmless; caller frees */
};
/* The path's last bytes; "" when it cannot be read. Caller frees. */
char *openssh_read_log(const char *path);
void openssh_explain(const char *log, const char *proxy, struct openssh_why *out);
/* With the settings that may have brought it about, of which ssh does not speak. */
void openssh_blame(const struct openssh_prep *p, struct openssh_why *why);
/* It was refused, and the server lists a method that takes a password. */
bool openssh_wants_password(const char *log);
/* ssh says there that it lost the connection of a command that ran. */
bool openssh_lost_log(const char *log);
/* So does the end of the command's stderr, where it writes that too. */
bool openssh_lost(const char *err, size_t n);

#endif
