/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 and SHA-1 (FIPS 180-4) by libcrypto, base64 (RFC 4648), random bytes and identifiers. Any thread;
 * one struct sha256 belongs to one. */
#ifndef MUSTER_BASE_HASH_H
#define MUSTER_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_LEN 32
struct sha256; /* opaque */
struct sha256 *sha256_new(void);
void sha256_add(struct sha256 *h, const void *p, size_t n);
void sha256_end(struct sha256 *h, uint8_t out[SHA256_LEN]); /* frees h */
void sha256_abandon(struct sha256 *h);                      /* frees h; NULL allowed */
void sha256_of(const void *p, size_t n, uint8_t out[SHA256_LEN]);

/* Only for names that others have chosen so: ssh's %C. */
#define SHA1_LEN 20
void sha1_of(const void *p, size_t n, uint8_t out[SHA1_LEN]);

char *base64_encode(const void *p, size_t n); /* caller frees; padded, one line */
/* Returns the bytes (caller frees, NUL after them) or NULL when it is not base64. */
void *base64_decode(const char *s, size_t n, size_t *len);

void random_bytes(void *p, size_t n);      /* getrandom(2); aborts when there is none */
void random_hex(char *out, size_t nbytes); /* 2 * nbytes digits and a NUL */
void random_uuid(char out[37]);            /* RFC 9562 version 4 */
/* A jitter in [0, below): for backoff, not for secrets. */
uint32_t random_below(uint32_t below);
const char *hash_library_version(void); /* of libcrypto, the one it runs with */

#endif
