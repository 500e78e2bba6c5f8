/* SPDX-License-Identifier: Apache-2.0 */
/* A table for people: columns as wide as their widest cell, the last as long as it is. */
#ifndef MUSTER_SRC_CLI_TABLE_H
#define MUSTER_SRC_CLI_TABLE_H

#include <stddef.h>

#define TABLE_COLUMNS 10

struct table {
    size_t columns;
    char **cells; /* rows * columns, sanitised, owned */
    size_t n, cap;
};
/* Adds a row of t->columns strings; NULL is "". They are copied and sanitised. */
void table_row(struct table *t, const char *const *cells);
void table_print(struct table *t); /* on standard output */
void table_free(struct table *t);

#endif
