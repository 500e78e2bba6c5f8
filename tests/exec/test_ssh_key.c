/* SPDX-License-Identifier: Apache-2.0 */
/* Key files made by ssh-keygen: what is read agrees with the public file, signatures verify, and a
 * file that is cut or changed anywhere is refused without harm. */
#include "ssh_key.h"
#include "ssh_wire.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/hash.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/muster-key-XXXXXX";

static char *make_key(const char *options)
{
    static int count;
    char *path = x_asprintf("%s/key%d", dir, count++);
    CLEANUP_FREE char *command =
        x_asprintf("ssh-keygen -q -C test -f %s %s </dev/null >/dev/null 2>&1", path, options);

    if (system(command) != 0)
        fail_msg("%s", command);
    return path;
}

static void *public_blob(const char *path, size_t *n)
{
    CLEANUP_FREE char *pub = x_asprintf("%s.pub", path);
    struct strbuf b;
    char *save = NULL;

    strbuf_init(&b, 0);
    assert_int_equal(io_read_file(pub, 65536, &b, NULL), 0);
    strtok_r(b.s, " ", &save);

    char *b64 = strtok_r(NULL, " \n", &save);
    void *blob = base64_decode(b64, strlen(b64), n);

    strbuf_free(&b);
    return blob;
}

/* What is in "options" of ssh-keygen, and the type that comes out. */
static const struct kind {
    const char *options, *type;
} kinds[] = {
    {"-t ed25519", "ssh-ed25519"},
    {"-t ecdsa -b 256", "ecdsa-sha2-nistp256"},
    {"-t ecdsa -b 384", "ecdsa-sha2-nistp384"},
    {"-t ecdsa -b 521", "ecdsa-sha2-nistp521"},
    {"-t ecdsa -b 256 -m PEM", "ecdsa-sha2-nistp256"},
    {"-t ecdsa -b 384 -m PKCS8", "ecdsa-sha2-nistp384"},
    {"-t rsa -b 2048", "ssh-rsa"},
    {"-t rsa -b 3072", "ssh-rsa"},
    {"-t rsa -b 1024 -m PEM", "ssh-rsa"},
    {"-t rsa -b 2048 -m PKCS8", "ssh-rsa"},
};

static void verify(const struct ssh_key *k, const EVP_MD *md, const uint8_t *sig, size_t n)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, md, NULL, k->pkey), 1);
    assert_int_equal(EVP_DigestVerify(ctx, sig, n, (const uint8_t *) "text", 4), 1);
    EVP_MD_CTX_free(ctx);
}

/* It signs, as its kind does, what its public half says is its own. */
static void check_signs(const struct ssh_key *k, const char *options)
{
    uint8_t *sig = NULL;
    size_t n;

    if (k->problem || !k->pkey)
        fail_msg("%s: %s", options, k->problem);
    if (strcmp(k->type, "ssh-rsa") == 0) {
        assert_int_equal(ssh_key_sign(k, NULL, "text", 4, &sig, &n), -1);
        assert_int_equal(ssh_key_sign(k, "rsa-sha2-512", "text", 4, &sig, &n), 0);
        assert_int_equal(n * 8, ssh_rsa_bits(k->blob, k->blob_len));
        verify(k, EVP_sha512(), sig, n);
        free(sig);
        assert_int_equal(ssh_key_sign(k, "rsa-sha2-256", "text", 4, &sig, &n), 0);
        verify(k, EVP_sha256(), sig, n);
        free(sig);
        assert_int_equal(ssh_key_sign(k, "ssh-rsa", "text", 4, &sig, &n), 0);
        verify(k, EVP_sha1(), sig, n);
        free(sig);
        return;
    }
    assert_int_equal(ssh_key_sign(k, NULL, "text", 4, &sig, &n), 0);
    if (strcmp(k->type, "ssh-ed25519") == 0) {
        assert_int_equal(n, 64);
        verify(k, NULL, sig, n);
    } else {
        struct wire w = wire_of(sig, n);
        size_t len;

        assert_non_null(wire_string(&w, &len));
        assert_non_null(wire_string(&w, &len));
        assert_int_equal(w.n, 0);
        assert_false(w.bad);
    }
    free(sig);
}

static void check_public(const struct ssh_key *k, const char *path, const char *type)
{
    size_t n;
    CLEANUP_FREE void *blob = public_blob(path, &n);

    assert_string_equal(k->type, type);
    assert_int_equal(k->blob_len, n);
    assert_memory_equal(k->blob, blob, n);
}

static void test_kinds(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        CLEANUP_FREE char *options = x_asprintf("-N '' %s", kinds[i].options);
        CLEANUP_FREE char *path = make_key(options);
        struct ssh_key *k = ssh_key_load(path);

        check_signs(k, kinds[i].options);
        check_public(k, path, kinds[i].type);
        assert_false(k->locked);
        ssh_key_unref(k);
    }
}

