/* SPDX-License-Identifier: Apache-2.0 */
/* The parts that stand alone: surface, list, field, keys and their table, layout, selection. */
#include "layout.h"

#include "muster/base/alloc.h"
#include "muster/base/text.h"
#include "muster/core/fleet.h"
#include "muster/core/nodeset.h"
#include "muster/ui/action.h"
#include "muster/ui/field.h"
#include "muster/ui/key.h"
#include "muster/ui/list.h"
#include "muster/ui/selection.h"
#include "muster/ui/surface.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void check_dump(struct surface *s, const char *want)
{
    char *d = surface_dump(s);
    assert_string_equal(d, want);
    free(d);
}

static void surface_clips_and_cleans(void **state)
{
    struct surface s;
    struct rect all = {0, 0, 12, 2};

    surface_init(&s, 12, 2);
    surface_text(&s, all, -2, 0, ROLE_NORMAL, "abcdef");
    surface_text(&s, (struct rect) {8, 0, 3, 1}, 8, 0, ROLE_OK, "0123456789");
    check_dump(&s, "cdef    012\n\n");
    surface_clear(&s);
    surface_text(&s, all, 0, 0, ROLE_NORMAL, "a\033[31mb\r\n");
    check_dump(&s, "a^[[31mb^M^J\n\n");
    surface_clear(&s);
    /* Wide characters: never half of one, at an edge or when it is written over. */
    surface_text(&s, all, 0, 0, ROLE_NORMAL, "\xe6\xbc\xa2\xe6\xbc\xa2");
    surface_text(&s, all, 1, 0, ROLE_NORMAL, "x");
    check_dump(&s, " x\xe6\xbc\xa2\n\n");
    surface_text(&s, all, 11, 1, ROLE_NORMAL, "\xe6\xbc\xa2");
    check_dump(&s, " x\xe6\xbc\xa2\n\n");
    surface_clear(&s);
    surface_fit(&s, all, 0, 0, 5, ROLE_NORMAL, "abcdefgh", true);
    check_dump(&s, "abcd~\n\n");
    surface_free(&s);
}

static void surface_frames(void **state)
{
    struct surface s;
    struct rect in;

    surface_init(&s, 24, 3);
    in = surface_frame(&s, (struct rect) {0, 0, 24, 3}, true, "[1] Targets", "12");
    assert_int_equal(in.w, 22);
    assert_int_equal(in.h, 1);
    check_dump(&s, "+[1] Targets ====== 12 +\n|                      |\n"
                   "+======================+\n");
    assert_int_equal(surface_at(&s, 2, 0), '1');
    assert_int_equal(surface_at(&s, 24, 0), 0);
    surface_clear(&s);
    surface_frame(&s, (struct rect) {0, 0, 24, 3}, false, "[1] Targets", "12");
    check_dump(&s, "+[1] Targets ------ 12 +\n|                      |\n"
                   "+----------------------+\n");
    surface_free(&s);
}

/* Random drawing anywhere never leaves the grid nor half a character. */
static void surface_random(void **state)
{
    static const char *const texts[] = {"plain", "\xe6\xbc\xa2\xe6\xbc\xa2", "e\xcc\x81\xcc\x81",
                                        "\xff\xfe", "\xe2\x80\xae", "a\tb", ""};
    uint32_t seed = 7;
    struct surface s;

    surface_init(&s, 20, 6);
    for (int i = 0; i < 20000; i++) {
        int x = (int) (next_random(&seed) % 40) - 10, y = (int) (next_random(&seed) % 12) - 3;
        struct rect clip = {(int) (next_random(&seed) % 30) - 5, (int) (next_random(&seed) % 8) - 1,
                            (int) (next_random(&seed) % 30) - 2, (int) (next_random(&seed) % 8)};
        const char *t = texts[next_random(&seed) % ARRAY_LEN(texts)];
        switch (next_random(&seed) % 4) {
        case 0:
            surface_text(&s, clip, x, y, ROLE_OK, t);
            break;
        case 1:
            surface_fit(&s, clip, x, y, (int) (next_random(&seed) % 12), ROLE_OK, t, i & 1);
            break;
        case 2:
            surface_frame(&s, clip, i & 1, t, t);
            break;
        default:
            surface_paint(&s, clip, ROLE_CURSOR, true);
            break;
        }
        for (int c = 0; c < s.cols * s.rows; c++) {
            uint32_t cp = s.cells[c].cp[0];
            bool half = cp == 0, wide = cp && text_cp_width(cp) == 2;
            if (half)
                assert_true(c % s.cols > 0 && text_cp_width(s.cells[c - 1].cp[0]) == 2);
            if (wide)
                assert_true(c % s.cols < s.cols - 1 && s.cells[c + 1].cp[0] == 0);
        }
    }
    surface_free(&s);
}

