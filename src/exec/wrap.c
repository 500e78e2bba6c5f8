/* SPDX-License-Identifier: Apache-2.0 */
/* Wraps the user's line for the login shell of a node:
 *
 *   exec /bin/sh -c 'printf "TOKEN %s\n" "$$" >&2; eval "$(printf %b "$1")"' sh 'BODY'
 *
 * /bin/sh tells its pid, which is also the process group that sshd (or the local transport) made.
 * BODY is a script too: it exports, changes the folder, and becomes the user's own shell with the
 * user's line, so that the line means what it means after `ssh HOST`. It goes in the encoding of
 * printf's %b. What would be too long for an exec request is read from the input instead, in short
 * lines that a terminal takes too, up to an empty one.
 *
 * To become another user, the first script tells a first token and turns into sudo, su or doas with
 * a second one (INNER), which is the target user's and does the rest.
 *
 * The login shell may be of the Bourne family, csh or fish. They agree on 'text' as long as it has
 * no quote, no backslash (fish lets it escape), no "!" (csh's history) and no newline (csh ends the
 * quote); so quotes, backslashes and "!" stand outside of the quotes behind a backslash, which all
 * of them read alike. */
#include "wrap.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"
#include "muster/exec/transport.h"

#include <ctype.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#define EXIT_CHDIR "76" /* no usual code of a command, and none of a copy's (70 to 75) */
#define INPUT_LINE 1000 /* a terminal takes no longer lines than 4095 bytes */

static void add_word(struct strbuf *out, const char *s)
{
    strbuf_addch(out, ' ');
    text_login_quote(out, s ? s : "");
}

/* As %b reads it back. */
static void encode_newlines(struct strbuf *out, const char *s)
{
    for (; *s; s++) {
        if (*s == '\n')
            strbuf_adds(out, "\\n");
        else if (*s == '\\')
            strbuf_adds(out, "\\\\");
        else
            strbuf_addch(out, *s);
    }
}

/* The same for the input: ASCII alone, since a terminal acts on controls, and some shells' read takes
 * a newline for a part of the character before it. In lines, then an empty one. */
static char *encode_input(const char *s)
{
    struct strbuf out;
    size_t column = 0;

    strbuf_init(&out, 0);
    for (; *s; s++) {
        size_t before = out.len;
        unsigned char c = (unsigned char) *s;

        if (c == '\\')
            strbuf_adds(&out, "\\\\");
        else if (c < ' ' || c >= 0x7f)
            strbuf_addf(&out, "\\0%03o", (unsigned) c);
        else
            strbuf_addch(&out, *s);
        column += out.len - before;
        if (column >= INPUT_LINE) {
            strbuf_addch(&out, '\n');
            column = 0;
        }
    }
    strbuf_adds(&out, column ? "\n\n" : "\n");
    return strbuf_steal(&out);
}

static void add_export(struct strbuf *out, const char *name, size_t len, const char *value)
{
    strbuf_adds(out, "export ");
    strbuf_add(out, name, len);
    strbuf_addch(out, '=');
    text_sh_quote(out, value ? value : "");
    strbuf_adds(out, "; ");
}

/* NAME=VALUE. What is no name would be a command: left out, should it ever come here. */
static void add_env(struct strbuf *out, const char *pair)
{
    size_t len = 0;

    while (isalnum((unsigned char) pair[len]) || pair[len] == '_')
        len++;
    if (len && pair[len] == '=' && !isdigit((unsigned char) pair[0]))
        add_export(out, pair, len, pair + len + 1);
}

static void add_chdir(struct strbuf *out, const char *dir)
{
    bool home = dir[0] == '~' && (!dir[1] || dir[1] == '/');

    strbuf_adds(out, home ? "d=${HOME:-/nonexistent}" : "d=");
    if (!home && dir[0] == '-')
        strbuf_adds(out, "./"); /* "-" alone is the folder before */
    text_sh_quote(out, home ? dir + 1 : dir);
    strbuf_adds(out, "; CDPATH= cd -- \"$d\" >/dev/null 2>&1 || { "
                     "r=\"it cannot be entered\"; [ -d \"$d\" ] || r=\"it is no folder\"; "
                     "[ -e \"$d\" ] || r=\"there is no such folder\"; "
                     "printf \"muster: %s: %s; the command was not run\\n\" \"$d\" \"$r\" >&2; "
                     "exit " EXIT_CHDIR "; }; unset d; ");
}

