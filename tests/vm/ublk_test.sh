#!/bin/bash
# ublk_test.sh NBDISK - a device of the kernel's ublk, in the machine of vm_test.sh.
# SPDX-License-Identifier: BSD-2-Clause

nbdisk=$1
tests=$(dirname "$0")/..
. "$tests/lib.sh"
. "$tests/device.sh"

needs nbdkit fio blkdiscard
load_modules ublk
echo "# Linux $(uname -r)"
queue() { cat "/sys/class/block/$node/queue/$1"; }
attach() {
	run nb connect --device "$name" "$@"
	status_is 0 && node=$(basename "$(realpath "$device")")
}
detach() {
	run nb disconnect "$name"
	status_is 0 && nothing_left && no_ublk
}
no_ublk() { ! ls /dev/ublk[bc]* 2>/dev/null; }
attached() { nb show "$name" | grep -qxF "Attached: $1"; }
# Linux 6.16 registers buffers.
kernel=$(uname -r | awk -F. '{ print $1 * 1000 + $2 }')
ublk="ublk (registered buffers)"
[ "$kernel" -ge 6016 ] || ublk=ublk
straight() { nb show "$name" | sed -n 's/^Straight: //p'; }
# logged TEXT N: so often the server was asked for it
logged() { [ "$(grep -c -- "$1" "$dir/log")" = "$2" ]; }
serve_logged() {
	: >"$dir/log"
	serve nbdkit -f -U "$sock" --filter=log "$@" logfile="$dir/log"
}
unserve() { kill_server; }

# ---- as users see it -----------------------------------------------------------

head -c 64M /dev/urandom >"$dir/disk"
serve_logged file "$dir/disk"
attach "$sock" && [ "$node" = ublkb0 ] && attached "$ublk"
ok "auto: by ublk"
nb show --json "$name" | grep -q '"attached": *"ublk' && nb show --json "$name" |
	grep -q '"node": *"ublkb0"'
ok "JSON says so, too"
cmp "$device" "$dir/disk"
ok "read: as at the server"
head -c 64M /dev/urandom >"$dir/new"
dd if="$dir/new" of="$device" bs=1M oflag=direct status=none && cmp "$dir/new" "$dir/disk"
ok "written: as at the server"
for operand in /dev/ublkb0 "$device"; do
	run nb show "$operand"
	status_is 0 && out_has "Name: $name" || break
done
ok "the command takes the block device for the name"

# ---- each request as NBD means it -------------------------------------------------

: >"$dir/log"
dd if="$dir/new" of="$device" bs=64k count=4 oflag=direct,dsync status=none
logged ' Write .*fua=1' 4
ok "FUA, by the request"
: >"$dir/log"
dd if="$dir/new" of="$device" bs=64k count=4 oflag=direct conv=fsync status=none
logged ' Write .*fua=1' 0 && logged ' Write ' 4 && logged ' Flush ' 1
ok "fsync: a flush, no FUA"
: >"$dir/log"
blkdiscard -o 1M -l 2M "$device"
logged ' Trim ' 1 && logged ' Trim .*offset=0x100000 count=0x200000' 1 && logged ' Zero ' 0
ok "discard: TRIM, and no zeroes"
: >"$dir/log"
blkdiscard -z -o 1M -l 2M "$device"
logged ' Zero ' 1 && logged ' Trim ' 0 && cmp -n 2M -i 1M:0 "$device" /dev/zero
ok "zeroes: WRITE_ZEROES, and no TRIM"
fio --name=verify --filename="$device" --rw=randrw --bsrange=512-256k --iodepth=32 \
	--ioengine=libaio --direct=1 --size=48M --io_size=24M --verify=crc32c \
	--verify_fatal=1 --fdatasync=50 --output="$dir/fio" >/dev/null 2>&1
ok "fio: each block is what was written"
before=$(straight)
dd if="$dir/new" of="$device" bs=4k count=64 oflag=direct status=none
[ "$(straight)" = "$before" ] || before=small
dd if="$dir/new" of="$device" bs=256k count=4 oflag=direct status=none
dd if="$device" of=/dev/null bs=256k count=64 iflag=direct status=none
if [ "$ublk" = ublk ]; then
	[ "$(straight)" = 0 ]
	ok "this kernel registers no buffers: all payload is copied here"
else
	[ "$(straight)" -gt $((before + 32)) ]	# some the disk wants to see
	ok "large payload goes straight between the pages and the socket, small does not"
