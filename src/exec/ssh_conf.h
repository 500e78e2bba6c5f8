/* SPDX-License-Identifier: Apache-2.0 */
/* What ssh_config says for a host, as `ssh -G` prints it, reduced to what the ssh transport honours
 * or must refuse: ssh_keywords.h has the table. Values are as written: no ~ and no %-token is filled
 * in yet. Pure, but for conf_run(), which blocks and belongs to helper threads. */
#ifndef MUSTER_EXEC_SSH_CONF_H
#define MUSTER_EXEC_SSH_CONF_H

#include "muster/base/vec.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct help;

enum conf_strict { STRICT_YES, STRICT_ACCEPT_NEW }; /* never off */
#define STRICT_OFF_TEXT \
    "StrictHostKeyChecking=no is taken as accept-new: a changed key is still refused"

struct ssh_conf {
    int refs; /* atomic; immutable once shared */
    char *hostname, *user;
    int port;
    int family; /* AF_UNSPEC, AF_INET, AF_INET6 */
    char *bind_address;
    int64_t connect_timeout_ms; /* -1: none given */
    struct strv identity_files, user_hosts, global_hosts;
    char *user_hosts_said, *global_hosts_said; /* as `ssh -G` prints them; NULL: it was not asked */
    bool identities_only;
    char *identity_agent; /* NULL: SSH_AUTH_SOCK */
    enum conf_strict strict;
    char *host_key_alias;
    char *kex, *ciphers, *macs, *host_key_algs; /* NULL: no list given */
    char *key_algs;
    bool hash_hosts;
    int alive_interval, alive_count; /* seconds; 0: off */
    char *revoked_keys;            /* NULL: no file named */
    struct strv send_env, set_env; /* patterns of names; NAME=VALUE */
    char *unsupported;    /* "SessionType none": the first setting that nothing here can honour */
    const char *instead;  /* "SessionType=default": the -o that does without it, or NULL */
    char *openssh;        /* "CertificateFile ~/c.pub": the first one that only ssh itself can honour */
    const char *openssh_instead;
    char *proxy_jump, *proxy_command; /* NULL: none; ProxyJump came first where both are given */
    char *control_path;               /* NULL: none */
    char *preferred;                  /* PreferredAuthentications; NULL: the usual order */
    bool no_pubkey, no_password, no_kbdint; /* methods that are switched off */
    bool gssapi, hostbased;           /* ssh would try these too */
    bool batch_mode;                  /* no passphrase is asked for */
    bool request_tty;
    bool knows_fork; /* its ssh has ForkAfterAuthentication and StdinNull (8.7) */
    int required_rsa;                 /* bits; 0: no limit given */
    struct strv warnings; /* what is left out, or taken otherwise */
};

struct ssh_conf *conf_new(void); /* OpenSSH's own defaults where no ssh program is */
struct ssh_conf *conf_ref(struct ssh_conf *c);
void conf_unref(struct ssh_conf *c); /* NULL allowed */
/* One line of `ssh -G`, or one -o of the user's; keyword in any case. */
void conf_apply(struct ssh_conf *c, const char *keyword, const char *value);
/* All lines of `ssh -G`; the text is cut in place. */
struct ssh_conf *conf_parse(char *text);
/* The home of the account for the ~ of its paths, as conf_parse() does it at the end. */
void conf_fill_homes(struct ssh_conf *c);
/* "KEY=VALUE" or "KEY VALUE" into its halves. keyword: caller frees; value points into option.
 * false: neither. */
bool conf_option(const char *option, char **keyword, const char **value);
/* One of them (or NULL) is for this keyword, in lower case: it is stronger than the node's settings. */
bool conf_options_name(const struct strv *options, const char *keyword);

/* There are some for this keyword, and each says this. */
bool conf_options_all(const struct strv *options, const char *keyword, const char *value);
/* One of them says exactly this. */
bool conf_options_give(const struct strv *options, const char *keyword, const char *value);

/* What conf_run() needs of ssh's command line. */
struct conf_query {
    const char *host;
    const char *config;         /* -F, or NULL */
    const struct strv *options; /* -o, or NULL */
    const char *user;           /* -l and -p, for Match lines; NULL and 0: not given */
    int port;
    const char *base_user;      /* the same of the inventory's defaults: where no file names one */
    int base_port;
    struct help *help;          /* whose work it is, or NULL */
    int64_t limit_ms;           /* how long ssh may take; 0: the usual */
};
/* Asks `ssh -G`. 0 with *out; 1 when there is no ssh program; -code. */
int conf_run(const struct conf_query *q, struct ssh_conf **out, struct err *e);

/* The same, but the lines as they are printed: NULL and *ret where conf_run() has no answer. */
char *conf_ask(const struct conf_query *q, int *ret, struct err *e);

/* This ssh puts "(USER@HOST) " before what a server asks, as 8.5 and later do. */
bool conf_names_askers(struct help *help);

/* The home of the account, which is what ssh means by ~, whatever $HOME says. Caller frees. */
char *conf_home(void);

/* What fills in the tokens of a path. */
struct conf_tokens {
    const char *host;      /* %h: resolved */
    const char *original;  /* %n: as given */
    const char *key_alias; /* %k */
    const char *user;      /* %r */
    int port;              /* %p */
    const char *jump;      /* %j, and in %C, where this ssh has them; NULL: it does not */
};
/* ~ ($HOME: what is from ssh has none left), ${VAR} and the %-tokens. NULL when it has a token
 * or variable that muster does not know. Caller frees. */
char *conf_expand(const char *path, const struct conf_tokens *t);

#endif
