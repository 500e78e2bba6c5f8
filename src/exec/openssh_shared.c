/* SPDX-License-Identifier: Apache-2.0 */
/* What all sessions of the transport openssh share: turns, a private folder. One lock, a leaf;
 * nothing blocks under it. */
#include "openssh.h"

#include "ssh_shared.h"

#include "muster/base/alloc.h"
#include "muster/exec/engine.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TURNS_PER_CORE 16
#define TURNS_MAX 64
#define DIR_MAX 48 /* ssh adds up to 40 bytes to a ControlPath, and a socket's path has 108 */

struct openssh_shared {
    struct ssh_shared *conf;
    bool can_ask;
    char *self;
    unsigned turns;

    pthread_mutex_t lock; /* guards what follows */
    unsigned used;
    struct link waiting;
    char *dir;
    uint64_t last;
};

void *openssh_shared_new(const struct engine_config *cfg)
{
    struct openssh_shared *o = x_calloc(1, sizeof *o);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self);

    if (n > 0 && (size_t) n < sizeof self)
        o->self = x_strndup(self, (size_t) n);
    o->conf = ssh_shared_new(cfg);
    o->can_ask = cfg->asker != NULL;
    o->turns = cores < 1 ? TURNS_PER_CORE : (unsigned) cores * TURNS_PER_CORE;
    if (o->turns > TURNS_MAX)
        o->turns = TURNS_MAX;
    pthread_mutex_init(&o->lock, NULL);
    link_init(&o->waiting);
    return o;
}

static void remove_dir(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *d;

    while (dir && (d = readdir(dir)))
        if (d->d_name[0] != '.')
            unlinkat(dirfd(dir), d->d_name, 0);
    if (dir)
        closedir(dir);
    rmdir(path);
}

/* Now, and not with the last reference: a helper that was left behind may outlast the process. */
void openssh_shared_stop(void *shared)
{
    struct openssh_shared *o = shared;

    ssh_shared_stop(o->conf);
    pthread_mutex_lock(&o->lock);

    char *dir = X_STEAL(o->dir);

    pthread_mutex_unlock(&o->lock);
    if (dir)
        remove_dir(dir);
    free(dir);
}

void openssh_shared_free(void *shared)
{
    struct openssh_shared *o = shared;

    ssh_shared_free(o->conf);
    if (o->dir)
        remove_dir(o->dir);
    free(o->dir);
    free(o->self);
    pthread_mutex_destroy(&o->lock);
    free(o);
}

struct ssh_shared *openssh_conf(struct openssh_shared *o)
{
    return o->conf;
}

bool openssh_can_ask(const struct openssh_shared *o)
{
    return o->can_ask;
}

const char *openssh_self(const struct openssh_shared *o)
{
    return o->self;
}

unsigned openssh_turns(const struct openssh_shared *o)
{
    return o->turns;
}

int turn_ask(struct openssh_shared *o, struct turn *t)
{
    int rc = 0;

    link_init(&t->link);
    t->fd = -1;
    pthread_mutex_lock(&o->lock);
    t->granted = o->used < o->turns;
    if (t->granted) {
        o->used++;
    } else {
        t->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        rc = t->fd < 0 ? errno : 0;
        if (!rc)
            link_append(&o->waiting, &t->link);
    }
    pthread_mutex_unlock(&o->lock);
    return rc;
}

bool turn_granted(struct openssh_shared *o, struct turn *t)
{
    pthread_mutex_lock(&o->lock);

    bool granted = t->granted;

    pthread_mutex_unlock(&o->lock);
    return granted;
}

void turn_return(struct openssh_shared *o, struct turn *t)
{
    if (!t->link.next)
        return;
    pthread_mutex_lock(&o->lock);
    link_remove(&t->link);
    if (t->granted && link_empty(&o->waiting)) {
        o->used--;
    } else if (t->granted) {
        struct turn *next = LINK_OF(o->waiting.next, struct turn, link);

        link_remove(&next->link);
        next->granted = true;
        eventfd_write(next->fd, 1);
    }
    pthread_mutex_unlock(&o->lock);
    if (t->fd >= 0)
        close(t->fd);
    *t = (struct turn) {.fd = -1};
}

/* With the lock held. */
static bool make_dir(struct openssh_shared *o)
{
    const char *run = getenv("XDG_RUNTIME_DIR");
    const char *bases[] = {run && *run == '/' && strlen(run) <= DIR_MAX - 15 ? run : "/tmp", "/tmp"};

    for (size_t i = 0; !o->dir && i < ARRAY_LEN(bases); i++) {
        char *dir = x_asprintf("%s/muster-XXXXXX", bases[i]);

        if (mkdtemp(dir))
            o->dir = dir;
        else
            free(dir);
    }
    return o->dir != NULL;
}

char *openssh_path(struct openssh_shared *o)
{
    char *path = NULL;

    pthread_mutex_lock(&o->lock);
    if (make_dir(o))
        path = x_asprintf("%s/%" PRIx64, o->dir, ++o->last);
    pthread_mutex_unlock(&o->lock);
    return path;
}
