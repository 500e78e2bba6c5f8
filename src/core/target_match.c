/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing nodes by their variables and facts. */
#include "target_match.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/fleet.h"
#include "muster/core/json.h"
#include "muster/core/nodeset.h"
#include "muster/core/suggest.h"
#include "muster/core/target.h"

#include <ctype.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

#define BLANKS " \t\r\n"
#define OPERATORS ",!&^"
#define FACTS "facts."
#define FACTS_LEN (sizeof FACTS - 1)
#define LEARN_MAX 200  /* LIMIT: nodes whose facts are looked at for a name that is near */
#define SHOWN_MAX 12   /* LIMIT: names, or values, that an error lists */
#define VALUES_MAX 1000 /* LIMIT: values that are gathered for that */
#define VALUE_COLS 40

enum relation { IS, IS_NOT, LIKE };

struct term {
    char *name, *value;
    enum relation relation;
    regex_t re; /* of LIKE */
};

/* --- reading it --- */

static size_t name_length(const char *s)
{
    size_t n = 0;

    if (!isalpha((unsigned char) *s) && *s != '_')
        return 0;
    while (isalnum((unsigned char) s[n]) || (s[n] && strchr("_.:-", s[n])))
        n++;
    return n;
}

/* The length of the name, or 0; *value is what follows the relation. */
static size_t read_name(const char *s, enum relation *relation, const char **value)
{
    size_t n = name_length(s), at = n + strspn(s + n, BLANKS);

    if (s[at] == '=')
        *relation = IS;
    else if (s[at] == '!' && s[at + 1] == '=')
        *relation = IS_NOT;
    else if (s[at] == '~')
        *relation = LIKE;
    else
        return 0;
    *value = s + at + (*relation == IS_NOT ? 2 : 1);
    *value += strspn(*value, BLANKS);
    return n;
}

int var_term_foreign(const char *s, struct err *e)
{
    /* The longest first. */
    static const char *const foreign[] = {"!==", "==", "=~", "~=", "!~", "<=", ">=", "<", ">"};
    size_t n = name_length(s);
    const char *at = s + n + strspn(s + n, BLANKS);

    for (size_t i = 0; n && i < ARRAY_LEN(foreign); i++) {
        if (strncmp(at, foreign[i], strlen(foreign[i])))
            continue;
        return err_set(e, ERR_VALIDATION, "%.*s: there is no operator %s: a variable or fact is compared as "
                       "NAME=VALUE, NAME!=VALUE (with * and ?) or NAME~REGEX",
                       (int) strcspn(s, ","), s, foreign[i]);
    }
    return 0;
}

bool var_term_here(const char *s)
{
    enum relation relation;
    const char *value;

    return read_name(s, &relation, &value) > 0;
}

/* A regex holds operators in its brackets, and a ^ where it is an anchor. */
static const char *regex_end(const char *s)
{
    const char *start = s;
    int nest = 0;

    for (; *s; s++) {
        if (*s == '\\' && s[1]) {
            s++;
        } else if (*s == '[') {
            const char *p = s + 1 + (s[1] == '^');

            p = strchr(*p == ']' ? p + 1 : p, ']');
            if (!p) /* the regex itself is refused later */
                return s + strlen(s);
            s = p;
        } else if (*s == '(' || *s == '{') {
            nest++;
        } else if (*s == ')' || *s == '}') {
            nest -= nest > 0;
        } else if (*s == '^' && (s == start || s[-1] == '|')) {
            continue;
        } else if (!nest && strchr(OPERATORS, *s)) {
            break;
        }
    }
    return s;
}

const char *var_term_end(const char *s, struct err *e)
{
    enum relation relation = IS;
    const char *value = s, *end;

    read_name(s, &relation, &value);
    if (relation != LIKE && value[0] == '/' && value[1] == '^') {
        size_t n = strcspn(value + 1, "/,");

        err_set(e, ERR_VALIDATION, "%.*s: a regular expression is written %.*s~%.*s",
                (int) (value + 1 + n - s + (value[1 + n] == '/')), s, (int) name_length(s), s, (int) n,
                value + 1);
        return NULL;
    }
    if (*value != '"' && *value != '\'')
        return relation == LIKE ? regex_end(value) : value + strcspn(value, OPERATORS);
    end = strchr(value + 1, *value);
    if (!end) {
        err_set(e, ERR_VALIDATION, "%s lacks its closing %c", s, *value);
        return NULL;
    }
    end++;
    end += strspn(end, BLANKS);
    if (*end && !strchr(OPERATORS, *end)) {
        err_set(e, ERR_VALIDATION, "after the closing %c comes \"%s\": put one of , ! & ^ between",
                *value, end);
        return NULL;
    }
    return end;
}

