/* SPDX-License-Identifier: Apache-2.0 */
/* known_hosts: muster's own reader, because the library's ignores @revoked, wildcards and negation.
 * A parsed file never changes, so any thread may look into it. */
#ifndef MUSTER_EXEC_SSH_HOSTS_H
#define MUSTER_EXEC_SSH_HOSTS_H

#include "muster/base/vec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum hosts_mark { HOSTS_PLAIN, HOSTS_REVOKED, HOSTS_CA };

struct hosts_entry {
    enum hosts_mark mark;
    unsigned line;
    char *type;
    uint8_t *blob;
    size_t blob_len;
    char *names; /* the field as it stands, for patterns and hashed names */
};

struct hosts_file; /* refcounted, immutable */
/* An absent file is an empty one. Never NULL; what cannot be read is empty too and says so in
 * hosts_problem(). */
struct hosts_file *hosts_load(const char *path);
struct hosts_file *hosts_parse(const char *path, const char *text, size_t n);
struct hosts_file *hosts_ref(struct hosts_file *f);
void hosts_unref(struct hosts_file *f);
const char *hosts_path(const struct hosts_file *f);
const char *hosts_problem(const struct hosts_file *f); /* NULL: none */
bool hosts_fresh(const struct hosts_file *f);          /* false: the file has changed since */

/* What the files know of one host. */
struct hosts_match {
    const struct hosts_entry *entry;
    struct hosts_file *file; /* a reference */
    bool by_plain_name;      /* found without its port: may accept, never refuse */
};
struct hosts_known {
    struct hosts_match *v;
    size_t n, cap;
};
/* name: "web1" or "[web1]:2222", lower case. plain_name: without its port, or NULL. */
void hosts_lookup(struct hosts_file *f, const char *name, const char *plain_name,
                  struct hosts_known *out);
void hosts_known_clear(struct hosts_known *k);

enum hosts_answer {
    HOSTS_OK,
    HOSTS_UNKNOWN,
    HOSTS_CHANGED,  /* *where: the line it differs from */
    HOSTS_IS_REVOKED,
    HOSTS_ONLY_CA   /* only certificates of an authority are trusted for it */
};
enum hosts_answer hosts_check(const struct hosts_known *k, const char *type, const void *blob,
                              size_t n, const struct hosts_match **where);

/* Adds a line, unless another process was first: checks again under the file's lock. 0 when the key
 * is in the file afterwards; 1 when the file now has another key for that name (*line); -code. */
int hosts_append(const char *path, const char *name, bool hashed, const char *type,
                 const void *blob, size_t n, unsigned *line, struct err *e);

/* RevokedHostKeys: a file of public keys, one a line; an absent or unreadable one, or one with a line
 * that is none, has a hosts_problem(), and then nothing may be trusted. */
struct hosts_file *hosts_load_revoked(const char *path);
bool hosts_is_krl(const struct hosts_file *f); /* a key revocation list: not read any further */
/* The line that revokes this key, or 0. */
unsigned hosts_revokes(const struct hosts_file *f, const void *blob, size_t n);

/* '*' and '?', as ssh has them. */
bool hosts_pattern(const char *pattern, const char *s);

#endif
