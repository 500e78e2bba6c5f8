/* SPDX-License-Identifier: Apache-2.0 */
/* Bolt inventories: the data of a group or target made flat, and a target's settings made of it. */
#include "bolt.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/core/yaml.h"
#include "muster/inventory/bolt_project.h"

#include <string.h>

void bolt_data_clear(struct bolt_data *d)
{
    varlist_clear(&d->config);
    varlist_clear(&d->vars);
}

/* What replaces a branch ("facts.os" by "facts.os.name", or the other way round) stands beside it
 * no longer. */
static void drop_branches(struct varlist *l, const char *name)
{
    size_t kept = 0, n = strlen(name);

    for (size_t i = 0; i < l->n; i++) {
        const char *have = l->v[i].name;
        size_t k = strlen(have);
        bool above = k < n && name[k] == '.' && strncmp(name, have, k) == 0;
        bool below = k > n && have[n] == '.' && strncmp(name, have, n) == 0;
        if (above || below) {
            free(l->v[i].name);
            free(l->v[i].value);
        } else {
            l->v[kept++] = l->v[i];
        }
    }
    l->n = kept;
}

static void merge_tree(struct varlist *l, const struct varlist *over)
{
    for (size_t i = 0; i < over->n; i++) {
        if (strchr(over->v[i].name, '.') || strncmp(over->v[i].name, "facts", 5) == 0)
            drop_branches(l, over->v[i].name);
        varlist_set(l, over->v[i].name, over->v[i].value);
    }
}

void bolt_data_merge(struct bolt_data *d, const struct bolt_data *over)
{
    merge_tree(&d->config, &over->config);
    merge_tree(&d->vars, &over->vars);
}

#define fail(e, at, ...) source_fail(e, NULL, at, __VA_ARGS__)

/* Stand in `config` for a value that is not there; no text of a file begins so. */
#define MARK_SECRET "\001secret"
#define MARK_PLUGIN "\001bolt-plugin:"

const char *bolt_plugin_in(const struct yaml_node *n)
{
    const char *found = NULL;

    for (size_t i = 0; !found && n->kind != YAML_SCALAR && i < n->n; i++) {
        if (n->kind == YAML_MAPPING && strcmp(n->keys[i]->scalar, "_plugin") == 0)
            return n->items[i]->kind == YAML_SCALAR ? n->items[i]->scalar : "?";
        found = bolt_plugin_in(n->items[i]);
    }
    return found;
}

static void warn_plugin(struct build *b, const char *who, const char *what, const char *plugin,
                        bool config)
{
    build_warn(b, "%s of \"%s\" comes from Bolt's plugin \"%s\", and muster runs no plugins of Bolt: "
                  "%s", what, who, plugin,
               config ? "targets for which it counts are not supported; write the value"
                      : "it is missing; write the value");
}

/* It becomes the name of a transport, which is one word. */
static char *plugin_mark(const char *plugin)
{
    char *mark = x_asprintf(MARK_PLUGIN "%s", plugin);

    for (char *s = mark; *s; s++)
        if (*s == ' ' || *s == '\t' || *s == '\n')
            *s = '_';
    return mark;
}

static void mark_plugin(struct build *b, struct bolt_data *d, const char *who, const char *name,
                        const char *plugin)
{
    CLEANUP_FREE char *mark = plugin_mark(plugin);
    CLEANUP_FREE char *what = strcmp(name, "_plugin") == 0 ? x_strdup("config")
                                                           : x_asprintf("config.%s", name);
    size_t n = strlen(what);

    if (n > 8 && strcmp(what + n - 8, "._plugin") == 0)
        what[n - 8] = '\0';
    varlist_set(&d->config, name, mark);
    warn_plugin(b, who, what, plugin, true);
}

bool bolt_data_plugin(struct build *b, struct bolt_data *d, const char *who, const char *what,
                      const struct yaml_node *value)
{
    const char *plugin = bolt_plugin_in(value);

    if (plugin) {
        CLEANUP_FREE char *mark = plugin_mark(plugin);
        varlist_set(&d->config, what, mark);
        warn_plugin(b, who, what, plugin, true);
    }
    return plugin != NULL;
}

static void set_text(struct varlist *l, const char *name, const struct yaml_node *value)
{
    if (value->kind == YAML_SCALAR) {
        varlist_set(l, name, value->scalar);
    } else {
        CLEANUP_FREE char *json = yaml_to_json(value);
        varlist_set(l, name, json);
    }
}

