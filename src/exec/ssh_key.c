/* SPDX-License-Identifier: Apache-2.0 */
/* Key files into EVP_PKEY, and signatures. OpenSSL cannot read OpenSSH's own format, so that is
 * taken apart here; everything else is left to it. */
#include "ssh_key.h"

#include "ssh_wire.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/hash.h"
#include "muster/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE_MAX 65536
#define ENCRYPTED_TEXT                                                                         \
    "is protected by a passphrase: load it into an agent (ssh-add %s), which muster then asks"

/* What each curve is called by ssh, inside a key, and by libcrypto. */
static const struct curve {
    const char *type, *name, *group;
    size_t bytes;
} curves[] = {
    {"ecdsa-sha2-nistp256", "nistp256", "prime256v1", 32},
    {"ecdsa-sha2-nistp384", "nistp384", "secp384r1", 48},
    {"ecdsa-sha2-nistp521", "nistp521", "secp521r1", 66},
};

static const struct curve *curve_by_type(const char *type)
{
    for (size_t i = 0; i < ARRAY_LEN(curves); i++)
        if (strcmp(curves[i].type, type) == 0)
            return &curves[i];
    return NULL;
}

bool ssh_type_usable(const char *type)
{
    return type && (strcmp(type, "ssh-ed25519") == 0 || curve_by_type(type));
}

const char *ssh_type_short(const char *type)
{
    if (!type)
        return "key";
    if (strcmp(type, "ssh-ed25519") == 0)
        return "ed25519";
    if (curve_by_type(type))
        return "ecdsa";
    if (strcmp(type, "ssh-rsa") == 0)
        return "rsa";
    if (strcmp(type, "ssh-dss") == 0)
        return "dsa";
    return type;
}

char *ssh_fingerprint(const void *blob, size_t n)
{
    uint8_t sum[SHA256_LEN];

    sha256_of(blob, n, sum);

    CLEANUP_FREE char *b64 = base64_encode(sum, sizeof sum);

    b64[strcspn(b64, "=")] = '\0';
    return x_asprintf("SHA256:%s", b64);
}

char *ssh_blob_type(const void *blob, size_t n)
{
    struct wire w = wire_of(blob, n);
    size_t len;
    const uint8_t *p = wire_string(&w, &len);

    if (!p || !len || len > 64)
        return NULL;
    for (size_t i = 0; i < len; i++)
        if (p[i] <= ' ' || p[i] >= 0x7f)
            return NULL;
    return x_strndup((const char *) p, len);
}

void ssh_hmac_sha1(const void *key, size_t key_len, const void *p, size_t n,
                   uint8_t out[SSH_SHA1_LEN])
{
    unsigned len = SSH_SHA1_LEN;

    if (!HMAC(EVP_sha1(), key, (int) key_len, p, n, out, &len))
        memset(out, 0, SSH_SHA1_LEN);
}

struct ssh_key *ssh_key_ref(struct ssh_key *k)
{
    __atomic_add_fetch(&k->refs, 1, __ATOMIC_RELAXED);
    return k;
}

void ssh_key_unref(struct ssh_key *k)
{
    if (!k || __atomic_sub_fetch(&k->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    EVP_PKEY_free(k->pkey);
    free(k->path);
    free(k->type);
    free(k->blob);
    free(k->problem);
    free(k);
}

static void key_set_blob(struct ssh_key *k, const void *blob, size_t n)
{
    free(k->blob);
    free(k->type);
    k->blob = x_memdup(blob, n);
    k->blob_len = n;
    k->type = ssh_blob_type(blob, n);
}

static void key_problem(struct ssh_key *k, char *text)
{
    if (k->problem)
        free(text);
    else
        k->problem = text;
}

/* A key of a type that the transport cannot sign with is named as such, not as damaged. */
static bool key_type_refused(struct ssh_key *k)
{
    if (ssh_type_usable(k->type))
        return false;
    if (k->type && strcmp(k->type, "ssh-rsa") == 0)
        key_problem(k, x_strdup("is an RSA key, which the ssh transport cannot use (its library "
                                "signs with SHA-1 only): use an ed25519 or ECDSA key"));
    else
        key_problem(k, x_asprintf("is of type %s, which the ssh transport cannot use: use an "
                                  "ed25519 or ECDSA key", k->type ? k->type : "unknown"));
    return true;
}

static EVP_PKEY *ec_pkey(const struct curve *cv, const uint8_t *pub, size_t pub_len,
                         const uint8_t *priv, size_t priv_len)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    BIGNUM *d = BN_bin2bn(priv, (int) priv_len, NULL);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM *params = NULL;
    EVP_PKEY *pkey = NULL;

    if (bld && d && ctx) {
        BN_set_flags(d, BN_FLG_CONSTTIME);
        if (OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, cv->group, 0) &&
            OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, pub, pub_len) &&
            OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, d))
            params = OSSL_PARAM_BLD_to_param(bld);
        if (!params || EVP_PKEY_fromdata_init(ctx) <= 0 ||
            EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params) <= 0)
            pkey = NULL;
    }
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    BN_clear_free(d);
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

