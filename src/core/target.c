/* SPDX-License-Identifier: Apache-2.0 */
/* Target expressions: splitting, the operands, and the algebra between them. */
#include "muster/core/target.h"

#include "target_match.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/core/fleet.h"
#include "muster/core/nodeset.h"

#include <ctype.h>
#include <regex.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX ((size_t) 16 << 20) /* LIMIT: bytes of a file or of standard input */
#define DEPTH_MAX 8                  /* LIMIT: files that name files, and saved ones saved ones */
#define BLANKS " \t\r\n"
#define SAVED "saved:"

struct eval {
    const struct target_env *env;
    struct target_set *out;
    struct err *e;
    struct nodeset *direct;  /* names that were written, in order, whatever became of them */
    struct nodeset *unknown; /* names that no inventory knows */
    struct strv unknown_groups;
    struct strv terms; /* that gave no node */
    const struct saving *saved; /* the saved ones that we are in */
    int depth;
    bool muted; /* what is named now is taken away: it is neither written first, nor a group given */
};

/* A saved expression that is being evaluated. */
struct saving {
    const char *name;
    const struct saving *outer;
};

static int eval_expr(struct eval *v, const char *s, struct nodeset *acc);

void target_set_init(struct target_set *t)
{
    *t = (struct target_set) {.nodes = NULL};
}

void target_set_clear(struct target_set *t)
{
    nodeset_free(t->nodes);
    strv_clear(&t->groups);
    strv_clear(&t->warnings);
    free(t->why_none);
    target_set_init(t);
}

void target_all(const struct target_env *env, struct target_set *out)
{
    target_set_clear(out);
    out->nodes = nodeset_new();
    for (size_t i = 0; i < env->fleet->n_nodes; i++) {
        if (env->fleet->nodes[i].explicit_node)
            nodeset_add(out->nodes, env->fleet->nodes[i].name);
    }
}

/* What is taken away is not "written first": only the other operands decide on the order. */
static void add_direct(struct eval *v, char op, struct nodeset *set, const char *name)
{
    nodeset_add(set, name);
    if (op != '!' && !v->muted)
        nodeset_add(v->direct, name);
}

/* With --any-host a name goes to ssh and the resolver as it is: no option, no blank. */
static bool may_be_host(const char *name)
{
    if (!*name || *name == '-')
        return false;
    for (; *name; name++) {
        if ((unsigned char) *name <= ' ' || *name == 0x7f)
            return false;
    }
    return true;
}

static bool is_known(const struct eval *v, const char *name)
{
    return fleet_node(v->env->fleet, name) || (v->env->any_host && may_be_host(name));
}

static void eval_glob(struct eval *v, char op, const char *pattern, struct nodeset *set)
{
    const struct fleet *f = v->env->fleet;

    for (size_t i = 0; i < f->n_nodes; i++) {
        if (f->nodes[i].explicit_node && target_glob(pattern, f->nodes[i].name))
            add_direct(v, op, set, f->nodes[i].name);
    }
}

static int eval_names(struct eval *v, char op, const char *text, struct nodeset *set)
{
    struct nodeset *names = nodeset_new();
    int rc = nodeset_expand(names, text, v->e);

    for (size_t i = 0; !rc && i < nodeset_count(names); i++) {
        const char *name = nodeset_at(names, i);

        const struct fleet_node *node = fleet_node(v->env->fleet, name);

        if (strpbrk(name, "*?"))
            eval_glob(v, op, name, set);
        else if (node) /* an alias stands for its node */
            add_direct(v, op, set, node->name);
        else if (is_known(v, name))
            add_direct(v, op, set, name);
        else
            nodeset_add(v->unknown, name);
    }
    nodeset_free(names);
    return rc;
}

