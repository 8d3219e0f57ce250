#!/bin/bash
# attach_test.sh NBDISK LATE_LINK - the device is what it says, whatever others do to it.
# SPDX-License-Identifier: BSD-2-Clause
#
# Loop devices that are taken away or used again, mounts that are copied or undone by
# somebody else, daemons that die where nobody sees it, many at once.

. "$(dirname "$0")/../own_mounts.sh"
nbdisk=$(realpath "$1")
late_link=$(realpath "$2")
tests=$(dirname "$0")/..
. "$tests/lib.sh"
. "$tests/device.sh"

needs nbdkit python3 losetup unshare setpriv
if [ -z "$NBDISK_OWN_MOUNTS" ]; then
	echo "1..0 # SKIP needs mount name spaces (in a chroot: its root must be a mount)"
	exit 0
fi
chmod 755 "$dir"

daemon() { nb show "$name" 2>/dev/null | sed -n 's/^Pid: //p'; }
gone() { ! grep -qs '^State:.[^Z]' "/proc/$1/status"; }
state_is() { nb status "$name" | grep -q "^$name .* $1 "; }
counted() { [ "$(nb stats "$name" | sed -n "s/^ *$1: //p")" -ge "$2" ]; }
# asked OPERATION: how many of them the server was sent
asked() { nb stats "$name" | awk -v op="$1" '$1 == op { print $2 }'; }
# done_by OPERATION: bytes
done_by() { nb stats "$name" | awk -v op="$1" '$1 == op { print $3 }'; }
# attach ARGUMENT...: as $name; $loop is its loop device
attach() {
	run nb connect --device "$name" "$@"
	loop=$(readlink -f "$device")
	status_is 0
}
# in_front ARGUMENT...: the same in the foreground; its log is $dir/log, $front its process
in_front() {
	: >"$dir/out"
	"$nbdisk" connect --foreground --device "$name" "$@" >"$dir/out" 2>"$dir/log" &
	front=$!
	wait_until [ -s "$dir/out" ] && loop=$(readlink -f "$device")
}
write_block() { dd if=/dev/urandom of="$device" bs=4k count=1 conv=notrunc oflag=direct; }

truncate -s 64M "$dir/other"
start_nbdkit "$sock" memory 64M

# ---- a loop device that others take --------------------------------------------

attach "$sock"
losetup -d "$loop"
write_block 2>/dev/null && state_is CONNECTED && losetup "$loop" | grep -q "/$name/"
ok "losetup -d does not take the device away"
run nb disconnect "$name"
status_is 0 && nothing_left
ok "and then it goes in order"

# The one way to put another file under a device that is held: LOOP_CHANGE_FD.
in_front --read-only "$sock"
run python3 -c 'import fcntl, os, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x4c06, os.open(sys.argv[2], os.O_RDONLY))' \
	"$loop" "$dir/other"
status_is 0
ok "another file is put under it"
lost() { state_is DETACHED && [ ! -L "$device" ]; }
wait_until lost && grep -q "somebody detached" "$dir/log"
ok "the state says so, the log says so, and the link leads to no stranger"
run nb list "$name"
out_has "State: DETACHED"
ok "list says so"
run nb disconnect "$name"
status_is 0 && losetup "$loop" | grep -q "$dir/other" && nothing_left
ok "disconnect spares it"
losetup -d "$loop"
wait $front
ok "and the daemon ends well"

attach "$sock"
run env NBDISK_STATE_DIR="$dir/run2" "$nbdisk" connect --device "$name" "$sock"
status_is 1 && err_has "leads to ${loop#/dev/}, which is in use" && [ -b "$device" ]
ok "the name of a disk that keeps its state elsewhere is taken"
nb disconnect "$name"
LD_PRELOAD=$late_link attach "$sock"
[ -b "$device" ]
ok "another disconnect removes /dev/nbdisk just before the link is made"

# ---- who uses it ---------------------------------------------------------------

upper=$(losetup -f --show "$device")
run nb disconnect "$name"
status_is 1 && err_has "${loop#/dev/} is under ${upper#/dev/}"
ok "a loop device on it: disconnect refuses and names that"
losetup -d "$upper"
(cd "$run_dir/$name/mnt" && echo there && exec sleep 1000) >"$dir/stands" &
stands=$!
wait_until [ -s "$dir/stands" ]
run nb disconnect "$name"
status_is 1 && err_has "sleep (process $stands) stands in $run_dir/$name/mnt" &&
	[ -b "$device" ] && losetup "$loop" | grep -q "/$name/" && write_block 2>/dev/null
ok "somebody stands in its directory: refused, and nothing has changed"
kill $stands
wait $stands 2>/dev/null
unshare -m --propagation private sh -c 'echo there; exec sleep 1000' >"$dir/copied" &
copy=$!
wait_until [ -s "$dir/copied" ]
before=$SECONDS
run nb disconnect "$name"
status_is 0 && nothing_left && [ $((SECONDS - before)) -lt 60 ]
ok "a container has a copy of the mounts: disconnect ends"
kill $copy
attach "$sock"
unshare -m --propagation private sh -c "exec 3<$run_dir/$name/mnt/disk; echo there
	exec sleep 1000" >"$dir/copied2" &
copy=$!
wait_until [ -s "$dir/copied2" ]
run nb disconnect "$name"
status_is 1 && err_has "is in use" && [ -b "$device" ]
ok "a container has its file open: refused"
kill $copy
wait $copy 2>/dev/null
run nb disconnect "$name"
status_is 0 && nothing_left
ok "closed: not refused"

# A server need not close its end after the goodbye (nbdkit 1.42 does not).
python3 - "$sock" "$dir/kept" 2>/dev/null <<'PYTHON' &
import socket, sys, threading

def pump(source, to):
    while data := source.recv(65536):
        to.sendall(data)

listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[2])
listening.listen()
while True:
    client, _ = listening.accept()
    server = socket.socket(socket.AF_UNIX)
    server.connect(sys.argv[1])
    for ends in (client, server), (server, client):
        threading.Thread(target=pump, args=ends, daemon=True).start()
PYTHON
pids="$pids $!"
wait_until [ -S "$dir/kept" ]
attach "$dir/kept"
run nb disconnect "$name"
status_is 0 && nothing_left
ok "a server that stays after the goodbye keeps nobody"

# ---- descriptors, helper -------------------------------------------------------

# connect_with REDIRECTIONS: nothing of the daemon is at 0, 1, 2; it works; the helper
# ends with it.
connect_with() {
	eval "timeout 60 '$nbdisk' connect --device $name '$sock' $1" 2>/dev/null
	wait_until state_is CONNECTED || return
	dpid=$(daemon)
	hpid=$(pgrep -P "$dpid")
	for p in "$dpid" "$hpid"; do
		for fd in 0 1 2; do
			[ "$(readlink "/proc/$p/fd/$fd")" = /dev/null ] || return
		done
	done
	write_block 2>/dev/null && nb disconnect "$name" && wait_until gone "$hpid" &&
		nothing_left
}
for closed in '<&- >/dev/null' '>&-' '2>&- >/dev/null' '<&- >&- 2>&-'; do
	connect_with "$closed"
	ok "with $closed: nothing is taken for a terminal, the helper ends with its daemon"
done
run sh -c "'$nbdisk' version >/dev/full"
status_is 1 && err_has "standard output: No space left"
ok "output that cannot be written shows in the status"

# ---- ends by somebody else -----------------------------------------------------

start_nbdkit "$dir/logged" --filter=log memory 64M logfile="$dir/requests"
chmod 777 "$dir/logged"
mkdir -m 700 "$dir/xdg"
chown nobody "$dir/xdg"
cp "$nbdisk" "$dir/nbdisk"
as_nobody() {
	timeout 300 setpriv --reuid nobody --regid nogroup --clear-groups \
		env -u NBDISK_STATE_DIR XDG_RUNTIME_DIR="$dir/xdg" "$@"
}
if have fusermount3 && as_nobody test -w /dev/fuse; then
	run as_nobody "$dir/nbdisk" connect --device "$name" "$dir/logged"
	file=$(cat "$dir/out")
	as_nobody dd if=/dev/urandom of="$file" bs=4k count=1 conv=notrunc 2>/dev/null
	: >"$dir/requests"
	run as_nobody fusermount3 -u "${file%/disk}"
	status_is 0 && wait_until grep -q Flush "$dir/requests"
	ok "fusermount3 -u: what was written is flushed"
	wait_until [ ! -e "${file%/mnt/disk}" ]
	ok "and the device ends"
	as_nobody "$dir/nbdisk" connect --foreground --device "$name" "$dir/logged" \
		>"$dir/out" 2>"$dir/log" &
	front=$!
	wait_until [ -s "$dir/out" ]
	as_nobody dd if=/dev/urandom of="$file" bs=4k count=1 conv=notrunc 2>/dev/null
	kill -9 $(pgrep -P $pid)
	as_nobody fusermount3 -u "${file%/disk}"
	wait $front
	[ $? = 1 ] && grep -q "may be lost" "$dir/log"
	ok "with lost writes it ends with status 1"
	wait $pid 2>/dev/null
	cp "$(dirname "$0")/../../tools/demo" "$dir/demo"
	run as_nobody env PATH=/usr/bin:/bin "$dir/demo" "$dir/nbdisk"
	status_is 0 && [ "$(tail -n 1 "$dir/out")" = "\$ nbdisk disconnect $(sed -n \
		's/.* --device \(demo[0-9]*\) .*/\1/p' "$dir/out")" ]
	ok "make demo, without root and with the path of a user"
else
	skip "fusermount3 -u" "no fusermount3, or no right to /dev/fuse"
fi

truncate -s 64M "$dir/disk"
serve_disk
attach "$sock"
echo x | dd of="$device" bs=4096 conv=sync,notrunc status=none
nb disconnect "$name" && [ "$(head -c 1 "$dir/disk")" = x ]
ok "what was written, and nobody waited for, is on the server"
in_front "nbd+unix:///?socket=$sock" && write_block 2>/dev/null
kill_server
run nb disconnect "$name"
status_is 1 && err_has "may be lost"
ok "disconnect: lost writes are status 1"
wait $front
[ $? = 1 ]
ok "and in the foreground"
serve_disk
in_front "nbd+unix:///?socket=$sock" && write_block 2>/dev/null
kill_server
wait_until state_is DISCONNECTED
run nb disconnect --force "$name"
status_is 1 && err_has "may be lost"
ok "by force: lost writes are status 1"
wait $front
[ $? = 1 ] && nothing_left
ok "and in the foreground, and nothing is left"

# What a daemon leaves that dies with its mount name space.
serve_disk
timeout 60 unshare -m -p --fork --mount-proc --kill-child --propagation private \
	sh -c "'$nbdisk' connect --device $name '$sock'" >"$dir/out" 2>"$dir/err"
loop=$(readlink -f "$device")
run nb disconnect "$name"
status_is 0 && [ ! -L "$device" ] && ! losetup "$loop" 2>/dev/null | grep -q . && nothing_left
ok "a daemon that died in a container: disconnect removes what it left"

# ---- many at once --------------------------------------------------------------

for round in 1 2 3 4 5; do
	for i in 1 2 3 4 5 6; do
		nb connect --device "$name" "$sock" >/dev/null 2>"$dir/told.$i" &
		callers[i]=$!
	done
	wait "${callers[@]}"
	cat "$dir"/told.* >>"$dir/told"
	nb disconnect --force "$name"
done
! grep "dead daemon" "$dir/told" && [ "$(grep -c "$name" "$dir/told")" -ge 25 ]
ok "a name that is being attached is no dead daemon's"

attach --unflushed replay --dead-timeout never "$sock" && write_block 2>/dev/null
kill_server
for i in 1 2 3 4 5 6 7 8 9 10; do
	nb disconnect --timeout 200ms "$name" 2>/dev/null
done
run nb stats "$name"
status_is 0
ok "who gave up waiting makes room for the next"
timeout 3 "$nbdisk" reconnect --timeout 5124095h "$name" 2>/dev/null
[ $? = 124 ]
ok "a time near the end of all times is no short one"
nb disconnect --force "$name" 2>/dev/null

# ---- what it offers ------------------------------------------------------------

start_nbdkit "$sock" --filter=limit memory 64M limit=2
attach -c 4 --open-timeout 2s "$sock" && err_has "takes 2 of 4 connections" &&
	nb status "$name" | grep -q " 2/2 " && write_block 2>/dev/null
ok "a server that takes fewer connections: it is used, and that is said"
nb disconnect "$name"
stop "$pid"
start_nbdkit "$sock" --filter=nozero memory 64M zeromode=plugin fastzeromode=none
attach "$sock"
run timeout 60 blkdiscard "$device"
[ "$(asked trim)" -ge 1 ] && [ "$(done_by zero)" = 0B ] && [ "$(done_by write)" = 0B ]
ok "no fast way to zero: a discard makes the server write nothing"
nb disconnect "$name"
attach --discard-max 8M "$sock"
run blkdiscard "$device"
status_is 0 && [ "$(asked zero)" -ge 8 ] &&
	[ "$(cat "/sys/block/${loop#/dev/}/queue/discard_max_bytes")" = 8388608 ]
ok "--discard-max: discards, so much at a time"
nb disconnect "$name"
stop "$pid"
start_nbdkit "$sock" memory 64M
attach "$sock"
run blkdiscard "$device"
status_is 0 && [ "$(asked trim)" -ge 1 ]
ok "a fast way to zero: discards"
nb disconnect "$name"
attach --no-discard "$sock"
run blkdiscard "$device"
! status_is 0
ok "--no-discard: none"
run nb disconnect "$name"
status_is 0 && nothing_left
ok "nothing is left"
finish
