/* SPDX-License-Identifier: Apache-2.0 */
/* The classes of equal results as a list whose classes open to their nodes: which row is which, and
 * reading those that show. */
#include "class_list.h"
#include "vutil.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/task.h"
#include "muster/ui/app.h"

#include <stdio.h>
#include <string.h>

#define ANSWER_MAX 65536 /* bytes of a task's JSON that are read for its first line */
#define RELOCATE_MAX 200 /* classes looked through for the open ones, after a change */

enum { COL_COUNT, COL_RC, COL_SIZE, COL_LINE, COL_NODES, COL_N };

static void drop(struct class_list *l)
{
    if (l->page)
        classes_free(l->page, l->n_page);
    l->page = NULL;
    l->n_page = 0;
    for (size_t i = 0; i < l->n_nodes; i++)
        executions_free(l->nodes[i].x, l->nodes[i].n);
    l->n_nodes = 0;
    l->n_rows = 0;
}

void class_list_free(struct class_list *l)
{
    drop(l);
    free(X_STEAL(l->error));
}

static struct class_key key_of(const struct output_class *c)
{
    return (struct class_key) {c->exit_code, c->reason, {c->out_id[0], c->out_id[1]}};
}

static bool same_class(const struct class_key *a, const struct class_key *b)
{
    return a->exit_code == b->exit_code && a->reason == b->reason &&
           a->out_id[0] == b->out_id[0] && a->out_id[1] == b->out_id[1];
}

/* --- which row is which --- */

static size_t row_count(const struct class_list *l)
{
    size_t n = l->n_classes;
    for (size_t i = 0; i < l->n_open; i++)
        n += l->open[i].count;
    return n;
}

static size_t row_of_class(const struct class_list *l, size_t cls)
{
    size_t row = cls;
    for (size_t i = 0; i < l->n_open && l->open[i].cls < cls; i++)
        row += l->open[i].count;
    return row;
}

static struct class_row row_at(const struct class_list *l, size_t row)
{
    size_t extra = 0;
    for (size_t i = 0; i < l->n_open; i++) {
        size_t head = l->open[i].cls + extra;
        if (row <= head)
            break;
        if (row <= head + l->open[i].count)
            return (struct class_row) {l->open[i].cls, true, row - head - 1, NULL, NULL};
        extra += l->open[i].count;
    }
    return (struct class_row) {row - extra, false, 0, NULL, NULL};
}

static struct class_open *find_open(const struct class_list *l, size_t cls)
{
    for (size_t i = 0; i < l->n_open; i++)
        if (l->open[i].cls == cls)
            return (struct class_open *) &l->open[i];
    return NULL;
}

const struct class_row *class_list_at(const struct class_list *l)
{
    size_t c = l->list.cursor;
    return c >= l->list.top && c - l->list.top < l->n_rows ? &l->rows[c - l->list.top] : NULL;
}

static void remember(struct class_list *l)
{
    const struct class_row *r = class_list_at(l);
    l->has_at = r && r->c;
    if (!l->has_at)
        return;
    l->at = key_of(r->c);
    l->at_node = r->is_node && r->x;
    if (l->at_node)
        l->at_position = r->x->position;
}

/* --- reading --- */

static bool fail(struct class_list *l, struct err *e)
{
    free(l->error);
    l->error = text_clean(e->msg);
    err_clear(e);
    return false;
}

/* While the batch runs classes grow and change places: the open ones, and the cursor's, are looked
 * for anew; what is not found is closed. */
