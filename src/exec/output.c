/* SPDX-License-Identifier: Apache-2.0 */
/* Output streams with a cap, and the filter for the marks.
 *
 * A mark is looked for anywhere in a stream, since a login shell may have written text without a
 * newline before it. A token begins with TOKEN_MARK, which is nowhere else in the line; so when a
 * candidate turns out to be none, all that was held back is plain output. A terminal makes CR LF of
 * the newline. */
#include "output.h"

#include "become.h"

#include "muster/base/alloc.h"
#include "muster/core/batch.h"

#include <string.h>

#define PID_DIGITS 10

enum fit { FIT_NONE, FIT_SO_FAR, FIT_WHOLE };

static void set_token(struct output *o, enum mark mark, const char *token)
{
    o->token_len[mark] = token ? strnlen(token, TOKEN_SIZE - 1) : 0;
    if (token)
        memcpy(o->token[mark], token, o->token_len[mark]);
}

void output_init(struct output *o, uint64_t max, const char *token)
{
    memset(o, 0, sizeof *o);
    o->max = max;
    set_token(o, MARK_PID, token);
}

void output_become(struct output *o, struct become *b, const char *outer, const char *prompt)
{
    o->become = b;
    o->outer = o->pid = 0;
    set_token(o, MARK_OUTER, outer);
    set_token(o, MARK_PROMPT, prompt);
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

/* Between the two lines it is sudo that speaks. */
static bool becoming(const struct output *o)
{
    return o->become && o->outer && !o->pid;
}

static void plain(struct output *o, int stream, const char *p, size_t n)
{
    if (becoming(o)) {
        size_t left = become_hear(o->become, stream, p, n);

        p += n - left;
        n = left;
    }
    keep(o, stream, p, n);
}

/* What follows a token in a line. */
static enum fit fits_pid(const char *p, size_t n)
{
    size_t digits = 0;

    if (*p != ' ')
        return FIT_NONE;
    p++;
    n--;
    while (digits < n && p[digits] >= '0' && p[digits] <= '9')
        digits++;
    if (digits > PID_DIGITS)
        return FIT_NONE;
    if (digits == n)
        return FIT_SO_FAR;
    p += digits;
    n -= digits;
    if (!digits)
        return FIT_NONE;
    if (*p == '\r') {
        if (n == 1)
            return FIT_SO_FAR;
        p++;
        n--;
    }
    return *p == '\n' && n == 1 ? FIT_WHOLE : FIT_NONE;
}

static enum fit fits(const struct output *o, enum mark mark, const char *p, size_t n)
{
    size_t len = o->token_len[mark];

    if (!len || (mark == MARK_OUTER && o->outer) || (mark == MARK_PROMPT && !becoming(o)))
        return FIT_NONE;
    if (memcmp(p, o->token[mark], n < len ? n : len) != 0)
        return FIT_NONE;
    if (mark == MARK_PROMPT)
        return n < len ? FIT_SO_FAR : FIT_WHOLE;
    return n <= len ? FIT_SO_FAR : fits_pid(p + len, n - len);
}

static int64_t held_pid(const struct stream *s, size_t token_len)
{
    int64_t pid = 0;

    for (size_t i = token_len + 1; i < s->nheld && s->held[i] >= '0' && s->held[i] <= '9'; i++)
        pid = pid * 10 + (s->held[i] - '0');
    return pid > 1 && pid <= INT32_MAX ? pid : 0;
}

static void release_held(struct output *o, int stream)
{
    struct stream *s = &o->stream[stream];
    size_t n = s->nheld;

    s->nheld = 0;
    plain(o, stream, s->held, n);
}

static void release_said(struct output *o)
{
    for (int i = 0; i < 2; i++) {
        size_t n;
        const char *said = become_said(o->become, i, &n);

        keep(o, i, said, n);
    }
    become_clear_said(o->become);
}

/* A whole mark is held. false: it is none after all. */
static bool take_mark(struct output *o, int stream, enum mark mark)
{
    struct stream *s = &o->stream[stream];

    if (mark == MARK_PROMPT) {
        s->nheld = 0;
        become_prompted(o->become);
        return true;
    }

    int64_t pid = held_pid(s, o->token_len[mark]);

    if (!pid)
        return false;
    s->nheld = 0;
    if (mark == MARK_OUTER) {
        o->outer = pid;
        return true;
    }
    if (becoming(o)) {
        become_started(o->become);
        release_said(o);
    }
    o->pid = pid;
    release_held(o, !stream); /* nothing is looked for any more */
    return true;
}

/* Looks at one byte while something is held. false: the byte is yet to be looked at. */
static bool held_byte(struct output *o, int stream, char c)
{
    struct stream *s = &o->stream[stream];
    bool so_far = false;

    s->held[s->nheld] = c;
    for (int i = 0; i < MARK_COUNT; i++) {
        enum fit fit = fits(o, (enum mark) i, s->held, s->nheld + 1);

        if (fit == FIT_WHOLE) {
            if (take_mark(o, stream, (enum mark) i))
                return true;
            release_held(o, stream);
            return false;
        }
        so_far |= fit == FIT_SO_FAR;
    }
    if (so_far) {
        s->nheld++;
        return true;
    }
    release_held(o, stream);
    return false;
}

static void filter(struct output *o, int stream, const char *p, size_t n)
{
    struct stream *s = &o->stream[stream];

    while (n > 0 && !o->pid) {
        if (s->nheld) {
            if (held_byte(o, stream, *p)) {
                p++;
                n--;
            }
            if (s->nheld || o->pid || n == 0)
                continue;
        }
        const char *mark = memchr(p, TOKEN_MARK, n);
        size_t before = mark ? (size_t) (mark - p) : n;
        plain(o, stream, p, before);
        p += before;
        n -= before;
        if (mark) {
            s->held[s->nheld++] = TOKEN_MARK;
            p++;
            n--;
        }
    }
    keep(o, stream, p, n);
}

size_t output_put(struct output *o, int stream, const char *p, size_t n)
{
    struct stream *s = &o->stream[stream];
    size_t used = s->len + s->nheld + (becoming(o) ? SAID_MAX : 0);
    size_t room = used < OUTPUT_BUFFER ? OUTPUT_BUFFER - used : 0;

    /* What is past the cap takes no room. */
    if (o->max - s->kept > room && n > room)
        n = room;
    filter(o, stream, p, n);
    if (becoming(o))
        become_look(o->become, stream);
    return n;
}

void output_end(struct output *o)
{
    release_held(o, STREAM_STDOUT);
    release_held(o, STREAM_STDERR);
    if (becoming(o))
        release_said(o);
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
