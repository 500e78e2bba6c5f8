/* SPDX-License-Identifier: Apache-2.0 */
/* What is given to a task or a plan: collecting it, with the sensitive parameters apart, checking it,
 * its text, and its place in the store. */
#include "work.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/secret.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/json.h"

#include <ctype.h>
#include <string.h>
#include <unistd.h>

#define MARK "***" /* stands for a sensitive value wherever it is shown */

void work_request_init(struct work_request *w)
{
    memset(w, 0, sizeof *w);
    w->on_failure = -1;
}

void work_request_clear(struct work_request *w)
{
    free(w->name);
    json_free(w->params);
    secret_unref(w->secret);
    strv_clear(&w->secret_names);
    free(w->hash);
    free(w->first_step);
    free(w->targets);
    work_request_init(w);
}

int work_faults(struct strbuf *faults, const char *what, struct err *e)
{
    int rc = 0;
    if (faults->len) {
        CLEANUP_FREE char *first = x_strndup(faults->s, strcspn(faults->s, "\n"));
        rc = err_set(e, ERR_VALIDATION, "%s: %s", what, first);
        err_details(e, strbuf_steal(faults));
    }
    strbuf_free(faults);
    return rc;
}

/* --- values --- */

static void wipe_text(const char *text)
{
    if (text)
        secret_wipe((char *) (uintptr_t) text, strlen(text));
}

static int wipe_member(const char *key, struct json *value, void *ctx);

static void wipe_strings(struct json *j)
{
    if (json_type(j) == JSON_STRING)
        wipe_text(json_str(j));
    else if (json_type(j) == JSON_OBJECT)
        json_each(j, wipe_member, NULL);
    else if (json_type(j) == JSON_ARRAY)
        for (size_t i = 0; i < json_len(j); i++)
            wipe_strings(json_at(j, i));
}

static int wipe_member(const char *key, struct json *value, void *ctx)
{
    wipe_strings(value);
    return 0;
}

void work_wipe(struct json *values)
{
    if (!values)
        return;
    wipe_strings(values);
    json_free(values);
}

/* The value is copied: an object's own cannot be in two. */
static int put_copy(const char *key, struct json *value, void *ctx)
{
    struct json *o = ctx;
    json_put(o, key, json_copy(value));
    return 0;
}

static struct json *secret_values(const struct work_request *w)
{
    struct json *o = w->secret ? json_parse(secret_text(w->secret), secret_len(w->secret), NULL)
                               : NULL;
    return o ? o : json_object();
}

struct json *work_values(const struct work_request *w)
{
    struct json *all = json_object(), *secret = secret_values(w);
    if (w->params)
        json_each(w->params, put_copy, all);
    json_each(secret, put_copy, all);
    work_wipe(secret);
    return all;
}

const char *work_unasked(const struct work_request *w)
{
    struct json *have = secret_values(w);
    const char *missing = NULL;
    for (size_t i = 0; i < w->secret_names.n && !missing; i++)
        if (!json_get(have, w->secret_names.v[i]))
            missing = w->secret_names.v[i];
    work_wipe(have);
    return missing;
}

static int too_long(size_t n, struct err *e)
{
    return err_set(e, ERR_VALIDATION, "the parameters have %zu bytes as JSON; at most %zu are possible: "
                   "send a file first (muster push)", n, WORK_PARAMS_MAX);
}

/* Takes value over. */
static int put_secret(struct work_request *w, const char *name, struct json *value, struct err *e)
{
    struct json *all = secret_values(w);
    size_t n;
    int rc = 0;
    json_put(all, name, value);
    const char *text = json_text(all, &n);
    if (n > WORK_PARAMS_MAX) {
        rc = too_long(n, e);
    } else {
        secret_unref(w->secret);
        w->secret = secret_new_large(text, n);
        if (!strv_has(&w->secret_names, name))
            strv_push(&w->secret_names, name);
    }
    wipe_text(text);
    work_wipe(all);
    return rc;
}

/* The same. */
static int put_plain(struct work_request *w, const char *name, struct json *value)
{
    if (!w->params)
        w->params = json_object();
    json_put(w->params, name, value);
    return 0;
}

static struct json *value_of(const struct param *x, const char *text)
{
    return x && x->type ? ptype_value(x->type, text) : json_of_str(text, strlen(text));
}

static int check_utf8(const char *name, const char *text, struct err *e)
{
    if (utf8_valid(name, strlen(name)) && utf8_valid(text, strlen(text)))
        return 0;
    CLEANUP_FREE char *clean = text_clean(name);
    return err_set(e, ERR_VALIDATION, "parameter %s: its value is not valid UTF-8", clean);
}

int work_set(struct work_request *w, const struct params *p, const char *item, struct err *e)
{
    size_t n = strcspn(item, "=");
    CLEANUP_FREE char *name = x_strndup(item, n);
    if (!item[n] || !n) {
        CLEANUP_FREE char *clean = text_clean(item);
        return err_set(e, ERR_VALIDATION, "%s is no parameter: NAME=VALUE is wanted", clean);
    }
    const struct param *x = params_find(p, name);
    if (x && x->sensitive)
        return err_set(e, ERR_VALIDATION, "%s is sensitive, and a command line can be read by others: it is "
                       "asked for, or give it by --params FILE", name);
    if (check_utf8(name, item + n + 1, e) != 0)
        return -ERR_VALIDATION;
    return put_plain(w, name, value_of(x, item + n + 1));
}

