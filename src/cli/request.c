/* SPDX-License-Identifier: Apache-2.0 */
/* Building a request from flags or from a JSON document. */
#include "request.h"

#include "muster/base/alloc.h"
#include "muster/base/io.h"
#include "muster/base/secret.h"
#include "muster/base/strbuf.h"
#include "muster/core/json.h"
#include "muster/core/suggest.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define DOCUMENT_MAX ((size_t) 16 << 20)

/* As the same words in ssh_config: ssh would ask, which is a refusal here; and never off. */
static int strict_option(struct settings *over, const char *value, struct err *e)
{
    if (strcasecmp(value, "ask") == 0 || strcasecmp(value, "true") == 0)
        value = "yes";
    if (strcasecmp(value, "no") == 0 || strcasecmp(value, "off") == 0 ||
        strcasecmp(value, "false") == 0) {
        fputs("muster: warning: StrictHostKeyChecking=no is taken as accept-new: a changed key is "
              "still refused\n", stderr);
        value = "accept-new";
    }
    if (setting_set(over, SETTING_STRICT, value, NULL) == 0)
        return 0;
    return err_set(e, ERR_VALIDATION, "-o StrictHostKeyChecking=%s: yes, accept-new, ask or no is wanted",
                   value);
}

/* ssh's -o takes KEY=VALUE or "KEY VALUE"; what it says of keys and host keys is a setting of ours too. */
static int ssh_option(struct settings *over, const char *option, struct err *e)
{
    size_t n = strcspn(option, "= \t");
    const char *value = option + n + strspn(option + n, "= \t");
    if (n == 0 || *value == '\0')
        return err_set(e, ERR_VALIDATION, "-o %s: KEY=VALUE is wanted, as in ssh_config", option);
    if (n == 18 && strncasecmp(option, "UserKnownHostsFile", n) == 0)
        return setting_set(over, SETTING_KNOWN_HOSTS, value, e);
    if (n == 12 && strncasecmp(option, "IdentityFile", n) == 0)
        return setting_set(over, SETTING_IDENTITY, value, e);
    if (n == 21 && strncasecmp(option, "StrictHostKeyChecking", n) == 0)
        return strict_option(over, value, e);
    return 0;
}

/* Who runs the command on the node. */
static int become_options(const struct cli *c, struct batch_request *r, struct err *e)
{
    const char *how = c->set[OPT_SUDO] ? become_name(BECOME_SUDO) : c->text[OPT_BECOME];
    const char *who = c->set[OPT_BECOME_USER] ? c->text[OPT_BECOME_USER] : c->text[OPT_SUDO];
    int rc = how ? setting_set(&r->over, SETTING_BECOME, how, e) : 0;
    if (rc == 0 && who)
        rc = setting_set(&r->over, SETTING_BECOME_USER, who, e);
    if (how && strcmp(how, become_name(BECOME_NONE)) == 0)
        r->wants_become_password = false;
    return rc;
}

/* As ssh has it the first of a key stands: what is given comes before what a rerun had. */
static const struct strv *add_ssh_options(struct cli *c, const struct strv *had)
{
    struct strv *given = &c->list[OPT_SSH_OPTION];
    for (size_t i = 0; had && i < had->n; i++)
        strv_push(given, had->v[i]);
    return given;
}

/* Keys and ssh's own options. A list of keys or host keys takes the place of what a rerun had. */
static int ssh_options(struct cli *c, struct batch_request *r, struct err *e)
{
    struct settings given;
    int rc = 0;
    settings_init(&given);
    for (size_t i = 0; i < c->list[OPT_IDENTITY].n && rc == 0; i++)
        rc = setting_set(&given, SETTING_IDENTITY, c->list[OPT_IDENTITY].v[i], e);
    for (size_t i = 0; i < c->list[OPT_SSH_OPTION].n && rc == 0; i++)
        rc = ssh_option(&given, c->list[OPT_SSH_OPTION].v[i], e);
    if (rc == 0)
        settings_merge(&r->over, &given);
    settings_clear(&given);
    if (c->list[OPT_SSH_OPTION].n)
        r->ssh_options = add_ssh_options(c, r->ssh_options);
    return rc;
}

/* What a rerun had comes first: the later of two of a name stands. */
static const struct strv *add_env(struct cli *c, const struct strv *had)
{
    struct strv all = STRV_INIT, *given = &c->list[OPT_ENV];
    if (!had)
        return given;
    strv_copy(&all, had);
    for (size_t i = 0; i < given->n; i++)
        strv_push(&all, given->v[i]);
    strv_clear(given);
    *given = all;
    return given;
}

