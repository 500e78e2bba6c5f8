/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a plan: its parameters, its steps, what it returns. */
#include "muster/core/plan.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/text.h"
#include "muster/core/json.h"
#include "muster/core/suggest.h"
#include "muster/core/yaml.h"
#include "plan_value.h"
#include "ptype.h"

#include <string.h>

#define PLAN_MAX ((size_t) 1 << 20) /* LIMIT: bytes of the file */

void plan_fault(struct plan_faults *f, unsigned line, const char *fmt, ...)
{
    va_list ap;
    char *text, *clean;

    if (f->n++ >= PLAN_FAULTS_MAX)
        return;
    va_start(ap, fmt);
    text = x_vasprintf(fmt, ap);
    va_end(ap);
    clean = text_clean(text);
    strv_push_own(&f->v, x_asprintf("%s:%u: %s", f->path, line, clean));
    free(clean);
    free(text);
}

char *plan_near(const char *word, const char *const *words, size_t n)
{
    const char *near = suggest_nearest(word, words, n);

    return near ? x_asprintf(" (did you mean %s?)", near) : x_strdup("");
}

/* One parameter's mapping as JSON: nothing in it is a reference. */
static void read_param(const struct yaml_node *key, const struct yaml_node *value,
                       struct plan_faults *f, struct param *out)
{
    struct json *spec = NULL;
    char *wrong;

    if (!yaml_is_null(value)) {
        struct err e = ERR_INIT;
        char *text = yaml_to_json(value);

        spec = json_parse(text, strlen(text), &e);
        if (!spec)
            plan_fault(f, key->line, "the parameter %.100s: %s", key->scalar, e.msg);
        free(text);
        err_clear(&e);
    }
    wrong = param_read(key->scalar, spec, true, out);
    if (wrong)
        plan_fault(f, key->line, "the parameter %.100s: %s", key->scalar, wrong);
    free(wrong);
    json_free(spec);
    /* The targets of the run fill it; a step that has none says so. */
    if (!strcmp(key->scalar, "targets"))
        out->required = false;
}

const char *plan_older_targets(const struct params *p)
{
    const struct param *nodes = params_find(p, "nodes");

    if (!nodes || params_find(p, "targets"))
        return NULL;
    return !nodes->type || ptype_is_target(nodes->type) || !strcmp(nodes->type_text, "Any") ? nodes->name
                                                                                         : NULL;
}

static void read_params(const struct yaml_node *node, struct plan_faults *f, struct params *out)
{
    if (!node || yaml_is_null(node))
        return;
    if (node->kind != YAML_MAPPING || node->n > PARAMS_MAX) {
        plan_fault(f, node->line, "parameters has to be a mapping of at most %d names", PARAMS_MAX);
        return;
    }
    out->v = x_calloc(node->n + 1, sizeof *out->v);
    for (size_t i = 0; i < node->n; i++)
        read_param(node->keys[i], node->items[i], f, &out->v[out->n++]);
    for (size_t i = 0; plan_older_targets(out) && i < out->n; i++)
        if (!strcmp(out->v[i].name, plan_older_targets(out)))
            out->v[i].required = false;
}

static void read_steps(const struct yaml_node *root, struct plan_names *names,
                       struct plan_faults *f, struct plan *out)
{
    const struct yaml_node *node = yaml_get(root, "steps");

    if (!node || node->kind != YAML_SEQUENCE || !node->n || node->n > PLAN_STEPS_MAX) {
        plan_fault(f, node ? node->line : root->line, "a plan needs `steps`, a list of 1 to %d",
                   PLAN_STEPS_MAX);
        return;
    }
    out->steps = x_calloc(node->n, sizeof *out->steps);
    names->all = node;
    for (size_t i = 0; i < node->n; i++)
        plan_step_read(node->items[i], names, f, &out->steps[out->n_steps++]);
}

