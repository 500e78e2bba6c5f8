/* SPDX-License-Identifier: Apache-2.0 */
/* What a task's nodes run: POSIX sh, as dash, bash, busybox and ksh read it.
 *
 * Its standard input is a line of assignments for the environment, a line of JSON without its closing
 * brace, and the script or an archive to the end. So no parameter is ever in a command line, and nothing
 * is run before all of it has come. It lies in a folder of its own with a new name, where the system lets
 * programs be run; else the interpreter of its first line runs it.
 *
 * The folder goes with the script by its traps. What no trap sees (KILL) is seen by a watcher in a
 * session of its own: it holds the reading end of a FIFO without a name, the script the only writing
 * one, and the read ends when the script does.
 *
 * The line is quoted for all login shells as a copy's is (copy_script.c): no comments, and a semicolon
 * after every statement. */
#include "work.h"

#include "copy.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/secret.h"
#include "muster/base/strbuf.h"
#include "muster/core/json.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* $1 the way ("es:/bin/bash -e:tasks/x.sh"), or empty: in MUSTER_TASK; $2 the bytes of the one file, or
 * 0: an archive; $3 "i": it is told the folder.
 * A name that was exported before is unset: it would be seen by the task, whatever is put into it. */
#define BEGIN                                                                                  \
    "unset CDPATH rc e j d s x f n l t w; exec 9>&2; "                                         \
    "no() { rc=$1; shift; printf \"%s\\n\" \"muster: $*; the task was not run\" >&2; exit $rc; }; " \
    "w=${1:-$" TASK_WAY "}; unset " TASK_WAY "; "                                              \
    "l=${LC_ALL+x$LC_ALL}; LC_ALL=C; n=$(printf \"\\nx\"); n=${n%x}; "                         \
    "case $(command -V printf 2>/dev/null) in *built*) ;; "                                    \
    "*) no 70 \"/bin/sh of this node has no printf of its own, and parameters would show in its list of " \
    "processes\";; esac; "                                                                     \
    "if [ -t 0 ]; then no 72 \"the node gives a terminal, which shows parameters\"; fi; "       \
    "IFS= read -r e && IFS= read -r j || no 73 \"the parameters did not arrive whole\"; "       \
    "command -v mktemp >/dev/null 2>&1 || no 70 \"this node has no mktemp\"; "                  \
    "gone() { for t in \"$d\" \"$s\"; do [ -z \"$t\" ] || rm -rf \"$t\" 2>/dev/null || "        \
    "{ chmod -R u+rwx \"$t\"; rm -rf \"$t\"; } 2>/dev/null; done; }; "                          \
    "d= s= x=; trap \"rc=\\$?; trap - EXIT; gone; exit \\$rc\" EXIT; "                         \
    "trap \"exit 129\" HUP; trap \"exit 130\" INT; trap \"exit 143\" TERM; "

/* A name with what JSON escapes in it is no place to tell a task of. */
#define PLACE                                                                                  \
    "for t in \"$TMPDIR\" /tmp /var/tmp \"$HOME\"; do "                                         \
    "case $t in *\\\\*|*\\\"*|*\"$n\"*) continue;; /*) ;; *) continue;; esac; "                 \
    "d=$(mktemp -d \"${t%/}/.muster-XXXXXXXXXX\" 2>/dev/null) || { d=; continue; }; "           \
    "{ printf \"#!/bin/sh\\n\" >\"$d/.x\" && chmod 700 \"$d/.x\"; } 2>/dev/null || "            \
    "{ rm -rf \"$d\"; d=; continue; }; "                                                       \
    "if \"$d/.x\" </dev/null 9>&- 2>/dev/null; then x=1; break; fi; "                           \
    "if [ -z \"$s\" ]; then s=$d; else rm -rf \"$d\"; fi; d=; done; "                           \
    "if [ -z \"$d\" ]; then d=$s; s=; elif [ -n \"$s\" ]; then rm -rf \"$s\"; s=; fi; "         \
    "[ -n \"$d\" ] || no 72 \"no folder of this node takes files: TMPDIR, /tmp, /var/tmp, the home\"; " \
    "rm -f \"$d/.x\"; "

/* The substitution ends when the watcher has left our group (it closes its output then), not before: what
 * kills the group at once would take it along. */
#define WATCH                                                                                  \
    "if command -v setsid >/dev/null 2>&1 && mkfifo \"$d/.w\" 2>/dev/null; then "               \
    "exec 8<>\"$d/.w\"; exec 7<\"$d/.w\"; rm -f \"$d/.w\"; "                                    \
    "t=$(setsid /bin/sh -c \"trap \\\"\\\" HUP INT TERM; exec >/dev/null; cd /; read -r x; "     \
    "rm -rf \\\"\\$1\\\" || { chmod -R u+rwx \\\"\\$1\\\"; rm -rf \\\"\\$1\\\"; }\" muster \"$d\" " \
    "<&7 7<&- 8>&- 9>&- 2>/dev/null &); exec 7<&-; fi; "

