/* SPDX-License-Identifier: Apache-2.0 */
/* muster run: from flags to a request, the questions, and the batch. */
#include "dry_run.h"
#include "follow.h"
#include "request.h"
#include "secrets.h"
#include "work.h"

#include "muster/base/alloc.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/json.h"
#include "muster/core/nodeset.h"
#include "muster/core/target.h"
#include "muster/service/service.h"
#include "muster/store/reader.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- questions --- */

/* Reads an answer from the terminal. False when there is none. */
static bool ask(const char *question, char *answer, size_t n)
{
    fprintf(stderr, "%s ", question);
    if (!fgets(answer, (int) n, stdin))
        return false;
    answer[strcspn(answer, "\n")] = '\0';
    return true;
}

static int expect(const struct cli *c, const struct batch_review *v, struct err *e)
{
    if (!c->set[OPT_EXPECT] || c->number[OPT_EXPECT] == (int64_t) v->nodes.n)
        return 0;
    return err_set(e, ERR_VALIDATION, "--expect %lld, but the number of targets is %zu: nothing "
                   "was run", (long long) c->number[OPT_EXPECT], v->nodes.n);
}

static int ask_protected(const struct cli *c, const struct batch_review *v, struct err *e)
{
    if (c->set[OPT_EXPECT])
        return 0;
    char question[256], answer[32], want[32];
    snprintf(want, sizeof want, "%zu", v->nodes.n);
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return err_set(e, ERR_FORBIDDEN,
                       "@%s is protected: confirm with --expect %zu, the number of targets",
                       v->protected_groups.v[0], v->nodes.n);
    snprintf(question, sizeof question, "@%s is protected. Type the number of targets (%zu) to run:",
             v->protected_groups.v[0], v->nodes.n);
    if (ask(question, answer, sizeof answer) && strcmp(answer, want) == 0)
        return 0;
    return err_set(e, ERR_FORBIDDEN, "not confirmed: nothing was run");
}

static int ask_confirm(const struct cli *c, struct err *e)
{
    char answer[32];
    if (c->set[OPT_YES])
        return 0;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return err_set(e, ERR_VALIDATION, "a rule of the configuration asks to confirm this "
                       "command, and there is no terminal to ask on: confirm with -y");
    if (ask("A rule of the configuration asks to confirm this command. Run it? [y/N]", answer,
            sizeof answer) &&
        (strcmp(answer, "y") == 0 || strcmp(answer, "yes") == 0))
        return 0;
    return err_set(e, ERR_FORBIDDEN, "not confirmed: nothing was run");
}

static int check_asks(const struct cli *c, const struct batch_review *v, struct err *e)
{
    if (!v->asks)
        return 0;
    if (c->set[OPT_DETACH])
        return err_set(e, ERR_VALIDATION, "--canary with --detach: nobody is there to ask; say what is "
                       "good enough by --canary-ok PERCENT");
    if (!questions_possible())
        return err_set(e, ERR_VALIDATION, "--canary asks a question, and there is no terminal to ask on: "
                       "say what is good enough by --canary-ok PERCENT (-y: all of them)");
    return 0;
}

static int confirm(const struct cli *c, const struct batch_review *v, struct err *e)
{
    int rc = expect(c, v, e);
    if (rc == 0)
        rc = check_asks(c, v, e);
    if (rc == 0 && v->protected_groups.n)
        rc = ask_protected(c, v, e);
    if (rc == 0 && v->confirm)
        rc = ask_confirm(c, e);
    return rc;
}

/* --- creating and following --- */

static void announce(void *ctx, int64_t number, size_t targets)
{
    const struct cli *c = ctx;
    if (!c->set[OPT_QUIET])
        fprintf(stderr, "batch #%lld: %zu target%s\n", (long long) number, targets,
                targets == 1 ? "" : "s");
}

