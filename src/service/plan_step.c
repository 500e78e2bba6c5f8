/* SPDX-License-Identifier: Apache-2.0 */
/* One step of a plan on one node: what it runs, and what it gives the steps after it. */
#include "plans.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/secret.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/batch.h"
#include "muster/core/json.h"

#include <string.h>

bool plan_part_is_local(const struct plan_part *p)
{
    return !plan_step_on_nodes(p->step->kind);
}

void plan_line_clear(struct plan_line *l)
{
    free(l->command);
    strv_clear(&l->env);
    secret_unref(l->input);
    memset(l, 0, sizeof *l);
}

/* --- what it runs --- */

static int check_line(const char *line, struct err *e)
{
    size_t n = strlen(line);
    if (line[strspn(line, " \t\n")] == '\0')
        return err_set(e, ERR_VALIDATION, "the command is empty");
    if (n > COMMAND_MAX)
        return err_set(e, ERR_VALIDATION, "the command has %zu bytes with what it refers to; at most %d "
                       "are possible", n, COMMAND_MAX);
    return 0;
}

struct env_list {
    struct strv *out;
    struct err *e;
};

static int add_env(const char *key, struct json *value, void *ctx)
{
    struct env_list *l = ctx;
    const char *text = !value ? "" : json_str(value) ? json_str(value) : json_text(value, NULL);
    char *item = x_asprintf("%s=%s", key, text);
    strv_push_own(l->out, item);
    return service_check_env(item, l->e);
}

static int make_env(const struct plan_value *v, const struct plan_scope *scope, struct strv *out,
                    struct err *e)
{
    struct json *values = NULL;
    struct plan_scope plain = *scope;
    plain.quote_results = false;
    int rc = v ? plan_value_json(v, &plain, &values, e) : 0;
    if (rc == 0 && values)
        rc = json_type(values) == JSON_OBJECT
                 ? json_each(values, add_env, &(struct env_list){out, e})
                 : err_set(e, ERR_VALIDATION, "env_vars: an object of names and values is wanted");
    json_free(values);
    return rc;
}

/* The arguments go behind what the script's own line is. */
static int add_arguments(const struct plan_value *v, const struct plan_scope *scope, char **command,
                         struct err *e)
{
    struct json *list = NULL;
    struct plan_scope plain = *scope;
    plain.quote_results = false;
    int rc = v ? plan_value_json(v, &plain, &list, e) : 0;
    if (rc == 0 && list && json_type(list) != JSON_ARRAY)
        rc = err_set(e, ERR_VALIDATION, "arguments: a list is wanted");
    struct strbuf b;
    strbuf_init(&b, 0);
    strbuf_adds(&b, *command);
    for (size_t i = 0; rc == 0 && i < json_len(list); i++) {
        struct json *x = json_at(list, i);
        strbuf_addch(&b, ' ');
        text_login_quote(&b, !x ? "" : json_str(x) ? json_str(x) : json_text(x, NULL));
    }
    if (rc == 0) {
        free(*command);
        *command = strbuf_steal(&b);
        rc = check_line(*command, e);
    }
    strbuf_free(&b);
    json_free(list);
    return rc;
}

int plan_params_err(const struct param_faults *f, const char *task, struct err *e)
{
    struct strbuf b;
    if (!f->n)
        return 0;
    strbuf_init(&b, 0);
    if (f->n > 1)
        strbuf_addf(&b, "%zu parameters are wrong: ", f->n);
    for (size_t i = 0; i < f->n; i++)
        strbuf_addf(&b, "%s%s%s: %s", i ? "; " : "", f->n > 1 ? "" : "the parameter ", f->v[i].name,
                    f->v[i].text);
    err_set(e, ERR_VALIDATION, "task %s: %s", task, b.s);
    strbuf_free(&b);
    return -ERR_VALIDATION;
}

