/* SPDX-License-Identifier: Apache-2.0 */
/* Host variables of Ansible that say how a host is reached, as settings. */
#include "ansible.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/core/words.h"

#include <ctype.h>
#include <string.h>

#define FILL_DEPTH 8 /* LIMIT: variables in variables */

struct host {
    struct build *b;
    struct entry *en;
    const char *name;
    const struct varlist *vars;
    const struct ansible_config *config; /* of what the variables leave open; or NULL */
    struct err *e;
};

static const char *in_list(const struct varlist *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i].name, name) == 0)
            return l->v[i].value;
    return NULL;
}

static const char *var(const struct host *h, const char *name)
{
    const char *value = in_list(h->vars, name);

    return value || !h->config ? value : in_list(&h->config->vars, name);
}

/* The first one that is there: Ansible's plugin of the transport asks in this order. *said is what to
 * call it: the variable, or what stands for it in the configuration. */
static const char *first_of(const struct host *h, const char *const *names, const char **said)
{
    const char *value = NULL;

    for (size_t i = 0; names[i] && !value; i++) {
        value = in_list(h->vars, names[i]);
        *said = names[i];
    }
    for (size_t i = 0; h->config && names[i] && !value; i++) {
        value = in_list(&h->config->vars, names[i]);
        if (value)
            *said = in_list(&h->config->said, names[i]);
    }
    return value && *value ? value : NULL;
}

/* A value that ansible-inventory leaves encrypted. */
static bool is_vault(const char *value)
{
    return strstr(value, "\"__ansible_vault\"") != NULL;
}

static bool is_secret(const char *name)
{
    static const char *const parts[] = {"password", "passwd", "passphrase", "secret", "_token",
                                        "_pass",    "api_key"};

    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (strcasestr(name, parts[i]))
            return true;
    return strcasestr(name, "private_key") && !strcasestr(name, "private_key_file");
}

/* Fills "{{ name }}" by the host's variables; NULL: there is more in it than a name. */
static char *fill(const struct host *h, const char *text, int depth)
{
    struct strbuf out;
    const char *open;

    if (depth > FILL_DEPTH)
        return NULL;
    strbuf_init(&out, 65536);
    while ((open = strstr(text, "{{"))) {
        const char *s = open + 2 + strspn(open + 2, " \t"), *end = s, *value;
        CLEANUP_FREE char *name = NULL, *inner = NULL;
        while (isalnum((unsigned char) *end) || *end == '_')
            end++;
        name = x_strndup(s, (size_t) (end - s));
        end += strspn(end, " \t");
        value = strcmp(name, "inventory_hostname") == 0 ? h->name : var(h, name);
        inner = value && strncmp(end, "}}", 2) == 0 ? fill(h, value, depth + 1) : NULL;
        if (!inner) {
            strbuf_free(&out);
            return NULL;
        }
        strbuf_add(&out, text, (size_t) (open - text));
        strbuf_adds(&out, inner);
        text = end + 2;
    }
    if (strstr(text, "{%")) {
        strbuf_free(&out);
        return NULL;
    }
    strbuf_adds(&out, text);
    return strbuf_steal(&out);
}

/* What cannot be followed must not reach another machine, or as another user: the node has a
 * transport that no one has, by which it is refused before it connects. */
static int refuse(struct host *h, const char *what, const char *value)
{
    const char *shown = is_vault(value) ? "(encrypted)" : value;
    CLEANUP_FREE char *name = x_asprintf("%s=%.100s", what, shown);

    for (char *s = name; *s; s++)
        if (isspace((unsigned char) *s))
            *s = '_';
    build_warn(h->b, "\"%s\": %s: \"%s\" cannot be followed; a run on it fails as unsupported",
               h->name, what, shown);
    return entry_set(h->en, SETTING_TRANSPORT, name, h->e);
}

static int set(struct host *h, enum setting_id id, const char *what, const char *value)
{
    CLEANUP_FREE char *filled = is_vault(value) ? NULL : fill(h, value, 0);
    int rc;

    if (!filled)
        return refuse(h, what, value);
    rc = entry_set(h->en, id, filled, h->e);
    if (rc)
        err_prefix(h->e, "host \"%s\": %s: ", h->name, what);
    return rc;
}

static const char *last_part(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot ? dot + 1 : name;
}

static bool truth(const char *s)
{
    return s && (strcasecmp(s, "true") == 0 || strcasecmp(s, "yes") == 0 ||
                 strcasecmp(s, "on") == 0 || strcmp(s, "1") == 0);
}

static int set_become(struct host *h)
{
    static const char *const wants[] = {"ansible_become", "ansible_sudo", NULL};
    static const char *const method[] = {"ansible_become_method", NULL};
    static const char *const user[] = {"ansible_become_user", "ansible_sudo_user", NULL};
    const char *said, *how_said, *who_said, *want = first_of(h, wants, &said);
    const char *how = first_of(h, method, &how_said), *who = first_of(h, user, &who_said);
    int rc;

    if (want && is_vault(want))
        return refuse(h, said, want);
    if (!truth(want))
        return 0;
    how = how ? last_part(how) : "sudo";
    if (become_parse(how) < 0)
        return refuse(h, how_said, how);
    rc = set(h, SETTING_BECOME, how_said, how);
    return rc || !who ? rc : set(h, SETTING_BECOME_USER, who_said, who);
}

