/* SPDX-License-Identifier: Apache-2.0 */
/* A list of the executions of a batch that reads only what is visible. */
#include "exec_list.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/err.h"
#include "muster/base/text.h"
#include "muster/ui/app.h"

#include <stdio.h>
#include <string.h>

enum { COL_NODE, COL_STATE, COL_STEP, COL_DURATION, COL_ATTEMPTS, COL_CODE, COL_WHY, COL_PROCESS, COL_COUNT };

#define NODE_MAX 32 /* columns of a node's name at most */
#define HEAD_FROM 6 /* a list of fewer rows has no head: its rows tell themselves what they are */

static const char *const show_names[SHOW_COUNT] = {"all", "running", "success", "failed"};

void exec_list_init(struct exec_list *l, const enum exec_sort *sorts, size_t n)
{
    memset(l, 0, sizeof *l);
    prompt_init(&l->prompt);
    l->sorts = sorts;
    l->n_sorts = n;
    l->sort = sorts[0];
    l->stale = true;
}

static void drop_rows(struct exec_list *l)
{
    if (l->rows)
        executions_free(l->rows, l->n_rows);
    l->rows = NULL;
    l->n_rows = 0;
}

void exec_list_free(struct exec_list *l)
{
    drop_rows(l);
    prompt_free(&l->prompt);
    free(X_STEAL(l->error));
}

void exec_list_reset(struct exec_list *l)
{
    drop_rows(l);
    l->show = SHOW_ALL;
    l->sort = l->sorts[0];
    l->reverse = false;
    l->has_at = l->moved = false;
    l->stale = true;
    l->total = l->first = 0;
    l->prompt.typing = false;
    field_set(&l->prompt.field, "");
    list_set_count(&l->list, 0);
}

static void remember(struct exec_list *l)
{
    const struct execution *x = exec_list_at(l);
    l->has_at = x != NULL;
    if (x)
        l->at = x->position;
}

const struct execution *exec_list_at(const struct exec_list *l)
{
    size_t c = l->list.cursor;
    return c >= l->first && c - l->first < l->n_rows ? &l->rows[c - l->first] : NULL;
}

bool exec_list_filtered(const struct exec_list *l)
{
    return l->show != SHOW_ALL || !prompt_empty(&l->prompt);
}

static void set_filter(struct exec_list *l)
{
    static const unsigned masks[SHOW_COUNT] = {0, 1u << EXEC_RUNNING, 1u << EXEC_SUCCESS,
                                               1u << EXEC_FAILED};
    l->filter.status_mask = masks[l->show];
    l->filter.text = prompt_empty(&l->prompt) ? NULL : l->prompt.field.text;
}

static bool read_page(struct exec_list *l, struct app *a, size_t first, size_t limit)
{
    struct err e = ERR_INIT;
    drop_rows(l);
    if (reader_executions(a->reader, l->batch, &l->filter, l->sort, l->reverse, first, limit,
                          &l->rows, &l->n_rows, &l->total, &e) != 0) {
        free(l->error);
        l->error = text_clean(e.msg);
        err_clear(&e);
        l->rows = NULL;
        l->n_rows = l->total = 0;
    }
    l->first = first;
    list_set_count(&l->list, l->total);
    return l->error == NULL;
}

static int head_rows(int height)
{
    return height >= HEAD_FROM;
}

void exec_list_load(struct exec_list *l, struct app *a, int64_t batch, int height)
{
    size_t h = height > 0 ? (size_t) (height - head_rows(height)) : 0;
    if (l->batch != batch) {
        exec_list_reset(l);
        l->batch = batch;
    }
    set_filter(l);
    list_set_height(&l->list, h);
    if (h == 0 || batch == 0) {
        drop_rows(l);
        return;
    }
    bool covered = l->list.top >= l->first &&
                   (l->list.top + h <= l->first + l->n_rows || l->first + l->n_rows >= l->total);
    if (!l->stale && l->generation == a->data_generation && covered)
        return;
    l->stale = false;
    l->generation = a->data_generation;
    free(X_STEAL(l->error));
    /* A page before and after what is shown, so that a node that moved a little is found again. */
    size_t first = l->list.top > h ? l->list.top - h : 0;
    if (!read_page(l, a, first, 3 * h))
        return;
    /* What comes first is shown until the cursor is put somewhere: then it stays on its node. */
    bool follow = l->has_at && (l->moved || l->sort != SORT_ACTIVITY);
    if (!follow)
        list_move_to(&l->list, 0);
    for (size_t i = 0; follow && i < l->n_rows; i++)
        if (l->rows[i].position == l->at)
            list_move_to(&l->list, l->first + i);
    if (l->list.top < l->first || l->list.top + h > l->first + 3 * h)
        read_page(l, a, l->list.top > h ? l->list.top - h : 0, 3 * h);
    remember(l);
}