static void flatten(struct varlist *l, const char *prefix, const struct yaml_node *value)
{
    if (value->kind != YAML_MAPPING || value->n == 0) {
        set_text(l, prefix, value);
        return;
    }
    for (size_t i = 0; i < value->n; i++) {
        CLEANUP_FREE char *name = x_asprintf("%s.%s", prefix, value->keys[i]->scalar);
        flatten(l, name, value->items[i]);
    }
}

static bool is_secret(const char *transport, const char *key, const struct yaml_node *value)
{
    if (strstr(key, "password") || strstr(key, "token"))
        return true;
    return strcmp(transport, "ssh") == 0 && strcmp(key, "private-key") == 0 &&
           value->kind == YAML_MAPPING;
}

static void read_transport(struct build *b, struct bolt_data *d, const char *who,
                           const char *transport, const struct yaml_node *options)
{
    for (size_t k = 0; k < options->n; k++) {
        const struct yaml_node *value = options->items[k];
        const char *key = options->keys[k]->scalar, *plugin = bolt_plugin_in(value);
        CLEANUP_FREE char *name = x_asprintf("%s.%s", transport, key);
        if (strcmp(key, "_plugin") == 0)
            mark_plugin(b, d, who, name, value->kind == YAML_SCALAR ? value->scalar : "?");
        else if (is_secret(transport, key, value)) {
            build_warn(b, "config.%s is not kept: secrets are asked for (-A, -K) or come from "
                          "the agent", name);
            varlist_set(&d->config, name, MARK_SECRET);
        } else if (plugin)
            mark_plugin(b, d, who, name, plugin);
        else
            set_text(&d->config, name, value);
    }
}

static void read_config(struct build *b, struct bolt_data *d, const char *who,
                        const struct yaml_node *config)
{
    for (size_t i = 0; i < config->n; i++) {
        const char *transport = config->keys[i]->scalar;
        const struct yaml_node *value = config->items[i];
        bool is_name = strcmp(transport, "transport") == 0;
        if (strcmp(transport, "_plugin") == 0)
            mark_plugin(b, d, who, transport, value->kind == YAML_SCALAR ? value->scalar : "?");
        else if (is_name && value->kind == YAML_SCALAR)
            varlist_set(&d->config, transport, value->scalar);
        else if (is_name && bolt_plugin_in(value))
            mark_plugin(b, d, who, transport, bolt_plugin_in(value));
        else if (value->kind == YAML_MAPPING)
            read_transport(b, d, who, transport, value);
        else if (!yaml_is_null(value))
            build_warn(b, "config.%s is not used: it is no mapping", transport);
    }
}

static int read_feature(struct bolt_data *d, const struct yaml_node *item, struct err *e)
{
    CLEANUP_FREE char *full = NULL;

    if (item->kind != YAML_SCALAR)
        return fail(e, item, "a feature is to be one word");
    full = x_asprintf("feature.%s", item->scalar);
    varlist_set(&d->vars, full, "true");
    return 0;
}

int bolt_data_read(struct build *b, struct bolt_data *d, const char *who,
                   const struct yaml_node *key, const struct yaml_node *value, struct err *e)
{
    const char *name = key->scalar;
    bool config = strcmp(name, "config") == 0, vars = strcmp(name, "vars") == 0;
    bool facts = strcmp(name, "facts") == 0, features = strcmp(name, "features") == 0;
    int rc = 0;

    if (!config && !vars && !facts && !features)
        return 1;
    if (yaml_is_null(value))
        return 0;
    if (!config && yaml_get(value, "_plugin")) {
        warn_plugin(b, who, name, bolt_plugin_in(value), false);
        return 0;
    }
    if (features ? value->kind != YAML_SEQUENCE : value->kind != YAML_MAPPING)
        return fail(e, value, "\"%s\" is to be a %s", name, features ? "list" : "mapping");
    if (config)
        read_config(b, d, who, value);
    for (size_t i = 0; !config && !rc && i < value->n; i++) {
        const struct yaml_node *item = value->items[i];
        const char *one = features ? "" : value->keys[i]->scalar;
        CLEANUP_FREE char *full = x_asprintf("%s.%s", name, one);
        if (bolt_plugin_in(item))
            warn_plugin(b, who, features ? name : full, bolt_plugin_in(item), false);
        else if (features)
            rc = read_feature(d, item, e);
        else if (facts)
            flatten(&d->vars, full, item);
        else
            set_text(&d->vars, one, item);
    }
    return rc;
}

