/* SPDX-License-Identifier: Apache-2.0 */
/* Where the database lies and what it must be. */
#include "muster/store/store.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"

#include <errno.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

char *store_default_path(void)
{
    const char *env = getenv("MUSTER_DB");

    if (env && *env)
        return io_expand_tilde(env);
    CLEANUP_FREE char *dir = io_state_dir();
    return io_join(dir, "muster.db");
}

const char *store_library_version(void)
{
    return sqlite3_libversion();
}

/* The shared memory of WAL works on one machine only. */
static const char *network_fs(unsigned long magic)
{
    static const struct {
        unsigned long magic;
        const char *name;
    } table[] = {
        {0x6969, "NFS"},          {0x517b, "SMB"},     {0xff534d42, "CIFS"},
        {0xfe534d42, "SMB2"},     {0x5346414f, "AFS"}, {0x6b414653, "AFS"},
        {0x73757245, "Coda"},     {0x00c36400, "Ceph"}, {0x0bd00bd0, "Lustre"},
        {0x47504653, "GPFS"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].magic == magic)
            return table[i].name;
    return NULL;
}

int store_check_path(const char *path, struct err *e)
{
    CLEANUP_FREE char *dir = io_dirname(path);
    struct statfs fs;

    int rc = io_mkdirs(dir, 0700);
    if (rc)
        return err_set(e, ERR_STORE,
                       "The folder %s of the database cannot be made: %s. Name another database "
                       "with --db.", dir, strerror(-rc));
    if (statfs(dir, &fs))
        return err_set(e, ERR_STORE, "The folder %s of the database cannot be read: %s.", dir,
                       strerror(errno));
    const char *net = network_fs((unsigned long) fs.f_type & 0xffffffff);
    if (net)
        return err_set(e, ERR_STORE,
                       "%s lies on a network file system (%s), where SQLite's write-ahead log does "
                       "not work. Name a database on a local disk with --db or MUSTER_DB.", path,
                       net);
    if (access(dir, W_OK | X_OK))
        return err_set(e, ERR_STORE,
                       "The folder %s of the database cannot be written: %s. Change its "
                       "permissions, or name another database with --db.", dir, strerror(errno));
    return 0;
}
