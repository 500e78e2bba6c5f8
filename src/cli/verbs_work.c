/* SPDX-License-Identifier: Apache-2.0 */
/* muster tasks and muster plans: what there is, and what one of them takes and does. */
#include "cli.h"
#include "table.h"
#include "work.h"

#include "muster/base/alloc.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/json.h"
#include "muster/service/service.h"
#include "muster/service/tasks.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SCRIPT_MAX ((size_t) 1 << 20)

static void print_json(struct json *j)
{
    puts(json_text(j, NULL));
    json_free(j);
}

static void print_line(const char *name, const char *text)
{
    if (!text || !*text)
        return;
    CLEANUP_FREE char *clean = text_clean(text);
    printf("%-15s %s\n", name, clean);
}

static void print_words(const char *name, const struct strv *v)
{
    CLEANUP_FREE char *text = strv_join(v, ", ");
    print_line(name, text);
}

/* --- lists --- */

static void list_json(const struct action_list *l)
{
    struct json *a = json_array();
    for (size_t i = 0; i < l->n; i++) {
        struct json *o = json_object();
        json_put_str(o, "name", l->v[i].name);
        json_put_str(o, "description", l->v[i].description);
        json_put_str(o, "path", l->v[i].path);
        json_put_str(o, "error", l->v[i].error);
        json_add(a, o);
    }
    print_json(a);
}

static void list_text(struct service *s, const struct action_list *l)
{
    struct table t = {.columns = 2};
    static const char *const head[] = {"NAME", "DESCRIPTION"};
    table_row(&t, head);
    for (size_t i = 0; i < l->n; i++) {
        CLEANUP_FREE char *broken =
            l->v[i].error ? x_asprintf("cannot be used: %s", l->v[i].error) : NULL;
        const char *const cells[] = {l->v[i].name, broken ? broken : l->v[i].description};
        table_row(&t, cells);
    }
    if (l->n)
        table_print(&t);
    table_free(&t);
    if (l->n)
        return;
    CLEANUP_STRV struct strv path = STRV_INIT;
    service_task_path(s, &path);
    CLEANUP_FREE char *folders = strv_join(&path, " ");
    CLEANUP_FREE char *clean = text_clean(folders);
    fprintf(stderr, "none in: %s\n", clean);
}

static int list(struct cli *c, struct service *s, bool plans, struct err *e)
{
    struct action_list l = {0};
    int rc = plans ? service_plans(s, &l, e) : service_tasks(s, &l, e);
    if (rc != 0)
        return rc;
    if (c->set[OPT_JSON])
        list_json(&l);
    else
        list_text(s, &l);
    action_list_clear(&l);
    return 0;
}

/* --- parameters --- */

static struct json *params_json(const struct params *p)
{
    struct json *a = json_array();
    for (size_t i = 0; i < p->n; i++) {
        const struct param *x = &p->v[i];
        struct json *o = json_object();
        json_put_str(o, "name", x->name);
        json_put_str(o, "type", x->type_text);
        json_put_str(o, "description", x->description);
        json_put_bool(o, "required", x->required);
        json_put(o, "default", x->fallback && !x->sensitive ? json_copy(x->fallback) : NULL);
        json_put_bool(o, "sensitive", x->sensitive);
        json_add(a, o);
    }
    return a;
}

static void print_params(const struct params *p)
{
    if (p->any)
        puts("\nParameters: any, as strings (there is no metadata)");
    else
        puts(p->n ? "\nParameters:" : "\nParameters: none");
    for (size_t i = 0; i < p->n; i++) {
        const struct param *x = &p->v[i];
        CLEANUP_FREE char *name = text_clean(x->name);
        CLEANUP_FREE char *type = text_clean(x->type_text);
        printf("  %s  %s", name, type);
        if (x->required)
            fputs("  required", stdout);
        if (x->sensitive)
            fputs("  sensitive", stdout);
        if (x->fallback && !x->sensitive) {
            CLEANUP_FREE char *value = text_clean(json_text(x->fallback, NULL));
            printf("  default %s", value);
        }
        putchar('\n');
        if (x->description) {
            CLEANUP_FREE char *text = text_clean(x->description);
            printf("      %s\n", text);
        }
    }
}

