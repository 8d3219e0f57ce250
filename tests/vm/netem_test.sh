#!/bin/bash
# netem_test.sh NBDISK [ROW] - a device over a network that loses, delays, doubles, swaps
# and changes packets.
# SPDX-License-Identifier: BSD-2-Clause
#
# The server is in a network name space of its own, at the other end of a veth pair
# whose both ends have the kernel's netem.  fio writes and reads blocks with checksums;
# no I/O may fail and none may hang, and all must be right.  For vm_test.sh: it takes
# the network, and loads modules.

nbdisk=$1
only=$2
tests=$(dirname "$0")/..
. "$tests/lib.sh"
. "$tests/device.sh"

mkdir -p /run/netns
echo "# Linux $(uname -r)"

there() { ip netns exec there "$@"; }

# ---- the network ---------------------------------------------------------------

ip netns add there
ip link add here type veth peer name there netns there
# Packets as on a wire, not of 64 KiB.
ip link set here gso_max_segs 1 up
there ip link set there gso_max_segs 1 up
ip address add 10.0.0.1/30 dev here
there ip address add 10.0.0.2/30 dev there

# weather LINE...: one after the other: seconds to wait, what netem does to both
# directions, "clear", or what a function of that name does
weather() {
	for line; do
		case $line in
		[0-9]*) sleep "$line" ;;
		forge_*) $line ;;
		clear)
			tc qdisc replace dev here root pfifo
			there tc qdisc replace dev there root pfifo
			;;
		up\ *) tc qdisc replace dev here root netem ${line#up } ;;
		down\ *) there tc qdisc replace dev there root netem ${line#down } ;;
		*)
			tc qdisc replace dev here root netem $line
			there tc qdisc replace dev there root netem $line
			;;
		esac
	done
}

# forge DEVICE [COMMAND...]: one in 60 long packets gets another byte, and then a
# checksum that says it is right.
forge() {
	dev=$1
	shift
	"$@" tc qdisc add dev "$dev" clsact
	"$@" tc filter add dev "$dev" egress protocol ip \
		u32 match u16 0x0400 0xfc00 at 2 \
		action pass random netrand pipe 60 \
		action pedit munge offset 700 u8 invert pipe \
		action csum ip and tcp
}
forge_commands() { forge here; }
forge_replies() { forge there there; }
unforge() {
	tc qdisc del dev here clsact 2>/dev/null
	there tc qdisc del dev there clsact 2>/dev/null
}

# ---- a load --------------------------------------------------------------------

# Without a hole: a reply tells of one without data, and there is nothing to forge.
yes "what was there before" | head -c 64M >"$dir/disk"

# serve_there plain|tls
serve_there() {
	credentials=
	[ "$1" = plain ] ||
		credentials="--tls-creds t --object \
			tls-creds-x509,id=t,dir=/t/tls,endpoint=server,verify-peer=off"
	# By start, for qemu-nbd does not hear of its end while it begins.
	start ip netns exec there qemu-nbd -f raw -t -e 16 -b 10.0.0.2 -p 10809 \
		$credentials "$dir/disk"
	server=$pid
	answers() { nb info "$(uri "$1")" >/dev/null 2>&1; }
	wait_until answers "$1"
}
uri() {
	case $1 in
	plain) echo nbd://10.0.0.2/ ;;
	*) echo "nbds://10.0.0.2/?tls-certificates=/t/tls" ;;
	esac
}

# counter NAME: of both ends' TCP
counter() {
	cat /proc/net/snmp /proc/net/netstat >"$dir/counters"
	there cat /proc/net/snmp /proc/net/netstat >>"$dir/counters"
	awk -v name="$1" 'NR % 2 { split($0, head); next }
		{ for (i = 2; i <= NF; i++) if (head[i] == name) sum += $i }
		END { print sum + 0 }' "$dir/counters"
}

# gust LINE...: the lines, while fio runs; then it is calm
gust() {
	timeout 600 fio --name=v --filename=$device --size=48m --bsrange=4k-32k \
		--rw=randrw --iodepth=16 --ioengine=libaio --direct=1 \
		--verify=crc32c --verify_fatal=1 --verify_backlog=64 \
		--verify_state_save=0 --fsync=100 --time_based --runtime=6 \
		>"$dir/out" 2>"$dir/err" &
	load=$!
	weather "$@"
	status=0
	wait $load || status=$?
	weather clear
	unforge
	lost=$(nb stats $name | sed -n "s/^ *ConnectionsLost: //p")
}

