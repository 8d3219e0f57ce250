#!/bin/bash
# fault_test.sh PROBE - networks and servers that fail under a load that checks itself.
# SPDX-License-Identifier: BSD-2-Clause
#
# disk_probe writes, zeroes, trims, flushes and compares all that it reads, while
# fault_proxy.py does what the table says; it must end with no error and every block
# right.  Commands are given up after a second, so a stall costs a connection.

probe=$1
here=$(dirname "$0")
. "$here/../lib.sh"

for tool in qemu-nbd python3; do
	if ! have $tool; then
		echo "1..0 # SKIP $tool is not installed"
		exit 0
	fi
done

# weather LINE...: one after the other; a number is seconds to wait
weather() {
	for line; do
		case $line in
		[0-9]*) sleep "$line" ;;
		*) echo "$line" >&3 ;;
		esac
	done
}

# has_begun PID: with connections that are up; or it is over
has_begun() { grep -q "it begins" "$dir/err" || ! kill -0 "$1" 2>/dev/null; }

# storm CONNS UNFLUSHED LINE...: the lines, over and over, while the probe runs; on a
# disk that is new
storm() {
	local conns=$1 unflushed=$2 proxy server
	shift 2
	rm -f "$dir/s" "$dir/disk"
	truncate -s 32M "$dir/disk"
	start qemu-nbd -f raw -t -e 16 --discard=unmap -k "$dir/s" "$dir/disk"
	server=$pid
	wait_until [ -S "$dir/s" ]
	rm -f "$dir/control"
	mkfifo "$dir/control"
	free_port
	python3 "$here/fault_proxy.py" "$port" "$dir/s" <"$dir/control" \
		>>"$dir/server.log" 2>&1 &
	proxy=$!
	pids="$pids $proxy"
	exec 3>"$dir/control"
	wait_until listens "$port"
	timeout 300 "$probe" "nbd://127.0.0.1:$port/" "$conns" 16 4096 3 verify \
		"$unflushed" 1 240 0.3 >"$dir/out" 2>"$dir/err" &
	load=$!
	wait_until has_begun $load
	for _ in 1 2 3 4; do
		weather "$@"
	done
	weather go
	status=0
	wait $load || status=$?
	exec 3>&-
	wait $proxy
	stop "$server"
}

while read -r conns unflushed lost name lines; do
	IFS=, read -ra script <<<"$lines"
	storm "$conns" "$unflushed" "${script[@]}"
	status_is 0 && grep -q "I/Os" "$dir/out" &&
		{ [ "$lost" = stays ] || err_has "is closed"; }
	ok "${name//_/ }"
done <<'TABLE'
1 fail    stays delay             delay 5,0.8
4 fail    stays throttle          throttle 2000000,0.8
1 ignore  lost  stall_of_replies  0.3,stall down,1.2,go
1 ignore  lost  stall_of_commands 0.3,stall up,1.2,go
4 replay  lost  stall,_four       0.3,stall down,stall up,1.2,go
1 ignore  lost  cut               0.3,cut
4 ignore  lost  cut,_four         0.3,cut
4 replay  lost  cut,_kept         0.3,cut
4 ignore  lost  reset             0.3,reset
2 replay  lost  reset,_kept       0.3,reset
2 ignore  lost  half_up           0.3,half up
2 ignore  lost  half_down         0.3,half down
4 fail    lost  partition_of_two  0.3,partition 2,1.2,go
4 ignore  lost  all_of_it         delay 2,0.2,stall up,1.1,go,0.1,reset,0.1,half down,0.1,cut
TABLE

# A server whose backend executes a write after its connection was lost, when the
# retry and newer writes have been acknowledged: the fence keeps them apart.
# late FENCE: with liar.py's late-write
late() {
	rm -f "$dir/l"
	start python3 "$here/liar.py" "$dir/l" late-write
	wait_until [ -S "$dir/l" ]
	run timeout 60 "$probe" "nbd+unix:///?socket=$dir/l" 1 8 65536 5 verify ignore \
		1 30 "$1"
	stop "$pid"
}
late 3
status_is 0 && err_has "is closed"
ok "late writes do no harm behind a fence"
late 0
status_is 3
ok "without it they do, and are noticed"

finish
