/* SPDX-License-Identifier: Apache-2.0 */
/* libssh2 as a whole: what must happen once in the process, and its version. */
#include "muster/base/err.h"
#include "muster/exec/engine.h"

#include <libssh2.h>
#include <openssl/crypto.h>

/* Short-lived secrets of handshakes are there too, so that it must hold thousands of them. */
#define SECURE_HEAP ((size_t) 2 << 20)
#define SECURE_LEAST 32

int engine_global_init(struct err *e)
{
    /* A helper that was left behind may still be in libcrypto when main returns, so that does not
     * take itself down. */
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
#ifndef __SANITIZE_ADDRESS__ /* it does not look there for what is still pointed to */
    /* Private keys lie in locked pages that no core dump has. Where it cannot be had, in others. */
    CRYPTO_secure_malloc_init(SECURE_HEAP, SECURE_LEAST);
#endif

    int rc = libssh2_init(0);

    return rc == 0 ? 0 : err_set(e, ERR_INTERNAL, "libssh2 cannot be used (error %d)", rc);
}

const char *engine_library_version(void)
{
    return libssh2_version(0);
}
