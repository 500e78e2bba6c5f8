/* SPDX-License-Identifier: Apache-2.0 */
/* The actions of the screen as an enum and a table, and the way from keys to them. The rows stand in
 * actions.def. Pure. */
#ifndef MUSTER_UI_ACTION_H
#define MUSTER_UI_ACTION_H

#include <stddef.h>

struct key;

enum ctx {
    CTX_TARGETS = 1, CTX_ACTION = 2, CTX_PROGRESS = 4, CTX_RESULTS = 8, CTX_HISTORY = 16,
    CTX_TEXT = 32, /* overlays that show text: output, help, review, node detail, messages */
    CTX_ALL = 63
};
enum action_flag { AF_MUTATES = 1, AF_BATCH = 2 };

enum action {
    ACT_NONE = 0,
#define ACTION(id, name, help, ctx, keys, footer, flags) ACT_##id,
#include "muster/ui/actions.def"
#undef ACTION
    ACT_COUNT
};

struct action_row {
    enum action id;
    const char *name, *help;
    unsigned contexts;
    const char *keys, *footer;
    unsigned flags;
};
const struct action_row *action_row(enum action a); /* a valid action */
/* The action of a key in a context, or ACT_NONE. */
enum action action_of_key(const struct key *k, enum ctx ctx);
/* The first key of an action, as written ("C-d"); into buf of 16 bytes. */
char *action_key(enum action a, char *buf);

#endif
