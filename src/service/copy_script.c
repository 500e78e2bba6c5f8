/* SPDX-License-Identifier: Apache-2.0 */
/* What a copy runs on the nodes: POSIX sh, as dash, bash, busybox and ksh read it.
 *
 * A push unpacks its standard input into a new folder beside the target, checks all sums, and moves
 * what is there into place: rename(2) on one file system, so no half file ever has a final name. The
 * folder goes with the script, however that ends but by SIGKILL.
 *
 * The login shell that reads the line may be csh or fish, so the script is one line, quoted as all of
 * them read it. Inside of it are no comments, and every statement ends with a semicolon. */
#include "copy.h"

#include "muster/base/alloc.h"
#include "muster/base/strbuf.h"
#include "muster/base/text.h"

char *script_line(const char *script, const char *const *args, size_t n)
{
    struct strbuf b;
    strbuf_init(&b, 0);
    strbuf_adds(&b, "exec /bin/sh -c ");
    text_login_quote(&b, script);
    strbuf_adds(&b, " muster");
    for (size_t i = 0; i < n; i++) {
        strbuf_addch(&b, ' ');
        text_login_quote(&b, args[i]);
    }
    return strbuf_steal(&b);
}

/* no RC TEXT: says why and ends. CDPATH would make cd print where it went; names that begin with a
 * dash are no options. */
#define COMMON                                                                                 \
    "LC_ALL=C; export LC_ALL; unset CDPATH; exec 3>&2; "                                       \
    "no() { rc=$1; shift; printf \"%s\\n\" \"muster: $*\" >&2; exit $rc; }; "                  \
    "for t in tar mktemp; do command -v $t >/dev/null 2>&1 || no 70 \"this node has no $t\"; done; " \
    "if command -v sha256sum >/dev/null 2>&1; then sum=sha256sum; "                            \
    "elif command -v shasum >/dev/null 2>&1; then sum=\"shasum -a 256\"; "                     \
    "else no 70 \"this node has neither sha256sum nor shasum: what is copied cannot be checked\"; fi; " \
    /* Forced by a setting of the node: what goes through one is not what comes out. */         \
    "if [ -t 0 ] || [ -t 1 ]; then no 72 \"the node gives a terminal: no file passes one unharmed\"; fi; " \
    "p=$1; case $p in \"~\") p=$HOME;; \"~/\"*) p=$HOME/${p#??};; esac; "                      \
    "case $p in -*) p=./$p;; esac; "

/* 3 is the node's stderr. While tar runs, the shell's own goes nowhere: it would tell of a tar that was
 * stopped ("Terminated"), and dash does so by what the command itself was redirected to. */
#define TAR(also) "{ sh -c \"exec tar \\\"\\$@\\\" 2>&3" also "\" tar "

/* $1 the target, $2 the one name that is sent, or empty; $3 what to say at the end.
 * place FROM TO: folders that are there are merged with, files replaced. Nothing of POSIX makes a
 * function's variable its own but its parameters. */
static const char push_script[] =
    COMMON
    "s=; "
    "trap \"rc=\\$?; trap - EXIT; [ -z \\\"\\$s\\\" ] || rm -rf \\\"\\$s\\\"; exit \\$rc\" EXIT; "
    "trap \"exit 129\" HUP; trap \"exit 130\" INT; trap \"exit 143\" TERM; "
    /* Nobody is there any more to be told why: that must not keep the folder. */
    "trap \"exit 141\" PIPE; "
    "into=; case $p in */) into=1;; esac; [ -n \"$2\" ] || into=1; "
    "if [ -d \"$p\" ]; then into=1; "
    "elif [ -n \"$into\" ]; then no 71 \"$p: no such folder\"; fi; "
    "if [ -n \"$into\" ]; then d=$p; else d=${p%/*}; "
    "case $p in */*) [ -n \"$d\" ] || d=/;; *) d=.;; esac; fi; "
    "[ -d \"$d\" ] || no 71 \"$d: no such folder\"; "
    "s=$(mktemp -d \"${d%/}/.muster-XXXXXX\" 2>&1) || { w=$s; s=; no 72 \"cannot write to $d: $w\"; }; "
    TAR(" >&3") "-xpof - -C \"$s\"; } 2>/dev/null || "
    "no 73 \"the files did not arrive whole, or there is no room\"; "
    "cat >/dev/null; "
    "[ -f \"$s/" COPY_SUMS "\" ] || no 73 \"the files did not arrive whole\"; "
    "(cd \"$s\" && if [ -s " COPY_SUMS " ]; then $sum -c " COPY_SUMS " >/dev/null; fi) || "
    "no 74 \"what arrived is not what was sent\"; "
    "if [ -f \"$s/" COPY_SUMS_ODD "\" ]; then (cd \"$s\" && while IFS= read -r l; do "
    "h=$($sum <\"${l#*  }\") && [ \"${h%% *}\" = \"${l%%  *}\" ] || exit 1; done <" COPY_SUMS_ODD ") || "
    "no 74 \"what arrived is not what was sent\"; fi; "
    "rm -f \"$s/" COPY_SUMS "\" \"$s/" COPY_SUMS_ODD "\"; "
    "place() { if [ -d \"$1\" ] && [ ! -L \"$1\" ]; then "
    "if [ -d \"$2/\" ]; then for f in \"$1\"/* \"$1\"/.[!.]* \"$1\"/..?*; do "
    "if [ -e \"$f\" ] || [ -L \"$f\" ]; then place \"$f\" \"$2/${f##*/}\"; fi; done; return 0; fi; "
    "if [ -e \"$2\" ] || [ -L \"$2\" ]; then no 71 \"$2 is in the way: it is no folder\"; fi; "
    "elif [ -d \"$2\" ]; then no 71 \"$2 is in the way: it is a folder\"; fi; "
    "mv -f \"$1\" \"$2\" || no 75 \"$2 could not be replaced\"; }; "
    "if [ -n \"$into\" ]; then place \"$s\" \"${d%/}\"; else place \"$s/$2\" \"$p\"; fi; "
    "printf \"%s\\n\" \"$3\"";

