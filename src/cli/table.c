/* SPDX-License-Identifier: Apache-2.0 */
/* Tables for people. */
#include "table.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"

#include <stdio.h>
#include <stdlib.h>

void table_row(struct table *t, const char *const *cells)
{
    X_GROW(t->cells, t->cap, t->n + t->columns);
    for (size_t i = 0; i < t->columns; i++)
        t->cells[t->n++] = text_clean(cells[i]);
}

void table_print(struct table *t)
{
    size_t width[TABLE_COLUMNS] = {0};
    for (size_t i = 0; i < t->n; i++) {
        size_t w = text_width(t->cells[i]);
        if (w > width[i % t->columns])
            width[i % t->columns] = w;
    }
    struct strbuf b;
    strbuf_init(&b, 0);
    for (size_t i = 0; i < t->n; i++) {
        bool last = i % t->columns == t->columns - 1;
        if (last)
            strbuf_adds(&b, t->cells[i]);
        else
            text_fit(&b, t->cells[i], width[i % t->columns], true);
        if (!last) {
            strbuf_adds(&b, "  ");
            continue;
        }
        while (b.len && b.s[b.len - 1] == ' ')
            b.s[--b.len] = '\0';
        puts(b.s);
        strbuf_reset(&b);
    }
    strbuf_free(&b);
}

void table_free(struct table *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->cells[i]);
    free(t->cells);
}