static int term_read(struct term *t, const char *text, struct err *e)
{
    const char *value;
    size_t n = read_name(text, &t->relation, &value), len;
    int rc;

    if (!n)
        return err_set(e, ERR_VALIDATION, "%s: write it as NAME=VALUE, NAME!=VALUE or NAME~REGEX",
                       text);
    len = strlen(value);
    if (!len)
        return err_set(e, ERR_VALIDATION, "%s: a value is missing (\"\" is the empty one)", text);
    if ((*value == '"' || *value == '\'') && len > 1 && value[len - 1] == *value) {
        value++;
        len -= 2;
    }
    t->name = x_strndup(text, n);
    t->value = x_strndup(value, len);
    if (t->relation != LIKE)
        return 0;
    rc = regcomp(&t->re, t->value, REG_EXTENDED | REG_NOSUB | REG_ICASE);
    if (rc) {
        char why[128];

        regerror(rc, &t->re, why, sizeof why);
        t->relation = IS; /* there is nothing to free */
        return err_set(e, ERR_VALIDATION, "bad regular expression in %s: %s", text, why);
    }
    return 0;
}

static void term_clear(struct term *t)
{
    if (t->relation == LIKE && t->value)
        regfree(&t->re);
    free(t->name);
    free(t->value);
}

/* --- values --- */

static int low(char c)
{
    return tolower((unsigned char) c);
}

