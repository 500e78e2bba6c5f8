/* SPDX-License-Identifier: Apache-2.0 */
/* Values of a plan: read from YAML, and what they mean where the references are known. */
#include "plan_value.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/json.h"
#include "muster/core/yaml.h"

#include <stdint.h>
#include <string.h>

#define TEXT_MAX ((size_t) 4 << 20) /* LIMIT: of a value that is filled in */

void plan_value_free(struct plan_value *v)
{
    if (!v)
        return;
    for (size_t i = 0; i < v->n_pieces; i++) {
        free(v->pieces[i].text);
        plan_ref_free(v->pieces[i].ref);
    }
    for (size_t i = 0; i < v->n_items; i++) {
        plan_value_free(v->items[i]);
        if (v->keys)
            free(v->keys[i]);
    }
    free(v->pieces);
    free(v->items);
    free(v->keys);
    free(v->as_text);
    json_free(v->literal);
    free(v);
}

/* A plain scalar is what YAML takes it for. */
static struct json *scalar_json(const struct yaml_node *node, const struct plan_value *v)
{
    struct json *value;
    char *text;

    if (!v->as_text)
        return NULL;
    if (!node->plain)
        return json_of_str(v->as_text, strlen(v->as_text));
    text = yaml_to_json(node);
    value = json_parse(text, strlen(text), NULL);
    free(text);
    return value;
}

struct plan_value *plan_value_read(const struct yaml_node *node, struct plan_names *names,
                                   struct plan_faults *f)
{
    struct plan_value *v = x_calloc(1, sizeof *v);

    if (++names->n_values > PLAN_VALUES_MAX) {
        if (names->n_values == PLAN_VALUES_MAX + 1)
            plan_fault(f, node->line, "the plan has more than %zu values", PLAN_VALUES_MAX);
        return v;
    }
    if (node->kind == YAML_SCALAR) {
        plan_refs_read(node, names, f, v);
        if (v->kind == PLAN_VALUE_LITERAL)
            v->literal = scalar_json(node, v);
        return v;
    }
    v->kind = node->kind == YAML_MAPPING ? PLAN_VALUE_MAP : PLAN_VALUE_LIST;
    v->items = x_calloc(node->n + 1, sizeof(struct plan_value *));
    if (v->kind == PLAN_VALUE_MAP)
        v->keys = x_calloc(node->n + 1, sizeof(char *));
    for (size_t i = 0; i < node->n && names->n_values <= PLAN_VALUES_MAX; i++) {
        if (v->keys)
            v->keys[i] = x_strdup(node->keys[i]->scalar);
        v->items[v->n_items++] = plan_value_read(node->items[i], names, f);
    }
    return v;
}

static int no_key(const struct plan_ref *ref, const struct plan_key *key, const char *why,
                  struct err *e)
{
    char *name = text_clean(key->key ? key->key : "");

    if (key->key)
        err_set(e, ERR_VALIDATION, "$%s: there is no ['%.100s']%s", ref->name, name, why);
    else
        err_set(e, ERR_VALIDATION, "$%s: there is no [%ld]%s", ref->name, key->index, why);
    free(name);
    return -ERR_VALIDATION;
}

/* What a reference means, borrowed; NULL is undef. */
static int look_up(const struct plan_ref *ref, const struct plan_scope *scope,
                   const struct json **out, struct err *e)
{
    const struct json *at = ref->of_step ? scope->results : scope->params;

    if (ref->of_step && !json_has(at, ref->name))
        return err_set(e, ERR_VALIDATION, "$%s: the step has no result on this node", ref->name);
    at = json_get(at, ref->name);
    for (size_t i = 0; i < ref->n_keys; i++) {
        const struct plan_key *key = &ref->keys[i];
        enum json_type type = json_type(at);

        if (key->key) {
            if (type != JSON_OBJECT)
                return no_key(ref, key, ": it is no hash", e);
            if (!json_has(at, key->key))
                return no_key(ref, key, "", e);
            at = json_get(at, key->key);
        } else {
            size_t n = json_len(at);
            size_t index = key->index < 0 ? n - (size_t) -key->index : (size_t) key->index;

            if (type != JSON_ARRAY)
                return no_key(ref, key, ": it is no array", e);
            if (index >= n)
                return no_key(ref, key, "", e);
            at = json_at(at, index);
        }
    }
    *out = at;
    return 0;
}

static void join_targets(struct strbuf *out, const struct json *value)
{
    for (size_t i = 0; i < json_len(value); i++) {
        const struct json *one = json_at(value, i);

        if (i)
            strbuf_addch(out, ',');
        if (json_type(one) == JSON_ARRAY)
            join_targets(out, one);
        else if (json_str(one))
            strbuf_adds(out, json_str(one));
    }
}

static void add_value(struct strbuf *out, const struct plan_ref *ref, const struct json *value,
                      bool quote)
{
    struct strbuf text;

    strbuf_init(&text, TEXT_MAX);
    if (json_str(value))
        strbuf_adds(&text, json_str(value));
    else if (ref && ref->of_targets && json_type(value) == JSON_ARRAY)
        join_targets(&text, value);
    else if (value)
        strbuf_adds(&text, json_text((struct json *) (uintptr_t) value, NULL));
    if (quote)
        text_sh_quote(out, text.s);
    else
        strbuf_adds(out, text.s);
    out->truncated |= text.truncated;
    strbuf_free(&text);
}

