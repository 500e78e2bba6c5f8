/* SPDX-License-Identifier: Apache-2.0 */
/* The folders of tasks and plans, and what lies in them. */
#include "work.h"

#include "service.h"

#include "muster/base/alloc.h"
#include "muster/base/io.h"
#include "muster/inventory/bolt_project.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOUND_MAX 10000 /* LIMIT: files that are looked at in a folder */

/* --- the folders --- */

void action_dirs_clear(struct action_dirs *d)
{
    strv_clear(&d->tasks);
    strv_clear(&d->plans);
    strv_clear(&d->plain);
    strv_clear(&d->modules);
    free(d->project);
    free(d->project_name);
    d->project = d->project_name = NULL;
}

static void add_root(struct action_dirs *d, const char *root)
{
    strv_push_own(&d->tasks, io_join(root, "tasks"));
    strv_push_own(&d->plans, io_join(root, "plans"));
    strv_push_own(&d->modules, io_join(root, "modules"));
}

static void add_given(struct action_dirs *d, const char *typed, size_t n)
{
    CLEANUP_FREE char *word = x_strndup(typed, n);
    if (!*word)
        return;
    CLEANUP_FREE char *dir = io_expand_tilde(word);
    add_root(d, dir);
    strv_push(&d->plain, dir);
    strv_push(&d->modules, dir);
}

static bool is_there(const char *dir, const char *name)
{
    CLEANUP_FREE char *path = io_join(dir, name);
    return access(path, F_OK) == 0;
}

/* Bolt's, whose tasks have its name before theirs, as in Bolt; and one of muster's own here. What others
 * may have written is not looked at: its tasks would stand in for those of the same name. */
static void add_project(struct action_dirs *d)
{
    struct bolt_project p;
    if (bolt_project_find(&p) && !p.untrusted && !p.error) {
        if (!p.name) {
            strv_push_own(&d->tasks, io_join(p.dir, "tasks"));
            strv_push_own(&d->plans, io_join(p.dir, "plans"));
        }
        for (size_t i = 0; i < p.modulepath.n; i++)
            strv_push(&d->modules, p.modulepath.v[i]);
        d->project_name = X_STEAL(p.name);
        d->project = X_STEAL(p.dir);
    }
    bolt_project_clear(&p);
    CLEANUP_FREE char *folder = bolt_distrust(".");
    CLEANUP_FREE char *file = bolt_distrust("muster-project.yaml");
    if (!is_there(".", "muster-project.yaml") || folder || file)
        return;
    add_root(d, ".");
    strv_push(&d->modules, "./site-modules");
    strv_push(&d->modules, "./.modules");
}

static char *data_home(void)
{
    const char *xdg = getenv("XDG_DATA_HOME");
    if (xdg && *xdg == '/')
        return io_join(xdg, "muster");
    return io_expand_tilde("~/.local/share/muster");
}

/* What comes along: as installed beside bin/, or as built. */
static void add_own(struct action_dirs *d)
{
    static const char *const places[] = {"../share/muster", "../data"};
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = '\0';
    CLEANUP_FREE char *dir = io_dirname(exe);
    for (size_t i = 0; n > 0 && i < ARRAY_LEN(places); i++) {
        CLEANUP_FREE char *root = io_join(dir, places[i]);
        char *real = is_there(root, "tasks") ? realpath(root, NULL) : NULL;
        if (real)
            add_root(d, real);
        free(real);
        if (real)
            return;
    }
    add_root(d, MUSTER_DATA_DIR);
}

void action_dirs(struct service *s, struct action_dirs *out)
{
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < s->task_path.n; i++)
        add_given(out, s->task_path.v[i], strlen(s->task_path.v[i]));
    for (const char *p = s->config.task_path; p && *p; p += strcspn(p, ":"), p += *p == ':')
        add_given(out, p, strcspn(p, ":"));
    add_project(out);
    CLEANUP_FREE char *config = io_config_dir();
    CLEANUP_FREE char *data = data_home();
    add_root(out, config);
    add_root(out, data);
    add_own(out);
}