/* A newline in a name would end its line: not every program for sums escapes it, so that is done here as
 * GNU's does. $0 is the program. */
#define ODD_SUM                                                                                \
    "o='n=$(printf \"\\nx\"); n=${n%x}; for f do h=$($0 <\"$f\") || exit 1; e=; "                \
    "while [ -n \"$f\" ]; do t=${f#?}; c=${f%\"$t\"}; f=$t; case $c in \"$n\") e=$e\\\\n;; "       \
    "\\\\) e=$e\\\\\\\\;; *) e=$e$c;; esac; done; "                                               \
    "printf \"%s\\n\" \"\\\\${h%% *}  $e\"; done'; "

/* $1 what is wanted. A first line that says what comes, the sums and an empty line, the tar: names in
 * it begin in the folder. A file that grows (a log) is summed as far as it was at first. */
static const char pull_script[] =
    COMMON
    "[ -e \"$p\" ] || no 71 \"$p: no such file or folder\"; "
    "b=$p; while :; do case $b in */) b=${b%/};; *) break;; esac; done; b=${b##*/}; "
    "if [ -d \"$p\" ]; then cd -P -- \"$p\" 2>/dev/null || no 72 \"$p cannot be entered\"; "
    "case $b in \"\"|.|..) b=$(pwd -P; echo .); b=${b%??}; b=${b##*/};; esac; "
    "[ -n \"$b\" ] || no 71 \"the whole file system is no folder to copy: name one in it\"; "
    "k=$(du -sk . 2>/dev/null | { read -r k x; echo $k; }); "
    "printf \"%s\\n\" \"" COPY_PULL_MAGIC " $((${k:-0} * 1024)) folder $b\"; "
    "n=$(printf \"\\nx\"); n=${n%x}; "
    "if [ -n \"$(find . -name \"*$n*\" -print)\" ]; then " ODD_SUM
    "find . -type f ! -path \"*$n*\" -exec $sum {} + && "
    "find . -type f -path \"*$n*\" -exec sh -c \"$o\" \"$sum\" {} +; "
    "else find . -type f -exec $sum {} +; fi || no 72 \"not everything in $p can be read\"; echo; "
    TAR("") "-cf - .; } 2>/dev/null; r=$?; "
    "elif [ -f \"$p\" ]; then [ -r \"$p\" ] || no 72 \"$p cannot be read\"; "
    "case $p in */*) d=${p%/*}/;; *) d=./;; esac; "
    "cd -P -- \"$d\" || no 72 \"$d cannot be entered\"; "
    "n=$(wc -c <\"./$b\") && n=$((n)) && h=$(head -c $n <\"./$b\" | $sum) || no 72 \"$p cannot be read\"; "
    "printf \"%s\\n\" \"" COPY_PULL_MAGIC " $n file $b\" \"${h%% *}  ./$b\" \"\"; "
    TAR("") "-chf - \"./$b\"; } 2>/dev/null; r=$?; "
    "else no 71 \"$p is neither a file nor a folder\"; fi; "
    /* 1: something changed while it was read, which the sums tell better. */
    "[ $r -le 1 ] || no 73 \"tar could not read everything in $p\"";

char *copy_push_script(const struct copy_request *c, const struct copy_list *l)
{
    CLEANUP_FREE char *text = copy_count_text(l->files, l->bytes);
    const char *const args[] = {c->remote, l->tops == 1 ? l->v[0].name : "", text};
    return script_line(push_script, args, ARRAY_LEN(args));
}

char *copy_pull_script(const struct copy_request *c)
{
    const char *const args[] = {c->remote};
    return script_line(pull_script, args, ARRAY_LEN(args));
}
