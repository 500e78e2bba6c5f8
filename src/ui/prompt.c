/* SPDX-License-Identifier: Apache-2.0 */
/* The one-line input of a view (a filter or a search), and columns that drop by priority. */
#include "vutil.h"

#include "muster/base/alloc.h"
#include "muster/base/text.h"
#include "muster/ui/key.h"

#include <string.h>

void prompt_init(struct prompt *p)
{
    field_init(&p->field);
    p->typing = false;
    p->before = NULL;
}

void prompt_free(struct prompt *p)
{
    field_free(&p->field);
    free(X_STEAL(p->before));
}

bool prompt_empty(const struct prompt *p)
{
    return p->field.len == 0;
}

void prompt_start(struct prompt *p)
{
    free(p->before);
    p->before = x_strdup(p->field.text);
    p->field.cursor = p->field.len;
    p->typing = true;
}

enum prompt_event prompt_key(struct prompt *p, const struct key *k)
{
    if (!p->typing)
        return PROMPT_PASS;
    bool ctrl_c = k->code == KEY_CODE_CHAR && k->ctrl && k->cp == 'c';
    if (k->code == KEY_CODE_ESC || ctrl_c) {
        field_set(&p->field, p->before ? p->before : "");
        p->typing = false;
        return PROMPT_ESC;
    }
    if (k->code == KEY_CODE_ENTER) {
        p->typing = false;
        return PROMPT_ENTER;
    }
    if (k->code == KEY_CODE_TAB || k->code == KEY_CODE_BTAB) {
        p->typing = false;
        return PROMPT_LEAVE;
    }
    if (k->code == KEY_CODE_BS && p->field.len == 0) {
        p->typing = false;
        return PROMPT_ENTER;
    }
    return field_key(&p->field, k) ? PROMPT_EDITED : PROMPT_PASS;
}

void prompt_draw(const struct prompt *p, struct surface *s, struct rect clip, int y, bool focused,
                 const char *empty, const char *note, enum role note_role)
{
    int nw = note ? (int) text_width(note) : 0;
    int gap = vu_gap(s, clip), w = clip.w - 2 - gap;
    if (nw > 0 && nw > clip.w / 2 && note_role != ROLE_ERROR)
        nw = clip.w / 2;
    if (nw > clip.w * 2 / 3)
        nw = clip.w * 2 / 3;
    if (nw > 0)
        w -= nw + 1;
    surface_text(s, clip, clip.x, y, ROLE_DIM, "/");
    if (!p->typing && p->field.len == 0) {
        surface_fit(s, clip, clip.x + 2, y, w, ROLE_DIM, empty, false);
    } else {
        /* Drawing may scroll the field sideways; that is its state, not the text's. */
        struct field *f = (struct field *) &p->field;
        field_draw(f, s, clip, clip.x + 2, y, w, focused && p->typing);
    }
    if (nw > 0)
        surface_fit(s, clip, clip.x + clip.w - nw - gap, y, nw, note_role, note, false);
}

static int gaps(const struct column *c, size_t n, bool want, size_t *shown)
{
    int total = 0;
    *shown = 0;
    for (size_t i = 0; i < n; i++) {
        if (c[i].w == 0)
            continue;
        total += want ? c[i].w : c[i].min;
        ++*shown;
    }
    return total + (*shown > 0 ? (int) *shown - 1 : 0);
}

void columns_layout(struct column *c, size_t n, int width)
{
    size_t shown;
    for (size_t i = 0; i < n; i++)
        c[i].w = c[i].min;
    while (gaps(c, n, false, &shown) > width) {
        struct column *worst = NULL;
        for (size_t i = 0; i < n; i++)
            if (c[i].w && c[i].drop > 0 && (!worst || c[i].drop > worst->drop))
                worst = &c[i];
        if (!worst)
            break;
        worst->w = 0;
    }
    int left = width - gaps(c, n, true, &shown);
    for (size_t i = 0; i < n && left > 0; i++) {
        if (c[i].w == 0 || c[i].want <= c[i].w)
            continue;
        int more = c[i].want - c[i].w < left ? c[i].want - c[i].w : left;
        c[i].w += more;
        left -= more;
    }
    for (size_t i = 0; i < n && left > 0; i++) {
        if (c[i].w && c[i].flex) {
            c[i].w += left;
            left = 0;
        }
    }
    int x = 0;
    for (size_t i = 0; i < n; i++) {
        c[i].x = x;
        if (c[i].w)
            x += c[i].w + 1;
    }
}

void columns_cell(const struct column *c, struct surface *s, struct rect row, enum role role,
                  const char *text)
{
    if (c->w <= 0)
        return;
    int x = row.x + c->x, w = c->w;
    int have = (int) text_width(text);
    if (c->right && have < w) {
        x += w - have;
        w = have;
    }
    if (w > 0)
        surface_fit(s, row, x, row.y, w, role, text, false);
}

void columns_head(const struct column *c, size_t n, struct surface *s, struct rect row)
{
    for (size_t i = 0; i < n; i++)
        columns_cell(&c[i], s, row, ROLE_TITLE, c[i].title);
}
