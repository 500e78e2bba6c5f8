/* SPDX-License-Identifier: Apache-2.0 */
/* The task or plan of the form: its fields, what is wrong with them, and the request they make. */
#include "form_work.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/secret.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/json.h"
#include "muster/core/words.h"
#include "muster/service/service.h"

#include <string.h>

#define ABOUT_MAX 4096

struct form_work *form_work_of(const struct form *f)
{
    return f->work && f->work->type == f->type ? f->work : NULL;
}

const struct params *form_work_params(const struct form_work *w)
{
    return w->type == ACTION_TYPE_PLAN ? &w->plan.params : &w->task.params;
}

const struct param *form_work_param(const struct form_work *w, size_t i)
{
    const struct params *p = form_work_params(w);
    return i < p->n ? &p->v[i] : NULL;
}

void form_work_forget(struct form_work *w)
{
    for (size_t i = 0; w && i < w->n; i++) {
        secret_unref(w->v[i].secret);
        w->v[i].secret = NULL;
    }
}

void form_work_free(struct form_work *w)
{
    if (!w)
        return;
    form_work_forget(w);
    for (size_t i = 0; i < w->n; i++)
        field_free(&w->v[i].field);
    free(w->v);
    task_clear(&w->task);
    plan_clear(&w->plan);
    free(w->typed);
    free(w);
}

int form_work_load(struct app *a, enum action_type type, const char *name, struct err *e)
{
    struct form_work *w = x_calloc(1, sizeof *w);
    w->type = type;
    w->typed = x_strdup(name);
    int rc = type == ACTION_TYPE_PLAN ? service_plan(a->service, name, &w->plan, e)
                                      : service_task(a->service, name, &w->task, e);
    if (rc != 0) {
        form_work_free(w);
        return rc;
    }
    const struct params *p = form_work_params(w);
    w->n = p->n + p->any;
    w->v = x_calloc(w->n + 1, sizeof *w->v);
    for (size_t i = 0; i < w->n; i++)
        field_init(&w->v[i].field);
    form_work_free(a->form.work);
    a->form.work = w;
    a->form.type = type;
    return 0;
}

/* --- what is shown --- */

char *form_work_label(const struct form_work *w, size_t i)
{
    const struct param *p = form_work_param(w, i);
    if (!p)
        return x_strdup("Params");
    CLEANUP_FREE char *name = text_clean(p->name);
    return x_asprintf("%s%s", name, p->required ? "*" : "");
}

static char *fallback_text(const struct param *p)
{
    const char *text = json_str(p->fallback);
    return text_clean(text ? text : json_text(p->fallback, NULL));
}

char *form_work_shown(const struct form_work *w, size_t i)
{
    const struct param *p = form_work_param(w, i);
    CLEANUP_STRV struct strv choices = STRV_INIT;
    if (!p)
        return x_strdup("(name=value other='a b')");
    if (p->sensitive)
        return x_strdup(w->v[i].secret ? "********"
                        : p->required  ? "(asked for; Enter types it)"
                                       : "(not given; Enter types it)");
    bool some = ptype_choices(p->type, &choices);
    CLEANUP_FREE char *words = some ? strv_join(&choices, "|") : NULL;
    CLEANUP_FREE char *type = text_clean(words ? words : p->type_text);
    CLEANUP_FREE char *fallback = p->fallback ? fallback_text(p) : NULL;
    if (fallback)
        return x_asprintf("(%s: %s)", fallback, type);
    return x_asprintf("(%s%s)", type, p->required ? ", required" : "");
}

char *form_work_hint(const struct form_work *w, size_t i)
{
    const struct param *p = form_work_param(w, i);
    if (!p)
        return x_strdup("it says nothing of its parameters: any are taken, as NAME=VALUE");
    CLEANUP_FREE char *name = text_clean(p->name);
    CLEANUP_FREE char *type = text_clean(p->type_text);
    CLEANUP_FREE char *about = text_clean(p->description ? p->description : "");
    return x_asprintf("%s: %s%s%s%s%s", name, type, p->required ? ", required" : "",
                      p->sensitive ? ", sensitive" : "", *about ? ": " : "", about);
}

char *form_work_about(const struct form_work *w)
{
    struct strbuf b;
    if (w->type != ACTION_TYPE_PLAN)
        return text_clean(w->task.description ? w->task.description : "it says nothing of itself");
    strbuf_init(&b, ABOUT_MAX);
    strbuf_addf(&b, "%zu step%s: ", w->plan.n_steps, w->plan.n_steps == 1 ? "" : "s");
    for (size_t i = 0; i < w->plan.n_steps; i++)
        strbuf_addf(&b, "%s%s", i ? ", " : "", w->plan.steps[i].title);
    char *out = text_clean(b.s);
    strbuf_free(&b);
    return out;
}

/* --- what is wrong --- */