static int create_and_follow(struct cli *c, struct service *s, struct batch_request *r,
                             int detached_fd, struct err *e)
{
    struct batch_created created;
    r->on_written = announce;
    r->on_written_ctx = c;
    service_set_can_ask(s, detached_fd < 0 && questions_possible());
    int rc = batch_create(s, r, &created, e);
    if (rc != 0)
        return rc;
    struct follow f = {.cli = c,
                       .service = s,
                       .number = created.number,
                       .own = true,
                       .format = follow_format_of(c),
                       .created = &created};
    if (detached_fd >= 0) {
        if (cli_json(c)) {
            struct json *o = batch_created_json(&created);
            puts(json_text(o, NULL));
            json_free(o);
        }
        fflush(stdout);
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        for (int fd = 0; fd < 3 && null >= 0; fd++)
            dup2(null, fd);
        char status = 0;
        io_write_all(detached_fd, &status, 1); /* the parent returns now */
        close(detached_fd);
        f.format = FOLLOW_HUMAN;
    }
    rc = follow_run(&f, e);
    batch_created_clear(&created);
    return rc;
}

/* The process forks before it has a thread. The child reports when the batch is written; the parent
 * returns with that. */
static int detach(struct cli *c, struct service *s, struct batch_request *r, struct err *e)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return err_set(e, ERR_INTERNAL, "cannot make a pipe");
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        return err_set(e, ERR_INTERNAL, "cannot start a process");
    if (pid == 0) {
        close(fds[0]);
        setsid();
        secrets_lock_again(r);
        return create_and_follow(c, s, r, fds[1], e);
    }
    close(fds[1]);
    char status;
    ssize_t got;
    do
        got = read(fds[0], &status, 1);
    while (got < 0);
    close(fds[0]);
    if (got == 1)
        return 0;
    int how = 0;
    waitpid(pid, &how, 0); /* it has said why on standard error */
    return WIFEXITED(how) && WEXITSTATUS(how) ? WEXITSTATUS(how) : 1;
}

/* What is asked for and read once the run is agreed to. */
static int get_inputs(struct cli *c, struct secrets *x, struct work *w, struct batch_request *r,
                      struct err *e)
{
    int rc = secrets_ask(c, x, r, e);
    if (rc == 0 && w)
        rc = work_ask(w, e);
    if (rc != 0 || !c->set[OPT_STDIN] || r->stdin_path)
        return rc;
    int fd = service_stdin_spool(STDIN_FILENO, e);
    r->stdin_fd = fd > 0 ? fd : 0;
    return fd > 0 ? 0 : fd;
}

int run_launch(struct cli *c, struct service *s, struct secrets *x, struct work *w,
               struct batch_request *r, struct err *e)
{
    struct batch_review v;
    int rc = service_review(s, r, &v, e);
    if (rc != 0)
        return rc;
    cli_warnings(&v.warnings);
    if (c->set[OPT_DRY_RUN])
        rc = expect(c, &v, e);
    else
        rc = confirm(c, &v, e);
    if (rc == 0 && c->set[OPT_DRY_RUN]) {
        rc = dry_run(c, r, &v, w);
        batch_review_clear(&v);
        return rc;
    }
    r->expect_count = v.nodes.n;
    batch_review_clear(&v);
    if (rc == 0)
        rc = get_inputs(c, x, w, r, e);
    if (rc != 0)
        return rc;
    r->confirmed = true;
    r->live = c->set[OPT_LIVE] || (!cli_json(c) && isatty(STDOUT_FILENO));
    follow_block_signals();
    rc = c->set[OPT_DETACH] ? detach(c, s, r, e) : create_and_follow(c, s, r, -1, e);
    if (r->stdin_fd)
        close(r->stdin_fd);
    return rc;
}

/* --- run --- */

static char *join_command(const struct strv *args)
{
    return strv_join(args, " ");
}

