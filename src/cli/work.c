/* SPDX-License-Identifier: Apache-2.0 */
/* What a task or a plan is given: every fault is told at once, and sensitive values come from a file or a
 * prompt only. */
#include "work.h"

#include "ask_tty.h"
#include "questions.h"

#include "muster/base/alloc.h"
#include "muster/base/io.h"
#include "muster/base/secret.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/json.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PARAMS_MAX ((size_t) 1 << 20)

const char *work_kind(const struct work *w)
{
    return action_type_name(w->is_plan ? ACTION_TYPE_PLAN : ACTION_TYPE_TASK);
}

int work_open(struct work *w, struct service *s, bool is_plan, const char *name,
              struct work_request *again, struct err *e)
{
    *w = (struct work){.is_plan = is_plan};
    work_request_init(&w->own);
    int rc = is_plan ? service_plan(s, name, &w->plan, e) : service_task(s, name, &w->task, e);
    if (rc != 0)
        return rc;
    w->params = is_plan ? &w->plan.params : &w->task.params;
    w->request = again ? again : &w->own;
    if (!again)
        w->own.name = x_strdup(name);
    return 0;
}

/* --- faults --- */

static void add_fault(struct param_faults *f, const char *name, char *text)
{
    f->v = x_array(f->v, f->n + 1, sizeof *f->v);
    f->v[f->n++] = (struct param_fault){.name = x_strdup(name), .text = text};
}

/* Those of `more` too. */
static void join_faults(struct param_faults *f, struct param_faults *more)
{
    for (size_t i = 0; i < more->n; i++)
        add_fault(f, more->v[i].name, x_strdup(more->v[i].text));
    param_faults_clear(more);
}

static int faults_err(const struct work *w, const struct param_faults *f, struct err *e)
{
    CLEANUP_FREE char *what = x_asprintf("%s %s", work_kind(w), w->request->name);
    return param_faults_err(f, what, e);
}

/* --- values --- */

static int read_params(struct work *w, const char *path, struct err *e)
{
    bool from_stdin = strcmp(path, "-") == 0;
    struct strbuf text;
    strbuf_init(&text, PARAMS_MAX);
    int rc = from_stdin ? io_read_fd(STDIN_FILENO, PARAMS_MAX, &text, e)
                        : io_read_file(path, PARAMS_MAX, &text, e);
    bool named = rc != 0 && !from_stdin; /* by what could not read it */
    struct json *j = rc == 0 ? json_parse(text.s, text.len, e) : NULL;
    if (rc == 0 && !j)
        rc = -ERR_VALIDATION;
    if (rc == 0 && json_type(j) != JSON_OBJECT)
        rc = err_set(e, ERR_VALIDATION, "parameters are a JSON object: {\"name\": \"value\"}");
    if (rc == 0)
        rc = work_set_json(w->request, w->params, j, e);
    if (rc != 0)
        err_prefix(e, named ? "--params: " : "--params %s: ", path);
    json_free(j);
    secret_wipe(text.s, text.len); /* sensitive ones may be in it */
    strbuf_free(&text);
    return rc;
}

static void set_word(struct work *w, const char *word, struct param_faults *f)
{
    const char *eq = strchr(word, '=');
    if (!eq || eq == word) {
        add_fault(f, word, x_strdup("is no parameter: KEY=VALUE is wanted"));
        return;
    }
    CLEANUP_FREE char *name = x_asprintf("%.*s", (int) (eq - word), word);
    const struct param *p = params_find(w->params, name);
    if (p && p->sensitive) {
        add_fault(f, name, x_asprintf("is sensitive, and everybody on this machine can read a command line: "
                                      "%s, or give it by --params FILE",
                                      p->required ? "leave it out, and it is asked for"
                                                  : "give --ask-param and its name to be asked for it"));
        return;
    }
    CLEANUP_ERR struct err e = ERR_INIT;
    if (work_set(w->request, w->params, word, &e) != 0)
        add_fault(f, name, x_strdup(e.msg));
}

/* --- what is asked for --- */

static void want(struct work *w, const char *name)
{
    if (!strv_has(&w->ask, name))
        strv_push(&w->ask, name);
}

