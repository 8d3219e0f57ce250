#!/bin/bash
# cost_test.sh NBDISK NULL-SERVER [NBD-CLIENT [UBLK UBLK.NBD [NBDUBLK]]] - instructions of
# the whole machine for an I/O on a device, in the machine of vm_test.sh; by hand.
# SPDX-License-Identifier: BSD-2-Clause
#
#   NBDISK_VM_QEMU='-icount shift=0,sleep=off' tests/vm/vm_test.sh NBDISK KERNEL \
#       vm/cost_test.sh NULL-SERVER [NBD-CLIENT [UBLK UBLK.NBD [NBDUBLK]]]
#
# Beside ours: the kernel's nbd, ublk with the nbd server that comes with it (ublksrv), and
# libnbd's nbdublk (both built without shared libraries).  Time in the machine then is a nanosecond for each
# instruction, and stands still for nobody; what the processor was idle is taken off.
# Client, server and fio are in it.

nbdisk=$1 null=$2 client=$3 ublk=$4 nbdublk=$6
tests=$(dirname "$0")/..
. "$tests/lib.sh"
. "$tests/device.sh"
needs fio
for list in ublk nbd; do load_modules $list; done

busy_ms() { awk '/^cpu /{ print (0 + $2 + $3 + $4 + $7 + $8) * 10 }' /proc/stat; }
# io DEVICE SIZE DEPTH OP COUNT
io() {
	fio --name=cost --filename="$1" --bs="$2" --iodepth="$3" --rw="$4" \
		--number_ios="$5" --ioengine=libaio --direct=1 --thread --norandommap \
		--randrepeat=1 >/dev/null 2>&1
}
# The same with more I/Os, less the same with few: what starts and ends is not counted.
cost() { # DEVICE SIZE DEPTH OP COUNT
	at=$(busy_ms)
	io "$1" "$2" "$3" "$4" $(($5 / 4))
	few=$(($(busy_ms) - at)) at=$(busy_ms)
	io "$1" "$2" "$3" "$4" $(($5 + $5 / 4))
	echo $((($(busy_ms) - at - few) * 1000 / $5))
}
rows() { # NAME DEVICE
	disk=$2
	printf '# %s:' "$1"
	for shape in "4k 1 randread 8000" "4k 1 randwrite 8000" "4k 32 randread 30000" \
		"4k 32 randwrite 30000" "32k 8 randread 3000" "32k 8 randwrite 3000" \
		"256k 8 read 1500" "256k 8 write 1500"; do
		set -- $shape
		printf '  %s d%s %s %s' "$1" "$2" "$3" "$(cost "$disk" $shape)"
	done
	echo
}
echo "# Linux $(uname -r): thousands of instructions for an I/O"
start "$null" unix "$sock" 1024
wait_until [ -S "$sock" ]
# rows_of NAME DEVICE WHAT: of a device that comes
rows_of() {
	wait_until has_size "$2" && rows "$1" "$2"
	ok "round $round: $3"
}
has_size() { [ "$(cat "/sys/block/${1#/dev/}/size" 2>/dev/null || echo 0)" -gt 0 ]; }
# by_ours CONNECTIONS, and so on
by_ours() {
	for via in ublk fuse; do
		run nb connect --device "$name" --via $via --connections "$1" "$sock"
		status_is 0
		rows_of "nbdisk $via, $1" "$(realpath "$device")" "by $via"
		nb disconnect "$name" >/dev/null 2>&1
	done
}
by_nbd_ko() {
	"$client" -unix "$sock" /dev/nbd0 -C "$1" >/dev/null 2>&1
	rows_of "nbd.ko, $1" /dev/nbd0 "by the kernel's nbd"
	"$client" -d /dev/nbd0 >/dev/null 2>&1
}
by_ublksrv() {	# it has one
	"$ublk" add -t nbd --unix "$sock" >/dev/null 2>&1
	rows_of "ublksrv" /dev/ublkb0 "by ublk's own nbd server"
	"$ublk" del -a >/dev/null 2>&1
}
by_nbdublk() {
	"$nbdublk" -C "$1" 0 --unix "$sock" >/dev/null 2>&1 &
	rows_of "nbdublk, $1" /dev/ublkb0 "by nbdublk"
	"$ublk" del -n 0 >/dev/null 2>&1
	wait $!
}
for round in 1 2; do
	for connections in 1 4; do
		by_ours $connections
		[ -z "$client" ] || by_nbd_ko $connections
		[ -z "$ublk" ] || [ $connections != 1 ] || by_ublksrv
		[ -z "$nbdublk" ] || by_nbdublk $connections
	done
done
finish
