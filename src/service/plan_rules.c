/* SPDX-License-Identifier: Apache-2.0 */
/* What the steps of a plan run, held against the rules of the configuration: before anything runs, and
 * once more when results of earlier steps are in it. */
#include "plans.h"

#include "service.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/core/config.h"
#include "muster/core/json.h"
#include "muster/core/plan.h"

int plan_rules_check(const struct service *s, const char *line, bool *asks, struct err *e)
{
    const char *deny = config_rules_match(&s->config.deny, line);
    if (deny)
        return err_set(e, ERR_FORBIDDEN, "a rule of the configuration denies this (deny: %s)", deny);
    *asks |= config_rules_match(&s->config.confirm, line) != NULL;
    return 0;
}

char *plan_rules_line(const struct plan_part *part, const struct plan_scope *scope, struct err *e)
{
    struct plan_scope plain = *scope;
    plain.quote_results = false;
    if (part->step->kind == PLAN_STEP_COMMAND)
        return plan_value_text(part->step->what, &plain, e);
    struct json *list = NULL;
    if (part->step->arguments && plan_value_json(part->step->arguments, &plain, &list, e) != 0)
        return NULL;
    struct strbuf b;
    strbuf_init(&b, 0);
    strbuf_adds(&b, part->task.task.path);
    for (size_t i = 0; json_type(list) == JSON_ARRAY && i < json_len(list); i++) {
        struct json *x = json_at(list, i);
        strbuf_addf(&b, " %s", !x ? "" : json_str(x) ? json_str(x) : json_text(x, NULL));
    }
    json_free(list);
    return strbuf_steal(&b);
}

int plan_rules_now(const struct plan_run *p, const struct plan_part *part,
                   const struct plan_scope *scope, const char *line, struct err *e)
{
    CLEANUP_FREE char *plain = plan_rules_line(part, scope, e);
    if (!plain)
        return -ERR_VALIDATION;
    /* A rule may look for the words as people write them, or for the line as the shell gets it. */
    const char *const forms[] = {plain, line};
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        const char *deny = config_rules_match(p->deny, forms[i]);
        const char *ask = part->by_node && !part->asked ? config_rules_match(p->confirm, forms[i]) : NULL;
        if (deny)
            return err_set(e, ERR_FORBIDDEN, "a rule of the configuration denies what this is with the "
                           "results in it (deny: %s)", deny);
        if (ask)
            return err_set(e, ERR_FORBIDDEN, "a rule of the configuration asks to confirm what this is "
                           "with the results in it, and nobody can be asked any more (confirm: %s)", ask);
    }
    return 0;
}
