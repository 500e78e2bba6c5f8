/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs about one batch: status, watch, results, cancel, export. */
#include "follow.h"
#include "known.h"
#include "print_steps.h"
#include "table.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/json.h"
#include "muster/core/suggest.h"
#include "muster/service/service.h"
#include "muster/store/reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define ROWS_DEFAULT 50
#define STEPS_SHOWN 12 /* LIMIT: titles that an error lists */

/* What all of these need: a service, a reader, the batch that is meant. */
struct session {
    struct service *service;
    struct reader *reader;
    int64_t number;
};

static int session_open(struct cli *c, struct session *x, struct err *e)
{
    int rc = cli_at_most(c, 1, e);
    if (rc != 0)
        return rc;
    x->service = cli_service(c, e);
    if (!x->service)
        return -(int) e->code;
    x->reader = reader_open(service_db_path(x->service), e);
    return x->reader ? cli_batch(c, x->reader, &x->number, e) : -ERR_STORE;
}

static int session_close(struct session *x, int rc)
{
    reader_close(x->reader);
    service_close(x->service);
    return rc;
}

/* --- status --- */

static void print_head(const struct batch *b)
{
    char time[24];
    CLEANUP_FREE char *action = text_clean(b->action);
    CLEANUP_FREE char *targets = text_clean(b->targets);
    printf("batch #%lld  %s  %u%%  %s\n", (long long) b->number, batch_status_name(b->status),
           batch_progress(&b->stats),
           text_duration(batch_duration_ms(b, wall_ms(clock_system())), time));
    printf("%-8s %s\ntargets  %s\n", b->is_copy ? "command" : action_type_name(b->type), action,
           targets);
    if (b->label) {
        CLEANUP_FREE char *label = text_clean(b->label);
        printf("label    %s\n", label);
    }
    if (b->rerun_of)
        printf("rerun of #%lld\n", (long long) b->rerun_of);
    printf("total %u  queued %u  running %u  success %u  failed %u\n", b->stats.total,
           b->stats.queued, b->stats.running, b->stats.success, b->stats.failed);
    for (int r = 1, n = 0; r < REASON_COUNT; r++)
        if (b->stats.by_reason[r])
            printf("%s%s %u", n++ ? "  " : "failed:  ", reason_name(r), b->stats.by_reason[r]);
    printf("%s", b->stats.failed ? "\n" : "");
    if (b->paused)
        printf("paused, %u waiting (muster resume %lld)\n", b->stats.queued,
               (long long) b->number);
    if (b->owner == OWNER_DEAD)
        printf("the process that ran it has died: what it still ran is lost\n");
    if (b->owner == OWNER_ALIVE || b->owner == OWNER_OTHER_HOST)
        printf("run by %s\n", b->owner_text ? b->owner_text : "another process");
}

/* steps: the titles of a plan's steps. */
static void status_row(struct table *t, const struct execution *x, const struct strv *steps,
                       int64_t now)
{
    char time[24], code[16] = "";
    if (x->exit_code >= 0)
        snprintf(code, sizeof code, "%d", x->exit_code);
    /* Nobody measured how long one took whose muster went away. */
    bool known = !exec_is_final(x->status) || x->duration_ms >= 0;
    struct strbuf why;
    strbuf_init(&why, 0);
    strbuf_adds(&why, x->error ? x->error : "");
    if (x->remote != REMOTE_NONE)
        strbuf_addf(&why, "%s(process: %s)", why.len ? " " : "", remote_process_name(x->remote));
    const char *cells[7] = {x->node, exec_status_name(x->status), reason_name(x->reason), code,
                            text_duration(known ? execution_duration_ms(x, now) : -1, time)};
    CLEANUP_FREE char *step = x->step && x->step <= steps->n
                                  ? x_asprintf("%u %s", x->step, steps->v[x->step - 1])
                                  : NULL;
    cells[5] = step;
    cells[t->columns - 1] = why.s;
    table_row(t, cells);
    strbuf_free(&why);
}

static void print_rows(const struct execution *x, size_t n, const struct strv *steps)
{
    struct table t = {.columns = steps->n ? 7 : 6};
    static const char *const head[] = {"NODE", "STATUS", "REASON", "CODE", "TIME", "ERROR"};
    static const char *const of_plan[] = {"NODE", "STATUS", "REASON", "CODE",
                                          "TIME", "STEP",   "ERROR"};
    table_row(&t, steps->n ? of_plan : head);
    int64_t now = wall_ms(clock_system());
    for (size_t i = 0; i < n; i++)
        status_row(&t, &x[i], steps, now);
    table_print(&t);
    table_free(&t);
}

