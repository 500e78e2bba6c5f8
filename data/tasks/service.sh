#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Starts, stops, restarts, reloads, enables, disables or looks at one service.

set -u

# @JSON@

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
status:* | start:running:* | stop:stopped:* | stop:failed:* | enable:*:true | disable:*:false) finish false ;;
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
# Of what cannot be enabled (a static unit) systemctl says so, and succeeds.
case $action in
enable | disable) [ "$(enabled)" != "$was_enabled" ] || finish false ;;
esac
finish true
