/* SPDX-License-Identifier: Apache-2.0 */
/* The table of actions, and the way from a key to one. */
#include "muster/ui/action.h"

#include "muster/ui/key.h"

#include <stdbool.h>
#include <string.h>

static const struct action_row rows[ACT_COUNT] = {
    [ACT_NONE] = {ACT_NONE, "", "", 0, "", "", 0},
#define ACTION(id, name, help, ctx, keys, footer, flags)                                       \
    [ACT_##id] = {ACT_##id, name, help, ctx, keys, footer, flags},
#include "muster/ui/actions.def"
#undef ACTION
};

const struct action_row *action_row(enum action a)
{
    return &rows[a];
}

/* The next word of a list of keys into buf; NULL at the end, else where to go on. */
static const char *next_key(const char *p, char *buf)
{
    size_t n;

    while (*p == ' ')
        p++;
    n = strcspn(p, " ");
    if (n == 0 || n > 15)
        return NULL;
    memcpy(buf, p, n);
    buf[n] = '\0';
    return p + n;
}

enum action action_of_key(const struct key *k, enum ctx ctx)
{
    char word[16];
    struct key want;

    for (int a = 1; a < ACT_COUNT; a++) {
        if (!(rows[a].contexts & ctx))
            continue;
        const char *p = rows[a].keys;
        while ((p = next_key(p, word)) != NULL)
            if (key_parse(word, &want) && key_equal(&want, k))
                return (enum action) a;
    }
    return ACT_NONE;
}

char *action_key(enum action a, char *buf)
{
    buf[0] = '\0';
    next_key(rows[a].keys, buf);
    return buf;
}
