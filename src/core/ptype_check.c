/* SPDX-License-Identifier: Apache-2.0 */
/* Checks values against types, says what is wrong for people, and reads what was typed. */
#include "muster/core/params.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/json.h"
#include "ptype.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define GOT_COLS 40
#define WORDS_SHOWN 20
#define TYPED_MAX ((size_t) 1 << 20) /* LIMIT: what is typed and read as JSON */

/* Where the check is, and what it found. */
struct check {
    struct strbuf path; /* "[2]['key']" */
    char *fault;        /* the first */
    bool quiet;         /* only whether there is one */
};

static void describe(struct strbuf *out, const struct ptype *t);

static void describe_range(struct strbuf *out, const struct ptype *t, const char *unit)
{
    char to[40] = "";

    if (t->has_max)
        snprintf(to, sizeof to, "%lld", (long long) t->max);
    if (t->has_min && t->has_max && t->min == t->max)
        strbuf_addf(out, "%s%s", to, unit);
    else if (t->has_min && t->has_max)
        strbuf_addf(out, "%lld to %s%s", (long long) t->min, to, unit);
    else if (t->has_min)
        strbuf_addf(out, "at least %lld%s", (long long) t->min, unit);
    else
        strbuf_addf(out, "at most %s%s", to, unit);
}

static void describe_number(struct strbuf *out, const struct ptype *t)
{
    bool both = t->has_min && t->has_max;

    if (t->kind == PT_FLOAT) {
        strbuf_adds(out, "a Float");
        if (t->has_min)
            strbuf_addf(out, both ? " from %g" : " of at least %g", t->fmin);
        if (t->has_max)
            strbuf_addf(out, both ? " to %g" : " of at most %g", t->fmax);
        return;
    }
    strbuf_adds(out, "an Integer");
    if (t->has_min || t->has_max)
        strbuf_adds(out, both && t->min != t->max ? " from " : " of ");
    if (t->has_min || t->has_max)
        describe_range(out, t, "");
}

static void describe_words(struct strbuf *out, const struct ptype *t)
{
    if (t->words.n > 1)
        strbuf_adds(out, "one of ");
    for (size_t i = 0; i < t->words.n && i < WORDS_SHOWN; i++)
        strbuf_addf(out, "%s%s", i ? ", " : "", t->words.v[i]);
    if (t->words.n > WORDS_SHOWN)
        strbuf_adds(out, ", ..");
}

static void describe_pattern(struct strbuf *out, const struct ptype *t)
{
    strbuf_adds(out, "text like ");
    for (size_t i = 0; i < t->words.n && i < WORDS_SHOWN; i++)
        strbuf_addf(out, "%s/%s/", i ? " or " : "", t->words.v[i]);
}

static void describe_many(struct strbuf *out, const struct ptype *t)
{
    strbuf_adds(out, t->kind == PT_HASH ? "a Hash" : "an Array");
    if (t->has_min || t->has_max) {
        strbuf_adds(out, " of ");
        describe_range(out, t, t->max == 1 || (t->min == 1 && !t->has_max) ? " item" : " items");
    }
    if (t->n_args && t->args[t->n_args - 1]->kind != PT_ANY &&
        t->args[t->n_args - 1]->kind != PT_DATA) {
        strbuf_adds(out, ", each ");
        describe(out, t->args[t->n_args - 1]);
    }
}

static void describe_collection(struct strbuf *out, const struct ptype *t)
{
    strbuf_adds(out, "an Array or a Hash");
    if (t->has_min || t->has_max) {
        strbuf_adds(out, " of ");
        describe_range(out, t, " items");
    }
}

static void describe_unknown(struct strbuf *out, const struct ptype *t)
{
    strbuf_addf(out, "a value of the type %s, which is not known here and not checked", t->words.v[0]);
}

static void describe_variant(struct strbuf *out, const struct ptype *t)
{
    for (size_t i = 0; i < t->n_args && i < WORDS_SHOWN; i++) {
        strbuf_adds(out, i ? " or " : "");
        describe(out, t->args[i]);
    }
}

static void describe_string(struct strbuf *out, const struct ptype *t)
{
    strbuf_adds(out, "a String");
    if (t->has_min && t->min == 1 && !t->has_max) {
        strbuf_adds(out, " that is not empty");
    } else if (t->has_min || t->has_max) {
        strbuf_adds(out, " of ");
        describe_range(out, t, " characters");
    }
}

static void describe_struct(struct strbuf *out, const struct ptype *t)
{
    char *keys = strv_join(&t->words, ", ");

    strbuf_addf(out, "a Hash with the keys %.200s", keys);
    free(keys);
}

static void describe_inner(struct strbuf *out, const struct ptype *t)
{
    if (t->n_args)
        describe(out, t->args[0]);
    else
        strbuf_adds(out, "a value");
}

