/* SPDX-License-Identifier: Apache-2.0 */
/* muster rerun: a batch again, or a part of it, as it was or edited. */
#include "request.h"
#include "secrets.h"
#include "work.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/service/service.h"
#include "muster/store/reader.h"

#include <string.h>

static int which(const struct cli *c, enum rerun_which *out, enum reason *reason, struct err *e)
{
    int n = c->set[OPT_FAILED] + c->set[OPT_SKIPPED] + c->set[OPT_REASON] + c->set[OPT_RERUN_ALL];
    if (n != 1)
        return err_set(e, ERR_VALIDATION,
                       "say which nodes: one of --failed, --skipped, --reason R or --all");
    *out = c->set[OPT_FAILED]    ? RERUN_FAILED
           : c->set[OPT_SKIPPED] ? RERUN_SKIPPED
           : c->set[OPT_REASON]  ? RERUN_REASON
                                 : RERUN_ALL;
    if (c->set[OPT_REASON])
        *reason = (enum reason) reason_parse(c->text[OPT_REASON]);
    return 0;
}

/* The words before a --: the batch, and KEY=VALUE of its task or plan. */
static int read_words(const struct cli *c, const char **batch, struct strv *edits, struct err *e)
{
    *batch = "last";
    for (size_t i = 0; i < c->n_before; i++) {
        if (strchr(c->args.v[i], '='))
            strv_push(edits, c->args.v[i]);
        else if (i == 0)
            *batch = c->args.v[i];
        else
            return err_set(e, ERR_VALIDATION, "one word too many: %s (usage: muster %s %s)", c->args.v[i],
                           verb_name(c->verb), verb_arguments(c->verb));
    }
    return 0;
}

static int find_batch(struct service *s, const char *name, int64_t *number, struct err *e)
{
    struct reader *r = reader_open(service_db_path(s), e);
    if (!r)
        return -ERR_STORE;
    int rc = reader_resolve(r, name, number, e);
    reader_close(r);
    return rc;
}

static int refuse_edits(const struct cli *c, const struct strv *edits, struct err *e)
{
    static const enum option_id ids[] = {OPT_PARAMS, OPT_ASK_PARAM, OPT_ON_FAILURE, OPT_FROM_START,
                                         OPT_TASK_PATH};
    if (edits->n)
        return err_set(e, ERR_VALIDATION, "%s: that batch is no task and no plan, so it has no parameters",
                       edits->v[0]);
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        if (c->set[ids[i]])
            return err_set(e, ERR_VALIDATION, "--%s: that batch is no task and no plan",
                           option_row(ids[i])->name);
    return 0;
}

/* What a command has and neither a task, a plan nor a copy. */
static int refuse_unused(const struct cli *c, const struct batch_request *r, struct err *e)
{
    static const enum option_id ids[] = {OPT_STDIN, OPT_PTY, OPT_ENV, OPT_LIVE};
    size_t n = r->copy ? 4 : r->work ? 2 : 0;
    for (size_t i = 0; i < n; i++)
        if (c->set[ids[i]])
            return err_set(e, ERR_VALIDATION, "--%s: that batch is a %s, which has no use for it: "
                           "leave it out", option_row(ids[i])->name,
                           r->copy ? "copy" : action_type_name(r->type));
    if (c->set[OPT_ON_FAILURE] && r->work && r->type != ACTION_TYPE_PLAN)
        return err_set(e, ERR_VALIDATION, "--on-failure: that batch is a task, and only a plan has steps");
    if (c->set[OPT_FROM_START] && r->work && r->type != ACTION_TYPE_PLAN)
        return err_set(e, ERR_VALIDATION, "--from-start: that batch is a task, and only a plan has steps");
    return 0;
}

static int options(struct cli *c, struct batch_request *r, struct err *e)
{
    int rc = refuse_unused(c, r, e);
    if (rc != 0)
        return rc;
    if (c->set[OPT_LABEL])
        r->label = c->text[OPT_LABEL];
    if (c->set[OPT_FANOUT])
        r->fanout = (unsigned) c->number[OPT_FANOUT];
    if (c->set[OPT_SSH_CONFIG])
        r->ssh_config = c->text[OPT_SSH_CONFIG];
    return request_extras(c, r, e);
}

/* Words behind -- are the command instead of the old one; caller frees it. */
static int edit_command(const struct cli *c, struct batch_request *r, char **command, struct err *e)
{
    *command = NULL;
    if (!c->dashes)
        return 0;
    if (r->type != ACTION_TYPE_COMMAND)
        return err_set(e, ERR_VALIDATION, "that batch ran no command: what a task or a plan is given is "
                       "edited as KEY=VALUE, and another command is muster run's");
    struct strv words = {.v = c->args.v + c->n_before, .n = c->args.n - c->n_before};
    if (words.n == 0)
        return err_set(e, ERR_VALIDATION, "no command stands after --: write the edited one there");
    *command = strv_join(&words, " ");
    r->action = *command;
    return 0;
}

/* With its parameters, as they were or edited. */
static int launch_work(struct cli *c, struct service *s, struct secrets *x, struct batch_request *r,
                       const struct strv *edits, struct err *e)
{
    struct work w;
    int rc = work_open(&w, s, r->type == ACTION_TYPE_PLAN, r->work->name, r->work, e);
    if (rc == 0)
        rc = work_fill(&w, c, NULL, edits, e);
    if (rc == 0) {
        work_use(&w, r);
        rc = run_launch(c, s, x, &w, r, e);
    }
    work_clear(&w);
    return rc;
}

static int rerun(struct cli *c, struct service *s, struct secrets *x, struct err *e)
{
    CLEANUP_STRV struct strv edits = STRV_INIT;
    enum rerun_which w = RERUN_ALL;
    enum reason reason = REASON_NONE;
    const char *name;
    int64_t number;
    int rc = which(c, &w, &reason, e);
    if (rc == 0)
        rc = read_words(c, &name, &edits, e);
    if (rc == 0)
        rc = find_batch(s, name, &number, e);
    if (rc != 0)
        return rc;
    const struct rerun_options o = {.expand = c->set[OPT_EXPAND],
                                    .from_start = c->set[OPT_FROM_START],
                                    .inventories = true};
    struct batch_request req;
    struct rerun_hold *hold;
    rc = batch_rerun_request(s, number, w, reason, &o, &req, &hold, e);
    if (rc != 0)
        return rc;
    CLEANUP_FREE char *command = NULL;
    rc = options(c, &req, e);
    if (rc == 0)
        rc = edit_command(c, &req, &command, e);
    if (rc == 0 && req.work)
        rc = launch_work(c, s, x, &req, &edits, e);
    else if (rc == 0 && (rc = refuse_edits(c, &edits, e)) == 0)
        rc = run_launch(c, s, x, NULL, &req, e);
    batch_request_clear(&req);
    rerun_hold_free(hold);
    return rc;
}

int verb_rerun(struct cli *c, struct err *e)
{
    struct secrets x = {0};
    int rc = secrets_read(c, &x, e);
    struct service *s = rc == 0 ? cli_service(c, e) : NULL;
    if (s)
        rc = rerun(c, s, &x, e);
    else if (rc == 0)
        rc = -(int) e->code;
    service_close(s);
    secrets_clear(&x);
    return rc;
}