static void list_keeps_cursor_in_view(void **state)
{
    static const enum action moves[] = {ACT_DOWN, ACT_UP, ACT_TOP, ACT_BOTTOM, ACT_PAGE_DOWN,
                                        ACT_PAGE_UP, ACT_HALF_DOWN, ACT_HALF_UP};
    struct list l = {0, 0, 0, 0};
    uint32_t seed = 3;

    for (int i = 0; i < 50000; i++) {
        switch (next_random(&seed) % 6) {
        case 0:
            list_set_count(&l, next_random(&seed) % 60);
            break;
        case 1:
            list_set_height(&l, next_random(&seed) % 20);
            break;
        case 2:
            list_move_to(&l, next_random(&seed) % 70);
            break;
        default:
            assert_true(list_act(&l, moves[next_random(&seed) % ARRAY_LEN(moves)]));
        }
        assert_true(l.count == 0 ? l.cursor == 0 : l.cursor < l.count);
        assert_true(l.top <= l.cursor);
        assert_true(l.height == 0 || l.cursor < l.top + l.height);
        assert_true(l.height == 0 || l.count < l.height || l.top + l.height <= l.count);
    }
    assert_false(list_act(&l, ACT_OPEN));
}

static void type(struct field *f, const char *keys)
{
    char word[16];
    struct key k;

    while (*keys) {
        size_t n = strcspn(keys, " ");
        memcpy(word, keys, n);
        word[n] = '\0';
        assert_true(key_parse(word, &k));
        field_key(f, &k);
        keys += n;
        keys += *keys == ' ';
    }
}

static void field_edits(void **state)
{
    struct field f;
    struct key paste = {KEY_CODE_PASTE, 0, false, "a\r\nb\xff"};

    field_init(&f);
    type(&f, "h e l l o Space w");
    assert_string_equal(f.text, "hello w");
    type(&f, "C-w C-a X C-e !");
    assert_string_equal(f.text, "Xhello !");
    type(&f, "C-b C-b C-k Left BS");
    assert_string_equal(f.text, "Xhelo");
    type(&f, "Home Del End C-u");
    assert_string_equal(f.text, "");
    assert_true(field_key(&f, &paste));
    assert_string_equal(f.text, "a\nb\\xff");
    assert_false(field_key(&f, &(struct key) {KEY_CODE_ENTER, 0, false, NULL}));
    field_set(&f, "e\xcc\x81" "x");
    type(&f, "Left Left");
    assert_int_equal(f.cursor, 0);
    type(&f, "Del");
    assert_string_equal(f.text, "x");
    field_free(&f);
}

static void field_random(void **state)
{
    static const char *const keys[] = {"a", "\xe6\xbc\xa2", "\xcc\x81", "C-w", "C-k", "C-u", "C-a",
                                       "C-e", "Left", "Right", "BS", "Del", "Space"};
    struct surface s;
    struct field f;
    uint32_t seed = 11;

    surface_init(&s, 30, 1);
    field_init(&f);
    for (int i = 0; i < 20000; i++) {
        type(&f, keys[next_random(&seed) % ARRAY_LEN(keys)]);
        assert_true(utf8_valid(f.text, f.len));
        assert_int_equal(strlen(f.text), f.len);
        assert_true(f.cursor <= f.len);
        int w = 1 + (int) (next_random(&seed) % 20);
        surface_clear(&s);
        field_draw(&f, &s, (struct rect) {0, 0, 30, 1}, 5, 0, w, true);
        assert_true(s.cur_visible && s.cur_x >= 5 && s.cur_x < 5 + w);
    }
    field_free(&f);
    surface_free(&s);
}

static void field_is_capped(void **state)
{
    size_t n = 40000;
    char *big = x_malloc(n + 1);
    struct field f;

    memset(big, 'x', n);
    big[n] = '\0';
    field_init(&f);
    field_set(&f, big);
    assert_int_equal(f.len, 32 << 10);
    field_free(&f);
    free(big);
}

/* Every key that the table writes, in the order of the table. A change of it is a change of this. */
static void all_keys_are_pinned(void **state)
{
    static const char *const want =
        "down:j Down|up:k Up|top:g Home|bottom:G End|page-down:C-f PgDn|page-up:C-b PgUp|"
        "half-down:C-d|half-up:C-u|collapse:h Left|expand:l Right|previous-choice:h Left|"
        "next-choice:l Right Space|next-pane:Tab|prev-pane:S-Tab|"
        "targets:1|action:2|progress:3|results:4|history:5|next-tab:]|prev-tab:[|zoom:+ _|"
        "filter:/|toggle:Space|run:x|range:v|select-all:a|invert:i|clear:u|undo:z|save:w|"
        "recall:'|note:m|raw:J|forget:Del|find-next:n|"
        "find-prev:N|failed-only:!|rerun:r|cancel:X|pause:p|filter-status:f|"
        "filter-type:t|filter-date:D|sort:s|"
        "sort-reverse:S|follow:F|wrap:W|stream:o|open:Enter|node:I|compose:c|edit:e Enter|"
        "export:E|delete:Del|reload:R|repaint:C-l|messages:M|suspend:C-z|"
        "help:? F1|back:Esc|quit:q|";
    char all[4096] = "";

    for (int a = 1; a < ACT_COUNT; a++) {
        const struct action_row *r = action_row((enum action) a);
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s:%s|", r->name, r->keys);
    }
    assert_string_equal(all, want);
}

