#!/bin/bash
# disk_test.sh PROBE SEND-FAILS-PROBE - the engine on its ring, under load, with real servers.
# SPDX-License-Identifier: BSD-2-Clause
#
# disk_probe checks every block that it reads, and all of them at the end.

probe=$1
send_fails=$2
. "$(dirname "$0")/../lib.sh"

if ! have nbdkit; then
	echo "1..0 # SKIP nbdkit is not installed"
	exit 0
fi

sock=$dir/s
unix="nbd+unix:///?socket=$sock"

# verify NAME URI CONNS DEPTH BLOCK [UNFLUSHED]; how: verify, or pages
how=verify
verify() {
	run timeout 300 "$probe" "$2" "$3" "$4" "$5" 1 $how $6
	status_is 0 && grep -q "I/Os" "$dir/out"
	ok "$1"
}

# with NAME CONNS DEPTH BLOCK NBDKIT-ARGUMENT...: on a fresh disk
with() {
	name=$1 conns=$2 depth=$3 block=$4
	shift 4
	start_nbdkit "$sock" "$@"
	verify "$name" "$unix" "$conns" "$depth" "$block"
	stop "$pid"
}

with "nbdkit, one connection" 1 32 4096 memory 32M
with "nbdkit, one command at a time" 1 1 4096 memory 32M
with "nbdkit, four connections" 4 64 4096 memory 32M
with "nbdkit, blocks of 64 KiB" 2 8 65536 memory 64M
with "replies in another order" 2 32 4096 --filter=delay memory 32M rdelay=1ms wdelay=2ms
with "FUA by the filter" 2 32 4096 --filter=fua memory 32M fuamode=native
with "no FUA: by write and flush" 2 32 4096 --filter=fua memory 32M
with "no flush at all" 1 32 4096 --filter=nocache --filter=fua memory 32M
with "no zeroes offered" 2 32 4096 --filter=nozero memory 32M
with "blocks of 4096, payload of 64 KiB" 1 16 65536 --filter=blocksize-policy memory 32M \
	blocksize-minimum=4096 blocksize-preferred=4096 blocksize-maximum=64K \
	blocksize-error-policy=error
with "several connections by the filter" 4 32 4096 --filter=multi-conn memory 32M \
	multi-conn-mode=emulate
for mask in 0 1 2 3; do
	with "handshake masked to $mask" 1 32 4096 --mask-handshake=$mask memory 32M
done
with "simple replies only" 2 32 4096 --no-sr memory 32M
# This one advertises FUA and zeroes, and refuses them: nothing but reads and writes.
start_nbdkit "$sock" -o memory 32M
run timeout 300 "$probe" "$unix" 1 32 4096 1 w
status_is 0 && grep -q "I/Os" "$dir/out"
ok "the oldest style of all, writes"
run timeout 300 "$probe" "$unix" 1 32 4096 1 r
status_is 0 && grep -q "I/Os" "$dir/out"
ok "the oldest style of all, reads"
stop "$pid"

# Payload that the disk does not see: straight between the socket and pages.
how=pages
with "pages, two connections" 2 8 65536 memory 64M
with "pages, four connections, replies in another order" 4 16 65536 --filter=delay \
	memory 64M rdelay=1ms wdelay=2ms
with "pages, small ones" 1 32 4096 memory 32M
with "pages, simple replies only" 2 8 65536 --no-sr memory 64M
with "pages, FUA by write and flush" 2 8 65536 --filter=fua memory 64M
start_nbdkit "$sock" memory 64M
verify "pages, but what replay keeps" "$unix" 2 8 65536 replay
stop "$pid"
how=verify

# A server that says no: the request fails, the connection does not.
start_nbdkit "$sock" --filter=error memory 32M error-rate=1 error=EIO error-pread-rate=100%
run timeout 300 "$probe" "$unix" 1 1 4096 1 r
status_is 4 && err_has "read failed" && err_lacks "closed: the server"
ok "an error of the server is the request's"
stop "$pid"

# ---- other servers -----------------------------------------------------------

if have qemu-nbd; then
	truncate -s 32M "$dir/q"
	start qemu-nbd -f raw -t -e 8 --discard=unmap --detect-zeroes=unmap -k "$sock.q" "$dir/q"
	wait_until [ -S "$sock.q" ]
	verify "qemu-nbd, one connection" "nbd+unix:///?socket=$sock.q" 1 32 4096
	stop "$pid"
	# It sends no zeroes, but says where they are.
	rm "$dir/q"
	truncate -s 64M "$dir/q"
	start qemu-nbd -f raw -t -e 8 --discard=unmap --detect-zeroes=unmap -k "$sock.r" "$dir/q"
	wait_until [ -S "$sock.r" ]
	how=pages verify "qemu-nbd, pages" "nbd+unix:///?socket=$sock.r" 2 8 65536
	stop "$pid"
else
	skip "qemu-nbd" "it is not installed"
	skip "qemu-nbd, pages" "it is not installed"
fi
if have nbd-server; then
	truncate -s 32M "$dir/n"
	free_port
	printf '[generic]\nport = %s\nlistenaddr = 127.0.0.1\n[disk]\nexportname = %s\nflush = true\nfua = true\ntrim = true\n' \
		"$port" "$dir/n" >"$dir/nbd.conf"
	start nbd-server -d -C "$dir/nbd.conf"
	wait_until listens "$port"
	verify "nbd-server" "nbd://127.0.0.1:$port/disk" 1 32 4096
	stop "$pid"