/* Another filter or order: read again, with the cursor on its node where it is still shown. */
static bool changed(struct exec_list *l)
{
    l->stale = true;
    return true;
}

static void next_sort(struct exec_list *l)
{
    size_t i = 0;
    while (i < l->n_sorts && l->sorts[i] != l->sort)
        i++;
    l->sort = l->sorts[(i + 1) % l->n_sorts];
    /* The slowest first is what one sorts durations for. */
    l->reverse = l->sort == SORT_DURATION;
}

static bool back(struct exec_list *l)
{
    if (!prompt_empty(&l->prompt))
        field_set(&l->prompt.field, "");
    else if (l->show != SHOW_ALL)
        l->show = SHOW_ALL;
    else
        return false;
    return changed(l);
}

bool exec_list_act(struct exec_list *l, struct app *a, enum action act)
{
    const struct execution *x = exec_list_at(l);
    if (list_act(&l->list, act)) {
        l->moved = act != ACT_TOP;
        /* After a jump beyond the rows at hand the cursor stays at its row. */
        remember(l);
        return true;
    }
    switch (act) {
    case ACT_FILTER_STATUS:
        l->show = (l->show + 1) % SHOW_COUNT;
        return changed(l);
    case ACT_FAILED_ONLY:
        l->show = l->show == SHOW_FAILED ? SHOW_ALL : SHOW_FAILED;
        return changed(l);
    case ACT_SORT:
        next_sort(l);
        return changed(l);
    case ACT_SORT_REVERSE:
        l->reverse = !l->reverse;
        return changed(l);
    case ACT_FILTER:
        prompt_start(&l->prompt);
        return true;
    case ACT_OPEN:
        l->moved = true;
        if (x)
            vu_open_output(a, l->batch, x->position);
        return true;
    case ACT_NODE:
        l->moved = true;
        if (x)
            vu_open_node(a, x->node);
        return true;
    case ACT_BACK:
        return back(l);
    default:
        return false;
    }
}

bool exec_list_key(struct exec_list *l, const struct key *k)
{
    switch (prompt_key(&l->prompt, k)) {
    case PROMPT_LEAVE:
        return false;
    case PROMPT_PASS:
        if (k->code == KEY_CODE_UP || k->code == KEY_CODE_DOWN) {
            list_act(&l->list, k->code == KEY_CODE_UP ? ACT_UP : ACT_DOWN);
            l->moved = true;
            remember(l);
            return true;
        }
        return false;
    default:
        l->moved = true;
        return changed(l);
    }
}

char *exec_list_caption(const struct exec_list *l, char *buf, size_t n)
{
    static const char *const orders[SORT_COUNT][2] = {
        [SORT_NAME] = {"by name", "by name reversed"},
        [SORT_STATUS] = {"failed first", "failed last"},
        [SORT_DURATION] = {"fastest first", "slowest first"},
        [SORT_POSITION] = {"as targeted", "as targeted reversed"},
        [SORT_FINISHED] = {"oldest first", "newest first"},
        [SORT_ACTIVITY] = {"running first", "running last"}};
    const char *order = orders[l->sort][l->reverse];
    if (l->show == SHOW_ALL)
        snprintf(buf, n, "%s", order);
    else if (l->sort == SORT_ACTIVITY)
        snprintf(buf, n, "%s only", show_names[l->show]);
    else
        snprintf(buf, n, "%s only, %s", show_names[l->show], order);
    return buf;
}

void exec_list_note(const struct exec_list *l, uint32_t of, char *buf, size_t n)
{
    snprintf(buf, n, "%zu of %u node%s", l->total, of, of == 1 ? "" : "s");
}

/* What of the reason is not the exit code again. */
static const char *beyond_code(const struct execution *x, const char *why)
{
    char text[2][64];
    vu_exec_code(x, text[0]);
    snprintf(text[1], sizeof text[1], "exit code %d", x->exit_code);
    for (int i = 0; i < 2; i++) {
        size_t k = strlen(text[i]);
        if (k > 0 && strncmp(why, text[i], k) == 0 && (why[k] == ';' || why[k] == '\0'))
            return why[k] ? why + k + 2 : why + k;
    }
    return why;
}

/* How many steps its nodes have; 0: it is no plan. */
static unsigned steps_of(const struct exec_list *l, const struct app *a)
{
    return a->open.number == l->batch ? a->open.n_steps : 0;
}

