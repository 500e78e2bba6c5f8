#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Reboots the machine some seconds later and ends before that; says which boot this was.
# The plan reboot waits until the machine is back.

set -u

# @JSON@

delay=${PT_delay:-3}
command=${PT_command:-}
message=${PT_message:-Rebooted by muster}

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

case $delay in
'' | *[!0-9]*) fail reboot/delay "delay is to be a number of seconds" ;;
esac
boot_id=
[ -r /proc/sys/kernel/random/boot_id ] && IFS= read -r boot_id </proc/sys/kernel/random/boot_id
maybe boot_id "$boot_id"
number delay "$delay"

if [ -z "$command" ]; then
    [ "$(id -u)" = 0 ] || fail reboot/not-root "a machine is rebooted by root: run it with --sudo"
    if [ -d /run/systemd/system ]; then
        command='systemctl reboot'
    elif command -v shutdown >/dev/null 2>&1; then
        command='shutdown -r now "$REBOOT_MESSAGE"'
    elif command -v reboot >/dev/null 2>&1; then
        command=reboot
    else
        fail reboot/no-program "neither systemctl, shutdown nor reboot is on this machine"
    fi
fi

# A session of its own, with nothing open that is ours: the answer leaves, and this connection ends.
detach=
command -v setsid >/dev/null 2>&1 && detach=setsid
REBOOT_DELAY=$delay REBOOT_COMMAND=$command REBOOT_MESSAGE=$message \
    nohup $detach sh -c 'cd / && sleep "$REBOOT_DELAY" && eval "$REBOOT_COMMAND"' \
    </dev/null >/dev/null 2>&1 &
raw rebooting true
answer
