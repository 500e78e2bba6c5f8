/* SPDX-License-Identifier: Apache-2.0 */
/* A hash map from strings: open addressing with linear probing, hashes kept beside the keys. */
#include "muster/base/strmap.h"

#include "muster/base/alloc.h"

#include <string.h>

struct slot {
    char *key; /* NULL: free or deleted */
    void *value;
    uint64_t hash;
    bool deleted;
};

struct strmap {
    struct slot *slots;
    size_t n_slots; /* a power of two, or 0 */
    size_t count;   /* keys */
    size_t used;    /* keys and deleted slots: what a probe must walk over */
};

/* FNV-1a, then the finaliser of SplitMix64, as FNV's low bits alone are poor. */
static uint64_t hash_of(const char *key)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (; *key; key++)
        h = (h ^ (unsigned char) *key) * 0x100000001b3u;
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
    return h ^ (h >> 31);
}

struct strmap *strmap_new(void)
{
    return x_calloc(1, sizeof(struct strmap));
}

void strmap_free(struct strmap *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n_slots; i++)
        free(m->slots[i].key);
    free(m->slots);
    free(m);
}

static struct slot *find(const struct strmap *m, const char *key, uint64_t hash)
{
    size_t mask = m->n_slots - 1;

    if (!m->n_slots)
        return NULL;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct slot *s = &m->slots[i];

        if (!s->key && !s->deleted)
            return NULL;
        if (s->key && s->hash == hash && !strcmp(s->key, key))
            return s;
    }
}

static void rehash(struct strmap *m)
{
    struct slot *old = m->slots;
    size_t n_old = m->n_slots, mask;

    m->n_slots = 16;
    while (m->n_slots < (m->count + 1) * 2)
        m->n_slots *= 2;
    m->slots = x_calloc(m->n_slots, sizeof *m->slots);
    m->used = m->count;
    mask = m->n_slots - 1;
    for (size_t k = 0; k < n_old; k++) {
        size_t i = old[k].hash & mask;

        if (!old[k].key)
            continue;
        while (m->slots[i].key)
            i = (i + 1) & mask;
        m->slots[i] = old[k];
    }
    free(old);
}

bool strmap_set(struct strmap *m, const char *key, void *value)
{
    uint64_t hash = hash_of(key);
    struct slot *s = find(m, key, hash);
    size_t mask, i;

    if (s) {
        s->value = value;
        return false;
    }
    if ((m->used + 1) * 4 > m->n_slots * 3)
        rehash(m);
    mask = m->n_slots - 1;
    for (i = hash & mask; m->slots[i].key; i = (i + 1) & mask)
        ;
    s = &m->slots[i];
    if (!s->deleted)
        m->used++;
    *s = (struct slot) {x_strdup(key), value, hash, false};
    m->count++;
    return true;
}

bool strmap_get(const struct strmap *m, const char *key, void **value)
{
    const struct slot *s = find(m, key, hash_of(key));

    if (!s)
        return false;
    if (value)
        *value = s->value;
    return true;
}

bool strmap_del(struct strmap *m, const char *key)
{
    struct slot *s = find(m, key, hash_of(key));

    if (!s)
        return false;
    free(s->key);
    *s = (struct slot) {NULL, NULL, 0, true};
    m->count--;
    return true;
}

size_t strmap_count(const struct strmap *m)
{
    return m->count;
}

void strmap_each(const struct strmap *m, void (*fn)(const char *key, void *value, void *ctx),
                 void *ctx)
{
    for (size_t i = 0; i < m->n_slots; i++) {
        if (m->slots[i].key)
            fn(m->slots[i].key, m->slots[i].value, ctx);
    }
}
