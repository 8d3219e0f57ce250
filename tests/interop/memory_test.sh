#!/bin/bash
# memory_test.sh - memcheck over the unit tests, and over the daemon with its device.
# SPDX-License-Identifier: BSD-2-Clause
#
# usage: memory_test.sh BUILD
#
# Memcheck does not see what io_uring writes, so what came from there would count as
# undefined: for the daemon only accesses outside of what was allocated, and leaks, are
# errors.  Needs root for the device.

build=${1:?usage: memory_test.sh BUILD}
nbdisk=$build/linux/nbdisk
. "${0%/*}/../lib.sh"
. "${0%/*}/../device.sh"
have valgrind || {
	echo "1..0 # SKIP needs valgrind"
	exit 0
}
memcheck="valgrind -q --leak-check=full --show-leak-kinds=definite
	--errors-for-leak-kinds=definite --sim-hints=lax-ioctls
	--error-exitcode=9 --log-file=$dir/memcheck.%p"

# clean: memcheck has nothing to say of any process
clean() {
	cat "$dir"/memcheck.* >"$dir/err"
	rm -f "$dir"/memcheck.*
	[ ! -s "$dir/err" ]
}

# bounded SECONDS COMMAND...: of processor time, for each process; ten times that by the
# clock
bounded() {
	timeout $((10 * $1)) sh -c 'ulimit -t "$0" && exec "$@"' "$@"
}

# ---- what waits for no kernel --------------------------------------------------

for program in "$build"/tests/unit/*_test "$build/tests/fuse/fuse_decode_test"; do
	# All orders of three requests take half an hour here; and a process that is led
	# by ptrace cannot be one of memcheck's.
	case ${program##*/} in exhaustive_* | killed_test) continue ;; esac
	run bounded 600 $memcheck "$program"
	status_is 0 && clean
	ok "${program##*/}"
done
run bounded 600 $memcheck "$build/tests/sim/sim" --seeds 5
status_is 0 && clean
ok "sim, 5 seeds"

# ---- the daemon ----------------------------------------------------------------

memcheck="$memcheck --undef-value-errors=no"
run bounded 600 $memcheck "$build/tests/fuse/ring_test"
status_is 0 && clean
ok ring_test
if [ "$(id -u)" -ne 0 ] || [ ! -e /dev/fuse ]; then
	skip "the daemon" "needs root and /dev/fuse"
	finish
fi
qemu_nbd() { serve qemu-nbd -f raw -t -e 16 -k "$sock" $1 "$dir/disk"; }
# must COMMAND...: says which one failed, and how
must() {
	"$@" || { echo "# $1 $2: status $?"; return 1; }
}
# life URI SERVER-OPTIONS: attached, written, scaled, its server killed, read, detached
life() {
	rm -f "$dir/device"
	qemu_nbd "$2"
	bounded 600 env LD_PRELOAD="$build/tests/fuse/ring_poll.so" \
		$memcheck "$nbdisk" connect --foreground --device "$name" -c 2 \
		--unflushed replay --fence 200ms "$1" >"$dir/device" 2>"$dir/out" &
	daemon=$!
	for _ in 1 2 3 4 5 6; do
		wait_until [ -s "$dir/device" ] && break
	done
	dd if="$dir/data" of="$device" bs=64k conv=nocreat oflag=direct 2>/dev/null
	"$nbdisk" scale -c 4 "$name"
	kill_server
	qemu_nbd "$2"
	dd if="$device" of="$dir/read" bs=64k count=64 iflag=direct 2>/dev/null
	must cmp "$dir/read" "$dir/data" && must "$nbdisk" stats "$name" >"$dir/stats" &&
		must "$nbdisk" disconnect "$name" || return
	wait $daemon
	status=$?
	kill_server		# else it listens on, where nobody finds it
	clean && status_is 0
}
head -c 4194304 /dev/urandom >"$dir/data"
truncate -s 16M "$dir/disk"
life "nbd+unix:///?socket=$sock" ""
ok "the life of a daemon"

mkdir "$dir/tls"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority \
	-keyout "$dir/ca-key.pem" -out "$dir/tls/ca-cert.pem" 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj /CN=disks \
	-keyout "$dir/tls/server-key.pem" -out "$dir/request" 2>/dev/null
openssl x509 -req -in "$dir/request" -CA "$dir/tls/ca-cert.pem" \
	-CAkey "$dir/ca-key.pem" -CAcreateserial -days 2 \
	-extfile <(echo subjectAltName=DNS:localhost) \
	-out "$dir/tls/server-cert.pem" 2>/dev/null
life "nbds+unix:///?socket=$sock&tls-certificates=$dir/tls" "--tls-creds t --object
	tls-creds-x509,id=t,dir=$dir/tls,endpoint=server,verify-peer=off"
ok "the life of a daemon, TLS"
finish
