#!/bin/bash
# root_inside.sh - the inside of root_test.sh: a unit of a system whose root file system is
# on a device of nbdisk's.
# SPDX-License-Identifier: BSD-2-Clause

say() { # TEXT: the last command's status is the verdict
	if [ $? = 0 ]; then printf "\nok %s\n" "$1"; else printf "\nnot ok %s\n" "$1"; fi
}
field() { nbdisk show root | sed -n "s/^$1: //p"; }

[ "$(readlink -f /dev/nbdisk/root)" = \
	"/dev/$(basename "$(readlink -f "/sys/dev/block/$(mountpoint -d /)")")" ]
say "/ is /dev/nbdisk/root"
[ "$(field State)" = CONNECTED ]
say "the device is connected, and knows it"
nbdisk list | grep -q 'Name: root$'
say "it is listed"
[ "$(head -c 1 "/proc/$(field Pid)/cmdline")" = @ ]
say "what turns the machine off spares the daemon"
nbdisk disconnect root 2>/dev/null
[ $? = 1 ] && [ "$(field State)" = CONNECTED ]
say "a disconnect is refused"
head -c 4M /dev/urandom >/var/tmp/some && sha256sum /var/tmp/some >/var/tmp/sum &&
	sync && echo 3 >/proc/sys/vm/drop_caches && sha256sum -c --quiet /var/tmp/sum
say "what is written is there"
# Not flushed by anybody: what turns the machine off is to see to it.
echo last words >/var/tmp/last
systemctl --no-block poweroff 2>/dev/null || kill -RTMIN+4 1
