#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs a playbook on the machine itself, with the ansible-playbook that is installed there.

set -u

# @JSON@

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
    case $path in
    -*) path=./$path ;;
    esac
    [ -r "$path" ] || fail ansible_playbook/playbook "there is no $path that can be read"
elif [ -z "$playbook" ]; then
    fail ansible_playbook/playbook "playbook (its text) or path (of one on the machine) is missing"
fi

# Variables go by files: they may be secret, and a command line is for everyone to see.
mask=$(umask)
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

# What the playbook makes has the machine's own.
umask "$mask"
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