/* Each kind, each form, each cipher. */
static void check_locked(const char *options, const char *type, const char *cipher)
{
    CLEANUP_FREE char *all = x_asprintf("-N 'a secret' -a 4 %s %s", cipher, options);
    CLEANUP_FREE char *path = make_key(all);
    struct ssh_key *k = ssh_key_load(path), *wrong, *open;

    if (!k->locked)
        fail_msg("%s: %s", all, k->problem);
    assert_null(k->pkey);
    check_public(k, path, type);
    wrong = ssh_key_unlock(k, "a Secret");
    assert_null(wrong->pkey);
    assert_true(wrong->locked);
    ssh_key_unref(wrong);
    wrong = ssh_key_unlock(k, "");
    assert_null(wrong->pkey);
    ssh_key_unref(wrong);
    open = ssh_key_unlock(k, "a secret");
    check_signs(open, all);
    check_public(open, path, type);
    ssh_key_unref(open);
    ssh_key_unref(k);
}

static void test_locked(void **state)
{
    static const char *const ciphers[] = {"-Z aes256-ctr", "-Z aes128-ctr", "-Z aes256-cbc", "-Z 3des-cbc",
                                          "-Z aes256-gcm@openssh.com",
                                          "-Z chacha20-poly1305@openssh.com"};

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        check_locked(kinds[i].options, kinds[i].type, "");
    for (size_t i = 0; i < ARRAY_LEN(ciphers); i++)
        check_locked(kinds[i].options, kinds[i].type, ciphers[i]);
}

/* The file with so many bytes behind `find` in it made others. */
static struct ssh_key *changed_key(const char *path, const char *find, size_t skip, const char *to, size_t n)
{
    static const char head[] = "-----BEGIN OPENSSH PRIVATE KEY-----\n";
    static const char foot[] = "\n-----END OPENSSH PRIVATE KEY-----\n";
    struct strbuf b, text;
    size_t raw_len, len = 0;

    strbuf_init(&b, 0);
    strbuf_init(&text, 0);
    assert_int_equal(io_read_file(path, 65536, &b, NULL), 0);

    char *from = b.s + strlen(head), *end = strstr(from, "-----END");

    for (const char *p = from; p < end; p++)
        if (*p != '\n')
            from[len++] = *p;

    CLEANUP_FREE uint8_t *raw = base64_decode(from, len, &raw_len);
    char *at = memmem(raw, raw_len, find, strlen(find));

    assert_non_null(at);
    memcpy(at + skip, to, n);

    CLEANUP_FREE char *b64 = base64_encode(raw, raw_len);

    strbuf_addf(&text, "%s%s%s", head, b64, foot);

    struct ssh_key *k = ssh_key_parse("x", text.s, text.len);

    strbuf_free(&b);
    strbuf_free(&text);
    return k;
}

/* A cipher that is made up, in the place of one of the same length. */
static void test_locked_otherwise(void **state)
{
    CLEANUP_FREE char *path = make_key("-N secret -t ed25519");
    struct ssh_key *k = changed_key(path, "aes256-ctr", 0, "aes\033[2-xyz", 10);

    assert_false(k->locked);
    assert_non_null(k->blob);
    assert_non_null(strstr(k->problem, "is encrypted with aes"));
    assert_null(strchr(k->problem, '\033'));
    assert_non_null(strstr(k->problem, "ssh-add"));
    ssh_key_unref(k);
}

/* Behind "bcrypt": the length of the options, a salt of 16 bytes with its length, the rounds. */
static void test_rounds(void **state)
{
    enum { AT = 6 + 4 + 4 + 16 };
    CLEANUP_FREE char *path = make_key("-N secret -t ed25519 -a 4");
    struct ssh_key *k = changed_key(path, "bcrypt", AT, "\377\377\377\377", 4);

    assert_false(k->locked);
    assert_null(k->pkey);
    assert_non_null(k->blob);
    assert_non_null(strstr(k->problem, "4294967295 rounds of bcrypt, and at most 100000"));
    assert_non_null(strstr(k->problem, "ssh-add"));
    ssh_key_unref(k);
    k = changed_key(path, "bcrypt", AT, "\0\1\206\241", 4); /* one more than that */
    assert_non_null(strstr(k->problem, "100001 rounds"));
    ssh_key_unref(k);
    k = changed_key(path, "bcrypt", AT, "\0\1\206\240", 4);
    assert_true(k->locked);
    ssh_key_unref(k);
}

/* Without a .pub file a PEM file hides its public half until it is open. */
static void test_locked_without_public(void **state)
{
    CLEANUP_FREE char *path = make_key("-N secret -t ecdsa -m PEM");
    CLEANUP_FREE char *pub = x_asprintf("%s.pub", path);
    CLEANUP_FREE char *other = make_key("-N '' -t ecdsa");
    CLEANUP_FREE char *other_pub = x_asprintf("%s.pub", other);
    struct ssh_key *k, *open;

    assert_int_equal(rename(other_pub, pub), 0);
    k = ssh_key_load(path);
    open = ssh_key_unlock(k, "secret");
    assert_null(open->pkey); /* another key's public half lies beside it */
    assert_non_null(strstr(open->problem, "public half"));
    ssh_key_unref(open);
    ssh_key_unref(k);

    unlink(pub);
    k = ssh_key_load(path);
    assert_true(k->locked);
    assert_null(k->blob);
    open = ssh_key_unlock(k, "secret");
    check_signs(open, "PEM");
    assert_string_equal(open->type, "ecdsa-sha2-nistp256");
    ssh_key_unref(open);
    ssh_key_unref(k);
}