/* text is "/REGEX/". */
static int eval_regex(struct eval *v, char op, const char *text, struct nodeset *set)
{
    const struct fleet *f = v->env->fleet;
    char *pattern = x_strndup(text + 1, strlen(text) - 2);
    regex_t re;
    int rc = regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB);

    free(pattern);
    if (rc) {
        char why[128];

        regerror(rc, &re, why, sizeof why);
        return err_set(v->e, ERR_VALIDATION, "bad regular expression %s: %s", text, why);
    }
    for (size_t i = 0; i < f->n_nodes; i++) {
        const struct fleet_node *node = &f->nodes[i];

        if (node->explicit_node && !regexec(&re, node->name, 0, NULL, 0))
            add_direct(v, op, set, node->name);
    }
    regfree(&re);
    return 0;
}

static bool is_uuid(const char *s)
{
    size_t i;

    for (i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? s[i] != '-' : !isxdigit((unsigned char) s[i]))
            return false;
    }
    return !s[i];
}

static bool names_results(const char *name)
{
    return !strcmp(name, "last") || strchr(name, ':') || !name[strspn(name, "0123456789")] ||
           is_uuid(name);
}

static int eval_results(struct eval *v, char op, const char *name, struct nodeset *set)
{
    const char *colon = strchr(name, ':');
    char *batch = x_strndup(name, colon ? (size_t) (colon - name) : strlen(name));
    struct nodeset *found = nodeset_new();
    int rc;

    if (!v->env->results)
        rc = err_set(v->e, ERR_VALIDATION, "@%s: results of earlier batches cannot be had here",
                     name);
    else if (!*batch || (colon && !colon[1]))
        rc = err_set(v->e, ERR_VALIDATION, "@%s: write it as @BATCH or @BATCH:RESULT", name);
    else
        rc = v->env->results(v->env->ctx, batch, colon ? colon + 1 : NULL, found, v->e);
    for (size_t i = 0; !rc && i < nodeset_count(found); i++) {
        const char *node = nodeset_at(found, i);

        /* A node that is gone from the inventory need not be known to be taken away. */
        if (is_known(v, node))
            nodeset_add(set, node);
        else if (op != '!' && !v->muted)
            nodeset_add(v->unknown, node);
    }
    nodeset_free(found);
    free(batch);
    return rc;
}

static int eval_group(struct eval *v, char op, const char *name, struct nodeset *set)
{
    const struct fleet *f = v->env->fleet;
    const struct fleet_group *group = fleet_group(f, name);

    if (!*name)
        return err_set(v->e, ERR_VALIDATION, "'@' lacks the name of a group");
    if (!group) {
        if (names_results(name))
            return eval_results(v, op, name, set);
        if (!strv_has(&v->unknown_groups, name)) {
            strv_push(&v->unknown_groups, name);
            strv_push_own(&v->out->warnings,
                          x_asprintf("unknown group @%s: no inventory has it, it adds no node",
                                     name));
        }
        return 0;
    }
    for (size_t i = 0; i < group->n_all; i++)
        nodeset_add(set, f->nodes[group->all[i]].name);
    if (op != '!' && !v->muted && !strv_has(&v->out->groups, name))
        strv_push(&v->out->groups, name);
    return 0;
}

static int refuse_loop(struct eval *v, const char *name)
{
    struct strbuf way;
    int rc;

    strbuf_init(&way, 0);
    strbuf_addf(&way, "@saved:%s", name);
    for (const struct saving *at = v->saved; at; at = at->outer) {
        strbuf_addf(&way, " in @saved:%s", at->name);
        if (!strcmp(at->name, name))
            break;
    }
    rc = err_set(v->e, ERR_VALIDATION, "saved targets that name themselves: %s", way.s);
    strbuf_free(&way);
    return rc;
}

