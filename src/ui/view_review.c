/* SPDX-License-Identifier: Apache-2.0 */
/* The review overlay: what is about to run and where, and the agreement without which nothing
 * does. A few nodes want a `y`; many, protected ones, another user, or a command with a confirm rule
 * want their number. */
#include "app_private.h"
#include "form_work.h"
#include "view_review.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/base/vec.h"
#include "muster/core/config.h"
#include "muster/service/service.h"
#include "muster/store/reader.h"
#include "muster/ui/app.h"
#include "muster/ui/view.h"

#include <stdio.h>
#include <string.h>

#define SMALL_MAX 10 /* so many nodes at most are agreed to with `y` */

static struct review_view *self(struct view *v)
{
    return (struct review_view *) v;
}

/* Who runs it, where the request says that it is not the login user; else NULL. */
static const char *other_user(const struct review_view *r)
{
    const struct batch_request *q = r->v.app->pending;
    if (!q || (!q->over.become_user && !q->wants_become_password && !q->over.become) ||
        (q->over.become && strcmp(q->over.become, become_name(BECOME_NONE)) == 0 &&
         !q->over.become_user && !q->wants_become_password))
        return NULL;
    return q->over.become_user ? q->over.become_user : "root";
}

static bool by_count(const struct review_view *r)
{
    return r->review.nodes.n > SMALL_MAX || r->review.protected_groups.n > 0 || r->review.confirm ||
           other_user(r);
}

static void set_error(struct review_view *r, struct err *e)
{
    free(r->error);
    r->error = e->details && *e->details
                   ? x_asprintf("%s\n%s", e->msg ? e->msg : "refused", e->details)
                   : x_strdup(e->msg ? e->msg : "refused, and no reason was given");
    err_clear(e);
}

static void review_init(struct view *v)
{
    struct review_view *r = self(v);
    struct err e = ERR_INIT;
    field_init(&r->count);
    strv_clear(&v->app->priv->asked);
    if (!v->app->pending)
        return;
    const struct work_request *w = v->app->pending->work;
    if (w && !w->secret)
        strv_copy(&v->app->priv->asked, &w->secret_names);
    if (service_review(v->app->service, v->app->pending, &r->review, &e) != 0) {
        set_error(r, &e);
        return;
    }
    r->ok = true;
    review_estimate(r);
}

static void review_fini(struct view *v)
{
    struct review_view *r = self(v);
    if (r->ok)
        batch_review_clear(&r->review);
    strv_clear(&r->lines);
    free(r->roles);
    free(r->error);
    free(r->estimate);
    field_free(&r->count);
}

static void review_load(struct view *v, int w, int h)
{
    struct review_view *r = self(v);
    r->width = w;
    r->height = h > 2 ? h - 2 : 1;
    review_lines(r);
    size_t last = r->lines.n > (size_t) r->height ? r->lines.n - (size_t) r->height : 0;
    if (r->top > last)
        r->top = last;
}

/* --- drawing --- */

static void draw_question(struct review_view *r, struct surface *s, struct rect body, bool focused)
{
    int y = body.y + body.h - 1;
    struct rect row = {body.x + 1, y, body.w - 1, 1};
    char text[96];
    if (!r->ok) {
        surface_fit(s, row, row.x, y, row.w, ROLE_HINT, "Esc goes back", false);
        if (focused)
            surface_cursor(s, row.x, y, false);
        return;
    }
    if (!by_count(r)) {
        surface_fit(s, row, row.x, y, row.w, ROLE_HINT, "y runs it, Esc goes back", false);
        if (focused)
            surface_cursor(s, row.x, y, false);
        return;
    }
    const char *user = other_user(r);
    CLEANUP_FREE char *clean = user ? text_clean(user) : NULL;
    if (clean)
        snprintf(text, sizeof text, "As %.40s: type %zu and Enter: ", clean, r->review.nodes.n);
    else
        snprintf(text, sizeof text, "To run it, type %zu and Enter: ", r->review.nodes.n);
    int x = surface_text(s, row, row.x, y, ROLE_HINT, text);
    field_draw(&r->count, s, row, row.x + x, y, row.w - x > 8 ? 8 : row.w - x, focused);
}

