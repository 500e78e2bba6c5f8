/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the command line share. Main thread only. */
#ifndef MUSTER_SRC_CLI_H
#define MUSTER_SRC_CLI_H

#include "muster/base/err.h"
#include "muster/base/vec.h"
#include "muster/cli/cli.h"
#include "muster/core/batch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader;
struct service;

enum verb {
#define VERB(id, name, args, summary, fn) VERB_##id,
#include "muster/cli/verbs.def"
#undef VERB
    VERB_SCREEN, /* no verb at all */
    VERB_COUNT
};
enum verb_mask {
#define VERB(id, name, args, summary, fn) V_##id = 1 << VERB_##id,
#include "muster/cli/verbs.def"
#undef VERB
    V_SCREEN = 1 << VERB_SCREEN,
    V_COPY = V_PUSH | V_PULL,
    V_ALL = (1 << VERB_COUNT) - 1
};

enum option_kind { KIND_FLAG, KIND_OPTIONAL, KIND_TEXT, KIND_LIST, KIND_NUMBER, KIND_TIME, KIND_SIZE,
                   KIND_CHOICE };

enum option_id {
#define OPTION(id, letter, name, kind, arg, low, high, verbs, help) OPT_##id,
#include "muster/cli/options.def"
#undef OPTION
    OPT_COUNT
};

struct option_row {
    enum option_id id;
    char letter; /* 0: none */
    const char *name;
    enum option_kind kind;
    const char *arg; /* for help; a CHOICE's choices, separated by | */
    int64_t low, high;
    unsigned verbs;
    const char *help;
};
const struct option_row *option_row(enum option_id id);
/* The option that this long name means to a verb, or NULL. */
const struct option_row *option_find(enum verb v, const char *name);

struct cli {
    const struct cli_hooks *hooks;
    enum verb verb;
    bool set[OPT_COUNT];
    int count[OPT_COUNT];         /* how often a flag was given */
    char *text[OPT_COUNT];        /* the last value, as typed */
    int64_t number[OPT_COUNT];    /* NUMBER, TIME (ms), SIZE (bytes) */
    struct strv list[OPT_COUNT];
    struct strv args;             /* what is no option */
    size_t n_before;              /* of args: those before a --; all, where there is none */
    bool dashes;                  /* there was one */
    char *faults;                 /* values that are wrong, or NULL */
    char *stage_faults;           /* those of the stages: told with what else of them is wrong */
    bool bad_canary;              /* one of these: there is to be a canary */
};

/* Fills c from the words after the program's name. 0 or -ERR_VALIDATION. */
int args_parse(struct cli *c, int argc, char **argv, struct err *e);
/* Sets one option from text, checking it. `shown` is how the user wrote it ("-f", "fanout"). */
int args_set(struct cli *c, const struct option_row *o, const char *shown, const char *value,
             struct err *e);
/* -ERR_VALIDATION when two were given of which one would be ignored. */
int args_check(const struct cli *c, struct err *e);
/* -ERR_VALIDATION when a command was given what only a task or a plan has a use for; with --request, to be
 * called when that has been read. */
int args_check_work(const struct cli *c, struct err *e);
void args_clear(struct cli *c);
const char *verb_name(enum verb v);
const char *verb_arguments(enum verb v);
const char *verb_summary(enum verb v);
int verb_find(const char *name); /* enum verb, or -1 */

/* Help of one verb, or of the program (VERB_SCREEN), on fd. */
void help_print(enum verb v, int fd);

/* One function a verb: returns the exit status, or -code with *e set. */
typedef int verb_fn(struct cli *c, struct err *e);
#define VERB(id, name, args, summary, fn) int verb_##fn(struct cli *c, struct err *e);
#include "muster/cli/verbs.def"
#undef VERB

/* A service opened as the options say, with the log; dead owners' batches are settled. */
struct service *cli_service(struct cli *c, struct err *e);
/* The batch that the first argument names ("last" when there is none). */
int cli_batch(struct cli *c, struct reader *r, int64_t *number, struct err *e);
/* The rows that --page and --page-size ask for: pages of `usual` rows where only the page is given,
 * `whole` rows (0: all) where neither is. */
void cli_page(const struct cli *c, size_t usual, size_t whole, size_t *offset, size_t *limit);
/* -ERR_VALIDATION when there are more arguments than this. */
int cli_at_most(const struct cli *c, size_t n, struct err *e);
/* What a repeated target option names in all, as one expression, or NULL. Caller frees. */
char *cli_targets(const struct cli *c, enum option_id id);
/* "muster: warning: .." a line each, on standard error. */
void cli_warnings(const struct strv *w);
bool cli_json(const struct cli *c); /* a JSON document is asked for, so errors are one too */

#endif
