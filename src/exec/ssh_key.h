/* SPDX-License-Identifier: Apache-2.0 */
/* Private keys of the user's: read from files once, signing for libssh2. The only place of the exec
 * layer that knows libcrypto. A loaded key never changes, so any thread may sign with it. */
#ifndef MUSTER_EXEC_SSH_KEY_H
#define MUSTER_EXEC_SSH_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_DIGEST_LEN 32

struct ssh_key {
    int refs; /* atomic */
    char *path;
    char *type;    /* "ssh-ed25519", ...; NULL when not even that could be read */
    uint8_t *blob; /* the public half as it goes over the wire; may be NULL */
    size_t blob_len;
    void *pkey;    /* EVP_PKEY; NULL: this file cannot sign, see problem */
    char *problem; /* "is damaged ...", without the path; NULL when it can sign */
    bool absent;   /* there is no such file */
    bool public_only; /* the file is a public key: only an agent can sign for it */
    bool locked;   /* all that is wrong is that it needs a passphrase: ssh_key_unlock() */
    uint8_t digest[KEY_DIGEST_LEN]; /* of a locked file; of others all zero */
};

/* Reads a file (OpenSSH's own format, PEM, PKCS#8). Never NULL: what is wrong is in `problem`. */
struct ssh_key *ssh_key_load(const char *path);
/* The same from its text, for tests and for whom has read it already. */
struct ssh_key *ssh_key_parse(const char *path, const char *text, size_t n);
/* A locked key's file again, with its passphrase. Never NULL: without `pkey`, still locked when the
 * passphrase is wrong. Costs what the user's KDF costs. */
struct ssh_key *ssh_key_unlock(const struct ssh_key *locked, const char *passphrase);
struct ssh_key *ssh_key_ref(struct ssh_key *k);
void ssh_key_unref(struct ssh_key *k); /* NULL allowed */

/* Signs as ssh wants it inside "string algorithm, string signature". alg: which of the RSA ones,
 * for others NULL. 0, and malloc'd bytes, or -1. */
int ssh_key_sign(const struct ssh_key *k, const char *alg, const void *data, size_t n,
                 uint8_t **sig, size_t *sig_len);
uint32_t ssh_agent_flags(const char *alg); /* what makes an agent sign so; NULL: 0 */
unsigned ssh_rsa_bits(const void *blob, size_t n); /* 0: not an RSA key */
/* An ssh-rsa blob that calls itself by the signature's algorithm, which is how the library, that
 * takes the one for the other, is made to offer rsa-sha2-512: sshd reads it as the same key. Caller
 * frees. */
uint8_t *ssh_rsa_relabel(const void *blob, size_t n, const char *alg, size_t *len);

/* Types that the ssh transport can sign with, and those of host keys that it can check. */
bool ssh_type_usable(const char *type);
bool ssh_host_type_usable(const char *type);
/* "ed25519", "ecdsa", "rsa", ... for people; static or inside `type`. */
const char *ssh_type_short(const char *type);
char *ssh_fingerprint(const void *blob, size_t n); /* "SHA256:..."; caller frees */
/* The type at the head of a public key blob; caller frees; NULL when it is none. */
char *ssh_blob_type(const void *blob, size_t n);

#define SSH_SHA1_LEN 20
void ssh_hmac_sha1(const void *key, size_t key_len, const void *p, size_t n,
                   uint8_t out[SSH_SHA1_LEN]);

#endif
