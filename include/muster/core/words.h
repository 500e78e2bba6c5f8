/* SPDX-License-Identifier: Apache-2.0 */
/* Command templates: one line cut into words, and the names in braces that are filled in. Pure. */
#ifndef MUSTER_CORE_WORDS_H
#define MUSTER_CORE_WORDS_H

#include "muster/base/vec.h"

struct err;

/* Cuts text into words by the shell's rules for quotes: blanks separate; in 'single quotes' all stands
 * for itself; in "double quotes" a backslash takes the meaning from \ " $ and `, and before a newline
 * both go; elsewhere it does so from any character. Nothing is expanded: no $NAME, no ~, no *, no
 * operator, no comment. 0 with out (which was empty), or -ERR_VALIDATION: a quote that is not closed,
 * a backslash at the end. */
int words_split(const char *text, struct strv *out, struct err *e);

/* What a template's names stand for. */
struct template_values {
    const char *node, *host, *user, *command; /* user NULL: none is set */
};

/* The words of a template of the transport exec, with {node} {host} {user} {command} and %n %h %u %%
 * filled in after it was cut: each stays one word, or a part of one, whatever is in it. 0, or
 * -ERR_VALIDATION: as words_split; a name that is unknown; not exactly one {command}; a user that is
 * asked for and not set; nothing to run. */
int template_fill(const char *text, const struct template_values *v, struct strv *out,
                  struct err *e);
/* As template_fill() with any values. */
int exec_template_check(const char *text, struct err *e);

#endif
