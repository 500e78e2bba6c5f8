/* SPDX-License-Identifier: Apache-2.0 */
/* Reads one step of a plan. */
#include "plan_value.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/json.h"
#include "muster/core/suggest.h"
#include "muster/core/yaml.h"

#include <ctype.h>
#include <string.h>

#define TITLE_COLS 60

#define ON(kind) (1U << PLAN_STEP_##kind)
#define ON_NODES (ON(COMMAND) | ON(SCRIPT) | ON(TASK) | ON(UPLOAD) | ON(DOWNLOAD))
#define ON_ALL (ON_NODES | ON(MESSAGE) | ON(EVAL))

/* Keys of a step besides the one that says its kind. */
static const struct key_row {
    const char *key;
    unsigned kinds;
    const char *refused; /* why, of what Bolt has and this has not */
} key_rows[] = {
    {"name", ON_ALL, NULL},
    {"description", ON_ALL, NULL},
    {"targets", ON_NODES, NULL},
    {"target", ON_NODES, NULL},
    {"parameters", ON_NODES, NULL},
    {"arguments", ON(SCRIPT), NULL},
    {"env_vars", ON(COMMAND) | ON(SCRIPT), NULL},
    {"source", ON(UPLOAD), NULL},
    {"destination", ON(UPLOAD) | ON(DOWNLOAD), NULL},
    {"catch_errors", ON_NODES, NULL},
    {"run_as", ON_NODES, NULL},
    {"pwsh_params", ON_ALL, "PowerShell is not known here"},
    {"noop", ON_ALL, "runs that change nothing are not known here"},
};

/* Kinds that Bolt has and this has not. */
static const struct {
    const char *key, *why;
} refused_kinds[] = {
    {"plan", "plans within plans are not known here; run them one after another"},
    {"resources", "Puppet's resources are not known here; use a task, as package or service"},
    {"verbose", "messages that are shown at times are not known here; use message"},
    {"apply", "Puppet's code is not known here; use a task, as puppet_run"},
};

static const struct {
    const char *key;
    bool on_nodes;
} kinds[] = {
#define STEP(id, name, help, on_nodes) [PLAN_STEP_##id] = {name, on_nodes},
    PLAN_STEP_TABLE(STEP)
#undef STEP
};

const char *plan_step_kind_name(enum plan_step_kind k)
{
    return (size_t) k < ARRAY_LEN(kinds) ? kinds[k].key : "step";
}

bool plan_step_on_nodes(enum plan_step_kind k)
{
    return (size_t) k < ARRAY_LEN(kinds) && kinds[k].on_nodes;
}

struct step_reader {
    const struct yaml_node *node;
    struct plan_names *names;
    struct plan_faults *f;
    struct plan_step *s;
};

void plan_step_clear(struct plan_step *s)
{
    free(s->name);
    free(s->title);
    free(s->run_as);
    plan_value_free(s->what);
    plan_value_free(s->targets);
    plan_value_free(s->destination);
    plan_value_free(s->parameters);
    plan_value_free(s->arguments);
    plan_value_free(s->env);
    *s = (struct plan_step) {.name = NULL};
}

/* A text without references; NULL when there is none, or another thing. */
static char *literal_text(struct step_reader *r, const struct yaml_node *node, const char *key)
{
    if (!node || yaml_is_null(node))
        return NULL;
    if (node->kind == YAML_SCALAR && node->style != YAML_STYLE_BLOCK &&
        !(node->plain && *node->scalar == '$'))
        return x_strdup(node->scalar);
    plan_fault(r->f, node->line, "%s has to be a text, without references", key);
    return NULL;
}

static void read_catch(struct step_reader *r, const struct yaml_node *node, const char *key)
{
    int truth = yaml_bool(node);

    if (truth < 0)
        plan_fault(r->f, node->line, "%s has to be true or false", key);
    r->s->catch_errors = truth == 1;
}

/* Without quotes 5 is a number, and yes a boolean. */
static bool is_text(const struct yaml_node *node)
{
    char *json = yaml_to_json(node);
    bool text = *json == '"';

    free(json);
    return text;
}

static void read_run_as(struct step_reader *r, const struct yaml_node *node, const char *key)
{
    free(r->s->run_as);
    r->s->run_as = literal_text(r, node, key);
    if (r->s->run_as && !is_text(node))
        plan_fault(r->f, node->line, "%s has to be a text: write \"%s\"", key, r->s->run_as);
}

