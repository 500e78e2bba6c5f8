/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal by ncurses: rows that changed are given to curses, which finds the cheapest bytes for
 * them; keys come back, a bracketed paste as one of them. */
#include "tty.h"
#include "tty_crash.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/io.h"
#include "muster/base/strbuf.h"
#include "muster/ui/app.h"
#include "muster/ui/key.h"
#include "muster/ui/surface.h"

#include <curses.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>

#define PASTE_BEGIN 0x600 /* key codes of our own, above those of curses */
#define PASTE_END 0x601
#define PASTE_MAX ((size_t) 32 << 10)
#define PASTE_WAIT_MS 1000
#define BURST_MS 20
#define TYPE_AHEAD 3 /* bytes after an Enter that may be the next commands of a fast hand */

struct tty {
    SCREEN *screen;
    char *reset;
    struct surface shown;
    struct strbuf paste;
    attr_t attrs[ROLE_COUNT];
    short pairs[ROLE_COUNT];
    bool first;
    bool more;  /* had come with the last key */
    bool many_lines; /* a heap of keys had a line's end in its midst */
    enum tty_burst burst;
};

/* How a role looks: its colour over the terminal's own background, and attributes beside it; and the
 * attributes where there is no colour. */
static const struct {
    short colour; /* -1: the terminal's own */
    attr_t with_colour, mono;
} looks[ROLE_COUNT] = {
    [ROLE_NORMAL] = {-1, 0, 0},
    [ROLE_DIM] = {-1, A_DIM, 0},
    [ROLE_TITLE] = {-1, A_BOLD, A_BOLD},
    [ROLE_BORDER] = {-1, A_DIM, 0},
    [ROLE_FOCUS] = {COLOR_CYAN, A_BOLD, A_BOLD},
    [ROLE_CURSOR] = {-1, 0, 0},
    [ROLE_STATUS] = {-1, A_REVERSE, A_REVERSE},
    [ROLE_HINT] = {-1, A_BOLD, A_BOLD},
    [ROLE_OK] = {COLOR_GREEN, 0, 0},
    [ROLE_FAIL] = {COLOR_RED, A_BOLD, A_BOLD},
    [ROLE_WARN] = {COLOR_YELLOW, 0, A_BOLD},
    [ROLE_RUN] = {COLOR_CYAN, 0, 0},
    [ROLE_WAIT] = {-1, A_DIM, 0},
    [ROLE_SELECTED] = {-1, A_BOLD, A_BOLD},
    [ROLE_FIELD] = {-1, A_UNDERLINE, A_UNDERLINE},
    [ROLE_ERROR] = {COLOR_RED, A_BOLD, A_BOLD | A_UNDERLINE},
};

const char *ui_library_version(void)
{
    return curses_version();
}

static char *capability(const char *name)
{
    char *s = tigetstr(name);

    return s == (char *) -1 ? NULL : s;
}

/* Appends a capability without its padding, which only old hardware needs. */
static void add_capability(struct strbuf *b, const char *name)
{
    const char *s = capability(name);

    while (s && *s) {
        const char *end = s[0] == '$' && s[1] == '<' ? strchr(s, '>') : NULL;
        if (end) {
            s = end + 1;
            continue;
        }
        strbuf_addch(b, *s++);
    }
}

static char *reset_text(void)
{
    struct strbuf b;

    strbuf_init(&b, 256);
    strbuf_adds(&b, "\033[?2004l");
    add_capability(&b, "sgr0");
    add_capability(&b, "rmkx");
    add_capability(&b, "cnorm");
    add_capability(&b, "rmcup");
    return strbuf_steal(&b);
}

