/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 by libcrypto, base64, random bytes and identifiers. */
#include "muster/base/hash.h"

#include "muster/base/alloc.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <errno.h>
#include <string.h>
#include <sys/random.h>

struct sha256 {
    EVP_MD_CTX *ctx;
};

struct sha256 *sha256_new(void)
{
    struct sha256 *h = x_calloc(1, sizeof *h);

    h->ctx = EVP_MD_CTX_new();
    /* It can only fail for want of memory or with a libcrypto that has no SHA-256 at all. */
    if (!h->ctx || EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) != 1)
        abort();
    return h;
}

void sha256_add(struct sha256 *h, const void *p, size_t n)
{
    if (n && EVP_DigestUpdate(h->ctx, p, n) != 1)
        abort();
}

void sha256_end(struct sha256 *h, uint8_t out[SHA256_LEN])
{
    unsigned len = 0;

    if (EVP_DigestFinal_ex(h->ctx, out, &len) != 1 || len != SHA256_LEN)
        abort();
    sha256_abandon(h);
}

void sha256_abandon(struct sha256 *h)
{
    if (!h)
        return;
    EVP_MD_CTX_free(h->ctx);
    free(h);
}

void sha256_of(const void *p, size_t n, uint8_t out[SHA256_LEN])
{
    struct sha256 *h = sha256_new();

    sha256_add(h, p, n);
    sha256_end(h, out);
}

void sha1_of(const void *p, size_t n, uint8_t out[SHA1_LEN])
{
    if (EVP_Digest(p, n, out, NULL, EVP_sha1(), NULL) != 1)
        abort();
}

static const char b64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *p, size_t n)
{
    const uint8_t *in = p;
    char *out = x_array(NULL, n / 3 + 2, 4), *o = out;

    for (; n >= 3; n -= 3, in += 3) {
        *o++ = b64[in[0] >> 2];
        *o++ = b64[(in[0] & 3) << 4 | in[1] >> 4];
        *o++ = b64[(in[1] & 15) << 2 | in[2] >> 6];
        *o++ = b64[in[2] & 63];
    }
    if (n) {
        *o++ = b64[in[0] >> 2];
        *o++ = b64[(in[0] & 3) << 4 | (n == 2 ? in[1] >> 4 : 0)];
        *o++ = n == 2 ? b64[(in[1] & 15) << 2] : '=';
        *o++ = '=';
    }
    *o = '\0';
    return out;
}

static int b64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

void *base64_decode(const char *s, size_t n, size_t *len)
{
    size_t pad = 0;
    uint8_t *out, *o;
    uint32_t bits = 0;

    if (n % 4)
        return NULL;
    while (pad < 2 && pad < n && s[n - 1 - pad] == '=')
        pad++;
    out = o = x_malloc(n / 4 * 3 + 1);
    for (size_t i = 0; i < n; i++) {
        int v = i >= n - pad ? 0 : b64_value(s[i]);

        if (v < 0) {
            free(out);
            return NULL;
        }
        bits = bits << 6 | (uint32_t) v;
        if (i % 4 == 3) {
            *o++ = (uint8_t) (bits >> 16);
            *o++ = (uint8_t) (bits >> 8);
            *o++ = (uint8_t) bits;
        }
    }
    /* Bits that no byte holds must be 0, so that each value has one spelling. */
    if (pad && (bits & (pad == 2 ? 0xffffu : 0xffu))) {
        free(out);
        return NULL;
    }
    *len = (size_t) (o - out) - pad;
    out[*len] = '\0';
    return out;
}

void random_bytes(void *p, size_t n)
{
    uint8_t *out = p;

    while (n) {
        ssize_t got = getrandom(out, n, 0);

        if (got < 0) {
            if (errno == EINTR)
                continue;
            abort();
        }
        out += got;
        n -= (size_t) got;
    }
}

static char *put_hex(char *out, const uint8_t *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        *out++ = digits[p[i] >> 4];
        *out++ = digits[p[i] & 15];
    }
    *out = '\0';
    return out;
}

void random_hex(char *out, size_t nbytes)
{
    uint8_t part[32];

    *out = '\0';
    while (nbytes) {
        size_t n = nbytes < sizeof part ? nbytes : sizeof part;

        random_bytes(part, n);
        out = put_hex(out, part, n);
        nbytes -= n;
    }
}

void random_uuid(char out[37])
{
    static const uint8_t groups[] = {4, 2, 2, 2, 6};
    uint8_t raw[16], *p = raw;

    random_bytes(raw, sizeof raw);
    raw[6] = (uint8_t) ((raw[6] & 0x0f) | 0x40);
    raw[8] = (uint8_t) ((raw[8] & 0x3f) | 0x80);
    for (size_t i = 0; i < sizeof groups; i++) {
        if (i)
            *out++ = '-';
        out = put_hex(out, p, groups[i]);
        p += groups[i];
    }
}

uint32_t random_below(uint32_t below)
{
    uint32_t r;

    random_bytes(&r, sizeof r);
    return (uint32_t) (((uint64_t) r * below) >> 32);
}

const char *hash_library_version(void)
{
    return OpenSSL_version(OPENSSL_VERSION_STRING);
}
