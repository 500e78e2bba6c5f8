/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the command line by getopt_long(3), from the tables of verbs and options. */
#include "cli.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/settings.h"
#include "muster/core/suggest.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

/* The reasons of the table, as a list of choices. */
#define REASON_CHOICES                                                                         \
    "exit|signal|timeout|unreachable|unsupported|hostkey|auth|lost|cancelled|skipped|internal"

static const struct option_row rows[] = {
#define OPTION(id, letter, name, kind, arg, low, high, verbs, help)                            \
    {OPT_##id, letter, name, KIND_##kind, arg, low, high, verbs, help},
#include "muster/cli/options.def"
#undef OPTION
};

static const struct {
    const char *name, *arguments, *summary;
} verbs[] = {
#define VERB(id, name, args, summary, fn) {name, args, summary},
#include "muster/cli/verbs.def"
#undef VERB
    {"", "[options]", "the screen: history, targets, progress, results"},
};

const struct option_row *option_row(enum option_id id)
{
    return &rows[id];
}

const char *verb_name(enum verb v)
{
    return verbs[v].name;
}

const char *verb_arguments(enum verb v)
{
    return verbs[v].arguments;
}

const char *verb_summary(enum verb v)
{
    return verbs[v].summary;
}

int verb_find(const char *name)
{
    for (int v = 0; v < VERB_SCREEN; v++)
        if (strcmp(verbs[v].name, name) == 0)
            return v;
    return -1;
}

const struct option_row *option_find(enum verb v, const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if ((rows[i].verbs & (1u << v)) && strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

static const struct option_row *find_letter(enum verb v, int letter)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if ((rows[i].verbs & (1u << v)) && rows[i].letter == letter)
            return &rows[i];
    return NULL;
}

/* --- values --- */

static bool is_choice(const char *choices, const char *value)
{
    size_t n = strlen(value);
    for (const char *p = choices; *p; p += strcspn(p, "|") + (p[strcspn(p, "|")] == '|')) {
        if (strcspn(p, "|") == n && memcmp(p, value, n) == 0)
            return true;
    }
    return false;
}

static int not_in_range(const struct option_row *o, const char *shown, const char *value,
                        bool readable, struct err *e)
{
    bool time = o->kind == KIND_TIME;
    const char *forms = time ? "a time such as 30, 500ms, 30s, 5m or 1h"
                             : "a size such as 65536, 512k, 10M or 1G";
    if (!readable)
        return err_set(e, ERR_VALIDATION, "%s %s: %s is wanted", shown, value, forms);
    char low[32], high[32];
    const char *from = time ? text_duration(o->low, low) : text_size((uint64_t) o->low, low);
    const char *to = time ? text_duration(o->high, high) : text_size((uint64_t) o->high, high);
    if (time && o->low < 100)
        from = o->low ? "1ms" : "0";
    return err_set(e, ERR_VALIDATION, "%s %s: %s to %s are possible", shown, value, from, to);
}

static int set_number(struct cli *c, const struct option_row *o, const char *shown,
                      const char *value, struct err *e)
{
    int64_t n = 0;
    bool ok = true;
    if (o->kind == KIND_NUMBER) {
        char *end;
        errno = 0;
        n = strtoll(value, &end, 10);
        ok = *value && *end == '\0' && errno == 0;
    } else if (o->kind == KIND_TIME) {
        ok = text_parse_duration(value, &n);
    } else {
        uint64_t size = 0;
        ok = text_parse_size(value, &size) && size <= INT64_MAX;
        n = (int64_t) size;
    }
    if (ok && n >= o->low && n <= o->high) {
        c->number[o->id] = n;
        return 0;
    }
    if (o->kind == KIND_NUMBER)
        return err_set(e, ERR_VALIDATION, "%s %s: a whole number from %lld to %lld is wanted", shown,
                       value, (long long) o->low, (long long) o->high);
    return not_in_range(o, shown, value, ok, e);
}

static void add_fault(char **all, const char *text)
{
    char *more = *all ? x_asprintf("%s; %s", *all, text) : x_strdup(text);
    free(*all);
    *all = more;
}

static bool is_of_stages(enum option_id id)
{
    static const enum option_id ids[] = {OPT_CANARY, OPT_CANARY_OK, OPT_WAVES, OPT_PAUSE, OPT_PROBE,
                                         OPT_MAX_FAIL, OPT_SERIAL_BY};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        if (ids[i] == id)
            return true;
    return false;
}

static int check_value(struct cli *c, const struct option_row *o, const char *shown,
                       const char *value, struct err *e)
{
    int rc = 0;
    switch (o->kind) {
    case KIND_FLAG:
        break;
    case KIND_OPTIONAL:
        if (value && *value == '\0')
            rc = err_set(e, ERR_VALIDATION, "%s=: the value is empty; %s alone means the usual one", shown,
                         shown);
        break;
    case KIND_NUMBER:
    case KIND_TIME:
    case KIND_SIZE:
        rc = set_number(c, o, shown, value, e);
        break;
    case KIND_CHOICE:
        if (!is_choice(o->arg, value))
            rc = err_set(e, ERR_VALIDATION, "%s %s: one of %s is wanted", shown, value, o->arg);
        break;
    case KIND_LIST:
    case KIND_TEXT:
        if (*value == '\0')
            rc = err_set(e, ERR_VALIDATION, "%s: the value is empty", shown);
        else if (o->kind == KIND_LIST)
            strv_push(&c->list[o->id], value);
        break;
    }
    return rc;
}

/* Most of what can be wrong with stages shows only once the targets are known, and all of it is told at
 * once: so is a value that cannot be read. */
int args_set(struct cli *c, const struct option_row *o, const char *shown, const char *value,
             struct err *e)
{
    CLEANUP_ERR struct err why = ERR_INIT;
    int rc = check_value(c, o, shown, value, &why);
    if (rc != 0 && is_of_stages(o->id)) {
        add_fault(&c->stage_faults, why.msg);
        c->bad_canary |= o->id == OPT_CANARY;
        return 0;
    }
    if (rc != 0)
        return err_set(e, why.code, "%s", why.msg);
    c->set[o->id] = true;
    c->count[o->id]++;
    if (value) {
        free(c->text[o->id]);
        c->text[o->id] = x_strdup(value);
    }
    return 0;
}

/* --- getopt --- */

/* getopt's two tables for one verb; `+` stops at the first word that is no option. */
static void make_tables(enum verb v, bool stop, struct option *longs, struct strbuf *shorts)
{
    strbuf_adds(shorts, stop ? "+:" : ":");
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!(rows[i].verbs & (1u << v)))
            continue;
        int arg = rows[i].kind == KIND_FLAG       ? no_argument
                  : rows[i].kind == KIND_OPTIONAL ? optional_argument
                                                  : required_argument;
        longs[n++] = (struct option){rows[i].name, arg, NULL, 256 + (int) i};
        if (rows[i].letter) {
            strbuf_addch(shorts, rows[i].letter);
            strbuf_adds(shorts, arg == required_argument   ? ":"
                                : arg == optional_argument ? "::"
                                                           : "");
        }
    }
    longs[n] = (struct option){NULL, 0, NULL, 0};
}