/* --- arguments for ssh --- */

/* "ssh -W %h:%p [-q] [-p PORT] [-l USER] HOST" is a jump host by another name; else NULL. */
static char *jump_of_command(const char *command)
{
    CLEANUP_STRV struct strv w = STRV_INIT;
    const char *host = NULL, *port = NULL, *user = NULL, *slash;
    bool forwards = false;

    if (words_split(command, &w, NULL) || w.n == 0)
        return NULL;
    slash = strrchr(w.v[0], '/');
    if (strcmp(slash ? slash + 1 : w.v[0], "ssh") != 0)
        return NULL;
    for (size_t i = 1; i < w.n; i++) {
        const char *next = i + 1 < w.n ? w.v[i + 1] : "";
        if (strcmp(w.v[i], "-q") == 0)
            continue;
        if (strcmp(w.v[i], "-W") == 0)
            forwards = strcmp(next, "%h:%p") == 0 || strcmp(next, "[%h]:%p") == 0;
        else if (strcmp(w.v[i], "-p") == 0)
            port = next;
        else if (strcmp(w.v[i], "-l") == 0)
            user = next;
        else if (*w.v[i] == '-' || host)
            return NULL;
        else
            host = w.v[i];
        i += *w.v[i] == '-';
    }
    if (!forwards || !host)
        return NULL;
    return x_asprintf("%s%s%s%s%s", user ? user : "", user ? "@" : "", host, port ? ":" : "",
                      port ? port : "");
}

/* Where ssh arguments stand: at the host, or in the configuration, which may not soften a check. */
struct args {
    const char *where; /* for people */
    bool of_config;
};

static int host_key_option(struct host *h, const struct args *a, const char *value)
{
    bool yes = strcasecmp(value, "yes") == 0, soft = !yes && strcasecmp(value, "accept-new") != 0;

    if (soft && a->of_config) {
        build_warn(h->b, "StrictHostKeyChecking=%s in %s is not followed: host keys are checked all "
                         "the same; strict_host_key: accept-new takes new ones", value, a->where);
        return 0;
    }
    if (soft)
        build_warn(h->b, "StrictHostKeyChecking=%s is taken as accept-new: a new host key is "
                         "accepted, a changed one is refused", value);
    return set(h, SETTING_STRICT, "StrictHostKeyChecking", yes ? "yes" : "accept-new");
}

static int ssh_option(struct host *h, const struct args *a, const char *option)
{
    static const struct {
        const char *name;
        enum setting_id id;
    } same[] = {{"ProxyJump", SETTING_JUMP}, {"User", SETTING_USER}, {"Port", SETTING_PORT},
                {"IdentityFile", SETTING_IDENTITY}};
    size_t n = strcspn(option, "= \t");
    const char *value = option + n + strspn(option + n, "= \t");
    CLEANUP_FREE char *name = x_strndup(option, n), *jump = NULL;

    for (size_t i = 0; i < ARRAY_LEN(same); i++)
        if (strcasecmp(name, same[i].name) == 0)
            return set(h, same[i].id, same[i].name, value);
    if (strcasecmp(name, "ProxyCommand") == 0) {
        jump = jump_of_command(value);
        return jump ? set(h, SETTING_JUMP, "ProxyCommand", jump)
                    : refuse(h, "ProxyCommand", value);
    }
    if (strcasecmp(name, "StrictHostKeyChecking") == 0)
        return host_key_option(h, a, value);
    if (strncasecmp(name, "Control", 7) != 0) /* connections are shared anyway */
        build_warn(h->b, "the ssh option \"%s\" in %s is not used: put it into ~/.ssh/config",
                   option, a->where);
    return 0;
}

static int ssh_args(struct host *h, const struct args *a, const char *args)
{
    static const struct {
        char letter;
        int id; /* enum setting_id, or -1: an option by its name */
    } letters[] = {{'J', SETTING_JUMP}, {'l', SETTING_USER}, {'p', SETTING_PORT},
                   {'i', SETTING_IDENTITY}, {'o', -1}};
    CLEANUP_FREE char *filled = is_vault(args) ? NULL : fill(h, args, 0);
    CLEANUP_STRV struct strv w = STRV_INIT;
    int rc = 0;

    if (!filled || words_split(filled, &w, NULL))
        return refuse(h, "ssh arguments", args);
    for (size_t i = 0; !rc && i < w.n; i++) {
        const char *word = w.v[i], *value = NULL;
        size_t k = 0;
        while (k < ARRAY_LEN(letters) && (*word != '-' || word[1] != letters[k].letter))
            k++;
        if (k < ARRAY_LEN(letters))
            value = word[2] ? word + 2 : i + 1 < w.n ? w.v[++i] : NULL;
        if (value && letters[k].id >= 0)
            rc = set(h, (enum setting_id) letters[k].id, word, value);
        else if (value)
            rc = ssh_option(h, a, value);
        else if (strcmp(word, "-C") != 0 && strcmp(word, "-q") != 0)
            build_warn(h->b, "the ssh argument \"%s\" in %s is not used: put it into "
                             "~/.ssh/config", word, a->where);
    }
    return rc;
}