static int eval_saved(struct eval *v, char op, const char *name, struct nodeset *set)
{
    struct saving here = {name, v->saved};
    bool muted = v->muted;
    char *expr = NULL;
    int rc;

    if (!*name)
        return err_set(v->e, ERR_VALIDATION, "@" SAVED ": write it as @" SAVED "NAME");
    if (!v->env->saved)
        return err_set(v->e, ERR_VALIDATION, "@" SAVED "%s: saved targets cannot be had here", name);
    for (const struct saving *at = v->saved; at; at = at->outer) {
        if (!strcmp(at->name, name))
            return refuse_loop(v, name);
    }
    if (v->depth == DEPTH_MAX)
        return err_set(v->e, ERR_VALIDATION, "@" SAVED "%s: saved targets that name others, more than "
                       "%d deep", name, DEPTH_MAX);
    rc = v->env->saved(v->env->ctx, name, &expr, v->e);
    if (rc)
        return rc;
    v->saved = &here;
    v->muted = muted || op == '!';
    v->depth++;
    rc = eval_expr(v, expr, set);
    if (rc)
        err_prefix(v->e, "@" SAVED "%s: ", name);
    v->depth--;
    v->muted = muted;
    v->saved = here.outer;
    free(expr);
    return rc;
}

/* Evaluates each line into set; `place` names the file for errors. */
static int eval_lines(struct eval *v, const char *place, char *text, size_t len,
                      struct nodeset *set)
{
    unsigned line_no = 0;
    int rc = 0;

    if (memchr(text, '\0', len))
        return err_set(v->e, ERR_VALIDATION, "%s: it holds a NUL byte, so it is no text", place);
    while (*text && !rc) {
        char *line = text, *hash;
        size_t n = strcspn(text, "\n");
        struct nodeset *part;

        text += n + (text[n] == '\n');
        line[n] = '\0';
        line_no++;
        for (hash = strchr(line, '#'); hash; hash = strchr(hash + 1, '#')) {
            if (hash == line || strchr(BLANKS, hash[-1]))
                break;
        }
        if (hash)
            *hash = '\0';
        if (!line[strspn(line, BLANKS)])
            continue;
        part = nodeset_new();
        rc = eval_expr(v, line, part);
        if (rc)
            err_prefix(v->e, "%s line %u: ", place, line_no);
        nodeset_union(set, part);
        nodeset_free(part);
    }
    return rc;
}

static int eval_file(struct eval *v, const char *name, struct nodeset *set)
{
    struct strbuf text;
    char *path;
    int rc;

    if (!*name)
        return err_set(v->e, ERR_VALIDATION, "'^' lacks the name of a file");
    if (v->depth == DEPTH_MAX)
        return err_set(v->e, ERR_VALIDATION, "%s: files that name files, more than %d deep", name,
                       DEPTH_MAX);
    path = io_expand_tilde(name);
    strbuf_init(&text, 0);
    rc = io_read_file(path, FILE_MAX, &text, v->e);
    v->depth++;
    if (!rc)
        rc = eval_lines(v, path, text.s, text.len, set);
    v->depth--;
    strbuf_free(&text);
    free(path);
    return rc;
}

static int eval_stdin(struct eval *v, struct nodeset *set)
{
    struct strbuf text;
    int rc;

    if (v->env->stdin_taken || v->out->used_stdin)
        return err_set(v->e, ERR_VALIDATION,
                       "standard input is read by something else already: give the targets '-' "
                       "once, or in a file as ^FILE");
    v->out->used_stdin = true;
    strbuf_init(&text, 0);
    rc = io_read_fd(STDIN_FILENO, FILE_MAX, &text, v->e);
    if (rc)
        err_prefix(v->e, "standard input: ");
    else
        rc = eval_lines(v, "standard input", text.s, text.len, set);
    strbuf_free(&text);
    return rc;
}