/* --- their files --- */

/* The text as it is; for people on a terminal without what would act on that. */
static void print_file(const char *heading, const char *path)
{
    CLEANUP_ERR struct err e = ERR_INIT;
    CLEANUP_FREE char *name = text_clean(heading);
    struct strbuf text;
    strbuf_init(&text, SCRIPT_MAX);
    printf("\n---- %s\n", name);
    if (!path || io_read_file(path, SCRIPT_MAX, &text, &e) != 0) {
        CLEANUP_FREE char *why = text_clean(path ? e.msg : "it is not there");
        printf("(cannot be shown: %s)\n", why);
    } else if (memchr(text.s, '\0', text.len)) {
        printf("(no text, %zu bytes)\n", text.len);
    } else if (isatty(STDOUT_FILENO)) {
        struct strbuf b;
        strbuf_init(&b, 0);
        text_sanitise(&b, text.s, text.len, TEXT_KEEP_NL | TEXT_EXPAND_TAB);
        fwrite(b.s, 1, b.len, stdout);
        strbuf_free(&b);
    } else {
        fwrite(text.s, 1, text.len, stdout);
    }
    if (text.len && text.s[text.len - 1] != '\n')
        putchar('\n');
    strbuf_free(&text);
}

static struct json *words_json(const struct strv *v)
{
    struct json *a = json_array();
    for (size_t i = 0; i < v->n; i++)
        json_add_str(a, v->v[i]);
    return a;
}

/* --- one task --- */

static void task_json(const struct task *t)
{
    struct json *o = json_object(), *impls = json_array();
    for (size_t i = 0; i < t->n_impls; i++) {
        const struct task_impl *m = &t->impls[i];
        struct json *x = json_object();
        json_put_str(x, "name", m->name);
        json_put_str(x, "path", m->path);
        json_put(x, "requirements", words_json(&m->requirements));
        json_put(x, "files", words_json(&m->files));
        json_put_str(x, "inputMethod", task_input_name(m->input < 0 ? t->input : (enum task_input) m->input));
        json_add(impls, x);
    }
    json_put_str(o, "name", t->name);
    json_put_str(o, "description", t->description);
    json_put_str(o, "path", t->path);
    json_put_str(o, "inputMethod", task_input_name(t->input));
    json_put_bool(o, "anyParameters", t->params.any);
    json_put(o, "parameters", params_json(&t->params));
    json_put(o, "implementations", impls);
    json_put(o, "files", words_json(&t->files));
    json_put_bool(o, "supportsNoop", t->supports_noop);
    json_put_bool(o, "private", t->is_private);
    print_json(o);
}

static void task_text(const struct task *t)
{
    print_line("task", t->name);
    print_line("description", t->description);
    print_line("path", t->path);
    print_line("input", task_input_name(t->input));
    print_words("files", &t->files);
    print_words("not known", &t->unknown);
    print_params(&t->params);
    if (t->n_impls)
        puts("\nImplementations, the first that a node has what it needs for:");
    for (size_t i = 0; i < t->n_impls; i++) {
        const struct task_impl *m = &t->impls[i];
        CLEANUP_FREE char *name = text_clean(m->name);
        CLEANUP_FREE char *needs = work_impl_needs(m);
        printf("  %s%s%s\n", name, *needs ? "  needs " : "", needs);
        CLEANUP_FREE char *files = strv_join(&m->files, ", ");
        if (*files) {
            CLEANUP_FREE char *shown = text_clean(files);
            printf("      with %s\n", shown);
        }
    }
    for (size_t i = 0; i < t->n_impls; i++)
        print_file(t->impls[i].name, t->impls[i].path);
}

