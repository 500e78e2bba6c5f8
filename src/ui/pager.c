/* SPDX-License-Identifier: Apache-2.0 */
/* Text of any size shown in a window: finding lines around a byte offset, moving, drawing. */
#include "pager.h"
#include "output_find.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/store/reader.h"

#include <string.h>

#define WINDOW ((size_t) 64 << 10)
#define SIDE_STEP 8

void pager_init(struct pager *p)
{
    memset(p, 0, sizeof *p);
    p->buf_id = -1;
}

static void drop_rows(struct pager *p)
{
    for (size_t i = 0; i < p->n_rows; i++)
        free(p->rows[i].text);
    p->n_rows = 0;
}

void pager_begin(struct pager *p)
{
    for (size_t i = 0; i < p->n_seg; i++)
        strv_clear(&p->seg[i].lines);
    p->n_seg = 0;
    /* An output that grows may have more bytes than the buffer saw. */
    p->buf_id = -1;
}

void pager_free(struct pager *p)
{
    pager_begin(p);
    drop_rows(p);
    free(X_STEAL(p->needle));
    free(X_STEAL(p->buf));
}

struct strv *pager_add_lines(struct pager *p, enum role role)
{
    struct pager_segment *s = &p->seg[p->n_seg++];
    memset(s, 0, sizeof *s);
    s->role = role;
    return &s->lines;
}

void pager_add_stream(struct pager *p, int64_t id, uint64_t size)
{
    struct pager_segment *s = &p->seg[p->n_seg++];
    memset(s, 0, sizeof *s);
    s->stream = true;
    s->id = id;
    s->size = size;
    s->role = ROLE_NORMAL;
}

void pager_set_needle(struct pager *p, const char *needle)
{
    char *copy = needle && *needle ? x_strdup(needle) : NULL;
    free(p->needle);
    p->needle = copy;
    p->has_hit = false;
}

/* --- bytes --- */

static bool take(void *ctx, const void *bytes, size_t n)
{
    struct pager *p = ctx;
    if (n > WINDOW - p->buf_len)
        n = WINDOW - p->buf_len;
    memcpy(p->buf + p->buf_len, bytes, n);
    p->buf_len += n;
    return p->buf_len < WINDOW;
}

/* The bytes of a stream around off: at least one from there on (0: at its end, or unreadable).
 * `back`: the window ends at off instead, and *n are the bytes before it. */
static const char *bytes_at(struct pager *p, const struct pager_segment *s, uint64_t off, bool back,
                            size_t *n)
{
    uint64_t want = back ? off - 1 : off;
    bool have = p->buf_id == s->id && want >= p->buf_off && want < p->buf_off + p->buf_len;
    *n = 0;
    if ((back && off == 0) || want >= s->size)
        return NULL;
    if (!have) {
        if (!p->buf)
            p->buf = x_malloc(WINDOW);
        p->buf_id = s->id;
        p->buf_len = 0;
        p->buf_off = !back ? off : off > WINDOW ? off - WINDOW : 0;
        if (reader_output(p->reader, s->id, p->buf_off, WINDOW, take, p, NULL) != 0 ||
            want >= p->buf_off + p->buf_len) {
            p->buf_id = -1;
            return NULL;
        }
    }
    if (back) {
        *n = (size_t) (off - p->buf_off);
        return p->buf;
    }
    *n = p->buf_len - (size_t) (off - p->buf_off);
    return p->buf + (off - p->buf_off);
}

static uint64_t line_max(const struct pager *p)
{
    return p->wrap ? PAGER_WRAP_MAX : PAGER_LINE_MAX;
}

