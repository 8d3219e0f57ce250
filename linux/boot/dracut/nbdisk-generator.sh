#!/bin/sh
# nbdisk-generator.sh - in an initramfs with systemd: root=nbdisk: as a mount unit, and how
# long that waits for its device: for dracut's rd.timeout.
# SPDX-License-Identifier: BSD-2-Clause

. /lib/dracut-lib.sh

case $(getarg root=) in nbdisk:*) ;; *) exit 0 ;; esac
options=$(getarg rootflags=)
getarg ro >/dev/null && access=ro || access=rw
type=$(getarg rootfstype=) || type=auto
timeout=$(getarg rd.timeout=)
cat >"$2/sysroot.mount" <<UNIT
[Unit]
Before=initrd-root-fs.target

[Mount]
Where=/sysroot
What=/dev/nbdisk/root
Type=$type
Options=$access${options:+,$options}
UNIT
# systemd's own 90 s begin when it does, before there is a network, and end in the
# emergency shell however near the disk is.  dracut's initqueue watches the time itself.
mkdir "$2/dev-nbdisk-root.device.d"
cat >"$2/dev-nbdisk-root.device.d/timeout.conf" <<UNIT
[Unit]
JobTimeoutSec=${timeout:-0}
JobRunningTimeoutSec=${timeout:-0}
UNIT