static void stage_options(const struct cli *c, struct stage_request *q)
{
    q->faults = c->stage_faults;
    if (c->bad_canary)
        q->canary = 1;
    if (c->set[OPT_CANARY])
        q->canary = (unsigned) c->number[OPT_CANARY];
    /* A rerun without a canary has no use for what the first one said of it. */
    if (c->set[OPT_CANARY] && !q->canary)
        q->canary_ok = -1;
    if (c->set[OPT_CANARY_OK])
        q->canary_ok = (int) c->number[OPT_CANARY_OK];
    if (c->set[OPT_WAVES])
        q->waves = c->text[OPT_WAVES];
    if (c->set[OPT_PAUSE])
        q->pause_ms = c->number[OPT_PAUSE];
    if (c->set[OPT_PROBE])
        q->probe = c->text[OPT_PROBE];
    if (c->set[OPT_MAX_FAIL])
        q->max_fail = c->text[OPT_MAX_FAIL];
    if (c->set[OPT_SERIAL_BY])
        q->serial_by = c->text[OPT_SERIAL_BY];
    /* -y asks no question, and says yes to a canary that has nothing wrong with it. */
    if (c->set[OPT_YES] && q->canary && q->canary_ok < 0)
        q->canary_ok = 100;
}

/* Whom it logs in as, where, and how long that and the command may take. */
static int login_options(const struct cli *c, struct batch_request *r, struct err *e)
{
    int rc = 0;
    if (c->set[OPT_LOGIN])
        rc = setting_set(&r->over, SETTING_USER, c->text[OPT_LOGIN], e);
    if (rc == 0 && c->set[OPT_PORT])
        rc = setting_set(&r->over, SETTING_PORT, c->text[OPT_PORT], e);
    if (c->set[OPT_CONNECT_TIMEOUT])
        r->over.connect_timeout_ms = c->number[OPT_CONNECT_TIMEOUT];
    if (c->set[OPT_COMMAND_TIMEOUT])
        r->over.command_timeout_ms = c->number[OPT_COMMAND_TIMEOUT];
    if (c->set[OPT_RETRIES])
        r->retries = (int) c->number[OPT_RETRIES];
    return rc;
}

int request_extras(struct cli *c, struct batch_request *r, struct err *e)
{
    int rc = become_options(c, r, e);
    stage_options(c, &r->stages);
    if (rc == 0 && c->set[OPT_TRANSPORT])
        rc = setting_set(&r->over, SETTING_TRANSPORT, c->text[OPT_TRANSPORT], e);
    if (rc == 0 && c->set[OPT_JUMP])
        rc = setting_set(&r->over, SETTING_JUMP, c->text[OPT_JUMP], e);
    if (rc == 0)
        rc = login_options(c, r, e);
    if (rc == 0)
        rc = ssh_options(c, r, e);
    if (c->set[OPT_MAX_OUTPUT])
        r->max_output = (uint64_t) c->number[OPT_MAX_OUTPUT];
    for (size_t i = 0; i < c->list[OPT_ENV].n && rc == 0; i++)
        rc = service_check_env(c->list[OPT_ENV].v[i], e);
    if (c->list[OPT_ENV].n)
        r->env = add_env(c, r->env);
    if (c->set[OPT_CHDIR])
        r->chdir = c->text[OPT_CHDIR];
    if (c->set[OPT_PTY])
        r->pty = true;
    if (!c->set[OPT_STDIN])
        return rc;
    r->stdin_lost = false;
    bool from_stdin = strcmp(c->text[OPT_STDIN], "-") == 0;
    char *path = service_stdin_path(c->text[OPT_STDIN]);
    free(c->text[OPT_STDIN]);
    c->text[OPT_STDIN] = path;
    r->stdin_path = from_stdin ? NULL : path;
    return rc;
}

int request_options(struct cli *c, struct batch_request *r, struct err *e)
{
    int rc = request_extras(c, r, e);
    if (c->set[OPT_FANOUT])
        r->fanout = (unsigned) c->number[OPT_FANOUT];
    r->label = c->text[OPT_LABEL];
    r->any_host = c->set[OPT_ANY_HOST];
    r->ssh_config = c->text[OPT_SSH_CONFIG];
    return rc;
}

/* --- the document --- */

/* Besides the options of run. */
static const char *const members[] = {"targetNodeIds", "targetGroupIds", "type", "action",
                                      "parameters", "onFailure"};

struct reading {
    struct cli *cli;
    struct request_document *d;
    struct err *e;
    bool given[OPT_COUNT]; /* on the command line */
};

