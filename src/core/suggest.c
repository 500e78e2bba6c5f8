/* SPDX-License-Identifier: Apache-2.0 */
/* The nearest word of a list, by the restricted edit distance. */
#include "muster/core/suggest.h"

#include <ctype.h>
#include <string.h>

/* LIMIT: longer words are not compared; keys, verbs and group names are short. */
#define WORD_MAX 64

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;

    return m < c ? m : c;
}

static int low(char c)
{
    return tolower((unsigned char) c);
}

static size_t distance(const char *a, size_t la, const char *b, size_t lb)
{
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *prev = rows[1], *row = rows[2];

    for (size_t j = 0; j <= lb; j++)
        prev[j] = j;
    memset(before, 0, sizeof rows[0]);
    for (size_t i = 1; i <= la; i++) {
        size_t *spare = before;
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t cost = low(a[i - 1]) != low(b[j - 1]);
            row[j] = min3(prev[j] + 1, row[j - 1] + 1, prev[j - 1] + cost);
            if (i > 1 && j > 1 && low(a[i - 1]) == low(b[j - 2]) &&
                low(a[i - 2]) == low(b[j - 1]) && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
        before = prev;
        prev = row;
        row = spare;
    }
    return prev[lb];
}

const char *suggest_nearest(const char *word, const char *const *words, size_t n)
{
    size_t len = strlen(word), allowed = len / 3 ? len / 3 : 1, best = allowed + 1;
    const char *found = NULL;

    if (len == 0 || len > WORD_MAX)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t other = strlen(words[i]), d;
        if (other == 0 || other > WORD_MAX || other > len + allowed || len > other + allowed)
            continue;
        d = distance(word, len, words[i], other);
        if (d < best) {
            best = d;
            found = words[i];
        }
    }
    return found;
}
