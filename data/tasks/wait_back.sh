#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Answers once the machine has booted anew since boot_id. While it has not, it fails at once: muster
# tries it again (retry_for in the metadata), as it does while the machine cannot be reached.

set -u

# @JSON@

old=${PT_boot_id:-}
check=${PT_check:-true}

boot_id=
[ -r /proc/sys/kernel/random/boot_id ] && IFS= read -r boot_id </proc/sys/kernel/random/boot_id
uptime=
[ -r /proc/uptime ] && IFS= read -r uptime </proc/uptime
maybe boot_id "$boot_id"
number uptime_s "${uptime%%.*}"
if [ "$check" = true ] && [ -n "$old" ]; then
    [ -n "$boot_id" ] || fail wait_back/no-boot-id \
        "this machine does not say which boot it is in; check=false takes its being there for enough"
    [ "$boot_id" != "$old" ] || fail wait_back/not-yet "the machine has not been rebooted yet" 75
    raw rebooted true
else
    raw rebooted null
fi
answer
