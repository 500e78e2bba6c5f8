/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs that list: history, node, nodes. */
#include "known.h"
#include "table.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/doc.h"
#include "muster/core/fleet.h"
#include "muster/core/json.h"
#include "muster/core/nodeset.h"
#include "muster/core/target.h"
#include "muster/service/service.h"
#include "muster/store/reader.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROWS_DEFAULT 20
#define PAGE 100 /* rows in memory at a time, for a document */

/* Local time for people. */
static const char *local_time(int64_t ms, char *buf, size_t n)
{
    time_t t = (time_t) (ms / 1000);
    struct tm tm;
    if (ms == 0 || !localtime_r(&t, &tm) || strftime(buf, n, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        snprintf(buf, n, "-");
    return buf;
}

/* What history and node need. */
static int with_reader(struct cli *c,
                       int (*fn)(struct cli *c, struct service *s, struct reader *r,
                                 struct err *e),
                       struct err *e)
{
    struct service *s = cli_service(c, e);
    if (!s)
        return -(int) e->code;
    struct reader *r = reader_open(service_db_path(s), e);
    int rc = r ? fn(c, s, r, e) : -ERR_STORE;
    reader_close(r);
    service_close(s);
    return rc;
}

/* --- history --- */

static int read_time(const struct cli *c, enum option_id id, int64_t *ms, struct err *e)
{
    *ms = 0;
    if (!c->set[id])
        return 0;
    *ms = clock_parse(c->text[id], wall_ms(clock_system()));
    if (*ms >= 0)
        return 0;
    return err_set(e, ERR_VALIDATION,
                   "--%s %s: a time such as 2h, 3d, today, 2026-01-31 or \"2026-01-31 12:00\" is "
                   "wanted", option_row(id)->name, c->text[id]);
}

static int history_filter(const struct cli *c, struct batch_filter *f, struct err *e)
{
    if (c->set[OPT_TYPE])
        f->type = action_type_parse(c->text[OPT_TYPE]);
    if (c->set[OPT_BATCH_STATUS])
        f->status = batch_status_parse(c->text[OPT_BATCH_STATUS]);
    if (c->set[OPT_KIND])
        f->kind = strcmp(c->text[OPT_KIND], "single") == 0 ? 1 : 2;
    f->text = c->text[OPT_TEXT];
    f->node = c->text[OPT_NODE];
    f->user = c->text[OPT_BY_USER];
    int rc = read_time(c, OPT_SINCE, &f->since_ms, e);
    return rc == 0 ? read_time(c, OPT_UNTIL, &f->until_ms, e) : rc;
}

static void history_table(const struct batch *b, size_t n)
{
    struct table t = {.columns = 8};
    static const char *const head[] = {"BATCH", "TIME", "STATUS", "DONE", "TOOK", "USER",
                                       "TARGETS", "COMMAND"};
    int64_t now = wall_ms(clock_system());
    table_row(&t, head);
    for (size_t i = 0; i < n; i++) {
        char number[24], when[32], done[32], took[24];
        struct strbuf targets;
        strbuf_init(&targets, 0);
        text_fit(&targets, b[i].targets, 32, false);
        snprintf(number, sizeof number, "#%lld", (long long) b[i].number);
        snprintf(done, sizeof done, "%u/%u", b[i].stats.success + b[i].stats.failed,
                 b[i].stats.total);
        text_duration(batch_duration_ms(&b[i], now), took);
        const char *const cells[] = {number,
                                     local_time(b[i].created_ms, when, sizeof when),
                                     batch_status_name(b[i].status),
                                     done,
                                     took,
                                     b[i].user_id,
                                     targets.s,
                                     b[i].action};
        table_row(&t, cells);
        strbuf_free(&targets);
    }
    table_print(&t);
    table_free(&t);
}

/* A line in the document; a batch that was deleted meanwhile has none. */
static int history_row(struct reader *r, const struct batch *b, const char *separator,
                       struct err *e)
{
    struct strv nodes = STRV_INIT;
    int rc = reader_nodes(r, b->number, &nodes, e);
    if (rc == 0) {
        struct json *j = doc_batch(b, (const char *const *) nodes.v, nodes.n);
        printf("%s%s", separator, json_text(j, NULL));
        json_free(j);
    }
    strv_clear(&nodes);
    if (rc == -ERR_NOT_FOUND)
        err_clear(e);
    return rc;
}

/* Page after page by number, so that what is created meanwhile moves nothing; one batch with its
 * names in memory at a time. limit 0: all. */
static int history_json(struct reader *r, const struct batch_filter *f, size_t offset,
                        size_t limit, struct err *e)
{
    int64_t before = 0;
    size_t total = 0, done = 0, shown = 0;
    printf("{\"batches\":[");
    for (;;) {
        size_t want = limit && limit - done < PAGE ? limit - done : PAGE, n = 0;
        struct batch *b = NULL;
        int rc = reader_batches(r, f, before, before ? 0 : offset, want, &b, &n,
                                before ? NULL : &total, e);
        for (size_t i = 0; i < n && rc == 0; i++) {
            before = b[i].number;
            rc = history_row(r, &b[i], shown ? "," : "", e);
            shown += rc == 0;
            rc = rc == -ERR_NOT_FOUND ? 0 : rc;
        }
        batches_free(b, n);
        done += n;
        if (rc != 0)
            return rc;
        if (n < want || done == limit || ferror(stdout))
            break;
    }
    printf("],\"total\":%zu}\n", total);
    return 0;
}

static int history(struct cli *c, struct service *s, struct reader *r, struct err *e)
{
    const char *db_path = service_db_path(s);
    struct batch_filter f = BATCH_FILTER_ANY;
    int rc = history_filter(c, &f, e);
    if (rc != 0)
        return rc;
    size_t offset, limit, n = 0, total = 0;
    cli_page(c, ROWS_DEFAULT, c->set[OPT_JSON] ? 0 : ROWS_DEFAULT, &offset, &limit);
    if (c->set[OPT_JSON])
        return history_json(r, &f, offset, limit, e);
    struct batch *b = NULL;
    rc = reader_batches(r, &f, 0, offset, limit, &b, &n, &total, e);
    if (rc != 0)
        return rc;
    history_table(b, n);
    if (total == 0)
        fprintf(stderr, "no batch in %s%s\n", db_path,
                access(db_path, F_OK) == 0 ? " is of that kind, or there is none yet"
                                           : ": that file does not exist yet");
    else if (n == 0)
        fprintf(stderr, "no such page: there are %zu batches\n", total);
    else if (n < total)
        fprintf(stderr, "%zu of %zu batches (--page N, --page-size N show more)\n", n, total);
    batches_free(b, n);
    return 0;
}

int verb_history(struct cli *c, struct err *e)
{
    int rc = cli_at_most(c, 0, e);
    return rc == 0 ? with_reader(c, history, e) : rc;
}

/* --- node --- */

static struct json *node_json(const struct fleet *f, const struct fleet_node *n)
{
    struct json *o = json_object(), *groups = json_array(), *sources = json_array();
    struct json *vars = json_object(), *settings = json_object();
    struct settings all;
    settings_init(&all);
    settings_merge(&all, &n->base);
    settings_merge(&all, &n->over);
    json_put_str(o, "name", n->name);
    for (size_t i = 0; i < n->n_groups; i++)
        json_add_str(groups, f->groups[n->groups[i]].name);
    for (size_t i = 0; i < f->n_sources && i < 32; i++)
        if (n->sources & (1u << i))
            json_add_str(sources, f->sources[i].type);
    for (size_t i = 0; i < n->n_vars; i++)
        json_put_str(vars, n->vars[i].name, n->vars[i].value);
    for (int id = 0; id < SETTING_COUNT; id++)
        if (setting_is_set(&all, id)) {
            CLEANUP_FREE char *text = setting_get(&all, id);
            json_put_str(settings, setting_key(id), text);
        }
    json_put(o, "groups", groups);
    json_put(o, "sources", sources);
    json_put(o, "settings", settings);
    json_put(o, "vars", vars);
    settings_clear(&all);
    return o;
}

static int print_members(const char *key, struct json *value, void *ctx)
{
    struct table *t = ctx;
    const char *const cells[] = {key, json_str(value)};
    table_row(t, cells);
    return 0;
}

static void node_facts(const struct fleet *f, const struct fleet_node *n)
{
    struct json *j = node_json(f, n);
    struct strbuf groups;
    strbuf_init(&groups, 0);
    for (size_t i = 0; i < n->n_groups; i++)
        strbuf_addf(&groups, "%s@%s", i ? " " : "", f->groups[n->groups[i]].name);
    struct table t = {.columns = 2};
    const char *const name[] = {"node", n->name}, *const in[] = {"groups", groups.s};
    table_row(&t, name);
    table_row(&t, in);
    json_each(json_get(j, "settings"), print_members, &t);
    json_each(json_get(j, "vars"), print_members, &t);
    table_print(&t);
    table_free(&t);
    strbuf_free(&groups);
    json_free(j);
}

static void node_table(const struct node_run *v, size_t n)
{
    struct table t = {.columns = 6};
    static const char *const head[] = {"BATCH", "TIME", "STATUS", "CODE", "TOOK", "COMMAND"};
    table_row(&t, head);
    for (size_t i = 0; i < n; i++) {
        const struct execution *x = &v[i].x;
        char number[24], when[32], code[16] = "", took[24];
        snprintf(number, sizeof number, "#%lld", (long long) x->batch);
        if (x->exit_code >= 0)
            snprintf(code, sizeof code, "%d", x->exit_code);
        const char *const cells[] = {
            number,
            local_time(x->started_ms ? x->started_ms : x->completed_ms, when, sizeof when),
            x->status == EXEC_FAILED ? reason_name(x->reason) : exec_status_name(x->status),
            code,
            text_duration(x->duration_ms, took),
            v[i].action};
        table_row(&t, cells);
    }
    table_print(&t);
    table_free(&t);
}

/* A run in the document; *shown counts them. A batch that was deleted meanwhile has none. */
static int node_run_json(struct reader *r, const struct node_run *v, size_t *shown, struct err *e)
{
    struct batch b;
    int rc = reader_batch(r, v->x.batch, &b, e);
    if (rc == -ERR_NOT_FOUND) {
        err_clear(e);
        return 0;
    }
    if (rc != 0)
        return rc;
    struct json *x = doc_execution(b.id, &v->x, NULL);
    json_put_int(x, "batchNumber", v->x.batch);
    json_put_str(x, "action", v->action);
    printf("%s%s", (*shown)++ ? "," : "", json_text(x, NULL));
    json_free(x);
    batch_clear(&b);
    return 0;
}

/* As history_json. The first page, which also says whether there is any run, is the caller's. */
static int node_runs_json(struct reader *r, const char *name, struct node_run *v, size_t n,
                          size_t want, bool more, struct err *e)
{
    size_t shown = 0;
    for (;;) {
        int rc = 0;
        int64_t before = n ? v[n - 1].x.batch : 0;
        for (size_t i = 0; i < n && rc == 0; i++)
            rc = node_run_json(r, &v[i], &shown, e);
        node_runs_free(v, n);
        if (rc != 0 || n < want || !more || ferror(stdout))
            return rc;
        rc = reader_node_runs(r, name, before, 0, want, &v, &n, NULL, e);
        if (rc != 0)
            return rc;
    }
}

static int unknown_node(const char *name, struct err *e)
{
    return err_set(e, ERR_INVALID_NODES, "unknown node: %s (muster nodes -a lists them)", name);
}

static int node_document(const struct cli *c, const struct fleet *f, const struct fleet_node *n,
                         struct reader *r, struct err *e)
{
    const char *name = c->args.v[0];
    size_t offset, limit, got, total;
    cli_page(c, ROWS_DEFAULT, 0, &offset, &limit);
    struct node_run *v;
    size_t want = limit ? limit : PAGE;
    int rc = reader_node_runs(r, name, 0, offset, want, &v, &got, &total, e);
    if (rc == 0 && !n && total == 0)
        rc = unknown_node(name, e);
    if (rc != 0)
        return rc;
    struct json *facts = n ? node_json(f, n) : json_object();
    rc = known_put(r, n ? n->name : name, facts, e);
    if (rc != 0) {
        json_free(facts);
        node_runs_free(v, got);
        return rc;
    }
    printf("{\"node\":%s,\"executions\":[", json_text(facts, NULL));
    json_free(facts);
    rc = node_runs_json(r, name, v, got, want, limit == 0, e);
    if (rc == 0)
        printf("],\"total\":%zu}\n", total);
    return rc;
}

static int node(struct cli *c, struct service *s, struct reader *r, struct err *e)
{
    const char *name = c->args.v[0];
    const struct fleet *f = service_fleet(s, e);
    if (!f)
        return -ERR_VALIDATION;
    const struct fleet_node *n = fleet_node(f, name);
    if (c->set[OPT_JSON])
        return node_document(c, f, n, r, e);
    size_t offset, limit, got, total;
    cli_page(c, ROWS_DEFAULT, ROWS_DEFAULT, &offset, &limit);
    struct node_run *v;
    int rc = reader_node_runs(r, name, 0, offset, limit, &v, &got, &total, e);
    if (rc == 0 && !n && total == 0)
        rc = unknown_node(name, e);
    if (rc == 0) {
        if (n)
            node_facts(f, n);
        rc = known_print_facts(r, n ? n->name : name, e);
        if (rc == 0)
            rc = known_print_notes(r, n ? n->name : name, 0, e);
        putchar('\n');
        node_table(v, got);
        if (got < total)
            fprintf(stderr, "%zu of %zu runs (--page N, --page-size N show more)\n", got, total);
    }
    node_runs_free(v, got);
    return rc;
}

int verb_node(struct cli *c, struct err *e)
{
    int rc = cli_at_most(c, 1, e);
    if (rc == 0 && c->args.n == 0)
        rc = err_set(e, ERR_VALIDATION, "which node? (muster node NAME)");
    return rc == 0 ? with_reader(c, node, e) : rc;
}

/* --- nodes --- */

static void fold_group(struct strbuf *b, const struct fleet *f, const struct fleet_group *g)
{
    CLEANUP_FREE const char **names = x_array(NULL, g->n_all + 1, sizeof *names);
    for (size_t i = 0; i < g->n_all; i++)
        names[i] = f->nodes[g->all[i]].name;
    nodeset_fold_names(b, names, g->n_all, 0);
}

static void print_groups(const struct fleet *f)
{
    struct table t = {.columns = 3};
    static const char *const head[] = {"GROUP", "NODES", ""};
    table_row(&t, head);
    for (size_t i = 0; i < f->n_groups; i++) {
        char name[256], count[24];
        struct strbuf fold;
        strbuf_init(&fold, 0);
        fold_group(&fold, f, &f->groups[i]);
        snprintf(name, sizeof name, "@%s%s", f->groups[i].name,
                 f->groups[i].is_protected ? " (protected)" : "");
        snprintf(count, sizeof count, "%zu", f->groups[i].n_all);
        const char *const cells[] = {name, count, fold.s};
        table_row(&t, cells);
        strbuf_free(&fold);
    }
    table_print(&t);
    table_free(&t);
}

static void print_sources(const struct fleet *f)
{
    struct table t = {.columns = 6};
    static const char *const head[] = {"SOURCE", "STATE", "AGE", "NODES", "GROUPS", "FROM"};
    int64_t now = wall_ms(clock_system());
    table_row(&t, head);
    for (size_t i = 0; i < f->n_sources; i++) {
        const struct fleet_source *s = &f->sources[i];
        char nodes[24], groups[24], age[24];
        text_duration(now > s->loaded_ms ? now - s->loaded_ms : 0, age);
        snprintf(nodes, sizeof nodes, "%u", s->n_nodes);
        snprintf(groups, sizeof groups, "%u", s->n_groups);
        const char *const cells[] = {s->type, fleet_source_state_name(s->state), age, nodes,
                                     groups, s->error ? s->error : s->path};
        table_row(&t, cells);
    }
    table_print(&t);
    table_free(&t);
    for (size_t i = 0; i < f->n_sources; i++) {
        const struct fleet_source *s = &f->sources[i];
        for (size_t k = 0; k < s->warnings.n; k++) {
            CLEANUP_FREE char *from = text_clean(s->path), *text = text_clean(s->warnings.v[k]);
            printf("%s %s: %s\n", s->type, from, text);
        }
    }
}

static void nodes_json(const struct fleet *f, const struct nodeset *only)
{
    const char *sep = "";
    printf("{\"nodes\":[");
    for (size_t i = 0; i < f->n_nodes; i++) {
        if (only && !nodeset_has(only, f->nodes[i].name))
            continue;
        struct json *j = node_json(f, &f->nodes[i]);
        printf("%s%s", sep, json_text(j, NULL));
        json_free(j);
        sep = ",";
    }
    printf("],\"groups\":[");
    for (size_t i = 0; i < f->n_groups; i++) {
        const struct fleet_group *g = &f->groups[i];
        struct json *o = json_object(), *names = json_array();
        json_put_str(o, "name", g->name);
        json_put_bool(o, "protected", g->is_protected);
        for (size_t k = 0; k < g->n_all; k++)
            json_add_str(names, f->nodes[g->all[k]].name);
        json_put(o, "nodes", names);
        printf("%s%s", i ? "," : "", json_text(o, NULL));
        json_free(o);
    }
    printf("],\"sources\":[");
    for (size_t i = 0; i < f->n_sources; i++) {
        const struct fleet_source *s = &f->sources[i];
        struct json *o = json_object();
        json_put_str(o, "type", s->type);
        json_put_str(o, "path", s->path);
        json_put_str(o, "state", fleet_source_state_name(s->state));
        json_put_str(o, "error", s->error);
        json_put_int(o, "nodes", s->n_nodes);
        json_put_int(o, "groups", s->n_groups);
        json_put_time(o, "loadedAt", s->loaded_ms);
        struct json *warnings = json_array();
        for (size_t k = 0; k < s->warnings.n; k++)
            json_add_str(warnings, s->warnings.v[k]);
        json_put(o, "warnings", warnings);
        printf("%s%s", i ? "," : "", json_text(o, NULL));
        json_free(o);
    }
    if (only) {
        struct strbuf b;
        struct json *o = json_object();
        strbuf_init(&b, 0);
        nodeset_fold(&b, only, 0);
        json_put_str(o, "folded", b.s);
        json_put_int(o, "count", (int64_t) nodeset_count(only));
        printf("],%s\n", json_text(o, NULL) + 1);
        json_free(o);
        strbuf_free(&b);
        return;
    }
    printf("]}\n");
}

/* As they are into a pipe, where the next program wants the very name. */
static void print_name(const char *name, bool tty)
{
    CLEANUP_FREE char *clean = tty ? text_clean(name) : NULL;
    puts(clean ? clean : name);
}

static void print_names(const struct cli *c, const struct nodeset *nodes)
{
    bool tty = isatty(STDOUT_FILENO);
    for (size_t i = 0; !c->set[OPT_FOLD_NODES] && i < nodeset_count(nodes); i++)
        print_name(nodeset_at(nodes, i), tty);
    if (!c->set[OPT_FOLD_NODES])
        return;
    struct strbuf b;
    strbuf_init(&b, 0);
    nodeset_fold(&b, nodes, 0);
    print_name(b.s, tty);
    strbuf_free(&b);
}

static int save(struct cli *c, struct service *s, const char *expr, struct err *e)
{
    if (!expr || c->set[OPT_GROUP] || c->set[OPT_ALL] || c->set[OPT_EXCLUDE] ||
        c->set[OPT_EXCLUDE_GROUP] || c->set[OPT_ANY_HOST])
        return err_set(e, ERR_VALIDATION, "--save keeps an expression: write it all as one, as in "
                       "muster nodes '@web!web03' --save %s", c->text[OPT_SAVE]);
    return service_save_targets(s, c->text[OPT_SAVE], expr, e);
}

/* The words and -w mean the same. NULL: neither was given. Caller frees. */
static char *expression(const struct cli *c)
{
    char *words = c->args.n ? strv_join(&c->args, ",") : NULL;
    char *flag = cli_targets(c, OPT_TARGETS);
    if (!words || !flag)
        return words ? words : flag;
    char *both = x_asprintf("%s,%s", words, flag);
    free(words);
    free(flag);
    return both;
}

static int nodes(struct cli *c, struct service *s, struct err *e)
{
    if (c->set[OPT_FORGET])
        return service_save_targets(s, c->text[OPT_FORGET], NULL, e);
    if (c->set[OPT_SAVED])
        return known_saved(c, s, e);
    CLEANUP_FREE char *expr = expression(c);
    if (c->set[OPT_SAVE] && !expr)
        return save(c, s, NULL, e);
    bool some = expr || c->set[OPT_GROUP] || c->set[OPT_ALL] || c->set[OPT_EXCLUDE] ||
                c->set[OPT_EXCLUDE_GROUP];
    struct target_set t;
    target_set_init(&t);
    int rc = 0;
    if (some) {
        CLEANUP_FREE char *exclude = cli_targets(c, OPT_EXCLUDE);
        const struct target_request q = {.targets = expr,
                                         .exclude = exclude,
                                         .groups = c->list[OPT_GROUP],
                                         .exclude_groups = c->list[OPT_EXCLUDE_GROUP],
                                         .all = c->set[OPT_ALL],
                                         .any_host = c->set[OPT_ANY_HOST]};
        if (c->set[OPT_SAVE])
            rc = save(c, s, expr, e);
        if (rc == 0)
            rc = service_targets(s, &q, &t, e);
    }
    const struct fleet *f = rc == 0 ? service_fleet(s, e) : NULL;
    if (!f) {
        target_set_clear(&t);
        return rc != 0 ? rc : -ERR_VALIDATION;
    }
    if (some) /* else the table of sources says it */
        service_fleet_warnings(f, &t.warnings);
    cli_warnings(&t.warnings);
    if (c->set[OPT_JSON]) {
        nodes_json(f, some ? t.nodes : NULL);
    } else if (some) {
        print_names(c, t.nodes);
        if (isatty(STDOUT_FILENO))
            fprintf(stderr, "%zu node%s\n", nodeset_count(t.nodes),
                    nodeset_count(t.nodes) == 1 ? "" : "s");
    } else {
        if (!c->set[OPT_SOURCES]) {
            print_groups(f);
            printf("\n%zu node%s in all\n\n", f->n_nodes, f->n_nodes == 1 ? "" : "s");
        }
        print_sources(f);
    }
    target_set_clear(&t);
    return 0;
}

int verb_nodes(struct cli *c, struct err *e)
{
    struct service *s = cli_service(c, e);
    if (!s)
        return -(int) e->code;
    int rc = nodes(c, s, e);
    service_close(s);
    return rc;
}
