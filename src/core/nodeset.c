/* SPDX-License-Identifier: Apache-2.0 */
/* Ordered sets of node names: an array in order, and a hash table of places in it. */
#include "muster/core/nodeset.h"

#include "muster/base/alloc.h"

#include <string.h>

struct entry {
    char *name;
    uint32_t hash;
};

struct nodeset {
    struct entry *entries; /* in order */
    size_t n, cap;
    uint32_t *slots; /* place in entries plus 1; 0: free */
    size_t n_slots;  /* a power of two, or 0 */
};

static uint32_t hash_of(const char *name)
{
    uint32_t h = 2166136261u;

    for (; *name; name++)
        h = (h ^ (unsigned char) *name) * 16777619u;
    h = (h ^ (h >> 16)) * 0x85ebca6bu;
    h = (h ^ (h >> 13)) * 0xc2b2ae35u;
    return h ^ (h >> 16);
}

struct nodeset *nodeset_new(void)
{
    return x_calloc(1, sizeof(struct nodeset));
}

void nodeset_free(struct nodeset *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        free(s->entries[i].name);
    free(s->entries);
    free(s->slots);
    free(s);
}

/* The slot that holds the name, or the free one where it belongs. There is always a free one. */
static size_t slot_of(const struct nodeset *s, const char *name, uint32_t hash)
{
    size_t mask = s->n_slots - 1, i = hash & mask;

    for (; s->slots[i]; i = (i + 1) & mask) {
        const struct entry *e = &s->entries[s->slots[i] - 1];

        if (e->hash == hash && !strcmp(e->name, name))
            break;
    }
    return i;
}

/* Makes the table anew from the entries, with room for `need` of them. */
static void index_entries(struct nodeset *s, size_t need)
{
    size_t n_slots = 16, mask;

    while (n_slots < need * 2)
        n_slots *= 2;
    free(s->slots);
    s->slots = x_calloc(n_slots, sizeof *s->slots);
    s->n_slots = n_slots;
    mask = n_slots - 1;
    for (size_t k = 0; k < s->n; k++) {
        size_t i = s->entries[k].hash & mask;

        while (s->slots[i])
            i = (i + 1) & mask;
        s->slots[i] = (uint32_t) k + 1;
    }
}

static bool has_hashed(const struct nodeset *s, const char *name, uint32_t hash)
{
    return s->n && s->slots[slot_of(s, name, hash)];
}

static bool add_hashed(struct nodeset *s, const char *name, uint32_t hash)
{
    size_t i;

    if ((s->n + 1) * 2 > s->n_slots)
        index_entries(s, (s->n + 1) * 2);
    i = slot_of(s, name, hash);
    if (s->slots[i])
        return false;
    X_GROW(s->entries, s->cap, s->n + 1);
    s->entries[s->n++] = (struct entry) {x_strdup(name), hash};
    s->slots[i] = (uint32_t) s->n;
    return true;
}

bool nodeset_add(struct nodeset *s, const char *name)
{
    return add_hashed(s, name, hash_of(name));
}

bool nodeset_has(const struct nodeset *s, const char *name)
{
    return has_hashed(s, name, hash_of(name));
}

/* Frees a slot and moves up what probed over it, so that no marks of the deleted are needed. */
static void free_slot(struct nodeset *s, size_t hole)
{
    size_t mask = s->n_slots - 1;

    s->slots[hole] = 0;
    for (size_t i = (hole + 1) & mask; s->slots[i]; i = (i + 1) & mask) {
        size_t home = s->entries[s->slots[i] - 1].hash & mask;

        if (((i - home) & mask) >= ((i - hole) & mask)) {
            s->slots[hole] = s->slots[i];
            s->slots[i] = 0;
            hole = i;
        }
    }
}

bool nodeset_remove(struct nodeset *s, const char *name)
{
    uint32_t place;
    size_t i;

    if (!s->n)
        return false;
    i = slot_of(s, name, hash_of(name));
    place = s->slots[i];
    if (!place)
        return false;
    free_slot(s, i);
    free(s->entries[place - 1].name);
    memmove(&s->entries[place - 1], &s->entries[place], (s->n - place) * sizeof *s->entries);
    s->n--;
    for (i = 0; i < s->n_slots; i++) {
        if (s->slots[i] > place)
            s->slots[i]--;
    }
    return true;
}

size_t nodeset_count(const struct nodeset *s)
{
    return s->n;
}

const char *nodeset_at(const struct nodeset *s, size_t i)
{
    return s->entries[i].name;
}

void nodeset_union(struct nodeset *s, const struct nodeset *o)
{
    if (s == o)
        return;
    for (size_t i = 0; i < o->n; i++)
        add_hashed(s, o->entries[i].name, o->entries[i].hash);
}

/* Keeps what is in o, or what is not. */
static void keep(struct nodeset *s, const struct nodeset *o, bool in_o)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->n; i++) {
        struct entry e = s->entries[i];

        if ((s == o || has_hashed(o, e.name, e.hash)) == in_o)
            s->entries[kept++] = e;
        else
            free(e.name);
    }
    if (kept != s->n) {
        s->n = kept;
        index_entries(s, kept + 1);
    }
}

void nodeset_difference(struct nodeset *s, const struct nodeset *o)
{
    keep(s, o, false);
}

void nodeset_intersect(struct nodeset *s, const struct nodeset *o)
{
    keep(s, o, true);
}

void nodeset_xor(struct nodeset *s, const struct nodeset *o)
{
    struct nodeset *fresh = nodeset_new();

    for (size_t i = 0; i < o->n; i++) {
        if (!has_hashed(s, o->entries[i].name, o->entries[i].hash))
            add_hashed(fresh, o->entries[i].name, o->entries[i].hash);
    }
    keep(s, o, false);
    nodeset_union(s, fresh);
    nodeset_free(fresh);
}