/* Where the line that starts at off ends: the start of the next one. */
static uint64_t next_line(struct pager *p, const struct pager_segment *s, uint64_t off)
{
    uint64_t limit = off + line_max(p), at = off;
    while (at < s->size && at < limit) {
        size_t n;
        const char *b = bytes_at(p, s, at, false, &n);
        if (!b)
            return s->size;
        const char *nl = memchr(b, '\n', n);
        if (nl && at + (uint64_t) (nl - b) + 1 <= limit)
            return at + (uint64_t) (nl - b) + 1;
        at += n;
    }
    if (at >= s->size && s->size <= limit)
        return s->size;
    /* Too long a line is cut, but not inside a character. */
    for (int i = 0; i < 3; i++) {
        size_t n;
        const char *b = bytes_at(p, s, limit, false, &n);
        if (!b || ((unsigned char) *b & 0xC0) != 0x80)
            break;
        limit--;
    }
    return limit;
}

/* The start of the line that holds the byte before off. */
static uint64_t prev_line(struct pager *p, const struct pager_segment *s, uint64_t off)
{
    uint64_t limit = off > line_max(p) ? off - line_max(p) : 0, at = off > 0 ? off - 1 : 0;
    while (at > limit) {
        size_t n;
        const char *b = bytes_at(p, s, at, true, &n);
        if (!b)
            return limit;
        if (n > at - limit) {
            b += n - (size_t) (at - limit);
            n = (size_t) (at - limit);
        }
        const char *nl = memrchr(b, '\n', n);
        if (nl)
            return at - n + (uint64_t) (nl - b) + 1;
        at -= n;
    }
    return limit;
}

/* The text of the line at off, sanitised: as much of it as `bytes` give. *more: it goes on. */
static char *line_text(struct pager *p, const struct pager_segment *s, uint64_t off, uint64_t bytes,
                       bool *more)
{
    struct strbuf raw, out;
    uint64_t end = next_line(p, s, off), line_end = end;
    if (end - off > bytes)
        end = off + bytes;
    *more = end < line_end;
    strbuf_init(&raw, 0);
    strbuf_init(&out, 0);
    while (off < end) {
        size_t n;
        const char *b = bytes_at(p, s, off, false, &n);
        if (!b)
            break;
        if (n > end - off)
            n = (size_t) (end - off);
        strbuf_add(&raw, b, n);
        off += n;
    }
    if (raw.len > 0 && raw.s[raw.len - 1] == '\n')
        raw.len--;
    if (raw.len > 0 && !*more && raw.s[raw.len - 1] == '\r')
        raw.len--;
    /* What was cut inside a character at the end is not shown as bytes. */
    for (int i = 0; *more && i < 3 && raw.len > 0 &&
                    ((unsigned char) raw.s[raw.len - 1] & 0x80); i++)
        raw.len--;
    text_sanitise(&out, raw.s, raw.len, TEXT_EXPAND_TAB);
    strbuf_free(&raw);
    return strbuf_steal(&out);
}

/* --- rows --- */

/* Skips text of at most cols columns, but at least one character. */
static const char *skip_columns(const char *s, size_t cols)
{
    size_t n = strlen(s), i = 0, used = 0;
    while (i < n) {
        uint32_t cp;
        size_t k = utf8_decode(s + i, n - i, &cp);
        size_t cw = k ? (size_t) text_cp_width(cp) : 1;
        if (used + cw > cols && i > 0)
            break;
        used += cw;
        i += k ? k : 1;
    }
    return s + i;
}

static size_t wrapped_rows(const struct pager *p, const char *text)
{
    size_t rows = 1;
    size_t w = p->w > 0 ? (size_t) p->w : 1;
    const char *next = skip_columns(text, w);
    while (*next && next > text) {
        rows++;
        text = next;
        next = skip_columns(text, w);
    }
    return rows;
}

static size_t rows_at(struct pager *p, const struct pager_pos *at)
{
    const struct pager_segment *s = &p->seg[at->seg];
    bool more;
    if (!p->wrap)
        return 1;
    if (!s->stream)
        return wrapped_rows(p, s->lines.v[at->off]);
    CLEANUP_FREE char *text = line_text(p, s, at->off, PAGER_WRAP_MAX, &more);
    return wrapped_rows(p, text);
}