static int eval_var(struct eval *v, char op, const char *text, struct nodeset *set)
{
    struct nodeset *found = nodeset_new();
    bool narrows = op == '!' || op == '&'; /* then it may look at every node */
    int rc = var_term_eval(v->env, text, narrows, found, v->e);

    for (size_t i = 0; !rc && i < nodeset_count(found); i++)
        add_direct(v, op, set, nodeset_at(found, i));
    if (!nodeset_count(found) && op != '!' && !v->muted)
        strv_push(&v->terms, text);
    nodeset_free(found);
    return rc;
}

static int eval_operand(struct eval *v, char op, const char *text, struct nodeset *set)
{
    if (!*text)
        return err_set(v->e, ERR_VALIDATION, "a name is missing before or after one of , ! & ^");
    if (*text == '@') {
        const char *name = text + 1;

        if (!strncmp(name, SAVED, strlen(SAVED)) && !fleet_group(v->env->fleet, name))
            return eval_saved(v, op, name + strlen(SAVED), set);
        return eval_group(v, op, name, set);
    }
    if (var_term_here(text))
        return eval_var(v, op, text, set);
    if (*text == '/')
        return eval_regex(v, op, text, set);
    if (strpbrk(text, BLANKS))
        return err_set(v->e, ERR_VALIDATION, "\"%s\": a name holds no blank; put a comma between "
                       "names", text);
    return eval_names(v, op, text, set);
}

/* Where the operand at s ends: at an operator outside of brackets, regexes and quotes. NULL and an
 * error when one of them does not end. */
static const char *operand_end(struct eval *v, const char *s)
{
    bool inside = false;

    if (var_term_foreign(s, v->e))
        return NULL;
    if (var_term_here(s))
        return var_term_end(s, v->e);
    if (*s == '/') {
        const char *start = s;

        for (s++; *s && *s != '/'; s++) {
            if (*s == '\\' && s[1])
                s++;
        }
        if (!*s) {
            err_set(v->e, ERR_VALIDATION, "the regular expression %s lacks its closing '/'",
                    start);
            return NULL;
        }
        s++;
        s += strspn(s, BLANKS);
        if (*s && !strchr(",!&^", *s)) {
            err_set(v->e, ERR_VALIDATION, "after the regular expression comes \"%s\": put one of "
                    ", ! & ^ between", s);
            return NULL;
        }
        return s;
    }
    for (; *s && (inside || !strchr(",!&^", *s)); s++) {
        if (*s == '[')
            inside = true;
        else if (*s == ']')
            inside = false;
    }
    return s;
}

static char *trimmed(const char *s, const char *end)
{
    while (end > s && strchr(BLANKS, end[-1]))
        end--;
    return x_strndup(s, (size_t) (end - s));
}

/* `^FILE` and `-`, that is, what may only be a whole comma term. Returns 1 when it was neither;
 * *end is the comma or the end. */
static int eval_whole_term(struct eval *v, const char *s, const char **end, struct nodeset *acc)
{
    char *text;
    int rc = 1;

    *end = s + strcspn(s, ",");
    text = trimmed(s, *end);
    if (*text == '^')
        rc = eval_file(v, text + 1 + strspn(text + 1, BLANKS), acc);
    else if (!strcmp(text, "-"))
        rc = eval_stdin(v, acc);
    free(text);
    return rc;
}

static int apply_operand(struct eval *v, char op, const char *text, struct nodeset *acc)
{
    struct nodeset *set;
    int rc;

    if (op == ',')
        return eval_operand(v, op, text, acc);
    set = nodeset_new();
    rc = eval_operand(v, op, text, set);
    if (rc)
        ;
    else if (op == '!')
        nodeset_difference(acc, set);
    else if (op == '&')
        nodeset_intersect(acc, set);
    else
        nodeset_xor(acc, set);
    nodeset_free(set);
    /* A group that is narrowed is no longer given whole. */
    if (!v->muted && (op == '&' || op == '^' || (op == '!' && var_term_here(text))))
        strv_clear(&v->out->groups);
    return rc;
}

