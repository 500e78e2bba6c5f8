/* SPDX-License-Identifier: Apache-2.0 */
/* libssh2 as a whole: what must happen once in the process, and its version. */
#include "muster/base/err.h"
#include "muster/exec/engine.h"

#include <libssh2.h>
#include <openssl/crypto.h>

int engine_global_init(struct err *e)
{
    /* A helper that was left behind may still be in libcrypto when main returns, so that does not
     * take itself down. */
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);

    int rc = libssh2_init(0);

    return rc == 0 ? 0 : err_set(e, ERR_INTERNAL, "libssh2 cannot be used (error %d)", rc);
}

const char *engine_library_version(void)
{
    return libssh2_version(0);
}
