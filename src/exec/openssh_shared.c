/* SPDX-License-Identifier: Apache-2.0 */
/* What all sessions of the transport openssh share: turns, a private folder, passphrases. One lock, a
 * leaf; nothing blocks under it. */
#include "openssh.h"

#include "helpers.h"
#include "ssh_shared.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/secret.h"
#include "muster/base/strmap.h"
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
#define DECLINED_MS 60000

struct phrase {
    bool busy;
    struct secret *secret; /* NULL: not asked, or declined */
    int64_t declined_until;
};

struct openssh_shared {
    struct ssh_shared *conf;
    bool can_ask;
    char *self;
    unsigned turns;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t answered;
    unsigned used;
    struct link waiting;
    char *dir;
    uint64_t last;
    struct strmap *phrases;
};

static int64_t now(void)
{
    return mono_ms(clock_system());
}

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
    pthread_cond_init(&o->answered, NULL);
    link_init(&o->waiting);
    o->phrases = strmap_new();
    return o;
}

void openssh_shared_stop(void *shared)
{
    struct openssh_shared *o = shared;

    ssh_shared_stop(o->conf);
}

static void drop_phrase(const char *key, void *value, void *ctx)
{
    struct phrase *p = value;

    secret_unref(p->secret);
    free(p);
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

void openssh_shared_free(void *shared)
{
    struct openssh_shared *o = shared;

    ssh_shared_free(o->conf);
    if (o->dir)
        remove_dir(o->dir);
    free(o->dir);
    free(o->self);
    strmap_each(o->phrases, drop_phrase, NULL);
    strmap_free(o->phrases);
    pthread_cond_destroy(&o->answered);
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

/* With the lock held. */
static struct phrase *phrase_of(struct openssh_shared *o, const char *prompt)
{
    void *found = NULL;

    if (!strmap_get(o->phrases, prompt, &found)) {
        found = x_calloc(1, sizeof(struct phrase));
        strmap_set(o->phrases, prompt, found);
    }
    return found;
}

struct secret *openssh_phrase(struct openssh_shared *o, const char *prompt, const char *clean,
                              struct help *help)
{
    struct secret *answer;

    pthread_mutex_lock(&o->lock);

    struct phrase *p = phrase_of(o, prompt);

    while (p->busy)
        pthread_cond_wait(&o->answered, &o->lock);
    if (!p->secret && now() >= p->declined_until) {
        p->busy = true;
        pthread_mutex_unlock(&o->lock);
        answer = help_ask(help, "ssh", clean, false);

        bool gone = help_abandoned(help);

        pthread_mutex_lock(&o->lock);
        p->secret = answer;
        p->declined_until = answer || gone ? 0 : now() + DECLINED_MS;
        p->busy = false;
        pthread_cond_broadcast(&o->answered);
    }
    answer = secret_ref(p->secret);
    pthread_mutex_unlock(&o->lock);
    return answer;
}

void openssh_phrase_wrong(struct openssh_shared *o, const char *prompt)
{
    pthread_mutex_lock(&o->lock);

    struct phrase *p = phrase_of(o, prompt);

    if (!p->busy) {
        secret_unref(X_STEAL(p->secret));
        p->declined_until = now() + DECLINED_MS; /* not asked again by each of many nodes */
    }
    pthread_mutex_unlock(&o->lock);
}