static void describe_truth(struct strbuf *out, const struct ptype *t)
{
    strbuf_adds(out, t->truth < 0 ? "true or false" : t->truth ? "true" : "false");
}

static void describe_tuple(struct strbuf *out, const struct ptype *t)
{
    strbuf_addf(out, "an Array of %zu items", t->n_args);
}

/* A text, where it is always the same, or what says it. */
static void describe(struct strbuf *out, const struct ptype *t)
{
    static const struct {
        const char *text;
        void (*say)(struct strbuf *out, const struct ptype *t);
    } rows[] = {
        [PT_ANY] = {.text = "any value"},
        [PT_DATA] = {.text = "any value"},
        [PT_UNDEF] = {.text = "nothing"},
        [PT_SCALAR] = {.text = "text, a number, true or false"},
        [PT_NUMERIC] = {.text = "a number"},
        [PT_COLLECTION] = {.say = describe_collection},
        [PT_ITERABLE] = {.text = "an Array, a Hash, a String or a whole number"},
        [PT_ADDRESS] = {.text = "an IP address"},
        [PT_UNKNOWN] = {.say = describe_unknown},
        [PT_NEVER] = {.text = "a value that only Puppet's language can write"},
        [PT_TARGETS] = {.text = "targets: a String or an Array of such"},
        [PT_STRING] = {.say = describe_string},
        [PT_INTEGER] = {.say = describe_number},
        [PT_FLOAT] = {.say = describe_number},
        [PT_ARRAY] = {.say = describe_many},
        [PT_HASH] = {.say = describe_many},
        [PT_TUPLE] = {.say = describe_tuple},
        [PT_STRUCT] = {.say = describe_struct},
        [PT_ENUM] = {.say = describe_words},
        [PT_PATTERN] = {.say = describe_pattern},
        [PT_VARIANT] = {.say = describe_variant},
        [PT_OPTIONAL] = {.say = describe_inner},
        [PT_NOTUNDEF] = {.say = describe_inner},
        [PT_SENSITIVE] = {.say = describe_inner},
        [PT_BOOLEAN] = {.say = describe_truth},
    };

    if (t->says)
        strbuf_adds(out, t->says);
    else if (rows[t->kind].say)
        rows[t->kind].say(out, t);
    else
        strbuf_adds(out, rows[t->kind].text);
}

char *ptype_expects(const struct ptype *t)
{
    struct strbuf out;
    char *clean;

    strbuf_init(&out, 1000);
    describe(&out, t);
    clean = text_clean(out.s);
    strbuf_free(&out);
    return clean;
}

/* A value for people: cut, and harmless. Caller frees. */
static char *shown(const struct json *value)
{
    struct strbuf out;
    char *clean;

    if (!value)
        return x_strdup("nothing");
    clean = text_clean(json_text((struct json *) (uintptr_t) value, NULL));
    strbuf_init(&out, 0);
    text_fit(&out, clean, GOT_COLS, false);
    free(clean);
    return strbuf_steal(&out);
}

static bool fail(struct check *c, char *text)
{
    if (!c->quiet && !c->fault) {
        char *where = text_clean(c->path.s);

        c->fault = x_asprintf("%s%s%s", where, c->path.len ? ": " : "", text);
        free(where);
    }
    free(text);
    return false;
}

/* Says what t expects, and what is there instead. */
static bool refuse(struct check *c, const struct ptype *t, const struct json *value)
{
    char *want, *got, *text;

    if (c->quiet)
        return false;
    want = ptype_expects(t);
    got = shown(value);
    text = x_asprintf("expects %s; got %s", want, got);
    free(want);
    free(got);
    return fail(c, text);
}

static size_t characters(const char *s)
{
    size_t n = 0;

    for (; *s; s++)
        n += ((unsigned char) *s & 0xc0) != 0x80;
    return n;
}

static bool in_range(const struct ptype *t, int64_t n)
{
    return (!t->has_min || n >= t->min) && (!t->has_max || n <= t->max);
}

static bool check(const struct ptype *t, const struct json *v, struct check *c);

static bool quietly(const struct ptype *t, const struct json *v)
{
    struct check c = {.quiet = true};
    bool ok;

    strbuf_init(&c.path, 0);
    ok = check(t, v, &c);
    strbuf_free(&c.path);
    return ok;
}

static bool check_string(const struct ptype *t, const char *s)
{
    if (!s)
        return false;
    if (t->kind == PT_STRING)
        return in_range(t, (int64_t) characters(s));
    for (size_t i = 0; i < t->words.n; i++) {
        if (t->kind == PT_PATTERN ? !regexec(&t->regex[i], s, 0, NULL, 0)
                                  : !(t->any_case ? strcasecmp : strcmp)(t->words.v[i], s))
            return true;
    }
    return false;
}

