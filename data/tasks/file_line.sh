#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Sees to it that a line is in a file, or that it is not. The file is replaced in one step, and keeps
# its owner and mode.

set -u

# -- the same in each of these tasks: one JSON object out of shell words -----------------------
members=

# Any bytes as a JSON string: control characters are escaped, what is no UTF-8 becomes U+FFFD.
json_string() {
    case $1 in
    *[!a-zA-Z0-9\ ._/:,@%+=-]*) ;;
    *)
        printf '"%s"' "$1"
        return
        ;;
    esac
    JSON_TEXT=$1 LC_ALL=C awk '
    function follows(from, to, n, k) {
        if (from < ord[substr(s, i + 1, 1)] + 1 && ord[substr(s, i + 1, 1)] <= to) {
            for (k = 2; k <= n; k++)
                if (ord[substr(s, i + k, 1)] < 128 || ord[substr(s, i + k, 1)] > 191)
                    return 0
            return n
        }
        return 0
    }
    BEGIN {
        for (i = 1; i < 256; i++)
            ord[sprintf("%c", i)] = i
        s = ENVIRON["JSON_TEXT"]
        len = length(s)
        out = "\""
        for (i = 1; i <= len; i++) {
            ch = substr(s, i, 1)
            o = ord[ch]
            if (ch == "\\" || ch == "\"") {
                out = out "\\" ch
            } else if (o < 32 || o == 127) {
                out = out sprintf("\\u%04x", o)
            } else if (o < 128) {
                out = out ch
            } else {
                n = 0
                if (o >= 194 && o <= 223)
                    n = follows(128, 191, 1)
                else if (o >= 224 && o <= 239)
                    n = follows(o == 224 ? 160 : 128, o == 237 ? 159 : 191, 2)
                else if (o >= 240 && o <= 244)
                    n = follows(o == 240 ? 144 : 128, o == 244 ? 143 : 191, 3)
                out = out (n ? substr(s, i, n + 1) : "\\ufffd")
                i += n
            }
        }
        printf "%s\"", out
    }'
}

raw() { # NAME JSON
    members="$members${members:+,}\"$1\":$2"
}

text() { # NAME WORDS
    raw "$1" "$(json_string "$2")"
}

maybe() { # NAME WORDS: null when there are none
    if [ -n "$2" ]; then text "$1" "$2"; else raw "$1" null; fi
}

number() { # NAME DIGITS: null for anything else
    case $2 in
    '' | *[!0-9]*) raw "$1" null ;;
    *) raw "$1" "$2" ;;
    esac
}

answer() {
    printf '{%s}\n' "$members"
    exit 0
}

# Ends with _error; what was gathered so far is its details.
fail() { # KIND MESSAGE [EXIT CODE]
    printf '{"_error":{"msg":%s,"kind":%s,"details":{%s}}}\n' \
        "$(json_string "$2")" "$(json_string "$1")" "$members"
    exit "${3:-1}"
}
# -- end of the common part --------------------------------------------------------------------

path=${PT_path:-}
line=${PT_line:-}
match=${PT_match:-}
state=${PT_state:-present}
create=${PT_create:-false}
backup=${PT_backup:-false}

