/* SPDX-License-Identifier: Apache-2.0 */
/* Asks every source in turn and merges what they give. */
#include "muster/inventory/inventory.h"

#include "ansible.h"
#include "cache.h"
#include "run.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/inventory/bolt_project.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The types that -i may name, in the order in which they are asked whether a file is theirs. */
static const struct inventory_source_ops *const file_types[] = {
    &source_bolt,    &source_clustershell, &source_ansible, &source_muster,
    &source_script,  &source_command,      &source_nodeset, &source_genders,
    &source_ssh_config, &source_hosts};

struct load {
    struct build b;
    const struct inventory_options *opts;
    struct cache_options cache;
    char *cache_dir;
};

static const struct inventory_source_ops *type_find(const char *name, size_t n)
{
    for (size_t i = 0; i < ARRAY_LEN(file_types); i++)
        if (strlen(file_types[i]->name) == n && strncmp(file_types[i]->name, name, n) == 0)
            return file_types[i];
    return NULL;
}

/* Runs one source on a text that was read, or on none. An error of a source that was not named and
 * does not have to work becomes its state. */
static int load_source(struct load *l, const struct inventory_source_ops *ops,
                       const struct source_input *in, bool named, bool must, struct err *e)
{
    struct build *b = &l->b;
    struct err why = ERR_INIT;
    int rc;

    build_source(b, ops->name, in->path, named);
    b->explicit_source = ops->is_explicit || named;
    if (ops->runs)
        rc = cache_load(b, ops, in, &l->cache, must ? e : &why);
    else
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

static bool has_suffix(const char *s, const char *suffix)
{
    size_t n = strlen(s), k = strlen(suffix);

    return n > k && strcasecmp(s + n - k, suffix) == 0;
}

/* A program says in its first bytes that it is one: a file on a disk without modes has the bits of
 * one too. */
static bool is_program(const char *path)
{
    char head[4] = "";
    int fd = -1;
    bool program = false;

    if (access(path, X_OK) == 0 && !has_suffix(path, ".yaml") && !has_suffix(path, ".yml"))
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0) {
        program = read(fd, head, sizeof head) > 2 &&
                  (memcmp(head, "#!", 2) == 0 || memcmp(head, "\177ELF", 4) == 0);
        close(fd);
    }
    return program;
}

/* The type of a path by what it is, before its text is looked at; NULL: a file to be read. */
static const struct inventory_source_ops *type_of_path(const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return NULL;
    if (S_ISDIR(st.st_mode))
        return &source_ansible;
    return S_ISREG(st.st_mode) && is_program(path) ? &source_script : NULL;
}

static int load_text(struct load *l, const struct inventory_source_ops *ops, const char *path,
                     bool named, struct err *e)
{
    struct source_input in;
    struct strbuf text;
    int rc;

    watch_file(l->b.watch, path);
    strbuf_init(&text, INVENTORY_FILE_MAX);
    rc = io_read_file(path, INVENTORY_FILE_MAX, &text, e);
    if (rc) {
        err_prefix(e, "inventory: ");
    } else {
        in = (struct source_input){.path = path, .text = text.s, .n = text.len};
        for (size_t i = 0; !ops && i < ARRAY_LEN(file_types); i++)
            if (file_types[i]->sniff && file_types[i]->sniff(&in))
                ops = file_types[i];
        rc = load_source(l, ops, &in, named, true, e);
    }
    strbuf_free(&text);
    return rc;
}

static int load_file(struct load *l, const char *spec, bool named, struct err *e)
{
    const struct inventory_source_ops *ops;
    CLEANUP_FREE char *path = NULL;
    const char *tail;
    int rc = split_type(spec, &ops, &tail, e);

    if (rc)
        return rc;
    if (*tail == '\0')
        return err_set(e, ERR_VALIDATION, "inventory \"%s\" names no %s", spec,
                       ops && ops->no_file ? "command or source" : "file");
    path = ops && ops->no_file ? x_strdup(tail) : io_expand_tilde(tail);
    if (!ops)
        ops = type_of_path(path);
    if (ops && ops->runs) {
        const struct source_input in = {
            .path = path, .text = "", .etc_dir = l->opts->etc_dir};
        if (!ops->no_file && access(path, F_OK) != 0 && !strchr(path, ','))
            return err_set(e, ERR_VALIDATION, "inventory: %s: %s", path, strerror(errno));
        return load_source(l, ops, &in, named, true, e);
    }
    return load_text(l, ops, path, named, e);
}

