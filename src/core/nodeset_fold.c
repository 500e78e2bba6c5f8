/* SPDX-License-Identifier: Apache-2.0 */
/* Folding names into ranges.
 *
 * A name's skeleton is the name with each run of digits taken out. Among the names of one skeleton
 * those fold together that differ in one run only; which one is chosen so that the fewest terms
 * are left. What comes out is folded again with its brackets as fixed text, so that
 * "a[1-2]b3,a[1-2]b4" becomes "a[1-2]b[3-4]", until nothing folds any more. Every step joins terms
 * that are equal but for one number, so expanding the result always gives the same names. */
#include "muster/core/nodeset.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/base/strmap.h"
#include "muster/base/text.h"

#include <string.h>

#define RUNS_MAX 8   /* later runs of digits count as text */
#define DIGITS_MAX 18 /* longer runs too: expanding takes no more */
#define PASSES_MAX 4

struct run {
    uint16_t at, len;
    uint32_t hash;
};

struct term {
    char *text;        /* owned */
    const char *first; /* the first of its names in natural order; one of the caller's */
    struct run runs[RUNS_MAX];
    int n_runs;
    uint32_t next; /* of the same skeleton, plus 1; 0: the last */
    int pad;       /* while one run is folded: its class of padding and its value */
    uint64_t value;
};

struct terms {
    struct term *v;
    size_t n, cap;
};

static void add_term(struct terms *t, char *text, const char *first)
{
    X_GROW(t->v, t->cap, t->n + 1);
    t->v[t->n++] = (struct term) {.text = text, .first = first};
}

static void terms_clear(struct terms *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->v[i].text);
    free(t->v);
    *t = (struct terms) {NULL, 0, 0};
}

/* Finds the runs of digits outside brackets and writes the skeleton. */
static void find_runs(struct term *t, struct strbuf *skeleton)
{
    const char *s = t->text;
    bool inside = false;

    strbuf_reset(skeleton);
    t->n_runs = 0;
    while (*s) {
        size_t len = strspn(s, "0123456789");
        size_t at = (size_t) (s - t->text);

        if (!len || inside || len > DIGITS_MAX || t->n_runs == RUNS_MAX || at > UINT16_MAX) {
            inside = *s == '[' || (inside && *s != ']');
            len += !len;
            strbuf_add(skeleton, s, len);
        } else {
            struct run *r = &t->runs[t->n_runs++];

            *r = (struct run) {(uint16_t) at, (uint16_t) len, 2166136261u};
            for (size_t i = 0; i < len; i++)
                r->hash = (r->hash ^ (unsigned char) s[i]) * 16777619u;
            strbuf_addch(skeleton, '\1');
        }
        s += len;
    }
}

/* Equal names in all but the run `d`? Terms of one skeleton only. */
static int compare_others(const struct term *a, const struct term *b, int d)
{
    for (int i = 0; i < a->n_runs; i++) {
        const struct run *x = &a->runs[i], *y = &b->runs[i];
        int order;

        if (i == d)
            continue;
        if (x->len != y->len)
            return x->len < y->len ? -1 : 1;
        order = memcmp(a->text + x->at, b->text + y->at, x->len);
        if (order)
            return order;
    }
    return 0;
}

static int by_others(const void *pa, const void *pb, void *ctx)
{
    return compare_others(*(struct term *const *) pa, *(struct term *const *) pb, *(int *) ctx);
}

static int by_number(const void *pa, const void *pb)
{
    const struct term *a = *(struct term *const *) pa, *b = *(struct term *const *) pb;

    if (a->pad != b->pad)
        return a->pad < b->pad ? -1 : 1;
    return a->value < b->value ? -1 : a->value > b->value;
}

static int by_hash(const void *pa, const void *pb)
{
    uint64_t a = *(const uint64_t *) pa, b = *(const uint64_t *) pb;

    return a < b ? -1 : a > b;
}

/* How many terms would be left when the run d folds (by hash: good enough for choosing). */
static size_t count_left(struct term *const *group, size_t n, int d, uint64_t *keys)
{
    size_t left = 1;

    for (size_t k = 0; k < n; k++) {
        keys[k] = 0;
        for (int i = 0; i < group[k]->n_runs; i++) {
            if (i != d)
                keys[k] = (keys[k] ^ group[k]->runs[i].hash) * 0x9e3779b97f4a7c15u;
        }
    }
    qsort(keys, n, sizeof *keys, by_hash);
    for (size_t k = 1; k < n; k++)
        left += keys[k] != keys[k - 1];
    return left;
}

