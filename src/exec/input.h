/* SPDX-License-Identifier: Apache-2.0 */
/* What a command reads, after what its wrapping reads: a file, by name for each node or by a
 * descriptor that all nodes share. Not locked; reads by offset, so the descriptor may be shared. */
#ifndef MUSTER_EXEC_INPUT_H
#define MUSTER_EXEC_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct secret;

struct input {
    char *rest; /* read first, or NULL */
    size_t rest_at, rest_len;
    struct secret *secret; /* then a line with this, or NULL */
    size_t secret_at;
    int fd;     /* -1: none */
    bool ours;  /* fd is to be closed */
    uint64_t at, size;
    bool ended;   /* everything was handed out */
    bool starved; /* nothing was there when it was asked for */

    int64_t told_at; /* of progress; -1: never */
    uint64_t told;
    bool told_end;
};

void input_init(struct input *in);
void input_clear(struct input *in); /* leaves it as after init */
void input_set_rest(struct input *in, char *rest); /* takes over; NULL allowed */
/* The file of this template: %n, %h, %u, %% are filled in. 0 or -ERR_VALIDATION: absent,
 * unreadable, neither a regular file nor /dev/null. */
int input_open(struct input *in, const char *template, const char *node, const char *host,
               const char *user, struct err *e);
void input_set_secret(struct input *in, struct secret *s); /* takes a reference; NULL allowed */
void input_share(struct input *in, int fd); /* borrowed; read from its start */
/* At most n bytes. *end: nothing follows. -errno when the file cannot be read. */
int input_read(struct input *in, char *buf, size_t n, size_t *got, bool *end);
/* Whether progress is to be told now: at most every 250 ms, and once at the end. */
bool input_tells(struct input *in, int64_t now);
/* In how many ms what was fed since is to be told, when nothing more is; -1: all has been told. */
int64_t input_tells_in(const struct input *in, int64_t now);

#endif
