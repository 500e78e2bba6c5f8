/* SPDX-License-Identifier: Apache-2.0 */
/* The grid of cells: drawing text, clipped and made harmless, and reading it back as text. */
#include "muster/ui/surface.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void surface_init(struct surface *s, int cols, int rows)
{
    memset(s, 0, sizeof *s);
    surface_resize(s, cols, rows);
}

void surface_resize(struct surface *s, int cols, int rows)
{
    free(s->cells);
    s->cols = cols > 0 ? cols : 0;
    s->rows = rows > 0 ? rows : 0;
    s->cells = x_calloc((size_t) s->cols * (size_t) s->rows + 1, sizeof *s->cells);
    surface_clear(s);
}

void surface_free(struct surface *s)
{
    free(s->cells);
    memset(s, 0, sizeof *s);
}

void surface_clear(struct surface *s)
{
    size_t n = (size_t) s->cols * (size_t) s->rows;

    for (size_t i = 0; i < n; i++)
        s->cells[i] = (struct cell) {{' ', 0}, ROLE_NORMAL, false};
    s->cur_x = s->cur_y = 0;
    s->cur_visible = false;
}

/* The part of the clip that is on the surface. */
static struct rect clip_to(const struct surface *s, struct rect c)
{
    if (c.x < 0) {
        c.w += c.x;
        c.x = 0;
    }
    if (c.y < 0) {
        c.h += c.y;
        c.y = 0;
    }
    if (c.w > s->cols - c.x)
        c.w = s->cols - c.x;
    if (c.h > s->rows - c.y)
        c.h = s->rows - c.y;
    if (c.w < 0)
        c.w = 0;
    if (c.h < 0)
        c.h = 0;
    return c;
}

static struct cell *cell_at(struct surface *s, int x, int y)
{
    return &s->cells[(size_t) y * (size_t) s->cols + (size_t) x];
}

/* Before a cell changes: the other half of a wide character must not be left behind alone. */
static void split_wide(struct surface *s, int x, int y)
{
    struct cell *c = cell_at(s, x, y);

    if (c->cp[0] == 0 && x > 0) {
        struct cell *left = cell_at(s, x - 1, y);
        left->cp[0] = ' ';
        left->cp[1] = 0;
    } else if (x + 1 < s->cols && cell_at(s, x + 1, y)->cp[0] == 0) {
        cell_at(s, x + 1, y)->cp[0] = ' ';
    }
}

static void put(struct surface *s, int x, int y, uint32_t cp, enum role role)
{
    split_wide(s, x, y);
    *cell_at(s, x, y) = (struct cell) {{cp, 0}, (uint8_t) role, false};
}

/* Draws text that is sanitised already. */
static int draw_clean(struct surface *s, struct rect c, int x, int y, enum role role,
                      const char *t, size_t n)
{
    int start = x, last = -1;

    if (y < c.y || y >= c.y + c.h)
        return 0;
    while (n > 0 && x < c.x + c.w) {
        uint32_t cp;
        size_t len = utf8_decode(t, n, &cp);

        if (len == 0) {
            len = 1;
            cp = '?';
        }
        t += len;
        n -= len;
        int w = text_cp_width(cp);
        if (w == 0) {
            if (last >= 0 && cell_at(s, last, y)->cp[1] == 0)
                cell_at(s, last, y)->cp[1] = cp;
            continue;
        }
        last = -1;
        if (w == 2 && (x < c.x || x + 1 >= c.x + c.w)) {
            /* Half of it is cut off: the half that shows is a space. */
            if (x >= c.x)
                put(s, x, y, ' ', role);
            else if (x + 1 >= c.x && x + 1 < c.x + c.w)
                put(s, x + 1, y, ' ', role);
        } else if (x >= c.x) {
            put(s, x, y, cp, role);
            if (w == 2) {
                put(s, x + 1, y, 0, role);
                cell_at(s, x, y)->cp[0] = cp;
            }
            last = x;
        }
        x += w;
    }
    if (x > c.x + c.w)
        x = c.x + c.w;
    return x > start ? x - start : 0;
}

static bool is_plain(const char *t, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (t[i] < ' ' || t[i] > '~')
            return false;
    return true;
}

int surface_text(struct surface *s, struct rect clip, int x, int y, enum role role,
                 const char *text)
{
    struct rect c = clip_to(s, clip);
    size_t n = text ? strlen(text) : 0;
    struct strbuf b;
    int used;

    if (n == 0)
        return 0;
    if (is_plain(text, n))
        return draw_clean(s, c, x, y, role, text, n);
    strbuf_init(&b, 0);
    text_sanitise(&b, text, n, 0);
    used = draw_clean(s, c, x, y, role, b.s, b.len);
    strbuf_free(&b);
    return used;
}

int surface_textf(struct surface *s, struct rect clip, int x, int y, enum role role,
                  const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    char *t = x_vasprintf(fmt, ap);
    va_end(ap);
    int used = surface_text(s, clip, x, y, role, t);
    free(t);
    return used;
}

void surface_fit(struct surface *s, struct rect clip, int x, int y, int w, enum role role,
                 const char *text, bool pad)
{
    struct strbuf clean, cut;

    if (w <= 0)
        return;
    strbuf_init(&clean, 0);
    strbuf_init(&cut, 0);
    if (text)
        text_sanitise(&clean, text, strlen(text), 0);
    text_fit(&cut, clean.s, (size_t) w, pad);
    draw_clean(s, clip_to(s, clip), x, y, role, cut.s, cut.len);
    strbuf_free(&clean);
    strbuf_free(&cut);
}

