/* SPDX-License-Identifier: Apache-2.0 */
/* Copying files: what a copy is, the archive that a push sends, the lines that run on the nodes, and
 * taking what a pull sends. A copy is a batch whose command is a generated script, so it goes over
 * every transport, becomes another user and is cancelled as any other.
 *
 * What goes over the wire is a tar with a list of SHA-256 sums: for a push inside of it as its last
 * entry (it is made in one pass, and a stream that was cut has no list); for a pull in front of it. */
#ifndef MUSTER_SRC_COPY_H
#define MUSTER_SRC_COPY_H

#include "muster/base/hash.h"
#include "muster/base/strbuf.h"
#include "muster/exec/copy.h"
#include "muster/service/service.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct err;
struct event;
struct json;
struct rerun_hold;

/* --- what is to be pushed (copy_walk.c) --- */

struct copy_item {
    char *path; /* where it lies here */
    char *name; /* in the archive: the last part of a LOCAL, and what is below it */
    char *link; /* where a symbolic link points, or NULL */
    mode_t mode;
    uint64_t size; /* of a file */
    int64_t mtime;
    uint64_t at; /* its data in the archive, once it is packed */
    uint8_t sum[SHA256_LEN];
};
struct copy_list {
    struct copy_item *v;
    size_t n, cap;
    size_t files, tops;
    uint64_t bytes;
};
/* Everything that LOCAL... name. -ERR_VALIDATION: the text names all that cannot be sent. */
int copy_walk(const struct strv *local, struct copy_list *out, struct err *e);
void copy_list_clear(struct copy_list *l);
/* "3 files, 12.4 MiB"; caller frees. */
char *copy_count_text(size_t files, uint64_t bytes);

/* --- the archive (copy_archive.c) --- */

#define COPY_SUMS_ODD ".muster-odd" /* the same for names that sha256sum reads in its own way */
/* Writes all into an unlinked file of its own (0600), its offset at 0; *size its bytes; where each
 * file is in it, and its sum, to the list. Returns the descriptor, or -code. */
int copy_pack(struct copy_list *l, uint64_t *size, struct err *e);

enum copy_kind { COPY_FILE, COPY_FOLDER, COPY_SYMLINK, COPY_HARDLINK, COPY_OTHER };
struct copy_entry {
    enum copy_kind kind;
    const char *name, *link; /* raw; link for the two kinds of links */
    mode_t mode;             /* its permissions, no more */
    int64_t mtime;
};
/* What is read from an archive goes to these, in order; any may return an error to stop. data comes
 * for a COPY_FILE only, and end after it. */
struct copy_reader {
    void *ctx;
    int (*entry)(void *ctx, const struct copy_entry *x, struct err *e);
    int (*data)(void *ctx, const void *p, size_t n, struct err *e);
    int (*end)(void *ctx, struct err *e);
};
/* Reads a tar from fd, from where it stands. 0 or -ERR_VALIDATION: it is none, or is cut. */
int copy_unpack(int fd, const struct copy_reader *r, struct err *e);

/* --- what runs on the nodes (copy_script.c) --- */

/* Lines that every login shell reads alike. Callers free. */
char *script_line(const char *script, const char *const *args, size_t n);
char *copy_push_script(const struct copy_request *c, const struct copy_list *l);
char *copy_pull_script(const struct copy_request *c);

/* --- the request (copy.c) --- */

#define COPY_MAX_BYTES_DEFAULT ((uint64_t) 1 << 30) /* that a node may send */

/* All that can be told before anything is written. 0 or -ERR_VALIDATION. */
int copy_check(const struct copy_request *c, struct err *e);
/* Makes what a batch needs: its command (caller frees), for a push the descriptor of what it reads
 * (else 0), and what it copies, for where no command is run (the caller's reference). */
int copy_prepare(const struct copy_request *c, char **command, int *stdin_fd,
                 struct copy_files **files, struct err *e);
struct json *copy_encode(const struct copy_request *c);
/* False when o is no such object. */
bool copy_decode(const struct json *o, struct copy_request *c);

/* --- writing what came from a node (copy_extract.c) --- */

struct copy_result {
    size_t files;
    uint64_t bytes;
    char *place;      /* the file or folder that has come, or the first of several; owned */
    struct strv left; /* what was not taken, and why */
    bool by_sftp;
};
void copy_result_clear(struct copy_result *r);
/* Reads a pull's stream from fd into DIR/NODE, by way of a folder DIR/NODE.part-XXXX that is gone
 * afterwards. Every file is checked against its sum before any is put in its place. Files of more
 * than max_bytes in all are refused: a sparse one can be any size. *stop set: gives up. 0, or
 * -ERR_VALIDATION (the node's stream is bad) or -ERR_INTERNAL (the disk here). */
int copy_extract(int fd, const char *dir, const char *node, uint64_t max_bytes,
                 const atomic_bool *stop, struct copy_result *out, struct err *e);
/* A node's name as that of one folder; caller frees. */
char *copy_node_folder(const char *node);
/* As the head of a pull's stream has it: the bytes that will come; 0: not known. */
uint64_t copy_head_total(const char *p, size_t n);

/* --- between the engine and the writer (copy_pull.c) --- */

struct copies;
/* emit: where events go on to. */
struct copies *copies_new(bool (*emit)(void *ctx, struct event *ev), void *ctx);
/* Takes what is still queued to its end, or gives it up at once; joins the threads. NULL allowed. */
void copies_free(struct copies *c, bool at_once);
/* Before anything is written: makes the folder, starts the workers. -ERR_VALIDATION, -ERR_INTERNAL. */
int copies_prepare(struct copies *c, const struct copy_request *r, struct err *e);
/* A copy is about to be submitted. */
void copies_add(struct copies *c, int64_t batch, const struct copy_request *r,
                const struct strv *nodes);
/* Takes the event of a pull's node, as event_sink.emit; *taken false: it is none of a pull. */
bool copies_emit(struct copies *c, struct event *ev, bool *taken);

#endif