static bool relocate(struct class_list *l, struct app *a)
{
    struct output_class *c = NULL;
    struct err e = ERR_INIT;
    size_t n = 0, kept = 0;
    if (l->n_open == 0 && !l->has_at)
        return true;
    if (reader_classes(a->reader, l->batch, 0, RELOCATE_MAX, &c, &n, &l->n_classes, &e) != 0)
        return fail(l, &e);
    struct class_open was[CLASSES_OPEN_MAX];
    size_t n_was = l->n_open, cursor_class = SIZE_MAX;
    memcpy(was, l->open, sizeof was);
    for (size_t i = 0; i < n; i++) {
        struct class_key k = key_of(&c[i]);
        if (l->has_at && same_class(&k, &l->at))
            cursor_class = i;
        for (size_t j = 0; j < n_was; j++)
            if (same_class(&k, &was[j].key))
                l->open[kept++] = (struct class_open) {k, i, c[i].count};
    }
    for (size_t j = 0; j < n_was; j++)
        if (was[j].cls >= RELOCATE_MAX && kept < CLASSES_OPEN_MAX)
            l->open[kept++] = was[j];
    size_t child = row_at(l, l->list.cursor).child;
    l->n_open = kept;
    list_set_count(&l->list, row_count(l));
    if (!l->moved) {
        list_move_to(&l->list, 0);
    } else if (cursor_class != SIZE_MAX) {
        struct class_open *o = find_open(l, cursor_class);
        size_t row = row_of_class(l, cursor_class);
        if (l->at_node && o)
            row += 1 + (child < o->count ? child : o->count - 1);
        list_move_to(&l->list, row);
    }
    classes_free(c, n);
    return true;
}

/* What a task says of itself stands in its JSON: that is its first line then. */
static void answer_of(struct app *a, struct output_class *c)
{
    struct task_output o;
    char *raw = NULL;
    size_t n = 0;
    if (c->out_size[0] == 0 || c->out_size[0] > ANSWER_MAX || !c->first_line ||
        c->first_line[0] != '{' ||
        reader_output_all(a->reader, c->out_id[0], ANSWER_MAX, &raw, &n, NULL) != 0)
        return;
    if (task_output_parse(raw, n, &o)) {
        const char *text = o.error ? o.error : o.text && *o.text ? o.text : NULL;
        if (!text && a->open.type == ACTION_TYPE_TASK)
            text = o.rest;
        if (text) {
            free(c->first_line);
            c->first_line_len = strcspn(text, "\n");
            c->first_line = x_strndup(text, c->first_line_len);
        }
        task_output_clear(&o);
    }
    free(raw);
}

static struct output_class *class_at(const struct class_list *l, size_t cls)
{
    return cls >= l->page_first && cls - l->page_first < l->n_page ? &l->page[cls - l->page_first]
                                                                   : NULL;
}

static void load_nodes(struct class_list *l, struct app *a, const struct class_open *o,
                       size_t first, size_t n, size_t out_row)
{
    struct exec_filter f = EXEC_FILTER_ANY;
    struct class_nodes *b = &l->nodes[l->n_nodes];
    f.class_set = true;
    f.class_exit = o->key.exit_code;
    f.class_reason = o->key.reason;
    memcpy(f.class_out, o->key.out_id, sizeof f.class_out);
    b->x = NULL;
    b->n = 0;
    b->first = first;
    if (reader_executions(a->reader, l->batch, &f, SORT_NAME, false, first, n, &b->x, &b->n, NULL,
                          NULL) != 0)
        return;
    l->n_nodes++;
    for (size_t i = 0; i < b->n && i < n; i++)
        l->rows[out_row + i].x = &b->x[i];
}