/* A value that nobody may see is not told in what is wrong with it either. */
static char *value_fault(const struct param *p, const char *text)
{
    struct json *value = ptype_value(p->type, text);
    char *fault = ptype_fault(p->type, value);
    json_free(value);
    if (!fault || !p->sensitive)
        return fault;
    secret_wipe(fault, strlen(fault));
    free(fault);
    return x_asprintf("is no %s", p->type_text);
}

static char *words_fault(const char *text)
{
    CLEANUP_STRV struct strv words = STRV_INIT;
    if (words_split(text, &words, NULL) != 0)
        return x_strdup("a quote is open");
    for (size_t i = 0; i < words.n; i++)
        if (strcspn(words.v[i], "=") == 0 || !strchr(words.v[i], '='))
            return x_strdup("as name=value");
    return NULL;
}

char *form_work_fault(const struct form_work *w, size_t i)
{
    const struct param *p = form_work_param(w, i);
    const struct form_param *f = &w->v[i];
    if (!p)
        return words_fault(f->field.text);
    if (p->sensitive && f->secret)
        return value_fault(p, secret_text(f->secret));
    if (!p->sensitive && f->field.len > 0)
        return value_fault(p, f->field.text);
    return p->required && !p->sensitive && w->told ? x_strdup("is required") : NULL;
}

size_t form_work_faults(const struct form_work *w, size_t *first)
{
    size_t count = 0;
    *first = w->n;
    for (size_t i = 0; i < w->n; i++) {
        CLEANUP_FREE char *fault = form_work_fault(w, i);
        if (fault && !count++)
            *first = i;
    }
    return count;
}

size_t form_work_unasked(const struct form_work *w)
{
    for (size_t i = 0; i < w->n; i++) {
        const struct param *p = form_work_param(w, i);
        if (p && p->sensitive && p->required && !w->v[i].secret)
            return i;
    }
    return w->n;
}

/* --- choices --- */

bool form_work_turn(struct form_work *w, size_t i, int by)
{
    const struct param *p = form_work_param(w, i);
    struct field *f = &w->v[i].field;
    CLEANUP_STRV struct strv choices = STRV_INIT;
    if (!p || p->sensitive || !ptype_choices(p->type, &choices) || choices.n == 0)
        return false;
    /* Position 0 is the empty field, which means the default. */
    size_t count = choices.n + 1, at = 0;
    for (size_t k = 0; k < choices.n; k++)
        if (f->len > 0 && strcmp(choices.v[k], f->text) == 0)
            at = k + 1;
    at = (at + count + (by > 0 ? 1 : count - 1)) % count;
    if (at == 0 && p->required)
        at = by > 0 ? 1 : count - 1;
    field_set(f, at ? choices.v[at - 1] : "");
    return true;
}

/* --- the request --- */

static int set_words(struct work_request *out, const struct params *p, const char *text,
                     struct err *e)
{
    CLEANUP_STRV struct strv words = STRV_INIT;
    int rc = words_split(text, &words, e);
    for (size_t i = 0; rc == 0 && i < words.n; i++)
        rc = work_set(out, p, words.v[i], e);
    return rc;
}

int form_work_request(const struct form_work *w, struct work_request *out, struct err *e)
{
    const struct params *all = form_work_params(w);
    int rc = 0;
    out->name = x_strdup(w->typed);
    for (size_t i = 0; rc == 0 && i < w->n; i++) {
        const struct param *p = form_work_param(w, i);
        const struct form_param *f = &w->v[i];
        if (!p) {
            rc = set_words(out, all, f->field.text, e);
        } else if (f->secret) {
            rc = work_set_secret(out, all, p->name, f->secret, e);
        } else if (f->field.len > 0) {
            CLEANUP_FREE char *item = x_asprintf("%s=%s", p->name, f->field.text);
            rc = work_set(out, all, item, e);
        }
    }
    return rc;
}

static int fill_word(const char *key, struct json *value, void *ctx)
{
    struct strbuf *b = ctx;
    const char *text = json_str(value);
    CLEANUP_FREE char *item = x_asprintf("%s=%s", key, text ? text : json_text(value, NULL));
    strbuf_adds(b, b->len ? " " : "");
    text_sh_quote(b, item);
    return 0;
}

void form_work_fill(struct form_work *w, const struct work_request *from)
{
    for (size_t i = 0; from->params && i < w->n; i++) {
        const struct param *p = form_work_param(w, i);
        if (!p) {
            struct strbuf b;
            strbuf_init(&b, 0);
            json_each(from->params, fill_word, &b);
            field_set(&w->v[i].field, b.s);
            strbuf_free(&b);
            continue;
        }
        struct json *value = json_get(from->params, p->name);
        if (value && !p->sensitive)
            field_set(&w->v[i].field, json_str(value) ? json_str(value) : json_text(value, NULL));
    }
}
