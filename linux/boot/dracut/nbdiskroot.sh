#!/bin/sh
# nbdiskroot.sh - the network is up: attaches the root disk.  Called by dracut's netroot
# with the interface and netroot, and by nbdisk-again.sh.
# SPDX-License-Identifier: BSD-2-Clause

. /lib/dracut-lib.sh

# For each interface that comes up; and after a failure.
[ ! -e /dev/nbdisk/root ] || exit 0
nbdisk-attach-root "${2#nbdisk:}" || warn "nbdisk: the root disk cannot be attached"
udevadm settle --timeout=10
