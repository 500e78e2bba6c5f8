/* SPDX-License-Identifier: Apache-2.0 */
/* Running a batch again: its action and options from the store, on the nodes that are asked for. */
#include "copy.h"
#include "create.h"
#include "expand.h"
#include "plans.h"
#include "service.h"
#include "work.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/core/json.h"
#include "muster/core/nodeset.h"
#include "muster/store/reader.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Standing for standard input where a file's name would be. */
#define STDIN_NOT_KEPT "-"

struct rerun_hold {
    struct batch batch;
    struct nodeset *nodes;
    struct strv warnings;
    const char **ids;
    const char **groups;
    struct strv ssh_options, env, inventories;
    char *ssh_config, *chdir, *stdin_path;
    char *waves, *max_fail, *serial_by, *probe;
    struct copy_request copy;
    struct work_request work;
};

void rerun_hold_free(struct rerun_hold *h)
{
    if (!h)
        return;
    batch_clear(&h->batch);
    nodeset_free(h->nodes);
    strv_clear(&h->warnings);
    strv_clear(&h->ssh_options);
    strv_clear(&h->env);
    strv_clear(&h->inventories);
    copy_request_clear(&h->copy);
    work_request_clear(&h->work);
    free(h->chdir);
    free(h->waves);
    free(h->max_fail);
    free(h->serial_by);
    free(h->probe);
    free(h->stdin_path);
    free(h->ssh_config);
    free(h->groups);
    free(h->ids);
    free(h);
}

/* --- the parameters --- */

static void put_list(struct json *o, const char *key, const struct strv *v)
{
    if (!v || !v->n)
        return;
    struct json *a = json_array();
    for (size_t i = 0; i < v->n; i++)
        json_add_str(a, v->v[i]);
    json_put(o, key, a);
}

static void get_list(const struct json *o, const char *key, struct strv *out)
{
    const struct json *a = json_get(o, key);
    for (size_t i = 0; a && i < json_len(a); i++)
        if (json_str(json_at(a, i)))
            strv_push(out, json_str(json_at(a, i)));
}

static bool get_bool(const struct json *o, const char *key)
{
    return json_get(o, key) && json_bool(json_get(o, key));
}

static void put_text(struct json *o, const char *key, const char *text)
{
    if (text)
        json_put_str(o, key, text);
}

static void put_stages(struct json *o, const struct stage_request *q)
{
    if (!q->canary && q->canary_ok < 0 && !q->waves && !q->max_fail && !q->serial_by)
        return;
    struct json *stages = json_object();
    if (q->canary)
        json_put_int(stages, "canary", q->canary);
    if (q->canary_ok >= 0)
        json_put_int(stages, "canaryOk", q->canary_ok);
    put_text(stages, "waves", q->waves);
    if (q->pause_ms)
        json_put_int(stages, "pause", q->pause_ms);
    put_text(stages, "maxFail", q->max_fail);
    put_text(stages, "serialBy", q->serial_by);
    put_text(stages, "probe", q->probe);
    json_put(o, "stages", stages);
}

static void get_stages(const struct json *o, struct stage_request *q, struct rerun_hold *hold)
{
    if (!o)
        return;
    q->canary = (unsigned) json_int(json_get(o, "canary"));
    if (json_get(o, "canaryOk"))
        q->canary_ok = (int) json_int(json_get(o, "canaryOk"));
    q->pause_ms = json_int(json_get(o, "pause"));
    q->waves = hold->waves = x_strdup(json_str(json_get(o, "waves")));
    q->max_fail = hold->max_fail = x_strdup(json_str(json_get(o, "maxFail")));
    q->serial_by = hold->serial_by = x_strdup(json_str(json_get(o, "serialBy")));
    q->probe = hold->probe = x_strdup(json_str(json_get(o, "probe")));
}

/* "TYPE:PATH" or "PATH", to be found from any folder. Caller frees. */
static char *inventory_absolute(const char *spec)
{
    size_t n = strspn(spec, "abcdefghijklmnopqrstuvwxyz_-");
    if (spec[n] != ':' || n == 0 || access(spec, F_OK) == 0)
        n = 0;
    const char *typed = spec + n + (n > 0);
    CLEANUP_FREE char *path = io_expand_tilde(typed);
    char *real = realpath(path, NULL); /* a command line is none */
    char *whole = x_asprintf("%.*s%s", (int) (typed - spec), spec, real ? real : typed);
    free(real);
    return whole;
}

static void put_inventories(struct json *o, const struct strv *v)
{
    struct strv whole = STRV_INIT;
    for (size_t i = 0; i < v->n; i++)
        strv_push_own(&whole, inventory_absolute(v->v[i]));
    put_list(o, "inventories", &whole);
    strv_clear(&whole);
}

