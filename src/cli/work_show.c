/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of a task or a plan before it runs. */
#include "work.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/json.h"

#include <stdio.h>
#include <string.h>

#define RUNS_COLS 200 /* LIMIT: of what a step runs */

char *work_impl_needs(const struct task_impl *m)
{
    CLEANUP_FREE char *needs = strv_join(&m->requirements, ", ");
    return text_clean(needs);
}

static void add_value(struct strbuf *b, const char *before, const struct plan_value *v)
{
    CLEANUP_FREE char *text = v ? plan_value_shown(v) : NULL;
    if (text)
        strbuf_addf(b, "%s%s", before, text);
}

static bool says_all(const struct plan_step *t, const char *runs)
{
    const char *kind = plan_step_kind_name(t->kind);
    size_t n = strlen(kind);
    return strncmp(t->title, kind, n) == 0 && t->title[n] == ' ' && strcmp(t->title + n + 1, runs) == 0;
}

void work_print_runs(const struct plan_step *t, int indent)
{
    CLEANUP_FREE char *runs = work_step_runs(t);
    if (*runs && !says_all(t, runs))
        printf("%*s%s\n", indent, "", runs);
}

char *work_step_runs(const struct plan_step *t)
{
    struct strbuf b, line;
    strbuf_init(&b, 0);
    strbuf_init(&line, 0);
    add_value(&b, "", t->what);
    add_value(&b, " ", t->arguments);
    add_value(&b, " ", t->parameters);
    add_value(&b, " to ", t->destination);
    CLEANUP_FREE char *clean = text_clean(b.s);
    text_fit(&line, clean, RUNS_COLS, false);
    strbuf_free(&b);
    return strbuf_steal(&line);
}

static const char *when_it_fails(const struct work *w)
{
    int how = w->request->on_failure >= 0 ? w->request->on_failure : (int) w->plan.on_failure;
    return how == PLAN_STOP ? "stop" : "continue";
}

static void describe_task(const struct task *t)
{
    for (size_t i = 0; i < t->n_impls; i++) {
        const struct task_impl *m = &t->impls[i];
        CLEANUP_FREE char *name = text_clean(m->name);
        CLEANUP_FREE char *needs = work_impl_needs(m);
        printf("implementation: %s%s%s\n", name, *needs ? ", of nodes with " : "", needs);
    }
}

static void describe_plan(const struct work *w)
{
    for (size_t i = 0; i < w->plan.n_steps; i++) {
        CLEANUP_FREE char *title = text_clean(w->plan.steps[i].title);
        printf("step %zu: %s: %s\n", i + 1, plan_step_kind_name(w->plan.steps[i].kind), title);
        work_print_runs(&w->plan.steps[i], 4);
    }
    printf("when a node fails: %s\n", when_it_fails(w));
}

void work_describe(const struct work *w)
{
    CLEANUP_FREE char *name = text_clean(w->request->name);
    CLEANUP_FREE char *params = params_text(w->params, w->request->params);
    CLEANUP_FREE char *clean = text_clean(params);
    struct strbuf b;
    strbuf_init(&b, 0);
    strbuf_adds(&b, clean);
    for (size_t i = 0; i < w->request->secret_names.n; i++) {
        const char *secret = w->request->secret_names.v[i];
        CLEANUP_FREE char *shown = text_clean(secret);
        strbuf_addf(&b, "%s%s=***%s", b.len ? " " : "", shown,
                    strv_has(&w->ask, secret) ? " (asked for)" : "");
    }
    printf("%s: %s\nparameters: %s\n", work_kind(w), name, b.len ? b.s : "none");
    strbuf_free(&b);
    if (w->is_plan)
        describe_plan(w);
    else
        describe_task(&w->task);
}

static struct json *steps_json(const struct plan *p)
{
    struct json *a = json_array();
    for (size_t i = 0; i < p->n_steps; i++) {
        struct json *o = json_object();
        json_put_int(o, "step", (int64_t) i + 1);
        json_put_str(o, "kind", plan_step_kind_name(p->steps[i].kind));
        CLEANUP_FREE char *runs = work_step_runs(&p->steps[i]);
        json_put_str(o, "title", p->steps[i].title);
        json_put_str(o, "runs", runs);
        json_add(a, o);
    }
    return a;
}

static int copy_member(const char *key, struct json *value, void *ctx)
{
    json_put(ctx, key, json_copy(value));
    return 0;
}

void work_describe_json(const struct work *w, struct json *o)
{
    struct json *params = json_object();
    if (w->request->params)
        json_each(w->request->params, copy_member, params);
    for (size_t i = 0; i < w->request->secret_names.n; i++)
        json_put_str(params, w->request->secret_names.v[i], "***");
    json_put_str(o, "type", work_kind(w));
    json_put_str(o, "name", w->request->name);
    json_put(o, "parameters", params);
    if (w->is_plan) {
        json_put(o, "steps", steps_json(&w->plan));
        json_put_str(o, "onFailure", when_it_fails(w));
    }
}