static int unknown_option(const struct cli *c, char *const *argv, struct err *e)
{
    const char *verb = verb_name(c->verb);
    const char *space = *verb ? " " : "";
    if (optopt && optopt < 256)
        return err_set(e, ERR_VALIDATION, "unknown option -%c (see muster%s%s -h)", optopt, space,
                       verb);
    return err_set(e, ERR_VALIDATION, "unknown option %s (see muster%s%s -h)", argv[optind - 1],
                   space, verb);
}

/* Reads the options of c->verb from argv[1] on. Returns the index of the first word that is none. */
static int parse_options(struct cli *c, int argc, char **argv, bool stop, struct err *e)
{
    struct option longs[ARRAY_LEN(rows) + 1];
    struct strbuf shorts;
    strbuf_init(&shorts, 0);
    make_tables(c->verb, stop, longs, &shorts);
    opterr = 0;
    optind = 0; /* glibc: start anew */
    int rc = 0, got;
    while (rc == 0 && (got = getopt_long(argc, argv, shorts.s, longs, NULL)) != -1) {
        if (got == '?') {
            rc = unknown_option(c, argv, e);
        } else if (got == ':') {
            rc = err_set(e, ERR_VALIDATION, "%s wants a value", argv[optind - 1]);
        } else {
            const struct option_row *o = got >= 256 ? &rows[got - 256] : find_letter(c->verb, got);
            char shown[40];
            if (got < 256)
                snprintf(shown, sizeof shown, "-%c", got);
            else
                snprintf(shown, sizeof shown, "--%s", o->name);
            CLEANUP_ERR struct err why = ERR_INIT;
            if (args_set(c, o, shown, optarg, &why) != 0)
                add_fault(&c->faults, why.msg);
        }
    }
    strbuf_free(&shorts);
    return rc != 0 ? rc : optind;
}

