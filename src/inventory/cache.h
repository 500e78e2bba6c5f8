/* SPDX-License-Identifier: Apache-2.0 */
/* What a source that runs a program gave, kept in a file for the next load. One thread a call;
 * several processes may use one file.
 *
 * Theory of operation: a copy younger than the time to live serves as it is. An older one serves
 * too, and its source is marked `due`: whoever loads has the refresh done elsewhere, which writes the
 * file anew, and the watch on it brings the next load. When a refresh fails, the reason goes beside
 * the copy (FILE.why), and the copy serves as stale. Where there is no copy, or what it was made from
 * has changed since, the program runs now. */
#ifndef MUSTER_INVENTORY_CACHE_H
#define MUSTER_INVENTORY_CACHE_H

#include "source.h"

struct strbuf;

struct cache_options {
    const char *dir;    /* of the copies */
    int64_t ttl_ms;
    bool refresh;       /* run it now, whatever there is */
};

/* Fills the builder, whose current source it is, by what `ops` gives for `in` or by its copy. */
int cache_load(struct build *b, const struct inventory_source_ops *ops,
               const struct source_input *in, const struct cache_options *o, struct err *e);

/* A builder's nodes, groups and warnings as text, and back into the current source of a builder. */
void cache_write(const struct build *b, struct strbuf *out);
int cache_read(struct build *b, const char *text, size_t n, struct err *e);

#endif
