/* SPDX-License-Identifier: Apache-2.0 */
/* How the Targets pane looks. */
#include "view_targets.h"

#include "muster/base/alloc.h"
#include "muster/base/clock.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/core/fleet.h"
#include "muster/core/nodeset.h"
#include "muster/ui/app.h"

#include <stdio.h>
#include <string.h>

enum { COL_NAME, COL_STATE, COL_RUN, COL_DETAIL, COL_COUNT };
#define LEFT 5 /* the cursor's mark, the box, a space */

void targets_caption(struct view *v, char *buf, size_t n)
{
    const struct targets_view *t = (const struct targets_view *) v;
    char c1[32], c2[32];
    if (!t->tree.fleet) {
        snprintf(buf, n, "no inventory");
        return;
    }
    text_count(t->tree.fleet->n_nodes, c2);
    if (target_tree_filtered(&t->tree))
        snprintf(buf, n, "%s of %s", text_count(t->tree.n_match, c1), c2);
    else
        snprintf(buf, n, "%s node%s", c2, t->tree.fleet->n_nodes == 1 ? "" : "s");
}

static const char *box_of(size_t picked, size_t total)
{
    return picked == 0 ? "[ ]" : picked == total ? "[x]" : "[-]";
}

static void draw_source(const struct targets_view *t, struct surface *s, struct rect row,
                        const struct trow *r)
{
    const struct fleet_source *src = &t->tree.fleet->sources[r->index];
    char *text = x_asprintf("! %s%s%s %s: %s", src->type, src->path ? " " : "",
                            src->path ? src->path : "", fleet_source_state_name(src->state),
                            src->error ? src->error : "no reason given");
    char *clean = text_clean(text);
    surface_fit(s, row, row.x + 1, row.y, row.w - 1,
                src->state == SOURCE_FAILED ? ROLE_FAIL : ROLE_WARN, clean, false);
    free(clean);
    free(text);
}

static void draw_group(const struct targets_view *t, struct surface *s, struct rect row,
                       const struct trow *r, int indent)
{
    size_t picked, total;
    char count[48];
    bool is_protected = r->kind == TROW_GROUP && t->tree.fleet->groups[r->index].is_protected;
    target_tree_count(&t->tree, r, &picked, &total);
    snprintf(count, sizeof count, "%zu/%zu", picked, total);
    surface_text(s, row, row.x + 1, row.y, ROLE_NORMAL, box_of(picked, total));
    char *name = text_clean(target_tree_name(&t->tree, r));
    char *label = x_asprintf("%c %s%s%s", r->open ? 'v' : '>', r->kind == TROW_GROUP ? "@" : "",
                             name, is_protected ? " (protected)" : "");
    int cw = (int) strlen(count), x = row.x + LEFT + indent;
    surface_fit(s, row, x, row.y, row.x + row.w - x - cw - 1, ROLE_TITLE, label, false);
    surface_text(s, row, row.x + row.w - cw, row.y, ROLE_DIM, count);
    free(label);
    free(name);
}

static void detail_of(const struct targets_view *t, const struct execution *x, char *buf, size_t n)
{
    char tmp[32];
    if (x->status == EXEC_FAILED && x->reason == REASON_EXIT)
        snprintf(buf, n, "rc=%d", x->exit_code);
    else if (x->status == EXEC_QUEUED)
        buf[0] = '\0';
    else
        snprintf(buf, n, "%s", vu_exec_time(x, wall_ms(t->v.app->clock), tmp));
}

static void draw_node(const struct targets_view *t, struct surface *s, struct rect row,
                      const struct trow *r, int indent, const struct column *cols,
                      const struct execution *last)
{
    struct rect rest = {row.x + LEFT, row.y, row.w - LEFT, 1};
    char text[64];
    surface_text(s, row, row.x + 1, row.y, ROLE_NORMAL,
                 t->tree.picked[r->index] ? "[x]" : "[ ]");
    char *name = text_clean(target_tree_name(&t->tree, r));
    surface_fit(s, rest, rest.x + indent, row.y, cols[COL_NAME].w - indent, ROLE_NORMAL, name,
                false);
    free(name);
    if (!last || last->batch == 0) {
        columns_cell(&cols[COL_STATE], s, rest, ROLE_DIM, "-");
        return;
    }
    columns_cell(&cols[COL_STATE], s, rest, vu_exec_role(last->status, last->reason),
                 vu_exec_word(last->status, last->reason));
    snprintf(text, sizeof text, "#%lld", (long long) last->batch);
    columns_cell(&cols[COL_RUN], s, rest, ROLE_DIM, text);
    detail_of(t, last, text, sizeof text);
    columns_cell(&cols[COL_DETAIL], s, rest, ROLE_DIM, text);
}