/* The run to fold: the one that leaves the fewest terms, among equals the last; -1 for none. */
static int choose_run(struct term *const *group, size_t n)
{
    int varying[RUNS_MAX], n_varying = 0, best = -1;
    size_t least = SIZE_MAX;
    uint64_t *keys;

    for (int d = 0; d < group[0]->n_runs; d++) {
        for (size_t k = 1; k < n; k++) {
            if (group[k]->runs[d].hash != group[0]->runs[d].hash) {
                varying[n_varying++] = d;
                break;
            }
        }
    }
    if (n_varying <= 1)
        return n_varying ? varying[0] : group[0]->n_runs - 1;
    keys = x_array(NULL, n, sizeof *keys);
    for (int i = 0; i < n_varying; i++) {
        size_t left = count_left(group, n, varying[i], keys);

        if (left <= least) {
            least = left;
            best = varying[i];
        }
    }
    free(keys);
    return best;
}

/* Reads the run d of each term, and its class of padding: the widest leading-zero width among
 * them that writes this number as it stands, so that 08, 09 and 10 are one range. */
static void read_numbers(struct term **v, size_t n, int d)
{
    bool padded[DIGITS_MAX + 1] = {false};

    for (size_t k = 0; k < n; k++) {
        const char *s = v[k]->text + v[k]->runs[d].at;
        int len = v[k]->runs[d].len;

        v[k]->value = 0;
        for (int i = 0; i < len; i++)
            v[k]->value = v[k]->value * 10 + (uint64_t) (s[i] - '0');
        v[k]->pad = len > 1 && s[0] == '0' ? len : 0;
        padded[v[k]->pad] = true;
    }
    for (size_t k = 0; k < n; k++) {
        for (int w = v[k]->pad ? 0 : v[k]->runs[d].len; w > 0 && !v[k]->pad; w--)
            v[k]->pad = padded[w] ? w : 0;
    }
}

static void add_number(struct strbuf *out, const struct term *t, int d)
{
    strbuf_add(out, t->text + t->runs[d].at, t->runs[d].len);
}

/* Appends "01-20,22" of terms sorted by class and value, none twice. */
static void add_ranges(struct strbuf *out, struct term *const *v, size_t n, int d)
{
    for (size_t k = 0; k < n;) {
        size_t last = k;

        while (last + 1 < n && v[last + 1]->pad == v[k]->pad &&
               v[last + 1]->value == v[last]->value + 1)
            last++;
        /* A number without leading zeros at the start would drop those of what follows; it has
         * none then, as the values only rise within a class. */
        if (k)
            strbuf_addch(out, ',');
        add_number(out, v[k], d);
        if (last > k) {
            strbuf_addch(out, '-');
            add_number(out, v[last], d);
        }
        k = last + 1;
    }
}

/* Folds terms that are equal but for run d into one. */
static void fold_run(struct term **v, size_t n, int d, struct terms *out)
{
    const struct term *t;
    const char *first = v[0]->first;
    struct strbuf text;
    size_t kept = 1;

    for (size_t k = 1; k < n; k++) {
        if (text_natcmp(v[k]->first, first) < 0)
            first = v[k]->first;
    }
    read_numbers(v, n, d);
    qsort(v, n, sizeof *v, by_number);
    for (size_t k = 1; k < n; k++) {
        if (by_number(&v[k], &v[kept - 1]))
            v[kept++] = v[k];
    }
    t = v[0];
    if (kept == 1) {
        add_term(out, x_strdup(t->text), first);
        return;
    }
    strbuf_init(&text, 0);
    strbuf_add(&text, t->text, t->runs[d].at);
    strbuf_addch(&text, '[');
    add_ranges(&text, v, kept, d);
    strbuf_addch(&text, ']');
    strbuf_adds(&text, t->text + t->runs[d].at + t->runs[d].len);
    add_term(out, strbuf_steal(&text), first);
}

/* Folds the terms of one skeleton. */
static void fold_group(struct term **v, size_t n, struct terms *out)
{
    int d = n > 1 ? choose_run(v, n) : -1;

    if (d < 0) { /* one, or the same name several times */
        add_term(out, x_strdup(v[0]->text), v[0]->first);
        return;
    }
    qsort_r(v, n, sizeof *v, by_others, &d);
    for (size_t k = 0; k < n;) {
        size_t end = k + 1;

        while (end < n && !compare_others(v[k], v[end], d))
            end++;
        fold_run(v + k, end - k, d, out);
        k = end;
    }
}

