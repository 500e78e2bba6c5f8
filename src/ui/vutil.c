/* SPDX-License-Identifier: Apache-2.0 */
/* What the views share: words and roles of states, the cursor row, empty panes, wrapped text. */
#include "vutil.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/base/vec.h"
#include "muster/ui/app.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

const char *vu_exec_word(enum exec_status s, enum reason r)
{
    return s == EXEC_FAILED && r != REASON_NONE ? reason_word(r) : exec_status_word(s);
}

const char *vu_exec_glyph(enum exec_status s, enum reason r)
{
    return s == EXEC_FAILED && r != REASON_NONE ? reason_glyph(r) : exec_status_glyph(s);
}

enum role vu_exec_role(enum exec_status s, enum reason r)
{
    switch (s) {
    case EXEC_QUEUED:
        return ROLE_WAIT;
    case EXEC_RUNNING:
        return ROLE_RUN;
    case EXEC_SUCCESS:
        return ROLE_OK;
    default:
        return r == REASON_CANCELLED || r == REASON_SKIPPED ? ROLE_WARN : ROLE_FAIL;
    }
}

char *vu_exec_code(const struct execution *x, char *buf)
{
    if (x->signal)
        snprintf(buf, 32, "signal %.20s", x->signal);
    else if (x->exit_code >= 0 && exec_is_final(x->status))
        snprintf(buf, 32, "rc=%d", x->exit_code);
    else
        buf[0] = '\0';
    return buf;
}

char *vu_exec_time(const struct execution *x, int64_t now_ms, char *buf)
{
    /* Of what was lost nobody knows when it ended. */
    bool known = x->started_ms > 0 && (x->duration_ms >= 0 || !exec_is_final(x->status));
    if (known)
        text_duration(execution_duration_ms(x, now_ms), buf);
    else
        snprintf(buf, 32, "-");
    return buf;
}

void vu_count(struct strbuf *out, const char *glyph, const char *word, uint32_t n)
{
    char num[32];
    if (n > 0)
        strbuf_addf(out, "%s%s %s %s", out->len ? "  " : "", glyph, word, text_count(n, num));
}

static char *why_failed(const struct execution *x)
{
    char code[32];
    if (x->status != EXEC_FAILED)
        return x_strdup("");
    if (x->error && *x->error)
        return text_clean(x->error);
    vu_exec_code(x, code);
    if (*code)
        return text_clean(code);
    return x_strdup(reason_name(x->reason));
}

char *vu_exec_why(const struct execution *x)
{
    char *why = why_failed(x), bytes[64];
    if (x->status == EXEC_RUNNING && !*why && x->bytes_done) {
        free(why);
        return x_strdup(bytes_progress(x->bytes_done, x->bytes_total, bytes));
    }
    if (!x->truncated[0] && !x->truncated[1])
        return why;
    char *both = x_asprintf("%s%soutput truncated", why, *why ? "; " : "");
    free(why);
    return both;
}

char *vu_time(int64_t ms, int64_t now_ms, char *buf)
{
    struct tm t, n;
    time_t at = (time_t) (ms / 1000), now = (time_t) (now_ms / 1000);
    if (ms <= 0 || !localtime_r(&at, &t) || !localtime_r(&now, &n)) {
        snprintf(buf, 32, "-");
        return buf;
    }
    bool today = t.tm_year == n.tm_year && t.tm_yday == n.tm_yday;
    strftime(buf, 32, today ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &t);
    return buf;
}

int vu_gap(const struct surface *s, struct rect body)
{
    return body.x + body.w < s->cols;
}

void vu_cursor_row(struct surface *s, struct rect body, int y, bool focused)
{
    if (y < body.y || y >= body.y + body.h || body.w < 1)
        return;
    if (focused) {
        surface_paint(s, (struct rect) {body.x, y, body.w, 1}, ROLE_CURSOR, true);
        surface_cursor(s, body.x, y, false);
    } else if (surface_at(s, body.x, y) == '>') {
        surface_text(s, body, body.x, y, ROLE_DIM, ".");
    }
}

