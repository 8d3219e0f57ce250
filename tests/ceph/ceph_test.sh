#!/bin/bash
# ceph_test.sh NBDISK [ROUNDS] - two gateways in front of one RBD image: a Ceph of one
# monitor and one OSD in memory, two qemu-nbd, and a device with both as its servers.
# TAP.
# SPDX-License-Identifier: BSD-2-Clause
#
# A gateway that sleeps with a write in its socket, and wakes up when the other one has a
# newer write: without a fence the old one must land (the control), with one it must not.
# Then ROUNDS gateways under load that die, sleep, or are left in order.

nbdisk=$1 rounds=${2-50}
tests=$(dirname "$0")/..
. "$tests/lib.sh"
. "$tests/device.sh"

for tool in ceph-mon ceph-osd ceph rbd qemu-nbd fio mkfs.ext4; do
	needs $tool
done

# ---- a small Ceph ------------------------------------------------------------------

export CEPH_CONF=$dir/ceph.conf
fsid=$(cat /proc/sys/kernel/random/uuid)
free_port() {
	python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
monitor=127.0.0.1:$(free_port)
cat >"$CEPH_CONF" <<END
[global]
fsid = $fsid
mon host = $monitor
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 1073741824
mon data = $dir/mon
osd data = $dir/osd
run dir = $dir
admin socket = $dir/\$name.\$pid.asok
log file = $dir/\$name.log
mon cluster log file = $dir/cluster.log
keyring = $dir/keyring
END
ceph_() { timeout 60 ceph "$@" 2>>"$dir/ceph.log"; }
osd_is_up() { ceph_ osd stat | grep -q '1 up'; }
start_ceph() {
	mkdir "$dir/mon" "$dir/osd"
	monmaptool --create --add a "$monitor" --fsid "$fsid" "$dir/monmap" &&
		ceph-mon --mkfs -i a --monmap "$dir/monmap" || return
	start ceph-mon -i a -f
	wait_until ceph_ -s || return
	uuid=$(cat /proc/sys/kernel/random/uuid)
	ceph_ osd new "$uuid" && ceph-osd -i 0 --mkfs --osd-uuid "$uuid" || return
	start ceph-osd -i 0 -f
	ceph_ osd pool create rbd 8 && wait_until osd_is_up || return
	timeout 60 rbd create --size 64 --image-feature layering rbd/plain &&
		timeout 60 rbd create --size 64 rbd/locked \
			--image-feature layering,exclusive-lock
}
start_ceph >>"$dir/ceph.log" 2>&1
ok "a Ceph of one monitor and one OSD: $(ceph --version | cut -d' ' -f1-3)"

# ---- gateways ----------------------------------------------------------------------

watchers() { timeout 60 rbd status "rbd/$image" | sed -n 's/.*watcher=\([^ ]*\).*/\1/p'; }
new_watcher() { watchers | grep -vxF -f "$dir/before" >"$dir/$1.address"; }
# gateway N: at $dir/N; what the store calls it is in $dir/N.address
gateway() {
	watchers >"$dir/before"
	rm -f "$dir/$1"
	qemu-nbd -t -e 8 -f raw -x disk -k "$dir/$1" --cache=none "rbd:rbd/$image" \
		>>"$dir/server.log" 2>&1 </dev/null &
	echo $! >"$dir/$1.pid"
	pids="$pids $!"
	wait_until serves "$dir/$1" && wait_until new_watcher "$1"
}
pid_of() { cat "$dir/$1.pid"; }
kill_gateway() {
	kill -9 "$(pid_of "$1")"
	wait "$(pid_of "$1")"
} 2>/dev/null
cat >"$dir/fence" <<END
#!/bin/sh
exec ceph -c $CEPH_CONF osd blocklist add "\$(cat "\$NBDISK_OLD_HOST.address")"
END
chmod +x "$dir/fence"

uri() { echo "nbd+unix:///disk?socket=$dir/$1"; }
# attach OPTION...: to two new gateways of $image
attach() {
	gateway a && gateway b &&
		run nb connect --device "$name" --path-timeout 1s --timeout 3s \
			--dead-timeout never "$@" "$(uri a)" "$(uri b)" && status_is 0
}
detach() {
	run nb disconnect "$name"
	kill_gateway a
	kill_gateway b
	status_is 0
}
active() { nb show "$name" | sed -n 's/^Server .: active.*\([ab]\)$/\1/p'; }
is_active() { [ "$(active)" = "$1" ]; }
stat_is() { [ "$(nb stats "$name" | sed -n "s/^ *$1: *//p")" = "$2" ]; }
put() {
	head -c 4096 /dev/zero | tr '\0' "$1" | timeout 250 dd of="$device" bs=4096 \
		seek="${2-0}" oflag=direct conv=notrunc status=none
}
# The gateway has the lock of the image, and not one that died before it had it.
has_lock() { put L 16000; }
holds() {
	[ "$(timeout 250 dd if="$device" bs=4096 count=1 iflag=direct status=none |
		head -c 1)" = "$1" ]
}
holds_not() { ! holds "$1"; }

# ---- a gateway that sleeps ---------------------------------------------------------

# sleeper OPTION...: B goes by the other gateway while A is in the first one's socket
sleeper() {
	attach "$@" && put O && sync "$device" || return
	kill -STOP "$(pid_of a)"
	put A && put B && sync "$device" && is_active b || return
	kill -CONT "$(pid_of a)"
}
stays() {
	for _ in $(seq 20); do
		holds B || return
		sleep 0.25
	done
}
image=plain
sleeper --fence 1s && wait_until holds_not B && holds A
ok "control: without a fence that holds, the old write lands on the newer one"
detach
sleeper --fence-command "$dir/fence" && stays
ok "fenced by command: osd blocklist add"
detach
image=locked
sleeper --fence-by store --fence 60s && stays
ok "fenced by the store: exclusive-lock"
detach

# ---- rounds ------------------------------------------------------------------------

other() { [ "$1" = a ] && echo b || echo a; }
# One round: the active gateway is left, in one of the ways, and made anew.
round_kill() {
	kill_gateway "$1"
	wait_until is_active "$(other "$1")" && gateway "$1"
}
round_sleep() {
	kill -STOP "$(pid_of "$1")"
	wait_until is_active "$(other "$1")" && sleep 2 || return
	kill -CONT "$(pid_of "$1")"
	sleep 1
	kill_gateway "$1"
	gateway "$1"
}
round_move() { nb move "$name" "$(uri "$(other "$1")")"; }
round_end() {
	kill "$(pid_of "$1")"
	wait_until is_active "$(other "$1")" && kill_gateway "$1"
	gateway "$1"
}
# run_rounds N WAY...: under load
run_rounds() {
	n=$1
	shift
	fio --name=load --filename="$device" --rw=randrw --bs=4k-64k --size=48M \
		--iodepth=8 --ioengine=libaio --direct=1 --verify=crc32c \
		--verify_fatal=1 --verify_backlog=64 --fsync=32 --time_based \
		--runtime=3000 --output="$dir/fio.log" &
	load=$!
	done_rounds=0
	has_lock
	for round in $(seq "$n"); do
		ways=("$@")
		"round_${ways[$((round % $#))]}" "$(active)" && has_lock || break
		kill -0 $load 2>/dev/null || break
		done_rounds=$round
		sleep 1
	done
	kill -TERM $load
	wait $load
	{
		echo "rounds: $done_rounds"
		tail -n 20 "$dir/fio.log"
		nb show "$name"
		nb stats "$name"
	} >"$dir/out"
	grep -q 'err= 0' "$dir/fio.log" && [ "$done_rounds" -eq "$n" ] &&
		stat_is FailedFlushes 0
}
image=plain
attach --unflushed replay --fence-command "$dir/fence" &&
	run_rounds "$rounds" kill sleep move end 2>>"$dir/server.log"
ok "$rounds rounds, fenced by command: fio finds every block right"
detach
image=locked
attach --unflushed replay --fence-by store --fence 60s &&
	run_rounds $((rounds / 10 + 1)) kill sleep move 2>>"$dir/server.log"
ok "$((rounds / 10 + 1)) rounds, fenced by the store"
detach

# ---- a file system -----------------------------------------------------------------

image=plain
file_system() {
	attach --unflushed replay --fence-command "$dir/fence" &&
		mkfs.ext4 -q "$device" && mount "$device" "$mnt" || return
	cp -r /etc "$mnt/one" 2>>"$dir/server.log"
	cp -r /etc "$mnt/two" 2>>"$dir/server.log" &
	copy=$!
	sleep 1
	round_kill "$(active)" 2>>"$dir/server.log"
	wait $copy
	sync && umount "$mnt" && fsck.ext4 -fn "$device" >"$dir/out" 2>&1 &&
		mount -r "$device" "$mnt" && diff -r --no-dereference "$mnt/one" "$mnt/two" >"$dir/out"
	verdict=$?
	umount "$mnt"
	return $verdict
}
file_system
ok "ext4 across a gateway that dies"
detach && nothing_left
ok "and nothing is left"
finish
