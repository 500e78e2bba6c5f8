/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the project of Bolt, and reads of bolt-project.yaml what says where things lie.
 *
 * Nobody named that folder: it is only believed when nobody else can have written it, as git and Bolt
 * itself do. Who sets BOLT_PROJECT has named it. */
#include "muster/inventory/bolt_project.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/core/yaml.h"

#include <ctype.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROJECT_FILE "bolt-project.yaml"
#define PROJECT_MAX ((size_t) 1 << 20) /* LIMIT: bytes of a bolt-project.yaml */

void bolt_project_clear(struct bolt_project *p)
{
    free(p->dir);
    free(p->file);
    free(p->name);
    free(p->inventory);
    free(p->untrusted);
    free(p->error);
    strv_clear(&p->modulepath);
    *p = (struct bolt_project){.dir = NULL};
}

char *bolt_distrust(const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return NULL;
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return x_asprintf("%s belongs to another user", path);
    if (st.st_mode & S_IWOTH)
        return x_asprintf("%s can be written by anybody", path);
    return NULL;
}

static bool is_file(const char *dir, const char *name)
{
    CLEANUP_FREE char *path = io_join(dir, name);
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* Upward from the current folder, as Bolt walks: Boltdir/ in a folder goes before the folder. */
static char *find_upward(void)
{
    char *dir = getcwd(NULL, 0);

    while (dir) {
        CLEANUP_FREE char *inner = io_join(dir, "Boltdir");
        if (is_file(inner, PROJECT_FILE)) {
            free(dir);
            return X_STEAL(inner);
        }
        if (is_file(dir, PROJECT_FILE))
            return dir;
        if (strcmp(dir, "/") == 0)
            break;
        char *above = io_dirname(dir);
        free(dir);
        dir = above;
    }
    free(dir);
    return NULL;
}

static char *find_home(void)
{
    static const char *const dirs[] = {"~/.puppetlabs/bolt", "~/.puppetlabs/etc/bolt"};

    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        char *dir = io_expand_tilde(dirs[i]);
        if (is_file(dir, PROJECT_FILE) || is_file(dir, "inventory.yaml"))
            return dir;
        free(dir);
    }
    return NULL;
}

static char *whole(const struct bolt_project *p, const char *path)
{
    char *full = io_expand_tilde(path), *joined;

    if (*full == '/')
        return full;
    joined = io_join(p->dir, full);
    free(full);
    return joined;
}

static int wrong(struct bolt_project *p, const struct yaml_node *at, const char *what)
{
    p->error = x_asprintf("%s: line %u: %s", p->file, at->line, what);
    return -ERR_VALIDATION;
}

static int read_name(struct bolt_project *p, const struct yaml_node *name)
{
    const char *s = name->kind == YAML_SCALAR ? name->scalar : "";
    bool ok = islower((unsigned char) *s);

    for (; ok && *s; s++)
        ok = islower((unsigned char) *s) || isdigit((unsigned char) *s) || *s == '_';
    if (!ok)
        return wrong(p, name, "\"name\" is to be lowercase letters, digits and \"_\", and to begin "
                              "with a letter");
    p->name = x_strdup(name->scalar);
    return 0;
}

static int read_modulepath(struct bolt_project *p, const struct yaml_node *value)
{
    if (value->kind == YAML_SCALAR) {
        for (const char *s = value->scalar; *s; s += strcspn(s, ":"), s += *s == ':') {
            CLEANUP_FREE char *one = x_strndup(s, strcspn(s, ":"));
            if (*one)
                strv_push_own(&p->modulepath, whole(p, one));
        }
        return 0;
    }
    for (size_t i = 0; i < value->n; i++) {
        if (value->kind != YAML_SEQUENCE || value->items[i]->kind != YAML_SCALAR)
            return wrong(p, value, "\"modulepath\" is to be a list of folders");
        strv_push_own(&p->modulepath, whole(p, value->items[i]->scalar));
    }
    return 0;
}

static int read_keys(struct bolt_project *p, const struct yaml_node *root)
{
    const struct yaml_node *name = yaml_get(root, "name"), *path = yaml_get(root, "modulepath");
    const struct yaml_node *inventory = yaml_get(root, "inventoryfile");

    if (root->kind != YAML_MAPPING)
        return wrong(p, root, "a project's settings are to be a mapping");
    if (inventory && inventory->kind != YAML_SCALAR)
        return wrong(p, inventory, "\"inventoryfile\" is to be a file's name");
    if (inventory && !yaml_is_null(inventory)) {
        p->inventory = whole(p, inventory->scalar);
        p->names_inventory = true;
    }
    if (name && !yaml_is_null(name) && read_name(p, name))
        return -ERR_VALIDATION;
    return path && !yaml_is_null(path) ? read_modulepath(p, path) : 0;
}

static void read_project(struct bolt_project *p)
{
    struct strbuf text;
    struct err why = ERR_INIT;
    struct yaml_node *root = NULL;

    strbuf_init(&text, PROJECT_MAX);
    if (io_read_file(p->file, PROJECT_MAX, &text, &why) == 0)
        root = yaml_parse(p->file, text.s, text.len, &why);
    if (root)
        read_keys(p, root);
    else
        p->error = X_STEAL(why.msg);
    yaml_free(root);
    strbuf_free(&text);
    err_clear(&why);
}

/* site-modules is of Bolt 2, and .modules what `bolt module install` fills, whatever is set. */
static void add_defaults(struct bolt_project *p)
{
    if (!p->inventory)
        p->inventory = io_join(p->dir, "inventory.yaml");
    if (!p->modulepath.n) {
        strv_push_own(&p->modulepath, io_join(p->dir, "modules"));
        strv_push_own(&p->modulepath, io_join(p->dir, "site-modules"));
    }
    strv_push_own(&p->modulepath, io_join(p->dir, ".modules"));
}

bool bolt_project_find(struct bolt_project *p)
{
    const char *asked = getenv("BOLT_PROJECT");

    *p = (struct bolt_project){.dir = NULL};
    if (asked && *asked) {
        CLEANUP_FREE char *path = io_expand_tilde(asked);
        char *real = realpath(path, NULL);
        p->dir = real ? real : x_strdup(path);
    } else {
        asked = NULL;
        p->dir = find_upward();
        if (!p->dir)
            p->dir = find_home();
        if (!p->dir)
            return false;
    }
    p->file = io_join(p->dir, PROJECT_FILE);
    if (!asked) {
        p->untrusted = bolt_distrust(p->dir);
        if (!p->untrusted)
            p->untrusted = bolt_distrust(p->file);
    }
    if (p->untrusted)
        return true;
    if (is_file(p->dir, PROJECT_FILE))
        read_project(p);
    else if (asked)
        p->error = x_asprintf("BOLT_PROJECT: %s has no " PROJECT_FILE, p->dir);
    if (p->error)
        return true;
    add_defaults(p);
    if (!asked)
        p->untrusted = bolt_distrust(p->inventory);
    return true;
}
