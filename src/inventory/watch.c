/* SPDX-License-Identifier: Apache-2.0 */
/* Remembers which files a load read, to tell later whether any of them changed. */
#include "source.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/inventory/inventory.h"

#include <glob.h>
#include <string.h>
#include <sys/stat.h>

struct watched {
    char *path;
    char *found; /* a glob: what it found, one a line; NULL: a file */
    bool there;
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime, ctime;
};

struct inventory_watch {
    struct watched *v;
    size_t n, cap;
};

struct inventory_watch *watch_new(void)
{
    return x_calloc(1, sizeof(struct inventory_watch));
}

static struct watched *watch_add(struct inventory_watch *w, const char *path)
{
    X_GROW(w->v, w->cap, w->n + 1);
    w->v[w->n] = (struct watched){.path = x_strdup(path)};
    return &w->v[w->n++];
}

/* Returns false for what has no lasting identity: a pipe of the shell's <(...), a device. */
static bool look(const char *path, struct watched *out)
{
    struct stat st;

    out->there = stat(path, &st) == 0;
    if (!out->there)
        return true;
    out->dev = st.st_dev;
    out->ino = st.st_ino;
    out->size = st.st_size;
    out->mtime = st.st_mtim;
    out->ctime = st.st_ctim;
    return S_ISREG(st.st_mode) || S_ISDIR(st.st_mode);
}

void watch_file(struct inventory_watch *w, const char *path)
{
    struct watched now = {.path = NULL};

    if (!look(path, &now))
        return;
    now.path = x_strdup(path);
    X_GROW(w->v, w->cap, w->n + 1);
    w->v[w->n++] = now;
}

static char *glob_text(const char *pattern)
{
    struct strbuf b;
    glob_t g = {0};

    strbuf_init(&b, 0);
    if (glob(pattern, 0, NULL, &g) == 0) {
        for (size_t i = 0; i < g.gl_pathc; i++) {
            strbuf_adds(&b, g.gl_pathv[i]);
            strbuf_addch(&b, '\n');
        }
    }
    globfree(&g);
    return strbuf_steal(&b);
}

void watch_glob(struct inventory_watch *w, const char *pattern)
{
    watch_add(w, pattern)->found = glob_text(pattern);
}

static bool time_differs(struct timespec a, struct timespec b)
{
    return a.tv_sec != b.tv_sec || a.tv_nsec != b.tv_nsec;
}

static bool watched_changed(const struct watched *was)
{
    struct watched now = {.path = NULL};

    if (was->found) {
        CLEANUP_FREE char *found = glob_text(was->path);
        return strcmp(found, was->found) != 0;
    }
    look(was->path, &now);
    if (!was->there || !now.there)
        return was->there != now.there;
    return was->dev != now.dev || was->ino != now.ino || was->size != now.size ||
           time_differs(was->mtime, now.mtime) || time_differs(was->ctime, now.ctime);
}

bool inventory_changed(const struct inventory_watch *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (watched_changed(&w->v[i]))
            return true;
    return false;
}

void inventory_watch_free(struct inventory_watch *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->n; i++) {
        free(w->v[i].path);
        free(w->v[i].found);
    }
    free(w->v);
    free(w);
}
