/* SPDX-License-Identifier: Apache-2.0 */
/* The command line from its words to a verb and an exit status. */
#include "cli.h"

#include "muster/base/alloc.h"
#include "muster/base/io.h"
#include "muster/base/log.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/config.h"
#include "muster/core/doc.h"
#include "muster/core/json.h"
#include "muster/service/service.h"
#include "muster/service/version.h"
#include "muster/store/reader.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static verb_fn *const functions[] = {
#define VERB(id, name, args, summary, fn) verb_##fn,
#include "muster/cli/verbs.def"
#undef VERB
};

bool cli_json(const struct cli *c)
{
    return c->set[OPT_JSON] ||
           (c->set[OPT_FORMAT] && strncmp(c->text[OPT_FORMAT], "json", 4) == 0);
}

char *cli_targets(const struct cli *c, enum option_id id)
{
    return c->list[id].n ? strv_join(&c->list[id], ",") : NULL;
}

int cli_at_most(const struct cli *c, size_t n, struct err *e)
{
    if (c->args.n <= n)
        return 0;
    const char *arguments = verb_arguments(c->verb);
    return err_set(e, ERR_VALIDATION, "one word too many: %s (usage: muster %s%s%s)", c->args.v[n],
                   verb_name(c->verb), *arguments ? " " : "", arguments);
}

void cli_warnings(const struct strv *w)
{
    for (size_t i = 0; i < w->n; i++) {
        CLEANUP_FREE char *clean = text_clean(w->v[i]);
        fprintf(stderr, "muster: warning: %s\n", clean);
    }
}

static void open_log(struct cli *c, const struct service *s)
{
    CLEANUP_FREE char *dir = io_state_dir();
    CLEANUP_FREE char *path = io_join(dir, "muster.log");
    enum log_level level = service_config(s)->log_level;
    int more = c->count[OPT_VERBOSE];
    if (more)
        level = more > 1 ? LOG_TRACE : LOG_DEBUG;
    log_open(path, level); /* muster works on without one */
}

/* Folders with colons between, as PATH has them. */
static void split_task_path(struct cli *c)
{
    struct strv *given = &c->list[OPT_TASK_PATH], dirs = STRV_INIT;
    for (size_t i = 0; i < given->n; i++) {
        for (const char *p = given->v[i]; *p; p += strcspn(p, ":"), p += *p == ':') {
            CLEANUP_FREE char *dir = x_strndup(p, strcspn(p, ":"));
            if (*dir)
                strv_push_own(&dirs, io_expand_tilde(dir));
        }
    }
    strv_clear(given);
    *given = dirs;
}

/* A folder that somebody named is there. */
static int check_task_path(struct cli *c, struct err *e)
{
    const struct strv *dirs = &c->list[OPT_TASK_PATH];
    struct stat st;
    split_task_path(c);
    if (c->set[OPT_TASK_PATH] && !dirs->n)
        return err_set(e, ERR_VALIDATION, "--task-path %s: that names no folder", c->text[OPT_TASK_PATH]);
    for (size_t i = 0; i < dirs->n; i++) {
        if (stat(dirs->v[i], &st) != 0)
            return err_set(e, ERR_VALIDATION, "--task-path %s: %s", dirs->v[i], strerror(errno));
        if (!S_ISDIR(st.st_mode))
            return err_set(e, ERR_VALIDATION, "--task-path %s: that is no folder", dirs->v[i]);
    }
    return 0;
}

struct service *cli_service(struct cli *c, struct err *e)
{
    if (check_task_path(c, e) != 0)
        return NULL;
    const struct service_options o = {
        .db_path = c->text[OPT_DB],
        .inventories = c->set[OPT_INVENTORY] ? &c->list[OPT_INVENTORY] : NULL,
        .task_path = c->set[OPT_TASK_PATH] ? &c->list[OPT_TASK_PATH] : NULL,
        .ssh_config = c->text[OPT_SSH_CONFIG],
        .engine_fanout = (unsigned) c->number[OPT_FANOUT],
        .max_queue = (unsigned) c->number[OPT_MAX_QUEUE],
        .read_only = c->set[OPT_READ_ONLY],
        .ephemeral = c->verb == VERB_DEMO,
        .refresh_inventories = c->set[OPT_REFRESH],
        .program = "/proc/self/exe",
    };
    struct service *s = service_open(&o, e);
    if (!s)
        return NULL;
    open_log(c, s);
    /* A database that can only be read is still worth reading; what writes says so itself. */
    if (service_settle(s, e) != 0) {
        CLEANUP_FREE char *clean = text_clean(e->msg);
        fprintf(stderr, "muster: warning: a process that ran a batch has died, and that cannot be put on "
                "record: %s\n", clean);
        err_clear(e);
    }
    return s;
}