static int read_names(const char *key, const struct json *v, struct strv *out, struct err *e)
{
    if (json_type(v) != JSON_ARRAY)
        return err_set(e, ERR_VALIDATION, "\"%s\" must be an array of names", key);
    for (size_t i = 0; i < json_len(v); i++) {
        const char *name = json_str(json_at(v, i));
        if (!name || !*name)
            return err_set(e, ERR_VALIDATION, "\"%s\": item %zu is not a name", key, i + 1);
        bool group = strcmp(key, "targetGroupIds") == 0;
        strv_push(out, group && *name == '@' ? name + 1 : name);
    }
    return 0;
}

static int read_type(const struct json *v, struct request_document *d, struct err *e)
{
    const char *name = json_str(v);
    d->type = name ? action_type_parse(name) : -1;
    if (d->type >= 0)
        return 0;
    return err_set(e, ERR_VALIDATION, "\"type\" must be \"%s\", \"%s\" or \"%s\"",
                   action_type_name(ACTION_TYPE_COMMAND), action_type_name(ACTION_TYPE_TASK),
                   action_type_name(ACTION_TYPE_PLAN));
}

static int read_parameters(struct json *v, struct request_document *d, struct err *e)
{
    if (json_type(v) == JSON_NULL)
        return 0;
    if (json_type(v) != JSON_OBJECT)
        return err_set(e, ERR_VALIDATION, "\"parameters\" must be an object");
    d->parameters = v;
    return 0;
}

/* A flag's value, as it would be typed. */
static int flag_value(struct reading *g, const struct option_row *o, const char *key,
                      const struct json *v)
{
    CLEANUP_FREE char *shown = x_asprintf("\"%s\"", key);
    if (o->kind == KIND_FLAG || (o->kind == KIND_OPTIONAL && json_type(v) == JSON_BOOL)) {
        if (json_type(v) != JSON_BOOL)
            return err_set(g->e, ERR_VALIDATION, "%s must be true or false", shown);
        return json_bool(v) ? args_set(g->cli, o, shown, NULL, g->e) : 0;
    }
    if (json_type(v) == JSON_STRING)
        return args_set(g->cli, o, shown, json_str(v), g->e);
    if (json_type(v) == JSON_INT) {
        CLEANUP_FREE char *text = x_asprintf("%lld", (long long) json_int(v));
        return args_set(g->cli, o, shown, text, g->e);
    }
    return err_set(g->e, ERR_VALIDATION, "%s must be a string%s", shown,
                   o->kind == KIND_LIST ? " or an array of strings" : " or a whole number");
}

/* What is read before a request is, or is about whoever runs muster. */
static bool command_line_only(enum option_id id)
{
    static const enum option_id ids[] = {OPT_REQUEST, OPT_HELP, OPT_DB, OPT_INVENTORY,
                                         OPT_READ_ONLY, OPT_VERBOSE, OPT_ASK_PASSWORD,
                                         OPT_PASSWORD_FD, OPT_ASK_SUDO_PASSWORD,
                                         OPT_SUDO_PASSWORD_FD,
                                         OPT_PARAMS};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        if (id == ids[i])
            return true;
    return false;
}

static int unknown_member(const char *key, struct err *e)
{
    const char *words[ARRAY_LEN(members) + OPT_COUNT];
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        words[n++] = members[i];
    for (int id = 0; id < OPT_COUNT; id++)
        if ((option_row(id)->verbs & V_RUN) && !command_line_only(id))
            words[n++] = option_row(id)->name;
    const char *near = suggest_nearest(key, words, n);
    if (near)
        return err_set(e, ERR_VALIDATION, "unknown member \"%s\": did you mean \"%s\"?", key, near);
    CLEANUP_FREE char *names = NULL;
    struct strv all = STRV_INIT;
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        strv_push(&all, members[i]);
    names = strv_join(&all, ", ");
    strv_clear(&all);
    return err_set(e, ERR_VALIDATION, "unknown member \"%s\": a request has %s and the options of run by "
                   "their long names", key, names);
}