static bool glob(const char *pattern, const char *name, bool any_case)
{
    const char *star = NULL, *retry = NULL;

    while (*name) {
        if (*pattern == '*') {
            star = ++pattern;
            retry = name;
        } else if (*pattern == '?' || *pattern == *name ||
                   (any_case && low(*pattern) == low(*name))) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star;
            name = ++retry;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

bool target_glob(const char *pattern, const char *name)
{
    return glob(pattern, name, false);
}

/* What looking at one node has come to. */
struct look {
    const struct term *t;
    struct nodeset *values; /* of it, cut; or NULL */
    bool found; /* it has the variable */
    bool fits;  /* with a value that is, or is like, the wanted one */
};

static void keep_value(struct nodeset *values, const char *text)
{
    CLEANUP_FREE char *clean = text_clean(text);
    struct strbuf b;

    if (nodeset_count(values) >= VALUES_MAX)
        return;
    strbuf_init(&b, 0);
    text_fit(&b, clean, VALUE_COLS, false);
    nodeset_add(values, b.len ? b.s : "\"\"");
    strbuf_free(&b);
}

static void look_at_text(struct look *l, const char *text)
{
    l->found = true;
    if (l->values)
        keep_value(l->values, text);
    if (l->fits)
        return;
    if (l->t->relation == LIKE)
        l->fits = !regexec(&l->t->re, text, 0, NULL, 0);
    else
        l->fits = glob(l->t->value, text, true);
}

/* An object is what its `name` says, a list each of its members. */
static void look_at_json(struct look *l, struct json *j)
{
    struct json *name;

    switch (json_type(j)) {
    case JSON_NULL:
        return;
    case JSON_BOOL:
        look_at_text(l, json_bool(j) ? "true" : "false");
        return;
    case JSON_STRING:
        look_at_text(l, json_str(j));
        return;
    case JSON_INT:
    case JSON_NUMBER:
        look_at_text(l, json_text(j, NULL));
        return;
    case JSON_OBJECT:
        l->found = true;
        name = json_get(j, "name");
        if (json_type(name) != JSON_OBJECT)
            look_at_json(l, name);
        return;
    case JSON_ARRAY:
        l->found = true;
        for (size_t i = 0; i < json_len(j); i++)
            look_at_json(l, json_at(j, i));
        return;
    }
}

/* The member of j at a path of names and places with dots between; names may hold dots too. */
static struct json *descend(const struct json *j, const char *path)
{
    struct json *found = NULL;

    if (json_type(j) == JSON_ARRAY && isdigit((unsigned char) *path)) {
        char *rest;
        unsigned long at = strtoul(path, &rest, 10);

        found = at < json_len(j) ? json_at(j, at) : NULL;
        return !*rest ? found : *rest == '.' && found ? descend(found, rest + 1) : NULL;
    }
    if (json_type(j) != JSON_OBJECT)
        return NULL;
    found = json_get(j, path);
    for (size_t n = strlen(path); !found && n-- > 1;) {
        CLEANUP_FREE char *head = NULL;
        struct json *inner;

        if (path[n] != '.')
            continue;
        head = x_strndup(path, n);
        inner = json_get(j, head);
        found = inner ? descend(inner, path + n + 1) : NULL;
    }
    return found;
}

static const char *var_value(const struct fleet_node *node, const char *name, size_t n)
{
    for (size_t i = 0; i < node->n_vars; i++) {
        if (!strncmp(node->vars[i].name, name, n) && !node->vars[i].name[n])
            return node->vars[i].value;
    }
    return NULL;
}

/* A value that is JSON's is JSON; any other text is itself. path NULL: all of it. */
static void look_in_value(struct look *l, const char *value, const char *path)
{
    struct json *j = *value == '{' || *value == '[' ? json_parse(value, strlen(value), NULL) : NULL;

    if (j)
        look_at_json(l, path ? descend(j, path) : j);
    else if (!path)
        look_at_text(l, value);
    json_free(j);
}

static void look_at_vars(struct look *l, const struct fleet_node *node, const char *name)
{
    size_t n = strlen(name);
    const char *value = node->n_vars ? var_value(node, name, n) : NULL;

    if (value)
        look_in_value(l, value, NULL);
    while (node->n_vars && !l->found && n-- > 1) {
        value = name[n] == '.' ? var_value(node, name, n) : NULL;
        if (value)
            look_in_value(l, value, name + n + 1);
    }
}

/* What muster has learned comes before what an inventory says. */
static void look_at_facts(struct look *l, const struct target_env *env,
                          const struct fleet_node *node, const char *name)
{
    const struct json *facts = env->facts ? env->facts(env->ctx, node->name, name)
                                          : NULL;
    CLEANUP_FREE char *full = NULL;

    if (facts)
        look_at_json(l, descend(facts, name));
    if (l->found || !node->n_vars)
        return;
    /* Inventories give them flat: facts.os.name where an object would be facts.os. */
    full = x_asprintf(FACTS "%s.name", name);
    full[strlen(full) - strlen(".name")] = '\0';
    look_at_vars(l, node, full);
    if (!l->found) {
        full[strlen(full)] = '.';
        look_at_vars(l, node, full);
    }
}

static void look_at_node(struct look *l, const struct target_env *env,
                         const struct fleet_node *node)
{
    if (!strncmp(l->t->name, FACTS, FACTS_LEN)) {
        look_at_facts(l, env, node, l->t->name + FACTS_LEN);
        return;
    }
    look_at_vars(l, node, l->t->name);
    if (!l->found)
        look_at_facts(l, env, node, l->t->name);
}

/* --- names that nobody has --- */

struct collect {
    struct nodeset *names;
    const char *above; /* NULL: at the top */
};

static int collect_member(const char *key, struct json *value, void *ctx)
{
    const struct collect *c = ctx;
    CLEANUP_FREE char *full = c->above ? x_asprintf("%s.%s", c->above, key) : x_strdup(key);

    nodeset_add(c->names, full);
    if (!c->above && json_type(value) == JSON_OBJECT) {
        struct collect inner = {c->names, key};

        json_each(value, collect_member, &inner);
    }
    return 0;
}

static struct nodeset *known_names(const struct target_env *env)
{
    const struct fleet *f = env->fleet;
    struct collect c = {nodeset_new(), NULL};
    size_t learned = 0;

    for (size_t i = 0; i < f->n_nodes; i++) {
        const struct fleet_node *node = &f->nodes[i];
        const struct json *facts = NULL;

        for (size_t k = 0; k < node->n_vars; k++) {
            const char *name = node->vars[k].name;

            nodeset_add(c.names, strncmp(name, FACTS, FACTS_LEN) ? name : name + FACTS_LEN);
        }
        if (env->facts && learned < LEARN_MAX)
            facts = env->facts(env->ctx, node->name, NULL);
        if (facts) {
            learned++;
            json_each(facts, collect_member, &c);
        }
    }
    return c.names;
}

static int refuse_name(const struct target_env *env, const char *name, struct err *e)
{
    struct nodeset *known = known_names(env);
    size_t n = nodeset_count(known);
    CLEANUP_FREE const char **list = x_array(NULL, n + 1, sizeof *list);
    const char *near, *word = strncmp(name, FACTS, FACTS_LEN) ? name : name + FACTS_LEN;
    struct strbuf b;

    for (size_t i = 0; i < n; i++)
        list[i] = nodeset_at(known, i);
    near = suggest_nearest(word, list, n);
    strbuf_init(&b, 0);
    if (near) {
        strbuf_addf(&b, "did you mean %s?", near);
    } else if (!n) {
        strbuf_adds(&b, "the inventories set no variable, and no facts were learned (muster run "
                        "--task facts learns them)");
    } else {
        strbuf_adds(&b, "there are ");
        for (size_t i = 0; i < n && i < SHOWN_MAX; i++)
            strbuf_addf(&b, "%s%s", i ? ", " : "", list[i]);
        if (n > SHOWN_MAX)
            strbuf_addf(&b, " and %zu more", n - SHOWN_MAX);
        strbuf_adds(&b, "; muster node NAME shows those of a node");
    }
    err_set(e, ERR_VALIDATION, "no node has a variable or fact %s: %s", name, b.s);
    strbuf_free(&b);
    nodeset_free(known);
    return -ERR_VALIDATION;
}

/* --- values that nobody has --- */

static int by_value(const void *a, const void *b)
{
    return text_natcmp(*(const char *const *) a, *(const char *const *) b);
}

static char *unmet_text(const struct term *t, const struct nodeset *values)
{
    size_t n = nodeset_count(values);
    CLEANUP_FREE const char **list = x_array(NULL, n + 1, sizeof *list);
    CLEANUP_FREE char *value = text_clean(t->value);
    const char *near;
    struct strbuf b;

    for (size_t i = 0; i < n; i++)
        list[i] = nodeset_at(values, i);
    near = t->relation == IS ? suggest_nearest(t->value, list, n) : NULL;
    qsort(list, n, sizeof *list, by_value);
    strbuf_init(&b, 0);
    strbuf_addf(&b, "no node has %s%s%s \"%.100s\" (", t->relation == LIKE ? "a " : "", t->name,
                t->relation == LIKE ? " like" : "", value);
    if (near)
        strbuf_addf(&b, "did you mean %s? ", near);
    strbuf_adds(&b, n ? "values: " : "they have no value to compare");
    for (size_t i = 0; i < n && i < SHOWN_MAX; i++)
        strbuf_addf(&b, "%s%s", i ? ", " : "", list[i]);
    if (n > SHOWN_MAX)
        strbuf_addf(&b, " and %zu more", n - SHOWN_MAX);
    strbuf_addch(&b, ')');
    if (t->relation == IS && *t->value == '/' && t->value[strlen(t->value) - 1] == '/')
        strbuf_addf(&b, "; a regular expression is written %s~REGEX", t->name);
    return strbuf_steal(&b);
}

char *var_term_unmet(const struct target_env *env, const char *text)
{
    const struct fleet *f = env->fleet;
    struct nodeset *values = nodeset_new();
    struct term t = {.relation = IS};
    bool unmet = !term_read(&t, text, NULL) && t.relation != IS_NOT;
    char *why = NULL;

    for (size_t i = 0; unmet && i < f->n_nodes; i++) {
        struct look l = {.t = &t, .values = values};

        look_at_node(&l, env, &f->nodes[i]);
        unmet = !l.fits;
    }
    if (unmet)
        why = unmet_text(&t, values);
    term_clear(&t);
    nodeset_free(values);
    return why;
}

int var_term_eval(const struct target_env *env, const char *text, bool everyone,
                  struct nodeset *set, struct err *e)
{
    const struct fleet *f = env->fleet;
    struct term t = {.relation = IS};
    bool found = false;
    int rc = term_read(&t, text, e);

    for (size_t i = 0; !rc && i < f->n_nodes; i++) {
        const struct fleet_node *node = &f->nodes[i];
        struct look l = {.t = &t};

        look_at_node(&l, env, node);
        found = found || l.found;
        if (l.fits == (t.relation != IS_NOT) && (everyone || node->explicit_node))
            nodeset_add(set, node->name);
    }
    if (!rc && !found)
        rc = refuse_name(env, t.name, e);
    term_clear(&t);
    return rc;
}
