/* SPDX-License-Identifier: Apache-2.0 */
/* What a batch copies, for a transport that can do it without a shell: by sftp, where the server runs
 * no commands. Any thread; unchanged once it is in a batch. */
#ifndef MUSTER_EXEC_COPY_H
#define MUSTER_EXEC_COPY_H

#include "muster/base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum copy_part_kind { PART_FILE, PART_FOLDER, PART_LINK };

struct copy_part {
    enum copy_part_kind kind;
    char *path;          /* relative; its first part is one of the names that are pushed */
    char *link;          /* what a link leads to, else NULL */
    uint32_t mode;       /* permissions, no more */
    int64_t mtime;
    uint64_t size, at;   /* of a file: its bytes in what the batch reads (engine_batch.stdin_fd) */
    uint8_t sum[SHA256_LEN];
};

struct copy_files {
    int refs;            /* atomic */
    bool pull;
    char *remote;        /* as it was asked for: ~ and ~/x are the user's home there */
    /* A push only. Folders come before what is in them. */
    char *name;          /* the one name that is sent, which may become another; or "" */
    char *text;          /* what it comes to: "3 files, 12 MiB" */
    struct copy_part *v;
    size_t n, cap;
    uint64_t bytes;      /* of all files */
};

/* What a copy ends with where it fails, as the exit code of a command: by a script on the node, or by
 * sftp. */
enum copy_exit {
    COPY_EXIT_TOOL = 70,  /* tar, mktemp or a program for SHA-256 is missing */
    COPY_EXIT_PLACE = 71, /* the name asked for cannot be used: not there, in the way */
    COPY_EXIT_WRITE = 72, /* nothing can be written there, or read */
    COPY_EXIT_TAR = 73,   /* what was sent did not arrive whole, or has no room */
    COPY_EXIT_SUM = 74,   /* what arrived is not what was sent */
    COPY_EXIT_MOVE = 75   /* not everything could be put in its place */
};

/* The stream that comes from a pull: its first line is one of these two, "TOTAL folder|file NAME".
 * After the first the list of sums follows, after the other it is the last entry of the tar. */
#define COPY_PULL_MAGIC "muster-pull 1"
#define COPY_PULL_LATE "muster-pull 2"
#define COPY_SUMS ".muster-sums" /* the list: HASH, two spaces, ./NAME */

struct copy_files *copy_files_new(bool pull, const char *remote);
/* The next part, all zero but for its kind and name. Valid until the next call. */
struct copy_part *copy_files_add(struct copy_files *f, enum copy_part_kind kind, const char *path);
struct copy_files *copy_files_ref(const struct copy_files *f); /* NULL allowed */
void copy_files_unref(struct copy_files *f);                   /* NULL allowed */

#endif
