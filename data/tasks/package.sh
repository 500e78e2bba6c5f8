#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs, updates, removes or looks up one package with the machine's own package manager.

set -u

# @JSON@

name=${PT_name:-}
action=${PT_action:-status}
version=${PT_version:-}
wait_s=${PT_lock_timeout:-120}
provider=${PT_provider:-}
refresh=${PT_refresh:-false}

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l LC_ALL=C

have() {
    command -v "$1" >/dev/null 2>&1
}

# Whatever reads these as options or patterns would do another thing than was asked for: apt-get removes
# what is called "web-", or "web=1-", whatever it was told to do.
case $name in
'' | [!a-zA-Z0-9]* | *[!a-zA-Z0-9+._:@~-]* | *-)
    text name "$name"
    fail package/name "this is no name of a package: $name"
    ;;
esac
case $version in
*[!a-zA-Z0-9+._:~^-]* | *-)
    text version "$version"
    fail package/version "this is no version: $version"
    ;;
esac
case $wait_s in
'' | *[!0-9]*) fail package/lock-timeout "lock_timeout is to be a number of seconds" ;;
esac
case $action in
present | absent | latest | status) ;;
*) fail package/action "action is to be present, absent, latest or status, not $action" ;;
esac

if [ -z "$provider" ]; then
    for program in apt-get dnf yum zypper apk pacman; do
        if have "$program"; then
            provider=${program%-get}
            break
        fi
    done
fi
text name "$name"
text action "$action"
case $provider in
apt) query=dpkg-query tool=apt-get ;;
dnf | yum | zypper) query=rpm tool=$provider ;;
apk | pacman) query=$provider tool=$provider ;;
'') fail package/no-manager "no apt, dnf, yum, zypper, apk or pacman is on this machine" ;;
*) fail package/no-manager "provider is to be apt, dnf, yum, zypper, apk or pacman, not $provider" ;;
esac
text provider "$provider"
have "$query" || fail package/no-manager "$query is not on this machine"

installed() { # prints the version; nothing: it is not installed
    case $provider in
    apt)
        dpkg-query -W -f '${Status} ${Version}\n' -- "$name" 2>/dev/null |
            sed -n 's/^[a-z]* ok installed //p' | head -n 1
        ;;
    dnf | yum | zypper)
        found=$(rpm -q --qf '%{VERSION}-%{RELEASE}\n' -- "$name" 2>/dev/null) || return 0
        printf '%s\n' "$found" | tail -n 1
        ;;
    apk) apk info -e -v "$name" 2>/dev/null | sed -n "s/^$name-\([0-9].*\)\$/\1/p" | head -n 1 ;;
    pacman)
        found=$(pacman -Q -- "$name" 2>/dev/null) || return 0
        printf '%s\n' "$found" | awk 'NR == 1 { print $2 }'
        ;;
    esac
}

old=$(installed)
maybe old_version "$old"

finish() { # CHANGED
    new=$(installed)
    maybe version "$new"
    if [ -n "$new" ]; then text status installed; else text status absent; fi
    raw changed "$1"
    answer
}

[ "$action" = status ] && finish false

# rpm tells versions without their epoch.
bare=$version
[ "$query" != rpm ] || bare=${version#*:}

has_version() { # INSTALLED: it is the one that is wanted, with its release or without
    case $1 in
    "$version" | "$version"-* | "$bare" | "$bare"-*) return 0 ;;
    *) return 1 ;;
    esac
}

case $action in
present) [ -n "$old" ] && { [ -z "$version" ] || has_version "$old"; } && finish false ;;
absent) [ -z "$old" ] && finish false ;;
esac
[ "$action" = latest ] && [ -n "$version" ] &&
    fail package/version "action=latest takes no version; action=present does"
[ "$provider" = pacman ] && [ -n "$version" ] && [ "$action" = present ] &&
    fail package/version "pacman installs no other version than the repositories'"