fi

# ---- sizes and flags, from the server -----------------------------------------------

[ "$(queue logical_block_size) $(queue rotational) $(queue write_cache) $(queue fua)" = \
	"512 0 write back 1" ]
ok "queue: 512 bytes, no rotation, a write cache with FUA"
detach
ok "disconnect: nothing is left"
unserve
serve_logged --filter=blocksize-policy file "$dir/disk" blocksize-minimum=4k \
	blocksize-preferred=64k blocksize-maximum=32M
attach "$sock" && [ "$(queue logical_block_size) $(queue physical_block_size) $(
	queue minimum_io_size) $(queue optimal_io_size)" = "4096 4096 65536 65536" ]
ok "the server's blocks: least 4096, preferred 65536"
detach
run nb connect --via ublk --sector-size 512 --device "$name" "$sock"
status_is 1 && err_has "sectors of 512 bytes are less than a block of the server, 4096" &&
	nothing_left && no_ublk
ok "--via ublk: smaller sectors are refused"
attach --sector-size 512 "$sock" && attached "loop device over FUSE (/dev/fuse)"
ok "auto: one step back, to FUSE"
nb disconnect "$name"
attach --via fuse "$sock" && attached "loop device over FUSE (/dev/fuse)"
ok "--via fuse: no ublk"
nb disconnect "$name"
attach --no-discard --read-only "$sock" && [ "$(queue discard_max_bytes)" = 0 ] &&
	[ "$(blockdev --getro "$device")" = 1 ] &&
	! dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct 2>/dev/null
ok "no discards, read-only"
detach
unserve

# One primary partition, from 1 MiB on, of 8 MiB: an MBR by hand.
partition() {
	truncate -s 0 "$dir/disk"
	truncate -s "$1" "$dir/disk"
	printf '\0\0\0\0\203\0\0\0\0\010\0\0\0\100\0\0' |
		dd of="$dir/disk" bs=1 seek=446 conv=notrunc status=none
	printf '\125\252' | dd of="$dir/disk" bs=1 seek=510 conv=notrunc status=none
}
partition 32M
serve_logged file "$dir/disk"
attach "$sock" && wait_until [ -b "/dev/${node}p1" ] &&
	[ "$(blockdev --getsize64 "/dev/${node}p1")" = $((8 << 20)) ]
ok "partitions"
truncate -s 48M "$dir/disk"
nb reconnect "$name"
grown() { [ "$(blockdev --getsize64 "$device")" = $((48 << 20)) ]; }
# Linux 6.16 can.
if [ "$(printf '6.16\n%s\n' "$(uname -r)" | sort -V | head -1)" = 6.16 ]; then
	wait_until grown && cmp -n 8M "$device" "$dir/disk"
	ok "the disk has grown under it"
else
	known() { nb list "$name" | grep -q "Size: $((48 << 20))"; }
	wait_until known && ! grown && cmp -n 8M "$device" "$dir/disk"
	ok "the disk has grown, which this kernel cannot tell its users"
fi
detach
unserve

# ---- who waits for whom ---------------------------------------------------------------

cat >"$dir/slow" <<'END'
case $1 in
thread_model) echo parallel ;;
get_size) echo 16M ;;
can_write | can_flush | can_trim) exit 0 ;;
pread) head -c "$3" /dev/zero ;;
pwrite) cat >/dev/null ;;
flush) while [ ! -e "$GO" ]; do sleep 0.1; done ;;
trim) while [ ! -e "$GO" ]; do sleep 0.1; done ;;
open) echo h ;;
*) exit 2 ;;
esac
END
chmod +x "$dir/slow"
GO=$dir/go serve nbdkit -f -U "$sock" sh "$dir/slow"
attach "$sock"
reads() { timeout 60 dd if="$device" of=/dev/null bs=4k count=8 iflag=direct status=none; }
# slow NAME COMMAND...: which ends when the server may go on
slow() {
	what=$1
	shift
	rm -f "$dir/go"
	"$@" >"$dir/slow.log" 2>&1 &
	slow=$!
	wait_until waits && reads && kill -0 $slow && touch "$dir/go" && wait $slow
	ok "a slow $what holds up no read"
}
waits() { [ "$(nb stats "$name" | sed -n 's/^ *CommandsInFlight: //p')" = 1 ]; }
slow flush dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct conv=fsync
slow discard blkdiscard -o 0 -l 1M "$device"
touch "$dir/go"
detach
unserve

