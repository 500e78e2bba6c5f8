/* SPDX-License-Identifier: Apache-2.0 */
/* Opened keys, their passphrases, and turns at agents.
 *
 * Theory of operation: one mutex guards both maps, a leaf: it is never held while the user is
 * asked, a key is decrypted or an agent answers. Who finds a key that nobody has opened marks its
 * slot as busy and asks; the others wait for that slot, so two hundred hosts cost one question and
 * one decryption, whichever transport they go by. Who waits looks up now and then whether anybody
 * still waits for him. When the one who asks has gone, the next one asks. Slots stay in their map
 * once they are made; to forget is to empty them, and a busy one is emptied when its question is over. */
#include "ssh_keyring.h"

#include "helpers.h"
#include "ssh_key.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/log.h"
#include "muster/base/secret.h"
#include "muster/base/strmap.h"
#include "muster/base/thread.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#define TRIES 3
#define LOOK_MS 100
#define AGENT_HUNG_MS 15000

/* What came of a question. All unset: nobody has been asked, or the one who asked was left. */
struct answer {
    struct secret *phrase;
    struct ssh_key *key; /* NULL: it is for ssh, and could not be tried here */
    char *problem;
};

struct opened {
    bool busy, stale; /* stale: forget the answer that comes */
    uint8_t digest[KEY_DIGEST_LEN]; /* of the file as it was; another one is another key */
    struct answer answer;
};

struct turns {
    unsigned taken;
    char *hung;
    int64_t until_ms;
};

struct keyring {
    int refs; /* atomic */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct strmap *keys;   /* path, or what ssh asks: struct opened */
    struct strmap *agents; /* socket: struct turns */
};

/* What is to be asked. */
struct wanted {
    const char *name;       /* the slot's */
    struct ssh_key *locked; /* NULL: it cannot be tried here */
    const char *text;       /* of the question then */
};

struct keyring *keyring_new(void)
{
    struct keyring *r = x_calloc(1, sizeof *r);
    pthread_condattr_t attr;

    r->refs = 1;
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&r->changed, &attr);
    pthread_condattr_destroy(&attr);
    r->keys = strmap_new();
    r->agents = strmap_new();
    return r;
}

struct keyring *keyring_ref(struct keyring *r)
{
    __atomic_add_fetch(&r->refs, 1, __ATOMIC_RELAXED);
    return r;
}

static void answer_clear(struct answer *a)
{
    secret_unref(a->phrase);
    ssh_key_unref(a->key);
    free(a->problem);
    *a = (struct answer) {0};
}

static void drop_opened(const char *name, void *value, void *ctx)
{
    struct opened *o = value;

    answer_clear(&o->answer);
    free(o);
}

static void drop_turns(const char *path, void *value, void *ctx)
{
    struct turns *t = value;

    free(t->hung);
    free(t);
}

