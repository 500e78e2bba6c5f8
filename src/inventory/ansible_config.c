/* SPDX-License-Identifier: Apache-2.0 */
/* ansible.cfg and the environment of Ansible: which file counts, where inventories are, and what both
 * say of how all hosts are reached. */
#include "ansible.h"
#include "run.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG_MAX ((size_t) 1 << 20)
#define BLANKS " \t\r"

/* What is followed, by the host variable that means the same. */
static const struct {
    const char *section, *key, *env, *var;
    int id; /* enum setting_id to check the value by, or -1 */
} followed[] = {
    {"defaults", "remote_user", "ANSIBLE_REMOTE_USER", "ansible_user", SETTING_USER},
    {"defaults", "remote_port", "ANSIBLE_REMOTE_PORT", "ansible_port", SETTING_PORT},
    {"defaults", "private_key_file", "ANSIBLE_PRIVATE_KEY_FILE", "ansible_private_key_file",
     SETTING_IDENTITY},
    {"defaults", "timeout", "ANSIBLE_TIMEOUT", "ansible_timeout", SETTING_CONNECT_TIMEOUT},
    {"defaults", "transport", "ANSIBLE_TRANSPORT", "ansible_connection", -1},
    {"ssh_connection", "ssh_args", "ANSIBLE_SSH_ARGS", "ansible_ssh_args", -1},
    {"ssh_connection", "ssh_common_args", "ANSIBLE_SSH_COMMON_ARGS", "ansible_ssh_common_args", -1},
    {"ssh_connection", "ssh_extra_args", "ANSIBLE_SSH_EXTRA_ARGS", "ansible_ssh_extra_args", -1},
    {"privilege_escalation", "become", "ANSIBLE_BECOME", "ansible_become", -1},
    {"privilege_escalation", "become_method", "ANSIBLE_BECOME_METHOD", "ansible_become_method", -1},
    {"privilege_escalation", "become_user", "ANSIBLE_BECOME_USER", "ansible_become_user",
     SETTING_BECOME_USER},
};

/* What bears on how a host is reached or a command is run, and is not followed. */
static const struct {
    const char *section, *key, *env;
    const char *when; /* "no", "yes": only this value says something; NULL: any */
    const char *hint;
} ignored[] = {
    {"defaults", "host_key_checking", "ANSIBLE_HOST_KEY_CHECKING", "no",
     "host keys are checked all the same; strict_host_key: accept-new takes new ones"},
    {"ssh_connection", "host_key_checking", "ANSIBLE_SSH_HOST_KEY_CHECKING", "no",
     "host keys are checked all the same; strict_host_key: accept-new takes new ones"},
    {"paramiko_connection", "host_key_checking", "ANSIBLE_PARAMIKO_HOST_KEY_CHECKING", "no",
     "host keys are checked all the same; strict_host_key: accept-new takes new ones"},
    {"paramiko_connection", "proxy_command", "ANSIBLE_PARAMIKO_PROXY_COMMAND", NULL,
     "put it into ~/.ssh/config"},
    {"ssh_connection", "ssh_executable", "ANSIBLE_SSH_EXECUTABLE", NULL, NULL},
    {"ssh_connection", "retries", "ANSIBLE_SSH_RETRIES", NULL, NULL},
    {"defaults", "ask_pass", "ANSIBLE_ASK_PASS", "yes", "a password is asked for where it is wanted"},
    {"defaults", "connection_password_file", "ANSIBLE_CONNECTION_PASSWORD_FILE", NULL, NULL},
    {"defaults", "become_password_file", "ANSIBLE_BECOME_PASSWORD_FILE", NULL, NULL},
    {"defaults", "executable", "ANSIBLE_EXECUTABLE", NULL, "the login shell runs commands"},
    {"defaults", "forks", "ANSIBLE_FORKS", NULL, "-f says how many at once"},
    {"privilege_escalation", "become_ask_pass", "ANSIBLE_BECOME_ASK_PASS", "yes",
     "a password is asked for where it is wanted"},
    {"privilege_escalation", "become_exe", "ANSIBLE_BECOME_EXE", NULL, NULL},
    {"privilege_escalation", "become_flags", "ANSIBLE_BECOME_FLAGS", NULL, NULL},
};