static int set_args(struct host *h, const char *name)
{
    const char *own = in_list(h->vars, name), *value = own ? own : var(h, name);
    struct args a = {.where = "Ansible's variables", .of_config = !own};

    if (!own && value)
        a.where = in_list(&h->config->said, name);
    return value ? ssh_args(h, &a, value) : 0;
}

static int set_connection(struct host *h)
{
    static const char *const ssh[] = {"ssh", "smart", "paramiko", "paramiko_ssh", "openssh"};
    const char *name = var(h, "ansible_connection");
    CLEANUP_FREE char *filled = name && !is_vault(name) ? fill(h, name, 0) : NULL;
    bool own;

    if (!name || !*name)
        return 0;
    if (!filled)
        return refuse(h, "ansible_connection", name);
    own = !strchr(filled, '.') || strncmp(filled, "ansible.builtin.", 16) == 0;
    for (size_t i = 0; own && i < ARRAY_LEN(ssh); i++)
        if (strcmp(last_part(filled), ssh[i]) == 0)
            return 0;
    return set(h, SETTING_TRANSPORT, "ansible_connection",
               own && strcmp(last_part(filled), "local") == 0 ? "local" : filled);
}

static const char *const host_names[] = {"ansible_ssh_host", "ansible_host", NULL};
static const char *const port_names[] = {"ansible_ssh_port", "ansible_port", NULL};
static const char *const user_names[] = {"ansible_ssh_user", "ansible_user", NULL};
static const char *const key_names[] = {"ansible_ssh_private_key_file",
                                        "ansible_private_key_file", NULL};
static const char *const time_names[] = {"ansible_ssh_timeout", "ansible_timeout", NULL};
static const char *const arg_names[] = {"ansible_ssh_args", "ansible_ssh_common_args",
                                        "ansible_ssh_extra_args", NULL};
static const char *const check_names[] = {"ansible_ssh_host_key_checking",
                                          "ansible_host_key_checking", NULL};
static const char *const other_names[] = {"ansible_connection",    "ansible_become",
                                          "ansible_become_method", "ansible_become_user",
                                          "ansible_sudo",          "ansible_sudo_user", NULL};

static const struct {
    const char *const *names;
    int id; /* enum setting_id, or -1: apart */
} mapped[] = {
    {host_names, SETTING_HOST},    {port_names, SETTING_PORT},
    {user_names, SETTING_USER},    {key_names, SETTING_IDENTITY},
    {time_names, SETTING_CONNECT_TIMEOUT}, {arg_names, -1},
    {check_names, -1},             {other_names, -1},
};

static bool is_mapped(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(mapped); i++)
        for (size_t k = 0; mapped[i].names[k]; k++)
            if (strcmp(mapped[i].names[k], name) == 0)
                return true;
    return false;
}

static void keep_others(struct host *h)
{
    for (size_t i = 0; i < h->vars->n; i++) {
        const struct fleet_var *v = &h->vars->v[i];
        bool vault = is_vault(v->value);
        if (is_mapped(v->name))
            continue;
        if (vault || is_secret(v->name))
            build_warn(h->b, "the variable \"%s\" is not kept: it %s", v->name,
                       vault ? "is encrypted" : "is called as secrets are");
        else
            varlist_set(&h->en->vars, v->name, v->value);
    }
}

int ansible_vars(struct build *b, struct entry *en, const char *host, const struct varlist *vars,
                 const struct ansible_config *config, struct err *e)
{
    struct host h = {b, en, host, vars, config, e};
    const char *said, *check = first_of(&h, check_names, &said);
    int rc = 0;

    for (size_t k = 0; !rc && arg_names[k]; k++)
        rc = set_args(&h, arg_names[k]);
    /* A variable of its own goes over what stands in the arguments; so do these, one by one. */
    for (size_t i = 0; !rc && i < ARRAY_LEN(mapped); i++) {
        const char *value = mapped[i].id >= 0 ? first_of(&h, mapped[i].names, &said) : NULL;
        if (value && mapped[i].id == SETTING_IDENTITY)
            strv_clear(&en->set.identity);
        if (value)
            rc = set(&h, (enum setting_id) mapped[i].id, said, value);
    }
    if (!rc && check && !truth(check)) {
        build_warn(b, "host key checking that is switched off is taken as accept-new: a new host "
                      "key is accepted, a changed one is refused");
        rc = set(&h, SETTING_STRICT, "ansible_host_key_checking", "accept-new");
    }
    if (!rc && !en->set.transport)
        rc = set_connection(&h);
    if (!rc && (!en->set.transport || transport_known(en->set.transport)))
        rc = set_become(&h);
    if (!rc && !config)
        keep_others(&h);
    return rc;
}
