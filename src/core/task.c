/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a task's metadata. */
#include "muster/core/task.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/json.h"
#include "ptype.h"

#include <stdio.h>
#include <string.h>

#define METADATA_MAX ((size_t) 1 << 20) /* LIMIT */
#define LIST_MAX 200                    /* LIMIT: implementations, files, requirements of one */
#define FAULTS_MAX 100

static const char *const input_names[] = {
#define INPUT(id, name) [TASK_INPUT_##id] = name,
    TASK_INPUT_TABLE(INPUT)
#undef INPUT
};

const char *task_input_name(enum task_input i)
{
    return (size_t) i < ARRAY_LEN(input_names) ? input_names[i] : "both";
}

struct reader {
    struct task *t;
    struct strv faults;
};

static void fault(struct reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void fault(struct reader *r, const char *fmt, ...)
{
    va_list ap;
    char *text;

    if (r->faults.n >= FAULTS_MAX)
        return;
    va_start(ap, fmt);
    text = x_vasprintf(fmt, ap);
    va_end(ap);
    strv_push_own(&r->faults, text_clean(text));
    free(text);
}

static char *read_text(struct reader *r, const struct json *obj, const char *key)
{
    const struct json *value = json_get(obj, key);

    if (value && !json_str(value))
        fault(r, "%s: has to be a text", key);
    return x_strdup(json_str(value));
}

static bool read_flag(struct reader *r, const struct json *obj, const char *key)
{
    const struct json *value = json_get(obj, key);

    if (value && json_type(value) != JSON_BOOL)
        fault(r, "%s: has to be true or false", key);
    return json_bool(value);
}

static bool for_powershell(const struct json *obj)
{
    const char *name = json_str(json_get(obj, "input_method"));

    return name && !strcmp(name, "powershell");
}

/* An implementation that says for itself what it reads may stand beside those of Windows. */
static void refuse_powershell(struct reader *r, const struct json *root)
{
    const struct json *list = json_get(root, "implementations");
    size_t own = 0;

    if (!for_powershell(root))
        return;
    for (size_t i = 0; json_type(list) == JSON_ARRAY && i < json_len(list); i++)
        own += json_has(json_at(list, i), "input_method");
    if (!own || own < json_len(list))
        fault(r, "input_method: powershell is for Windows nodes, which are not known here: stdin, "
                 "environment or both are");
}

/* -1: it says nothing, or that PowerShell is to read it, which is for others to judge. */
static int read_input(struct reader *r, const struct json *obj, const char *where)
{
    const struct json *value = json_get(obj, "input_method");
    const char *name = json_str(value);

    for (size_t i = 0; name && i < ARRAY_LEN(input_names); i++) {
        if (!strcmp(name, input_names[i]))
            return (int) i;
    }
    if (value && !for_powershell(obj))
        fault(r, "%sinput_method: has to be stdin, environment or both", where);
    return -1;
}

static void read_list(struct reader *r, const struct json *obj, const char *key, const char *where,
                      struct strv *out)
{
    const struct json *list = json_get(obj, key);
    size_t n = json_len(list);

    if ((list && json_type(list) != JSON_ARRAY) || n > LIST_MAX) {
        fault(r, "%s%s: has to be a list of at most %d texts", where, key, LIST_MAX);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const char *s = json_str(json_at(list, i));

        if (s && *s)
            strv_push(out, s);
        else
            fault(r, "%s%s: each has to be a text that is not empty", where, key);
    }
}

/* "MODULE/files/x", "MODULE/lib/dir/": a path within the folder of modules, and nowhere else. */
static void read_files(struct reader *r, const struct json *obj, const char *where,
                       struct strv *out)
{
    read_list(r, obj, "files", where, out);
    for (size_t i = 0; i < out->n; i++) {
        const char *s = out->v[i];
        size_t n = strlen(s);

        if (*s == '/' || !strchr(s, '/') || !strncmp(s, "../", 3) || !strncmp(s, "./", 2) ||
            strstr(s, "/../") || strstr(s, "/./") || strstr(s, "//") ||
            (n > 2 && !strcmp(s + n - 3, "/..")))
            fault(r, "%sfiles: \"%.100s\" has to be a path as MODULE/files/NAME", where, s);
    }
}

static void read_impl(struct reader *r, const struct json *spec, size_t i)
{
    struct task_impl *impl = &r->t->impls[i];
    char where[40];

    snprintf(where, sizeof where, "implementations[%zu]: ", i);
    if (json_type(spec) != JSON_OBJECT) {
        fault(r, "%shas to be an object", where);
        return;
    }
    impl->name = x_strdup(json_str(json_get(spec, "name")));
    if (!impl->name || !*impl->name || strchr(impl->name, '/') || *impl->name == '.')
        fault(r, "%sname: has to be the name of a file beside the metadata", where);
    read_list(r, spec, "requirements", where, &impl->requirements);
    read_files(r, spec, where, &impl->files);
    impl->input = read_input(r, spec, where);
}

static void read_impls(struct reader *r, const struct json *root)
{
    const struct json *list = json_get(root, "implementations");
    size_t n = json_len(list);

    if ((list && json_type(list) != JSON_ARRAY) || n > LIST_MAX) {
        fault(r, "implementations: has to be a list of at most %d", LIST_MAX);
        return;
    }
    if (!n)
        return;
    r->t->impls = x_calloc(n, sizeof *r->t->impls);
    r->t->n_impls = n;
    for (size_t i = 0; i < n; i++)
        r->t->impls[i].input = -1;
    for (size_t i = 0; i < n; i++)
        read_impl(r, json_at(list, i), i);
}

static int read_param(const char *name, struct json *spec, void *ctx)
{
    struct reader *r = ctx;
    struct params *p = &r->t->params;
    char *wrong;

    if (p->n == PARAMS_MAX) {
        fault(r, "parameters: more than %d", PARAMS_MAX);
        return 1;
    }
    p->v = x_array(p->v, p->n + 1, sizeof *p->v);
    wrong = param_read(name, spec, false, &p->v[p->n++]);
    if (wrong)
        fault(r, "the parameter %s: %s", name, wrong);
    free(wrong);
    return 0;
}

static const char *const metadata_keys[] = {
    "description", "input_method", "parameters", "implementations", "files", "supports_noop",
    "private", "remote", "extensions", "muster", "puppet_task_version"};

static int note_unknown(const char *key, struct json *value, void *ctx)
{
    struct reader *r = ctx;

    (void) value;
    for (size_t i = 0; i < ARRAY_LEN(metadata_keys); i++) {
        if (!strcmp(key, metadata_keys[i]))
            return 0;
    }
    if (r->t->unknown.n < LIST_MAX)
        strv_push(&r->t->unknown, key);
    return 0;
}

static void read_metadata(struct reader *r, const struct json *root)
{
    const struct json *params = json_get(root, "parameters");
    const struct json *version = json_get(root, "puppet_task_version");
    char *near = near_key(root, metadata_keys, ARRAY_LEN(metadata_keys));
    int input;

    if (near)
        fault(r, "%s", near);
    free(near);
    json_each(root, note_unknown, r);
    if (version && (json_type(version) != JSON_INT || json_int(version) != 1))
        fault(r, "puppet_task_version: only version 1 is known");
    r->t->description = read_text(r, root, "description");
    input = read_input(r, root, "");
    refuse_powershell(r, root);
    r->t->input = input < 0 ? TASK_INPUT_BOTH : (enum task_input) input;
    r->t->supports_noop = read_flag(r, root, "supports_noop");
    r->t->is_private = read_flag(r, root, "private");
    r->t->remote = read_flag(r, root, "remote");
    /* Bolt takes whatever is given where the metadata does not speak of parameters. */
    r->t->params.any = !params;
    if (params && json_type(params) != JSON_OBJECT)
        fault(r, "parameters: has to be an object");
    else
        json_each(params, read_param, r);
    read_files(r, root, "", &r->t->files);
    read_impls(r, root);
    r->t->retry_for = read_text(r, json_get(root, "muster"), "retry_for");
    if (r->t->retry_for && !params_find(&r->t->params, r->t->retry_for))
        fault(r, "muster: retry_for: there is no parameter %s", r->t->retry_for);
}

int task_parse(const char *text, size_t n, struct task *out, struct err *e)
{
    struct reader r = {.t = out};
    struct json *root;
    int rc = 0;

    *out = (struct task) {.name = NULL};
    if (n > METADATA_MAX)
        return err_set(e, ERR_VALIDATION, "the metadata is larger than 1 MiB");
    root = json_parse(text, n, e);
    if (!root)
        return -ERR_VALIDATION;
    if (json_type(root) == JSON_OBJECT)
        read_metadata(&r, root);
    else
        fault(&r, "the metadata has to be a JSON object");
    json_free(root);
    if (r.faults.n) {
        if (r.faults.n == 1)
            rc = err_set(e, ERR_VALIDATION, "%s", r.faults.v[0]);
        else
            rc = err_set(e, ERR_VALIDATION, "%s (and %zu more)", r.faults.v[0], r.faults.n - 1);
        err_details(e, strv_join(&r.faults, "\n"));
        task_clear(out);
    }
    strv_clear(&r.faults);
    return rc;
}

void task_clear(struct task *t)
{
    for (size_t i = 0; i < t->n_impls; i++) {
        free(t->impls[i].name);
        free(t->impls[i].path);
        strv_clear(&t->impls[i].requirements);
        strv_clear(&t->impls[i].files);
    }
    free(t->impls);
    free(t->name);
    free(t->description);
    free(t->retry_for);
    free(t->path);
    free(t->dir);
    params_clear(&t->params);
    strv_clear(&t->files);
    strv_clear(&t->unknown);
    *t = (struct task) {.name = NULL};
}
