#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs the Puppet agent once and waits for its end. Changes that were made are a success.

set -u

# @JSON@

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
