/* SPDX-License-Identifier: Apache-2.0 */
/* Questions on the status row: the app's own, and those that a batch asks while it runs. */
#include "app_private.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/text.h"

#include <string.h>

#define QUIET_MS 500  /* since the last key, before a batch may ask */
#define HEAD_ROWS 3   /* above it, at most */
#define ANSWER_MIN 24 /* columns that a line of text is typed in, at least */

void question_close(struct app *a)
{
    struct question *p = &a->priv->question;

    p->active = false;
    free(p->text);
    p->text = NULL;
    p->done = NULL;
    p->got = NULL;
    p->choice = NULL;
    p->user_question = 0;
    p->n = 0;
    secret_wipe(p->secret, sizeof p->secret);
    /* What was typed may have been an answer for one pair of eyes: a one-time code. */
    if (p->field.text)
        secret_wipe(p->field.text, p->field.cap);
    field_set(&p->field, NULL);
    a->dirty = true;
}

static struct question *question_open(struct app *a, const char *question, const char *initial)
{
    struct question *p = &a->priv->question;

    question_close(a);
    p->active = true;
    size_t n = strlen(question);
    p->text = x_strndup(question, n && question[n - 1] == ' ' ? n - 1 : n);
    field_set(&p->field, initial);
    return p;
}

void app_ask(struct app *a, const char *question, const char *initial,
             void (*done)(struct app *a, const char *text))
{
    question_open(a, question, initial)->done = done;
}

void app_ask_secret(struct app *a, const char *question,
                    void (*done)(struct app *a, struct secret *answer))
{
    question_open(a, question, NULL)->got = done;
}

void app_choose(struct app *a, const char *question, const struct choice *choice)
{
    question_open(a, question, NULL)->choice = choice;
}

/* --- questions of a batch --- */

static void answer_user(struct app *a, struct secret *answer)
{
    service_answer(a->service, a->priv->ask_user, answer);
}

static void answer_user_seen(struct app *a, const char *text)
{
    struct secret *answer = text ? secret_new(text, strlen(text)) : NULL;
    answer_user(a, answer);
    secret_unref(answer);
}

static bool types_text(const struct app *a)
{
    const struct view *v = a->n_overlays ? a->overlays[a->n_overlays - 1] : a->panes[a->focus];
    return v->ops->takes_text && v->ops->takes_text(v);
}

/* Never over another question, nor while something is typed: the keys would go astray. */
static void show_user_question(struct app *a, const struct user_question *q)
{
    CLEANUP_FREE char *text = user_question_text(q);

    if (q->echo)
        app_ask(a, text, NULL, answer_user_seen);
    else
        app_ask_secret(a, text, answer_user);
    a->priv->question.user_question = q->id;
    a->priv->ask_user = q->id;
}

static void check_user_question(struct app *a)
{
    struct question *p = &a->priv->question;
    struct user_question q;
    bool waited = a->priv->question_waits;

    a->priv->question_waits = service_question(a->service, &q);
    if (!a->priv->question_waits) {
        if (p->active && p->user_question)
            question_close(a); /* its session has ended meanwhile */
    } else {
        if (p->active && p->user_question && p->user_question != q.id)
            question_close(a);
        bool quiet = mono_ms(a->clock) - a->priv->key_ms >= QUIET_MS;
        if (!p->active && quiet && !types_text(a))
            show_user_question(a, &q);
        user_question_clear(&q);
    }
    if (waited != a->priv->question_waits)
        a->dirty = true;
}

/* --- the question after a canary --- */

static void stage_chosen(struct app *a, char key)
{
    int64_t number = a->priv->ask_stage;

    if (key)
        service_stage_answer(a->service, number, key == 'y');
    else
        a->priv->later_stage = number;
    if (key == 0)
        app_toast(a, "#%lld waits for an answer: p asks again", (long long) number);
}

/* Cancelled, or another one is in front by now. */
static bool stage_moot(struct app *a)
{
    return service_stage_question(a->service) != a->priv->ask_stage;
}

static void check_stage_question(struct app *a)
{
    static const struct choice choice = {"yn", {"go on", "stop"}, "later", stage_chosen, stage_moot};
    struct stage_info i;
    int64_t number = service_stage_question(a->service);

    if (a->priv->question.active || !number || number == a->priv->later_stage ||
        mono_ms(a->clock) - a->priv->key_ms < QUIET_MS || types_text(a) ||
        !service_stage(a->service, number, &i))
        return;
    a->priv->ask_stage = number;
    CLEANUP_FREE char *text =
        x_asprintf("Canary of #%lld: %u ok, %u failed (4 shows them). Go on with the other %u? y/n",
                   (long long) number, i.success, i.failed, i.total - i.nodes);
    app_choose(a, text, &choice);
}

void question_tick(struct app *a)
{
    struct question *p = &a->priv->question;

    if (p->active && p->choice && p->choice->moot && p->choice->moot(a))
        question_close(a);
    check_user_question(a);
    check_stage_question(a);
}

/* --- keys --- */

/* The answer may open the next prompt, so this one is closed before it is given. */
static void answer(struct app *a, bool given, char key)
{
    struct question *p = &a->priv->question;
    void (*done)(struct app *, const char *) = p->done;
    void (*got)(struct app *, struct secret *) = p->got;
    const struct choice *choice = p->choice;
    char *text = given && done ? x_strdup(p->field.text) : NULL;
    struct secret *secret = given && got ? secret_new(p->secret, p->n) : NULL;

    question_close(a);
    if (got)
        got(a, secret);
    else if (done)
        done(a, text);
    else if (choice)
        choice->chosen(a, key);
    if (text)
        secret_wipe(text, strlen(text));
    free(text);
    secret_unref(secret);
    app_stale_all(a);
}

