#!/bin/sh
# parse-nbdisk.sh - the kernel's command line, as initramfs-tools' script of ours reads it:
# root=nbdisk:URI, or nbdisk=URI with a root= of its own.  dracut's cmdline hook.
# SPDX-License-Identifier: BSD-2-Clause

nbdisk_root=$(getarg root=)
case $nbdisk_root in
nbdisk:*)
	netroot=$nbdisk_root
	root=block:/dev/nbdisk/root
	rootok=1
	;;
*)
	nbdisk_root=$(getarg nbdisk=) && netroot=nbdisk:$nbdisk_root
	;;
esac
case $netroot in
nbdisk:*)
	# By it the network comes up, and then /sbin/nbdiskroot is called.
	wait_for_dev -n /dev/nbdisk/root
	;;
esac
unset nbdisk_root