static bool check_items(const struct ptype *t, const struct json *v, struct check *c)
{
    size_t n = json_len(v), at = c->path.len;
    bool tuple = t->kind == PT_TUPLE, ok = true;

    if (json_type(v) != JSON_ARRAY || !in_range(t, (int64_t) n) ||
        (tuple && !t->has_min && !t->has_max && n != t->n_args))
        return refuse(c, t, v);
    for (size_t i = 0; i < n && ok && t->n_args; i++) {
        /* The last type of a Tuple goes on as long as its range allows. */
        size_t arg = tuple ? (i < t->n_args ? i : t->n_args - 1) : 0;

        strbuf_addf(&c->path, "[%zu]", i);
        ok = check(t->args[arg], json_at(v, i), c);
        if (ok)
            c->path.s[c->path.len = at] = '\0';
    }
    return ok;
}

struct members {
    const struct ptype *t;
    struct check *c;
};

static int check_member(const char *key, struct json *value, void *ctx)
{
    struct members *m = ctx;
    const struct ptype *t = m->t;
    size_t at = m->c->path.len;
    bool ok = true;

    strbuf_addf(&m->c->path, "['%s']", key);
    if (t->kind == PT_HASH) {
        struct json *name = json_of_str(key, strlen(key));

        ok = (t->n_args < 2 || check(t->args[0], name, m->c)) &&
             (!t->n_args || check(t->args[t->n_args - 1], value, m->c));
        json_free(name);
    } else {
        size_t i = 0;

        while (i < t->words.n && strcmp(t->words.v[i], key))
            i++;
        if (i == t->words.n)
            ok = fail(m->c, x_strdup("there is no such key"));
        else
            ok = (!value && t->key_optional[i]) || check(t->args[i], value, m->c);
    }
    if (ok)
        m->c->path.s[m->c->path.len = at] = '\0';
    return !ok;
}

static int count_member(const char *key, struct json *value, void *ctx)
{
    (void) key;
    (void) value;
    ++*(int64_t *) ctx;
    return 0;
}

static bool check_members(const struct ptype *t, const struct json *v, struct check *c)
{
    struct members m = {t, c};
    int64_t n = 0;

    json_each(v, count_member, &n);
    if (json_type(v) != JSON_OBJECT || !in_range(t, n))
        return refuse(c, t, v);
    if (json_each(v, check_member, &m))
        return false;
    for (size_t i = 0; t->kind == PT_STRUCT && i < t->words.n; i++) {
        if (!json_has(v, t->words.v[i]) && !t->key_optional[i] && !ptype_optional(t->args[i]))
            return fail(c, x_asprintf("the key '%s' is missing", t->words.v[i]));
    }
    return true;
}

static bool check_variant(const struct ptype *t, const struct json *v, struct check *c)
{
    for (size_t i = 0; i < t->n_args; i++) {
        if (quietly(t->args[i], v))
            return true;
    }
    return refuse(c, t, v);
}

static bool check_targets(const struct json *v)
{
    if (json_type(v) == JSON_ARRAY) {
        for (size_t i = 0; i < json_len(v); i++) {
            if (!check_targets(json_at(v, i)))
                return false;
        }
        return true;
    }
    return json_str(v) && *json_str(v);
}

static bool check_float(const struct ptype *t, const struct json *v)
{
    double f = json_double(v);

    return json_type(v) == JSON_NUMBER && (!t->has_min || f >= t->fmin) &&
           (!t->has_max || f <= t->fmax);
}

static bool check_collection(const struct ptype *t, const struct json *v)
{
    int64_t n = (int64_t) json_len(v);

    if (json_type(v) == JSON_OBJECT) {
        n = 0;
        json_each(v, count_member, &n);
    }
    return (json_type(v) == JSON_ARRAY || json_type(v) == JSON_OBJECT) && in_range(t, n);
}

/* What a loop of Puppet's takes; only of an Array each item is looked at. */
static bool check_iterable(const struct ptype *t, const struct json *v, struct check *c)
{
    enum json_type type = json_type(v);

    if (type == JSON_ARRAY)
        return check_items(t, v, c);
    return type == JSON_OBJECT || json_str(v) || (type == JSON_INT && json_int(v) > 0) ||
           refuse(c, t, v);
}

static bool is_scalar(const struct json *v)
{
    return v && json_type(v) != JSON_ARRAY && json_type(v) != JSON_OBJECT;
}

