#!/bin/bash
# full_test.sh NBDISK - where the daemon keeps its state, or its log, is full.
# SPDX-License-Identifier: BSD-2-Clause
#
# In a mount name space of its own, with a /run of a few files or pages: a device is
# attached there, or a reason is given and nothing is left.  A device that is there goes
# on when /run is full, and when its log cannot be written or nobody reads it.

nbdisk=$(realpath "$1")
. "$(dirname "$0")/../own_mounts.sh"
tests=$(dirname "$0")/..
. "$tests/lib.sh"
. "$tests/device.sh"
export NBDISK_STATE_DIR=/run/nbdisk

needs nbdkit python3
if [ -z "$NBDISK_OWN_MOUNTS" ]; then
	echo "1..0 # SKIP needs a mount name space of its own"
	exit 0
fi
log_made=

leave() {
	remove_device
	[ -z "$log_made" ] || rm -f /dev/log
	cleanup
}
trap leave EXIT

none_left() { nothing_left && [ -z "$(ls /run/nbdisk 2>/dev/null)" ]; }
# small_run TMPFS-OPTIONS: from now on
small_run() {
	mountpoint -q /run && umount -l /run
	mount -t tmpfs -o "$1" small /run
}
# works: the device keeps what is written
works() {
	head -c 1048576 /dev/urandom >"$dir/data"
	timeout 20 dd if="$dir/data" of=$device bs=64k oflag=direct conv=fsync 2>/dev/null &&
		timeout 20 dd if=$device bs=64k count=16 iflag=direct 2>/dev/null |
		cmp - "$dir/data"
}

start_nbdkit "$sock" memory 64M

# ---- too little to begin with --------------------------------------------------

# tight TMPFS-OPTIONS: attached and detached, or a reason; nothing left.  Counts both.
attached=0 refused=0
tight() {
	small_run "$1"
	run nb connect "$sock" --device $name
	case $status in
	0)
		attached=$((attached + 1))
		works && run nb disconnect $name && status_is 0 && none_left
		;;
	1)
		refused=$((refused + 1))
		err_has "No space left on device" && none_left
		;;
	*) return 1 ;;
	esac
}
verdict=0
for inodes in $(seq 2 14); do
	tight "nr_inodes=$inodes" || { verdict=1; echo "# with $inodes inodes"; break; }
done
[ $verdict -eq 0 ]
ok "a /run for 2 to 14 files: attached, or a reason and nothing left"
for pages in $(seq 1 8); do
	tight "size=$((pages * 4))k" || { verdict=1; echo "# with $pages pages"; break; }
done
[ $verdict -eq 0 ]
ok "a /run of 1 to 8 pages: attached, or a reason and nothing left"
[ $attached -gt 0 ] && [ $refused -gt 0 ]
ok "some were too small, and some large enough"
echo "# $attached attached, $refused refused"

# ---- full later ----------------------------------------------------------------

small_run size=1m
run nb connect "$sock" --device $name
status_is 0
ok "attached"
! dd if=/dev/zero of=/run/filler bs=4k 2>/dev/null && works
ok "/run is full: the device works"
run nb status $name
status_is 0 && grep -q CONNECTED "$dir/out"
ok "/run is full: status"
run nb scale -c 4 $name && status_is 0 && works
ok "/run is full: more connections"
run nb disconnect $name
status_is 0 && none_left
ok "/run is full: disconnect leaves nothing"
rm /run/filler

# ---- the log -------------------------------------------------------------------

nb connect --foreground --device $name "$sock" >"$dir/out" 2>/dev/full &
foreground=$!
wait_until [ -s "$dir/out" ] && works
ok "the log's disk is full: the device works"
run nb disconnect $name
status_is 0 && wait $foreground && none_left
ok "the log's disk is full: disconnect"

python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
time.sleep(120)' "$dir/log" &
logger=$!
pids="$pids $logger"
wait_until [ -S "$dir/log" ]
if ! ln -s "$dir/log" /dev/log 2>/dev/null; then
	skip "a logger that does not read" "this machine has a logger"
	finish
fi
log_made=yes
run nb connect "$sock" --device $name
status_is 0
ok "a logger that does not read: attached"
# Each reconnection is worth two lines.
for conns in $(seq 40); do
	nb scale -c $((conns % 4 + 1)) $name
done
works
ok "a logger that does not read: the device works"
kill $logger
rm /dev/log
log_made=
nb scale -c 2 $name && works
ok "the logger is gone: the device works"
run nb disconnect $name
status_is 0 && none_left
ok "the logger is gone: disconnect"
finish