/* MUSTER_INVENTORY: "a:hosts:b" is the files a, and b of the type hosts. */
static void split_variable(const char *s, struct strv *out)
{
    while (*s) {
        size_t n = strcspn(s, ":");
        const struct inventory_source_ops *ops = s[n] == ':' ? type_find(s, n) : NULL;
        if (ops && ops->no_file) /* a command may hold colons: it is the last one */
            n = strlen(s);
        else if (ops)
            n += 1 + strcspn(s + n + 1, ":");
        if (n)
            strv_push_own(out, x_strndup(s, n));
        s += n;
        s += *s == ':';
    }
}

static int load_default(struct load *l, struct err *e)
{
    const struct inventory_options *opts = l->opts;
    CLEANUP_FREE char *dir = opts->config_dir ? x_strdup(opts->config_dir) : io_config_dir();
    CLEANUP_FREE char *path = io_join(dir, "inventory.yaml");
    struct source_input in;
    struct strbuf text;
    int rc;

    watch_file(l->b.watch, path);
    if (access(path, F_OK) != 0)
        return 0;
    strbuf_init(&text, INVENTORY_FILE_MAX);
    rc = io_read_file(path, INVENTORY_FILE_MAX, &text, e);
    in = (struct source_input){.path = path, .text = text.s, .n = text.len};
    if (!rc)
        rc = load_source(l, &source_muster, &in, false, true, e);
    if (rc)
        err_prefix(e, "the default inventory is broken: ");
    strbuf_free(&text);
    return rc;
}

/* A file that was found: whatever is wrong with it, the rest works. */
static void load_found_text(struct load *l, const struct inventory_source_ops *ops,
                            const char *path)
{
    struct err why = ERR_INIT;
    struct strbuf text;

    watch_file(l->b.watch, path);
    strbuf_init(&text, INVENTORY_FILE_MAX);
    if (io_read_file(path, INVENTORY_FILE_MAX, &text, &why) != 0) {
        build_source(&l->b, ops->name, path, false);
        build_current(&l->b)->state = SOURCE_FAILED;
        build_current(&l->b)->error = X_STEAL(why.msg);
    } else {
        const struct source_input in = {
            .path = path, .text = text.s, .n = text.len, .found = true};
        load_source(l, ops, &in, false, false, NULL);
    }
    strbuf_free(&text);
    err_clear(&why);
}

static void load_groups_d(struct load *l, const char *dir)
{
    CLEANUP_FREE char *pattern = io_join(dir, "groups.d/*.yaml");
    glob_t g = {0};

    watch_glob(l->b.watch, pattern);
    if (glob(pattern, 0, NULL, &g) == 0)
        for (size_t i = 0; i < g.gl_pathc; i++)
            load_found_text(l, &source_clustershell, g.gl_pathv[i]);
    globfree(&g);
}

static void load_found_ansible(struct load *l, const char *etc)
{
    CLEANUP_FREE char *aside = NULL, *why = NULL;
    CLEANUP_FREE char *ansible = ansible_find(etc, l->b.watch, &aside, &why);

    if (ansible) {
        const struct source_input in = {
            .path = ansible, .text = "", .found = true, .etc_dir = etc};
        load_source(l, &source_ansible, &in, false, false, NULL);
    }
    if (aside) {
        build_source(&l->b, source_ansible.name, aside, false);
        build_current(&l->b)->state = SOURCE_ABSENT;
        build_warn(&l->b, "%s", why);
    }
}

static void load_bolt_project(struct load *l, const struct bolt_project *p)
{
    bool there = p->inventory && access(p->inventory, F_OK) == 0;

    watch_file(l->b.watch, p->file);
    if (there && !p->untrusted) {
        load_found_text(l, &source_bolt, p->inventory);
        return;
    }
    if (p->inventory)
        watch_file(l->b.watch, p->inventory);
    if (!p->untrusted && !p->error && !p->names_inventory)
        return;
    build_source(&l->b, source_bolt.name, p->inventory ? p->inventory : p->file, false);
    build_current(&l->b)->state = p->untrusted ? SOURCE_ABSENT : SOURCE_FAILED;
    if (p->untrusted)
        build_warn(&l->b, "this project of Bolt is not used unasked, as others may have written it "
                          "(%s): set BOLT_PROJECT=%s, or name the inventory with -i",
                   p->untrusted, p->dir);
    else
        build_current(&l->b)->error =
            p->error ? x_strdup(p->error)
                     : x_asprintf("%s: \"inventoryfile\" names a file that is not there", p->file);
}

