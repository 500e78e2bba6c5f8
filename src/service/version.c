/* SPDX-License-Identifier: Apache-2.0 */
/* The version of muster and of the libraries below the faces. */
#include "muster/service/version.h"

#include "muster/base/alloc.h"
#include "muster/base/hash.h"
#include "muster/core/json.h"
#include "muster/core/yaml.h"
#include "muster/exec/engine.h"
#include "muster/store/store.h"

char *version_text(void)
{
    return x_asprintf("muster " MUSTER_VERSION "\nlibssh2 %s\nSQLite %s\njson-c %s\nlibyaml %s\n"
                      "libcrypto %s\n", engine_library_version(), store_library_version(),
                      json_library_version(), yaml_library_version(), hash_library_version());
}
