/* SPDX-License-Identifier: Apache-2.0 */
/* What a task printed: an object with _output and _error, as Bolt understands it. All of it was said by a
 * node, and is raw. */
#include "muster/core/task.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/core/json.h"

#include <string.h>

/* The caller frees; NULL where there is nothing. */
static char *value_text(struct json *value)
{
    if (!value)
        return NULL;
    return x_strdup(json_str(value) ? json_str(value) : json_text(value, NULL));
}

static char *error_text(struct json *error)
{
    const char *kind = json_str(json_get(error, "kind"));
    char *msg = value_text(json_get(error, "msg")), *text;

    if (!msg)
        msg = json_type(error) == JSON_OBJECT && kind ? x_strdup("the task failed")
                                                      : value_text(error);
    if (!kind || !*kind)
        return msg;
    text = x_asprintf("%s (%s)", msg, kind);
    free(msg);
    return text;
}

static int add_rest(const char *name, struct json *value, void *ctx)
{
    struct strbuf *out = ctx;
    char *text;

    if (!strcmp(name, "_output") || !strcmp(name, "_error"))
        return 0;
    text = value_text(value);
    strbuf_addf(out, "%s%s: %s", out->len ? "\n" : "", name, text ? text : "null");
    free(text);
    return 0;
}

bool task_output_parse(const char *p, size_t n, struct task_output *out)
{
    struct json *root = NULL;
    struct strbuf rest;

    *out = (struct task_output) {.text = NULL};
    while (n && strchr(" \t\r\n", *p) && *p) {
        p++;
        n--;
    }
    if (n && n <= TASK_OUTPUT_MAX && *p == '{')
        root = json_parse(p, n, NULL);
    if (json_type(root) != JSON_OBJECT) {
        json_free(root);
        return false;
    }
    strbuf_init(&rest, 2 * TASK_OUTPUT_MAX);
    json_each(root, add_rest, &rest);
    out->text = value_text(json_get(root, "_output"));
    if (json_get(root, "_error"))
        out->error = error_text(json_get(root, "_error"));
    if (rest.len)
        out->rest = strbuf_steal(&rest);
    strbuf_free(&rest);
    json_free(root);
    return true;
}

void task_output_clear(struct task_output *o)
{
    free(o->text);
    free(o->error);
    free(o->rest);
    *o = (struct task_output) {.text = NULL};
}

static void add_part(struct strbuf *out, const char *before, const char *text)
{
    if (!text || !*text)
        return;
    if (out->len && out->s[out->len - 1] != '\n')
        strbuf_addch(out, '\n');
    strbuf_adds(out, before);
    strbuf_adds(out, text);
}

char *task_output_text(const char *p, size_t n)
{
    struct task_output o;
    struct strbuf out;

    if (!task_output_parse(p, n, &o))
        return NULL;
    strbuf_init(&out, 4 * TASK_OUTPUT_MAX);
    add_part(&out, "", o.text);
    add_part(&out, "", o.rest);
    add_part(&out, "error: ", o.error);
    if (out.len && out.s[out.len - 1] != '\n')
        strbuf_addch(&out, '\n');
    task_output_clear(&o);
    return strbuf_steal(&out);
}