/* --- URIs --- */

static char *percent_decode(const char *s, size_t n)
{
    char *out = x_malloc(n + 1), *w = out;

    for (size_t i = 0; i < n; i++) {
        static const char digits[] = "0123456789abcdef0123456789ABCDEF";
        const char *hi = i + 2 < n && s[i] == '%' && s[i + 1] ? strchr(digits, s[i + 1]) : NULL;
        const char *lo = hi && s[i + 2] ? strchr(digits, s[i + 2]) : NULL;
        if (lo) {
            *w++ = (char) ((hi - digits) % 16 * 16 + (lo - digits) % 16);
            i += 2;
        } else {
            *w++ = s[i];
        }
    }
    *w = '\0';
    return out;
}

int bolt_uri_parse(struct bolt_uri *u, const char *text, struct err *e)
{
    const char *colons = strstr(text, "://"), *rest = colons ? colons + 3 : text, *at, *end;
    CLEANUP_FREE char *hostport = NULL;
    char *host, *colon, *close;

    *u = (struct bolt_uri){.scheme = NULL};
    if (colons)
        u->scheme = x_strndup(text, (size_t) (colons - text));
    end = rest + strcspn(rest, "/?#");
    at = memrchr(rest, '@', (size_t) (end - rest));
    if (at) {
        const char *stop = memchr(rest, ':', (size_t) (at - rest));
        u->password = stop != NULL;
        u->user = percent_decode(rest, (size_t) ((stop ? stop : at) - rest));
        rest = at + 1;
    }
    hostport = x_strndup(rest, (size_t) (end - rest));
    host = hostport;
    close = strchr(host, ']');
    if (*host == '[' && close) {
        *close = '\0';
        host++;
        colon = close[1] == ':' ? close + 1 : NULL;
    } else {
        colon = strchr(host, ':');
        if (colon && strchr(colon + 1, ':'))
            colon = NULL; /* an IPv6 address as it is */
    }
    if (colon) {
        *colon = '\0';
        u->port = x_strdup(colon + 1);
    }
    u->host = x_strdup(host);
    if (*host || (u->scheme && strcmp(u->scheme, "local") == 0))
        return 0;
    bolt_uri_clear(u);
    return err_set(e, ERR_VALIDATION, "\"%s\" names no host", text);
}

void bolt_uri_clear(struct bolt_uri *u)
{
    free(u->scheme);
    free(u->user);
    free(u->host);
    free(u->port);
    *u = (struct bolt_uri){.scheme = NULL};
}

/* --- settings --- */

static const char *value_of(const struct bolt_data *d, const char *name)
{
    for (size_t i = 0; i < d->config.n; i++)
        if (strcmp(d->config.v[i].name, name) == 0)
            return d->config.v[i].value;
    return NULL;
}

static bool is_true(const char *s)
{
    return strcmp(s, "true") == 0;
}

/* Says of a target that one of its options is not followed: for who looks at the node. */
static void not_used(struct entry *en, const char *option, const char *why)
{
    static const char variable[] = BOLT_NOT_USED;
    CLEANUP_FREE char *all = NULL;
    const char *before = NULL;

    for (size_t i = 0; i < en->vars.n; i++)
        if (strcmp(en->vars.v[i].name, variable) == 0)
            before = en->vars.v[i].value;
    all = x_asprintf("%s%s%s%s", before ? before : "", before ? ", " : "", option, why);
    varlist_set(&en->vars, variable, all);
}

