# own_mounts.sh - goes on in a mount name space of its own, where all may use /dev/fuse.
# SPDX-License-Identifier: BSD-2-Clause
#
# Source it first of all, with the test's arguments in place; it starts the test anew.
# Without root, or where that is not allowed, the test goes on as it is.

if [ "$(id -u)" -eq 0 ] && [ -z "$NBDISK_OWN_MOUNTS" ] && unshare -m true 2>/dev/null; then
	NBDISK_OWN_MOUNTS=yes exec unshare -m "$0" "$@"
fi
# What other tests have mounted came along, and would keep their devices in use.
if [ -n "$NBDISK_OWN_MOUNTS" ]; then
	sed -n 's|^[^ ]* \([^ ]*/nbdisk-test\.[^ ]*\) .*|\1|p' /proc/self/mounts | tac |
		while read -r mounted; do
			umount -l "$mounted" 2>/dev/null
		done
fi
if [ -n "$NBDISK_OWN_MOUNTS" ] && [ -e /dev/fuse ] && mount -t tmpfs own /mnt; then
	# A node of our own in the place of the machine's.
	mknod -m 666 /mnt/fuse c 10 229 && mount --bind /mnt/fuse /dev/fuse
	umount -l /mnt
fi