const char *ansible_config_env(size_t i)
{
    return i < ARRAY_LEN(followed) ? followed[i].env
           : i < ARRAY_LEN(followed) + ARRAY_LEN(ignored)
               ? ignored[i - ARRAY_LEN(followed)].env
               : NULL;
}

struct reader {
    struct ansible_config *c;
    const char *path;
    struct err *e;
    int rc;
};

static const char *truth(const char *s)
{
    static const char *const yes[] = {"true", "yes", "on", "1", "y", "t"};
    static const char *const no[] = {"false", "no", "off", "0", "n", "f"};

    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        if (strcasecmp(s, yes[i]) == 0)
            return "yes";
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        if (strcasecmp(s, no[i]) == 0)
            return "no";
    return "";
}

/* `place` is for people: "remote_user of /x/ansible.cfg", "ANSIBLE_REMOTE_USER". */
static void follow(struct reader *r, size_t row, const char *value, const char *place)
{
    bool templated = strstr(value, "{{") != NULL;
    struct settings check;

    settings_init(&check);
    if (*value && followed[row].id >= 0 && !templated && !r->rc) {
        r->rc = setting_set(&check, (enum setting_id) followed[row].id, value, r->e);
        if (r->rc)
            err_prefix(r->e, "%s: ", place);
    }
    settings_clear(&check);
    varlist_set(&r->c->vars, followed[row].var, value);
    varlist_set(&r->c->said, followed[row].var, place);
}

static void name_ignored(struct reader *r, size_t row, const char *value, const char *place)
{
    CLEANUP_FREE char *clean = text_clean(value);

    if (*value == '\0' || (ignored[row].when && strcmp(truth(value), ignored[row].when) != 0))
        return;
    strv_push_own(&r->c->not_used,
                  x_asprintf("%s (\"%.80s\") is not followed%s%s", place, clean,
                             ignored[row].hint ? ": " : "",
                             ignored[row].hint ? ignored[row].hint : ""));
}

/* As Ansible has it, from the folder of the file that names it. */
static char *whole_path(const char *value, const char *file)
{
    CLEANUP_FREE char *dir = NULL;

    if (*value == '/' || *value == '~' || *value == '\0' || strstr(value, "{{"))
        return x_strdup(value);
    dir = file ? io_dirname(file) : realpath(".", NULL);
    return dir ? io_join(dir, value) : x_strdup(value);
}