static void read_flags(const struct yaml_node *root, struct plan_faults *f, struct plan *out)
{
    const struct yaml_node *node = yaml_get(root, "on_failure");
    const char *word = node && node->kind == YAML_SCALAR ? node->scalar : "";

    if (node && strcmp(word, "stop") && strcmp(word, "continue"))
        plan_fault(f, node->line, "on_failure has to be stop or continue");
    out->on_failure = !strcmp(word, "stop") ? PLAN_STOP : PLAN_CONTINUE;
    node = yaml_get(root, "private");
    if (node && yaml_bool(node) < 0)
        plan_fault(f, node->line, "private has to be true or false");
    out->is_private = node && yaml_bool(node) == 1;
    node = yaml_get(root, "version");
    if (node && !(node->kind == YAML_SCALAR && node->plain &&
                  (!strcmp(node->scalar, "1") || !strcmp(node->scalar, "2"))))
        plan_fault(f, node->line, "version has to be 1 or 2: nothing is known of another form");
    node = yaml_get(root, "description");
    if (node && node->kind != YAML_SCALAR)
        plan_fault(f, node->line, "description has to be a text");
    else if (node && !yaml_is_null(node))
        out->description = x_strdup(node->scalar);
}

static void check_keys(const struct yaml_node *root, struct plan_faults *f)
{
    static const char *const keys[] = {"parameters", "steps", "return", "description", "private",
                                       "version", "on_failure"};

    for (size_t i = 0; i < root->n; i++) {
        const struct yaml_node *key = root->keys[i];
        bool known = false;
        char *near;

        for (size_t k = 0; k < ARRAY_LEN(keys) && !known; k++)
            known = !strcmp(keys[k], key->scalar);
        if (known)
            continue;
        near = plan_near(key->scalar, keys, ARRAY_LEN(keys));
        plan_fault(f, key->line, "the key %.100s of a plan is not known%s", key->scalar, near);
        free(near);
    }
}

static void read_plan(const struct yaml_node *root, struct plan_faults *f, struct plan *out)
{
    struct plan_names names = {.params = &out->params};
    const struct yaml_node *node;

    if (root->kind != YAML_MAPPING) {
        plan_fault(f, root->line, "a plan has to be a mapping with `steps`");
        return;
    }
    check_keys(root, f);
    read_flags(root, f, out);
    read_params(yaml_get(root, "parameters"), f, &out->params);
    read_steps(root, &names, f, out);
    node = yaml_get(root, "return");
    if (node)
        out->ret = plan_value_read(node, &names, f);
    strv_clear(&names.steps);
}

int plan_parse(const char *name, const char *path, const char *text, size_t n, struct plan *out,
               struct err *e)
{
    struct plan_faults f = {.path = path ? path : name};
    struct yaml_node *root;
    int rc = 0;

    *out = (struct plan) {.name = NULL};
    if (n > PLAN_MAX)
        return err_set(e, ERR_VALIDATION, "%s: a plan of more than 1 MiB is not read", f.path);
    root = yaml_parse(f.path, text, n, e);
    if (!root)
        return -ERR_VALIDATION;
    out->name = x_strdup(name);
    out->path = x_strdup(path);
    read_plan(root, &f, out);
    yaml_free(root);
    if (f.n) {
        rc = f.n == 1 ? err_set(e, ERR_VALIDATION, "%s", f.v.v[0])
                      : err_set(e, ERR_VALIDATION, "%s (and %zu more)", f.v.v[0], f.n - 1);
        err_details(e, strv_join(&f.v, "\n"));
        plan_clear(out);
    }
    strv_clear(&f.v);
    return rc;
}

void plan_clear(struct plan *p)
{
    for (size_t i = 0; i < p->n_steps; i++)
        plan_step_clear(&p->steps[i]);
    free(p->steps);
    free(p->name);
    free(p->path);
    free(p->description);
    params_clear(&p->params);
    plan_value_free(p->ret);
    *p = (struct plan) {.name = NULL};
}
