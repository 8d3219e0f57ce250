#!/bin/bash
# filesystem_test.sh NBDISK - a real file system on the device, and a server that dies.
# SPDX-License-Identifier: BSD-2-Clause
#
# Files are written, copied, removed and synced while the server is killed with -9 and
# started again, and while connections are added and taken away; then every checksum
# must be right, and fsck must find nothing.

. "$(dirname "$0")/../own_mounts.sh"
nbdisk=$1
tests=$(dirname "$0")/..
. "$tests/lib.sh"
. "$tests/device.sh"

needs nbdkit mkfs.ext4

# survive MKFS FSCK NAME: the whole story on one kind of file system
survive() {
	rm -f "$dir/disk" "$dir/enough"
	truncate -s 512M "$dir/disk"
	serve_disk
	run nb connect -c 2 --device "$name" --unflushed replay --fence 1s \
		--discard-max 1G \
		"nbd+unix:///?socket=$sock"
	status_is 0 && out_has "$device"
	ok "$3: connect"
	run $1 "$device" && run mount "$device" "$mnt"
	status_is 0 && mountpoint -q "$mnt"
	ok "$3: made and mounted"
	write_files >"$dir/writer.log" 2>&1 &
	writer=$!
	for i in 1 2 3 4 5 6; do
		sleep 0.7
		kill_server
		sleep 0.2
		serve_disk
		nb scale -c $((1 + i % 4)) "$name" >/dev/null 2>&1
	done
	touch "$dir/enough"
	wait "$writer"
	status=$?
	cp "$dir/writer.log" "$dir/err"
	status_is 0
	ok "$3: no write failed while the server was killed 6 times"
	run check_files
	status_is 0
	ok "$3: all checksums, from the cache"
	run nb disconnect "$name"
	status_is 1 && err_has "$mnt"
	ok "$3: disconnect refuses while it is mounted, and says where"
	run fstrim -v "$mnt"
	status_is 0
	ok "$3: fstrim"
	umount "$mnt" && run $2 "$device"
	status_is 0
	ok "$3: fsck finds nothing"
	mount "$device" "$mnt" && run check_files
	status_is 0
	ok "$3: all checksums, from the server"
	umount "$mnt"
	run nb disconnect "$name"
	status_is 0 && nothing_left
	ok "$3: disconnected, nothing left"
	kill_server
	run $2 "$dir/disk"
	status_is 0
	ok "$3: fsck of the server's file finds nothing"
}

survive "mkfs.ext4 -q" "fsck.ext4 -fn" ext4
if have mkfs.xfs && grep -qw xfs /proc/filesystems; then
	survive "mkfs.xfs -q -f" "xfs_repair -n" xfs
else
	skip "xfs" "no mkfs.xfs, or not in this kernel"
fi

finish