char *parameters_encode(const struct batch_request *r, const struct strv *inventories,
                        const char *hash)
{
    struct json *o = json_object();
    put_inventories(o, inventories);
    for (int id = 0; id < SETTING_COUNT; id++) {
        if (!setting_is_set(&r->over, id))
            continue;
        if (setting_type(id) == SETTING_TYPE_LIST) {
            put_list(o, setting_key(id), setting_list(&r->over, id));
            continue;
        }
        CLEANUP_FREE char *text = setting_get(&r->over, id);
        json_put_str(o, setting_key(id), text);
    }
    if (r->fanout)
        json_put_int(o, "fanout", r->fanout);
    if (r->retries >= 0)
        json_put_int(o, "retries", r->retries);
    if (r->max_output)
        json_put_int(o, "maxOutput", (int64_t) r->max_output);
    if (r->any_host)
        json_put_bool(o, "anyHost", true);
    if (r->live)
        json_put_bool(o, "live", true);
    if (r->ssh_config)
        json_put_str(o, "sshConfig", r->ssh_config);
    put_list(o, "sshOptions", r->ssh_options);
    put_list(o, "env", r->env);
    if (r->chdir)
        json_put_str(o, "chdir", r->chdir);
    if (r->pty)
        json_put_bool(o, "pty", true);
    if (r->stdin_path || r->stdin_fd)
        json_put_str(o, "stdin", r->stdin_path ? r->stdin_path : STDIN_NOT_KEPT);
    if (r->copy)
        json_put(o, "copy", copy_encode(r->copy));
    if (r->work)
        json_put(o, "work", work_encode(r->work, hash));
    put_stages(o, &r->stages);
    /* That there was one, never what it was. */
    if (r->password)
        json_put_bool(o, "password", true);
    if (r->become_password)
        json_put_bool(o, "sudoPassword", true);
    char *text = x_strdup(json_text(o, NULL));
    json_free(o);
    return text;
}

/* What the command got besides its line. */
static void get_input(const struct json *o, struct batch_request *r, struct rerun_hold *hold)
{
    const char *input = json_str(json_get(o, "stdin"));
    get_list(o, "env", &hold->env);
    r->env = hold->env.n ? &hold->env : NULL;
    hold->chdir = x_strdup(json_str(json_get(o, "chdir")));
    r->chdir = hold->chdir;
    r->pty = get_bool(o, "pty");
    r->stdin_lost = input && strcmp(input, STDIN_NOT_KEPT) == 0;
    hold->stdin_path = r->stdin_lost ? NULL : x_strdup(input);
    r->stdin_path = hold->stdin_path;
    r->wants_password = get_bool(o, "password");
    r->wants_become_password = get_bool(o, "sudoPassword");
    const struct json *copy = json_get(o, "copy");
    if (copy && copy_decode(copy, &hold->copy))
        r->copy = &hold->copy;
    const struct json *work = json_get(o, "work");
    if (work && work_decode(work, &hold->work))
        r->work = &hold->work;
}

int parameters_decode(const char *text, struct batch_request *r, struct rerun_hold *hold,
                      struct err *e)
{
    if (!text)
        return 0;
    struct json *o = json_parse(text, strlen(text), e);
    if (!o)
        return -ERR_STORE;
    int rc = 0;
    for (int id = 0; id < SETTING_COUNT && rc == 0; id++) {
        const struct json *v = json_get(o, setting_key(id));
        size_t n = json_type(v) == JSON_ARRAY ? json_len(v) : 0;
        for (size_t i = 0; i < n && rc == 0; i++)
            if (json_str(json_at(v, i)))
                rc = setting_set(&r->over, id, json_str(json_at(v, i)), e);
        if (n == 0 && v && json_str(v))
            rc = setting_set(&r->over, id, json_str(v), e);
    }
    r->fanout = (unsigned) json_int(json_get(o, "fanout"));
    if (json_get(o, "retries"))
        r->retries = (int) json_int(json_get(o, "retries"));
    r->max_output = (uint64_t) json_int(json_get(o, "maxOutput"));
    r->any_host = get_bool(o, "anyHost");
    r->live = get_bool(o, "live");
    hold->ssh_config = x_strdup(json_str(json_get(o, "sshConfig")));
    r->ssh_config = hold->ssh_config;
    get_list(o, "inventories", &hold->inventories);
    get_list(o, "sshOptions", &hold->ssh_options);
    r->ssh_options = hold->ssh_options.n ? &hold->ssh_options : NULL;
    get_input(o, r, hold);
    get_stages(json_get(o, "stages"), &r->stages, hold);
    json_free(o);
    return rc;
}

/* --- the request --- */

