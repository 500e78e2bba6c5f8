/* SPDX-License-Identifier: Apache-2.0 */
/* References in the texts of a plan: $name, ${name['key'][0]}. What Bolt would evaluate as code is
 * refused by what it is. */
#include "plan_value.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/suggest.h"
#include "muster/core/yaml.h"

#include <ctype.h>
#include <string.h>

#define KEYS_MAX 32 /* LIMIT: behind one name */

void plan_ref_free(struct plan_ref *ref)
{
    if (!ref)
        return;
    for (size_t i = 0; i < ref->n_keys; i++)
        free(ref->keys[i].key);
    free(ref->keys);
    free(ref->name);
    free(ref);
}

static bool name_start(char c)
{
    return isalpha((unsigned char) c) || c == '_';
}

/* The length of a name at s; "a::b" is one. */
static size_t name_length(const char *s)
{
    size_t n = 0;

    if (!name_start(*s))
        return 0;
    while (isalnum((unsigned char) s[n]) || s[n] == '_' ||
           (s[n] == ':' && s[n + 1] == ':' && name_start(s[n + 2])) ||
           (s[n] == ':' && n && s[n - 1] == ':' && name_start(s[n + 1])))
        n++;
    return n;
}

static const char *skip_blanks(const char *s)
{
    while (*s == ' ' || *s == '\t' || *s == '\n')
        s++;
    return s;
}

/* One ['key'] or [0] at s into ref. Returns what follows, or NULL when it is none. */
static const char *read_key(const char *s, struct plan_ref *ref)
{
    struct plan_key key = {NULL, 0};
    const char *end;

    s = skip_blanks(s + 1);
    if (*s == '\'' || *s == '"') {
        end = strchr(s + 1, *s);
        if (!end)
            return NULL;
        key.key = x_strndup(s + 1, (size_t) (end - s - 1));
        s = end + 1;
    } else {
        size_t n = (size_t) (*s == '-') + strspn(s + (*s == '-'), "0123456789");

        if (n == (size_t) (*s == '-') || n > 9)
            return NULL;
        key.index = strtol(s, NULL, 10);
        s += n;
    }
    s = skip_blanks(s);
    if (*s != ']' || ref->n_keys == KEYS_MAX) {
        free(key.key);
        return NULL;
    }
    ref->keys = x_array(ref->keys, ref->n_keys + 1, sizeof *ref->keys);
    ref->keys[ref->n_keys++] = key;
    return s + 1;
}

/* A name and its keys at *s. */
static struct plan_ref *read_ref(const char **s)
{
    struct plan_ref *ref = x_calloc(1, sizeof *ref);
    size_t n = name_length(*s);
    const char *next;

    ref->name = x_strndup(*s, n);
    *s += n;
    while (**s == '[' && (next = read_key(*s, ref)))
        *s = next;
    return ref;
}

/* Why what stands behind a reference is none. */
static const char *not_a_reference(const char *s)
{
    s = skip_blanks(s);
    if (*s == '.')
        return "calls of functions are not known here (Bolt has them)";
    if (*s == '[')
        return "a reference takes ['key'] or [0] behind it, and nothing that is computed";
    if (*s == '|' || *s == '{')
        return "blocks of code are not known here (Bolt has them)";
    if (*s == '(')
        return "calls of functions are not known here (Bolt has them)";
    if (strchr("+-*/%<>=!?&~", *s) || !strncmp(s, "and ", 4) || !strncmp(s, "or ", 3) ||
        !strncmp(s, "in ", 3))
        return "operators are not known here (Bolt has them)";
    return "a text that begins with $ is one reference and nothing else; put a text with references "
           "in \"double quotes\"";
}

/* Whether the plan knows the name by then; sets what it is. */
static bool resolve(struct plan_ref *ref, const struct plan_names *names)
{
    const struct param *param = params_find(names->params, ref->name);

    ref->of_step = strv_has(&names->steps, ref->name);
    ref->of_targets = !ref->of_step && !ref->n_keys &&
                      (!strcmp(ref->name, "targets") || (param && param->type &&
                                                         ptype_is_target(param->type)));
    return ref->of_step || param || !strcmp(ref->name, "targets");
}

/* The line of a step of that name that is not read yet, or 0. */
static unsigned later_step(const struct plan_names *names, const char *name)
{
    for (size_t i = 0; names->all && i < names->all->n; i++) {
        const struct yaml_node *step = names->all->items[i];
        const struct yaml_node *is = step->kind == YAML_MAPPING ? yaml_get(step, "name") : NULL;

        if (is && is->kind == YAML_SCALAR && !strcmp(is->scalar, name))
            return step->line;
    }
    return 0;
}

/* What Bolt keeps as one list for all targets is of the one node here, and what it has is known but of a
 * task and of values. */
