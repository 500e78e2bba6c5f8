/* SPDX-License-Identifier: Apache-2.0 */
/* What a push sends: the files and folders that LOCAL... name. The names given are followed when they
 * are symbolic links, as cp and scp do; those inside of a folder are sent as links. */
#include "copy.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define DEPTH_MAX 200
#define ITEMS_MAX 1000000 /* LIMIT: files and folders of one copy */
#define FAULTS_SHOWN 10

struct walk {
    struct copy_list *list;
    struct strbuf faults; /* a line each */
    size_t n_faults;
};

static void fault(struct walk *w, const char *path, const char *why)
{
    CLEANUP_FREE char *clean = text_clean(path);
    if (w->n_faults++ < FAULTS_SHOWN)
        strbuf_addf(&w->faults, "%s%s: %s", w->n_faults > 1 ? "; " : "", clean, why);
}

static void add(struct walk *w, const char *path, const char *name, const struct stat *st,
                char *link)
{
    struct copy_list *l = w->list;
    X_GROW(l->v, l->cap, l->n + 1);
    l->v[l->n++] = (struct copy_item){.path = x_strdup(path),
                                      .name = x_strdup(name),
                                      .link = link,
                                      .mode = st->st_mode,
                                      .mtime = st->st_mtime};
    if (!S_ISREG(st->st_mode))
        return;
    l->v[l->n - 1].size = (uint64_t) st->st_size;
    l->bytes += (uint64_t) st->st_size;
    l->files++;
}

static void walk(struct walk *w, const char *path, const char *name, bool follow, int depth);

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

/* In the order of their names, so that the same files make the same archive. */
static void walk_folder(struct walk *w, const char *path, const char *name, int depth)
{
    DIR *d = opendir(path);
    struct strv names = STRV_INIT;
    if (!d) {
        fault(w, path, strerror(errno));
        return;
    }
    for (struct dirent *x; (x = readdir(d)) != NULL;)
        if (strcmp(x->d_name, ".") != 0 && strcmp(x->d_name, "..") != 0)
            strv_push(&names, x->d_name);
    closedir(d);
    if (names.n)
        qsort(names.v, names.n, sizeof *names.v, by_name);
    for (size_t i = 0; i < names.n; i++) {
        CLEANUP_FREE char *sub = io_join(path, names.v[i]);
        CLEANUP_FREE char *as = x_asprintf("%s/%s", name, names.v[i]);
        walk(w, sub, as, false, depth + 1);
    }
    strv_clear(&names);
}

static void walk_link(struct walk *w, const char *path, const char *name, const struct stat *st)
{
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n < 0) {
        fault(w, path, strerror(errno));
        return;
    }
    target[n] = '\0';
    add(w, path, name, st, x_strdup(target));
}

static void walk(struct walk *w, const char *path, const char *name, bool follow, int depth)
{
    struct stat st;
    if (strchr(name, '\n'))
        fault(w, path, "a newline in a name cannot be sent");
    else if ((follow ? stat(path, &st) : lstat(path, &st)) != 0)
        fault(w, path, strerror(errno));
    else if (depth > DEPTH_MAX || w->list->n >= ITEMS_MAX)
        fault(w, path, depth > DEPTH_MAX ? "too deep" : "more than a million files");
    else if (S_ISLNK(st.st_mode))
        walk_link(w, path, name, &st);
    else if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        fault(w, path, "a device, a socket or a pipe cannot be sent");
    else if (S_ISREG(st.st_mode) && access(path, R_OK) != 0)
        fault(w, path, strerror(errno));
    else {
        add(w, path, name, &st, NULL);
        if (S_ISDIR(st.st_mode))
            walk_folder(w, path, name, depth);
    }
}

/* The last part of a path as it is meant: "." and ".." have a name too. NULL: it has none. */
static char *last_part(const char *path)
{
    CLEANUP_FREE char *p = x_strdup(path);
    size_t n = strlen(p);
    while (n > 1 && p[n - 1] == '/')
        p[--n] = '\0';
    char *slash = strrchr(p, '/');
    const char *last = slash ? slash + 1 : p;
    if (*last && strcmp(last, ".") != 0 && strcmp(last, "..") != 0)
        return x_strdup(last);
    char *real = realpath(path, NULL);
    slash = real ? strrchr(real, '/') : NULL;
    char *out = slash && slash[1] ? x_strdup(slash + 1) : NULL;
    free(real);
    return out;
}

static void walk_top(struct walk *w, const char *path, struct strv *tops)
{
    CLEANUP_FREE char *name = last_part(path);
    if (!name)
        fault(w, path, strcmp(path, "/") == 0 ? "the whole file system: name a folder in it"
                                              : strerror(ENOENT));
    else if (strv_has(tops, name))
        fault(w, path, "another one has this name already");
    else if (strcmp(name, COPY_SUMS) == 0 || strcmp(name, COPY_SUMS_ODD) == 0)
        fault(w, path, "the name is taken: muster sends its sums by it");
    else {
        strv_push(tops, name);
        walk(w, path, name, true, 0);
    }
}

int copy_walk(const struct strv *local, struct copy_list *out, struct err *e)
{
    struct walk w = {.list = out};
    struct strv tops = STRV_INIT;
    memset(out, 0, sizeof *out);
    strbuf_init(&w.faults, 0);
    for (size_t i = 0; i < local->n; i++)
        walk_top(&w, local->v[i], &tops);
    out->tops = tops.n;
    strv_clear(&tops);
    int rc = 0;
    if (w.n_faults > FAULTS_SHOWN)
        strbuf_addf(&w.faults, "; and %zu more", w.n_faults - FAULTS_SHOWN);
    if (w.n_faults) {
        rc = err_set(e, ERR_VALIDATION, "cannot push %s", w.faults.s);
        copy_list_clear(out);
    }
    strbuf_free(&w.faults);
    return rc;
}

void copy_list_clear(struct copy_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        free(l->v[i].path);
        free(l->v[i].name);
        free(l->v[i].link);
    }
    free(l->v);
    memset(l, 0, sizeof *l);
}

char *copy_count_text(size_t files, uint64_t bytes)
{
    char size[24];
    return x_asprintf("%zu file%s, %s", files, files == 1 ? "" : "s", text_size(bytes, size));
}
