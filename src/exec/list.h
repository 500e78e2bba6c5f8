/* SPDX-License-Identifier: Apache-2.0 */
/* An intrusive, circular, doubly linked list: a member is taken out without looking for it. */
#ifndef MUSTER_EXEC_LIST_H
#define MUSTER_EXEC_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct link {
    struct link *prev, *next; /* both itself when it is in no list */
};

#define LINK_OF(ptr, type, member) ((type *) (void *) ((char *) (ptr) - offsetof(type, member)))

static inline void link_init(struct link *l)
{
    l->prev = l->next = l;
}

static inline bool link_empty(const struct link *l)
{
    return l->next == l;
}

static inline void link_append(struct link *head, struct link *l)
{
    l->prev = head->prev;
    l->next = head;
    head->prev->next = l;
    head->prev = l;
}

/* Harmless when it is in no list. */
static inline void link_remove(struct link *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    link_init(l);
}

/* Moves all of `from` to the end of the empty list `to`. */
static inline void link_take_all(struct link *to, struct link *from)
{
    link_init(to);
    if (link_empty(from))
        return;
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    link_init(from);
}

#endif
