/* SPDX-License-Identifier: Apache-2.0 */
/* A buffered way to a descriptor, and outputs of the store as JSON strings, piece by piece. */
#ifndef MUSTER_SRC_SERVICE_STREAM_H
#define MUSTER_SRC_SERVICE_STREAM_H

#include "muster/base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct reader;

struct out {
    int fd;
    int sys_errno; /* of the first write that failed; then the rest is dropped */
    struct strbuf buf;
};
void out_init(struct out *o, int fd);
void out_free(struct out *o);
void out_add(struct out *o, const char *p, size_t n);
void out_adds(struct out *o, const char *s);
void out_addf(struct out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool out_failed(const struct out *o);
/* Writes what is held. 0 (also when the reader of a pipe has gone), or
 * -ERR_INTERNAL with what the system said of any write so far. */
int out_flush(struct out *o, struct err *e);

/* ,"NAME":"..." of one output of the store; what is not UTF-8 goes as base64, with
 * ,"NAMEEncoding":"base64" after it. */
int out_json_stream(struct out *o, struct reader *r, const char *name, int64_t id,
                    struct err *e);

#endif
