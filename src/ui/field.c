/* SPDX-License-Identifier: Apache-2.0 */
/* A line of input: editing by characters, scrolling by columns. */
#include "muster/ui/field.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/ui/key.h"

#include <stdio.h>
#include <string.h>

#define FIELD_MAX ((size_t) 32 << 10)

void field_init(struct field *f)
{
    memset(f, 0, sizeof *f);
    f->cap = 64;
    f->text = x_calloc(1, f->cap);
}

void field_free(struct field *f)
{
    free(f->text);
    memset(f, 0, sizeof *f);
}

/* Puts n bytes in at the cursor: whole characters only, as far as they fit. NUL never gets in. */
static void insert(struct field *f, const char *p, size_t n)
{
    if (n > FIELD_MAX - f->len)
        n = FIELD_MAX - f->len;
    while (n > 0 && !utf8_valid(p, n))
        n--;
    if (n == 0)
        return;
    X_GROW(f->text, f->cap, f->len + n + 1);
    memmove(f->text + f->cursor + n, f->text + f->cursor, f->len - f->cursor + 1);
    memcpy(f->text + f->cursor, p, n);
    f->len += n;
    f->cursor += n;
}

/* Pasted bytes: what is not UTF-8 is made visible, CR and CR LF become a newline. */
static void insert_text(struct field *f, const char *p)
{
    struct strbuf b;
    size_t n = strlen(p);

    strbuf_init(&b, FIELD_MAX);
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t len = utf8_decode(p + i, n - i, &cp);
        if (p[i] == '\r') {
            strbuf_addch(&b, '\n');
            i += i + 1 < n && p[i + 1] == '\n' ? 2 : 1;
        } else if (len == 0) {
            text_sanitise(&b, p + i, 1, 0);
            i++;
        } else {
            strbuf_add(&b, p + i, len);
            i += len;
        }
    }
    insert(f, b.s, b.len);
    strbuf_free(&b);
}

void field_set(struct field *f, const char *text)
{
    f->len = f->cursor = f->scroll = 0;
    f->text[0] = '\0';
    if (text)
        insert_text(f, text);
}

static size_t prev_char(const struct field *f, size_t at)
{
    uint32_t cp = 0;

    while (at > 0) {
        do
            at--;
        while (at > 0 && ((unsigned char) f->text[at] & 0xc0) == 0x80);
        /* A combining mark goes with its character. */
        if (utf8_decode(f->text + at, f->len - at, &cp) == 0 || cp < 0x300 ||
            text_cp_width(cp) != 0)
            break;
    }
    return at;
}

static size_t next_char(const struct field *f, size_t at)
{
    uint32_t cp = 0;
    bool first = true;

    while (at < f->len) {
        size_t n = utf8_decode(f->text + at, f->len - at, &cp);
        if (!first && (n == 0 || cp < 0x300 || text_cp_width(cp) != 0))
            break;
        at += n ? n : 1;
        first = false;
    }
    return at;
}

static size_t prev_word(const struct field *f, size_t at)
{
    while (at > 0 && strchr(" \t\n", f->text[at - 1]))
        at--;
    while (at > 0 && !strchr(" \t\n", f->text[at - 1]))
        at--;
    return at;
}

static void cut(struct field *f, size_t from, size_t to)
{
    memmove(f->text + from, f->text + to, f->len - to + 1);
    f->len -= to - from;
    f->cursor = from;
}

static bool control_key(struct field *f, uint32_t c)
{
    switch (c) {
    case 'a':
        f->cursor = 0;
        return true;
    case 'e':
        f->cursor = f->len;
        return true;
    case 'b':
        f->cursor = prev_char(f, f->cursor);
        return true;
    case 'f':
        f->cursor = next_char(f, f->cursor);
        return true;
    case 'd':
        cut(f, f->cursor, next_char(f, f->cursor));
        return true;
    case 'h':
        cut(f, prev_char(f, f->cursor), f->cursor);
        return true;
    case 'k':
        cut(f, f->cursor, f->len);
        return true;
    case 'u':
        cut(f, 0, f->cursor);
        return true;
    case 'w':
        cut(f, prev_word(f, f->cursor), f->cursor);
        return true;
    default:
        return false;
    }
}

static void type(struct field *f, uint32_t cp)
{
    char name[16];

    /* A key's name is its character, but for the space. */
    key_label(&(struct key) {KEY_CODE_CHAR, cp, false, NULL}, name);
    if (cp == ' ')
        snprintf(name, sizeof name, " ");
    insert(f, name, strlen(name));
}

bool field_key(struct field *f, const struct key *k)
{
    switch (k->code) {
    case KEY_CODE_CHAR:
        if (k->ctrl)
            return control_key(f, k->cp);
        if (k->cp < ' ' || k->cp == 0x7f)
            return false;
        type(f, k->cp);
        return true;
    case KEY_CODE_PASTE:
        insert_text(f, k->text ? k->text : "");
        return true;
    case KEY_CODE_LEFT:
        return control_key(f, 'b');
    case KEY_CODE_RIGHT:
        return control_key(f, 'f');
    case KEY_CODE_HOME:
        return control_key(f, 'a');
    case KEY_CODE_END:
        return control_key(f, 'e');
    case KEY_CODE_DEL:
        return control_key(f, 'd');
    case KEY_CODE_BS:
        return control_key(f, 'h');
    default:
        return false;
    }
}

static int columns(const char *p, size_t n)
{
    struct strbuf b;

    strbuf_init(&b, 0);
    text_sanitise(&b, p, n, 0);
    int w = (int) text_nwidth(b.s, b.len);
    strbuf_free(&b);
    return w;
}

void field_draw(struct field *f, struct surface *s, struct rect clip, int x, int y, int w,
                bool focused)
{
    if (w <= 0)
        return;
    int at = columns(f->text, f->cursor), scroll = (int) f->scroll;
    if (at < scroll)
        scroll = at;
    if (at >= scroll + w)
        scroll = at - w + 1;
    if (!focused)
        scroll = 0;
    f->scroll = (size_t) scroll;

    /* The field's own row of columns, within what may be drawn. */
    int left = x > clip.x ? x : clip.x;
    int right = x + w < clip.x + clip.w ? x + w : clip.x + clip.w;
    struct rect row = {left, y, right - left, 1};
    if (row.w <= 0 || y < clip.y || y >= clip.y + clip.h)
        return;
    surface_fill(s, row, ROLE_FIELD, ' ');
    surface_text(s, row, x - scroll, y, ROLE_FIELD, f->text);
    if (focused)
        surface_cursor(s, x + at - scroll, y, true);
}
