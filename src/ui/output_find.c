/* SPDX-License-Identifier: Apache-2.0 */
/* Finding text in outputs of the store, read in pieces: what lies across two pieces is found
 * too. */
#include "output_find.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/store/reader.h"

#include <ctype.h>
#include <string.h>

#define NEEDLE_MAX 256
#define BACK_STEP ((uint64_t) 256 << 10)

struct search {
    const char *needle;
    size_t m;
    bool fold, last;
    struct strbuf tail; /* what may be the beginning of a hit */
    uint64_t base;      /* where the tail starts */
    uint64_t before;    /* a hit starts below it */
    bool found;
    uint64_t at;
};

static const char *find_bytes(const char *hay, size_t n, const char *needle, size_t m, bool fold)
{
    if (!fold)
        return memmem(hay, n, needle, m);
    int lo = tolower((unsigned char) *needle), up = toupper(lo);
    for (const char *p = hay; m <= n && p <= hay + n - m; p++) {
        if (*p != lo && *p != up)
            continue;
        if (strncasecmp(p, needle, m) == 0)
            return p;
    }
    return NULL;
}

static bool piece(void *ctx, const void *p, size_t n)
{
    struct search *s = ctx;
    size_t from = 0;
    strbuf_add(&s->tail, p, n);
    for (;;) {
        const char *hit = find_bytes(s->tail.s + from, s->tail.len - from, s->needle, s->m,
                                     s->fold);
        if (!hit)
            break;
        size_t off = (size_t) (hit - s->tail.s);
        if (s->base + off >= s->before)
            return false;
        s->found = true;
        s->at = s->base + off;
        if (!s->last)
            return false;
        from = off + 1;
    }
    size_t keep = s->m - 1;
    if (s->tail.len > keep) {
        s->base += s->tail.len - keep;
        strbuf_consume(&s->tail, s->tail.len - keep);
    }
    return true;
}

static bool search(struct reader *r, int64_t id, uint64_t from, uint64_t len, uint64_t before,
                   const char *needle, bool last, uint64_t *at)
{
    struct search s = {.needle = needle, .m = strlen(needle), .fold = true, .last = last,
                       .base = from, .before = before};
    if (id == 0 || s.m == 0 || s.m > NEEDLE_MAX)
        return false;
    for (const char *p = needle; *p; p++)
        s.fold = s.fold && !isupper((unsigned char) *p);
    strbuf_init(&s.tail, 0);
    int rc = reader_output(r, id, from, len, piece, &s, NULL);
    strbuf_free(&s.tail);
    *at = s.at;
    return rc == 0 && s.found;
}

bool output_find(struct reader *r, int64_t id, uint64_t from, uint64_t len, const char *needle,
                 uint64_t *at)
{
    return search(r, id, from, len, UINT64_MAX, needle, false, at);
}

bool output_find_last(struct reader *r, int64_t id, uint64_t from, uint64_t before,
                      const char *needle, uint64_t *at)
{
    uint64_t hi = before;
    while (hi > from) {
        uint64_t lo = hi - from > BACK_STEP ? hi - BACK_STEP : from;
        if (search(r, id, lo, hi - lo + strlen(needle), hi, needle, true, at))
            return true;
        hi = lo;
    }
    return false;
}
