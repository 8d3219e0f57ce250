#!/bin/bash
# ways_test.sh NBDISK NULL-SERVER DEVICE-BOUND NBDFUSE SIZE DEPTH OP COUNT - what an I/O
# costs by each way to a device, in the machine of vm_test.sh; by hand.
# SPDX-License-Identifier: BSD-2-Clause
#
#   NBDISK_VM_QEMU='-icount shift=0,sleep=off' tests/vm/vm_test.sh NBDISK KERNEL \
#       vm/ways_test.sh build-bench/bench/{null_server,device_bound} /usr/bin/nbdfuse \
#       4k 1 randread 16000
#
# Instructions of the machine, and its context switches, from one I/O to the next.  There
# is one processor, and nobody else on it, so at depth 1 that is how long one takes.

nbdisk=$1 null=$2 device_bound=$3 nbdfuse=$4
size=$5 depth=$6 op=$7 count=$8
tests=$(dirname "$0")/..
. "$tests/lib.sh"
. "$tests/device.sh"
needs fio
load_modules ublk

busy_ms() { awk '/^cpu /{ print (0 + $2 + $3 + $4 + $7 + $8) * 10 }' /proc/stat; }
switches() { awk '/^ctxt /{ print $2 }' /proc/stat; }
# io DEVICE COUNT
io() {
	fio --name=ways --filename="$1" --bs="$size" --iodepth="$depth" --rw="$op" \
		--number_ios="$2" --ioengine=libaio --direct=1 --thread \
		--norandommap --randrepeat=1 >/dev/null 2>&1
}
# cost NAME DEVICE: with many I/Os, less with few
cost() {
	at=$(busy_ms) was=$(switches)
	io "$2" $((count / 8))
	few=$(($(busy_ms) - at)) few_switches=$(($(switches) - was))
	at=$(busy_ms) was=$(switches)
	io "$2" $((count + count / 8))
	echo "# $1: instructions: $((($(busy_ms) - at - few) * 1000 / count))," \
		"switches in 100 I/Os: $((($(switches) - was - few_switches) * 100 / count))"
}
# attached NAME VIA URING
attached() {
	echo "$3" >/sys/module/fuse/parameters/enable_uring
	run nb connect --device "$name" --via "$2" "$sock"
	status_is 0 && cost "$1" "$(realpath "$device")"
	ok "$1"
	nb disconnect "$name" >/dev/null 2>&1
}
# over_file NAME COMMAND...: a loop device over what shows the disk as the file
over_file() {
	start "${@:2}"
	wait_until [ -s "$dir/file" ] && loop=$(losetup --direct-io=on --find --show \
		"$dir/file") && cost "$1" "$loop"
	ok "$1"
	losetup --detach "$loop"
	stop "$pid"
}

echo "# Linux $(uname -r), $op $size, depth $depth: thousands of instructions for an I/O"
start "$null" unix "$sock" 1024
wait_until [ -S "$sock" ]
touch "$dir/file"
for round in 1 2; do
	attached "nbdisk, ublk" ublk N
	attached "nbdisk, /dev/fuse" fuse N
	attached "nbdisk, FUSE over io_uring" fuse Y
	over_file device_bound "$device_bound" "$sock" "$dir/file" "$depth"
	over_file nbdfuse "$nbdfuse" "$dir/file" "nbd+unix:///?socket=$sock"
done
finish