# storm CONNS KIND LINE...: gusts until their sign is there, or fio fails, but not for
# ever: where the machine is busy, few packets go in one.  fio's status is in $status,
# the connections that were lost in $lost, those whose TLS is the kernel's in $ktls.
storm() {
	conns=$1 kind=$2 gusts=0
	shift 2
	lost=0 ktls=0
	serve_there "$kind"
	nb connect "$(uri "$kind")" -c "$conns" --device $name --unflushed replay \
		--timeout 2s --fence 1s --dead-timeout never \
		>"$dir/out" 2>"$dir/err" || { status=98; stop "$server"; return; }
	ktls=$(nb show $name | grep -c "TLS: kernel")
	until [ $gusts -eq 5 ]; do
		gusts=$((gusts + 1))
		gust "$@"
		if [ "$status" -ne 0 ] || sign_of_weather; then
			break
		fi
	done
	nb disconnect $name >>"$dir/out" 2>>"$dir/err" && nothing_left || status=99
	stop "$server"
}

# sign: what shows that the weather was as the table says
sign_of_weather() {
	case $sign in
	lost) [ "$lost" -gt 0 ] ;;
	delay) return 0 ;;
	error) return 1 ;;
	*) [ "$(counter "$sign")" -gt "$before" ] ;;
	esac
}
tls_is_right() {
	case $kind in
	ktls) [ "$ktls" -eq "$conns" ] ;;
	*) [ "$ktls" -eq 0 ] ;;
	esac
}

while read -r conns kind sign row lines; do
	[[ $row == *$only* ]] || continue
	IFS=, read -ra script <<<"$lines"
	[ "$kind" != ktls ] || load_kernel_tls
	if [ "$kind" = ktls ] && ! kernel_takes_tls; then
		skip "${row//_/ }" "this kernel cannot change the keys of TLS"
		continue
	fi
	before=$(counter "$sign")
	storm "$conns" "$kind" "${script[@]}"
	iops=$(sed -n 's/^ *\(.*IOPS=[^,]*\),.*/\1,/p' "$dir/out" | tr '\n' ' ')
	echo "# after $SECONDS s: gusts: $gusts, $iops connections lost: $lost"
	status_is 0 && tls_is_right && sign_of_weather
	ok "${row//_/ }"
done <<'TABLE'
1 plain delay           delay                      delay 20ms 10ms
4 plain RetransSegs     loss_of_3_%                loss 3%
4 plain RetransSegs     loss_in_bursts             loss gemodel 2% 20% 60%
2 plain TCPOFOQueue     reordering                 delay 10ms reorder 70% 50%
2 plain TCPDSACKOldSent doubled_packets            duplicate 10%
4 plain InCsumErrors    damaged_packets            corrupt 2%
4 tls   InCsumErrors    damaged_packets,_TLS       corrupt 2%
4 plain RetransSegs     all_of_it                  delay 5ms 3ms reorder 50% duplicate 3% corrupt 1% loss 1%
2 plain lost            partition                  1,loss 100%,4,clear
2 tls   lost            partition,_TLS             1,loss 100%,4,clear
4 plain lost            no_replies                 1,down loss 100%,4,clear
4 plain lost            no_commands                1,up loss 100%,4,clear
2 plain lost            partition_again_and_again  loss 100%,3,clear,1,loss 100%,3,clear
4 tls   lost            forged_replies,_TLS        forge_replies
4 tls   lost            forged_commands,_TLS       forge_commands
2 ktls  RetransSegs     loss,_TLS_by_the_kernel    loss 3%
2 ktls  lost            partition,_TLS_by_the_kernel 1,loss 100%,4,clear
4 ktls  lost            forged_replies,_TLS_by_the_kernel forge_replies
TABLE

# Without TLS nothing can tell a forged packet from a true one: fio must see it, which
# shows that it would.
sign=error
storm 1 plain forge_replies
[ "$status" -ne 0 ] && grep -q "^verify: bad\|^crc32c: verify failed" "$dir/err" "$dir/out"
ok "forged replies, without TLS, are noticed"
finish
