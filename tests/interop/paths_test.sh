#!/bin/bash
# paths_test.sh NBDISK - several servers of one disk: failover, moves, fences, and disks
# that are not the same.  TAP.
# SPDX-License-Identifier: BSD-2-Clause

nbdisk=$1
tests=$(dirname "$0")/..
. "$tests/lib.sh"
. "$tests/device.sh"

needs nbdkit
needs qemu-nbd
needs fio
needs python3

# server N ARGUMENT...: one at $dir/N; its process id is in the file $dir/N.pid
server() {
	n=$1
	shift
	rm -f "$dir/$n"
	"$@" >>"$dir/server.log" 2>&1 </dev/null &
	echo $! >"$dir/$n.pid"
	pids="$pids $!"
	wait_until serves "$dir/$n"
}
# One thread: with more, nbdkit drops a command that the end of its connection follows.
gateway() { server "$1" nbdkit -f -t 1 -U "$dir/$1" file "${2-$dir/disk}"; }
caching() { server "$1" nbdkit -f -U "$dir/$1" --filter=cache file "$dir/disk"; }
pid_of() { cat "$dir/$1.pid"; }
# It may have been killed before, and its number be somebody else's by now.
kill_server() {
	! is_child "$(pid_of "$1")" || kill -9 "$(pid_of "$1")"
	wait "$(pid_of "$1")"
} 2>/dev/null