static void test_rsa_label(void **state)
{
    CLEANUP_FREE char *path = make_key("-N '' -t rsa -b 1024");
    struct ssh_key *k = ssh_key_load(path);
    size_t n, len;
    CLEANUP_FREE uint8_t *other = ssh_rsa_relabel(k->blob, k->blob_len, "rsa-sha2-512", &n);
    CLEANUP_FREE char *type = ssh_blob_type(other, n);

    assert_string_equal(type, "rsa-sha2-512");
    assert_int_equal(n, k->blob_len + strlen("rsa-sha2-512") - strlen("ssh-rsa"));

    CLEANUP_FREE uint8_t *back = ssh_rsa_relabel(other, n, "ssh-rsa", &len);

    assert_int_equal(len, k->blob_len);
    assert_memory_equal(back, k->blob, len);
    assert_int_equal(ssh_rsa_bits(k->blob, k->blob_len), 1024);
    assert_int_equal(ssh_rsa_bits(other, n), 0);
    assert_int_equal(ssh_rsa_bits("", 0), 0);
    assert_int_equal(ssh_agent_flags("rsa-sha2-512"), 4);
    assert_int_equal(ssh_agent_flags("rsa-sha2-256"), 2);
    assert_int_equal(ssh_agent_flags("ssh-rsa"), 0);
    assert_int_equal(ssh_agent_flags(NULL), 0);
    ssh_key_unref(k);
}

static void check_problem(const char *path, const char *word, bool has_blob)
{
    struct ssh_key *k = ssh_key_load(path);

    assert_null(k->pkey);
    assert_non_null(k->problem);
    if (!strstr(k->problem, word))
        fail_msg("%s: %s", path, k->problem);
    assert_int_equal(k->blob != NULL, has_blob);
    ssh_key_unref(k);
}

static void test_problems(void **state)
{
    CLEANUP_FREE char *locked = make_key("-N secret -t ed25519");
    CLEANUP_FREE char *locked_pem = make_key("-N secret -t ecdsa -m PEM");
    CLEANUP_FREE char *open = make_key("-N '' -t ed25519");
    CLEANUP_FREE char *absent = x_asprintf("%s/absent", dir);

    check_problem(locked, "passphrase", true);
    check_problem(locked_pem, "passphrase", true); /* its blob is from the .pub beside it */
    chmod(open, 0640);
    check_problem(open, "chmod 600", true);
    check_problem(absent, "does not exist", false);
    check_problem(dir, "not a file", false);
}

static void test_damage(void **state)
{
    CLEANUP_FREE char *path = make_key("-N '' -t ecdsa");
    struct strbuf b;

    strbuf_init(&b, 0);
    assert_int_equal(io_read_file(path, 65536, &b, NULL), 0);
    for (size_t n = 0; n + 36 < b.len; n += 7) {
        struct ssh_key *k = ssh_key_parse("x", b.s, n);

        assert_null(k->pkey);
        assert_non_null(k->problem);
        ssh_key_unref(k);
    }
    for (size_t i = 36; i + 36 < b.len; i += 5) {
        char *copy = x_memdup(b.s, b.len);

        copy[i] = copy[i] == 'A' ? 'Q' : 'A';

        struct ssh_key *k = ssh_key_parse("x", copy, b.len);

        assert_true((k->pkey != NULL) == (k->problem == NULL));
        ssh_key_unref(k);
        free(copy);
    }
    strbuf_free(&b);
}

static void test_names(void **state)
{
    CLEANUP_FREE char *type = ssh_blob_type("\0\0\0\3abc", 7);
    CLEANUP_FREE char *print = ssh_fingerprint("", 0);

    assert_string_equal(type, "abc");
    assert_null(ssh_blob_type("\0\0\0\4abc", 7));
    assert_null(ssh_blob_type("\0\0\0\1\x1b", 5));
    assert_null(ssh_blob_type("", 0));
    assert_string_equal(print, "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU");
    assert_true(ssh_type_usable("ssh-ed25519"));
    assert_true(ssh_type_usable("ssh-rsa"));
    assert_false(ssh_host_type_usable("ssh-rsa"));
    assert_false(ssh_type_usable(NULL));
}

static int setup(void **state)
{
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    CLEANUP_FREE char *command = x_asprintf("rm -r %s", dir);

    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_locked),
        cmocka_unit_test(test_locked_otherwise),
        cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_locked_without_public),
        cmocka_unit_test(test_rsa_label),
        cmocka_unit_test(test_problems),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