/* Something but the targets reads standard input. */
static bool reads_stdin(const struct cli *c)
{
    return (c->set[OPT_REQUEST] && strcmp(c->text[OPT_REQUEST], "-") == 0) ||
           (c->set[OPT_STDIN] && strcmp(c->text[OPT_STDIN], "-") == 0) ||
           (c->set[OPT_PARAMS] && strcmp(c->text[OPT_PARAMS], "-") == 0) ||
           (c->set[OPT_PASSWORD_FD] && c->number[OPT_PASSWORD_FD] == 0) ||
           (c->set[OPT_SUDO_PASSWORD_FD] && c->number[OPT_SUDO_PASSWORD_FD] == 0);
}

/* The targets of the flags and of the document (or NULL), evaluated. */
static int eval_targets(struct cli *c, struct service *s, const struct request_document *d,
                        struct target_set *out, struct err *e)
{
    CLEANUP_FREE char *targets = cli_targets(c, OPT_TARGETS);
    CLEANUP_FREE char *exclude = cli_targets(c, OPT_EXCLUDE);
    const struct target_request t = {
        .node_ids = d ? &d->nodes : NULL,
        .group_ids = d ? &d->groups : NULL,
        .targets = targets,
        .exclude = exclude,
        .groups = c->list[OPT_GROUP],
        .exclude_groups = c->list[OPT_EXCLUDE_GROUP],
        .all = c->set[OPT_ALL],
        .any_host = c->set[OPT_ANY_HOST],
        .stdin_taken = reads_stdin(c),
    };
    return service_targets(s, &t, out, e);
}

static const char **name_list(const struct strv *v)
{
    const char **out = x_array(NULL, v->n + 1, sizeof *out);
    for (size_t i = 0; i < v->n; i++)
        out[i] = v->v[i];
    return out;
}

static bool names_targets(const struct cli *c, const struct request_document *d)
{
    return c->set[OPT_TARGETS] || c->set[OPT_GROUP] || c->set[OPT_ALL] ||
           (d && (d->nodes.n || d->groups.n));
}

/* From here on the targets stand fast: what is reviewed is what runs. */
static int run_on_targets(struct cli *c, struct service *s, struct secrets *x, struct work *w,
                          const struct request_document *d, struct batch_request *r, struct err *e)
{
    /* A plan may name its targets itself, which the review sees to. */
    if (w && w->is_plan && !names_targets(c, d)) {
        r->expanded = true;
        return run_launch(c, s, x, w, r, e);
    }
    struct target_set t;
    int rc = eval_targets(c, s, d, &t, e);
    if (rc != 0)
        return rc;
    struct strv nodes = STRV_INIT;
    for (size_t i = 0; i < nodeset_count(t.nodes); i++)
        strv_push(&nodes, nodeset_at(t.nodes, i));
    CLEANUP_FREE const char **node_ids = name_list(&nodes);
    CLEANUP_FREE const char **group_ids = name_list(&t.groups);
    r->node_ids = node_ids;
    r->n_node_ids = nodes.n;
    r->group_ids = group_ids;
    r->n_group_ids = t.groups.n;
    r->expanded = true;
    r->warnings = &t.warnings;
    rc = run_launch(c, s, x, w, r, e);
    strv_clear(&nodes);
    target_set_clear(&t);
    return rc;
}

static int run_flags(struct cli *c, struct service *s, struct secrets *x, struct err *e)
{
    if (c->args.n == 0)
        return err_set(e, ERR_VALIDATION,
                       "no command: say what to run (muster run -w TARGETS -- COMMAND)");
    struct batch_request r;
    batch_request_init(&r);
    CLEANUP_FREE char *command = join_command(&c->args);
    r.action = command;
    int rc = request_options(c, &r, e);
    if (rc == 0)
        rc = run_on_targets(c, s, x, NULL, NULL, &r, e);
    batch_request_clear(&r);
    return rc;
}

