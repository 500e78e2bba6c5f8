/* SPDX-License-Identifier: Apache-2.0 */
/* The source "ansible": whatever ansible-inventory reads (INI, YAML, folders, plugins). */
#include "ansible.h"
#include "run.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"

#include <ctype.h>
#include <string.h>

#define PROGRAM "ansible-inventory"
#define SAID_MAX ((size_t) 64 << 10)

static int explain(const char *path, struct err *e)
{
    if (e && e->msg && strstr(e->msg, "no vault secrets"))
        return err_set(e, ERR_VALIDATION,
                       "%s: parts of it are encrypted by Ansible's vault, and no password is asked "
                       "for here; name a file of it: vault_password_file in ansible.cfg, or "
                       "ANSIBLE_VAULT_PASSWORD_FILE", path);
    err_prefix(e, "%s: ", path);
    return -ERR_VALIDATION;
}

/* Of several files it leaves out those that it cannot read, and ends well all the same: their hosts would
 * be gone without a word. What it says comes in lines of a terminal's width. */
static void warn_of_parts(struct build *b, const struct strbuf *said)
{
    static const char begin[] = "Unable to parse ", end[] = " as an inventory source";
    CLEANUP_FREE char *text = x_strdup(said->s);

    for (char *s = text; *s; s++)
        if (*s == '\n' && s[1] != '[')
            *s = ' ';
    for (char *at = text; (at = strstr(at, begin));) {
        at += strlen(begin);
        size_t n = strcspn(at, "\n");
        char *stop = memmem(at, n, end, strlen(end));
        CLEANUP_FREE char *path = x_strndup(at, stop ? (size_t) (stop - at) : n);
        CLEANUP_FREE char *clean = text_clean(path);

        build_warn(b, PROGRAM " cannot read %s: the hosts of it are missing", clean);
    }
}

/* Runs it and reads what it prints. */
static int list(struct build *b, const struct source_input *in, const struct strv *argv,
                const struct run_options *o, const struct ansible_config *config, struct err *e)
{
    struct strbuf out;
    int rc;

    strbuf_init(&out, INVENTORY_FILE_MAX);
    rc = run_program((const char *const *) argv->v, o, &out, e);
    if (rc) {
        rc = explain(in->path, e);
    } else {
        const struct ansible_input json = {.from = ANSIBLE_LISTED, .what = in->path, .text = out.s,
                                           .n = out.len, .config = config};
        rc = ansible_json(b, &json, e);
    }
    if (!rc)
        warn_of_parts(b, o->said);
    strbuf_free(&out);
    return rc;
}

static int ansible_load(struct build *b, const struct source_input *in, struct err *e)
{
    const char *env[] = {"ANSIBLE_INVENTORY_UNPARSED_FAILED=True", "ANSIBLE_NOCOLOR=1",
                         "ANSIBLE_DEPRECATION_WARNINGS=False", NULL, NULL};
    struct strbuf said;
    struct run_options o = {.dir = in->found ? "/" : NULL, .env = env, .said = &said};
    CLEANUP_FREE char *program = run_find(PROGRAM), *named = NULL;
    CLEANUP_STRV struct strv argv = STRV_INIT;
    struct ansible_config config;
    int rc;

    if (!program)
        return err_set(e, ERR_VALIDATION,
                       "%s: this is an inventory of Ansible, which " PROGRAM " reads, and that "
                       "program is not here: install ansible-core, or say what else the file is "
                       "(hosts:%s)", in->path, in->path);
    strv_push(&argv, PROGRAM);
    /* A list that the user writes ("a,b,") is hosts for Ansible; one that was found is paths. */
    for (const char *p = in->path; *p;) {
        size_t n = in->found ? strcspn(p, ",") : strlen(p);
        strv_push(&argv, "-i");
        strv_push_own(&argv, x_strndup(p, n));
        p += n + (p[n] == ',');
    }
    strv_push(&argv, "--list");
    strbuf_init(&said, SAID_MAX);
    rc = ansible_config_load(&config, in, e);
    if (rc)
        err_prefix(e, "%s: ", in->path);
    ansible_config_warn(b, &config);
    /* It runs in another folder, where a path that is not whole means another file. */
    if (config.path && getenv("ANSIBLE_CONFIG"))
        env[3] = named = x_asprintf("ANSIBLE_CONFIG=%s", config.path);
    if (!rc)
        rc = list(b, in, &argv, &o, &config, e);
    ansible_config_clear(&config);
    strbuf_free(&said);
    return rc;
}

/* --- whether a file is one --- */

/* "[web]", "[web:children]": a line of its own. An address "[::1]" does not begin with a letter. */
static bool is_section(const char *line)
{
    const char *s = line + 1;

    if (*line != '[' || !(isalpha((unsigned char) *s) || *s == '_'))
        return false;
    while (isalnum((unsigned char) *s) || (*s && strchr("_.-", *s)))
        s++;
    if (*s == ':')
        s += strncmp(s, ":children", 9) == 0 ? 9 : strncmp(s, ":vars", 5) == 0 ? 5 : 0;
    if (*s != ']')
        return false;
    s++;
    s += strspn(s, " \t\r");
    return *s == '\n' || *s == '\0' || *s == '#' || *s == ';';
}

/* "host name=value ..". */
static bool has_variable(const char *line)
{
    const char *s = line + strcspn(line, " \t\n");
    const char *word = s + strspn(s, " \t");
    size_t n = 0;

    if (s == line || word == s || *line == '#' || *line == ';')
        return false;
    while (isalnum((unsigned char) word[n]) || word[n] == '_')
        n++;
    return n > 0 && word[n] == '=';
}

static bool has_suffix(const char *s, const char *suffix)
{
    size_t n = strlen(s), k = strlen(suffix);

    return n > k && strcmp(s + n - k, suffix) == 0;
}

/* In YAML: a group at the left with `hosts`, `children` or `vars` in it, or a `plugin`. */
static bool yaml_line(const char *line, bool inner)
{
    static const char *const keys[] = {"hosts:", "children:"};

    if (!inner)
        return strncmp(line, "plugin:", 7) == 0 || strncmp(line, "all:", 4) == 0;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (strncmp(line, keys[i], strlen(keys[i])) == 0)
            return true;
    return false;
}

static bool muster_line(const char *line)
{
    return strncmp(line, "nodes:", 6) == 0 || strncmp(line, "groups:", 7) == 0 ||
           strncmp(line, "defaults:", 9) == 0;
}

static bool ansible_sniff(const struct source_input *in)
{
    bool yaml = has_suffix(in->path, ".yaml") || has_suffix(in->path, ".yml"), found = false;

    for (const char *line = in->text; line && *line; line = strchr(line, '\n')) {
        const char *text;
        line += *line == '\n';
        text = line + strspn(line, " \t");
        if (muster_line(line))
            return false;
        found |= yaml ? yaml_line(text, text > line) : is_section(line) || has_variable(line);
        if (!*line)
            break;
    }
    return found;
}

const struct inventory_source_ops source_ansible = {
    .name = "ansible",
    .sniff = ansible_sniff,
    .load = ansible_load,
    .is_explicit = true,
    .runs = true,
};
