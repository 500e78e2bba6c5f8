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

static void test_kinds(void **state)
{
    static const struct {
        const char *options, *type;
    } kinds[] = {
        {"-N '' -t ed25519", "ssh-ed25519"},
        {"-N '' -t ecdsa -b 256", "ecdsa-sha2-nistp256"},
        {"-N '' -t ecdsa -b 384", "ecdsa-sha2-nistp384"},
        {"-N '' -t ecdsa -b 521", "ecdsa-sha2-nistp521"},
        {"-N '' -t ecdsa -b 256 -m PEM", "ecdsa-sha2-nistp256"},
        {"-N '' -t ecdsa -b 384 -m PKCS8", "ecdsa-sha2-nistp384"},
    };

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        CLEANUP_FREE char *path = make_key(kinds[i].options);
        struct ssh_key *k = ssh_key_load(path);
        size_t n, sig_len;
        CLEANUP_FREE void *blob = public_blob(path, &n);
        uint8_t *sig = NULL;

        if (k->problem)
            fail_msg("%s: %s", kinds[i].options, k->problem);
        assert_string_equal(k->type, kinds[i].type);
        assert_int_equal(k->blob_len, n);
        assert_memory_equal(k->blob, blob, n);
        assert_int_equal(ssh_key_sign(k, "text", 4, &sig, &sig_len), 0);
        if (strcmp(k->type, "ssh-ed25519") == 0) {
            EVP_MD_CTX *ctx = EVP_MD_CTX_new();

            assert_int_equal(sig_len, 64);
            assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, k->pkey), 1);
            assert_int_equal(EVP_DigestVerify(ctx, sig, sig_len, (const uint8_t *) "text", 4), 1);
            EVP_MD_CTX_free(ctx);
        } else {
            struct wire w = wire_of(sig, sig_len);
            size_t len;

            assert_non_null(wire_string(&w, &len));
            assert_non_null(wire_string(&w, &len));
            assert_int_equal(w.n, 0);
            assert_false(w.bad);
        }
        free(sig);
        ssh_key_unref(k);
    }
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
    CLEANUP_FREE char *rsa = make_key("-N '' -t rsa -b 1024");
    CLEANUP_FREE char *rsa_pem = make_key("-N '' -t rsa -b 1024 -m PEM");
    CLEANUP_FREE char *locked = make_key("-N secret -t ed25519");
    CLEANUP_FREE char *locked_pem = make_key("-N secret -t ecdsa -m PEM");
    CLEANUP_FREE char *open = make_key("-N '' -t ed25519");

    check_problem(rsa, "RSA", true);
    check_problem(rsa_pem, "RSA", true);
    check_problem(locked, "passphrase", true);
    check_problem(locked_pem, "passphrase", true); /* its blob is from the .pub beside it */
    chmod(open, 0640);
    check_problem(open, "chmod 600", true);
    check_problem("/nonexistent", "does not exist", false);
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
    assert_false(ssh_type_usable("ssh-rsa"));
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
        cmocka_unit_test(test_problems),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