int tty_check(char **reset, struct err *e)
{
    const char *term = getenv("TERM");
    int status = 0;

    *reset = NULL;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return err_set(e, ERR_VALIDATION,
                       "the screen needs a terminal for input and output; without one, use "
                       "`muster run` and the other commands (muster --help)");
    if (!term || !*term)
        return err_set(e, ERR_VALIDATION,
                       "TERM is not set; set it to the kind of this terminal (TERM=xterm-256color)");
    if (setupterm(NULL, STDOUT_FILENO, &status) != OK)
        return err_set(e, ERR_VALIDATION,
                       "no terminal description for TERM=%s; install ncurses-term, or set TERM to "
                       "one that is known (TERM=xterm)", term);
    if (capability("cup"))
        *reset = reset_text();
    del_curterm(cur_term);
    if (*reset)
        return 0;
    return err_set(e, ERR_VALIDATION,
                   "a terminal of TERM=%s cannot place its cursor; set TERM to what this "
                   "terminal really is, or use `muster run` and the other commands", term);
}

static void paste_mode(bool on)
{
    /* Terminals that do not know it ignore it; those of vt100 kind are not asked. */
    const char *term = getenv("TERM");

    if (term && (strncmp(term, "vt", 2) == 0 || strcmp(term, "linux") == 0))
        return;
    fputs(on ? "\033[?2004h" : "\033[?2004l", stdout);
    fflush(stdout);
}

static void set_looks(struct tty *t)
{
    const char *no = getenv("NO_COLOR");
    bool colour = !(no && *no) && has_colors() && start_color() == OK && COLORS >= 8;

    if (colour && use_default_colors() != OK)
        colour = false;
    for (int r = 0; r < ROLE_COUNT; r++) {
        t->attrs[r] = colour ? looks[r].with_colour : looks[r].mono;
        t->pairs[r] = 0;
        if (colour && looks[r].colour >= 0) {
            t->pairs[r] = (short) (looks[r].colour + 1);
            init_pair(t->pairs[r], looks[r].colour, -1);
        }
    }
}

static void set_keys(void)
{
    static const struct {
        const char *bytes;
        int code;
    } more[] = {
        {"\033[200~", PASTE_BEGIN}, {"\033[201~", PASTE_END}, {"\033[H", KEY_HOME},
        {"\033[F", KEY_END},        {"\033OH", KEY_HOME},     {"\033OF", KEY_END},
        {"\033[1~", KEY_HOME},      {"\033[4~", KEY_END},     {"\033[A", KEY_UP},
        {"\033[B", KEY_DOWN},       {"\033[C", KEY_RIGHT},    {"\033[D", KEY_LEFT},
    };

    for (size_t i = 0; i < ARRAY_LEN(more); i++)
        define_key(more[i].bytes, more[i].code);
}

struct tty *tty_open(const char *reset, struct err *e)
{
    struct termios modes;

    if (tcgetattr(STDIN_FILENO, &modes) != 0) {
        err_set(e, ERR_VALIDATION, "the terminal cannot be used: standard input is none");
        return NULL;
    }
    setlocale(LC_CTYPE, "");
    /* The size is what the terminal says, whatever a shell exported once. */
    unsetenv("LINES");
    unsetenv("COLUMNS");
    use_tioctl(TRUE);
    tty_crash_arm(STDOUT_FILENO, &modes, reset);
    SCREEN *screen = newterm(NULL, stdout, stdin);
    if (!screen) {
        tty_crash_disarm();
        err_set(e, ERR_VALIDATION, "the terminal (TERM=%s) cannot be set up", getenv("TERM"));
        return NULL;
    }
    struct tty *t = x_calloc(1, sizeof *t);
    t->screen = screen;
    t->reset = x_strdup(reset);
    t->first = true;
    strbuf_init(&t->paste, PASTE_MAX);
    surface_init(&t->shown, 0, 0);
    /* An arrow key is bytes that a slow link may part; a lone Esc waits that long. */
    if (!getenv("ESCDELAY"))
        set_escdelay(getenv("SSH_CONNECTION") ? 100 : 50);
    set_looks(t);
    raw();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    typeahead(-1);
    set_keys();
    curs_set(0);
    paste_mode(true);
    return t;
}

