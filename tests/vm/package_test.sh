#!/bin/bash
# package_test.sh PACKAGES KERNEL SYSTEM [VIA...] - the Debian packages in a machine with
# systemd, udev and needrestart: installed, attached at boot, upgraded under a mounted disk
# that is written to, removed, purged.  By hand: make deb-vm.  TAP.
# SPDX-License-Identifier: BSD-2-Clause
#
# PACKAGES is where tools/deb has put them.  KERNEL is what tools/vm-kernel has made, SYSTEM
# what tools/vm-root has, of the release that the packages are for.  VIA: fuse and ublk, if
# not given.  What the upgrade is to is the same package, packed anew with a higher version.

packages=$1 kernel=$2 system=$3
shift 3
here=$(dirname "$(realpath "$0")")
. "$here/../lib.sh"
. "$here/told.sh"

for thing in "$packages"/nbdisk_*.deb "$kernel/boot" "$system/etc/done" \
	"$system/usr/sbin/needrestart"; do
	[ -e "$thing" ] || { echo "1..0 # SKIP no $thing: see make deb-vm"; exit 0; }
done
for tool in qemu-system-x86_64 nbdkit mkfs.ext4 dpkg-deb depmod unshare; do
	have $tool || { echo "1..0 # SKIP needs $tool"; exit 0; }
done

# newer PACKAGE...: the same with a higher version, into $dir/newer
newer() {
	mkdir -p "$dir/newer"
	for package; do
		dpkg-deb -R "$package" "$dir/unpacked" &&
			sed -i 's/^Version: .*/&+newer/' "$dir/unpacked/DEBIAN/control" &&
			dpkg-deb -b --root-owner-group "$dir/unpacked" \
				"$dir/newer/newer-$(basename "$package")" || return
		rm -r "$dir/unpacked"
	done
}

# boot PHASE: the machine's disk, until it restarts or turns itself off
boot() {
	timeout 1200 qemu-system-x86_64 -machine q35 -accel tcg -cpu max -smp 1 -m 1024 \
		-nographic -no-reboot -nodefaults -serial stdio -device virtio-rng-pci \
		-netdev user,id=net -device virtio-net-pci,netdev=net \
		-drive file="$dir/disk",format=raw,if=virtio,cache=unsafe \
		-kernel "$made/vmlinuz" -initrd "$made/initrd" -append "console=ttyS0 \
		root=/dev/vda rw panic=-1 loglevel=4 no_timer_check systemd.show_status=0 \
		package.phase=$1 package.via=$via package.port=$port" \
		</dev/null >"$dir/serial" 2>&1
}

made=$dir/made
mkdir "$made"
run newer "$packages"/nbdisk_*.deb "$packages"/nbdisk-initramfs_*.deb
status_is 0
ok "packages of a higher version"
run "$here/root_image.sh" none "$kernel" "$system" bare 0 package_inside.sh "$made" \
	"$packages"/nbdisk_*.deb "$packages"/nbdisk-initramfs_*.deb "$dir"/newer/*.deb
status_is 0
ok "a machine is made"

[ $# -gt 0 ] || set -- fuse ublk
for via; do
	truncate -s 0 "$dir/export" && truncate -s 64M "$dir/export"
	cp --sparse=always "$made/disk" "$dir/disk"
	start_on_port nbdkit -f -i 127.0.0.1 -p PORT file "$dir/export"
	for phase in install:6 upgrade:13 remove:8; do
		rows=${phase#*:} phase=${phase%:*}
		boot "$phase"
		told "$rows" "$dir/serial" "$via, $phase"
	done
	stop "$pid"
	fsck.ext4 -fn "$dir/export" >"$dir/out" 2>&1
	ok "$via: the file system is clean"
done
finish
