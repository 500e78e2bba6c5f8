/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSH's own encrypted key files: the passphrase goes through bcrypt, which libcrypto has not. */
#ifndef MUSTER_EXEC_SSH_UNLOCK_H
#define MUSTER_EXEC_SSH_UNLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool unlock_knows(const char *cipher); /* as the file names it */
/* The file's secret part, decrypted: n bytes that the caller wipes and frees; they are garbage when
 * the passphrase is wrong, which their check numbers show. options: of bcrypt, as they are in the
 * file. NULL: a cipher that is not known, or damaged. Takes as long as bcrypt is meant to. */
uint8_t *unlock_secret(const char *cipher, const void *options, size_t options_len,
                       const void *secret, size_t n, const char *passphrase);

#define UNLOCK_ROUNDS_MAX 100000 /* some minutes: nobody means more */
uint32_t unlock_rounds(const void *options, size_t options_len); /* of bcrypt; 0: not to be read */

/* ssh_bcrypt.c. false: what it is given makes no sense. */
bool bcrypt_pbkdf(const char *passphrase, const uint8_t *salt, size_t salt_len, unsigned rounds,
                  uint8_t *key, size_t len);

#endif