/* The part of an OpenSSH key after the check numbers: type, public, private, comment. */
static EVP_PKEY *openssh_private(struct wire *w)
{
    size_t type_len, len, pub_len, priv_len;
    const uint8_t *type = wire_string(w, &type_len);

    if (wire_is(type, type_len, "ssh-ed25519")) {
        const uint8_t *pub = wire_string(w, &pub_len), *priv = wire_string(w, &priv_len);

        if (!pub || !priv || pub_len != 32 || priv_len != 64)
            return NULL;
        return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, priv, 32);
    }
    for (size_t i = 0; i < ARRAY_LEN(curves); i++) {
        if (!wire_is(type, type_len, curves[i].type))
            continue;

        const uint8_t *name = wire_string(w, &len);
        const uint8_t *pub = wire_string(w, &pub_len), *priv = wire_string(w, &priv_len);

        if (!wire_is(name, len, curves[i].name) || !pub || !priv || !pub_len || !priv_len ||
            priv_len > curves[i].bytes + 1)
            return NULL;
        return ec_pkey(&curves[i], pub, pub_len, priv, priv_len);
    }
    return NULL;
}

/* PROTOCOL.key of OpenSSH. */
static void parse_openssh(struct ssh_key *k, const uint8_t *p, size_t n)
{
    static const char magic[] = "openssh-key-v1";
    struct wire w = wire_of(p, n);
    const uint8_t *m = wire_bytes(&w, sizeof magic);
    size_t cipher_len, kdf_len, options_len, blob_len, secret_len;
    const uint8_t *cipher = wire_string(&w, &cipher_len);

    wire_string(&w, &kdf_len);
    wire_string(&w, &options_len);

    uint32_t count = wire_u32(&w);
    const uint8_t *blob = wire_string(&w, &blob_len), *secret = wire_string(&w, &secret_len);

    if (!m || memcmp(m, magic, sizeof magic) != 0 || count != 1 || !blob || !secret) {
        key_problem(k, x_strdup("is damaged (not a whole OpenSSH private key)"));
        return;
    }
    key_set_blob(k, blob, blob_len);
    if (key_type_refused(k))
        return;
    if (!wire_is(cipher, cipher_len, "none")) {
        key_problem(k, x_asprintf(ENCRYPTED_TEXT, k->path));
        return;
    }

    struct wire in = wire_of(secret, secret_len);
    uint32_t check = wire_u32(&in);

    if (check == wire_u32(&in) && !in.bad)
        k->pkey = openssh_private(&in);
    if (!k->pkey)
        key_problem(k, x_strdup("is damaged (the private part cannot be read)"));
}

/* The public half of what libcrypto has read, as ssh writes it. */
static void blob_from_pkey(struct ssh_key *k, EVP_PKEY *pkey)
{
    struct strbuf b;
    uint8_t pub[256];
    size_t len = sizeof pub;

    strbuf_init(&b, 0);
    if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_ED25519 &&
        EVP_PKEY_get_raw_public_key(pkey, pub, &len)) {
        wire_put_string(&b, "ssh-ed25519", 11);
        wire_put_string(&b, pub, len);
    } else if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA) {
        wire_put_string(&b, "ssh-rsa", 7);
    } else if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC) {
        char group[64] = "";

        EVP_PKEY_get_group_name(pkey, group, sizeof group, NULL);
        EVP_PKEY_set_utf8_string_param(pkey, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                       "uncompressed");
        for (size_t i = 0; i < ARRAY_LEN(curves); i++) {
            if (strcmp(group, curves[i].group) != 0 ||
                !EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, pub,
                                                 sizeof pub, &len))
                continue;
            wire_put_string(&b, curves[i].type, strlen(curves[i].type));
            wire_put_string(&b, curves[i].name, strlen(curves[i].name));
            wire_put_string(&b, pub, len);
        }
    }
    if (b.len)
        key_set_blob(k, b.s, b.len);
    strbuf_free(&b);
}

/* Without it libcrypto would ask on the terminal. */
static int no_passphrase(char *buf, int size, int rwflag, void *asked)
{
    *(bool *) asked = true;
    return -1;
}

static void parse_pem(struct ssh_key *k, const char *text, size_t n)
{
    bool encrypted = false;
    BIO *bio = BIO_new_mem_buf(text, (int) n);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &encrypted) : NULL;

    BIO_free(bio);
    ERR_clear_error();
    if (encrypted) {
        key_problem(k, x_asprintf(ENCRYPTED_TEXT, k->path));
    } else if (!pkey) {
        key_problem(k, x_strdup("is not a private key in a format that muster knows (OpenSSH, "
                                "PEM, PKCS#8)"));
    } else {
        blob_from_pkey(k, pkey);
        if (!key_type_refused(k)) {
            k->pkey = pkey;
            return;
        }
    }
    EVP_PKEY_free(pkey);
}