void service_task_path(struct service *s, struct strv *out)
{
    struct action_dirs d;
    action_dirs(s, &d);
    if (d.project_name) {
        strv_push_own(&d.tasks, io_join(d.project, "tasks"));
        strv_push_own(&d.plans, io_join(d.project, "plans"));
    }
    const struct strv *lists[] = {&d.plain, &d.tasks, &d.plans, &d.modules};
    for (size_t l = 0; l < ARRAY_LEN(lists); l++)
        for (size_t i = 0; i < lists[l]->n; i++)
            if (access(lists[l]->v[i], F_OK) == 0 && !strv_has(out, lists[l]->v[i]))
                strv_push(out, lists[l]->v[i]);
    action_dirs_clear(&d);
}

/* --- what is in them --- */

void action_found_clear(struct action_found *f)
{
    free(f->name);
    free(f->dir);
    free(f->base);
    free(f->meta);
    free(f->module);
    strv_clear(&f->scripts);
    memset(f, 0, sizeof *f);
}

void action_founds_clear(struct action_founds *l)
{
    for (size_t i = 0; i < l->n; i++)
        action_found_clear(&l->v[i]);
    free(l->v);
    memset(l, 0, sizeof *l);
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_word(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isascii((unsigned char) s[i]) ||
            (!isalnum((unsigned char) s[i]) && s[i] != '_' && (s[i] != '-' || i == 0)))
            return false;
    return n > 0;
}

enum file_kind { FILE_NONE, FILE_SCRIPT, FILE_JSON, FILE_YAML, FILE_PUPPET };

/* What a file's name says of it; *base: the length of its name without the ending. */
static enum file_kind kind_of(const char *name, size_t *base)
{
    static const char *const papers[] = {"md",   "txt", "rst", "adoc", "bak", "orig",
                                         "rej",  "swp", "erb",  "epp", "log"};
    const char *dot = strrchr(name, '.');
    *base = dot ? (size_t) (dot - name) : strlen(name);
    if (!is_word(name, *base) || (dot && !is_word(dot + 1, strlen(dot + 1))))
        return FILE_NONE;
    if (dot && strcmp(dot, ".json") == 0)
        return FILE_JSON;
    if (dot && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0))
        return FILE_YAML;
    if (dot && strcmp(dot, ".pp") == 0)
        return FILE_PUPPET;
    for (size_t i = 0; dot && i < ARRAY_LEN(papers); i++)
        if (strcmp(dot + 1, papers[i]) == 0)
            return FILE_NONE;
    return FILE_SCRIPT;
}

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

static void read_names(const char *dir, struct strv *out)
{
    DIR *d = opendir(dir);
    if (!d)
        return;
    for (struct dirent *x; out->n < FOUND_MAX && (x = readdir(d)) != NULL;)
        if (x->d_name[0] != '.')
            strv_push(out, x->d_name);
    closedir(d);
    if (out->n)
        qsort(out->v, out->n, sizeof *out->v, by_name);
}

struct scan {
    struct action_founds *out;
    bool plans, plain;
    const char *dir, *module;
    const char *module_name; /* where it is not that of its folder; or NULL */
    size_t first; /* of this folder's in out */
};

static char *full_name(const struct scan *c, const char *base)
{
    CLEANUP_FREE char *above = io_dirname(c->dir);
    bool init = strcmp(base, "init") == 0;
    const char *name = c->module_name ? c->module_name : c->module ? last_part(c->module) : NULL;
    if (name)
        return init ? x_strdup(name) : x_asprintf("%s::%s", name, base);
    return x_strdup(init && !c->plain ? last_part(above) : base);
}