static int status(struct cli *c, struct session *s, struct err *e)
{
    struct exec_filter f = EXEC_FILTER_ANY;
    if (c->set[OPT_STATUS])
        f.status_mask = 1u << exec_status_parse(c->text[OPT_STATUS]);
    int sort = c->set[OPT_SORT] ? exec_sort_parse(c->text[OPT_SORT]) : SORT_NAME;
    size_t offset, limit;
    cli_page(c, ROWS_DEFAULT, 0, &offset, &limit);
    if (c->set[OPT_JSON])
        return batch_status_write(s->service, s->number, &f, sort, false, offset, limit, NULL,
                                  STDOUT_FILENO, e);
    struct batch b = {0};
    struct execution *x = NULL;
    size_t n = 0;
    int rc = reader_begin_snapshot(s->reader, e);
    if (rc != 0)
        return rc;
    rc = reader_batch(s->reader, s->number, &b, e);
    if (rc == 0)
        rc = reader_executions(s->reader, s->number, &f, sort, false, offset,
                               limit ? limit : SIZE_MAX, &x, &n, NULL, e);
    reader_end_snapshot(s->reader);
    if (rc == 0) {
        print_head(&b);
        rc = known_print_notes(s->reader, NULL, s->number, e);
    }
    if (rc == 0)
        print_rows(x, n, &b.step_titles);
    executions_free(x, n);
    batch_clear(&b);
    return rc;
}

int verb_status(struct cli *c, struct err *e)
{
    struct session s = {0};
    int rc = session_open(c, &s, e);
    return session_close(&s, rc == 0 ? status(c, &s, e) : rc);
}

/* --- watch --- */

int verb_watch(struct cli *c, struct err *e)
{
    struct session s = {0};
    int rc = session_open(c, &s, e);
    if (rc == 0) {
        struct follow f = {
            .cli = c, .service = s.service, .number = s.number, .format = FOLLOW_HUMAN};
        follow_block_signals();
        rc = follow_run(&f, e);
    }
    return session_close(&s, rc);
}

/* --- results --- */

static int one_node(struct cli *c, struct session *s, struct printer *p, struct err *e)
{
    const struct exec_filter f = {.node = c->text[OPT_NODE]};
    struct execution *x = NULL;
    size_t n = 0;
    int rc = reader_executions(s->reader, s->number, &f, SORT_POSITION, false, 0, 1, &x, &n, NULL,
                               e);
    if (rc == 0 && n == 0)
        rc = err_set(e, ERR_VALIDATION, "node %s is not in batch #%lld", c->text[OPT_NODE],
                     (long long) s->number);
    if (rc == 0) {
        p->label = false;
        rc = print_execution(p, &x[0], e);
    }
    executions_free(x, n);
    return rc;
}

/* What the results of a batch are, all of one moment. */
struct whole {
    struct batch batch;
    struct execution *rows; /* or, folded, */
    struct output_class *classes;
    size_t n;
    struct strbuf last; /* the lines at the end */
};

static int read_whole(struct session *s, bool fold, struct whole *w, struct err *e)
{
    static const struct exec_filter any = EXEC_FILTER_ANY;
    int rc = reader_begin_snapshot(s->reader, e);
    if (rc != 0)
        return rc;
    rc = reader_batch(s->reader, s->number, &w->batch, e);
    if (rc == 0 && w->batch.n_steps)
        w->n = 0; /* its steps are read by themselves */
    else if (rc == 0 && fold)
        rc = reader_classes(s->reader, s->number, 0, SIZE_MAX, &w->classes, &w->n, NULL, e);
    else if (rc == 0)
        rc = reader_executions(s->reader, s->number, &any, SORT_NAME, false, 0, SIZE_MAX,
                               &w->rows, &w->n, NULL, e);
    if (rc == 0)
        rc = steps_text(s->reader, &w->batch, &w->last, e);
    if (rc == 0)
        rc = reasons_text(s->reader, &w->batch, &w->last, e);
    reader_end_snapshot(s->reader);
    return rc;
}

