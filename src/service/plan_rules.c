/* SPDX-License-Identifier: Apache-2.0 */
/* What the steps of a plan run, held against the rules of the configuration: before anything runs, and
 * once more when results of earlier steps are in it.
 *
 * A rule may look for the words as people write them, for the line as the shell gets it, for a script's
 * name as the plan has it, or for its path: each form is held against it. What goes to a node around a
 * script is none of the user's, and no rule is about it. */
#include "plans.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/config.h"
#include "muster/core/json.h"

/* --- the forms --- */

/* NULL and e. Without results they are their names. */
static char *command_text(const struct plan_part *part, const struct plan_scope *scope, struct err *e)
{
    return scope->results ? plan_value_text(part->step->what, scope, e)
                          : plan_value_template(part->step->what, scope);
}

static int command_forms(const struct plan_part *part, const struct plan_scope *scope,
                         struct strv *out, struct err *e)
{
    for (int quote = 0; quote < 2; quote++) {
        const struct plan_scope at = {scope->params, scope->results, quote == 1};
        char *text = command_text(part, &at, e);
        if (!text)
            return -ERR_VALIDATION;
        strv_push_own(out, text);
    }
    return 0;
}

static int script_words(const struct plan_part *part, const struct plan_scope *scope,
                        struct strv *out, struct err *e)
{
    struct json *list = NULL;
    if (!part->step->arguments)
        return 0;
    if (!scope->results) {
        plan_value_template_items(part->step->arguments, scope, out);
        return 0;
    }
    int rc = plan_value_json(part->step->arguments, scope, &list, e);
    for (size_t i = 0; rc == 0 && json_type(list) == JSON_ARRAY && i < json_len(list); i++) {
        struct json *x = json_at(list, i);
        strv_push(out, !x ? "" : json_str(x) ? json_str(x) : json_text(x, NULL));
    }
    json_free(list);
    return rc;
}

static char *call_text(const char *name, const struct strv *words, bool quote)
{
    struct strbuf b;
    strbuf_init(&b, 0);
    strbuf_adds(&b, name);
    for (size_t i = 0; i < words->n; i++) {
        strbuf_addch(&b, ' ');
        if (quote)
            text_sh_quote(&b, words->v[i]);
        else
            strbuf_adds(&b, words->v[i]);
    }
    return strbuf_steal(&b);
}

static int script_forms(const struct plan_part *part, const struct plan_scope *scope,
                        struct strv *out, struct err *e)
{
    const struct task *t = &part->task.task;
    const char *const names[] = {t->name, t->path};
    struct strv words = STRV_INIT;
    int rc = script_words(part, scope, &words, e);
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(names); i++) {
        strv_push(out, names[i]);
        strv_push_own(out, call_text(names[i], &words, false));
        strv_push_own(out, call_text(names[i], &words, true));
    }
    strv_clear(&words);
    return rc;
}

static int forms_of(const struct plan_run *p, const struct plan_part *part, const struct json *results,
                    struct strv *out, struct err *e)
{
    const struct plan_scope scope = {p->values, results, false};
    if (part->step->kind == PLAN_STEP_COMMAND)
        return command_forms(part, &scope, out, e);
    if (part->step->kind == PLAN_STEP_SCRIPT)
        return script_forms(part, &scope, out, e);
    for (size_t i = 0; i < part->task.task.n_impls; i++)
        strv_push(out, part->task.task.impls[i].path);
    return 0;
}

/* --- the rules --- */

static bool matches(const struct config_rules *r, size_t rule, const struct strv *forms)
{
    for (size_t i = 0; i < forms->n; i++)
        if (regexec(&r->compiled[rule], forms->v[i], 0, NULL, 0) == 0)
            return true;
    return false;
}

/* The first that matches `now` and not `before` (NULL: nothing). */
static const char *first_match(const struct config_rules *r, const struct strv *now,
                               const struct strv *before)
{
    for (size_t i = 0; i < r->patterns.n; i++)
        if (matches(r, i, now) && !(before && matches(r, i, before)))
            return r->patterns.v[i];
    return NULL;
}

int plan_rules_before(const struct plan_run *p, const struct plan_part *part, bool *asks, struct err *e)
{
    struct strv forms = STRV_INIT;
    int rc = forms_of(p, part, NULL, &forms, e);
    const char *deny = rc == 0 ? first_match(p->deny, &forms, NULL) : NULL;
    if (deny)
        rc = err_set(e, ERR_FORBIDDEN, "a rule of the configuration denies this (deny: %s)", deny);
    if (rc == 0)
        *asks |= first_match(p->confirm, &forms, NULL) != NULL;
    strv_clear(&forms);
    return rc;
}

int plan_rules_now(const struct plan_run *p, const struct plan_part *part, const struct json *results,
                   struct err *e)
{
    struct strv now = STRV_INIT, before = STRV_INIT;
    if (!results || !part->by_node || p->deny->patterns.n + p->confirm->patterns.n == 0)
        return 0;
    int rc = forms_of(p, part, results, &now, e);
    if (rc == 0)
        rc = forms_of(p, part, NULL, &before, e);
    const char *deny = rc == 0 ? first_match(p->deny, &now, NULL) : NULL;
    const char *confirm = rc == 0 ? first_match(p->confirm, &now, &before) : NULL;
    if (deny)
        rc = err_set(e, ERR_FORBIDDEN, "a rule of the configuration denies what this is with the results "
                     "in it (deny: %s)", deny);
    else if (confirm)
        rc = err_set(e, ERR_FORBIDDEN, "a rule of the configuration asks to confirm what this is with the "
                     "results in it, and nobody can be asked any more (confirm: %s)", confirm);
    strv_clear(&before);
    strv_clear(&now);
    return rc;
}
