/* SPDX-License-Identifier: Apache-2.0 */
/* The task or plan of the form: what was picked, and a field for each of its parameters. Main thread. */
#ifndef MUSTER_UI_FORM_WORK_H
#define MUSTER_UI_FORM_WORK_H

#include "muster/core/batch.h"
#include "muster/service/tasks.h"
#include "muster/ui/app.h"

#include <stdbool.h>
#include <stddef.h>

struct secret;

struct form_param {
    struct field field;
    struct secret *secret; /* of a sensitive one, in place of the field; NULL: not given */
};
struct form_work {
    enum action_type type; /* TASK or PLAN */
    char *typed;           /* by what it was picked */
    struct task task;
    struct plan plan;
    struct form_param *v; /* one a parameter; one for all where there is no metadata */
    size_t n;
    bool told; /* it was to run: what is missing is a fault by now */
};

/* The form's, where it is of the form's type; else NULL. */
struct form_work *form_work_of(const struct form *f);
/* Puts it in place of the one before. 0, or an error, and nothing is changed. */
int form_work_load(struct app *a, enum action_type type, const char *name, struct err *e);
void form_work_free(struct form_work *w); /* NULL allowed */
void form_work_forget(struct form_work *w); /* the sensitive ones; NULL allowed */

const struct params *form_work_params(const struct form_work *w);
/* NULL: the field of all parameters of one without metadata. */
const struct param *form_work_param(const struct form_work *w, size_t i);
/* Those below are of one parameter; the caller frees the texts. */
char *form_work_label(const struct form_work *w, size_t i);
char *form_work_shown(const struct form_work *w, size_t i); /* for the field where it is empty */
char *form_work_hint(const struct form_work *w, size_t i);  /* its name, type and description */
char *form_work_fault(const struct form_work *w, size_t i); /* NULL: none */
/* The next or the previous choice. False: it has none. */
bool form_work_turn(struct form_work *w, size_t i, int by);
size_t form_work_faults(const struct form_work *w, size_t *first);
/* The first that is required, sensitive, and not given; else n. */
size_t form_work_unasked(const struct form_work *w);
/* "3 steps: fetch, install, restart", or what a task says of itself; caller frees. */
char *form_work_about(const struct form_work *w);

int form_work_request(const struct form_work *w, struct work_request *out, struct err *e);
/* Fills the fields with what a request has. */
void form_work_fill(struct form_work *w, const struct work_request *from);

#endif
