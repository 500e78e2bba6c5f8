/* SPDX-License-Identifier: Apache-2.0 */
/* muster explain: what the engine would do, and an engine of its own to try it. */
#include "muster/service/explain.h"

#include "create.h"
#include "input.h"
#include "service.h"

#include "muster/base/alloc.h"
#include "muster/base/bqueue.h"
#include "muster/base/err.h"
#include "muster/base/secret.h"
#include "muster/core/event.h"
#include "muster/core/json.h"
#include "muster/exec/engine.h"
#include "muster/inventory/bolt_project.h"

#include <pthread.h>
#include <string.h>

#define OUTPUT_KEPT 65536

/* A trial: events come on the reactor's thread and are taken here, stages are kept under the lock. */
struct trial {
    struct service *service;
    const struct settings *base, *over;
    struct bqueue *events;
    pthread_mutex_t lock; /* guards the stages */
    struct explain_answer *answer;
};

static bool emit(void *ctx, struct event *ev)
{
    struct trial *t = ctx;

    bool taken = bqueue_push(t->events, ev, event_weight(ev), ev->kind != EVENT_OUTPUT);

    waker_wake(&t->service->waker);
    return taken;
}

static void add_stage(void *ctx, const char *node, int64_t ms, const char *text)
{
    struct trial *t = ctx;
    struct explain_answer *a = t->answer;

    pthread_mutex_lock(&t->lock);
    X_GROW(a->stages, a->cap_stages, a->n_stages + 1);
    a->stages[a->n_stages++] = (struct explain_stage) {ms, x_strdup(text)};
    pthread_mutex_unlock(&t->lock);
}

/* A command that does nothing ended non-zero: the login was good all the same. */
static bool was_reached(const struct event *ev)
{
    return ev->status == EXEC_SUCCESS || ev->reason == REASON_EXIT || ev->reason == REASON_SIGNAL;
}

/* What the command that does nothing, run as the settings say, has shown. */
static char *reached_text(const struct settings *base, const struct settings *over)
{
    const char *how = over->become ? over->become : base->become;
    const char *who = over->become_user ? over->become_user : base->become_user;

    if (!how || strcmp(how, become_name(BECOME_NONE)) == 0)
        return x_strdup("reached");
    return x_asprintf("reached, and by %s as %s", how, who ? who : "root");
}

static void keep_end(const struct trial *t, const struct event *ev)
{
    struct explain_answer *a = t->answer;

    a->reached = was_reached(ev);
    a->reason = ev->status == EXEC_SUCCESS ? REASON_NONE : ev->reason;
    a->transport = x_strdup(ev->transport);
    a->duration_ms = ev->duration_ms;
    if (ev->error)
        a->outcome = x_strdup(ev->error);
    else if (ev->reason == REASON_EXIT)
        a->outcome = x_asprintf("reached; a command that does nothing ended with %d", ev->exit_code);
    else
        a->outcome = a->reached ? reached_text(t->base, t->over) : x_strdup(reason_name(ev->reason));
}

static void turn(struct trial *t, struct engine *engine, const struct explain_trial *how)
{
    for (bool ended = false; !ended;) {
        void *item;

        if (!bqueue_pop(t->events, &item, 1, 0)) {
            how->wait(how->ctx);
            continue;
        }

        struct event *ev = item;

        if (ev->kind == EVENT_CLAIM)
            engine_claimed(engine, ev->batch, ev->position, true);
        ended = ev->kind == EVENT_FINISH;
        if (ended)
            keep_end(t, ev);
        event_free(ev);
    }
}

static int try_it(struct service *s, const struct batch_request *r,
                  const struct explain_trial *how, const struct settings *base,
                  const struct settings *over, struct explain_answer *a, struct err *e)
{
    struct trial t = {
        .service = s, .base = base, .over = over, .events = bqueue_new(0, 0), .answer = a};
    const struct engine_config cfg = {.fanout = 1, .max_queue = 1, .reactors = 1, .asker = s->asker};
    const struct event_sink sink = {emit, &t};
    const struct engine_batch batch = {
        .number = 1,
        .command = ":",
        .max_output = OUTPUT_KEPT,
        .ssh_config = r->ssh_config ? r->ssh_config : s->ssh_config,
        .ssh_options = r->ssh_options,
        .password = r->password,
        .become_password = r->become_password,
        .trace = add_stage,
        .trace_ctx = &t,
    };
    const struct engine_job job = {.node = a->node, .base = base, .over = over};
    struct engine *engine = engine_new(&cfg, &sink, e);

    if (!engine) {
        bqueue_free(t.events);
        return -ERR_INTERNAL;
    }
    pthread_mutex_init(&t.lock, NULL);
    a->tried = true;
    engine_submit(engine, &batch, &job, 1);
    turn(&t, engine, how);
    engine_free(engine);

    void *item;

    while (bqueue_pop(t.events, &item, 1, 0))
        event_free(item);
    bqueue_free(t.events);
    pthread_mutex_destroy(&t.lock);
    return 0;
}