static int eval_expr(struct eval *v, const char *s, struct nodeset *acc)
{
    char op = ',';

    for (;;) {
        const char *end;
        int rc = 1;

        s += strspn(s, BLANKS);
        if (op == ',')
            rc = eval_whole_term(v, s, &end, acc);
        else if (*s == '^')
            return err_set(v->e, ERR_VALIDATION, "^FILE stands between commas only, not after "
                           "'%c'", op);
        if (rc == 1) {
            char *text;

            end = operand_end(v, s);
            if (!end)
                return -ERR_VALIDATION;
            text = trimmed(s, end);
            rc = apply_operand(v, op, text, acc);
            free(text);
        }
        if (!rc && nodeset_count(acc) > NODESET_MAX)
            rc = err_set(v->e, ERR_VALIDATION, "it gives more than 1,000,000 names");
        if (rc || !*end)
            return rc;
        op = *end;
        s = end + 1;
    }
}

static int refuse_unknown(struct eval *v)
{
    size_t n = nodeset_count(v->unknown);
    struct strbuf details, folded;

    strbuf_init(&details, 0);
    strbuf_init(&folded, 0);
    for (size_t i = 0; i < n; i++) {
        strbuf_adds(&details, nodeset_at(v->unknown, i));
        if (i + 1 < n)
            strbuf_addch(&details, '\n');
    }
    nodeset_fold(&folded, v->unknown, 200);
    if (n == 1)
        err_set(v->e, ERR_INVALID_NODES, "unknown node %s: no inventory has it; muster nodes -a lists "
                "what is known, and --any-host takes any name", folded.s);
    else
        err_set(v->e, ERR_INVALID_NODES, "%zu unknown nodes, %s: no inventory has them; muster "
                "nodes -a lists what is known, and --any-host takes any name", n, folded.s);
    err_details(v->e, strbuf_steal(&details));
    strbuf_free(&folded);
    return -ERR_INVALID_NODES;
}

/* Direct names first, in written order, then what groups brought. */
static struct nodeset *in_order(const struct eval *v, const struct nodeset *acc)
{
    struct nodeset *ordered = nodeset_new();

    for (size_t i = 0; i < nodeset_count(v->direct); i++) {
        const char *name = nodeset_at(v->direct, i);

        if (nodeset_has(acc, name))
            nodeset_add(ordered, name);
    }
    nodeset_union(ordered, acc);
    return ordered;
}

int target_eval(const struct target_env *env, const char *expr, struct target_set *out,
                struct err *e)
{
    struct eval v = {.env = env, .out = out, .e = e};
    struct nodeset *acc = nodeset_new();
    int rc;

    target_set_clear(out);
    v.direct = nodeset_new();
    v.unknown = nodeset_new();
    if (!expr[strspn(expr, BLANKS)])
        rc = err_set(e, ERR_VALIDATION, "no target is given: name nodes or groups, as in "
                     "web[01-20],@db");
    else
        rc = eval_expr(&v, expr, acc);
    if (!rc && nodeset_count(v.unknown))
        rc = refuse_unknown(&v);
    if (!rc && !nodeset_count(acc) && v.unknown_groups.n) {
        char *names = strv_join(&v.unknown_groups, ", @");

        rc = err_set(e, ERR_VALIDATION, "no target is left: unknown group @%s; muster nodes lists "
                     "the groups", names);
        free(names);
    }
    for (size_t i = 0; !rc && !nodeset_count(acc) && i < v.terms.n && !out->why_none; i++) {
        char *why = var_term_unmet(env, v.terms.v[i]);

        if (why)
            out->why_none = x_asprintf("%s: %s", v.terms.v[i], why);
        free(why);
    }
    if (rc)
        target_set_clear(out);
    else
        out->nodes = in_order(&v, acc);
    nodeset_free(acc);
    nodeset_free(v.direct);
    nodeset_free(v.unknown);
    strv_clear(&v.unknown_groups);
    strv_clear(&v.terms);
    return rc;
}