void vu_teach(struct surface *s, struct rect body, const char *const *lines, size_t n)
{
    int y = body.y;
    for (size_t i = 0; i < n; i++) {
        struct strv rows = STRV_INIT;
        vu_wrap(&rows, lines[i], body.w - 1, 4);
        for (size_t k = 0; k < rows.n && y < body.y + body.h; k++, y++)
            surface_text(s, body, body.x + 1, y, i == 0 ? ROLE_NORMAL : ROLE_DIM, rows.v[k]);
        strv_clear(&rows);
    }
}

/* How many bytes of s fit into w columns; at least one character. */
static size_t fit_bytes(const char *s, int w)
{
    size_t i = 0, len = strlen(s);
    int used = 0;
    while (i < len) {
        uint32_t cp;
        size_t k = utf8_decode(s + i, len - i, &cp);
        if (k == 0) {
            k = 1;
            cp = '?';
        }
        int cw = text_cp_width(cp);
        if (used + cw > w && i > 0)
            break;
        used += cw;
        i += k;
    }
    return i;
}

static void wrap_line(struct strv *out, const char *line, int w, size_t max)
{
    do {
        size_t n = fit_bytes(line, w), cut = n;
        if (line[n]) {
            while (cut > 0 && line[cut] != ' ' && line[cut - 1] != ' ')
                cut--;
            if (cut < n / 3 || cut == 0)
                cut = n;
        }
        if (out->n + 1 == max && line[cut]) {
            char *text = x_asprintf("%.*s...", (int) (cut > 3 ? cut - 3 : 0), line);
            strv_push_own(out, text);
            return;
        }
        strv_push_own(out, x_strndup(line, cut));
        line += cut;
        while (*line == ' ' && cut > 0)
            line++;
    } while (*line && out->n < max);
}

void vu_wrap(struct strv *out, const char *text, int w, size_t max)
{
    struct strbuf b;
    size_t limit = out->n + max;
    if (w < 1)
        w = 1;
    strbuf_init(&b, 0);
    text_sanitise(&b, text, strlen(text), TEXT_KEEP_NL | TEXT_EXPAND_TAB);
    char *line = b.s;
    while (line && out->n < limit) {
        char *nl = strchr(line, '\n');
        if (nl)
            *nl = '\0';
        wrap_line(out, line, w, limit);
        line = nl ? nl + 1 : NULL;
    }
    strbuf_free(&b);
}

void vu_fact(struct strv *out, const char *name, int name_w, const char *text, int w, size_t max)
{
    struct strv rows = STRV_INIT;
    int room = w - name_w - 1;
    vu_wrap(&rows, text, room > 10 ? room : 10, max);
    for (size_t i = 0; i < rows.n; i++)
        strv_push_own(out, x_asprintf("%-*s %s", name_w, i == 0 ? name : "", rows.v[i]));
    strv_clear(&rows);
}

char *vu_path(const char *path)
{
    const char *home = getenv("HOME");
    size_t n = home ? strlen(home) : 0;
    if (!path)
        return x_strdup("");
    if (n > 1 && strncmp(path, home, n) == 0 && path[n] == '/')
        return x_asprintf("~%s", path + n);
    return x_strdup(path);
}

enum view_result vu_no_use(struct app *a, enum action act)
{
    char key[16];
    switch (act) {
    case ACT_NEXT_PANE:
    case ACT_PREV_PANE:
        if (a->n_overlays == 0)
            return VIEW_IGNORED;
        app_toast(a, "Esc closes this first; the panes are behind it");
        return VIEW_DONE;
    case ACT_OPEN:
    case ACT_FILTER:
    case ACT_FIND_NEXT:
    case ACT_FIND_PREV:
    case ACT_WRAP:
    case ACT_STREAM:
    case ACT_FOLLOW:
    case ACT_NODE:
    case ACT_NEXT_TAB:
    case ACT_PREV_TAB:
    case ACT_NOTE:
    case ACT_RAW:
    case ACT_FORGET:
        app_toast(a, "%s does nothing here (? helps)", action_key(act, key));
        return VIEW_DONE;
    default:
        return VIEW_IGNORED;
    }
}

void vu_open_output(struct app *a, int64_t batch, uint32_t position)
{
    a->node_batch = batch;
    a->node_position = position;
    app_push(a, &view_output);
}

void vu_open_node(struct app *a, const char *node)
{
    char *copy = x_strdup(node);
    free(a->node_name);
    a->node_name = copy;
    app_push(a, &view_node);
}
