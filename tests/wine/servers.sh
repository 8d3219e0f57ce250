# servers.sh - several servers of one disk of wnbd.sys; part of wine_test.sh.
# SPDX-License-Identifier: BSD-2-Clause

# pair FIRST SECOND: nbdkits, each with a file of its own or the same; their ports in
# $port1, $port2, the ids in $pid1, $pid2, and the host for map in $pair.
pair() {
	serve file "$1"
	port1=$port pid1=$pid
	serve file "$2"
	port2=$port pid2=$pid
	pair="host=127.0.0.1:$port1,127.0.0.1:$port2"
}
# The server below timeout, which start has made its parent.
kill_server() {
	kill -9 "$(pgrep -P "$1" nbdkit)"
}
again() {
	start nbdkit -f -i 127.0.0.1 -p "$1" file "$dir/disk"
	wait_until listens "$1"
}
silent() {
	start python3 -c "import socket, time
s = socket.create_server(('127.0.0.1', $1))
time.sleep(120)"
}
servers_are() {
	drive "servers foo" && out_has "servers $*"
}

rm -f "$dir/disk"
truncate -s 16M "$dir/disk"
truncate -s 8M "$dir/small"

# By time: what was not flushed holds back each change, here for three seconds.
pair "$dir/disk" "$dir/disk"
drive "map foo $pair path-timeout=1000 fence=3000 connections=2" \
	"write foo seed=21 length=8388608" "flush foo" "write foo seed=22 length=65536" \
	"servers foo"
status_is 0 && out_has "servers active standby"
ok "two servers: the first one is active"
kill_server "$pid1"
began=$(date +%s%N)
drive "check foo seed=21 offset=1048576 length=1048576" "servers foo"
status_is 0 && said "foo: the server is 127.0.0.1 port $port2 now"
ok "it dies: reads go on at the second one"
drive "write foo seed=23 length=4194304 piece=65536"
status_is 0 && [ $((($(date +%s%N) - began) / 1000000)) -ge 4000 ]
ok "a write waits until the first one is fenced by time"
drive "! flush foo" "flush foo" "check foo seed=23 length=4194304" \
	"check foo seed=21 offset=4194304 length=4194304"
status_is 0 && wait_until servers_are failed active
ok "one flush fails for what the first one had not flushed; the data is right"
drive "read foo file=$(wine_path "$dir/back")" && cmp "$dir/back" "$dir/disk"
ok "and it is that of the file behind both"
again "$port1"
pid1=$pid
kill_server "$pid2"
drive "write foo seed=24 length=1048576" "check foo seed=24 length=1048576" "unmap foo"
status_is 0
ok "the second one dies, too: back to the first, which has been started again"
stop "$pid1"

# A server that falls asleep.  What it holds it may write when it wakes, so nothing is
# written here.
pair "$dir/disk" "$dir/disk"
drive "map foo $pair path-timeout=1000 timeout=2000"
kill -STOP "$(pgrep -P "$pid1" nbdkit)"
drive "check foo seed=24 length=1048576" "servers foo" "unmap foo"
status_is 0 && out_has "servers failed active" &&
	said "foo: the server is 127.0.0.1 port $port2 now"
ok "a server that falls asleep is left for the next"
kill -CONT "$(pgrep -P "$pid1" nbdkit)"
stop "$pid1"
stop "$pid2"

# One that dies, and in whose place somebody takes connections and says nothing: a dial
# that is not cancelled takes 30 s, all of this about 6.
pair "$dir/disk" "$dir/disk"
drive "map foo $pair path-timeout=5000"
kill_server "$pid1"
began=$(date +%s)
silent "$port1"
drive "check foo seed=24 length=1048576" "servers foo" "unmap foo"
status_is 0 && out_has "servers failed active" && [ $(($(date +%s) - began)) -lt 25 ] &&
	said "foo: the server is 127.0.0.1 port $port2 now"
ok "one that hangs while it is dialed again, too"
stop "$pid"
stop "$pid2"

# By the store, nothing waits: by time it would, for longer than the program has.
pair "$dir/disk" "$dir/disk"
drive "map foo $pair path-timeout=1000 store=1 fence=300000 failback=1000" \
	"write foo seed=25 length=65536"
status_is 0
ok "two servers of a store"
kill_server "$pid1"
drive "write foo seed=26 length=1048576" "! flush foo" "flush foo" \
	"check foo seed=26 length=1048576"
status_is 0 && wait_until servers_are failed active
ok "fenced by the store: a write does not wait"
again "$port1"
pid1=$pid
wait_until servers_are active standby &&
	drive "check foo seed=26 length=1048576" "write foo seed=27 length=1048576" \
	"flush foo" "check foo seed=27 length=1048576" "unmap foo" && status_is 0
ok "failback: the first one is active again, and no flush fails"
stop "$pid1"
stop "$pid2"

# Not the same disk; not there.
pair "$dir/disk" "$dir/small"
drive "map foo $pair path-timeout=1000 fence=1000"
status_is 0
ok "two servers of different size"
kill_server "$pid1"
(
	timeout 600 "$wine" "$build/tests/wine/driver_test.exe" \
		"check foo seed=27 length=1048576" >"$dir/slow.out" 2>&1
) &
reader=$!
refused=$(grep -cF "is refused: the export is smaller than the device" "$rig_log")
is_refused() {
	[ "$(grep -cF "is refused: the export is smaller than the device" \
		"$rig_log")" -gt "$refused" ]
}
wait_until is_refused
ok "a server with a smaller disk is refused"
again "$port1"
pid1=$pid
wait "$reader"
ok "and the disk waits for the one that has it"
drive "unmap foo"
stop "$pid1"
again "$port1"
stop "$pid2"
drive "map foo host=127.0.0.1:$port2,127.0.0.1:$port1" "servers foo" "unmap foo" \
	"! map foo host=127.0.0.1:$port2,127.0.0.1:$port2" "! map foo host=127.0.0.1," \
	"! map foo $pair skip=1 sector=512 blocks=2048"
status_is 0 && out_has "servers standby active"
ok "a first server that is not there; lists that are wrong"
stop "$pid"
