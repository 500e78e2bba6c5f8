#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Sees to it that a line is in a file, or that it is not. The file is replaced in one step, and keeps
# its owner and mode.

set -u

# @JSON@

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
    # Not all that SELinux knows of it is kept by that.
    command -v chcon >/dev/null 2>&1 && chcon --reference="$path" -- "$tmp" 2>/dev/null
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