static uint64_t seg_end(const struct pager_segment *s)
{
    return s->stream ? s->size : s->lines.n;
}

static bool next_seg(const struct pager *p, struct pager_pos *at)
{
    for (size_t i = at->seg + 1; i < p->n_seg; i++) {
        if (seg_end(&p->seg[i]) > 0) {
            *at = (struct pager_pos) {i, 0, 0};
            return true;
        }
    }
    return false;
}

static bool next_row(struct pager *p, struct pager_pos *at)
{
    const struct pager_segment *s = &p->seg[at->seg];
    if (p->wrap && at->row + 1 < rows_at(p, at)) {
        at->row++;
        return true;
    }
    uint64_t next = s->stream ? next_line(p, s, at->off) : at->off + 1;
    if (next < seg_end(s)) {
        at->off = next;
        at->row = 0;
        return true;
    }
    return next_seg(p, at);
}

static bool prev_row(struct pager *p, struct pager_pos *at)
{
    if (at->row > 0) {
        at->row--;
        return true;
    }
    if (at->off == 0) {
        size_t i = at->seg;
        while (i > 0 && seg_end(&p->seg[i - 1]) == 0)
            i--;
        if (i == 0)
            return false;
        at->seg = i - 1;
        at->off = seg_end(&p->seg[at->seg]);
    }
    const struct pager_segment *s = &p->seg[at->seg];
    at->off = s->stream ? prev_line(p, s, at->off) : at->off - 1;
    at->row = rows_at(p, at) - 1;
    return true;
}

static bool before(const struct pager_pos *a, const struct pager_pos *b)
{
    if (a->seg != b->seg)
        return a->seg < b->seg;
    return a->off != b->off ? a->off < b->off : a->row < b->row;
}

static struct pager_pos first_pos(const struct pager *p)
{
    struct pager_pos at = {0, 0, 0};
    if (p->n_seg > 0 && seg_end(&p->seg[0]) == 0)
        next_seg(p, &at);
    return at;
}

static bool same_pos(struct pager_pos a, struct pager_pos b)
{
    return !before(&a, &b) && !before(&b, &a);
}

/* The place from where the last row just fits. */
static struct pager_pos last_top(struct pager *p)
{
    struct pager_pos at = {p->n_seg, 0, 0};
    for (int i = 0; i < (p->h > 0 ? p->h : 1); i++)
        if (!prev_row(p, &at))
            break;
    return at.seg == p->n_seg ? first_pos(p) : at;
}

static bool has_rows(const struct pager *p)
{
    for (size_t i = 0; i < p->n_seg; i++)
        if (seg_end(&p->seg[i]) > 0)
            return true;
    return false;
}

/* After segments changed: the place must be one. */
static void settle_top(struct pager *p)
{
    if (p->top.seg >= p->n_seg || p->top.off >= seg_end(&p->seg[p->top.seg]))
        p->top = first_pos(p);
    size_t rows = rows_at(p, &p->top);
    if (p->top.row >= rows)
        p->top.row = rows - 1;
    struct pager_pos last = last_top(p);
    if (p->follow || before(&last, &p->top))
        p->top = last;
}

static void load_row(struct pager *p, const struct pager_pos *at)
{
    const struct pager_segment *s = &p->seg[at->seg];
    struct pager_row *r = &p->rows[p->n_rows++];
    size_t skip = p->wrap ? 0 : p->x;
    uint64_t bytes = p->wrap ? PAGER_WRAP_MAX : ((uint64_t) p->x + (uint64_t) p->w) * 4 + 64;
    char *text;
    r->role = s->role;
    r->more = false;
    text = s->stream ? line_text(p, s, at->off, bytes, &r->more) : text_clean(s->lines.v[at->off]);
    const char *from = skip ? skip_columns(text, skip) : text;
    for (size_t i = 0; i < at->row; i++)
        from = skip_columns(from, (size_t) p->w);
    if (p->wrap) {
        const char *end = skip_columns(from, (size_t) p->w);
        r->text = x_strndup(from, (size_t) (end - from));
        r->more = false;
    } else {
        r->text = x_strdup(from);
    }
    free(text);
}