struct ssh_key *ssh_key_parse(const char *path, const char *text, size_t n)
{
    static const char begin[] = "-----BEGIN OPENSSH PRIVATE KEY-----";
    static const char end[] = "-----END OPENSSH PRIVATE KEY-----";
    struct ssh_key *k = x_calloc(1, sizeof *k);
    const char *from = memmem(text, n, begin, sizeof begin - 1);

    k->refs = 1;
    k->path = x_strdup(path);
    if (!from) {
        parse_pem(k, text, n);
        return k;
    }
    from += sizeof begin - 1;

    size_t left = n - (size_t) (from - text);
    const char *to = memmem(from, left, end, sizeof end - 1);
    char *b64 = x_malloc(left + 1);
    size_t b64_len = 0, raw_len = 0;

    for (const char *p = from; to && p < to; p++)
        if (*p > ' ')
            b64[b64_len++] = *p;

    uint8_t *raw = to ? base64_decode(b64, b64_len, &raw_len) : NULL;

    if (raw)
        parse_openssh(k, raw, raw_len);
    else
        key_problem(k, x_strdup("is damaged (not a whole OpenSSH private key)"));
    OPENSSL_cleanse(b64, left + 1);
    free(b64);
    if (raw)
        OPENSSL_cleanse(raw, raw_len);
    free(raw);
    return k;
}

/* The public half beside a private file that hides its own (an encrypted PEM file). */
static void blob_from_pub(struct ssh_key *k)
{
    CLEANUP_FREE char *path = x_asprintf("%s.pub", k->path);
    struct strbuf b;

    strbuf_init(&b, KEY_FILE_MAX);
    if (io_read_file(path, KEY_FILE_MAX, &b, NULL) == 0) {
        char *save = NULL;
        size_t n = 0;

        strtok_r(b.s, " \t\r\n", &save);

        char *b64 = strtok_r(NULL, " \t\r\n", &save);
        uint8_t *blob = b64 ? base64_decode(b64, strlen(b64), &n) : NULL;

        if (blob)
            key_set_blob(k, blob, n);
        free(blob);
    }
    strbuf_free(&b);
}

struct ssh_key *ssh_key_load(const char *path)
{
    struct ssh_key *k = NULL;
    struct strbuf b;
    struct stat st;
    struct err e = ERR_INIT;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    strbuf_init(&b, KEY_FILE_MAX);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        int saved = fd < 0 ? errno : EINVAL;

        k = x_calloc(1, sizeof *k);
        k->refs = 1;
        k->path = x_strdup(path);
        k->absent = saved == ENOENT || saved == ENOTDIR;
        k->problem = x_strdup(k->absent ? "does not exist"
                              : fd < 0  ? strerror(saved)
                                        : "is not a file");
    } else if (io_read_fd(fd, KEY_FILE_MAX, &b, &e) != 0) {
        k = x_calloc(1, sizeof *k);
        k->refs = 1;
        k->path = x_strdup(path);
        k->problem = x_asprintf("cannot be read: %s", e.msg);
    } else {
        k = ssh_key_parse(path, b.s, b.len);
        /* As ssh does: such a key may be anybody's by now. */
        if (st.st_uid == getuid() && (st.st_mode & 077)) {
            free(k->problem);
            k->problem = x_asprintf("can be read by others (mode %04o): chmod 600 %s",
                                    (unsigned) st.st_mode & 07777, path);
            EVP_PKEY_free(X_STEAL(k->pkey));
        }
    }
    if (!k->blob)
        blob_from_pub(k);
    OPENSSL_cleanse(b.s, b.len);
    strbuf_free(&b);
    err_clear(&e);
    if (fd >= 0)
        close(fd);
    return k;
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

int ssh_key_sign(const struct ssh_key *k, const void *data, size_t n, uint8_t **sig,
                 size_t *sig_len)
{
    const EVP_MD *md = NULL;
    uint8_t raw[512];
    size_t len = sizeof raw;
    int ret = -1;

    if (!k->pkey)
        return -1;
    if (strcmp(k->type, "ecdsa-sha2-nistp256") == 0)
        md = EVP_sha256();
    else if (strcmp(k->type, "ecdsa-sha2-nistp384") == 0)
        md = EVP_sha384();
    else if (strcmp(k->type, "ecdsa-sha2-nistp521") == 0)
        md = EVP_sha512();

    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    if (ctx && EVP_DigestSignInit(ctx, NULL, md, NULL, k->pkey) > 0 &&
        EVP_DigestSign(ctx, raw, &len, data, n) > 0) {
        if (md) {
            ret = ec_signature(raw, len, sig, sig_len);
        } else {
            *sig = x_memdup(raw, len);
            *sig_len = len;
            ret = 0;
        }
    }
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ret;
}
