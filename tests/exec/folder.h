/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of a test's own for configuration files. */
#ifndef MUSTER_TESTS_EXEC_FOLDER_H
#define MUSTER_TESTS_EXEC_FOLDER_H

#include "muster/base/alloc.h"
#include "muster/base/io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct folder {
    char path[64];
};

static inline int make_folder(void **state)
{
    struct folder *f = x_calloc(1, sizeof *f);

    snprintf(f->path, sizeof f->path, "/tmp/muster-test-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    *state = f;
    return 0;
}

/* With the files that tests write there. */
static inline int drop_folder(void **state)
{
    struct folder *f = *state;
    CLEANUP_FREE char *a = io_join(f->path, "config");
    CLEANUP_FREE char *b = io_join(f->path, "inner.conf");

    unlink(a);
    unlink(b);
    assert_int_equal(rmdir(f->path), 0);
    free(f);
    return 0;
}

static inline char *write_file(const struct folder *f, const char *name, const char *text)
{
    char *path = io_join(f->path, name);
    FILE *out = fopen(path, "w");

    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
    return path;
}

#endif