static void review_draw(struct view *v, struct surface *s, struct rect body, bool focused)
{
    struct review_view *r = self(v);
    for (int y = 0; y < r->height && y < body.h - 1; y++) {
        size_t i = r->top + (size_t) y;
        if (i >= r->lines.n)
            break;
        surface_fit(s, body, body.x + 1, body.y + y, body.w - 1, r->roles[i], r->lines.v[i],
                    false);
    }
    if (r->top + (size_t) r->height < r->lines.n && body.h >= 3)
        surface_text(s, body, body.x + 1, body.y + body.h - 2, ROLE_DIM,
                     "-- more: Down, PgDn --");
    draw_question(r, s, body, focused);
}

/* --- passwords --- */

static void password_given(struct app *a, struct secret *answer)
{
    if (!answer || !secret_len(answer) || !a->pending) {
        app_toast(a, "no password: nothing was run");
        return;
    }
    a->pending->password = secret_ref(answer);
    review_go_on(a);
}

static void become_given(struct app *a, struct secret *answer)
{
    bool empty = !answer || !secret_len(answer);
    if (!a->pending || !answer || (empty && !a->pending->password)) {
        app_toast(a, "no password: nothing was run");
        return;
    }
    a->pending->become_password = secret_ref(empty ? a->pending->password : answer);
    review_go_on(a);
}

/* A sensitive parameter of a rerun, which was never stored. */
static void sensitive_given(struct app *a, struct secret *answer)
{
    struct strv *asked = &a->priv->asked;
    struct work_request *w = a->pending ? a->pending->work : NULL;
    struct form_work *of = NULL;
    struct err e = ERR_INIT;
    struct app copy = {.service = a->service};
    if (!answer || !secret_len(answer) || !w || asked->n == 0) {
        app_toast(a, "%s was not given: nothing was run", asked->n ? asked->v[0] : "it");
        return;
    }
    int rc = form_work_load(&copy, a->pending->type, w->name, &e);
    of = copy.form.work;
    if (rc == 0)
        rc = work_set_secret(w, form_work_params(of), asked->v[0], answer, &e);
    form_work_free(of);
    if (rc != 0) {
        app_toast_err(a, &e);
        err_clear(&e);
        return;
    }
    struct strv rest = STRV_INIT;
    for (size_t i = 1; i < asked->n; i++)
        strv_push(&rest, asked->v[i]);
    strv_clear(asked);
    *asked = rest;
    review_go_on(a);
}

static bool ask_sensitive(struct app *a)
{
    if (!a->pending->work || a->priv->asked.n == 0)
        return false;
    CLEANUP_FREE char *name = text_clean(a->priv->asked.v[0]);
    CLEANUP_FREE char *text = x_asprintf("%s: ", name);
    app_ask_secret(a, text, sensitive_given);
    return true;
}

/* True when one that is wanted is being asked for. */
static bool ask_passwords(struct app *a)
{
    const struct batch_request *q = a->pending;
    if (ask_sensitive(a))
        return true;
    if (q->wants_password && !q->password) {
        app_ask_secret(a, "SSH password: ", password_given);
        return true;
    }
    if (!q->wants_become_password || q->become_password)
        return false;
    const char *how = q->over.become ? q->over.become : become_name(BECOME_SUDO);
    CLEANUP_FREE char *text = x_asprintf("%s password%s: ", how,
                                         q->password ? " [defaults to SSH password]" : "");
    app_ask_secret(a, text, become_given);
    return true;
}

/* --- keys --- */

static void run(struct review_view *r)
{
    struct app *a = r->v.app;
    struct batch_created c;
    struct err e = ERR_INIT;
    if (ask_passwords(a))
        return;
    memset(&c, 0, sizeof c);
    a->pending->confirmed = true;
    a->pending->expect_count = r->review.nodes.n;
    if (batch_create(a->service, a->pending, &c, &e) != 0) {
        a->pending->confirmed = false;
        set_error(r, &e);
        r->top = 0;
        return;
    }
    int64_t number = c.number;
    size_t count = c.target_count;
    batch_created_clear(&c);
    app_pop(a);
    app_open_batch(a, number);
    app_toast(a, "#%lld started on %zu node%s", (long long) number, count,
              count == 1 ? "" : "s");
}

void review_go_on(struct app *a)
{
    struct view *v = a->n_overlays ? a->overlays[a->n_overlays - 1] : NULL;
    if (v && v->ops == &view_review && self(v)->ok)
        run(self(v));
}

static void entered(struct review_view *r)
{
    char want[32];
    snprintf(want, sizeof want, "%zu", r->review.nodes.n);
    if (r->count.len == 0) {
        app_toast(r->v.app, "nothing runs yet: type %s first", want);
        return;
    }
    if (strcmp(r->count.text, want) != 0) {
        app_toast(r->v.app, "%s is not the number of nodes, which is %s", r->count.text, want);
        field_set(&r->count, "");
        return;
    }
    run(r);
}