/* A value that chooses something here, before any node has said anything. */
static void not_by_node(struct step_reader *r, const struct plan_value *v, unsigned line,
                        const char *what)
{
    if (plan_value_by_node(v))
        plan_fault(r->f, line, "%s cannot come from a step's result: it is chosen before the plan "
                               "begins, and not by what a node said", what);
}

static struct plan_value *read_scalar(struct step_reader *r, const struct yaml_node *node,
                                      const char *key)
{
    if (node->kind != YAML_SCALAR)
        plan_fault(r->f, node->line, "%s has to be a text", key);
    else if (!*node->scalar || yaml_is_null(node))
        plan_fault(r->f, node->line, "%s is empty", key);
    return plan_value_read(node, r->names, r->f);
}

static void read_targets(struct step_reader *r, const struct yaml_node *node)
{
    if (r->s->targets)
        plan_fault(r->f, node->line, "targets and target stand both");
    plan_value_free(r->s->targets);
    r->s->targets = plan_value_read(node, r->names, r->f);
    if (node->kind == YAML_MAPPING || yaml_is_null(node) || (node->kind == YAML_SEQUENCE && !node->n))
        plan_fault(r->f, node->line, "targets has to be a text or a list of texts; leave it out for "
                                     "those of the plan");
    not_by_node(r, r->s->targets, node->line, "targets");
}

/* An option of Bolt's among the parameters: _run_as, _catch_errors. */
static void read_option(struct step_reader *r, const struct yaml_node *key,
                        const struct yaml_node *value)
{
    if (!strcmp(key->scalar, "_catch_errors"))
        read_catch(r, value, key->scalar);
    else if (!strcmp(key->scalar, "_run_as"))
        read_run_as(r, value, key->scalar);
    else if (!strcmp(key->scalar, "_noop"))
        plan_fault(r->f, key->line, "_noop: runs that change nothing are not known here");
    else
        plan_fault(r->f, key->line, "%.100s is not known here (Bolt may have it)", key->scalar);
}

static void read_parameters(struct step_reader *r, const struct yaml_node *node)
{
    struct plan_value *all;
    struct yaml_node rest = *node;

    if (yaml_is_null(node))
        return;
    if (node->kind != YAML_MAPPING) {
        r->s->parameters = plan_value_read(node, r->names, r->f);
        if (r->s->parameters->kind != PLAN_VALUE_REF || r->s->kind != PLAN_STEP_TASK)
            plan_fault(r->f, node->line, "parameters has to be a mapping of names and values");
        return;
    }
    rest.items = x_calloc(node->n + 1, sizeof(struct yaml_node *));
    rest.keys = x_calloc(node->n + 1, sizeof(struct yaml_node *));
    rest.n = 0;
    for (size_t i = 0; i < node->n; i++) {
        if (*node->keys[i]->scalar == '_') {
            read_option(r, node->keys[i], node->items[i]);
            continue;
        }
        if (r->s->kind != PLAN_STEP_TASK)
            plan_fault(r->f, node->keys[i]->line, "%s: a step of this kind has no parameters%s",
                       node->keys[i]->scalar,
                       r->s->kind == PLAN_STEP_SCRIPT ? "; a script takes arguments" : "");
        rest.items[rest.n] = node->items[i];
        rest.keys[rest.n++] = node->keys[i];
    }
    all = plan_value_read(&rest, r->names, r->f);
    free(rest.items);
    free(rest.keys);
    r->s->parameters = all;
}

static void read_arguments(struct step_reader *r, const struct yaml_node *node)
{
    if (yaml_is_null(node))
        return;
    r->s->arguments = plan_value_read(node, r->names, r->f);
    if (node->kind != YAML_SEQUENCE && r->s->arguments->kind != PLAN_VALUE_REF)
        plan_fault(r->f, node->line, "arguments has to be a list");
}

static bool variable_ok(const char *s)
{
    if (!isalpha((unsigned char) *s) && *s != '_')
        return false;
    while (isalnum((unsigned char) *s) || *s == '_')
        s++;
    return !*s;
}

