#!/bin/bash
# root_image.sh NBDISK KERNEL SYSTEM WAY PORT INSIDE OUT [FILE...] - a machine with Debian's
# system, in which INSIDE, a script beside this one, is run as a unit: OUT/disk, OUT/initrd
# and OUT/vmlinuz.  The FILEs are in its /srv.
# SPDX-License-Identifier: BSD-2-Clause
#
# SYSTEM is where tools/vm-root has made one; what is ours is put into a copy of it.  WAY
# is initramfs-tools, with a device by ublk and the server on the kernel's command line, or
# dracut, with one by FUSE and root.conf; or local, for a disk of the machine's own; or
# bare, the same with nothing of ours.

set -e
nbdisk=$1 kernel=$2 system=$3 way=$4 port=$5 inside=$6 out=$7
shift 7
boot=$(dirname "$(realpath "$0")")/../../linux/boot
release=$(basename "$kernel"/lib/modules/*)
tree=$out/tree

# put MODE FROM TO: as "meson install" does for a prefix of /usr
put() {
	mkdir -p "$(dirname "$tree$3")"
	sed 's|@bindir@|/usr/bin|g; s|@bootdir@|/usr/lib/nbdisk|g;
		s|@udevdir@|/usr/lib/udev/rules.d|g' "$boot/$2" >"$tree$3"
	chmod "$1" "$tree$3"
}

mkdir "$tree"
cp -a "$system/." "$tree"
cp -a "$kernel/lib/modules/." "$tree/lib/modules/"
cp "$kernel"/boot/config-* "$tree/boot/"
depmod -b "$tree" "$release"
ours() {
	cp "$nbdisk" "$tree/usr/bin/nbdisk"
	put 644 60-nbdisk.rules /usr/lib/udev/rules.d/60-nbdisk.rules
	put 644 10-nbdisk.conf /usr/lib/systemd/system/run-nbdisk-.mount.d/10-nbdisk.conf
	put 755 attach-root /usr/lib/nbdisk/attach-root
	put 755 initramfs-tools/hook /usr/share/initramfs-tools/hooks/nbdisk
	put 755 initramfs-tools/local-top /usr/share/initramfs-tools/scripts/local-top/nbdisk
	for file in module-setup parse-nbdisk nbdiskroot nbdisk-again nbdisk-generator; do
		put 755 dracut/$file.sh /usr/lib/dracut/modules.d/95nbdisk/$file.sh
	done
}
[ "$way" = bare ] || ours
[ $# = 0 ] || cp "$@" "$tree/srv/"

device=/dev/nbdisk/root
case $way in local | bare) device=/dev/vda ;; esac
echo "$device / ext4 errors=remount-ro 0 1" >"$tree/etc/fstab"
echo root-by-nbd >"$tree/etc/hostname"
echo '127.0.0.1 localhost' >"$tree/etc/hosts"
cp "$(dirname "$(realpath "$0")")/$inside" "$tree/usr/sbin/look"
cat >"$tree/etc/systemd/system/look.service" <<-UNIT
	[Unit]
	After=multi-user.target
	[Service]
	Type=oneshot
	ExecStart=/usr/sbin/look
	StandardOutput=tty
	StandardError=tty
	TTYPath=/dev/console
UNIT
mkdir -p "$tree/etc/systemd/system/graphical.target.wants"
ln -s ../look.service "$tree/etc/systemd/system/graphical.target.wants/"

if [ "$way" = dracut ]; then
	mkdir "$tree/etc/nbdisk"
	cat >"$tree/etc/nbdisk/root.conf" <<-CONF
	uri = nbd://10.0.2.2:$port/
	via = fuse
	retry = 20s
	dead-timeout = never
	CONF
fi

mount --bind "$tree" "$tree"
trap 'umount -R "$tree"' EXIT
mount -t proc proc "$tree/proc"
mount --rbind /dev "$tree/dev"
mount --make-rslave "$tree/dev"
case $way in
initramfs-tools | local | bare)
	chroot "$tree" mkinitramfs -o /boot/initrd "$release"
	;;
dracut)
	chroot "$tree" dracut -q --no-hostonly --add nbdisk --add network-legacy \
		/boot/initrd "$release"
	;;
esac
umount -R "$tree"
trap - EXIT
mv "$tree/boot/initrd" "$out/initrd"
cp "$kernel"/boot/vmlinuz-* "$out/vmlinuz"
truncate -s 1G "$out/disk"
mkfs.ext4 -q -d "$tree" "$out/disk"
rm -rf --one-file-system "$tree"
