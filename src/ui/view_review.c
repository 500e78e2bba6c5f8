/* SPDX-License-Identifier: Apache-2.0 */
/* The review overlay: what is about to run and where, and the agreement without which nothing
 * does. A few nodes want a `y`; many, protected ones, another user, or a command with a confirm rule
 * want their number. */
#include "app_private.h"
#include "vutil.h"

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

#define SMALL_MAX 10        /* so many nodes at most are agreed to with `y` */
#define NODESET_LINES 100
#define COMMAND_LINES 400
#define HISTORY_LOOK 50     /* batches that are looked through for the same command */

struct review_view {
    struct view v;
    struct batch_review review;
    bool ok;        /* reviewed without an error */
    char *error;    /* of the review, or of the start */
    char *estimate; /* or NULL */
    struct strv lines;
    enum role *roles;
    size_t n_roles, cap_roles;
    size_t top;
    int height; /* rows for lines */
    int width;
    struct field count;
};

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

static int64_t rounds(size_t n, unsigned fanout)
{
    return fanout ? (int64_t) ((n + fanout - 1) / fanout) : 1;
}

/* From the newest ended batch with the same command: its median, times the rounds of the
 * fan-out. */
static void estimate(struct review_view *r)
{
    struct app *a = r->v.app;
    struct batch_filter f = BATCH_FILTER_ANY;
    struct batch *b = NULL;
    size_t n = 0;
    char t1[32], t2[32];
    const char *action = a->pending->action;
    if (!a->reader || !action || strlen(action) > 1000)
        return;
    f.text = action;
    if (reader_batches(a->reader, &f, 0, 0, HISTORY_LOOK, &b, &n, NULL, NULL) != 0)
        return;
    for (size_t i = 0; i < n && !r->estimate; i++) {
        int64_t p50 = -1, p95 = -1, took = batch_duration_ms(&b[i], 0);
        if (strcmp(b[i].action, action) != 0 || took < 0 ||
            (b[i].status != BATCH_SUCCESS && b[i].status != BATCH_PARTIAL))
            continue;
        reader_percentiles(a->reader, b[i].number, &p50, &p95, NULL);
        int64_t now = rounds(r->review.nodes.n, r->review.fanout);
        int64_t was = rounds(b[i].stats.total, b[i].fanout);
        int64_t ms = p50 >= 0 ? p50 * (now - 1) + (p95 > p50 ? p95 : p50) : took * now / was;
        r->estimate = x_asprintf("about %s (#%lld took %s on %u node%s)", text_duration(ms, t1),
                                 (long long) b[i].number, text_duration(took, t2),
                                 b[i].stats.total, b[i].stats.total == 1 ? "" : "s");
    }
    batches_free(b, n);
}