void surface_fill(struct surface *s, struct rect r, enum role role, char ch)
{
    struct rect c = clip_to(s, r);

    for (int y = c.y; y < c.y + c.h; y++)
        for (int x = c.x; x < c.x + c.w; x++)
            put(s, x, y, (unsigned char) ch, role);
}

void surface_paint(struct surface *s, struct rect r, enum role role, bool reverse)
{
    struct rect c = clip_to(s, r);

    for (int y = c.y; y < c.y + c.h; y++)
        for (int x = c.x; x < c.x + c.w; x++) {
            cell_at(s, x, y)->role = (uint8_t) role;
            if (reverse)
                cell_at(s, x, y)->reverse = true;
        }
}

struct rect surface_frame(struct surface *s, struct rect r, bool focused, const char *title,
                          const char *right)
{
    enum role role = focused ? ROLE_FOCUS : ROLE_BORDER;
    int bottom = r.y + r.h - 1, end = r.x + r.w - 1;

    if (r.w < 2 || r.h < 2)
        return (struct rect) {r.x, r.y, 0, 0};
    /* Where the keys go is told without colour too. */
    surface_fill(s, (struct rect) {r.x + 1, r.y, r.w - 2, 1}, role, focused ? '=' : '-');
    surface_fill(s, (struct rect) {r.x + 1, bottom, r.w - 2, 1}, role, focused ? '=' : '-');
    surface_fill(s, (struct rect) {r.x, r.y + 1, 1, r.h - 2}, role, '|');
    surface_fill(s, (struct rect) {end, r.y + 1, 1, r.h - 2}, role, '|');
    for (int i = 0; i < 4; i++)
        surface_fill(s, (struct rect) {i & 1 ? end : r.x, i & 2 ? bottom : r.y, 1, 1}, role, '+');

    struct rect line = {r.x + 1, r.y, r.w - 2, 1};
    int used = 0;
    if (title && *title) {
        used = surface_text(s, line, line.x, r.y, focused ? ROLE_FOCUS : ROLE_TITLE, title);
        used += surface_text(s, line, line.x + used, r.y, role, " ");
    }
    int room = line.w - used - 2; /* a space on either side */
    if (right && *right && room >= 4) {
        struct strbuf clean;

        strbuf_init(&clean, 0);
        text_sanitise(&clean, right, strlen(right), 0);
        int w = (int) text_nwidth(clean.s, clean.len);
        if (w > room)
            w = room;
        int x = line.x + line.w - w - 2;
        surface_text(s, line, x, r.y, role, " ");
        surface_fit(s, line, x + 1, r.y, w, focused ? ROLE_FOCUS : ROLE_TITLE, clean.s, true);
        surface_text(s, line, x + 1 + w, r.y, role, " ");
        strbuf_free(&clean);
    }
    return (struct rect) {r.x + 1, r.y + 1, r.w - 2, r.h - 2};
}

void surface_cursor(struct surface *s, int x, int y, bool visible)
{
    s->cur_x = x < 0 ? 0 : x >= s->cols ? (s->cols ? s->cols - 1 : 0) : x;
    s->cur_y = y < 0 ? 0 : y >= s->rows ? (s->rows ? s->rows - 1 : 0) : y;
    s->cur_visible = visible;
}

uint32_t surface_at(const struct surface *s, int x, int y)
{
    if (x < 0 || y < 0 || x >= s->cols || y >= s->rows)
        return 0;
    return s->cells[(size_t) y * (size_t) s->cols + (size_t) x].cp[0];
}

static size_t utf8_encode(uint32_t cp, char *out)
{
    if (cp < 0x80) {
        out[0] = (char) cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char) (0xc0 | cp >> 6);
        out[1] = (char) (0x80 | (cp & 0x3f));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char) (0xe0 | cp >> 12);
        out[1] = (char) (0x80 | (cp >> 6 & 0x3f));
        out[2] = (char) (0x80 | (cp & 0x3f));
        return 3;
    }
    out[0] = (char) (0xf0 | cp >> 18);
    out[1] = (char) (0x80 | (cp >> 12 & 0x3f));
    out[2] = (char) (0x80 | (cp >> 6 & 0x3f));
    out[3] = (char) (0x80 | (cp & 0x3f));
    return 4;
}

char *surface_dump(const struct surface *s)
{
    struct strbuf b;
    char u[4];

    strbuf_init(&b, 0);
    for (int y = 0; y < s->rows; y++) {
        size_t end = b.len;
        for (int x = 0; x < s->cols; x++) {
            const struct cell *c = &s->cells[(size_t) y * (size_t) s->cols + (size_t) x];
            if (c->cp[0] == 0)
                continue;
            strbuf_add(&b, u, utf8_encode(c->cp[0], u));
            if (c->cp[1])
                strbuf_add(&b, u, utf8_encode(c->cp[1], u));
            if (c->cp[0] != ' ')
                end = b.len;
        }
        b.len = end;
        b.s[b.len] = '\0';
        strbuf_addch(&b, '\n');
    }
    return strbuf_steal(&b);
}
