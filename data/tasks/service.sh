#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Starts, stops, restarts, reloads, enables, disables or looks at one service.

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

name=${PT_name:-}
action=${PT_action:-status}
provider=${PT_provider:-}

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL=C SYSTEMD_COLORS=0 SYSTEMD_PAGER=

have() {
    command -v "$1" >/dev/null 2>&1
}

case $name in
'' | [!a-zA-Z0-9_]* | *[!a-zA-Z0-9+._:@\\-]*)
    text name "$name"
    fail service/name "this is no name of a service: $name"
    ;;
esac
case $action in
start | stop | restart | reload | enable | disable | status) ;;
*) fail service/action \
    "action is to be start, stop, restart, reload, enable, disable or status, not $action" ;;
esac

if [ -z "$provider" ]; then
    if [ -d /run/systemd/system ]; then
        provider=systemd
    elif have rc-service; then
        provider=openrc
    elif [ -d /etc/init.d ] || have service; then
        provider=sysv
    fi
fi
text name "$name"
text action "$action"
case $provider in
systemd) program=systemctl ;;
openrc) program=rc-service ;;
sysv) program=service ;;
'') fail service/no-manager "neither systemd, OpenRC nor init scripts are on this machine" ;;
*) fail service/no-manager "provider is to be systemd, openrc or sysv, not $provider" ;;
esac
text provider "$provider"
have "$program" || fail service/no-manager "$program is not on this machine"

known() {
    case $provider in
    systemd)
        state=$(systemctl show -p LoadState -- "$name" 2>/dev/null)
        case $state in
        'LoadState=not-found' | '') return 1 ;;
        esac
        ;;
    openrc) rc-service --exists "$name" >/dev/null 2>&1 ;;
    sysv) [ -x "${INIT_D:-/etc/init.d}/$name" ] ;;
    esac
}

running() { # prints running, stopped, or what else the manager calls it
    case $provider in
    systemd)
        state=$(systemctl is-active -- "$name" 2>/dev/null)
        case $state in
        active | reloading) echo running ;;
        inactive) echo stopped ;;
        *) printf '%s\n' "${state:-unknown}" ;;
        esac
        ;;
    openrc) if rc-service "$name" status >/dev/null 2>&1; then echo running; else echo stopped; fi ;;
    sysv) if service "$name" status >/dev/null 2>&1; then echo running; else echo stopped; fi ;;
    esac
}

enabled() { # prints true, false, or null when nobody can tell
    case $provider in
    systemd)
        state=$(systemctl is-enabled -- "$name" 2>/dev/null)
        case $state in
        enabled | enabled-runtime | alias) echo true ;;
        disabled | masked | masked-runtime | linked | linked-runtime) echo false ;;
        *) echo null ;;
        esac
        ;;
    openrc)
        if rc-update show 2>/dev/null | awk -v s="$name" '$1 == s && NF > 2 { f = 1 } END { exit !f }'
        then echo true; else echo false; fi
        ;;
    sysv)
        for link in "${RC_D:-/etc}"/rc[2345].d/S[0-9][0-9]"$name"; do
            if [ -e "$link" ]; then
                echo true
                return
            fi
        done
        echo false
        ;;
    esac
}

known || fail service/not-found "there is no service $name"

was=$(running)
was_enabled=$(enabled)

finish() { # CHANGED
    text status "$(running)"
    raw enabled "$(enabled)"
    raw changed "$1"
    answer
}

case $action:$was:$was_enabled in
status:* | start:running:* | stop:stopped:* | enable:*:true | disable:*:false) finish false ;;
esac
[ "$(id -u)" = 0 ] || fail service/not-root "services are changed by root: run it with --sudo"

# What a service is started with must not keep the session open: everything goes to a file.
output=$(mktemp) || fail service/no-room "mktemp failed"
trap 'rm -f "$output"' EXIT
trap 'exit 143' TERM INT HUP

must() {
    "$@" </dev/null >"$output" 2>&1 && return 0
    code=$?
    number exit_code "$code"
    text status "$(running)"
    text output "$(tail -c 4000 "$output")"
    said=$(grep -v '^[[:space:]]*$' "$output" | head -n 1)
    fail service/failed "$1 $action $name ended with $code${said:+: $said}"
}

case $provider:$action in
systemd:*) must systemctl "$action" -- "$name" ;;
openrc:enable) must rc-update add "$name" default ;;
openrc:disable) must rc-update del "$name" ;;
openrc:*) must rc-service "$name" "$action" ;;
sysv:enable)
    if have update-rc.d; then must update-rc.d "$name" enable
    elif have chkconfig; then must chkconfig "$name" on
    else fail service/no-manager "neither update-rc.d nor chkconfig is on this machine"
    fi
    ;;
sysv:disable)
    if have update-rc.d; then must update-rc.d "$name" disable
    elif have chkconfig; then must chkconfig "$name" off
    else fail service/no-manager "neither update-rc.d nor chkconfig is on this machine"
    fi
    ;;
sysv:*) must service "$name" "$action" ;;
esac

# systemctl answers before a service that fails at once has failed.
if [ "$action" = start ] || [ "$action" = restart ]; then
    case $(running) in
    failed)
        text status failed
        fail service/failed "$name was started and has failed: look at its log"
        ;;
    esac
fi
finish true
