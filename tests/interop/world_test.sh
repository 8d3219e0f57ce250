#!/bin/bash
# world_test.sh - what no simulator knows: our own kernel's sockets, servers that sleep,
# links that are slow, disks that grow, certificates that change.  TAP.
# SPDX-License-Identifier: BSD-2-Clause
#
# usage: world_test.sh NBDISK
#
# As root.
. "$(dirname "$0")/../lib.sh"

nbdisk=$1
for tool in nbdkit fio openssl blkdiscard losetup prlimit; do
	if [ "$(id -u)" -ne 0 ] || [ ! -e /dev/fuse ] || ! have $tool; then
		echo "1..0 # SKIP needs root, FUSE and $tool"
		exit 0
	fi
done

me=w$$
names=
nb() { timeout 300 "$nbdisk" "$@"; }

# attach N OPTION...: device of that number, as $device and $name
attach() {
	name=$me-$1
	shift
	names="$names $name"
	device=$(nb connect --device "$name" "$@" 2>"$dir/err")
}
detach() { nb disconnect "$name" >/dev/null 2>&1; }
field() { nb show "$name" | sed -n "s/^$1: //p"; }
count() { nb stats "$name" | sed -n "s/^ *$1: //p"; }

end() {
	exec 2>/dev/null
	for pid in $pids; do ! is_child "$pid" || kill -CONT "$pid"; done
	for n in $names; do
		[ ! -e "$NBDISK_STATE_DIR/$n" ] || nb disconnect --force "$n"
	done
	cleanup
}
trap end EXIT

# put DEVICE CHARACTER BLOCK, get DEVICE BLOCK: 4 KiB, past all caches
put() {
	head -c 4096 /dev/zero | tr '\0' "$2" |
		timeout 200 dd of="$1" bs=4096 seek="$3" oflag=direct conv=notrunc \
			status=none
}
get() {
	timeout 200 dd if="$1" bs=4096 skip="$2" count=1 iflag=direct status=none |
		head -c 1 | tr '\0' 0
}

# ---- a server that sleeps --------------------------------------------------------

# tunnel: to a server at $at, which hears nothing of a client that leaves; becomes $at
tunnel() {
	mkfifo "$dir/tunnel" 2>/dev/null
	start_on_port sh -c 'exec python3 "$0" PORT "$1" <>"$2"' \
		"$(dirname "$0")/fault_proxy.py" "$at" "$dir/tunnel"
	wait_until listens "$port" && at=nbd://127.0.0.1:$port/
}

# sleeper WRITES [tunnel]: its first connection takes 2 s for a write, one by one, while
# it is awake; it sleeps for longer than the fence.  The next connection is being made all
# the while, and is there as soon as it wakes.
sleeper() {
	writes=$(seq 0 $(($1 - 1))) at=$dir/sleeper
	rm -f "$dir/disk" "$dir/sleeper" "$dir/opened"
	truncate -s 16M "$dir/disk"
	start nbdkit -f -t 1 -U "$at" --filter=noextents eval \
		thread_model='echo parallel' get_size='echo 16777216' \
		open='n=$(cat '"$dir"'/opened 2>/dev/null || echo 0)
			echo $((n + 1)) | tee '"$dir"'/opened' \
		can_write='exit 0' can_flush='exit 0' flush='exit 0' \
		can_multi_conn='exit 0' \
		pread='dd if='"$dir"'/disk iflag=skip_bytes,count_bytes,fullblock \
			skip=$4 count=$3 bs=64k status=none' \
		pwrite='[ "$2" != 1 ] || sleep 2
			dd of='"$dir"'/disk oflag=seek_bytes seek=$4 bs=64k \
			conv=notrunc status=none'
	server_pid=$pid
	wait_until [ -S "$at" ] && ${2:-true} &&
		attach sleeper --timeout 2s --fence 8s --open-timeout 60s \
			--dead-timeout never "$at" || return
	pkill -STOP -P "$server_pid"
	old=
	for block in $writes; do
		put "$device" A "$block" &
		old="$old $!"
	done
	sleep 12
	pkill -CONT -P "$server_pid"
	wait $old || return
	for block in $writes; do
		put "$device" B "$block" || return
	done
	sync "$device" || return
	for block in $writes; do
		sleep 2.5
	done
	for block in $writes; do
		[ "$(get "$device" "$block")" = B ] || return
	done
	detach
}
# nbdkit 1.32 aborts now and then when a client leaves it; then it is another one's turn.
aborted() {
	! pgrep -P "$server_pid" >/dev/null
}
sleepers() {
	for _ in 1 2 3; do
		sleeper "$@" && return
		aborted || return 1
		nb disconnect --force "$name" >/dev/null 2>&1
	done
	return 1
}
sleepers 1
ok "a server that wakes with an old write loses no newer one"
sleepers 5 tunnel
ok "nor one that works on its old writes, one by one, for longer than the fence"

