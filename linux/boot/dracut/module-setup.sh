#!/bin/bash
# module-setup.sh - puts what a root disk needs into the initramfs of dracut.
# SPDX-License-Identifier: BSD-2-Clause
#
# As /usr/lib/dracut/modules.d/95nbdisk/.  /etc/nbdisk/root.conf is taken along with the
# files that it names, if it is there.

# For this machine alone: where the root file system is on such a disk.
check() {
	require_binaries "@bindir@/nbdisk" unshare || return 1
	[[ ! $hostonly ]] || [[ $(readlink -f /dev/nbdisk/root) == \
		$(readlink -f "/dev/block/$(find_root_block_device)") ]] || return 255
}

depends() {
	echo network rootfs-block
}

installkernel() {
	instmods ublk_drv fuse loop
}

# The daemon's own root: see attach-root.
install_root() {
	local own=$initdir/nbdisk file link
	# What inst is made of; that knows only one root.
	local put="${DRACUT_INSTALL:-dracut-install} -D $own"

	mkdir -p "$own/etc"
	for link in bin sbin lib lib32 lib64 libx32; do
		mkdir -p "$own/usr/$link"
		ln -sfn "usr/$link" "$own/$link"
	done
	$put -l "@bindir@/nbdisk" /usr/bin/nbdisk
	[[ ! -e /etc/hosts ]] || $put /etc/hosts
	"@bootdir@/attach-root" --files | while read -r file; do
		$put "$file"
	done
}

install() {
	inst_multiple unshare chroot cp cat mount mkdir
	inst_rules 60-nbdisk.rules
	inst_script "@bootdir@/attach-root" /usr/sbin/nbdisk-attach-root
	inst_hook cmdline 90 "$moddir/parse-nbdisk.sh"
	inst_hook initqueue/settled 50 "$moddir/nbdisk-again.sh"
	inst_script "$moddir/nbdiskroot.sh" /sbin/nbdiskroot
	if dracut_module_included systemd-initrd; then
		inst_script "$moddir/nbdisk-generator.sh" \
			"$systemdutildir/system-generators/dracut-nbdisk-generator"
	fi
	install_root
	dracut_need_initqueue
}