int cli_batch(struct cli *c, struct reader *r, int64_t *number, struct err *e)
{
    return reader_resolve(r, c->args.n ? c->args.v[0] : "last", number, e);
}

void cli_page(const struct cli *c, size_t usual, size_t whole, size_t *offset, size_t *limit)
{
    *limit = c->set[OPT_PAGE_SIZE] ? (size_t) c->number[OPT_PAGE_SIZE]
             : c->set[OPT_PAGE]    ? usual
                                   : whole;
    *offset = c->set[OPT_PAGE] ? (size_t) (c->number[OPT_PAGE] - 1) * *limit : 0;
}

/* --- errors --- */

/* To standard error for people, and as a document for who asked for JSON. */
static int report(const struct cli *c, struct err *e)
{
    if (cli_json(c)) {
        struct json *j = doc_error(e);
        size_t n;
        const char *text = json_text(j, &n);
        fwrite(text, 1, n, stdout);
        putchar('\n');
        json_free(j);
    }
    CLEANUP_FREE char *clean = text_clean(e->msg);
    fprintf(stderr, "muster%s%s: %s\n", *verb_name(c->verb) ? " " : "", verb_name(c->verb), clean);
    /* One alone, and the unknown nodes, are in the text already. */
    if (e->details && e->code == ERR_VALIDATION && strchr(e->details, '\n')) {
        struct strbuf b;
        strbuf_init(&b, 0);
        text_sanitise(&b, e->details, strlen(e->details), TEXT_KEEP_NL);
        for (const char *line = b.s; *line;) {
            size_t n = strcspn(line, "\n");
            fprintf(stderr, "  %.*s\n", (int) n, line);
            line += n + (line[n] == '\n');
        }
        strbuf_free(&b);
    }
    return err_exit_status(e->code);
}

/* A line that could not be read to its end may still ask for JSON behind the fault. */
static void look_for_json(struct cli *c, char **argv)
{
    for (; *argv && strcmp(*argv, "--") != 0; argv++)
        if (strcmp(*argv, "--json") == 0)
            c->set[OPT_JSON] = true;
}

static void print_version(const struct cli *c)
{
    CLEANUP_FREE char *text = version_text();
    printf("%s%s\n", text, c->hooks->screen_library_version());
}

static int run_screen(struct cli *c, struct err *e)
{
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return err_set(e, ERR_VALIDATION,
                       "the screen needs a terminal; muster help lists the verbs for scripts");
    struct service *s = cli_service(c, e);
    if (!s)
        return -(int) e->code;
    int rc = c->hooks->screen(s, c->set[OPT_READ_ONLY], e);
    service_close(s);
    return rc;
}

static int dispatch(struct cli *c, struct err *e)
{
    if (c->set[OPT_HELP]) {
        help_print(c->verb, STDOUT_FILENO);
        return 0;
    }
    if (c->set[OPT_VERSION]) {
        print_version(c);
        return 0;
    }
    return c->verb == VERB_SCREEN ? run_screen(c, e) : functions[c->verb](c, e);
}

/* Results that did not arrive are no success; a reader that has seen enough (`| head`) is none of
 * our business. */
static int end_output(int rc)
{
    if (fflush(stdout) == 0 || errno == EPIPE || rc != 0)
        return rc;
    fprintf(stderr, "muster: cannot write to standard output: %s\n", strerror(errno));
    return 1;
}

int cli_main(int argc, char **argv, const struct cli_hooks *hooks)
{
    /* Who reads our output may leave early (`| head`): the batch still goes on to its end. */
    signal(SIGPIPE, SIG_IGN);
    struct cli c = {.hooks = hooks, .verb = VERB_SCREEN};
    struct err e = ERR_INIT;
    int rc = args_parse(&c, argc, argv, &e);
    if (rc == 0)
        rc = dispatch(&c, &e);
    else
        look_for_json(&c, argv);
    if (rc < 0)
        rc = report(&c, &e);
    rc = end_output(rc);
    err_clear(&e);
    args_clear(&c);
    log_close();
    return rc;
}