static int fill_in(const struct plan_value *v, const struct plan_scope *scope, bool quote,
                   struct strbuf *out, struct err *e)
{
    for (size_t i = 0; i < v->n_pieces; i++) {
        const struct plan_piece *p = &v->pieces[i];
        const struct json *value = NULL;
        int rc;

        if (!p->ref) {
            strbuf_adds(out, p->text);
            continue;
        }
        rc = look_up(p->ref, scope, &value, e);
        if (rc)
            return rc;
        add_value(out, p->ref, value, quote && p->ref->of_step);
    }
    if (out->truncated)
        return err_set(e, ERR_VALIDATION, "a text with what it refers to is larger than 4 MiB");
    return 0;
}

static int text_json(const struct plan_value *v, const struct plan_scope *scope, struct json **out,
                     struct err *e)
{
    struct strbuf text;
    int rc;

    strbuf_init(&text, TEXT_MAX);
    rc = fill_in(v, scope, false, &text, e);
    if (!rc)
        *out = json_of_str(text.s, text.len);
    strbuf_free(&text);
    return rc;
}

static int value_json(const struct plan_value *v, const struct plan_scope *scope, size_t *room,
                      struct json **out, struct err *e);

static int items_json(const struct plan_value *v, const struct plan_scope *scope, size_t *room,
                      struct json **out, struct err *e)
{
    struct json *all = v->keys ? json_object() : json_array();
    int rc = 0;

    for (size_t i = 0; i < v->n_items && !rc; i++) {
        struct json *one = NULL;

        rc = value_json(v->items[i], scope, room, &one, e);
        if (rc)
            break;
        if (v->keys)
            json_put(all, v->keys[i], one);
        else
            json_add(all, one);
    }
    if (rc)
        json_free(all);
    else
        *out = all;
    return rc;
}

/* A few references to references would fill any memory. */
static int take_room(const struct json *value, size_t *room, struct err *e)
{
    size_t weight = json_weight(value);

    if (weight > *room)
        return err_set(e, ERR_VALIDATION, "a value with what it refers to is larger than 4 MiB");
    *room -= weight;
    return 0;
}

/* room: bytes that it may still take. */
static int value_json(const struct plan_value *v, const struct plan_scope *scope, size_t *room,
                      struct json **out, struct err *e)
{
    const struct json *found = NULL;
    int rc;

    *out = NULL;
    switch (v->kind) {
    case PLAN_VALUE_LITERAL:
        *out = json_copy(v->literal);
        return 0;
    case PLAN_VALUE_REF:
        rc = look_up(v->pieces[0].ref, scope, &found, e);
        if (!rc)
            rc = take_room(found, room, e);
        if (!rc)
            *out = json_copy(found);
        return rc;
    case PLAN_VALUE_TEXT:
        rc = text_json(v, scope, out, e);
        if (!rc)
            rc = take_room(*out, room, e);
        if (rc)
            json_free(X_STEAL(*out));
        return rc;
    case PLAN_VALUE_LIST:
    case PLAN_VALUE_MAP:
        return items_json(v, scope, room, out, e);
    }
    return 0;
}

int plan_value_json(const struct plan_value *v, const struct plan_scope *scope, struct json **out,
                    struct err *e)
{
    size_t room = TEXT_MAX;

    return value_json(v, scope, &room, out, e);
}

struct json *plan_value_known(const struct plan_value *v, const struct plan_scope *scope,
                              struct strv *later, struct err *e)
{
    struct json *all = json_object();

    for (size_t i = 0; v->keys && i < v->n_items; i++) {
        struct json *one = NULL;

        if (plan_value_by_node(v->items[i]) || (!scope->params && !plan_value_fixed(v->items[i]))) {
            strv_push(later, v->keys[i]);
            continue;
        }
        if (plan_value_json(v->items[i], scope, &one, e)) {
            json_free(all);
            return NULL;
        }
        json_put(all, v->keys[i], one);
    }
    return all;
}

char *plan_value_text(const struct plan_value *v, const struct plan_scope *scope, struct err *e)
{
    struct strbuf out;
    int rc = 0;

    strbuf_init(&out, TEXT_MAX);
    if (v->kind == PLAN_VALUE_LITERAL) {
        strbuf_adds(&out, v->as_text ? v->as_text : "");
    } else if (v->kind == PLAN_VALUE_REF || v->kind == PLAN_VALUE_TEXT) {
        rc = fill_in(v, scope, scope->quote_results, &out, e);
    } else {
        struct json *all = NULL;

        rc = plan_value_json(v, scope, &all, e);
        if (!rc)
            add_value(&out, NULL, all, scope->quote_results && plan_value_by_node(v));
        json_free(all);
    }
    if (!rc)
        return strbuf_steal(&out);
    strbuf_free(&out);
    return NULL;
}

