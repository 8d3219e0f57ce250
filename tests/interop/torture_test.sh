#!/bin/bash
# torture_test.sh NBDISK ROUNDS - faults of the machine, many times over.
# SPDX-License-Identifier: BSD-2-Clause
#
# The daemon and its helper are killed with -9 under load, ROUNDS times; a server is killed ROUNDS times
# under fio --verify on ext4 and on xfs; the daemon sleeps for a minute; memory,
# descriptors and the log's disk run out.  Root, and time.

here=$(dirname "$0")
. "$here/../own_mounts.sh"
nbdisk=$(realpath "$1")
rounds=$2
. "$here/../lib.sh"
. "$here/../device.sh"

needs nbdkit fio python3 mkfs.ext4 mkfs.xfs

daemon() { nb show "$name" 2>/dev/null | sed -n 's/^Pid: //p'; }
# a pause of 0 to 0.9 s
moment() { sleep "0.$((RANDOM % 10))"; }
# start_writer RECORD: returns when it has noted more than was there
start_writer() {
	touch "$1"
	before=$(wc -l <"$1")
	python3 "$here/fsync_writer.py" write "$device" "$1" 2>"$dir/err" &
	writer=$!
	wait_until is_longer "$1" "$before"
}
# is_longer RECORD LINES
is_longer() { [ "$(wc -l <"$1")" -gt "$2" ]; }

# ---- the daemon is killed --------------------------------------------------------

# one_death: attach, load, kill, clean up, attach no more; what fsync promised is there
# (nbdkit 1.32 aborts now and then when a client dies in the middle of a command.)
one_death() {
	kill -0 "$server" 2>/dev/null || serve_disk || return
	nb connect "$sock" --device "$name" -c 2 >"$dir/out" 2>"$dir/err" || return
	start_writer "$dir/record" || { echo "# nothing was noted in 10 s"; return 1; }
	moment
	dpid=$(daemon)
	kill -9 "$(pgrep -P "$dpid" -x nbdisk-helper)" "$dpid"
	wait $writer
	nb disconnect --force "$name" >"$dir/out" 2>"$dir/err" && nothing_left &&
		python3 "$here/fsync_writer.py" check "$dir/disk" "$dir/record" \
			>"$dir/out" 2>"$dir/err"
}

truncate -s 64M "$dir/disk"
serve_disk
deaths=0
while [ $deaths -lt "$rounds" ] && one_death; do
	deaths=$((deaths + 1))
done
[ $deaths -eq "$rounds" ]
ok "the daemon is killed $rounds times: what fsync promised is there"
echo "# $(cat "$dir/out") blocks were noted, $deaths deaths"
kill_server

# ---- the server is killed --------------------------------------------------------

# fall ROUNDS KIND: mkfs, fio with checksums, and the server dies under it
fall() {
	rm -f "$dir/disk"
	truncate -s 512M "$dir/disk"
	serve_disk
	nb connect "$sock" --device "$name" -c 2 --unflushed replay --fence 1s \
		--dead-timeout never >/dev/null && "mkfs.$2" -q "$device" &&
		mount "$device" "$mnt"
	ok "$2: made and mounted"
	fio --name=v --directory="$mnt" --size=96m --bs=4k --rw=randrw --iodepth=16 \
		--ioengine=libaio --direct=1 --verify=crc32c --verify_fatal=1 \
		--fsync=64 --time_based --runtime=36000 --loops=100000 \
		--verify_backlog=512 >"$dir/fio.log" 2>&1 &
	load=$!
	falls=0
	while [ $falls -lt "$1" ] && kill -0 $load 2>/dev/null; do
		moment
		sleep 0.3
		kill_server
		moment
		serve_disk
		falls=$((falls + 1))
	done
	kill -0 $load 2>/dev/null
	ok "$2: fio found no error while the server was killed $falls times"
	kill -INT $load
	wait $load
	! grep -i "verify:\|error=\|crc32c: " "$dir/fio.log"
	ok "$2: no checksum was wrong"
	umount "$mnt" && nb disconnect "$name" >"$dir/out" 2>"$dir/err" && nothing_left
	ok "$2: unmounted, nothing left"
	kill_server
	case $2 in
	ext4) run fsck.ext4 -fn "$dir/disk" ;;
	xfs) run xfs_repair -n "$dir/disk" ;;
	esac
	status_is 0
	ok "$2: fsck finds nothing"
}
fall "$rounds" ext4
if grep -qw xfs /proc/filesystems || modprobe xfs 2>/dev/null; then
	fall "$rounds" xfs
else
	skip "xfs" "not in this kernel"
fi

# ---- the machine sleeps ----------------------------------------------------------

truncate -s 64M "$dir/disk"
serve_disk
nb connect "$sock" --device "$name" --timeout 5s >/dev/null
start_writer "$dir/sleepy"
pid=$(daemon)
kill -STOP "$pid"
sleep 60
before=$(wc -l <"$dir/sleepy")
kill -CONT "$pid"
wait_until is_longer "$dir/sleepy" $((before + 100)) && kill -0 $writer
ok "a minute of sleep: the writer goes on"
kill $writer
wait $writer 2>/dev/null
nb disconnect "$name" >"$dir/out" 2>"$dir/err" && nothing_left &&
	run python3 "$here/fsync_writer.py" check "$dir/disk" "$dir/sleepy"
status_is 0
ok "a minute of sleep: what fsync promised is there"

# ---- limits ----------------------------------------------------------------------

# limited LIMIT VALUE: says what is missing, leaves nothing, at every value
limited() {
	(ulimit "$1" "$2" && exec "$nbdisk" connect "$sock" --device "$name") \
		>"$dir/out" 2>"$dir/err"
	case $? in
	0) nb disconnect "$name" >/dev/null && nothing_left ;;
	1 | 127) [ -s "$dir/err" ] && nothing_left ;;	# 127: says the linker
	*) return 1 ;;
	esac
}
verdict=0
for files in 8 64 127 128 200; do
	limited -n "$files" || { verdict=1; echo "# with $files descriptors"; break; }
done
[ $verdict -eq 0 ]
ok "8 to 200 descriptors: attached, or a reason and nothing left"
verdict=0
for kib in $(seq 4000 2000 60000); do
	limited -v "$kib" || { verdict=1; echo "# with $kib KiB"; break; }
done
[ $verdict -eq 0 ]
ok "4 to 60 MB of address space: attached, or a reason and nothing left"
kill_server
finish
