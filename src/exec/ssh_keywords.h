/* SPDX-License-Identifier: Apache-2.0 */
/* Every keyword of ssh_config(5), and what the ssh transport makes of it: one table, which conf_apply()
 * goes by, the tests hold against `ssh -G`, and README is written from. Pure. */
#ifndef MUSTER_EXEC_SSH_KEYWORDS_H
#define MUSTER_EXEC_SSH_KEYWORDS_H

#include <stdbool.h>
#include <stddef.h>

struct ssh_conf;

enum conf_treatment {
    CONF_HONOURED,
    CONF_OPENSSH,  /* only ssh itself can do it: the host goes to the transport openssh */
    CONF_REFUSED,  /* it changes where, as whom or how safely one connects, or what the command
                      sees: the host is unsupported while it asks for anything */
    CONF_LEFT_OUT, /* the command runs without it; the log says so once */
    CONF_HARMLESS  /* `ssh HOST COMMAND` would not be noticeably different without it */
};

struct conf_keyword {
    const char *name; /* as people write it; compared without case */
    enum conf_treatment how;
    void (*apply)(struct ssh_conf *c, const struct conf_keyword *k, const char *value);
    size_t member;    /* HONOURED: what apply() sets in struct ssh_conf */
    const char *fine; /* OPENSSH, REFUSED, LEFT_OUT: values that ask for nothing: "no,none" */
    /* OPENSSH, REFUSED: the -o that does without, or NULL; LEFT_OUT, HARMLESS: why; a phrase */
    const char *note;
};

const struct conf_keyword *conf_keyword(const char *name); /* NULL: not known */
const struct conf_keyword *conf_keyword_at(size_t i);      /* in order; NULL past the end */
/* OPENSSH, REFUSED, LEFT_OUT: this value asks for nothing. */
bool conf_fine(const struct conf_keyword *k, const char *value);

/* What a value of this keyword must be, when this one is not; NULL: it is good, as far as is known. */
const char *conf_wanted(const char *keyword, const char *value);

#endif
