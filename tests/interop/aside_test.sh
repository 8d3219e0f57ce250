#!/bin/bash
# aside_test.sh NBDISK DISK_PROBE KEY_UPDATER - TLS of connections that have much to send.
# SPDX-License-Identifier: BSD-2-Clause
#
# With two CPUs some of their sends are set aside: a worker of the kernel's carries them
# out.  No connection may be lost, or the flushes would fail, and every block must be right.
# TLS is the kernel's where it can change keys, which is Linux 6.14, if it has TLS;
# tests/vm runs this on such a kernel.

nbdisk=$1 probe=$2 updater=$3
tests=$(dirname "$0")/..
. "$tests/lib.sh"
. "$tests/device.sh"

needs nbdkit
cpus=$(grep -c ^processor /proc/cpuinfo)
echo "# Linux $(uname -r), CPUs: $cpus"
find_server_keys
load_kernel_tls
by_kernel=0
! kernel_takes_tls || by_kernel=4

truncate -s 64M "$dir/disk"
serve_disk

# A worker is a thread of the probe, which is timeout's child.
has_worker() {
	child=$(cat "/proc/$load/task/$load/children")
	grep -qs iou-wrk "/proc/${child% }"/task/*/comm
}
changed_keys() { [ "$(grep -c update "$dir/updates")" -ge "$1" ]; }
# Payload in pages goes alone, and in pieces of the probe's blocks: too little for that.
helped() { [ "$cpus" -eq 1 ] || [ "$mode" = pages ] || wait_until has_worker; }

# much_to_send ROW MODE BYTES UPDATES: enough on each connection; the server changes its
# keys after so many bytes, 0: never, and asks for the client's, until there were UPDATES
much_to_send() {
	row=$1 mode=$2 bytes=$3 enough=$4
	: >"$dir/updates"
	truncate -s 0 "$dir/disk"
	truncate -s 64M "$dir/disk"	# zeroes
	free_port
	timeout 600 "$updater" "$port" "$sock" $pki "$bytes" ask >>"$dir/updates" 2>&1 \
		</dev/null &
	proxy=$!
	pids="$pids $proxy"
	wait_until listens "$port"
	timeout 600 "$probe" "nbds://127.0.0.1:$port/?tls-verify-peer=false" 4 128 65536 \
		500 "$mode" >"$dir/out" 2>"$dir/err" &
	load=$!
	helped
	ok "$row: another CPU helps, where there is one"
	sleep 1
	wait_until changed_keys "$enough"
	ok "$row: new keys: $enough times and more"
	kill -INT "$load"
	status=0
	wait "$load" || status=$?
	status_is 0 && out_has "connections with TLS: 4, by the kernel: $by_kernel" &&
		grep -q "I/Os" "$dir/out"
	ok "$row: every block is right; TLS by the kernel: $by_kernel of 4"
	stop $proxy
}

much_to_send "four connections" verify 0 0
much_to_send "four connections, pages" pages 0 0
much_to_send "four connections, new keys" verify 1000000 40
much_to_send "four connections, pages, new keys" pages 1000000 40
finish