void keyring_unref(struct keyring *r)
{
    if (!r || __atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    strmap_each(r->keys, drop_opened, NULL);
    strmap_each(r->agents, drop_turns, NULL);
    strmap_free(r->keys);
    strmap_free(r->agents);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static void forget(const char *name, void *value, void *ctx)
{
    struct opened *o = value;

    o->stale = o->busy;
    answer_clear(&o->answer);
}

void keyring_forget(struct keyring *r)
{
    pthread_mutex_lock(&r->lock);
    strmap_each(r->keys, forget, NULL);
    pthread_mutex_unlock(&r->lock);
}

/* --- asking; the lock is not held --- */

static void ask_untried(const struct wanted *w, struct help *help, struct answer *a)
{
    a->phrase = help_ask(help, "ssh", w->text, false);
    if ((a->phrase && secret_len(a->phrase)) || help_abandoned(help))
        return;
    secret_unref(X_STEAL(a->phrase));
    a->problem = x_strdup("what it asks was not answered");
}

/* true: that is settled, one way or the other. */
static bool try_open(struct ssh_key *locked, struct secret *phrase, struct answer *a)
{
    struct ssh_key *key = ssh_key_unlock(locked, secret_text(phrase));
    bool wrong = !key->pkey && key->locked;

    if (key->pkey) {
        log_debug("ssh", "decrypted %s", locked->path);
        a->key = ssh_key_ref(key);
        a->phrase = secret_ref(phrase);
    } else if (!wrong) {
        a->problem = x_strdup(key->problem);
    }
    ssh_key_unref(key);
    return !wrong;
}

static void ask_and_open(struct ssh_key *locked, struct help *help, struct answer *a)
{
    CLEANUP_FREE char *first = x_asprintf("Passphrase for %s", locked->path);
    CLEANUP_FREE char *again = x_asprintf("Wrong passphrase, again: for %s", locked->path);

    for (int i = 0; i < TRIES; i++) {
        struct secret *phrase = help_ask(help, "", i ? again : first, false);

        if (!phrase || !secret_len(phrase)) {
            secret_unref(phrase);
            if (!help_abandoned(help))
                a->problem = x_asprintf("its passphrase was not given: load it into the agent "
                                        "(ssh-add %s)", locked->path);
            return;
        }

        bool settled = try_open(locked, phrase, a);

        secret_unref(phrase);
        if (settled)
            return;
    }
    a->problem = x_asprintf("its passphrase was wrong %d times", TRIES);
}

/* --- keys; the slot with the lock held --- */

static struct opened *slot_of(struct keyring *r, const char *name, const struct ssh_key *locked)
{
    void *found = NULL;

    if (!strmap_get(r->keys, name, &found)) {
        found = x_calloc(1, sizeof(struct opened));
        strmap_set(r->keys, name, found);
    }

    struct opened *o = found;

    if (locked && !o->busy && memcmp(o->digest, locked->digest, sizeof o->digest) != 0) {
        answer_clear(&o->answer);
        memcpy(o->digest, locked->digest, sizeof o->digest);
    }
    return o;
}

static void copy_answer(struct answer *to, const struct answer *from)
{
    *to = (struct answer) {secret_ref(from->phrase), from->key ? ssh_key_ref(from->key) : NULL,
                           from->problem ? x_strdup(from->problem) : NULL};
}

/* Whoever asks: what came of it, to be cleared by the caller. */
static void get_answer(struct keyring *r, const struct wanted *w, struct help *help,
                       struct answer *out)
{
    bool paused = false, gone = false;

    *out = (struct answer) {0};
    pthread_mutex_lock(&r->lock);

    struct opened *o = slot_of(r, w->name, w->locked);

    while (o->busy && !gone) {
        pthread_mutex_unlock(&r->lock);
        if (!paused)
            help_pause(help);
        paused = true;
        gone = help_abandoned(help);
        pthread_mutex_lock(&r->lock);
        if (o->busy && !gone)
            thread_wait_ms(&r->changed, &r->lock, LOOK_MS);
    }
    o = slot_of(r, w->name, w->locked);
    if (!gone && !o->busy && !o->answer.phrase && !o->answer.problem) {
        o->busy = true;
        pthread_mutex_unlock(&r->lock);
        if (paused)
            help_resume(help);
        paused = false;
        if (w->locked)
            ask_and_open(w->locked, help, out);
        else
            ask_untried(w, help, out);
        pthread_mutex_lock(&r->lock);
        if (!o->stale)
            copy_answer(&o->answer, out);
        o->busy = o->stale = false;
        pthread_cond_broadcast(&r->changed);
    } else if (!gone && !o->busy) {
        copy_answer(out, &o->answer);
    }
    pthread_mutex_unlock(&r->lock);
    if (paused)
        help_resume(help);
}

struct ssh_key *keyring_look(struct keyring *r, struct ssh_key *locked, char **why)
{
    struct answer a = {0};

    pthread_mutex_lock(&r->lock);

    const struct opened *o = slot_of(r, locked->path, locked);

    if (!o->busy)
        copy_answer(&a, &o->answer);
    pthread_mutex_unlock(&r->lock);
    *why = X_STEAL(a.problem);

    struct ssh_key *key = X_STEAL(a.key);

    answer_clear(&a);
    return key;
}

struct ssh_key *keyring_unlock(struct keyring *r, struct ssh_key *locked, struct help *help,
                               char **why)
{
    const struct wanted w = {.name = locked->path, .locked = locked};
    struct answer a;

    get_answer(r, &w, help, &a);
    *why = X_STEAL(a.problem);

    struct ssh_key *key = X_STEAL(a.key);

    answer_clear(&a);
    return key;
}

struct secret *keyring_phrase(struct keyring *r, struct ssh_key *locked, struct help *help,
                              char **why)
{
    const struct wanted w = {.name = locked->path, .locked = locked};
    struct answer a;

    get_answer(r, &w, help, &a);
    *why = X_STEAL(a.problem);

    struct secret *phrase = X_STEAL(a.phrase);

    answer_clear(&a);
    return phrase;
}

struct secret *keyring_ask(struct keyring *r, const char *name, const char *text,
                           struct help *help)
{
    const struct wanted w = {.name = name, .text = text};
    struct answer a;

    get_answer(r, &w, help, &a);

    struct secret *phrase = X_STEAL(a.phrase);

    answer_clear(&a);
    return phrase;
}

void keyring_refused(struct keyring *r, const char *name)
{
    pthread_mutex_lock(&r->lock);

    struct opened *o = slot_of(r, name, NULL);

    if (!o->busy) {
        answer_clear(&o->answer);
        o->answer.problem = x_strdup("it was refused"); /* not asked again by each of many nodes */
    }
    pthread_mutex_unlock(&r->lock);
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
        thread_wait_ms(&r->changed, &r->lock, LOOK_MS);
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
