/* SPDX-License-Identifier: Apache-2.0 */
/* Asks every source in turn and merges what they give. */
#include "muster/inventory/inventory.h"

#include "source.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"

#include <string.h>
#include <unistd.h>

/* The types that a file may have, in the order in which they are asked whether it is theirs. */
static const struct inventory_source_ops *const file_types[] = {
    &source_bolt, &source_muster, &source_ssh_config, &source_hosts};

static const struct inventory_source_ops *type_find(const char *name, size_t n)
{
    for (size_t i = 0; i < ARRAY_LEN(file_types); i++)
        if (strlen(file_types[i]->name) == n && strncmp(file_types[i]->name, name, n) == 0)
            return file_types[i];
    return NULL;
}

/* Runs one source on a text that was read, or on none. An error of a source that was not named and
 * does not have to work becomes its state. */
static int load_source(struct build *b, const struct inventory_source_ops *ops,
                       const struct source_input *in, bool named, bool must, struct err *e)
{
    struct err why = ERR_INIT;
    int rc;

    build_source(b, ops->name, in->path, named);
    b->explicit_source = ops->is_explicit || named;
    rc = ops->load(b, in, must ? e : &why);
    if (rc && !must) {
        build_current(b)->state = SOURCE_FAILED;
        build_current(b)->error = X_STEAL(why.msg);
        rc = 0;
    }
    err_clear(&why);
    return rc;
}

/* "TYPE:PATH" or "PATH". A path that exists is a path, whatever it holds. */
static int split_type(const char *spec, const struct inventory_source_ops **ops,
                      const char **path, struct err *e)
{
    size_t n = strspn(spec, "abcdefghijklmnopqrstuvwxyz_-");

    *ops = NULL;
    *path = spec;
    if (n == 0 || spec[n] != ':' || access(spec, F_OK) == 0)
        return 0;
    *ops = type_find(spec, n);
    if (!*ops)
        return err_set(e, ERR_VALIDATION,
                       "inventory \"%s\": there is no file of that name, and no inventory type "
                       "\"%.*s\"; the types are " INVENTORY_TYPES,
                       spec, (int) n, spec);
    *path = spec + n + 1;
    return 0;
}

static int load_file(struct build *b, const char *spec, bool named, struct err *e)
{
    const struct inventory_source_ops *ops;
    CLEANUP_FREE char *path = NULL;
    struct source_input in;
    struct strbuf text;
    const char *tail;
    int rc = split_type(spec, &ops, &tail, e);

    if (rc)
        return rc;
    if (*tail == '\0')
        return err_set(e, ERR_VALIDATION, "inventory \"%s\" names no file", spec);
    path = io_expand_tilde(tail);
    watch_file(b->watch, path);
    strbuf_init(&text, INVENTORY_FILE_MAX);
    rc = io_read_file(path, INVENTORY_FILE_MAX, &text, e);
    if (rc) {
        err_prefix(e, "inventory: ");
    } else {
        in = (struct source_input){path, text.s, text.len};
        for (size_t i = 0; !ops && i < ARRAY_LEN(file_types); i++)
            if (file_types[i]->sniff && file_types[i]->sniff(&in))
                ops = file_types[i];
        rc = load_source(b, ops, &in, named, true, e);
    }
    strbuf_free(&text);
    return rc;
}

/* MUSTER_INVENTORY: "a:hosts:b" is the files a, and b of the type hosts. */
static void split_variable(const char *s, struct strv *out)
{
    while (*s) {
        size_t n = strcspn(s, ":");
        if (s[n] == ':' && type_find(s, n))
            n += 1 + strcspn(s + n + 1, ":");
        if (n)
            strv_push_own(out, x_strndup(s, n));
        s += n;
        s += *s == ':';
    }
}

static int load_default(struct build *b, const struct inventory_options *opts, struct err *e)
{
    CLEANUP_FREE char *dir = opts->config_dir ? x_strdup(opts->config_dir) : io_config_dir();
    CLEANUP_FREE char *path = io_join(dir, "inventory.yaml");
    struct source_input in;
    struct strbuf text;
    int rc;

    watch_file(b->watch, path);
    if (access(path, F_OK) != 0)
        return 0;
    strbuf_init(&text, INVENTORY_FILE_MAX);
    rc = io_read_file(path, INVENTORY_FILE_MAX, &text, e);
    in = (struct source_input){path, text.s, text.len};
    if (!rc)
        rc = load_source(b, &source_muster, &in, false, true, e);
    if (rc)
        err_prefix(e, "the default inventory is broken: ");
    strbuf_free(&text);
    return rc;
}

static int load_files(struct build *b, const struct inventory_options *opts, struct err *e)
{
    CLEANUP_STRV struct strv files = STRV_INIT;
    const char *variable = getenv("MUSTER_INVENTORY");
    int rc = 0;

    if (opts->files.n)
        strv_copy(&files, &opts->files);
    else if (variable)
        split_variable(variable, &files);
    for (size_t i = 0; !rc && i < files.n; i++)
        rc = load_file(b, files.v[i], true, e);
    return rc || files.n ? rc : load_default(b, opts, e);
}

/* The user's ssh_config: whatever is wrong with it, the rest works. */
static void load_ssh_config(struct build *b, const struct inventory_options *opts)
{
    const char *name = opts->ssh_config ? opts->ssh_config : "~/.ssh/config";
    CLEANUP_FREE char *path = io_expand_tilde(name);
    struct err why = ERR_INIT;
    struct strbuf text;

    if (strcmp(name, "none") == 0)
        return;
    watch_file(b->watch, path);
    strbuf_init(&text, INVENTORY_FILE_MAX);
    if (access(path, F_OK) != 0) {
        build_source(b, "ssh_config", path, false);
        build_current(b)->state = SOURCE_ABSENT;
    } else if (io_read_file(path, INVENTORY_FILE_MAX, &text, &why) != 0) {
        build_source(b, "ssh_config", path, false);
        build_current(b)->state = SOURCE_FAILED;
        build_current(b)->error = X_STEAL(why.msg);
    } else {
        struct source_input in = {path, text.s, text.len};
        load_source(b, &source_ssh_config, &in, false, false, NULL);
    }
    strbuf_free(&text);
    err_clear(&why);
}

int inventory_load(const struct inventory_options *opts, struct fleet **out,
                   struct inventory_watch **watch, struct err *e)
{
    struct inventory_watch *w = watch_new();
    struct source_input none = {NULL, "", 0};
    struct build b;
    int rc;

    *out = NULL;
    build_init(&b, w);
    rc = load_files(&b, opts, e);
    if (!rc) {
        load_ssh_config(&b, opts);
        rc = load_source(&b, &source_localhost, &none, false, true, e);
    }
    if (!rc)
        rc = merge_fleet(&b, out, e);
    build_clear(&b);
    if (watch)
        *watch = w;
    else
        inventory_watch_free(w);
    return rc;
}
