/* SPDX-License-Identifier: Apache-2.0 */
/* Wraps the user's line for the login shell of a node:
 *
 *   exec /bin/sh -c 'MUSTER_NODE=$2 ...; printf "TOKEN %s\n" "$$" >&2; exec "$SHELL" -c "$1"' \
 *       sh 'LINE' 'NODE' 'HOST' 'USER'
 *
 * /bin/sh tells its pid, which is also the process group that sshd (or the local transport) made,
 * and then becomes the user's own shell, so the line means what it means after `ssh HOST`.
 *
 * The login shell may be of the Bourne family, csh or fish. They agree on 'text' as long as it has
 * no quote, no backslash (fish lets it escape), no "!" (csh's history) and no newline (csh ends the
 * quote); so quotes, backslashes and "!" stand outside of the quotes behind a backslash, which all
 * of them read alike. A line with newlines goes in the encoding of printf's %b. */
#include "wrap.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/exec/transport.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>

static void quote(struct strbuf *out, const char *s)
{
    strbuf_addch(out, '\'');
    while (*s) {
        size_t plain = strcspn(s, "'\\!");
        strbuf_add(out, s, plain);
        s += plain;
        if (!*s)
            break;
        strbuf_addch(out, '\'');
        for (; *s && strchr("'\\!", *s); s++) {
            strbuf_addch(out, '\\');
            strbuf_addch(out, *s);
        }
        strbuf_addch(out, '\'');
    }
    strbuf_addch(out, '\'');
}

/* As %b reads it back. Newlines at the end get lost, which changes no command. */
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

char *wrap_command(const char *token, const char *line, const char *node, const char *host,
                   const char *user)
{
    struct strbuf script, out, encoded;
    strbuf_init(&script, 0);
    strbuf_init(&out, 0);
    strbuf_init(&encoded, 0);

    const char *arg = "$1";
    line = line ? line : "";
    if (strchr(line, '\n')) {
        encode_newlines(&encoded, line);
        line = encoded.s;
        arg = "$(printf %b \"$1\")";
    }
    strbuf_addf(&script,
                "MUSTER_NODE=$2 MUSTER_HOST=$3 MUSTER_USER=$4; "
                "export MUSTER_NODE MUSTER_HOST MUSTER_USER; "
                "printf \"%s %%s\\n\" \"$$\" >&2; exec \"${SHELL:-/bin/sh}\" -c \"%s\"",
                token, arg);

    strbuf_adds(&out, "exec /bin/sh -c ");
    quote(&out, script.s);
    strbuf_adds(&out, " sh ");
    quote(&out, line);
    strbuf_addch(&out, ' ');
    quote(&out, node ? node : "");
    strbuf_addch(&out, ' ');
    quote(&out, host ? host : "");
    strbuf_addch(&out, ' ');
    quote(&out, user ? user : "");

    strbuf_free(&script);
    strbuf_free(&encoded);
    return strbuf_steal(&out);
}

/* $1 the process, $2 the signal or 0, $3 whether to look closer. Not every server makes a process
 * group. Where nobody reaps orphans (a container without an init), the dead stay in the group for
 * ever: ps tells them apart. No quote, backslash or "!" may stand in it: some login shells read
 * them even here. */
char *wrap_stop(int64_t pid, int sig, bool closer)
{
    return x_asprintf("exec /bin/sh -c '"
                      "kill -s \"$2\" -- \"-$1\" 2>/dev/null || kill -s \"$2\" \"$1\" 2>/dev/null; "
                      "kill -s 0 -- \"-$1\" 2>/dev/null || kill -s 0 \"$1\" 2>/dev/null || "
                      "exit %d; "
                      "[ $3 = 0 ] && exit %d; "
                      "ps -A -o pgid= -o stat= 2>/dev/null | { r=%d; while read -r g s; do "
                      "[ \"$g\" = \"$1\" ] || continue; "
                      "case $s in Z*) r=%d;; *) exit %d;; esac; done; exit $r; }"
                      "' sh %" PRId64 " %s %d",
                      STOP_GONE, STOP_THERE, STOP_THERE, STOP_GONE, STOP_THERE, pid,
                      sig == SIGKILL ? "KILL" : sig ? "TERM" : "0", closer);
}
