/* SPDX-License-Identifier: Apache-2.0 */
/* Checks what was given for parameters, all at once, and shows it. */
#include "muster/core/params.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/json.h"
#include "muster/core/suggest.h"
#include "ptype.h"

#include <stdint.h>
#include <string.h>

#define TEXT_MAX ((size_t) 64 << 10) /* LIMIT: of all parameters, for people */

void params_clear(struct params *p)
{
    for (size_t i = 0; i < p->n; i++)
        param_clear(&p->v[i]);
    free(p->v);
    *p = (struct params) {.v = NULL};
}

const struct param *params_find(const struct params *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++) {
        if (!strcmp(p->v[i].name, name))
            return &p->v[i];
    }
    return NULL;
}

/* Takes over text. */
static void add_fault(struct param_faults *out, const char *name, char *text)
{
    out->v = x_array(out->v, out->n + 1, sizeof *out->v);
    out->v[out->n].name = text_clean(name);
    out->v[out->n++].text = text;
}

struct given {
    const struct params *p;
    struct param_faults *out;
};

static char *unknown(const struct params *p, const char *name)
{
    const char **names, *near;
    char *text;

    if (!p->n)
        return x_strdup("is not known: it takes no parameters");
    names = x_array(NULL, p->n, sizeof(const char *));
    for (size_t i = 0; i < p->n; i++)
        names[i] = p->v[i].name;
    near = suggest_nearest(name, names, p->n);
    if (near) {
        text = x_asprintf("there is no such parameter (did you mean %s?)", near);
    } else {
        struct strbuf all;

        strbuf_init(&all, 300);
        for (size_t i = 0; i < p->n; i++)
            strbuf_addf(&all, "%s%s", i ? ", " : "", names[i]);
        text = x_asprintf("there is no such parameter; there are %s%s", all.s,
                          all.truncated ? ".." : "");
        strbuf_free(&all);
    }
    free(names);
    return text;
}

static int check_given(const char *name, struct json *value, void *ctx)
{
    struct given *g = ctx;
    const struct param *param = params_find(g->p, name);
    char *fault;

    if (*name == '_') {
        add_fault(g->out, name,
                  x_strdup("is a setting of the run and no parameter: leave it out, and use the "
                           "options of the command line"));
        return 0;
    }
    if (!param) {
        if (!g->p->any)
            add_fault(g->out, name, unknown(g->p, name));
        return 0;
    }
    if (!value && (param->fallback || !param->required))
        return 0;
    fault = ptype_fault(param->type, value);
    if (fault && (param->sensitive || g->p->hide)) { /* nothing of the value is told */
        char *want = ptype_expects(param->type);

        free(fault);
        fault = x_asprintf("expects %s", want);
        free(want);
    }
    if (fault)
        add_fault(g->out, name, fault);
    return 0;
}

void params_check(const struct params *p, const struct json *values, const struct strv *given_later,
                  struct param_faults *out)
{
    struct given g = {p, out};

    *out = (struct param_faults) {.v = NULL};
    json_each(values, check_given, &g);
    for (size_t i = 0; i < p->n; i++) {
        const struct param *param = &p->v[i];

        if (!param->required || json_has(values, param->name) ||
            (given_later && strv_has(given_later, param->name)))
            continue;
        char *want = ptype_expects(param->type);
        add_fault(out, param->name, x_asprintf("is required: %s", want));
        free(want);
    }
}

void param_faults_clear(struct param_faults *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free(f->v[i].name);
        free(f->v[i].text);
    }
    free(f->v);
    *f = (struct param_faults) {.v = NULL};
}

int param_faults_err(const struct param_faults *f, const char *what, struct err *e)
{
    struct strbuf details;

    if (!f->n)
        return 0;
    if (f->n == 1)
        err_set(e, ERR_VALIDATION, "%s: the parameter %s: %s", what, f->v[0].name, f->v[0].text);
    else
        err_set(e, ERR_VALIDATION, "%s: %zu parameters are wrong, the first is %s: %s", what, f->n,
                f->v[0].name, f->v[0].text);
    strbuf_init(&details, 0);
    for (size_t i = 0; i < f->n; i++)
        strbuf_addf(&details, "%s%s: %s", i ? "\n" : "", f->v[i].name, f->v[i].text);
    err_details(e, strbuf_steal(&details));
    return -ERR_VALIDATION;
}

void params_defaults(const struct params *p, struct json *values)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->v[i].fallback && !json_get(values, p->v[i].name))
            json_put(values, p->v[i].name, json_copy(p->v[i].fallback));
    }
}

struct shown {
    const struct params *p;
    struct strbuf *out;
};

/* Whether the shell, and a person, reads it as one word without quotes. */
static bool is_word(const char *s)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+,=";

    return *s && strspn(s, plain) == strlen(s);
}

static int show(const char *name, struct json *value, void *ctx)
{
    struct shown *s = ctx;
    const struct param *param = params_find(s->p, name);
    const char *text = json_str(value);
    char *clean = text_clean(name);

    strbuf_addf(s->out, "%s%s=", s->out->len ? " " : "", clean);
    free(clean);
    if (param && param->sensitive) {
        strbuf_adds(s->out, "***");
        return 0;
    }
    clean = text_clean(text ? text : value ? json_text(value, NULL) : "null");
    if (is_word(clean))
        strbuf_adds(s->out, clean);
    else
        text_sh_quote(s->out, clean);
    free(clean);
    return 0;
}

char *params_text(const struct params *p, const struct json *values)
{
    struct strbuf out;
    struct shown s = {p, &out};

    strbuf_init(&out, TEXT_MAX);
    json_each(values, show, &s);
    return strbuf_steal(&out);
}
