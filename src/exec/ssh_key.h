/* SPDX-License-Identifier: Apache-2.0 */
/* Private keys of the user's: read from files once, signing for libssh2. The only place of the exec
 * layer that knows libcrypto. A loaded key never changes, so any thread may sign with it. */
#ifndef MUSTER_EXEC_SSH_KEY_H
#define MUSTER_EXEC_SSH_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ssh_key {
    int refs; /* atomic */
    char *path;
    char *type;    /* "ssh-ed25519", ...; NULL when not even that could be read */
    uint8_t *blob; /* the public half as it goes over the wire; may be NULL */
    size_t blob_len;
    void *pkey;    /* EVP_PKEY; NULL: this file cannot sign, see problem */
    char *problem; /* "is encrypted: ...", without the path; NULL when it can sign */
    bool absent;   /* there is no such file */
};

/* Reads a file (OpenSSH's own format, PEM, PKCS#8). Never NULL: what is wrong is in `problem`. */
struct ssh_key *ssh_key_load(const char *path);
/* The same from its text, for tests and for whom has read it already. */
struct ssh_key *ssh_key_parse(const char *path, const char *text, size_t n);
struct ssh_key *ssh_key_ref(struct ssh_key *k);
void ssh_key_unref(struct ssh_key *k); /* NULL allowed */

/* Signs as ssh wants it inside "string algorithm, string signature". 0, and malloc'd bytes, or
 * -1. */
int ssh_key_sign(const struct ssh_key *k, const void *data, size_t n, uint8_t **sig,
                 size_t *sig_len);

/* Types that the ssh transport can sign with. */
bool ssh_type_usable(const char *type);
/* "ed25519", "ecdsa", "rsa", ... for people; static or inside `type`. */
const char *ssh_type_short(const char *type);
char *ssh_fingerprint(const void *blob, size_t n); /* "SHA256:..."; caller frees */
/* The type at the head of a public key blob; caller frees; NULL when it is none. */
char *ssh_blob_type(const void *blob, size_t n);

#define SSH_SHA1_LEN 20
void ssh_hmac_sha1(const void *key, size_t key_len, const void *p, size_t n,
                   uint8_t out[SSH_SHA1_LEN]);

#endif