/* A task or a plan, by flags or by the document. */
static int run_work(struct cli *c, struct service *s, struct secrets *x,
                    const struct request_document *d, struct batch_request *r, struct err *e)
{
    struct work w;
    bool is_plan = c->set[OPT_PLAN];
    int rc = work_open(&w, s, is_plan, c->text[is_plan ? OPT_PLAN : OPT_TASK], NULL, e);
    if (rc == 0)
        rc = work_fill(&w, c, d ? d->parameters : NULL, &c->args, e);
    if (rc == 0) {
        work_use(&w, r);
        rc = run_on_targets(c, s, x, &w, d, r, e);
    }
    work_clear(&w);
    return rc;
}

static int run_work_flags(struct cli *c, struct service *s, struct secrets *x, struct err *e)
{
    struct batch_request r;
    batch_request_init(&r);
    int rc = request_options(c, &r, e);
    if (rc == 0)
        rc = run_work(c, s, x, NULL, &r, e);
    batch_request_clear(&r);
    return rc;
}

static int run(struct cli *c, struct service *s, struct secrets *x, struct request_document *d,
               struct err *e)
{
    bool work = c->set[OPT_TASK] || c->set[OPT_PLAN];
    if (c->set[OPT_REQUEST])
        return work ? run_work(c, s, x, d, &d->request, e)
                    : run_on_targets(c, s, x, NULL, d, &d->request, e);
    return work ? run_work_flags(c, s, x, e) : run_flags(c, s, x, e);
}

/* Before the service is opened: the document may bring options that it is opened with. */
static int read_document(struct cli *c, struct request_document *d, struct err *e)
{
    static const enum option_id others[] = {OPT_TARGETS, OPT_EXCLUDE, OPT_GROUP,
                                            OPT_EXCLUDE_GROUP, OPT_ALL};
    static const enum option_id works[] = {OPT_TASK, OPT_PLAN};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (c->set[others[i]])
            return err_set(e, ERR_VALIDATION, "--request names the targets itself: leave out --%s",
                           option_row(others[i])->name);
    for (size_t i = 0; i < ARRAY_LEN(works); i++)
        if (c->set[works[i]])
            return err_set(e, ERR_VALIDATION, "--request names the %s itself: leave out --%s",
                           option_row(works[i])->name, option_row(works[i])->name);
    if (c->args.n)
        return err_set(e, ERR_VALIDATION, "--request names the command itself: leave out %s",
                       c->args.v[0]);
    int rc = request_read(c, c->text[OPT_REQUEST], d, e);
    if (rc == 0)
        rc = args_check_work(c, e);
    return rc == 0 ? args_check(c, e) : rc;
}

int verb_run(struct cli *c, struct err *e)
{
    struct request_document d = {0};
    struct secrets x = {0};
    int rc = secrets_read(c, &x, e);
    if (rc == 0 && c->set[OPT_REQUEST])
        rc = read_document(c, &d, e);
    struct service *s = rc == 0 ? cli_service(c, e) : NULL;
    if (s)
        rc = run(c, s, &x, &d, e);
    else if (rc == 0)
        rc = -(int) e->code;
    service_close(s);
    request_document_clear(&d);
    secrets_clear(&x);
    return rc;
}

int run_copy(struct cli *c, const struct copy_request *copy, struct err *e)
{
    struct secrets x = {0};
    struct batch_request r;
    batch_request_init(&r);
    r.type = ACTION_TYPE_TASK;
    r.copy = copy;
    r.action = copy->action;
    int rc = secrets_read(c, &x, e);
    if (rc == 0)
        rc = request_options(c, &r, e);
    struct service *s = rc == 0 ? cli_service(c, e) : NULL;
    if (s)
        rc = run_on_targets(c, s, &x, NULL, NULL, &r, e);
    else if (rc == 0)
        rc = -(int) e->code;
    service_close(s);
    batch_request_clear(&r);
    secrets_clear(&x);
    return rc;
}