static void tty_free(struct tty *t)
{
    delscreen(t->screen);
    tty_crash_disarm();
    strbuf_free(&t->paste);
    surface_free(&t->shown);
    free(t->reset);
    free(t);
}

/* tmux 3.3 keeps rows of an alternate screen that it has resized, unless it is empty when left. */
static void leave_screen(void)
{
    if (capability("rmcup")) {
        clear();
        refresh();
    }
    paste_mode(false);
    curs_set(1);
    endwin();
}

void tty_close(struct tty *t)
{
    if (!t)
        return;
    leave_screen();
    tty_free(t);
}

void tty_abandon(struct tty *t)
{
    io_write_all(STDOUT_FILENO, t->reset, strlen(t->reset));
    tty_free(t);
}

void tty_suspend(struct tty *t)
{
    def_prog_mode();
    leave_screen();
}

void tty_resume(struct tty *t)
{
    reset_prog_mode();
    paste_mode(true);
    t->first = true;
}

void tty_size(struct tty *t, int *cols, int *rows)
{
    struct winsize w = {0, 0, 0, 0};
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 && w.ws_row > 0;

    *cols = known ? w.ws_col : COLS;
    *rows = known ? w.ws_row : LINES;
}

/* --- showing --- */

static void show_row(struct tty *t, const struct cell *row, int y, int cols)
{
    for (int x = 0; x < cols; x++) {
        const struct cell *c = &row[x];
        wchar_t text[3] = {(wchar_t) c->cp[0], (wchar_t) c->cp[1], L'\0'};
        attr_t attrs = t->attrs[c->role] | (c->reverse ? A_REVERSE : 0);
        cchar_t cc;
        if (c->cp[0] == 0)
            continue;
        if (setcchar(&cc, text, attrs, t->pairs[c->role], NULL) == OK)
            mvadd_wch(y, x, &cc);
    }
}

void tty_show(struct tty *t, const struct surface *s, bool repaint)
{
    bool all = repaint || t->first || t->shown.cols != s->cols || t->shown.rows != s->rows;
    size_t row_size = (size_t) s->cols * sizeof *s->cells;

    if (LINES != s->rows || COLS != s->cols)
        resize_term(s->rows, s->cols);
    if (t->shown.cols != s->cols || t->shown.rows != s->rows)
        surface_resize(&t->shown, s->cols, s->rows);
    for (int y = 0; y < s->rows; y++) {
        const struct cell *row = s->cells + (size_t) y * (size_t) s->cols;
        struct cell *shown = t->shown.cells + (size_t) y * (size_t) s->cols;
        if (!all && memcmp(row, shown, row_size) == 0)
            continue;
        show_row(t, row, y, s->cols);
        memcpy(shown, row, row_size);
    }
    if (all)
        clearok(curscr, TRUE);
    if (t->first || t->shown.cur_visible != s->cur_visible)
        curs_set(s->cur_visible ? 1 : 0);
    t->shown.cur_visible = s->cur_visible;
    t->first = false;
    move(s->cur_y, s->cur_x);
    refresh();
}

/* --- keys --- */

static const struct {
    int curses;
    enum key_code code;
} codes[] = {
    {KEY_ENTER, KEY_CODE_ENTER}, {KEY_BTAB, KEY_CODE_BTAB},  {KEY_BACKSPACE, KEY_CODE_BS},
    {KEY_DC, KEY_CODE_DEL},      {KEY_IC, KEY_CODE_INS},     {KEY_UP, KEY_CODE_UP},
    {KEY_DOWN, KEY_CODE_DOWN},   {KEY_LEFT, KEY_CODE_LEFT},  {KEY_RIGHT, KEY_CODE_RIGHT},
    {KEY_HOME, KEY_CODE_HOME},   {KEY_END, KEY_CODE_END},    {KEY_PPAGE, KEY_CODE_PGUP},
    {KEY_NPAGE, KEY_CODE_PGDN},
};