else
	skip "nbd-server" "it is not installed"
fi

# ---- TLS ------------------------------------------------------------------------

mkdir "$dir/tls"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
	-addext subjectAltName=DNS:localhost -keyout "$dir/tls/server-key.pem" \
	-out "$dir/tls/server-cert.pem" 2>/dev/null
cp "$dir/tls/server-cert.pem" "$dir/tls/ca-cert.pem"
start_on_port nbdkit -f -i 127.0.0.1 -p PORT --tls=require \
	--tls-certificates="$dir/tls" memory 64M
tls="nbds://localhost:$port/?tls-certificates=$dir/tls"
verify "TLS, one connection" "$tls" 1 32 4096
stop "$pid"
# Were it not seen at once, the one command would wait for its time-out.
start_on_port nbdkit -f -i 127.0.0.1 -p PORT --tls=require \
	--tls-certificates="$dir/tls" memory 64M
run timeout 300 "$send_fails" "nbds://localhost:$port/?tls-certificates=$dir/tls" \
	1 1 4096 1 verify replay 1000
status_is 0 && err_has "is closed" && grep -q "I/Os" "$dir/out"
ok "TLS, sends that fail"
stop "$pid"
start_on_port nbdkit -f -i 127.0.0.1 -p PORT --tls=require \
	--tls-certificates="$dir/tls" memory 64M
verify "TLS, four connections, blocks of 64 KiB" \
	"nbds://localhost:$port/?tls-certificates=$dir/tls" 4 16 65536
stop "$pid"
start_on_port nbdkit -f -i 127.0.0.1 -p PORT --tls=require \
	--tls-certificates="$dir/tls" memory 64M
how=pages verify "TLS, pages" "nbds://localhost:$port/?tls-certificates=$dir/tls" 2 8 65536
stop "$pid"

echo "alice:$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')" >"$dir/keys.psk"
start_nbdkit "$sock" --tls=require --tls-psk="$dir/keys.psk" memory 64M
verify "TLS with a pre-shared key, two connections" \
	"nbds+unix://alice@/?socket=$sock&tls-psk-file=$dir/keys.psk" 2 32 4096
stop "$pid"
start_nbdkit "$sock" --tls=require --tls-psk="$dir/keys.psk" memory 64M
how=pages verify "TLS with a pre-shared key, pages" \
	"nbds+unix://alice@/?socket=$sock&tls-psk-file=$dir/keys.psk" 2 8 65536
stop "$pid"

# ---- the server goes away under load ----------------------------------------------

truncate -s 32M "$dir/disk"
serve() {
	rm -f "$sock"
	nbdkit -f -U "$sock" file "$dir/disk" >>"$dir/server.log" 2>&1 </dev/null &
	pid=$!
	pids="$pids $pid"
	wait_until [ -S "$sock" ]
}

# load CONNS DEPTH POLICY [BLOCK]: until stop_load, and at most ten minutes; up_again waits for a
# connection more than there was when noted.
load() {
	truncate -s 0 "$dir/disk"
	truncate -s 32M "$dir/disk"
	serve
	timeout 900 "$probe" "$unix" "$1" "$2" ${4:-4096} 600 $how "$3" >"$dir/out" \
		2>"$dir/err" &
	load=$!
}
stop_load() {
	kill -INT "$load" 2>/dev/null
	wait "$load"
	status=$?
}
ups() { grep -c "is up" "$dir/err"; }
note_ups() { noted=$(ups); }
up_again() { [ "$(ups)" -gt "$noted" ] || ! kill -0 "$load" 2>/dev/null; }
crash() {
	kill -9 "$pid"
	wait "$pid" 2>/dev/null
}
# restarts NAME CONNS POLICY COUNT [BLOCK]: kill -9 and start again, under the load
restarts() {
	load "$2" 32 "$3" $5
	for _ in $(seq "$4"); do
		sleep 0.3
		note_ups
		crash
		sleep 0.1
		serve
		wait_until up_again
	done
	stop_load
	status_is 0 && [ "$(ups)" -ge "$4" ]
	ok "$1"
	stop "$pid"
}
restarts "a server killed 6 times, replay" 1 replay 6
restarts "a server killed 6 times, four connections, replay" 4 replay 6
restarts "a server killed 6 times, unflushed writes ignored" 2 ignore 6
how=pages restarts "a server killed 6 times under payload in pages" 2 replay 6 65536

# Nothing was lost here, but the client cannot know: the next flush says so.
load 1 32 fail
sleep 0.5
note_ups
crash
serve
wait_until grep -q "flush failed" "$dir/err"
stop_load
status_is 4 && err_has "flush failed: 2"
ok "a server killed, unflushed writes must not be forgotten: the flush fails"
stop "$pid"

# ---- the server hangs -----------------------------------------------------------------

load 2 16 ignore
sleep 0.5
kill -STOP "$pid"
sleep 3
kill -CONT "$pid"
stop_load
status_is 0
ok "a server that stops for 3 seconds"
stop "$pid"

finish