void pager_load(struct pager *p, int w, int h)
{
    drop_rows(p);
    p->w = w > 0 ? w : 1;
    p->h = h < PAGER_ROWS_MAX ? h : PAGER_ROWS_MAX;
    if (!has_rows(p) || p->h <= 0)
        return;
    settle_top(p);
    struct pager_pos at = p->top;
    p->at_end = false;
    for (int i = 0; i < p->h && !p->at_end; i++) {
        load_row(p, &at);
        p->at_end = !next_row(p, &at);
    }
    p->end = at;
    p->at_top = same_pos(first_pos(p), p->top);
}

/* --- moving --- */

static void move(struct pager *p, int by)
{
    struct pager_pos last;
    if (!has_rows(p))
        return;
    for (; by < 0 && prev_row(p, &p->top); by++)
        p->follow = false;
    for (; by > 0 && next_row(p, &p->top); by--)
        ;
    last = last_top(p);
    if (before(&last, &p->top))
        p->top = last;
}

/* How far right one can go: never past the end of the longest line in the window. */
static size_t side_step(const struct pager *p)
{
    size_t beyond = 0;
    for (size_t i = 0; i < p->n_rows; i++) {
        size_t w = text_width(p->rows[i].text);
        if (p->rows[i].more)
            w += SIDE_STEP;
        if (w > (size_t) p->w && w - (size_t) p->w > beyond)
            beyond = w - (size_t) p->w;
    }
    if (p->wrap || p->x + SIDE_STEP > PAGER_X_MAX)
        return 0;
    return beyond < SIDE_STEP ? beyond : SIDE_STEP;
}

int pager_percent(const struct pager *p)
{
    uint64_t total = 0, above = 0;
    for (size_t i = 0; i < p->n_seg; i++) {
        const struct pager_segment *s = &p->seg[i];
        if (!s->stream)
            continue;
        total += s->size;
        if (i < p->end.seg)
            above += s->size;
        else if (i == p->end.seg)
            above += p->end.off < s->size ? p->end.off : s->size;
    }
    if (p->at_end)
        return 100;
    int percent = total ? (int) ((double) above * 100.0 / (double) total) : 0;
    return percent < 99 ? percent : 99;
}

bool pager_act(struct pager *p, enum action a)
{
    int page = p->h > 2 ? p->h - 1 : 1;
    bool had_hit = p->has_hit;
    p->has_hit = false;
    switch (a) {
    case ACT_DOWN:
        move(p, 1);
        return true;
    case ACT_UP:
        move(p, -1);
        return true;
    case ACT_TOGGLE:
    case ACT_PAGE_DOWN:
        move(p, page);
        return true;
    case ACT_PAGE_UP:
        move(p, -page);
        return true;
    case ACT_HALF_DOWN:
        move(p, (page + 1) / 2);
        return true;
    case ACT_HALF_UP:
        move(p, -(page + 1) / 2);
        return true;
    case ACT_TOP:
        p->follow = false;
        p->top = first_pos(p);
        return true;
    case ACT_BOTTOM:
        if (has_rows(p))
            p->top = last_top(p);
        return true;
    case ACT_COLLAPSE:
        p->x = p->x > SIDE_STEP ? p->x - SIDE_STEP : 0;
        return true;
    case ACT_EXPAND:
        p->x += side_step(p);
        return true;
    case ACT_WRAP:
        p->wrap = !p->wrap;
        p->x = 0;
        p->top.row = 0;
        return true;
    case ACT_FOLLOW:
        p->follow = !p->follow;
        return true;
    default:
        p->has_hit = had_hit;
        return false;
    }
}

/* --- search --- */

