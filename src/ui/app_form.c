/* SPDX-License-Identifier: Apache-2.0 */
/* The action form: one row a field, what is wrong with one, and the request that they make. */
#include "app_private.h"
#include "form_work.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/settings.h"
#include "muster/core/words.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const struct form_row rows[FORM_COUNT] = {
#define FORM(id, label, kind, empty) {label, FORM_KIND_##kind, empty},
    FORM_TABLE(FORM)
#undef FORM
};

const struct form_row *form_row(enum form_id id)
{
    return &rows[id];
}

static bool set(const struct form *f, enum form_id id)
{
    return f->fields[id].len > 0;
}

/* --- what is wrong --- */

static bool is_fanout(const char *text)
{
    char *end;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && !*end && !errno && n >= 1 && n <= FANOUT_MAX;
}

/* "2" or "5%". */
static bool is_amount(const char *text)
{
    size_t n = strspn(text, "0123456789");
    return n && (!text[n] || strcmp(text + n, "%") == 0);
}

static bool is_percent(const char *text)
{
    size_t n = strspn(text, "0123456789");
    return n && n <= 3 && (!text[n] || strcmp(text + n, "%") == 0) &&
           strtoul(text, NULL, 10) <= 100;
}

static bool is_setting(enum setting_id id, const char *text)
{
    struct settings probe;
    settings_init(&probe);
    bool ok = setting_set(&probe, id, text, NULL) == 0;
    settings_clear(&probe);
    return ok;
}

/* The words of the field, each NAME=VALUE. */
static bool read_env(const char *text, struct strv *out)
{
    bool ok = words_split(text, out, NULL) == 0;
    for (size_t i = 0; ok && i < out->n; i++)
        ok = service_check_env(out->v[i], NULL) == 0;
    return ok;
}

static const char *input_error(const char *text)
{
    if (strcmp(text, "-") == 0)
        return "a file's name";
    if (strchr(text, '%'))
        return NULL; /* the review looks at each node's */
    CLEANUP_FREE char *path = service_stdin_path(text);
    return access(path, R_OK) == 0 ? NULL : "no such file";
}

static const char *env_error(const char *text)
{
    struct strv words = STRV_INIT;
    bool ok = read_env(text, &words);
    strv_clear(&words);
    return ok ? NULL : "A=b C='d e'";
}

const char *form_error(const struct form *f, enum form_id id)
{
    const char *text = f->fields[id].text;
    int64_t ms;
    if (!set(f, id))
        return NULL;
    switch (id) {
    case FORM_COMMAND:
        return f->type == ACTION_TYPE_COMMAND && f->fields[id].len > COMMAND_MAX ? "over 120,000 bytes"
                                                                                 : NULL;
    case FORM_FANOUT:
        return is_fanout(text) ? NULL : "1 to 10000";
    case FORM_CONNECT:
        return text_parse_duration(text, &ms) && ms >= 1 ? NULL : "as 90s, 5m";
    case FORM_TIMEOUT:
        return text_parse_duration(text, &ms) ? NULL : "as 5m, or 0";
    case FORM_USER:
        return is_setting(SETTING_USER, text) ? NULL : "not a login";
    case FORM_RUN_AS:
        return is_setting(SETTING_BECOME_USER, text) ? NULL : "not a login";
    case FORM_BECOME:
        return become_parse(text) >= 0 ? NULL : "sudo su doas none";
    case FORM_TRANSPORT:
        return transport_known(text) ? NULL : "ssh openssh local exec";
    case FORM_JUMP:
        return is_setting(SETTING_JUMP, text) ? NULL : "host,host";
    case FORM_ENV:
        return env_error(text);
    case FORM_STDIN:
        return input_error(text);
    case FORM_CANARY:
        return is_fanout(text) ? NULL : "1 to 10000";
    case FORM_CANARY_OK:
        return is_percent(text) ? NULL : "0 to 100";
    case FORM_WAVES:
        return text[strspn(text, "0123456789%,")] ? "as 1,10%,50%" : NULL;
    case FORM_WAVE_PAUSE:
        return text_parse_duration(text, &ms) ? NULL : "as 30s, 5m";
    case FORM_MAX_FAIL:
        return is_amount(text) ? NULL : "as 2, or 5%";
    default:
        return NULL;
    }
}

/* --- the line that stands for the folded fields --- */

static void add(struct strbuf *b, const char *text)
{
    strbuf_addf(b, "%s%s", b->len ? ", " : "", text);
}

char *form_more_text(const struct form *f)
{
    struct strbuf b;
    strbuf_init(&b, 0);
    for (int i = FORM_MORE + 1; i < FORM_COUNT; i++) {
        const struct form_row *r = &rows[i];
        if (!set(f, i))
            continue;
        CLEANUP_FREE char *value = text_clean(f->fields[i].text);
        CLEANUP_FREE char *text = r->kind == FORM_KIND_SWITCH ? x_strdup(r->label)
                                                               : x_asprintf("%s %s", r->label, value);
        add(&b, text);
    }
    return strbuf_steal(&b);
}

