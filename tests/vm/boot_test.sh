#!/bin/bash
# boot_test.sh NBDISK KERNEL - a machine that boots with systemd and udev, mounts a device
# by the fstab line of the manual, and is turned off: with its server, and without.
# SPDX-License-Identifier: BSD-2-Clause

here=$(dirname "$(realpath "$0")")
. "$here/../lib.sh"
for tool in /lib/systemd/systemd /lib/systemd/systemd-udevd; do
	[ -x $tool ] || { echo "1..0 # SKIP needs $tool"; exit 0; }
done

n=0
for server in alive dead; do
	NBDISK_VM_SYSTEMD=yes "$here/vm_test.sh" "$1" "$2" vm/boot_inside.sh $server >"$dir/log"
	grep -q '^1\.\.0' "$dir/log" && { cat "$dir/log"; exit; }
	# What was checked inside counts on from here.
	sed "s/^ok /ok with the server $server: /; s/^not ok /not ok with the server $server: /" \
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
	ok "with the server $server: the machine turns itself off"
	! grep -q "FAILED.*[Uu]nmount" "$dir/log"
	ok "with the server $server: no unmounting has failed"
	n=$tests_run
done
finish
