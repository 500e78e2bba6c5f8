#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs the Puppet agent once and waits for its end. Changes that were made are a success.

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

noop=${PT_noop_run:-false}
environment=${PT_environment:-}
server=${PT_server:-}
tags=${PT_tags:-}

PATH=$PATH:/opt/puppetlabs/bin:/usr/local/bin
command -v puppet >/dev/null 2>&1 ||
    fail puppet_agent/not-installed "puppet is not on this machine: install puppet-agent"
[ "$(id -u)" = 0 ] || fail puppet_agent/not-root "the agent runs as root: run it with --sudo"

set -- --onetime --no-daemonize --no-splay --no-usecacheonfailure --detailed-exitcodes --verbose \
    --color=false
[ "$noop" != true ] || set -- "$@" --noop
[ -z "$environment" ] || set -- "$@" "--environment=$environment"
[ -z "$server" ] || set -- "$@" "--server=$server"
[ -z "$tags" ] || set -- "$@" "--tags=$tags"

output=$(mktemp) || fail puppet_agent/no-room "mktemp failed"
trap 'rm -f "$output"' EXIT
trap 'exit 143' TERM INT HUP
puppet agent "$@" </dev/null >"$output" 2>&1
code=$?

number exit_code "$code"
case $code in
2 | 6) raw changed true ;;
*) raw changed false ;;
esac
case $code in
0 | 2)
    text _output "$(tail -c 60000 "$output")"
    answer
    ;;
esac
text output "$(tail -c 8000 "$output")"
if grep -q 'administratively disabled' "$output"; then
    fail puppet_agent/disabled "the agent is disabled on this machine (puppet agent --enable)"
elif grep -q 'already in progress' "$output"; then
    fail puppet_agent/running "another run of the agent is under way"
fi
case $code in
4) said='some resources failed' ;;
6) said='there were changes, and some resources failed' ;;
*) said=$(grep -E '^(Error|Notice|Warning):' "$output" | grep '^Error' | head -n 1) ;;
esac
fail puppet_agent/failed "puppet agent ended with $code${said:+: $said}"
