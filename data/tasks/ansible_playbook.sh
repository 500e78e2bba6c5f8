#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs a playbook on the machine itself, with the ansible-playbook that is installed there.

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

playbook=${PT_playbook:-}
path=${PT_path:-}
vars=${PT_extra_vars:-}
secret=${PT_secret_vars:-}
tags=${PT_tags:-}
skip=${PT_skip_tags:-}
check=${PT_check:-false}
unset PT_playbook PT_extra_vars PT_secret_vars

PATH=$PATH:/usr/local/bin
command -v ansible-playbook >/dev/null 2>&1 ||
    fail ansible_playbook/not-installed "ansible-playbook is not on this machine: install ansible-core"
if [ -n "$playbook" ] && [ -n "$path" ]; then
    fail ansible_playbook/playbook "playbook and path are two ways of one thing: give one"
elif [ -n "$path" ]; then
    [ -r "$path" ] || fail ansible_playbook/playbook "there is no $path that can be read"
elif [ -z "$playbook" ]; then
    fail ansible_playbook/playbook "playbook (its text) or path (of one on the machine) is missing"
fi

# Variables go by files: they may be secret, and a command line is for everyone to see.
umask 077
dir=$(mktemp -d) || fail ansible_playbook/no-room "mktemp failed"
trap 'rm -rf "$dir"' EXIT
trap 'exit 143' TERM INT HUP
if [ -z "$path" ]; then
    path=$dir/playbook.yaml
    printf '%s\n' "$playbook" >"$path"
fi
set -- -i localhost, -c local
if [ -n "$vars" ]; then
    printf '%s\n' "$vars" >"$dir/vars.json"
    set -- "$@" -e "@$dir/vars.json"
fi
if [ -n "$secret" ]; then
    printf '%s\n' "$secret" >"$dir/secret.json"
    set -- "$@" -e "@$dir/secret.json"
fi
[ -z "$tags" ] || set -- "$@" --tags "$tags"
[ -z "$skip" ] || set -- "$@" --skip-tags "$skip"
[ "$check" != true ] || set -- "$@" --check

unset ANSIBLE_CONFIG
LC_ALL=C.UTF-8 ANSIBLE_NOCOLOR=1 ANSIBLE_STDOUT_CALLBACK=default ANSIBLE_RETRY_FILES_ENABLED=0 \
    ansible-playbook "$@" "$path" </dev/null >"$dir/out" 2>"$dir/err"
code=$?

# localhost : ok=2 changed=1 unreachable=0 failed=0 skipped=0 rescued=0 ignored=0
recap=$(sed -n 's/^localhost *: *\(ok=.*\)/\1/p' "$dir/out" | tail -n 1)
changed=0
for pair in $recap; do
    case $pair in
    ok=* | changed=* | failed=* | skipped=* | rescued=* | ignored=*)
        number "${pair%%=*}_tasks" "${pair#*=}"
        [ "${pair%%=*}" != changed ] || changed=${pair#*=}
        ;;
    esac
done
if [ "$changed" = 0 ]; then raw changed false; else raw changed true; fi
number exit_code "$code"
if [ "$code" != 0 ]; then
    said=$(sed -n 's/^fatal: \(.*\)/\1/p' "$dir/out" | head -n 1)
    [ -n "$said" ] || said=$(grep -E '^ *(ERROR|\[ERROR\])' "$dir/err" | head -n 1)
    text output "$(tail -c 8000 "$dir/out"; tail -c 4000 "$dir/err")"
    fail ansible_playbook/failed "ansible-playbook ended with $code${said:+: $said}"
fi
text _output "$(tail -c 60000 "$dir/out")"
answer