static const char *which_text(enum rerun_which which, enum reason reason)
{
    switch (which) {
    case RERUN_FAILED:
        return "failed";
    case RERUN_SKIPPED:
        return reason_name(REASON_SKIPPED);
    case RERUN_REASON:
        return reason_name(reason);
    case RERUN_ALL:
        break;
    }
    return NULL;
}

/* From the nodes of the old batch to those that run now. */
static int choose(struct service *s, const struct rerun_options *o, bool all,
                  const struct batch_request *out, struct rerun_hold *h, struct err *e)
{
    const struct fleet *f = service_fleet(s, e);
    if (!f)
        return -ERR_VALIDATION;
    bool expand = o && o->expand;
    if (expand && !all)
        return err_set(e, ERR_VALIDATION, "--expand goes with --all only: what failed or was skipped is "
                       "known of the nodes that there were");
    int rc = expand ? expand_groups(f, &h->batch, h->nodes, &h->warnings, e) : 0;
    if (rc == 0 && !out->any_host && !s->config.any_host)
        rc = expand_drop_gone(f, h->nodes, &h->warnings, e);
    return rc;
}

static void take_inventories(struct service *s, const struct rerun_options *o,
                             const struct rerun_hold *h)
{
    if (!o || !o->inventories || s->inventories.n || !h->inventories.n)
        return;
    strv_copy(&s->inventories, &h->inventories);
    s->stale = true;
}

/* All of its nodes again means all of its steps. */
static int choose_steps(struct service *s, struct reader *r, const struct rerun_options *o, bool all,
                        struct rerun_hold *h, struct err *e)
{
    if (o && o->expand)
        free(X_STEAL(h->work.targets));
    return all || (o && o->from_start)
               ? 0
               : rerun_plan_steps(s, r, &h->batch, h->nodes, &h->work, e);
}

static int fill(struct service *s, struct reader *r, int64_t number, const char *what,
                const struct rerun_options *o, struct batch_request *out, struct rerun_hold *h,
                struct err *e)
{
    int rc = reader_batch(r, number, &h->batch, e);
    if (rc != 0)
        return rc;
    if (h->batch.status == BATCH_RUNNING)
        return err_set(e, ERR_VALIDATION,
                       "batch #%lld still runs: wait for its end, or cancel it first",
                       (long long) number);
    rc = reader_nodes_by_result(r, number, what, h->nodes, e);
    if (rc != 0)
        return rc;
    if (nodeset_count(h->nodes) == 0)
        return err_set(e, ERR_VALIDATION, "batch #%lld has no %s node: nothing to run again",
                       (long long) number, what ? what : "such");
    rc = parameters_decode(h->batch.parameters, out, h, e);
    if (rc == 0)
        take_inventories(s, o, h);
    if (rc == 0)
        rc = choose(s, o, !what, out, h, e);
    if (rc == 0 && h->batch.type == ACTION_TYPE_PLAN && out->work)
        rc = choose_steps(s, r, o, !what, h, e);
    if (rc != 0)
        return rc;
    size_t n = nodeset_count(h->nodes);
    out->warnings = h->warnings.n ? &h->warnings : NULL;
    h->ids = x_array(NULL, n, sizeof *h->ids);
    for (size_t i = 0; i < n; i++)
        h->ids[i] = nodeset_at(h->nodes, i);
    /* The groups are for the record only where all of them run again. */
    size_t groups = what ? 0 : h->batch.target_groups.n;
    h->groups = x_array(NULL, groups + 1, sizeof *h->groups);
    for (size_t i = 0; i < groups; i++)
        h->groups[i] = h->batch.target_groups.v[i];
    out->type = h->batch.type;
    out->action = h->batch.action;
    out->label = h->batch.label;
    out->rerun_of = number;
    out->node_ids = h->ids;
    out->n_node_ids = n;
    out->group_ids = h->groups;
    out->n_group_ids = groups;
    out->repeats = groups ? h->batch.parameters : NULL;
    out->expanded = true;
    return 0;
}

int batch_rerun_request(struct service *s, int64_t number, enum rerun_which which,
                        enum reason reason, const struct rerun_options *o,
                        struct batch_request *out, struct rerun_hold **hold, struct err *e)
{
    batch_request_init(out);
    *hold = NULL;
    struct reader *r = reader_open(s->db_path, e);
    if (!r)
        return -ERR_STORE;
    struct rerun_hold *h = x_calloc(1, sizeof *h);
    work_request_init(&h->work);
    h->nodes = nodeset_new();
    int rc = fill(s, r, number, which_text(which, reason), o, out, h, e);
    reader_close(r);
    if (rc != 0) {
        rerun_hold_free(h);
        batch_request_clear(out);
        batch_request_init(out);
        return rc;
    }
    *hold = h;
    return 0;
}