# ---- come and go ------------------------------------------------------------------------

serve_disk
for round in $(seq 40); do
	attach "$sock" && [ "$node" = ublkb0 ] && reads && detach || break
done
[ "$round" = 40 ] && status_is 0
ok "40 times attached and detached, the same number each time"
# How long it takes, in this machine: only to compare.
took=0
timed() {
	begun=$(date +%s%N)
	"$@" >/dev/null || return
	took=$((took + $(date +%s%N) - begun))
}
us_each() { echo "$((took / 20000)) us"; }
for round in $(seq 20); do timed nb info "$sock"; done
handshake=$(us_each) took=0
for round in $(seq 20); do timed nb connect --via ublk --device "$name" "$sock" && detach || break; done
by_ublk=$(us_each) took=0 rounds=$round
for round in $(seq 20); do timed nb connect --via fuse --device "$name" "$sock" && detach || break; done
[ "$rounds $round" = "20 20" ]
ok "by ublk, and then by FUSE, 20 times each"
echo "# info $handshake; attach by ublk $by_ublk, by FUSE $(us_each)"
for n in 1 2 3 4 5 6 7 8; do
	nb connect --device "many$n" --read-only "$sock" >/dev/null 2>"$dir/many$n" &
	many="$many $!"
done
wait $many
[ "$(ls /dev/ublkb* | wc -l)" = 8 ] && for n in 1 2 3 4 5 6 7 8; do
	cmp -n 1M "/dev/nbdisk/many$n" "$dir/disk" || break
done
[ "$n" = 8 ]
ok "8 at once"
many=
for n in 1 2 3 4 5 6 7 8; do
	nb disconnect "many$n" &
	many="$many $!"
done
wait $many
no_ublk
ok "and gone at once"

# ---- in use, by force, killed ---------------------------------------------------------------

attach "$sock"
exec 7<"$device"
run nb disconnect "$name"
status_is 1 && err_has "has /dev/ublkb0 open" && reads
ok "in use: refused, and nothing has changed"
mkfs.ext4 -q -O ^has_journal "$device" && mount "$device" "$mnt"
exec 7<&-
run nb disconnect "$name"
status_is 1 && err_has "ublkb0 is mounted on $mnt" && touch "$mnt/still"
ok "mounted: refused"
run nb disconnect --force "$name"
{ status_is 0 || err_has "may be lost"; } && [ ! -e /dev/ublkb0 ] && [ ! -L "$device" ]
ok "by force: it goes"
umount "$mnt"
wait_until no_ublk
ok "when its last user has gone, so has its number"

attach "$sock"
# With its helper, which would start the next one.
daemon=$(nb show "$name" | sed -n 's/^Pid: //p')
kill -9 "$(pgrep -P "$daemon" -x nbdisk-helper)" "$daemon"
dd if="$device" of="$dir/late" bs=4k count=1 iflag=direct status=none &
late=$!
is_dead() { nb status "$name" | grep -q DEAD; }
wait_until is_dead && sleep 1 && kill -0 $late && [ -b /dev/ublkb0 ]
ok "a daemon that was killed: DEAD, and who reads waits"
run nb connect --device "$name" --timeout 7s "$sock"
status_is 1 && err_has timeout
ok "its name is taken, by who wants another device, until it is cleaned up"
nb connect --device other "$sock" >/dev/null && [ "$(realpath /dev/nbdisk/other)" = /dev/ublkb1 ]
ok "another device has another number meanwhile"
run nb disconnect "$name"
status_is 1 && err_has "dd (process $late) has /dev/ublkb0 open"
ok "disconnect refuses while somebody has it open"
run nb disconnect --force "$name"
! wait $late
status_is 0 && nothing_left && [ ! -e /dev/ublkc0 ] && cmp -n 1M /dev/nbdisk/other "$dir/disk"
ok "by force it cleans up, who waited gets an error, and the other one goes on"
# What it left names a device that is another's by now.
mkdir -p "$NBDISK_STATE_DIR/$name/mnt" && : >"$NBDISK_STATE_DIR/$name/lock"
echo "ublkb1 12345" >"$NBDISK_STATE_DIR/$name/device"
ln -s ../ublkb1 "$device"
run nb disconnect --force "$name"
status_is 0 && nothing_left && cmp -n 1M /dev/nbdisk/other "$dir/disk"
ok "a device of somebody else that has the number is left alone"
nb disconnect other
no_ublk
ok "nothing is left"
finish
