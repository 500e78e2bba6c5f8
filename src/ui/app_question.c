/* SPDX-License-Identifier: Apache-2.0 */
/* Questions on the status row. */
#include "app_private.h"

#include "muster/base/alloc.h"
#include "muster/base/text.h"

#include <string.h>

#define ANSWER_MIN 24 /* columns that a line of text is typed in, at least */

void question_close(struct app *a)
{
    struct question *p = &a->priv->question;

    p->active = false;
    free(p->text);
    p->text = NULL;
    a->dirty = true;
}

static struct question *question_open(struct app *a, const char *question, const char *initial)
{
    struct question *p = &a->priv->question;

    question_close(a);
    p->active = true;
    p->text = x_strdup(question);
    p->done = NULL;
    p->choice = NULL;
    field_set(&p->field, initial);
    return p;
}

void app_ask(struct app *a, const char *question, const char *initial,
             void (*done)(struct app *a, const char *text))
{
    question_open(a, question, initial)->done = done;
}

void app_choose(struct app *a, const char *question, const struct choice *choice)
{
    question_open(a, question, NULL)->choice = choice;
}

void question_tick(struct app *a)
{
    struct question *p = &a->priv->question;

    if (p->active && p->choice && p->choice->moot && p->choice->moot(a))
        question_close(a);
}

/* The answer may open the next prompt, so this one is closed before it is given. */
static void answer(struct app *a, bool given, char key)
{
    struct question *p = &a->priv->question;
    void (*done)(struct app *, const char *) = p->done;
    const struct choice *choice = p->choice;
    char *text = given && done ? x_strdup(p->field.text) : NULL;

    question_close(a);
    if (done)
        done(a, text);
    else if (choice)
        choice->chosen(a, key);
    free(text);
    app_stale_all(a);
}

void question_key(struct app *a, const struct key *k)
{
    struct question *p = &a->priv->question;
    bool ctrl_c = k->code == KEY_CODE_CHAR && k->ctrl && k->cp == 'c';

    a->dirty = true;
    if (k->code == KEY_CODE_ESC || ctrl_c) {
        answer(a, false, 0);
    } else if (p->done) {
        if (k->code == KEY_CODE_ENTER)
            answer(a, true, 0);
        else
            field_key(&p->field, k);
    } else if (k->code == KEY_CODE_CHAR && !k->ctrl && k->cp > ' ' && k->cp < 0x7f) {
        /* What comes in a heap was not typed in answer to this. */
        if (a->priv->burst != BURST_NONE)
            return;
        if (strchr(p->choice->keys, (int) k->cp))
            answer(a, true, (char) k->cp);
        else if (k->cp == 'q' || k->cp == 'n')
            answer(a, false, 0);
    }
}

/* Where the last part begins that fits in w columns, after a space; 0: all of it does. */
static size_t tail_of(const char *text, int w)
{
    size_t at = 0;

    while ((int) text_width(text + at) > w) {
        const char *space = strchr(text + at, ' ');
        if (!space)
            break;
        at = (size_t) (space + 1 - text);
    }
    return at;
}

/* The question stands on the row above, as far as it leaves no room for the answer on its own. */
void question_draw(struct app *a, struct surface *s, struct rect row)
{
    struct question *p = &a->priv->question;
    struct rect above = {row.x, row.y - 1, row.w, 1};
    int w = (int) text_width(p->text), answer_w = p->done ? ANSWER_MIN : 1;
    size_t tail = 0;

    surface_fill(s, row, ROLE_NORMAL, ' ');
    if (w + 2 + answer_w > row.w && row.y > 0) {
        tail = p->done ? strlen(p->text) : tail_of(p->text, row.w - 2 - answer_w);
        CLEANUP_FREE char *head = x_strndup(p->text, tail);
        surface_fill(s, above, ROLE_NORMAL, ' ');
        surface_fit(s, above, row.x + 1, above.y, row.w - 2, ROLE_WARN, head, false);
    }
    w = (int) text_width(p->text + tail);
    if (w > row.w - 2 - answer_w)
        w = row.w - 2 - answer_w;
    if (w > 0)
        surface_fit(s, row, row.x + 1, row.y, w, ROLE_WARN, p->text + tail, false);
    int x = row.x + 1 + (w > 0 ? w + 1 : 0);
    if (p->done)
        field_draw(&p->field, s, row, x, row.y, row.x + row.w - 1 - x, true);
    else
        surface_cursor(s, x, row.y, true);
}