void class_list_load(struct class_list *l, struct app *a, int64_t batch, int height)
{
    struct err e = ERR_INIT;
    size_t h = height > 0 ? (size_t) height : 0;
    if (h > CLASS_ROWS_MAX)
        h = CLASS_ROWS_MAX;
    if (l->batch != batch) {
        class_list_free(l);
        memset(l, 0, sizeof *l);
        l->batch = batch;
        l->generation = -1;
    }
    list_set_height(&l->list, h);
    bool moved = l->generation != a->data_generation;
    if (batch == 0 || h == 0 || (!moved && !l->stale && l->loaded_top == l->list.top &&
                                 l->loaded_height == h))
        return;
    free(X_STEAL(l->error));
    drop(l);
    if (moved && !relocate(l, a))
        return;
    size_t first = row_at(l, l->list.top).cls;
    if (reader_classes(a->reader, batch, first, h, &l->page, &l->n_page, &l->n_classes, &e) != 0) {
        fail(l, &e);
        return;
    }
    bool answers = a->open.type != ACTION_TYPE_COMMAND && !a->open.is_copy;
    for (size_t i = 0; answers && i < l->n_page; i++)
        answer_of(a, &l->page[i]);
    l->page_first = first;
    list_set_count(&l->list, row_count(l));
    l->generation = a->data_generation;
    l->stale = false;
    l->loaded_top = l->list.top;
    l->loaded_height = h;
    for (size_t i = 0; i < h && l->list.top + i < l->list.count; i++) {
        l->rows[i] = row_at(l, l->list.top + i);
        l->rows[i].c = class_at(l, l->rows[i].cls);
        l->n_rows = i + 1;
    }
    for (size_t i = 0; i < l->n_rows;) {
        size_t n = 1;
        const struct class_row *r = &l->rows[i];
        if (r->is_node) {
            while (i + n < l->n_rows && l->rows[i + n].is_node && l->rows[i + n].cls == r->cls)
                n++;
            load_nodes(l, a, find_open(l, r->cls), r->child, n, i);
        }
        i += n;
    }
    remember(l);
}

/* --- keys --- */

static void close_class(struct class_list *l, size_t cls)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->n_open; i++)
        if (l->open[i].cls != cls)
            l->open[kept++] = l->open[i];
    l->n_open = kept;
}

static void open_class(struct class_list *l, size_t cls, const struct output_class *c)
{
    size_t i = l->n_open;
    if (l->n_open == CLASSES_OPEN_MAX)
        return;
    for (; i > 0 && l->open[i - 1].cls > cls; i--)
        l->open[i] = l->open[i - 1];
    l->open[i] = (struct class_open) {key_of(c), cls, c->count};
    l->n_open++;
}

void class_list_toggle(struct class_list *l, bool open)
{
    const struct class_row *r = class_list_at(l);
    if (!r || !r->c)
        return;
    size_t cls = r->cls;
    bool is_open = find_open(l, cls) != NULL;
    if (open && !is_open)
        open_class(l, cls, r->c);
    else if (!open && is_open)
        close_class(l, cls);
    list_set_count(&l->list, row_count(l));
    l->stale = true;
    class_list_goto(l, cls);
}

void class_list_goto(struct class_list *l, size_t cls)
{
    list_move_to(&l->list, row_of_class(l, cls));
    l->has_at = false;
    l->moved = true;
}

bool class_list_act(struct class_list *l, enum action act)
{
    const struct class_row *r = class_list_at(l);
    if (list_act(&l->list, act)) {
        l->moved = act != ACT_TOP;
        remember(l);
        return true;
    }
    if (act == ACT_COLLAPSE) {
        class_list_toggle(l, false);
        return true;
    }
    if (act == ACT_EXPAND) {
        if (r && !r->is_node && find_open(l, r->cls))
            list_act(&l->list, ACT_DOWN);
        else
            class_list_toggle(l, true);
        return true;
    }
    return false;
}

/* --- drawing --- */

static char *line_of(const struct output_class *c)
{
    struct strbuf b;
    strbuf_init(&b, 4096);
    /* What was not kept may differ: that they are equal is true of what was. */
    if (c->truncated[0] || c->truncated[1])
        strbuf_adds(&b, "(truncated) ");
    size_t bare = b.len;
    if (c->status == EXEC_FAILED && c->reason != REASON_EXIT && c->reason != REASON_NONE)
        strbuf_addf(&b, "%s%s", reason_name(c->reason), c->error || c->first_line_len ? ": " : "");
    if (c->status == EXEC_FAILED && c->reason != REASON_EXIT && c->error)
        text_sanitise(&b, c->error, strlen(c->error), 0);
    else if (c->first_line_len > 0)
        text_sanitise(&b, c->first_line, c->first_line_len, TEXT_EXPAND_TAB);
    else if (b.len == bare)
        strbuf_adds(&b, "(no output)");
    return strbuf_steal(&b);
}