static char *body(const struct wrap *w)
{
    struct strbuf out;

    strbuf_init(&out, 0);
    add_export(&out, "MUSTER_NODE", 11, w->node);
    add_export(&out, "MUSTER_HOST", 11, w->host);
    add_export(&out, "MUSTER_USER", 11, w->user);
    /* Of an account that nobody signs in to. */
    if (w->become)
        strbuf_adds(&out, "case ${SHELL##*/} in nologin|false|true) "
                          "SHELL=/bin/sh; export SHELL;; esac; ");
    for (size_t i = 0; w->env && i < w->env->n; i++)
        add_env(&out, w->env->v[i]);
    if (w->own_env)
        add_env(&out, w->own_env);
    if (w->chdir && *w->chdir)
        add_chdir(&out, w->chdir);
    strbuf_adds(&out, "exec \"${SHELL:-/bin/sh}\" -c ");
    text_sh_quote(&out, w->line ? w->line : "");
    return strbuf_steal(&out);
}

/* What has told the token goes on with the body. A terminal would show what is read; an input that ends
 * too early runs nothing. */
#define QUIET "stty -echo 2>/dev/null; "

static void add_go_on(struct strbuf *out, bool by_input)
{
    if (by_input)
        strbuf_adds(out,
                    "p=; while :; do IFS= read -r l || exit 1; [ -n \"$l\" ] || break; p=$p$l; "
                    "done; stty echo 2>/dev/null; set -- \"$p\"; unset p l; ");
    strbuf_adds(out, "eval \"$(printf %b \"$1\")\"");
}

/* The script of the target user. Whether it has a process group of its own is up to sudo (use_pty)
 * and su. $2 and $3 are LC_ALL and LANGUAGE as they were, behind an x, or empty when unset. */
static char *inner(const struct wrap *w, bool by_input)
{
    struct strbuf out;

    strbuf_init(&out, 0);
    if (w->become == BECOME_SUDO)
        strbuf_adds(&out, "unset LC_ALL LANGUAGE; "
                          "case $2 in x*) LC_ALL=${2#x}; export LC_ALL;; esac; "
                          "case $3 in x*) LANGUAGE=${3#x}; export LANGUAGE;; esac; ");
    if (by_input)
        strbuf_adds(&out, QUIET);
    strbuf_addf(&out,
                "g=; { read -r a b c d g h </proc/$$/stat; } 2>/dev/null; "
                "[ \"$g\" ] || g=$(ps -o pgid= -p $$ 2>/dev/null); "
                "printf \"%s %%s\\n\" ${g:-$$} >&2; unset a b c d g h; ", w->token);
    add_go_on(&out, by_input);
    return strbuf_steal(&out);
}

/* $1 is the body, $2 the user, $3 the script (su: the line of the target's login shell). */
static void add_become(struct strbuf *script, const struct wrap *w)
{
    strbuf_addf(script, "printf \"%s %%s\\n\" \"$$\" >&2; ", w->outer);
    if (w->become == BECOME_SU) {
        strbuf_adds(script, "exec su \"$2\" -c \"$3\"");
    } else if (w->become == BECOME_DOAS) {
        strbuf_addf(script, "exec doas %s-u \"$2\" -- /bin/sh -c \"$3\" sh \"$1\"",
                    w->prompt ? "" : "-n ");
    } else {
        strbuf_adds(script, "a=${LC_ALL+x$LC_ALL} b=${LANGUAGE+x$LANGUAGE}; "
                            "LC_ALL=C LANGUAGE=; export LC_ALL LANGUAGE; exec sudo ");
        if (w->prompt)
            strbuf_addf(script, "-S -p \"%s\" ", w->prompt);
        else
            strbuf_adds(script, "-n ");
        strbuf_adds(script, "-u \"$2\" -- /bin/sh -c \"$3\" sh \"$1\" \"$a\" \"$b\"");
    }
}

