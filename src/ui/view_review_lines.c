/* SPDX-License-Identifier: Apache-2.0 */
/* What the review says: the nodes, the action with its parameters or steps, how it runs, and how long it
 * may take. */
#include "app_private.h"
#include "form_work.h"
#include "view_review.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/config.h"
#include "muster/core/json.h"
#include "muster/store/reader.h"

#include <string.h>

#define NODESET_LINES 100
#define COMMAND_LINES 400
#define HISTORY_LOOK 50     /* batches that are looked through for the same action */

static int64_t rounds(size_t n, unsigned fanout)
{
    return fanout ? (int64_t) ((n + fanout - 1) / fanout) : 1;
}

/* From the newest ended batch with the same command: its median, times the rounds of the
 * fan-out. */
void review_estimate(struct review_view *r)
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

/* A parameter, as it was given; what nobody may see is a mark. */
static int say_param(const char *key, struct json *value, void *ctx)
{
    struct review_view *r = ctx;
    const char *text = json_str(value);
    CLEANUP_FREE char *line = x_asprintf("%s = %s", key, text ? text : json_text(value, NULL));
    say(r, ROLE_NORMAL, "", line, 6);
    return 0;
}

static void say_steps(struct review_view *r, const struct plan *p, int on_failure)
{
    bool stop = (on_failure >= 0 ? on_failure : (int) p->on_failure) == PLAN_STOP;
    for (size_t i = 0; i < p->n_steps; i++) {
        CLEANUP_FREE char *title = x_asprintf("%zu %s", i + 1, p->steps[i].title);
        say(r, ROLE_NORMAL, i ? "" : "Steps", title, 2);
    }
    say(r, ROLE_NORMAL, "On fail", stop ? "the whole plan stops" : "the node stops, the others go on", 2);
}

/* The scripts there are: each node's features choose one. */
static void say_impls(struct review_view *r, const struct task *t)
{
    struct strbuf b;
    if (t->n_impls == 0)
        return;
    strbuf_init(&b, 4096);
    for (size_t i = 0; i < t->n_impls; i++)
        strbuf_addf(&b, "%s%s", i ? ", else " : "", t->impls[i].name);
    say(r, ROLE_NORMAL, "Script", b.s, 3);
    strbuf_free(&b);
}

/* A task or plan: its name, what it was given, what it is made of. */
static void say_work(struct review_view *r)
{
    const struct batch_request *q = r->v.app->pending;
    struct app copy = {.service = r->v.app->service};
    bool plan = q->type == ACTION_TYPE_PLAN;
    say(r, ROLE_TITLE, plan ? "Plan" : "Task", q->work->name, 2);
    if (q->work->params)
        json_each(q->work->params, say_param, r);
    for (size_t i = 0; i < q->work->secret_names.n; i++) {
        CLEANUP_FREE char *line = x_asprintf("%s = ***%s", q->work->secret_names.v[i],
                                             q->work->secret ? "" : " (asked next)");
        say(r, ROLE_NORMAL, "", line, 2);
    }
    if (form_work_load(&copy, q->type, q->work->name, NULL) != 0)
        return;
    if (plan)
        say_steps(r, &copy.form.work->plan, q->work->on_failure);
    else
        say_impls(r, &copy.form.work->task);
    form_work_free(copy.form.work);
}

/* A plan that goes on where each node failed. */
static void say_first_steps(struct review_view *r)
{
    const struct batch_request *q = r->v.app->pending;
    unsigned lowest = 255, highest = 0;
    if (!q->work || !q->work->first_step)
        return;
    for (size_t i = 0; i < q->n_node_ids; i++) {
        lowest = q->work->first_step[i] < lowest ? q->work->first_step[i] : lowest;
        highest = q->work->first_step[i] > highest ? q->work->first_step[i] : highest;
    }
    CLEANUP_FREE char *text =
        lowest >= highest ? x_asprintf("step %u", highest + 1)
                          : x_asprintf("step %u to %u, each node where it failed", lowest + 1, highest + 1);
    say(r, ROLE_WARN, "From", text, 2);
}

void review_lines(struct review_view *r)
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
    if (q->work)
        say_work(r);
    else
        say(r, ROLE_TITLE, q->copy ? "Copy" : "Command", q->action ? q->action : "", COMMAND_LINES);
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
    say_first_steps(r);
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
