/* SPDX-License-Identifier: Apache-2.0 */
/* Finding text in outputs of the store, read in pieces. */
#ifndef MUSTER_UI_OUTPUT_FIND_H
#define MUSTER_UI_OUTPUT_FIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader;

/* The first place of the text (smart-case; output may hold NULs) in bytes [from, from + len). */
bool output_find(struct reader *r, int64_t id, uint64_t from, uint64_t len, const char *needle,
                 uint64_t *at);
/* The last place that starts in bytes [from, before). */
bool output_find_last(struct reader *r, int64_t id, uint64_t from, uint64_t before,
                      const char *needle, uint64_t *at);

#endif
