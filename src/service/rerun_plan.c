/* SPDX-License-Identifier: Apache-2.0 */
/* A plan taken up again: where each node goes on, and what the steps before that gave.
 *
 * A batch that went on where another had failed says so in its parameters (resultsOf): what a node did
 * is looked for in the newest batch that has a row of it, and then in the one that this went on from. */
#include "plans.h"

#include "create.h"
#include "service.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/core/json.h"
#include "muster/core/nodeset.h"
#include "muster/store/reader.h"

#include <string.h>

#define CHAIN_MAX 100 /* LIMIT: reruns of reruns */

struct place {
    const char *node; /* of link.nodes */
    uint32_t position;
};
struct link {
    int64_t number;
    struct strv nodes;
    struct place *places; /* by name */
};
struct chain {
    struct reader *r;
    struct link *v; /* the newest first */
    size_t n;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct place *) a)->node, ((const struct place *) b)->node);
}

static int64_t went_on_from(const struct batch *b)
{
    struct json *o = b->parameters ? json_parse(b->parameters, strlen(b->parameters), NULL) : NULL;
    int64_t number = json_int(json_get(json_get(o, "work"), "resultsOf"));
    json_free(o);
    return number;
}

static int chain_add(struct chain *c, int64_t number, int64_t *before, struct err *e)
{
    struct batch b;
    int rc = reader_batch(c->r, number, &b, e);
    if (rc != 0)
        return rc;
    *before = went_on_from(&b);
    batch_clear(&b);
    c->v = x_array(c->v, c->n + 1, sizeof *c->v);
    struct link *l = &c->v[c->n++];
    *l = (struct link){.number = number, .nodes = STRV_INIT};
    rc = reader_nodes(c->r, number, &l->nodes, e);
    l->places = x_calloc(l->nodes.n + 1, sizeof *l->places);
    for (size_t i = 0; i < l->nodes.n; i++)
        l->places[i] = (struct place){l->nodes.v[i], (uint32_t) i};
    qsort(l->places, l->nodes.n, sizeof *l->places, by_name);
    return rc;
}

/* One that was deleted ends it: what it had is not there. */
static int chain_make(struct chain *c, struct reader *r, int64_t number, struct err *e)
{
    *c = (struct chain){.r = r};
    int rc = 0;
    while (number && c->n < CHAIN_MAX && rc == 0) {
        int64_t before = 0;
        rc = chain_add(c, number, &before, e);
        if (before >= number) /* each is older than what went on from it */
            before = 0;
        number = before;
    }
    if (rc == -ERR_NOT_FOUND && c->n) {
        err_clear(e);
        rc = 0;
    }
    return rc;
}

static void chain_clear(struct chain *c)
{
    for (size_t i = 0; i < c->n; i++) {
        strv_clear(&c->v[i].nodes);
        free(c->v[i].places);
    }
    free(c->v);
}

/* The rows of a node in one batch; none where it is not of it. */
static int rows_of(const struct chain *c, size_t at, const char *node, struct step_run **rows,
                   size_t *n, struct err *e)
{
    const struct link *l = &c->v[at];
    const struct place key = {.node = node};
    const struct place *p = bsearch(&key, l->places, l->nodes.n, sizeof *p, by_name);
    *rows = NULL;
    *n = 0;
    return p ? reader_steps(c->r, l->number, p->position, rows, n, e) : 0;
}

/* --- where each node goes on --- */

static int first_of(const struct chain *c, const char *node, size_t n_steps, uint8_t *first,
                    struct err *e)
{
    *first = 0;
    for (size_t i = 0; i < c->n; i++) {
        struct step_run *rows;
        size_t n;
        int rc = rows_of(c, i, node, &rows, &n, e);
        if (rc != 0)
            return rc;
        if (n) {
            const struct step_run *last = &rows[n - 1];
            size_t at = last->step - (last->status != EXEC_SUCCESS && last->step > 0);
            *first = (uint8_t) (at < n_steps ? at : n_steps - 1);
        }
        step_runs_free(rows, n);
        if (n)
            return 0;
    }
    return 0;
}