char *plan_value_template(const struct plan_value *v, const struct plan_scope *scope)
{
    struct strbuf out;

    strbuf_init(&out, TEXT_MAX);
    if (v->kind == PLAN_VALUE_LITERAL)
        strbuf_adds(&out, v->as_text ? v->as_text : "");
    for (size_t i = 0; i < v->n_pieces; i++) {
        const struct plan_piece *p = &v->pieces[i];
        const struct json *value = NULL;
        struct err e = ERR_INIT;

        if (!p->ref)
            strbuf_adds(&out, p->text);
        else if (p->ref->of_step)
            strbuf_addf(&out, "$%s", p->ref->name);
        else if (!look_up(p->ref, scope, &value, &e))
            add_value(&out, p->ref, value, false);
        err_clear(&e);
    }
    return strbuf_steal(&out);
}

static void show_ref(struct strbuf *out, const struct plan_ref *ref)
{
    strbuf_addf(out, "$%s", ref->name);
    for (size_t i = 0; i < ref->n_keys; i++) {
        if (ref->keys[i].key)
            strbuf_addf(out, "['%s']", ref->keys[i].key);
        else
            strbuf_addf(out, "[%ld]", ref->keys[i].index);
    }
}

static void show(struct strbuf *out, const struct plan_value *v)
{
    bool many = v->kind == PLAN_VALUE_LIST || v->kind == PLAN_VALUE_MAP;

    if (v->kind == PLAN_VALUE_LITERAL)
        strbuf_adds(out, v->as_text ? v->as_text : v->literal ? json_text(v->literal, NULL) : "");
    for (size_t i = 0; i < v->n_pieces; i++) {
        if (v->pieces[i].ref)
            show_ref(out, v->pieces[i].ref);
        else
            strbuf_adds(out, v->pieces[i].text);
    }
    if (many)
        strbuf_addch(out, v->keys ? '{' : '[');
    for (size_t i = 0; i < v->n_items; i++) {
        strbuf_adds(out, i ? ", " : "");
        if (v->keys)
            strbuf_addf(out, "%s: ", v->keys[i]);
        show(out, v->items[i]);
    }
    if (many)
        strbuf_addch(out, v->keys ? '}' : ']');
}

char *plan_value_shown(const struct plan_value *v)
{
    struct strbuf out;

    strbuf_init(&out, TEXT_MAX);
    show(&out, v);
    return strbuf_steal(&out);
}

static char *template_item(const struct plan_value *v, const struct plan_scope *scope)
{
    struct err e = ERR_INIT;
    struct json *value = NULL;
    char *text;

    if (!plan_value_by_node(v) && !plan_value_json(v, scope, &value, &e))
        text = x_strdup(!value ? "" : json_str(value) ? json_str(value) : json_text(value, NULL));
    else if (v->kind == PLAN_VALUE_LIST || v->kind == PLAN_VALUE_MAP)
        text = plan_value_shown(v);
    else
        text = plan_value_template(v, scope);
    json_free(value);
    err_clear(&e);
    return text;
}

void plan_value_template_items(const struct plan_value *v, const struct plan_scope *scope,
                               struct strv *out)
{
    struct err e = ERR_INIT;
    struct json *list = NULL;

    if (v->kind == PLAN_VALUE_LIST) {
        for (size_t i = 0; i < v->n_items; i++)
            strv_push_own(out, template_item(v->items[i], scope));
        return;
    }
    if (plan_value_by_node(v))
        strv_push_own(out, plan_value_template(v, scope));
    else if (!plan_value_json(v, scope, &list, &e) && json_type(list) == JSON_ARRAY)
        for (size_t i = 0; i < json_len(list); i++) {
            struct json *x = json_at(list, i);

            strv_push(out, !x ? "" : json_str(x) ? json_str(x) : json_text(x, NULL));
        }
    json_free(list);
    err_clear(&e);
}

bool plan_value_is_map(const struct plan_value *v)
{
    return v->kind == PLAN_VALUE_MAP;
}

bool plan_value_fixed(const struct plan_value *v)
{
    bool fixed = true;

    if (!v)
        return true;
    for (size_t i = 0; i < v->n_pieces && fixed; i++)
        fixed = !v->pieces[i].ref;
    for (size_t i = 0; i < v->n_items && fixed; i++)
        fixed = plan_value_fixed(v->items[i]);
    return fixed;
}

bool plan_value_by_node(const struct plan_value *v)
{
    bool found = false;

    if (!v)
        return false;
    for (size_t i = 0; i < v->n_pieces && !found; i++)
        found = v->pieces[i].ref && v->pieces[i].ref->of_step;
    for (size_t i = 0; i < v->n_items && !found; i++)
        found = plan_value_by_node(v->items[i]);
    return found;
}

bool plan_value_names(const struct plan_value *v, const char *name)
{
    bool found = false;

    if (!v)
        return false;
    for (size_t i = 0; i < v->n_pieces && !found; i++)
        found = v->pieces[i].ref && strcmp(v->pieces[i].ref->name, name) == 0;
    for (size_t i = 0; i < v->n_items && !found; i++)
        found = plan_value_names(v->items[i], name);
    return found;
}