export LC_ALL=C
newline='
'
tmp=
text path "$path"
text state "$state"
case $path in
/*) ;;
*) fail file_line/path "path is to begin with a /: $path" ;;
esac
case $line$match in
*"$newline"*) fail file_line/line "line and match are one line each, and hold no line break" ;;
esac
case $state in
present) [ -n "${PT_line+set}" ] || fail file_line/line "line is what is to be present" ;;
absent)
    [ -n "${PT_line+set}" ] || [ -n "$match" ] ||
        fail file_line/line "line or match says what is to be absent"
    ;;
*) fail file_line/state "state is to be present or absent, not $state" ;;
esac

# The file itself, and not a link to it, is what gets replaced.
if [ -L "$path" ]; then
    target=$(readlink -f -- "$path") && [ -n "$target" ] ||
        fail file_line/path "$path is a link that leads nowhere"
    path=$target
fi

finish() { # CHANGED
    raw changed "$1"
    answer
}

if [ ! -e "$path" ]; then
    [ "$state" = present ] || finish false
    [ "$create" = true ] || fail file_line/no-file "there is no $path; create=true makes it"
    [ -d "${path%/*}/" ] || fail file_line/no-file "there is no folder ${path%/*}/"
elif [ ! -f "$path" ]; then
    fail file_line/no-file "$path is no regular file"
elif [ ! -r "$path" ]; then
    fail file_line/permission "$path cannot be read: run it with --sudo"
elif ! tr -d '\000' <"$path" | cmp -s - "$path"; then
    fail file_line/no-file "$path is no text file: it has NUL bytes"
elif [ "$(id -u)" != 0 ] && [ ! -O "$path" ]; then
    # What is put in its place would be ours.
    fail file_line/permission "$path belongs to another user: run it with --sudo"
fi

# Numbers of the lines that are equal, and of those that match.
equal=
matched=
if [ -e "$path" ]; then
    [ -n "${PT_line+set}" ] && equal=$(grep -n -x -F -e "$line" -- "$path" | cut -d: -f1)
    if [ -n "$match" ]; then
        found=$(grep -n -E -e "$match" -- "$path" 2>/dev/null)
        [ "$?" -le 1 ] || fail file_line/match "match is no regular expression (of grep -E): $match"
        matched=$(printf '%s\n' "$found" | cut -d: -f1)
    fi
fi

if [ "$state" = present ]; then
    last=${matched##*"$newline"}
    if [ -n "$last" ]; then
        case "$newline$equal$newline" in
        *"$newline$last$newline"*) finish false ;;
        esac
    elif [ -n "$equal" ]; then
        finish false
    fi
else
    [ -n "$match" ] || matched=$equal
    [ -n "$matched" ] || finish false
fi

if [ "$backup" = true ] && [ -e "$path" ]; then
    kept=$path.$(date -u +%Y%m%dT%H%M%SZ).bak
    cp -p -- "$path" "$kept" 2>/dev/null || fail file_line/permission "cannot write $kept"
    text backup "$kept"
fi

trap '[ -z "$tmp" ] || rm -f "$tmp"' EXIT
trap 'exit 143' TERM INT HUP
tmp=$(mktemp "${path%/*}/.muster.XXXXXX" 2>/dev/null) ||
    fail file_line/permission "cannot write in ${path%/*}/: run it with --sudo"
if [ -e "$path" ]; then
    # What cp keeps (owner, mode, lists of access) stays with the file when it is filled anew.
    cp -p -- "$path" "$tmp" 2>/dev/null || fail file_line/permission "cannot copy $path"
else
    chmod "$(printf '%o' $((0666 & ~0$(umask))))" "$tmp"
fi

# Values go by the environment: awk -v would read the backslashes in them.
if [ -e "$path" ]; then
    if [ "$state" = present ]; then
        FILE_LINE=$line FILE_LAST=${last:-0} awk '
            NR == ENVIRON["FILE_LAST"] { print ENVIRON["FILE_LINE"]; next }
            { print }
            END { if (ENVIRON["FILE_LAST"] == 0) print ENVIRON["FILE_LINE"] }' <"$path" >"$tmp"
    else
        FILE_MATCHED=$matched awk '
            BEGIN {
                n = split(ENVIRON["FILE_MATCHED"], numbers, "\n")
                for (i = 1; i <= n; i++)
                    gone[numbers[i] + 0] = 1
            }
            !(NR in gone)' <"$path" >"$tmp"
    fi
else
    printf '%s\n' "$line" >"$tmp"
fi || fail file_line/no-room "cannot write $tmp"
mv -f -- "$tmp" "$path" || fail file_line/permission "cannot replace $path"
tmp=
finish true