static int task_input(const struct plan_part *p, const struct plan_scope *scope,
                      struct plan_line *out, struct err *e)
{
    const struct params *params = &p->task.task.params;
    struct json *values = NULL;
    struct param_faults faults;
    int rc = p->step->parameters ? plan_value_json(p->step->parameters, scope, &values, e) : 0;
    if (rc != 0)
        return rc;
    if (json_type(values) != JSON_OBJECT) {
        json_free(values);
        values = json_object();
    }
    params_check(params, values, NULL, &faults);
    rc = plan_params_err(&faults, p->task.task.name, e);
    param_faults_clear(&faults);
    if (rc == 0) {
        params_defaults(params, values);
        json_put_str(values, "_task", p->task.task.name);
        out->retry_for_ms = task_retry_ms(&p->task.task, values);
        rc = task_script_input(values, &out->input, e);
    }
    work_wipe(values);
    return rc;
}

int plan_line_make(const struct plan_run *p, size_t step, const struct json *results,
                   struct plan_line *out, struct err *e)
{
    const struct plan_part *part = &p->parts[step];
    const struct plan_step *st = part->step;
    const struct plan_scope scope = {p->values, results, true};
    int rc = 0;
    memset(out, 0, sizeof *out);
    if (st->kind == PLAN_STEP_COMMAND) {
        out->command = plan_value_text(st->what, &scope, e);
        rc = out->command ? check_line(out->command, e) : -ERR_VALIDATION;
        if (rc == 0)
            rc = plan_rules_now(p, part, results, e);
    } else if (st->kind == PLAN_STEP_SCRIPT) {
        out->command = x_strdup(part->task.command);
        out->input = secret_ref(part->task.input);
        rc = add_arguments(st->arguments, &scope, &out->command, e);
        if (rc == 0)
            rc = plan_rules_now(p, part, results, e);
    } else if (st->kind == PLAN_STEP_TASK) {
        out->command = x_strdup(part->task.command);
        rc = task_input(part, &scope, out, e);
    } else {
        out->command = x_strdup(part->command);
    }
    if (rc == 0)
        rc = make_env(st->env, &scope, &out->env, e);
    if (rc != 0)
        plan_line_clear(out);
    return rc;
}

/* --- what it gives --- */

/* Values that refer to values grow fast. */
static int check_size(const struct plan_run *p, size_t step, const struct json *results,
                      const struct json *value, struct err *e)
{
    char size[24];
    size_t all = json_weight(value);
    if (step == p->plan.n_steps || !p->parts[step].keep)
        return 0;
    if (all > PLAN_RESULT_MAX)
        return err_set(e, ERR_VALIDATION, "its value is larger than %s, and a later step refers to it",
                       text_size(PLAN_RESULT_MAX, size));
    for (size_t i = 0; i < step; i++)
        if (p->parts[i].keep && plan_part_is_local(&p->parts[i]) && json_has(results, p->plan.steps[i].name))
            all += json_weight(json_get(results, p->plan.steps[i].name));
    if (all > PLAN_NODE_VALUES_MAX)
        return err_set(e, ERR_VALIDATION, "with its value those that later steps refer to are larger than %s",
                       text_size(PLAN_NODE_VALUES_MAX, size));
    return 0;
}

char *plan_step_text(const struct plan_run *p, size_t step, const struct json *results,
                     struct json **value, struct err *e)
{
    const struct plan_scope scope = {p->values, results, false};
    const struct plan_value *v = step < p->plan.n_steps ? p->parts[step].step->what : p->plan.ret;
    char *line = NULL, *text = plan_value_text(v, &scope, e);
    if (value)
        *value = NULL;
    if (text && value && (plan_value_json(v, &scope, value, e) != 0 ||
                          check_size(p, step, results, *value, e) != 0)) {
        free(X_STEAL(text));
        json_free(X_STEAL(*value));
    }
    if (text)
        line = x_asprintf("%s\n", text);
    free(text);
    return line;
}

struct json *plan_step_result(const struct plan_part *p, const char *const data[2],
                              const size_t len[2], int exit_code)
{
    if (p->step->kind == PLAN_STEP_TASK && len[0]) {
        struct json *o = json_parse(data[0], len[0], NULL);
        if (o && json_type(o) == JSON_OBJECT)
            return o;
        json_free(o);
    }
    static const char *const names[2] = {"stdout", "stderr"};
    struct json *o = json_object();
    for (int i = 0; i < 2; i++)
        json_put(o, names[i], json_of_str(data[i] ? data[i] : "", len[i]));
    json_put_int(o, "exit_code", exit_code);
    return o;
}
