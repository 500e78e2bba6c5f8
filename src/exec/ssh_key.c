/* SPDX-License-Identifier: Apache-2.0 */
/* Key files into EVP_PKEY. OpenSSL cannot read OpenSSH's own format, so that is
 * taken apart here; everything else is left to it. */
#include "ssh_key.h"

#include "ssh_unlock.h"
#include "ssh_wire.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/hash.h"
#include "muster/base/io.h"
#include "muster/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE_MAX 65536
#define RSA_NUMBER_MAX 2049 /* bytes: 16384 bits, as OpenSSH, and a zero in front */
#define LOCKED_TEXT                                                                            \
    "is protected by a passphrase: load it into the agent (ssh-add %s), nobody can be asked here"

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

bool ssh_host_type_usable(const char *type)
{
    return type && (strcmp(type, "ssh-ed25519") == 0 || curve_by_type(type));
}

bool ssh_type_usable(const char *type)
{
    return ssh_host_type_usable(type) || (type && strcmp(type, "ssh-rsa") == 0);
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
    key_problem(k, x_asprintf("is of type %s, which the ssh transport cannot use: use an ed25519, "
                              "ECDSA or RSA key", k->type ? k->type : "unknown"));
    return true;
}

static EVP_PKEY *ec_pkey(const struct curve *cv, const uint8_t *pub, size_t pub_len,
                         const uint8_t *priv, size_t priv_len)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    BIGNUM *d = BN_secure_new(); /* by which the parameters' copy of it is wiped, too */
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM *params = NULL;
    EVP_PKEY *pkey = NULL;

    if (bld && d && ctx && BN_bin2bn(priv, (int) priv_len, d)) {
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

/* n, e, d, iqmp, p, q as they follow each other in the file. Their sizes are those of the file at
 * most; whether they belong together is for the caller to check. */
static EVP_PKEY *rsa_pkey(struct wire *w)
{
    static const char *const names[] = {
        OSSL_PKEY_PARAM_RSA_N,       OSSL_PKEY_PARAM_RSA_E,       OSSL_PKEY_PARAM_RSA_D,
        OSSL_PKEY_PARAM_RSA_COEFFICIENT1, OSSL_PKEY_PARAM_RSA_FACTOR1,
        OSSL_PKEY_PARAM_RSA_FACTOR2, OSSL_PKEY_PARAM_RSA_EXPONENT1, OSSL_PKEY_PARAM_RSA_EXPONENT2,
    };
    enum { D = 2, P = 4, DP = 6, COUNT = ARRAY_LEN(names) };
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    BN_CTX *bn_ctx = BN_CTX_secure_new();
    BIGNUM *v[COUNT] = {NULL}, *less = BN_secure_new();
    OSSL_PARAM *params = NULL;
    EVP_PKEY *pkey = NULL;
    bool good = bld && ctx && bn_ctx && less;

    for (int i = 0; i < COUNT && good; i++) {
        size_t len = 0;
        const uint8_t *p = i < DP ? wire_string(w, &len) : NULL;

        v[i] = BN_secure_new();
        good = v[i] && (i >= DP || (p && len && len <= RSA_NUMBER_MAX &&
                                    BN_bin2bn(p, (int) len, v[i])));
        if (good && i >= DP) /* d mod (p - 1), d mod (q - 1) */
            good = BN_sub(less, v[P + i - DP], BN_value_one()) &&
                   BN_mod(v[i], v[D], less, bn_ctx);
        if (good && i >= D)
            BN_set_flags(v[i], BN_FLG_CONSTTIME);
        good = good && OSSL_PARAM_BLD_push_BN(bld, names[i], v[i]);
    }
    params = good ? OSSL_PARAM_BLD_to_param(bld) : NULL;
    if (!params || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params) <= 0)
        pkey = NULL;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    for (int i = 0; i < COUNT; i++)
        BN_clear_free(v[i]);
    BN_clear_free(less);
    BN_CTX_free(bn_ctx);
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
    if (wire_is(type, type_len, "ssh-rsa"))
        return rsa_pkey(w);
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

static void put_rsa(struct strbuf *b, EVP_PKEY *pkey)
{
    static const char *const parts[] = {OSSL_PKEY_PARAM_RSA_E, OSSL_PKEY_PARAM_RSA_N};

    wire_put_string(b, "ssh-rsa", 7);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        uint8_t num[RSA_NUMBER_MAX];
        BIGNUM *v = NULL;

        if (EVP_PKEY_get_bn_param(pkey, parts[i], &v) && BN_num_bytes(v) <= (int) sizeof num)
            wire_put_mpint(b, num, (size_t) BN_bn2bin(v, num));
        BN_free(v);
    }
}

