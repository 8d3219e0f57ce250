#!/bin/bash
# load_test.sh NBDISK NULL-SERVER LOAD BOUND SECONDS SHAPE... - what an I/O costs without a
# device, in the machine of vm_test.sh; by hand.
# SPDX-License-Identifier: BSD-2-Clause
#
#   NBDISK_VM_QEMU='-icount shift=0,sleep=off' tests/vm/vm_test.sh NBDISK KERNEL \
#       vm/load_test.sh build-bench/bench/{null_server,load,bound} 0.2 \
#       unix,1,32,4096,r unix,32,32,4096,r tls,1,1,4096,r
#
# A SHAPE is a transport, connections, the depth of each, bytes, and r or w.  Counted are
# the client's instructions, with what the kernel does in its name, and the machine's
# context switches.  There is one processor, so it does not show what it costs that bytes
# go from one to another, nor, as each instruction takes as long, what a cache lacks.

null=$2 load=$3 bound=$4 seconds=$5
shift 5
tests=$(dirname "$0")/..
. "$tests/lib.sh"
. "$tests/device.sh"

port=10809
switches() { awk '/^ctxt /{ print $2 }' /proc/stat; }
field() { sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p" "$dir/out"; }

# cost NAME COMMAND...: a long run less a short one, so what begins is not counted; "@" in
# the command is for how many seconds
cost() {
	what=$1 totals=
	shift
	for each_seconds in "$seconds" "$(awk "BEGIN { print 4 * $seconds }")"; do
		was=$(switches)
		run timeout 600 "${@/#@/$each_seconds}"
		totals="$totals $(field ios) $(field cpu) $(($(switches) - was))"
	done
	status_is 0 && echo "$totals" | awk -v what="$what" '{
		ios = $4 - $1
		printf "# %s: instructions %d, switches %.3f\n", what,
		    ($5 * $4 - $2 * $1) * 1000 / ios, ($6 - $3) / ios }'
	ok "$what"
}

# shape TRANSPORT CONNECTIONS DEPTH SIZE OP
shape() {
	case $1 in
	unix) to="unix $sock" uri="nbd+unix:///?socket=$sock" tls= ;;
	tcp) to="tcp $port" uri=nbd://127.0.0.1:$port/ tls= ;;
	tls) to="tcp $port" tls=/t/tls uri=nbds://127.0.0.1:$port/
		uri="$uri?tls-certificates=$tls&tls-hostname=10.0.0.2" ;;
	esac
	cost "$1 $2x$3 $4 $5: nbdisk" "$load" "$uri" "$2" "$3" "$4" @ "$5"
	cost "$1 $2x$3 $4 $5: bound" "$bound" $to "$2" "$3" "$4" @ "$5" $tls
}

echo "# Linux $(uname -r): instructions for an I/O"
start "$null" unix "$sock" 1024
start "$null" tcp $port 1024 /t/tls
wait_until serves "$sock"
wait_until listens $port
for each; do
	shape ${each//,/ }
done
finish
