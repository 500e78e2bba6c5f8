/* SPDX-License-Identifier: Apache-2.0 */
/* The version of muster and of the libraries below the faces. */
#include "muster/service/version.h"

#include "muster/base/alloc.h"
#include "muster/exec/engine.h"
#include "muster/store/store.h"

char *version_text(void)
{
    return x_asprintf("muster " MUSTER_VERSION "\n%s\n%s\n", engine_library_version(),
                      store_library_version());
}
