/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the metadata of one parameter, of a task or a plan. */
#include "muster/core/params.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/core/json.h"
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

/* A text member, NULL where there is none; *wrong when it is something else. */
static const char *text_of(const struct json *spec, const char *key, bool *wrong)
{
    const struct json *value = json_get(spec, key);

    *wrong = value && !json_str(value);
    return json_str(value);
}

char *param_read(const char *name, const struct json *spec, bool of_plan, struct param *out)
{
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
    out->sensitive = json_bool(flag);
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