# attach OPTION...: at $dir/a and $dir/b, or those that are named
attach() {
	run nb connect --device "$name" --path-timeout 1s --fence 1s --timeout 3s \
		--dead-timeout never "$@"
	status_is 0
}
detach() { nb disconnect "$name" >>"$dir/log" 2>&1; }
shown() { nb show "$name" | grep -q "$1"; }
stat_is() { [ "$(nb stats "$name" | sed -n "s/^ *$1: *//p")" = "$2" ]; }
new_disk() {
	head -c 16M /dev/urandom >"$dir/disk"
	rm -f "$dir/log"
}
put() {
	head -c 4096 /dev/zero | tr '\0' "$1" | timeout 200 dd of="$device" bs=4096 \
		seek="${2-0}" oflag=direct conv=notrunc status=none
}
get() {
	timeout 200 dd if="$device" bs=4096 skip="${1-0}" count=1 iflag=direct \
		status=none | head -c 1 | tr '\0' 0
}
load() {
	timeout 200 fio --name=load --filename="$device" --rw=randrw --bs=4k-64k \
		--size=16M --iodepth=8 --ioengine=libaio --direct=1 --verify=crc32c \
		--verify_fatal=1 --verify_backlog=64 --verify_state_save=0 --fsync=32 --time_based \
		--runtime="$1" --output="$dir/fio.log"
}
writes_to_disk() { [ "$(head -c 1 "$dir/disk")" = "$1" ]; }

# ---- which one ---------------------------------------------------------------------

new_disk
gateway b
attach "$dir/a" "$dir/b"
status_is 0 && err_has "warning: nbd+unix:///?socket=$dir/a: cannot connect" &&
	shown "^Server 0: standby" &&
	shown "^Server 1: active, nbd+unix:///?socket=$dir/b"
ok "the first server that is there is taken, and the others are told of"
detach
server small nbdkit -f -U "$dir/small" memory 1M
attach "$dir/b" "$dir/a" "$dir/small"
status_is 0 && err_has "warning: nbd+unix:///?socket=$dir/a: cannot connect" &&
	err_has "socket=$dir/small could not take the device over: the export is smaller"
ok "those that could not take over later are told of, too"
detach
attach "$dir/a" "$dir/b"
run nb move "$name" 0
status_is 1 && err_has "$name stays with nbd+unix:///?socket=$dir/b" && err_has "no such socket" &&
	stat_is ConnectionsLost 0
ok "a move to a server that is away does not begin"
gateway a
run nb move "$name" "nbd+unix:///?socket=$dir/a"
status_is 0 && shown "^Server 0: active" && stat_is Moves 1 && stat_is Failovers 0
ok "a move by URI"
run nb move "$name" nbd://elsewhere/
status_is 1 && err_has "$name has no server"
ok "a server that is none of the device's"
run nb connect --device "$name" --path-timeout 1s --fence 1s --timeout 3s \
	--dead-timeout never "$dir/b" "$dir/a"
status_is 1 && err_has "with other servers, or in another order" &&
	err_has "uri = nbd+unix:///?socket=$dir/a"
ok "connected already, and the order of the servers counts"
run nb metrics "$name"
status_is 0 && out_has "nbdisk_moves_total{name=\"$name\"} 1" &&
	out_has "nbdisk_failovers_total{name=\"$name\"} 0"
ok "metrics count moves and failovers"
nb move "$name" 1
nb top --rounds 1 "$name" | grep -q "CONNECTED *1/1 *1 *0 " &&
	nb top --rounds 1 --json "$name" | grep -q '"server": 1,' && nb move "$name" 0
ok "top tells which server it is"
nb list "$name" --json >"$dir/json" && python3 - "$dir" <<'END'
import json, sys
s = json.load(open(sys.argv[1] + "/json"))[0]["servers"]
assert [p["state"] for p in s] == ["active", "standby"], s
assert [p["number"] for p in s] == [0, 1] and s[0]["uri"].endswith("/a"), s
END
ok "list --json tells of both"
run nb connect --device "$name-b" "$dir/c" "$dir/a"
status_is 0 && err_has "warning: $name writes to the same export"
ok "a second device that has one of the servers: a warning names the first"
nb disconnect "$name-b"
detach

# The cache filter says that it zeroes fast, which the file alone does not.
gateway b
kill_server a
server a nbdkit -f -U "$dir/a" --filter=cache file "$dir/disk"
attach "$dir/a" "$dir/b"
kill_server b
run nb move "$name"
status_is 1 && err_has "cannot connect" && gateway b
run nb move "$name"
status_is 1 && err_has "$name stays with" && err_has "lost an ability" &&
	err_lacks "cannot connect"
ok "why a server is refused is told, and not what was wrong with it before"
detach
kill_server a
gateway a

printf 'uri = %s\nuri = %s\npath-timeout = 1s\n' "$dir/a" "$dir/b" >"$dir/conf"
run nb connect --device "$name" --config "$dir/conf"
status_is 0 && shown "^Server 1: standby" && shown "^PathTimeout: 1000 ms" &&
	shown "^Failback: never" && shown "^Shared: no"
ok "two servers in a configuration file"
detach
run nb connect --device "$name" a b c d e f g h i
status_is 2 && err_has '"i" is too much'
ok "nine servers"
run nb connect --device "$name" "$dir/a" "$dir/a"
status_is 2 && err_has "nbd+unix:///?socket=$dir/a is there twice"
ok "one server twice"
run nb connect --device "$name" --fence-by command "$dir/a" "$dir/b"
status_is 2 && err_has "--fence-command is missing"
ok "a fence by a command without a command"

# ---- moves and failovers -----------------------------------------------------------

attach "$dir/a" "$dir/b" && {
	load 8 &
	loaded=$!
	moved=0
	while kill -0 $loaded 2>/dev/null; do
		nb move "$name" 2>>"$dir/log" || break
		moved=$((moved + 1))
		sleep 0.3
	done
	wait $loaded && [ $moved -ge 3 ] && stat_is Failovers 0 && stat_is FailedFlushes 0
}
ok "moves under load lose nothing"
nb wait "$name" --for moved >"$dir/moved" 2>>"$dir/log" &
waiting=$!
while kill -0 $waiting 2>/dev/null; do
	nb move "$name"
	sleep 0.5
done
wait $waiting && grep -qx "nbd+unix:///?socket=$dir/[ab]" "$dir/moved"
ok "who waits for a move is told where the disk is"
detach

# Each has a cache that only a flush empties; a server that is killed loses what was in it.
cached_failover() {
	kill_server a
	kill_server b
	new_disk
	caching a && caching b && attach --unflushed replay "$dir/a" "$dir/b" || return
	put A 0 && put B 1 && put C 0 || return	# acknowledged, and in no file
	! writes_to_disk C || return
	kill_server a
	put D 2 && [ "$(get 0)$(get 1)$(get 2)" = CBD ] && sync "$device" &&
		writes_to_disk C && stat_is Failovers 1 && stat_is FailedFlushes 0
}
cached_failover
ok "what the old server had in its cache is written again on the new one"
failover_under_load() {
	caching a
	load 6 &
	loaded=$!
	sleep 2
	kill_server b
	wait $loaded && stat_is FailedFlushes 0
}
failover_under_load
ok "fio sees nothing of a server that dies"
detach
caching b
failed_flush() {
	attach "$dir/a" "$dir/b" && put A || return
	kill_server a
	put B 3 || return
	! timeout 100 sync "$device" 2>>"$dir/log" && stat_is FailedFlushes 1 &&
		sync "$device"
}
failed_flush
ok "without replay the loss is told once, by a flush"
detach

# ---- fences ------------------------------------------------------------------------

# A sleeps with a write in its socket, and wakes up when B has a newer one.
cat >"$dir/fence" <<END
#!/bin/bash
echo "\$NBDISK_NAME \$NBDISK_OLD_URI \$NBDISK_NEW_URI" >>$dir/fenced
[ -e $dir/allowed ] || exit 1
kill -9 \$(cat $dir/a.pid)
END
chmod +x "$dir/fence"
fallen_asleep() {
	kill_server a
	kill_server b
	new_disk
	gateway a && gateway b && attach "$@" "$dir/a" "$dir/b" || return
	put O && sync "$device" || return
	kill -STOP "$(pid_of a)"
	put A &
	old=$!
	wait_until shown "^Server 1: active"
}
# The same write again does no harm; a newer one does.
by_command() {
	fallen_asleep --fence-command "$dir/fence" && wait $old || return
	put B &
	new=$!
	wait_until [ -s "$dir/fenced" ] && [ "$(get 1 | wc -c)" -eq 1 ] && sleep 2 &&
		kill -0 $new && ! writes_to_disk B || return
	touch "$dir/allowed"
	wait $new && sync "$device" || return
	kill -CONT "$(pid_of a)" 2>/dev/null
	sleep 1
	[ "$(head -1 "$dir/fenced")" = "$name nbd+unix:///?socket=$dir/a nbd+unix:///?socket=$dir/b" ] &&
		writes_to_disk B
}
by_command
ok "by command: writes wait for it, reads do not, and the old one never lands"
detach
# What the manual warns of: time is no proof against a server that sleeps longer.
by_time() {
	fallen_asleep && wait $old && put B && sync "$device" || return
	kill -CONT "$(pid_of a)"
	wait_until writes_to_disk A
}
by_time
ok "control: a fence of 1 s, and a server that sleeps longer: the old write lands"
detach

# ---- the same disk? ----------------------------------------------------------------

other_disk() {
	kill_server a
	kill_server b
	new_disk
	head -c 16M /dev/urandom >"$dir/other"
	sum=$(sha256sum <"$dir/other")
	gateway a && gateway b "$dir/other" && attach "$@" || return
	dd if="$device" of=/dev/null bs=1M iflag=direct status=none
	put A 0 && sync "$device" && dd if="$device" bs=4k count=8 iflag=direct \
		status=none of=/dev/null && sync "$device"
	kill_server a
	put B 5 &
	old=$!
}
is_refused() { nb show "$name" | grep -A1 "$1" | grep -q "another disk"; }
second_is_another() {
	other_disk "$dir/a" "$dir/b" && wait_until is_refused "^Server 1: failed" &&
		kill -0 $old && [ "$(sha256sum <"$dir/other")" = "$sum" ] || return
	gateway a && wait $old && shown "^Server 0: active"
}
second_is_another
ok "a server with another disk is refused, and not written to"
detach
only_is_another() {
	other_disk "$dir/a" && gateway a "$dir/other" &&
		wait_until is_refused "^Connection 0" && kill -0 $old &&
		[ "$(sha256sum <"$dir/other")" = "$sum" ] || return
	kill_server a
	gateway a && wait $old
}
only_is_another
ok "so is the only server, when it comes back with another disk"
detach
shared() {
	other_disk --shared "$dir/a" "$dir/b" && wait $old && shown "^Server 1: active"
}
shared
ok "a disk that others write, too, is not compared"
detach

# ---- back, and away ----------------------------------------------------------------

cat >"$dir/hook" <<END
#!/bin/sh
echo "\$1 \$NBDISK_URI" >>$dir/hooked
END
chmod +x "$dir/hook"
fails_back() {
	kill_server b
	gateway a && gateway b && attach --failback 1s --hook "$dir/hook" "$dir/a" \
		"$dir/b" || return
	kill_server a
	put A && shown "^Server 1: active" && gateway a &&
		wait_until shown "^Server 0: active" && put B &&
		wait_until grep -q "^moved .*/b" "$dir/hooked" &&
		wait_until grep -q "^moved .*/a" "$dir/hooked"
}
fails_back
ok "failback, and hooks that are told of both moves"
detach

# With the file $dir/drain-N there it says so, to reads and writes.
drainable() {
	drain='[ ! -e '$dir/drain-$1' ] || { echo ESHUTDOWN >&2; exit 1; }'
	server "$1" nbdkit -f -U "$dir/$1" eval get_size='echo 16777216' \
		can_write='exit 0' can_flush='exit 0' flush='exit 0' \
		pread="$drain"'; dd if='"$dir"'/disk iflag=skip_bytes,count_bytes,fullblock \
			skip=$4 count=$3 bs=64k status=none' \
		pwrite="$drain"'; dd of='"$dir"'/disk oflag=seek_bytes seek=$4 bs=64k \
			conv=notrunc status=none'
}
drained() {
	kill_server a
	kill_server b
	drainable a && drainable b &&
		attach --path-timeout 200s --dead-timeout never "$dir/a" "$dir/b" &&
		put A || return
	touch "$dir/drain-a"
	put B && sync "$device" && writes_to_disk B && shown "^Server 1: active" &&
		stat_is FailedFlushes 0
}
drained
ok "a server that says it shuts down is left at once, and nothing is lost"
detach
nothing_left
ok "and nothing is left"
finish