#define TAKE                                                                                   \
    "rc=${w%%:*}; w=${w#*:}; t=${w%%:*}; f=$d/${w#*:}; "                                        \
    "if [ \"$2\" != 0 ]; then cat >\"$f\" || no 73 \"its script cannot be written to $d\"; "     \
    "[ $(wc -c <\"$f\") -eq \"$2\" ] || no 73 \"its script did not arrive whole\"; "             \
    "else command -v tar >/dev/null 2>&1 || no 70 \"this node has no tar\"; "                   \
    "if command -v sha256sum >/dev/null 2>&1; then w=sha256sum; "                              \
    "elif command -v shasum >/dev/null 2>&1; then w=\"shasum -a 256\"; "                       \
    "else no 70 \"this node has neither sha256sum nor shasum\"; fi; "                          \
    "(umask 077; exec tar -xpof - -C \"$d\" 2>&9) 2>/dev/null || "                               \
    "no 73 \"its files did not arrive whole, or there is no room\"; cat >/dev/null; "           \
    "[ -f \"$d/" COPY_SUMS "\" ] || no 73 \"its files did not arrive whole\"; "                 \
    "(cd \"$d\" && $w -c " COPY_SUMS " >/dev/null) || no 74 \"what arrived is not what was sent\"; " \
    "rm -f \"$d/" COPY_SUMS "\" \"$d/" COPY_SUMS_ODD "\"; fi; "                                 \
    "chmod 700 \"$f\"; "

/* $t, the interpreter, is cut at its first blank, as Linux does. While it runs, the shell's own stderr goes
 * nowhere: it would tell of a script that was stopped ("Terminated"). */
#define RUN                                                                                    \
    "case $l in x*) LC_ALL=${l#x};; *) unset LC_ALL;; esac; "                                   \
    "case $rc in *e*) eval \"$e\";; esac; "                                                     \
    "if [ \"$3\" ]; then j=\"$j,\\\"_installdir\\\":\\\"$d\\\"\"; "                             \
    "case $rc in *e*) PT__installdir=$d; export PT__installdir;; esac; fi; "                   \
    "shift 3; if [ -n \"$x\" ]; then set -- \"$f\" \"$@\"; else case $t in "                   \
    "\"\") no 72 \"every folder of this node forbids programs (noexec)\";; "                    \
    "*\" \"*) set -- \"${t%% *}\" \"${t#* }\" \"$f\" \"$@\";; *) set -- \"$t\" \"$f\" \"$@\";; esac; fi; " \
    "unset e w t l x f; "                                                                      \
    "{ case $rc in *s*) printf \"%s}\\n\" \"$j\" 2>/dev/null 8>&- 9>&- | "                        \
    "(exec \"$@\" 2>&9 8>&- 9>&-);; *) (exec \"$@\" </dev/null 2>&9 8>&- 9>&-);; esac; } 2>/dev/null; " \
    "rc=$?; exit $rc"

char *task_script_way(enum task_input input, const char *interpreter, const char *file)
{
    return x_asprintf("%s:%s:%s", input == TASK_INPUT_BOTH    ? "es"
                                  : input == TASK_INPUT_STDIN ? "s"
                                                              : "e", interpreter, file);
}

char *task_script(const char *way, uint64_t size, bool installdir)
{
    static const char script[] = BEGIN PLACE WATCH TAKE RUN;
    char bytes[24];
    snprintf(bytes, sizeof bytes, "%" PRIu64, size);
    const char *const args[] = {way ? way : "", bytes, installdir ? "i" : ""};
    return script_line(script, args, ARRAY_LEN(args));
}

/* --- what it reads first --- */

static bool is_name(const char *s)
{
    if (!*s)
        return false;
    for (; *s; s++)
        if (!isascii((unsigned char) *s) || (!isalnum((unsigned char) *s) && *s != '_'))
            return false;
    return true;
}

/* In the assignments $n is a newline. */
static void add_quoted(struct strbuf *out, const char *s)
{
    strbuf_addch(out, '\'');
    for (; *s; s++) {
        if (*s == '\'')
            strbuf_adds(out, "'\\''");
        else if (*s == '\n')
            strbuf_adds(out, "'\"$n\"'");
        else
            strbuf_addch(out, *s);
    }
    strbuf_addch(out, '\'');
}

static int add_variable(const char *key, struct json *value, void *ctx)
{
    struct strbuf *out = ctx;
    if (!is_name(key))
        return 0;
    const char *text = !value ? "null" : json_str(value) ? json_str(value) : json_text(value, NULL);
    strbuf_addf(out, "export PT_%s=", key);
    add_quoted(out, text);
    strbuf_adds(out, "; ");
    if (value && !json_str(value))
        secret_wipe((char *) (uintptr_t) text, strlen(text)); /* json's own copy */
    return 0;
}

/* A NUL, which is no part of any variable. */
static bool has_nul(const char *json)
{
    for (const char *p = json; (p = strchr(p, '\\')) != NULL; p += 2)
        if (strncmp(p, "\\u0000", 6) == 0)
            return true;
    return false;
}

int task_script_input(struct json *values, struct secret **out, struct err *e)
{
    size_t n;
    char *text = (char *) (uintptr_t) json_text(values, &n);
    int rc = 0;
    if (n > WORK_PARAMS_MAX)
        rc = err_set(e, ERR_VALIDATION, "the parameters have %zu bytes as JSON; at most %zu are possible: "
                     "send a file first (muster push)", n, WORK_PARAMS_MAX);
    else if (has_nul(text))
        rc = err_set(e, ERR_VALIDATION, "a parameter has a NUL byte in it, which no variable can hold");
    if (rc == 0) {
        /* Room for all at once: a buffer that grows leaves copies behind. */
        struct strbuf b;
        strbuf_init(&b, 0);
        CLEANUP_FREE char *room = x_calloc(1, 8 * n + 1024);
        strbuf_add(&b, room, 8 * n + 1024);
        strbuf_reset(&b);
        CLEANUP_FREE char *json = x_strndup(text, n - 1);
        json_each(values, add_variable, &b);
        strbuf_addf(&b, "\n%s", json);
        *out = secret_new_large(b.s, b.len);
        secret_wipe(json, n - 1);
        secret_wipe(b.s, b.len);
        strbuf_free(&b);
    }
    secret_wipe(text, n);
    return rc;
}