static bool check(const struct ptype *t, const struct json *v, struct check *c)
{
    enum json_type type = json_type(v);
    bool ok = true;

    switch (t->kind) {
    case PT_ANY:
    case PT_DATA:
    case PT_UNKNOWN:
        return true;
    case PT_UNDEF:
        ok = !v;
        break;
    case PT_SCALAR:
        ok = is_scalar(v);
        break;
    case PT_STRING:
    case PT_ENUM:
    case PT_PATTERN:
        ok = check_string(t, json_str(v));
        break;
    case PT_INTEGER:
        ok = type == JSON_INT && in_range(t, json_int(v));
        break;
    case PT_FLOAT:
        ok = check_float(t, v);
        break;
    case PT_NUMERIC:
        ok = type == JSON_INT || type == JSON_NUMBER;
        break;
    case PT_BOOLEAN:
        ok = type == JSON_BOOL && (t->truth < 0 || t->truth == json_bool(v));
        break;
    case PT_TARGETS:
        ok = check_targets(v);
        break;
    case PT_COLLECTION:
        ok = check_collection(t, v);
        break;
    case PT_ADDRESS:
        ok = json_str(v) && ptype_is_address(t->address, json_str(v));
        break;
    case PT_NEVER:
        ok = false;
        break;
    case PT_ITERABLE:
        return check_iterable(t, v, c);
    case PT_ARRAY:
    case PT_TUPLE:
        return check_items(t, v, c);
    case PT_HASH:
    case PT_STRUCT:
        return check_members(t, v, c);
    case PT_VARIANT:
        return check_variant(t, v, c);
    case PT_OPTIONAL:
        return !v || !t->n_args || check(t->args[0], v, c);
    case PT_NOTUNDEF:
        return v ? !t->n_args || check(t->args[0], v, c) : refuse(c, t, v);
    case PT_SENSITIVE:
        return !t->n_args || check(t->args[0], v, c);
    }
    return ok || refuse(c, t, v);
}

char *ptype_fault(const struct ptype *t, const struct json *value)
{
    struct check c = {.quiet = false};

    strbuf_init(&c.path, 400);
    check(t, value, &c);
    strbuf_free(&c.path);
    return c.fault;
}

bool ptype_optional(const struct ptype *t)
{
    return quietly(t, NULL);
}

/* What is in Optional, NotUndef and Sensitive. */
static const struct ptype *bare(const struct ptype *t)
{
    while (t->n_args && (t->kind == PT_OPTIONAL || t->kind == PT_NOTUNDEF ||
                         t->kind == PT_SENSITIVE))
        t = t->args[0];
    return t;
}

bool ptype_choices(const struct ptype *t, struct strv *out)
{
    t = bare(t);
    strv_clear(out);
    if (t->kind == PT_ENUM)
        strv_copy(out, &t->words);
    else if (t->kind == PT_BOOLEAN) {
        if (t->truth != 0)
            strv_push(out, "true");
        if (t->truth != 1)
            strv_push(out, "false");
    }
    return out->n > 0;
}

bool ptype_sensitive(const struct ptype *t)
{
    while (t->n_args && (t->kind == PT_OPTIONAL || t->kind == PT_NOTUNDEF))
        t = t->args[0];
    return t->kind == PT_SENSITIVE;
}

bool ptype_is_target(const struct ptype *t)
{
    return bare(t)->kind == PT_TARGETS;
}

/* The text as JSON; NULL when it is none, or null, or a number that does not fit. */
static struct json *as_json(const char *text)
{
    size_t n = strlen(text);
    struct json *value;

    if (n > TYPED_MAX)
        return NULL;
    value = json_parse(text, n, NULL);
    if (json_type(value) == JSON_INT) {
        const char *digits = text;

        while (*digits && !isdigit((unsigned char) *digits))
            digits++;
        if (strspn(digits, "0123456789") > 18) {
            json_free(value);
            return NULL;
        }
    }
    return value;
}

struct json *ptype_value(const struct ptype *t, const char *text)
{
    const struct ptype *in = bare(t);
    struct json *plain = json_of_str(text, strlen(text)), *value = NULL;

    if (!*text && ptype_optional(t) && in->kind != PT_ANY && in->kind != PT_DATA &&
        in->kind != PT_UNKNOWN)
        goto done; /* undef */
    if (in->kind == PT_STRING || in->kind == PT_ENUM || in->kind == PT_PATTERN ||
        in->kind == PT_ADDRESS || in->kind == PT_NEVER)
        return plain;
    for (size_t i = 0; in->kind == PT_VARIANT && i < in->n_args; i++) {
        struct json *one = ptype_value(in->args[i], text);

        if (one && quietly(in->args[i], one)) {
            json_free(plain);
            return one;
        }
        json_free(one);
    }
    if (!strcmp(text, "null") && ptype_optional(t))
        goto done;
    value = as_json(text);
    /* A list that is wrong inside is still a list: the fault then names its item. */
    if (value && (quietly(t, value) || !is_scalar(value)))
        goto done;
    json_free(value);
    return plain;
done:
    json_free(plain);
    return value;
}