static void keys_have_one_meaning(void **state)
{
    char word[16], name[16];
    struct key k;

    for (unsigned ctx = CTX_TARGETS; ctx < CTX_ALL; ctx *= 2)
        for (int a = 1; a < ACT_COUNT; a++) {
            const struct action_row *r = action_row((enum action) a);
            if (!(r->contexts & ctx))
                continue;
            for (const char *p = r->keys; *p;) {
                size_t n = strcspn(p, " ");
                memcpy(word, p, n);
                word[n] = '\0';
                assert_true(key_parse(word, &k));
                assert_string_equal(key_label(&k, name), word);
                assert_int_equal(action_of_key(&k, (enum ctx) ctx), a);
                p += n + (p[n] == ' ');
            }
        }
}

/* Keys that a terminal, a multiplexer or ssh takes, or that a split arrow key leaves behind, do
 * nothing that cannot be taken back. */
static void keys_are_safe(void **state)
{
    static const char *const never[] = {"C-a", "C-s", "C-q", "~"};
    static const char *const harmless[] = {"O", "A", "B", "C", "D", "H", "F"};
    struct key k;

    for (unsigned ctx = CTX_TARGETS; ctx < CTX_ALL; ctx *= 2) {
        for (size_t i = 0; i < ARRAY_LEN(never); i++) {
            assert_true(key_parse(never[i], &k));
            assert_int_equal(action_of_key(&k, (enum ctx) ctx), ACT_NONE);
        }
        for (size_t i = 0; i < ARRAY_LEN(harmless); i++) {
            assert_true(key_parse(harmless[i], &k));
            assert_false(action_row(action_of_key(&k, (enum ctx) ctx))->flags & AF_MUTATES);
        }
    }
}

static bool inside(struct rect in, struct rect out)
{
    return in.x >= out.x && in.y >= out.y && in.x + in.w <= out.x + out.w &&
           in.y + in.h <= out.y + out.h;
}

static bool apart(struct rect a, struct rect b)
{
    return a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y;
}

/* At every size the focused pane shows, panes fill the middle and do not overlap. */
static void layout_fits_every_size(void **state)
{
    for (int cols = 1; cols <= 300; cols += 7)
        for (int rows = 1; rows <= 100; rows += 3)
            for (int f = 0; f < PANE_COUNT * 2; f++) {
                struct layout l = layout_make(cols, rows, (enum pane) (f / 2), f & 1);
                int area = 0;
                if (l.mode == LAYOUT_TOO_SMALL) {
                    assert_true(cols < 40 || rows < 10);
                    continue;
                }
                assert_true(l.panes[f / 2].w > 0 && l.panes[f / 2].h > 0);
                for (int i = 0; i < PANE_COUNT; i++) {
                    if (l.panes[i].w == 0)
                        continue;
                    assert_true(inside(l.panes[i], l.area));
                    assert_true(l.panes[i].h >= (l.borders ? 4 : 1));
                    area += l.panes[i].w * l.panes[i].h;
                    for (int k = 0; k < i; k++)
                        assert_true(l.panes[k].w == 0 || apart(l.panes[i], l.panes[k]));
                }
                assert_int_equal(area, l.area.w * l.area.h);
            }
    assert_int_equal(layout_make(110, 28, PANE_HISTORY, false).mode, LAYOUT_WIDE);
    assert_int_equal(layout_make(109, 28, PANE_HISTORY, false).mode, LAYOUT_NORMAL);
    assert_int_equal(layout_make(60, 16, PANE_HISTORY, false).mode, LAYOUT_NORMAL);
    assert_int_equal(layout_make(59, 16, PANE_HISTORY, false).mode, LAYOUT_NARROW);
    assert_int_equal(layout_make(40, 10, PANE_HISTORY, false).mode, LAYOUT_NARROW);
    assert_int_equal(layout_make(39, 10, PANE_HISTORY, false).mode, LAYOUT_TOO_SMALL);
}

static void selection_undoes(void **state)
{
    struct selection s;

    selection_init(&s);
    for (int i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        selection_save(&s);
        assert_true(selection_add(&s, name));
    }
    assert_int_equal(selection_count(&s), 40);
    selection_save(&s);
    selection_clear(&s);
    assert_true(selection_undo(&s));
    assert_int_equal(selection_count(&s), 40);
    int undone = 0;
    while (selection_undo(&s))
        undone++;
    assert_int_equal(undone, SELECTION_UNDO_MAX - 1);
    assert_int_equal(selection_count(&s), 40 - (size_t) undone);
    selection_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(surface_clips_and_cleans),
        cmocka_unit_test(surface_frames),
        cmocka_unit_test(surface_random),
        cmocka_unit_test(list_keeps_cursor_in_view),
        cmocka_unit_test(field_edits),
        cmocka_unit_test(field_random),
        cmocka_unit_test(field_is_capped),
        cmocka_unit_test(all_keys_are_pinned),
        cmocka_unit_test(keys_have_one_meaning),
        cmocka_unit_test(keys_are_safe),
        cmocka_unit_test(layout_fits_every_size),
        cmocka_unit_test(selection_undoes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
