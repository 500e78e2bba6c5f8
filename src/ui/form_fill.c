/* SPDX-License-Identifier: Apache-2.0 */
/* Fills the form and the selection with what a request does. */
#include "app_private.h"
#include "form_work.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/nodeset.h"
#include "muster/core/settings.h"

#include <stdio.h>

static void put(struct form *f, enum form_id id, const char *text)
{
    field_set(&f->fields[id], text ? text : "");
}

static void put_ms(struct form *f, enum form_id id, int64_t ms)
{
    char buf[32];
    snprintf(buf, sizeof buf, ms % 1000 ? "%lldms" : "%llds",
             (long long) (ms % 1000 ? ms : ms / 1000));
    put(f, id, ms >= 0 ? buf : "");
}

static void put_count(struct form *f, enum form_id id, int n)
{
    char buf[32];
    snprintf(buf, sizeof buf, "%d", n);
    put(f, id, n >= 0 ? buf : "");
}

static void put_env(struct form *f, const struct strv *env)
{
    struct strbuf b;
    strbuf_init(&b, 0);
    for (size_t i = 0; env && i < env->n; i++) {
        strbuf_adds(&b, i ? " " : "");
        text_sh_quote(&b, env->v[i]);
    }
    put(f, FORM_ENV, b.s);
    strbuf_free(&b);
}

static void put_action(struct app *a, const struct batch_request *r)
{
    struct err e = ERR_INIT;
    if (r->work && form_work_load(a, r->type, r->work->name, &e) == 0) {
        form_work_fill(a->form.work, r->work);
        put(&a->form, FORM_ON_FAILURE, r->work->on_failure == PLAN_STOP       ? "stop"
                                       : r->work->on_failure == PLAN_CONTINUE ? "continue"
                                                                              : "");
    } else if (r->work) {
        app_toast_err(a, &e);
    } else {
        put(&a->form, FORM_COMMAND, r->action);
    }
    a->form.type = r->work ? r->type : ACTION_TYPE_COMMAND;
    err_clear(&e);
}

static void put_stages(struct form *f, const struct stage_request *s)
{
    put_count(f, FORM_CANARY, s->canary ? (int) s->canary : -1);
    put_count(f, FORM_CANARY_OK, s->canary_ok);
    put(f, FORM_WAVES, s->waves);
    put_ms(f, FORM_WAVE_PAUSE, s->pause_ms > 0 ? s->pause_ms : -1);
    put(f, FORM_PROBE, s->probe);
    put(f, FORM_MAX_FAIL, s->max_fail);
    put(f, FORM_SERIAL_BY, s->serial_by);
}

static void select_nodes(struct app *a, const struct batch_request *r)
{
    struct nodeset *nodes = nodeset_new();
    for (size_t i = 0; i < r->n_node_ids; i++)
        nodeset_add(nodes, r->node_ids[i]);
    selection_save(&a->sel);
    selection_clear(&a->sel);
    selection_add_set(&a->sel, nodes);
    nodeset_free(nodes);
}

void form_fill(struct app *a, const struct batch_request *r, const char *label)
{
    struct form *f = &a->form;
    put_action(a, r);
    put(f, FORM_USER, r->over.user);
    put_count(f, FORM_FANOUT, r->fanout ? (int) r->fanout : -1);
    put_ms(f, FORM_CONNECT, r->over.connect_timeout_ms);
    put_ms(f, FORM_TIMEOUT, r->over.command_timeout_ms);
    put(f, FORM_LABEL, label);
    put(f, FORM_ASK_LOGIN, r->wants_password ? "yes" : "");
    put(f, FORM_RUN_AS, r->over.become_user);
    put(f, FORM_BECOME, r->over.become);
    put(f, FORM_ASK_BECOME, r->wants_become_password ? "yes" : "");
    put(f, FORM_CHDIR, r->chdir);
    put_env(f, r->env);
    put(f, FORM_STDIN, r->stdin_path);
    put(f, FORM_PTY, r->pty ? "yes" : "");
    put(f, FORM_TRANSPORT, r->over.transport);
    put(f, FORM_JUMP, r->over.jump);
    put_stages(f, &r->stages);
    select_nodes(a, r);
}
