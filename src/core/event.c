/* SPDX-License-Identifier: Apache-2.0 */
/* Events of executions: making, weighing and freeing them. */
#include "muster/core/event.h"

#include "muster/base/alloc.h"

#include <string.h>

struct event *event_new(enum event_kind kind, int64_t batch, uint32_t position)
{
    struct event *ev = x_calloc(1, sizeof *ev);

    ev->kind = kind;
    ev->batch = batch;
    ev->position = position;
    ev->exit_code = -1;
    return ev;
}

void event_free(struct event *ev)
{
    if (!ev)
        return;
    free(ev->data[0]);
    free(ev->data[1]);
    free(ev->error);
    free(ev->note);
    free(ev->transport);
    free(ev->host);
    free(ev->user);
    free(ev->signal);
    free(ev->facts);
    free(ev);
}

size_t event_weight(const struct event *ev)
{
    const char *const texts[] = {ev->error, ev->note, ev->transport, ev->host, ev->user,
                                 ev->signal, ev->facts};
    size_t weight = sizeof *ev + ev->len[0] + ev->len[1];

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        weight += texts[i] ? strlen(texts[i]) + 1 : 0;
    return weight;
}
