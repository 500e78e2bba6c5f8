#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What a machine is: system, kernel, processors, memory, and what manages it. Changes nothing.

set -u

# @JSON@

have() {
    command -v "$1" >/dev/null 2>&1
}

first_line() { # FILE
    line=
    [ -r "$1" ] && IFS= read -r line <"$1"
    printf '%s' "$line"
}

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# os-release is a list of shell assignments; it is read as text all the same, and not run.
os_release() { # NAME
    for file in /etc/os-release /usr/lib/os-release; do
        [ -r "$file" ] || continue
        sed -n "s/^$1=//p" "$file" | sed -e 's/^"\(.*\)"$/\1/' -e "s/^'\(.*\)'\$/\1/" | head -n 1
        return
    done
}

id=$(os_release ID)
like=" $id $(os_release ID_LIKE) "
full=$(os_release VERSION_ID)
[ "$id" = debian ] && [ -r /etc/debian_version ] && full=$(first_line /etc/debian_version)
case $full in
*[0-9]*) ;;
*) full=$(os_release VERSION_ID) ;;
esac

# The names that Facter gives, which Bolt's own task gives too.
case $id in
debian) name=Debian ;;
ubuntu) name=Ubuntu ;;
rhel) name=RedHat ;;
centos) name=CentOS ;;
fedora) name=Fedora ;;
almalinux) name=AlmaLinux ;;
rocky) name=Rocky ;;
ol) name=OracleLinux ;;
amzn) name=Amazon ;;
alpine) name=Alpine ;;
arch) name=Archlinux ;;
sles) name=SLES ;;
opensuse*) name=openSUSE ;;
gentoo) name=Gentoo ;;
raspbian) name=Raspbian ;;
'') name=$(uname -s) ;;
*) name=$id ;;
esac
case $like in
*' debian '* | *' ubuntu '*) family=Debian ;;
*' rhel '* | *' fedora '* | *' centos '* | *' amzn '*) family=RedHat ;;
*' suse '* | *' sles '* | *opensuse*) family=Suse ;;
*' arch '*) family=Archlinux ;;
*' gentoo '*) family=Gentoo ;;
*) family=$name ;;
esac

# Ubuntu counts its versions in two numbers, the others in one.
case $id in
ubuntu) major=$full ;;
*) major=${full%%.*} ;;
esac

text name "$name"
text family "$family"
release_of_os=$members
members=
maybe full "$full"
maybe major "$major"
release_of_os="$release_of_os,\"release\":{$members}"
members=
maybe codename "$(os_release VERSION_CODENAME)"
maybe description "$(os_release PRETTY_NAME)"
release_of_os="$release_of_os,\"distro\":{$members}"
members=
raw os "{$release_of_os}"

text kernel "$(uname -s)"
text kernel_release "$(uname -r)"
text arch "$(uname -m)"

hostname=$(uname -n)
fqdn=$hostname
case $fqdn in
*.*) ;;
*)
    have hostname && fqdn=$(hostname -f 2>/dev/null) || fqdn=$hostname
    [ -n "$fqdn" ] || fqdn=$hostname
    ;;
esac
text hostname "${hostname%%.*}"
text fqdn "$fqdn"

cpus=$(grep -c '^processor' /proc/cpuinfo 2>/dev/null)
case $cpus in
'' | 0) cpus=$(getconf _NPROCESSORS_ONLN 2>/dev/null) ;;
esac
number cpus "$cpus"
number memory_mb "$(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo 2>/dev/null)"

virtual=
if have systemd-detect-virt; then
    virtual=$(systemd-detect-virt 2>/dev/null)
    [ "$virtual" = none ] && virtual=physical
fi
if [ -z "$virtual" ]; then
    product=$(first_line /sys/class/dmi/id/product_name 2>/dev/null)
    vendor=$(first_line /sys/class/dmi/id/sys_vendor 2>/dev/null)
    case "$vendor $product" in
    *QEMU* | *KVM*) virtual=kvm ;;
    *VMware*) virtual=vmware ;;
    *VirtualBox*) virtual=oracle ;;
    *Xen*) virtual=xen ;;
    *'Virtual Machine'*) virtual=microsoft ;;
    *'Amazon EC2'*) virtual=amazon ;;
    *)
        if [ -e /.dockerenv ]; then
            virtual=docker
        elif grep -q '^flags.* hypervisor' /proc/cpuinfo 2>/dev/null; then
            virtual=vm-other
        else
            virtual=physical
        fi
        ;;
    esac
fi
text virtual "$virtual"

if [ -d /run/systemd/system ]; then
    init=systemd
elif have rc-service; then
    init=openrc
elif [ -d /etc/init.d ]; then
    init=sysv
else
    init=$(first_line /proc/1/comm 2>/dev/null)
fi
maybe init "$init"

manager=
for program in apt-get dnf yum zypper apk pacman; do
    if have "$program"; then
        manager=${program%-get}
        break
    fi
done
maybe package_manager "$manager"

ip=
if have ip; then
    ip=$(ip -4 route get 192.0.2.1 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/\1/p' | head -n 1)
    [ -n "$ip" ] ||
        ip=$(ip -o addr show scope global 2>/dev/null | awk '{ sub("/.*", "", $4); print $4; exit }')
fi
[ -n "$ip" ] || ip=$(hostname -I 2>/dev/null | awk '{ print $1; exit }')
maybe ip "$ip"

python=
for program in python3 python; do
    if have "$program"; then
        python=$("$program" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)
        [ -n "$python" ] && break
    fi
done
maybe python "$python"

uptime=$(first_line /proc/uptime)
number uptime_s "${uptime%%.*}"

selinux=disabled
if have getenforce; then
    selinux=$(getenforce 2>/dev/null | tr '[:upper:]' '[:lower:]')
elif [ -r /sys/fs/selinux/enforce ]; then
    [ "$(first_line /sys/fs/selinux/enforce)" = 1 ] && selinux=enforcing || selinux=permissive
fi
text selinux "${selinux:-disabled}"
maybe boot_id "$(first_line /proc/sys/kernel/random/boot_id)"
reboot_required=false
[ -e /var/run/reboot-required ] && reboot_required=true
raw reboot_required "$reboot_required"
answer