static void draw_row(const struct column *cols, const struct app *a, struct surface *s,
                     struct rect row, const struct execution *x)
{
    char buf[64], num[32];
    char *node = text_clean(x->node), *why = vu_exec_why(x);
    enum role role = vu_exec_role(x->status, x->reason);
    columns_cell(&cols[COL_NODE], s, row, ROLE_NORMAL, node);
    snprintf(buf, sizeof buf, "%s %s", vu_exec_glyph(x->status, x->reason),
             vu_exec_word(x->status, x->reason));
    columns_cell(&cols[COL_STATE], s, row, role, buf);
    if (x->step)
        snprintf(buf, sizeof buf, "%u/%u", x->step, a->open.n_steps);
    columns_cell(&cols[COL_STEP], s, row, ROLE_NORMAL, x->step ? buf : "-");
    columns_cell(&cols[COL_DURATION], s, row, ROLE_NORMAL,
                 vu_exec_time(x, wall_ms(a->clock), num));
    snprintf(buf, sizeof buf, "%u", x->attempts);
    columns_cell(&cols[COL_ATTEMPTS], s, row, ROLE_DIM, x->attempts ? buf : "-");
    columns_cell(&cols[COL_CODE], s, row, ROLE_NORMAL, vu_exec_code(x, buf));
    const char *remote = remote_process_name(x->remote);
    columns_cell(&cols[COL_PROCESS], s, row, ROLE_NORMAL, remote ? remote : "");
    columns_cell(&cols[COL_WHY], s, row, role, cols[COL_CODE].w ? beyond_code(x, why) : why);
    free(node);
    free(why);
}

static void draw_empty(const struct exec_list *l, struct surface *s, struct rect area)
{
    if (l->error) {
        surface_fit(s, area, area.x + 1, area.y, area.w - 1, ROLE_ERROR, l->error, false);
    } else if (l->filter.text || l->show != SHOW_ALL) {
        const char *which = l->show == SHOW_RUNNING ? "is running"
                            : l->show == SHOW_SUCCESS ? "has succeeded"
                            : l->show == SHOW_FAILED  ? "has failed"
                                                      : "is here";
        char *line = x_asprintf("No node %s%s%s%s. Esc shows all again.", which,
                                l->filter.text ? " with '" : "",
                                l->filter.text ? l->filter.text : "",
                                l->filter.text ? "' in its name or error" : "");
        const char *lines[] = {line};
        vu_teach(s, area, lines, 1);
        free(line);
    } else {
        surface_text(s, area, area.x + 1, area.y, ROLE_DIM, "no nodes");
    }
}

/* The widest name at hand, so that short ones leave their room to the errors. */
static int name_width(const struct exec_list *l)
{
    int w = 10;
    for (size_t i = 0; i < l->n_rows; i++) {
        int have = (int) text_width(l->rows[i].node);
        w = have > w ? have : w;
    }
    return w < NODE_MAX ? w : NODE_MAX;
}

void exec_list_draw(const struct exec_list *l, const struct app *a, struct surface *s,
                    struct rect body, bool focused, bool with_remote)
{
    struct column cols[COL_COUNT] = {
        {"node", 10, name_width(l), false, 0, false, 0, 0}, {"state", 9, 9, false, 0, false, 0, 0},
        {"step", 6, 7, false, 2, false, 0, 0},
        {"time", 7, 7, false, 3, true, 0, 0},        {"tries", 5, 5, false, 5, true, 0, 0},
        {"code", 6, 8, false, 4, false, 0, 0},       {"error", 12, 12, true, 2, false, 0, 0},
        {"process", 13, 13, false, 1, false, 0, 0}};
    int top = head_rows(body.h);
    struct rect head = {body.x + 1, body.y, body.w - 1 - vu_gap(s, body), 1};
    struct rect area = {body.x, body.y + top, body.w, body.h - top};
    if (!top) /* a bare number would not tell itself */
        cols[COL_ATTEMPTS].min = cols[COL_ATTEMPTS].want = 0;
    if (!steps_of(l, a))
        cols[COL_STEP].min = cols[COL_STEP].want = 0;
    columns_layout(cols, with_remote ? COL_COUNT : COL_COUNT - 1, head.w);
    if (top)
        columns_head(cols, COL_COUNT, s, head);
    if (l->n_rows == 0) {
        draw_empty(l, s, area);
        if (focused && !l->prompt.typing)
            surface_cursor(s, area.x, area.y, false);
        return;
    }
    for (int y = 0; y < area.h; y++) {
        size_t i = l->list.top + (size_t) y;
        if (i < l->first || i - l->first >= l->n_rows)
            break;
        struct rect row = {head.x, area.y + y, head.w, 1};
        draw_row(cols, a, s, row, &l->rows[i - l->first]);
        if (i == l->list.cursor) {
            surface_text(s, area, area.x, row.y, ROLE_CURSOR, ">");
            vu_cursor_row(s, area, row.y, focused && !l->prompt.typing);
        }
    }
}