static struct action_found *entry_of(struct scan *c, const char *base)
{
    struct action_founds *l = c->out;
    for (size_t i = c->first; i < l->n; i++)
        if (strcmp(l->v[i].base, base) == 0)
            return &l->v[i];
    X_GROW(l->v, l->cap, l->n + 1);
    struct action_found *f = &l->v[l->n++];
    *f = (struct action_found){.name = full_name(c, base), .dir = x_strdup(c->dir),
                               .base = x_strdup(base), .module = x_strdup(c->module)};
    return f;
}

static bool is_puppet(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && strcmp(dot, ".pp") == 0;
}

static void take_file(struct scan *c, const char *name)
{
    size_t n;
    enum file_kind kind = kind_of(name, &n);
    CLEANUP_FREE char *path = io_join(c->dir, name);
    CLEANUP_FREE char *base = x_strndup(name, n);
    if (kind == FILE_NONE || (c->plans != (kind == FILE_YAML || kind == FILE_PUPPET)) || !is_file(path))
        return;
    /* A folder of anything: scripts are what can be run, or has its metadata beside it. */
    if (kind == FILE_SCRIPT && c->plain && access(path, X_OK) != 0) {
        CLEANUP_FREE char *json = x_asprintf("%s/%s.json", c->dir, base);
        if (access(json, F_OK) != 0)
            return;
    }
    struct action_found *f = entry_of(c, base);
    if (kind == FILE_SCRIPT)
        strv_push(&f->scripts, name);
    else if (!f->meta)
        f->meta = X_STEAL(path);
    else if (kind == FILE_YAML && is_puppet(f->meta)) {
        /* Of both languages: the one that can be run. */
        free(f->meta);
        f->meta = X_STEAL(path);
    }
}

/* The first of a name is what is meant by it: the rest goes. */
static void drop_known(struct action_founds *l, size_t first)
{
    size_t to = first;
    for (size_t i = first; i < l->n; i++) {
        bool known = false;
        for (size_t j = 0; j < first && !known; j++)
            known = strcmp(l->v[j].name, l->v[i].name) == 0;
        if (known) {
            action_found_clear(&l->v[i]);
            continue;
        }
        if (to != i)
            l->v[to] = l->v[i];
        to++;
    }
    l->n = to;
}

static void scan_files(struct scan *c)
{
    struct strv names = STRV_INIT;
    c->first = c->out->n;
    read_names(c->dir, &names);
    for (size_t i = 0; i < names.n; i++)
        take_file(c, names.v[i]);
    strv_clear(&names);
    drop_known(c->out, c->first);
}

static void scan_dir(struct action_founds *out, bool plans, const char *dir, const char *module,
                     bool plain)
{
    struct scan c = {.out = out, .plans = plans, .plain = plain, .dir = dir, .module = module};
    scan_files(&c);
}

static void scan_project(struct action_founds *out, bool plans, const struct action_dirs *d)
{
    CLEANUP_FREE char *dir = io_join(d->project, plans ? "plans" : "tasks");
    struct scan c = {.out = out, .plans = plans, .dir = dir, .module = d->project,
                     .module_name = d->project_name};
    scan_files(&c);
}

static void scan_modules(struct action_founds *out, bool plans, const char *dir)
{
    struct strv names = STRV_INIT;
    read_names(dir, &names);
    for (size_t i = 0; i < names.n; i++) {
        CLEANUP_FREE char *module = io_join(dir, names.v[i]);
        CLEANUP_FREE char *inside = io_join(module, plans ? "plans" : "tasks");
        if (is_word(names.v[i], strlen(names.v[i])))
            scan_dir(out, plans, inside, module, false);
    }
    strv_clear(&names);
}