/* The public half of what libcrypto has read, as ssh writes it; empty for other kinds of keys. */
static void put_public(struct strbuf *out, EVP_PKEY *pkey)
{
    uint8_t pub[256];
    size_t len = sizeof pub;

    if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_ED25519 &&
        EVP_PKEY_get_raw_public_key(pkey, pub, &len)) {
        wire_put_string(out, "ssh-ed25519", 11);
        wire_put_string(out, pub, len);
    } else if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA) {
        put_rsa(out, pkey);
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
            wire_put_string(out, curves[i].type, strlen(curves[i].type));
            wire_put_string(out, curves[i].name, strlen(curves[i].name));
            wire_put_string(out, pub, len);
        }
    }
}

/* The private half belongs to the public one that is shown. */
static bool pkey_fits(const struct ssh_key *k, EVP_PKEY *pkey)
{
    struct strbuf b;

    strbuf_init(&b, 0);
    put_public(&b, pkey);

    bool fits = b.len == k->blob_len && memcmp(b.s, k->blob, b.len) == 0;

    strbuf_free(&b);
    return fits;
}

/* Only a cipher that can be undone here makes the key one that is asked for. */
static void set_locked(struct ssh_key *k, const uint8_t *cipher, size_t cipher_len,
                       const uint8_t *kdf, size_t kdf_len)
{
    CLEANUP_FREE char *name = x_strndup((const char *) cipher, cipher_len < 64 ? cipher_len : 64);

    k->locked = wire_is(kdf, kdf_len, "bcrypt") && unlock_knows(name);
    if (k->locked) {
        key_problem(k, x_asprintf(LOCKED_TEXT, k->path));
        return;
    }

    CLEANUP_FREE char *clean = text_clean(name);

    key_problem(k, x_asprintf("is encrypted with %s, which cannot be undone here: load it into the "
                              "agent (ssh-add %s), or write it anew (ssh-keygen -p -Z aes256-ctr)",
                              clean, k->path));
}

/* What would take hours is no key that is asked for. */
static bool rounds_refused(struct ssh_key *k, const void *options, size_t options_len)
{
    unsigned long rounds = unlock_rounds(options, options_len);

    if (rounds <= UNLOCK_ROUNDS_MAX)
        return false;
    key_problem(k, x_asprintf("is protected by %lu rounds of bcrypt, and at most %d are done here: load it "
                              "into the agent (ssh-add %s), or write it anew (ssh-keygen -p -a 100 -f %s)",
                              rounds, UNLOCK_ROUNDS_MAX, k->path, k->path));
    return true;
}

/* The secret part as it is without encryption. What is wrong is the passphrase, as far as can be
 * told. */
static void read_private(struct ssh_key *k, const uint8_t *secret, size_t n, bool was_locked)
{
    struct wire in = wire_of(secret, n);
    uint32_t check = wire_u32(&in);
    bool same = check == wire_u32(&in) && !in.bad;

    if (same)
        k->pkey = openssh_private(&in);
    if (k->pkey && !pkey_fits(k, k->pkey))
        EVP_PKEY_free(X_STEAL(k->pkey));
    ERR_clear_error();
    if (k->pkey)
        return;
    k->locked = was_locked && !same;
    key_problem(k, k->locked ? x_strdup("wrong passphrase")
                             : x_strdup("is damaged (the private part cannot be read)"));
}

