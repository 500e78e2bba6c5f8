/* SPDX-License-Identifier: Apache-2.0 */
/* A view of plain lines that scrolls and searches: the ground of the help and the messages. */
#ifndef MUSTER_UI_TEXT_VIEW_H
#define MUSTER_UI_TEXT_VIEW_H

#include "muster/base/vec.h"
#include "muster/ui/list.h"
#include "muster/ui/view.h"
#include "vutil.h"

struct text_line {
    char *text;
    enum role role;
};
struct text_view {
    struct view view;
    struct text_line *lines;
    size_t n, cap;
    struct list list;
    struct prompt find;
    size_t from; /* where the search began */
};
void text_view_init(struct view *v);
void text_view_fini(struct view *v);
void text_view_reset(struct text_view *t);
void text_view_add(struct text_view *t, enum role role, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void text_view_draw(struct view *v, struct surface *s, struct rect body, bool focused);
enum view_result text_view_act(struct view *v, enum action a);
enum view_result text_view_key(struct view *v, const struct key *k);
bool text_view_takes_text(const struct view *v);

#endif