static void want_named(struct work *w, const struct strv *names, struct param_faults *f)
{
    for (size_t i = 0; i < names->n; i++) {
        const struct param *p = params_find(w->params, names->v[i]);
        if (p && p->sensitive)
            want(w, names->v[i]);
        else if (p)
            add_fault(f, p->name, x_asprintf("is not sensitive, so it is not asked for: give %s=VALUE",
                                             p->name));
        else if (w->params->any)
            add_fault(f, names->v[i],
                      x_asprintf("there is no metadata that makes it sensitive, so it is not asked for: "
                                 "give %s=VALUE", names->v[i]));
        else
            add_fault(f, names->v[i], x_strdup("there is no such parameter to ask for"));
    }
}

/* Whatever is required, or was there the first time, and is not in a file. */
static void want_missing(struct work *w, const struct strv *before)
{
    for (size_t i = 0; i < before->n; i++)
        if (!strv_has(&w->request->secret_names, before->v[i]))
            want(w, before->v[i]);
    for (size_t i = 0; i < w->params->n; i++) {
        const struct param *p = &w->params->v[i];
        if (p->sensitive && p->required && !strv_has(&w->request->secret_names, p->name))
            want(w, p->name);
    }
    for (size_t i = 0; i < w->ask.n; i++)
        if (!strv_has(&w->request->secret_names, w->ask.v[i]))
            strv_push(&w->request->secret_names, w->ask.v[i]);
}

int work_fill(struct work *w, struct cli *c, const struct json *values, const struct strv *words,
              struct err *e)
{
    /* From here on the names are of what was given; in the end those that are asked for come to them. */
    CLEANUP_STRV struct strv before = STRV_INIT;
    strv_copy(&before, &w->request->secret_names);
    strv_clear(&w->request->secret_names);
    struct param_faults faults = {0}, more = {0};
    int rc = values ? work_set_json(w->request, w->params, values, e) : 0;
    if (rc == 0 && c->set[OPT_PARAMS])
        rc = read_params(w, c->text[OPT_PARAMS], e);
    for (size_t i = 0; i < words->n; i++)
        set_word(w, words->v[i], &faults);
    want_named(w, &c->list[OPT_ASK_PARAM], &faults);
    want_missing(w, &before);
    if (c->set[OPT_ON_FAILURE])
        w->request->on_failure =
            strcmp(c->text[OPT_ON_FAILURE], "stop") == 0 ? PLAN_STOP : PLAN_CONTINUE;
    if (rc == 0) {
        work_check(w->request, w->params, &more);
        join_faults(&faults, &more);
        rc = faults_err(w, &faults, e);
    }
    param_faults_clear(&faults);
    return rc;
}

void work_use(struct work *w, struct batch_request *r)
{
    free(w->text);
    w->text = work_text(w->request, w->params);
    r->type = w->is_plan ? ACTION_TYPE_PLAN : ACTION_TYPE_TASK;
    r->work = w->request;
    r->action = w->text;
}

static int ask_one(struct work *w, const char *name, struct err *e)
{
    CLEANUP_FREE char *clean = text_clean(name);
    CLEANUP_FREE char *prompt = x_asprintf("Parameter %s: ", clean);
    struct secret *answer = ask_tty_line(prompt, e);
    if (!answer)
        return -ERR_VALIDATION;
    int rc = secret_len(answer) == 0
                 ? err_set(e, ERR_VALIDATION, "no value for %s was given: nothing was run", name)
                 : work_set_secret(w->request, w->params, name, answer, e);
    secret_unref(answer);
    return rc;
}

int work_ask(struct work *w, struct err *e)
{
    if (w->ask.n == 0)
        return 0;
    if (!questions_possible()) {
        CLEANUP_FREE char *names = strv_join(&w->ask, ", ");
        return err_set(e, ERR_VALIDATION, "%s: sensitive, so asked for, and there is no terminal to ask on: "
                       "give them by --params FILE", names);
    }
    int rc = 0;
    for (size_t i = 0; i < w->ask.n && rc == 0; i++)
        rc = ask_one(w, w->ask.v[i], e);
    if (rc != 0)
        return rc;
    struct param_faults faults = {0};
    work_check(w->request, w->params, &faults);
    rc = faults_err(w, &faults, e);
    param_faults_clear(&faults);
    return rc;
}

void work_clear(struct work *w)
{
    if (w->is_plan)
        plan_clear(&w->plan);
    else
        task_clear(&w->task);
    work_request_clear(&w->own);
    strv_clear(&w->ask);
    free(w->text);
    *w = (struct work){.text = NULL};
    work_request_init(&w->own);
}
