/* SPDX-License-Identifier: Apache-2.0 */
/* Decryption of OpenSSH key files. The tags of the ciphers that have one are not looked at: the check
 * numbers tell a wrong passphrase, and the public half anything else. */
#include "ssh_unlock.h"

#include "ssh_wire.h"

#include "muster/base/alloc.h"
#include "muster/base/secret.h"

#include <openssl/err.h>
#include <openssl/evp.h>

static const struct cipher {
    const char *name;
    const EVP_CIPHER *(*evp)(void);
    size_t key, iv; /* bytes */
} ciphers[] = {
    {"aes256-ctr", EVP_aes_256_ctr, 32, 16},
    {"aes192-ctr", EVP_aes_192_ctr, 24, 16},
    {"aes128-ctr", EVP_aes_128_ctr, 16, 16},
    {"aes256-cbc", EVP_aes_256_cbc, 32, 16},
    {"aes192-cbc", EVP_aes_192_cbc, 24, 16},
    {"aes128-cbc", EVP_aes_128_cbc, 16, 16},
    {"3des-cbc", EVP_des_ede3_cbc, 24, 8},
    {"aes256-gcm@openssh.com", EVP_aes_256_gcm, 32, 12},
    {"aes128-gcm@openssh.com", EVP_aes_128_gcm, 16, 12},
    /* Two keys, of which the second is for lengths; no nonce: packet 0. */
    {"chacha20-poly1305@openssh.com", EVP_chacha20, 64, 0},
};

static const struct cipher *find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(ciphers); i++)
        if (strcmp(ciphers[i].name, name) == 0)
            return &ciphers[i];
    return NULL;
}

bool unlock_knows(const char *cipher)
{
    return find(cipher) != NULL;
}

/* key: the cipher's key, then its start. */
static bool decrypt(const struct cipher *c, const uint8_t *key, const void *secret, size_t n,
                    uint8_t *out)
{
    static const uint8_t chacha_start[16] = {1}; /* block 0 is the tag's key */
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int len = 0;
    bool done = ctx && EVP_DecryptInit_ex(ctx, c->evp(), NULL, key,
                                          c->iv ? key + c->key : chacha_start) > 0 &&
                EVP_CIPHER_CTX_set_padding(ctx, 0) > 0 &&
                EVP_DecryptUpdate(ctx, out, &len, secret, (int) n) > 0 && (size_t) len == n;

    EVP_CIPHER_CTX_free(ctx);
    ERR_clear_error();
    return done;
}

uint32_t unlock_rounds(const void *options, size_t options_len)
{
    struct wire w = wire_of(options, options_len);
    size_t salt_len;

    wire_string(&w, &salt_len);

    uint32_t rounds = wire_u32(&w);

    return w.bad ? 0 : rounds;
}

uint8_t *unlock_secret(const char *cipher, const void *options, size_t options_len,
                       const void *secret, size_t n, const char *passphrase)
{
    const struct cipher *c = find(cipher);
    struct wire w = wire_of(options, options_len);
    size_t salt_len;
    const uint8_t *salt = wire_string(&w, &salt_len);
    uint32_t rounds = wire_u32(&w);
    uint8_t key[64 + 16], *out = NULL;

    if (!c || w.bad || rounds > UNLOCK_ROUNDS_MAX || !n)
        return NULL;
    if (bcrypt_pbkdf(passphrase, salt, salt_len, rounds, key, c->key + c->iv)) {
        out = x_malloc(n + EVP_MAX_BLOCK_LENGTH);
        if (!decrypt(c, key, secret, n, out)) {
            secret_wipe(out, n);
            free(X_STEAL(out));
        }
    }
    secret_wipe(key, sizeof key);
    return out;
}
