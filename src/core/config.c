/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the config files by the table of config.h. */
#include "muster/core/config.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/suggest.h"
#include "muster/core/yaml.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SYSTEM_CONFIG "/etc/muster/config.yaml"
/* LIMIT: a config is a page of text. */
#define CONFIG_FILE_MAX ((size_t) 1 << 20)
#define RULES_MAX 1000

struct key_info {
    const char *key, *help;
    int64_t low, high;
};
static const struct key_info keys[CONFIG_COUNT] = {
#define CONFIG(id, member, name, type, def, low, high, help) {name, help, low, high},
    CONFIG_TABLE(CONFIG)
#undef CONFIG
};

static const char *const level_names[] = {"error", "warn", "info", "debug", "trace"};

const char *config_level_name(enum log_level level)
{
    return level_names[level];
}

#define INIT_COUNT(member, def) (member) = (def)
#define INIT_TIME(member, def) (member) = (def)
#define INIT_SIZE(member, def) (member) = (def)
#define INIT_TEXT(member, def) (member) = NULL
#define INIT_BOOL(member, def) (member) = (def)
#define INIT_LEVEL(member, def) (member) = (def)
#define INIT_RULES(member, def) (member) = (struct config_rules){STRV_INIT, NULL}

void config_init(struct config *c)
{
    memset(c, 0, sizeof *c);
#define CONFIG(id, member, key, type, def, low, high, help) INIT_##type(c->member, def);
    CONFIG_TABLE(CONFIG)
#undef CONFIG
}

static void rules_clear(struct config_rules *r)
{
    for (size_t i = 0; i < r->patterns.n; i++)
        regfree(&r->compiled[i]);
    free(r->compiled);
    r->compiled = NULL;
    strv_clear(&r->patterns);
}

void config_clear(struct config *c)
{
    rules_clear(&c->deny);
    rules_clear(&c->confirm);
    strv_clear(&c->files);
    free(c->user);
    free(c->task_path);
    config_init(c);
}

const char *config_rules_match(const struct config_rules *r, const char *command)
{
    for (size_t i = 0; i < r->patterns.n; i++)
        if (regexec(&r->compiled[i], command, 0, NULL, 0) == 0)
            return r->patterns.v[i];
    return NULL;
}

struct place {
    const char *path;
    const struct yaml_node *value;
    const struct key_info *info;
    struct err *e;
};

static int wrong(const struct place *p, const struct yaml_node *at, const char *allowed)
{
    CLEANUP_FREE char *value = text_clean(at->kind == YAML_SCALAR ? at->scalar : NULL);

    if (at->kind != YAML_SCALAR)
        return err_set(p->e, ERR_VALIDATION, "%s: line %u: %s is to be %s, but is a %s", p->path,
                       at->line, p->info->key, allowed,
                       at->kind == YAML_MAPPING ? "mapping" : "list");
    return err_set(p->e, ERR_VALIDATION, "%s: line %u: %s is to be %s, not \"%.60s\"", p->path,
                   at->line, p->info->key, allowed, value);
}

static int read_COUNT(const struct place *p, unsigned *out)
{
    char allowed[96], *end;
    int64_t n;

    snprintf(allowed, sizeof allowed, "a number from %" PRId64 " to %" PRId64, p->info->low,
             p->info->high);
    if (p->value->kind != YAML_SCALAR || *p->value->scalar == '\0')
        return wrong(p, p->value, allowed);
    errno = 0;
    n = strtoll(p->value->scalar, &end, 10);
    if (*end || errno || n < p->info->low || n > p->info->high)
        return wrong(p, p->value, allowed);
    *out = (unsigned) n;
    return 0;
}

static int read_TIME(const struct place *p, int64_t *out)
{
    int64_t ms;

    if (p->value->kind != YAML_SCALAR || !text_parse_duration(p->value->scalar, &ms) ||
        ms < p->info->low || ms > p->info->high)
        return wrong(p, p->value,
                     p->info->low > 0
                         ? "a time above 0 and up to 1 day: 15, 500ms, 2m, 1h (seconds are meant "
                           "where no unit stands)"
                         : "a time up to 30 days, or 0 for no limit: 90, 500ms, 2m, 1h (seconds "
                           "are meant where no unit stands)");
    *out = ms;
    return 0;
}

static int read_SIZE(const struct place *p, uint64_t *out)
{
    uint64_t n;

    if (p->value->kind != YAML_SCALAR || !text_parse_size(p->value->scalar, &n) ||
        n > (uint64_t) p->info->high)
        return wrong(p, p->value, "a size up to 1024G: 4096, 100k, 10M, 1G");
    *out = n;
    return 0;
}

static int read_TEXT(const struct place *p, char **out)
{
    if (p->value->kind != YAML_SCALAR || yaml_is_null(p->value) || *p->value->scalar == '\0')
        return wrong(p, p->value, "one name");
    free(*out);
    *out = x_strdup(p->value->scalar);
    return 0;
}

static int read_BOOL(const struct place *p, bool *out)
{
    int b = yaml_bool(p->value);

    if (b < 0)
        return wrong(p, p->value, "true or false");
    *out = b == 1;
    return 0;
}

static int read_LEVEL(const struct place *p, enum log_level *out)
{
    for (size_t i = 0; p->value->kind == YAML_SCALAR && i < ARRAY_LEN(level_names); i++) {
        if (strcmp(p->value->scalar, level_names[i]) == 0) {
            *out = (enum log_level) i;
            return 0;
        }
    }
    return wrong(p, p->value, p->info->help);
}