static void read_env(struct step_reader *r, const struct yaml_node *node)
{
    if (yaml_is_null(node))
        return;
    r->s->env = plan_value_read(node, r->names, r->f);
    if (node->kind != YAML_MAPPING) {
        plan_fault(r->f, node->line, "env_vars has to be a mapping of names and values");
        return;
    }
    for (size_t i = 0; i < node->n; i++) {
        if (!variable_ok(node->keys[i]->scalar))
            plan_fault(r->f, node->keys[i]->line, "env_vars: \"%.100s\" is no name of a variable",
                       node->keys[i]->scalar);
    }
}

static void read_name(struct step_reader *r, const struct yaml_node *node)
{
    const char *s = node->kind == YAML_SCALAR ? node->scalar : "";
    bool ok = islower((unsigned char) *s) || *s == '_';

    for (const char *c = s; *c; c++)
        ok = ok && (islower((unsigned char) *c) || isdigit((unsigned char) *c) || *c == '_');
    if (!ok)
        plan_fault(r->f, node->line, "the name of a step has to be lower-case letters, digits and _, "
                                     "and begin with a letter");
    else if (params_find(r->names->params, s) || strv_has(&r->names->steps, s) ||
             !strcmp(s, "targets"))
        plan_fault(r->f, node->line, "the name %.100s is taken: by a parameter, an earlier step or "
                                     "the targets", s);
    else
        r->s->name = x_strdup(s);
}

/* Of a step without a kind: the key that may have been meant to be it. Caller frees. */
static char *near_kind(const struct step_reader *r)
{
    const char *words[ARRAY_LEN(key_rows) + ARRAY_LEN(kinds)];
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        words[n++] = kinds[i].key;
    for (size_t i = 0; i < ARRAY_LEN(key_rows); i++)
        words[n++] = key_rows[i].key;
    for (size_t i = 0; i < r->node->n; i++) {
        const char *key = r->node->keys[i]->scalar, *near = suggest_nearest(key, words, n);

        if (near && strcmp(near, key))
            return x_asprintf("; %.100s is none of a step's keys: did you mean %s?", key, near);
    }
    return x_strdup("");
}

/* The step's kind by its key; false: none, which is told. */
static bool find_kind(struct step_reader *r, const struct yaml_node **what)
{
    size_t found = 0;
    bool known = true;

    for (size_t i = 0; i < ARRAY_LEN(refused_kinds); i++) {
        const struct yaml_node *bad = yaml_get(r->node, refused_kinds[i].key);

        if (!bad)
            continue;
        plan_fault(r->f, r->node->line, "a step `%s`: %s", refused_kinds[i].key, refused_kinds[i].why);
        known = false;
    }
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const struct yaml_node *node = yaml_get(r->node, kinds[i].key);

        if (!node)
            continue;
        found++;
        *what = node;
        r->s->kind = (enum plan_step_kind) i;
    }
    if (!found && known && (*what = yaml_get(r->node, "source"))) { /* Bolt's older form */
        r->s->kind = PLAN_STEP_UPLOAD;
        return true;
    }
    if (known && found != 1) {
        char *near = found ? x_strdup(", and not two") : near_kind(r);

        plan_fault(r->f, r->node->line, "a step has one of command, script, task, upload, download, "
                                        "message and eval%s", near);
        free(near);
    }
    return known && found == 1;
}

static void unknown_key(struct step_reader *r, const struct yaml_node *key)
{
    const char *words[ARRAY_LEN(key_rows) + ARRAY_LEN(kinds)];
    size_t n = 0;
    char *near;

    for (size_t i = 0; i < ARRAY_LEN(key_rows); i++)
        words[n++] = key_rows[i].key;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        words[n++] = kinds[i].key;
    near = plan_near(key->scalar, words, n);
    plan_fault(r->f, key->line, "the key %.100s of a step is not known%s", key->scalar, near);
    free(near);
}

/* Says what is wrong with the keys. */
static void check_keys(struct step_reader *r)
{
    for (size_t i = 0; i < r->node->n; i++) {
        const struct yaml_node *key = r->node->keys[i];
        const struct key_row *row = NULL;

        if (!strcmp(key->scalar, kinds[r->s->kind].key))
            continue;
        for (size_t k = 0; k < ARRAY_LEN(key_rows) && !row; k++)
            row = strcmp(key_rows[k].key, key->scalar) ? NULL : &key_rows[k];
        if (!row)
            unknown_key(r, key);
        else if (row->refused)
            plan_fault(r->f, key->line, "%s: %s", row->key, row->refused);
        else if (!(row->kinds & (1U << r->s->kind)))
            plan_fault(r->f, key->line, "a step `%s` has no %s", kinds[r->s->kind].key, row->key);
    }
}

