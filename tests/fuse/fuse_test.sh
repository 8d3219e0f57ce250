#!/bin/bash
# fuse_test.sh - FUSE and loop against a disk in memory, on this kernel.
# SPDX-License-Identifier: BSD-2-Clause
#
# usage: fuse_test.sh FUSE_SERVE FUSE_TEST PARTITION; prints TAP.  Needs root.  Turns FUSE
# over io_uring on while it mounts, and puts the switch back.
. "$(dirname "$0")/../own_mounts.sh"
set -u
serve=$(realpath "$1") tool=$(realpath "$2") partition=$(realpath "$3")

[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
[ -e /dev/fuse ] || { echo "1..0 # SKIP no /dev/fuse"; exit 0; }

tmp=$(mktemp -d) mnt=$tmp/mnt fs=$tmp/fs disk=$tmp/mnt/disk
switch=/sys/module/fuse/parameters/enable_uring
number= server= tests=0 failed=0
mkdir "$mnt" "$fs"
chmod 755 "$tmp"

clean() {
	mountpoint -q "$fs" && umount "$fs"
	[ -n "$number" ] && "$tool" detach "$loop" 2000
	grep -q " $mnt " /proc/mounts && umount -l "$mnt"
	[ -n "$server" ] && kill "$server" 2>/dev/null
	rm -rf --one-file-system "$tmp"
}
trap clean EXIT

# ok NAME COMMAND...: one test; what the command prints is shown if it fails.
ok() {
	local name=$1
	shift
	tests=$((tests + 1))
	if "$@" >"$tmp/said" 2>&1; then
		echo "ok $tests - $name"
	else
		echo "not ok $tests - $name"
		tail -30 "$tmp/said" | sed 's/^/# /'
		failed=$((failed + 1))
	fi
}
no() { ! "$@"; }
skip() { tests=$((tests + 1)); echo "ok $tests - $1 # SKIP $2"; }

# with_switch Y|N COMMAND...: while the machine's switch is so; whoever else wants it
# waits.  It counts when the kernel says hello to a new mount.
with_switch() {
	local wanted=$1 was
	shift
	exec 9<$switch
	flock 9
	was=$(cat $switch)
	echo "$wanted" >$switch
	"$@"
	echo "$was" >$switch
	exec 9<&-
}
# start ARGS...: serve on $mnt; $state is how.
start() {
	if [ -e $switch ]; then with_switch $on start_now "$@"; else start_now "$@"; fi
}
start_now() {
	coproc SRV { exec "$@" "$mnt" 2>"$tmp/stderr" 9<&-; }
	server=$SRV_PID
	exec {from}<&"${SRV[0]}" {to}>&"${SRV[1]}"
	state=
	read -r -t 60 -u "$from" state
}
# soon COMMAND...: for up to a minute
soon() {
	local end=$((SECONDS + 60))
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep .05
	done
}
gone() { ! kill -0 "$1" 2>/dev/null; }
ask() { echo "$1" >&"$to"; read -r -t 60 -u "$from" reply; echo "$reply"; }
count() { ask counts | tr ' ' '\n' | sed -n "s/^$1=//p"; }
# stop: unmount and let the server end by itself.
stop() {
	"$tool" unmount "$mnt" now && exec {to}>&- && wait_server
}
wait_server() { soon gone "$server" && wait "$server"; }
# attach [BLOCK_MIN [DISCARD_MAX]]: $loop is number and sequence, $number the number.
attach() {
	loop=$("$tool" attach "$disk" "${1:-1}" "${2:--1}")
	number=${loop%:*}
	[ -b "/dev/loop$number" ]
}
detach() { "$tool" detach "$loop" 60000 && number=; }
queue() { cat "/sys/block/loop$number/queue/$1"; }
equal() { [ "$1" = "$2" ] || { echo "$1, not $2"; false; }; }
above() { [ "$1" -gt "$2" ] || { echo "$1, not above $2"; false; }; }
fio_verify() {
	fio --name=verify --filename="/dev/loop$number" --direct=1 \
	    --ioengine=io_uring --verify=crc32c --do_verify=1 --verify_fatal=1 \
	    --verify_state_save=0 \
	    --rw=randwrite --bs="$1" --iodepth="$2" --size="$3" --offset=32M
}
# A worker of the kernel's is a thread of the server.
helped() { [ "$(nproc)" = 1 ] || grep -qs iou-wrk "/proc/$server"/task/*/comm; }
zeroes() { cmp -n $((8 << 20)) "/dev/loop$number" /dev/zero; }

# ---- what every transport and block size must do --------------------------------

test_file() {	# block_min
	start "$serve" $flag -b "$1"
	ok "$mode, block $1: serves" equal "$state" "$mode"
	ok "$mode, block $1: as a file" "$tool" file "$disk"
	ok "$mode, block $1: writers of one block" "$tool" contend "$disk"
	ok "$mode, block $1: asked for whole blocks" equal "$(count unaligned)" 0
	ok "$mode, block $1: ends" stop
}

test_sync() {
	start "$serve" $flag
	ok "$mode: O_DSYNC and fsync" "$tool" sync "$disk"
	ok "$mode: O_DSYNC is FUA" equal "$(count fua)" 1
	ok "$mode: fsync is a flush" equal "$(count flush)" 1
	ok "$mode: ends" stop
	start "$serve" $flag -n
	ok "$mode: fsync, server without FLUSH" "$tool" sync "$disk"
	ok "$mode: asks for no flush" equal "$(count flush)" 0
	ok "$mode: ends" stop
}

test_loop() {	# block_min
	local sectors=$1 page
	page=$(getconf PAGESIZE)
	[ "$sectors" -lt 512 ] && sectors=512
	[ "$sectors" -gt "$page" ] && sectors=$page
	start "$serve" $flag -b "$1"
	ok "$mode, block $1: loop attaches" attach "$1"
	ok "$mode: its block size" equal "$(queue logical_block_size)" "$sectors"
	ok "$mode: it discards" above "$(queue discard_max_bytes)" 0
	ok "$mode: it zeroes" above "$(queue write_zeroes_max_bytes)" 0
	ok "$mode: it is found" "$tool" is "$loop"
	ok "$mode: verify 4k, depth 32" fio_verify 4k 32 16M
	ask "delay 2000" >/dev/null	# so that there are several at the disk
	ok "$mode: verify 256k, depth 8" fio_verify 256k 8 64M
	ask "delay 0" >/dev/null
	[ "$mode" = uring ] || ok "$mode: another CPU copied" helped
	ok "$mode: asked for whole blocks" equal "$(count unaligned)" 0
	test_zeroing
	test_filesystem
	test_users
	test_resize
	ok "$mode: detaches" detach
	ok "$mode: is found no more" no "$tool" is "$loop"
	ok "$mode: ends" stop
}

test_zeroing() {
	local dev=/dev/loop$number trims zeros kept
	dd if=/dev/urandom of="$dev" bs=1M count=8 oflag=direct 2>/dev/null
	trims=$(count trim) zeros=$(count zero)
	ok "$mode: blkdiscard" blkdiscard -l 8M "$dev"
	ok "$mode: it trimmed" above "$(count trim)" "$trims"
	ok "$mode: and zeroed" above "$(count zero)" "$zeros"
	ok "$mode: reads as zeroes" zeroes
	dd if=/dev/urandom of="$dev" bs=1M count=8 oflag=direct 2>/dev/null
	trims=$(count trim) kept=$(count no_hole)
	ok "$mode: zeroout" blkdiscard -z -l 8M "$dev"
	ok "$mode: it kept the space" above "$(count no_hole)" "$kept"
	ok "$mode: and trimmed nothing" equal "$(count trim)" "$trims"
	ok "$mode: reads as zeroes" zeroes
}

test_filesystem() {
	local dev=/dev/loop$number trims
	ok "$mode: nobody uses it" no "$tool" users "$dev"
	ok "$mode: mkfs" mkfs.ext4 -qF "$dev"
	ok "$mode: mount" mount "$dev" "$fs"
	ok "$mode: says where it is mounted" equal "$("$tool" users "$dev")" \
	    "loop$number is mounted on $fs"
	dd if=/dev/urandom of="$fs/a" bs=1M count=40 2>/dev/null
	cp "$fs/a" "$fs/b"; sync; echo 3 >/proc/sys/vm/drop_caches
	ok "$mode: files compare" cmp "$fs/a" "$fs/b"
	rm "$fs/b"; sync
	trims=$(count trim)
	ok "$mode: fstrim" fstrim "$fs"
	ok "$mode: it trimmed" above "$(count trim)" "$trims"
	ok "$mode: detach is put off while mounted" no "$tool" detach "$loop" 100
	ok "$mode: umount" umount "$fs"
	ok "$mode: then it detached" soon no "$tool" is "$loop"
	attach 1
	ok "$mode: fsck" fsck.ext4 -fn "/dev/loop$number"
}

# Other users than a mount: swap, a partition.
test_users() {
	local dev=/dev/loop$number
	wipefs -qa "$dev"
	mkswap -q "$dev"
	if swapon "$dev" 2>"$tmp/said"; then
		ok "$mode: says that it is swap" equal "$("$tool" users "$dev")" \
		    "loop$number is swap space"
		swapoff "$dev"
	else
		skip "$mode: swap" "$(cat "$tmp/said")"
	fi
	wipefs -qa "$dev"
	"$partition" "$dev" 2048 65536
	mkfs.ext4 -qF "${dev}p1"
	ok "$mode: mount a partition" mount "${dev}p1" "$fs"
	ok "$mode: says that" equal "$("$tool" users "$dev")" \
	    "loop${number}p1 is mounted on $fs"
	umount "$fs"
	"$partition" "$dev"
	ok "$mode: nobody uses it any more" no "$tool" users "$dev"
}

test_resize() {
	ok "$mode: the disk grows" equal "$(ask 'grow 512')" ok
	ok "$mode: loop is told" "$tool" resize "$loop" "$disk"
	ok "$mode: it has the new size" equal \
	    "$(blockdev --getsize64 "/dev/loop$number")" $((512 << 20))
	ok "$mode: reads there" dd if="/dev/loop$number" of=/dev/null bs=1M \
	    skip=500 count=12 iflag=direct,fullblock
}

fill() {
	dd if=/dev/urandom of="/dev/loop$number" bs=1M count=8 oflag=direct 2>/dev/null
}
test_refusals() {
	start "$serve" $flag -z
	ok "$mode: without WRITE_ZEROES: no punch" no fallocate -p -l 4096 "$disk"
	attach
	# The block layer takes "not supported" for done: discard is a hint.
	ok "$mode: a discard does no harm" blkdiscard "/dev/loop$number"
	ok "$mode: as nothing is trimmed" equal "$(count trim)" 0
	ok "$mode: but zeroout" blkdiscard -z -l 8M "/dev/loop$number"
	detach
	ok "$mode: ends" stop
	# Has no fast way to zero; says that it has one, and then it has not.
	for slow in -f -l; do
		start "$serve" $flag $slow
		attach
		fill
		ok "$mode: slow ($slow): a discard" blkdiscard "/dev/loop$number"
		ok "$mode: trims" above "$(count trim)" 0
		ok "$mode: and makes nobody write zeroes" equal "$(count zero)" 0
		fill
		ok "$mode: but zeroout" blkdiscard -z -l 8M "/dev/loop$number"
		ok "$mode: reads as zeroes" zeroes
		detach
		ok "$mode: ends" stop
	done
	start "$serve" $flag -f -p
	attach 1 $((2 << 20))
	fill
	ok "$mode: slow, and may be: a discard" blkdiscard -l 8M "/dev/loop$number"
	ok "$mode: trims, 2 MiB at a time" equal "$(count trim)" 4
	ok "$mode: and zeroes" equal "$(count zero)" 4
	ok "$mode: reads as zeroes" zeroes
	detach
	ok "$mode: ends" stop
	start "$serve" $flag -r
	ok "$mode: read-only: no write" no dd if=/dev/zero of="$disk" bs=4k count=1
	attach
	ok "$mode: loop is read-only" equal "$(blockdev --getro "/dev/loop$number")" 1
	detach
	ok "$mode: ends" stop
}

# What an earlier user left on the number; and who has it next.
test_number() {
	local first second held
	start "$serve" $flag
	attach
	first=$number second=$loop
	queue_set() { echo "$2" >"/sys/block/loop$number/queue/$1"; }
	queue_set write_cache "write through"
	queue_set nomerges 2
	queue_set max_sectors_kb 64
	queue_set discard_max_bytes 0
	blockdev --setro --setra 8 "/dev/loop$number"
	detach
	ok "$mode: gone" no "$tool" is "$second"
	# Others may take the number meanwhile; then this shows nothing, and fails not.
	attach
	ok "$mode: a new device has another name than the old" no "$tool" is "$second"
	ok "$mode: flushes reach the server" equal "$(queue write_cache)" "write back"
	ok "$mode: merges" equal "$(queue nomerges)" 0
	ok "$mode: as much at a time" equal "$(queue max_sectors_kb)" \
	    "$(queue max_hw_sectors_kb)"
	ok "$mode: discards" above "$(queue discard_max_bytes)" 0
	ok "$mode: writable" equal "$(blockdev --getro "/dev/loop$number")" 0
	ok "$mode: read-ahead" equal "$(queue read_ahead_kb)" 128
	: >"$tmp/held"
	"$tool" hold "$loop" >"$tmp/held" &
	held=$!
	soon [ -s "$tmp/held" ]
	losetup -d "/dev/loop$number"
	ok "$mode: while it is held nobody takes it away" "$tool" is "$loop"
	kill "$held"
	ok "$mode: then it goes" soon no "$tool" is "$loop"
	number=
	attach 1 $((2 << 20))
	ok "$mode: discards of 2 MiB at most" equal "$(queue discard_max_bytes)" \
	    $((2 << 20))
	detach
	attach 1 0
	ok "$mode: no discards" equal "$(queue discard_max_bytes)" 0
	detach
	ok "$mode: ends" stop
}

test_trouble() {
	start "$serve" $flag
	ask 'fail 1' >/dev/null
	ok "$mode: an error is seen" no dd if="$disk" of=/dev/null bs=4k count=1
	ok "$mode: and the next read is fine" dd if="$disk" of=/dev/null bs=4k count=1
	ask 'delay 500000' >/dev/null
	timeout -s INT .2 dd if="$disk" of=/dev/null bs=1M count=1 2>/dev/null
	ok "$mode: an interrupted read does no harm" \
	    dd if="$disk" of=/dev/null bs=4k count=1
	ask 'delay 3000000' >/dev/null
	reads=$(count read)
	dd if="$disk" of="$tmp/late" bs=1M count=1 2>/dev/null & late=$!
	while [ "$(count read)" = "$reads" ]; do
		sleep .05
	done
	ask stop >/dev/null
	ok "$mode: after stop: refused" no dd if="$disk" of=/dev/null bs=4k count=1
	ok "$mode: what was under way is done" wait "$late"
	ok "$mode: ends" stop
}

loaded() { [ "$(count write)" -gt 50 ]; }
# The server dies with requests under way, and is cleaned up after.
test_kill() {
	local load
	start "$serve" $flag
	attach
	fio --name=load --filename="/dev/loop$number" --direct=1 --rw=randrw --bs=4k \
	    --iodepth=32 --ioengine=io_uring --time_based --runtime=600 \
	    >/dev/null 2>&1 & load=$!
	soon loaded
	kill -9 "$server"; wait "$server" 2>/dev/null
	ok "$mode: killed: its users see errors and end" soon gone "$load"
	ok "$mode: killed: loop is found" "$tool" is "$loop"
	ok "$mode: killed: loop detaches" detach
	ok "$mode: killed: unmounts" "$tool" unmount "$mnt" now
	ok "$mode: killed: nothing is left" no grep -q " $mnt " /proc/mounts
}
as_user() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }
# A user without rights, through fusermount3.
test_user() {
	command -v fusermount3 >/dev/null && as_user test -w /dev/fuse ||
	    { skip "$mode: user" "no fusermount3, or no right to /dev/fuse"; return; }
	chown nobody "$mnt"
	cp "$serve" "$tool" "$tmp"
	start setpriv --reuid=nobody --regid=nogroup --clear-groups \
	    "$tmp/${serve##*/}" $flag
	ok "$mode: user: serves" equal "$state" "$mode"
	ok "$mode: user: as a file" as_user "$tmp/${tool##*/}" file "$disk"
	ok "$mode: user: unmounts" as_user "$tmp/${tool##*/}" unmount "$mnt" now
	exec {to}>&-
	ok "$mode: user: ends" wait_server
	chown root "$mnt"
}

run_all() {
	local block
	for block in 1 512 65536; do
		test_file $block
	done
	test_sync
	test_loop 1
	test_loop 4096
	test_loop 65536
	test_refusals
	test_number
	test_trouble
	test_kill
	test_user
}

mode=classic flag= on=N
run_all
if [ -e $switch ]; then
	ok "io_uring is off" equal "$(with_switch N "$tool" support)" off
	start "$serve" -u
	ok "switched off: classic" equal "$state" classic
	ok "switched off: ends" stop
	ok "io_uring is on" equal "$(with_switch Y "$tool" support)" on
	mode=uring flag=-u on=Y
	run_all
else
	skip "FUSE over io_uring" "not in this kernel"
fi
echo "1..$tests"
exit $((failed > 0))
