/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures as ssh wants them, and what is special about RSA: its keys are of one type, and its
 * signatures of three (RFC 8332). */
#include "ssh_key.h"

#include "ssh_wire.h"

#include "muster/base/alloc.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

static const struct {
    const char *name;
    const EVP_MD *(*md)(void);
    uint32_t agent_flags;
} rsa_algorithms[] = {
    {"rsa-sha2-512", EVP_sha512, 4},
    {"rsa-sha2-256", EVP_sha256, 2},
    {"ssh-rsa", EVP_sha1, 0},
};

uint32_t ssh_agent_flags(const char *alg)
{
    for (size_t i = 0; alg && i < ARRAY_LEN(rsa_algorithms); i++)
        if (strcmp(rsa_algorithms[i].name, alg) == 0)
            return rsa_algorithms[i].agent_flags;
    return 0;
}

unsigned ssh_rsa_bits(const void *blob, size_t n)
{
    struct wire w = wire_of(blob, n);
    size_t len;
    const uint8_t *type = wire_string(&w, &len);

    if (!wire_is(type, len, "ssh-rsa"))
        return 0;
    wire_string(&w, &len); /* the exponent */

    const uint8_t *p = wire_string(&w, &len);

    while (len && !*p) {
        p++;
        len--;
    }
    if (!len)
        return 0;

    unsigned bits = (unsigned) len * 8;

    for (uint8_t top = *p; !(top & 0x80); top = (uint8_t) (top << 1))
        bits--;
    return bits;
}

uint8_t *ssh_rsa_relabel(const void *blob, size_t n, const char *alg, size_t *len)
{
    struct wire w = wire_of(blob, n);
    size_t type_len;
    struct strbuf b;

    wire_string(&w, &type_len);
    strbuf_init(&b, 0);
    wire_put_string(&b, alg, strlen(alg));
    strbuf_add(&b, w.p, w.n);
    *len = b.len;
    return (uint8_t *) strbuf_steal(&b);
}

/* ECDSA: libcrypto gives DER, ssh wants two mpints. */
static int ec_signature(const uint8_t *der, size_t der_len, uint8_t **sig, size_t *sig_len)
{
    ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &der, (long) der_len);
    struct strbuf b;
    uint8_t num[80];

    if (!s)
        return -1;

    const BIGNUM *rs[2] = {ECDSA_SIG_get0_r(s), ECDSA_SIG_get0_s(s)};

    strbuf_init(&b, 0);
    for (int i = 0; i < 2; i++)
        if (BN_num_bytes(rs[i]) <= (int) sizeof num)
            wire_put_mpint(&b, num, (size_t) BN_bn2bin(rs[i], num));
    *sig_len = b.len;
    *sig = (uint8_t *) strbuf_steal(&b);
    ECDSA_SIG_free(s);
    return 0;
}

/* Ed25519 has none of its own choice. */
static const EVP_MD *digest_of(const struct ssh_key *k, const char *alg)
{
    if (strcmp(k->type, "ecdsa-sha2-nistp256") == 0)
        return EVP_sha256();
    if (strcmp(k->type, "ecdsa-sha2-nistp384") == 0)
        return EVP_sha384();
    if (strcmp(k->type, "ecdsa-sha2-nistp521") == 0)
        return EVP_sha512();
    for (size_t i = 0; alg && i < ARRAY_LEN(rsa_algorithms); i++)
        if (strcmp(rsa_algorithms[i].name, alg) == 0)
            return rsa_algorithms[i].md();
    return NULL;
}

int ssh_key_sign(const struct ssh_key *k, const char *alg, const void *data, size_t n,
                 uint8_t **sig, size_t *sig_len)
{
    if (!k->pkey)
        return -1;

    const EVP_MD *md = digest_of(k, alg);
    bool rsa = strcmp(k->type, "ssh-rsa") == 0;
    size_t len = (size_t) EVP_PKEY_get_size(k->pkey);
    uint8_t *raw = x_malloc(len + 1);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ret = -1;

    if (ctx && (md || !rsa) && EVP_DigestSignInit(ctx, NULL, md, NULL, k->pkey) > 0 &&
        EVP_DigestSign(ctx, raw, &len, data, n) > 0) {
        if (md && !rsa) {
            ret = ec_signature(raw, len, sig, sig_len);
        } else {
            *sig = x_memdup(raw, len);
            *sig_len = len;
            ret = 0;
        }
    }
    free(raw);
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ret;
}
