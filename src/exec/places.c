/* SPDX-License-Identifier: Apache-2.0 */
/* Handshake places by server, and in all. One lock guards all; a reactor's inbox lock is taken
 * under it.
 *
 * A server that has a place of its own for somebody waits with that one until there is one in all
 * too: such servers take turns. A handshake that takes long (a host that hangs) keeps its server's
 * place, but no longer counts in all, so that hosts that hang never hold back the others: whoever
 * waits looks from time to time.
 *
 * A grant from another thread travels as a message, and the session may go away meanwhile: then
 * the place goes to the next one at once, and its memory lives until the message has come. */
#include "places.h"

#include "reactor.h"

#include "muster/base/alloc.h"
#include "muster/base/strmap.h"

#include <pthread.h>

#define SLOW_MS 1000

struct server {
    char *name;
    unsigned used;
    struct link waiting;
    struct link turn; /* among the servers that could go on but for the limit in all */
};

struct places {
    pthread_mutex_t lock;
    unsigned per_server, in_all;
    unsigned used;      /* that count in all */
    struct link counted; /* those places, the oldest first */
    struct link turns;
    struct strmap *servers;
};

struct places *places_new(unsigned per_server, unsigned in_all)
{
    struct places *p = x_calloc(1, sizeof *p);
    pthread_mutex_init(&p->lock, NULL);
    p->per_server = per_server;
    p->in_all = in_all;
    link_init(&p->counted);
    link_init(&p->turns);
    p->servers = strmap_new();
    return p;
}

static void drop_server(const char *name, void *value, void *ctx)
{
    struct server *server = value;
    free(server->name);
    free(server);
}

void places_free(struct places *p)
{
    if (!p)
        return;
    strmap_each(p->servers, drop_server, NULL);
    strmap_free(p->servers);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static struct server *find_server(struct places *p, const char *name)
{
    void *found;
    if (strmap_get(p->servers, name, &found))
        return found;
    struct server *server = x_calloc(1, sizeof *server);
    server->name = x_strdup(name);
    link_init(&server->waiting);
    link_init(&server->turn);
    strmap_set(p->servers, name, server);
    return server;
}

/* The rest is with the lock held, but for what places.h declares. */

static bool may_go(const struct places *p, const struct server *server)
{
    return !link_empty(&server->waiting) && server->used < p->per_server;
}

static void uncount(struct places *p, struct place *place)
{
    if (link_empty(&place->counted))
        return;
    link_remove(&place->counted);
    p->used--;
}

static void forget_slow(struct places *p, int64_t now)
{
    while (!link_empty(&p->counted)) {
        struct place *oldest = LINK_OF(p->counted.next, struct place, counted);
        if (now - oldest->since_ms < SLOW_MS)
            return;
        uncount(p, oldest);
    }
}

static void grant(struct places *p, struct place *place, int64_t now)
{
    link_remove(&place->link);
    place->granted = true;
    place->since_ms = now;
    place->server->used++;
    link_append(&p->counted, &place->counted);
    p->used++;
}

/* To those who wait, as far as both limits allow; they are told but for `self`. */
static void go_on(struct places *p, struct place *self, int64_t now)
{
    forget_slow(p, now);
    while (p->used < p->in_all && !link_empty(&p->turns)) {
        struct server *server = LINK_OF(p->turns.next, struct server, turn);
        struct place *next = LINK_OF(server->waiting.next, struct place, link);
        link_remove(&server->turn);
        grant(p, next, now);
        if (next == self)
            next->told = true;
        else
            reactor_post(next->reactor, (struct msg){.kind = MSG_PLACE, .place = next});
        if (may_go(p, server))
            link_append(&p->turns, &server->turn);
    }
}

static void take_turn(struct places *p, struct server *server)
{
    if (may_go(p, server) && link_empty(&server->turn))
        link_append(&p->turns, &server->turn);
    else if (!may_go(p, server))
        link_remove(&server->turn);
}

struct place *places_ask(struct places *p, const char *name, struct reactor *r,
                         struct session *s, bool *at_once)
{
    struct place *place = x_calloc(1, sizeof *place);
    link_init(&place->link);
    link_init(&place->counted);
    place->reactor = r;
    place->session = s;

    pthread_mutex_lock(&p->lock);
    struct server *server = find_server(p, name);
    place->server = server;
    link_append(&server->waiting, &place->link);
    take_turn(p, server);
    go_on(p, place, reactor_now(r));
    *at_once = place->granted;
    pthread_mutex_unlock(&p->lock);
    return place;
}

void places_look(struct places *p, int64_t now)
{
    pthread_mutex_lock(&p->lock);
    go_on(p, NULL, now);
    pthread_mutex_unlock(&p->lock);
}

void places_return(struct places *p, struct place *place)
{
    bool keep;

    place->session = NULL;
    pthread_mutex_lock(&p->lock);
    struct server *server = place->server;
    keep = place->granted && !place->told;
    link_remove(&place->link);
    uncount(p, place);
    if (place->granted)
        server->used--;
    take_turn(p, server);
    go_on(p, NULL, reactor_now(place->reactor));
    if (!server->used && link_empty(&server->waiting)) {
        strmap_del(p->servers, server->name);
        drop_server(NULL, server, NULL);
    }
    pthread_mutex_unlock(&p->lock);
    if (!keep)
        free(place);
}

struct session *places_told(struct places *p, struct place *place)
{
    pthread_mutex_lock(&p->lock);
    place->told = true;
    pthread_mutex_unlock(&p->lock);
    struct session *s = place->session;
    if (!s)
        free(place);
    return s;
}
