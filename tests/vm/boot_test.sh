#!/bin/bash
# boot_test.sh NBDISK KERNEL - a machine that boots with systemd and udev, mounts a device
# by the fstab line of the manual, and is turned off: with its server, and without, and with
# a daemon of ublk that was killed before.
# SPDX-License-Identifier: BSD-2-Clause

here=$(dirname "$(realpath "$0")")
. "$here/../lib.sh"
for tool in /lib/systemd/systemd /lib/systemd/systemd-udevd; do
	[ -x $tool ] || { echo "1..0 # SKIP needs $tool"; exit 0; }
done

n=0
for server in alive dead killed; do
	ublk=
	[ $server != killed ] || ublk=yes
	NBDISK_VM_UBLK=$ublk NBDISK_VM_SYSTEMD=yes "$here/vm_test.sh" "$1" "$2" \
		vm/boot_inside.sh $server >"$dir/log"
	grep -q '^1\.\.0' "$dir/log" && { cat "$dir/log"; exit; }
	# What was checked inside counts on from here.
	title="with the server $server"
	[ $server != killed ] || title="with a daemon that was killed"
	sed "s/^ok /ok $title: /; s/^not ok /not ok $title: /" \
		"$dir/log" >"$dir/shown"
	while read -r line; do
		case $line in
		"ok "*) n=$((n + 1)); echo "ok $n - ${line#ok }" ;;
		"not ok "*) n=$((n + 1)); tests_failed=1; echo "not ok $n - ${line#not ok }" ;;
		*) echo "$line" ;;
		esac
	done <"$dir/shown"
	tests_run=$n
	grep -q "Power down" "$dir/log"
	ok "$title: the machine turns itself off"
	! grep -q "FAILED.*[Uu]nmount" "$dir/log"
	ok "$title: no unmounting has failed"
	n=$tests_run
done
finish