/* Those that say nothing which is not so here anyway, when they have this value. */
static bool says_nothing(const char *key, const char *value)
{
    static const char *const rows[][2] = {
        {"load-config", "true"}, {"tty", "false"},     {"native-ssh", "false"},
        {"cleanup", "true"},     {"batch-mode", "true"}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (strcmp(key, rows[i][0]) == 0 && strcmp(value, rows[i][1]) == 0)
            return true;
    return false;
}

static const struct {
    const char *key;
    enum setting_id id;
} same[] = {{"host", SETTING_HOST},
            {"port", SETTING_PORT},
            {"user", SETTING_USER},
            {"connect-timeout", SETTING_CONNECT_TIMEOUT},
            {"proxyjump", SETTING_JUMP}};

/* The value is not known: the target cannot be reached as it is meant to be, if it counts for that. */
static int apply_mark(struct entry *en, const char *option, const char *key, const char *value,
                      struct err *e)
{
    static const char *const counts[] = {"run-as", "private-key", "host-key-check", "native-ssh",
                                         "_plugin", "transport", "uri"};
    bool matters = false;

    if (strcmp(value, MARK_SECRET) == 0) {
        not_used(en, option, " (a secret)");
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        matters |= strcmp(key, counts[i]) == 0;
    for (size_t i = 0; i < ARRAY_LEN(same); i++)
        matters |= strcmp(key, same[i].key) == 0;
    not_used(en, option, " (of a plugin)");
    return matters ? entry_set(en, SETTING_TRANSPORT, value + 1, e) : 0;
}

static int apply_key(struct build *b, struct entry *en, const char *option, const char *value,
                     const char *base, struct err *e)
{
    const char *key = strchr(option, '.') + 1;

    for (size_t i = 0; i < ARRAY_LEN(same); i++)
        if (strcmp(key, same[i].key) == 0)
            return entry_set(en, same[i].id, value, e);
    if (strcmp(key, "run-as") == 0) {
        int rc = entry_set(en, SETTING_BECOME, "sudo", e);
        return rc ? rc : entry_set(en, SETTING_BECOME_USER, value, e);
    }
    if (strcmp(key, "private-key") == 0) {
        CLEANUP_FREE char *path =
            *value == '/' || *value == '~' ? x_strdup(value) : io_join(base, value);
        return entry_set(en, SETTING_IDENTITY, path, e);
    }
    if (strcmp(key, "host-key-check") == 0) {
        if (!is_true(value))
            build_warn(b, "host-key-check: false is taken as accept-new: a new host key is "
                          "accepted, a changed one is refused");
        return entry_set(en, SETTING_STRICT, is_true(value) ? "yes" : "accept-new", e);
    }
    if (strcmp(key, "native-ssh") == 0 && is_true(value))
        return entry_set(en, SETTING_TRANSPORT, "openssh", e);
    if (!says_nothing(key, value)) {
        build_warn(b, "the option \"%s\" of a transport is not used", key);
        not_used(en, option, "");
    }
    return 0;
}

static int apply_uri(struct entry *en, const char *name, const struct bolt_uri *uri,
                     struct err *e)
{
    int rc = 0;

    if (*uri->host && strcmp(uri->host, name) != 0)
        rc = entry_set(en, SETTING_HOST, uri->host, e);
    if (!rc && uri->user)
        rc = entry_set(en, SETTING_USER, uri->user, e);
    if (!rc && uri->port)
        rc = entry_set(en, SETTING_PORT, uri->port, e);
    return rc;
}

int bolt_apply(struct build *b, struct entry *en, const char *name, const struct bolt_uri *uri,
               const struct bolt_data *d, const char *base, struct err *e)
{
    const char *transport = uri->scheme ? uri->scheme : value_of(d, "transport");
    bool marked = transport && *transport == MARK_PLUGIN[0];
    size_t n;
    int rc = 0;

    if (!transport && strcmp(name, "localhost") == 0)
        transport = "local";
    if (transport && !marked && strcmp(transport, "ssh") != 0)
        rc = entry_set(en, SETTING_TRANSPORT, transport, e);
    n = transport ? strlen(transport) : 0;
    for (size_t i = 0; !rc && i < d->config.n; i++) {
        const struct fleet_var *v = &d->config.v[i];
        const char *dot = strchr(v->name, '.');
        bool mine = dot && (transport ? strncmp(v->name, transport, n) == 0 && dot == v->name + n
                                      : strncmp(v->name, "ssh.", 4) == 0);
        bool mark = *v->value == MARK_PLUGIN[0];
        if (mark && (mine || !dot) && !(uri->scheme && strcmp(v->name, "transport") == 0))
            rc = apply_mark(en, strcmp(v->name, "_plugin") == 0 ? "config" : v->name,
                            dot ? dot + 1 : v->name, v->value, e);
        else if (mine && !mark && (!transport || strcmp(transport, "ssh") == 0 ||
                                   strcmp(transport, "local") == 0))
            rc = apply_key(b, en, v->name, v->value, base, e);
        if (rc)
            err_prefix(e, "target \"%s\": config.%s: ", name, v->name);
    }
    if (!rc && uri->host)
        rc = apply_uri(en, name, uri, e);
    return rc;
}