/* Puts the window on the byte `hit` of a stream. */
static void show_hit(struct pager *p, size_t seg, uint64_t hit)
{
    const struct pager_segment *s = &p->seg[seg];
    bool more;
    p->top = (struct pager_pos) {seg, prev_line(p, s, hit + 1), 0};
    p->follow = false;
    if (p->wrap || hit - p->top.off > (uint64_t) PAGER_X_MAX)
        return;
    CLEANUP_FREE char *text = line_text(p, s, p->top.off, hit - p->top.off, &more);
    size_t at = text_width(text), w = (size_t) p->w;
    if (at < p->x || at + strlen(p->needle) > p->x + w)
        p->x = at + strlen(p->needle) <= w ? 0 : at - w / 2;
    if (p->x > PAGER_X_MAX)
        p->x = PAGER_X_MAX;
}

static bool find_in_lines(struct pager *p, size_t seg, int64_t from, int step)
{
    const struct strv *lines = &p->seg[seg].lines;
    for (int64_t i = from; i >= 0 && i < (int64_t) lines->n; i += step) {
        if (!text_find(lines->v[i], p->needle))
            continue;
        p->top = (struct pager_pos) {seg, (uint64_t) i, 0};
        p->hit = (uint64_t) i;
        return true;
    }
    return false;
}

/* Looks through one segment, from `at` (exclusive) on where it is given, else all of it. */
static bool find_in(struct pager *p, size_t seg, bool forward, const uint64_t *at)
{
    const struct pager_segment *s = &p->seg[seg];
    bool found;
    if (!s->stream) {
        int64_t from = at ? (int64_t) *at + (forward ? 1 : -1)
                          : forward ? 0 : (int64_t) s->lines.n - 1;
        return find_in_lines(p, seg, from, forward ? 1 : -1);
    }
    if (forward) {
        uint64_t from = at ? *at + 1 : 0;
        found = from < s->size && output_find(p->reader, s->id, from, s->size - from, p->needle,
                                              &p->hit);
    } else {
        found = output_find_last(p->reader, s->id, 0, at ? *at : s->size, p->needle, &p->hit);
    }
    if (found)
        show_hit(p, seg, p->hit);
    return found;
}

bool pager_find(struct pager *p, bool forward)
{
    if (!p->needle || !has_rows(p))
        return false;
    /* From the last hit on; else from the top of the window, what stands there included. */
    size_t seg = p->has_hit ? p->hit_seg : p->top.seg;
    uint64_t at = p->has_hit ? p->hit : p->top.off;
    bool whole = !p->has_hit && forward && at == 0;
    if (!p->has_hit && forward && at > 0)
        at--;
    for (size_t k = 0; k < p->n_seg; k++) {
        size_t i = forward ? seg + k : seg - k;
        if (i >= p->n_seg)
            break;
        if (find_in(p, i, forward, k == 0 && !whole ? &at : NULL)) {
            p->has_hit = true;
            p->hit_seg = i;
            return true;
        }
    }
    return false;
}

/* --- drawing --- */

static void mark_hits(const struct pager *p, struct surface *s, struct rect row, const char *text)
{
    for (const char *at = text; p->needle && (at = text_find(at, p->needle)); at++) {
        int x = (int) text_nwidth(text, (size_t) (at - text));
        int w = (int) text_nwidth(at, strlen(p->needle));
        if (x >= row.w)
            break;
        surface_paint(s, (struct rect) {row.x + x, row.y, x + w > row.w ? row.w - x : w, 1},
                      ROLE_SELECTED, true);
    }
}

void pager_draw(const struct pager *p, struct surface *s, struct rect body)
{
    for (size_t i = 0; i < p->n_rows && (int) i < body.h; i++) {
        struct rect row = {body.x, body.y + (int) i, body.w, 1};
        const struct pager_row *r = &p->rows[i];
        surface_fit(s, row, row.x, row.y, row.w, r->role, r->text, false);
        if (r->more)
            surface_text(s, row, row.x + row.w - 1, row.y, ROLE_DIM, "~");
        mark_hits(p, s, row, r->text);
    }
}