/* A key of an answer that is not shown: it is kept in one place, which is wiped. */
static void secret_key(struct question *p, const struct key *k)
{
    char name[16] = "";
    const char *text = k->code == KEY_CODE_PASTE && k->text ? k->text : name;
    bool plain = k->code == KEY_CODE_CHAR && !k->ctrl && k->cp >= ' ' && k->cp != 0x7f;

    if (k->code == KEY_CODE_BS && p->n) {
        do
            p->n--;
        while (p->n && ((unsigned char) p->secret[p->n] & 0xc0) == 0x80);
    } else if (k->code == KEY_CODE_CHAR && k->ctrl && k->cp == 'u') {
        p->n = 0;
    } else if (plain && k->cp == ' ') {
        name[0] = ' ';
    } else if (plain) {
        key_label(k, name);
    }
    /* The line end of what was pasted is none of the password's. */
    for (; *text && *text != '\n' && *text != '\r'; text++)
        if (p->n < sizeof p->secret)
            p->secret[p->n++] = *text;
    secret_wipe(name, sizeof name);
}

void question_key(struct app *a, const struct key *k)
{
    struct question *p = &a->priv->question;
    bool ctrl_c = k->code == KEY_CODE_CHAR && k->ctrl && k->cp == 'c';

    a->dirty = true;
    if (k->code == KEY_CODE_ESC || ctrl_c) {
        answer(a, false, 0);
    } else if (p->done || p->got) {
        if (k->code == KEY_CODE_ENTER)
            answer(a, true, 0);
        else if (p->got)
            secret_key(p, k);
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

/* That something was typed, in no more columns than there are. */
static void draw_stars(struct surface *s, struct rect row, int x, size_t n)
{
    int room = row.x + row.w - 1 - x, w = n < (size_t) room ? (int) n : room - 1;

    surface_fill(s, (struct rect) {x, row.y, room, 1}, ROLE_FIELD, ' ');
    for (int i = 0; i < w; i++)
        surface_text(s, row, x + i, row.y, ROLE_FIELD, "*");
    surface_cursor(s, x + (w > 0 ? w : 0), row.y, true);
}

static size_t char_of(const char *text)
{
    uint32_t cp;
    size_t len = utf8_decode(text, strlen(text), &cp);

    return len ? len : 1;
}

/* How many bytes of it make a line of at most w columns, which ends at a space in its later half when
 * there is one. */
static size_t line_of(const char *text, int w)
{
    size_t n = strlen(text), at = 0, space = 0;
    int cols = 0;

    while (at < n) {
        uint32_t cp = 0;
        size_t len = utf8_decode(text + at, n - at, &cp);

        if (!len)
            len = 1;
        cols += text_cp_width(cp);
        if (cols > w)
            return space ? space : at;
        at += len;
        if (cp == ' ' && cols > w / 2)
            space = at;
    }
    return n;
}

/* On the rows above `row`, as few as it takes. Where there are too few, the middle goes: what a question
 * is about is said first or last. */
static void draw_head(struct surface *s, struct rect row, const char *text)
{
    int w = row.w - 2, most = row.y < HEAD_ROWS ? row.y : HEAD_ROWS, n = 0;
    size_t at[HEAD_ROWS + 1] = {0};

    while (n < most && text[at[n]]) {
        at[n + 1] = at[n] + line_of(text + at[n], w);
        n++;
    }
    bool cut = n && text[at[n]];
    for (int i = 0; i < n; i++) {
        struct rect line = {row.x, row.y - n + i, row.w, 1};
        const char *from = text + at[i];
        CLEANUP_FREE char *part = x_strndup(from, at[i + 1] - at[i]);

        surface_fill(s, line, ROLE_NORMAL, ' ');
        if (cut && i == n - 1) {
            while (*from && (int) text_width(from) > w - 1)
                from += char_of(from);
            surface_text(s, line, line.x + 1, line.y, ROLE_WARN, "~");
            surface_fit(s, line, line.x + 2, line.y, w - 1, ROLE_WARN, from, false);
        } else {
            surface_fit(s, line, line.x + 1, line.y, w, ROLE_WARN, part, false);
        }
    }
}

/* The question stands on the rows above, as far as it leaves no room for the answer on its own. */
void question_draw(struct app *a, struct surface *s, struct rect row)
{
    struct question *p = &a->priv->question;
    int w = (int) text_width(p->text), answer_w = p->done || p->got ? ANSWER_MIN : 1;
    size_t tail = 0;

    surface_fill(s, row, ROLE_NORMAL, ' ');
    if (w + 2 + answer_w > row.w && row.y > 0) {
        tail = p->done || p->got ? strlen(p->text) : tail_of(p->text, row.w - 2 - answer_w);
        CLEANUP_FREE char *head = x_strndup(p->text, tail);
        draw_head(s, row, head);
    }
    w = (int) text_width(p->text + tail);
    if (w > row.w - 2 - answer_w)
        w = row.w - 2 - answer_w;
    if (w > 0)
        surface_fit(s, row, row.x + 1, row.y, w, ROLE_WARN, p->text + tail, false);
    int x = row.x + 1 + (w > 0 ? w + 1 : 0);
    if (p->done)
        field_draw(&p->field, s, row, x, row.y, row.x + row.w - 1 - x, true);
    else if (p->got)
        draw_stars(s, row, x, p->n);
    else
        surface_cursor(s, x, row.y, true);
}
