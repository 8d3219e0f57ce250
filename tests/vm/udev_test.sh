#!/bin/bash
# udev_test.sh NBDISK PARTITION - the names that udev gives a device; in the machine of
# vm_test.sh.
# SPDX-License-Identifier: BSD-2-Clause
#
# A real udevd, with no rules but ours.

nbdisk=$1 partition=$2
tests=$(dirname "$0")/..
. "$tests/lib.sh"
. "$tests/device.sh"

needs nbdkit udevadm
unset NBDISK_STATE_DIR		# the rule knows the machine's own
NBDISK_STATE_DIR=/run/nbdisk	# for what device.sh looks at
mkdir -p /run/udev/rules.d
cp "$tests/../60-nbdisk.rules" /run/udev/rules.d
(exec -a systemd-udevd udevadm --daemon --resolve-names=never) 2>"$dir/udevd"
wait_until [ -S /run/udev/control ]
ok "udevd runs"

truncate -s 64M "$dir/disk"
start_nbdkit "$sock" file "$dir/disk"
attach() {
	run nb connect --device "$name" "$@"
	loop=$(realpath "$device")
	status_is 0
}
settle() { udevadm settle --timeout=60; }
# leads PATH NODE
leads() { [ "$(realpath "$1")" = "$2" ]; }
# by_udev LINK NODE: udev knows it, so systemd does
by_udev() {
	settle && udevadm info -q symlink "$2" | tr ' ' '\n' | grep -qxF "$1" &&
		leads "/dev/$1" "$2"
}

attach "nbd+unix:///a%2f..%2fb?socket=$sock"
path=disk/by-path/nbd-$(echo "$sock" | tr / _)-a_.._b
echo "# on $loop"
by_udev "nbdisk/$name" "$loop"
ok "the name"
by_udev "disk/by-id/nbdisk-$name" "$loop"
ok "by id"
by_udev "$path" "$loop"
ok "by path, with what an export is called made harmless"
"$partition" "$loop" 2048 8192
part=${loop}p1
wait_until [ -b "$part" ]
by_udev "nbdisk/${name}p1" "$part" && by_udev "disk/by-id/nbdisk-$name-part1" "$part" &&
	by_udev "$path-part1" "$part"
ok "a partition, by all three"
run nb show "/dev/disk/by-id/nbdisk-$name"
status_is 0 && out_has "Name: $name"
ok "the command takes a link of udev's"
run nb show "/dev/nbdisk/${name}p1"
status_is 0 && out_has "Name: $name"
ok "and that of a partition"
run nb disconnect "/dev/disk/by-id/nbdisk-$name"
settle
status_is 0 && nothing_left && [ ! -L "/dev/disk/by-id/nbdisk-$name" ] &&
	[ ! -L "/dev/nbdisk/${name}p1" ] && [ ! -L "/dev/$path" ]
ok "disconnect: all are gone"

for round in 1 2 3 4 5; do
	attach "nbd+unix:///a%2f..%2fb?socket=$sock" && [ -b "$device" ] || break
	nb disconnect "$name" || break
done
[ "$round" = 5 ] && status_is 0
ok "connect again at once: the name is there"

truncate -s 1M "$dir/other"
other=$(losetup -f --show "$dir/other")
settle
! udevadm info -q symlink "$other" | grep -q nbdisk
ok "a loop device of somebody else gets no name"
losetup -d "$other"

# A state directory of one's own: the link is nbdisk's, as without udev.
export NBDISK_STATE_DIR=$dir/run
attach "nbd+unix:///a%2f..%2fb?socket=$sock"
settle
[ -b "$device" ] && [ ! -L "/dev/disk/by-id/nbdisk-$name" ]
ok "with a state directory of one's own there is the name alone"
nb disconnect "$name" && nothing_left
ok "and it goes"
finish