static void draw_class(const struct class_list *l, const struct column *cols, struct surface *s,
                       struct rect row, const struct class_row *r)
{
    const struct output_class *c = r->c;
    char buf[32], num[32];
    snprintf(buf, sizeof buf, " %c %5s", find_open(l, r->cls) ? 'v' : '>',
             text_count(c->count, num));
    columns_cell(&cols[COL_COUNT], s, row, ROLE_NORMAL, buf);
    if (c->exit_code >= 0)
        snprintf(buf, sizeof buf, "%d", c->exit_code);
    else
        snprintf(buf, sizeof buf, "%s", vu_exec_glyph(c->status, c->reason));
    enum role role = vu_exec_role(c->status, c->reason);
    columns_cell(&cols[COL_RC], s, row, role, buf);
    uint64_t size = c->out_size[0] + c->out_size[1];
    columns_cell(&cols[COL_SIZE], s, row, ROLE_DIM, size ? text_size(size, num) : "-");
    char *line = line_of(c), *nodes = text_clean(c->nodes);
    columns_cell(&cols[COL_LINE], s, row, c->status == EXEC_SUCCESS ? ROLE_NORMAL : role, line);
    columns_cell(&cols[COL_NODES], s, row, ROLE_DIM, nodes);
    free(line);
    free(nodes);
}

static void draw_node(const struct app *a, struct surface *s, struct rect row,
                      const struct execution *x)
{
    struct column cols[] = {{"", 10, 24, false, 0, false, 0, 0},
                            {"", 9, 9, false, 0, false, 0, 0},
                            {"", 7, 7, false, 1, true, 0, 0},
                            {"", 8, 8, true, 2, false, 0, 0}};
    struct rect inner = {row.x + 5, row.y, row.w - 5, 1};
    char buf[64], num[32];
    columns_layout(cols, ARRAY_LEN(cols), inner.w);
    char *node = text_clean(x->node), *why = vu_exec_why(x);
    columns_cell(&cols[0], s, inner, ROLE_NORMAL, node);
    snprintf(buf, sizeof buf, "%s %s", vu_exec_glyph(x->status, x->reason),
             vu_exec_word(x->status, x->reason));
    columns_cell(&cols[1], s, inner, vu_exec_role(x->status, x->reason), buf);
    columns_cell(&cols[2], s, inner, ROLE_NORMAL, vu_exec_time(x, wall_ms(a->clock), num));
    columns_cell(&cols[3], s, inner, ROLE_DIM, why);
    free(node);
    free(why);
}

void class_list_draw(const struct class_list *l, const struct app *a, struct surface *s,
                     struct rect body, bool focused)
{
    struct column cols[COL_N] = {{"   nodes", 8, 9, false, 0, false, 0, 0},
                                 {"rc", 3, 3, false, 1, true, 0, 0},
                                 {"size", 8, 8, false, 3, true, 0, 0},
                                 {"first line", 20, 30, true, 0, false, 0, 0},
                                 {"nodes", 16, 28, false, 2, false, 0, 0}};
    struct rect head = {body.x + 1, body.y, body.w - 1 - vu_gap(s, body), 1};
    struct rect area = {body.x, body.y + 1, body.w, body.h - 1};
    columns_layout(cols, COL_N, head.w);
    columns_head(cols, COL_N, s, head);
    if (l->error || l->n_rows == 0) {
        surface_fit(s, area, area.x + 1, area.y, area.w - 1, l->error ? ROLE_ERROR : ROLE_DIM,
                    l->error ? l->error : "nothing has ended yet", false);
        if (focused)
            surface_cursor(s, area.x, area.y, false);
        return;
    }
    for (size_t i = 0; i < l->n_rows && (int) i < area.h; i++) {
        struct rect row = {head.x, area.y + (int) i, head.w, 1};
        if (l->rows[i].x)
            draw_node(a, s, row, l->rows[i].x);
        else if (l->rows[i].c && !l->rows[i].is_node)
            draw_class(l, cols, s, row, &l->rows[i]);
        if (l->list.top + i == l->list.cursor) {
            surface_text(s, area, area.x, row.y, ROLE_CURSOR, ">");
            vu_cursor_row(s, area, row.y, focused);
        }
    }
}