# The daemon is asleep for longer than the dead-timeout; the server is away.
asleep() {
	serve_memory "$dir/asleep" && attach asleep --dead-timeout 8s "$dir/asleep" ||
		return
	kill_server
	get "$device" 0 >"$dir/got" 2>/dev/null &
	reader=$!
	sleep 1
	daemon=$(field Pid)
	kill -STOP "$daemon"
	sleep 10
	kill -CONT "$daemon"
	sleep 1
	serve_memory "$dir/asleep" || return
	wait "$reader" && [ "$(cat "$dir/got")" = 0 ] && detach
}
# start's child is timeout, and the server is its child.
kill_server() {
	pkill -9 -P "$server_pid"
	wait "$server_pid"
} 2>/dev/null
serve_memory() {
	rm -f "$1"
	start nbdkit -f -U "$1" memory 64M
	server_pid=$pid
	wait_until [ -S "$1" ]
}
asleep
ok "time asleep counts for no dead-timeout"

# A burst of large requests touches as much memory as there are of them.
resident() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$daemon/status"; }
# A read that waits at /dev/fuse keeps its buffer; a burst leaves one.
is_small() { [ "$(resident)" -lt "$((before + 2048))" ]; }
burst() {
	serve_memory "$dir/burst" && attach burst "$dir/burst" || return
	daemon=$(field Pid)
	before=$(resident)
	timeout 200 fio --name=burst --filename="$device" --rw=randread --bs=1M \
		--iodepth=32 --ioengine=libaio --direct=1 --number_ios=200 \
		>"$dir/out" 2>&1 && after=$(resident) &&
		echo "# $before kB, after a burst $after" &&
		[ "$after" -gt "$((before + 16384))" ] && wait_until is_small &&
		echo "# ten seconds later $(resident)" && detach
}
burst
ok "memory that a burst has touched goes back to the machine"

# ---- no descriptors left ---------------------------------------------------------

# One is free: enough to be asked how it is, too few to connect with.
first_free() {
	n=0
	while [ -e "/proc/$daemon/fd/$n" ]; do n=$((n + 1)); done
	echo "$n"
}
says() { nb show "$name" | grep -q "$1"; }
starved() {
	serve_memory "$dir/starved" && attach starved "$dir/starved" || return
	daemon=$(field Pid)
	prlimit --pid "$daemon" --nofile="$(($(first_free) + 1))": || return
	kill_server
	serve_memory "$dir/starved" || return
	put "$device" B 3 &
	writer=$!
	wait_until says "Problem.*Too many open files" || return
	prlimit --pid "$daemon" --nofile=256: && wait "$writer" &&
		[ "$(get "$device" 3)" = B ] && detach
}
starved
ok "a daemon that may open no more says so, and connects when it may"

# ---- slow is not dead ------------------------------------------------------------

# 2 MB/s and time-outs of a tenth of the defaults, so as 200 KB/s.
slow_link() {
	start nbdkit -f -U "$dir/slow" --filter=rate memory 256M rate=16M
	wait_until [ -S "$dir/slow" ] &&
		attach slow --timeout 3s --dead-timeout 12s "$dir/slow" || return
	timeout 200 fio --name=slow --filename="$device" --rw=read --bs=1M \
		--iodepth=64 --ioengine=libaio --direct=1 --runtime=20 --time_based \
		>"$dir/out" 2>&1 &&
		[ "$(count Timeouts)" = 0 ] && [ "$(count ConnectionsLost)" = 0 ] &&
		detach
}
slow_link
ok "64 reads of 1 MiB at once over a slow link"