static void review_init(struct view *v)
{
    struct review_view *r = self(v);
    struct err e = ERR_INIT;
    field_init(&r->count);
    if (!v->app->pending)
        return;
    if (service_review(v->app->service, v->app->pending, &r->review, &e) != 0) {
        set_error(r, &e);
        return;
    }
    r->ok = true;
    estimate(r);
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

/* --- lines --- */

static void say(struct review_view *r, enum role role, const char *name, const char *text,
                size_t max)
{
    size_t from = r->lines.n;
    vu_fact(&r->lines, name, 9, text, r->width - 2, max);
    X_GROW(r->roles, r->cap_roles, r->lines.n + 1);
    for (; from < r->lines.n; from++)
        r->roles[from] = role;
}

/* A limit of the request, else the configured one, which a node's own goes over. */
static void say_limit(struct strbuf *b, int64_t asked, int64_t configured)
{
    int64_t ms = asked >= 0 ? asked : configured;
    char buf[32];
    strbuf_adds(b, ms > 0 ? text_duration(ms, buf) : "no limit");
    if (asked < 0)
        strbuf_adds(b, " (or the node's own)");
}

static void say_options(struct review_view *r)
{
    const struct batch_request *q = r->v.app->pending;
    const struct config *c = service_config(r->v.app->service);
    struct strbuf b;
    strbuf_init(&b, 4096);
    strbuf_addf(&b, "as %s; at most %u at a time; to connect ",
                q->over.user ? q->over.user : "each node's user", r->review.fanout);
    say_limit(&b, q->over.connect_timeout_ms, c ? c->connect_timeout_ms : -1);
    strbuf_adds(&b, "; to run ");
    say_limit(&b, q->over.command_timeout_ms, c ? c->command_timeout_ms : -1);
    say(r, ROLE_NORMAL, "How", b.s, 6);
    strbuf_free(&b);
}

/* "as root by sudo, with a password"; NULL: the login user runs it, or the node says who. */
static char *become_text(const struct batch_request *q)
{
    const struct settings *o = &q->over;
    if (o->become && strcmp(o->become, become_name(BECOME_NONE)) == 0)
        return x_strdup("as the login user, whatever a node says");
    if (!o->become && !o->become_user && !q->wants_become_password)
        return NULL;
    return x_asprintf("as %s by %s%s", o->become_user ? o->become_user : "root",
                      o->become ? o->become : "sudo (or the node's own way)",
                      !q->wants_become_password ? ""
                      : q->become_password      ? ", password given"
                                                : ", password asked next");
}

static void say_if(struct review_view *r, const char *name, const char *text)
{
    if (text)
        say(r, ROLE_NORMAL, name, text, 6);
}

/* What the command gets besides its line. */
static void say_extras(struct review_view *r)
{
    const struct batch_request *q = r->v.app->pending;
    CLEANUP_FREE char *become = become_text(q);
    CLEANUP_FREE char *env = q->env ? strv_join(q->env, "\n") : NULL;
    if (become)
        say(r, ROLE_WARN, "Privilege", become, 2);
    if (q->wants_password)
        say(r, ROLE_NORMAL, "Login", q->password ? "password given" : "password asked next", 1);
    say_if(r, "Transport", q->over.transport);
    say_if(r, "Through", q->over.jump);
    say_if(r, "Folder", q->chdir);
    say_if(r, "Environ", env);
    say_if(r, "Input", q->stdin_path);
    if (q->pty)
        say(r, ROLE_NORMAL, "Terminal", "yes: both streams are one", 1);
}

static void make_lines(struct review_view *r)
{
    const struct batch_request *q = r->v.app->pending;
    char n[32];
    strv_clear(&r->lines);
    if (r->error)
        say(r, ROLE_ERROR, "Refused", r->error, NODESET_LINES);
    if (!r->ok || !q)
        return;
    size_t count = r->review.nodes.n;
    char *text = x_asprintf("%s node%s", text_count(count, n), count == 1 ? "" : "s");
    say(r, ROLE_TITLE, "Run on", text, 1);
    free(text);
    say(r, ROLE_NORMAL, "", r->review.folded ? r->review.folded : "", NODESET_LINES);
    if (r->review.groups.n > 0) {
        char *groups = strv_join(&r->review.groups, " @");
        text = x_asprintf("@%s", groups);
        say(r, ROLE_NORMAL, "Groups", text, 10);
        free(text);
        free(groups);
    }
    say(r, ROLE_TITLE, "Command", q->action ? q->action : "", COMMAND_LINES);
    say_options(r);
    say_extras(r);
    if (r->review.stages)
        say(r, ROLE_TITLE, "Stages", r->review.stages, 6);
    if (q->label && *q->label)
        say(r, ROLE_NORMAL, "Label", q->label, 2);
    if (q->rerun_of) {
        text = x_asprintf("#%lld", (long long) q->rerun_of);
        say(r, ROLE_NORMAL, "Rerun of", text, 1);
        free(text);
    }
    if (r->estimate)
        say(r, ROLE_NORMAL, "Takes", r->estimate, 2);
    for (size_t i = 0; i < r->review.protected_groups.n; i++) {
        text = x_asprintf("some of these nodes are in @%s: their number is to be typed",
                          r->review.protected_groups.v[i]);
        say(r, ROLE_WARN, "Protected", text, 2);
        free(text);
    }
    if (r->review.confirm)
        say(r, ROLE_WARN, "Careful", "a rule of the configuration asks for the number of nodes", 2);
    for (size_t i = 0; i < r->review.warnings.n; i++)
        say(r, ROLE_WARN, "Warning", r->review.warnings.v[i], 4);
}

static void review_load(struct view *v, int w, int h)
{
    struct review_view *r = self(v);
    r->width = w;
    r->height = h > 2 ? h - 2 : 1;
    make_lines(r);
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

/* True when one that is wanted is being asked for. */
static bool ask_passwords(struct app *a)
{
    const struct batch_request *q = a->pending;
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