/* As Bolt does: what BOLT_INVENTORY holds (no path, but the YAML itself) stands for the file. */
static void load_found_bolt(struct load *l)
{
    const char *content = getenv("BOLT_INVENTORY");
    struct bolt_project p;

    if (content && *content) {
        const struct source_input in = {
            .path = "BOLT_INVENTORY", .text = content, .n = strlen(content), .found = true};
        load_source(l, &source_bolt, &in, false, false, NULL);
        return;
    }
    if (bolt_project_find(&p))
        load_bolt_project(l, &p);
    bolt_project_clear(&p);
}

/* What others have in their usual places. */
static void load_found(struct load *l)
{
    const char *etc = l->opts->etc_dir ? l->opts->etc_dir : "/etc";
    CLEANUP_FREE char *own = io_expand_tilde("~/.config/clustershell");
    CLEANUP_FREE char *system = io_join(etc, "clustershell"), *genders = io_join(etc, "genders");
    CLEANUP_FREE char *nodeattr = run_find("nodeattr");
    const struct source_input in = {.path = genders, .text = "", .found = true};

    load_found_ansible(l, etc);
    load_found_bolt(l);
    load_groups_d(l, own);
    load_groups_d(l, system);
    if (nodeattr && access(genders, R_OK) == 0)
        load_source(l, &source_genders, &in, false, false, NULL);
}

static int load_files(struct load *l, struct err *e)
{
    CLEANUP_STRV struct strv files = STRV_INIT;
    const char *variable = getenv("MUSTER_INVENTORY");
    int rc = 0;

    if (l->opts->files.n)
        strv_copy(&files, &l->opts->files);
    else if (variable)
        split_variable(variable, &files);
    for (size_t i = 0; !rc && i < files.n; i++)
        rc = load_file(l, files.v[i], true, e);
    if (rc || files.n)
        return rc;
    rc = load_default(l, e);
    if (!rc)
        load_found(l);
    return rc;
}

/* The user's ssh_config: whatever is wrong with it, the rest works. */
static void load_ssh_config(struct load *l)
{
    const char *name = l->opts->ssh_config ? l->opts->ssh_config : "~/.ssh/config";
    CLEANUP_FREE char *path = io_expand_tilde(name);
    struct build *b = &l->b;
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
        struct source_input in = {.path = path, .text = text.s, .n = text.len};
        load_source(l, &source_ssh_config, &in, false, false, NULL);
    }
    strbuf_free(&text);
    err_clear(&why);
}

static void set_cache(struct load *l)
{
    const char *base = getenv("XDG_CACHE_HOME");
    CLEANUP_FREE char *home = base && *base == '/' ? x_strdup(base) : io_expand_tilde("~/.cache");

    l->cache_dir = l->opts->cache_dir ? x_strdup(l->opts->cache_dir)
                                      : io_join(home, "muster/inventory");
    l->cache = (struct cache_options){.dir = l->cache_dir,
                                      .ttl_ms = l->opts->ttl_ms ? l->opts->ttl_ms
                                                                : INVENTORY_TTL_MS,
                                      .refresh = l->opts->refresh};
}

int inventory_load(const struct inventory_options *opts, struct fleet **out,
                   struct inventory_watch **watch, struct err *e)
{
    struct inventory_watch *w = watch_new();
    struct source_input none = {.path = NULL, .text = ""};
    struct load l = {.opts = opts};
    int rc;

    *out = NULL;
    set_cache(&l);
    build_init(&l.b, w);
    rc = load_files(&l, e);
    if (!rc) {
        load_ssh_config(&l);
        rc = load_source(&l, &source_localhost, &none, false, true, e);
    }
    if (!rc)
        rc = merge_fleet(&l.b, out, e);
    build_clear(&l.b);
    free(l.cache_dir);
    if (watch)
        *watch = w;
    else
        inventory_watch_free(w);
    return rc;
}

void inventory_refresh(const struct inventory_options *opts, const char *program)
{
    CLEANUP_STRV struct strv argv = STRV_INIT;

    strv_push(&argv, program);
    strv_push(&argv, "nodes");
    strv_push(&argv, "--refresh");
    strv_push(&argv, "--sources");
    for (size_t i = 0; i < opts->files.n; i++) {
        strv_push(&argv, "-i");
        strv_push(&argv, opts->files.v[i]);
    }
    run_detached((const char *const *) argv.v);
}
