/* SPDX-License-Identifier: Apache-2.0 */
/* Opened keys and turns at agents.
 *
 * Theory of operation: one mutex guards both maps, a leaf: it is never held while the user is
 * asked, a key is decrypted or an agent answers. Who finds a key that nobody has opened marks its
 * slot as busy and asks; the others wait for that slot, so two hundred hosts cost one question and
 * one decryption. Who waits looks up now and then whether anybody still waits for him. When the one
 * who asks has gone, the next one asks. */
#include "ssh_keyring.h"

#include "helpers.h"
#include "ssh_key.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/log.h"
#include "muster/base/secret.h"
#include "muster/base/strmap.h"

#include <pthread.h>
#include <time.h>

#define TRIES 3
#define LOOK_MS 100
#define AGENT_HUNG_MS 15000

struct opened {
    bool busy;
    struct ssh_key *locked; /* the file as it was; another one is another key */
    struct ssh_key *key;
    char *problem;
};

struct turns {
    unsigned taken;
    char *hung;
    int64_t until_ms;
};

struct keyring {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct strmap *keys;   /* path: struct opened */
    struct strmap *agents; /* socket: struct turns */
};

struct keyring *keyring_new(void)
{
    struct keyring *r = x_calloc(1, sizeof *r);
    pthread_condattr_t attr;

    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&r->changed, &attr);
    pthread_condattr_destroy(&attr);
    r->keys = strmap_new();
    r->agents = strmap_new();
    return r;
}

static void opened_clear(struct opened *o)
{
    ssh_key_unref(o->locked);
    ssh_key_unref(o->key);
    free(o->problem);
    *o = (struct opened) {0};
}

static void drop_opened(const char *path, void *value, void *ctx)
{
    opened_clear(value);
    free(value);
}

static void drop_turns(const char *path, void *value, void *ctx)
{
    struct turns *t = value;

    free(t->hung);
    free(t);
}

void keyring_free(struct keyring *r)
{
    if (!r)
        return;
    strmap_each(r->keys, drop_opened, NULL);
    strmap_each(r->agents, drop_turns, NULL);
    strmap_free(r->keys);
    strmap_free(r->agents);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* With the lock held, which is given up meanwhile. */
static void wait_a_while(struct keyring *r)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += LOOK_MS * 1000000L;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_nsec -= 1000000000L;
        t.tv_sec++;
    }
    pthread_cond_timedwait(&r->changed, &r->lock, &t);
}

/* --- keys; the slot with the lock held --- */

static struct opened *slot_of(struct keyring *r, struct ssh_key *locked)
{
    void *found = NULL;

    if (!strmap_get(r->keys, locked->path, &found)) {
        found = x_calloc(1, sizeof(struct opened));
        strmap_set(r->keys, locked->path, found);
    }

    struct opened *o = found;

    if (!o->busy && o->locked != locked) {
        opened_clear(o);
        o->locked = ssh_key_ref(locked);
    }
    return o;
}

static struct ssh_key *result(const struct opened *o, char **why)
{
    if (o->problem)
        *why = x_strdup(o->problem);
    return o->key ? ssh_key_ref(o->key) : NULL;
}

struct ssh_key *keyring_look(struct keyring *r, struct ssh_key *locked, char **why)
{
    struct ssh_key *key = NULL;

    *why = NULL;
    pthread_mutex_lock(&r->lock);

    const struct opened *o = slot_of(r, locked);

    if (!o->busy)
        key = result(o, why);
    pthread_mutex_unlock(&r->lock);
    return key;
}

/* NULL without *problem: given up. */
static struct ssh_key *ask_and_open(struct ssh_key *locked, struct help *help, char **problem)
{
    CLEANUP_FREE char *first = x_asprintf("Passphrase for %s", locked->path);
    CLEANUP_FREE char *again = x_asprintf("Wrong passphrase, again: for %s", locked->path);

    for (int i = 0; i < TRIES; i++) {
        struct secret *answer = help_ask(help, locked->path, i ? again : first, false);

        if (!answer || !secret_len(answer)) {
            secret_unref(answer);
            if (!help_abandoned(help))
                *problem = x_asprintf("its passphrase was not given: load it into the agent "
                                      "(ssh-add %s)", locked->path);
            return NULL;
        }

        struct ssh_key *key = ssh_key_unlock(locked, secret_text(answer));

        secret_unref(answer);
        if (key->pkey) {
            log_debug("ssh", "decrypted %s", locked->path);
            return key;
        }

        bool wrong = key->locked;

        if (!wrong)
            *problem = x_strdup(key->problem);
        ssh_key_unref(key);
        if (!wrong)
            return NULL;
    }
    *problem = x_asprintf("its passphrase was wrong %d times", TRIES);
    return NULL;
}

struct ssh_key *keyring_unlock(struct keyring *r, struct ssh_key *locked, struct help *help,
                               char **why)
{
    struct ssh_key *key = NULL;
    bool paused = false, gone = false;

    *why = NULL;
    pthread_mutex_lock(&r->lock);

    struct opened *o = slot_of(r, locked);

    while (o->busy && !gone) {
        pthread_mutex_unlock(&r->lock);
        if (!paused)
            help_pause(help);
        paused = true;
        gone = help_abandoned(help);
        pthread_mutex_lock(&r->lock);
        if (o->busy && !gone)
            wait_a_while(r);
    }
    o = slot_of(r, locked);
    if (!gone && !o->busy && !o->key && !o->problem) {
        char *problem = NULL;

        o->busy = true;
        pthread_mutex_unlock(&r->lock);
        if (paused)
            help_resume(help);
        paused = false;
        key = ask_and_open(locked, help, &problem);
        pthread_mutex_lock(&r->lock);
        o->busy = false;
        o->key = key;
        o->problem = problem;
        pthread_cond_broadcast(&r->changed);
    }
    key = gone || o->busy ? NULL : result(o, why);
    pthread_mutex_unlock(&r->lock);
    if (paused)
        help_resume(help);
    return key;
}

/* --- agents --- */

static struct turns *turns_of(struct keyring *r, const char *path)
{
    void *found = NULL;

    if (!strmap_get(r->agents, path, &found)) {
        found = x_calloc(1, sizeof(struct turns));
        strmap_set(r->agents, path, found);
    }
    return found;
}

bool keyring_agent_turn(struct keyring *r, const char *path, struct help *help, char **why)
{
    bool gone = false, hung;

    *why = NULL;
    pthread_mutex_lock(&r->lock);

    struct turns *t = turns_of(r, path);

    for (;;) {
        hung = t->hung && mono_ms(clock_system()) < t->until_ms;
        if (hung || gone || t->taken < AGENT_AT_ONCE)
            break;
        wait_a_while(r);
        pthread_mutex_unlock(&r->lock);
        gone = help_abandoned(help);
        pthread_mutex_lock(&r->lock);
    }
    if (hung)
        *why = x_strdup(t->hung);
    else if (!gone)
        t->taken++;
    pthread_mutex_unlock(&r->lock);
    return !hung && !gone;
}

void keyring_agent_done(struct keyring *r, const char *path, const char *hung)
{
    pthread_mutex_lock(&r->lock);

    struct turns *t = turns_of(r, path);

    t->taken--;
    if (hung) {
        free(t->hung);
        t->hung = x_strdup(hung);
        t->until_ms = mono_ms(clock_system()) + AGENT_HUNG_MS;
    }
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}