static int print_whole(struct printer *p, const struct whole *w, struct err *e)
{
    int rc = w->batch.n_steps ? print_steps(p, 0, true, NULL, e) : 0;
    for (size_t i = 0; i < w->n && rc == 0; i++)
        rc = w->classes ? print_class(p, &w->classes[i], e) : print_execution(p, &w->rows[i], e);
    if (rc != 0)
        return rc;
    fputs(w->last.s, stderr);
    if (w->batch.status == BATCH_RUNNING)
        fprintf(stderr, "batch #%lld still runs: %u of %u have ended\n",
                (long long) w->batch.number, w->batch.stats.success + w->batch.stats.failed,
                w->batch.stats.total);
    return 0;
}

static int whole_batch(struct cli *c, struct session *s, struct printer *p, struct err *e)
{
    struct whole w = {.n = 0};
    strbuf_init(&w.last, 0);
    int rc = read_whole(s, c->set[OPT_FOLD], &w, e);
    if (rc == 0)
        rc = print_whole(p, &w, e);
    if (w.classes)
        classes_free(w.classes, w.n);
    else
        executions_free(w.rows, w.n);
    strbuf_free(&w.last);
    batch_clear(&w.batch);
    return rc;
}

static int unknown_step(const char *typed, const struct session *s, const struct strv *steps,
                        struct err *e)
{
    struct strbuf b;
    strbuf_init(&b, 0);
    for (size_t i = 0; i < steps->n && i < STEPS_SHOWN; i++)
        strbuf_addf(&b, "%s%zu %s", i ? ", " : "", i + 1, steps->v[i]);
    if (steps->n > STEPS_SHOWN)
        strbuf_addf(&b, " and %zu more", steps->n - STEPS_SHOWN);
    const char *near = suggest_nearest(typed, (const char *const *) steps->v, steps->n);
    err_set(e, ERR_VALIDATION, "--step %s: batch #%lld has steps 1 to %zu: %s%s%s%s", typed,
            (long long) s->number, steps->n, b.s, near ? "; did you mean " : "", near ? near : "",
            near ? "?" : "");
    strbuf_free(&b);
    return -ERR_VALIDATION;
}

/* By number, or by the title where only one step has it. *step 0: none is asked for. */
static int find_step(const struct cli *c, const struct session *s, const struct strv *steps,
                     unsigned *step, struct err *e)
{
    const char *typed = c->text[OPT_STEP];
    unsigned found = 0;
    *step = 0;
    if (!typed)
        return 0;
    if (!steps->n)
        return err_set(e, ERR_VALIDATION, "--step %s: batch #%lld is no plan, so it has no steps", typed,
                       (long long) s->number);
    if (!typed[strspn(typed, "0123456789")]) {
        unsigned long n = strtoul(typed, NULL, 10);
        if (n >= 1 && n <= steps->n) {
            *step = (unsigned) n;
            return 0;
        }
    }
    for (size_t i = 0; i < steps->n; i++) {
        if (strcasecmp(steps->v[i], typed) != 0)
            continue;
        if (found)
            return err_set(e, ERR_VALIDATION, "--step %s: steps %u and %zu are called so: give the number",
                           typed, found, i + 1);
        found = (unsigned) i + 1;
    }
    *step = found;
    return found ? 0 : unknown_step(typed, s, steps, e);
}

/* Of a plan: all that was said step by step, or one step, or one node. */
static int plan_results(struct cli *c, struct session *s, struct printer *p, struct err *e)
{
    unsigned step;
    int rc = find_step(c, s, &p->steps, &step, e);
    if (rc != 0)
        return rc;
    if (c->set[OPT_DIFF])
        return print_diff(p, e); /* of what the plan returned, or its last step */
    if (!step && !c->set[OPT_NODE])
        return whole_batch(c, s, p, e);
    if (c->set[OPT_NODE])
        p->label = false;
    return print_steps(p, step, c->set[OPT_FOLD], c->text[OPT_NODE], e);
}

static int results(struct cli *c, struct session *s, struct err *e)
{
    struct printer p;
    printer_init(&p, s->reader, s->number, !c->set[OPT_NO_LABEL]);
    int rc = p.steps.n || c->set[OPT_STEP] ? plan_results(c, s, &p, e)
             : c->set[OPT_NODE]            ? one_node(c, s, &p, e)
             : c->set[OPT_DIFF]            ? print_diff(&p, e)
                                           : whole_batch(c, s, &p, e);
    return printer_close(&p, rc, e);
}

int verb_results(struct cli *c, struct err *e)
{
    struct session s = {0};
    int rc = session_open(c, &s, e);
    return session_close(&s, rc == 0 ? results(c, &s, e) : rc);
}

/* --- cancel --- */

