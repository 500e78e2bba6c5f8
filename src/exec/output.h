/* SPDX-License-Identifier: Apache-2.0 */
/* The two output streams of one session: the cap, a bounded buffer, and the line that tells the
 * remote pid, which is taken out of either (a terminal has one) however the reads cut it. Where
 * another user is become, also the line before it and the prompt, and what is said between the two
 * lines goes to exec/become. Not locked. */
#ifndef MUSTER_EXEC_OUTPUT_H
#define MUSTER_EXEC_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct become;

/* LIMIT: bytes of one stream that wait for the sink; also the most that FINISH carries. */
#define OUTPUT_BUFFER ((size_t) 64 << 10)
/* From here on they are emitted. */
#define OUTPUT_CHUNK ((size_t) 16 << 10)

#define TOKEN_MARK '@' /* begins a token and is nowhere else in it */
#define TOKEN_SIZE 48  /* bytes of a token at most, with its NUL */

enum mark {
    MARK_PID,    /* "TOKEN PID\n": the process group of the command */
    MARK_OUTER,  /* the same before another user is become */
    MARK_PROMPT, /* the token alone */
    MARK_COUNT
};

struct stream {
    char *buf;
    size_t len, cap;
    uint64_t kept; /* bytes taken under the cap so far, emitted ones too */
    bool truncated;
    char held[TOKEN_SIZE + 16]; /* bytes that may be a mark */
    size_t nheld;
};

struct output {
    struct stream stream[2];
    uint64_t max; /* bytes a stream */
    char token[MARK_COUNT][TOKEN_SIZE];
    size_t token_len[MARK_COUNT]; /* 0: not looked for */
    struct become *become; /* borrowed, or NULL */
    int64_t outer, pid;    /* 0: not seen yet */
};

void output_init(struct output *o, uint64_t max, const char *token);
/* Before the first byte of an attempt: b hears what is said between the two lines. */
void output_become(struct output *o, struct become *b, const char *outer, const char *prompt);
/* Takes bytes and returns how many; fewer than n when the buffer is full. */
size_t output_put(struct output *o, int stream, const char *p, size_t n);
void output_end(struct output *o); /* nothing follows: what was held back is output */
size_t output_len(const struct output *o); /* bytes buffered, both streams */
void output_free(struct output *o);

#endif
