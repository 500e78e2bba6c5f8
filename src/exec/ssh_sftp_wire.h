/* SPDX-License-Identifier: Apache-2.0 */
/* The packets of sftp version 3 (draft-ietf-secsh-filexfer-02, and OpenSSH's PROTOCOL): writing
 * requests, taking answers apart. It knows no connection. What is read is hostile. */
#ifndef MUSTER_EXEC_SSH_SFTP_WIRE_H
#define MUSTER_EXEC_SSH_SFTP_WIRE_H

#include "muster/base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fxp {
    FXP_INIT = 1,
    FXP_VERSION = 2,
    FXP_OPEN = 3,
    FXP_CLOSE = 4,
    FXP_READ = 5,
    FXP_WRITE = 6,
    FXP_LSTAT = 7,
    FXP_FSTAT = 8,
    FXP_SETSTAT = 9,
    FXP_FSETSTAT = 10,
    FXP_OPENDIR = 11,
    FXP_READDIR = 12,
    FXP_REMOVE = 13,
    FXP_MKDIR = 14,
    FXP_RMDIR = 15,
    FXP_REALPATH = 16,
    FXP_STAT = 17,
    FXP_RENAME = 18,
    FXP_READLINK = 19,
    FXP_SYMLINK = 20,
    FXP_STATUS = 101,
    FXP_HANDLE = 102,
    FXP_DATA = 103,
    FXP_NAME = 104,
    FXP_ATTRS = 105,
    FXP_EXTENDED = 200
};

enum fx { FX_OK, FX_EOF, FX_NO_SUCH_FILE, FX_DENIED, FX_FAILURE, FX_UNSUPPORTED = 8 };

#define FXF_READ 1
#define FXF_WRITE 2
#define FXF_CREAT 8
#define FXF_EXCL 32

#define WIRE_PACKET_MAX ((size_t) 256 << 10) /* LIMIT: an answer, as OpenSSH has it */

struct wire {
    struct strbuf out;  /* requests that the channel did not take yet */
    size_t begun;       /* where in it the packet begins that is being written */
    uint32_t last_id;
    struct strbuf in;   /* answers, maybe a part of one at the end */
    size_t in_at;       /* what of it has been taken */
};
void wire_init(struct wire *w);
void wire_clear(struct wire *w);
/* A request: begin, its fields, end. Returns its id (INIT has none). */
uint32_t wire_begin(struct wire *w, enum fxp type);
void wire_u32(struct wire *w, uint32_t v);
void wire_u64(struct wire *w, uint64_t v);
void wire_bytes(struct wire *w, const void *p, size_t n);
void wire_text(struct wire *w, const char *s);
void wire_mode(struct wire *w, uint32_t mode);                 /* attributes: this only */
void wire_times(struct wire *w, uint32_t mode, int64_t mtime); /* and the time */
void wire_end(struct wire *w);

/* Walks through an answer; what is not there reads as 0 and sets bad. */
struct answer {
    enum fxp type;
    uint32_t id;
    const uint8_t *p;
    size_t n;
    bool bad;
};
/* The next whole answer; valid until the next call, or until bytes are added. *bad: what came is no
 * sftp. */
bool wire_next(struct wire *w, struct answer *a, bool *bad);
uint32_t answer_u32(struct answer *a);
uint64_t answer_u64(struct answer *a);
const char *answer_bytes(struct answer *a, size_t *n); /* not terminated */

struct attrs {
    bool has_size, has_mode;
    uint64_t size;
    uint32_t mode; /* with the type */
    uint32_t mtime;
};
void answer_attrs(struct answer *a, struct attrs *out);

#endif