/* data: the encoded body, or "" when it comes by the input. */
static char *build(const struct wrap *w, const char *data, bool by_input)
{
    struct strbuf script, out;

    strbuf_init(&script, 0);
    strbuf_init(&out, 0);
    if (w->become) {
        add_become(&script, w);
    } else {
        if (by_input)
            strbuf_adds(&script, QUIET);
        strbuf_addf(&script, "printf \"%s %%s\\n\" \"$$\" >&2; ", w->token);
        add_go_on(&script, by_input);
    }
    strbuf_adds(&out, "exec /bin/sh -c");
    add_word(&out, script.s);
    strbuf_adds(&out, " sh");
    add_word(&out, w->become == BECOME_SU ? "" : data);
    if (w->become) {
        CLEANUP_FREE char *target = inner(w, by_input);

        add_word(&out, w->become_user);
        if (w->become == BECOME_SU) {
            strbuf_reset(&script);
            strbuf_adds(&script, "exec /bin/sh -c");
            add_word(&script, target);
            strbuf_adds(&script, " sh");
            add_word(&script, data);
        }
        add_word(&out, w->become == BECOME_SU ? script.s : target);
    }
    strbuf_free(&script);
    return strbuf_steal(&out);
}

char *wrap_command(const struct wrap *w, char **input)
{
    CLEANUP_FREE char *plain = body(w);
    struct strbuf encoded;

    *input = NULL;
    strbuf_init(&encoded, 0);
    encode_newlines(&encoded, plain);

    char *line = build(w, encoded.s, false);

    strbuf_free(&encoded);
    if (strlen(line) <= INLINE_MAX)
        return line;
    free(line);
    *input = encode_input(plain);
    return build(w, "", true);
}

/* $1 the process, $2 the signal or 0, $3 whether to look closer. Not every server makes a process
 * group (dropbear): then the process and all that descend from it are signalled. Where nobody reaps
 * orphans (a container without an init), the dead stay in the group for ever: ps tells them apart. No
 * quote, backslash or "!" may stand in it: some login shells read them even here. */
#define STOP_SCRIPT                                                                                \
    "k() { kill -s \"$@\" 2>/dev/null; }; "                                                        \
    "f() { echo \"$1\"; for c in $(ps -A -o ppid= -o pid= 2>/dev/null | while read -r a b; do "    \
    "[ \"$a\" = \"$1\" ] && echo \"$b\"; done); do f \"$c\"; done; }; "                            \
    "if k 0 -- \"-$1\"; then k \"$2\" -- \"-$1\"; else k \"$2\" $(f \"$1\"); fi; "                 \
    "k 0 -- \"-$1\" || k 0 \"$1\" || exit %d; "                                                    \
    "[ $3 = 0 ] && exit %d; "                                                                      \
    "ps -A -o pgid= -o stat= 2>/dev/null | { r=%d; while read -r g s; do "                         \
    "[ \"$g\" = \"$1\" ] || continue; "                                                            \
    "case $s in Z*) r=%d;; *) exit %d;; esac; done; exit $r; }"

char *wrap_stop(int64_t pid, int sig, bool closer, enum become_method become,
                const char *become_user, bool password)
{
    struct strbuf line, out;

    strbuf_init(&line, 0);
    strbuf_init(&out, 0);
    strbuf_addf(&line, "/bin/sh -c '" STOP_SCRIPT "' sh %" PRId64 " %s %d", STOP_GONE, STOP_THERE,
                STOP_THERE, STOP_GONE, STOP_THERE, pid,
                sig == SIGKILL ? "KILL" : sig ? "TERM" : "0", closer);
    strbuf_adds(&out, "exec ");
    if (become == BECOME_SUDO)
        strbuf_adds(&out, password ? "sudo -S -k -p '' -u" : "sudo -n -u");
    else if (become == BECOME_DOAS)
        strbuf_adds(&out, "doas -n -u");
    else if (become == BECOME_SU)
        strbuf_adds(&out, "su");
    if (become)
        add_word(&out, become_user);
    if (become == BECOME_SU) {
        strbuf_adds(&out, " -c");
        add_word(&out, line.s);
    } else {
        strbuf_addf(&out, "%s%s", become ? " -- " : "", line.s);
    }
    strbuf_free(&line);
    return strbuf_steal(&out);
}