static bool plain(const struct key *k, uint32_t c)
{
    return k->code == KEY_CODE_CHAR && !k->ctrl && k->cp == c;
}

/* A key of the typed number: a digit, or one that edits what is there. The emacs keys that would
 * move instead (C-b, C-d, C-f) are left to the lines, and all of them while nothing is typed. */
static bool edits_count(const struct review_view *r, const struct key *k)
{
    switch (k->code) {
    case KEY_CODE_CHAR:
        if (!k->ctrl)
            return k->cp >= '0' && k->cp <= '9';
        return r->count.len > 0 && k->cp < 0x7f && strchr("aehkuw", (int) k->cp);
    case KEY_CODE_BS:
        return true;
    case KEY_CODE_DEL:
    case KEY_CODE_LEFT:
    case KEY_CODE_RIGHT:
    case KEY_CODE_HOME:
    case KEY_CODE_END:
        return r->count.len > 0;
    default:
        return false;
    }
}

static enum view_result review_act(struct view *v, enum action act)
{
    struct review_view *r = self(v);
    size_t page = r->height > 1 ? (size_t) r->height - 1 : 1;
    switch (act) {
    case ACT_DOWN:
        r->top++;
        return VIEW_DONE;
    case ACT_UP:
        r->top -= r->top > 0;
        return VIEW_DONE;
    case ACT_TOGGLE:
    case ACT_PAGE_DOWN:
    case ACT_HALF_DOWN:
        r->top += page;
        return VIEW_DONE;
    case ACT_PAGE_UP:
    case ACT_HALF_UP:
        r->top -= r->top > page ? page : r->top;
        return VIEW_DONE;
    case ACT_TOP:
        r->top = 0;
        return VIEW_DONE;
    case ACT_BOTTOM:
        r->top = r->lines.n;
        return VIEW_DONE;
    default:
        return VIEW_IGNORED;
    }
}

/* A key that neither agrees nor leaves: it moves, opens the help, or is told what would do. */
static enum view_result other_key(struct review_view *r, const struct key *k)
{
    struct app *a = r->v.app;
    enum action act = action_of_key(k, CTX_TEXT);
    switch (act) {
    case ACT_REPAINT:
    case ACT_SUSPEND:
    case ACT_ZOOM:
        return VIEW_IGNORED;
    case ACT_HELP:
        app_push(a, &view_help);
        return VIEW_DONE;
    default:
        break;
    }
    if (act != ACT_NONE && review_act(&r->v, act) == VIEW_DONE)
        return VIEW_DONE;
    if (!r->ok)
        app_toast(a, "this cannot run as it is; Esc goes back");
    else if (by_count(r))
        app_toast(a, "nothing runs yet: type %zu and Enter, or Esc to go back",
                  r->review.nodes.n);
    else
        app_toast(a, "nothing runs yet: y runs it, Esc goes back");
    return VIEW_DONE;
}

static enum view_result review_key(struct view *v, const struct key *k)
{
    struct review_view *r = self(v);
    if (k->code == KEY_CODE_ESC || plain(k, 'q') ||
        (k->code == KEY_CODE_CHAR && k->ctrl && k->cp == 'c')) {
        app_pop(v->app);
        return VIEW_DONE;
    }
    if (!r->ok)
        return other_key(r, k);
    if (!by_count(r) && plain(k, 'y')) {
        run(r);
        return VIEW_DONE;
    }
    if (by_count(r) && k->code == KEY_CODE_ENTER) {
        entered(r);
        return VIEW_DONE;
    }
    if (by_count(r) && edits_count(r, k))
        return field_key(&r->count, k) ? VIEW_DONE : VIEW_IGNORED;
    return other_key(r, k);
}

static bool review_takes_text(const struct view *v)
{
    return true;
}

static void review_caption(struct view *v, char *buf, size_t n)
{
    const struct review_view *r = (const struct review_view *) v;
    snprintf(buf, n, "%s", r->ok ? "nothing runs before you agree" : "");
}

const struct view_ops view_review = {
    .title = "Review",
    .ctx = CTX_TEXT,
    .size = sizeof(struct review_view),
    .init = review_init,
    .fini = review_fini,
    .load = review_load,
    .draw = review_draw,
    .act = review_act,
    .key = review_key,
    .takes_text = review_takes_text,
    .caption = review_caption,
};
