#!/bin/bash
# rekey_test.sh NBDISK KEY_UPDATER - a device whose server changes its TLS keys.
# SPDX-License-Identifier: BSD-2-Clause
#
# What is written is not flushed, and a lost connection would fail the flush.  TLS is the
# kernel's where it can change keys, which is Linux 6.14, if it has TLS; tests/vm runs
# this on such a kernel.

nbdisk=$1 updater=$2
tests=$(dirname "$0")/..
. "$tests/lib.sh"
. "$tests/device.sh"

needs nbdkit
echo "# Linux $(uname -r)"
find_server_keys
load_kernel_tls
by_kernel=no
! kernel_takes_tls || by_kernel=yes

truncate -s 64M "$dir/disk"
head -c 8M /dev/urandom >"$dir/data"
serve_disk

stat_is() { [ "$(nb stats "$name" | sed -n "s/^ *$1: *//p")" = "$2" ]; }
updates() { grep -c update "$dir/updates"; }

# change_keys CONNECTIONS [ask]
change_keys() {
	: >"$dir/updates"
	free_port
	timeout 300 "$updater" "$port" "$sock" $pki 1000000 $2 >>"$dir/updates" 2>&1 \
		</dev/null &
	proxy=$!
	pids="$pids $proxy"
	wait_until listens "$port"
	run nb connect -c "$1" --device "$name" --unflushed fail \
		"nbds://127.0.0.1:$port/?tls-verify-peer=false"
	! status_is 0 || run nb show "$name"
	expected=0
	[ $by_kernel = no ] || expected=$1
	status_is 0 && [ "$(grep -c "TLS: kernel" "$dir/out")" -eq "$expected" ]
	ok "connections: $1${2:+, $2}; TLS by the kernel: $by_kernel"
	run dd if="$dir/data" of="$device" bs=1M oflag=direct status=none
	for i in 1 2 3; do
		dd if="$device" of="$dir/back" bs=256k count=32 iflag=direct \
			status=none && cmp "$dir/data" "$dir/back" || status=97
	done
	status_is 0 && [ "$(updates)" -ge 10 ]
	ok "what is read is right, with $(updates) updates"
	run dd if="$dir/data" of="$device" bs=4k count=1 seek=4000 oflag=direct \
		conv=fsync status=none
	status_is 0 && stat_is ConnectionsLost 0
	ok "no flush failed, no connection was lost"
	run nb disconnect "$name"
	status_is 0 && nothing_left
	ok "and nothing is left"
	stop $proxy
}

change_keys 1
change_keys 1 ask
change_keys 4 ask
finish