static int one_task(struct cli *c, struct service *s, struct err *e)
{
    struct task t;
    int rc = service_task(s, c->args.v[0], &t, e);
    if (rc != 0)
        return rc;
    if (c->set[OPT_JSON])
        task_json(&t);
    else
        task_text(&t);
    task_clear(&t);
    return 0;
}

/* --- one plan --- */

static const char *on_failure(const struct plan *p)
{
    return p->on_failure == PLAN_STOP ? "stop" : "continue";
}

/* A line each. */
static struct json *lines_json(const char *text)
{
    struct json *a = json_array();
    for (const char *s = text; s && *s; s += strcspn(s, "\n"), s += *s == '\n') {
        CLEANUP_FREE char *line = x_strndup(s, strcspn(s, "\n"));
        json_add_str(a, line);
    }
    return a;
}

/* faults: what running it would be refused for. */
static void plan_json(const struct plan *p, const struct err *faults)
{
    struct json *o = json_object(), *steps = json_array();
    for (size_t i = 0; i < p->n_steps; i++) {
        const struct plan_step *t = &p->steps[i];
        struct json *x = json_object();
        json_put_int(x, "step", (int64_t) i + 1);
        json_put_str(x, "kind", plan_step_kind_name(t->kind));
        json_put_str(x, "name", t->name);
        json_put_str(x, "title", t->title);
        CLEANUP_FREE char *runs = work_step_runs(t);
        json_put_str(x, "runs", runs);
        json_put_bool(x, "catchErrors", t->catch_errors);
        json_put_str(x, "runAs", t->run_as);
        json_put_int(x, "line", t->line);
        json_add(steps, x);
    }
    json_put_str(o, "name", p->name);
    json_put_str(o, "description", p->description);
    json_put_str(o, "path", p->path);
    json_put_str(o, "onFailure", on_failure(p));
    json_put(o, "parameters", params_json(&p->params));
    json_put(o, "steps", steps);
    json_put(o, "faults", lines_json(faults->details ? faults->details : faults->msg));
    print_json(o);
}

static void plan_text(const struct plan *p)
{
    print_line("plan", p->name);
    print_line("description", p->description);
    print_line("path", p->path);
    print_line("when one fails", p->on_failure == PLAN_STOP ? "stop: no other node begins another step"
                                                            : "continue: the other nodes go on");
    print_params(&p->params);
    puts("\nSteps:");
    for (size_t i = 0; i < p->n_steps; i++) {
        const struct plan_step *t = &p->steps[i];
        CLEANUP_FREE char *title = text_clean(t->title);
        printf("  %2zu  %-9s %s%s\n", i + 1, plan_step_kind_name(t->kind), title,
               t->catch_errors ? "  (goes on when it fails)" : "");
        work_print_runs(t, 16);
    }
    print_file(p->name, p->path);
}

static int one_plan(struct cli *c, struct service *s, struct err *e)
{
    struct plan p;
    int rc = service_plan(s, c->args.v[0], &p, e);
    if (rc != 0)
        return rc;
    rc = service_plan_check(s, &p, e);
    if (c->set[OPT_JSON]) {
        plan_json(&p, e);
        rc = rc == 0 ? 0 : err_exit_status(e->code); /* the document has it */
    } else {
        plan_text(&p);
        fflush(stdout);
    }
    plan_clear(&p);
    return rc;
}

static int show(struct cli *c, bool plans, struct err *e)
{
    int rc = cli_at_most(c, 1, e);
    if (rc != 0)
        return rc;
    struct service *s = cli_service(c, e);
    if (!s)
        return -(int) e->code;
    rc = c->args.n == 0 ? list(c, s, plans, e) : plans ? one_plan(c, s, e) : one_task(c, s, e);
    service_close(s);
    return rc;
}

int verb_tasks(struct cli *c, struct err *e)
{
    return show(c, false, e);
}

int verb_plans(struct cli *c, struct err *e)
{
    return show(c, true, e);
}