static int unknown_verb(const char *word, struct err *e)
{
    const char *names[VERB_SCREEN];
    for (int v = 0; v < VERB_SCREEN; v++)
        names[v] = verbs[v].name;
    const char *near = suggest_nearest(word, names, ARRAY_LEN(names));
    for (size_t v = 0; !near && v < ARRAY_LEN(names); v++)
        if (strncmp(names[v], word, strlen(word)) == 0)
            near = names[v];
    return err_set(e, ERR_VALIDATION, "unknown verb %s%s%s%s (muster help lists them)", word,
                   near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

/* --- what does not go together --- */

enum { WORDS = OPT_COUNT }; /* what is no option, as an operand of a pair */

/* Options of which one would be ignored beside the other. */
static const struct {
    unsigned verbs;
    int a, b;
} exclusive[] = {
    {V_NODES, OPT_SOURCES, WORDS},
    {V_NODES, OPT_SOURCES, OPT_TARGETS},
    {V_NODES, OPT_SOURCES, OPT_GROUP},
    {V_NODES, OPT_SOURCES, OPT_ALL},
    {V_NODES, OPT_SOURCES, OPT_EXCLUDE},
    {V_NODES, OPT_SOURCES, OPT_EXCLUDE_GROUP},
    {V_NODES, OPT_SOURCES, OPT_FOLD_NODES},
    {V_NODES, OPT_SOURCES, OPT_JSON},
    {V_NODES, OPT_FOLD_NODES, OPT_JSON},
    {V_NODES, OPT_SAVE, OPT_SOURCES},
    {V_RESULTS, OPT_NODE, OPT_FOLD},
    {V_RESULTS, OPT_STEP, OPT_DIFF},
    {V_RUN, OPT_TASK, OPT_PLAN},
    {V_RUN, OPT_TASK, OPT_STDIN},
    {V_RUN, OPT_PLAN, OPT_STDIN},
    {V_RUN, OPT_TASK, OPT_PTY},
    {V_RUN, OPT_PLAN, OPT_PTY},
    {V_RESULTS, OPT_NODE, OPT_DIFF},
    {V_RESULTS, OPT_DIFF, OPT_FOLD},
    {V_RESULTS, OPT_DIFF, OPT_NO_LABEL},
    {V_ALL, OPT_ASK_PASSWORD, OPT_PASSWORD_FD},
    {V_ALL, OPT_ASK_SUDO_PASSWORD, OPT_SUDO_PASSWORD_FD},
    {V_ALL, OPT_SUDO, OPT_BECOME},
    {V_RUN | V_COPY | V_RERUN, OPT_FOLD, OPT_JSON},
    {V_RUN | V_COPY | V_RERUN, OPT_FOLD, OPT_FORMAT},
    {V_RUN | V_COPY | V_RERUN, OPT_LIVE, OPT_JSON},
    {V_RUN | V_COPY | V_RERUN, OPT_LIVE, OPT_FORMAT},
    {V_RUN | V_COPY | V_RERUN, OPT_NO_LABEL, OPT_JSON},
    {V_RUN | V_COPY | V_RERUN, OPT_NO_LABEL, OPT_FORMAT},
    {V_RUN | V_COPY | V_RERUN, OPT_JSON, OPT_FORMAT},
    {V_RUN | V_COPY | V_RERUN, OPT_DETACH, OPT_FOLD},
    {V_RUN | V_COPY | V_RERUN, OPT_DETACH, OPT_NO_LABEL},
    {V_RUN | V_COPY | V_RERUN, OPT_DETACH, OPT_MAX_RC},
    {V_RUN | V_RERUN | V_WATCH, OPT_FOLD, OPT_LIVE},
};

/* --format human changes nothing, and --format json beside --json says the same twice. */
static bool is_given(const struct cli *c, int id, int beside)
{
    if (id == WORDS)
        return c->args.n > 0;
    if (id != OPT_FORMAT || !c->set[id])
        return c->set[id];
    return strcmp(c->text[id], beside == OPT_JSON ? "json" : "human") != 0;
}

static char *shown(const struct cli *c, int id)
{
    if (id == WORDS)
        return x_strdup(c->args.v[0]);
    if (id == OPT_FORMAT)
        return x_asprintf("--format %s", c->text[id]);
    return x_asprintf("--%s", option_row(id)->name);
}

/* What says sudo beside what says not to become anybody, and two users to become. */
static int check_become(const struct cli *c, struct err *e)
{
    bool none = c->set[OPT_BECOME] && strcmp(c->text[OPT_BECOME], "none") == 0;
    static const enum option_id wants[] = {OPT_BECOME_USER, OPT_ASK_SUDO_PASSWORD,
                                           OPT_SUDO_PASSWORD_FD};
    for (size_t i = 0; none && i < ARRAY_LEN(wants); i++)
        if (c->set[wants[i]])
            return err_set(e, ERR_VALIDATION, "--become none and --%s: one of them, please",
                           option_row(wants[i])->name);
    if (c->set[OPT_SUDO] && c->text[OPT_SUDO] && c->set[OPT_BECOME_USER])
        return err_set(e, ERR_VALIDATION, "--sudo=%s and --become-user: one of them, please",
                       c->text[OPT_SUDO]);
    return 0;
}

/* A password that nobody would want. */
static int check_trial(const struct cli *c, struct err *e)
{
    static const enum option_id passwords[] = {OPT_ASK_PASSWORD, OPT_PASSWORD_FD,
                                               OPT_ASK_SUDO_PASSWORD, OPT_SUDO_PASSWORD_FD};
    for (size_t i = 0; c->verb == VERB_EXPLAIN && !c->set[OPT_CONNECT] && i < ARRAY_LEN(passwords);
         i++)
        if (c->set[passwords[i]])
            return err_set(e, ERR_VALIDATION, "--%s: explain takes a password only with --connect, "
                           "which tries it", option_row(passwords[i])->name);
    return 0;
}

/* Standard input has one reader; that `-` is among the targets is seen where they are evaluated. */
static int check_stdin(const struct cli *c, struct err *e)
{
    const char *readers[4];
    size_t n = 0;
    if (c->set[OPT_REQUEST] && strcmp(c->text[OPT_REQUEST], "-") == 0)
        readers[n++] = "--request -";
    if (c->set[OPT_STDIN] && strcmp(c->text[OPT_STDIN], "-") == 0)
        readers[n++] = "--stdin -";
    if (c->set[OPT_PARAMS] && strcmp(c->text[OPT_PARAMS], "-") == 0)
        readers[n++] = "--params -";
    if (c->set[OPT_PASSWORD_FD] && c->number[OPT_PASSWORD_FD] == 0)
        readers[n++] = "--password-fd 0";
    else if (c->set[OPT_SUDO_PASSWORD_FD] && c->number[OPT_SUDO_PASSWORD_FD] == 0)
        readers[n++] = "--sudo-password-fd 0";
    if (n < 2)
        return 0;
    return err_set(e, ERR_VALIDATION, "%s and %s: standard input has one reader", readers[0], readers[1]);
}

int args_check_work(const struct cli *c, struct err *e)
{
    static const enum option_id ids[] = {OPT_PARAMS, OPT_ASK_PARAM, OPT_TASK_PATH};
    if (c->verb == VERB_RUN && c->set[OPT_ON_FAILURE] && !c->set[OPT_PLAN])
        return err_set(e, ERR_VALIDATION, "--on-failure: that is for --plan: %s has no steps",
                       c->set[OPT_TASK] ? "a task" : "a command");
    for (size_t i = 0; c->verb == VERB_RUN && i < ARRAY_LEN(ids); i++)
        if (c->set[ids[i]] && !c->set[OPT_TASK] && !c->set[OPT_PLAN])
            return err_set(e, ERR_VALIDATION, "--%s: that is for --task and --plan",
                           option_row(ids[i])->name);
    return 0;
}

/* What lists or forgets saved targets looks at no target, and what keeps one takes it from the words. */
static int check_saved(const struct cli *c, struct err *e)
{
    static const int ids[] = {WORDS, OPT_TARGETS, OPT_GROUP, OPT_ALL, OPT_EXCLUDE, OPT_EXCLUDE_GROUP,
                              OPT_ANY_HOST, OPT_FOLD_NODES, OPT_SOURCES, OPT_REFRESH, OPT_SAVE,
                              OPT_JSON};
    int alone = c->set[OPT_FORGET] ? OPT_FORGET : OPT_SAVED;
    if (c->set[OPT_FORGET] && c->set[OPT_SAVED])
        return err_set(e, ERR_VALIDATION, "--forget and --saved: one of them, please");
    for (size_t i = 0; c->set[alone] && i < ARRAY_LEN(ids) - (alone == OPT_SAVED); i++) {
        if (!is_given(c, ids[i], alone))
            continue;
        CLEANUP_FREE char *other = shown(c, ids[i]);
        return err_set(e, ERR_VALIDATION, "--%s and %s: one of them, please", option_row(alone)->name,
                       other);
    }
    return 0;
}

int args_check(const struct cli *c, struct err *e)
{
    int rc = check_become(c, e);
    if (rc == 0)
        rc = check_stdin(c, e);
    if (rc == 0)
        rc = check_trial(c, e);
    if (rc == 0 && !c->set[OPT_REQUEST])
        rc = args_check_work(c, e);
    if (rc == 0)
        rc = check_saved(c, e);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < ARRAY_LEN(exclusive); i++) {
        int a = exclusive[i].a, b = exclusive[i].b;
        if (!(exclusive[i].verbs & (1u << c->verb)) || !is_given(c, a, b) || !is_given(c, b, a))
            continue;
        CLEANUP_FREE char *first = shown(c, a);
        CLEANUP_FREE char *second = shown(c, b);
        return err_set(e, ERR_VALIDATION, "%s and %s: one of them, please", first, second);
    }
    return 0;
}

/* `--sudo deploy -- id` would run "deploy -- id" as root. words: from behind the options on, with the word
 * before them. */
static int check_sudo_word(const struct cli *c, char *const *words, int n, struct err *e)
{
    if (c->verb != VERB_RUN || n < 2 || strcmp(words[0], "--sudo") != 0)
        return 0;
    for (int i = 2; i < n; i++)
        if (strcmp(words[i], "--") == 0)
            return err_set(e, ERR_VALIDATION, "--sudo takes its user as --sudo=%s; put -- before the "
                           "command", words[1]);
    return 0;
}

/* How many words stand behind the first --: getopt_long(3) puts words that stood before it there too. */
static int behind_dashes(int argc, char *const *argv)
{
    int i = 1;
    while (i < argc && strcmp(argv[i], "--") != 0)
        i++;
    return i < argc ? argc - i - 1 : 0;
}

/* Every value that is wrong, then what the reading ended with, if anything. */
static int told_at_once(struct cli *c, struct err *e)
{
    CLEANUP_FREE char *last = X_STEAL(e->msg);
    if (c->faults && c->stage_faults)
        add_fault(&c->faults, c->stage_faults);
    if (c->faults && last)
        add_fault(&c->faults, last);
    return err_set(e, ERR_VALIDATION, "%s", c->faults ? c->faults : last);
}

int args_parse(struct cli *c, int argc, char **argv, struct err *e)
{
    c->verb = VERB_SCREEN;
    int first = parse_options(c, argc, argv, true, e);
    if (first < 0 || (first >= argc && c->faults))
        return told_at_once(c, e);
    if (first >= argc)
        return 0;
    int v = verb_find(argv[first]);
    if (v < 0)
        return unknown_verb(argv[first], e);
    c->verb = v;
    /* A command line that follows is the user's, with options of its own. */
    bool stop = v == VERB_RUN;
    int behind = behind_dashes(argc - first, argv + first);
    int rc, rest = parse_options(c, argc - first, argv + first, stop, e);
    /* What a task or a plan is given has none. */
    bool more = v == VERB_RUN && (c->set[OPT_TASK] || c->set[OPT_PLAN]);
    if (rest > 0 && more && argc - first - rest > behind) {
        first += rest - 1;
        rest = parse_options(c, argc - first, argv + first, false, e);
    }
    if (rest < 0)
        return told_at_once(c, e);
    for (int i = first + rest; i < argc; i++)
        strv_push(&c->args, argv[i]);
    c->dashes = strcmp(argv[first + rest - 1], "--") == 0;
    c->n_before = c->args.n - (c->dashes && !stop ? (size_t) behind : 0);
    rc = check_sudo_word(c, argv + first + rest - 1, argc - first - rest + 1, e);
    if (rc != 0 || c->faults)
        return told_at_once(c, e);
    return args_check(c, e);
}

void args_clear(struct cli *c)
{
    for (size_t i = 0; i < OPT_COUNT; i++) {
        free(c->text[i]);
        c->text[i] = NULL;
        strv_clear(&c->list[i]);
    }
    strv_clear(&c->args);
    free(c->faults);
    free(c->stage_faults);
    c->faults = c->stage_faults = NULL;
}