/* PROTOCOL.key of OpenSSH. */
static void parse_openssh(struct ssh_key *k, const uint8_t *p, size_t n, const char *passphrase)
{
    static const char magic[] = "openssh-key-v1";
    struct wire w = wire_of(p, n);
    const uint8_t *m = wire_bytes(&w, sizeof magic);
    size_t cipher_len, kdf_len, options_len, blob_len, secret_len;
    const uint8_t *cipher = wire_string(&w, &cipher_len), *kdf = wire_string(&w, &kdf_len);
    const uint8_t *options = wire_string(&w, &options_len);
    uint32_t count = wire_u32(&w);
    const uint8_t *blob = wire_string(&w, &blob_len), *secret = wire_string(&w, &secret_len);

    if (!m || memcmp(m, magic, sizeof magic) != 0 || count != 1 || !blob || !secret) {
        key_problem(k, x_strdup("is damaged (not a whole OpenSSH private key)"));
        return;
    }
    key_set_blob(k, blob, blob_len);
    if (key_type_refused(k))
        return;
    if (wire_is(cipher, cipher_len, "none")) {
        read_private(k, secret, secret_len, false);
        return;
    }
    if (wire_is(kdf, kdf_len, "bcrypt") && rounds_refused(k, options, options_len))
        return;
    if (!passphrase) {
        set_locked(k, cipher, cipher_len, kdf, kdf_len);
        return;
    }

    CLEANUP_FREE char *name = x_strndup((const char *) cipher, cipher_len);
    uint8_t *plain = unlock_secret(name, options, options_len, secret, secret_len, passphrase);

    if (!plain) {
        k->locked = !*passphrase; /* which bcrypt does not take */
        key_problem(k, x_strdup("is damaged (its encryption makes no sense)"));
        return;
    }
    read_private(k, plain, secret_len, true);
    OPENSSL_cleanse(plain, secret_len);
    free(plain);
}

/* Without it libcrypto would ask on the terminal. */
struct passphrase {
    const char *text; /* NULL: none is known */
    bool asked;
};
static int give_passphrase(char *buf, int size, int rwflag, void *ctx)
{
    struct passphrase *pass = ctx;
    size_t n = pass->text ? strlen(pass->text) : 0;

    pass->asked = true;
    if (!pass->text || n > (size_t) size)
        return -1;
    memcpy(buf, pass->text, n);
    return (int) n;
}

static void parse_pem(struct ssh_key *k, const char *text, size_t n, const char *passphrase)
{
    struct passphrase pass = {.text = passphrase};
    BIO *bio = BIO_new_mem_buf(text, (int) n);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, &pass) : NULL;

    BIO_free(bio);
    ERR_clear_error();
    if (!pkey && pass.asked) {
        k->locked = true;
        key_problem(k, x_asprintf(LOCKED_TEXT, k->path));
    } else if (!pkey) {
        key_problem(k, x_strdup("is not a private key in a format that muster knows (OpenSSH, "
                                "PEM, PKCS#8)"));
    } else {
        struct strbuf b;

        strbuf_init(&b, 0);
        put_public(&b, pkey);
        if (b.len)
            key_set_blob(k, b.s, b.len);
        strbuf_free(&b);
        if (!key_type_refused(k)) {
            k->pkey = pkey;
            return;
        }
    }
    EVP_PKEY_free(pkey);
}

static struct ssh_key *key_new(const char *path)
{
    struct ssh_key *k = x_calloc(1, sizeof *k);

    k->refs = 1;
    k->path = x_strdup(path);
    return k;
}

/* The first line as in a .pub file: a type, and what names the same type inside. */
static bool read_public(struct ssh_key *k, const char *text, size_t n)
{
    CLEANUP_FREE char *copy = x_strndup(text, n);
    char *lines = NULL;

    for (char *l = strtok_r(copy, "\r\n", &lines); l && !k->blob;
         l = strtok_r(NULL, "\r\n", &lines)) {
        char *words = NULL, *type = strtok_r(l, " \t", &words);
        char *b64 = type && *type != '#' ? strtok_r(NULL, " \t", &words) : NULL;
        size_t len = 0;
        uint8_t *blob = b64 ? base64_decode(b64, strlen(b64), &len) : NULL;
        CLEANUP_FREE char *inside = blob ? ssh_blob_type(blob, len) : NULL;

        if (inside && strcmp(inside, type) == 0)
            key_set_blob(k, blob, len);
        free(blob);
    }
    return k->blob != NULL;
}

