/* SPDX-License-Identifier: Apache-2.0 */
/* A program that prints an inventory: started without a shell, with a limit of time and of output,
 * no standard input, and its own process group, so that nothing of it stays. Any thread. */
#ifndef MUSTER_INVENTORY_RUN_H
#define MUSTER_INVENTORY_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct strbuf;

#define RUN_TIMEOUT_MS 30000

struct run_options {
    const char *dir;         /* where it runs; NULL: here */
    const char *const *env;  /* "NAME=VALUE", NULL at the end, over the own environment; or NULL */
    int64_t timeout_ms;      /* 0: RUN_TIMEOUT_MS */
    int *exit_code;          /* set where it ended by itself; or NULL */
    struct strbuf *said;     /* takes its standard error where it ended well; or NULL */
};
/* Appends its standard output to *out (a text, of at most its maximum). 0, or -ERR_VALIDATION with its
 * name and how it ended, with the end of its standard error. */
int run_program(const char *const *argv, const struct run_options *o, struct strbuf *out,
                struct err *e);
/* The path of a program in PATH, or NULL; caller frees. */
char *run_find(const char *name);
/* Starts argv in a session of its own that nobody waits for, its standard files on /dev/null. */
int run_detached(const char *const *argv);

#endif
