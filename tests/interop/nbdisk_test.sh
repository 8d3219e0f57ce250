#!/bin/bash
# nbdisk_test.sh NBDISK SOURCE_DIR - the command and its daemon, on this kernel.
# SPDX-License-Identifier: BSD-2-Clause
#
# Attaches devices t-PID-*: needs root, /dev/fuse, loop and nbdkit for most of it.
# Turns FUSE over io_uring on for one of them, and puts the switch back.

. "$(dirname "$0")/../own_mounts.sh"
nbdisk=$(realpath "$1")
source=$(realpath "$2")
here=$(dirname "$(realpath "$0")")
. "$(dirname "$0")/../lib.sh"

if ! have nbdkit; then
	echo "1..0 # SKIP nbdkit is not installed"
	exit 0
fi
chmod 755 "$dir"
sock=$dir/s
name=t-$$
nobody=nobody

nb() { timeout 300 "$nbdisk" "$@"; }
cp "$nbdisk" "$dir/nbdisk"	# others may not reach the build directory
as_nobody() {
	timeout 300 setpriv --reuid "$nobody" --regid nogroup --clear-groups \
	    env -u NBDISK_STATE_DIR XDG_RUNTIME_DIR="$dir/xdg" "$dir/nbdisk" "$@"
}
json() { python3 -c 'import json, sys
d = json.load(open(sys.argv[1]))
sys.exit(not eval(sys.argv[2]))' "$dir/out" "$1"; }
field() { sed -n "s/^ *$1: //p" "$dir/out"; }
daemon_pid() { nb show "$1" 2>/dev/null | sed -n 's/^Pid: //p'; }
# A zombie that init has not taken yet is no process any more.
runs() { [ -n "$1" ] && grep -q '^State:.[^Z]' "/proc/$1/status" 2>/dev/null; }
# An idle nbdkit waits for its clients when it is told to end.
crash() {
	kill -9 $(pgrep -P "$1")
	wait "$1" 2>/dev/null
}
gone() { ! runs "$1"; }
# note_daemon NAME: its process id in $dpid, its helper's in $hpid.
note_daemon() {
	dpid=$(daemon_pid "$1")
	hpid=$(pgrep -P "$dpid")
}
all_gone() { gone "$dpid" && gone "$hpid"; }
# nothing_left NAME: no mount, no loop device, no link, no directory.
nothing_left() {
	! grep -q "$run_dir/$1/" /proc/mounts || { echo "# mounted"; return 1; }
	! grep -qs "$run_dir/$1/" /sys/block/loop*/loop/backing_file ||
	    { echo "# loop"; return 1; }
	[ ! -e "$run_dir/$1" ] || { echo "# directory"; return 1; }
	[ ! -L "/dev/nbdisk/$1" ] || { echo "# link"; return 1; }
}
# in_front ARGUMENT...: connects in the foreground; its log is $dir/fg.err, $foreground
# its process.
in_front() {
	: >"$dir/fg"
	"$nbdisk" connect --foreground --device "$name" "$@" >"$dir/fg" 2>"$dir/fg.err" &
	foreground=$!
	wait_until [ -s "$dir/fg" ]
}
# counted COUNTER N: so many at least
counted() { [ "$(nb stats "$name" | sed -n "s/^ *$1: //p")" -ge "$2" ]; }
clean_devices() {
	mountpoint -q "$dir/m" && umount "$dir/m"
	for d in "$run_dir/"*; do
		[ -d "$d" ] && nb disconnect --force "$(basename "$d")"
	done
}
trap 'clean_devices 2>/dev/null; cleanup' EXIT

# ---- words -------------------------------------------------------------------

run nb
status_is 2 && err_has "usage: nbdisk"
ok "no verb: usage"
run nb help
status_is 0 && out_has "usage: nbdisk VERB [options] [operand ...]"
ok "help"
run nb --help
status_is 0
ok "--help"
run nb help connect
status_is 0 && grep -q -- '--dead-timeout TIME' "$dir/out"
ok "help of a verb"
run nb connect -h
status_is 0 && grep -q -- '--unflushed POLICY' "$dir/out"
ok "-h of a verb"
run nb help frobnicate
status_is 2 && err_has '"frobnicate"'
ok "help of no verb"
run nb version
status_is 0 && grep -qE '^nbdisk [0-9]+\.[0-9]+' "$dir/out"
ok "version"
run nb version --json
status_is 0 && json 'd["version"]'
ok "version, JSON"
run nb help --json
status_is 0 && json 'len(d) == 20 and all(v["help"] for v in d)'
ok "help, JSON"
cp "$dir/out" "$dir/help.json"
run nb frobnicate
status_is 2 && err_has '"frobnicate"'
ok "no such verb"

usage() { # TEXT ARGUMENT...
	text=$1
	shift
	run nb "$@"
	status_is 2 && err_has "$text" && err_has 'See "nbdisk help'
	ok "refused: $*"
}
usage 'SERVER is missing' connect
usage '"i" is too much' connect a b c d e f g h i
usage 'NAME is missing' disconnect
usage '--connections 0: expected a number from 1 to 32' connect -c 0 a
usage '--connections 33: expected a number from 1 to 32' connect -c33 a
usage '--timeout 3x: expected a time above 0' connect --timeout=3x a
usage '--timeout 0: expected a time above 0' connect --timeout 0 a
usage '--fence never: expected a time such as 10' connect --fence never a
usage '--unflushed maybe: expected fail, replay or ignore' connect --unflushed maybe a
usage '--tls yes: expected off, if-offered or required' info --tls yes a
usage '--keep-size 1: expected a size from 1M to 64G' connect --keep-size 1 a
usage '--device ../x: expected up to 64 letters' connect --device ../x a
usage '--via loop: expected auto, fuse or ublk' connect --via loop a
usage 'connect has no option --force' connect --force a
usage 'list has no option -c' list -c 2
usage '--read-only takes no value' connect --read-only=yes a
usage '--port needs a value' connect a --port

run nb connect --port 1 nbd://a:2/
status_is 2 && err_has "--port: the URI has it too"
ok "a port twice"
run nb info --tls off nbds://a/
status_is 2 && err_has "requires TLS"
ok "TLS is not taken back"
if [ -e /dev/ublk-control ]; then
	skip "--via ublk without ublk" "this machine has it"
else
	run nb connect --via ublk a
	status_is 1 && err_has "ublk: " && err_has "modprobe ublk_drv"
	ok "--via ublk without ublk: what is missing"
fi
run nb show "no-such-$$"
status_is 1 && err_has "no such device"
ok "show of no device"
run nb disconnect "no-such-$$"
status_is 1 && err_has "no such device"
ok "disconnect of no device"

# ---- servers -----------------------------------------------------------------

start_nbdkit "$sock" --filter=exportname memory 64M exportname=a \
    exportname=b exportname-list=explicit exportdesc=fixed:words
run nb exports "$sock"
status_is 0 && out_has "$(printf 'a\twords')" && out_has "$(printf 'b\twords')"
ok "exports"
run nb exports --json "$sock"
status_is 0 && json '[e["name"] for e in d] == ["a", "b"]'
ok "exports, JSON"
run nb info "nbd+unix:///a?socket=$sock"
status_is 0 && out_has "Size: 67108864 (64M)" && out_has "Description: words" &&
	out_has "MultipleConnections: yes"
ok "info"
run nb info --json -n a "$sock"
status_is 0 && json 'd["size"] == 67108864 and "CAN_MULTI_CONN" in d["transmission_flags"]'
ok "info, JSON, -n"
run nb info "$dir/nothing"
status_is 1 && err_has "$dir/nothing"
ok "info of no server"
stop "$pid"

# ---- the manual, completion, units --------------------------------------------

if have mandoc; then
	run mandoc -T lint -W warning "$source/linux/man/nbdisk.8" \
	    "$source/linux/man/nbdisk.conf.5"
	status_is 0
	ok "mandoc has nothing to say"
	mandoc -T ascii "$source/linux/man/nbdisk.8" | col -b >"$dir/man"
	mandoc -T ascii "$source/linux/man/nbdisk.conf.5" | col -b >"$dir/man5"
else
	skip "mandoc has nothing to say" "no mandoc"
	cp "$source/linux/man/nbdisk.8" "$dir/man"
	cp "$source/linux/man/nbdisk.conf.5" "$dir/man5"
fi
words_of() { python3 -c 'import json, sys
d = json.load(open(sys.argv[1]))
for v in d:
    if sys.argv[2] == "verbs":
        print(v["verb"])
    elif sys.argv[2] in ("options", v["verb"]):
        print(*("--" + o["name"] for o in v["options"]), sep="\n")' \
    "$dir/help.json" "$1" | sort -u; }
all_in() { # FILE WORD...
	file=$1
	shift
	for word; do
		grep -qF -- "$word" "$file" || { echo "# missing: $word"; return 1; }
	done
}
all_in "$dir/man" $(words_of options) $(words_of verbs)
ok "the manual has every verb and option"
all_in "$dir/man5" $(words_of connect | sed 's/^--//' | grep -vxE 'config|help')
ok "the manual of the file has every option of connect"
completes() { # WORDS...: what bash would offer for the last one
	bash -c '. "$1"; shift
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		_nbdisk
		printf "%s\n" "${COMPREPLY[@]}"' bash "$source/linux/command/nbdisk.bash" "$@" |
	    sort -u
}
PATH=$(dirname "$nbdisk"):$PATH completes nbdisk "" >"$dir/out"
words_of verbs | cmp -s - "$dir/out"
ok "completion has every verb"
PATH=$(dirname "$nbdisk"):$PATH completes nbdisk connect -- >"$dir/out"
words_of connect | cmp -s - "$dir/out"
ok "completion has every option of connect"
if have systemd-analyze; then
	sed "s|@bindir@|$(dirname "$nbdisk")|; s|@sysconfdir@|/etc|" \
	    "$source/linux/boot/nbdisk@.service.in" >"$dir/nbdisk@.service"
	run systemd-analyze verify --man=no "$dir/nbdisk@x.service"
	status_is 0 && [ ! -s "$dir/err" ]
	ok "systemd-analyze has nothing to say of the unit"
else
	skip "systemd-analyze has nothing to say of the unit" "no systemd-analyze"
fi

if [ "$(id -u)" != 0 ] || [ ! -e /dev/fuse ] || [ ! -e /dev/loop-control ]; then
	skip "devices" "needs root, /dev/fuse and loop"
	finish
fi

# ---- a device ----------------------------------------------------------------

start_nbdkit "$sock" memory 64M
run nb connect "$dir/nothing" --device "$name"
status_is 1 && err_has "$dir/nothing" && nothing_left "$name"
ok "connect to no server leaves nothing"
run nb connect --json "$sock"
status_is 0 && json 'd["device"] == "/dev/nbdisk/" + d["name"] and d["name"].startswith("nbd")'
ok "connect takes a free name"
first=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["name"])' "$dir/out")
run nb disconnect "$first"
status_is 0 && nothing_left "$first"
ok "and disconnect gives it back"

rm -f "$run_dir"/.uring-hint
connect_first() { run nb connect "$sock" --device "$name" -c 2 --timeout 5s --fence 500ms; }
if [ -e $uring_switch ]; then with_uring N connect_first; else connect_first; fi
status_is 0 && out_has "/dev/nbdisk/$name" && [ -b "/dev/nbdisk/$name" ]
ok "connect prints the device"
if [ -e $uring_switch ]; then
	err_has "enable_uring" && nb show "$name" | grep -qF '(/dev/fuse)'
	ok "says that FUSE over io_uring is off, and does not turn it on"
else
	skip "says that FUSE over io_uring is off" "not in this kernel"
fi
[ "$(blockdev --getsize64 "/dev/nbdisk/$name")" = 67108864 ]
ok "it has its size"
run nb connect "$sock" --device "$name"
status_is 1 && err_has "$name is connected already, with \"connections = 2\""
ok "the name is taken"
run nb list "$name"
status_is 0 && out_has "Geom name: $name" && out_has "State: CONNECTED" &&
	out_has "ActiveConnections: 2" && out_has "Connections: 2" &&
	out_has "Name: (null)" && out_has "1. Name: $name" &&
	out_has "   Mediasize: 67108864 (64M)" && out_has "   Mode: r0w0e0"
ok "list"
run nb list --json
status_is 0 && json "[x for x in d if x['name'] == '$name'][0]['providers'][0]['mediasize'] == 67108864"
ok "list of all, JSON"
run nb status
status_is 0 && grep -q "^$name .*CONNECTED .*2/2 " "$dir/out"
ok "status"
run nb status --json "$name"
status_is 0 && json "d[0]['state'] == 'CONNECTED' and d[0]['connections'] == 2"
ok "status, JSON"
run nb show "$name"
status_is 0 && out_has "Timeout: 5000 ms" && out_has "Fence: 500 ms" &&
	out_has "Unflushed: fail" && out_has "Connection 1: up, TLS: no"
ok "show"
run nb show --json "$name"
status_is 0 && json "d['timeout_ms'] == 5000 and len(d['connection']) == 2"
ok "show, JSON"
dd if=/dev/urandom of="$dir/data" bs=1M count=8 2>/dev/null
dd if="$dir/data" of="/dev/nbdisk/$name" bs=1M oflag=direct conv=fsync 2>/dev/null
cmp -n 8388608 "$dir/data" "/dev/nbdisk/$name"
ok "keeps what is written"
# The kernel may still be reading ahead.
settled() {
	run nb stats "$name"
	[ "$(field OutstandingIOCount)" = 0 ]
}
wait_until settled
status_is 0 && out_has "Disk stats" && [ "$(field TotalReceivedIORequests)" -ge 8 ] &&
	grep -qE '^write +[1-9]' "$dir/out"
ok "stats"
run nb stats --json "$name"
status_is 0 && json 'd["operations"]["write"]["bytes"] == 8388608' &&
	json 'd["operations"]["write"]["p50_ns"] > 0' &&
	json 'd["disk"]["TotalReceivedIOReplies"] > 0'
ok "stats, JSON"
run nb top --rounds 1 "$name"
status_is 0 && grep -q "^$name " "$dir/out" && ! grep -q "$(printf '\033')" "$dir/out"
ok "top into a pipe"
run nb top --rounds 1 --json "$name"
status_is 0 && json "d[0]['name'] == '$name' and 'mean_ns' in d[0]['read']"
ok "top, JSON"
run nb scale -c 4 "$name"
status_is 0 && nb status "$name" | grep -q " 4/4 "
ok "scale up"
run nb scale -c 1 "$name"
status_is 0 && nb status "$name" | grep -q " 1/1 "
ok "scale down"
run nb scale "$name"
status_is 2 && err_has "--connections is missing"
ok "scale to what?"
made() { nb stats "$name" | sed -n 's/^ *ConnectionsMade: //p'; }
before=$(made)
run nb reconnect "$name"
status_is 0 && [ "$(made)" -gt "$before" ]
ok "reconnect makes anew what is there, before it returns"
[ "$(stat -c %a "$run_dir/$name/control")" = 600 ] &&
	[ "$(stat -c %a "$run_dir/$name")" = 700 ]
ok "its control socket is private"
cp "$nbdisk" "$dir/set-uid" && chmod 4755 "$dir/set-uid"
run setpriv --reuid "$nobody" --regid nogroup --clear-groups "$dir/set-uid" show "$name"
status_is 1 && err_has "there is no such device"
ok "a set-uid program takes no state directory from its caller"
run env NBDISK_STATE_DIR=run "$nbdisk" show "$name"
status_is 1 && err_has "must begin with /"
ok "a state directory that is not absolute is refused"

# Clients that ask nonsense, or say nothing, keep nobody from asking.
python3 - "$run_dir/$name/control" >"$dir/mute.log" <<'PYTHON' &
import socket, sys, time
held = []
for i in range(20):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.setblocking(False)
    try:
        s.connect(sys.argv[1])
    except BlockingIOError:
        continue
    s.send([b"x", b"\xff" * 16, b"y" * 60000][i % 3]) if i < 6 else None
    held.append(s)
print("mute", flush=True)
time.sleep(1000)
PYTHON
hostile=$!
pids="$pids $hostile"
wait_until grep -q mute "$dir/mute.log"
dd if="/dev/nbdisk/$name" of=/dev/null bs=1M count=4 iflag=direct 2>/dev/null
ok "mute clients do not hold up the disk"
asks() { nb status "$name" 2>/dev/null | grep -q CONNECTED; }
wait_until asks
ok "mute clients are hung up on"
stop "$hostile"

mkfs.ext4 -q "/dev/nbdisk/$name" && mkdir "$dir/m" &&
	mount "/dev/nbdisk/$name" "$dir/m" && cp "$dir/data" "$dir/m/"
ok "a file system on it"
run nb list "$name"
out_has "   Mode: r1w1e1"
ok "list sees that it is in use"
run nb disconnect "$name"
status_is 1 && err_has "is mounted on $dir/m" && cmp "$dir/data" "$dir/m/data"
ok "disconnect refuses while it is mounted, and says where"
umount "$dir/m"
note_daemon "$name"
run nb disconnect "$name"
status_is 0 && nothing_left "$name" && [ -n "$hpid" ] && all_gone
ok "disconnect"
run nb connect "$sock" --device "$name" --read-only
status_is 0 && [ "$(blockdev --getro "/dev/nbdisk/$name")" = 1 ] &&
	mount -o ro,noload "/dev/nbdisk/$name" "$dir/m" &&
	cmp "$dir/data" "$dir/m/data"
ok "what was written is there, read-only"
umount "$dir/m"

main=$pid
start_nbdkit "$dir/one" --filter=multi-conn memory 64M multi-conn-mode=disable
one=$pid
run nb connect "$dir/one" --device "$name-1" -c 2
status_is 1 && err_has "Server does not allow multiple connections." &&
	nothing_left "$name-1"
ok "a server for one connection: connect -c 2"
run nb connect "$dir/one" --device "$name-1"
run nb scale -c 2 "$name-1"
status_is 1 && err_has "Server does not allow multiple connections."
ok "a server for one connection: scale -c 2"
run nb disconnect "$name-1"
status_is 0 && nothing_left "$name-1"
ok "a server for one connection: disconnect"
stop "$one"
pid=$main

# ---- deaths ------------------------------------------------------------------

note_daemon "$name"
kill -TERM "$dpid"
wait_until nothing_left "$name" >/dev/null && wait_until gone "$dpid"
ok "SIGTERM is a disconnect"
in_front "$sock"
mount "/dev/nbdisk/$name" "$dir/m"
note_daemon "$name"
kill -TERM "$dpid"
wait_until grep -q "not disconnected" "$dir/fg.err"
runs "$dpid" && cmp "$dir/data" "$dir/m/data"
ok "SIGTERM leaves a device that is in use"
umount "$dir/m"

kill -9 $hpid "$dpid"
wait_until gone "$dpid"
run nb status "$name"
status_is 0 && grep -q "^$name .*DEAD" "$dir/out"
ok "kill -9: status says dead"
run nb status --json "$name"
json 'd[0]["state"] == "DEAD"'
ok "kill -9: status, JSON"
run nb list "$name"
out_has "State: DEAD"
ok "kill -9: list says dead"
run nb connect "$sock" --device "$name"
status_is 1 && err_has "nbdisk disconnect $name"
ok "kill -9: connect says to disconnect first"
run nb stats "$name"
status_is 1 && err_has "is dead"
ok "kill -9: stats says so"
run nb disconnect "$name"
status_is 0 && nothing_left "$name"
ok "kill -9: disconnect cleans up"

run nb connect "$sock" --device "$name"
mount "/dev/nbdisk/$name" "$dir/m"
note_daemon "$name"
kill -9 $hpid "$dpid"
wait_until all_gone
run nb disconnect "$name"
status_is 1 && err_has "is mounted on $dir/m"
ok "kill -9 while mounted: refuses"
run nb disconnect --force "$name"
status_is 0 && err_has "is mounted on $dir/m" && umount "$dir/m" &&
	wait_until nothing_left "$name" >/dev/null
ok "kill -9 while mounted: by force"

# What the daemon has given up; the helper, which unmounts, has not.
run nb connect "$sock" --device "$name"
note_daemon "$name"
grep -qx "CapEff:.0000000000004002" "/proc/$dpid/status" &&
	grep -qx "NoNewPrivs:.1" "/proc/$dpid/status" &&
	grep -qx "Seccomp:.2" "/proc/$dpid/status" &&
	! grep -qx "CapEff:.0000000000004002" "/proc/$hpid/status"
ok "the daemon keeps two capabilities, gets no others, and is filtered"
[ "$(stat -c %a:%u "$run_dir/$name/control")" = 600:0 ]
ok "the control socket is root's alone"
run setpriv --reuid "$nobody" --clear-groups "$dir/nbdisk" disconnect "$name"
status_is 1 && runs "$dpid"
ok "nobody cannot end root's device"
nb disconnect "$name"

# Both asleep for longer than the command time-out, and the server for a moment longer:
# the answer is waited for.
run nb connect "$sock" --device "$name" --timeout 4s
note_daemon "$name"
dd if="/dev/nbdisk/$name" of=/dev/null bs=4k iflag=direct 2>/dev/null &
reader=$!
wait_until counted TotalReceivedIOReplies 50
serving=$(pgrep -P "$main")
kill -STOP "$serving"
sleep 0.1
kill -STOP "$dpid"
sleep 7
kill -CONT "$dpid"
sleep 0.2
kill -CONT "$serving"
wait $reader
status=$?
run nb stats "$name"
status_is 0 && [ "$(field Timeouts)" = 0 ] && [ "$(field ConnectionsLost)" = 0 ]
ok "a daemon that sleeps gives nothing up"
nb disconnect "$name"

# A server falls silent and nothing else happens: the time-out alone wakes the daemon,
# which is not asked, for that would wake it too.
# (Not nbdkit 1.32: that aborts now and then when a client leaves it.)
truncate -s 64M "$dir/mute.img"
start qemu-nbd -t -f raw -k "$dir/mute" "$dir/mute.img"
wait_until [ -S "$dir/mute" ]
in_front "$dir/mute" --timeout 1s
mute=$(pgrep -P "$pid")
kill -STOP "$mute"
dd if="/dev/nbdisk/$name" of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null &
reader=$!
wait_until grep -q "is closed" "$dir/fg.err"
kill -CONT "$mute"
wait $reader && counted Timeouts 1
ok "a silent server is given up in time"
nb disconnect "$name"
stop "$pid"
rm -f "$dir/mute"
pid=$main

# Attaching waits for a server that is silent from its first command on.
if have python3; then
	start python3 "$here/liar.py" "$dir/mute" go-then-silence
	wait_until [ -S "$dir/mute" ]
	timeout 300 "$nbdisk" connect --foreground --device "$name" \
	    --dead-timeout never "$dir/mute" >/dev/null 2>"$dir/err" &
	foreground=$!
	wait_until grep -q "$run_dir/$name/mnt" /proc/self/mounts
	dpid=$(cat "$run_dir/$name/lock")
	kill -TERM "$dpid"
	wait_until nothing_left "$name" >/dev/null && wait_until gone "$dpid"
	ok "SIGTERM while attaching: ends, and leaves nothing"
	wait $foreground
	stop "$pid"
	pid=$main
fi

# What a daemon leaves that ended without its helper: everything but its lock.
run nb connect "$sock" --device "$name"
note_daemon "$name"
kill -9 $hpid "$dpid"
wait_until all_gone
rm "$run_dir/$name/lock"
run nb disconnect "$name"
status_is 0 && nothing_left "$name"
ok "remains without a lock are cleaned up"

(ulimit -n 127; nb connect "$sock" --device "$name") >"$dir/out" 2>"$dir/err"
status=$?
status_is 1 && err_has "ulimit -Hn" && nothing_left "$name"
ok "too few descriptors: a reason, and nothing left"

# More callers than it takes: they are told so, and force still ends it.
run nb connect "$sock" --device "$name"
note_daemon "$name"
kill -STOP "$dpid"
for i in $(seq 12); do
	nb show "$name" >/dev/null 2>"$dir/show.$i" &
	callers[i]=$!
done
wait "${callers[@]}"
[ "$(cat "$dir"/show.* | grep -c "$name: ")" -eq 12 ]
ok "a daemon that hangs: every caller is told"
run nb disconnect --force "$name"
status_is 0 && nothing_left "$name" && gone "$dpid"
ok "and force ends it"

run nb connect "$sock" --device "$name" --dead-timeout never
note_daemon "$name"
kill -STOP "$dpid"
run nb disconnect --force "$name"
status_is 0 && nothing_left "$name" && gone "$dpid"
ok "a daemon that hangs: by force"

# ---- servers that die --------------------------------------------------------

stop "$pid"
truncate -s 64M "$dir/disk"
start_nbdkit "$sock" file "$dir/disk"
run nb connect "$sock" --device "$name" -c 2 --dead-timeout never --fence 0 \
    --unflushed replay
# However fast it is, until the server has been away and is back.
until [ -e "$dir/enough" ]; do
	timeout 600 fio --name=v --filename="/dev/nbdisk/$name" --direct=1 --bs=4k \
	    --ioengine=io_uring --iodepth=16 --rw=randwrite --size=64M --io_size=256M \
	    --verify=crc32c --verify_state_save=0 >"$dir/fio" 2>&1 || exit
done &
fio=$!
for conns in 3 1 2; do
	sleep 0.4
	nb scale -c $conns "$name" >/dev/null || echo "# scale $conns"
done
crash "$pid"
no_server() { nb status "$name" | grep -q "^$name .*DISCONNECTED .*0/2"; }
wait_until no_server
ok "no server: status says so"
run nb reconnect --timeout 500ms "$name"
status_is 1 && err_has "0 of 2 connections are up"
ok "no server: reconnect says so"
run nb disconnect --timeout 2m "$name"
status_is 1 && err_has "fio (process "
ok "no server, under load: disconnect refuses and names the program"
start_nbdkit "$sock" file "$dir/disk"
run nb reconnect --timeout 10s "$name"
status_is 0
ok "the server is back: reconnect"
touch "$dir/enough"
wait "$fio"
verdict=$?
[ "$verdict" = 0 ] || sed 's/^/# /' "$dir/fio"
[ "$verdict" = 0 ]
ok "scale and a restart under load lose nothing"
run nb stats --json "$name"
json 'd["connection"]["server_restarts"] >= 1 and d["operations"]["write"]["errors"] == 0'
ok "the restart was counted, and no write failed"

dd if=/dev/zero of="/dev/nbdisk/$name" bs=4k count=1 oflag=direct 2>/dev/null
crash "$pid"
dd if="/dev/nbdisk/$name" of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null &
reader=$!
wait_until counted OutstandingIOCount 1
note_daemon "$name"
run nb disconnect --force "$name"
status_is 1 && err_has "may be lost" && nothing_left "$name" && all_gone
ok "a request waits for a dead server: by force it ends, and says what is lost"
wait "$reader"
[ $? != 0 ]
ok "and the request has failed"

start_nbdkit "$sock" file "$dir/disk"
run nb connect "$sock" --device "$name" --dead-timeout never --unflushed replay
dd if=/dev/zero of="/dev/nbdisk/$name" bs=4k count=1 oflag=direct 2>/dev/null
crash "$pid"
run nb disconnect --timeout 2s "$name"
status_is 1 && err_has "the server is gone"
ok "a flush waits for a dead server: disconnect says so"
run nb status "$name"
status_is 0 && grep -q DISCONNECTED "$dir/out"
ok "and goes on"
start_nbdkit "$sock" file "$dir/disk"
wait_until nothing_left "$name" >/dev/null
ok "until the server is back"
run nb connect "$sock" --device "$name"
dd if=/dev/zero of="/dev/nbdisk/$name" bs=4k count=1 oflag=direct 2>/dev/null
crash "$pid"
run nb disconnect "$name"
status_is 1 && err_has "may be lost" && nothing_left "$name"
ok "what was never flushed may be lost with its server: disconnect says so"

# ---- what is given up half-way -------------------------------------------------

# Attaching a loop device flushes its file; this server takes its time for that.
start_nbdkit "$sock" eval get_size='echo 67108864' pread='head -c $3 /dev/zero' \
    pwrite='cat >/dev/null' flush="touch $dir/flushes; sleep 20"
timeout 300 "$nbdisk" connect "$sock" --device "$name" >"$dir/out" 2>"$dir/err" &
connecting=$!
wait_until [ -e "$dir/flushes" ]
kill -INT $(pgrep -P "$connecting")
wait "$connecting" 2>/dev/null
wait_until nothing_left "$name" >/dev/null
ok "an interrupted connect leaves nothing"
crash "$pid"

# ---- TLS ---------------------------------------------------------------------

if nbdkit --dump-config | grep -q '^tls=yes'; then
	printf 'alice:0123456789abcdef0123456789abcdef\n' >"$dir/psk"
	start_nbdkit "$sock" --tls=require --tls-psk="$dir/psk" memory 64M
	run nb connect "$sock" --device "$name" --psk-file "$dir/psk" --psk-user alice -c 2
	status_is 0 && nb show "$name" | grep -qE '^Connection 1: up, TLS: (yes|kernel)'
	ok "TLS with a pre-shared key"
	dd if="$dir/data" of="/dev/nbdisk/$name" bs=1M oflag=direct conv=fsync 2>/dev/null &&
		cmp -n 8388608 "$dir/data" "/dev/nbdisk/$name"
	ok "TLS: keeps what is written"
	! grep -q 0123456789abcdef "$run_dir/$name/config"
	ok "no secret in the directory"
	run nb disconnect "$name"
	status_is 0 && nothing_left "$name"
	ok "TLS: disconnect"
	printf '#!/bin/sh\n' >"$dir/hook" && chmod +x "$dir/hook"
	(cd "$dir" && nb connect "nbds+unix://alice@/?socket=${sock##*/}&tls-psk-file=psk" \
		--device "$name" --hook hook) >/dev/null
	cp "$run_dir/$name/config" "$dir/stored"
	nb disconnect "$name"
	run nb connect --config "$dir/stored" --device "$name"
	status_is 0 && nb disconnect "$name" && nothing_left "$name"
	ok "what is kept of a device attaches it again, from another directory"
	run nb connect "$sock" --device "$name"
	status_is 1 && err_has "TLS" && nothing_left "$name"
	ok "a server that wants TLS says so"
	crash "$pid"
else
	skip "TLS" "nbdkit has none"
fi

# ---- FUSE over io_uring --------------------------------------------------------

if [ -e "$uring_switch" ]; then
	start_nbdkit "$sock" memory 64M
	with_uring Y run nb connect "$sock" --device "$name"
	status_is 0 && err_lacks hint &&
		nb show "$name" | grep -qxF 'Attached: loop device over FUSE (io_uring)'
	ok "FUSE over io_uring where it is on"
	dd if="$dir/data" of="/dev/nbdisk/$name" bs=1M oflag=direct conv=fsync 2>/dev/null &&
		cmp -n 8388608 "$dir/data" "/dev/nbdisk/$name"
	ok "io_uring: keeps what is written"
	note_daemon "$name"
	run nb disconnect "$name"
	status_is 0 && nothing_left "$name" && all_gone
	ok "io_uring: disconnect"
	crash "$pid"
else
	skip "FUSE over io_uring" "not in this kernel"
fi

# ---- growth ------------------------------------------------------------------

truncate -s 32M "$dir/disk"
start_nbdkit "$sock" file "$dir/disk"
run nb connect "$sock" --device "$name"
crash "$pid"
truncate -s 48M "$dir/disk"
start_nbdkit "$sock" file "$dir/disk"
grown() { [ "$(blockdev --getsize64 "/dev/nbdisk/$name")" = $((48 << 20)) ]; }
nb reconnect "$name" && wait_until grown
ok "the device grows with its export"
run nb disconnect "$name"
status_is 0 && nothing_left "$name"
ok "and is disconnected"

# ---- in the foreground, from a file -------------------------------------------

cat >"$dir/$name.conf" <<CONF
# a comment
uri = nbd+unix:///?socket=$sock
connections = 2
read-only = yes
timeout = 7s
CONF
python3 - "$dir/notify" >"$dir/notified" <<'PYTHON' &
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
s.settimeout(20)
for i in range(2):
    print(s.recv(100).decode(), flush=True)
PYTHON
pids="$pids $!"
wait_until [ -S "$dir/notify" ]
NOTIFY_SOCKET=$dir/notify timeout 300 "$nbdisk" connect --foreground \
    --config "$dir/$name.conf" --device "$name" --timeout 6s >"$dir/fg" 2>"$dir/fg.err" &
foreground=$!
wait_until grep -qx READY=1 "$dir/notified"
ok "--foreground tells systemd when it is ready"
grep -qx "/dev/nbdisk/$name" "$dir/fg" && grep -q "^nbdisk\[$name\]: " "$dir/fg.err"
ok "prints the device and its log"
run nb show "$name"
out_has "ReadOnly: yes" && out_has "Connections: 2"
ok "the file's options count"
out_has "Timeout: 6000 ms"
ok "the command line's count more"
run nb disconnect "$name"
status_is 0 && nothing_left "$name"
ok "disconnect ends it"
wait "$foreground"
ok "with status 0"
wait_until grep -qx STOPPING=1 "$dir/notified"
ok "and tells systemd so"
bad_config() { # TEXT LINE
	printf 'uri = x\n%s\n' "$2" >"$dir/bad.conf"
	run nb connect --config "$dir/bad.conf"
	status_is 2 && err_has "$dir/bad.conf:2: $1"
	ok "config: $2"
}
bad_config 'unknown option "frob"' 'frob = 1'
bad_config '--connections 99: expected a number' 'connections = 99'
bad_config 'read-only = maybe: expected yes or no' 'read-only = maybe'
bad_config '"frob": expected name = value' 'frob'
run nb connect --config "$dir/none.conf"
status_is 1 && err_has "$dir/none.conf"
ok "no such config"

# ---- without root ------------------------------------------------------------

nobody_may() {
	setpriv --reuid "$nobody" --regid nogroup --clear-groups test -w /dev/fuse
}
if have setpriv && have fusermount3 && nobody_may; then
	chmod 777 "$sock"
	mkdir -m 700 "$dir/xdg"
	chown "$nobody" "$dir/xdg"
	base=$dir/xdg/nbdisk
	run as_nobody connect "$sock" --device "$name"
	status_is 0 && out_has "$base/$name/mnt/disk"
	ok "nobody: a plain file"
	run as_nobody show "$name"
	status_is 0 && out_has "Attached: file over FUSE (/dev/fuse)" && out_has "Node: " ||
		! grep -q '^Node' "$dir/out"
	ok "nobody: show"
	setpriv --reuid "$nobody" --regid nogroup --clear-groups \
	    sh -c "dd if=/dev/zero of=$base/$name/mnt/disk bs=64k count=16 conv=notrunc,fsync" \
	    2>"$dir/err" && cmp -n 1048576 "$dir/disk" /dev/zero
	ok "nobody: it can be written"
	run nb status "$name"
	status_is 1
	ok "nobody's devices are not root's"
	setpriv --reuid "$nobody" --regid nogroup --clear-groups \
	    sh -c "exec 3<$base/$name/mnt/disk; echo open; exec sleep 1000" >"$dir/held" &
	holder=$!
	pids="$pids $holder"
	wait_until [ -s "$dir/held" ]
	run as_nobody disconnect "$name"
	status_is 1 && err_has "is in use"
	ok "nobody: disconnect refuses while it is open"
	kill "$holder"
	wait "$holder" 2>/dev/null
	wait_until as_nobody disconnect "$name" 2>/dev/null
	[ ! -e "$base/$name" ] && ! grep -q "$base/$name" /proc/mounts
	ok "nobody: disconnect"
	run as_nobody connect "$sock" --device "$name"
	dpid=$(as_nobody show "$name" | sed -n 's/^Pid: //p')
	kill -9 "$dpid"
	wait_until gone "$dpid"
	run as_nobody disconnect "$name"
	status_is 0 && [ ! -e "$base/$name" ] && ! grep -q "$base/$name" /proc/mounts
	ok "nobody: kill -9, disconnect cleans up"
	mv "$base" "$base.$$" && ln -s "$base.$$" "$base"
	run as_nobody connect "$sock"
	status_is 1 && err_has "must be a directory of yours"
	ok "nobody: a link is not followed"
	rm -r "$base" "$base.$$"
else
	skip "without root" "no setpriv, fusermount3 or right to /dev/fuse"
fi
finish
