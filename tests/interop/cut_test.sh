#!/bin/bash
# cut_test.sh NBDISK - networks that are cut for 40 s under the default options, and a
# daemon that dies: what was in our own kernel's sockets does not land any more.  TAP.
# SPDX-License-Identifier: BSD-2-Clause
#
# As root, in network name spaces of its own; all rows at once.  TLS is the kernel's
# where it can have it (see device.sh); tests/vm runs this on such a kernel.

if [ -z "$NBDISK_OWN_NETWORK" ] && unshare -n sh -c : 2>/dev/null; then
	NBDISK_OWN_NETWORK=yes exec unshare -n "$0" "$@"
fi

nbdisk=$1
tests=$(dirname "$0")/..
. "$tests/lib.sh"
. "$tests/device.sh"

needs nbdkit ip unshare
echo "# Linux $(uname -r)"
load_kernel_tls
by=process tls=yes
! kernel_takes_tls || by=kernel tls=kernel

me=c$$
mkdir -p /run/netns
end() {
	exec 2>/dev/null
	for kind in tcp tls tcp-2 tls-2 kill; do
		[ ! -e "$NBDISK_STATE_DIR/$me-$kind" ] ||
			nb disconnect --force "$me-$kind"
		ip link del "$kind$$"
		ip netns del "$me-$kind"
	done
	cleanup
}
trap end EXIT

# put CHARACTER, holds CHARACTER: the first 4 KiB of $device, past all caches
put() {
	head -c 4096 /dev/zero | tr '\0' "$1" |
		timeout 200 dd of="$device" bs=4096 oflag=direct conv=notrunc \
			status=none
}
holds() {
	got=$(timeout 200 dd if="$device" bs=4096 count=1 iflag=direct status=none |
		head -c 1 | tr '\0' 0)
	[ "$got" = "$1" ] || ! echo "not $1 is there, but $got"
}

# network KIND N: a name space $space, a server can be at $server there
network() {
	name=$me-$1 device=/dev/nbdisk/$me-$1 near=$1$$ far=$1$$b space=$me-$1
	server=198.18.$2.2
	ip netns add "$space" && ip link add "$near" type veth peer name "$far" &&
		ip link set "$far" netns "$space" &&
		ip addr add "198.18.$2.1/30" dev "$near" && ip link set "$near" up &&
		ip -n "$space" addr add "$server/30" dev "$far" &&
		ip -n "$space" link set "$far" up &&
		hardware=$(ip netns exec "$space" cat "/sys/class/net/$far/address")
}
# All packets go to a host that is not there.
direct_to() { ip neigh replace "$server" dev "$near" lladdr "$1" nud permanent; }
cut_network() { direct_to 02:00:00:00:00:99; }
mend_network() { direct_to "$hardware"; }

# attach URI [OPTION...]: to a server of its own
attach() { nb connect --device "$name" "$@" >>"$dir/$name.log" 2>&1; }
# One thread for a connection: with more, nbdkit drops a command that the end follows.
serve_there() {
	truncate -s 64M "$dir/$name.disk"
	start ip netns exec "$space" nbdkit -f -t 1 -i "$server" -p 10809 "$@" \
		file "$dir/$name.disk"
	wait_until ip netns exec "$space" grep -q ':2A39 [0:]* 0A ' /proc/net/tcp
}

# After 40 s without a network: B is newer, and stays.  Our kernel's next try to send
# what was in the socket would be some 51 s after the cut: when a fence of 2 s is over,
# and that of the default options about to be.
old_write_stays_away() {
	start_time=$(date +%s)
	cut_network
	put A &
	old=$!
	sleep 40
	mend_network
	wait "$old" && put B && timeout 200 sync "$device" || return
	while [ $(($(date +%s) - start_time)) -lt 80 ]; do
		holds B || return
		sleep 0.5
	done
	nb disconnect "$name"
}

# The daemon dies with a write in its socket, and with its helper: it dies with them.
killed_with_a_write() {
	put A && cut_network || return
	put C &
	old=$!
	sleep 2			# it is in the socket by now
	daemon=$(nb show "$name" | sed -n 's/^Pid: //p')
	kill -9 "$(pgrep -P "$daemon" -x nbdisk-helper)" "$daemon"
	wait "$old"
	nb disconnect --force "$name"
	mend_network
	attach "nbd://$server/" || return
	for _ in $(seq 14); do	# the next tries to send would be within 7 s
		holds A || return
		sleep 0.5
	done
	nb disconnect "$name"
}

# then_do COMMAND: in the background, if all went well so far
then_do() {
	ready=$?
	([ $ready -eq 0 ] && "$1" >>"$dir/$name.log" 2>&1) &
}

pki=/t/tls			# of vm_test.sh
if [ ! -d $pki ]; then
	needs openssl
	pki=$dir
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=disks \
		-keyout "$dir/server-key.pem" -out "$dir/server-cert.pem" 2>/dev/null
	cp "$dir/server-cert.pem" "$dir/ca-cert.pem"
fi

# cut_tcp KIND N OPTION..., cut_tls KIND N OPTION...: both end in the background, as $!
cut_tcp() {
	network "$1" "$2" && shift 2 && serve_there && attach "$@" "nbd://$server/"
	then_do old_write_stays_away
}
cut_tls() {
	network "$1" "$2" && shift 2 &&
		serve_there --tls=require --tls-certificates=$pki &&
		attach "$@" "nbds://$server/?tls-verify-peer=false" &&
		nb show "$name" >>"$dir/$name.log" && grep -q "TLS: $tls" "$dir/$name.log"
	then_do old_write_stays_away
}
cut_tcp tcp 71
clear=$!
cut_tls tls 72
sealed=$!
cut_tcp tcp-2 73 --fence 2s --open-timeout 1s
clear_2=$!
cut_tls tls-2 74 --fence 2s --open-timeout 1s
sealed_2=$!
network kill 75 && serve_there && attach "nbd://$server/"
then_do killed_with_a_write
killed=$!

wait $killed
ok "what a killed daemon had in its socket does not land"
wait $clear
ok "TCP, 40 s without a network: no old write lands"
wait $sealed
ok "TLS by the $by, 40 s without a network: no old write lands"
wait $clear_2
ok "TCP, and a fence of 2 s"
wait $sealed_2
ok "TLS by the $by, and a fence of 2 s"
[ "$tests_failed" -eq 0 ] || tail -n 50 "$dir"/*.log | sed 's/^/# /'
finish