static struct ssh_key *parse(const char *path, const char *text, size_t n, const char *passphrase)
{
    static const char begin[] = "-----BEGIN OPENSSH PRIVATE KEY-----";
    static const char end[] = "-----END OPENSSH PRIVATE KEY-----";
    struct ssh_key *k = key_new(path);
    const char *from = memmem(text, n, begin, sizeof begin - 1);

    if (!from && !memmem(text, n, "-----BEGIN ", 11) && read_public(k, text, n)) {
        k->public_only = true;
        key_problem(k, x_strdup("is a public key"));
        return k;
    }
    if (!from) {
        parse_pem(k, text, n, passphrase);
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
        parse_openssh(k, raw, raw_len, passphrase);
    else
        key_problem(k, x_strdup("is damaged (not a whole OpenSSH private key)"));
    OPENSSL_cleanse(b64, left + 1);
    free(b64);
    if (raw)
        OPENSSL_cleanse(raw, raw_len);
    free(raw);
    return k;
}

struct ssh_key *ssh_key_parse(const char *path, const char *text, size_t n)
{
    return parse(path, text, n, NULL);
}

/* The public half beside a private file that hides its own (an encrypted PEM file). */
static void blob_from_pub(struct ssh_key *k)
{
    CLEANUP_FREE char *path = x_asprintf("%s.pub", k->path);
    struct strbuf b;

    strbuf_init(&b, KEY_FILE_MAX);
    if (io_read_file(path, KEY_FILE_MAX, &b, NULL) == 0)
        read_public(k, b.s, b.len);
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

        k = key_new(path);
        k->absent = saved == ENOENT || saved == ENOTDIR;
        k->problem = x_strdup(k->absent ? "does not exist"
                              : fd < 0  ? strerror(saved)
                                        : "is not a file");
    } else if (io_read_fd(fd, KEY_FILE_MAX, &b, &e) != 0) {
        k = key_new(path);
        k->problem = x_asprintf("cannot be read: %s", e.msg);
    } else {
        k = ssh_key_parse(path, b.s, b.len);
        /* As ssh does: such a key may be anybody's by now. */
        if (!k->public_only && st.st_uid == getuid() && (st.st_mode & 077)) {
            free(k->problem);
            k->locked = false;
            k->problem = x_asprintf("can be read by others (mode %04o): chmod 600 %s",
                                    (unsigned) st.st_mode & 07777, path);
            EVP_PKEY_free(X_STEAL(k->pkey));
        }
    }
    if (!k->blob)
        blob_from_pub(k);
    if (k->locked)
        sha256_of(b.s, b.len, k->digest);
    OPENSSL_cleanse(b.s, b.len);
    strbuf_free(&b);
    err_clear(&e);
    if (fd >= 0)
        close(fd);
    return k;
}

struct ssh_key *ssh_key_unlock(const struct ssh_key *locked, const char *passphrase)
{
    struct ssh_key *k = NULL;
    struct strbuf b;

    strbuf_init(&b, KEY_FILE_MAX);
    if (io_read_file(locked->path, KEY_FILE_MAX, &b, NULL) != 0) {
        k = key_new(locked->path);
        key_problem(k, x_strdup("cannot be read any more"));
    } else {
        k = parse(locked->path, b.s, b.len, passphrase);
    }
    /* Somebody changed the file while its passphrase was typed. */
    if (k->pkey && locked->blob &&
        (k->blob_len != locked->blob_len || memcmp(k->blob, locked->blob, k->blob_len) != 0)) {
        EVP_PKEY_free(X_STEAL(k->pkey));
        key_problem(k, x_strdup("is not the key that its public half says"));
    }
    OPENSSL_cleanse(b.s, b.len);
    strbuf_free(&b);
    return k;
}