int service_explain(struct service *s, const char *node, const struct batch_request *r,
                    const struct explain_trial *trial, struct explain_answer *out, struct err *e)
{
    const struct fleet *fleet = service_fleet(s, e);
    struct settings base, over, flags, both;
    int rc = 0;

    *out = (struct explain_answer) {0};
    if (!fleet)
        return -ERR_VALIDATION;

    const struct fleet_node *known = fleet_node(fleet, node);

    out->node = x_strdup(node);
    out->known = known != NULL;
    for (size_t i = 0; known && i < known->n_vars; i++)
        if (strcmp(known->vars[i].name, BOLT_NOT_USED) == 0)
            out->not_used = x_strdup(known->vars[i].value);
    service_base_settings(s, known, &base);
    settings_init(&over);
    settings_init(&both);
    settings_init(&flags);
    if (known)
        settings_merge(&over, &known->over);
    settings_merge(&both, &over);
    settings_merge_flags(&both, &r->over);
    input_imply_become(r, &base, &both);
    settings_merge(&flags, &r->over);
    if (both.become && !over.become)
        setting_set(&flags, SETTING_BECOME, both.become, NULL);

    const struct explain_query q = {
        .node = node,
        .base = &base,
        .over = &over,
        .flags = &flags,
        .ssh_config = r->ssh_config ? r->ssh_config : s->ssh_config,
        .ssh_options = r->ssh_options,
    };

    engine_explain(&q, &out->how);

    CLEANUP_FREE char *unused = input_unused_block(s, r, node);

    if (unused) {
        char *why = x_asprintf("%s; %s", out->how.why ? out->how.why : "as always", unused);

        free(out->how.why);
        out->how.why = why;
    }
    if (trial)
        rc = try_it(s, r, trial, &base, &both, out, e);
    settings_clear(&base);
    settings_clear(&over);
    settings_clear(&flags);
    settings_clear(&both);
    return rc;
}

void explain_answer_clear(struct explain_answer *a)
{
    free(a->node);
    free(a->not_used);
    explain_clear(&a->how);
    for (size_t i = 0; i < a->n_stages; i++)
        free(a->stages[i].text);
    free(a->stages);
    free(a->outcome);
    free(a->transport);
    *a = (struct explain_answer) {0};
}

static struct json *texts(const struct strv *v)
{
    struct json *list = json_array();

    for (size_t i = 0; i < v->n; i++)
        json_add_str(list, v->v[i]);
    return list;
}

static struct json *settings_json(const struct explain *x, bool all)
{
    struct json *list = json_array();

    for (size_t i = 0; i < x->n; i++) {
        const struct explain_row *row = &x->rows[i];

        if (!all && !row->set)
            continue;

        struct json *o = json_object();

        json_put_str(o, "keyword", row->keyword);
        json_put_str(o, "value", row->value);
        json_put_str(o, "source", row->source);
        json_put_str(o, "verdict", verdict_name(row->verdict));
        json_put_str(o, "note", row->note);
        json_add(list, o);
    }
    return list;
}

static struct json *identities_json(const struct explain *x)
{
    struct json *list = json_array();

    for (size_t i = 0; i < x->offered.n + x->passed_over.n; i++) {
        bool offered = i < x->offered.n;
        struct json *o = json_object();

        json_put_str(o, "text", offered ? x->offered.v[i] : x->passed_over.v[i - x->offered.n]);
        json_put_bool(o, "offered", offered);
        json_add(list, o);
    }
    return list;
}

static struct json *hops_json(const struct explain *x)
{
    struct json *list = json_array();

    for (size_t i = 0; i < x->n_hops; i++) {
        const struct explain_hop *hop = &x->hops[i];
        struct json *o = json_object();

        json_put_str(o, "host", hop->host);
        json_put_int(o, "port", hop->port);
        json_put_str(o, "user", hop->user);
        json_put_str(o, "address", hop->address);
        json_put_str(o, "error", hop->error);
        json_add(list, o);
    }
    return list;
}

static struct json *stages_json(const struct explain_answer *a)
{
    struct json *list = json_array();

    for (size_t i = 0; i < a->n_stages; i++) {
        struct json *o = json_object();

        json_put_int(o, "ms", a->stages[i].ms);
        json_put_str(o, "text", a->stages[i].text);
        json_add(list, o);
    }
    return list;
}

struct json *explain_answer_json(const struct explain_answer *a, bool all)
{
    const struct explain *x = &a->how;
    struct json *o = json_object();
    enum reason reason = a->tried ? a->reason : x->failed;

    json_put_str(o, "node", a->node);
    json_put_bool(o, "known", a->known);
    json_put_str(o, "host", x->host);
    if (x->port)
        json_put_int(o, "port", x->port);
    else
        json_put_null(o, "port");
    json_put_str(o, "user", x->user);
    json_put_str(o, "address", x->address);
    json_put_str(o, "jump", x->jump);
    json_put(o, "hops", hops_json(x));
    json_put_str(o, "transport", a->transport ? a->transport : x->transport);
    json_put_str(o, "why", x->why);
    json_put_str(o, "notUsed", a->not_used);
    json_put_str(o, "reason", reason == REASON_NONE ? NULL : reason_name(reason));
    json_put_str(o, "error", x->error);
    json_put(o, "settings", settings_json(x, all));
    json_put(o, "identities", identities_json(x));
    json_put(o, "knownHosts", texts(&x->known));
    json_put(o, "knownHostsUnread", texts(&x->unread));
    json_put(o, "stages", stages_json(a));
    json_put_str(o, "outcome", a->outcome);
    return o;
}