have "$tool" || fail package/no-manager "$tool is not on this machine"
[ "$(id -u)" = 0 ] || fail package/not-root "packages are changed by root: run it with --sudo"

output=$(mktemp) || fail package/no-room "mktemp failed"
trap 'rm -f "$output"' EXIT
trap 'exit 143' TERM INT HUP
began=$(date +%s)

# Runs the manager, again and again while another one holds its lock.
manage() {
    while :; do
        "$@" </dev/null >"$output" 2>&1
        code=$?
        [ "$code" = 0 ] && return 0
        grep -q -i -E -e 'could not get lock|unable to (acquire|lock)|is locked by' \
            -e 'system management is locked|waiting for lock' "$output" || return "$code"
        left=$((wait_s - ($(date +%s) - began)))
        if [ "$left" -le 0 ]; then
            locked=true
            return "$code"
        fi
        sleep 1
    done
}

must() {
    locked=false
    manage "$@" && return 0
    number exit_code "$code"
    text output "$(tail -c 4000 "$output")"
    "$locked" && fail package/locked \
        "another program held the lock of $provider for $wait_s seconds; lock_timeout gives it more"
    said=$(grep -v '^[[:space:]]*$' "$output" | grep -E '^(E:|Error|ERROR|error)' | head -n 1)
    [ -n "$said" ] || said=$(grep -v '^[[:space:]]*$' "$output" | tail -n 1)
    fail package/failed "$tool ended with $code: $said"
}

# Without Pattern-Only, a name that is not there and has a dot in it is a regular expression.
apt() {
    must apt-get -y -q -o "DPkg::Lock::Timeout=$wait_s" -o Dpkg::Options::=--force-confold \
        -o Dpkg::Options::=--force-confdef -o APT::Cmd::Pattern-Only=true "$@"
}

if [ "$refresh" = true ]; then
    case $provider in
    apt) apt update ;;
    dnf | yum) must "$provider" -q -y makecache ;;
    zypper) must zypper --non-interactive refresh ;;
    apk) must apk update ;;
    pacman) must pacman -Sy --noconfirm ;;
    esac
fi

case $provider:$action in
apt:present) apt install ${version:+--allow-downgrades} -- "$name${version:+=$version}" ;;
apt:latest) apt install -- "$name" ;;
apt:absent) apt remove -- "$name" ;;
dnf:present | yum:present)
    must "$provider" -q -y install "$name${version:+-$version}"
    [ -n "$version" ] && ! has_version "$(installed)" &&
        must "$provider" -q -y downgrade "$name-$version"
    ;;
dnf:latest | yum:latest)
    if [ -n "$old" ]; then verb=update; else verb=install; fi
    must "$provider" -q -y "$verb" "$name"
    ;;
dnf:absent | yum:absent) must "$provider" -q -y remove "$name" ;;
zypper:present)
    must zypper --non-interactive install ${version:+--oldpackage} "$name${version:+=$version}"
    ;;
zypper:latest)
    if [ -n "$old" ]; then verb=update; else verb=install; fi
    must zypper --non-interactive "$verb" "$name"
    ;;
zypper:absent) must zypper --non-interactive remove "$name" ;;
apk:present) must apk add --wait "$wait_s" "$name${version:+=$version}" ;;
apk:latest) must apk add --wait "$wait_s" --upgrade "$name" ;;
apk:absent) must apk del --wait "$wait_s" "$name" ;;
pacman:present | pacman:latest) must pacman -S --noconfirm --needed "$name" ;;
pacman:absent) must pacman -R --noconfirm "$name" ;;
esac

new=$(installed)
case $action in
absent) [ -z "$new" ] || fail package/failed "$tool says that it removed $name, and it is still there" ;;
*)
    [ -n "$new" ] || fail package/failed "$tool says that it installed $name, and it is not there"
    [ -z "$version" ] || has_version "$new" ||
        fail package/failed "$name is at $new, and not at $version"
    ;;
esac
if [ "$old" = "$new" ]; then finish false; else finish true; fi
