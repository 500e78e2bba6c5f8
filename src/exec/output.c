/* SPDX-License-Identifier: Apache-2.0 */
/* Output streams with a cap, and the filter for the token's line.
 *
 * The line is "TOKEN PID\n". It is looked for anywhere in stderr, since a login shell may have
 * written text without a newline before it. A token begins with TOKEN_MARK, which is nowhere else
 * in the line; so when a candidate turns out to be none, all that was held back is plain output. */
#include "output.h"

#include "muster/base/alloc.h"
#include "muster/core/batch.h"

#include <string.h>

#define PID_DIGITS 10

void output_init(struct output *o, uint64_t max, const char *token)
{
    memset(o, 0, sizeof *o);
    o->max = max;
    o->token_len = strnlen(token, TOKEN_SIZE - 1);
    memcpy(o->token, token, o->token_len);
}

static void keep(struct output *o, int stream, const char *p, size_t n)
{
    struct stream *s = &o->stream[stream];
    uint64_t left = o->max - s->kept;

    if (n > left) {
        s->truncated = true;
        n = (size_t) left;
    }
    if (!n)
        return;
    X_GROW(s->buf, s->cap, s->len + n);
    memcpy(s->buf + s->len, p, n);
    s->len += n;
    s->kept += n;
}

/* Whether c goes on with what is held; sets *whole when it completes the line. */
static bool goes_on(const struct output *o, char c, bool *whole)
{
    if (o->nheld < o->token_len)
        return c == o->token[o->nheld];
    if (o->nheld == o->token_len)
        return c == ' ';
    size_t digits = o->nheld - o->token_len - 1;
    *whole = c == '\n' && digits > 0;
    return *whole || (c >= '0' && c <= '9' && digits < PID_DIGITS);
}

static int64_t held_pid(const struct output *o)
{
    int64_t pid = 0;
    for (size_t i = o->token_len + 1; i < o->nheld; i++)
        pid = pid * 10 + (o->held[i] - '0');
    return pid > 1 && pid <= INT32_MAX ? pid : 0;
}

static void release_held(struct output *o)
{
    size_t n = o->nheld;
    o->nheld = 0;
    keep(o, STREAM_STDERR, o->held, n);
}

/* Looks at one byte while something is held. false: the byte is yet to be looked at. */
static bool held_byte(struct output *o, char c)
{
    bool whole = false;
    if (!goes_on(o, c, &whole)) {
        release_held(o);
        return false;
    }
    if (whole) {
        o->pid = held_pid(o);
        if (o->pid) {
            o->nheld = 0;
            return true;
        }
        release_held(o);
        return false;
    }
    o->held[o->nheld++] = c;
    return true;
}

static void put_stderr(struct output *o, const char *p, size_t n)
{
    while (n > 0 && !o->pid) {
        if (o->nheld) {
            if (held_byte(o, *p)) {
                p++;
                n--;
            }
            if (o->nheld || o->pid || n == 0)
                continue;
        }
        const char *mark = memchr(p, TOKEN_MARK, n);
        size_t plain = mark ? (size_t) (mark - p) : n;
        keep(o, STREAM_STDERR, p, plain);
        p += plain;
        n -= plain;
        if (mark) {
            o->held[o->nheld++] = TOKEN_MARK;
            p++;
            n--;
        }
    }
    keep(o, STREAM_STDERR, p, n);
}

size_t output_put(struct output *o, int stream, const char *p, size_t n)
{
    struct stream *s = &o->stream[stream];
    size_t used = s->len + (stream == STREAM_STDERR ? o->nheld : 0);
    size_t room = used < OUTPUT_BUFFER ? OUTPUT_BUFFER - used : 0;

    /* What is past the cap takes no room. */
    if (o->max - s->kept > room && n > room)
        n = room;
    if (stream == STREAM_STDERR)
        put_stderr(o, p, n);
    else
        keep(o, stream, p, n);
    return n;
}

void output_end(struct output *o)
{
    release_held(o);
}

size_t output_len(const struct output *o)
{
    return o->stream[0].len + o->stream[1].len;
}

void output_free(struct output *o)
{
    free(o->stream[0].buf);
    free(o->stream[1].buf);
    o->stream[0].buf = o->stream[1].buf = NULL;
}