void action_find(struct service *s, bool plans, struct action_founds *out)
{
    struct action_dirs d;
    const struct strv *flat = plans ? &d.plans : &d.tasks;
    memset(out, 0, sizeof *out);
    action_dirs(s, &d);
    for (size_t i = 0; i < d.plain.n; i++)
        scan_dir(out, plans, d.plain.v[i], NULL, true);
    for (size_t i = 0; i < flat->n; i++)
        scan_dir(out, plans, flat->v[i], NULL, false);
    if (d.project_name)
        scan_project(out, plans, &d);
    for (size_t i = 0; i < d.modules.n; i++)
        scan_modules(out, plans, d.modules.v[i]);
    action_dirs_clear(&d);
}

/* --- one by its path --- */

/* Whether a folder "tasks" is one of a module: its folder has the module's own metadata, or lies among
 * modules. */
static char *module_of(const char *dir, const char *inside)
{
    if (strcmp(last_part(dir), inside) != 0)
        return NULL;
    CLEANUP_FREE char *module = io_dirname(dir);
    CLEANUP_FREE char *above = io_dirname(module);
    size_t n = strlen(last_part(above));
    bool among = n >= 7 && strcmp(last_part(above) + n - 7, "modules") == 0;
    return among || is_there(module, "metadata.json") ? X_STEAL(module) : NULL;
}

bool action_find_file(const char *typed, bool plan, struct action_found *out)
{
    memset(out, 0, sizeof *out);
    CLEANUP_FREE char *path = io_expand_tilde(typed);
    if (!is_file(path))
        return false;
    /* A name alone is in the current folder; from here on it is a path. */
    char *real = realpath(path, NULL);
    if (!real)
        return false;
    const char *name = last_part(real), *dot = strrchr(name, '.');
    size_t n = dot && dot != name ? (size_t) (dot - name) : strlen(name);
    bool json = dot && strcmp(dot, ".json") == 0;
    out->dir = io_dirname(real);
    out->base = x_strndup(name, n);
    out->module = module_of(out->dir, plan ? "plans" : "tasks");
    struct scan c = {.plans = plan, .plain = true, .dir = out->dir, .module = out->module};
    out->name = full_name(&c, out->base);
    if (plan) {
        out->meta = real;
        return true;
    }
    out->meta = json ? x_strdup(real) : x_asprintf("%s/%s.json", out->dir, out->base);
    if (!json)
        strv_push(&out->scripts, name);
    if (!is_file(out->meta))
        free(X_STEAL(out->meta));
    struct strv names = STRV_INIT;
    if (json)
        read_names(out->dir, &names);
    for (size_t i = 0; i < names.n; i++)
        if (kind_of(names.v[i], &n) == FILE_SCRIPT && n == strlen(out->base) &&
            memcmp(names.v[i], out->base, n) == 0)
            strv_push(&out->scripts, names.v[i]);
    strv_clear(&names);
    free(real);
    return true;
}

/* --- files that go with a task --- */

static char *below(const char *dir, const char *name)
{
    char *path = io_join(dir, name);
    if (access(path, F_OK) == 0)
        return path;
    free(path);
    return NULL;
}

char *task_file_path(struct service *s, const struct task *t, const char *name)
{
    char *found = NULL;
    if (t->dir) {
        CLEANUP_FREE char *above = io_dirname(t->dir);
        found = below(above, name);
    }
    /* Of a plain folder as of a module: ABOVE/tasks/x.sh has ABOVE/files. */
    if (!found && t->path) {
        CLEANUP_FREE char *tasks = io_dirname(t->path);
        CLEANUP_FREE char *root = io_dirname(tasks);
        CLEANUP_FREE char *above = io_dirname(root);
        found = below(above, name);
    }
    struct action_dirs d;
    action_dirs(s, &d);
    size_t n = d.project_name ? strlen(d.project_name) : 0;
    if (!found && n && strncmp(name, d.project_name, n) == 0 && name[n] == '/')
        found = below(d.project, name + n + 1);
    for (size_t i = 0; i < d.modules.n && !found; i++)
        found = below(d.modules.v[i], name);
    action_dirs_clear(&d);
    return found;
}
