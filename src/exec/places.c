/* SPDX-License-Identifier: Apache-2.0 */
/* Handshake places by server. One lock guards all; a reactor's inbox lock is taken under it.
 *
 * A grant from another thread travels as a message, and the session may go away meanwhile: then
 * the place goes to the next one at once, and its memory lives until the message has come. */
#include "places.h"

#include "reactor.h"

#include "muster/base/alloc.h"
#include "muster/base/strmap.h"

#include <pthread.h>

struct server {
    char *name;
    unsigned used;
    struct link waiting;
};

struct places {
    pthread_mutex_t lock;
    unsigned per_server;
    struct strmap *servers;
};

struct places *places_new(unsigned per_server)
{
    struct places *p = x_calloc(1, sizeof *p);
    pthread_mutex_init(&p->lock, NULL);
    p->per_server = per_server;
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
    strmap_set(p->servers, name, server);
    return server;
}

struct place *places_ask(struct places *p, const char *name, struct reactor *r,
                         struct session *s, bool *at_once)
{
    struct place *place = x_calloc(1, sizeof *place);
    link_init(&place->link);
    place->reactor = r;
    place->session = s;

    pthread_mutex_lock(&p->lock);
    struct server *server = find_server(p, name);
    place->server = server;
    if (server->used < p->per_server) {
        server->used++;
        place->granted = place->told = true;
    } else {
        link_append(&server->waiting, &place->link);
    }
    *at_once = place->granted;
    pthread_mutex_unlock(&p->lock);
    return place;
}

static void grant_next(struct server *server)
{
    struct place *next = LINK_OF(server->waiting.next, struct place, link);
    link_remove(&next->link);
    next->granted = true;
    server->used++;
    reactor_post(next->reactor, (struct msg){.kind = MSG_PLACE, .place = next});
}

void places_return(struct places *p, struct place *place)
{
    bool keep;

    place->session = NULL;
    pthread_mutex_lock(&p->lock);
    struct server *server = place->server;
    keep = place->granted && !place->told;
    link_remove(&place->link);
    if (place->granted) {
        server->used--;
        if (!link_empty(&server->waiting))
            grant_next(server);
    }
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