static void take(struct reader *r, const char *section, const char *key, const char *value)
{
    CLEANUP_FREE char *place = x_asprintf("%s of %s", key, r->path);

    if (strcmp(section, "defaults") == 0 && strcmp(key, "inventory") == 0) {
        free(r->c->inventory);
        r->c->inventory = x_strdup(value);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(followed); i++) {
        if (strcmp(section, followed[i].section) == 0 && strcmp(key, followed[i].key) == 0) {
            bool is_path = followed[i].id == SETTING_IDENTITY;
            CLEANUP_FREE char *whole = is_path ? whole_path(value, r->path) : x_strdup(value);
            follow(r, i, whole, place);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
        if (strcmp(section, ignored[i].section) == 0 && strcmp(key, ignored[i].key) == 0)
            name_ignored(r, i, value, place);
}

/* --- the file --- */

struct ini {
    char section[64], key[64]; /* longer ones are none that is known */
    struct strbuf value;
};

static void ini_flush(struct ini *ini, struct reader *r)
{
    char *s = ini->value.s;
    size_t n = ini->value.len;

    if (*ini->key) {
        if (n >= 2 && (*s == '"' || *s == '\'') && s[n - 1] == *s) {
            s[n - 1] = '\0';
            s++;
        }
        take(r, ini->section, ini->key, s);
    }
    ini->key[0] = '\0';
    strbuf_reset(&ini->value);
}

static void trim(char *s)
{
    size_t n = strlen(s);

    while (n && strchr(BLANKS, s[n - 1]))
        s[--n] = '\0';
}

/* As Python's configparser has it: `;` after a blank begins a comment, keys have no case, an indented line
 * goes on with the value. */
static void ini_line(struct ini *ini, struct reader *r, char *line)
{
    char *s = line + strspn(line, BLANKS);
    size_t n;

    for (char *c = s; (c = strchr(c, ';')); c++) {
        if (c == s || strchr(BLANKS, c[-1])) {
            *c = '\0';
            break;
        }
    }
    trim(s);
    if (*s == '\0' || *s == '#')
        return;
    if (s > line && *ini->key) {
        strbuf_addf(&ini->value, " %s", s);
        return;
    }
    ini_flush(ini, r);
    if (*s == '[') {
        snprintf(ini->section, sizeof ini->section, "%.*s", (int) strcspn(s + 1, "]"), s + 1);
        return;
    }
    n = strcspn(s, "=:");
    if (s[n] == '\0')
        return;
    strbuf_adds(&ini->value, s + n + 1 + strspn(s + n + 1, BLANKS));
    s[n] = '\0';
    trim(s);
    for (n = 0; s[n] && n + 1 < sizeof ini->key; n++)
        ini->key[n] = (char) tolower((unsigned char) s[n]);
    ini->key[s[n] ? 0 : n] = '\0';
}

static void read_file(struct reader *r)
{
    struct ini ini = {.section = ""};
    struct strbuf text;
    char *save = NULL;

    strbuf_init(&text, CONFIG_MAX);
    strbuf_init(&ini.value, CONFIG_MAX);
    r->rc = io_read_file(r->path, CONFIG_MAX, &text, r->e);
    if (!r->rc) {
        for (char *line = strtok_r(text.s, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
            ini_line(&ini, r, line);
        ini_flush(&ini, r);
    }
    strbuf_free(&ini.value);
    strbuf_free(&text);
}

int ansible_config_read(struct ansible_config *c, const char *path, struct err *e)
{
    struct reader r = {.c = c, .path = path, .e = e};

    read_file(&r);
    return r.rc;
}

/* --- and the environment over it --- */

static void read_env(struct reader *r)
{
    for (size_t i = 0; i < ARRAY_LEN(followed); i++) {
        const char *value = getenv(followed[i].env);
        bool is_path = followed[i].id == SETTING_IDENTITY;
        CLEANUP_FREE char *whole = value && is_path ? whole_path(value, NULL) : x_strdup(value);
        if (whole)
            follow(r, i, whole, followed[i].env);
    }
    for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
        if (getenv(ignored[i].env))
            name_ignored(r, i, getenv(ignored[i].env), ignored[i].env);
}

int ansible_config_load(struct ansible_config *c, const struct source_input *in, struct err *e)
{
    struct reader r = {.c = c, .e = e};

    *c = (struct ansible_config){.path = NULL};
    c->path = ansible_config_path(in->etc_dir ? in->etc_dir : "/etc", !in->found, NULL,
                                  &c->passed_by);
    r.path = c->path;
    if (c->path)
        read_file(&r);
    if (!r.rc)
        read_env(&r);
    return r.rc;
}

void ansible_config_warn(struct build *b, const struct ansible_config *c)
{
    if (c->passed_by)
        build_warn(b, "%s is not read, as anybody may write into its folder; Ansible passes it by "
                      "too", c->passed_by);
    for (size_t i = 0; i < c->not_used.n; i++)
        build_warn(b, "%s", c->not_used.v[i]);
}

void ansible_config_clear(struct ansible_config *c)
{
    free(c->path);
    free(c->passed_by);
    free(c->inventory);
    varlist_clear(&c->vars);
    varlist_clear(&c->said);
    strv_clear(&c->not_used);
    *c = (struct ansible_config){.path = NULL};
}

/* --- where it is --- */

static bool readable(const char *path, struct inventory_watch *w)
{
    struct stat st;

    if (w)
        watch_file(w, path);
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, R_OK) == 0;
}

static char *of_env(struct inventory_watch *w)
{
    const char *value = getenv("ANSIBLE_CONFIG");
    CLEANUP_FREE char *path = value && *value ? io_expand_tilde(value) : NULL, *whole = NULL;
    struct stat st;

    if (path && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        char *inner = io_join(path, "ansible.cfg");
        free(path);
        path = inner;
    }
    if (!path || !readable(path, w))
        return NULL;
    whole = realpath(path, NULL);
    return X_STEAL(whole);
}

char *ansible_config_path(const char *etc, bool here, struct inventory_watch *w, char **passed_by)
{
    CLEANUP_FREE char *home = io_expand_tilde("~/.ansible.cfg"), *local = NULL;
    char *system = x_asprintf("%s/ansible/ansible.cfg", etc), *path = of_env(w);
    struct stat st;

    if (!path && here && stat(".", &st) == 0 && readable("ansible.cfg", w)) {
        local = realpath("ansible.cfg", NULL);
        if (!(st.st_mode & S_IWOTH))
            path = X_STEAL(local);
        else if (passed_by)
            *passed_by = X_STEAL(local);
    }
    if (!path && readable(home, w))
        path = X_STEAL(home);
    if (!path && readable(system, w))
        return system;
    free(system);
    return path;
}

/* --- inventories in their usual places --- */

/* Each path of a comma list, made whole from `dir`; only those that are there. */
static char *whole_paths(const char *list, const char *dir)
{
    CLEANUP_STRV struct strv v = STRV_INIT;

    while (list && *list) {
        size_t n = strcspn(list, ",");
        CLEANUP_FREE char *one = x_strndup(list, n), *full = NULL, *there = NULL;
        trim(one);
        full = io_expand_tilde(one + strspn(one, BLANKS));
        if (*full != '/') {
            char *joined = io_join(dir, full);
            free(full);
            full = joined;
        }
        there = realpath(full, NULL);
        if (there)
            strv_push(&v, there);
        list += n + (list[n] == ',');
    }
    return v.n ? strv_join(&v, ",") : NULL;
}

/* What a configuration in the working folder would have meant, were it followed. */
static void look_aside(char **aside, char **why)
{
    struct ansible_config c = {.path = NULL};
    struct stat st;

    if (readable("ansible.cfg", NULL) && ansible_config_read(&c, "ansible.cfg", NULL) == 0 &&
        (c.inventory || c.vars.n)) {
        *aside = realpath("ansible.cfg", NULL);
        if (*aside && stat(".", &st) == 0 && (st.st_mode & S_IWOTH))
            *why = x_asprintf("it is not read, as anybody may write into its folder; Ansible passes it "
                              "by too");
        else if (*aside)
            *why = x_asprintf("it is not read unasked, as such a file may name programs: set "
                              "ANSIBLE_CONFIG=%s, or name the inventory with -i", *aside);
    }
    ansible_config_clear(&c);
}

char *ansible_find(const char *etc, struct inventory_watch *w, char **aside, char **why)
{
    const char *inventory = getenv("ANSIBLE_INVENTORY"), *env = getenv("ANSIBLE_CONFIG");
    CLEANUP_FREE char *program = run_find("ansible-inventory"), *hosts = NULL, *path = NULL;
    struct ansible_config c = {.path = NULL};
    char *found = NULL;

    *aside = *why = NULL;
    if (!program)
        return NULL;
    if (inventory && *inventory)
        return whole_paths(inventory, ".");
    path = ansible_config_path(etc, false, w, NULL);
    /* One that is broken is told by the source, which reads it again. */
    if (path && (ansible_config_read(&c, path, NULL) == 0 || c.inventory)) {
        CLEANUP_FREE char *dir = io_dirname(path);
        found = c.inventory ? whole_paths(c.inventory, dir) : NULL;
    }
    ansible_config_clear(&c);
    if (env && *env && found)
        return found;
    look_aside(aside, why);
    hosts = x_asprintf("%s/ansible/hosts", etc);
    return found ? found : whole_paths(hosts, "/");
}
