/* SPDX-License-Identifier: Apache-2.0 */
/* Where in a command what a node said may be put.
 *
 * It is quoted as one word, which keeps it apart from the command only where the shell reads quotes: not
 * within other quotes, `..`, $((..)) or ${..}, a comment, nor in a text behind <<. The scan is coarse to
 * the safe side: in doubt it refuses. */
#include "plan_value.h"

#include <string.h>

struct scan {
    char quote;      /* ' or ", or NUL */
    bool backtick, comment, heredoc, escaped;
    bool ansi;       /* a $'..' was seen, whose end differs from shell to shell */
    unsigned arithmetic; /* depth of parentheses since $(( or (( */
    unsigned braces;     /* depth of ${ */
    char before;     /* the character before, NUL at the start */
};

static void scan_quotes(struct scan *c, const char *s)
{
    if (c->quote == '\'') {
        c->quote = *s == '\'' ? '\0' : c->quote;
        return;
    }
    if (*s == '\\')
        c->escaped = true;
    else if (*s == '`')
        c->backtick = !c->backtick;
    else if (*s == '"')
        c->quote = c->quote ? '\0' : '"';
    else if (*s == '\'' && !c->quote) {
        c->quote = '\'';
        c->ansi |= c->before == '$';
    }
}

static void scan_depths(struct scan *c, const char *s)
{
    if (c->arithmetic) {
        c->arithmetic += *s == '(';
        c->arithmetic -= *s == ')';
    } else if (*s == '(' && s[1] == '(') {
        c->arithmetic = 1;
    }
    if (*s == '{' && c->before == '$')
        c->braces++;
    else if (*s == '}' && c->braces)
        c->braces--;
    if (*s == '<' && s[1] == '<' && c->before != '<' && s[2] != '<')
        c->heredoc = true;
    if (*s == '#' && (!c->before || strchr(" \t\n;&|()", c->before)))
        c->comment = true;
}

static void scan_char(struct scan *c, const char *s)
{
    if (c->comment) {
        c->comment = *s != '\n';
    } else if (c->escaped) {
        c->escaped = false;
    } else {
        bool quoted = c->quote;

        scan_quotes(c, s);
        if (!quoted && !c->escaped)
            scan_depths(c, s);
    }
    c->before = *s;
}

static const char *unsafe(const struct scan *c)
{
    if (c->quote)
        return "within quotes: it is quoted by itself, so take them away or end them before it";
    if (c->backtick)
        return "within `..`: use $(..)";
    if (c->arithmetic)
        return "within ((..))";
    if (c->braces)
        return "within ${..}";
    if (c->comment)
        return "in a comment";
    if (c->heredoc)
        return "behind <<: use printf '%s\\n' and a pipe";
    if (c->ansi)
        return "behind $'..': use \"..\"";
    if (c->escaped)
        return "behind a backslash";
    if (c->before == '$')
        return "behind a $";
    return NULL;
}

const char *plan_shell_fault(const struct plan_value *v)
{
    struct scan c = {.quote = '\0'};
    const char *why = NULL;

    if (v->kind == PLAN_VALUE_REF && v->pieces[0].ref->of_step)
        return "as the whole command";
    for (size_t i = 0; i < v->n_pieces && !why; i++) {
        const struct plan_piece *p = &v->pieces[i];

        for (const char *s = p->text; s && *s; s++)
            scan_char(&c, s);
        if (!p->ref)
            continue;
        why = p->ref->of_step ? unsafe(&c) : NULL;
        c.before = 'x';
        c.escaped = false;
    }
    return why;
}
