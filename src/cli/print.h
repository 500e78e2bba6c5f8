/* SPDX-License-Identifier: Apache-2.0 */
/* Results for people and for pipes: labelled lines, folded classes, the last lines of a run. Remote
 * text is made harmless where it goes to a terminal, and left as it is in a pipe. */
#ifndef MUSTER_SRC_CLI_PRINT_H
#define MUSTER_SRC_CLI_PRINT_H

#include "muster/base/err.h"
#include "muster/base/vec.h"
#include "muster/core/batch.h"

#include <stdbool.h>

struct output_class;
struct reader;
struct strbuf;

struct printer {
    struct reader *reader;
    int64_t number;
    bool label;    /* "node: " before each line */
    bool out_tty, err_tty;
    bool answers;  /* of a task or a plan: JSON on stdout is shown as what it says */
    struct strv steps; /* of a plan: their titles */
    bool gone;     /* standard output takes no more */
    struct err lost; /* why, unless its reader has just left early (`| head`) */
};
void printer_init(struct printer *p, struct reader *r, int64_t number, bool label);
/* Returns rc, or the error of standard output where rc is none. Call it once, at the end. */
int printer_close(struct printer *p, int rc, struct err *e);

/* One stream with the node's label (or NULL) before each line. told: what went wrong is printed beside it. */
int print_stream(struct printer *p, int fd, const char *label, int64_t id, bool told, struct err *e);
/* One ended execution: stdout to standard output, stderr to standard error, then a line with what
 * went wrong, where something did. */
int print_execution(struct printer *p, const struct execution *x, struct err *e);
/* One class, under its folded node set; or all, largest first. */
int print_class(struct printer *p, const struct output_class *c, struct err *e);
int print_classes(struct printer *p, struct err *e);
/* Each class of stdout against the largest one, by diff(1). */
int print_diff(struct printer *p, struct err *e);
/* "unreachable 3: web[07,11-12]", "exit code 3 (2): ..", a line for each reason of b, for people. */
int reasons_text(struct reader *r, const struct batch *b, struct strbuf *out, struct err *e);
/* The same on standard error. */
int print_reasons(struct printer *p, const struct batch *b, struct err *e);

/* Writes text to stdout or stderr (fd 1 or 2), sanitised when that is a terminal. */
void print_text(struct printer *p, int fd, const char *s, size_t n);

#endif