/* --- the request --- */

static int set_text(struct batch_request *r, const struct form *f, enum form_id from, enum setting_id to,
                    struct err *e)
{
    return set(f, from) ? setting_set(&r->over, to, f->fields[from].text, e) : 0;
}

static char *text_of(const struct form *f, enum form_id id)
{
    return set(f, id) ? x_strdup(f->fields[id].text) : NULL;
}

static void stages(const struct form *f, struct pending_hold *h)
{
    struct stage_request *q = &h->request.stages;
    if (set(f, FORM_CANARY))
        q->canary = (unsigned) strtoul(f->fields[FORM_CANARY].text, NULL, 10);
    if (set(f, FORM_CANARY_OK))
        q->canary_ok = (int) strtoul(f->fields[FORM_CANARY_OK].text, NULL, 10);
    if (set(f, FORM_WAVE_PAUSE))
        text_parse_duration(f->fields[FORM_WAVE_PAUSE].text, &q->pause_ms);
    q->waves = h->waves = text_of(f, FORM_WAVES);
    q->probe = h->probe = text_of(f, FORM_PROBE);
    q->max_fail = h->max_fail = text_of(f, FORM_MAX_FAIL);
    q->serial_by = h->serial_by = text_of(f, FORM_SERIAL_BY);
}

/* What is to run. */
static int action_request(const struct form *f, struct pending_hold *h, struct err *e)
{
    struct batch_request *r = &h->request;
    const struct form_work *w = form_work_of(f);
    r->type = f->type;
    if (f->type == ACTION_TYPE_COMMAND) {
        r->action = h->command = x_strdup(f->fields[FORM_COMMAND].text);
        return 0;
    }
    if (!w)
        return err_set(e, ERR_VALIDATION, "no %s is picked", action_type_name(f->type));
    int rc = form_work_request(w, &h->work, e);
    if (rc != 0)
        return rc;
    if (f->type == ACTION_TYPE_PLAN && set(f, FORM_ON_FAILURE))
        h->work.on_failure = strcmp(f->fields[FORM_ON_FAILURE].text, "stop") == 0 ? PLAN_STOP
                                                                                  : PLAN_CONTINUE;
    r->action = h->command = work_text(&h->work, form_work_params(w));
    r->work = &h->work;
    return 0;
}

int form_request(const struct form *f, struct pending_hold *h, struct err *e)
{
    static const struct {
        enum form_id from;
        enum setting_id to;
    } texts[] = {{FORM_USER, SETTING_USER},           {FORM_TRANSPORT, SETTING_TRANSPORT},
                 {FORM_JUMP, SETTING_JUMP},           {FORM_BECOME, SETTING_BECOME},
                 {FORM_RUN_AS, SETTING_BECOME_USER}};
    struct batch_request *r = &h->request;
    for (int i = 0; i < FORM_COUNT; i++) {
        const char *wrong = form_error(f, i);
        if (wrong)
            return err_set(e, ERR_VALIDATION, "%s: `%s` is wrong (%s)", rows[i].label,
                           f->fields[i].text, wrong);
    }
    int rc = 0;
    for (size_t i = 0; i < ARRAY_LEN(texts) && rc == 0; i++)
        rc = set_text(r, f, texts[i].from, texts[i].to, e);
    if (set(f, FORM_FANOUT))
        r->fanout = (unsigned) strtoul(f->fields[FORM_FANOUT].text, NULL, 10);
    if (set(f, FORM_CONNECT))
        text_parse_duration(f->fields[FORM_CONNECT].text, &r->over.connect_timeout_ms);
    if (set(f, FORM_TIMEOUT))
        text_parse_duration(f->fields[FORM_TIMEOUT].text, &r->over.command_timeout_ms);
    if (set(f, FORM_ENV) && read_env(f->fields[FORM_ENV].text, &h->env))
        r->env = &h->env;
    h->label = text_of(f, FORM_LABEL);
    h->chdir = text_of(f, FORM_CHDIR);
    h->stdin_path = set(f, FORM_STDIN) ? service_stdin_path(f->fields[FORM_STDIN].text) : NULL;
    stages(f, h);
    r->rerun_of = f->rerun_of;
    r->label = h->label;
    r->chdir = h->chdir;
    r->stdin_path = h->stdin_path;
    r->pty = set(f, FORM_PTY);
    r->wants_password = set(f, FORM_ASK_LOGIN);
    r->wants_become_password = set(f, FORM_ASK_BECOME);
    return rc ? rc : action_request(f, h, e);
}