static int read_flag(struct reading *g, const char *key, const struct json *v)
{
    const struct option_row *o = option_find(VERB_RUN, key);
    if (!o)
        return unknown_member(key, g->e);
    if (o->id == OPT_PARAMS)
        return err_set(g->e, ERR_VALIDATION, "\"%s\" names a file, on the command line only: in a request "
                       "the values stand in \"parameters\", as an object", key);
    if (command_line_only(o->id))
        return err_set(g->e, ERR_VALIDATION, "\"%s\" is for the command line only: give it there "
                       "as --%s", key, key);
    if (g->given[o->id])
        return 0;
    if (o->kind != KIND_LIST || json_type(v) != JSON_ARRAY)
        return flag_value(g, o, key, v);
    for (size_t i = 0; i < json_len(v); i++) {
        int rc = flag_value(g, o, key, json_at(v, i));
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int read_member(const char *key, struct json *v, void *ctx)
{
    struct reading *g = ctx;
    struct request_document *d = g->d;
    if (strcmp(key, "targetNodeIds") == 0)
        return read_names(key, v, &d->nodes, g->e);
    if (strcmp(key, "targetGroupIds") == 0)
        return read_names(key, v, &d->groups, g->e);
    if (strcmp(key, "type") == 0)
        return read_type(v, d, g->e);
    if (strcmp(key, "action") == 0) {
        if (!json_str(v))
            return err_set(g->e, ERR_VALIDATION, "\"action\" must be a string: the command line, or "
                           "the name of the task or plan");
        free(d->action);
        d->action = x_strdup(json_str(v));
        return 0;
    }
    if (strcmp(key, "parameters") == 0)
        return read_parameters(v, d, g->e);
    if (strcmp(key, "onFailure") == 0)
        key = option_row(OPT_ON_FAILURE)->name;
    return read_flag(g, key, v);
}

/* A task and a plan are named by `type` and `action`, or by the flag's name. */
static int check_action(struct cli *c, struct request_document *d, struct err *e)
{
    bool by_flag = c->set[OPT_TASK] || c->set[OPT_PLAN];
    if (by_flag && (d->action || d->type == ACTION_TYPE_COMMAND))
        return err_set(e, ERR_VALIDATION, "\"%s\" and \"%s\": one of them, please",
                       d->action ? "action" : "type", c->set[OPT_TASK] ? "task" : "plan");
    if (by_flag && d->type >= 0 && !c->set[d->type == ACTION_TYPE_TASK ? OPT_TASK : OPT_PLAN])
        return err_set(e, ERR_VALIDATION, "\"type\" is \"%s\", but the request names a %s",
                       action_type_name(d->type), c->set[OPT_TASK] ? "task" : "plan");
    if (by_flag)
        return 0;
    if (!d->action)
        return err_set(e, ERR_VALIDATION, "\"action\" is missing: the command line to run%s",
                       d->type > ACTION_TYPE_COMMAND ? ", or the name of the task or plan" : "");
    if (d->type > ACTION_TYPE_COMMAND)
        return args_set(c, option_row(d->type == ACTION_TYPE_TASK ? OPT_TASK : OPT_PLAN),
                        "\"action\"", d->action, e);
    if (d->parameters && strcmp(json_text(d->parameters, NULL), "{}") != 0)
        return err_set(e, ERR_VALIDATION, "\"parameters\": a command has none");
    return 0;
}

static int parse(struct cli *c, const char *path, const struct strbuf *text,
                 struct request_document *d, struct err *e)
{
    struct json *j = json_parse(text->s, text->len, e);
    if (!j) {
        err_prefix(e, "%s: ", path);
        return -ERR_VALIDATION;
    }
    d->whole = j;
    struct reading g = {.cli = c, .d = d, .e = e};
    memcpy(g.given, c->set, sizeof g.given);
    int rc = json_type(j) == JSON_OBJECT
                 ? json_each(j, read_member, &g)
                 : err_set(e, ERR_VALIDATION, "a request is a JSON object");
    if (rc == 0)
        rc = check_action(c, d, e);
    if (rc != 0)
        err_prefix(e, "%s: ", path);
    return rc;
}

int request_read(struct cli *c, const char *path, struct request_document *d, struct err *e)
{
    batch_request_init(&d->request);
    d->type = -1;
    struct strbuf text;
    strbuf_init(&text, DOCUMENT_MAX);
    bool from_stdin = strcmp(path, "-") == 0;
    int rc = from_stdin ? io_read_fd(STDIN_FILENO, DOCUMENT_MAX, &text, e)
                        : io_read_file(path, DOCUMENT_MAX, &text, e);
    if (rc == 0)
        rc = parse(c, from_stdin ? "standard input" : path, &text, d, e);
    secret_wipe(text.s, text.len); /* sensitive parameters may be in it */
    strbuf_free(&text);
    if (rc == 0)
        rc = request_options(c, &d->request, e);
    d->request.action = d->action;
    return rc;
}

void request_document_clear(struct request_document *d)
{
    batch_request_clear(&d->request);
    strv_clear(&d->nodes);
    strv_clear(&d->groups);
    free(d->action);
    json_free(d->whole);
}