static bool function_key(wint_t c, struct key *k)
{
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if ((wint_t) codes[i].curses == c) {
            k->code = codes[i].code;
            return true;
        }
    if (c >= KEY_F(1) && c <= KEY_F(12)) {
        k->code = KEY_CODE_F1 + (int) (c - KEY_F(1));
        return true;
    }
    return false;
}

static void character(wint_t c, struct key *k)
{
    k->code = KEY_CODE_CHAR;
    k->cp = (uint32_t) c;
    if (c == 27)
        k->code = KEY_CODE_ESC;
    else if (c == '\t')
        k->code = KEY_CODE_TAB;
    else if (c == '\r' || c == '\n')
        k->code = KEY_CODE_ENTER;
    else if (c == 8 || c == 127)
        k->code = KEY_CODE_BS;
    else if (c >= 1 && c <= 26) {
        k->ctrl = true;
        k->cp = (uint32_t) c - 1 + 'a';
    }
}

/* What is pasted, up to its end, or until nothing comes any more. */
static void read_paste(struct tty *t)
{
    wint_t c;
    int rc;

    strbuf_reset(&t->paste);
    timeout(PASTE_WAIT_MS);
    while ((rc = get_wch(&c)) != ERR) {
        if (rc == KEY_CODE_YES && c == PASTE_END)
            break;
        if (rc == KEY_CODE_YES || c == 0)
            continue;
        if (c == ' ' || c < 0x20 || c == 0x7f) {
            strbuf_addch(&t->paste, (char) c);
        } else {
            char name[16];
            key_label(&(struct key) {KEY_CODE_CHAR, (uint32_t) c, false, NULL}, name);
            strbuf_adds(&t->paste, name);
        }
    }
    nodelay(stdscr, TRUE);
}

/* How many bytes have come after a key. In the midst of a heap the rest may still be on its way. */
static int more_waits(bool in_heap)
{
    struct pollfd fd = {STDIN_FILENO, POLLIN, 0};
    int n = 0;

    if (poll(&fd, 1, in_heap ? BURST_MS : 0) <= 0 || !(fd.revents & POLLIN))
        return 0;
    return ioctl(STDIN_FILENO, FIONREAD, &n) == 0 && n > 0 ? n : 1;
}

static bool next_key(struct tty *t, struct key *k)
{
    wint_t c;
    int rc;

    *k = (struct key) {KEY_CODE_CHAR, 0, false, NULL};
    while ((rc = get_wch(&c)) != ERR) {
        if (rc == KEY_CODE_YES && c == PASTE_BEGIN) {
            read_paste(t);
            k->code = KEY_CODE_PASTE;
            k->text = t->paste.s;
            return true;
        }
        if (rc == KEY_CODE_YES && function_key(c, k))
            return true;
        if (rc == OK && c != 0) {
            character(c, k);
            return true;
        }
    }
    return false;
}

bool tty_key(struct tty *t, struct key *k)
{
    bool before = t->more, enter;

    t->more = false;
    t->burst = BURST_NONE;
    if (!next_key(t, k))
        return false;
    if (k->code == KEY_CODE_PASTE)
        return true;
    enter = k->code == KEY_CODE_ENTER;
    t->many_lines = t->many_lines && before;
    /* Only where a line ends is it worth a wait whether its paste goes on. */
    int n = more_waits(before && enter);
    t->more = n > 0;
    if (enter && n > (t->many_lines ? 0 : TYPE_AHEAD)) {
        t->many_lines = true;
        t->burst = BURST_LINE;
    } else if (before || t->more) {
        t->burst = BURST_HEAP;
    }
    return true;
}

enum tty_burst tty_burst(const struct tty *t)
{
    return t->burst;
}
