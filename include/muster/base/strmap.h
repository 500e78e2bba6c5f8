/* SPDX-License-Identifier: Apache-2.0 */
/* A hash map from strings to pointers or numbers. Keys are copied. Not shared between threads
 * while it is changed; any number of threads may read one that no longer changes. */
#ifndef MUSTER_BASE_STRMAP_H
#define MUSTER_BASE_STRMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strmap;
struct strmap *strmap_new(void);
void strmap_free(struct strmap *m); /* not the values; NULL allowed */
/* Sets or replaces. Returns true when the key was new. */
bool strmap_set(struct strmap *m, const char *key, void *value);
bool strmap_get(const struct strmap *m, const char *key, void **value); /* value may be NULL */
bool strmap_del(struct strmap *m, const char *key);
size_t strmap_count(const struct strmap *m);
/* Calls fn for each entry, in no order; fn must not change the map. */
void strmap_each(const struct strmap *m, void (*fn)(const char *key, void *value, void *ctx),
                 void *ctx);

static inline bool strmap_set_num(struct strmap *m, const char *key, intptr_t n)
{
    return strmap_set(m, key, (void *) n);
}
static inline bool strmap_get_num(const struct strmap *m, const char *key, intptr_t *n)
{
    void *p;
    if (!strmap_get(m, key, &p))
        return false;
    *n = (intptr_t) p;
    return true;
}

#endif
