#!/bin/bash
# pressure_test.sh NBDISK KERNEL SYSTEM [SECONDS [SERVERS [WAYS]]] - swap and write-back on
# devices of nbdisk's while memory is short: by ublk and by FUSE under a loop device.  TAP.
# SERVERS are outside of the machine, or inside, with disks of their own.
# SPDX-License-Identifier: BSD-2-Clause
#
# The machine has 256 MiB; more than that goes through its memory, each page known.  What it
# has done is said while it goes on: a slow one gets on, one that hangs says nothing more.

nbdisk=$1 kernel=$2 system=$3 seconds=${4-120}
here=$(dirname "$(realpath "$0")")
. "$here/../lib.sh"
. "$here/told.sh"

for thing in "$kernel/boot" "$system/etc/done"; do
	[ -e "$thing" ] || { echo "1..0 # SKIP no $thing: see make netem"; exit 0; }
done
for tool in qemu-system-x86_64 nbdkit mkfs.ext4 depmod unshare; do
	have $tool || { echo "1..0 # SKIP needs $tool"; exit 0; }
done

# boot VIA SERVERS PORT: ends when the machine turns itself off
boot() {
	exec timeout $((seconds * 10 + 600)) qemu-system-x86_64 -machine q35 -accel tcg \
		-cpu max -smp 1 -m 256 -nographic -no-reboot -nodefaults \
		-serial stdio -device virtio-rng-pci -netdev user,id=net \
		-device virtio-net-pci,netdev=net \
		-drive file="$dir/disk",format=raw,if=virtio,cache=unsafe \
		-drive file="$dir/exports/swap",format=raw,if=virtio,cache=unsafe \
		-drive file="$dir/exports/data",format=raw,if=virtio,cache=unsafe \
		-kernel "$dir/made/vmlinuz" -initrd "$dir/made/initrd" -append \
		"console=ttyS0 root=/dev/vda rw panic=-1 loglevel=4 no_timer_check systemd.show_status=0 \
		pressure.servers=$2 pressure.via=$1 pressure.port=$3 \
		pressure.seconds=$seconds" </dev/null 2>&1
}

# follow TEXT: what the machine prints into $dir/serial, what it has done to our output; fails
# when it has done nothing for ten minutes, which is a hang on a busy host, too.  (What its
# kernel says is nothing done: one that hangs says that for ever.)
follow() {
	moved=$SECONDS line=
	while [ $((SECONDS - moved)) -lt 600 ]; do
		read -r -t 10
		status=$? line=$line${REPLY%$'\r'}
		[ $status -le 128 ] || continue
		[ -z "$line" ] || echo "$line" >>"$dir/serial"
		case $line in
		'# '*) moved=$SECONDS; echo "# $1, $SECONDS s: ${line#??}" ;;
		'ok '* | 'not ok '*) moved=$SECONDS ;;
		esac
		[ $status = 0 ] || return 0
		line=
	done
	return 1
}

mkdir "$dir/made" "$dir/exports"
run "$here/root_image.sh" "$nbdisk" "$kernel" "$system" local 0 pressure_inside.sh \
	"$dir/made"
status_is 0
ok "a machine is made"
status_is 0 || finish

for servers in ${5-outside inside}; do
	for via in ${6-ublk fuse}; do
		truncate -s 0 "$dir/exports/swap" "$dir/exports/data"
		truncate -s 512M "$dir/exports/swap"
		truncate -s 256M "$dir/exports/data"
		port=0
		[ $servers = inside ] || {
			start_on_port nbdkit -f -i 127.0.0.1 -p PORT --filter=exportname \
				file dir="$dir/exports"
			wait_until listens "$port"
		}
		cp --sparse=always "$dir/made/disk" "$dir/disk"
		: >"$dir/serial"
		exec 3< <(boot $via $servers $port)
		machine=$! pids="$pids $!" SECONDS=0
		follow "$via, server $servers" <&3
		ok "$via, server $servers: it never stood still"
		exec 3<&-
		stop $machine
		[ $servers = inside ] || stop "$pid"
		told 9 "$dir/serial" "$via, server $servers"
		sed -n 's/\r$//; /^nbdisk:/s/^/# /p' "$dir/serial"
	done
done
finish
