#!/bin/bash
# torture_test.sh NBDISK [KILLS [ROW [MANY [WAY]]]] - devices of WAY, ublk or fuse, in the machine
# of vm_test.sh: their daemon is killed again and again under load; many in a row; many at once.
# SPDX-License-Identifier: BSD-2-Clause
#
# Without numbers it is small.  By hand: 200 1000 256.

nbdisk=$1 kills=${2:-5} row=${3:-30} many=${4:-16} way=${5:-ublk}
tests=$(dirname "$0")/..
. "$tests/lib.sh"
. "$tests/device.sh"
. "$tests/outlives.sh"

# A terminal would be told how far things are, in the middle of TAP.
exec 2>>"$dir/stderr"
begin 256M fio
processes() { pgrep -c nbdisk; }
# What the machine has in use, in KiB; what can be given back is not counted.
used() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
	awk '/^(MemTotal|MemFree|Cached|Buffers):/ { m[$1] = $2 }
		END { print m["MemTotal:"] - m["MemFree:"] - m["Cached:"] - m["Buffers:"] }' /proc/meminfo
}
# Loop devices stay, without a file.
is_there() { ls -d /sys/block/ublkb* /sys/block/loop*/loop 2>/dev/null; }
no_device() { [ -z "$(is_there)" ] && ! ls /dev/ublkc* /dev/nbdisk/* 2>/dev/null; }
no_process() { [ "$(processes)" = 0 ]; }
clean() {
	wait_until no_process && no_device && [ -z "$(ls "$NBDISK_STATE_DIR")" ]
}
# The machine keeps a little of each kind of thing that was ever there.
spare=20000
is_back() { after=$(used) && [ "$after" -lt $(($1 + spare)) ]; }
memory_is_back() { # BEFORE
	wait_until is_back "$1"
	back=$?
	echo "# memory in use: $1 KiB before, $after KiB after"
	return $back
}

kill_server
serve qemu-nbd -t -e 0 -f raw -k "$sock" "$dir/disk"

# ---- killed under load ------------------------------------------------------------------

# By turns the helper takes over, and somebody who is faster, or as fast.
has_next() { now=$(daemon) && [ -n "$now" ] && [ "$now" != "$old" ]; }
kill_it() {
	old=$(daemon)
	[ -n "$old" ] || return
	kill -9 "$old"
	nb recover "$name" >/dev/null 2>&1
	wait_until has_next
}
before=$(used)
connect --device "$name" --fence 200ms --unflushed ignore "$sock" >/dev/null
echo "# $(date +%s) begin"
fio --name=verify --filename="$device" --rw=randrw --bsrange=4k-256k --iodepth=32 \
	--ioengine=libaio --direct=1 --size=64M --time_based --runtime=100000 --loops=100000 \
	--verify=crc32c --verify_fatal=1 --fdatasync=100 --output="$dir/fio" \
	>"$dir/fio.log" 2>&1 &
fio=$!
commands() { nb stats "$name" 2>/dev/null | sed -n 's/^ *Commands: //p'; }
busy() { n=$(commands) && [ "${n:-0}" -gt $((RANDOM % 100)) ]; }
killed=0
while [ $killed -lt "$kills" ] && kill -0 $fio 2>/dev/null; do
	wait_until busy && kill_it || break
	killed=$((killed + 1))
	[ $((killed % 50)) -ne 0 ] || echo "# $(date +%s) $killed killed"
done
kill -0 $fio && [ "$killed" = "$kills" ] && [ "$(takeovers)" = "$kills" ]
ok "$kills daemons killed, fio --verify goes on"
kill -INT $fio
wait $fio
! grep -q 'error=\|err=[^ ]*[1-9]' "$dir/fio" "$dir/fio.log" && grep -q 'err= 0' "$dir/fio"
ok "no error, no wrong byte"
nb disconnect "$name"
clean && memory_is_back "$before"
ok "nothing is left"

# ---- in a row -----------------------------------------------------------------------------

before=$(used)
for i in $(seq "$row"); do
	connect --device "$name" "$sock" >/dev/null && nb disconnect "$name" || break
	[ $((i % 250)) -ne 0 ] || echo "# $(date +%s) $i in a row"
done
[ "$i" = "$row" ] && clean && memory_is_back "$before"
ok "$row in a row, nothing is left"

# ---- at once --------------------------------------------------------------------------------

attach_many() {
	for i in $(seq "$many"); do
		connect --device "$name-$i" "$sock" >/dev/null 2>"$dir/err" || return
	done
	[ "$(ls /dev/nbdisk | wc -l)" = "$many" ] && [ "$(is_there | wc -l)" = "$many" ]
}
read_many() {
	for i in $(seq "$many"); do
		dd if="/dev/nbdisk/$name-$i" of=/dev/null bs=64k count=4 iflag=direct status=none ||
			return
	done
}
detach_many() {
	pids_gone=
	for i in $(seq "$many"); do
		nb disconnect "$name-$i" &
		pids_gone="$pids_gone $!"
		[ $((i % 8)) -ne 0 ] || { wait $pids_gone; pids_gone=; }
	done
	[ -z "$pids_gone" ] || wait $pids_gone
	clean
}

attach_many
ok "$many are there at once"
read_many
ok "and can be read"
echo "# $(processes) processes"
detach_many
ok "and gone"
# The kernel keeps room for as many of each kind as there ever were; a second time it needs none.
before=$(used)
attach_many && read_many && detach_many && memory_is_back "$before"
ok "once more, and nothing more is left"
finish