int work_set_secret(struct work_request *w, const struct params *p, const char *name,
                    const struct secret *value, struct err *e)
{
    if (check_utf8(name, secret_text(value), e) != 0)
        return -ERR_VALIDATION;
    return put_secret(w, name, value_of(params_find(p, name), secret_text(value)), e);
}

struct setting_all {
    struct work_request *w;
    const struct params *p;
    struct err *e;
};

static int set_member(const char *key, struct json *value, void *ctx)
{
    struct setting_all *a = ctx;
    const struct param *x = params_find(a->p, key);
    struct json *copy = json_copy(value);
    if ((x && x->sensitive) || strv_has(&a->w->secret_names, key))
        return put_secret(a->w, key, copy, a->e);
    return put_plain(a->w, key, copy);
}

int work_set_json(struct work_request *w, const struct params *p, const struct json *values,
                  struct err *e)
{
    if (json_type(values) != JSON_OBJECT)
        return err_set(e, ERR_VALIDATION, "parameters: a JSON object is wanted, {\"NAME\": VALUE, ..}");
    struct setting_all a = {w, p, e};
    return json_each(values, set_member, &a);
}

/* --- checking --- */

static bool is_name(const char *s)
{
    for (const char *p = s; *p; p++)
        if (!isascii((unsigned char) *p) || (!isalnum((unsigned char) *p) && *p != '_'))
            return false;
    return *s && !isdigit((unsigned char) *s);
}

static int check_name(const char *key, struct json *value, void *ctx)
{
    struct param_faults *out = ctx;
    if (is_name(key)) /* params_check() refuses those that begin with _ */
        return 0;
    out->v = x_array(out->v, out->n + 1, sizeof *out->v);
    out->v[out->n++] = (struct param_fault){
        text_clean(key), x_strdup("is no name: letters, digits and _, a letter first")};
    return 0;
}

void work_check(const struct work_request *w, const struct params *p, struct param_faults *out)
{
    struct json *all = work_values(w);
    params_check(p, all, &w->secret_names, out);
    if (p->any)
        json_each(all, check_name, out);
    work_wipe(all);
}

/* --- its text --- */

char *work_text(const struct work_request *w, const struct params *p)
{
    struct strbuf b;
    strbuf_init(&b, 0);
    strbuf_adds(&b, w->name ? w->name : "");
    CLEANUP_FREE char *given = w->params ? params_text(p, w->params) : x_strdup("");
    if (given && *given)
        strbuf_addf(&b, " %s", given);
    for (size_t i = 0; i < w->secret_names.n; i++)
        if (!w->params || !json_get(w->params, w->secret_names.v[i]))
            strbuf_addf(&b, " %s=" MARK, w->secret_names.v[i]);
    return strbuf_steal(&b);
}

/* --- the store --- */

struct without {
    struct json *o;
    const struct strv *secret;
};

static int put_seen(const char *key, struct json *value, void *ctx)
{
    struct without *x = ctx;
    return strv_has(x->secret, key) ? 0 : put_copy(key, value, x->o);
}

/* A path stays true when the batch is run again from another folder. */
static char *lasting_name(const char *name)
{
    char *real = access(name, F_OK) == 0 ? realpath(name, NULL) : NULL;
    return real ? real : x_strdup(name);
}

struct json *work_encode(const struct work_request *w, const char *hash)
{
    struct json *o = json_object();
    struct without seen = {json_object(), &w->secret_names};
    CLEANUP_FREE char *name = lasting_name(w->name ? w->name : "");
    json_put_str(o, "name", name);
    if (w->params)
        json_each(w->params, put_seen, &seen);
    json_put(o, "params", seen.o);
    if (w->secret_names.n) {
        struct json *names = json_array();
        for (size_t i = 0; i < w->secret_names.n; i++)
            json_add_str(names, w->secret_names.v[i]);
        json_put(o, "secret", names);
    }
    if (w->on_failure >= 0)
        json_put_str(o, "onFailure", w->on_failure == PLAN_STOP ? "stop" : "continue");
    if (hash && *hash)
        json_put_str(o, "hash", hash);
    if (w->targets)
        json_put_str(o, "targets", w->targets);
    if (w->results_of)
        json_put_int(o, "resultsOf", w->results_of);
    return o;
}

bool work_decode(const struct json *o, struct work_request *w)
{
    const struct json *names = json_get(o, "secret"), *params = json_get(o, "params");
    const char *name = json_str(json_get(o, "name"));
    const char *on_failure = json_str(json_get(o, "onFailure"));
    if (!name)
        return false;
    w->name = x_strdup(name);
    if (json_type(params) == JSON_OBJECT)
        w->params = json_copy(params);
    for (size_t i = 0; names && i < json_len(names); i++)
        if (json_str(json_at(names, i)))
            strv_push(&w->secret_names, json_str(json_at(names, i)));
    if (on_failure)
        w->on_failure = strcmp(on_failure, "stop") == 0 ? PLAN_STOP : PLAN_CONTINUE;
    w->hash = x_strdup(json_str(json_get(o, "hash")));
    w->targets = x_strdup(json_str(json_get(o, "targets")));
    return true;
}