static int check_steps(struct service *s, const struct batch *b, const struct work_request *w,
                       struct err *e)
{
    struct plan p;
    int rc = service_plan(s, w->name, &p, e);
    if (rc != 0)
        return rc;
    bool same = p.n_steps == b->step_titles.n;
    for (size_t i = 0; same && i < p.n_steps; i++)
        same = strcmp(p.steps[i].title, b->step_titles.v[i]) == 0;
    if (!same)
        rc = err_set(e, ERR_VALIDATION, "the steps of plan %s are others than those that batch #%lld ran, so "
                     "it cannot go on in the middle: --from-start runs all of them", p.name,
                     (long long) b->number);
    plan_clear(&p);
    return rc;
}

int rerun_plan_steps(struct service *s, struct reader *r, const struct batch *b,
                     const struct nodeset *nodes, struct work_request *w, struct err *e)
{
    struct chain c;
    size_t n = nodeset_count(nodes);
    bool later = false;
    int rc = check_steps(s, b, w, e);
    if (rc != 0)
        return rc;
    rc = chain_make(&c, r, b->number, e);
    w->first_step = x_calloc(n + 1, sizeof *w->first_step);
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = first_of(&c, nodeset_at(nodes, i), b->step_titles.n, &w->first_step[i], e);
        later |= w->first_step[i] > 0;
    }
    if (later)
        w->results_of = b->number;
    else
        free(X_STEAL(w->first_step));
    chain_clear(&c);
    return rc;
}

/* --- what the steps before gave --- */

static int result_of(const struct chain *c, const struct plan_part *part, const struct step_run *row,
                     struct json **out, struct err *e)
{
    char *data[2] = {NULL, NULL};
    size_t len[2] = {0, 0};
    int rc = 0;
    for (int i = 0; i < 2 && rc == 0; i++)
        if (row->out_id[i])
            rc = reader_output_all(c->r, row->out_id[i], PLAN_RESULT_MAX, &data[i], &len[i], e);
    const char *const text[2] = {data[0], data[1]};
    if (rc == 0)
        *out = plan_step_result(part, text, len, row->exit_code);
    free(data[0]);
    free(data[1]);
    return rc;
}

/* What one step gave a node: from the newest row of it, or, of a value, worked out again. */
static int step_gave(const struct chain *c, const struct plan_run *p, const char *node, size_t step,
                     struct json *results, struct err *e)
{
    const struct plan_part *part = &p->parts[step];
    struct json *value = NULL;
    bool found = false;
    int rc = 0;
    if (plan_part_is_local(part)) {
        CLEANUP_ERR struct err why = ERR_INIT;
        CLEANUP_FREE char *text = plan_step_text(p, step, results, &value, &why);
        found = text != NULL;
    }
    for (size_t i = 0; !plan_part_is_local(part) && i < c->n && !found && rc == 0; i++) {
        struct step_run *rows;
        size_t n;
        rc = rows_of(c, i, node, &rows, &n, e);
        for (size_t j = 0; j < n && rc == 0 && !found; j++) {
            found = rows[j].step == step + 1;
            if (found)
                rc = result_of(c, part, &rows[j], &value, e);
        }
        step_runs_free(rows, n);
    }
    if (found && rc == 0)
        json_put(results, part->step->name, value);
    return rc;
}

int rerun_plan_results(struct service *s, struct plan_run *p, const struct work_request *w,
                       struct err *e)
{
    if (!w->results_of || !p->first || !p->has_results)
        return 0;
    struct chain c = {0};
    struct reader *r = reader_open(s->db_path, e);
    if (!r)
        return -ERR_STORE;
    int rc = chain_make(&c, r, w->results_of, e);
    p->known = x_calloc(p->nodes.n + 1, sizeof(struct json *));
    for (size_t i = 0; i < p->nodes.n && rc == 0; i++) {
        p->known[i] = json_object();
        for (size_t step = 0; step < p->first[i] && rc == 0; step++)
            if (p->parts[step].keep && p->parts[step].on[i])
                rc = step_gave(&c, p, p->nodes.v[i], step, p->known[i], e);
    }
    chain_clear(&c);
    reader_close(r);
    return rc;
}
