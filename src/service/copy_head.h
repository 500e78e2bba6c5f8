/* SPDX-License-Identifier: Apache-2.0 */
/* The head of what a pull sends, and putting what came in its place. */
#ifndef MUSTER_SRC_COPY_HEAD_H
#define MUSTER_SRC_COPY_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct copy_sum {
    char hex[65];
    char *name; /* without "./"; owned */
};
struct copy_head {
    uint64_t total; /* bytes; of a file exactly as many as were summed */
    bool folder;
    bool late;      /* the sums are the tar's last entry */
    char *name; /* one part; owned */
    struct copy_sum *sums;
    size_t n_sums, cap_sums, names; /* names: bytes of those */
};
/* Reads the head from fd and leaves it where the tar begins. 0 or -ERR_VALIDATION. */
int copy_head_read(int fd, struct copy_head *h, struct err *e);
void copy_head_clear(struct copy_head *h);
/* The sums that come as that entry. -ERR_VALIDATION. */
int copy_head_sums(struct copy_head *h, char *text, struct err *e);

/* Moves what is in the folder `part` (open as root) to FINAL/NAME: folders that are there already are
 * merged with, files are replaced one by one. -ERR_INTERNAL. */
int copy_install(int root, const char *part, const char *final, const struct copy_head *h,
                 struct err *e);
void copy_remove(const char *path); /* a folder with all that is in it; no link is followed */

#endif