static void check_result(const struct plan_ref *ref, const struct plan_names *names,
                         struct plan_faults *f, unsigned line)
{
    static const char *const keys[] = {"stdout", "stderr", "exit_code"};
    enum plan_step_kind kind = PLAN_STEP_COUNT;
    const char *first;
    bool known = false;

    for (size_t i = 0; i < names->steps.n; i++)
        if (!strcmp(names->steps.v[i], ref->name))
            kind = (enum plan_step_kind) names->kinds[i];
    if (!ref->of_step || !ref->n_keys || !plan_step_on_nodes(kind))
        return;
    first = ref->keys[0].key;
    if (!first) {
        plan_fault(f, line, "$%s[%ld]: a step's result is of the node itself here, and no list of those of "
                            "all: leave [%ld] out, as $%s['stdout']", ref->name, ref->keys[0].index,
                   ref->keys[0].index, ref->name);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(keys) && !known; i++)
        known = !strcmp(keys[i], first);
    if (kind == PLAN_STEP_TASK)
        return;
    if (!known) {
        char *near = plan_near(first, keys, ARRAY_LEN(keys));

        plan_fault(f, line, "$%s['%.100s']: the result of a step `%s` has 'stdout', 'stderr' and "
                            "'exit_code'%s", ref->name, first, plan_step_kind_name(kind), near);
        free(near);
    } else if (ref->n_keys > 1) {
        plan_fault(f, line, "$%s['%s']: it is a %s, so nothing can follow in [..]", ref->name, first,
                   strcmp(first, "exit_code") ? "text" : "number");
    }
}

/* Whether a shell's own text gives the variable a value: x=, for x, read x. */
static bool shell_sets(const char *text, const char *name)
{
    size_t n = strlen(name);

    for (const char *at = text; (at = strstr(at, name)) != NULL; at += n) {
        bool begins = at == text || (!isalnum((unsigned char) at[-1]) && !strchr("_$", at[-1]) &&
                                     at[-1] != '{');

        if (begins && !isalnum((unsigned char) at[n]) && at[n] != '_')
            return true;
    }
    return false;
}

/* A name in plain text that no shell was meant to have: one of a later step, or nearly one of ours. */
static void check_shell_name(const struct plan_ref *ref, const struct plan_names *names, const char *text,
                             struct plan_faults *f, unsigned line)
{
    const char **words;
    size_t n = 0;
    unsigned later = later_step(names, ref->name);
    const char *near;

    if (shell_sets(text, ref->name))
        return;
    if (later) {
        plan_fault(f, line, "$%.100s: the step of that name comes later (line %u); for a variable of the "
                            "shell use 'single quotes'", ref->name, later);
        return;
    }
    words = x_array(NULL, names->params->n + names->steps.n + 1, sizeof(char *));
    words[n++] = "targets";
    for (size_t i = 0; i < names->params->n; i++)
        words[n++] = names->params->v[i].name;
    for (size_t i = 0; i < names->steps.n; i++)
        words[n++] = names->steps.v[i];
    near = strlen(ref->name) > 3 && islower((unsigned char) *ref->name)
               ? suggest_nearest(ref->name, words, n)
               : NULL;
    if (near)
        plan_fault(f, line, "$%.100s: there is no parameter and no earlier step of that name (did you mean "
                            "%s?); for a variable of the shell use 'single quotes'", ref->name, near);
    free(words);
}

static void unknown(const struct plan_ref *ref, const struct plan_names *names,
                    struct plan_faults *f, unsigned line, const char *more)
{
    size_t n = 0;
    unsigned later = later_step(names, ref->name);
    const char **words;

    if (later) {
        plan_fault(f, line, "$%.100s: the step of that name comes later (line %u): only earlier ones have a "
                            "result%s", ref->name, later, more);
        return;
    }
    words = x_array(NULL, names->params->n + names->steps.n + 1, sizeof(char *));
    char *near;

    words[n++] = "targets";
    for (size_t i = 0; i < names->params->n; i++)
        words[n++] = names->params->v[i].name;
    for (size_t i = 0; i < names->steps.n; i++)
        words[n++] = names->steps.v[i];
    near = plan_near(ref->name, words, n);
    plan_fault(f, line, "$%.100s: there is no parameter and no earlier step of that name%s%s",
               ref->name, near, more);
    free(near);
    free(words);
}

static void add_piece(struct plan_value *v, char *text, struct plan_ref *ref)
{
    v->pieces = x_array(v->pieces, v->n_pieces + 1, sizeof *v->pieces);
    v->pieces[v->n_pieces++] = (struct plan_piece) {text, ref};
}