/* One pass over all terms; groups them by skeleton, in order of first places. */
static void fold_pass(struct terms *in, struct terms *out)
{
    struct strmap *heads = strmap_new();
    uint32_t *head = NULL, *tail = NULL;
    size_t n_groups = 0, head_cap = 0, tail_cap = 0;
    struct term **v = x_array(NULL, in->n, sizeof(struct term *));
    struct strbuf skeleton;

    strbuf_init(&skeleton, 0);
    for (size_t i = 0; i < in->n; i++) {
        intptr_t g;

        find_runs(&in->v[i], &skeleton);
        if (strmap_get_num(heads, skeleton.s, &g)) {
            in->v[tail[g]].next = (uint32_t) i + 1;
            tail[g] = (uint32_t) i;
            continue;
        }
        strmap_set_num(heads, skeleton.s, (intptr_t) n_groups);
        X_GROW(head, head_cap, n_groups + 1);
        X_GROW(tail, tail_cap, n_groups + 1);
        head[n_groups] = tail[n_groups] = (uint32_t) i;
        n_groups++;
    }
    for (size_t g = 0; g < n_groups; g++) {
        size_t n = 0;

        for (uint32_t i = head[g] + 1; i; i = in->v[i - 1].next)
            v[n++] = &in->v[i - 1];
        fold_group(v, n, out);
    }
    strbuf_free(&skeleton);
    free(v);
    free(head);
    free(tail);
    strmap_free(heads);
}

static int by_first(const void *a, const void *b)
{
    return text_natcmp(((const struct term *) a)->first, ((const struct term *) b)->first);
}

/* As much of a term with one bracket as fits, after a comma or none: whole ranges, then the
 * bracket's end. */
static bool add_part(struct strbuf *out, bool comma, const char *text, size_t cols)
{
    const char *open = strchr(text, '['), *close = open ? strchr(open, ']') : NULL;
    const char *cut = close;
    size_t around;

    if (!close || strchr(close, '[') || memchr(open, ':', (size_t) (close - open)))
        return false;
    around = text_nwidth(text, (size_t) (open - text)) + text_width(close);
    if (around >= cols)
        return false;
    if ((size_t) (close - open) > cols - around)
        cut = open + (cols - around);
    while (cut > open && (*cut != ',' || cut == close))
        cut--;
    if (cut == open)
        return false;
    if (comma)
        strbuf_addch(out, ',');
    strbuf_add(out, text, (size_t) (cut - text));
    strbuf_adds(out, close);
    return true;
}

static void write_terms(struct strbuf *out, const struct terms *t, size_t max)
{
    static const char more[] = ",...";
    size_t cols = 0, total = 0;

    for (size_t i = 0; i < t->n && total <= max; i++)
        total += text_width(t->v[i].text) + (i != 0);
    if (total <= max)
        max = 0;
    for (size_t i = 0; i < t->n; i++) {
        size_t width = text_width(t->v[i].text) + (i != 0);

        if (!max || cols + width + sizeof more - 1 <= max) {
            if (i)
                strbuf_addch(out, ',');
            strbuf_adds(out, t->v[i].text);
            cols += width;
            continue;
        }
        /* What is left for a part of this term, its comma and the mark taken off. */
        if (max > cols + (i != 0) + sizeof more - 1 &&
            add_part(out, i != 0, t->v[i].text, max - cols - (i != 0) - (sizeof more - 1)))
            cols++;
        strbuf_adds(out, cols ? more : max >= 3 ? "..." : "");
        return;
    }
}

void nodeset_fold_names(struct strbuf *out, const char *const *names, size_t n, size_t max)
{
    struct terms now = {NULL, 0, 0};

    for (size_t i = 0; i < n; i++)
        add_term(&now, x_strdup(names[i]), names[i]);
    for (int pass = 0; pass < PASSES_MAX && now.n > 1; pass++) {
        struct terms next = {NULL, 0, 0};
        size_t before = now.n;

        fold_pass(&now, &next);
        terms_clear(&now);
        now = next;
        if (now.n == before)
            break;
    }
    if (now.n)
        qsort(now.v, now.n, sizeof *now.v, by_first);
    write_terms(out, &now, max);
    terms_clear(&now);
}

void nodeset_fold(struct strbuf *out, const struct nodeset *s, size_t max)
{
    size_t n = nodeset_count(s);
    const char **names = x_array(NULL, n, sizeof(char *));

    for (size_t i = 0; i < n; i++)
        names[i] = nodeset_at(s, i);
    nodeset_fold_names(out, names, n, max);
    free(names);
}