static void read_what(struct step_reader *r, const struct yaml_node *node)
{
    const char *key = kinds[r->s->kind].key, *why;

    if (r->s->kind == PLAN_STEP_EVAL) {
        r->s->what = plan_value_read(node, r->names, r->f);
        return;
    }
    const struct yaml_node *env = r->s->kind == PLAN_STEP_COMMAND ? yaml_get(r->node, "env_vars") : NULL;

    r->names->shells = env && env->kind == YAML_MAPPING ? env : NULL;
    r->s->what = read_scalar(r, node, key);
    r->names->shells = NULL;
    if (r->s->kind == PLAN_STEP_TASK || r->s->kind == PLAN_STEP_SCRIPT ||
        r->s->kind == PLAN_STEP_UPLOAD)
        not_by_node(r, r->s->what, node->line, key);
    why = r->s->kind == PLAN_STEP_COMMAND ? plan_shell_fault(r->s->what) : NULL;
    if (why)
        plan_fault(r->f, node->line, "a step's result cannot be filled in %s", why);
}

static void read_destination(struct step_reader *r)
{
    const struct yaml_node *node = yaml_get(r->node, "destination");

    if (!node) {
        plan_fault(r->f, r->node->line, "a step `%s` needs a destination",
                   kinds[r->s->kind].key);
        return;
    }
    r->s->destination = read_scalar(r, node, "destination");
    if (r->s->kind == PLAN_STEP_DOWNLOAD)
        not_by_node(r, r->s->destination, node->line, "the destination on this machine");
}

static void read_rest(struct step_reader *r)
{
    const struct yaml_node *node;
    unsigned kind = 1U << r->s->kind;

    if ((node = yaml_get(r->node, "name")) && !yaml_is_null(node))
        read_name(r, node);
    if (kind & (ON(UPLOAD) | ON(DOWNLOAD)))
        read_destination(r);
    if (!(kind & ON_NODES))
        return;
    if ((node = yaml_get(r->node, "targets")))
        read_targets(r, node);
    if ((node = yaml_get(r->node, "target")))
        read_targets(r, node);
    if ((node = yaml_get(r->node, "catch_errors")))
        read_catch(r, node, "catch_errors");
    if ((node = yaml_get(r->node, "run_as")))
        read_run_as(r, node, "run_as");
    if ((node = yaml_get(r->node, "parameters")))
        read_parameters(r, node);
    if ((kind & ON(SCRIPT)) && (node = yaml_get(r->node, "arguments")))
        read_arguments(r, node);
    if ((kind & (ON(COMMAND) | ON(SCRIPT))) && (node = yaml_get(r->node, "env_vars")))
        read_env(r, node);
}

static char *make_title(struct step_reader *r, const struct yaml_node *what)
{
    const struct yaml_node *node = yaml_get(r->node, "description");
    char *text = literal_text(r, node, "description"), *clean;
    struct strbuf title;

    if (!text || !*text) {
        free(text);
        text = r->s->name ? x_strdup(r->s->name)
                          : x_asprintf("%s %s", kinds[r->s->kind].key,
                                       what->kind == YAML_SCALAR ? what->scalar : "value");
    }
    clean = text_clean(text);
    strbuf_init(&title, 0);
    text_fit(&title, clean, TITLE_COLS, false);
    free(clean);
    free(text);
    return strbuf_steal(&title);
}

void plan_step_read(const struct yaml_node *node, struct plan_names *names, struct plan_faults *f,
                    struct plan_step *out)
{
    struct step_reader r = {node, names, f, out};
    const struct yaml_node *what = NULL;

    *out = (struct plan_step) {.line = node->line};
    if (node->kind != YAML_MAPPING) {
        plan_fault(f, node->line, "a step has to be a mapping, as `command: uptime`");
        return;
    }
    if (find_kind(&r, &what)) {
        check_keys(&r);
        read_what(&r, what);
        read_rest(&r);
        out->title = make_title(&r, what);
    } else if ((what = yaml_get(node, "name")) && what->kind == YAML_SCALAR) {
        read_name(&r, what); /* so that what refers to it is no further fault */
    }
    if (out->name) {
        names->kinds[names->steps.n] = (unsigned char) (out->title ? out->kind : PLAN_STEP_COUNT);
        strv_push(&names->steps, out->name);
    }
}