static void flush(struct plan_value *v, struct strbuf *text)
{
    if (text->len)
        add_piece(v, x_strndup(text->s, text->len), NULL);
    strbuf_reset(text);
}

/* A plain scalar that begins with $: a reference, whose value keeps its type. */
static void read_bare(const struct yaml_node *node, const struct plan_names *names,
                      struct plan_faults *f, struct plan_value *v)
{
    const char *s = node->scalar + 1;
    bool braces = *s == '{';
    struct plan_ref *ref;

    s += braces;
    if (!name_start(*s)) {
        plan_fault(f, node->line, "a text without quotes that begins with $ is a reference as $name; "
                                  "for the $ itself use 'single quotes'");
        return;
    }
    ref = read_ref(&s);
    v->kind = PLAN_VALUE_REF;
    add_piece(v, NULL, ref);
    if (!resolve(ref, names))
        unknown(ref, names, f, node->line, "; for the $ itself use 'single quotes'");
    if (braces && *s == '}')
        s++;
    else if (braces) {
        plan_fault(f, node->line, "${%s..}: %s", ref->name, not_a_reference(s));
        return;
    }
    if (*skip_blanks(s))
        plan_fault(f, node->line, "$%s: %s", ref->name, not_a_reference(s));
    else
        check_result(ref, names, f, node->line);
}

/* The reference behind the $ at s; *next is where the text goes on. NULL: the $ is itself. */
static struct plan_ref *read_inner(const char *s, const char *text, const char **next,
                                   bool quoted, const struct plan_names *names,
                                   struct plan_faults *f, unsigned line)
{
    bool braces = s[1] == '{', known;
    const char *at = s + 1 + braces;
    struct plan_ref *ref;

    if (!name_start(*at)) {
        if (braces && quoted)
            plan_fault(f, line, "${..}: code is not known here (Bolt has it); for the $ itself "
                                "write \\\\$");
        return NULL;
    }
    ref = read_ref(&at);
    known = resolve(ref, names);
    /* The shell takes a variable as one word, whatever is in it: what env_vars gives is safe so. */
    if (!quoted && (!known || (names->shells && yaml_get(names->shells, ref->name)))) {
        /* No shell has this: it was meant for Bolt. */
        if (braces && *at == '(')
            plan_fault(f, line, "${%.100s(..)}: functions are not known here (Bolt has them)", ref->name);
        else if (!known)
            check_shell_name(ref, names, text, f, line);
        plan_ref_free(ref);
        return NULL;
    }
    check_result(ref, names, f, line);
    if (!known)
        unknown(ref, names, f, line, "; for the $ itself write \\\\$, or use 'single quotes'");
    if (braces && *at != '}') {
        if (known)
            plan_fault(f, line, "${%.100s..}: %s", ref->name, not_a_reference(at));
        at = strchr(at, '}') ? strchr(at, '}') : at + strlen(at) - 1;
    }
    *next = at + braces;
    return ref;
}

static void read_text(const struct yaml_node *node, const struct plan_names *names,
                      struct plan_faults *f, struct plan_value *v)
{
    bool quoted = node->style == YAML_STYLE_DOUBLE;
    struct strbuf text;

    strbuf_init(&text, 0);
    for (const char *s = node->scalar; *s;) {
        struct plan_ref *ref = NULL;
        const char *next = s + 1;

        if (quoted && *s == '\\' && (s[1] == '$' || s[1] == '\\')) {
            strbuf_addch(&text, s[1]);
            s += 2;
            continue;
        }
        if (*s == '$')
            ref = read_inner(s, node->scalar, &next, quoted, names, f, node->line);
        if (ref) {
            flush(v, &text);
            add_piece(v, NULL, ref);
        } else {
            strbuf_addch(&text, *s);
        }
        s = next;
    }
    if (v->n_pieces) {
        flush(v, &text);
        v->kind = PLAN_VALUE_TEXT;
    } else if (quoted) {
        free(v->as_text);
        v->as_text = strbuf_steal(&text);
    }
    strbuf_free(&text);
}

void plan_refs_read(const struct yaml_node *node, const struct plan_names *names,
                    struct plan_faults *f, struct plan_value *v)
{
    v->as_text = yaml_is_null(node) ? NULL : x_strdup(node->scalar);
    if (node->style == YAML_STYLE_BLOCK)
        plan_fault(f, node->line, "a block behind | is code (Bolt evaluates it), and not known "
                                  "here: put the text in \"double quotes\" or 'single quotes'");
    else if (node->style == YAML_STYLE_PLAIN && *node->scalar == '$')
        read_bare(node, names, f, v);
    else if (node->style != YAML_STYLE_SINGLE && node->style != YAML_STYLE_FOLDED &&
             strpbrk(node->scalar, "$\\"))
        read_text(node, names, f, v);
}
