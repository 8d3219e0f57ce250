#!/bin/sh
# nbdisk-again.sh - attaches the root disk if that has failed.  dracut's initqueue/settled
# hook, run again and again until the disk is there or dracut gives up (rd.retry).
# SPDX-License-Identifier: BSD-2-Clause

# netroot calls once, when the network has come up; the server may have been away then.
case $netroot in
nbdisk:*)
	for nbdisk_up in /tmp/net.*.did-setup; do
		[ -e "$nbdisk_up" ] || continue
		/sbin/nbdiskroot again "$netroot"
		break
	done
	unset nbdisk_up
	;;
esac