static int add_rule(const struct place *p, const struct yaml_node *at, struct config_rules *r)
{
    char why[200];
    regex_t compiled;
    int rc;

    if (at->kind != YAML_SCALAR || yaml_is_null(at) || *at->scalar == '\0')
        return wrong(p, at, "a regular expression or a list of them");
    if (r->patterns.n >= RULES_MAX)
        return err_set(p->e, ERR_VALIDATION, "%s: line %u: %s has more than %d rules", p->path,
                       at->line, p->info->key, RULES_MAX);
    rc = regcomp(&compiled, at->scalar, REG_EXTENDED | REG_NOSUB | REG_NEWLINE);
    if (rc) {
        CLEANUP_FREE char *shown = text_clean(at->scalar);
        regerror(rc, &compiled, why, sizeof why);
        return err_set(p->e, ERR_VALIDATION,
                       "%s: line %u: %s: \"%.80s\" is no regular expression (POSIX extended): %s",
                       p->path, at->line, p->info->key, shown, why);
    }
    r->compiled = x_array(r->compiled, r->patterns.n + 1, sizeof *r->compiled);
    r->compiled[r->patterns.n] = compiled;
    strv_push(&r->patterns, at->scalar);
    return 0;
}

static int read_RULES(const struct place *p, struct config_rules *r)
{
    if (yaml_is_null(p->value))
        return 0;
    if (p->value->kind != YAML_SEQUENCE)
        return add_rule(p, p->value, r);
    for (size_t i = 0; i < p->value->n; i++) {
        int rc = add_rule(p, p->value->items[i], r);
        if (rc)
            return rc;
    }
    return 0;
}

static int read_value(struct config *c, enum config_id id, const struct place *p)
{
    switch (id) {
#define CONFIG(name, member, key, type, def, low, high, help)                                  \
    case CONFIG_##name:                                                                        \
        return read_##type(p, &c->member);
        CONFIG_TABLE(CONFIG)
#undef CONFIG
    case CONFIG_COUNT:
        break;
    }
    return -ERR_INTERNAL;
}

static int unknown_key(const char *path, const struct yaml_node *key, struct err *e)
{
    const char *names[CONFIG_COUNT];
    CLEANUP_FREE char *shown = text_clean(key->scalar);
    struct strbuf all;
    const char *near;
    int rc;

    strbuf_init(&all, 0);
    for (size_t i = 0; i < CONFIG_COUNT; i++) {
        names[i] = keys[i].key;
        strbuf_addf(&all, "%s%s", i ? ", " : "", names[i]);
    }
    near = suggest_nearest(key->scalar, names, CONFIG_COUNT);
    rc = err_set(e, ERR_VALIDATION, "%s: line %u: unknown key \"%.60s\"; %s%s%s: %s", path,
                 key->line, shown, near ? "did you mean \"" : "", near ? near : "",
                 near ? "\"? Allowed" : "allowed", all.s);
    strbuf_free(&all);
    return rc;
}

static int read_map(struct config *c, const char *path, const struct yaml_node *root,
                    struct err *e)
{
    if (root->kind != YAML_MAPPING)
        return err_set(e, ERR_VALIDATION,
                       "%s: line %u: a config is a mapping of keys and values, like \"fanout: 64\"",
                       path, root->line);
    for (size_t i = 0; i < root->n; i++) {
        struct place p = {path, root->items[i], NULL, e};
        int id = 0, rc;
        while (id < CONFIG_COUNT && strcmp(keys[id].key, root->keys[i]->scalar) != 0)
            id++;
        if (id == CONFIG_COUNT)
            return unknown_key(path, root->keys[i], e);
        p.info = &keys[id];
        rc = read_value(c, (enum config_id) id, &p);
        if (rc)
            return rc;
        c->is_set[id] = true;
    }
    return 0;
}

static int read_file(struct config *c, const char *path, bool must_exist, struct err *e)
{
    struct yaml_node *root;
    struct strbuf text;
    int rc;

    if (!path || (!must_exist && access(path, F_OK) != 0))
        return 0;
    strbuf_init(&text, CONFIG_FILE_MAX);
    rc = io_read_file(path, CONFIG_FILE_MAX, &text, e);
    if (!rc) {
        root = yaml_parse(path, text.s, text.len, e);
        rc = root ? read_map(c, path, root, e) : -ERR_VALIDATION;
        yaml_free(root);
        strv_push(&c->files, path);
    }
    strbuf_free(&text);
    if (rc)
        err_prefix(e, "config: ");
    return rc;
}

int config_load_files(struct config *c, const char *system, const char *user, bool must_exist,
                      struct err *e)
{
    int rc;

    config_init(c);
    rc = read_file(c, system, false, e);
    if (!rc)
        rc = read_file(c, user, must_exist, e);
    if (rc)
        config_clear(c);
    return rc;
}

int config_load(struct config *c, struct err *e)
{
    const char *named = getenv("MUSTER_CONFIG");
    CLEANUP_FREE char *dir = io_config_dir();
    CLEANUP_FREE char *path = NULL;
    int rc;

    if (named && *named)
        path = io_expand_tilde(named);
    else
        path = io_join(dir, "config.yaml");
    rc = config_load_files(c, SYSTEM_CONFIG, path, named && *named, e);
    if (rc && named && *named)
        err_prefix(e, "MUSTER_CONFIG: ");
    return rc;
}
