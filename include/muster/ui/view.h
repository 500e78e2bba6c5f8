/* SPDX-License-Identifier: Apache-2.0 */
/* A view: one pane or overlay. load() reads the store into a model (only what is visible), draw() is
 * pure, act() and key() change the model or ask the app for something. Main thread only. */
#ifndef MUSTER_UI_VIEW_H
#define MUSTER_UI_VIEW_H

#include "muster/ui/action.h"
#include "muster/ui/key.h"
#include "muster/ui/surface.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct app;
struct view;

enum view_result {
    VIEW_IGNORED, /* the app may handle it */
    VIEW_DONE     /* handled: load and draw again */
};

struct view_ops {
    const char *title; /* "Targets" */
    enum ctx ctx;
    size_t size; /* of the private struct, whose first member is struct view */
    void (*init)(struct view *v);
    void (*fini)(struct view *v);
    /* Brings the model up to date for a body of w x h. Called before draw when something changed. */
    void (*load)(struct view *v, int w, int h);
    void (*draw)(struct view *v, struct surface *s, struct rect body, bool focused);
    enum view_result (*act)(struct view *v, enum action a);
    /* A key before any action, while the view takes text (a filter, a field). */
    enum view_result (*key)(struct view *v, const struct key *k);
    bool (*takes_text)(const struct view *v);
    /* The right part of the title: tabs, counts, filters. Into buf; may be NULL. */
    void (*caption)(struct view *v, char *buf, size_t n);
};

struct view {
    const struct view_ops *ops;
    struct app *app;
};

struct view *view_new(const struct view_ops *ops, struct app *app);
void view_free(struct view *v); /* NULL allowed */

extern const struct view_ops view_targets, view_action, view_progress, view_results, view_history;
/* Overlays: */
extern const struct view_ops view_help, view_review, view_output, view_node, view_messages, view_pick;

#endif