static int cancel(struct cli *c, struct session *s, struct err *e)
{
    struct cancel_answer a;
    int rc = batch_cancel(s->service, s->number, &a, e);
    if (rc != 0)
        return rc;
    if (c->set[OPT_JSON]) {
        struct json *j = cancel_answer_json(&a);
        puts(json_text(j, NULL));
        json_free(j);
    } else if (!c->set[OPT_QUIET]) {
        puts(a.message);
    }
    return 0;
}

int verb_cancel(struct cli *c, struct err *e)
{
    struct session s = {0};
    int rc = session_open(c, &s, e);
    return session_close(&s, rc == 0 ? cancel(c, &s, e) : rc);
}

/* --- pause and resume --- */

static int set_paused(struct cli *c, bool on, struct err *e)
{
    struct session s = {0};
    struct pause_answer a;
    int rc = session_open(c, &s, e);
    if (rc == 0)
        rc = batch_pause(s.service, s.number, on, &a, e);
    if (rc == 0 && c->set[OPT_JSON]) {
        struct json *j = pause_answer_json(&a);
        puts(json_text(j, NULL));
        json_free(j);
    } else if (rc == 0 && !c->set[OPT_QUIET]) {
        puts(a.message);
    }
    return session_close(&s, rc);
}

int verb_pause(struct cli *c, struct err *e)
{
    return set_paused(c, true, e);
}

int verb_resume(struct cli *c, struct err *e)
{
    return set_paused(c, false, e);
}

/* --- export --- */

static bool ends_in(const char *name, const char *ending)
{
    size_t n = strlen(name), m = strlen(ending);
    return n > m && strcasecmp(name + n - m, ending) == 0;
}

/* The format that is asked for, else the one that the file's ending names, else JSON. */
static int export_format(const struct cli *c, enum export_format *out, struct err *e)
{
    const char *name = c->set[OPT_OUTPUT] ? c->text[OPT_OUTPUT] : "";
    bool csv_name = ends_in(name, ".csv"), json_name = ends_in(name, ".json");
    *out = csv_name ? EXPORT_CSV : EXPORT_JSON;
    if (!c->set[OPT_EXPORT_FORMAT])
        return 0;
    *out = strcmp(c->text[OPT_EXPORT_FORMAT], "csv") == 0 ? EXPORT_CSV : EXPORT_JSON;
    if (*out == EXPORT_CSV ? json_name : csv_name)
        return err_set(e, ERR_VALIDATION, "--format %s, but -o %s: make them agree",
                       c->text[OPT_EXPORT_FORMAT], name);
    return 0;
}

/* A name that muster chose itself never replaces a file. */
static int check_free(const struct cli *c, const char *name, struct err *e)
{
    if (c->set[OPT_OUTPUT] || access(name, F_OK) != 0)
        return 0;
    return err_set(e, ERR_VALIDATION, "%s is there already: -o %s replaces it, -o - writes to standard "
                   "output", name, name);
}

static void warn_running(const struct session *s)
{
    CLEANUP_ERR struct err e = ERR_INIT;
    struct batch b;
    if (reader_batch(s->reader, s->number, &b, &e) != 0)
        return;
    if (b.status == BATCH_RUNNING)
        fprintf(stderr, "muster: warning: batch #%lld still runs: %u of %u have ended\n",
                (long long) b.number, b.stats.success + b.stats.failed, b.stats.total);
    batch_clear(&b);
}

static int export_batch(struct cli *c, struct session *s, struct err *e)
{
    enum export_format format;
    int rc = export_format(c, &format, e);
    if (rc != 0)
        return rc;
    CLEANUP_FREE char *name = c->set[OPT_OUTPUT] ? x_strdup(c->text[OPT_OUTPUT])
                                                 : batch_export_name(s->number, format);
    bool to_stdout = strcmp(name, "-") == 0;
    rc = to_stdout ? 0 : check_free(c, name, e);
    if (rc != 0)
        return rc;
    warn_running(s);
    rc = batch_export(s->service, s->number, format, NULL, to_stdout ? NULL : name, STDOUT_FILENO,
                      e);
    if (rc == 0 && !to_stdout && !c->set[OPT_QUIET])
        fprintf(stderr, "batch #%lld written to %s\n", (long long) s->number, name);
    return rc;
}

int verb_export(struct cli *c, struct err *e)
{
    struct session s = {0};
    int rc = session_open(c, &s, e);
    return session_close(&s, rc == 0 ? export_batch(c, &s, e) : rc);
}
