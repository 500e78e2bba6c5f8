#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What a machine is: system, kernel, processors, memory, and what manages it. Changes nothing.

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
