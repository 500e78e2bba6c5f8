/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of text with a cursor and a search. */
#include "text_view.h"

#include "muster/base/alloc.h"
#include "muster/base/text.h"

#include <stdarg.h>
#include <string.h>

static struct text_view *tv(struct view *v)
{
    return (struct text_view *) v;
}

void text_view_init(struct view *v)
{
    prompt_init(&tv(v)->find);
}

void text_view_reset(struct text_view *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->lines[i].text);
    t->n = 0;
}

void text_view_fini(struct view *v)
{
    text_view_reset(tv(v));
    free(tv(v)->lines);
    prompt_free(&tv(v)->find);
}

void text_view_add(struct text_view *t, enum role role, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    char *text = x_vasprintf(fmt, ap);
    va_end(ap);
    X_GROW(t->lines, t->cap, t->n + 1);
    t->lines[t->n++] = (struct text_line) {text, role};
}

/* The next line that holds what is searched, from `start` on (that one included), around the
 * end. */
static void find(struct text_view *t, size_t start, bool back)
{
    for (size_t i = 0; t->find.field.len > 0 && i < t->n; i++) {
        size_t at = back ? (start + t->n - i) % t->n : (start + i) % t->n;
        if (text_find(t->lines[at].text, t->find.field.text)) {
            list_move_to(&t->list, at);
            return;
        }
    }
}

static bool found(const struct text_view *t)
{
    for (size_t i = 0; i < t->n; i++)
        if (prompt_empty(&t->find) || text_find(t->lines[i].text, t->find.field.text))
            return true;
    return false;
}

void text_view_draw(struct view *v, struct surface *s, struct rect body, bool focused)
{
    struct text_view *t = tv(v);
    bool asking = t->find.typing || !prompt_empty(&t->find);
    struct rect lines = body;

    if (asking && body.h > 1)
        lines.h--;
    list_set_count(&t->list, t->n);
    list_set_height(&t->list, (size_t) lines.h);
    for (int y = 0; y < lines.h && t->list.top + (size_t) y < t->n; y++) {
        const struct text_line *l = &t->lines[t->list.top + (size_t) y];
        bool hit = !prompt_empty(&t->find) && text_find(l->text, t->find.field.text);
        surface_fit(s, body, body.x, body.y + y, body.w, hit ? ROLE_SELECTED : l->role, l->text,
                    false);
    }
    if (t->n > 0)
        vu_cursor_row(s, body, body.y + (int) (t->list.cursor - t->list.top), focused);
    if (asking)
        prompt_draw(&t->find, s, body, body.y + body.h - 1, t->find.typing, "",
                    found(t) ? "n next, N previous" : "nowhere here",
                    found(t) ? ROLE_DIM : ROLE_WARN);
}

enum view_result text_view_act(struct view *v, enum action a)
{
    struct text_view *t = tv(v);

    if (list_act(&t->list, a == ACT_TOGGLE ? ACT_PAGE_DOWN : a))
        return VIEW_DONE;
    switch (a) {
    case ACT_FILTER:
        t->from = t->list.cursor;
        prompt_start(&t->find);
        return VIEW_DONE;
    case ACT_FIND_NEXT:
        find(t, t->list.cursor + 1, false);
        return VIEW_DONE;
    case ACT_FIND_PREV:
        find(t, t->list.cursor + t->n - 1, true);
        return VIEW_DONE;
    case ACT_BACK:
        if (prompt_empty(&t->find))
            return VIEW_IGNORED;
        field_set(&t->find.field, "");
        return VIEW_DONE;
    default:
        return vu_no_use(v->app, a);
    }
}

enum view_result text_view_key(struct view *v, const struct key *k)
{
    struct text_view *t = tv(v);

    switch (prompt_key(&t->find, k)) {
    case PROMPT_PASS:
    case PROMPT_LEAVE:
        return VIEW_IGNORED;
    case PROMPT_EDITED:
        find(t, t->from, false);
        return VIEW_DONE;
    case PROMPT_ENTER:
    case PROMPT_ESC:
        return VIEW_DONE;
    }
    return VIEW_IGNORED;
}

bool text_view_takes_text(const struct view *v)
{
    return ((const struct text_view *) v)->find.typing;
}