static void draw_rows(const struct targets_view *t, struct surface *s, struct rect area,
                      bool focused)
{
    struct column cols[COL_COUNT] = {{"", 14, 14, true, 0, false, 0, 0},
                                     {"", 7, 7, false, 0, false, 0, 0},
                                     {"", 3, 5, false, 1, false, 0, 0},
                                     {"", 5, 7, false, 2, false, 0, 0}};
    size_t lo = t->range_from, hi = t->list.cursor;
    int step = area.w >= 60 ? 2 : 1;
    char num[32];
    if (lo > hi) {
        size_t swap = lo;
        lo = hi;
        hi = swap;
    }
    for (size_t i = 0; i < t->n_runs; i++) {
        int w = snprintf(num, sizeof num, "#%lld", (long long) t->runs[i].batch);
        if (w > cols[COL_RUN].min)
            cols[COL_RUN].min = w;
    }
    int width = area.w - vu_gap(s, area);
    columns_layout(cols, COL_COUNT, width - LEFT);
    for (int y = 0; y < area.h && t->list.top + (size_t) y < t->tree.n; y++) {
        size_t i = t->list.top + (size_t) y;
        const struct trow *r = &t->tree.rows[i];
        struct rect row = {area.x, area.y + y, width, 1};
        bool in_range = t->range && i >= lo && i <= hi;
        int indent = r->depth * step;
        if (r->kind == TROW_SOURCE)
            draw_source(t, s, row, r);
        else if (r->kind == TROW_NODE)
            draw_node(t, s, row, r, indent + (step == 2 ? 0 : 1), cols,
                      i >= t->runs_top && i - t->runs_top < t->n_runs ? &t->runs[i - t->runs_top]
                                                                      : NULL);
        else
            draw_group(t, s, row, r, indent);
        if (in_range) {
            surface_paint(s, row, ROLE_SELECTED, false);
            surface_text(s, row, row.x, row.y, ROLE_SELECTED, "*");
        }
        if (i == t->list.cursor) {
            surface_text(s, row, row.x, row.y, ROLE_CURSOR, ">");
            vu_cursor_row(s, area, row.y, focused && !t->prompt.typing);
        }
    }
}

static void draw_footer(const struct targets_view *t, struct surface *s, struct rect body, int rows)
{
    char c1[32], c2[32], text[128];
    size_t n = nodeset_count(t->v.app->sel.nodes);
    int y = body.y + body.h - rows;
    if (rows == 0)
        return;
    if (t->range)
        snprintf(text, sizeof text, "range: Space picks it, v ends it");
    else if (n == 0)
        snprintf(text, sizeof text, "none selected: Space picks, a all");
    else if (t->tree.n_hidden > 0)
        snprintf(text, sizeof text, "%s selected, %s hidden by the filter", text_count(n, c1),
                 text_count(t->tree.n_hidden, c2));
    else
        snprintf(text, sizeof text, "%s selected", text_count(n, c1));
    int w = body.w - 1 - vu_gap(s, body);
    surface_fit(s, body, body.x + 1, y, w, n ? ROLE_SELECTED : ROLE_DIM, text, false);
    if (rows > 1 && t->folded)
        surface_fit(s, body, body.x + 1, y + 1, w, ROLE_DIM, t->folded, false);
}

static void draw_nothing(const struct targets_view *t, struct surface *s, struct rect area)
{
    const struct app *a = t->v.app;
    if (!a->fleet) {
        const char *lines[] = {"The inventory could not be read.",
                               a->fleet_error ? a->fleet_error : "",
                               "R reads it again, once it is mended."};
        vu_teach(s, area, lines, ARRAY_LEN(lines));
    } else if (target_tree_filtered(&t->tree)) {
        char *hint = fleet_group(a->fleet, t->tree.filter_text)
                         ? x_asprintf("There is a group of that name: @%s", t->tree.filter_text)
                         : x_strdup("Esc clears the filter.");
        const char *lines[] = {"No node matches the filter.", hint};
        vu_teach(s, area, lines, ARRAY_LEN(lines));
        free(hint);
    } else {
        const char *lines[] = {"No nodes yet.",
                               "muster reads ~/.config/muster/inventory.yaml, and what -i names. "
                               "R reads them again."};
        vu_teach(s, area, lines, ARRAY_LEN(lines));
    }
}

void targets_draw(struct view *v, struct surface *s, struct rect body, bool focused)
{
    const struct targets_view *t = (const struct targets_view *) v;
    int footer = targets_footer_rows(body.h);
    char note[64], count[32];
    struct rect area = {body.x, body.y + 1, body.w, body.h - 1 - footer};
    const char *error = t->filter_error ? t->filter_error : t->tree.filter_error;
    if (error) {
        prompt_draw(&t->prompt, s, body, body.y, focused, "", error, ROLE_ERROR);
    } else {
        size_t n = t->tree.fleet ? t->tree.fleet->n_groups : 0;
        if (target_tree_filtered(&t->tree))
            snprintf(note, sizeof note, "%s of %zu", text_count(t->tree.n_match, count),
                     t->tree.fleet->n_nodes);
        else
            snprintf(note, sizeof note, "%zu group%s", n, n == 1 ? "" : "s");
        prompt_draw(&t->prompt, s, body, body.y, focused, "(no filter)", note, ROLE_DIM);
    }
    if (area.h > 0) {
        if (t->tree.n == 0) {
            draw_nothing(t, s, area);
            if (focused && !t->prompt.typing)
                surface_cursor(s, area.x, area.y, false);
        } else {
            draw_rows(t, s, area, focused);
        }
    }
    draw_footer(t, s, body, footer);
}
