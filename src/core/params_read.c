/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the metadata of one parameter, of a task or a plan. */
#include "muster/core/params.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/core/json.h"
#include "muster/core/suggest.h"
#include "ptype.h"

#include <string.h>

#define NAME_MAX_BYTES 100 /* LIMIT */

static bool name_ok(const char *name)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyz", rest[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

    return *name && strchr(first, *name) && strspn(name, rest) == strlen(name) &&
           strlen(name) <= NAME_MAX_BYTES;
}

struct near_key {
    const char *const *keys;
    size_t n;
    char *fault;
};

static int look_at_key(const char *key, struct json *value, void *ctx)
{
    struct near_key *look = ctx;
    const char *near = suggest_nearest(key, look->keys, look->n);
    bool same = near && strcmp(near, key) == 0;

    for (size_t i = 0; i < look->n && !same; i++)
        same = strcmp(look->keys[i], key) == 0;
    if (near && !same)
        look->fault = x_asprintf("%.100s: there is no such key; did you mean %s?", key, near);
    return look->fault != NULL;
}

/* A text member, NULL where there is none; *wrong when it is something else. */
static const char *text_of(const struct json *spec, const char *key, bool *wrong)
{
    const struct json *value = json_get(spec, key);

    *wrong = value && !json_str(value);
    return json_str(value);
}

/* A key that is nearly one of ours was meant to be it: "sensitiv" must not let a secret through. */
char *near_key(const struct json *spec, const char *const *keys, size_t n)
{
    struct near_key look = {keys, n, NULL};

    if (json_type(spec) == JSON_OBJECT)
        json_each(spec, look_at_key, &look);
    return look.fault;
}

char *param_read(const char *name, const struct json *spec, bool of_plan, struct param *out)
{
    static const char *const keys[] = {"type", "description", "default", "sensitive"};
    struct err e = ERR_INIT;
    const struct json *flag = json_get(spec, "sensitive");
    const char *type;
    bool wrong;
    char *fault;

    *out = (struct param) {.name = x_strdup(name)};
    if (!name_ok(name))
        return x_strdup("its name has to begin with a lower-case letter and go on with letters, "
                        "digits and _");
    if (spec && json_type(spec) != JSON_OBJECT)
        return x_strdup("its description has to be an object");
    fault = near_key(spec, keys, ARRAY_LEN(keys));
    if (fault)
        return fault;
    type = text_of(spec, "type", &wrong);
    if (wrong)
        return x_strdup("its type has to be a text");
    out->type_text = x_strdup(type ? type : "Any");
    out->type = ptype_parse(out->type_text, &e);
    if (!out->type) {
        fault = X_STEAL(e.msg);
        err_clear(&e);
        return fault;
    }
    out->description = x_strdup(text_of(spec, "description", &wrong));
    if (wrong)
        return x_strdup("its description has to be a text");
    if (flag && json_type(flag) != JSON_BOOL)
        return x_strdup("sensitive has to be true or false");
    /* A type that asks for secrecy is heard too. */
    out->sensitive = json_bool(flag) || ptype_sensitive(out->type);
    out->fallback = json_copy(json_get(spec, "default"));
    out->required = !out->fallback && ((of_plan && !type) || !ptype_optional(out->type));
    fault = out->fallback ? ptype_fault(out->type, out->fallback) : NULL;
    if (fault) {
        char *text = x_asprintf("its default %s", fault);

        free(fault);
        return text;
    }
    return NULL;
}

void param_clear(struct param *p)
{
    free(p->name);
    free(p->type_text);
    free(p->description);
    ptype_free(p->type);
    json_free(p->fallback);
    *p = (struct param) {.name = NULL};
}
