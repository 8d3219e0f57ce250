#!/bin/bash
# root_test.sh NBDISK KERNEL SYSTEM [BOOTS] - machines whose root file system is on a device
# of nbdisk's: they boot by initramfs-tools and by dracut, with a server that is restarted
# meanwhile or comes late, and are turned off; nothing is lost.  TAP.
# SPDX-License-Identifier: BSD-2-Clause
#
# KERNEL is what tools/vm-kernel has made, SYSTEM what tools/vm-root has.  BOOTS: so many
# times each (1).

nbdisk=$1 kernel=$2 system=$3 boots=${4-1}
here=$(dirname "$(realpath "$0")")
. "$here/../lib.sh"
. "$here/told.sh"

for thing in "$kernel/boot" "$system/etc/done"; do
	[ -e "$thing" ] || { echo "1..0 # SKIP no $thing: see make netem"; exit 0; }
done
for tool in qemu-system-x86_64 nbdkit mkfs.ext4 debugfs depmod unshare; do
	have $tool || { echo "1..0 # SKIP needs $tool"; exit 0; }
done

serve() {
	start nbdkit -f -i 127.0.0.1 -p "$port" --filter=log file "$made/disk" \
		logfile="$dir/requests"
	server=$pid
	wait_until listens "$port"
}
requests() { [ "$(wc -l <"$dir/requests")" -ge "$1" ]; }

# machine LOG: boots the disk, and ends when it turns itself off
machine() {
	timeout 1800 qemu-system-x86_64 -machine q35 -accel tcg -cpu max -smp 1 -m 1024 \
		-nographic -no-reboot -nodefaults -serial stdio -device virtio-rng-pci \
		-netdev user,id=net -device virtio-net-pci,netdev=net \
		-kernel "$made/vmlinuz" -initrd "$made/initrd" -append "console=ttyS0 \
		root=nbdisk:$uri rw ip=dhcp panic=-1 loglevel=4 \
		no_timer_check systemd.show_status=0" </dev/null >"$1" 2>&1
}

# In the background, as $guest.
machine_on() {
	machine "$dir/serial" &
	guest=$!
	pids="$pids $guest"
}

# What the disk has, with nobody attached.
is_whole() {
	fsck.ext4 -fn "$made/disk" >"$dir/out" 2>&1 &&
		[ "$(debugfs -R 'cat /var/tmp/last' "$made/disk" 2>/dev/null)" = \
			"last words" ]
}

for way in initramfs-tools dracut; do
	made=$dir/$way
	mkdir "$made"
	free_port
	uri=
	[ $way = dracut ] || uri=nbd://10.0.2.2:$port/
	run "$here/root_image.sh" "$nbdisk" "$kernel" "$system" $way "$port" \
		root_inside.sh "$made"
	status_is 0
	ok "$way makes an initramfs"
	status_is 0 || finish
	for n in $(seq "$boots"); do
		serve
		machine "$dir/serial"
		told 6 "$dir/serial" "$way, $n"
		grep -q "Power down" "$dir/serial" && ! grep -q "I/O error" "$dir/serial"
		ok "$way, $n: it turns itself off without an error"
		stop "$server"
		is_whole
		ok "$way, $n: the file system is clean, and has what was written last"
	done

	# The first requests are the initramfs's, the 300th is the system's.
	for after in 5 300; do
		serve
		: >"$dir/requests"
		machine_on
		wait_until requests $after
		kill -9 "$(pgrep -P "$server")"
		wait "$server" 2>/dev/null
		sleep 3
		serve
		wait $guest
		told 6 "$dir/serial" "$way, the server restarted after $after requests"
		stop "$server"
		is_whole
		ok "$way, the server restarted after $after requests: all is there"
	done
done

# Of dracut, for systemd waits for a device for 90 s, if it is not told otherwise, and
# netroot calls us once.  (A machine that takes longer to come so far shows nothing.)
machine_on
sleep 130
serve
wait $guest
told 6 "$dir/serial" "$way, the server 130 s late"
stop "$server"
finish
