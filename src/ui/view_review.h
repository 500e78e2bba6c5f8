/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the review share. Main thread. */
#ifndef MUSTER_UI_VIEW_REVIEW_H
#define MUSTER_UI_VIEW_REVIEW_H

#include "vutil.h"

#include "muster/base/vec.h"
#include "muster/service/service.h"
#include "muster/ui/view.h"

struct review_view {
    struct view v;
    struct batch_review review;
    bool ok;        /* reviewed without an error */
    char *error;    /* of the review, or of the start */
    char *estimate; /* or NULL */
    struct strv lines;
    enum role *roles;
    size_t n_roles, cap_roles;
    size_t top;
    int height; /* rows for lines */
    int width;
    struct field count;
};

/* How long it may take, from the newest ended batch with the same action, into r->estimate. */
void review_estimate(struct review_view *r);
/* Makes the lines of what is about to run, for r->width. */
void review_lines(struct review_view *r);

#endif