# slow_effect METHOD COMMAND...: the server needs 4 s for 4 GiB, the time-out is 2 s
slow_effect() {
	method=$1
	shift
	rm -f "$dir/effect"
	start nbdkit -f -U "$dir/effect" eval get_size='echo 8589934592' \
		can_write='exit 0' can_flush='exit 0' flush='exit 0' \
		"can_$method=exit 0" \
		pread='head -c $3 /dev/zero' pwrite='cat >/dev/null' \
		"$method"'=sleep $(($3 / 1000000000)).$(printf %09d \
			$(($3 % 1000000000)))'
	wait_until [ -S "$dir/effect" ] &&
		attach "effect-$method" --timeout 2s --dead-timeout 1m --fence 1s \
			--discard-max 4G \
			"$dir/effect" || return
	timeout 200 "$@" "$device" && [ "$(field State)" = CONNECTED ] && detach
}
slow_effect zero blkdiscard -z -l 4G
ok "zeroing that takes longer than the time-out gets done"

# ---- a disk that grows -----------------------------------------------------------

grows() {
	truncate -s 16M "$dir/growing"
	rm -f "$dir/grow"
	start nbdkit -f -U "$dir/grow" file "$dir/growing"
	wait_until [ -S "$dir/grow" ] && attach grow -c "$1" "$dir/grow" || return
	put "$device" A 1
	truncate -s 32M "$dir/growing"
	nb reconnect "$name" || return
	wait_until has_size 33554432 && put "$device" B 8191 &&
		[ "$(get "$device" 8191)$(get "$device" 1)" = BA ] &&
		[ "$(count ServerRestarts)" = 0 ] && detach
	grown=$?
	stop "$pid"
	return $grown
}
has_size() { [ "$(blockdev --getsize64 "$device")" = "$1" ]; }
grows 1
ok "reconnect takes up a new size over one connection"
grows 3
ok "and over three"

# ---- certificates that change ----------------------------------------------------

# authority N: a CA, a server's certificate and a client's, all new
authority() {
	mkdir -p "$dir/new"
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=ca $1" \
		-keyout "$dir/new/ca-key.pem" -out "$dir/new/ca-cert.pem" 2>/dev/null
	for who in server client; do
		openssl req -newkey rsa:2048 -nodes -subj "/CN=localhost" \
			-keyout "$dir/new/$who-key.pem" -out "$dir/request" 2>/dev/null
		openssl x509 -req -in "$dir/request" -CA "$dir/new/ca-cert.pem" \
			-CAkey "$dir/new/ca-key.pem" -CAcreateserial -days 2 \
			-out "$dir/new/$who-cert.pem" 2>/dev/null
	done
	rm -rf "$dir/pki"
	mv "$dir/new" "$dir/pki"
	chown -R nobody "$dir/pki"
	chmod 600 "$dir/pki"/*
}
serve_tls() {
	rm -f "$dir/rotate"
	start nbdkit -f -U "$dir/rotate" --tls=require --tls-verify-peer \
		--tls-certificates="$dir/pki" file "$dir/disk2"
	server_pid=$pid
	wait_until [ -S "$dir/rotate" ]
}
# Keys that only another user may read: the daemon has no right to, its helper has.
rotates() {
	truncate -s 16M "$dir/disk2"
	authority 1
	serve_tls && attach rotate --ca "$dir/pki/ca-cert.pem" --tls-hostname localhost \
		--cert "$dir/pki/client-cert.pem" --key "$dir/pki/client-key.pem" \
		"nbds+unix:///?socket=$dir/rotate" && put "$device" A 3 &&
		sync "$device" || return
	kill_server
	authority 2
	serve_tls || return
	put "$device" B 3 && [ "$(get "$device" 3)" = B ] && detach
}
rotates
ok "certificates and keys that are replaced under a disk"
finish
